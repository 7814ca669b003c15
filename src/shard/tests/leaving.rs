//! Connections that go: none leaves a waiter, a timer's victim or a member behind.

use std::time::Duration;

use super::stomp::{connect_stomp, send_to, subscribe};
use super::{Driver, Peer, at, get, post, text, upgrade};
use crate::shard::Wrote;

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    HangsUp,
    Breaks,
    BreaksWhileWritten,
}

const ENDS: [End; 3] = [End::HangsUp, End::Breaks, End::BreaksWhileWritten];

fn end(driver: &mut Driver, peer: Peer, how: End) {
    let (shard, conn) = driver.sockets[peer.0].served.unwrap();
    match how {
        End::HangsUp => driver.hang_up(peer),
        End::Breaks => driver.shards[shard].handle_broken(conn),
        End::BreaksWhileWritten => {
            driver.feed(peer, [0x89, 0x80, 0, 0, 0, 0]);
            if driver.shards[shard].poll_output().is_some() {
                driver.shards[shard].handle_wrote(&[(0, Wrote::Broken)]);
            } else {
                driver.shards[shard].handle_broken(conn);
            }
        }
    }
    driver.run();
}

/// However a connection ends that said `hello` in group 3, nobody waits there afterwards.
#[track_caller]
fn check_leaves_nothing(hello: impl AsRef<[u8]>) {
    for how in ENDS {
        let mut driver = Driver::new(1);
        let peer = driver.connect(0, &hello);
        let stays = driver.open_websocket(0, 3, "");
        driver.publish(3, &at("alice", 1));
        if driver.waiters(0, 3) < 2 {
            // A poll has been answered by now: it parks again.
            driver.send(peer, &hello);
        }
        assert_eq!(driver.waiters(0, 3), 2, "{how:?}");
        driver.take(stays);
        end(&mut driver, peer, how);
        assert_eq!(driver.shard_of(peer), None, "{how:?}");
        assert_eq!(driver.waiters(0, 3), 1, "{how:?}");
        driver.publish(3, &at("alice", 2));
        assert_eq!(driver.take_texts(stays).len(), 1, "{how:?}");
        end(&mut driver, stays, how);
        let report = driver.report(0);
        assert_eq!(driver.waiters(0, 3), 0, "{how:?}");
        assert_eq!(report.connections.iter().sum::<u64>(), 0, "{how:?}");
        assert_eq!(report.parked.iter().sum::<u64>(), 0, "{how:?}");
        driver.pass(Duration::from_secs(3600));
        assert_eq!(driver.report(0).groups, 0, "{how:?}: the group is kept");
    }
}

#[test]
fn connection_that_ends_leaves_no_waiter_behind() {
    check_leaves_nothing(upgrade("/ws/3"));
    check_leaves_nothing(get("/location/sse/3"));
    check_leaves_nothing(get("/location/long/3"));
    let stomp = [upgrade("/location").into_bytes(), super::stomp::connect(""), subscribe("a", 3, "")];
    check_leaves_nothing(stomp.concat());
}

#[test]
fn subscriber_that_breaks_while_it_is_told_leaves_the_others_told() {
    for broken in 0..4 {
        let mut driver = Driver::new(1);
        let peers: Vec<Peer> = (0..4).map(|_| driver.open_websocket(0, 3, "")).collect();
        let publisher = driver.accept(0);
        driver.feed(publisher, post(3, &at("alice", 1)));
        let (_, conn) = driver.sockets[peers[broken].0].served.unwrap();
        driver.shards[0].handle_broken(conn);
        driver.run();
        for (index, peer) in peers.iter().enumerate() {
            assert_eq!(driver.take_texts(*peer).len(), usize::from(index != broken), "{broken} {index}");
        }
        assert_eq!(driver.waiters(0, 3), 3);
    }
}

/// The leaves that a peer heard of, and nothing else.
#[track_caller]
fn leaves(driver: &mut Driver, watcher: Peer) -> usize {
    let texts = driver.take_texts(watcher);
    assert!(texts.iter().all(|text| text.contains("\"member\":\"alice\",\"left\":true")), "{texts:?}");
    texts.len()
}

#[test]
fn member_leaves_with_its_last_connection_and_not_before() {
    for how in ENDS {
        let mut driver = Driver::new(1);
        let websocket = driver.open_websocket(0, 3, "?member=alice");
        let stomp = connect_stomp(&mut driver, 0, "member:alice\n");
        driver.send(stomp, subscribe("a", 3, ""));
        let sse = driver.connect(0, get("/location/sse/3?member=alice"));
        driver.send(websocket, text("{\"x\":1,\"y\":2}"));
        let watcher = driver.open_websocket(0, 3, "");
        for peer in [websocket, stomp] {
            end(&mut driver, peer, how);
            assert_eq!(leaves(&mut driver, watcher), 0, "{how:?}");
        }
        end(&mut driver, sse, how);
        assert_eq!(leaves(&mut driver, watcher), 1, "{how:?}");
        assert_eq!(driver.report(0).members, 0);
    }
}

#[test]
fn member_without_a_location_leaves_without_a_word() {
    let mut driver = Driver::new(1);
    let peer = driver.open_websocket(0, 3, "?member=alice");
    let watcher = driver.open_websocket(0, 3, "");
    driver.hang_up(peer);
    assert_eq!(leaves(&mut driver, watcher), 0);
}

#[test]
fn member_that_is_connected_does_not_leave_by_time() {
    let mut driver = Driver::new(1);
    let stream = driver.connect(0, get("/location/sse/3?member=alice"));
    driver.publish(3, &at("alice", 1));
    driver.pass(Duration::from_secs(3600));
    assert_eq!(driver.report(0).members, 1);
    driver.hang_up(stream);
    assert_eq!(driver.report(0).members, 0);
}

#[test]
fn member_named_in_bodies_leaves_when_nothing_was_heard_of_it() {
    let mut driver = Driver::new(1);
    let watcher = driver.connect(0, get("/location/sse/3"));
    driver.publish(3, &at("alice", 1));
    driver.take(watcher);
    driver.pass(Duration::from_secs(59));
    assert!(!driver.take_text(watcher).contains("left"));
    driver.pass(Duration::from_secs(2));
    assert_eq!(driver.take_text(watcher).matches("\"left\":true").count(), 1);
}

#[test]
fn member_of_a_parked_poll_is_heard_as_long_as_it_parks() {
    let mut driver = Driver::new(1);
    let peer = driver.accept(0);
    driver.publish(3, &at("alice", 1));
    for _ in 0..4 {
        driver.send(peer, get("/location/long/3?member=alice&timeout=50000"));
        driver.pass(Duration::from_secs(50));
        driver.take_answer(peer, "204");
    }
    assert_eq!(driver.report(0).members, 1);
    driver.pass(Duration::from_secs(61));
    assert_eq!(driver.report(0).members, 0);
}

#[test]
fn unsubscribing_lets_the_member_leave_that_group_alone() {
    let mut driver = Driver::new(1);
    let [three, four] = [driver.open_websocket(0, 3, ""), driver.open_websocket(0, 4, "")];
    let peer = connect_stomp(&mut driver, 0, "member:alice\n");
    for group in [3, 4] {
        driver.send(
            peer,
            [subscribe(&group.to_string(), group, ""), send_to(group, "", "{\"x\":1,\"y\":2}")].concat(),
        );
    }
    for watcher in [three, four] {
        driver.take(watcher);
    }
    driver.send(peer, text("UNSUBSCRIBE\nid:3\n\n\0"));
    assert_eq!([leaves(&mut driver, three), leaves(&mut driver, four)], [1, 0]);
}

#[test]
fn drained_client_whose_window_is_full_is_told() {
    let mut driver = Driver::with(1, |limits| limits.prefetch_count = 1);
    let peer = connect_stomp(&mut driver, 0, "");
    driver.send(peer, subscribe("a", 3, "ack:client\n"));
    driver.publish(3, &at("alice", 1));
    driver.publish(3, &at("alice", 2));
    driver.shards[0].handle_drain(Duration::from_secs(5));
    driver.pass(Duration::from_secs(4));
    let got = String::from_utf8_lossy(&driver.take(peer)).into_owned();
    assert!(got.contains("ERROR\n"), "{got}");
}

#[test]
fn websocket_that_has_said_close_is_answered_and_closed_at_once() {
    let mut driver = Driver::new(1);
    let peer = driver.open_websocket(0, 3, "");
    driver.send(peer, [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
    assert_eq!(driver.take(peer), [0x88, 0x02, 0x03, 0xe8]);
    let socket = &driver.sockets[peer.0];
    assert_eq!((socket.served, socket.shut), (None, false), "nothing is left to wait for");
}
