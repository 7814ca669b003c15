//! The bytes that are said: fixed, but for digits and what a publisher said.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// Digits of an update's number: always as many, so that one is counted up where it lies.
pub(crate) const SEQ_DIGITS: usize = 16;

/// The number below a group's first.
pub(crate) const SEQ_FLOOR: [u8; SEQ_DIGITS] = *b"1000000000000000";

macro_rules! date {
    () => {
        "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    };
}

/// The answer to a short poll of a group that has no update.
pub(crate) const MADE_UP: &[u8] = concat!(
    "HTTP/1.1 200 OK\r\n",
    date!(),
    "Cache-Control: no-store\r\nContent-Type: application/json\r\nContent-Length: 74\r\n\r\n",
    r#"{"seq":0,"x":13.714525447616378,"y":28.389254874209136,"at":1767225600123}"#
)
.as_bytes();

/// The answer to whatever is not known; the connection ends behind it.
pub(crate) const NOT_FOUND: &[u8] =
    concat!("HTTP/1.1 404 Not Found\r\n", date!(), "Connection: close\r\nContent-Length: 0\r\n\r\n")
        .as_bytes();

/// The begin of an event stream, with the comment that tells that it stands.
pub(crate) const STREAM: &[u8] = concat!(
    "HTTP/1.1 200 OK\r\n",
    date!(),
    "Connection: close\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n",
    "X-Accel-Buffering: no\r\n\r\n:\n\n"
)
.as_bytes();

/// The answers to CONNECT and SUBSCRIBE, with the heads of their WebSocket frames.
pub(crate) const CONNECTED: &[u8] =
    b"\x81\x44CONNECTED\nversion:1.2\nserver:floor/0.1.0\nsession:1\nheart-beat:0,0\n\n\0";
pub(crate) const RECEIPT: &[u8] = b"\x81\x20RECEIPT\nreceipt-id:subscribed\n\n\0";

/// Appends the answer 101 to a key.
pub(crate) fn switching(out: &mut Vec<u8>, key: &[u8], stomp: bool) {
    let digest =
        Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    let mut accept = [0; 28];
    STANDARD.encode_slice(digest, &mut accept).expect("20 bytes are 28 in base64");
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accept);
    out.extend_from_slice(if stomp { b"\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n" } else { b"\r\n\r\n" });
}

/// Appends an update: what a publisher said between its braces, numbered.
pub(crate) fn update(out: &mut Vec<u8>, seq: &[u8; SEQ_DIGITS], said: &[u8]) {
    for piece in [&br#"{"seq":"#[..], seq, b",", said, br#","at":1767225600123}"#] {
        out.extend_from_slice(piece);
    }
}

/// Appends the answer to a short poll with the newest update, and
pub(crate) fn current(out: &mut Vec<u8>, seq: &[u8; SEQ_DIGITS], update: &[u8]) {
    out.extend_from_slice(concat!("HTTP/1.1 200 OK\r\n", date!(), "ETag: \"").as_bytes());
    out.extend_from_slice(seq);
    out.extend_from_slice(b"\"\r\nCache-Control: no-cache\r\n");
    json(out, update);
}

/// to one that has it.
pub(crate) fn unchanged(out: &mut Vec<u8>, seq: &[u8; SEQ_DIGITS]) {
    out.extend_from_slice(concat!("HTTP/1.1 304 Not Modified\r\n", date!(), "ETag: \"").as_bytes());
    out.extend_from_slice(seq);
    out.extend_from_slice(b"\"\r\nCache-Control: no-cache\r\n\r\n");
}

/// Appends the answer to a long poll, and
pub(crate) fn long_poll(out: &mut Vec<u8>, seq: &[u8; SEQ_DIGITS], update: &[u8]) {
    out.extend_from_slice(concat!("HTTP/1.1 200 OK\r\n", date!(), "Location-Seq: ").as_bytes());
    out.extend_from_slice(seq);
    out.extend_from_slice(b"\r\nCache-Control: no-store\r\n");
    json(out, update);
}

/// to one that only asks for the cursor.
pub(crate) fn cursor(out: &mut Vec<u8>, seq: &[u8; SEQ_DIGITS]) {
    out.extend_from_slice(concat!("HTTP/1.1 204 No Content\r\n", date!(), "Location-Seq: ").as_bytes());
    out.extend_from_slice(seq);
    out.extend_from_slice(b"\r\nCache-Control: no-store\r\n\r\n");
}

/// Appends the answer to a publish.
pub(crate) fn published(out: &mut Vec<u8>, update: &[u8]) {
    out.extend_from_slice(concat!("HTTP/1.1 200 OK\r\n", date!(), "Cache-Control: no-store\r\n").as_bytes());
    json(out, update);
}

fn json(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(b"Content-Type: application/json\r\nContent-Length: ");
    decimal(out, body.len());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// Appends an update as an event.
pub(crate) fn event(out: &mut Vec<u8>, seq: &[u8; SEQ_DIGITS], update: &[u8]) {
    for piece in [b"id: ", &seq[..], b"\nevent: location\ndata: ", update, b"\n\n"] {
        out.extend_from_slice(piece);
    }
}

/// Appends an update as a text message.
pub(crate) fn text(out: &mut Vec<u8>, update: &[u8]) {
    frame_head(out, update.len());
    out.extend_from_slice(update);
}

/// Appends an update as a MESSAGE of subscription 0 in a text message; `group` is its number, in digits.
pub(crate) fn message(out: &mut Vec<u8>, group: &[u8], seq: &[u8; SEQ_DIGITS], update: &[u8]) {
    const START: &[u8] = b"MESSAGE\nsubscription:0\nmessage-id:0-";
    const DESTINATION: &[u8] = b"\ndestination:/sub/location/";
    const TYPE: &[u8] = b"\ncontent-type:application/json\ncontent-length:";
    let length_digits = if update.len() < 100 { 2 } else { 3 };
    let fixed = START.len() + SEQ_DIGITS + DESTINATION.len() + TYPE.len() + b"\n\n\0".len();
    frame_head(out, fixed + group.len() + length_digits + update.len());
    for piece in [START, seq, DESTINATION, group, TYPE] {
        out.extend_from_slice(piece);
    }
    decimal(out, update.len());
    for piece in [b"\n\n", update, b"\0"] {
        out.extend_from_slice(piece);
    }
}

/// Appends the head of an unmasked text of less than 64 KiB.
fn frame_head(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 126 => out.extend_from_slice(&[0x81, short]),
        _ => out.extend_from_slice(&[0x81, 126, (length >> 8) as u8, length as u8]),
    }
}

fn decimal(out: &mut Vec<u8>, number: usize) {
    if number >= 10 {
        decimal(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}

/// The number that `bytes` begins with.
pub(crate) fn number(bytes: &[u8]) -> usize {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number.wrapping_mul(10).wrapping_add(usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_are_written_by_hand_are_right() {
        for frame in [CONNECTED, RECEIPT] {
            assert_eq!(usize::from(frame[1]), frame.len() - 2, "{frame:?}");
        }
        let body = MADE_UP.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends") + 4;
        assert_eq!(MADE_UP.len() - body, 74);
    }

    #[test]
    fn a_message_is_as_long_as_its_frame_says() {
        for said in [10, 50, 60, 200] {
            let (mut body, mut out) = (Vec::new(), Vec::new());
            update(&mut body, &SEQ_FLOOR, &vec![b' '; said]);
            message(&mut out, b"123456", &SEQ_FLOOR, &body);
            assert_eq!(out[1], 126);
            assert_eq!(usize::from(u16::from_be_bytes([out[2], out[3]])), out.len() - 4, "{said} bytes");
        }
    }

    #[test]
    fn the_key_of_the_rfc_is_accepted_as_there() {
        // RFC 6455, section 1.3.
        let mut out = Vec::new();
        switching(&mut out, b"dGhlIHNhbXBsZSBub25jZQ==", false);
        assert!(out.ends_with(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
    }
}
