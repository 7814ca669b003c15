//! A drain in the middle of things: thousands of clients of every kind, publishers that go on, half requests, backlogs.
//!
//! What a subscriber is promised, as strictly as messages can prove it: what it has got of a group when its goodbye comes
//! is every update from its beginning to some last one, without a hole, the very bytes that publishers were answered
//! with; and that last one is not older than any update whose 200 a publisher had before the server heard of it from this
//! subscriber. Two clients can know of an order only by a message: a witness sends the newest number that it knows to be
//! acknowledged in a ping, and the pong in front of its goodbye says that the server knew of it by then.

mod harness;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use geoloop::clock::Clock;
use harness::crowd::{
    Client, Crowd, count_of, frames_of, read_past, say, stomp_connect, stomp_subscribe, try_publish,
};
use harness::http::{Wire, get};
use harness::stomp::Stomp;
use harness::update::Update;
use harness::websocket::{CLOSE, Socket, TEXT, upgrade};
use harness::{PATIENCE, Server, time, wait_until};
use tungstenite::Message;

/// Groups that are published to all the while, at home on both workers.
const BUSY: u64 = 4;

/// Groups that nobody publishes to.
const QUIET: std::ops::Range<u64> = 100..140;

/// What a client of the crowd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    LongPoll,
    Sse,
    WebSocket,
    Stomp,
    KeepAlive,
}

const KINDS: [Kind; 5] = [Kind::LongPoll, Kind::Sse, Kind::WebSocket, Kind::Stomp, Kind::KeepAlive];

const CLIENTS_OF_A_KIND: usize = 1000;

/// How many of each kind of stream are in a busy group.
const BUSY_STREAMS: usize = 40;

/// A client of the crowd, and the groups that it hears.
struct Guest {
    kind: Kind,
    groups: Vec<u64>,
}

impl Guest {
    /// The client of this number: kinds take turns.
    fn new(number: usize) -> Self {
        let (kind, round) = (KINDS[number % KINDS.len()], number / KINDS.len());
        let busy = round < BUSY_STREAMS && matches!(kind, Kind::Sse | Kind::WebSocket | Kind::Stomp);
        let group = if busy { round as u64 % BUSY } else { QUIET.start + round as u64 % 40 };
        let groups = match kind {
            Kind::LongPoll | Kind::Sse | Kind::WebSocket => vec![group],
            // The neighbour is at home on the other worker.
            Kind::Stomp => vec![group, if busy { (group + 1) % BUSY } else { group + 1 }],
            Kind::KeepAlive => vec![],
        };
        Self { kind, groups }
    }

    fn says(&self) -> Vec<u8> {
        match self.kind {
            // In front of a poll, which is answered by nothing for now, goes a request that is.
            Kind::LongPoll => {
                (get("/healthz") + &get(&format!("/location/long/{}?timeout=60000", self.groups[0]))).into()
            }
            Kind::Sse => get(&format!("/location/sse/{}", self.groups[0])).into(),
            Kind::WebSocket => upgrade(&format!("/ws/{}", self.groups[0])).into(),
            Kind::Stomp => {
                let subscribe = self.groups.iter().map(|group| stomp_subscribe(*group, &[]));
                [stomp_connect()].into_iter().chain(subscribe).flatten().collect()
            }
            Kind::KeepAlive => get("/healthz").into(),
        }
    }

    /// Connects it, and returns once it is in its place.
    #[track_caller]
    fn enter(&self, server: &Server, crowd: &mut Crowd) {
        let stream = server.connect();
        say(&stream, &self.says());
        let (marker, times): (&[u8], _) = match self.kind {
            Kind::LongPoll | Kind::KeepAlive => (b"ok\n", 1),
            Kind::Sse => (b"\n\n", 1),
            Kind::WebSocket => (b"\r\n\r\n", 1),
            Kind::Stomp => (b"RECEIPT", 2),
        };
        let received = read_past(&stream, marker, times);
        crowd.join(stream, received);
    }

    /// Checks how it was told, and returns what it heard of each of its groups.
    #[track_caller]
    fn check(&self, client: &Client, window: Duration) -> BTreeMap<u64, Vec<Update>> {
        let text = String::from_utf8_lossy(&client.received);
        let mut heard: BTreeMap<u64, Vec<Update>> =
            self.groups.iter().map(|group| (*group, Vec::new())).collect();
        match self.kind {
            Kind::KeepAlive => assert!(text.ends_with("ok\n"), "closed without a word: {text}"),
            Kind::LongPoll => {
                let (_, answer) = text.split_once("ok\n").expect("the request in front was answered");
                assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
                assert_eq!(count_of(answer.as_bytes(), b"HTTP/1.1"), 1, "{answer}");
                let answer = answer.to_ascii_lowercase();
                assert!(
                    answer.contains("location-seq: ") && answer.contains("connection: close"),
                    "{answer}"
                );
            }
            Kind::Sse => {
                let (_, last) = text.trim_end().rsplit_once('\n').expect("several lines came");
                let retry =
                    last.strip_prefix("retry:").expect("a retry comes last").trim().parse().expect("ms");
                let ended = client.ended.expect("it heard the end");
                let rest = window.saturating_sub(ended);
                assert!(Duration::from_millis(retry) >= rest, "{retry} ms, while {rest:?} were left");
                let updates = text.lines().filter_map(|line| line.strip_prefix("data: ")).map(Update::parse);
                heard.entry(self.groups[0]).or_default().extend(updates);
            }
            Kind::WebSocket => {
                for text in expect_texts_and_close(&client.received) {
                    heard.entry(self.groups[0]).or_default().push(Update::parse(&text));
                }
            }
            Kind::Stomp => {
                let mut texts = expect_texts_and_close(&client.received);
                let error = texts.pop().expect("an ERROR comes last");
                assert!(error.starts_with("ERROR\n") && error.contains("drain"), "{error}");
                for (group, update) in texts.iter().filter_map(|text| read_message(text)) {
                    heard.entry(group).or_default().push(update);
                }
            }
        }
        heard
    }
}

/// The text messages behind an upgrade, which a Close 1012 must end.
#[track_caller]
fn expect_texts_and_close(received: &[u8]) -> Vec<String> {
    let head = received.windows(4).position(|window| window == b"\r\n\r\n").expect("a head came") + 4;
    let mut frames = frames_of(&received[head..]);
    let (first, close) = frames.pop().expect("a Close comes last");
    assert_eq!((first, &close[..2]), (CLOSE, &1012_u16.to_be_bytes()[..]), "{close:?}");
    let texts = frames.into_iter().filter(|(first, _)| *first == TEXT);
    texts.map(|(_, payload)| String::from_utf8(payload.to_vec()).expect("a text message is UTF-8")).collect()
}

/// The group and the update of a MESSAGE.
#[track_caller]
fn read_message(text: &str) -> Option<(u64, Update)> {
    let (head, body) = text.strip_prefix("MESSAGE\n")?.split_once("\n\n").expect("a head and a body");
    let destination = head.lines().find_map(|line| line.strip_prefix("destination:/sub/location/"));
    let group = destination.and_then(|group| group.parse().ok()).expect("a destination");
    Some((group, Update::parse(body.trim_end_matches('\0'))))
}

/// What publishers know of each busy group.
struct Acknowledged([AtomicU64; BUSY as usize]);

impl Acknowledged {
    /// The newest number that a publisher was answered with.
    fn newest(&self, group: u64) -> u64 {
        self.0[group as usize].load(Ordering::SeqCst)
    }
}

/// Publishes to the busy groups in turn until nobody answers any more; what was acknowledged.
fn publish_to_the_end(server: &Server, acknowledged: &Acknowledged) -> BTreeMap<u64, Vec<Update>> {
    let mut published: BTreeMap<u64, Vec<Update>> = BTreeMap::new();
    let mut refused = 0;
    for x in 0.. {
        let group = x % BUSY;
        match try_publish(server, group, &format!(r#"{{"member":"alice","x":{x},"y":0}}"#)) {
            Some(update) => {
                acknowledged.0[group as usize].store(update.seq, Ordering::SeqCst);
                published.entry(group).or_default().push(update);
                refused = 0;
            }
            // Cut off at the very end of the window, or not let in any more.
            None => refused += 1,
        }
        if refused == 3 {
            break;
        }
    }
    published
}

/// Checks that what was heard of a group is all of it up to some update, and returns that one's number.
#[track_caller]
fn check_prefix(heard: &[Update], start: u64, published: &BTreeMap<u64, &Update>) -> u64 {
    let mut last = start;
    for update in heard {
        assert_eq!(update.seq, last + 1, "no hole: {}", update.text);
        assert!(!update.gap, "{}", update.text);
        if let Some(acknowledged) = published.get(&update.seq) {
            assert_eq!(update.text, acknowledged.text, "the bytes that the publisher was answered with");
        }
        last = update.seq;
    }
    last
}

/// A subscriber that says in pings what it knows to be acknowledged, until its goodbye.
struct Witness {
    socket: Socket,
    group: u64,
    /// The newest number that the server knew of from this witness.
    told: u64,
    heard: Vec<Update>,
}

impl Witness {
    #[track_caller]
    fn open(server: &Server, group: u64) -> Self {
        Self { socket: Socket::open(server, &format!("/ws/{group}")), group, told: 0, heard: Vec::new() }
    }

    /// One that listens from the other worker.
    #[track_caller]
    fn open_elsewhere(server: &Server, group: u64) -> Self {
        let mut stomp = Stomp::connect(server);
        stomp.subscribe("home", QUIET.start + group + 1);
        stomp.subscribe("away", group);
        Self { socket: stomp.socket, group, told: 0, heard: Vec::new() }
    }

    /// Answers each update with what is known to be acknowledged by then, which the server sends back.
    #[track_caller]
    fn watch(mut self, acknowledged: &Acknowledged) -> Self {
        loop {
            match self.socket.any_message() {
                Message::Close(_) => return self,
                Message::Pong(known) => {
                    self.told =
                        u64::from_be_bytes(known[..].try_into().expect("the payload of a ping of ours"));
                }
                message => {
                    self.hear(&message);
                    let known = acknowledged.newest(self.group).to_be_bytes().to_vec();
                    // A goodbye may be here already, and the server gone behind it.
                    let _ = self.socket.try_send_message(Message::Ping(known.into()));
                }
            }
        }
    }

    #[track_caller]
    fn hear(&mut self, message: &Message) {
        let Message::Text(text) = message else { return };
        let text = text.as_str();
        if text.starts_with('{') {
            self.heard.push(Update::parse(text));
        } else if let Some((group, update)) = read_message(text) {
            assert_eq!(group, self.group);
            self.heard.push(update);
        }
    }
}

/// Checks that goodbyes came spread out: that in no fifth of the window, and not behind it, did most of them come. A busy
/// machine makes some of them later than they were meant to be, so nothing is said of each fifth.
#[track_caller]
fn check_spread(clients: &[Client], window: Duration) {
    let mut fifths = [0; 6];
    for client in clients {
        let ended = client.ended.expect("everyone was told");
        let fifth = (ended.as_secs_f64() / window.as_secs_f64() * 5.0) as usize;
        fifths[fifth.min(5)] += 1;
    }
    assert!(fifths.iter().all(|told| told * 2 < clients.len()), "told by fifths of the window: {fifths:?}");
}

/// What was seen of a drain.
struct Drained {
    /// The numbers that were acknowledged before it began, by group.
    before: Vec<u64>,
    /// All that was acknowledged.
    published: BTreeMap<u64, Vec<Update>>,
    witnesses: [Witness; 3],
    /// From the signal to the end of the process.
    took: Duration,
}

/// Drains the server while somebody publishes to the busy groups, and listens to the crowd until everyone was told.
#[track_caller]
fn drain_while_publishing(
    server: Server,
    crowd: &mut Crowd,
    witnesses: [Witness; 3],
    start: &[u64],
) -> Drained {
    let acknowledged = Acknowledged(Default::default());
    let mut drained = thread::scope(|scope| {
        let (known, asked) = (&acknowledged, &server);
        let publisher = scope.spawn(move || publish_to_the_end(asked, known));
        let witnesses = witnesses.map(|witness| scope.spawn(move || witness.watch(known)));
        assert!(wait_until(|| (0..BUSY).all(|group| known.newest(group) > start[group as usize] + 20)));
        let before = (0..BUSY).map(|group| known.newest(group)).collect();
        let clock = Clock::start();
        server.terminate();
        // Whoever asks because it was told must not be sent to this very server.
        crowd.listen(clock, || {
            for _ in 0..8 {
                let mut wire = Wire::connect(&server);
                wire.send_get("/readyz");
                wire.answer().expect_problem(503);
            }
        });
        let published = publisher.join().expect("the publisher ends");
        let witnesses = witnesses.map(|witness| witness.join().expect("the witness is told"));
        // The publisher went on for as long as somebody answered.
        Drained { before, published, witnesses, took: Duration::from_micros(clock.now().micros) }
    });
    let (exit, ending) = time(|| server.wait());
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    drained.took += ending;
    drained
}

#[test]
fn thousands_of_clients_are_told_in_their_own_ways_and_lose_nothing() {
    const WINDOW: Duration = Duration::from_secs(4);
    let clients = KINDS.len() * CLIENTS_OF_A_KIND;
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).expect("the soft limit can be raised");
    assert!(
        descriptors > clients as u64 + 256,
        "this test needs {clients} descriptors, there are {descriptors}"
    );
    let flags = ["--drain-window", "4s", "--idle-timeout", "10m", "--queue-bytes", "4000000"];
    let server = Server::start(&flags);
    let start: Vec<u64> = (0..BUSY)
        .map(|group| server.get(&format!("/location/long/{group}?timeout=0")).location_seq())
        .collect();
    let guests: Vec<Guest> = (0..clients).map(Guest::new).collect();
    let mut crowd = Crowd::new();
    guests.iter().for_each(|guest| guest.enter(&server, &mut crowd));
    let witnesses =
        [Witness::open(&server, 0), Witness::open(&server, 1), Witness::open_elsewhere(&server, 2)];
    server.wait_until_parked("long_poll", CLIENTS_OF_A_KIND as u64);

    let drained = drain_while_publishing(server, &mut crowd, witnesses, &start);
    assert!(drained.took < WINDOW + PATIENCE, "not much later than the window: {:?}", drained.took);

    check_spread(crowd.clients(), WINDOW);
    let published: BTreeMap<u64, BTreeMap<u64, &Update>> = drained
        .published
        .iter()
        .map(|(group, updates)| (*group, updates.iter().map(|update| (update.seq, update)).collect()))
        .collect();
    for (guest, client) in guests.iter().zip(crowd.clients()) {
        for (group, heard) in guest.check(client, WINDOW) {
            let Some(published) = published.get(&group) else {
                assert_eq!(heard, [], "nobody published to group {group}");
                continue;
            };
            let last = check_prefix(&heard, start[group as usize], published);
            let known = drained.before[group as usize];
            assert!(last >= known, "{:?}: {last} is older than {known}, acknowledged by then", guest.kind);
        }
    }
    for witness in drained.witnesses {
        let last = check_prefix(&witness.heard, start[witness.group as usize], &published[&witness.group]);
        assert!(last >= witness.told, "{last} is older than {}, acknowledged by then", witness.told);
    }
}
