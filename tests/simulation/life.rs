//! One life of a server: what happens in it, step by step, until everyone is gone.

use std::time::Duration;

use geoloop::clock::UnixMs;
use geoloop::ids::{GroupId, Transport};
use geoloop::limits::{HELD_BYTES_MAX, Limits, SlowConsumer};
use geoloop::report::Reason;
use geoloop::shard::placement;

use crate::model::{Model, Since, Subscriber};
use crate::peer::{Kind, Peer};
use crate::trace::Chance;
use crate::world::{Pace, Place, World};

/// Five groups; the last one's number is as large as they come.
const GROUPS: [u64; 5] = [0, 1, 2, 3, 9_223_372_036_854_775_807];

/// More than an update or the head of an answer takes.
const MESSAGE_BYTES_MAX: usize = 400;
/// More than any one answer takes: a snapshot of all members that the peers name.
const ANSWER_BYTES_MAX: usize = 6000;
/// More members than the peers name.
const MEMBERS_NAMED_MAX: usize = 40;
/// What the tables of one shard may keep of the few groups that were in them.
const TABLE_BYTES_MAX: u64 = 4 * 1024;
/// By how much more a group may hold though it is refused growth: with one member more than before, or one more who is
/// connected, its tables double.
const GROUP_GROWTH_BYTES_MAX: usize = 1_500;

/// A life in progress.
pub(crate) struct Life {
    pub(crate) seed: u64,
    pub(crate) limits: Limits,
    pub(crate) world: World,
    pub(crate) model: Model,
    pub(crate) peers: Vec<Peer>,
    /// How long the drain takes, once it has begun.
    pub(crate) drain_window: Option<Duration>,
    /// All that is owed is being told: clients answer at once.
    pub(crate) settles: bool,
    /// How many requests were refused because much was held.
    pub(crate) refused: u64,
    /// How many connections were closed because too much was.
    pub(crate) shed: u64,
}

/// What a life came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lived {
    /// The number that its whole trace makes.
    pub(crate) trace: u64,
    /// How many requests were refused because much was held.
    pub(crate) refused: u64,
    /// How many connections were closed because too much was.
    pub(crate) shed: u64,
}

impl Drop for Life {
    /// A life that fails tells how to have it again, and how it ended.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in self.world.trace.lines() {
                println!("{line}");
            }
            println!("GEOLOOP_SEED={} failed; {:?}, {} shards", self.seed, self.limits, self.world.workers());
        }
    }
}

fn draw_limits(chance: &mut Chance) -> Limits {
    let ms = Duration::from_millis;
    Limits {
        history: chance.pick(&[1, 2, 4, 16, 128]),
        queue_bytes_max: chance.pick(&[100, 300, 600, 2000, 65_536]),
        prefetch_count: chance.pick(&[1, 3, 1000, 1000]),
        groups_max: chance.pick(&[3, 4, 5, 100]),
        members_max: chance.pick(&[2, 4, 100, 100]),
        subscriptions_max: chance.pick(&[2, 64]),
        member_ttl: ms(chance.pick(&[200, 5_000, 60_000]) as u64),
        group_ttl: ms(chance.pick(&[500, 20_000, 600_000]) as u64),
        head_timeout: ms(chance.pick(&[1_000, 10_000]) as u64),
        body_timeout: ms(chance.pick(&[1_000, 10_000]) as u64),
        idle_timeout: ms(chance.pick(&[2_000, 75_000]) as u64),
        peer_timeout: ms(chance.pick(&[2_000, 90_000]) as u64),
        slow_consumer: chance.pick(&[
            SlowConsumer::Conflate,
            SlowConsumer::Conflate,
            SlowConsumer::Conflate,
            SlowConsumer::Disconnect,
        ]),
        held_bytes_max: chance.pick(&[HELD_BYTES_MAX, HELD_BYTES_MAX, HELD_BYTES_MAX, 6_000, 8_000, 12_000]),
        fan_out_writes_max: chance.pick(&[1, 2, 512]),
        ..Limits::default()
    }
}

impl Life {
    /// The beginning of a life that shows so many of its last steps if it fails.
    pub(crate) fn new(seed: u64, shown: usize) -> Self {
        let mut chance = Chance::of_seed(seed);
        let limits = draw_limits(&mut chance);
        let simulate = chance.once_in(2);
        let watched = 1 + chance.below(3);
        let mut model = Model::new(&GROUPS, watched);
        // A ring that may not grow lets go of as many updates as it takes, from its first one on.
        model.history = if limits.held_bytes_max < HELD_BYTES_MAX { 1 } else { limits.history as u64 };
        model.member_ttl_ms = limits.member_ttl.as_millis() as u64;
        model.members_max = limits.members_max;
        model.simulate = simulate;
        let world = World::new(chance, &limits, simulate, shown);
        let mut life = Self {
            seed,
            limits,
            world,
            model,
            peers: Vec::new(),
            drain_window: None,
            settles: false,
            refused: 0,
            shed: 0,
        };
        for group in &GROUPS[..watched] {
            life.open_witness(*group);
        }
        life
    }

    /// Lives it to the end.
    pub(crate) fn live(mut self) -> Lived {
        let steps = 60 + self.below(140);
        let drains_at = if self.once_in(4) { self.below(steps) } else { steps };
        for step in 0..steps {
            if step == drains_at {
                self.begin_drain();
            }
            self.step();
        }
        self.finish();
        Lived { trace: self.world.trace.hash(), refused: self.refused, shed: self.shed }
    }

    /// Whether so little may be held that what is refused near `--max-held-bytes` is, and who holds most is closed past it.
    pub(crate) fn is_scant(&self) -> bool {
        self.limits.held_bytes_max < HELD_BYTES_MAX
    }

    /// What the server counts under `held_max` is at least what its peers noticed of it.
    fn check_held_refusals(&self) {
        let (noticed, counted) =
            (self.refused + self.shed, self.world.report().refused[Reason::HeldMax as usize]);
        assert!(noticed <= counted, "{noticed} times --max-held-bytes was run into, {counted} are counted");
        assert!(counted == 0 || self.is_scant(), "{counted} times --max-held-bytes was run into");
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.world.chance.below(end)
    }

    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.world.chance.once_in(times)
    }

    pub(crate) fn draw_group(&mut self) -> u64 {
        self.world.chance.pick(&GROUPS)
    }

    pub(crate) fn groups() -> &'static [u64] {
        &GROUPS
    }

    /// An event stream on the group's home shard, whose socket takes everything.
    fn open_witness(&mut self, group: u64) {
        let home = self.home(group);
        let index = self.connect(Kind::EventStream, group, home, usize::MAX, usize::MAX);
        self.peers[index].is_witness = true;
        self.open_stream(index, Since::Now, "");
        self.world.turn(home, Pace::Whole);
        self.hear();
        assert!(self.peers[index].opened, "the witness of {group} is not let in");
    }

    pub(crate) fn home(&self, group: u64) -> usize {
        let group = GroupId::new(group).expect("each is a group");
        placement::home(group, self.world.workers()).index()
    }

    /// A newcomer that has said nothing yet.
    pub(crate) fn connect(
        &mut self,
        kind: Kind,
        group: u64,
        shard: usize,
        room: usize,
        bite: usize,
    ) -> usize {
        let index = self.world.accept(shard, room, bite);
        self.peers.push(Peer::new(kind, group, self.world.now.tick));
        assert_eq!(index, self.peers.len() - 1, "a peer and its socket have one place");
        index
    }

    /// Makes a peer known to the model as a subscriber.
    pub(crate) fn subscribe(&mut self, index: usize, group: u64, since: Since, polls: bool) -> usize {
        let before = self.model.before(index, group);
        self.model.subscribers.push(Subscriber::new(group, since, polls, before));
        self.model.subscribers.len() - 1
    }

    fn step(&mut self) {
        match self.below(100) {
            0..=11 => self.open_somebody(),
            12..=59 => self.speak_somebody(),
            60..=71 => self.change_room(),
            72..=75 => self.end_somebody(),
            76..=87 => self.pass_time(),
            88 => self.step_wall_clock(),
            _ => {}
        }
        for _ in 0..1 + self.below(3) {
            let shard = self.below(self.world.workers());
            let pace = if self.once_in(4) { Pace::Whole } else { Pace::Random };
            self.world.turn(shard, pace);
            self.hear();
        }
        self.check_bounds();
    }

    fn change_room(&mut self) {
        let Some(index) = self.draw_peer() else { return };
        if self.peers[index].is_witness || self.peers[index].gone {
            return;
        }
        let room = match self.below(4) {
            0 => 0,
            1 => usize::MAX,
            _ => self.below(800),
        };
        self.world.trace.note(format_args!("peer {index} has room for {room}"));
        self.world.sockets[index].room = room;
    }

    fn pass_time(&mut self) {
        let ms = match self.below(30) {
            0 => self.below(200_000),
            1 => self.below(30_000),
            2..=5 => self.below(2_000),
            6..=12 => self.below(200),
            _ => self.below(20),
        };
        self.world.end_turns();
        self.hear();
        self.world.advance(ms as u64);
    }

    fn step_wall_clock(&mut self) {
        let unix = self.world.now.unix.0;
        let by = self.below(7_200_000) as u64;
        let unix = if self.once_in(2) { unix + by } else { unix - by };
        self.world.set_wall_clock(UnixMs(unix));
    }

    fn begin_drain(&mut self) {
        let window = Duration::from_millis(50 + self.below(5000) as u64);
        self.drain_window = Some(window);
        // From now on connections are ended that do not know it yet.
        self.model.speaking.clear();
        self.world.drain(window);
    }

    /// A peer that is still there, whoever it is.
    pub(crate) fn draw_peer(&mut self) -> Option<usize> {
        if self.peers.is_empty() {
            return None;
        }
        // Most often one of the latest: the others are mostly gone.
        let all = self.peers.len();
        let index = if self.once_in(3) { self.below(all) } else { all - 1 - self.below(all.min(12)) };
        (self.world.sockets[index].place != Place::Closed).then_some(index)
    }

    /// What a shard holds for its connections is bounded, and nothing waits for a socket that takes bytes.
    pub(crate) fn check_bounds(&self) {
        let limits = &self.limits;
        let members = limits.members_max.min(MEMBERS_NAMED_MAX);
        let each =
            2 * limits.queue_bytes_max + ANSWER_BYTES_MAX + (members + limits.history) * MESSAGE_BYTES_MAX;
        let mut groups = 0;
        for (index, shard) in self.world.shards.iter().enumerate() {
            shard.check_held();
            let report = shard.report();
            let full = self.world.full_sockets(index);
            let waiting: u64 = report.queue_bytes.iter().sum();
            // What waits for its group to be told waits for the next turn.
            assert!(
                shard.has_more_to_tell() || waiting <= (full * each) as u64,
                "shard {index} holds {waiting} bytes for {full} full sockets"
            );
            let connections: u64 = report.connections.iter().sum();
            assert_eq!(connections as usize, shard.connections(), "shard {index} miscounts its connections");
            groups += report.groups as usize;
        }
        assert_eq!(groups, self.world.groups.used(), "groups at home and groups counted");
        assert!(groups <= limits.groups_max, "{groups} groups");
        self.check_held();
    }

    /// All shards together hold no more than they may, but for what comes when it cannot be refused any more.
    fn check_held(&self) {
        let (held, max) = (self.world.report().held_bytes as usize, self.limits.held_bytes_max);
        // A mirror that was asked for while there was room comes when there is none: at worst the group that is copied is
        // all that is held.
        let mirrors = if self.world.workers() > 1 { max / 2 } else { 0 };
        assert!(held <= max + mirrors + GROUP_GROWTH_BYTES_MAX, "{held} bytes are held, which may be {max}");
        self.check_held_refusals();
    }

    /// Nothing is left of anybody.
    pub(crate) fn check_empty(&self) {
        let report = self.world.report();
        for transport in Transport::ALL {
            let place = transport as usize;
            let left = [
                report.connections[place],
                report.parked[place],
                report.subscriptions[place],
                report.queue_bytes[place],
            ];
            assert_eq!(left, [0; 4], "left of {}", transport.label());
        }
        assert_eq!((report.groups, report.members), (0, 0), "groups and members that are left");
        assert_eq!(self.world.groups.used(), 0, "groups that are counted still");
        let tables = TABLE_BYTES_MAX * self.world.workers() as u64;
        assert!(report.held_bytes < tables, "{} bytes are held for nobody", report.held_bytes);
        assert_eq!(self.world.poll_timeout(), None, "somebody still waits for something");
    }
}
