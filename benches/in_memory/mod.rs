//! One shard in memory, driven as a reactor drives it and by nothing else, for what is counted and timed of the server
//! alone: benches, and tests/allocations.rs.
//!
//! Time stands still unless it is told to pass, so no ping, heart-beat or expiry falls into what is measured. What is
//! sent is copied into one buffer, as a read would; what is written is dropped, unless somebody looks.

#![allow(dead_code, reason = "each bench is a crate of its own and uses its part of this")]

pub(crate) mod operation;
pub(crate) mod words;

use geoloop::clock::{Now, Tick, UnixMs};
use geoloop::ids::{ConnId, ShardId};
use geoloop::limits::{Budget, Limits, Quota};
use geoloop::shard::{Output, Reading, Shard, ShardConfig, Standing, Wrote};
use geoloop::wire::http::request::HeadLimits;
use geoloop::wire::stomp::frame::FrameLimits;

/// The moment at which everything begins.
pub(crate) const NOW: Now = Now { tick: Tick(0), micros: 0, unix: UnixMs(1_767_225_600_000) };

/// What a request's head may be, if nothing else is asked for.
pub(crate) fn head_limits() -> HeadLimits {
    let limits = Limits::default();
    HeadLimits { head_bytes_max: limits.head_bytes_max, target_bytes_max: limits.target_bytes_max }
}

/// What a STOMP frame may be, if nothing else is asked for.
pub(crate) fn frame_limits() -> FrameLimits {
    let limits = Limits::default();
    FrameLimits { frame_bytes_max: limits.frame_bytes_max, headers_max: limits.frame_headers_max }
}

/// A shard, and a buffer that everything is read into.
pub(crate) struct Server {
    shard: Shard,
    buffer: Box<[u8]>,
    now: Now,
    /// Whose socket takes nothing.
    full: Option<ConnId>,
    /// What was written since somebody began to look.
    seen: Option<Vec<u8>>,
}

impl Server {
    /// A server whose table of connections has room for `slots`.
    pub(crate) fn new(slots: usize) -> Self {
        Self::with(slots, |_| {})
    }

    /// The same with other limits than the default ones.
    pub(crate) fn with(slots: usize, set: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        set(&mut limits);
        let config = ShardConfig {
            id: ShardId(0),
            workers: 1,
            seed: 7,
            simulate: true,
            echo: false,
            allow_origin: Vec::new(),
            groups: Quota::new(limits.groups_max),
            budget: Budget::new(limits.held_bytes_max),
            limits,
            slots,
        };
        let buffer = vec![0; 16 * 1024].into();
        Self { shard: Shard::new(config, NOW), buffer, now: NOW, full: None, seen: None }
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// A newcomer that has said `hello` and got its answer.
    pub(crate) fn connect(&mut self, hello: &[u8]) -> ConnId {
        let conn = self.accept();
        self.say(conn, hello);
        conn
    }

    /// A newcomer.
    pub(crate) fn accept(&mut self) -> ConnId {
        self.shard.handle_accepted(Standing::Guest)
    }

    /// One turn: a connection is read, and everything that follows is written; how many writes that took.
    pub(crate) fn say(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.hear(conn, bytes);
        self.write()
    }

    /// A turn up to its writes.
    pub(crate) fn hear(&mut self, conn: ConnId, bytes: &[u8]) {
        self.shard.handle_clock(self.now);
        self.shard.handle_congestion(false);
        let read = &mut self.buffer[..bytes.len()];
        read.copy_from_slice(bytes);
        let (Reading::Go | Reading::Hold) = self.shard.handle_received(conn, read);
        self.shard.handle_timeout();
    }

    /// A connection's peer is gone, and what follows from that is written.
    pub(crate) fn hang_up(&mut self, conn: ConnId) {
        self.shard.handle_ended(conn);
        self.shard.handle_timeout();
        self.write();
    }

    /// Does what the shard wants done, until it wants nothing more; how many writes that took.
    pub(crate) fn write(&mut self) -> usize {
        let mut writes = 0;
        while let writes_now @ 1.. = self.write_lap() {
            writes += writes_now;
        }
        writes
    }

    /// Does what the shard wants done, up to the next write to one or to many; how many that were.
    pub(crate) fn write_lap(&mut self) -> usize {
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Write { conns, bytes } => {
                    let writes = conns.len();
                    let full = self.full.and_then(|full| conns.iter().position(|conn| *conn == full));
                    if let Some(seen) = &mut self.seen {
                        (0..writes)
                            .filter(|place| Some(*place) != full)
                            .for_each(|_| seen.extend_from_slice(bytes));
                    }
                    match full {
                        Some(place) => self.shard.handle_wrote(&[(place, Wrote::Bytes(0))]),
                        None => self.shard.handle_wrote(&[]),
                    }
                    return writes;
                }
                // Nothing is left unread here, and there are no sockets to close.
                Output::ReadAgain { .. } | Output::ShutdownWrite { .. } | Output::Close { .. } => {}
                Output::Mail { .. } | Output::HandOver { .. } | Output::Scrape { .. } => {
                    panic!("one shard alone wants {output:?}")
                }
            }
        }
        0
    }

    /// A connection's socket takes nothing from now on.
    pub(crate) fn fill(&mut self, conn: ConnId) {
        self.full = Some(conn);
    }

    /// The socket that takes nothing takes bytes again, and is written what it is owed; how many writes that took.
    pub(crate) fn drain(&mut self) -> usize {
        if let Some(conn) = self.full.take() {
            self.shard.handle_writable(conn);
        }
        self.write()
    }

    /// From now on what is written is kept.
    pub(crate) fn look(&mut self) {
        self.seen = Some(Vec::new());
    }

    /// What was written since, and no more is kept.
    pub(crate) fn seen(&mut self) -> Vec<u8> {
        self.seen.take().unwrap_or_default()
    }

    /// Time passes, turn by turn, a millisecond each.
    pub(crate) fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now.tick.0 += 1;
            self.now.micros += 1000;
            self.now.unix.0 += 1;
            self.shard.handle_clock(self.now);
            self.shard.handle_timeout();
            self.write();
        }
    }
}
