//! `--max-held-bytes`: what is refused near it, who is closed past it, and that everything counted is given back.

use std::time::Duration;

use super::stomp::{connect, subscribe};
use super::{Driver, Peer, at, get, group, header, post, text, upgrade};
use crate::report::Reason;
use crate::shard::placement;

const BUDGET: usize = 1_000_000;

/// Shards that may hold [`BUDGET`] together.
fn driver(workers: usize) -> Driver {
    Driver::with(workers, |limits| {
        (limits.held_bytes_max, limits.body_bytes_max, limits.queue_bytes_max) = (BUDGET, BUDGET, BUDGET);
    })
}

/// A publisher at a shard that has sent so many bytes of a body whose rest is to come.
fn hold(driver: &mut Driver, shard: usize, bytes: usize) -> Peer {
    let head = format!("POST /location/share/7 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", bytes + 1);
    let peer = driver.connect(shard, head);
    // By pieces as a reactor reads them.
    for piece in vec![b' '; bytes].chunks(16 * 1024) {
        driver.send(peer, piece);
    }
    peer
}

fn held(driver: &Driver) -> u64 {
    (0..driver.shards.len()).map(|shard| driver.report(shard).held_bytes).sum()
}

fn refused(driver: &Driver) -> u64 {
    (0..driver.shards.len()).map(|shard| driver.report(shard).refused[Reason::HeldMax as usize]).sum()
}

/// A driver in which alice is in group 1, and so much is held that nine tenths are reached.
fn scarce(workers: usize) -> (Driver, Vec<Peer>) {
    let mut driver = driver(workers);
    driver.publish(1, &at("alice", 1));
    let holders = make_scarce(&mut driver);
    (driver, holders)
}

/// Has publishers hold nine tenths of the budget.
fn make_scarce(driver: &mut Driver) -> Vec<Peer> {
    let mut holders = Vec::new();
    while held(driver) < BUDGET as u64 * 9 / 10 {
        holders.push(hold(driver, 0, 60_000));
    }
    assert!(held(driver) <= BUDGET as u64, "and no more than all of it");
    holders
}

/// What a request is answered with while nine tenths are held.
#[track_caller]
fn check_refused(request: &str) {
    for shard in [0, 1] {
        let (mut driver, _holders) = scarce(2);
        let peer = driver.connect(shard, request);
        let (head, problem) = driver.take_answer(peer, "503");
        assert!(header(&head, "Retry-After").is_some(), "{head}");
        assert!(problem.contains("90 %") && problem.contains(&BUDGET.to_string()), "{problem}");
        assert_eq!(refused(&driver), 1);
    }
}

#[test]
fn new_groups_members_and_snapshots_are_refused_near_the_budget() {
    check_refused(&post(2, &at("alice", 1)));
    check_refused(&post(1, &at("bob", 1)));
    check_refused(&get("/location/group/1"));
    check_refused(&get("/location/long/2"));
    check_refused(&upgrade("/ws/2"));
}

#[test]
fn snapshot_that_another_shard_was_asked_for_in_time_is_refused_all_the_same() {
    let mut driver = driver(2);
    let home = placement::home(group(1), 2);
    let elsewhere = (2..).find(|number| placement::home(group(*number), 2) != home).unwrap();
    driver.publish(elsewhere, &at("alice", 1));
    let asker = driver.connect(0, get("/location/cur/1"));
    driver.take_answer(asker, "200");
    driver.mail_rests = true;
    driver.send(asker, get(&format!("/location/group/{elsewhere}")));
    let _holders = make_scarce(&mut driver);
    driver.mail_rests = false;
    driver.run();
    let (_, problem) = driver.take_answer(asker, "503");
    assert!(problem.contains("90 %") && refused(&driver) == 1, "{problem}");
}

#[test]
fn subscriptions_to_new_groups_are_refused_near_the_budget() {
    let (mut driver, _holders) = scarce(2);
    for (id, group) in [("a", 2), ("b", 3)] {
        let hello = [upgrade("/location").into_bytes(), connect(""), subscribe(id, group, "")].concat();
        let peer = driver.connect(0, hello);
        let got = String::from_utf8_lossy(&driver.take(peer)).into_owned();
        assert!(got.contains("ERROR") && got.contains("90 %"), "{got}");
    }
}

#[test]
fn who_is_known_goes_on_near_the_budget() {
    let (mut driver, _holders) = scarce(2);
    let listener = driver.open_websocket(0, 1, "");
    let number = driver.publish(1, &at("alice", 2));
    assert_eq!(driver.take_seqs(listener), [number]);
    assert_eq!(refused(&driver), 0);
}

#[test]
fn rings_stay_as_long_as_they_are_near_the_budget() {
    let (mut driver, holders) = scarce(1);
    let before = held(&driver);
    let newest = (2..100).map(|x| driver.publish(1, &at("alice", x))).last().unwrap();
    assert_eq!(held(&driver), before);
    let replayed = driver.open_websocket(0, 1, "?since=1");
    assert_eq!(driver.take_seqs(replayed), [newest], "the ring has room for one");
    for peer in holders {
        driver.hang_up(peer);
    }
    let newer: Vec<u64> = (0..9).map(|x| driver.publish(1, &at("alice", x))).collect();
    let replayed = driver.open_websocket(0, 1, &format!("?since={newest}"));
    assert_eq!(driver.take_seqs(replayed), newer, "it grows again when there is room");
}

#[test]
fn what_is_held_at_the_budget_is_let_be_and_past_it_the_largest_holder_is_closed() {
    let (mut driver, holders) = scarce(2);
    let largest = hold(&mut driver, 0, 70_000);
    // Two bystanders, one of whom holds next to nothing.
    let listener = driver.open_websocket(1, 1, "");
    let dribbler = driver.connect(0, "GET /location/c");
    let mut pieces = 0;
    let last =
        driver.connect(0, "POST /location/share/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n");
    while driver.shard_of(largest).is_some() {
        assert!(held(&driver) <= BUDGET as u64 && refused(&driver) == 0);
        driver.send(last, [b' '; 100]);
        pieces += 1;
        assert!(pieces < 800, "it must come to that: {} bytes are held", held(&driver));
    }
    assert_eq!(refused(&driver), 1);
    assert!(held(&driver) <= BUDGET as u64);
    for peer in holders.into_iter().chain([listener, dribbler, last]) {
        assert!(driver.shard_of(peer).is_some(), "{peer:?} holds less");
    }
}

#[test]
fn readers_who_take_nothing_are_shed_largest_first() {
    let mut driver = driver(1);
    let peers: Vec<Peer> = (0..8).map(|_| driver.open_websocket(0, 1, "")).collect();
    for peer in &peers {
        driver.sockets[peer.0].room = 0;
    }
    let quick = driver.open_websocket(0, 1, "");
    let numbers: Vec<u64> = (0..2000).map(|x| driver.publish(1, &at("alice", x))).collect();
    let left = peers.iter().filter(|peer| driver.shard_of(**peer).is_some()).count();
    assert!((1..8).contains(&left), "{left} of 8 are left");
    assert_eq!(refused(&driver), 8 - left as u64);
    assert!(held(&driver) <= BUDGET as u64);
    assert_eq!(driver.take_seqs(quick), numbers, "who keeps up notices nothing");
}

#[test]
fn who_has_gone_is_not_counted_in_place_of_who_has_its_slot() {
    let mut driver = driver(1);
    let gone = driver.accept(0);
    let (_, id) = driver.sockets[gone.0].served.unwrap();
    driver.hang_up(gone);
    let heir = hold(&mut driver, 0, 5000);
    assert_eq!(driver.sockets[heir.0].served.map(|(_, heir)| heir.slot), Some(id.slot));
    let before = held(&driver);
    driver.shards[0].count_held(id);
    driver.shards[0].give_back_held(id);
    assert_eq!(held(&driver), before);
    driver.shards[0].check_held();
}

#[test]
fn more_than_a_count_can_say_is_given_back_too() {
    let mut driver = driver(1);
    let peer = driver.accept(0);
    let (_, id) = driver.sockets[peer.0].served.unwrap();
    driver.shards[0].set_held(id.slot, u32::MAX as usize + 5);
    driver.shards[0].give_back_held(id);
    assert_eq!(held(&driver), 0);
}

#[test]
fn everything_that_was_counted_is_given_back() {
    let mut driver = driver(2);
    let stomp = [
        upgrade("/location").into_bytes(),
        connect(""),
        subscribe("a", 1, "ack:client\n"),
        subscribe("b", 2, ""),
        text("BEGIN\ntransaction:t\n\n\0"),
        text("SEND\ndestination:/pub/share/1\ntransaction:t\n\n{\"x\":1,\"y\":2}\0"),
        text("SEND\ndestination:/pub/sh"),
    ];
    let peers = [
        driver.connect(0, stomp.concat()),
        driver.connect(1, upgrade("/ws/2?member=bob")),
        driver.connect(0, get("/location/sse/1?member=carol")),
        driver.connect(1, get("/location/long/9?member=dan")),
        driver.connect(0, "POST /location/share/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"),
        driver.connect(1, "GET /location/cu"),
    ];
    driver.send(peers[1], &text("{\"x\":1,\"y\":2}")[..9]);
    driver.sockets[peers[2].0].room = 10;
    for x in 0..50 {
        driver.publish(1 + u64::from(x) % 2, &at(&format!("m{}", x % 7), x));
    }
    let before = held(&driver);
    assert!(before > 20_000, "{before}");
    for peer in peers {
        driver.hang_up(peer);
    }
    driver.pass(Duration::from_secs(3600));
    let tables = held(&driver);
    assert!(tables < 10_000, "{tables}: the tables that groups were in, and nothing else");
}

#[test]
fn shard_whose_clients_hold_little_closes_none_for_what_others_hold() {
    let mut driver = driver(2);
    let innocents: Vec<Peer> = (0..20).map(|_| hold(&mut driver, 0, 500)).collect();
    let holders: Vec<Peer> = (0..20).map(|_| hold(&mut driver, 1, 60_000)).collect();
    assert!(innocents.iter().all(|peer| driver.shard_of(*peer).is_some()), "they hold next to nothing");
    let left = holders.iter().filter(|peer| driver.shard_of(**peer).is_some()).count();
    assert!((10..20).contains(&left), "{left} of 20 are left");
    assert!(held(&driver) <= BUDGET as u64);
}

#[test]
fn who_is_answered_at_length_again_and_again_is_written_to_in_between() {
    let mut driver = Driver::new(1);
    let mut peers = 0;
    while !driver.shards[0].is_laden() {
        let peer = driver.accept(0);
        driver.feed(peer, get("/").repeat(50));
        peers += 1;
        assert!(peers < 64, "a turn's answers are bounded");
    }
    driver.run();
    assert!(!driver.shards[0].is_laden());
}
