//! STOMP connections: receipts, the window of unacknowledged messages, subscriptions that come and go.

use super::{Driver, Peer, at, text, upgrade};
use crate::limits::PUBLISHES_UNDER_WAY_MAX;
use crate::wire::websocket::frame::Opcode;

/// A frame in a text message of its own; `head` is the command and whole header lines.
fn stomp(head: &str, body: &str) -> Vec<u8> {
    text(&format!("{head}\n{body}\0"))
}

pub(super) fn connect(headers: &str) -> Vec<u8> {
    stomp(&format!("CONNECT\naccept-version:1.2\nhost:geo.example\n{headers}"), "")
}

pub(super) fn subscribe(id: &str, group: u64, headers: &str) -> Vec<u8> {
    stomp(&format!("SUBSCRIBE\nid:{id}\ndestination:/sub/location/{group}\n{headers}"), "")
}

pub(super) fn send_to(group: u64, headers: &str, body: &str) -> Vec<u8> {
    stomp(&format!("SEND\ndestination:/pub/share/{group}\n{headers}"), body)
}

/// A STOMP connection that is connected; `headers` are whole lines of its CONNECT.
#[track_caller]
pub(super) fn connect_stomp(driver: &mut Driver, shard: usize, headers: &str) -> Peer {
    let peer = driver.connect(shard, upgrade("/location"));
    driver.take_head(peer, "101");
    driver.send(peer, connect(headers));
    let connected = driver.take_texts(peer);
    assert!(connected.len() == 1 && connected[0].starts_with("CONNECTED\nversion:1.2\n"), "{connected:?}");
    peer
}

/// What a peer got, each frame by its command and what tells it from its like.
#[track_caller]
fn take_frames(driver: &mut Driver, peer: Peer) -> Vec<String> {
    let short = |frame: &String| {
        let header = |name| frame.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        match frame.lines().next().unwrap_or_default() {
            "RECEIPT" => format!("RECEIPT {}", header("receipt-id:")),
            "MESSAGE" => format!("MESSAGE {} {}", header("subscription:"), x(frame)),
            other => other.to_owned(),
        }
    };
    driver.take_texts(peer).iter().map(short).collect()
}

/// The first coordinate of the update in a frame.
fn x(frame: &str) -> &str {
    let (_, rest) = frame.split_once("\"x\":").unwrap_or_default();
    rest.split(',').next().unwrap_or_default()
}

#[track_caller]
fn check(driver: &mut Driver, peer: Peer, sent: &[u8], expected: &[&str]) {
    driver.send(peer, sent);
    assert_eq!(take_frames(driver, peer), expected);
}

/// An ACK of a message by the number of its subscription.
fn ack(ordinal: u32, seq: u64, headers: &str) -> Vec<u8> {
    stomp(&format!("ACK\nid:{ordinal}-{seq}\n{headers}"), "")
}

#[test]
fn receipts_are_given_on_every_frame_that_asks() {
    let mut driver = Driver::new(1);
    let peer = connect_stomp(&mut driver, 0, "");
    let mut check = |sent: Vec<u8>, expected: &[&str]| check(&mut driver, peer, &sent, expected);
    check(subscribe("a", 3, "receipt:r1\n"), &["RECEIPT r1"]);
    check(send_to(3, "receipt:r2\n", &at("alice", 1)), &["RECEIPT r2", "MESSAGE a 1"]);
    check(stomp("BEGIN\ntransaction:t\nreceipt:r3\n", ""), &["RECEIPT r3"]);
    check(send_to(3, "transaction:t\nreceipt:r4\n", &at("alice", 2)), &["RECEIPT r4"]);
    check(stomp("COMMIT\ntransaction:t\nreceipt:r5\n", ""), &["RECEIPT r5", "MESSAGE a 2"]);
    check(stomp("UNSUBSCRIBE\nid:a\nreceipt:r6\n", ""), &["RECEIPT r6"]);
    check(send_to(3, "receipt:r7\n", &at("alice", 3)), &["RECEIPT r7"]);
}

#[test]
fn receipts_from_another_shard_come_when_that_has_acted() {
    let mut driver = Driver::new(2);
    let peer = connect_stomp(&mut driver, 0, "");
    // This one settles the connection here; the next group is at home elsewhere.
    check(&mut driver, peer, &subscribe("a", 0, ""), &[]);
    driver.mail_rests = true;
    let sent = [subscribe("b", 1, "receipt:r1\n"), send_to(1, "receipt:r2\n", &at("alice", 1))].concat();
    check(&mut driver, peer, &sent, &[]);
    driver.mail_rests = false;
    driver.run();
    assert_eq!(take_frames(&mut driver, peer), ["RECEIPT r1", "RECEIPT r2", "MESSAGE b 1"]);
}

#[test]
fn commit_is_answered_once_all_of_its_locations_are_numbered() {
    let mut driver = Driver::new(2);
    let peer = connect_stomp(&mut driver, 0, "");
    driver.send(peer, subscribe("a", 0, ""));
    driver.send(peer, stomp("BEGIN\ntransaction:t\n", ""));
    driver.send(peer, send_to(1, "transaction:t\n", &at("alice", 1)));
    driver.send(peer, send_to(0, "transaction:t\n", &at("alice", 2)));
    driver.mail_rests = true;
    let commit = stomp("COMMIT\ntransaction:t\nreceipt:r\n", "");
    driver.send(peer, [commit, send_to(0, "receipt:s\n", &at("alice", 3))].concat());
    assert_eq!(take_frames(&mut driver, peer), [""; 0]);
    driver.mail_rests = false;
    driver.run();
    let got = take_frames(&mut driver, peer);
    assert_eq!(got, ["RECEIPT r", "RECEIPT s", "MESSAGE a 2", "MESSAGE a 3"]);
}

#[test]
fn disconnect_is_answered_once_all_that_was_sent_has_taken_effect() {
    let mut driver = Driver::new(2);
    let peer = connect_stomp(&mut driver, 0, "");
    let sent = [
        subscribe("a", 0, ""),
        send_to(1, "receipt:r1\n", &at("alice", 1)),
        stomp("DISCONNECT\nreceipt:r2\n", ""),
    ];
    driver.send(peer, sent.concat());
    let mut frames = driver.take_frames(peer);
    assert_eq!(frames.pop(), Some((Opcode::Close, 1000u16.to_be_bytes().to_vec())));
    let receipts: Vec<String> =
        frames.iter().map(|(_, frame)| String::from_utf8_lossy(frame).into_owned()).collect();
    assert_eq!(receipts, ["r1", "r2"].map(|id| format!("RECEIPT\nreceipt-id:{id}\n\n\0")));
    assert_eq!(driver.report(1).members, 1, "what it sent was numbered");
}

#[test]
fn unacknowledged_messages_are_bounded_and_what_waited_is_conflated() {
    let mut driver = Driver::with(1, |limits| limits.prefetch_count = 2);
    let peer = connect_stomp(&mut driver, 0, "");
    check(&mut driver, peer, &subscribe("a", 3, "ack:client-individual\n"), &[]);
    let numbers: Vec<u64> = (0..5).map(|x| driver.publish(3, &at("alice", x))).collect();
    assert_eq!(take_frames(&mut driver, peer), ["MESSAGE a 0", "MESSAGE a 1"]);
    check(&mut driver, peer, &ack(0, numbers[1], ""), &["MESSAGE a 4"]);
    check(&mut driver, peer, &ack(0, numbers[1], ""), &[]);
    check(&mut driver, peer, &ack(0, numbers[0], "receipt:r\n"), &["RECEIPT r"]);
    driver.publish(3, &at("alice", 5));
    assert_eq!(take_frames(&mut driver, peer), ["MESSAGE a 5"]);
}

#[test]
fn cumulative_acknowledgement_opens_the_whole_window() {
    let mut driver = Driver::with(1, |limits| limits.prefetch_count = 2);
    let peer = connect_stomp(&mut driver, 0, "");
    check(&mut driver, peer, &subscribe("a", 3, "ack:client\n"), &[]);
    let numbers: Vec<u64> = ["alice", "bob", "carol", "dave", "erin"]
        .iter()
        .enumerate()
        .map(|(x, member)| driver.publish(3, &at(member, x as u32)))
        .collect();
    assert_eq!(take_frames(&mut driver, peer), ["MESSAGE a 0", "MESSAGE a 1"]);
    check(&mut driver, peer, &ack(0, numbers[1], ""), &["MESSAGE a 2", "MESSAGE a 3"]);
    check(&mut driver, peer, &ack(0, numbers[3], ""), &["MESSAGE a 4"]);
}

#[test]
fn full_window_holds_no_other_subscription_back() {
    let mut driver = Driver::with(1, |limits| limits.prefetch_count = 1);
    let peer = connect_stomp(&mut driver, 0, "");
    driver.send(peer, [subscribe("a", 3, "ack:client\n"), subscribe("b", 3, "")].concat());
    for x in 0..3 {
        driver.publish(3, &at("alice", x));
    }
    let mut got = take_frames(&mut driver, peer);
    got.sort();
    assert_eq!(got, ["MESSAGE a 0", "MESSAGE b 0", "MESSAGE b 1", "MESSAGE b 2"]);
}

#[test]
fn each_subscription_gets_each_update_once() {
    let mut driver = Driver::new(1);
    let peer = connect_stomp(&mut driver, 0, "");
    driver.send(peer, [subscribe("a", 3, ""), subscribe("b", 3, "")].concat());
    driver.publish(3, &at("alice", 1));
    assert_eq!(take_frames(&mut driver, peer), ["MESSAGE a 1", "MESSAGE b 1"]);
    check(&mut driver, peer, &stomp("UNSUBSCRIBE\nid:a\n", ""), &[]);
    driver.publish(3, &at("alice", 2));
    assert_eq!(take_frames(&mut driver, peer), ["MESSAGE b 2"]);
}

#[test]
fn subscriptions_of_one_group_close_together_and_leave_strangers_alone() {
    for closes_first in [false, true] {
        let mut driver = Driver::new(1);
        let peers = [connect_stomp(&mut driver, 0, ""), connect_stomp(&mut driver, 0, "")];
        // Interleaved, so that taking one out of the group's list moves others of either connection.
        for id in ["a", "b", "c"] {
            for peer in peers {
                driver.send(peer, subscribe(id, 3, ""));
            }
        }
        let (goes, stays) = if closes_first { (peers[0], peers[1]) } else { (peers[1], peers[0]) };
        check(&mut driver, stays, &stomp("UNSUBSCRIBE\nid:b\n", ""), &[]);
        driver.hang_up(goes);
        assert_eq!(driver.waiters(0, 3), 2);
        driver.publish(3, &at("alice", 1));
        let mut got = take_frames(&mut driver, stays);
        got.sort();
        assert_eq!(got, ["MESSAGE a 1", "MESSAGE c 1"]);
        driver.hang_up(stays);
        assert_eq!(driver.waiters(0, 3), 0);
    }
}

#[test]
fn place_of_an_ended_subscription_is_used_again() {
    let mut driver = Driver::new(1);
    let peer = connect_stomp(&mut driver, 0, "");
    for x in 0..5 {
        driver.send(peer, subscribe("a", 3, ""));
        driver.publish(3, &at("alice", x));
        assert_eq!(take_frames(&mut driver, peer), [format!("MESSAGE a {x}")]);
        check(&mut driver, peer, &stomp("UNSUBSCRIBE\nid:a\n", ""), &[]);
    }
    assert_eq!(driver.waiters(0, 3), 0);
}

#[test]
fn client_is_not_read_past_the_publishes_that_may_be_under_way() {
    let mut driver = Driver::new(2);
    let peer = connect_stomp(&mut driver, 0, "");
    driver.send(peer, subscribe("a", 0, ""));
    driver.mail_rests = true;
    let sends: Vec<u8> =
        (0..40).flat_map(|x| send_to(1, &format!("receipt:r{x}\n"), &at("alice", x))).collect();
    driver.send(peer, sends);
    assert_eq!(driver.letters.len(), usize::from(PUBLISHES_UNDER_WAY_MAX));
    assert!(driver.sockets[peer.0].held, "it would be read on");
    driver.mail_rests = false;
    driver.run();
    let receipts: Vec<String> = (0..40).map(|x| format!("RECEIPT r{x}")).collect();
    assert_eq!(take_frames(&mut driver, peer), receipts);
}

#[test]
fn stale_publish_is_dropped_and_its_receipt_given() {
    let mut driver = Driver::new(1);
    let peer = connect_stomp(&mut driver, 0, "");
    driver.send(peer, subscribe("a", 3, ""));
    let timed = |x, at| format!("{{\"member\":\"alice\",\"x\":{x},\"y\":0,\"at\":{at}}}");
    check(&mut driver, peer, &send_to(3, "", &timed(1, 2000)), &["MESSAGE a 1"]);
    check(&mut driver, peer, &send_to(3, "receipt:r\n", &timed(2, 1000)), &["RECEIPT r"]);
}
