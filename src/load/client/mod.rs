//! The client's side of each transport: bytes that the server sent to what they say.
//!
//! Knows the wire; knows no socket, no clock, and not what was asked for or is owed. What lies whole in the bytes of a
//! read is told from there, so that a message costs neither a copy nor an allocation; only what a read cuts in two is
//! kept. JSON is not parsed: of an update, the number that it begins with is compared, and the rest is the ledger's.
//!
//! ```text
//!               answer_head          body            block
//!  requests     head ------------> Answer
//!  event_stream head --> Opened              ------> Update, Retry
//!  websocket    link --> Opened    message --------> Update, Complaint, Closing
//!  stomp        link --> Opened    message  frame -> Connected, Update, Receipt, Complaint, Closing
//! ```

mod answer_head;
mod error;
mod event_stream;
mod link;
mod requests;
pub mod speak;
mod stomp;
mod websocket;

use crate::ids::{GroupId, Seq};
pub use crate::load::client::error::ClientError;
pub use crate::load::client::event_stream::EventStream;
pub use crate::load::client::requests::Requests;
pub use crate::load::client::stomp::Stomp;
pub use crate::load::client::websocket::WebSocket;
use crate::wire::websocket::frame::CloseCode;

/// One whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Its status, from 200.
    pub status: u16,
    /// Its content.
    pub body: &'a [u8],
    /// The cursor that the next long poll is to give.
    pub location_seq: Option<Seq>,
    /// The number of the update that it is about.
    pub etag: Option<Seq>,
    /// The connection takes another request.
    pub keep_alive: bool,
}

/// What a client made of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// Requests: the answer to the oldest unanswered request, whole.
    Answer(Answer<'a>),
    /// The event stream or the WebSocket is open. Over STOMP, `Connected` follows.
    Opened,
    /// STOMP: the session is open.
    Connected {
        /// The version that the server chose.
        version: &'static str,
    },
    /// An update, by whichever stream.
    Update {
        /// Its JSON.
        body: &'a [u8],
        /// STOMP: the subscription that it came for, if the MESSAGE names one.
        subscription: Option<&'a str>,
        /// STOMP: the group that its destination is of.
        group: Option<GroupId>,
    },
    /// STOMP: everything up to the frame that asked for this receipt was read.
    Receipt(&'a str),
    /// Event stream: how long to wait before connecting again.
    Retry {
        /// Milliseconds.
        wait_ms: u64,
    },
    /// A stream or an upgrade was answered with something else. What follows is not read.
    Refused {
        /// The status of the answer.
        status: u16,
    },
    /// WebSocket: the text `{"error":..}`. STOMP: the message of an ERROR.
    Complaint(&'a str),
    /// WebSocket: the server closes, or answers our Close. What follows is not read.
    Closing {
        /// Why; 1005 if the frame says nothing (RFC 6455, section 7.1.5).
        code: u16,
    },
}

/// One connection's conversation, as its client reads it.
#[derive(Debug)]
pub enum Client {
    /// Polls and publishes: one answer a request, in their order.
    Requests(Requests),
    /// One request, answered by events until the connection ends.
    EventStream(EventStream),
    /// One upgrade, then texts.
    WebSocket(WebSocket),
    /// One upgrade, then frames in messages.
    Stomp(Stomp),
}

/// Ten thousand of them fit the caches of the core that plays them.
const _: () = assert!(size_of::<Client>() <= 256);

impl Client {
    /// For a connection on which plain requests are sent.
    #[must_use]
    pub fn requests() -> Self {
        Self::Requests(Requests::default())
    }

    /// For a connection on which an event stream is asked for.
    #[must_use]
    pub fn event_stream() -> Self {
        Self::EventStream(EventStream::default())
    }

    /// For an upgrade with this `Sec-WebSocket-Key`, after which texts are spoken.
    #[must_use]
    pub fn websocket(key: [u8; 24]) -> Self {
        Self::WebSocket(WebSocket::new(key))
    }

    /// For an upgrade with this `Sec-WebSocket-Key`, after which STOMP is spoken.
    #[must_use]
    pub fn stomp(key: [u8; 24]) -> Self {
        Self::Stomp(Stomp::new(key))
    }

    /// Reads what came. What the protocol makes a client answer by itself, a Pong or a Close, is appended to `unsent`,
    /// masked with `mask`.
    ///
    /// # Errors
    /// The rule that the server broke. Final: what was heard before it holds, but no more can be read.
    pub fn handle_received(
        &mut self,
        bytes: &mut [u8],
        mask: [u8; 4],
        unsent: &mut Vec<u8>,
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> Result<(), ClientError> {
        match self {
            Self::Requests(requests) => requests.handle_received(bytes, hear),
            Self::EventStream(stream) => stream.handle_received(bytes, hear),
            Self::WebSocket(websocket) => websocket.handle_received(bytes, mask, unsent, hear),
            Self::Stomp(stomp) => stomp.handle_received(bytes, mask, unsent, hear),
        }
    }

    /// The server ended the connection: an answer that lasts to the end is whole now.
    ///
    /// Whether this was the time to end it is the caller's to know.
    ///
    /// # Errors
    /// [`ClientError::CutShort`] in the middle of an answer, event, message or frame.
    pub fn handle_end(&mut self, hear: &mut dyn FnMut(Heard<'_>)) -> Result<(), ClientError> {
        match self {
            Self::Requests(requests) => requests.handle_end(hear),
            Self::EventStream(stream) => stream.handle_end(),
            Self::WebSocket(websocket) => websocket.handle_end(),
            Self::Stomp(stomp) => stomp.handle_end(),
        }
    }

    /// Begins the closing handshake of an open WebSocket with this code: the server's Close is then heard, not answered.
    /// Nothing happens where there is none to close.
    pub fn close(&mut self, code: CloseCode, mask: [u8; 4], unsent: &mut Vec<u8>) {
        match self {
            Self::Requests(_) | Self::EventStream(_) => {}
            Self::WebSocket(websocket) => websocket.close(code, mask, unsent),
            Self::Stomp(stomp) => stomp.close(code, mask, unsent),
        }
    }
}

/// What every update begins with, whatever it was written by.
const UPDATE_START: &[u8] = b"{\"seq\":";

/// Whether a body is an update with this number: the digits are compared as they are spelled, and not read.
fn is_update_numbered(body: &[u8], digits: &[u8]) -> bool {
    let rest = body.strip_prefix(UPDATE_START).and_then(|rest| rest.strip_prefix(digits));
    !digits.is_empty()
        && digits.iter().all(u8::is_ascii_digit)
        && rest.is_some_and(|rest| rest.starts_with(b","))
}

#[cfg(test)]
mod tests;
