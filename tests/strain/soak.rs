//! Minutes of everything at once: all transports, several groups, slow readers, and clients that come and go. In the
//! end the server must hold what it held in the beginning.

use fastrand::Rng;

use crate::audience::patience;
use crate::crowd::{Counts, Crowd, GROUPS};
use crate::figures::{mib, print};
use crate::fleet::Fleet;
use crate::harness::metrics::Scrape;
use crate::harness::{Server, wait_until};
use crate::process::Process;
use crate::size::{Size, number};

/// What resident memory may have grown by in the end.
///
/// The load moves on to pages that the warm-up left untouched, for the allocator puts things where they happen to fit:
/// 0.4 MiB in a minute, 0.9 in five, less and less with time. Five minutes open 11,000 connections and make 1,100 groups, so
/// that 200 bytes kept of each connection or 2 KiB of each group are found; an hour finds a tenth of that.
const GROWN_BYTES_MAX: u64 = 2 << 20;

/// Who may publish again is not closed for its silence meanwhile.
const FLAGS: &[&str] =
    &["--workers", "2", "--no-simulate", "--queue-bytes", "8192", "--idle-timeout", "10m", "--log", "warn"];

#[derive(Clone, Copy, Debug)]
struct Plan {
    each: usize,
    churners_max: usize,
    warm_seconds: u64,
    seconds: u64,
    act_every_micros: u64,
    steady_every_micros: u64,
    /// So that all has expired soon after it was closed.
    ttl: &'static str,
}

impl Plan {
    fn of(size: Size) -> Self {
        match size {
            Size::Small => Self {
                each: 1,
                churners_max: 40,
                warm_seconds: 1,
                seconds: 3,
                act_every_micros: 10_000,
                steady_every_micros: 100_000,
                ttl: "1s",
            },
            Size::Full { seconds, .. } => Self {
                each: 10,
                churners_max: 300,
                warm_seconds: 20,
                seconds: seconds as u64,
                act_every_micros: 10_000,
                steady_every_micros: 100_000,
                ttl: "2s",
            },
        }
    }
}

/// What the server holds at one moment.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident: u64,
    descriptors: usize,
}

/// Looks at a server and, in full size, prints what is seen.
fn look(server: &Server, size: Size, when: &str) -> Held {
    // The scrape comes first: its connection stays open, and is then among the descriptors each time.
    let scrape = server.scrape();
    let process = Process(server.process_id());
    let held = Held { resident: process.resident_bytes(), descriptors: process.descriptors() };
    if size.is_full() {
        let sum = |name: &str| scrape.sum(name, &[]);
        let faults = scrape.sum("geoloop_requests_total", &[("status", "5xx")]);
        let line = format!(
            "resident {}, descriptors {}, connections {}, groups {}, members {}, refused {}, answers 5xx {faults}",
            mib(held.resident),
            held.descriptors,
            sum("geoloop_connections"),
            sum("geoloop_groups"),
            sum("geoloop_members"),
            refusals(&scrape),
        );
        print("soak", when, line);
    }
    held
}

/// Refusals by reason, those that there were.
fn refusals(scrape: &Scrape) -> String {
    let refused = scrape.samples().iter().filter(|sample| sample.name == "geoloop_refused_total");
    let told = refused.filter(|sample| sample.value > 0.0);
    let told: Vec<_> = told.map(|sample| format!("{} {}", sample.labels["reason"], sample.value)).collect();
    if told.is_empty() { "none".to_owned() } else { told.join(" ") }
}

pub(crate) fn run(size: Size) {
    let plan = Plan::of(size);
    let seed = number("SEED", std::process::id() as usize);
    println!("soak | GEOLOOP_STRAIN_SEED | {seed}");
    let mut rng = Rng::with_seed(seed as u64);
    let server = Server::start(&[FLAGS, &["--member-ttl", plan.ttl, "--group-ttl", plan.ttl]].concat());
    look(&server, size, "before anything");
    load(&server, size, Plan { seconds: plan.warm_seconds, ..plan }, rng.fork(), false);
    let start = look(&server, size, "start, after a warm-up of the same load and its end");
    let counts = load(&server, size, plan, rng.fork(), true);
    let end = look(&server, size, "end, everything closed and expired");
    let grown = end.resident.saturating_sub(start.resident);
    if size.is_full() {
        assert!(counts.gaps_of_slow > 0, "the slow readers were never past their budget");
        print("soak", "what happened", format!("{counts:?}"));
        print(
            "soak",
            "resident memory grown by, and at most allowed",
            format!("{}, {}", mib(grown), mib(GROWN_BYTES_MAX)),
        );
    }
    assert!(counts.heard > 0 && counts.died > 0 && counts.left > 0, "{counts:?}");
    assert_eq!(end.descriptors, start.descriptors, "descriptors, before and after");
    assert!(grown <= GROWN_BYTES_MAX, "resident memory has grown by {grown} bytes");
    server.stop();
}

/// Loads the server, and returns once everything is closed and has expired.
fn load(server: &Server, size: Size, plan: Plan, rng: Rng, told: bool) -> Counts {
    let mut crowd = Crowd::gather(Fleet::new(server.address()), rng, plan.each, plan.churners_max);
    let halves = [plan.seconds * 500_000, plan.seconds * 500_000];
    for (half, micros) in halves.into_iter().enumerate() {
        live(&mut crowd, plan, micros);
        if half == 0 && told {
            look(server, size, "middle");
        }
    }
    if told {
        look(server, size, "still under load");
    }
    check_nothing_is_missing(server, &mut crowd);
    let counts = crowd.close_all();
    let mut left = String::new();
    let empty = wait_until(|| {
        let scrape = server.scrape();
        let connections = scrape.sum("geoloop_connections", &[]);
        let (groups, members) = (scrape.sum("geoloop_groups", &[]), scrape.sum("geoloop_members", &[]));
        left = format!("{connections} connections, {groups} groups, {members} members");
        // The scrape's own connection.
        connections <= 1.0 && groups == 0.0 && members == 0.0
    });
    assert!(empty, "everything is closed, and there are {left}");
    counts
}

/// Something that is done again and again.
struct Beat {
    due: u64,
    every_micros: u64,
}

impl Beat {
    fn new(now: u64, every_micros: u64) -> Self {
        Self { due: now + every_micros, every_micros }
    }

    /// Whether it is to be done now.
    fn take(&mut self, now: u64) -> bool {
        let due = self.due <= now;
        if due {
            self.due += self.every_micros;
        }
        due
    }
}

fn live(crowd: &mut Crowd, plan: Plan, micros: u64) {
    let began = crowd.fleet.now();
    let [mut acts, mut steady, mut sips, mut polls] =
        [plan.act_every_micros, plan.steady_every_micros, 500_000, 200_000]
            .map(|every| Beat::new(began, every));
    while crowd.fleet.now() < began + micros {
        let now = crowd.fleet.now();
        if acts.take(now) {
            crowd.act();
        }
        if steady.take(now) {
            crowd.publish_steadily();
        }
        if sips.take(now) {
            crowd.sip(SIP_BYTES);
        }
        if polls.take(now) {
            crowd.poll();
        }
        crowd.turn(acts.due.min(steady.due).min(sips.due).min(polls.due));
    }
}

/// What a slow reader takes at a time: half of what its group says meanwhile.
const SIP_BYTES: usize = 300;

/// Whoever stayed hears each group to its end. Numbers are contiguous, so then nothing was lost.
fn check_nothing_is_missing(server: &Server, crowd: &mut Crowd) {
    for group in GROUPS {
        let snapshot = server.get(&format!("/location/group/{group}")).expect_status(200).json();
        let seq = snapshot["seq"].as_u64().expect("a snapshot has a seq");
        let deadline = patience(&crowd.fleet);
        while !crowd.has_heard(group, seq) {
            assert!(crowd.fleet.now() < deadline, "not all have heard {seq} of group {group}");
            crowd.turn(deadline);
        }
    }
}
