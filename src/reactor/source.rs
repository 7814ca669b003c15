//! What a readiness event is about; the only file that knows that a token is a number.

use mio::Token;

use crate::ids::ConnId;

/// Everything that a worker registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A letter has come.
    Mailbox,
    /// A listener, by its place among the worker's.
    Listener(usize),
    /// A connection.
    Conn(ConnId),
}

/// Slots from here on name no connection; there are never so many descriptors.
const FIXED: u64 = 0xffff_0000;

impl Source {
    /// The number that stands for it: slot in the low half, generation in the high one.
    pub(super) const fn token(self) -> Token {
        Token(match self {
            Self::Mailbox => FIXED as usize,
            Self::Listener(index) => FIXED as usize + 1 + index,
            Self::Conn(ConnId { slot, generation }) => ((generation as u64) << 32 | slot as u64) as usize,
        })
    }

    /// What a number stands for.
    pub(super) const fn of(token: Token) -> Self {
        let number = token.0 as u64;
        match number {
            FIXED => Self::Mailbox,
            _ if number > FIXED && number <= FIXED + 0xffff => Self::Listener((number - FIXED - 1) as usize),
            _ => Self::Conn(ConnId { slot: number as u32, generation: (number >> 32) as u32 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_told_from_its_token() {
        let conn = |slot, generation| Source::Conn(ConnId { slot, generation });
        for source in [
            Source::Mailbox,
            Source::Listener(0),
            Source::Listener(7),
            conn(0, 1),
            conn(65_535, u32::MAX),
            conn(0, 0),
        ] {
            assert_eq!(Source::of(source.token()), source);
        }
    }
}
