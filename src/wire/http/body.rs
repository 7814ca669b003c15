//! Request bodies: bytes to content (RFC 9112, sections 6.2 and 7.1).
//!
//! Reads by length or by chunks as the head said, appends the content to a caller's buffer, and touches no
//! byte behind the body, for a pipelined request may lie there. It is stricter than senders are asked to be:
//! lines of chunk framing end in CR LF and nothing else, because a reader in front of us may have read them
//! otherwise.

use std::fmt;

use crate::limits::CHUNK_FRAMING_BYTES_PER_BODY_BYTE;
use crate::report::Reason;
use crate::wire::http::is_token_byte;
use crate::wire::http::request::Framing;
use crate::wire::http::response::Status;

/// Digits of a chunk size: 64 bits; more could only be leading zeros.
const CHUNK_SIZE_DIGITS_MAX: u8 = 16;

/// How far a body has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyProgress {
    /// How many input bytes it took; give the rest again, with more behind it, if it is not done.
    pub used: usize,
    /// The body is whole.
    pub done: bool,
}

/// Why a body is refused; every one is final: answer and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than `--max-body-bytes`.
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// Chunk sizes, extensions and trailers together take more than they may.
    TooMuchFraming {
        /// The limit.
        bytes_max: usize,
    },
    /// The chunk size is not 1 to 16 hexadecimal digits, or is followed by something other than an extension.
    ChunkSize,
    /// A chunk extension holds a control character or a quoted string without its end.
    ChunkExtension,
    /// A chunk's data is not followed by CR LF.
    ChunkEnd,
    /// A line of chunk framing does not end in CR LF.
    LineEnd,
    /// A trailer line is not a name, a colon and a value.
    Trailer,
}

impl BodyError {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::TooLarge { .. } | Self::TooMuchFraming { .. } => Status::ContentTooLarge,
            Self::ChunkSize | Self::ChunkExtension | Self::ChunkEnd | Self::LineEnd | Self::Trailer => {
                Status::BadRequest
            }
        }
    }

    /// What the refusal is counted as.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::TooLarge { .. } | Self::TooMuchFraming { .. } => Reason::BodyMax,
            Self::ChunkSize | Self::ChunkExtension | Self::ChunkEnd | Self::LineEnd | Self::Trailer => {
                Reason::BadRequest
            }
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes_max } => write!(f, "the body is longer than {bytes_max} bytes"),
            Self::TooMuchFraming { bytes_max } => {
                write!(f, "chunk sizes, extensions and trailers take more than {bytes_max} bytes")
            }
            Self::ChunkSize => {
                write!(f, "a chunk size is not 1 to {CHUNK_SIZE_DIGITS_MAX} hexadecimal digits")
            }
            Self::ChunkExtension => f.write_str("a chunk extension is not printable text"),
            Self::ChunkEnd => f.write_str("the data of a chunk is not followed by CR LF"),
            Self::LineEnd => f.write_str("a line of chunk framing does not end in CR LF"),
            Self::Trailer => f.write_str("a trailer line is not a name, a colon and a value"),
        }
    }
}

impl std::error::Error for BodyError {}

/// Where in a body the next byte falls.
///
/// ```text
/// Size -> SizeBlank -> Extension <-> Quoted <-> Escaped
///   \________\____________ \-> SizeLf -> Data -> DataCr -> DataLf -> Size
///                               \ (size 0)
///                               TrailerStart -> TrailerName -> TrailerValue -> TrailerLf -> TrailerStart
///                                 \ (CR)
///                                 EndLf -> Done
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Accepts: content of a body with a length. Next: `Done`.
    Content { left: usize },
    /// Accepts: hexadecimal digits, then a blank, `;` or CR.
    Size { size: usize, digits: u8 },
    /// Accepts: blanks before the `;` of an extension, and that.
    SizeBlank { size: usize },
    /// Accepts: an extension, unread, to `"` or CR.
    Extension { size: usize },
    /// Accepts: a quoted string, unread, to `\` or `"`.
    Quoted { size: usize },
    /// Accepts: the byte behind a `\`.
    Escaped { size: usize },
    /// Accepts: the LF of a size line. Next: `Data`, or `TrailerStart` behind size 0.
    SizeLf { size: usize },
    /// Accepts: content of a chunk. Next: `DataCr`.
    Data { left: usize },
    /// Accepts: the CR behind a chunk's data.
    DataCr,
    /// Accepts: the LF behind a chunk's data. Next: `Size`.
    DataLf,
    /// Accepts: the first byte of a trailer's name, or the CR that ends the body.
    TrailerStart,
    /// Accepts: the rest of the name, to the colon.
    TrailerName,
    /// Accepts: the value, unread, to CR.
    TrailerValue,
    /// Accepts: the LF of a trailer line. Next: `TrailerStart`.
    TrailerLf,
    /// Accepts: the LF that ends the body. Next: `Done`.
    EndLf,
    /// Accepts: nothing more.
    Done,
}

/// Reads one request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyDecoder {
    state: State,
    /// Content that the chunks to come may still hold.
    content_left: usize,
    /// Bytes that may still be spent on chunk framing.
    framing_left: usize,
    body_bytes_max: usize,
}

impl BodyDecoder {
    /// A decoder for a body framed as its head said.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] of a length over the limit, before any byte of the body is asked for: a client
    /// that waits for `100 Continue` must be told instead.
    pub fn new(framing: Framing, body_bytes_max: usize) -> Result<Self, BodyError> {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => match usize::try_from(length) {
                Ok(left) if left <= body_bytes_max => State::Content { left },
                Ok(_) | Err(_) => return Err(BodyError::TooLarge { bytes_max: body_bytes_max }),
            },
            Framing::Chunked => State::Size { size: 0, digits: 0 },
        };
        let framing_left = framing_bytes_max(body_bytes_max);
        Ok(Self { state, content_left: body_bytes_max, framing_left, body_bytes_max })
    }

    /// Whether the body is whole; at once where there is none.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes what it can from `input` and appends the content to `body`; what is behind the body stays.
    ///
    /// # Errors
    /// [`BodyError`], always final. What `body` holds then is of no use.
    pub fn decode(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<BodyProgress, BodyError> {
        let mut rest = input;
        while let [byte, after @ ..] = rest {
            match self.state {
                State::Content { left } => {
                    let left = left - take_content(&mut rest, left, body);
                    self.state = if left == 0 { State::Done } else { State::Content { left } };
                }
                State::Data { left } => {
                    let left = left - take_content(&mut rest, left, body);
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                }
                State::Done => break,
                State::Size { .. }
                | State::SizeBlank { .. }
                | State::Extension { .. }
                | State::Quoted { .. }
                | State::Escaped { .. }
                | State::SizeLf { .. }
                | State::DataCr
                | State::DataLf
                | State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf
                | State::EndLf => {
                    self.take_framing(*byte)?;
                    rest = after;
                }
            }
        }
        Ok(BodyProgress { used: input.len() - rest.len(), done: self.is_done() })
    }

    fn take_framing(&mut self, byte: u8) -> Result<(), BodyError> {
        let too_much = BodyError::TooMuchFraming { bytes_max: framing_bytes_max(self.body_bytes_max) };
        self.framing_left = self.framing_left.checked_sub(1).ok_or(too_much)?;
        self.state = match self.state {
            State::Size { size, digits } => self.size(size, digits, byte)?,
            State::SizeBlank { size } => match byte {
                b' ' | b'\t' => State::SizeBlank { size },
                b';' => State::Extension { size },
                _ => return Err(BodyError::ChunkSize),
            },
            State::Extension { size } => match byte {
                b'\r' => State::SizeLf { size },
                b'"' => State::Quoted { size },
                _ => printable(byte, BodyError::ChunkExtension).map(|()| State::Extension { size })?,
            },
            State::Quoted { size } => match byte {
                b'"' => State::Extension { size },
                b'\\' => State::Escaped { size },
                _ => printable(byte, BodyError::ChunkExtension).map(|()| State::Quoted { size })?,
            },
            State::Escaped { size } => {
                printable(byte, BodyError::ChunkExtension).map(|()| State::Quoted { size })?
            }
            State::SizeLf { size } => {
                expect(byte, b'\n', BodyError::LineEnd)?;
                // Subtracted once the line is whole; `size` has already been held against it.
                self.content_left -= size;
                if size == 0 { State::TrailerStart } else { State::Data { left: size } }
            }
            State::DataCr => expect(byte, b'\r', BodyError::ChunkEnd).map(|()| State::DataLf)?,
            State::DataLf => {
                expect(byte, b'\n', BodyError::ChunkEnd).map(|()| State::Size { size: 0, digits: 0 })?
            }
            State::TrailerStart if byte == b'\r' => State::EndLf,
            State::TrailerStart if is_token_byte(byte) => State::TrailerName,
            State::TrailerName if byte == b':' => State::TrailerValue,
            State::TrailerName if is_token_byte(byte) => State::TrailerName,
            State::TrailerStart | State::TrailerName => return Err(BodyError::Trailer),
            State::TrailerValue if byte == b'\r' => State::TrailerLf,
            State::TrailerValue => printable(byte, BodyError::Trailer).map(|()| State::TrailerValue)?,
            State::TrailerLf => expect(byte, b'\n', BodyError::LineEnd).map(|()| State::TrailerStart)?,
            State::EndLf => expect(byte, b'\n', BodyError::LineEnd).map(|()| State::Done)?,
            State::Content { .. } | State::Data { .. } | State::Done => self.state,
        };
        Ok(())
    }

    /// One byte of a chunk size. A size that cannot fit is refused as soon as its digits say so.
    fn size(&self, size: usize, digits: u8, byte: u8) -> Result<State, BodyError> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            return match byte {
                _ if digits == 0 => Err(BodyError::ChunkSize),
                b'\r' => Ok(State::SizeLf { size }),
                b';' => Ok(State::Extension { size }),
                b' ' | b'\t' => Ok(State::SizeBlank { size }),
                _ => Err(BodyError::ChunkSize),
            };
        };
        if digits == CHUNK_SIZE_DIGITS_MAX {
            return Err(BodyError::ChunkSize);
        }
        let grown = size.checked_mul(16).and_then(|size| size.checked_add(digit as usize));
        match grown {
            Some(size) if size <= self.content_left => Ok(State::Size { size, digits: digits + 1 }),
            Some(_) | None => Err(BodyError::TooLarge { bytes_max: self.body_bytes_max }),
        }
    }
}

/// What chunk framing may take in all: its share of each byte of the body, and as much once more for the last
/// chunk, so that a limit of one byte can still be met.
const fn framing_bytes_max(body_bytes_max: usize) -> usize {
    body_bytes_max.saturating_add(1).saturating_mul(CHUNK_FRAMING_BYTES_PER_BODY_BYTE)
}

/// Moves up to `left` bytes from the front of `rest` to `body`, and says how many.
fn take_content(rest: &mut &[u8], left: usize, body: &mut Vec<u8>) -> usize {
    let (content, behind) = rest.split_at(left.min(rest.len()));
    body.extend_from_slice(content);
    *rest = behind;
    content.len()
}

fn expect(byte: u8, expected: u8, error: BodyError) -> Result<(), BodyError> {
    if byte == expected { Ok(()) } else { Err(error) }
}

/// Takes text with blanks, and refuses controls: among them the LF that would end a line in a laxer reader.
fn printable(byte: u8, error: BodyError) -> Result<(), BodyError> {
    if byte == b'\t' || !byte.is_ascii_control() { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds a body in pieces; what it held and how many bytes it took, once it is done.
    fn read_in<'a>(
        mut decoder: BodyDecoder,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<(Vec<u8>, usize)>, BodyError> {
        let (mut body, mut used) = (Vec::new(), 0);
        for piece in pieces {
            let progress = decoder.decode(piece, &mut body)?;
            used += progress.used;
            if progress.done {
                return Ok(Some((body, used)));
            }
            assert_eq!(progress.used, piece.len(), "a body that is not done takes all that there is");
        }
        Ok(None)
    }

    /// Reads a body in three ways: whole, byte by byte, and with a second request behind it.
    #[track_caller]
    fn check(framing: Framing, body_bytes_max: usize, input: &str, expected: &str) {
        let input = input.as_bytes();
        let decoder = BodyDecoder::new(framing, body_bytes_max).unwrap();
        let whole = Ok(Some((expected.as_bytes().to_vec(), input.len())));
        assert_eq!(read_in(decoder.clone(), std::iter::once(input)), whole);
        assert_eq!(read_in(decoder.clone(), input.chunks(1)), whole);
        let two = [input, b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(read_in(decoder.clone(), std::iter::once(&two[..])), whole);
        for end in 0..input.len() {
            assert_eq!(read_in(decoder.clone(), std::iter::once(&input[..end])), Ok(None), "{end}");
        }
    }

    #[track_caller]
    fn check_refused(body_bytes_max: usize, input: &str, error: BodyError) {
        let decoder = BodyDecoder::new(Framing::Chunked, body_bytes_max).unwrap();
        assert_eq!(read_in(decoder.clone(), std::iter::once(input.as_bytes())), Err(error), "{input:?}");
        assert_eq!(read_in(decoder, input.as_bytes().chunks(1)), Err(error), "{input:?}");
    }

    // RFC 9112, section 6.2.
    #[test]
    fn body_with_a_length_ends_after_it() {
        check(Framing::Length(5), 5, "hello", "hello");
        check(Framing::Length(1), 5, "h", "h");
    }

    #[test]
    fn body_that_is_not_there_is_done_at_once_and_takes_nothing() {
        for framing in [Framing::None, Framing::Length(0)] {
            let mut decoder = BodyDecoder::new(framing, 0).unwrap();
            assert!(decoder.is_done());
            let progress = decoder.decode(b"GET", &mut Vec::new());
            assert_eq!(progress, Ok(BodyProgress { used: 0, done: true }));
        }
    }

    #[test]
    fn length_over_the_limit_is_refused_before_any_byte() {
        let too_large = Err(BodyError::TooLarge { bytes_max: 5 });
        assert_eq!(BodyDecoder::new(Framing::Length(6), 5), too_large);
        assert_eq!(BodyDecoder::new(Framing::Length(u64::MAX), 5), too_large);
    }

    // RFC 9112, section 7.1.
    #[test]
    fn chunks_are_joined() {
        check(Framing::Chunked, 100, "0\r\n\r\n", "");
        check(Framing::Chunked, 100, "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world");
        check(Framing::Chunked, 100, "00A\r\n0123\r\n4567\r\n000\r\n\r\n", "0123\r\n4567");
        check(Framing::Chunked, 100, "a\r\n0123456789\r\n0\r\n\r\n", "0123456789");
    }

    // RFC 9112, sections 7.1.1 and 7.1.2.
    #[test]
    fn extensions_and_trailers_are_read_and_dropped() {
        check(Framing::Chunked, 100, "1;a;b=c ; d=\"\\\"; e\"\r\nx\r\n0;last\r\n\r\n", "x");
        check(Framing::Chunked, 100, "1 \t;a\r\nx\r\n0\r\n\r\n", "x");
        check(Framing::Chunked, 100, "1\r\nx\r\n0\r\nExpires: never, \u{e9}\r\nX:\r\n\r\n", "x");
    }

    #[test]
    fn smuggling_shapes_are_refused() {
        for (input, error) in [
            ("\r\n", BodyError::ChunkSize),
            ("g\r\n", BodyError::ChunkSize),
            ("-1\r\n", BodyError::ChunkSize),
            ("+1\r\n", BodyError::ChunkSize),
            (" 1\r\n", BodyError::ChunkSize),
            ("0x1\r\n", BodyError::ChunkSize),
            ("1_0\r\n", BodyError::ChunkSize),
            (";a\r\n", BodyError::ChunkSize),
            ("1 \r\nx", BodyError::ChunkSize),
            ("1 a\r\nx", BodyError::ChunkSize),
            ("1\nx\n0\n\n", BodyError::ChunkSize),
            ("00000000000000001\r\nx", BodyError::ChunkSize),
            ("1\rx", BodyError::LineEnd),
            ("1\r\r\nx", BodyError::LineEnd),
            ("1;a\nx", BodyError::ChunkExtension),
            ("1;a=\"\r\n\"\r\nx", BodyError::ChunkExtension),
            ("1;a=\"\\\r\n\"\r\nx", BodyError::ChunkExtension),
            ("1;a\0\r\nx", BodyError::ChunkExtension),
            ("1\r\nxy", BodyError::ChunkEnd),
            ("1\r\nx\n0", BodyError::ChunkEnd),
            ("1\r\nx\rx", BodyError::ChunkEnd),
            ("0\r\n\n", BodyError::Trailer),
            ("0\r\n a: b\r\n", BodyError::Trailer),
            ("0\r\n: b\r\n", BodyError::Trailer),
            ("0\r\na : b\r\n", BodyError::Trailer),
            ("0\r\na\r\n", BodyError::Trailer),
            ("0\r\na: b\nc", BodyError::Trailer),
            ("0\r\na: b\rc", BodyError::LineEnd),
            ("0\r\n\rx", BodyError::LineEnd),
        ] {
            check_refused(100, input, error);
        }
    }

    #[test]
    fn chunks_are_held_to_the_limit_together_and_refused_one_past_it() {
        check(Framing::Chunked, 5, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde");
        let too_large = BodyError::TooLarge { bytes_max: 5 };
        check_refused(5, "3\r\nabc\r\n3", too_large);
        check_refused(5, "6", too_large);
        check_refused(5, "fffffffffffffffff", too_large);
        check_refused(usize::MAX, "ffffffffffffffff1", BodyError::ChunkSize);
    }

    #[test]
    fn framing_is_held_to_its_limit_and_refused_one_past_it() {
        // A limit of 1 byte leaves 12 for framing: 5 for the chunk, 5 for the end, 2 to spare.
        check(Framing::Chunked, 1, "1\r\nx\r\n0;a\r\n\r\n", "x");
        check_refused(1, "1\r\nx\r\n0;ab\r\n\r\n", BodyError::TooMuchFraming { bytes_max: 12 });
        check(Framing::Chunked, 3, "1\r\nx\r\n1\r\ny\r\n1\r\nz\r\n0\r\n\r\n", "xyz");
        let endless = format!("0\r\n{}", "a: b\r\n".repeat(1000));
        check_refused(100, &endless, BodyError::TooMuchFraming { bytes_max: 606 });
    }

    #[test]
    fn errors_name_their_limit_and_status() {
        let too_large = BodyError::TooLarge { bytes_max: 5 };
        assert_eq!(too_large.to_string(), "the body is longer than 5 bytes");
        assert_eq!(too_large.status(), Status::ContentTooLarge);
        assert_eq!(BodyError::ChunkEnd.status(), Status::BadRequest);
    }

    /// A body as a client might chunk it, and what it holds.
    fn chunked() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let chunk = (proptest::collection::vec(any::<u8>(), 1..30), "(;[a-z]{1,3}(=\"[a-z\\\\]?\")?)?");
        proptest::collection::vec(chunk, 0..6).prop_map(|chunks| {
            let (mut wire, mut content) = (Vec::new(), Vec::new());
            for (data, extension) in chunks {
                let extension = extension.replace("\\\"", "\\\\\"");
                wire.extend_from_slice(format!("{:X}{extension}\r\n", data.len()).as_bytes());
                wire.extend_from_slice(&data);
                wire.extend_from_slice(b"\r\n");
                content.extend_from_slice(&data);
            }
            wire.extend_from_slice(b"0\r\nA: b\r\n\r\n");
            (wire, content)
        })
    }

    proptest! {
        #[test]
        fn any_split_equals_whole((wire, content) in chunked(), size in 1usize..20) {
            let decoder = BodyDecoder::new(Framing::Chunked, 1000).unwrap();
            let used = wire.len();
            prop_assert_eq!(read_in(decoder, wire.chunks(size)), Ok(Some((content, used))));
        }

        #[test]
        fn no_input_panics_and_any_split_of_it_equals_whole(
            input in "[0-9a-f;\"\\\\\r\n :x]{0,60}",
            size in 1usize..7,
        ) {
            let decoder = BodyDecoder::new(Framing::Chunked, 20).unwrap();
            let whole = read_in(decoder.clone(), std::iter::once(input.as_bytes()));
            prop_assert_eq!(read_in(decoder, input.as_bytes().chunks(size)), whole);
        }
    }
}
