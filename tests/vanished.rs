//! Clients that die in every state there is, by a reset, by an end, by half of one: nothing of them stays behind.

mod harness;

use std::net::{Shutdown, TcpStream};

use harness::crowd::{read_past, read_to_end, say, stomp_connect, stomp_frame, stomp_subscribe};
use harness::http::{Wire, get, post};
use harness::websocket::{CLOSE, GOES_ON, PING, Socket, TEXT, TEXT_BEGINS, frame, upgrade};
use harness::{Server, reset};

/// How a client dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// The connection is reset.
    Reset,
    /// The socket is closed; a reset follows on whatever the server still sends.
    End,
    /// The sending side ends; the client reads on until the server ends too.
    HalfClose,
}

const DEATHS: [Death; 3] = [Death::Reset, Death::End, Death::HalfClose];

/// Where a client is when it dies.
struct State {
    name: &'static str,
    /// What it has sent.
    sent: fn(group: u64) -> Vec<u8>,
    /// A request goes in front, whose answer shows what nothing else would.
    asks_first: bool,
    /// What shows that the server is there too, and how often it has to come.
    shown_by: (&'static [u8], usize),
    /// It reads nothing more, and its kernel takes next to nothing.
    is_stuck: bool,
}

/// A state that the server's answer shows.
const fn shown(name: &'static str, sent: fn(u64) -> Vec<u8>, marker: &'static [u8], times: usize) -> State {
    State { name, sent, asks_first: false, shown_by: (marker, times), is_stuck: false }
}

/// A state that nothing shows but the answer to a request in front of it, which is read in one piece with it.
const fn asked(name: &'static str, sent: fn(u64) -> Vec<u8>) -> State {
    State { name, sent, asks_first: true, shown_by: (b"HTTP/1.1 200", 1), is_stuck: false }
}

/// A state that nothing shows: the client dies right behind its last byte, whatever the server does meanwhile.
const fn unseen(name: &'static str, sent: fn(u64) -> Vec<u8>) -> State {
    State { name, sent, asks_first: false, shown_by: (b"", 0), is_stuck: false }
}

/// A client that reads no further than to the marker, while much more is on its way.
const fn stuck(name: &'static str, sent: fn(u64) -> Vec<u8>, marker: &'static [u8]) -> State {
    State { name, sent, asks_first: false, shown_by: (marker, 1), is_stuck: true }
}

/// The groups of the crowd, at home on either worker.
const GROUPS: std::ops::Range<u64> = 0..40;

/// The group that many members are in and that many updates of are kept.
const LARGE: u64 = 77;

const SWITCHED: &[u8] = b"HTTP/1.1 101 ";
const SAME: &str = "POST /location/share/3 HTTP/1.1\r\nHost: a\r\n";

const STATES: &[State] = &[
    unseen("before any byte", |_| Vec::new()),
    asked("in the middle of a head", |group| format!("GET /location/cur/{group} HT").into()),
    asked("in the middle of a body", |_| format!("{SAME}Content-Length: 100\r\n\r\n{{\"x\":1").into()),
    asked("in the middle of a chunk", |_| {
        format!("{SAME}Transfer-Encoding: chunked\r\n\r\n9\r\n{{\"x\"").into()
    }),
    shown("after an answer", |group| get(&format!("/location/cur/{group}")).into(), b"HTTP/1.1 20", 1),
    shown(
        "between pipelined requests",
        |group| (get(&format!("/location/cur/{group}")).repeat(3) + "GET /location").into(),
        b"HTTP/1.1 20",
        3,
    ),
    unseen("on its way to another worker, to publish", |group| {
        post(&format!("/location/share/{group}"), r#"{"x":1,"y":2}"#).into()
    }),
    unseen("on its way to another worker, to poll", |group| get(&format!("/location/long/{group}")).into()),
    unseen("on its way to another worker, to stream", |group| get(&format!("/location/sse/{group}")).into()),
    unseen("on its way to another worker, to upgrade", |group| upgrade(&format!("/ws/{group}")).into()),
    unseen("on its way to another worker, to subscribe", |group| {
        [stomp_connect(), stomp_subscribe(group, &[]), stomp_subscribe(group + 1, &[])].concat()
    }),
    asked("parked", |group| get(&format!("/location/long/{group}?timeout=60000")).into()),
    asked("parked in a member's name", |group| {
        get(&format!("/location/long/{group}?timeout=60000&member=polling")).into()
    }),
    asked("parked with requests behind", |group| {
        (get(&format!("/location/long/{group}?timeout=60000")) + &get("/healthz").repeat(600)).into()
    }),
    shown("on an event stream", |group| get(&format!("/location/sse/{group}")).into(), b"\n\n", 1),
    shown(
        "on an event stream in a member's name",
        |group| get(&format!("/location/sse/{group}?member=streaming")).into(),
        b"\n\n",
        1,
    ),
    shown("on a silent WebSocket", |group| upgrade(&format!("/ws/{group}")).into(), SWITCHED, 1),
    shown(
        "on a WebSocket whose member is somewhere",
        |group| {
            let publish = frame(TEXT, br#"{"x":1,"y":2}"#);
            [upgrade(&format!("/ws/{group}?member=m{group}")).into_bytes(), publish].concat()
        },
        b"\"y\":2",
        1,
    ),
    shown(
        "in the middle of a WebSocket frame",
        |group| [upgrade(&format!("/ws/{group}")).as_bytes(), &frame(TEXT, &[b' '; 500])[..300]].concat(),
        SWITCHED,
        1,
    ),
    shown(
        "in the middle of a fragmented message",
        |group| {
            let begun = [frame(TEXT_BEGINS, b"{\"x\""), frame(GOES_ON, b":1,")].concat();
            [upgrade(&format!("/ws/{group}")).into_bytes(), begun].concat()
        },
        SWITCHED,
        1,
    ),
    shown("before CONNECT", |_| upgrade("/location").into(), SWITCHED, 1),
    shown(
        "in the middle of a STOMP frame",
        |group| {
            let half = format!("SEND\ndestination:/pub/share/{group}\n\n{{\"x\"");
            [stomp_connect(), frame(TEXT, half.as_bytes())].concat()
        },
        b"CONNECTED",
        1,
    ),
    shown(
        "subscribed on both workers",
        |group| [stomp_connect(), stomp_subscribe(group, &[]), stomp_subscribe(group + 1, &[])].concat(),
        b"RECEIPT",
        2,
    ),
    shown(
        "in a transaction",
        |group| {
            let destination = format!("/pub/share/{group}");
            let send = [("destination", destination.as_str()), ("transaction", "t"), ("receipt", "r")];
            let begin = stomp_frame("BEGIN", &[("transaction", "t")], "");
            [stomp_connect(), begin, stomp_frame("SEND", &send, r#"{"x":1,"y":2}"#)].concat()
        },
        b"RECEIPT",
        1,
    ),
    shown(
        "with acknowledgements owed",
        |_| {
            let window = [("ack", "client"), ("since", "0"), ("prefetch-count", "5")];
            [stomp_connect(), stomp_subscribe(LARGE, &window)].concat()
        },
        b"MESSAGE",
        5,
    ),
    shown("after a refusal", |_| "BOGUS\r\n\r\n".into(), b"HTTP/1.1 400", 1),
    shown(
        "after a request for the end",
        |_| "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(),
        b"HTTP/1.1 200",
        1,
    ),
    shown(
        "in the close handshake",
        |group| [upgrade(&format!("/ws/{group}")).into_bytes(), frame(CLOSE, b"\x03\xe8")].concat(),
        b"\x88\x02\x03\xe8",
        1,
    ),
    stuck(
        "behind answers that it does not read",
        |_| get(&format!("/location/group/{LARGE}")).repeat(3).into(),
        b"HTTP/1.1 200",
    ),
    stuck(
        "behind events that it does not read",
        |_| get(&format!("/location/sse/{LARGE}?last_event_id=0")).into(),
        b"HTTP/1.1 200",
    ),
    stuck(
        "behind messages that it does not read",
        |_| upgrade(&format!("/ws/{LARGE}?since=0")).into(),
        SWITCHED,
    ),
    stuck(
        "behind STOMP messages that it does not read",
        |_| [stomp_connect(), stomp_subscribe(LARGE, &[("since", "0")])].concat(),
        b"CONNECTED",
    ),
    stuck(
        "behind pongs that it does not read",
        |group| {
            [upgrade(&format!("/ws/{group}")).into_bytes(), frame(PING, &[b'?'; 125]).repeat(1500)].concat()
        },
        SWITCHED,
    ),
];

/// Clients that are open at once, each in a state of its own.
const CROWD: usize = STATES.len() * DEATHS.len() * 5;

/// Crowds one after the other: 10,000 deaths and some in all.
const CROWDS: usize = 10_000_usize.div_ceil(CROWD);

/// How many of a crowd die after a refusal, the only ones that were refused anything.
const REFUSED_EACH: u64 = (CROWD / STATES.len()) as u64;

/// Brings a client as far as its state.
#[track_caller]
fn enter(server: &Server, state: &State, group: u64) -> TcpStream {
    let stream = if state.is_stuck { server.connect_to_read_slowly() } else { server.connect() };
    let mut bytes = if state.asks_first { get("/healthz").into_bytes() } else { Vec::new() };
    bytes.extend((state.sent)(group));
    say(&stream, &bytes);
    stream
}

/// Ends a client; one that only half-closes is still there.
fn die(stream: TcpStream, death: Death) -> Option<TcpStream> {
    match death {
        Death::Reset => reset(stream),
        Death::End => drop(stream),
        // The server may have ended it already.
        Death::HalfClose => {
            let _ = stream.shutdown(Shutdown::Write);
            return Some(stream);
        }
    }
    None
}

/// One crowd comes, gets as far as it does, and dies.
#[track_caller]
fn live_and_die(server: &Server, round: usize) {
    let mut half_closed = Vec::new();
    let mut entered = Vec::new();
    for index in 0..CROWD {
        let state = &STATES[index % STATES.len()];
        let death = DEATHS[index / STATES.len() % DEATHS.len()];
        let stream = enter(server, state, GROUPS.start + ((round + index) % 40) as u64);
        if state.shown_by.1 > 0 {
            entered.push((stream, state, death));
        } else {
            half_closed.extend(die(stream, death).map(|stream| (stream, state)));
        }
    }
    for (stream, state, _) in &entered {
        let (marker, times) = state.shown_by;
        let shown = read_past(stream, marker, times);
        assert!(!shown.is_empty(), "{}", state.name);
    }
    if round == 0 {
        for transport in ["short_poll", "sse", "websocket", "stomp"] {
            let queued = server.scrape().sum("geoloop_queue_bytes", &[("transport", transport)]);
            assert!(queued > 0.0, "those who do not read have something waiting, on {transport}");
        }
    }
    for (stream, state, death) in entered {
        half_closed.extend(die(stream, death).map(|stream| (stream, state)));
    }
    for (stream, _) in half_closed {
        read_to_end(&stream);
    }
}

/// Fills the large group, whose members stay.
#[track_caller]
fn fill(server: &Server) {
    let mut wire = Wire::connect(server);
    let target = format!("/location/share/{LARGE}");
    for index in 0..2000 {
        let body = format!(r#"{{"member":"{:060}","x":{index},"y":0}}"#, index % 700);
        wire.send_post(&target, &body);
        wire.answer().expect_status(200);
    }
    reset(wire.stream().try_clone().expect("a descriptor is free"));
}

/// How many of the server's sockets wait for it to close what its peer has closed.
fn sockets_in_close_wait(server: &Server) -> usize {
    const CLOSE_WAIT: &str = "08";
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of sockets can be read");
    let local = format!(":{:04X}", server.address().port());
    let waits = |line: &&str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields.len() > 3 && fields[1].ends_with(&local) && fields[3] == CLOSE_WAIT
    };
    table.lines().filter(waits).count()
}

/// What a server holds that clients make it hold.
const LEVELS: [&str; 5] = [
    "geoloop_parked",
    "geoloop_subscriptions",
    "geoloop_queue_bytes",
    "geoloop_connections",
    "process_open_fds",
];

#[test]
fn nothing_stays_of_10_000_clients_that_died_in_every_state() {
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).expect("the soft limit can be raised");
    assert!(
        descriptors > CROWD as u64 + 256,
        "this test needs {CROWD} descriptors; the limit is {descriptors}"
    );
    // As many places as one crowd needs: a place that a death did not give back would be missed by the next crowd.
    let places = (CROWD + 2).to_string();
    let flags =
        ["--history", "2000", "--member-ttl", "10m", "--idle-timeout", "10m", "--max-connections", &places];
    let server = Server::start(&flags);
    let mut bystander = Socket::open(&server, "/ws/99");
    fill(&server);
    server.publish(99, "zoe", 0, 0);
    server.wait_for_gauge("geoloop_connections", &[], 2);
    let before = server.scrape();
    for round in 0..CROWDS {
        live_and_die(&server, round);
        server.wait_for_gauge("geoloop_connections", &[], 2);
    }
    server.expect_refusals(&[("bad_request", REFUSED_EACH * CROWDS as u64)]);
    for level in LEVELS {
        server.wait_for_gauge(level, &[], before.sum(level, &[]) as u64);
    }
    assert_eq!(sockets_in_close_wait(&server), 0, "every socket was closed that its peer had closed");
    // Whom a connection spoke for has left with it; what its publishes made besides is nameless.
    for group in GROUPS {
        let present = server.get(&format!("/location/group/{group}")).json();
        let mut members = present["members"].as_array().expect("a list of updates").iter();
        assert!(members.all(|update| update["member"].is_null()), "{present}");
    }
    let published = server.publish(99, "zoe", 1, 2);
    let heard = bystander.updates(2);
    assert_eq!(heard[1], published, "who stays is served as before");
    server.stop();
}
