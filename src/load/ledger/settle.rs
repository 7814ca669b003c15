//! The end of a run: what nobody was told of by then is lost.

use std::sync::Arc;

use super::listener::{Listener, Phase};
use super::{Ledger, name, note, note_lost};
use crate::ids::Seq;
use crate::load::figures::Failure;
use crate::load::update::Received;

impl Ledger {
    /// What a listener has not heard by now is lost.
    pub(super) fn settle_listener(&mut self, slot: u32) {
        let listener = &self.listeners[slot as usize];
        if let Phase::Unplaced { left } = listener.phase {
            let bodies = self.take_held(slot);
            // A leave places nobody, so a leave alone is no failure.
            let is_location =
                |body: &&Arc<[u8]>| Received::parse(body).is_some_and(|update| update.location.is_some());
            for body in bodies.iter().filter(is_location) {
                self.note(slot, (Failure::WrongGroup, "no group was told that"), body);
            }
            if left {
                self.remove(slot);
            }
            return;
        }
        if !listener.phase.is_owed() {
            return;
        }
        let log = &self.logs[listener.log as usize];
        let next = log.get(listener.place).map(|entry| entry.seq);
        let first = listener.rest.missing.first().copied().or(next);
        let lost = log.end() - listener.place + listener.rest.missing.len() as u64;
        let whom = || name(listener.user, Some(log.group));
        note_lost(&mut self.failures, lost, whom, first);
        self.outstanding -= lost;
        for entry in listener.rest.holes.iter().flat_map(|hole| log.newest_between(*hole)) {
            note(
                &mut self.failures,
                (Failure::Lost, "it was passed over, the newest of its member"),
                whom,
                &entry.body,
            );
        }
        let end = log.end();
        let listener = &mut self.listeners[slot as usize];
        listener.rest.missing.clear();
        listener.rest.holes.clear();
        listener.place = end;
    }

    /// Publishes of which nobody was told, though somebody listened, are lost as well.
    pub(super) fn settle_publisher(&mut self, index: usize) {
        let log = &mut self.logs[index];
        self.awaited -= log.await_nothing();
        let Some(publisher) = &mut log.publisher else { return };
        let listeners = log.listeners.iter().map(|slot| &self.listeners[*slot as usize]);
        // Whoever was told of a gap may have been spared what nobody else heard.
        let is_sure = |listener: &&Listener| listener.phase.is_owed() && listener.rest.told.1 == Seq::ZERO;
        let sure = listeners.clone().filter(is_sure);
        let sure = sure.map(|listener| listener.rest.joined).min().unwrap_or(u64::MAX);
        let waiting = listeners.filter(|listener| listener.phase == Phase::Waiting);
        let waiting = waiting.map(|listener| listener.rest.joined).min().unwrap_or(u64::MAX);
        let group = log.group;
        let pending = std::mem::take(&mut publisher.pending).into_iter();
        let lost = pending.filter(|(number, intended)| *number >= sure && !intended.is_doubted);
        for (number, _) in lost {
            let example = || format!("nobody was told of publish {number} to group {group}");
            self.failures.note(Failure::Lost, example);
        }
        if log.owed_listeners > 0 {
            // Those that were acknowledged are in the log, and lost to each who was sure to be owed them.
            return;
        }
        for entry in &mut log.entries {
            let is_lost = entry.acknowledged && entry.number.is_some_and(|number| number >= waiting);
            if is_lost && !std::mem::replace(&mut entry.heard, true) {
                let example = || format!("nobody was told of {} in group {group}", entry.seq);
                self.failures.note(Failure::Lost, example);
            }
        }
    }
}
