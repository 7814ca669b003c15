//! What a server wrote, read as strictly as the standards allow: every answer belongs to a request, every message is
//! whole and of its kind, and updates come in order, each once.
//!
//! Reads requests with the server's own decoder, which its own function holds against a simple one.

use std::collections::BTreeMap;

use crate::clock::UnixMs;
use crate::fuzz::contains;
use crate::route::{Endpoint, Method, RouteError, route};
use crate::wire::Parsed;
use crate::wire::http::body::BodyDecoder;
use crate::wire::http::request::{self, HeadLimits};
use crate::wire::http::response::Status;
use crate::wire::json::{self, PublishBody};
use crate::wire::sse;
use crate::wire::stomp::field::parse_message_id;
use crate::wire::stomp::frame::{self as stomp_frame, FrameLimits, Item, Scan};
use crate::wire::stomp::{Command, Version};
use crate::wire::websocket::frame::{self, Side};
use crate::wire::websocket::message::{Bounds, Incoming, Messages};

/// What a peer got, by what has an order of its own: answers, control frames, and the updates of one subscription.
pub(super) type Lanes = BTreeMap<String, Vec<Vec<u8>>>;

/// Answers of HTTP.
pub(super) const ANSWERS: &str = "answers";
/// What WebSocket and STOMP say besides updates.
pub(super) const CONTROL: &str = "control";

/// A request, as far as its answer depends on it.
#[derive(Debug)]
struct Asked {
    method: Method,
    endpoint: Result<Endpoint, RouteError>,
}

/// Reads all that a peer got, given all that it sent; `cut_off` lets the last thing be a part of one.
pub(super) fn read(
    sent: &[u8],
    got: &[u8],
    cut_off: bool,
    limits: &HeadLimits,
    body_bytes_max: usize,
) -> Lanes {
    let mut lanes = Lanes::new();
    let asked = requests(sent, limits, body_bytes_max);
    let mut rest = got;
    let mut answered = 0;
    while !rest.is_empty() {
        let Some(answer) = Answer::read(rest, asked.get(answered), cut_off) else { return lanes };
        lanes.entry(ANSWERS.to_owned()).or_default().push(rest[..answer.bytes].to_vec());
        rest = &rest[answer.bytes..];
        match answer.status {
            Status::Continue => continue,
            Status::SwitchingProtocols => {
                match asked.get(answered).map(|asked| &asked.endpoint) {
                    Some(Ok(Endpoint::Stomp)) => read_stomp(rest, cut_off, &mut lanes),
                    Some(Ok(Endpoint::WebSocket { .. })) => read_websocket(rest, cut_off, &mut lanes),
                    Some(Ok(Endpoint::Echo)) => {
                        let _ = messages(rest, cut_off);
                    }
                    other => panic!("{other:?} was upgraded"),
                }
                return lanes;
            }
            _ => {}
        }
        answered += 1;
        if answer.is_stream {
            read_events(rest, cut_off, &mut lanes);
            return lanes;
        }
        assert!(rest.is_empty() || !answer.closes, "something follows `Connection: close`");
        assert!(answer.closes || answered <= asked.len(), "an answer to nothing");
    }
    lanes
}

/// The requests that a peer sent, as far as they are whole; what follows an upgrade may be read as anything.
fn requests(sent: &[u8], limits: &HeadLimits, body_bytes_max: usize) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut rest = sent;
    while let Ok(Parsed::Complete { value: head, used }) = request::decode(rest, 0, limits) {
        rest = &rest[used..];
        asked.push(Asked { method: head.method, endpoint: route(head.method, head.target) });
        let Ok(mut body) = BodyDecoder::new(head.framing, body_bytes_max) else { break };
        match body.decode(rest, &mut Vec::new()) {
            Ok(progress) if body.is_done() => rest = &rest[progress.used..],
            Ok(_) | Err(_) => break,
        }
    }
    asked
}

/// One answer.
struct Answer {
    status: Status,
    /// All of it.
    bytes: usize,
    closes: bool,
    /// What follows it up to the end is an event stream.
    is_stream: bool,
}

impl Answer {
    /// Reads the first answer; `None` of one that was cut off.
    fn read(got: &[u8], asked: Option<&Asked>, cut_off: bool) -> Option<Self> {
        let Some(head_end) = got.windows(4).position(|four| four == b"\r\n\r\n") else {
            assert!(cut_off, "half a head: {}", String::from_utf8_lossy(got));
            return None;
        };
        let head = str::from_utf8(&got[..head_end]).expect("a head of ours is text");
        let mut lines = head.split("\r\n");
        let status = read_status(lines.next().expect("split gives one part at least"));
        let fields: Vec<_> = lines.map(read_field).collect();
        let value = |name: &str| {
            let mut named = fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
            let value = named.next().map(|(_, value)| *value);
            assert!(named.next().is_none() || name == "Vary", "{name} twice in {head}");
            value
        };
        // A list, whose items may come in several lines (RFC 9110, section 5.3).
        let closes = fields.contains(&("Connection", "close"));
        let (length, kind) = (value("Content-Length"), value("Content-Type"));
        let is_event_stream = kind == Some("text/event-stream");
        let mut answer = Self { status, bytes: head_end + 4, closes, is_stream: false };
        if matches!(status, Status::Continue | Status::SwitchingProtocols) {
            assert!(length.is_none() && kind.is_none(), "{head}");
            return Some(answer);
        }
        assert_eq!(value("Date").map(str::len), Some(29), "{head}");
        // What was no whole request may have begun as a HEAD: its answer, the last one, ends with its head then.
        let may_be_head = closes && got.len() == answer.bytes;
        let is_head = asked.map_or(may_be_head, |asked| asked.method == Method::Head);
        if matches!(status, Status::NoContent | Status::NotModified) {
            assert!(length.is_none() && kind.is_none(), "content where none may be: {head}");
            return Some(answer);
        }
        if is_head {
            return Some(answer);
        }
        let Some(length) = length else {
            assert!(is_event_stream && closes, "its end cannot be known: {head}");
            answer.is_stream = true;
            return Some(answer);
        };
        let length: usize = length.parse().expect("a length of ours is a number");
        answer.bytes += length;
        let Some(content) = got.get(head_end + 4..answer.bytes) else {
            assert!(cut_off, "half an answer: {}", String::from_utf8_lossy(got));
            return None;
        };
        check_content(status, kind.expect("content has a type"), content);
        Some(answer)
    }
}

fn read_status(line: &str) -> Status {
    let rest = line.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("no status line: {line:?}"));
    let (code, title) = rest.split_once(' ').expect("a code and a title");
    let status = code.parse().ok().and_then(Status::from_code).expect("a code of ours");
    assert_eq!(status.title(), title);
    status
}

fn read_field(line: &str) -> (&str, &str) {
    let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
    assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && !name.is_empty());
    assert!(value.chars().all(|letter| !letter.is_control()), "a control in {line:?}");
    (name, value)
}

fn check_content(status: Status, kind: &str, content: &[u8]) {
    match kind {
        "application/json" => {
            assert_eq!(status, Status::Ok);
            if content.starts_with(b"{\"seq\":") {
                let _ = read_update(content);
            } else {
                // A snapshot, or the server's description of itself.
                assert_eq!(read_json(content), PublishBody::Nothing);
            }
        }
        "application/problem+json" => {
            assert!(status.code() >= 400);
            assert_eq!(read_json(content), PublishBody::Nothing);
            assert!(content.starts_with(format!("{{\"status\":{},", status.code()).as_bytes()));
        }
        "text/event-stream" => {
            let Parsed::Complete { value, used } = sse::decode(content) else { panic!("no whole event") };
            assert_eq!((used, value.event.as_deref()), (content.len(), Some(sse::EVENT)));
        }
        _ => {}
    }
}

fn read_json(content: &[u8]) -> PublishBody {
    let read = json::decode_publish(content, UnixMs(u64::MAX));
    assert_eq!(content.first(), Some(&b'{'), "no object: {}", String::from_utf8_lossy(content));
    read.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(content)))
}

/// The number of an update.
fn read_update(content: &[u8]) -> u64 {
    assert!(matches!(read_json(content), PublishBody::Publish(_)), "{}", String::from_utf8_lossy(content));
    let text = str::from_utf8(content).expect("JSON is text");
    let number = text.strip_prefix("{\"seq\":").and_then(|rest| rest.split(',').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number: {text}"))
}

/// Holds the updates of each subscription against each other.
#[derive(Default)]
struct Ordered(BTreeMap<String, Last>);

/// What a subscription was told last.
#[derive(Clone, Copy, Debug)]
struct Last {
    number: u64,
    /// It was told of a gap once; numbers may be missing behind it.
    has_gap: bool,
}

impl Ordered {
    fn take(&mut self, lane: &str, content: &[u8]) -> u64 {
        let number = read_update(content);
        let gap = contains(content, b"\"gap\":true");
        let before = self.0.get(lane).copied();
        let has_gap = gap || before.is_some_and(|before| before.has_gap);
        if let Some(Last { number: before, .. }) = before {
            assert!(before < number, "{number} after {before} in {lane}");
            assert!(before + 1 == number || has_gap, "{number} after {before} in {lane}, without a gap");
        }
        self.0.insert(lane.to_owned(), Last { number, has_gap });
        number
    }
}

fn read_events(stream: &[u8], cut_off: bool, lanes: &mut Lanes) {
    let mut order = Ordered::default();
    let mut rest = stream;
    while !rest.is_empty() {
        let Parsed::Complete { value: block, used } = sse::decode(rest) else {
            assert!(cut_off, "half an event: {}", String::from_utf8_lossy(rest));
            return;
        };
        if let Some(data) = &block.data {
            let number = order.take("events", data.as_bytes());
            assert_eq!(block.id.as_deref(), Some(&*number.to_string()));
            assert_eq!(block.event.as_deref(), Some(sse::EVENT));
            lanes.entry("events".to_owned()).or_default().push(rest[..used].to_vec());
        } else {
            assert!(block.comments == 1 || block.retry_ms.is_some(), "{block:?}");
        }
        rest = &rest[used..];
    }
}

/// The messages that a server sent, each a frame; nothing follows a Close.
fn messages(stream: &[u8], cut_off: bool) -> Vec<Incoming<'static>> {
    let mut decoder = Messages::new(Side::Server);
    let bounds = Bounds { message_bytes_max: usize::MAX, fragments_max: Some(1) };
    let mut heard = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let ended = matches!(heard.last(), Some(Incoming::Close { .. }));
        assert!(!ended, "something follows a Close");
        let Ok(Parsed::Complete { value: head, used }) = frame::decode(rest, Side::Server) else {
            assert!(
                cut_off && frame::decode(rest, Side::Server) == Ok(Parsed::Partial),
                "no frame: {rest:?}"
            );
            break;
        };
        assert!(head.fin, "a server of ours does not fragment");
        let end = used + head.payload_len as usize;
        if end > rest.len() {
            assert!(cut_off, "half a frame: {:?}", String::from_utf8_lossy(rest));
            break;
        }
        let mut bytes = rest[..end].to_vec();
        let progress = decoder.decode(&mut bytes, bounds).unwrap_or_else(|error| panic!("{error}"));
        heard.push(match progress.item {
            Some(Incoming::Text(text)) => Incoming::Text(text.into_owned().into()),
            Some(Incoming::Binary(bytes)) => Incoming::Binary(bytes.into_owned().into()),
            Some(Incoming::Ping(bytes)) => Incoming::Ping(bytes.into_owned().into()),
            Some(Incoming::Pong) => Incoming::Pong,
            Some(Incoming::Close { code, reason }) => {
                Incoming::Close { code, reason: reason.into_owned().into() }
            }
            None => panic!("a whole frame was no message"),
        });
        rest = &rest[end..];
    }
    heard
}

fn read_websocket(stream: &[u8], cut_off: bool, lanes: &mut Lanes) {
    let mut order = Ordered::default();
    for message in messages(stream, cut_off) {
        match &message {
            Incoming::Text(text) if text.starts_with("{\"seq\":") => {
                let _ = order.take("updates", text.as_bytes());
                lanes.entry("updates".to_owned()).or_default().push(text.as_bytes().to_vec());
                continue;
            }
            Incoming::Text(text) => {
                assert!(text.starts_with("{\"error\":"), "{text}");
                assert_eq!(read_json(text.as_bytes()), PublishBody::Nothing);
            }
            Incoming::Binary(bytes) => panic!("a message of bytes: {bytes:?}"),
            Incoming::Ping(_) | Incoming::Pong | Incoming::Close { .. } => {}
        }
        lanes.entry(CONTROL.to_owned()).or_default().push(format!("{message:?}").into_bytes());
    }
}

fn read_stomp(stream: &[u8], cut_off: bool, lanes: &mut Lanes) {
    let mut stomp = Stomp::Opening;
    let mut order = Ordered::default();
    for message in messages(stream, cut_off) {
        let lane = match &message {
            Incoming::Text(text) if text == "\n" => {
                assert!(matches!(stomp, Stomp::Connected(_)), "a beat while {stomp:?}");
                continue;
            }
            Incoming::Text(text) => stomp.read_frame(text.as_bytes(), &mut order),
            Incoming::Binary(bytes) => panic!("a message of bytes: {bytes:?}"),
            Incoming::Ping(_) | Incoming::Pong | Incoming::Close { .. } => CONTROL.to_owned(),
        };
        lanes.entry(lane).or_default().push(format!("{message:?}").into_bytes());
    }
}

/// Where a STOMP session stands, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stomp {
    /// Accepts: CONNECTED or ERROR.
    Opening,
    /// Accepts: every other server frame.
    Connected(Version),
    /// Accepts: nothing more.
    Over,
}

impl Stomp {
    /// Reads one frame; the lane that it belongs to.
    fn read_frame(&mut self, text: &[u8], order: &mut Ordered) -> String {
        let version = match self {
            Self::Connected(version) => *version,
            Self::Opening => Version::V10,
            Self::Over => panic!("something follows an ERROR"),
        };
        let limits = FrameLimits { frame_bytes_max: usize::MAX, headers_max: 8 };
        let frame = match stomp_frame::decode(text, version, limits, &mut Scan::default()) {
            Ok(Parsed::Complete { value: Item::Frame(frame), used }) if used == text.len() => frame,
            other => panic!("{other:?} of {}", String::from_utf8_lossy(text)),
        };
        let header = |name: &str| {
            frame.headers.value(name).unwrap_or_else(|| panic!("{name} is missing: {frame:?}")).into_owned()
        };
        match (frame.command, *self) {
            (Command::Connected, Self::Opening) => {
                let label = header("version");
                let version = Version::ALL.into_iter().find(|version| version.label() == label);
                *self = Self::Connected(version.expect("a version of ours"));
            }
            (Command::Error, Self::Opening | Self::Connected(_)) => {
                assert!(!header("message").is_empty());
                *self = Self::Over;
            }
            (Command::Receipt, Self::Connected(_)) => {
                let _ = header("receipt-id");
            }
            (Command::Message, Self::Connected(_)) => {
                let (ordinal, seq) = parse_message_id(&header("message-id")).expect("an id of ours");
                assert!(header("destination").starts_with("/sub/location/"));
                assert_eq!(header("content-length"), frame.body.len().to_string());
                let lane = format!("subscription {ordinal}");
                assert_eq!(order.take(&lane, frame.body), seq.number());
                return lane;
            }
            (command, state) => panic!("{command:?} while {state:?}"),
        }
        CONTROL.to_owned()
    }
}

#[cfg(test)]
mod tests {
    //! Small planted violations: a reader that takes everything would hold nothing against the server.

    use std::panic;

    use super::*;
    use crate::wire::stomp::encode;
    use crate::wire::websocket::frame::{CloseCode, Opcode};

    const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 1024, target_bytes_max: 128 };
    const DATE: &str = "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    const UPDATE: &str = "{\"seq\":7,\"x\":1,\"y\":2,\"at\":5}";

    fn is_taken(target: &str, got: &[u8], cut_off: bool) -> bool {
        let sent = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        panic::catch_unwind(|| read(sent.as_bytes(), got, cut_off, &LIMITS, 100)).is_ok()
    }

    /// The first is legal, and the others are not.
    #[track_caller]
    fn check(target: &str, legal: &[u8], illegal: &[&[u8]]) {
        assert!(is_taken(target, legal, false), "{}", String::from_utf8_lossy(legal));
        for got in illegal {
            assert!(!is_taken(target, got, false), "{}", String::from_utf8_lossy(got));
        }
    }

    fn answer(fields: &str, content: &str) -> Vec<u8> {
        let kind = "Content-Type: application/json\r\n";
        let length = content.len();
        format!("HTTP/1.1 200 OK\r\n{DATE}{fields}{kind}Content-Length: {length}\r\n\r\n{content}")
            .into_bytes()
    }

    #[test]
    fn answers_are_whole_and_as_many_as_requests() {
        let one = answer("", UPDATE);
        let text = String::from_utf8(one.clone()).unwrap();
        check(
            "/cur/1",
            &one,
            &[
                &one[..one.len() - 1],
                &one[..20],
                &[&one[..], &one].concat(),
                &[&one[..], b"\r\n"].concat(),
                &answer("", "{\"seq\":7}x"),
                &answer("Content-Length: 5\r\n", UPDATE),
                &answer("X: a\rb\r\n", UPDATE),
                text.replace("200 OK", "200 Fine").as_bytes(),
                text.replace("200 OK", "204 No Content").as_bytes(),
                text.replace("Content-Length: ", "X: ").as_bytes(),
                text.replace(DATE, "").as_bytes(),
            ],
        );
        assert!(is_taken("/cur/1", &one[..20], true), "the beginning of one that was cut off");
        let closing = answer("Connection: close\r\n", UPDATE);
        check("/cur/1", &closing, &[&[&closing[..], &one].concat()]);
    }

    fn stream(events: &str) -> Vec<u8> {
        let fields = "Content-Type: text/event-stream\r\nConnection: close\r\n";
        format!("HTTP/1.1 200 OK\r\n{DATE}{fields}\r\n{events}").into_bytes()
    }

    #[test]
    fn events_are_whole_and_in_order() {
        let event = |seq: u64| {
            let update = UPDATE.replace("\"seq\":7", &format!("\"seq\":{seq}"));
            format!("id: {seq}\nevent: location\ndata: {update}\n\n")
        };
        let gap = |seq: u64| event(seq).replace('}', ",\"gap\":true}");
        check(
            "/location/sse/1",
            &stream(&format!(":\n\n{}{}{}retry: 100\n\n", event(7), event(8), gap(10))),
            &[
                &stream(&format!("{}{}", event(7), event(9))),
                &stream(&format!("{}{}", event(7), event(7))),
                &stream(&format!("{}{}", event(7), event(6))),
                &stream(&event(7).replace("id: 7", "id: 8")),
                &stream(&event(7)[..20]),
                &stream("data: {\"seq\":7}\n\n"),
                &stream("x\n\n"),
            ],
        );
    }

    fn upgraded(frames: &[(Opcode, &[u8])]) -> Vec<u8> {
        let mut out = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec();
        for (opcode, payload) in frames {
            frame::encode_frame(&mut out, *opcode, payload);
        }
        out
    }

    #[test]
    fn frames_are_whole_and_nothing_follows_a_close() {
        let update = (Opcode::Text, UPDATE.as_bytes());
        let close = (Opcode::Close, &b""[..]);
        let error = (Opcode::Text, &b"{\"error\":\"a\",\"detail\":\"b\"}"[..]);
        let legal = upgraded(&[update, error, close]);
        check(
            "/ws/1",
            &legal,
            &[
                &legal[..legal.len() - 1],
                &upgraded(&[update, update]),
                &upgraded(&[close, update]),
                &upgraded(&[(Opcode::Text, b"hello")]),
                &upgraded(&[(Opcode::Binary, UPDATE.as_bytes())]),
                &upgraded(&[(Opcode::Text, b"\xff")]),
                &upgraded(&[(Opcode::Continuation, b"")]),
                &[&upgraded(&[])[..], b"\x01\x00\x80\x00"].concat(),
                &[&upgraded(&[])[..], b"\x81\x80\0\0\0\0"].concat(),
            ],
        );
        assert!(!is_taken("/cur/1", &upgraded(&[]), false), "an upgrade that nobody asked for");
    }

    fn connected() -> Vec<u8> {
        let mut out = Vec::new();
        encode::encode_connected(&mut out, Version::V12, "a", "b", (0, 0));
        out
    }

    fn error() -> Vec<u8> {
        let mut out = Vec::new();
        encode::encode_error(&mut out, Version::V12, "a", "b", None);
        out
    }

    #[test]
    fn stomp_frames_come_when_they_may() {
        let text = |bytes: &'static [u8]| (Opcode::Text, bytes);
        let (connected, error) = (connected(), error());
        let hello = (Opcode::Text, &connected[..]);
        let refused = (Opcode::Text, &error[..]);
        let message = |seq: u64| {
            let update = UPDATE.replace("\"seq\":7", &format!("\"seq\":{seq}"));
            let length = update.len();
            format!(
                "MESSAGE\nsubscription:a\nmessage-id:0-{seq}\ndestination:/sub/location/1\ncontent-length:{length}\n\n{update}\0"
            )
        };
        let (seven, eight) = (message(7), message(8));
        let (seven, eight) = ((Opcode::Text, seven.as_bytes()), (Opcode::Text, eight.as_bytes()));
        let mut close = Vec::new();
        frame::encode_close(&mut close, CloseCode::POLICY, "a");
        check(
            "/location",
            &[&upgraded(&[hello, text(b"\n"), seven, eight, refused])[..], &close].concat(),
            &[
                &upgraded(&[seven]),
                &upgraded(&[hello, hello]),
                &upgraded(&[text(b"\n")]),
                &upgraded(&[hello, eight, seven]),
                &upgraded(&[hello, seven, seven]),
                &upgraded(&[hello, refused, seven]),
                &upgraded(&[hello, text(b"RECEIPT\n\n\0")]),
                &upgraded(&[hello, text(b"RECEIPT\nreceipt-id:1\n\n")]),
                &upgraded(&[hello, text(b"SEND\n\n\0")]),
            ],
        );
    }
}
