//! RFC 9110, HTTP semantics: what it asks of an origin server, section by section.
//!
//! Framing is RFC 9112's. A `Date`, and no length on a 204, are looked for on every row.

mod harness;

use harness::http::{Answer, Wire};
use harness::rules::http::{closes, getting, goes_on, line, posting};
use harness::rules::{Bench, GROUP, LOCATION};
use harness::websocket::upgrade;

/// A request of the group's newest update with these header lines.
fn polling(method: &str, headers: &str) -> String {
    format!("{method} /location/cur/{GROUP} HTTP/1.1\r\nHost: geoloop\r\n{headers}\r\n")
}

fn allows_what_cur_takes(answer: &Answer) {
    assert_eq!(answer.header("Allow"), Some("GET, HEAD, POST, OPTIONS"), "{answer:?}");
}

#[test]
fn section_4_2_http_uris() {
    Bench::start(&[]).check(&[
        goes_on("4.2.3: the scheme's case does not count", line("GET HtTp://geoloop/healthz HTTP/1.1"), 200),
        goes_on("4.2.3: the path's does", line("GET /HEALTHZ HTTP/1.1"), 404),
        closes("4.2.1: no http URI without a host", line("GET http:///healthz HTTP/1.1"), 400),
        closes("4.2.2: no https URI without a host", line("GET https://?x HTTP/1.1"), 400),
        closes("4.2.4: user information is an error", line("GET http://a:b@geoloop/healthz HTTP/1.1"), 400),
        closes("4.2.4: in Host too", "GET /healthz HTTP/1.1\r\nHost: a@geoloop\r\n\r\n", 400),
    ]);
}

#[test]
fn section_5_fields() {
    let fields = |count: usize| getting(&"X: y\r\n".repeat(count));
    let long = |bytes: usize| {
        let head = getting("X: \r\n").len();
        getting(&format!("X: {}\r\n", "a".repeat(bytes - head)))
    };
    Bench::start(&[]).check(&[
        goes_on(
            "5.1: unknown fields are ignored",
            getting("X-Nobody-Knows: y\r\nX-Nobody-Knows: z\r\n"),
            200,
        ),
        goes_on("5.3: their order does not count", "GET /healthz HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n", 200),
        goes_on("5.4: 64 fields", fields(63), 200),
        closes("5.4: one more", fields(64), 431),
        goes_on("5.4: a head of 8192 bytes", long(8192), 200),
        closes("5.4: one byte more", long(8193), 431),
        closes("5.4: a field that never ends", "GET / HTTP/1.1\r\nX: ".to_owned() + &"a".repeat(9000), 431),
        closes("5.4: empty lines that never end", "\r\n".repeat(5000), 431),
        closes("5.5: blanks around a value are no part of it", getting("Connection:\t close \t \r\n"), 200),
        closes("5.6.1: empty elements of a list", getting("Connection: ,, ,close, ,\r\n"), 200),
        goes_on("5.6.1: nothing but those", getting("Connection: ,, ,\r\nConnection:\r\n"), 200),
        goes_on("5.6.1: a list over several lines", upgrade_in("Connection: x\r\nConnection: Upgrade"), 426),
        goes_on(
            "5.6.2: a token is not looked for inside another",
            getting("Connection: xclose, close-x\r\n"),
            200,
        ),
    ]);
}

/// A handshake of another version, which is told 426 where the upgrade itself was understood and 200 where not.
fn upgrade_in(connection: &str) -> String {
    upgrade("/ws/3").replace("Connection: Upgrade", connection).replace("Version: 13", "Version: 12")
}

// Section 5.3: "A server MUST NOT apply a request to the target resource until it receives the entire request header
// section".
#[test]
fn section_5_3_half_a_head_is_not_acted_on() {
    let mut bench = Bench::start(&[]);
    let mut wire = Wire::connect(&bench.server);
    let (half, rest) = ("POST /location/share/3 HTTP/1.1\r\nHost: geoloop\r\n", "\r\n");
    wire.send(half);
    // The server has seen it once it has answered somebody who came later.
    Wire::connect(&bench.server).expect_alive();
    assert_eq!(bench.publishes(), 0);
    wire.send(rest);
    wire.answer().expect_status(200);
    assert_eq!(bench.publishes(), 1);
}

#[test]
fn section_6_6_1_date_is_written_as_the_standard_has_it() {
    let bench = Bench::start(&[]);
    let date = bench.server.get("/healthz").needed_header("Date").to_owned();
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (day, rest) = shape.split_once(", ").expect("a weekday");
    assert!(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&day), "{date}");
    assert!(rest.starts_with("00 ") && rest.ends_with(" 0000 00:00:00 GMT") && rest.len() == 24, "{date}");
}

#[test]
fn section_7_8_upgrade() {
    let sample = upgrade("/ws/3");
    let is_426: fn(&Answer) = |answer| {
        assert!(answer.lists("Upgrade", "websocket"), "{answer:?}");
        assert!(answer.lists("Connection", "Upgrade"), "an Upgrade is named by Connection: {answer:?}");
        assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"), "{answer:?}");
    };
    let switches_nothing: fn(&Answer) = |answer| assert_eq!(answer.header("Upgrade"), None, "{answer:?}");
    let old = sample.replace("HTTP/1.1", "HTTP/1.0").replace("Connection: ", "Connection: keep-alive, ");
    Bench::start(&[]).check(&[
        goes_on("7.8: HTTP/1.0 cannot upgrade", old, 426).saying(is_426),
        closes("7.8: nor when it closes", sample.replace("HTTP/1.1", "HTTP/1.0"), 426).saying(is_426),
        goes_on("7.8: without its connection option", sample.replace("Connection: Upgrade\r\n", ""), 426)
            .saying(is_426),
        goes_on("7.8: with another one", sample.replace("Connection: Upgrade", "Connection: Upgrades"), 426),
        goes_on("7.8: the option alone", sample.replace("Upgrade: websocket\r\n", ""), 426).saying(is_426),
        goes_on("7.8: to another protocol", sample.replace("websocket\r\n", "h2c\r\n"), 426).saying(is_426),
        goes_on("7.8: may be ignored", sample.replace("/ws/3", "/healthz"), 200).saying(switches_nothing),
        goes_on(
            "7.8: to HTTP/2, ignored",
            getting("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n"),
            200,
        )
        .saying(switches_nothing),
        goes_on("7.8: HEAD changes no protocol", sample.replace("GET", "HEAD"), 426).saying(is_426),
        goes_on("7.8: POST neither", sample.replace("GET /ws/3", "POST /location/share/3"), 200),
    ]);
}

// Section 15.2.2 and 7.8: what a 101 has to say, and what it may not.
#[test]
fn section_7_8_switching_names_the_protocol_that_was_asked_for() {
    let bench = Bench::start(&[]);
    for asked in ["websocket", "WebSocket", "h2c, websocket", "h2c,,WEBSOCKET ,x"] {
        let mut wire = Wire::connect(&bench.server);
        wire.send(upgrade("/ws/3").replace("Upgrade: websocket", &format!("Upgrade: {asked}")));
        let head = wire.head().expect_status(101);
        assert_eq!(head.header("Upgrade"), Some("websocket"), "{head:?}");
        assert!(head.lists("Connection", "Upgrade"), "{head:?}");
        for forbidden in ["Content-Length", "Transfer-Encoding"] {
            assert_eq!(head.header(forbidden), None, "8.6 and RFC 9112, 6.1: {head:?}");
        }
    }
}

// Section 7.8: "the server MUST send a 100 (Continue) response before sending a 101".
#[test]
fn section_7_8_continue_is_said_before_switching() {
    let bench = Bench::start(&[]);
    let mut wire = Wire::connect(&bench.server);
    let expecting = "\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    wire.send(upgrade("/ws/3").replace("\r\n\r\n", expecting));
    wire.head().expect_status(100);
    wire.send("12345");
    wire.head().expect_status(101);
}

#[test]
fn section_9_methods() {
    let location = "/location/cur/3";
    let mut rows = Vec::new();
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "QUERY", "BREW", "get", "Post", "head", "G"]
    {
        let request = line(&format!("{method} {location} HTTP/1.1"));
        rows.push(
            goes_on("9.1, 15.5.6: a method that is not allowed", request, 405).saying(allows_what_cur_takes),
        );
    }
    rows.push(goes_on("9.3.8: TRACE reflects nothing", line("TRACE / HTTP/1.1"), 405));
    rows.push(goes_on("9.3.6: there are no tunnels", line("CONNECT geoloop:443 HTTP/1.1"), 404));
    for port in
        ["geoloop", "geoloop:", "geoloop:65536", "geoloop:-1", "geoloop:x", ":80", "http://geoloop:80"]
    {
        let request = line(&format!("CONNECT {port} HTTP/1.1"));
        rows.push(closes("9.3.6: CONNECT to no port", request, 400));
    }
    for target in ["*", location, "http://geoloop"] {
        let request = line(&format!("OPTIONS {target} HTTP/1.1"));
        rows.push(goes_on("9.3.7: OPTIONS", request, 204).saying(allows_what_cur_takes));
    }
    rows.push(goes_on("9.3.7: OPTIONS of nothing", line("OPTIONS /nowhere HTTP/1.1"), 404));
    rows.push(
        goes_on("9.3.7: OPTIONS of what is published to", line("OPTIONS /location/share/3 HTTP/1.1"), 204)
            .saying(|answer| assert_eq!(answer.header("Allow"), Some("POST, OPTIONS"))),
    );
    Bench::start(&[]).check(&rows);
}

// Section 9.3.2: "the server MUST NOT send content in the response"; what lies behind the head is the next answer.
#[test]
fn section_9_3_2_head_has_no_content() {
    let head = |target: &str| line(&format!("HEAD {target} HTTP/1.1"));
    let with = |headers: &str| getting(headers).replace("GET", "HEAD");
    Bench::start(&[]).check(&[
        goes_on("9.3.2: of an empty group", head("/location/cur/3"), 200),
        goes_on("9.3.2: of a snapshot", head("/location/group/3"), 200),
        goes_on("9.3.2: of what parks", head("/location/long/3"), 200),
        goes_on("9.3.2: of a stream", head("/location/sse/9"), 200),
        goes_on("9.3.2: of a GET that publishes", head("/location/sse/connect"), 200),
        goes_on("9.3.2: of the page", head("/"), 200),
        goes_on("9.3.2: of the metrics", head("/metrics"), 200),
        goes_on("9.3.2: of what is published to", head("/location/share/3"), 405),
        goes_on("9.3.2: of nothing", head("/nowhere"), 404),
        goes_on("9.3.2: of no group", head("/cur/x"), 400),
        goes_on("9.3.2: of a WebSocket", head("/ws/3"), 426),
        closes("9.3.2: without Host", "HEAD /healthz HTTP/1.1\r\n\r\n", 400),
        closes("9.3.2: with an unknown expectation", with("Expect: x\r\n"), 417),
        closes("9.3.2: with an unknown coding", with("Transfer-Encoding: x, chunked\r\n"), 501),
        closes("9.3.2: with a field that is none", with("X : y\r\n"), 400),
        closes("9.3.2: with too much", with(&"X: y\r\n".repeat(64)), 431),
        closes("9.3.2: with a body that is too long", with("Content-Length: 99999\r\n"), 413),
        closes("9.3.2: of another version", line("HEAD /healthz HTTP/2.0"), 505),
        closes("9.3.2: that closes", with("Connection: close\r\n"), 200),
    ]);
}

// Sections 8.6 and 9.3.2: a HEAD says what a GET would.
#[test]
fn section_9_3_2_head_says_what_get_would() {
    let bench = Bench::start(&[]);
    bench.server.publish(GROUP, "alice", 1, 2);
    for target in
        ["/location/cur/3", "/location/group/3", "/healthz", "/readyz", "/", "/nowhere", "/cur/x", "/ws/3"]
    {
        let told = |method: &str| {
            let mut wire = Wire::connect(&bench.server);
            wire.send(line(&format!("{method} {target} HTTP/1.1")));
            let head = wire.head();
            let headers = head.headers.into_iter().filter(|(name, _)| name != "Date");
            (head.status, headers.collect::<Vec<_>>())
        };
        assert_eq!(told("HEAD"), told("GET"), "{target}");
    }
}

#[test]
fn section_10_1_1_expect() {
    let length = "Content-Length: 30\r\n";
    let with = |expect: &str| posting(&format!("Expect: {expect}\r\n{length}"), LOCATION);
    let old = with("100-continue").replace("HTTP/1.1", "HTTP/1.0");
    Bench::start(&[]).check(&[
        goes_on("10.1.1: 100-continue, and the body at once", with("100-continue"), 200),
        goes_on("10.1.1: in any case", with("100-CONTINUE"), 200),
        goes_on("10.1.1: as a list", with(",100-continue, ,100-continue"), 200),
        goes_on(
            "10.1.1: without a body there is nothing to wait for",
            getting("Expect: 100-continue\r\n"),
            200,
        ),
        closes("10.1.1: HTTP/1.0 cannot wait", old, 200),
        closes("10.1.1: an expectation that nobody knows", with("200-ok"), 417),
        closes("10.1.1: besides the one that is known", with("100-continue, x"), 417),
        closes("10.1.1: on another line", with("100-continue\r\nExpect: x"), 417),
        closes("10.1.1: with a parameter", with("100-continue;q=1"), 417),
        closes("10.1.1: without a body too", getting("Expect: x\r\n"), 417),
    ]);
}

#[test]
fn section_10_1_1_continue_is_said_before_the_body_comes() {
    let bench = Bench::start(&["--max-body-bytes", "64"]);
    let expecting = |headers: &str| posting(&format!("Expect: 100-continue\r\n{headers}"), "");
    for (headers, body) in [
        ("Content-Length: 30\r\n", LOCATION.to_owned()),
        ("Transfer-Encoding: chunked\r\n", format!("1e\r\n{LOCATION}\r\n0\r\n\r\n")),
    ] {
        let mut wire = Wire::connect(&bench.server);
        wire.send(expecting(headers));
        let interim = wire.head().expect_status(100);
        assert!(interim.headers.is_empty(), "no length, no coding: {interim:?}");
        wire.send(body);
        assert_eq!(wire.answer().expect_status(200).update().member.as_deref(), Some("alice"));
        wire.expect_alive();
    }
    let refused = [
        (expecting("Content-Length: 65\r\n"), 413),
        (expecting("Content-Length: 5\r\n").replace("/share/3", "/share/x"), 400),
        (expecting("Content-Length: 5\r\n").replace("/location/", "/nowhere/"), 404),
        (expecting("Content-Length: 5\r\n").replace("POST", "PUT"), 405),
    ];
    for (request, status) in refused {
        let mut wire = Wire::connect(&bench.server);
        wire.send(request);
        wire.answer().expect_problem(status);
        wire.expect_end();
    }
}

#[test]
fn section_13_conditional_requests() {
    let bench = Bench::start(&[]);
    let seq = bench.server.publish(GROUP, "alice", 1, 2).seq.to_string();
    let says = |condition: &str, status: u16| {
        let condition = condition.replace("SEQ", &seq);
        for method in ["GET", "HEAD"] {
            let mut wire = Wire::connect(&bench.server);
            wire.send(polling(method, &condition) + &polling("GET", ""));
            let answer = if method == "HEAD" { wire.head() } else { wire.answer() };
            assert_eq!(answer.status, status, "{method} {condition}");
            for field in ["Date", "ETag", "Cache-Control"] {
                answer.needed_header(field);
            }
            if status == 304 {
                assert_eq!(answer.header("Content-Length"), None, "{answer:?}");
                assert_eq!(answer.header("Content-Type"), None, "15.4.5: {answer:?}");
            }
            wire.answer().expect_status(200);
        }
    };
    for condition in [
        "\"SEQ\"",
        "W/\"SEQ\"",
        "*",
        "\"1\", \"SEQ\"",
        "\"SEQ\",\"1\"",
        ", ,\"SEQ\",",
        "W/\"1\" ,\tW/\"SEQ\"",
        "\"a,b\", \"SEQ\"",
        "\"\", \"SEQ\"",
        "\"1\"\r\nIf-None-Match: \"SEQ\"",
        "\"SEQ\"\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
    ] {
        says(&format!("If-None-Match: {condition}\r\n"), 304);
    }
    for condition in [
        "\"1\"",
        "SEQ",
        "\"SEQ",
        "SEQ\"",
        "w/\"SEQ\"",
        "\"0SEQ\"",
        "\"SEQ \"",
        "\"*\"",
        "'SEQ'",
        "",
        "\"x, \"",
        "\"a\\\"SEQ\\\"\"",
    ] {
        says(&format!("If-None-Match: {condition}\r\n"), 200);
    }
    // There is no modification date, so what asks for one "MUST be ignored" (13.1.3, 13.1.4), and no ranges (14.2).
    for ignored in [
        "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT",
        "If-Modified-Since: yesterday",
        "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
        "If-Unmodified-Since: yesterday",
        "If-Range: \"SEQ\"",
        "Range: bytes=0-1",
        "Range: bytes=99999999999999999999-",
        "Range: bytes=0-1\r\nIf-Range: \"SEQ\"",
        "Range: lines=1",
        "Content-Range: bytes 0-1/5",
        "If-None-Match: \"1\"\r\nIf-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        says(&format!("{ignored}\r\n"), 200);
    }
}

// Section 13.2.1: preconditions are ignored where the answer without them would have been no success.
#[test]
fn section_13_2_1_preconditions_change_no_refusal() {
    let any = "If-None-Match: *\r\n";
    Bench::start(&[]).check(&[
        goes_on("13.2.1: of nothing", getting(any).replace("/healthz", "/nowhere"), 404),
        goes_on("13.2.1: of no group", getting(any).replace("/healthz", "/cur/x"), 400),
        goes_on("13.2.1: OPTIONS selects nothing", getting(any).replace("GET", "OPTIONS"), 204),
        goes_on("13.1.2: of what has no tag", getting("If-None-Match: \"1\"\r\n"), 200),
    ]);
}

#[test]
fn section_15_status_codes() {
    let explains: fn(&Answer) = |answer| {
        let detail = answer.expect_problem(answer.status);
        assert!(detail.is_ascii() && !detail.ends_with('.'), "{detail}");
    };
    Bench::start(&["--max-body-bytes", "64", "--no-simulate"]).check(&[
        goes_on("15.3.5: 204 has no content", line("GET /location/cur/9 HTTP/1.1"), 204),
        goes_on("15.5.1: 400", posting("Content-Length: 1\r\n", "{"), 400).saying(explains),
        goes_on("15.5.5: 404", line("GET /nowhere HTTP/1.1"), 404).saying(explains),
        goes_on("15.5.6: 405", line("PUT /location/cur/3 HTTP/1.1"), 405).saying(explains),
        closes("15.5.14: 413", posting("Content-Length: 65\r\n", &"x".repeat(65)), 413).saying(explains),
        closes("15.5.15: 414", line(&format!("GET /{} HTTP/1.1", "a".repeat(4096))), 414).saying(explains),
        closes("15.5.18: 417", getting("Expect: x\r\n"), 417).saying(explains),
        goes_on("15.5.22: 426", line("GET /location HTTP/1.1"), 426).saying(explains),
        closes("15.6.2: 501", posting("Transfer-Encoding: br, chunked\r\n", ""), 501).saying(explains),
        closes("15.6.6: 505", line("GET / HTTP/2.0"), 505).saying(explains),
    ]);
}
