//! What the axum and the actix-web server have in common: payloads, groups and subscriptions.
//!
//! Knows no HTTP, no WebSocket and no framework: of tokio only the broadcast channel, which both frameworks' users take
//! for a group of subscribers. What a server of the contract does besides (limits, drain, origins, metrics, expiry) is
//! left out: none of it is on the path of a poll or a delivery.

mod hub;
mod options;
mod payload;

pub use hub::{Group, Hub, Newest, Presence, Subscription};
pub use options::Options;
pub use payload::{
    GroupId, Member, Publish, Refusal, Update, error_text, problem, read_publish, retry_ms, simulate,
};

/// What an update is kept as: what a framework says of it, in the framework's own counted types, so that it is made once and
/// handing it to one subscriber more copies nothing.
pub trait Said: Send + Sync + 'static {
    /// What is said of the update with this number and JSON.
    fn new(seq: u64, json: String) -> Self;
}

#[cfg(test)]
impl Said for String {
    fn new(_seq: u64, json: String) -> Self {
        json
    }
}

/// Longest publish body and WebSocket message.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// How often a WebSocket is pinged, and
pub const PING_SECONDS: u64 = 25;

/// how long it may be silent.
pub const SILENCE_SECONDS_MAX: u64 = 90;

/// How often an event stream is told a comment.
pub const COMMENT_SECONDS: u64 = 15;

/// How long a long poll is parked unless it says so, in milliseconds, and
pub const PARK_MS: u64 = 10_000;

/// at most.
pub const PARK_MS_MAX: u64 = 60_000;
