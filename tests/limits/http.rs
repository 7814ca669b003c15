//! What an HTTP request may be: heads, targets, bodies, and what they name.

use crate::harness::http::{Wire, get, post};
use crate::{Scene, publish_of};

/// What is at a limit is answered with this, and the connection goes on.
#[track_caller]
fn check_taken(flags: &[&str], request: &str, status: u16) {
    let mut scene = Scene::open(flags);
    let mut wire = Wire::connect(&scene.server);
    wire.send(request);
    wire.answer().expect_status(status);
    wire.expect_alive();
    scene.check(&[]);
}

/// What is past a limit is told so in a problem that says `rule`, and the connection closes, for nobody can say where the
/// next request would begin.
#[track_caller]
fn check_closed(flags: &[&str], request: &str, status: u16, reason: &str, rule: &str) {
    let mut scene = Scene::open(flags);
    let mut wire = Wire::connect(&scene.server);
    wire.send(request);
    let answer = wire.answer();
    let detail = answer.expect_problem(status);
    assert!(detail.contains(rule), "{detail:?} does not say {rule:?}");
    assert!(answer.lists("Connection", "close"), "{answer:?}");
    wire.expect_end();
    scene.check(&[(reason, 1)]);
}

/// What names something out of range is told so in a problem that says `rule`; the connection goes on.
#[track_caller]
fn check_told(request: &str, reason: &str, rule: &str) {
    let mut scene = Scene::open(&[]);
    let mut wire = Wire::connect(&scene.server);
    wire.send(request);
    let detail = wire.answer().expect_problem(400);
    assert!(detail.contains(rule), "{detail:?} does not say {rule:?}");
    wire.expect_alive();
    scene.check(&[(reason, 1)]);
}

/// A GET whose head is so many bytes long.
fn head_of(bytes: usize) -> String {
    let empty = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(bytes - empty))
}

/// A GET whose target is so many bytes long.
fn target_of(bytes: usize) -> String {
    get(&format!("/healthz?{}", "a".repeat(bytes - "/healthz?".len())))
}

/// A GET with so many header lines.
fn lines_of(count: usize) -> String {
    format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1))
}

/// A POST whose body comes in chunks of this size.
fn chunked(body: &str, chunk: usize) -> String {
    let mut request =
        "POST /location/share/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for piece in body.as_bytes().chunks(chunk) {
        let text = std::str::from_utf8(piece).expect("publishes are ASCII here");
        request += &format!("{:x}\r\n{text}\r\n", piece.len());
    }
    request + "0\r\n\r\n"
}

#[test]
fn head_is_bounded_by_its_flag() {
    let flag = ["--max-head-bytes", "1000", "--max-target-bytes", "900"];
    check_taken(&flag, &head_of(1000), 200);
    check_closed(&flag, &head_of(1001), 431, "head_max", "1000 bytes");
    check_taken(&[], &head_of(8192), 200);
    check_closed(&[], &head_of(8193), 431, "head_max", "8192 bytes");
    check_taken(&["--max-head-bytes", "16KiB"], &head_of(16384), 200);
    check_closed(&["--max-head-bytes", "16KiB"], &head_of(16385), 431, "head_max", "16384 bytes");
}

#[test]
fn head_that_never_ends_is_refused_once_it_is_too_long() {
    let endless = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ".to_owned() + &"a".repeat(10_000);
    check_closed(&[], &endless, 431, "head_max", "8192 bytes");
}

#[test]
fn target_is_bounded_by_its_flag() {
    let flag = ["--max-target-bytes", "100"];
    check_taken(&flag, &target_of(100), 200);
    check_closed(&flag, &target_of(101), 414, "target_max", "100 bytes");
    check_taken(&[], &target_of(4096), 200);
    check_closed(&[], &target_of(4097), 414, "target_max", "4096 bytes");
}

#[test]
fn head_has_at_most_64_lines() {
    check_taken(&[], &lines_of(64), 200);
    check_closed(&[], &lines_of(65), 431, "head_max", "64 header lines");
}

#[test]
fn body_with_a_length_is_bounded_by_its_flag() {
    let flag = ["--max-body-bytes", "64"];
    check_taken(&flag, &post("/location/share/3", &publish_of(64)), 200);
    check_closed(&flag, &post("/location/share/3", &publish_of(65)), 413, "body_max", "64 bytes");
    check_taken(&[], &post("/location/share/3", &publish_of(16384)), 200);
    check_closed(&[], &post("/location/share/3", &publish_of(16385)), 413, "body_max", "16384 bytes");
}

#[test]
fn body_in_chunks_is_bounded_by_its_flag() {
    let flag = ["--max-body-bytes", "64"];
    for chunk in [1, 7, 64, 65] {
        check_taken(&flag, &chunked(&publish_of(64), chunk), 200);
        check_closed(&flag, &chunked(&publish_of(65), chunk), 413, "body_max", "64 bytes");
    }
    check_taken(&[], &chunked(&publish_of(16384), 5000), 200);
    check_closed(&[], &chunked(&publish_of(16385), 5000), 413, "body_max", "16384 bytes");
}

#[test]
fn body_past_the_limit_is_refused_before_it_comes() {
    let asking = |length| {
        format!(
            "POST /location/share/3 HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    check_closed(&[], &asking(16385), 413, "body_max", "16384 bytes");
    check_closed(&[], &asking(usize::MAX), 413, "body_max", "16384 bytes");
    let mut scene = Scene::open(&[]);
    let mut wire = Wire::connect(&scene.server);
    wire.send(asking(16384));
    wire.answer().expect_status(100);
    wire.send(publish_of(16384));
    wire.answer().expect_status(200);
    scene.check(&[]);
}

#[test]
fn poll_may_park_for_60000_ms() {
    let mut scene = Scene::open(&[]);
    let mut wire = Wire::connect(&scene.server);
    wire.send_get("/location/long/3?timeout=60000");
    scene.server.wait_until_parked("long_poll", 1);
    let published = scene.server.publish(3, "alice", 1, 2);
    assert_eq!(wire.answer().expect_status(200).update(), published);
    scene.check(&[]);
    check_told(&get("/location/long/3?timeout=60001"), "bad_request", "60000 ms");
}

#[test]
fn group_is_at_most_the_largest_of_63_bits() {
    const LAST: &str = "9223372036854775807";
    const PAST: &str = "9223372036854775808";
    for target in ["/location/cur/", "/location/group/", "/location/share/"] {
        let request = |group: &str| match target {
            "/location/share/" => post(&format!("{target}{group}"), &publish_of(0)),
            _ => get(&format!("{target}{group}")),
        };
        check_taken(&[], &request(LAST), 200);
        check_told(&request(PAST), "bad_request", LAST);
    }
    check_taken(&[], &get(&format!("/location/long/{LAST}?timeout=0")), 204);
    for target in ["/location/long/", "/location/sse/", "/ws/"] {
        check_told(&get(&format!("{target}{PAST}")), "bad_request", LAST);
    }
    check_told(&post(&format!("/location/sse/share?group={PAST}"), ""), "bad_request", LAST);
}

#[test]
fn member_has_at_most_64_bytes() {
    // In two-byte letters: bytes are counted, not letters.
    let (longest, longer) = ("é".repeat(32), format!("{}a", "é".repeat(32)));
    let body = |member: &str| post("/location/share/3", &format!(r#"{{"member":"{member}","x":1,"y":2}}"#));
    check_taken(&[], &body(&longest), 200);
    check_told(&body(&longer), "bad_publish", "64 bytes");
    let poll = |member: &str| get(&format!("/location/long/3?timeout=0&member={member}"));
    check_taken(&[], &poll(&"a".repeat(64)), 204);
    check_told(&poll(&"a".repeat(65)), "bad_request", "64 bytes");
    check_told(&get(&format!("/location/sse/3?member={}", "a".repeat(65))), "bad_request", "64 bytes");
    check_told(&get(&format!("/ws/3?member={}", "a".repeat(65))), "bad_request", "64 bytes");
}
