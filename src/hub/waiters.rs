//! Who is owed a group's updates: connections of this shard by lane, and other shards.
//!
//! Knows numbers that the shard gives it; must not know what a lane means or how anything is written.

use crate::ids::ShardId;
use crate::limits::WORKERS_MAX;

/// How many lanes there are: one per way of writing an update.
pub const LANES: usize = 4;

/// Room for waiters that an emptied lane keeps: 48 bytes, the least that a list allocates.
const LANE_KEPT_MAX: usize = 4;

/// One list of waiters; what its number means is the shard's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane(u8);

impl Lane {
    /// A lane by number.
    ///
    /// # Panics
    /// If there is no such lane: lanes are constants, and this shows while compiling.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        assert!((number as usize) < LANES, "no such lane");
        Self(number)
    }

    /// The lane's place in a table of lanes.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One subscription: a connection's slot, which of its subscriptions it is, and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The connection's key in the shard's tables.
    pub slot: u32,
    /// From which update on it is owed any; the shard's to use.
    pub from: u32,
    /// Which of the connection's subscriptions.
    pub sub: u16,
}
const _: () = assert!(size_of::<Waiter>() == 12);

/// Everybody who is owed a group's updates.
#[derive(Clone, Debug, Default)]
pub struct Waiters {
    lanes: [Vec<Waiter>; LANES],
    shards: ShardSet,
}

impl Waiters {
    /// Adds a waiter; what comes back is its position in the lane, by which it is removed.
    pub fn insert(&mut self, lane: Lane, waiter: Waiter) -> u32 {
        let waiters = &mut self.lanes[lane.index()];
        waiters.push(waiter);
        u32::try_from(waiters.len() - 1).expect("a lane holds fewer waiters than there are descriptors")
    }

    /// Removes the waiter at `position`; one that is not there is none to remove.
    ///
    /// The lane's last waiter takes the free place; if one moved it is returned, so that its owner can note that
    /// it is now at `position`.
    pub fn remove(&mut self, lane: Lane, position: u32) -> Option<Waiter> {
        let (waiters, position) = (&mut self.lanes[lane.index()], position as usize);
        debug_assert!(position < waiters.len(), "no waiter at {position}");
        if position >= waiters.len() {
            return None;
        }
        waiters.swap_remove(position);
        let moved = waiters.get(position).copied();
        if waiters.is_empty() && waiters.capacity() > LANE_KEPT_MAX {
            // A group that was popular once must not keep the memory of its best day, while one that a single
            // client polls must not allocate for each poll.
            *waiters = Vec::new();
        }
        moved
    }

    /// The waiters of a lane, in no meaningful order.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> &[Waiter] {
        &self.lanes[lane.index()]
    }

    /// The waiters of a lane, to be changed in place.
    #[must_use]
    pub fn lane_mut(&mut self, lane: Lane) -> &mut [Waiter] {
        &mut self.lanes[lane.index()]
    }

    /// How many waiters all lanes hold; other shards do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lanes.iter().map(Vec::len).sum()
    }

    /// Whether nobody waits: no connection here and no other shard.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.shards.is_empty()
    }

    /// The other shards that hold a mirror.
    #[must_use]
    pub const fn shards(&self) -> ShardSet {
        self.shards
    }

    /// The other shards that hold a mirror, to be changed in place.
    #[must_use]
    pub const fn shards_mut(&mut self) -> &mut ShardSet {
        &mut self.shards
    }
}

/// A set of shards: one bit each, so that it is copied, not walked, when a group's updates go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSet(u128);
const _: () = assert!(WORKERS_MAX <= u128::BITS as usize);

impl ShardSet {
    /// Adds a shard; false if it was there.
    pub fn insert(&mut self, shard: ShardId) -> bool {
        let before = self.0;
        self.0 |= Self::bit(shard);
        self.0 != before
    }

    /// Takes a shard out; false if it was not there.
    pub fn remove(&mut self, shard: ShardId) -> bool {
        let before = self.0;
        self.0 &= !Self::bit(shard);
        self.0 != before
    }

    /// Whether a shard is in the set.
    #[must_use]
    pub fn contains(self, shard: ShardId) -> bool {
        self.0 & Self::bit(shard) != 0
    }

    /// Whether no shard is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The shards in the set, lowest first.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let lowest = u16::try_from(left.trailing_zeros()).expect("a mask has 128 bits");
            if left == 0 {
                return None;
            }
            left &= left - 1;
            Some(ShardId(lowest))
        })
    }

    /// A shard's bit; none for a shard that there cannot be.
    fn bit(shard: ShardId) -> u128 {
        debug_assert!(shard.index() < WORKERS_MAX, "no such worker");
        1u128.checked_shl(u32::from(shard.0)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const LANE: Lane = Lane::new(2);

    fn waiter(slot: u32) -> Waiter {
        Waiter { slot, from: 0, sub: 0 }
    }

    #[test]
    fn removing_tells_who_moved_into_the_place() {
        let mut waiters = Waiters::default();
        let positions: Vec<u32> = (0..3).map(|slot| waiters.insert(LANE, waiter(slot))).collect();
        assert_eq!(positions, [0, 1, 2]);
        assert_eq!(waiters.remove(LANE, 0), Some(waiter(2)));
        assert_eq!(waiters.remove(LANE, 1), None, "the last one leaves no place to fill");
        assert_eq!(waiters.lane(LANE), [waiter(2)]);
    }

    #[test]
    fn lanes_are_counted_together_and_kept_apart() {
        let mut waiters = Waiters::default();
        waiters.insert(Lane::new(0), waiter(1));
        waiters.insert(Lane::new(3), waiter(2));
        assert_eq!(waiters.len(), 2);
        assert_eq!(waiters.lane(Lane::new(0)), [waiter(1)]);
        waiters.lane_mut(Lane::new(3))[0].from = 9;
        assert_eq!(waiters.lane(Lane::new(3))[0].from, 9);
    }

    #[test]
    fn emptied_lane_keeps_little_memory() {
        let mut waiters = Waiters::default();
        for slot in 0..100 {
            waiters.insert(LANE, waiter(slot));
        }
        for position in (0..100).rev() {
            assert_eq!(waiters.remove(LANE, position), None);
        }
        assert!(waiters.lanes[LANE.index()].capacity() <= LANE_KEPT_MAX);
        assert!(waiters.is_empty());
    }

    #[test]
    fn shards_come_out_lowest_first_and_once() {
        let mut waiters = Waiters::default();
        for shard in [127, 0, 5] {
            assert!(waiters.shards_mut().insert(ShardId(shard)));
        }
        assert!(!waiters.shards_mut().insert(ShardId(5)), "it was there");
        assert!(!waiters.is_empty(), "an interested shard waits too");
        assert_eq!(waiters.shards().iter().collect::<Vec<_>>(), [ShardId(0), ShardId(5), ShardId(127)]);
        assert!(waiters.shards_mut().remove(ShardId(5)));
        assert!(!waiters.shards_mut().remove(ShardId(5)));
        assert!(!waiters.shards().contains(ShardId(5)) && waiters.shards().contains(ShardId(127)));
    }

    proptest! {
        #[test]
        fn whoever_notes_the_moves_always_knows_its_place(
            steps in prop::collection::vec((any::<bool>(), 0..LANES as u8, any::<prop::sample::Index>()), 1..100),
        ) {
            let mut waiters = Waiters::default();
            // Each waiter's lane and position by its slot, as its connection keeps them.
            let mut places: BTreeMap<u32, (Lane, u32)> = BTreeMap::new();
            for (slot, (comes, lane, chosen)) in (0..).zip(steps) {
                if comes || places.is_empty() {
                    let lane = Lane::new(lane);
                    places.insert(slot, (lane, waiters.insert(lane, waiter(slot))));
                } else {
                    let slot = *places.keys().nth(chosen.index(places.len())).unwrap();
                    let (lane, position) = places.remove(&slot).unwrap();
                    if let Some(moved) = waiters.remove(lane, position) {
                        places.insert(moved.slot, (lane, position));
                    }
                }
                prop_assert_eq!(waiters.len(), places.len());
                for (slot, (lane, position)) in &places {
                    prop_assert_eq!(waiters.lane(*lane)[*position as usize].slot, *slot);
                }
            }
        }

        #[test]
        fn a_set_of_shards_does_what_a_tree_does(
            steps in prop::collection::vec((any::<bool>(), 0..WORKERS_MAX as u16), 0..60),
        ) {
            let (mut set, mut model) = (ShardSet::default(), BTreeSet::new());
            for (comes, shard) in steps {
                if comes {
                    prop_assert_eq!(set.insert(ShardId(shard)), model.insert(shard));
                } else {
                    prop_assert_eq!(set.remove(ShardId(shard)), model.remove(&shard));
                }
                prop_assert_eq!(set.iter().map(|shard| shard.0).collect::<BTreeSet<_>>(), model.clone());
                prop_assert!(set.iter().is_sorted_by_key(|shard| shard.0));
                prop_assert_eq!(set.is_empty(), model.is_empty());
            }
        }
    }
}
