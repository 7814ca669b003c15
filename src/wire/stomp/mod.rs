//! STOMP 1.0, 1.1 and 1.2 as bytes: frames, their headers, what clients say in them, and what is answered.
//!
//! Knows versions and commands; knows no session, so not which frame may come when. Read the 1.2
//! specification first (stomp.github.io/stomp-specification-1.2.html), then what 1.1 and 1.0 lack.
//!
//! ```text
//! COMMAND EOL  *(name ":" value EOL)  EOL  body  NUL  *EOL        EOL = LF or CR LF
//!    frame::decode     header::Headers     field::*               encode::* is the way back
//! ```

pub mod encode;
pub mod field;
pub mod frame;
pub mod header;

/// A version of the protocol, agreed on by CONNECT and CONNECTED.
///
/// Until then, and for the headers of those two frames always, [`Version::V10`] holds: "they do not escape
/// \[..\] to remain backwards compatible with STOMP 1.0" (1.2, "Value Encoding").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// No escapes, blanks around a header's name and value are no part of them.
    #[default]
    V10,
    /// Escapes `\n`, `\c`, `\\`.
    V11,
    /// Escapes `\r` too; a CR stands before LF only.
    V12,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 3] = [Self::V10, Self::V11, Self::V12];

    /// All of them as an `accept-version` or `version` header lists them.
    pub const LIST: &str = "1.0,1.1,1.2";

    /// The version as headers spell it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::V10 => "1.0",
            Self::V11 => "1.1",
            Self::V12 => "1.2",
        }
    }
}

/// What a frame says, by its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the command of that name")]
pub enum Command {
    Connect,
    Stomp,
    Subscribe,
    Unsubscribe,
    Send,
    Ack,
    Nack,
    Begin,
    Commit,
    Abort,
    Disconnect,
    Connected,
    Message,
    Receipt,
    Error,
}

impl Command {
    /// Every command: what clients say, then what servers say.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Stomp,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Send,
        Self::Ack,
        Self::Nack,
        Self::Begin,
        Self::Commit,
        Self::Abort,
        Self::Disconnect,
        Self::Connected,
        Self::Message,
        Self::Receipt,
        Self::Error,
    ];

    /// Reads a command line without its line end; commands are upper-case alone.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.label().as_bytes() == line)
    }

    /// The command as a frame spells it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Stomp => "STOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Send => "SEND",
            Self::Ack => "ACK",
            Self::Nack => "NACK",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Abort => "ABORT",
            Self::Disconnect => "DISCONNECT",
            Self::Connected => "CONNECTED",
            Self::Message => "MESSAGE",
            Self::Receipt => "RECEIPT",
            Self::Error => "ERROR",
        }
    }

    /// Whether it belongs to the opening of a session, whose headers know no escapes in any version.
    #[must_use]
    pub const fn opens(self) -> bool {
        matches!(self, Self::Connect | Self::Stomp | Self::Connected)
    }

    /// Whether a body may follow: "only the SEND, MESSAGE, and ERROR frames may have a body" (1.2, "Body").
    #[must_use]
    pub const fn may_have_body(self) -> bool {
        matches!(self, Self::Send | Self::Message | Self::Error)
    }
}
