//! A subscriber that stops reading: nobody waits for it, what it can hold is bounded, and once it reads again it
//! ends on every member's newest update.

mod harness;

use std::collections::BTreeMap;
use std::io::Write;
use std::thread;

use harness::crowd::read_to_end;
use harness::http::{Wire, get};
use harness::sse::EventStream;
use harness::stomp::Stomp;
use harness::update::{Update, check_in_order};
use harness::websocket::{Socket, upgrade};
use harness::{Server, wait_until};

const MEMBERS: usize = 50;
const ROUNDS: usize = 50;

/// 50 members publish 50 locations each, while a subscriber that keeps up hears every one of them.
#[track_caller]
fn publish_while_another_listens(server: &Server) {
    let mut listener = Socket::open_over(server.connect_to_keep_up(), "/ws/3", &[]);
    thread::scope(|scope| {
        let listener = scope.spawn(move || listener.updates(MEMBERS * ROUNDS));
        for publisher in 0..5 {
            scope.spawn(move || {
                let mut wire = Wire::connect(server);
                for x in 0..ROUNDS {
                    for member in (0..MEMBERS).filter(|member| member % 5 == publisher) {
                        wire.send_post(
                            "/location/share/3",
                            &format!(r#"{{"member":"m{member}","x":{x},"y":0}}"#),
                        );
                        wire.answer().expect_status(200);
                    }
                }
            });
        }
        let heard = listener.join().expect("the listener hears all");
        check_in_order(&heard);
        assert!(heard.iter().all(|update| !update.gap), "who keeps up misses nothing");
    });
}

/// Reads until every member's newest update has come; checks order, the gap, and that something was left out.
#[track_caller]
fn check_ends_on_newest(server: &Server, mut update: impl FnMut() -> Update) {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    let mut read = Vec::new();
    let all_at_the_end = |newest: &BTreeMap<String, u64>| {
        newest.len() == MEMBERS && newest.values().all(|x| *x == ROUNDS as u64 - 1)
    };
    while !all_at_the_end(&newest) {
        let next = update();
        newest.insert(next.member.clone().expect("every update here is named"), next.point().0 as u64);
        read.push(next);
    }
    check_in_order(&read);
    assert!(read.len() < MEMBERS * ROUNDS, "a reader this slow is conflated; it read {}", read.len());
    assert!(read.iter().any(|update| update.gap), "what was left out is told");
    let live = server.publish(3, "live", 1, 2);
    assert_eq!(update(), live, "it goes on live, without a gap");
    assert!(server.scrape().sum("geoloop_updates_conflated_total", &[]) > 0.0);
}

const SMALL_QUEUE: &[&str] = &["--queue-bytes", "8192"];

#[test]
fn slow_websocket_ends_on_each_members_newest() {
    for flags in [SMALL_QUEUE, &[]] {
        let server = Server::start(flags);
        let mut slow = Socket::open_over(server.connect_to_read_slowly(), "/ws/3", &[]);
        publish_while_another_listens(&server);
        check_ends_on_newest(&server, || slow.update());
        server.stop();
    }
}

#[test]
fn slow_event_stream_ends_on_each_members_newest() {
    let server = Server::start(SMALL_QUEUE);
    let mut wire = Wire::over(server.connect_to_read_slowly());
    wire.send_get("/location/sse/3");
    let mut slow = EventStream::over(wire);
    publish_while_another_listens(&server);
    check_ends_on_newest(&server, || slow.update());
}

#[test]
fn slow_stomp_subscription_ends_on_each_members_newest() {
    let server = Server::start(SMALL_QUEUE);
    let mut slow = Stomp::open_over(server.connect_to_read_slowly());
    slow.handshake(&[]);
    slow.subscribe("s", 3);
    publish_while_another_listens(&server);
    check_ends_on_newest(&server, || slow.update());
}

#[test]
fn slow_reader_of_another_shards_group_ends_on_each_members_newest() {
    let server = Server::start(&["--workers", "4", "--queue-bytes", "8192"]);
    let mut slow = Stomp::open_over(server.connect_to_read_slowly());
    slow.handshake(&[]);
    for group in [0, 1, 2, 3] {
        slow.subscribe(&group.to_string(), group);
    }
    publish_while_another_listens(&server);
    check_ends_on_newest(&server, || slow.update());
}

#[test]
fn slow_reader_may_be_closed_instead() {
    let server = Server::start(&["--queue-bytes", "8192", "--slow-consumer", "disconnect"]);
    let mut slow = server.connect_to_read_slowly();
    slow.write_all(upgrade("/ws/3").as_bytes()).expect("the server takes a request");
    let opened = || server.scrape().sum("geoloop_subscriptions", &[("transport", "websocket")]) == 1.0;
    assert!(wait_until(opened), "the slow reader is subscribed");
    publish_while_another_listens(&server);
    let closed = || server.scrape().sum("geoloop_refused_total", &[("reason", "slow_consumer")]) == 1.0;
    assert!(wait_until(closed), "the slow reader is closed, and no other");
    read_to_end(&slow);
}

#[test]
fn client_that_asks_without_reading_is_read_no_further() {
    const REQUESTS: usize = 20_000;
    let server = Server::start(&["--queue-bytes", "4096"]);
    server.publish(3, "alice", 1, 2);
    let stream = server.connect();
    let mut writer = stream.try_clone().expect("a descriptor is free");
    let mut reader = Wire::over(stream);
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(get("/location/cur/3").repeat(REQUESTS).as_bytes()).expect("in time")
        });
        // Others are served all the while.
        for x in 0..100 {
            server.publish(4, "bob", x, 0);
        }
        for _ in 0..REQUESTS {
            reader.answer().expect_status(200);
        }
    });
    reader.expect_alive();
}

#[test]
fn slow_snapshot_reader_holds_up_nobody() {
    let server = Server::start(&["--queue-bytes", "4096"]);
    let mut wire = Wire::connect(&server);
    for member in 0..2000 {
        wire.send_post("/location/share/3", &format!(r#"{{"member":"m{member}","x":{member},"y":0}}"#));
        wire.answer().expect_status(200);
    }
    let mut slow = Wire::connect(&server);
    slow.send(get("/location/group/3").repeat(8));
    for x in 0..100 {
        server.publish(4, "bob", x, 0);
    }
    for _ in 0..8 {
        let snapshot = slow.answer().expect_status(200).json();
        assert_eq!(snapshot["members"].as_array().map(Vec::len), Some(2000));
    }
}
