//! What the load tool tells of the server's side, held against what was done to it, byte for byte where it can be.

mod harness;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use geoloop::load::process::find_listener;
use geoloop::load::server_side::{Sample, ServerProbe, ServerSide};
use harness::Server;
use harness::audience::{Audience, Publisher, Way};
use harness::http::Wire;
use harness::sse::EventStream;

fn probe(server: &Server) -> ServerProbe {
    ServerProbe::new(server.address(), Some(server.process_id()))
}

#[track_caller]
fn look(probe: &ServerProbe) -> Sample {
    probe.sample().expect("the server runs and answers")
}

#[test]
fn nothing_done_is_nothing_counted() {
    let server = Server::start(&[]);
    let probe = probe(&server);
    let before = look(&probe);
    let after = look(&probe);
    let side = ServerSide::between(&before, &after);
    let counts = side.counts.expect("the server has /metrics");
    assert_eq!(side.counts_missing, None);
    assert_eq!((counts.wire_received.total(), counts.wire_sent.total()), (0, 0), "{counts:?}");
    assert_eq!((counts.requests.total(), counts.connections.total()), (0, 0), "{counts:?}");
    assert_eq!((counts.publishes.total(), counts.refused.total()), (0, 0), "{counts:?}");
    assert_eq!(after.connections_open.expect("the server has /metrics").of("sse"), 0);
    server.stop();
}

#[test]
fn publishes_and_bytes_are_those_that_there_were() {
    let server = Server::start(&[]);
    let probe = probe(&server);
    let mut stream = EventStream::open(&server, "/location/sse/3");
    server.wait_until_parked("sse", 1);
    let mut wire = Wire::connect(&server);
    let before = look(&probe);
    let (mut sent, mut payload) = (0, 0);
    for x in 0..10 {
        let body = format!(r#"{{"member":"alice","x":{x},"y":1}}"#);
        let request = harness::http::post("/location/share/3", &body);
        sent += request.len() as u64;
        wire.send(request);
        let published = wire.answer().expect_status(200).update();
        assert_eq!(stream.update(), published);
        payload += published.text.len() as u64;
    }
    let after = look(&probe);
    let side = ServerSide::between(&before, &after);
    let counts = side.counts.expect("the server has /metrics");
    assert_eq!((counts.publishes.of("http"), counts.publishes.total()), (10, 10));
    assert_eq!((counts.updates_delivered.of("sse"), counts.updates_delivered.total()), (10, 10));
    assert_eq!((counts.wire_received.of("http"), counts.wire_received.total()), (sent, sent));
    assert_eq!((counts.payload_sent.of("sse"), counts.payload_sent.of("websocket")), (payload, 0));
    assert_eq!(counts.payload_sent.of("http"), payload, "each publish is answered with its update");
    assert!(counts.wire_sent.of("sse") > payload, "{counts:?}");
    assert_eq!((counts.requests.of("2xx"), counts.requests.total()), (10, 10));
    assert_eq!(counts.connections.total(), 0, "both were there before");
    assert_eq!(counts.staleness["sse"].count, 10);
    assert_eq!(after.connections_open.expect("the server has /metrics").of("sse"), 1);
    server.stop();
}

#[test]
fn each_transport_has_its_own_deliveries() {
    let server = Server::start(&["--workers", "1"]);
    let probe = probe(&server);
    let mut audience = Audience::gather(&server, 3);
    let mut publisher = Publisher::open(&server, Way::WebSocket, 3);
    let before = look(&probe);
    for x in 0..10 {
        publisher.publish("alice", x);
    }
    assert_eq!(audience.hear(&server, 10).len(), 10);
    let counts = ServerSide::between(&before, &look(&probe)).counts.expect("the server has /metrics");
    assert_eq!((counts.publishes.of("websocket"), counts.publishes.total()), (10, 10));
    for transport in ["sse", "stomp"] {
        assert_eq!(counts.updates_delivered.of(transport), 10, "{transport}");
        assert!(counts.wire_sent.of(transport) > counts.payload_sent.of(transport), "{transport}");
        assert_eq!(counts.staleness[transport].count, 10, "{transport}");
    }
    assert!(counts.updates_delivered.of("websocket") >= 10);
    assert!(counts.syscalls.of("write") > 10 && counts.syscalls.total() > 30, "{:?}", counts.syscalls);
    server.stop();
}

#[test]
fn refusals_are_told_by_reason() {
    let server = Server::start(&[]);
    let probe = probe(&server);
    let before = look(&probe);
    server.get("/nowhere").expect_status(404);
    server.post("/location/share/3", "{").expect_status(400);
    let counts = ServerSide::between(&before, &look(&probe)).counts.expect("the server has /metrics");
    assert_eq!(counts.refused.iter().collect::<Vec<_>>(), [("bad_publish", 1), ("not_found", 1)]);
    assert_eq!(counts.requests.of("4xx"), 2);
    server.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn work_costs_cpu_and_memory_is_told() {
    let server = Server::start(&[]);
    let probe = probe(&server);
    let before = look(&probe);
    let mut wire = Wire::connect(&server);
    for _ in 0..200 {
        wire.send_get("/location/cur/3");
        wire.answer().expect_status(200);
    }
    let mut side = ServerSide::between(&before, &look(&probe));
    // 200 answers take a millisecond at the least and the scheduler counts nanoseconds.
    assert!(side.cpu_seconds.expect("a process of ours") > 0.0005, "{side:?}");
    let (before, after) = (side.resident_bytes_before, side.resident_bytes_after);
    assert!(before > Some(500_000) && after >= before, "{side:?}");
    assert!(side.resident_bytes_peak >= after, "{side:?}");
    side.note_resident(Some(1 << 40));
    side.note_resident(probe.resident_bytes());
    assert_eq!(side.resident_bytes_peak, Some(1 << 40));
    server.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn server_is_found_by_its_address() {
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        let server = Server::start(&["--listen", listen, "--workers", "2"]);
        assert_eq!(find_listener(server.address()), Some(server.process_id()), "{listen}");
        let (address, pid) = (server.address(), server.process_id());
        server.stop();
        assert_ne!(find_listener(address), Some(pid), "{listen}: it has gone");
    }
}

#[test]
fn server_without_a_process_to_look_at_tells_what_it_scrapes() {
    let server = Server::start(&[]);
    let probe = ServerProbe::new(server.address(), None);
    let side = ServerSide::between(&look(&probe), &look(&probe));
    assert!(side.counts.is_some() && probe.resident_bytes().is_none());
    assert_eq!(side.cpu_seconds.is_some(), cfg!(target_os = "linux"));
    assert_eq!(side.resident_bytes_after.is_some(), cfg!(target_os = "linux"));
    server.stop();
    let error = probe.sample().expect_err("nobody is there any more");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
#[cfg(target_os = "linux")]
fn process_that_has_gone_is_an_error() {
    let server = Server::start(&[]);
    let probe = probe(&server);
    server.stop();
    let error = probe.sample().expect_err("nobody is there any more");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

/// Answers one connection with these bytes, once it was asked something, and ends it.
fn answer_once(listener: &TcpListener, answer: &str) {
    let (mut stream, _) = listener.accept().expect("somebody connects");
    let mut request = [0; 4096];
    assert!(stream.read(&mut request).expect("it asks") > 0);
    stream.write_all(answer.as_bytes()).expect("it listens");
}

#[test]
#[cfg(target_os = "linux")]
fn server_of_another_kind_shows_cpu_and_memory() {
    // This process plays one.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let own = std::process::id();
    assert_eq!(find_listener(address), Some(own));
    let answers = [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "/metrics is answered with 404"),
        ("HTTP/1.1 200 OK\r\n\r\njvm_threads 7\n", "/metrics holds no series of geoloop"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ngeo",
            "/metrics: the connection ended in the middle of an item",
        ),
        ("", "/metrics: no answer"),
    ];
    for (answer, why) in answers {
        let sample = thread::scope(|scope| {
            scope.spawn(|| answer_once(&listener, answer));
            look(&ServerProbe::new(address, Some(own)))
        });
        let side = ServerSide::between(&Sample::default(), &sample);
        assert_eq!((side.counts, side.counts_missing.as_deref()), (None, Some(why)));
        let side = ServerSide::between(&sample, &sample);
        assert_eq!((side.cpu_seconds, side.counts_missing.as_deref()), (Some(0.0), Some(why)));
        assert!(side.resident_bytes_peak > Some(500_000), "{side:?}");
    }
}
