//! The server's side of a run: what it used and counted between two looks at it.
//!
//! CPU and memory come from /proc where the server runs on this machine under the same user, counts from its /metrics
//! where it has ours. Another implementation of the contract without such a page still shows CPU and memory; one on
//! another machine shows what it scrapes. What is missing is `None`, and why is told in words.
//!
//! Mind whose CPU it is: on loopback the kernel's receiving half runs inside the sender's system call, so the
//! server is charged for what its clients' kernel does with what it sends ([`process`](super::process) says more).

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use serde::Serialize;

use super::process::Process;
use super::scrape::{self, Series};

/// Numbers by the value of a label: by transport, call, reason, class of status. A label that is not there counts 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ByLabel(BTreeMap<String, u64>);

impl ByLabel {
    /// The number of one label.
    #[must_use]
    pub fn of(&self, label: &str) -> u64 {
        self.0.get(label).copied().unwrap_or(0)
    }

    /// The sum over all labels.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Each label whose number is not 0.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(label, count)| (label.as_str(), *count)).filter(|(_, count)| *count > 0)
    }

    fn add(&mut self, label: &str, value: f64) {
        *self.0.entry(label.to_owned()).or_default() += value as u64;
    }

    fn since(&self, before: &Self) -> Self {
        let grown =
            self.0.iter().map(|(label, count)| (label.clone(), count.saturating_sub(before.of(label))));
        Self(grown.collect())
    }

    fn take_away(&mut self, label: &str, count: u64) {
        if let Some(held) = self.0.get_mut(label) {
            *held = held.saturating_sub(count);
        }
    }
}

impl<'a> FromIterator<(&'a str, u64)> for ByLabel {
    fn from_iter<T: IntoIterator<Item = (&'a str, u64)>>(counts: T) -> Self {
        Self(counts.into_iter().map(|(label, count)| (label.to_owned(), count)).collect())
    }
}

/// Times that the server took of its own deliveries: from an update's numbering to the end of its write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Staleness {
    /// How many.
    pub count: u64,
    /// Their sum in microseconds.
    pub sum_us: f64,
}

impl Staleness {
    /// Their mean in microseconds; 0 if there are none.
    #[must_use]
    pub fn mean_us(self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum_us / self.count as f64 }
    }
}

/// What the server counted, by its /metrics; all of it only grows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// System calls of its reactors, by call.
    pub syscalls: ByLabel,
    /// Bytes received from sockets, by transport, and
    pub wire_received: ByLabel,
    /// written to them.
    pub wire_sent: ByLabel,
    /// Bytes of locations alone that were received, by transport, and
    pub payload_received: ByLabel,
    /// of updates alone that were sent.
    pub payload_sent: ByLabel,
    /// Updates written whole to a subscriber's socket, by transport.
    pub updates_delivered: ByLabel,
    /// Updates that slow subscribers were not given because newer ones took their place, by transport.
    pub updates_conflated: ByLabel,
    /// Publishes that were numbered, by the transport they came in by.
    pub publishes: ByLabel,
    /// Connections that became one of a transport. Every connection is `http` first.
    pub connections: ByLabel,
    /// What was refused, by reason.
    pub refused: ByLabel,
    /// Requests answered, by class of status.
    pub requests: ByLabel,
    /// How old updates were when they had been written, by transport.
    pub staleness: BTreeMap<String, Staleness>,
}

impl Counts {
    /// Takes one line of a scrape, and says whether it is one of these counts.
    fn take(&mut self, series: &Series<'_>) -> bool {
        let transport = series.label("transport");
        let received = series.label("direction") == "received";
        match series.name {
            "geoloop_syscalls_total" => self.syscalls.add(series.label("call"), series.value),
            "geoloop_wire_bytes_total" if received => self.wire_received.add(transport, series.value),
            "geoloop_wire_bytes_total" => self.wire_sent.add(transport, series.value),
            "geoloop_payload_bytes_total" if received => self.payload_received.add(transport, series.value),
            "geoloop_payload_bytes_total" => self.payload_sent.add(transport, series.value),
            "geoloop_updates_delivered_total" => self.updates_delivered.add(transport, series.value),
            "geoloop_updates_conflated_total" => self.updates_conflated.add(transport, series.value),
            "geoloop_publishes_total" => self.publishes.add(transport, series.value),
            "geoloop_connections_total" => self.connections.add(transport, series.value),
            "geoloop_refused_total" => self.refused.add(series.label("reason"), series.value),
            "geoloop_requests_total" => self.requests.add(series.label("status"), series.value),
            "geoloop_staleness_seconds_sum" => {
                self.staleness.entry(transport.to_owned()).or_default().sum_us += series.value * 1e6;
            }
            "geoloop_staleness_seconds_count" => {
                self.staleness.entry(transport.to_owned()).or_default().count += series.value as u64;
            }
            _ => return false,
        }
        true
    }

    fn since(&self, before: &Self) -> Self {
        let staleness = self.staleness.iter().map(|(transport, after)| {
            let before = before.staleness.get(transport).copied().unwrap_or_default();
            let count = after.count.saturating_sub(before.count);
            let sum_us = f64::max(after.sum_us - before.sum_us, 0.0);
            (transport.clone(), Staleness { count, sum_us })
        });
        Self {
            syscalls: self.syscalls.since(&before.syscalls),
            wire_received: self.wire_received.since(&before.wire_received),
            wire_sent: self.wire_sent.since(&before.wire_sent),
            payload_received: self.payload_received.since(&before.payload_received),
            payload_sent: self.payload_sent.since(&before.payload_sent),
            updates_delivered: self.updates_delivered.since(&before.updates_delivered),
            updates_conflated: self.updates_conflated.since(&before.updates_conflated),
            publishes: self.publishes.since(&before.publishes),
            connections: self.connections.since(&before.connections),
            refused: self.refused.since(&before.refused),
            requests: self.requests.since(&before.requests),
            staleness: staleness.collect(),
        }
    }
}

/// One look at the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// CPU time so far in microseconds.
    pub cpu_micros: Option<f64>,
    /// Memory resident now.
    pub resident_bytes: Option<u64>,
    /// The most memory that it ever had resident.
    pub resident_bytes_ever: Option<u64>,
    /// Connections open now, by transport; this look's own is among them, as `http`.
    pub connections_open: Option<ByLabel>,
    /// What it counted so far.
    pub counts: Option<Counts>,
    /// Why there are no counts.
    pub counts_missing: Option<String>,
    /// CPU time so far before this look's own scrape; none without a process to read it from.
    cpu_micros_begun: Option<f64>,
    /// When it was started, Unix seconds.
    started: Option<f64>,
    /// What this look's own scrape took on the wire: the request, and the answer.
    own_bytes: (u64, u64),
}

impl Sample {
    /// What a scrape says.
    fn of_scrape(answer: &scrape::Answer) -> Self {
        let mut sample = Self { own_bytes: (answer.request_bytes, answer.answer_bytes), ..Self::default() };
        let (mut counts, mut connections) = (Counts::default(), ByLabel::default());
        let mut is_ours = false;
        for series in scrape::series(&answer.body) {
            match series.name {
                "process_cpu_seconds_total" => sample.cpu_micros = Some(series.value * 1e6),
                "process_resident_memory_bytes" => sample.resident_bytes = Some(series.value as u64),
                "process_start_time_seconds" => sample.started = Some(series.value),
                "geoloop_connections" => connections.add(series.label("transport"), series.value),
                _ => is_ours |= counts.take(&series),
            }
        }
        if answer.status != 200 {
            sample.counts_missing = Some(format!("/metrics is answered with {}", answer.status));
        } else if is_ours {
            (sample.counts, sample.connections_open) = (Some(counts), Some(connections));
        } else {
            sample.counts_missing = Some("/metrics holds no series of geoloop".to_owned());
        }
        sample
    }
}

/// Looks at one server.
#[derive(Clone, Copy, Debug)]
pub struct ServerProbe {
    address: SocketAddr,
    process: Option<Process>,
}

impl ServerProbe {
    /// Of the server at this address, which is this process if it runs on this machine
    /// ([`find_listener`](super::process::find_listener) finds it).
    #[must_use]
    pub fn new(address: SocketAddr, pid: Option<u32>) -> Self {
        Self { address, process: pid.map(Process) }
    }

    /// Its process, if it runs on this machine.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        self.process
    }

    /// Memory that it has resident now: cheap enough to ask every so often, for a peak over the run.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        self.process?.resident_bytes()
    }

    /// Looks at it now; waits for the answer to a scrape, some seconds at most.
    ///
    /// # Errors
    /// There is no such process, or, without a process to look at, no answer. With one, a scrape that fails leaves the
    /// counts out and says why.
    pub fn sample(&self) -> io::Result<Sample> {
        if self.process.is_some_and(|process| !process.is_there()) {
            return Err(io::Error::new(ErrorKind::NotFound, "the server's process is not there"));
        }
        let cpu_micros_begun = self.process.and_then(Process::cpu_micros);
        let mut sample = match scrape::fetch(self.address) {
            Ok(answer) => Sample::of_scrape(&answer),
            Err(error) if self.process.is_some() => {
                Sample { counts_missing: Some(format!("/metrics: {error}")), ..Sample::default() }
            }
            Err(error) => return Err(error),
        };
        sample.cpu_micros_begun = cpu_micros_begun;
        if let Some(process) = self.process {
            sample.cpu_micros = process.cpu_micros().or(sample.cpu_micros);
            sample.resident_bytes = process.resident_bytes_counted().or(sample.resident_bytes);
            sample.resident_bytes_ever = process.resident_bytes_ever();
        }
        Ok(sample)
    }
}

/// What the server used and counted between two looks at it.
///
/// The looks' own bytes, request and connection are taken off, and their CPU where it is read from /proc; their system calls
/// (a dozen or so) are not; looks in between are not taken off.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerSide {
    /// CPU time, user's and system's.
    pub cpu_seconds: Option<f64>,
    /// Resident memory at the first look, and
    pub resident_bytes_before: Option<u64>,
    /// at the second.
    pub resident_bytes_after: Option<u64>,
    /// The most that was seen resident.
    pub resident_bytes_peak: Option<u64>,
    /// What it counted.
    pub counts: Option<Counts>,
    /// Why there are no counts.
    pub counts_missing: Option<String>,
}

impl ServerSide {
    /// The difference of two looks.
    #[must_use]
    pub fn between(before: &Sample, after: &Sample) -> Self {
        // What the second scrape took is no part of what came between.
        let cpu_micros_after = after.cpu_micros_begun.or(after.cpu_micros);
        let mut side = Self {
            cpu_seconds: before.cpu_micros.zip(cpu_micros_after).map(|(before, after)| {
                // A thread that ended in between is counted in coarser ticks afterwards.
                f64::max(after - before, 0.0) / 1e6
            }),
            resident_bytes_before: before.resident_bytes,
            resident_bytes_after: after.resident_bytes,
            counts_missing: after.counts_missing.clone().or_else(|| before.counts_missing.clone()),
            ..Self::default()
        };
        side.note_resident(before.resident_bytes);
        side.note_resident(after.resident_bytes);
        if after.resident_bytes_ever > before.resident_bytes_ever && before.resident_bytes_ever.is_some() {
            // The most ever has grown, so it was reached in between.
            side.note_resident(after.resident_bytes_ever);
        }
        if before.started != after.started && before.started.is_some() && after.started.is_some() {
            let why = "the server was started anew in between";
            return Self { cpu_seconds: None, counts_missing: Some(why.to_owned()), ..side };
        }
        if let Some((counted, counted_before)) = after.counts.as_ref().zip(before.counts.as_ref()) {
            let mut counts = counted.since(counted_before);
            // A scrape counts its own request, not the answer that it is written into.
            counts.wire_received.take_away("http", after.own_bytes.0);
            counts.wire_sent.take_away("http", before.own_bytes.1);
            counts.requests.take_away("2xx", 1);
            counts.connections.take_away("http", 1);
            side.counts = Some(counts);
        }
        side
    }

    /// Takes note of what was resident at some time in between.
    pub fn note_resident(&mut self, bytes: Option<u64>) {
        self.resident_bytes_peak = self.resident_bytes_peak.max(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(status: u16, body: &str) -> Sample {
        let body = body.to_owned();
        Sample::of_scrape(&scrape::Answer { status, body, request_bytes: 70, answer_bytes: 9000 })
    }

    /// A scrape of which every counter is some multiple of `times`.
    fn scrape(times: u64) -> String {
        format!(
            "# TYPE geoloop_syscalls_total counter\n\
             geoloop_syscalls_total{{call=\"read\"}} {times}00\n\
             geoloop_syscalls_total{{call=\"write\"}} {times}50\n\
             geoloop_wire_bytes_total{{direction=\"received\",transport=\"http\"}} {times}000\n\
             geoloop_wire_bytes_total{{direction=\"sent\",transport=\"http\"}} {times}0000\n\
             geoloop_wire_bytes_total{{direction=\"sent\",transport=\"sse\"}} {times}500\n\
             geoloop_requests_total{{endpoint=\"publish\",status=\"2xx\"}} {times}0\n\
             geoloop_requests_total{{endpoint=\"metrics\",status=\"2xx\"}} {times}\n\
             geoloop_requests_total{{endpoint=\"unknown\",status=\"4xx\"}} {times}\n\
             geoloop_staleness_seconds_bucket{{transport=\"sse\",le=\"+Inf\"}} {times}0\n\
             geoloop_staleness_seconds_sum{{transport=\"sse\"}} 0.{times}\n\
             geoloop_staleness_seconds_count{{transport=\"sse\"}} {times}0\n\
             geoloop_connections{{transport=\"sse\"}} {times}\n\
             process_cpu_seconds_total {times}.25\n\
             process_resident_memory_bytes {times}000000\n\
             process_start_time_seconds 1767225600.5\n"
        )
    }

    #[test]
    fn counts_are_what_came_between_without_the_looks() {
        let (before, after) = (sample(200, &scrape(1)), sample(200, &scrape(3)));
        let side = ServerSide::between(&before, &after);
        let counts = side.counts.expect("both have some");
        assert_eq!(counts.syscalls, [("read", 200), ("write", 200)].into_iter().collect());
        assert_eq!(counts.wire_received, [("http", 2000 - 70)].into_iter().collect());
        assert_eq!(counts.wire_sent, [("http", 20_000 - 9000), ("sse", 2000)].into_iter().collect());
        assert_eq!(counts.requests, [("2xx", 20 + 2 - 1), ("4xx", 2)].into_iter().collect());
        assert_eq!(counts.staleness["sse"].count, 20);
        assert!((counts.staleness["sse"].mean_us() - 10_000.0).abs() < 0.001, "{:?}", counts.staleness);
        assert_eq!((side.cpu_seconds, side.counts_missing), (Some(2.0), None));
        assert_eq!(
            (side.resident_bytes_before, side.resident_bytes_peak),
            (Some(1_000_000), Some(3_000_000))
        );
        assert_eq!(after.connections_open.expect("it is told").of("sse"), 3);
    }

    #[track_caller]
    fn check_no_counts(before: &Sample, after: &Sample, why: &str) {
        let side = ServerSide::between(before, after);
        assert_eq!((side.counts, side.counts_missing.as_deref()), (None, Some(why)));
    }

    #[test]
    fn why_there_are_no_counts_is_told() {
        let ours = sample(200, &scrape(1));
        let nothing = sample(404, "no such page\n");
        check_no_counts(&nothing, &nothing, "/metrics is answered with 404");
        check_no_counts(&ours, &nothing, "/metrics is answered with 404");
        let foreign = sample(200, "jvm_threads 7\nprocess_cpu_seconds_total 2\n");
        check_no_counts(&foreign, &foreign, "/metrics holds no series of geoloop");
        assert_eq!(foreign.cpu_micros, Some(2e6));
        let anew = sample(200, &scrape(2).replace("1767225600.5", "1767225609.5"));
        check_no_counts(&ours, &anew, "the server was started anew in between");
        assert_eq!(ServerSide::between(&ours, &anew).cpu_seconds, None);
    }

    #[test]
    fn peak_is_the_most_ever_only_if_that_has_grown() {
        let look = |now: u64, ever: u64| Sample {
            resident_bytes: Some(now),
            resident_bytes_ever: Some(ever),
            ..Sample::default()
        };
        let peak = |before, after| ServerSide::between(&before, &after).resident_bytes_peak;
        assert_eq!(peak(look(10, 90), look(20, 90)), Some(20));
        assert_eq!(peak(look(10, 90), look(20, 91)), Some(91));
        assert_eq!(peak(Sample::default(), look(20, 91)), Some(20));
        assert_eq!(peak(Sample::default(), Sample::default()), None);
    }
}
