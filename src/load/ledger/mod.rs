//! The ledger: holds what every listener heard against what its group was told, so that an update that is lost, repeated,
//! out of order or misdirected is found.
//!
//! Each group has a log, its updates in the order of their numbers; whoever hears an update first writes it there. A
//! listener has a place in the log. Updates of a group are the same bytes for everyone, so the rule, a listener hears
//! what stands at its place, costs one comparison of slices; whatever else happens takes the slow way through
//! [`Received::parse`]. Knows no socket, no clock and no transport.

mod judge;
mod listener;
mod log;
mod settle;
mod unplaced;

use std::collections::HashMap;
use std::sync::Arc;

use self::listener::{Listener, Phase, Rest};
pub use self::listener::{ListenerId, Owed};
use self::log::{Fault, Intended, Log};
use crate::ids::{GroupId, Seq};
use crate::load::figures::{Failure, Failures};
use crate::load::update::Received;

/// Entries that a log keeps before it drops those that all have passed: a minute of a thousand updates a second.
const LOG_ENTRIES_MAX: usize = 65_536;

/// What listeners whose group is not known may hold in all; a witness in each group places them within moments.
const HELD_MAX: usize = 10_000;

/// How an update was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it was owed, or ahead of some that are still to come.
    Good {
        /// When the tool intended to publish it; `None` if it did not say, or the listener's group is not known yet.
        intended_micros: Option<u64>,
        /// Which of the tool's publishes to its group it is, under the same condition.
        number: Option<u64>,
        /// Its number.
        seq: Seq,
    },
    /// Not as it was owed: noted as a failure.
    Bad,
}

/// What a poll was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollVerdict {
    /// An update that this poller had not been given yet.
    New {
        /// When the tool intended to publish it, if it said so.
        intended_micros: Option<u64>,
        /// Its number.
        seq: Seq,
        /// How many known ones lie between the one before, or the time that it began to listen, and this.
        passed_over: u64,
    },
    /// The update that this poller was given before.
    Same {
        /// Its number.
        seq: Seq,
    },
    /// A location that the server made up, for the group is empty.
    MadeUp,
    /// Not what was owed: noted as a failure.
    Bad,
}

/// What all groups were told, and how far each listener has heard it.
///
/// Invariant: `outstanding` is the number of pairs of an update and a listener that is owed it and has not heard it.
#[derive(Debug)]
pub struct Ledger {
    logs: Vec<Log>,
    log_of_group: HashMap<GroupId, u32>,
    listeners: Vec<Listener>,
    /// Slots of listeners that have gone.
    free: Vec<u32>,
    /// The log that a body is in. Leaves are not here: they say too little to be told apart.
    home_of_body: HashMap<Arc<[u8]>, u32>,
    /// Who holds a body until its group is known.
    holders_of_body: HashMap<Arc<[u8]>, Vec<u32>>,
    held: usize,
    held_max: usize,
    log_entries_max: usize,
    /// Holders whose group is known by now.
    found: Vec<(u32, u32)>,
    outstanding: u64,
    /// Publishes that have not come back, though somebody to whom they are owed listens.
    awaited: u64,
    conflated: u64,
    failures: Failures,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl Ledger {
    /// A ledger without groups and listeners.
    #[must_use]
    pub fn new() -> Self {
        Self::with_bounds(LOG_ENTRIES_MAX, HELD_MAX)
    }

    fn with_bounds(log_entries_max: usize, held_max: usize) -> Self {
        Self {
            logs: Vec::new(),
            log_of_group: HashMap::new(),
            listeners: Vec::new(),
            free: Vec::new(),
            home_of_body: HashMap::new(),
            holders_of_body: HashMap::new(),
            held: 0,
            held_max,
            log_entries_max,
            found: Vec::new(),
            outstanding: 0,
            awaited: 0,
            conflated: 0,
            failures: Failures::default(),
        }
    }

    /// Somebody listens from now on; `user` names it in examples of failures.
    ///
    /// A group of `None` is not known yet, for the server draws one: the listener is placed where what it hears is found
    /// in some group's log, and is owed everything from its first update on, whatever `owed` says.
    pub fn listen(&mut self, group: Option<GroupId>, owed: Owed, user: u32) -> ListenerId {
        let slot = self.free.pop().unwrap_or_else(|| {
            let (phase, rest) = (Phase::Gone, Box::default());
            self.listeners.push(Listener {
                phase,
                generation: 0,
                log: Listener::NO_LOG,
                user,
                place: 0,
                rest,
            });
            u32::try_from(self.listeners.len() - 1).expect("a listener has a connection, and those are fewer")
        });
        let listener = &mut self.listeners[slot as usize];
        listener.phase = Phase::Unplaced { left: false };
        listener.user = user;
        let id = ListenerId { slot, generation: listener.generation };
        if let Some(group) = group {
            let log = self.log_index(group);
            self.seat(slot, log, owed);
        }
        id
    }

    /// A listener was told of an update: `body` is all of it, as it came.
    ///
    /// Who has left is told `Bad`, and nothing is noted.
    pub fn hear(&mut self, listener: ListenerId, body: &[u8]) -> Verdict {
        let Some(known) = self.listeners.get_mut(listener.slot as usize) else { return Verdict::Bad };
        if known.generation != listener.generation {
            return Verdict::Bad;
        }
        if known.phase == Phase::Hearing
            && let Some(entry) = self.logs[known.log as usize].get_mut(known.place)
            && *entry.body == *body
        {
            known.place += 1;
            entry.heard = true;
            self.outstanding -= 1;
            let (intended_micros, number) = (entry.intended_micros, entry.number);
            return Verdict::Good { intended_micros, number, seq: entry.seq };
        }
        let verdict = self.hear_slowly(listener.slot, body);
        self.place_found();
        verdict
    }

    /// It is no listener any more: what it has not heard yet is not owed, but for what it was told a later one of.
    pub fn leave(&mut self, listener: ListenerId) {
        let Some(known) = self.listeners.get_mut(listener.slot as usize) else { return };
        if known.generation != listener.generation {
            return;
        }
        known.generation = known.generation.wrapping_add(1);
        if matches!(known.phase, Phase::Unplaced { .. }) && !known.rest.held.is_empty() {
            known.phase = Phase::Unplaced { left: true };
        } else {
            self.remove(listener.slot);
        }
    }

    /// The tool is about to publish its number `number` to this group, as `x` = the group's number and `y` = `number`;
    /// numbers grow from 0.
    ///
    /// From the first call on every location of that group must be one of these, once, in the order of their numbers. One
    /// that nobody was told of is lost, if somebody listened for sure before this call and still does at the end.
    pub fn intend(&mut self, group: GroupId, number: u64, intended_micros: u64) {
        let log = self.log_index(group);
        let log = &mut self.logs[log as usize];
        let publisher = log.publisher.get_or_insert_default();
        debug_assert!(number >= publisher.end, "numbers grow");
        publisher.end = publisher.end.max(number + 1);
        let is_awaited = log.owed_listeners > 0;
        let intended = Intended { micros: intended_micros, is_awaited, is_doubted: false };
        if publisher.pending.insert(number, intended).is_none() {
            self.awaited += u64::from(is_awaited);
        }
    }

    /// That publish was refused: nobody may be told of it.
    pub fn withdraw(&mut self, group: GroupId, number: u64) {
        let log = self.log_index(group);
        self.awaited -= u64::from(self.logs[log as usize].withdraw(number));
    }

    /// Whether that publish was taken, nobody knows: it may come, and is not lost if it does not.
    pub fn doubt(&mut self, group: GroupId, number: u64) {
        let log = self.log_index(group);
        self.awaited -= u64::from(self.logs[log as usize].doubt(number));
    }

    /// A publish was answered with this update: it is in the group, and owed to all who listen there.
    pub fn acknowledge(&mut self, group: GroupId, body: &[u8]) {
        let log = self.log_index(group);
        let whom = || format!("a publisher of group {group}");
        let read = Received::parse(body).filter(|update| !update.gap && update.seq != Seq::ZERO);
        let Some(update) = read else {
            return note(&mut self.failures, (Failure::Body, "no update"), whom, body);
        };
        match self.admit(log, &update, body) {
            Ok(place) => {
                let log = &mut self.logs[log as usize];
                if let Some(entry) = place.and_then(|place| log.get_mut(place)) {
                    entry.acknowledged = true;
                }
                log.newest_acknowledged = log.newest_acknowledged.max(Some(update.seq));
            }
            Err(fault) => note(&mut self.failures, fault, whom, body),
        }
        self.place_found();
    }

    /// A poll was answered with this, which must be the group's newest update.
    ///
    /// It may not be older than what this poller was given before, nor than `newest_at_send`, what had been
    /// acknowledged when the poll was sent, unless all that is newer is of members that have left.
    /// From its first poll on a listener is owed nothing else.
    pub fn poll(&mut self, listener: ListenerId, body: &[u8], newest_at_send: Option<Seq>) -> PollVerdict {
        let known = self.listeners.get(listener.slot as usize);
        if known.is_none_or(|known| known.generation != listener.generation) {
            return PollVerdict::Bad;
        }
        let verdict = self.judge_poll(listener.slot, body, newest_at_send);
        self.place_found();
        match verdict {
            Ok(verdict) => verdict,
            Err(fault) => {
                self.note(listener.slot, fault, body);
                PollVerdict::Bad
            }
        }
    }

    /// The newest update of this group that a publish was answered with.
    #[must_use]
    pub fn newest_acknowledged(&self, group: GroupId) -> Option<Seq> {
        self.logs[*self.log_of_group.get(&group)? as usize].newest_acknowledged
    }

    /// The run is over and quiet: what has not been heard by now is lost.
    pub fn settle(&mut self) {
        for slot in 0..self.listeners.len() as u32 {
            self.settle_listener(slot);
        }
        for log in 0..self.logs.len() {
            self.settle_publisher(log);
        }
        debug_assert_eq!((self.outstanding, self.awaited, self.held), (0, 0, 0));
    }

    /// Whether everyone has heard everything that is known to be owed.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.outstanding == 0 && self.awaited == 0 && self.held == 0
    }

    /// What went wrong.
    #[must_use]
    pub const fn failures(&self) -> &Failures {
        &self.failures
    }

    /// How many updates listeners were not told of, and were told so.
    #[must_use]
    pub const fn conflated(&self) -> u64 {
        self.conflated
    }
}

impl Ledger {
    fn log_index(&mut self, group: GroupId) -> u32 {
        *self.log_of_group.entry(group).or_insert_with(|| {
            self.logs.push(Log::new(group, self.log_entries_max));
            u32::try_from(self.logs.len() - 1).expect("groups of a run are fewer")
        })
    }

    fn note(&mut self, slot: u32, fault: Fault, body: &[u8]) {
        let listener = &self.listeners[slot as usize];
        let group = self.logs.get(listener.log as usize).map(|log| log.group);
        note(&mut self.failures, fault, || name(listener.user, group), body);
    }

    /// Gives a listener its log and its place there.
    fn seat(&mut self, slot: u32, index: u32, owed: Owed) {
        let listener = &mut self.listeners[slot as usize];
        let log = &mut self.logs[index as usize];
        listener.log = index;
        listener.rest.seat = log.listeners.len();
        listener.rest.joined = log.publisher.as_ref().map_or(0, |publisher| publisher.end);
        log.listeners.push(slot);
        (listener.phase, listener.rest.floor) = match owed {
            Owed::FromNow => (Phase::Fresh, log.newest()),
            Owed::FromFirst => (Phase::Waiting, Seq::ZERO),
            Owed::Newest => (Phase::Polling, Seq::ZERO),
        };
        if listener.phase == Phase::Polling {
            // What is there is not passed over by its first poll.
            listener.place = log.end();
        }
        if listener.phase.is_owed() {
            listener.place = log.place_after(listener.rest.floor);
            log.floor_max = log.floor_max.max(listener.rest.floor);
            log.owed_listeners += 1;
            self.outstanding += log.end() - listener.place;
        }
    }

    /// Takes back what is counted as outstanding for a listener that is owed nothing any more; says what was missing.
    fn release(&mut self, slot: u32) -> u64 {
        let listener = &mut self.listeners[slot as usize];
        if !listener.phase.is_owed() {
            return 0;
        }
        let log = &mut self.logs[listener.log as usize];
        let missing = listener.rest.missing.len() as u64;
        self.outstanding -= log.end() - listener.place + missing;
        log.owed_listeners -= 1;
        if log.owed_listeners == 0 {
            self.awaited -= log.await_nothing();
        }
        missing
    }

    fn remove(&mut self, slot: u32) {
        let missing = self.release(slot);
        let listener = &mut self.listeners[slot as usize];
        let first = listener.rest.missing.first();
        let group = self.logs.get(listener.log as usize).map(|log| log.group);
        note_lost(&mut self.failures, missing, || name(listener.user, group), first.copied());
        let Rest { seat, .. } = std::mem::take(&mut *listener.rest);
        listener.phase = Phase::Gone;
        let log = std::mem::replace(&mut listener.log, Listener::NO_LOG);
        if let Some(log) = self.logs.get_mut(log as usize) {
            log.listeners.swap_remove(seat);
            if let Some(moved) = log.listeners.get(seat) {
                self.listeners[*moved as usize].rest.seat = seat;
            }
        }
        self.free.push(slot);
    }
}

/// Who it is, in examples of failures.
fn name(user: u32, group: Option<GroupId>) -> String {
    match group {
        Some(group) => format!("user {user} of group {group}"),
        None => format!("user {user}"),
    }
}

fn note(failures: &mut Failures, fault: Fault, whom: impl Fn() -> String, body: &[u8]) {
    let (failure, rule) = fault;
    failures.note(failure, || {
        let shown = &body[..body.len().min(200)];
        format!("{}: {rule}: {}", whom(), String::from_utf8_lossy(shown))
    });
}

fn note_lost(failures: &mut Failures, lost: u64, whom: impl Fn() -> String, first: Option<Seq>) {
    failures.note_many(Failure::Lost, lost, || {
        let first = first.map_or_else(String::new, |seq| format!(", the first of them {seq}"));
        format!("{} was not told of {lost} updates{first}", whom())
    });
}

#[cfg(test)]
mod tests;
