//! Frame heads and whole frames (RFC 6455, section 5): the 2 to 14 bytes before a payload.
//!
//! Knows one frame at a time; how frames make messages is `message`'s business.

use std::fmt;

use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;
use crate::wire::Parsed;
use crate::wire::websocket::mask;

/// Longest frame head: two bytes, a length of eight, a masking key of four.
pub const HEAD_BYTES_MAX: usize = 14;

/// Longest reason of a Close frame: the code takes two bytes of the payload.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_PAYLOAD_BYTES_MAX - 2;

const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const MASKED: u8 = 0x80;

/// Who sent the frames that are read: it decides whether they must be masked (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The peer is a client: its frames must be masked.
    Client,
    /// The peer is a server: its frames must not be masked.
    Server,
}

/// What a frame is for (section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// Goes on with the message that an earlier frame began.
    Continuation = 0x0,
    /// Begins, or is, a message of UTF-8.
    Text = 0x1,
    /// Begins, or is, a message of bytes.
    Binary = 0x2,
    /// Begins or answers the closing handshake.
    Close = 0x8,
    /// Asks for a Pong.
    Ping = 0x9,
    /// Answers a Ping, or says that one is alive.
    Pong = 0xA,
}

impl Opcode {
    /// Whether frames of this kind may come between the fragments of a message (section 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        (self as u8) & 0x8 != 0
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }
}

/// Everything that comes before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Whether this frame is the last of its message.
    pub fin: bool,
    /// What the frame is for.
    pub opcode: Opcode,
    /// The key that the payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload that follow; below 2^63.
    pub payload_len: u64,
}

/// A rule of framing that the peer broke. Every one is final and closes with 1002.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// RSV1, RSV2 or RSV3 is set though no extension was agreed on (section 5.2).
    ReservedBits(u8),
    /// An opcode that has no meaning (section 5.2).
    ReservedOpcode(u8),
    /// A client's frame without a mask (section 5.1).
    Unmasked,
    /// A server's frame with a mask (section 5.1).
    Masked,
    /// The length is written in more bytes than it needs (section 5.2).
    LengthNotMinimal(u64),
    /// The most significant bit of a length of eight bytes is set (section 5.2).
    LengthPast63Bits,
    /// A control frame of more than 125 bytes (section 5.5).
    ControlTooLong,
    /// A control frame without FIN (section 5.5).
    ControlFragmented,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits(bits) => write!(f, "reserved bits {bits:#04x} are set without an extension"),
            Self::ReservedOpcode(opcode) => write!(f, "opcode {opcode:#x} is reserved"),
            Self::Unmasked => write!(f, "a frame from a client must be masked"),
            Self::Masked => write!(f, "a frame from a server must not be masked"),
            Self::LengthNotMinimal(len) => write!(f, "length {len} is written in more bytes than it needs"),
            Self::LengthPast63Bits => write!(f, "a length must stay below 2^63"),
            Self::ControlTooLong => {
                write!(f, "a control frame may hold at most {CONTROL_PAYLOAD_BYTES_MAX} bytes")
            }
            Self::ControlFragmented => write!(f, "a control frame must not be fragmented"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Decodes the head of one frame (section 5.2); looks at 14 bytes at most, and says no at the first byte that
/// settles it.
///
/// # Errors
/// A [`FrameError`]. All are final: close with 1002.
pub fn decode(input: &[u8], from: Side) -> Result<Parsed<FrameHead>, FrameError> {
    let Some(&first) = input.first() else { return Ok(Parsed::Partial) };
    let fin = first & FIN != 0;
    let opcode = decode_opcode(first)?;
    let Some(&second) = input.get(1) else { return Ok(Parsed::Partial) };
    let masked = second & MASKED != 0;
    match from {
        Side::Client if !masked => return Err(FrameError::Unmasked),
        Side::Server if masked => return Err(FrameError::Masked),
        Side::Client | Side::Server => {}
    }
    let short = second & !MASKED;
    if opcode.is_control() && usize::from(short) > CONTROL_PAYLOAD_BYTES_MAX {
        return Err(FrameError::ControlTooLong);
    }
    let Some((payload_len, after_len)) = decode_len(short, &input[2..])? else { return Ok(Parsed::Partial) };
    let (mask, used) = if masked {
        let Some(key) = input[after_len..].first_chunk() else { return Ok(Parsed::Partial) };
        (Some(*key), after_len + key.len())
    } else {
        (None, after_len)
    };
    Ok(Parsed::Complete { value: FrameHead { fin, opcode, mask, payload_len }, used })
}

/// The opcode of a head's first byte, once its other bits are known to be legal.
fn decode_opcode(first: u8) -> Result<Opcode, FrameError> {
    if first & RESERVED_BITS != 0 {
        return Err(FrameError::ReservedBits(first & RESERVED_BITS));
    }
    let bits = first & 0x0f;
    let opcode = Opcode::from_bits(bits).ok_or(FrameError::ReservedOpcode(bits))?;
    if opcode.is_control() && first & FIN == 0 {
        return Err(FrameError::ControlFragmented);
    }
    Ok(opcode)
}

/// The length and where in the head it ends; `None` while its bytes are not all there.
fn decode_len(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, FrameError> {
    let (len, end, least) = match short {
        126 => match rest.first_chunk() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 4, 126),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 10, 1 << 16),
            None => return Ok(None),
        },
        len => (u64::from(len), 2, 0),
    };
    if len >> 63 != 0 {
        return Err(FrameError::LengthPast63Bits);
    }
    if len < least {
        return Err(FrameError::LengthNotMinimal(len));
    }
    Ok(Some((len, end)))
}

/// How long the head of an unmasked frame is.
#[must_use]
pub const fn head_len(payload_len: usize) -> usize {
    match payload_len {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => 10,
    }
}

/// Appends a frame's head; the payload follows, masked by the caller if there is a key.
pub fn encode_head(out: &mut Vec<u8>, fin: bool, opcode: Opcode, payload_len: usize, mask: Option<[u8; 4]>) {
    out.push(opcode as u8 | if fin { FIN } else { 0 });
    let masked = if mask.is_some() { MASKED } else { 0 };
    if let Ok(len) = u16::try_from(payload_len) {
        if len < 126 {
            out.push(masked | len as u8);
        } else {
            out.push(masked | 126);
            out.extend_from_slice(&len.to_be_bytes());
        }
    } else {
        out.push(masked | 127);
        out.extend_from_slice(&(payload_len as u64).to_be_bytes());
    }
    if let Some(key) = mask {
        out.extend_from_slice(&key);
    }
}

/// How many bytes [`encode_head`] appends for a frame without a mask.
#[must_use]
pub const fn head_bytes(payload_len: usize) -> usize {
    match payload_len {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => 10,
    }
}

/// Appends a whole frame as a server sends it: final and unmasked.
pub fn encode_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    encode_head(out, true, opcode, payload.len(), None);
    out.extend_from_slice(payload);
}

/// Appends a whole frame as a client sends it: final and masked.
pub fn encode_masked_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: [u8; 4]) {
    encode_head(out, true, opcode, payload.len(), Some(key));
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(key, 0, &mut out[start..]);
}

/// Appends a server's Close frame; a reason past 123 bytes is cut at a character.
///
/// A Close without a code is `encode_frame(out, Opcode::Close, b"")`.
pub fn encode_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
    encode_head(out, true, Opcode::Close, 2 + reason.len(), None);
    out.extend_from_slice(&code.number().to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Why a connection is closed, as the number that a Close frame carries (section 7.4).
///
/// Holds only numbers that may stand in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// What the connection was made for is done.
    pub const NORMAL: Self = Self(1000);
    /// The server stops, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of message that this end does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Text that is not UTF-8.
    pub const NOT_UTF8: Self = Self(1007);
    /// A rule of this end's own was broken.
    pub const POLICY: Self = Self(1008);
    /// A message over the limit.
    pub const TOO_BIG: Self = Self(1009);
    /// The server ran into something unexpected.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts (IANA registry): reconnect, spread out over time.
    pub const RESTART: Self = Self(1012);
    /// The server has too much to do (IANA registry).
    pub const TRY_LATER: Self = Self(1013);

    /// A code that a peer sent; `None` if it may not stand in a frame.
    ///
    /// 1004 has no meaning; 1005, 1006 and 1015 stand for the lack of a frame (section 7.4.1); the rest of
    /// 1016 to 2999 is kept for revisions of the protocol (7.4.2); 1012 to 1014 were registered later.
    #[must_use]
    pub const fn from_wire(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a head whole, byte by byte with "not yet" at every prefix, and before bytes that are not its own.
    #[track_caller]
    fn check(bytes: &[u8], from: Side, expected: FrameHead) {
        let complete = Ok(Parsed::Complete { value: expected, used: bytes.len() });
        assert_eq!(decode(bytes, from), complete);
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end], from), Ok(Parsed::Partial), "at {end} of {}", bytes.len());
        }
        assert_eq!(decode(&[bytes, b"trailing bytes"].concat(), from), complete);
    }

    /// The error comes with the last of `bytes`, and not before.
    #[track_caller]
    fn check_refused(bytes: &[u8], from: Side, expected: FrameError) {
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end], from), Ok(Parsed::Partial), "at {end} of {}", bytes.len());
        }
        assert_eq!(decode(bytes, from), Err(expected));
        assert_eq!(decode(&[bytes, &[0xff; 20]].concat(), from), Err(expected));
    }

    const fn head(fin: bool, opcode: Opcode, mask: Option<[u8; 4]>, payload_len: u64) -> FrameHead {
        FrameHead { fin, opcode, mask, payload_len }
    }

    /// The examples of section 5.7, heads only.
    #[test]
    fn examples_of_the_rfc_are_read() {
        const KEY: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);
        check(&[0x81, 0x05], Side::Server, head(true, Opcode::Text, None, 5));
        check(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d], Side::Client, head(true, Opcode::Text, KEY, 5));
        check(&[0x01, 0x03], Side::Server, head(false, Opcode::Text, None, 3));
        check(&[0x80, 0x02], Side::Server, head(true, Opcode::Continuation, None, 2));
        check(&[0x89, 0x05], Side::Server, head(true, Opcode::Ping, None, 5));
        check(&[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d], Side::Client, head(true, Opcode::Pong, KEY, 5));
        check(&[0x82, 0x7E, 0x01, 0x00], Side::Server, head(true, Opcode::Binary, None, 256));
        check(&[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0], Side::Server, head(true, Opcode::Binary, None, 65536));
    }

    #[test]
    fn unmasked_client_frame_is_refused() {
        check_refused(&[0x81, 0x05], Side::Client, FrameError::Unmasked);
    }

    #[test]
    fn masked_server_frame_is_refused() {
        check_refused(&[0x81, 0x85], Side::Server, FrameError::Masked);
    }

    #[test]
    fn reserved_bits_are_refused_at_the_first_byte() {
        check_refused(&[0xc1], Side::Client, FrameError::ReservedBits(0x40));
        check_refused(&[0xa1], Side::Client, FrameError::ReservedBits(0x20));
        check_refused(&[0x91], Side::Client, FrameError::ReservedBits(0x10));
    }

    #[test]
    fn reserved_opcodes_are_refused_at_the_first_byte() {
        for opcode in (0x3..=0x7).chain(0xb..=0xf) {
            check_refused(&[0x80 | opcode], Side::Client, FrameError::ReservedOpcode(opcode));
        }
    }

    #[test]
    fn control_frame_of_125_bytes_is_read_and_of_126_refused() {
        check(&[0x89, 125], Side::Server, head(true, Opcode::Ping, None, 125));
        check_refused(&[0x89, 126], Side::Server, FrameError::ControlTooLong);
        check_refused(&[0x88, 127], Side::Server, FrameError::ControlTooLong);
    }

    #[test]
    fn fragmented_control_frame_is_refused() {
        check_refused(&[0x09], Side::Client, FrameError::ControlFragmented);
    }

    #[test]
    fn length_in_more_bytes_than_needed_is_refused() {
        check(&[0x82, 126, 0, 126], Side::Server, head(true, Opcode::Binary, None, 126));
        check_refused(&[0x82, 126, 0, 125], Side::Server, FrameError::LengthNotMinimal(125));
        check_refused(
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            Side::Server,
            FrameError::LengthNotMinimal(65535),
        );
    }

    #[test]
    fn length_of_63_bits_is_read_and_of_64_refused() {
        let longest = [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        check(&longest, Side::Server, head(true, Opcode::Binary, None, u64::MAX >> 1));
        let past = [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0];
        check_refused(&past, Side::Server, FrameError::LengthPast63Bits);
    }

    #[test]
    fn head_len_is_what_encode_head_writes() {
        for len in [0, 1, 125, 126, 127, 65535, 65536, 1 << 20] {
            let mut out = Vec::new();
            encode_head(&mut out, true, Opcode::Text, len, None);
            assert_eq!(out.len(), head_len(len), "{len}");
        }
    }

    #[test]
    fn close_reason_is_cut_at_a_character() {
        let mut out = Vec::new();
        encode_close(&mut out, CloseCode::POLICY, &"é".repeat(100));
        assert_eq!(out[..4], [0x88, 124, 0x03, 0xf0]);
        assert_eq!(out[4..], *"é".repeat(61).as_bytes());
    }

    #[test]
    fn close_codes_that_stand_for_no_frame_are_refused() {
        for number in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert_eq!(CloseCode::from_wire(number), None, "{number}");
        }
        for number in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999] {
            assert_eq!(CloseCode::from_wire(number).map(CloseCode::number), Some(number));
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            fin: bool, bits in 0u8..3, len in prop_oneof![0usize..300, 65_000usize..66_000, 0usize..1 << 40],
            mask: Option<[u8; 4]>
        ) {
            let opcode = Opcode::from_bits(bits).expect("0, 1 and 2 are data opcodes");
            let mut out = Vec::new();
            encode_head(&mut out, fin, opcode, len, mask);
            let from = if mask.is_some() { Side::Client } else { Side::Server };
            check(&out, from, head(fin, opcode, mask, len as u64));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = decode(&bytes, Side::Client);
            let _ = decode(&bytes, Side::Server);
        }
    }
}
