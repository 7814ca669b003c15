//! What one worker promises holds over four: any mix of groups on a connection, and one group on all workers.

mod harness;

use std::collections::BTreeMap;
use std::thread;

use geoloop::limits::GIANT_GROUP_SUBSCRIBERS;
use harness::audience::{Audience, Publisher, Way};
use harness::http::{Wire, get, post};
use harness::stomp::{Stomp, frame};
use harness::update::{Update, check_in_order};
use harness::websocket::{Bare, Socket};
use harness::{Server, wait_until};

const FOUR: &[&str] = &["--workers", "4"];
const GROUPS: u64 = 16;

#[track_caller]
fn check_reaches_all_groups(way: Way) {
    let server = Server::start(FOUR);
    let mut audiences: Vec<_> = (0..GROUPS).map(|group| Audience::gather(&server, group)).collect();
    let mut publishers: Vec<_> = (0..GROUPS).map(|group| Publisher::open(&server, way, group)).collect();
    for round in 0..3 {
        for (group, publisher) in publishers.iter_mut().enumerate() {
            publisher.publish("alice", group * 10 + round);
        }
    }
    for (group, audience) in audiences.iter_mut().enumerate() {
        let xs: Vec<_> = audience.hear(&server, 3).iter().map(|update| update.point().0 as usize).collect();
        assert_eq!(xs, [group * 10, group * 10 + 1, group * 10 + 2], "group {group} hears itself alone");
    }
    server.stop();
}

#[test]
fn publish_over_http_reaches_its_group_on_every_transport() {
    check_reaches_all_groups(Way::Share);
}

#[test]
fn notify_reaches_its_group_on_every_transport() {
    check_reaches_all_groups(Way::Notify);
}

#[test]
fn sse_share_reaches_its_group_on_every_transport() {
    check_reaches_all_groups(Way::SseShare);
}

#[test]
fn websocket_message_reaches_its_group_on_every_transport() {
    check_reaches_all_groups(Way::WebSocket);
}

#[test]
fn stomp_send_reaches_its_group_on_every_transport() {
    check_reaches_all_groups(Way::Stomp);
}

// STOMP with many groups on a connection.

#[test]
fn stomp_connection_hears_each_of_its_groups_in_order() {
    let server = Server::start(FOUR);
    let mut stomp = Stomp::connect(&server);
    for group in 0..GROUPS {
        stomp.subscribe(&group.to_string(), group);
    }
    let mut published: BTreeMap<String, Vec<Update>> = BTreeMap::new();
    for round in 0..5 {
        for group in 0..GROUPS {
            published
                .entry(group.to_string())
                .or_default()
                .push(server.publish(group, "alice", round, group));
        }
    }
    let mut heard: BTreeMap<String, Vec<Update>> = BTreeMap::new();
    for _ in 0..5 * GROUPS {
        let message = stomp.frame();
        let id = message.needed_header("subscription").to_owned();
        assert_eq!(message.needed_header("destination"), format!("/sub/location/{id}"));
        heard.entry(id).or_default().push(message.update());
    }
    assert_eq!(heard, published);
}

#[test]
fn stomp_connection_that_publishes_to_many_groups_keeps_the_order_of_each() {
    let server = Server::start(&["--workers", "4", "--queue-bytes", "4000000"]);
    let mut listeners: Vec<_> = (0..4).map(|group| Socket::open(&server, &format!("/ws/{group}"))).collect();
    thread::scope(|scope| {
        for publisher in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut stomp = Stomp::connect(server);
                for x in 0..100 {
                    for group in 0..4 {
                        stomp.publish(group, &format!(r#"{{"member":"p{publisher}","x":{x},"y":0}}"#));
                    }
                }
                stomp.send_for_receipt("DISCONNECT", &[], "");
            });
        }
        for listener in &mut listeners {
            scope.spawn(move || check_order_of_each(&listener.updates(800)));
        }
    });
}

/// Checks that the updates of the publishers p0 to p7 came whole and in order.
#[track_caller]
fn check_order_of_each(heard: &[Update]) {
    check_in_order(heard);
    assert!(heard.iter().all(|update| !update.gap), "nothing was lost");
    for publisher in 0..8 {
        let member = format!("p{publisher}");
        let own = heard.iter().filter(|update| update.member.as_ref() == Some(&member));
        let xs: Vec<_> = own.map(|update| update.point().0 as usize).collect();
        assert_eq!(xs, (0..100).collect::<Vec<_>>(), "{member}");
    }
}

#[test]
fn subscribe_takes_effect_before_the_send_behind_it() {
    let server = Server::start(FOUR);
    for group in 0..GROUPS {
        let mut stomp = Stomp::open(&server);
        // The first group named is another shard's as often as not.
        let other = (group + 1) % GROUPS;
        let mut all = frame("CONNECT", &[("accept-version", "1.2"), ("host", "a")], "");
        for (id, group) in [("other", other), ("own", group)] {
            all += &frame("SUBSCRIBE", &[("id", id), ("destination", &format!("/sub/location/{group}"))], "");
        }
        for x in 0..3 {
            let body = format!(r#"{{"x":{x},"y":{group}}}"#);
            all += &frame("SEND", &[("destination", &format!("/pub/share/{group}"))], &body);
        }
        stomp.send_text(&all);
        assert_eq!(stomp.frame().command, "CONNECTED");
        for x in 0..3 {
            let message = stomp.frame();
            assert_eq!(message.needed_header("subscription"), "own");
            assert_eq!(message.update().point(), (f64::from(x), group as f64));
        }
    }
}

#[test]
fn send_takes_effect_before_the_subscribe_behind_it() {
    let server = Server::start(FOUR);
    // Both are at the home of group 0, where the first keeps a mirror of every other group.
    let [mut keeper, mut stomp] = [Stomp::connect(&server), Stomp::connect(&server)];
    for group in 0..GROUPS {
        keeper.subscribe(&group.to_string(), group);
    }
    stomp.subscribe("home", 0);
    for (round, group) in (0..10).flat_map(|round| (1..GROUPS).map(move |group| (round, group))) {
        let send = |x: u64| {
            let destination = format!("/pub/share/{group}");
            frame("SEND", &[("destination", &destination)], &format!(r#"{{"x":{x},"y":{round}}}"#))
        };
        let destination = format!("/sub/location/{group}");
        let subscribe = frame("SUBSCRIBE", &[("id", "s"), ("destination", &destination)], "");
        stomp.send_text(&[send(1), subscribe, send(2)].concat());
        assert_eq!(stomp.update().point(), (2.0, round as f64), "group {group}");
        assert_eq!(keeper.updates(2).last().unwrap().point(), (2.0, round as f64), "group {group}");
        stomp.send_for_receipt("UNSUBSCRIBE", &[("id", "s")], "");
    }
}

#[test]
fn unsubscribed_group_of_another_shard_is_heard_no_more() {
    let server = Server::start(FOUR);
    let mut stomp = Stomp::connect(&server);
    for group in 0..GROUPS {
        stomp.subscribe(&group.to_string(), group);
    }
    for group in 0..GROUPS - 1 {
        stomp.send_for_receipt("UNSUBSCRIBE", &[("id", &group.to_string())], "");
    }
    for group in 0..GROUPS {
        server.publish(group, "alice", 1, group);
    }
    assert_eq!(stomp.update().point().1, (GROUPS - 1) as f64);
    assert_eq!(stomp.send_for_receipt("BEGIN", &[("transaction", "t")], ""), []);
}

#[test]
fn member_of_a_stomp_connection_leaves_the_groups_of_every_shard() {
    let server = Server::start(FOUR);
    let mut watchers: Vec<_> =
        (0..GROUPS).map(|group| Socket::open(&server, &format!("/ws/{group}"))).collect();
    let mut alice = Stomp::connect_with(&server, &[("member", "alice")]);
    for group in 0..GROUPS {
        alice.subscribe(&group.to_string(), group);
        alice.send_for_receipt(
            "SEND",
            &[("destination", &format!("/pub/share/{group}"))],
            r#"{"x":1,"y":2}"#,
        );
    }
    drop(alice);
    for watcher in &mut watchers {
        assert_eq!(watcher.update().point(), (1.0, 2.0));
        let leave = watcher.update();
        assert!(leave.is_leave_of("alice"), "{}", leave.text);
    }
}

// Keep-alive clients that change groups.

#[test]
fn keep_alive_client_reads_what_it_wrote_in_any_group() {
    let server = Server::start(FOUR);
    let mut wire = Wire::connect(&server);
    for x in 0..4 {
        for group in 0..GROUPS {
            wire.send_post(
                &format!("/location/share/{group}"),
                &format!(r#"{{"member":"alice","x":{x},"y":{group}}}"#),
            );
            let published = wire.answer().expect_status(200).update();
            assert_eq!(published.point(), (f64::from(x), group as f64));
            wire.send_get(&format!("/location/cur/{group}"));
            assert_eq!(wire.answer().expect_status(200).update(), published);
            wire.send_get(&format!("/location/group/{group}"));
            let snapshot = wire.answer().expect_status(200).text();
            let want =
                format!(r#"{{"group":{group},"seq":{},"members":[{}]}}"#, published.seq, published.text);
            assert_eq!(snapshot, want);
            wire.send_get(&format!("/location/long/{group}?since={}", published.seq - 1));
            assert_eq!(wire.answer().expect_status(200).update().seq, published.seq);
        }
    }
}

#[test]
fn pipeline_over_many_groups_is_answered_in_order() {
    let server = Server::start(FOUR);
    let mut wire = Wire::connect(&server);
    let mut requests = String::new();
    for group in 0..64 {
        requests += &post(&format!("/location/share/{group}"), &format!(r#"{{"x":{group},"y":0}}"#));
        requests += &get(&format!("/location/long/{group}?since=0"));
        requests += &get(&format!("/location/cur/{group}"));
    }
    wire.send(requests);
    for group in 0..64 {
        let published = wire.answer().expect_status(200).update();
        assert_eq!(published.point().0, f64::from(group));
        assert_eq!(wire.answer().expect_status(200).update(), published);
        assert_eq!(wire.answer().expect_status(200).update(), published);
    }
}

#[test]
fn keep_alive_client_parks_in_any_group() {
    let server = Server::start(FOUR);
    let mut wire = Wire::connect(&server);
    for group in 0..GROUPS {
        wire.send_get(&format!("/location/long/{group}"));
        server.wait_until_parked("long_poll", 1);
        let published = server.publish(group, "alice", group, 0);
        assert_eq!(wire.answer().expect_status(200).update(), published);
        server.wait_until_parked("long_poll", 0);
    }
}

#[test]
fn connection_that_changed_groups_may_still_upgrade() {
    let server = Server::start(FOUR);
    for group in 0..GROUPS {
        let mut wire = Wire::connect(&server);
        for asked in 0..GROUPS {
            wire.send_get(&format!("/location/cur/{asked}"));
            wire.answer().expect_status(200);
        }
        let stream = wire.stream().try_clone().expect("a descriptor is free");
        let mut socket = Socket::open_over(stream, &format!("/ws/{group}"), &[]);
        let published = server.publish(group, "alice", group, 0);
        assert_eq!(socket.update(), published);
    }
}

#[test]
fn vanished_clients_of_every_shard_are_forgotten() {
    let server = Server::start(FOUR);
    let mut wires = Vec::new();
    for group in 0..GROUPS {
        let mut wire = Wire::connect(&server);
        // Named first, so that the connection lives elsewhere than the group it then parks in.
        wire.send_get(&format!("/location/cur/{}", group + 1));
        wire.answer().expect_status(200);
        wire.send_get(&format!("/location/long/{group}?timeout=60000"));
        wires.push(wire);
    }
    server.wait_until_parked("long_poll", GROUPS);
    wires.clear();
    server.wait_until_parked("long_poll", 0);
}

#[test]
fn bad_requests_about_other_shards_are_answered_in_their_turn() {
    let server = Server::start(FOUR);
    let mut wire = Wire::connect(&server);
    for group in 0..GROUPS {
        let target = format!("/location/share/{group}");
        wire.send(post(&target, r#"{"member":"alice","x":1,"y":2,"at":2}"#));
        wire.send(post(&target, r#"{"member":"alice","x":1,"y":2,"at":1}"#));
        wire.send(post(&target, "{"));
        wire.answer().expect_status(200);
        wire.answer().expect_problem(409);
        wire.answer().expect_problem(400);
    }
}

// Order.

#[test]
fn listeners_on_every_transport_agree_on_the_order_of_racing_publishers() {
    let server = Server::start(&["--workers", "4", "--history", "1024", "--queue-bytes", "4000000"]);
    let mut audiences: Vec<_> = (0..3).map(|_| Audience::gather(&server, 5)).collect();
    thread::scope(|scope| {
        for publisher in 0..8 {
            let server = &server;
            scope.spawn(move || {
                // A connection at home elsewhere, half of the time: its publishes come by mail.
                let mut wire = Wire::connect(server);
                wire.send_get(&format!("/location/cur/{publisher}"));
                wire.answer().expect_status(200);
                for x in 0..100 {
                    wire.send_post(
                        "/location/share/5",
                        &format!(r#"{{"member":"p{publisher}","x":{x},"y":0}}"#),
                    );
                    wire.answer().expect_status(200);
                }
            });
        }
    });
    let heard: Vec<_> = audiences.iter_mut().map(|audience| audience.hear(&server, 800)).collect();
    check_order_of_each(&heard[0]);
    assert!(heard.iter().all(|other| *other == heard[0]), "all hear the same");
}

// A group that is larger than one shard takes alone.

#[test]
fn giant_group_is_heard_by_all_of_its_subscribers() {
    let subscribers = GIANT_GROUP_SUBSCRIBERS + 64;
    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("the soft limit of descriptors can be raised");
    assert!(
        limit > subscribers as u64 + 256,
        "this test needs {subscribers} descriptors; the limit is {limit}"
    );
    let server = Server::start(FOUR);
    let mut sockets: Vec<_> = (0..subscribers).map(|_| Bare::open(&server, "/ws/3")).collect();
    server.wait_for_gauge("geoloop_subscriptions", &[("transport", "websocket")], subscribers as u64);
    // Newcomers past the threshold stay where they were accepted, whatever they speak.
    let mut audience = Audience::gather(&server, 3);
    let published: Vec<_> = (0..3).map(|x| server.publish(3, "alice", x, 0)).collect();
    for socket in &mut sockets {
        for update in &published {
            assert_eq!(socket.text(), update.text);
        }
    }
    assert_eq!(audience.hear(&server, 3), published);
    let newcomer = sockets.split_off(GIANT_GROUP_SUBSCRIBERS);
    drop(sockets);
    let gone = wait_until(|| {
        let left = newcomer.len() as f64 + 1.0;
        server.scrape().sum("geoloop_subscriptions", &[("transport", "websocket")]) == left
    });
    assert!(gone, "those that closed are forgotten on every shard");
    let published = server.publish(3, "alice", 9, 9);
    for mut socket in newcomer {
        assert_eq!(socket.text(), published.text);
    }
    assert_eq!(audience.hear(&server, 1), [published]);
}

// What was asked for meanwhile.

#[test]
fn poll_that_was_answered_early_leaves_nothing_to_the_next_one() {
    let server = Server::start(FOUR);
    let mut wire = Wire::connect(&server);
    wire.send_get("/location/cur/0");
    wire.answer().expect_status(200);
    for round in 0..16 {
        let (first, second) = (100 + round * 2, 101 + round * 2);
        server.publish(first, "early", 1, 1);
        // The first poll's group may still be on its way here when the second one parks.
        wire.send_get(&format!("/location/long/{first}?timeout=0"));
        wire.send_get(&format!("/location/long/{second}"));
        let nothing = wire.answer().expect_status(204);
        assert_ne!(nothing.needed_header("Location-Seq"), "0", "the cursor to poll with next is known");
        server.wait_until_parked("long_poll", 1);
        let published = server.publish(second, "alice", round, 0);
        assert_eq!(wire.answer().expect_status(200).update(), published);
    }
}

#[test]
fn receipts_come_for_every_subscription_however_short() {
    let server = Server::start(FOUR);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("home", 0);
    for group in 1..16 {
        let destination = format!("/sub/location/{group}");
        let subscribe = |receipt| {
            frame("SUBSCRIBE", &[("id", "s"), ("destination", &destination), ("receipt", receipt)], "")
        };
        let unsubscribe = |receipt| frame("UNSUBSCRIBE", &[("id", "s"), ("receipt", receipt)], "");
        stomp.send_text(&[subscribe("a"), unsubscribe("u"), subscribe("b")].concat());
        let mut receipts: Vec<String> =
            (0..3).map(|_| stomp.frame().needed_header("receipt-id").to_owned()).collect();
        receipts.sort();
        assert_eq!(receipts, ["a", "b", "u"]);
        let published = server.publish(group, "alice", group, 0);
        assert_eq!(stomp.update(), published);
        stomp.send_text(&unsubscribe("end"));
        assert_eq!(stomp.frame().needed_header("receipt-id"), "end");
    }
}

#[test]
fn websocket_that_closes_behind_its_publishes_loses_none() {
    let server = Server::start(&["--workers", "4", "--history", "1024"]);
    for group in 0..4 {
        let mut wire = Wire::connect(&server);
        // Named first: the connection lives with group 0, and publishes to the others by mail.
        wire.send_get("/location/cur/0");
        wire.answer().expect_status(200);
        let stream = wire.stream().try_clone().expect("a descriptor is free");
        let mut socket = Socket::open_over(stream, &format!("/ws/{group}"), &[]);
        for member in 0..200 {
            socket.send(&format!(r#"{{"member":"m{member}","x":1,"y":2}}"#));
        }
        // Half a close: a whole one would reset the connection over the updates that are not read here.
        wire.finish_sending();
        let all = wait_until(|| {
            server.get(&format!("/location/group/{group}")).json()["members"].as_array().unwrap().len() == 200
        });
        assert!(all, "group {group}");
    }
}
