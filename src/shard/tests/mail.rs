//! Several shards: connections move home, groups are mirrored, and a publish finds everyone wherever they are.

use std::collections::VecDeque;
use std::time::Duration;

use super::stomp::{connect_stomp, send_to, subscribe};
use super::{Driver, Peer, at, get, header, post, seq, text, upgrade};
use crate::ids::Transport;
use crate::limits::MIRROR_LINGER;
use crate::shard::placement;

/// A STOMP connection that is served by shard 0, where group 0 is at home.
pub(super) fn settled_stomp(driver: &mut Driver) -> Peer {
    let peer = connect_stomp(driver, 0, "");
    driver.send(peer, subscribe("home", 0, ""));
    peer
}

#[test]
fn connection_is_handed_to_the_home_of_its_group_with_its_unread_bytes() {
    let mut driver = Driver::new(2);
    assert_eq!(placement::home(super::group(1), 2).index(), 1);
    let peer = driver.connect(0, [upgrade("/ws/1").into_bytes(), text(&at("alice", 1))].concat());
    assert_eq!(driver.shard_of(peer), Some(1));
    driver.take_head(peer, "101");
    assert_eq!(driver.take_seqs(peer).len(), 1);
    assert_eq!([0, 1].map(|shard| driver.shards[shard].connections()), [0, 1]);
    assert_eq!(driver.report(0).mail.sent, 0, "a hand-over is no letter");
}

#[test]
fn connection_moves_home_wherever_its_bytes_are_cut() {
    let bytes = [upgrade("/ws/1").into_bytes(), text(&at("alice", 1)), text(&at("bob", 2))].concat();
    for cut in 0..=bytes.len() {
        let mut driver = Driver::new(2);
        let peer = driver.accept(0);
        driver.feed(peer, &bytes[..cut]);
        // The rest arrives while the connection is on its way.
        driver.do_outputs(0);
        driver.feed(peer, &bytes[cut..]);
        driver.run();
        assert_eq!(driver.shard_of(peer), Some(1));
        driver.take_head(peer, "101");
        assert_eq!(driver.take_seqs(peer).len(), 2, "cut after {cut} bytes");
    }
}

#[test]
fn connection_that_is_owed_something_stays_and_is_served_by_mail() {
    let mut driver = Driver::new(2);
    let peer = driver.accept(0);
    driver.sockets[peer.0].room = 3;
    driver.send(peer, get("/healthz"));
    driver.send(peer, [post(1, &at("alice", 1)), get("/location/cur/1")].concat());
    assert_eq!(driver.shard_of(peer), Some(0));
    driver.make_room(peer, usize::MAX);
    driver.take_answer(peer, "200");
    let published = seq(&driver.take_answer(peer, "200").1);
    assert_eq!(seq(&driver.take_answer(peer, "200").1), published);
}

#[test]
fn answers_of_other_shards_keep_the_order_of_the_requests() {
    let mut driver = Driver::new(3);
    let sent = [
        get("/location/group/0"),
        post(1, &at("alice", 1)),
        get("/healthz"),
        get("/location/cur/1"),
        get("/location/group/2"),
        get("/location/cur/1"),
    ];
    let peer = driver.connect(0, sent.concat());
    let contents: Vec<String> = sent.iter().map(|_| driver.take_answer(peer, "200").1).collect();
    assert!(contents[0].starts_with("{\"group\":0,"), "{contents:?}");
    assert_eq!(contents[2], "ok\n");
    assert!(contents[4].starts_with("{\"group\":2,"), "{contents:?}");
    assert_eq!([&contents[3], &contents[5]], [&contents[1]; 2]);
    assert_eq!(driver.shard_of(peer), Some(0), "only the first group moves a connection");
}

#[test]
fn subscriber_of_another_shards_group_gets_every_update_through_a_mirror() {
    let mut driver = Driver::new(2);
    let peers: Vec<Peer> = (0..3).map(|_| settled_stomp(&mut driver)).collect();
    for peer in &peers {
        driver.feed(*peer, subscribe("far", 1, ""));
    }
    driver.run();
    assert_eq!(
        driver.report(0).mail.sent,
        3,
        "each is told by the home itself from where on it is owed updates"
    );
    let numbers: Vec<u64> = (0..5).map(|x| driver.publish(1, &at("alice", x))).collect();
    for peer in peers {
        assert_eq!(driver.take_seqs(peer), numbers);
    }
    assert_eq!(driver.report(1).mail.sent, 3 + 5, "one letter a turn carries an update to a shard");
}

#[test]
fn replay_from_a_mirror_equals_replay_at_home() {
    let mut driver = Driver::new(2);
    let numbers: Vec<u64> = (0..5).map(|x| driver.publish(1, &at("alice", x))).collect();
    let peer = settled_stomp(&mut driver);
    driver.send(peer, subscribe("all", 1, "since:0\n"));
    assert_eq!(driver.take_seqs(peer), numbers);
    driver.send(peer, subscribe("part", 1, &format!("since:{}\n", numbers[2])));
    assert_eq!(driver.take_seqs(peer), numbers[3..]);
}

#[test]
fn long_poll_of_another_shards_group_parks_on_its_mirror() {
    let mut driver = Driver::new(2);
    let peer = driver.connect(0, get("/location/cur/0"));
    driver.take_answer(peer, "200");
    let mut cursor = String::new();
    for x in 0..3 {
        driver.send(peer, get(&format!("/location/long/1{cursor}")));
        assert_eq!(driver.take_text(peer), "");
        let number = driver.publish(1, &at("alice", x));
        let (head, update) = driver.take_answer(peer, "200");
        assert_eq!(seq(&update), number);
        cursor = format!("?since={}", header(&head, "Location-Seq").unwrap());
    }
    assert_eq!(driver.shard_of(peer), Some(0));
}

#[test]
fn poll_whose_time_is_over_before_its_mirror_comes_learns_the_cursor_to_poll_with() {
    let mut driver = Driver::new(2);
    let newest = driver.publish(1, &at("alice", 1));
    let peer = settled(&mut driver);
    driver.mail_rests = true;
    driver.send(peer, get("/location/long/1?timeout=100"));
    driver.pass(Duration::from_millis(100));
    assert_eq!(driver.take_text(peer), "", "nobody here knows the cursor yet");
    driver.mail_rests = false;
    driver.run();
    let (head, _) = driver.take_answer(peer, "204");
    assert_eq!(header(&head, "Location-Seq"), Some(&*newest.to_string()));
    driver.publish(1, &at("alice", 1));
    assert_eq!(driver.take_text(peer), "");
    assert_eq!(driver.waiters(0, 1), 0);
}

#[test]
fn mirror_without_a_subscriber_is_dropped_after_a_while() {
    let mut driver = Driver::new(2);
    let peer = settled_stomp(&mut driver);
    driver.send(peer, subscribe("far", 1, ""));
    assert_eq!(driver.waiters(1, 1), 1);
    driver.hang_up(peer);
    driver.pass(MIRROR_LINGER - Duration::from_millis(1));
    assert_eq!(driver.waiters(1, 1), 1, "it lingers");
    driver.pass(Duration::from_millis(1));
    assert_eq!(driver.waiters(1, 1), 0);
    assert!(driver.shards[0].hub.find(super::group(1)).is_none());
}

#[test]
fn mirror_that_somebody_comes_back_to_stays() {
    let mut driver = Driver::new(2);
    let peer = settled_stomp(&mut driver);
    driver.send(peer, subscribe("far", 1, ""));
    driver.send(peer, text("UNSUBSCRIBE\nid:far\n\n\0"));
    driver.pass(MIRROR_LINGER / 2);
    driver.send(peer, subscribe("again", 1, ""));
    driver.pass(MIRROR_LINGER);
    // The pings of the meantime.
    driver.take(peer);
    let number = driver.publish(1, &at("alice", 1));
    assert_eq!(driver.take_seqs(peer), [number]);
}

#[test]
fn mirror_that_is_sent_for_again_is_not_dropped_meanwhile() {
    let mut driver = Driver::new(2);
    let peer = settled_stomp(&mut driver);
    driver.send(peer, [subscribe("far", 1, ""), text("UNSUBSCRIBE\nid:far\n\n\0")].concat());
    driver.pass(MIRROR_LINGER - Duration::from_millis(1));
    driver.mail_rests = true;
    driver.send(peer, subscribe("again", 1, "since:9000000000000000\n"));
    driver.pass(Duration::from_millis(2));
    driver.mail_rests = false;
    driver.run();
    driver.publish(1, &at("alice", 1));
    let got = String::from_utf8_lossy(&driver.take(peer)).into_owned();
    assert!(got.contains("\"member\":\"alice\""), "{got}");
}

#[test]
fn subscriber_that_goes_while_its_mirror_comes_leaves_nothing_behind() {
    let mut driver = Driver::new(2);
    let peer = settled_stomp(&mut driver);
    driver.mail_rests = true;
    driver.send(peer, subscribe("far", 1, ""));
    driver.hang_up(peer);
    driver.mail_rests = false;
    driver.run();
    assert_eq!(driver.waiters(0, 1), 0);
    driver.pass(MIRROR_LINGER);
    assert_eq!(driver.waiters(1, 1), 0);
}

#[test]
fn answer_for_a_connection_that_is_gone_reaches_nobody() {
    let mut driver = Driver::new(2);
    let peer = driver.connect(0, get("/healthz"));
    driver.take_answer(peer, "200");
    driver.send(peer, get("/location/cur/0"));
    driver.take_answer(peer, "200");
    driver.mail_rests = true;
    driver.send(peer, get("/location/cur/1"));
    let (shard, conn) = driver.sockets[peer.0].served.unwrap();
    driver.shards[shard].handle_broken(conn);
    driver.run();
    let stranger = driver.connect(0, get("/location/cur/0"));
    driver.take_answer(stranger, "200");
    driver.mail_rests = false;
    driver.run();
    assert_eq!(driver.take_text(stranger), "");
}

#[test]
fn shard_whose_mail_waits_numbers_what_it_is_sent_afterwards_and_in_order() {
    let mut driver = Driver::new(2);
    let peer = settled_stomp(&mut driver);
    driver.send(peer, subscribe("far", 1, ""));
    driver.shards[1].handle_congestion(true);
    for x in 0..3 {
        driver.send(peer, send_to(1, "", &at("alice", x)));
    }
    assert_eq!(driver.take_texts(peer), [""; 0]);
    driver.shards[1].handle_congestion(false);
    driver.run();
    let xs: Vec<bool> = driver
        .take_texts(peer)
        .iter()
        .enumerate()
        .map(|(x, frame)| frame.contains(&format!("\"x\":{x},")))
        .collect();
    assert_eq!(xs, [true; 3]);
}

#[test]
fn member_leaves_with_its_last_connection_on_whatever_shard() {
    let mut driver = Driver::new(2);
    let watcher = driver.open_websocket(0, 1, "");
    let peers = [0, 1].map(|_| {
        let peer = connect_stomp(&mut driver, 0, "member:alice\n");
        driver.send(peer, [subscribe("home", 0, ""), subscribe("far", 1, "")].concat());
        peer
    });
    driver.send(peers[0], send_to(1, "", "{\"x\":1,\"y\":2}"));
    assert_eq!(driver.take_seqs(watcher).len(), 1);
    driver.hang_up(peers[0]);
    driver.pass(Duration::from_secs(70));
    driver.take_frames(watcher);
    driver.hang_up(peers[1]);
    let texts = driver.take_texts(watcher);
    assert!(texts.len() == 1 && texts[0].contains("\"member\":\"alice\",\"left\":true"), "{texts:?}");
    assert_eq!(driver.report(1).members, 0);
}

#[test]
fn counts_are_kept_where_the_connection_is() {
    let mut driver = Driver::new(2);
    let peer = driver.open_websocket(0, 1, "");
    let websocket = Transport::WebSocket as usize;
    let counts = |driver: &Driver, shard| {
        let report = driver.report(shard);
        (report.connections[websocket], report.parked[websocket], report.subscriptions[websocket])
    };
    assert_eq!([counts(&driver, 0), counts(&driver, 1)], [(0, 0, 0), (1, 1, 1)]);
    driver.hang_up(peer);
    assert_eq!(counts(&driver, 1), (0, 0, 0));
}

/// Two shards that both hold group 1, at home on shard 1, for too large to pull connections home.
fn with_giant() -> Driver {
    let mut driver = Driver::new(2);
    for shard in &mut driver.shards {
        shard.giants.insert(super::group(1));
    }
    driver
}

#[test]
fn connection_to_a_giant_group_stays_and_is_heard_once_the_mirror_is_there() {
    let mut driver = with_giant();
    let first = driver.publish(1, &at("alice", 1));
    let sent = [upgrade("/ws/1?since=0").into_bytes(), text(&at("bob", 1)), text(&at("carol", 1))];
    driver.mail_rests = true;
    let peer = driver.connect(0, sent.concat());
    assert_eq!(driver.take_text(peer), "", "it is open once every later update will be in it");
    driver.mail_rests = false;
    driver.run();
    driver.take_head(peer, "101");
    assert_eq!(driver.shard_of(peer), Some(0));
    assert_eq!(driver.take_seqs(peer), [first, first + 1, first + 2]);
    let live = driver.publish(1, &at("alice", 2));
    assert_eq!(driver.take_seqs(peer), [live]);
    assert!(!driver.sockets[peer.0].held, "it is not read again");
}

#[test]
fn stream_of_a_giant_group_that_ends_before_the_mirror_comes_leaves_nothing_behind() {
    for behind in [&b""[..], b"\x81"] {
        let mut driver = with_giant();
        driver.mail_rests = true;
        let peer = driver.connect(0, [upgrade("/ws/1?member=alice").as_bytes(), behind].concat());
        driver.hang_up(peer);
        assert_eq!(driver.shard_of(peer), None);
        driver.mail_rests = false;
        driver.run();
        driver.pass(MIRROR_LINGER);
        assert_eq!([driver.waiters(0, 1), driver.waiters(1, 1)], [0, 0]);
        driver.pass(Duration::from_secs(601));
        assert_eq!(driver.report(1).groups, 0);
    }
}

#[test]
fn group_that_its_home_may_not_make_is_refused_in_each_transports_way() {
    let mut driver = Driver::with(2, |limits| limits.groups_max = 1);
    let stomp = settled_stomp(&mut driver);
    for (target, status) in [("/location/long/1", "503"), ("/location/sse/1", "200")] {
        let peer = driver.connect(0, get("/location/cur/0"));
        driver.take_answer(peer, "200");
        driver.send(peer, get(target));
        driver.take_head(peer, status);
        driver.take(peer);
        let peer = driver.connect(0, get(target));
        driver.take_head(peer, status);
    }
    let peer = driver.connect(0, post(1, &at("alice", 1)));
    driver.take_answer(peer, "503");
    let peer = driver.connect(0, upgrade("/ws/1"));
    driver.take_answer(peer, "503");
    driver.send(stomp, subscribe("far", 1, "receipt:r\n"));
    let got = String::from_utf8_lossy(&driver.take(stomp)).into_owned();
    assert!(got.contains("ERROR\n") && got.contains("\nreceipt-id:r\n"), "{got}");
    assert!(driver.sockets[stomp.0].shut);
    assert_eq!(driver.report(0).groups + driver.report(1).groups, 1);
}

#[test]
fn subscription_that_is_ended_before_it_is_refused_gets_its_receipts() {
    let mut driver = Driver::with(2, |limits| limits.groups_max = 1);
    let peer = settled_stomp(&mut driver);
    let unsubscribe = text("UNSUBSCRIBE\nid:far\nreceipt:u\n\n\0");
    driver.send(peer, [subscribe("far", 1, "receipt:s\n"), unsubscribe].concat());
    let receipts = driver.take_texts(peer);
    let receipts: Vec<_> = receipts.iter().filter_map(|frame| frame.lines().nth(1)).collect();
    assert_eq!(receipts, ["receipt-id:u", "receipt-id:s"]);
}

#[test]
fn stomp_connection_moves_home_wherever_its_bytes_are_cut() {
    let bytes = [
        upgrade("/location").into_bytes(),
        super::stomp::connect(""),
        subscribe("a", 1, "receipt:r1\n"),
        send_to(1, "receipt:r2\n", &at("alice", 1)),
        send_to(0, "receipt:r3\n", &at("bob", 1)),
    ]
    .concat();
    for cut in 0..=bytes.len() {
        let mut driver = Driver::new(2);
        let peer = driver.accept(0);
        driver.feed(peer, &bytes[..cut]);
        driver.do_outputs(0);
        driver.feed(peer, &bytes[cut..]);
        driver.run();
        driver.take_head(peer, "101");
        let frames = driver.take_texts(peer);
        assert_eq!(driver.shard_of(peer), Some(1), "cut after {cut} bytes");
        assert_eq!(frames.len(), 5, "cut after {cut} bytes: {frames:?}");
        assert!(frames.last().unwrap().contains("receipt-id:r3\n"), "{frames:?}");
    }
}

/// A keep-alive connection that stays at shard 0.
pub(super) fn settled(driver: &mut Driver) -> Peer {
    let peer = driver.connect(0, get("/location/cur/0"));
    driver.take_answer(peer, "200");
    peer
}

#[test]
fn subscription_made_again_before_its_mirror_gets_its_replay_and_its_receipt() {
    let mut driver = Driver::new(2);
    let first = driver.publish(1, &at("alice", 1));
    let peer = connect_stomp(&mut driver, 0, "");
    driver.send(peer, subscribe("home", 0, ""));
    driver.mail_rests = true;
    driver.send(peer, [subscribe("a", 1, ""), text("UNSUBSCRIBE\nid:a\n\n\0")].concat());
    driver.send(peer, subscribe("b", 1, "since:0\nreceipt:r\n"));
    driver.mail_rests = false;
    driver.run();
    let got = driver.take_texts(peer);
    assert!(got.len() == 2 && got[0].contains("receipt-id:r\n") && seq(&got[1]) == first, "{got:?}");
}

#[test]
fn upgrade_on_a_settled_connection_is_refused_with_503_where_its_group_may_not_be_made() {
    let mut driver = Driver::with(2, |limits| limits.groups_max = 1);
    driver.publish(0, &at("alice", 1));
    let peer = settled(&mut driver);
    driver.send(peer, upgrade("/ws/1"));
    driver.take_head(peer, "503");
}

#[test]
fn cursor_ahead_of_a_mirror_is_no_lost_one() {
    for target in ["/location/long/1?since=", "/location/sse/1?last_event_id=", "/ws/1?since="] {
        let mut driver = Driver::new(2);
        driver.publish(1, &at("alice", 1));
        // Somebody else keeps the mirror.
        let other = settled(&mut driver);
        driver.send(other, get("/location/long/1"));
        let peer = settled(&mut driver);
        driver.mail_rests = true;
        let home = driver.connect(1, post(1, &at("alice", 2)));
        let newest = seq(&driver.take_answer(home, "200").1);
        let request = if target.starts_with("/ws") {
            upgrade(&format!("{target}{newest}"))
        } else {
            get(&format!("{target}{newest}"))
        };
        driver.send(peer, request);
        driver.mail_rests = false;
        driver.run();
        let before = driver.take(peer);
        let before = String::from_utf8_lossy(&before);
        assert!(!before.contains("seq") && !before.contains("gap"), "{target}: {before}");
        driver.publish(1, &at("alice", 3));
        let after = driver.take(peer);
        let after = String::from_utf8_lossy(&after);
        assert!(after.contains("\"x\":3,") && !after.contains("gap"), "{target}: {after}");
    }
}

#[test]
fn disconnect_waits_for_the_receipt_of_a_far_subscription() {
    let mut driver = Driver::new(2);
    let peer = settled_stomp(&mut driver);
    let bytes = [subscribe("far", 1, "receipt:r1\n"), text("DISCONNECT\nreceipt:r2\n\n\0")].concat();
    driver.send(peer, bytes);
    let frames = driver.take_frames(peer);
    let (close, receipts) = frames.split_last().unwrap();
    let receipts: Vec<String> =
        receipts.iter().map(|(_, frame)| String::from_utf8_lossy(frame).into_owned()).collect();
    assert!(receipts.len() == 2 && receipts[0].contains("receipt-id:r1\n"), "{receipts:?}");
    assert_eq!(close.0, crate::wire::websocket::frame::Opcode::Close);
}

#[test]
fn nothing_comes_behind_the_close_of_a_violation() {
    let mut driver = Driver::new(2);
    let peer = settled_stomp(&mut driver);
    driver.mail_rests = true;
    driver.sockets[peer.0].room = 0;
    driver.send(peer, [send_to(1, "receipt:r1\n", &at("alice", 1)), text("BOGUS\n\n\0")].concat());
    driver.mail_rests = false;
    driver.run();
    driver.make_room(peer, usize::MAX);
    let last = driver.take_frames(peer).pop().unwrap();
    assert_eq!(last.0, crate::wire::websocket::frame::Opcode::Close);
}

#[test]
fn subscriptions_that_wait_for_mirrors_are_bounded() {
    let mut driver = Driver::new(2);
    let peer = settled_stomp(&mut driver);
    driver.mail_rests = true;
    for _ in 0..1000 {
        driver.feed(peer, [subscribe("far", 1, ""), text("UNSUBSCRIBE\nid:far\n\n\0")].concat());
    }
    driver.run();
    let waiting: usize = driver.shards[0].coming.values().map(VecDeque::len).sum();
    assert!(waiting <= usize::from(crate::limits::PUBLISHES_UNDER_WAY_MAX), "{waiting} wishes");
    driver.mail_rests = false;
    driver.run();
    assert!(driver.shards[0].coming.is_empty());
    assert!(!driver.sockets[peer.0].held, "it is read again");
}
