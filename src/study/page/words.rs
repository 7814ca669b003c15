//! What the figures say, in sentences that are made of them: nothing here is concluded before it was measured.
//!
//! Two figures differ only if the ranges of their repeated measurements do not overlap; otherwise it is said that they
//! cannot be told apart.

use crate::study::figures::{Costs, RatePoint, Spread, Study, SubscribersPoint};
use crate::study::page::capacity::{self, Coefficients, GROUPS, LinearCost, Resource, measured_sizes};
use crate::study::page::quantity::{Unit, number, percent, quantity, whole};
use crate::study::page::transports::{self, Shown, at_rate, study_rate};
use crate::study::page::versus::Outcome;

/// A cost that lies within this share of a straight line is told as straight even if its measurements repeat more exactly.
const STRAIGHT_DEVIATION_MAX: f64 = 0.10;

/// What lies this near to a line lies on it: less is not written.
const ON_THE_LINE: f64 = 0.0005;

/// The findings to read first.
pub(super) fn headlines(study: &Study) -> Vec<String> {
    let measured = transports::measured(study);
    let mut found = Vec::new();
    found.extend(bytes_headline(&measured));
    if let Some(rate) = study_rate(study) {
        let at = format!("At {} updates a second", number(rate));
        found.extend(range_headline(
            &format!("{at} the server spends"),
            " of CPU on each, publishes included",
            &spreads_at(&measured, rate, |point| point.cpu_us_per_update),
        ));
        let (polling, streaming): (Vec<_>, Vec<_>) =
            measured.iter().copied().partition(|(shown, _)| shown.label == "short_poll");
        found.extend(range_headline(
            &format!("{at} the 99th percentile of latency is"),
            " where updates are delivered as they come",
            &spreads_at(&streaming, rate, |point| point.p99_us),
        ));
        found.extend(polling.first().and_then(|(_, costs)| wait_headline(at_rate(costs, rate)?)));
    }
    found.extend(memory_headline(&measured));
    found.extend(linearity_headline(&measured));
    found.extend(capacity_headline(&measured));
    found.push(failures_headline(study));
    found
}

pub(super) type Measured<'a> = [(Shown<'a>, &'a Costs)];

fn line_of(costs: &Costs) -> Option<LinearCost> {
    LinearCost::through(&costs.subscribers)
}

fn spreads_at(
    measured: &Measured<'_>,
    rate: f64,
    of: impl Fn(&RatePoint) -> Spread,
) -> Vec<(String, Spread)> {
    let each = measured.iter().filter_map(|(shown, costs)| Some((shown.noun(), of(at_rate(costs, rate)?))));
    each.filter(|(_, spread)| spread.runs > 0).collect()
}

/// The least and the greatest of several medians, in microseconds; `None` unless there are two.
fn range_headline(begin: &str, end: &str, spreads: &[(String, Spread)]) -> Option<String> {
    if spreads.len() < 2 {
        return None;
    }
    let by_median =
        |one: &&(String, Spread), other: &&(String, Spread)| one.1.median.total_cmp(&other.1.median);
    let (least_name, least) = spreads.iter().min_by(by_median)?;
    let (most_name, most) = spreads.iter().max_by(by_median)?;
    Some(format!(
        "{begin} from {} ({least_name}) to {} ({most_name}){end}: {}.",
        quantity(least.median, Unit::Micros),
        quantity(most.median, Unit::Micros),
        Outcome::of((most_name, most), (least_name, least)).words()
    ))
}

/// What latency is with short polling.
fn wait_headline(point: &RatePoint) -> Option<String> {
    (point.p50_us.runs > 0 && point.answer.count > 0).then(|| {
        format!(
            "At {} updates a second short polling's latency is the wait for the next poll: {} in the median, where a poll is \
             answered in {}.",
            number(point.intended_per_second),
            quantity(point.p50_us.median, Unit::Micros),
            quantity(point.answer.p50_us as f64, Unit::Micros)
        )
    })
}

fn bytes_headline(measured: &Measured<'_>) -> Option<String> {
    let totals =
        measured.iter().map(|(shown, costs)| (shown.noun(), costs.wire.total(), costs.wire.down_payload));
    let totals: Vec<_> = totals.filter(|(_, total, _)| *total > 0.0).collect();
    let least = totals.iter().min_by(|one, other| one.1.total_cmp(&other.1))?;
    let most = totals.iter().max_by(|one, other| one.1.total_cmp(&other.1))?;
    Some(if least.0 == most.0 {
        format!("One update to one subscriber takes {} on {}.", quantity(least.1, Unit::Bytes), least.0)
    } else {
        format!(
            "One update to one subscriber takes from {} ({}) to {} ({}) above TCP, both directions together; \
             the update itself is {}.",
            quantity(least.1, Unit::Bytes),
            least.0,
            quantity(most.1, Unit::Bytes),
            most.0,
            quantity(least.2, Unit::Bytes)
        )
    })
}

fn memory_headline(measured: &Measured<'_>) -> Option<String> {
    let totals =
        measured.iter().map(|(shown, costs)| (shown.noun(), Coefficients::of(costs).connection_bytes));
    let totals: Vec<_> = totals.filter(|(_, total)| *total > 0.0).collect();
    let least = totals.iter().min_by(|one, other| one.1.total_cmp(&other.1))?;
    let most = totals.iter().max_by(|one, other| one.1.total_cmp(&other.1))?;
    let range = if least.0 == most.0 {
        format!("{} ({})", quantity(least.1, Unit::Bytes), least.0)
    } else {
        format!(
            "between {} ({}) and {} ({})",
            quantity(least.1, Unit::Bytes),
            least.0,
            quantity(most.1, Unit::Bytes),
            most.0
        )
    };
    Some(format!("An idle connection takes {range}: {}.", memory_told(measured)))
}

/// Whose memory the figures of a connection hold.
pub(super) fn memory_told(measured: &Measured<'_>) -> String {
    let of_connections = measured.iter().filter(|(_, costs)| costs.connection.resident_bytes.runs > 0);
    let (told, untold): (Vec<_>, Vec<_>) =
        of_connections.partition(|(_, costs)| costs.connection.kernel_bytes > 0.0);
    let names: Vec<_> = untold.iter().map(|(shown, _)| shown.noun()).collect();
    match (told.is_empty(), names.is_empty()) {
        (_, true) => "the process's and the kernel's memory together".to_owned(),
        (true, false) => "the process's memory alone, for the kernel's could not be told".to_owned(),
        (false, false) => {
            format!(
                "the process's and the kernel's memory together, but the process's alone for {}",
                names.join(", ")
            )
        }
    }
}

fn capacity_headline(measured: &Measured<'_>) -> Option<String> {
    let scenario = capacity::scenario(GROUPS[1]);
    let streaming = measured.iter().filter(|(shown, _)| shown.label != "short_poll");
    let carried = streaming.filter_map(|(shown, costs)| {
        let demand = Coefficients::of(costs).streaming(scenario);
        Some((
            shown.name,
            demand.users_on(Resource::Core)?,
            demand.needed(1e6, Resource::Core)?,
            demand.limit(),
        ))
    });
    let (name, users, cores, limit) = carried.max_by(|one, other| one.1.total_cmp(&other.1))?;
    let limit = limit.map_or_else(String::new, |limit| {
        format!(" Of one core, one gigabit and one gigabyte the {} runs out first.", limit.name())
    });
    Some(format!(
        "In groups of {}, each user publishing every {} s, one core carries an estimated {} users on {name}, so a \
         million users need {} cores.{limit}",
        number(scenario.group),
        capacity::UPDATE_INTERVAL_SECONDS,
        quantity(users, Unit::Estimate),
        quantity(cores, Unit::Estimate)
    ))
}

fn failures_headline(study: &Study) -> String {
    let points: Vec<&RatePoint> = study.transports.iter().flat_map(|costs| &costs.rates).collect();
    let failures: u64 = points.iter().map(|point| point.failures).sum();
    match (points.len(), failures) {
        (0, _) => "No rate of delivery was measured.".to_owned(),
        (rates, 0) => format!("Every update was checked: no failure at {} measured rates.", whole(rates)),
        (rates, failures) => {
            format!(
                "Every update was checked: {} failures at {} measured rates, see below.",
                whole(failures),
                whole(rates)
            )
        }
    }
}

/// Whether the cost of a publish grows in a straight line with its subscribers, for each transport.
pub(super) fn linearity(study: &Study) -> Vec<String> {
    let say = |(shown, costs): &(Shown<'_>, &Costs)| match line_of(costs) {
        Some(line) => {
            let name = shown.name;
            format!(
                "{name}: the line through {} sizes of group is {} for the publish and {} for each delivery. {}",
                line.points,
                quantity(line.publish_us, Unit::Micros),
                quantity(line.delivery_us, Unit::Micros),
                straightness(&line, &costs.subscribers)
            )
        }
        None => format!("{}: not enough sizes of group were measured for a line.", shown.name),
    };
    // A publish of short polling is delivered to nobody.
    let is_delivered = |(shown, _): &&(Shown<'_>, &Costs)| shown.label != "short_poll";
    transports::measured(study).iter().filter(is_delivered).map(say).collect()
}

/// How near to a straight line a cost lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Straightness {
    /// The line lies within the spread of every point.
    WithinSpread,
    /// It lies outside of some, but near.
    Near,
    /// It does not lie near.
    Bent,
    /// Two points, which any line fits.
    Unknown,
}

impl Straightness {
    fn of(line: &LinearCost, points: &[SubscribersPoint]) -> Self {
        let mut measured = points.iter().filter(|point| point.cpu_us_per_publish.runs > 0);
        let within = measured.all(|point| {
            let (cost, line) = (point.cpu_us_per_publish, line.at(point.subscribers as f64));
            cost.runs > 1 && (cost.min..=cost.max).contains(&line)
        });
        match () {
            () if line.points < 3 => Self::Unknown,
            () if within => Self::WithinSpread,
            () if line.deviation <= STRAIGHT_DEVIATION_MAX => Self::Near,
            () => Self::Bent,
        }
    }
}

fn straightness(line: &LinearCost, points: &[SubscribersPoint]) -> String {
    let sizes: Vec<usize> = measured_sizes(points).map(|(size, _)| size).collect();
    let (from, to) = (sizes.iter().min().copied(), sizes.iter().max().copied());
    let between = format!("From {} to {} subscribers", whole(from.unwrap_or(0)), whole(to.unwrap_or(0)));
    let furthest = measured_sizes(points).find(|(size, _)| *size == line.deviation_at);
    let (size, cost) = furthest.unwrap_or((line.deviation_at, 0.0));
    let expected = line.at(size as f64);
    let direction = if cost >= expected { "above" } else { "below" };
    let furthest = if line.deviation < ON_THE_LINE {
        "every point lies on it".to_owned()
    } else {
        format!(
            "furthest from the line, {} {direction} it, is a publish to {}: {}, where the line says {}",
            percent(line.deviation),
            whole(size),
            quantity(cost, Unit::Micros),
            quantity(expected, Unit::Micros)
        )
    };
    match Straightness::of(line, points) {
        Straightness::Unknown => {
            format!("{between} only two sizes were measured, and any two lie on a line.")
        }
        Straightness::WithinSpread => format!(
            "{between} the cost cannot be told from a straight line, which lies within the spread of every point; \
             {furthest}."
        ),
        Straightness::Near => format!("{between} the cost is close to a straight line; {furthest}."),
        Straightness::Bent => format!("{between} the cost is no straight line; {furthest}."),
    }
}

/// Which transports' costs grow in a straight line.
fn linearity_headline(measured: &Measured<'_>) -> Option<String> {
    let each = measured.iter().filter_map(|(shown, costs)| {
        let line = line_of(costs)?;
        Some((Straightness::of(&line, &costs.subscribers), shown.noun(), line.deviation))
    });
    let each: Vec<_> = each.filter(|(kind, ..)| *kind != Straightness::Unknown).collect();
    let told = [
        (Straightness::WithinSpread, "a straight line, within the spread of the runs, for"),
        (Straightness::Near, "nearly a straight line for"),
        (Straightness::Bent, "no straight line for"),
    ]
    .into_iter()
    .filter_map(|(kind, words)| {
        let of_kind = each.iter().filter(|(each, ..)| *each == kind);
        let names = of_kind.map(|(_, name, deviation)| match kind {
            Straightness::WithinSpread => name.clone(),
            _ => format!("{name} ({} off at most)", percent(*deviation)),
        });
        let names: Vec<_> = names.collect();
        (!names.is_empty()).then(|| format!("{words} {}", names.join(", ")))
    });
    let told: Vec<_> = told.collect();
    (!told.is_empty())
        .then(|| format!("The cost of a publish over the number of its subscribers is {}.", told.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figures::LatencySummary;
    use crate::study::figures::{ConnectionCosts, WireBytes};

    /// A transport whose publish to so many costs so much, with a spread of so much to each side.
    fn costs(transport: &str, sizes: &[(usize, f64)], side: f64) -> Costs {
        let point = |(subscribers, cost): &(usize, f64)| SubscribersPoint {
            subscribers: *subscribers,
            cpu_us_per_publish: Spread::of([cost * (1.0 - side), *cost, cost * (1.0 + side)]),
            ..SubscribersPoint::default()
        };
        let subscribers = sizes.iter().map(point).collect();
        Costs { transport: transport.to_owned(), subscribers, ..Costs::default() }
    }

    #[track_caller]
    fn check(costs: Costs, expected: &str) {
        let study = Study { transports: vec![costs], ..Study::default() };
        assert_eq!(linearity(&study).join("\n").replace('\u{a0}', " "), expected);
    }

    #[test]
    fn a_straight_line_is_told_as_straight_only_within_the_spread() {
        check(
            costs("sse", &[(1, 7.0), (10, 25.0), (100, 205.0)], 0.05),
            "SSE: the line through 3 sizes of group is 5 µs for the publish and 2 µs for each delivery. From 1 to \
             100 subscribers the cost cannot be told from a straight line, which lies within the spread of every \
             point; every point lies on it.",
        );
    }

    #[test]
    fn what_lies_off_the_line_is_told_by_how_much() {
        let study = |side| Study {
            transports: vec![costs("sse", &[(1, 2.0), (10, 20.0), (100, 400.0)], side)],
            ..Study::default()
        };
        let bent = linearity(&study(0.01)).concat().replace('\u{a0}', " ");
        assert!(
            bent.contains("the cost is no straight line; furthest from the line, 80 % above it, is"),
            "{bent}"
        );
        assert!(bent.contains("a publish to 100: 400 µs, where the line says 222 µs."), "{bent}");
        let near = costs("stomp", &[(1, 7.0), (10, 26.0), (100, 200.0)], 0.001);
        let near = linearity(&Study { transports: vec![near], ..Study::default() }).concat();
        assert!(near.contains("the cost is close to a straight line"), "{near}");
    }

    #[test]
    fn two_sizes_prove_nothing() {
        check(
            costs("websocket", &[(1, 3.0), (11, 23.0)], 0.1),
            "WebSocket: the line through 2 sizes of group is 1 µs for the publish and 2 µs for each delivery. From \
             1 to 11 subscribers only two sizes were measured, and any two lie on a line.",
        );
        check(costs("websocket", &[], 0.1), "WebSocket: not enough sizes of group were measured for a line.");
    }

    fn whole(transport: &str, bytes: f64, cpu: [f64; 3], failures: u64) -> Costs {
        let rate = RatePoint {
            intended_per_second: 5000.0,
            delivered_per_second: 4990.0,
            latency: LatencySummary { count: 1, ..LatencySummary::default() },
            p99_us: Spread::of([1000.0, 1100.0]),
            cpu_us_per_update: Spread::of(cpu),
            failures,
            ..RatePoint::default()
        };
        Costs {
            wire: WireBytes { down_payload: 90.0, down_overhead: bytes - 90.0, ..WireBytes::default() },
            connection: ConnectionCosts {
                resident_bytes: Spread::of([170.0]),
                kernel_bytes: bytes,
                ..ConnectionCosts::default()
            },
            rates: vec![rate],
            ..costs(transport, &[(1, 3.0), (10, 21.0), (100, 201.0)], 0.05)
        }
    }

    #[test]
    fn headlines_are_made_of_the_figures() {
        let mut polling = whole("short_poll", 200.0, [4.0, 4.1, 4.2], 0);
        polling.subscribers.clear();
        polling.rates[0].p50_us = Spread::of([10_000.0]);
        polling.rates[0].answer = LatencySummary { count: 1, p50_us: 200, ..LatencySummary::default() };
        let transports = vec![
            polling,
            whole("sse", 120.0, [2.0, 2.1, 2.2], 0),
            whole("long_poll", 360.0, [9.0, 10.0, 11.0], 3),
        ];
        let found = headlines(&Study { transports, ..Study::default() }).join("\n").replace('\u{a0}', " ");
        for sentence in [
            "One update to one subscriber takes from 120 B (SSE) to 360 B (long polling) above TCP, both directions \
             together; the update itself is 90 B.",
            "At 5,000 updates a second the server spends from 2.10 µs (SSE) to 10 µs (long polling) of CPU on each, publishes \
             included: 4.8 times as much for long polling.",
            "At 5,000 updates a second short polling's latency is the wait for the next poll: 10 ms in the median, where a \
             poll is answered in 200 µs.",
            "An idle connection takes between 290 B (SSE) and 530 B (long polling): the process's and the kernel's memory \
             together.",
            "The cost of a publish over the number of its subscribers is a straight line, within the spread of the runs, for \
             long polling, SSE.",
            "Every update was checked: 3 failures at 3 measured rates, see below.",
        ] {
            assert!(found.lines().any(|line| line == sentence), "{sentence}\nis not in\n{found}");
        }
        assert!(
            found.contains(" where updates are delivered as they come: they cannot be told apart."),
            "{found}"
        );
    }

    #[test]
    fn whose_memory_was_measured_is_told() {
        let told = |kernel: [f64; 2]| {
            let mut transports =
                ["sse", "stomp"].map(|label| whole(label, 120.0, [2.0, 2.1, 2.2], 0)).to_vec();
            for (costs, bytes) in transports.iter_mut().zip(kernel) {
                costs.connection.kernel_bytes = bytes;
            }
            memory_told(&transports::measured(&Study { transports, ..Study::default() }))
        };
        assert_eq!(told([1.0, 1.0]), "the process's and the kernel's memory together");
        assert_eq!(told([0.0, 0.0]), "the process's memory alone, for the kernel's could not be told");
        assert_eq!(
            told([1.0, 0.0]),
            "the process's and the kernel's memory together, but the process's alone for STOMP"
        );
    }

    #[test]
    fn a_study_of_nothing_has_one_headline() {
        assert_eq!(headlines(&Study::default()), ["No rate of delivery was measured."]);
    }
}
