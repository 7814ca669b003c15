//! The ring of a group's last updates, from which cursors are served.
//!
//! Knows updates and their numbers; must not know whom they are owed to.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::Seq;
use crate::location::{Change, Update};

/// A group's last updates, at most `capacity` of them.
///
/// Invariant: the numbers of what it holds follow one another without a hole, so a number is an index.
#[derive(Clone, Debug)]
pub struct History {
    /// Grows as updates come: a group that says little must not reserve a whole ring.
    ring: VecDeque<Arc<Update>>,
    capacity: usize,
    /// What the updates in it cost.
    update_bytes: usize,
    /// How many of them are leaves.
    leaves: usize,
}

impl History {
    /// An empty ring that will keep `capacity` updates; 0 keeps none.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { ring: VecDeque::new(), capacity, update_bytes: 0, leaves: 0 }
    }

    /// Keeps an update, letting go of the oldest if the ring is full, or may not grow and holds any.
    ///
    /// An update that does not follow the newest empties the ring first: a ring with a hole would serve the wrong
    /// updates, an empty one only says that some are gone.
    pub fn push(&mut self, update: Arc<Update>, may_grow: bool) {
        if self.capacity == 0 {
            return;
        }
        if self.newest().is_some_and(|newest| newest.next() != update.seq) {
            self.ring.clear();
            (self.update_bytes, self.leaves) = (0, 0);
        }
        if (self.ring.len() == self.capacity || !may_grow)
            && let Some(oldest) = self.ring.pop_front()
        {
            self.update_bytes -= oldest.held_bytes();
            self.leaves -= usize::from(oldest.change == Change::Left);
        }
        self.update_bytes += update.held_bytes();
        self.leaves += usize::from(update.change == Change::Left);
        self.ring.push_back(update);
        self.check_invariants();
    }

    /// What the ring and its updates cost on the heap.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Arc<Update>>() + self.update_bytes
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

    /// The leaves held whose numbers are above `seq`, oldest first; where there are none that costs nothing.
    pub fn leaves_after(&self, seq: Seq) -> impl Iterator<Item = &Arc<Update>> {
        let newer = (self.leaves > 0).then(|| self.after(seq));
        newer.into_iter().flatten().filter(|update| update.change == Change::Left)
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
        debug_assert_eq!(
            self.update_bytes,
            self.ring.iter().map(|update| update.held_bytes()).sum::<usize>()
        );
        debug_assert_eq!(
            self.leaves,
            self.ring.iter().filter(|update| update.change == Change::Left).count()
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::UnixMs;
    use crate::location::Location;

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
                history.push(update(seq), true);
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
        history.push(update(1), true);
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
        history.push(update(1), true);
        history.push(update(5), true);
        assert_eq!(numbers(history.after(Seq::ZERO)), [5]);
    }

    #[test]
    fn ring_that_may_not_grow_lets_go_of_as_much_as_it_takes() {
        let mut history = History::new(4);
        history.push(update(1), false);
        assert_eq!(numbers(history.after(Seq::ZERO)), [1], "an empty ring takes one all the same");
        history.push(update(2), true);
        let held = history.held_bytes();
        history.push(update(3), false);
        assert_eq!((numbers(history.after(Seq::ZERO)), history.held_bytes()), (vec![2, 3], held));
    }

    #[test]
    fn emptied_ring_holds_no_updates() {
        let mut history = History::new(2);
        history.push(update(1), true);
        let one = history.held_bytes();
        history.push(update(5), true);
        assert_eq!(history.held_bytes(), one, "the one before the hole is gone");
    }
}
