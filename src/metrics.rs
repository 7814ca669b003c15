//! Every series of the scrape, one function each: what the shards counted, as Prometheus text.
//!
//! Knows [`Report`]s and the text format, and nothing of who counted. Series whose spread over the shards says
//! something (where groups live, how busy each reactor is, how much mail they exchange) carry `shard`; all others
//! are sums, so that a scrape stays small with many workers. A combination of labels that can occur is there from the
//! first scrape, as a zero, for a rate needs two points; one that cannot is left out.

use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

use crate::ids::Transport;
use crate::report::{Asked, BUCKET_MICROS, Call, Histogram, InOut, Reason, Report};

/// The media type of the scrape.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Every transport, a connection that has not said yet what it is included.
const ANY: &[Transport] = &Transport::ALL;
/// Those that are kept open until there is something to say, and so subscribe.
const KEPT_OPEN: &[Transport] =
    &[Transport::LongPoll, Transport::Sse, Transport::WebSocket, Transport::Stomp];
/// Those that have a queue to conflate; a long poll is answered once and asks again.
const STREAMS: &[Transport] = &[Transport::Sse, Transport::WebSocket, Transport::Stomp];
/// Those that locations come in by.
const PUBLISHERS: &[Transport] = &[Transport::Http, Transport::WebSocket, Transport::Stomp];

/// What a scrape is made of: each shard's counts, and their sum.
struct Fleet<'a> {
    shards: &'a [Report],
    total: Report,
}

/// The series of the server itself.
const SERIES: [fn(&Fleet<'_>) -> MetricFamily; 20] = [
    build_info,
    connections,
    connections_total,
    groups,
    held_bytes,
    mail_total,
    members,
    parked,
    payload_bytes_total,
    publishes_total,
    queue_bytes,
    refused_total,
    requests_total,
    staleness_seconds,
    subscriptions,
    syscalls_total,
    turn_seconds,
    updates_conflated_total,
    updates_delivered_total,
    wire_bytes_total,
];

/// Appends the scrape to `out`: the series of the server from one report a shard, in the order of the shards, and
/// those of the process.
pub fn render(reports: &[Report], out: &mut Vec<u8>) {
    let mut total = Report::default();
    reports.iter().for_each(|report| total.add(report));
    let fleet = Fleet { shards: reports, total };
    let mut families: Vec<_> = SERIES.iter().map(|series| series(&fleet)).collect();
    families.extend(process::families());
    // The encoder refuses a family without a sample, as one by shard is when there are no shards.
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new().encode(&families, out).expect("every family has a name, a sample, and a Vec takes it");
}

fn build_info(_: &Fleet<'_>) -> MetricFamily {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let labels = labels(&[("profile", profile), ("version", env!("CARGO_PKG_VERSION"))]);
    gauges("build_info", "Always 1; the labels say what is running.", vec![(labels, 1)])
}

fn connections(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_transport(ANY, &fleet.total.connections);
    gauges("connections", "Open connections, by what they are used for now.", samples)
}

fn connections_total(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_transport(ANY, &fleet.total.connections_total);
    counters("connections_total", "Connections that became one of this transport.", samples)
}

fn groups(fleet: &Fleet<'_>) -> MetricFamily {
    gauges("groups", "Groups, by the shard they are at home on.", by_shard(fleet, |report| report.groups))
}

fn held_bytes(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_shard(fleet, |report| report.held_bytes);
    gauges("held_bytes", "Bytes that count against --max-held-bytes, by the shard that holds them.", samples)
}

fn mail_total(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = fleet.shards.iter().enumerate().flat_map(|(shard, report)| {
        let shard = shard.to_string();
        let of = |direction: &str| labels(&[("direction", direction), ("shard", &shard)]);
        [(of("received"), report.mail.received), (of("sent"), report.mail.sent)]
    });
    counters(
        "mail_total",
        "Letters between shards, by the shard that took or posted them.",
        samples.collect(),
    )
}

fn members(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_shard(fleet, |report| report.members);
    gauges("members", "Members with a location, by the shard their group is at home on.", samples)
}

fn parked(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_transport(KEPT_OPEN, &fleet.total.parked);
    gauges("parked", "Requests and streams kept open until there is something to say.", samples)
}

fn payload_bytes_total(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_direction(PUBLISHERS, ANY, &fleet.total.payload_bytes);
    counters("payload_bytes_total", "Bytes of locations and updates alone, as JSON.", samples)
}

fn publishes_total(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_transport(PUBLISHERS, &fleet.total.publishes);
    counters("publishes_total", "Publishes that were numbered.", samples)
}

fn queue_bytes(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_transport(ANY, &fleet.total.queue_bytes);
    gauges("queue_bytes", "Bytes that wait in queues for slow sockets.", samples)
}

fn refused_total(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = Reason::ALL.iter().zip(fleet.total.refused);
    let samples = samples.map(|(reason, count)| (labels(&[("reason", reason.label())]), count));
    counters("refused_total", "What was refused, by the rule it ran into.", samples.collect())
}

fn requests_total(fleet: &Fleet<'_>) -> MetricFamily {
    let mut samples = Vec::new();
    for (asked, counts) in Asked::ALL.iter().zip(&fleet.total.requests) {
        for ((class, status), count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().enumerate().zip(counts) {
            if answers_with(*asked, class + 1) || *count > 0 {
                samples.push((labels(&[("endpoint", asked.label()), ("status", status)]), *count));
            }
        }
    }
    counters(
        "requests_total",
        "Requests answered, by the address asked for and the class of the status.",
        samples,
    )
}

/// Whether an endpoint answers with a class of status: 1 switches protocols, 2 also answers OPTIONS, 3 is for what
/// has an ETag, 5 says that the server is full or draining.
fn answers_with(asked: Asked, class: usize) -> bool {
    match asked {
        Asked::Current => matches!(class, 2..=5),
        Asked::WebSocket | Asked::Stomp | Asked::Echo => matches!(class, 1 | 2 | 4 | 5),
        Asked::Snapshot
        | Asked::LongPoll
        | Asked::Publish
        | Asked::Sse
        | Asked::SseOneShot
        | Asked::Health
        | Asked::Page
        | Asked::Specs => {
            matches!(class, 2 | 4 | 5)
        }
        Asked::Metrics => matches!(class, 2 | 4),
        Asked::Unknown => matches!(class, 4 | 5),
    }
}

fn staleness_seconds(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = ANY.iter().zip(&fleet.total.staleness);
    let samples = samples.filter(|(transport, histogram)| {
        KEPT_OPEN.contains(transport) || histogram.counts.iter().any(|count| *count > 0)
    });
    let samples = samples.map(|(transport, histogram)| (transport_label(*transport), histogram));
    let help = "From an update's numbering to the end of its write to a subscriber's socket.";
    histograms("staleness_seconds", help, samples.collect())
}

fn subscriptions(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_transport(KEPT_OPEN, &fleet.total.subscriptions);
    gauges("subscriptions", "Subscriptions to a group; a STOMP connection may have several.", samples)
}

fn syscalls_total(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = Call::ALL.iter().zip(fleet.total.syscalls);
    let samples = samples.map(|(call, count)| (labels(&[("call", call.label())]), count));
    counters("syscalls_total", "System calls that the reactors made.", samples.collect())
}

fn turn_seconds(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = fleet.shards.iter().enumerate();
    let samples = samples.map(|(shard, report)| (labels(&[("shard", &shard.to_string())]), &report.turn));
    let help = "How long a reactor's turn took, the wait for events left out.";
    histograms("turn_seconds", help, samples.collect())
}

fn updates_conflated_total(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_transport(STREAMS, &fleet.total.conflated);
    let help = "Updates that a slow subscriber was not given because newer ones took their place.";
    counters("updates_conflated_total", help, samples)
}

fn updates_delivered_total(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_transport(KEPT_OPEN, &fleet.total.delivered);
    counters("updates_delivered_total", "Updates written whole to a subscriber's socket.", samples)
}

fn wire_bytes_total(fleet: &Fleet<'_>) -> MetricFamily {
    let samples = by_direction(ANY, ANY, &fleet.total.wire_bytes);
    counters(
        "wire_bytes_total",
        "Everything on the socket: heads, frame headers, masks, heart-beats.",
        samples,
    )
}

/// One number with its labels.
type Sample = (Vec<LabelPair>, u64);

/// The `usual` transports, and any other that was counted all the same.
fn by_transport(usual: &[Transport], counts: &[u64]) -> Vec<Sample> {
    let each = Transport::ALL.iter().zip(counts);
    let each = each.filter(|(transport, count)| usual.contains(transport) || **count > 0);
    each.map(|(transport, count)| (transport_label(*transport), *count)).collect()
}

fn by_direction(receive: &[Transport], send: &[Transport], counts: &[InOut]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (transport, count) in Transport::ALL.iter().zip(counts) {
        for (direction, usual, count) in [("received", receive, count.received), ("sent", send, count.sent)] {
            if usual.contains(transport) || count > 0 {
                let labels = labels(&[("direction", direction), ("transport", transport.label())]);
                samples.push((labels, count));
            }
        }
    }
    samples
}

fn by_shard(fleet: &Fleet<'_>, count: impl Fn(&Report) -> u64) -> Vec<Sample> {
    let each = fleet.shards.iter().enumerate();
    each.map(|(shard, report)| (labels(&[("shard", &shard.to_string())]), count(report))).collect()
}

fn transport_label(transport: Transport) -> Vec<LabelPair> {
    labels(&[("transport", transport.label())])
}

fn labels(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
    let label = |(name, value): &(&str, &str)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    };
    pairs.iter().map(label).collect()
}

fn gauges(name: &str, help: &str, samples: Vec<Sample>) -> MetricFamily {
    let metrics = samples.into_iter().map(|(labels, value)| {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value as f64);
        let mut metric = Metric::from_label(labels);
        metric.set_gauge(gauge);
        metric
    });
    family(&format!("geoloop_{name}"), help, MetricType::GAUGE, metrics.collect())
}

fn counters(name: &str, help: &str, samples: Vec<Sample>) -> MetricFamily {
    let metrics = samples.into_iter().map(|(labels, value)| counter(labels, value as f64));
    family(&format!("geoloop_{name}"), help, MetricType::COUNTER, metrics.collect())
}

fn counter(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

fn histograms(name: &str, help: &str, samples: Vec<(Vec<LabelPair>, &Histogram)>) -> MetricFamily {
    let metrics = samples.into_iter().map(|(labels, histogram)| {
        let mut metric = Metric::from_label(labels);
        metric.set_histogram(cumulative(histogram));
        metric
    });
    family(&format!("geoloop_{name}"), help, MetricType::HISTOGRAM, metrics.collect())
}

/// The same histogram in seconds and as Prometheus wants it: each bucket counts what lies below it too. The open
/// bucket is the count of all, which the encoder writes as `le="+Inf"`.
fn cumulative(histogram: &Histogram) -> proto::Histogram {
    let mut below = 0;
    let bounded = BUCKET_MICROS.iter().zip(histogram.counts).map(|(bound, count)| {
        below += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(seconds(*bound));
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut cumulative = proto::Histogram::default();
    cumulative.set_bucket(bounded.collect());
    cumulative.set_sample_count(histogram.counts.iter().sum());
    cumulative.set_sample_sum(seconds(histogram.sum_micros));
    cumulative
}

/// Dividing, unlike multiplying by 1e-6, gives the number nearest to the decimal one: 0.0001 and not 0.00009999...
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// The `process_*` series of the Prometheus conventions, from /proc.
#[cfg(target_os = "linux")]
mod process {
    use prometheus::core::Collector as _;
    use prometheus::process_collector::ProcessCollector;
    use prometheus::proto::{MetricFamily, MetricType};

    use super::{counter, family};

    const CPU_SECONDS: &str = "process_cpu_seconds_total";

    /// What /proc counts a second of CPU time in: USER_HZ, 100 on every architecture that Rust runs Linux on but
    /// Alpha, and part of the kernel's promise to programs (proc_pid_stat(5), utime).
    const TICKS_PER_SECOND: f64 = 100.0;

    /// The usual series, with CPU seconds to the hundredth: the collector's own are whole, and a server at 3 % of a
    /// core would look idle for half a minute and then busy.
    pub(super) fn families() -> Vec<MetricFamily> {
        let mut families = ProcessCollector::for_self().collect();
        families.retain(|family| family.name() != CPU_SECONDS);
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some(ticks) = cpu_ticks(&stat) {
            let seconds = counter(Vec::new(), ticks as f64 / TICKS_PER_SECOND);
            let help = "Total user and system CPU time spent in seconds.";
            families.push(family(CPU_SECONDS, help, MetricType::COUNTER, vec![seconds]));
        }
        families
    }

    /// Fields 14 and 15, utime and stime. Field 2 is the program's name in parentheses and may hold both blanks and
    /// parentheses, so counting starts behind the last one, at field 3.
    pub(super) fn cpu_ticks(stat: &str) -> Option<u64> {
        let (_, behind_name) = stat.rsplit_once(')')?;
        let mut fields = behind_name.split_ascii_whitespace().skip(14 - 3);
        let utime: u64 = fields.next()?.parse().ok()?;
        let stime: u64 = fields.next()?.parse().ok()?;
        Some(utime + stime)
    }
}

/// There is no /proc to read elsewhere.
#[cfg(not(target_os = "linux"))]
mod process {
    pub(super) fn families() -> Vec<prometheus::proto::MetricFamily> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn scrape(reports: &[Report]) -> String {
        let mut out = Vec::new();
        render(reports, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Two shards with a different number for whatever can be told apart.
    fn two_shards() -> [Report; 2] {
        let mut report = Report::default();
        let stomp = Transport::Stomp as usize;
        report.connections[stomp] = 3;
        report.wire_bytes[stomp] = InOut { received: 100, sent: 2000 };
        report.payload_bytes[stomp] = InOut { received: 10, sent: 200 };
        report.staleness[stomp].observe(75, 2);
        report.staleness[stomp].observe(20_000_000, 1);
        report.turn.observe(40, 1);
        report.syscalls[Call::EpollWait as usize] = 5;
        report.requests[Asked::Current as usize][1] = 6;
        report.refused[Reason::Stale as usize] = 7;
        report.groups = 8;
        report.mail = InOut { received: 9, sent: 10 };
        let mut other = report.clone();
        other.groups = 80;
        [report, other]
    }

    #[track_caller]
    fn check(text: &str, line: &str) {
        assert!(text.lines().any(|each| each == line), "no line {line:?} in\n{text}");
    }

    #[test]
    fn counts_of_all_shards_are_added_up() {
        let text = scrape(&two_shards());
        check(&text, r#"geoloop_connections{transport="stomp"} 6"#);
        check(&text, r#"geoloop_wire_bytes_total{direction="received",transport="stomp"} 200"#);
        check(&text, r#"geoloop_wire_bytes_total{direction="sent",transport="stomp"} 4000"#);
        check(&text, r#"geoloop_payload_bytes_total{direction="sent",transport="stomp"} 400"#);
        check(&text, r#"geoloop_syscalls_total{call="epoll_wait"} 10"#);
        check(&text, r#"geoloop_requests_total{endpoint="current",status="2xx"} 12"#);
        check(&text, r#"geoloop_refused_total{reason="stale"} 14"#);
    }

    #[test]
    fn what_differs_by_shard_is_told_by_shard() {
        let text = scrape(&two_shards());
        check(&text, r#"geoloop_groups{shard="0"} 8"#);
        check(&text, r#"geoloop_groups{shard="1"} 80"#);
        check(&text, r#"geoloop_members{shard="1"} 0"#);
        check(&text, r#"geoloop_mail_total{direction="received",shard="0"} 9"#);
        check(&text, r#"geoloop_mail_total{direction="sent",shard="1"} 10"#);
        check(&text, r#"geoloop_turn_seconds_count{shard="1"} 1"#);
    }

    #[test]
    fn histograms_are_cumulative_and_in_seconds() {
        let text = scrape(&two_shards());
        check(&text, r#"geoloop_staleness_seconds_bucket{transport="stomp",le="0.00005"} 0"#);
        check(&text, r#"geoloop_staleness_seconds_bucket{transport="stomp",le="0.0001"} 4"#);
        check(&text, r#"geoloop_staleness_seconds_bucket{transport="stomp",le="10"} 4"#);
        check(&text, r#"geoloop_staleness_seconds_bucket{transport="stomp",le="+Inf"} 6"#);
        check(&text, r#"geoloop_staleness_seconds_sum{transport="stomp"} 40.0003"#);
        check(&text, r#"geoloop_staleness_seconds_count{transport="stomp"} 6"#);
        check(&text, r#"geoloop_turn_seconds_bucket{shard="0",le="0.00005"} 1"#);
    }

    #[test]
    fn what_can_occur_is_there_from_the_first_scrape_and_the_rest_is_not() {
        let text = scrape(&[Report::default()]);
        check(&text, r#"geoloop_refused_total{reason="slow_consumer"} 0"#);
        check(&text, r#"geoloop_requests_total{endpoint="stomp",status="1xx"} 0"#);
        check(&text, r#"geoloop_updates_conflated_total{transport="sse"} 0"#);
        check(&text, r#"geoloop_staleness_seconds_count{transport="long_poll"} 0"#);
        for absent in [
            r#"geoloop_requests_total{endpoint="current",status="1xx"}"#,
            r#"geoloop_updates_conflated_total{transport="short_poll"}"#,
            r#"geoloop_parked{transport="http"}"#,
        ] {
            assert!(!text.contains(absent), "{absent}");
        }
    }

    #[test]
    fn what_was_counted_against_expectation_is_told_all_the_same() {
        let mut report = Report::default();
        report.parked[Transport::Http as usize] = 1;
        report.requests[Asked::Unknown as usize][1] = 2;
        report.staleness[Transport::ShortPoll as usize].observe(1, 3);
        let text = scrape(&[report]);
        check(&text, r#"geoloop_parked{transport="http"} 1"#);
        check(&text, r#"geoloop_requests_total{endpoint="unknown",status="2xx"} 2"#);
        check(&text, r#"geoloop_staleness_seconds_count{transport="short_poll"} 3"#);
    }

    #[test]
    fn the_scrape_parses_is_sorted_and_says_each_series_once() {
        let text = scrape(&two_shards());
        let mut families = Vec::new();
        let mut series = BTreeSet::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a name and a text");
                assert!(help.ends_with('.'), "{line}");
                families.push(name.to_owned());
                continue;
            }
            let family = families.last().expect("HELP comes first");
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and a type");
                assert_eq!(name, family);
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                continue;
            }
            let (name_and_labels, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(name_and_labels.starts_with(family.as_str()), "{line} under {family}");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            assert!(series.insert(name_and_labels.to_owned()), "{line} is there twice");
        }
        assert!(families.is_sorted(), "{families:?}");
        assert!(families.iter().any(|name| name == "geoloop_build_info"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_tells_of_itself_with_fractions_of_a_second() {
        let text = scrape(&[]);
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            check(
                &text,
                &format!("# TYPE {name} {}", if name.ends_with("_total") { "counter" } else { "gauge" }),
            );
        }
        assert_eq!(text.matches("# TYPE process_cpu_seconds_total").count(), 1);
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 13 0 0";
        assert_eq!(process::cpu_ticks(stat), Some(263));
        assert_eq!(process::cpu_ticks("12 (short) S 1"), None);
        assert_eq!(process::cpu_ticks(""), None);
    }
}
