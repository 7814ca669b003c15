//! What happens on its own: deadlines, keep-alives, the drain.

use std::time::Duration;

use super::stomp::{connect_stomp, subscribe};
use super::{Driver, Peer, at, get, header, made_at, post, upgrade};
use crate::limits::{LINGER_TIME_MAX, PING_EVERY, SSE_COMMENT_EVERY};
use crate::report::Reason;
use crate::shard::Standing;
use crate::wire::websocket::frame::Opcode;

const MS: Duration = Duration::from_millis(1);

/// Nothing but pings comes to a peer until `wait` has passed; what comes then.
#[track_caller]
fn got_at(driver: &mut Driver, peer: Peer, wait: Duration) -> String {
    driver.pass(wait - MS);
    assert_eq!(take_but_pings(driver, peer), "", "it came early");
    driver.pass(MS);
    take_but_pings(driver, peer)
}

fn take_but_pings(driver: &mut Driver, peer: Peer) -> String {
    let got = String::from_utf8_lossy(&driver.take(peer)).into_owned();
    got.replace("\u{fffd}\0", "")
}

#[test]
fn long_poll_is_answered_at_its_deadline_with_the_cursor_to_go_on_with() {
    let mut driver = Driver::new(1);
    let cursor = made_at(&driver);
    let peer = driver.connect(0, get("/location/long/3?timeout=2500"));
    let answer = got_at(&mut driver, peer, Duration::from_millis(2500));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(header(&answer, "Location-Seq"), Some(&*cursor.to_string()));
    let newest = driver.publish(3, &at("alice", 1));
    driver.send(peer, get("/location/long/3?timeout=1"));
    let answer = got_at(&mut driver, peer, MS);
    assert_eq!(header(&answer, "Location-Seq"), Some(&*newest.to_string()));
    assert_eq!(driver.waiters(0, 3), 0);
}

#[test]
fn long_poll_that_does_not_say_parks_ten_seconds() {
    let mut driver = Driver::new(1);
    let peer = driver.connect(0, get("/location/long/3"));
    assert!(got_at(&mut driver, peer, Duration::from_secs(10)).starts_with("HTTP/1.1 204 "));
}

/// Closes at `wait` after `sent`, with an answer that begins with `answer`.
#[track_caller]
fn check_timeout(sent: &str, wait: Duration, answer: &str, reason: Option<Reason>) {
    let mut driver = Driver::new(1);
    let peer = driver.connect(0, sent);
    driver.take(peer);
    let got = got_at(&mut driver, peer, wait);
    assert!(got.starts_with(answer) && (got.is_empty() == answer.is_empty()), "{got}");
    driver.pass(LINGER_TIME_MAX);
    assert_eq!(driver.shard_of(peer), None);
    if let Some(reason) = reason {
        assert_eq!(driver.report(0).refused[reason as usize], 1);
    }
}

#[test]
fn waits_that_are_too_long_end() {
    let seconds = Duration::from_secs;
    check_timeout("", seconds(10), "", None);
    check_timeout("GET / HT", seconds(10), "HTTP/1.1 408 ", Some(Reason::HeadTimeout));
    let body = post(3, "{\"x\":1,\"y\":2}");
    check_timeout(&body[..body.len() - 1], seconds(10), "HTTP/1.1 408 ", Some(Reason::BodyTimeout));
    check_timeout(&get("/healthz"), seconds(75), "", None);
    check_timeout(&upgrade("/location"), seconds(10), "\u{fffd}", Some(Reason::ConnectTimeout));
}

// RFC 9110, section 9.3.2: an answer to a HEAD has no content, whatever it says.
#[test]
fn half_a_head_request_is_timed_out_without_content() {
    for half in ["HEAD / HT", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n123"] {
        let mut driver = Driver::new(1);
        let peer = driver.connect(0, half);
        driver.take(peer);
        let got = got_at(&mut driver, peer, Duration::from_secs(10));
        assert!(got.starts_with("HTTP/1.1 408 ") && got.ends_with("\r\n\r\n"), "{got}");
    }
}

#[test]
fn half_a_head_request_of_a_newcomer_without_a_place_is_answered_without_content() {
    let mut driver = Driver::new(1);
    let peer = driver.accept_as(0, Standing::Surplus);
    driver.send(peer, "HEAD / HT");
    let got = got_at(&mut driver, peer, Duration::from_secs(1));
    assert!(got.starts_with("HTTP/1.1 503 ") && got.ends_with("\r\n\r\n"), "{got}");
}

#[test]
fn dribbled_head_is_held_against_its_first_byte() {
    let mut driver = Driver::new(1);
    let peer = driver.accept(0);
    let head = get("/healthz");
    for byte in head.bytes().take(20) {
        driver.send(peer, [byte]);
        driver.pass(Duration::from_millis(500));
    }
    assert!(driver.take_text(peer).starts_with("HTTP/1.1 408 "));
}

#[test]
fn parked_connection_outlives_the_deadlines_of_requests() {
    let mut driver = Driver::new(1);
    let peer = driver.connect(0, get("/location/sse/3"));
    driver.pass(Duration::from_secs(3600));
    let got = driver.take_text(peer);
    let comments = got.matches("\n:").count();
    assert!((239..=242).contains(&comments), "{comments}");
    assert_eq!(driver.shard_of(peer), Some(0));
}

#[test]
fn every_event_stream_gets_one_comment_a_round() {
    let mut driver = Driver::new(1);
    let peers: Vec<Peer> = (0..60).map(|_| driver.connect(0, get("/location/sse/3"))).collect();
    for round in 0..3 {
        peers.iter().for_each(|peer| drop(driver.take(*peer)));
        driver.pass(SSE_COMMENT_EVERY);
        for peer in &peers {
            assert_eq!(driver.take_text(*peer), ":\n\n", "round {round}, {peer:?}");
        }
    }
}

#[test]
fn silent_websocket_is_pinged_every_round_and_closed_after_peer_timeout() {
    let mut driver = Driver::new(1);
    let peers: Vec<Peer> = (0..60).map(|_| driver.open_websocket(0, 3, "")).collect();
    let lively = peers[7];
    for round in 0..3 {
        driver.pass(PING_EVERY);
        for peer in &peers {
            assert_eq!(driver.take_frames(*peer), [(Opcode::Ping, Vec::new())], "round {round}, {peer:?}");
        }
        // Any byte is a sign of life, here one of a pong a round.
        driver.send(lively, [[0x8a], [0x80], [1]][round]);
    }
    driver.pass(Duration::from_secs(15) - MS);
    assert_eq!(driver.shards[0].connections(), 60, "none has been silent for as long yet");
    driver.pass(PING_EVERY);
    assert_eq!(driver.shards[0].connections(), 1, "each is looked at once a round");
    assert_eq!(driver.shard_of(lively), Some(0));
    assert_eq!(driver.report(0).refused[Reason::PeerTimeout as usize], 59);
    assert_eq!(driver.waiters(0, 3), 1);
}

#[test]
fn ping_that_still_waits_is_not_doubled() {
    let mut driver = Driver::new(1);
    let peer = driver.open_websocket(0, 3, "");
    driver.sockets[peer.0].room = 0;
    for _ in 0..3 {
        driver.pass(PING_EVERY);
    }
    driver.make_room(peer, usize::MAX);
    assert_eq!(driver.take_frames(peer), [(Opcode::Ping, Vec::new())]);
}

#[test]
fn heart_beats_go_out_as_agreed() {
    let mut driver = Driver::new(1);
    let peer = connect_stomp(&mut driver, 0, "heart-beat:0,2000\n");
    for _ in 0..5 {
        assert_eq!(got_at(&mut driver, peer, Duration::from_secs(2)), "\u{fffd}\u{1}\n");
    }
}

#[test]
fn client_is_beaten_no_more_than_once_a_second() {
    let mut driver = Driver::new(1);
    // Halfway between two batches of pings.
    driver.pass(Duration::from_millis(500));
    let peer = connect_stomp(&mut driver, 0, "heart-beat:0,10\n");
    assert_eq!(got_at(&mut driver, peer, Duration::from_secs(1)), "\u{fffd}\u{1}\n");
}

#[test]
fn heart_beats_that_stay_away_for_twice_their_time_end_the_connection() {
    let mut driver = Driver::new(1);
    let peer = connect_stomp(&mut driver, 0, "heart-beat:3000,0\n");
    driver.send(peer, subscribe("a", 3, ""));
    driver.pass(Duration::from_secs(5));
    driver.send(peer, super::text("\n"));
    let got = got_at(&mut driver, peer, Duration::from_secs(6));
    assert!(got.contains("ERROR\n"), "{got}");
    assert_eq!(driver.report(0).refused[Reason::PeerTimeout as usize], 1);
    assert_eq!(driver.waiters(0, 3), 0);
}

#[test]
fn drain_tells_each_kind_in_its_own_way_within_four_fifths_of_the_window() {
    let mut driver = Driver::new(1);
    let websocket = driver.open_websocket(0, 3, "?member=alice");
    let stomp = connect_stomp(&mut driver, 0, "member:bob\n");
    driver.send(stomp, subscribe("a", 3, ""));
    driver.publish(3, &at("alice", 1));
    driver.publish(3, &at("bob", 1));
    let sse = driver.connect(0, get("/location/sse/3"));
    let poll = driver.connect(0, get("/location/long/3"));
    let idle = driver.connect(0, get("/healthz"));
    let peers = [websocket, stomp, sse, poll, idle];
    peers.iter().for_each(|peer| drop(driver.take(*peer)));
    driver.shards[0].handle_drain(Duration::from_secs(5));
    driver.pass(Duration::from_secs(4));
    let texts = peers.map(|peer| String::from_utf8_lossy(&driver.take(peer)).into_owned());
    assert!(texts[0].ends_with("the server is draining") && texts[0].len() < 40, "{texts:?}");
    assert!(texts[1].contains("ERROR\n") && !texts[1].contains("left"), "{texts:?}");
    assert!(texts[2].contains("retry:") && !texts[2].contains("left"), "{texts:?}");
    assert!(texts[3].starts_with("HTTP/1.1 204 "), "{texts:?}");
    assert_eq!(header(&texts[3], "Connection"), Some("close"));
    assert_eq!(texts[4], "");
    driver.pass(LINGER_TIME_MAX);
    assert_eq!(driver.shards[0].connections(), 0);
    assert_eq!(driver.report(0).members, 2, "a drain tells nobody's leaving");
}

#[test]
fn drained_subscriber_gets_what_it_is_owed_first() {
    let mut driver = Driver::new(1);
    let peer = driver.open_websocket(0, 3, "");
    driver.sockets[peer.0].room = 0;
    driver.publish(3, &at("alice", 1));
    driver.shards[0].handle_drain(Duration::from_secs(5));
    driver.pass(Duration::from_secs(4));
    driver.make_room(peer, usize::MAX);
    let mut frames = driver.take_frames(peer);
    frames.retain(|(opcode, _)| *opcode != Opcode::Ping);
    let opcodes: Vec<Opcode> = frames.iter().map(|(opcode, _)| *opcode).collect();
    assert_eq!(opcodes, [Opcode::Text, Opcode::Close]);
    assert_eq!(frames[1].1[..2], 1012u16.to_be_bytes());
}

#[test]
fn while_draining_nothing_parks_and_answers_close() {
    let mut driver = Driver::new(1);
    driver.shards[0].handle_drain(Duration::from_secs(5));
    for (target, status) in [
        ("/location/long/3", "503"),
        ("/ws/3", "426"),
        ("/readyz", "503"),
        ("/healthz", "200"),
        ("/location/cur/3", "200"),
        ("/location/sse/3", "200"),
    ] {
        let peer = driver.connect(0, get(target));
        let head = driver.take_head(peer, status);
        assert_eq!(header(&head, "Connection"), Some("close"), "{target}");
        assert!(driver.sockets[peer.0].shut, "{target}");
    }
    let peer = driver.connect(0, upgrade("/ws/3"));
    assert!(header(&driver.take_head(peer, "503"), "Retry-After").is_some());
    assert_eq!(driver.report(0).refused[Reason::Draining as usize], 4);
}

#[test]
fn closing_connection_is_cut_after_a_second_and_before_that_only_by_its_peer() {
    let mut driver = Driver::new(1);
    let sent = get("/healthz").replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let [waits, goes] = [driver.connect(0, &sent), driver.connect(0, &sent)];
    driver.hang_up(goes);
    assert_eq!([driver.shard_of(waits), driver.shard_of(goes)], [Some(0), None]);
    driver.send(waits, [0; 1000]);
    driver.pass(LINGER_TIME_MAX - MS);
    assert_eq!(driver.shard_of(waits), Some(0));
    driver.pass(MS);
    assert_eq!(driver.shard_of(waits), None);
}

#[test]
fn group_without_use_expires_in_silence() {
    let mut driver = Driver::new(1);
    driver.publish(3, &at("alice", 1));
    driver.pass(Duration::from_secs(599));
    assert_eq!(driver.report(0).groups, 1);
    driver.pass(Duration::from_secs(62));
    assert_eq!(driver.report(0).groups, 0);
}

#[test]
fn ping_of_the_same_turn_does_not_take_a_heart_beats_place() {
    let mut driver = Driver::new(1);
    let peer = connect_stomp(&mut driver, 0, "heart-beat:0,1000\n");
    driver.pass(Duration::from_secs(1));
    assert!(driver.take_frames(peer).iter().any(|(opcode, _)| *opcode == Opcode::Text));
}

#[test]
fn replay_that_a_drain_cuts_short_is_whole_at_every_split() {
    for room in 0..400 {
        let mut driver = Driver::new(1);
        let numbers = ["alice", "bob", "carol"].map(|name| driver.publish(3, &at(name, 1)));
        let peer = driver.accept(0);
        driver.sockets[peer.0].room = 0;
        driver.send(peer, upgrade("/ws/3?since=0"));
        driver.shards[0].handle_drain(Duration::from_millis(500));
        driver.pass(Duration::from_millis(400));
        driver.make_room(peer, room);
        driver.make_room(peer, usize::MAX);
        driver.take_head(peer, "101");
        let frames = driver.take_frames(peer);
        let (last, updates) = frames.split_last().unwrap();
        let got: Vec<u64> =
            updates.iter().map(|(_, json)| super::seq(&String::from_utf8_lossy(json))).collect();
        assert_eq!((got, last.0), (numbers.to_vec(), Opcode::Close), "room for {room}");
    }
}

#[test]
fn heart_beats_do_not_hasten_the_goodbye_of_a_drain() {
    let mut driver = Driver::new(1);
    let peers: Vec<Peer> = (0..20).map(|_| connect_stomp(&mut driver, 0, "heart-beat:0,1000\n")).collect();
    driver.shards[0].handle_drain(Duration::from_secs(60));
    driver.pass(Duration::from_secs(12));
    let told = peers.iter().filter(|peer| driver.sockets[peer.0].shut).count();
    assert!((1..12).contains(&told), "{told} of 20 were told in the first fifth of the window");
    driver.pass(Duration::from_secs(37));
    assert!(peers.iter().all(|peer| driver.sockets[peer.0].shut));
}

#[test]
fn half_a_head_has_its_deadline_in_a_drain_too() {
    let mut driver = Driver::with(1, |limits| limits.head_timeout = Duration::from_secs(1));
    let peer = driver.connect(0, "GET /healthz HT");
    driver.shards[0].handle_drain(Duration::from_secs(60));
    driver.pass(Duration::from_secs(1));
    driver.take_head(peer, "408");
}

#[test]
fn newcomer_of_a_drain_is_not_sent_off_before_it_has_asked() {
    let mut driver = Driver::new(1);
    let _stays = driver.open_websocket(0, 3, "");
    driver.shards[0].handle_drain(Duration::from_secs(10));
    for _ in 0..30 {
        driver.pass(Duration::from_millis(200));
        let peer = driver.accept(0);
        driver.shards[0].handle_timeout();
        driver.run();
        driver.send(peer, get("/readyz"));
        driver.take_answer(peer, "503");
    }
    let silent = driver.accept(0);
    // A second to ask, and one to close its side.
    driver.pass(Duration::from_secs(2));
    assert_eq!(driver.shard_of(silent), None, "it stays no longer");
}
