//! Starts the workers, passes signals on to them, and sees them end.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mio::Poll;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::clock::Clock;
use crate::config::Config;
use crate::ids::ShardId;
use crate::limits::{DESCRIPTORS_RESERVED, Quota};
use crate::reactor::mailbox::{Address, Letter, Post, mailbox};
use crate::reactor::{Bind, Places, Reactor, Seat, bind};
use crate::session::Policy;
use crate::session::origin::Origins;
use crate::shard::{Shard, ShardConfig};

/// Why the server could not start, or ended.
#[derive(Debug)]
pub enum ServerError {
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// Something that every server needs could not be had.
    Start(&'static str, io::Error),
    /// A worker ended by itself.
    Worker(io::Error),
    /// A worker fell over its own error.
    WorkerPanicked,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Start(what, error) => write!(f, "cannot {what}: {error}"),
            Self::Worker(error) => write!(f, "a worker ended: {error}"),
            Self::WorkerPanicked => write!(f, "a worker fell over an error of its own, printed above"),
        }
    }
}

impl std::error::Error for ServerError {}

/// Runs a server until it has drained.
///
/// # Errors
/// When it cannot start, or a worker fails.
pub fn run(config: &Config) -> Result<(), ServerError> {
    let descriptors = raise_descriptors();
    let binds = config
        .listen
        .iter()
        .map(|address| {
            bind(*address, config.workers, config.limits.peer_timeout)
                .map_err(|error| ServerError::Listen(*address, error))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let addresses: Vec<SocketAddr> = binds.iter().map(|bind| bind.address).collect();
    let max_connections =
        config.max_connections.unwrap_or_else(|| descriptors.saturating_sub(DESCRIPTORS_RESERVED).max(1));
    let max_connections = usize::try_from(max_connections).unwrap_or(usize::MAX);
    let (seats, mailboxes) = seats(config, binds, max_connections)?;
    let signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|error| ServerError::Start("watch for signals", error))?;
    let handle = signals.handle();
    let window = config.drain_window;
    let watcher = thread::spawn(move || watch(signals, &mailboxes, window));
    for address in addresses {
        announce(address);
    }
    let workers: Vec<_> = seats
        .into_iter()
        .map(|seat| {
            let name = format!("worker-{}", seat.id.index());
            thread::Builder::new().name(name).spawn(move || Reactor::new(seat)?.run())
        })
        .collect::<io::Result<_>>()
        .map_err(|error| ServerError::Start("start a worker", error))?;
    let mut result = Ok(());
    for worker in workers {
        match worker.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => result = Err(ServerError::Worker(error)),
            Err(_) => result = Err(ServerError::WorkerPanicked),
        }
    }
    handle.close();
    // It has nothing left to pass on.
    let _ = watcher.join();
    result
}

/// Raises the limit of descriptors to what the system lets us have; what it is then.
fn raise_descriptors() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024)
}

fn announce(address: SocketAddr) {
    // Whoever closed our output does not want to know.
    let _ = writeln!(io::stdout(), "listening on http://{address}");
    let _ = io::stdout().flush();
}

/// A seat a worker, and the ways to their mailboxes.
fn seats(
    config: &Config,
    mut binds: Vec<Bind>,
    max_connections: usize,
) -> Result<(Vec<Seat>, Vec<Address>), ServerError> {
    let clock = Clock::start();
    let now = clock.now();
    let mut polls = Vec::new();
    let mut mailboxes = Vec::new();
    for _ in 0..config.workers {
        let made =
            Poll::new().and_then(|poll| mailbox(&poll).map(|(mailbox, address)| (poll, mailbox, address)));
        let (poll, mailbox, address) = made.map_err(|error| ServerError::Start("wait for events", error))?;
        polls.push((poll, mailbox));
        mailboxes.push(address);
    }
    let places = Arc::new(Places::new(max_connections));
    let groups = Quota::new(config.limits.groups_max);
    let policy =
        Policy { simulate: config.simulate, echo: config.echo, origins: Origins::new(&config.allow_origin) };
    let mut seats = Vec::new();
    for (index, (poll, mailbox)) in polls.into_iter().enumerate() {
        let id = ShardId(u16::try_from(index).expect("there are at most WORKERS_MAX workers"));
        let shard = ShardConfig {
            id,
            workers: config.workers,
            seed: now.unix.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index as u64),
            policy: policy.clone(),
            limits: config.limits.clone(),
            groups: groups.clone(),
            slots: max_connections,
        };
        seats.push(Seat {
            id,
            shard: Shard::new(shard, now),
            listeners: binds.iter_mut().filter_map(|bind| bind.listeners.pop()).collect(),
            poll,
            mailbox,
            post: Post::new(mailboxes.clone()),
            places: places.clone(),
            clock,
        });
    }
    Ok((seats, mailboxes))
}

/// The first signal drains, the second stops.
fn watch(mut signals: Signals, mailboxes: &[Address], window: Duration) {
    let mut draining = false;
    for _ in signals.forever() {
        log::info!("{}", if draining { "stopping" } else { "draining" });
        for address in mailboxes {
            let letter = if draining { Letter::Stop } else { Letter::Drain { window } };
            tell(address, letter);
        }
        draining = true;
    }
}

/// Posts a letter that must arrive: a full mailbox is emptied within a turn.
fn tell(address: &Address, mut letter: Letter) {
    while let Err(refused) = address.try_post(letter) {
        letter = refused;
        thread::yield_now();
    }
}
