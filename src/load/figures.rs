//! What a load run counted and timed, by plain values that reports print and JSON carries.
//!
//! Times are microseconds. A latency is measured from the moment a request or publish was intended to be sent, so that
//! a tool or server that falls behind shows in it instead of hiding it (no coordinated omission).

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest time that is told apart: five minutes, longer than any wait of a run. Longer ones count as this.
const LATENCY_MICROS_MAX: u64 = 300_000_000;

/// Examples kept of each kind of failure.
const EXAMPLES_MAX: usize = 3;

/// Times, told apart to three digits.
///
/// Made with the first one: a histogram takes 160 KiB, a run has eleven and uses a few, and a study keeps hundreds of runs.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Option<Histogram<u64>>);

impl Latencies {
    /// Takes one time.
    pub fn record(&mut self, micros: u64) {
        self.histogram().saturating_record(micros);
    }

    /// Takes all that another has taken.
    pub fn merge(&mut self, other: &Self) {
        if let Some(taken) = &other.0 {
            self.histogram().add(taken).expect("both have the same bounds");
        }
    }

    fn histogram(&mut self) -> &mut Histogram<u64> {
        self.0.get_or_insert_with(|| {
            Histogram::new_with_max(LATENCY_MICROS_MAX, 3).expect("1 to five minutes, three digits")
        })
    }

    /// How many were taken.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The time that so many per cent of them did not pass; 0 if there are none.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> u64 {
        self.0.as_ref().map_or(0, |taken| taken.value_at_percentile(percent))
    }

    /// What reports print.
    #[must_use]
    pub fn summary(&self) -> LatencySummary {
        let Some(taken) = &self.0 else { return LatencySummary::default() };
        LatencySummary {
            count: taken.len(),
            mean_us: taken.mean(),
            min_us: taken.min(),
            p50_us: self.percentile(50.0),
            p90_us: self.percentile(90.0),
            p95_us: self.percentile(95.0),
            p99_us: self.percentile(99.0),
            p999_us: self.percentile(99.9),
            max_us: taken.max(),
        }
    }
}

/// A distribution of times in a few numbers, all of them microseconds; zeros if `count` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// How many times it is made of.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// The shortest.
    pub min_us: u64,
    /// The median.
    pub p50_us: u64,
    /// Nine of ten did not pass this.
    pub p90_us: u64,
    /// Nineteen of twenty did not pass this.
    pub p95_us: u64,
    /// 99 of 100 did not pass this.
    pub p99_us: u64,
    /// 999 of 1,000 did not pass this.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// What can go wrong for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No connection came about.
    Connect,
    /// The server ended a connection that was in use.
    Cut,
    /// An answer did not come in time.
    Timeout,
    /// An answer had another status than the request is owed.
    Status,
    /// Bytes that are not what the protocol allows.
    Protocol,
    /// A body that is no update, or not the update that was published.
    Body,
    /// An update that was owed did not come.
    Lost,
    /// An update came twice.
    Repeated,
    /// An update came behind a later one.
    Reordered,
    /// An update of another group came.
    WrongGroup,
    /// A poll was answered with less than what was published before it was sent.
    Stale,
    /// STOMP: a MESSAGE named another subscription or destination than was subscribed.
    Misaddressed,
    /// A poll's ETag is not the number of the update that it was answered with.
    Tag,
}

impl Failure {
    /// What kind it is, in a few words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Connect => "could not connect",
            Self::Cut => "connection ended by the server",
            Self::Timeout => "no answer in time",
            Self::Status => "another status",
            Self::Protocol => "against the protocol",
            Self::Body => "no update, or another one",
            Self::Lost => "update lost",
            Self::Repeated => "update repeated",
            Self::Reordered => "update out of order",
            Self::WrongGroup => "update of another group",
            Self::Stale => "poll answered with less than was there",
            Self::Misaddressed => "message for another subscription",
            Self::Tag => "ETag of another update",
        }
    }
}

/// Failures by kind, with the first few of each in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failures(BTreeMap<Failure, Kind>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kind {
    count: u64,
    examples: Vec<String>,
}

impl Failures {
    /// Counts one failure.
    pub fn note(&mut self, failure: Failure, example: impl FnOnce() -> String) {
        self.note_many(failure, 1, example);
    }

    /// Counts failures of one kind that one sentence describes.
    pub fn note_many(&mut self, failure: Failure, count: u64, example: impl FnOnce() -> String) {
        if count == 0 {
            return;
        }
        let kind = self.0.entry(failure).or_default();
        kind.count += count;
        if kind.examples.len() < EXAMPLES_MAX {
            kind.examples.push(example());
        }
    }

    /// Takes all that another holds.
    pub fn merge(&mut self, other: &Self) {
        for (failure, theirs) in &other.0 {
            let ours = self.0.entry(*failure).or_default();
            ours.count += theirs.count;
            let room = EXAMPLES_MAX.saturating_sub(ours.examples.len());
            ours.examples.extend(theirs.examples.iter().take(room).cloned());
        }
    }

    /// How many there were of one kind.
    #[must_use]
    pub fn count(&self, failure: Failure) -> u64 {
        self.0.get(&failure).map_or(0, |kind| kind.count)
    }

    /// How many there were in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().map(|kind| kind.count).sum()
    }

    /// Each kind that occurred, how often, and its first examples.
    pub fn iter(&self) -> impl Iterator<Item = (Failure, u64, &[String])> {
        self.0.iter().map(|(failure, kind)| (*failure, kind.count, kind.examples.as_slice()))
    }
}

/// How often something that was checked held, and how often not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// It held.
    pub passes: u64,
    /// It did not.
    pub fails: u64,
}

/// Everything that one load run counted and timed on the clients' side, warm-up left out.
///
/// What k6 counts too has k6's name, so that both can be laid side by side.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunFigures {
    /// From the first user's start to the last one's end, in seconds.
    pub seconds: f64,
    /// The most users that were at work at once.
    pub vus_max: u64,
    /// Rounds that users completed.
    pub iterations: u64,
    /// How long those took, the wait at their end included.
    pub iteration_duration: Latencies,
    /// HTTP requests that were answered, or failed.
    pub http_reqs: u64,
    /// Those of them without an answer, or with a status from 400.
    pub http_req_failed: u64,
    /// From the moment a request was intended (but the time to connect left out) to the end of its answer.
    pub http_req_duration: Latencies,
    /// How long TCP connects for requests took.
    pub http_req_connecting: Latencies,
    /// From the intended request to the first byte of its answer, the connect included.
    pub first_byte: Latencies,
    /// What the scripts check of answers, by the name that they give it.
    pub checks: BTreeMap<&'static str, Check>,
    /// From the intended short poll of a subscriber to the end of its answer; publishes' answers are not in it.
    pub poll: Latencies,
    /// From the intended publish to the moment that a poller had that update or a newer one of its group.
    pub caught_up: Latencies,
    /// Updates that were published while it counted and that pollers never saw because a newer one had come.
    pub unseen: u64,
    /// Polls that were answered 304, nothing new.
    pub unchanged: u64,
    /// Connections on which a transport was opened, and
    pub opened: u64,
    /// from the intended connect to the moment that it was: a poll answered, a stream's head read, a WebSocket upgraded, a
    /// STOMP subscription in place.
    pub opening: Latencies,
    /// WebSocket handshakes that succeeded.
    pub ws_sessions: u64,
    /// From the intended connect to the 101.
    pub ws_connecting: Latencies,
    /// How long WebSockets stayed open.
    pub ws_session_duration: Latencies,
    /// WebSocket messages sent, and
    pub ws_msgs_sent: u64,
    /// received.
    pub ws_msgs_received: u64,
    /// Bytes that the tool wrote to its sockets, and
    pub data_sent: u64,
    /// read from them.
    pub data_received: u64,
    /// Those of them that publishers' own connections sent, and
    pub publish_sent: u64,
    /// received.
    pub publish_received: u64,
    /// Bytes of the updates alone that are `delivered`. A publisher that is told of its own counts in both as one more subscriber,
    /// though all that its connection received counts apart.
    pub payload_received: u64,
    /// Locations that were published.
    pub published: u64,
    /// Updates that subscribers and pollers were given, each checked.
    pub delivered: u64,
    /// Updates that were published before it counted and came while it did. Their bytes count, for bytes are not told apart;
    /// they are in no other figure.
    pub late: u64,
    /// Users who were cut off in the middle of a request or handshake, for their grace was over.
    pub cut_off: u64,
    /// Updates that slow subscribers were passed over for, as the server told them by `gap`.
    pub conflated: u64,
    /// From the intended publish to the subscriber's read, where the publish was the tool's and told apart.
    pub delivery: Latencies,
    /// How late the tool itself sent what was due.
    pub lag: Latencies,
    /// What went wrong.
    pub failures: Failures,
    /// CPU seconds that the tool used, and
    pub tool_cpu_seconds: f64,
    /// in what time, opening and settling included.
    pub wall_seconds: f64,
    /// The share of a core that it used in its busiest second; 0 if the run was shorter.
    pub tool_cpu_share_max: f64,
}

impl RunFigures {
    /// Forgets all but the failures.
    pub fn begin_anew(&mut self) {
        *self = Self { failures: std::mem::take(&mut self.failures), ..Self::default() };
    }
}

impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.summary().serialize(serializer)
    }
}
