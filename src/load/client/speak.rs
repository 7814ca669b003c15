//! What users say on a WebSocket: texts, and STOMP frames one a text message.
//!
//! The frames of the seed's script are written as it writes them: without a length, and with a line feed behind the NUL.

use crate::ids::GroupId;
use crate::wire::decimal::encode_decimal;
use crate::wire::stomp::field::{LOCATION_PREFIX, SHARE_PREFIX};
use crate::wire::websocket::frame::{self, HEAD_BYTES_MAX, Opcode};
use crate::wire::websocket::mask;

/// Appends a message of text.
pub fn encode_text(out: &mut Vec<u8>, text: &[u8], mask: [u8; 4]) {
    frame::encode_masked_frame(out, Opcode::Text, text, mask);
}

/// Appends a message of the text that `encode` appends, say a frame by [`crate::wire::stomp::encode`].
pub fn encode_in_text(out: &mut Vec<u8>, mask: [u8; 4], encode: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    encode(out);
    mask::apply(mask, 0, &mut out[start..]);
    // How long the head is depends on what was written behind it.
    let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
    frame::encode_head(&mut head, true, Opcode::Text, out.len() - start, Some(mask));
    out.splice(start..start, head);
}

/// Appends the CONNECT of the seed's script.
pub fn encode_seed_connect(out: &mut Vec<u8>, mask: [u8; 4]) {
    encode_text(out, b"CONNECT\naccept-version:1.0,1.1,2.0\n\n\0\n", mask);
}

/// Appends the SUBSCRIBE of the seed's script; `id` is a UUID there.
pub fn encode_seed_subscribe(out: &mut Vec<u8>, id: &str, group: GroupId, mask: [u8; 4]) {
    encode_in_text(out, mask, |out| {
        for piece in ["SUBSCRIBE\nid:", id, "\ndestination:", LOCATION_PREFIX] {
            out.extend_from_slice(piece.as_bytes());
        }
        encode_decimal(out, group.number());
        out.extend_from_slice(b"\n\n\0\n");
    });
}

/// Appends the SEND of the seed's script, with its body.
pub fn encode_seed_send(out: &mut Vec<u8>, group: GroupId, mask: [u8; 4]) {
    encode_in_text(out, mask, |out| {
        out.extend_from_slice(b"SEND\ndestination:");
        out.extend_from_slice(SHARE_PREFIX.as_bytes());
        encode_decimal(out, group.number());
        out.extend_from_slice(b"\n\n{\"content\":\"Hi from k6 STOMP!\"}\0\n");
    });
}
