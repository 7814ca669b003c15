//! Subscribers that stop reading dead: what they cost the server, and that the others do not notice.

use crate::audience::{Audience, Hearer, Publishers, patience};
use crate::figures::{Latencies, compare, mib, print};
use crate::fleet::{Fleet, PeerId, Said, Setup};
use crate::harness::Server;
use crate::peer::{Dialect, What};
use crate::process::{Effort, KernelQueues, Process};
use crate::size::Size;

const GROUP: u64 = 3;
const MEMBERS: u64 = 50;

/// One update at most: a frame of STOMP with its headers takes some 210 bytes, an event 150, a message 100.
const UPDATE_BYTES_MAX: u64 = 256;

/// How much of it all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) good: usize,
    pub(crate) stopped: usize,
    pub(crate) per_second: u64,
    pub(crate) warm_publishes: usize,
    pub(crate) publishes: usize,
    pub(crate) queue_bytes: u64,
    /// Resident memory that may come besides: pages that are touched for the first time.
    pub(crate) spare_bytes: u64,
}

impl Plan {
    pub(crate) fn of(size: Size) -> Self {
        match size {
            Size::Small => Self {
                good: 40,
                stopped: 40,
                per_second: 400,
                warm_publishes: 100,
                publishes: 700,
                queue_bytes: 8192,
                spare_bytes: 1 << 20,
            },
            Size::Full { seconds, .. } => Self {
                good: 900,
                stopped: 100,
                per_second: 20,
                warm_publishes: 100,
                publishes: 20 * seconds,
                queue_bytes: size.queue_bytes(),
                spare_bytes: 0,
            },
        }
    }
}

/// The transport that everybody listens on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    WebSocket,
    Sse,
    Stomp,
}

impl Transport {
    const fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Stomp => "stomp",
        }
    }

    fn dialect(self) -> Dialect {
        match self {
            Self::WebSocket => Dialect::WebSocket(format!("/ws/{GROUP}")),
            Self::Sse => Dialect::Sse(format!("/location/sse/{GROUP}")),
            Self::Stomp => Dialect::Stomp(None, vec![GROUP]),
        }
    }
}

/// Baseline and strained runs in turn, as often as the size says.
pub(crate) fn run(transport: Transport, size: Size) {
    let plan = Plan::of(size);
    let what = format!("stopped readers, {}", transport.label());
    let (mut baseline, mut strained) = (Latencies::default(), Latencies::default());
    for _ in 0..size.rounds() {
        baseline.add(&run_once(transport, size, Plan { stopped: 0, ..plan }, &what));
        strained.add(&run_once(transport, size, plan, &what));
    }
    if size.is_full() {
        print(&what, "baseline", baseline.row());
        print(&what, "strained", strained.row());
        compare(&what, &mut baseline, &mut strained);
    }
}

/// All that takes part in one run.
struct Scene {
    server: Server,
    fleet: Fleet,
    audience: Audience,
    stopped: Vec<PeerId>,
    hearers: Vec<Hearer>,
    publishers: Publishers,
    /// VmRSS, looked at as often as something is published.
    resident_max: u64,
}

fn run_once(transport: Transport, size: Size, plan: Plan, what: &str) -> Latencies {
    let queue_bytes = plan.queue_bytes.to_string();
    let server = size.start(&["--queue-bytes", &queue_bytes]);
    let mut fleet = Fleet::new(server.address());
    let nobody = |said: Said| panic!("nothing is published yet: {said:?}");
    let good = fleet.open_all(vec![transport.dialect(); plan.good], Setup::default(), nobody);
    let narrow = Setup { receive_buffer: Some(4096), ..Setup::default() };
    let stopped = fleet.open_all(vec![transport.dialect(); plan.stopped], narrow, nobody);
    // An event stream cannot publish.
    let connections = match transport {
        Transport::WebSocket | Transport::Stomp => good[..good.len().min(MEMBERS as usize)].to_vec(),
        Transport::Sse => fleet.open_all(vec![Dialect::Http; MEMBERS as usize], Setup::default(), nobody),
    };
    let publishers = Publishers::new(&fleet, &connections, GROUP, MEMBERS, plan.per_second);
    let mut scene = Scene {
        audience: Audience::new(&good),
        hearers: vec![Hearer::default(); stopped.len()],
        server,
        fleet,
        stopped,
        publishers,
        resident_max: 0,
    };
    scene.publish(plan.warm_publishes);
    scene.audience.latencies = Latencies::default();
    let before = Process(scene.server.process_id()).resident_bytes();
    for id in scene.stopped.clone() {
        scene.fleet.stop_reading(id);
    }
    let effort = Effort::begin(Process(scene.server.process_id()), scene.fleet.now());
    scene.publish(plan.warm_publishes + plan.publishes);
    if size.is_full() {
        let name = format!("{} good, {} stopped, the server's CPU", plan.good, plan.stopped);
        print(what, &name, effort.row(scene.fleet.now()));
    }
    scene.audience.check(plan.warm_publishes + plan.publishes);
    if plan.stopped > 0 {
        scene.check_strain(size, transport, plan, before, what);
        scene.read_again(size, what);
    }
    let Scene { server, mut fleet, audience, .. } = scene;
    fleet.close_all();
    server.stop();
    audience.latencies
}

impl Scene {
    /// Publishes up to so many in all, and returns once everyone who reads has heard them.
    fn publish(&mut self, count: usize) {
        let process = Process(self.server.process_id());
        self.publishers.begin_now(&self.fleet);
        while self.publishers.sent() < count {
            if self.publishers.due() <= self.fleet.now() {
                self.publishers.publish(&mut self.fleet, count);
                self.resident_max = self.resident_max.max(process.resident_bytes());
            }
            self.turn(self.publishers.due());
        }
        let deadline = patience(&self.fleet);
        while !self.audience.has_heard(count) {
            assert!(self.fleet.now() < deadline, "not all have heard {count} updates");
            self.turn(deadline);
        }
    }

    fn turn(&mut self, until_micros: u64) {
        for said in self.fleet.turn(until_micros) {
            match said.what {
                What::Update(update, _) if self.audience.holds(said.peer) => {
                    let latency = self.publishers.latency(&update, said.at_micros);
                    self.audience.hear(said.peer, &update, latency);
                }
                What::Update(update, _) => {
                    let place = said.peer.0 - self.stopped[0].0;
                    self.hearers[place].hear_some(&update);
                }
                What::Answer(answer) => drop(answer.expect_status(200)),
                What::Opened | What::Words(_) | What::Ended => panic!("not to be said: {said:?}"),
            }
        }
    }

    /// The stopped ones hold what they may at most. Past their budget that is next to nothing: the queue is gone, and
    /// they read on from the group by themselves.
    fn check_strain(&self, size: Size, transport: Transport, plan: Plan, before: u64, what: &str) {
        let process = Process(self.server.process_id());
        let max = self.resident_max.max(process.resident_bytes());
        let kernel = KernelQueues::of(self.server.address());
        let queued =
            self.server.scrape().sum("geoloop_queue_bytes", &[("transport", transport.label())]) as u64;
        let each = plan.queue_bytes + MEMBERS * UPDATE_BYTES_MAX;
        let bound = (plan.stopped as u64 * each) * 105 / 100 + plan.spare_bytes;
        let grown = max.saturating_sub(before);
        if size.is_full() {
            print(
                what,
                "resident before the stop, and at most after",
                format!("{}, {}", mib(before), mib(max)),
            );
            print(what, "grown, and allowed", format!("{}, {}", mib(grown), mib(bound)));
            print(what, "in the server's queues", mib(queued));
            print(
                what,
                "in the kernel for one that stopped, at most: sender's side, receiver's side",
                format!("{} B, {} B", kernel.send_bytes_max, kernel.receive_bytes_max),
            );
        }
        assert!(grown <= bound, "resident memory grew by {grown} bytes; {bound} are allowed");
    }

    /// The stopped ones read again, and each ends on every member's newest publish; all of them were past their budget.
    fn read_again(&mut self, size: Size, what: &str) {
        let began = self.fleet.now();
        for id in self.stopped.clone() {
            self.fleet.read_again(id);
        }
        let deadline = patience(&self.fleet);
        while !self.hearers.iter().all(|hearer| self.publishers.are_newest(&hearer.newest)) {
            assert!(self.fleet.now() < deadline, "not all who stopped end on the newest of each member");
            self.turn(deadline);
        }
        for hearer in &self.hearers {
            assert!(hearer.heard < self.publishers.sent(), "a reader this slow is conflated");
            assert!(hearer.gaps > 0, "what was left out is told");
        }
        if size.is_full() {
            let took = (self.fleet.now() - began) as f64 / 1000.0;
            let heard = self.hearers.iter().map(|hearer| hearer.heard);
            let (least, most) = (heard.clone().min().unwrap_or(0), heard.max().unwrap_or(0));
            let sent = self.publishers.sent();
            print(what, "stopped ones up to date after reading again", format!("{took:.1} ms"));
            print(what, "updates that they got in the end", format!("{least} to {most} of {sent}"));
        }
    }
}
