//! WebSocket frames, messages and masks, as a server reads them and as a client does.

use std::borrow::Cow;

use crate::fuzz::{seed_of, ways};
use crate::random::Random;
use crate::wire::Parsed;
use crate::wire::websocket::frame::{self, FrameHead, HEAD_BYTES_MAX, Opcode, Side};
use crate::wire::websocket::mask;
use crate::wire::websocket::message::{Bounds, Incoming, Messages, Violation};

/// Bounds that short inputs reach, and ones that they do not.
const BOUNDS: [Bounds; 2] = [
    Bounds { message_bytes_max: 32, fragments_max: Some(3) },
    Bounds { message_bytes_max: 1 << 20, fragments_max: None },
];

/// What half a message may hold besides its bytes: the box itself and a control frame between two fragments.
const HELD_BESIDES: usize = 512;

/// The head of one frame: settled by its own bytes alone, and written as it was read.
pub fn websocket_frame(data: &[u8]) {
    for from in [Side::Client, Side::Server] {
        let whole = frame::decode(data, from);
        if let Ok(Parsed::Complete { value, used }) = whole {
            assert!(used <= data.len().min(HEAD_BYTES_MAX), "{used} used");
            assert_eq!(value.mask.is_some(), from == Side::Client, "{value:?} from {from:?}");
            assert!(value.payload_len >> 63 == 0, "{value:?}");
            let FrameHead { fin, opcode, mask, payload_len } = value;
            let mut out = Vec::new();
            frame::encode_head(&mut out, fin, opcode, payload_len as usize, mask);
            assert_eq!(out, data[..used], "written otherwise than read");
        }
        for end in 0..data.len().min(HEAD_BYTES_MAX) {
            let shorter = frame::decode(&data[..end], from);
            assert!(shorter == Ok(Parsed::Partial) || shorter == whole, "{shorter:?} of {end}, {whole:?}");
        }
    }
}

/// A stream of frames from either side: any cut gives the same messages, and no more is held than the limit says.
pub fn websocket_messages(data: &[u8]) {
    for from in [Side::Client, Side::Server] {
        for bounds in BOUNDS {
            let [whole, others @ ..] = ways(data).map(|sizes| read_messages(data, &sizes, from, bounds));
            for other in others {
                assert_eq!(other, whole, "cut otherwise, from {from:?}");
            }
            let (items, _) = whole;
            let stream = write_messages(&items, from);
            let again = read_messages(&stream, &[stream.len()], from, bounds);
            assert_eq!(again, (items, Ok(true)), "written and read");
        }
    }
}

/// The messages of a stream, and whether it ended between two.
type Heard = (Vec<Incoming<'static>>, Result<bool, Violation>);

fn read_messages(data: &[u8], sizes: &[usize], from: Side, bounds: Bounds) -> Heard {
    let mut messages = Messages::new(from);
    let mut items = Vec::new();
    let mut stream = data.to_vec();
    let mut later = &mut stream[..];
    for size in sizes {
        let (mut rest, after) = later.split_at_mut(*size);
        later = after;
        while !rest.is_empty() {
            let there = rest.len();
            let progress = match messages.decode(rest, bounds) {
                Ok(progress) => progress,
                Err(violation) => {
                    assert!(!violation.to_string().is_empty());
                    return (items, Err(violation));
                }
            };
            let used = progress.used;
            assert!(used > 0 && used <= there, "{used} of {there}");
            items.extend(progress.item.map(own));
            rest = &mut rest[used..];
            let held = messages.held_bytes();
            assert!(held <= data.len().min(bounds.message_bytes_max) * 2 + HELD_BESIDES, "{held} bytes held");
        }
    }
    if messages.is_idle() {
        assert_eq!(messages.held_bytes(), 0);
    }
    (items, Ok(messages.is_idle()))
}

fn own(item: Incoming<'_>) -> Incoming<'static> {
    match item {
        Incoming::Text(text) => Incoming::Text(Cow::Owned(text.into_owned())),
        Incoming::Binary(bytes) => Incoming::Binary(Cow::Owned(bytes.into_owned())),
        Incoming::Ping(bytes) => Incoming::Ping(Cow::Owned(bytes.into_owned())),
        Incoming::Pong => Incoming::Pong,
        Incoming::Close { code, reason } => Incoming::Close { code, reason: Cow::Owned(reason.into_owned()) },
    }
}

/// The same messages, a frame each.
fn write_messages(items: &[Incoming<'_>], from: Side) -> Vec<u8> {
    let mut out = Vec::new();
    let mut write = |opcode, payload: &[u8]| match from {
        Side::Client => frame::encode_masked_frame(&mut out, opcode, payload, [7, 77, 177, 17]),
        Side::Server => frame::encode_frame(&mut out, opcode, payload),
    };
    for item in items {
        match item {
            Incoming::Text(text) => write(Opcode::Text, text.as_bytes()),
            Incoming::Binary(bytes) => write(Opcode::Binary, bytes),
            Incoming::Ping(bytes) => write(Opcode::Ping, bytes),
            Incoming::Pong => write(Opcode::Pong, b""),
            Incoming::Close { code: Some(code), reason } => {
                write(Opcode::Close, &[&code.number().to_be_bytes()[..], reason.as_bytes()].concat());
            }
            Incoming::Close { code: None, .. } => write(Opcode::Close, b""),
        }
    }
    out
}

/// A key of four bytes, an offset, a payload: masking piece by piece is RFC 6455, section 5.3, octet by octet.
pub fn websocket_mask(data: &[u8]) {
    let Some(([a, b, c, d, offset], payload)) = data.split_first_chunk() else { return };
    let (key, offset) = ([*a, *b, *c, *d], usize::from(*offset));
    let octets = payload.iter().enumerate().map(|(i, octet)| octet ^ key[(offset + i) % 4]);
    let expected: Vec<u8> = octets.collect();
    let mut pieces = payload.to_vec();
    let mut random = Random::with_seed(seed_of(data));
    let mut at = 0;
    while at < pieces.len() {
        let end = (at + 1 + random.number() as usize % 40).min(pieces.len());
        mask::apply(key, offset + at, &mut pieces[at..end]);
        at = end;
    }
    assert_eq!(pieces, expected, "in pieces");
    mask::apply(key, offset, &mut pieces);
    assert_eq!(pieces, payload, "masked and unmasked");
}
