//! HTTP/1.1 as bytes (RFC 9112): what is refused, what is taken, and whether the connection goes on.

mod harness;

use harness::Server;
use harness::http::{Wire, get, post};

/// Sends raw bytes and checks that they are answered with one of these statuses, and that nothing behind them is
/// taken for a request: the connection ends.
#[track_caller]
fn check_refused(request: &str, statuses: &[u16]) {
    let server = Server::start(&["--workers", "1"]);
    let mut wire = Wire::connect(&server);
    wire.send(request.to_owned() + &post("/location/share/3", r#"{"member":"smuggled","x":1,"y":2}"#));
    let answer = wire.answer();
    assert!(statuses.contains(&answer.status), "{request:?}: {answer:?}");
    answer.expect_problem(answer.status);
    assert!(answer.lists("Connection", "close"), "{request:?}: {answer:?}");
    wire.expect_end();
    assert_eq!(server.scrape().sum("geoloop_publishes_total", &[]), 0.0, "{request:?}");
}

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

/// A POST whose header lines are the test's, before a body.
fn posting(headers: &str, body: &str) -> String {
    format!("POST /location/share/3 HTTP/1.1\r\nHost: geoloop\r\n{headers}\r\n{body}")
}

#[test]
fn two_framings_of_one_body_are_refused() {
    check_refused(&posting("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), &[400]);
    check_refused(&posting("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), &[400]);
    check_refused(&posting("Content-Length: 5\r\nContent-Length: 6\r\n", "12345"), &[400]);
    check_refused(&posting("Content-Length: 5, 6\r\n", "12345"), &[400]);
}

#[test]
fn content_length_that_is_no_number_is_refused() {
    for length in ["+5", "-5", "0x5", "5a", "5 5", "", "99999999999999999999999"] {
        check_refused(&posting(&format!("Content-Length: {length}\r\n"), "12345"), &[400, 413]);
    }
}

#[test]
fn unknown_transfer_codings_are_refused() {
    for coding in ["gzip, chunked", "chunked, gzip", "xchunked", "chunked, chunked", "identity", ""] {
        let request = posting(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n");
        check_refused(&request, &[400, 501]);
    }
    let old = "POST /location/share/3 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check_refused(old, &[400]);
}

#[test]
fn header_lines_that_others_read_otherwise_are_refused() {
    for line in [
        "Content-Length : 5",
        "Content-Length\t: 5",
        "X-Folded: a\r\n b",
        "X-Cr: a\rb",
        "X-Nul: a\0b",
        ": nameless",
        "X(Y): z",
        "no colon",
    ] {
        check_refused(&posting(&format!("{line}\r\n"), ""), &[400]);
    }
    check_refused("GET /healthz HTTP/1.1\r\n Host: geoloop\r\n\r\n", &[400]);
}

#[test]
fn request_line_that_is_none_is_refused() {
    for line in [
        "GET /healthz",
        "GET  /healthz HTTP/1.1",
        "GET /health z HTTP/1.1",
        "GET /healthz http/1.1",
        "GET /healthz HTTP/1.1 ",
        "G\0T /healthz HTTP/1.1",
        "/healthz HTTP/1.1",
    ] {
        check_refused(&format!("{line}\r\nHost: geoloop\r\n\r\n"), &[400, 505]);
    }
    check_refused("GET /healthz HTTP/2.0\r\nHost: geoloop\r\n\r\n", &[505]);
}

#[test]
fn exactly_one_host_is_needed() {
    check_refused("GET /healthz HTTP/1.1\r\n\r\n", &[400]);
    check_refused("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400]);
}

#[test]
fn chunks_that_are_none_are_refused() {
    for body in [
        "zz\r\n",
        "-1\r\n",
        "0x5\r\n12345\r\n0\r\n\r\n",
        "5\n12345\r\n0\r\n\r\n",
        "5\r\n123456\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n",
        " 5\r\n12345\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
    ] {
        check_refused(&posting("Transfer-Encoding: chunked\r\n", body), &[400, 413]);
    }
}

#[test]
fn bodies_are_consumed_whatever_the_answer() {
    let smuggled = "GET /nope HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = smuggled.len();
    let with_body =
        |line: &str| format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}");
    check_taken(&with_body("POST /nope"), 404);
    check_taken(&with_body("POST /healthz"), 405);
    check_taken(&with_body("GET /healthz"), 200);
    check_taken(&with_body("POST /location/share/x"), 400);
    check_taken(&with_body("POST /location/share/3"), 200);
}

#[test]
fn legal_framings_are_taken() {
    check_taken("\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200);
    check_taken("GET http://geoloop/healthz HTTP/1.1\r\nHost: geoloop\r\n\r\n", 200);
    check_taken("GET /healthz?x=1 HTTP/1.1\r\nHost:a\r\nX-Empty:\r\n\r\n", 200);
    check_taken("GET /healthz HTTP/1.1\r\nhOST:   a   \r\n\r\n", 200);
    check_taken(&posting("Content-Length: 0\r\n", ""), 200);
    check_taken(&posting("", ""), 200);
    check_taken(&posting("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"), 200);
    check_taken(&posting("Transfer-Encoding: chunked\r\n", "0\r\nX-Trailer: a\r\n\r\n"), 200);
}

#[test]
fn chunked_body_is_put_together() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    let body =
        "5;name=\"value\"\r\n{\"x\":\r\n1\r\n1\r\n006\r\n,\"y\":2\r\n1\r\n}\r\n0\r\nX-Trailer: a\r\n\r\n";
    wire.send(posting("Transfer-Encoding: chunked\r\n", body));
    assert_eq!(wire.answer().expect_status(200).update().point(), (1.0, 2.0));
    wire.expect_alive();
}

#[test]
fn request_that_comes_byte_by_byte_is_answered() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    let chunked = posting("Transfer-Encoding: chunked\r\n", "d\r\n{\"x\":1,\"y\":2}\r\n0\r\n\r\n");
    for request in [get("/healthz"), post("/location/share/3", r#"{"x":1,"y":2}"#), chunked] {
        for byte in request.bytes() {
            wire.send([byte]);
        }
        wire.answer().expect_status(200);
    }
}

#[test]
fn continue_is_said_before_the_body_comes() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    wire.send(posting("Content-Length: 13\r\nExpect: 100-continue\r\n", ""));
    wire.head().expect_status(100);
    wire.send(r#"{"x":1,"y":2}"#);
    assert_eq!(wire.answer().expect_status(200).update().point(), (1.0, 2.0));
    wire.expect_alive();
}

#[test]
fn body_that_would_be_too_large_is_refused_instead_of_asked_for() {
    let server = Server::start(&["--max-body-bytes", "64"]);
    let mut wire = Wire::connect(&server);
    wire.send(posting("Content-Length: 65\r\nExpect: 100-continue\r\n", ""));
    wire.answer().expect_problem(413);
    wire.expect_end();
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

#[test]
fn connection_close_is_heeded() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    wire.send(last.to_owned() + &post("/location/share/3", ""));
    let answer = wire.answer().expect_status(200);
    assert!(answer.lists("Connection", "close"), "{answer:?}");
    wire.expect_end();
    assert_eq!(server.scrape().sum("geoloop_publishes_total", &[]), 0.0);
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    wire.send("GET /location/cur/3 HTTP/1.0\r\n\r\n");
    let answer = wire.answer().expect_status(200);
    assert!(!answer.lists("Transfer-Encoding", "chunked"), "HTTP/1.0 knows no chunks: {answer:?}");
    assert_eq!(answer.update().seq, 0);
    wire.expect_end();
}

#[test]
fn http_1_0_may_ask_to_be_kept_alive() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    wire.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = wire.answer().expect_status(200);
    assert!(answer.lists("Connection", "keep-alive"), "{answer:?}");
    wire.expect_alive();
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
    let chunked = format!("41\r\n{}\r\n0\r\n\r\n", body(65));
    let chunked = posting("Transfer-Encoding: chunked\r\n", &chunked);
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
