//! Heads of answers, as a client reads them.

use crate::fuzz::{cut, ways};
use crate::wire::Parsed;
use crate::wire::http::client::{self, AnswerError, AnswerFraming, AnswerHead};
use crate::wire::http::request::Framing;

/// Limits that short inputs reach, and the load tool's own.
const HEAD_BYTES_MAX: [usize; 2] = [96, 8192];

/// Heads of answers, one behind the other: any cut gives the same heads and the same refusal, limits hold, and framing is
/// beyond doubt.
pub fn http_answer(data: &[u8]) {
    for head_bytes_max in HEAD_BYTES_MAX {
        let [whole, others @ ..] = ways(data).map(|sizes| read_heads(data, &sizes, head_bytes_max));
        for other in others {
            assert_eq!(other, whole, "cut otherwise");
        }
    }
}

/// Each head with its length, and what ended the stream.
type Heads = (Vec<(AnswerHead, usize)>, Option<AnswerError>);

fn read_heads(data: &[u8], sizes: &[usize], head_bytes_max: usize) -> Heads {
    let (mut heads, mut held) = (Vec::new(), Vec::new());
    for read in cut(data, sizes) {
        held.extend_from_slice(read);
        loop {
            match client::decode_answer(&held, head_bytes_max) {
                Ok(Parsed::Partial) => {
                    assert!(held.len() < head_bytes_max, "{} bytes may be held", held.len());
                    break;
                }
                Ok(Parsed::Complete { value, used }) => {
                    assert!(used > 0 && used <= held.len().min(head_bytes_max), "{used} used");
                    check_head(&value, &held[..used]);
                    heads.push((value, used));
                    held.drain(..used);
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    return (heads, Some(error));
                }
            }
        }
    }
    (heads, None)
}

/// Reads the lines of a head that was taken once more, the simplest way, and holds what was made of them against that.
fn check_head(head: &AnswerHead, bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut lines = lines.take_while(|line| !line.is_empty());
    let first = lines.next().expect("a head has a first line");
    let http11 = first.starts_with(b"HTTP/1.1 ");
    assert!(http11 || first.starts_with(b"HTTP/1.0 "), "{:?}", first.escape_ascii().to_string());
    assert_eq!(&first[9..12], head.status.to_string().as_bytes());
    let (mut lengths, mut codings, mut cursors) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').expect("a field line has a colon");
        let (name, value) = (line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii());
        match &name[..] {
            b"content-length" => lengths.push(value),
            b"transfer-encoding" => codings.push(value),
            b"location-seq" => cursors.push(value),
            _ => {}
        }
    }
    let has_no_body = matches!(head.status, 100..200 | 204 | 304);
    match head.framing {
        AnswerFraming::Framed(Framing::None) => assert!(has_no_body, "{head:?}"),
        AnswerFraming::ToEnd => {
            assert!(lengths.is_empty() && codings.is_empty() && !head.keep_alive, "{head:?}");
        }
        AnswerFraming::Framed(Framing::Length(length)) => {
            assert!(codings.is_empty() && lengths.len() == 1, "{lengths:?} and {codings:?}");
            let digits = str::from_utf8(lengths[0]).expect("a length is digits");
            assert_eq!(digits.parse(), Ok(length));
        }
        AnswerFraming::Framed(Framing::Chunked) => {
            let alone = matches!(codings[..], [coding] if coding.eq_ignore_ascii_case(b"chunked"));
            assert!(lengths.is_empty() && alone && http11, "{codings:?}");
        }
    }
    assert_eq!(head.location_seq.is_some(), !cursors.is_empty(), "a cursor was passed over");
}
