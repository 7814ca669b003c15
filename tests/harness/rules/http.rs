//! Rules of HTTP: one request a row, and a publish behind it.

use super::{BEHIND, Bench, Cut, GROUP, location_behind, start_of};
use crate::harness::http::{Answer, Wire, post};

impl Bench {
    /// Checks rows of HTTP.
    #[track_caller]
    pub(crate) fn check(&mut self, rows: &[Row]) {
        self.check_each(rows, Row::name, Self::check_row);
    }

    fn check_row(&mut self, row: &Row) {
        for cut in Cut::of(matches!(row.then, Then::GoesOn)) {
            self.check_row_in(row, cut);
        }
    }

    fn check_row_in(&mut self, row: &Row, cut: Cut) {
        let before = self.publishes();
        let mut wire = Wire::connect(&self.server);
        let behind = post(&format!("/location/share/{GROUP}"), &location_behind());
        cut.send(&mut wire, &row.sent, behind.as_bytes());
        let mut answer = if row.asks("HEAD ") { wire.head() } else { wire.answer() };
        // Where a body comes in pieces the server may say that it waits, but never to HTTP/1.0 (RFC 9110, section 15.2).
        if answer.status == 100 && !row.speaks_1_0() {
            answer = wire.answer();
        }
        assert_eq!(answer.status, row.status, "{answer:?} {}", answer.text());
        answer.needed_header("Date");
        if answer.status == 204 || row.speaks_1_0() {
            assert_eq!(answer.header("Transfer-Encoding"), None, "RFC 9112, section 6.1: {answer:?}");
        }
        if answer.status == 204 {
            assert_eq!(answer.header("Content-Length"), None, "RFC 9110, section 8.6: {answer:?}");
        }
        if let Some(check) = row.check {
            check(&answer);
        }
        let mut published = u64::from(row.asks("POST ") && answer.status == 200);
        match row.then {
            Then::GoesOn => {
                assert!(!answer.lists("Connection", "close"), "{answer:?}");
                let update = wire.answer().expect_status(200).update();
                assert_eq!(update.member.as_deref(), Some(BEHIND));
                published += 1;
            }
            Then::Closes => {
                assert!(answer.lists("Connection", "close"), "{answer:?}");
                if answer.status >= 400 && !row.asks("HEAD ") {
                    answer.expect_problem(answer.status);
                }
                wire.expect_end();
            }
        }
        assert_eq!(
            self.publishes() - before,
            published,
            "each publish that was taken is one that was answered"
        );
    }
}

/// What becomes of the connection after the answer.
enum Then {
    /// The request behind is answered.
    GoesOn,
    /// The request behind is not executed; the connection ends.
    Closes,
}

/// One rule of HTTP: the bytes of one request, and how it is answered.
pub(crate) struct Row {
    rule: &'static str,
    sent: Vec<u8>,
    status: u16,
    then: Then,
    check: Option<fn(&Answer)>,
}

impl Row {
    /// Also has the answer looked at.
    pub(crate) fn saying(mut self, check: fn(&Answer)) -> Self {
        self.check = Some(check);
        self
    }

    /// Whether the request has this method.
    fn asks(&self, method: &str) -> bool {
        let start = self.sent.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
        self.sent[start..].starts_with(method.as_bytes())
    }

    fn speaks_1_0(&self) -> bool {
        let line_end = self.sent.windows(2).position(|two| two == b"\r\n").unwrap_or(0);
        self.sent[..line_end].ends_with(b"HTTP/1.0")
    }

    fn name(&self) -> String {
        format!("{}: {}", self.rule, start_of(&self.sent))
    }
}

/// A row that is answered with this status, and so is what is behind it.
pub(crate) fn goes_on(rule: &'static str, sent: impl AsRef<[u8]>, status: u16) -> Row {
    Row { rule, sent: sent.as_ref().to_vec(), status, then: Then::GoesOn, check: None }
}

/// A row that is the last of its connection: answered with this status, and nothing behind it is executed.
pub(crate) fn closes(rule: &'static str, sent: impl AsRef<[u8]>, status: u16) -> Row {
    Row { rule, sent: sent.as_ref().to_vec(), status, then: Then::Closes, check: None }
}

/// A request with this line and a `Host`.
pub(crate) fn line(request_line: &str) -> String {
    format!("{request_line}\r\nHost: geoloop\r\n\r\n")
}

/// A GET of `/healthz` with these header lines besides `Host`.
pub(crate) fn getting(headers: &str) -> String {
    format!("GET /healthz HTTP/1.1\r\nHost: geoloop\r\n{headers}\r\n")
}

/// A publish with these header lines besides `Host`, before these bytes.
pub(crate) fn posting(headers: &str, body: &str) -> String {
    format!("POST /location/share/{GROUP} HTTP/1.1\r\nHost: geoloop\r\n{headers}\r\n{body}")
}

/// A publish in chunks.
pub(crate) fn chunked(body: &str) -> String {
    posting("Transfer-Encoding: chunked\r\n", body)
}
