//! The whole course of a study: which points are measured, how long and how often, and how their runs become one value.
//!
//! Repeats are the outermost loop, so that whatever the machine does besides falls on all transports and points alike.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;

use crate::clock::Clock;
use crate::ids::Transport;
use crate::load::figures::{Failures, Latencies};
use crate::load::plan::Pace;
use crate::load::scenario::fanout::FanoutPlan;
use crate::load::target::Target;
use crate::study::figures::{
    ConnectionCosts, Costs, FailedRun, PollingPoint, RatePoint, Setting, Spread, Study, SubscribersPoint,
    WireBytes,
};
use crate::study::machine::{self, Placement, allowed_cpus};
use crate::study::measure::{Bench, Flow, Idle, RunError, told};
use crate::study::server::{ServerProcess, WORKERS};
use crate::study::{StudyError, StudyPlan};

/// What is measured, how long and how often.
#[derive(Clone, Copy, Debug)]
struct Depth {
    repeats: usize,
    idle_connections: usize,
    connects_per_second: f64,
    /// Sizes of one group.
    subscribers: &'static [usize],
    /// How long each is published to.
    subscribers_window: Duration,
    /// Updates a second to all subscribers together.
    rates: &'static [f64],
    rates_window: Duration,
    /// Milliseconds between polls.
    intervals_ms: &'static [u64],
    /// How long polls are watched, in intervals and at least.
    polling_intervals: u32,
    polling_window_min: Duration,
    pollers: usize,
}

const QUICK: Depth = Depth {
    repeats: 3,
    idle_connections: 1000,
    connects_per_second: 2500.0,
    subscribers: &[1, 10, 100, 1000],
    subscribers_window: Duration::from_millis(500),
    rates: &[100.0, 1000.0, 5000.0, 20_000.0],
    rates_window: Duration::from_millis(600),
    intervals_ms: &[100, 300, 1000, 3000],
    polling_intervals: 2,
    polling_window_min: Duration::from_secs(1),
    pollers: 200,
};

const FULL: Depth = Depth {
    repeats: 5,
    idle_connections: 10_000,
    connects_per_second: 4000.0,
    subscribers: &[1, 3, 10, 30, 100, 300, 1000, 3000],
    subscribers_window: Duration::from_millis(1200),
    rates: &[100.0, 300.0, 1000.0, 3000.0, 10_000.0, 20_000.0, 40_000.0],
    rates_window: Duration::from_millis(1800),
    intervals_ms: &[100, 300, 1000, 3000, 10_000],
    polling_intervals: 3,
    polling_window_min: Duration::from_secs(3),
    pollers: 500,
};

/// Subscribers of the runs at different rates, and
const RATE_SUBSCRIBERS: usize = 100;
/// groups that they are spread over.
const RATE_GROUPS: usize = 10;

/// Updates a second to all subscribers together while groups of different sizes are measured: some third of a core, for
/// an idle core's work is mostly waking up. Within
const SIZE_DELIVERIES_PER_SECOND: f64 = 40_000.0;
/// these bounds of publishes a second.
const SIZE_PUBLISHES_PER_SECOND: (f64, f64) = (10.0, 4000.0);

/// Intervals for which pollers are watched at least: until the first publish of its group each polls for nothing, a quarter
/// of an interval in the mean, and fewer intervals would pass that off as polls that the server did not keep up with.
const RATE_INTERVALS_MIN: u32 = 8;

/// Publishes a second that pollers poll for.
const POLLING_PUBLISHES_PER_SECOND: f64 = 5.0;

/// The five, in the report's order.
const TRANSPORTS: [Transport; 5] =
    [Transport::ShortPoll, Transport::LongPoll, Transport::Sse, Transport::WebSocket, Transport::Stomp];

/// Runs of one transport.
#[derive(Default)]
struct Runs {
    wire: Option<WireBytes>,
    connect_bytes: (f64, f64),
    idle: Vec<Idle>,
    sizes: BTreeMap<usize, Vec<Flow>>,
    /// By place in the list of rates.
    rates: BTreeMap<usize, Vec<Flow>>,
}

/// A study under way.
struct Survey<'a> {
    depth: &'static Depth,
    bench: Bench<'a>,
    placement: Option<Placement>,
    /// Somebody's server; if there is none the study starts its own.
    running: Option<&'a Target>,
    /// The study's server, while it has one.
    server: Option<ServerProcess>,
    progress: &'a ProgressBar,
    /// Of those transports alone of which something was measured.
    runs: BTreeMap<Transport, Runs>,
    polling: BTreeMap<u64, Flow>,
    failed: Vec<FailedRun>,
    failures: Failures,
    tool_cpu_share_max: f64,
}

/// Measures; against servers of its own, or against `running`. A run that fails is told, and the others go on.
///
/// # Errors
/// [`StudyError::Nothing`], when all runs failed.
pub(super) fn measure(
    plan: &StudyPlan,
    running: Option<&Target>,
    interrupted: &AtomicBool,
    progress: &ProgressBar,
) -> Result<Study, StudyError> {
    let depth = if plan.quick { &QUICK } else { &FULL };
    let clock = Clock::start();
    let began_unix = clock.now().unix.seconds();
    // Before the tool keeps to one.
    let cores = allowed_cpus();
    let placement = if running.is_none() { Placement::of_this_machine() } else { None };
    let transports = plan.transport.map_or_else(|| TRANSPORTS.to_vec(), |one| vec![one]);
    let mut survey = Survey {
        depth,
        bench: Bench { interrupted, seed: began_unix },
        placement,
        running,
        server: None,
        progress,
        runs: BTreeMap::new(),
        polling: BTreeMap::new(),
        failed: Vec::new(),
        failures: Failures::default(),
        tool_cpu_share_max: 0.0,
    };
    survey.go(&transports);
    if survey.runs.is_empty()
        && let Some(first) = survey.failed.first()
    {
        return Err(StudyError::Nothing { runs: survey.failed.len(), first: first.clone() });
    }
    let setting = Setting {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        began_unix,
        seconds: clock.now().micros as f64 / 1e6,
        quick: plan.quick,
        processor: machine::processor(),
        cores,
        memory_bytes: machine::memory_bytes(),
        kernel: machine::kernel(),
        pinned: placement.is_some(),
        workers: if running.is_none() { WORKERS } else { 0 },
        repeats: depth.repeats,
        tool_cpu_share_max: survey.tool_cpu_share_max,
        warnings: survey.warnings(),
    };
    Ok(survey.into_study(setting, &transports))
}

impl Survey<'_> {
    fn go(&mut self, transports: &[Transport]) {
        self.progress.set_length(self.runs_in_all(transports) as u64);
        for transport in transports {
            self.server = None;
            self.count_bytes(*transport);
        }
        for repeat in 0..self.depth.repeats {
            for transport in transports {
                // What one leaves behind would be taken for the next one's memory.
                self.server = None;
                self.measure_idle(*transport);
            }
            self.server = None;
            for subscribers in self.depth.subscribers {
                // A poll's answer costs the same whatever else there are.
                for transport in transports.iter().filter(|transport| **transport != Transport::ShortPoll) {
                    self.measure_size(*transport, *subscribers);
                }
            }
            for place in 0..self.depth.rates.len() {
                for transport in transports {
                    self.measure_rate(*transport, place);
                }
            }
            if repeat == 0 && transports.contains(&Transport::ShortPoll) {
                for interval_ms in self.depth.intervals_ms {
                    self.measure_polling(*interval_ms);
                }
            }
        }
    }

    fn runs_in_all(&self, transports: &[Transport]) -> usize {
        let Depth { repeats, subscribers, rates, intervals_ms, .. } = self.depth;
        let polls = usize::from(transports.contains(&Transport::ShortPoll));
        let all = transports.len();
        all + repeats * (all * (1 + rates.len()) + (all - polls) * subscribers.len())
            + polls * intervals_ms.len()
    }

    fn is_interrupted(&self) -> bool {
        self.bench.interrupted.load(Ordering::Relaxed)
    }

    /// What a run gave; `None` if the study was interrupted before its end, or if it failed, which is told. Whatever made it
    /// fail, the next one gets a server that had no part in it.
    fn attempt<T>(
        &mut self,
        transport: Transport,
        what: &str,
        run: impl FnOnce(&mut Bench<'_>, &Target) -> Result<T, RunError>,
    ) -> Option<T> {
        if self.is_interrupted() {
            return None;
        }
        self.progress.set_message(format!("{}, {what}", transport.label()));
        self.progress.inc(1);
        let outcome = self.target().and_then(|target| run(&mut self.bench, &target));
        let ended = self.server.as_mut().and_then(ServerProcess::ended);
        let outcome = ended.map_or(outcome, |status| Err(RunError::ServerEnded(status)));
        if self.is_interrupted() {
            return None;
        }
        let error = match outcome {
            Ok(measured) => return Some(measured),
            Err(error) => error,
        };
        self.server = None;
        let (transport, what) = (transport.label().to_owned(), what.to_owned());
        let failed = FailedRun { transport, what, reason: error.to_string() };
        // That nobody reads it does not end the study.
        self.progress.suspend(|| drop(writeln!(io::stderr(), "geoloop: {failed}")));
        self.failed.push(failed);
        None
    }

    /// The server to measure; it is started if the study has none.
    fn target(&mut self) -> Result<Target, RunError> {
        if let Some(running) = self.running {
            return Ok(running.clone());
        }
        if self.server.is_none() {
            let started = ServerProcess::start(self.placement.as_ref()).map_err(RunError::NoServer)?;
            self.server = Some(started);
        }
        Ok(self.server.as_ref().expect("it was started").target.clone())
    }

    fn take(&mut self, failures: &Failures, tool_cpu_share: f64) {
        self.failures.merge(failures);
        self.tool_cpu_share_max = self.tool_cpu_share_max.max(tool_cpu_share);
    }

    /// The same of a run of updates.
    fn take_flow(&mut self, flow: &Flow) {
        self.take(&flow.figures.failures, flow.tool_cpu_share());
    }

    fn runs(&mut self, transport: Transport) -> &mut Runs {
        self.runs.entry(transport).or_default()
    }

    fn count_bytes(&mut self, transport: Transport) {
        let counted =
            self.attempt(transport, "bytes on the wire", |bench, target| bench.wire(target, transport));
        let Some((wire, flow)) = counted else { return };
        self.take_flow(&flow);
        self.runs(transport).wire = Some(wire);
    }

    fn measure_idle(&mut self, transport: Transport) {
        let Depth { idle_connections, connects_per_second, .. } = *self.depth;
        let idle = self.attempt(transport, "idle connections", |bench, target| {
            bench.idle(target, transport, idle_connections, connects_per_second)
        });
        let Some(idle) = idle else { return };
        self.take(&idle.figures.failures, idle.tool_cpu_share());
        let runs = self.runs(transport);
        let each = |bytes: u64| bytes as f64 / idle.connections;
        runs.connect_bytes = (each(idle.figures.data_sent), each(idle.figures.data_received));
        runs.idle.push(idle);
    }

    fn measure_size(&mut self, transport: Transport, subscribers: usize) {
        let (min, max) = SIZE_PUBLISHES_PER_SECOND;
        let window = self.depth.subscribers_window;
        let flow = self.attempt(transport, &format!("a group of {subscribers}"), |bench, target| {
            let plan = FanoutPlan {
                transport,
                subscribers,
                groups: 1,
                pace: Pace::PerSecond((SIZE_DELIVERIES_PER_SECOND / subscribers as f64).clamp(min, max)),
                warm_up: window / 5,
                duration: window,
                interval: Duration::ZERO,
                publish_over: Transport::Http,
                host: target.host.clone(),
            };
            bench.flow(target, plan)
        });
        let Some(flow) = flow else { return };
        self.take_flow(&flow);
        self.runs(transport).sizes.entry(subscribers).or_default().push(flow);
    }

    fn measure_rate(&mut self, transport: Transport, place: usize) {
        let (rate, window) = (self.depth.rates[place], self.depth.rates_window);
        let interval = Duration::from_secs_f64(RATE_SUBSCRIBERS as f64 / rate);
        let per_group = (RATE_SUBSCRIBERS / RATE_GROUPS) as f64;
        // Every subscriber is told of all that its group publishes; a poll brings the newest of two.
        let (published_for_each, duration) = match transport {
            Transport::ShortPoll => (2.0, window.max(RATE_INTERVALS_MIN * interval)),
            _ => (1.0, window),
        };
        let flow = self.attempt(transport, &format!("{rate} updates a second"), |bench, target| {
            let plan = FanoutPlan {
                transport,
                subscribers: RATE_SUBSCRIBERS,
                groups: RATE_GROUPS,
                pace: Pace::PerSecond(rate / per_group * published_for_each),
                warm_up: window / 5,
                duration,
                interval,
                publish_over: Transport::Http,
                host: target.host.clone(),
            };
            bench.flow(target, plan)
        });
        let Some(flow) = flow else { return };
        self.take_flow(&flow);
        self.runs(transport).rates.entry(place).or_default().push(flow);
    }

    fn measure_polling(&mut self, interval_ms: u64) {
        let depth = self.depth;
        let transport = Transport::ShortPoll;
        let interval = Duration::from_millis(interval_ms);
        let flow = self.attempt(transport, &format!("polls every {interval_ms} ms"), |bench, target| {
            let plan = FanoutPlan {
                transport,
                subscribers: depth.pollers,
                groups: 1,
                pace: Pace::PerSecond(POLLING_PUBLISHES_PER_SECOND),
                // Each has polled once.
                warm_up: interval.max(Duration::from_millis(300)),
                duration: (depth.polling_intervals * interval).max(depth.polling_window_min),
                interval,
                publish_over: Transport::Http,
                host: target.host.clone(),
            };
            bench.flow(target, plan)
        });
        let Some(flow) = flow else { return };
        self.take_flow(&flow);
        // Whatever else failed, something of short polling was measured.
        self.runs(transport);
        self.polling.insert(interval_ms, flow);
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.is_interrupted() {
            warnings.push("The study was interrupted: what is missing was not measured.".to_owned());
        }
        if self.running.is_some() {
            warnings.push(
                "The server ran already: its memory holds what it did before, and it was not kept from the tool's \
                 processor."
                    .to_owned(),
            );
        } else if self.placement.is_none() {
            warnings.push("Server and tool shared a processor: times are of both.".to_owned());
        }
        warnings.extend(told(&self.failures));
        warnings
    }

    fn into_study(self, setting: Setting, transports: &[Transport]) -> Study {
        let depth = self.depth;
        let mut runs = self.runs;
        let measured = transports.iter().filter_map(|transport| Some((*transport, runs.remove(transport)?)));
        let costs = measured.map(|(transport, runs)| Costs {
            transport: transport.label().to_owned(),
            wire: runs.wire.unwrap_or_default(),
            connection: connection_costs(&runs),
            subscribers: runs.sizes.iter().map(|(size, flows)| size_point(*size, flows)).collect(),
            rates: runs
                .rates
                .iter()
                .map(|(place, flows)| rate_point(transport, depth.rates[*place], flows))
                .collect(),
        });
        let transports = costs.collect();
        let polling = self.polling.iter().map(|(interval_ms, flow)| polling_point(*interval_ms, depth, flow));
        Study { setting, transports, polling: polling.collect(), failed: self.failed }
    }
}

fn connection_costs(runs: &Runs) -> ConnectionCosts {
    let spread = |of: &dyn Fn(&Idle) -> f64| Spread::of(runs.idle.iter().map(of));
    // Both ends are on this machine, and cost the kernel about the same.
    let kernel = Spread::of(runs.idle.iter().filter_map(|idle| idle.kernel_bytes)).median / 2.0;
    ConnectionCosts {
        connections: runs.idle.first().map_or(0, |idle| idle.connections as usize),
        resident_bytes: Spread::of(runs.idle.iter().filter_map(|idle| idle.resident_bytes)),
        kernel_bytes: kernel.max(0.0),
        connect_cpu_us: spread(&|idle| idle.connect_cpu_us),
        connect_syscalls: Spread::of(runs.idle.iter().filter_map(|idle| idle.connect_syscalls)),
        connect_us: spread(&|idle| idle.figures.opening.percentile(50.0) as f64),
        connect_up_bytes: runs.connect_bytes.0,
        connect_down_bytes: runs.connect_bytes.1,
        first_byte_us: spread(&|idle| idle.figures.first_byte.percentile(50.0) as f64),
    }
}

fn size_point(subscribers: usize, flows: &[Flow]) -> SubscribersPoint {
    let each = |of: &dyn Fn(&Flow) -> Option<f64>| {
        let some = flows.iter().filter(|flow| flow.figures.published > 0);
        Spread::of(some.filter_map(|flow| Some(of(flow)? / flow.figures.published as f64)))
    };
    SubscribersPoint {
        subscribers,
        publishes_per_second: flows
            .first()
            .map_or(0.0, |flow| flow.figures.published as f64 / flow.figures.seconds.max(1e-9)),
        cpu_us_per_publish: each(&|flow| Some(flow.cpu_us)),
        syscalls_per_publish: each(&|flow| flow.syscalls),
    }
}

fn rate_point(transport: Transport, intended: f64, flows: &[Flow]) -> RatePoint {
    let delivered = |flow: &Flow| flow.figures.delivered as f64;
    let spread = |of: &dyn Fn(&Flow) -> f64| Spread::of(flows.iter().map(of));
    // Where nothing was delivered nothing costs anything.
    let each = |of: &dyn Fn(&Flow) -> Option<f64>| {
        let some = flows.iter().filter(|flow| flow.figures.delivered > 0);
        Spread::of(some.filter_map(|flow| Some(of(flow)? / delivered(flow))))
    };
    let a_second =
        |of: &dyn Fn(&Flow) -> f64| spread(&|flow| of(flow) / flow.figures.seconds.max(1e-9)).median;
    let (mut latencies, mut answers) = (Latencies::default(), Latencies::default());
    for flow in flows {
        latencies.merge(flow.latencies(transport));
        answers.merge(&flow.figures.poll);
    }
    RatePoint {
        intended_per_second: intended,
        delivered_per_second: a_second(&delivered),
        publishes_per_second: a_second(&|flow| flow.figures.published as f64),
        subscribers: RATE_SUBSCRIBERS,
        groups: RATE_GROUPS,
        latency: latencies.summary(),
        answer: answers.summary(),
        p50_us: spread(&|flow| flow.latencies(transport).percentile(50.0) as f64),
        p99_us: spread(&|flow| flow.latencies(transport).percentile(99.0) as f64),
        server_staleness_us: spread(&|flow| flow.staleness_us).median,
        cpu_us_per_update: each(&|flow| Some(flow.cpu_us)),
        syscalls_per_update: each(&|flow| flow.syscalls),
        server_cpu_share: spread(&Flow::server_cpu_share).median,
        tool_cpu_share: spread(&Flow::tool_cpu_share).median,
        failures: flows.iter().map(|flow| flow.figures.failures.total()).sum(),
    }
}

fn polling_point(interval_ms: u64, depth: &Depth, flow: &Flow) -> PollingPoint {
    let figures = &flow.figures;
    let user_seconds = depth.pollers as f64 * figures.wall_seconds.max(1e-9);
    let bytes = figures.data_sent + figures.data_received - figures.publish_sent - figures.publish_received;
    let polls = figures.poll.count().max(1) as f64;
    let updates = (figures.delivered + figures.unseen).max(1) as f64;
    PollingPoint {
        interval_ms,
        users: depth.pollers,
        publishes_per_second: POLLING_PUBLISHES_PER_SECOND,
        staleness: figures.caught_up.summary(),
        bytes_per_user_second: bytes as f64 / user_seconds,
        cpu_us_per_user_second: flow.cpu_us / user_seconds,
        unseen_share: figures.unseen as f64 / updates,
        unchanged_share: figures.unchanged as f64 / polls,
        answer_p50_us: figures.poll.percentile(50.0),
    }
}
