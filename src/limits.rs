//! Every bound of the server, with its reason. What a flag can set is a field of [`Limits`]; the rest are constants.
//!
//! Reaching a bound has a named outcome: refuse, conflate, pause or close.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What a reactor reads from one connection before it turns to the next: at 60 bytes a publish some 270 of
/// them, whose 30 KB of frames a subscriber's default queue still holds.
pub const READ_BYTES_PER_TURN_MAX: usize = 16 * 1024;

/// What one write from a connection's own queue hands to the kernel at most: four times what TCP_NOTSENT_LOWAT lets lie
/// unsent. A batch that subscribers share goes out whole.
pub const WRITE_BYTES_MAX: usize = 64 * 1024;

/// What may lie unsent in the kernel for one connection (TCP_NOTSENT_LOWAT): enough for one congestion window
/// of 10 segments, little enough that a slow reader is noticed and its updates conflated here.
pub const KERNEL_UNSENT_BYTES: u32 = 16 * 1024;

/// Longest request line plus headers, by default. Our paths are short and fixed; half of what h11 allows.
pub const HTTP_HEAD_BYTES_MAX: usize = 8 * 1024;
const _: () = assert!(HTTP_HEAD_BYTES_MAX <= READ_BYTES_PER_TURN_MAX);

/// Header fields a request may have: browsers send some 20 behind proxies that add 10.
pub const HTTP_HEADERS_MAX: usize = 64;

/// The largest head that `--max-head-bytes` can allow: a head must fit one read.
pub const HTTP_HEAD_BYTES_CEILING: usize = READ_BYTES_PER_TURN_MAX;

/// Extra bytes of chunk framing (sizes, extensions, trailers) a chunked body may spend beyond its data: a body
/// of one-byte chunks pays 5 for 1, so six times the body and room for trailers.
pub const CHUNK_FRAMING_BYTES_PER_BODY_BYTE: usize = 6;

/// Longest control frame payload (RFC 6455, section 5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// The largest message of the echo endpoint: Autobahn's case 9 sends 16 MiB, one conformance step leaves room.
pub const ECHO_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Open transactions of one STOMP connection; clients use one.
pub const STOMP_TRANSACTIONS_MAX: usize = 8;

/// Bytes held by all open transactions of one STOMP connection: four messages of the largest size.
pub const STOMP_TRANSACTION_BYTES_MAX: usize = 64 * 1024;

/// Publishes and subscriptions of one connection that may be under way to other shards before it is read no further:
/// bounds what waits behind a full mailbox to some 16 letters a connection.
pub const PUBLISHES_UNDER_WAY_MAX: u8 = 16;

/// Letters a mailbox takes before senders must keep theirs: a turn drains them all in well under a millisecond.
pub const MAILBOX_LETTERS_MAX: usize = 4096;

/// The same of a worker that is alone, which is written to by nobody but who stops the server.
pub const MAILBOX_LETTERS_ALONE_MAX: usize = 16;

/// Letters a reactor takes from its mailbox before it turns to its sockets.
pub const MAILBOX_LETTERS_PER_TURN_MAX: usize = 1024;

/// Subscribers at home past which a group pulls no more connections to its home shard: at about a microsecond
/// a delivery one publish then occupies its core for 4 ms, and sharing the group out begins to pay for the mail.
pub const GIANT_GROUP_SUBSCRIBERS: usize = 4096;

/// Connections accepted before a reactor turns to its sockets.
pub const ACCEPTS_PER_TURN_MAX: usize = 128;

/// Connections accepted one behind the other before each of which but the first it is asked whether there is one (poll):
/// for as many that costs less than one accept in vain; in a longer queue the one in vain at its end costs less.
pub const ACCEPTS_ASKED_MAX: usize = 8;

/// Connections that the kernel may hold ready for a worker; it cuts this to net.core.somaxconn.
pub const BACKLOG: i32 = 4096;

/// Frames that one WebSocket message may come in: clients that stream cut into a handful.
pub const MESSAGE_FRAGMENTS_MAX: u32 = 1024;

/// Workers one process can have; the sets of interested shards are 128-bit masks.
pub const WORKERS_MAX: usize = 128;

/// Slots reserved in the connection tables at start; untouched pages cost nothing.
pub const RESERVED_SLOTS_MAX: usize = 65_536;

/// What a closing connection may still send before it is cut (RFC 9112, section 9.6).
pub const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How long a closing connection may take to close its side (RFC 9112, section 9.6).
pub const LINGER_TIME_MAX: Duration = Duration::from_secs(1);

/// Longest park that `?timeout=` can ask for.
pub const LONG_POLL_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// How long a long poll parks when it does not say.
pub const LONG_POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// Blank comment on an SSE stream: proxies commonly cut after 30 or 60 s of silence.
pub const SSE_COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Server ping on a WebSocket: three fit the default `--peer-timeout`.
pub const PING_EVERY: Duration = Duration::from_secs(25);

/// How far ahead of the server an `at` may lie before it becomes the server's time: phones drift by seconds.
pub const AT_AHEAD_MAX: Duration = Duration::from_secs(5);

/// A paused listener tries again this often, for descriptors come free elsewhere too.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Newcomers without a place whose heads are read all the same, so that probes and scrapes get through.
pub const SURPLUS_MAX: usize = 64;

/// Descriptors kept for those, and for standard streams, signals and whatever a library opens.
pub const DESCRIPTORS_RESERVED: u64 = SURPLUS_MAX as u64 + 32;

/// Descriptors that each worker needs besides one a listening address: its poll, its waker and its reserve.
pub const DESCRIPTORS_PER_WORKER: u64 = 3;

/// Readiness events that a reactor takes at once, and so the most connections that are read, and commonly answered, in
/// one turn; as many emptied queues are kept for them.
pub const EVENTS_PER_TURN_MAX: usize = 1024;

/// Answers that take long to make (snapshots, scrapes) that a worker makes in one turn: a snapshot of 10,000 members takes
/// 2 ms, and everybody else waits for a turn to end.
pub const LONG_ANSWERS_PER_TURN_MAX: usize = 4;

/// What a worker has to say before it reads on: a turn's ordinary answers, 250 bytes to each of [`EVENTS_PER_TURN_MAX`]
/// connections, are a quarter of it, while pipelined requests would otherwise be answered with `--queue-bytes` each.
pub const ANSWER_BYTES_PER_FLUSH_MAX: usize = 1024 * 1024;

/// Writes to subscribers after which a worker begins to tell no further group in this turn. At some 5 us each that is 3 ms
/// (a group that was begun is told to its end), which is how long a newcomer waits to be accepted; without it one waited until
/// everybody of all groups was told, 40 ms with 10,000 subscribers.
pub const FAN_OUT_WRITES_PER_TURN_MAX: usize = 512;

/// Updates that may wait for a later turn to be told; a turn goes on telling until no more do, and reads nobody meanwhile, for
/// what is read faster than it is told would pile up.
pub const UNTOLD_UPDATES_MAX: usize = 4096;

/// How long a mirror of another shard's group outlives its last local subscriber, so that a client that polls
/// again and again does not have the group copied to it each time.
pub const MIRROR_LINGER: Duration = Duration::from_secs(15);

/// What groups, rings, queues, unsent answers, partial messages and transactions of all shards may hold together, by
/// default: the other limits multiply to far more (20 KB of ring a group, 64 KiB of queue a connection), and a machine
/// that serves 10,000 clients has this to spare.
pub const HELD_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Longest answer that the load tool reads: a snapshot of 10,000 members with the longest names takes less than
/// 4 MB, and this is four times that.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest event, WebSocket message or STOMP frame that the load tool reads: an update takes less than 1 KiB whatever
/// its member is called, an ERROR hardly more.
pub const HEARD_BYTES_MAX: usize = 64 * 1024;

/// What something shared costs on the heap besides itself: the two counts that lie in front of it, and the 8 to 24 bytes
/// that an allocator adds to a block.
pub const SHARED_BYTES: usize = 2 * size_of::<usize>() + 16;

/// What the server does with a subscriber that reads slower than its group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SlowConsumer {
    /// It gets each member's newest update once it reads again.
    #[default]
    Conflate,
    /// It is closed.
    Disconnect,
}

/// The bounds that flags can set; the default of each is told in README.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Request line plus headers.
    pub head_bytes_max: usize,
    /// The request target.
    pub target_bytes_max: usize,
    /// An HTTP body, and a WebSocket message.
    pub body_bytes_max: usize,
    /// A STOMP frame, command to NUL.
    pub frame_bytes_max: usize,
    /// Header lines of a STOMP frame.
    pub frame_headers_max: usize,
    /// STOMP subscriptions a connection.
    pub subscriptions_max: usize,
    /// Groups of the whole process.
    pub groups_max: usize,
    /// Members a group.
    pub members_max: usize,
    /// What all shards may hold together; see [`Budget`].
    pub held_bytes_max: usize,
    /// Updates a group keeps for replay.
    pub history: usize,
    /// Unsent updates a connection may have waiting, in bytes as written, before it is conflated.
    pub queue_bytes_max: usize,
    /// What happens past it.
    pub slow_consumer: SlowConsumer,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// From the end of a head to the last byte of its body.
    pub body_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// From the upgrade to STOMP's CONNECT.
    pub connect_timeout: Duration,
    /// Silence after which a WebSocket or STOMP peer is taken for gone.
    pub peer_timeout: Duration,
    /// Silence after which a member that no connection speaks for leaves.
    pub member_ttl: Duration,
    /// How long a group without subscriber, member or publish is kept.
    pub group_ttl: Duration,
    /// Unacknowledged messages a STOMP subscription may have before it is conflated.
    pub prefetch_count: usize,
    /// Writes to subscribers after which no further group is told in a turn; no flag sets it.
    pub fan_out_writes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: HTTP_HEAD_BYTES_MAX,
            target_bytes_max: 4096,
            body_bytes_max: 16 * 1024,
            frame_bytes_max: 16 * 1024,
            frame_headers_max: 64,
            subscriptions_max: 64,
            groups_max: 100_000,
            members_max: 10_000,
            held_bytes_max: HELD_BYTES_MAX,
            history: 128,
            queue_bytes_max: 64 * 1024,
            slow_consumer: SlowConsumer::Conflate,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            connect_timeout: Duration::from_secs(10),
            peer_timeout: Duration::from_secs(90),
            member_ttl: Duration::from_secs(60),
            group_ttl: Duration::from_secs(600),
            prefetch_count: 1000,
            fan_out_writes_max: FAN_OUT_WRITES_PER_TURN_MAX,
        }
    }
}

/// A bound that all shards share: a count against a maximum.
///
/// Touched only when something rare happens (a group is made or expires), so its cache line may bounce.
#[derive(Clone, Debug)]
pub struct Quota {
    used: Arc<AtomicUsize>,
    max: usize,
}

impl Quota {
    /// A quota of `max`, none of it used.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { used: Arc::default(), max }
    }

    /// Takes one; false if none is left.
    #[must_use]
    pub fn take(&self) -> bool {
        let taken = |used| (used < self.max).then_some(used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Gives one back that was taken.
    pub fn give_back(&self) {
        let before = self.used.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "gave back more than was taken");
    }

    /// How many are taken now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// How many there are in all.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }
}

/// How many bytes all shards may hold together, and how many they do: what the other limits multiply to.
///
/// Counted is what peers can make grow: groups with their rings and members, queues and unsent answers, partial
/// messages, transactions and subscriptions. Each by its capacity, and an update once for everybody who may be the last
/// to let go of it, so that what is counted is rather too much than too little; what an allocator leaves free between
/// blocks is not in it.
#[derive(Clone, Debug)]
pub struct Budget {
    held: Arc<[AtomicUsize; 2]>,
    max: usize,
}

/// What holds some of a [`Budget`]; its place in the table of who holds how much.
#[derive(Clone, Copy, Debug)]
enum Holders {
    Groups,
    Connections,
}

impl Budget {
    /// A budget of so many bytes, nothing of it spent.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { held: Arc::default(), max }
    }

    /// What one shard's groups hold.
    #[must_use]
    pub fn groups(&self) -> HeldBytes {
        HeldBytes { budget: self.clone(), holders: Holders::Groups, own: 0, told: 0 }
    }

    /// What one shard's connections hold.
    #[must_use]
    pub fn connections(&self) -> HeldBytes {
        HeldBytes { budget: self.clone(), holders: Holders::Connections, own: 0, told: 0 }
    }
}

/// What one holder may hold more or less than it has told the others: a turn of ordinary requests stays below, and as many
/// shards as there can be are wrong by 16 MiB together.
const UNTOLD_BYTES_MAX: usize = 64 * 1024;

/// What the groups or the connections of one shard hold of a [`Budget`].
///
/// It counts for itself and tells the others once a turn ([`HeldBytes::settle`]), or when it is more than a little, so that
/// a request which takes and gives back within a turn touches nothing that is shared.
#[derive(Debug)]
pub struct HeldBytes {
    budget: Budget,
    holders: Holders,
    own: usize,
    told: usize,
}

impl HeldBytes {
    /// What was held as `before` bytes is `after` bytes now.
    pub fn change(&mut self, before: usize, after: usize) {
        debug_assert!(before <= self.own, "{before} bytes were never held; {} are", self.own);
        self.own = self.own.saturating_sub(before) + after;
        if self.own.abs_diff(self.told) > UNTOLD_BYTES_MAX {
            self.settle();
        }
    }

    /// Tells the other holders.
    pub fn settle(&mut self) {
        if self.own != self.told {
            let more = self.own.wrapping_sub(self.told);
            self.budget.held[self.holders as usize].fetch_add(more, Ordering::Relaxed);
            self.told = self.own;
        }
    }

    /// What this holder holds.
    #[must_use]
    pub const fn own(&self) -> usize {
        self.own
    }

    /// What all may hold.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.budget.max
    }

    /// Whether 90 % of the budget are spent: what can be refused is.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.is_scarce_with(0)
    }

    /// Whether 90 % of the budget would be spent if so much more were held.
    #[must_use]
    pub fn is_scarce_with(&self, more: usize) -> bool {
        self.all().saturating_add(more) >= self.budget.max - self.budget.max / 10
    }

    /// By how much more is held than may be.
    #[must_use]
    pub fn excess(&self) -> usize {
        self.all().saturating_sub(self.budget.max)
    }

    /// What the connections of each of so many shards may hold if none holds more than another: what groups leave, but a
    /// tenth of the budget at least, for groups are refused from nine tenths on. While more than all is held, some
    /// shard's connections hold more than this, unless groups alone hold too much.
    #[must_use]
    pub fn even_share(&self, shards: usize) -> usize {
        let groups = self.budget.held[Holders::Groups as usize].load(Ordering::Relaxed);
        let max = self.budget.max;
        max.saturating_sub(groups).max(max / 10) / shards
    }

    /// What all hold, as far as they have told.
    fn all(&self) -> usize {
        let [groups, connections] = &*self.budget.held;
        let held = groups.load(Ordering::Relaxed) + connections.load(Ordering::Relaxed);
        (held + self.own).saturating_sub(self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_scarce_from_nine_tenths_and_spent_past_the_whole() {
        let mut held = Budget::new(1000).connections();
        for (bytes, scarce, excess) in
            [(0, false, 0), (899, false, 0), (900, true, 0), (1000, true, 0), (1001, true, 1)]
        {
            held.change(held.own(), bytes);
            assert_eq!((held.is_scarce(), held.excess()), (scarce, excess), "{bytes} bytes held");
        }
    }

    #[test]
    fn holders_see_what_others_have_told() {
        let budget = Budget::new(1000);
        let (mut mine, mut theirs) = (budget.connections(), budget.groups());
        theirs.change(0, 950);
        assert!(!mine.is_scarce() && theirs.is_scarce());
        theirs.settle();
        assert!(mine.is_scarce());
        mine.change(0, 100);
        assert_eq!((mine.excess(), theirs.excess()), (50, 0));
        mine.settle();
        theirs.change(950, 10);
        theirs.settle();
        assert_eq!((mine.own(), mine.excess()), (100, 0));
        assert!(!mine.is_scarce());
    }
}
