//! Heads and bodies to requests, rules that are broken to answers, answers to bytes.

use crate::session::http::{self, Awaits, Reply, Request, UpgradeError};
use crate::session::origin::{Origins, Verdict};
use crate::session::tests::Talk;
use crate::session::{Event, Session};
use crate::wire::http::request::Version;
use crate::wire::http::response::{IfNoneMatch, Status};
use crate::wire::json::PublishBody;

const PLAIN: Reply =
    Reply { head_only: false, keep_alive: true, version: Version::Http11, origin: Verdict::Own };

fn idle() -> Talk {
    Talk::new(Session::new())
}

fn awaits(talk: &Talk) -> Awaits {
    let Session::Http(http) = &talk.session else { panic!("{:?}", talk.session) };
    http.awaits()
}

/// In the middle of a head.
fn in_head() -> Talk {
    let mut talk = idle();
    talk.hear(b"GET /healthz HTTP/1.1\r\nHo");
    assert_eq!((awaits(&talk), talk.events.len()), (Awaits::Head, 0));
    talk
}

/// In the middle of a body of 13 bytes.
fn in_body() -> Talk {
    let mut talk = idle();
    talk.hear(b"POST /location/share/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n{\"x\":1");
    assert_eq!((awaits(&talk), talk.events.len()), (Awaits::Body, 0));
    talk
}

/// What an event is, in short.
fn short(event: &Event) -> String {
    match event {
        Event::Request(request) => match (&request.endpoint, &request.body) {
            (Err(error), _) => error.to_string(),
            (Ok(endpoint), Ok(PublishBody::Nothing)) => endpoint.asked().label().to_owned(),
            (Ok(endpoint), Ok(PublishBody::Publish(_))) => {
                format!("{} of {} bytes", endpoint.asked().label(), request.body_bytes)
            }
            (Ok(endpoint), Err(error)) => format!("{}, but {error}", endpoint.asked().label()),
        },
        Event::Failed { reason, .. } => reason.label().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// What comes of `bytes`, whole or byte by byte, is `events`, and what is answered begins with `answer`.
#[track_caller]
fn check(bytes: &[u8], events: &[&str], answer: &str) {
    for slowly in [false, true] {
        let mut talk = idle();
        if slowly {
            talk.hear_slowly(bytes)
        } else {
            talk.hear(bytes)
        }
        assert_eq!(talk.events.iter().map(short).collect::<Vec<_>>(), events, "slowly: {slowly}");
        let out = talk.out_text();
        assert!(out.starts_with(answer) && out.is_empty() == answer.is_empty(), "slowly: {slowly}: {out}");
    }
}

/// The request that a head makes, with nothing left over.
#[track_caller]
fn request(talk: &mut Talk, head: &str) -> Request {
    talk.hear(head.as_bytes());
    assert_eq!(talk.unread(), b"");
    match talk.events.pop() {
        Some(Event::Request(request)) => request,
        other => panic!("{other:?}: {}", talk.out_text()),
    }
}

#[test]
fn pipelined_requests_come_out_in_order() {
    check(
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /location/cur/3 HTTP/1.1\r\nHost: a\r\n\r\n",
        &["health", "current"],
        "",
    );
}

#[test]
fn head_and_body_that_were_begun_are_ended() {
    let mut talk = in_head();
    talk.hear(b"st: a\r\n\r\nG");
    assert_eq!(short(&talk.events[0]), "health");
    assert_eq!(awaits(&talk), Awaits::Head);
    let mut talk = in_body();
    talk.hear(b",\"y\":2}");
    assert_eq!(short(&talk.events[0]), "publish of 13 bytes");
    assert_eq!(awaits(&talk), Awaits::Request);
}

#[test]
fn bodies_are_read_however_they_are_framed() {
    let head = "POST /location/share/3 HTTP/1.1\r\nHost: a\r\n";
    let length = format!("{head}Content-Length: 13\r\n\r\n{{\"x\":1,\"y\":2}}");
    check(length.as_bytes(), &["publish of 13 bytes"], "");
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n6\r\n{{\"x\":1\r\n7\r\n,\"y\":2}}\r\n0\r\n\r\n");
    check(chunked.as_bytes(), &["publish of 13 bytes"], "");
    check(format!("{chunked}{length}").as_bytes(), &["publish of 13 bytes"; 2], "");
    check(format!("{head}\r\n").as_bytes(), &["publish"], "");
}

#[test]
fn body_that_is_no_location_is_a_request_all_the_same() {
    let bytes = b"POST /cur/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n{\"x\":1}";
    check(bytes, &["publish, but y is missing"], "");
}

#[test]
fn body_of_a_request_that_publishes_nothing_is_read_past() {
    let bytes = b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    check(bytes, &["health", "page"], "");
}

#[test]
fn broken_rules_are_answered_and_end_the_conversation() {
    check(b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n", &["bad_request"], "HTTP/1.1 400 ");
    let both = "POST /cur/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(both.as_bytes(), &["bad_request"], "HTTP/1.1 400 ");
    let long = "POST /cur/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 16385\r\n\r\n";
    check(long.as_bytes(), &["body_max"], "HTTP/1.1 413 ");
    let chunk = "POST /cur/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4001\r\n";
    check(chunk.as_bytes(), &["body_max"], "HTTP/1.1 413 ");
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(8192));
    check(head.as_bytes(), &["head_max"], "HTTP/1.1 431 ");
    let target = format!("GET /{} HTTP/1.1\r\n", "x".repeat(4096));
    check(target.as_bytes(), &["target_max"], "HTTP/1.1 414 ");
}

#[test]
fn last_answer_says_that_the_connection_closes() {
    let mut talk = idle();
    talk.hear(b"GET /\0 HTTP/1.1\r\n\r\n");
    let out = talk.out_text();
    assert!(out.contains("\r\nConnection: close\r\n"), "{out}");
    assert!(out.contains("\r\nContent-Type: application/problem+json\r\n"), "{out}");
    assert!(out.contains("{\"status\":400,"), "{out}");
}

#[test]
fn body_at_the_limit_is_taken() {
    let mut talk = idle();
    talk.limits.body_bytes_max = 13;
    talk.hear(b"POST /cur/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n{\"x\":1,\"y\":2}");
    assert_eq!(short(&talk.events[0]), "publish of 13 bytes");
    talk.hear(b"POST /cur/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\n");
    assert_eq!(short(&talk.events[1]), "body_max");
}

const EXPECT: &str = "POST /cur/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn client_that_waits_for_leave_to_send_its_body_gets_it() {
    let mut talk = idle();
    talk.hear(EXPECT.as_bytes());
    assert_eq!(talk.out_text(), "HTTP/1.1 100 Continue\r\n\r\n");
    talk.hear(b"{\"x\":1,\"y\":2}");
    assert_eq!(short(&talk.events[0]), "publish of 13 bytes");
    assert_eq!(talk.out_text(), "HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn client_that_does_not_wait_is_given_no_leave() {
    let mut talk = idle();
    talk.hear(format!("{EXPECT}{{\"x\"").as_bytes());
    talk.hear(b":1,\"y\":2}");
    assert_eq!((talk.out_text().as_str(), talk.events.len()), ("", 1));
}

#[test]
fn body_that_would_be_refused_is_not_asked_for() {
    let mut talk = idle();
    let request = request(&mut talk, &EXPECT.replace("/cur/3", "/nowhere"));
    assert!(request.endpoint.is_err() && !request.reply.keep_alive, "{request:?}");
    assert_eq!(talk.out_text(), "");
    let mut talk = idle();
    talk.hear(EXPECT.replace("13", "99999").as_bytes());
    assert!(talk.out_text().starts_with("HTTP/1.1 413 "), "{}", talk.out_text());
}

#[test]
fn reply_keeps_to_what_the_request_asks() {
    let reply = |head: &str| request(&mut idle(), head).reply;
    assert!(reply("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_plain());
    let head = reply("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head, Reply { head_only: true, ..PLAIN });
    let close = reply("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(close, Reply { keep_alive: false, ..PLAIN });
    let old = reply("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old, Reply { keep_alive: false, version: Version::Http10, ..PLAIN });
    let kept = reply("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(kept, Reply { version: Version::Http10, ..PLAIN });
    let foreign = reply("GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n");
    assert_eq!(foreign, Reply { origin: Verdict::Foreign, ..PLAIN });
    for other in [head, close, kept, foreign] {
        assert!(!other.is_plain(), "{other:?}");
    }
}

#[test]
fn while_draining_no_connection_is_kept() {
    let mut talk = idle();
    talk.draining = true;
    assert!(!request(&mut talk, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply.keep_alive);
}

#[test]
fn echo_is_nowhere_unless_the_operator_wants_it() {
    check(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", &["echo"], "");
    let mut talk = idle();
    talk.policy.echo = false;
    assert!(request(&mut talk, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n").endpoint.is_err());
}

#[test]
fn cursor_of_an_event_source_is_read_and_an_unreadable_one_counts_as_none() {
    let cursor = |target: &str, value: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nLast-Event-ID: {value}\r\n\r\n");
        request(&mut idle(), &head).last_event_id.map(crate::ids::Seq::number)
    };
    assert_eq!(cursor("/location/sse/3", "17"), Some(17));
    assert_eq!(cursor("/location/sse/3", "seventeen"), None);
    assert_eq!(cursor("/location/sse/3", "9007199254740992"), None);
    assert_eq!(cursor("/location/cur/3", "17"), None);
}

#[test]
fn lines_of_a_list_are_joined() {
    let head = "GET /cur/3 HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"1\"\r\nIf-None-Match: W/\"2\"\r\n\r\n";
    let listed = IfNoneMatch::List(b"\"1\", W/\"2\""[..].into());
    assert_eq!(request(&mut idle(), head).if_none_match, listed);
}

#[test]
fn group_of_a_request_is_known_before_it_is_acted_on() {
    let group = |target: &str| {
        let request = request(&mut idle(), &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        request.group().map(crate::ids::GroupId::number)
    };
    assert_eq!(group("/location/long/7"), Some(7));
    assert_eq!(group("/location/sse/connect"), Some(0));
    assert_eq!(group("/healthz"), None);
    assert_eq!(group("/location/long/x"), None);
}

const UPGRADE: &str = "GET /location HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     Sec-WebSocket-Protocol: v09.stomp, v10.stomp\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n";

#[track_caller]
fn check_upgrade(head: &str, expected: Result<Option<&str>, UpgradeError>) {
    let upgrade = request(&mut idle(), head).upgrade;
    let mut out = Vec::new();
    let subprotocol = upgrade.map(|upgrade| {
        upgrade.encode_switching(&mut out);
        String::from_utf8(out)
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: ").map(str::to_owned))
    });
    assert_eq!(subprotocol.as_ref().map(Option::as_deref).map_err(|error| *error), expected, "{head}");
}

#[test]
fn opening_handshake_is_read_and_told_apart_from_others() {
    check_upgrade(UPGRADE, Ok(Some("v12.stomp")));
    check_upgrade(&UPGRADE.replace("v12.stomp", "mqtt"), Ok(Some("v10.stomp")));
    check_upgrade(&UPGRADE.replace("/location ", "/ws/3 "), Ok(None));
    check_upgrade(&UPGRADE.replace("Upgrade: websocket", "Upgrade: h2c"), Err(UpgradeError::NotAsked));
    check_upgrade(&UPGRADE.replace("GET", "HEAD"), Err(UpgradeError::NotAsked));
    check_upgrade(&UPGRADE.replace("HTTP/1.1", "HTTP/1.0"), Err(UpgradeError::NotAsked));
    check_upgrade(&UPGRADE.replace("Version: 13", "Version: 8"), Err(UpgradeError::Version));
    check_upgrade(&UPGRADE.replace("jZQ==", "jZQ"), Err(UpgradeError::Key));
    let twice = |line: &str| UPGRADE.replace(line, &format!("{line}{line}"));
    check_upgrade(&twice("Sec-WebSocket-Version: 13\r\n"), Err(UpgradeError::Version));
    check_upgrade(&twice("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), Err(UpgradeError::Key));
    check_upgrade(&UPGRADE.replace("v12.stomp", "v12 stomp"), Err(UpgradeError::Offer));
    check_upgrade(
        &UPGRADE.replace("v12.stomp", "v12.stomp\r\nSec-WebSocket-Extensions: a;;"),
        Err(UpgradeError::Offer),
    );
}

#[test]
fn answer_to_the_handshake_is_the_one_of_the_rfc() {
    let mut out = Vec::new();
    request(&mut idle(), UPGRADE).upgrade.unwrap().encode_switching(&mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("HTTP/1.1 101 ") && out.ends_with("\r\n\r\n"), "{out}");
    assert!(out.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{out}");
}

/// What an answer to a request with this origin says about origins.
fn says_of_origin(listed: &[&str], origin: Verdict) -> Vec<String> {
    let mut talk = idle();
    let listed: Vec<String> = listed.iter().map(|origin| (*origin).to_owned()).collect();
    talk.policy.origins = Origins::new(&listed);
    let mut out = Vec::new();
    let reply = Reply { origin, ..PLAIN };
    talk.with_context(|_, cx| http::begin(&mut out, cx, reply, Status::Ok).finish());
    let out = String::from_utf8(out).unwrap();
    let lines = out.lines().filter(|line| line.starts_with("Vary") || line.starts_with("Access"));
    lines.map(str::to_owned).collect()
}

#[test]
fn answers_name_the_origin_that_is_let_in_and_no_other() {
    const EXPOSED: &str = "Access-Control-Expose-Headers: Location-Seq, ETag, Retry-After";
    assert_eq!(says_of_origin(&[], Verdict::Own), [""; 0]);
    assert_eq!(says_of_origin(&[], Verdict::Foreign), [""; 0]);
    assert_eq!(says_of_origin(&["http://a"], Verdict::Foreign), ["Vary: Origin"]);
    let listed = says_of_origin(&["http://a", "http://b"], Verdict::Listed(1));
    assert_eq!(listed, ["Vary: Origin", "Access-Control-Allow-Origin: http://b", EXPOSED]);
    let any = says_of_origin(&["*"], Verdict::Any);
    assert_eq!(any, ["Vary: Origin", "Access-Control-Allow-Origin: *", EXPOSED]);
}

// RFC 9110, section 9.3.2.
#[test]
fn head_that_breaks_a_rule_gets_no_content_either() {
    for head in ["HEAD / HTTP/1.1\r\nExpect: x\r\nHost: a\r\n\r\n", "\r\nHEAD / HTTP/1.1\r\n\r\n", "HEAD /\0"]
    {
        let mut talk = idle();
        talk.hear(head.as_bytes());
        let out = talk.out_text();
        assert!(out.contains("\r\nContent-Length: ") && out.ends_with("\r\n\r\n"), "{head:?}: {out}");
    }
}

#[test]
fn head_hears_the_length_of_the_content_alone() {
    let answer = |head_only| {
        let mut out = Vec::new();
        let reply = Reply { head_only, ..PLAIN };
        idle().with_context(|_, cx| {
            http::finish(http::begin(&mut out, cx, reply, Status::Ok), reply, "text/plain", b"hello");
        });
        String::from_utf8(out).unwrap()
    };
    assert_eq!(answer(false), answer(true) + "hello");
    assert!(answer(true).contains("\r\nContent-Length: 5\r\n"));
}
