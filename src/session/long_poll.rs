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

/// Writes the head that a HEAD is answered with at once: that of the answer to come, with the cursor as it is now.
pub fn encode_head(out: &mut Vec<u8>, cx: &Context<'_>, reply: Reply, cursor: Seq) {
    http::begin(out, cx, reply, Status::Ok)
        .field_number("Location-Seq", cursor.number())
        .field("Cache-Control", b"no-store")
        .field("Content-Type", b"application/json")
        .finish();
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
    const DATE: &str = "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n";

    #[track_caller]
    fn check(encode: impl FnOnce(&mut Vec<u8>, &Context<'_>), expected: &str) {
        let mut out = Vec::new();
        Talk::new(Session::new()).with_context(|_, cx| encode(&mut out, cx));
        assert_eq!(String::from_utf8(out).unwrap().replace(DATE, ""), expected);
    }

    #[test]
    fn update_comes_with_the_cursor_to_poll_with_next() {
        check(
            |out, cx| encode_update(out, cx, REPLY, Seq::new(17).unwrap(), b"{}"),
            "HTTP/1.1 200 OK\r\nLocation-Seq: 17\r\nCache-Control: no-store\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        );
    }

    #[test]
    fn nothing_comes_with_the_cursor_too() {
        let reply = Reply { keep_alive: false, ..REPLY };
        check(
            |out, cx| encode_nothing(out, cx, reply, Seq::new(17).unwrap()),
            "HTTP/1.1 204 No Content\r\nConnection: close\r\nLocation-Seq: 17\r\n\
             Cache-Control: no-store\r\n\r\n",
        );
    }

    #[test]
    fn head_is_answered_without_content() {
        let reply = Reply { head_only: true, ..REPLY };
        check(
            |out, cx| encode_head(out, cx, reply, Seq::new(17).unwrap()),
            "HTTP/1.1 200 OK\r\nLocation-Seq: 17\r\nCache-Control: no-store\r\nContent-Type: application/json\r\n\r\n",
        );
    }
}
