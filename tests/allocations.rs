//! What the heap is asked for: nothing for a request that repeats, the same for one subscriber as for a thousand,
//! and next to nothing for a connection that only waits.
//!
//! Neither does the load tool's client ask for anything for an update that it hears.
//!
//! A shard is driven in memory, so what is counted is the server alone. The counts are of this thread only.

use allocation_counter::{AllocationInfo, measure};
use geoloop::clock::{Now, Tick, UnixMs};
use geoloop::ids::{ConnId, GroupId, Seq, ShardId};
use geoloop::limits::{Budget, Limits, Quota};
use geoloop::load::client::{Client, Heard};
use geoloop::load::ledger::{Ledger, Owed, Verdict};
use geoloop::shard::{Output, Reading, Shard, ShardConfig, Standing, Wrote};
use geoloop::wire::http::response::{self, HttpDate, Status};
use geoloop::wire::sse;
use geoloop::wire::stomp::Version;
use geoloop::wire::stomp::encode::{self, MessageHead};
use geoloop::wire::websocket::frame::{self, Opcode};
use geoloop::wire::websocket::handshake;

/// A shard whose table of connections has room for `slots`, and a buffer that everything is read into.
struct Bench {
    shard: Shard,
    buffer: Vec<u8>,
    now: Now,
}

impl Bench {
    fn new(slots: usize) -> Self {
        let limits = Limits::default();
        let now = Now { tick: Tick(0), micros: 0, unix: UnixMs(1_767_225_600_000) };
        let config = ShardConfig {
            id: ShardId(0),
            workers: 1,
            seed: 7,
            simulate: true,
            echo: false,
            allow_origin: Vec::new(),
            groups: Quota::new(limits.groups_max),
            budget: Budget::new(limits.held_bytes_max),
            limits,
            slots,
        };
        Self { shard: Shard::new(config, now), buffer: vec![0; 16 * 1024], now }
    }

    /// A connection that has sent `hello` and got its answer.
    fn connect(&mut self, hello: &[u8]) -> ConnId {
        let conn = self.shard.handle_accepted(Standing::Guest);
        self.say(conn, hello);
        conn
    }

    /// One turn: a connection is read, and everything that follows is written; how many writes that took.
    fn say(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.shard.handle_clock(self.now);
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        let (Reading::Go | Reading::Hold) = self.shard.handle_received(conn, &mut self.buffer[..bytes.len()]);
        self.shard.handle_timeout();
        self.write()
    }

    fn write(&mut self) -> usize {
        let mut writes = 0;
        while let Some(output) = self.shard.poll_output() {
            let Output::Write { bytes, .. } = output else { panic!("{output:?}") };
            let taken = bytes.len();
            self.shard.handle_wrote(Wrote::Bytes(taken));
            writes += 1;
        }
        writes
    }

    /// Time passes, turn by turn, a millisecond each.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now.tick.0 += 1;
            self.now.micros += 1000;
            self.now.unix.0 += 1;
            self.shard.handle_clock(self.now);
            self.shard.handle_timeout();
            self.write();
        }
    }
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: geo.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

fn post(target: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: geo.example\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn upgrade(target: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: geo.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

const BODY: &str = "{\"member\":\"alice\",\"x\":1,\"y\":2}";

/// What a hundred turns ask of the heap in which `turn` does the same again, once the server is warm: queues have
/// been pooled, and the ring of the group is full.
fn measure_warm(bench: &mut Bench, mut turn: impl FnMut(&mut Bench)) -> AllocationInfo {
    for _ in 0..300 {
        turn(bench);
    }
    measure(|| {
        for _ in 0..100 {
            turn(bench);
        }
    })
}

#[test]
fn keep_alive_short_poll_allocates_nothing() {
    let mut bench = Bench::new(16);
    let conn = bench.connect(&post("/location/share/3", BODY));
    let request = get("/location/cur/3");
    let info = measure_warm(&mut bench, |bench| assert_eq!(bench.say(conn, &request), 1));
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn health_probe_allocates_nothing() {
    let mut bench = Bench::new(16);
    let conn = bench.connect(&get("/healthz"));
    let request = get("/healthz");
    let info = measure_warm(&mut bench, |bench| assert_eq!(bench.say(conn, &request), 1));
    assert_eq!(info.count_total, 0, "{info:?}");
}

/// What a publish over an open WebSocket allocates that so many others hear.
fn allocations_of_a_publish(subscribers: usize) -> AllocationInfo {
    let mut bench = Bench::new(subscribers + 1);
    for _ in 0..subscribers {
        bench.connect(&upgrade("/ws/3"));
    }
    let publisher = bench.connect(&upgrade("/ws/3"));
    let mut message = Vec::new();
    frame::encode_masked_frame(&mut message, Opcode::Text, BODY.as_bytes(), [1, 2, 3, 4]);
    measure_warm(&mut bench, |bench| assert_eq!(bench.say(publisher, &message), subscribers + 1))
}

#[test]
fn publish_allocates_the_same_however_many_hear_it() {
    // The member's name as it was read, and the update, which the ring, the members and all queues share.
    const ALLOCATIONS: u64 = 2;
    for subscribers in [0, 1, 1000] {
        let info = allocations_of_a_publish(subscribers);
        assert_eq!(info.count_total, 100 * ALLOCATIONS, "{subscribers} subscribers: {info:?}");
        assert_eq!(info.bytes_current, 0, "the ring gives up as much as it takes: {info:?}");
    }
}

/// What a waiting connection may hold on the heap besides its slot: 12 bytes in its group's list of waiters and 32 in
/// the timers' list, each up to twice, for lists double; and its share of the pooled queues.
const IDLE_BYTES_MAX: i64 = 2 * (12 + 32) + 24;

/// Each of some thousand connections that have said `hello` and wait holds [`IDLE_BYTES_MAX`] on the heap at most.
#[track_caller]
fn check_idle(hello: &[u8]) {
    // A few more than 4,096, so that lists have just doubled.
    const CONNECTIONS: usize = 4_100;
    let mut bench = Bench::new(CONNECTIONS + 1);
    bench.connect(hello);
    let info = measure(|| {
        for _ in 0..CONNECTIONS {
            bench.connect(hello);
        }
        bench.pass(12_000);
    });
    assert_eq!(bench.shard.connections(), CONNECTIONS + 1);
    let each = info.bytes_current / i64::try_from(CONNECTIONS).expect("it is small");
    println!("{each} bytes a connection");
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes: {info:?}");
}

#[test]
fn idle_websocket_owns_its_slot_and_next_to_nothing_else() {
    check_idle(&upgrade("/ws/3"));
}

#[test]
fn idle_event_stream_owns_its_slot_and_next_to_nothing_else() {
    check_idle(&get("/location/sse/3"));
}

#[test]
fn parked_poll_owns_its_slot_and_next_to_nothing_else() {
    check_idle(&get("/location/long/3?timeout=60000"));
}

#[test]
fn update_heard_in_order_allocates_nothing_in_the_load_tool() {
    let mut ledger = Ledger::new();
    let listeners: Vec<_> =
        (0..100).map(|user| ledger.listen(GroupId::new(3), Owed::FromNow, user)).collect();
    let body = |seq: u64| format!(r#"{{"seq":{seq},"x":{seq}.5,"y":2,"at":1767225600123}}"#);
    let mut hear = |listener, body: &String| {
        let verdict = ledger.hear(listener, body.as_bytes());
        assert!(matches!(verdict, Verdict::Good { .. }), "{body}: {verdict:?}");
    };
    let bodies: Vec<_> = (1..50).map(body).collect();
    // Whoever hears an update first writes it into the log, and one's own first update is looked for.
    bodies.iter().for_each(|body| hear(listeners[0], body));
    listeners[1..].iter().for_each(|listener| hear(*listener, &bodies[0]));
    let counted = measure(|| {
        for body in &bodies[1..] {
            listeners[1..].iter().for_each(|listener| hear(*listener, body));
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(ledger.is_settled());
}

const KEY: [u8; 24] = *b"dGhlIHNhbXBsZSBub25jZQ==";

/// A client that has heard `opening` asks the heap for nothing when it hears `item`, of which it is told once, again and
/// again.
#[track_caller]
fn check_heard(mut client: Client, opening: &[u8], item: &[u8]) {
    let (mut unsent, mut told) = (Vec::new(), 0);
    let mut hear = |bytes: &mut [u8]| {
        let heard = client.handle_received(bytes, [0; 4], &mut unsent, &mut |heard| {
            told += u64::from(matches!(heard, Heard::Update { .. } | Heard::Answer(_)));
        });
        assert_eq!(heard, Ok(()));
    };
    hear(&mut opening.to_vec());
    let mut buffer = item.repeat(10);
    hear(&mut buffer);
    let info = measure(|| (0..100).for_each(|_| hear(&mut buffer)));
    assert_eq!((told, info.count_total), (1010, 0), "{info:?}");
}

#[test]
fn update_that_a_client_hears_allocates_nothing() {
    let update = b"{\"seq\":17,\"member\":\"alice\",\"x\":1,\"y\":2,\"at\":1767225600000}";
    let seq = Seq::new(17).expect("it is small");
    let date = HttpDate::from_unix_seconds(1_767_225_600);
    let (mut answer, mut stream, mut event) = (Vec::new(), Vec::new(), Vec::new());
    response::begin(&mut answer, Status::Ok, &date).etag(seq).body("application/json", update);
    check_heard(Client::requests(), b"", &answer);
    response::begin(&mut stream, Status::Ok, &date).field("Content-Type", b"text/event-stream").finish();
    sse::encode_event(&mut event, Some(seq), update);
    check_heard(Client::event_stream(), &stream, &event);
    let (mut opening, mut text) = (Vec::new(), Vec::new());
    handshake::encode_switching(&mut opening, &KEY, None, &[]);
    frame::encode_frame(&mut text, Opcode::Text, update);
    check_heard(Client::websocket(KEY), &opening, &text);
    let (mut connected, mut message, mut framed) = (Vec::new(), Vec::new(), Vec::new());
    encode::encode_connected(&mut connected, Version::V12, "server", "session", (0, 0));
    frame::encode_frame(&mut opening, Opcode::Text, &connected);
    MessageHead { subscription: Some(b"s"), ordinal: 0, seq, ack: false }.encode(&mut message);
    encode::encode_message_tail(&mut message, GroupId::new(7).expect("a group"), update);
    frame::encode_frame(&mut framed, Opcode::Text, &message);
    check_heard(Client::stomp(KEY), &opening, &framed);
}
