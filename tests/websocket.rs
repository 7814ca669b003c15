//! WebSocket over real sockets: the handshake, publishing and hearing, presence, and every way to break the protocol.

mod harness;

use harness::Server;
use harness::http::Wire;
use harness::websocket::{
    BINARY, CLOSE, ENDS, GOES_ON, PING, Socket, TEXT, TEXT_BEGINS, frame, unmasked_frame, upgrade,
};
use tungstenite::Message;

// The handshake.

#[test]
fn handshake_is_answered_with_the_accept_of_the_key() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    wire.send(upgrade("/ws/3").trim_end().to_owned() + "\r\n" + extension);
    let head = wire.head().expect_status(101);
    assert_eq!(head.needed_header("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(head.lists("Upgrade", "websocket") && head.lists("Connection", "upgrade"), "{head:?}");
    assert_eq!(head.header("Sec-WebSocket-Extensions"), None, "nothing is compressed");
    assert_eq!(head.header("Sec-WebSocket-Protocol"), None, "an update stream has no subprotocol");
    server.stop();
}

#[track_caller]
fn check_handshake(request: &str, statuses: &[u16]) {
    let server = Server::start(&["--workers", "1"]);
    let mut wire = Wire::connect(&server);
    wire.send(request);
    let head = wire.head();
    assert!(statuses.contains(&head.status), "{request:?}: {head:?}");
    if head.status == 426 {
        assert_eq!(head.header("Sec-WebSocket-Version"), Some("13"), "{head:?}");
        assert!(head.lists("Upgrade", "websocket") && head.lists("Connection", "Upgrade"), "{head:?}");
    }
    server.get("/healthz").expect_status(200);
}

#[test]
fn handshake_that_is_none_is_refused() {
    let sample = upgrade("/ws/3");
    check_handshake(&sample, &[101]);
    check_handshake(&sample.replace("Connection: Upgrade", "connection: keep-alive, upgrade"), &[101]);
    check_handshake(&sample.replace("websocket\r\n", "WebSocket\r\n"), &[101]);
    check_handshake(&sample.replace("Version: 13", "Version: 8"), &[426]);
    check_handshake(&sample.replace("Sec-WebSocket-Version: 13\r\n", ""), &[400, 426]);
    check_handshake(&sample.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), &[400]);
    check_handshake(&sample.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), &[400]);
    check_handshake(&sample.replace("dGhlIHNhbXBsZSBub25jZQ==", "not base64 at all!!!!!!!"), &[400]);
    check_handshake(&sample.replace("Upgrade: websocket\r\n", ""), &[400, 426]);
    check_handshake(&sample.replace("Connection: Upgrade\r\n", ""), &[400, 426]);
    // An Upgrade over HTTP/1.0 is to be ignored (RFC 9110, section 7.8): what is left is a plain GET.
    check_handshake(&sample.replace("HTTP/1.1", "HTTP/1.0"), &[426]);
    check_handshake(&sample.replace("GET", "POST"), &[405]);
    check_handshake("GET /ws/3 HTTP/1.1\r\nHost: a\r\n\r\n", &[400, 426]);
    check_handshake("GET /location HTTP/1.1\r\nHost: a\r\n\r\n", &[400, 426]);
}

#[test]
fn upgrade_to_what_is_none_is_refused() {
    check_handshake(&upgrade("/ws/abc"), &[400]);
    check_handshake(&upgrade("/ws/3?since=x"), &[400]);
    check_handshake(&upgrade("/ws/3?member="), &[400]);
    check_handshake(&upgrade("/ws/3/4"), &[404]);
    check_handshake(&upgrade("/echo"), &[404]);
}

#[test]
fn upgrade_from_a_foreign_origin_is_403() {
    let server = Server::start(&["--allow-origin", "http://app.example"]);
    for target in ["/ws", "/ws/3", "/location"] {
        let origin = |origin| Socket::try_open(server.connect(), target, &[("Origin", origin)]);
        let refusal = origin("http://evil.example").err().expect("a foreign page may not listen");
        refusal.expect_problem(403);
        assert!(origin("http://app.example").is_ok(), "{target}: a listed origin may");
        assert!(origin(&server.url("")).is_ok(), "{target}: the server's own pages may");
    }
}

#[test]
fn frames_behind_the_handshake_are_read() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    let mut bytes = upgrade("/ws/3").into_bytes();
    bytes.extend(frame(TEXT, br#"{"x":1,"y":2}"#));
    wire.send(bytes);
    wire.head().expect_status(101);
    let head = wire.take(2);
    assert_eq!(head[0], TEXT);
    let text = String::from_utf8(wire.take(usize::from(head[1]))).expect("a text message is UTF-8");
    assert_eq!(harness::update::Update::parse(&text).point(), (1.0, 2.0));
}

// Publishing and hearing.

#[test]
fn message_is_heard_by_everyone_in_the_group_and_the_sender() {
    let server = Server::start(&[]);
    let mut sender = Socket::open(&server, "/ws/3");
    let mut other = Socket::open(&server, "/ws/3");
    let mut stranger = Socket::open(&server, "/ws/4");
    for x in 0..20 {
        sender.send(&format!(r#"{{"member":"alice","x":{x},"y":0}}"#));
    }
    let heard = sender.updates(20);
    harness::update::check_in_order(&heard);
    assert_eq!(
        heard.iter().map(|update| update.point().0 as u64).collect::<Vec<_>>(),
        (0..20).collect::<Vec<_>>()
    );
    assert_eq!(other.updates(20), heard);
    let published = server.publish(4, "bob", 1, 2);
    assert_eq!(stranger.update(), published);
}

#[test]
fn thousand_messages_at_once_all_come_back_in_order() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws/3");
    let mut bytes = Vec::new();
    for x in 0..1000 {
        bytes.extend(frame(TEXT, format!(r#"{{"member":"m{x}","x":{x},"y":0}}"#).as_bytes()));
    }
    socket.send_raw(&bytes);
    for x in 0..1000 {
        let update = socket.update();
        assert_eq!((update.point().0, update.gap), (f64::from(x), false));
    }
}

#[test]
fn text_of_the_seed_becomes_a_location() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws");
    socket.send("Hello from k6 WebSocket!");
    let update = socket.update();
    let (x, y) = update.point();
    assert!((0.0..100.0).contains(&x) && (0.0..100.0).contains(&y), "{}", update.text);
    assert_eq!(update.member, None);
}

#[test]
fn ws_puts_clients_into_the_seeds_ten_groups() {
    let server = Server::start(&[]);
    let mut sockets: Vec<_> = (0..40).map(|_| Socket::open(&server, "/ws")).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        let member = format!("m{number}");
        socket.send(&format!(r#"{{"member":"{member}","x":1,"y":2}}"#));
        while socket.update().member.as_deref() != Some(&member) {}
    }
    let population = (0..10).map(|group| {
        let snapshot = server.get(&format!("/location/group/{group}")).expect_status(200).json();
        snapshot["members"].as_array().map_or(0, Vec::len)
    });
    let population: Vec<_> = population.collect();
    assert_eq!(population.iter().sum::<usize>(), 40, "{population:?}");
    assert!(population.iter().filter(|members| **members > 0).count() > 2, "at random: {population:?}");
}

#[test]
fn bad_message_is_answered_and_the_connection_lives() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws/3");
    for bad in ["{", r#"{"x":1}"#, r#"{"x":"1","y":2}"#, r#"{"x":1,"y":2,"member":""}"#] {
        socket.send(bad);
        socket.expect_error();
    }
    socket.send(r#"{"x":1,"y":2}"#);
    assert_eq!(socket.update().point(), (1.0, 2.0));
    assert_eq!(server.scrape().sum("geoloop_refused_total", &[("reason", "bad_publish")]), 4.0);
}

#[test]
fn nothing_is_made_up_where_that_is_off() {
    let server = Server::start(&["--no-simulate"]);
    let mut socket = Socket::open(&server, "/ws/3");
    for text in ["Hello from k6!", "", "{}"] {
        socket.send(text);
        socket.expect_error();
    }
    socket.send(r#"{"x":1,"y":2}"#);
    socket.update();
}

#[test]
fn stale_message_is_dropped_in_silence() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws/3?member=alice");
    for at in [1000, 999, 1001] {
        socket.send(&format!(r#"{{"x":{at},"y":0,"at":{at}}}"#));
    }
    assert_eq!(socket.update().at, 1000);
    assert_eq!(socket.update().at, 1001);
    assert_eq!(server.scrape().sum("geoloop_refused_total", &[("reason", "stale")]), 1.0);
}

#[test]
fn message_at_the_limit_is_taken() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws/3");
    let body = r#"{"x":1,"y":2}"#;
    socket.send(&(body.to_owned() + &" ".repeat(16 * 1024 - body.len())));
    assert_eq!(socket.update().point(), (1.0, 2.0));
}

#[test]
fn since_replays_and_goes_on_live() {
    let server = Server::start(&[]);
    let published: Vec<_> = (0..5).map(|x| server.publish(3, "alice", x, 0)).collect();
    let mut socket = Socket::open(&server, &format!("/ws/3?since={}", published[1].seq));
    assert_eq!(socket.updates(3), published[2..]);
    let live = server.publish(3, "alice", 9, 9);
    assert_eq!(socket.update(), live);
}

#[test]
fn old_cursor_gets_each_members_newest_and_then_the_ring() {
    let server = Server::start(&["--history", "4"]);
    let cursor = server.publish(3, "zoe", 0, 0).seq;
    let mut want = vec![server.publish(3, "alice", 1, 1)];
    server.publish(3, "bob", 2, 2);
    want.push(server.publish(3, "bob", 3, 3));
    want.extend((0..4).map(|x| server.publish(3, "carol", x, 0)));
    let mut socket = Socket::open(&server, &format!("/ws/3?since={cursor}"));
    let replayed = socket.updates(want.len());
    assert!(replayed[0].gap && replayed[1..].iter().all(|update| !update.gap), "{replayed:?}");
    for (update, want) in replayed.iter().zip(&want) {
        assert_eq!(update.text_without_gap(), want.text);
    }
}

// Presence.

#[test]
fn member_of_the_connection_is_the_default_of_what_it_publishes() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws/3?member=J%C3%BCrgen");
    socket.send(r#"{"x":1,"y":2}"#);
    assert_eq!(socket.update().member.as_deref(), Some("Jürgen"));
    socket.send("Hello from k6!");
    socket.expect_error();
}

#[test]
fn member_leaves_when_its_last_connection_closes() {
    let server = Server::start(&[]);
    let mut watcher = Socket::open(&server, "/ws/3");
    let mut one = Socket::open(&server, "/ws/3?member=alice");
    let other = Socket::open(&server, "/ws/3?member=alice");
    one.send(r#"{"x":1,"y":2}"#);
    watcher.update();
    one.update();
    one.close(1000);
    one.expect_close(1000);
    server.wait_until_connected("websocket", 2);
    let still = server.publish(3, "bob", 1, 2);
    assert_eq!(watcher.update(), still, "one of two connections is no leave");
    drop(other);
    let leave = watcher.update();
    assert!(leave.is_leave_of("alice"), "{}", leave.text);
}

// The protocol.

/// Sends raw bytes on a new connection and checks that the server closes with this code.
#[track_caller]
fn check_closed(bytes: &[u8], code: u16) {
    let server = Server::start(&["--workers", "1"]);
    let mut socket = Socket::open(&server, "/ws/3");
    socket.send_raw(bytes);
    socket.expect_close(code);
    server.wait_until_connected("websocket", 0);
}

#[test]
fn binary_message_is_closed_1003() {
    check_closed(&frame(BINARY, b"\x01\x02"), 1003);
    check_closed(&frame(BINARY, b""), 1003);
}

#[test]
fn broken_framing_is_closed_1002() {
    check_closed(&unmasked_frame(TEXT, b"hello"), 1002);
    for reserved in [0x40, 0x20, 0x10] {
        check_closed(&frame(TEXT | reserved, b"hello"), 1002);
    }
    for opcode in [0x3, 0x7, 0xb, 0xf] {
        check_closed(&frame(0x80 | opcode, b""), 1002);
    }
    check_closed(&frame(PING & 0x7f, b""), 1002);
    check_closed(&frame(PING, &[b'a'; 126]), 1002);
    check_closed(&frame(ENDS, b"nothing began"), 1002);
    check_closed(&[frame(TEXT_BEGINS, b"a"), frame(TEXT, b"b")].concat(), 1002);
}

#[test]
fn lengths_in_more_bytes_than_needed_are_closed_1002() {
    check_closed(&[TEXT, 0x80 | 126, 0, 5, 1, 2, 3, 4], 1002);
    check_closed(&[TEXT, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4], 1002);
    check_closed(&[TEXT, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1002);
}

#[test]
fn text_that_is_no_utf8_is_closed_1007() {
    check_closed(&frame(TEXT, b"\xff\xfe"), 1007);
    check_closed(&frame(TEXT, b"\xc0\xaf"), 1007);
    check_closed(&frame(TEXT, b"\xed\xa0\x80"), 1007);
    check_closed(&frame(TEXT, b"cut short \xe2\x82"), 1007);
    check_closed(&[frame(TEXT_BEGINS, b"\xe2"), frame(ENDS, b"\x28\xa1")].concat(), 1007);
}

#[test]
fn bad_utf8_is_closed_before_the_message_ends() {
    check_closed(&frame(TEXT_BEGINS, b"\xff"), 1007);
    let mut half = frame(TEXT, &[&b"\xff"[..], &[b'a'; 1000]].concat());
    half.truncate(500);
    check_closed(&half, 1007);
}

#[test]
fn message_past_the_limit_is_closed_1009() {
    let head_of_16_kib_and_1 = [TEXT, 0x80 | 126, 0x40, 0x01, 1, 2, 3, 4];
    check_closed(&head_of_16_kib_and_1, 1009);
    check_closed(&[TEXT, 0x80 | 127, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4], 1009);
    let half = vec![b'a'; 8 * 1024];
    check_closed(&[frame(TEXT_BEGINS, &half), frame(GOES_ON, &half), frame(ENDS, b"a")].concat(), 1009);
}

#[test]
fn fragments_are_put_together_across_a_ping() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws/3");
    let name = "Jürgen".as_bytes();
    socket.send_raw(&frame(TEXT_BEGINS, &[br#"{"member":""#, &name[..2]].concat()));
    socket.send_raw(&frame(PING, b"still there?"));
    assert_eq!(
        socket.any_message(),
        Message::Pong("still there?".into()),
        "a ping is answered before the message ends"
    );
    socket.send_raw(&frame(GOES_ON, &name[2..]));
    socket.send_raw(&frame(GOES_ON, b""));
    socket.send_raw(&frame(ENDS, br#"","x":1,"y":2}"#));
    assert_eq!(socket.update().member.as_deref(), Some("Jürgen"));
}

#[test]
fn message_that_comes_byte_by_byte_is_read() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws/3");
    for byte in frame(TEXT, format!(r#"{{"x":1,"y":2}}{}"#, " ".repeat(200)).as_bytes()) {
        socket.send_raw(&[byte]);
    }
    assert_eq!(socket.update().point(), (1.0, 2.0));
}

#[test]
fn ping_is_answered_with_its_payload() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws/3");
    for payload in [&b""[..], b"ping", &[b'a'; 125]] {
        socket.send_raw(&frame(PING, payload));
        assert_eq!(socket.any_message(), Message::Pong(payload.to_vec().into()));
    }
}

#[test]
fn close_is_answered_with_its_code() {
    let server = Server::start(&[]);
    for code in [1000, 1001, 3000, 4999] {
        let mut socket = Socket::open(&server, "/ws/3");
        socket.close(code);
        socket.expect_close(code);
    }
    let mut socket = Socket::open(&server, "/ws/3");
    socket.send_raw(&frame(CLOSE, b""));
    assert_eq!(socket.message(), Message::Close(None), "a Close without a code is answered without one");
    socket.expect_end();
}

#[test]
fn close_that_is_none_is_closed_1002() {
    check_closed(&frame(CLOSE, b"\x03"), 1002);
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        check_closed(&frame(CLOSE, &code.to_be_bytes()), 1002);
    }
    check_closed(&frame(CLOSE, b"\x03\xe8\xff"), 1007);
}

#[test]
fn nothing_is_published_behind_a_close() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws/3");
    socket.send_raw(&[frame(CLOSE, &1000u16.to_be_bytes()), frame(TEXT, br#"{"x":1,"y":2}"#)].concat());
    socket.expect_close(1000);
    assert_eq!(server.scrape().sum("geoloop_publishes_total", &[]), 0.0);
}

#[test]
fn silent_peer_is_closed() {
    let server = Server::start(&["--peer-timeout", "1s"]);
    let mut wire = Wire::connect(&server);
    wire.send(upgrade("/ws/3"));
    wire.head().expect_status(101);
    wire.rest();
    let scrape = server.scrape();
    assert_eq!(scrape.sum("geoloop_refused_total", &[("reason", "peer_timeout")]), 1.0);
}

#[test]
fn vanished_peer_frees_its_place_at_once() {
    let server = Server::start(&[]);
    let socket = Socket::open(&server, "/ws/3");
    server.wait_until_connected("websocket", 1);
    drop(socket);
    server.wait_until_connected("websocket", 0);
}

#[test]
fn echo_sends_back_what_it_got() {
    let server = Server::start(&["--echo"]);
    let mut socket = Socket::open(&server, "/echo");
    for message in [
        Message::text(""),
        Message::text("Grüße"),
        Message::binary(vec![0, 255, 1]),
        Message::binary(vec![7; 1 << 20]),
        Message::text("a".repeat(1 << 20)),
    ] {
        socket.send_message(message.clone());
        assert_eq!(socket.message(), message);
    }
    socket.send_raw(&frame(TEXT_BEGINS, b"a"));
    for _ in 0..1000 {
        socket.send_raw(&frame(GOES_ON, b"b"));
    }
    socket.send_raw(&frame(ENDS, b"c"));
    assert_eq!(socket.text(), format!("a{}c", "b".repeat(1000)));
    socket.close(1000);
    socket.expect_close(1000);
}
