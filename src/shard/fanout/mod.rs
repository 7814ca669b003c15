//! One group's updates to all of its subscribers here, once a turn.
//!
//! The turn's updates are encoded once for each way of writing them and laid end to end; whoever is owed nothing else
//! has them written from there, in one call and without a copy. Whoever has a queue gets them by reference.
//!
//! ```text
//!  pending ─> JSON ─┬─> answer to a poll ─> POLLS
//!                   ├─> events           ─> STREAMS         write(frames)        owed nothing else
//!                   ├─> text messages    ─> WEBSOCKETS  ─┬──────────────> socket
//!                   └─> MESSAGE frames   ─> SUBSCRIPTIONS└─> OutQueue           owed something, or blocked
//! ```

use std::mem;
use std::sync::Arc;

use crate::hub::GroupKey;
use crate::hub::group::Cursor;
use crate::hub::waiters::{Lane, Waiter};
use crate::ids::{ConnId, GroupId, Seq, Transport};
use crate::limits::{SlowConsumer, UNTOLD_UPDATES_MAX};
use crate::location::Update;
use crate::report::{Reason, Report};
use crate::session::stomp::{self, Bearer, Subscription};
use crate::session::{Form, Session};
use crate::shard::answers::queue_of;
use crate::shard::conns::{Conn, Interest, Pace, Place};
use crate::shard::flush::{Flight, UPDATE_BYTES_PER_WRITE};
use crate::shard::interest::{POLLS, STREAMS, SUBSCRIPTIONS, WEBSOCKETS, feed, feed_mut, is_owed};
use crate::shard::mail::Mail;
use crate::shard::out_queue::Owed;
use crate::shard::{Command, Shard, Wrote};
use crate::wire::json;

/// Who is told in the same way, in the order in which they are: who waits for one answer goes before who waits for a
/// stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Audience {
    #[default]
    Polls,
    Streams,
    WebSockets,
    Subscriptions,
}

impl Audience {
    const fn lane(self) -> Lane {
        match self {
            Self::Polls => POLLS,
            Self::Streams => STREAMS,
            Self::WebSockets => WEBSOCKETS,
            Self::Subscriptions => SUBSCRIPTIONS,
        }
    }

    /// What they are counted as.
    const fn transport(self) -> Transport {
        match self {
            Self::Polls => Transport::LongPoll,
            Self::Streams => Transport::Sse,
            Self::WebSockets => Transport::WebSocket,
            Self::Subscriptions => Transport::Stomp,
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Polls => Some(Self::Streams),
            Self::Streams => Some(Self::WebSockets),
            Self::WebSockets => Some(Self::Subscriptions),
            Self::Subscriptions => None,
        }
    }
}

/// How many connections are given the same frames at a time: each stop of the way is gone through for all of them before the next,
/// so that neither its code nor what it looks at has been driven out of the caches by a system call in between.
const LAP: usize = 64;

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
    /// Who is written the frames next, by one call each,
    lap: Vec<ConnId>,
    /// and which of a connection's subscriptions that is.
    lap_subs: Vec<u16>,
    /// A listener whose frames are others than the lap's: it is told when that has been written.
    held_back: Option<Listener>,
    /// Deliveries of all updates that were completed since the clock was looked at.
    settled: u64,
    /// Whom so much was given to that it is written to before anybody else is told.
    long: Option<ConnId>,
    /// Writes of this turn, those that what was queued leads to with them.
    writes: usize,
}

/// Who takes updates as they are told.
#[derive(Clone, Copy, Debug)]
struct Listener {
    conn: ConnId,
    /// Which of its subscriptions it is.
    sub: u16,
    /// The first of the updates that it is owed.
    first: usize,
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

    /// Who is written to, and what.
    pub(super) fn lap(&self) -> (&[ConnId], &[u8]) {
        (&self.lap, &self.frames.bytes)
    }

    fn join_lap(&mut self, conn: ConnId, sub: u16) {
        self.lap.push(conn);
        self.lap_subs.push(sub);
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

    /// Answers parked polls with the first update that each is owed. A plain answer is the same for all of them.
    fn tell_polls(&mut self, key: GroupKey) -> bool {
        while self.fan.next > 0 && self.fan.lap.len() < LAP {
            self.fan.next -= 1;
            let waiters = self.hub.group(key).waiters().lane(POLLS);
            let Some(waiter) = waiters.get(self.fan.next).copied() else { continue };
            let Some((id, conn)) = self.conns.at_mut(waiter.slot) else { continue };
            let Interest::Poll(poll) = &conn.interest else { continue };
            let first = self.fan.updates.first().map_or(Seq::ZERO, |update| update.seq);
            let mut cursor = poll.start.cursor();
            let shares = poll.reply.is_plain()
                && !self.env.draining
                && conn.out.is_none()
                && !cursor.gap
                && cursor.after.next() == first;
            if shares {
                self.encode_shared_answer(id);
                self.fan.join_lap(id, 0);
                self.note_poll_answered(id);
                continue;
            }
            // One that came among these updates is owed the next of them; the ring may have moved on by then.
            let index = cursor.after.next().number().checked_sub(first.number());
            let next = index.and_then(|index| self.fan.updates.get(usize::try_from(index).ok()?));
            let owed = match next.filter(|_| !cursor.gap) {
                Some(update) => Some((update.clone(), false)),
                None => {
                    self.hub.group(key).next_owed(&mut cursor).map(|owed| (owed.update.clone(), owed.gap))
                }
            };
            let Some((update, gap)) = owed else { continue };
            self.answer_poll(id, &update, gap);
            self.fan.writes += 1;
        }
        self.start_lap()
    }

    /// Has the frames written to everybody of the lap; false if nobody is.
    fn start_lap(&mut self) -> bool {
        if self.fan.lap.is_empty() {
            return false;
        }
        self.fan.writes += self.fan.lap.len();
        self.flight = Flight::Lap;
        true
    }

    fn encode_shared_answer(&mut self, id: ConnId) {
        if !self.fan.frames.ends.is_empty() {
            return;
        }
        let Some(Interest::Poll(poll)) = self.conns.get(id).map(|conn| &conn.interest) else { return };
        let cx = self.env.context(self.id, id);
        let form = Form::LongPoll(poll.reply);
        let update = &self.fan.updates[0];
        form.encode(&mut self.fan.frames.bytes, update, self.fan.json.piece(0), &cx);
        self.fan.frames.end_piece();
    }

    /// Writes the frames to event streams or WebSockets.
    fn tell_streams(&mut self, key: GroupKey) -> bool {
        while self.fan.lap.len() < LAP
            && let Some(listener) = self.next_listener(key)
        {
            let Listener { conn: id, sub, first } = listener;
            // Whoever came among the updates is owed some of them alone, and has a queue for that.
            if first == 0 && self.conns.get(id).is_some_and(|conn| conn.out.is_none()) {
                self.fan.join_lap(id, sub);
                continue;
            }
            self.queue_updates(listener);
            if self.relieve(id) {
                return true;
            }
        }
        self.start_lap()
    }

    /// Writes the frames to STOMP subscriptions. Their heads differ, but most clients choose the same ids.
    fn tell_subscriptions(&mut self, key: GroupKey) -> bool {
        while self.fan.lap.len() < LAP
            && let Some(listener) = self.fan.held_back.take().or_else(|| self.next_listener(key))
        {
            let Listener { conn: id, sub, first } = listener;
            let Some(conn) = self.conns.get(id) else { continue };
            let Session::Stomp(session) = &conn.session else { continue };
            let Some(subscription) = session.subscription(sub) else { continue };
            let writes_now =
                first == 0 && conn.out.is_none() && !subscription.acknowledges() && conn.subscriptions() == 1;
            if !self.fan.frames_for.is(&subscription) {
                if !self.fan.lap.is_empty() {
                    self.fan.held_back = Some(listener);
                    break;
                }
                self.fan.encode_for(&subscription);
            }
            if writes_now {
                self.fan.join_lap(id, sub);
                continue;
            }
            self.queue_updates(listener);
            if self.relieve(id) {
                return true;
            }
        }
        self.start_lap()
    }

    /// The next of the audience that takes its updates as they are told.
    // As a call of its own it takes 13 % more instructions for each delivery.
    #[inline(always)]
    fn next_listener(&mut self, key: GroupKey) -> Option<Listener> {
        loop {
            let (waiter, first) = self.next_waiter(key)?;
            let Some((id, conn)) = self.conns.at_mut(waiter.slot) else { continue };
            if conn.flags.dead {
                continue;
            }
            if first >= self.fan.updates.len() {
                // It came behind them, and may wait for its group to have been told.
                if conn.out.is_some() || conn.flags.behind {
                    self.mark_dirty(id);
                }
                continue;
            }
            // Most read nothing by cursor, which their flags say without a look at their feeds.
            if !conn.flags.behind || is_live(conn, waiter.sub) {
                return Some(Listener { conn: id, sub: waiter.sub, first });
            }
            // It reads on by itself, unless it waits for this very update.
            self.mark_behind_dirty(id);
        }
    }

    /// The next waiter of the audience, and the first of the updates that it is owed.
    fn next_waiter(&mut self, key: GroupKey) -> Option<(Waiter, usize)> {
        let lane = self.fan.audience.lane();
        let index = self.fan.next;
        let waiter = *self.hub.group(key).waiters().lane(lane).get(index)?;
        self.fan.next += 1;
        if waiter.from == 0 {
            return Some((waiter, 0));
        }
        // When it came some of the updates were numbered already, if not all of them.
        let updates = &self.fan.updates;
        let first = updates.iter().position(|update| is_owed(waiter.from, update.seq));
        let first = first.unwrap_or(updates.len());
        if first < updates.len() {
            self.hub.waiters_mut(key, &self.env.now).lane_mut(lane)[index].from = 0;
        }
        Some((waiter, first))
    }

    /// Appends the updates from `first` on to what a connection is owed.
    fn queue_updates(&mut self, Listener { conn: id, sub, first }: Listener) {
        let prefetch_count = self.env.limits.prefetch_count;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let out = conn.out.get_or_insert_with(|| self.pool.pop().unwrap_or_default());
        for index in first..self.fan.updates.len() {
            let update = &self.fan.updates[index];
            if let Session::Stomp(session) = &mut conn.session
                && let Some(window) = session.window_mut(sub)
            {
                if window.is_full(prefetch_count) {
                    // Its window is full: it reads on from here, conflated, once messages are acknowledged.
                    let cursor = Cursor::before(update.seq, false);
                    if let Some(feed) = feed_mut(&mut conn.interest, sub) {
                        feed.pace = Pace::behind(cursor, true);
                        conn.flags.behind = true;
                    }
                    break;
                }
                window.note_sent(update.seq);
            }
            let bytes = self.fan.frames.piece(index).len() as u32;
            out.push_owed(Owed { update: update.clone(), sub, gap: false, bytes });
        }
        self.fan.writes += usize::from(!out.blocked);
        self.mark_dirty(id);
        self.bound_queue(id);
        self.note_held(id);
    }

    /// Writes to a connection whose socket takes bytes, if more waits for it than `--queue-bytes`: all that a turn brings
    /// must not lie there for everybody before anybody is written to. False once it is no more than that.
    ///
    /// What waits is more than one write takes, so none goes on to what is read by cursor, which may be these very updates,
    /// nor to a farewell, which would have the connection leave the list of waiters that is being walked.
    fn relieve(&mut self, id: ConnId) -> bool {
        let owed_bytes_max = self.env.limits.queue_bytes_max.max(UPDATE_BYTES_PER_WRITE);
        let is_long = self.conns.get(id).is_some_and(|conn| {
            !conn.flags.dead && conn.out.as_ref().is_some_and(|out| out.owed_bytes() > owed_bytes_max)
        });
        self.fan.long = (is_long && self.begin_flush(id)).then_some(id);
        self.fan.long.is_some()
    }

    /// Holds a blocked connection against `--queue-bytes`: past it, what waits is dropped, and each of its
    /// subscriptions reads on from there, conflated, once the socket takes bytes again.
    pub(super) fn bound_queue(&mut self, id: ConnId) {
        let queue_bytes_max = self.env.limits.queue_bytes_max;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(out) = conn.out.as_mut() else { return };
        if !out.blocked || out.owed_bytes() <= queue_bytes_max {
            return;
        }
        if self.env.limits.slow_consumer == SlowConsumer::Disconnect {
            self.refuse(Reason::SlowConsumer);
            return self.kill(id);
        }
        while let Some(owed) = out.pop_owed() {
            let Some(feed) = feed_mut(&mut conn.interest, owed.sub) else { continue };
            let is_first = match &feed.pace {
                Pace::Live => true,
                Pace::Behind(behind) => behind.cursor.after >= owed.update.seq,
            };
            if is_first {
                let cursor = Cursor::before(owed.update.seq, owed.gap);
                feed.pace = Pace::behind(cursor, true);
                conn.flags.behind = true;
            }
            if let Session::Stomp(session) = &mut conn.session
                && let Some(window) = session.window_mut(owed.sub)
            {
                window.note_unsent(owed.update.seq);
            }
        }
    }

    /// The lap was written the frames, all of them but for those who did not take everything.
    pub(super) fn handle_lap_wrote(&mut self, short: &[(usize, Wrote)]) {
        let (mut lap, mut subs) = (mem::take(&mut self.fan.lap), mem::take(&mut self.fan.lap_subs));
        let audience = self.fan.audience;
        let whole = (lap.len() - short.len()) as u64;
        self.report.wire_bytes[audience.transport() as usize].sent +=
            whole * self.fan.frames.bytes.len() as u64;
        self.fan.settled += whole;
        for (place, wrote) in short {
            let id = lap[*place];
            if let Some(bytes) = self.note_wrote(id, *wrote) {
                self.count_part(bytes);
                self.keep_rest(id, subs[*place], bytes);
            }
        }
        lap.clear();
        subs.clear();
        (self.fan.lap, self.fan.lap_subs) = (lap, subs);
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

    /// The group that a subscriber's place is in.
    pub(super) fn group_of(&self, place: Place) -> Option<GroupId> {
        match place {
            Place::Coming { .. } => None,
            Place::Here { key, .. } => Some(self.hub.group(key).id()),
        }
    }
}

impl FanOut {
    /// Makes the frames carry this subscription's id and number.
    fn encode_for(&mut self, subscription: &Subscription<'_>) {
        self.frames.clear();
        for (index, update) in self.updates.iter().enumerate() {
            let tail = self.tails.piece(index);
            subscription.encode_message_before(&mut self.frames.bytes, update.seq, tail);
            self.frames.end_piece();
        }
        // An acknowledged subscription has one header more; its frames are only measured here.
        if subscription.acknowledges() {
            self.frames_for.clear();
        } else {
            self.frames_for.set(subscription);
        }
    }
}

/// Whether a subscriber takes updates as they are told.
fn is_live(conn: &Conn, sub: u16) -> bool {
    feed(&conn.interest, sub).is_some_and(|feed| matches!(feed.pace, Pace::Live))
}
