//! What a fuzzer calls: a function from bytes for each decoder, and for each kind of whole session.
//!
//! Every one of them claims more than that nothing panics: that it does not matter how the bytes were cut, that nothing
//! is consumed of what is not whole, that limits hold, that what was read can be written and read again, that what a
//! server writes is legal and that it forgets who has gone. A claim that does not hold panics.
//!
//! Knows no fuzzer: tests/fuzz has a target of cargo-fuzz for each, and tests/fuzz_smoke.rs runs each on the corpus and
//! on mutations of it. What a file of the corpus is: the bytes of the wire, or for a session the steps of
//! [`session`].

mod answer;
mod client;
mod config;
mod http;
mod json;
mod legal;
mod script;
mod server;
pub mod session;
mod sse;
mod stomp;
mod websocket;

pub use crate::fuzz::answer::http_answer;
pub use crate::fuzz::client::load_client;
pub use crate::fuzz::config::config_file;
pub use crate::fuzz::http::{http_body, http_head, if_none_match, route};
pub use crate::fuzz::json::json_publish;
pub use crate::fuzz::session::{session_http, session_mix, session_stomp, session_websocket};
pub use crate::fuzz::sse::sse_blocks;
pub use crate::fuzz::stomp::{stomp_fields, stomp_frames};
pub use crate::fuzz::websocket::{websocket_frame, websocket_mask, websocket_messages};

use crate::random::Random;

/// One of the functions, by the name that its corpus and its target of cargo-fuzz have too.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The function's name.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 18] = [
    Target { name: "http_head", run: http_head },
    Target { name: "http_body", run: http_body },
    Target { name: "http_answer", run: http_answer },
    Target { name: "if_none_match", run: if_none_match },
    Target { name: "route", run: route },
    Target { name: "websocket_frame", run: websocket_frame },
    Target { name: "websocket_messages", run: websocket_messages },
    Target { name: "websocket_mask", run: websocket_mask },
    Target { name: "stomp_frames", run: stomp_frames },
    Target { name: "stomp_fields", run: stomp_fields },
    Target { name: "json_publish", run: json_publish },
    Target { name: "sse_blocks", run: sse_blocks },
    Target { name: "config_file", run: config_file },
    Target { name: "load_client", run: load_client },
    Target { name: "session_http", run: session_http },
    Target { name: "session_websocket", run: session_websocket },
    Target { name: "session_stomp", run: session_stomp },
    Target { name: "session_mix", run: session_mix },
];

/// Sizes of reads that a decoder must make the same of: all at once, single bytes, and some that follow from the bytes.
///
/// They are not part of the input, so a file of the corpus is nothing but what is on the wire.
fn ways(data: &[u8]) -> [Vec<usize>; 3] {
    let mut random = Random::with_seed(seed_of(data));
    let mut drawn = Vec::new();
    let mut left = data.len();
    while left > 0 {
        let size = (1 + random.number() as usize % 24).min(left);
        drawn.push(size);
        left -= size;
    }
    [vec![data.len()], vec![1; data.len()], drawn]
}

/// The bytes in reads of these sizes.
fn cut<'a>(data: &'a [u8], sizes: &[usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = data;
    sizes.iter().map(move |size| {
        let (read, later) = rest.split_at(*size);
        rest = later;
        read
    })
}

/// FNV-1a: the same bytes draw the same sizes on every machine.
fn seed_of(data: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    data.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Whether `part` stands in `whole` somewhere.
fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}
