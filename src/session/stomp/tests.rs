//! STOMP frames to events, receipts and errors, in every state of a session.

use std::time::Duration;

use crate::ids::{GroupId, Seq};
use crate::limits::{STOMP_TRANSACTION_BYTES_MAX, STOMP_TRANSACTIONS_MAX};
use crate::session::stomp::Stomp;
use crate::session::tests::{Talk, masked};
use crate::session::{Event, Session};
use crate::wire::json::PublishBody;
use crate::wire::websocket::frame::Opcode;

/// Right after the handshake.
fn connecting() -> Talk {
    Talk::new(Session::Stomp(Stomp::new()))
}

/// Connected with this version.
#[track_caller]
fn connected(version: &str) -> Talk {
    let mut talk = connecting();
    say(&mut talk, &format!("CONNECT\naccept-version:{version}\nhost:a\n\n\0"));
    assert_eq!(take(&mut talk), ["connected"]);
    let frames = take_stomp(&mut talk);
    assert!(frames[0].starts_with(&format!("CONNECTED\nversion:{version}\n")), "{frames:?}");
    talk
}

fn v12() -> Talk {
    connected("1.2")
}

/// Connected, with one subscription `a` to group 3 in this mode.
#[track_caller]
fn subscribed(ack: &str) -> Talk {
    let mut talk = v12();
    say(&mut talk, &format!("SUBSCRIBE\nid:a\ndestination:/sub/location/3\nack:{ack}\n\n\0"));
    assert_eq!(take(&mut talk), ["subscribe 0 to 3"]);
    talk
}

/// Connected, with the transaction `t` open.
#[track_caller]
fn in_transaction() -> Talk {
    let mut talk = subscribed("client");
    say(&mut talk, "BEGIN\ntransaction:t\n\n\0");
    assert_eq!(take(&mut talk), [""; 0]);
    talk
}

fn stomp(talk: &mut Talk) -> &mut Stomp {
    let Session::Stomp(stomp) = &mut talk.session else { panic!("it is STOMP") };
    stomp
}

/// The client sends frames in one text message.
fn say(talk: &mut Talk, frames: &str) {
    talk.hear(&masked(Opcode::Text, frames.as_bytes()));
}

/// What an event is, in short.
fn short(event: &Event) -> String {
    let optional =
        |name: &str, value: Option<String>| value.map_or(String::new(), |value| format!(" {name} {value}"));
    let receipt = |receipt: &Option<Box<str>>| optional("receipt", receipt.as_deref().map(str::to_owned));
    match event {
        Event::Connected { .. } => "connected".to_owned(),
        Event::Publish(said) => {
            let group = said.group.expect("a SEND names its group");
            let Ok(PublishBody::Publish(publish)) = &said.body else {
                return format!("publish nothing to {group}");
            };
            let member = publish.member.as_ref().map_or("nobody", |member| member.as_str());
            format!("publish {member} to {group}{}", receipt(&said.receipt))
        }
        Event::Subscribe { sub, group, since, receipt: asked } => {
            let since = optional("since", since.map(|seq| seq.to_string()));
            format!("subscribe {sub} to {group}{since}{}", receipt(asked))
        }
        Event::Unsubscribe { sub, receipt: asked } => format!("unsubscribe {sub}{}", receipt(asked)),
        Event::Acknowledged => "acknowledged".to_owned(),
        Event::Disconnect { receipt: asked } => format!("disconnect{}", receipt(asked)),
        Event::Closed => "closed".to_owned(),
        Event::Failed { reason, .. } => reason.label().to_owned(),
        Event::Request(request) => panic!("{request:?}"),
    }
}

fn take(talk: &mut Talk) -> Vec<String> {
    talk.events.drain(..).map(|event| short(&event)).collect()
}

/// The STOMP frames that were said, each in a message of its own; a Close by its code.
#[track_caller]
fn take_stomp(talk: &mut Talk) -> Vec<String> {
    let text = |(opcode, payload): (Opcode, Vec<u8>)| match opcode {
        Opcode::Close => format!("close {}", u16::from_be_bytes([payload[0], payload[1]])),
        _text => String::from_utf8(payload).unwrap(),
    };
    talk.take_frames().into_iter().map(text).collect()
}

/// What comes of frames, in one message, in a message a byte, and a byte of the message at a time, is `events`, with
/// the same answers; these are returned.
#[track_caller]
fn check(start: impl Fn() -> Talk, frames: &str, events: &[&str]) -> Vec<String> {
    let mut answers = Vec::new();
    for cut in 0..3 {
        let mut talk = start();
        match cut {
            0 => say(&mut talk, frames),
            1 => talk.hear_slowly(&masked(Opcode::Binary, frames.as_bytes())),
            _a_message_a_byte => {
                for byte in frames.bytes() {
                    talk.hear(&masked(Opcode::Binary, &[byte]));
                }
            }
        }
        assert_eq!(take(&mut talk), events, "cut {cut}: {}", talk.out_text());
        answers.push(take_stomp(&mut talk));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    answers.swap_remove(0)
}

/// Frames that break a rule: an ERROR that names it, a Close, and the reason that is counted.
#[track_caller]
fn check_refused(start: impl Fn() -> Talk, frames: &str, reason: &str, rule: &str) {
    let answers = check(start, frames, &[reason]);
    let last: Vec<&str> = answers.iter().rev().take(2).map(String::as_str).collect();
    assert!(last.len() == 2 && last[1].starts_with("ERROR\n") && last[1].contains(rule), "{answers:?}");
    assert!(last[0].starts_with("close 100"), "{answers:?}");
}

#[track_caller]
fn check_version(headers: &str, expected: &str) {
    let answers = check(connecting, &format!("CONNECT\n{headers}\n\0"), &["connected"]);
    assert!(answers[0].starts_with(&format!("CONNECTED\nversion:{expected}\n")), "{answers:?}");
}

#[test]
fn highest_common_version_is_spoken() {
    check_version("accept-version:1.0,1.1,1.2\nhost:a\n", "1.2");
    // The seed's client, which names no host.
    check_version("accept-version:1.0,1.1,2.0\nheart-beat:10000,10000\n", "1.1");
    check_version("", "1.0");
}

#[test]
fn client_without_a_common_version_is_told_which_there_are() {
    let answers = check(connecting, "STOMP\naccept-version:2.0\nhost:a\n\n\0", &["stomp"]);
    assert!(
        answers[0].starts_with("ERROR\n") && answers[0].contains("\nversion:1.0,1.1,1.2\n"),
        "{answers:?}"
    );
    assert_eq!(answers[1], "close 1002");
}

#[test]
fn session_is_named_after_its_connection() {
    let answers = check(connecting, "CONNECT\naccept-version:1.2\nhost:a\n\n\0", &["connected"]);
    assert!(answers[0].contains("\nsession:1-2-3\n"), "{answers:?}");
    assert!(answers[0].contains("\nheart-beat:1000,1000\n"), "{answers:?}");
}

#[test]
fn frames_behind_connect_are_read_as_its_version_spells_them() {
    // `\c` is a colon from 1.1 on, and two characters before.
    let answers = check(
        connecting,
        "CONNECT\naccept-version:1.1\n\n\0SUBSCRIBE\nid:a\\cb\ndestination:/sub/location/3\n\n\0\
         UNSUBSCRIBE\nid:a\\cb\n\n\0",
        &["connected", "subscribe 0 to 3", "unsubscribe 0"],
    );
    assert_eq!(answers.len(), 1);
}

#[test]
fn line_ends_of_either_kind_are_taken_before_between_and_after_frames() {
    check(
        v12,
        "\n\r\nBEGIN\ntransaction:t\n\n\0\n\r\n\nABORT\r\ntransaction:t\r\n\r\n\0\nDISCONNECT\n\n\0\n",
        &["disconnect"],
    );
}

#[test]
fn first_frame_opens_the_session_and_no_other_does() {
    check_refused(connecting, "SUBSCRIBE\nid:a\n\n\0", "stomp", "neither CONNECT nor STOMP");
    check_refused(v12, "CONNECT\naccept-version:1.2\nhost:a\n\n\0", "stomp", "connected already");
    check_refused(v12, "MESSAGE\n\n\0", "stomp", "MESSAGE is a server's frame");
    check_refused(v12, "JUMP\n\n\0", "stomp", "");
}

#[test]
fn member_of_connect_is_who_the_connection_speaks_for() {
    let mut talk = connecting();
    say(&mut talk, "CONNECT\naccept-version:1.2\nhost:a\nmember:alice\n\n\0");
    assert_eq!(talk.session.stomp_member().map(|member| member.as_str()), Some("alice"));
    let long = format!("CONNECT\nmember:{}\n\n\0", "x".repeat(65));
    check_refused(connecting, &long, "stomp", "member is not 1 to 64 bytes");
}

#[track_caller]
fn check_heart_beat(header: &str, send: Option<u64>, silence: Option<u64>) {
    let mut talk = connecting();
    say(&mut talk, &format!("CONNECT\nheart-beat:{header}\n\n\0"));
    let [Event::Connected { heart_beat: agreed }] = talk.events[..] else { panic!("{:?}", talk.events) };
    assert_eq!(agreed.send_every(), send.map(Duration::from_millis));
    assert_eq!(agreed.silence_max(), silence.map(Duration::from_millis));
}

#[test]
fn heart_beats_are_agreed_as_the_slower_side_has_them() {
    check_heart_beat("0,0", None, None);
    check_heart_beat("10,20", Some(1000), Some(2000));
    check_heart_beat("3000,0", None, Some(6000));
    check_heart_beat("0,4000", Some(4000), None);
    check_refused(connecting, "CONNECT\nheart-beat:fast\n\n\0", "stomp", "heart-beat");
}

fn subscribe(id: &str, headers: &str) -> String {
    format!("SUBSCRIBE\nid:{id}\ndestination:/sub/location/3\n{headers}\n\0")
}

#[test]
fn subscriptions_take_the_first_free_place() {
    let mut talk = v12();
    say(
        &mut talk,
        &(subscribe("a", "since:17\nreceipt:r\n") + &subscribe("b", "") + "UNSUBSCRIBE\nid:a\n\n\0"),
    );
    let expected = ["subscribe 0 to 3 since 17 receipt r", "subscribe 1 to 3", "unsubscribe 0"];
    assert_eq!(take(&mut talk), expected);
    stomp(&mut talk).remove_subscription(0);
    say(&mut talk, &subscribe("c", ""));
    assert_eq!(take(&mut talk), ["subscribe 0 to 3"]);
    let ordinals = [0, 1].map(|sub| stomp(&mut talk).subscription(sub).map(|held| held.ordinal()));
    assert_eq!(ordinals, [Some(2), Some(1)], "a number is never given twice");
}

const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// A subscription with this id is written, found and told apart by it, alone and beside others.
#[track_caller]
fn check_id(id: &str) {
    let mut talk = v12();
    let told = |talk: &mut Talk, sub| {
        let held = stomp(talk).subscription(sub).unwrap();
        (String::from_utf8(held.id().unwrap()).unwrap(), held.ordinal())
    };
    say(&mut talk, &subscribe(id, ""));
    assert_eq!(told(&mut talk, 0), (id.to_owned(), 0));
    check_refused(
        || {
            let mut talk = v12();
            say(&mut talk, &subscribe(id, ""));
            assert_eq!(take(&mut talk).len(), 1);
            talk
        },
        &subscribe(id, ""),
        "stomp",
        "exists already",
    );
    say(&mut talk, &(subscribe("other", "") + &subscribe("third", "")));
    assert_eq!(told(&mut talk, 0), (id.to_owned(), 0));
    assert_eq!(told(&mut talk, 1), ("other".to_owned(), 1));
    say(&mut talk, &format!("UNSUBSCRIBE\nid:{id}\n\n\0"));
    let expected = ["subscribe 0 to 3", "subscribe 1 to 3", "subscribe 2 to 3", "unsubscribe 0"];
    assert_eq!(take(&mut talk), expected);
    for sub in 0..3 {
        stomp(&mut talk).remove_subscription(sub);
    }
    assert!(stomp(&mut talk).subscription(0).is_none() && stomp(&mut talk).more.is_none());
    say(&mut talk, &subscribe(id, ""));
    assert_eq!(told(&mut talk, 0), (id.to_owned(), 3), "a number is never given twice");
}

#[test]
fn subscription_is_known_by_its_id_however_that_is_kept() {
    for id in ["a", "sub-0", "a\\cb", UUID, &UUID.to_uppercase(), &UUID.replace('-', "_"), &"x".repeat(100)] {
        check_id(id);
    }
}

#[test]
fn connection_with_one_plain_subscription_holds_nothing() {
    for id in ["sub-0", UUID] {
        let mut talk = v12();
        say(&mut talk, &subscribe(id, ""));
        assert_eq!(talk.session.held_bytes(), 0);
        say(&mut talk, &subscribe("b", ""));
        assert!(talk.session.held_bytes() > 0);
        assert_eq!(take(&mut talk), ["subscribe 0 to 3", "subscribe 1 to 3"]);
    }
    assert!(subscribed("client").session.held_bytes() > 0);
}

#[test]
fn subscription_of_version_1_0_may_go_without_an_id() {
    check(
        || connected("1.0"),
        "SUBSCRIBE\ndestination:/sub/location/3\n\n\0UNSUBSCRIBE\ndestination:/sub/location/3\n\n\0",
        &["subscribe 0 to 3", "unsubscribe 0"],
    );
}

#[test]
fn wrong_subscriptions_are_refused() {
    let auto = || subscribed("auto");
    check_refused(auto, &subscribe("a", ""), "stomp", "exists already");
    check_refused(auto, &subscribe("b", "since:x\n"), "stomp", "since is not an integer");
    check_refused(auto, &subscribe("b", "ack:maybe\n"), "stomp", "ack");
    check_refused(auto, "SUBSCRIBE\nid:b\ndestination:/pub/share/3\n\n\0", "stomp", "/sub/location/");
    check_refused(auto, "SUBSCRIBE\nid:b\ndestination:/sub/location/x\n\n\0", "stomp", "group");
    check_refused(auto, "SUBSCRIBE\ndestination:/sub/location/3\n\n\0", "stomp", "needs the header id");
    check_refused(auto, "UNSUBSCRIBE\nid:b\n\n\0", "stomp", "no subscription with this id");
    check_refused(auto, "UNSUBSCRIBE\n\n\0", "stomp", "needs the header id");
}

#[test]
fn subscriptions_are_bounded_in_number() {
    let bounded = || {
        let mut talk = v12();
        talk.limits.subscriptions_max = 2;
        say(&mut talk, &(subscribe("a", "") + &subscribe("b", "")));
        assert_eq!(take(&mut talk).len(), 2);
        talk
    };
    check_refused(bounded, &subscribe("c", ""), "subscriptions_max", "its 2 subscriptions");
}

const ALICE: &str = "{\"member\":\"alice\",\"x\":1,\"y\":2}";

fn send(headers: &str) -> String {
    format!("SEND\ndestination:/pub/share/3\n{headers}\n{ALICE}\0")
}

#[test]
fn send_publishes_to_either_kind_of_destination() {
    let frames = send("receipt:r\n") + &send("").replace("/pub/share/3", "/sub/location/4");
    let answers = check(v12, &frames, &["publish alice to 3 receipt r", "publish alice to 4"]);
    assert_eq!(answers, [""; 0], "its receipt waits for the number");
    check(v12, "SEND\ndestination:/pub/share/3\n\nhello\0", &["publish nothing to 3"]);
}

#[test]
fn body_with_a_length_may_hold_nul() {
    let frames = "SEND\ndestination:/pub/share/3\ncontent-length:3\n\na\0b\0DISCONNECT\n\n\0";
    check(v12, frames, &["publish nothing to 3", "disconnect"]);
}

#[test]
fn body_that_is_no_location_is_refused_with_the_receipt_named() {
    let frames = "SEND\ndestination:/pub/share/3\nreceipt:r\n\n{\"x\":1}\0";
    check_refused(v12, frames, "bad_publish", "y is missing");
    check_refused(v12, frames, "bad_publish", "\nreceipt-id:r\n");
}

#[test]
fn frames_are_bounded() {
    let small = || {
        let mut talk = v12();
        (talk.limits.frame_bytes_max, talk.limits.frame_headers_max) = (100, 3);
        talk
    };
    check_refused(
        small,
        &format!("SEND\ndestination:/pub/share/3\n\n{}\0", "x".repeat(100)),
        "frame_max",
        "100",
    );
    check_refused(small, "SEND\na:1\nb:2\nc:3\nd:4\n\n\0", "frame_max", "3");
}

#[test]
fn nothing_behind_a_broken_rule_takes_effect() {
    check_refused(v12, &(String::from("JUMP\n\n\0") + &send("")), "stomp", "");
}

/// A session that has sent messages 1 to 4 of its subscription.
fn sent(ack: &str) -> Talk {
    let mut talk = subscribed(ack);
    for seq in 1..=4 {
        if let Some(window) = stomp(&mut talk).window_mut(0) {
            window.note_sent(Seq::new(seq).unwrap());
        }
    }
    talk
}

/// How many messages of the only subscription wait to be acknowledged.
fn unacknowledged(talk: &mut Talk) -> usize {
    stomp(talk).window_mut(0).map_or(0, |window| window.unacknowledged())
}

/// After these acknowledgements so many messages are left that wait for one.
#[track_caller]
fn check_left(ack: &str, acknowledged: &[&str], events: usize, left: usize) {
    let mut talk = sent(ack);
    for id in acknowledged {
        say(&mut talk, &format!("ACK\nid:{id}\n\n\0"));
    }
    assert_eq!(take(&mut talk), vec!["acknowledged"; events]);
    assert_eq!(unacknowledged(&mut talk), left);
}

#[test]
fn acknowledgements_count_one_or_all_before_as_the_mode_has_it() {
    check_left("client", &["0-3"], 1, 1);
    check_left("client-individual", &["0-3"], 1, 3);
    check_left("client-individual", &["0-3", "0-3"], 1, 3);
    check_left("client", &["0-4", "0-1"], 1, 0);
    check_left("auto", &["0-3"], 0, 0);
    check_left("client", &["0-9"], 0, 4);
}

#[test]
fn refusal_of_a_message_counts_as_its_acknowledgement() {
    let mut talk = sent("client");
    say(&mut talk, "NACK\nid:0-4\n\n\0");
    assert_eq!(take(&mut talk), ["acknowledged"]);
}

#[test]
fn late_acknowledgement_is_no_error_and_an_invented_one_is() {
    let late = || {
        let mut talk = sent("client");
        stomp(&mut talk).remove_subscription(0);
        talk
    };
    let answers = check(late, "ACK\nid:0-1\nreceipt:r\n\n\0", &[]);
    assert_eq!(answers, ["RECEIPT\nreceipt-id:r\n\n\0"]);
    check_refused(|| sent("client"), "ACK\nid:1-1\n\n\0", "stomp", "no message with this id");
    // A receipt would say that it was processed.
    let answers = check(|| sent("client"), "ACK\nid:1-1\nreceipt:r\n\n\0", &["stomp"]);
    assert!(answers[0].starts_with("ERROR\n") && answers[0].contains("\nreceipt-id:r\n"), "{answers:?}");
    check_refused(|| sent("client"), "ACK\nid:x\n\n\0", "stomp", "");
    check_refused(|| sent("client"), "ACK\nmessage-id:0-1\n\n\0", "stomp", "needs the header id");
}

#[test]
fn message_that_was_not_sent_after_all_waits_for_no_acknowledgement() {
    let mut talk = sent("client");
    let window = stomp(&mut talk).window_mut(0).unwrap();
    for seq in [4, 3, 9] {
        window.note_unsent(Seq::new(seq).unwrap());
    }
    assert_eq!(unacknowledged(&mut talk), 2);
}

#[test]
fn transaction_takes_effect_in_order_at_its_commit() {
    let frames = send("transaction:t\nreceipt:r1\n")
        + &send("transaction:t\n").replace("alice", "bob")
        + &send("").replace("alice", "carol");
    let answers = check(in_transaction, &frames, &["publish carol to 3"]);
    assert_eq!(answers, ["RECEIPT\nreceipt-id:r1\n\n\0"]);
    let frames = frames + "COMMIT\ntransaction:t\nreceipt:r2\n\n\0DISCONNECT\n\n\0";
    check(
        in_transaction,
        &frames,
        &["publish carol to 3", "publish alice to 3", "publish bob to 3 receipt r2", "disconnect"],
    );
}

#[test]
fn aborted_transaction_has_no_effect() {
    let frames = send("transaction:t\n") + "ABORT\ntransaction:t\nreceipt:r\n\n\0";
    let answers = check(in_transaction, &frames, &[]);
    assert_eq!(answers, ["RECEIPT\nreceipt-id:r\n\n\0"]);
}

#[test]
fn receipt_of_a_commit_without_a_location_is_given_at_once() {
    let answers = check(in_transaction, "COMMIT\ntransaction:t\nreceipt:r\n\n\0", &[]);
    assert_eq!(answers, ["RECEIPT\nreceipt-id:r\n\n\0"]);
}

#[test]
fn acknowledgement_in_a_transaction_waits_for_its_commit() {
    let mut talk = sent("client");
    say(&mut talk, "BEGIN\ntransaction:t\n\n\0ACK\nid:0-4\ntransaction:t\n\n\0");
    assert_eq!(take(&mut talk), [""; 0]);
    assert_eq!(unacknowledged(&mut talk), 4);
    say(&mut talk, "COMMIT\ntransaction:t\n\n\0");
    assert_eq!(take(&mut talk), ["acknowledged"]);
}

#[test]
fn transactions_that_are_not_open_are_refused() {
    check_refused(in_transaction, &send("transaction:u\n"), "stomp", "no transaction with this id");
    check_refused(v12, "COMMIT\ntransaction:t\n\n\0", "stomp", "no transaction with this id");
    check_refused(in_transaction, "BEGIN\ntransaction:t\n\n\0", "stomp", "open already");
    check_refused(in_transaction, "ABORT\n\n\0", "stomp", "needs the header transaction");
}

#[test]
fn transactions_are_bounded_in_number_and_bytes() {
    let full = || {
        let mut talk = v12();
        for id in 0..STOMP_TRANSACTIONS_MAX {
            say(&mut talk, &format!("BEGIN\ntransaction:{id}\n\n\0"));
        }
        talk
    };
    check_refused(full, "BEGIN\ntransaction:x\n\n\0", "transactions_max", "8");
    let mut talk = full();
    let large = format!("SEND\ndestination:/pub/share/3\ntransaction:0\n\n{}\0", "x".repeat(16_000));
    while take(&mut talk).is_empty() {
        say(&mut talk, &large);
        assert!(held_bytes(stomp(&mut talk)) < STOMP_TRANSACTION_BYTES_MAX + 16_384);
    }
    assert!(take_stomp(&mut talk).pop().unwrap().starts_with("close "));
}

#[test]
fn memory_is_held_for_half_a_frame_and_given_back_with_its_end() {
    let mut talk = v12();
    assert_eq!(held_bytes(stomp(&mut talk)), 0);
    let frame = send("");
    say(&mut talk, &frame[..frame.len() - 1]);
    assert!(held_bytes(stomp(&mut talk)) >= frame.len() - 1);
    say(&mut talk, "\0");
    assert_eq!(take(&mut talk), ["publish alice to 3"]);
    assert_eq!(held_bytes(stomp(&mut talk)), 0);
}

#[test]
fn close_and_ping_are_the_websockets_own() {
    let mut talk = v12();
    talk.hear(&[masked(Opcode::Ping, b"?"), masked(Opcode::Close, b"\x03\xe8")].concat());
    assert_eq!(take(&mut talk), ["closed"]);
    assert_eq!(talk.take_frames(), [(Opcode::Pong, b"?".to_vec()), (Opcode::Close, vec![3, 0xe8])]);
}

#[test]
fn message_names_its_subscription_and_asks_for_an_acknowledgement_where_there_is_one() {
    for (ack, line) in [("auto", ""), ("client", "ack:0-17\n")] {
        let mut talk = subscribed(ack);
        let mut out = Vec::new();
        let (group, seq) = (GroupId::new(3).unwrap(), Seq::new(17).unwrap());
        stomp(&mut talk).subscription(0).unwrap().encode_message(&mut out, group, seq, b"{}");
        talk.out = out;
        let frames = take_stomp(&mut talk);
        let [frame] = &frames[..] else { panic!("{frames:?}") };
        assert!(frame.starts_with("MESSAGE\n") && frame.ends_with("\n\n{}\0"), "{frame}");
        let lines =
            ["subscription:a\n", "message-id:0-17\n", "destination:/sub/location/3\n", "content-length:2\n"];
        assert!(lines.iter().all(|line| frame.contains(line)) && frame.contains(line), "{frame}");
        assert_eq!(frame.contains("\nack:"), !line.is_empty(), "{frame}");
    }
}

/// Memory held for what is half received, and for transactions that are open.
fn held_bytes(stomp: &Stomp) -> usize {
    let Some(more) = &stomp.more else { return 0 };
    let held = more.held.as_ref().map_or(0, |held| held.bytes.capacity());
    let transactions = more.transactions.as_ref().map_or(0, |transactions| transactions.bytes());
    more.messages.held_bytes() + held + transactions
}
