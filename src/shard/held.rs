//! What connections hold in memory, against `--max-held-bytes`: counted wherever it changes, shed where it is too much.
//!
//! The other limits bound one connection, one group, one queue; this one bounds what they multiply to. Near it what can
//! be refused is (new groups and members, snapshots, longer rings); past it the connections that hold most are closed.

use std::cmp::Reverse;

use crate::ids::ConnId;
use crate::report::Reason;
use crate::shard::Shard;
use crate::shard::conns::Conn;

impl Shard {
    /// Counts what a connection holds by now; to be called after whatever may have changed that.
    ///
    /// One that is to be flushed this turn is left to that, for a short answer is gone by then and never counts.
    pub(super) fn note_held(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.out.as_ref().is_none_or(|out| !out.dirty) {
            self.count_held(id);
        }
    }

    /// The same at once: so many long answers may come in one turn that the next must not be written any more.
    pub(super) fn count_held(&mut self, id: ConnId) {
        if let Some(bytes) = self.conns.get(id).map(Conn::held_bytes) {
            self.set_held(id.slot, bytes);
        }
    }

    /// A connection is about to go; one that has gone already has left its slot to another.
    pub(super) fn give_back_held(&mut self, id: ConnId) {
        if self.conns.get(id).is_some() {
            self.set_held(id.slot, 0);
        }
    }

    pub(super) fn set_held(&mut self, slot: u32, bytes: usize) {
        // What does not fit into a slot's count must not be counted, for it would never be given back.
        let bytes = bytes.min(u32::MAX as usize);
        let before = self.conns.set_held_bytes(slot, bytes);
        if before != bytes {
            self.held.change(before, bytes);
        }
    }

    /// Whether all shards hold more than they may, and connections here more than their share of it.
    ///
    /// Who holds less lets the others see to it: a shard whose clients hold next to nothing must not close them for what
    /// is held elsewhere.
    pub(super) fn must_shed(&self) -> bool {
        self.held.excess() > 0 && self.held.own() > self.held.even_share(self.workers)
    }

    /// Tells the other shards what is held here, and if all of it is more than may be, closes the connections here that
    /// hold most, as many as it takes or until they hold no more than their share; false if there is nothing to do.
    pub(super) fn shed(&mut self) -> bool {
        self.hub.settle_held();
        self.held.settle();
        if !self.must_shed() {
            return false;
        }
        let surplus = self.held.own() - self.held.even_share(self.workers);
        let mut excess = self.held.excess().min(surplus);
        let held = self.conns.iter().map(|(id, _)| (self.conns.held_bytes(id.slot), id));
        let mut holders: Vec<(usize, ConnId)> = held.filter(|(bytes, _)| *bytes > 0).collect();
        holders.sort_unstable_by_key(|(bytes, id)| (Reverse(*bytes), id.slot));
        for (bytes, id) in &holders {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(*bytes);
            self.refuse(Reason::HeldMax);
            self.kill(*id);
        }
        !holders.is_empty()
    }

    /// Whether every connection is counted for what it holds; for tests, which call it between turns.
    #[doc(hidden)]
    pub fn check_held(&self) {
        let mut all = 0;
        for (id, conn) in self.conns.iter() {
            assert_eq!(self.conns.held_bytes(id.slot), conn.held_bytes(), "{id:?} holds what is not counted");
            all += conn.held_bytes();
        }
        assert_eq!(self.held.own(), all, "what is counted is the sum of what connections hold");
    }
}
