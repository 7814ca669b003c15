//! Rules of WebSocket: the frames of a row, and a message behind them that would be published.

use super::{BEHIND, Bench, Cut, GROUP, location_behind, start_of};
use crate::harness::http::Wire;
use crate::harness::update::Update;
use crate::harness::websocket::{CLOSE, PONG, TEXT, frame, take_frame, upgrade};

impl Bench {
    /// Checks rows of WebSocket.
    #[track_caller]
    pub(crate) fn check_frames(&mut self, rows: &[FrameRow]) {
        self.check_each(rows, FrameRow::name, Self::check_frame_row);
        self.server.wait_until_connected("websocket", 0);
    }

    fn check_frame_row(&mut self, row: &FrameRow) {
        for cut in Cut::of(matches!(row.then, After::GoesOn)) {
            self.check_frame_row_in(row, cut);
        }
    }

    fn check_frame_row_in(&mut self, row: &FrameRow, cut: Cut) {
        let before = self.publishes();
        let mut wire = Wire::connect(&self.server);
        wire.send(upgrade(&format!("/ws/{GROUP}")));
        wire.head().expect_status(101);
        let behind = frame(TEXT, location_behind().as_bytes());
        cut.send(&mut wire, &row.sent, &behind);
        let mut published = row.unheard;
        for heard in &row.hears {
            published += u64::from(heard.check(take_frame(&mut wire)));
        }
        match &row.then {
            After::GoesOn => {
                published += u64::from(Heard::Update(BEHIND).check(take_frame(&mut wire)));
            }
            After::Fails(code) => {
                let (first, payload) = take_last_frame(&mut wire, row.unheard);
                assert_eq!((first, payload.get(..2)), (CLOSE, Some(&code.to_be_bytes()[..])), "{payload:?}");
                let reason = std::str::from_utf8(&payload[2..]).expect("a reason is UTF-8");
                assert!((1..=123).contains(&reason.len()), "{reason}");
                wire.expect_end();
            }
            After::Closes(payload) => {
                assert_eq!(take_last_frame(&mut wire, row.unheard), (CLOSE, payload.clone()));
                wire.expect_end();
            }
        }
        assert_eq!(self.publishes() - before, published, "each publish that was taken is one that was heard");
    }
}

/// Reads the last frame, before which so many updates may come.
#[track_caller]
fn take_last_frame(wire: &mut Wire, updates: u64) -> (u8, Vec<u8>) {
    let mut last = take_frame(wire);
    for _ in 0..updates {
        if last.0 == TEXT {
            last = take_frame(wire);
        }
    }
    last
}

/// One rule of WebSocket: the bytes of frames, and what the server sends back.
pub(crate) struct FrameRow {
    rule: &'static str,
    sent: Vec<u8>,
    hears: Vec<Heard>,
    unheard: u64,
    then: After,
}

/// What a row hears before its end.
pub(crate) enum Heard {
    /// A Pong with this payload.
    Pong(Vec<u8>),
    /// An update about this member; of nobody if it is empty.
    Update(&'static str),
}

impl Heard {
    /// Whether it tells of a publish, after a check that it is what the server sent.
    #[track_caller]
    fn check(&self, (first, payload): (u8, Vec<u8>)) -> bool {
        let text = String::from_utf8_lossy(&payload);
        match self {
            Self::Pong(expected) => assert_eq!((first, &payload), (PONG, expected), "{text}"),
            Self::Update(member) => {
                assert_eq!(first, TEXT, "{text}");
                assert_eq!(Update::parse(&text).member.unwrap_or_default(), *member);
            }
        }
        matches!(self, Self::Update(_))
    }
}

/// What becomes of a WebSocket after what a row hears.
enum After {
    /// The message behind is published.
    GoesOn,
    /// It fails with this code; nothing behind is looked at.
    Fails(u16),
    /// It closes with this payload; nothing behind is looked at.
    Closes(Vec<u8>),
}

impl FrameRow {
    fn name(&self) -> String {
        format!("{}: {}", self.rule, start_of(&self.sent))
    }

    /// Also publishes so much, heard or not: the last word drops what is queued.
    pub(crate) fn taking(mut self, publishes: u64) -> Self {
        self.unheard = publishes;
        self
    }
}

/// A row that hears this, and its message behind too.
pub(crate) fn hears(rule: &'static str, sent: impl AsRef<[u8]>, hears: Vec<Heard>) -> FrameRow {
    FrameRow { rule, sent: sent.as_ref().to_vec(), hears, unheard: 0, then: After::GoesOn }
}

/// A row that fails the WebSocket with a code.
pub(crate) fn fails(rule: &'static str, sent: impl AsRef<[u8]>, code: u16) -> FrameRow {
    FrameRow { rule, sent: sent.as_ref().to_vec(), hears: Vec::new(), unheard: 0, then: After::Fails(code) }
}

/// A row that ends the WebSocket in good order, with a Close of this payload.
pub(crate) fn ends(rule: &'static str, sent: impl AsRef<[u8]>, payload: &[u8]) -> FrameRow {
    FrameRow {
        rule,
        sent: sent.as_ref().to_vec(),
        hears: Vec::new(),
        unheard: 0,
        then: After::Closes(payload.to_vec()),
    }
}
