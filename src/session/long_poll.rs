//! What a long poll is answered with; the wait itself is the shard's.

use crate::ids::Seq;
use crate::session::Context;
use crate::session::http::{self, Reply};
use crate::wire::http::response::Status;

/// Writes the update that ends the wait, with the cursor to poll with next.
pub fn encode_update(out: &mut Vec<u8>, cx: &Context<'_>, reply: Reply, seq: Seq, json: &[u8]) {
    let head = http::begin(out, cx, reply, Status::Ok)
        .field_number("Location-Seq", seq.number())
        .field("Cache-Control", b"no-store");
    http::finish(head, reply, "application/json", json);
}

/// Writes that nothing came before the deadline, or that the server drains.
pub fn encode_nothing(out: &mut Vec<u8>, cx: &Context<'_>, reply: Reply, cursor: Seq) {
    http::begin(out, cx, reply, Status::NoContent)
        .field_number("Location-Seq", cursor.number())
        .field("Cache-Control", b"no-store")
        .finish();
}

/// Writes the head that a HEAD is answered with at once.
pub fn encode_head(out: &mut Vec<u8>, cx: &Context<'_>, reply: Reply) {
    http::begin(out, cx, reply, Status::Ok)
        .field("Cache-Control", b"no-store")
        .field("Content-Type", b"application/json")
        .finish();
}
