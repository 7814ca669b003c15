//! Each client, fed with what the encoders of the server side write, and with what breaks a rule.

use super::speak;
use super::{Answer, Client, ClientError, Heard};
use crate::ids::{GroupId, Seq};
use crate::limits::{ANSWER_BYTES_MAX, HEARD_BYTES_MAX, HTTP_HEAD_BYTES_MAX};
use crate::wire::Parsed;
use crate::wire::http::body::BodyError;
use crate::wire::http::client::AnswerError;
use crate::wire::http::request::Version as HttpVersion;
use crate::wire::http::response::{self, HttpDate, ResponseHead, Status};
use crate::wire::sse;
use crate::wire::stomp::encode::{self, MessageHead};
use crate::wire::stomp::field::AckMode;
use crate::wire::stomp::frame::{self as stomp_frame, FrameError as StompError, FrameLimits, Item, Scan};
use crate::wire::stomp::{Command, Version};
use crate::wire::websocket::frame::{self, CloseCode, FrameError, Opcode, Side};
use crate::wire::websocket::handshake;
use crate::wire::websocket::message::{Bounds, Incoming, Messages, Violation};

const KEY: [u8; 24] = *b"dGhlIHNhbXBsZSBub25jZQ==";
const MASK: [u8; 4] = [7, 77, 177, 17];
const UPDATE: &str = "{\"seq\":17,\"member\":\"é\",\"x\":12.5,\"y\":-3,\"at\":1767225600123}";

/// What was heard, owned.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Answer(u16, String, [Option<u64>; 2], bool),
    Opened,
    Connected(&'static str),
    /// What it says, for which subscription and of which group.
    Update(String, Option<String>, Option<u64>),
    Receipt(String),
    Retry(u64),
    Refused(u16),
    Complaint(String),
    Closing(u16),
}

impl Told {
    fn of(heard: Heard<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match heard {
            Heard::Answer(Answer { status, body, location_seq, etag, keep_alive }) => {
                let numbers = [location_seq, etag].map(|seq| seq.map(Seq::number));
                Self::Answer(status, text(body), numbers, keep_alive)
            }
            Heard::Opened => Self::Opened,
            Heard::Connected { version } => Self::Connected(version),
            Heard::Update { body, subscription, group } => {
                Self::Update(text(body), subscription.map(str::to_owned), group.map(GroupId::number))
            }
            Heard::Receipt(id) => Self::Receipt(id.to_owned()),
            Heard::Retry { wait_ms } => Self::Retry(wait_ms),
            Heard::Refused { status } => Self::Refused(status),
            Heard::Complaint(text) => Self::Complaint(text.to_owned()),
            Heard::Closing { code } => Self::Closing(code),
        }
    }

    fn update(body: &str) -> Self {
        Self::Update(body.to_owned(), None, None)
    }

    /// Of a MESSAGE that names no subscription.
    fn update_for_nobody(body: &str) -> Self {
        Self::Update(body.to_owned(), None, Some(7))
    }

    /// Of group 7, as nearly all are here.
    fn update_for(body: &str, subscription: &str) -> Self {
        Self::Update(body.to_owned(), Some(subscription.to_owned()), Some(7))
    }
}

/// A client with what it has heard and has to send.
struct Listener {
    client: Client,
    told: Vec<Told>,
    unsent: Vec<u8>,
}

impl Listener {
    fn new(client: Client) -> Self {
        Self { client, told: Vec::new(), unsent: Vec::new() }
    }

    fn hear(&mut self, stream: &[u8], size: usize) -> Result<(), ClientError> {
        let Self { client, told, unsent } = self;
        for read in stream.to_vec().chunks_mut(size) {
            client.handle_received(read, MASK, unsent, &mut |heard| told.push(Told::of(heard)))?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ClientError> {
        let Self { client, told, unsent: _ } = self;
        client.handle_end(&mut |heard| told.push(Told::of(heard)))
    }
}

/// One item on the wire, and what is heard once it is whole.
type Piece = (Vec<u8>, Vec<Told>);

fn piece(encode: impl FnOnce(&mut Vec<u8>), told: impl IntoIterator<Item = Told>) -> Piece {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    (bytes, told.into_iter().collect())
}

/// Reads the pieces all at once, in reads of some sizes, and byte by byte, where each is told with its last byte and not
/// before, and the connection may end between two and nowhere else; what is answered is the same every time.
#[track_caller]
fn check(client: fn() -> Client, pieces: &[Piece], unsent: &[u8]) {
    let stream: Vec<u8> = pieces.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    let told: Vec<Told> = pieces.iter().flat_map(|(_, told)| told.clone()).collect();
    for size in [usize::MAX, 100, 7, 2] {
        let mut listener = Listener::new(client());
        assert_eq!(listener.hear(&stream, size.min(stream.len())), Ok(()), "in reads of {size}");
        assert_eq!(listener.told, told, "in reads of {size}");
        assert_eq!(listener.unsent, unsent, "in reads of {size}");
    }
    let mut listener = Listener::new(client());
    let mut expected = Vec::new();
    assert_eq!(listener.end(), Ok(()), "before anything came");
    for (bytes, told) in pieces {
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(
                listener.hear(&[*byte], 1),
                Ok(()),
                "at {at} of {:?}",
                bytes.escape_ascii().to_string()
            );
            let is_last = at + 1 == bytes.len();
            if is_last {
                expected.extend_from_slice(told);
            }
            assert_eq!(listener.told, expected, "at {at} of {:?}", bytes.escape_ascii().to_string());
            let end = if is_last { Ok(()) } else { Err(ClientError::CutShort) };
            assert_eq!(listener.end(), end, "an end at {at} of {:?}", bytes.escape_ascii().to_string());
        }
    }
    assert_eq!(listener.unsent, unsent, "byte by byte");
}

/// What breaks a rule is refused however it is cut, behind what came before it.
#[track_caller]
fn check_refused(client: fn() -> Client, before: &[Piece], broken: &[u8], error: ClientError) {
    let mut stream: Vec<u8> = before.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    let told: Vec<Told> = before.iter().flat_map(|(_, told)| told.clone()).collect();
    stream.extend_from_slice(broken);
    let name = || broken[..broken.len().min(300)].escape_ascii().to_string();
    for size in [usize::MAX, 61, 1] {
        let mut listener = Listener::new(client());
        assert_eq!(listener.hear(&stream, size.min(stream.len())), Err(error), "{} by {size}", name());
        assert_eq!(listener.told, told, "{} by {size}", name());
    }
    assert!(!error.to_string().is_empty() && !error.to_string().ends_with('.'), "{error}");
}

fn written(out: &mut Vec<u8>, status: Status, fields: impl FnOnce(ResponseHead<'_>)) {
    fields(response::begin(out, status, &HttpDate::from_unix_seconds(1_767_225_600)));
}

fn seq(number: u64) -> Seq {
    Seq::new(number).expect("below 2^53")
}

fn group(number: u64) -> GroupId {
    GroupId::new(number).expect("a group")
}

/// An answer with content and no numbers.
fn answer(status: u16, body: &str) -> Told {
    Told::Answer(status, body.to_owned(), [None; 2], true)
}

mod requests {
    use super::*;

    const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn answers_are_told_in_their_order() {
        let poll = piece(
            |out| {
                written(out, Status::Ok, |head| {
                    head.etag(seq(17)).body("application/json", UPDATE.as_bytes())
                })
            },
            [Told::Answer(200, UPDATE.to_owned(), [None, Some(17)], true)],
        );
        let unchanged = piece(
            |out| written(out, Status::NotModified, |head| head.etag(seq(17)).finish()),
            [Told::Answer(304, String::new(), [None, Some(17)], true)],
        );
        let timed_out = piece(
            |out| written(out, Status::NoContent, |head| head.field_number("Location-Seq", 18).finish()),
            [Told::Answer(204, String::new(), [Some(18), None], true)],
        );
        let interim = piece(response::encode_continue, []);
        let problem = piece(
            |out| written(out, Status::Conflict, |head| head.body("application/problem+json", b"{}")),
            [answer(409, "{}")],
        );
        let empty =
            piece(|out| written(out, Status::Ok, |head| head.content("text/plain", 0)), [answer(200, "")]);
        let last = piece(
            |out| {
                written(out, Status::ServiceUnavailable, |head| {
                    head.connection(false, HttpVersion::Http11).body("text/plain", b"full");
                });
            },
            [Told::Answer(503, "full".to_owned(), [None; 2], false)],
        );
        check(
            Client::requests,
            &[poll.clone(), unchanged, interim, timed_out, problem, poll, empty, last],
            b"",
        );
    }

    #[test]
    fn answer_in_chunks_is_told_whole() {
        let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            4;x=y\r\n{\"se\r\n6\r\nq\":17,\r\n0\r\nA: b\r\n\r\n";
        let chunked = (chunks.to_vec(), vec![answer(200, "{\"seq\":17,")]);
        check(Client::requests, &[chunked.clone(), chunked], b"");
    }

    #[test]
    fn answer_without_a_length_is_whole_when_the_connection_ends() {
        let mut listener = Listener::new(Client::requests());
        listener.hear(b"HTTP/1.1 200 OK\r\n\r\nto the ", 5).unwrap();
        listener.hear(b"end", 3).unwrap();
        assert_eq!(listener.told, []);
        assert_eq!(listener.end(), Ok(()));
        assert_eq!(listener.told, [Told::Answer(200, "to the end".to_owned(), [None; 2], false)]);
        assert_eq!(listener.end(), Ok(()));
        assert_eq!(listener.told.len(), 1, "an end is heard once");
    }

    #[test]
    fn whole_answer_is_told_from_where_it_lies() {
        let mut bytes = Vec::new();
        written(&mut bytes, Status::Ok, |head| head.body("application/json", UPDATE.as_bytes()));
        let within = bytes.as_ptr_range();
        let mut told = 0;
        let mut client = Client::requests();
        client
            .handle_received(&mut bytes, MASK, &mut Vec::new(), &mut |heard| {
                let Heard::Answer(answer) = heard else { panic!("{heard:?}") };
                assert!(within.contains(&answer.body.as_ptr()));
                told += 1;
            })
            .unwrap();
        assert_eq!(told, 1);
    }

    #[test]
    fn every_broken_rule_is_told() {
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(HTTP_HEAD_BYTES_MAX));
        let too_long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", ANSWER_BYTES_MAX + 1);
        let chunk_too_long =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", ANSWER_BYTES_MAX + 1);
        let bytes_max = ANSWER_BYTES_MAX;
        for (broken, error) in [
            ("GET / HTTP/1.1\r\n\r\n", ClientError::Answer(AnswerError::Version)),
            ("\r\n", ClientError::Answer(AnswerError::StatusLine)),
            (&long, ClientError::Answer(AnswerError::HeadTooLong { bytes_max: HTTP_HEAD_BYTES_MAX })),
            (&too_long, ClientError::AnswerTooLong { bytes_max }),
            (&chunk_too_long, ClientError::Body(BodyError::TooLarge { bytes_max })),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
                ClientError::Body(BodyError::ChunkSize),
            ),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", ClientError::UnwantedUpgrade),
        ] {
            check_refused(Client::requests, &[], broken.as_bytes(), error);
            let before =
                piece(|out| written(out, Status::NoContent, |head| head.finish()), [answer(204, "")]);
            check_refused(Client::requests, &[before], broken.as_bytes(), error);
        }
        let last = (LAST.to_vec(), vec![Told::Answer(200, String::new(), [None; 2], false)]);
        check_refused(Client::requests, &[last], b"H", ClientError::BehindLastAnswer);
    }

    #[test]
    fn answer_that_the_end_would_end_has_a_limit() {
        let mut listener = Listener::new(Client::requests());
        listener.hear(b"HTTP/1.1 200 OK\r\n\r\n", 100).unwrap();
        let most = vec![b'x'; ANSWER_BYTES_MAX];
        listener.hear(&most, 1 << 20).unwrap();
        let too_long = ClientError::AnswerTooLong { bytes_max: ANSWER_BYTES_MAX };
        assert_eq!(listener.hear(b"x", 1), Err(too_long));
    }
}

mod event_stream {
    use super::*;

    /// The head as the server writes it, with fields that say how long the stream is.
    fn head(fields: &[(&str, &str)]) -> Piece {
        let encode = |out: &mut Vec<u8>| {
            written(out, Status::Ok, |head| {
                let head =
                    head.field("Content-Type", b"text/event-stream").field("Cache-Control", b"no-store");
                fields.iter().fold(head, |head, (name, value)| head.field(name, value.as_bytes())).finish();
            });
        };
        piece(encode, [Told::Opened])
    }

    fn event(number: u64, data: &str) -> Vec<u8> {
        let mut out = Vec::new();
        sse::encode_event(&mut out, Some(seq(number)), data.as_bytes());
        out
    }

    #[test]
    fn events_comments_and_waits_are_read() {
        let gap = "{\"seq\":9007199254740991,\"x\":0,\"y\":0,\"at\":0,\"gap\":true}";
        let pieces = [
            head(&[("Connection", "close")]),
            piece(sse::encode_comment, []),
            piece(|out| sse::encode_retry(out, 1234), [Told::Retry(1234)]),
            (event(17, UPDATE), vec![Told::update(UPDATE)]),
            (event(Seq::END - 1, gap), vec![Told::update(gap)]),
            piece(sse::encode_comment, []),
            (event(17, UPDATE), vec![Told::update(UPDATE)]),
        ];
        check(Client::event_stream, &pieces, b"");
    }

    #[test]
    fn events_are_read_however_their_lines_are_written() {
        let crlf = "event:location\r\ndata:{\"seq\":1,\r\ndata:}\r\nid:1\r\nretry: 5\r\n\r";
        let pieces = [
            head(&[("Connection", "close")]),
            (crlf.as_bytes().to_vec(), vec![Told::Retry(5), Told::update("{\"seq\":1,\n}")]),
        ];
        check(Client::event_stream, &pieces, b"");
        let mut listener = Listener::new(Client::event_stream());
        listener.hear(&pieces[0].0, 1000).unwrap();
        listener.hear(format!("{crlf}\n\n\n").as_bytes(), 1000).unwrap();
        assert_eq!(listener.end(), Ok(()), "line ends between events belong to none");
    }

    #[test]
    fn stream_of_a_length_that_it_says_ends_there() {
        let event = event(17, UPDATE);
        let length = (2 * event.len()).to_string();
        let stream = [event.clone(), event.clone()].concat();
        let mut listener = Listener::new(Client::event_stream());
        listener.hear(&head(&[("Content-Length", &length)]).0, 1).unwrap();
        assert_eq!(listener.end(), Err(ClientError::CutShort), "no event has come");
        listener.hear(&stream, 10).unwrap();
        assert_eq!(listener.told, [Told::Opened, Told::update(UPDATE), Told::update(UPDATE)]);
        assert_eq!(listener.end(), Ok(()));
        assert_eq!(listener.hear(b":", 1), Err(ClientError::BehindLastAnswer));
        // Half an event is none, even if it is all that there was to come.
        let before = head(&[("Content-Length", "20")]);
        check_refused(Client::event_stream, &[before], &event[..20], ClientError::CutShort);
    }

    #[test]
    fn stream_in_chunks_is_read_wherever_they_cut_it() {
        let events = [event(17, UPDATE), event(17, UPDATE)].concat();
        for size in [1, 9, events.len()] {
            let mut stream = head(&[("Transfer-Encoding", "chunked")]).0;
            for chunk in events.chunks(size) {
                stream.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                stream.extend_from_slice(chunk);
                stream.extend_from_slice(b"\r\n");
            }
            for read in [1, 50, stream.len()] {
                let mut listener = Listener::new(Client::event_stream());
                listener.hear(&stream, read).unwrap();
                assert_eq!(listener.told, [Told::Opened, Told::update(UPDATE), Told::update(UPDATE)]);
                assert_eq!(listener.end(), Err(ClientError::CutShort), "the last chunk is missing");
                listener.hear(b"0\r\n\r\n", read).unwrap();
                assert_eq!(listener.end(), Ok(()));
            }
        }
    }

    #[test]
    fn another_answer_is_a_refusal_and_the_rest_is_not_read() {
        let mut listener = Listener::new(Client::event_stream());
        let mut refusal = Vec::new();
        written(&mut refusal, Status::ServiceUnavailable, |head| head.body("text/plain", b"full"));
        listener.hear(&refusal, 9).unwrap();
        assert_eq!(listener.told, [Told::Refused(503)]);
        assert_eq!(listener.end(), Ok(()));
    }

    #[test]
    fn whole_event_is_told_from_where_it_lies_and_an_event_cut_in_two_does_not_move_the_next() {
        let stream = [head(&[]).0, event(17, UPDATE), event(17, UPDATE)].concat();
        for cut in [0, stream.len() - 30 - event(17, UPDATE).len()] {
            let mut bytes = stream.clone();
            let (first, second) = bytes.split_at_mut(cut);
            let within = second.as_ptr_range();
            let mut inside = Vec::new();
            let mut client = Client::event_stream();
            for read in [first, second] {
                client
                    .handle_received(read, MASK, &mut Vec::new(), &mut |heard| {
                        if let Heard::Update { body, .. } = heard {
                            inside.push(within.contains(&body.as_ptr()));
                        }
                    })
                    .unwrap();
            }
            assert_eq!(inside, [cut == 0, true], "cut at {cut}");
        }
    }

    /// The two ways of reading an event agree on where one ends and on what is one.
    #[test]
    fn event_that_is_nearly_as_the_server_writes_it_is_read_line_by_line() {
        let plain = String::from_utf8(event(17, UPDATE)).unwrap();
        for spelled in [
            plain.clone(),
            plain.replace("id: ", "id:"),
            plain.replace("\nevent: location", "\n:\nevent: location\nunknown"),
            plain.replace("data: ", "data:"),
            plain.replace("}\n", "}\r\n"),
            plain.replace("}\n\n", "}\r\r"),
            plain.replace("}\n", "}\nretry: x\n"),
            format!("\u{feff}{plain}"),
        ] {
            let pieces = [head(&[]), (spelled.into_bytes(), vec![Told::update(UPDATE)])];
            check(Client::event_stream, &[&pieces[..], &pieces[1..]].concat(), b"");
        }
    }

    #[test]
    fn every_broken_rule_is_told() {
        let open = || head(&[("Connection", "close")]);
        let id = |id: &str| format!("id: {id}\nevent: location\ndata: {UPDATE}\n\n");
        for (broken, error) in [
            (id("18"), ClientError::EventId),
            (id("1"), ClientError::EventId),
            (id("170"), ClientError::EventId),
            (id(""), ClientError::EventId),
            (id("017"), ClientError::EventId),
            (format!("event: location\ndata: {UPDATE}\n\n"), ClientError::EventId),
            ("id: x\nevent: location\ndata: {\"seq\":x,\n\n".to_owned(), ClientError::EventId),
            ("id: 17\nevent: location\ndata: {\"x\":17}\n\n".to_owned(), ClientError::EventId),
            (format!("id: 17\ndata: {UPDATE}\n\n"), ClientError::EventName),
            (format!("id: 17\nevent: locations\ndata: {UPDATE}\n\n"), ClientError::EventName),
        ] {
            check_refused(Client::event_stream, &[open()], broken.as_bytes(), error);
        }
        let mut html = Vec::new();
        written(&mut html, Status::Ok, |head| head.content("text/html", 5));
        check_refused(Client::event_stream, &[], &html, ClientError::NotEventStream);
    }

    #[test]
    fn event_at_the_limit_is_read_and_one_past_it_refused() {
        let event = |bytes: usize| {
            let start = "id: 1\nevent: location\ndata: {\"seq\":1,";
            format!("{start}{}\n\n", "x".repeat(bytes - start.len() - 2)).into_bytes()
        };
        for size in [1000, 65_537, 1 << 20] {
            let mut listener = Listener::new(Client::event_stream());
            let stream = [head(&[]).0, event(HEARD_BYTES_MAX), b":\n\n".to_vec()].concat();
            listener.hear(&stream, size).unwrap();
            assert_eq!(listener.told.len(), 2, "in reads of {size}");
        }
        let too_long = ClientError::EventTooLong { bytes_max: HEARD_BYTES_MAX };
        let past = [event(HEARD_BYTES_MAX + 1), b":\n\n".to_vec()].concat();
        for size in [1000, 65_537, 1 << 20] {
            let mut listener = Listener::new(Client::event_stream());
            let stream = [head(&[]).0, past.clone()].concat();
            assert_eq!(listener.hear(&stream, size), Err(too_long), "in reads of {size}");
        }
    }
}

/// The upgrade, by the server's own words.
fn switching(subprotocol: Option<&str>) -> Piece {
    piece(|out| handshake::encode_switching(out, &KEY, subprotocol, &[]), [Told::Opened])
}

fn text(text: &str, told: impl IntoIterator<Item = Told>) -> Piece {
    piece(|out| frame::encode_frame(out, Opcode::Text, text.as_bytes()), told)
}

/// The frames that a client answers by, read as the server reads them.
fn check_is_read(unsent: &[u8], expected: &[Incoming<'_>]) {
    let (mut bytes, mut messages) = (unsent.to_vec(), Messages::new(Side::Client));
    let (mut rest, mut expected) = (&mut bytes[..], expected.iter());
    while !rest.is_empty() {
        let bounds = Bounds { message_bytes_max: 1 << 16, fragments_max: None };
        let progress = messages.decode(rest, bounds).expect("a client's frames are legal");
        assert_eq!(progress.item.as_ref(), expected.next());
        let used = progress.used;
        rest = &mut rest[used..];
    }
    assert!(expected.next().is_none() && messages.is_idle());
}

mod websocket {
    use super::*;

    fn client() -> Client {
        Client::websocket(KEY)
    }

    #[test]
    fn texts_pings_and_a_close_are_read_and_answered() {
        let complaint = "{\"error\":\"bad publish\",\"detail\":\"x is missing\"}";
        let long = format!("{{\"seq\":1,\"member\":\"{}\"}}", "m".repeat(300));
        let pieces = [
            switching(None),
            text(UPDATE, [Told::update(UPDATE)]),
            piece(|out| frame::encode_frame(out, Opcode::Ping, b"are you there"), []),
            text(&long, [Told::update(&long)]),
            text(complaint, [Told::Complaint(complaint.to_owned())]),
            piece(|out| frame::encode_frame(out, Opcode::Pong, b""), []),
            piece(|out| frame::encode_close(out, CloseCode::RESTART, "later"), [Told::Closing(1012)]),
        ];
        let mut unsent = Vec::new();
        frame::encode_masked_frame(&mut unsent, Opcode::Pong, b"are you there", MASK);
        frame::encode_masked_frame(&mut unsent, Opcode::Close, &1012u16.to_be_bytes(), MASK);
        check(client, &pieces, &unsent);
        let code = Some(CloseCode::RESTART);
        let close = Incoming::Close { code, reason: "".into() };
        check_is_read(&unsent, &[Incoming::Pong, close]);
    }

    #[test]
    fn update_in_fragments_is_told_whole() {
        let encode = |out: &mut Vec<u8>| {
            frame::encode_head(out, false, Opcode::Text, 3, None);
            out.extend_from_slice(&UPDATE.as_bytes()[..3]);
            frame::encode_frame(out, Opcode::Pong, b"");
            frame::encode_head(out, true, Opcode::Continuation, UPDATE.len() - 3, None);
            out.extend_from_slice(&UPDATE.as_bytes()[3..]);
        };
        check(client, &[switching(None), piece(encode, [Told::update(UPDATE)])], b"");
    }

    #[test]
    fn close_without_a_code_is_answered_by_one_without() {
        let mut answer = Vec::new();
        frame::encode_masked_frame(&mut answer, Opcode::Close, b"", MASK);
        let close = piece(|out| frame::encode_frame(out, Opcode::Close, b""), [Told::Closing(1005)]);
        check(client, &[switching(None), close], &answer);
        check_is_read(&answer, &[Incoming::Close { code: None, reason: "".into() }]);
    }

    #[test]
    fn nothing_is_read_behind_a_close() {
        let mut listener = Listener::new(client());
        let mut stream = switching(None).0;
        frame::encode_close(&mut stream, CloseCode::NORMAL, "");
        listener.hear(&[&stream[..], &[0xff; 20]].concat(), 1000).unwrap();
        listener.hear(&[0xff; 20], 7).unwrap();
        assert_eq!(listener.told, [Told::Opened, Told::Closing(1000)]);
        assert_eq!(listener.end(), Ok(()));
    }

    #[test]
    fn close_of_ours_is_sent_once_and_its_answer_is_not_answered() {
        let mut listener = Listener::new(client());
        listener.client.close(CloseCode::NORMAL, MASK, &mut listener.unsent);
        assert!(listener.unsent.is_empty(), "there is nothing to close yet");
        listener.hear(&switching(None).0, 1000).unwrap();
        listener.client.close(CloseCode::NORMAL, MASK, &mut listener.unsent);
        listener.client.close(CloseCode::NORMAL, MASK, &mut listener.unsent);
        listener.hear(&text(UPDATE, []).0, 1000).unwrap();
        let mut close = Vec::new();
        frame::encode_close(&mut close, CloseCode::NORMAL, "");
        listener.hear(&close, 1000).unwrap();
        assert_eq!(listener.told, [Told::Opened, Told::update(UPDATE), Told::Closing(1000)]);
        let ours = Incoming::Close { code: Some(CloseCode::NORMAL), reason: "".into() };
        check_is_read(&listener.unsent, &[ours]);
    }

    #[test]
    fn refused_upgrade_is_told_and_its_body_is_not_read() {
        let mut refusal = Vec::new();
        written(&mut refusal, Status::Forbidden, |head| head.body("text/plain", b"no"));
        for size in [1, 1000] {
            let mut listener = Listener::new(client());
            listener.hear(&refusal, size).unwrap();
            assert_eq!(listener.told, [Told::Refused(403)]);
            assert_eq!(listener.end(), Ok(()));
        }
    }

    #[test]
    fn every_broken_rule_of_the_upgrade_is_told() {
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
        let wrong = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n";
        for (fields, error) in [
            ("".to_owned(), ClientError::NotWebSocket),
            (format!("Upgrade: websocket\r\n{accept}"), ClientError::NotWebSocket),
            (format!("Upgrade: h2c\r\nConnection: Upgrade\r\n{accept}"), ClientError::NotWebSocket),
            (upgrade.to_owned(), ClientError::AcceptKey),
            (format!("{upgrade}{wrong}"), ClientError::AcceptKey),
            (format!("{upgrade}Sec-WebSocket-Accept: s3pPLMBi\r\n"), ClientError::AcceptKey),
            (format!("{upgrade}{accept}Sec-WebSocket-Extensions: x\r\n"), ClientError::Extensions),
            (format!("{upgrade}{accept}Sec-WebSocket-Protocol: v12.stomp\r\n"), ClientError::Subprotocol),
        ] {
            let head = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
            check_refused(client, &[], head.as_bytes(), error);
        }
        check_refused(client, &[], b"\x81\x05Hello", ClientError::Answer(AnswerError::Version));
    }

    #[test]
    fn every_broken_rule_of_frames_and_texts_is_told() {
        let violation = |violation| ClientError::WebSocket(violation);
        let framed = |error| violation(Violation::Frame(error));
        let mut masked = Vec::new();
        speak::encode_text(&mut masked, UPDATE.as_bytes(), MASK);
        let mut long = Vec::new();
        frame::encode_head(&mut long, true, Opcode::Text, HEARD_BYTES_MAX + 1, None);
        let too_big = Violation::TooBig { announced: HEARD_BYTES_MAX as u64 + 1, max: HEARD_BYTES_MAX };
        for (broken, error) in [
            (&masked[..], framed(FrameError::Masked)),
            (&[0xc1], framed(FrameError::ReservedBits(0x40))),
            (&[0x83], framed(FrameError::ReservedOpcode(3))),
            (&[0x09], framed(FrameError::ControlFragmented)),
            (&[0x81, 126, 0, 5], framed(FrameError::LengthNotMinimal(5))),
            (&[0x80, 0], violation(Violation::NothingToContinue)),
            (&[0x81, 1, 0xff], violation(Violation::TextNotUtf8)),
            (&[0x88, 1, 3], violation(Violation::CloseTooShort)),
            (&[0x88, 2, 3, 0xed], violation(Violation::CloseCode(1005))),
            (&long, violation(too_big)),
            (b"\x81\x02hi", ClientError::UnknownText),
            (b"\x81\x00", ClientError::UnknownText),
            (b"\x81\x02{}", ClientError::UnknownText),
            (b"\x82\x02{}", ClientError::Binary),
        ] {
            check_refused(client, &[switching(None), text(UPDATE, [Told::update(UPDATE)])], broken, error);
        }
    }
}

mod stomp {
    use super::*;

    fn client() -> Client {
        Client::stomp(KEY)
    }

    fn framed(encode: impl FnOnce(&mut Vec<u8>), told: impl IntoIterator<Item = Told>) -> Piece {
        let mut payload = Vec::new();
        encode(&mut payload);
        piece(|out| frame::encode_frame(out, Opcode::Text, &payload), told)
    }

    fn connected(version: Version) -> Piece {
        framed(
            |out| encode::encode_connected(out, version, "geoloop/1", "a1", (0, 25_000)),
            [Told::Connected(version.label())],
        )
    }

    fn encode_message(out: &mut Vec<u8>, subscription: Option<&[u8]>, number: u64, ack: bool, body: &str) {
        MessageHead { subscription, ordinal: 3, seq: seq(number), ack }.encode(out);
        encode::encode_message_tail(out, group(7), body.as_bytes());
    }

    fn stomp_message(subscription: &str, number: u64, body: &str) -> Piece {
        framed(
            |out| encode_message(out, Some(subscription.as_bytes()), number, false, body),
            [Told::update_for(body, subscription)],
        )
    }

    #[test]
    fn session_is_read_from_its_opening_to_its_end() {
        let other = "{\"seq\":18,\"x\":1,\"y\":2,\"at\":3}";
        let longer = "{\"seq\":9007199254740991,\"member\":\"a\",\"left\":true,\"at\":3}";
        let mut close = Vec::new();
        frame::encode_masked_frame(&mut close, Opcode::Close, &1002u16.to_be_bytes(), MASK);
        for version in Version::ALL {
            let pieces = [
                switching(Some("v12.stomp")),
                connected(version),
                stomp_message("s-1", 17, UPDATE),
                stomp_message("s-1", 18, other),
                stomp_message("s-2", 18, other),
                stomp_message("s-2", Seq::END - 1, longer),
                framed(|out| out.push(b'\n'), []),
                framed(|out| encode_message(out, None, 17, true, UPDATE), [Told::update_for_nobody(UPDATE)]),
                framed(|out| encode::encode_receipt(out, version, "r-1"), [Told::Receipt("r-1".to_owned())]),
                stomp_message("s-2", 18, other),
                framed(
                    |out| encode::encode_error(out, version, "no such thing", "at all", None),
                    [Told::Complaint("no such thing".to_owned())],
                ),
                piece(|out| frame::encode_close(out, CloseCode::PROTOCOL_ERROR, ""), [Told::Closing(1002)]),
            ];
            check(client, &pieces, &close);
        }
    }

    #[test]
    fn headers_are_read_in_the_spelling_of_the_version() {
        for (version, id) in [(Version::V10, "a\\cb"), (Version::V11, "a:b"), (Version::V12, "a:b")] {
            let pieces = [
                switching(None),
                connected(version),
                framed(
                    |out| encode_message(out, Some(b"a\\cb"), 17, false, UPDATE),
                    [Told::update_for(UPDATE, id)],
                ),
                framed(|out| encode::encode_receipt(out, version, id), [Told::Receipt(id.to_owned())]),
                // Once more, for what was learned from the first.
                framed(
                    |out| encode_message(out, Some(b"a\\cb"), 17, false, UPDATE),
                    [Told::update_for(UPDATE, id)],
                ),
            ];
            check(client, &pieces, b"");
        }
    }

    #[test]
    fn frames_are_read_wherever_messages_cut_them() {
        let told = Told::update_for(UPDATE, "s");
        let mut frames = Vec::new();
        encode_message(&mut frames, Some(b"s"), 17, false, UPDATE);
        frames.extend_from_slice(b"\n\r\n");
        encode_message(&mut frames, Some(b"s"), 17, false, UPDATE);
        let cut_in = |size: usize, opcode| {
            piece(
                |out| frames.chunks(size).for_each(|part| frame::encode_frame(out, opcode, part)),
                [told.clone(), told.clone()],
            )
        };
        for size in [1, 10, 100, 400] {
            for opcode in [Opcode::Text, Opcode::Binary] {
                // A cut inside of é is no text.
                let opcode = if size < 400 { Opcode::Binary } else { opcode };
                let (bytes, expected) = cut_in(size, opcode);
                for read in [1, 33, bytes.len()] {
                    let mut listener = Listener::new(client());
                    let opening = [switching(None).0, connected(Version::V12).0].concat();
                    listener.hear(&opening, read).unwrap();
                    listener.hear(&bytes, read).unwrap();
                    assert_eq!(listener.told[2..], expected, "messages of {size} in reads of {read}");
                    assert_eq!(listener.end(), Ok(()));
                }
            }
        }
        let mut listener = Listener::new(client());
        let half = framed(|out| out.extend_from_slice(&frames[..20]), []).0;
        let opening = [switching(None).0, connected(Version::V12).0, half].concat();
        listener.hear(&opening, 1000).unwrap();
        assert_eq!(listener.end(), Err(ClientError::CutShort), "half a frame in a whole message");
    }

    /// The rules that hold for the first MESSAGE of a subscription hold for one that is like it but for a few bytes.
    #[test]
    fn message_that_resembles_the_one_before_keeps_every_rule() {
        let good = |number: u64, length: usize, update: &str| {
            format!(
                "MESSAGE\nsubscription:s\nmessage-id:3-{number}\ndestination:/sub/location/7\n\
                 content-length:{length}\n\n{update}\0"
            )
        };
        let whole = good(17, UPDATE.len(), UPDATE);
        let long = UPDATE.len();
        let short = ClientError::Stomp(StompError::BodyPastContentLength { content_length: long - 1 });
        let past = UPDATE.replace("17,", &format!("{},", Seq::END));
        for (broken, error) in [
            (good(18, long, UPDATE), ClientError::MessageId),
            (good(1, long, UPDATE), ClientError::MessageId),
            (whole.replace("-17", "-"), ClientError::MessageId),
            (whole.replace("-17", "-017"), ClientError::MessageId),
            (good(17, long + 1, &UPDATE.replace("17,", "17 ,")), ClientError::MessageId),
            (good(Seq::END, past.len(), &past), ClientError::MessageId),
            (good(17, long - 1, UPDATE), short),
            (whole.replace("/7", "/x"), ClientError::Destination),
            (
                whole.replace("content-length:", "content-length:x"),
                ClientError::Stomp(StompError::BadContentLength),
            ),
            (
                whole.replace("destination", "content-length:2\ndestination"),
                ClientError::Stomp(StompError::BodyPastContentLength { content_length: 2 }),
            ),
            (whole.replace("message-id", "message-id:3-18\nmessage-id"), ClientError::MessageId),
        ] {
            let told = || [Told::update_for(UPDATE, "s")];
            for version in [Version::V10, Version::V12] {
                let before =
                    [switching(None), connected(version), text(&whole, told()), text(&whole, told())];
                check_refused(client, &before, &text(&broken, []).0, error);
                check_refused(client, &before[..2], &text(&broken, []).0, error);
            }
        }
    }

    #[test]
    fn message_tells_for_which_subscription_and_of_which_group_it_is() {
        let addresses = [("s", 7), ("s", 7), ("s", 8), ("s", 8), ("t", 8), ("t", 8), ("s", 7)];
        let messages = addresses.map(|(id, to)| {
            let told = Told::Update(UPDATE.to_owned(), Some(id.to_owned()), Some(to));
            let encode = |out: &mut Vec<u8>| {
                MessageHead { subscription: Some(id.as_bytes()), ordinal: 3, seq: seq(17), ack: false }
                    .encode(out);
                encode::encode_message_tail(out, group(to), UPDATE.as_bytes());
            };
            framed(encode, [told])
        });
        let opening = [switching(None), connected(Version::V12)];
        check(client, &[&opening[..], &messages[..]].concat(), b"");
    }

    #[test]
    fn second_of_repeated_headers_never_counts() {
        let (other, long) = (UPDATE.replace("17,", "18,"), UPDATE.len());
        let past = ClientError::Stomp(StompError::BodyPastContentLength { content_length: long });
        let ids = |second: u64, update: &str| {
            let ids = format!("message-id:1-17\nmessage-id:1-{second}\n");
            format!("MESSAGE\n{ids}destination:/sub/location/7\ncontent-length:{long}\n\n{update}\0")
        };
        let lengths = |second: usize, update: &str| {
            let lengths = format!("content-length:{long}\ncontent-length:{second}\n");
            format!("MESSAGE\nmessage-id:1-17\ndestination:/sub/location/7\n{lengths}\n{update}\0")
        };
        let longer = UPDATE.replace("12.5", "12.55");
        for (good, broken, error) in [
            (ids(17, UPDATE), ids(18, &other), ClientError::MessageId),
            (ids(5, UPDATE), ids(18, &other), ClientError::MessageId),
            (lengths(long, UPDATE), lengths(long + 1, &longer), past),
        ] {
            let good = text(&good, [Told::update_for_nobody(UPDATE)]);
            let before = [switching(None), connected(Version::V12), good.clone(), good];
            check_refused(client, &before, &text(&broken, []).0, error);
        }
    }

    #[test]
    fn frame_over_two_messages_leaves_the_next_one_alone() {
        let mut frame = Vec::new();
        encode_message(&mut frame, Some(b"s"), 17, false, UPDATE);
        let receipt = |out: &mut Vec<u8>| encode::encode_receipt(out, Version::V12, "r");
        for cut in [1, 8, 30, frame.len() - UPDATE.len() - 1, frame.len() - 1] {
            let mut listener = Listener::new(client());
            let (first, second) = frame.split_at(cut);
            let mut stream = [switching(None).0, connected(Version::V12).0].concat();
            for part in [&frame[..], first, second] {
                frame::encode_frame(&mut stream, Opcode::Binary, part);
            }
            stream.extend(framed(receipt, []).0);
            assert_eq!(listener.hear(&stream, 1000), Ok(()), "cut at {cut}");
            let told = Told::update_for(UPDATE, "s");
            assert_eq!(listener.told[2..], [told.clone(), told, Told::Receipt("r".to_owned())]);
        }
    }

    #[test]
    fn first_of_repeated_headers_counts_in_every_message() {
        let other = UPDATE.replace("17,", "18,");
        let message = |id: &str, length: &str, update: &str| {
            format!("MESSAGE\n{id}destination:/sub/location/7\n{length}\n{update}\0")
        };
        let (long, longer) = (UPDATE.len(), UPDATE.len() + 5);
        let length = format!("content-length:{long}\n");
        for (id, length) in [
            ("message-id:1-ID\nmessage-id:1-5\n", length.clone()),
            ("message-id:1-ID\n", format!("content-length:{long}\ncontent-length:{longer}\n")),
            ("message-id:1-ID\n", format!("content-length:{long}\r\n")),
            ("message-id:1-ID\r\n", length.clone()),
            ("ack:1-ID\nmessage-id:1-ID\n", length),
        ] {
            let of = |number: &str, update: &str| {
                text(&message(&id.replace("ID", number), &length, update), [Told::update_for_nobody(update)])
            };
            let opening = [switching(None), connected(Version::V12)];
            let pieces = [&opening[..], &[of("17", UPDATE), of("18", &other), of("17", UPDATE)]].concat();
            check(client, &pieces, b"");
        }
    }

    #[test]
    fn failed_negotiation_is_a_complaint() {
        let failed = framed(
            |out| encode::encode_no_common_version(out, "x"),
            [Told::Complaint("no common version".to_owned())],
        );
        check(client, &[switching(None), failed], b"");
    }

    #[test]
    fn server_of_1_0_need_not_say_so() {
        let silent =
            framed(|out| out.extend_from_slice(b"CONNECTED\nsession:1\n\n\0"), [Told::Connected("1.0")]);
        check(client, &[switching(None), silent], b"");
    }

    #[test]
    fn every_broken_rule_is_told() {
        let message = |headers: &str, body: &str| format!("MESSAGE\n{headers}\n{body}\0");
        let length = format!("content-length:{}\n", UPDATE.len());
        let id = "subscription:s\nmessage-id:3-17\n";
        let to = "destination:/sub/location/7\n";
        let missing = |header| ClientError::MissingHeader { command: Command::Message, header };
        let longer = format!("content-length:{}\n", UPDATE.len() + 2);
        let shorter = format!("content-length:{}\n", UPDATE.len() - 1);
        let content_length = UPDATE.len() - 1;
        for (broken, error) in [
            (message(&format!("{id}{to}"), UPDATE), missing("content-length")),
            (message(&format!("{to}{length}"), UPDATE), missing("message-id")),
            (message(&format!("{id}{length}"), UPDATE), missing("destination")),
            (message(&format!("message-id:3-18\n{to}{length}"), UPDATE), ClientError::MessageId),
            (message(&format!("message-id:3-1\n{to}{length}"), UPDATE), ClientError::MessageId),
            (message(&format!("message-id:17\n{to}{length}"), UPDATE), ClientError::MessageId),
            (message(&format!("message-id:-17\n{to}{length}"), UPDATE), ClientError::MessageId),
            (message(&format!("{id}{to}content-length:2\n"), "{}"), ClientError::MessageId),
            (
                message(&format!("{id}destination:/sub/location/x\n{length}"), UPDATE),
                ClientError::Destination,
            ),
            (message(&format!("{id}destination:/pub/share/7\n{length}"), UPDATE), ClientError::Destination),
            (message(&format!("{id}destination:7\n{length}"), UPDATE), ClientError::Destination),
            (
                message(&format!("{id}{to}{shorter}"), UPDATE),
                ClientError::Stomp(StompError::BodyPastContentLength { content_length }),
            ),
            (
                format!("{}\0xx", message(&format!("{id}{to}{longer}"), UPDATE)),
                ClientError::Stomp(StompError::BodyPastContentLength { content_length: UPDATE.len() + 2 }),
            ),
            (
                "RECEIPT\n\n\0".to_owned(),
                ClientError::MissingHeader { command: Command::Receipt, header: "receipt-id" },
            ),
            ("CONNECTED\nversion:1.2\n\n\0".to_owned(), ClientError::ConnectedTwice),
            ("SEND\n\n\0".to_owned(), ClientError::ClientCommand { command: Command::Send }),
            ("HELLO\n\n\0".to_owned(), ClientError::Stomp(StompError::UnknownCommand)),
            (
                "RECEIPT\nreceipt-id:\\t\n\n\0".to_owned(),
                ClientError::Stomp(StompError::BadEscape { line_number: 1, version: Version::V12 }),
            ),
        ] {
            let broken = text(&broken, []).0;
            let good = stomp_message("s", 17, UPDATE);
            for before in [&[][..], &[good]] {
                let before = [&[switching(None), connected(Version::V12)][..], before].concat();
                check_refused(client, &before, &broken, error);
            }
        }
    }

    #[test]
    fn every_broken_rule_of_the_opening_is_told() {
        let not_connected = |command| ClientError::NotConnected { command };
        let mut early = Vec::new();
        encode_message(&mut early, None, 17, false, UPDATE);
        for (broken, error) in [
            (&early[..], not_connected(Command::Message)),
            (b"RECEIPT\nreceipt-id:1\n\n\0", not_connected(Command::Receipt)),
            (b"CONNECTED\nversion:2.0\n\n\0", ClientError::Version),
            (b"CONNECT\n\n\0", ClientError::ClientCommand { command: Command::Connect }),
            (UPDATE.as_bytes(), ClientError::Stomp(StompError::UnknownCommand)),
        ] {
            let broken = piece(|out| frame::encode_frame(out, Opcode::Text, broken), []).0;
            check_refused(client, &[switching(None)], &broken, error);
        }
        let chat = piece(|out| handshake::encode_switching(out, &KEY, Some("chat"), &[]), []).0;
        check_refused(client, &[], &chat, ClientError::Subprotocol);
    }
}

mod said {
    use super::*;

    /// Reads what was encoded as the server does: one message of text, of whole frames.
    #[track_caller]
    fn check(encode: impl FnOnce(&mut Vec<u8>), expected: &str, commands: &[Command]) {
        let mut out = Vec::new();
        speak::encode_text(&mut out, b"before", MASK);
        encode(&mut out);
        check_is_read(&out, &[Incoming::Text("before".into()), Incoming::Text(expected.into())]);
        let mut rest = expected.as_bytes();
        let mut found = Vec::new();
        while !rest.is_empty() {
            let limits = FrameLimits { frame_bytes_max: 1 << 14, headers_max: 64 };
            match stomp_frame::decode(rest, Version::V10, limits, &mut Scan::default()) {
                Ok(Parsed::Complete { value, used }) => {
                    if let Item::Frame(frame) = value {
                        found.push(frame.command);
                    }
                    rest = &rest[used..];
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(found, commands);
    }

    #[test]
    fn frames_of_the_seed_are_written_as_its_script_does() {
        check(
            |out| speak::encode_seed_connect(out, MASK),
            "CONNECT\naccept-version:1.0,1.1,2.0\n\n\0\n",
            &[Command::Connect],
        );
        check(
            |out| speak::encode_seed_subscribe(out, "6fa0", group(10), MASK),
            "SUBSCRIBE\nid:6fa0\ndestination:/sub/location/10\n\n\0\n",
            &[Command::Subscribe],
        );
        check(
            |out| speak::encode_seed_send(out, group(3), MASK),
            "SEND\ndestination:/pub/share/3\n\n{\"content\":\"Hi from k6 STOMP!\"}\0\n",
            &[Command::Send],
        );
    }

    #[test]
    fn frames_of_our_own_go_into_one_text_however_long() {
        let publish = format!("{{\"member\":\"{}\"}}", "m".repeat(200));
        let mut expected = Vec::new();
        let encode = |out: &mut Vec<u8>| {
            encode::encode_subscribe(out, Version::V12, "1", group(3), AckMode::Auto, None);
            encode::encode_send(out, group(3), publish.as_bytes());
        };
        encode(&mut expected);
        let expected = String::from_utf8(expected).unwrap();
        check(
            |out| speak::encode_in_text(out, MASK, encode),
            &expected,
            &[Command::Subscribe, Command::Send],
        );
    }
}
