//! Bytes to values and back, sans-IO: no socket, session or group is known here.
//!
//! Every decoder looks at a prefix of what has arrived and says [`Parsed`] or a final error; too few bytes is
//! not an error. Every encoder appends to a `Vec<u8>` and cannot fail. No input makes any of them panic.

pub mod decimal;
pub mod http;
pub mod json;
pub mod sse;
pub mod stomp;
pub mod websocket;

/// What a decoder made of the bytes that it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// A prefix of something legal; nothing was consumed.
    Partial,
    /// One whole item, and how many input bytes it took.
    Complete {
        /// The item.
        value: T,
        /// How many bytes of the input it took.
        used: usize,
    },
}
