//! The names of things: groups, members, shards, connections, and the numbers of updates.
//!
//! Knows nothing but how each name is spelled and which values are legal.

use std::fmt;
use std::sync::Arc;

use crate::limits::SHARED_BYTES;

/// Names a group, the unit of sharing and of sharding: a decimal integer 0 ..= 2^63 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(u64);

impl GroupId {
    /// The largest group that can be named: it still fits a signed 64-bit integer.
    pub const MAX: u64 = i64::MAX as u64;

    /// A group by number; `None` past [`GroupId::MAX`].
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// Reads decimal digits and nothing else: no sign, no blank, no exponent.
    #[must_use]
    pub fn parse(digits: &[u8]) -> Option<Self> {
        parse_decimal(digits).and_then(Self::new)
    }

    /// The number itself.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads an unsigned decimal integer that consists of digits alone; `None` when it is empty,
/// holds anything else, or does not fit 64 bits.
#[must_use]
pub fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    // Nineteen nines fit, so no step before the twentieth need be checked.
    let (unchecked, checked) = digits.split_at(digits.len().min(19));
    let mut number = 0u64;
    for byte in unchecked {
        number = number * 10 + u64::from(digit(*byte)?);
    }
    checked
        .iter()
        .try_fold(number, |number, byte| number.checked_mul(10)?.checked_add(u64::from(digit(*byte)?)))
}

const fn digit(byte: u8) -> Option<u8> {
    let digit = byte.wrapping_sub(b'0');
    if digit <= 9 { Some(digit) } else { None }
}

/// Names whom a location belongs to: UTF-8, 1 to 64 bytes, no control characters.
///
/// Cheap to clone: the text is shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(Arc<str>);

impl MemberId {
    /// Longest member name in bytes.
    pub const BYTES_MAX: usize = 64;

    /// A member by name; `None` when it is empty, over 64 bytes, or holds a control character.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let legal = !name.is_empty() && name.len() <= Self::BYTES_MAX && !name.chars().any(char::is_control);
        legal.then(|| Self(name.into()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the shared text costs on the heap.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        SHARED_BYTES + self.0.len()
    }
}

/// Names one worker, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The worker's place in a table of workers.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names one connection of one worker, and only that one.
///
/// `slot` is the slab key and is reused after close; `generation` is not, so a readiness event,
/// timer or message that outlives its connection resolves to `None` instead of to a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// The key in the worker's tables.
    pub slot: u32,
    /// How often the slot was given away before.
    pub generation: u32,
}

/// The number of an update in its group: strictly increasing, below 2^53 so that JavaScript holds it.
///
/// 0 is no update: it is the cursor of a client that has seen nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Seq(u64);

impl Seq {
    /// The first number that a JavaScript client could not tell from its neighbour.
    pub const END: u64 = 1 << 53;
    /// The cursor of a client that has seen nothing.
    pub const ZERO: Self = Self(0);

    /// A number below 2^53.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number < Self::END { Some(Self(number)) } else { None }
    }

    /// Where the numbering of a group made at this Unix time starts: milliseconds times 2,048.
    ///
    /// A group would have to take more than two million updates a second, from when it was made to when the server
    /// stops, for a restart to begin below the last number it gave. 2^53 is reached in the year 2109.
    #[must_use]
    pub const fn at_unix_ms(ms: u64) -> Self {
        Self((ms << 11) & (Self::END - 1))
    }

    /// The number that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number itself.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a client is connected, also the label of the metrics that can be told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Transport {
    /// Publishes over HTTP, scrapes, and connections that have not said yet what they are.
    Http,
    /// `GET /location/cur/{group}` and the snapshot.
    ShortPoll,
    /// `GET /location/long/{group}`.
    LongPoll,
    /// Server-Sent Events.
    Sse,
    /// Raw WebSocket.
    WebSocket,
    /// STOMP over WebSocket.
    Stomp,
}

impl Transport {
    /// Every transport, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Http, Self::ShortPoll, Self::LongPoll, Self::Sse, Self::WebSocket, Self::Stomp];

    /// The label value in the metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::ShortPoll => "short_poll",
            Self::LongPoll => "long_poll",
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
            Self::Stomp => "stomp",
        }
    }
}
