//! The opening handshake (RFC 6455, section 4): keys, subprotocols and the answer 101.
//!
//! Knows single header values; which request may upgrade is decided by who read its head.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

use crate::wire::http::is_token_byte;

/// The one version of the protocol there is; a request for another gets 426 and this (section 4.4).
pub const VERSION: &str = "13";

/// What the key is hashed together with (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of a key before base64 (section 4.1).
const NONCE_BYTES: usize = 16;

/// Bits behind the last byte may be anything (RFC 4648, section 3.5 leaves it to the decoder): the key is compared
/// with nothing, so a client that fills them sloppily does no harm.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (section 4.2.2, step 5.4).
#[must_use]
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    let written = BASE64.encode_slice(digest, &mut accept);
    debug_assert_eq!(written, Ok(accept.len()), "20 bytes are 28 in base64");
    accept
}

/// Whether a `Sec-WebSocket-Key` is base64 of exactly 16 bytes (section 4.2.1, item 5).
#[must_use]
pub fn check_key(key: &[u8]) -> bool {
    let mut nonce = [0; NONCE_BYTES + 2];
    key.len() == 24 && BASE64.decode_slice(key, &mut nonce) == Ok(NONCE_BYTES)
}

/// The `Sec-WebSocket-Key` that a client makes from 16 random bytes (section 4.1, item 7).
#[must_use]
pub fn encode_key(nonce: [u8; NONCE_BYTES]) -> [u8; 24] {
    let mut key = [0; 24];
    let written = BASE64.encode_slice(nonce, &mut key);
    debug_assert_eq!(written, Ok(key.len()), "16 bytes are 24 in base64");
    key
}

/// The first of `supported` that the client offered in any of its `Sec-WebSocket-Protocol` lines.
///
/// `offers` are the lines' values, each a list (section 11.3.4); names are compared to the letter. The server's
/// order decides, for it knows which of several it speaks best.
#[must_use]
pub fn choose_subprotocol<'a>(
    offers: impl Iterator<Item = &'a [u8]>,
    supported: &[&'static str],
) -> Option<&'static str> {
    let rank = |offer: &[u8]| supported.iter().position(|name| name.as_bytes() == offer.trim_ascii());
    let best = offers.flat_map(|line| line.split(|byte| *byte == b',')).filter_map(rank).min();
    best.map(|rank| supported[rank])
}

/// Whether a `Sec-WebSocket-Protocol` line is a list of tokens (section 4.3); empty elements do not count.
#[must_use]
pub fn check_protocols(line: &[u8]) -> bool {
    let mut elements = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    elements.all(|element| element.is_empty() || is_token(element))
}

/// Whether a `Sec-WebSocket-Extensions` line is written as section 9.1 has it: none is spoken here, but "the recipient of
/// such malformed data MUST immediately _Fail the WebSocket Connection_".
#[must_use]
pub fn check_extensions(line: &[u8]) -> bool {
    // A quoted value is a token too, so no comma and no semicolon is part of one.
    let mut elements = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    elements.all(|element| element.is_empty() || is_extension(element))
}

fn is_extension(element: &[u8]) -> bool {
    let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    parts.next().is_some_and(is_token) && parts.all(is_extension_param)
}

/// `token [ "=" ( token / quoted-string ) ]`, where the string, without its quotes and escapes, is a token again.
fn is_extension_param(param: &[u8]) -> bool {
    let Some(equals) = param.iter().position(|byte| *byte == b'=') else { return is_token(param) };
    let (name, value) = (param[..equals].trim_ascii_end(), param[equals + 1..].trim_ascii_start());
    is_token(name)
        && match value {
            [b'"', quoted @ .., b'"'] => is_escaped_token(quoted),
            plain => is_token(plain),
        }
}

fn is_escaped_token(quoted: &[u8]) -> bool {
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        let plain = if *byte == b'\\' { bytes.next() } else { Some(byte) };
        if !plain.is_some_and(|plain| is_token_byte(*plain)) {
            return false;
        }
    }
    !quoted.is_empty()
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Appends the answer 101 to a request with this key (section 4.2.2); `extra_fields` are written as given.
pub fn encode_switching(
    out: &mut Vec<u8>,
    key: &[u8],
    subprotocol: Option<&str>,
    extra_fields: &[(&str, &[u8])],
) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    encode_field(out, "Upgrade", b"websocket");
    encode_field(out, "Connection", b"Upgrade");
    encode_field(out, "Sec-WebSocket-Accept", &accept_key(key));
    if let Some(name) = subprotocol {
        encode_field(out, "Sec-WebSocket-Protocol", name.as_bytes());
    }
    for (name, value) in extra_fields {
        encode_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

fn encode_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn key_of_the_rfc_is_accepted_with_its_answer() {
        assert!(check_key(KEY));
        assert_eq!(&accept_key(KEY), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(encode_key(*b"the sample nonce"), *KEY);
    }

    #[test]
    fn key_of_other_than_16_bytes_is_refused() {
        for key in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25j",         // 15 bytes
            b"dGhlIHNhbXBsZSBub25jZQ",       // no padding
            b"dGhlIHNhbXBsZSBub25jZWU=",     // 17 bytes
            b"dGhlIHNhbXBsZSBub25jZWVl",     // 18 bytes
            b"dGhlIHNhbXBsZSBub25jZ===",     // padding that no length has
            b"dGhlIHNhbXBsZSBub25jZ*==",     // not base64
            b"dGhlIHNhbXBsZSBub25jZQ== ",    // a blank
            b"dGhlIHNhbXBsZSBub25jZWVlZWVl", // 21 bytes
        ] {
            assert!(!check_key(key), "{}", key.escape_ascii());
        }
    }

    #[test]
    fn key_with_sloppy_last_bits_is_accepted() {
        assert!(check_key(b"dGhlIHNhbXBsZSBub25jZR=="));
    }

    #[track_caller]
    fn check_choice(offers: &[&str], expected: Option<&'static str>) {
        let lines = offers.iter().map(|line| line.as_bytes());
        assert_eq!(
            choose_subprotocol(lines, &["v12.stomp", "v11.stomp", "v10.stomp"]),
            expected,
            "{offers:?}"
        );
    }

    #[test]
    fn servers_order_decides_over_all_lines() {
        check_choice(&["v10.stomp, v11.stomp"], Some("v11.stomp"));
        check_choice(&["v10.stomp", "chat,v12.stomp \t, v11.stomp"], Some("v12.stomp"));
        check_choice(&["v10.stomp,v12.stomp"], Some("v12.stomp"));
    }

    #[test]
    fn nothing_common_is_none() {
        check_choice(&[], None);
        check_choice(&["", ",, ,"], None);
        check_choice(&["chat", "V12.STOMP", "v12.stomp2"], None);
    }

    #[test]
    fn offered_subprotocols_are_tokens() {
        for good in ["", "chat", "v12.stomp, v11.stomp", ", a ,,b\t,"] {
            assert!(check_protocols(good.as_bytes()), "{good}");
        }
        for bad in ["a b", "a;b", "\"a\"", "a, b/c", "\u{e9}", "a=b"] {
            assert!(!check_protocols(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn offered_extensions_are_tokens_with_parameters() {
        for good in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; client_max_window_bits, permessage-deflate",
            "a;b=c ; d = \"e\";f=\"\\g\" , , h",
        ] {
            assert!(check_extensions(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b",
            ";",
            "a;",
            "a;;b",
            ";b",
            "a=b",
            "a;b=",
            "a;=c",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"c d\"",
            "a;b=\"c\\\"",
            "a;b=\"c,d\"",
            "a;b=c=d",
            "\"a\"",
        ] {
            assert!(!check_extensions(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn answer_holds_what_section_4_2_2_asks_for() {
        let mut out = b"before".to_vec();
        encode_switching(&mut out, KEY, Some("v12.stomp"), &[("Vary", b"Origin")]);
        let expected = "beforeHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v12.stomp\r\n\
            Vary: Origin\r\n\r\n";
        assert_eq!(out, expected.as_bytes());
    }
}
