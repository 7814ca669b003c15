//! The end of a life: everything that is owed is told, judged, and then everyone goes and nothing may be left.

use std::time::Duration;

use geoloop::clock::Tick;
use geoloop::limits::{MIRROR_LINGER, SlowConsumer};

use crate::harness::http::get;
use crate::life::Life;
use crate::peer::{About, Ask, Kind};
use crate::world::{Pace, Place};

/// More rounds than anything takes to be over.
const ROUNDS_MAX: usize = 20_000;

impl Life {
    pub(crate) fn finish(&mut self) {
        self.settles = true;
        for index in 0..self.peers.len() {
            if self.peers[index].excuse != Some("it vanished") {
                let socket = &mut self.world.sockets[index];
                (socket.room, socket.bite) = (usize::MAX, usize::MAX);
            }
        }
        self.settle();
        if let Some(window) = self.drain_window {
            // By now every shard has heard of it.
            self.pass(window);
            self.judge_drain();
        } else {
            self.look_around();
            self.judge_settled();
        }
        for index in 0..self.model.subscribers.len() {
            self.model.judge(index);
        }
        for group in Self::groups() {
            self.model.judge_group(*group);
        }
        self.go();
    }

    /// A newcomer looks at each watched group: while nothing happens it is shown exactly what is there.
    fn look_around(&mut self) {
        for group in Self::groups() {
            if !self.model.is_watched(*group) {
                continue;
            }
            let shard = self.below(self.world.workers());
            let index = self.connect(Kind::Asker, *group, shard, usize::MAX, usize::MAX);
            self.ask(index, About::Snapshot(*group), *group, &get(&format!("/location/group/{group}")));
            self.ask(index, About::Current(*group, None), *group, &get(&format!("/location/cur/{group}")));
        }
        self.settle();
    }

    /// Lets everything happen that wants to, while no time passes.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            for shard in 0..self.world.workers() {
                self.world.turn(shard, Pace::Whole);
                self.hear();
            }
            let more = self.go_on();
            if !more && !self.world.is_busy() {
                return self.check_bounds();
            }
        }
        panic!("it never comes to rest");
    }

    /// Time passes, each moment at which a shard wants to be called on the way.
    pub(crate) fn pass(&mut self, wait: Duration) {
        let end = self.world.now.tick.after(wait);
        while self.world.now.tick < end {
            let due = self.world.poll_timeout();
            let soonest = Tick(self.world.now.tick.0 + 1);
            let next = due.map_or(end, |due| due.max(soonest).min(end));
            self.world.advance(next.0 - self.world.now.tick.0);
            self.settle();
        }
    }

    /// Nothing is on its way: who behaved has been told everything, and all that was asked is answered.
    fn judge_settled(&mut self) {
        for index in 0..self.peers.len() {
            let peer = &self.peers[index];
            if !peer.is_well() {
                continue;
            }
            let left: Vec<_> =
                peer.asks.iter().filter(|ask| !matches!(ask.about, About::Poll { .. })).collect();
            let waits_behind_poll = peer.asks.iter().any(|ask| matches!(ask.about, About::Poll { .. }));
            assert!(left.is_empty() || waits_behind_poll, "peer {index} has no answer to {left:?}");
            if let Some(Ask { about: About::Poll { timeout_ms, .. }, .. }) = peer.asks.front() {
                let began = self.world.sockets[index].read_at.max(peer.answered_at);
                let waited = self.world.now.tick.since(began).as_millis() as u64;
                let is_late = waited >= *timeout_ms && self.world.has_read_all(index);
                assert!(!is_late, "peer {index} still polls after {waited} ms: {:?}", peer.asks);
            }
            assert!(peer.reader.rest().is_empty(), "peer {index} got half of something");
            assert!(peer.pings.is_empty(), "peer {index} has no pong to {:?}", peer.pings);
            assert!(
                peer.stomp.receipts.is_empty(),
                "peer {index} has no receipt for {:?}",
                peer.stomp.receipts
            );
            let unheard = if waits_behind_poll { Vec::new() } else { self.model.unheard(index) };
            assert!(unheard.len() <= peer.refusals, "publishes {unheard:?} of peer {index} came to nothing");
            if let Some(subscriber) = peer.subscriber.filter(|_| peer.opened || peer.kind == Kind::Poller) {
                self.model.judge_end(subscriber);
            }
            for subscription in peer.stomp.subscriptions.iter().filter(|subscription| !subscription.ending) {
                self.model.judge_end(subscription.subscriber);
            }
        }
    }

    /// The window of the drain is over: who was parked and could be told was told.
    fn judge_drain(&mut self) {
        let disconnects = self.limits.slow_consumer == SlowConsumer::Disconnect;
        for (index, peer) in self.peers.iter().enumerate() {
            let excused =
                peer.excuse.is_some() || peer.gone || (disconnects && !self.world.sockets[index].quick);
            if excused || !(peer.opened || peer.stomp.connected) {
                continue;
            }
            assert!(peer.ended, "peer {index} was not told of the drain: {:?}", peer.kind);
            assert!(
                peer.told_drain || peer.stomp.leaving,
                "peer {index} was told of the drain in no way of its own"
            );
        }
        for (index, peer) in self.peers.iter().enumerate() {
            let parks = peer.asks.iter().any(|ask| matches!(ask.about, About::Poll { .. }));
            let is_cut = peer.ended || !peer.is_well();
            assert!(!parks || is_cut, "peer {index} is still parked after the drain");
        }
    }

    /// Everyone goes, in whatever way; then nothing may be left.
    fn go(&mut self) {
        for index in 0..self.peers.len() {
            if !self.peers[index].is_witness {
                self.leave(index);
            }
        }
        self.settle();
        if self.drain_window.is_none() {
            self.model.check_left(|member| member.starts_with('w'));
        }
        for index in 0..self.peers.len() {
            if self.peers[index].is_witness {
                self.leave(index);
            }
        }
        self.settle();
        let closed = self.world.sockets.iter().position(|socket| socket.place != Place::Closed);
        assert_eq!(closed, None, "a connection outlives its peer");
        let limits = &self.limits;
        self.pass(limits.group_ttl * 2 + limits.member_ttl * 2 + MIRROR_LINGER * 2 + Duration::from_secs(60));
        self.check_empty();
    }

    fn leave(&mut self, index: usize) {
        let socket = &self.world.sockets[index];
        if socket.place == Place::Closed {
            return;
        }
        let (finished, reset) = (socket.finished, socket.reset);
        // Whoever reads nothing is found gone by TCP's own timeout.
        let reads = socket.room == usize::MAX;
        self.retire(index, "it leaves");
        if self.peers[index].is_witness {
            self.model.stop_watching(self.peers[index].group);
        }
        if !reset && (finished || !reads || self.once_in(2)) {
            self.world.reset(index);
        } else if !reset {
            self.world.finish(index);
        }
    }
}
