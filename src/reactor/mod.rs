//! The turn: waits for what happens, hands it to the shard, does what the shard wants done.
//!
//! The only folder of the server that knows mio and channels. It moves bytes, reads the clock and counts system calls;
//! it decides nothing about conversations. Read `Reactor::turn` first.

pub mod crew;
mod listener;
mod mailbox;
mod scrape;
mod sockets;
mod source;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Poll};

use crate::clock::{Clock, Now, Tick};
use crate::ids::{ConnId, ShardId};
use crate::limits::{EVENTS_PER_TURN_MAX, MAILBOX_LETTERS_PER_TURN_MAX, READ_BYTES_PER_TURN_MAX};
pub use crate::reactor::listener::{Bind, adopt, bind};
use crate::reactor::listener::{Listener, Reserve};
use crate::reactor::mailbox::{Letter, Mailbox, Post};
use crate::reactor::scrape::Scrapes;
use crate::reactor::sockets::{Read, Sockets};
use crate::reactor::source::Source;
use crate::report::{Call, Report};
use crate::shard::{Output, Reading, Shard, Standing, Wrote};

/// What all reactors of a process share.
#[derive(Debug)]
struct Places {
    /// Connections that have a place.
    taken: AtomicUsize,
    /// Connections that have none and are about to be told so.
    surplus: AtomicUsize,
    /// `--max-connections`.
    max: usize,
    /// Nobody was left while draining. Once one worker has seen that all of them end: a newcomer's group, or half of a
    /// scrape, would be on one that is gone.
    deserted: AtomicBool,
}

impl Places {
    /// So many places, none of them taken.
    fn new(max: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            surplus: AtomicUsize::new(0),
            max,
            deserted: AtomicBool::new(false),
        }
    }

    /// How many connections there are in all.
    fn all(&self) -> usize {
        self.taken.load(Ordering::Relaxed) + self.surplus.load(Ordering::Relaxed)
    }

    /// Whether everybody has left, now or when a worker looked before; only asked while draining.
    fn are_deserted(&self) -> bool {
        if self.all() == 0 {
            self.deserted.store(true, Ordering::Relaxed);
        }
        self.deserted.load(Ordering::Relaxed)
    }

    fn count(&self, standing: Standing) -> &AtomicUsize {
        match standing {
            Standing::Guest => &self.taken,
            Standing::Surplus => &self.surplus,
        }
    }
}

/// Writes between two looks at the clock, which their staleness is held against: a quarter of a millisecond's worth.
const WRITES_PER_CLOCK: usize = 64;

/// How often a reactor looks whether everyone has left while it drains.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(20);

/// How soon letters that a full mailbox did not take are tried again.
const POST_RETRY: Duration = Duration::from_millis(1);

/// One worker: a shard and the sockets that it drives.
pub struct Reactor {
    id: ShardId,
    poll: Poll,
    shard: Shard,
    sockets: Sockets,
    listeners: Vec<Listener>,
    reserve: Reserve,
    mailbox: Mailbox,
    post: Post,
    clock: Clock,
    /// What one read takes; shared by all connections, for none is read halfway.
    buffer: Box<[u8]>,
    /// Connections that may have more to read without an edge telling so.
    later: Vec<ConnId>,
    /// Connections that came this turn and are not registered yet.
    fresh: Vec<ConnId>,
    /// Who of those that are written to does not take all.
    short: Vec<(usize, Wrote)>,
    places: Arc<Places>,
    scrapes: Scrapes,
    counted: Report,
    /// When a drain ends, whoever is left.
    ends: Option<Tick>,
    stopped: bool,
    mail_left: bool,
    /// Which worker the last newcomer was dealt to, where this one accepts for all.
    dealt: usize,
}

/// What a reactor is made from.
struct Seat {
    /// Which worker it is.
    id: ShardId,
    /// How many sockets to reserve room for.
    slots: usize,
    /// Its part of the server.
    shard: Shard,
    /// The listening sockets that it accepts from.
    listeners: Vec<Listener>,
    /// Its poll, which its mailbox's waker belongs to.
    poll: Poll,
    /// Where its letters come.
    mailbox: Mailbox,
    /// The way to the other mailboxes.
    post: Post,
    /// Shared by all reactors.
    places: Arc<Places>,
    /// The process's clock.
    clock: Clock,
}

impl Reactor {
    /// A reactor that is ready to run.
    ///
    /// # Errors
    /// When a listener cannot be registered, or there is no descriptor to keep in reserve.
    fn new(mut seat: Seat) -> io::Result<Self> {
        for (index, listener) in seat.listeners.iter_mut().enumerate() {
            listener.register(seat.poll.registry(), index)?;
        }
        Ok(Self {
            id: seat.id,
            poll: seat.poll,
            shard: seat.shard,
            sockets: Sockets::with_capacity(seat.slots),
            listeners: seat.listeners,
            reserve: Reserve::new()?,
            mailbox: seat.mailbox,
            scrapes: Scrapes::new(seat.post.workers()),
            post: seat.post,
            clock: seat.clock,
            buffer: vec![0; READ_BYTES_PER_TURN_MAX].into(),
            later: Vec::new(),
            fresh: Vec::new(),
            short: Vec::new(),
            places: seat.places,
            counted: Report::default(),
            ends: None,
            stopped: false,
            mail_left: false,
            dealt: 0,
        })
    }

    /// Runs until the server is told to stop, or has drained.
    ///
    /// # Errors
    /// When waiting for events fails, which leaves nothing to do but end.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN_MAX);
        let mut now = self.clock.now();
        while !self.is_over(now.tick) {
            self.counted.syscalls[Call::EpollWait as usize] += 1;
            match self.poll.poll(&mut events, self.wait(now.tick)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            now = self.clock.now();
            self.turn(&events, now);
        }
        Ok(())
    }

    /// One turn, in the order that makes it fair: mail, sockets, time, then everything that follows from them.
    fn turn(&mut self, events: &Events, now: Now) {
        self.shard.handle_clock(now);
        self.carry_waiting_mail();
        // Whoever posts a letter wakes us, so without a wake the box need not be touched, which another thread shares.
        if self.mail_left || events.iter().any(|event| Source::of(event.token()) == Source::Mailbox) {
            self.take_mail();
        }
        // What was left over goes first: it has waited longest.
        for conn in std::mem::take(&mut self.later) {
            self.sockets.set_queued(conn, false);
            self.read(conn);
        }
        for event in events {
            self.handle_event(event, now.tick);
        }
        for index in 0..self.listeners.len() {
            if self.listeners[index].is_ready(now.tick) {
                self.accept(index, now.tick);
            }
        }
        self.shard.handle_timeout();
        self.do_outputs();
        self.register_fresh();
        let turn_micros = self.clock.now().micros.saturating_sub(now.micros);
        self.counted.turn.observe(turn_micros, 1);
    }

    /// How long to wait for the next event.
    fn wait(&self, now: Tick) -> Option<Duration> {
        if self.mail_left {
            return Some(Duration::ZERO);
        }
        if self.post.has_waiting() {
            // Nobody is read meanwhile, so what is left over to read need not hurry.
            return Some(POST_RETRY);
        }
        if !self.later.is_empty() {
            return Some(Duration::ZERO);
        }
        let listeners = self.listeners.iter().filter_map(Listener::retry_at);
        let due = listeners.chain(self.shard.poll_timeout()).chain(self.ends).min();
        let looks = self.ends.is_some().then_some(DRAIN_LOOK_EVERY);
        due.map(|due| due.since(now)).into_iter().chain(looks).min()
    }

    fn is_over(&self, now: Tick) -> bool {
        let drained = self.ends.is_some_and(|ends| ends <= now || self.places.are_deserted());
        self.stopped || drained
    }

    fn handle_event(&mut self, event: &Event, now: Tick) {
        match Source::of(event.token()) {
            Source::Mailbox => {}
            Source::Listener(index) => self.listeners[index].wake(now),
            Source::Conn(conn) => {
                if event.is_writable() {
                    self.shard.handle_writable(conn);
                }
                if event.is_read_closed() || event.is_error() {
                    self.sockets.note_read_closed(conn);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read(conn);
                }
            }
        }
    }

    /// Reads a connection: to a short read where more would bring an edge, else until it is dry or has had its share.
    fn read(&mut self, conn: ConnId) {
        loop {
            let Some(held) = self.sockets.is_held(conn) else { return };
            if held || self.post.has_waiting() {
                self.sockets.note_unread(conn);
                if held && self.sockets.is_read_closed(conn) {
                    self.shard.handle_read_closed(conn);
                } else if !held {
                    self.read_later(conn);
                }
                return;
            }
            self.counted.syscalls[Call::Read as usize] += 1;
            match self.sockets.read(conn, &mut self.buffer) {
                Read::Dry => return,
                Read::Ended => return self.shard.handle_ended(conn),
                Read::Broken => return self.shard.handle_broken(conn),
                Read::Bytes(bytes) => {
                    let reading = self.shard.handle_received(conn, &mut self.buffer[..bytes]);
                    self.sockets.set_held(conn, reading == Reading::Hold);
                    self.unburden();
                    let full = bytes == self.buffer.len();
                    if full {
                        self.sockets.note_unread(conn);
                    }
                    if full && reading == Reading::Go {
                        return self.read_later(conn);
                    }
                    if !self.sockets.is_read_closed(conn) {
                        return;
                    }
                }
            }
        }
    }

    /// Has a connection read next turn; once, however often it is asked for.
    fn read_later(&mut self, conn: ConnId) {
        if self.sockets.set_queued(conn, true) {
            self.later.push(conn);
        }
    }

    /// Does in the middle of a turn what its end is for, if that cannot wait. Whoever is closed by that is told from who
    /// comes after by the generation in the name.
    fn unburden(&mut self) {
        if self.shard.is_laden() {
            self.do_outputs();
        }
    }

    /// Does what the shard wants done, until it wants nothing more.
    fn do_outputs(&mut self) {
        let mut writes = 0;
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Write { conns, bytes } => {
                    self.short.clear();
                    for (place, conn) in conns.iter().enumerate() {
                        let wrote = self.sockets.write(*conn, bytes);
                        if wrote == Wrote::Bytes(bytes.len()) {
                            continue;
                        }
                        if wrote != Wrote::Broken {
                            let calls = self.sockets.watch_writable(*conn, self.poll.registry());
                            self.counted.syscalls[Call::EpollCtl as usize] += calls;
                        }
                        self.short.push((place, wrote));
                    }
                    self.counted.syscalls[Call::Write as usize] += conns.len() as u64;
                    writes += conns.len();
                    self.shard.handle_wrote(&self.short);
                    if writes >= WRITES_PER_CLOCK {
                        writes = 0;
                        self.shard.handle_written_clock(self.clock.now().micros);
                    }
                }
                Output::ShutdownWrite { conn } => {
                    self.counted.syscalls[Call::Shutdown as usize] += 1;
                    self.sockets.shutdown_write(conn);
                }
                Output::Close { conn } => self.close(conn),
                Output::ReadAgain { conn } => {
                    self.sockets.set_held(conn, false);
                    if self.sockets.take_unread(conn) {
                        self.read_later(conn);
                    }
                }
                Output::Mail { to, mail } => self.post.send(to, Letter::Mail(mail)),
                Output::HandOver { conn, to, parcel } => {
                    if let Some((stream, calls)) = self.sockets.take(conn, self.poll.registry()) {
                        self.counted.syscalls[Call::EpollCtl as usize] += calls;
                        self.post.send(to, Letter::HandOver { stream, parcel });
                    }
                }
                Output::Scrape { conn } => self.begin_scrape(conn),
            }
        }
    }

    fn close(&mut self, conn: ConnId) {
        if let Some(standing) = self.sockets.close(conn) {
            self.counted.syscalls[Call::Close as usize] += 1;
            self.places.count(standing).fetch_sub(1, Ordering::Relaxed);
            self.listeners.iter_mut().for_each(Listener::note_close);
        }
    }

    /// Registers the newcomers that are still here. What came meanwhile shows at once.
    fn register_fresh(&mut self) {
        for conn in std::mem::take(&mut self.fresh) {
            match self.sockets.register(conn, self.poll.registry()) {
                Ok(calls) => self.counted.syscalls[Call::EpollCtl as usize] += calls,
                Err(_) => self.shard.handle_broken(conn),
            }
        }
    }

    fn take_mail(&mut self) {
        let mut taken = 0;
        self.mailbox.open();
        while taken < MAILBOX_LETTERS_PER_TURN_MAX
            && let Some(letter) = self.mailbox.take()
        {
            taken += 1;
            self.handle_letter(letter);
            self.unburden();
        }
        self.mail_left = taken == MAILBOX_LETTERS_PER_TURN_MAX;
    }

    fn handle_letter(&mut self, letter: Letter) {
        match letter {
            Letter::Mail(mail) => self.shard.handle_mail(mail),
            Letter::HandOver { stream, parcel } => {
                let (conn, reading) = self.shard.handle_adopted(*parcel);
                self.sockets.insert(conn, stream, Standing::Guest);
                self.sockets.set_held(conn, reading == Reading::Hold);
                self.fresh.push(conn);
            }
            Letter::Newcomer { stream, standing } => self.welcome(stream, standing),
            Letter::Scrape { from, conn } => {
                let report = Box::new(self.report());
                self.post.send(from, Letter::Scraped { by: self.id, conn, report });
            }
            Letter::Scraped { by, conn, report } => self.add_to_scrape(by, conn, *report),
            Letter::Drain { window } => {
                self.ends = Some(self.clock.now().tick.after(window));
                self.shard.handle_drain(window);
            }
            Letter::Stop => self.stopped = true,
        }
    }

    /// Carries letters that a full mailbox did not take before; the shard is told whether any still wait.
    fn carry_waiting_mail(&mut self) {
        if self.post.has_waiting() {
            self.post.retry();
        }
        self.shard.handle_congestion(self.post.has_waiting());
    }

    /// Takes in a connection that has just been accepted, and reads it before it is registered: a head that is there
    /// already may send it to another shard.
    fn welcome(&mut self, stream: TcpStream, standing: Standing) {
        let conn = self.shard.handle_accepted(standing);
        self.sockets.insert(conn, stream, standing);
        self.fresh.push(conn);
        self.read(conn);
    }

    /// What this worker counted so far.
    fn report(&self) -> Report {
        let mut report = self.shard.report();
        report.add(&self.counted);
        report
    }
}
