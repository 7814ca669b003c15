//! What peers say, as bytes: requests as a browser or curl sends them, masked messages, STOMP frames.

use geoloop::clock::UnixMs;
use geoloop::ids::{GroupId, MemberId, Seq, Transport};
use geoloop::location::{Change, Location, Update};
use geoloop::wire::json;
use geoloop::wire::stomp::Version;
use geoloop::wire::stomp::encode::{self, Connect};
use geoloop::wire::stomp::field::AckMode;
use geoloop::wire::websocket::frame::{self, Opcode};

use crate::in_memory::NOW;

/// The group in which everything happens.
pub(crate) const GROUP: u64 = 3;

/// What is published.
pub(crate) const BODY: &str = "{\"member\":\"alice\",\"x\":12.5,\"y\":48.25}";

/// The same with a time, and numbers as a receiver of GPS has them.
pub(crate) const BODY_WITH_TIME: &str =
    "{\"member\":\"alice\",\"x\":12.482915,\"y\":48.25136789,\"at\":1767225600123}";

/// The id that most clients of STOMP give their first subscription.
pub(crate) const SUBSCRIPTION: &str = "sub-0";

pub(crate) fn group() -> GroupId {
    GroupId::new(GROUP).expect("it is small")
}

/// An update with all that one can have.
pub(crate) fn update() -> Update {
    Update {
        seq: Seq::at_unix_ms(NOW.unix.0),
        member: MemberId::new("alice"),
        change: Change::Moved(Location::new(12.5, 48.251_367_9).expect("it is finite")),
        at: UnixMs(1_767_225_600_123),
        at_was_sent: true,
        numbered_micros: 0,
    }
}

/// Room to write into, and the update as JSON.
pub(crate) fn rendered() -> (Vec<u8>, Vec<u8>) {
    let mut json = Vec::new();
    json::encode_update(&mut json, &update(), false);
    (Vec::with_capacity(1024), json)
}

pub(crate) fn get(target: &str) -> Vec<u8> {
    get_with(target, "")
}

/// A GET with further fields, each with its line end.
pub(crate) fn get_with(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: geo.example\r\nUser-Agent: test\r\nAccept: */*\r\n{fields}\r\n")
        .into_bytes()
}

/// A short poll as a browser makes it, from a page of another origin.
pub(crate) fn browser() -> Vec<u8> {
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
    format!(
        "GET /location/cur/{GROUP} HTTP/1.1\r\nHost: geo.example\r\nConnection: keep-alive\r\n\
         sec-ch-ua-platform: \"Linux\"\r\nUser-Agent: {agent}\r\n\
         sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nAccept: */*\r\n\
         Origin: https://map.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n\
         Sec-Fetch-Dest: empty\r\nReferer: https://map.example/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         Accept-Language: en-GB,en;q=0.9\r\nIf-None-Match: \"3619278029051905\"\r\n\r\n"
    )
    .into_bytes()
}

pub(crate) fn post(target: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: geo.example\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

pub(crate) fn upgrade(target: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: geo.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// A client's message of text.
pub(crate) fn text(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_masked_frame(&mut out, Opcode::Text, payload, [1, 2, 3, 4]);
    out
}

/// A STOMP client's first message.
pub(crate) fn connect() -> Vec<u8> {
    let mut out = Vec::new();
    let connect =
        Connect { accept_version: "1.2", host: "geo.example", heart_beat: (10_000, 10_000), member: None };
    encode::encode_connect(&mut out, connect);
    text(&out)
}

pub(crate) fn subscribe(id: &str, ack: AckMode) -> Vec<u8> {
    text(&subscribe_frame(id, ack))
}

pub(crate) fn subscribe_frame(id: &str, ack: AckMode) -> Vec<u8> {
    let mut out = Vec::new();
    encode::encode_subscribe(&mut out, Version::V12, id, group(), ack, None);
    out
}

pub(crate) fn send_frame() -> Vec<u8> {
    let mut out = Vec::new();
    encode::encode_send(&mut out, group(), BODY.as_bytes());
    out
}

/// A SEND that publishes for this member.
pub(crate) fn send_of(member: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::encode_send(&mut out, group(), BODY.replace("alice", member).as_bytes());
    text(&out)
}

/// The ACK of an update, by a client's first subscription.
pub(crate) fn ack(seq: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode::encode_ack(&mut out, Version::V12, SUBSCRIPTION, &format!("0-{seq}"));
    text(&out)
}

/// A short poll.
pub(crate) fn poll() -> Vec<u8> {
    get(&format!("/location/cur/{GROUP}"))
}

/// A publish over a transport.
pub(crate) fn publish(transport: Transport) -> Vec<u8> {
    match transport {
        Transport::WebSocket => text(BODY.as_bytes()),
        Transport::Stomp => text(&send_frame()),
        Transport::Http | Transport::ShortPoll | Transport::LongPoll | Transport::Sse => {
            post(&format!("/location/share/{GROUP}"), BODY)
        }
    }
}

/// What somebody says, a read each, to be told the group's updates from then on; a short poll is told the newest.
pub(crate) fn hellos(transport: Transport, id: &str, ack: AckMode) -> Vec<Vec<u8>> {
    match transport {
        Transport::Http | Transport::ShortPoll => vec![poll()],
        Transport::LongPoll => vec![get(&format!("/location/long/{GROUP}"))],
        Transport::Sse => vec![get(&format!("/location/sse/{GROUP}"))],
        Transport::WebSocket => vec![upgrade(&format!("/ws/{GROUP}"))],
        Transport::Stomp => vec![upgrade("/location"), connect(), subscribe(id, ack)],
    }
}
