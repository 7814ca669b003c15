//! Appends frames: what the server answers, what it fans out, and what a client says (for the load tool).
//!
//! Knows which headers each frame carries; knows no session. Read "Server Frames" of the 1.2 specification
//! first.
//!
//! A MESSAGE is made of two pieces, so that an update is encoded once for all of its subscribers:
//! ```text
//! head, one per subscription   MESSAGE  subscription  message-id  [ack]
//! tail, one per update         destination  content-type  content-length  (blank line)  body  NUL
//! ```

use crate::ids::{GroupId, Seq};
use crate::wire::decimal::encode_decimal;
use crate::wire::stomp::field::{AckMode, LOCATION_PREFIX, SHARE_PREFIX};
use crate::wire::stomp::header::append_escaped;
use crate::wire::stomp::{Command, Version};

/// Appends the answer to CONNECT; `heart_beat` is how often in milliseconds we can send, and want to receive.
pub fn encode_connected(
    out: &mut Vec<u8>,
    version: Version,
    server: &str,
    session: &str,
    heart_beat: (u32, u32),
) {
    begin(out, Command::Connected);
    header(out, "version", version.label(), Version::V10);
    header(out, "server", server, Version::V10);
    header(out, "session", session, Version::V10);
    heart_beat_header(out, heart_beat);
    end(out, b"");
}

/// Appends the answer to a frame that asked for one.
pub fn encode_receipt(out: &mut Vec<u8>, version: Version, receipt_id: &str) {
    begin(out, Command::Receipt);
    header(out, "receipt-id", receipt_id, version);
    end(out, b"");
}

/// Appends an ERROR; the connection is closed behind it.
///
/// `message` names the rule, `detail` says more; `receipt_id` is the receipt that the frame at fault asked for.
pub fn encode_error(
    out: &mut Vec<u8>,
    version: Version,
    message: &str,
    detail: &str,
    receipt_id: Option<&str>,
) {
    begin(out, Command::Error);
    header(out, "message", message, version);
    if let Some(receipt_id) = receipt_id {
        header(out, "receipt-id", receipt_id, version);
    }
    text_body(out, detail);
}

/// Appends the ERROR for a CONNECT that accepts no version of ours: it lists those (1.2, "Protocol Negotiation").
pub fn encode_no_common_version(out: &mut Vec<u8>, detail: &str) {
    begin(out, Command::Error);
    header(out, "version", Version::LIST, Version::V10);
    header(out, "message", "no common version", Version::V10);
    text_body(out, detail);
}

/// What a MESSAGE says to one subscription alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHead<'a> {
    /// The id that SUBSCRIBE gave, with the escapes of the session's version
    /// ([`append_escaped`]); `None` where it gave none, as 1.0 allows.
    pub subscription: Option<&'a [u8]>,
    /// The subscription's number in its connection.
    pub ordinal: u32,
    /// The update's number in its group.
    pub seq: Seq,
    /// Whether an acknowledgement is wanted: not with `ack:auto`.
    pub ack: bool,
}

const SUBSCRIPTION: &[u8] = b"subscription:";
const MESSAGE_ID: &[u8] = b"message-id:";
const ACK: &[u8] = b"ack:";

impl MessageHead<'_> {
    /// Appends the first piece of a MESSAGE; [`encode_message_tail`]'s must follow.
    ///
    /// `ack` has the same value as `message-id`, so that one reader does for the ACKs of every version.
    pub fn encode(&self, out: &mut Vec<u8>) {
        begin(out, Command::Message);
        if let Some(id) = self.subscription {
            for piece in [SUBSCRIPTION, id, b"\n"] {
                out.extend_from_slice(piece);
            }
        }
        self.encode_id(out, MESSAGE_ID);
        if self.ack {
            self.encode_id(out, ACK);
        }
    }

    fn encode_id(&self, out: &mut Vec<u8>, name: &[u8]) {
        out.extend_from_slice(name);
        encode_decimal(out, u64::from(self.ordinal));
        out.push(b'-');
        encode_decimal(out, self.seq.number());
        out.push(b'\n');
    }

    /// How many bytes [`MessageHead::encode`] appends, for the length of the WebSocket frame around it.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        // The dash and the line end.
        let id = decimal_bytes(u64::from(self.ordinal)) + decimal_bytes(self.seq.number()) + 2;
        let subscription = self.subscription.map_or(0, |id| SUBSCRIPTION.len() + id.len() + 1);
        let ack = if self.ack { ACK.len() + id } else { 0 };
        Command::Message.label().len() + 1 + subscription + MESSAGE_ID.len() + id + ack
    }
}

/// Appends the second piece of a MESSAGE, the same for every subscription in every version.
pub fn encode_message_tail(out: &mut Vec<u8>, group: GroupId, update: &[u8]) {
    destination(out, LOCATION_PREFIX, group);
    out.extend_from_slice(b"content-type:application/json\n");
    content_length(out, update);
    end(out, update);
}

/// What a client opens a session with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The versions it speaks, as the header lists them.
    pub accept_version: &'a str,
    /// The virtual host; 1.1 demands one.
    pub host: &'a str,
    /// How often in milliseconds it can send, and wants to receive.
    pub heart_beat: (u32, u32),
    /// The member that it speaks for.
    pub member: Option<&'a str>,
}

/// Appends a CONNECT.
pub fn encode_connect(out: &mut Vec<u8>, connect: Connect<'_>) {
    begin(out, Command::Connect);
    header(out, "accept-version", connect.accept_version, Version::V10);
    header(out, "host", connect.host, Version::V10);
    heart_beat_header(out, connect.heart_beat);
    if let Some(member) = connect.member {
        header(out, "member", member, Version::V10);
    }
    end(out, b"");
}

/// Appends a SUBSCRIBE; `since` is the number of the last update seen.
pub fn encode_subscribe(
    out: &mut Vec<u8>,
    version: Version,
    id: &str,
    group: GroupId,
    ack: AckMode,
    since: Option<Seq>,
) {
    begin(out, Command::Subscribe);
    header(out, "id", id, version);
    destination(out, LOCATION_PREFIX, group);
    header(out, "ack", ack.label(), version);
    if let Some(since) = since {
        out.extend_from_slice(b"since:");
        encode_decimal(out, since.number());
        out.push(b'\n');
    }
    end(out, b"");
}

/// Appends a SEND that publishes to a group.
pub fn encode_send(out: &mut Vec<u8>, group: GroupId, publish: &[u8]) {
    begin(out, Command::Send);
    destination(out, SHARE_PREFIX, group);
    content_length(out, publish);
    end(out, publish);
}

/// Appends an ACK of the MESSAGE that `message_id` came in: 1.2 calls it `id`, the others need the subscription.
pub fn encode_ack(out: &mut Vec<u8>, version: Version, subscription: &str, message_id: &str) {
    begin(out, Command::Ack);
    match version {
        Version::V10 | Version::V11 => {
            header(out, "subscription", subscription, version);
            header(out, "message-id", message_id, version);
        }
        Version::V12 => header(out, "id", message_id, version),
    }
    end(out, b"");
}

/// Appends a DISCONNECT; its receipt says that everything before it has been read.
pub fn encode_disconnect(out: &mut Vec<u8>, version: Version, receipt: Option<&str>) {
    begin(out, Command::Disconnect);
    if let Some(receipt) = receipt {
        header(out, "receipt", receipt, version);
    }
    end(out, b"");
}

fn begin(out: &mut Vec<u8>, command: Command) {
    out.extend_from_slice(command.label().as_bytes());
    out.push(b'\n');
}

/// `name` is one of ours and holds nothing to escape.
fn header(out: &mut Vec<u8>, name: &str, value: &str, version: Version) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    append_escaped(out, value, version);
    out.push(b'\n');
}

fn destination(out: &mut Vec<u8>, prefix: &str, group: GroupId) {
    out.extend_from_slice(b"destination:");
    out.extend_from_slice(prefix.as_bytes());
    encode_decimal(out, group.number());
    out.push(b'\n');
}

fn heart_beat_header(out: &mut Vec<u8>, (sends, wants): (u32, u32)) {
    out.extend_from_slice(b"heart-beat:");
    encode_decimal(out, u64::from(sends));
    out.push(b',');
    encode_decimal(out, u64::from(wants));
    out.push(b'\n');
}

fn content_length(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(b"content-length:");
    encode_decimal(out, body.len() as u64);
    out.push(b'\n');
}

fn text_body(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"content-type:text/plain\n");
    content_length(out, text.as_bytes());
    end(out, text.as_bytes());
}

fn end(out: &mut Vec<u8>, body: &[u8]) {
    out.push(b'\n');
    out.extend_from_slice(body);
    out.push(0);
}

const fn decimal_bytes(number: u64) -> usize {
    match number.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Parsed;
    use crate::wire::stomp::field::{Destination, acknowledged, negotiate, parse_message_id};
    use crate::wire::stomp::frame::{Frame, FrameLimits, Item, Scan, decode};

    /// Encodes behind what is there already; it must come to the expected bytes, and they to one frame.
    #[track_caller]
    fn check(encode: impl FnOnce(&mut Vec<u8>), expected: &str) {
        let mut out = b"before".to_vec();
        encode(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("before{expected}"));
        read(&out[6..], Version::V12);
    }

    /// Reads what was encoded, which must be one whole frame.
    #[track_caller]
    fn read(bytes: &[u8], version: Version) -> Frame<'_> {
        let limits = FrameLimits { frame_bytes_max: usize::MAX, headers_max: 64 };
        match decode(bytes, version, limits, &mut Scan::default()) {
            Ok(Parsed::Complete { value: Item::Frame(frame), used }) if used == bytes.len() => frame,
            other => panic!("{other:?}"),
        }
    }

    fn group(number: u64) -> GroupId {
        GroupId::new(number).expect("a group")
    }

    fn seq(number: u64) -> Seq {
        Seq::new(number).expect("below 2^53")
    }

    #[test]
    fn connected_says_who_and_what_was_agreed() {
        check(
            |out| encode_connected(out, Version::V11, "geoloop/1", "a1", (0, 25_000)),
            "CONNECTED\nversion:1.1\nserver:geoloop/1\nsession:a1\nheart-beat:0,25000\n\n\0",
        );
    }

    #[test]
    fn a_receipt_repeats_its_id_in_the_escapes_of_the_version() {
        check(
            |out| encode_receipt(out, Version::V12, "a:b\r\n\\"),
            "RECEIPT\nreceipt-id:a\\cb\\r\\n\\\\\n\n\0",
        );
        check(|out| encode_receipt(out, Version::V10, "a:b\\n"), "RECEIPT\nreceipt-id:a:b\\n\n\n\0");
    }

    #[test]
    fn an_error_names_the_rule_and_the_receipt() {
        check(
            |out| encode_error(out, Version::V11, "bad frame", "line 1: \0", Some("7")),
            "ERROR\nmessage:bad frame\nreceipt-id:7\ncontent-type:text/plain\ncontent-length:9\n\nline 1: \0\0",
        );
        check(
            |out| encode_error(out, Version::V10, "a\nb\0", "", None),
            "ERROR\nmessage:a b \ncontent-type:text/plain\ncontent-length:0\n\n\0",
        );
    }

    #[test]
    fn a_failed_negotiation_lists_our_versions() {
        check(
            |out| encode_no_common_version(out, "x"),
            "ERROR\nversion:1.0,1.1,1.2\nmessage:no common version\ncontent-type:text/plain\n\
             content-length:1\n\nx\0",
        );
    }

    #[test]
    fn head_and_tail_make_one_message() {
        let head = MessageHead { subscription: Some(b"s\\c1"), ordinal: 3, seq: seq(17), ack: true };
        let both = |head: MessageHead<'_>, out: &mut Vec<u8>| {
            head.encode(out);
            encode_message_tail(out, group(7), b"{\"seq\":17}");
        };
        let tail =
            "destination:/sub/location/7\ncontent-type:application/json\ncontent-length:10\n\n{\"seq\":17}\0";
        check(
            |out| both(head, out),
            &format!("MESSAGE\nsubscription:s\\c1\nmessage-id:3-17\nack:3-17\n{tail}"),
        );
        let head = MessageHead { ack: false, subscription: None, ..head };
        check(|out| both(head, out), &format!("MESSAGE\nmessage-id:3-17\n{tail}"));
    }

    #[test]
    fn clients_say_what_the_server_reads() {
        let connect =
            Connect { accept_version: "1.1,1.2", host: "h", heart_beat: (0, 10), member: Some("a\\b") };
        check(
            |out| encode_connect(out, connect),
            "CONNECT\naccept-version:1.1,1.2\nhost:h\nheart-beat:0,10\nmember:a\\b\n\n\0",
        );
        check(
            |out| encode_subscribe(out, Version::V12, "a:b", group(1), AckMode::Client, Some(seq(5))),
            "SUBSCRIBE\nid:a\\cb\ndestination:/sub/location/1\nack:client\nsince:5\n\n\0",
        );
        check(
            |out| encode_send(out, group(2), b"{}"),
            "SEND\ndestination:/pub/share/2\ncontent-length:2\n\n{}\0",
        );
        check(|out| encode_ack(out, Version::V12, "0", "1-2"), "ACK\nid:1-2\n\n\0");
        check(|out| encode_ack(out, Version::V11, "0", "1-2"), "ACK\nsubscription:0\nmessage-id:1-2\n\n\0");
        check(|out| encode_disconnect(out, Version::V10, Some("bye")), "DISCONNECT\nreceipt:bye\n\n\0");
    }

    #[test]
    fn our_list_of_versions_is_what_we_negotiate() {
        assert_eq!(Version::LIST.split(',').map(|one| negotiate(Some(one))).collect::<Vec<_>>(), {
            Version::ALL.map(Ok).to_vec()
        });
    }

    #[test]
    fn numbers_are_written_whole() {
        for number in [0, 9, 10, 99, 100, u64::MAX] {
            let mut out = Vec::new();
            encode_decimal(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), number.to_string());
            assert_eq!(decimal_bytes(number), out.len());
        }
    }

    proptest! {
        #[test]
        fn a_message_is_read_back(
            id in "[^\0]{0,20}",
            ordinal: u32,
            number in 0..Seq::END,
            ack: bool,
            to in 0..=GroupId::MAX,
            update: Vec<u8>,
        ) {
            let mut escaped = Vec::new();
            append_escaped(&mut escaped, &id, Version::V12);
            let head = MessageHead { subscription: Some(&escaped), ordinal, seq: seq(number), ack };
            let mut out = Vec::new();
            head.encode(&mut out);
            prop_assert_eq!(out.len(), head.encoded_bytes());
            encode_message_tail(&mut out, group(to), &update);
            let frame = read(&out, Version::V12);
            prop_assert_eq!(frame.command, Command::Message);
            prop_assert_eq!(frame.body, &update);
            let subscription = frame.headers.value("subscription");
            prop_assert_eq!(subscription.as_deref(), Some(&*id));
            prop_assert_eq!(frame.headers.value("ack").is_some(), ack);
            let message_id = frame.headers.value("message-id").expect("we put one there");
            prop_assert_eq!(parse_message_id(&message_id), Some((ordinal, seq(number))));
            let destination = frame.headers.value("destination").expect("we put one there");
            prop_assert_eq!(Destination::parse(&destination), Ok(Destination::Location(group(to))));
        }

        #[test]
        fn an_ack_is_read_back(ordinal: u32, number in 0..Seq::END) {
            for version in Version::ALL {
                let mut out = Vec::new();
                encode_ack(&mut out, version, "0", &format!("{ordinal}-{number}"));
                let frame = read(&out, version);
                prop_assert_eq!(acknowledged(&frame, version), Ok((ordinal, seq(number))));
            }
        }
    }
}
