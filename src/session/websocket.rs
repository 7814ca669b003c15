//! The conversation on a raw WebSocket: text messages are locations, everything else is the protocol's own.
//!
//! Also the echo that conformance suites talk to. Knows no group. Read RFC 6455, sections 5.5 and 7.

use std::borrow::Cow;

use crate::limits::ECHO_MESSAGE_BYTES_MAX;
use crate::report::Reason;
use crate::session::{Context, Event, Said, Step};
use crate::wire::json;
use crate::wire::websocket::frame::{self, CloseCode, Opcode, Side};
use crate::wire::websocket::message::{Bounds, Incoming, Messages, Violation};

/// Frames that one message may come in; clients that stream cut into a handful.
const FRAGMENTS_MAX: u32 = 1024;

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
    Bounds { message_bytes_max, fragments_max: Some(FRAGMENTS_MAX) }
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
