//! WebSocket over real sockets: publishing and hearing, presence, the life of a connection. The rules of the protocol
//! are in tests of their own, named after the RFC.

mod harness;

use harness::Server;
use harness::websocket::{ENDS, GOES_ON, PING, Socket, TEXT, TEXT_BEGINS, frame};
use tungstenite::Message;

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
