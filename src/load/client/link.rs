//! A WebSocket as its client keeps it: the upgrade, messages, and what is answered to Pings and Closes (RFC 6455).
//!
//! Knows not what is in a message.

use std::mem;

use crate::limits::HEARD_BYTES_MAX;
use crate::load::client::ClientError;
use crate::load::client::answer_head::HeadReader;
use crate::wire::http::client::{AnswerHead, Subprotocol};
use crate::wire::websocket::frame::{self, CloseCode, Opcode, Side};
use crate::wire::websocket::handshake;
use crate::wire::websocket::message::{Bounds, Incoming, Messages};

const BOUNDS: Bounds = Bounds { message_bytes_max: HEARD_BYTES_MAX, fragments_max: None };

/// What a Close without a code is said to have been (section 7.1.5).
const NO_CODE: u16 = 1005;

/// What came over the link.
pub(super) enum Passed<'a> {
    /// It is open.
    Opened,
    /// The upgrade was answered with another status; what follows is not read.
    Refused(u16),
    /// A message of text.
    Text(&'a str),
    /// A message of bytes.
    Binary(&'a [u8]),
    /// The server's Close, with its code; what follows is not read.
    Closing(u16),
}

/// One WebSocket.
#[derive(Debug)]
pub(super) struct Link {
    state: State,
    messages: Messages,
}

#[derive(Debug)]
enum State {
    /// Accepts: the answer to the upgrade with this key. Next: `Open`, or `Over`.
    Upgrading { key: [u8; 24], heads: HeadReader },
    /// Accepts: messages. Next: `Over` by the server's Close, `Closing` by ours.
    Open,
    /// Accepts: messages until the server's Close. Next: `Over`.
    Closing,
    /// Accepts: anything, unread.
    Over,
}

impl Link {
    pub(super) fn new(key: [u8; 24]) -> Self {
        let state = State::Upgrading { key, heads: HeadReader::default() };
        Self { state, messages: Messages::new(Side::Server) }
    }

    /// Reads what came and passes it on; `offers_stomp` says which subprotocols may have been offered.
    pub(super) fn handle_received(
        &mut self,
        bytes: &mut [u8],
        (mask, unsent): ([u8; 4], &mut Vec<u8>),
        offers_stomp: bool,
        mut pass: impl FnMut(Passed<'_>) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let mut rest = bytes;
        if let State::Upgrading { key, heads } = &mut self.state {
            let Some((head, used)) = heads.read(rest)? else { return Ok(()) };
            if head.status != 101 {
                self.state = State::Over;
                return pass(Passed::Refused(head.status));
            }
            check_switch(&head, key, offers_stomp)?;
            self.state = State::Open;
            pass(Passed::Opened)?;
            rest = &mut rest[used..];
        }
        while !rest.is_empty() && !matches!(self.state, State::Over) {
            let progress = self.messages.decode(rest, BOUNDS)?;
            let used = progress.used;
            match progress.item {
                None | Some(Incoming::Pong) => {}
                Some(Incoming::Text(text)) => pass(Passed::Text(&text))?,
                Some(Incoming::Binary(bytes)) => pass(Passed::Binary(&bytes))?,
                Some(Incoming::Ping(payload)) => {
                    frame::encode_masked_frame(unsent, Opcode::Pong, &payload, mask);
                }
                Some(Incoming::Close { code, .. }) => {
                    if let State::Open = mem::replace(&mut self.state, State::Over) {
                        encode_close(unsent, code, mask);
                    }
                    pass(Passed::Closing(code.map_or(NO_CODE, CloseCode::number)))?;
                }
            }
            rest = &mut rest[used..];
        }
        Ok(())
    }

    pub(super) fn handle_end(&self) -> Result<(), ClientError> {
        let between = match &self.state {
            State::Upgrading { heads, .. } => heads.is_idle(),
            State::Open | State::Closing => self.messages.is_idle(),
            State::Over => true,
        };
        if between { Ok(()) } else { Err(ClientError::CutShort) }
    }

    pub(super) fn close(&mut self, code: CloseCode, mask: [u8; 4], unsent: &mut Vec<u8>) {
        if let State::Open = self.state {
            encode_close(unsent, Some(code), mask);
            self.state = State::Closing;
        }
    }
}

fn encode_close(unsent: &mut Vec<u8>, code: Option<CloseCode>, mask: [u8; 4]) {
    let payload = code.map(|code| code.number().to_be_bytes());
    let payload = payload.as_ref().map_or(&[][..], |bytes| bytes);
    frame::encode_masked_frame(unsent, Opcode::Close, payload, mask);
}

/// What a client has to check of a 101 (section 4.1, "the client MUST validate the server's response as follows").
fn check_switch(head: &AnswerHead, key: &[u8; 24], offers_stomp: bool) -> Result<(), ClientError> {
    if !head.upgrade_websocket {
        return Err(ClientError::NotWebSocket);
    }
    if head.accept != Some(handshake::accept_key(key)) {
        return Err(ClientError::AcceptKey);
    }
    if head.has_extensions {
        return Err(ClientError::Extensions);
    }
    match head.subprotocol {
        Subprotocol::Absent => Ok(()),
        Subprotocol::Stomp if offers_stomp => Ok(()),
        Subprotocol::Stomp | Subprotocol::Other => Err(ClientError::Subprotocol),
    }
}
