//! What a study measured, as plain values: the whole of report.json, and all that the page is made from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::load::figures::LatencySummary;

/// The middle of repeated measurements, and how far they lay apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many measurements.
    pub runs: usize,
}

impl Spread {
    /// The spread of these measurements; zeros if there are none.
    #[must_use]
    pub fn of(measured: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = measured.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let runs = sorted.len();
        let (Some(min), Some(max)) = (sorted.first(), sorted.last()) else { return Self::default() };
        let median = f64::midpoint(sorted[(runs - 1) / 2], sorted[runs / 2]);
        Self { median, min: *min, max: *max, runs }
    }
}

/// Everything that one study measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// Where and how it was measured.
    pub setting: Setting,
    /// Each transport's costs, in the order short poll, long poll, SSE, WebSocket, STOMP.
    pub transports: Vec<Costs>,
    /// Short polling at several intervals.
    pub polling: Vec<PollingPoint>,
    /// Runs that are in none of the figures.
    #[serde(default)]
    pub failed: Vec<FailedRun>,
}

/// A run that could not be made, or that nothing came of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRun {
    /// The transport's label.
    pub transport: String,
    /// What was to be measured.
    pub what: String,
    /// Why it was not.
    pub reason: String,
}

impl fmt::Display for FailedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a run of {} failed ({}): {}", self.transport, self.what, self.reason)
    }
}

/// Where and how a study was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The server's version.
    pub version: String,
    /// When it began, Unix seconds.
    pub began_unix: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether it was the short form.
    pub quick: bool,
    /// The processor's name.
    pub processor: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// The machine's memory in bytes.
    pub memory_bytes: u64,
    /// The kernel's name and release.
    pub kernel: String,
    /// Whether server and tool had a core each to themselves.
    pub pinned: bool,
    /// Reactors of the server; 0 if it is not known, for somebody else started it.
    pub workers: usize,
    /// Times each measurement was repeated, interleaved with the others.
    pub repeats: usize,
    /// The largest share of its core that the tool itself used in any measured window, 0 to 1.
    pub tool_cpu_share_max: f64,
    /// What the reader ought to know before trusting the figures: when the tool was the limit, what failed.
    pub warnings: Vec<String>,
}

/// What one transport costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Its label: `short_poll`, `long_poll`, `sse`, `websocket` or `stomp`.
    pub transport: String,
    /// Bytes on the wire for one update delivered to one subscriber.
    pub wire: WireBytes,
    /// What it takes to connect and to be idle.
    pub connection: ConnectionCosts,
    /// One publish to groups of different sizes.
    pub subscribers: Vec<SubscribersPoint>,
    /// Latency at different rates of delivery.
    pub rates: Vec<RatePoint>,
}

/// Bytes on the wire, above TCP, for one update delivered to one subscriber of this transport.
///
/// `down` is from the server. Payload is the update's JSON; overhead is all else: heads, frame headers, masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WireBytes {
    /// The update itself.
    pub down_payload: f64,
    /// Everything around it.
    pub down_overhead: f64,
    /// What the client had to send for it: nothing, or a request.
    pub up: f64,
    /// `down_payload` + `down_overhead` as the codec computes it for the same update.
    pub down_computed: f64,
    /// `up` as the codec computes it.
    pub up_computed: f64,
    /// Bytes that a client sends to publish one location on this transport, and
    pub publish_up: f64,
    /// what it is answered.
    pub publish_down: f64,
}

impl WireBytes {
    /// All that it takes to deliver one update, in both directions.
    #[must_use]
    pub const fn total(&self) -> f64 {
        self.down_payload + self.down_overhead + self.up
    }
}

/// What a connection takes to come about and to do nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionCosts {
    /// Idle connections that it was measured with.
    pub connections: usize,
    /// The server's resident bytes for each.
    pub resident_bytes: Spread,
    /// The kernel's bytes for each, the server's end alone; 0 where it cannot be told.
    pub kernel_bytes: f64,
    /// The server's CPU microseconds for each connect; a long poll's second, parked one is in it, and in calls and bytes.
    pub connect_cpu_us: Spread,
    /// System calls of the server for each connect.
    pub connect_syscalls: Spread,
    /// From the intended connect to the moment the transport is open (poll: answered; stream: head; WebSocket: 101;
    /// STOMP: CONNECTED and subscribed), microseconds: the median of each run.
    pub connect_us: Spread,
    /// Bytes that the client sends to open it, and
    pub connect_up_bytes: f64,
    /// what the server sends.
    pub connect_down_bytes: f64,
    /// From the intended connect to the first byte of the server, microseconds: the median of each run.
    pub first_byte_us: Spread,
}

/// One publish to a group of this size: what delivering it to all of them costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubscribersPoint {
    /// Subscribers of the group.
    pub subscribers: usize,
    /// Publishes a second while it was measured.
    pub publishes_per_second: f64,
    /// The server's CPU microseconds for a publish and all its deliveries.
    pub cpu_us_per_publish: Spread,
    /// The server's system calls for a publish and all its deliveries.
    pub syscalls_per_publish: Spread,
}

/// Latency, and what an update costs, at one rate of delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RatePoint {
    /// Updates a second that were intended to be delivered to all subscribers together; of short polling, polls.
    pub intended_per_second: f64,
    /// Updates a second that were delivered.
    pub delivered_per_second: f64,
    /// Publishes a second that they came of.
    #[serde(default)]
    pub publishes_per_second: f64,
    /// Subscribers, and
    pub subscribers: usize,
    /// groups that they were spread over.
    pub groups: usize,
    /// From the intended publish to the subscriber's read, all runs together; for pollers to the moment that they had the
    /// update or a newer one.
    pub latency: LatencySummary,
    /// From the intended poll to the end of its answer, all runs together; short polling alone has it, for its latency is
    /// mostly the wait for the next poll.
    #[serde(default)]
    pub answer: LatencySummary,
    /// Median latency of each run, microseconds.
    pub p50_us: Spread,
    /// 99th percentile of each run, microseconds.
    pub p99_us: Spread,
    /// The server's own staleness histogram: mean microseconds from numbering to write, by its looks at the clock: when a
    /// turn begins and behind every 64 writes. So 0 is less than a turn of so many writes; short polling has none.
    pub server_staleness_us: f64,
    /// The server's CPU microseconds for each update delivered, publishes included.
    pub cpu_us_per_update: Spread,
    /// The server's system calls for each update delivered, publishes included.
    pub syscalls_per_update: Spread,
    /// The share of one core that the server used, 0 to 1 a core.
    pub server_cpu_share: f64,
    /// The share of its core that the tool used; near 1 its latencies are its own.
    pub tool_cpu_share: f64,
    /// What went wrong: losses, repeats, refusals.
    pub failures: u64,
}

/// Short polling at one interval: what a wait costs and what it spares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PollingPoint {
    /// Milliseconds from one poll of a user to its next.
    pub interval_ms: u64,
    /// Users that poll, evenly spread over the interval.
    pub users: usize,
    /// Publishes a second to their group.
    pub publishes_per_second: f64,
    /// From an update's intended publish to the moment that a user had it or a newer one.
    pub staleness: LatencySummary,
    /// Bytes up and down for each user and second, above TCP.
    pub bytes_per_user_second: f64,
    /// The server's CPU microseconds for each user and second, publishes included.
    pub cpu_us_per_user_second: f64,
    /// The share of updates that a user never saw because a newer one had come, 0 to 1.
    pub unseen_share: f64,
    /// The share of polls that were answered 304, nothing new, 0 to 1.
    pub unchanged_share: f64,
    /// From the intended poll to the end of its answer, microseconds: the median.
    pub answer_p50_us: u64,
}
