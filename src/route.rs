//! What a request asks for: (method, target) to [`Endpoint`], every field already read and in range.
//!
//! Knows the addresses of the server and their query keys, and nothing of header fields, sessions or origins.
//! Read RFC 9112, section 3.2 (forms of a target) first. Nothing is allocated but for a member's name.

use std::fmt;
use std::time::Duration;

use crate::ids::{GroupId, MemberId, Seq, parse_decimal};
use crate::limits::{LONG_POLL_TIMEOUT, LONG_POLL_TIMEOUT_MAX};
use crate::report::{Asked, Reason};

/// `Allow` of a path that is only read.
const READ: &str = "GET, HEAD, OPTIONS";
/// `Allow` of a path that is only published to.
const PUBLISH: &str = "POST, OPTIONS";
/// `Allow` of a path that is both, and of the server as a whole (`OPTIONS *`).
const READ_AND_PUBLISH: &str = "GET, HEAD, POST, OPTIONS";

/// A request method, as far as the server tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads, parks or upgrades.
    Get,
    /// As GET, the head alone.
    Head,
    /// Publishes.
    Post,
    /// Asks what is allowed; a preflight if it says so in its header fields.
    Options,
    /// Any other, which no address takes.
    Other,
}

impl Method {
    /// Reads a method; its case counts (RFC 9110, section 9.1).
    #[must_use]
    pub fn parse(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// One address of the server. HEAD names the same endpoint as GET; whoever answers knows the method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /location/cur/{group}`: the newest update.
    Current {
        /// The group.
        group: GroupId,
    },
    /// `GET /location/group/{group}`: the newest update of each member.
    Snapshot {
        /// The group.
        group: GroupId,
    },
    /// `GET /location/long/{group}`: parks until the next update.
    LongPoll {
        /// The group.
        group: GroupId,
        /// The cursor; without one only what comes from now on is owed.
        since: Option<Seq>,
        /// How long to park.
        timeout: Duration,
        /// Who is heard while parked.
        member: Option<MemberId>,
    },
    /// Any of the POST addresses.
    Publish {
        /// The group.
        group: GroupId,
    },
    /// `GET /location/sse/{group}`: a parked event stream.
    Sse {
        /// The group.
        group: GroupId,
        /// The cursor of the query; the `Last-Event-ID` field goes before it.
        last_event_id: Option<Seq>,
        /// For whom the connection speaks.
        member: Option<MemberId>,
    },
    /// `GET /location/sse/connect`: one simulated location to group 0, answered as one event.
    SseOneShot,
    /// `GET /ws` and `GET /ws/{group}`.
    WebSocket {
        /// The group; `None` where the server draws one.
        group: Option<GroupId>,
        /// The cursor.
        since: Option<Seq>,
        /// For whom the connection speaks.
        member: Option<MemberId>,
    },
    /// `GET /location`: STOMP over WebSocket.
    Stomp,
    /// `GET /echo`: routed always; whether it exists is up to the caller.
    Echo,
    /// `GET /metrics` and `GET /actuator/prometheus`.
    Metrics,
    /// `GET /healthz`.
    Healthz,
    /// `GET /readyz`.
    Readyz,
    /// `GET /`: the live page.
    Page,
    /// `GET /openapi.json`: what is asked for over HTTP, for machines.
    OpenApi,
    /// `GET /asyncapi.json`: what is said over WebSocket and STOMP, for machines.
    AsyncApi,
    /// OPTIONS of any known path, and of `*`.
    Options {
        /// The value of `Allow`.
        allow: &'static str,
    },
}

impl Endpoint {
    /// The group that the request names; `/ws` names none.
    #[must_use]
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Self::Current { group }
            | Self::Snapshot { group }
            | Self::LongPoll { group, .. }
            | Self::Publish { group }
            | Self::Sse { group, .. } => Some(*group),
            Self::SseOneShot => GroupId::new(0),
            Self::WebSocket { group, .. } => *group,
            Self::Stomp
            | Self::Echo
            | Self::Metrics
            | Self::Healthz
            | Self::Readyz
            | Self::Page
            | Self::OpenApi
            | Self::AsyncApi
            | Self::Options { .. } => None,
        }
    }

    /// What the request is counted as. An OPTIONS counts as unknown: it asks about an address, not for it.
    #[must_use]
    pub const fn asked(&self) -> Asked {
        match self {
            Self::Current { .. } => Asked::Current,
            Self::Snapshot { .. } => Asked::Snapshot,
            Self::LongPoll { .. } => Asked::LongPoll,
            Self::Publish { .. } => Asked::Publish,
            Self::Sse { .. } => Asked::Sse,
            Self::SseOneShot => Asked::SseOneShot,
            Self::WebSocket { .. } => Asked::WebSocket,
            Self::Stomp => Asked::Stomp,
            Self::Echo => Asked::Echo,
            Self::Metrics => Asked::Metrics,
            Self::Healthz | Self::Readyz => Asked::Health,
            Self::Page => Asked::Page,
            Self::OpenApi | Self::AsyncApi => Asked::Specs,
            Self::Options { .. } => Asked::Unknown,
        }
    }
}

/// Why a request has no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// Nothing lives at the path.
    NotFound,
    /// Something lives there, but does not take the method.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: &'static str,
    },
    /// The group is no decimal integer, or too large.
    BadGroup,
    /// `since` is no decimal integer, or too large.
    BadSince,
    /// `timeout` is no decimal integer, or too long.
    BadTimeout,
    /// `member` cannot be a member's name.
    BadMember,
}

impl RouteError {
    /// The status code of the refusal.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::BadGroup | Self::BadSince | Self::BadTimeout | Self::BadMember => 400,
        }
    }

    /// What the refusal is counted as.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::NotFound => Reason::NotFound,
            Self::MethodNotAllowed { .. } => Reason::Method,
            Self::BadGroup | Self::BadSince | Self::BadTimeout | Self::BadMember => Reason::BadRequest,
        }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("nothing lives at this path"),
            Self::MethodNotAllowed { allow } => write!(f, "the method is none of {allow}"),
            Self::BadGroup => write!(f, "the group is not an integer from 0 to {}", GroupId::MAX),
            Self::BadSince => write!(f, "since is not an integer from 0 to {}", Seq::END - 1),
            Self::BadTimeout => {
                write!(f, "timeout is not an integer from 0 to {} ms", LONG_POLL_TIMEOUT_MAX.as_millis())
            }
            Self::BadMember => {
                write!(f, "member is not 1 to {} bytes of UTF-8 without controls", MemberId::BYTES_MAX)
            }
        }
    }
}

impl std::error::Error for RouteError {}

/// Finds the endpoint of a request.
///
/// Takes origin-form, absolute-form (RFC 9112, section 3.2.2; its authority is not looked at) and, for
/// OPTIONS, `*`. Paths are compared byte by byte, so a trailing slash or percent-encoding makes another path.
///
/// # Errors
/// The first of: unknown path, bad group, method not allowed, bad query value.
pub fn route(method: Method, target: &[u8]) -> Result<Endpoint, RouteError> {
    // An empty path of an absolute-form OPTIONS stands for `*` (RFC 9112, section 3.2.4).
    let path_and_query = strip_authority(target)?;
    if method == Method::Options && matches!(path_and_query, b"" | b"*") {
        return Ok(Endpoint::Options { allow: READ_AND_PUBLISH });
    }
    let (path, query) = split_once(path_and_query, b'?');
    let place = Place::of(path)?;
    endpoint(method, place, Query(query))
}

/// What lives at a path, whatever the method.
#[derive(Clone, Copy)]
enum Place {
    Current(GroupId),
    Snapshot(GroupId),
    LongPoll(GroupId),
    /// The POST addresses that have their group in the path and are nothing to GET.
    Publish(GroupId),
    /// `/location/sse/share`, whose group is in the query.
    SseShare,
    Sse(GroupId),
    SseOneShot,
    WebSocket(Option<GroupId>),
    Stomp,
    Echo,
    Metrics,
    Healthz,
    Readyz,
    Page,
    OpenApi,
    AsyncApi,
}

impl Place {
    fn of(path: &[u8]) -> Result<Self, RouteError> {
        match path {
            // The root of an absolute-form target may be left out.
            b"/" | b"" => Ok(Self::Page),
            b"/location" => Ok(Self::Stomp),
            b"/ws" => Ok(Self::WebSocket(None)),
            b"/echo" => Ok(Self::Echo),
            b"/metrics" | b"/actuator/prometheus" => Ok(Self::Metrics),
            b"/healthz" => Ok(Self::Healthz),
            b"/readyz" => Ok(Self::Readyz),
            b"/openapi.json" => Ok(Self::OpenApi),
            b"/asyncapi.json" => Ok(Self::AsyncApi),
            _ => Self::of_a_group(path),
        }
    }

    /// Below the names that have groups below them.
    fn of_a_group(path: &[u8]) -> Result<Self, RouteError> {
        if let Some(rest) = path.strip_prefix(b"/location/") {
            Self::below_location(rest)
        } else if let Some(rest) = path.strip_prefix(b"/cur/") {
            group(rest).map(Self::Current)
        } else if let Some(rest) = path.strip_prefix(b"/ws/") {
            group(rest).map(|group| Self::WebSocket(Some(group)))
        } else {
            Err(RouteError::NotFound)
        }
    }

    fn below_location(path: &[u8]) -> Result<Self, RouteError> {
        if let Some(rest) = path.strip_prefix(b"cur/") {
            group(rest).map(Self::Current)
        } else if let Some(rest) = path.strip_prefix(b"share/") {
            group(rest).map(Self::Publish)
        } else if let Some(rest) = path.strip_prefix(b"long/") {
            match rest.strip_suffix(b"/notify") {
                Some(rest) => group(rest).map(Self::Publish),
                None => group(rest).map(Self::LongPoll),
            }
        } else if let Some(rest) = path.strip_prefix(b"sse/") {
            match rest {
                // The seed's two literal addresses win over `{group}`.
                b"connect" => Ok(Self::SseOneShot),
                b"share" => Ok(Self::SseShare),
                _ => group(rest).map(Self::Sse),
            }
        } else if let Some(rest) = path.strip_prefix(b"group/") {
            group(rest).map(Self::Snapshot)
        } else {
            Err(RouteError::NotFound)
        }
    }

    const fn allow(self) -> &'static str {
        match self {
            Self::Current(_) => READ_AND_PUBLISH,
            Self::Publish(_) | Self::SseShare => PUBLISH,
            Self::Snapshot(_)
            | Self::LongPoll(_)
            | Self::Sse(_)
            | Self::SseOneShot
            | Self::WebSocket(_)
            | Self::Stomp
            | Self::Echo
            | Self::Metrics
            | Self::Healthz
            | Self::Readyz
            | Self::Page
            | Self::OpenApi
            | Self::AsyncApi => READ,
        }
    }
}

fn endpoint(method: Method, place: Place, query: Query<'_>) -> Result<Endpoint, RouteError> {
    use Method::{Get, Head, Options, Other, Post};
    match (method, place) {
        (Get | Head, Place::Current(group)) => Ok(Endpoint::Current { group }),
        (Get | Head, Place::Snapshot(group)) => Ok(Endpoint::Snapshot { group }),
        (Get | Head, Place::LongPoll(group)) => Ok(Endpoint::LongPoll {
            group,
            since: query.since()?,
            timeout: query.timeout()?,
            member: query.member()?,
        }),
        (Get | Head, Place::Sse(group)) => {
            Ok(Endpoint::Sse { group, last_event_id: query.last_event_id(), member: query.member()? })
        }
        (Get | Head, Place::SseOneShot) => Ok(Endpoint::SseOneShot),
        (Get | Head, Place::WebSocket(group)) => {
            Ok(Endpoint::WebSocket { group, since: query.since()?, member: query.member()? })
        }
        (Get | Head, Place::Stomp) => Ok(Endpoint::Stomp),
        (Get | Head, Place::Echo) => Ok(Endpoint::Echo),
        (Get | Head, Place::Metrics) => Ok(Endpoint::Metrics),
        (Get | Head, Place::Healthz) => Ok(Endpoint::Healthz),
        (Get | Head, Place::Readyz) => Ok(Endpoint::Readyz),
        (Get | Head, Place::Page) => Ok(Endpoint::Page),
        (Get | Head, Place::OpenApi) => Ok(Endpoint::OpenApi),
        (Get | Head, Place::AsyncApi) => Ok(Endpoint::AsyncApi),
        (Post, Place::Current(group) | Place::Publish(group)) => Ok(Endpoint::Publish { group }),
        (Post, Place::SseShare) => Ok(Endpoint::Publish { group: query.group()? }),
        (Options, place) => Ok(Endpoint::Options { allow: place.allow() }),
        (Get | Head | Post | Other, place) => Err(RouteError::MethodNotAllowed { allow: place.allow() }),
    }
}

/// Path and query of a target in either form; the bytes as they came if it is in origin-form.
fn strip_authority(target: &[u8]) -> Result<&[u8], RouteError> {
    if matches!(target, [b'/', ..] | b"*") {
        return Ok(target);
    }
    // An http URI without a host is invalid (RFC 9110, section 4.2.1).
    match split_absolute(target) {
        Some((authority, path_and_query)) if !authority.is_empty() => Ok(path_and_query),
        Some(_) | None => Err(RouteError::NotFound),
    }
}

/// Splits a target in absolute-form into its authority and what is behind that; `None` of the other forms.
#[must_use]
pub fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = strip_scheme(target)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Some(rest.split_at(end))
}

/// What follows `http://` or `https://`, whose case does not count (RFC 9110, section 4.2.3).
fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [b"http://".as_slice(), b"https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

fn group(digits: &[u8]) -> Result<GroupId, RouteError> {
    // A further segment is another path, not a bad number.
    parse_group(digits).map_err(|bad| if digits.contains(&b'/') { RouteError::NotFound } else { bad })
}

fn parse_group(digits: &[u8]) -> Result<GroupId, RouteError> {
    GroupId::parse(digits).ok_or(RouteError::BadGroup)
}

/// What is before and after the first `separator`; nothing is after one that is not there.
fn split_once(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == separator) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, b""),
    }
}

/// What follows the `?`: pairs between `&`. Unknown keys are ignored, the first of a repeated key wins.
#[derive(Clone, Copy)]
struct Query<'a>(&'a [u8]);

impl<'a> Query<'a> {
    fn value(self, key: &[u8]) -> Option<&'a [u8]> {
        let mut pairs = self.0.split(|byte| *byte == b'&').map(|pair| split_once(pair, b'='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Without a group the seed's address publishes to group 0.
    fn group(self) -> Result<GroupId, RouteError> {
        parse_group(self.value(b"group").unwrap_or(b"0"))
    }

    fn since(self) -> Result<Option<Seq>, RouteError> {
        self.value(b"since").map(|digits| parse_cursor(digits).ok_or(RouteError::BadSince)).transpose()
    }

    /// An unreadable cursor counts as none, as in the `Last-Event-ID` field.
    fn last_event_id(self) -> Option<Seq> {
        self.value(b"last_event_id").and_then(parse_cursor)
    }

    fn timeout(self) -> Result<Duration, RouteError> {
        let Some(digits) = self.value(b"timeout") else { return Ok(LONG_POLL_TIMEOUT) };
        let timeout = parse_decimal(digits).map(Duration::from_millis);
        timeout.filter(|timeout| *timeout <= LONG_POLL_TIMEOUT_MAX).ok_or(RouteError::BadTimeout)
    }

    fn member(self) -> Result<Option<MemberId>, RouteError> {
        self.value(b"member").map(|encoded| parse_member(encoded).ok_or(RouteError::BadMember)).transpose()
    }
}

/// Reads a cursor (`since`, `Last-Event-ID`): decimal digits, below 2^53.
#[must_use]
pub fn parse_cursor(digits: &[u8]) -> Option<Seq> {
    parse_decimal(digits).and_then(Seq::new)
}

/// Reads a member's name as a form or `URLSearchParams` encodes it: `%xx` is a byte and `+` a blank.
///
/// A `+` of the name itself comes as `%2B` from `URLSearchParams` and `encodeURIComponent` alike, so reading
/// a bare one as a blank takes nothing from anybody who encodes.
fn parse_member(encoded: &[u8]) -> Option<MemberId> {
    let mut name = [0u8; MemberId::BYTES_MAX];
    let mut used = 0;
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => (hex_digit(*high)? << 4 | hex_digit(*low)?, after),
            (b'%', _) => return None,
            (b'+', _) => (b' ', after),
            (byte, _) => (*byte, after),
        };
        *name.get_mut(used)? = byte;
        used += 1;
        rest = after;
    }
    MemberId::new(std::str::from_utf8(&name[..used]).ok()?)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(method: Method, target: &str, expected: &Result<Endpoint, RouteError>) {
        assert_eq!(&route(method, target.as_bytes()), expected, "{target}");
    }

    fn group(number: u64) -> GroupId {
        GroupId::new(number).unwrap()
    }

    fn member(name: &str) -> Option<MemberId> {
        Some(MemberId::new(name).unwrap())
    }

    fn long_poll(since: Option<u64>, timeout_ms: u64, member: Option<MemberId>) -> Endpoint {
        let since = since.map(|number| Seq::new(number).unwrap());
        Endpoint::LongPoll { group: group(3), since, timeout: Duration::from_millis(timeout_ms), member }
    }

    #[test]
    fn every_address_that_is_read_leads_to_its_endpoint_for_get_and_head() {
        let web_socket = |group| Endpoint::WebSocket { group, since: None, member: None };
        let sse = Endpoint::Sse { group: group(3), last_event_id: None, member: None };
        for (target, endpoint) in [
            ("/location/cur/3", Endpoint::Current { group: group(3) }),
            ("/cur/3", Endpoint::Current { group: group(3) }),
            ("/location/group/3", Endpoint::Snapshot { group: group(3) }),
            ("/location/long/3", long_poll(None, 10_000, None)),
            ("/location/sse/3", sse),
            ("/location/sse/connect", Endpoint::SseOneShot),
            ("/ws", web_socket(None)),
            ("/ws/3", web_socket(Some(group(3)))),
            ("/location", Endpoint::Stomp),
            ("/echo", Endpoint::Echo),
            ("/metrics", Endpoint::Metrics),
            ("/actuator/prometheus", Endpoint::Metrics),
            ("/healthz", Endpoint::Healthz),
            ("/readyz", Endpoint::Readyz),
            ("/", Endpoint::Page),
            ("/?utm=1", Endpoint::Page),
            ("/openapi.json", Endpoint::OpenApi),
            ("/asyncapi.json", Endpoint::AsyncApi),
        ] {
            check(Method::Get, target, &Ok(endpoint.clone()));
            check(Method::Head, target, &Ok(endpoint));
        }
    }

    #[test]
    fn every_address_that_is_published_to_takes_post() {
        for target in [
            "/location/long/3/notify",
            "/location/share/3",
            "/location/cur/3",
            "/cur/3",
            "/location/sse/share?group=3",
            "/location/sse/share?x=1&group=3&group=4",
        ] {
            check(Method::Post, target, &Ok(Endpoint::Publish { group: group(3) }));
        }
        check(Method::Post, "/location/sse/share", &Ok(Endpoint::Publish { group: group(0) }));
        check(Method::Post, "/location/sse/share?group=x", &Err(RouteError::BadGroup));
    }

    #[test]
    fn wrong_method_is_told_what_is_allowed() {
        let refused = |allow| Err(RouteError::MethodNotAllowed { allow });
        check(Method::Post, "/location/long/3", &refused("GET, HEAD, OPTIONS"));
        check(Method::Post, "/location/sse/connect", &refused("GET, HEAD, OPTIONS"));
        check(Method::Post, "/ws", &refused("GET, HEAD, OPTIONS"));
        check(Method::Get, "/location/sse/share", &refused("POST, OPTIONS"));
        check(Method::Head, "/location/share/3", &refused("POST, OPTIONS"));
        check(Method::Get, "/location/long/3/notify", &refused("POST, OPTIONS"));
        check(Method::Other, "/cur/3", &refused("GET, HEAD, POST, OPTIONS"));
    }

    #[test]
    fn options_names_what_is_allowed() {
        let allowed = |allow| Ok(Endpoint::Options { allow });
        check(Method::Options, "/cur/3", &allowed("GET, HEAD, POST, OPTIONS"));
        check(Method::Options, "/location/long/3?timeout=x", &allowed("GET, HEAD, OPTIONS"));
        check(Method::Options, "/location/share/3", &allowed("POST, OPTIONS"));
        check(Method::Options, "*", &allowed("GET, HEAD, POST, OPTIONS"));
        check(Method::Options, "http://host", &allowed("GET, HEAD, POST, OPTIONS"));
        check(Method::Options, "/nowhere", &Err(RouteError::NotFound));
        check(Method::Get, "*", &Err(RouteError::NotFound));
    }

    #[test]
    fn paths_are_matched_exactly() {
        for target in [
            "",
            "x",
            "//",
            "/cur",
            "/location/sse",
            "/location/",
            "/locations",
            "/location/cur",
            "/location/cur/3/",
            "/location/cur/3/4",
            "/location/long/3/notify/",
            "/location/sse/connect/",
            "/Location",
            "/cur%2F3",
            "/wss",
            "/metrics/",
            "/openapi",
            "/healthz/live",
            "host:80",
            "ftp://host/",
            "http:///ws",
        ] {
            check(Method::Get, target, &Err(RouteError::NotFound));
        }
    }

    #[test]
    fn absolute_form_is_routed_by_its_path() {
        check(Method::Get, "http://a.example:8080/cur/7", &Ok(Endpoint::Current { group: group(7) }));
        check(Method::Get, "HTTPS://a.example/readyz?x", &Ok(Endpoint::Readyz));
        check(Method::Get, "http://a.example", &Ok(Endpoint::Page));
        check(Method::Get, "http://a.example?x=1", &Ok(Endpoint::Page));
    }

    #[test]
    fn group_is_a_decimal_integer_up_to_its_limit() {
        let max = Endpoint::Current { group: group(GroupId::MAX) };
        check(Method::Get, "/cur/9223372036854775807", &Ok(max));
        check(Method::Get, "/cur/00", &Ok(Endpoint::Current { group: group(0) }));
        for digits in
            ["9223372036854775808", "18446744073709551616", "", "-1", "+1", "1.0", "0x1", "%31", "a"]
        {
            check(Method::Get, &format!("/cur/{digits}"), &Err(RouteError::BadGroup));
            check(Method::Get, &format!("/location/sse/{digits}"), &Err(RouteError::BadGroup));
            check(Method::Post, &format!("/location/long/{digits}/notify"), &Err(RouteError::BadGroup));
        }
    }

    #[test]
    fn query_values_are_read_and_bounded() {
        let target = |query: &str| format!("/location/long/3?{query}");
        for (query, expected) in [
            ("since=0", Ok(long_poll(Some(0), 10_000, None))),
            ("since=9007199254740991", Ok(long_poll(Some(Seq::END - 1), 10_000, None))),
            ("since=9007199254740992", Err(RouteError::BadSince)),
            ("since=", Err(RouteError::BadSince)),
            ("since", Err(RouteError::BadSince)),
            ("since=-1", Err(RouteError::BadSince)),
            ("since=7&since=x", Ok(long_poll(Some(7), 10_000, None))),
            ("timeout=0", Ok(long_poll(None, 0, None))),
            ("timeout=60000", Ok(long_poll(None, 60_000, None))),
            ("timeout=60001", Err(RouteError::BadTimeout)),
            ("timeout=1s", Err(RouteError::BadTimeout)),
            ("&&x=y&timeout=5&member=bob&since=9&", Ok(long_poll(Some(9), 5, member("bob")))),
        ] {
            check(Method::Get, &target(query), &expected);
        }
        check(Method::Get, "/ws?since=x", &Err(RouteError::BadSince));
    }

    #[test]
    fn unreadable_last_event_id_counts_as_none() {
        let sse = |number: Option<u64>| {
            let last_event_id = number.and_then(Seq::new);
            Ok(Endpoint::Sse { group: group(1), last_event_id, member: None })
        };
        check(Method::Get, "/location/sse/1?last_event_id=5", &sse(Some(5)));
        check(Method::Get, "/location/sse/1?last_event_id=x", &sse(None));
        check(Method::Get, "/location/sse/1?last_event_id=9007199254740992", &sse(None));
    }

    #[test]
    fn member_is_decoded_as_a_form_encodes_it() {
        let web_socket = |name| Ok(Endpoint::WebSocket { group: None, since: None, member: member(name) });
        check(Method::Get, "/ws?member=alice", &web_socket("alice"));
        check(Method::Get, "/ws?member=a+b%20c%2Bd", &web_socket("a b c+d"));
        check(Method::Get, "/ws?member=%C3%A9%e2%82%ac", &web_socket("\u{e9}\u{20ac}"));
        let longest = "x".repeat(MemberId::BYTES_MAX);
        check(Method::Get, &format!("/ws?member={longest}"), &web_socket(&longest));
        for bad in ["", "%", "%4", "%zz", "%00", "%0a", "%ff", "%C3", &format!("{longest}x")] {
            check(Method::Get, &format!("/ws?member={bad}"), &Err(RouteError::BadMember));
        }
    }

    #[test]
    fn errors_name_their_rule_and_status() {
        let shown = |error: RouteError| (error.status(), error.to_string());
        let group = "the group is not an integer from 0 to 9223372036854775807".to_owned();
        assert_eq!(shown(RouteError::BadGroup), (400, group));
        let timeout = "timeout is not an integer from 0 to 60000 ms".to_owned();
        assert_eq!(shown(RouteError::BadTimeout), (400, timeout));
        assert_eq!(RouteError::NotFound.status(), 404);
        assert_eq!(RouteError::MethodNotAllowed { allow: READ }.status(), 405);
    }

    #[test]
    fn one_shot_names_group_0_and_ws_names_none() {
        assert_eq!(Endpoint::SseOneShot.group(), GroupId::new(0));
        assert_eq!(route(Method::Get, b"/ws").unwrap().group(), None);
        assert_eq!(route(Method::Get, b"/ws/8").unwrap().group(), GroupId::new(8));
    }

    proptest! {
        #[test]
        fn no_target_panics(
            target in "(/location|/ws|/cur|http://h)?(/(long|sse|share|[0-9]{1,3}))?[ -~]{0,40}",
        ) {
            for method in [Method::Get, Method::Head, Method::Post, Method::Options, Method::Other] {
                let _ = route(method, target.as_bytes());
            }
        }
    }
}
