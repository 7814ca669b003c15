//! Thousands of connections that send a byte now and then, all of it legal, beside clients that behave.
//!
//! ```text
//! a third: the head of a request, byte by byte      ended by --head-timeout, comes back
//! a third: WebSocket messages, byte by byte         each a publish to a group of its own once it is whole
//! a sixth: STOMP, SENDs byte by byte                each answered by a receipt once it is whole
//! a sixth: STOMP, its CONNECT byte by byte          ended by --connect-timeout, comes back
//! ```

use std::collections::{HashMap, VecDeque};

use crate::audience::{Audience, Publishers, patience};
use crate::figures::{Latencies, compare, print};
use crate::fleet::{Fleet, PeerId, Said, Setup};
use crate::harness::http::get;
use crate::harness::stomp::frame;
use crate::peer::{Dialect, What, text_frame};
use crate::process::{Effort, Process};
use crate::size::Size;

const GROUP: u64 = 3;
const MEMBERS: u64 = 50;
/// Where the dribblers' own groups begin.
const DRIBBLED_GROUPS: u64 = 1000;
/// Dribblers take turns in so many shares, so that their bytes are spread over the time between two of one.
const SHARES: usize = 200;

#[derive(Clone, Copy, Debug)]
struct Plan {
    good: usize,
    pollers: usize,
    dribblers: usize,
    per_second: u64,
    publishes: usize,
    /// Between two bytes of one dribbler.
    byte_every_micros: u64,
    /// Between two polls of one poller.
    poll_every_micros: u64,
    flags: &'static [&'static str],
}

impl Plan {
    fn of(size: Size) -> Self {
        match size {
            Size::Small => Self {
                good: 40,
                pollers: 5,
                dribblers: 120,
                per_second: 50,
                publishes: 120,
                byte_every_micros: 20_000,
                poll_every_micros: 100_000,
                flags: &["--head-timeout", "1s", "--connect-timeout", "1s"],
            },
            Size::Full { seconds, .. } => Self {
                good: 1000,
                pollers: 50,
                dribblers: 5000,
                per_second: 20,
                publishes: 20 * seconds,
                byte_every_micros: 1_000_000,
                poll_every_micros: 1_000_000,
                flags: &[],
            },
        }
    }
}

/// Latencies of updates and of polls.
#[derive(Clone, Debug, Default)]
struct Outcome {
    updates: Latencies,
    polls: Latencies,
}

/// Baseline and strained runs in turn, as often as the size says.
pub(crate) fn run(size: Size) {
    let plan = Plan::of(size);
    let what = "dribblers";
    let (mut baseline, mut strained) = (Outcome::default(), Outcome::default());
    for _ in 0..size.rounds() {
        for (dribblers, total) in [(0, &mut baseline), (plan.dribblers, &mut strained)] {
            let outcome = Scene::new(size, Plan { dribblers, ..plan }).run(what);
            total.updates.add(&outcome.updates);
            total.polls.add(&outcome.polls);
        }
    }
    if size.is_full() {
        print(what, "baseline, updates", baseline.updates.row());
        print(what, "strained, updates", strained.updates.row());
        compare("dribblers, updates", &mut baseline.updates, &mut strained.updates);
        print(what, "baseline, short polls", baseline.polls.row());
        print(what, "strained, short polls", strained.polls.row());
        compare("dribblers, short polls", &mut baseline.polls, &mut strained.polls);
    }
}

/// What one dribbler sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Head,
    WebSocket,
    Sends,
    Connect,
}

impl Kind {
    const fn of(place: usize) -> Self {
        match place % 6 {
            0 | 1 => Self::Head,
            2 | 3 => Self::WebSocket,
            4 => Self::Sends,
            _ => Self::Connect,
        }
    }

    fn dialect(self, place: usize) -> Dialect {
        match self {
            Self::Head => Dialect::Http,
            Self::WebSocket => Dialect::WebSocket(format!("/ws/{}", DRIBBLED_GROUPS + place as u64)),
            Self::Sends | Self::Connect => Dialect::WebSocket("/location".to_owned()),
        }
    }

    /// What is sent whole once the connection is open.
    fn opening(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self == Self::Sends {
            let headers = [("accept-version", "1.2"), ("host", "geoloop"), ("heart-beat", "0,0")];
            text_frame(&mut bytes, &frame("CONNECT", &headers, ""));
        }
        bytes
    }

    /// What is sent byte by byte, again and again.
    fn script(self, place: usize) -> Vec<u8> {
        let body = r#"{"x":1,"y":2}"#;
        let mut bytes = Vec::new();
        match self {
            Self::Head => {
                let head = "GET /location/cur/3 HTTP/1.1\r\nHost: geoloop\r\nX-Slow: as can be\r\n\r\n";
                bytes.extend_from_slice(head.as_bytes());
            }
            Self::WebSocket => text_frame(&mut bytes, body),
            Self::Sends => {
                let destination = format!("/pub/share/{}", DRIBBLED_GROUPS + place as u64);
                let headers = [("destination", destination.as_str()), ("receipt", "r")];
                text_frame(&mut bytes, &frame("SEND", &headers, body));
            }
            Self::Connect => {
                let headers = [("accept-version", "1.2"), ("host", "geoloop")];
                text_frame(&mut bytes, &frame("CONNECT", &headers, ""));
            }
        }
        bytes
    }
}

struct Dribbler {
    kind: Kind,
    script: Vec<u8>,
    /// How far it is in its script.
    sent: usize,
    peer: Option<PeerId>,
    open: bool,
}

/// The dribblers and what became of them.
struct Dribblers {
    all: Vec<Dribbler>,
    places: HashMap<PeerId, usize>,
    share: usize,
    due: u64,
    every_micros: u64,
    bytes: usize,
    ended: usize,
    /// Publishes that came back whole, and receipts.
    completed: usize,
}

impl Dribblers {
    fn new(fleet: &Fleet, plan: Plan) -> Self {
        let dribbler = |place: usize| {
            let kind = Kind::of(place);
            Dribbler { kind, script: kind.script(place), sent: 0, peer: None, open: false }
        };
        let every_micros = plan.byte_every_micros / SHARES as u64;
        Self {
            all: (0..plan.dribblers).map(dribbler).collect(),
            places: HashMap::new(),
            share: 0,
            due: fleet.now() + every_micros,
            every_micros,
            bytes: 0,
            ended: 0,
            completed: 0,
        }
    }

    /// Whether all of them have been open at least once.
    fn have_begun(&self) -> bool {
        self.all.iter().all(|dribbler| dribbler.open || dribbler.kind == Kind::Connect)
    }

    /// Each of the share whose turn it is sends its byte, or comes back.
    fn dribble(&mut self, fleet: &mut Fleet) {
        while self.due <= fleet.now() {
            for place in (self.share..self.all.len()).step_by(SHARES) {
                self.take_turn(place, fleet);
            }
            self.share = (self.share + 1) % SHARES;
            self.due += self.every_micros;
        }
    }

    fn take_turn(&mut self, place: usize, fleet: &mut Fleet) {
        let dribbler = &mut self.all[place];
        let Some(peer) = dribbler.peer else {
            let setup = Setup { reset_on_close: true, ..Setup::default() };
            let peer = fleet.open(dribbler.kind.dialect(place), setup);
            dribbler.peer = Some(peer);
            dribbler.open = dribbler.kind == Kind::Head;
            dribbler.sent = 0;
            self.places.insert(peer, place);
            return;
        };
        // A CONNECT is said once; then it says nothing more, and is left alone with its heart-beats.
        let done = dribbler.kind == Kind::Connect && dribbler.sent == dribbler.script.len();
        if dribbler.open && !done {
            let byte = dribbler.script[dribbler.sent % dribbler.script.len()];
            dribbler.sent += 1;
            self.bytes += 1;
            fleet.send(peer, &[byte]);
        }
    }

    /// Takes what a dribbler was told; false if it is none.
    fn hear(&mut self, said: &Said, fleet: &mut Fleet) -> bool {
        let Some(&place) = self.places.get(&said.peer) else { return false };
        let dribbler = &mut self.all[place];
        match &said.what {
            What::Opened => {
                dribbler.open = true;
                fleet.send(said.peer, &dribbler.kind.opening());
            }
            What::Update(..) => self.completed += 1,
            What::Words(words) if words.starts_with("RECEIPT") => self.completed += 1,
            What::Words(_) => {}
            What::Answer(answer) => self.completed += usize::from(answer.status < 300),
            What::Ended => {
                dribbler.peer = None;
                dribbler.open = false;
                self.places.remove(&said.peer);
                self.ended += 1;
            }
        }
        true
    }
}

/// Clients that poll over connections that are kept alive, at a fixed rate.
#[derive(Default)]
struct Pollers {
    connections: Vec<PeerId>,
    /// When each of them meant to send the polls that are not answered yet.
    asked: Vec<VecDeque<u64>>,
    next: usize,
    due: u64,
    every_micros: u64,
    latencies: Latencies,
}

impl Pollers {
    /// They poll as soon as they are there: who connects and says nothing is closed.
    fn open(fleet: &mut Fleet, plan: Plan) -> Self {
        let open = |_| fleet.open(Dialect::Http, Setup::default());
        let connections: Vec<_> = (0..plan.pollers).map(open).collect();
        Self {
            asked: vec![VecDeque::new(); connections.len()],
            connections,
            due: fleet.now(),
            every_micros: plan.poll_every_micros / plan.pollers as u64,
            ..Self::default()
        }
    }

    fn poll(&mut self, fleet: &mut Fleet) {
        while self.due <= fleet.now() {
            let place = self.next % self.connections.len();
            fleet.send(self.connections[place], get(&format!("/location/cur/{GROUP}")).as_bytes());
            self.asked[place].push_back(self.due);
            self.next += 1;
            self.due += self.every_micros;
        }
    }

    fn hear(&mut self, id: PeerId, at_micros: u64) {
        let place = id.0 - self.connections[0].0;
        let asked = self.asked[place].pop_front().expect("an answer to a request");
        self.latencies.note(at_micros - asked);
    }
}

struct Scene {
    size: Size,
    plan: Plan,
    server: crate::harness::Server,
    fleet: Fleet,
    audience: Audience,
    publishers: Publishers,
    pollers: Pollers,
    dribblers: Dribblers,
}

impl Scene {
    fn new(size: Size, plan: Plan) -> Self {
        let server = size.start(plan.flags);
        let mut fleet = Fleet::new(server.address());
        let nobody = |said: Said| panic!("nothing is published yet: {said:?}");
        let dialects = vec![Dialect::WebSocket(format!("/ws/{GROUP}")); plan.good];
        let good = fleet.open_all(dialects, Setup::default(), nobody);
        let publishing = &good[..good.len().min(MEMBERS as usize)];
        let publishers = Publishers::new(&fleet, publishing, GROUP, MEMBERS, plan.per_second);
        let pollers = Pollers::default();
        let dribblers = Dribblers::new(&fleet, plan);
        Self { audience: Audience::new(&good), size, plan, server, fleet, publishers, pollers, dribblers }
    }

    fn run(mut self, what: &str) -> Outcome {
        let deadline = patience(&self.fleet);
        while !self.dribblers.have_begun() {
            assert!(self.fleet.now() < deadline, "not all dribblers get in");
            self.dribblers.dribble(&mut self.fleet);
            self.turn(self.dribblers.due);
        }
        self.publishers.begin_now(&self.fleet);
        self.pollers = Pollers::open(&mut self.fleet, self.plan);
        let effort = Effort::begin(Process(self.server.process_id()), self.fleet.now());
        while self.publishers.sent() < self.plan.publishes {
            self.publishers.publish(&mut self.fleet, self.plan.publishes);
            self.pollers.poll(&mut self.fleet);
            self.dribblers.dribble(&mut self.fleet);
            let due = self.publishers.due().min(self.pollers.due).min(self.dribblers.due);
            self.turn(due);
        }
        let effort = effort.row(self.fleet.now());
        let deadline = patience(&self.fleet);
        while !self.audience.has_heard(self.plan.publishes) {
            assert!(self.fleet.now() < deadline, "not all have heard {} updates", self.plan.publishes);
            self.turn(deadline);
        }
        self.audience.check(self.plan.publishes);
        let Dribblers { bytes, ended, completed, .. } = self.dribblers;
        if self.plan.dribblers > 0 {
            assert!(ended > 0, "some are too slow and are ended");
            assert!(completed > 0, "some come to an end of what they have to say, and are answered");
        }
        if self.size.is_full() {
            let name = format!("{} dribblers", self.plan.dribblers);
            let value =
                format!("{bytes} bytes sent one by one, {completed} completed, {ended} ended and came back");
            print(what, &name, value);
            print(what, &format!("{name}, the server's CPU"), effort);
        }
        self.fleet.close_all();
        self.server.stop();
        Outcome { updates: self.audience.latencies, polls: self.pollers.latencies }
    }

    fn turn(&mut self, until_micros: u64) {
        for said in self.fleet.turn(until_micros) {
            match &said.what {
                What::Update(update, _) if self.audience.holds(said.peer) => {
                    let latency = self.publishers.latency(update, said.at_micros);
                    self.audience.hear(said.peer, update, latency);
                }
                What::Answer(answer) if self.pollers.connections.contains(&said.peer) => {
                    assert!(answer.status < 300, "{answer:?}");
                    self.pollers.hear(said.peer, said.at_micros);
                }
                _ => assert!(self.dribblers.hear(&said, &mut self.fleet), "a good client: {said:?}"),
            }
        }
    }
}
