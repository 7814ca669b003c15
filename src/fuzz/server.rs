//! A server of two shards in memory, and what peers do to it: the reactor's part, with its promises kept and held.
//!
//! Knows no script and no wire format. Everything repeats itself: the same calls give the same bytes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Now, Tick, UnixMs};
use crate::ids::{ConnId, ShardId};
use crate::limits::{Budget, Limits, Quota};
use crate::shard::mail::{Mail, Parcel};
use crate::shard::{Output, Reading, Shard, ShardConfig, Standing, Wrote};

/// How many shards there are: one more than one, for every hand-over and letter is between two.
pub(super) const SHARDS: usize = 2;

/// The wall clock at tick 0.
const UNIX_MS: u64 = 1_767_225_600_000;

/// What the tables of a shard may keep of the groups that were in them: a dozen at most, at home and as mirrors.
const TABLE_BYTES_MAX: u64 = 8 * 1024;

/// Things done for one step before it counts as never coming to rest: a step does some thousands at most.
const DEEDS_MAX: usize = 200_000;

/// What one connection may owe beside its queue: a batch that is being written, and answers of the protocol itself.
const OWED_BESIDES: u64 = 64 * 1024;

/// A client's end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it is served; `None` on the way between two shards, and once it is closed.
    served: Option<(usize, ConnId)>,
    /// What it sent and nobody has read.
    unread: Vec<u8>,
    /// How many bytes a read gives at most.
    read_max: usize,
    held: bool,
    /// It has closed its side.
    ended: bool,
    /// The shard that serves it knows.
    ended_told: bool,
    /// It is beyond use: writes fail.
    broken: bool,
    /// The server has closed its side.
    shut: bool,
    /// How many bytes its socket takes before it blocks.
    room: usize,
    /// All that it sent.
    pub(super) sent: Vec<u8>,
    /// All that it got.
    pub(super) got: Vec<u8>,
    /// It may have been cut off in the middle of something.
    pub(super) cut_off: bool,
}

impl Peer {
    /// Its socket is written to.
    fn take(&mut self, bytes: &[u8]) -> Wrote {
        assert!(!bytes.is_empty() && !self.shut, "a write of nothing, or after the end");
        if self.broken {
            return Wrote::Broken;
        }
        let taken = bytes.len().min(self.room);
        self.got.extend_from_slice(&bytes[..taken]);
        self.room -= taken;
        self.cut_off |= taken < bytes.len();
        Wrote::Bytes(taken)
    }
}

#[derive(Debug)]
enum Letter {
    Mail(Mail),
    HandOver(usize, Box<Parcel>),
}

/// Two shards, their peers, and the mail between them.
pub(super) struct Server {
    shards: Vec<Shard>,
    pub(super) peers: Vec<Peer>,
    /// Sent and not taken, by sender.
    outboxes: [VecDeque<(ShardId, Letter)>; SHARDS],
    /// On its way, in the order in which it was sent.
    letters: VecDeque<(ShardId, Letter)>,
    jammed: [bool; SHARDS],
    mail_rests: bool,
    now: Now,
}

/// Limits that short inputs reach.
pub(super) fn limits() -> Limits {
    Limits {
        head_bytes_max: 1024,
        target_bytes_max: 128,
        body_bytes_max: 512,
        frame_bytes_max: 512,
        frame_headers_max: 8,
        subscriptions_max: 3,
        groups_max: 6,
        members_max: 4,
        history: 4,
        queue_bytes_max: 600,
        head_timeout: Duration::from_secs(2),
        body_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        peer_timeout: Duration::from_secs(20),
        member_ttl: Duration::from_secs(2),
        group_ttl: Duration::from_secs(5),
        prefetch_count: 2,
        ..Limits::default()
    }
}

impl Server {
    /// A server that nobody has come to yet.
    pub(super) fn new() -> Self {
        let limits = limits();
        let now = Now { tick: Tick(0), micros: 0, unix: UnixMs(UNIX_MS) };
        let groups = Quota::new(limits.groups_max);
        let budget = Budget::new(limits.held_bytes_max);
        let shard = |id| {
            let config = ShardConfig {
                id: ShardId(id as u16),
                workers: SHARDS,
                seed: id as u64,
                simulate: true,
                echo: true,
                allow_origin: vec!["https://map.example".to_owned()],
                limits: limits.clone(),
                groups: groups.clone(),
                budget: budget.clone(),
                slots: 8,
            };
            Shard::new(config, now)
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            peers: Vec::new(),
            outboxes: Default::default(),
            letters: VecDeque::new(),
            jammed: [false; SHARDS],
            mail_rests: false,
            now,
        }
    }

    /// A newcomer; its place among the peers.
    pub(super) fn join(&mut self, shard: usize, standing: Standing) -> usize {
        let conn = self.shards[shard].handle_accepted(standing);
        self.peers.push(Peer {
            served: Some((shard, conn)),
            unread: Vec::new(),
            read_max: usize::MAX,
            held: false,
            ended: false,
            ended_told: false,
            broken: false,
            shut: false,
            room: usize::MAX,
            sent: Vec::new(),
            got: Vec::new(),
            cut_off: false,
        });
        self.peers.len() - 1
    }

    /// A peer sends bytes, `singly` in reads of one byte, and what follows from them happens; one that has closed its
    /// side sends no more.
    pub(super) fn send(&mut self, peer: usize, bytes: &[u8], singly: bool) {
        let sender = &mut self.peers[peer];
        if sender.ended || sender.broken {
            return;
        }
        sender.unread.extend_from_slice(bytes);
        sender.sent.extend_from_slice(bytes);
        sender.read_max = if singly { 1 } else { usize::MAX };
        self.read(peer);
        self.run();
    }

    /// A socket takes so many more bytes before it blocks.
    pub(super) fn make_room(&mut self, peer: usize, room: usize) {
        self.peers[peer].room = room;
        if let Some((shard, conn)) = self.peers[peer].served {
            self.shards[shard].handle_writable(conn);
        }
        self.run();
    }

    /// A peer closes its side; `noticed` says that the socket tells so before its bytes are read.
    pub(super) fn hang_up(&mut self, peer: usize, noticed: bool) {
        self.peers[peer].ended = true;
        if let (true, Some((shard, conn))) = (noticed || self.peers[peer].held, self.peers[peer].served) {
            self.shards[shard].handle_read_closed(conn);
        }
        self.read(peer);
        self.run();
    }

    /// A connection breaks: its peer gets and sends no more.
    pub(super) fn break_off(&mut self, peer: usize) {
        self.peers[peer].broken = true;
        self.peers[peer].cut_off = true;
        if let Some((shard, conn)) = self.peers[peer].served {
            self.shards[shard].handle_broken(conn);
        }
        self.run();
    }

    /// Time passes, each moment at which a shard wants to be called on the way.
    pub(super) fn pass(&mut self, wait: Duration) {
        let end = self.now.tick.after(wait);
        while self.now.tick < end {
            let due = self.shards.iter().filter_map(Shard::poll_timeout).min();
            let tick = due.map_or(end, |due| due.max(Tick(self.now.tick.0 + 1)).min(end));
            self.now = Now { tick, micros: tick.0 * 1000, unix: UnixMs(UNIX_MS + tick.0) };
            for shard in &mut self.shards {
                shard.handle_clock(self.now);
                shard.handle_timeout();
            }
            self.run();
        }
    }

    /// Mail stays where it is, or goes on.
    pub(super) fn rest(&mut self, rests: bool) {
        self.mail_rests = rests;
        self.run();
    }

    /// Whether mail stays where it is.
    pub(super) fn mail_rests(&self) -> bool {
        self.mail_rests
    }

    /// The letter that was sent first arrives.
    pub(super) fn deliver_one(&mut self) {
        if let Some((to, letter)) = self.letters.pop_front() {
            self.deliver(to.index(), letter);
        }
        self.run();
    }

    /// The mail that a shard sends does not go out, or goes on.
    pub(super) fn jam(&mut self, shard: usize, jammed: bool) {
        self.jammed[shard] = jammed;
        self.run();
    }

    /// Whether the mail of a shard does not go out.
    pub(super) fn is_jammed(&self, shard: usize) -> bool {
        self.jammed[shard]
    }

    /// The server begins to drain.
    pub(super) fn drain(&mut self, window: Duration) {
        for shard in &mut self.shards {
            shard.handle_drain(window);
        }
        self.run();
    }

    /// Does what the shards want done and carries their mail, until nothing is left to do.
    fn run(&mut self) {
        let mut deeds = 0;
        loop {
            let mut done = 0;
            for shard in 0..SHARDS {
                // Answers that take long are made a few a turn.
                self.shards[shard].handle_timeout();
                done += self.do_outputs(shard);
                if !self.jammed[shard] {
                    self.letters.append(&mut self.outboxes[shard]);
                }
                self.shards[shard].handle_congestion(!self.outboxes[shard].is_empty());
                done += self.read_all(shard);
                done += self.do_outputs(shard);
            }
            while !self.mail_rests
                && let Some((to, letter)) = self.letters.pop_front()
            {
                self.deliver(to.index(), letter);
                done += 1;
            }
            deeds += done;
            assert!(deeds < DEEDS_MAX, "it does not come to rest");
            if done == 0 {
                self.shards.iter().for_each(Shard::check_held);
                return;
            }
        }
    }

    /// Nobody is owed more than the limits say.
    pub(super) fn check_queues(&self) {
        let bound = limits().queue_bytes_max as u64 + OWED_BESIDES;
        for shard in &self.shards {
            let owed: u64 = shard.report().queue_bytes.iter().sum();
            assert!(owed <= bound * shard.connections() as u64, "{owed} bytes wait");
        }
    }

    fn deliver(&mut self, to: usize, letter: Letter) {
        match letter {
            Letter::Mail(mail) => self.shards[to].handle_mail(mail),
            Letter::HandOver(peer, parcel) => {
                let (conn, reading) = self.shards[to].handle_adopted(*parcel);
                self.peers[peer].served = Some((to, conn));
                self.peers[peer].held = reading == Reading::Hold;
                self.peers[peer].ended_told = false;
                if self.peers[peer].broken {
                    self.shards[to].handle_broken(conn);
                }
                self.read(peer);
            }
        }
    }

    fn do_outputs(&mut self, from: usize) -> usize {
        let mut done = 0;
        let of = |peers: &[Peer], conn: ConnId| {
            let place = peers.iter().position(|peer| peer.served == Some((from, conn)));
            place.expect("a shard speaks of connections that it serves")
        };
        let mut again = Vec::new();
        while let Some(output) = self.shards[from].poll_output() {
            done += 1;
            assert!(done < DEEDS_MAX, "it does not come to rest");
            match output {
                Output::Write { conns, bytes } => {
                    let mut short = Vec::new();
                    for (index, conn) in conns.iter().enumerate() {
                        let place = of(&self.peers, *conn);
                        let wrote = self.peers[place].take(bytes);
                        if wrote != Wrote::Bytes(bytes.len()) {
                            short.push((index, wrote));
                        }
                    }
                    self.shards[from].handle_wrote(&short);
                }
                Output::ShutdownWrite { conn } => {
                    let place = of(&self.peers, conn);
                    self.peers[place].shut = true;
                }
                Output::Close { conn } => {
                    let place = of(&self.peers, conn);
                    self.peers[place].served = None;
                }
                Output::ReadAgain { conn } => {
                    let place = of(&self.peers, conn);
                    self.peers[place].held = false;
                    again.push(place);
                }
                Output::Mail { to, mail } => self.outboxes[from].push_back((to, Letter::Mail(mail))),
                Output::HandOver { conn, to, parcel } => {
                    let place = of(&self.peers, conn);
                    self.peers[place].served = None;
                    self.outboxes[from].push_back((to, Letter::HandOver(place, parcel)));
                }
                Output::Scrape { conn } => self.shards[from].handle_scraped(conn, "text/plain", b"counts\n"),
            }
        }
        for peer in again {
            self.read(peer);
        }
        done
    }

    /// Reads everyone at a shard that has something to say; how many did.
    fn read_all(&mut self, shard: usize) -> usize {
        let mut reads = 0;
        for peer in 0..self.peers.len() {
            let Peer { served, ended, ended_told, ref unread, .. } = self.peers[peer];
            let has_more = !unread.is_empty() || ended && !ended_told;
            if has_more && served.is_some_and(|(at, _)| at == shard) {
                reads += usize::from(self.read(peer));
            }
        }
        reads
    }

    /// Reads a peer once, unless its shard wants none of it now or has mail that waits; whether it did.
    fn read(&mut self, peer: usize) -> bool {
        let Peer { served, held, ended, read_max, ref mut unread, .. } = self.peers[peer];
        let (Some((shard, conn)), false) = (served, held) else { return false };
        if !self.outboxes[shard].is_empty() && self.jammed[shard] {
            return false;
        }
        if !unread.is_empty() {
            let later = unread.split_off(unread.len().min(read_max));
            let mut bytes = std::mem::replace(unread, later);
            let reading = self.shards[shard].handle_received(conn, &mut bytes);
            self.peers[peer].held = reading == Reading::Hold;
        }
        let Peer { held, ref unread, .. } = self.peers[peer];
        if ended && !held && unread.is_empty() {
            self.shards[shard].handle_ended(conn);
            self.peers[peer].ended_told = true;
        }
        true
    }

    /// Everything that was held up goes on, and everybody leaves; then nothing of them is left.
    pub(super) fn close_all(&mut self) {
        self.jammed = [false; SHARDS];
        self.rest(false);
        for peer in 0..self.peers.len() {
            self.make_room(peer, usize::MAX);
        }
        for peer in 0..self.peers.len() {
            self.hang_up(peer, true);
        }
        let left: Vec<usize> = self.shards.iter().map(Shard::connections).collect();
        assert_eq!(left, [0; SHARDS], "connections after everybody left: {:#?}", self.peers);
    }

    /// Once nobody has been there for long enough, no group and no member is left either.
    pub(super) fn check_forgotten(&mut self) {
        self.pass((limits().group_ttl + limits().member_ttl) * 3);
        for shard in &self.shards {
            let report = shard.report();
            assert_eq!((report.groups, report.members), (0, 0), "groups and members are left behind");
            assert!(report.held_bytes < TABLE_BYTES_MAX, "{} bytes are held for nobody", report.held_bytes);
            assert_eq!(report.parked.iter().sum::<u64>() + report.subscriptions.iter().sum::<u64>(), 0);
        }
    }
}
