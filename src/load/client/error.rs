//! What a server can do wrong by the wire alone.

use std::fmt;

use crate::wire::http::body::BodyError;
use crate::wire::http::client::AnswerError;
use crate::wire::stomp::Command;
use crate::wire::stomp::frame::FrameError;
use crate::wire::websocket::message::Violation;

/// A rule that the server broke. Every one is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The head of an answer cannot be read.
    Answer(AnswerError),
    /// The body of an answer cannot be read.
    Body(BodyError),
    /// An answer is longer than one is read.
    AnswerTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// 101 where no upgrade was asked for.
    UnwantedUpgrade,
    /// Bytes behind an answer that said it is the last.
    BehindLastAnswer,
    /// 200 to who asked for an event stream, and no `text/event-stream`.
    NotEventStream,
    /// An event has no name or another than the one there is.
    EventName,
    /// The id of an event is not the number that its data begins with.
    EventId,
    /// An event is longer than one is read.
    EventTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// 101 without `Upgrade: websocket` and `Connection: upgrade`.
    NotWebSocket,
    /// `Sec-WebSocket-Accept` is not what follows from the key.
    AcceptKey,
    /// 101 with an extension: none was offered.
    Extensions,
    /// 101 with a subprotocol that was not offered.
    Subprotocol,
    /// Frames or messages break RFC 6455.
    WebSocket(Violation),
    /// A text that is neither an update nor a complaint.
    UnknownText,
    /// A message of bytes where text is spoken.
    Binary,
    /// A frame breaks STOMP.
    Stomp(FrameError),
    /// A frame that belongs behind CONNECTED came before it.
    NotConnected {
        /// The frame.
        command: Command,
    },
    /// A second CONNECTED.
    ConnectedTwice,
    /// CONNECTED with a version that was not offered.
    Version,
    /// A frame that clients send.
    ClientCommand {
        /// The frame.
        command: Command,
    },
    /// A frame without a header that it has to have.
    MissingHeader {
        /// The frame.
        command: Command,
        /// The header's name.
        header: &'static str,
    },
    /// The message-id of a MESSAGE does not end in the number that its body begins with.
    MessageId,
    /// The destination of a MESSAGE is not a group's.
    Destination,
    /// The connection ended in the middle of something.
    CutShort,
}

impl From<AnswerError> for ClientError {
    fn from(error: AnswerError) -> Self {
        Self::Answer(error)
    }
}

impl From<BodyError> for ClientError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<Violation> for ClientError {
    fn from(violation: Violation) -> Self {
        Self::WebSocket(violation)
    }
}

impl From<FrameError> for ClientError {
    fn from(error: FrameError) -> Self {
        Self::Stomp(error)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(error) => error.fmt(f),
            Self::Body(error) => error.fmt(f),
            Self::AnswerTooLong { bytes_max } => write!(f, "the answer is longer than {bytes_max} bytes"),
            Self::UnwantedUpgrade => f.write_str("101 answers a request that asked for no upgrade"),
            Self::BehindLastAnswer => f.write_str("bytes follow the last answer of the connection"),
            Self::NotEventStream => f.write_str("the content type is not text/event-stream"),
            Self::EventName => f.write_str("an event is not called location"),
            Self::EventId => f.write_str("the id of an event is not the seq that its data begins with"),
            Self::EventTooLong { bytes_max } => write!(f, "an event is longer than {bytes_max} bytes"),
            Self::NotWebSocket => f.write_str("101 does not upgrade the connection to websocket"),
            Self::AcceptKey => f.write_str("sec-websocket-accept does not answer the key"),
            Self::Extensions => f.write_str("an extension was chosen though none was offered"),
            Self::Subprotocol => f.write_str("a subprotocol was chosen that was not offered"),
            Self::WebSocket(violation) => violation.fmt(f),
            Self::UnknownText => f.write_str("a text is neither an update nor an error"),
            Self::Binary => f.write_str("a message of bytes came where text is spoken"),
            Self::Stomp(error) => error.fmt(f),
            Self::NotConnected { command } => write!(f, "{} came before CONNECTED", command.label()),
            Self::ConnectedTwice => f.write_str("CONNECTED came twice"),
            Self::Version => f.write_str("CONNECTED chose a version that was not offered"),
            Self::ClientCommand { command } => write!(f, "a server sends no {}", command.label()),
            Self::MissingHeader { command, header } => write!(f, "{} has no {header}", command.label()),
            Self::MessageId => {
                f.write_str("the message-id of a MESSAGE does not end in the seq that its body begins with")
            }
            Self::Destination => f.write_str("the destination of a MESSAGE is no group's"),
            Self::CutShort => f.write_str("the connection ended in the middle of an item"),
        }
    }
}

impl std::error::Error for ClientError {}
