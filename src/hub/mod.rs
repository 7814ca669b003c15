//! Groups and their updates: who is in them, what is numbered, who is owed it, when it goes.
//!
//! Knows leaves only; must not know wire, sessions or sockets. One hub per shard: it holds the groups at home here
//! and mirrors, local copies of groups at home elsewhere that are kept current by mail. Start reading at
//! [`group`], then [`history`] and [`waiters`].

pub mod group;
pub mod history;
mod members;
pub mod waiters;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use slab::Slab;

use self::group::{Group, GroupCopy, Published, Refusal};
use self::waiters::Waiters;
use crate::clock::{Now, Tick};
use crate::ids::{GroupId, MemberId, Seq};
use crate::limits::{Budget, HeldBytes, Limits, Quota};
use crate::location::{Publish, Update};
use crate::report::Reason;
use crate::timer_wheel::{TimerKey, TimerWheel};

/// How long after one sweep of a group's members the next may be: a sweep looks at all of them, at some 20 ns each
/// 10,000 members then cost at most 0.2 % of a core.
const SWEEP_EVERY_MIN: Duration = Duration::from_millis(100);

/// The tables of one shard's groups may take this part of `--max-held-bytes`: an eighth is room for 250,000 groups by
/// default, and for 2,000 of 8 MiB.
const TABLES_PER_BUDGET: usize = 8;

/// Tables of more groups than this are given back with the last group.
const TABLE_GROUPS_KEPT: usize = 1024;

/// Emptied lists of pending updates kept for reuse: as many as groups commonly speak in one turn.
const SPARE_LISTS_MAX: usize = 64;

/// The longest list kept for reuse, in updates: 8 KiB.
const SPARE_LIST_UPDATES_MAX: usize = 1024;

/// Names a group of one hub for as long as something keeps it: a waiter, a connected or parked member, another
/// shard's interest; a mirror until it is dropped. Without any of these it is good until time passes.
///
/// One more than its place in the table: as 0 names none, an optional key takes no more room than a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey(NonZeroU32);

impl GroupKey {
    fn at(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("2^32 groups fit no memory"))
    }

    const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Why there is no room for one more group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// As many are there as there may be.
    Groups {
        /// How many the process may have.
        max: usize,
    },
    /// What the server holds has nearly reached its bound.
    Held {
        /// How many bytes it may hold.
        max: usize,
    },
    /// The tables that the shard's groups are in may not grow any more.
    Tables {
        /// How many bytes the server may hold.
        max: usize,
    },
}

impl NoRoom {
    /// The reason under which it is counted.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Groups { .. } => Reason::GroupsMax,
            Self::Held { .. } | Self::Tables { .. } => Reason::HeldMax,
        }
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Groups { max } => write!(f, "the server has its {max} groups"),
            Self::Held { max } => {
                write!(f, "the server holds 90 % of its {max} bytes and takes no new group")
            }
            Self::Tables { max } => {
                write!(f, "the tables of groups would take more than an eighth of the server's {max} bytes")
            }
        }
    }
}

impl std::error::Error for NoRoom {}

/// All groups of one shard.
///
/// Invariant: an id is either at home or mirrored, never both; `members` counts the present members at home.
#[derive(Debug)]
pub struct Hub {
    entries: Slab<Entry>,
    /// Looked up, never walked: its order differs from run to run. Clients choose the ids, so a secret goes into their hash.
    by_id: HashMap<GroupId, GroupKey, RandomState>,
    /// Groups with updates to fan out, in the order in which they got the first.
    dirty: VecDeque<GroupKey>,
    /// Updates that those have to fan out.
    untold: usize,
    timers: TimerWheel<GroupKey>,
    quota: Quota,
    /// What the groups cost in memory, the tables that they are in included.
    held: HeldBytes,
    /// How much of that the tables are counted for.
    table_bytes: usize,
    /// No group made from now on may start below: the highest number that any group here has given or started at.
    highest: Seq,
    groups: usize,
    members: usize,
    /// Emptied lists of pending updates, so that a publish allocates none.
    spare: Vec<Vec<Arc<Update>>>,
    history: usize,
    members_max: usize,
    member_ttl: Duration,
    group_ttl: Duration,
}

#[derive(Debug)]
struct Entry {
    group: Group,
    role: Role,
    /// Whether it is in the queue of dirty groups.
    is_dirty: bool,
    /// What it is counted for in [`Hub::held_bytes`].
    held_bytes: usize,
}

/// What a group is to this hub.
#[derive(Debug)]
enum Role {
    /// Numbers, expires its members, and expires itself once it is of no use.
    Home {
        /// When it was last of use: published to, or its waiters or members came or went.
        used: Tick,
        /// When its members were last looked through.
        swept: Tick,
        /// When it is looked at next; always set, for at some time it expires.
        look: (Tick, TimerKey),
    },
    /// Is told everything by its home and stays until it is dropped.
    Mirror,
}

impl Hub {
    /// A hub without groups; `groups` and `budget` are shared by all shards of the process.
    #[must_use]
    pub fn new(limits: &Limits, groups: Quota, budget: &Budget) -> Self {
        Self {
            entries: Slab::new(),
            by_id: HashMap::default(),
            dirty: VecDeque::new(),
            untold: 0,
            timers: TimerWheel::new(Tick(0)),
            quota: groups,
            held: budget.groups(),
            table_bytes: 0,
            highest: Seq::ZERO,
            groups: 0,
            members: 0,
            spare: Vec::new(),
            history: limits.history,
            members_max: limits.members_max,
            member_ttl: limits.member_ttl,
            group_ttl: limits.group_ttl,
        }
    }

    /// A group that is here, at home or as a mirror; looking makes none and keeps none.
    #[must_use]
    pub fn find(&self, id: GroupId) -> Option<GroupKey> {
        self.by_id.get(&id).copied()
    }

    /// The group of a key.
    ///
    /// # Panics
    /// If the group is gone: see [`GroupKey`] for how long a key is good.
    #[must_use]
    pub fn group(&self, key: GroupKey) -> &Group {
        &self.entries[key.index()].group
    }

    /// Whether a group is at home here.
    #[must_use]
    pub fn is_home(&self, key: GroupKey) -> bool {
        matches!(self.entries[key.index()].role, Role::Home { .. })
    }

    /// Finds or makes a group at home here; for publishing, parking and subscribing only.
    ///
    /// # Errors
    /// [`NoRoom`] if it is not here and the process has all the groups, or holds nearly all the bytes, that it may.
    pub fn make(&mut self, id: GroupId, now: &Now) -> Result<GroupKey, NoRoom> {
        if let Some(key) = self.find(id) {
            return Ok(key);
        }
        self.check_room()?;
        if !self.quota.take() {
            return Err(NoRoom::Groups { max: self.quota.max() });
        }
        let made_at = Seq::at_unix_ms(now.unix.0).max(self.highest);
        self.highest = made_at;
        self.groups += 1;
        let due = now.tick.after(self.group_ttl);
        let key = self.next_key();
        let look = (due, self.timers.insert(due, key));
        let role = Role::Home { used: now.tick, swept: now.tick, look };
        self.insert(Group::new(id, made_at, self.history), role);
        Ok(key)
    }

    /// Whether what all shards hold leaves room for one more group, at home or as a mirror.
    ///
    /// # Errors
    /// [`NoRoom::Held`] or [`NoRoom::Tables`] if it does not.
    pub fn check_room(&self) -> Result<(), NoRoom> {
        // A full table doubles, and shrinks only when the last group goes: it must leave room for what groups hold.
        let growth = if self.entries.len() == self.entries.capacity() { self.table_bytes } else { 0 };
        let max = self.held.max();
        if self.held.is_scarce_with(growth) {
            return Err(NoRoom::Held { max });
        }
        if growth > max / TABLES_PER_BUDGET / 2 { Err(NoRoom::Tables { max }) } else { Ok(()) }
    }

    /// Makes a mirror of a group at home elsewhere; if it is here already it stays as it is.
    pub fn make_mirror(&mut self, copy: GroupCopy) -> GroupKey {
        if let Some(key) = self.find(copy.id) {
            debug_assert!(!self.is_home(key), "group {} is at home here", copy.id);
            return key;
        }
        self.insert(Group::from_copy(copy, self.history), Role::Mirror)
    }

    /// Drops a mirror that nobody here waits on any more.
    pub fn drop_mirror(&mut self, key: GroupKey) {
        debug_assert!(!self.is_home(key), "a group at home expires by itself");
        if !self.is_home(key) {
            self.remove(key);
        }
    }

    /// Numbers a publish to a group at home; it is to be fanned out ([`Hub::poll_dirty`]).
    ///
    /// # Errors
    /// [`Refusal`], with the rule that it breaks.
    pub fn publish(&mut self, key: GroupKey, publish: &Publish, now: &Now) -> Result<Published, Refusal> {
        debug_assert!(self.is_home(key), "a mirror never numbers");
        // While what is held is scarce, members stay as many as they are.
        let scarce = self.held.is_scarce();
        let members_max = if scarce { 0 } else { self.members_max };
        match self.change(key, now, |group| group.publish(publish, now, members_max)) {
            Err(Refusal::MembersFull { .. }) if scarce => Err(Refusal::HeldFull { max: self.held.max() }),
            published => published,
        }
    }

    /// Takes an update of a mirrored group that its home has sent; one that is here already changes nothing.
    pub fn apply(&mut self, key: GroupKey, update: Arc<Update>) {
        debug_assert!(!self.is_home(key), "a group at home is told nothing");
        self.prepare(key);
        let group = &mut self.entries[key.index()].group;
        let untold = group.pending().len();
        group.apply(update);
        self.note_untold(key, untold);
        self.note_held(key);
    }

    /// A connection speaks for a member from now on.
    pub fn connect(&mut self, key: GroupKey, member: &MemberId, now: &Now) {
        self.change(key, now, |group| group.connect(member));
    }

    /// A connection no longer speaks for a member; the update returned is its leaving, if that is told.
    pub fn disconnect(
        &mut self,
        key: GroupKey,
        member: &MemberId,
        now: &Now,
        tell: bool,
    ) -> Option<Arc<Update>> {
        self.change(key, now, |group| group.disconnect(member, now, tell))
    }

    /// A long poll parks in a member's name.
    pub fn park(&mut self, key: GroupKey, member: &MemberId, now: &Now) {
        self.change(key, now, |group| group.park(member, now));
    }

    /// A long poll parked in a member's name has ended.
    pub fn unpark(&mut self, key: GroupKey, member: &MemberId, now: &Now) {
        self.change(key, now, |group| group.unpark(member, now));
    }

    /// Who is owed a group's updates, to be changed; whoever does so makes use of the group.
    pub fn waiters_mut(&mut self, key: GroupKey, now: &Now) -> &mut Waiters {
        let entry = &mut self.entries[key.index()];
        if let Role::Home { used, .. } = &mut entry.role {
            *used = now.tick;
        }
        entry.group.waiters_mut()
    }

    /// The next group with updates to fan out, in the order in which they got the first; each group once.
    #[must_use]
    pub fn poll_dirty(&mut self) -> Option<GroupKey> {
        while let Some(key) = self.dirty.pop_front() {
            // A dropped mirror leaves its key behind, and another group may have got it since.
            let Some(entry) = self.entries.get_mut(key.index()) else { continue };
            if std::mem::take(&mut entry.is_dirty) && !entry.group.pending().is_empty() {
                return Some(key);
            }
        }
        None
    }

    /// Whether [`Hub::poll_dirty`] may have something to tell.
    #[must_use]
    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// How many updates wait to be fanned out.
    #[must_use]
    pub const fn untold(&self) -> usize {
        self.untold
    }

    /// Takes the updates that a group has to fan out, oldest first; the list is to be given back.
    #[must_use]
    pub fn take_pending(&mut self, key: GroupKey) -> Vec<Arc<Update>> {
        let pending = std::mem::take(self.entries[key.index()].group.pending_mut());
        self.untold -= pending.len();
        pending
    }

    /// Gives back a list from [`Hub::take_pending`] once it has been fanned out.
    pub fn give_back_pending(&mut self, mut list: Vec<Arc<Update>>) {
        list.clear();
        let fits = (1..=SPARE_LIST_UPDATES_MAX).contains(&list.capacity());
        if fits && self.spare.len() < SPARE_LISTS_MAX {
            self.spare.push(list);
        }
    }

    /// Lets members and groups go whose time has come. Early or twice is harmless.
    pub fn handle_timeout(&mut self, now: &Now) {
        while let Some(key) = self.timers.poll_expired(now.tick) {
            self.look_after(key, now);
        }
    }

    /// When [`Hub::handle_timeout`] is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Tick> {
        self.timers.next_deadline()
    }

    /// How many groups are at home here.
    #[must_use]
    pub const fn groups(&self) -> usize {
        self.groups
    }

    /// How many members with a held location the groups at home have.
    #[must_use]
    pub const fn members(&self) -> usize {
        self.members
    }

    /// What the groups cost in memory, mirrors included.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held.own()
    }

    /// Tells the other shards what the groups cost; once a turn.
    pub fn settle_held(&mut self) {
        self.held.settle();
    }

    /// Changes a group: counts its members, notes its updates and its use, and sees that it is looked after.
    fn change<T>(&mut self, key: GroupKey, now: &Now, change: impl FnOnce(&mut Group) -> T) -> T {
        self.prepare(key);
        let entry = &mut self.entries[key.index()];
        let (members, untold) = (entry.group.members(), entry.group.pending().len());
        let changed = change(&mut entry.group);
        if let Role::Home { used, .. } = &mut entry.role {
            *used = now.tick;
            self.members = self.members + entry.group.members() - members;
            self.highest = self.highest.max(entry.group.cursor());
        }
        self.note_untold(key, untold);
        self.note_held(key);
        // A member may be on its own from now on.
        self.look_by(key, now.tick.after(self.member_ttl));
        changed
    }

    /// Sees that a group at home is looked at no later than `due`.
    fn look_by(&mut self, key: GroupKey, due: Tick) {
        let Role::Home { look, .. } = &mut self.entries[key.index()].role else { return };
        if look.0 > due {
            self.timers.cancel(look.1);
            *look = (due, self.timers.insert(due, key));
        }
    }

    /// A group's time has come: expires its members, then the group itself if it is of no use, else says when to
    /// look again.
    fn look_after(&mut self, key: GroupKey, now: &Now) {
        let Role::Home { used, swept, .. } = self.entries[key.index()].role else {
            debug_assert!(false, "a mirror has no timer");
            return;
        };
        let expires = used.after(self.group_ttl);
        if !self.group(key).is_kept() && expires <= now.tick {
            self.remove(key);
            return;
        }
        let sweep_again = swept.after(SWEEP_EVERY_MIN);
        let next_sweep = if sweep_again > now.tick {
            Some(sweep_again)
        } else {
            self.sweep(key, now).map(|due| due.max(now.tick.after(SWEEP_EVERY_MIN)))
        };
        // Whoever keeps it now notes the use when it goes, so looking again after a whole ttl is soon enough.
        let again = if expires > now.tick { expires } else { now.tick.after(self.group_ttl) };
        let due = next_sweep.map_or(again, |sweep| sweep.min(again)).max(Tick(now.tick.0 + 1));
        let timer = self.timers.insert(due, key);
        if let Role::Home { look, .. } = &mut self.entries[key.index()].role {
            *look = (due, timer);
        }
    }

    /// Looks through a group's members; returns when the next one is due.
    fn sweep(&mut self, key: GroupKey, now: &Now) -> Option<Tick> {
        let member_ttl = self.member_ttl;
        self.prepare(key);
        let entry = &mut self.entries[key.index()];
        let (members, untold) = (entry.group.members(), entry.group.pending().len());
        let next_due = entry.group.expire_members(now, member_ttl);
        if let Role::Home { swept, .. } = &mut entry.role {
            *swept = now.tick;
        }
        self.members = self.members + entry.group.members() - members;
        self.highest = self.highest.max(entry.group.cursor());
        self.note_untold(key, untold);
        self.note_held(key);
        next_due
    }

    /// Counts what a group costs by now.
    fn note_held(&mut self, key: GroupKey) {
        let Entry { group, held_bytes, .. } = &mut self.entries[key.index()];
        let before = std::mem::replace(held_bytes, group.held_bytes());
        self.held.change(before, *held_bytes);
    }

    /// Notes what a group has to fan out, of which `before` were noted already; one that has nothing gives back the list that
    /// it was lent.
    fn note_untold(&mut self, key: GroupKey, before: usize) {
        let entry = &mut self.entries[key.index()];
        let pending = entry.group.pending().len();
        self.untold += pending - before;
        if pending == 0 {
            let list = self.take_pending(key);
            self.give_back_pending(list);
        } else if !std::mem::replace(&mut entry.is_dirty, true) {
            self.dirty.push_back(key);
        }
    }

    /// Makes a group ready for an update: its ring stays as long as it is while what is held is scarce, and a spare list
    /// of pending updates is lent to it if it has none.
    fn prepare(&mut self, key: GroupKey) {
        let group = &mut self.entries[key.index()].group;
        group.let_ring_grow(!self.held.is_scarce());
        let pending = group.pending_mut();
        if pending.capacity() == 0
            && let Some(list) = self.spare.pop()
        {
            *pending = list;
        }
    }

    /// The key that the next group gets.
    fn next_key(&self) -> GroupKey {
        GroupKey::at(self.entries.vacant_key())
    }

    fn insert(&mut self, group: Group, role: Role) -> GroupKey {
        let key = self.next_key();
        self.by_id.insert(group.id(), key);
        self.entries.insert(Entry { group, role, is_dirty: false, held_bytes: 0 });
        self.note_held(key);
        self.note_tables();
        key
    }

    /// Counts what the tables cost by now: they grow with the groups, by doubling, and keep their size.
    fn note_tables(&mut self) {
        // A hash table is at most 7/8 full and has a byte an entry; a timer takes 32 bytes.
        let bytes = self.entries.capacity() * (size_of::<Entry>() + 32)
            + self.by_id.capacity() * (size_of::<(GroupId, GroupKey)>() + 1) * 8 / 7;
        let before = std::mem::replace(&mut self.table_bytes, bytes);
        self.held.change(before, bytes);
    }

    /// Removes a group and everything that names it; for one at home the number it reached is kept in `highest`.
    fn remove(&mut self, key: GroupKey) {
        let entry = self.entries.remove(key.index());
        self.by_id.remove(&entry.group.id());
        self.untold -= entry.group.pending().len();
        self.held.change(entry.held_bytes, 0);
        match entry.role {
            Role::Home { look, .. } => {
                self.timers.cancel(look.1);
                self.members -= entry.group.members();
                self.groups -= 1;
                self.quota.give_back();
            }
            Role::Mirror => {}
        }
        if self.entries.is_empty() && self.entries.capacity() > TABLE_GROUPS_KEPT {
            self.entries = Slab::new();
            self.by_id = HashMap::default();
            self.note_tables();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::waiters::{Lane, Waiter};
    use super::*;
    use crate::clock::UnixMs;
    use crate::ids::ShardId;
    use crate::location::{Change, Location};

    const START_UNIX_MS: u64 = 1_767_225_600_000;

    fn now(tick: u64) -> Now {
        Now { tick: Tick(tick), micros: tick * 1000, unix: UnixMs(START_UNIX_MS + tick) }
    }

    fn group_id(number: u64) -> GroupId {
        GroupId::new(number).unwrap()
    }

    fn alice() -> MemberId {
        MemberId::new("alice").unwrap()
    }

    fn moved(member: Option<MemberId>) -> Publish {
        Publish { member, at: None, change: Change::Moved(Location::new(1.0, 2.0).unwrap()) }
    }

    /// Member ttl 60 s, group ttl 600 s, room for `groups_max` groups.
    fn hub_of(groups_max: usize) -> Hub {
        Hub::new(&Limits::default(), Quota::new(groups_max), &Budget::new(usize::MAX))
    }

    /// A hub with group 1, alice in it, everything fanned out.
    fn hub_with_alice() -> (Hub, GroupKey) {
        let mut hub = hub_of(2);
        let key = hub.make(group_id(1), &now(0)).unwrap();
        let published = hub.publish(key, &moved(Some(alice())), &now(0));
        assert!(matches!(published, Ok(Published::Numbered(_))));
        assert_eq!(fan_out(&mut hub).len(), 1);
        (hub, key)
    }

    fn fan_out(hub: &mut Hub) -> Vec<Arc<Update>> {
        let mut all = Vec::new();
        while let Some(key) = hub.poll_dirty() {
            let list = hub.take_pending(key);
            all.extend(list.iter().cloned());
            hub.give_back_pending(list);
        }
        all
    }

    /// Drives the hub's own timers up to a tick, waking only when it asks; returns how often it did.
    fn run_until(hub: &mut Hub, tick: u64) -> usize {
        let mut wakes = 0;
        while let Some(due) = hub.poll_timeout().filter(|due| due.0 <= tick) {
            hub.handle_timeout(&now(due.0));
            wakes += 1;
        }
        hub.handle_timeout(&now(tick));
        wakes
    }

    #[test]
    fn looking_for_a_group_makes_none() {
        let hub = hub_of(1);
        assert_eq!(hub.find(group_id(1)), None);
        assert_eq!((hub.groups(), hub.poll_timeout()), (0, None));
    }

    #[test]
    fn group_past_the_bound_is_refused_until_one_goes() {
        let mut hub = hub_of(1);
        let key = hub.make(group_id(1), &now(0)).unwrap();
        assert_eq!(hub.make(group_id(1), &now(0)), Ok(key));
        assert_eq!(hub.make(group_id(2), &now(0)), Err(NoRoom::Groups { max: 1 }));
        run_until(&mut hub, 600_000);
        assert_eq!(hub.groups(), 0);
        assert!(hub.make(group_id(2), &now(600_000)).is_ok());
    }

    #[test]
    fn tables_do_not_grow_past_what_may_be_held() {
        const HELD_BYTES_MAX: usize = 1_000_000;
        let mut hub = Hub::new(&Limits::default(), Quota::new(100_000), &Budget::new(HELD_BYTES_MAX));
        let full = (0..).find_map(|number| hub.make(group_id(number), &now(0)).err());
        assert_eq!(full, Some(NoRoom::Tables { max: HELD_BYTES_MAX }));
        assert!(hub.groups() > 100 && hub.held_bytes() < HELD_BYTES_MAX / 4, "{} bytes", hub.held_bytes());
        let before = hub.groups();
        run_until(&mut hub, 600_000);
        for number in 0..before as u64 {
            hub.make(group_id(number), &now(600_000)).expect("the tables have room, and nobody is in them");
        }
    }

    #[test]
    fn silent_member_leaves_after_its_ttl_with_an_update() {
        let (mut hub, key) = hub_with_alice();
        run_until(&mut hub, 59_999);
        assert_eq!((hub.members(), hub.poll_dirty()), (1, None));
        run_until(&mut hub, 60_000);
        let told = fan_out(&mut hub);
        assert_eq!(told.iter().map(|update| update.change).collect::<Vec<_>>(), [Change::Left]);
        assert_eq!((hub.members(), hub.group(key).members()), (0, 0));
    }

    #[test]
    fn nameless_member_leaves_in_silence() {
        let mut hub = hub_of(1);
        let key = hub.make(group_id(1), &now(0)).unwrap();
        hub.publish(key, &moved(None), &now(0)).map(drop).unwrap();
        fan_out(&mut hub);
        run_until(&mut hub, 60_000);
        assert_eq!((hub.members(), fan_out(&mut hub).len()), (0, 0));
    }

    #[test]
    fn member_that_a_connection_or_a_park_speaks_for_does_not_expire() {
        let (mut hub, key) = hub_with_alice();
        hub.connect(key, &alice(), &now(10));
        run_until(&mut hub, 500_000);
        hub.park(key, &alice(), &now(500_000));
        assert_eq!(hub.disconnect(key, &alice(), &now(500_000), false), None);
        run_until(&mut hub, 1_000_000);
        hub.unpark(key, &alice(), &now(1_000_000));
        run_until(&mut hub, 1_059_999);
        assert_eq!(hub.members(), 1);
        run_until(&mut hub, 1_060_000);
        assert_eq!(hub.members(), 0);
    }

    #[test]
    fn member_leaves_with_its_last_connection() {
        let (mut hub, key) = hub_with_alice();
        hub.connect(key, &alice(), &now(1));
        hub.connect(key, &alice(), &now(1));
        assert_eq!(hub.disconnect(key, &alice(), &now(2), true), None);
        let left = hub.disconnect(key, &alice(), &now(3), true).expect("the last one closed");
        assert_eq!(left.change, Change::Left);
        assert_eq!(fan_out(&mut hub), [left]);
        assert_eq!(hub.members(), 0);
    }

    #[test]
    fn many_members_cost_few_wakes() {
        let mut hub = hub_of(1);
        let key = hub.make(group_id(1), &now(0)).unwrap();
        for tick in 0..1000 {
            let member = MemberId::new(&format!("m{tick}"));
            hub.publish(key, &moved(member), &now(tick)).map(drop).unwrap();
        }
        let wakes = run_until(&mut hub, 62_000);
        assert_eq!(hub.members(), 0);
        assert!(wakes <= 30, "{wakes} wakes for a second of members, at most ten sweeps and the cascades");
    }

    #[test]
    fn group_expires_a_ttl_after_its_last_use() {
        let (mut hub, key) = hub_with_alice();
        let lane = Lane::new(0);
        hub.waiters_mut(key, &now(100)).insert(lane, Waiter { slot: 1, from: 0, sub: 0 });
        run_until(&mut hub, 5_000_000);
        fan_out(&mut hub);
        assert_eq!(hub.find(group_id(1)), Some(key), "somebody waits");
        hub.waiters_mut(key, &now(5_000_000)).remove(lane, 0);
        run_until(&mut hub, 5_599_999);
        assert_eq!(hub.groups(), 1);
        run_until(&mut hub, 5_600_000);
        assert_eq!((hub.groups(), hub.find(group_id(1)), hub.poll_timeout()), (0, None, None));
    }

    #[test]
    fn interested_shard_keeps_a_group() {
        let mut hub = hub_of(1);
        let key = hub.make(group_id(1), &now(0)).unwrap();
        hub.waiters_mut(key, &now(0)).shards_mut().insert(ShardId(3));
        run_until(&mut hub, 2_000_000);
        assert_eq!(hub.groups(), 1);
    }

    #[test]
    fn group_made_again_starts_above_every_number_given() {
        let mut hub = hub_of(2);
        let key = hub.make(group_id(1), &now(0)).unwrap();
        for _ in 0..3 {
            hub.publish(key, &moved(None), &now(0)).map(drop).unwrap();
        }
        fan_out(&mut hub);
        let reached = hub.group(key).cursor();
        run_until(&mut hub, 600_000);
        // The clock has stepped back to where it was.
        let again = hub.make(group_id(1), &now(0)).unwrap();
        assert!(hub.group(again).made_at() >= reached);
        assert!(!hub.group(again).has_history_of_updates());
    }

    #[test]
    fn dirty_groups_come_once_in_the_order_of_their_first_update() {
        let mut hub = hub_of(2);
        let [first, second] = [1, 2].map(|number| hub.make(group_id(number), &now(0)).unwrap());
        for key in [second, first, second] {
            hub.publish(key, &moved(None), &now(0)).map(drop).unwrap();
        }
        assert_eq!((hub.poll_dirty(), hub.untold()), (Some(second), 3));
        assert_eq!((hub.take_pending(second).len(), hub.untold()), (2, 1));
        assert_eq!(hub.poll_dirty(), Some(first));
        assert_eq!((hub.take_pending(first).len(), hub.untold()), (1, 0));
        assert_eq!(hub.poll_dirty(), None);
    }

    proptest! {
        #[test]
        fn counts_add_up_and_nobody_overstays(
            steps in prop::collection::vec((0u64..3, 0usize..4, 0u8..6, 0u64..40_000), 1..60),
        ) {
            let mut hub = hub_of(3);
            let mut tick = 0;
            for (group, nth, step, wait) in steps {
                tick += wait;
                run_until(&mut hub, tick);
                let key = hub.make(group_id(group), &now(tick)).expect("three groups fit");
                let member = MemberId::new(["a", "b", "c", "d"][nth]).unwrap();
                match step {
                    0 | 1 => hub.publish(key, &moved(Some(member)), &now(tick)).map(drop).unwrap(),
                    2 => hub.publish(key, &moved(None), &now(tick)).map(drop).unwrap(),
                    3 => {
                        hub.park(key, &member, &now(tick));
                        hub.unpark(key, &member, &now(tick));
                    }
                    _ => {
                        hub.connect(key, &member, &now(tick));
                        hub.disconnect(key, &member, &now(tick), step == 4);
                    }
                }
                if nth > 1 {
                    fan_out(&mut hub);
                }
                let present: usize = hub.entries.iter().map(|(_, entry)| entry.group.members()).sum();
                prop_assert_eq!(hub.members(), present);
                prop_assert_eq!((hub.groups(), hub.quota.used()), (hub.entries.len(), hub.entries.len()));
                prop_assert_eq!(hub.timers.len(), hub.entries.len(), "one timer a group");
            }
            // Sweeps come at most 100 ms late.
            run_until(&mut hub, tick + 60_100);
            prop_assert_eq!(hub.members(), 0);
            fan_out(&mut hub);
            run_until(&mut hub, tick + 1_300_000);
            prop_assert_eq!((hub.groups(), hub.quota.used(), hub.poll_timeout()), (0, 0, None));
        }
    }

    #[test]
    fn mirror_follows_its_home_and_ignores_what_it_has() {
        let (mut home, key) = hub_with_alice();
        let mut away = hub_of(0);
        let mirror = away.make_mirror(home.group(key).copy());
        assert_eq!(away.group(mirror).copy(), home.group(key).copy());
        home.connect(key, &alice(), &now(1));
        let left = home.disconnect(key, &alice(), &now(2), true).expect("alice was there");
        away.apply(mirror, Arc::clone(&left));
        away.apply(mirror, Arc::clone(&left));
        assert_eq!(fan_out(&mut away), [left]);
        assert_eq!(away.group(mirror).copy(), home.group(key).copy());
        assert_eq!((away.groups(), away.members(), away.poll_timeout()), (0, 0, None));
        away.drop_mirror(mirror);
        assert_eq!(away.find(group_id(1)), None);
    }

    #[test]
    fn refused_publish_keeps_no_list() {
        let (mut hub, key) = hub_with_alice();
        assert_eq!(hub.spare.len(), 1);
        let leave = Publish { member: MemberId::new("bob"), at: None, change: Change::Left };
        assert_eq!(hub.publish(key, &leave, &now(1)), Ok(Published::NothingLeft));
        assert_eq!((hub.spare.len(), hub.group(key).pending().len()), (1, 0));
    }

    #[test]
    fn dropped_mirror_leaves_no_dirty_key_behind() {
        let (mut home, key) = hub_with_alice();
        let mut away = hub_of(1);
        let mirror = away.make_mirror(home.group(key).copy());
        let numbered = home.publish(key, &moved(None), &now(1)).unwrap();
        let Published::Numbered(update) = numbered else { panic!("a location is always numbered") };
        away.apply(mirror, update);
        away.drop_mirror(mirror);
        let stranger = away.make(group_id(9), &now(1)).unwrap();
        assert_eq!(stranger, mirror, "the slab reuses the slot");
        assert_eq!(away.poll_dirty(), None);
    }

    #[test]
    fn tables_are_given_back_with_the_last_group() {
        let mut hub = Hub::new(&Limits::default(), Quota::new(usize::MAX), &Budget::new(usize::MAX));
        for number in 0..5000 {
            hub.make(group_id(number), &now(0)).unwrap();
        }
        assert!(hub.held_bytes() > 500_000, "{}", hub.held_bytes());
        hub.handle_timeout(&now(3_600_000));
        assert_eq!((hub.groups(), hub.held_bytes()), (0, 0));
        hub.make(group_id(1), &now(3_600_000)).unwrap();
    }
}
