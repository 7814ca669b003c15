//! The ring of a group's last updates, from which cursors are served.
//!
//! Knows updates and their numbers; must not know whom they are owed to.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::Seq;
use crate::location::Update;

/// A group's last updates, at most `capacity` of them.
///
/// Invariant: the numbers of what it holds follow one another without a hole, so a number is an index.
#[derive(Clone, Debug)]
pub struct History {
    /// Grows as updates come: a group that says little must not reserve a whole ring.
    ring: VecDeque<Arc<Update>>,
    capacity: usize,
}

impl History {
    /// An empty ring that will keep `capacity` updates; 0 keeps none.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { ring: VecDeque::new(), capacity }
    }

    /// Keeps an update, letting go of the oldest if the ring is full.
    ///
    /// An update that does not follow the newest empties the ring first: a ring with a hole would serve the wrong
    /// updates, an empty one only says that some are gone.
    pub fn push(&mut self, update: Arc<Update>) {
        if self.capacity == 0 {
            return;
        }
        if self.newest().is_some_and(|newest| newest.next() != update.seq) {
            self.ring.clear();
        }
        if self.ring.len() == self.capacity {
            self.ring.pop_front();
        }
        self.ring.push_back(update);
        self.check_invariants();
    }

    /// The number of the oldest update held.
    #[must_use]
    pub fn oldest(&self) -> Option<Seq> {
        self.ring.front().map(|update| update.seq)
    }

    /// The number of the newest update held.
    #[must_use]
    pub fn newest(&self) -> Option<Seq> {
        self.ring.back().map(|update| update.seq)
    }

    /// The update of that number, if it is held.
    #[must_use]
    pub fn get(&self, seq: Seq) -> Option<&Arc<Update>> {
        let index = seq.number().checked_sub(self.oldest()?.number())?;
        self.ring.get(usize::try_from(index).ok()?)
    }

    /// The updates held whose numbers are above `seq`, oldest first.
    pub fn after(&self, seq: Seq) -> impl Iterator<Item = &Arc<Update>> {
        let skipped = self.oldest().map_or(0, |oldest| seq.next().number().saturating_sub(oldest.number()));
        self.ring.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX))
    }

    /// How many updates are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether no update is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    fn check_invariants(&self) {
        debug_assert!(self.ring.len() <= self.capacity, "the ring outgrew its capacity");
        if let (Some(oldest), Some(newest)) = (self.oldest(), self.newest()) {
            let numbers = newest.number() - oldest.number() + 1;
            debug_assert_eq!(numbers, self.ring.len() as u64, "the ring has a hole");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::UnixMs;
    use crate::location::{Change, Location};

    fn update(seq: u64) -> Arc<Update> {
        let change = Change::Moved(Location::new(1.0, 2.0).unwrap());
        let seq = Seq::new(seq).unwrap();
        Arc::new(Update { seq, member: None, change, at: UnixMs(0), at_was_sent: false, numbered_micros: 0 })
    }

    fn numbers<'a>(updates: impl Iterator<Item = &'a Arc<Update>>) -> Vec<u64> {
        updates.map(|update| update.seq.number()).collect()
    }

    proptest! {
        #[test]
        fn history_keeps_what_a_plain_queue_keeps(
            capacity in 0usize..9, base in 0u64..1_000, pushes in 0u64..30, asked in 0u64..1_040,
        ) {
            let mut history = History::new(capacity);
            let mut model = VecDeque::new();
            for seq in base..base + pushes {
                history.push(update(seq));
                model.push_back(seq);
                if model.len() > capacity {
                    model.pop_front();
                }
                prop_assert_eq!(history.oldest().map(Seq::number), model.front().copied());
                prop_assert_eq!(history.len(), model.len());
            }
            let asked_seq = Seq::new(asked).unwrap();
            let after: Vec<u64> = model.iter().copied().filter(|seq| *seq > asked).collect();
            prop_assert_eq!(numbers(history.after(asked_seq)), after);
            let got = history.get(asked_seq).map(|update| update.seq.number());
            prop_assert_eq!(got, model.contains(&asked).then_some(asked));
        }
    }

    #[test]
    fn history_of_capacity_zero_keeps_nothing() {
        let mut history = History::new(0);
        history.push(update(1));
        assert!(history.is_empty());
        assert_eq!(history.oldest(), None);
    }

    #[test]
    fn idle_history_reserves_nothing() {
        assert_eq!(History::new(128).ring.capacity(), 0);
    }

    #[test]
    fn update_after_a_hole_starts_the_ring_anew() {
        let mut history = History::new(4);
        history.push(update(1));
        history.push(update(5));
        assert_eq!(numbers(history.after(Seq::ZERO)), [5]);
    }
}
