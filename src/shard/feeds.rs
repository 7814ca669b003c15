//! What a STOMP connection is told of: its feeds, by the places of its subscriptions, and its heart-beats.
//!
//! Most have one subscription, which takes no memory besides the connection's slot.

use std::{iter, mem};

use crate::clock::Tick;
use crate::session::stomp::HeartBeat;
use crate::shard::conns::{Behind, Feed, PastTick};

/// The subscriptions of a STOMP connection.
#[derive(Debug)]
pub(super) struct Feeds {
    table: Table,
    /// What was agreed about heart-beats.
    pub(super) heart_beat: HeartBeat,
    /// When the last one went out; at first, when the connection could have had one.
    pub(super) beaten: PastTick,
}

/// Feeds by place.
#[derive(Debug)]
enum Table {
    /// Accepts: everything. Next: `Several` with another feed or without any, `Leaving`.
    One(Feed),
    /// Accepts: everything. Next: `One` with the first feed, `Leaving`.
    Several(Vec<Option<Feed>>),
    /// DISCONNECT has come, and waits for what came before it to have taken effect. Accepts: updates, and the end.
    Leaving(Box<Leaving>),
}

#[derive(Debug)]
struct Leaving {
    feeds: Vec<Option<Feed>>,
    /// The receipt to give then.
    receipt: Option<Box<str>>,
}

impl Feeds {
    /// No feed yet.
    pub(super) fn new(heart_beat: HeartBeat, now: Tick) -> Self {
        Self { table: Table::default(), heart_beat, beaten: PastTick::new(now) }
    }

    /// How many places there are; some may be free.
    pub(super) fn places(&self) -> usize {
        match &self.table {
            Table::One(_) => 1,
            Table::Several(feeds) => feeds.len(),
            Table::Leaving(leaving) => leaving.feeds.len(),
        }
    }

    /// How many feeds there are.
    pub(super) fn len(&self) -> usize {
        match &self.table {
            Table::One(_) => 1,
            Table::Several(_) | Table::Leaving(_) => self.iter().count(),
        }
    }

    /// The feed in a place.
    pub(super) fn get(&self, sub: u16) -> Option<&Feed> {
        let place = usize::from(sub);
        match &self.table {
            Table::One(feed) => (place == 0).then_some(feed),
            Table::Several(feeds) => feeds.get(place)?.as_ref(),
            Table::Leaving(leaving) => leaving.feeds.get(place)?.as_ref(),
        }
    }

    /// The feed in a place.
    pub(super) fn get_mut(&mut self, sub: u16) -> Option<&mut Feed> {
        let place = usize::from(sub);
        match &mut self.table {
            Table::One(feed) => (place == 0).then_some(feed),
            Table::Several(feeds) => feeds.get_mut(place)?.as_mut(),
            Table::Leaving(leaving) => leaving.feeds.get_mut(place)?.as_mut(),
        }
    }

    /// All feeds, in the order of their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Feed> {
        let (one, feeds) = match &self.table {
            Table::One(feed) => (Some(feed), &[][..]),
            Table::Several(feeds) => (None, &feeds[..]),
            Table::Leaving(leaving) => (None, &leaving.feeds[..]),
        };
        one.into_iter().chain(feeds.iter().flatten())
    }

    /// Puts a feed into a place.
    pub(super) fn insert(&mut self, sub: u16, feed: Feed) {
        self.table = match mem::take(&mut self.table) {
            Table::Several(feeds) if feeds.is_empty() && sub == 0 => Table::One(feed),
            table @ (Table::One(_) | Table::Several(_) | Table::Leaving(_)) => {
                let (place, mut feeds) = (usize::from(sub), table.into_list());
                if feeds.len() <= place {
                    feeds.reserve_exact(place + 1 - feeds.len());
                    feeds.resize_with(place + 1, || None);
                }
                feeds[place] = Some(feed);
                Table::Several(feeds)
            }
        };
    }

    /// Takes the feed out of a place, which is free from now on.
    pub(super) fn take(&mut self, sub: u16) -> Option<Feed> {
        let place = usize::from(sub);
        match &mut self.table {
            Table::One(_) if place == 0 => self.pop(),
            Table::One(_) => None,
            Table::Several(feeds) => feeds.get_mut(place)?.take(),
            Table::Leaving(leaving) => leaving.feeds.get_mut(place)?.take(),
        }
    }

    /// Takes the last feed out, with its place.
    pub(super) fn pop(&mut self) -> Option<Feed> {
        let feeds = match &mut self.table {
            table @ Table::One(_) => return mem::take(table).into_list().pop()?,
            Table::Several(feeds) => feeds,
            Table::Leaving(leaving) => &mut leaving.feeds,
        };
        iter::from_fn(|| feeds.pop()).flatten().next()
    }

    /// The client goes once all that it sent has taken effect, and is given this receipt then.
    pub(super) fn leave(&mut self, receipt: Option<Box<str>>) {
        let feeds = mem::take(&mut self.table).into_list();
        self.table = Table::Leaving(Box::new(Leaving { feeds, receipt }));
    }

    /// Whether the client is to go.
    pub(super) const fn is_leaving(&self) -> bool {
        matches!(self.table, Table::Leaving(_))
    }

    /// The client that is to go goes now: the receipt to give, if it asked for one.
    pub(super) fn end_leave(&mut self) -> Option<Box<str>> {
        let Table::Leaving(leaving) = &mut self.table else { return None };
        let (feeds, receipt) = (mem::take(&mut leaving.feeds), leaving.receipt.take());
        self.table = Table::Several(feeds);
        receipt
    }

    /// Memory held besides the slot: for each place also what a feed takes that is behind.
    pub(super) fn held_bytes(&self) -> usize {
        let places = match &self.table {
            Table::One(_) => 0,
            Table::Several(feeds) => feeds.capacity(),
            Table::Leaving(leaving) => leaving.feeds.capacity(),
        };
        places * (size_of::<Option<Feed>>() + size_of::<Behind>())
    }
}

impl Table {
    /// The feeds as a list.
    fn into_list(self) -> Vec<Option<Feed>> {
        match self {
            Self::One(feed) => vec![Some(feed)],
            Self::Several(feeds) => feeds,
            Self::Leaving(leaving) => leaving.feeds,
        }
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shard::conns::{Pace, Place};

    fn feed(ticket: u32) -> Feed {
        Feed { place: Place::Coming { ticket }, pace: Pace::Live }
    }

    fn ticket(feed: &Feed) -> u32 {
        let Place::Coming { ticket } = feed.place else { panic!("{feed:?}") };
        ticket
    }

    proptest! {
        #[test]
        fn feeds_are_where_a_plain_list_has_them(steps in prop::collection::vec((0u8..4, 0u16..4), 1..40)) {
            let mut feeds = Feeds::new(HeartBeat::default(), Tick(0));
            let mut model: Vec<Option<u32>> = Vec::new();
            let mut has_left = false;
            for (number, (step, sub)) in (0..).zip(steps) {
                let place = usize::from(sub);
                match step {
                    0 | 1 if !has_left && model.get(place).is_none_or(Option::is_none) => {
                        feeds.insert(sub, feed(number));
                        model.resize(model.len().max(place + 1), None);
                        model[place] = Some(number);
                    }
                    2 => {
                        let taken = model.get_mut(place).and_then(Option::take);
                        prop_assert_eq!(feeds.take(sub).as_ref().map(ticket), taken);
                    }
                    3 if sub == 0 && !has_left => {
                        feeds.leave(Some("r".into()));
                        has_left = true;
                    }
                    _ => {}
                }
                prop_assert_eq!(feeds.is_leaving(), has_left);
                let there: Vec<u32> = feeds.iter().map(ticket).collect();
                prop_assert_eq!(there, model.iter().copied().flatten().collect::<Vec<_>>());
                for sub in 0..5 {
                    let expected = model.get(usize::from(sub)).copied().flatten();
                    prop_assert_eq!(feeds.get(sub).map(ticket), expected);
                    prop_assert_eq!(feeds.get_mut(sub).map(|feed| ticket(feed)), expected);
                    prop_assert!(expected.is_none() || usize::from(sub) < feeds.places());
                }
            }
            prop_assert_eq!(feeds.end_leave().is_some(), has_left);
            prop_assert!(!feeds.is_leaving());
            while let Some(last) = feeds.pop() {
                let expected = iter::from_fn(|| model.pop()).flatten().next();
                prop_assert_eq!(Some(ticket(&last)), expected);
            }
            prop_assert!(model.iter().all(Option::is_none) && feeds.iter().next().is_none());
        }
    }

    #[test]
    fn one_feed_holds_nothing_besides_its_slot() {
        let mut feeds = Feeds::new(HeartBeat::default(), Tick(0));
        feeds.insert(0, feed(1));
        assert_eq!(feeds.held_bytes(), 0);
        feeds.insert(1, feed(2));
        assert!(feeds.held_bytes() >= 2 * size_of::<Feed>());
    }
}
