//! What `geoloop load` does: plays a plan, transport by transport, shows how far it is, and prints what each run took.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::Clock;
use crate::ids::Transport;
use crate::load::driver::{Driver, Scenario};
use crate::load::error::LoadError;
use crate::load::interrupt::heed_interrupts;
use crate::load::plan::{GRACE, Kind, LoadPlan, Pace, Stage, Stages, WAIT};
use crate::load::report::{self, RunReport};
use crate::load::run::{Measured, Run};
use crate::load::scenario::asking::{Asking, AskingPlan};
use crate::load::scenario::fanout::{Fanout, FanoutPlan};
use crate::load::scenario::seed::{Seed, SeedPlan};
use crate::load::scenario::visits::{Coming, Visits, VisitsPlan};
use crate::load::target::Target;

/// How long the server may take to notice that the users of a run are gone.
const DEPARTURES_PATIENCE: Duration = Duration::from_secs(10);

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
    let all = all.filter(|transport| plan.kind.takes(*transport));
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
            in_flight: plan.kind.in_flight(),
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
        // Each look waits for the server's answer, which comes behind what it has to do for those who went.
        let left = connections_open(target)?.saturating_sub(others);
        if left == 0 || interrupted.load(Ordering::Relaxed) {
            return None;
        }
        if u128::from(clock.now().micros) > DEPARTURES_PATIENCE.as_micros() {
            return Some(format!(
                "the server still held {left} connections of the run before: their end is in its counts"
            ));
        }
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
        | Kind::Churn { .. }
        | Kind::Ask { .. } => Vec::new(),
    }
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
    let setting = Setting { load: plan, target, interrupted, progress: &progress };
    let host = target.host.clone();
    let measured = match &plan.kind {
        Kind::Seed { stages, grace, wait } => {
            let (stages, grace, wait) = (stages.clone(), *grace, *wait);
            play_seed(
                &mut setting.run()?,
                SeedPlan { transport, stages, grace, wait, rounds_max: None, host },
            )
        }
        Kind::Ramp { users, within } => {
            let stages = Stages { from: 0, stages: vec![Stage { duration: *within, target: *users }] };
            let (grace, wait) = (GRACE, WAIT);
            play_seed(
                &mut setting.run()?,
                SeedPlan { transport, stages, grace, wait, rounds_max: Some(1), host },
            )
        }
        Kind::Fanout { users, groups, pace, warm_up, duration, interval } => {
            let publish_over = match pace {
                Pace::PerSecond(_) => Transport::Http,
                // What costs a server least: a frame, and one more subscriber in place of a head to read and one to write.
                Pace::InFlight(_) => Transport::WebSocket,
            };
            let plan = FanoutPlan {
                transport,
                subscribers: *users,
                groups: *groups,
                pace: *pace,
                warm_up: *warm_up,
                duration: *duration,
                interval: *interval,
                publish_over,
                host,
            };
            play_fanout(&mut setting.run()?, plan)
        }
        Kind::Idle { users, groups, connects_per_second, duration } => {
            let plan = VisitsPlan {
                transport,
                coming: Coming::PerSecond { visits: *users, rate: *connects_per_second },
                stay: None,
                groups: *groups,
                host,
            };
            play_visits(&mut setting.run()?, plan, Some(*duration))
        }
        Kind::Churn { groups, pace, duration, stay } => {
            let coming = match *pace {
                Pace::PerSecond(rate) => Coming::PerSecond { visits: plan.kind.visits(), rate },
                Pace::InFlight(visitors) => Coming::Following { visitors, duration: *duration },
            };
            let plan = VisitsPlan { transport, coming, stay: Some(*stay), groups: *groups, host };
            play_visits(&mut setting.run()?, plan, None)
        }
        Kind::Ask { users, groups, in_flight, roam, warm_up, duration } => {
            let (users, groups, in_flight) = (*users, *groups, *in_flight);
            let (roam, warm_up, duration) = (*roam, *warm_up, *duration);
            let mut run = setting.run()?;
            let plan = AskingPlan { users, groups, in_flight, roam, warm_up, duration, host };
            let asking = Asking::start(&mut run.driver, plan);
            play_behind_warm_up(&mut run, asking, Asking::measure, Asking::finish)
        }
    };
    progress.finish_and_clear();
    measured
}

/// What every run of a plan begins with.
struct Setting<'a> {
    load: &'a LoadPlan,
    target: &'a Target,
    interrupted: &'a AtomicBool,
    progress: &'a ProgressBar,
}

impl<'a> Setting<'a> {
    fn run<S: Scenario>(&self) -> Result<Run<'a, S>, LoadError> {
        let connections = self.load.kind.connections_max();
        let seed = self.load.seed.unwrap_or_else(|| Clock::start().now().unix.0);
        Run::new(self.target, connections, seed, self.interrupted, self.progress.clone())
    }
}

/// Lets visitors come, and either go again or be idle for so long.
fn play_visits(
    run: &mut Run<'_, Visits>,
    plan: VisitsPlan,
    idle: Option<Duration>,
) -> Result<Measured, LoadError> {
    let mut visits = Visits::start(&mut run.driver, plan);
    run.go_on(&mut visits)?;
    if let Some(duration) = idle {
        visits.hold(&mut run.driver, duration);
        run.go_on(&mut visits)?;
    }
    visits.finish(&mut run.driver);
    run.measured(&mut visits)
}

/// Lets everybody come and the warm-up settle, and then measures. One that is interrupted before that tells of the warm-up.
///
/// # Errors
/// [`LoadError::System`] if waiting fails.
pub fn play_fanout(run: &mut Run<'_, Fanout>, plan: FanoutPlan) -> Result<Measured, LoadError> {
    let fanout = Fanout::start(&mut run.driver, plan);
    play_behind_warm_up(run, fanout, Fanout::measure, Fanout::finish)
}

fn play_behind_warm_up<S: Scenario>(
    run: &mut Run<'_, S>,
    mut scenario: S,
    measure: fn(&mut S, &mut Driver<S::Wake>),
    finish: fn(&mut S, &mut Driver<S::Wake>),
) -> Result<Measured, LoadError> {
    run.go_on(&mut scenario)?;
    if !run.is_interrupted() {
        run.look(&mut scenario)?;
        measure(&mut scenario, &mut run.driver);
        run.go_on(&mut scenario)?;
    }
    finish(&mut scenario, &mut run.driver);
    run.measured(&mut scenario)
}

fn play_seed(run: &mut Run<'_, Seed>, plan: SeedPlan) -> Result<Measured, LoadError> {
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
        Kind::Fanout { warm_up, duration, .. } | Kind::Ask { warm_up, duration, .. } => *warm_up + *duration,
        Kind::Idle { users, connects_per_second, duration, .. } => {
            *duration + Duration::from_secs_f64(*users as f64 / connects_per_second)
        }
        Kind::Churn { duration, stay, .. } => *duration + *stay,
    };
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {elapsed} {msg}");
    let bar = ProgressBar::new(expected.as_millis() as u64).with_prefix(transport.label());
    bar.with_style(style.expect("the template names fields that there are"))
}
