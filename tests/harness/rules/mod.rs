//! Rules of a standard as rows of raw bytes: how they are answered, and proof of what became of what lies behind them.
//!
//! A table runs against one server. Behind each row's bytes, in the same write, lies something that would publish; the
//! server's count of publishes then says whether it was taken. A table tells of every row that fails, not of the first.

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
        self.probe.send_get("/metrics");
        let scrape = Scrape::parse(&self.probe.answer().expect_status(200).text());
        scrape.sum("geoloop_publishes_total", &[]) as u64
    }

    /// Checks rows one after the other and fails with all that are wrong.
    #[track_caller]
    pub(crate) fn check_each<R>(&mut self, rows: &[R], rule: fn(&R) -> String, check: fn(&mut Self, &R)) {
        let fails = |row: &&R| catch_unwind(AssertUnwindSafe(|| check(self, row))).is_err();
        let failed: Vec<String> = rows.iter().filter(fails).map(rule).collect();
        assert!(failed.is_empty(), "{} of {} rows:\n{}", failed.len(), rows.len(), failed.join("\n"));
    }
}

/// What lies behind a row: a location like a row's own, of another member.
fn location_behind() -> String {
    LOCATION.replace("alice", BEHIND)
}

/// The start of what was sent, fit to be shown.
fn cut(sent: &[u8]) -> String {
    let shown = sent.escape_ascii().to_string();
    let end = shown.char_indices().nth(200).map_or(shown.len(), |(at, _)| at);
    shown[..end].to_owned()
}
