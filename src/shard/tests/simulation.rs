//! Random lives of a small server, each of them repeatable by its seed: subscribers of every form on several shards,
//! sockets that block and go on, mail that is late. Whatever happens, who is owed an update gets it, once.
//!
//! `GEOLOOP_SEED=7` runs the life of that seed alone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::stomp::{connect, send_to, subscribe};
use super::{Driver, Peer, at, get, post, seq, text, upgrade};
use crate::random::Random;

/// Groups 0 to 3; a member's name says which it is in, for a STOMP connection hears several.
const GROUPS: u64 = 4;
const MEMBERS: [&str; 3] = ["alice", "bob", "carol"];
const STEPS: usize = 120;

/// A subscriber that asked for everything from the beginning on.
struct Subscriber {
    peer: Peer,
    groups: Vec<u64>,
    /// Its socket has taken everything at once so far.
    quick: bool,
}

struct Life {
    driver: Driver,
    random: Random,
    subscribers: Vec<Subscriber>,
    /// Of each member the number of its newest update, by group and name.
    newest: BTreeMap<String, u64>,
    /// Publishers, whose answers say what was numbered.
    publishers: Vec<Peer>,
    history: usize,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random::with_seed(seed);
        let workers = 1 + (random.number() % 3) as usize;
        let history = if random.number().is_multiple_of(2) { 4 } else { STEPS };
        let driver = Driver::with(workers, |limits| {
            (limits.history, limits.queue_bytes_max) = (history, 600);
        });
        Self {
            driver,
            random,
            subscribers: Vec::new(),
            newest: BTreeMap::new(),
            publishers: Vec::new(),
            history,
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        u64::from(self.random.number()) % end
    }

    fn shard(&mut self) -> usize {
        self.below(self.driver.shards.len() as u64) as usize
    }

    fn step(&mut self) {
        match self.below(20) {
            0..=8 => self.publish(),
            9..=11 => self.open(),
            12..=14 => self.choke(),
            15..=16 => self.relieve(),
            17 => self.driver.mail_rests = !self.driver.mail_rests,
            18 => self.driver.pass(Duration::from_millis(7)),
            _ => self.close(),
        }
        if self.below(3) > 0 {
            self.driver.run();
        }
    }

    fn body(&mut self, group: u64) -> String {
        let member = MEMBERS[self.below(MEMBERS.len() as u64) as usize];
        let x = self.below(1000) as u32;
        at(&format!("{group}-{member}"), x)
    }

    /// Publishes over HTTP or over the connection of a subscriber.
    fn publish(&mut self) {
        let group = self.below(GROUPS);
        let body = self.body(group);
        let speaker = self.below(8) as usize;
        if let Some(Subscriber { peer, groups, .. }) = self.subscribers.get(speaker) {
            let (peer, own, several) = (*peer, groups[0], groups.len() > 1);
            let body = if several { body } else { self.body(own) };
            let bytes = if several { send_to(group, "", &body) } else { text(&body) };
            return self.driver.feed(peer, bytes);
        }
        let shard = self.shard();
        let publisher = self.driver.accept(shard);
        self.driver.feed(publisher, post(group, &body));
        self.publishers.push(publisher);
    }

    fn open(&mut self) {
        let shard = self.shard();
        let group = self.below(GROUPS);
        let peer = self.driver.accept(shard);
        if self.below(4) == 0 {
            self.driver.sockets[peer.0].room = self.below(400) as usize;
        }
        let quick = self.driver.sockets[peer.0].room == usize::MAX;
        let mut groups = vec![group];
        match self.below(3) {
            0 => self.driver.feed(peer, upgrade(&format!("/ws/{group}?since=0"))),
            1 => self.driver.feed(peer, get(&format!("/location/sse/{group}?last_event_id=0"))),
            _ => {
                groups.push((group + 1) % GROUPS);
                self.driver.feed(peer, [upgrade("/location").into_bytes(), connect("")].concat());
                for group in &groups {
                    self.driver.feed(peer, subscribe(&group.to_string(), *group, "since:0\n"));
                }
            }
        }
        self.subscribers.push(Subscriber { peer, groups, quick });
    }

    fn choke(&mut self) {
        let place = self.below(8) as usize;
        let room = self.below(300) as usize;
        if let Some(subscriber) = self.subscribers.get_mut(place) {
            self.driver.sockets[subscriber.peer.0].room = room;
            subscriber.quick = false;
        }
    }

    fn relieve(&mut self) {
        let place = self.below(8) as usize;
        let room = self.below(500) as usize;
        if let Some(subscriber) = self.subscribers.get_mut(place) {
            subscriber.quick = false;
            self.driver.make_room(subscriber.peer, room);
        }
    }

    fn close(&mut self) {
        let place = self.below(8) as usize;
        if place < self.subscribers.len() {
            let subscriber = self.subscribers.swap_remove(place);
            self.driver.hang_up(subscriber.peer);
        }
    }

    /// Everything that was held up goes on.
    fn settle(&mut self) {
        self.driver.mail_rests = false;
        self.driver.run();
        for place in 0..self.subscribers.len() {
            self.driver.make_room(self.subscribers[place].peer, usize::MAX);
        }
        for group in 0..GROUPS {
            let witness = self.driver.connect(0, get(&format!("/location/group/{group}")));
            let (_, snapshot) = self.driver.take_answer(witness, "200");
            self.newest.extend(updates(&snapshot).into_iter().map(|(number, member)| (member, number)));
        }
        for publisher in std::mem::take(&mut self.publishers) {
            self.driver.take_answer(publisher, "200");
        }
    }

    /// What each subscriber got is in order, without repetition, and ends on each member's newest.
    fn check(&mut self, seed: u64) {
        for Subscriber { peer, groups, quick } in std::mem::take(&mut self.subscribers) {
            let got = String::from_utf8_lossy(&self.driver.take(peer)).into_owned();
            let told = format!(
                "seed {seed}, {peer:?} in {groups:?}, quick {quick}, history {}: {got}",
                self.history
            );
            for group in groups {
                let group = format!("{group}-");
                let own: Vec<_> =
                    updates(&got).into_iter().filter(|(_, member)| member.starts_with(&group)).collect();
                assert!(own.is_sorted_by(|a, b| a.0 < b.0), "out of order: {told}");
                let last: BTreeMap<_, _> =
                    own.iter().map(|(number, member)| (member.clone(), *number)).collect();
                let newest = self.newest.iter().filter(|(member, _)| member.starts_with(&group));
                let newest: BTreeMap<_, _> =
                    newest.map(|(member, number)| (member.clone(), *number)).collect();
                assert_eq!(last, newest, "not the newest: {told}");
                if quick && self.history == STEPS {
                    assert!(own.is_sorted_by(|a, b| a.0 + 1 == b.0), "something is missing: {told}");
                    assert!(!got.contains("gap"), "{told}");
                }
            }
        }
    }
}

/// The numbers and members of all updates in a stream of whatever form.
fn updates(stream: &str) -> Vec<(u64, String)> {
    let starts = stream.match_indices("{\"seq\":").map(|(at, _)| &stream[at..]);
    let update = |update: &str| {
        let (_, member) = update.split_once("\"member\":\"").unwrap();
        (seq(update), member.split('"').next().unwrap().to_owned())
    };
    starts.map(update).collect()
}

fn live(seed: u64) {
    let mut life = Life::new(seed);
    for _ in 0..STEPS {
        life.step();
    }
    life.settle();
    life.check(seed);
}

#[test]
fn whoever_is_owed_an_update_gets_it_once_whatever_happens() {
    if let Some(seed) = std::env::var("GEOLOOP_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return live(seed);
    }
    for seed in 0..300 {
        println!("GEOLOOP_SEED={seed}");
        live(seed);
    }
}
