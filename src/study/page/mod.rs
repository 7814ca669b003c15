//! The report: one HTML file that needs nothing beside it, and the figures as JSON.
//!
//! It has no script, loads nothing, follows the reader's colour scheme, and can be printed.
//!
//! Of the files here `quantity`, `markup`, `plots` and `ink` know how something is written or drawn, `transports`, `capacity`
//! and `words` what the figures say, and the others are chapters made of both.

mod capacity;
mod costs;
mod curves;
mod estimates;
mod ink;
mod markup;
mod plots;
mod quantity;
mod seed;
mod transports;
mod versus;
mod words;

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::load::report::TOOL_CPU_SHARE_MAX;
use crate::study::figures::{Setting, Study};
use crate::study::page::capacity::Coefficients;
use crate::study::page::markup::{Section, Table, escape, list, paragraphs};
use crate::study::page::quantity::{
    NONE, NOT_MEASURED, Unit, duration, number, or_none, percent, spread_cell, whole,
};
use crate::study::page::transports::{Shown, at_rate, study_rate};
use crate::study::page::versus::COMPARISONS;

const STYLE: &str = include_str!("style.css");

/// What the reader knows the file of figures by, beside the page.
pub const FIGURES_FILE: &str = "report.json";
/// The page.
pub const PAGE_FILE: &str = "report.html";

/// Makes the folder if it is not there, and sees that both files can be written; one that is there stays as it is.
///
/// # Errors
/// What the file system says.
pub fn make_room(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for name in [FIGURES_FILE, PAGE_FILE] {
        let path = folder.join(name);
        let is_empty = fs::File::options().append(true).create(true).open(&path)?.metadata()?.len() == 0;
        if is_empty {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Writes `report.html` and `report.json` into a folder, which is made if it is not there.
///
/// # Errors
/// What the file system says.
pub fn write(study: &Study, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut figures = serde_json::to_string_pretty(study)?;
    figures.push('\n');
    fs::write(folder.join(FIGURES_FILE), figures)?;
    fs::write(folder.join(PAGE_FILE), render(study))
}

/// The whole page.
#[must_use]
pub fn render(study: &Study) -> String {
    let mut sections = costs::sections(study);
    sections.extend(curves::sections(study));
    let body = [
        header(&study.setting),
        warnings(study),
        contents(&sections),
        findings(study),
        summary(study),
        comparisons(study),
        sections.iter().map(Section::html).collect(),
        estimates::section(study),
        failures(study),
        method(&study.setting),
    ]
    .concat();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" content=\"geoloop {}\">\n\
         <title>What five transports cost: a geoloop study</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{PATTERNS}<main>\n{body}</main>\n</body>\n</html>\n",
        escape(&study.setting.version)
    )
}

/// What the parts of bars are filled with, besides their colour, so that they differ without it.
const PATTERNS: &str = "<svg class=\"patterns\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\n\
    <pattern id=\"stripes\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
    <rect class=\"stripes-ground\" width=\"8\" height=\"8\"/><rect class=\"stripes\" width=\"5\" height=\"8\"/></pattern>\n\
    <pattern id=\"dots\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\">\
    <rect class=\"dots-ground\" width=\"8\" height=\"8\"/><circle class=\"dots\" cx=\"4\" cy=\"4\" r=\"2.6\"/></pattern>\n\
    </defs></svg>\n";

fn header(setting: &Setting) -> String {
    let known = |text: &str| if text.trim().is_empty() { NONE.to_owned() } else { text.to_owned() };
    let pinned = if setting.pinned {
        "server and tool had a core each to themselves"
    } else {
        "server and tool shared cores: latencies include waits for one"
    };
    let server = match setting.workers {
        0 => "one that ran already".to_owned(),
        workers => format!("geoloop {}, {}", known(&setting.version), counted(workers, "reactor")),
    };
    let form = if setting.quick { "quick: short windows, wide spreads" } else { "full" };
    let rows = [
        ("Server", server),
        ("Processor", format!("{}, {} in use", known(&setting.processor), counted(setting.cores, "core"))),
        ("Memory", or_none(setting.memory_bytes as f64, Unit::Bytes)),
        ("Kernel", known(&setting.kernel)),
        ("Cores", pinned.to_owned()),
        ("Form", form.to_owned()),
        ("Runs", format!("{} of each measurement, interleaved with the others", whole(setting.repeats))),
        ("Took", duration(setting.seconds)),
    ];
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(value)))
        .collect();
    format!(
        "<header>\n<h1>What five transports cost</h1>\n<p class=\"lead\">Sharing locations in groups by short polling, \
         long polling, Server-Sent Events, WebSocket and STOMP, measured on one server, geoloop, {}.</p>\n\
         <dl class=\"setting\">\n{rows}</dl>\n</header>\n",
        date(setting.began_unix)
    )
}

fn counted(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", whole(count), if count == 1 { "" } else { "s" })
}

/// When it was, for readers and for programs.
fn date(unix: u64) -> String {
    // Past the year 9999 there is no such notation.
    const LAST_UNIX: u64 = 253_402_300_799;
    if unix == 0 || unix > LAST_UNIX {
        return "at an unknown time".to_owned();
    }
    let instant = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(unix)).to_string();
    let (day, time) = (&instant[..10], &instant[11..16]);
    format!("on <time datetime=\"{instant}\">{day} at {time} UTC</time>")
}

fn warnings(study: &Study) -> String {
    let setting = &study.setting;
    let mut told = setting.warnings.clone();
    if !study.failed.is_empty() {
        told.push(format!(
            "{} failed and {} in none of the figures: see “Failures”.",
            counted(study.failed.len(), "run"),
            if study.failed.len() == 1 { "is" } else { "are" }
        ));
    }
    if setting.tool_cpu_share_max > TOOL_CPU_SHARE_MAX {
        told.push(format!(
            "The tool itself used up to {} of its core: where it did, the latencies are partly its own.",
            percent(setting.tool_cpu_share_max)
        ));
    }
    if setting.quick {
        told.push(
            "This was the quick form: short windows and few repeats. Small differences mean nothing in it."
                .to_owned(),
        );
    }
    if told.is_empty() {
        return String::new();
    }
    format!(
        "<section class=\"warnings\" aria-labelledby=\"warnings-heading\">\n\
         <h2 id=\"warnings-heading\">Before you trust the figures</h2>\n{}</section>\n",
        list(&told)
    )
}

fn contents(sections: &[Section]) -> String {
    let first = [
        ("findings", "What was found"),
        ("summary", "All transports at a glance"),
        ("comparisons", "The three comparisons"),
    ];
    let last =
        [("capacity", "Capacity, estimated"), ("failures", "Failures"), ("method", "Method and caveats")];
    let middle = sections.iter().map(|section| (section.id, section.title));
    let items = first.into_iter().chain(middle).chain(last);
    let items: String =
        items.map(|(id, title)| format!("<li><a href=\"#{id}\">{}</a></li>\n", escape(title))).collect();
    format!("<nav aria-label=\"Contents\">\n<ol>\n{items}</ol>\n</nav>\n")
}

/// A chapter of its own shape.
fn chapter(id: &str, title: &str, inside: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-heading\">\n<h2 id=\"{id}-heading\">{}</h2>\n{inside}</section>\n",
        escape(title)
    )
}

fn findings(study: &Study) -> String {
    let inside = if study.transports.is_empty() {
        "<p class=\"none\">No transport was measured.</p>\n".to_owned()
    } else {
        list(&words::headlines(study))
    };
    chapter("findings", "What was found", &inside)
}

/// One row for each figure would be longer than one for each transport; phones scroll it sideways.
fn summary(study: &Study) -> String {
    let rate = study_rate(study);
    let mut table = Table::new(
        "What one update and one connection cost",
        &[
            "transport",
            "bytes an update",
            "CPU an update",
            "system calls an update",
            "p50",
            "p99",
            "poll answered",
            "memory a connection",
            "until open",
            "CPU a connect",
        ],
    );
    for shown in transports::all(study) {
        table.push(summary_row(&shown, rate));
    }
    let memory = words::memory_told(&transports::measured(study));
    let how = match rate {
        Some(rate) => format!(
            "CPU, system calls and latency at {} updates a second, the highest rate that the most transports kept up \
             with; a transport that was not measured at it, or did not keep up, has a dash. Short polling's latency is \
             mostly the wait for the next poll; “poll answered” is how soon a poll had its answer. In brackets the least and \
             the greatest of the runs. Memory is {memory}.",
            number(rate)
        ),
        None => {
            format!("No rate of delivery was measured that a transport kept up with. Memory is {memory}.")
        }
    };
    chapter("summary", "All transports at a glance", &(paragraphs(&[how]) + &table.html()))
}

fn summary_row(shown: &Shown<'_>, rate: Option<f64>) -> Vec<String> {
    let Some(costs) = shown.costs else {
        return [shown.name, NOT_MEASURED, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE]
            .map(str::to_owned)
            .to_vec();
    };
    let point = rate.and_then(|rate| at_rate(costs, rate)).copied().unwrap_or_default();
    vec![
        shown.name.to_owned(),
        or_none(costs.wire.total(), Unit::Bytes),
        spread_cell(&point.cpu_us_per_update, Unit::Micros),
        spread_cell(&point.syscalls_per_update, Unit::Count),
        spread_cell(&point.p50_us, Unit::Micros),
        spread_cell(&point.p99_us, Unit::Micros),
        or_none(point.answer.p50_us as f64, Unit::Micros),
        or_none(Coefficients::of(costs).connection_bytes, Unit::Bytes),
        spread_cell(&costs.connection.connect_us, Unit::Micros),
        spread_cell(&costs.connection.connect_cpu_us, Unit::Micros),
    ]
}

fn comparisons(study: &Study) -> String {
    let mut inside = paragraphs(&[
        "The study that we re-play set out to make these comparisons and left its analysis empty. Two figures are told \
         apart only where the ranges of their runs do not overlap. Its users came and went within a minute and it counted \
         requests; ours stay and we count updates: compare the order of size, no more."
            .to_owned(),
    ]);
    for comparison in &COMPARISONS {
        let said = versus::compare(study, comparison);
        inside += &format!(
            "<h3 id=\"{}\">{}</h3>\n{}{}{}{}",
            comparison.id,
            escape(comparison.title),
            paragraphs(&said.answer),
            said.figures.as_ref().map(Table::html).unwrap_or_default(),
            seed::table(study, comparison).html(),
            list(&seed::cautions(study, comparison))
        );
    }
    chapter("comparisons", "The three comparisons", &inside)
}

fn failures(study: &Study) -> String {
    let mut table = Table::new("Failures at measured rates", &["transport", "updates/s", "failures"]);
    let mut windows = 0usize;
    for (shown, costs) in transports::measured(study) {
        windows += costs.rates.len();
        for point in costs.rates.iter().filter(|point| point.failures > 0) {
            let cells = [shown.name.to_owned(), number(point.intended_per_second), whole(point.failures)];
            table.push(cells.to_vec());
        }
    }
    let inside = match (windows, table.rows.is_empty()) {
        (0, _) => "<p class=\"none\">Nothing was measured that could have failed.</p>\n".to_owned(),
        (_, true) => {
            format!(
                "<p>None at {}. Failures of any other measurement would be told at the top of the page.</p>\n",
                counted(windows, "measured rate")
            )
        }
        (_, false) => {
            "<p>Losses, repeats, wrong orders and refusals, all of which the tool checks for on every update.</p>\n".to_owned()
                + &table.html()
        }
    };
    let mut failed =
        Table::new("Runs that failed and are in none of the figures", &["transport", "what", "why"]);
    for run in &study.failed {
        let name = transports::all(study).into_iter().find(|shown| shown.label == run.transport);
        let name = name.map_or_else(|| run.transport.clone(), |shown| shown.name.to_owned());
        failed.push(vec![name, run.what.clone(), run.reason.clone()]);
    }
    let failed = if failed.rows.is_empty() { String::new() } else { failed.html() };
    chapter("failures", "Failures", &(inside + &failed))
}

fn method(setting: &Setting) -> String {
    let mut said = vec![
        "Server and tool run on one machine and talk over loopback. There the kernel does the receiver's work while the \
         sender's system call lasts, and charges it to the sender: the server's CPU for an update holds some of the \
         client's, and a client's request holds some of the server's. No card, cable or distance adds to the latencies."
            .to_owned(),
        "Every latency counts from the moment that a publish or connect was intended, so that neither a server nor a tool \
         that falls behind can hide it. Everything that a subscriber receives is held against what was published: an \
         update that is lost, repeated, out of order or of another group is a failure."
            .to_owned(),
        "Measurements of all transports are interleaved, so that what the machine does besides falls on all of them \
         alike; bytes on the wire and short polling's intervals are measured once. A range is the least and the greatest of \
         the runs, and no interval of confidence."
            .to_owned(),
        format!(
            "The tool used at most {} of its core in any measurement. Its share at each rate is in the table of latencies; \
             past {} the latencies are partly its own.",
            percent(setting.tool_cpu_share_max),
            percent(TOOL_CPU_SHARE_MAX)
        ),
    ];
    if !setting.pinned {
        said.push(
            "Nobody had a core to itself: CPU times hold, latencies are those of a shared machine."
                .to_owned(),
        );
    }
    let inside = paragraphs(&said)
        + &format!(
            "<p>All figures, unrounded: <a href=\"{FIGURES_FILE}\">{FIGURES_FILE}</a> beside this file.</p>\n"
        );
    chapter("method", "Method and caveats", &inside)
}

#[cfg(test)]
mod tests;
