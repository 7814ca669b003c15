//! The chapters of what one thing costs on each transport: bytes, work, memory, connects; bars beside each other.

use crate::study::figures::{Costs, RatePoint, Spread, Study};
use crate::study::page::curves::{RATE, rate_lines, spread_point};
use crate::study::page::markup::{Section, Table};
use crate::study::page::plots::{Axis, Bar, BarPlot, LinePlot, Scale};
use crate::study::page::quantity::{Unit, number, or_none, percent, quantity, spread_cell, whole};
use crate::study::page::transports::{Shown, at_rate, measured, study_rate};

/// All chapters of this kind, in the order of the page.
pub(super) fn sections(study: &Study) -> Vec<Section> {
    vec![bytes(study), work(study), memory(study), connect(study)]
}

/// A bar for each transport that has a spread.
fn spread_bars(
    id: &'static str,
    title: String,
    axis: &'static str,
    unit: Unit,
    spreads: &[(&str, Spread)],
) -> Option<String> {
    let bar = |(name, spread): &(&str, Spread)| Bar {
        name: (*name).to_owned(),
        parts: vec![spread.median],
        label: quantity(spread.median, unit),
        range: (spread.runs > 1).then_some((spread.min, spread.max)),
    };
    let bars = spreads.iter().filter(|(_, spread)| spread.runs > 0).map(bar).collect();
    BarPlot { id, title, axis, unit, parts: Vec::new(), bars }.figure()
}

/// A bar for each transport, of parts that add up.
fn stacked(study: &Study, plot: BarPlot, parts: impl Fn(&Costs) -> Vec<f64>) -> Option<String> {
    let bar = |(shown, costs): &(Shown<'_>, &Costs)| {
        let parts = parts(costs);
        let label = quantity(parts.iter().sum(), plot.unit);
        Bar { name: shown.name.to_owned(), parts, label, range: None }
    };
    let bars = measured(study).iter().map(bar).collect();
    BarPlot { bars, ..plot }.figure()
}

fn bytes(study: &Study) -> Section {
    let plot = BarPlot {
        id: "plot-bytes",
        title: "Bytes for one update delivered to one subscriber".to_owned(),
        axis: "bytes above TCP, both directions",
        unit: Unit::Bytes,
        parts: vec!["the update (down)", "around it (down)", "asked for it (up)"],
        bars: Vec::new(),
    };
    let publish = BarPlot {
        id: "plot-publish-bytes",
        title: "Bytes for publishing one location".to_owned(),
        axis: "bytes above TCP, both directions",
        unit: Unit::Bytes,
        parts: vec!["answered (down)", "", "sent (up)"],
        bars: Vec::new(),
    };
    let plots = [
        stacked(study, plot, |costs| vec![costs.wire.down_payload, costs.wire.down_overhead, costs.wire.up]),
        stacked(study, publish, |costs| vec![costs.wire.publish_down, 0.0, costs.wire.publish_up]),
    ];
    let mut table = Table::new(
        "Bytes above TCP",
        &[
            "transport",
            "the update",
            "around it",
            "asked for it",
            "all",
            "down, computed",
            "up, computed",
            "to publish, up",
            "to publish, down",
        ],
    );
    for (shown, costs) in measured(study).into_iter().filter(|(_, costs)| costs.wire.down_payload > 0.0) {
        let wire = costs.wire;
        let (down, up) = (wire.down_computed, wire.up_computed);
        let figures =
            [wire.down_payload, wire.down_overhead, wire.up, wire.total(), down, up, wire.publish_up]
                .into_iter()
                .chain([wire.publish_down]);
        let cells = figures.map(|bytes| quantity(bytes, Unit::Bytes));
        table.push([shown.name.to_owned()].into_iter().chain(cells).collect());
    }
    Section {
        id: "bytes",
        title: "Bytes on the wire",
        how: vec![
            "Counted on the tool's sockets with one subscriber and one publisher, divided by the updates delivered. The \
             update is its JSON, the same on every transport; around it are heads, frame headers and field names; what is \
             asked for it are the requests that polling needs. The table also holds what the codecs compute: where both \
             differ, something else was on the wire."
                .to_owned(),
            "Shorter is cheaper. TCP, IP and Ethernet add about 90 bytes for each segment, which the estimates of \
             capacity count and this plot does not."
                .to_owned(),
        ],
        plots: plots.into_iter().flatten().collect(),
        tables: vec![table],
        ..Section::default()
    }
}

fn work(study: &Study) -> Section {
    let rate = study_rate(study);
    let spreads = |of: fn(&RatePoint) -> Spread| -> Vec<(&str, Spread)> {
        let each = measured(study).into_iter();
        each.filter_map(|(shown, costs)| Some((shown.name, of(at_rate(costs, rate?)?)))).collect()
    };
    let at = rate.map_or_else(String::new, |rate| format!(" at {} updates a second", number(rate)));
    let plots = [
        spread_bars(
            "plot-cpu",
            format!("CPU for one update delivered{at}"),
            "the server's CPU for each update",
            Unit::Micros,
            &spreads(|point| point.cpu_us_per_update),
        ),
        spread_bars(
            "plot-syscalls",
            format!("System calls for one update delivered{at}"),
            "the server's system calls for each update",
            Unit::Count,
            &spreads(|point| point.syscalls_per_update),
        ),
        LinePlot {
            id: "plot-cpu-rate".to_owned(),
            title: "CPU for one update delivered, at every rate".to_owned(),
            x: RATE,
            y: Axis { name: "the server's CPU for each update", unit: Unit::Micros, scale: Scale::Linear },
            lines: rate_lines(study, |point| {
                spread_point(point.delivered_per_second, &point.cpu_us_per_update)
            }),
            shows: Default::default(),
        }
        .figure(),
    ];
    Section {
        id: "work",
        title: "Work for each update",
        how: vec![
            "CPU time of the server's process and its system calls over a measured window, divided by the updates \
             delivered in it. Publishes, over HTTP on every transport, are included: one for ten deliveries, with short \
             polling two. The bars show the highest rate that the most transports kept up with (95 % of what was intended \
             was delivered); the lines on them reach from the least to the greatest of the runs."
                .to_owned(),
            "One turn of the event loop writes all updates that it has for a subscriber with one system call: the fuller the \
             server, the less each takes. On loopback the kernel does the receiver's work too while the sender's call lasts, and charges it to \
             the sender: a network card would spare the server that part."
                .to_owned(),
        ],
        plots: plots.into_iter().flatten().collect(),
        tables: vec![work_table(study)],
        ..Section::default()
    }
}

fn work_table(study: &Study) -> Table {
    let mut table = Table::new(
        "Work for each update delivered",
        &[
            "transport",
            "updates/s",
            "publishes/s",
            "subscribers",
            "groups",
            "CPU",
            "system calls",
            "server's core in use",
        ],
    );
    for (shown, costs) in measured(study) {
        for point in &costs.rates {
            table.push(vec![
                shown.name.to_owned(),
                number(point.intended_per_second),
                or_none(point.publishes_per_second, Unit::Count),
                whole(point.subscribers),
                whole(point.groups),
                spread_cell(&point.cpu_us_per_update, Unit::Micros),
                spread_cell(&point.syscalls_per_update, Unit::Count),
                percent(point.server_cpu_share),
            ]);
        }
    }
    table
}

fn memory(study: &Study) -> Section {
    let plot = BarPlot {
        id: "plot-memory",
        title: "Memory for one idle connection".to_owned(),
        axis: "bytes for each connection",
        unit: Unit::Bytes,
        parts: vec!["the process's resident memory", "the kernel's, half of both ends"],
        bars: Vec::new(),
    };
    let plot = stacked(study, plot, |costs| {
        vec![costs.connection.resident_bytes.median, costs.connection.kernel_bytes]
    });
    let mut table =
        Table::new("Memory for an idle connection", &["transport", "connections", "process", "kernel"]);
    for (shown, costs) in measured(study) {
        table.push(vec![
            shown.name.to_owned(),
            whole(costs.connection.connections),
            spread_cell(&costs.connection.resident_bytes, Unit::Bytes),
            or_none(costs.connection.kernel_bytes, Unit::Bytes),
        ]);
    }
    Section {
        id: "memory",
        title: "Memory of idle connections",
        how: vec![
            "Many connections are opened, subscribed and left alone; the growth of the server's resident memory is \
             divided by their number. The kernel's part is half of what its slab and TCP's buffers grew by: half, for both \
             ends are on this machine, and whatever else the machine did is in it. Where it cannot be told it is left out."
                .to_owned(),
        ],
        plots: plot.into_iter().collect(),
        tables: vec![table],
        ..Section::default()
    }
}

fn connect(study: &Study) -> Section {
    let spreads = |of: fn(&Costs) -> Spread| -> Vec<(&str, Spread)> {
        measured(study).into_iter().map(|(shown, costs)| (shown.name, of(costs))).collect()
    };
    let bytes = BarPlot {
        id: "plot-connect-bytes",
        title: "Bytes to open".to_owned(),
        axis: "bytes above TCP",
        unit: Unit::Bytes,
        parts: vec!["sent by the server", "", "sent by the client"],
        bars: Vec::new(),
    };
    let plots = [
        spread_bars(
            "plot-connect-time",
            "From the intended connect until it is open".to_owned(),
            "median of each run",
            Unit::Micros,
            &spreads(|costs| costs.connection.connect_us),
        ),
        spread_bars(
            "plot-first-byte",
            "From the intended connect to the first byte".to_owned(),
            "median of each run",
            Unit::Micros,
            &spreads(|costs| costs.connection.first_byte_us),
        ),
        spread_bars(
            "plot-connect-cpu",
            "The server's CPU for a connect".to_owned(),
            "CPU for each connect",
            Unit::Micros,
            &spreads(|costs| costs.connection.connect_cpu_us),
        ),
        stacked(study, bytes, |costs| {
            vec![costs.connection.connect_down_bytes, 0.0, costs.connection.connect_up_bytes]
        }),
    ];
    let mut table = Table::new(
        "What a connect takes",
        &["transport", "until open", "first byte", "CPU", "system calls", "bytes up", "bytes down"],
    );
    for (shown, costs) in measured(study) {
        let connection = &costs.connection;
        table.push(vec![
            shown.name.to_owned(),
            spread_cell(&connection.connect_us, Unit::Micros),
            spread_cell(&connection.first_byte_us, Unit::Micros),
            spread_cell(&connection.connect_cpu_us, Unit::Micros),
            spread_cell(&connection.connect_syscalls, Unit::Count),
            or_none(connection.connect_up_bytes, Unit::Bytes),
            or_none(connection.connect_down_bytes, Unit::Bytes),
        ]);
    }
    Section {
        id: "connect",
        title: "Connecting, and the first byte",
        how: vec![
            "From the moment a connect was intended, so that a late tool shows in it. A short poll is open when it is \
             answered, a long poll when a first one that does not wait is, an event stream with its head, a WebSocket with \
             the 101, STOMP when it is connected and subscribed. CPU, calls and bytes of a long poll hold the second request \
             too, the one that waits. The first byte is the first that the server sends, whatever it says."
                .to_owned(),
        ],
        plots: plots.into_iter().flatten().collect(),
        side_by_side: true,
        tables: vec![table],
        ..Section::default()
    }
}
