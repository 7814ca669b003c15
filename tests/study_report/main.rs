//! The study's report, from figures of the size that a real study has, and from studies that lack some or all of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use geoloop::load::figures::LatencySummary;
use geoloop::study::figures::{Costs, FailedRun, PollingPoint, RatePoint, Spread, Study, SubscribersPoint};
use geoloop::study::page;
use serde_json::Value;

const SAMPLE: &str = include_str!("sample.json");

fn sample() -> Study {
    serde_json::from_str(SAMPLE).expect("the sample is a study")
}

/// Elements that have no end tag.
const VOID: [&str; 4] = ["meta", "link", "br", "hr"];

/// The attributes of a tag, each with its value.
fn attributes(tag: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = tag;
    while let Some((before, behind)) = rest.split_once("=\"") {
        let (value, behind) = behind.split_once('"').expect("a value ends");
        found.push((before.split_ascii_whitespace().next_back().expect("a value has a name"), value));
        rest = behind;
    }
    found
}

/// Holds a page against what every page of ours keeps: elements nest, ids are unique and what refers to them finds them,
/// nothing is loaded, no plot is empty, and no figure is NaN or infinite.
#[track_caller]
fn check(html: &str) {
    assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    let (_, body) = html.split_once("</head>").expect("there is a head");
    let (mut open, mut ids, mut referred) = (vec!["html"], BTreeSet::new(), BTreeSet::new());
    let mut drawn = 0;
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("<{piece} does not end"));
        assert!(!text.contains(['>', '"']), "unescaped: {text}");
        for each in text.split('&').skip(1) {
            assert!(each.split_once(';').is_some_and(|(name, _)| name.len() < 6), "&{each} is no reference");
        }
        for word in text.split(|c: char| !c.is_alphanumeric()) {
            assert!(!["NaN", "inf", "Infinity"].contains(&word), "a figure that is none: {text}");
        }
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).expect("a tag has a name");
        if let Some(ended) = tag.strip_prefix('/') {
            let begun = open.pop();
            assert_eq!(begun, Some(ended), "</{ended}> ends <{begun:?}>");
            if ended == "svg" {
                assert!(drawn > 0, "an empty drawing");
            }
            continue;
        }
        for (attribute, value) in attributes(tag) {
            assert!(!value.contains("NaN") && !value.contains("inf"), "{tag}");
            match attribute {
                "id" => assert!(ids.insert(value), "two elements are {value}"),
                "aria-labelledby" => referred.extend(value.split(' ')),
                "href" if value.starts_with('#') => drop(referred.insert(&value[1..])),
                "href" => assert_eq!(value, "report.json"),
                "src" | "srcset" | "style" | "onclick" => panic!("{attribute} in <{tag}>"),
                "fill" | "stroke" => assert_eq!(value, "none", "a colour that ignores the reader's: <{tag}>"),
                _ => {}
            }
        }
        match name {
            "svg" => drawn = 0,
            "line" | "polyline" | "polygon" | "rect" | "circle" => drawn += 1,
            "script" | "img" | "iframe" | "object" => panic!("<{tag}>"),
            _ => {}
        }
        if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "elements without an end");
    let lost: Vec<_> = referred.difference(&ids).collect();
    assert_eq!(lost, Vec::<&&str>::new(), "references to what is not there");
    assert!(
        !html.contains("://") || !html.replace("http://www.w3.org", "").contains("://"),
        "it loads something"
    );
}

/// How many plots a page shows.
fn plots(html: &str) -> usize {
    html.matches("<svg class=\"plot\"").count()
}

#[test]
fn a_whole_study_shows_every_plot() {
    let html = page::render(&sample());
    check(&html);
    for id in [
        "plot-bytes",
        "plot-publish-bytes",
        "plot-cpu",
        "plot-syscalls",
        "plot-cpu-rate",
        "plot-memory",
        "plot-connect-time",
        "plot-first-byte",
        "plot-connect-cpu",
        "plot-connect-bytes",
        "plot-latency-all",
        "plot-latency-0",
        "plot-latency-1",
        "plot-latency-2",
        "plot-latency-3",
        "plot-latency-4",
        "plot-staleness",
        "plot-subscribers",
        "plot-polling-staleness",
        "plot-polling-bytes",
        "plot-polling-cpu",
    ] {
        assert!(html.contains(&format!("<figure id=\"{id}\">")), "{id} is not there");
    }
    assert_eq!(plots(&html), 21);
    assert!(html.contains("AMD EPYC 7B13 &amp; a name with &lt;angles&gt;"));
    assert!(html.contains("<time datetime=\"2026-11-25T21:31:37Z\">2026-11-25 at 21:31 UTC</time>"));
}

#[test]
fn the_page_is_made_of_what_is_in_the_file_of_figures() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("study_report");
    let study = sample();
    page::write(&study, &folder).expect("the folder can be written");
    let html = fs::read_to_string(folder.join("report.html")).expect("it was written");
    let figures = fs::read_to_string(folder.join("report.json")).expect("it was written");
    let read = serde_json::from_str::<Study>(&figures).expect("it is a study");
    assert_eq!(read, study);
    // Whoever has the file alone can make the page, so no figure on it comes from anywhere else.
    assert_eq!(page::render(&read), html);
    // And the file holds nothing that the page keeps silent about: each number in it, changed, changes the page.
    let whole: Value = serde_json::from_str(&figures).expect("it is JSON");
    let mut unseen = Vec::new();
    for place in numbers(&whole, String::new()) {
        let mut changed = whole.clone();
        let number = changed.pointer_mut(&place).expect("it was found there");
        *number = match number.as_u64() {
            Some(count) => Value::from(count * 3 + 7),
            None => Value::from(number.as_f64().expect("it is a number").mul_add(3.0, 7.5)),
        };
        let changed: Study = serde_json::from_value(changed).expect("it is a study still");
        if page::render(&changed) == html {
            unseen.push(place);
        }
    }
    assert_eq!(unseen, Vec::<String>::new(), "figures that the page does not show");
}

/// Where the numbers of a file are, of the last of each list. The page does not count runs, and of a distribution of times
/// shows some percentiles; STOMP has no polls to tell of.
fn numbers(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::Number(_) => vec![at],
        Value::Array(items) => {
            let last = items.last().map(|item| numbers(item, format!("{at}/{}", items.len() - 1)));
            last.unwrap_or_default()
        }
        Value::Object(fields) => {
            let untold = ["runs", "count", "mean_us", "min_us", "p95_us", "p999_us", "max_us", "answer"];
            let told = fields.iter().filter(|(name, _)| !untold.contains(&name.as_str()));
            told.flat_map(|(name, field)| numbers(field, format!("{at}/{name}"))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn nothing_measured_is_said_so() {
    let html = page::render(&Study::default());
    check(&html);
    assert_eq!(plots(&html), 0);
    assert!(html.contains("No transport was measured."));
    assert!(html.contains("not measured"));
}

#[test]
fn transports_that_measured_nothing_are_said_so() {
    let costs = |transport: &str| Costs { transport: transport.to_owned(), ..Costs::default() };
    let labels = ["short_poll", "long_poll", "sse", "websocket", "stomp", "<new>"];
    let study = Study { transports: labels.map(costs).to_vec(), ..Study::default() };
    let html = page::render(&study);
    check(&html);
    assert_eq!(plots(&html), 0);
    assert!(html.contains("&lt;new&gt;"));
}

#[test]
fn any_transport_can_be_missing() {
    for at in 0..5 {
        let mut study = sample();
        let missing = study.transports.remove(at);
        let html = page::render(&study);
        check(&html);
        assert!(html.contains("<td>not measured</td>"), "{} is missing and not told", missing.transport);
    }
}

#[test]
fn failed_runs_are_told_with_their_reasons() {
    let mut study = sample();
    assert!(!page::render(&study).contains("Runs that failed"));
    let failed = |transport: &str, reason: &str| FailedRun {
        transport: transport.to_owned(),
        what: "idle connections".to_owned(),
        reason: reason.to_owned(),
    };
    study.failed =
        vec![failed("stomp", "the server ended with <signal>"), failed("quic", "nobody speaks it")];
    let html = page::render(&study);
    check(&html);
    for told in [
        "<li>2 runs failed and are in none of the figures: see “Failures”.</li>",
        "<th scope=\"row\">STOMP</th><td>idle connections</td><td>the server ended with &lt;signal&gt;</td>",
        "<th scope=\"row\">quic</th><td>idle connections</td><td>nobody speaks it</td>",
    ] {
        assert!(html.contains(told), "{told}\nis not in the page");
    }
    study.failed.pop();
    assert!(page::render(&study).contains("1 run failed and is in none of the figures"));
}

#[test]
fn any_one_transport_is_enough() {
    for at in 0..5 {
        let mut study = sample();
        study.transports = vec![study.transports.remove(at)];
        check(&page::render(&study));
    }
}

#[test]
fn vectors_can_be_empty_and_points_zero() {
    let mut study = sample();
    study.polling.clear();
    for costs in &mut study.transports {
        costs.subscribers.clear();
    }
    check(&page::render(&study));
    for costs in &mut study.transports {
        costs.rates.clear();
        costs.subscribers = vec![SubscribersPoint::default(); 2];
    }
    study.polling = vec![PollingPoint::default(); 2];
    check(&page::render(&study));
    for costs in &mut study.transports {
        costs.rates = vec![RatePoint::default(); 2];
    }
    check(&page::render(&study));
}

#[test]
fn figures_that_are_no_numbers_are_dashes() {
    let none = Spread { median: f64::NAN, min: f64::NAN, max: f64::INFINITY, runs: 3 };
    let mut study = sample();
    study.setting.seconds = f64::NAN;
    study.setting.tool_cpu_share_max = f64::NAN;
    study.setting.began_unix = u64::MAX;
    for costs in &mut study.transports {
        costs.wire.down_overhead = f64::NAN;
        costs.wire.publish_up = f64::INFINITY;
        costs.connection.resident_bytes = none;
        costs.connection.kernel_bytes = f64::NAN;
        costs.connection.connect_us = none;
        for point in &mut costs.subscribers {
            point.cpu_us_per_publish = none;
        }
        for point in &mut costs.rates {
            point.cpu_us_per_update = none;
            point.p99_us = none;
            point.server_staleness_us = f64::NAN;
            point.delivered_per_second = f64::NAN;
        }
    }
    for point in &mut study.polling {
        point.bytes_per_user_second = f64::NAN;
        point.cpu_us_per_user_second = f64::NEG_INFINITY;
        point.unseen_share = f64::NAN;
        point.staleness = LatencySummary::default();
    }
    check(&page::render(&study));
}

#[test]
fn extremes_of_size_are_drawn() {
    for scale in [1e-12, 1e12] {
        let mut study = sample();
        for costs in &mut study.transports {
            costs.wire.down_payload *= scale;
            costs.connection.connect_us = Spread::of([scale]);
            for point in &mut costs.subscribers {
                point.cpu_us_per_publish = Spread::of([scale, scale * 1.1]);
            }
            for point in &mut costs.rates {
                point.p99_us = Spread::of([scale]);
                point.latency.p999_us = u64::MAX;
            }
        }
        check(&page::render(&study));
    }
}

#[test]
fn staleness_below_what_the_clock_tells_apart_is_no_measured_zero() {
    let mut study = sample();
    for point in study.transports.iter_mut().flat_map(|costs| &mut costs.rates) {
        point.server_staleness_us = 0.0;
    }
    let html = page::render(&study);
    check(&html);
    let (_, section) = html.split_once("<section id=\"staleness\"").expect("it has its chapter");
    let (section, _) = section.split_once("</section>").expect("a chapter ends");
    assert!(
        section.contains("so there is nothing to plot.") && !section.contains("Not measured"),
        "{section}"
    );
    assert!(section.contains("<td>within one look</td>") && !section.contains("0\u{a0}µs"), "{section}");
    // A server without our metrics tells none.
    for point in study.transports.iter_mut().flat_map(|costs| &mut costs.rates) {
        point.syscalls_per_update = Spread::default();
    }
    let html = page::render(&study);
    check(&html);
    let (_, section) = html.split_once("<section id=\"staleness\"").expect("it has its chapter");
    let (section, _) = section.split_once("</section>").expect("a chapter ends");
    assert!(section.contains("Not measured") && !section.contains("<td>within one look"), "{section}");
}

#[test]
fn equal_measurements_are_not_told_apart() {
    let mut study = sample();
    let websocket = study.transports[3].clone();
    study.transports[4] = Costs { transport: "stomp".to_owned(), ..websocket };
    let html = page::render(&study);
    check(&html);
    let (_, section) = html.split_once("<h3 id=\"websocket-stomp\">").expect("it is compared");
    let (told, _) = section.split_once("</table>").expect("there is a table");
    assert!(told.contains("<td>the same</td>"), "{told}");
    assert!(told.contains("<td>they cannot be told apart</td>"), "{told}");
    assert!(!told.contains("times as much") && !told.contains("more for"), "{told}");
}
