//! Short polling, the snapshot, publishing and everything else that HTTP answers at once, over real sockets.

mod harness;

use harness::Server;
use harness::http::{Wire, post};
use harness::update::check_in_order;

// What a poll answers.

#[test]
fn newest_update_is_answered_with_its_seq_as_etag() {
    let server = Server::start(&[]);
    server.publish(3, "alice", 1, 2);
    let published = server.publish(3, "bob", 3, 4);
    for target in ["/location/cur/3", "/cur/3"] {
        let answer = server.get(target).expect_status(200);
        assert_eq!(answer.text(), published.text, "{target}");
        assert_eq!(answer.header("ETag"), Some(format!("\"{}\"", published.seq).as_str()), "{target}");
        assert_eq!(answer.header("Cache-Control"), Some("no-cache"), "{target}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"), "{target}");
    }
    server.stop();
}

#[test]
fn empty_group_is_answered_with_a_location_that_nobody_stored() {
    let server = Server::start(&[]);
    let answer = server.get("/location/cur/3").expect_status(200);
    let update = answer.update();
    assert_eq!((update.seq, &update.member), (0, &None));
    let (x, y) = update.point();
    assert!((0.0..100.0).contains(&x) && (0.0..100.0).contains(&y), "{}", update.text);
    assert_eq!(answer.header("ETag"), None);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(server.scrape().sum("geoloop_groups", &[]), 0.0, "a poll makes no group");
}

#[test]
fn empty_group_is_204_where_nothing_is_made_up() {
    let server = Server::start(&["--no-simulate"]);
    server.get("/location/cur/3").expect_status(204);
}

#[test]
fn group_that_everybody_left_is_204() {
    let server = Server::start(&[]);
    server.publish(3, "alice", 1, 2);
    let leave =
        server.post("/location/share/3", r#"{"member":"alice","left":true}"#).expect_status(200).update();
    assert!(leave.is_leave_of("alice"), "{}", leave.text);
    server.get("/location/cur/3").expect_status(204);
    assert_eq!(server.get("/location/group/3").expect_status(200).json()["members"], serde_json::json!([]));
}

#[test]
fn poll_shows_who_is_present_though_a_leave_is_newer() {
    let server = Server::start(&[]);
    let alice = server.publish(3, "alice", 1, 2);
    server.publish(3, "bob", 3, 4);
    server.post("/location/share/3", r#"{"member":"bob","left":true}"#).expect_status(200);
    assert_eq!(server.get("/location/cur/3").expect_status(200).text(), alice.text);
}

#[test]
fn snapshot_holds_the_newest_update_of_each_member() {
    let server = Server::start(&[]);
    server.publish(3, "alice", 1, 2);
    let bob = server.publish(3, "bob", 3, 4);
    let alice = server.publish(3, "alice", 5, 6);
    server.publish(4, "carol", 7, 8);
    let text = server.get("/location/group/3").expect_status(200).text();
    let prefix = format!(r#"{{"group":3,"seq":{},"members":["#, alice.seq);
    let members = text.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix("]}"));
    let members = members.unwrap_or_else(|| panic!("no snapshot: {text}"));
    let one = format!("{},{}", alice.text, bob.text);
    let other = format!("{},{}", bob.text, alice.text);
    assert!(members == one || members == other, "{members}");
}

#[test]
fn nameless_updates_count_as_one_member() {
    let server = Server::start(&[]);
    for x in 0..5 {
        server.post("/location/share/3", &format!(r#"{{"x":{x},"y":0}}"#)).expect_status(200);
    }
    let snapshot = server.get("/location/group/3").expect_status(200).json();
    let members = snapshot["members"].as_array().unwrap();
    assert_eq!(members.len(), 1, "{snapshot}");
    assert_eq!(members[0]["x"], 4);
}

// Publishing.

#[test]
fn every_publish_address_publishes_to_its_group() {
    let server = Server::start(&[]);
    let mut published = Vec::new();
    for target in [
        "/location/share/3",
        "/location/cur/3",
        "/cur/3",
        "/location/long/3/notify",
        "/location/sse/share?group=3",
    ] {
        let update = server.post(target, r#"{"x":1.5,"y":-2,"member":"alice"}"#).expect_status(200).update();
        assert_eq!(update.point(), (1.5, -2.0), "{target}");
        assert_eq!(server.get("/location/cur/3").text(), update.text, "{target}");
        published.push(update);
    }
    check_in_order(&published);
    let to_zero = server.post("/location/sse/share", r#"{"x":1,"y":2}"#).expect_status(200).text();
    assert_eq!(server.get("/location/cur/0").text(), to_zero);
}

#[track_caller]
fn check_published(body: &str, want: &str) {
    let server = Server::start(&[]);
    let update = server.post("/location/share/3", body).expect_status(200).update();
    let want = format!("{{\"seq\":{},{want},\"at\":{}}}", update.seq, update.at);
    assert_eq!(update.text, want, "{body}");
}

#[test]
fn publish_is_written_in_its_shortest_form() {
    check_published(r#"{"x":1.0,"y":2}"#, r#""x":1,"y":2"#);
    check_published(r#"{"x":0.1,"y":-0.25}"#, r#""x":0.1,"y":-0.25"#);
    check_published(
        r#" { "y" : 48.25 , "x" : 12.5 , "member" : "alice" } "#,
        r#""member":"alice","x":12.5,"y":48.25"#,
    );
    check_published(r#"{"x":1,"y":2,"unknown":{"x":[9]}}"#, r#""x":1,"y":2"#);
    check_published("\u{feff}{\"x\":1,\"y\":2}", r#""x":1,"y":2"#);
    check_published("{\"x\":1,\"y\":2,\"member\":\"J\\u00fcrgen\"}", r#""member":"Jürgen","x":1,"y":2"#);
    check_published(r#"{"x":1,"y":2,"member":"a\"b"}"#, r#""member":"a\"b","x":1,"y":2"#);
}

#[track_caller]
fn check_simulated(body: &str) {
    let server = Server::start(&[]);
    let update = server.post("/location/share/3", body).expect_status(200).update();
    let (x, y) = update.point();
    assert!((0.0..100.0).contains(&x) && (0.0..100.0).contains(&y), "{body}: {}", update.text);
    assert_eq!(update.member, None, "{body}");
    assert_eq!(server.get("/location/cur/3").text(), update.text, "{body}: it is stored");

    let strict = Server::start(&["--no-simulate"]);
    strict.post("/location/share/3", body).expect_problem(400);
    strict.get("/location/cur/3").expect_status(204);
}

#[test]
fn body_without_a_location_is_made_up_or_refused() {
    check_simulated("");
    check_simulated("Hello from k6!");
    check_simulated("[1,2]");
    check_simulated("{}");
    check_simulated(r#"{"content":"Hi from k6 STOMP!"}"#);
}

#[track_caller]
fn check_refused_publish(body: &str) {
    let server = Server::start(&["--workers", "1"]);
    server.post("/location/share/3", body).expect_problem(400);
    server.get("/location/cur/3").expect_status(200);
    assert_eq!(server.get("/location/cur/3").update().seq, 0, "{body}: a refused publish is not stored");
}

#[test]
fn location_that_is_none_is_refused() {
    check_refused_publish("{");
    check_refused_publish(r#"{"x":1,"y":2"#);
    check_refused_publish(r#"{"x":1,"y":2}x"#);
    check_refused_publish(r#"{"x":1}"#);
    check_refused_publish(r#"{"member":"alice"}"#);
    check_refused_publish(r#"{"x":"1","y":2}"#);
    check_refused_publish(r#"{"x":null,"y":2}"#);
    check_refused_publish(r#"{"x":1e999,"y":2}"#);
    check_refused_publish(r#"{"x":NaN,"y":2}"#);
}

#[test]
fn bad_member_or_time_is_refused() {
    check_refused_publish(r#"{"x":1,"y":2,"member":""}"#);
    check_refused_publish(&format!(r#"{{"x":1,"y":2,"member":"{}"}}"#, "a".repeat(65)));
    check_refused_publish(r#"{"x":1,"y":2,"member":"a\u0001"}"#);
    check_refused_publish(r#"{"x":1,"y":2,"member":7}"#);
    check_refused_publish(r#"{"x":1,"y":2,"at":-1}"#);
    check_refused_publish(r#"{"x":1,"y":2,"at":1.5}"#);
    check_refused_publish(r#"{"x":1,"y":2,"at":"now"}"#);
}

#[test]
fn member_of_64_bytes_is_taken() {
    let name = "a".repeat(64);
    let server = Server::start(&[]);
    assert_eq!(server.publish(3, &name, 1, 2).member, Some(name));
}

#[test]
fn older_time_than_the_held_one_is_a_conflict() {
    let server = Server::start(&[]);
    let at = |at: u64, x: u64| format!(r#"{{"member":"alice","x":{x},"y":0,"at":{at}}}"#);
    assert_eq!(server.post("/location/share/3", &at(1000, 1)).expect_status(200).update().at, 1000);
    server.post("/location/share/3", &at(999, 2)).expect_problem(409);
    assert_eq!(server.get("/location/cur/3").update().point().0, 1.0, "the stale one is not stored");
    server.post("/location/share/3", &at(1000, 3)).expect_status(200);
    server.publish(3, "alice", 4, 0);
    server.post("/location/share/3", &at(1, 5)).expect_status(200);
    for x in [2000, 1000] {
        server.post("/location/share/3", &format!(r#"{{"x":1,"y":1,"at":{x}}}"#)).expect_status(200);
    }
}

#[test]
fn time_far_ahead_becomes_the_servers() {
    let server = Server::start(&[]);
    let ahead = 9_000_000_000_000u64;
    let body = format!(r#"{{"member":"alice","x":1,"y":2,"at":{ahead}}}"#);
    let update = server.post("/location/share/3", &body).expect_status(200).update();
    assert!(update.at < ahead, "{}", update.text);
    server.post("/location/share/3", r#"{"member":"alice","x":1,"y":2,"at":5}"#).expect_problem(409);
}

#[test]
fn seqs_of_a_group_only_grow() {
    let server = Server::start(&[]);
    let updates: Vec<_> = (0..50).map(|x| server.publish(3, "alice", x, 0)).collect();
    check_in_order(&updates);
    assert!(updates[49].seq < 1 << 53);
}

// Methods and addresses.

#[track_caller]
fn check_status(method: &str, target: &str, status: u16) {
    let server = Server::start(&["--workers", "1"]);
    let body = (method == "POST").then_some("");
    let answer = server.request(method, target, &[], body);
    if status < 400 {
        answer.expect_status(status);
    } else {
        answer.expect_problem(status);
    }
}

#[test]
fn unknown_path_is_404() {
    for target in ["/nope", "/location/cur", "/location/cur/3/4", "/location/long/3/wake", "/wsx"] {
        check_status("GET", target, 404);
    }
    check_status("POST", "/nope", 404);
    check_status("GET", "/echo", 404);
}

#[test]
fn group_that_is_no_number_is_400() {
    for group in ["", "abc", "-1", "1.5", "+1", "0x1", "9223372036854775808", "99999999999999999999"] {
        check_status("GET", &format!("/location/cur/{group}"), 400);
    }
    check_status("GET", "/location/cur/9223372036854775807", 200);
    check_status("GET", "/location/group/x", 400);
    check_status("GET", "/location/long/x", 400);
    check_status("GET", "/location/sse/x", 400);
    check_status("POST", "/location/share/x", 400);
    check_status("POST", "/location/sse/share?group=x", 400);
}

#[test]
fn query_out_of_range_is_400() {
    for query in ["since=x", "since=-1", "since=", "since=99999999999999999999", "timeout=x", "timeout=60001"]
    {
        check_status("GET", &format!("/location/long/3?{query}"), 400);
    }
    for target in ["/location/long/3", "/location/sse/3"] {
        check_status("GET", &format!("{target}?member="), 400);
        check_status("GET", &format!("{target}?member=a%01"), 400);
        check_status("GET", &format!("{target}?member={}", "a".repeat(65)), 400);
    }
}

#[track_caller]
fn check_method_refused(method: &str, target: &str, allowed: &[&str]) {
    let server = Server::start(&["--workers", "1"]);
    let mut wire = Wire::connect(&server);
    wire.send(format!("{method} {target} HTTP/1.1\r\nHost: geoloop\r\nContent-Length: 0\r\n\r\n"));
    let answer = wire.answer();
    answer.expect_problem(405);
    for method in allowed {
        assert!(answer.lists("Allow", method), "{method} {target}: {answer:?}");
    }
    wire.expect_alive();
}

#[test]
fn wrong_method_is_405_and_told_what_is_allowed() {
    check_method_refused("DELETE", "/location/cur/3", &["GET", "HEAD", "POST", "OPTIONS"]);
    check_method_refused("PUT", "/location/share/3", &["POST", "OPTIONS"]);
    check_method_refused("GET", "/location/share/3", &["POST"]);
    check_method_refused("GET", "/location/long/3/notify", &["POST"]);
    check_method_refused("POST", "/location/long/3", &["GET", "HEAD"]);
    check_method_refused("POST", "/healthz", &["GET"]);
    check_method_refused("POST", "/ws/3", &["GET"]);
    check_method_refused("BREW", "/location/cur/3", &["GET"]);
}

#[track_caller]
fn check_options(target: &str, allowed: &[&str]) {
    let server = Server::start(&["--workers", "1"]);
    let answer = server.request("OPTIONS", target, &[], None).expect_status(204);
    for method in allowed {
        assert!(answer.lists("Allow", method), "{target}: {answer:?}");
    }
}

#[test]
fn options_says_what_is_allowed() {
    check_options("/location/cur/3", &["GET", "HEAD", "POST", "OPTIONS"]);
    check_options("/location/share/3", &["POST", "OPTIONS"]);
    check_options("/location/long/3", &["GET", "HEAD", "OPTIONS"]);
    check_options("/metrics", &["GET", "HEAD", "OPTIONS"]);
}

#[track_caller]
fn check_head(target: &str) {
    let server = Server::start(&["--workers", "1"]);
    server.publish(3, "alice", 1, 2);
    let mut wire = Wire::connect(&server);
    wire.send(format!("HEAD {target} HTTP/1.1\r\nHost: geoloop\r\n\r\n"));
    wire.head().expect_status(200);
    wire.expect_alive();
    let scrape = server.scrape();
    assert_eq!(scrape.sum("geoloop_publishes_total", &[]), 1.0, "{target}: HEAD publishes nothing");
    assert_eq!(scrape.sum("geoloop_parked", &[]), 0.0, "{target}: HEAD parks nothing");
}

#[test]
fn head_is_answered_at_once_and_without_a_body() {
    for target in [
        "/location/cur/3",
        "/location/group/3",
        "/location/long/3",
        "/location/sse/3",
        "/location/sse/connect",
        "/metrics",
        "/healthz",
        "/readyz",
    ] {
        check_head(target);
    }
}

#[test]
fn head_of_a_poll_says_what_get_would() {
    let server = Server::start(&[]);
    let published = server.publish(3, "alice", 1, 2);
    let answer = server.request("HEAD", "/location/cur/3", &[], None).expect_status(200);
    assert_eq!(answer.needed_header("ETag"), format!("\"{}\"", published.seq));
    assert_eq!(answer.needed_header("Content-Length"), published.text.len().to_string());
}

#[test]
fn health_and_readiness_are_200() {
    let server = Server::start(&[]);
    server.get("/healthz").expect_status(200);
    server.get("/readyz").expect_status(200);
}

#[test]
fn root_is_a_page() {
    let server = Server::start(&[]);
    let page = server.get("/").expect_status(200);
    assert!(page.needed_header("Content-Type").starts_with("text/html"), "{:?}", page.headers);
    assert_eq!(page.needed_header("Content-Security-Policy"), "frame-ancestors 'none'");
}

// Origins.

const LISTED: &[&str] = &["--workers", "1", "--allow-origin", "http://app.example"];

#[track_caller]
fn check_origin(flags: &[&str], method: &str, origin: &str, status: u16, allowed: Option<&str>) {
    let server = Server::start(flags);
    let mut wire = Wire::connect(&server);
    wire.send(format!(
        "{method} /location/cur/3 HTTP/1.1\r\nHost: geoloop:8080\r\nOrigin: {origin}\r\nContent-Length: 0\r\n\r\n"
    ));
    let answer = wire.answer().expect_status(status);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), allowed, "{method} from {origin}");
    if status == 403 {
        answer.expect_problem(403);
        assert_eq!(server.scrape().sum("geoloop_refused_total", &[("reason", "origin")]), 1.0);
    }
}

#[test]
fn post_from_a_foreign_origin_is_403() {
    check_origin(&[], "POST", "http://evil.example", 403, None);
    check_origin(&[], "POST", "null", 403, None);
    check_origin(&[], "POST", "http://geoloop:8081", 403, None);
    check_origin(LISTED, "POST", "http://evil.example", 403, None);
    check_origin(LISTED, "POST", "https://app.example", 403, None);
    check_origin(LISTED, "POST", "http://app.example.evil.example", 403, None);
}

#[test]
fn get_from_a_foreign_origin_gets_no_cors_header() {
    check_origin(&[], "GET", "http://evil.example", 200, None);
    check_origin(LISTED, "GET", "http://evil.example", 200, None);
}

#[test]
fn listed_origin_is_allowed_by_name() {
    check_origin(LISTED, "GET", "http://app.example", 200, Some("http://app.example"));
    check_origin(LISTED, "POST", "http://app.example", 200, Some("http://app.example"));
}

#[test]
fn own_origin_may_post() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    let target = "POST /location/cur/3 HTTP/1.1\r\nContent-Length: 0\r\n";
    wire.send(format!("{target}Host: geoloop:8080\r\nOrigin: http://geoloop:8080\r\n\r\n"));
    wire.answer().expect_status(200);
}

#[test]
fn star_allows_every_origin() {
    let server = Server::start(&["--allow-origin", "*"]);
    let headers = [("Origin", "http://any.example")];
    let answer = server.request("POST", "/location/cur/3", &headers, Some("")).expect_status(200);
    let allowed = answer.needed_header("Access-Control-Allow-Origin");
    assert!(allowed == "*" || allowed == "http://any.example", "{allowed}");
}

#[test]
fn preflight_of_a_listed_origin_is_answered() {
    let server = Server::start(LISTED);
    let headers = [
        ("Origin", "http://app.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    let answer = server.request("OPTIONS", "/location/share/3", &headers, None).expect_status(204);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("http://app.example"));
    assert!(answer.lists("Access-Control-Allow-Methods", "POST"), "{answer:?}");
    for header in ["Content-Type", "Last-Event-ID", "If-None-Match"] {
        assert!(answer.lists("Access-Control-Allow-Headers", header), "{answer:?}");
    }
    assert!(answer.lists("Vary", "Origin"), "{answer:?}");
}

#[test]
fn allowed_answers_vary_by_origin_and_expose_cursors() {
    let server = Server::start(LISTED);
    server.publish(3, "alice", 1, 2);
    let answer = server.get_with("/location/cur/3", &[("Origin", "http://app.example")]).expect_status(200);
    assert!(answer.lists("Vary", "Origin"), "{answer:?}");
    for header in ["Location-Seq", "ETag", "Retry-After"] {
        assert!(answer.lists("Access-Control-Expose-Headers", header), "{answer:?}");
    }
    let foreign = server.get_with("/location/cur/3", &[("Origin", "http://evil.example")]).expect_status(200);
    assert!(foreign.lists("Vary", "Origin"), "a cache must not mix the two: {foreign:?}");
}

// Metrics.

const FAMILIES: &[(&str, &str)] = &[
    ("geoloop_connections", "gauge"),
    ("geoloop_connections_total", "counter"),
    ("geoloop_parked", "gauge"),
    ("geoloop_subscriptions", "gauge"),
    ("geoloop_publishes_total", "counter"),
    ("geoloop_updates_delivered_total", "counter"),
    ("geoloop_updates_conflated_total", "counter"),
    ("geoloop_wire_bytes_total", "counter"),
    ("geoloop_payload_bytes_total", "counter"),
    ("geoloop_syscalls_total", "counter"),
    ("geoloop_staleness_seconds", "histogram"),
    ("geoloop_turn_seconds", "histogram"),
    ("geoloop_requests_total", "counter"),
    ("geoloop_refused_total", "counter"),
    ("geoloop_groups", "gauge"),
    ("geoloop_members", "gauge"),
    ("geoloop_mail_total", "counter"),
    ("geoloop_queue_bytes", "gauge"),
    ("geoloop_build_info", "gauge"),
    ("process_cpu_seconds_total", "counter"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_open_fds", "gauge"),
    ("process_max_fds", "gauge"),
];

#[test]
fn scrape_holds_every_promised_series() {
    let server = Server::start(&[]);
    server.publish(3, "alice", 1, 2);
    for target in ["/metrics", "/actuator/prometheus"] {
        let answer = server.get(target).expect_status(200);
        let kind = answer.needed_header("Content-Type");
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{target}: {kind}");
        let scrape = harness::metrics::Scrape::parse(&answer.text());
        for (family, kind) in FAMILIES {
            assert_eq!(scrape.kind(family), Some(*kind), "{target}: {family}");
            assert!(scrape.has_help(family), "{target}: {family}");
        }
    }
}

#[test]
fn scrape_counts_what_was_done() {
    let server = Server::start(&[]);
    server.publish(3, "alice", 1, 2);
    server.publish(3, "bob", 1, 2);
    server.publish(4, "carol", 1, 2);
    server.get("/nope").expect_status(404);
    let scrape = server.scrape();
    assert_eq!(scrape.sum("geoloop_publishes_total", &[("transport", "http")]), 3.0);
    assert_eq!(scrape.sum("geoloop_groups", &[]), 2.0);
    assert_eq!(scrape.sum("geoloop_members", &[]), 3.0);
    assert_eq!(scrape.sum("geoloop_refused_total", &[("reason", "not_found")]), 1.0);
    assert_eq!(scrape.sum("geoloop_requests_total", &[("endpoint", "publish"), ("status", "2xx")]), 3.0);
    assert_eq!(scrape.sum("geoloop_requests_total", &[("endpoint", "unknown"), ("status", "4xx")]), 1.0);
    assert_eq!(scrape.sum("geoloop_build_info", &[]), 1.0);
}

#[test]
fn wire_bytes_are_all_bytes_of_the_socket() {
    let server = Server::start(&["--workers", "1"]);
    let request = post("/location/share/3", r#"{"x":1,"y":2}"#);
    let received = || server.scrape().sum("geoloop_wire_bytes_total", &[("direction", "received")]);
    let (first, second) = (received(), received());
    let scrape_request = second - first;
    let mut wire = Wire::connect(&server);
    wire.send(&request);
    wire.answer().expect_status(200);
    assert_eq!(received() - second, scrape_request + request.len() as f64);
}
