//! What a run prints: k6's lines in k6's words, the study's own figures beside, and what k6 does not tell.
//!
//! Everything comes from one value, [`RunReport`], which is also what `--json` writes.

mod operations;

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::comparison::{self, checks_of, failed_of};
use super::figures::{Latencies, LatencySummary, RunFigures};
use super::k6_text::{INDENT, Lines, Value, bytes, duration, print_check};
use super::published::Times;
use super::server_side::{ByLabel, Counts, ServerSide};
use crate::ids::Transport;

pub use self::operations::Operations;

/// The scenario that is the study's own, whose figures are laid beside.
pub const SEED_SCENARIO: &str = "seed";

/// Scenarios whose users do rounds as k6's do.
const ROUNDS: [&str; 2] = [SEED_SCENARIO, "ramp"];

/// The share of a core from which on the tool's waits for itself show in its times.
pub(crate) const TOOL_CPU_SHARE_MAX: f64 = 0.85;

/// How late the tool may be with one in a hundred of what it sends.
const LAG_MICROS_MAX: u64 = 10_000;

/// One run: what was run, and what came of it.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// What users did, by its name.
    pub scenario: String,
    /// The label of the transport that all of them used; `None` if they used several.
    pub transport: Option<String>,
    /// How many users there were at most.
    pub users: usize,
    /// How many operations were under way at a time, if each waited for one before.
    pub in_flight: Option<usize>,
    /// The server's address as it was given.
    pub target: String,
    /// The tool's version.
    pub version: &'static str,
    /// What clients counted and timed.
    pub figures: RunFigures,
    /// What the server used and counted, if it could be looked at.
    pub server: Option<ServerSide>,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// What else a reader ought to know; what the figures themselves give rise to is added to it.
    pub remarks: Vec<String>,
}

/// What JSON carries.
#[derive(Serialize)]
struct Whole<'a> {
    scenario: &'a str,
    transport: Option<&'a str>,
    users: usize,
    in_flight: Option<usize>,
    target: &'a str,
    version: &'a str,
    interrupted: bool,
    operations: Option<Operations>,
    figures: &'a RunFigures,
    server: Option<&'a ServerSide>,
    tool_cpu_share: f64,
    failures: u64,
    warnings: Vec<String>,
}

impl Serialize for RunReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = Whole {
            scenario: &self.scenario,
            transport: self.transport.as_deref(),
            users: self.users,
            in_flight: self.in_flight,
            target: &self.target,
            version: self.version,
            interrupted: self.interrupted,
            operations: self.operations(),
            figures: &self.figures,
            server: self.server.as_ref(),
            tool_cpu_share: self.tool_cpu_share(),
            failures: self.figures.failures.total(),
            warnings: self.warnings(),
        };
        whole.serialize(serializer)
    }
}

impl RunReport {
    /// The share of one core that the tool used.
    #[must_use]
    pub fn tool_cpu_share(&self) -> f64 {
        share(self.figures.tool_cpu_seconds, self.figures.wall_seconds)
    }

    /// What the reader ought to know before trusting the figures.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.remarks.clone();
        let share = self.tool_cpu_share().max(self.figures.tool_cpu_share_max);
        if share > TOOL_CPU_SHARE_MAX {
            let share = 100.0 * share;
            warnings.push(format!(
                "the tool used {share:.0} % of a core in its busiest second: it was the limit, and times are its own"
            ));
        }
        if self.figures.late > 0 {
            let updates = self.figures.late;
            warnings.push(format!(
                "{updates} updates of the warm-up came in the measured time: of these figures they are in bytes and in the \
                 server's counts alone"
            ));
        }
        if self.figures.cut_off > 0 {
            let users = self.figures.cut_off;
            warnings.push(format!(
                "{users} users were cut off in the middle of a request when their grace was over: it is in no figure"
            ));
        }
        let late = self.figures.lag.percentile(99.0);
        if late > LAG_MICROS_MAX {
            let late = duration(late as f64);
            warnings
                .push(format!("the tool was {late} late (p99) with what it sent: times are partly its own"));
        }
        warnings
    }

    fn transport(&self) -> Option<Transport> {
        Transport::ALL.into_iter().find(|transport| Some(transport.label()) == self.transport.as_deref())
    }
}

/// Prints a run.
///
/// # Errors
/// Those of `out`.
pub fn print(out: &mut dyn Write, run: &RunReport) -> io::Result<()> {
    print_head(out, run)?;
    print_checks(out, &run.figures)?;
    k6_lines(run).print(out)?;
    print_comparison(out, run)?;
    print_latencies(out, &run.figures)?;
    print_used(out, run)?;
    print_failures(out, &run.figures)?;
    let warnings = run.warnings();
    if !warnings.is_empty() {
        writeln!(out)?;
    }
    for warning in warnings {
        writeln!(out, "{INDENT}warning: {}", harmless(&warning))?;
    }
    writeln!(out)?;
    if run.interrupted {
        writeln!(out, "{INDENT}interrupted: this is what there was until then")?;
    }
    match run.figures.failures.total() {
        0 => writeln!(out, "{INDENT}no failure"),
        1 => writeln!(out, "{INDENT}1 failure"),
        failures => writeln!(out, "{INDENT}{failures} failures"),
    }
}

fn print_head(out: &mut dyn Write, run: &RunReport) -> io::Result<()> {
    let transport = run.transport.as_deref().unwrap_or("several transports");
    let lasted = duration((run.figures.seconds * 1e6).round());
    let (scenario, target) = (harmless(&run.scenario), harmless(&run.target));
    writeln!(out, "{INDENT}{scenario}, {transport}, {} users at {target}, {lasted}", run.users)?;
    if let Some(in_flight) = run.in_flight {
        writeln!(out, "{INDENT}a closed loop of {in_flight} in flight: times count from the write")?;
    }
    writeln!(out)
}

fn print_checks(out: &mut dyn Write, figures: &RunFigures) -> io::Result<()> {
    for (name, check) in &figures.checks {
        print_check(out, name, check.passes, check.fails)?;
    }
    if figures.checks.is_empty() { Ok(()) } else { writeln!(out) }
}

/// k6's lines in k6's order, those that the transport has.
fn k6_lines(run: &RunReport) -> Lines {
    let figures = &run.figures;
    let seconds = figures.seconds;
    let (mut has_requests, mut has_sockets) = (figures.http_reqs > 0, figures.ws_connecting.count() > 0);
    if ROUNDS.contains(&run.scenario.as_str()) {
        // Where users do what k6's do, that there was none of it tells something too.
        match run.transport() {
            Some(Transport::WebSocket | Transport::Stomp) => has_sockets = true,
            Some(Transport::Http | Transport::ShortPoll | Transport::LongPoll | Transport::Sse) => {
                has_requests = true;
            }
            None => {}
        }
    }
    let mut lines = Lines::as_k6();
    let trend = |lines: &mut Lines, name: &str, latencies: &Latencies| {
        if latencies.count() > 0 {
            lines.times(name, Times::of(latencies.summary()));
        }
    };
    if let Some(checks) = checks_of(figures) {
        lines.share("checks", checks);
    }
    lines.data("data_received", figures.data_received, seconds);
    lines.data("data_sent", figures.data_sent, seconds);
    if has_requests {
        trend(&mut lines, "http_req_connecting", &figures.http_req_connecting);
        trend(&mut lines, "http_req_duration", &figures.http_req_duration);
        lines.share("http_req_failed", failed_of(figures));
        lines.count("http_reqs", figures.http_reqs, seconds);
    }
    if figures.iterations > 0 {
        trend(&mut lines, "iteration_duration", &figures.iteration_duration);
        lines.count("iterations", figures.iterations, seconds);
    }
    lines.add("vus_max", Value::Plain(figures.vus_max.to_string(), Vec::new()));
    if has_sockets {
        trend(&mut lines, "ws_connecting", &figures.ws_connecting);
        lines.count("ws_msgs_received", figures.ws_msgs_received, seconds);
        lines.count("ws_msgs_sent", figures.ws_msgs_sent, seconds);
        trend(&mut lines, "ws_session_duration", &figures.ws_session_duration);
        lines.count("ws_sessions", figures.ws_sessions, seconds);
    }
    lines
}

/// The study's figures beside this run's, if it is the study's scenario with one of its numbers of users.
fn print_comparison(out: &mut dyn Write, run: &RunReport) -> io::Result<()> {
    match run.transport() {
        Some(transport) if run.scenario == SEED_SCENARIO => comparison::print(out, run, transport),
        Some(_) | None => Ok(()),
    }
}

/// What k6 does not time: how long it took to get in, deliveries from when they were meant to be published, polls and how
/// soon they showed what was published, first bytes, and the tool's own delays.
fn print_latencies(out: &mut dyn Write, figures: &RunFigures) -> io::Result<()> {
    let mut lines = Lines::new(&["p(50)", "p(90)", "p(95)", "p(99)", "p(99.9)", "max"]);
    let timed = [
        ("opening", &figures.opening),
        ("delivery", &figures.delivery),
        ("poll", &figures.poll),
        ("caught up", &figures.caught_up),
        ("first byte", &figures.first_byte),
        ("the tool's lag", &figures.lag),
    ];
    for (name, latencies) in timed.into_iter().filter(|(_, latencies)| latencies.count() > 0) {
        let summary = latencies.summary();
        let LatencySummary { p50_us, p90_us, p95_us, p99_us, p999_us, max_us, .. } = summary;
        let cells = [p50_us, p90_us, p95_us, p99_us, p999_us, max_us].map(|micros| duration(micros as f64));
        lines.add(name, Value::Times(cells.to_vec()));
    }
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    lines.print(out)
}

/// What the run took: the tool's CPU, and all of the server's side.
fn print_used(out: &mut dyn Write, run: &RunReport) -> io::Result<()> {
    let figures = &run.figures;
    let mut lines = Lines::new(&[]);
    lines.add("published", Value::Plain(figures.published.to_string(), Vec::new()));
    lines.add("delivered", Value::Plain(figures.delivered.to_string(), Vec::new()));
    if figures.conflated > 0 {
        lines.add("passed over (gap)", Value::Plain(figures.conflated.to_string(), Vec::new()));
    }
    if let Some(operations) = run.operations() {
        lines.add(operations.what, Value::Plain(operations.describe(), Vec::new()));
    }
    let mut used = cpu(figures.tool_cpu_seconds, figures.wall_seconds);
    if figures.tool_cpu_share_max > 0.0 {
        used += &format!(", {:.1} % in its busiest second", 100.0 * figures.tool_cpu_share_max);
    }
    lines.add("the tool's CPU", Value::Plain(used, Vec::new()));
    match &run.server {
        Some(server) => add_server(&mut lines, server, figures.wall_seconds),
        None => lines.add("the server", Value::Plain("not looked at".to_owned(), Vec::new())),
    }
    writeln!(out)?;
    lines.print(out)
}

fn add_server(lines: &mut Lines, server: &ServerSide, seconds: f64) {
    let mut add = |name: &str, text: String| lines.add(name, Value::Plain(text, Vec::new()));
    if let Some(used) = server.cpu_seconds {
        add("the server's CPU", cpu(used, seconds));
    }
    let memory = [
        (server.resident_bytes_before, "before"),
        (server.resident_bytes_after, "after"),
        (server.resident_bytes_peak, "at most"),
    ];
    let memory = memory.iter().filter_map(|(held, when)| Some(format!("{} {when}", bytes((*held)? as f64))));
    let memory = memory.collect::<Vec<_>>().join(", ");
    if !memory.is_empty() {
        add("the server's memory", memory);
    }
    if let Some(why) = &server.counts_missing {
        add("the server's counts", format!("none: {}", harmless(why)));
    }
    let Some(counts) = &server.counts else { return };
    add("system calls", with_parts(counts.syscalls.total().to_string(), &counts.syscalls));
    let wire = [(&counts.wire_received, "received"), (&counts.wire_sent, "sent")];
    let wire = wire.map(|(wire, way)| format!("{} {way}", bytes(wire.total() as f64)));
    add("bytes on the wire", wire.join(", "));
    add(
        "publishes, deliveries",
        format!(
            "{} numbered, {} delivered, {} conflated",
            counts.publishes.total(),
            counts.updates_delivered.total(),
            counts.updates_conflated.total(),
        ),
    );
    if let Some((what, times)) = unit_of(counts) {
        add(&format!("for each {what}"), for_each(server.cpu_seconds, counts, times));
    }
    if counts.refused.total() > 0 {
        add("refused", with_parts(counts.refused.total().to_string(), &counts.refused));
    }
}

/// What costs are told for: an update delivered, or where all polled and nobody was kept open, a request.
fn unit_of(counts: &Counts) -> Option<(&'static str, f64)> {
    match (counts.updates_delivered.total(), counts.requests.total()) {
        (0, 0) => None,
        (0, requests) => Some(("request", requests as f64)),
        (delivered, _) => Some(("update delivered", delivered as f64)),
    }
}

fn for_each(cpu_seconds: Option<f64>, counts: &Counts, times: f64) -> String {
    let cpu = cpu_seconds.map_or_else(String::new, |cpu| format!("{} of CPU, ", duration(1e6 * cpu / times)));
    let calls = counts.syscalls.total() as f64 / times;
    let [received, sent, payload] = [&counts.wire_received, &counts.wire_sent, &counts.payload_sent]
        .map(|count| count.total() as f64 / times);
    format!(
        "{cpu}{calls:.3} system calls, {received:.1} B received, {sent:.1} B sent ({payload:.1} B payload)"
    )
}

fn with_parts(total: String, parts: &ByLabel) -> String {
    let parts: Vec<_> = parts.iter().map(|(label, count)| format!("{label} {count}")).collect();
    if parts.is_empty() { total } else { format!("{total} ({})", harmless(&parts.join(", "))) }
}

fn cpu(used: f64, seconds: f64) -> String {
    format!("{used:.2}s, {:.1} % of a core", 100.0 * share(used, seconds))
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Each kind of failure with its first examples.
fn print_failures(out: &mut dyn Write, figures: &RunFigures) -> io::Result<()> {
    if figures.failures.total() > 0 {
        writeln!(out)?;
    }
    for (failure, count, examples) in figures.failures.iter() {
        writeln!(out, "{INDENT}{}: {count}", failure.describe())?;
        for example in examples {
            writeln!(out, "{INDENT}  {}", harmless(example))?;
        }
    }
    Ok(())
}

/// The text without what would make a terminal do something: part of it came from the server.
fn harmless(text: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests;
