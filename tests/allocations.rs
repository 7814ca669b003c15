//! What the heap is asked for: nothing for a request that repeats, the same for one subscriber as for a thousand,
//! and next to nothing for a connection that only waits.
//!
//! Neither does the load tool's client ask for anything for an update that it hears.
//!
//! A shard is driven in memory, so what is counted is the server alone. The counts are of this thread only.

#[path = "../benches/in_memory/mod.rs"]
mod in_memory;

use allocation_counter::{AllocationInfo, measure};
use geoloop::ids::{GroupId, Seq, Transport};
use geoloop::load::client::{Client, Heard};
use geoloop::load::ledger::{Ledger, Owed, Verdict};
use geoloop::wire::http::response::{self, HttpDate, Status};
use geoloop::wire::sse;
use geoloop::wire::stomp::Version;
use geoloop::wire::stomp::encode::{self, MessageHead};
use geoloop::wire::websocket::frame::{self, Opcode};
use geoloop::wire::websocket::handshake;

use crate::in_memory::Server;
use crate::in_memory::operation::{Operation, Scene};
use crate::in_memory::words::{BODY, get, text, upgrade};

/// What an operation asks of the heap, every time the same; whatever it takes it gives back in the end.
#[track_caller]
fn allocations(operation: Operation) -> u64 {
    let mut scene = Scene::warm(operation);
    let mut counted = None;
    for _ in 0..100 {
        let info = measure(|| scene.run());
        assert_eq!(*counted.get_or_insert(info.count_total), info.count_total, "{operation:?}: {info:?}");
        // A list that many leave at once may let go of room that was taken before.
        assert!(info.bytes_current <= 0, "{operation:?}: {info:?}");
        scene.end();
        scene.begin();
    }
    counted.unwrap_or_default()
}

#[track_caller]
fn check(operation: Operation, expected: u64) {
    assert_eq!(allocations(operation), expected, "{operation:?}");
}

#[test]
fn poll_that_parks_and_poll_that_is_answered_allocate_nothing() {
    check(Operation::ShortPoll, 0);
    check(Operation::ShortPollAnew, 0);
    check(Operation::Park, 0);
    check(Operation::NotModified, 0);
}

#[test]
fn delivery_allocates_nothing_on_any_transport() {
    for transport in [Transport::LongPoll, Transport::Sse, Transport::WebSocket, Transport::Stomp] {
        check(Operation::Deliver(transport), 0);
    }
    check(Operation::DeliverOwnId, 0);
    // Its id, and what is on its way in a write.
    check(Operation::DeliverAcknowledged, 2);
    check(Operation::Acknowledge, 0);
}

#[test]
fn publish_allocates_its_member_and_its_update_on_any_transport() {
    for transport in [Transport::Http, Transport::WebSocket, Transport::Stomp] {
        check(Operation::Publish(transport), 2);
    }
}

#[test]
fn connection_that_comes_and_goes_allocates_nothing_but_for_what_stomp_reads() {
    for transport in [Transport::ShortPoll, Transport::LongPoll, Transport::Sse, Transport::WebSocket] {
        check(Operation::Connect(transport), 0);
    }
    check(Operation::Connect(Transport::Stomp), 4);
}

#[test]
fn readme_tells_what_each_operation_allocates() {
    let (_, section) = include_str!("../README.md").split_once("\n## Performance\n").expect("a section");
    let section = section.split("\n## ").next().expect("split gives one part at least");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let told = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_end_matches('`')).collect();
        (cells[0].to_owned(), cells[2].parse().expect("a number of allocations"))
    });
    let counted = Operation::ALL.map(|operation| (operation.name(), allocations(operation)));
    assert_eq!(told.collect::<Vec<_>>(), counted, "README's table (left) and what is counted (right)");
}

#[test]
fn instructions_of_each_operation_are_counted() {
    for operation in Operation::ALL {
        let made = format!("{operation:?}").replace('(', "(Transport::");
        let line = format!("#[bench::{}(Scene::warm(Operation::{made}))]", operation.name());
        assert!(
            include_str!("../benches/instructions.rs").contains(&line),
            "benches/instructions.rs: {line}"
        );
    }
}

/// What a hundred turns ask of the heap in which `turn` does the same again, once the server is warm: queues have
/// been pooled, and the ring of the group is full.
fn measure_warm(server: &mut Server, mut turn: impl FnMut(&mut Server)) -> AllocationInfo {
    for _ in 0..300 {
        turn(server);
    }
    measure(|| {
        for _ in 0..100 {
            turn(server);
        }
    })
}

#[test]
fn health_probe_allocates_nothing() {
    let mut server = Server::new(16);
    let conn = server.connect(&get("/healthz"));
    let request = get("/healthz");
    let info = measure_warm(&mut server, |server| assert_eq!(server.say(conn, &request), 1));
    assert_eq!(info.count_total, 0, "{info:?}");
}

/// What a publish over an open WebSocket allocates that so many others hear.
fn allocations_of_a_publish(subscribers: usize) -> AllocationInfo {
    let mut server = Server::new(subscribers + 1);
    for _ in 0..subscribers {
        server.connect(&upgrade("/ws/3"));
    }
    let publisher = server.connect(&upgrade("/ws/3"));
    let message = text(BODY.as_bytes());
    measure_warm(&mut server, |server| assert_eq!(server.say(publisher, &message), subscribers + 1))
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

/// What a waiting connection may hold on the heap besides its slot and its timer's, which are reserved: 12 bytes in its
/// group's list of waiters, up to twice, for lists double; and its share of the pooled queues.
const IDLE_BYTES_MAX: i64 = 2 * 12 + 24;

/// Each of some thousand connections that have said `hello` and wait holds [`IDLE_BYTES_MAX`] on the heap at most.
#[track_caller]
fn check_idle(hello: &[u8]) {
    // A few more than 4,096, so that lists have just doubled.
    const CONNECTIONS: usize = 4_100;
    let mut server = Server::new(CONNECTIONS + 1);
    server.connect(hello);
    let info = measure(|| {
        for _ in 0..CONNECTIONS {
            server.connect(hello);
        }
        server.pass(12_000);
    });
    assert_eq!(server.shard().connections(), CONNECTIONS + 1);
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

/// A STOMP client's hello: CONNECT with these heart-beats, and a SUBSCRIBE whose id is a UUID, as most libraries give it.
fn stomp_hello(heart_beat: &str) -> Vec<u8> {
    let frames = [
        format!("CONNECT\naccept-version:1.2\nhost:geo.example\nheart-beat:{heart_beat}\n\n\0"),
        "SUBSCRIBE\nid:0f8fad5b-d9cb-469f-a165-70867728950e\ndestination:/sub/location/3\n\n\0".to_owned(),
    ];
    let mut hello = upgrade("/location");
    for stomp in frames {
        frame::encode_masked_frame(&mut hello, Opcode::Text, stomp.as_bytes(), [1, 2, 3, 4]);
    }
    hello
}

#[test]
fn idle_stomp_connection_owns_its_slot_and_next_to_nothing_else() {
    check_idle(&stomp_hello("0,0"));
    // Promised both ways, and due behind the time that is looked at: so many beats at once would fill the pool of queues.
    check_idle(&stomp_hello("60000,60000"));
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
