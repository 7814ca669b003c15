//! Answers to short polls that were made already: who asks for the same update within the same second gets the same bytes.
//!
//! A group is polled by all its members between two updates, and rendering an answer costs several times what copying one
//! does.

use std::sync::Arc;

use crate::location::Update;

/// How many answers are kept: a busy server has more groups than this, but copies where it matters, in the busiest.
const SLOTS: usize = 64;

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

fn slot_of(update: &Update) -> usize {
    update.seq.number() as usize % SLOTS
}
