//! Makes the workers of a server: one shard, poll, mailbox and set of listeners each, and the ways between them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::Poll;

use crate::clock::Clock;
use crate::ids::ShardId;
use crate::limits::{Budget, Limits, Quota, RESERVED_SLOTS_MAX};
use crate::reactor::listener::Bind;
use crate::reactor::mailbox::{Address, Letter, Post, mailbox};
use crate::reactor::{Places, Reactor, Seat};
use crate::shard::{Shard, ShardConfig};

/// What a crew is made from.
#[derive(Clone, Debug)]
pub struct CrewConfig {
    /// How many workers.
    pub workers: usize,
    /// How many connections the process may have.
    pub connections_max: usize,
    /// A location is made up where a client gives none.
    pub simulate: bool,
    /// `/echo` exists.
    pub echo: bool,
    /// The origins that may talk to this server besides its own.
    pub allow_origin: Vec<String>,
    /// The bounds in force.
    pub limits: Limits,
}

/// The workers of a server, ready to run, each in a thread of its own.
pub struct Crew {
    /// The workers.
    pub reactors: Vec<Reactor>,
    /// What they are told from outside.
    pub bell: Bell,
}

/// Tells all workers of a server to go.
pub struct Bell(Vec<Address>);

impl Bell {
    /// Everyone is told to leave within this time.
    pub fn drain(&self, window: Duration) {
        self.tell(|| Letter::Drain { window });
    }

    /// The workers end now.
    pub fn stop(&self) {
        self.tell(|| Letter::Stop);
    }

    fn tell(&self, letter: impl Fn() -> Letter) {
        for address in &self.0 {
            // A full mailbox is emptied within a turn.
            while address.try_post(letter()).is_err() {
                std::thread::yield_now();
            }
        }
    }
}

impl Crew {
    /// Makes the workers.
    ///
    /// # Errors
    /// When the system does not let them wait for events.
    pub fn new(config: &CrewConfig, mut binds: Vec<Bind>) -> io::Result<Self> {
        let clock = Clock::start();
        let now = clock.now();
        let places = Arc::new(Places::new(config.connections_max));
        let groups = Quota::new(config.limits.groups_max);
        let budget = Budget::new(config.limits.held_bytes_max);
        let polls = (0..config.workers).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let boxes = polls.iter().map(|poll| mailbox(poll, config.workers)).collect::<io::Result<Vec<_>>>()?;
        let (mailboxes, addresses): (Vec<_>, Vec<_>) = boxes.into_iter().unzip();
        let mut reactors = Vec::new();
        for (index, (poll, mailbox)) in polls.into_iter().zip(mailboxes).enumerate() {
            let id = ShardId(u16::try_from(index).expect("there are at most WORKERS_MAX workers"));
            let shard = ShardConfig {
                id,
                workers: config.workers,
                seed: now.unix.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index as u64),
                simulate: config.simulate,
                echo: config.echo,
                allow_origin: config.allow_origin.clone(),
                limits: config.limits.clone(),
                groups: groups.clone(),
                budget: budget.clone(),
                slots: config.connections_max,
            };
            reactors.push(Reactor::new(Seat {
                id,
                slots: config.connections_max.min(RESERVED_SLOTS_MAX),
                shard: Shard::new(shard, now),
                listeners: binds.iter_mut().filter_map(Bind::take).collect(),
                poll,
                mailbox,
                post: Post::new(addresses.clone()),
                places: places.clone(),
                clock,
            })?);
        }
        Ok(Self { reactors, bell: Bell(addresses) })
    }
}
