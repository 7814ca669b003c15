//! Server-Sent Events over real sockets: the stream's bytes, replay, presence, and the seed's one-shot.

mod harness;

use harness::Server;
use harness::http::Wire;
use harness::sse::EventStream;
use harness::update::Update;

#[test]
fn stream_begins_with_a_comment_and_its_headers() {
    let server = Server::start(&[]);
    let stream = EventStream::open(&server, "/location/sse/3");
    assert_eq!(stream.head.header("Cache-Control"), Some("no-store"));
    assert_eq!(stream.head.header("X-Accel-Buffering"), Some("no"));
    server.stop();
}

#[test]
fn stream_tells_when_to_come_back() {
    let server = Server::start(&[]);
    let mut retries = Vec::new();
    for _ in 0..8 {
        let mut stream = EventStream::open(&server, "/location/sse/3");
        server.publish(3, "alice", 1, 2);
        let event = stream.poll_event().expect("the stream goes on");
        retries.push(event.retry.expect("retry comes first"));
    }
    assert!(retries.iter().any(|retry| retry != &retries[0]), "a jitter per client: {retries:?}");
}

#[test]
fn update_comes_as_an_event_with_its_seq_as_id() {
    let server = Server::start(&[]);
    let mut stream = EventStream::open(&server, "/location/sse/3");
    let published: Vec<_> = (0..10).map(|x| server.publish(3, "alice", x, 0)).collect();
    assert_eq!(stream.updates(10), published, "EventStream checks id and event of each");
}

#[test]
fn stream_of_http_1_0_has_no_chunks() {
    let server = Server::start(&[]);
    let mut wire = Wire::connect(&server);
    wire.send("GET /location/sse/3 HTTP/1.0\r\n\r\n");
    let mut stream = EventStream::over(wire);
    assert!(!stream.head.lists("Transfer-Encoding", "chunked"), "{:?}", stream.head);
    let published = server.publish(3, "alice", 1, 2);
    assert_eq!(stream.update(), published);
}

#[test]
fn only_the_streams_group_is_heard() {
    let server = Server::start(&[]);
    let mut stream = EventStream::open(&server, "/location/sse/3");
    server.publish(4, "alice", 1, 2);
    let published = server.publish(3, "alice", 3, 4);
    assert_eq!(stream.update(), published);
}

// Replay.

#[track_caller]
fn check_replay(target: &str, headers: &str, server: &Server, want: &[Update], gap: bool) {
    let mut stream = EventStream::open_with(server, target, headers);
    let replayed = stream.updates(want.len());
    assert_eq!(replayed[0].gap, gap, "{target} {headers}: {}", replayed[0].text);
    for (update, want) in replayed.iter().zip(want) {
        assert_eq!(update.text_without_gap(), want.text, "{target} {headers}");
    }
    assert!(replayed[1..].iter().all(|update| !update.gap), "the gap is told once");
    let live = server.publish(3, "live", 9, 9);
    assert_eq!(stream.update(), live, "{target} {headers}: live follows replay without loss or repetition");
}

#[test]
fn last_event_id_replays_what_came_after_it() {
    let server = Server::start(&[]);
    let published: Vec<_> = (0..5).map(|x| server.publish(3, "alice", x, 0)).collect();
    let header = format!("Last-Event-ID: {}\r\n", published[1].seq);
    check_replay("/location/sse/3", &header, &server, &published[2..], false);
}

#[test]
fn query_replays_where_no_header_can_be_set() {
    let server = Server::start(&[]);
    let published: Vec<_> = (0..5).map(|x| server.publish(3, "alice", x, 0)).collect();
    let target = format!("/location/sse/3?last_event_id={}", published[1].seq);
    check_replay(&target, "", &server, &published[2..], false);
}

#[test]
fn header_goes_before_the_query() {
    let server = Server::start(&[]);
    let published: Vec<_> = (0..5).map(|x| server.publish(3, "alice", x, 0)).collect();
    let header = format!("Last-Event-ID: {}\r\n", published[3].seq);
    check_replay("/location/sse/3?last_event_id=0", &header, &server, &published[4..], false);
}

#[test]
fn unreadable_last_event_id_counts_as_none() {
    let server = Server::start(&[]);
    server.publish(3, "alice", 1, 2);
    let mut stream = EventStream::open_with(&server, "/location/sse/3", "Last-Event-ID: abc\r\n");
    let live = server.publish(3, "alice", 3, 4);
    assert_eq!(stream.update(), live);
}

#[test]
fn zero_replays_the_ring() {
    let server = Server::start(&[]);
    let published: Vec<_> = (0..5).map(|x| server.publish(3, "alice", x, 0)).collect();
    check_replay("/location/sse/3?last_event_id=0", "", &server, &published, false);
}

#[test]
fn zero_has_a_gap_once_something_has_left_the_ring() {
    let server = Server::start(&["--history", "4"]);
    let published: Vec<_> = (0..6).map(|x| server.publish(3, "alice", x, 0)).collect();
    check_replay("/location/sse/3?last_event_id=0", "", &server, &published[2..], true);
}

#[test]
fn cursor_older_than_the_ring_gets_each_members_newest_first() {
    let server = Server::start(&["--history", "4"]);
    let cursor = server.publish(3, "zoe", 0, 0).seq;
    let mut want = vec![server.publish(3, "alice", 1, 1)];
    server.publish(3, "bob", 2, 2);
    want.push(server.publish(3, "bob", 3, 3));
    want.extend((0..4).map(|x| server.publish(3, "carol", x, 0)));
    check_replay(&format!("/location/sse/3?last_event_id={cursor}"), "", &server, &want, true);
}

#[test]
fn lost_cursor_replays_all_with_a_gap() {
    let server = Server::start(&[]);
    let published: Vec<_> = (0..3).map(|x| server.publish(3, "alice", x, 0)).collect();
    let header = format!("Last-Event-ID: {}\r\n", published[2].seq + 1_000_000);
    check_replay("/location/sse/3", &header, &server, &published, true);
}

#[test]
fn replay_larger_than_a_queue_arrives_whole() {
    let server = Server::start(&["--history", "5000", "--queue-bytes", "4096"]);
    let mut wire = Wire::connect(&server);
    let mut published = Vec::new();
    for x in 0..3000 {
        wire.send_post("/location/share/3", &format!(r#"{{"member":"m{}","x":{x},"y":0}}"#, x % 7));
        published.push(wire.answer().expect_status(200).update());
    }
    check_replay("/location/sse/3?last_event_id=0", "", &server, &published, false);
}

// Presence.

#[test]
fn member_leaves_when_its_last_stream_closes() {
    let server = Server::start(&[]);
    let mut watcher = EventStream::open(&server, "/location/sse/3");
    let one = EventStream::open(&server, "/location/sse/3?member=alice");
    let other = EventStream::open(&server, "/location/sse/3?member=alice");
    server.publish(3, "alice", 1, 2);
    watcher.update();
    drop(one);
    server.wait_until_parked("sse", 2);
    let still = server.publish(3, "bob", 1, 2);
    assert_eq!(watcher.update(), still, "one of two connections is no leave");
    drop(other);
    let leave = watcher.update();
    assert!(leave.is_leave_of("alice"), "{}", leave.text);
}

#[test]
fn member_with_a_stream_outlives_the_member_ttl() {
    let server = Server::start(&["--member-ttl", "300ms"]);
    let mut watcher = EventStream::open(&server, "/location/sse/3");
    let alice = EventStream::open(&server, "/location/sse/3?member=alice");
    server.publish(3, "alice", 1, 2);
    server.publish(3, "bob", 3, 4);
    watcher.updates(2);
    let leave = watcher.update();
    assert!(leave.is_leave_of("bob"), "alice published earlier but is connected: {}", leave.text);
    drop(alice);
    let leave = watcher.update();
    assert!(leave.is_leave_of("alice"), "{}", leave.text);
}

#[test]
fn nobody_is_told_of_a_member_without_a_location() {
    let server = Server::start(&[]);
    let mut watcher = EventStream::open(&server, "/location/sse/3");
    let silent = EventStream::open(&server, "/location/sse/3?member=alice");
    drop(silent);
    server.wait_until_parked("sse", 1);
    let published = server.publish(3, "bob", 1, 2);
    assert_eq!(watcher.update(), published);
}

#[test]
fn vanished_stream_frees_its_place_at_once() {
    let server = Server::start(&[]);
    let stream = EventStream::open(&server, "/location/sse/3");
    server.wait_until_parked("sse", 1);
    drop(stream);
    server.wait_until_parked("sse", 0);
}

// The seed's one-shot and its share.

#[test]
fn one_shot_answers_one_event_and_keeps_the_connection() {
    let server = Server::start(&[]);
    let mut zero = EventStream::open(&server, "/location/sse/0");
    let mut wire = Wire::connect(&server);
    for _ in 0..3 {
        wire.send_get("/location/sse/connect");
        let answer = wire.answer().expect_status(200);
        assert!(answer.needed_header("Content-Type").starts_with("text/event-stream"), "{answer:?}");
        assert_eq!(answer.needed_header("Content-Length"), answer.body.len().to_string());
        let update = zero.update();
        let event = format!("id: {}\nevent: location\ndata: {}\n\n", update.seq, update.text);
        assert!(answer.text().ends_with(&event), "{:?}", answer.text());
    }
}

#[test]
fn one_shot_makes_nothing_up_where_that_is_off() {
    let server = Server::start(&["--no-simulate"]);
    server.get("/location/sse/connect").expect_status(204);
    server.get("/location/cur/0").expect_status(204);
}

#[test]
fn one_shot_refuses_a_page_of_another_site() {
    let server = Server::start(&[]);
    server.get_with("/location/sse/connect", &[("Sec-Fetch-Site", "cross-site")]).expect_problem(403);
    assert_eq!(server.scrape().sum("geoloop_publishes_total", &[]), 0.0);
    server.get_with("/location/sse/connect", &[("Sec-Fetch-Site", "same-origin")]).expect_status(200);
}

#[test]
fn share_publishes_to_group_0_or_the_named_one() {
    let server = Server::start(&[]);
    let mut zero = EventStream::open(&server, "/location/sse/0");
    let mut five = EventStream::open(&server, "/location/sse/5");
    let to_zero = server.post("/location/sse/share", r#"{"x":1,"y":2}"#).expect_status(200).update();
    let to_five = server.post("/location/sse/share?group=5", r#"{"x":3,"y":4}"#).expect_status(200).update();
    assert_eq!(zero.update(), to_zero);
    assert_eq!(five.update(), to_five);
}

#[test]
fn lost_cursor_of_an_empty_group_is_told_with_the_first_update() {
    for (group, step) in [(3, 5), (4, -1)] {
        let server = Server::start(&[]);
        let cursor = server.get(&format!("/location/long/{group}?timeout=0")).location_seq();
        let since = cursor.wrapping_add_signed(step);
        let mut stream = EventStream::open(&server, &format!("/location/sse/{group}?last_event_id={since}"));
        let published = [1, 2].map(|x| server.publish(group, "alice", x, 0).seq);
        let heard = stream.updates(2).iter().map(|update| (update.seq, update.gap)).collect::<Vec<_>>();
        assert_eq!(heard, [(published[0], true), (published[1], false)], "since {step}");
    }
}
