//! Starts the workers, passes signals on to them, and sees them end.

mod service_manager;

use std::fmt;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::Config;
use crate::limits::{DESCRIPTORS_PER_WORKER, DESCRIPTORS_RESERVED};
use crate::reactor::crew::{Bell, Crew, CrewConfig};
use crate::reactor::{Bind, Reactor, adopt, bind};

/// Why the server could not start, or ended.
#[derive(Debug)]
pub enum ServerError {
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// What was handed over to listen on is not to be listened on.
    Inherit(io::Error),
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
            Self::Inherit(error) => write!(f, "cannot listen on what LISTEN_FDS hands over: {error}"),
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
    let inherited = service_manager::inherited_listeners().map_err(ServerError::Inherit)?;
    let descriptors = raise_descriptors();
    let binds = if inherited.is_empty() { bind_all(config)? } else { adopt_all(inherited, config)? };
    let addresses: Vec<SocketAddr> = binds.iter().map(|bind| bind.address).collect();
    let connections_max = connections_max(config, descriptors, addresses.len());
    let crew = CrewConfig {
        workers: config.workers,
        connections_max,
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
    let bell = Arc::new(bell);
    let watcher = thread::spawn({
        let bell = bell.clone();
        move || watch(signals, &bell, window)
    });
    let start = |(index, reactor): (usize, Reactor)| {
        let rings = RingsOnPanic(bell.clone());
        let work = move || {
            let rings = rings;
            let ended = reactor.run();
            if ended.is_err() {
                rings.0.stop();
            }
            ended
        };
        thread::Builder::new().name(format!("worker-{index}")).spawn(work)
    };
    let workers = reactors.into_iter().enumerate().map(start).collect::<io::Result<Vec<_>>>();
    let workers = workers.map_err(|error| ServerError::Start("start a worker", error))?;
    addresses.into_iter().for_each(announce);
    service_manager::tell_ready();
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

/// Binds what `--listen` names.
fn bind_all(config: &Config) -> Result<Vec<Bind>, ServerError> {
    let bind = |address: &SocketAddr| {
        bind(*address, config.workers, config.limits.peer_timeout)
            .map_err(|error| ServerError::Listen(*address, error))
    };
    config.listen.iter().map(bind).collect()
}

/// Takes over what a service manager has bound, in the place of all that `--listen` names.
fn adopt_all(inherited: Vec<TcpListener>, config: &Config) -> Result<Vec<Bind>, ServerError> {
    if config.listen != Config::default().listen {
        log::warn!("--listen is not heeded: LISTEN_FDS hands over what to listen on");
    }
    let adopt = |socket| adopt(socket, config.workers, config.limits.peer_timeout);
    inherited.into_iter().map(adopt).collect::<io::Result<_>>().map_err(ServerError::Inherit)
}

/// How many connections there may be: what was asked for, as far as descriptors reach.
fn connections_max(config: &Config, descriptors: u64, addresses: usize) -> usize {
    let per_worker = DESCRIPTORS_PER_WORKER + addresses as u64;
    let reserved = DESCRIPTORS_RESERVED + config.workers as u64 * per_worker;
    let possible = descriptors.saturating_sub(reserved).max(1);
    let asked = config.max_connections.unwrap_or(possible);
    if asked > possible {
        log::warn!("--max-connections {asked} is cut to {possible}: there are {descriptors} descriptors");
    }
    usize::try_from(asked.min(possible)).unwrap_or(usize::MAX)
}

/// Stops the other workers when one panics: a server that has lost the groups of one shard would leave their clients
/// waiting for good.
struct RingsOnPanic(Arc<Bell>);

impl Drop for RingsOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
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
fn watch(mut signals: Signals, bell: &Bell, window: Duration) {
    let mut draining = false;
    for _ in signals.forever() {
        if draining {
            log::info!("stopping");
            bell.stop();
        } else {
            log::info!("draining within {window:?}");
            bell.drain(window);
            service_manager::tell_stopping(window);
        }
        draining = true;
    }
}
