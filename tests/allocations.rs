//! What the heap is asked for: nothing for a request that repeats, the same for one subscriber as for a thousand,
//! and next to nothing for a connection that only waits.
//!
//! A shard is driven in memory, so what is counted is the server alone. The counts are of this thread only.

use allocation_counter::{AllocationInfo, measure};
use geoloop::clock::{Now, Tick, UnixMs};
use geoloop::ids::{ConnId, ShardId};
use geoloop::limits::{Budget, Limits, Quota};
use geoloop::shard::{Output, Reading, Shard, ShardConfig, Standing, Wrote};
use geoloop::wire::websocket::frame::{self, Opcode};

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
