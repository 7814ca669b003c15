//! One run from its plan to its figures: connects driver, scenario and the looks at the server, and shows how far it is.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::iterator::Signals;

use crate::clock::Clock;
use crate::ids::Transport;
use crate::load::driver::{Driver, Scenario};
use crate::load::figures::RunFigures;
use crate::load::look::look_meanwhile;
use crate::load::plan::{GRACE, Kind, LoadPlan, Stage, Stages, WAIT};
use crate::load::process::{Process, find_listener, own_cpu_micros};
use crate::load::report::{self, RunReport};
use crate::load::scenario::fanout::{Fanout, FanoutPlan};
use crate::load::scenario::seed::{Seed, SeedPlan};
use crate::load::scenario::visits::{Visits, VisitsPlan};
use crate::load::server_side::{Sample, ServerProbe, ServerSide};

/// Descriptors that are not connections: standard streams, epoll, the timer, witnesses, files of /proc.
const DESCRIPTORS_RESERVE: u64 = 64;

/// Two signals closer than this are one interrupt: `timeout` sends its own to the program and to its group.
const SAME_INTERRUPT_MICROS: u64 = 100_000;

/// How long the first connection may take, by which it is seen that there is a server.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long the server may take to notice that the users of a run are gone, and how often it is looked whether it has.
const DEPARTURES_PATIENCE: Duration = Duration::from_secs(10);
const DEPARTURES_LOOK: Duration = Duration::from_millis(20);

/// A server to put a load on.
#[derive(Clone, Debug)]
pub struct Target {
    /// As requests name it: host and port.
    pub host: String,
    /// Where it is.
    pub address: SocketAddr,
    /// How it is looked at.
    pub probe: ServerProbe,
}

impl Target {
    /// Finds the server, and its process if that is on this machine and `pid` does not name it.
    ///
    /// # Errors
    /// [`LoadError::Unknown`], [`LoadError::Unreachable`], [`LoadError::NoProcess`].
    pub fn find(host: &str, pid: Option<u32>) -> Result<Self, LoadError> {
        if let Some(pid) = pid.filter(|pid| !Process(*pid).is_there()) {
            return Err(LoadError::NoProcess { pid });
        }
        let unknown = |error| LoadError::Unknown { host: host.to_owned(), error };
        let mut failed = unknown(io::ErrorKind::NotFound.into());
        // A name may have several addresses, as localhost has, and the server listen at one.
        for address in host.to_socket_addrs().map_err(unknown)? {
            match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
                Ok(_) => {
                    let probe = ServerProbe::new(address, pid.or_else(|| find_listener(address)));
                    return Ok(Self { host: host.to_owned(), address, probe });
                }
                Err(error) => failed = LoadError::Unreachable { address, error },
            }
        }
        Err(failed)
    }
}

/// Both sides of one run.
#[derive(Debug)]
pub struct Measured {
    /// The clients' side.
    pub figures: RunFigures,
    /// The server's side; none if it could not be looked at.
    pub server: Option<ServerSide>,
}

/// A run in the making.
#[derive(Debug)]
pub struct Run<'a> {
    target: &'a Target,
    interrupted: &'a AtomicBool,
    /// The driver, for what a scenario is started with.
    pub driver: Driver,
    progress: ProgressBar,
    before: Option<Sample>,
    cpu_micros_before: f64,
    wall_micros_before: u64,
    resident_bytes_peak: Option<u64>,
}

impl<'a> Run<'a> {
    /// A run that has not begun.
    ///
    /// # Errors
    /// [`LoadError::Descriptors`] if so many connections cannot be had; [`LoadError::System`].
    pub fn new(
        target: &'a Target,
        connections: usize,
        seed: u64,
        interrupted: &'a AtomicBool,
        progress: ProgressBar,
    ) -> Result<Self, LoadError> {
        let needed = connections as u64 + DESCRIPTORS_RESERVE;
        let allowed = rlimit::increase_nofile_limit(u64::MAX).map_err(LoadError::System)?;
        if allowed < needed {
            return Err(LoadError::Descriptors { needed, allowed });
        }
        let driver = Driver::new(target.address, seed).map_err(LoadError::System)?;
        let mut run = Self {
            target,
            interrupted,
            driver,
            progress,
            before: None,
            cpu_micros_before: 0.0,
            wall_micros_before: 0,
            resident_bytes_peak: None,
        };
        // Nobody is there who would wait for it.
        let before = target.probe.sample().ok();
        run.begin(before);
        Ok(run)
    }

    /// From now on it counts: the server is looked at, and the clients' figures begin anew. Failures stay: whoever could
    /// not even connect is not measured, and that is to be told. The scenario goes on while the server takes its time.
    ///
    /// # Errors
    /// [`LoadError::System`] if waiting fails.
    pub fn look<S: Scenario>(&mut self, scenario: &mut S) -> Result<(), LoadError> {
        let before = self.look_meanwhile(scenario)?;
        self.begin(before);
        Ok(())
    }

    fn look_meanwhile<S: Scenario>(&mut self, scenario: &mut S) -> Result<Option<Sample>, LoadError> {
        let looked = look_meanwhile(self.target.probe, &mut self.driver, scenario, self.interrupted);
        looked.map_err(LoadError::System)
    }

    fn begin(&mut self, before: Option<Sample>) {
        self.before = before;
        // The look took milliseconds; what is published or opened next is not late by them.
        self.driver.tell_time();
        self.driver.figures.begin_anew();
        self.cpu_micros_before = own_cpu_micros();
        self.wall_micros_before = self.driver.now();
        self.resident_bytes_peak = None;
    }

    /// Lets the scenario go on until it is done for now.
    ///
    /// # Errors
    /// [`LoadError::System`] if waiting fails.
    pub fn go_on<S: Scenario>(&mut self, scenario: &mut S) -> Result<(), LoadError> {
        let (probe, progress, peak) = (self.target.probe, &self.progress, &mut self.resident_bytes_peak);
        let mut second = (self.driver.now(), own_cpu_micros());
        let watch = |driver: &mut Driver| {
            *peak = (*peak).max(probe.resident_bytes());
            let (wall_micros, cpu_micros) = ((driver.now() - second.0) as f64, own_cpu_micros());
            let figures = &mut driver.figures;
            if wall_micros >= 1e6 {
                let share = (cpu_micros - second.1) / wall_micros;
                figures.tool_cpu_share_max = figures.tool_cpu_share_max.max(share);
                second = (driver.now(), cpu_micros);
            }
            let figures = &driver.figures;
            progress.set_position(driver.now() / 1000);
            progress.set_message(format!(
                "{} connections, {} answers, {} updates, {} failures",
                driver.connections(),
                figures.http_reqs,
                figures.delivered,
                figures.failures.total()
            ));
        };
        self.driver.run(scenario, self.interrupted, watch).map_err(LoadError::System)
    }

    /// Looks at the server once more; the figures are of the time since the last [`Run::look`]. What the scenario, which has
    /// been summed up, does meanwhile is in none.
    ///
    /// # Errors
    /// [`LoadError::System`] if waiting fails.
    pub fn measured<S: Scenario>(&mut self, scenario: &mut S) -> Result<Measured, LoadError> {
        let mut figures = std::mem::take(&mut self.driver.figures);
        figures.tool_cpu_seconds = (own_cpu_micros() - self.cpu_micros_before) / 1e6;
        figures.wall_seconds = (self.driver.now() - self.wall_micros_before) as f64 / 1e6;
        let after = self.look_meanwhile(scenario)?;
        let server = self.before.as_ref().zip(after.as_ref()).map(|(before, after)| {
            let mut side = ServerSide::between(before, after);
            side.note_resident(self.resident_bytes_peak);
            side
        });
        Ok(Measured { figures, server })
    }
}

/// Runs a plan, with one transport or with all of them one after the other, and prints what each run took.
///
/// An interrupt ends the run that is under way, and what there is of it is printed; a second one ends the program.
///
/// # Errors
/// [`LoadError`], when a run could not be made. What goes wrong within it is printed, and how many failures there were
/// in all is answered.
pub fn run(plan: &LoadPlan, out: &mut dyn io::Write) -> Result<u64, LoadError> {
    let interrupted = heed_interrupts().map_err(LoadError::System)?;
    let target = Target::find(&plan.target, plan.pid)?;
    let all = Transport::ALL.into_iter().filter(|transport| *transport != Transport::Http);
    let transports: Vec<_> = plan.transport.map_or_else(|| all.collect(), |transport| vec![transport]);
    // Better now than after the runs.
    let json = plan.json.as_ref().map(std::fs::File::create).transpose().map_err(LoadError::Output)?;
    let mut reports: Vec<RunReport> = Vec::new();
    // Others may be connected for as long as they like; who came with a run is to be gone before the next.
    let others = if transports.len() > 1 { connections_open(&target) } else { None };
    let outcome = transports.into_iter().try_for_each(|transport| {
        let mut remarks = remarks(&plan.kind, transport);
        if !reports.is_empty() {
            remarks.extend(others.and_then(|others| await_departures(&target, others, &interrupted)));
        }
        if interrupted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let measured = play(plan, &target, transport, &interrupted)?;
        let report = RunReport {
            scenario: plan.kind.label().to_owned(),
            transport: Some(transport.label().to_owned()),
            users: plan.kind.users_max(),
            target: plan.target.clone(),
            version: env!("CARGO_PKG_VERSION"),
            figures: measured.figures,
            server: measured.server,
            interrupted: interrupted.load(Ordering::Relaxed),
            remarks,
        };
        let printed = report::print(out, &report);
        reports.push(report);
        printed.map_err(LoadError::Output)
    });
    // What was measured is kept, also where a later run could not be made or nobody reads what is printed.
    if let Some(mut file) = json {
        // One run is one object; several are a list of them.
        let text = match reports.as_slice() {
            [report] => serde_json::to_vec_pretty(report),
            reports => serde_json::to_vec_pretty(reports),
        };
        let mut text = text.expect("a report is numbers and strings");
        text.push(b'\n');
        io::Write::write_all(&mut file, &text).map_err(LoadError::Output)?;
    }
    outcome.map(|()| reports.iter().map(|report| report.figures.failures.total()).sum())
}

/// Connections that the server says are open, if it says so; the one that asks is among them.
fn connections_open(target: &Target) -> Option<u64> {
    Some(target.probe.sample().ok()?.connections_open?.total())
}

/// Waits until the server has noticed that everyone of the run before is gone: what it still does for them would be in the next
/// one's figures. Says so if it does not in time.
fn await_departures(target: &Target, others: u64, interrupted: &AtomicBool) -> Option<String> {
    let clock = Clock::start();
    loop {
        let left = connections_open(target)?.saturating_sub(others);
        if left == 0 || interrupted.load(Ordering::Relaxed) {
            return None;
        }
        if u128::from(clock.now().micros) > DEPARTURES_PATIENCE.as_micros() {
            return Some(format!(
                "the server still held {left} connections of the run before: their end is in its counts"
            ));
        }
        std::thread::sleep(DEPARTURES_LOOK);
    }
}

/// What a reader ought to know of a run by its plan alone.
fn remarks(kind: &Kind, transport: Transport) -> Vec<String> {
    match kind {
        Kind::Fanout { duration, interval, .. }
            if transport == Transport::ShortPoll && duration <= interval =>
        {
            let why = "no interval of polls lies within the duration: how soon pollers caught up is not told";
            vec![why.to_owned()]
        }
        Kind::Seed { .. }
        | Kind::Ramp { .. }
        | Kind::Fanout { .. }
        | Kind::Idle { .. }
        | Kind::Churn { .. } => Vec::new(),
    }
}

/// A flag that the first interrupt sets; the next one ends the program, but for one right behind the first, which is the same
/// interrupt told twice.
///
/// # Errors
/// What the system says when it lets no signals be heard.
pub fn heed_interrupts() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])?;
    let flag = Arc::clone(&interrupted);
    std::thread::spawn(move || {
        let clock = Clock::start();
        let mut first_micros = None;
        for _ in signals.forever() {
            let now = clock.now().micros;
            flag.store(true, Ordering::Relaxed);
            if now - *first_micros.get_or_insert(now) > SAME_INTERRUPT_MICROS {
                std::process::exit(1);
            }
        }
    });
    Ok(interrupted)
}

/// Plays a plan with one transport.
///
/// # Errors
/// [`LoadError`], when the run could not be made; what goes wrong within it is in its figures.
pub fn play(
    plan: &LoadPlan,
    target: &Target,
    transport: Transport,
    interrupted: &AtomicBool,
) -> Result<Measured, LoadError> {
    let progress = bar(plan, transport);
    let seed = plan.seed.unwrap_or_else(|| Clock::start().now().unix.0);
    let mut run = Run::new(target, plan.kind.connections_max(), seed, interrupted, progress.clone())?;
    let host = target.host.clone();
    let measured = match &plan.kind {
        Kind::Seed { stages, grace, wait } => {
            let (stages, grace, wait) = (stages.clone(), *grace, *wait);
            play_seed(&mut run, SeedPlan { transport, stages, grace, wait, rounds_max: None, host })
        }
        Kind::Ramp { users, within } => {
            let stages = Stages { from: 0, stages: vec![Stage { duration: *within, target: *users }] };
            let (grace, wait) = (GRACE, WAIT);
            play_seed(&mut run, SeedPlan { transport, stages, grace, wait, rounds_max: Some(1), host })
        }
        Kind::Fanout { users, groups, publishes_per_second, warm_up, duration, interval } => {
            let plan = FanoutPlan {
                transport,
                subscribers: *users,
                groups: *groups,
                publishes_per_second: *publishes_per_second,
                warm_up: *warm_up,
                duration: *duration,
                interval: *interval,
                publish_over: Transport::Http,
                host,
            };
            play_fanout(&mut run, plan)
        }
        Kind::Idle { users, groups, connects_per_second, duration } => {
            let plan = VisitsPlan {
                transport,
                visits: *users,
                visits_per_second: *connects_per_second,
                stay: None,
                groups: *groups,
                host,
            };
            let mut visits = Visits::start(&mut run.driver, plan);
            run.go_on(&mut visits)?;
            visits.hold(&mut run.driver, *duration);
            run.go_on(&mut visits)?;
            visits.finish(&mut run.driver);
            run.measured(&mut visits)
        }
        Kind::Churn { groups, connects_per_second, duration, stay } => {
            let visits = (connects_per_second * duration.as_secs_f64()).ceil() as usize;
            let plan = VisitsPlan {
                transport,
                visits,
                visits_per_second: *connects_per_second,
                stay: Some(*stay),
                groups: *groups,
                host,
            };
            let mut visits = Visits::start(&mut run.driver, plan);
            run.go_on(&mut visits)?;
            visits.finish(&mut run.driver);
            run.measured(&mut visits)
        }
    };
    progress.finish_and_clear();
    measured
}

/// Lets everybody come and the warm-up settle, and then measures. One that is interrupted before that tells of the warm-up.
///
/// # Errors
/// [`LoadError::System`] if waiting fails.
pub fn play_fanout(run: &mut Run<'_>, plan: FanoutPlan) -> Result<Measured, LoadError> {
    let mut fanout = Fanout::start(&mut run.driver, plan);
    run.go_on(&mut fanout)?;
    if !run.interrupted.load(Ordering::Relaxed) {
        run.look(&mut fanout)?;
        fanout.measure(&mut run.driver);
        run.go_on(&mut fanout)?;
    }
    fanout.finish(&mut run.driver);
    run.measured(&mut fanout)
}

fn play_seed(run: &mut Run<'_>, plan: SeedPlan) -> Result<Measured, LoadError> {
    let mut seed = Seed::start(&mut run.driver, plan).map_err(LoadError::System)?;
    run.go_on(&mut seed)?;
    seed.finish(&mut run.driver);
    run.measured(&mut seed)
}

/// A bar as long as the run is to take; nothing is drawn where nobody looks.
fn bar(plan: &LoadPlan, transport: Transport) -> ProgressBar {
    let expected = match &plan.kind {
        Kind::Seed { stages, grace, .. } if matches!(transport, Transport::WebSocket | Transport::Stomp) => {
            stages.duration() + *grace
        }
        Kind::Seed { stages, .. } => stages.duration(),
        Kind::Ramp { within, .. } => *within,
        Kind::Fanout { warm_up, duration, .. } => *warm_up + *duration,
        Kind::Idle { users, connects_per_second, duration, .. } => {
            *duration + Duration::from_secs_f64(*users as f64 / connects_per_second)
        }
        Kind::Churn { duration, stay, .. } => *duration + *stay,
    };
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {elapsed} {msg}");
    let bar = ProgressBar::new(expected.as_millis() as u64).with_prefix(transport.label());
    bar.with_style(style.expect("the template names fields that there are"))
}

/// Why a run could not be made.
#[derive(Debug)]
pub enum LoadError {
    /// The host has no address.
    Unknown {
        /// As it was asked for.
        host: String,
        /// What the system said.
        error: io::Error,
    },
    /// Nobody takes connections there.
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The server's process is not there.
    NoProcess {
        /// The number that was given for it.
        pid: u32,
    },
    /// The process may not have as many descriptors as there are to be connections.
    Descriptors {
        /// How many it takes.
        needed: u64,
        /// How many it may have.
        allowed: u64,
    },
    /// The report could not be written.
    Output(io::Error),
    /// The system gave no event loop, timer or socket.
    System(io::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { host, error } => write!(f, "the target {host} has no address: {error}"),
            Self::Unreachable { address, error } => write!(f, "nobody serves at {address}: {error}"),
            Self::NoProcess { pid } => write!(f, "there is no process {pid}"),
            Self::Descriptors { needed, allowed } => {
                write!(f, "the run takes {needed} descriptors, and the limit of this process is {allowed}")
            }
            Self::Output(error) => write!(f, "cannot write the report: {error}"),
            Self::System(error) => write!(f, "the system refused: {error}"),
        }
    }
}

impl std::error::Error for LoadError {}
