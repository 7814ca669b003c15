//! The chapters of what changes with something: with the rate, the number of subscribers, the interval of polling.

use crate::load::figures::LatencySummary;
use crate::study::figures::{Costs, PollingPoint, RatePoint, Spread, Study};
use crate::study::page::capacity::LinearCost;
use crate::study::page::markup::{Section, Table, paragraphs};
use crate::study::page::plots::{Axis, Kind, Line, LinePlot, Point, Scale};
use crate::study::page::quantity::{NONE, Unit, number, percent, quantity, spread_cell, whole};
use crate::study::page::transports::{Shown, measured, slowest_rate};
use crate::study::page::versus::cpu_beside;
use crate::study::page::words;

/// All chapters of this kind, in the order of the page.
pub(super) fn sections(study: &Study) -> Vec<Section> {
    vec![latency(study), staleness(study), subscribers(study), polling(study)]
}

pub(super) const RATE: Axis =
    Axis { name: "updates delivered a second", unit: Unit::Count, scale: Scale::Log };

fn micros(name: &'static str) -> Axis {
    Axis { name, unit: Unit::Micros, scale: Scale::Log }
}

/// A spread over something, with its range.
pub(super) fn spread_point(x: f64, spread: &Spread) -> Option<Point> {
    (spread.runs > 0).then_some(Point { x, y: spread.median, low: spread.min, high: spread.max })
}

/// A line for each transport, of what each of its rates says.
pub(super) fn rate_lines(study: &Study, of: impl Fn(&RatePoint) -> Option<Point>) -> Vec<Line> {
    let line = |(shown, costs): (Shown<'_>, &Costs)| Line {
        name: shown.name.to_owned(),
        look: shown.look,
        kind: Kind::Measured,
        points: costs.rates.iter().filter_map(&of).collect(),
    };
    measured(study).into_iter().map(line).collect()
}

fn latency(study: &Study) -> Section {
    let all = LinePlot {
        id: "plot-latency-all".to_owned(),
        title: "99th percentile of latency, all transports".to_owned(),
        x: RATE,
        y: micros("99th percentile of latency"),
        lines: rate_lines(study, |point| spread_point(point.delivered_per_second, &point.p99_us)),
        shows: Default::default(),
    };
    // The same axes for all, so that a curve is higher where its latency is.
    let points =
        || study.transports.iter().flat_map(|costs| &costs.rates).filter(|point| point.latency.count > 0);
    let shows = (
        points().map(|point| point.delivered_per_second).collect(),
        points()
            .flat_map(|point| [point.latency.p50_us, point.latency.p999_us, point.answer.p50_us])
            .map(|micros| micros as f64)
            .collect(),
    );
    let each = measured(study).into_iter().map(|(shown, costs)| quantiles(&shown, costs, &shows));
    let plots = [all].into_iter().chain(each);
    Section {
        id: "latency",
        title: "Latency against rate",
        how: vec![
            "From the moment a publish was intended, not the moment it was sent, to the moment a subscriber read \
             the update: a server or tool that falls behind shows in it. Both axes are logarithmic. A curve that \
             turns up has found its limit; where the tool's core is nearly used up the limit is the tool's."
                .to_owned(),
            "Short polling's latency ends when a poller has the update or a newer one, and is mostly the wait for its next \
             poll: 1,000 updates a second to 100 pollers are a poll of each every 100 ms. How soon a poll is answered, from \
             the moment that it was intended, is drawn as a thin line in short polling's plot."
                .to_owned(),
            "Vertical lines in the first plot reach from the least to the greatest 99th percentile of the runs; the other \
             plots show all runs taken together."
                .to_owned(),
        ],
        plots: plots.filter_map(|plot| plot.figure()).collect(),
        side_by_side: true,
        tables: vec![latency_table(study), runs_table(study)],
        ..Section::default()
    }
}

fn latency_table(study: &Study) -> Table {
    let mut table = Table::new(
        "Latency from the intended publish to the subscriber's read, all runs together",
        &[
            "transport",
            "intended/s",
            "delivered/s",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "poll answered, p50",
            "poll answered, p99",
        ],
    );
    for (shown, costs) in measured(study) {
        for point in &costs.rates {
            let (latency, answer) = (point.latency, point.answer);
            let rates = [point.intended_per_second, point.delivered_per_second].map(number);
            let latencies = [latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us];
            let latencies = latencies.map(|micros| time(&latency, micros));
            let answers = [answer.p50_us, answer.p99_us].map(|micros| time(&answer, micros));
            let cells = rates.into_iter().chain(latencies).chain(answers);
            table.push([shown.name.to_owned()].into_iter().chain(cells).collect());
        }
    }
    table
}

fn runs_table(study: &Study) -> Table {
    let mut table = Table::new(
        "Latency of each run, and how full the cores were",
        &["transport", "intended/s", "p50", "p99", "server's core", "tool's core", "failures"],
    );
    for (shown, costs) in measured(study) {
        for point in &costs.rates {
            table.push(vec![
                shown.name.to_owned(),
                number(point.intended_per_second),
                spread_cell(&point.p50_us, Unit::Micros),
                spread_cell(&point.p99_us, Unit::Micros),
                percent(point.server_cpu_share),
                percent(point.tool_cpu_share),
                whole(point.failures),
            ]);
        }
    }
    table
}

/// One time of a distribution; a dash if it is of nothing.
fn time(of: &LatencySummary, micros: u64) -> String {
    if of.count == 0 { NONE.to_owned() } else { quantity(micros as f64, Unit::Micros) }
}

/// A quantile's name, and where it stands.
type Quantile = (&'static str, fn(&RatePoint) -> u64);

const QUANTILES: [Quantile; 4] = [
    ("p50", |point| point.latency.p50_us),
    ("p90", |point| point.latency.p90_us),
    ("p99", |point| point.latency.p99_us),
    ("p99.9", |point| point.latency.p999_us),
];

/// One transport's latency at each rate, at four quantiles, and how soon polls were answered.
fn quantiles(shown: &Shown<'_>, costs: &Costs, shows: &(Vec<f64>, Vec<f64>)) -> LinePlot {
    let quantile = |(look, (name, of)): (usize, Quantile)| Line {
        name: name.to_owned(),
        look,
        kind: Kind::Measured,
        points: costs
            .rates
            .iter()
            .filter(|point| point.latency.count > 0)
            .map(|point| Point::exact(point.delivered_per_second, of(point) as f64))
            .collect(),
    };
    let answered = costs.rates.iter().filter(|point| point.answer.count > 0);
    let answer = Line {
        name: "poll answered, p50".to_owned(),
        look: QUANTILES.len(),
        kind: Kind::Reference,
        points: answered
            .map(|point| Point::exact(point.delivered_per_second, point.answer.p50_us as f64))
            .collect(),
    };
    LinePlot {
        id: format!("plot-latency-{}", shown.look),
        title: format!("Latency on {}", shown.noun()),
        x: RATE,
        y: micros("latency"),
        lines: QUANTILES.into_iter().enumerate().map(quantile).chain([answer]).collect(),
        shows: shows.clone(),
    }
}

fn staleness(study: &Study) -> Section {
    let plot = LinePlot {
        id: "plot-staleness".to_owned(),
        title: "Staleness: from numbering an update to its write".to_owned(),
        x: RATE,
        y: micros("mean on the server"),
        lines: rate_lines(study, |point| {
            let mean = point.server_staleness_us;
            (mean > 0.0).then(|| Point::exact(point.delivered_per_second, mean))
        }),
        shows: Default::default(),
    };
    let mut table = Table::new("Mean staleness on the server", &["transport", "delivered/s", "staleness"]);
    let mut within_one_look = false;
    for (shown, costs) in measured(study) {
        for point in &costs.rates {
            // Short polls are not in the server's histogram, and a server without our metrics has none.
            let is_told = shown.label != "short_poll" && point.syscalls_per_update.runs > 0;
            let staleness = match point.server_staleness_us {
                _ if !is_told => NONE.to_owned(),
                0.0 => "within one look".to_owned(),
                mean => quantity(mean, Unit::Micros),
            };
            within_one_look |= is_told && point.server_staleness_us == 0.0;
            table.push(vec![shown.name.to_owned(), number(point.delivered_per_second), staleness]);
        }
    }
    let plot = plot.figure().or_else(|| {
        let said = "At every rate all updates were numbered and written within one look at the clock, so there is nothing to \
                    plot.";
        within_one_look.then(|| paragraphs(&[said.to_owned()]))
    });
    Section {
        id: "staleness",
        title: "Staleness on the server",
        how: vec![
            "From the server's own histogram, geoloop_staleness_seconds: the mean time between an update's number \
             and its write to a subscriber's socket, by the server's looks at the clock. It looks when a turn of its loop \
             begins, and again behind every 64 writes of that turn. An update is numbered at the look before it; its writes are \
             timed by the next look if that comes while its group is still being told, else by the last one."
                .to_owned(),
            "So every mean is a lower bound, and what a turn of fewer writes both numbers and writes takes no time by this \
             clock, however long it took: it is “within one look” in the table and has no point in the plot. Staleness shows a \
             server that falls behind; the latency above, which holds it, shows the rest."
                .to_owned(),
        ],
        plots: plot.into_iter().collect(),
        tables: vec![table],
        ..Section::default()
    }
}

fn subscribers(study: &Study) -> Section {
    let mut lines = Vec::new();
    for (shown, costs) in measured(study) {
        let points = costs.subscribers.iter();
        let points: Vec<Point> = points
            .filter_map(|point| spread_point(point.subscribers as f64, &point.cpu_us_per_publish))
            .collect();
        if let Some(line) = LinearCost::through(&costs.subscribers) {
            let at = |point: &Point| Point::exact(point.x, line.delivery_us * point.x);
            // One key in the legend stands for all of them.
            let is_first = lines.iter().all(|line: &Line| line.kind == Kind::Measured);
            lines.push(Line {
                name: if is_first { "thin: in proportion".to_owned() } else { String::new() },
                look: shown.look,
                kind: Kind::Straight,
                points: points.iter().map(at).collect(),
            });
        }
        lines.push(Line { name: shown.name.to_owned(), look: shown.look, kind: Kind::Measured, points });
    }
    let plot = LinePlot {
        id: "plot-subscribers".to_owned(),
        title: "CPU for one publish to a group".to_owned(),
        x: Axis { name: "subscribers of the group", unit: Unit::Count, scale: Scale::Log },
        y: micros("the server's CPU for a publish and all its deliveries"),
        lines,
        shows: Default::default(),
    };
    Section {
        id: "subscribers",
        title: "Cost against the number of subscribers",
        how: vec![
            "Locations are published to one group of each size, over HTTP, at a rate that delivers 40,000 updates a second or \
             for small groups makes 4,000 publishes; the server's CPU is divided by the publishes. Both axes are \
             logarithmic."
                .to_owned(),
            "A line is fitted through the points: so much for the publish, and so much for each delivery. It is the one that \
             deviates least in proportion, so that small groups count as much as large ones. The thin dashed lines are its \
             deliveries alone. Where a measured line lies above its dashed one, the publish itself is the larger part; where \
             both run together, ten times the subscribers cost ten times as much."
                .to_owned(),
        ],
        plots: plot.figure().into_iter().collect(),
        says: words::linearity(study),
        tables: vec![subscribers_table(study)],
        ..Section::default()
    }
}

fn subscribers_table(study: &Study) -> Table {
    let mut table = Table::new(
        "One publish to groups of different sizes",
        &[
            "transport",
            "subscribers",
            "publishes/s",
            "CPU",
            "the line says",
            "CPU a delivery",
            "system calls",
        ],
    );
    for (shown, costs) in measured(study) {
        let line = LinearCost::through(&costs.subscribers);
        for point in &costs.subscribers {
            let size = point.subscribers as f64;
            table.push(vec![
                shown.name.to_owned(),
                whole(point.subscribers),
                number(point.publishes_per_second),
                spread_cell(&point.cpu_us_per_publish, Unit::Micros),
                line.map_or_else(|| NONE.to_owned(), |line| quantity(line.at(size), Unit::Micros)),
                quantity(point.cpu_us_per_publish.median / size, Unit::Micros),
                spread_cell(&point.syscalls_per_publish, Unit::Count),
            ]);
        }
    }
    table
}

fn polling(study: &Study) -> Section {
    let points: Vec<&PollingPoint> = study.polling.iter().filter(|point| point.interval_ms > 0).collect();
    let line = |name: &str, of: &dyn Fn(&PollingPoint) -> Option<Point>| Line {
        name: name.to_owned(),
        look: 0,
        kind: Kind::Measured,
        points: points.iter().filter_map(|point| of(point)).collect(),
    };
    let exact = |point: &PollingPoint, y: f64| Some(Point::exact(point.interval_ms as f64, y));
    let interval = Axis { name: "interval between two polls", unit: Unit::Millis, scale: Scale::Log };
    let mut staleness = vec![line("polling: median, and up to p99", &|point| {
        let (x, median) = (point.interval_ms as f64, point.staleness.p50_us as f64);
        let high = point.staleness.p99_us as f64;
        (point.staleness.count > 0).then_some(Point { x, y: median, low: median, high })
    })];
    staleness.extend(levels(study, &points, |costs, _| {
        slowest_rate(costs).map(|point| point.latency.p50_us as f64)
    }));
    let mut bytes = vec![line("polling", &|point| exact(point, point.bytes_per_user_second))];
    bytes.extend(levels(study, &points, |costs, publishes| Some(costs.wire.total() * publishes)));
    let mut cpu = vec![line("polling", &|point| exact(point, point.cpu_us_per_user_second))];
    cpu.extend(levels(study, &points, |costs, publishes| {
        points.iter().find_map(|point| cpu_beside(costs, point)).filter(|_| publishes > 0.0)
    }));
    let plot = |id: &str, title: &str, y: Axis, lines: Vec<Line>| {
        let shows = Default::default();
        LinePlot { id: id.to_owned(), title: title.to_owned(), x: interval.clone(), y, lines, shows }.figure()
    };
    let bytes_axis = Axis { name: "bytes for each user and second", unit: Unit::Bytes, scale: Scale::Log };
    let plots = [
        plot(
            "plot-polling-staleness",
            "What a wait costs: staleness",
            micros("age of an update when a user has it"),
            staleness,
        ),
        plot("plot-polling-bytes", "What a wait spares: bytes", bytes_axis, bytes),
        plot("plot-polling-cpu", "What a wait spares: CPU", micros("CPU for each user and second"), cpu),
    ];
    Section {
        id: "polling",
        title: "Short polling's trade",
        how: vec![
            "Users of one group poll at a fixed interval, spread evenly over it, while locations are published. \
             Staleness is the time from an update's intended publish to the answer that brought it or a newer one; the \
             table says how many updates were never seen themselves."
                .to_owned(),
            "The dashed lines are the other transports: their median latency at the lowest measured rate, and their \
             bytes and CPU for as many updates a second as were published here, each delivered, their CPU at the measured \
             rate that comes nearest. CPU includes the publishes. Left of where polling crosses a dashed line it costs more \
             than that transport."
                .to_owned(),
        ],
        plots: plots.into_iter().flatten().collect(),
        side_by_side: true,
        tables: vec![polling_table(&points)],
        ..Section::default()
    }
}

/// A level line for each transport but short polling, from the shortest interval to the longest.
fn levels(study: &Study, points: &[&PollingPoint], of: impl Fn(&Costs, f64) -> Option<f64>) -> Vec<Line> {
    let intervals = || points.iter().map(|point| point.interval_ms as f64);
    let ends = [intervals().reduce(f64::min), intervals().reduce(f64::max)];
    let publishes = Spread::of(points.iter().map(|point| point.publishes_per_second)).median;
    let others = measured(study).into_iter().filter(|(shown, _)| shown.label != "short_poll");
    let line = |(shown, costs): (Shown<'_>, &Costs)| {
        let level = of(costs, publishes)?;
        let points = ends.into_iter().flatten().map(|x| Point::exact(x, level)).collect();
        Some(Line { name: shown.name.to_owned(), look: shown.look, kind: Kind::Reference, points })
    };
    others.filter_map(line).collect()
}

fn polling_table(points: &[&PollingPoint]) -> Table {
    let mut table = Table::new(
        "Short polling at several intervals",
        &[
            "interval",
            "users",
            "publishes/s",
            "staleness p50",
            "p90",
            "p99",
            "bytes a user and second",
            "CPU a user and second",
            "never seen",
            "answered 304",
            "answered in",
        ],
    );
    for point in points {
        let staleness = point.staleness;
        let time = |micros: u64| time(&staleness, micros);
        table.push(vec![
            quantity(point.interval_ms as f64, Unit::Millis),
            whole(point.users),
            number(point.publishes_per_second),
            time(staleness.p50_us),
            time(staleness.p90_us),
            time(staleness.p99_us),
            quantity(point.bytes_per_user_second, Unit::Bytes),
            quantity(point.cpu_us_per_user_second, Unit::Micros),
            percent(point.unseen_share),
            percent(point.unchanged_share),
            quantity(point.answer_p50_us as f64, Unit::Micros),
        ]);
    }
    table
}
