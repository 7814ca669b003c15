//! The connections of one worker: a slab whose keys carry a generation, and what is known of each.

use std::time::Duration;

use slab::Slab;

use crate::clock::Tick;
use crate::hub::GroupKey;
use crate::hub::group::Cursor;
use crate::ids::{ConnId, GroupId, MemberId, Seq, Transport};
use crate::limits::{Limits, PUBLISHES_UNDER_WAY_MAX};
use crate::session::Session;
use crate::session::http::Reply;
use crate::shard::feeds::Feeds;
use crate::shard::out_queue::OutQueue;
use crate::timer_wheel::TimerKey;
use crate::wire::http::response::IfNoneMatch;

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    /// What is spoken.
    pub(super) session: Session,
    /// What it waits for.
    pub(super) interest: Interest,
    /// What it is owed; `None` when nothing is and the socket takes writes.
    pub(super) out: Option<Box<OutQueue>>,
    /// Bytes that were read and cannot be acted on yet.
    pub(super) unread: Option<Box<Unread>>,
    /// The alarm for when something must happen on its own, if anything; what, the session and the interest say.
    pub(super) alarm: Option<TimerKey>,
    /// When bytes came last.
    pub(super) heard: PastTick,
    generation: u32,
    /// Publishes that other shards have not answered yet.
    pub(super) under_way: u8,
    /// What it is counted as.
    pub(super) counted_as: CountedAs,
    pub(super) flags: Flags,
}

/// Yes-or-no facts of a connection that no state implies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    /// It is where it will stay: at the home of the first group it named, or where that was found too large.
    pub(super) settled: bool,
    /// The reactor was told to read no further and has not been told otherwise.
    pub(super) held: bool,
    /// The socket is beyond use: it goes as soon as nothing is being iterated.
    pub(super) dead: bool,
    /// It came when there was no place: only probes and scrapes are answered.
    pub(super) surplus: bool,
    /// What may still come.
    pub(super) input: Input,
    /// One of its feeds may read by cursor: they are looked at when it is flushed.
    pub(super) behind: bool,
}

/// What a peer may still send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Input {
    /// Anything.
    #[default]
    Open,
    /// It has closed its side; bytes before that may be unread.
    HungUp,
    /// Nothing: all of it was read.
    Ended,
}

/// What a connection is and was counted as, in one byte: its transport, and a bit for each that it ever was.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountedAs(u8);

const NOW_BITS: u8 = 3;
const _: () =
    assert!(Transport::ALL.len() - 1 <= 8 - NOW_BITS as usize, "Http, where all begin, needs no bit");

impl CountedAs {
    pub(super) const fn new(transport: Transport) -> Self {
        Self(transport as u8 | Self::bit(transport))
    }

    const fn bit(transport: Transport) -> u8 {
        match transport {
            Transport::Http => 0,
            other => 1 << (NOW_BITS + other as u8 - 1),
        }
    }

    pub(super) const fn now(self) -> Transport {
        Transport::ALL[(self.0 & ((1 << NOW_BITS) - 1)) as usize]
    }

    /// Changes the transport; true if it never was that before.
    pub(super) const fn change(&mut self, transport: Transport) -> bool {
        let is_new = self.0 & Self::bit(transport) == 0 && !matches!(transport, Transport::Http);
        self.0 = (self.0 >> NOW_BITS << NOW_BITS) | transport as u8 | Self::bit(transport);
        is_new
    }
}

/// Bytes that were read and cannot be acted on yet.
#[derive(Debug, Default)]
pub(super) struct Unread {
    pub(super) bytes: Vec<u8>,
}

/// A slot is all that an idle connection owns here.
const _: () = assert!(size_of::<Option<Conn>>() <= 112);

/// A tick that has passed, to the millisecond; good for 49 days.
#[derive(Clone, Copy, Debug)]
pub(super) struct PastTick(u32);

impl PastTick {
    pub(super) const fn new(now: Tick) -> Self {
        Self(now.0 as u32)
    }

    /// How long ago that was.
    pub(super) const fn age(self, now: Tick) -> Duration {
        Duration::from_millis((now.0 as u32).wrapping_sub(self.0) as u64)
    }
}

/// What a connection waits for.
#[derive(Debug, Default)]
pub(super) enum Interest {
    /// Nothing: it is its turn to speak.
    #[default]
    None,
    /// An answer from another shard.
    Asked(Asked),
    /// The next update, as the answer to a long poll.
    Poll(Poll),
    /// The mirror of the group that it wants a stream of.
    Opening { ticket: u32 },
    /// Every update of one group, on SSE or WebSocket.
    Stream(Stream),
    /// Every update of several groups, on STOMP; by place in the session's table.
    Feeds(Feeds),
}

/// A request that another shard is asked about.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) reply: Reply,
    pub(super) about: About,
}

/// What it is about.
#[derive(Debug)]
pub(super) enum About {
    /// A location to be numbered.
    Publish,
    /// The same, answered as one event.
    OneShot,
    /// The newest update, unless the client has it.
    Newest { if_none_match: IfNoneMatch },
    /// Where a long poll would begin: all that a HEAD of one wants to know.
    Cursor,
    /// All members.
    Snapshot { group: GroupId },
    /// Every shard's counts.
    Scrape,
}

/// A parked long poll.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) place: Place,
    pub(super) start: Start,
    pub(super) reply: Reply,
    pub(super) speaks: Option<Box<Speaks>>,
}

/// Where a parked reader starts, in eight bytes: the last update that it has, and in the bit above the numbers of updates
/// whether it is to hear of a gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start(u64);

impl Start {
    /// Where a cursor stands of which nothing was read yet.
    pub(super) const fn new(cursor: Cursor) -> Self {
        Self(cursor.after.number() | if cursor.gap { Seq::END } else { 0 })
    }

    /// The cursor to read with.
    pub(super) fn cursor(self) -> Cursor {
        let after = Seq::new(self.0 % Seq::END).expect("what is left lies below the end");
        Cursor::with_gap(after, self.0 >= Seq::END)
    }
}

/// An endless stream of one group.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) feed: Feed,
    pub(super) speaks: Option<Box<Speaks>>,
}

/// For whom a connection speaks, and in which group.
#[derive(Clone, Debug)]
pub(super) struct Speaks {
    pub(super) group: GroupId,
    pub(super) member: MemberId,
}

/// Where a subscriber stands among a group's waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere yet: the group's mirror has been sent for.
    Coming { ticket: u32 },
    /// In the lane of its form, at this position.
    Here { key: GroupKey, position: u32 },
}

impl Place {
    /// Of a subscriber that is about to be given its place.
    pub(super) const NOWHERE: Self = Self::Coming { ticket: 0 };
}

/// What one subscriber is owed of one group.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) place: Place,
    pub(super) pace: Pace,
}

/// How a subscriber takes its updates.
#[derive(Debug)]
pub(super) enum Pace {
    /// Accepts: each update as it is told. Next: `Behind`, when too much waits for its socket.
    Live,
    /// Accepts: what follows the cursor, read from the ring as its socket drains. Next: `Live`, when caught up.
    Behind(Box<Behind>),
}

/// How far a subscriber has come that reads by cursor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    pub(super) cursor: Cursor,
    /// It fell behind by itself: it gets each member's newest, and what it does not get for that counts as conflated.
    pub(super) slow: bool,
}

impl Pace {
    pub(super) fn behind(cursor: Cursor, slow: bool) -> Self {
        Self::Behind(Box::new(Behind { cursor, slow }))
    }
}

/// The table of connections.
#[derive(Debug, Default)]
pub(super) struct Conns {
    slots: Slab<Conn>,
    given_away: u32,
    /// What each is counted for against `--max-held-bytes`, by slot, as far as any ever held something: beside the slots,
    /// for next to none ever does.
    held: Vec<u32>,
}

impl Conns {
    /// A table that grows to this many without moving.
    pub(super) fn with_capacity(slots: usize) -> Self {
        Self { slots: Slab::with_capacity(slots), ..Self::default() }
    }

    /// A place for a connection that has just come.
    pub(super) fn insert(&mut self, session: Session, now: Tick) -> ConnId {
        self.given_away = self.given_away.wrapping_add(1);
        let generation = self.given_away;
        let slot = self.slots.insert(Conn {
            session,
            interest: Interest::None,
            out: None,
            unread: None,
            alarm: None,
            heard: PastTick::new(now),
            generation,
            under_way: 0,
            counted_as: CountedAs::new(Transport::Http),
            flags: Flags::default(),
        });
        ConnId { slot: u32::try_from(slot).expect("descriptors are fewer than 2^32"), generation }
    }

    /// The connection, unless it is gone.
    pub(super) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.slots.get(id.slot as usize).filter(|conn| conn.generation == id.generation)
    }

    /// The connection, unless it is gone.
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots.get_mut(id.slot as usize).filter(|conn| conn.generation == id.generation)
    }

    /// The connection in a slot that a group's waiters name: those are taken out before it goes.
    pub(super) fn at_mut(&mut self, slot: u32) -> Option<(ConnId, &mut Conn)> {
        let conn = self.slots.get_mut(slot as usize)?;
        Some((ConnId { slot, generation: conn.generation }, conn))
    }

    /// What a slot's connection is counted for.
    pub(super) fn held_bytes(&self, slot: u32) -> usize {
        self.held.get(slot as usize).map_or(0, |held| *held as usize)
    }

    /// Counts a slot's connection for so much from now on; what it was counted for before.
    pub(super) fn set_held_bytes(&mut self, slot: u32, bytes: usize) -> usize {
        let before = self.held_bytes(slot);
        if bytes != before {
            let slot = slot as usize;
            if self.held.len() <= slot {
                self.held.resize(slot + 1, 0);
            }
            self.held[slot] = u32::try_from(bytes).unwrap_or(u32::MAX);
        }
        before
    }

    /// Forgets a connection.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        self.get(id)?;
        self.slots.try_remove(id.slot as usize)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// One past the highest slot that may be taken.
    pub(super) fn slots_end(&self) -> u32 {
        u32::try_from(self.slots.capacity()).unwrap_or(u32::MAX)
    }

    /// Every connection, in the order of the slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.slots
            .iter()
            .map(|(slot, conn)| (ConnId { slot: slot as u32, generation: conn.generation }, conn))
    }
}

impl Conn {
    /// What it is counted as.
    pub(super) const fn transport(&self) -> Transport {
        self.counted_as.now()
    }

    /// Whether its peer may not be listened to for now: it waits for an answer, or has too much under way or unsent.
    pub(super) fn must_wait(&self, limits: &Limits) -> bool {
        let waits = match &self.interest {
            Interest::Asked(_) | Interest::Poll(_) | Interest::Opening { .. } => true,
            Interest::Feeds(feeds) => feeds.is_leaving(),
            Interest::None | Interest::Stream(_) => false,
        };
        waits
            || self.under_way >= PUBLISHES_UNDER_WAY_MAX
            || (self.under_way > 0 && self.session.ends_transaction())
            || self.out.as_ref().is_some_and(|out| out.control().len() > limits.queue_bytes_max || out.closes)
    }

    /// Memory held for it besides its slot: what is half received, what waits to be acted on, and what it is owed.
    pub(super) fn held_bytes(&self) -> usize {
        let unread = self.unread.as_ref().map_or(0, |unread| size_of::<Unread>() + unread.bytes.capacity());
        let feeds = match &self.interest {
            Interest::Feeds(feeds) => feeds.held_bytes(),
            Interest::None
            | Interest::Asked(_)
            | Interest::Poll(_)
            | Interest::Opening { .. }
            | Interest::Stream(_) => 0,
        };
        let out = self.out.as_ref().map_or(0, |out| out.held_bytes());
        unread + feeds + out + self.session.held_bytes()
    }

    /// Whether it keeps a request or stream open until there is something to say.
    pub(super) fn is_parked(&self) -> bool {
        match &self.interest {
            Interest::Poll(_) | Interest::Opening { .. } | Interest::Stream(_) | Interest::Feeds(_) => true,
            Interest::None | Interest::Asked(_) => false,
        }
    }

    /// Whether it is parked and not read: then the end of its peer's input is all that it can still hear.
    pub(super) fn is_deaf(&self) -> bool {
        matches!(self.interest, Interest::Poll(_) | Interest::Opening { .. })
    }

    /// How many subscriptions it has.
    pub(super) fn subscriptions(&self) -> usize {
        match &self.interest {
            Interest::Poll(_) | Interest::Stream(_) => 1,
            Interest::Feeds(feeds) => feeds.len(),
            Interest::None | Interest::Asked(_) | Interest::Opening { .. } => 0,
        }
    }
}
