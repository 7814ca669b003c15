//! Clients by the hundred: each is a socket and what it says on it, written at once and understood afterwards.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use geoloop::clock::Clock;
use mio::{Events, Interest, Poll, Token};

use super::http::post;
use super::stomp;
use super::update::Update;
use super::websocket::{TEXT, frame, upgrade};
use super::{PATIENCE, Server, with_deadlines};

/// A STOMP frame as it goes through a WebSocket.
pub(crate) fn stomp_frame(command: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    frame(TEXT, stomp::frame(command, headers, body).as_bytes())
}

/// All that a STOMP client says until it is connected.
pub(crate) fn stomp_connect() -> Vec<u8> {
    let connect = stomp_frame("CONNECT", &[("accept-version", "1.2"), ("host", "a")], "");
    [upgrade("/location").into_bytes(), connect].concat()
}

/// A SUBSCRIBE whose receipt is the group's number, with headers of the test's own.
pub(crate) fn stomp_subscribe(group: u64, headers: &[(&str, &str)]) -> Vec<u8> {
    let (id, destination) = (group.to_string(), format!("/sub/location/{group}"));
    let all = [&[("id", id.as_str()), ("destination", &destination), ("receipt", &id)], headers].concat();
    stomp_frame("SUBSCRIBE", &all, "")
}

/// Writes; a server that has closed already is no failure of the client's.
pub(crate) fn say(mut stream: &TcpStream, bytes: &[u8]) {
    match stream.write_all(bytes) {
        Ok(()) => {}
        Err(error) if is_end(&error) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Reads until these bytes have come so often; what was read.
#[track_caller]
pub(crate) fn read_past(mut stream: &TcpStream, marker: &[u8], times: usize) -> Vec<u8> {
    let mut received = Vec::new();
    let mut bytes = [0; 4096];
    while count_of(&received, marker) < times {
        let length = stream.read(&mut bytes).expect("the server answers");
        assert!(length > 0, "the server closed after {:?}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&bytes[..length]);
    }
    received
}

/// Reads to the end, which a reset is as good as; how many bytes came before it.
#[track_caller]
pub(crate) fn read_to_end(mut stream: &TcpStream) -> usize {
    let mut bytes = [0; 64 * 1024];
    let mut read = 0;
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return read,
            Ok(length) => read += length,
            Err(error) if is_end(&error) => return read,
            Err(error) => panic!("not the end of the connection: {error} after {read} bytes"),
        }
    }
}

/// Publishes on a connection of its own, unless the server is not there any more; whether a publish without an answer was
/// taken, nobody knows.
#[track_caller]
pub(crate) fn try_publish(server: &Server, group: u64, body: &str) -> Option<Update> {
    let mut stream = with_deadlines(TcpStream::connect(server.address()).ok()?);
    let post = post(&format!("/location/share/{group}"), body);
    stream.write_all(post.replace("Host:", "Connection: close\r\nHost:").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).expect("an answer is UTF-8");
    let (head, update) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    update.ends_with('}').then(|| Update::parse(update))
}

/// Whether this is how the end of a connection may show.
pub(crate) fn is_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// How often a marker stands in some bytes.
pub(crate) fn count_of(bytes: &[u8], marker: &[u8]) -> usize {
    bytes.windows(marker.len()).filter(|window| *window == marker).count()
}

/// The frames that a server wrote to a WebSocket: first byte and payload of each.
#[track_caller]
pub(crate) fn frames_of(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (length, head) = match bytes[1] {
            126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            short => (usize::from(short), 2),
        };
        assert!(length < 65_536 && bytes.len() >= head + length, "a frame that is not whole: {bytes:?}");
        frames.push((bytes[0], &bytes[head..head + length]));
        bytes = &bytes[head + length..];
    }
    frames
}

/// Clients that only listen, on one thread.
pub(crate) struct Crowd {
    poll: Poll,
    clients: Vec<Client>,
    /// How many have not heard the end.
    left: usize,
}

/// One of them.
pub(crate) struct Client {
    stream: Option<mio::net::TcpStream>,
    /// All that it was sent.
    pub(crate) received: Vec<u8>,
    /// When the server ended the connection, from the beginning of [`Crowd::listen`].
    pub(crate) ended: Option<Duration>,
}

impl Crowd {
    /// Nobody.
    pub(crate) fn new() -> Self {
        Self { poll: Poll::new().expect("a descriptor is free"), clients: Vec::new(), left: 0 }
    }

    /// Takes a client in that has received so much so far.
    #[track_caller]
    pub(crate) fn join(&mut self, stream: TcpStream, received: Vec<u8>) {
        stream.set_nonblocking(true).expect("a TCP socket");
        let mut stream = mio::net::TcpStream::from_std(stream);
        let token = Token(self.clients.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE).expect("a socket");
        self.clients.push(Client { stream: Some(stream), received, ended: None });
        self.left += 1;
    }

    /// Listens until the server has ended every connection; calls `on_first_end` once it has ended one. Each client closes
    /// its side at once when it hears the end.
    #[track_caller]
    pub(crate) fn listen(&mut self, clock: Clock, mut on_first_end: impl FnMut()) {
        let mut events = Events::with_capacity(1024);
        let mut anyone = false;
        while self.left > 0 {
            self.poll.poll(&mut events, Some(PATIENCE)).expect("events can be waited for");
            assert!(!events.is_empty(), "{} of {} were not told", self.left, self.clients.len());
            for event in &events {
                let client = &mut self.clients[event.token().0];
                if client.hear() {
                    client.ended = Some(Duration::from_micros(clock.now().micros));
                    self.left -= 1;
                }
            }
            if !anyone && self.left < self.clients.len() {
                anyone = true;
                on_first_end();
            }
        }
    }

    /// Everyone, in the order in which they joined.
    pub(crate) fn clients(&self) -> &[Client] {
        &self.clients
    }
}

impl Client {
    /// Reads what there is; true when that is the end.
    fn hear(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut bytes = [0; 16 * 1024];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(length) => self.received.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("a reset instead of an end: {error}"),
            }
        }
        self.stream = None;
        true
    }
}
