//! The conversation on a raw WebSocket: text messages are locations, everything else is the protocol's own.
//!
//! Also the echo that conformance suites talk to. Knows no group. Read RFC 6455, sections 5.5 and 7.

use std::borrow::Cow;

use crate::limits::{ECHO_MESSAGE_BYTES_MAX, MESSAGE_FRAGMENTS_MAX};
use crate::report::Reason;
use crate::session::{Context, Event, Said, Step};
use crate::wire::json;
use crate::wire::websocket::frame::{self, CloseCode, Opcode, Side};
use crate::wire::websocket::message::{Bounds, Incoming, Messages, Violation};

/// The bounds of the echo, whose point is to take what a suite sends.
const ECHO_BOUNDS: Bounds = Bounds { message_bytes_max: ECHO_MESSAGE_BYTES_MAX, fragments_max: None };

/// A raw WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    messages: Messages,
}

impl WebSocket {
    /// A WebSocket right after its handshake.
    #[must_use]
    pub const fn new() -> Self {
        Self { messages: Messages::new(Side::Client) }
    }

    /// Memory held for a message whose rest is to come.
    pub(super) fn held_bytes(&self) -> usize {
        self.messages.held_bytes()
    }

    /// Takes a message from the front of the input; pings and closes are answered in `out`.
    pub(super) fn decode(&mut self, input: &mut [u8], cx: &Context<'_>, out: &mut Vec<u8>) -> Step {
        let (used, heard) = hear(&mut self.messages, input, bounds(cx.limits.body_bytes_max), out);
        match heard {
            Heard::Nothing => Step::skip(used),
            Heard::Text(text) => {
                let body = json::decode_publish(text.as_bytes(), cx.now.unix);
                Step::new(used, Event::Publish(Said { group: None, body, receipt: None, bytes: text.len() }))
            }
            Heard::Binary(_) => {
                frame::encode_close(out, CloseCode::UNSUPPORTED, "a location is a text message");
                Step::new(used, Event::failed(Reason::WebSocket))
            }
            Heard::End(event) => Step::new(used, event),
        }
    }

    /// Sends every message back as it came.
    pub(super) fn decode_echo(&mut self, input: &mut [u8], out: &mut Vec<u8>) -> Step {
        let (used, heard) = hear(&mut self.messages, input, ECHO_BOUNDS, out);
        match heard {
            Heard::Nothing => {}
            Heard::Text(text) => frame::encode_frame(out, Opcode::Text, text.as_bytes()),
            Heard::Binary(bytes) => frame::encode_frame(out, Opcode::Binary, &bytes),
            Heard::End(event) => return Step::new(used, event),
        }
        Step::skip(used)
    }
}

impl Default for WebSocket {
    fn default() -> Self {
        Self::new()
    }
}

/// The bounds of a message that publishes.
pub(super) const fn bounds(message_bytes_max: usize) -> Bounds {
    Bounds { message_bytes_max, fragments_max: Some(MESSAGE_FRAGMENTS_MAX) }
}

/// What a message means to the conversation.
pub(super) enum Heard<'a> {
    /// No message yet, or one that is answered already.
    Nothing,
    Text(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
    /// The WebSocket is over; its last word is written.
    End(Event),
}

/// Takes what there is of one frame and answers what the protocol itself answers (sections 5.5.1 and 5.5.2).
pub(super) fn hear<'a>(
    messages: &mut Messages,
    input: &'a mut [u8],
    bounds: Bounds,
    out: &mut Vec<u8>,
) -> (usize, Heard<'a>) {
    if input.is_empty() {
        return (0, Heard::Nothing);
    }
    let progress = match messages.decode(input, bounds) {
        Ok(progress) => progress,
        Err(violation) => return (0, Heard::End(refuse(out, violation))),
    };
    let heard = match progress.item {
        None | Some(Incoming::Pong) => Heard::Nothing,
        Some(Incoming::Text(text)) => Heard::Text(text),
        Some(Incoming::Binary(bytes)) => Heard::Binary(bytes),
        Some(Incoming::Ping(payload)) => {
            frame::encode_frame(out, Opcode::Pong, &payload);
            Heard::Nothing
        }
        Some(Incoming::Close { code, .. }) => {
            match code {
                Some(code) => frame::encode_close(out, code, ""),
                None => frame::encode_frame(out, Opcode::Close, b""),
            }
            Heard::End(Event::Closed)
        }
    };
    (progress.used, heard)
}

fn refuse(out: &mut Vec<u8>, violation: Violation) -> Event {
    frame::encode_close(out, violation.close_code(), &violation.to_string());
    Event::failed(violation.reason())
}

/// Writes one update as a text message.
pub fn encode_text(out: &mut Vec<u8>, json: &[u8]) {
    frame::encode_frame(out, Opcode::Text, json);
}

/// Writes that something the peer said was refused; the connection goes on.
pub fn encode_error(out: &mut Vec<u8>, error: &str, detail: &str) {
    let mut content = Vec::with_capacity(128);
    json::encode_error(&mut content, error, detail);
    encode_text(out, &content);
}

/// Writes the ping that asks a silent peer for a sign of life.
pub fn encode_ping(out: &mut Vec<u8>) {
    frame::encode_frame(out, Opcode::Ping, b"");
}

/// Writes the Close of a server that goes down and comes back: reconnect, spread out over time.
pub fn encode_restart(out: &mut Vec<u8>) {
    frame::encode_close(out, CloseCode::RESTART, "the server is draining");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;
    use crate::session::tests::{Talk, masked};
    use crate::wire::json::PublishBody;

    /// Right after the handshake.
    fn open() -> Talk {
        Talk::new(Session::WebSocket(WebSocket::new()))
    }

    /// The echo, right after the handshake.
    fn echo() -> Talk {
        Talk::new(Session::Echo(WebSocket::new()))
    }

    /// In the middle of a message of two fragments.
    fn in_message() -> Talk {
        let mut talk = open();
        talk.hear(&fragment(masked(Opcode::Text, b"{\"x\":1,")));
        assert_eq!(talk.events.len(), 0);
        talk
    }

    /// The same frame as one that others of its message follow.
    fn fragment(mut frame: Vec<u8>) -> Vec<u8> {
        frame[0] &= 0x7f;
        frame
    }

    fn short(event: &Event) -> String {
        match event {
            Event::Publish(Said { group: None, receipt: None, body, bytes }) => match body {
                Ok(PublishBody::Publish(_)) => format!("publish of {bytes}"),
                Ok(PublishBody::Nothing) => "publish of nothing".to_owned(),
                Err(error) => error.to_string(),
            },
            Event::Closed => "closed".to_owned(),
            Event::Failed { reason, .. } => reason.label().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// What comes of `bytes`, whole or byte by byte, is `events`, and `frames` are answered.
    #[track_caller]
    fn check(start: fn() -> Talk, bytes: &[u8], events: &[&str], frames: &[(Opcode, &[u8])]) {
        for slowly in [false, true] {
            let mut talk = start();
            if slowly {
                talk.hear_slowly(bytes)
            } else {
                talk.hear(bytes)
            }
            assert_eq!(talk.events.iter().map(short).collect::<Vec<_>>(), events, "slowly: {slowly}");
            let answered = talk.take_frames();
            let answered: Vec<_> = answered.iter().map(|(opcode, payload)| (*opcode, &payload[..])).collect();
            assert_eq!(answered, frames, "slowly: {slowly}");
        }
    }

    /// What comes of `bytes` ends the conversation with this close code.
    #[track_caller]
    fn check_refused(bytes: &[u8], code: u16, reason: &str) {
        let mut talk = open();
        talk.hear(bytes);
        assert_eq!(talk.events.iter().map(short).collect::<Vec<_>>(), [reason]);
        let frames = talk.take_frames();
        assert!(
            matches!(&frames[..], [(Opcode::Close, payload)] if payload[..2] == code.to_be_bytes()),
            "{frames:?}"
        );
    }

    #[test]
    fn each_text_message_is_a_publish() {
        let bytes = [masked(Opcode::Text, b"{\"x\":1,\"y\":2}"), masked(Opcode::Text, b"hello")].concat();
        check(open, &bytes, &["publish of 13", "publish of nothing"], &[]);
    }

    #[test]
    fn message_that_is_no_location_ends_nothing() {
        let bytes = [masked(Opcode::Text, b"{\"x\":1}"), masked(Opcode::Text, b"{\"x\":1,\"y\":2}")].concat();
        check(open, &bytes, &["y is missing", "publish of 13"], &[]);
    }

    #[test]
    fn fragments_make_one_message_with_pings_between() {
        let bytes = [masked(Opcode::Ping, b"?"), masked(Opcode::Continuation, b"\"y\":2}")].concat();
        check(in_message, &bytes, &["publish of 13"], &[(Opcode::Pong, b"?")]);
    }

    #[test]
    fn ping_is_answered_with_its_payload_and_pong_with_nothing() {
        let bytes = [masked(Opcode::Ping, b"hello"), masked(Opcode::Pong, b"hello")].concat();
        check(open, &bytes, &[], &[(Opcode::Pong, b"hello")]);
    }

    #[test]
    fn close_is_answered_with_its_code_and_nothing_after_it_is_heard() {
        let bytes =
            [masked(Opcode::Close, b"\x03\xe9bye"), masked(Opcode::Text, b"{\"x\":1,\"y\":2}")].concat();
        check(open, &bytes, &["closed"], &[(Opcode::Close, b"\x03\xe9")]);
        check(open, &masked(Opcode::Close, b""), &["closed"], &[(Opcode::Close, b"")]);
    }

    #[test]
    fn broken_rules_close_with_the_code_that_names_them() {
        check_refused(&masked(Opcode::Binary, b"x"), 1003, "websocket");
        check_refused(b"\x81\x01x", 1002, "websocket");
        check_refused(&masked(Opcode::Continuation, b"x"), 1002, "websocket");
        check_refused(&masked(Opcode::Text, b"\xff"), 1007, "websocket");
        check_refused(&masked(Opcode::Text, &[b'x'; 16 * 1024 + 1]), 1009, "body_max");
        check_refused(&masked(Opcode::Close, b"x"), 1002, "websocket");
    }

    #[test]
    fn message_at_the_limit_is_taken() {
        check(open, &masked(Opcode::Text, &[b'x'; 16 * 1024]), &["publish of nothing"], &[]);
    }

    #[test]
    fn fragments_are_bounded_in_number() {
        let mut bytes = fragment(masked(Opcode::Text, b""));
        for _ in 1..MESSAGE_FRAGMENTS_MAX {
            bytes.extend(fragment(masked(Opcode::Continuation, b"")));
        }
        let at_limit = [&bytes[..], &masked(Opcode::Ping, b"")].concat();
        check(open, &at_limit, &[], &[(Opcode::Pong, b"")]);
        bytes.extend(fragment(masked(Opcode::Continuation, b"")));
        check_refused(&bytes, 1008, "websocket");
    }

    #[test]
    fn echo_sends_back_what_comes_whole_and_of_its_kind() {
        let large = [b'x'; 16 * 1024 + 1];
        let bytes = [
            masked(Opcode::Binary, b"\xff\0"),
            fragment(masked(Opcode::Text, b"hel")),
            masked(Opcode::Continuation, b"lo"),
            masked(Opcode::Text, &large),
        ];
        let frames: [(Opcode, &[u8]); 3] =
            [(Opcode::Binary, b"\xff\0"), (Opcode::Text, b"hello"), (Opcode::Text, &large)];
        check(echo, &bytes.concat(), &[], &frames);
        check(echo, &masked(Opcode::Close, b""), &["closed"], &[(Opcode::Close, b"")]);
    }

    #[test]
    fn memory_is_held_for_half_a_message_and_given_back_with_its_end() {
        let held = |talk: &Talk| match &talk.session {
            Session::WebSocket(websocket) => websocket.messages.held_bytes(),
            other => panic!("{other:?}"),
        };
        let mut talk = in_message();
        assert!(held(&talk) > 0);
        talk.hear(&masked(Opcode::Continuation, b"\"y\":2}"));
        assert_eq!(held(&talk), 0);
    }

    #[test]
    fn refusals_are_told_in_a_message_that_ends_nothing() {
        let mut talk = open();
        let mut out = Vec::new();
        talk.session.encode_error(&mut out, "refused", "the group is full");
        talk.out = out;
        let expected = br#"{"error":"refused","detail":"the group is full"}"#.to_vec();
        assert_eq!(talk.take_frames(), [(Opcode::Text, expected)]);
    }
}
