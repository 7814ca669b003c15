//! One transport against another: every figure of both, whether they can be told apart, and what it comes to.
//!
//! The three comparisons are those that the study which we re-play set out for and left open.

use crate::study::figures::{Costs, PollingPoint, RatePoint, Spread, Study};
use crate::study::page::markup::Table;
use crate::study::page::quantity::{Unit, number, percent, quantity, spread_cell, times};
use crate::study::page::transports::{self, at_rate, common_rate, nearest_rate, slowest_rate};

/// What is compared.
pub(super) struct Comparison {
    /// Unique on the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// Labels of both.
    pub(super) sides: [&'static str; 2],
}

/// All comparisons, in the order of the page.
pub(super) const COMPARISONS: [Comparison; 3] = [
    Comparison {
        id: "polling-long-polling",
        title: "Polling against long polling",
        sides: ["short_poll", "long_poll"],
    },
    Comparison {
        id: "polling-websocket",
        title: "Polling against WebSocket",
        sides: ["short_poll", "websocket"],
    },
    Comparison { id: "websocket-stomp", title: "WebSocket against STOMP", sides: ["websocket", "stomp"] },
];

/// Means of bytes that lie less than this apart are the same messages, rounded.
const SAME_BYTES: f64 = 0.5;

/// Ratios below this are told as so many per cent more.
const TIMES_FROM: f64 = 1.5;

/// The interval at which the users of the study that we re-play poll.
const SEED_INTERVAL_MS: u64 = 3000;

/// How two figures relate.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// One of them was not measured.
    Unknown,
    /// Both are the same to the last digit that means anything.
    Same,
    /// The ranges of their runs overlap.
    WithinSpread,
    /// One is greater; `single` if one of them was measured once, so that its spread is not known.
    More { most: String, ratio: f64, single: bool },
}

impl Outcome {
    pub(super) fn of((name, one): (&str, &Spread), (other_name, other): (&str, &Spread)) -> Self {
        let runs = one.runs.min(other.runs);
        let finite = [one, other].iter().all(|spread| spread.median.is_finite());
        if runs == 0 || !finite {
            return Self::Unknown;
        }
        if one == other && one.min == one.max || one.median == other.median && runs == 1 {
            return Self::Same;
        }
        if runs > 1 && one.min <= other.max && other.min <= one.max {
            return Self::WithinSpread;
        }
        let (most, ratio) = if one.median >= other.median {
            (name, one.median / other.median)
        } else {
            (other_name, other.median / one.median)
        };
        Self::More { most: most.to_owned(), ratio, single: runs < 2 }
    }

    /// In words that end a sentence, or stand in a table.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Unknown => "they cannot be compared".to_owned(),
            Self::Same => "the same".to_owned(),
            Self::WithinSpread => "they cannot be told apart".to_owned(),
            Self::More { most, ratio, single } => {
                let caution = if *single { ", in single runs" } else { "" };
                match ratio {
                    ratio if !ratio.is_finite() => format!("only {most} takes any{caution}"),
                    ratio if *ratio < TIMES_FROM => {
                        format!("{} more for {most}{caution}", percent(ratio - 1.0))
                    }
                    ratio => format!("{} times as much for {most}{caution}", times(*ratio)),
                }
            }
        }
    }
}

/// One figure of both.
struct Figure {
    name: &'static str,
    unit: Unit,
    spreads: [Spread; 2],
    outcome: Outcome,
}

impl Figure {
    fn new(name: &'static str, unit: Unit, sides: &[String; 2], spreads: [Spread; 2]) -> Self {
        let outcome = Outcome::of((&sides[0], &spreads[0]), (&sides[1], &spreads[1]));
        Self { name, unit, spreads, outcome }
    }

    /// A figure that repeats exactly; 0 is not measured.
    fn exact(name: &'static str, sides: &[String; 2], values: [f64; 2]) -> Self {
        let [one, other] = values;
        let exact = |value: f64| {
            if value > 0.0 {
                Spread { median: value, min: value, max: value, runs: 2 }
            } else {
                Spread::default()
            }
        };
        let mut figure = Self::new(name, Unit::Bytes, sides, [exact(one), exact(other)]);
        if figure.outcome != Outcome::Unknown && (one - other).abs() < SAME_BYTES {
            figure.outcome = Outcome::Same;
        }
        figure
    }

    fn row(&self) -> Vec<String> {
        let cell = |spread: &Spread| {
            // What repeats exactly has no range to tell.
            if spread.min == spread.max && spread.runs > 0 {
                quantity(spread.median, self.unit)
            } else {
                spread_cell(spread, self.unit)
            }
        };
        let [one, other] = self.spreads.each_ref().map(cell);
        vec![capital(self.name), one, other, self.outcome.words()]
    }
}

/// What our figures say about both sides: first what it comes to, then each figure.
pub(super) struct Said {
    pub(super) answer: Vec<String>,
    pub(super) figures: Option<Table>,
}

/// Compares both sides by every figure that the study has of them.
pub(super) fn compare(study: &Study, comparison: &Comparison) -> Said {
    let all = transports::all(study);
    let found = comparison.sides.map(|label| all.iter().find(|shown| shown.label == label));
    let [Some(one), Some(other)] = found else { return Said { answer: Vec::new(), figures: None } };
    let (Some(one_costs), Some(other_costs)) = (one.costs, other.costs) else {
        let missing = [one, other].into_iter().filter(|shown| shown.costs.is_none());
        let missing: Vec<_> = missing.map(transports::Shown::noun).collect();
        let answer = vec![format!("This study did not measure {}.", missing.join(" and "))];
        return Said { answer, figures: None };
    };
    let names = [one.noun(), other.noun()];
    let costs = [one_costs, other_costs];
    let at_rate = common_rate_of_both(costs);
    let figures = figures(&names, costs, at_rate.map(|(_, points)| points));
    let mut answer = vec![summing_up(&names, &figures)];
    if comparison.sides[0] == "short_poll" {
        answer.extend(polling(study, &names, other_costs));
    }
    let rate = match at_rate {
        Some((rate, _)) => format!("updates at {} a second", number(rate)),
        None => "no rate of updates was measured that both kept up with".to_owned(),
    };
    let caption = format!("{}: {rate}; in brackets the range of the runs", comparison.title);
    let mut table = Table::new(&caption, &["figure", one.name, other.name, "verdict"]);
    figures.iter().for_each(|figure| table.push(figure.row()));
    Said { answer, figures: Some(table) }
}

fn common_rate_of_both(costs: [&Costs; 2]) -> Option<(f64, [&RatePoint; 2])> {
    let rate = common_rate(&costs)?;
    Some((rate, [at_rate(costs[0], rate)?, at_rate(costs[1], rate)?]))
}

fn figures(names: &[String; 2], costs: [&Costs; 2], points: Option<[&RatePoint; 2]>) -> Vec<Figure> {
    let mut figures =
        vec![Figure::exact("bytes for an update", names, costs.map(|costs| costs.wire.total()))];
    if let Some(points) = points {
        let mut of_an_update = |name, unit, of: fn(&RatePoint) -> Spread| {
            figures.push(Figure::new(name, unit, names, points.map(of)));
        };
        of_an_update("CPU for an update", Unit::Micros, |point| point.cpu_us_per_update);
        of_an_update("system calls for an update", Unit::Count, |point| point.syscalls_per_update);
        of_an_update("median latency", Unit::Micros, |point| point.p50_us);
        of_an_update("99th percentile of latency", Unit::Micros, |point| point.p99_us);
    }
    let mut of_a_connection = |name, unit, of: fn(&Costs) -> Spread| {
        figures.push(Figure::new(name, unit, names, costs.map(of)));
    };
    of_a_connection("memory of the process", Unit::Bytes, |costs| costs.connection.resident_bytes);
    of_a_connection("time to connect", Unit::Micros, |costs| costs.connection.connect_us);
    of_a_connection("CPU to connect", Unit::Micros, |costs| costs.connection.connect_cpu_us);
    figures
}

/// Who takes more of what, in one sentence a side, and what cannot be told.
fn summing_up(names: &[String; 2], figures: &[Figure]) -> String {
    let mut sentences = Vec::new();
    for (name, other) in [(&names[0], &names[1]), (&names[1], &names[0])] {
        let more = figures.iter().filter_map(|figure| match &figure.outcome {
            Outcome::More { most, ratio, .. } if most == name => Some(match ratio {
                ratio if !ratio.is_finite() => format!("{} (the other takes none)", figure.name),
                ratio if *ratio < TIMES_FROM => format!("{} ({})", figure.name, percent(ratio - 1.0)),
                ratio => format!("{} ({} times)", figure.name, times(*ratio)),
            }),
            _ => None,
        });
        let more: Vec<_> = more.collect();
        if !more.is_empty() {
            sentences.push(format!("{} costs more than {other} in {}.", capital(name), more.join(", ")));
        }
    }
    let those = |kind: &Outcome| {
        let of_kind = figures.iter().filter(|figure| figure.outcome == *kind).map(|figure| figure.name);
        of_kind.collect::<Vec<_>>().join(", ")
    };
    for (kind, words) in [
        (Outcome::Same, "Both cost the same in"),
        (Outcome::WithinSpread, "The runs do not tell them apart in"),
        (Outcome::Unknown, "Not measured on both:"),
    ] {
        let those = those(&kind);
        if !those.is_empty() {
            sentences.push(format!("{words} {those}."));
        }
    }
    let is_single = |figure: &Figure| matches!(figure.outcome, Outcome::More { single: true, .. });
    if figures.iter().any(is_single) {
        sentences.push("Where there were single runs, what is told apart may be chance.".to_owned());
    }
    sentences.join(" ")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What a wait between polls costs and spares beside a transport that is told of updates as they come.
fn polling(study: &Study, names: &[String; 2], other: &Costs) -> Vec<String> {
    let mut points: Vec<&PollingPoint> =
        study.polling.iter().filter(|point| point.interval_ms > 0 && point.users > 0).collect();
    points.sort_by_key(|point| point.interval_ms);
    let (Some(shortest), Some(longest)) = (points.first(), points.last()) else {
        return vec!["Polling was not measured at any interval.".to_owned()];
    };
    let mut chosen: Vec<&PollingPoint> = vec![shortest];
    let inner = points.iter().filter(|point| point.interval_ms == SEED_INTERVAL_MS);
    chosen.extend(
        inner.filter(|point| ![shortest.interval_ms, longest.interval_ms].contains(&point.interval_ms)),
    );
    if longest.interval_ms != shortest.interval_ms {
        chosen.push(longest);
    }
    let fresh: Vec<_> = chosen.into_iter().map(freshness).collect();
    let beside = slowest_rate(other).map_or_else(String::new, |point| {
        format!(
            " With {} the median is {} at {} updates a second.",
            names[1],
            quantity(point.latency.p50_us as f64, Unit::Micros),
            number(point.intended_per_second)
        )
    });
    let mut said = vec![format!("How old an update is when a poller has it: {}.{beside}", fresh.join("; "))];
    let bytes = Some(other.wire.total()).filter(|bytes| *bytes > 0.0);
    said.extend(bytes.and_then(|bytes| {
        let of = |point: &PollingPoint| (point.bytes_per_user_second, bytes * point.publishes_per_second);
        break_even(&points, names, ["fewer", "bytes"], Unit::Bytes, of)
    }));
    let of = |point: &PollingPoint| (point.cpu_us_per_user_second, cpu_beside(other, point).unwrap_or(0.0));
    said.extend(break_even(&points, names, ["less", "CPU"], Unit::Micros, of));
    said
}

/// The CPU that the other transport takes for each user and second where these pollers polled, by the rate of delivery
/// that was measured nearest to theirs: a server with little to do takes more for each update.
pub(super) fn cpu_beside(other: &Costs, point: &PollingPoint) -> Option<f64> {
    let nearest = nearest_rate(other, point.publishes_per_second * point.users as f64)?;
    let cpu = nearest.cpu_us_per_update;
    (cpu.runs > 0 && cpu.median > 0.0).then_some(cpu.median * point.publishes_per_second)
}

fn freshness(point: &PollingPoint) -> String {
    let every = format!("every {}", quantity(point.interval_ms as f64, Unit::Millis));
    if point.staleness.count == 0 {
        return format!("polling {every}, none came");
    }
    format!(
        "polling {every}, {} in the median and {} at the 99th percentile, {} of the updates never seen",
        quantity(point.staleness.p50_us as f64, Unit::Micros),
        quantity(point.staleness.p99_us as f64, Unit::Micros),
        percent(point.unseen_share)
    )
}

/// The interval from which polling takes less than the other transport; `points` are in order of interval, and `both` says
/// what polling and the other take for each user and second.
fn break_even(
    points: &[&PollingPoint],
    names: &[String; 2],
    [fewer, what]: [&str; 2],
    unit: Unit,
    both: impl Fn(&PollingPoint) -> (f64, f64),
) -> Option<String> {
    let real: Vec<_> = points.iter().filter(|point| both(point).0 > 0.0 && both(point).1 > 0.0).collect();
    let (first, last) = (real.first()?, real.last()?);
    let told = |point: &PollingPoint| {
        let (polling, other) = both(point);
        format!("{} against {} a user and second", quantity(polling, unit), quantity(other, unit))
    };
    let every = |point: &PollingPoint| format!("every {}", quantity(point.interval_ms as f64, Unit::Millis));
    let less = |point: &PollingPoint| both(point).0 <= both(point).1;
    let at = format!("At {} updates a second in the group", number(first.publishes_per_second));
    let other = &names[1];
    let always = |amount: &str, extreme: &PollingPoint| {
        format!(
            "{at} polling takes {amount} {what} than {other} at every measured interval, even {}: {}.",
            every(extreme),
            told(extreme)
        )
    };
    Some(match real.iter().find(|point| less(point)) {
        None => always("more", last),
        Some(point) if point.interval_ms == first.interval_ms => always(fewer, first),
        Some(point) => format!(
            "{at} polling {} takes more {what} than {other}, {}; polling {} or less often takes {fewer}, {}.",
            every(first),
            told(first),
            every(point),
            told(point)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figures::LatencySummary;
    use crate::study::figures::{ConnectionCosts, SubscribersPoint, WireBytes};

    #[track_caller]
    fn check(one: &[f64], other: &[f64], expected: &str) {
        let (one, other) = (Spread::of(one.iter().copied()), Spread::of(other.iter().copied()));
        let words = Outcome::of(("tea", &one), ("milk", &other)).words();
        assert_eq!(words.replace('\u{a0}', " "), expected);
    }

    #[test]
    fn figures_differ_only_where_their_ranges_do_not_overlap() {
        check(&[10.0, 11.0, 12.0], &[12.0, 13.0, 14.0], "they cannot be told apart");
        check(&[10.0, 11.0, 11.9], &[12.0, 13.0, 14.0], "18 % more for milk");
        check(&[40.0, 44.0, 48.0], &[10.0, 11.0, 12.0], "4.0 times as much for tea");
        check(&[2.0, 2.0], &[2.0, 2.0], "the same");
        check(&[2.0, 2.0], &[0.0, 0.0], "only tea takes any");
    }

    #[test]
    fn single_runs_are_told_with_caution() {
        check(&[30.0], &[10.0, 11.0, 12.0], "2.7 times as much for tea, in single runs");
        check(&[5.0], &[5.0], "the same");
        let names = ["tea".to_owned(), "milk".to_owned()];
        let spreads = [Spread::of([30.0]), Spread::of([10.0, 12.0])];
        let figure = Figure::new("price", Unit::Count, &names, spreads);
        assert_eq!(
            summing_up(&names, &[figure]),
            "Tea costs more than milk in price (2.7 times). Where there were single runs, what is told apart may be chance."
        );
        check(&[], &[5.0], "they cannot be compared");
        check(&[f64::NAN, f64::NAN], &[5.0, 5.0], "they cannot be compared");
    }

    fn costs(transport: &str, bytes: f64, delivery: f64, p50: [f64; 3]) -> Costs {
        let cpu = |subscribers: usize| SubscribersPoint {
            subscribers,
            cpu_us_per_publish: Spread::of([delivery * subscribers as f64; 2]),
            ..SubscribersPoint::default()
        };
        let rate = RatePoint {
            intended_per_second: 1000.0,
            delivered_per_second: 1000.0,
            latency: LatencySummary { count: 9, p50_us: p50[1] as u64, ..LatencySummary::default() },
            p50_us: Spread::of(p50),
            cpu_us_per_update: Spread::of([delivery, delivery * 1.1, delivery * 0.9]),
            ..RatePoint::default()
        };
        Costs {
            transport: transport.to_owned(),
            wire: WireBytes { down_payload: 90.0, down_overhead: bytes - 90.0, ..WireBytes::default() },
            connection: ConnectionCosts {
                resident_bytes: Spread::of([170.0, 171.0]),
                ..ConnectionCosts::default()
            },
            subscribers: vec![cpu(1), cpu(10)],
            rates: vec![rate],
        }
    }

    fn polling(interval_ms: u64, bytes: f64, cpu: f64) -> PollingPoint {
        let p50_us = interval_ms * 500;
        PollingPoint {
            interval_ms,
            users: 10,
            publishes_per_second: 2.0,
            staleness: LatencySummary { count: 9, p50_us, p99_us: p50_us * 2, ..LatencySummary::default() },
            bytes_per_user_second: bytes,
            cpu_us_per_user_second: cpu,
            unseen_share: 0.25,
            ..PollingPoint::default()
        }
    }

    fn said(study: &Study, at: usize) -> (String, Vec<String>) {
        let said = compare(study, &COMPARISONS[at]);
        let plain = |text: String| text.replace(['\u{a0}', '\n'], " ");
        let rows = said.figures.into_iter().flat_map(|table| table.rows);
        (said.answer.join("|").replace('\u{a0}', " "), rows.map(|row| plain(row.join(" | "))).collect())
    }

    #[test]
    fn a_comparison_sums_up_and_then_tells_each_figure() {
        let websocket = costs("websocket", 94.0, 2.0, [290.0, 300.0, 310.0]);
        let stomp = costs("stomp", 235.0, 2.0, [305.0, 310.0, 320.0]);
        let study = Study { transports: vec![websocket, stomp], ..Study::default() };
        let (answer, figures) = said(&study, 2);
        assert_eq!(
            answer,
            "STOMP costs more than WebSocket in bytes for an update (2.5 times). The runs do not tell them apart in CPU \
             for an update, median latency, memory of the process. Not measured on both: system calls for an update, \
             99th percentile of latency, time to connect, CPU to connect."
        );
        for row in [
            "Bytes for an update | 94 B | 235 B | 2.5 times as much for STOMP",
            "Median latency | 300 µs (290–310) | 310 µs (305–320) | they cannot be told apart",
            "Time to connect | – | – | they cannot be compared",
        ] {
            assert!(figures.iter().any(|told| told == row), "{row}\nis not in\n{figures:#?}");
        }
    }

    #[test]
    fn polling_is_told_with_the_interval_from_which_it_is_cheaper() {
        let mut study = Study {
            transports: vec![
                Costs { transport: "short_poll".to_owned(), ..Costs::default() },
                costs("long_poll", 300.0, 12.0, [400.0, 420.0, 440.0]),
                costs("websocket", 94.0, 2.0, [290.0, 300.0, 310.0]),
            ],
            // Out of order: the words sort them.
            polling: vec![polling(10_000, 30.0, 5.0), polling(500, 900.0, 20.0), polling(3000, 100.0, 8.0)],
            ..Study::default()
        };
        let (answer, _) = said(&study, 0);
        let lines: Vec<_> = answer.split('|').collect();
        assert_eq!(
            lines[1..],
            [
                "How old an update is when a poller has it: polling every 500 ms, 250 ms in the median and 500 ms at the \
                 99th percentile, 25 % of the updates never seen; polling every 3 s, 1.50 s in the median and 3 s at the \
                 99th percentile, 25 % of the updates never seen; polling every 10 s, 5 s in the median and 10 s at the \
                 99th percentile, 25 % of the updates never seen. With long polling the median is 420 µs at 1,000 updates \
                 a second.",
                "At 2 updates a second in the group polling every 500 ms takes more bytes than long polling, 900 B against \
                 600 B a user and second; polling every 3 s or less often takes fewer, 100 B against 600 B a user and second.",
                "At 2 updates a second in the group polling takes less CPU than long polling at every measured interval, \
                 even every 500 ms: 20 µs against 24 µs a user and second.",
            ]
        );
        let (answer, _) = said(&study, 1);
        assert!(
            answer.contains(
                "more CPU than WebSocket at every measured interval, even every 10 s: 5 µs against 4 µs"
            ),
            "{answer}"
        );
        study.polling.clear();
        assert!(said(&study, 0).0.contains("Polling was not measured at any interval."));
    }

    #[test]
    fn a_side_that_was_not_measured_is_named() {
        let study = Study { transports: vec![costs("stomp", 235.0, 2.0, [1.0; 3])], ..Study::default() };
        assert_eq!(said(&study, 0).0, "This study did not measure short polling and long polling.");
        assert_eq!(said(&study, 2), ("This study did not measure WebSocket.".to_owned(), Vec::new()));
    }
}
