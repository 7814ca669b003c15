//! Long polling over real sockets: who is woken, with what, and what the cursor promises.

mod harness;

use std::thread;

use harness::http::{Answer, Wire};
use harness::sse::EventStream;
use harness::stomp::Stomp;
use harness::update::Update;
use harness::websocket::Socket;
use harness::{Server, time};

/// Parks one long poll and returns its connection once the server says that it is parked.
#[track_caller]
fn park(server: &Server, target: &str) -> Wire {
    let mut wire = Wire::connect(server);
    wire.send_get(target);
    server.wait_until_parked("long_poll", 1);
    wire
}

/// Checks the headers that every answer to a long poll has.
#[track_caller]
fn check_poll_headers(answer: &Answer) {
    assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{answer:?}");
    answer.location_seq();
}

#[track_caller]
fn check_woken(publish: impl FnOnce(&Server)) {
    let server = Server::start(&[]);
    let mut wire = park(&server, "/location/long/3?timeout=60000");
    publish(&server);
    let answer = wire.answer().expect_status(200);
    check_poll_headers(&answer);
    let update = answer.update();
    assert_eq!(update.point(), (1.0, 2.0));
    assert_eq!(answer.location_seq(), update.seq);
    assert_eq!(server.get("/location/cur/3").text(), update.text);
    wire.expect_alive();
    server.stop();
}

const BODY: &str = r#"{"member":"alice","x":1,"y":2}"#;

#[test]
fn parked_poll_is_woken_by_every_way_to_publish() {
    for target in ["/location/long/3/notify", "/location/share/3", "/cur/3", "/location/sse/share?group=3"] {
        check_woken(|server| {
            server.post(target, BODY).expect_status(200);
        });
    }
    check_woken(|server| {
        let mut socket = Socket::open(server, "/ws/3");
        socket.send(BODY);
        socket.update();
    });
    check_woken(|server| {
        Stomp::connect(server).send_for_receipt("SEND", &[("destination", "/pub/share/3")], BODY);
    });
}

#[test]
fn one_publish_wakes_every_poll_of_its_group_and_no_other() {
    let server = Server::start(&[]);
    let mut polls: Vec<Wire> = (0..20).map(|_| Wire::connect(&server)).collect();
    for poll in &mut polls {
        poll.send_get("/location/long/3");
    }
    let mut other = Wire::connect(&server);
    other.send_get("/location/long/4");
    server.wait_until_parked("long_poll", 21);
    let published = server.publish(3, "alice", 1, 2);
    for poll in &mut polls {
        assert_eq!(poll.answer().expect_status(200).text(), published.text);
    }
    server.wait_until_parked("long_poll", 1);
    let published = server.publish(4, "alice", 1, 2);
    assert_eq!(other.answer().expect_status(200).text(), published.text);
}

#[test]
fn nothing_new_by_the_deadline_is_204() {
    let server = Server::start(&[]);
    let (answer, waited) = time(|| server.get("/location/long/3?timeout=300"));
    check_poll_headers(&answer.expect_status(204));
    assert!((290..5000).contains(&waited.as_millis()), "{waited:?}");
    check_poll_headers(&server.get("/location/long/3?timeout=0").expect_status(204));
}

#[test]
fn poll_without_a_cursor_waits_for_the_next_update() {
    let server = Server::start(&[]);
    let before = server.publish(3, "alice", 1, 2);
    let answer = server.get("/location/long/3?timeout=50").expect_status(204);
    assert_eq!(answer.location_seq(), before.seq, "the cursor to poll with next is the newest seq");
}

// Cursors.

/// Polls from a cursor, following `Location-Seq`, until nothing is owed any more.
#[track_caller]
fn follow(server: &Server, mut cursor: u64) -> Vec<Update> {
    let mut updates = Vec::new();
    loop {
        let answer = server.get(&format!("/location/long/3?since={cursor}&timeout=0"));
        check_poll_headers(&answer);
        cursor = answer.location_seq();
        if answer.status == 204 {
            return updates;
        }
        let update = answer.expect_status(200).update();
        assert_eq!(update.seq, cursor);
        updates.push(update);
    }
}

#[test]
fn cursor_is_answered_at_once_with_the_oldest_owed_update() {
    let server = Server::start(&[]);
    let published: Vec<_> = (0..5).map(|x| server.publish(3, "alice", x, 0)).collect();
    assert_eq!(follow(&server, published[1].seq), published[2..]);
    assert_eq!(follow(&server, published[4].seq), []);
    assert_eq!(follow(&server, 0), published, "0 is owed all of the ring, and nothing has left it");
}

#[test]
fn cursor_at_the_newest_seq_parks() {
    let server = Server::start(&[]);
    let newest = server.publish(3, "alice", 1, 2).seq;
    let mut wire = park(&server, &format!("/location/long/3?since={newest}"));
    let published = server.publish(3, "alice", 3, 4);
    assert_eq!(wire.answer().expect_status(200).text(), published.text);
}

#[test]
fn empty_groups_cursor_lies_below_its_next_seq() {
    let server = Server::start(&[]);
    let cursor = server.get("/location/long/3?timeout=50").expect_status(204).location_seq();
    let published = server.publish(3, "alice", 1, 2);
    assert!(cursor < published.seq, "{cursor} {}", published.text);
    assert_eq!(follow(&server, cursor), [published]);
}

#[test]
fn lost_cursor_is_answered_as_zero_with_a_gap() {
    let server = Server::start(&[]);
    let published: Vec<_> = (0..3).map(|x| server.publish(3, "alice", x, 0)).collect();
    let updates = follow(&server, published[2].seq + 1000);
    assert!(updates[0].gap, "{}", updates[0].text);
    let texts: Vec<_> = updates.iter().map(Update::text_without_gap).collect();
    assert_eq!(texts, published.iter().map(|update| update.text.clone()).collect::<Vec<_>>());
    assert!(updates[1..].iter().all(|update| !update.gap), "{texts:?}");
}

#[test]
fn cursor_below_the_groups_first_seq_has_a_gap() {
    let server = Server::start(&[]);
    let published = server.publish(3, "alice", 1, 2);
    let updates = follow(&server, 1);
    assert_eq!(updates.len(), 1);
    assert!(updates[0].gap);
    assert_eq!(updates[0].text_without_gap(), published.text);
}

#[test]
fn cursor_older_than_the_ring_gets_each_members_newest_and_then_the_ring() {
    let server = Server::start(&["--history", "8"]);
    let cursor = server.publish(3, "zoe", 0, 0).seq;
    let mut published: Vec<_> = (0..10).map(|n| server.publish(3, &format!("m{n}"), n, 1)).collect();
    published.extend((0..10).map(|x| server.publish(3, "m0", x, 2)));
    // m0's first update was replaced; the ring holds the last eight, all of them m0's.
    let want: Vec<_> = published[1..10].iter().chain(&published[12..]).collect();
    let updates = follow(&server, cursor);
    let seqs = |updates: &[&Update]| updates.iter().map(|update| update.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&updates.iter().collect::<Vec<_>>()), seqs(&want));
    for (update, want) in updates.iter().zip(want) {
        assert_eq!(update.text_without_gap(), want.text);
        // One update a request: each cursor that is older than the ring gets its own gap.
        assert_eq!(update.gap, update.seq <= published[12].seq, "{}", update.text);
    }
}

#[test]
fn chain_of_cursors_loses_nothing_under_concurrent_publishers() {
    let server = Server::start(&["--history", "256", "--workers", "2"]);
    let first = server.publish(3, "first", 0, 0);
    let updates = thread::scope(|scope| {
        for publisher in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut wire = Wire::connect(server);
                for x in 0..50 {
                    wire.send_post(
                        "/location/share/3",
                        &format!(r#"{{"member":"p{publisher}","x":{x},"y":0}}"#),
                    );
                    wire.answer().expect_status(200);
                }
            });
        }
        let mut wire = Wire::connect(&server);
        let mut cursor = first.seq;
        let mut updates = Vec::new();
        while updates.len() < 200 {
            wire.send_get(&format!("/location/long/3?since={cursor}"));
            let answer = wire.answer().expect_status(200);
            cursor = answer.location_seq();
            updates.push(answer.update());
        }
        updates
    });
    let mut before = first.seq;
    for update in &updates {
        assert_eq!(update.seq, before + 1, "each update of the group, once and in order: {}", update.text);
        assert!(!update.gap, "{}", update.text);
        before = update.seq;
    }
    for publisher in 0..4 {
        let member = format!("p{publisher}");
        let own = updates.iter().filter(|update| update.member.as_ref() == Some(&member));
        let xs: Vec<_> = own.map(|update| update.point().0).collect();
        assert_eq!(xs, (0..50).map(f64::from).collect::<Vec<_>>(), "{member}");
    }
}

// The connection under a parked request.

#[test]
fn request_behind_a_parked_one_is_answered_after_it() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    wire.send(harness::http::get("/location/long/3") + &harness::http::get("/location/group/3"));
    server.wait_until_parked("long_poll", 1);
    let published = server.publish(3, "alice", 1, 2);
    assert_eq!(wire.answer().expect_status(200).text(), published.text);
    assert_eq!(wire.answer().expect_status(200).json()["seq"], published.seq);
}

#[test]
fn vanished_client_frees_its_place_at_once() {
    let server = Server::start(&[]);
    drop(park(&server, "/location/long/3?timeout=60000"));
    server.wait_until_parked("long_poll", 0);
}

#[test]
fn client_that_ends_its_input_while_parked_has_vanished() {
    let server = Server::start(&[]);
    let mut wire = park(&server, "/location/long/3?timeout=60000");
    wire.send_get("/healthz");
    wire.finish_sending();
    // What it sent behind its poll stays unread, so the kernel may end the connection with a reset.
    server.wait_until_parked("long_poll", 0);
}

#[test]
fn connection_goes_on_after_each_poll() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    for group in 0..8 {
        wire.send_get(&format!("/location/long/{group}?timeout=0"));
        wire.answer().expect_status(204);
        wire.send_get(&format!("/location/long/{group}"));
        server.wait_until_parked("long_poll", 1);
        let published = server.publish(group, "alice", group, 0);
        assert_eq!(wire.answer().expect_status(200).text(), published.text);
    }
}

#[test]
fn member_of_a_parked_poll_is_present_and_others_leave_when_silent() {
    let server = Server::start(&["--member-ttl", "500ms"]);
    let mut watcher = EventStream::open(&server, "/location/sse/3");
    server.publish(3, "alice", 1, 2);
    server.publish(3, "bob", 3, 4);
    watcher.updates(2);
    let mut poll = park(&server, "/location/long/3?member=alice&timeout=60000");
    let leave = watcher.update();
    assert!(leave.is_leave_of("bob"), "alice, who was heard earlier, is parked: {}", leave.text);
    assert_eq!(poll.answer().expect_status(200).text(), leave.text, "a leave is an update as any");
    let leave = watcher.update();
    assert!(leave.is_leave_of("alice"), "{}", leave.text);
    server.get("/location/cur/3").expect_status(204);
}

#[test]
fn head_tells_the_cursor_and_does_not_wait() {
    let server = Server::start(&["--workers", "4"]);
    let mut wire = Wire::connect(&server);
    for group in 0..8 {
        let published = server.publish(group, "alice", group, 0);
        wire.send(format!("HEAD /location/long/{group} HTTP/1.1\r\nHost: geoloop\r\n\r\n"));
        let head = wire.head().expect_status(200);
        assert_eq!(head.location_seq(), published.seq);
        check_poll_headers(&head);
    }
}
