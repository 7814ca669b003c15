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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;
    use crate::session::origin::Verdict;
    use crate::session::tests::Talk;
    use crate::wire::http::request::Version;

    const REPLY: Reply =
        Reply { head_only: false, keep_alive: true, version: Version::Http11, origin: Verdict::Own };

    #[track_caller]
    fn check(encode: impl FnOnce(&mut Vec<u8>, &Context<'_>), expected: &str) {
        let mut out = Vec::new();
        Talk::new(Session::Sse).with_context(|_, cx| encode(&mut out, cx));
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.replace("Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n", ""), expected);
    }

    const STREAM: &str =
        "Content-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n\r\n";

    #[test]
    fn stream_ends_with_its_connection_and_says_so() {
        let expected = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{STREAM}");
        check(|out, cx| encode_head(out, cx, REPLY), &expected);
    }

    #[test]
    fn head_alone_keeps_its_connection() {
        let reply = Reply { head_only: true, ..REPLY };
        check(|out, cx| encode_head(out, cx, reply), &format!("HTTP/1.1 200 OK\r\n{STREAM}"));
    }

    #[test]
    fn stream_opens_with_a_comment_and_when_to_come_back() {
        check(|out, _| encode_opening(out, Duration::from_millis(1234)), ":\n\nretry: 1234\n\n");
    }

    #[test]
    fn update_is_an_event_with_its_number_as_id() {
        check(
            |out, _| encode_update(out, Seq::new(17).unwrap(), b"{}"),
            "id: 17\nevent: location\ndata: {}\n\n",
        );
    }

    #[test]
    fn what_the_client_of_a_stream_says_is_dropped() {
        let mut talk = Talk::new(Session::Sse);
        talk.hear(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!((talk.unread(), talk.events.len(), talk.out.len()), (&b""[..], 0, 0));
    }
}
