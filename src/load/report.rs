//! What a run prints: k6's lines in k6's words, the study's own figures beside, and what k6 does not tell.
//!
//! Everything comes from one value, [`RunReport`], which is also what `--json` writes.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::comparison::{self, checks_of, failed_of};
use super::figures::{Latencies, LatencySummary, RunFigures};
use super::k6_text::{INDENT, Lines, Value, bytes, duration, print_check};
use super::published::Times;
use super::server_side::{ByLabel, Counts, ServerSide};
use crate::ids::Transport;

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

impl Operations {
    fn describe(&self) -> String {
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
mod tests {
    use super::*;
    use crate::load::figures::{Check, Failure};

    /// Three times: short, middling and long.
    fn times(micros: [u64; 3]) -> Latencies {
        let mut latencies = Latencies::default();
        micros.into_iter().for_each(|micros| latencies.record(micros));
        latencies
    }

    fn run(scenario: &str, transport: Transport, users: usize, figures: RunFigures) -> RunReport {
        RunReport {
            scenario: scenario.to_owned(),
            transport: Some(transport.label().to_owned()),
            users,
            target: "127.0.0.1:8080".to_owned(),
            version: "0.1.0",
            figures,
            ..RunReport::default()
        }
    }

    fn long_polls() -> RunFigures {
        let mut figures = RunFigures {
            seconds: 60.0,
            vus_max: 1000,
            iterations: 2204,
            iteration_duration: times([3_010_000, 3_200_000, 14_000_000]),
            http_reqs: 6612,
            http_req_failed: 3,
            http_req_duration: times([441, 1510, 24_750]),
            http_req_connecting: times([80, 90, 1000]),
            first_byte: times([440, 1500, 24_000]),
            data_sent: 748_000,
            data_received: 3_000_000,
            published: 2204,
            delivered: 4408,
            delivery: times([300, 400, 500]),
            lag: times([1, 20, 300]),
            tool_cpu_seconds: 6.0,
            wall_seconds: 60.0,
            ..RunFigures::default()
        };
        figures.checks.insert("Long Polling Notify Status is 200", Check { passes: 2204, fails: 0 });
        figures.checks.insert("Long Polling Post Status is 200", Check { passes: 2201, fails: 3 });
        figures.failures.note_many(Failure::Lost, 2, || "user 17: \x1b[31mnumber 5".to_owned());
        figures.failures.note(Failure::Status, || "user 4: 503".to_owned());
        figures
    }

    fn stomp() -> RunFigures {
        RunFigures {
            seconds: 90.0,
            vus_max: 10_000,
            ws_sessions: 10_000,
            ws_connecting: times([400, 900, 2000]),
            ws_session_duration: times([1_000_000, 2_000_000, 4_000_000]),
            ws_msgs_sent: 30_000,
            ws_msgs_received: 3_600_000,
            data_sent: 4_000_000,
            data_received: 823_400_000,
            published: 10_000,
            delivered: 3_590_000,
            delivery: times([300, 400, 500]),
            lag: times([1, 20, 12_000]),
            tool_cpu_seconds: 81.0,
            wall_seconds: 90.0,
            ..RunFigures::default()
        }
    }

    fn server() -> ServerSide {
        let counts = Counts {
            syscalls: [("read", 40_000), ("write", 3_550_000)].into_iter().collect(),
            wire_received: [("http", 1000), ("stomp", 3_999_000)].into_iter().collect(),
            wire_sent: [("stomp", 820_000_000)].into_iter().collect(),
            payload_sent: [("stomp", 359_000_000)].into_iter().collect(),
            updates_delivered: [("stomp", 3_590_000)].into_iter().collect(),
            publishes: [("stomp", 10_000)].into_iter().collect(),
            refused: [("stomp", 2), ("stale", 1)].into_iter().collect(),
            ..Counts::default()
        };
        ServerSide {
            cpu_seconds: Some(35.9),
            resident_bytes_before: Some(9_900_000),
            resident_bytes_after: Some(14_000_000),
            resident_bytes_peak: Some(15_600_000),
            counts: Some(counts),
            counts_missing: None,
        }
    }

    fn printed(run: &RunReport) -> String {
        let mut out = Vec::new();
        print(&mut out, run).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(run: &RunReport, want: &str) {
        let text = printed(run);
        let want = want.strip_prefix('\n').expect("it begins on a line of its own");
        assert!(text == want, "printed:\n{text}\nwanted:\n{want}");
    }

    #[test]
    fn requests_are_printed_beside_what_was_published() {
        check(
            &run(SEED_SCENARIO, Transport::LongPoll, 1000, long_polls()),
            r"
     seed, long_poll, 1000 users at 127.0.0.1:8080, 1m0s

     ✓ Long Polling Notify Status is 200
     ✗ Long Polling Post Status is 200
      ↳  99% — ✓ 2201 / ✗ 3

     checks................: 99.93% ✓ 4405 ✗ 3
     data_received.........: 3.0 MB 50 kB/s
     data_sent.............: 748 kB 13 kB/s
     http_req_connecting...: avg=390µs  min=80µs  med=90µs   max=1ms     p(90)=1ms     p(95)=1ms
     http_req_duration.....: avg=8.89ms min=441µs med=1.51ms max=24.75ms p(90)=24.75ms p(95)=24.75ms
     http_req_failed.......: 0.04%  ✓ 3    ✗ 6609
     http_reqs.............: 6612   110.2/s
     iteration_duration....: avg=6.73s  min=3s    med=3.2s   max=14s     p(90)=14s     p(95)=14s
     iterations............: 2204   36.733333/s
     vus_max...............: 1000

     beside the study's own 1000 users
                              this run  published  re-measured
     http_reqs                    6612       6612            -
     http_reqs/s                   110         78            -
     http_req_failed             0.04%     11.17%            -
     http_req_duration avg      8.89ms      4.91s            -
     http_req_duration med      1.51ms      5.21s            -
     http_req_duration p(90)   24.75ms     10.96s            -
     http_req_duration p(95)   24.75ms     10.98s            -
     http_req_duration max     24.75ms     11.14s            -
     checks                     99.93%     88.82%            -
     iterations                   2204       2204            -
     data_received              3.0 MB     814 kB            -
     data_sent                  748 kB     748 kB            -
     (the study's server refused deliveries (406) and its timeouts counted as successes)

     delivery.........: p(50)=400µs p(90)=500µs   p(95)=500µs   p(99)=500µs   p(99.9)=500µs   max=500µs
     first byte.......: p(50)=1.5ms p(90)=24.01ms p(95)=24.01ms p(99)=24.01ms p(99.9)=24.01ms max=24.01ms
     the tool's lag...: p(50)=20µs  p(90)=300µs   p(95)=300µs   p(99)=300µs   p(99.9)=300µs   max=300µs

     published........: 2204
     delivered........: 4408
     the tool's CPU...: 6.00s, 10.0 % of a core
     the server.......: not looked at

     another status: 1
       user 4: 503
     update lost: 2
       user 17: \u{1b}[31mnumber 5

     3 failures
",
        );
    }

    #[test]
    fn sockets_are_printed_beside_all_figures_of_the_study() {
        let run = RunReport {
            server: Some(server()),
            interrupted: true,
            remarks: vec!["ten users were never started".to_owned()],
            ..run(SEED_SCENARIO, Transport::Stomp, 10_000, stomp())
        };
        check(
            &run,
            r"
     seed, stomp, 10000 users at 127.0.0.1:8080, 1m30s

     data_received.........: 823 MB  9.1 MB/s
     data_sent.............: 4.0 MB  44 kB/s
     vus_max...............: 10000
     ws_connecting.........: avg=1.1ms min=400µs    med=900µs max=2ms p(90)=2ms p(95)=2ms
     ws_msgs_received......: 3600000 40000/s
     ws_msgs_sent..........: 30000   333.333333/s
     ws_session_duration...: avg=2.33s min=999.93ms med=2s    max=4s  p(90)=4s  p(95)=4s
     ws_sessions...........: 10000   111.111111/s

     beside the study's own 10000 users
                              this run  published  re-measured
     ws_sessions                 10000       9844            -
     ws_msgs_received          3600000    3409118            -
     ws_msgs_received/s          40000      37874        21441
     ws_msgs_sent                30000      24696        24576
     ws_connecting avg           1.1ms      5.54s         5.4s
     ws_connecting med           900µs   354.49ms            -
     ws_connecting p(90)           2ms        30s          30s
     ws_connecting p(95)           2ms        30s            -
     ws_connecting max             2ms     43.78s            -
     data_received              823 MB     823 MB            -
     data_sent                  4.0 MB     3.7 MB            -
     server's CPU                35.9s          -        73.0s
     server's memory at most     16 MB          -       3.6 GB
     (over a tenth of the study's connects ended at k6's timeout: its server holds 8,192 connections)

     delivery.........: p(50)=400µs p(90)=500µs p(95)=500µs p(99)=500µs p(99.9)=500µs max=500µs
     the tool's lag...: p(50)=20µs  p(90)=12ms  p(95)=12ms  p(99)=12ms  p(99.9)=12ms  max=12ms

     published...................: 10000
     delivered...................: 3590000
     the tool's CPU..............: 81.00s, 90.0 % of a core
     the server's CPU............: 35.90s, 39.9 % of a core
     the server's memory.........: 9.9 MB before, 14 MB after, 16 MB at most
     system calls................: 3590000 (read 40000, write 3550000)
     bytes on the wire...........: 4.0 MB received, 820 MB sent
     publishes, deliveries.......: 10000 numbered, 3590000 delivered, 0 conflated
     for each update delivered...: 10µs of CPU, 1.000 system calls, 1.1 B received, 228.4 B sent (100.0 B payload)
     refused.....................: 3 (stale 1, stomp 2)

     warning: ten users were never started
     warning: the tool used 90 % of a core in its busiest second: it was the limit, and times are its own
     warning: the tool was 12ms late (p99) with what it sent: times are partly its own

     interrupted: this is what there was until then
     no failure
",
        );
    }

    #[test]
    fn another_scenario_or_number_of_users_has_nothing_beside() {
        for (scenario, users) in [("steady", 1000), (SEED_SCENARIO, 1001)] {
            let text = printed(&run(scenario, Transport::LongPoll, users, long_polls()));
            assert!(!text.contains("published  re-measured"), "{text}");
        }
        let several = RunReport { transport: None, ..run(SEED_SCENARIO, Transport::Stomp, 10_000, stomp()) };
        let text = printed(&several);
        assert!(text.contains("seed, several transports") && text.contains("ws_sessions"), "{text}");
        assert!(!text.contains("published  re-measured") && !text.contains("http_reqs"), "{text}");
    }

    #[test]
    fn fanout_prints_no_line_of_what_it_does_not_do() {
        let figures = RunFigures {
            seconds: 2.0,
            vus_max: 3,
            data_sent: 2000,
            data_received: 10_000,
            http_reqs: 20,
            http_req_duration: times([300, 400, 500]),
            published: 20,
            delivered: 60,
            delivery: times([300, 400, 500]),
            lag: times([1, 20, 300]),
            ..RunFigures::default()
        };
        check(
            &run("fanout", Transport::WebSocket, 4, figures),
            r"
     fanout, websocket, 4 users at 127.0.0.1:8080, 2s

     data_received.......: 10 kB  5.0 kB/s
     data_sent...........: 2.0 kB 1.0 kB/s
     http_req_duration...: avg=400µs min=300µs med=400µs max=500µs p(90)=500µs p(95)=500µs
     http_req_failed.....: 0.00%  ✓ 0 ✗ 20
     http_reqs...........: 20     10/s
     vus_max.............: 3

     delivery.........: p(50)=400µs p(90)=500µs p(95)=500µs p(99)=500µs p(99.9)=500µs max=500µs
     the tool's lag...: p(50)=20µs  p(90)=300µs p(95)=300µs p(99)=300µs p(99.9)=300µs max=300µs

     published........: 20
     delivered........: 60
     the tool's CPU...: 0.00s, 0.0 % of a core
     the server.......: not looked at

     no failure
",
        );
    }

    #[test]
    fn closed_loop_prints_what_an_operation_costs() {
        let figures = RunFigures {
            seconds: 2.0,
            vus_max: 4,
            http_reqs: 12,
            http_req_failed: 2,
            iterations: 5,
            delivered: 3_590_000,
            ..RunFigures::default()
        };
        let closed = |scenario, server| RunReport {
            in_flight: Some(8),
            server,
            ..run(scenario, Transport::Stomp, 4, figures.clone())
        };
        let told = printed(&closed("fanout", Some(server())));
        let begun = "     fanout, stomp, 4 users at 127.0.0.1:8080, 2s\n     a closed loop of 8 in flight: times count from \
                     the write\n\n";
        assert!(told.starts_with(begun), "{told}");
        let each = "3590000, 1795000.0/s, 10.000µs of the server's CPU for each, 1.000 system calls\n";
        assert!(told.contains(&format!("     deliveries..................: {each}")), "{told}");
        let uncounted = ServerSide { counts: None, ..server() };
        let told = printed(&closed("churn", Some(uncounted)));
        assert!(told.contains(": 5, 2.5/s, 7180000.000µs of the server's CPU for each\n"), "{told}");
        let told = printed(&closed("ask", None));
        assert!(told.contains("     requests.........: 10, 5.0/s\n"), "{told}");
        let nothing = RunReport { figures: RunFigures::default(), ..closed("ask", Some(server())) };
        let told = serde_json::to_value(&nothing).unwrap();
        assert_eq!(told["operations"]["server_cpu_us"], serde_json::Value::Null);
        assert_eq!(told["operations"]["per_second"], 0.0);
    }

    #[test]
    fn idle_connections_are_printed_with_how_long_they_took_to_open() {
        let figures = RunFigures {
            seconds: 2.0,
            vus_max: 3,
            opened: 3,
            opening: times([300, 400, 500]),
            first_byte: times([200, 300, 400]),
            ..RunFigures::default()
        };
        check(
            &run("idle", Transport::Stomp, 3, figures),
            r"
     idle, stomp, 3 users at 127.0.0.1:8080, 2s

     data_received...: 0 B 0 B/s
     data_sent.......: 0 B 0 B/s
     vus_max.........: 3

     opening......: p(50)=400µs p(90)=500µs p(95)=500µs p(99)=500µs p(99.9)=500µs max=500µs
     first byte...: p(50)=300µs p(90)=400µs p(95)=400µs p(99)=400µs p(99.9)=400µs max=400µs

     published........: 0
     delivered........: 0
     the tool's CPU...: 0.00s, 0.0 % of a core
     the server.......: not looked at

     no failure
",
        );
    }

    #[test]
    fn server_without_counts_says_why() {
        let side = ServerSide {
            cpu_seconds: Some(1.5),
            counts_missing: Some("/metrics is answered with 404".to_owned()),
            ..ServerSide::default()
        };
        let run = RunReport { server: Some(side), ..run("steady", Transport::LongPoll, 1000, long_polls()) };
        let text = printed(&run);
        assert!(text.contains("the server's CPU......: 1.50s, 2.5 % of a core\n"), "{text}");
        assert!(text.contains("the server's counts...: none: /metrics is answered with 404\n"), "{text}");
    }

    #[test]
    fn warnings_come_when_the_tool_was_the_limit_and_not_before() {
        let warnings = |cpu: f64, late: u64| {
            let figures = RunFigures {
                wall_seconds: 100.0,
                tool_cpu_seconds: cpu,
                lag: times([late; 3]),
                ..long_polls()
            };
            run("steady", Transport::LongPoll, 10, figures).warnings()
        };
        assert_eq!(warnings(85.0, 9_000), Vec::<String>::new());
        assert_eq!(warnings(86.0, 9_000).len(), 1);
        assert_eq!(warnings(10.0, 11_000).len(), 1);
        assert_eq!(warnings(99.0, 11_000).len(), 2);
        let figures = RunFigures { late: 7, ..RunFigures::default() };
        let told = run("fanout", Transport::Sse, 10, figures).warnings();
        assert!(matches!(&told[..], [told] if told.starts_with("7 updates of the warm-up came")), "{told:?}");
    }

    #[test]
    fn nothing_run_is_printed_too() {
        let text = printed(&RunReport::default());
        assert!(text.ends_with("\n     no failure\n") && !text.contains("NaN"), "{text}");
        let text = serde_json::to_string(&RunReport::default()).unwrap();
        assert!(text.contains("\"tool_cpu_share\":0.0") && text.contains("\"server\":null"), "{text}");
    }

    #[test]
    fn json_holds_the_figures_in_microseconds() {
        let run =
            RunReport { server: Some(server()), ..run(SEED_SCENARIO, Transport::Stomp, 10_000, stomp()) };
        let json = serde_json::to_value(&run).unwrap();
        assert_eq!((&json["scenario"], &json["transport"]), (&"seed".into(), &"stomp".into()));
        assert_eq!((&json["users"], &json["interrupted"]), (&10_000.into(), &false.into()));
        assert_eq!(json["figures"]["ws_connecting"]["p50_us"], 900);
        assert_eq!(json["figures"]["ws_msgs_received"], 3_600_000);
        assert_eq!(json["server"]["counts"]["wire_sent"]["stomp"], 820_000_000);
        assert_eq!(json["server"]["resident_bytes_peak"], 15_600_000);
        assert_eq!(json["tool_cpu_share"], 0.9);
        assert_eq!(json["failures"], 0);
        assert_eq!(json["warnings"].as_array().unwrap().len(), 2);
    }
}
