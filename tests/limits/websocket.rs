//! What a WebSocket message may be, in bytes and in fragments.

use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::websocket::{ENDS, GOES_ON, PING, Socket, TEXT, TEXT_BEGINS, frame};
use crate::{Scene, publish_of};

/// A message that is at a limit is published, and its sender goes on.
#[track_caller]
fn check_taken(flags: &[&str], bytes: &[u8]) {
    let mut scene = Scene::open(flags);
    let mut socket = Socket::open(&scene.server, "/ws/3");
    socket.send_raw(bytes);
    assert_eq!(socket.update().point(), (1.0, 2.0));
    socket.send(&publish_of(0));
    socket.update();
    scene.check(&[]);
}

/// A message past a limit closes its connection with this code and a reason that says `rule`; nothing is published.
#[track_caller]
fn check_closed(flags: &[&str], bytes: &[u8], code: u16, reason: &str, rule: &str) {
    let mut scene = Scene::open(flags);
    let mut watcher = Socket::open(&scene.server, "/ws/3");
    let mut socket = Socket::open(&scene.server, "/ws/3");
    socket.send_raw(bytes);
    match socket.message() {
        Message::Close(Some(close)) => {
            assert_eq!(close.code, CloseCode::from(code), "{}", close.reason);
            assert!(close.reason.contains(rule), "{:?} does not say {rule:?}", close.reason);
        }
        other => panic!("not a Close {code}: {other:?}"),
    }
    socket.expect_end();
    let published = scene.server.publish(3, "bob", 3, 4);
    assert_eq!(watcher.update(), published, "nothing was published before it, and others of the group go on");
    scene.check(&[(reason, 1)]);
}

/// One message in frames of this size.
fn fragments(message: &str, size: usize) -> Vec<u8> {
    let pieces: Vec<&[u8]> = message.as_bytes().chunks(size).collect();
    let mut bytes = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let first = match (index, index + 1 == pieces.len()) {
            (0, true) => TEXT,
            (0, false) => TEXT_BEGINS,
            (_, false) => GOES_ON,
            (_, true) => ENDS,
        };
        bytes.extend(frame(first, piece));
    }
    bytes
}

#[test]
fn whole_message_is_bounded_by_its_flag() {
    let flag = ["--max-body-bytes", "64"];
    check_taken(&flag, &frame(TEXT, publish_of(64).as_bytes()));
    check_closed(&flag, &frame(TEXT, publish_of(65).as_bytes()), 1009, "body_max", "limit of 64");
    check_taken(&[], &frame(TEXT, publish_of(16384).as_bytes()));
    check_closed(&[], &frame(TEXT, publish_of(16385).as_bytes()), 1009, "body_max", "limit of 16384");
}

#[test]
fn message_is_refused_by_the_length_that_it_announces() {
    // The first bytes of a frame of 2^40 bytes: none of them needs to come.
    let head = [&[TEXT, 0x80 | 127][..], &(1u64 << 40).to_be_bytes(), &[1, 2, 3, 4]].concat();
    check_closed(&[], &head, 1009, "body_max", "limit of 16384");
}

#[test]
fn message_in_fragments_is_bounded_by_its_flag() {
    let flag = ["--max-body-bytes", "64"];
    for size in [1, 9, 63, 64] {
        check_taken(&flag, &fragments(&publish_of(64), size));
        check_closed(&flag, &fragments(&publish_of(65), size), 1009, "body_max", "limit of 64");
    }
    check_taken(&[], &fragments(&publish_of(16384), 4096));
    check_closed(&[], &fragments(&publish_of(16385), 4096), 1009, "body_max", "limit of 16384");
}

#[test]
fn message_comes_in_at_most_1024_fragments() {
    let at_limit = fragments(&publish_of(1024), 1);
    check_taken(&[], &at_limit);
    let past = fragments(&publish_of(1025), 1);
    check_closed(&[], &past, 1008, "websocket", "1024 fragments");
    // Empty ones count as well: no limit of bytes ever ends them.
    let mut empty = frame(TEXT_BEGINS, b"");
    empty.extend(frame(GOES_ON, b"").repeat(1024));
    check_closed(&[], &empty, 1008, "websocket", "1024 fragments");
}

#[test]
fn ping_has_at_most_125_bytes() {
    let mut scene = Scene::open(&[]);
    let mut socket = Socket::open(&scene.server, "/ws/3");
    socket.send_raw(&frame(PING, &[b'a'; 125]));
    assert_eq!(socket.any_message(), Message::Pong(vec![b'a'; 125].into()));
    scene.check(&[]);
    check_closed(&[], &frame(PING, &[b'a'; 126]), 1002, "websocket", "125 bytes");
}
