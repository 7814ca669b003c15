//! STOMP over WebSocket: frames wherever the messages cut them.

use std::borrow::Cow;
use std::mem;

use crate::ids::{GroupId, Seq, parse_decimal};
use crate::limits::HEARD_BYTES_MAX;
use crate::load::client::link::{Link, Passed};
use crate::load::client::{ClientError, Heard, is_update_numbered};
use crate::wire::Parsed;
use crate::wire::stomp::field::{Destination, parse_message_id};
use crate::wire::stomp::frame::{self, Frame, FrameLimits, Item, Scan};
use crate::wire::stomp::{Command, Version};
use crate::wire::websocket::frame::CloseCode;

const LIMITS: FrameLimits = FrameLimits { frame_bytes_max: HEARD_BYTES_MAX, headers_max: 64 };

/// Reads one STOMP connection.
#[derive(Debug)]
pub struct Stomp {
    link: Link,
    frames: Frames,
}

impl Stomp {
    pub(super) fn new(key: [u8; 24]) -> Self {
        Self { link: Link::new(key), frames: Frames::default() }
    }

    pub(super) fn handle_received(
        &mut self,
        bytes: &mut [u8],
        mask: [u8; 4],
        unsent: &mut Vec<u8>,
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> Result<(), ClientError> {
        let Self { link, frames } = self;
        link.handle_received(bytes, (mask, unsent), true, |passed| {
            match passed {
                Passed::Opened => hear(Heard::Opened),
                Passed::Refused(status) => hear(Heard::Refused { status }),
                Passed::Closing(code) => hear(Heard::Closing { code }),
                Passed::Text(text) => frames.handle_message(text.as_bytes(), hear)?,
                Passed::Binary(bytes) => frames.handle_message(bytes, hear)?,
            }
            Ok(())
        })
    }

    pub(super) fn handle_end(&self) -> Result<(), ClientError> {
        self.link.handle_end()?;
        if self.frames.held.is_empty() { Ok(()) } else { Err(ClientError::CutShort) }
    }

    pub(super) fn close(&mut self, code: CloseCode, mask: [u8; 4], unsent: &mut Vec<u8>) {
        self.link.close(code, mask, unsent);
    }
}

/// Reads frames, and keeps one that has not come whole.
#[derive(Debug, Default)]
struct Frames {
    session: Session,
    held: Vec<u8>,
    /// How far `held` has been looked at.
    scan: Scan,
    /// What is known of the next MESSAGE by the last.
    pattern: Option<Box<Pattern>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Session {
    /// Accepts: CONNECTED, or ERROR. Next: `Open`.
    #[default]
    Connecting,
    /// Accepts: MESSAGE, RECEIPT, ERROR, in the spelling of the version that was agreed on.
    Open(Version),
}

impl Frames {
    fn handle_message(&mut self, message: &[u8], hear: &mut dyn FnMut(Heard<'_>)) -> Result<(), ClientError> {
        if self.held.is_empty() {
            let used = self.read(message, hear)?;
            self.held.extend_from_slice(&message[used..]);
        } else {
            let mut held = mem::take(&mut self.held);
            held.extend_from_slice(message);
            let used = self.read(&held, hear)?;
            if used < held.len() {
                held.drain(..used);
                self.held = held;
            }
        }
        Ok(())
    }

    /// Tells the frames that `input` begins with, and says how many bytes they took.
    fn read(&mut self, input: &[u8], hear: &mut dyn FnMut(Heard<'_>)) -> Result<usize, ClientError> {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            // A frame that was begun is not begun again.
            if let Some(pattern) = self.pattern.as_deref().filter(|_| self.scan == Scan::default())
                && let Some((body, bytes)) = pattern.body(rest)
            {
                let (subscription, group) = (pattern.subscription.as_deref(), pattern.group);
                hear(Heard::Update { body, subscription, group });
                used += bytes;
                continue;
            }
            match frame::decode(rest, self.version(), LIMITS, &mut self.scan)? {
                Parsed::Partial => break,
                Parsed::Complete { value: Item::LineEnds, used: bytes } => used += bytes,
                Parsed::Complete { value: Item::Frame(frame), used: bytes } => {
                    self.handle_frame(&frame, &rest[..bytes], hear)?;
                    used += bytes;
                }
            }
        }
        Ok(used)
    }

    const fn version(&self) -> Version {
        match self.session {
            Session::Connecting => Version::V10,
            Session::Open(version) => version,
        }
    }

    fn handle_frame(
        &mut self,
        frame: &Frame<'_>,
        raw: &[u8],
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> Result<(), ClientError> {
        match (frame.command, self.session) {
            (Command::Connected, Session::Connecting) => {
                let version = connected_version(frame)?;
                self.session = Session::Open(version);
                hear(Heard::Connected { version: version.label() });
                Ok(())
            }
            (Command::Connected, Session::Open(_)) => Err(ClientError::ConnectedTwice),
            (Command::Message, Session::Open(_)) => {
                let group = tell_update(frame, hear)?;
                if !Pattern::learn(&mut self.pattern, frame, group, raw) {
                    self.pattern = None;
                }
                Ok(())
            }
            (Command::Receipt, Session::Open(_)) => {
                let missing = ClientError::MissingHeader { command: frame.command, header: "receipt-id" };
                hear(Heard::Receipt(&frame.headers.value("receipt-id").ok_or(missing)?));
                Ok(())
            }
            (Command::Error, Session::Connecting | Session::Open(_)) => {
                hear(Heard::Complaint(&frame.headers.value("message").unwrap_or_default()));
                Ok(())
            }
            (command @ (Command::Message | Command::Receipt), Session::Connecting) => {
                Err(ClientError::NotConnected { command })
            }
            (
                command @ (Command::Connect
                | Command::Stomp
                | Command::Subscribe
                | Command::Unsubscribe
                | Command::Send
                | Command::Ack
                | Command::Nack
                | Command::Begin
                | Command::Commit
                | Command::Abort
                | Command::Disconnect),
                Session::Connecting | Session::Open(_),
            ) => Err(ClientError::ClientCommand { command }),
        }
    }
}

/// The version that a CONNECTED agrees on: without the header, as in 1.0, that.
fn connected_version(frame: &Frame<'_>) -> Result<Version, ClientError> {
    let Some(label) = frame.headers.value("version") else { return Ok(Version::V10) };
    let version = Version::ALL.into_iter().find(|version| version.label() == label);
    version.ok_or(ClientError::Version)
}

/// Tells a MESSAGE once its headers fit its body, and says of which group it is.
fn tell_update(frame: &Frame<'_>, hear: &mut dyn FnMut(Heard<'_>)) -> Result<GroupId, ClientError> {
    let need = |header| {
        let missing = ClientError::MissingHeader { command: Command::Message, header };
        frame.headers.value(header).ok_or(missing)
    };
    // With the header the frame ends where it says, or it is none.
    need("content-length")?;
    let message_id = need("message-id")?;
    let seq = message_id.split_once('-').map_or("", |(_, seq)| seq);
    if parse_message_id(&message_id).is_none() || !is_update_numbered(frame.body, seq.as_bytes()) {
        return Err(ClientError::MessageId);
    }
    let group = match Destination::parse(&need("destination")?) {
        Ok(Destination::Location(group)) => group,
        Ok(Destination::Share(_)) | Err(_) => return Err(ClientError::Destination),
    };
    let subscription = frame.headers.value("subscription");
    hear(Heard::Update { body: frame.body, subscription: subscription.as_deref(), group: Some(group) });
    Ok(group)
}

/// A MESSAGE that kept all rules, around the two numbers in which the next of its subscription differs from it.
///
/// ```text
///  MESSAGE subscription:s-1 message-id:0-  17  destination:.. content-type:.. content-length:  61  {"seq":17,..} NUL
///  `------------- before ---------------' seq `----------------- between -----------------' length
/// ```
///
/// A frame with the same bytes around other numbers keeps the rules too, if the numbers fit its body. To compare costs a
/// fraction of reading every header of every frame, each of which names the same subscription and destination again.
#[derive(Debug, Default)]
struct Pattern {
    before: Vec<u8>,
    between: Vec<u8>,
    subscription: Option<String>,
    group: Option<GroupId>,
}

const LENGTH: &[u8] = b"\ncontent-length:";

impl Pattern {
    /// Learns from a MESSAGE that was told, of which `raw` are the bytes. Says no of one that is not written as the picture
    /// has it, or in which more than the two numbers will change.
    fn learn(pattern: &mut Option<Box<Self>>, frame: &Frame<'_>, group: GroupId, raw: &[u8]) -> bool {
        let headers = raw.strip_suffix(&[0]).and_then(|raw| raw.strip_suffix(frame.body));
        let Some(headers) = headers.and_then(|headers| headers.strip_suffix(b"\n\n")) else { return false };
        let Some((between_and_before, length)) = split_behind_last(headers, LENGTH) else { return false };
        let Some((start, id_and_rest)) = split_behind_last(between_and_before, b"\nmessage-id:") else {
            return false;
        };
        let ordinal = id_and_rest.iter().take_while(|byte| **byte != b'-').count() + 1;
        let Some(seq_and_rest) = id_and_rest.get(ordinal..) else { return false };
        let between = &seq_and_rest[digits(seq_and_rest).len()..];
        // Of a header that comes twice the first counts, and 1.0 spells it with blanks too: whatever reminds of a second one
        // is left to the reader of headers.
        let alone = |name: &[u8]| headers.windows(name.len()).filter(|window| *window == name).count() == 1;
        let is_plain = digits(length).len() == length.len() && between.starts_with(b"\n");
        // An `ack` repeats the number, so that no other frame has these bytes around two.
        let repeats = frame.headers.value("ack").is_some();
        if !is_plain || repeats || !alone(b"message-id") || !alone(b"content-length") {
            return false;
        }
        let pattern = pattern.get_or_insert_default();
        let before = start.len() + ordinal;
        pattern.before.clear();
        pattern.before.extend_from_slice(&headers[..before]);
        pattern.between.clear();
        pattern.between.extend_from_slice(between);
        pattern.group = Some(group);
        pattern.subscription = frame.headers.value("subscription").map(Cow::into_owned);
        true
    }

    /// The body of the whole frame that `input` begins with, if it is like this one, and how many bytes the frame takes.
    fn body<'a>(&self, input: &'a [u8]) -> Option<(&'a [u8], usize)> {
        let rest = input.strip_prefix(&self.before[..])?;
        let seq = digits(rest);
        let rest = rest[seq.len()..].strip_prefix(&self.between[..])?;
        let length = digits(rest);
        let rest = rest[length.len()..].strip_prefix(b"\n\n")?;
        let bytes = parse_decimal(length).and_then(|bytes| usize::try_from(bytes).ok())?;
        let (body, behind) = rest.split_at_checked(bytes)?;
        let used = input.len() - behind.len() + 1;
        let is_seq = parse_decimal(seq).and_then(Seq::new).is_some();
        let keeps_rules = behind.first() == Some(&0) && is_seq && is_update_numbered(body, seq);
        (keeps_rules && used <= HEARD_BYTES_MAX).then_some((body, used))
    }
}

/// The digits that `bytes` begins with.
fn digits(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()]
}

/// What lies before the end of the last `mark` in `bytes`, and what behind it.
fn split_behind_last<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).rposition(|window| window == mark)?;
    Some(bytes.split_at(at + mark.len()))
}
