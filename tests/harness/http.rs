//! HTTP by hand, for what an HTTP client would not send: framing tables, pipelines, half requests.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::Server;
use super::update::Update;

/// One answer with its body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Names as they came, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// Without its framing.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// What ureq received.
    #[track_caller]
    pub(crate) fn of_ureq(mut answer: ureq::http::Response<ureq::Body>) -> Self {
        let status = answer.status().as_u16();
        let headers = answer.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()));
        let headers = headers.collect();
        let body = answer.body_mut().read_to_vec().expect("the body arrives whole");
        Self { status, headers, body }
    }

    /// Checks the status and hands the answer on.
    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        self
    }

    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// A header that must be there.
    #[track_caller]
    pub(crate) fn needed_header(&self, name: &str) -> &str {
        match self.header(name) {
            Some(value) => value,
            None => panic!("no {name} in {self:?}"),
        }
    }

    /// Whether a comma-separated header names this token.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        let same = |listed: &str| listed.trim().eq_ignore_ascii_case(token);
        let named = self.headers.iter().filter(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
        named.into_iter().any(|(_, value)| value.split(',').any(same))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as one update.
    #[track_caller]
    pub(crate) fn update(&self) -> Update {
        Update::parse(&self.text())
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {}", self.text()),
        }
    }

    /// The cursor to poll with next.
    #[track_caller]
    pub(crate) fn location_seq(&self) -> u64 {
        self.needed_header("Location-Seq").parse().expect("Location-Seq is a number")
    }

    /// Checks that it is a problem (RFC 9457) of this status, and says its detail.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("Content-Type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        let detail = problem["detail"].as_str().expect("a problem has a detail");
        assert!(!detail.is_empty(), "{problem}");
        detail.to_owned()
    }
}

/// One connection on which a test writes what it likes.
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// Connects.
    #[track_caller]
    pub(crate) fn connect(server: &Server) -> Self {
        Self::over(server.connect())
    }

    /// Goes on with a socket that is connected.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Writes bytes as they are.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes what is written");
    }

    /// Writes a GET.
    #[track_caller]
    pub(crate) fn send_get(&mut self, target: &str) {
        self.send(get(target));
    }

    /// Writes a POST with a body.
    #[track_caller]
    pub(crate) fn send_post(&mut self, target: &str, body: &str) {
        self.send(post(target, body));
    }

    /// Ends the sending side; answers still arrive.
    #[track_caller]
    pub(crate) fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is there");
    }

    /// The socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads one answer with its body.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if answer.status < 200 || answer.status == 204 || answer.status == 304 {
            return answer;
        }
        if answer.lists("Transfer-Encoding", "chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = answer.header("Content-Length") {
            let length = length.parse().expect("Content-Length is a number");
            answer.body = self.take(length);
        } else {
            assert!(answer.lists("Connection", "close"), "the end of the body cannot be told: {answer:?}");
            answer.body = self.rest();
        }
        answer
    }

    /// Reads one head and nothing behind it: interim answers, answers to HEAD, streams.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Answer {
        let head = self.take_past(b"\r\n\r\n");
        let head = String::from_utf8(head).expect("heads are ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().unwrap_or("");
        let mut words = status_line.split(' ');
        assert_eq!(words.next(), Some("HTTP/1.1"), "{head}");
        let status = words.next().and_then(|status| status.parse().ok()).expect("a status code");
        let header = |line: &str| match line.split_once(':') {
            Some((name, value)) => (name.to_owned(), value.trim().to_owned()),
            None => panic!("not a header: {line:?}"),
        };
        Answer { status, headers: lines.map(header).collect(), body: Vec::new() }
    }

    /// Reads one chunk; `None` for the last one, whose trailers (there are none) are read too.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.take_past(b"\r\n");
        let size = std::str::from_utf8(&size).expect("a chunk size is ASCII").trim_end();
        let size = usize::from_str_radix(size, 16).expect("a chunk size in hexadecimal digits");
        let data = self.take(size);
        assert_eq!(self.take(2), b"\r\n", "a chunk ends with CR LF");
        (size > 0).then_some(data)
    }

    /// Reads so many bytes.
    #[track_caller]
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.fill(), "ended after {:?}", String::from_utf8_lossy(&self.unread));
        }
        self.unread.drain(..length).collect()
    }

    /// Reads up to and with a marker.
    #[track_caller]
    pub(crate) fn take_past(&mut self, marker: &[u8]) -> Vec<u8> {
        match self.poll_past(marker) {
            Some(bytes) => bytes,
            None => panic!("the server closed before {:?}", String::from_utf8_lossy(marker)),
        }
    }

    /// Reads up to and with a marker; `None` if the input ends before its first byte.
    #[track_caller]
    pub(crate) fn poll_past(&mut self, marker: &[u8]) -> Option<Vec<u8>> {
        let mut searched = 0;
        loop {
            let from = searched.min(self.unread.len());
            if let Some(place) = self.unread[from..].windows(marker.len()).position(|window| window == marker)
            {
                return Some(self.take(from + place + marker.len()));
            }
            searched = self.unread.len().saturating_sub(marker.len());
            if !self.fill() {
                assert!(self.unread.is_empty(), "ended after {:?}", String::from_utf8_lossy(&self.unread));
                return None;
            }
        }
    }

    /// Reads to the end, which the server must come to.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.unread)
    }

    /// Checks that the server closes without another byte.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "more before the end: {:?}", String::from_utf8_lossy(&rest));
    }

    /// Checks that the connection still answers.
    #[track_caller]
    pub(crate) fn expect_alive(&mut self) {
        self.send_get("/healthz");
        self.answer().expect_status(200);
    }

    /// Reads once; false at the end of input.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(length) => {
                self.unread.extend_from_slice(&bytes[..length]);
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => panic!("{error}; unread: {:?}", String::from_utf8_lossy(&self.unread)),
        }
    }
}

/// A GET as it is written.
pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: geoloop\r\n\r\n")
}

/// A POST as it is written.
pub(crate) fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: geoloop\r\nContent-Length: {length}\r\n\r\n{body}")
}
