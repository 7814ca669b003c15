//! The whole course of a study: which points are measured, how long and how often, and how their runs become one value.
//!
//! Repeats are the outermost loop, so that whatever the machine does besides falls on all transports and points alike.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;

use crate::clock::Clock;
use crate::ids::Transport;
use crate::load::error::LoadError;
use crate::load::figures::{Failures, Latencies};
use crate::load::scenario::fanout::FanoutPlan;
use crate::load::target::Target;
use crate::study::figures::{
    ConnectionCosts, Costs, PollingPoint, RatePoint, Setting, Spread, Study, SubscribersPoint, WireBytes,
};
use crate::study::machine;
use crate::study::measure::{Bench, Flow, Idle};
use crate::study::server::{Placement, ServerProcess, WORKERS, allowed_cpus};

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
    wire: WireBytes,
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
    running: Option<&'a Target>,
    progress: &'a ProgressBar,
    runs: BTreeMap<Transport, Runs>,
    polling: BTreeMap<u64, Flow>,
    failures: Failures,
    tool_cpu_share_max: f64,
}

/// Measures; against servers of its own, or against `running`.
///
/// # Errors
/// [`LoadError`], when a server or a run could not be had.
pub fn measure(
    quick: bool,
    transport: Option<Transport>,
    running: Option<&Target>,
    interrupted: &AtomicBool,
    progress: &ProgressBar,
) -> Result<Study, LoadError> {
    let depth = if quick { &QUICK } else { &FULL };
    let clock = Clock::start();
    let began_unix = clock.now().unix.seconds();
    // Before the tool keeps to one.
    let cores = allowed_cpus();
    let placement = if running.is_none() { Placement::of_this_machine() } else { None };
    let transports = transport.map_or_else(|| TRANSPORTS.to_vec(), |one| vec![one]);
    let mut survey = Survey {
        depth,
        bench: Bench { interrupted, seed: began_unix },
        placement,
        running,
        progress,
        runs: transports.iter().map(|transport| (*transport, Runs::default())).collect(),
        polling: BTreeMap::new(),
        failures: Failures::default(),
        tool_cpu_share_max: 0.0,
    };
    survey.go(&transports)?;
    let setting = Setting {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        began_unix,
        seconds: clock.now().micros as f64 / 1e6,
        quick,
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
    fn go(&mut self, transports: &[Transport]) -> Result<(), LoadError> {
        let points = transports.len() * (1 + self.depth.subscribers.len() + self.depth.rates.len());
        self.progress.set_length((self.depth.repeats * points) as u64);
        for transport in transports {
            if self.is_interrupted() {
                return Ok(());
            }
            self.say("bytes on the wire", *transport);
            let server = self.server()?;
            self.count_bytes(&server, *transport)?;
        }
        for repeat in 0..self.depth.repeats {
            if self.is_interrupted() {
                return Ok(());
            }
            for transport in transports {
                if self.is_interrupted() {
                    return Ok(());
                }
                self.say("idle connections", *transport);
                let server = self.server()?;
                self.measure_idle(&server, *transport)?;
            }
            let server = self.server()?;
            for place in 0..self.depth.subscribers.len() {
                for transport in transports {
                    self.say("subscribers", *transport);
                    self.measure_size(&server, *transport, place)?;
                }
            }
            for place in 0..self.depth.rates.len() {
                for transport in transports {
                    self.say("latency", *transport);
                    self.measure_rate(&server, *transport, place)?;
                }
            }
            if repeat == 0 && transports.contains(&Transport::ShortPoll) {
                self.measure_polling(&server)?;
            }
        }
        Ok(())
    }

    fn say(&self, what: &str, transport: Transport) {
        self.progress.set_message(format!("{what}, {}", transport.label()));
        self.progress.inc(1);
    }

    fn is_interrupted(&self) -> bool {
        self.bench.interrupted.load(Ordering::Relaxed)
    }

    /// A server of its own, unless the study is of one that runs.
    fn server(&self) -> Result<Server, LoadError> {
        match self.running {
            Some(target) => Ok(Server::Running(target.clone())),
            None => ServerProcess::start(self.placement.as_ref()).map(Server::Own).map_err(LoadError::System),
        }
    }

    fn take(&mut self, flow: &Flow) {
        self.failures.merge(&flow.figures.failures);
        self.tool_cpu_share_max = self.tool_cpu_share_max.max(flow.tool_cpu_share());
    }

    fn count_bytes(&mut self, server: &Server, transport: Transport) -> Result<(), LoadError> {
        let (wire, flow) = self.bench.wire(server.target(), transport)?;
        if !self.is_interrupted() {
            self.take(&flow);
            self.runs.entry(transport).or_default().wire = wire;
        }
        Ok(())
    }

    fn measure_idle(&mut self, server: &Server, transport: Transport) -> Result<(), LoadError> {
        if self.is_interrupted() {
            return Ok(());
        }
        let Depth { idle_connections, connects_per_second, .. } = *self.depth;
        let idle = self.bench.idle(server.target(), transport, idle_connections, connects_per_second)?;
        if !self.is_interrupted() {
            self.failures.merge(&idle.figures.failures);
            self.tool_cpu_share_max = self.tool_cpu_share_max.max(idle.tool_cpu_share());
            let runs = self.runs.entry(transport).or_default();
            let each = |bytes: u64| bytes as f64 / idle.connections;
            runs.connect_bytes = (each(idle.figures.data_sent), each(idle.figures.data_received));
            runs.idle.push(idle);
        }
        Ok(())
    }

    fn measure_size(&mut self, server: &Server, transport: Transport, place: usize) -> Result<(), LoadError> {
        // A poll's answer costs the same whatever else there are.
        if transport == Transport::ShortPoll || self.is_interrupted() {
            return Ok(());
        }
        let subscribers = self.depth.subscribers[place];
        let (min, max) = SIZE_PUBLISHES_PER_SECOND;
        let plan = FanoutPlan {
            transport,
            subscribers,
            groups: 1,
            publishes_per_second: (SIZE_DELIVERIES_PER_SECOND / subscribers as f64).clamp(min, max),
            warm_up: self.depth.subscribers_window / 5,
            duration: self.depth.subscribers_window,
            interval: Duration::ZERO,
            publish_over: Transport::Http,
            host: server.target().host.clone(),
        };
        let flow = self.bench.flow(server.target(), plan)?;
        if !self.is_interrupted() {
            self.take(&flow);
            let runs = self.runs.entry(transport).or_default();
            runs.sizes.entry(subscribers).or_default().push(flow);
        }
        Ok(())
    }

    fn measure_rate(&mut self, server: &Server, transport: Transport, place: usize) -> Result<(), LoadError> {
        if self.is_interrupted() {
            return Ok(());
        }
        let rate = self.depth.rates[place];
        let interval = Duration::from_secs_f64(RATE_SUBSCRIBERS as f64 / rate);
        let per_group = RATE_SUBSCRIBERS / RATE_GROUPS;
        let window = self.depth.rates_window;
        let published_for_each = if transport == Transport::ShortPoll { 2.0 } else { 1.0 };
        let plan = FanoutPlan {
            transport,
            subscribers: RATE_SUBSCRIBERS,
            groups: RATE_GROUPS,
            // Every subscriber is told of all that its group publishes; a poll brings the newest of two.
            publishes_per_second: rate / per_group as f64 * published_for_each,
            warm_up: window / 5,
            duration: if transport == Transport::ShortPoll {
                window.max(RATE_INTERVALS_MIN * interval)
            } else {
                window
            },
            interval,
            publish_over: Transport::Http,
            host: server.target().host.clone(),
        };
        let flow = self.bench.flow(server.target(), plan)?;
        if !self.is_interrupted() {
            self.take(&flow);
            self.runs.entry(transport).or_default().rates.entry(place).or_default().push(flow);
        }
        Ok(())
    }

    fn measure_polling(&mut self, server: &Server) -> Result<(), LoadError> {
        for interval_ms in self.depth.intervals_ms {
            if self.is_interrupted() {
                break;
            }
            self.progress.set_message(format!("polling every {interval_ms} ms"));
            let interval = Duration::from_millis(*interval_ms);
            let plan = FanoutPlan {
                transport: Transport::ShortPoll,
                subscribers: self.depth.pollers,
                groups: 1,
                publishes_per_second: POLLING_PUBLISHES_PER_SECOND,
                // Each has polled once.
                warm_up: interval.max(Duration::from_millis(300)),
                duration: (self.depth.polling_intervals * interval).max(self.depth.polling_window_min),
                interval,
                publish_over: Transport::Http,
                host: server.target().host.clone(),
            };
            let flow = self.bench.flow(server.target(), plan)?;
            if !self.is_interrupted() {
                self.take(&flow);
                self.polling.insert(*interval_ms, flow);
            }
        }
        Ok(())
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
        for (failure, count, examples) in self.failures.iter() {
            let (what, examples) = (failure.describe(), examples.join("; "));
            warnings.push(format!("{count} failures ({what}), the first: {examples}"));
        }
        warnings
    }

    fn into_study(self, setting: Setting, transports: &[Transport]) -> Study {
        let depth = self.depth;
        let mut runs = self.runs;
        let costs = transports.iter().map(|transport| {
            let runs = runs.remove(transport).unwrap_or_default();
            Costs {
                transport: transport.label().to_owned(),
                wire: runs.wire,
                connection: connection_costs(&runs),
                subscribers: runs.sizes.iter().map(|(size, flows)| size_point(*size, flows)).collect(),
                rates: runs
                    .rates
                    .iter()
                    .map(|(place, flows)| rate_point(*transport, depth.rates[*place], flows))
                    .collect(),
            }
        });
        let transports = costs.collect();
        let polling = self.polling.iter().map(|(interval_ms, flow)| polling_point(*interval_ms, depth, flow));
        Study { setting, transports, polling: polling.collect() }
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

/// A server to measure.
enum Server {
    /// The study's, ended with this value.
    Own(ServerProcess),
    /// Somebody's.
    Running(Target),
}

impl Server {
    const fn target(&self) -> &Target {
        match self {
            Self::Own(server) => &server.target,
            Self::Running(target) => target,
        }
    }
}
