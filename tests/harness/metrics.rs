//! The Prometheus text format, read strictly.

use std::collections::{BTreeMap, BTreeSet};

use super::http::Wire;

/// One line of a scrape.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Its name, with `_bucket`, `_sum` or `_count` of a histogram.
    pub(crate) name: String,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its value.
    pub(crate) value: f64,
}

/// All that one scrape said.
#[derive(Clone, Debug)]
pub(crate) struct Scrape {
    samples: Vec<Sample>,
    types: BTreeMap<String, String>,
    helps: BTreeSet<String>,
}

impl Scrape {
    /// Reads a scrape; a line that is none of the format's panics.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let mut scrape = Self { samples: Vec::new(), types: BTreeMap::new(), helps: BTreeSet::new() };
        assert!(text.ends_with('\n'), "a scrape ends with a line feed");
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("TYPE has a name and a kind");
                let before = scrape.types.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "{name} is told twice");
            } else if let Some(help) = line.strip_prefix("# HELP ") {
                scrape.helps.insert(help.split(' ').next().unwrap_or("").to_owned());
            } else {
                scrape.samples.push(sample(line));
            }
        }
        scrape
    }

    /// Asks for a scrape over a connection that is there already.
    #[track_caller]
    pub(crate) fn over(wire: &mut Wire) -> Self {
        wire.send_get("/metrics");
        Self::parse(&wire.answer().expect_status(200).text())
    }

    /// The sum of all samples of a name that have these labels; 0 when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether a sample of that name and these labels is there.
    pub(crate) fn holds(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.matching(name, labels).next().is_some()
    }

    /// Every sample.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// What a family is: `counter`, `gauge`, `histogram`; `None` if the scrape does not hold it.
    pub(crate) fn kind(&self, family: &str) -> Option<&str> {
        self.types.get(family).map(String::as_str)
    }

    /// Whether a family has a HELP line.
    pub(crate) fn has_help(&self, family: &str) -> bool {
        self.helps.contains(family)
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        let fits = move |sample: &&Sample| {
            let has =
                |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|held| held == value);
            sample.name == name && labels.iter().all(has)
        };
        self.samples.iter().filter(fits)
    }
}

#[track_caller]
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
    let value = match value {
        "+Inf" => f64::INFINITY,
        number => number.parse().expect("a sample's value is a number"),
    };
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels end with a brace")),
        None => (series, ""),
    };
    let mut held = BTreeMap::new();
    for label in labels.split("\",").filter(|label| !label.is_empty()) {
        let (label, value) = label.split_once("=\"").expect("a label has a quoted value");
        held.insert(label.to_owned(), value.trim_end_matches('"').to_owned());
    }
    Sample { name: name.to_owned(), labels: held, value }
}
