//! Shards in memory, the sockets and the mail between them, and the clock: what a reactor and a network do, and how
//! late, in what pieces and in what order they do it.
//!
//! Knows nothing of what peers say. Mail between one pair of shards stays in order, a mailbox is bounded and a shard
//! whose letters wait is congested, a socket is read and written as a reactor reads and writes it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use geoloop::clock::{Now, Tick, UnixMs};
use geoloop::ids::{ConnId, ShardId};
use geoloop::limits::{Budget, Limits, Quota};
use geoloop::report::Report;
use geoloop::shard::mail::{Mail, Parcel};
use geoloop::shard::{Output, Reading, Shard, ShardConfig, Standing, Wrote};

use crate::trace::{Chance, Trace, shown};

/// The wall clock at tick 0.
const UNIX_MS: u64 = 1_767_225_600_000;

/// How much of what may happen in a turn does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Some of it.
    Random,
    /// All of it.
    Whole,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Served by a shard.
    At(usize, ConnId),
    /// In a letter.
    Moving,
    /// Closed by the server.
    Closed,
}

/// One connection, as the network has it.
pub(crate) struct Socket {
    pub(crate) place: Place,
    /// What its peer has sent and no shard has read.
    unread: VecDeque<u8>,
    /// The peer has closed its side, behind what is unread.
    pub(crate) finished: bool,
    /// The connection is broken.
    pub(crate) reset: bool,
    /// The shard wants to read no more for now.
    held: bool,
    /// The shard was told that the peer's side is closed.
    read_closed: bool,
    /// The shard was told that nothing more will come.
    ended: bool,
    /// It is to be read without an edge.
    later: bool,
    /// The server has closed its side.
    pub(crate) shut: bool,
    /// What has come to the peer and was not looked at.
    pub(crate) got: Vec<u8>,
    /// How many bytes it takes before it blocks.
    pub(crate) room: usize,
    /// It takes no more than this of one write.
    pub(crate) bite: usize,
    blocked: bool,
    /// It has taken everything at once so far.
    pub(crate) quick: bool,
    /// When a shard last read from it, or took it over.
    pub(crate) read_at: Tick,
    /// How long its peer had been silent when it was last written to.
    pub(crate) silence: Duration,
}

impl Socket {
    /// It is written to.
    fn take(&mut self, bytes: &[u8], now: Tick, chance: &mut Chance) -> Wrote {
        assert!(!bytes.is_empty(), "it is written nothing");
        assert!(!self.shut, "it is written to after the end: {}", shown(bytes));
        assert!(!self.blocked, "it is written to while it is full");
        let bite = if self.bite == usize::MAX { usize::MAX } else { chance.below(self.bite) };
        let room = if self.reset { 0 } else { self.room };
        let taken = bytes.len().min(room).min(bite);
        self.silence = now.since(self.read_at);
        self.got.extend_from_slice(&bytes[..taken]);
        self.room -= if self.room == usize::MAX { 0 } else { taken };
        self.blocked = taken < bytes.len() && !self.reset;
        self.quick &= taken == bytes.len();
        if self.reset { Wrote::Broken } else { Wrote::Bytes(taken) }
    }
}

/// What shards are sent.
enum Letter {
    Mail(Mail),
    HandOver(usize, Box<Parcel>),
    Drain(Duration),
}

/// The server, without its threads and sockets.
pub(crate) struct World {
    pub(crate) shards: Vec<Shard>,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) chance: Chance,
    pub(crate) trace: Trace,
    pub(crate) now: Now,
    pub(crate) groups: Quota,
    /// By receiver, then by sender; behind the shards one place for the crew's letters.
    mailboxes: Vec<Vec<VecDeque<Letter>>>,
    /// What a full mailbox has not taken, by sender, then by receiver.
    waiting: Vec<Vec<VecDeque<Letter>>>,
    /// How many letters a mailbox takes.
    letters_max: usize,
    peers: HashMap<(usize, ConnId), usize>,
    /// Connections that wait for everyone's counts.
    scrapes: Vec<(usize, ConnId)>,
}

impl World {
    pub(crate) fn new(mut chance: Chance, limits: &Limits, simulate: bool, shown: usize) -> Self {
        let workers = 1 + chance.below(4);
        let now = Now { tick: Tick(0), micros: 0, unix: UnixMs(UNIX_MS) };
        let groups = Quota::new(limits.groups_max);
        let budget = Budget::new(limits.held_bytes_max);
        let seed = chance.below(1 << 30) as u64;
        let shard = |id: usize| {
            let config = ShardConfig {
                id: ShardId(id as u16),
                workers,
                seed: seed + id as u64,
                simulate,
                echo: true,
                allow_origin: Vec::new(),
                limits: limits.clone(),
                groups: groups.clone(),
                budget: budget.clone(),
                slots: 16,
            };
            Shard::new(config, now)
        };
        let shards: Vec<_> = (0..workers).map(shard).collect();
        let lines = |senders: usize| (0..senders).map(|_| VecDeque::new()).collect::<Vec<_>>();
        let letters_max = chance.pick(&[1, 2, 3, 8, usize::MAX]);
        Self {
            shards,
            sockets: Vec::new(),
            trace: Trace::new(shown),
            now,
            groups,
            mailboxes: (0..workers).map(|_| lines(workers + 1)).collect(),
            waiting: (0..workers).map(|_| lines(workers)).collect(),
            letters_max,
            peers: HashMap::new(),
            scrapes: Vec::new(),
            chance,
        }
    }

    pub(crate) fn workers(&self) -> usize {
        self.shards.len()
    }

    /// A newcomer at a shard; its place in the table of sockets.
    pub(crate) fn accept(&mut self, shard: usize, room: usize, bite: usize) -> usize {
        self.shards[shard].handle_clock(self.now);
        let conn = self.shards[shard].handle_accepted(Standing::Guest);
        let peer = self.sockets.len();
        self.peers.insert((shard, conn), peer);
        self.sockets.push(Socket {
            place: Place::At(shard, conn),
            unread: VecDeque::new(),
            finished: false,
            reset: false,
            held: false,
            read_closed: false,
            ended: false,
            later: false,
            shut: false,
            got: Vec::new(),
            room,
            bite,
            blocked: false,
            quick: true,
            read_at: self.now.tick,
            silence: Duration::ZERO,
        });
        self.do_outputs(shard);
        peer
    }

    /// A peer sends bytes; they lie there until a shard reads them.
    pub(crate) fn send(&mut self, peer: usize, bytes: &[u8]) {
        self.trace.note(format_args!("{} peer {peer} sends {}", self.now.tick.0, shown(bytes)));
        let socket = &mut self.sockets[peer];
        debug_assert!(!socket.finished, "a peer that has closed its side says no more");
        if !socket.reset {
            socket.unread.extend(bytes);
        }
    }

    /// A peer closes its side, behind what it sent.
    pub(crate) fn finish(&mut self, peer: usize) {
        self.trace.note(format_args!("{} peer {peer} closes its side", self.now.tick.0));
        self.sockets[peer].finished = true;
    }

    /// A connection breaks: what was on its way is gone.
    pub(crate) fn reset(&mut self, peer: usize) {
        self.trace.note(format_args!("{} peer {peer} is reset", self.now.tick.0));
        let socket = &mut self.sockets[peer];
        socket.reset = true;
        socket.unread.clear();
    }

    /// Whether a shard has read all that a peer has sent.
    pub(crate) fn has_read_all(&self, peer: usize) -> bool {
        self.sockets[peer].unread.is_empty()
    }

    /// Whether some shard tells the rest in its next turn.
    pub(crate) fn has_more_to_tell(&self) -> bool {
        self.shards.iter().any(Shard::has_more_to_tell)
    }

    /// A shard that has more to tell is called again before any time passes.
    pub(crate) fn end_turns(&mut self) {
        for shard in 0..self.workers() {
            while self.shards[shard].has_more_to_tell() {
                self.do_outputs(shard);
            }
        }
    }

    /// Time passes, the wall clock with it.
    pub(crate) fn advance(&mut self, ms: u64) {
        let tick = Tick(self.now.tick.0 + ms);
        self.now = Now { tick, micros: tick.0 * 1000, unix: UnixMs(self.now.unix.0 + ms) };
        self.trace.note(format_args!("{} after {ms} ms", tick.0));
    }

    /// The wall clock is set.
    pub(crate) fn set_wall_clock(&mut self, unix: UnixMs) {
        self.trace.note(format_args!("{} the wall clock steps to {}", self.now.tick.0, unix.0));
        self.now.unix = unix;
    }

    /// The server begins to go down; each shard hears of it in a letter.
    pub(crate) fn drain(&mut self, window: Duration) {
        self.trace.note(format_args!("{} drain within {window:?}", self.now.tick.0));
        let workers = self.workers();
        for mailbox in &mut self.mailboxes {
            mailbox[workers].push_back(Letter::Drain(window));
        }
    }

    /// When some shard wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Tick> {
        self.shards.iter().filter_map(Shard::poll_timeout).min()
    }

    /// The counts of all shards.
    pub(crate) fn report(&self) -> Report {
        let mut report = Report::default();
        self.shards.iter().for_each(|shard| report.add(&shard.report()));
        report
    }

    /// Whether letters are on their way, bytes lie unread that a shard would read, or something is due by now.
    pub(crate) fn is_busy(&self) -> bool {
        let letters = self.mailboxes.iter().chain(&self.waiting).flatten().any(|line| !line.is_empty());
        let news = self.sockets.iter().any(|socket| {
            let is_here = matches!(socket.place, Place::At(..));
            let closes = (socket.finished || socket.reset) && !socket.read_closed;
            let reads = socket.later || (!socket.held && !socket.unread.is_empty());
            is_here && (closes || reads || (socket.blocked && (socket.room > 0 || socket.reset)))
        });
        let is_due = self.poll_timeout().is_some_and(|due| due <= self.now.tick);
        letters || news || is_due || !self.scrapes.is_empty()
    }

    /// How many sockets of a shard take no more for now.
    pub(crate) fn full_sockets(&self, shard: usize) -> usize {
        let is_full =
            |socket: &&Socket| socket.blocked && matches!(socket.place, Place::At(at, _) if at == shard);
        self.sockets.iter().filter(is_full).count()
    }

    /// One turn of one shard's reactor: mail, sockets, time, then everything that follows from them.
    pub(crate) fn turn(&mut self, shard: usize, pace: Pace) {
        self.shards[shard].handle_clock(self.now);
        self.carry_waiting(shard);
        let congested = self.is_congested(shard);
        self.shards[shard].handle_congestion(congested);
        self.take_mail(shard, pace);
        self.finish_scrapes(shard);
        for peer in 0..self.sockets.len() {
            if matches!(self.sockets[peer].place, Place::At(at, _) if at == shard)
                && (pace == Pace::Whole || self.chance.once_in(2))
            {
                self.handle_events(peer, pace);
            }
        }
        self.shards[shard].handle_timeout();
        self.do_outputs(shard);
        let micros = self.now.micros + 1;
        self.shards[shard].handle_written_clock(micros);
    }

    fn is_congested(&self, shard: usize) -> bool {
        self.waiting[shard].iter().any(|line| !line.is_empty())
    }

    /// Posts what a full mailbox did not take before.
    fn carry_waiting(&mut self, from: usize) {
        for to in 0..self.workers() {
            while self.has_space(to)
                && let Some(letter) = self.waiting[from][to].pop_front()
            {
                self.mailboxes[to][from].push_back(letter);
            }
        }
    }

    fn has_space(&self, to: usize) -> bool {
        self.mailboxes[to].iter().map(VecDeque::len).sum::<usize>() < self.letters_max
    }

    fn post(&mut self, from: usize, to: ShardId, letter: Letter) {
        let to = to.index();
        if self.waiting[from][to].is_empty() && self.has_space(to) {
            self.mailboxes[to][from].push_back(letter);
        } else {
            self.waiting[from][to].push_back(letter);
        }
    }

    /// Takes some letters, from whichever sender, but of each in order.
    fn take_mail(&mut self, to: usize, pace: Pace) {
        loop {
            let senders = self.mailboxes[to].len();
            let first = self.chance.below(senders);
            let from = (first..senders).chain(0..first).find(|from| !self.mailboxes[to][*from].is_empty());
            let Some(from) = from else { return };
            if pace == Pace::Random && self.chance.once_in(3) {
                return;
            }
            let Some(letter) = self.mailboxes[to][from].pop_front() else { return };
            match letter {
                Letter::Mail(mail) => {
                    self.trace.note(format_args!("shard {to} takes from {from} {mail:?}"));
                    self.shards[to].handle_mail(mail);
                }
                Letter::Drain(window) => {
                    self.trace.note(format_args!("shard {to} drains"));
                    self.shards[to].handle_drain(window);
                }
                Letter::HandOver(peer, parcel) => self.adopt(to, peer, *parcel),
            }
        }
    }

    fn adopt(&mut self, shard: usize, peer: usize, parcel: Parcel) {
        let (conn, reading) = self.shards[shard].handle_adopted(parcel);
        self.trace.note(format_args!("shard {shard} adopts peer {peer} as {conn:?}, {reading:?}"));
        self.peers.insert((shard, conn), peer);
        let socket = &mut self.sockets[peer];
        socket.place = Place::At(shard, conn);
        socket.held = reading == Reading::Hold;
        // The socket is registered anew, so its state shows anew.
        (socket.read_closed, socket.ended, socket.later) = (false, false, true);
        socket.blocked = false;
        socket.read_at = self.now.tick;
    }

    fn finish_scrapes(&mut self, shard: usize) {
        let (mine, others) = self.scrapes.iter().partition(|(at, _)| *at == shard);
        self.scrapes = others;
        for (_, conn) in mine {
            self.shards[shard].handle_scraped(conn, "text/plain; version=0.0.4", b"counts\n");
        }
    }

    /// What epoll would tell of one socket.
    fn handle_events(&mut self, peer: usize, pace: Pace) {
        let socket = &mut self.sockets[peer];
        let Place::At(shard, conn) = socket.place else { return };
        // A broken socket shows as writable too: the write finds out.
        if socket.blocked && (socket.room > 0 || socket.reset) {
            socket.blocked = false;
            self.shards[shard].handle_writable(conn);
        }
        let socket = &mut self.sockets[peer];
        let closes = (socket.finished || socket.reset) && !std::mem::replace(&mut socket.read_closed, true);
        socket.read_closed = socket.finished || socket.reset;
        let comes = !socket.held && !socket.unread.is_empty();
        if closes || comes || std::mem::take(&mut socket.later) {
            self.read(peer, shard, conn, pace);
        }
    }

    /// Reads a connection as far as its shard wants it and chance goes.
    fn read(&mut self, peer: usize, shard: usize, conn: ConnId, pace: Pace) {
        loop {
            let congested = self.is_congested(shard);
            let socket = &mut self.sockets[peer];
            if socket.held || congested {
                socket.later = !socket.held;
                if socket.held && socket.read_closed {
                    self.shards[shard].handle_read_closed(conn);
                }
                return;
            }
            if socket.reset {
                return self.shards[shard].handle_broken(conn);
            }
            if socket.unread.is_empty() {
                if socket.finished && !std::mem::replace(&mut socket.ended, true) {
                    self.shards[shard].handle_ended(conn);
                }
                return;
            }
            let all = socket.unread.len();
            let most = if self.chance.once_in(3) { all } else { all.min(1 << self.chance.below(9)) };
            let take = if pace == Pace::Whole { all } else { 1 + self.chance.below(most) };
            let socket = &mut self.sockets[peer];
            let mut bytes: Vec<u8> = socket.unread.drain(..take).collect();
            socket.read_at = self.now.tick;
            let reading = self.shards[shard].handle_received(conn, &mut bytes);
            self.trace.note(format_args!("shard {shard} reads {take} of peer {peer}: {reading:?}"));
            let socket = &mut self.sockets[peer];
            socket.held = reading == Reading::Hold;
            if pace == Pace::Random && !socket.held && self.chance.once_in(2) {
                socket.later = true;
                return;
            }
        }
    }

    /// Does what a shard wants done, until it wants nothing more.
    fn do_outputs(&mut self, from: usize) {
        while let Some(output) = self.shards[from].poll_output() {
            match output {
                Output::Write { conns, bytes } => {
                    let mut short = Vec::new();
                    for (place, conn) in conns.iter().enumerate() {
                        let peer = self.peers[&(from, *conn)];
                        let socket = &mut self.sockets[peer];
                        assert_eq!(
                            socket.place,
                            Place::At(from, *conn),
                            "peer {peer} is written to from shard {from}"
                        );
                        let wrote = socket.take(bytes, self.now.tick, &mut self.chance);
                        if wrote != Wrote::Bytes(bytes.len()) {
                            short.push((place, wrote));
                        }
                        let shown = shown(bytes);
                        self.trace
                            .note(format_args!("shard {from} writes to peer {peer}: {wrote:?} of {shown}"));
                    }
                    self.shards[from].handle_wrote(&short);
                }
                Output::ShutdownWrite { conn } => {
                    let peer = self.peers[&(from, conn)];
                    self.trace.note(format_args!("shard {from} closes its side to peer {peer}"));
                    assert!(
                        !std::mem::replace(&mut self.sockets[peer].shut, true),
                        "the side is closed already"
                    );
                }
                Output::Close { conn } => {
                    let peer = self.leave(from, conn, Place::Closed);
                    self.trace.note(format_args!("shard {from} closes peer {peer}"));
                }
                Output::ReadAgain { conn } => {
                    let peer = self.peers[&(from, conn)];
                    let socket = &mut self.sockets[peer];
                    (socket.held, socket.later) = (false, true);
                }
                Output::Mail { to, mail } => {
                    self.trace.note(format_args!("shard {from} posts to {} {mail:?}", to.index()));
                    self.post(from, to, Letter::Mail(mail));
                }
                Output::HandOver { conn, to, parcel } => {
                    let peer = self.leave(from, conn, Place::Moving);
                    self.trace.note(format_args!("shard {from} hands peer {peer} to {}", to.index()));
                    self.post(from, to, Letter::HandOver(peer, parcel));
                }
                Output::Scrape { conn } => self.scrapes.push((from, conn)),
            }
        }
    }

    /// A shard has forgotten a connection.
    fn leave(&mut self, shard: usize, conn: ConnId, place: Place) -> usize {
        let peer = self.peers.remove(&(shard, conn)).expect("a shard speaks of connections that it serves");
        self.sockets[peer].place = place;
        peer
    }
}
