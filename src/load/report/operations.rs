//! What a closed loop was made of.

use serde::Serialize;

use super::{RunReport, share};

/// What a closed loop is made of, and what one of it costs: the loop goes as fast as it can, so that is what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Operations {
    /// What one is, in the plural.
    pub what: &'static str,
    /// How many there were that came to what they were for.
    pub count: u64,
    /// How many a second.
    pub per_second: f64,
    /// The server's CPU for each, in microseconds; none if it was not looked at.
    pub server_cpu_us: Option<f64>,
    /// The server's system calls for each, waits included; none if it does not count them.
    pub server_syscalls: Option<f64>,
}

impl RunReport {
    /// What the loop was made of, if it was a closed one and something came of it.
    #[must_use]
    pub fn operations(&self) -> Option<Operations> {
        self.in_flight?;
        let figures = &self.figures;
        let (what, count) = match self.scenario.as_str() {
            "ask" => ("requests", figures.http_reqs.saturating_sub(figures.http_req_failed)),
            "churn" => ("visits", figures.iterations),
            _ => ("deliveries", figures.delivered),
        };
        let each = |total: f64| (count > 0).then(|| total / count as f64);
        let server = self.server.as_ref();
        let syscalls = server.and_then(|server| server.counts.as_ref()).map(|counts| counts.syscalls.total());
        Some(Operations {
            what,
            count,
            per_second: share(count as f64, figures.seconds),
            server_cpu_us: server.and_then(|server| server.cpu_seconds).and_then(|cpu| each(1e6 * cpu)),
            server_syscalls: syscalls.and_then(|calls| each(calls as f64)),
        })
    }
}

impl Operations {
    pub(super) fn describe(&self) -> String {
        let mut text = format!("{}, {:.1}/s", self.count, self.per_second);
        if let Some(micros) = self.server_cpu_us {
            text += &format!(", {micros:.3}µs of the server's CPU for each");
        }
        if let Some(calls) = self.server_syscalls {
            text += &format!(", {calls:.3} system calls");
        }
        text
    }
}
