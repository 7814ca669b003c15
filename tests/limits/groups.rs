//! How many groups and members there may be, and how long they stay.

use crate::harness::http::Wire;
use crate::harness::sse::EventStream;
use crate::harness::wait_until;
use crate::harness::websocket::Socket;
use crate::refusals::{self, Refused};
use crate::{Scene, publish_of};

/// A server with as many groups as it may have: 0, 1 and the bystander's. The others' homes are on both workers.
#[track_caller]
fn with_every_group() -> Scene {
    let mut scene = Scene::open(&["--max-groups", "3"]);
    scene.server.publish(0, "alice", 1, 1);
    scene.server.publish(1, "alice", 1, 1);
    scene.check(&[]);
    scene
}

/// Asks for a group that is one too many, at home on either worker, in each of these ways: each is refused and counted once.
#[track_caller]
fn check_groups_refused(ways: &[Refused]) {
    let mut scene = with_every_group();
    let mut refusals = 0;
    for refused in ways {
        for group in [4, 5] {
            refused(&scene.server, group, "its 3 groups");
            refusals += 1;
            scene.check(&[("groups_max", refusals)]);
        }
    }
    assert_eq!(scene.server.scrape().sum("geoloop_groups", &[]), 3.0);
    // What is there goes on.
    scene.server.publish(0, "alice", 2, 2);
    let mut socket = Socket::open(&scene.server, "/ws/1");
    socket.send(&publish_of(0));
    socket.update();
}

#[test]
fn group_past_the_limit_is_refused_to_publishers() {
    check_groups_refused(&refusals::PUBLISHES);
}

#[test]
fn group_past_the_limit_is_refused_to_subscribers() {
    check_groups_refused(&refusals::SUBSCRIPTIONS);
}

#[test]
fn looking_makes_no_group() {
    let mut scene = with_every_group();
    for group in [4, 5] {
        scene.server.get(&format!("/location/cur/{group}")).expect_status(200);
        scene.server.get(&format!("/location/group/{group}")).expect_status(200);
        scene.server.request("HEAD", &format!("/location/long/{group}"), &[], None).expect_status(200);
    }
    scene.check(&[]);
    assert_eq!(scene.server.scrape().sum("geoloop_groups", &[]), 3.0);
}

#[test]
fn place_of_an_expired_group_is_given_away_again() {
    let mut scene = Scene::open(&["--max-groups", "3", "--group-ttl", "200ms"]);
    scene.server.publish(0, "alice", 1, 1);
    scene.server.publish(1, "alice", 1, 1);
    scene.server.wait_for_gauge("geoloop_groups", &[], 1);
    scene.server.publish(4, "alice", 1, 1);
    scene.server.publish(5, "alice", 1, 1);
    scene.check(&[]);
}

/// Has a third member publish to a group that may have two; it is refused and counted once.
#[track_caller]
fn check_member_refused(refused: Refused) {
    let mut scene = Scene::open(&["--max-members", "2"]);
    for (group, refusals) in [(4, 1), (5, 2)] {
        let mut watcher = Socket::open(&scene.server, &format!("/ws/{group}"));
        scene.server.publish(group, "bob", 1, 1);
        scene.server.publish(group, "carol", 1, 1);
        watcher.updates(2);
        refused(&scene.server, group, "its 2 members");
        scene.check(&[("members_max", refusals)]);
        // Those who are in go on, and one who leaves makes room.
        let moved = scene.server.publish(group, "bob", 2, 2);
        assert_eq!(watcher.update(), moved, "nothing was delivered before it");
        let left = r#"{"member":"carol","left":true}"#;
        scene.server.post(&format!("/location/share/{group}"), left).expect_status(200);
        assert!(watcher.update().is_leave_of("carol"));
        let came = scene.server.publish(group, "alice", 1, 2);
        assert_eq!(watcher.update(), came);
        scene.check(&[("members_max", refusals)]);
    }
}

#[test]
fn member_past_the_limit_is_refused() {
    for refused in refusals::PUBLISHES {
        check_member_refused(refused);
    }
}

#[test]
fn member_past_the_limit_is_refused_over_websocket_and_the_connection_goes_on() {
    check_member_refused(refusals::publish_over_websocket);
}

#[test]
fn nameless_updates_count_as_one_member() {
    let mut scene = Scene::open(&["--max-members", "2"]);
    for x in 0..5 {
        scene.server.post("/location/share/3", &format!(r#"{{"x":{x},"y":0}}"#)).expect_status(200);
    }
    scene.server.publish(3, "alice", 1, 1);
    scene.check(&[]);
    scene.server.post("/location/share/3", r#"{"member":"bob","x":1,"y":1}"#).expect_status(503);
    scene.check(&[("members_max", 1)]);
}

// How long they stay.

#[test]
fn member_of_whom_nothing_is_heard_leaves_after_its_ttl() {
    let mut scene = Scene::open(&["--member-ttl", "1s"]);
    let mut watcher = Socket::open(&scene.server, "/ws/3");
    scene.server.publish(3, "silent", 1, 1);
    // One that goes on is heard, however long the silence of the other lasts.
    let mut rounds = 0;
    loop {
        rounds += 1;
        scene.server.publish(3, "loud", rounds, 0);
        let heard = watcher.update();
        if heard.is_leave_of("silent") {
            break;
        }
        assert!(heard.location.is_some(), "only the silent one leaves: {}", heard.text);
    }
    let present = scene.server.get("/location/group/3").json();
    assert_eq!(present["members"][0]["member"], "loud", "{present}");
    scene.check(&[]);
}

#[test]
fn member_of_a_parked_poll_is_heard_while_it_lasts() {
    let mut scene = Scene::open(&["--member-ttl", "1s"]);
    let mut watcher = Socket::open(&scene.server, "/ws/3");
    scene.server.publish(3, "alice", 1, 1);
    scene.server.publish(3, "bob", 1, 1);
    watcher.updates(2);
    let mut wire = Wire::connect(&scene.server);
    wire.send_get("/location/long/3?timeout=60000&member=alice");
    scene.server.wait_until_parked("long_poll", 1);
    // Bob's leaving, later than alice's would be, ends the poll; alice's own follows.
    assert!(watcher.update().is_leave_of("bob"));
    assert!(wire.answer().expect_status(200).update().is_leave_of("bob"));
    assert!(watcher.update().is_leave_of("alice"));
    scene.check(&[]);
}

#[test]
fn group_that_nobody_needs_expires_after_its_ttl() {
    let mut scene = Scene::open(&["--group-ttl", "300ms", "--member-ttl", "60s"]);
    let watcher = EventStream::open(&scene.server, "/location/sse/3");
    let mut poll = Wire::connect(&scene.server);
    poll.send_get("/location/long/4?timeout=60000");
    scene.server.wait_until_parked("long_poll", 1);
    scene.server.publish(3, "alice", 1, 1);
    let last = scene.server.publish(5, "alice", 1, 1);
    // The watched, the polled and the bystander's stay.
    let expired =
        wait_until(|| scene.server.get("/location/group/5").json()["members"] == serde_json::json!([]));
    assert!(expired, "group 5 expires");
    assert_eq!(scene.server.scrape().sum("geoloop_groups", &[]), 3.0);
    assert_eq!(scene.server.get("/location/group/3").json()["members"][0]["member"], "alice");
    let again = scene.server.publish(5, "alice", 1, 1);
    assert!(again.seq > last.seq, "a group made again starts above every number that was given");
    drop((watcher, poll));
    scene.server.wait_for_gauge("geoloop_groups", &[], 1);
    scene.check(&[]);
}
