//! WebSocket (RFC 6455) as bytes: the opening handshake, frames, masks and messages.
//!
//! Read sections 4 (handshake), 5 (frames) and 7.4 (close codes) first. Knows both sides of a connection, so that the
//! load tool and the tests speak through the same code as the server; knows neither sockets nor what a message means.

pub mod frame;
pub mod handshake;
pub mod mask;
pub mod message;
