//! What a peer receives, read strictly and without a line of the server's own decoders: every byte belongs to a whole
//! answer, event, frame or heart-beat, and nothing comes behind a last word.

use crate::harness::http::Answer;
use crate::harness::stomp::Frame;
use crate::harness::update::Update;
use crate::trace::shown;

/// One thing that a peer was told.
#[derive(Debug)]
pub(crate) enum Heard {
    /// An answer; of an upgrade or an event stream its head alone.
    Answer(Answer),
    /// The stream's sign of life.
    Comment,
    /// When to come back to a stream.
    Retry,
    /// An event.
    Event(Update),
    /// A WebSocket text message.
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The last word of a WebSocket.
    Close(Option<u16>),
    /// A STOMP frame.
    Frame(Frame),
    Beat,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Http,
    Sse,
    WebSocket,
    Stomp,
}

/// One peer's input.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) speech: Speech,
    bytes: Vec<u8>,
    /// The last word has come.
    pub(crate) over: bool,
    /// An ERROR has come: a Close follows.
    failed: bool,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { speech: Speech::Http, bytes: Vec::new(), over: false, failed: false }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        assert!(!self.over || bytes.is_empty(), "more behind the last word: {}", shown(bytes));
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether it stands in the middle of something.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes
    }

    /// The next whole thing; `head_only` says that the next answer is one to a HEAD.
    pub(crate) fn poll(&mut self, head_only: bool) -> Option<Heard> {
        assert!(!self.over || self.bytes.is_empty(), "more behind the last word: {}", shown(&self.bytes));
        match self.speech {
            Speech::Http => self.poll_answer(head_only).map(Heard::Answer),
            Speech::Sse => self.poll_block(),
            Speech::WebSocket | Speech::Stomp => self.poll_frame(),
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        self.bytes.drain(..length).collect()
    }

    fn find(&self, mark: &[u8]) -> Option<usize> {
        self.bytes.windows(mark.len()).position(|window| window == mark)
    }

    fn poll_answer(&mut self, head_only: bool) -> Option<Answer> {
        let start = &self.bytes[..self.bytes.len().min(9)];
        assert!(b"HTTP/1.1 ".starts_with(start), "no answer: {}", shown(&self.bytes));
        let head_bytes = self.find(b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.bytes[..head_bytes - 4].to_vec()).expect("heads are ASCII");
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status: u16 = status_line[9..12].parse().expect("a status of three digits");
        // A request that stays away half said is answered as if it were none.
        let head_only = head_only && status != 408;
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
            let is_token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            assert!(is_token && !name.is_empty() && !value.contains(['\r', '\n', '\0']), "{line:?}");
            (name.to_owned(), value.to_owned())
        };
        let mut answer = Answer { status, headers: lines.map(field).collect(), body: Vec::new() };
        let length = answer.header("Content-Length").map(|length| length.parse().expect("a length"));
        let streams = answer.header("Content-Type") == Some("text/event-stream") && length.is_none();
        let body_bytes: usize = match (status, length) {
            (101 | 204 | 304, length) => {
                assert_eq!(length, None, "an answer without content has no length: {answer:?}");
                0
            }
            (_, Some(length)) if !head_only => length,
            (_, length) => {
                assert!(head_only || streams || length.is_some(), "its end cannot be told: {answer:?}");
                0
            }
        };
        if self.bytes.len() < head_bytes + body_bytes {
            return None;
        }
        self.take(head_bytes);
        answer.body = self.take(body_bytes);
        Some(answer)
    }

    fn poll_block(&mut self) -> Option<Heard> {
        let end = self.find(b"\n\n")?;
        let block = String::from_utf8(self.take(end + 2)).expect("streams are UTF-8");
        let lines: Vec<_> = block.trim_end().split('\n').collect();
        match lines[..] {
            [":"] => Some(Heard::Comment),
            [retry] => {
                let wait = retry.strip_prefix("retry: ").unwrap_or_else(|| panic!("no block: {block:?}"));
                assert!(wait.parse::<u64>().is_ok(), "{block:?}");
                Some(Heard::Retry)
            }
            [id, "event: location", data] => {
                let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {block:?}"));
                let update = Update::parse(data);
                assert_eq!(id, format!("id: {}", update.seq), "{block:?}");
                Some(Heard::Event(update))
            }
            _ => panic!("no block of an event stream: {block:?}"),
        }
    }

    fn poll_frame(&mut self) -> Option<Heard> {
        let (first, second) = (*self.bytes.first()?, *self.bytes.get(1)?);
        assert!(first & 0x70 == 0 && first & 0x80 != 0, "no whole frame: {}", shown(&self.bytes));
        assert!(second & 0x80 == 0, "a server masks nothing: {}", shown(&self.bytes));
        let (length, head) = match second {
            126 => (usize::from(u16::from_be_bytes([*self.bytes.get(2)?, *self.bytes.get(3)?])), 4),
            127 => panic!("nothing is that long: {}", shown(&self.bytes)),
            short => (usize::from(short), 2),
        };
        assert!(head == 2 || length > 125, "a length that is longer than it need be");
        if self.bytes.len() < head + length {
            return None;
        }
        self.take(head);
        let payload = self.take(length);
        assert!(!self.failed || first == 0x88, "more behind an ERROR: {}", shown(&payload));
        Some(match first & 0x0f {
            0x1 => {
                let text = String::from_utf8(payload).expect("texts are UTF-8");
                if self.speech == Speech::Stomp { self.read_stomp(&text) } else { Heard::Text(text) }
            }
            0x8 => {
                self.over = true;
                assert!(payload.len() != 1 && payload.len() <= 125, "no Close: {}", shown(&payload));
                Heard::Close(payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]])))
            }
            0x9 => Heard::Ping(payload),
            0xA => Heard::Pong(payload),
            other => panic!("no frame that a server sends: {other}"),
        })
    }

    /// A text message holds one frame, or is a heart-beat.
    fn read_stomp(&mut self, text: &str) -> Heard {
        if text == "\n" {
            return Heard::Beat;
        }
        let (head, body) = text.split_once("\n\n").unwrap_or_else(|| panic!("no frame: {text:?}"));
        let mut lines = head.split('\n');
        let command = lines.next().unwrap_or_default().to_owned();
        assert!(["CONNECTED", "MESSAGE", "RECEIPT", "ERROR"].contains(&command.as_str()), "{text:?}");
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
            (name.to_owned(), value.to_owned())
        };
        let headers = lines.map(header).collect();
        let body = body.strip_suffix('\0').unwrap_or_else(|| panic!("no end: {text:?}"));
        let frame = Frame { command, headers, body: body.as_bytes().to_vec() };
        match frame.header("content-length") {
            Some(length) => assert_eq!(length, body.len().to_string(), "{text:?}"),
            None => assert!(body.is_empty(), "{text:?}"),
        }
        self.failed = frame.command == "ERROR";
        Heard::Frame(frame)
    }
}
