//! HTTP/1.1 (RFC 9110, RFC 9112) as bytes: request heads, bodies and responses.

pub mod body;
pub mod request;
pub mod response;
pub mod target;
