//! Publish bodies, and everything else that is written as JSON.

use crate::clock::UnixMs;
use crate::ids::{MemberId, Seq};
use crate::location::{Change, Update};
use crate::wire::json::{self, PublishBody};

const NOW: UnixMs = UnixMs(1_767_225_600_000);

/// A publish body: what can be read is written as an update and read again; whatever text is told is legal JSON.
pub fn json_publish(data: &[u8]) {
    let read = json::decode_publish(data, NOW);
    let blanks = [b" \t\r\n", data].concat();
    if !data.starts_with("\u{feff}".as_bytes()) {
        let behind_blanks = json::decode_publish(&blanks, NOW);
        assert_eq!(behind_blanks.is_ok(), read.is_ok(), "{behind_blanks:?} behind blanks, {read:?}");
        let marked = json::decode_publish(&["\u{feff}".as_bytes(), data].concat(), NOW);
        assert_eq!(marked.is_ok(), read.is_ok(), "{marked:?} behind a mark, {read:?}");
    }
    match read {
        Ok(PublishBody::Publish(publish)) => {
            if let Change::Moved(location) = publish.change {
                assert!(location.x().is_finite() && location.y().is_finite());
            }
            if let Some(member) = &publish.member {
                let name = member.as_str();
                assert!((1..=MemberId::BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control));
            }
            assert!(publish.at.is_none_or(|at| at.0 <= NOW.0 + 5000), "{:?} is too far ahead", publish.at);
            let at = publish.at.unwrap_or(NOW);
            let (member, change) = (publish.member.clone(), publish.change);
            let update = Update { seq: Seq::ZERO, member, change, at, at_was_sent: true, numbered_micros: 0 };
            for gap in [false, true] {
                let mut out = Vec::new();
                json::encode_update(&mut out, &update, gap);
                assert!(!out.contains(&b'\n') && !out.contains(&b'\r'), "an update is one line");
                let mut expected = publish.clone();
                expected.at = Some(at);
                assert_eq!(json::decode_publish(&out, NOW), Ok(PublishBody::Publish(expected)));
            }
        }
        Ok(PublishBody::Nothing) => {}
        Err(error) => {
            assert_eq!(error.status(), 400);
            check_told(&error.to_string());
        }
    }
    check_told(&String::from_utf8_lossy(data));
}

/// A refusal that says this is an object without a location.
fn check_told(detail: &str) {
    let mut problem = Vec::new();
    json::encode_problem(&mut problem, 400, "Bad Request", detail);
    let mut error = Vec::new();
    json::encode_error(&mut error, detail, detail);
    for told in [problem, error] {
        assert!(told.iter().all(|byte| *byte >= 0x20), "a control character was not escaped");
        assert_eq!(json::decode_publish(&told, NOW), Ok(PublishBody::Nothing), "{detail:?}");
    }
}
