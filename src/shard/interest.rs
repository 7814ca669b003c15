//! Who waits for which group: enters and leaves the lists of waiters, and fetches and drops mirrors of groups that
//! are at home elsewhere.

use crate::hub::GroupKey;
use crate::hub::waiters::{Lane, Waiter};
use crate::ids::{ConnId, GroupId, MemberId, Seq, ShardId};
use crate::limits::{GIANT_GROUP_SUBSCRIBERS, MIRROR_LINGER};
use crate::session::Session;
use crate::session::stomp::HeartBeat;
use crate::shard::conns::{Conn, Feed, Interest, Pace, Place};
use crate::shard::feeds::Feeds;
use crate::shard::mail::{Mail, Presence, Refused};
use crate::shard::streams::Opening;
use crate::shard::timers::Alarm;
use crate::shard::{Command, Shard, placement};

/// Long polls wait in this lane.
pub(super) const POLLS: Lane = Lane::new(0);
/// Event streams wait in this lane.
pub(super) const STREAMS: Lane = Lane::new(1);
/// Raw WebSockets wait in this lane.
pub(super) const WEBSOCKETS: Lane = Lane::new(2);
/// STOMP subscriptions wait in this lane.
pub(super) const SUBSCRIPTIONS: Lane = Lane::new(3);

/// A connection that waits for the home of a group to answer, and what for.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) conn: ConnId,
    /// Tells this wish from others of the same connection, which may have dropped this one meanwhile.
    pub(super) ticket: u32,
    pub(super) errand: Errand,
}

/// Why it waits.
#[derive(Debug)]
pub(super) enum Errand {
    /// A long poll.
    Poll { since: Option<Seq> },
    /// A stream that is opened once every later update will be in it.
    Stream(Box<Opening>),
    /// A STOMP subscription, and the receipt to give once every later update will be delivered.
    Feed { sub: u16, since: Option<Seq>, receipt: Option<Box<str>> },
}

/// A mark for [`Waiter::from`]: this waiter is owed only what comes after `seq`. It stays until the first such update is told,
/// which is the very next, so 31 bits are enough to tell the order of the numbers in between; 0 is no mark.
pub(super) const fn owed_after(seq: Seq) -> u32 {
    ((seq.number() as u32) << 1) | 1
}

/// Whether a waiter with this mark is owed the update with this number.
pub(super) const fn is_owed(mark: u32, seq: Seq) -> bool {
    let ahead = (seq.number() as u32).wrapping_sub(mark >> 1) << 1 >> 1;
    mark == 0 || (ahead != 0 && ahead < 1 << 30)
}

impl Shard {
    /// Whether a group is at home here.
    pub(super) fn is_home(&self, group: GroupId) -> bool {
        placement::home(group, self.workers) == self.id
    }

    /// The group, if the client can join it here and now; `None` if its home is to be asked.
    ///
    /// A mirror is behind its home. It will do for a cursor that it has come to, which says exactly what is owed. Where
    /// the client has more already, or wants what comes from now on, only the home knows what that is, and whatever it has
    /// posted comes before its answer.
    pub(super) fn enter(&mut self, group: GroupId, since: Option<Seq>) -> Result<Option<GroupKey>, Refused> {
        if self.is_home(group) {
            return self.hub.make(group, &self.env.now).map(Some).map_err(Refused::Group);
        }
        let mirror = self.hub.find(group);
        if mirror.is_none() {
            self.hub.check_room().map_err(Refused::Group)?;
        }
        Ok(mirror.filter(|key| since.is_some_and(|since| since <= self.hub.group(*key).cursor())))
    }

    /// Asks a group's home to let somebody join; the place of whoever waits for that.
    pub(super) fn send_for(&mut self, group: GroupId, conn: ConnId, errand: Errand) -> Place {
        // 0 is nobody's: see `Place::NOWHERE`.
        self.tickets = self.tickets.wrapping_add(1).max(1);
        let ticket = self.tickets;
        self.coming.entry(group).or_default().push_back(Coming { conn, ticket, errand });
        self.post(group, Mail::Subscribe { group, from: self.id });
        Place::Coming { ticket }
    }

    /// Sends a letter to a group's home.
    pub(super) fn post(&mut self, group: GroupId, mail: Mail) {
        let home = placement::home(group, self.workers);
        self.commands.push_back(Command::Mail(home, mail));
    }

    /// Makes a subscriber one of a group's waiters; what it is owed already it reads by its cursor. Without one it is owed
    /// what comes after `newest`.
    pub(super) fn settle_in(&mut self, id: ConnId, sub: u16, key: GroupKey, since: Option<Seq>, newest: Seq) {
        let Some(lane) = self.conns.get(id).and_then(lane) else { return };
        let group = self.hub.group(key);
        let cursor = group.start(since, newest);
        let position = self.wait_in(id, sub, key, lane, cursor.after);
        // What it reads by its cursor are the updates up to where the group stands here; from there on it is told.
        let pace = if since.is_none() { Pace::Live } else { Pace::behind(cursor, false) };
        let place = Place::Here { key, position };
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(feed) = feed_mut(&mut conn.interest, sub) else { return };
        *feed = Feed { place, pace };
        let member = match &conn.interest {
            Interest::Stream(stream) => stream.speaks.as_ref().map(|speaks| speaks.member.clone()),
            Interest::Feeds(_) => conn.session.stomp_member().cloned(),
            Interest::None | Interest::Asked(_) | Interest::Poll(_) | Interest::Opening { .. } => None,
        };
        let is_behind = since.is_some();
        if let Some(member) = member {
            let group = self.hub.group(key).id();
            self.note_presence(group, &member, Presence::Connected);
        }
        if is_behind && let Some(conn) = self.conns.get_mut(id) {
            conn.flags.behind = true;
            self.mark_dirty(id);
        }
    }

    /// Appends a waiter to a lane. What is yet to be told, but numbered up to `newest` or here already, is not for it.
    pub(super) fn wait_in(&mut self, id: ConnId, sub: u16, key: GroupKey, lane: Lane, newest: Seq) -> u32 {
        let group = self.hub.group(key);
        let all_told = group.pending().is_empty() && newest <= group.cursor();
        let from = if all_told { 0 } else { owed_after(newest.max(group.cursor())) };
        let waiters = self.hub.waiters_mut(key, &self.env.now);
        let position = waiters.insert(lane, Waiter { slot: id.slot, sub, from });
        if waiters.len() == GIANT_GROUP_SUBSCRIBERS {
            self.tell_giant(key, true);
        }
        position
    }

    /// Takes a waiter out of a lane, and tells the one that moved into its place.
    pub(super) fn stop_waiting(&mut self, key: GroupKey, lane: Lane, position: u32) {
        let waiters = self.hub.waiters_mut(key, &self.env.now);
        let moved = waiters.remove(lane, position);
        let left = waiters.len();
        if let Some(moved) = moved
            && let Some((_, conn)) = self.conns.at_mut(moved.slot)
            && let Some(place) = place_mut(&mut conn.interest, moved.sub)
        {
            *place = Place::Here { key, position };
        }
        if left == GIANT_GROUP_SUBSCRIBERS / 2 && self.giants.contains(&self.hub.group(key).id()) {
            self.tell_giant(key, false);
        }
        if left == 0 && !self.hub.is_home(key) {
            self.linger(key);
        }
    }

    /// A mirror has no waiter left: it is dropped after a while, unless one comes.
    pub(super) fn linger(&mut self, key: GroupKey) {
        // The home keeps the group for us as long as the mirror lingers, and should not for longer than for itself.
        let until = self.env.now.tick.after(MIRROR_LINGER.min(self.env.limits.group_ttl));
        if self.lingering.insert(key, until).is_none() {
            self.alarms.insert(until, Alarm::Mirror(key));
        }
    }

    fn tell_giant(&mut self, key: GroupKey, giant: bool) {
        if !self.hub.is_home(key) || self.workers == 1 {
            return;
        }
        let group = self.hub.group(key).id();
        if giant {
            self.giants.insert(group);
        } else {
            self.giants.remove(&group);
        }
        for other in (0..self.workers).filter(|other| *other != self.id.index()) {
            let to = ShardId(u16::try_from(other).expect("there are at most WORKERS_MAX shards"));
            self.commands.push_back(Command::Mail(to, Mail::Giant { group, giant }));
        }
    }

    /// A mirror has lingered: it goes unless somebody waits for it again.
    pub(super) fn drop_idle_mirror(&mut self, key: GroupKey) {
        let Some(until) = self.lingering.remove(&key) else { return };
        if !self.hub.group(key).waiters().is_empty() {
            return;
        }
        if until > self.env.now.tick {
            // It was waited for since, and emptied again.
            self.lingering.insert(key, until);
            self.alarms.insert(until, Alarm::Mirror(key));
            return;
        }
        let group = self.hub.group(key).id();
        if self.coming.contains_key(&group) {
            // It was sent for again: a farewell behind that would have the home forget whom it answers.
            return self.linger(key);
        }
        self.hub.drop_mirror(key);
        self.post(group, Mail::Unsubscribe { group, from: self.id });
    }

    /// What a connection has to do with a member changes, wherever the group is at home.
    pub(super) fn note_presence(&mut self, group: GroupId, member: &MemberId, presence: Presence) {
        if !self.is_home(group) {
            self.post(group, Mail::Presence { group, member: member.clone(), presence });
            return;
        }
        let now = &self.env.now;
        // Whoever leaves a group that is gone by now leaves nothing.
        let Some(key) = self.hub.find(group) else { return };
        match presence {
            Presence::Connected => self.hub.connect(key, member, now),
            Presence::Disconnected { tell } => drop(self.hub.disconnect(key, member, now, tell)),
            Presence::Parked => self.hub.park(key, member, now),
            Presence::Unparked => self.hub.unpark(key, member, now),
        }
    }

    /// Ends everything that a connection waits for: it leaves its groups, and its member may leave with it.
    pub(super) fn part(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Interest::Feeds(_) = conn.interest {
            return self.part_feeds(id);
        }
        match std::mem::take(&mut conn.interest) {
            Interest::None | Interest::Asked(_) | Interest::Opening { .. } | Interest::Feeds(_) => {}
            Interest::Poll(poll) => {
                let Place::Here { key, position } = poll.place else { return };
                self.stop_waiting(key, POLLS, position);
                if let Some(speaks) = poll.speaks {
                    self.note_presence(speaks.group, &speaks.member, Presence::Unparked);
                }
            }
            Interest::Stream(stream) => {
                let lane = lane_of_stream(&conn.session);
                let tell = !self.env.draining;
                let Place::Here { key, position } = stream.feed.place else { return };
                self.stop_waiting(key, lane, position);
                if let Some(speaks) = stream.speaks {
                    self.note_presence(speaks.group, &speaks.member, Presence::Disconnected { tell });
                }
            }
        }
    }

    /// Ends all subscriptions of a STOMP connection, one by one: each may move another one of the same connection.
    fn part_feeds(&mut self, id: ConnId) {
        loop {
            let Some(conn) = self.conns.get_mut(id) else { return };
            let Interest::Feeds(feeds) = &mut conn.interest else { return };
            let Some(feed) = feeds.pop() else {
                conn.interest = Interest::None;
                return;
            };
            let member = conn.session.stomp_member().cloned();
            self.end_feed(&feed, member.as_ref());
        }
    }

    /// Ends one STOMP subscription.
    pub(super) fn end_feed(&mut self, feed: &Feed, member: Option<&MemberId>) {
        // Whoever waits for its mirror has not told its home of its member either.
        let Place::Here { key, position } = feed.place else { return };
        let group = self.hub.group(key).id();
        let tell = !self.env.draining;
        self.stop_waiting(key, SUBSCRIPTIONS, position);
        if let Some(member) = member {
            self.note_presence(group, member, Presence::Disconnected { tell });
        }
    }

    /// A STOMP connection is connected: it can subscribe, and its heart-beats begin.
    pub(super) fn start_feeds(&mut self, id: ConnId, heart_beat: HeartBeat) {
        let now = self.env.now.tick;
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.interest = Interest::Feeds(Feeds::new(heart_beat, now));
        self.clear_deadline(id);
        self.plan_heart_beat(id);
        self.plan_goodbye(id);
    }
}

/// The lane that a connection's subscriptions wait in.
pub(super) fn lane(conn: &Conn) -> Option<Lane> {
    match &conn.interest {
        Interest::Poll(_) => Some(POLLS),
        Interest::Stream(_) => Some(lane_of_stream(&conn.session)),
        Interest::Feeds(_) => Some(SUBSCRIPTIONS),
        Interest::None | Interest::Asked(_) | Interest::Opening { .. } => None,
    }
}

fn lane_of_stream(session: &Session) -> Lane {
    match session {
        Session::Sse => STREAMS,
        Session::WebSocket(_)
        | Session::Http(_)
        | Session::Echo(_)
        | Session::Stomp(_)
        | Session::Closing { .. } => WEBSOCKETS,
    }
}

/// One of a connection's feeds.
pub(super) fn feed(interest: &Interest, sub: u16) -> Option<&Feed> {
    match interest {
        Interest::Stream(stream) => Some(&stream.feed),
        Interest::Feeds(feeds) => feeds.get(sub),
        Interest::None | Interest::Asked(_) | Interest::Opening { .. } | Interest::Poll(_) => None,
    }
}

/// One of a connection's feeds.
pub(super) fn feed_mut(interest: &mut Interest, sub: u16) -> Option<&mut Feed> {
    match interest {
        Interest::Stream(stream) => Some(&mut stream.feed),
        Interest::Feeds(feeds) => feeds.get_mut(sub),
        Interest::None | Interest::Asked(_) | Interest::Opening { .. } | Interest::Poll(_) => None,
    }
}

fn place_mut(interest: &mut Interest, sub: u16) -> Option<&mut Place> {
    match interest {
        Interest::Poll(poll) => Some(&mut poll.place),
        Interest::Stream(_) | Interest::Feeds(_) => feed_mut(interest, sub).map(|feed| &mut feed.place),
        Interest::None | Interest::Asked(_) | Interest::Opening { .. } => None,
    }
}
