//! WebSocket (RFC 6455) as bytes: the opening handshake, frames, masks and messages.

pub mod frame;
pub mod handshake;
pub mod mask;
pub mod message;
