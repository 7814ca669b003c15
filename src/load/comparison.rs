//! A run of the study's scenario beside the study's own figures, as a table.

use std::io::{self, Write};

use super::figures::RunFigures;
use super::k6_text::{INDENT, bytes, duration, number, padded, percent, rate, width};
use super::published::{self, Count, Published, Remeasured, Share, Times};
use super::report::RunReport;
use crate::ids::Transport;

/// What stands over the columns of figures.
const HEAD: [&str; 3] = ["this run", "published", "re-measured"];

/// Rows of a name and three figures: this run's, the published and the re-measured.
#[derive(Default)]
struct Table(Vec<(String, [Option<String>; 3])>);

/// Prints the comparison if there is one: of the study's scenario, with one of the study's numbers of users.
pub(super) fn print(out: &mut dyn Write, run: &RunReport, transport: Transport) -> io::Result<()> {
    let (published, again) =
        (published::published(transport, run.users), published::remeasured(transport, run.users));
    if published.is_none() && again.is_none() {
        return Ok(());
    }
    let mut table = Table::default();
    match transport {
        Transport::WebSocket | Transport::Stomp => table.add_sockets(&run.figures, published, again),
        Transport::Http | Transport::ShortPoll | Transport::LongPoll | Transport::Sse => {
            table.add_requests(&run.figures, published, again);
        }
    }
    table.add_data(&run.figures, published);
    table.add_server(run, again);
    writeln!(out, "\n{INDENT}beside the study's own {} users", run.users)?;
    table.print(out)?;
    match published::caveat(transport, run.users) {
        "" => Ok(()),
        caveat => writeln!(out, "{INDENT}({caveat})"),
    }
}

/// How often checks held; `None` if nothing was checked.
pub(super) fn checks_of(figures: &RunFigures) -> Option<Share> {
    let of = |fails: bool| {
        figures.checks.values().map(move |check| if fails { check.fails } else { check.passes })
    };
    let (yes, no) = (of(false).sum(), of(true).sum());
    (yes + no > 0).then(|| Share::of(yes, no))
}

/// How many requests failed: k6 counts those that did as a yes.
pub(super) fn failed_of(figures: &RunFigures) -> Share {
    Share::of(figures.http_req_failed, figures.http_reqs.saturating_sub(figures.http_req_failed))
}

impl Table {
    fn add_requests(
        &mut self,
        figures: &RunFigures,
        published: Option<&Published>,
        again: Option<&Remeasured>,
    ) {
        let seconds = figures.seconds;
        self.total("http_reqs", figures.http_reqs, published.and_then(|p| p.http_reqs), None);
        self.per_second(
            "http_reqs/s",
            figures.http_reqs,
            seconds,
            published.and_then(|p| p.http_reqs),
            again,
        );
        let failed = published.and_then(|p| p.http_req_failed);
        let failed_again = again.and_then(|again| again.failed_percent);
        self.share("http_req_failed", failed_of(figures), failed, failed_again);
        let duration = Times::of(figures.http_req_duration.summary());
        self.times("http_req_duration", duration, published.and_then(|p| p.http_req_duration), again);
        if let Some(checks) = checks_of(figures) {
            self.share("checks", checks, published.and_then(|p| p.checks), None);
        }
        self.total("iterations", figures.iterations, published.and_then(|p| p.iterations), None);
    }

    fn add_sockets(
        &mut self,
        figures: &RunFigures,
        published: Option<&Published>,
        again: Option<&Remeasured>,
    ) {
        let received = published.and_then(|p| p.ws_msgs_received);
        self.total("ws_sessions", figures.ws_sessions, published.and_then(|p| p.ws_sessions), None);
        self.total("ws_msgs_received", figures.ws_msgs_received, received, None);
        self.per_second("ws_msgs_received/s", figures.ws_msgs_received, figures.seconds, received, again);
        let sent = published.and_then(|p| p.ws_msgs_sent);
        self.total("ws_msgs_sent", figures.ws_msgs_sent, sent, again.and_then(|again| again.ws_msgs_sent));
        let connecting = Times::of(figures.ws_connecting.summary());
        self.times("ws_connecting", connecting, published.and_then(|p| p.ws_connecting), again);
    }

    fn add_data(&mut self, figures: &RunFigures, published: Option<&Published>) {
        let text = |count: Option<Count>| count.map(|count| bytes(count.total as f64));
        let received = text(published.and_then(|p| p.data_received));
        self.row("data_received", bytes(figures.data_received as f64), received, None);
        let sent = text(published.and_then(|p| p.data_sent));
        self.row("data_sent", bytes(figures.data_sent as f64), sent, None);
    }

    fn add_server(&mut self, run: &RunReport, again: Option<&Remeasured>) {
        let server = run.server.as_ref();
        let seconds = |seconds: f64| format!("{seconds:.1}s");
        let cpu = server.and_then(|server| server.cpu_seconds).map_or_else(unknown, seconds);
        self.row("server's CPU", cpu, None, again.map(|again| seconds(again.server_cpu_seconds)));
        let memory = server.and_then(|server| server.resident_bytes_peak);
        let memory = memory.map_or_else(unknown, |memory| bytes(memory as f64));
        let memory_again = again.map(|again| bytes(again.server_resident_bytes as f64));
        self.row("server's memory at most", memory, None, memory_again);
    }

    fn total(&mut self, name: &str, ours: u64, published: Option<Count>, again: Option<u64>) {
        let published = published.map(|count| count.total.to_string());
        self.row(name, ours.to_string(), published, again.map(|again| again.to_string()));
    }

    fn per_second(
        &mut self,
        name: &str,
        ours: u64,
        seconds: f64,
        published: Option<Count>,
        again: Option<&Remeasured>,
    ) {
        let whole = |rate: f64| number(rate.round());
        let published = published.map(|count| whole(count.per_second));
        self.row(name, whole(rate(ours, seconds)), published, again.map(|again| whole(again.per_second)));
    }

    fn share(&mut self, name: &str, ours: Share, published: Option<Share>, again: Option<f64>) {
        let published = published.map(|share| percent(share.percent));
        self.row(name, percent(ours.percent), published, again.map(percent));
    }

    fn times(&mut self, name: &str, ours: Times, published: Option<Times>, again: Option<&Remeasured>) {
        let mut one = |stat: &str, of: fn(Times) -> f64, again: Option<f64>| {
            let published = published.map(|times| duration(of(times)));
            self.row(&format!("{name} {stat}"), duration(of(ours)), published, again.map(duration));
        };
        one("avg", |times| times.avg_us, again.map(|again| again.avg_us));
        one("med", |times| times.med_us, None);
        one("p(90)", |times| times.p90_us, again.and_then(|again| again.p90_us));
        one("p(95)", |times| times.p95_us, again.and_then(|again| again.p95_us));
        one("max", |times| times.max_us, None);
    }

    /// A row, unless the study has neither figure.
    fn row(&mut self, name: &str, ours: String, published: Option<String>, again: Option<String>) {
        if published.is_some() || again.is_some() {
            self.0.push((name.to_owned(), [Some(ours), published, again]));
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let head = (String::new(), HEAD.map(|column| Some(column.to_owned())));
        let rows = || [&head].into_iter().chain(&self.0);
        let names = rows().map(|(name, _)| width(name)).max().unwrap_or(0);
        let cell = |cells: &[Option<String>; 3], at: usize| cells[at].clone().unwrap_or_else(unknown);
        let wide = [0, 1, 2].map(|at| rows().map(|(_, cells)| width(&cell(cells, at))).max().unwrap_or(0));
        for (name, cells) in rows() {
            write!(out, "{INDENT}{}", padded(name, names, ' '))?;
            for (at, wide) in wide.iter().enumerate() {
                let cell = cell(cells, at);
                write!(out, "  {}{cell}", " ".repeat(wide - width(&cell)))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

fn unknown() -> String {
    "-".to_owned()
}
