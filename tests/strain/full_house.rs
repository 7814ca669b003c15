//! More clients than descriptors: whoever is inside is served, whoever is not is told so at once, and gets in as soon as
//! somebody leaves.

use crate::audience::{Hearer, Publishers, patience};
use crate::figures::{Latencies, print};
use crate::fleet::{Fleet, PeerId, Said, Setup};
use crate::peer::{Dialect, What};
use crate::process::{Effort, Process};
use crate::size::Size;

const GROUP: u64 = 3;
const WHAT: &str = "full house";

#[derive(Clone, Copy, Debug)]
struct Plan {
    descriptors: usize,
    clients: usize,
    leaving: usize,
    per_second: u64,
    publishes: usize,
    /// What a second of `Retry-After` takes.
    second_micros: u64,
}

impl Plan {
    fn of(size: Size) -> Self {
        let seconds = match size {
            Size::Small => None,
            Size::Full { seconds, .. } => Some(seconds),
        };
        Self {
            descriptors: 300,
            clients: 600,
            leaving: 100,
            per_second: if seconds.is_some() { 4 } else { 50 },
            publishes: seconds.map_or(100, |seconds| 4 * seconds),
            second_micros: if seconds.is_some() { 1_000_000 } else { 50_000 },
        }
    }
}

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Has asked to be let in at that moment.
    Asking { since: u64 },
    /// Was told no, and asks again at that moment.
    Waiting { until: u64 },
    /// Is let in.
    Inside(PeerId),
    /// Has left.
    Gone,
}

struct House {
    fleet: Fleet,
    clients: Vec<Standing>,
    /// Who asks with which connection; by the connection's number.
    places: Vec<usize>,
    hearers: Vec<Hearer>,
    second_micros: u64,
    publishers: Option<Publishers>,
    /// How much is to be published in all.
    publishes: usize,
    inside: usize,
    refused: usize,
    /// From the connect to the whole 503.
    told_no: Latencies,
    latencies: Latencies,
}

pub(crate) fn run(size: Size) {
    let plan = Plan::of(size);
    let server = size.start_with_descriptors(plan.descriptors, &[]);
    let process = Process(server.process_id());
    let mut house = House::new(Fleet::new(server.address()), plan);
    house.wait_for("everybody is answered", |house| house.inside + house.refused >= plan.clients);
    let places = house.inside;
    assert!(places > plan.descriptors / 4 && places < plan.descriptors, "{places} are inside");
    let first_publisher = house.insiders().next().expect("somebody is inside");
    let publishers = Publishers::new(&house.fleet, &[first_publisher.1], GROUP, 1, plan.per_second);
    house.publishers = Some(publishers);
    let (effort, refused) = (Effort::begin(process, house.fleet.now()), house.refused);
    house.publish(plan.publishes);
    let (seconds, row) = (effort.seconds(house.fleet.now()), effort.row(house.fleet.now()));
    assert_eq!(house.inside, places, "nobody comes or goes while the house is full");
    house.check(plan.publishes);
    let asked_again = house.refused - refused;
    let left = house.fleet.now();
    house.let_go(plan.leaving);
    house.wait_for("as many get in as have left", |house| house.inside == places);
    let filled = house.fleet.now() - left;
    // The newcomers hear what those hear who stayed.
    house.publish(plan.publishes + 10);
    assert!(asked_again > 0, "somebody asked in vain while the house was full");
    if size.is_full() {
        print(WHAT, "clients, places", format!("{}, {places}", plan.clients));
        print(WHAT, "the server's CPU while full (target 5 %)", row);
        print(WHAT, "told 503 while full", format!("{asked_again} in {seconds:.0} s"));
        print(WHAT, "from the connect to the 503", house.told_no.row());
        print(WHAT, "updates to those inside", house.latencies.row());
        let filled = filled as f64 / 1000.0;
        print(WHAT, &format!("{} places taken again", plan.leaving), format!("after {filled:.0} ms"));
    }
    house.fleet.close_all();
    server.stop();
}

impl House {
    fn new(fleet: Fleet, plan: Plan) -> Self {
        let now = fleet.now();
        let mut house = Self {
            fleet,
            clients: vec![Standing::Waiting { until: now }; plan.clients],
            places: Vec::new(),
            hearers: vec![Hearer::default(); plan.clients],
            second_micros: plan.second_micros,
            publishers: None,
            publishes: 0,
            inside: 0,
            refused: 0,
            told_no: Latencies::default(),
            latencies: Latencies::default(),
        };
        house.ask();
        house
    }

    /// Those who have waited as long as they were told to ask again.
    fn ask(&mut self) {
        let now = self.fleet.now();
        for place in 0..self.clients.len() {
            if let Standing::Waiting { until } = self.clients[place]
                && until <= now
            {
                let dialect = Dialect::WebSocket(format!("/ws/{GROUP}"));
                let since = self.fleet.now();
                let peer = self.fleet.open(dialect, Setup::default());
                self.clients[place] = Standing::Asking { since };
                assert_eq!(peer.0, self.places.len(), "connections are numbered one after the other");
                self.places.push(place);
            }
        }
    }

    fn insiders(&self) -> impl Iterator<Item = (usize, PeerId)> {
        self.clients.iter().enumerate().filter_map(|(place, standing)| match standing {
            Standing::Inside(peer) => Some((place, *peer)),
            Standing::Asking { .. } | Standing::Waiting { .. } | Standing::Gone => None,
        })
    }

    fn publish(&mut self, count: usize) {
        self.publishes = count;
        if let Some(publishers) = &mut self.publishers {
            publishers.begin_now(&self.fleet);
        }
        while self.publishers.as_ref().is_some_and(|publishers| publishers.sent() < count) {
            self.turn();
        }
        self.wait_for("all have heard the last update", Self::all_heard_the_last);
    }

    /// Everybody inside has the same newest update.
    fn all_heard_the_last(&self) -> bool {
        let (first, _) = self.insiders().next().expect("somebody is inside");
        let sent = self.publishers.as_ref().map_or(0, Publishers::sent);
        let last = self.hearers[first].seq;
        self.hearers[first].heard == sent && self.insiders().all(|(place, _)| self.hearers[place].seq == last)
    }

    #[track_caller]
    fn check(&self, count: usize) {
        for (place, _) in self.insiders() {
            assert_eq!(self.hearers[place].heard, count, "who is inside hears everything");
        }
    }

    /// The last so many who are inside leave, and do not come back.
    fn let_go(&mut self, count: usize) {
        let insiders: Vec<_> = self.insiders().collect();
        for (place, peer) in insiders.into_iter().rev().take(count) {
            self.fleet.close(peer);
            self.clients[place] = Standing::Gone;
            self.inside -= 1;
        }
    }

    #[track_caller]
    fn wait_for(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let deadline = patience(&self.fleet);
        while !so(self) {
            assert!(self.fleet.now() < deadline, "not so: {what}; {} are inside", self.inside);
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.ask();
        let mut due = self.fleet.now() + self.second_micros / 10;
        if let Some(publishers) = &mut self.publishers
            && publishers.sent() < self.publishes
        {
            publishers.publish(&mut self.fleet, self.publishes);
            due = due.min(publishers.due());
        }
        for said in self.fleet.turn(due) {
            self.hear(&said);
        }
    }

    fn hear(&mut self, said: &Said) {
        let place = self.places[said.peer.0];
        match (&said.what, self.clients[place]) {
            (What::Opened, Standing::Asking { .. }) => {
                self.clients[place] = Standing::Inside(said.peer);
                self.inside += 1;
            }
            (What::Answer(answer), Standing::Asking { since }) => {
                let again: u64 =
                    answer.clone().expect_status(503).needed_header("Retry-After").parse().expect("s");
                let until = said.at_micros + again * self.second_micros;
                self.clients[place] = Standing::Waiting { until };
                self.refused += 1;
                self.told_no.note(said.at_micros - since);
            }
            (What::Update(update, _), Standing::Inside(_)) => {
                self.hearers[place].hear_all(update);
                let publishers = self.publishers.as_ref().expect("somebody published");
                let latency = publishers.latency(update, said.at_micros);
                self.latencies.note(latency.expect("an update of ours"));
            }
            // What was refused ends; the client may be asking again on another connection by then.
            (What::Ended, Standing::Waiting { .. } | Standing::Asking { .. }) if self.was_answered(said) => {}
            (_, standing) => panic!("{said:?} to a client that is {standing:?}"),
        }
    }

    /// Whether this connection is not the one that its client asks with now.
    fn was_answered(&self, said: &Said) -> bool {
        let place = self.places[said.peer.0];
        let newest = self.places.iter().rposition(|other| *other == place);
        matches!(self.clients[place], Standing::Waiting { .. }) || newest != Some(said.peer.0)
    }
}
