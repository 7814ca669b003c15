//! How long a connection may take, by its flags: half a head, half a body, silence.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::http::{Wire, get};
use crate::harness::stomp;
use crate::harness::websocket::{Socket, TEXT, TEXT_BEGINS, frame, upgrade};
use crate::harness::{PATIENCE, Server, wait_until};
use crate::{ELSEWHERE, Scene, publish_of};

/// Long enough that something that comes at once comes before, short enough to wait for.
const SHORT: &str = "1s";

/// What is half said is told so when its time is up, and closed.
#[track_caller]
fn check_times_out(flag: &str, sent: &str, reason: &str) {
    let mut scene = Scene::open(&[flag, SHORT]);
    let mut wire = Wire::connect(&scene.server);
    wire.expect_alive();
    wire.send(sent);
    let detail = wire.answer().expect_problem(408);
    assert!(detail.contains(flag), "{detail:?} does not name {flag}");
    wire.expect_end();
    scene.check(&[(reason, 1)]);
}

const HALF_A_HEAD: &str = "GET /healthz HT";
const HALF_A_BODY: &str = "POST /location/share/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{\"x\"";
const HALF_A_CHUNK: &str =
    "POST /location/share/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"x";

#[test]
fn half_a_head_is_given_its_time() {
    check_times_out("--head-timeout", HALF_A_HEAD, "head_timeout");
}

#[test]
fn half_a_body_is_given_its_time() {
    check_times_out("--body-timeout", HALF_A_BODY, "body_timeout");
    check_times_out("--body-timeout", HALF_A_CHUNK, "body_timeout");
}

/// Writes one byte of `bytes` after the other, each once the server was silent for a while, until something comes; how
/// many were written.
#[track_caller]
fn dribble(stream: &TcpStream, bytes: impl Iterator<Item = u8>) -> usize {
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a deadline above zero");
    let (mut stream, mut written) = (stream, 0);
    for byte in bytes {
        stream.write_all(&[byte]).expect("the server takes a byte");
        written += 1;
        match stream.peek(&mut [0]) {
            Ok(_) => break,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error} after {written} bytes"),
        }
    }
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline above zero");
    written
}

#[test]
fn dribbling_does_not_make_the_time_longer() {
    for (flag, before, reason) in [
        ("--head-timeout", "GET /healthz HTTP/1.1\r\nX: ", "head_timeout"),
        ("--body-timeout", &HALF_A_BODY.replace("10", "16000"), "body_timeout"),
    ] {
        let mut scene = Scene::open(&[flag, SHORT]);
        let mut wire = Wire::connect(&scene.server);
        wire.send(before);
        let written = dribble(wire.stream(), std::iter::repeat_n(b' ', 10_000));
        assert!(written < 10_000, "{flag}: whoever goes on for minutes is not waited for");
        wire.answer().expect_problem(408);
        scene.check(&[(reason, 1)]);
    }
}

#[test]
fn times_of_a_connection_begin_anew_with_each_request() {
    // Each head takes its time, all of them together take longer than one may.
    let mut scene = Scene::open(&["--head-timeout", "2s"]);
    let mut wire = Wire::connect(&scene.server);
    let head = get("/healthz");
    let (slowly, at_once) = head.split_at(8);
    for _ in 0..16 {
        let written = dribble(wire.stream(), slowly.bytes());
        assert_eq!(written, slowly.len(), "nothing comes before the head is whole");
        wire.send(at_once);
        wire.answer().expect_status(200);
    }
    scene.check(&[]);
}

#[test]
fn newcomer_that_says_nothing_is_closed_without_a_word() {
    let mut scene = Scene::open(&["--head-timeout", SHORT]);
    Wire::connect(&scene.server).expect_end();
    scene.check(&[]);
}

#[test]
fn keep_alive_connection_is_closed_after_its_silence() {
    let mut scene = Scene::open(&["--idle-timeout", "2s"]);
    let mut idle = Wire::connect(&scene.server);
    idle.expect_alive();
    let mut busy = Wire::connect(&scene.server);
    let mut asleep = || {
        busy.expect_alive();
        has_ended(idle.stream())
    };
    assert!(wait_until(&mut asleep), "the silent one is closed, the one that goes on asking is not");
    busy.expect_alive();
    idle.expect_end();
    // Whoever is parked is not idle.
    let mut parked = Wire::connect(&scene.server);
    parked.send_get("/location/long/3?timeout=2500");
    parked.answer().expect_status(204);
    scene.check(&[]);
}

/// Whether the server has ended the connection, as far as can be told without waiting.
#[track_caller]
fn has_ended(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a TCP socket");
    let ended = match stream.peek(&mut [0]) {
        Ok(0) => true,
        Ok(_) => panic!("something came"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    };
    stream.set_nonblocking(false).expect("a TCP socket");
    ended
}

/// A WebSocket whose client answers no ping.
#[track_caller]
fn deaf(server: &Server, bytes: &[u8]) -> Wire {
    let mut wire = Wire::connect(server);
    wire.send(upgrade("/ws/3?member=deaf"));
    wire.head().expect_status(101);
    wire.send(bytes);
    wire
}

#[test]
fn silent_peer_is_closed_and_a_live_one_kept_by_its_pongs() {
    let mut scene = Scene::open(&["--peer-timeout", "2s"]);
    let mut live = Socket::open(&scene.server, "/ws/3");
    let mut silent = deaf(&scene.server, b"");
    // Half a message is a sign of life once, not for ever.
    let mut halfway = deaf(&scene.server, &frame(TEXT_BEGINS, b"{"));
    let mut silent_stomp = Wire::connect(&scene.server);
    silent_stomp.send(upgrade("/location"));
    silent_stomp.head().expect_status(101);
    let connect = stomp::frame("CONNECT", &[("accept-version", "1.2"), ("host", "a")], "");
    silent_stomp.send(frame(TEXT, connect.as_bytes()));
    scene.server.wait_until_connected("stomp", 1);
    // The live ones do nothing but read, by which tungstenite answers pings.
    std::thread::scope(|scope| {
        let (server, live) = (&scene.server, &mut live);
        let bystander = &mut scene.bystander;
        let reader = scope.spawn(move || {
            let goodbye = live.update();
            (live, goodbye)
        });
        scope.spawn(move || bystander.update());
        for peer in [&mut silent, &mut halfway, &mut silent_stomp] {
            peer.rest();
        }
        let published = server.publish(3, "alice", 1, 2);
        server.publish(ELSEWHERE, "zoe", 1, 2);
        let (live, heard) = reader.join().expect("the live one hears");
        assert_eq!(heard, published);
        live.send(&publish_of(0));
        assert_eq!(live.update().point(), (1.0, 2.0));
    });
    scene.server.wait_until_connected("stomp", 0);
    scene.check(&[("peer_timeout", 3)]);
}

#[test]
fn silent_member_leaves_with_its_connection() {
    let mut scene = Scene::open(&["--peer-timeout", "2s"]);
    let mut watcher = Socket::open(&scene.server, "/ws/3");
    let mut silent = deaf(&scene.server, &frame(TEXT, br#"{"x":1,"y":2}"#));
    std::thread::scope(|scope| {
        let bystander = &mut scene.bystander;
        let server = &scene.server;
        scope.spawn(move || bystander.update());
        assert_eq!(watcher.update().member.as_deref(), Some("deaf"));
        assert!(watcher.update().is_leave_of("deaf"));
        server.publish(ELSEWHERE, "zoe", 1, 2);
    });
    silent.rest();
    scene.check(&[("peer_timeout", 1)]);
}

#[test]
fn closing_connection_is_forgotten_after_a_second_though_its_peer_stays() {
    let mut scene = Scene::open(&[]);
    let mut wire = Wire::connect(&scene.server);
    wire.send("BOGUS\r\n\r\n");
    wire.answer().expect_problem(400);
    wire.expect_end();
    // Those who are left are the bystander and the one that asks.
    scene.server.wait_for_gauge("geoloop_connections", &[], 2);
    scene.check(&[("bad_request", 1)]);
    // Only now has the peer closed its side too.
    drop(wire);
}

#[test]
fn closing_connection_that_goes_on_sending_is_cut() {
    let mut scene = Scene::open(&["--max-body-bytes", "64"]);
    let mut wire = Wire::connect(&scene.server);
    wire.send("POST /location/share/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    // What was on its way already does not reset the connection over the answer.
    wire.send([b' '; 32 * 1024]);
    wire.answer().expect_problem(413);
    wire.expect_end();
    let mut stream = wire.stream();
    let written = (0..10_000).take_while(|_| stream.write_all(&[b' '; 16 * 1024]).is_ok()).count();
    assert!(written < 10_000, "it is read no further than 64 KiB and no longer than a second");
    scene.check(&[("body_max", 1)]);
}
