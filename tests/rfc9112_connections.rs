//! RFC 9112, HTTP/1.1: what it asks of a server about incomplete messages, connections and attacks, sections 8 to 11.

mod harness;

use harness::Server;
use harness::http::{Wire, get, post};
use harness::rules::http::{chunked, closes, getting, goes_on, line, posting};
use harness::rules::{Bench, LOCATION};

// Section 8: "the recipient MUST consider the message to be incomplete and close the connection".
#[test]
fn section_8_half_a_request_is_not_executed() {
    let mut bench = Bench::start(&[]);
    let whole = [
        posting("Content-Length: 30\r\n", LOCATION),
        chunked("1e\r\n{\"member\":\"alice\",\"x\":1,\"y\":2}\r\n0\r\n\r\n"),
        posting("", ""),
    ];
    for request in &whole {
        for missing in 1..12 {
            let mut wire = Wire::connect(&bench.server);
            wire.send(&request[..request.len() - missing]);
            wire.finish_sending();
            let rest = String::from_utf8(wire.rest()).expect("an answer or nothing");
            assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 4"), "{missing} bytes less: {rest}");
        }
    }
    assert_eq!(bench.publishes(), 0);
}

#[test]
fn section_9_3_persistence() {
    let with = |connection: &str| getting(&format!("Connection: {connection}\r\n"));
    let old = |fields: &str| format!("GET /healthz HTTP/1.0\r\n{fields}\r\n");
    let kept = "Connection: keep-alive\r\n";
    let old_post = format!("POST /location/share/3 HTTP/1.0\r\n{kept}Content-Length: 30\r\n\r\n{LOCATION}");
    let last_post = posting("Connection: close\r\nContent-Length: 30\r\n", LOCATION);
    Bench::start(&[]).check(&[
        goes_on("9.3: 1.1 goes on by itself", getting(""), 200),
        goes_on("9.3: keep-alive changes nothing", with("keep-alive"), 200),
        closes("9.6: close", with("close"), 200),
        closes("9.6: in any case", with("CLOSE"), 200),
        closes("9.6: among others", with("x, close ,y"), 200),
        closes("9.6: among empty elements", with(", ,close,,"), 200),
        closes("9.6: over keep-alive", with("keep-alive, close"), 200),
        closes("9.6: on another line", with("keep-alive\r\nConnection: close"), 200),
        closes("9.6: the last publish is taken", last_post, 200),
        closes(
            "9.6: where nothing is found",
            line("GET /nowhere HTTP/1.1").replace("Host", "Connection: close\r\nHost"),
            404,
        ),
        goes_on("9.6: what only begins like close", with("closed"), 200),
        goes_on("9.6: what only ends like close", with("x-close"), 200),
        goes_on("9.6: close in another field", getting("Proxy-Connection: close\r\n"), 200),
        closes("9.3: 1.0 closes by itself", old(""), 200),
        goes_on("9.3: 1.0 goes on if it asks", old(kept), 200)
            .saying(|answer| assert!(answer.lists("Connection", "keep-alive"), "{answer:?}")),
        closes("9.3: 1.0 that asks for both", old("Connection: keep-alive, close\r\n"), 200),
        goes_on("9.3: a publish of 1.0", old_post, 200),
        closes("9.3: Keep-Alive is no Connection", old("Keep-Alive: timeout=5\r\n"), 200),
    ]);
}

// Section 9.3.2: "it MUST send the corresponding responses in the same order that the requests were received", whatever
// shard each is answered by; and what is refused does not overtake what came before it.
#[test]
fn section_9_3_2_answers_keep_the_order_of_requests() {
    let server = Server::start(&["--workers", "4"]);
    let mut wire = Wire::connect(&server);
    let mut requests = get("/location/long/0?timeout=50");
    for group in 0..8 {
        requests += &post(&format!("/location/share/{group}"), LOCATION);
        requests += &get(&format!("/location/group/{group}"));
        requests += &get("/nowhere");
    }
    requests += &get("/location/long/9?timeout=50");
    requests += &getting("X : y\r\n");
    requests += &post("/location/share/99", LOCATION);
    wire.send(requests);
    wire.answer().expect_status(204);
    for group in 0..8 {
        let published = wire.answer().expect_status(200).update();
        let snapshot = wire.answer().expect_status(200).json();
        assert_eq!((&snapshot["group"], &snapshot["seq"]), (&group.into(), &published.seq.into()));
        wire.answer().expect_problem(404);
    }
    wire.answer().expect_status(204);
    wire.answer().expect_problem(400);
    wire.expect_end();
    let behind = server.get("/location/group/99").json();
    assert_eq!(behind["members"], serde_json::json!([]), "nothing behind what was refused is executed");
}

// Section 9.6 again, where the answer comes from another shard than the one that reads.
#[test]
fn section_9_6_nothing_is_executed_behind_close_on_any_shard() {
    let server = Server::start(&["--workers", "4"]);
    for group in 0..8 {
        let mut wire = Wire::connect(&server);
        let last = post(&format!("/location/share/{group}"), LOCATION);
        let last = last.replace("Host", "Connection: close\r\nHost");
        wire.send(get("/location/cur/1") + &last + &post("/location/share/99", LOCATION));
        wire.answer().expect_status(200);
        assert_eq!(wire.answer().expect_status(200).update().point(), (1.0, 2.0));
        wire.expect_end();
    }
    assert_eq!(server.get("/location/group/99").json()["members"], serde_json::json!([]));
}

// Section 6.3, 8: an event stream ends with its connection, so no request can follow it.
#[test]
fn section_6_3_nothing_is_executed_behind_a_stream() {
    let mut bench = Bench::start(&[]);
    let mut wire = Wire::connect(&bench.server);
    wire.send(get("/location/sse/3") + &post("/location/share/3", LOCATION));
    let head = wire.head().expect_status(200);
    assert!(head.lists("Connection", "close"), "{head:?}");
    assert_eq!((head.header("Content-Length"), head.header("Transfer-Encoding")), (None, None), "{head:?}");
    wire.send(post("/location/share/3", LOCATION));
    bench.server.wait_until_parked("sse", 1);
    bench.server.publish(3, "bob", 1, 2);
    wire.take_past(b"\"member\":\"bob\"");
    assert_eq!(bench.publishes(), 1);
}

// Section 9.6: whoever closes its side may still read, and is answered all that it asked.
#[test]
fn section_9_6_half_closed_connection_is_answered_to_the_end() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    wire.send(get("/healthz").repeat(3));
    wire.finish_sending();
    for _ in 0..3 {
        wire.answer().expect_status(200);
    }
    wire.expect_end();
}

// Section 9.6: the answer is not lost to a reset though the peer is still sending.
#[test]
fn section_9_6_connection_closes_in_stages() {
    let bench = Bench::start(&["--max-body-bytes", "64"]);
    let mut wire = Wire::connect(&bench.server);
    wire.send(posting("Content-Length: 60000\r\n", &"x".repeat(30_000)));
    wire.answer().expect_problem(413);
    // The server has said all that it will, and still takes what comes.
    wire.expect_end();
    for _ in 0..10 {
        wire.send("x".repeat(3000));
    }
    wire.expect_end();
}

// Section 11.1: nothing of a request can end a line of its answer.
#[test]
fn section_11_1_answers_cannot_be_split() {
    let encoded = "%0d%0aX-Split:%20y%0d%0a%0d%0aHTTP/1.1%20200%20OK";
    let whole: fn(&harness::http::Answer) = |answer| {
        assert_eq!(answer.header("X-Split"), None, "{answer:?}");
        assert!(answer.headers.iter().all(|(_, value)| !value.contains("Split")), "{answer:?}");
    };
    Bench::start(&["--allow-origin", "*"]).check(&[
        goes_on("11.1: a path", line(&format!("GET /{encoded} HTTP/1.1")), 404).saying(whole),
        goes_on("11.1: a group", line("GET /cur/3%0d%0aX-Split:%20y HTTP/1.1"), 400).saying(whole),
        goes_on("11.1: a query", line(&format!("GET /healthz?x={encoded} HTTP/1.1")), 200).saying(whole),
        goes_on("11.1: a member", line(&format!("GET /ws/3?member={encoded} HTTP/1.1")), 400).saying(whole),
        goes_on("11.1: a cursor", line(&format!("GET /location/long/3?since={encoded} HTTP/1.1")), 400)
            .saying(whole),
        goes_on("11.1: an origin", getting(&format!("Origin: http://a{encoded}\r\n")), 200).saying(whole),
        goes_on("11.1: an entity tag", getting(&format!("If-None-Match: \"{encoded}\"\r\n")), 200)
            .saying(whole),
        goes_on("11.1: a method", line("X-Split|y /healthz HTTP/1.1"), 405).saying(whole),
    ]);
}

/// Requests that a reader in front could take for other requests than a careless one behind it.
#[test]
fn section_11_2_requests_cannot_be_smuggled() {
    let inner = post("/location/share/3", LOCATION);
    let te_cl = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let te = "Transfer-Encoding: chunked\r\n";
    let mut rows = vec![
        closes(
            "11.2: CL.TE",
            posting(&format!("Content-Length: 5\r\n{te}"), &format!("0\r\n\r\n{inner}")),
            400,
        ),
        closes("11.2: TE.CL", posting(&format!("{te}Content-Length: 4\r\n"), &te_cl), 400),
        closes(
            "11.2: CL.CL",
            posting(&format!("Content-Length: 0\r\nContent-Length: {}\r\n", inner.len()), &inner),
            400,
        ),
        closes("11.2: CL.0", posting(&format!("Content-Length: 0, {}\r\n", inner.len()), &inner), 400),
        closes("11.2: TE in 1.0", posting(te, &te_cl).replacen("1.1", "1.0", 1), 400),
        closes("11.2: a chunk whose end is missing", chunked(&format!("0\r\n{inner}")), 400),
        closes("11.2: a chunk that ends early", chunked(&format!("1\r\n[{inner}0\r\n\r\n")), 400),
        closes("11.2: an extension with LF", chunked(&format!("1;\nxx\r\n[\r\n0\r\n\r\n{inner}")), 400),
        closes("11.2: a request line in a field", getting(&format!("X: y\rZ: \r{inner}")), 400),
    ];
    for coding in [
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
        "Transfer-Encoding: x\r\nTransfer-Encoding: y\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding:\x0cchunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding\r\n: chunked\r\n",
        "Transfer-Encoding: chunked\0\r\n",
        "\0Transfer-Encoding: chunked\r\n",
    ] {
        rows.push(closes("11.2: TE.TE", posting(&format!("{coding}Content-Length: 4\r\n"), &te_cl), 400));
    }
    Bench::start(&[]).check(&rows);
}
