//! Who joins a group of another shard: what was numbered before is not told it, however far behind the mirror here is.

use std::time::Duration;

use super::mail::{settled, settled_stomp};
use super::stomp::{send_to, subscribe};
use super::{Driver, Letter, Peer, at, get, header, post, seq, text, upgrade};
use crate::limits::MIRROR_LINGER;
use crate::shard::mail::Mail;

/// Ways of joining group 1, which is at home on shard 1.
const WAYS: [&str; 4] = ["/location/long/1", "/location/sse/1", "/ws/1", "STOMP"];

/// Whether shard 0 has a mirror of group 1 for somebody else.
const WITH_AND_WITHOUT_MIRROR: [bool; 2] = [true, false];

/// A client of shard 0 that is about to ask for group 1.
fn settled_for(driver: &mut Driver, way: &str) -> Peer {
    if way == "STOMP" { settled_stomp(driver) } else { settled(driver) }
}

/// What it asks with, and its cursor if it has one.
fn wish(way: &str, cursor: Option<u64>) -> Vec<u8> {
    let with = |name: &str| cursor.map(|cursor| format!("{name}{cursor}")).unwrap_or_default();
    match way {
        "STOMP" => {
            let since = with("since:");
            subscribe("far", 1, &if since.is_empty() { since } else { since + "\n" })
        }
        "/location/sse/1" => get(&format!("{way}{}", with("?last_event_id="))).into_bytes(),
        "/ws/1" => upgrade(&format!("{way}{}", with("?since="))).into_bytes(),
        _ => get(&format!("{way}{}", with("?since="))).into_bytes(),
    }
}

/// A client of shard 0 that asks for group 1 without a cursor.
fn join(driver: &mut Driver, way: &str) -> Peer {
    let peer = settled_for(driver, way);
    driver.send(peer, wish(way, None));
    peer
}

/// Two shards, of which shard 0 has a mirror of group 1 if so told, and who keeps it there.
fn driver_with(mirror: bool) -> (Driver, Peer) {
    let mut driver = Driver::new(2);
    driver.publish(1, &at("early", 0));
    let keeper = settled_stomp(&mut driver);
    if mirror {
        driver.send(keeper, subscribe("far", 1, ""));
    }
    (driver, keeper)
}

/// Publishes at the group's home, where the answer takes no mail; the update's number.
fn publish_at_home(driver: &mut Driver, x: u32) -> u64 {
    let peer = driver.connect(1, post(1, &at("alice", x)));
    seq(&driver.take_answer(peer, "200").1)
}

/// Delivers letters to one shard, at most so many, and lets it act on them, while all others rest.
fn carry(driver: &mut Driver, to: usize, most: usize) {
    let mut left = most;
    for (receiver, letter) in std::mem::take(&mut driver.letters) {
        if receiver.index() == to && left > 0 {
            left -= 1;
            driver.deliver(to, letter);
        } else {
            driver.letters.push_back((receiver, letter));
        }
    }
    driver.do_outputs(to);
}

/// Mail moves again.
fn let_mail_go(driver: &mut Driver) {
    driver.mail_rests = false;
    driver.run();
}

/// What a peer got, frames and all.
fn take_lossy(driver: &mut Driver, peer: Peer) -> String {
    String::from_utf8_lossy(&driver.take(peer)).into_owned()
}

/// The coordinates of the updates in what a peer got; none may say that there is a gap.
#[track_caller]
fn take_xs(driver: &mut Driver, peer: Peer) -> Vec<u32> {
    let got = take_lossy(driver, peer);
    assert!(!got.contains("\"gap\""), "{got}");
    let x = |rest: &str| rest.split(',').next().unwrap().parse().unwrap();
    got.split("\"x\":").skip(1).map(x).collect()
}

#[test]
fn what_a_client_sent_before_it_subscribed_is_not_delivered_to_it() {
    for mirror in WITH_AND_WITHOUT_MIRROR {
        let (mut driver, keeper) = driver_with(mirror);
        let peer = settled_stomp(&mut driver);
        driver.mail_rests = true;
        driver.send(peer, [send_to(1, "", &at("alice", 1)), subscribe("far", 1, "receipt:r\n")].concat());
        let_mail_go(&mut driver);
        let got = take_lossy(&mut driver, peer);
        assert!(got.contains("receipt-id:r\n") && !got.contains("MESSAGE"), "mirror: {mirror}: {got}");
        driver.send(peer, send_to(1, "", &at("alice", 2)));
        assert_eq!(take_xs(&mut driver, peer), [2], "mirror: {mirror}");
        assert_eq!(take_xs(&mut driver, keeper), if mirror { vec![1, 2] } else { vec![] });
    }
}

#[test]
fn one_batch_from_a_home_is_told_from_the_first_update_that_is_owed() {
    for mirror in WITH_AND_WITHOUT_MIRROR {
        let (mut driver, _) = driver_with(mirror);
        let peer = settled_stomp(&mut driver);
        driver.mail_rests = true;
        let (before, behind) = (send_to(1, "", &at("alice", 1)), send_to(1, "", &at("alice", 2)));
        driver.send(peer, [before, subscribe("far", 1, ""), behind].concat());
        let_mail_go(&mut driver);
        assert_eq!(take_xs(&mut driver, peer), [2], "mirror: {mirror}");
    }
}

#[test]
fn what_was_acknowledged_before_somebody_came_is_not_told_them() {
    for (way, mirror) in WAYS.iter().flat_map(|way| WITH_AND_WITHOUT_MIRROR.map(|mirror| (way, mirror))) {
        let (mut driver, keeper) = driver_with(mirror);
        driver.mail_rests = true;
        publish_at_home(&mut driver, 1);
        let peer = join(&mut driver, way);
        let_mail_go(&mut driver);
        assert_eq!(take_xs(&mut driver, peer), [0; 0], "{way}, mirror: {mirror}");
        driver.publish(1, &at("alice", 2));
        assert_eq!(take_xs(&mut driver, peer), [2], "{way}, mirror: {mirror}");
        assert_eq!(take_xs(&mut driver, keeper), if mirror { vec![1, 2] } else { vec![] });
    }
}

#[test]
fn what_was_numbered_before_somebody_came_is_not_told_them_in_however_many_letters_it_comes() {
    for way in WAYS {
        let (mut driver, keeper) = driver_with(true);
        let publisher = settled_stomp(&mut driver);
        driver.mail_rests = true;
        publish_at_home(&mut driver, 1);
        driver.send(publisher, send_to(1, "", &at("alice", 2)));
        let peer = join(&mut driver, way);
        carry(&mut driver, 1, usize::MAX);
        // Told of 1; then the answer to the publish, and to the wish; then 2.
        let letters = driver.letters.len();
        assert_eq!(letters, 4, "{:?}", driver.letters);
        carry(&mut driver, 0, 3);
        assert_eq!(take_xs(&mut driver, keeper), [1], "{way}");
        carry(&mut driver, 0, 1);
        assert_eq!(take_xs(&mut driver, keeper), [2], "{way}");
        assert_eq!(take_xs(&mut driver, peer), [0; 0], "{way}");
        let_mail_go(&mut driver);
        driver.publish(1, &at("alice", 3));
        assert_eq!(take_xs(&mut driver, peer), [3], "{way}");
    }
}

#[test]
fn poll_that_knows_more_than_its_mirror_is_led_no_further_back() {
    let (mut driver, _) = driver_with(true);
    let publisher = settled_stomp(&mut driver);
    driver.mail_rests = true;
    driver.send(publisher, send_to(1, "receipt:r\n", &at("alice", 1)));
    let peer = join(&mut driver, "/location/long/1?timeout=100");
    carry(&mut driver, 1, usize::MAX);
    carry(&mut driver, 0, 2);
    assert!(take_lossy(&mut driver, publisher).contains("receipt-id:r\n"));
    driver.pass(Duration::from_millis(100));
    let (head, _) = driver.take_answer(peer, "204");
    let cursor: u64 = header(&head, "Location-Seq").unwrap().parse().unwrap();
    let_mail_go(&mut driver);
    let newest = driver.publish(1, &at("alice", 2));
    assert_eq!(cursor, newest - 1, "the one before has a receipt");
    driver.send(peer, get(&format!("/location/long/1?since={cursor}")));
    assert_eq!(take_xs(&mut driver, peer), [2]);
}

#[test]
fn cursor_is_held_against_no_answer_that_was_given_before_its_client_had_it() {
    for (target, mirror) in [("/location/long/1?since=", true), ("/location/sse/1?last_event_id=", false)] {
        let (mut driver, _) = driver_with(mirror);
        let first = settled_stomp(&mut driver);
        driver.mail_rests = true;
        driver.send(first, subscribe("far", 1, ""));
        carry(&mut driver, 1, usize::MAX);
        let newest = publish_at_home(&mut driver, 1);
        let peer = settled(&mut driver);
        driver.send(peer, get(&format!("{target}{newest}")));
        let_mail_go(&mut driver);
        assert_eq!(take_xs(&mut driver, peer), [0; 0], "{target}");
        driver.publish(1, &at("alice", 2));
        assert_eq!(take_xs(&mut driver, peer), [2], "{target}");
        assert_eq!(take_xs(&mut driver, first), [1, 2], "{target}");
    }
}

#[test]
fn cursor_of_what_a_home_is_still_to_tell_is_no_lost_one() {
    for way in WAYS {
        let mut driver = Driver::with(2, |limits| limits.fan_out_writes_max = 1);
        driver.publish(1, &at("early", 0));
        let keeper = settled_stomp(&mut driver);
        driver.send(keeper, subscribe("far", 1, ""));
        driver.open_websocket(1, 3, "");
        let publisher = driver.accept(1);
        let peers = [(); 2].map(|()| settled_for(&mut driver, way));
        driver.mail_rests = true;
        // Group 3 is told first, and group 1 waits for the next turn, while its publishers are answered.
        for (group, x) in [(3, 0), (1, 1), (1, 2)] {
            driver.feed(publisher, post(group, &at("alice", x)));
        }
        driver.do_outputs(1);
        let [_, first, second] = [(); 3].map(|()| seq(&driver.take_answer(publisher, "200").1));
        for (peer, cursor) in peers.into_iter().zip([first, second]) {
            driver.feed(peer, wish(way, Some(cursor)));
        }
        driver.do_outputs(0);
        carry(&mut driver, 1, usize::MAX);
        let_mail_go(&mut driver);
        driver.publish(1, &at("alice", 3));
        // A poll is over with the first.
        let most = if way.starts_with("/location/long") { 1 } else { 2 };
        assert_eq!(take_xs(&mut driver, peers[0]), [2, 3][..most], "{way}");
        assert_eq!(take_xs(&mut driver, peers[1]), [3], "{way}");
        assert_eq!(take_xs(&mut driver, keeper), [1, 2, 3], "{way}");
    }
}

#[test]
fn cursor_that_a_mirror_has_come_to_needs_no_letter() {
    let (mut driver, _) = driver_with(true);
    let known = driver.publish(1, &at("alice", 1));
    driver.mail_rests = true;
    publish_at_home(&mut driver, 2);
    let peer = settled(&mut driver);
    let sent = driver.report(0).mail.sent;
    driver.send(peer, get(&format!("/location/sse/1?last_event_id={}", known - 1)));
    assert_eq!(take_xs(&mut driver, peer), [1]);
    assert_eq!(driver.report(0).mail.sent, sent);
    let_mail_go(&mut driver);
    assert_eq!(take_xs(&mut driver, peer), [2]);
}

#[test]
fn first_answer_alone_takes_along_what_a_mirror_is_made_of() {
    let (mut driver, _) = driver_with(false);
    let peers = [0; 3].map(|_| settled_stomp(&mut driver));
    driver.mail_rests = true;
    for peer in peers {
        driver.send(peer, subscribe("far", 1, ""));
    }
    carry(&mut driver, 1, usize::MAX);
    let has_copy = |letter: &Letter| {
        let Letter::Mail(Mail::Subscribed { joined: Ok(joined), .. }) = letter else { panic!("{letter:?}") };
        joined.copy.is_some()
    };
    let copies: Vec<_> = driver.letters.iter().map(|(_, letter)| has_copy(letter)).collect();
    assert_eq!(copies, [true, false, false]);
}

#[test]
fn each_answer_is_for_one_wish_whatever_became_of_it() {
    for mirror in WITH_AND_WITHOUT_MIRROR {
        let (mut driver, keeper) = driver_with(mirror);
        let peers = [0; 3].map(|_| settled_stomp(&mut driver));
        driver.mail_rests = true;
        driver.send(peers[0], subscribe("far", 1, ""));
        publish_at_home(&mut driver, 1);
        let unsubscribe = text("UNSUBSCRIBE\nid:far\n\n\0");
        driver.send(peers[1], [subscribe("far", 1, "receipt:r\n"), unsubscribe].concat());
        let poll = join(&mut driver, "/location/long/1");
        driver.hang_up(peers[0]);
        driver.hang_up(poll);
        driver.send(peers[1], subscribe("again", 1, ""));
        driver.send(peers[2], subscribe("far", 1, "since:0\n"));
        // Whoever kept the mirror goes, and what lingers of it may not go before the wishes are answered.
        driver.hang_up(keeper);
        driver.pass(MIRROR_LINGER * 2);
        let_mail_go(&mut driver);
        assert!(driver.shards[0].coming.is_empty());
        assert_eq!(driver.waiters(0, 1), 2);
        publish_at_home(&mut driver, 2);
        assert_eq!(take_xs(&mut driver, peers[1]), [2], "mirror: {mirror}");
        assert_eq!(take_xs(&mut driver, peers[2]), [0, 1, 2], "mirror: {mirror}");
    }
}

#[test]
fn wishes_that_are_refused_are_refused_one_by_one() {
    let mut driver = Driver::with(2, |limits| limits.groups_max = 1);
    let peers = [0; 3].map(|_| settled_stomp(&mut driver));
    driver.mail_rests = true;
    let poll = join(&mut driver, "/location/long/1");
    for peer in peers {
        driver.send(peer, subscribe("far", 1, "receipt:r\n"));
    }
    driver.hang_up(peers[1]);
    let_mail_go(&mut driver);
    driver.take_answer(poll, "503");
    for peer in [peers[0], peers[2]] {
        let got = take_lossy(&mut driver, peer);
        assert!(got.contains("ERROR\n") && got.contains("\nreceipt-id:r\n"), "{got}");
    }
    assert!(driver.shards[0].coming.is_empty());
}
