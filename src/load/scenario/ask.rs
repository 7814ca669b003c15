//! The requests that users make, how they are written, and what the contract owes them.

use crate::ids::{GroupId, Seq};
use crate::wire::http::client::encode_request;

/// Who we say that we are.
const USER_AGENT: (&str, &str) = ("User-Agent", concat!("geoloop/", env!("CARGO_PKG_VERSION")));

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A short poll; the alias that the seed's script has. With a cursor it asks for something newer.
    Current(Option<Seq>),
    /// A short poll at the address that the contract names first.
    Newest,
    /// A long poll as the seed sends it, without a cursor; the first of a round asks for an event stream, as there.
    Long {
        /// Whether it says so.
        event_stream: bool,
    },
    /// A long poll for what comes after a cursor, for so many milliseconds.
    LongSince(Seq, u32),
    /// A long poll that is answered at once, with the cursor to go on with.
    Cursor,
    /// A publish with a body.
    Share,
    /// The event stream of a group.
    Stream,
    /// A publish that wakes the group, without a body, so that the server makes a location up.
    Notify,
    /// The one-shot event stream of group 0.
    EventOnce,
    /// A publish to group 0, without a body.
    EventShare,
}

impl Ask {
    /// Appends the request, without a body.
    pub fn encode(self, out: &mut Vec<u8>, group: GroupId, host: &str) {
        self.encode_with(out, group, host, b"");
    }

    /// Appends the request; `body` is what a publish says.
    pub fn encode_with(self, out: &mut Vec<u8>, group: GroupId, host: &str, body: &[u8]) {
        let group = group.number();
        let event_stream = ("Accept", "text/event-stream");
        match self {
            Self::Current(None) => get(out, &format!("/cur/{group}"), host, &[USER_AGENT]),
            Self::Current(Some(seq)) => {
                let tag = format!("\"{}\"", seq.number());
                get(out, &format!("/cur/{group}"), host, &[USER_AGENT, ("If-None-Match", &tag)]);
            }
            Self::Newest => get(out, &format!("/location/cur/{group}"), host, &[USER_AGENT]),
            Self::Long { event_stream: true } => {
                get(out, &format!("/location/long/{group}"), host, &[USER_AGENT, event_stream]);
            }
            Self::Long { event_stream: false } => {
                get(out, &format!("/location/long/{group}"), host, &[USER_AGENT]);
            }
            Self::LongSince(seq, timeout_ms) => {
                let target = format!("/location/long/{group}?since={}&timeout={timeout_ms}", seq.number());
                get(out, &target, host, &[USER_AGENT]);
            }
            Self::Stream => get(out, &format!("/location/sse/{group}"), host, &[USER_AGENT, event_stream]),
            Self::Cursor => get(out, &format!("/location/long/{group}?timeout=0"), host, &[USER_AGENT]),
            Self::Share => post(out, &format!("/location/share/{group}"), host, body),
            Self::Notify => post(out, &format!("/location/long/{group}/notify"), host, body),
            Self::EventOnce => get(out, "/location/sse/connect", host, &[USER_AGENT, event_stream]),
            Self::EventShare => post(out, "/location/sse/share", host, body),
        }
    }

    /// What it is, in a few words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Current(_) | Self::Newest => "a short poll",
            Self::Long { .. } | Self::LongSince(..) | Self::Cursor => "a long poll",
            Self::Share => "a publish",
            Self::Stream => "the request for an event stream",
            Self::Notify => "a notify",
            Self::EventOnce => "the request for one event",
            Self::EventShare => "a publish to group 0",
        }
    }

    /// Whether the contract has this status for it.
    #[must_use]
    pub const fn may_have(self, status: u16) -> bool {
        match self {
            Self::Current(None) | Self::Newest | Self::Long { .. } | Self::LongSince(..) | Self::Cursor => {
                matches!(status, 200 | 204)
            }
            Self::Current(Some(_)) => matches!(status, 200 | 204 | 304),
            Self::Share | Self::Stream | Self::Notify | Self::EventOnce | Self::EventShare => status == 200,
        }
    }

    /// The name under which the seed's script checks that its status is 200, if it does.
    #[must_use]
    pub const fn check(self) -> Option<&'static str> {
        match self {
            Self::Current(_)
            | Self::Newest
            | Self::LongSince(..)
            | Self::Cursor
            | Self::Share
            | Self::Stream => None,
            Self::Long { event_stream: true } => Some("Long Polling Connection Status is 200"),
            Self::Long { event_stream: false } => Some("Long Polling Post Status is 200"),
            Self::Notify => Some("Long Polling Notify Status is 200"),
            Self::EventOnce => Some("SSE Connection Status is 200"),
            Self::EventShare => Some("SSE Share Status is 200"),
        }
    }

    /// Whether it publishes.
    #[must_use]
    pub const fn publishes(self) -> bool {
        matches!(self, Self::Share | Self::Notify | Self::EventOnce | Self::EventShare)
    }
}

fn get(out: &mut Vec<u8>, target: &str, host: &str, fields: &[(&str, &str)]) {
    encode_request(out, "GET", target, host, fields, None);
}

fn post(out: &mut Vec<u8>, target: &str, host: &str, body: &[u8]) {
    encode_request(out, "POST", target, host, &[USER_AGENT], Some(body));
}
