//! What a subscriber is kept for: so many updates of its group's past, so many bytes of what it has not read.

use crate::harness::http::Wire;
use crate::harness::sse::EventStream;
use crate::harness::stomp::Stomp;
use crate::harness::update::Update;
use crate::harness::websocket::{Socket, TEXT, take_frame};
use crate::harness::{Server, wait_until};
use crate::{Scene, slow_websocket};

/// Replays from a cursor on every transport, and checks that each gets the same.
#[track_caller]
fn replay(server: &Server, since: u64, count: usize) -> Vec<Update> {
    let mut socket = Socket::open(server, &format!("/ws/3?since={since}"));
    let replayed = socket.updates(count);
    let mut stream = EventStream::open(server, &format!("/location/sse/3?last_event_id={since}"));
    assert_eq!(stream.updates(count), replayed, "SSE, since {since}");
    let mut stomp = Stomp::connect(server);
    let destination = [("id", "s"), ("destination", "/sub/location/3"), ("since", &since.to_string())];
    stomp.send("SUBSCRIBE", &destination, "");
    assert_eq!(stomp.updates(count), replayed, "STOMP, since {since}");
    let (mut wire, mut cursor, mut polled) = (Wire::connect(server), since, Vec::new());
    for _ in 0..count {
        wire.send_get(&format!("/location/long/3?since={cursor}"));
        let answer = wire.answer().expect_status(200);
        cursor = answer.location_seq();
        polled.push(answer.update());
    }
    if count > 1 {
        // Each poll is a reader of its own: the gap is told to the first.
        assert_eq!(polled[1..], replayed[1..], "long polls, since {since}");
    }
    assert_eq!(polled[0], replayed[0], "long polls, since {since}");
    replayed
}

#[track_caller]
fn check_ring(flags: &[&str], history: usize) {
    let mut scene = Scene::open(flags);
    let server = &scene.server;
    let empty = server.get("/location/long/3?timeout=0").location_seq();
    let mut published: Vec<_> = (0..history as u64).map(|x| server.publish(3, "alice", x, 0)).collect();
    // The ring is full: whoever saw the group empty is owed all of it, and nothing is missing.
    assert_eq!(replay(server, empty, history), published);
    assert_eq!(replay(server, 0, history), published);
    // One more: the first has left, and nobody but its reader need not know.
    published.push(server.publish(3, "alice", history as u64, 0));
    assert_eq!(replay(server, published[0].seq, history), published[1..]);
    for since in [empty, 0] {
        let late = replay(server, since, history);
        assert!(late[0].gap, "since {since}: {}", late[0].text);
        assert!(late[1..].iter().all(|update| !update.gap), "the gap is told once");
        let seqs = |updates: &[Update]| updates.iter().map(|update| update.seq).collect::<Vec<_>>();
        assert_eq!(seqs(&late), seqs(&published[1..]));
    }
    scene.check(&[]);
}

#[test]
fn ring_holds_as_many_updates_as_its_flag_says() {
    check_ring(&["--history", "1"], 1);
    check_ring(&["--history", "5"], 5);
    check_ring(&[], 128);
}

/// Bytes of updates that may wait for one slow reader.
const QUEUE: f64 = 65_536.0;

fn queued(server: &Server) -> f64 {
    server.scrape().sum("geoloop_queue_bytes", &[("transport", "websocket")])
}

/// The next update of a WebSocket that is read by hand.
#[track_caller]
fn next_update(wire: &mut Wire) -> Update {
    let (first, payload) = take_frame(wire);
    assert_eq!(first, TEXT, "a whole text message");
    Update::parse(&String::from_utf8(payload).expect("a text message is UTF-8"))
}

/// Publishes until `enough`, each time for another member so that nothing can be conflated away.
#[track_caller]
fn publish_until(server: &Server, mut enough: impl FnMut(usize) -> bool) -> Vec<Update> {
    let mut wire = Wire::connect(server);
    let mut published = Vec::new();
    while !enough(published.len()) {
        let member = published.len();
        assert!(member < 9000, "so many updates should have been enough");
        wire.send_post("/location/share/3", &format!(r#"{{"member":"m{member:060}","x":1,"y":2}}"#));
        published.push(wire.answer().expect_status(200).update());
    }
    published
}

#[test]
fn queue_that_stays_under_its_flag_loses_nothing() {
    let mut scene = Scene::open(&["--history", "1"]);
    let mut wire = slow_websocket(&scene.server, "/ws/3");
    let server = &scene.server;
    let published = publish_until(server, |count| count % 50 == 0 && queued(server) > QUEUE * 0.5);
    let waiting = queued(server);
    assert!(waiting <= QUEUE, "{waiting}");
    for update in &published {
        assert_eq!(next_update(&mut wire), *update);
    }
    assert_eq!(server.scrape().sum("geoloop_updates_conflated_total", &[]), 0.0);
    scene.check(&[]);
}

#[test]
fn queue_never_holds_more_than_its_flag_and_one_message() {
    let mut scene = Scene::open(&[]);
    let mut wire = slow_websocket(&scene.server, "/ws/3");
    let server = &scene.server;
    let (mut most, mut fell) = (0.0, false);
    let published = publish_until(server, |count| {
        if count % 20 == 0 {
            let waiting = queued(server);
            assert!(waiting <= QUEUE + 4096.0, "{waiting} bytes wait after {count} updates");
            fell |= waiting < most;
            most = waiting.max(most);
        }
        fell && count % 20 == 0
    });
    assert!(most > QUEUE * 0.8, "it is filled before anything is conflated: {most}");
    // Read by cursor from here on: each member has one update, so all come, and the ring being passed is no loss.
    let mut heard = Vec::new();
    while heard.last().is_none_or(|update: &Update| update.seq < published[published.len() - 1].seq) {
        heard.push(next_update(&mut wire));
    }
    let seqs = |updates: &[Update]| updates.iter().map(|update| update.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&heard), seqs(&published), "each member's newest");
    scene.check(&[]);
}

#[test]
fn slow_reader_is_disconnected_past_the_flag_and_not_before() {
    let mut scene = Scene::open(&["--slow-consumer", "disconnect"]);
    let mut kept = slow_websocket(&scene.server, "/ws/3");
    let server = &scene.server;
    let published = publish_until(server, |count| count % 50 == 0 && queued(server) > QUEUE * 0.5);
    for update in &published {
        assert_eq!(next_update(&mut kept), *update);
    }
    server.expect_refusals(&[]);
    drop(kept);
    server.wait_for_gauge("geoloop_subscriptions", &[("transport", "websocket")], 1);
    let _cut = slow_websocket(server, "/ws/3");
    publish_until(server, |count| {
        count % 50 == 0 && server.scrape().sum("geoloop_refused_total", &[("reason", "slow_consumer")]) == 1.0
    });
    assert!(wait_until(|| queued(server) == 0.0), "what it was owed is forgotten with it");
    scene.check(&[("slow_consumer", 1)]);
}
