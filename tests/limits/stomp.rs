//! What a STOMP connection may send and hold: frames, headers, subscriptions, transactions, unacknowledged messages.

use tungstenite::Message;

use crate::harness::stomp::{Stomp, frame};
use crate::harness::websocket::Socket;
use crate::{Scene, publish_of};

const TO_3: (&str, &str) = ("destination", "/pub/share/3");

/// What is at a limit takes effect, and the connection goes on.
#[track_caller]
fn check_taken(flags: &[&str], messages: &[&str]) {
    let mut scene = Scene::open(flags);
    let mut stomp = Stomp::connect(&scene.server);
    stomp.subscribe("s", 3);
    for message in messages {
        stomp.send_text(message);
    }
    assert_eq!(stomp.update().point(), (1.0, 2.0));
    stomp.send_for_receipt("BEGIN", &[("transaction", "after")], "");
    scene.check(&[]);
}

/// What is past a limit is told so in an ERROR whose words say `rule`, and closes the connection; nothing of it is
/// published, and others of its group go on.
#[track_caller]
fn check_error(flags: &[&str], messages: &[&str], reason: &str, rule: &str) {
    let mut scene = Scene::open(flags);
    let mut watcher = Socket::open(&scene.server, "/ws/3");
    let mut stomp = Stomp::connect(&scene.server);
    for message in messages {
        stomp.send_text(message);
    }
    expect_error(stomp, rule);
    let published = scene.server.publish(3, "bob", 3, 4);
    assert_eq!(watcher.update(), published);
    scene.check(&[(reason, 1)]);
}

#[track_caller]
fn expect_error(stomp: Stomp, rule: &str) {
    let message = stomp.expect_error();
    assert!(message.contains(rule), "{message:?} does not say {rule:?}");
}

/// A SEND that is so many bytes long, its NUL with it.
fn send_of(bytes: usize) -> String {
    let empty = frame("SEND", &[TO_3], "").len();
    frame("SEND", &[TO_3], &publish_of(bytes - empty))
}

/// A SEND with so many header lines.
fn lines_of(count: usize) -> String {
    let headers = [vec![TO_3], vec![("x", "y"); count - 1]].concat();
    frame("SEND", &headers, &publish_of(0))
}

#[test]
fn frame_is_bounded_by_its_flag() {
    let flag = ["--max-frame-bytes", "128"];
    check_taken(&flag, &[&send_of(128)]);
    check_error(&flag, &[&send_of(129)], "frame_max", "128 are allowed");
    check_taken(&[], &[&send_of(16384)]);
    check_error(&[], &[&send_of(16385)], "frame_max", "16384 are allowed");
}

#[test]
fn frame_over_several_messages_is_bounded_by_its_flag() {
    let flag = ["--max-frame-bytes", "128"];
    for size in [1, 50, 127] {
        let pieces = |frame: String| {
            let pieces = frame.as_bytes().chunks(size).map(<[u8]>::to_vec);
            pieces.map(|piece| String::from_utf8(piece).expect("frames are ASCII here")).collect::<Vec<_>>()
        };
        let (at_limit, past) = (pieces(send_of(128)), pieces(send_of(129)));
        check_taken(&flag, &at_limit.iter().map(String::as_str).collect::<Vec<_>>());
        check_error(
            &flag,
            &past.iter().map(String::as_str).collect::<Vec<_>>(),
            "frame_max",
            "128 are allowed",
        );
    }
}

#[test]
fn frames_in_one_message_are_each_bounded() {
    let two = send_of(128).repeat(2);
    check_taken(&["--max-frame-bytes", "128"], &[&two]);
}

#[test]
fn message_too_long_for_a_body_and_a_frame_is_closed_by_websocket() {
    let mut scene = Scene::open(&["--max-frame-bytes", "128", "--max-body-bytes", "100"]);
    let mut stomp = Stomp::connect(&scene.server);
    stomp.subscribe("s", 3);
    stomp.send_text(&(send_of(128) + &"\n".repeat(100)));
    assert_eq!(stomp.update().point(), (1.0, 2.0));
    stomp.send_text(&(send_of(128) + &"\n".repeat(101)));
    stomp.socket.expect_close(1009);
    scene.check(&[("body_max", 1)]);
}

#[test]
fn header_lines_are_bounded_by_their_flag() {
    let flag = ["--max-frame-headers", "5"];
    check_taken(&flag, &[&lines_of(5)]);
    check_error(&flag, &[&lines_of(6)], "frame_max", "the 5 header lines");
    check_taken(&[], &[&lines_of(64)]);
    check_error(&[], &[&lines_of(65)], "frame_max", "the 64 header lines");
}

#[track_caller]
fn check_subscriptions(flags: &[&str], count: u64) {
    let mut scene = Scene::open(flags);
    let mut watcher = Socket::open(&scene.server, "/ws/3");
    let mut stomp = Stomp::connect(&scene.server);
    for group in 0..count {
        stomp.subscribe(&group.to_string(), group);
    }
    // A place that comes free can be taken again.
    stomp.send_for_receipt("UNSUBSCRIBE", &[("id", "0")], "");
    stomp.subscribe("again", 0);
    scene.check(&[]);
    stomp.send("SUBSCRIBE", &[("id", "more"), ("destination", "/sub/location/500")], "");
    expect_error(stomp, &format!("its {count} subscriptions"));
    let published = scene.server.publish(3, "bob", 3, 4);
    assert_eq!(watcher.update(), published);
    scene.server.wait_for_gauge("geoloop_subscriptions", &[("transport", "stomp")], 0);
    scene.check(&[("subscriptions_max", 1)]);
}

#[test]
fn subscriptions_are_bounded_by_their_flag() {
    check_subscriptions(&["--max-subscriptions", "5"], 5);
    check_subscriptions(&[], 64);
}

#[test]
fn connection_has_at_most_8_transactions() {
    let mut scene = Scene::open(&[]);
    let mut stomp = Stomp::connect(&scene.server);
    for transaction in ["0", "1", "2", "3", "4", "5", "6", "7"] {
        stomp.send_for_receipt("BEGIN", &[("transaction", transaction)], "");
    }
    stomp.send_for_receipt("ABORT", &[("transaction", "3")], "");
    stomp.send_for_receipt("BEGIN", &[("transaction", "again")], "");
    scene.check(&[]);
    stomp.send("BEGIN", &[("transaction", "more")], "");
    expect_error(stomp, "its 8 transactions");
    scene.check(&[("transactions_max", 1)]);
}

/// Holds bodies of `pieces` x `bytes` back in two transactions.
fn held_back(pieces: usize, bytes: usize) -> Vec<String> {
    let begin = |id| frame("BEGIN", &[("transaction", id)], "");
    let send = |id| frame("SEND", &[TO_3, ("transaction", id)], &publish_of(bytes));
    let mut frames = vec![begin("a"), begin("b")];
    frames.extend((0..pieces).map(|piece| send(if piece % 2 == 0 { "a" } else { "b" })));
    frames
}

#[test]
fn transactions_hold_at_most_64_kib_all_together() {
    // Each held-back act counts for a place in a list besides its body, so just under 64 KiB of bodies is the most.
    let flags = ["--max-frame-bytes", "128KiB", "--max-body-bytes", "128KiB"];
    for (pieces, bytes) in [(1, 65_000), (4, 16_250), (60, 900)] {
        let mut frames = held_back(pieces, bytes);
        frames.push(frame("COMMIT", &[("transaction", "a")], ""));
        check_taken(&flags, &frames.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for (pieces, bytes) in [(1, 65_536), (2, 32_768), (4, 16_384), (64, 1024)] {
        let frames = held_back(pieces, bytes);
        let frames: Vec<_> = frames.iter().map(String::as_str).collect();
        check_error(&flags, &frames, "transactions_max", "65536 bytes");
    }
}

#[test]
fn places_for_acknowledgements_count_into_the_64_kib() {
    let mut scene = Scene::open(&[]);
    let mut stomp = Stomp::connect(&scene.server);
    stomp.subscribe_with("s", 3, &[("ack", "client-individual")]);
    scene.server.publish(3, "alice", 1, 2);
    let message = stomp.frame();
    let ack = [("id", message.needed_header("ack")), ("transaction", "t")];
    let all = frame("BEGIN", &[("transaction", "t")], "") + &frame("ACK", &ack, "").repeat(200);
    stomp.send_text(&all);
    stomp.send_for_receipt("COMMIT", &[("transaction", "t")], "");
    scene.check(&[]);
    // A list of acknowledgements without a body must come to an end as well.
    stomp.send_text(&frame("BEGIN", &[("transaction", "t")], ""));
    for _ in 0..14 {
        stomp.send_text(&frame("ACK", &ack, "").repeat(100));
    }
    expect_error(stomp, "65536 bytes");
    scene.check(&[("transactions_max", 1)]);
}

#[track_caller]
fn check_prefetch(flags: &[&str], headers: &[(&str, &str)], window: u64) {
    let mut scene = Scene::open(flags);
    let mut stomp = Stomp::connect(&scene.server);
    stomp.subscribe_with("s", 3, &[&[("ack", "client")], headers].concat());
    let mut last = None;
    for x in 0..window {
        let published = scene.server.publish(3, "alice", x, 0);
        let message = stomp.frame();
        assert_eq!(message.update(), published, "all of the window comes, and nothing is left out");
        last = Some(message);
    }
    // Past it nothing comes: what a receipt brings along is nothing at all.
    let past: Vec<_> = (0..3).map(|x| scene.server.publish(3, "alice", x, 1)).collect();
    assert_eq!(stomp.send_for_receipt("BEGIN", &[("transaction", "t")], ""), []);
    let last = last.expect("a window holds one message at least");
    stomp.send("ACK", &[("id", last.needed_header("ack"))], "");
    let newest = stomp.update();
    assert_eq!((newest.seq, newest.gap), (past[2].seq, true), "conflated to the newest, and that is told");
    assert_eq!(scene.server.scrape().sum("geoloop_updates_conflated_total", &[]), 2.0);
    scene.check(&[]);
}

#[test]
fn unacknowledged_messages_are_bounded_by_their_flag() {
    check_prefetch(&["--prefetch-count", "1"], &[], 1);
    check_prefetch(&["--prefetch-count", "20"], &[], 20);
    check_prefetch(&["--prefetch-count", "20"], &[("prefetch-count", "5")], 5);
    check_prefetch(&["--prefetch-count", "20"], &[("prefetch-count", "21")], 20);
    check_prefetch(&[], &[], 1000);
}

#[test]
fn member_of_a_connection_has_at_most_64_bytes() {
    let mut scene = Scene::open(&[]);
    let mut stomp = Stomp::connect_with(&scene.server, &[("member", &"a".repeat(64))]);
    stomp.send_for_receipt("BEGIN", &[("transaction", "t")], "");
    scene.check(&[]);
    let mut longer = Stomp::open(&scene.server);
    longer.send("CONNECT", &[("accept-version", "1.2"), ("host", "a"), ("member", &"a".repeat(65))], "");
    expect_error(longer, "64 bytes");
    scene.check(&[("stomp", 1)]);
}

#[test]
fn group_of_a_destination_is_at_most_the_largest_of_63_bits() {
    const LAST: &str = "9223372036854775807";
    let mut scene = Scene::open(&[]);
    let mut stomp = Stomp::connect(&scene.server);
    stomp.subscribe("s", i64::MAX as u64);
    stomp.publish(i64::MAX as u64, &publish_of(0));
    assert_eq!(stomp.frame().needed_header("destination"), format!("/sub/location/{LAST}"));
    scene.check(&[]);
    let past = i64::MAX as u64 + 1;
    stomp.publish(past, &publish_of(0));
    expect_error(stomp, LAST);
    let mut stomp = Stomp::connect(&scene.server);
    stomp.send("SUBSCRIBE", &[("id", "s"), ("destination", &format!("/sub/location/{past}"))], "");
    expect_error(stomp, LAST);
    scene.check(&[("stomp", 2)]);
}

#[test]
fn connection_that_never_connects_is_told_so() {
    let mut scene = Scene::open(&["--connect-timeout", "1s"]);
    let mut connected = Stomp::connect(&scene.server);
    let silent = Stomp::open(&scene.server);
    let mut beats = Stomp::open(&scene.server);
    // Line ends are no CONNECT.
    beats.send_text("\n");
    expect_error(silent, "connect timeout");
    expect_error(beats, "connect timeout");
    connected.send_for_receipt("BEGIN", &[("transaction", "t")], "");
    scene.check(&[("connect_timeout", 2)]);
}

#[test]
fn error_is_the_last_that_a_connection_hears() {
    let mut scene = Scene::open(&["--max-frame-headers", "5"]);
    let mut stomp = Stomp::connect(&scene.server);
    let behind = lines_of(6) + &frame("BEGIN", &[("transaction", "t"), ("receipt", "r")], "");
    stomp.send_text(&behind);
    assert_eq!(stomp.frame().command, "ERROR");
    assert!(matches!(stomp.socket.message(), Message::Close(_)), "no receipt comes behind an ERROR");
    stomp.socket.expect_end();
    scene.check(&[("frame_max", 1)]);
}
