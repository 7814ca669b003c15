//! One listener: where in its group's log it is, and what it is still owed behind that place.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::log::Log;
use crate::ids::Seq;
use crate::load::update::Received;

/// Names one listener of one ledger, and only that one: the slot is used again, the generation is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// From where on a listener is owed everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// Everything that is not in the log yet: the tool knows that it is subscribed.
    ///
    /// It may begin earlier, with something that others have heard already; then it is owed what follows that. Updates
    /// that the server numbered before the subscription and that nobody has heard yet would be held against it, so
    /// nothing may be under way to the group when it begins.
    FromNow,
    /// Everything from the first that it hears.
    FromFirst,
    /// Nothing: it polls for the newest ([`super::Ledger::poll`]).
    Newest,
}

/// What a listener does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is gone; the slot may be given away.
    Gone,
    /// Its group is not known. Next: `Waiting`.
    Unplaced {
        /// It has left since; what it heard is still checked once its group is found.
        left: bool,
    },
    /// It has heard nothing, and is owed what follows the first that it hears. Next: `Hearing`.
    Waiting,
    /// It is owed everything from its place on, has heard nothing, and may begin before its place. Next: `Hearing`.
    Fresh,
    /// It is owed everything from its place on.
    Hearing,
    /// It asks for the newest update and is owed nothing else; `floor` is the newest that it was given.
    Polling,
}

impl Phase {
    /// Whether the log's later updates are owed to it.
    pub(super) const fn is_owed(self) -> bool {
        match self {
            Self::Fresh | Self::Hearing => true,
            Self::Gone | Self::Unplaced { .. } | Self::Waiting | Self::Polling => false,
        }
    }
}

/// One listener.
///
/// Invariant: all updates of the log before `place` were heard, or are in `missing`, or lie in one of `holes`, or are
/// numbered `floor` at most.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) phase: Phase,
    pub(super) generation: u32,
    /// Its group's log; [`Listener::NO_LOG`] while that is not known.
    pub(super) log: u32,
    pub(super) user: u32,
    /// The place in the log of the next update that it is owed; of a poller, where the log ended when it began.
    pub(super) place: u64,
    /// What is needed only where something is unusual.
    pub(super) rest: Box<Rest>,
}

#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Where it stands in its log's list of listeners.
    pub(super) seat: usize,
    /// Updates up to this number are not owed.
    pub(super) floor: Seq,
    /// How many publishes of its group had been intended when its listening became certain.
    pub(super) joined: u64,
    /// Owed, passed, and not heard.
    pub(super) missing: BTreeSet<Seq>,
    /// It was told that it is conflated: between these numbers, both heard, nothing is owed.
    pub(super) holes: Vec<(Seq, Seq)>,
    /// When it was last told so: the number that it had then, and the newest one. Between them holes are not told again.
    pub(super) told: (Seq, Seq),
    /// What it heard while its group was not known.
    pub(super) held: Vec<Arc<[u8]>>,
}

impl Rest {
    /// Whether the listener was told that it does not get what has this number.
    fn is_told(&self, seq: Seq) -> bool {
        self.is_in_hole(seq) || (self.told.0 < seq && seq <= self.told.1)
    }

    /// Whether a number lies where the listener was told that updates are missing, between two that it heard.
    pub(super) fn is_in_hole(&self, seq: Seq) -> bool {
        let after = self.holes.partition_point(|(before, _)| *before < seq);
        after > 0 && seq < self.holes[after - 1].1
    }
}

impl Listener {
    pub(super) const NO_LOG: u32 = u32::MAX;

    /// It begins with the update at this place.
    pub(super) fn begin(&mut self, place: u64, update: &Received, newest: Seq) {
        self.phase = Phase::Hearing;
        self.place = place + 1;
        self.rest.floor = update.seq;
        if update.gap {
            self.rest.told = (update.seq, newest);
        }
    }

    /// A new entry comes to stand at `place` of its log. Whether it is owed that.
    pub(super) fn make_room(&mut self, place: u64, seq: Seq, conflated: &mut u64) -> bool {
        if !self.phase.is_owed() {
            return false;
        }
        let is_owed = seq > self.rest.floor;
        if place > self.place || (place == self.place && is_owed) {
            return is_owed;
        }
        self.place += 1;
        if is_owed && self.rest.is_told(seq) {
            *conflated += 1;
            return false;
        }
        is_owed && self.rest.missing.insert(seq)
    }

    /// It hears the update at `place`, which is its own or behind it. How many it was told that it does not get.
    pub(super) fn pass_to(&mut self, place: u64, log: &Log, gap: bool) -> u64 {
        let seq = |place: u64| log.get(place).map(|entry| entry.seq);
        let before = self.place.checked_sub(1).and_then(seq).unwrap_or(self.rest.floor).max(self.rest.floor);
        let heard = seq(place).unwrap_or(before);
        let passed = place - self.place;
        if gap {
            // What is told once covers what follows up to the newest, and goes on where it had not ended.
            let from = if before <= self.rest.told.1 { self.rest.told.0 } else { before };
            self.rest.told = (from, log.newest());
        }
        let last = place.checked_sub(1).and_then(seq).filter(|_| passed > 0);
        let is_told = gap || last.is_some_and(|last| last <= self.rest.told.1);
        if is_told {
            self.rest.holes.push((before, heard));
        } else {
            self.rest.missing.extend((self.place..place).filter_map(seq));
        }
        self.place = place + 1;
        if is_told { passed } else { 0 }
    }
}
