//! One connection's own queue to its socket, in one write: once a turn before groups are told, and again behind what that
//! left in it.
//!
//! What goes out is laid into one scratch buffer in the order of the queue; updates are encoded only now. Subscribers
//! that are behind read their updates from the group's ring here, as far as the buffer reaches, so a replay takes no
//! more memory than one write.

use crate::hub::group::Cursor;
use crate::ids::ConnId;
use crate::limits::{LINGER_TIME_MAX, WRITE_BYTES_MAX};
use crate::session::Session;
use crate::shard::conns::{Behind, Conn, Feed, Input, Interest, Pace, Place};
use crate::shard::interest::{feed, feed_mut};
use crate::shard::out_queue::Owed;
use crate::shard::{Command, Shard, Wrote};
use crate::wire::json;

/// Updates are taken until the buffer holds this much: twice what the kernel lets lie unsent.
pub(super) const UPDATE_BYTES_PER_WRITE: usize = WRITE_BYTES_MAX / 2;

/// The write that is being made.
#[derive(Debug, Default)]
pub(super) enum Flight {
    /// None is.
    #[default]
    None,
    /// The frames of the group that is told, to everybody of a lap.
    Lap,
    /// The scratch buffer.
    Queue {
        conn: ConnId,
        /// How much of it is of the queue's front: the rest of a message, and control bytes.
        front_bytes: usize,
        /// The updates behind that.
        sent: Vec<Sent>,
    },
}

/// An update that lies in the scratch buffer.
#[derive(Debug)]
pub(super) struct Sent {
    owed: Owed,
    /// Where it ends there.
    end: usize,
    /// How much of it is its JSON.
    payload_bytes: usize,
    /// How its subscriber stood before it was read from the ring; `None` if it waited in the queue.
    before: Option<Behind>,
    /// How many updates a slow subscriber was not given for it.
    conflated: u64,
}

impl Shard {
    /// Prepares the next connection's write; false when no connection has anything to write.
    pub(super) fn poll_flush(&mut self) -> bool {
        while let Some(id) = self.dirty.pop_front() {
            if self.begin_flush(id) {
                return true;
            }
        }
        false
    }

    /// Whether a connection is owed updates that one of its groups is still to be told: a farewell goes behind them.
    fn is_to_be_told(&self, id: ConnId) -> bool {
        let has_pending = |feed: &Feed| match feed.place {
            Place::Here { key, .. } => !self.hub.group(key).pending().is_empty(),
            Place::Coming { .. } => false,
        };
        match self.conns.get(id).map(|conn| &conn.interest) {
            Some(Interest::Stream(stream)) => has_pending(&stream.feed),
            Some(Interest::Feeds(feeds)) => feeds.iter().any(has_pending),
            Some(Interest::None | Interest::Asked(_) | Interest::Opening { .. } | Interest::Poll(_))
            | None => false,
        }
    }

    /// Prepares a connection's write; false if its socket takes nothing, or there is nothing to write to it.
    pub(super) fn begin_flush(&mut self, id: ConnId) -> bool {
        let Some(out) = self.conns.get_mut(id).and_then(|conn| conn.out.as_mut()) else { return false };
        out.dirty = false;
        if out.blocked {
            return false;
        }
        let (front_bytes, sent) = self.fill_scratch(id);
        if self.scratch.is_empty() {
            if self.conns.get(id).and_then(|conn| conn.out.as_ref()).is_some_and(|out| !out.is_empty()) {
                // Its farewell waits: telling its groups has it flushed again.
                self.note_held(id);
            } else {
                self.finish_flush(id);
            }
            return false;
        }
        self.flight = Flight::Queue { conn: id, front_bytes, sent };
        true
    }

    /// The writes in flight: to whom, and what.
    pub(super) fn in_flight(&self) -> Option<(&[ConnId], &[u8])> {
        match &self.flight {
            Flight::None => None,
            Flight::Lap => Some(self.fan.lap()),
            Flight::Queue { conn, .. } => Some((std::slice::from_ref(conn), &self.scratch)),
        }
    }

    /// Says how the writes went that [`Shard::poll_output`] asked for: who did not take all, by the place among those who
    /// were written to; all others did.
    pub fn handle_wrote(&mut self, short: &[(usize, Wrote)]) {
        match std::mem::take(&mut self.flight) {
            Flight::None => {}
            Flight::Lap => self.handle_lap_wrote(short),
            Flight::Queue { conn, front_bytes, sent } => {
                let wrote = short.first().map_or(Wrote::Bytes(self.scratch.len()), |(_, wrote)| *wrote);
                if let Some(bytes) = self.note_wrote(conn, wrote) {
                    self.handle_queue_wrote(conn, front_bytes, sent, bytes);
                }
            }
        }
    }

    /// Counts what was written; `None` if the connection is beyond use.
    pub(super) fn note_wrote(&mut self, id: ConnId, wrote: Wrote) -> Option<usize> {
        let Wrote::Bytes(bytes) = wrote else {
            self.kill(id);
            return None;
        };
        if let Some(conn) = self.conns.get(id) {
            self.report.wire_bytes[conn.transport() as usize].sent += bytes as u64;
        }
        Some(bytes)
    }

    /// The socket takes bytes again.
    pub fn handle_writable(&mut self, id: ConnId) {
        let Some(out) = self.conns.get_mut(id).and_then(|conn| conn.out.as_mut()) else { return };
        if std::mem::replace(&mut out.blocked, false) {
            self.mark_dirty(id);
        }
    }

    /// Lays out what goes to a connection next.
    fn fill_scratch(&mut self, id: ConnId) -> (usize, Vec<Sent>) {
        self.scratch.clear();
        let mut sent = Vec::new();
        let Some(out) = self.conns.get_mut(id).and_then(|conn| conn.out.as_mut()) else { return (0, sent) };
        for part in [out.partial(), out.control()] {
            let room = WRITE_BYTES_MAX - self.scratch.len();
            self.scratch.extend_from_slice(&part[..part.len().min(room)]);
        }
        let front_bytes = self.scratch.len();
        if front_bytes < out.partial().len() + out.control().len() {
            return (front_bytes, sent);
        }
        while self.scratch.len() < UPDATE_BYTES_PER_WRITE {
            let Some(mut next) = self.next_owed(id) else {
                if let Some(out) = self.conns.get(id).and_then(|conn| conn.out.as_ref())
                    && !out.farewell().is_empty()
                    && !self.is_to_be_told(id)
                {
                    self.scratch.extend_from_slice(out.farewell());
                }
                break;
            };
            self.encode_owed(id, &next.owed);
            (next.end, next.payload_bytes) = (self.scratch.len(), self.json.len());
            sent.push(next);
        }
        (front_bytes, sent)
    }

    /// The next update that a connection is to be written: what waits in its queue, then what it reads by cursor.
    fn next_owed(&mut self, id: ConnId) -> Option<Sent> {
        let conn = self.conns.get_mut(id)?;
        if let Some(owed) = conn.out.as_mut().and_then(|out| out.pop_owed()) {
            return Some(Sent { owed, end: 0, payload_bytes: 0, before: None, conflated: 0 });
        }
        if !conn.flags.behind {
            return None;
        }
        let places = match &conn.interest {
            Interest::Stream(_) => 1,
            Interest::Feeds(feeds) => feeds.places(),
            Interest::None | Interest::Asked(_) | Interest::Opening { .. } | Interest::Poll(_) => 0,
        };
        let mut caught_up = true;
        for sub in 0..u16::try_from(places).unwrap_or(u16::MAX) {
            match self.read_on(id, sub) {
                ReadOn::Update(next) => return Some(next),
                ReadOn::Waits => caught_up = false,
                ReadOn::CaughtUp => {}
            }
        }
        if caught_up && let Some(conn) = self.conns.get_mut(id) {
            conn.flags.behind = false;
        }
        None
    }

    /// Reads the next update of a feed that is behind.
    fn read_on(&mut self, id: ConnId, sub: u16) -> ReadOn {
        let prefetch_count = self.env.limits.prefetch_count;
        let Some(conn) = self.conns.get_mut(id) else { return ReadOn::CaughtUp };
        let Some(Feed { place, pace }) = feed_mut(&mut conn.interest, sub) else {
            return ReadOn::CaughtUp;
        };
        let Pace::Behind(behind) = pace else { return ReadOn::CaughtUp };
        let Behind { cursor, slow } = **behind;
        let Place::Here { key, .. } = *place else { return ReadOn::Waits };
        let mut window = match &mut conn.session {
            Session::Stomp(session) => session.window_mut(sub),
            Session::Http(_)
            | Session::Sse
            | Session::WebSocket(_)
            | Session::Echo(_)
            | Session::Closing { .. } => None,
        };
        if window.as_deref().is_some_and(|window| window.is_full(prefetch_count)) {
            return ReadOn::Waits;
        }
        let mut moved = cursor;
        let group = self.hub.group(key);
        if !group.pending().is_empty() {
            // They lie in the ring already: it would read them and be told them once more. Telling has it flushed again.
            return ReadOn::Waits;
        }
        // Whoever comes back with a cursor gets every update that there is; whoever was too slow, each member's newest.
        let next = if slow { group.next_conflated(&mut moved) } else { group.next_owed(&mut moved) };
        let Some(owed) = next else {
            if moved.gap {
                // Nothing to tell it with: the first update that comes will.
                behind.cursor = moved;
                return ReadOn::Waits;
            }
            *pace = Pace::Live;
            return ReadOn::CaughtUp;
        };
        let (update, gap) = (owed.update.clone(), owed.gap);
        let conflated = if slow { skipped(cursor, moved) } else { 0 };
        let before = Some(Behind { cursor, slow });
        if let Some(window) = window.as_mut() {
            window.note_sent(update.seq);
        }
        behind.cursor = moved;
        let owed = Owed { update, sub, gap, bytes: 0 };
        ReadOn::Update(Sent { owed, end: 0, payload_bytes: 0, before, conflated })
    }

    /// Encodes one update into the scratch buffer, the way the connection has it written.
    fn encode_owed(&mut self, id: ConnId, owed: &Owed) {
        let Some(conn) = self.conns.get(id) else { return };
        let Some(group) = feed(&conn.interest, owed.sub).and_then(|feed| self.group_of(feed.place)) else {
            return;
        };
        let Some(form) = conn.session.form(owed.sub, group) else { return };
        self.json.clear();
        json::encode_update(&mut self.json, &owed.update, owed.gap);
        let cx = self.env.context(self.id, id);
        form.encode(&mut self.scratch, &owed.update, &self.json, &cx);
    }

    /// Takes what was written out of a connection's queue, and puts back what was not.
    fn handle_queue_wrote(&mut self, id: ConnId, front_bytes: usize, sent: Vec<Sent>, bytes: usize) {
        let whole = bytes == self.scratch.len();
        let micros = self.written_micros;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let transport = conn.transport() as usize;
        let Some(out) = conn.out.as_mut() else { return };
        out.wrote_front(bytes.min(front_bytes));
        let mut start = front_bytes;
        let mut unsent = Vec::new();
        for mut sent in sent {
            let end = sent.end;
            if start < bytes {
                self.report.delivered[transport] += 1;
                self.report.conflated[transport] += sent.conflated;
                self.report.payload_bytes[transport].sent += sent.payload_bytes as u64;
                let stale = micros.saturating_sub(sent.owed.update.numbered_micros);
                self.report.staleness[transport].observe(stale, 1);
                if end > bytes {
                    out.set_partial(&self.scratch[bytes..end]);
                }
            } else {
                sent.owed.bytes = (end - start) as u32;
                unsent.push(sent);
            }
            start = end;
        }
        let said_farewell = bytes > start;
        if said_farewell {
            out.wrote_farewell(bytes - start);
        }
        out.blocked = !whole;
        self.take_back(id, unsent);
        if said_farewell {
            // Nothing may come behind it.
            self.part(id);
        }
        match self.conns.get(id) {
            Some(Conn { out: Some(out), flags, .. }) if out.is_empty() && !flags.behind => {
                return self.finish_flush(id);
            }
            Some(_) if whole => self.mark_dirty(id),
            Some(_) | None => self.bound_queue(id),
        }
        self.note_held(id);
        let limits = &self.env.limits;
        if self.conns.get(id).is_some_and(|conn| conn.flags.held && !conn.must_wait(limits)) {
            self.resume_later(id);
        }
    }

    /// Takes back updates that were laid out and not written: into the queue, or by turning the cursor back.
    fn take_back(&mut self, id: ConnId, unsent: Vec<Sent>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        for Sent { owed, before, .. } in unsent.into_iter().rev() {
            let Some(before) = before else {
                if let Some(out) = conn.out.as_mut() {
                    out.put_back(owed);
                }
                continue;
            };
            if let Session::Stomp(session) = &mut conn.session
                && let Some(window) = session.window_mut(owed.sub)
            {
                window.note_unsent(owed.update.seq);
            }
            if let Some(feed) = feed_mut(&mut conn.interest, owed.sub) {
                feed.pace = Pace::behind(before.cursor, before.slow);
                conn.flags.behind = true;
            }
        }
    }

    /// A connection has nothing more that could be written now.
    fn finish_flush(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(out) = conn.out.take() else { return };
        let closes = out.closes;
        debug_assert!(out.is_empty(), "something was left");
        self.release(out);
        self.note_held(id);
        if closes {
            self.begin_close(id);
        } else {
            self.resume_later(id);
        }
    }

    /// Closes a connection in stages (RFC 9112, section 9.6): our side first; then what the peer still sends is dropped,
    /// for a while, so that no reset overtakes our last word.
    fn begin_close(&mut self, id: ConnId) {
        self.part(id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.flags.input == Input::Ended {
            return self.kill(id);
        }
        conn.session = Session::Closing { dropped: 0 };
        self.commands.push_back(Command::ShutdownWrite(id));
        self.set_deadline(id, LINGER_TIME_MAX);
        self.note_held(id);
        self.resume_later(id);
    }

    /// A STOMP window may have opened, or a mirror has come: whoever is behind reads on.
    pub(super) fn mark_behind_dirty(&mut self, id: ConnId) {
        if self.conns.get(id).is_some_and(|conn| conn.flags.behind) {
            self.mark_dirty(id);
        }
    }
}

enum ReadOn {
    Update(Sent),
    /// Nothing now: its mirror is coming, its window is full, its group is to be told first, or there is no update yet to
    /// tell a gap with.
    Waits,
    CaughtUp,
}

/// How many updates lie between two places that a cursor moved over.
fn skipped(from: Cursor, to: Cursor) -> u64 {
    to.after.number().saturating_sub(from.after.number() + 1)
}
