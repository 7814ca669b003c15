//! Starts the workers, passes signals on to them, and sees them end.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::Config;
use crate::limits::DESCRIPTORS_RESERVED;
use crate::reactor::crew::{Bell, Crew, CrewConfig};
use crate::reactor::{Bind, bind};

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
    let bind = |address: &SocketAddr| {
        bind(*address, config.workers, config.limits.peer_timeout)
            .map_err(|error| ServerError::Listen(*address, error))
    };
    let binds = config.listen.iter().map(bind).collect::<Result<Vec<Bind>, _>>()?;
    let addresses: Vec<SocketAddr> = binds.iter().map(|bind| bind.address).collect();
    let connections_max =
        config.max_connections.unwrap_or_else(|| descriptors.saturating_sub(DESCRIPTORS_RESERVED).max(1));
    let crew = CrewConfig {
        workers: config.workers,
        connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
        simulate: config.simulate,
        echo: config.echo,
        allow_origin: config.allow_origin.clone(),
        limits: config.limits.clone(),
    };
    let Crew { reactors, bell } =
        Crew::new(&crew, binds).map_err(|error| ServerError::Start("wait for events", error))?;
    let signals = Signals::new([SIGTERM, SIGINT]);
    let signals = signals.map_err(|error| ServerError::Start("watch for signals", error))?;
    let handle = signals.handle();
    let window = config.drain_window;
    let watcher = thread::spawn(move || watch(signals, &bell, window));
    let start = |(index, reactor): (usize, crate::reactor::Reactor)| {
        thread::Builder::new().name(format!("worker-{index}")).spawn(|| reactor.run())
    };
    let workers = reactors.into_iter().enumerate().map(start).collect::<io::Result<Vec<_>>>();
    let workers = workers.map_err(|error| ServerError::Start("start a worker", error))?;
    addresses.into_iter().for_each(announce);
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

/// Says where the server listens.
fn announce(address: SocketAddr) {
    // Whoever closed our output does not want to know.
    let _ = writeln!(io::stdout(), "listening on http://{address}");
    let _ = io::stdout().flush();
}

/// The first signal drains, the second stops.
fn watch(mut signals: Signals, bell: &Bell, window: std::time::Duration) {
    let mut draining = false;
    for _ in signals.forever() {
        if draining {
            log::info!("stopping");
            bell.stop();
        } else {
            log::info!("draining within {window:?}");
            bell.drain(window);
        }
        draining = true;
    }
}
