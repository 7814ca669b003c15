//! A hierarchical timer wheel over a slab: inserting, moving, cancelling and finding what is due take constant time.
//!
//! Knows ticks of one millisecond and the values it is given; must not know what they stand for. Read
//! `src/core/timer.rs` of fastly/pushpin for the idea of wheels that turn each other.
//!
//! A tick is a number of eleven digits of six bits. Level 0 has a slot for each value of the last digit, level 1
//! for the one before it, and so on. A timer lies at the level of the first digit in which its deadline differs
//! from the present, in the slot of that digit's value:
//!
//! ```text
//!            present  ..  07 21 33
//!   level 0  deadline ..  07 21 40   slot 40: due at exactly that tick
//!   level 1  deadline ..  07 25 02   slot 25: looked at again when the present reaches 07 25 00
//!   level 2  deadline ..  09 00 17   slot 9:  looked at again when the present reaches 09 00 00
//! ```
//!
//! So all that lies at a level is due before all that lies above it, the lowest bit of the lowest level in use is
//! what comes next, and no deadline is too far away. Where a timer lies changes only when its slot is emptied into
//! the levels below, so its place is computed, not stored. A timer that is moved to a later deadline stays where it
//! lies until that place is due: one that is moved again and again, as every request of a connection does, costs nothing.

use std::num::NonZeroU32;

use slab::Slab;

use crate::clock::Tick;

/// Bits of a tick that one level tells apart: as many slots as a `u64` has bits, so one word says which are in use.
const DIGIT_BITS: u32 = 6;
/// Slots of a level.
const SLOTS: usize = 1 << DIGIT_BITS;
/// Levels, enough for every tick.
const LEVELS: usize = 11;
const _: () = assert!(SLOTS == u64::BITS as usize && LEVELS as u32 * DIGIT_BITS >= u64::BITS);
const _: () = assert!(size_of::<Node<u64>>() <= 32 && size_of::<Option<TimerKey>>() == 8);

/// Names one timer of one wheel, and only that one: once it has expired or was cancelled its key cancels nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    slot: u32,
    /// Which insertion it was. It repeats after 2^32 of them, and then only in the same slot.
    generation: NonZeroU32,
}

/// Deadlines, each with a value to hand out once it has come.
///
/// Invariant: no timer lies before `elapsed`, and each lies where `place` says.
#[derive(Clone, Debug)]
pub struct TimerWheel<T> {
    nodes: Slab<Node<T>>,
    /// The first timer of each slot; means something only where `occupied` has the slot's bit.
    heads: Box<[[u32; SLOTS]; LEVELS]>,
    /// Which slots of each level hold timers.
    occupied: [u64; LEVELS],
    /// The present as far as the slots are concerned: everything due before it has been handed out.
    elapsed: u64,
    generation: NonZeroU32,
}

/// One timer, linked into the circle of those that share its slot; the head's `previous` is the last.
#[derive(Clone, Debug)]
struct Node<T> {
    /// The tick that it lies at.
    lies_at: u64,
    /// How long after that it is due.
    postponed_ms: u32,
    value: T,
    previous: u32,
    next: u32,
    generation: NonZeroU32,
}

impl<T> Node<T> {
    const fn deadline(&self) -> Tick {
        Tick(self.lies_at + self.postponed_ms as u64)
    }
}

impl<T: Copy> TimerWheel<T> {
    /// A wheel without timers.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        Self::with_capacity(now, 0)
    }

    /// A wheel without timers, which takes this many without moving any in memory.
    #[must_use]
    pub fn with_capacity(now: Tick, timers: usize) -> Self {
        Self {
            nodes: Slab::with_capacity(timers),
            heads: Box::new([[0; SLOTS]; LEVELS]),
            occupied: [0; LEVELS],
            elapsed: now.0,
            generation: NonZeroU32::MIN,
        }
    }

    /// Has `value` handed out once `deadline` has come; one that has passed already is due at once.
    pub fn insert(&mut self, deadline: Tick, value: T) -> TimerKey {
        let generation = self.generation;
        self.generation = generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let lies_at = deadline.0.max(self.elapsed);
        let node = Node { lies_at, postponed_ms: 0, value, previous: 0, next: 0, generation };
        let slot = self.nodes.insert(node);
        let slot = u32::try_from(slot).expect("2^32 timers are 128 GiB");
        self.link(slot);
        TimerKey { slot, generation }
    }

    /// Takes a timer back; `None` if it has expired or was cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.node(key)?;
        Some(self.remove(key.slot).value)
    }

    /// Gives a timer another deadline; false if it has expired or was cancelled.
    pub fn set_deadline(&mut self, key: TimerKey, deadline: Tick) -> bool {
        let deadline = deadline.0.max(self.elapsed);
        let node = self.nodes.get_mut(key.slot as usize).filter(|node| node.generation == key.generation);
        let Some(node) = node else { return false };
        let later = deadline.checked_sub(node.lies_at).and_then(|later| u32::try_from(later).ok());
        if let Some(later) = later {
            node.postponed_ms = later;
        } else {
            self.move_to(key.slot, deadline);
        }
        true
    }

    /// When a timer is due; `None` if it has expired or was cancelled.
    #[must_use]
    pub fn deadline(&self, key: TimerKey) -> Option<Tick> {
        self.node(key).map(Node::deadline)
    }

    /// Hands out the next value whose deadline has come by `now`; to be called until it says `None`.
    ///
    /// Never early. Values come in the order of their deadlines, and in the order of insertion where those are
    /// the same tick and none of them was moved.
    #[must_use]
    pub fn poll_expired(&mut self, now: Tick) -> Option<T> {
        while let Some((level, slot)) = self.first_occupied() {
            let start = self.start_of(level, slot);
            if start > now.0 {
                break;
            }
            if level == 0 {
                self.elapsed = start;
                let key = self.heads[0][slot];
                let Node { lies_at, postponed_ms, .. } = self.nodes[key as usize];
                if postponed_ms == 0 {
                    return Some(self.remove(key).value);
                }
                self.move_to(key, lies_at + u64::from(postponed_ms));
                continue;
            }
            self.cascade(level, slot, start);
        }
        // Nothing lies between the old present and `now`, so no timer's place changes by this.
        self.elapsed = self.elapsed.max(now.0);
        None
    }

    /// When to poll next: never later than the earliest deadline, but possibly earlier, at most once a level, and once where
    /// a timer was moved away from.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.first_occupied().map(|(level, slot)| Tick(self.start_of(level, slot)))
    }

    /// How many timers wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no timer waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn node(&self, key: TimerKey) -> Option<&Node<T>> {
        self.nodes.get(key.slot as usize).filter(|node| node.generation == key.generation)
    }

    /// The level and slot of a deadline that is not past.
    fn place(&self, deadline: u64) -> (usize, usize) {
        debug_assert!(deadline >= self.elapsed, "what is past has no place");
        let differing = (deadline ^ self.elapsed) | 1;
        let level = differing.ilog2() / DIGIT_BITS;
        let slot = (deadline >> (level * DIGIT_BITS)) as usize % SLOTS;
        (level as usize, slot)
    }

    /// The slot that comes next.
    fn first_occupied(&self) -> Option<(usize, usize)> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }

    /// The first tick that belongs to a slot: the present's digits above the level, the slot, then zeros.
    fn start_of(&self, level: usize, slot: usize) -> u64 {
        let shift = level as u32 * DIGIT_BITS;
        let above = u64::MAX.checked_shl(shift + DIGIT_BITS).unwrap_or(0);
        (self.elapsed & above) | ((slot as u64) << shift)
    }

    /// Moves the present to the start of a slot and what lies in it to the levels below, keeping its order.
    fn cascade(&mut self, level: usize, slot: usize, start: u64) {
        self.occupied[level] &= !(1 << slot);
        self.elapsed = start;
        let first = self.heads[level][slot];
        let mut key = first;
        loop {
            let next = self.nodes[key as usize].next;
            self.link(key);
            if next == first {
                break;
            }
            key = next;
        }
    }

    /// Has a timer lie at its deadline.
    fn move_to(&mut self, key: u32, deadline: u64) {
        self.unlink(key);
        let node = &mut self.nodes[key as usize];
        (node.lies_at, node.postponed_ms) = (deadline, 0);
        self.link(key);
    }

    /// Puts a timer last into the slot that its place in time asks for.
    fn link(&mut self, key: u32) {
        let (level, slot) = self.place(self.nodes[key as usize].lies_at);
        let (previous, next) = if self.occupied[level] & (1 << slot) == 0 {
            self.occupied[level] |= 1 << slot;
            self.heads[level][slot] = key;
            (key, key)
        } else {
            let head = self.heads[level][slot];
            (self.nodes[head as usize].previous, head)
        };
        self.nodes[previous as usize].next = key;
        self.nodes[next as usize].previous = key;
        let node = &mut self.nodes[key as usize];
        (node.previous, node.next) = (previous, next);
    }

    /// Takes a timer out of its slot.
    fn unlink(&mut self, key: u32) {
        let Node { lies_at, previous, next, .. } = self.nodes[key as usize];
        let (level, slot) = self.place(lies_at);
        if next == key {
            self.occupied[level] &= !(1 << slot);
        } else {
            self.nodes[previous as usize].next = next;
            self.nodes[next as usize].previous = previous;
            if self.heads[level][slot] == key {
                self.heads[level][slot] = next;
            }
        }
    }

    /// Takes a timer out of its slot and out of the slab.
    fn remove(&mut self, key: u32) -> Node<T> {
        self.unlink(key);
        self.nodes.remove(key as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The obvious slow wheel: a sorted map. Says exactly what the fast one must say.
    #[derive(Default)]
    struct Model {
        timers: BTreeMap<(u64, u32), u32>,
        elapsed: u64,
    }

    impl Model {
        fn insert(&mut self, deadline: u64, value: u32) -> (u64, u32) {
            let key = (deadline.max(self.elapsed), value);
            self.timers.insert(key, value);
            key
        }

        fn poll_expired(&mut self, now: u64) -> Option<u32> {
            match self.timers.first_entry() {
                Some(first) if first.key().0 <= now => {
                    self.elapsed = first.key().0;
                    Some(first.remove())
                }
                _ => {
                    self.elapsed = self.elapsed.max(now);
                    None
                }
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert { ahead: u64 },
        InsertPast { behind: u64 },
        Cancel { nth: usize },
        Jump { ahead: u64 },
        PollOnce { ahead: u64 },
    }

    /// Distances of every magnitude, so that every level and every boundary is met.
    fn distance() -> impl Strategy<Value = u64> {
        (0u32..42, any::<u64>()).prop_map(|(bits, number)| number & ((1 << bits) - 1))
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => distance().prop_map(|ahead| Step::Insert { ahead }),
            1 => distance().prop_map(|behind| Step::InsertPast { behind }),
            2 => any::<usize>().prop_map(|nth| Step::Cancel { nth }),
            2 => distance().prop_map(|ahead| Step::Jump { ahead }),
            1 => distance().prop_map(|ahead| Step::PollOnce { ahead }),
        ];
        prop::collection::vec(step, 1..120)
    }

    proptest! {
        #[test]
        fn wheel_does_what_a_sorted_map_does(start in distance(), steps in steps()) {
            let mut wheel = TimerWheel::new(Tick(start));
            let mut model = Model { elapsed: start, ..Model::default() };
            let (mut now, mut keys) = (start, Vec::new());
            for (value, step) in (0u32..).zip(steps) {
                match step {
                    Step::Insert { ahead } => {
                        keys.push((wheel.insert(Tick(now + ahead), value), model.insert(now + ahead, value)));
                    }
                    Step::InsertPast { behind } => {
                        let deadline = now.saturating_sub(behind);
                        keys.push((wheel.insert(Tick(deadline), value), model.insert(deadline, value)));
                    }
                    Step::Cancel { nth } if !keys.is_empty() => {
                        // The key stays in the list, so stale ones are tried too.
                        let (key, in_model) = keys[nth % keys.len()];
                        prop_assert_eq!(wheel.cancel(key), model.timers.remove(&in_model));
                    }
                    Step::Cancel { .. } => {}
                    Step::PollOnce { ahead } => {
                        now += ahead;
                        prop_assert_eq!(wheel.poll_expired(Tick(now)), model.poll_expired(now));
                    }
                    Step::Jump { ahead } => {
                        now += ahead;
                        loop {
                            let expired = wheel.poll_expired(Tick(now));
                            prop_assert_eq!(expired, model.poll_expired(now));
                            if expired.is_none() {
                                break;
                            }
                        }
                    }
                }
                prop_assert_eq!(wheel.len(), model.timers.len());
                let earliest = model.timers.first_key_value().map(|((deadline, _), _)| Tick(*deadline));
                prop_assert_eq!(wheel.next_deadline().is_some(), earliest.is_some());
                prop_assert!(wheel.next_deadline() <= earliest);
            }
        }
    }

    /// Timers that are given deadlines, some of them again and again, and what is due at each look.
    #[track_caller]
    fn check_moved(start: u64, steps: &[(usize, u64, bool)]) {
        let mut wheel = TimerWheel::new(Tick(start));
        let mut keys: Vec<Option<TimerKey>> = vec![None; 4];
        let mut deadlines: Vec<Option<u64>> = vec![None; 4];
        let mut now = start;
        for (nth, ahead, looks) in steps {
            let deadline = now.saturating_add(*ahead);
            let is_set = keys[*nth].is_some_and(|key| wheel.set_deadline(key, Tick(deadline)));
            assert_eq!(is_set, deadlines[*nth].is_some(), "only what waits can be moved");
            if !is_set {
                keys[*nth] = Some(wheel.insert(Tick(deadline), *nth));
            }
            deadlines[*nth] = Some(deadline);
            let told = keys[*nth].and_then(|key| wheel.deadline(key));
            assert_eq!(told, Some(Tick(deadline)));
            assert!(wheel.next_deadline() <= deadlines.iter().flatten().min().map(|first| Tick(*first)));
            if *looks {
                now = now.saturating_add(*ahead / 2 + 1);
                let mut last = 0;
                while let Some(nth) = wheel.poll_expired(Tick(now)) {
                    let due = deadlines[nth].take().expect("it waits");
                    assert!(due <= now && due >= last, "{due} at {now}, behind {last}");
                    last = due;
                }
                assert!(deadlines.iter().flatten().all(|due| *due > now), "{deadlines:?} at {now}");
            }
            assert_eq!(wheel.len(), deadlines.iter().flatten().count());
        }
    }

    proptest! {
        #[test]
        fn moved_timers_come_at_their_last_deadline_alone(
            start in distance(),
            steps in prop::collection::vec((0usize..4, distance(), any::<bool>()), 1..120),
        ) {
            check_moved(start, &steps);
        }
    }

    #[test]
    fn timer_moved_further_than_it_can_be_postponed_comes_when_it_is_due() {
        let far = u64::from(u32::MAX);
        for ahead in [far, far + 1, far + 2, 1 << 50] {
            check_moved(7, &[(0, 0, false), (0, ahead, false), (0, 2 * ahead, true), (1, 2 * ahead, true)]);
        }
    }

    /// One timer, woken only when the wheel asks to be: it must come at its tick, after few wakes.
    #[track_caller]
    fn check_comes_at(start: u64, deadline: u64) {
        let mut wheel = TimerWheel::new(Tick(start));
        wheel.insert(Tick(deadline), 7u32);
        let mut wakes = 0;
        loop {
            let now = wheel.next_deadline().expect("it has not come yet");
            assert!(now.0 <= deadline, "asked to be woken at {now:?}, after the deadline");
            if let Some(value) = wheel.poll_expired(now) {
                assert_eq!((now.0, value), (deadline, 7));
                break;
            }
            wakes += 1;
            assert!(wakes <= LEVELS, "woken in vain more than once a level");
        }
        assert!(wheel.is_empty());
    }

    #[test]
    fn timer_comes_at_its_tick_however_far_ahead() {
        for start in [0, 1, 63, 64, 4095, 1 << 40] {
            for ahead in [0, 1, 62, 63, 64, 65, 4095, 4096, 86_400_000, 30 * 86_400_000, 1 << 50] {
                check_comes_at(start, start + ahead);
            }
        }
        check_comes_at(5, u64::MAX);
    }

    #[test]
    fn timer_never_comes_early() {
        let mut wheel = TimerWheel::new(Tick(0));
        wheel.insert(Tick(10_000), 1u32);
        assert_eq!(wheel.poll_expired(Tick(9_999)), None);
        assert_eq!(wheel.poll_expired(Tick(10_000)), Some(1));
    }

    #[test]
    fn key_of_a_past_timer_cancels_no_stranger() {
        let mut wheel = TimerWheel::new(Tick(0));
        let first = wheel.insert(Tick(5), 1u32);
        assert_eq!(wheel.cancel(first), Some(1));
        let second = wheel.insert(Tick(5), 2u32);
        assert_eq!(second.slot, first.slot, "the slab reuses the slot");
        assert_eq!(wheel.cancel(first), None);
        assert_eq!(wheel.cancel(second), Some(2));
    }

    #[test]
    fn timers_of_one_tick_come_in_the_order_of_insertion() {
        let mut wheel = TimerWheel::new(Tick(0));
        wheel.insert(Tick(5_000), 1u32);
        assert_eq!(wheel.poll_expired(Tick(4_990)), None);
        wheel.insert(Tick(5_000), 2u32);
        assert_eq!(wheel.poll_expired(Tick(6_000)), Some(1));
        assert_eq!(wheel.poll_expired(Tick(6_000)), Some(2));
    }

    #[test]
    fn timer_in_the_slab_takes_32_bytes() {
        /// What a slab's entry looks like: the key's niche has room for the tag.
        #[expect(dead_code, reason = "only its size matters")]
        enum Entry {
            Vacant(usize),
            Occupied(Node<crate::ids::ConnId>),
        }
        assert_eq!(size_of::<Entry>(), 32);
    }
}
