//! STOMP over WebSocket over real sockets: publishing and hearing, acknowledgement, transactions, heart-beats. The
//! rules of the specification are in tests of their own.

mod harness;

use harness::Server;
use harness::stomp::{Frame, Stomp, frame};
use harness::websocket::Socket;
use tungstenite::Message;

const BODY: &str = r#"{"member":"alice","x":1,"y":2}"#;

// The seed's frames, byte for byte.

#[test]
fn frames_of_the_seeds_script_work() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::open_with(&server, &[]);
    let id = "5f2b1d0e-3c4a-4b6d-9e8f-0a1b2c3d4e5f";
    stomp.send_text("CONNECT\naccept-version:1.0,1.1,2.0\n\n\0\n");
    stomp.send_text(&format!("SUBSCRIBE\nid:{id}\ndestination:/sub/location/10\n\n\0\n"));
    stomp.send_text("SEND\ndestination:/pub/share/10\n\n{\"content\":\"Hi from k6 STOMP!\"}\0\n");
    let connected = stomp.frame();
    assert_eq!((connected.command.as_str(), connected.header("version")), ("CONNECTED", Some("1.1")));
    let message = stomp.frame();
    assert_eq!(message.needed_header("subscription"), id);
    assert_eq!(message.needed_header("destination"), "/sub/location/10");
    let (x, y) = message.update().point();
    assert!((0.0..100.0).contains(&x) && (0.0..100.0).contains(&y), "{message:?}");
}

// Publishing and hearing.

#[test]
fn message_has_every_promised_header() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("auto", 3);
    stomp.subscribe_with("acked", 4, &[("ack", "client")]);
    let published = server.publish(3, "alice", 1, 2);
    let message = stomp.frame();
    assert_eq!(message.update(), published, "Frame checks content-type, content-length and message-id");
    assert_eq!(message.needed_header("destination"), "/sub/location/3");
    assert_eq!(message.needed_header("subscription"), "auto");
    assert_eq!(message.header("ack"), None);
    let published = server.publish(4, "alice", 1, 2);
    let message = stomp.frame();
    assert_eq!(message.update(), published);
    assert_eq!(message.needed_header("subscription"), "acked");
    message.needed_header("ack");
}

#[test]
fn send_reaches_subscribers_by_either_destination() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("s", 3);
    for destination in ["/pub/share/3", "/sub/location/3"] {
        stomp.send("SEND", &[("destination", destination)], BODY);
        assert_eq!(stomp.update().point(), (1.0, 2.0), "{destination}");
    }
}

#[test]
fn frames_behind_connect_take_effect_in_order() {
    let server = Server::start(&["--workers", "4"]);
    for group in 0..8 {
        let mut stomp = Stomp::open(&server);
        let all = frame("CONNECT", &[("accept-version", "1.2"), ("host", "a")], "")
            + &frame("SUBSCRIBE", &[("id", "s"), ("destination", &format!("/sub/location/{group}"))], "")
            + &frame("SEND", &[("destination", &format!("/pub/share/{group}"))], BODY)
            + &frame("SEND", &[("destination", &format!("/pub/share/{group}"))], BODY);
        stomp.send_text(&all);
        assert_eq!(stomp.frame().command, "CONNECTED");
        harness::update::check_in_order(&stomp.updates(2));
    }
}

#[test]
fn two_groups_on_one_connection_are_told_apart() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("three", 3);
    stomp.subscribe("four", 4);
    for _ in 0..5 {
        for (id, group) in [("three", 3), ("four", 4)] {
            let published = server.publish(group, "alice", 1, 2);
            let message = stomp.frame();
            assert_eq!(message.needed_header("subscription"), id);
            assert_eq!(message.update(), published);
        }
    }
}

#[test]
fn two_subscriptions_to_one_group_each_get_the_update() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("a", 3);
    stomp.subscribe("b", 3);
    let published = server.publish(3, "alice", 1, 2);
    let messages = [stomp.frame(), stomp.frame()];
    let mut ids: Vec<_> = messages.iter().map(|message| message.needed_header("subscription")).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b"]);
    assert_ne!(messages[0].needed_header("message-id"), messages[1].needed_header("message-id"));
    assert_eq!([messages[0].update(), messages[1].update()], [published.clone(), published]);
}

#[test]
fn unsubscribed_group_is_heard_no_more() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("three", 3);
    stomp.subscribe("four", 4);
    assert_eq!(stomp.send_for_receipt("UNSUBSCRIBE", &[("id", "three")], ""), []);
    server.publish(3, "alice", 1, 2);
    let published = server.publish(4, "alice", 3, 4);
    assert_eq!(stomp.update(), published);
    stomp.subscribe("three", 3);
    let published = server.publish(3, "alice", 5, 6);
    assert_eq!(stomp.update(), published, "the id is free again");
}

#[test]
fn since_header_replays_and_goes_on_live() {
    let server = Server::start(&[]);
    let published: Vec<_> = (0..5).map(|x| server.publish(3, "alice", x, 0)).collect();
    let mut stomp = Stomp::connect(&server);
    let since = published[1].seq.to_string();
    stomp.send("SUBSCRIBE", &[("id", "s"), ("destination", "/sub/location/3"), ("since", &since)], "");
    assert_eq!(stomp.updates(3), published[2..]);
    let live = server.publish(3, "alice", 9, 9);
    assert_eq!(stomp.update(), live);
}

#[test]
fn member_of_the_connection_leaves_all_its_groups() {
    let server = Server::start(&[]);
    let mut watcher = Stomp::connect(&server);
    watcher.subscribe("three", 3);
    watcher.subscribe("four", 4);
    let mut alice = Stomp::connect_with(&server, &[("member", "alice")]);
    for (id, group) in [("three", 3), ("four", 4)] {
        alice.subscribe(id, group);
        alice.publish(group, r#"{"x":1,"y":2}"#);
        assert_eq!(alice.update().member.as_deref(), Some("alice"));
        assert_eq!(watcher.update().member.as_deref(), Some("alice"));
    }
    drop(alice);
    let mut left = [watcher.frame(), watcher.frame()];
    left.sort_by(|a, b| a.header("destination").cmp(&b.header("destination")));
    for (message, destination) in left.iter().zip(["/sub/location/3", "/sub/location/4"]) {
        assert_eq!(message.needed_header("destination"), destination);
        assert!(message.update().is_leave_of("alice"), "{message:?}");
    }
}

// Receipts.

#[test]
fn every_frame_that_asks_gets_a_receipt() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe_with("s", 3, &[("ack", "client")]);
    let published = server.publish(3, "alice", 1, 2);
    let first = stomp.frame();
    assert_eq!(first.update(), published);
    let second = server.publish(3, "alice", 3, 4);
    let second_message = stomp.frame();
    assert_eq!(second_message.update(), second);
    stomp.send_for_receipt("ACK", &[("id", first.needed_header("ack"))], "");
    stomp.send_for_receipt("NACK", &[("id", second_message.needed_header("ack"))], "");
    stomp.send_for_receipt("BEGIN", &[("transaction", "t")], "");
    stomp.send_for_receipt("SEND", &[("destination", "/pub/share/4"), ("transaction", "t")], BODY);
    stomp.send_for_receipt("COMMIT", &[("transaction", "t")], "");
    stomp.send_for_receipt("BEGIN", &[("transaction", "t")], "");
    stomp.send_for_receipt("ABORT", &[("transaction", "t")], "");
    stomp.send_for_receipt("SEND", &[("destination", "/pub/share/4")], BODY);
    stomp.send_for_receipt("UNSUBSCRIBE", &[("id", "s")], "");
    stomp.send_for_receipt("DISCONNECT", &[], "");
    stomp.expect_end();
}

#[test]
fn receipt_of_a_send_comes_after_the_group_has_it() {
    let server = Server::start(&["--workers", "4"]);
    let mut stomp = Stomp::connect(&server);
    for group in 0..16 {
        let destination = format!("/pub/share/{group}");
        let body = format!(r#"{{"x":{group},"y":0}}"#);
        stomp.send_for_receipt("SEND", &[("destination", &destination)], &body);
        assert_eq!(server.get(&format!("/location/cur/{group}")).update().point().0, group as f64);
    }
}

#[test]
fn stale_send_still_gets_its_receipt() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect_with(&server, &[("member", "alice")]);
    stomp.subscribe("s", 3);
    for at in [1000, 999] {
        let body = format!(r#"{{"x":1,"y":2,"at":{at}}}"#);
        stomp.send_for_receipt("SEND", &[("destination", "/pub/share/3")], &body);
    }
    assert_eq!(server.get("/location/cur/3").update().at, 1000);
}

// Acknowledgement.

/// A subscription with a window of two, and the ten updates of which it has been sent the first two.
#[track_caller]
fn windowed(server: &Server, mode: &str) -> (Stomp, [Frame; 2], Vec<u64>) {
    let mut stomp = Stomp::connect(server);
    stomp.subscribe_with("s", 3, &[("ack", mode)]);
    let mut published = Vec::new();
    for x in 0..10 {
        let member = if x % 2 == 0 { "even" } else { "odd" };
        published.push(server.publish(3, member, x, 0).seq);
    }
    let sent = [stomp.frame(), stomp.frame()];
    assert_eq!([sent[0].update().seq, sent[1].update().seq], published[..2]);
    assert_eq!(stomp.send_for_receipt("BEGIN", &[("transaction", "t")], ""), [], "the window is full");
    (stomp, sent, published)
}

#[track_caller]
fn check_acknowledged(mode: &str, command: &str, which: usize, freed: usize) {
    let server = Server::start(&["--prefetch-count", "2"]);
    let (mut stomp, sent, published) = windowed(&server, mode);
    stomp.send(command, &[("id", sent[which].needed_header("ack"))], "");
    // Of what waited, each member's newest is left, and the first of them tells of the gap.
    for (place, seq) in published[8..8 + freed].iter().enumerate() {
        let update = stomp.update();
        assert_eq!((update.seq, update.gap), (*seq, place == 0), "{mode} {command}: {}", update.text);
    }
    assert_eq!(
        stomp.send_for_receipt("ABORT", &[("transaction", "t")], ""),
        [],
        "{mode}: the window is full"
    );
}

#[test]
fn client_may_ask_for_a_smaller_window() {
    let server = Server::start(&["--prefetch-count", "3"]);
    for (asked, granted) in [("1", 1), ("2", 2), ("9", 3)] {
        let mut stomp = Stomp::connect(&server);
        stomp.subscribe_with("s", 3, &[("ack", "client"), ("prefetch-count", asked)]);
        let published: Vec<u64> = (0..5).map(|x| server.publish(3, "alice", x, 0).seq).collect();
        let sent: Vec<u64> = stomp.updates(granted).iter().map(|update| update.seq).collect();
        assert_eq!(sent, published[..granted], "prefetch-count:{asked}");
        assert_eq!(stomp.send_for_receipt("BEGIN", &[("transaction", "t")], ""), [], "the window is full");
    }
}

#[test]
fn window_opens_as_messages_are_acknowledged() {
    check_acknowledged("client-individual", "ACK", 0, 1);
    check_acknowledged("client-individual", "ACK", 1, 1);
    check_acknowledged("client-individual", "NACK", 1, 1);
    check_acknowledged("client", "ACK", 0, 1);
    check_acknowledged("client", "ACK", 1, 2);
    check_acknowledged("client", "NACK", 1, 2);
}

#[test]
fn older_versions_acknowledge_by_message_id() {
    let server = Server::start(&["--prefetch-count", "1"]);
    for version in ["1.0", "1.1"] {
        let mut stomp = Stomp::open_with(&server, &[]);
        stomp.send("CONNECT", &[("accept-version", version), ("host", "a")], "");
        assert_eq!(stomp.frame().needed_header("version"), version);
        stomp.subscribe_with("s", 3, &[("ack", "client")]);
        server.publish(3, "alice", 1, 2);
        let message = stomp.frame();
        let next = server.publish(3, "alice", 3, 4);
        let id = message.needed_header("message-id");
        stomp.send("ACK", &[("message-id", id), ("subscription", "s")], "");
        assert_eq!(stomp.update().seq, next.seq, "{version}");
    }
}

#[test]
fn auto_needs_no_acknowledgement() {
    let server = Server::start(&["--prefetch-count", "2"]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("s", 3);
    let published: Vec<_> = (0..10).map(|x| server.publish(3, "alice", x, 0)).collect();
    assert_eq!(stomp.updates(10), published);
}

// Transactions.

#[test]
fn transaction_takes_effect_at_its_commit() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("s", 3);
    let in_t = [("destination", "/pub/share/3"), ("transaction", "t")];
    stomp.send_for_receipt("BEGIN", &[("transaction", "t")], "");
    for x in 0..3 {
        stomp.send_for_receipt("SEND", &in_t, &format!(r#"{{"member":"t","x":{x},"y":0}}"#));
    }
    let published = server.publish(3, "alice", 9, 9);
    assert_eq!(stomp.update(), published, "nothing of the transaction was told yet");
    stomp.send("COMMIT", &[("transaction", "t")], "");
    let xs: Vec<_> = stomp.updates(3).iter().map(|update| update.point().0).collect();
    assert_eq!(xs, [0.0, 1.0, 2.0]);
}

#[test]
fn aborted_transaction_leaves_nothing() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    stomp.send("BEGIN", &[("transaction", "t")], "");
    stomp.send("SEND", &[("destination", "/pub/share/3"), ("transaction", "t")], BODY);
    stomp.send_for_receipt("ABORT", &[("transaction", "t")], "");
    assert_eq!(server.scrape().sum("geoloop_publishes_total", &[]), 0.0);
    stomp.send_for_receipt("BEGIN", &[("transaction", "t")], "");
    stomp.send_for_receipt("COMMIT", &[("transaction", "t")], "");
    assert_eq!(server.scrape().sum("geoloop_publishes_total", &[]), 0.0);
}

#[test]
fn transaction_holds_acknowledgements_back() {
    let server = Server::start(&["--prefetch-count", "1"]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe_with("s", 3, &[("ack", "client")]);
    server.publish(3, "alice", 1, 2);
    let message = stomp.frame();
    let next = server.publish(3, "alice", 3, 4);
    stomp.send("BEGIN", &[("transaction", "t")], "");
    let ack = [("id", message.needed_header("ack")), ("transaction", "t")];
    assert_eq!(stomp.send_for_receipt("ACK", &ack, ""), [], "not before the commit");
    stomp.send("COMMIT", &[("transaction", "t")], "");
    assert_eq!(stomp.update().seq, next.seq);
}

// Heart-beats.

#[test]
fn server_beats_as_often_as_the_client_wants() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::open(&server);
    let connected = stomp.handshake(&[("heart-beat", "0,300")]);
    let offered = connected.needed_header("heart-beat").split_once(',').expect("two numbers");
    assert_ne!(offered.0, "0", "the server can beat: {offered:?}");
    for _ in 0..3 {
        stomp.expect_beat();
    }
}

#[test]
fn client_whose_beats_stay_away_is_closed() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::open(&server);
    let connected = stomp.handshake(&[("heart-beat", "300,0")]);
    let offered = connected.needed_header("heart-beat").split_once(',').expect("two numbers");
    let wanted_ms: u64 = offered.1.parse().expect("heart-beat is two numbers");
    assert!(
        (1..=4000).contains(&wanted_ms),
        "the server wants beats, and would miss them in this test: {offered:?}"
    );
    while !matches!(stomp.socket.message(), Message::Close(_)) {}
    assert_eq!(server.scrape().sum("geoloop_refused_total", &[("reason", "peer_timeout")]), 1.0);
}

#[test]
fn any_frame_is_as_good_as_a_heart_beat() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::open(&server);
    // The server's beats are the clock of this test: it answers each with one of its own.
    stomp.handshake(&[("heart-beat", "300,300")]);
    for round in 0..8 {
        stomp.expect_beat();
        stomp.send_text(if round % 2 == 0 { "\n" } else { "\r\n" });
    }
    stomp.send_for_receipt("BEGIN", &[("transaction", "t")], "");
}

// Frames in other shapes.

#[track_caller]
fn check_shape(send: impl FnOnce(&mut Socket, &str)) {
    let server = Server::start(&["--workers", "1"]);
    let mut stomp = Stomp::open(&server);
    let text = frame("CONNECT", &[("accept-version", "1.2"), ("host", "a")], "")
        + &frame("SUBSCRIBE", &[("id", "s"), ("destination", "/sub/location/3")], "")
        + &frame("SEND", &[("destination", "/pub/share/3")], BODY);
    send(&mut stomp.socket, &text);
    assert_eq!(stomp.frame().command, "CONNECTED");
    assert_eq!(stomp.update().point(), (1.0, 2.0));
}

#[test]
fn frames_may_lie_in_messages_in_any_way() {
    check_shape(|socket, text| socket.send(text));
    check_shape(|socket, text| socket.send_message(Message::binary(text.as_bytes().to_vec())));
    check_shape(|socket, text| text.split_inclusive('\0').for_each(|frame| socket.send(frame)));
    check_shape(|socket, text| text.split_inclusive('\n').for_each(|line| socket.send(line)));
    check_shape(|socket, text| text.bytes().for_each(|byte| socket.send(&char::from(byte).to_string())));
    check_shape(|socket, text| socket.send(&text.replace('\n', "\r\n")));
    check_shape(|socket, text| socket.send(&text.replace('\0', "\0\n\n\r\n\n")));
    check_shape(|socket, text| socket.send(&format!("\n\r\n\n{text}\n")));
    check_shape(|socket, text| {
        let (one, other) = text.split_at(text.len() / 2);
        socket.send(one);
        socket.send("");
        socket.send_message(Message::binary(other.as_bytes().to_vec()));
    });
}

#[test]
fn escapes_are_read_and_written() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    stomp.send("SUBSCRIBE", &[("id", r"a\cb\\c\nd"), ("destination", r"/sub/location/3")], "");
    stomp.send("SEND", &[("destination", "/pub/share/3")], BODY);
    assert_eq!(stomp.frame().needed_header("subscription"), "a:b\\c\nd");
    stomp.send("BEGIN", &[("transaction", "t"), ("receipt", r"r\c1")], "");
    assert_eq!(stomp.frame().needed_header("receipt-id"), "r:1");
}
