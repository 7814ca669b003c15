//! The members of one group: what each holds, when it was heard, and who attends to it.
//!
//! Knows names and updates; must not know rings, cursors or waiters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use slab::Slab;

use crate::clock::{Now, Tick};
use crate::ids::{MemberId, Seq};
use crate::location::Update;

/// One member; there only while it holds a location or somebody attends to it.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// `None` for the nameless one.
    pub(super) name: Option<MemberId>,
    /// Its newest update, if it is present.
    pub(super) held: Option<Arc<Update>>,
    /// When it was last heard of.
    pub(super) heard: Tick,
    /// Connections that speak for it.
    pub(super) connected: u32,
    /// Long polls parked in its name.
    pub(super) parked: u32,
}

impl Member {
    pub(super) const fn is_attended(&self) -> bool {
        self.connected > 0 || self.parked > 0
    }
}

/// The members of a group.
///
/// Members that hold a location are bounded by `--max-members`, the others by the connections and parked polls
/// that they are there for.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) entries: Slab<Member>,
    /// Looked up, never walked: its order differs from run to run.
    pub(super) by_name: HashMap<MemberId, usize>,
    pub(super) nameless: Option<usize>,
    /// Members by the number of the update they hold.
    pub(super) held: BTreeMap<Seq, usize>,
    /// How many are connected or parked.
    pub(super) attended: usize,
    /// What the names and the held updates cost.
    shared_bytes: usize,
}

impl Members {
    pub(super) fn find(&self, name: Option<&MemberId>) -> Option<usize> {
        name.map_or(self.nameless, |name| self.by_name.get(name).copied())
    }

    pub(super) fn find_or_make(&mut self, name: Option<&MemberId>) -> usize {
        if let Some(key) = self.find(name) {
            return key;
        }
        let key = self.entries.insert(Member { name: name.cloned(), ..Member::default() });
        match name {
            Some(name) => {
                self.shared_bytes += name.held_bytes();
                self.by_name.insert(name.clone(), key);
            }
            None => self.nameless = Some(key),
        }
        key
    }

    /// The update of a member that is known to hold one.
    pub(super) fn update(&self, key: usize) -> &Arc<Update> {
        self.entries[key].held.as_ref().expect("the index names only members that hold an update")
    }

    /// Notes that a member was heard of; returns what it holds.
    pub(super) fn heard(&mut self, key: usize, now: &Now) -> Option<Arc<Update>> {
        let entry = &mut self.entries[key];
        entry.heard = now.tick;
        entry.held.clone()
    }

    /// Makes an update its member's newest.
    pub(super) fn hold(&mut self, update: Arc<Update>, heard: Tick) {
        let key = self.find_or_make(update.member.as_ref());
        let entry = &mut self.entries[key];
        entry.heard = heard;
        self.held.insert(update.seq, key);
        self.shared_bytes += update.held_bytes();
        if let Some(before) = entry.held.replace(update) {
            self.held.remove(&before.seq);
            self.shared_bytes -= before.held_bytes();
        }
    }

    /// Whether a member is present.
    pub(super) fn holds(&self, name: Option<&MemberId>) -> bool {
        self.find(name).is_some_and(|key| self.entries[key].held.is_some())
    }

    /// Takes a member's location away.
    pub(super) fn release(&mut self, name: Option<&MemberId>) {
        let Some(key) = self.find(name) else { return };
        if let Some(before) = self.entries[key].held.take() {
            self.held.remove(&before.seq);
            self.shared_bytes -= before.held_bytes();
        }
        self.forget_if_empty(key);
    }

    /// Changes who attends to a member, keeping count of the attended.
    pub(super) fn attend(&mut self, key: usize, change: impl FnOnce(&mut Member)) {
        let entry = &mut self.entries[key];
        let before = usize::from(entry.is_attended());
        change(entry);
        self.attended = self.attended + usize::from(entry.is_attended()) - before;
    }

    pub(super) fn forget_if_empty(&mut self, key: usize) {
        let entry = &self.entries[key];
        if entry.held.is_some() || entry.is_attended() {
            return;
        }
        match self.entries.remove(key).name {
            Some(name) => {
                self.by_name.remove(&name);
                self.shared_bytes -= name.held_bytes();
            }
            None => self.nameless = None,
        }
        self.check_invariants();
    }

    /// What the tables, the names and the held updates cost on the heap.
    pub(super) fn held_bytes(&self) -> usize {
        // A slab's entry has a word besides; a hash table is at most 7/8 full and has a byte an entry; a node of the
        // tree is half full at worst.
        self.entries.capacity() * (size_of::<Member>() + size_of::<usize>())
            + self.by_name.capacity() * (size_of::<(MemberId, usize)>() + 1) * 8 / 7
            + self.held.len() * size_of::<(Seq, usize)>() * 2
            + self.shared_bytes
    }

    pub(super) fn check_invariants(&self) {
        let named = self.by_name.len();
        debug_assert_eq!(self.entries.len(), named + usize::from(self.nameless.is_some()));
        debug_assert!(self.held.len() <= self.entries.len() && self.attended <= self.entries.len());
    }
}
