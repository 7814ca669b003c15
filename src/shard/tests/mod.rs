//! A server in memory: shards driven with plain values, peers that are byte strings, a clock that is told to move.
//!
//! [`Driver`] does what a reactor does and nothing else, so a test says only what peers send, what their sockets take
//! and how time passes. Everything repeats itself: the same calls give the same bytes.

mod fan_out;
mod held;
mod joining;
mod leaving;
mod mail;
mod requests;
mod slow;
mod stomp;
mod time;

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Now, Tick, UnixMs};
use crate::ids::{ConnId, GroupId, Seq, ShardId};
use crate::limits::{Budget, Limits, Quota};
use crate::report::Report;
use crate::shard::mail::{Mail, Parcel};
use crate::shard::{Output, Reading, Shard, ShardConfig, Standing, Wrote};
use crate::wire::Parsed;
use crate::wire::websocket::frame::{self, Opcode, Side};

/// The wall clock at tick 0.
const UNIX_MS: u64 = 1_767_225_600_000;

/// A client, by its place in [`Driver::sockets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer(usize);

/// A client's end of a connection.
#[derive(Debug)]
struct Socket {
    /// Where it is served; `None` once it is closed.
    served: Option<(usize, ConnId)>,
    /// Bytes that the peer has sent and nobody has read.
    unread: Vec<u8>,
    /// The server does not read it for now.
    held: bool,
    /// The peer has closed its side.
    ended: bool,
    /// The server has closed its side.
    shut: bool,
    /// What the peer has got and not looked at.
    got: Vec<u8>,
    /// How many bytes the socket takes before it blocks.
    room: usize,
    /// Whoever writes to it finds it beyond use.
    broken: bool,
    /// How many writes were made to it.
    writes: usize,
}

/// What shards send each other.
#[derive(Debug)]
enum Letter {
    Mail(Mail),
    HandOver(Peer, Box<Parcel>),
}

/// Some shards, their peers and the mail between them.
struct Driver {
    shards: Vec<Shard>,
    sockets: Vec<Socket>,
    /// On its way, in the order in which it was sent.
    letters: VecDeque<(ShardId, Letter)>,
    /// Mail stays where it is.
    mail_rests: bool,
    now: Now,
}

impl Driver {
    /// So many shards with the default limits.
    fn new(workers: usize) -> Self {
        Self::with(workers, |_| {})
    }

    /// So many shards with limits of the test's own.
    fn with(workers: usize, set: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        set(&mut limits);
        let now = Now { tick: Tick(0), micros: 0, unix: UnixMs(UNIX_MS) };
        let groups = Quota::new(limits.groups_max);
        let budget = Budget::new(limits.held_bytes_max);
        let shard = |id| {
            let config = ShardConfig {
                id: ShardId(id as u16),
                workers,
                seed: id as u64,
                simulate: true,
                echo: true,
                allow_origin: Vec::new(),
                limits: limits.clone(),
                groups: groups.clone(),
                budget: budget.clone(),
                slots: 64,
            };
            Shard::new(config, now)
        };
        let shards = (0..workers).map(shard).collect();
        Self { shards, sockets: Vec::new(), letters: VecDeque::new(), mail_rests: false, now }
    }

    /// A newcomer at a shard.
    fn accept(&mut self, shard: usize) -> Peer {
        self.accept_as(shard, Standing::Guest)
    }

    fn accept_as(&mut self, shard: usize, standing: Standing) -> Peer {
        let conn = self.shards[shard].handle_accepted(standing);
        self.sockets.push(Socket {
            served: Some((shard, conn)),
            unread: Vec::new(),
            held: false,
            ended: false,
            shut: false,
            got: Vec::new(),
            room: usize::MAX,
            broken: false,
            writes: 0,
        });
        Peer(self.sockets.len() - 1)
    }

    /// A newcomer that says something at once, and what follows from it.
    fn connect(&mut self, shard: usize, bytes: impl AsRef<[u8]>) -> Peer {
        let peer = self.accept(shard);
        self.send(peer, bytes);
        peer
    }

    /// A WebSocket in a group that has had its handshake; the query begins with `?` or is empty.
    fn open_websocket(&mut self, shard: usize, group: u64, query: &str) -> Peer {
        let peer = self.connect(shard, upgrade(&format!("/ws/{group}{query}")));
        self.take_head(peer, "101");
        peer
    }

    /// The peer sends bytes; what follows from them waits for [`Driver::run`].
    fn feed(&mut self, peer: Peer, bytes: impl AsRef<[u8]>) {
        self.sockets[peer.0].unread.extend_from_slice(bytes.as_ref());
        self.read(peer);
    }

    /// The peer sends bytes, and everything that follows from them happens.
    fn send(&mut self, peer: Peer, bytes: impl AsRef<[u8]>) {
        self.feed(peer, bytes);
        self.run();
    }

    /// The peer closes its side, and what follows from that happens.
    fn hang_up(&mut self, peer: Peer) {
        self.sockets[peer.0].ended = true;
        if let (true, Some((shard, conn))) = (self.sockets[peer.0].held, self.sockets[peer.0].served) {
            self.shards[shard].handle_read_closed(conn);
        }
        self.read(peer);
        self.run();
    }

    /// The peer's socket takes so many more bytes before it blocks.
    fn make_room(&mut self, peer: Peer, room: usize) {
        self.sockets[peer.0].room = room;
        if let Some((shard, conn)) = self.sockets[peer.0].served {
            self.shards[shard].handle_writable(conn);
        }
        self.run();
    }

    /// Time passes, each moment at which a shard wants to be called on the way.
    fn pass(&mut self, wait: Duration) {
        let end = self.now.tick.after(wait);
        loop {
            let due = self.shards.iter().filter_map(Shard::poll_timeout).min();
            let next = due.map_or(end, |due| due.max(Tick(self.now.tick.0 + 1)).min(end));
            self.set_clock(next);
            self.shards.iter_mut().for_each(Shard::handle_timeout);
            self.run();
            if next == end {
                return;
            }
        }
    }

    fn set_clock(&mut self, tick: Tick) {
        self.now = Now { tick, micros: tick.0 * 1000, unix: UnixMs(UNIX_MS + tick.0) };
        for shard in &mut self.shards {
            shard.handle_clock(self.now);
        }
    }

    /// Does what the shards want done and carries their mail, until nothing is left to do.
    fn run(&mut self) {
        loop {
            for shard in 0..self.shards.len() {
                self.do_outputs(shard);
                // Answers that take long are made a few a turn, and so many groups are told.
                while self.shards[shard].has_long_answers() || self.shards[shard].has_more_to_tell() {
                    self.shards[shard].handle_timeout();
                    self.do_outputs(shard);
                }
            }
            if self.mail_rests || self.letters.is_empty() {
                return self.shards.iter().for_each(Shard::check_held);
            }
            while let Some((to, letter)) = self.letters.pop_front() {
                self.deliver(to.index(), letter);
            }
        }
    }

    fn deliver(&mut self, to: usize, letter: Letter) {
        match letter {
            Letter::Mail(mail) => self.shards[to].handle_mail(mail),
            Letter::HandOver(peer, parcel) => {
                let (conn, reading) = self.shards[to].handle_adopted(*parcel);
                self.sockets[peer.0].served = Some((to, conn));
                self.sockets[peer.0].held = reading == Reading::Hold;
                self.read(peer);
            }
        }
    }

    fn do_outputs(&mut self, from: usize) {
        while let Some(output) = self.shards[from].poll_output() {
            match output {
                Output::Write { conns, bytes } => {
                    let short = write_to(&mut self.sockets, from, conns, bytes);
                    self.shards[from].handle_wrote(&short);
                }
                Output::ShutdownWrite { conn } => {
                    let peer = self.peer(from, conn);
                    self.sockets[peer.0].shut = true;
                }
                Output::Close { conn } => {
                    let peer = self.peer(from, conn);
                    self.sockets[peer.0].served = None;
                }
                Output::ReadAgain { conn } => {
                    let peer = self.peer(from, conn);
                    self.sockets[peer.0].held = false;
                    self.read(peer);
                }
                Output::Mail { to, mail } => self.letters.push_back((to, Letter::Mail(mail))),
                Output::HandOver { conn, to, parcel } => {
                    let peer = self.peer(from, conn);
                    self.sockets[peer.0].served = None;
                    self.letters.push_back((to, Letter::HandOver(peer, parcel)));
                }
                Output::Scrape { conn } => self.shards[from].handle_scraped(conn, "text/plain", b"counts"),
            }
        }
    }

    /// Reads what a peer has sent, unless its shard wants none of it now.
    fn read(&mut self, peer: Peer) {
        let socket = &mut self.sockets[peer.0];
        let (Some((shard, conn)), false) = (socket.served, socket.held) else { return };
        if !socket.unread.is_empty() {
            let mut bytes = std::mem::take(&mut socket.unread);
            let reading = self.shards[shard].handle_received(conn, &mut bytes);
            self.sockets[peer.0].held = reading == Reading::Hold;
        }
        let socket = &self.sockets[peer.0];
        if socket.ended && !socket.held {
            self.shards[shard].handle_ended(conn);
        }
    }

    #[track_caller]
    fn peer(&self, shard: usize, conn: ConnId) -> Peer {
        let place = self.sockets.iter().position(|socket| socket.served == Some((shard, conn)));
        Peer(place.unwrap_or_else(|| panic!("shard {shard} speaks of {conn:?}, which it does not serve")))
    }

    /// The shard that serves a peer; `None` once the connection is closed.
    fn shard_of(&self, peer: Peer) -> Option<usize> {
        self.sockets[peer.0].served.map(|(shard, _)| shard)
    }

    /// How many writes were made to a peer so far.
    fn writes(&self, peer: Peer) -> usize {
        self.sockets[peer.0].writes
    }

    /// Everything that a peer has got and not looked at.
    fn take(&mut self, peer: Peer) -> Vec<u8> {
        std::mem::take(&mut self.sockets[peer.0].got)
    }

    fn take_text(&mut self, peer: Peer) -> String {
        String::from_utf8(self.take(peer)).unwrap()
    }

    /// The head of the answer that a peer got first, with this status.
    #[track_caller]
    fn take_head(&mut self, peer: Peer, status: &str) -> String {
        let got = &mut self.sockets[peer.0].got;
        let end = got.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(got.drain(..end + 4).collect()).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        head
    }

    /// One whole answer: its head, and its content by `Content-Length`.
    #[track_caller]
    fn take_answer(&mut self, peer: Peer, status: &str) -> (String, String) {
        let head = self.take_head(peer, status);
        let length = header(&head, "Content-Length").map_or(0, |length| length.parse().unwrap());
        let content = self.sockets[peer.0].got.drain(..length).collect();
        (head, String::from_utf8(content).unwrap())
    }

    /// The frames that a WebSocket peer has got, all of them whole.
    #[track_caller]
    fn take_frames(&mut self, peer: Peer) -> Vec<(Opcode, Vec<u8>)> {
        let got = self.take(peer);
        let (mut rest, mut frames) = (&got[..], Vec::new());
        while !rest.is_empty() {
            let Ok(Parsed::Complete { value: head, used }) = frame::decode(rest, Side::Server) else {
                panic!("no whole frame: {:?}", String::from_utf8_lossy(rest))
            };
            let end = used + head.payload_len as usize;
            frames.push((head.opcode, rest[used..end].to_vec()));
            rest = &rest[end..];
        }
        frames
    }

    /// The text messages that a WebSocket peer has got, and nothing else.
    #[track_caller]
    fn take_texts(&mut self, peer: Peer) -> Vec<String> {
        let text = |(opcode, payload): (Opcode, Vec<u8>)| {
            assert_eq!(opcode, Opcode::Text, "{:?}", String::from_utf8_lossy(&payload));
            String::from_utf8(payload).unwrap()
        };
        self.take_frames(peer).into_iter().map(text).collect()
    }

    /// The numbers of the updates that a WebSocket or STOMP peer has got, and nothing else.
    #[track_caller]
    fn take_seqs(&mut self, peer: Peer) -> Vec<u64> {
        self.take_texts(peer).iter().map(|text| seq(text)).collect()
    }

    /// Publishes over a connection of its own that closes at once; the update's number.
    #[track_caller]
    fn publish(&mut self, group: u64, body: &str) -> u64 {
        let peer = self.connect(0, post(group, body));
        let (_, update) = self.take_answer(peer, "200");
        self.hang_up(peer);
        seq(&update)
    }

    /// What one shard counted.
    fn report(&self, shard: usize) -> Report {
        self.shards[shard].report()
    }

    /// How many wait for a group at a shard, other shards with the rest.
    fn waiters(&self, shard: usize, number: u64) -> usize {
        let hub = &self.shards[shard].hub;
        hub.find(group(number)).map_or(0, |key| {
            let waiters = hub.group(key).waiters();
            waiters.len() + waiters.shards().iter().count()
        })
    }
}

fn group(number: u64) -> GroupId {
    GroupId::new(number).unwrap()
}

/// The number that a group made now starts after.
fn made_at(driver: &Driver) -> u64 {
    Seq::at_unix_ms(driver.now.unix.0).number()
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: geo.example\r\n\r\n")
}

fn post(group: u64, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /location/share/{group} HTTP/1.1\r\nHost: geo.example\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn upgrade(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: geo.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A client's text message.
fn text(payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_masked_frame(&mut out, Opcode::Text, payload.as_bytes(), [1, 2, 3, 4]);
    out
}

/// A publish of a member's whose place is told by one number.
fn at(member: &str, x: u32) -> String {
    format!("{{\"member\":\"{member}\",\"x\":{x},\"y\":0}}")
}

/// A header field of an answer.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The number of an update, in whatever form it lies there.
#[track_caller]
fn seq(update: &str) -> u64 {
    let (_, rest) = update.split_once("{\"seq\":").unwrap_or_else(|| panic!("no update: {update}"));
    rest.split(',').next().unwrap().parse().unwrap()
}

/// Writes to sockets of a shard what they have room for; says who did not take all.
fn write_to(sockets: &mut [Socket], shard: usize, conns: &[ConnId], bytes: &[u8]) -> Vec<(usize, Wrote)> {
    assert!(!bytes.is_empty(), "a write of nothing");
    let mut short = Vec::new();
    for (place, conn) in conns.iter().enumerate() {
        let socket = sockets.iter_mut().find(|socket| socket.served == Some((shard, *conn))).unwrap();
        assert!(!socket.shut, "a write after the end");
        socket.writes += 1;
        if socket.broken {
            short.push((place, Wrote::Broken));
            continue;
        }
        let taken = bytes.len().min(socket.room);
        socket.got.extend_from_slice(&bytes[..taken]);
        socket.room -= taken;
        if taken < bytes.len() {
            short.push((place, Wrote::Bytes(taken)));
        }
    }
    short
}
