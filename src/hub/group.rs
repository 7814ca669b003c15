//! One group: its members and what they hold, its updates, and what a cursor is owed.
//!
//! Knows ids, locations and what time it is told; must not know who reads, how an update is written, or where a
//! connection is. The same type is a group at home, which numbers, and a mirror, which is told ([`Group::apply`]).
//!
//! What a cursor can be served from, by number:
//!
//! ```text
//!   made_at                         ring start                    newest
//!      |  no longer here, but for     |  every update, leaves too    |
//!      |  what members still hold     |                              |
//!      +------o-------o---------o-----+==============================+
//! ```

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::history::History;
use super::members::Members;
use super::waiters::Waiters;
use crate::clock::{Now, Tick, UnixMs};
use crate::ids::{GroupId, MemberId, Seq};
use crate::limits::AT_AHEAD_MAX;
use crate::location::{Change, Publish, Update};
use crate::report::Reason;

/// What became of a publish that was not refused.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Published {
    /// It is an update now; every subscriber is owed it.
    Numbered(Arc<Update>),
    /// A leave of a member without a held location: nothing changed and nobody is told.
    NothingLeft,
}

/// Why a publish was refused; nothing of it is kept or delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its `at` is older than that of the update the member holds, and both were sent by publishers.
    Stale {
        /// The `at` of the publish.
        at: UnixMs,
        /// The `at` of the update held.
        held: UnixMs,
    },
    /// The member is new, and as many members hold a location as a group may have.
    MembersFull {
        /// How many a group may have.
        max: usize,
    },
    /// The member is new, and what the server holds has nearly reached its bound.
    HeldFull {
        /// How many bytes the server may hold.
        max: usize,
    },
}

impl Refusal {
    /// The reason under which the refusal is counted.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Stale { .. } => Reason::Stale,
            Self::MembersFull { .. } => Reason::MembersMax,
            Self::HeldFull { .. } => Reason::HeldMax,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { at, held } => {
                write!(f, "at {} is older than the member's newest, {}", at.0, held.0)
            }
            Self::MembersFull { max } => write!(f, "the group has its {max} members"),
            Self::HeldFull { max } => {
                write!(f, "the server holds 90 % of its {max} bytes and takes no new member")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// How far a reader has come in a group's updates: it is owed everything after it.
///
/// Made by [`Group::start`] or [`Cursor::at`], moved by [`Group::next_owed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last update the reader has.
    pub after: Seq,
    /// How far beyond `after` the reader has been told already that updates are gone. Where that is too far for
    /// the number, it is told once more.
    told_ahead: u32,
    /// Whether the next update is to say that there is a gap, whatever the ring still holds.
    pub gap: bool,
}
const _: () = assert!(size_of::<Cursor>() == 16);

impl Cursor {
    /// The cursor of a reader that has everything up to `after`, as far as it could be had.
    #[must_use]
    pub const fn at(after: Seq) -> Self {
        Self::with_gap(after, false)
    }

    /// The same, and whether the reader is yet to hear of a gap.
    #[must_use]
    pub const fn with_gap(after: Seq, gap: bool) -> Self {
        Self { after, told_ahead: 0, gap }
    }

    /// The cursor of a reader that has everything before `seq`, and whether it is yet to hear of a gap before it.
    #[must_use]
    pub fn before(seq: Seq, gap: bool) -> Self {
        let after = Seq::new(seq.number().saturating_sub(1)).unwrap_or(Seq::ZERO);
        Self::with_gap(after, gap)
    }
}

/// An update that a reader is owed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Owed<'a> {
    /// The update.
    pub update: &'a Arc<Update>,
    /// Whether updates before it are gone for this reader, and it has not been told yet.
    pub gap: bool,
}

/// A group as a plain value, to be mailed to a shard that makes a mirror of it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupCopy {
    /// Which group.
    pub id: GroupId,
    /// Where its numbering started.
    pub made_at: Seq,
    /// Its newest update's number; `made_at` if there is none.
    pub newest: Seq,
    /// What its ring holds, oldest first.
    pub ring: Vec<Arc<Update>>,
    /// What its members hold, oldest first.
    pub held: Vec<Arc<Update>>,
}

/// A group: members, ring, and who waits.
///
/// Invariant: updates are numbered `made_at` + 1 ..= `newest`; the ring holds the last of them.
#[derive(Debug)]
pub struct Group {
    id: GroupId,
    made_at: Seq,
    newest: Seq,
    history: History,
    members: Members,
    pending: Vec<Arc<Update>>,
    waiters: Waiters,
    /// Whether the ring takes more than it lets go of.
    ring_may_grow: bool,
}

impl Group {
    /// A group without updates whose first one will be `made_at` + 1, and whose ring will hold `history`.
    #[must_use]
    pub fn new(id: GroupId, made_at: Seq, history: usize) -> Self {
        Self {
            id,
            made_at,
            newest: made_at,
            history: History::new(history),
            members: Members::default(),
            pending: Vec::new(),
            waiters: Waiters::default(),
            ring_may_grow: true,
        }
    }

    /// A mirror that stands where the original stood when it was copied.
    #[must_use]
    pub fn from_copy(copy: GroupCopy, history: usize) -> Self {
        let mut group = Self::new(copy.id, copy.made_at, history);
        group.newest = copy.newest;
        for update in copy.ring {
            group.history.push(update, true);
        }
        for update in copy.held {
            group.members.hold(update, Tick(0));
        }
        group.check_invariants();
        group
    }

    /// The group as a value that another shard can make a mirror of.
    #[must_use]
    pub fn copy(&self) -> GroupCopy {
        GroupCopy {
            id: self.id,
            made_at: self.made_at,
            newest: self.newest,
            ring: self.history.after(Seq::ZERO).cloned().collect(),
            held: self.snapshot().cloned().collect(),
        }
    }

    /// Which group this is.
    #[must_use]
    pub const fn id(&self) -> GroupId {
        self.id
    }

    /// Where its numbering started: below its first update.
    #[must_use]
    pub const fn made_at(&self) -> Seq {
        self.made_at
    }

    /// The cursor of somebody who has everything: the newest update's number, in an empty group `made_at`.
    #[must_use]
    pub const fn cursor(&self) -> Seq {
        self.newest
    }

    /// Whether it ever had an update.
    #[must_use]
    pub fn has_history_of_updates(&self) -> bool {
        self.newest > self.made_at
    }

    /// The newest update of a present member.
    #[must_use]
    pub fn newest_present(&self) -> Option<&Arc<Update>> {
        self.members.held.last_key_value().map(|(_, key)| self.members.update(*key))
    }

    /// The newest update of each present member, in the order of their numbers.
    pub fn snapshot(&self) -> impl Iterator<Item = &Arc<Update>> {
        self.members.held.values().map(|key| self.members.update(*key))
    }

    /// How many members are present: the length of the snapshot.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.held.len()
    }

    /// Who is owed the group's updates.
    #[must_use]
    pub const fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// Who is owed the group's updates, to be changed; through the hub, which has to know of it.
    pub(super) const fn waiters_mut(&mut self) -> &mut Waiters {
        &mut self.waiters
    }

    /// Updates numbered (or applied) that have not been fanned out yet, oldest first.
    #[must_use]
    pub fn pending(&self) -> &[Arc<Update>] {
        &self.pending
    }

    pub(super) const fn pending_mut(&mut self) -> &mut Vec<Arc<Update>> {
        &mut self.pending
    }

    /// Says whether the ring may grow from now on; one that may not lets go of as much as it takes.
    pub(super) const fn let_ring_grow(&mut self, may_grow: bool) {
        self.ring_may_grow = may_grow;
    }

    /// What the group costs on the heap, but for its waiters, which are bounded by their connections, and what is to be
    /// fanned out, which is bounded by [`UNTOLD_UPDATES_MAX`](crate::limits::UNTOLD_UPDATES_MAX) and a turn's reading.
    pub(super) fn held_bytes(&self) -> usize {
        self.history.held_bytes() + self.members.held_bytes()
    }

    /// Whether somebody needs the group: a waiter, another shard, a connected or parked member, or updates that
    /// have not been fanned out.
    #[must_use]
    pub(super) fn is_kept(&self) -> bool {
        !self.waiters.is_empty() || self.members.attended > 0 || !self.pending.is_empty()
    }

    /// Numbers a publish.
    ///
    /// An `at` too far ahead of the server becomes the server's time before it is compared, so it does not matter
    /// whether the caller has replaced it already.
    ///
    /// # Errors
    /// [`Refusal::Stale`], [`Refusal::MembersFull`].
    pub fn publish(
        &mut self,
        publish: &Publish,
        now: &Now,
        members_max: usize,
    ) -> Result<Published, Refusal> {
        let at = publish.at.map(|at| if at > latest_believed(now) { now.unix } else { at });
        let held = self.members.find(publish.member.as_ref()).and_then(|key| self.members.heard(key, now));
        match (publish.change, &held) {
            (Change::Left, None) => return Ok(Published::NothingLeft),
            // The nameless member stands for many, so it never leaves by word.
            (Change::Left, Some(_)) if publish.member.is_none() => return Ok(Published::NothingLeft),
            (Change::Moved(_), None) if self.members() >= members_max => {
                return Err(Refusal::MembersFull { max: members_max });
            }
            (Change::Moved(_), None) => {}
            (Change::Moved(_) | Change::Left, Some(held)) => {
                let compared = publish.member.is_some() && held.at_was_sent;
                if let Some(at) = at.filter(|at| compared && *at < held.at) {
                    return Err(Refusal::Stale { at, held: held.at });
                }
            }
        }
        Ok(Published::Numbered(self.number(publish.member.clone(), publish.change, at, now)))
    }

    /// Takes an update that the group's home has numbered; one that is here already changes nothing.
    ///
    /// Returns whether it was new.
    pub fn apply(&mut self, update: Arc<Update>) -> bool {
        if update.seq <= self.newest {
            return false;
        }
        self.take(update, Tick(0));
        true
    }

    /// A connection speaks for a member from now on.
    pub fn connect(&mut self, member: &MemberId) {
        let key = self.members.find_or_make(Some(member));
        self.members.attend(key, |entry| entry.connected += 1);
    }

    /// A connection no longer speaks for a member.
    ///
    /// With the last one the member leaves, which is the update returned, if it holds a location and `tell` is
    /// set; without `tell` it stays until it expires like a member whom nobody speaks for.
    pub fn disconnect(&mut self, member: &MemberId, now: &Now, tell: bool) -> Option<Arc<Update>> {
        let key = self.members.find(Some(member))?;
        debug_assert!(self.members.entries[key].connected > 0, "nobody spoke for {member:?}");
        self.members.attend(key, |entry| {
            entry.connected = entry.connected.saturating_sub(1);
            entry.heard = now.tick;
        });
        let entry = &self.members.entries[key];
        if entry.connected == 0 && entry.held.is_some() && tell {
            return Some(self.number(Some(member.clone()), Change::Left, None, now));
        }
        self.members.forget_if_empty(key);
        None
    }

    /// A long poll parks in a member's name: while it does, the member is heard.
    pub fn park(&mut self, member: &MemberId, now: &Now) {
        let key = self.members.find_or_make(Some(member));
        self.members.attend(key, |entry| {
            entry.parked += 1;
            entry.heard = now.tick;
        });
    }

    /// A long poll parked in a member's name has ended.
    pub fn unpark(&mut self, member: &MemberId, now: &Now) {
        let Some(key) = self.members.find(Some(member)) else { return };
        debug_assert!(self.members.entries[key].parked > 0, "nothing was parked for {member:?}");
        self.members.attend(key, |entry| {
            entry.parked = entry.parked.saturating_sub(1);
            entry.heard = now.tick;
        });
        self.members.forget_if_empty(key);
    }

    /// Lets members go of whom nothing was heard for `ttl`: named ones leave with an update, the nameless one in
    /// silence. Returns when the next one will be due, if nothing is heard of it until then.
    ///
    /// Looks at every present member.
    pub(super) fn expire_members(&mut self, now: &Now, ttl: Duration) -> Option<Tick> {
        let mut next_due: Option<Tick> = None;
        let mut expired = Vec::new();
        for key in self.members.held.values() {
            let entry = &self.members.entries[*key];
            if entry.is_attended() {
                continue;
            }
            let due = entry.heard.after(ttl);
            if due <= now.tick {
                expired.push(*key);
            } else {
                next_due = Some(next_due.map_or(due, |earlier| earlier.min(due)));
            }
        }
        for key in expired {
            match self.members.entries[key].name.clone() {
                Some(name) => {
                    self.number(Some(name), Change::Left, None, now);
                }
                None => self.members.release(None),
            }
        }
        next_due
    }

    /// Makes a reader's `since` a cursor; `None` is a reader that wants what comes from now on.
    ///
    /// `newest` is what the group's home has numbered, which a mirror may be behind: whoever has that, or less, has lost
    /// nothing. At home it is [`Group::cursor`].
    #[must_use]
    pub fn start(&self, since: Option<Seq>, newest: Seq) -> Cursor {
        match since {
            None => Cursor::at(newest),
            // Lost: from another life of the group, so everything may be new to this reader.
            Some(seq) if seq > newest.max(self.newest) => Cursor::with_gap(Seq::ZERO, true),
            Some(seq) => Cursor::with_gap(seq, seq != Seq::ZERO && seq < self.made_at),
        }
    }

    /// The next update that a reader is owed, moving its cursor there; `None`, and the cursor stays, if there is
    /// none yet.
    ///
    /// What the ring no longer holds is made up for by what members still hold, in the order of numbers. The first
    /// update after any that are gone says so; then only further ones that go missing are worth saying again. A
    /// gap that is due while nothing is owed stays due.
    #[must_use]
    pub fn next_owed(&self, cursor: &mut Cursor) -> Option<Owed<'_>> {
        let ring_start = self.ring_start();
        let after = cursor.after.max(self.made_at);
        let update = self.held_between(cursor.after, ring_start).or_else(|| {
            let next = after.next().max(ring_start);
            self.history.get(next)
        })?;
        let told = after.number().max(cursor.after.number() + u64::from(cursor.told_ahead));
        let gap = cursor.gap || told + 1 < ring_start.number();
        let told = if gap { ring_start.number() - 1 } else { told };
        let told_ahead = u32::try_from(told.saturating_sub(update.seq.number())).unwrap_or(0);
        *cursor = Cursor { after: update.seq, told_ahead, gap: false };
        Some(Owed { update, gap })
    }

    /// The update right behind a cursor, if it is still to be told: more may be than the ring holds.
    #[must_use]
    pub fn next_untold(&self, cursor: &Cursor) -> Option<&Arc<Update>> {
        if cursor.gap || cursor.told_ahead > 0 {
            return None;
        }
        let next = cursor.after.max(self.made_at).next();
        let index = next.number().checked_sub(self.pending.first()?.seq.number())?;
        self.pending.get(usize::try_from(index).ok()?)
    }

    /// The next update that a slow reader is owed: of what it has not had, each member's newest alone, in the order of
    /// their numbers. A member that is gone is owed its leave as long as the ring holds it.
    ///
    /// The first update after any that are passed over says so, for all of them up to now. Where none is left to say it,
    /// the cursor moves on with the gap due.
    #[must_use]
    pub fn next_conflated(&self, cursor: &mut Cursor) -> Option<Owed<'_>> {
        let held = self.members.held.range((Bound::Excluded(cursor.after), Bound::Unbounded)).next();
        let held = held.map(|(_, key)| self.members.update(*key));
        let left = self.history.leaves_after(cursor.after).find(|leave| self.is_last_leave(leave));
        let next = match (held, left) {
            (Some(held), Some(left)) => Some(if held.seq < left.seq { held } else { left }),
            (held, left) => held.or(left),
        };
        let after = cursor.after.max(self.made_at);
        let told = after.number().max(cursor.after.number() + u64::from(cursor.told_ahead));
        let Some(update) = next else {
            // The last updates were the nameless member's, which went in silence, or leaves that no ring has kept: the
            // next one says so.
            if told < self.newest.number() {
                *cursor = Cursor::with_gap(self.newest, true);
            }
            return None;
        };
        let gap = cursor.gap || told + 1 < update.seq.number();
        let told = if gap { self.newest.number() } else { told };
        let told_ahead = u32::try_from(told.saturating_sub(update.seq.number())).unwrap_or(0);
        *cursor = Cursor { after: update.seq, told_ahead, gap: false };
        Some(Owed { update, gap })
    }

    /// Whether nothing has followed a leave: its member is not back, and has not left again.
    fn is_last_leave(&self, leave: &Update) -> bool {
        !self.members.holds(leave.member.as_ref())
            && !self.history.leaves_after(leave.seq).any(|later| later.member == leave.member)
    }

    /// The number from which on the ring has every update.
    fn ring_start(&self) -> Seq {
        self.history.oldest().unwrap_or_else(|| self.newest.next())
    }

    /// The oldest update that a member still holds, of those between a cursor and the ring.
    fn held_between(&self, after: Seq, ring_start: Seq) -> Option<&Arc<Update>> {
        if after.next() >= ring_start {
            return None;
        }
        let between = (Bound::Excluded(after), Bound::Excluded(ring_start));
        self.members.held.range(between).next().map(|(_, key)| self.members.update(*key))
    }

    /// Gives a change the next number and takes it in.
    fn number(
        &mut self,
        member: Option<MemberId>,
        change: Change,
        at: Option<UnixMs>,
        now: &Now,
    ) -> Arc<Update> {
        let update = Arc::new(Update {
            seq: self.newest.next(),
            member,
            change,
            at: at.unwrap_or(now.unix),
            at_was_sent: at.is_some(),
            numbered_micros: now.micros,
        });
        self.take(Arc::clone(&update), now.tick);
        update
    }

    /// Takes in an update newer than all before it.
    fn take(&mut self, update: Arc<Update>, heard: Tick) {
        debug_assert_eq!(update.seq, self.newest.next(), "an update went missing on its way");
        self.newest = update.seq;
        self.history.push(Arc::clone(&update), self.ring_may_grow);
        self.pending.push(Arc::clone(&update));
        match update.change {
            Change::Moved(_) => self.members.hold(update, heard),
            Change::Left => self.members.release(update.member.as_ref()),
        }
        self.check_invariants();
    }

    fn check_invariants(&self) {
        debug_assert!(self.made_at <= self.newest);
        debug_assert!(self.history.newest().is_none_or(|newest| newest == self.newest));
        debug_assert!(self.pending.last().is_none_or(|last| last.seq == self.newest));
        debug_assert!(self.members.held.last_key_value().is_none_or(|(seq, _)| *seq <= self.newest));
        self.members.check_invariants();
    }
}

/// The latest `at` that the server believes a publisher.
fn latest_believed(now: &Now) -> UnixMs {
    UnixMs(now.unix.0.saturating_add(AT_AHEAD_MAX.as_millis() as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::location::Location;

    const MADE_AT: u64 = 100;
    const MEMBERS_MAX: usize = 3;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    fn name(name: &str) -> Option<MemberId> {
        (!name.is_empty()).then(|| MemberId::new(name).unwrap())
    }

    fn now(unix: u64) -> Now {
        Now { unix: UnixMs(unix), ..Now::default() }
    }

    fn group(history: usize) -> Group {
        Group::new(GroupId::new(7).unwrap(), seq(MADE_AT), history)
    }

    fn publish(member: &str, at: Option<u64>, change: Change) -> Publish {
        Publish { member: name(member), at: at.map(UnixMs), change }
    }

    fn here() -> Change {
        Change::Moved(Location::new(1.5, 2.5).unwrap())
    }

    /// A group told `script`: a letter moves the member of that name, `-` before it makes the member leave.
    fn group_after(history: usize, script: &str) -> Group {
        let mut group = group(history);
        for word in script.split_whitespace() {
            let change = if word.starts_with('-') { Change::Left } else { here() };
            let publish = publish(word.trim_start_matches('-'), None, change);
            assert!(matches!(group.publish(&publish, &now(0), 100), Ok(Published::Numbered(_))));
        }
        group
    }

    /// Two publishes of one member at server time 100,000: whether the second is stale.
    #[track_caller]
    fn check_stale(member: &str, held_at: Option<u64>, own_at: Option<u64>, is_stale: bool) {
        let mut group = group(8);
        let first = group.publish(&publish(member, held_at, here()), &now(100_000), MEMBERS_MAX);
        assert!(matches!(first, Ok(Published::Numbered(_))));
        let second = group.publish(&publish(member, own_at, here()), &now(100_000), MEMBERS_MAX);
        let found = matches!(second, Err(Refusal::Stale { .. }));
        assert_eq!(found, is_stale, "{member:?} {held_at:?} {own_at:?}");
    }

    #[test]
    fn publish_is_stale_when_named_timed_and_older() {
        check_stale("a", Some(50), Some(49), true);
        check_stale("a", Some(50), Some(50), false);
        check_stale("a", Some(50), Some(51), false);
        check_stale("", Some(50), Some(49), false);
        check_stale("a", None, Some(49), false);
        check_stale("a", Some(50), None, false);
        // 5 s ahead is believed, a millisecond more becomes the server's time and still counts as sent.
        check_stale("a", Some(105_000), Some(104_999), true);
        check_stale("a", Some(105_001), Some(100_000), false);
        check_stale("a", Some(105_001), Some(99_999), true);
        check_stale("a", Some(105_000), Some(105_001), true);
    }

    #[test]
    fn member_past_the_bound_is_refused_and_known_ones_are_not() {
        let mut group = group_after(8, "a b c");
        let refused = group.publish(&publish("d", None, here()), &now(0), MEMBERS_MAX);
        assert_eq!(refused, Err(Refusal::MembersFull { max: MEMBERS_MAX }));
        assert!(group.publish(&publish("c", None, here()), &now(0), MEMBERS_MAX).is_ok());
        assert!(group.publish(&publish("a", None, Change::Left), &now(0), MEMBERS_MAX).is_ok());
        assert!(group.publish(&publish("d", None, here()), &now(0), MEMBERS_MAX).is_ok());
    }

    #[test]
    fn leave_of_somebody_without_a_location_is_told_to_nobody() {
        let mut group = group_after(8, "a");
        for member in ["b", ""] {
            let nothing = group.publish(&publish(member, None, Change::Left), &now(0), MEMBERS_MAX);
            assert_eq!(nothing, Ok(Published::NothingLeft));
        }
        assert_eq!(group.cursor(), seq(MADE_AT + 1));
    }

    #[test]
    fn members_without_a_location_are_forgotten_with_whoever_spoke_for_them() {
        let mut group = group(8);
        let alice = name("alice").unwrap();
        group.connect(&alice);
        group.park(&alice, &now(0));
        assert!(group.is_kept());
        assert_eq!(group.disconnect(&alice, &now(0), true), None, "nothing to tell");
        group.unpark(&alice, &now(0));
        assert!(!group.is_kept());
        assert_eq!((group.members.entries.len(), group.members.by_name.len()), (0, 0));
    }

    #[test]
    fn snapshot_lists_present_members_in_the_order_of_their_numbers() {
        let group = group_after(0, "a b c a -b");
        let numbers: Vec<u64> = group.snapshot().map(|update| update.seq.number() - MADE_AT).collect();
        assert_eq!(numbers, [3, 4]);
        assert_eq!(group.newest_present().map(|update| update.seq), Some(seq(MADE_AT + 4)));
    }

    /// The invariants that cost a walk over all members.
    #[track_caller]
    fn check_members(members: &Members) {
        let held = members.entries.iter().filter(|(_, entry)| entry.held.is_some()).count();
        assert_eq!(held, members.held.len());
        for (seq, key) in &members.held {
            assert_eq!(members.update(*key).seq, *seq);
        }
        let attended = members.entries.iter().filter(|(_, entry)| entry.is_attended()).count();
        assert_eq!(attended, members.attended);
        for (key, entry) in &members.entries {
            assert!(entry.held.is_some() || entry.is_attended(), "an entry that nobody needs");
            assert_eq!(members.find(entry.name.as_ref()), Some(key));
        }
    }

    proptest! {
        #[test]
        fn members_are_counted_right_whatever_comes_and_goes(
            steps in prop::collection::vec((0usize..4, 0u8..7), 1..80),
        ) {
            let mut group = group(4);
            // Connections and parks that are open, so that only what was opened is closed.
            let (mut connected, mut parked) = ([0u32; 4], [0u32; 4]);
            for (tick, (nth, step)) in (0..).zip(steps) {
                let now = Now { tick: Tick(tick), ..Now::default() };
                let member = name(["a", "b", "c", "d"][nth]).unwrap();
                let open = |count: u32| count > 0;
                match step {
                    0 | 1 => {
                        let change = if step == 0 { here() } else { Change::Left };
                        let publish = Publish { member: Some(member), at: None, change };
                        let _ = group.publish(&publish, &now, MEMBERS_MAX);
                    }
                    2 => {
                        group.connect(&member);
                        connected[nth] += 1;
                    }
                    3 | 4 if open(connected[nth]) => {
                        let _ = group.disconnect(&member, &now, step == 3);
                        connected[nth] -= 1;
                    }
                    5 => {
                        group.park(&member, &now);
                        parked[nth] += 1;
                    }
                    6 if open(parked[nth]) => {
                        group.unpark(&member, &now);
                        parked[nth] -= 1;
                    }
                    _ => {
                        group.expire_members(&now, Duration::from_millis(10));
                    }
                }
                check_members(&group.members);
                prop_assert!(group.members() <= MEMBERS_MAX);
            }
        }
    }

    /// What a cursor is owed, as text: numbers counted from `made_at`, `!` behind those that say `gap`.
    #[track_caller]
    fn check_owed(group: &Group, since: Option<u64>, expected: &str) {
        let mut cursor = group.start(since.map(seq), group.cursor());
        let mut owed = Vec::new();
        while let Some(Owed { update, gap }) = group.next_owed(&mut cursor) {
            let mark = if gap { "!" } else { "" };
            owed.push(format!("{}{mark}", update.seq.number() - MADE_AT));
        }
        assert_eq!(owed.join(" "), expected, "since {since:?}");
    }

    #[test]
    fn cursor_is_owed_what_section_6_says() {
        let whole = group_after(8, "a b c");
        check_owed(&whole, None, "");
        check_owed(&whole, Some(0), "1 2 3");
        check_owed(&whole, Some(MADE_AT), "1 2 3");
        check_owed(&whole, Some(MADE_AT + 1), "2 3");
        check_owed(&whole, Some(MADE_AT + 3), "");
        check_owed(&whole, Some(MADE_AT + 4), "1! 2 3");
        check_owed(&whole, Some(MADE_AT - 1), "1! 2 3");
        check_owed(&whole, Some(1), "1! 2 3");

        // The ring holds 6 and 7; of those before it, a's 4 and c's 3 are held, and b left with 5.
        let lost = group_after(2, "a b c a -b d e");
        check_owed(&lost, Some(0), "3! 4 6 7");
        check_owed(&lost, Some(MADE_AT), "3! 4 6 7");
        check_owed(&lost, Some(MADE_AT + 3), "4! 6 7");
        check_owed(&lost, Some(MADE_AT + 4), "6! 7");
        check_owed(&lost, Some(MADE_AT + 5), "6 7");
        check_owed(&lost, Some(MADE_AT + 9), "3! 4 6 7");

        // Without a ring only what is held can be had.
        let ringless = group_after(0, "a b -a");
        check_owed(&ringless, Some(0), "2!");
        check_owed(&ringless, Some(MADE_AT + 3), "");

        check_owed(&group(8), Some(MADE_AT), "");
        check_owed(&group(8), Some(0), "");
    }

    #[test]
    fn cursor_of_what_a_mirror_has_not_heard_of_is_no_lost_one() {
        let mirror = group_after(8, "a b c");
        let newest = seq(MADE_AT + 5);
        for since in [MADE_AT + 4, MADE_AT + 5] {
            assert_eq!(mirror.start(Some(seq(since)), newest), Cursor::at(seq(since)));
        }
        assert_eq!(mirror.start(None, newest), Cursor::at(newest));
        let lost = Cursor { gap: true, ..Cursor::at(Seq::ZERO) };
        assert_eq!(mirror.start(Some(seq(MADE_AT + 6)), newest), lost);
    }

    #[test]
    fn gap_that_is_due_while_nothing_is_owed_stays_due() {
        let mut group = group(8);
        let mut cursor = group.start(Some(seq(MADE_AT + 50)), group.cursor());
        assert_eq!(group.next_owed(&mut cursor), None);
        let published = group.publish(&publish("a", None, here()), &now(0), MEMBERS_MAX);
        assert!(published.is_ok());
        assert!(group.next_owed(&mut cursor).is_some_and(|owed| owed.gap));
    }

    #[test]
    fn reader_that_falls_off_the_ring_is_told_once() {
        let mut group = group_after(2, "a b");
        let mut cursor = group.start(Some(Seq::ZERO), group.cursor());
        assert!(group.next_owed(&mut cursor).is_some_and(|owed| !owed.gap));
        for member in ["a", "b", "c", "d"] {
            assert!(group.publish(&publish(member, None, here()), &now(0), 100).is_ok());
        }
        let gaps: Vec<bool> =
            std::iter::from_fn(|| group.next_owed(&mut cursor).map(|owed| owed.gap)).collect();
        assert_eq!(gaps, [true, false, false, false]);
    }

    /// The obvious reader: every update there ever was, looked through from the start each time.
    struct Model {
        log: Vec<Arc<Update>>,
        history: usize,
        after: u64,
        told: u64,
    }

    impl Model {
        fn is_newest_of_its_member(&self, update: &Update) -> bool {
            !self.log.iter().any(|other| other.member == update.member && other.seq > update.seq)
        }

        fn next_owed(&mut self) -> Option<(u64, bool)> {
            let lost = self.log.len().saturating_sub(self.history);
            let (_, update) = self.log.iter().enumerate().find(|(index, update)| {
                let is_held = update.change != Change::Left && self.is_newest_of_its_member(update);
                update.seq.number() > self.after && (*index >= lost || is_held)
            })?;
            let newest_lost = MADE_AT + lost as u64;
            let gap = newest_lost > self.after.max(self.told).max(MADE_AT);
            if gap {
                self.told = newest_lost;
            }
            self.after = update.seq.number();
            Some((self.after, gap))
        }
    }

    proptest! {
        #[test]
        fn cursor_is_owed_what_a_full_log_says(
            history in 0usize..6,
            since in prop_oneof![Just(0), MADE_AT..MADE_AT + 10],
            steps in prop::collection::vec((0usize..5, any::<bool>(), 0usize..4), 1..60),
        ) {
            let mut group = group(history);
            let mut model = Model { log: Vec::new(), history, after: since, told: 0 };
            // Not from `start`: a cursor ahead of the group waits here, as one behind a drained queue does.
            let mut cursor = Cursor::at(seq(since));
            for (member, leaves, reads) in steps {
                let change = if leaves { Change::Left } else { here() };
                let publish = publish(["", "a", "b", "c", "d"][member], None, change);
                match group.publish(&publish, &now(0), 100) {
                    Ok(Published::Numbered(update)) => model.log.push(update),
                    Ok(Published::NothingLeft) => prop_assert!(leaves),
                    Err(refusal) => prop_assert!(false, "{refusal}"),
                }
                for _ in 0..reads {
                    let owed = group.next_owed(&mut cursor).map(|owed| (owed.update.seq.number(), owed.gap));
                    prop_assert_eq!(owed, model.next_owed());
                }
            }
            let copied = Group::from_copy(group.copy(), history);
            let mut of_copy = cursor;
            loop {
                let owed = group.next_owed(&mut cursor);
                prop_assert_eq!(owed, copied.next_owed(&mut of_copy), "a mirror owes what its home owes");
                prop_assert_eq!(owed.map(|owed| (owed.update.seq.number(), owed.gap)), model.next_owed());
                if owed.is_none() {
                    break;
                }
            }
        }
    }

    #[test]
    fn refusals_name_the_number_and_the_limit() {
        let stale = Refusal::Stale { at: UnixMs(4), held: UnixMs(5) };
        assert_eq!(stale.to_string(), "at 4 is older than the member's newest, 5");
        assert_eq!(Refusal::MembersFull { max: 3 }.to_string(), "the group has its 3 members");
    }
}
