//! Request heads: request line and header fields to [`RequestHead`] (RFC 9112, sections 2, 3, 6 and 9.3).
//!
//! Knows no address ([`crate::route`] does) and no body bytes ([`crate::wire::http::body`] does), but decides
//! how a body is framed, strictly: whatever two readers could read differently is refused, for that is what
//! request smuggling is made of (RFC 9112, section 11.2).
//!
//! Nothing is copied or allocated: a head borrows the bytes that it was read from, and what the hot path asks
//! of its fields is found in the one pass that checks them.

use std::fmt;
use std::mem::MaybeUninit;

use httparse::Header;

use crate::limits::HTTP_HEADERS_MAX;
use crate::report::Reason;
use crate::route::Method;
use crate::wire::Parsed;
use crate::wire::http::fields::{Given, Seen, list_has};
use crate::wire::http::response::Status;
use crate::wire::http::target;

/// What a head may measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Request line and fields, with the empty line that ends them and any that precede.
    pub head_bytes_max: usize,
    /// The request target.
    pub target_bytes_max: usize,
}

/// The version that an answer has to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Closes unless asked to stay, knows no chunks and no upgrade.
    Http10,
    /// HTTP/1.1, and what calls itself a later 1.x: it is answered with the highest that we speak
    /// (RFC 9110, section 2.5).
    Http11,
}

/// Where the body ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After this many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
}

/// One request line and its header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: Method,
    /// The target as it came.
    pub target: &'a [u8],
    /// The version.
    pub version: Version,
    /// Where the body ends.
    pub framing: Framing,
    /// The connection is to go on after this request (RFC 9112, section 9.3).
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends its body, and there is a body to send.
    pub expect_continue: bool,
    /// `Connection: upgrade` and `Upgrade: websocket`; never in HTTP/1.0 (RFC 9110, section 7.8).
    pub upgrade_websocket: bool,
    /// There is an `Origin`.
    pub has_origin: bool,
    /// There is an `If-None-Match`.
    pub has_if_none_match: bool,
    /// There is a `Last-Event-ID`.
    pub has_last_event_id: bool,
    /// There is a `Sec-Fetch-Site`.
    pub has_sec_fetch_site: bool,
    /// `Sec-WebSocket-Version`.
    pub websocket_version: Given<'a>,
    /// `Sec-WebSocket-Key`.
    pub websocket_key: Given<'a>,
    /// There is a `Sec-WebSocket-Protocol` or a `Sec-WebSocket-Extensions`.
    pub has_websocket_offers: bool,
    host: Option<&'a [u8]>,
    /// The field lines with the empty line behind them, already validated.
    fields: &'a [u8],
}

impl<'a> RequestHead<'a> {
    /// The first value of a field, without the blanks around it; the name's case does not count.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.field_values(name).next()
    }

    /// All values of a field, one a line, without the blanks around them, searched for as they are asked for.
    pub fn field_values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.fields.split(|byte| *byte == b'\n');
        // The empty line is the only one without a colon.
        let fields = lines.map_while(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], &line[colon + 1..]))
        });
        fields
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.trim_ascii())
    }

    /// Whether a comma list such as `Connection` names a token, in any case, on any of its lines.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.field_values(name).any(|value| list_has(value, token))
    }

    /// The authority that the request is for: the target's if it is in absolute-form, else the `Host` field's
    /// (RFC 9112, section 3.2.2).
    #[must_use]
    pub fn host(&self) -> Option<&'a [u8]> {
        target::authority_of(self.target).or(self.host)
    }
}

/// Why a head is refused; every one is final: answer and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The request line is not `method SP target SP version` (RFC 9112, section 3).
    RequestLine,
    /// The target has none of the forms that the method may have (RFC 9112, section 3.2).
    Target,
    /// A field line breaks RFC 9112, section 5: bad name, blank before the colon, NUL, bare CR, folded line.
    FieldLine,
    /// A line does not end where it has to: a CR without LF, or something behind the version (RFC 9112,
    /// sections 2.2 and 3).
    LineEnd,
    /// Not HTTP/1.x (RFC 9110, section 2.5).
    Version,
    /// More field lines than [`HTTP_HEADERS_MAX`].
    TooManyFields,
    /// Longer than `--max-head-bytes`.
    HeadTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// The target is longer than `--max-target-bytes`.
    TargetTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// HTTP/1.1 without `Host` (RFC 9112, section 3.2).
    HostMissing,
    /// More than one `Host` (RFC 9112, section 3.2).
    HostRepeated,
    /// `Host` is no authority (RFC 9112, section 3.2).
    HostInvalid,
    /// `Content-Length` is not one decimal integer (RFC 9112, section 6.3).
    LengthInvalid,
    /// More than one `Content-Length`, the same or not (RFC 9110, section 8.6 lets us refuse both).
    LengthRepeated,
    /// `Transfer-Encoding` and `Content-Length` together (RFC 9112, section 6.3).
    BothFramings,
    /// `Transfer-Encoding` in HTTP/1.0 (RFC 9112, section 6.1).
    CodingInHttp10,
    /// The last transfer coding is not `chunked`, or it is applied twice (RFC 9112, sections 6.1 and 6.3).
    ChunkedMisplaced,
    /// A transfer coding below `chunked` that we do not know (RFC 9112, section 6.1).
    CodingUnknown,
    /// `Expect` asks for something other than `100-continue` (RFC 9110, section 10.1.1).
    Expectation,
}

impl HeadError {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::RequestLine
            | Self::Target
            | Self::FieldLine
            | Self::LineEnd
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::LengthInvalid
            | Self::LengthRepeated
            | Self::BothFramings
            | Self::CodingInHttp10
            | Self::ChunkedMisplaced => Status::BadRequest,
            Self::Version => Status::HttpVersionNotSupported,
            Self::TooManyFields | Self::HeadTooLong { .. } => Status::RequestHeaderFieldsTooLarge,
            Self::TargetTooLong { .. } => Status::UriTooLong,
            Self::CodingUnknown => Status::NotImplemented,
            Self::Expectation => Status::ExpectationFailed,
        }
    }

    /// What the refusal is counted as: the limits by themselves, all broken rules together.
    #[must_use]
    pub fn reason(self) -> Reason {
        if self.status() == Status::RequestHeaderFieldsTooLarge {
            Reason::HeadMax
        } else if self.status() == Status::UriTooLong {
            Reason::TargetMax
        } else {
            Reason::BadRequest
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestLine => f.write_str("the request line is not method, target and version"),
            Self::Target => f.write_str("the target is neither a path nor an http uri"),
            Self::FieldLine => f.write_str("a header line is not a name, a colon and a value"),
            Self::LineEnd => f.write_str("a line does not end in CR LF or LF where it has to"),
            Self::Version => f.write_str("the version is not HTTP/1.0 or HTTP/1.1"),
            Self::TooManyFields => write!(f, "the head has more than {HTTP_HEADERS_MAX} header lines"),
            Self::HeadTooLong { bytes_max } => write!(f, "the head is longer than {bytes_max} bytes"),
            Self::TargetTooLong { bytes_max } => write!(f, "the target is longer than {bytes_max} bytes"),
            Self::HostMissing => f.write_str("host is missing"),
            Self::HostRepeated => f.write_str("host is given more than once"),
            Self::HostInvalid => f.write_str("host is not a name and a port"),
            Self::LengthInvalid => f.write_str("content-length is not one decimal integer"),
            Self::LengthRepeated => f.write_str("content-length is given more than once"),
            Self::BothFramings => f.write_str("content-length and transfer-encoding are both given"),
            Self::CodingInHttp10 => f.write_str("transfer-encoding is given in HTTP/1.0"),
            Self::ChunkedMisplaced => f.write_str("chunked is not the last transfer coding, once"),
            Self::CodingUnknown => f.write_str("a transfer coding other than chunked is given"),
            Self::Expectation => f.write_str("the expectation is not 100-continue"),
        }
    }
}

impl std::error::Error for HeadError {}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName | httparse::Error::HeaderValue => Self::FieldLine,
            httparse::Error::NewLine => Self::LineEnd,
            httparse::Error::Token | httparse::Error::Status => Self::RequestLine,
            httparse::Error::TooManyHeaders => Self::TooManyFields,
            httparse::Error::Version => Self::Version,
        }
    }
}

/// Decodes one request head from the start of `input`.
///
/// `scanned` says how many bytes at its start an earlier call has already answered `Partial` for (0 at
/// first). Only what came behind them is then searched for the end of the head, and the whole is parsed once
/// more when it is there, so a peer that dribbles single bytes costs linear work. A first call parses at
/// once: most heads come whole, and nonsense is refused without waiting for its end.
///
/// Empty lines before the request line are skipped and lines may end in a bare LF (RFC 9112, section 2.2). A
/// target may hold raw UTF-8, as some clients send it in queries.
///
/// # Errors
/// [`HeadError`], always final. The limits hold for an unfinished head too.
pub fn decode<'a>(
    input: &'a [u8],
    scanned: usize,
    limits: &HeadLimits,
) -> Result<Parsed<RequestHead<'a>>, HeadError> {
    if scanned > 0 && !has_new_empty_line(input, scanned) {
        return partial(input, scanned, limits);
    }
    let mut space = [const { MaybeUninit::uninit() }; HTTP_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(input, &mut space);
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    match parsed {
        Ok(httparse::Status::Partial) => partial(input, scanned, limits),
        Ok(httparse::Status::Complete(used)) => {
            let version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
            let line = RequestLine { method, target, version };
            complete(input, used, limits, &line, request.headers)
        }
        // httparse gives up on a version only behind a good method and target.
        Err(httparse::Error::Version) => decode_other_version(input, scanned, limits, method, target),
        Err(error) => Err(error.into()),
    }
}

struct RequestLine<'a> {
    method: &'a str,
    target: &'a str,
    version: Version,
}

/// Decodes a head whose version is neither 1.0 nor 1.1: rare, so it may fill an array of empty headers.
fn decode_other_version<'a>(
    input: &'a [u8],
    scanned: usize,
    limits: &HeadLimits,
    method: &'a str,
    target: &'a str,
) -> Result<Parsed<RequestHead<'a>>, HeadError> {
    let line_start = leading_empty_bytes(input);
    let version_start = line_start + method.len() + 1 + target.len() + 1;
    let after_version = match input.get(version_start..).unwrap_or_default() {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9', rest @ ..] => rest,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', ..] => return Err(HeadError::Version),
        short if short.len() < 8 && b"HTTP/".starts_with(&short[..short.len().min(5)]) => {
            return partial(input, scanned, limits);
        }
        _ => return Err(HeadError::RequestLine),
    };
    let fields = match after_version {
        [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => rest,
        [] | [b'\r'] => return partial(input, scanned, limits),
        _ => return Err(HeadError::LineEnd),
    };
    let mut space = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
    match httparse::parse_headers(fields, &mut space)? {
        httparse::Status::Partial => partial(input, scanned, limits),
        httparse::Status::Complete((used, headers)) => {
            let used = input.len() - fields.len() + used;
            complete(input, used, limits, &RequestLine { method, target, version: Version::Http11 }, headers)
        }
    }
}

fn complete<'a>(
    input: &'a [u8],
    used: usize,
    limits: &HeadLimits,
    line: &RequestLine<'a>,
    headers: &[Header<'a>],
) -> Result<Parsed<RequestHead<'a>>, HeadError> {
    if line.target.len() > limits.target_bytes_max {
        return Err(HeadError::TargetTooLong { bytes_max: limits.target_bytes_max });
    }
    if used > limits.head_bytes_max {
        return Err(HeadError::HeadTooLong { bytes_max: limits.head_bytes_max });
    }
    if !target::is_target_of(line.method, line.target.as_bytes()) {
        return Err(HeadError::Target);
    }
    let mut seen = Seen::default();
    for header in headers {
        seen.take(header)?;
    }
    // The line is `method SP target SP HTTP/x.y`, so its LF is one or two bytes behind that.
    let version_end =
        leading_empty_bytes(input) + line.method.len() + 1 + line.target.len() + " HTTP/1.1".len();
    let fields_start = version_end + if input[version_end] == b'\r' { 2 } else { 1 };
    let value = head_of(line, &seen, &input[fields_start..used])?;
    Ok(Parsed::Complete { value, used })
}

/// Says `Partial` of a head that may still become one within the limits.
fn partial<'a>(
    input: &[u8],
    scanned: usize,
    limits: &HeadLimits,
) -> Result<Parsed<RequestHead<'a>>, HeadError> {
    if unfinished_target_is_too_long(input, scanned, limits.target_bytes_max) {
        return Err(HeadError::TargetTooLong { bytes_max: limits.target_bytes_max });
    }
    // At the limit already: whatever ends it would be one byte too many.
    if input.len() >= limits.head_bytes_max {
        return Err(HeadError::HeadTooLong { bytes_max: limits.head_bytes_max });
    }
    Ok(Parsed::Partial)
}

/// An unfinished request line is searched this far for the end of its method; the longest registered method has
/// 17 letters. Behind more than that, or more empty lines, a long target is refused as a long head instead.
const METHOD_SEARCH_BYTES_MAX: usize = 64;

fn unfinished_target_is_too_long(input: &[u8], scanned: usize, bytes_max: usize) -> bool {
    let start = &input[..input.len().min(METHOD_SEARCH_BYTES_MAX)];
    let Some(method_end) = start.iter().position(|byte| *byte == b' ') else { return false };
    let target_start = method_end + 1;
    let too_long = target_start.saturating_add(bytes_max).saturating_add(1);
    // An earlier call that saw as much has decided it; deciding again with every byte would be quadratic.
    scanned < too_long
        && input.get(target_start..too_long).is_some_and(|target| !target.iter().any(|byte| *byte <= b' '))
}

fn leading_empty_bytes(input: &[u8]) -> usize {
    input.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(input.len())
}

/// Whether input that is no request head all the same begins as one that wants no content back.
#[must_use]
pub fn begins_with_head_method(input: &[u8]) -> bool {
    input[leading_empty_bytes(input)..].starts_with(b"HEAD ")
}

/// Whether an empty line that follows one with text ends behind the first `scanned` bytes.
///
/// The two end in `LF LF` or `LF CR LF`, so the search starts two bytes early. Empty lines before the request line end
/// nothing: were they taken for an end, each of them would have the whole parsed again.
fn has_new_empty_line(input: &[u8], scanned: usize) -> bool {
    let mut from = scanned.saturating_sub(2);
    while let Some(line_bytes) = input.get(from..).and_then(|new| new.iter().position(|byte| *byte == b'\n'))
    {
        let (before, after) = input.split_at(from + line_bytes);
        let line = before.strip_suffix(b"\r").unwrap_or(before);
        let has_text = !matches!(line.last(), None | Some(b'\n'));
        if has_text && matches!(after, [_, b'\n', ..] | [_, b'\r', b'\n', ..]) {
            return true;
        }
        from += line_bytes + 1;
    }
    false
}

/// Makes the head of what its one pass over the fields found.
fn head_of<'a>(
    line: &RequestLine<'a>,
    seen: &Seen<'a>,
    fields: &'a [u8],
) -> Result<RequestHead<'a>, HeadError> {
    let version = line.version;
    if version == Version::Http11 && seen.host.is_none() {
        return Err(HeadError::HostMissing);
    }
    let framing = seen.framing(version)?;
    if seen.expect_other {
        return Err(HeadError::Expectation);
    }
    let has_body = !matches!(framing, Framing::None | Framing::Length(0));
    let (keep_alive, http11) = match version {
        Version::Http10 => (seen.keep_alive && !seen.close, false),
        Version::Http11 => (!seen.close, true),
    };
    Ok(RequestHead {
        method: Method::parse(line.method.as_bytes()),
        target: line.target.as_bytes(),
        version,
        framing,
        keep_alive,
        // A 1.0 client cannot be waiting for an interim answer (RFC 9110, section 10.1.1).
        expect_continue: seen.expect_continue && has_body && http11,
        upgrade_websocket: seen.upgrade && seen.websocket && http11,
        has_origin: seen.origin,
        has_if_none_match: seen.if_none_match,
        has_last_event_id: seen.last_event_id,
        has_sec_fetch_site: seen.sec_fetch_site,
        websocket_version: seen.websocket_version,
        websocket_key: seen.websocket_key,
        has_websocket_offers: seen.websocket_offers,
        host: seen.host,
        fields,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 8192, target_bytes_max: 4096 };

    #[track_caller]
    fn decode_whole(input: &[u8]) -> RequestHead<'_> {
        match decode(input, 0, &LIMITS) {
            Ok(Parsed::Complete { value, used }) => {
                assert_eq!(used, input.len());
                value
            }
            other => panic!("{other:?} of {}", input.escape_ascii()),
        }
    }

    /// Reads a head in three ways: whole, byte by byte, and with a second request behind it.
    #[track_caller]
    fn check(input: &str, examine: impl Fn(&RequestHead<'_>)) {
        let input = input.as_bytes();
        let whole = decode_whole(input);
        examine(&whole);
        for end in 0..input.len() {
            let prefix = &input[..end];
            assert_eq!(decode(prefix, 0, &LIMITS), Ok(Parsed::Partial), "{}", prefix.escape_ascii());
            assert_eq!(decode(prefix, end.saturating_sub(1), &LIMITS), Ok(Parsed::Partial));
        }
        let complete = Ok(Parsed::Complete { value: whole, used: input.len() });
        assert_eq!(decode(input, input.len() - 1, &LIMITS), complete);
        let two = [input, b"\r\n\0 anything"].concat();
        assert_eq!(decode(&two, 0, &LIMITS), complete);
        assert_eq!(decode(&two, input.len() - 1, &LIMITS), complete);
    }

    /// Refused whole, and refused at the latest with its last byte when it comes byte by byte.
    #[track_caller]
    fn check_refused(input: &str, error: HeadError) {
        let input = input.as_bytes();
        let shown = input.escape_ascii();
        assert_eq!(decode(input, 0, &LIMITS), Err(error), "{shown}");
        let mut bytewise = (1..=input.len()).map(|end| decode(&input[..end], end - 1, &LIMITS));
        assert_eq!(bytewise.find(|read| *read != Ok(Parsed::Partial)), Some(Err(error)), "{shown}");
    }

    /// A head with these field lines, each with its line end, behind a good request line and `Host`.
    fn with_fields(fields: &str) -> String {
        format!("POST /cur/1 HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    }

    #[test]
    fn smallest_head_is_read() {
        check("GET /cur/1 HTTP/1.1\r\nHost: a\r\n\r\n", |head| {
            assert_eq!(
                (head.method, head.target, head.version),
                (Method::Get, &b"/cur/1"[..], Version::Http11)
            );
            assert_eq!((head.framing, head.keep_alive, head.expect_continue), (Framing::None, true, false));
            assert!(!head.has_origin && !head.has_if_none_match && !head.upgrade_websocket);
            assert_eq!(head.host(), Some(&b"a"[..]));
        });
    }

    // RFC 9112, section 2.2.
    #[test]
    fn lines_may_end_in_lf_alone_and_follow_empty_lines() {
        check("GET / HTTP/1.1\nHost: a\nOrigin: b\n\n", |head| {
            assert_eq!(head.field("origin"), Some(&b"b"[..]));
        });
        check("\r\n\n\r\nGET / HTTP/1.1\r\nHost: a\n\r\n", |head| assert_eq!(head.target, b"/"));
    }

    #[test]
    fn fields_are_found_by_name_in_any_case_without_the_blanks_around() {
        check(
            "GET / HTTP/1.1\r\nhOST:a\r\nX-A: \t one: two \t\r\nX-Ab: no\r\nx-a:\r\nX-A: three\r\n\r\n",
            |head| {
                assert_eq!(head.field("x-a"), Some(&b"one: two"[..]));
                let all: Vec<_> = head.field_values("X-A").collect();
                assert_eq!(all, [&b"one: two"[..], b"", b"three"]);
                assert_eq!(head.field("x"), None);
            },
        );
    }

    // RFC 9110, section 5.6.1.
    #[test]
    fn tokens_are_found_on_any_line_of_a_list() {
        check("GET / HTTP/1.1\r\nHost: a\r\nTE: x, ,Y\r\nTE:\tz\r\n\r\n", |head| {
            assert!(["x", "y", "Z"].iter().all(|token| head.has_token("te", token)));
            assert!(!head.has_token("te", "x,") && !head.has_token("host", "b"));
        });
    }

    // RFC 9112, section 9.3.
    #[test]
    fn connection_goes_on_by_version_and_by_what_the_client_says() {
        for (version, connection, keep_alive) in [
            ("1.1", "", true),
            ("1.1", "Connection: x, Close\r\n", false),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            check(&format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n"), |head| {
                assert_eq!(head.keep_alive, keep_alive, "{version} {connection}");
            });
        }
    }

    #[test]
    fn upgrade_takes_both_fields_and_http_1_1() {
        let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: h2c, WebSocket\r\nOrigin: b\r\n\r\n";
        check(&format!("GET /ws HTTP/1.1\r\nHost: a\r\n{upgrade}"), |head| {
            assert!(head.upgrade_websocket && head.has_origin);
        });
        check(&format!("GET /ws HTTP/1.0\r\nHost: a\r\n{upgrade}"), |head| assert!(!head.upgrade_websocket));
        check("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", |head| {
            assert!(!head.upgrade_websocket);
        });
    }

    #[test]
    fn presence_of_the_fields_that_decide_is_told() {
        check(&with_fields("If-None-Match: *\r\nLast-Event-ID: 5\r\nSec-Fetch-Site: none\r\n"), |head| {
            assert!(head.has_if_none_match && head.has_last_event_id && head.has_sec_fetch_site);
        });
    }

    // RFC 9110, section 2.5.
    #[test]
    fn later_minor_version_is_read_as_1_1_and_another_major_refused() {
        check("GET / HTTP/1.2\r\nHost: a\r\nConnection: close\r\n\r\n", |head| {
            assert_eq!((head.version, head.keep_alive), (Version::Http11, false));
        });
        check("\nGET / HTTP/1.9\nHost: a\n\n", |head| assert_eq!(head.host(), Some(&b"a"[..])));
        check_refused("GET / HTTP/1.2\r\nHost : a\r\n\r\n", HeadError::FieldLine);
        check_refused("PRI * HTTP/2.0\r\n\r\n", HeadError::Version);
        check_refused("GET / HTTP/0.9\r\n\r\n", HeadError::Version);
        check_refused("GET / HTTP/1.10\r\n\r\n", HeadError::LineEnd);
        check_refused("GET / HTTX/1.1\r\n\r\n", HeadError::RequestLine);
    }

    // RFC 9112, section 3.2.
    #[test]
    fn host_is_given_once() {
        check("GET / HTTP/1.0\r\n\r\n", |head| assert_eq!(head.host(), None));
        check("GET / HTTP/1.1\r\nHost:\r\n\r\n", |head| assert_eq!(head.host(), Some(&b""[..])));
        check("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", |head| {
            assert_eq!(head.host(), Some(&b"[::1]:80"[..]))
        });
        check("GET http://b:1/x?y HTTP/1.1\r\nHost: a\r\n\r\n", |head| {
            assert_eq!(head.host(), Some(&b"b:1"[..]))
        });
        check("GET /x?u=http://b HTTP/1.1\r\nHost: a\r\n\r\n", |head| {
            assert_eq!(head.host(), Some(&b"a"[..]))
        });
        check_refused("GET / HTTP/1.1\r\n\r\n", HeadError::HostMissing);
        check_refused("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", HeadError::HostRepeated);
        check_refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", HeadError::HostRepeated);
        for bad in ["a b", "a/b", "u@a", "a\\b", "\"a\"", "a?b", "\u{e9}", "a:b", ":80", "[::1"] {
            check_refused(&format!("GET / HTTP/1.1\r\nHost: {bad}\r\n\r\n"), HeadError::HostInvalid);
        }
    }

    // RFC 9112, section 6.3.
    #[test]
    fn framing_follows_from_length_or_chunked() {
        let framed =
            |fields: &str, framing| check(&with_fields(fields), |head| assert_eq!(head.framing, framing));
        framed("Content-Length: 0\r\n", Framing::Length(0));
        framed("content-length:18446744073709551615\r\n", Framing::Length(u64::MAX));
        framed("Transfer-Encoding: Chunked\r\n", Framing::Chunked);
    }

    // RFC 9112, sections 5, 6 and 11.2.
    #[test]
    fn smuggling_shapes_are_refused() {
        for (fields, error) in [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", HeadError::BothFramings),
            ("Transfer-Encoding: xchunked\r\nContent-Length: 1\r\n", HeadError::BothFramings),
            ("Transfer-Encoding:\r\nContent-Length: 1\r\n", HeadError::BothFramings),
            ("Content-Length: 1\r\nContent-Length: 2\r\n", HeadError::LengthRepeated),
            ("Content-Length: 1\r\ncontent-length: 1\r\n", HeadError::LengthRepeated),
            ("Content-Length: 1, 1\r\n", HeadError::LengthInvalid),
            ("Content-Length: +1\r\n", HeadError::LengthInvalid),
            ("Content-Length: -1\r\n", HeadError::LengthInvalid),
            ("Content-Length: 0x1\r\n", HeadError::LengthInvalid),
            ("Content-Length: 1 1\r\n", HeadError::LengthInvalid),
            ("Content-Length:\r\n", HeadError::LengthInvalid),
            ("Content-Length: 18446744073709551616\r\n", HeadError::LengthInvalid),
            ("Transfer-Encoding: chunked, chunked\r\n", HeadError::ChunkedMisplaced),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HeadError::ChunkedMisplaced),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", HeadError::ChunkedMisplaced),
            ("Transfer-Encoding: chunked, gzip\r\n", HeadError::ChunkedMisplaced),
            ("Transfer-Encoding: identity\r\n", HeadError::ChunkedMisplaced),
            ("Transfer-Encoding: xchunked\r\n", HeadError::ChunkedMisplaced),
            ("Transfer-Encoding: \"chunked\"\r\n", HeadError::ChunkedMisplaced),
            ("Transfer-Encoding: chunked;q=1\r\n", HeadError::ChunkedMisplaced),
            ("Transfer-Encoding: ,chunked\r\n", HeadError::ChunkedMisplaced),
            ("Transfer-Encoding: chunked,\r\n", HeadError::ChunkedMisplaced),
            ("Transfer-Encoding: gzip, chunked\r\n", HeadError::CodingUnknown),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", HeadError::CodingUnknown),
            ("Transfer-Encoding : chunked\r\n", HeadError::FieldLine),
            ("Transfer-Encoding\t: chunked\r\n", HeadError::FieldLine),
            ("Transfer-Encoding: \x0bchunked\r\n", HeadError::FieldLine),
            (" Transfer-Encoding: chunked\r\n", HeadError::FieldLine),
            ("Transfer-Encoding:\r\n chunked\r\n", HeadError::FieldLine),
            ("X: a\r\n\tb\r\n", HeadError::FieldLine),
            ("X: a\rContent-Length: 1\r\n", HeadError::FieldLine),
            ("X: a\0\r\n", HeadError::FieldLine),
            ("X\0: a\r\n", HeadError::FieldLine),
            (": a\r\n", HeadError::FieldLine),
            ("X\r\n", HeadError::FieldLine),
            ("X(: a\r\n", HeadError::FieldLine),
            ("X: a\r\r\n", HeadError::FieldLine),
        ] {
            check_refused(&with_fields(fields), error);
        }
        check_refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::CodingInHttp10);
    }

    // RFC 9112, section 3.
    #[test]
    fn malformed_request_lines_are_refused() {
        for line in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "GET /",
            "G@T / HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET /\0 HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET / http/1.1",
            "GET /\x7f HTTP/1.1",
        ] {
            let input = format!("{line}\r\nHost: a\r\n\r\n");
            let read = decode(input.as_bytes(), 0, &LIMITS).expect_err(line);
            assert_eq!(read.status(), Status::BadRequest, "{line}");
        }
        check_refused("\rGET / HTTP/1.1\r\n\r\n", HeadError::LineEnd);
        for line in ["GET x HTTP/1.1", "GET * HTTP/1.1", "GET http:///x HTTP/1.1", "CONNECT a: HTTP/1.1"] {
            check_refused(&format!("{line}\r\nHost: a\r\n\r\n"), HeadError::Target);
        }
    }

    #[test]
    fn nonsense_is_refused_without_waiting_for_its_end() {
        let client_hello = b"\x16\x03\x01\x02\x00\x01\x00";
        assert_eq!(decode(client_hello, 0, &LIMITS), Err(HeadError::RequestLine));
    }

    // RFC 9110, section 10.1.1.
    #[test]
    fn expectation_is_met_only_by_a_body_over_http_1_1() {
        let expects = |input: &str, expected| check(input, |head| assert_eq!(head.expect_continue, expected));
        expects(&with_fields("Expect: 100-Continue\r\nContent-Length: 5\r\n"), true);
        expects(&with_fields("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"), true);
        expects(&with_fields("Expect: 100-continue\r\n"), false);
        expects(&with_fields("Expect: 100-continue\r\nContent-Length: 0\r\n"), false);
        expects("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", false);
        expects(&with_fields("Expect: , 100-continue,,100-continue\r\nContent-Length: 5\r\n"), true);
        expects(&with_fields("Expect:\r\nContent-Length: 5\r\n"), false);
        check_refused(&with_fields("Expect: 200-ok\r\n"), HeadError::Expectation);
        check_refused(&with_fields("Expect: 100-continue, 200-ok\r\n"), HeadError::Expectation);
        assert_eq!(HeadError::Expectation.status(), Status::ExpectationFailed);
    }

    #[test]
    fn head_is_held_to_its_limit_and_refused_one_byte_past_it() {
        let head = |bytes: usize| {
            let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
            format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
        };
        let too_long = HeadError::HeadTooLong { bytes_max: 8192 };
        check(&head(8192), |head| assert_eq!(head.target, b"/"));
        check_refused(&head(8193), too_long);
        assert_eq!(decode(&head(9000).as_bytes()[..8191], 0, &LIMITS), Ok(Parsed::Partial));
        assert_eq!(decode(&head(9000).as_bytes()[..8192], 0, &LIMITS), Err(too_long));
        check_refused(&"\r\n".repeat(4096), too_long);
    }

    #[test]
    fn target_is_held_to_its_limit_and_refused_one_byte_past_it() {
        let target = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
        check(&format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", target(4096)), |head| {
            assert_eq!(head.target.len(), 4096);
        });
        let too_long = HeadError::TargetTooLong { bytes_max: 4096 };
        check_refused(&format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", target(4097)), too_long);
        check_refused(&format!("\r\nGET {}", target(4097)), too_long);
        check_refused(&format!("GET {}", target(10_000)), too_long);
        assert_eq!(decode(format!("GET {}", target(4096)).as_bytes(), 0, &LIMITS), Ok(Parsed::Partial));
    }

    #[test]
    fn fields_are_counted_and_refused_one_past_the_limit() {
        let fields =
            |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
        check(&fields(HTTP_HEADERS_MAX), |head| {
            assert_eq!(head.field_values("x").count(), HTTP_HEADERS_MAX - 1);
        });
        check_refused(&fields(HTTP_HEADERS_MAX + 1), HeadError::TooManyFields);
    }

    #[test]
    fn dribbling_peer_costs_no_rescan() {
        // The end of the head is there, but in bytes that an earlier call is said to have searched.
        let input = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET";
        assert_eq!(decode(input, input.len() - 1, &LIMITS), Ok(Parsed::Partial));
        assert_eq!(decode(input, usize::MAX, &LIMITS), Ok(Parsed::Partial));
    }

    proptest! {
        #[test]
        fn no_input_panics(input in proptest::collection::vec(any::<u8>(), 0..200), scanned in 0usize..300) {
            let _ = decode(&input, scanned, &LIMITS);
        }

        #[test]
        fn no_nearly_good_head_panics(
            lines in proptest::collection::vec(
                "(GET|POST)? ?/[a-z]{0,3} ?(HTTP/[0-2].[0-3])?|[A-Za-z-]{0,9}[: ]{0,2}[ -~]{0,9}|",
                0..6,
            ),
            end in prop_oneof!["\r\n", "\n", "\r"],
            scanned in 0usize..60,
        ) {
            let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{}{end}{end}", lines.join(&end));
            for input in [input.as_bytes(), &input.as_bytes()[25..]] {
                if let Ok(Parsed::Complete { value, used }) = decode(input, scanned, &LIMITS) {
                    prop_assert!(used <= input.len());
                    prop_assert_eq!(value.field_values("host").count() <= 1, true);
                }
            }
        }
    }
}
