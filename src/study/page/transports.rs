//! The transports of a study in the order of the page, and the rates at which they can be held against each other.

use crate::study::figures::{Costs, RatePoint, Study};

/// Labels in the order of the page, with the names that readers know them by.
const KNOWN: [(&str, &str); 5] = [
    ("short_poll", "Short polling"),
    ("long_poll", "Long polling"),
    ("sse", "SSE"),
    ("websocket", "WebSocket"),
    ("stomp", "STOMP"),
];

/// The share of the intended rate that has to be delivered for a transport to count as keeping up.
const KEPT_UP_SHARE: f64 = 0.95;

/// Rates that lie no further apart than this share are the same one: whole groups do not divide every rate evenly.
const SAME_RATE_SHARE: f64 = 0.02;

/// One transport on the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    /// Its label.
    pub(super) label: &'a str,
    /// Its name.
    pub(super) name: &'a str,
    /// How its lines and marks look.
    pub(super) look: usize,
    /// What it costs; `None` if it was not measured.
    pub(super) costs: Option<&'a Costs>,
}

impl Shown<'_> {
    /// Its name inside of a sentence.
    pub(super) fn noun(&self) -> String {
        match self.label {
            "short_poll" | "long_poll" => self.name.to_lowercase(),
            _ => self.name.to_owned(),
        }
    }
}

/// The five transports, measured or not, and behind them any other that the study holds.
pub(super) fn all(study: &Study) -> Vec<Shown<'_>> {
    let find = |label: &str| study.transports.iter().find(|costs| costs.transport == label);
    let known = KNOWN.into_iter().enumerate();
    let mut shown: Vec<Shown<'_>> =
        known.map(|(look, (label, name))| Shown { label, name, look, costs: find(label) }).collect();
    let is_known = |label: &str| KNOWN.iter().any(|(known, _)| *known == label);
    for costs in study.transports.iter().filter(|costs| !is_known(&costs.transport)) {
        let (label, look) = (costs.transport.as_str(), shown.len());
        shown.push(Shown { label, name: label, look, costs: Some(costs) });
    }
    shown
}

/// Those that were measured.
pub(super) fn measured(study: &Study) -> Vec<(Shown<'_>, &Costs)> {
    all(study).into_iter().filter_map(|shown| Some((shown, shown.costs?))).collect()
}

/// Whether what was intended was delivered.
pub(super) fn kept_up(point: &RatePoint) -> bool {
    point.latency.count > 0 && point.delivered_per_second >= point.intended_per_second * KEPT_UP_SHARE
}

fn is_same_rate(one: f64, other: f64) -> bool {
    (one - other).abs() <= one.abs().max(other.abs()) * SAME_RATE_SHARE
}

/// What was measured at this rate, if the transport kept up with it.
pub(super) fn at_rate(costs: &Costs, rate: f64) -> Option<&RatePoint> {
    costs.rates.iter().find(|point| is_same_rate(point.intended_per_second, rate) && kept_up(point))
}

/// What was measured at the rate that lies nearest to this one in proportion, of those that the transport kept up with.
pub(super) fn nearest_rate(costs: &Costs, rate: f64) -> Option<&RatePoint> {
    let distance = |point: &&RatePoint| (point.intended_per_second / rate).ln().abs();
    let usable = costs.rates.iter().filter(|point| kept_up(point) && distance(point).is_finite());
    usable.min_by(|one, other| distance(one).total_cmp(&distance(other)))
}

/// What was measured at the lowest rate.
pub(super) fn slowest_rate(costs: &Costs) -> Option<&RatePoint> {
    let measured = costs.rates.iter().filter(|point| point.latency.count > 0);
    measured.min_by(|one, other| one.intended_per_second.total_cmp(&other.intended_per_second))
}

/// The rate that most of these kept up with; of several the highest.
pub(super) fn common_rate(of: &[&Costs]) -> Option<f64> {
    let rates = of.iter().flat_map(|costs| &costs.rates).filter(|point| kept_up(point));
    let counted = rates.map(|point| {
        let rate = point.intended_per_second;
        (of.iter().filter(|costs| at_rate(costs, rate).is_some()).count(), rate)
    });
    counted.max_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))).map(|(_, rate)| rate)
}

/// The same for all transports of a study.
pub(super) fn study_rate(study: &Study) -> Option<f64> {
    common_rate(&study.transports.iter().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figures::LatencySummary;

    fn costs(transport: &str, rates: &[(f64, f64)]) -> Costs {
        let point = |(intended, delivered): &(f64, f64)| RatePoint {
            intended_per_second: *intended,
            delivered_per_second: *delivered,
            latency: LatencySummary { count: 1, ..LatencySummary::default() },
            ..RatePoint::default()
        };
        Costs {
            transport: transport.to_owned(),
            rates: rates.iter().map(point).collect(),
            ..Costs::default()
        }
    }

    #[track_caller]
    fn check(of: &[Costs], expected: Option<f64>) {
        assert_eq!(common_rate(&of.iter().collect::<Vec<_>>()), expected);
    }

    #[test]
    fn the_highest_rate_that_all_kept_up_with_is_common() {
        let one = costs("sse", &[(1000.0, 1000.0), (2000.0, 1990.0), (4000.0, 3990.0)]);
        let other = costs("stomp", &[(1000.0, 999.0), (2010.0, 2000.0), (4000.0, 3000.0)]);
        check(&[one.clone(), other.clone()], Some(2010.0));
        assert!(at_rate(&one, 2010.0).is_some() && at_rate(&other, 4000.0).is_none());
        // One that was measured at other rates alone does not lower what the others have in common.
        check(&[one, other, costs("short_poll", &[(10.0, 10.0)])], Some(2010.0));
    }

    #[test]
    fn the_nearest_rate_is_so_in_proportion() {
        let one = costs("sse", &[(100.0, 100.0), (1000.0, 990.0), (2000.0, 1000.0)]);
        let nearest = |rate| nearest_rate(&one, rate).map(|point| point.intended_per_second);
        assert_eq!(
            (nearest(300.0), nearest(350.0), nearest(2000.0)),
            (Some(100.0), Some(1000.0), Some(1000.0))
        );
        assert_eq!(nearest(0.0), None);
        assert_eq!(nearest_rate(&costs("sse", &[]), 1.0), None);
    }

    #[test]
    fn nothing_measured_has_no_common_rate() {
        check(&[], None);
        check(&[costs("sse", &[])], None);
        check(&[costs("sse", &[(1000.0, 10.0)])], None);
    }

    #[test]
    fn all_five_are_shown_and_strangers_behind_them() {
        let study = Study { transports: vec![costs("quic", &[]), costs("sse", &[])], ..Study::default() };
        let labels: Vec<_> = all(&study).iter().map(|shown| (shown.label, shown.costs.is_some())).collect();
        let expected = [
            ("short_poll", false),
            ("long_poll", false),
            ("sse", true),
            ("websocket", false),
            ("stomp", false),
            ("quic", true),
        ];
        assert_eq!(labels, expected);
        assert_eq!(measured(&study).len(), 2);
    }
}
