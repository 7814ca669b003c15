//! Sockets that take little: short writes at every place, conflation, the bound on what waits.

use std::time::Duration;

use super::stomp::{connect, connect_stomp, send_to, subscribe};
use super::{Driver, Peer, at, get, post, seq, text, upgrade, write_to};
use crate::ids::Transport;
use crate::limits::SlowConsumer;
use crate::report::Reason;
use crate::shard::Output;

/// What a peer gets that says `hello` after three updates of group 7, and whose socket blocks after `room` bytes
/// until three more have come in one turn and one in the next; afterwards it takes `step` bytes at a time.
fn received(hello: &[u8], room: usize, step: usize) -> Vec<u8> {
    let mut driver = Driver::new(1);
    for x in 0..3 {
        driver.publish(7, &at("alice", x));
    }
    let peer = driver.accept(0);
    driver.sockets[peer.0].room = room;
    driver.send(peer, hello);
    let publisher = driver.accept(0);
    for x in 3..6 {
        driver.feed(publisher, post(7, &at("alice", x)));
    }
    driver.run();
    driver.send(publisher, post(7, &at("bob", 6)));
    let mut got = driver.take(peer);
    loop {
        driver.make_room(peer, step);
        let more = driver.take(peer);
        if more.is_empty() {
            break;
        }
        got.extend(more);
    }
    driver.make_room(peer, usize::MAX);
    driver.send(publisher, post(7, &at("bob", 7)));
    got.extend(driver.take(peer));
    let report = driver.report(0);
    assert_eq!(report.delivered.iter().sum::<u64>(), 8.min(seqs(&got).len() as u64), "counted once each");
    assert_eq!(report.conflated.iter().sum::<u64>(), 0);
    assert_eq!(report.queue_bytes.iter().sum::<u64>(), 0);
    got
}

/// Every number of an update in a stream of whatever form, in order.
fn seqs(stream: &[u8]) -> Vec<u64> {
    let stream = String::from_utf8_lossy(stream).into_owned();
    stream.match_indices("{\"seq\":").map(|(at, _)| seq(&stream[at..])).collect()
}

/// Whatever a socket takes, its peer gets the same bytes; `owed` of the eight updates are among them.
#[track_caller]
fn check_splits(hello: impl AsRef<[u8]>, owed: usize) {
    let hello = hello.as_ref();
    let whole = received(hello, usize::MAX, usize::MAX);
    let numbers = seqs(&whole);
    assert_eq!(numbers.len(), owed);
    assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{numbers:?}");
    for room in 0..=whole.len() {
        let split = received(hello, room, usize::MAX);
        assert_eq!(split, whole, "blocked after {room} bytes: {}", String::from_utf8_lossy(&split));
    }
    for step in [1, 2, 7, 64, 97] {
        assert_eq!(received(hello, 0, step), whole, "{step} bytes a write");
    }
}

#[test]
fn websocket_gets_the_same_bytes_however_its_writes_are_split() {
    check_splits(upgrade("/ws/7"), 5);
}

#[test]
fn websocket_replay_gets_the_same_bytes_however_its_writes_are_split() {
    check_splits(upgrade("/ws/7?since=0"), 8);
}

#[test]
fn event_stream_gets_the_same_bytes_however_its_writes_are_split() {
    check_splits(get("/location/sse/7"), 5);
}

#[test]
fn event_stream_replay_gets_the_same_bytes_however_its_writes_are_split() {
    check_splits(get("/location/sse/7?last_event_id=0"), 8);
}

#[test]
fn stomp_gets_the_same_bytes_however_its_writes_are_split() {
    check_splits([upgrade("/location").into_bytes(), connect(""), subscribe("a", 7, "")].concat(), 5);
}

#[test]
fn stomp_replay_gets_the_same_bytes_however_its_writes_are_split() {
    check_splits(
        [upgrade("/location").into_bytes(), connect(""), subscribe("a", 7, "since:0\n")].concat(),
        8,
    );
}

#[test]
fn acknowledged_stomp_gets_the_same_bytes_however_its_writes_are_split() {
    check_splits(
        [upgrade("/location").into_bytes(), connect(""), subscribe("a", 7, "ack:client\nsince:0\n")].concat(),
        8,
    );
}

#[test]
fn unacknowledged_messages_are_counted_once_however_writes_are_split() {
    // With room for exactly the eight messages, a message counted twice would leave one of them out.
    let hello =
        [upgrade("/location").into_bytes(), connect(""), subscribe("a", 7, "ack:client\nsince:0\n")].concat();
    for room in 0..1500 {
        let mut driver = Driver::with(1, |limits| limits.prefetch_count = 4);
        let numbers: Vec<u64> = (0..3).map(|x| driver.publish(7, &at("alice", x))).collect();
        let peer = driver.accept(0);
        driver.sockets[peer.0].room = room;
        driver.send(peer, &hello);
        let last = driver.publish(7, &at("alice", 3));
        driver.make_room(peer, usize::MAX);
        assert_eq!(seqs(&driver.take(peer)), [&numbers[..], &[last]].concat(), "blocked after {room} bytes");
    }
}

#[test]
fn what_one_turn_brings_is_not_piled_up_for_everybody_before_it_is_written() {
    const UPDATES: usize = 2000;
    let mut driver = Driver::new(1);
    let queue_bytes_max = driver.shards[0].env.limits.queue_bytes_max;
    // Who has two subscriptions has a queue of its own, for their heads differ.
    let hello =
        [upgrade("/location").into_bytes(), connect(""), subscribe("a", 7, ""), subscribe("b", 8, "")];
    let peers: Vec<Peer> = (0..9).map(|_| driver.connect(0, hello.concat())).collect();
    // One of them stops at some time.
    driver.sockets[peers[4].0].room = 100_000;
    let publisher = driver.open_websocket(0, 7, "");
    for x in 0..UPDATES as u32 {
        driver.feed(publisher, text(&at("alice", x)));
    }
    let mut queued_most = 0;
    while let Some(output) = driver.shards[0].poll_output() {
        let Output::Write { conns, bytes } = output else { continue };
        let short = write_to(&mut driver.sockets, 0, conns, bytes);
        driver.shards[0].handle_wrote(&short);
        queued_most = queued_most.max(driver.report(0).queue_bytes[Transport::Stomp as usize] as usize);
    }
    driver.make_room(peers[4], usize::MAX);
    for peer in &peers {
        let numbers = seqs(&driver.take(*peer));
        let is_whole = numbers.len() == UPDATES && numbers.is_sorted_by(|a, b| a + 1 == *b);
        assert!(is_whole != (*peer == peers[4]) && numbers.is_sorted_by(|a, b| a < b), "{peer:?}");
    }
    let everything = UPDATES * 250;
    assert!(queued_most < everything + peers.len() * queue_bytes_max, "{queued_most} bytes waited at once");
}

/// Whoever has a queue of its own stands among those who are written to together.
#[test]
fn long_queue_that_is_written_between_leaves_nobody_out() {
    const UPDATES: usize = 2000;
    let mut driver = Driver::new(1);
    let wants = [
        subscribe("a", 7, ""),
        [subscribe("a", 7, ""), subscribe("b", 8, "")].concat(),
        subscribe("b", 7, ""),
    ];
    let hello = [upgrade("/location").into_bytes(), connect("")].concat();
    let peers: Vec<Peer> =
        (0..30).map(|nth| driver.connect(0, [&hello[..], &wants[nth * 2 / 3 % 3]].concat())).collect();
    let publisher = driver.open_websocket(0, 7, "");
    for x in 0..UPDATES as u32 {
        driver.feed(publisher, text(&at("alice", x)));
    }
    driver.run();
    let told = driver.take_seqs(publisher);
    assert_eq!(told.len(), UPDATES);
    for (nth, peer) in peers.iter().enumerate() {
        assert!(seqs(&driver.take(*peer)) == told, "{nth} got others");
    }
    assert_eq!(driver.report(0).delivered, [0, 0, 0, 0, UPDATES as u64, 30 * UPDATES as u64]);
}

#[test]
fn what_waits_is_counted_as_long_as_it_is_written() {
    for id in ["a", "a very long id that is kept as it was given, for it is not short"] {
        for headers in ["", "ack:client\n"] {
            let mut driver = Driver::new(1);
            // One who is written at once has the same id, and one another.
            let peers = [(id, ""), (id, headers), ("b", "")].map(|(id, headers)| {
                let peer = connect_stomp(&mut driver, 0, "");
                driver.send(peer, subscribe(id, 7, headers));
                peer
            });
            driver.sockets[peers[1].0].room = 0;
            // The first finds out that the socket takes nothing.
            driver.publish(7, &at("alice", 1));
            driver.publish(7, &at("alice", 2));
            let waits = driver.report(0).queue_bytes[Transport::Stomp as usize] as usize;
            driver.make_room(peers[1], usize::MAX);
            assert_eq!(driver.take(peers[1]).len(), waits, "{id}, {headers}");
        }
    }
}

/// The numbers of the updates that one subscription of a STOMP connection got.
fn seqs_of(got: &str, subscription: &str) -> Vec<u64> {
    let is_its = |message: &&str| message.contains(&format!("subscription:{subscription}\n"));
    got.split("MESSAGE\n").filter(is_its).map(seq).collect()
}

#[test]
fn who_replays_beside_a_long_turn_is_told_nothing_twice() {
    for room in [usize::MAX, 10_000, 40_000, 300_000, 600_000] {
        // One write takes more than such a queue: it must not go on to what is read by cursor all the same.
        let mut driver = Driver::with(1, |limits| (limits.queue_bytes_max, limits.history) = (400, 8));
        let before = driver.publish(7, &at("alice", 0));
        let hello = [upgrade("/location").into_bytes(), connect(""), subscribe("a", 7, "")].concat();
        let peer = driver.connect(0, hello);
        driver.sockets[peer.0].room = room;
        let publisher = driver.open_websocket(0, 7, "");
        for x in 0..2000 {
            driver.feed(publisher, text(&at("alice", x)));
            if x == 1000 {
                driver.feed(peer, subscribe("b", 7, &format!("since:{before}\n")));
            }
        }
        driver.run();
        driver.make_room(peer, usize::MAX);
        let last = driver.publish(7, &at("alice", 0));
        let got = String::from_utf8_lossy(&driver.take(peer)).into_owned();
        for subscription in ["a", "b"] {
            let numbers = seqs_of(&got, subscription);
            assert!(numbers.is_sorted_by(|a, b| a < b), "{subscription}, {room}: something came twice");
            assert_eq!(numbers.last(), Some(&last), "{subscription}, {room}");
        }
        if room == usize::MAX {
            assert_eq!(seqs_of(&got, "a").len(), 2001, "nothing is missing");
        }
    }
}

#[test]
fn connection_that_breaks_in_a_long_turn_takes_nobody_with_it() {
    let mut driver = Driver::new(1);
    let hello =
        [upgrade("/location").into_bytes(), connect(""), subscribe("a", 7, ""), subscribe("b", 8, "")];
    let peers: Vec<Peer> = (0..3).map(|_| driver.connect(0, hello.concat())).collect();
    let publisher = driver.open_websocket(0, 7, "");
    for x in 0..2000 {
        driver.feed(publisher, text(&at("alice", x)));
    }
    driver.sockets[peers[0].0].broken = true;
    driver.run();
    assert_eq!(driver.shard_of(peers[0]), None);
    for peer in &peers[1..] {
        assert_eq!(seqs(&driver.take(*peer)).len(), 2000, "{peer:?}");
    }
}

/// A WebSocket in group 7 that takes `room` bytes more; queues are bounded to 400 bytes.
fn blocked(room: usize, slow_consumer: SlowConsumer) -> (Driver, Peer) {
    let mut driver = Driver::with(1, |limits| {
        (limits.queue_bytes_max, limits.slow_consumer) = (400, slow_consumer);
    });
    let peer = driver.open_websocket(0, 7, "");
    driver.sockets[peer.0].room = room;
    (driver, peer)
}

#[test]
fn blocked_subscriber_past_its_queue_gets_each_members_newest() {
    let (mut driver, peer) = blocked(0, SlowConsumer::Conflate);
    let mut newest = Vec::new();
    for x in 0..13 {
        newest = ["alice", "bob", "carol"].map(|member| driver.publish(7, &at(member, x))).to_vec();
    }
    driver.make_room(peer, usize::MAX);
    let texts = driver.take_texts(peer);
    assert_eq!(texts.iter().map(|text| seq(text)).collect::<Vec<_>>(), newest);
    let gaps: Vec<bool> = texts.iter().map(|text| text.ends_with("\"gap\":true}")).collect();
    assert_eq!(gaps, [true, false, false], "{texts:?}");
    let report = driver.report(0);
    let websocket = Transport::WebSocket as usize;
    assert_eq!((report.delivered[websocket], report.conflated[websocket]), (3, 36));
    let live = driver.publish(7, &at("alice", 99));
    let texts = driver.take_texts(peer);
    assert!(texts.len() == 1 && seq(&texts[0]) == live && !texts[0].contains("gap"), "{texts:?}");
}

#[test]
fn message_that_was_begun_is_ended_before_newer_ones_follow() {
    let (mut driver, peer) = blocked(10, SlowConsumer::Conflate);
    let first = driver.publish(7, &at("alice", 0));
    let mut newest = 0;
    for x in 1..30 {
        newest = driver.publish(7, &at("alice", x));
    }
    driver.make_room(peer, usize::MAX);
    assert_eq!(driver.take_seqs(peer), [first, newest]);
}

#[test]
fn blocked_subscriber_hears_that_a_member_left_while_the_ring_has_it() {
    let (mut driver, peer) = blocked(0, SlowConsumer::Conflate);
    driver.publish(7, &at("bob", 1));
    let left = driver.publish(7, "{\"member\":\"bob\",\"left\":true}");
    let mut newest = 0;
    for x in 0..20 {
        newest = driver.publish(7, &at("alice", x));
    }
    driver.make_room(peer, usize::MAX);
    assert_eq!(driver.take_seqs(peer), [left, newest]);
}

#[test]
fn blocked_subscriber_hears_that_it_missed_the_nameless_member_that_has_gone() {
    let mut driver = Driver::with(1, |limits| {
        (limits.queue_bytes_max, limits.member_ttl) = (0, Duration::from_millis(100));
    });
    let peer = driver.open_websocket(0, 7, "");
    driver.make_room(peer, 0);
    driver.publish(7, "{\"x\":1,\"y\":1}");
    driver.pass(Duration::from_millis(200));
    driver.make_room(peer, usize::MAX);
    assert_eq!(driver.take_texts(peer), [""; 0]);
    for (x, ends) in [(2, "\"gap\":true}"), (3, "}")] {
        driver.publish(7, &at("alice", x));
        let texts = driver.take_texts(peer);
        assert!(texts.len() == 1 && texts[0].ends_with(ends), "{texts:?}");
        assert_eq!(texts[0].contains("gap"), x == 2);
    }
}

#[test]
fn what_a_blocked_subscriber_holds_stays_within_its_queue() {
    let (mut driver, peer) = blocked(0, SlowConsumer::Conflate);
    let websocket = Transport::WebSocket as usize;
    for x in 0..50 {
        driver.publish(7, &at("alice", x));
        assert!(driver.report(0).queue_bytes[websocket] <= 400);
    }
    driver.hang_up(peer);
    assert_eq!(driver.report(0).queue_bytes[websocket], 0);
}

#[test]
fn slow_consumer_is_closed_where_the_operator_wants_that() {
    let (mut driver, peer) = blocked(0, SlowConsumer::Disconnect);
    for x in 0..20 {
        driver.publish(7, &at("alice", x));
    }
    assert_eq!(driver.shard_of(peer), None);
    assert_eq!(driver.report(0).refused[Reason::SlowConsumer as usize], 1);
    assert_eq!(driver.waiters(0, 7), 0);
}

#[test]
fn nobody_else_waits_for_a_blocked_subscriber() {
    let (mut driver, _) = blocked(0, SlowConsumer::Conflate);
    let quick = driver.open_websocket(0, 7, "");
    let numbers: Vec<u64> = (0..20).map(|x| driver.publish(7, &at("alice", x))).collect();
    assert_eq!(driver.take_seqs(quick), numbers);
}

#[test]
fn pong_overtakes_the_updates_that_wait() {
    let (mut driver, peer) = blocked(0, SlowConsumer::Conflate);
    let waits = driver.publish(7, &at("alice", 0));
    let mut ping = text("hi");
    ping[0] = 0x89;
    driver.send(peer, ping);
    driver.make_room(peer, usize::MAX);
    assert_eq!(driver.sockets[peer.0].got.drain(..4).collect::<Vec<_>>(), b"\x8a\x02hi");
    assert_eq!(driver.take_seqs(peer), [waits]);
}

#[test]
fn each_subscription_of_a_blocked_connection_ends_on_its_groups_newest() {
    let mut driver = Driver::with(1, |limits| limits.queue_bytes_max = 400);
    let peer = connect_stomp(&mut driver, 0, "");
    driver.send(peer, [subscribe("a", 7, ""), subscribe("b", 8, "")].concat());
    driver.sockets[peer.0].room = 0;
    let mut newest = [0; 2];
    for x in 0..20 {
        newest = [driver.publish(7, &at("alice", x)), driver.publish(8, &at("bob", x))];
    }
    driver.make_room(peer, usize::MAX);
    assert_eq!(driver.take_seqs(peer), newest);
    driver.send(peer, send_to(8, "", &at("bob", 99)));
    assert_eq!(driver.take_seqs(peer), [newest[1] + 1]);
}

#[test]
fn poll_whose_socket_takes_nothing_at_first_gets_its_answer() {
    let mut driver = Driver::new(1);
    let peer = driver.connect(0, get("/location/long/3"));
    driver.sockets[peer.0].room = 0;
    let number = driver.publish(3, &at("alice", 1));
    driver.make_room(peer, usize::MAX);
    assert_eq!(seq(&driver.take_answer(peer, "200").1), number);
}
