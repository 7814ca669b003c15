//! The load tool's event loop: thousands of connections on one thread, and moments that a scenario asked to be woken at.
//!
//! Moves bytes, reads the clock and counts; what is said and what is heard is the scenario's. A scenario is called with
//! one thing that happened at a time, and what it sends meanwhile goes out when it returns, one write a connection.
//!
//! On Linux alone: it waits by a timerfd.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use crate::clock::Clock;
use crate::load::client::{Client, ClientError, Heard};
use crate::load::figures::{Failure, RunFigures};
use crate::load::pacer::Pacer;
use crate::load::sources::Sources;
use crate::random::Random;
use crate::wire::websocket::frame::CloseCode;

/// Bytes that are read from one connection before the others have their turn. Most reads bring a few hundred; what a server
/// can send without end is taken in pieces of this.
const READ_BYTES_PER_TURN_MAX: usize = 64 * 1024;

/// Bytes that wait to be written on a connection, from which on no pong is added.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// Events of one wait.
const EVENTS_MAX: usize = 1024;

/// The token of the timer; connections have their slots.
const PACER: Token = Token(usize::MAX);

/// The token of who wakes the loop from another thread.
const ALARM: Token = Token(usize::MAX - 1);

/// The longest wait, so that an interrupt is heeded.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Names one connection of the driver's, and only that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnKey {
    slot: usize,
    generation: u64,
}

/// Why a connection is no more, but for those that the scenario closed itself.
#[derive(Debug)]
pub enum Ended {
    /// It never came about.
    Unconnected(io::Error),
    /// The server ended it, in order or by a reset.
    ByServer,
    /// The server said something that the protocol does not allow; closed by the driver.
    Violation(ClientError),
}

impl Ended {
    /// What kind of failure that is to whoever did not expect it, and in words.
    #[must_use]
    pub fn describe(&self) -> (Failure, String) {
        match self {
            Self::Unconnected(error) => (Failure::Connect, error.to_string()),
            Self::ByServer => (Failure::Cut, "the server ended the connection".to_owned()),
            Self::Violation(error) => (Failure::Protocol, error.to_string()),
        }
    }
}

/// What users do. Everything that happens is told to it, and it tells the driver what to do.
pub trait Scenario {
    /// What it asks to be woken for.
    type Wake: Copy + Ord + fmt::Debug;

    /// A moment came that was asked for by [`Driver::wake_at`]; `due_micros` is when it was to come.
    fn handle_wake(&mut self, driver: &mut Driver<Self::Wake>, wake: Self::Wake, due_micros: u64);
    /// A connection stands; nothing was sent on it yet but what was given to [`Driver::send`] before.
    fn handle_connected(&mut self, driver: &mut Driver<Self::Wake>, conn: ConnKey, user: u32);
    /// The first byte came on a connection since [`Driver::expect_first_byte`] was called for it.
    fn handle_first_byte(&mut self, driver: &mut Driver<Self::Wake>, conn: ConnKey, user: u32);
    /// Something whole came.
    fn handle_heard(&mut self, driver: &mut Driver<Self::Wake>, conn: ConnKey, user: u32, heard: Heard<'_>);
    /// A connection is no more, and the scenario did not close it.
    fn handle_ended(&mut self, driver: &mut Driver<Self::Wake>, conn: ConnKey, user: u32, ended: Ended);
    /// The run is to end before its time: nothing more is begun, and what is under way may come to its end.
    fn handle_interrupt(&mut self, driver: &mut Driver<Self::Wake>);
    /// Whether the run is over.
    fn is_done(&self) -> bool;
}

#[derive(Debug)]
struct Conn {
    generation: u64,
    user: u32,
    stream: TcpStream,
    /// Away while it is being read.
    client: Option<Box<Client>>,
    connected: bool,
    /// Whether the next byte is a first one.
    first_byte: bool,
    is_dirty: bool,
    /// Whether it is among those that are to be read on.
    is_unread: bool,
    /// Whether its end was announced, up to which it is read.
    is_ending: bool,
    /// Whether its bytes are a publisher's.
    counts_apart: bool,
    unsent: Vec<u8>,
}

/// The event loop and its connections; `W` is what its scenario asks to be woken for.
#[derive(Debug)]
pub struct Driver<W> {
    sources: Sources,
    clock: Clock,
    now_micros: u64,
    poll: Poll,
    pacer: Pacer,
    alarm: Arc<Waker>,
    conns: Slab<Conn>,
    generations: u64,
    dirty: Vec<usize>,
    /// Connections that have had their share of this turn's reading and may hold more: the edge will not come again.
    unread: Vec<ConnKey>,
    wakes: BinaryHeap<Reverse<(u64, u64, W)>>,
    wakes_asked: u64,
    random: Random,
    /// What is counted and timed; bytes are counted by the driver, all else by the scenario.
    pub figures: RunFigures,
}

impl<W: Copy + Ord> Driver<W> {
    /// A driver without connections, against the server at `target`. `seed` is of masks and keys.
    ///
    /// # Errors
    /// What the system says when it gives no event loop or timer.
    pub fn new(target: SocketAddr, seed: u64) -> io::Result<Self> {
        let poll = Poll::new()?;
        let pacer = Pacer::new(poll.registry(), PACER)?;
        let alarm = Arc::new(Waker::new(poll.registry(), ALARM)?);
        let clock = Clock::start();
        Ok(Self {
            sources: Sources::new(target, clock.now().unix.0),
            clock,
            now_micros: 0,
            poll,
            pacer,
            alarm,
            conns: Slab::new(),
            generations: 0,
            dirty: Vec::new(),
            unread: Vec::new(),
            wakes: BinaryHeap::new(),
            wakes_asked: 0,
            random: Random::with_seed(seed),
            figures: RunFigures::default(),
        })
    }

    /// Microseconds since the driver was made, as of what is being handled.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now_micros
    }

    /// Reads the clock anew. To be called where something took time between two runs: what is asked for next would else be
    /// due before it began, and that time would be in every figure.
    pub fn tell_time(&mut self) {
        self.now_micros = self.clock.now().micros;
    }

    /// The source of chance.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// A masking key for one frame.
    pub fn mask(&mut self) -> [u8; 4] {
        self.random.number().to_be_bytes()
    }

    /// Calls the scenario at this moment, or at once if it has gone by.
    pub fn wake_at(&mut self, due_micros: u64, wake: W) {
        self.wakes_asked += 1;
        self.wakes.push(Reverse((due_micros, self.wakes_asked, wake)));
    }

    /// Ends a wait for something to happen, from another thread: the scenario is asked whether it is done.
    #[must_use]
    pub fn alarm(&self) -> Arc<Waker> {
        Arc::clone(&self.alarm)
    }

    /// Begins to connect; what happens on the connection is told of `user`.
    ///
    /// # Errors
    /// What the system says when it gives no socket.
    pub fn open(&mut self, user: u32, client: Client) -> io::Result<ConnKey> {
        let mut stream = self.sources.connect()?;
        // A request is one write, and none is to wait for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        self.generations += 1;
        let entry = self.conns.vacant_entry();
        let slot = entry.key();
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(slot), both)?;
        let generation = self.generations;
        entry.insert(Conn {
            generation,
            user,
            stream,
            client: Some(Box::new(client)),
            connected: false,
            first_byte: true,
            is_dirty: false,
            is_unread: false,
            is_ending: false,
            counts_apart: false,
            unsent: Vec::new(),
        });
        Ok(ConnKey { slot, generation })
    }

    /// Sends what `encode` appends; nothing is sent, and `false` is answered, if the connection is no more.
    pub fn send(&mut self, conn: ConnKey, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(found) = self.find(conn) else { return false };
        encode(&mut found.unsent);
        if !found.is_dirty {
            found.is_dirty = true;
            self.dirty.push(conn.slot);
        }
        true
    }

    /// The next byte of this connection will be told of as a first one.
    pub fn expect_first_byte(&mut self, conn: ConnKey) {
        if let Some(found) = self.find(conn) {
            found.first_byte = true;
        }
    }

    /// The bytes of this connection are a publisher's or a witness's; they count apart besides.
    pub fn count_apart(&mut self, conn: ConnKey) {
        if let Some(found) = self.find(conn) {
            found.counts_apart = true;
        }
    }

    /// Begins the closing handshake of an open WebSocket; nothing happens where there is none to close. Not to be called
    /// while something is heard on that connection.
    pub fn say_close(&mut self, conn: ConnKey, code: CloseCode) {
        let mask = self.mask();
        let Some(found) = self.find(conn) else { return };
        debug_assert!(found.client.is_some(), "its client is reading");
        let mut close = Vec::new();
        if let Some(client) = &mut found.client {
            client.close(code, mask, &mut close);
        }
        self.send(conn, |out| out.extend_from_slice(&close));
    }

    /// Closes a connection; nothing more is told of it.
    pub fn close(&mut self, conn: ConnKey) {
        if self.find(conn).is_some() {
            self.conns.remove(conn.slot);
        }
    }

    /// Open connections, those under way included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    fn find(&mut self, conn: ConnKey) -> Option<&mut Conn> {
        self.conns.get_mut(conn.slot).filter(|found| found.generation == conn.generation)
    }

    /// Runs until the scenario is done; it is told once when `interrupted` is set. `watch` is called some ten times a second.
    ///
    /// # Errors
    /// What the system says when waiting fails.
    pub fn run(
        &mut self,
        scenario: &mut impl Scenario<Wake = W>,
        interrupted: &AtomicBool,
        mut watch: impl FnMut(&mut Self),
    ) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut buffer = vec![0; READ_BYTES_PER_TURN_MAX];
        let mut watched_micros = 0;
        let mut is_told = false;
        self.tell_time();
        while !scenario.is_done() {
            if !is_told && interrupted.load(Ordering::Relaxed) {
                is_told = true;
                scenario.handle_interrupt(self);
                self.flush(scenario);
                continue;
            }
            self.wait(&mut events)?;
            self.tell_time();
            let unread = std::mem::take(&mut self.unread);
            for event in &events {
                let slot = event.token().0;
                if matches!(event.token(), PACER | ALARM) {
                    continue;
                }
                let Some(conn) = self.conns.get(slot) else { continue };
                let key = ConnKey { slot, generation: conn.generation };
                if event.is_writable() {
                    self.handle_writable(scenario, key);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.handle_readable(
                        scenario,
                        key,
                        event.is_read_closed() || event.is_error(),
                        &mut buffer,
                    );
                }
                self.flush(scenario);
                // What is due does not wait for a thousand reads.
                self.wake(scenario);
            }
            // Behind those who have had nothing of this turn yet.
            for key in unread {
                if let Some(conn) = self.find(key) {
                    conn.is_unread = false;
                }
                self.read_share(scenario, key, &mut buffer);
                self.flush(scenario);
                self.wake(scenario);
            }
            self.tell_time();
            self.wake(scenario);
            if self.now_micros - watched_micros >= WAIT_MAX.as_micros() as u64 {
                watched_micros = self.now_micros;
                watch(self);
            }
        }
        Ok(())
    }

    /// Calls the scenario for what is due.
    fn wake(&mut self, scenario: &mut impl Scenario<Wake = W>) {
        while let Some(Reverse((due_micros, _, wake))) = self.wakes.peek().copied() {
            if due_micros > self.now_micros || scenario.is_done() {
                break;
            }
            self.wakes.pop();
            scenario.handle_wake(self, wake, due_micros);
            self.flush(scenario);
            self.tell_time();
        }
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let due_micros = self.wakes.peek().map(|Reverse((due_micros, ..))| *due_micros);
        let wait = match due_micros {
            _ if !self.unread.is_empty() => Duration::ZERO,
            Some(due_micros) if due_micros <= self.now_micros => Duration::ZERO,
            Some(due_micros) => {
                self.pacer.arm(due_micros, self.now_micros)?;
                WAIT_MAX
            }
            None => WAIT_MAX,
        };
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    /// Notices that a connection has come about, and sends what waited for the socket.
    fn handle_writable(&mut self, scenario: &mut impl Scenario<Wake = W>, key: ConnKey) {
        let Some(conn) = self.find(key) else { return };
        if !conn.connected {
            let user = conn.user;
            let error = match conn.stream.take_error() {
                Ok(None) if conn.stream.peer_addr().is_ok() => None,
                Ok(None) => return,
                Ok(Some(error)) | Err(error) => Some(error),
            };
            if let Some(error) = error {
                self.conns.remove(key.slot);
                return scenario.handle_ended(self, key, user, Ended::Unconnected(error));
            }
            conn.connected = true;
            scenario.handle_connected(self, key, user);
        }
        if let Some(conn) = self.conns.get_mut(key.slot).filter(|conn| conn.generation == key.generation) {
            conn.write(&mut self.figures);
        }
    }

    /// Reads a connection, unless it stands in line for that already.
    fn handle_readable(
        &mut self,
        scenario: &mut impl Scenario<Wake = W>,
        key: ConnKey,
        is_ending: bool,
        buffer: &mut [u8],
    ) {
        let Some(conn) = self.find(key) else { return };
        conn.is_ending |= is_ending;
        if !conn.is_unread {
            self.read_share(scenario, key, buffer);
        }
    }

    /// Reads to a short read, or to the very end where an end is announced; no more than one connection's share of a turn.
    fn read_share(&mut self, scenario: &mut impl Scenario<Wake = W>, key: ConnKey, buffer: &mut [u8]) {
        let mut share = buffer.len();
        while share > 0 {
            let Some(conn) = self.find(key) else { return };
            let (user, is_ending) = (conn.user, conn.is_ending);
            let length = match conn.stream.read(&mut buffer[..share]) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return;
                }
                Err(error) if !conn.connected => {
                    self.conns.remove(key.slot);
                    return scenario.handle_ended(self, key, user, Ended::Unconnected(error));
                }
                Err(_) => 0,
            };
            let is_first = std::mem::take(&mut conn.first_byte) && length > 0;
            let apart = u64::from(conn.counts_apart) * length as u64;
            self.figures.publish_received += apart;
            self.figures.data_received += length as u64;
            self.tell_time();
            if is_first {
                scenario.handle_first_byte(self, key, user);
            }
            if !self.handle_bytes(scenario, key, user, &mut buffer[..length]) {
                return;
            }
            if length < share && !is_ending {
                return;
            }
            share -= length;
        }
        if let Some(conn) = self.find(key) {
            conn.is_unread = true;
            self.unread.push(key);
        }
    }

    /// Gives what came, nothing being the end, to the connection's client and what that makes of it to the scenario;
    /// `false` if the connection is no more.
    fn handle_bytes(
        &mut self,
        scenario: &mut impl Scenario<Wake = W>,
        key: ConnKey,
        user: u32,
        bytes: &mut [u8],
    ) -> bool {
        let mask = self.mask();
        let Some(conn) = self.find(key) else { return false };
        let Some(mut client) = conn.client.take() else { return false };
        let mut replies = Vec::new();
        let is_end = bytes.is_empty();
        let mut hear = |heard: Heard<'_>| {
            // What came in the same read behind what made the scenario close it is not told.
            if self.find(key).is_some() {
                scenario.handle_heard(self, key, user, heard);
            }
        };
        let understood = if is_end {
            client.handle_end(&mut hear)
        } else {
            client.handle_received(bytes, mask, &mut replies, &mut hear)
        };
        // To a peer that pings and does not read, the pongs that wait say enough (RFC 6455, section 5.5.3).
        let waits = self.find(key).map_or(0, |conn| conn.unsent.len());
        if !replies.is_empty() && waits < REPLY_BYTES_MAX {
            self.send(key, |out| out.extend_from_slice(&replies));
        }
        let Some(conn) = self.find(key) else { return false };
        conn.client = Some(client);
        let ended = match understood {
            Err(violation) => Ended::Violation(violation),
            Ok(()) if is_end => Ended::ByServer,
            Ok(()) => return true,
        };
        self.conns.remove(key.slot);
        scenario.handle_ended(self, key, user, ended);
        false
    }

    /// Writes what was sent since the last time.
    ///
    /// Over loopback a connection stands as soon as it is asked for. Where that shows only by its first event, that stands in
    /// line behind those of all who were told something meanwhile, and the wait would be the tool's.
    fn flush(&mut self, scenario: &mut impl Scenario<Wake = W>) {
        while let Some(slot) = self.dirty.pop() {
            let Some(conn) = self.conns.get_mut(slot) else { continue };
            conn.is_dirty = false;
            if !conn.connected && conn.stream.peer_addr().is_ok() {
                let (key, user) = (ConnKey { slot, generation: conn.generation }, conn.user);
                conn.connected = true;
                self.tell_time();
                scenario.handle_connected(self, key, user);
            }
            if let Some(conn) = self.conns.get_mut(slot).filter(|conn| conn.connected) {
                conn.write(&mut self.figures);
            }
        }
    }
}

impl Conn {
    /// Writes as far as the socket takes it, and counts that; a broken one shows when it is read.
    fn write(&mut self, figures: &mut RunFigures) {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.stream.write(&self.unsent[sent..]) {
                Ok(taken) => sent += taken,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break;
                }
                Err(_) => {
                    self.unsent.clear();
                    return;
                }
            }
        }
        self.unsent.drain(..sent);
        figures.data_sent += sent as u64;
        figures.publish_sent += u64::from(self.counts_apart) * sent as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::load::client::Client;

    /// Writes everything down that it is told, and does little.
    #[derive(Debug, Default)]
    struct Diary {
        told: Vec<String>,
        /// Closes the connection on which this is heard.
        closes_on: Option<&'static str>,
        /// Is done after so many entries.
        entries_max: usize,
    }

    impl Diary {
        fn of(entries_max: usize) -> Self {
            Self { entries_max, ..Self::default() }
        }
    }

    impl Scenario for Diary {
        type Wake = u32;

        fn handle_wake(&mut self, driver: &mut Driver<u32>, wake: u32, due_micros: u64) {
            assert!(driver.now() >= due_micros, "{wake} came {} early", due_micros - driver.now());
            self.told.push(format!("wake {wake}"));
        }

        fn handle_connected(&mut self, _: &mut Driver<u32>, _: ConnKey, user: u32) {
            self.told.push(format!("{user} connected"));
        }

        fn handle_first_byte(&mut self, _: &mut Driver<u32>, _: ConnKey, user: u32) {
            self.told.push(format!("{user} first byte"));
        }

        fn handle_heard(&mut self, driver: &mut Driver<u32>, conn: ConnKey, user: u32, heard: Heard<'_>) {
            let Heard::Answer(answer) = heard else { panic!("{heard:?} is no answer") };
            let body = String::from_utf8_lossy(answer.body).into_owned();
            if self.closes_on == Some(&body) {
                driver.close(conn);
            }
            self.told.push(format!("{user} heard {body}"));
        }

        fn handle_ended(&mut self, _: &mut Driver<u32>, _: ConnKey, user: u32, ended: Ended) {
            let (failure, _) = ended.describe();
            self.told.push(format!("{user} ended: {failure:?}"));
        }

        fn handle_interrupt(&mut self, driver: &mut Driver<u32>) {
            self.told.push("interrupted".to_owned());
            driver.wake_at(driver.now(), 9);
        }

        fn is_done(&self) -> bool {
            self.told.len() >= self.entries_max
        }
    }

    fn answer(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// A server that sends each connection these bytes, one behind the other as the client sends a byte for each, and then
    /// hangs up.
    fn serve(said: &'static [&'static [&'static str]]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                for bodies in said {
                    client.read_exact(&mut [0]).unwrap();
                    let answers: Vec<u8> = bodies.iter().flat_map(|body| answer(body)).collect();
                    client.write_all(&answers).unwrap();
                }
            }
        });
        address
    }

    /// Opens one connection, asks so often at once, and runs until the diary has so many entries.
    fn play(address: SocketAddr, asks: usize, mut diary: Diary) -> (Driver<u32>, Vec<String>) {
        let mut driver = Driver::new(address, 1).unwrap();
        let conn = driver.open(7, Client::requests()).unwrap();
        driver.count_apart(conn);
        assert!(driver.send(conn, |out| out.extend(std::iter::repeat_n(b'?', asks))));
        driver.run(&mut diary, &AtomicBool::new(false), |_| ()).unwrap();
        (driver, diary.told)
    }

    #[test]
    fn wakes_come_when_due_and_in_the_order_in_which_they_were_asked_for() {
        let mut driver = Driver::new("127.0.0.1:1".parse().unwrap(), 1).unwrap();
        for (due, who) in [(3000, 1), (1000, 2), (3000, 3), (0, 4)] {
            driver.wake_at(due, who);
        }
        let mut diary = Diary::of(4);
        driver.run(&mut diary, &AtomicBool::new(false), |_| ()).unwrap();
        assert_eq!(diary.told, ["wake 4", "wake 2", "wake 1", "wake 3"]);
        assert!(driver.wakes.is_empty());
    }

    #[test]
    fn refused_connection_is_told_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let (driver, told) = play(address, 1, Diary::of(1));
        assert_eq!((told, driver.connections()), (vec!["7 ended: Connect".to_owned()], 0));
        assert_eq!((driver.figures.data_sent, driver.figures.data_received), (0, 0));
    }

    #[test]
    fn answers_are_told_and_bytes_counted_to_the_end() {
        let (driver, told) = play(serve(&[&["a", "b"]]), 1, Diary::of(5));
        assert_eq!(told, ["7 connected", "7 first byte", "7 heard a", "7 heard b", "7 ended: Cut"]);
        let received = 2 * answer("a").len() as u64;
        let figures = &driver.figures;
        assert_eq!((figures.data_sent, figures.data_received), (1, received));
        assert_eq!((figures.publish_sent, figures.publish_received), (1, received));
        assert_eq!(driver.connections(), 0);
    }

    #[test]
    fn nothing_is_told_of_a_connection_that_the_scenario_closed() {
        // The second answer comes in the same read.
        let mut diary = Diary { closes_on: Some("a"), ..Diary::of(4) };
        let mut driver = Driver::new(serve(&[&["a", "b"], &["c"]]), 1).unwrap();
        let conn = driver.open(7, Client::requests()).unwrap();
        driver.send(conn, |out| out.extend_from_slice(b"??"));
        // The wake comes long after everything else would have.
        driver.wake_at(100_000, 0);
        driver.run(&mut diary, &AtomicBool::new(false), |_| ()).unwrap();
        assert_eq!(diary.told, ["7 connected", "7 first byte", "7 heard a", "wake 0"]);
        assert!(!driver.send(conn, |_| panic!("nothing is encoded for a connection that is no more")));
    }

    #[test]
    fn key_of_a_closed_connection_does_not_reach_the_next_one() {
        let mut driver = Driver::<u32>::new(serve(&[]), 1).unwrap();
        let old = driver.open(1, Client::requests()).unwrap();
        driver.close(old);
        let new = driver.open(2, Client::requests()).unwrap();
        assert_eq!((old.slot, driver.connections()), (new.slot, 1));
        driver.close(old);
        assert_eq!(driver.connections(), 1);
        assert!(!driver.send(old, |_| ()) && driver.send(new, |_| ()));
    }

    /// Bytes of one answer of a flood, and how many of them there are: more than any socket holds.
    const FLOOD_BODY: usize = 1000;
    const FLOOD_ANSWERS: usize = 8000;

    /// A server that floods whoever connects first, and answers the second once the first one's socket is full.
    fn serve_flood() -> (SocketAddr, std::sync::mpsc::Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (is_full, full) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let [mut flooded, mut other] = [listener.accept().unwrap().0, listener.accept().unwrap().0];
            let flood = answer(&"f".repeat(FLOOD_BODY)).repeat(FLOOD_ANSWERS);
            flooded.set_nonblocking(true).unwrap();
            let mut written = 0;
            while let Ok(length) = flooded.write(&flood[written..]) {
                written += length;
            }
            flooded.set_nonblocking(false).unwrap();
            other.write_all(&answer("other")).unwrap();
            is_full.send(()).unwrap();
            flooded.write_all(&flood[written..]).unwrap();
            // Both stay until the driver has gone.
            drop(other.read(&mut [0]));
        });
        (address, full)
    }

    #[test]
    fn flooded_connection_is_read_to_its_end_and_lets_the_others_have_their_turn() {
        let (address, full) = serve_flood();
        let mut driver = Driver::new(address, 1).unwrap();
        for user in [0, 1] {
            driver.open(user, Client::requests()).unwrap();
        }
        full.recv().unwrap();
        // Two connect, are told a first byte, and the rest are answers.
        let mut diary = Diary::of(4 + FLOOD_ANSWERS + 1);
        driver.wake_at(60_000_000, 0);
        driver.run(&mut diary, &AtomicBool::new(false), |_| ()).unwrap();
        let place = diary.told.iter().position(|told| told == "1 heard other");
        let place = place.expect("the other one was answered");
        let share = READ_BYTES_PER_TURN_MAX / FLOOD_BODY;
        assert!(place <= 4 + share, "it stood still while {place} were told, and a turn's share are {share}");
        assert!(!diary.told.iter().any(|told| told.starts_with("wake")), "the flood was read to its end");
    }

    #[test]
    fn interrupt_is_told_once_and_the_scenario_ends_the_run() {
        let mut driver = Driver::new("127.0.0.1:1".parse().unwrap(), 1).unwrap();
        let interrupted = AtomicBool::new(true);
        let mut diary = Diary::of(2);
        driver.run(&mut diary, &interrupted, |_| ()).unwrap();
        assert_eq!(diary.told, ["interrupted", "wake 9"]);
    }
}
