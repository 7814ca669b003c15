//! One group's updates to all of its subscribers here, once a turn.
//!
//! The turn's updates are encoded once for each way of writing them and laid end to end; whoever is owed nothing else
//! has them written from there, in one call and without a copy. Whoever has a queue gets them by reference.
//! Here is what is told and when; `audience` finds out whom, `lap` writes, `queues` appends.
//!
//! ```text
//!  pending ─> JSON ─┬─> answer to a poll ─> POLLS
//!                   ├─> events           ─> STREAMS         write(frames)        owed nothing else
//!                   ├─> text messages    ─> WEBSOCKETS  ─┬──────────────> socket
//!                   └─> MESSAGE frames   ─> SUBSCRIPTIONS└─> OutQueue           owed something, or blocked
//! ```

mod audience;
mod lap;
mod queues;

use std::mem;
use std::sync::Arc;

use crate::hub::GroupKey;
use crate::ids::{ConnId, GroupId};
use crate::limits::UNTOLD_UPDATES_MAX;
use crate::location::Update;
use crate::report::Report;
use crate::session::Form;
use crate::session::stomp::{self, Bearer};
use crate::shard::conns::Place;
use crate::shard::fanout::audience::{Audience, Listener};
use crate::shard::fanout::lap::Lap;
use crate::shard::mail::Mail;
use crate::shard::{Command, Shard};
use crate::wire::json;

/// The group that is being told, and how far that has come.
#[derive(Debug, Default)]
pub(super) struct FanOut {
    group: Option<GroupKey>,
    updates: Vec<Arc<Update>>,
    json: Pieces,
    audience: Audience,
    /// Which waiter of the lane is next. The lane of polls is walked from its end, for they leave it.
    next: usize,
    frames: Pieces,
    /// What follows the head of each MESSAGE.
    tails: Pieces,
    /// Whose subscription id and number the frames carry.
    frames_for: Bearer,
    /// Who is written the frames next.
    lap: Lap,
    /// A listener whose frames are others than the lap's: it is told when that has been written.
    held_back: Option<Listener>,
    /// Deliveries of all updates that were completed since the clock was looked at.
    settled: u64,
    /// Whom so much was given to that it is written to before anybody else is told.
    long: Option<ConnId>,
    /// Writes of this turn, those that what was queued leads to with them.
    writes: usize,
}

/// Byte strings laid end to end.
#[derive(Debug, Default)]
struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] }
    }

    fn piece(&self, index: usize) -> &[u8] {
        &self.bytes[self.start(index)..self.ends[index]]
    }

    fn end_piece(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

impl FanOut {
    /// The turn is over.
    pub(super) const fn end_turn(&mut self) {
        self.writes = 0;
    }

    /// Counts how stale the updates were when the deliveries since the last look at the clock were made.
    pub(super) fn settle_staleness(&mut self, report: &mut Report, micros: u64) {
        let times = mem::take(&mut self.settled);
        if times == 0 {
            return;
        }
        let transport = self.audience.transport() as usize;
        // A poll is answered with the first of them.
        let told = if self.audience == Audience::Polls { 1 } else { self.updates.len() };
        for update in &self.updates[..told] {
            report.staleness[transport].observe(micros.saturating_sub(update.numbered_micros), times);
        }
        report.delivered[transport] += times * told as u64;
        report.payload_bytes[transport].sent += times * self.json.start(told) as u64;
    }
}

impl Shard {
    /// Goes on telling groups; true when a write is in flight, false when every group has been told, or this turn has told
    /// enough of them: the rest is told in the next, which is due at once.
    pub(super) fn poll_fan_out(&mut self) -> bool {
        if let Some(id) = self.fan.long
            && self.relieve(id)
        {
            return true;
        }
        loop {
            let key = match self.fan.group {
                Some(key) => key,
                None if self.has_told_enough() => return false,
                None => match self.hub.poll_dirty() {
                    Some(key) => self.begin_group(key),
                    None => return false,
                },
            };
            let in_flight = match self.fan.audience {
                Audience::Polls => self.tell_polls(key),
                Audience::Streams | Audience::WebSockets => self.tell_streams(key),
                Audience::Subscriptions => self.tell_subscriptions(key),
            };
            if in_flight {
                return true;
            }
            self.fan.settle_staleness(&mut self.report, self.written_micros);
            match self.fan.audience.next() {
                Some(audience) => self.begin_audience(key, audience),
                None => self.end_group(),
            }
        }
    }

    fn begin_group(&mut self, key: GroupKey) -> GroupKey {
        let updates = self.hub.take_pending(key);
        let group = self.hub.group(key);
        if !group.waiters().shards().is_empty() {
            let shared: Arc<[Arc<Update>]> = updates.as_slice().into();
            for shard in group.waiters().shards().iter() {
                let mail = Mail::Deliver { group: group.id(), updates: shared.clone() };
                self.commands.push_back(Command::Mail(shard, mail));
            }
        }
        self.fan.json.clear();
        let waiters_here = group.waiters().len();
        if waiters_here > 0 {
            for update in &updates {
                json::encode_update(&mut self.fan.json.bytes, update, false);
                self.fan.json.end_piece();
            }
        }
        self.fan.updates = updates;
        self.fan.group = Some(key);
        self.begin_audience(key, Audience::Polls);
        key
    }

    /// Encodes the updates the way an audience has them written.
    fn begin_audience(&mut self, key: GroupKey, audience: Audience) {
        let group = self.hub.group(key);
        let waiters = group.waiters().lane(audience.lane()).len();
        let fan = &mut self.fan;
        fan.audience = audience;
        fan.next = 0;
        fan.frames.clear();
        fan.frames_for.clear();
        if waiters == 0 {
            return;
        }
        let form = match audience {
            // One answer does for all, and is encoded when the first asks for it.
            Audience::Polls => return fan.next = waiters,
            Audience::Streams => Form::Sse,
            Audience::WebSockets => Form::WebSocket,
            Audience::Subscriptions => {
                fan.tails.clear();
                for index in 0..fan.updates.len() {
                    stomp::encode_message_tail(&mut fan.tails.bytes, group.id(), fan.json.piece(index));
                    fan.tails.end_piece();
                }
                return;
            }
        };
        let cx = self.env.context(self.id, ConnId { slot: 0, generation: 0 });
        for (index, update) in fan.updates.iter().enumerate() {
            form.encode(&mut fan.frames.bytes, update, fan.json.piece(index), &cx);
            fan.frames.end_piece();
        }
    }

    /// Whether the other groups wait for the next turn: whoever is to be accepted or read must not wait for everybody to be
    /// told. Where much is left to tell reading waits instead.
    const fn has_told_enough(&self) -> bool {
        self.fan.writes >= self.env.limits.fan_out_writes_max && self.hub.untold() <= UNTOLD_UPDATES_MAX
    }

    /// Whether a group is being told: until that is done nobody's queue is written, for it may go on to the very updates.
    pub(super) const fn is_telling(&self) -> bool {
        self.fan.group.is_some()
    }

    fn end_group(&mut self) {
        self.fan.group = None;
        self.hub.give_back_pending(mem::take(&mut self.fan.updates));
    }

    /// The group that a subscriber's place is in.
    pub(super) fn group_of(&self, place: Place) -> Option<GroupId> {
        match place {
            Place::Coming { .. } => None,
            Place::Here { key, .. } => Some(self.hub.group(key).id()),
        }
    }
}
