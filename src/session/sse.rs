//! A stream of Server-Sent Events: its head, its events, its comments and its goodbye.
//!
//! Read WHATWG HTML, section 9.2. The stream ends with the connection, which costs no byte an event; chunks would
//! cost six.

use std::time::Duration;

use crate::ids::Seq;
use crate::session::Context;
use crate::session::http::{self, Reply};
use crate::wire::http::response::Status;
use crate::wire::sse;

/// How long a client waits before it comes back, at least; each is given a wait of its own up to three times that.
pub const RETRY: Duration = Duration::from_secs(1);

/// Writes the head of a stream. It says `Connection: close`, for the stream ends with the connection.
pub fn encode_head(out: &mut Vec<u8>, cx: &Context<'_>, reply: Reply) {
    let reply = Reply { keep_alive: reply.keep_alive && reply.head_only, ..reply };
    http::begin(out, cx, reply, Status::Ok)
        .field("Content-Type", b"text/event-stream")
        .field("Cache-Control", b"no-store")
        .field("X-Accel-Buffering", b"no")
        .finish();
}

/// Writes the head that a HEAD of the one-shot is answered with.
pub fn encode_one_shot_head(out: &mut Vec<u8>, cx: &Context<'_>, reply: Reply) {
    http::begin(out, cx, reply, Status::Ok)
        .field("Content-Type", b"text/event-stream")
        .field("Cache-Control", b"no-store")
        .finish();
}

/// Writes what a stream begins with: a comment, so that the client sees it open, and how long to wait before coming
/// back.
pub fn encode_opening(out: &mut Vec<u8>, retry: Duration) {
    sse::encode_comment(out);
    encode_retry(out, retry);
}

/// Writes how long the client is to wait before it comes back.
pub fn encode_retry(out: &mut Vec<u8>, retry: Duration) {
    sse::encode_retry(out, u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
}

/// Writes the sign of life that proxies want to see.
pub fn encode_comment(out: &mut Vec<u8>) {
    sse::encode_comment(out);
}

/// Writes one update as an event.
pub fn encode_update(out: &mut Vec<u8>, seq: Seq, json: &[u8]) {
    sse::encode_event(out, Some(seq), json);
}
