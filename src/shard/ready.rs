//! Answers to short polls that were made already: who asks for the same update within the same second gets the same bytes.
//!
//! A group is polled by all its members between two updates, and rendering an answer costs several times what copying one
//! does.

use std::sync::Arc;

use crate::location::{Change, Update};

/// How many answers are kept: a busy server has more groups than this, but copies where it matters, in the busiest. Of some
/// 300 bytes each, and their updates, they are no part of what is counted against `--max-held-bytes`.
const SLOTS: usize = 64;
const _: () = assert!(SLOTS.is_power_of_two());

/// Answers by update, each in the one slot that it may have.
#[derive(Debug)]
pub(super) struct ReadyAnswers {
    slots: Box<[Ready; SLOTS]>,
}

/// One answer, whole; its buffer outlives it.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// What it tells; `None` if it was never made or is out of date.
    update: Option<Arc<Update>>,
    /// Head and content.
    pub(super) bytes: Vec<u8>,
    /// How much of that is content.
    pub(super) content_bytes: usize,
}

impl ReadyAnswers {
    pub(super) fn new() -> Self {
        Self {
            slots: Box::new([const { Ready { update: None, bytes: Vec::new(), content_bytes: 0 } }; SLOTS]),
        }
    }

    /// Takes an update's answer out of its slot, to be put back; without bytes if it is still to be made.
    pub(super) fn take(&mut self, update: &Arc<Update>) -> Ready {
        let mut ready = std::mem::take(&mut self.slots[slot_of(update)]);
        if ready.update.as_ref().is_none_or(|made| !Arc::ptr_eq(made, update)) {
            ready.update = Some(Arc::clone(update));
            ready.bytes.clear();
        }
        ready
    }

    /// Puts an answer back that has been made.
    pub(super) fn put_back(&mut self, update: &Update, ready: Ready) {
        self.slots[slot_of(update)] = ready;
    }

    /// A new second has begun, which answers name.
    pub(super) fn expire(&mut self) {
        for ready in &mut *self.slots {
            ready.update = None;
        }
    }
}

/// Groups that were made together give the same numbers; where a member is tells their updates apart.
fn slot_of(update: &Update) -> usize {
    let place = match update.change {
        Change::Moved(location) => location.x().to_bits() ^ location.y().to_bits().rotate_left(32),
        Change::Left => 0,
    };
    // Multiplied by a large odd number, the highest bits depend on all others.
    let mixed = (update.seq.number() ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - SLOTS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMs;
    use crate::ids::Seq;
    use crate::location::Location;

    /// The update that a group got as its first, made in the same millisecond as all others here.
    fn update(x: f64) -> Arc<Update> {
        Arc::new(Update {
            seq: Seq::at_unix_ms(1_767_225_600_000).next(),
            member: None,
            change: Change::Moved(Location::new(x, 50.0).unwrap()),
            at: UnixMs(0),
            at_was_sent: false,
            numbered_micros: 0,
        })
    }

    fn make(ready: &mut ReadyAnswers, update: &Arc<Update>) {
        let mut made = ready.take(update);
        made.bytes.extend_from_slice(b"answer");
        ready.put_back(update, made);
    }

    #[track_caller]
    fn check(ready: &mut ReadyAnswers, update: &Arc<Update>, expected: &[u8]) {
        let found = ready.take(update);
        assert_eq!(found.bytes, expected);
        ready.put_back(update, found);
    }

    #[test]
    fn answer_is_good_for_its_update_alone_and_for_its_second() {
        let mut ready = ReadyAnswers::new();
        let [ours, same] = [update(1.0), update(1.0)];
        make(&mut ready, &ours);
        check(&mut ready, &ours, b"answer");
        // Another group's, which is written differently for all that is known here.
        check(&mut ready, &same, b"");
        check(&mut ready, &ours, b"");
        make(&mut ready, &ours);
        ready.expire();
        check(&mut ready, &ours, b"");
    }

    #[test]
    fn groups_of_the_same_age_keep_their_answers_beside_each_other() {
        let mut ready = ReadyAnswers::new();
        let updates: Vec<_> = (0..SLOTS).map(|place| update(place as f64 * 100.0 / SLOTS as f64)).collect();
        for update in &updates {
            make(&mut ready, update);
        }
        let kept = updates.iter().filter(|update| {
            let found = ready.take(update);
            let is_kept = !found.bytes.is_empty();
            ready.put_back(update, found);
            is_kept
        });
        // By chance alone it would be 63 % of them.
        assert!(kept.count() > SLOTS / 2);
    }
}
