//! A STOMP client over WebSocket: frames as text, in and out.

use std::net::TcpStream;

use tungstenite::Message;

use super::Server;
use super::update::Update;
use super::websocket::Socket;

/// One frame that the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// `CONNECTED`, `MESSAGE`, `RECEIPT` or `ERROR`.
    pub(crate) command: String,
    /// Headers in order, unescaped as STOMP 1.2 has it, except in CONNECTED.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Frame {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// A header that must be there.
    #[track_caller]
    pub(crate) fn needed_header(&self, name: &str) -> &str {
        match self.header(name) {
            Some(value) => value,
            None => panic!("no {name} in {self:?}"),
        }
    }

    /// The body of a MESSAGE as an update, after a check of the headers that every MESSAGE has.
    #[track_caller]
    pub(crate) fn update(&self) -> Update {
        assert_eq!(self.command, "MESSAGE", "{self:?}");
        let text = std::str::from_utf8(&self.body).expect("an update is UTF-8");
        let update = Update::parse(text);
        assert_eq!(self.needed_header("content-length"), self.body.len().to_string(), "{self:?}");
        assert!(self.needed_header("content-type").starts_with("application/json"), "{self:?}");
        let (ordinal, seq) = self.needed_header("message-id").split_once('-').expect("{ordinal}-{seq}");
        assert!(ordinal.parse::<u64>().is_ok(), "{self:?}");
        assert_eq!(seq, update.seq.to_string(), "{self:?}");
        update
    }
}

/// One STOMP connection.
pub(crate) struct Stomp {
    /// The WebSocket under it.
    pub(crate) socket: Socket,
    unread: Vec<u8>,
    /// Heart-beats that came between frames.
    pub(crate) beats: usize,
    receipts: usize,
}

impl Stomp {
    /// Upgrades with the subprotocol of STOMP 1.2 and sends nothing yet.
    #[track_caller]
    pub(crate) fn open(server: &Server) -> Self {
        Self::open_with(server, &[("Sec-WebSocket-Protocol", "v12.stomp")])
    }

    /// Upgrades with headers of the test's own.
    #[track_caller]
    pub(crate) fn open_with(server: &Server, headers: &[(&str, &str)]) -> Self {
        Self::over(Socket::open_with(server, "/location", headers))
    }

    /// Upgrades on a socket that is connected.
    #[track_caller]
    pub(crate) fn open_over(stream: TcpStream) -> Self {
        Self::over(Socket::open_over(stream, "/location", &[]))
    }

    /// Speaks STOMP 1.2 at once.
    #[track_caller]
    pub(crate) fn connect(server: &Server) -> Self {
        Self::connect_with(server, &[])
    }

    /// Speaks STOMP 1.2 at once, with headers on its CONNECT.
    #[track_caller]
    pub(crate) fn connect_with(server: &Server, headers: &[(&str, &str)]) -> Self {
        let mut stomp = Self::open(server);
        stomp.handshake(headers);
        stomp
    }

    /// Sends CONNECT and reads CONNECTED.
    #[track_caller]
    pub(crate) fn handshake(&mut self, headers: &[(&str, &str)]) -> Frame {
        let mut all = vec![("accept-version", "1.2"), ("host", "geoloop")];
        all.extend_from_slice(headers);
        self.send("CONNECT", &all, "");
        let connected = self.frame();
        assert_eq!(connected.command, "CONNECTED", "{connected:?}");
        connected
    }

    fn over(socket: Socket) -> Self {
        Self { socket, unread: Vec::new(), beats: 0, receipts: 0 }
    }

    /// Sends one frame as one text message.
    #[track_caller]
    pub(crate) fn send(&mut self, command: &str, headers: &[(&str, &str)], body: &str) {
        self.socket.send(&frame(command, headers, body));
    }

    /// Sends text as it is.
    #[track_caller]
    pub(crate) fn send_text(&mut self, text: &str) {
        self.socket.send(text);
    }

    /// Subscribes, and returns once the server has said that it is done.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, id: &str, group: u64) {
        self.subscribe_with(id, group, &[]);
    }

    /// Subscribes with headers of the test's own; frames that come before the receipt are lost.
    #[track_caller]
    pub(crate) fn subscribe_with(&mut self, id: &str, group: u64, headers: &[(&str, &str)]) {
        let destination = format!("/sub/location/{group}");
        let mut all = vec![("id", id), ("destination", destination.as_str())];
        all.extend_from_slice(headers);
        self.send_for_receipt("SUBSCRIBE", &all, "");
    }

    /// Publishes to a group, without waiting.
    #[track_caller]
    pub(crate) fn publish(&mut self, group: u64, body: &str) {
        self.send("SEND", &[("destination", &format!("/pub/share/{group}"))], body);
    }

    /// Sends a frame that asks for a receipt and reads up to it; returns the frames that came before it.
    #[track_caller]
    pub(crate) fn send_for_receipt(
        &mut self,
        command: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Vec<Frame> {
        self.receipts += 1;
        let receipt = format!("receipt-{}", self.receipts);
        let mut all = headers.to_vec();
        all.push(("receipt", &receipt));
        self.send(command, &all, body);
        let mut before = Vec::new();
        loop {
            let frame = self.frame();
            assert_ne!(frame.command, "ERROR", "{frame:?}");
            if frame.command == "RECEIPT" && frame.header("receipt-id") == Some(&receipt) {
                return before;
            }
            before.push(frame);
        }
    }

    /// The next frame.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.buffered_frame() {
                return frame;
            }
            match self.socket.message() {
                Message::Text(text) => self.unread.extend_from_slice(text.as_str().as_bytes()),
                Message::Binary(bytes) => self.unread.extend_from_slice(&bytes),
                other => panic!("no frame of STOMP: {other:?}"),
            }
        }
    }

    /// The next frame as an update.
    #[track_caller]
    pub(crate) fn update(&mut self) -> Update {
        self.frame().update()
    }

    /// So many updates.
    #[track_caller]
    pub(crate) fn updates(&mut self, count: usize) -> Vec<Update> {
        (0..count).map(|_| self.update()).collect()
    }

    /// Checks that an ERROR comes next and then the end; says what its `message` header says.
    #[track_caller]
    pub(crate) fn expect_error(mut self) -> String {
        let error = self.frame();
        assert_eq!(error.command, "ERROR", "{error:?}");
        let message = error.needed_header("message").to_owned();
        self.expect_end();
        message
    }

    /// Checks that the server closes the WebSocket and the connection.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        match self.socket.message() {
            Message::Close(_) => self.socket.expect_end(),
            other => panic!("not a Close: {other:?}"),
        }
    }

    /// Waits until a heart-beat has come that was not there before.
    #[track_caller]
    pub(crate) fn expect_beat(&mut self) {
        let before = self.beats;
        while self.beats == before {
            match self.socket.message() {
                Message::Text(text) => self.unread.extend_from_slice(text.as_str().as_bytes()),
                other => panic!("not a heart-beat: {other:?}"),
            }
            let frame = self.buffered_frame();
            assert!(frame.is_none(), "not a heart-beat: {frame:?}");
        }
    }

    #[track_caller]
    fn buffered_frame(&mut self) -> Option<Frame> {
        let eols = self.unread.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        self.unread.drain(..eols);
        self.beats += eols;
        let head_end = self.unread.windows(2).position(|pair| pair == b"\n\n")?;
        let head = std::str::from_utf8(&self.unread[..head_end]).expect("headers are UTF-8");
        let mut lines = head.split('\n');
        let command = lines.next().unwrap_or("").to_owned();
        let header = |line: &str| match line.split_once(':') {
            Some((name, value)) if command == "CONNECTED" => (name.to_owned(), value.to_owned()),
            Some((name, value)) => (unescape(name), unescape(value)),
            None => panic!("not a header: {line:?}"),
        };
        let headers: Vec<_> = lines.map(header).collect();
        let body_start = head_end + 2;
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = match length {
            Some((_, length)) => length.parse().expect("content-length is a number"),
            None => self.unread[body_start..].iter().position(|byte| *byte == 0)?,
        };
        let end = *self.unread.get(body_start + length)?;
        assert_eq!(end, 0, "a frame ends with NUL");
        let frame: Vec<u8> = self.unread.drain(..=body_start + length).collect();
        // One EOL may end the frame; it is no heart-beat.
        if self.unread.first() == Some(&b'\n') {
            self.unread.remove(0);
        }
        Some(Frame { command, headers, body: frame[body_start..body_start + length].to_vec() })
    }
}

/// A frame as it is written, without escapes.
pub(crate) fn frame(command: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{command}\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push('\n');
    text.push_str(body);
    text.push('\0');
    text
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('c') => plain.push(':'),
            Some('\\') => plain.push('\\'),
            other => panic!("no escape of STOMP: {other:?} in {text:?}"),
        }
    }
    plain
}
