//! Rules of a standard as rows of raw bytes: how they are answered, and proof of what became of what lies behind them.
//!
//! A table runs against one server, each row whole and in pieces. Directly behind a row's bytes lies something that would
//! publish; the server's count of publishes then says whether it was taken. A table tells of every row that fails, not of
//! the first.

pub(crate) mod http;
pub(crate) mod stomp;
pub(crate) mod websocket;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Server;
use super::http::Wire;
use super::metrics::Scrape;

/// The group that rows publish to.
pub(crate) const GROUP: u64 = 3;

/// A location that a row publishes, 30 bytes.
pub(crate) const LOCATION: &str = r#"{"member":"alice","x":1,"y":2}"#;

/// What lies behind a row publishes this member.
pub(crate) const BEHIND: &str = "behind";

/// A server for the rows of a table, and a connection of its own to ask it what was published.
pub(crate) struct Bench {
    /// The server.
    pub(crate) server: Server,
    probe: Wire,
}

impl Bench {
    /// Starts a server with one worker, so that a connection that has ended has done all that it ever will.
    #[track_caller]
    pub(crate) fn start(flags: &[&str]) -> Self {
        let server = Server::start(&[&["--workers", "1"], flags].concat());
        let probe = Wire::connect(&server);
        Self { server, probe }
    }

    /// How many publishes have been numbered.
    #[track_caller]
    pub(crate) fn publishes(&mut self) -> u64 {
        Scrape::over(&mut self.probe).sum("geoloop_publishes_total", &[]) as u64
    }

    /// Checks rows one after the other and fails with all that are wrong.
    #[track_caller]
    pub(crate) fn check_each<R>(&mut self, rows: &[R], rule: fn(&R) -> String, check: fn(&mut Self, &R)) {
        let fails = |row: &&R| catch_unwind(AssertUnwindSafe(|| check(self, row))).is_err();
        let failed: Vec<String> = rows.iter().filter(fails).map(rule).collect();
        assert!(failed.is_empty(), "{} of {} rows:\n{}", failed.len(), rows.len(), failed.join("\n"));
    }
}

/// How the bytes of a row come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// In one write, with what lies behind them.
    Whole,
    /// Byte by byte.
    Bytes,
    /// In two writes, the second with the last byte and what lies behind: a server that has closed by then is not
    /// written to for long.
    LastByte,
}

impl Cut {
    /// The ways to send a row that does, or does not, go on.
    fn of(goes_on: bool) -> [Self; 2] {
        [Self::Whole, if goes_on { Self::Bytes } else { Self::LastByte }]
    }

    #[track_caller]
    fn send(self, wire: &mut Wire, row: &[u8], behind: &[u8]) {
        let all = [row, behind].concat();
        // A long row is long to reach a limit, and takes its time byte by byte.
        let pieces = match self {
            Self::Whole => all.len(),
            Self::Bytes if all.len() < 2048 => 1,
            Self::Bytes | Self::LastByte => row.len().saturating_sub(1).max(1),
        };
        let (first, rest) = all.split_at(pieces.min(all.len()));
        wire.send(first);
        let piece = if self == Self::Bytes { pieces } else { rest.len().max(1) };
        rest.chunks(piece).for_each(|piece| wire.send(piece));
    }
}

/// What lies behind a row: a location like a row's own, of another member.
fn location_behind() -> String {
    LOCATION.replace("alice", BEHIND)
}

/// The start of what was sent, fit to be shown.
fn start_of(sent: &[u8]) -> String {
    let shown = sent.escape_ascii().to_string();
    let end = shown.char_indices().nth(200).map_or(shown.len(), |(at, _)| at);
    shown[..end].to_owned()
}
