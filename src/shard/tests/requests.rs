//! Requests on kept-alive connections: order, long polls, ends of input.

use super::{Driver, Peer, at, get, header, made_at, post, seq, text, upgrade};
use crate::ids::Transport;
use crate::limits::LONG_ANSWERS_PER_TURN_MAX;
use crate::shard::Standing;

/// The statuses of all answers that a peer got, in order; each must be whole.
#[track_caller]
fn take_statuses(driver: &mut Driver, peer: Peer) -> Vec<String> {
    let mut statuses = Vec::new();
    while !driver.sockets[peer.0].got.is_empty() {
        let got = String::from_utf8_lossy(&driver.sockets[peer.0].got).into_owned();
        let status = got[9..12].to_owned();
        driver.take_answer(peer, &status);
        statuses.push(status);
    }
    statuses
}

#[test]
fn pipelined_requests_are_answered_in_order_in_one_write() {
    let mut driver = Driver::new(1);
    let sent = [post(3, &at("alice", 1)), get("/location/cur/3"), get("/nowhere"), get("/healthz")];
    let peer = driver.connect(0, sent.concat());
    assert_eq!(driver.writes(peer), 1);
    let published = seq(&driver.take_answer(peer, "200").1);
    assert_eq!(seq(&driver.take_answer(peer, "200").1), published);
    assert_eq!(take_statuses(&mut driver, peer), ["404", "200"]);
}

#[test]
fn request_byte_by_byte_is_answered_as_a_whole_one_is() {
    let mut driver = Driver::new(1);
    let peer = driver.accept(0);
    for byte in [post(3, &at("alice", 1)), get("/location/cur/3")].concat().bytes() {
        driver.send(peer, [byte]);
    }
    assert_eq!(take_statuses(&mut driver, peer), ["200", "200"]);
}

#[test]
fn request_behind_a_parked_one_waits_for_its_answer() {
    let mut driver = Driver::new(1);
    let peer = driver.connect(0, [get("/location/long/3"), get("/healthz")].concat());
    assert_eq!(driver.take_text(peer), "");
    assert!(driver.sockets[peer.0].held, "it would be read on");
    driver.publish(3, &at("alice", 1));
    assert_eq!(take_statuses(&mut driver, peer), ["200", "200"]);
    assert!(!driver.sockets[peer.0].held, "it is not read again");
    driver.send(peer, get("/healthz"));
    assert_eq!(take_statuses(&mut driver, peer), ["200"]);
}

#[test]
fn publish_behind_a_parked_poll_of_the_same_group_does_not_answer_it() {
    let mut driver = Driver::new(1);
    let peer = driver.connect(0, [get("/location/long/3?timeout=100"), post(3, &at("alice", 1))].concat());
    driver.pass(std::time::Duration::from_millis(100));
    assert_eq!(take_statuses(&mut driver, peer), ["204", "200"]);
}

#[test]
fn polling_by_location_seq_gets_every_update_once() {
    let mut driver = Driver::new(1);
    let made_at = made_at(&driver);
    let peer = driver.connect(0, get("/location/long/3?timeout=0"));
    driver.pass(std::time::Duration::from_millis(1));
    let (head, _) = driver.take_answer(peer, "204");
    let mut cursor: u64 = header(&head, "Location-Seq").unwrap().parse().unwrap();
    assert_eq!(cursor, made_at);
    let numbers: Vec<u64> = (0..5).map(|x| driver.publish(3, &at("alice", x))).collect();
    let mut got = Vec::new();
    for _ in &numbers {
        driver.send(peer, get(&format!("/location/long/3?since={cursor}")));
        let (head, update) = driver.take_answer(peer, "200");
        cursor = header(&head, "Location-Seq").unwrap().parse().unwrap();
        got.push(seq(&update));
        assert_eq!(got.last(), Some(&cursor));
    }
    assert_eq!(got, numbers);
    driver.send(peer, get(&format!("/location/long/3?since={cursor}")));
    assert_eq!(driver.take_text(peer), "");
    let next = driver.publish(3, &at("alice", 9));
    assert_eq!(seq(&driver.take_answer(peer, "200").1), next);
    assert_eq!(driver.report(0).parked[Transport::LongPoll as usize], 0);
}

#[test]
fn end_of_input_while_parked_means_vanished_also_behind_unread_bytes() {
    for behind in ["", "GET /hea", &get("/healthz")] {
        let mut driver = Driver::new(1);
        let peer = driver.connect(0, get("/location/long/3") + behind);
        driver.hang_up(peer);
        assert_eq!(driver.shard_of(peer), None, "{behind:?}");
        assert_eq!(driver.waiters(0, 3), 0, "{behind:?}");
        assert_eq!(driver.take_text(peer), "", "{behind:?}");
    }
}

#[test]
fn end_of_input_behind_a_request_lets_its_answer_be_written_first() {
    let mut driver = Driver::new(2);
    for group in [2, 3] {
        let peer = driver.accept(0);
        driver.sockets[peer.0].room = 0;
        driver.feed(peer, [get("/location/cur/2"), post(group, &at("alice", 1))].concat());
        driver.hang_up(peer);
        driver.make_room(peer, usize::MAX);
        let statuses = take_statuses(&mut driver, peer);
        assert!(statuses.len() == 2 && statuses[1] == "200", "{statuses:?}");
        assert_eq!(driver.shard_of(peer), None);
    }
}

#[test]
fn unread_answers_stop_the_next_requests_until_they_are_written() {
    let mut driver = Driver::with(1, |limits| limits.queue_bytes_max = 1000);
    let peer = driver.accept(0);
    driver.sockets[peer.0].room = 0;
    driver.send(peer, get("/healthz").repeat(200));
    let http = Transport::Http as usize;
    assert!(driver.report(0).queue_bytes[http] < 1400, "{}", driver.report(0).queue_bytes[http]);
    driver.make_room(peer, usize::MAX);
    assert_eq!(take_statuses(&mut driver, peer), vec!["200"; 200]);
    assert_eq!(driver.report(0).queue_bytes[http], 0);
}

#[test]
fn newcomer_past_the_last_place_gets_probes_answered_and_nothing_else() {
    for (target, status) in [("/healthz", "200"), ("/location/cur/3", "503")] {
        let mut driver = Driver::new(1);
        let peer = driver.accept_as(0, Standing::Surplus);
        driver.send(peer, get(target));
        driver.take_answer(peer, status);
        assert!(driver.sockets[peer.0].shut, "{target}: it gets one answer");
        driver.pass(std::time::Duration::from_secs(2));
        assert_eq!(driver.shard_of(peer), None, "{target}");
    }
}

#[test]
fn head_neither_parks_nor_publishes() {
    let mut driver = Driver::new(1);
    let heads = ["/location/long/3", "/location/sse/3", "/location/sse/connect", "/location/cur/3"];
    let sent: Vec<String> = heads.iter().map(|target| get(target).replacen("GET", "HEAD", 1)).collect();
    let peer = driver.connect(0, sent.concat());
    let got = driver.take_text(peer);
    assert_eq!(got.matches("HTTP/1.1 200 OK\r\n").count(), heads.len(), "{got}");
    assert!(got.ends_with("\r\n\r\n"), "{got}");
    let report = driver.report(0);
    assert_eq!((report.groups, report.parked.iter().sum::<u64>()), (0, 0));
}

/// The bytes of updates that a transport was sent; `expected` is how many there are to be since the look before.
#[track_caller]
fn check_payload_sent(driver: &Driver, seen: &mut u64, transport: Transport, expected: usize) {
    let sent = driver.report(0).payload_bytes[transport as usize].sent;
    assert_eq!(sent - *seen, expected as u64, "{transport:?}");
    *seen = sent;
}

#[test]
fn updates_in_answers_count_as_payload_once_they_are_sent() {
    let mut driver = Driver::new(1);
    let (mut http, mut short_poll, mut sse) = (0, 0, 0);
    let peer = driver.connect(0, get("/location/cur/3"));
    let (_, made_up) = driver.take_answer(peer, "200");
    check_payload_sent(&driver, &mut short_poll, Transport::ShortPoll, made_up.len());

    driver.send(peer, [post(3, &at("alice", 1)), post(3, &at("bob", 2))].concat());
    let published = [driver.take_answer(peer, "200").1, driver.take_answer(peer, "200").1];
    check_payload_sent(&driver, &mut http, Transport::Http, published.concat().len());

    // Both members' updates, and nothing of what is around them.
    driver.send(peer, get("/location/group/3"));
    let (_, snapshot) = driver.take_answer(peer, "200");
    assert!(published.iter().all(|update| snapshot.contains(update)), "{snapshot}");
    check_payload_sent(&driver, &mut short_poll, Transport::ShortPoll, published.concat().len());

    driver.send(peer, get("/location/sse/connect"));
    let (_, event) = driver.take_answer(peer, "200");
    let update = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event has data");
    check_payload_sent(&driver, &mut sse, Transport::Sse, update.len());

    for target in ["/location/cur/3", "/location/cur/4", "/location/group/3"] {
        driver.send(peer, get(target).replacen("GET", "HEAD", 1));
        driver.take_head(peer, "200");
        check_payload_sent(&driver, &mut short_poll, Transport::ShortPoll, 0);
    }
    driver.send(peer, post(3, r#"{"member":"carol","x":1}"#));
    driver.take_answer(peer, "400");
    check_payload_sent(&driver, &mut http, Transport::Http, 0);
}

#[test]
fn echo_sends_back_what_came_before_the_end_of_input() {
    let mut driver = Driver::new(1);
    let peer = driver.connect(0, upgrade("/echo"));
    driver.take_head(peer, "101");
    driver.sockets[peer.0].room = 2;
    driver.feed(peer, text("hello"));
    driver.hang_up(peer);
    driver.make_room(peer, usize::MAX);
    assert_eq!(driver.take_texts(peer), ["hello"]);
    assert_eq!(driver.shard_of(peer), None);
}

#[test]
fn answers_that_take_long_are_made_a_few_a_turn() {
    let mut driver = Driver::new(1);
    driver.publish(3, &at("alice", 1));
    let askers: Vec<_> = (0..10).map(|_| driver.accept(0)).collect();
    for asker in &askers {
        driver.feed(*asker, get("/location/group/3").repeat(3));
    }
    let other = driver.accept(0);
    driver.feed(other, get("/location/cur/3"));
    driver.shards[0].handle_timeout();
    driver.do_outputs(0);
    let answers =
        |driver: &Driver| askers.iter().filter(|asker| !driver.sockets[asker.0].got.is_empty()).count();
    assert_eq!(answers(&driver), LONG_ANSWERS_PER_TURN_MAX);
    driver.take_answer(other, "200");
    assert_eq!(driver.shards[0].poll_timeout(), Some(driver.now.tick), "the next turn comes at once");
    driver.run();
    for asker in askers {
        for _ in 0..3 {
            driver.take_answer(asker, "200");
        }
    }
}

#[test]
fn what_was_answered_before_a_poll_is_written_to_a_peer_that_hung_up() {
    for timeout in [0, 60_000] {
        let mut driver = Driver::new(1);
        driver.publish(1, &at("alice", 1));
        let peer = driver.accept(0);
        driver.sockets[peer.0].room = 50;
        let sent =
            [get("/location/group/1"), get(&format!("/location/long/1?timeout={timeout}")), get("/healthz")];
        driver.feed(peer, sent.concat());
        driver.hang_up(peer);
        assert_eq!(driver.waiters(0, 1), 0, "its place is free at once");
        driver.make_room(peer, usize::MAX);
        let statuses = take_statuses(&mut driver, peer);
        let expected: &[&str] = if timeout == 0 { &["200", "204", "200"] } else { &["200"] };
        assert_eq!(statuses, expected, "timeout {timeout}");
        assert_eq!(driver.shard_of(peer), None);
    }
}
