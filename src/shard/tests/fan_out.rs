//! One group's updates to its subscribers: each once, in order, in one write a turn.

use std::time::Duration;

use super::stomp::{connect_stomp, subscribe};
use super::{Driver, Peer, at, get, header, post, seq, text, upgrade};
use crate::limits::UNTOLD_UPDATES_MAX;
use crate::report::Asked;
use crate::wire::websocket::frame::Opcode;

/// Subscribers of group 3, one of each transport that parks.
fn one_of_each(driver: &mut Driver) -> [Peer; 4] {
    let websocket = driver.open_websocket(0, 3, "");
    let sse = driver.connect(0, get("/location/sse/3"));
    let poll = driver.connect(0, get("/location/long/3"));
    let stomp = connect_stomp(driver, 0, "");
    driver.send(stomp, subscribe("a", 3, ""));
    for peer in [sse, stomp] {
        driver.take(peer);
    }
    [websocket, sse, poll, stomp]
}

/// Publishes all of `bodies` to group 3 in one turn; what each of `peers` got, of one write each.
#[track_caller]
fn publish_in_one_turn(driver: &mut Driver, peers: &[Peer], bodies: &[String]) -> Vec<String> {
    let before: Vec<usize> = peers.iter().map(|peer| driver.writes(*peer)).collect();
    let publisher = driver.accept(0);
    for body in bodies {
        driver.feed(publisher, post(3, body));
    }
    driver.run();
    assert_eq!(driver.writes(publisher), 1, "its answers");
    for (peer, before) in peers.iter().zip(before) {
        assert_eq!(driver.writes(*peer), before + 1, "{peer:?}");
    }
    peers.iter().map(|peer| String::from_utf8_lossy(&driver.take(*peer)).into_owned()).collect()
}

#[test]
fn publish_reaches_every_subscriber_once_in_one_write() {
    let mut driver = Driver::new(1);
    let peers = one_of_each(&mut driver);
    let got = publish_in_one_turn(&mut driver, &peers, &[at("alice", 1)]);
    for got in got {
        assert_eq!(got.matches("\"x\":1,").count(), 1, "{got}");
    }
}

#[test]
fn ten_publishes_in_one_turn_are_one_write_a_subscriber() {
    let mut driver = Driver::new(1);
    let peers = one_of_each(&mut driver);
    let bodies: Vec<String> = (0..10).map(|x| at("alice", x)).collect();
    let got = publish_in_one_turn(&mut driver, &peers, &bodies);
    for (peer, got) in peers.iter().zip(got) {
        let owed = if *peer == peers[2] { 1 } else { 10 };
        let xs: Vec<_> = got.match_indices("\"x\":").map(|(at, _)| &got[at + 4..at + 5]).collect();
        assert_eq!(xs, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"][..owed], "{peer:?}: {got}");
    }
    let report = driver.report(0);
    assert_eq!(report.delivered, [0, 0, 1, 10, 10, 10]);
    assert_eq!(report.publishes.iter().sum::<u64>(), 10);
}

/// More of each transport than are written to at a time; some of their sockets take little of what comes next.
#[test]
fn many_are_told_alike_whatever_one_of_them_takes() {
    const EACH: usize = 150;
    let mut driver = Driver::new(1);
    let mut peers = Vec::new();
    for index in 0..EACH {
        peers.push(driver.open_websocket(0, 3, ""));
        peers.push(driver.connect(0, get("/location/sse/3")));
        peers.push(driver.connect(0, get("/location/long/3")));
        let stomp = connect_stomp(&mut driver, 0, "");
        // Frames are others where the id is; whoever acknowledges has a queue of its own.
        let headers = if index % 40 == 7 { "ack:client\n" } else { "" };
        driver.send(stomp, subscribe(["a", "b", "a long one"][index / 20 % 3], 3, headers));
        peers.push(stomp);
    }
    peers.iter().for_each(|peer| drop(driver.take(*peer)));
    let slow = |index: usize| index % 13 == 5;
    for (index, peer) in peers.iter().enumerate().filter(|(index, _)| slow(*index)) {
        driver.sockets[peer.0].room = index % 200;
    }
    let publisher = driver.accept(0);
    driver.feed(publisher, post(3, &at("alice", 1)));
    driver.feed(publisher, post(3, &at("alice", 2)));
    driver.run();
    for (index, peer) in peers.iter().enumerate() {
        if slow(index) {
            driver.make_room(*peer, usize::MAX);
        }
        let owed = if index % 4 == 2 { 1 } else { 2 };
        let got = String::from_utf8_lossy(&driver.take(*peer)).into_owned();
        let xs: Vec<_> = got.match_indices("\"x\":").map(|(at, _)| &got[at + 4..at + 5]).collect();
        assert_eq!(xs, ["1", "2"][..owed], "{index}: {got}");
    }
    let each = EACH as u64;
    assert_eq!(driver.report(0).delivered, [0, 0, each, 2 * each, 2 * each, 2 * each]);
}

/// Every fifth of many finds its end while all are written to.
#[test]
fn whoever_breaks_while_many_are_told_takes_nobody_with_it() {
    let mut driver = Driver::new(1);
    let peers: Vec<Peer> = (0..90).flat_map(|_| one_of_each(&mut driver)).collect();
    let is_sound = |index: &usize| index % 5 != 2;
    let sound = (0..peers.len()).filter(is_sound);
    for index in (0..peers.len()).filter(|index| !is_sound(index)) {
        driver.sockets[peers[index].0].broken = true;
    }
    driver.publish(3, &at("alice", 1));
    let report = driver.report(0);
    assert_eq!(report.delivered, [0, 0, 72, 72, 72, 72]);
    assert_eq!(report.connections, [0, 0, 72, 72, 72, 72]);
    assert_eq!(driver.waiters(0, 3), 3 * 72, "every poll was answered");
    for index in sound {
        let got = String::from_utf8_lossy(&driver.take(peers[index])).into_owned();
        assert_eq!(got.matches("\"x\":1,").count(), 1, "{index}: {got}");
        assert_eq!(driver.shard_of(peers[index]), Some(0));
    }
    // Newcomers have the slots of those who went.
    let newcomers: Vec<Peer> = (0..18).flat_map(|_| one_of_each(&mut driver)).collect();
    driver.publish(3, &at("alice", 2));
    for (index, peer) in newcomers.iter().enumerate() {
        let got = String::from_utf8_lossy(&driver.take(*peer)).into_owned();
        assert_eq!(got.matches("\"x\":").count(), 1, "{index}: {got}");
    }
}

#[test]
fn whoever_has_gone_this_turn_is_told_nothing_any_more() {
    let mut driver = Driver::new(1);
    let mut peers = one_of_each(&mut driver).to_vec();
    // Its answer would be its own.
    peers.push(driver.connect(0, "GET /location/long/3 HTTP/1.0\r\n\r\n"));
    let publisher = driver.accept(0);
    let before: Vec<usize> = peers.iter().map(|peer| driver.writes(*peer)).collect();
    for peer in &peers {
        let (shard, conn) = driver.sockets[peer.0].served.unwrap();
        driver.shards[shard].handle_read_closed(conn);
        driver.shards[shard].handle_ended(conn);
    }
    driver.feed(publisher, post(3, &at("alice", 1)));
    driver.run();
    for (peer, before) in peers.iter().zip(before) {
        assert_eq!(driver.writes(*peer), before, "{peer:?}");
        assert_eq!(driver.shard_of(*peer), None);
    }
    let report = driver.report(0);
    assert_eq!(report.delivered, [0; 6]);
    assert_eq!(report.requests[Asked::LongPoll as usize], [0; 5]);
}

#[test]
fn turn_tells_so_many_and_the_next_tells_the_rest() {
    let mut driver = Driver::with(1, |limits| limits.fan_out_writes_max = 1);
    let [first, second] = [3, 4].map(|group| [(); 2].map(|()| driver.open_websocket(0, group, "")));
    let publisher = driver.accept(0);
    for group in [3, 4] {
        driver.feed(publisher, post(group, &at("alice", 1)));
    }
    driver.do_outputs(0);
    assert_eq!(
        [first[0], first[1], second[0], second[1]].map(|peer| driver.take_seqs(peer).len()),
        [1, 1, 0, 0]
    );
    assert_eq!(driver.shards[0].poll_timeout(), Some(driver.now.tick));
    // Whoever asks meanwhile is answered in the same turn, before anybody is told.
    let newcomer = driver.accept(0);
    driver.feed(newcomer, get("/healthz"));
    driver.do_outputs(0);
    driver.take_answer(newcomer, "200");
    assert_eq!(second.map(|peer| driver.take_seqs(peer).len()), [1, 1]);
    assert_ne!(driver.shards[0].poll_timeout(), Some(driver.now.tick));
}

#[test]
fn whoever_comes_between_the_turns_gets_each_update_once() {
    let mut driver = Driver::with(1, |limits| limits.fan_out_writes_max = 1);
    driver.open_websocket(0, 3, "");
    let told = driver.open_websocket(0, 4, "");
    let publisher = driver.accept(0);
    for group in [3, 4, 4] {
        driver.feed(publisher, post(group, &at("alice", 1)));
    }
    driver.do_outputs(0);
    // The updates of group 4 are numbered and not told; one who replays reads them from the ring.
    let [live, replay] = ["/ws/4", "/ws/4?since=0"].map(|target| {
        let peer = driver.accept(0);
        driver.feed(peer, upgrade(target));
        peer
    });
    driver.run();
    driver.publish(4, &at("alice", 2));
    let all = driver.take_seqs(told);
    for (peer, owed) in [(live, &all[2..]), (replay, &all[..])] {
        driver.take_head(peer, "101");
        assert_eq!(driver.take_seqs(peer), owed, "{peer:?}");
    }
}

#[test]
fn whoever_reads_by_cursor_is_answered_before_its_groups_are_told() {
    let mut driver = Driver::with(1, |limits| limits.fan_out_writes_max = 1);
    driver.open_websocket(0, 3, "");
    let peer = connect_stomp(&mut driver, 0, "");
    // Its window is full with the first update: it is behind until that is acknowledged.
    for group in [4, 5] {
        driver.send(peer, subscribe(&group.to_string(), group, "ack:client\nprefetch-count:1\n"));
        driver.publish(group, &at("alice", 1));
        driver.publish(group, &at("alice", 2));
    }
    assert_eq!(driver.take_seqs(peer).len(), 2);
    let publisher = driver.accept(0);
    for turn in 0..3 {
        // Some group of its own waits for a later turn, whichever is told in this one.
        for group in [3, 4, 3, 5] {
            driver.feed(publisher, post(group, &at("alice", turn)));
        }
        driver.feed(peer, [0x89, 0x80, 0, 0, 0, 0]);
        driver.do_outputs(0);
        assert_eq!(driver.take_frames(peer), [(Opcode::Pong, Vec::new())], "turn {turn}");
    }
}

#[test]
fn goodbye_goes_behind_what_is_still_to_be_told() {
    let mut driver = Driver::with(1, |limits| limits.fan_out_writes_max = 1);
    driver.open_websocket(0, 3, "");
    let peer = driver.open_websocket(0, 4, "");
    let window = Duration::from_secs(5);
    driver.shards[0].handle_drain(window);
    for group in [3, 4] {
        let publisher = driver.accept(0);
        driver.feed(publisher, post(group, &at("alice", 1)));
    }
    driver.set_clock(driver.now.tick.after(window));
    driver.shards[0].handle_timeout();
    driver.do_outputs(0);
    assert_eq!(driver.take(peer), b"", "the other group was told first");
    driver.run();
    let opcodes: Vec<_> = driver.take_frames(peer).into_iter().map(|(opcode, _)| opcode).collect();
    assert_eq!(opcodes, [Opcode::Text, Opcode::Close]);
    assert!(driver.sockets[peer.0].shut);
}

#[test]
fn updates_that_are_queued_count_as_the_writes_that_they_lead_to() {
    let mut driver = Driver::with(1, |limits| limits.fan_out_writes_max = 1);
    // What a connection of several subscriptions, or one that acknowledges, is told goes through a queue of its own.
    let peers = [(3, 13), (4, 14)].map(|(group, other)| {
        let peer = connect_stomp(&mut driver, 0, "");
        driver.send(peer, [subscribe("a", group, ""), subscribe("b", other, "")].concat());
        peer
    });
    let publisher = driver.accept(0);
    driver.feed(publisher, [post(3, &at("alice", 1)), post(4, &at("alice", 1))].concat());
    for told in [[1, 0], [0, 1]] {
        driver.do_outputs(0);
        assert_eq!(peers.map(|peer| driver.take_seqs(peer).len()), told);
    }
}

#[test]
fn poll_that_comes_among_untold_updates_misses_none_that_the_ring_has_lost() {
    let mut driver = Driver::with(1, |limits| {
        limits.fan_out_writes_max = 1;
        limits.history = 4;
    });
    driver.open_websocket(0, 3, "");
    let publisher = driver.accept(0);
    let poll = driver.accept(0);
    for group in [3, 4] {
        driver.feed(publisher, post(group, &at("alice", 0)));
    }
    driver.feed(poll, get("/location/long/4"));
    driver.feed(publisher, post(4, &at("alice", 1)).repeat(10));
    driver.run();
    let (_, content) = driver.take_answer(poll, "200");
    driver.take_answer(publisher, "200");
    let before = seq(&driver.take_answer(publisher, "200").1);
    assert_eq!((seq(&content), content.contains("gap")), (before + 1, false), "{content}");
}

#[test]
fn poll_whose_time_is_over_before_it_is_told_misses_none_that_the_ring_has_lost() {
    let mut driver = Driver::with(1, |limits| limits.history = 4);
    let publisher = driver.accept(0);
    let before = driver.publish(4, &at("alice", 0));
    let poll = driver.connect(0, get("/location/long/4?timeout=1000"));
    driver.feed(publisher, post(4, &at("alice", 1)).repeat(10));
    driver.set_clock(driver.now.tick.after(Duration::from_secs(2)));
    driver.shards[0].handle_timeout();
    driver.run();
    let (_, content) = driver.take_answer(poll, "200");
    assert_eq!((seq(&content), content.contains("gap")), (before + 1, false), "{content}");
}

#[test]
fn what_is_left_to_tell_is_bounded() {
    for (updates, told) in [(UNTOLD_UPDATES_MAX, 0), (UNTOLD_UPDATES_MAX + 1, UNTOLD_UPDATES_MAX + 1)] {
        let mut driver = Driver::with(1, |limits| limits.fan_out_writes_max = 1);
        let [first, second] = [3, 4].map(|group| driver.open_websocket(0, group, ""));
        let publisher = driver.open_websocket(0, 4, "");
        let also = driver.accept(0);
        driver.feed(also, post(3, &at("alice", 1)));
        driver.feed(publisher, text(r#"{"x":1,"y":2}"#).repeat(updates));
        driver.do_outputs(0);
        assert_eq!([first, second].map(|peer| driver.take_seqs(peer).len()), [1, told]);
    }
}

#[test]
fn publisher_gets_its_own_update_too() {
    let mut driver = Driver::new(1);
    let peer = driver.open_websocket(0, 3, "?member=alice");
    driver.send(peer, text("{\"x\":1,\"y\":2}"));
    let texts = driver.take_texts(peer);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].contains("\"member\":\"alice\",\"x\":1,\"y\":2,"), "{texts:?}");
}

#[test]
fn other_groups_hear_nothing() {
    let mut driver = Driver::new(1);
    let other = driver.open_websocket(0, 4, "");
    driver.publish(3, &at("alice", 1));
    assert_eq!(driver.take_texts(other), [""; 0]);
}

#[test]
fn whoever_comes_within_a_turn_gets_what_is_numbered_after_that() {
    let mut driver = Driver::new(1);
    let publisher = driver.accept(0);
    let [live, replay] = [driver.accept(0), driver.accept(0)];
    driver.feed(publisher, post(3, &at("alice", 1)));
    driver.feed(live, upgrade("/ws/3"));
    driver.feed(replay, upgrade("/ws/3?since=0"));
    driver.feed(publisher, post(3, &at("alice", 2)));
    driver.run();
    let mut numbered = [0; 2];
    for number in &mut numbered {
        *number = seq(&driver.take_answer(publisher, "200").1);
    }
    for (peer, owed) in [(live, &numbered[1..]), (replay, &numbered[..])] {
        driver.take_head(peer, "101");
        assert_eq!(driver.take_seqs(peer), owed, "{peer:?}");
    }
}

#[test]
fn replay_and_live_updates_meet_without_loss_or_repetition() {
    let mut driver = Driver::new(1);
    let before: Vec<u64> = (0..5).map(|x| driver.publish(3, &at("alice", x))).collect();
    for seen in 0..before.len() {
        let peer = driver.accept(0);
        driver.feed(peer, upgrade(&format!("/ws/3?since={}", before[seen])));
        let publisher = driver.connect(0, post(3, &at("bob", 1)));
        let live = seq(&driver.take_answer(publisher, "200").1);
        driver.take_head(peer, "101");
        let got = driver.take_seqs(peer);
        assert_eq!(got[..before.len() - seen - 1], before[seen + 1..], "since {}", before[seen]);
        assert_eq!(got.last(), Some(&live));
        assert!(got.is_sorted_by(|a, b| a < b), "{got:?}");
        driver.hang_up(peer);
    }
}

#[test]
fn lost_cursor_is_answered_from_the_beginning_with_a_gap() {
    let mut driver = Driver::new(1);
    driver.publish(3, &at("alice", 1));
    driver.publish(3, &at("bob", 2));
    let peer = driver.open_websocket(0, 3, "?since=9007199254740991");
    let texts = driver.take_texts(peer);
    let gaps: Vec<bool> = texts.iter().map(|text| text.ends_with("\"gap\":true}")).collect();
    assert_eq!(gaps, [true, false], "{texts:?}");
}

#[test]
fn lost_cursor_of_a_poll_that_came_to_nothing_is_told_of_its_gap_later() {
    for cursor in ["17", "9000000000000000"] {
        let mut driver = Driver::new(1);
        let target = format!("/location/long/3?timeout=5&since={cursor}");
        let peer = driver.connect(0, get(&target));
        driver.pass(Duration::from_millis(5));
        let (head, _) = driver.take_answer(peer, "204");
        driver.publish(3, &at("alice", 1));
        let next = header(&head, "Location-Seq").unwrap();
        driver.send(peer, get(&format!("/location/long/3?since={next}")));
        let (_, update) = driver.take_answer(peer, "200");
        assert!(update.ends_with(",\"gap\":true}"), "{cursor}: {update}");
    }
}

#[test]
fn cursor_older_than_the_ring_gets_each_members_newest_and_then_the_ring() {
    let mut driver = Driver::with(1, |limits| limits.history = 2);
    let numbers: Vec<u64> = ["alice", "bob", "bob", "carol", "carol"]
        .iter()
        .map(|name| driver.publish(3, &at(name, 1)))
        .collect();
    let peer = driver.open_websocket(0, 3, "?since=0");
    let texts = driver.take_texts(peer);
    let seqs: Vec<u64> = texts.iter().map(|text| seq(text)).collect();
    assert_eq!(seqs, [numbers[0], numbers[2], numbers[3], numbers[4]]);
    let gaps: Vec<bool> = texts.iter().map(|text| text.ends_with("\"gap\":true}")).collect();
    assert_eq!(gaps, [true, false, false, false], "{texts:?}");
}
