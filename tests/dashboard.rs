//! The dashboard of scripts/grafana and the configuration of Prometheus beside it, against what the server says: every
//! series and label that a panel asks for is in a scrape, and every series of a scrape is in a panel.
#![cfg(target_os = "linux")]

mod harness;

use std::collections::BTreeSet;

use geoloop::report::Report;
use harness::metrics::Scrape;
use serde_json::Value;

/// Prometheus adds it to every series that it scrapes.
const ADDED: &str = "instance";

fn scrape() -> Scrape {
    let mut text = Vec::new();
    geoloop::metrics::render(&[Report::default()], &mut text);
    Scrape::parse(std::str::from_utf8(&text).expect("a scrape is text"))
}

fn dashboard() -> Value {
    serde_json::from_str(include_str!("../scripts/grafana/geoloop.json")).expect("a dashboard is JSON")
}

/// The panels that show something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().expect("a dashboard has panels").iter();
    panels.filter(|panel| panel["type"] != "row")
}

fn targets(panel: &Value) -> &[Value] {
    panel["targets"].as_array().expect("a panel has targets")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("it is text")
}

/// A series that an expression asks for: its name, and what it says of its labels.
struct Selector<'a> {
    name: &'a str,
    matchers: Vec<(&'a str, &'a str)>,
}

/// Every series that an expression asks for.
fn selectors(expression: &str) -> Vec<Selector<'_>> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = ["geoloop_", "process_"].iter().filter_map(|prefix| rest.find(prefix)).min() {
        rest = &rest[at..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let labels = behind.strip_prefix('{').and_then(|behind| behind.split('}').next()).unwrap_or_default();
        let matchers = labels.split(", ").filter_map(|pair| {
            let (label, value) = pair.split_at(pair.find(['=', '!'])?);
            Some((label, value.trim_start_matches(['=', '~', '!']).trim_matches('"')))
        });
        found.push(Selector { name, matchers: matchers.collect() });
        rest = behind;
    }
    found
}

/// The labels that an expression keeps apart by `by (...)`.
fn kept(expression: &str) -> BTreeSet<&str> {
    let lists = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(", ")).collect()
}

/// What is wrong with an expression, given what a scrape holds.
fn faults(scrape: &Scrape, expression: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let selectors = selectors(expression);
    if selectors.is_empty() {
        faults.push("it asks for no series".to_owned());
    }
    for Selector { name, matchers } in selectors {
        let samples: Vec<_> = scrape.samples().iter().filter(|sample| sample.name == name).collect();
        if samples.is_empty() {
            faults.push(format!("there is no series {name}"));
        }
        for label in kept(expression).into_iter().filter(|label| *label != ADDED) {
            if !samples.iter().all(|sample| sample.labels.contains_key(label)) {
                faults.push(format!("{name} has no label {label}"));
            }
        }
        for (label, values) in matchers.iter().filter(|(label, _)| *label != ADDED) {
            for value in values.split('|') {
                if !samples.iter().any(|sample| sample.labels.get(*label).is_some_and(|held| held == value)) {
                    faults.push(format!("{name} has no {label} {value:?}"));
                }
            }
        }
        if !matchers.contains(&(ADDED, "$instance")) {
            faults.push(format!("{name} is not only of the servers that are chosen"));
        }
    }
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        if expression.matches(open).count() != expression.matches(close).count() {
            faults.push(format!("{open} and {close} are not pairs"));
        }
    }
    faults
}

#[test]
fn every_series_that_a_panel_asks_for_is_in_a_scrape() {
    let scrape = scrape();
    for panel in panels(&dashboard()) {
        for target in targets(panel) {
            let expression = text(&target["expr"]);
            let faults = faults(&scrape, expression);
            assert!(faults.is_empty(), "{}: {expression}: {faults:?}", panel["title"]);
        }
    }
}

#[test]
fn every_series_of_a_scrape_is_in_a_panel() {
    let dashboard = dashboard();
    let targets = panels(&dashboard).flat_map(targets);
    let asked: BTreeSet<_> =
        targets.flat_map(|target| selectors(text(&target["expr"]))).map(|selector| selector.name).collect();
    for sample in scrape().samples() {
        assert!(asked.contains(sample.name.as_str()), "{} is in no panel", sample.name);
    }
}

#[test]
fn legends_name_labels_that_their_series_keep() {
    for panel in panels(&dashboard()) {
        for target in targets(panel) {
            let expression = text(&target["expr"]);
            let legend = text(&target["legendFormat"]);
            for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
                let is_kept = !expression.contains("sum") || kept(expression).contains(label);
                assert!(is_kept, "{}: {legend} of {expression}", panel["title"]);
            }
        }
    }
}

#[test]
fn panels_ask_the_chosen_source_and_have_places_of_their_own() {
    let dashboard = dashboard();
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("a dashboard has panels") {
        assert!(ids.insert(panel["id"].as_u64()), "{}: its id is taken", panel["title"]);
        let place = |key: &str| panel["gridPos"][key].as_u64().expect("a panel has a place");
        for (x, y) in (0..place("w")).flat_map(|x| (0..place("h")).map(move |y| (x, y))) {
            let cell = (place("x") + x, place("y") + y);
            assert!(cell.0 < 24 && cells.insert(cell), "{}: it lies on another, or outside", panel["title"]);
        }
    }
    for panel in panels(&dashboard) {
        for asker in targets(panel).iter().chain([panel]) {
            assert_eq!(asker["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
        assert!(text(&panel["description"]).ends_with('.'), "{}", panel["title"]);
    }
}

#[test]
fn prometheus_is_told_where_a_server_listens() {
    let flags = geoloop::config::flags();
    let listen = flags.into_iter().find(|(name, _)| name == "listen").and_then(|(_, default)| default);
    let target = format!("targets: [\"{}\"]", listen.expect("listen has a default"));
    assert!(include_str!("../scripts/prometheus.yml").contains(&target), "{target}");
}

#[test]
fn a_wrong_expression_is_found_out() {
    let scrape = scrape();
    for (expression, fault) in [
        ("1", "it asks for no series"),
        ("geoloop_nothing{instance=~\"$instance\"}", "there is no series geoloop_nothing"),
        ("sum by (reason) (geoloop_groups{instance=~\"$instance\"})", "geoloop_groups has no label reason"),
        (
            "geoloop_mail_total{instance=~\"$instance\", direction=\"up\"}",
            "geoloop_mail_total has no direction \"up\"",
        ),
        ("geoloop_mail_total", "geoloop_mail_total is not only of the servers that are chosen"),
        ("rate(process_open_fds{instance=~\"$instance\"}", "( and ) are not pairs"),
    ] {
        assert_eq!(faults(&scrape, expression), [fault], "{expression}");
    }
}
