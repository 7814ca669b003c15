//! What a worker counted: plain numbers, added up by the shard and its reactor, merged at the scrape.
//!
//! Counting is an add to a number that one thread owns; nothing here is shared, locked or atomic.

use crate::ids::Transport;

/// How many transports are told apart.
pub const TRANSPORTS: usize = Transport::ALL.len();

/// Upper bounds of the buckets of `staleness_seconds` and `turn_seconds`, in microseconds; the last bucket is open.
pub const BUCKET_MICROS: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// A histogram over [`BUCKET_MICROS`]; `counts` are per bucket, not cumulative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Observations per bucket; one more than bounds, for what lies above the last.
    pub counts: [u64; BUCKET_MICROS.len() + 1],
    /// The sum of all observations.
    pub sum_micros: u64,
}

impl Histogram {
    /// Counts `times` observations of the same value.
    pub fn observe(&mut self, micros: u64, times: u64) {
        let bucket = BUCKET_MICROS.partition_point(|bound| *bound < micros);
        self.counts[bucket] += times;
        self.sum_micros += micros * times;
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.sum_micros += other.sum_micros;
    }
}

/// A system call that the reactor makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is the call of that name")]
pub enum Call {
    Accept,
    Read,
    Write,
    EpollWait,
    EpollCtl,
    Poll,
    Shutdown,
    Close,
}

impl Call {
    /// Every call, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Accept,
        Self::Read,
        Self::Write,
        Self::EpollWait,
        Self::EpollCtl,
        Self::Poll,
        Self::Shutdown,
        Self::Close,
    ];

    /// The label value in the metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Read => "read",
            Self::Write => "write",
            Self::EpollWait => "epoll_wait",
            Self::EpollCtl => "epoll_ctl",
            Self::Poll => "poll",
            Self::Shutdown => "shutdown",
            Self::Close => "close",
        }
    }
}

/// Why something was refused; one variant per rule that a peer can run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// HTTP framing or syntax (400), also bad query values.
    BadRequest,
    /// A publish that is no publish (400).
    BadPublish,
    /// Unknown path (404).
    NotFound,
    /// Known path, wrong method (405).
    Method,
    /// `--max-groups` is reached.
    GroupsMax,
    /// `--max-members` is reached.
    MembersMax,
    /// `--max-held-bytes` is nearly reached (503), or was passed (closed).
    HeldMax,
    /// `--max-connections` is reached, or descriptors ran out.
    ConnectionsMax,
    /// `--max-head-bytes`, or more header lines than a head may have (431).
    HeadMax,
    /// `--max-target-bytes` (414).
    TargetMax,
    /// `--max-body-bytes` (413, close 1009).
    BodyMax,
    /// `--max-frame-bytes` or `--max-frame-headers`.
    FrameMax,
    /// `--max-subscriptions`.
    SubscriptionsMax,
    /// Transactions past their bounds.
    TransactionsMax,
    /// The Origin is not allowed (403).
    Origin,
    /// An upgrade that is none (400, 426).
    Upgrade,
    /// WebSocket framing, UTF-8 or an unwanted kind of message (1002, 1003, 1007).
    WebSocket,
    /// A STOMP frame that breaks the protocol.
    Stomp,
    /// An older `at` than the held one (409, or dropped).
    Stale,
    /// The server is draining.
    Draining,
    /// `--head-timeout`.
    HeadTimeout,
    /// `--body-timeout`.
    BodyTimeout,
    /// `--connect-timeout`.
    ConnectTimeout,
    /// `--peer-timeout`, or heart-beats that stayed away.
    PeerTimeout,
    /// `--slow-consumer disconnect`.
    SlowConsumer,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::BadRequest,
        Self::BadPublish,
        Self::NotFound,
        Self::Method,
        Self::GroupsMax,
        Self::MembersMax,
        Self::HeldMax,
        Self::ConnectionsMax,
        Self::HeadMax,
        Self::TargetMax,
        Self::BodyMax,
        Self::FrameMax,
        Self::SubscriptionsMax,
        Self::TransactionsMax,
        Self::Origin,
        Self::Upgrade,
        Self::WebSocket,
        Self::Stomp,
        Self::Stale,
        Self::Draining,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::ConnectTimeout,
        Self::PeerTimeout,
        Self::SlowConsumer,
    ];

    /// The label value in the metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BadPublish => "bad_publish",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::GroupsMax => "groups_max",
            Self::MembersMax => "members_max",
            Self::HeldMax => "held_max",
            Self::ConnectionsMax => "connections_max",
            Self::HeadMax => "head_max",
            Self::TargetMax => "target_max",
            Self::BodyMax => "body_max",
            Self::FrameMax => "frame_max",
            Self::SubscriptionsMax => "subscriptions_max",
            Self::TransactionsMax => "transactions_max",
            Self::Origin => "origin",
            Self::Upgrade => "upgrade",
            Self::WebSocket => "websocket",
            Self::Stomp => "stomp",
            Self::Stale => "stale",
            Self::Draining => "draining",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::ConnectTimeout => "connect_timeout",
            Self::PeerTimeout => "peer_timeout",
            Self::SlowConsumer => "slow_consumer",
        }
    }
}

/// What kind of address a request asked for, the `endpoint` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is the endpoint of that name")]
pub enum Asked {
    Current,
    Snapshot,
    LongPoll,
    Publish,
    Sse,
    SseOneShot,
    WebSocket,
    Stomp,
    Echo,
    Metrics,
    Health,
    Page,
    Specs,
    Unknown,
}

impl Asked {
    /// Every endpoint, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Current,
        Self::Snapshot,
        Self::LongPoll,
        Self::Publish,
        Self::Sse,
        Self::SseOneShot,
        Self::WebSocket,
        Self::Stomp,
        Self::Echo,
        Self::Metrics,
        Self::Health,
        Self::Page,
        Self::Specs,
        Self::Unknown,
    ];

    /// The label value in the metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Snapshot => "snapshot",
            Self::LongPoll => "long_poll",
            Self::Publish => "publish",
            Self::Sse => "sse",
            Self::SseOneShot => "sse_one_shot",
            Self::WebSocket => "websocket",
            Self::Stomp => "stomp",
            Self::Echo => "echo",
            Self::Metrics => "metrics",
            Self::Health => "health",
            Self::Page => "page",
            Self::Specs => "specs",
            Self::Unknown => "unknown",
        }
    }
}

/// Answers by class of status: 1xx to 5xx.
pub const STATUS_CLASSES: usize = 5;

/// A pair of counts: what came in, what went out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InOut {
    /// Received from peers (mail: taken from the mailbox).
    pub received: u64,
    /// Sent to peers (mail: posted to other shards).
    pub sent: u64,
}

/// Everything that one worker counted since it started; gauges are levels at the moment of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Gauge: open connections.
    pub connections: [u64; TRANSPORTS],
    /// Connections that became one of this transport.
    pub connections_total: [u64; TRANSPORTS],
    /// Gauge: requests and streams kept open until there is something to say.
    pub parked: [u64; TRANSPORTS],
    /// Gauge: subscriptions.
    pub subscriptions: [u64; TRANSPORTS],
    /// Publishes that were numbered.
    pub publishes: [u64; TRANSPORTS],
    /// Updates written whole to a subscriber's socket.
    pub delivered: [u64; TRANSPORTS],
    /// Updates that a slow subscriber was not given because newer ones took their place.
    pub conflated: [u64; TRANSPORTS],
    /// Everything on the socket.
    pub wire_bytes: [InOut; TRANSPORTS],
    /// The JSON of locations and updates alone.
    pub payload_bytes: [InOut; TRANSPORTS],
    /// From numbered to written.
    pub staleness: [Histogram; TRANSPORTS],
    /// How long a turn took, the wait left out.
    pub turn: Histogram,
    /// System calls.
    pub syscalls: [u64; Call::ALL.len()],
    /// Answers by endpoint and class of status.
    pub requests: [[u64; STATUS_CLASSES]; Asked::ALL.len()],
    /// Refusals.
    pub refused: [u64; Reason::ALL.len()],
    /// Gauge: groups at home here.
    pub groups: u64,
    /// Gauge: members with a held location in groups at home here.
    pub members: u64,
    /// Letters between shards.
    pub mail: InOut,
    /// Gauge: what counts against `--max-held-bytes`.
    pub held_bytes: u64,
    /// Gauge: bytes that wait in queues for slow sockets.
    pub queue_bytes: [u64; TRANSPORTS],
}

impl Report {
    /// Adds another worker's counts to these.
    pub fn add(&mut self, other: &Self) {
        fn each<const N: usize>(mine: &mut [u64; N], theirs: &[u64; N]) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
        fn both(mine: &mut [InOut], theirs: &[InOut]) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                mine.received += theirs.received;
                mine.sent += theirs.sent;
            }
        }
        each(&mut self.connections, &other.connections);
        each(&mut self.connections_total, &other.connections_total);
        each(&mut self.parked, &other.parked);
        each(&mut self.subscriptions, &other.subscriptions);
        each(&mut self.publishes, &other.publishes);
        each(&mut self.delivered, &other.delivered);
        each(&mut self.conflated, &other.conflated);
        each(&mut self.queue_bytes, &other.queue_bytes);
        each(&mut self.syscalls, &other.syscalls);
        each(&mut self.refused, &other.refused);
        both(&mut self.wire_bytes, &other.wire_bytes);
        both(&mut self.payload_bytes, &other.payload_bytes);
        both(std::slice::from_mut(&mut self.mail), std::slice::from_ref(&other.mail));
        for (mine, theirs) in self.staleness.iter_mut().zip(&other.staleness) {
            mine.add(theirs);
        }
        self.turn.add(&other.turn);
        for (mine, theirs) in self.requests.iter_mut().zip(&other.requests) {
            each(mine, theirs);
        }
        self.groups += other.groups;
        self.members += other.members;
        self.held_bytes += other.held_bytes;
    }
}
