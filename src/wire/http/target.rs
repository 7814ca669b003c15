//! Request targets by their form, and the authorities in them and in `Host` (RFC 9112, section 3.2).
//!
//! Knows how they are spelled; where a path leads to is [`crate::route`]'s business. Read RFC 3986, section 3.2, for
//! what an authority is.

use crate::ids::parse_decimal;
use crate::route::split_absolute;

/// Whether a request with this method may have this target: one of the four forms, in which asterisk-form is for OPTIONS
/// and authority-form for CONNECT alone.
///
/// Paths and queries may hold raw UTF-8, but no fragment: some readers end the target there, others do not.
#[must_use]
pub fn is_target_of(method: &str, target: &[u8]) -> bool {
    match (method, target) {
        ("CONNECT", _) => has_port(target) && is_authority(target),
        ("OPTIONS", b"*") => true,
        (_, [b'/', ..]) => !target.contains(&b'#'),
        _ => authority_of(target).is_some_and(is_authority) && !target.contains(&b'#'),
    }
}

/// The authority of a target in absolute-form; `None` of the other forms.
#[must_use]
pub fn authority_of(target: &[u8]) -> Option<&[u8]> {
    split_absolute(target).map(|(authority, _)| authority)
}

/// Whether these bytes are `uri-host [ ":" port ]`, with a host, as an `http` URI must have one (RFC 9110, section
/// 4.2.1). User information is nobody's authority (section 4.2.4).
#[must_use]
pub fn is_authority(bytes: &[u8]) -> bool {
    // A name, perhaps with a port, is what nearly all are, and read in one pass.
    let name_bytes = bytes.iter().position(|byte| !IN_NAME[*byte as usize]).unwrap_or(bytes.len());
    match &bytes[name_bytes..] {
        [] if name_bytes > 0 => return true,
        [b':', port @ ..] if name_bytes > 0 => return port.iter().all(u8::is_ascii_digit),
        _ => {}
    }
    let (host, port) = split_port(bytes);
    let is_host = match host {
        [b'[', address @ .., b']'] => is_ipv6_address(address),
        name => !name.is_empty() && is_registered_name(name),
    };
    is_host && port.is_none_or(|port| port.iter().all(u8::is_ascii_digit))
}

/// Host and what is behind the colon; the colons of an IPv6 address are between brackets.
fn split_port(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let host_end = if bytes.first() == Some(&b'[') {
        bytes.iter().position(|byte| *byte == b']').unwrap_or(0)
    } else {
        0
    };
    match bytes[host_end..].iter().position(|byte| *byte == b':') {
        Some(colon) => (&bytes[..host_end + colon], Some(&bytes[host_end + colon + 1..])),
        None => (bytes, None),
    }
}

/// "A server MUST reject a CONNECT request that targets an empty or invalid port number" (RFC 9110, section 9.3.6).
fn has_port(authority: &[u8]) -> bool {
    let port = split_port(authority).1.unwrap_or_default();
    parse_decimal(port).is_some_and(|port| port <= u64::from(u16::MAX))
}

/// Letters of an address; of the other literals, which a later standard may bring, there is none yet.
fn is_ipv6_address(address: &[u8]) -> bool {
    let colons = address.iter().filter(|byte| **byte == b':').count();
    colons >= 2 && address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

/// `*( unreserved / pct-encoded / sub-delims )`, which IPv4 addresses are too.
fn is_registered_name(name: &[u8]) -> bool {
    let mut rest = name;
    // Names are asked about with every request, and hardly any has an octet encoded.
    while let Some(at) = rest.iter().position(|byte| !IN_NAME[*byte as usize]) {
        rest = match &rest[at..] {
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            _ => return false,
        };
    }
    true
}

/// Bytes that stand for themselves in a name: unreserved and sub-delims (RFC 3986, sections 2.2 and 2.3).
const IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_forms_are_told_apart_by_method() {
        for (method, target, good) in [
            ("GET", "/", true),
            ("GET", "/a?b=/c", true),
            ("GET", "//a", true),
            ("GET", "/a#b", false),
            ("GET", "", false),
            ("GET", "a", false),
            ("GET", "*", false),
            ("GET", "a:80", false),
            ("GET", "http://a", true),
            ("GET", "HTTPS://a:80?b", true),
            ("GET", "http://a/b#c", false),
            ("GET", "http://", false),
            ("GET", "http:///b", false),
            ("GET", "http://u@a/", false),
            ("GET", "http:/a", false),
            ("GET", "ftp://a/", false),
            ("OPTIONS", "*", true),
            ("OPTIONS", "**", false),
            ("OPTIONS", "/", true),
            ("options", "*", false),
            ("CONNECT", "a:80", true),
            ("CONNECT", "[::1]:0", true),
            ("CONNECT", "a:65535", true),
            ("CONNECT", "a:65536", false),
            ("CONNECT", "a:", false),
            ("CONNECT", "a", false),
            ("CONNECT", "/", false),
            ("CONNECT", "http://a:80", false),
        ] {
            assert_eq!(is_target_of(method, target.as_bytes()), good, "{method} {target}");
        }
    }

    #[test]
    fn authority_is_a_host_and_perhaps_a_port() {
        for good in [
            "a",
            "a:",
            "a:80",
            "127.0.0.1:1",
            "[::1]",
            "[fe80::1.2.3.4]:80",
            "a%2Fb",
            "a,b",
            "-._~!$&'()*+,;=",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":",
            ":80",
            "a:b",
            "a:80:80",
            "a:-1",
            "u@a",
            "a b",
            "a/b",
            "\"a\"",
            "\u{e9}",
            "a%",
            "a%2",
            "a%2g",
            "[",
            "[]",
            "[::1",
            "::1",
            "[::1]a",
            "[::1]80",
            "[::1]:a",
            "[g::1]",
            "[a]",
            "a[::1]",
            "[::1][::1]",
            "]",
            "\0",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn authority_of_an_absolute_form_ends_before_path_and_query() {
        for (target, authority) in [
            ("http://a", Some("a")),
            ("http://a:1/b?c", Some("a:1")),
            ("https://a?b/c", Some("a")),
            ("http:///b", Some("")),
            ("/?u=http://a", None),
            ("*", None),
            ("a:80", None),
        ] {
            assert_eq!(authority_of(target.as_bytes()), authority.map(str::as_bytes), "{target}");
        }
    }
}
