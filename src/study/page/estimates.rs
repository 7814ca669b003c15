//! The chapter of capacity: the formula with the measured coefficients put in, and what comes of it.

use crate::study::figures::Study;
use crate::study::page::capacity::{
    Coefficients, Demand, GROUPS, Resource, SEGMENT_DATA_BYTES_MAX, SEGMENT_OVERHEAD_BYTES, Scenario,
    UPDATE_INTERVAL_SECONDS, acknowledged, framed, scenario,
};
use crate::study::page::markup::{Table, escape, list, paragraphs};
use crate::study::page::quantity::{NONE, Unit, number, or_none, percent, quantity};
use crate::study::page::transports::measured;
use crate::study::page::words::memory_told;

/// How a row of the tables gets its updates.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As they come.
    Streaming,
    /// By polls at this interval.
    Polling { interval_ms: u64 },
}

/// One row of the tables.
struct Row {
    name: String,
    coefficients: Coefficients,
    way: Way,
}

impl Row {
    fn demand(&self, scenario: Scenario) -> Demand {
        match self.way {
            Way::Streaming => self.coefficients.streaming(scenario),
            Way::Polling { interval_ms } => self.coefficients.polling(scenario, interval_ms),
        }
    }
}

/// Transports that deliver as updates come, then short polling at each interval.
fn rows(study: &Study) -> Vec<Row> {
    let streaming = measured(study).into_iter().filter(|(shown, _)| shown.label != "short_poll");
    let streaming = streaming.map(|(shown, costs)| Row {
        name: shown.name.to_owned(),
        coefficients: Coefficients::of(costs),
        way: Way::Streaming,
    });
    let of_polling = Coefficients::of_polling(study);
    let polling = study.polling.iter().filter(|point| point.interval_ms > 0).map(|point| Row {
        name: format!("Short polling every {}", quantity(point.interval_ms as f64, Unit::Millis)),
        coefficients: of_polling,
        way: Way::Polling { interval_ms: point.interval_ms },
    });
    streaming.chain(polling).collect()
}

/// The whole chapter.
pub(super) fn section(study: &Study) -> String {
    let rows = rows(study);
    let mut html = String::from(
        "<section id=\"capacity\" aria-labelledby=\"capacity-heading\">\n\
         <h2 id=\"capacity-heading\">Capacity, estimated</h2>\n",
    );
    html += &paragraphs(&assumptions(study));
    html += &formula();
    html += &coefficients_table(&rows).html();
    html += &worked(&rows);
    for group in GROUPS {
        html += &format!("<h3>Groups of {}</h3>\n", escape(&number(group)));
        html += &group_table(&rows, scenario(group)).html();
    }
    html += "</section>\n";
    html
}

fn assumptions(study: &Study) -> Vec<String> {
    let shares = measured(study).into_iter().flat_map(|(_, costs)| &costs.subscribers);
    let shares = shares.map(|point| point.cpu_us_per_publish.median * point.publishes_per_second / 1e6);
    let shares: Vec<f64> = shares.filter(|share| share.is_finite() && *share > 0.0).collect();
    let least = shares.iter().copied().reduce(f64::min).map_or_else(|| NONE.to_owned(), percent);
    let most = shares.iter().copied().reduce(f64::max).map_or_else(|| NONE.to_owned(), percent);
    vec![
        format!(
            "Every user publishes u updates a second in a group of g, and receives all g × u of the group; below, \
             u = 1/{UPDATE_INTERVAL_SECONDS}. A short poller receives the newest update at each poll and no other, however \
             large the group is: its rows do less than the others'."
        ),
        format!(
            "Each update travels in TCP segments of its own, {} bytes in each at most. A segment costs {} bytes of Ethernet, \
             IP and TCP besides, and an acknowledgement of as many the other way. A server under load puts several updates \
             into one segment, so this is the most that they take. A gigabit carries both directions at once: the busier \
             one counts.",
            number(SEGMENT_DATA_BYTES_MAX),
            number(SEGMENT_OVERHEAD_BYTES)
        ),
        format!(
            "CPU is that of the fitted line (“Cost against the number of subscribers”). For short polling it is that of a \
             poll, at the highest rate that the server kept up with, and a publish as the other HTTP transports' line has it. \
             Memory is {}.",
            memory_told(&measured(study))
        ),
        format!(
            "The line was measured with {least} to {most} of a core in use. A fuller core writes more updates with one system \
             call, so it carries more; “geoloop load --transport websocket --users 10000” shows how much. The \
             estimates are sums of costs, not measurements of such a load: they leave no room for peaks, and assume that each \
             core carries its own groups."
        ),
    ]
}

fn formula() -> String {
    format!(
        "<p class=\"formula\">CPU = u × publish + g × u × delivery; of short polling the polls a second in place of g × u, here \
         and below<br>\
         bytes, each direction = u × framed(publish) + g × u × framed(delivery) + an acknowledgement of {} for each segment of the \
         other direction, where framed(b) = b + {} × ⌈b / {}⌉<br>\
         memory = the process’s + the kernel’s bytes a connection</p>\n",
        number(SEGMENT_OVERHEAD_BYTES),
        number(SEGMENT_OVERHEAD_BYTES),
        number(SEGMENT_DATA_BYTES_MAX)
    )
}

fn coefficients_table(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Measured coefficients; a delivery of short polling is a poll",
        &[
            "transport",
            "CPU a publish",
            "CPU a delivery",
            "publish up",
            "publish down",
            "delivery down",
            "delivery up",
            "memory",
        ],
    );
    // A poll costs the same at every interval.
    let (streaming, polling): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| matches!(row.way, Way::Streaming));
    let streaming = streaming.into_iter().map(|row| (row.name.as_str(), row.coefficients));
    let polling = polling.first().map(|row| ("Short polling", row.coefficients));
    for (name, measured) in streaming.chain(polling) {
        let delivery =
            measured.delivery_us.map_or_else(|| NONE.to_owned(), |cost| quantity(cost, Unit::Micros));
        let publish = match measured.delivery_us {
            Some(_) => quantity(measured.publish_us, Unit::Micros),
            None => NONE.to_owned(),
        };
        let bytes = [
            measured.publish_up,
            measured.publish_down,
            measured.delivery_down,
            measured.delivery_up,
            measured.connection_bytes,
        ];
        let bytes = bytes.map(|bytes| or_none(bytes, Unit::Bytes));
        table.push([name.to_owned(), publish, delivery].into_iter().chain(bytes).collect());
    }
    table
}

/// The formulas with each transport's figures in them, for the middle size of group.
fn worked(rows: &[Row]) -> String {
    let scenario = scenario(GROUPS[1]);
    let mut lines = Vec::new();
    for row in rows {
        let deliveries = match row.way {
            Way::Streaming => format!("{}/{UPDATE_INTERVAL_SECONDS}", number(scenario.group)),
            Way::Polling { interval_ms } => format!("1/{}", interval_ms as f64 / 1000.0),
        };
        let demand = row.demand(scenario);
        let told = [
            cpu_worked(row, &deliveries, &demand),
            cable_worked(row, &deliveries, &demand),
            memory_worked(&demand),
        ];
        let told: Vec<_> = told.into_iter().flatten().collect();
        if !told.is_empty() {
            lines.push(format!("{}. {}.", row.name, told.join(". ")));
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "<details>\n<summary>A user and second, worked out for groups of {}</summary>\n<div class=\"worked\">\n{}</div>\n\
         </details>\n",
        number(scenario.group),
        list(&lines)
    )
}

fn cpu_worked(row: &Row, deliveries: &str, demand: &Demand) -> Option<String> {
    let (delivery, cpu) = (row.coefficients.delivery_us?, demand.cpu_us?);
    Some(format!(
        "CPU: 1/{UPDATE_INTERVAL_SECONDS} × {} + {deliveries} × {} = {}, so a core carries {}",
        quantity(row.coefficients.publish_us, Unit::Micros),
        quantity(delivery, Unit::Micros),
        quantity(cpu, Unit::Micros),
        quantity(demand.users_on(Resource::Core)?, Unit::Estimate)
    ))
}

/// Both directions: data that goes this way, and acknowledgements of what came the other way.
fn cable_worked(row: &Row, deliveries: &str, demand: &Demand) -> Option<String> {
    let users = demand.users_on(Resource::Gigabit)?;
    let measured = row.coefficients;
    let direction = |(publish, publish_back): (f64, f64), (delivery, delivery_back): (f64, f64), sum: f64| {
        format!(
            "1/{UPDATE_INTERVAL_SECONDS} × ({} + {}) + {deliveries} × ({} + {}) = {}",
            number(framed(publish).round()),
            number(acknowledged(publish_back)),
            number(framed(delivery).round()),
            number(acknowledged(delivery_back)),
            quantity(sum, Unit::Bytes)
        )
    };
    let (publish_up, publish_down) = (measured.publish_up, measured.publish_down);
    let (up, down) = (measured.delivery_up, measured.delivery_down);
    Some(format!(
        "Bytes down: {}. Bytes up: {}, so a gigabit carries {}",
        direction((publish_down, publish_up), (down, up), demand.down_bytes),
        direction((publish_up, publish_down), (up, down), demand.up_bytes),
        quantity(users, Unit::Estimate)
    ))
}

fn memory_worked(demand: &Demand) -> Option<String> {
    let users = demand.users_on(Resource::Gigabyte)?;
    Some(format!(
        "Memory: {}, so a gigabyte carries {}",
        quantity(demand.memory_bytes, Unit::Bytes),
        quantity(users, Unit::Estimate)
    ))
}

fn group_table(rows: &[Row], scenario: Scenario) -> Table {
    let mut table = Table::new(
        &format!(
            "Users, and what 1 and 10 million of them need: groups of {}, an update every {UPDATE_INTERVAL_SECONDS} s each",
            number(scenario.group)
        ),
        &[
            "transport",
            "on one core",
            "on one gigabit",
            "on one gigabyte",
            "runs out first",
            "1 M: cores",
            "1 M: Gbit/s",
            "1 M: GB",
            "10 M: cores",
            "10 M: Gbit/s",
            "10 M: GB",
        ],
    );
    let resources = [Resource::Core, Resource::Gigabit, Resource::Gigabyte];
    for row in rows {
        let demand = row.demand(scenario);
        let told = |value: Option<f64>| {
            value.map_or_else(|| NONE.to_owned(), |value| quantity(value, Unit::Estimate))
        };
        let mut cells = vec![row.name.clone()];
        cells.extend(resources.map(|resource| told(demand.users_on(resource))));
        cells.push(demand.limit().map_or(NONE, Resource::name).to_owned());
        for users in [1e6, 10e6] {
            cells.extend(resources.map(|resource| told(demand.needed(users, resource))));
        }
        table.push(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formulas_are_worked_out_as_a_hand_does() {
        let coefficients = Coefficients {
            publish_us: 6.0,
            delivery_us: Some(1.5),
            publish_up: 210.0,
            publish_down: 0.0,
            delivery_down: 150.0,
            delivery_up: 0.0,
            connection_bytes: 2500.0,
        };
        let row = Row { name: "a < b".to_owned(), coefficients, way: Way::Streaming };
        let html = worked(&[row]).replace('\u{a0}', " ");
        for told in [
            "a &lt; b. CPU: 1/3 × 6 µs + 100/3 × 1.50 µs = 52 µs, so a core carries 19,200.",
            // A third of 90 and 33.3 times 240; a third of 300 and 33.3 times 90.
            "Bytes down: 1/3 × (0 + 90) + 100/3 × (240 + 0) = 8,030 B.",
            "Bytes up: 1/3 × (300 + 0) + 100/3 × (0 + 90) = 3,100 B, so a gigabit carries 15,600.",
            "Memory: 2,500 B, so a gigabyte carries 400,000.",
        ] {
            assert!(html.contains(told), "{told}\nis not in\n{html}");
        }
    }

    #[test]
    fn nothing_measured_has_nothing_worked_out() {
        let row = Row { name: "x".to_owned(), coefficients: Coefficients::default(), way: Way::Streaming };
        assert_eq!(worked(&[row]), "");
    }
}
