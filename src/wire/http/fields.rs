//! Header fields that a request head itself has to understand, found in the one pass that checks them.
//!
//! Knows values and how often they may be given; what a head makes of them is [`crate::wire::http::request`]'s business.

use httparse::Header;

use crate::ids::parse_decimal;
use crate::wire::http::request::{Framing, HeadError, Version};
use crate::wire::http::target;

/// A field that may be given once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Given<'a> {
    /// It is not there.
    #[default]
    Never,
    /// Its value, without the blanks around it.
    Once(&'a [u8]),
    /// It is there more than once, be the values the same or not.
    Repeatedly,
}

impl<'a> Given<'a> {
    /// The value of a field that is given once.
    #[must_use]
    pub const fn once(self) -> Option<&'a [u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Never | Self::Repeatedly => None,
        }
    }

    const fn and(self, value: &'a [u8]) -> Self {
        match self {
            Self::Never => Self::Once(value),
            Self::Once(_) | Self::Repeatedly => Self::Repeatedly,
        }
    }
}

/// A field that the head itself has to understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Expect,
    Upgrade,
    Origin,
    IfNoneMatch,
    LastEventId,
    SecFetchSite,
    WebSocketVersion,
    WebSocketKey,
    /// Of subprotocols or extensions.
    WebSocketOffer,
}

impl Known {
    /// Finds a field by its name; the length tells nearly all of them apart, and most clients write a name as its
    /// standard does, so most names cost one comparison.
    fn of(name: &str) -> Option<Self> {
        // Every request has it.
        if matches!(name.as_bytes(), b"Host" | b"host") {
            return Some(Self::Host);
        }
        let candidates: &[(&str, Self)] = match name.len() {
            4 => &[("Host", Self::Host)],
            6 => &[("Origin", Self::Origin), ("Expect", Self::Expect)],
            7 => &[("Upgrade", Self::Upgrade)],
            10 => &[("Connection", Self::Connection)],
            13 => &[("If-None-Match", Self::IfNoneMatch), ("Last-Event-ID", Self::LastEventId)],
            14 => &[("Content-Length", Self::ContentLength), ("Sec-Fetch-Site", Self::SecFetchSite)],
            17 => &[("Sec-WebSocket-Key", Self::WebSocketKey), ("Transfer-Encoding", Self::TransferEncoding)],
            21 => &[("Sec-WebSocket-Version", Self::WebSocketVersion)],
            22 => &[("Sec-WebSocket-Protocol", Self::WebSocketOffer)],
            24 => &[("Sec-WebSocket-Extensions", Self::WebSocketOffer)],
            _ => return None,
        };
        let is = |spelled: &str| name == spelled || name.eq_ignore_ascii_case(spelled);
        candidates.iter().find(|(spelled, _)| is(spelled)).map(|(_, known)| *known)
    }
}

/// The transfer codings listed so far, on all lines together (RFC 9112, section 6.1).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Codings {
    /// Accepts: anything. The field is absent.
    #[default]
    Absent,
    /// Accepts: nothing more. `chunked` alone.
    Chunked,
    /// Accepts: anything. Codings that we do not know.
    Unknown,
    /// Accepts: nothing more. Codings that we do not know, `chunked` last.
    UnknownChunked,
    /// Accepts: nothing. Something follows `chunked`, or an element is empty.
    Misplaced,
}

impl Codings {
    fn then(self, coding: &[u8]) -> Self {
        let chunked = coding.eq_ignore_ascii_case(b"chunked");
        match self {
            Self::Absent | Self::Unknown if coding.is_empty() => Self::Misplaced,
            Self::Absent if chunked => Self::Chunked,
            Self::Unknown if chunked => Self::UnknownChunked,
            Self::Absent | Self::Unknown => Self::Unknown,
            Self::Chunked | Self::UnknownChunked | Self::Misplaced => Self::Misplaced,
        }
    }
}

/// What one pass over the fields found.
#[derive(Default)]
pub(super) struct Seen<'a> {
    pub(super) host: Option<&'a [u8]>,
    length: Option<u64>,
    codings: Codings,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    pub(super) websocket: bool,
    pub(super) expect_continue: bool,
    pub(super) expect_other: bool,
    pub(super) origin: bool,
    pub(super) if_none_match: bool,
    pub(super) last_event_id: bool,
    pub(super) sec_fetch_site: bool,
    pub(super) websocket_version: Given<'a>,
    pub(super) websocket_key: Given<'a>,
    pub(super) websocket_offers: bool,
}

impl<'a> Seen<'a> {
    pub(super) fn take(&mut self, header: &Header<'a>) -> Result<(), HeadError> {
        let Some(known) = Known::of(header.name) else { return Ok(()) };
        let value = header.value;
        match known {
            Known::Host => return self.take_host(value),
            Known::ContentLength => return self.take_length(value),
            Known::Connection => {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                }
            }
            Known::TransferEncoding => {
                let codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                self.codings = codings.fold(self.codings, Codings::then);
            }
            Known::Expect => {
                self.expect_continue |= list_has(value, "100-continue");
                self.expect_other |= list_has_other(value, "100-continue");
            }
            Known::Upgrade => self.websocket |= list_has(value, "websocket"),
            Known::Origin => self.origin = true,
            Known::IfNoneMatch => self.if_none_match = true,
            Known::LastEventId => self.last_event_id = true,
            Known::SecFetchSite => self.sec_fetch_site = true,
            Known::WebSocketVersion => self.websocket_version = self.websocket_version.and(value),
            Known::WebSocketKey => self.websocket_key = self.websocket_key.and(value),
            Known::WebSocketOffer => self.websocket_offers = true,
        }
        Ok(())
    }

    fn take_host(&mut self, value: &'a [u8]) -> Result<(), HeadError> {
        if self.host.replace(value).is_some() {
            return Err(HeadError::HostRepeated);
        }
        // An empty one is what a URI without an authority has.
        if value.is_empty() || target::is_authority(value) { Ok(()) } else { Err(HeadError::HostInvalid) }
    }

    fn take_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        let length = parse_decimal(value).ok_or(HeadError::LengthInvalid)?;
        if self.length.replace(length).is_some() { Err(HeadError::LengthRepeated) } else { Ok(()) }
    }

    /// The steps of RFC 9112, section 6.3, as far as they concern requests.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, HeadError> {
        match (self.codings, self.length) {
            (Codings::Absent, None) => Ok(Framing::None),
            (Codings::Absent, Some(length)) => Ok(Framing::Length(length)),
            (Codings::Chunked | Codings::Unknown | Codings::UnknownChunked | Codings::Misplaced, Some(_)) => {
                Err(HeadError::BothFramings)
            }
            (codings, None) if version == Version::Http10 => {
                debug_assert!(codings != Codings::Absent, "handled above");
                Err(HeadError::CodingInHttp10)
            }
            (Codings::Chunked, None) => Ok(Framing::Chunked),
            // The end of such a body cannot be known, which the RFC puts above not knowing the coding.
            (Codings::Unknown | Codings::Misplaced, None) => Err(HeadError::ChunkedMisplaced),
            (Codings::UnknownChunked, None) => Err(HeadError::CodingUnknown),
        }
    }
}

/// Whether a comma list holds a token, in any case (RFC 9110, section 5.6.1).
pub(super) fn list_has(list: &[u8], token: &str) -> bool {
    list.split(|byte| *byte == b',')
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether a comma list holds anything but a token; empty elements do not count.
fn list_has_other(list: &[u8], token: &str) -> bool {
    let mut elements = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    elements.any(|element| !element.is_empty() && !element.eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field is found however its name is written, and not by a name that is close to it.
    #[track_caller]
    fn check(name: &str, known: Known) {
        for spelled in [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
            assert_eq!(Known::of(&spelled), Some(known), "{spelled}");
        }
        for other in [format!("{name}x"), name[1..].to_owned(), format!("x{}", &name[1..])] {
            assert_eq!(Known::of(&other), None, "{other}");
        }
    }

    #[test]
    fn field_is_known_by_its_name_in_any_case() {
        check("Host", Known::Host);
        check("Connection", Known::Connection);
        check("Content-Length", Known::ContentLength);
        check("Transfer-Encoding", Known::TransferEncoding);
        check("Expect", Known::Expect);
        check("Upgrade", Known::Upgrade);
        check("Origin", Known::Origin);
        check("If-None-Match", Known::IfNoneMatch);
        check("Last-Event-ID", Known::LastEventId);
        check("Sec-Fetch-Site", Known::SecFetchSite);
        check("Sec-WebSocket-Version", Known::WebSocketVersion);
        check("Sec-WebSocket-Key", Known::WebSocketKey);
        check("Sec-WebSocket-Protocol", Known::WebSocketOffer);
        check("Sec-WebSocket-Extensions", Known::WebSocketOffer);
    }
}
