//! Listeners whose group is not known yet: what they hear is held until it is found in some group's log.

use std::sync::Arc;

use super::listener::{Owed, Phase};
use super::{Ledger, Verdict};
use crate::load::figures::Failure;
use crate::load::update::{Received, without_gap};

impl Ledger {
    /// Places a listener by what it hears, or holds that.
    pub(super) fn hear_unplaced(
        &mut self,
        slot: u32,
        update: &Received,
        body: &[u8],
        plain: &[u8],
    ) -> Verdict {
        if let Some(home) = self.home_of_body.get(plain) {
            self.place(slot, *home);
            return self.hear_slowly(slot, body);
        }
        if self.held == self.held_max {
            self.note(slot, (Failure::Body, "too many updates are held whose group is not known"), body);
            return Verdict::Bad;
        }
        self.held += 1;
        self.listeners[slot as usize].rest.held.push(body.into());
        self.holders_of_body.entry(plain.into()).or_default().push(slot);
        Verdict::Good { intended_micros: None, number: None, seq: update.seq }
    }

    /// Takes what a listener holds away from it.
    pub(super) fn take_held(&mut self, slot: u32) -> Vec<Arc<[u8]>> {
        let bodies = std::mem::take(&mut self.listeners[slot as usize].rest.held);
        self.held -= bodies.len();
        for body in &bodies {
            let plain = without_gap(body);
            if let Some(holders) = self.holders_of_body.get_mut(&*plain) {
                holders.retain(|holder| *holder != slot);
                if holders.is_empty() {
                    self.holders_of_body.remove(&*plain);
                }
            }
        }
        bodies
    }

    /// A listener's group is found: what it heard until now is checked there.
    fn place(&mut self, slot: u32, log: u32) {
        let left = self.listeners[slot as usize].phase == Phase::Unplaced { left: true };
        let bodies = self.take_held(slot);
        self.seat(slot, log, Owed::FromFirst);
        for body in bodies {
            self.hear_slowly(slot, &body);
        }
        if left {
            self.remove(slot);
        }
    }

    /// Places those whose group has been found. What they held may be news to their group, and place others.
    pub(super) fn place_found(&mut self) {
        while let Some((slot, log)) = self.found.pop() {
            if matches!(self.listeners[slot as usize].phase, Phase::Unplaced { .. }) {
                self.place(slot, log);
            }
        }
    }
}
