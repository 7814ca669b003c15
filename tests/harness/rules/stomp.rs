//! Rules of STOMP: the frames of a row, and a SEND behind them in the same message.

use super::{Bench, Cut, GROUP, location_behind, start_of};
use crate::harness::http::Wire;
use crate::harness::websocket::{BINARY, CLOSE, TEXT, frame, take_frame, upgrade};

impl Bench {
    /// Checks rows of STOMP.
    #[track_caller]
    pub(crate) fn check_stomp(&mut self, rows: &[StompRow]) {
        self.check_each(rows, StompRow::name, Self::check_stomp_row);
        self.server.wait_until_connected("stomp", 0);
    }

    fn check_stomp_row(&mut self, row: &StompRow) {
        for cut in Cut::of(matches!(row.then, Then::GoesOn)) {
            self.check_stomp_row_in(row, cut);
        }
    }

    fn check_stomp_row_in(&mut self, row: &StompRow, cut: Cut) {
        let before = self.publishes();
        let mut wire = Wire::connect(&self.server);
        wire.send(upgrade("/location"));
        wire.head().expect_status(101);
        if let Some(version) = row.version {
            let connect = format!("CONNECT\naccept-version:{version}\nhost:geoloop\n\n\0");
            wire.send(frame(TEXT, connect.as_bytes()));
            expect_text(&mut wire, &format!("CONNECTED\nversion:{version}\n"));
        }
        let location = location_behind();
        let behind = format!("SEND\ndestination:/pub/share/{GROUP}\nreceipt:behind\n\n{location}\0");
        let message = [&row.sent[..], behind.as_bytes()].concat();
        let kind = if std::str::from_utf8(&message).is_ok() { TEXT } else { BINARY };
        let message = frame(kind, &message);
        let (front, back) = message.split_at(message.len() - behind.len());
        cut.send(&mut wire, front, back);
        for text in &row.says {
            expect_text(&mut wire, text);
        }
        let mut published = row.unheard;
        match row.then {
            Then::GoesOn => {
                expect_text(&mut wire, "RECEIPT\nreceipt-id:behind\n\n\0");
                published += 1;
            }
            Then::Fails(words) => {
                let error = expect_text(&mut wire, "ERROR\n");
                let (head, body) = error.split_once("\n\n").expect("an empty line");
                assert!(
                    head.contains("\nmessage:") && head.contains("\ncontent-type:text/plain\n"),
                    "{error}"
                );
                let body = body.strip_suffix('\0').expect("a NUL");
                assert!(head.ends_with(&format!("\ncontent-length:{}", body.len())), "{error}");
                for word in words {
                    assert!(error.contains(word), "{word:?}: {error}");
                }
                let (first, payload) = take_frame(&mut wire);
                assert!(
                    first == CLOSE && [&b"\x03\xf0"[..], b"\x03\xea"].contains(&&payload[..2]),
                    "{payload:?}"
                );
                wire.expect_end();
            }
            Then::Leaves => {
                assert_eq!(take_frame(&mut wire), (CLOSE, b"\x03\xe8".to_vec()));
                wire.expect_end();
            }
        }
        assert_eq!(self.publishes() - before, published, "publishes that were taken");
    }
}

/// Checks that the next message is a text that begins so; heart-beats are passed over.
#[track_caller]
fn expect_text(wire: &mut Wire, start: &str) -> String {
    let (mut first, mut payload) = take_frame(wire);
    while payload == b"\n" {
        (first, payload) = take_frame(wire);
    }
    let text = String::from_utf8(payload).expect("a server's frame is UTF-8");
    assert!(first == TEXT && text.starts_with(start), "not {start:?}: {text:?}");
    text
}

/// One rule of STOMP: the bytes of frames, and what the server says to them.
pub(crate) struct StompRow {
    rule: &'static str,
    version: Option<&'static str>,
    sent: Vec<u8>,
    says: Vec<String>,
    unheard: u64,
    then: Then,
}

/// What becomes of the session after what a row is told.
enum Then {
    /// The SEND behind is taken.
    GoesOn,
    /// An ERROR with these words, and the end; nothing behind is looked at.
    Fails(&'static [&'static str]),
    /// The end in good order; nothing behind is looked at.
    Leaves,
}

impl StompRow {
    /// The row's frames come first on their connection, or after a CONNECT that agrees on this version.
    pub(crate) fn version(mut self, version: Option<&'static str>) -> Self {
        self.version = version;
        self
    }

    /// Is told frames that begin so, each in a message of its own, before the end.
    pub(crate) fn told(mut self, frames: &[&str]) -> Self {
        self.says = frames.iter().map(|text| (*text).to_owned()).collect();
        self
    }

    /// Publishes so much itself.
    pub(crate) fn publishing(mut self, publishes: u64) -> Self {
        self.unheard = publishes;
        self
    }

    fn name(&self) -> String {
        format!("{} ({}): {}", self.rule, self.version.unwrap_or("not connected"), start_of(&self.sent))
    }

    fn new(rule: &'static str, sent: impl AsRef<[u8]>, then: Then) -> Self {
        let sent = sent.as_ref().to_vec();
        Self { rule, version: Some("1.2"), sent, says: Vec::new(), unheard: 0, then }
    }
}

/// A row in a session of 1.2 that goes on.
pub(crate) fn goes_on(rule: &'static str, sent: impl AsRef<[u8]>) -> StompRow {
    StompRow::new(rule, sent, Then::GoesOn)
}

/// A row in a session of 1.2 that fails with these words in its ERROR.
pub(crate) fn fails(rule: &'static str, sent: impl AsRef<[u8]>, words: &'static [&'static str]) -> StompRow {
    StompRow::new(rule, sent, Then::Fails(words))
}

/// A row in a session of 1.2 that the client ends.
pub(crate) fn leaves(rule: &'static str, sent: impl AsRef<[u8]>) -> StompRow {
    StompRow::new(rule, sent, Then::Leaves)
}
