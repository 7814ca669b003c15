//! What the study that we re-play found, as published and as run again, beside what this one found.
//!
//! Its server was built with Spring Boot and Tomcat and loaded by k6 for a minute, up to 10,000 users. It published what
//! k6 printed; the same server and script were run again on two cores, server and k6 on one each. Its units are not
//! ours: it counts requests of users that come and go, we count updates that are delivered to users that stay.

use crate::ids::Transport;
use crate::load::published::{self, Published, Remeasured, SHORT_POLL_AS_WRITTEN_AGAIN};
use crate::study::figures::{Costs, Study};
use crate::study::page::markup::Table;
use crate::study::page::quantity::{NONE, Unit, number, percent, quantity, whole};
use crate::study::page::transports::{self, kept_up};
use crate::study::page::versus::Comparison;

/// The most users that the study had; run again were these alone.
const USERS: usize = 10_000;

/// k6 gives a WebSocket up that has not connected by now.
const CONNECT_TIMEOUT_US: f64 = 30_000_000.0;

/// One transport at [`USERS`] users, in words.
struct Run {
    /// Who measured it.
    source: &'static str,
    /// Requests or messages a second.
    rate: String,
    failed: String,
    latency: String,
    /// CPU seconds of the server in the whole run.
    cpu: String,
    /// The server's peak memory.
    memory: String,
}

fn transport(label: &str) -> Option<Transport> {
    Transport::ALL.into_iter().find(|transport| transport.label() == label)
}

/// All that there is of a transport, in the order in which it was measured.
fn runs(label: &str) -> Vec<Run> {
    let Some(transport) = transport(label) else { return Vec::new() };
    let mut runs: Vec<Run> = published::published(transport, USERS).into_iter().map(as_published).collect();
    let again = published::remeasured(transport, USERS);
    if transport == Transport::ShortPoll {
        runs.push(as_remeasured("run again", transport, &SHORT_POLL_AS_WRITTEN_AGAIN));
        runs.extend(again.map(|again| as_remeasured("run again, address mended", transport, again)));
    } else {
        runs.extend(again.map(|again| as_remeasured("run again", transport, again)));
    }
    runs
}

fn micros(value: f64) -> String {
    quantity(value, Unit::Micros)
}

fn as_published(published: &Published) -> Run {
    let requests =
        published.http_reqs.map(|count| format!("{} requests/s", number(count.per_second.round())));
    let messages =
        published.ws_msgs_received.map(|count| format!("{} messages/s", number(count.per_second.round())));
    let sessions = published.ws_sessions.map(|count| format!("{} sessions", whole(count.total)));
    let rate: Vec<_> = [requests, messages, sessions].into_iter().flatten().collect();
    let told = |what: &str, avg: f64, p95: f64| format!("{what}mean {}, p95 {}", micros(avg), micros(p95));
    let requests = published.http_req_duration.map(|times| told("", times.avg_us, times.p95_us));
    let connects = published.ws_connecting.map(|times| told("connect ", times.avg_us, times.p95_us));
    Run {
        source: "published",
        rate: rate.join(", "),
        failed: published.http_req_failed.map_or_else(none, |share| percent(share.percent / 100.0)),
        latency: requests.or(connects).unwrap_or_else(none),
        cpu: none(),
        memory: none(),
    }
}

fn as_remeasured(source: &'static str, transport: Transport, again: &Remeasured) -> Run {
    let (counted, timed) = match transport {
        Transport::WebSocket | Transport::Stomp => ("messages/s", "connect "),
        Transport::Http | Transport::ShortPoll | Transport::LongPoll | Transport::Sse => ("requests/s", ""),
    };
    let late = [("p90", again.p90_us), ("p95", again.p95_us)];
    let late = late.iter().filter_map(|(name, time)| Some(format!(", {name} {}", micros((*time)?))));
    let timed_out = again.p90_us.is_some_and(|p90_us| p90_us >= CONNECT_TIMEOUT_US);
    Run {
        source,
        rate: format!("{} {counted}", number(again.per_second)),
        failed: match again.failed_percent {
            Some(failed) => percent(failed / 100.0),
            None if timed_out => "over 10\u{a0}%, of connects".to_owned(),
            None => none(),
        },
        latency: format!("{timed}mean {}{}", micros(again.avg_us), late.collect::<String>()),
        cpu: format!("{}\u{a0}s", number(again.server_cpu_seconds)),
        memory: format!("{}\u{a0}MB", number(again.server_resident_bytes as f64 / 1e6)),
    }
}

fn none() -> String {
    NONE.to_owned()
}

/// What is to be known of its figures before they are held against others, a sentence a side.
pub(super) fn cautions(study: &Study, comparison: &Comparison) -> Vec<String> {
    let all = transports::all(study);
    let caution = |label: &&str| {
        let shown = all.iter().find(|shown| shown.label == *label)?;
        let caveat = published::caveat(transport(label)?, USERS);
        (!caveat.is_empty()).then(|| format!("{}: {caveat}.", shown.name))
    };
    comparison.sides.iter().filter_map(caution).collect()
}

/// Its figures and ours of both sides, below each other.
pub(super) fn table(study: &Study, comparison: &Comparison) -> Table {
    let mut table = Table::new(
        &format!(
            "{}: what the study that we re-play found at {} users, and ours",
            comparison.title,
            whole(USERS)
        ),
        &["whose", "requests or messages received", "failed", "latency", "server's CPU", "server's memory"],
    );
    let all = transports::all(study);
    for shown in comparison.sides.iter().filter_map(|label| all.iter().find(|shown| shown.label == *label)) {
        for run in runs(shown.label) {
            let cells = [run.rate, run.failed, run.latency, run.cpu, run.memory].map(|text| in_lines(&text));
            let whose = format!("{}, {}", shown.name, run.source);
            table.push([vec![whose.replace("again, ", "again,\n")], cells.to_vec()].concat());
        }
        let cells = shown.costs.map_or_else(|| [NONE; 5].map(str::to_owned), ours);
        table.push([vec![format!("{}, this study", shown.name)], cells.to_vec()].concat());
    }
    table
}

/// A list below each other instead of in one line.
fn in_lines(text: &str) -> String {
    text.replace(", ", "\n")
}

/// What this study has to hold against it: the highest rate that the transport kept up with.
fn ours(costs: &Costs) -> [String; 5] {
    let kept_up = costs.rates.iter().filter(|point| kept_up(point));
    let best = kept_up.max_by(|one, other| one.delivered_per_second.total_cmp(&other.delivered_per_second));
    let none = || NONE.to_owned();
    let memory = match costs.connection.resident_bytes.runs {
        0 => none(),
        _ => format!("{} a connection", quantity(costs.connection.resident_bytes.median, Unit::Bytes)),
    };
    let Some(best) = best else { return [none(), none(), none(), none(), memory] };
    [
        format!("{} updates/s", number(best.delivered_per_second)),
        whole(best.failures),
        format!(
            "p50 {}\np99 {}",
            quantity(best.latency.p50_us as f64, Unit::Micros),
            quantity(best.latency.p99_us as f64, Unit::Micros)
        ),
        match best.cpu_us_per_update.runs {
            0 => none(),
            _ => format!("{} an update", quantity(best.cpu_us_per_update.median, Unit::Micros)),
        },
        memory,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figures::LatencySummary;
    use crate::study::figures::{RatePoint, Spread};
    use crate::study::page::versus::COMPARISONS;

    fn rows(study: &Study, at: usize) -> Vec<Vec<String>> {
        let plain = |cell: &String| cell.replace('\u{a0}', " ");
        table(study, &COMPARISONS[at]).rows.iter().map(|row| row.iter().map(plain).collect()).collect()
    }

    #[test]
    fn its_figures_are_told_as_they_were_published() {
        let told = rows(&Study::default(), 0);
        for row in [
            ["Short polling, published", "770 requests/s", "100 %", "mean 423 ms\np95 1.94 s", NONE, NONE],
            [
                "Short polling, run again",
                "757 requests/s",
                "100 %",
                "mean 494 ms\np95 1.53 s",
                "43 s",
                "482 MB",
            ],
            [
                "Short polling, run again,\naddress mended",
                "861 requests/s",
                "2.4 %",
                "mean 71 ms\np95 501 ms",
                "25 s",
                "466 MB",
            ],
        ] {
            assert!(told.iter().any(|cells| cells == &row), "{row:?}\nis not in\n{told:#?}");
        }
        let told = rows(&Study::default(), 2);
        for row in [
            [
                "STOMP, published",
                "37,874 messages/s\n9,844 sessions",
                NONE,
                "connect mean 5.54 s\np95 30 s",
                NONE,
                NONE,
            ],
            [
                "STOMP, run again",
                "21,441 messages/s",
                "over 10 %\nof connects",
                "connect mean 5.40 s\np90 30 s",
                "73 s",
                "3,645 MB",
            ],
        ] {
            assert!(told.iter().any(|cells| cells == &row), "{row:?}\nis not in\n{told:#?}");
        }
    }

    #[test]
    fn what_is_wrong_with_its_figures_is_told() {
        let told = cautions(&Study::default(), &COMPARISONS[0]);
        assert!(told[0].starts_with("Short polling: ") && told[0].contains("404"), "{told:?}");
        assert!(told[1].starts_with("Long polling: ") && told[1].contains("406"), "{told:?}");
        assert_eq!(cautions(&Study::default(), &COMPARISONS[2]).len(), 2);
    }

    #[test]
    fn ours_stand_below_theirs() {
        let point = |intended: f64, delivered: f64| RatePoint {
            intended_per_second: intended,
            delivered_per_second: delivered,
            latency: LatencySummary { count: 1, p50_us: 300, p99_us: 1200, ..LatencySummary::default() },
            cpu_us_per_update: Spread::of([2.0]),
            ..RatePoint::default()
        };
        // The last was not kept up with.
        let rates = vec![point(1e3, 1e3), point(5e4, 5e4), point(1e5, 6e4)];
        let costs = Costs { transport: "websocket".to_owned(), rates, ..Costs::default() };
        let study = Study { transports: vec![costs], ..Study::default() };
        let rows = rows(&study, 2);
        let names: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
        let expected = [
            "WebSocket, published",
            "WebSocket, run again",
            "WebSocket, this study",
            "STOMP, published",
            "STOMP, run again",
            "STOMP, this study",
        ];
        assert_eq!(names, expected);
        let expected = ["50,000 updates/s", "0", "p50 300 µs\np99 1.20 ms", "2 µs an update", NONE];
        assert_eq!(rows[2][1..], expected);
        assert!(rows[5][1..].iter().all(|cell| cell == NONE), "{:?}", rows[5]);
    }
}
