//! WebSocket by tungstenite, and frames by hand for what it would not send.

use std::io::{Read, Write};
use std::net::TcpStream;

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use super::Server;
use super::http::{Answer, Wire};
use super::update::Update;

/// First byte of a frame: FIN and an opcode.
pub(crate) const TEXT: u8 = 0x81;
/// A whole binary message.
pub(crate) const BINARY: u8 = 0x82;
/// A close frame.
pub(crate) const CLOSE: u8 = 0x88;
/// A pong.
pub(crate) const PONG: u8 = 0x8a;
/// A ping.
pub(crate) const PING: u8 = 0x89;
/// The first fragment of a text message.
pub(crate) const TEXT_BEGINS: u8 = 0x01;
/// A fragment in the middle.
pub(crate) const GOES_ON: u8 = 0x00;
/// The last fragment.
pub(crate) const ENDS: u8 = 0x80;

/// One WebSocket connection.
pub(crate) struct Socket {
    inner: WebSocket<TcpStream>,
    /// The 101 that opened it.
    pub(crate) head: Response,
}

impl Socket {
    /// Upgrades; once this returns the subscription is in place.
    #[track_caller]
    pub(crate) fn open(server: &Server, target: &str) -> Self {
        Self::open_with(server, target, &[])
    }

    /// Upgrades with headers of the test's own.
    #[track_caller]
    pub(crate) fn open_with(server: &Server, target: &str, headers: &[(&str, &str)]) -> Self {
        Self::open_over(server.connect(), target, headers)
    }

    /// Upgrades on a socket that is connected.
    #[track_caller]
    pub(crate) fn open_over(stream: TcpStream, target: &str, headers: &[(&str, &str)]) -> Self {
        match Self::try_open(stream, target, headers) {
            Ok(socket) => socket,
            Err(answer) => panic!("{target}: {answer:?}"),
        }
    }

    /// Upgrades, or says how that was refused.
    #[track_caller]
    pub(crate) fn try_open(
        stream: TcpStream,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Box<Answer>> {
        let address = stream.peer_addr().expect("a connected socket");
        let mut request = format!("ws://{address}{target}").into_client_request().expect("a legal URL");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a legal header name");
            request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a legal header value"));
        }
        match tungstenite::client::client(request, stream) {
            Ok((inner, head)) => Ok(Self { inner, head }),
            Err(tungstenite::HandshakeError::Failure(Error::Http(refusal))) => {
                let headers = refusal.headers().iter();
                let headers = headers.map(|(name, value)| (name.to_string(), text_of(value)));
                let headers = headers.collect();
                let status = refusal.status().as_u16();
                Err(Box::new(Answer { status, headers, body: refusal.into_body().unwrap_or_default() }))
            }
            Err(error) => panic!("{target}: {error}"),
        }
    }

    /// Sends a text message.
    #[track_caller]
    pub(crate) fn send(&mut self, text: &str) {
        self.inner.send(Message::text(text)).expect("the server takes a message");
    }

    /// Sends any message.
    #[track_caller]
    pub(crate) fn send_message(&mut self, message: Message) {
        self.inner.send(message).expect("the server takes a message");
    }

    /// Sends any message, if the connection still takes one.
    pub(crate) fn try_send_message(&mut self, message: Message) -> Result<(), Error> {
        self.inner.send(message)
    }

    /// Writes bytes past tungstenite.
    #[track_caller]
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.inner.get_mut().write_all(bytes).expect("the server takes what is written");
    }

    /// The next message that is neither a ping nor a pong.
    #[track_caller]
    pub(crate) fn message(&mut self) -> Message {
        loop {
            match self.any_message() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// The next message of whatever kind.
    #[track_caller]
    pub(crate) fn any_message(&mut self) -> Message {
        match self.inner.read() {
            Ok(message) => message,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next text message.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        match self.message() {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("not a text message: {other:?}"),
        }
    }

    /// The next text message as an update.
    #[track_caller]
    pub(crate) fn update(&mut self) -> Update {
        Update::parse(&self.text())
    }

    /// So many updates.
    #[track_caller]
    pub(crate) fn updates(&mut self, count: usize) -> Vec<Update> {
        (0..count).map(|_| self.update()).collect()
    }

    /// Checks that an error message comes next, and says its detail.
    #[track_caller]
    pub(crate) fn expect_error(&mut self) -> String {
        let text = self.text();
        let value: serde_json::Value = serde_json::from_str(&text).expect("an error message is JSON");
        assert!(value["error"].as_str().is_some_and(|error| !error.is_empty()), "{text}");
        value["detail"].as_str().expect("an error has a detail").to_owned()
    }

    /// Checks that a Close with this code comes next, and then the end of the connection.
    #[track_caller]
    pub(crate) fn expect_close(mut self, code: u16) {
        match self.message() {
            Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::from(code), "{}", frame.reason),
            other => panic!("not a Close {code}: {other:?}"),
        }
        self.expect_end();
    }

    /// Checks that the server has ended the connection after the Close that was read.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        match self.inner.read() {
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => {}
            other => panic!("not the end of the connection: {other:?}"),
        }
    }

    /// Starts the close handshake with this code.
    #[track_caller]
    pub(crate) fn close(&mut self, code: u16) {
        let frame = tungstenite::protocol::CloseFrame { code: CloseCode::from(code), reason: "".into() };
        self.inner.close(Some(frame)).expect("a Close can be sent");
    }

    /// The bare socket, for what must not be decoded.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.inner.get_mut()
    }
}

/// A masked client frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = head(first, payload.len(), 0x80);
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame as no client may send it: without a mask.
pub(crate) fn unmasked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len(), 0);
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads one frame of the server's, its first byte and its payload; Pings are passed over. It has no mask, and its length
/// takes no more bytes than it needs.
#[track_caller]
pub(crate) fn take_frame(wire: &mut Wire) -> (u8, Vec<u8>) {
    let (mut first, mut payload) = take_any_frame(wire);
    while first == PING {
        (first, payload) = take_any_frame(wire);
    }
    (first, payload)
}

#[track_caller]
fn take_any_frame(wire: &mut Wire) -> (u8, Vec<u8>) {
    let start = wire.take(2);
    let (first, short) = (start[0], start[1]);
    assert!(short < 0x80, "a server masks nothing: {start:02x?}");
    let more = match short {
        126 => wire.take(2),
        127 => wire.take(8),
        _ => Vec::new(),
    };
    let length = more.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let length = if more.is_empty() { usize::from(short) } else { length };
    assert_eq!(head(first, length, 0), [start, more].concat(), "lengths are written as short as can be");
    (first, wire.take(length))
}

fn head(first: u8, length: usize, mask_bit: u8) -> Vec<u8> {
    match length {
        0..=125 => vec![first, mask_bit | length as u8],
        126..=0xffff => {
            let mut head = vec![first, mask_bit | 126];
            head.extend_from_slice(&(length as u16).to_be_bytes());
            head
        }
        _ => {
            let mut head = vec![first, mask_bit | 127];
            head.extend_from_slice(&(length as u64).to_be_bytes());
            head
        }
    }
}

/// An upgrade request as it is written.
pub(crate) fn upgrade(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: geoloop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A WebSocket connection that costs a test no more than its descriptor.
pub(crate) struct Bare(TcpStream);

impl Bare {
    /// Upgrades, in a group that nobody publishes to yet.
    #[track_caller]
    pub(crate) fn open(server: &Server, target: &str) -> Self {
        let mut stream = server.connect();
        stream.write_all(upgrade(target).as_bytes()).expect("the server takes a request");
        let mut head = Vec::new();
        let mut bytes = [0; 1024];
        while !head.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut bytes).expect("the server answers");
            assert!(length > 0, "the server closed after {:?}", String::from_utf8_lossy(&head));
            head.extend_from_slice(&bytes[..length]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Self(stream)
    }

    /// The next message, which must be one unmasked text frame of at most 125 bytes; pings are passed over.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        const PING: [u8; 2] = [0x89, 0];
        let mut head = PING;
        while head == PING {
            self.0.read_exact(&mut head).expect("a frame arrives");
        }
        assert_eq!(head[0], TEXT, "one whole text message");
        assert!(head[1] <= 125, "a short frame without a mask, not {:#x}", head[1]);
        let mut payload = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut payload).expect("a frame arrives whole");
        String::from_utf8(payload).expect("a text message is UTF-8")
    }
}

fn text_of(value: &HeaderValue) -> String {
    value.to_str().unwrap_or("").to_owned()
}
