//! The client's half of HTTP/1.1: requests to bytes, and the head of an answer to [`AnswerHead`] (RFC 9112, sections 3, 4
//! and 6.3).
//!
//! For the load tool and tests. Knows a head at a time; bodies are read by [`crate::wire::http::body`], and which request
//! an answer belongs to is its caller's business. As strict as the server's half: an answer that two readers could end
//! at different bytes is refused.

use std::fmt;
use std::mem::MaybeUninit;

use httparse::Header;

use crate::ids::{Seq, parse_decimal};
use crate::limits::HTTP_HEADERS_MAX;
use crate::wire::Parsed;
use crate::wire::decimal::encode_decimal;
use crate::wire::http::request::Framing;
use crate::wire::websocket::handshake;

/// Appends a request.
///
/// `fields` are written as given, behind `Host`. A body is framed by its length, and a request whose method means to
/// carry one says so where it does not (RFC 9110, section 8.6).
pub fn encode_request(
    out: &mut Vec<u8>,
    method: &str,
    target: &str,
    host: &str,
    fields: &[(&str, &str)],
    body: Option<&[u8]>,
) {
    encode_request_line(out, method, target, host);
    for (name, value) in fields {
        encode_field(out, name, value.as_bytes());
    }
    let body = body.or_else(|| matches!(method, "POST" | "PUT" | "PATCH").then_some(&[]));
    if let Some(body) = body {
        out.extend_from_slice(b"Content-Length: ");
        encode_decimal(out, body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.unwrap_or_default());
}

/// Appends a request to go on as a WebSocket (RFC 6455, section 4.1); `subprotocol` is what is offered, if anything.
pub fn encode_upgrade(
    out: &mut Vec<u8>,
    target: &str,
    host: &str,
    key: &[u8; 24],
    subprotocol: Option<&str>,
) {
    encode_request_line(out, "GET", target, host);
    encode_field(out, "Upgrade", b"websocket");
    encode_field(out, "Connection", b"Upgrade");
    encode_field(out, "Sec-WebSocket-Key", key);
    encode_field(out, "Sec-WebSocket-Version", handshake::VERSION.as_bytes());
    if let Some(name) = subprotocol {
        encode_field(out, "Sec-WebSocket-Protocol", name.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn encode_request_line(out: &mut Vec<u8>, method: &str, target: &str, host: &str) {
    for piece in [method, " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    encode_field(out, "Host", host.as_bytes());
}

fn encode_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a line end in {name}");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Where the body of an answer ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFraming {
    /// As a request's body may.
    Framed(Framing),
    /// With the connection.
    ToEnd,
}

/// The subprotocol that an answer 101 has chosen (RFC 6455, section 4.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subprotocol {
    /// None.
    #[default]
    Absent,
    /// One of the three of STOMP.
    Stomp,
    /// Something else, or more than one.
    Other,
}

/// What is asked of the status line and header fields of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// The status, 100 to 999. One below 200 other than 101 is no answer yet: another head follows it.
    pub status: u16,
    /// Where the body ends, unless the request was a HEAD, whose answer has none.
    pub framing: AnswerFraming,
    /// The connection goes on after this answer (RFC 9112, section 9.3).
    pub keep_alive: bool,
    /// `Location-Seq`, the cursor that the next long poll is to give.
    pub location_seq: Option<Seq>,
    /// `ETag`, if it is the number of an update between quotes.
    pub etag: Option<Seq>,
    /// `Content-Type` is `text/event-stream`, with parameters or without.
    pub event_stream: bool,
    /// `Connection: upgrade` and `Upgrade: websocket`.
    pub upgrade_websocket: bool,
    /// `Sec-WebSocket-Accept`, if it is as long as one has to be.
    pub accept: Option<[u8; 28]>,
    /// `Sec-WebSocket-Protocol`.
    pub subprotocol: Subprotocol,
    /// There is a `Sec-WebSocket-Extensions`.
    pub has_extensions: bool,
}

/// Why an answer cannot be read; every one is final: nothing behind it can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// The first line is not `version SP status SP reason` (RFC 9112, section 4).
    StatusLine,
    /// A field line breaks RFC 9112, section 5.
    FieldLine,
    /// A line does not end where it has to (RFC 9112, section 2.2).
    LineEnd,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version,
    /// More field lines than [`HTTP_HEADERS_MAX`].
    TooManyFields,
    /// Longer than a head may be.
    HeadTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// `Content-Length` is not one decimal integer (RFC 9112, section 6.3).
    LengthInvalid,
    /// More than one `Content-Length`, the same or not.
    LengthRepeated,
    /// `Transfer-Encoding` and `Content-Length` together (RFC 9112, section 6.3: "ought to be handled as an error").
    BothFramings,
    /// `Transfer-Encoding` in HTTP/1.0 (RFC 9112, section 6.1).
    CodingInHttp10,
    /// Transfer codings other than `chunked` alone: none was asked for.
    CodingUnknown,
    /// `Location-Seq` is not the number of an update.
    LocationSeq,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StatusLine => f.write_str("the first line is not version, status and reason"),
            Self::FieldLine => f.write_str("a header line is not a name, a colon and a value"),
            Self::LineEnd => f.write_str("a line does not end in CR LF or LF where it has to"),
            Self::Version => f.write_str("the version is not HTTP/1.0 or HTTP/1.1"),
            Self::TooManyFields => write!(f, "the head has more than {HTTP_HEADERS_MAX} header lines"),
            Self::HeadTooLong { bytes_max } => write!(f, "the head is longer than {bytes_max} bytes"),
            Self::LengthInvalid => f.write_str("content-length is not one decimal integer"),
            Self::LengthRepeated => f.write_str("content-length is given more than once"),
            Self::BothFramings => f.write_str("content-length and transfer-encoding are both given"),
            Self::CodingInHttp10 => f.write_str("transfer-encoding is given in HTTP/1.0"),
            Self::CodingUnknown => f.write_str("the transfer coding is not chunked alone"),
            Self::LocationSeq => f.write_str("location-seq is not a number below 2^53"),
        }
    }
}

impl std::error::Error for AnswerError {}

impl From<httparse::Error> for AnswerError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName | httparse::Error::HeaderValue => Self::FieldLine,
            httparse::Error::NewLine => Self::LineEnd,
            httparse::Error::Token | httparse::Error::Status => Self::StatusLine,
            httparse::Error::TooManyHeaders => Self::TooManyFields,
            httparse::Error::Version => Self::Version,
        }
    }
}

/// Decodes the head of one answer from the start of `input`.
///
/// # Errors
/// [`AnswerError`], always final. The limit holds for an unfinished head too.
pub fn decode_answer(input: &[u8], head_bytes_max: usize) -> Result<Parsed<AnswerHead>, AnswerError> {
    if matches!(input, [b'\r' | b'\n', ..]) {
        // Only before a request are empty lines passed over; here they are what an earlier body has too much.
        return Err(AnswerError::StatusLine);
    }
    // Never looked at past its last allowed byte, so what is said of a head does not depend on where it was cut.
    let window = &input[..input.len().min(head_bytes_max)];
    let mut space = [const { MaybeUninit::uninit() }; HTTP_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    match parser.parse_response_with_uninit_headers(&mut response, window, &mut space)? {
        httparse::Status::Partial if input.len() >= head_bytes_max => {
            Err(AnswerError::HeadTooLong { bytes_max: head_bytes_max })
        }
        httparse::Status::Partial => Ok(Parsed::Partial),
        httparse::Status::Complete(used) => {
            let status = response.code.filter(|code| *code >= 100).ok_or(AnswerError::StatusLine)?;
            let mut seen = Seen::default();
            for header in response.headers.iter() {
                seen.take(header)?;
            }
            let value = seen.head(status, response.version == Some(1))?;
            Ok(Parsed::Complete { value, used })
        }
    }
}

/// What one pass over the fields found.
#[derive(Default)]
struct Seen {
    length: Option<u64>,
    /// There was a `Transfer-Encoding`, and whether all that was said is `chunked`, once.
    codings: Option<bool>,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    websocket: bool,
    event_stream: bool,
    location_seq: Option<Seq>,
    etag: Option<Seq>,
    accept: Option<[u8; 28]>,
    subprotocol: Subprotocol,
    has_extensions: bool,
}

impl Seen {
    /// The length of a name tells nearly all that are of use apart, so most fields cost one comparison or none.
    fn take(&mut self, header: &Header<'_>) -> Result<(), AnswerError> {
        let (name, value) = (header.name, header.value);
        let is = |spelled: &str| name.eq_ignore_ascii_case(spelled);
        match name.len() {
            4 if is("etag") => self.etag = tag_seq(value),
            7 if is("upgrade") => self.websocket |= value.eq_ignore_ascii_case(b"websocket"),
            10 if is("connection") => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
                }
            }
            12 if is("content-type") => {
                let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                self.event_stream = essence.eq_ignore_ascii_case(b"text/event-stream");
            }
            12 if is("location-seq") => {
                let seq = parse_decimal(value).and_then(Seq::new);
                self.location_seq = Some(seq.ok_or(AnswerError::LocationSeq)?);
            }
            14 if is("content-length") => {
                let length = parse_decimal(value).ok_or(AnswerError::LengthInvalid)?;
                if self.length.replace(length).is_some() {
                    return Err(AnswerError::LengthRepeated);
                }
            }
            17 if is("transfer-encoding") => {
                self.codings = Some(self.codings.is_none() && value.eq_ignore_ascii_case(b"chunked"));
            }
            20 if is("sec-websocket-accept") => self.accept = value.try_into().ok(),
            22 if is("sec-websocket-protocol") => {
                self.subprotocol = match (self.subprotocol, value) {
                    (Subprotocol::Absent, b"v10.stomp" | b"v11.stomp" | b"v12.stomp") => Subprotocol::Stomp,
                    _ => Subprotocol::Other,
                };
            }
            24 if is("sec-websocket-extensions") => self.has_extensions = true,
            _ => {}
        }
        Ok(())
    }

    /// The steps of RFC 9112, section 6.3, as far as they concern answers; HEAD and CONNECT are not asked here.
    fn framing(&self, status: u16, http11: bool) -> Result<AnswerFraming, AnswerError> {
        if matches!(status, 100..=199 | 204 | 304) {
            return Ok(AnswerFraming::Framed(Framing::None));
        }
        match (self.codings, self.length) {
            (None, None) => Ok(AnswerFraming::ToEnd),
            (None, Some(length)) => Ok(AnswerFraming::Framed(Framing::Length(length))),
            (Some(_), Some(_)) => Err(AnswerError::BothFramings),
            (Some(_), None) if !http11 => Err(AnswerError::CodingInHttp10),
            (Some(true), None) => Ok(AnswerFraming::Framed(Framing::Chunked)),
            (Some(false), None) => Err(AnswerError::CodingUnknown),
        }
    }

    fn head(self, status: u16, http11: bool) -> Result<AnswerHead, AnswerError> {
        let framing = self.framing(status, http11)?;
        let asked = if http11 { !self.close } else { self.keep_alive && !self.close };
        Ok(AnswerHead {
            status,
            framing,
            keep_alive: asked && framing != AnswerFraming::ToEnd,
            location_seq: self.location_seq,
            etag: self.etag,
            event_stream: self.event_stream,
            upgrade_websocket: self.upgrade && self.websocket,
            accept: self.accept,
            subprotocol: self.subprotocol,
            has_extensions: self.has_extensions,
        })
    }
}

/// The number between the quotes of an entity tag, as the server spells an update's.
fn tag_seq(tag: &[u8]) -> Option<Seq> {
    let digits = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    parse_decimal(digits).and_then(Seq::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::http::request::{self, HeadLimits, RequestHead, Version};
    use crate::wire::http::response::{self, HttpDate, ResponseHead, Status};

    const HEAD_BYTES_MAX: usize = 512;

    const KEY: &[u8; 24] = b"dGhlIHNhbXBsZSBub25jZQ==";

    /// An answer of a status without a field that counts.
    fn bare(status: u16, framing: AnswerFraming, keep_alive: bool) -> AnswerHead {
        AnswerHead {
            status,
            framing,
            keep_alive,
            location_seq: None,
            etag: None,
            event_stream: false,
            upgrade_websocket: false,
            accept: None,
            subprotocol: Subprotocol::Absent,
            has_extensions: false,
        }
    }

    const fn length(length: u64) -> AnswerFraming {
        AnswerFraming::Framed(Framing::Length(length))
    }

    fn seq(number: u64) -> Option<Seq> {
        Some(Seq::new(number).expect("below 2^53"))
    }

    /// Reads a head whole, at every prefix, and before bytes that are not its own.
    #[track_caller]
    fn check(head: &str, expected: AnswerHead) {
        let complete = Ok(Parsed::Complete { value: expected, used: head.len() });
        assert_eq!(decode_answer(head.as_bytes(), HEAD_BYTES_MAX), complete, "{head:?}");
        for end in 0..head.len() {
            let prefix = &head.as_bytes()[..end];
            assert_eq!(decode_answer(prefix, HEAD_BYTES_MAX), Ok(Parsed::Partial), "{prefix:?}");
        }
        for behind in ["HTTP/1.1 200 OK\r\n", "{\"seq\":1}\r\n\r\n", "\0\r\n"] {
            let two = format!("{head}{behind}");
            assert_eq!(decode_answer(two.as_bytes(), HEAD_BYTES_MAX), complete, "{two:?}");
        }
    }

    #[track_caller]
    fn check_refused(head: &str, error: AnswerError) {
        assert_eq!(decode_answer(head.as_bytes(), HEAD_BYTES_MAX), Err(error), "{head:?}");
        assert!(!error.to_string().is_empty());
    }

    /// What the server's own half writes.
    fn written(status: Status, fields: impl FnOnce(ResponseHead<'_>)) -> String {
        let mut out = Vec::new();
        fields(response::begin(&mut out, status, &HttpDate::from_unix_seconds(1_767_225_600)));
        String::from_utf8(out).expect("heads are text")
    }

    #[test]
    fn answers_of_the_server_are_read() {
        let poll = written(Status::Ok, |head| {
            head.field("Cache-Control", b"no-cache").etag(seq(17).unwrap()).content("application/json", 42);
        });
        check(&poll, AnswerHead { etag: seq(17), ..bare(200, length(42), true) });
        let long = written(Status::Ok, |head| {
            head.field_number("Location-Seq", 18).content("application/json", 0);
        });
        check(&long, AnswerHead { location_seq: seq(18), ..bare(200, length(0), true) });
        let timed_out =
            written(Status::NoContent, |head| head.field_number("Location-Seq", Seq::END - 1).finish());
        let none = AnswerFraming::Framed(Framing::None);
        check(&timed_out, AnswerHead { location_seq: seq(Seq::END - 1), ..bare(204, none, true) });
        let refused = written(Status::ServiceUnavailable, |head| {
            head.connection(false, Version::Http11).content("application/problem+json", 7);
        });
        check(&refused, bare(503, length(7), false));
        let stream = written(Status::Ok, |head| {
            head.connection(false, Version::Http11).field("Content-Type", b"text/event-stream").finish();
        });
        check(&stream, AnswerHead { event_stream: true, ..bare(200, AnswerFraming::ToEnd, false) });
        let mut interim = Vec::new();
        response::encode_continue(&mut interim);
        check(str::from_utf8(&interim).unwrap(), bare(100, none, true));
    }

    #[test]
    fn switch_to_websocket_is_read_with_its_key_and_subprotocol() {
        let switching = |subprotocol| {
            let mut out = Vec::new();
            handshake::encode_switching(&mut out, KEY, subprotocol, &[("Vary", b"Origin")]);
            String::from_utf8(out).unwrap()
        };
        let plain = AnswerHead {
            upgrade_websocket: true,
            accept: Some(*b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ..bare(101, AnswerFraming::Framed(Framing::None), true)
        };
        check(&switching(None), plain);
        check(&switching(Some("v12.stomp")), AnswerHead { subprotocol: Subprotocol::Stomp, ..plain });
        check(&switching(Some("chat")), AnswerHead { subprotocol: Subprotocol::Other, ..plain });
        let twice = switching(Some("v12.stomp\r\nSec-WebSocket-Protocol: v12.stomp"));
        check(&twice, AnswerHead { subprotocol: Subprotocol::Other, ..plain });
        let extended = switching(Some("v12.stomp\r\nSec-WebSocket-Extensions: permessage-deflate"));
        let stomp = AnswerHead { subprotocol: Subprotocol::Stomp, has_extensions: true, ..plain };
        check(&extended, stomp);
    }

    #[test]
    fn names_and_tokens_are_read_in_any_case() {
        check(
            "HTTP/1.1 200\r\ncONTENT-lENGTH: 3 \r\nCONNECTION: x, Close\r\neTag: \"9\"\r\nlocation-SEQ:8\r\n\r\n",
            AnswerHead { etag: seq(9), location_seq: seq(8), ..bare(200, length(3), false) },
        );
        check(
            "HTTP/1.1 200 OK\nTransfer-Encoding: CHUNKED\nContent-Type: Text/Event-Stream ;charset=utf-8\n\n",
            AnswerHead { event_stream: true, ..bare(200, AnswerFraming::Framed(Framing::Chunked), true) },
        );
    }

    #[test]
    fn http10_closes_unless_it_says_otherwise() {
        check("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", bare(200, length(1), false));
        let stays = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n";
        check(stays, bare(200, length(1), true));
        check("HTTP/1.0 200 OK\r\n\r\n", bare(200, AnswerFraming::ToEnd, false));
    }

    #[test]
    fn body_that_nothing_ends_lasts_to_the_end_of_the_connection() {
        check("HTTP/1.1 200 OK\r\n\r\n", bare(200, AnswerFraming::ToEnd, false));
        for status in [101, 199, 204, 304] {
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n");
            check(&head, bare(status, AnswerFraming::Framed(Framing::None), true));
        }
    }

    #[test]
    fn tag_that_is_no_number_is_none_of_ours() {
        for tag in ["W/\"3\"", "\"\"", "3", "\"3", "\"x\"", "\"9007199254740992\""] {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: {tag}\r\n\r\n");
            check(&head, bare(200, length(0), true));
        }
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        let with = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        for bad in ["+1", "1,1", "", "0x1", "18446744073709551616", "-1"] {
            check_refused(&with(&format!("Content-Length: {bad}\r\n")), AnswerError::LengthInvalid);
        }
        let twice = with("Content-Length: 1\r\nContent-Length: 1\r\n");
        check_refused(&twice, AnswerError::LengthRepeated);
        let both = with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n");
        check_refused(&both, AnswerError::BothFramings);
        for codings in ["gzip", "gzip, chunked", "chunked, gzip", "", "chunked\r\nTransfer-Encoding: chunked"]
        {
            check_refused(&with(&format!("Transfer-Encoding: {codings}\r\n")), AnswerError::CodingUnknown);
        }
        let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check_refused(old, AnswerError::CodingInHttp10);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        check_refused("\r\nHTTP/1.1 200 OK\r\n\r\n", AnswerError::StatusLine);
        check_refused("GET / HTTP/1.1\r\n\r\n", AnswerError::Version);
        check_refused("HTTP/2.0 200 OK\r\n\r\n", AnswerError::Version);
        check_refused("HTTP/1.1 099 x\r\n\r\n", AnswerError::StatusLine);
        check_refused("HTTP/1.1 2x0 OK\r\n\r\n", AnswerError::StatusLine);
        check_refused("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", AnswerError::FieldLine);
        check_refused("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", AnswerError::FieldLine);
        check_refused("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", AnswerError::FieldLine);
        for bad in ["", "x", "-1", "9007199254740992"] {
            let head = format!("HTTP/1.1 204 No Content\r\nLocation-Seq: {bad}\r\n\r\n");
            check_refused(&head, AnswerError::LocationSeq);
        }
    }

    #[test]
    fn head_at_the_limits_is_read_and_one_past_them_refused() {
        let start = "HTTP/1.1 204 x\r\nA: ";
        let head = |bytes: usize| format!("{start}{}\r\n\r\n", "b".repeat(bytes - start.len() - 4));
        check(&head(HEAD_BYTES_MAX), bare(204, AnswerFraming::Framed(Framing::None), true));
        let too_long = AnswerError::HeadTooLong { bytes_max: HEAD_BYTES_MAX };
        check_refused(&head(HEAD_BYTES_MAX + 1), too_long);
        check_refused(&head(HEAD_BYTES_MAX + 1)[..HEAD_BYTES_MAX], too_long);
        let fields = |count| format!("HTTP/1.1 204 x\r\n{}\r\n", "A:b\r\n".repeat(count));
        check(&fields(HTTP_HEADERS_MAX), bare(204, AnswerFraming::Framed(Framing::None), true));
        check_refused(&fields(HTTP_HEADERS_MAX + 1), AnswerError::TooManyFields);
    }

    const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 8192, target_bytes_max: 4096 };

    /// Encodes behind what is there already, and reads the head as the server does.
    #[track_caller]
    fn check_request(encode: impl FnOnce(&mut Vec<u8>), expected: &str, claim: impl FnOnce(RequestHead<'_>)) {
        let mut out = b"before".to_vec();
        encode(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("before{expected}"));
        match request::decode(&out[6..], 0, &LIMITS) {
            Ok(Parsed::Complete { value, .. }) => claim(value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_are_written_as_the_server_reads_them() {
        check_request(
            |out| encode_request(out, "GET", "/location/cur/3", "a:1", &[("Accept", "*/*")], None),
            "GET /location/cur/3 HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\n\r\n",
            |head| assert_eq!((head.framing, head.keep_alive), (Framing::None, true)),
        );
        check_request(
            |out| encode_request(out, "POST", "/location/share/3", "a:1", &[], Some(b"{}")),
            "POST /location/share/3 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 2\r\n\r\n{}",
            |head| assert_eq!(head.framing, Framing::Length(2)),
        );
        check_request(
            |out| encode_request(out, "POST", "/location/long/3/notify", "a:1", &[], None),
            "POST /location/long/3/notify HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n",
            |head| assert_eq!(head.framing, Framing::Length(0)),
        );
    }

    #[test]
    fn upgrades_are_written_as_the_server_reads_them() {
        check_request(
            |out| encode_upgrade(out, "/ws/3", "a:1", KEY, None),
            "GET /ws/3 HTTP/1.1\r\nHost: a:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            |head| assert!(head.upgrade_websocket),
        );
        let mut out = Vec::new();
        encode_upgrade(&mut out, "/location", "a:1", KEY, Some("v12.stomp"));
        assert!(out.ends_with(b"13\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>, fields in "[A-Za-z:, \\r\\n0-9\"-]{0,80}") {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            for input in [&bytes[..], head.as_bytes()] {
                if let Ok(Parsed::Complete { used, .. }) = decode_answer(input, 64) {
                    prop_assert!(used > 0 && used <= input.len().min(64));
                }
            }
        }
    }
}
