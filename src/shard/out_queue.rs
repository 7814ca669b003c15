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
    use super::*;

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
}
