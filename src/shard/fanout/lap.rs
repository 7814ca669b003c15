//! A lap: the connections that are given the same frames at a time, and how that goes.

use std::mem;

use crate::ids::ConnId;
use crate::shard::answers::queue_of;
use crate::shard::fanout::FanOut;
use crate::shard::fanout::audience::Audience;
use crate::shard::flush::Flight;
use crate::shard::out_queue::Owed;
use crate::shard::{Shard, Wrote};

/// How many connections are given the same frames at a time: each stop of the way is gone through for all of them before the next,
/// so that neither its code nor what it looks at has been driven out of the caches by a system call in between.
const LAP: usize = 64;

/// Who is written the frames next, by one call each.
#[derive(Debug, Default)]
pub(super) struct Lap {
    conns: Vec<ConnId>,
    /// Which of a connection's subscriptions it is.
    subs: Vec<u16>,
}

impl Lap {
    pub(super) fn join(&mut self, conn: ConnId, sub: u16) {
        self.conns.push(conn);
        self.subs.push(sub);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    fn clear(&mut self) {
        self.conns.clear();
        self.subs.clear();
    }

    /// Whether nobody else may join before it has been written.
    pub(super) const fn is_full(&self) -> bool {
        self.conns.len() >= LAP
    }
}

impl FanOut {
    /// Who is written to, and what.
    pub(in crate::shard) fn lap(&self) -> (&[ConnId], &[u8]) {
        (&self.lap.conns, &self.frames.bytes)
    }
}

impl Shard {
    /// Has the frames written to everybody of the lap; false if nobody is.
    pub(super) fn start_lap(&mut self) -> bool {
        if self.fan.lap.is_empty() {
            return false;
        }
        self.fan.writes += self.fan.lap.conns.len();
        self.flight = Flight::Lap;
        true
    }

    /// The lap was written the frames, all of them but for those who did not take everything.
    pub(in crate::shard) fn handle_lap_wrote(&mut self, short: &[(usize, Wrote)]) {
        let mut lap = mem::take(&mut self.fan.lap);
        let audience = self.fan.audience;
        let whole = (lap.conns.len() - short.len()) as u64;
        self.report.wire_bytes[audience.transport() as usize].sent +=
            whole * self.fan.frames.bytes.len() as u64;
        self.fan.settled += whole;
        for (place, wrote) in short {
            let id = lap.conns[*place];
            if let Some(bytes) = self.note_wrote(id, *wrote) {
                self.count_part(bytes);
                self.keep_rest(id, lap.subs[*place], bytes);
            }
        }
        lap.clear();
        self.fan.lap = lap;
    }

    /// Queues what a socket did not take of the frames.
    fn keep_rest(&mut self, id: ConnId, sub: u16, bytes: usize) {
        let is_poll = self.fan.audience == Audience::Polls;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let out = queue_of(conn, &mut self.pool);
        out.blocked = true;
        for index in 0..self.fan.frames.ends.len() {
            let (start, end) = (self.fan.frames.start(index), self.fan.frames.ends[index]);
            if end <= bytes {
                continue;
            }
            // Nothing can be encoded again for a poll: it is over with this answer.
            if start < bytes || is_poll {
                out.set_partial(&self.fan.frames.bytes[bytes..end]);
            } else {
                let update = self.fan.updates[index].clone();
                out.push_owed(Owed { update, sub, gap: false, bytes: (end - start) as u32 });
            }
        }
        self.bound_queue(id);
        self.note_held(id);
    }

    /// Counts the updates whose frames are on their way whole or begun; an answer to a poll is, also where none of it is.
    fn count_part(&mut self, bytes: usize) {
        let transport = self.fan.audience.transport() as usize;
        let is_poll = self.fan.audience == Audience::Polls;
        for index in 0..self.fan.frames.ends.len() {
            if self.fan.frames.start(index) >= bytes && !is_poll {
                break;
            }
            let stale = self.written_micros.saturating_sub(self.fan.updates[index].numbered_micros);
            self.report.staleness[transport].observe(stale, 1);
            self.report.delivered[transport] += 1;
            self.report.payload_bytes[transport].sent += self.fan.json.piece(index).len() as u64;
        }
    }
}
