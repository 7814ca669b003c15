//! HTTP/1.1 (RFC 9110, RFC 9112) as bytes: request heads, bodies and responses, and the client's half of them.

pub mod body;
pub mod client;
pub mod fields;
pub mod request;
pub mod response;
pub mod target;

/// A byte of a token (RFC 9110, section 5.6.2), which methods, names of fields and of protocols are made of.
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
