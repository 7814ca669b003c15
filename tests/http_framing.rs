//! HTTP/1.1 connections: dribbled and pipelined requests, limits, deadlines. The rules of the RFCs are in tests of
//! their own, named after them.

mod harness;

use harness::Server;
use harness::http::{Wire, get, post};
use harness::rules::http::{chunked, posting};

/// Sends raw bytes and checks that they are one request, answered with this status, and that the next is read.
#[track_caller]
fn check_taken(request: &str, status: u16) {
    let server = Server::start(&["--workers", "1"]);
    let mut wire = Wire::connect(&server);
    wire.send(request);
    let answer = wire.answer();
    assert_eq!(answer.status, status, "{request:?}: {answer:?}");
    wire.expect_alive();
}

#[test]
fn request_that_comes_byte_by_byte_is_answered() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    let chunked = chunked("d\r\n{\"x\":1,\"y\":2}\r\n0\r\n\r\n");
    for request in [get("/healthz"), post("/location/share/3", r#"{"x":1,"y":2}"#), chunked] {
        for byte in request.bytes() {
            wire.send([byte]);
        }
        wire.answer().expect_status(200);
    }
}

// Pipelines and the life of a connection.

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(&["--workers", "2"]);
    let mut wire = Wire::connect(&server);
    let mut requests = String::new();
    for group in 0..8 {
        requests += &post(&format!("/location/share/{group}"), &format!(r#"{{"x":{group},"y":0}}"#));
        requests += &get(&format!("/location/cur/{group}"));
    }
    wire.send(requests);
    for group in 0..8 {
        let published = wire.answer().expect_status(200);
        assert_eq!(published.update().point().0, f64::from(group));
        assert_eq!(wire.answer().expect_status(200).text(), published.text());
    }
    wire.expect_alive();
}

#[test]
fn thousand_pipelined_requests_are_all_answered() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    wire.send(get("/location/cur/3").repeat(1000));
    for _ in 0..1000 {
        wire.answer().expect_status(200);
    }
    wire.expect_alive();
}

#[test]
fn end_of_input_still_gets_what_is_owed() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    wire.send(get("/healthz").repeat(3));
    wire.finish_sending();
    for _ in 0..3 {
        wire.answer().expect_status(200);
    }
    wire.expect_end();
}

// Limits.

#[track_caller]
fn check_limit(flags: &[&str], request: &str, status: u16, reason: &str) {
    let server = Server::start(flags);
    let mut wire = Wire::connect(&server);
    wire.send(request);
    wire.answer().expect_problem(status);
    wire.expect_end();
    assert_eq!(server.scrape().sum("geoloop_refused_total", &[("reason", reason)]), 1.0);
}

#[test]
fn what_is_past_a_limit_is_refused() {
    let body = |length: usize| " ".repeat(length);
    check_limit(&["--max-body-bytes", "64"], &post("/location/share/3", &body(65)), 413, "body_max");
    check_limit(&[], &post("/location/share/3", &body(16 * 1024 + 1)), 413, "body_max");
    let chunked = chunked(&format!("41\r\n{}\r\n0\r\n\r\n", body(65)));
    check_limit(&["--max-body-bytes", "64"], &chunked, 413, "body_max");
    let target = format!("/healthz?{}", "a".repeat(4088));
    check_limit(&[], &get(&target), 414, "target_max");
    let long = format!("X-Long: {}\r\n", "a".repeat(8 * 1024));
    check_limit(&[], &posting(&long, ""), 431, "head_max");
    check_limit(&[], &posting(&"X: y\r\n".repeat(65), ""), 431, "head_max");
}

#[test]
fn what_is_at_a_limit_is_taken() {
    check_taken(&post("/location/share/3", &" ".repeat(16 * 1024)), 200);
    check_taken(&get(&format!("/healthz?{}", "a".repeat(4087))), 200);
    check_taken(&posting(&"X: y\r\n".repeat(63), ""), 200);
    let empty = "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: \r\n\r\n".len();
    let filled = "a".repeat(8 * 1024 - empty);
    check_taken(&format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: {filled}\r\n\r\n"), 200);
}

#[track_caller]
fn check_timeout(flags: &[&str], sent: &str, reason: &str) {
    let server = Server::start(flags);
    let mut wire = Wire::connect(&server);
    wire.send(sent);
    let rest = String::from_utf8(wire.rest()).expect("an answer or nothing");
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408 "), "{rest}");
    assert_eq!(server.scrape().sum("geoloop_refused_total", &[("reason", reason)]), 1.0);
}

#[test]
fn half_a_request_has_a_deadline() {
    check_timeout(&["--head-timeout", "200ms"], "GET /healthz HT", "head_timeout");
    check_timeout(&["--body-timeout", "200ms"], &posting("Content-Length: 5\r\n", "12"), "body_timeout");
}

#[test]
fn idle_connection_is_closed_without_a_word() {
    let server = Server::start(&["--idle-timeout", "300ms"]);
    let mut wire = Wire::connect(&server);
    wire.expect_alive();
    wire.expect_end();
}

#[test]
fn newcomer_past_the_connection_limit_is_told_so() {
    let server = Server::start(&["--max-connections", "4"]);
    let mut held: Vec<Wire> = (0..4).map(|_| Wire::connect(&server)).collect();
    for wire in &mut held {
        wire.expect_alive();
    }
    let mut newcomer = Wire::connect(&server);
    newcomer.send_get("/location/cur/3");
    let refusal = newcomer.answer();
    refusal.expect_problem(503);
    assert!(refusal.needed_header("Retry-After").parse::<u64>().is_ok(), "{refusal:?}");
    newcomer.expect_end();
    for target in ["/healthz", "/readyz", "/metrics"] {
        let mut prober = Wire::connect(&server);
        prober.send_get(target);
        prober.answer().expect_status(200);
    }
    held.pop();
    let freed = harness::wait_until(|| {
        let mut wire = Wire::connect(&server);
        wire.send_get("/location/cur/3");
        wire.answer().status == 200
    });
    assert!(freed, "a place that came free is given away again");
}
