//! The value that one worker owns: its connections, the groups at home here, what is owed to whom, and all timers.
//!
//! A shard has no thread, socket, clock or random source. Things that happen go in by the `handle_*` methods, things
//! to do come out of [`Shard::poll_output`], and [`Shard::poll_timeout`] says when [`Shard::handle_timeout`] is due.
//! So a seed replays a whole server, and a test drives one with plain values.
//!
//! ```text
//!  handle_received ─> converse ─> session ─> Event ─> dispatch ─> hub, mail, answers
//!                                                                     │
//!  poll_output <─ flush (one connection) <─ fanout (one group) <──────┘
//! ```

mod answers;
mod conns;
mod converse;
mod dispatch;
mod fanout;
mod feeds;
mod flush;
mod held;
mod interest;
pub mod mail;
mod out_queue;
pub mod placement;
mod polls;
mod post;
mod ready;
mod streams;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::clock::{Now, Tick};
use crate::hub::{GroupKey, Hub};
use crate::ids::{ConnId, GroupId, ShardId, Transport};
use crate::limits::{ANSWER_BYTES_PER_FLUSH_MAX, Budget, HeldBytes, Limits, Quota, RESERVED_SLOTS_MAX};
use crate::random::Random;
use crate::report::{Reason, Report};
use crate::session::origin::Origins;
use crate::session::{Context, Policy, Session};
use crate::shard::conns::Conns;
use crate::shard::fanout::FanOut;
use crate::shard::flush::Flight;
use crate::shard::interest::Coming;
use crate::shard::mail::{Mail, Parcel};
use crate::shard::out_queue::OutQueue;
use crate::shard::ready::ReadyAnswers;
use crate::shard::timers::{Alarm, Drain, Round};
use crate::timer_wheel::TimerWheel;
use crate::wire::http::response::HttpDate;

/// What a shard is made from.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Which one it is.
    pub id: ShardId,
    /// How many there are.
    pub workers: usize,
    /// All that it does by chance follows from this.
    pub seed: u64,
    /// A location is made up where a client gives none.
    pub simulate: bool,
    /// `/echo` exists.
    pub echo: bool,
    /// The origins that may talk to this server besides its own.
    pub allow_origin: Vec<String>,
    /// The bounds in force.
    pub limits: Limits,
    /// How many groups the process may have, shared by all shards.
    pub groups: Quota,
    /// How many bytes all shards may hold together.
    pub budget: Budget,
    /// How many connections to reserve slots for; untouched ones cost nothing.
    pub slots: usize,
}

/// Whether a newcomer has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has.
    Guest,
    /// There is none: its head is read, probes and scrapes are answered, all else is told 503.
    Surplus,
}

/// Whether a connection is to be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reading {
    /// What comes can be taken.
    Go,
    /// Not before [`Output::ReadAgain`].
    Hold,
}

/// How a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// The socket took so many bytes; fewer than it was given means that it takes no more for now.
    Bytes(usize),
    /// The connection is beyond use.
    Broken,
}

/// What a shard wants done.
#[derive(Debug)]
pub enum Output<'a> {
    /// Write this to each of these now, by one call each, and say how that went ([`Shard::handle_wrote`]) before the
    /// next poll.
    Write {
        /// To whom.
        conns: &'a [ConnId],
        /// What.
        bytes: &'a [u8],
    },
    /// Close the sending side.
    ShutdownWrite {
        /// Whose.
        conn: ConnId,
    },
    /// Forget the connection; the shard has.
    Close {
        /// Which.
        conn: ConnId,
    },
    /// Read a connection that was held.
    ReadAgain {
        /// Which.
        conn: ConnId,
    },
    /// Carry a letter.
    Mail {
        /// To whom.
        to: ShardId,
        /// What.
        mail: Mail,
    },
    /// Carry a connection with its socket; the shard has forgotten it.
    HandOver {
        /// Which.
        conn: ConnId,
        /// To whom.
        to: ShardId,
        /// Its conversation.
        parcel: Box<Parcel>,
    },
    /// Gather every shard's counts for this connection ([`Shard::handle_scraped`]).
    Scrape {
        /// Who asked.
        conn: ConnId,
    },
}

/// An output that carries no bytes and can wait its turn.
#[derive(Debug)]
enum Command {
    ShutdownWrite(ConnId),
    Close(ConnId),
    ReadAgain(ConnId),
    Mail(ShardId, Mail),
    HandOver(ConnId, ShardId, Box<Parcel>),
    Scrape(ConnId),
}

/// What sessions may look at, kept up to date once a turn.
#[derive(Debug)]
struct Env {
    limits: Limits,
    policy: Policy,
    now: Now,
    date: HttpDate,
    draining: bool,
}

impl Env {
    const fn context(&self, shard: ShardId, conn: ConnId) -> Context<'_> {
        Context {
            now: self.now,
            date: &self.date,
            limits: &self.limits,
            policy: &self.policy,
            draining: self.draining,
            name: (shard, conn),
        }
    }
}

/// One worker's state.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    workers: usize,
    env: Env,
    random: Random,
    conns: Conns,
    /// What the connections hold.
    held: HeldBytes,
    hub: Hub,
    alarms: TimerWheel<Alarm>,
    /// Subscribers that wait for a group's home to answer them, in the order in which it will.
    coming: HashMap<GroupId, VecDeque<Coming>>,
    /// The number of the last [`Coming`].
    tickets: u32,
    /// Mirrors without a waiter, and when they go.
    lingering: HashMap<GroupKey, Tick>,
    /// Groups, wherever at home, that are too large to pull connections home.
    giants: HashSet<GroupId>,
    pings: Round,
    comments: Round,
    /// Connections with something to write, in the order in which they got it.
    dirty: VecDeque<ConnId>,
    /// Connections whose wait is over and that may have said more meanwhile.
    resumed: VecDeque<ConnId>,
    /// Connections that are beyond use.
    dying: Vec<ConnId>,
    commands: VecDeque<Command>,
    fan: FanOut,
    flight: Flight,
    /// The time that writes are held against: fresher than the turn's while many are made.
    written_micros: u64,
    /// Publishes that came while our own mail waits: they are numbered once it moves again.
    deferred: VecDeque<Mail>,
    congested: bool,
    drain: Option<Drain>,
    /// Emptied queues.
    #[expect(clippy::vec_box, reason = "a connection takes its queue as a box and gives it back as one")]
    pool: Vec<Box<OutQueue>>,
    /// Requests whose answers take long to make, in the order in which they came.
    long_answers: VecDeque<ConnId>,
    /// What was said since everything was written.
    said_bytes: usize,
    /// What is being said, before it goes into a queue.
    reply: Vec<u8>,
    /// What is being written, where it is not one shared batch.
    scratch: Vec<u8>,
    json: Vec<u8>,
    ready: ReadyAnswers,
    report: Report,
}

impl Shard {
    /// A shard without connections and groups.
    #[must_use]
    pub fn new(config: ShardConfig, now: Now) -> Self {
        let slots = config.slots.min(RESERVED_SLOTS_MAX);
        Self {
            id: config.id,
            workers: config.workers,
            random: Random::with_seed(config.seed),
            conns: Conns::with_capacity(slots),
            held: config.budget.connections(),
            hub: Hub::new(&config.limits, config.groups, &config.budget),
            // One a connection, and one for each round of keep-alives.
            alarms: TimerWheel::with_capacity(now.tick, slots + 2),
            env: Env {
                limits: config.limits,
                policy: Policy {
                    simulate: config.simulate,
                    echo: config.echo,
                    origins: Origins::new(&config.allow_origin),
                },
                now,
                date: HttpDate::from_unix_seconds(now.unix.seconds()),
                draining: false,
            },
            coming: HashMap::new(),
            tickets: 0,
            lingering: HashMap::new(),
            giants: HashSet::new(),
            pings: Round::default(),
            comments: Round::default(),
            dirty: VecDeque::new(),
            resumed: VecDeque::new(),
            dying: Vec::new(),
            commands: VecDeque::new(),
            fan: FanOut::default(),
            flight: Flight::None,
            written_micros: now.micros,
            deferred: VecDeque::new(),
            congested: false,
            drain: None,
            pool: Vec::new(),
            long_answers: VecDeque::new(),
            said_bytes: 0,
            reply: Vec::new(),
            scratch: Vec::new(),
            json: Vec::new(),
            ready: ReadyAnswers::new(),
            report: Report::default(),
        }
    }

    /// Says what time it is; once a turn, before anything else is handled.
    pub fn handle_clock(&mut self, now: Now) {
        if now.unix.seconds() != self.env.now.unix.seconds() {
            self.env.date = HttpDate::from_unix_seconds(now.unix.seconds());
            self.ready.expire();
        }
        self.env.now = now;
        self.written_micros = now.micros;
    }

    /// Says what time it is while writes are made; only the staleness of updates is held against it.
    pub fn handle_written_clock(&mut self, micros: u64) {
        self.written_micros = micros;
        self.fan.settle_staleness(&mut self.report, micros);
    }

    /// A newcomer; the name it has from now on.
    pub fn handle_accepted(&mut self, standing: Standing) -> ConnId {
        let id = self.conns.insert(Session::new(), self.env.now.tick);
        self.start_rounds();
        self.report.connections_total[Transport::Http as usize] += 1;
        // While draining it is there to be told so, not to be sent off before it has asked.
        let wait = match standing {
            Standing::Guest if !self.env.draining => self.env.limits.head_timeout,
            Standing::Guest | Standing::Surplus => Duration::from_secs(1),
        };
        if let Some(conn) = self.conns.get_mut(id) {
            conn.flags.surplus = standing == Standing::Surplus;
        }
        self.set_deadline(id, wait);
        id
    }

    /// The next thing to do; to be called until there is nothing more, after every batch of happenings.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        debug_assert!(matches!(self.flight, Flight::None), "the last write was not reported");
        loop {
            // Answers first: they are few, and who asks waits for one. Then what telling left in queues.
            if (!self.is_telling() && self.poll_flush()) || self.poll_fan_out() || self.poll_flush() {
                let (conns, bytes) = self.in_flight()?;
                return Some(Output::Write { conns, bytes });
            }
            // Both can number updates, which are told, or left to the next turn, before anything else is done.
            if self.bury() || self.resume() {
                continue;
            }
            let Some(command) = self.commands.pop_front() else {
                if self.shed() {
                    continue;
                }
                self.said_bytes = 0;
                self.fan.end_turn();
                return None;
            };
            return Some(match command {
                Command::ShutdownWrite(conn) => Output::ShutdownWrite { conn },
                Command::Close(conn) => Output::Close { conn },
                Command::ReadAgain(conn) => Output::ReadAgain { conn },
                Command::Mail(to, mail) => {
                    self.report.mail.sent += 1;
                    Output::Mail { to, mail }
                }
                Command::HandOver(conn, to, parcel) => {
                    self.forget(conn);
                    Output::HandOver { conn, to, parcel }
                }
                Command::Scrape(conn) => Output::Scrape { conn },
            });
        }
    }

    /// Whether so much is said or held that [`Shard::poll_output`] is to be called before anything else is handled.
    #[must_use]
    pub fn is_laden(&self) -> bool {
        self.said_bytes > ANSWER_BYTES_PER_FLUSH_MAX || self.must_shed()
    }

    /// Whether groups wait for the next turn to be told.
    #[must_use]
    pub fn has_more_to_tell(&self) -> bool {
        self.hub.has_dirty()
    }

    /// Whether answers that take long wait for the next turn.
    #[cfg(test)]
    fn has_long_answers(&self) -> bool {
        !self.long_answers.is_empty()
    }

    /// When [`Shard::handle_timeout`] is due, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Tick> {
        if !self.long_answers.is_empty() || self.has_more_to_tell() {
            return Some(self.env.now.tick);
        }
        match (self.alarms.next_deadline(), self.hub.poll_timeout()) {
            (Some(ours), Some(groups)) => Some(ours.min(groups)),
            (ours, groups) => ours.or(groups),
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// What was counted so far, with the levels of this moment.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = self.report.clone();
        for (_, conn) in self.conns.iter() {
            let transport = conn.transport() as usize;
            report.connections[transport] += 1;
            report.parked[transport] += u64::from(conn.is_parked());
            report.subscriptions[transport] += conn.subscriptions() as u64;
            report.queue_bytes[transport] += conn.out.as_ref().map_or(0, |out| out.bytes() as u64);
        }
        report.groups = self.hub.groups() as u64;
        report.members = self.hub.members() as u64;
        report.held_bytes = (self.held.own() + self.hub.held_bytes()) as u64;
        report
    }

    fn refuse(&mut self, reason: Reason) {
        self.report.refused[reason as usize] += 1;
    }
}
