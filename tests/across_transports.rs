//! Whatever publishes, whatever listens: the same bytes, in the order of their seq, and to no other group. One worker.

mod harness;

use std::thread;

use harness::Server;
use harness::audience::{Audience, Publisher, Way};
use harness::websocket::Socket;

#[track_caller]
fn check_reaches_all(way: Way) {
    let server = Server::start(&["--workers", "1"]);
    let mut audience = Audience::gather(&server, 3);
    let mut strangers = Audience::gather(&server, 4);
    let mut publisher = Publisher::open(&server, way, 3);
    for x in 0..5 {
        publisher.publish("alice", x);
    }
    let heard = audience.hear(&server, 5);
    assert_eq!(heard.iter().map(|update| update.point().0).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 4.0]);
    // The strangers' first update is their own group's.
    let own = server.publish(4, "bob", 9, 9);
    assert_eq!(strangers.hear(&server, 1), [own]);
    server.stop();
}

#[test]
fn publish_over_http_reaches_every_transport() {
    check_reaches_all(Way::Share);
}

#[test]
fn notify_reaches_every_transport() {
    check_reaches_all(Way::Notify);
}

#[test]
fn sse_share_reaches_every_transport() {
    check_reaches_all(Way::SseShare);
}

#[test]
fn websocket_message_reaches_every_transport() {
    check_reaches_all(Way::WebSocket);
}

#[test]
fn stomp_send_reaches_every_transport() {
    check_reaches_all(Way::Stomp);
}

#[test]
fn turns_of_all_publishers_are_heard_in_order() {
    let server = Server::start(&["--workers", "1"]);
    let mut audience = Audience::gather(&server, 3);
    let mut publishers: Vec<_> = Way::ALL.iter().map(|way| Publisher::open(&server, *way, 3)).collect();
    for round in 0..10 {
        for (number, publisher) in publishers.iter_mut().enumerate() {
            publisher.publish(&format!("m{number}"), round * 5 + number);
        }
    }
    let xs: Vec<_> = audience.hear(&server, 50).iter().map(|update| update.point().0 as usize).collect();
    assert_eq!(xs, (0..50).collect::<Vec<_>>());
}

#[test]
fn concurrent_publishers_are_heard_whole_and_each_in_its_order() {
    let server = Server::start(&["--workers", "1", "--history", "256"]);
    let mut audience = Audience::gather(&server, 3);
    thread::scope(|scope| {
        for way in Way::ALL {
            let server = &server;
            scope.spawn(move || {
                let mut publisher = Publisher::open(server, way, 3);
                for x in 0..40 {
                    publisher.publish(&format!("{way:?}"), x);
                }
            });
        }
    });
    let heard = audience.hear(&server, 200);
    for way in Way::ALL {
        let member = format!("{way:?}");
        let own = heard.iter().filter(|update| update.member.as_ref() == Some(&member));
        let xs: Vec<_> = own.map(|update| update.point().0 as usize).collect();
        assert_eq!(xs, (0..40).collect::<Vec<_>>(), "{member}");
    }
}

#[test]
fn leave_reaches_every_transport() {
    let server = Server::start(&["--workers", "1"]);
    let mut audience = Audience::gather(&server, 3);
    let mut alice = Socket::open(&server, "/ws/3?member=alice");
    alice.send(r#"{"x":1,"y":2}"#);
    alice.update();
    drop(alice);
    let heard = audience.hear_streams(2);
    assert_eq!(heard[0].point(), (1.0, 2.0));
    assert!(heard[1].is_leave_of("alice"), "{}", heard[1].text);
    server.get("/location/cur/3").expect_status(204);
}
