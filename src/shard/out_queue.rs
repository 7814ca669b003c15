//! What one connection is still owed, in the order in which it goes out.
//!
//! ```text
//!   partial  |  control          |  owed                       |  farewell
//!   rest of  |  answers, pongs,  |  updates by reference,      |  a drain's goodbye
//!   a begun  |  receipts, errors |  encoded when written       |
//!   message  |                   |                             |
//! ```
//! A connection without a queue is owed nothing and its socket takes writes. Knows no group and no wire format.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::location::Update;

/// What each buffer of an emptied queue keeps for the next connection.
pub(super) const KEPT_BYTES: usize = 4096;

/// An update that waits for its turn on one connection.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    /// Shared with everyone else who is owed it.
    pub(super) update: Arc<Update>,
    /// Which of the connection's subscriptions it belongs to.
    pub(super) sub: u16,
    /// Whether updates before it were lost to this subscriber.
    pub(super) gap: bool,
    /// Its length as it will be written.
    pub(super) bytes: u32,
}

/// What is owed to one connection.
#[derive(Debug, Default)]
pub(super) struct OutQueue {
    partial: Vec<u8>,
    control: Vec<u8>,
    /// How much of `control` is written already; `partial` is empty whenever this is not 0.
    control_written: usize,
    owed: VecDeque<Owed>,
    owed_bytes: usize,
    farewell: Vec<u8>,
    /// The last write did not take everything: the socket says when it is writable again.
    pub(super) blocked: bool,
    /// It stands in the list of connections to flush.
    pub(super) dirty: bool,
    /// The connection closes once all of this is written.
    pub(super) closes: bool,
}

impl OutQueue {
    /// The rest of a message that was begun; nothing may be written before it.
    pub(super) fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Frames and answers that go before any update.
    pub(super) fn control(&self) -> &[u8] {
        &self.control[self.control_written..]
    }

    /// What goes after everything else.
    pub(super) fn farewell(&self) -> &[u8] {
        &self.farewell
    }

    /// Appends whole frames or answers.
    pub(super) fn push_control(&mut self, bytes: &[u8]) {
        self.control.extend_from_slice(bytes);
    }

    /// Whether it is to be put into the list of connections to flush, where it counts as being from now on.
    pub(super) fn must_be_listed(&mut self) -> bool {
        !self.blocked && !std::mem::replace(&mut self.dirty, true)
    }

    /// Sets what is said after all that is owed.
    pub(super) fn set_farewell(&mut self, bytes: &[u8]) {
        self.farewell.clear();
        self.farewell.extend_from_slice(bytes);
    }

    /// Appends an update.
    pub(super) fn push_owed(&mut self, owed: Owed) {
        self.owed_bytes += owed.bytes as usize;
        self.owed.push_back(owed);
    }

    /// Puts back an update that was taken but not written.
    pub(super) fn put_back(&mut self, owed: Owed) {
        self.owed_bytes += owed.bytes as usize;
        self.owed.push_front(owed);
    }

    /// Takes the update that is next.
    pub(super) fn pop_owed(&mut self) -> Option<Owed> {
        let owed = self.owed.pop_front()?;
        self.owed_bytes -= owed.bytes as usize;
        Some(owed)
    }

    /// Drops the waiting updates that `drop` names.
    pub(super) fn drop_owed(&mut self, mut drop: impl FnMut(&Owed) -> bool) {
        self.owed.retain(|owed| !drop(owed));
        self.owed_bytes = self.owed.iter().map(|owed| owed.bytes as usize).sum();
    }

    /// How many bytes of updates wait, as they will be written.
    pub(super) fn owed_bytes(&self) -> usize {
        self.owed_bytes
    }

    /// How many bytes wait in all.
    pub(super) fn bytes(&self) -> usize {
        self.partial.len() + self.control().len() + self.owed_bytes + self.farewell.len()
    }

    /// Memory held for it. An update counts as much as it will be written with, about what it takes in memory, though
    /// others may hold the same one.
    pub(super) fn held_bytes(&self) -> usize {
        let buffers = self.partial.capacity() + self.control.capacity() + self.farewell.capacity();
        size_of::<Self>() + buffers + self.owed.capacity() * size_of::<Owed>() + self.owed_bytes
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.partial.is_empty()
            && self.control().is_empty()
            && self.owed.is_empty()
            && self.farewell.is_empty()
    }

    /// Whether it holds control bytes alone, none of them written: such a queue can move to another shard.
    pub(super) fn is_movable(&self) -> bool {
        self.partial.is_empty()
            && self.control_written == 0
            && self.owed.is_empty()
            && self.farewell.is_empty()
    }

    /// Takes the control bytes of a movable queue.
    pub(super) fn take_control(&mut self) -> Vec<u8> {
        debug_assert!(self.is_movable(), "part of it may be written already");
        std::mem::take(&mut self.control)
    }

    /// Notes that the first `bytes` of partial and control were written; returns how many of them lay further.
    pub(super) fn wrote_front(&mut self, bytes: usize) -> usize {
        let from_partial = bytes.min(self.partial.len());
        self.partial.drain(..from_partial);
        let from_control = (bytes - from_partial).min(self.control().len());
        self.control_written += from_control;
        // What is out goes once it is half of all: each byte is moved at most once on average, and a peer that never lets
        // the queue run empty does not make it grow.
        if self.control_written * 2 >= self.control.len() {
            self.control.drain(..self.control_written);
            self.control_written = 0;
        }
        self.check_invariants();
        bytes - from_partial - from_control
    }

    /// Notes that the farewell is written up to `bytes`; the rest of it is a begun message like any other.
    pub(super) fn wrote_farewell(&mut self, bytes: usize) {
        self.farewell.drain(..bytes);
        debug_assert!(self.partial.is_empty(), "a farewell goes after everything else");
        std::mem::swap(&mut self.partial, &mut self.farewell);
    }

    /// Keeps the rest of a message that the socket took only in part.
    pub(super) fn set_partial(&mut self, rest: &[u8]) {
        debug_assert!(self.partial.is_empty(), "one message is begun at a time");
        self.partial.extend_from_slice(rest);
    }

    /// Makes an emptied queue fit for the pool: large buffers are not kept.
    pub(super) fn recycle(&mut self) {
        for buffer in [&mut self.partial, &mut self.control, &mut self.farewell] {
            buffer.clear();
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        self.owed.clear();
        if self.owed.capacity() * size_of::<Owed>() > KEPT_BYTES {
            self.owed = VecDeque::new();
        }
        (self.control_written, self.owed_bytes) = (0, 0);
        (self.blocked, self.dirty, self.closes) = (false, false, false);
    }

    fn check_invariants(&self) {
        debug_assert!(self.control_written <= self.control.len());
        debug_assert!(
            self.control_written == 0 || self.partial.is_empty(),
            "control began before the partial ended"
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::UnixMs;
    use crate::ids::Seq;
    use crate::location::Change;

    #[test]
    fn queue_that_never_runs_empty_does_not_grow() {
        let mut out = OutQueue::default();
        for _ in 0..1000 {
            out.push_control(&[0; 100]);
            let in_front = out.control().len().saturating_sub(50).min(100);
            out.wrote_front(in_front);
            assert!(out.control().len() <= 150 && out.control.len() <= 400, "{} bytes", out.control.len());
        }
    }

    /// The same queue the simplest way: what goes first byte by byte, then the numbers of updates.
    #[derive(Debug, Default)]
    struct Model {
        front: Vec<u8>,
        owed: Vec<u64>,
        farewell: Vec<u8>,
    }

    /// An update whose number is also how long it is.
    fn owed(number: u64) -> Owed {
        let update = Update {
            seq: Seq::new(number).unwrap(),
            member: None,
            change: Change::Left,
            at: UnixMs(0),
            at_was_sent: false,
            numbered_micros: 0,
        };
        Owed { update: Arc::new(update), sub: 0, gap: false, bytes: number as u32 }
    }

    fn bytes(len: u64, fill: u64) -> Vec<u8> {
        vec![fill as u8; len as usize]
    }

    /// Takes one step on both; steps that the flow of writing does not allow now are left out.
    fn step(out: &mut OutQueue, model: &mut Model, step: u8, number: u64) {
        match step {
            0 | 1 => {
                out.push_control(&bytes(number % 40, number));
                model.front.extend(bytes(number % 40, number));
            }
            2 | 3 => {
                out.push_owed(owed(number));
                model.owed.push(number);
            }
            4 | 5 => {
                let written = (number as usize).min(model.front.len());
                assert_eq!(out.wrote_front(written), 0);
                model.front.drain(..written);
                let beyond = number as usize - written;
                if model.front.is_empty() {
                    assert_eq!(out.wrote_front(beyond), beyond, "what is not in front lies further");
                }
            }
            // An update is begun, and the socket takes a part of it or nothing.
            6 if model.front.is_empty() && !model.owed.is_empty() => {
                let next = out.pop_owed().unwrap();
                let begun = model.owed.remove(0);
                assert_eq!(next.update.seq.number(), begun);
                if number.is_multiple_of(3) {
                    out.put_back(next);
                    model.owed.insert(0, begun);
                } else {
                    out.set_partial(&bytes(begun / 2, begun));
                    model.front = bytes(begun / 2, begun);
                }
            }
            7 => {
                out.drop_owed(|owed| owed.update.seq.number() % 5 == number % 5);
                model.owed.retain(|owed| owed % 5 != number % 5);
            }
            8 => {
                out.set_farewell(&bytes(number, number));
                model.farewell = bytes(number, number);
            }
            9 if model.front.is_empty() && model.owed.is_empty() => {
                let written = (number as usize).min(model.farewell.len());
                out.wrote_farewell(written);
                model.front = model.farewell.split_off(written);
                model.farewell.clear();
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn queue_does_what_a_list_of_bytes_and_numbers_does(
            steps in prop::collection::vec((0u8..10, 0u64..60), 1..80),
        ) {
            let (mut out, mut model) = (OutQueue::default(), Model::default());
            for (kind, number) in steps {
                step(&mut out, &mut model, kind, number);
                prop_assert_eq!([out.partial(), out.control()].concat(), model.front.clone());
                prop_assert_eq!(out.farewell(), &model.farewell);
                let owed_bytes = model.owed.iter().sum::<u64>() as usize;
                prop_assert_eq!(out.owed_bytes(), owed_bytes);
                prop_assert_eq!(out.bytes(), model.front.len() + owed_bytes + model.farewell.len());
                let is_empty = model.front.is_empty() && model.owed.is_empty() && model.farewell.is_empty();
                prop_assert_eq!(out.is_empty(), is_empty);
            }
            while let Some(next) = out.pop_owed() {
                prop_assert_eq!(next.update.seq.number(), model.owed.remove(0));
            }
            prop_assert!(model.owed.is_empty());
        }
    }
}
