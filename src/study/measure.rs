//! The study's measurements, one function each: set a server up, let the load tool play, and take the difference.
//!
//! Each returns what one run gave; `survey` repeats and interleaves them.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::clock::Clock;
use crate::ids::{GroupId, Seq, Transport};
use crate::load::driver::Scenario;
use crate::load::error::LoadError;
use crate::load::figures::{Failures, Latencies, RunFigures};
use crate::load::plan::Pace;
use crate::load::play::play_fanout;
use crate::load::process::kernel_socket_bytes;
use crate::load::run::{Measured, Run};
use crate::load::scenario::PARK_MS;
use crate::load::scenario::ask::Ask;
use crate::load::scenario::fanout::FanoutPlan;
use crate::load::scenario::visits::{Coming, Visits, VisitsPlan};
use crate::load::server_side::ServerSide;
use crate::load::target::Target;
use crate::study::figures::WireBytes;
use crate::wire::http::response::{HttpDate, Status, begin};
use crate::wire::sse;
use crate::wire::stomp::encode::{MessageHead, encode_message_tail};
use crate::wire::websocket::frame::{Opcode, encode_frame};

/// Connections that come and go before any is counted, so that what is made once is not counted.
const WARM_UP_VISITS: usize = 200;

/// Updates of the exchange that bytes are counted in.
const WIRE_UPDATES: u64 = 20;

/// The content type of updates.
const JSON: &str = "application/json";

/// How measurements are made.
#[derive(Debug)]
pub struct Bench<'a> {
    /// Set when the study is to end early.
    pub interrupted: &'a AtomicBool,
    /// What chance begins with; another one for each run, so that none meets what the one before left on the server.
    pub seed: u64,
}

/// Why a run is in none of the figures.
#[derive(Debug)]
pub enum RunError {
    /// It could not be made.
    Load(LoadError),
    /// No server came to listen for it.
    NoServer(io::Error),
    /// Its server ended.
    ServerEnded(ExitStatus),
    /// Its server was there before it and not behind it: what it used is not known.
    ServerGone,
    /// It was made, and not one connection was opened or update delivered: what went wrong, as often as it did.
    Nothing(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::NoServer(error) => write!(f, "the study's server did not start: {error}"),
            Self::ServerEnded(status) => write!(f, "the study's server ended with {status}"),
            Self::ServerGone => {
                f.write_str("the server could be looked at before the run, and not behind it")
            }
            Self::Nothing(failures) if failures.is_empty() => f.write_str("nothing came of it"),
            Self::Nothing(failures) => write!(f, "nothing came of it: {failures}"),
        }
    }
}

impl std::error::Error for RunError {}

impl From<LoadError> for RunError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

/// Each kind of failure in words: how often, and the first ones.
pub(super) fn told(failures: &Failures) -> impl Iterator<Item = String> {
    failures.iter().map(|(failure, count, examples)| {
        format!("{count} failures ({}), the first: {}", failure.describe(), examples.join("; "))
    })
}

/// A run that nothing came of says nothing about what it was to measure.
fn come_of(figures: &RunFigures, count: u64) -> Result<(), RunError> {
    if count > 0 {
        return Ok(());
    }
    Err(RunError::Nothing(told(&figures.failures).collect::<Vec<_>>().join("; ")))
}

/// The server's side of a run, which says nothing if the server has gone since it began.
fn still_there(server: Option<ServerSide>) -> Result<ServerSide, RunError> {
    let server = server.unwrap_or_default();
    let has_gone = server.resident_bytes_before.is_some() && server.resident_bytes_after.is_none();
    if has_gone { Err(RunError::ServerGone) } else { Ok(server) }
}

/// What idle connections cost, by one run.
#[derive(Clone, Debug, Default)]
pub struct Idle {
    /// Connections.
    pub connections: f64,
    /// The server's resident bytes for each, if it can be told.
    pub resident_bytes: Option<f64>,
    /// The kernel's bytes for each at both ends, if it can be told.
    pub kernel_bytes: Option<f64>,
    /// CPU microseconds of the server for each connect.
    pub connect_cpu_us: f64,
    /// System calls of the server for each connect, if it tells them.
    pub connect_syscalls: Option<f64>,
    /// The clients' side.
    pub figures: RunFigures,
}

/// What updates cost, by one run.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// The clients' side.
    pub figures: RunFigures,
    /// CPU microseconds of the server.
    pub cpu_us: f64,
    /// System calls of the server, if it tells them.
    pub syscalls: Option<f64>,
    /// The server's own mean from numbering to the end of the write, microseconds.
    pub staleness_us: f64,
}

/// The share of one core that the tool used.
fn tool_cpu_share(figures: &RunFigures) -> f64 {
    figures.tool_cpu_seconds / figures.wall_seconds.max(1e-9)
}

impl Idle {
    /// The share of one core that the tool used.
    #[must_use]
    pub fn tool_cpu_share(&self) -> f64 {
        tool_cpu_share(&self.figures)
    }
}

impl Flow {
    /// The share of one core that the tool used.
    #[must_use]
    pub fn tool_cpu_share(&self) -> f64 {
        tool_cpu_share(&self.figures)
    }

    /// The share of one core that the server used.
    #[must_use]
    pub fn server_cpu_share(&self) -> f64 {
        self.cpu_us / 1e6 / self.figures.wall_seconds.max(1e-9)
    }

    /// From the intended publish to the read; of pollers to the moment that they had the update or a newer one.
    #[must_use]
    pub const fn latencies(&self, transport: Transport) -> &Latencies {
        match transport {
            Transport::ShortPoll => &self.figures.caught_up,
            _ => &self.figures.delivery,
        }
    }
}

impl Bench<'_> {
    fn run<'a, S: Scenario>(
        &'a mut self,
        target: &'a Target,
        connections: usize,
    ) -> Result<Run<'a, S>, LoadError> {
        self.seed += 1;
        Run::new(target, connections, self.seed, self.interrupted, ProgressBar::hidden())
    }

    /// Opens connections at a rate and lets them be.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn idle(
        &mut self,
        target: &Target,
        transport: Transport,
        connections: usize,
        connects_per_second: f64,
    ) -> Result<Idle, RunError> {
        let visits = |visits, stay| VisitsPlan {
            transport,
            coming: Coming::PerSecond { visits, rate: connects_per_second },
            stay,
            groups: 10,
            host: target.host.clone(),
        };
        let mut run = self.run(target, connections)?;
        let stay = Some(Duration::from_millis(100));
        let mut warm_up = Visits::start(&mut run.driver, visits(WARM_UP_VISITS, stay));
        run.go_on(&mut warm_up)?;
        drop(run);
        let mut run = self.run(target, connections)?;
        let kernel_before = kernel_socket_bytes();
        let mut idle = Visits::start(&mut run.driver, visits(connections, None));
        run.go_on(&mut idle)?;
        // A poll is parked, and what a connect left to do is done.
        idle.hold(&mut run.driver, Duration::from_millis(300));
        run.go_on(&mut idle)?;
        idle.finish(&mut run.driver);
        let kernel_after = kernel_socket_bytes();
        let Measured { figures, server } = run.measured(&mut idle)?;
        come_of(&figures, figures.opened)?;
        let server = still_there(server)?;
        let each = |bytes: f64| bytes / connections as f64;
        let grown = |before: u64, after: u64| each(after as f64 - before as f64);
        Ok(Idle {
            connections: connections as f64,
            resident_bytes: server
                .resident_bytes_before
                .zip(server.resident_bytes_after)
                .map(|(before, after)| grown(before, after)),
            kernel_bytes: kernel_before.zip(kernel_after).map(|(before, after)| grown(before, after)),
            connect_cpu_us: each(server.cpu_seconds.unwrap_or(0.0) * 1e6),
            connect_syscalls: server.counts.map(|counts| each(counts.syscalls.total() as f64)),
            figures,
        })
    }

    /// Publishes at a rate to subscribers; a warm-up of a fifth of the time is left out.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn flow(&mut self, target: &Target, plan: FanoutPlan) -> Result<Flow, RunError> {
        let mut run = self.run(target, plan.subscribers + plan.groups)?;
        let transport = plan.transport;
        let Measured { figures, server } = play_fanout(&mut run, plan)?;
        come_of(&figures, figures.delivered)?;
        let server = still_there(server)?;
        let counts = server.counts;
        let staleness = counts.as_ref().and_then(|counts| counts.staleness.get(transport.label()));
        Ok(Flow {
            figures,
            cpu_us: server.cpu_seconds.unwrap_or(0.0) * 1e6,
            staleness_us: staleness.map_or(0.0, |it| it.mean_us()),
            syscalls: counts.map(|counts| counts.syscalls.total() as f64),
        })
    }

    /// Counts the bytes of an exchange: one subscriber and one publisher of the same transport, and some updates, each of
    /// which has come before the next is published.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn wire(&mut self, target: &Target, transport: Transport) -> Result<(WireBytes, Flow), RunError> {
        let plan = FanoutPlan {
            transport,
            subscribers: 1,
            groups: 1,
            pace: Pace::PerSecond(100.0),
            // A poller has polled before, whatever else the machine does: its first poll asks for nothing newer.
            warm_up: Duration::from_millis(200),
            duration: Duration::from_millis(10 * WIRE_UPDATES + 5),
            // Each poll brings the newest of five.
            interval: Duration::from_millis(50),
            publish_over: transport,
            host: target.host.clone(),
        };
        let flow = self.flow(target, plan)?;
        let figures = &flow.figures;
        let (delivered, published) = (figures.delivered.max(1) as f64, figures.published.max(1) as f64);
        // What a publisher over WebSocket is sent is an update, as every subscriber's.
        let (received, publish_down) = match transport {
            Transport::WebSocket => (figures.data_received, 0.0),
            _ => (
                figures.data_received - figures.publish_received,
                figures.publish_received as f64 / published,
            ),
        };
        let down_payload = figures.payload_received as f64 / delivered;
        let payload = vec![b' '; down_payload.round() as usize];
        let group = GroupId::new(100_000).expect("six digits are a group");
        let seq = Seq::at_unix_ms(Clock::start().now().unix.0);
        let computed = computed(transport, group, seq, &payload, &target.host);
        let wire = WireBytes {
            down_payload,
            down_overhead: received as f64 / delivered - down_payload,
            up: (figures.data_sent - figures.publish_sent) as f64 / delivered,
            down_computed: down_payload + (computed.down - payload.len()) as f64,
            up_computed: computed.up as f64,
            publish_up: figures.publish_sent as f64 / published,
            publish_down,
        };
        Ok((wire, flow))
    }
}

/// Bytes for one update delivered to one subscriber, as the codecs make them.
struct Computed {
    /// From the server, the update included.
    down: usize,
    /// What the client asks for it with.
    up: usize,
}

/// What delivers this update of a group to a client that names the server `host` and has seen the one before.
fn computed(transport: Transport, group: GroupId, seq: Seq, update: &[u8], host: &str) -> Computed {
    let (mut down, mut up) = (Vec::new(), Vec::new());
    let date = HttpDate::from_unix_seconds(0);
    match transport {
        Transport::Http | Transport::ShortPoll => {
            let head = begin(&mut down, Status::Ok, &date).etag(seq);
            head.field("Cache-Control", b"no-cache").body(JSON, update);
            Ask::Current(Some(seq)).encode(&mut up, group, host);
        }
        Transport::LongPoll => {
            let head = begin(&mut down, Status::Ok, &date).field_number("Location-Seq", seq.number());
            head.field("Cache-Control", b"no-store").body(JSON, update);
            Ask::LongSince(seq, PARK_MS).encode(&mut up, group, host);
        }
        Transport::Sse => sse::encode_event(&mut down, Some(seq), update),
        Transport::WebSocket => encode_frame(&mut down, Opcode::Text, update),
        Transport::Stomp => {
            let mut frame = Vec::new();
            MessageHead { subscription: Some(b"0"), ordinal: 0, seq, ack: false }.encode(&mut frame);
            encode_message_tail(&mut frame, group, update);
            encode_frame(&mut down, Opcode::Text, &frame);
        }
    }
    Computed { down: down.len(), up: up.len() }
}
