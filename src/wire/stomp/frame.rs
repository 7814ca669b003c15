//! Decodes one frame from the bytes that have arrived, wherever they were cut.
//!
//! Knows where a frame ends and what makes it one; knows no header but `content-length`, and not who may
//! send which command. Read the 1.2 specification, "STOMP Frames", "Body" and "Augmented BNF", first.
//!
//! ```text
//!            command line           blank line          NUL
//!  Command ---------------> Lines ------------> Body ---------> Command
//!     | line ends: an item of their own
//!     +------------------------------------------------------> Command
//! ```

use std::fmt;

use crate::report::Reason;
use crate::wire::Parsed;
use crate::wire::stomp::header::Headers;
use crate::wire::stomp::{Command, Version};

/// The longest command with its line end: `UNSUBSCRIBE`, CR, LF.
const COMMAND_LINE_BYTES_MAX: usize = 13;

/// What a peer's frames may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// From the first letter of the command to the NUL, both counted.
    pub frame_bytes_max: usize,
    /// Header lines.
    pub headers_max: usize,
}

/// One frame, borrowed from the bytes that it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it says.
    pub command: Command,
    /// With which parameters.
    pub headers: Headers<'a>,
    /// About what: without the NUL that ends it.
    pub body: &'a [u8],
}

/// What a stream of frames consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// Line ends between frames: a heart-beat, or the one that many clients put behind each NUL.
    LineEnds,
    /// A frame.
    Frame(Frame<'a>),
}

/// How far [`decode`] has looked, so that a peer that sends byte by byte costs no second look at any of them.
///
/// Belongs to the input that has not been consumed; starts anew with each item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan(Stage);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Accepts: line ends, or a command line. Next: `Lines`.
    #[default]
    Command,
    /// Accepts: header lines to the blank one. Next: `Body`.
    Lines(Lines),
    /// Accepts: octets to the NUL. Next: `Command`.
    Body(Body),
}

/// Offsets are from the first letter of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lines {
    command: Command,
    lines_from: usize,
    /// Where the line that has not ended begins.
    line_from: usize,
    looked: usize,
    count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Body {
    command: Command,
    lines_from: usize,
    /// Where the blank line begins.
    lines_to: usize,
    from: usize,
    end: BodyEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyEnd {
    /// A `content-length` said where: the offset of the NUL. The body may hold others.
    At(usize),
    /// At the first NUL, which is not among the bytes before this offset.
    FirstNul { looked: usize },
}

/// Decodes the line ends or the one frame that `input` begins with.
///
/// `version` is the one agreed on; [`Version::V10`] until then. Line ends are LF or CR LF in every version:
/// 1.2 allows both, and 1.1 gives a CR before LF no other use. While the answer is [`Parsed::Partial`], show
/// the same bytes and more with the same `scan`, which then costs a look at the new ones alone.
///
/// # Errors
/// One variant of [`FrameError`] per rule; all final: answer ERROR and close. What cannot become legal any
/// more is an error at once: an unknown command by its first 13 bytes, a `content-length` past
/// `frame_bytes_max` before any of the body, a frame that is too long by its last allowed byte.
pub fn decode<'a>(
    input: &'a [u8],
    version: Version,
    limits: FrameLimits,
    scan: &mut Scan,
) -> Result<Parsed<Item<'a>>, FrameError> {
    let outcome = look(input, version, limits, &mut scan.0);
    if !matches!(outcome, Ok(Parsed::Partial)) {
        *scan = Scan::default();
    }
    outcome
}

fn look<'a>(
    input: &'a [u8],
    version: Version,
    limits: FrameLimits,
    stage: &mut Stage,
) -> Result<Parsed<Item<'a>>, FrameError> {
    if *stage == Stage::Command {
        let used = leading_line_ends(input);
        if used > 0 {
            return Ok(Parsed::Complete { value: Item::LineEnds, used });
        }
    }
    // A frame is never looked at past its last allowed byte, so the answer does not depend on where it was cut.
    let window = &input[..input.len().min(limits.frame_bytes_max)];
    loop {
        let next = match stage {
            Stage::Command => look_for_command(window)?,
            Stage::Lines(lines) => lines.look_for_blank_line(window, version, limits)?,
            Stage::Body(body) => match body.look_for_end(window)? {
                Some(end) => return body.frame(window, end, version),
                None => None,
            },
        };
        match next {
            Some(next) => *stage = next,
            None if input.len() < limits.frame_bytes_max => return Ok(Parsed::Partial),
            None => return Err(FrameError::too_long(limits.frame_bytes_max, limits)),
        }
    }
}

/// How many bytes of whole line ends lead the input; a CR whose LF has not come yet is not one of them.
fn leading_line_ends(input: &[u8]) -> usize {
    let mut used = 0;
    loop {
        match &input[used..] {
            [b'\n', ..] => used += 1,
            [b'\r', b'\n', ..] => used += 2,
            _ => return used,
        }
    }
}

fn look_for_command(window: &[u8]) -> Result<Option<Stage>, FrameError> {
    let seen = &window[..window.len().min(COMMAND_LINE_BYTES_MAX)];
    let Some(at) = seen.iter().position(|byte| *byte == b'\n') else {
        return if seen.len() < COMMAND_LINE_BYTES_MAX { Ok(None) } else { Err(FrameError::UnknownCommand) };
    };
    let command = Command::parse(without_cr(&seen[..at])).ok_or(FrameError::UnknownCommand)?;
    let from = at + 1;
    Ok(Some(Stage::Lines(Lines { command, lines_from: from, line_from: from, looked: from, count: 0 })))
}

impl Lines {
    fn look_for_blank_line(
        &mut self,
        window: &[u8],
        version: Version,
        limits: FrameLimits,
    ) -> Result<Option<Stage>, FrameError> {
        while let Some(at) = position_from(window, self.looked, |byte| byte == b'\n' || byte == 0) {
            if window[at] == 0 {
                return Err(FrameError::NulInHeaders);
            }
            let line = without_cr(&window[self.line_from..at]);
            if line.is_empty() {
                return self.body(window, at + 1, version, limits).map(|body| Some(Stage::Body(body)));
            }
            self.count += 1;
            if self.count > limits.headers_max {
                return Err(FrameError::TooManyHeaders { headers_max: limits.headers_max });
            }
            self.line_from = at + 1;
            self.looked = at + 1;
        }
        self.looked = window.len();
        Ok(None)
    }

    /// All header lines are here: checks them and finds out where the body, which starts at `from`, will end.
    fn body(
        &self,
        window: &[u8],
        from: usize,
        version: Version,
        limits: FrameLimits,
    ) -> Result<Body, FrameError> {
        let lines = &window[self.lines_from..self.line_from];
        let headers = Headers::check(lines, spelling(self.command, version))?;
        let end = match headers.value("content-length") {
            Some(digits) => {
                let declared = content_length(&digits)?;
                // The NUL counts too.
                let bytes_min = declared.saturating_add(from).saturating_add(1);
                if bytes_min > limits.frame_bytes_max {
                    return Err(FrameError::TooLong { bytes_min, frame_bytes_max: limits.frame_bytes_max });
                }
                BodyEnd::At(from + declared)
            }
            None => BodyEnd::FirstNul { looked: from },
        };
        let (command, lines_from, lines_to) = (self.command, self.lines_from, self.line_from);
        Ok(Body { command, lines_from, lines_to, from, end })
    }
}

impl Body {
    /// The offset of the NUL, once it is there.
    fn look_for_end(&mut self, window: &[u8]) -> Result<Option<usize>, FrameError> {
        match &mut self.end {
            BodyEnd::At(end) => match window.get(*end) {
                Some(0) => Ok(Some(*end)),
                Some(_) => Err(FrameError::BodyPastContentLength { content_length: *end - self.from }),
                None => Ok(None),
            },
            BodyEnd::FirstNul { looked } => {
                let end = position_from(window, *looked, |byte| byte == 0);
                *looked = window.len();
                Ok(end)
            }
        }
    }

    fn frame<'a>(
        &self,
        window: &'a [u8],
        end: usize,
        version: Version,
    ) -> Result<Parsed<Item<'a>>, FrameError> {
        let Self { command, lines_from, lines_to, from, end: _ } = *self;
        let body = &window[from..end];
        // 1.0 says nothing about bodies, and its handwritten frames often have a line end too many.
        if !body.is_empty() && !command.may_have_body() && spelling(command, version) != Version::V10 {
            return Err(FrameError::UnwantedBody { command, body_bytes: body.len() });
        }
        let headers = Headers::checked_before(&window[lines_from..lines_to], spelling(command, version))?;
        Ok(Parsed::Complete { value: Item::Frame(Frame { command, headers, body }), used: end + 1 })
    }
}

/// The version whose rules a frame's headers follow.
const fn spelling(command: Command, agreed: Version) -> Version {
    if command.opens() { Version::V10 } else { agreed }
}

/// Reads the digits of a content-length; more of them than a number can hold are a number past every limit.
fn content_length(digits: &str) -> Result<usize, FrameError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FrameError::BadContentLength);
    }
    Ok(digits.parse().unwrap_or(usize::MAX))
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn position_from(window: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    debug_assert!(from <= window.len(), "shown fewer bytes than before");
    let ahead = window.get(from..)?.iter().position(|byte| wanted(*byte))?;
    Some(from + ahead)
}

/// What makes bytes no frame; one variant per rule that a peer can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The first line is none of the commands.
    UnknownCommand,
    /// It is past `--max-frame-bytes`, or says that it will be.
    TooLong {
        /// What it takes at least.
        bytes_min: usize,
        /// What is allowed.
        frame_bytes_max: usize,
    },
    /// It has more header lines than `--max-frame-headers`.
    TooManyHeaders {
        /// What is allowed.
        headers_max: usize,
    },
    /// It ended before the blank line.
    NulInHeaders,
    /// A header line holds no colon.
    NoColon {
        /// Which one, the first being 1.
        line_number: usize,
    },
    /// A header line begins with its colon.
    EmptyName {
        /// Which one, the first being 1.
        line_number: usize,
    },
    /// A backslash with something behind it that the version does not define.
    BadEscape {
        /// Which header line, the first being 1.
        line_number: usize,
        /// Whose escapes hold.
        version: Version,
    },
    /// In 1.2: a CR that is not part of a line end.
    BareCarriageReturn {
        /// Which header line, the first being 1.
        line_number: usize,
    },
    /// The headers are not UTF-8.
    NotUtf8,
    /// The content-length is not a number.
    BadContentLength,
    /// No NUL follows the body that the content-length told of.
    BodyPastContentLength {
        /// What it told.
        content_length: usize,
    },
    /// From 1.1: a body where none may be.
    UnwantedBody {
        /// What has it.
        command: Command,
        /// How long it is.
        body_bytes: usize,
    },
}

impl FrameError {
    const fn too_long(looked: usize, limits: FrameLimits) -> Self {
        Self::TooLong { bytes_min: looked + 1, frame_bytes_max: limits.frame_bytes_max }
    }

    /// What it counts as among the refusals.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::TooLong { .. } | Self::TooManyHeaders { .. } => Reason::FrameMax,
            Self::UnknownCommand
            | Self::NulInHeaders
            | Self::NoColon { .. }
            | Self::EmptyName { .. }
            | Self::BadEscape { .. }
            | Self::BareCarriageReturn { .. }
            | Self::NotUtf8
            | Self::BadContentLength
            | Self::BodyPastContentLength { .. }
            | Self::UnwantedBody { .. } => Reason::Stomp,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand => f.write_str("the first line is not a command of STOMP 1.0 to 1.2"),
            Self::TooLong { bytes_min, frame_bytes_max } => {
                write!(f, "the frame takes at least {bytes_min} bytes, {frame_bytes_max} are allowed")
            }
            Self::TooManyHeaders { headers_max } => {
                write!(f, "the frame has more than the {headers_max} header lines that are allowed")
            }
            Self::NulInHeaders => f.write_str("a NUL before the blank line that ends the headers"),
            Self::NoColon { line_number } => write!(f, "header line {line_number} has no colon"),
            Self::EmptyName { line_number } => write!(f, "header line {line_number} has no name"),
            Self::BadEscape { line_number, version } => {
                let version = version.label();
                write!(f, "header line {line_number} holds an escape that STOMP {version} does not define")
            }
            Self::BareCarriageReturn { line_number } => {
                write!(f, "header line {line_number} holds a carriage return that is not escaped")
            }
            Self::NotUtf8 => f.write_str("the headers are not UTF-8"),
            Self::BadContentLength => f.write_str("content-length is not a decimal number"),
            Self::BodyPastContentLength { content_length } => {
                write!(f, "no NUL after the {content_length} bytes of body that content-length tells of")
            }
            Self::UnwantedBody { command, body_bytes } => {
                let command = command.label();
                write!(f, "a {command} frame has no body, this one has {body_bytes} bytes")
            }
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: FrameLimits = FrameLimits { frame_bytes_max: 16 * 1024, headers_max: 64 };

    /// What a stream came to: the frames as plain values, then the error that ended it, if one did.
    #[derive(Debug, PartialEq)]
    struct Heard {
        frames: Vec<(Command, Vec<u8>)>,
        error: Option<FrameError>,
    }

    /// Shows the stream piece by piece, as a session would.
    fn hear(pieces: &[&[u8]], version: Version, limits: FrameLimits) -> Heard {
        let mut heard = Heard { frames: Vec::new(), error: None };
        let (mut held, mut scan) = (Vec::new(), Scan::default());
        for piece in pieces {
            held.extend_from_slice(piece);
            loop {
                match decode(&held, version, limits, &mut scan) {
                    Ok(Parsed::Partial) => break,
                    Ok(Parsed::Complete { value, used }) => {
                        if let Item::Frame(frame) = value {
                            heard.frames.push((frame.command, frame.body.to_vec()));
                        }
                        held.drain(..used);
                    }
                    Err(error) => {
                        heard.error = Some(error);
                        return heard;
                    }
                }
            }
        }
        heard
    }

    /// Reads one frame whole, byte by byte, and with bytes behind it that must stay untouched.
    #[track_caller]
    fn check(input: &[u8], version: Version, command: Command, headers: &[(&str, &str)], body: &[u8]) {
        let check_one = |input: &[u8], scan: &mut Scan, length: usize| {
            let Ok(Parsed::Complete { value: Item::Frame(frame), used }) =
                decode(input, version, LIMITS, scan)
            else {
                panic!("no frame: {:?}", decode(input, version, LIMITS, &mut Scan::default()));
            };
            assert_eq!((frame.command, frame.body, used), (command, body, length));
            for (name, value) in headers {
                assert_eq!(frame.headers.value(name).as_deref(), Some(*value), "{name}");
            }
            assert_eq!(*scan, Scan::default());
        };
        check_one(input, &mut Scan::default(), input.len());
        let mut scan = Scan::default();
        for length in 0..input.len() {
            assert_eq!(decode(&input[..length], version, LIMITS, &mut scan), Ok(Parsed::Partial), "{length}");
        }
        check_one(input, &mut scan, input.len());
        for trailing in [&b"\n"[..], b"\0", b"SEND\n", b"\xff\xff"] {
            check_one(&[input, trailing].concat(), &mut Scan::default(), input.len());
        }
    }

    /// Reads something that is no frame, whole and byte by byte; the error comes with the last byte.
    #[track_caller]
    fn check_refused(input: &[u8], version: Version, limits: FrameLimits, error: FrameError) {
        assert_eq!(decode(input, version, limits, &mut Scan::default()), Err(error));
        let mut scan = Scan::default();
        for length in 1..input.len() {
            assert_eq!(decode(&input[..length], version, limits, &mut scan), Ok(Parsed::Partial), "{length}");
        }
        assert_eq!(decode(input, version, limits, &mut scan), Err(error));
    }

    #[test]
    fn the_seeds_frames_are_read() {
        let connect = b"CONNECT\naccept-version:1.0,1.1,2.0\n\n\0";
        check(connect, Version::V10, Command::Connect, &[("accept-version", "1.0,1.1,2.0")], b"");
        check(
            b"SUBSCRIBE\nid:6f1c0f3a-0b1e-4c59-9d6f-2f8f6f0e7a11\ndestination:/sub/location/3\n\n\0",
            Version::V11,
            Command::Subscribe,
            &[("id", "6f1c0f3a-0b1e-4c59-9d6f-2f8f6f0e7a11"), ("destination", "/sub/location/3")],
            b"",
        );
        check(
            b"SEND\ndestination:/pub/share/3\n\n{\"content\":\"Hi from k6 STOMP!\"}\0",
            Version::V11,
            Command::Send,
            &[("destination", "/pub/share/3")],
            b"{\"content\":\"Hi from k6 STOMP!\"}",
        );
    }

    #[test]
    fn carriage_returns_before_line_ends_are_read_in_every_version() {
        for version in Version::ALL {
            let frame = b"SEND\r\ndestination:/pub/share/3\r\na:\r\n\r\n{}\r\n\0";
            check(frame, version, Command::Send, &[("destination", "/pub/share/3"), ("a", "")], b"{}\r\n");
        }
    }

    #[test]
    fn every_command_is_read() {
        for command in Command::ALL {
            check(format!("{}\n\n\0", command.label()).as_bytes(), Version::V12, command, &[], b"");
        }
    }

    #[test]
    fn a_body_with_content_length_may_hold_nul() {
        check(b"SEND\ncontent-length:3\n\na\0b\0", Version::V12, Command::Send, &[], b"a\0b");
        check(b"SEND\ncontent-length:0\n\n\0", Version::V12, Command::Send, &[], b"");
        check(b"SEND\ncontent-length: 1 \n\n\0\0", Version::V10, Command::Send, &[], b"\0");
    }

    #[test]
    fn headers_of_an_opening_frame_have_no_escapes() {
        check(b"CONNECT\nmember:a\\tb\n\n\0", Version::V12, Command::Connect, &[("member", "a\\tb")], b"");
        check(b"SEND\na:\\c\n\n\0", Version::V12, Command::Send, &[("a", ":")], b"");
    }

    #[test]
    fn line_ends_between_frames_are_an_item_of_their_own() {
        let check = |input: &[u8], expected: Option<usize>| {
            let outcome = decode(input, Version::V12, LIMITS, &mut Scan::default());
            let expected =
                expected.map_or(Parsed::Partial, |used| Parsed::Complete { value: Item::LineEnds, used });
            assert_eq!(outcome, Ok(expected), "{input:?}");
        };
        check(b"", None);
        check(b"\n", Some(1));
        check(b"\r\n", Some(2));
        check(b"\n\r\n\nSEND\n", Some(4));
        check(b"\r", None);
        check(b"\n\r", Some(1));
        check(b"\n\0", Some(1));
    }

    #[test]
    fn frames_in_a_row_are_read_with_whatever_lies_between() {
        let stream = b"\nBEGIN\ntransaction:1\n\n\0\n\r\n\nSEND\n\nx\0ABORT\n\n\0\n";
        let heard = hear(&[stream], Version::V12, LIMITS);
        let frame = |command, body: &[u8]| (command, body.to_vec());
        let frames = vec![frame(Command::Begin, b""), frame(Command::Send, b"x"), frame(Command::Abort, b"")];
        assert_eq!(heard, Heard { frames, error: None });
    }

    #[test]
    fn what_is_no_command_is_refused_by_its_first_line() {
        let refused = |input| check_refused(input, Version::V12, LIMITS, FrameError::UnknownCommand);
        refused(b"HELLO\n");
        refused(b"send\n");
        refused(b" SEND\n");
        refused(b"\rSEND\n");
        refused(b"\0\n");
        refused(b"SENDSENDSENDS");
        refused(b"{\"x\":1,\"y\":2}");
    }

    #[test]
    fn a_head_must_end_in_a_blank_line() {
        check_refused(b"SEND\na:b\0", Version::V12, LIMITS, FrameError::NulInHeaders);
        check_refused(b"SEND\n\r\0", Version::V12, LIMITS, FrameError::NulInHeaders);
    }

    #[test]
    fn broken_headers_are_refused() {
        let refused = |input: &[u8], error| check_refused(input, Version::V11, LIMITS, error);
        refused(b"SEND\na\n\n", FrameError::NoColon { line_number: 1 });
        refused(b"SEND\na:b\n:c\n\n", FrameError::EmptyName { line_number: 2 });
        refused(b"SEND\na:\\r\n\n", FrameError::BadEscape { line_number: 1, version: Version::V11 });
        refused(b"SEND\na:\xc3\n\n", FrameError::NotUtf8);
        for digits in ["", "-1", "+1", "1 ", "0x1", "1,1"] {
            let input = format!("SEND\ncontent-length:{digits}\n\n");
            refused(input.as_bytes(), FrameError::BadContentLength);
        }
    }

    #[test]
    fn a_body_must_end_where_content_length_says() {
        let error = FrameError::BodyPastContentLength { content_length: 2 };
        check_refused(b"SEND\ncontent-length:2\n\nabc", Version::V12, LIMITS, error);
        check_refused(b"SEND\ncontent-length:2\n\na\0c", Version::V12, LIMITS, error);
    }

    #[test]
    fn only_1_0_lets_every_frame_have_a_body() {
        check(b"BEGIN\n\n\n\0", Version::V10, Command::Begin, &[], b"\n");
        let error = FrameError::UnwantedBody { command: Command::Begin, body_bytes: 1 };
        check_refused(b"BEGIN\n\n\n\0", Version::V11, LIMITS, error);
    }

    #[test]
    fn a_frame_of_the_longest_length_is_read_and_one_byte_more_refused() {
        let limits = FrameLimits { frame_bytes_max: 32, headers_max: 64 };
        let frame = |body: usize| [b"SEND\n\n", &vec![b'x'; body][..], b"\0"].concat();
        let heard = hear(&[&frame(25)], Version::V12, limits);
        assert_eq!((heard.frames.len(), heard.error), (1, None));
        let error = FrameError::TooLong { bytes_min: 33, frame_bytes_max: 32 };
        assert_eq!(hear(&[&frame(26)], Version::V12, limits).error, Some(error));
        // Not a byte more than is allowed needs to come for that.
        check_refused(&frame(26)[..32], Version::V12, limits, error);
        check_refused(&[b"SEND\n", &[b'a'; 27][..]].concat(), Version::V12, limits, error);
    }

    #[test]
    fn a_content_length_past_the_limit_is_refused_before_any_body() {
        let limits = FrameLimits { frame_bytes_max: 64, headers_max: 64 };
        let heard = |length: usize| {
            hear(&[format!("SEND\ncontent-length:{length}\n\n").as_bytes()], Version::V12, limits)
        };
        assert_eq!(heard(39).error, None, "24 bytes of head, 39 of body, NUL");
        let error = FrameError::TooLong { bytes_min: 65, frame_bytes_max: 64 };
        assert_eq!(heard(40).error, Some(error));
        for endless in ["18446744073709551615", "99999999999999999999999"] {
            let input = format!("SEND\ncontent-length:{endless}\n\n");
            let error = FrameError::TooLong { bytes_min: usize::MAX, frame_bytes_max: 64 };
            check_refused(input.as_bytes(), Version::V12, limits, error);
        }
    }

    #[test]
    fn as_many_headers_as_allowed_are_read_and_one_more_refused() {
        let limits = FrameLimits { headers_max: 3, ..LIMITS };
        assert_eq!(hear(&[b"SEND\na:1\na:2\na:3\n\n\0"], Version::V12, limits).frames.len(), 1);
        let error = FrameError::TooManyHeaders { headers_max: 3 };
        check_refused(b"SEND\na:1\na:2\na:3\na:4\n", Version::V12, limits, error);
    }

    #[test]
    fn what_was_looked_at_is_not_looked_at_again() {
        // A decoder that looked again would find the NUL that has been put behind its back.
        let mut input = b"SEND\na:b\n\nxxxx".to_vec();
        let mut scan = Scan::default();
        assert_eq!(decode(&input, Version::V12, LIMITS, &mut scan), Ok(Parsed::Partial));
        input[11] = 0;
        assert_eq!(decode(&input, Version::V12, LIMITS, &mut scan), Ok(Parsed::Partial));
        input[11] = b'x';
        input.push(0);
        let outcome = decode(&input, Version::V12, LIMITS, &mut scan);
        assert!(matches!(outcome, Ok(Parsed::Complete { used: 15, .. })), "{outcome:?}");
    }

    #[test]
    fn errors_say_the_number_and_the_limit() {
        let error = FrameError::TooLong { bytes_min: 65, frame_bytes_max: 64 };
        assert_eq!(error.to_string(), "the frame takes at least 65 bytes, 64 are allowed");
        assert_eq!(error.reason(), Reason::FrameMax);
        let error = FrameError::BadEscape { line_number: 2, version: Version::V11 };
        assert_eq!(error.to_string(), "header line 2 holds an escape that STOMP 1.1 does not define");
        assert_eq!(error.reason(), Reason::Stomp);
    }

    /// Streams made of pieces that mean something, so that most get past the command.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let pieces: [&[u8]; 12] = [
            b"SEND\n",
            b"SUBSCRIBE\r\n",
            b"a:b\n",
            b"id:\\c\\n\r\n",
            b"content-length:5\n",
            b"\n",
            b"\r\n",
            b"hello",
            b"\0",
            b"\n\n\0",
            b"\\",
            b"\xff",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_cut_is_heard_as_the_whole(
            stream in stream(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            version in prop::sample::select(&Version::ALL[..]),
        ) {
            let limits = FrameLimits { frame_bytes_max: 40, headers_max: 3 };
            let whole = hear(&[&stream], version, limits);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
            prop_assert_eq!(&hear(&pieces, version, limits), &whole);
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(&hear(&bytes, version, limits), &whole);
        }

        #[test]
        fn no_bytes_make_it_panic(stream: Vec<u8>, version in prop::sample::select(&Version::ALL[..])) {
            let _ = hear(&[&stream], version, LIMITS);
            let _ = hear(&[&[b"SEND\n", &stream[..]].concat()], version, LIMITS);
        }
    }
}
