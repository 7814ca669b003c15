//! One connection of the fleet: what it has to say first, and what the server's bytes mean to it.
//!
//! Knows the bytes of five transports by the library's own decoders; knows neither sockets nor the clock.

use geoloop::wire::Parsed;
use geoloop::wire::sse;
use geoloop::wire::stomp::frame::{self as stomp_frame, FrameLimits, Item, Scan};
use geoloop::wire::stomp::{Command, Version};
use geoloop::wire::websocket::frame::{Opcode, Side, encode_masked_frame};
use geoloop::wire::websocket::message::{Bounds, Incoming, Messages};

use crate::harness::http::{Answer, post};
use crate::harness::stomp::frame;
use crate::harness::update::Update;
use crate::harness::websocket::upgrade;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const BOUNDS: Bounds = Bounds { message_bytes_max: 1 << 20, fragments_max: None };
const FRAME_LIMITS: FrameLimits = FrameLimits { frame_bytes_max: 1 << 20, headers_max: 64 };

/// What a connection is opened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Requests and answers; nothing is sent at first.
    Http,
    /// An event stream of this target.
    Sse(String),
    /// A WebSocket of this target.
    WebSocket(String),
    /// A STOMP connection, heart-beats off, that speaks for a member if one is named, subscribed to these groups.
    Stomp(Option<String>, Vec<u64>),
}

impl Dialect {
    /// What is sent as soon as the connection stands.
    pub(crate) fn first_bytes(&self) -> Vec<u8> {
        match self {
            Self::Http => Vec::new(),
            Self::Sse(target) => {
                format!("GET {target} HTTP/1.1\r\nHost: geoloop\r\nAccept: text/event-stream\r\n\r\n")
                    .into_bytes()
            }
            Self::WebSocket(target) => upgrade(target).into_bytes(),
            Self::Stomp(..) => upgrade("/location").into_bytes(),
        }
    }

    /// What is sent once the stream is open: CONNECT and the subscriptions, the last with a receipt.
    fn second_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Self::Stomp(member, groups) = self else { return bytes };
        let mut headers = vec![("accept-version", "1.2"), ("host", "geoloop"), ("heart-beat", "0,0")];
        headers.extend(member.as_deref().map(|member| ("member", member)));
        text_frame(&mut bytes, &frame("CONNECT", &headers, ""));
        for (place, group) in groups.iter().enumerate() {
            let (id, destination) = (group.to_string(), format!("/sub/location/{group}"));
            let mut headers = vec![("id", id.as_str()), ("destination", &destination)];
            headers.extend((place + 1 == groups.len()).then_some(("receipt", OPENED)));
            text_frame(&mut bytes, &frame("SUBSCRIBE", &headers, ""));
        }
        bytes
    }
}

/// The receipt that says that a STOMP connection's subscriptions are in place.
const OPENED: &str = "opened";

/// Appends a client's text message.
pub(crate) fn text_frame(out: &mut Vec<u8>, text: &str) {
    encode_masked_frame(out, Opcode::Text, text.as_bytes(), MASK);
}

/// Appends a client's Close.
pub(crate) fn close_frame(out: &mut Vec<u8>, code: u16) {
    encode_masked_frame(out, Opcode::Close, &code.to_be_bytes(), MASK);
}

/// What the server said on a connection.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The stream is open and its subscriptions are in place.
    Opened,
    /// An update, and the id of the STOMP subscription that it came for.
    Update(Update, Option<u64>),
    /// An HTTP answer; in place of `Opened` a refusal.
    Answer(Answer),
    /// Any other words: an error, a receipt.
    Words(String),
    /// The connection is no more, whoever ended it but ourselves.
    Ended,
}

/// How the bytes that come are to be read.
enum Stage {
    /// Accepts: answers.
    Answers,
    /// Accepts: the head that opens a stream. Next: the stream's stage, or `Answers` when it is refused.
    Head,
    /// Accepts: blocks of events.
    Events,
    /// Accepts: messages.
    Messages(Messages),
    /// Accepts: frames in messages.
    Frames(Messages, Scan),
}

/// What one connection has understood so far, and what it has to answer.
pub(crate) struct Conversation {
    dialect: Dialect,
    stage: Stage,
    /// Bytes of an item that has not come whole.
    unread: Vec<u8>,
    /// What is to be sent.
    pub(crate) unsent: Vec<u8>,
}

impl Conversation {
    pub(crate) fn new(dialect: Dialect) -> Self {
        let stage = match &dialect {
            Dialect::Http => Stage::Answers,
            Dialect::Sse(_) | Dialect::WebSocket(_) | Dialect::Stomp(..) => Stage::Head,
        };
        let unsent = dialect.first_bytes();
        Self { dialect, stage, unread: Vec::new(), unsent }
    }

    /// Queues a publish in the connection's own dialect.
    pub(crate) fn publish(&mut self, group: u64, body: &str) {
        match &self.stage {
            Stage::Answers => {
                let post = post(&format!("/location/share/{group}"), body);
                self.unsent.extend_from_slice(post.as_bytes());
            }
            Stage::Messages(_) => text_frame(&mut self.unsent, body),
            Stage::Frames(..) => {
                let send = frame("SEND", &[("destination", &format!("/pub/share/{group}"))], body);
                text_frame(&mut self.unsent, &send);
            }
            Stage::Head | Stage::Events => panic!("nothing can be published on {:?}", self.dialect),
        }
    }

    /// Understands what has come; a server that breaks its own protocol panics here.
    pub(crate) fn receive(&mut self, bytes: &mut [u8], said: &mut impl FnMut(What)) {
        if let Stage::Messages(messages) = &mut self.stage {
            return read_messages(messages, bytes, &mut self.unsent, &mut |text| said(message(text)));
        }
        if let Stage::Frames(messages, scan) = &mut self.stage {
            let unread = &mut self.unread;
            read_messages(messages, bytes, &mut self.unsent, &mut |text| {
                unread.extend_from_slice(text.as_bytes());
            });
            return read_frames(unread, scan, said);
        }
        self.unread.extend_from_slice(bytes);
        match &self.stage {
            Stage::Head => self.read_head(said),
            Stage::Answers => self.read_answers(said),
            Stage::Events => self.read_events(said),
            Stage::Messages(_) | Stage::Frames(..) => {}
        }
    }

    fn read_head(&mut self, said: &mut impl FnMut(What)) {
        let Some((head, used)) = head(&self.unread) else { return };
        let next = match (&self.dialect, head.status) {
            (Dialect::Sse(_), 200) => Stage::Events,
            (Dialect::WebSocket(_), 101) => Stage::Messages(Messages::new(Side::Server)),
            (Dialect::Stomp(..), 101) => Stage::Frames(Messages::new(Side::Server), Scan::default()),
            _ => Stage::Answers,
        };
        self.stage = next;
        if let Stage::Answers = self.stage {
            return self.read_answers(said);
        }
        self.unsent.extend(self.dialect.second_bytes());
        if !matches!(self.stage, Stage::Frames(..)) {
            said(What::Opened);
        }
        let mut rest = self.unread.split_off(used);
        self.unread.clear();
        self.receive(&mut rest, said);
    }

    fn read_answers(&mut self, said: &mut impl FnMut(What)) {
        let mut from = 0;
        while let Some((mut answer, used)) = head(&self.unread[from..]) {
            let length = answer.header("Content-Length").map(str::parse::<usize>);
            let length = length.transpose().expect("Content-Length is a number").unwrap_or(0);
            let Some(body) = self.unread.get(from + used..from + used + length) else { break };
            answer.body = body.to_vec();
            from += used + length;
            said(What::Answer(answer));
        }
        self.unread.drain(..from);
    }

    fn read_events(&mut self, said: &mut impl FnMut(What)) {
        let mut from = 0;
        while let Parsed::Complete { value, used } = sse::decode(&self.unread[from..]) {
            from += used;
            let Some(data) = value.data else { continue };
            let update = Update::parse(&data);
            assert_eq!(value.id.as_deref(), Some(update.seq.to_string().as_str()), "{}", update.text);
            said(What::Update(update, None));
        }
        self.unread.drain(..from);
    }
}

/// The head at the start of some bytes as an answer without a body, and its length.
fn head(bytes: &[u8]) -> Option<(Answer, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(used) = response.parse(bytes).expect("the server writes HTTP") else {
        return None;
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = response.headers.iter().map(|field| (field.name.to_owned(), text(field.value)));
    let status = response.code.expect("a whole head has a status");
    Some((Answer { status, headers: headers.collect(), body: Vec::new() }, used))
}

/// Reads messages to the end of the bytes, answers pings, and hands on the texts.
fn read_messages(
    messages: &mut Messages,
    mut bytes: &mut [u8],
    unsent: &mut Vec<u8>,
    text: &mut impl FnMut(&str),
) {
    while !bytes.is_empty() {
        let progress = messages.decode(bytes, BOUNDS).expect("the server writes frames");
        let used = progress.used;
        match progress.item {
            Some(Incoming::Text(words)) => text(&words),
            Some(Incoming::Ping(payload)) => encode_masked_frame(unsent, Opcode::Pong, &payload, MASK),
            Some(Incoming::Close { code, .. }) => {
                text(&format!("close {}", code.map_or(1005, |code| code.number())));
            }
            Some(Incoming::Pong) | None => {}
            Some(Incoming::Binary(bytes)) => panic!("the server sends no binary messages: {bytes:?}"),
        }
        bytes = &mut bytes[used..];
    }
}

fn message(text: &str) -> What {
    if text.starts_with(r#"{"seq""#) {
        What::Update(Update::parse(text), None)
    } else {
        What::Words(text.to_owned())
    }
}

fn read_frames(unread: &mut Vec<u8>, scan: &mut Scan, said: &mut impl FnMut(What)) {
    let mut from = 0;
    if unread.starts_with(b"close ") {
        return said(What::Words(String::from_utf8_lossy(unread).into_owned()));
    }
    loop {
        let decoded = stomp_frame::decode(&unread[from..], Version::V12, FRAME_LIMITS, scan);
        let Parsed::Complete { value, used } = decoded.expect("the server writes STOMP") else { break };
        from += used;
        let Item::Frame(frame) = value else { continue };
        let header = |name| frame.headers.value(name);
        match frame.command {
            Command::Message => {
                let update = Update::parse(std::str::from_utf8(frame.body).expect("an update is UTF-8"));
                let subscription = header("subscription").and_then(|id| id.parse().ok());
                said(What::Update(update, subscription));
            }
            Command::Receipt if header("receipt-id").as_deref() == Some(OPENED) => said(What::Opened),
            Command::Connected => {}
            other => said(What::Words(format!("{} {:?}", other.label(), header("message")))),
        }
    }
    unread.drain(..from);
}
