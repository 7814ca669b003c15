//! A client of `text/event-stream` that reads the stream as it comes, event by event.

use super::Server;
use super::http::{Answer, Wire};
use super::update::Update;

/// What one block of the stream said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// `id:`
    pub(crate) id: Option<String>,
    /// `event:`
    pub(crate) event: Option<String>,
    /// `data:`
    pub(crate) data: Option<String>,
    /// `retry:`
    pub(crate) retry: Option<u64>,
}

/// One open stream.
pub(crate) struct EventStream {
    wire: Wire,
    /// The head of the answer.
    pub(crate) head: Answer,
    chunked: bool,
    text: Vec<u8>,
}

impl EventStream {
    /// Opens a stream; once this returns its first comment has come, so the subscription is in place.
    #[track_caller]
    pub(crate) fn open(server: &Server, target: &str) -> Self {
        Self::open_with(server, target, "")
    }

    /// Opens a stream with header lines, each ended with CR LF.
    #[track_caller]
    pub(crate) fn open_with(server: &Server, target: &str, headers: &str) -> Self {
        let mut wire = Wire::connect(server);
        wire.send(format!(
            "GET {target} HTTP/1.1\r\nHost: geoloop\r\nAccept: text/event-stream\r\n{headers}\r\n"
        ));
        Self::over(wire)
    }

    /// Reads the head and the first comment of a stream that was asked for on this connection.
    #[track_caller]
    pub(crate) fn over(wire: Wire) -> Self {
        let mut stream = Self::without_comment(wire);
        let first = stream.line().expect("a comment comes at once");
        assert!(first.starts_with(':'), "the stream begins with a comment, not {first:?}");
        stream
    }

    /// Checks that the stream that was asked for on this connection is refused as an event source takes it: it is told when
    /// to come back and nothing else, and ended.
    #[track_caller]
    pub(crate) fn expect_refused(wire: Wire) {
        let told = Self::without_comment(wire).rest();
        assert!(told.iter().any(|event| event.retry.is_some_and(|retry| retry > 0)), "{told:?}");
        assert!(told.iter().all(|event| event.data.is_none()), "{told:?}");
    }

    /// Reads the head alone.
    #[track_caller]
    fn without_comment(mut wire: Wire) -> Self {
        let head = wire.head().expect_status(200);
        let kind = head.needed_header("Content-Type");
        assert!(kind.starts_with("text/event-stream"), "{head:?}");
        let chunked = head.lists("Transfer-Encoding", "chunked");
        assert!(head.header("Content-Length").is_none(), "a stream has no length: {head:?}");
        Self { wire, head, chunked, text: Vec::new() }
    }

    /// The next block that says anything; comments alone say nothing. `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                if event != Event::default() {
                    return Some(event);
                }
                continue;
            }
            let Some((field, value)) = line.split_once(':') else { panic!("not a field: {line:?}") };
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "" => {}
                "id" => event.id = Some(value),
                "event" => event.event = Some(value),
                "data" => event.data = Some(value),
                "retry" => event.retry = Some(value.parse().expect("retry is a number")),
                other => panic!("no field of an event stream: {other:?}"),
            }
        }
    }

    /// The next update; `retry` may come before it.
    #[track_caller]
    pub(crate) fn update(&mut self) -> Update {
        loop {
            let event = self.poll_event().expect("the stream goes on");
            let Some(data) = &event.data else { continue };
            let update = Update::parse(data);
            assert_eq!(event.event.as_deref(), Some("location"), "{event:?}");
            assert_eq!(event.id, Some(update.seq.to_string()), "{event:?}");
            return update;
        }
    }

    /// So many updates.
    #[track_caller]
    pub(crate) fn updates(&mut self, count: usize) -> Vec<Update> {
        (0..count).map(|_| self.update()).collect()
    }

    /// Checks that the stream ends, and says what it still held.
    #[track_caller]
    pub(crate) fn rest(mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.poll_event()).collect()
    }

    /// The connection.
    pub(crate) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// One line without its end; `None` when the stream has ended.
    #[track_caller]
    fn line(&mut self) -> Option<String> {
        if !self.chunked {
            let line = self.plain_line()?;
            return Some(String::from_utf8(line).expect("an event stream is UTF-8"));
        }
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.text.drain(..=end).collect();
                line.pop();
                return Some(String::from_utf8(line).expect("an event stream is UTF-8"));
            }
            let chunk = self.wire.chunk()?;
            self.text.extend_from_slice(&chunk);
        }
    }

    #[track_caller]
    fn plain_line(&mut self) -> Option<Vec<u8>> {
        let mut line = self.wire.poll_past(b"\n")?;
        line.pop();
        Some(line)
    }
}
