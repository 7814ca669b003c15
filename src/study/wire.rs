//! What the codecs make of one update, byte for byte, to hold what was counted on sockets against.

use crate::ids::{GroupId, Seq, Transport};
use crate::load::scenario::ask::Ask;
use crate::wire::http::response::{HttpDate, Status, begin};
use crate::wire::sse;
use crate::wire::stomp::encode::{MessageHead, encode_message_tail};
use crate::wire::websocket::frame::{Opcode, encode_frame};

/// The content type of updates.
const JSON: &str = "application/json";

/// Bytes for one update delivered to one subscriber of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Computed {
    /// From the server, the update included.
    pub down: usize,
    /// What the client asks for it with.
    pub up: usize,
}

/// What delivers this update of a group to a client that names the server `host` and has seen the one before.
#[must_use]
pub fn computed(transport: Transport, group: GroupId, seq: Seq, update: &[u8], host: &str) -> Computed {
    let (mut down, mut up) = (Vec::new(), Vec::new());
    let date = HttpDate::from_unix_seconds(0);
    match transport {
        Transport::Http | Transport::ShortPoll => {
            let head = begin(&mut down, Status::Ok, &date).etag(seq);
            head.field("Cache-Control", b"no-cache").body(JSON, update);
            Ask::Current(Some(seq)).encode(&mut up, group, host);
        }
        Transport::LongPoll => {
            let head = begin(&mut down, Status::Ok, &date).field_number("Location-Seq", seq.number());
            head.field("Cache-Control", b"no-store").body(JSON, update);
            Ask::LongSince(seq, crate::load::scenario::PARK_MS).encode(&mut up, group, host);
        }
        Transport::Sse => sse::encode_event(&mut down, Some(seq), update),
        Transport::WebSocket => encode_frame(&mut down, Opcode::Text, update),
        Transport::Stomp => {
            let mut frame = Vec::new();
            MessageHead { subscription: Some(b"0"), ordinal: 0, seq, ack: false }.encode(&mut frame);
            encode_message_tail(&mut frame, group, update);
            encode_frame(&mut down, Opcode::Text, &frame);
        }
    }
    Computed { down: down.len(), up: up.len() }
}
