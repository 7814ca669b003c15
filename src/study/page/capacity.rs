//! How far the measured costs carry: users on a core, a gigabit and a gigabyte, and what millions of them would need.
//!
//! Plain arithmetic on coefficients that were measured one by one; it knows neither queueing nor what else a machine does.
//!
//! ```text
//! every user publishes u updates a second, in groups of g, and receives g x u
//!   CPU    = u x publish + g x u x delivery                       microseconds a user and second
//!   bytes  = u x publish + g x u x delivery, each framed           a user and second, each direction by itself
//!   memory = the process's + the kernel's bytes a connection
//! framed(b) = b + 90 for each segment that b bytes take; each segment is answered by an ACK of 90
//! ```

use crate::study::figures::{Costs, Study, SubscribersPoint};
use crate::study::page::transports::kept_up;

/// What each TCP segment costs on Ethernet besides its data: Ethernet head and check sum 14 + 4, IPv4 20, TCP 20 and
/// its timestamps 12; preamble and gap between frames 20. A bare acknowledgement is such a segment without data.
pub(super) const SEGMENT_OVERHEAD_BYTES: f64 = 14.0 + 4.0 + 20.0 + 20.0 + 12.0 + 20.0;

/// The data that one segment carries at most: 1,500 bytes less the heads of IPv4 and TCP with timestamps.
pub(super) const SEGMENT_DATA_BYTES_MAX: f64 = 1500.0 - 20.0 - 20.0 - 12.0;

/// Bytes a second that a gigabit carries.
const GIGABIT_BYTES: f64 = 1e9 / 8.0;
/// A gigabyte.
const GIGABYTE: f64 = 1e9;
/// Microseconds of a core in a second.
const CORE_MICROS: f64 = 1e6;

/// What every user does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scenario {
    /// Updates a second that each user publishes.
    pub(super) updates_per_second: f64,
    /// Users in a group; each receives what all of them publish.
    pub(super) group: f64,
}

/// The groups that are estimated.
pub(super) const GROUPS: [f64; 3] = [10.0, 100.0, 1000.0];

/// The seed study's users act every three seconds.
pub(super) const UPDATE_INTERVAL_SECONDS: f64 = 3.0;

/// The default scenario with groups of this size.
pub(super) fn scenario(group: f64) -> Scenario {
    Scenario { updates_per_second: 1.0 / UPDATE_INTERVAL_SECONDS, group }
}

/// The cost of a publish as a straight line over the number of its subscribers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LinearCost {
    /// The publish itself, microseconds.
    pub(super) publish_us: f64,
    /// Each delivery, microseconds.
    pub(super) delivery_us: f64,
    /// The greatest distance of a measured point from the line, as a share of the line.
    pub(super) deviation: f64,
    /// The size of group at which that was.
    pub(super) deviation_at: usize,
    /// Points that the line was laid through.
    pub(super) points: usize,
}

impl LinearCost {
    /// What the line says about a group of this size.
    pub(super) fn at(&self, subscribers: f64) -> f64 {
        self.publish_us + self.delivery_us * subscribers
    }

    /// The line that deviates least from the points in proportion, so that small groups count as much as large ones.
    ///
    /// Neither of its parts is below 0. `None` unless two different sizes of group were measured.
    pub(super) fn through(points: &[SubscribersPoint]) -> Option<Self> {
        let points: Vec<(f64, f64)> =
            measured_sizes(points).map(|(size, cost)| (size as f64, cost)).collect();
        let (first, _) = *points.first()?;
        if points.iter().all(|(size, _)| *size == first) {
            return None;
        }
        // Weighted by 1/cost^2, a distance counts as a share of the cost.
        let sum =
            |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|(n, y)| of(*n, *y) / (y * y)).sum::<f64>();
        let (w, wn, wnn) = (sum(&|_, _| 1.0), sum(&|n, _| n), sum(&|n, _| n * n));
        let (wy, wny) = (sum(&|_, y| y), sum(&|n, y| n * y));
        let delivery = (w * wny - wn * wy) / (w * wnn - wn * wn);
        let publish = (wy - delivery * wn) / w;
        let (publish_us, delivery_us) = match (publish < 0.0, delivery < 0.0) {
            (true, _) => (0.0, wny / wnn),
            (false, true) => (wy / w, 0.0),
            (false, false) => (publish, delivery),
        };
        let mut line =
            Self { publish_us, delivery_us, deviation: 0.0, deviation_at: 0, points: points.len() };
        for (size, cost) in points {
            let deviation = (cost / line.at(size) - 1.0).abs();
            if deviation >= line.deviation {
                (line.deviation, line.deviation_at) = (deviation, size as usize);
            }
        }
        Some(line)
    }
}

/// Sizes of group that were measured, with the cost of a publish.
pub(super) fn measured_sizes(points: &[SubscribersPoint]) -> impl Iterator<Item = (usize, f64)> {
    let each = points.iter().map(|point| (point.subscribers, point.cpu_us_per_publish));
    let real = each.filter(|(_, cost)| cost.runs > 0 && cost.median.is_finite() && cost.median > 0.0);
    real.map(|(size, cost)| (size, cost.median))
}

/// What one transport costs, as far as it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Coefficients {
    /// CPU microseconds of a publish, and
    pub(super) publish_us: f64,
    /// of each delivery (short polling: of each poll). `None` if it was not measured.
    pub(super) delivery_us: Option<f64>,
    /// Bytes to publish, up and
    pub(super) publish_up: f64,
    /// down.
    pub(super) publish_down: f64,
    /// Bytes of a delivery (a poll), down and
    pub(super) delivery_down: f64,
    /// up.
    pub(super) delivery_up: f64,
    /// The process's and the kernel's bytes for a connection.
    pub(super) connection_bytes: f64,
}

impl Coefficients {
    /// The coefficients of a transport that updates are delivered on as they come.
    pub(super) fn of(costs: &Costs) -> Self {
        let line = LinearCost::through(&costs.subscribers);
        Self {
            publish_us: line.map_or(0.0, |line| line.publish_us),
            delivery_us: line.map(|line| line.delivery_us),
            publish_up: known(costs.wire.publish_up),
            publish_down: known(costs.wire.publish_down),
            delivery_down: known(costs.wire.down_payload) + known(costs.wire.down_overhead),
            delivery_up: known(costs.wire.up),
            connection_bytes: known(costs.connection.resident_bytes.median)
                + known(costs.connection.kernel_bytes),
        }
    }

    /// The coefficients of short polling: a delivery is a poll, which costs the same however long ago the last one was.
    ///
    /// It is taken from the highest rate that the server kept up with, less the publishes that came between: polls at long
    /// intervals were measured on a server that was nearly idle, whose work is mostly waking up. Publishes are HTTP requests
    /// as for long polling and event streams, so theirs is taken.
    pub(super) fn of_polling(study: &Study) -> Self {
        let find = |label: &str| study.transports.iter().find(|costs| costs.transport == label);
        let own = find("short_poll");
        let over_http = ["long_poll", "sse"].into_iter();
        let over_http = over_http.filter_map(find).find_map(|costs| LinearCost::through(&costs.subscribers));
        let kept_up = own.into_iter().flat_map(|costs| &costs.rates).filter(|point| kept_up(point));
        let fullest =
            kept_up.max_by(|one, other| one.delivered_per_second.total_cmp(&other.delivered_per_second));
        let poll_us = over_http.zip(fullest).map(|(publish, point)| {
            let publishes = known(point.publishes_per_second / point.delivered_per_second);
            point.cpu_us_per_update.median - publishes * publish.publish_us
        });
        Self {
            publish_us: over_http.map_or(0.0, |line| line.publish_us),
            delivery_us: poll_us.filter(|cost| cost.is_finite() && *cost > 0.0),
            ..own.map(Self::of).unwrap_or_default()
        }
    }

    /// What one user takes each second in this scenario, at this many deliveries a second.
    fn demand(&self, publishes: f64, deliveries: f64) -> Demand {
        let (publish_up, publish_down) = (framed(self.publish_up), framed(self.publish_down));
        let (down, up) = (framed(self.delivery_down), framed(self.delivery_up));
        Demand {
            cpu_us: self.delivery_us.map(|delivery| publishes * self.publish_us + deliveries * delivery),
            // Each direction carries its data and the acknowledgements of the other's.
            down_bytes: publishes * (publish_down + acknowledged(self.publish_up))
                + deliveries * (down + acknowledged(self.delivery_up)),
            up_bytes: publishes * (publish_up + acknowledged(self.publish_down))
                + deliveries * (up + acknowledged(self.delivery_down)),
            memory_bytes: self.connection_bytes,
        }
    }

    /// What one user takes each second on a transport that delivers as updates come.
    pub(super) fn streaming(&self, scenario: Scenario) -> Demand {
        let publishes = scenario.updates_per_second;
        self.demand(publishes, scenario.group * publishes)
    }

    /// What one user takes each second who polls at this interval, however many updates come meanwhile.
    pub(super) fn polling(&self, scenario: Scenario, interval_ms: u64) -> Demand {
        let polls = if interval_ms == 0 { 0.0 } else { 1000.0 / interval_ms as f64 };
        self.demand(scenario.updates_per_second, polls)
    }
}

fn known(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// Segments that carry this many bytes; none carry nothing.
fn segments(bytes: f64) -> f64 {
    (bytes / SEGMENT_DATA_BYTES_MAX).ceil()
}

/// Bytes on the cable for this many bytes of data.
pub(super) fn framed(bytes: f64) -> f64 {
    bytes + acknowledged(bytes)
}

/// Bytes on the cable that acknowledge this many bytes of data: a bare segment for each.
pub(super) fn acknowledged(bytes: f64) -> f64 {
    segments(bytes) * SEGMENT_OVERHEAD_BYTES
}

/// What one user takes of a machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Demand {
    /// CPU microseconds each second; `None` if what it is made of was not measured.
    pub(super) cpu_us: Option<f64>,
    /// Bytes on the cable to the user each second, and
    pub(super) down_bytes: f64,
    /// from it.
    pub(super) up_bytes: f64,
    /// Bytes of memory.
    pub(super) memory_bytes: f64,
}

/// What runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Core,
    Gigabit,
    Gigabyte,
}

impl Resource {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Gigabit => "gigabit",
            Self::Gigabyte => "gigabyte",
        }
    }
}

impl Demand {
    /// The busier direction's bytes: a cable carries both at once.
    pub(super) fn cable_bytes(&self) -> f64 {
        self.down_bytes.max(self.up_bytes)
    }

    /// How many users one core, one gigabit or one gigabyte carries; `None` if what a user takes was not measured.
    pub(super) fn users_on(&self, resource: Resource) -> Option<f64> {
        let (there_is, a_user_takes) = match resource {
            Resource::Core => (CORE_MICROS, self.cpu_us.unwrap_or(0.0)),
            Resource::Gigabit => (GIGABIT_BYTES, self.cable_bytes()),
            Resource::Gigabyte => (GIGABYTE, self.memory_bytes),
        };
        (a_user_takes > 0.0).then(|| there_is / a_user_takes)
    }

    /// How many cores, gigabits or gigabytes that many users need.
    pub(super) fn needed(&self, users: f64, resource: Resource) -> Option<f64> {
        self.users_on(resource).map(|carried| users / carried)
    }

    /// What runs out first where there is one of each; `None` unless all three are known.
    pub(super) fn limit(&self) -> Option<Resource> {
        let all = [Resource::Core, Resource::Gigabit, Resource::Gigabyte];
        let carried: Option<Vec<_>> =
            all.into_iter().map(|resource| Some((self.users_on(resource)?, resource))).collect();
        let least = carried?.into_iter().min_by(|one, other| one.0.total_cmp(&other.0));
        least.map(|(_, resource)| resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figures::LatencySummary;
    use crate::study::figures::{ConnectionCosts, RatePoint, Spread, WireBytes};

    fn points(costs: &[(usize, f64)]) -> Vec<SubscribersPoint> {
        let point = |(subscribers, cost): &(usize, f64)| SubscribersPoint {
            subscribers: *subscribers,
            cpu_us_per_publish: Spread::of([*cost]),
            ..SubscribersPoint::default()
        };
        costs.iter().map(point).collect()
    }

    #[track_caller]
    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() <= expected.abs() * 1e-9, "{found} is not {expected}");
    }

    /// 5 us a publish and 2 us a delivery; 100 bytes up to publish, 200 down for a delivery, 2,500 of memory.
    fn coefficients() -> Coefficients {
        Coefficients {
            publish_us: 5.0,
            delivery_us: Some(2.0),
            publish_up: 100.0,
            publish_down: 0.0,
            delivery_down: 200.0,
            delivery_up: 0.0,
            connection_bytes: 2500.0,
        }
    }

    #[test]
    fn a_straight_line_is_found() {
        let line =
            LinearCost::through(&points(&[(1, 7.0), (10, 25.0), (1000, 2005.0)])).expect("three points");
        check(line.publish_us, 5.0);
        check(line.delivery_us, 2.0);
        assert!(line.deviation < 1e-9, "{line:?}");
        check(line.at(100.0), 205.0);
        assert_eq!(line.points, 3);
    }

    #[test]
    fn what_bends_deviates() {
        // Twice the cost of a line at the last point: no line is nearer than a few tenths to all of them.
        let line = LinearCost::through(&points(&[(1, 2.0), (10, 20.0), (100, 400.0)])).expect("three points");
        assert!((0.2..1.0).contains(&line.deviation), "{line:?}");
        // By hand: through the origin, since the intercept is below 0; sum(n/y) / sum(n^2/y^2) = 1.25/0.5625.
        check(line.delivery_us, 1.25 / 0.5625);
        check(line.publish_us, 0.0);
        assert_eq!(line.deviation_at, 100);
        check(line.deviation, 400.0 / (100.0 * 1.25 / 0.5625) - 1.0);
    }

    #[test]
    fn falling_costs_are_a_level_line() {
        let line = LinearCost::through(&points(&[(1, 10.0), (10, 8.0)])).expect("two points");
        check(line.delivery_us, 0.0);
        check(line.publish_us, (0.1 + 0.125) / (0.01 + 1.0 / 64.0));
    }

    #[test]
    fn one_size_of_group_makes_no_line() {
        assert_eq!(LinearCost::through(&[]), None);
        assert_eq!(LinearCost::through(&points(&[(10, 20.0)])), None);
        assert_eq!(LinearCost::through(&points(&[(10, 20.0), (10, 21.0)])), None);
        assert_eq!(LinearCost::through(&points(&[(10, 20.0), (20, 0.0)])), None, "0 is not measured");
        assert_eq!(LinearCost::through(&points(&[(10, f64::NAN), (20, 1.0)])), None);
    }

    #[test]
    fn segments_are_framed() {
        check(SEGMENT_OVERHEAD_BYTES, 90.0);
        check(framed(0.0), 0.0);
        check(framed(1.0), 91.0);
        check(framed(1448.0), 1538.0);
        check(framed(1449.0), 1629.0);
        check(acknowledged(1449.0), 180.0);
    }

    #[test]
    fn demand_is_what_a_hand_computes() {
        // Half an update a second in groups of ten: half a publish, five deliveries.
        let demand = coefficients().streaming(Scenario { updates_per_second: 0.5, group: 10.0 });
        check(demand.cpu_us.expect("it was measured"), 0.5 * 5.0 + 5.0 * 2.0); // 12.5
        check(demand.down_bytes, 0.5 * 90.0 + 5.0 * 290.0); // 1,495
        check(demand.up_bytes, 0.5 * 190.0 + 5.0 * 90.0); // 545
        check(demand.users_on(Resource::Core).expect("measured"), 80_000.0);
        check(demand.users_on(Resource::Gigabit).expect("measured"), 125e6 / 1495.0); // 83,612
        check(demand.users_on(Resource::Gigabyte).expect("measured"), 400_000.0);
        assert_eq!(demand.limit(), Some(Resource::Core));
        check(demand.needed(1e6, Resource::Core).expect("measured"), 12.5);
        check(demand.needed(1e6, Resource::Gigabit).expect("measured"), 11.96);
        check(demand.needed(1e7, Resource::Gigabyte).expect("measured"), 25.0);
    }

    #[test]
    fn polls_do_not_grow_with_the_group() {
        for group in [10.0, 1000.0] {
            let demand = coefficients().polling(Scenario { updates_per_second: 0.5, group }, 2000);
            check(demand.cpu_us.expect("it was measured"), 0.5 * 5.0 + 0.5 * 2.0);
            check(demand.down_bytes, 0.5 * 90.0 + 0.5 * 290.0);
        }
    }

    #[test]
    fn what_was_not_measured_limits_nothing() {
        let demand = Coefficients::of(&Costs::default()).streaming(scenario(100.0));
        assert_eq!(demand.cpu_us, None);
        for resource in [Resource::Core, Resource::Gigabit, Resource::Gigabyte] {
            assert_eq!(demand.users_on(resource), None);
            assert_eq!(demand.needed(1e6, resource), None);
        }
        assert_eq!(demand.limit(), None);
    }

    #[test]
    fn coefficients_come_from_the_study() {
        let costs = Costs {
            transport: "long_poll".to_owned(),
            wire: WireBytes {
                down_payload: 80.0,
                down_overhead: 120.0,
                up: 60.0,
                publish_up: 150.0,
                publish_down: 170.0,
                ..WireBytes::default()
            },
            connection: ConnectionCosts {
                resident_bytes: Spread::of([190.0, 200.0, 210.0]),
                kernel_bytes: 2300.0,
                ..ConnectionCosts::default()
            },
            subscribers: points(&[(1, 7.0), (10, 25.0)]),
            ..Costs::default()
        };
        let found = Coefficients::of(&costs);
        check(found.publish_us, 5.0);
        check(found.delivery_us.expect("two points"), 2.0);
        check(found.delivery_down, 200.0);
        check(found.connection_bytes, 2500.0);
        // 100 polls a second with 20 publishes: 12 us less a fifth of the 5 that a publish costs.
        let rate = |per_second: f64, cost: f64| RatePoint {
            intended_per_second: per_second,
            delivered_per_second: per_second,
            publishes_per_second: per_second / 5.0,
            latency: LatencySummary { count: 1, ..LatencySummary::default() },
            cpu_us_per_update: Spread::of([cost]),
            ..RatePoint::default()
        };
        let late = RatePoint { delivered_per_second: 300.0, ..rate(1000.0, 7.0) };
        let rates = vec![rate(10.0, 60.0), rate(100.0, 12.0), late];
        let short =
            Costs { transport: "short_poll".to_owned(), subscribers: Vec::new(), rates, ..costs.clone() };
        let mut study = Study { transports: vec![short, costs], ..Study::default() };
        let found = Coefficients::of_polling(&study);
        check(found.delivery_us.expect("it was measured"), 11.0);
        check(found.publish_us, 5.0);
        check(found.delivery_up, 60.0);
        study.transports.pop();
        assert_eq!(Coefficients::of_polling(&study).delivery_us, None, "what a publish costs is not known");
    }
}
