//! A stream of frames into messages (RFC 6455, sections 5.4 to 5.6 and 7; UTF-8 as section 8.1 asks).
//!
//! Knows fragments, control frames between them, and the limits of one message. Does not answer anything: whether a
//! Ping gets its Pong, and that nothing is read behind a Close, is the conversation's business.
//!
//! ```text
//! input:  | head | payload, whole  | head | pay...          a whole small message is unmasked in place and borrowed;
//!           `-- item, borrowed --'   `--- Partial ---       anything else moves to the box as it arrives
//! ```

use std::borrow::Cow;
use std::fmt;
use std::mem;

use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;
use crate::report::Reason;
use crate::wire::Parsed;
use crate::wire::websocket::frame::{self, CloseCode, FrameError, FrameHead, HEAD_BYTES_MAX, Opcode, Side};
use crate::wire::websocket::mask;

/// What one message may be; an argument of each call, so that it takes no room in an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Longest message in bytes of payload, all fragments together.
    pub message_bytes_max: usize,
    /// Most frames that one message may be cut into; `None` for any number.
    ///
    /// Empty fragments cost their sender 6 bytes and no limit of bytes ever ends them.
    pub fragments_max: Option<u32>,
}

/// Something whole that the peer sent: borrowed from the input where it lay there whole, else owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A message of text.
    Text(Cow<'a, str>),
    /// A message of bytes.
    Binary(Cow<'a, [u8]>),
    /// To be answered by a Pong with the same payload (section 5.5.2).
    Ping(Cow<'a, [u8]>),
    /// A sign of life; its payload says nothing to us.
    Pong,
    /// The peer closes or answers our Close; what comes behind it is to be discarded (section 5.5.1).
    Close {
        /// Why, if it says: a code to be echoed.
        code: Option<CloseCode>,
        /// Its words, often none.
        reason: Cow<'a, str>,
    },
}

/// What one call of [`Messages::decode`] made of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Bytes of the input that are done with; never 0 unless the input is empty.
    pub used: usize,
    /// What they completed, if anything.
    pub item: Option<Incoming<'a>>,
}

/// A rule that the peer broke. Every one is final: close with [`Violation::close_code`] and decode no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A frame that breaks a rule of framing: 1002.
    Frame(FrameError),
    /// A message begins before the fragmented one has ended (section 5.4): 1002.
    Interrupted,
    /// A continuation of nothing (section 5.4): 1002.
    NothingToContinue,
    /// The announced length takes the message past its limit (section 10.4): 1009.
    TooBig {
        /// Bytes announced so far.
        announced: u64,
        /// The limit.
        max: usize,
    },
    /// The message comes in too many fragments (section 10.4): 1008, for its bytes may be few.
    TooManyFragments {
        /// The limit.
        max: u32,
    },
    /// Text that is not UTF-8 (section 8.1): 1007.
    TextNotUtf8,
    /// A Close with one byte of payload, half a code (section 5.5.1): 1002.
    CloseTooShort,
    /// A Close with a code that may not stand in a frame (section 7.4): 1002.
    CloseCode(u16),
    /// A Close whose reason is not UTF-8 (section 5.5.1): 1007.
    ReasonNotUtf8,
}

impl Violation {
    /// The code that the connection is closed with.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Frame(_)
            | Self::Interrupted
            | Self::NothingToContinue
            | Self::CloseTooShort
            | Self::CloseCode(_) => CloseCode::PROTOCOL_ERROR,
            Self::TextNotUtf8 | Self::ReasonNotUtf8 => CloseCode::NOT_UTF8,
            Self::TooBig { .. } => CloseCode::TOO_BIG,
            Self::TooManyFragments { .. } => CloseCode::POLICY,
        }
    }

    /// What it is counted as.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::TooBig { .. } => Reason::BodyMax,
            Self::Frame(_)
            | Self::Interrupted
            | Self::NothingToContinue
            | Self::TooManyFragments { .. }
            | Self::TextNotUtf8
            | Self::CloseTooShort
            | Self::CloseCode(_)
            | Self::ReasonNotUtf8 => Reason::WebSocket,
        }
    }
}

impl From<FrameError> for Violation {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Interrupted => write!(f, "a message begins before the fragmented one has ended"),
            Self::NothingToContinue => write!(f, "a continuation frame continues nothing"),
            Self::TooBig { announced, max } => {
                write!(f, "a message of {announced} bytes or more is over the limit of {max}")
            }
            Self::TooManyFragments { max } => write!(f, "a message in more than {max} fragments"),
            Self::TextNotUtf8 => write!(f, "text is not utf-8"),
            Self::CloseTooShort => write!(f, "a close payload of 1 byte is half a code"),
            Self::CloseCode(code) => write!(f, "close code {code} may not stand in a frame"),
            Self::ReasonNotUtf8 => write!(f, "the reason of a close is not utf-8"),
        }
    }
}

impl std::error::Error for Violation {}

/// Decodes what one peer sends, frame by frame, into messages.
///
/// Between messages it owns nothing but itself. The box comes when a read ends inside a frame or a message, and goes
/// when the message is done.
#[derive(Debug)]
pub struct Messages {
    from: Side,
    partial: Option<Box<Partial>>,
}

/// It lies in the slot of every open connection, and a slot has 112 bytes for everything.
const _: () = assert!(size_of::<Messages>() <= 16);

impl Messages {
    /// A decoder at the start of a stream that this side of the connection sends.
    #[must_use]
    pub const fn new(from: Side) -> Self {
        Self { from, partial: None }
    }

    /// Takes one frame, or what there is of it, from the front of `input`.
    ///
    /// Call again with the rest until nothing is left; all that comes is taken in, so no bytes need be kept by the
    /// caller. The payload that was taken is unmasked where it lies.
    ///
    /// # Errors
    /// The rule that the peer broke, as soon as the bytes show it. Final: do not call again.
    pub fn decode<'a>(&mut self, input: &'a mut [u8], bounds: Bounds) -> Result<Progress<'a>, Violation> {
        let Some((frame, payload_at)) = self.enter_frame(input, bounds)? else {
            return Ok(Progress { used: input.len(), item: None });
        };
        let there = (input.len() - payload_at) as u64;
        let payload_end = payload_at + there.min(frame.missing()) as usize;
        let payload = &mut input[payload_at..payload_end];
        if let Some(key) = frame.head.mask {
            mask::apply(key, (frame.received % 4) as usize, payload);
        }
        let item = if frame.is_message_within(payload) {
            Some(whole(frame.head.opcode, Cow::Borrowed(payload))?)
        } else {
            self.take_in(frame, payload)?
        };
        self.partial.take_if(|partial| partial.is_idle());
        Ok(Progress { used: payload_end, item })
    }

    /// Whether nothing is half received.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Memory held for what is half received.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.held_bytes())
    }

    /// The frame that is being read and where in `input` its payload goes on; `None` if the input ended inside a head.
    fn enter_frame(&mut self, input: &[u8], bounds: Bounds) -> Result<Option<(Frame, usize)>, Violation> {
        let reading = self.partial.as_mut().map(|partial| mem::take(&mut partial.reading));
        let mut half = match reading.unwrap_or_default() {
            Reading::Payload(frame) => return Ok(Some((frame, 0))),
            Reading::Head(half) => half,
        };
        let before = half.len();
        half.extend(input);
        match frame::decode(half.bytes(), self.from)? {
            Parsed::Partial => {
                if half.len() > 0 {
                    self.partial.get_or_insert_default().reading = Reading::Head(half);
                }
                Ok(None)
            }
            Parsed::Complete { value: head, used } => {
                self.admit(head, bounds)?;
                Ok(Some((Frame { head, received: 0, control: Vec::new() }, used - before)))
            }
        }
    }

    /// Holds a frame against the message that it is part of, before any of its payload is looked at.
    fn admit(&mut self, head: FrameHead, bounds: Bounds) -> Result<(), Violation> {
        if head.opcode.is_control() {
            return Ok(());
        }
        let message = self.partial.as_mut().and_then(|partial| partial.message.as_mut());
        let (held, fragments) = match (message, head.opcode == Opcode::Continuation) {
            (None, false) => (0, 1),
            (None, true) => return Err(Violation::NothingToContinue),
            (Some(_), false) => return Err(Violation::Interrupted),
            (Some(message), true) => {
                message.fragments = message.fragments.saturating_add(1);
                (message.len(), message.fragments)
            }
        };
        let announced = head.payload_len.saturating_add(held as u64);
        if announced > bounds.message_bytes_max as u64 {
            return Err(Violation::TooBig { announced, max: bounds.message_bytes_max });
        }
        match bounds.fragments_max {
            Some(max) if fragments > max => Err(Violation::TooManyFragments { max }),
            Some(_) | None => Ok(()),
        }
    }

    /// Moves a piece of payload that is no whole message to the box, and out of it what it completes.
    fn take_in(&mut self, mut frame: Frame, payload: &[u8]) -> Result<Option<Incoming<'static>>, Violation> {
        let partial = self.partial.get_or_insert_default();
        let to_come = frame.missing() as usize;
        if payload.is_empty() && to_come > 0 {
            // Only the head is here. An assembly begun now would be left behind by the rest that comes whole.
            partial.reading = Reading::Payload(frame);
            return Ok(None);
        }
        frame.received += payload.len() as u64;
        let ended = frame.missing() == 0;
        let mut item = None;
        if frame.head.opcode.is_control() {
            frame.control.extend_from_slice(payload);
            if ended {
                item = Some(whole(frame.head.opcode, Cow::Owned(mem::take(&mut frame.control)))?);
            }
        } else {
            let message = partial.message.get_or_insert_with(|| Assembly::new(frame.head.opcode));
            message.push(payload, to_come)?;
            if ended && frame.head.fin {
                item = partial.message.take().map(Assembly::finish).transpose()?;
            }
        }
        if !ended {
            partial.reading = Reading::Payload(frame);
        }
        Ok(item)
    }
}

/// What is half received.
#[derive(Debug, Default)]
struct Partial {
    reading: Reading,
    /// The message that the frames so far are part of; control frames come and go beside it.
    message: Option<Assembly>,
}

impl Partial {
    fn is_idle(&self) -> bool {
        let between_frames = match &self.reading {
            Reading::Head(half) => half.len() == 0,
            Reading::Payload(_) => false,
        };
        between_frames && self.message.is_none()
    }

    fn held_bytes(&self) -> usize {
        let control = match &self.reading {
            Reading::Head(_) => 0,
            Reading::Payload(frame) => frame.control.capacity(),
        };
        size_of::<Self>() + control + self.message.as_ref().map_or(0, Assembly::capacity)
    }
}

/// Where in a frame the input ended.
#[derive(Debug)]
enum Reading {
    /// Accepts: the next bytes of a head, of which some may be here. Next: `Payload`.
    Head(HalfHead),
    /// Accepts: the next bytes of this frame's payload. Next: `Head`, once it has them all.
    Payload(Frame),
}

impl Default for Reading {
    fn default() -> Self {
        Self::Head(HalfHead::default())
    }
}

/// The first bytes of a head.
#[derive(Debug, Default)]
struct HalfHead {
    bytes: [u8; HEAD_BYTES_MAX],
    len: u8,
}

impl HalfHead {
    const fn len(&self) -> usize {
        self.len as usize
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// Takes as much as a head can be long; what is not head is read again as payload.
    fn extend(&mut self, input: &[u8]) {
        let room = &mut self.bytes[usize::from(self.len)..];
        let took = room.len().min(input.len());
        room[..took].copy_from_slice(&input[..took]);
        self.len += took as u8;
    }
}

/// A frame whose head is known.
#[derive(Debug)]
struct Frame {
    head: FrameHead,
    received: u64,
    /// The payload so far of a control frame; that of data goes to the message.
    control: Vec<u8>,
}

impl Frame {
    const fn missing(&self) -> u64 {
        self.head.payload_len - self.received
    }

    /// Whether the payload at hand is a message, or a control frame, of its own.
    fn is_message_within(&self, payload: &[u8]) -> bool {
        let complete = self.received == 0 && self.head.payload_len == payload.len() as u64;
        complete && self.head.fin && self.head.opcode != Opcode::Continuation
    }
}

/// A message that is put together from pieces.
#[derive(Debug)]
struct Assembly {
    body: Body,
    fragments: u32,
}

#[derive(Debug)]
enum Body {
    /// Characters that have arrived whole, and the bytes of one that has not.
    Text {
        text: String,
        tail: Tail,
    },
    Binary(Vec<u8>),
}

impl Assembly {
    /// The first frame's opcode says what the message is; a continuation never comes first.
    fn new(opcode: Opcode) -> Self {
        let body = if opcode == Opcode::Text {
            Body::Text { text: String::new(), tail: Tail::default() }
        } else {
            Body::Binary(Vec::new())
        };
        Self { body, fragments: 1 }
    }

    /// Appends a piece; `to_come` is what its frame still has, the piece included.
    fn push(&mut self, piece: &[u8], to_come: usize) -> Result<(), Violation> {
        match &mut self.body {
            Body::Text { text, tail } => {
                text.reserve_exact(room(text.len(), text.capacity(), tail.len() + piece.len(), to_come));
                tail.push(text, piece)
            }
            Body::Binary(bytes) => {
                bytes.reserve_exact(room(bytes.len(), bytes.capacity(), piece.len(), to_come));
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    fn len(&self) -> usize {
        match &self.body {
            Body::Text { text, tail } => text.len() + tail.len(),
            Body::Binary(bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match &self.body {
            Body::Text { text, .. } => text.capacity(),
            Body::Binary(bytes) => bytes.capacity(),
        }
    }

    fn finish(self) -> Result<Incoming<'static>, Violation> {
        match self.body {
            Body::Text { text, tail } if tail.len() == 0 => Ok(Incoming::Text(Cow::Owned(text))),
            Body::Text { .. } => Err(Violation::TextNotUtf8),
            Body::Binary(bytes) => Ok(Incoming::Binary(Cow::Owned(bytes))),
        }
    }
}

/// How much to reserve for `more` bytes behind `len`: as much again as there is, but never past what was announced.
///
/// What is held is so at most twice what has arrived, and never over the message's limit: announcing 64 MiB costs
/// the announcer 64 MiB, not us.
fn room(len: usize, capacity: usize, more: usize, to_come: usize) -> usize {
    if capacity - len >= more { 0 } else { len.min(to_come).max(more) }
}

/// The bytes of a character that has not arrived whole.
#[derive(Debug, Default)]
struct Tail {
    bytes: [u8; 4],
    len: u8,
}

impl Tail {
    const fn len(&self) -> usize {
        self.len as usize
    }

    /// Moves whole characters to `text` and keeps the rest; says no at the first byte that no character can have.
    fn push(&mut self, text: &mut String, mut piece: &[u8]) -> Result<(), Violation> {
        while self.len > 0
            && let Some((&byte, rest)) = piece.split_first()
        {
            piece = rest;
            self.bytes[self.len()] = byte;
            self.len += 1;
            match std::str::from_utf8(&self.bytes[..self.len()]) {
                Ok(character) => {
                    text.push_str(character);
                    self.len = 0;
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Violation::TextNotUtf8),
            }
        }
        match std::str::from_utf8(piece) {
            Ok(whole) => text.push_str(whole),
            Err(error) if error.error_len().is_none() => {
                let (whole, tail) = piece.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(whole).expect("it is valid up to here"));
                // At most 3 bytes: a fourth would end the character or be wrong.
                self.bytes[..tail.len()].copy_from_slice(tail);
                self.len = tail.len() as u8;
            }
            Err(_) => return Err(Violation::TextNotUtf8),
        }
        Ok(())
    }
}

/// What one frame says that is a message, or a control frame, of its own.
fn whole(opcode: Opcode, payload: Cow<'_, [u8]>) -> Result<Incoming<'_>, Violation> {
    match opcode {
        Opcode::Text => utf8(payload).map(Incoming::Text).ok_or(Violation::TextNotUtf8),
        // A continuation does not get here: it is part of an assembly, or refused.
        Opcode::Binary | Opcode::Continuation => Ok(Incoming::Binary(payload)),
        Opcode::Close => close(payload),
        Opcode::Ping => Ok(Incoming::Ping(payload)),
        Opcode::Pong => Ok(Incoming::Pong),
    }
}

/// The payload of a Close (section 5.5.1): nothing, or a code and perhaps a reason.
fn close(payload: Cow<'_, [u8]>) -> Result<Incoming<'_>, Violation> {
    debug_assert!(payload.len() <= CONTROL_PAYLOAD_BYTES_MAX, "the frame was refused");
    let code = match *payload {
        [] => return Ok(Incoming::Close { code: None, reason: Cow::Borrowed("") }),
        [_] => return Err(Violation::CloseTooShort),
        [high, low, ..] => u16::from_be_bytes([high, low]),
    };
    let code = CloseCode::from_wire(code).ok_or(Violation::CloseCode(code))?;
    let reason = match payload {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[2..]),
        Cow::Owned(bytes) => Cow::Owned(bytes[2..].to_vec()),
    };
    let reason = utf8(reason).ok_or(Violation::ReasonNotUtf8)?;
    Ok(Incoming::Close { code: Some(code), reason })
}

fn utf8(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { message_bytes_max: 1 << 20, fragments_max: Some(100) };
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// Decodes `stream` in reads of these sizes, the last one for all that is left.
    fn decode_in(
        stream: &[u8],
        from: Side,
        bounds: Bounds,
        sizes: impl IntoIterator<Item = usize>,
    ) -> (Vec<Incoming<'static>>, Result<Messages, Violation>) {
        let mut messages = Messages::new(from);
        let mut items = Vec::new();
        let mut stream = stream.to_vec();
        let mut rest = &mut stream[..];
        let mut sizes = sizes.into_iter();
        while !rest.is_empty() {
            let size = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
            let (mut read, later) = rest.split_at_mut(size);
            rest = later;
            while !read.is_empty() {
                match messages.decode(read, bounds) {
                    Ok(progress) => {
                        assert!(progress.used > 0, "no progress with {} bytes", size);
                        items.extend(progress.item.map(owned));
                        let used = progress.used;
                        read = &mut read[used..];
                    }
                    Err(violation) => return (items, Err(violation)),
                }
            }
        }
        (items, Ok(messages))
    }

    fn owned(item: Incoming<'_>) -> Incoming<'static> {
        match item {
            Incoming::Text(text) => Incoming::Text(Cow::Owned(text.into_owned())),
            Incoming::Binary(bytes) => Incoming::Binary(Cow::Owned(bytes.into_owned())),
            Incoming::Ping(bytes) => Incoming::Ping(Cow::Owned(bytes.into_owned())),
            Incoming::Pong => Incoming::Pong,
            Incoming::Close { code, reason } => {
                Incoming::Close { code, reason: Cow::Owned(reason.into_owned()) }
            }
        }
    }

    fn text(text: &str) -> Incoming<'_> {
        Incoming::Text(Cow::Borrowed(text))
    }

    /// Reads whole, byte by byte, and before a Pong that is not part of it; at the end nothing is held.
    #[track_caller]
    fn check(stream: &[u8], from: Side, expected: &[Incoming<'_>]) {
        for (size, name) in [(usize::MAX, "whole"), (1, "byte by byte")] {
            let (items, end) = decode_in(stream, from, BOUNDS, std::iter::repeat(size));
            assert_eq!(items, expected, "{name}");
            assert!(end.expect("nothing is broken").is_idle(), "{name}");
        }
        let mut trailing = stream.to_vec();
        match from {
            Side::Client => frame::encode_masked_frame(&mut trailing, Opcode::Pong, b"", KEY),
            Side::Server => frame::encode_frame(&mut trailing, Opcode::Pong, b""),
        }
        let (items, _) = decode_in(&trailing, from, BOUNDS, []);
        assert_eq!(items, [expected, &[Incoming::Pong]].concat(), "before a pong");
    }

    /// Says no with the last of `stream`, however it is cut, and not before.
    #[track_caller]
    fn check_refused(stream: &[u8], bounds: Bounds, expected: Violation) {
        let (_, end) = decode_in(&stream[..stream.len() - 1], Side::Client, bounds, std::iter::repeat(1));
        assert!(end.is_ok(), "refused too early: {end:?}");
        for size in [usize::MAX, 1] {
            let (_, end) = decode_in(stream, Side::Client, bounds, std::iter::repeat(size));
            assert_eq!(end.expect_err("a rule is broken"), expected, "in reads of {size}");
        }
    }

    fn masked(frames: &[(bool, Opcode, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (fin, opcode, payload) in frames {
            frame::encode_head(&mut out, *fin, *opcode, payload.len(), Some(KEY));
            let start = out.len();
            out.extend_from_slice(payload);
            mask::apply(KEY, 0, &mut out[start..]);
        }
        out
    }

    /// The examples of section 5.7.
    #[test]
    fn examples_of_the_rfc_are_read() {
        check(&[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], Side::Server, &[text("Hello")]);
        let masked_hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        check(&masked_hello, Side::Client, &[text("Hello")]);
        let in_two = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
        check(&in_two, Side::Server, &[text("Hello")]);
        let ping = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        check(&ping, Side::Server, &[Incoming::Ping(Cow::Borrowed(b"Hello"))]);
        let masked_pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        check(&masked_pong, Side::Client, &[Incoming::Pong]);
        for (len, head) in [(256, &[0x82, 0x7e, 1, 0][..]), (65536, &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0])] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let stream = [head, &payload].concat();
            check(&stream, Side::Server, &[Incoming::Binary(Cow::Owned(payload))]);
        }
    }

    #[test]
    fn control_frames_come_between_fragments() {
        let stream = masked(&[
            (false, Opcode::Text, b"a"),
            (true, Opcode::Ping, b"1"),
            (false, Opcode::Continuation, b""),
            (true, Opcode::Pong, b"2"),
            (true, Opcode::Continuation, b"b"),
            (true, Opcode::Binary, b""),
        ]);
        let ping = Incoming::Ping(Cow::Borrowed(b"1"));
        let binary = Incoming::Binary(Cow::Borrowed(b""));
        check(&stream, Side::Client, &[ping, Incoming::Pong, text("ab"), binary]);
    }

    #[test]
    fn whole_message_is_borrowed_and_nothing_is_held() {
        let mut stream = masked(&[(true, Opcode::Text, b"Hello")]);
        let mut messages = Messages::new(Side::Client);
        let progress = messages.decode(&mut stream, BOUNDS).unwrap();
        assert!(matches!(progress.item, Some(Incoming::Text(Cow::Borrowed("Hello")))));
        assert_eq!(messages.held_bytes(), 0);
    }

    #[test]
    fn message_whose_head_came_in_a_read_of_its_own_leaves_nothing_behind() {
        let stream = masked(&[(true, Opcode::Binary, b"x"), (true, Opcode::Text, b"y")]);
        let (items, end) = decode_in(&stream, Side::Client, BOUNDS, [6]);
        assert_eq!(items, [Incoming::Binary(Cow::Borrowed(b"x")), text("y")]);
        assert!(end.expect("nothing is broken").is_idle());
    }

    #[test]
    fn empty_input_makes_no_progress_and_holds_nothing() {
        let mut messages = Messages::new(Side::Client);
        assert_eq!(messages.decode(&mut [], BOUNDS), Ok(Progress { used: 0, item: None }));
        assert!(messages.is_idle());
    }

    #[test]
    fn character_may_be_cut_anywhere() {
        let stream = masked(&[
            (false, Opcode::Text, b"\xc3"),
            (false, Opcode::Continuation, b"\xa9\xe2\x82"),
            (true, Opcode::Ping, b""),
            (false, Opcode::Continuation, b"\xac\xf0"),
            (false, Opcode::Continuation, b"\x9f"),
            (true, Opcode::Continuation, b"\x8c\x8d"),
        ]);
        check(&stream, Side::Client, &[Incoming::Ping(Cow::Borrowed(b"")), text("é€🌍")]);
    }

    /// Section 8.1, as early as Autobahn's cases 6.4.1 to 6.4.4 ask for: the frame still lacks bytes.
    #[test]
    fn invalid_byte_in_a_half_received_frame_is_refused_at_once() {
        for invalid in [&b"ok \xff"[..], b"\xc0", b"\xed\xa0", b"\xf4\x90", b"\xe2\x28", b"\xf0\x9f\x92\xc0"]
        {
            let mut stream = Vec::new();
            frame::encode_head(&mut stream, true, Opcode::Text, 500, Some([0; 4]));
            stream.extend_from_slice(invalid);
            check_refused(&stream, BOUNDS, Violation::TextNotUtf8);
        }
    }

    #[test]
    fn text_that_ends_inside_a_character_is_refused() {
        let stream = masked(&[(false, Opcode::Text, b"a"), (true, Opcode::Continuation, b"\xe2\x82")]);
        check_refused(&stream, BOUNDS, Violation::TextNotUtf8);
        check_refused(&masked(&[(true, Opcode::Text, b"\xe2\x82")]), BOUNDS, Violation::TextNotUtf8);
    }

    #[test]
    fn message_inside_a_fragmented_one_is_refused() {
        let mut stream = masked(&[(false, Opcode::Text, b"a")]);
        frame::encode_head(&mut stream, true, Opcode::Binary, 3, Some(KEY));
        check_refused(&stream, BOUNDS, Violation::Interrupted);
    }

    #[test]
    fn continuation_of_nothing_is_refused() {
        let mut stream = masked(&[(false, Opcode::Text, b"a"), (true, Opcode::Continuation, b"b")]);
        frame::encode_head(&mut stream, true, Opcode::Continuation, 0, Some(KEY));
        check_refused(&stream, BOUNDS, Violation::NothingToContinue);
    }

    #[test]
    fn message_at_the_limit_is_read_and_one_past_it_refused_by_its_announcement() {
        let bounds = Bounds { message_bytes_max: 10, fragments_max: None };
        let stream = masked(&[(false, Opcode::Binary, b"123456"), (true, Opcode::Continuation, b"7890")]);
        let (items, _) = decode_in(&stream, Side::Client, bounds, []);
        assert_eq!(items, [Incoming::Binary(Cow::Borrowed(b"1234567890"))]);
        let mut stream = masked(&[(false, Opcode::Binary, b"123456"), (true, Opcode::Ping, b"12345678901")]);
        frame::encode_head(&mut stream, true, Opcode::Continuation, 5, Some(KEY));
        check_refused(&stream, bounds, Violation::TooBig { announced: 11, max: 10 });
        let mut stream = Vec::new();
        frame::encode_head(&mut stream, true, Opcode::Text, 1 << 40, Some(KEY));
        check_refused(&stream, bounds, Violation::TooBig { announced: 1 << 40, max: 10 });
    }

    #[test]
    fn fragments_at_the_limit_are_read_and_one_past_it_refused() {
        let bounds = Bounds { message_bytes_max: 10, fragments_max: Some(3) };
        let mut stream = masked(&[
            (false, Opcode::Text, b""),
            (false, Opcode::Continuation, b""),
            (true, Opcode::Continuation, b""),
        ]);
        assert_eq!(decode_in(&stream, Side::Client, bounds, []).0, [text("")]);
        stream = masked(&[
            (false, Opcode::Text, b""),
            (false, Opcode::Continuation, b""),
            (false, Opcode::Continuation, b""),
        ]);
        frame::encode_head(&mut stream, true, Opcode::Continuation, 0, Some(KEY));
        check_refused(&stream, bounds, Violation::TooManyFragments { max: 3 });
    }

    #[test]
    fn announced_bytes_are_not_held_before_they_come() {
        let bounds = Bounds { message_bytes_max: 64 << 20, fragments_max: None };
        let mut messages = Messages::new(Side::Server);
        let mut head = Vec::new();
        frame::encode_head(&mut head, true, Opcode::Binary, 64 << 20, None);
        messages.decode(&mut head, bounds).unwrap();
        assert!(messages.held_bytes() < 200);
        for reads in 1..100 {
            messages.decode(&mut vec![0; 1000], bounds).unwrap();
            assert!(messages.held_bytes() <= reads * 2000 + 200, "{} after {reads}", messages.held_bytes());
        }
    }

    #[test]
    fn message_in_pieces_holds_no_more_than_its_limit() {
        let bounds = Bounds { message_bytes_max: 1500, fragments_max: None };
        let mut messages = Messages::new(Side::Server);
        let mut stream = Vec::new();
        frame::encode_frame(&mut stream, Opcode::Text, &[b'a'; 1500]);
        stream.pop();
        for piece in stream.chunks_mut(100) {
            messages.decode(piece, bounds).unwrap();
            assert!(messages.held_bytes() <= 1500 + size_of::<Partial>());
        }
        messages.decode(&mut [b'a'], bounds).unwrap();
        assert_eq!(messages.held_bytes(), 0);
    }

    #[track_caller]
    fn check_close(payload: &[u8], expected: Result<(Option<u16>, &str), Violation>) {
        let stream = masked(&[(true, Opcode::Close, payload)]);
        match expected {
            Ok((code, reason)) => {
                let code = code.and_then(CloseCode::from_wire);
                check(&stream, Side::Client, &[Incoming::Close { code, reason: Cow::Borrowed(reason) }]);
            }
            Err(violation) => check_refused(&stream, BOUNDS, violation),
        }
    }

    #[test]
    fn close_is_read_with_code_and_reason() {
        check_close(b"", Ok((None, "")));
        check_close(b"\x03\xe8", Ok((Some(1000), "")));
        check_close("\u{3}é".as_bytes(), Err(Violation::CloseCode(0x03c3)));
        check_close(&[&[0x0f, 0xa0][..], "bye é".as_bytes()].concat(), Ok((Some(4000), "bye é")));
    }

    #[test]
    fn bad_close_is_refused() {
        check_close(b"\x03", Err(Violation::CloseTooShort));
        check_close(&1005u16.to_be_bytes(), Err(Violation::CloseCode(1005)));
        check_close(&5000u16.to_be_bytes(), Err(Violation::CloseCode(5000)));
        check_close(b"\x03\xe8\xff", Err(Violation::ReasonNotUtf8));
    }

    #[test]
    fn every_violation_closes_with_the_code_of_its_rule() {
        for (violation, code) in [
            (Violation::Frame(FrameError::Unmasked), 1002),
            (Violation::Interrupted, 1002),
            (Violation::NothingToContinue, 1002),
            (Violation::TooBig { announced: 2, max: 1 }, 1009),
            (Violation::TooManyFragments { max: 1 }, 1008),
            (Violation::TextNotUtf8, 1007),
            (Violation::CloseTooShort, 1002),
            (Violation::CloseCode(1), 1002),
            (Violation::ReasonNotUtf8, 1007),
        ] {
            assert_eq!(violation.close_code().number(), code, "{violation}");
            let too_big = matches!(violation, Violation::TooBig { .. });
            assert_eq!(violation.reason() == Reason::BodyMax, too_big, "{violation}");
        }
    }

    /// Whole messages as a client sends them: cut into fragments, Pings between.
    fn streams() -> impl Strategy<Value = (Vec<u8>, Vec<Incoming<'static>>)> {
        let message =
            (any::<bool>(), "\\PC{0,80}", prop::collection::vec(0usize..40, 0..4), any::<[u8; 4]>());
        prop::collection::vec(message, 0..6).prop_map(|messages| {
            let mut stream = Vec::new();
            let mut items = Vec::new();
            for (is_text, content, cuts, key) in messages {
                let mut opcode = if is_text { Opcode::Text } else { Opcode::Binary };
                let mut rest = content.as_bytes();
                for cut in cuts {
                    let (piece, later) = rest.split_at(cut.min(rest.len()));
                    frame::encode_head(&mut stream, false, opcode, piece.len(), Some(key));
                    let start = stream.len();
                    stream.extend_from_slice(piece);
                    mask::apply(key, 0, &mut stream[start..]);
                    frame::encode_masked_frame(&mut stream, Opcode::Ping, &piece[..piece.len().min(9)], key);
                    items.push(Incoming::Ping(Cow::Owned(piece[..piece.len().min(9)].to_vec())));
                    (rest, opcode) = (later, Opcode::Continuation);
                }
                frame::encode_masked_frame(&mut stream, opcode, rest, key);
                items.push(if is_text {
                    Incoming::Text(Cow::Owned(content))
                } else {
                    Incoming::Binary(Cow::Owned(content.into_bytes()))
                });
            }
            (stream, items)
        })
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_equals_the_whole(
            (stream, expected) in streams(), sizes in prop::collection::vec(1usize..50, 0..60)
        ) {
            let (items, end) = decode_in(&stream, Side::Client, BOUNDS, sizes);
            prop_assert_eq!(items, expected);
            prop_assert!(end.expect("nothing is broken").is_idle());
        }

        #[test]
        fn random_bytes_end_alike_however_they_are_cut(
            stream: Vec<u8>, client: bool, sizes in prop::collection::vec(1usize..10, 0..60)
        ) {
            let from = if client { Side::Client } else { Side::Server };
            let bounds = Bounds { message_bytes_max: 100, fragments_max: Some(2) };
            let (whole, end) = decode_in(&stream, from, bounds, []);
            let (pieces, end_of_pieces) = decode_in(&stream, from, bounds, sizes);
            prop_assert_eq!(whole, pieces);
            prop_assert_eq!(end.err(), end_of_pieces.err());
        }
    }
}
