//! The slow way: an update that is not what stands at its listener's place is found in the logs or written there, and judged.

use std::sync::Arc;

use super::listener::{Listener, Phase, Rest};
use super::log::{Entry, Fault, Log, Place};
use super::{Ledger, PollVerdict, Verdict, note};
use crate::ids::Seq;
use crate::load::figures::Failure;
use crate::load::update::{Received, without_gap};

impl Ledger {
    /// Takes an update that is not simply the next one.
    pub(super) fn hear_slowly(&mut self, slot: u32, body: &[u8]) -> Verdict {
        let read = Received::parse(body).filter(|update| update.seq != Seq::ZERO);
        let Some(update) = read else {
            self.note(slot, (Failure::Body, "no update"), body);
            return Verdict::Bad;
        };
        let plain = without_gap(body);
        let judged = match self.listeners[slot as usize].phase {
            Phase::Unplaced { .. } => return self.hear_unplaced(slot, &update, body, &plain),
            Phase::Gone => return Verdict::Bad,
            Phase::Polling => Err((Failure::Protocol, "it polls, and was told of an update unasked")),
            Phase::Waiting | Phase::Fresh | Phase::Hearing => {
                let log = self.listeners[slot as usize].log;
                self.admit(log, &update, &plain).and_then(|place| self.judge(slot, &update, place))
            }
        };
        match judged {
            Ok((intended_micros, number)) => Verdict::Good { intended_micros, number, seq: update.seq },
            Err(fault) => {
                self.note(slot, fault, body);
                Verdict::Bad
            }
        }
    }

    /// Finds an update in a log, or writes it there; `None` if it had been there and was dropped.
    ///
    /// # Errors
    /// It cannot be of this group.
    pub(super) fn admit(
        &mut self,
        index: u32,
        update: &Received,
        plain: &[u8],
    ) -> Result<Option<u64>, Fault> {
        let log = &self.logs[index as usize];
        let found = log.place_of(update.seq, plain);
        if let Place::Known(place) = found {
            return Ok(Some(place));
        }
        if self.home_of_body.get(plain).is_some_and(|home| *home != index) {
            return Err((Failure::WrongGroup, "another group was told that"));
        }
        let place = match found {
            Place::Known(place) | Place::New(place) => place,
            Place::Trimmed => return Ok(None),
            Place::Taken => return Err((Failure::Body, "another update has that number")),
        };
        let number = log.number_of(update)?;
        if number.is_some_and(|number| !log.is_in_order(place, number)) {
            let whom = || format!("the publisher of group {}", log.group);
            let fault = (Failure::Reordered, "it was numbered out of the order that it was published in");
            note(&mut self.failures, fault, whom, plain);
        }
        self.insert(index, place, update, plain.into(), number);
        self.trim(index, place);
        Ok(Some(place))
    }

    /// Writes a new entry into a log, where it is owed to those who are owed what has its number.
    fn insert(&mut self, index: u32, place: u64, update: &Received, body: Arc<[u8]>, number: Option<u64>) {
        let log = &mut self.logs[index as usize];
        let pending = log.publisher.as_mut().zip(number);
        let intended = pending.and_then(|(publisher, number)| publisher.pending.remove(&number));
        if intended.as_ref().is_some_and(|intended| intended.is_awaited) {
            self.awaited -= 1;
        }
        if place == log.end() && update.seq > log.floor_max {
            self.outstanding += log.owed_listeners;
        } else {
            for slot in &log.listeners {
                let listener = &mut self.listeners[*slot as usize];
                self.outstanding += u64::from(listener.make_room(place, update.seq, &mut self.conflated));
            }
        }
        if update.location.is_some() {
            self.home_of_body.insert(body.clone(), index);
        }
        if let Some(holders) = self.holders_of_body.get(&body) {
            self.found.extend(holders.iter().map(|holder| (*holder, index)));
        }
        let entry = Entry {
            body,
            seq: update.seq,
            member: update.member.clone(),
            left: update.location.is_none(),
            number,
            intended_micros: intended.map(|intended| intended.micros),
            acknowledged: false,
            heard: false,
        };
        log.insert(place, entry);
    }

    /// Drops what everyone has passed, if there is much, but for what stands at `place` or behind it.
    fn trim(&mut self, index: u32, place: u64) {
        let log = &mut self.logs[index as usize];
        if log.entries.len() <= log.trim_at {
            return;
        }
        let owed = log.listeners.iter().map(|slot| &self.listeners[*slot as usize]);
        let passed = owed.filter(|listener| listener.phase.is_owed()).map(|listener| listener.place).min();
        let passed = passed.unwrap_or_else(|| log.end()).min(place);
        // Some stay, so that a repeated update is known by its bytes.
        let kept = log.end().saturating_sub(self.log_entries_max as u64 / 2);
        while log.base < passed.min(kept) {
            let entry = log.entries.pop_front().expect("the base is below the end");
            log.base += 1;
            log.trimmed_to = entry.seq;
            self.home_of_body.remove(&entry.body);
        }
        log.trim_at = log.entries.len() + self.log_entries_max / 2;
    }

    /// Holds an update of the log against a listener's place; says when it was intended and which publish it is, if the log
    /// knows.
    ///
    /// # Errors
    /// It is not in order, or came twice.
    fn judge(
        &mut self,
        slot: u32,
        update: &Received,
        place: Option<u64>,
    ) -> Result<(Option<u64>, Option<u64>), Fault> {
        let listener = &mut self.listeners[slot as usize];
        let log = &mut self.logs[listener.log as usize];
        let late = (Failure::Reordered, "it came behind a later one");
        let twice = (Failure::Repeated, "it came before");
        let Some(place) = place else {
            let has_begun = !matches!(listener.phase, Phase::Waiting | Phase::Fresh);
            if !has_begun && update.seq > listener.rest.floor {
                // What follows it can be checked from what is kept on.
                return Ok((None, None));
            }
            let was_missing = listener.rest.missing.remove(&update.seq);
            self.outstanding -= u64::from(was_missing);
            return Err(if was_missing { late } else { twice });
        };
        match listener.phase {
            Phase::Waiting => {
                log.owed_listeners += 1;
                listener.rest.joined = log.publisher.as_ref().map_or(0, |publisher| publisher.end);
                listener.begin(place, update, log.newest());
                self.outstanding += log.end() - listener.place;
            }
            Phase::Fresh if place < listener.place => {
                self.outstanding += listener.place - place - 1;
                listener.begin(place, update, log.newest());
            }
            Phase::Fresh | Phase::Hearing if place >= listener.place => {
                self.outstanding -= 1;
                listener.phase = Phase::Hearing;
                let passed = listener.pass_to(place, log, update.gap);
                self.outstanding -= passed;
                self.conflated += passed;
            }
            Phase::Fresh | Phase::Hearing => {
                if listener.rest.missing.remove(&update.seq) {
                    self.outstanding -= 1;
                    if let Some(entry) = log.get_mut(place) {
                        entry.heard = true;
                    }
                    return Err(late);
                }
                let unheard = listener.rest.is_in_hole(update.seq) || update.seq < listener.rest.floor;
                return Err(if unheard { late } else { twice });
            }
            Phase::Gone | Phase::Unplaced { .. } | Phase::Polling => return Ok((None, None)),
        }
        log.floor_max = log.floor_max.max(listener.rest.floor);
        let entry = log.get_mut(place).expect("it was found there");
        entry.heard = true;
        Ok((entry.intended_micros, entry.number))
    }

    /// Holds a poll's answer against what the poller and the group's publishers had been answered before.
    ///
    /// # Errors
    /// It is not what a poll is owed.
    pub(super) fn judge_poll(
        &mut self,
        slot: u32,
        body: &[u8],
        newest_at_send: Option<Seq>,
    ) -> Result<PollVerdict, Fault> {
        self.release(slot);
        self.take_held(slot);
        let listener = &mut self.listeners[slot as usize];
        let index = listener.log;
        if listener.phase != Phase::Polling {
            listener.phase = Phase::Polling;
            listener.place = self.logs.get(index as usize).map_or(0, Log::end);
            *listener.rest = Rest { seat: listener.rest.seat, ..Rest::default() };
        }
        let (seen, begun_at) = (listener.rest.floor, listener.place);
        let required = newest_at_send.map_or(seen, |newest| newest.max(seen));
        let read = Received::parse(body).filter(|update| !update.gap && update.location.is_some());
        let update = read.ok_or((Failure::Body, "no update"))?;
        let stale = (Failure::Stale, "it is older than what was known when it was asked for");
        if update.seq == Seq::ZERO {
            return if required == Seq::ZERO { Ok(PollVerdict::MadeUp) } else { Err(stale) };
        }
        let mut intended_micros = None;
        let mut passed_over = 0;
        if index != Listener::NO_LOG {
            let place = self.admit(index, &update, body)?;
            let log = &mut self.logs[index as usize];
            if update.seq < required && !log.is_newest_present(update.seq, required) {
                return Err(stale);
            }
            if let Some(entry) = place.and_then(|place| log.get_mut(place)) {
                entry.heard = true;
                intended_micros = entry.intended_micros;
            }
            let next = log.place_after(seen).max(begun_at);
            passed_over = (log.place_after(update.seq) - 1).saturating_sub(next);
        }
        if update.seq <= seen {
            return Ok(PollVerdict::Same { seq: update.seq });
        }
        self.listeners[slot as usize].rest.floor = update.seq;
        Ok(PollVerdict::New { intended_micros, seq: update.seq, passed_over })
    }
}
