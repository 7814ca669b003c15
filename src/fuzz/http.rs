//! Requests: heads, bodies, lists of entity tags, and targets.

use crate::fuzz::{contains, cut, seed_of, ways};
use crate::ids::Seq;
use crate::limits::CHUNK_FRAMING_BYTES_PER_BODY_BYTE;
use crate::random::Random;
use crate::route::{self, Endpoint, Method, RouteError};
use crate::wire::Parsed;
use crate::wire::http::body::{BodyDecoder, BodyError};
use crate::wire::http::request::{self, Framing, HeadError, HeadLimits, RequestHead};
use crate::wire::http::response;

/// Limits that short inputs reach, and the server's own.
const HEAD_LIMITS: [HeadLimits; 2] = [
    HeadLimits { head_bytes_max: 96, target_bytes_max: 24 },
    HeadLimits { head_bytes_max: 8192, target_bytes_max: 4096 },
];

/// Fields that the server asks for.
const FIELDS: [&str; 6] =
    ["Origin", "If-None-Match", "Last-Event-ID", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol", "X"];

/// What a stream of heads came to.
#[derive(Debug, PartialEq)]
struct Heads {
    /// Each head as text that says everything about it, and its length.
    read: Vec<(String, usize)>,
    error: Option<HeadError>,
}

/// Request heads, one behind the other: any cut gives the same heads, limits hold, and framing is beyond doubt.
pub fn http_head(data: &[u8]) {
    for limits in HEAD_LIMITS {
        let [whole, others @ ..] = ways(data).map(|sizes| read_heads(data, &sizes, &limits));
        for other in others {
            assert_eq!(other.read, whole.read, "cut otherwise");
            // A head that is not whole yet is not looked at again before it is, so nonsense may be refused later.
            assert!(other.error.is_none() || whole.error.is_some(), "{other:?} cut, {whole:?} whole");
        }
    }
}

fn read_heads(data: &[u8], sizes: &[usize], limits: &HeadLimits) -> Heads {
    let mut heads = Heads { read: Vec::new(), error: None };
    let (mut held, mut scanned) = (Vec::new(), 0);
    for read in cut(data, sizes) {
        held.extend_from_slice(read);
        loop {
            match request::decode(&held, scanned, limits) {
                Ok(Parsed::Partial) => {
                    assert!(held.len() < limits.head_bytes_max, "{} bytes may be held", held.len());
                    scanned = held.len();
                    break;
                }
                Ok(Parsed::Complete { value, used }) => {
                    assert!(used > 0 && used <= held.len().min(limits.head_bytes_max), "{used} used");
                    check_head(&value, &held[..used], limits);
                    heads.read.push((describe(&value), used));
                    held.drain(..used);
                    scanned = 0;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty() && error.status().code() >= 400);
                    heads.error = Some(error);
                    return heads;
                }
            }
        }
    }
    heads
}

/// Everything that is asked of a head, in words.
fn describe(head: &RequestHead<'_>) -> String {
    let fields = FIELDS.map(|name| head.field_values(name).map(<[u8]>::to_vec).collect::<Vec<_>>());
    let tokens = ["close", "upgrade"].map(|token| head.has_token("Connection", token));
    format!("{head:?} {:?} {fields:?} {tokens:?}", head.host())
}

/// Reads the lines of a head that was taken once more, the simplest way, and holds its framing against them.
fn check_head(head: &RequestHead<'_>, bytes: &[u8], limits: &HeadLimits) {
    assert!(head.target.len() <= limits.target_bytes_max, "a target of {} bytes", head.target.len());
    assert!(!bytes.contains(&0), "a NUL was let through");
    let bare = bytes.iter().enumerate().any(|(at, byte)| *byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
    assert!(!bare, "a bare CR was let through");
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines: Vec<_> = lines.skip_while(|line| line.is_empty()).skip(1).collect();
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    for line in lines.into_iter().take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':').expect("a field line has a colon");
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic), "blanks in or before a name");
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths.push(value.trim_ascii());
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings.push(value.trim_ascii());
        }
    }
    match head.framing {
        Framing::None => assert!(lengths.is_empty() && codings.is_empty(), "framing was passed over"),
        Framing::Length(length) => {
            assert!(codings.is_empty() && lengths.len() == 1, "{lengths:?} and {codings:?}");
            let digits = str::from_utf8(lengths[0]).expect("a length is digits");
            assert_eq!(digits.parse(), Ok(length));
        }
        Framing::Chunked => {
            assert!(lengths.is_empty(), "a length beside chunks");
            assert!(
                matches!(codings[..], [coding] if coding.eq_ignore_ascii_case(b"chunked")),
                "{codings:?}"
            );
        }
    }
}

/// A body that is whole: its content, and how many bytes it took.
type Body = Result<Option<(Vec<u8>, usize)>, BodyError>;

/// A request's body, by chunks and by length: any cut gives the same, what is behind stays, and limits hold.
pub fn http_body(data: &[u8]) {
    for body_bytes_max in [24, 4096] {
        let whole = same_however_cut(data, Framing::Chunked, body_bytes_max);
        if let Ok(Some((content, used))) = &whole {
            let framing_max = (body_bytes_max + 1) * CHUNK_FRAMING_BYTES_PER_BODY_BYTE;
            assert!(content.len() <= body_bytes_max && used - content.len() <= framing_max);
            assert_eq!(read_chunks_simply(data), Some((content.clone(), *used)), "the simple reader");
        }
        for length in [0, 1, data.len() / 2, data.len(), data.len() + 1] {
            let expected = match length {
                _ if length > body_bytes_max => Err(BodyError::TooLarge { bytes_max: body_bytes_max }),
                _ if length > data.len() => Ok(None),
                _ => Ok(Some((data[..length].to_vec(), length))),
            };
            assert_eq!(same_however_cut(data, Framing::Length(length as u64), body_bytes_max), expected);
        }
    }
    let mut chunks = Vec::new();
    let mut random = Random::with_seed(seed_of(data));
    let mut rest = &data[..data.len().min(4096)];
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at((6 + random.number() as usize % 64).min(rest.len()));
        chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
        rest = later;
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    let whole = same_however_cut(&chunks, Framing::Chunked, 4096);
    assert_eq!(whole, Ok(Some((data[..data.len().min(4096)].to_vec(), chunks.len()))), "written and read");
}

fn same_however_cut(data: &[u8], framing: Framing, body_bytes_max: usize) -> Body {
    let [whole, others @ ..] = ways(data).map(|sizes| read_body(data, &sizes, framing, body_bytes_max));
    for other in others {
        assert_eq!(other, whole, "cut otherwise");
    }
    whole
}

fn read_body(data: &[u8], sizes: &[usize], framing: Framing, body_bytes_max: usize) -> Body {
    let mut decoder = BodyDecoder::new(framing, body_bytes_max)?;
    let (mut body, mut used) = (Vec::new(), 0);
    if decoder.is_done() {
        return Ok(Some((body, 0)));
    }
    for read in cut(data, sizes) {
        let progress = decoder.decode(read, &mut body)?;
        assert!(body.len() <= body_bytes_max, "{} bytes may be held", body.len());
        used += progress.used;
        if progress.done {
            return Ok(Some((body, used)));
        }
        assert_eq!(progress.used, read.len(), "a body that is not done takes all that there is");
    }
    Ok(None)
}

/// Chunks as RFC 9112, section 7.1 says it in a few lines: no quoted string can hold a line end here.
fn read_chunks_simply(data: &[u8]) -> Option<(Vec<u8>, usize)> {
    let line = |at: usize| {
        let end = data[at..].windows(2).position(|two| two == b"\r\n")?;
        Some((&data[at..at + end], at + end + 2))
    };
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let (size_line, after) = line(at)?;
        let digits = size_line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next()?;
        let size = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        at = after;
        if size == 0 {
            break;
        }
        content.extend_from_slice(data.get(at..at + size)?);
        at += size + 2;
    }
    loop {
        let (trailer, after) = line(at)?;
        at = after;
        if trailer.is_empty() {
            return Some((content, at));
        }
    }
}

/// `If-None-Match`, a field line a line: names an update only by its number between quotes, or by `*`.
pub fn if_none_match(data: &[u8]) {
    let lines = || data.split(|byte| *byte == b'\n');
    for number in [0, 7, 3_619_278_029_051_905, Seq::END - 1] {
        let seq = Seq::new(number).expect("below the end");
        let tag = format!("\"{number}\"");
        let matches = response::if_none_match(lines(), seq);
        assert_eq!(matches, lines().any(|line| response::if_none_match([line].into_iter(), seq)));
        if matches {
            assert!(data.contains(&b'*') || contains(data, tag.as_bytes()), "named by nothing");
        }
        for start in [tag.clone(), format!("W/{tag}"), format!("\"x\" , {tag}"), "*".to_owned()] {
            let line = [start.as_bytes(), b",", data].concat();
            assert!(response::if_none_match([&line[..]].into_iter(), seq), "{start} was passed over");
        }
    }
}

/// A request's target, a blank and its method before it or not: every method, either form, any query behind it.
pub fn route(data: &[u8]) {
    let (method, target) = match data.iter().position(|byte| *byte == b' ') {
        Some(at) => (Method::parse(&data[..at]), &data[at + 1..]),
        None => (Method::Get, data),
    };
    let _ = check_route(method, target);
    let [get, head] = [Method::Get, Method::Head].map(|method| check_route(method, target));
    assert_eq!(get, head, "HEAD is a GET without content");
    let other = check_route(Method::Other, target);
    assert!(other.is_err(), "nothing takes a method that is not known");
    for method in [Method::Get, Method::Post, Method::Options] {
        let routed = check_route(method, target);
        if target.starts_with(b"/") {
            let absolute = [b"HTTP://geo.example:80", target].concat();
            assert_eq!(route::route(method, &absolute), routed, "in absolute-form");
            if target.contains(&b'?') {
                let longer = [target, b"&unknown=1"].concat();
                assert_eq!(route::route(method, &longer), routed, "with a key that nobody knows");
            }
        }
    }
}

fn check_route(method: Method, target: &[u8]) -> Result<Endpoint, RouteError> {
    let routed = route::route(method, target);
    match &routed {
        Ok(endpoint) => {
            let _ = endpoint.asked();
            if let Some(group) = endpoint.group() {
                assert!(group.number() <= crate::ids::GroupId::MAX);
            }
        }
        Err(RouteError::MethodNotAllowed { allow }) => {
            let name = format!("{method:?}").to_uppercase();
            assert!(!allow.split(", ").any(|allowed| allowed == name), "{method:?} is among {allow}");
        }
        Err(error) => assert!(matches!(error.status(), 400 | 404), "{error}"),
    }
    routed
}
