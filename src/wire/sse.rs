//! Server-Sent Events (WHATWG HTML, section 9.2): the lines of a `text/event-stream`, written and read.
//!
//! Knows lines and blocks of them; what is in `data` is its caller's business. Reading is for clients: the load tool
//! and the tests.

use std::borrow::Cow;

use crate::ids::Seq;
use crate::wire::Parsed;
use crate::wire::decimal::encode_decimal;

/// The name of the one kind of event that the server sends.
pub const EVENT: &str = "location";

/// Appends an event whose data is one line; `seq` is what the client sends back as `Last-Event-ID`.
pub fn encode_event(out: &mut Vec<u8>, seq: Option<Seq>, data: &[u8]) {
    debug_assert!(!data.iter().any(|byte| matches!(byte, b'\r' | b'\n')), "JSON without blanks is one line");
    if let Some(seq) = seq {
        out.extend_from_slice(b"id: ");
        encode_decimal(out, seq.number());
        out.push(b'\n');
    }
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(EVENT.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

/// Appends an empty comment, which clients ignore: it keeps proxies from cutting a silent stream (section 9.2.7).
pub fn encode_comment(out: &mut Vec<u8>) {
    out.extend_from_slice(b":\n\n");
}

/// Appends how long a client is to wait before it connects again.
pub fn encode_retry(out: &mut Vec<u8>, wait_ms: u64) {
    out.extend_from_slice(b"retry: ");
    encode_decimal(out, wait_ms);
    out.extend_from_slice(b"\n\n");
}

/// The lines up to a blank one, as a client reads them (section 9.2.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block<'a> {
    /// The last event id from here on, if it was set; it outlives the block.
    pub id: Option<Cow<'a, str>>,
    /// The event's name; `None` means `message`.
    pub event: Option<Cow<'a, str>>,
    /// The `data` lines, joined by line feeds. A block without any is no event.
    pub data: Option<Cow<'a, str>>,
    /// The new wait before connecting again, in milliseconds.
    pub retry_ms: Option<u64>,
    /// How many comments there were.
    pub comments: usize,
}

/// Decodes one block; blank lines and byte order marks before it are skipped, and invalid UTF-8 is replaced.
///
/// A mark may stand at the start of the stream alone. Which block is the first is not known here, so one is skipped
/// before each, whatever blank lines are around it: that must not depend on where the stream was cut.
///
/// Nothing in an event stream is an error. A block has no length of its own: whoever keeps the bytes of a partial one
/// bounds them.
#[must_use]
pub fn decode(input: &[u8]) -> Parsed<Block<'_>> {
    let mut at = 0;
    loop {
        match &input[at..] {
            // The LF of a CR LF that was cut in two ends up here too.
            [b'\r' | b'\n', ..] => at += 1,
            [0xef, 0xbb, 0xbf, ..] => at += 3,
            _ => break,
        }
    }
    let mut block = Block::default();
    while let Some((line, used)) = split_line(&input[at..]) {
        at += used;
        if line.is_empty() {
            return Parsed::Complete { value: block, used: at };
        }
        block.read_line(line);
    }
    Parsed::Partial
}

/// The first line, and how many bytes it takes with its end; `None` while the end is not there.
///
/// A line ends at LF, CR LF or CR. A CR that ends the input ends the line at once, or an event would wait for the one
/// behind it; an LF that comes later is then a blank line before the next block.
fn split_line(input: &[u8]) -> Option<(&[u8], usize)> {
    let end = input.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let is_crlf = input[end..].starts_with(b"\r\n");
    Some((&input[..end], end + 1 + usize::from(is_crlf)))
}

impl<'a> Block<'a> {
    fn read_line(&mut self, line: &'a [u8]) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(0) => {
                self.comments += 1;
                return;
            }
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match name {
            b"id" if !value.contains('\0') => self.id = Some(value),
            b"event" => self.event = Some(value),
            b"data" => match &mut self.data {
                Some(data) => {
                    let data = data.to_mut();
                    data.push('\n');
                    data.push_str(&value);
                }
                None => self.data = Some(value),
            },
            b"retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok().or(self.retry_ms);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event<'a>(id: Option<&'a str>, name: Option<&'a str>, data: Option<&'a str>) -> Block<'a> {
        Block {
            id: id.map(Cow::Borrowed),
            event: name.map(Cow::Borrowed),
            data: data.map(Cow::Borrowed),
            ..Block::default()
        }
    }

    /// Reads a block whole, byte by byte with "not yet" at every prefix, and before bytes that are not its own.
    #[track_caller]
    fn check(stream: &str, expected: Block<'_>) {
        let complete = Parsed::Complete { value: expected, used: stream.len() };
        assert_eq!(decode(stream.as_bytes()), complete);
        for end in 0..stream.len() {
            assert_eq!(decode(&stream.as_bytes()[..end]), Parsed::Partial, "at {end} of {stream:?}");
        }
        assert_eq!(decode(format!("{stream}data: next\n\n").as_bytes()), complete);
    }

    fn encoded(encode: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        encode(&mut out);
        String::from_utf8(out).expect("events are text")
    }

    #[test]
    fn event_is_written_as_readme_shows_it() {
        let written = encoded(|out| encode_event(out, Seq::new(17), br#"{"seq":17}"#));
        assert_eq!(written, "id: 17\nevent: location\ndata: {\"seq\":17}\n\n");
        check(&written, event(Some("17"), Some("location"), Some(r#"{"seq":17}"#)));
        let nameless = encoded(|out| encode_event(out, None, b"{}"));
        assert_eq!(nameless, "event: location\ndata: {}\n\n");
    }

    #[test]
    fn comment_and_retry_are_no_events() {
        assert_eq!(encoded(encode_comment), ":\n\n");
        check(":\n\n", Block { comments: 1, ..Block::default() });
        let retry = encoded(|out| encode_retry(out, 2500));
        assert_eq!(retry, "retry: 2500\n\n");
        check(&retry, Block { retry_ms: Some(2500), ..Block::default() });
    }

    /// The streams of section 9.2.6.
    #[test]
    fn examples_of_the_standard_are_read() {
        check("data: YHOO\ndata: +2\ndata: 10\n\n", event(None, None, Some("YHOO\n+2\n10")));
        check(": test stream\n\n", Block { comments: 1, ..Block::default() });
        check("data: first event\nid: 1\n\n", event(Some("1"), None, Some("first event")));
        check("data:second event\nid\n\n", event(Some(""), None, Some("second event")));
        check("data:  third event\n\n", event(None, None, Some(" third event")));
        check("data\n\n", event(None, None, Some("")));
        check("data\ndata\n\n", event(None, None, Some("\n")));
    }

    #[test]
    fn lines_may_end_in_any_of_three_ways() {
        check("event: a\rdata: b\r\r", event(None, Some("a"), Some("b")));
        check("\u{feff}\r\n\ndata: b\n\r", event(None, None, Some("b")));
        let whole = decode(b"data: b\r\n\r\ndata: c");
        assert_eq!(whole, Parsed::Complete { value: event(None, None, Some("b")), used: 11 });
    }

    #[test]
    fn line_feed_cut_off_its_carriage_return_begins_no_block() {
        let first = decode(b"data: b\r\n\r");
        assert_eq!(first, Parsed::Complete { value: event(None, None, Some("b")), used: 10 });
        check("\ndata: c\n\n", event(None, None, Some("c")));
        check("\n\u{feff}data: c\n\n", event(None, None, Some("c")));
    }

    #[test]
    fn what_the_standard_ignores_is_ignored() {
        check("id: a\0b\nretry: 1s\nData: x\nfoo: bar\nfoo\n\n", Block::default());
        check("retry: 99999999999999999999999\n\n", Block::default());
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let expected = event(None, None, Some("a\u{fffd}"));
        assert_eq!(decode(b"data: a\xff\n\n"), Parsed::Complete { value: expected, used: 10 });
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_equals_the_whole(
            seqs in prop::collection::vec(0..Seq::END, 0..6), sizes in prop::collection::vec(1usize..40, 0..40)
        ) {
            let mut stream = Vec::new();
            for seq in &seqs {
                encode_comment(&mut stream);
                encode_event(&mut stream, Seq::new(*seq), format!("{{\"seq\":{seq}}}").as_bytes());
            }
            let mut ids = Vec::new();
            let (mut start, mut end) = (0, 0);
            for size in sizes.into_iter().chain([stream.len()]) {
                end = (end + size).min(stream.len());
                while let Parsed::Complete { value, used } = decode(&stream[start..end]) {
                    ids.extend(value.id.map(Cow::into_owned));
                    start += used;
                }
            }
            prop_assert_eq!(start, stream.len());
            prop_assert_eq!(ids, seqs.iter().map(u64::to_string).collect::<Vec<_>>());
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>, text in "[a-e:\\r\\n ]{0,60}") {
            for input in [&bytes[..], text.as_bytes()] {
                if let Parsed::Complete { used, .. } = decode(input) {
                    prop_assert!(used > 0 && used <= input.len());
                }
            }
        }
    }
}
