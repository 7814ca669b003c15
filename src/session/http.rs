//! The conversation of an HTTP/1.1 connection: heads and bodies in, whole requests up, answers out.
//!
//! Knows framing, origins and how answers are headed; knows no group. Read RFC 9112, section 9 (connections) and
//! RFC 9110, section 10.1.1 (Expect) first.

use crate::ids::{GroupId, Seq};
use crate::route::{self, Endpoint, Method, RouteError};
use crate::session::origin::Verdict;
use crate::session::{Context, Event, Step};
use crate::wire::Parsed;
use crate::wire::http::body::{BodyDecoder, BodyError};
use crate::wire::http::request::{self, Framing, HeadError, HeadLimits, RequestHead, Version};
use crate::wire::http::response::{self, IfNoneMatch, ResponseHead, Status};
use crate::wire::json::{self, PublishBody, PublishError};
use crate::wire::websocket::handshake;

/// A whole request, as the rest of the server sees it.
#[derive(Debug)]
pub struct Request {
    /// What it is about, or why it is about nothing.
    pub endpoint: Result<Endpoint, RouteError>,
    /// How it is answered.
    pub reply: Reply,
    /// What it publishes, where the endpoint does.
    pub body: Result<PublishBody, PublishError>,
    /// How long that is.
    pub body_bytes: usize,
    /// The cursor of an event source that comes back; an unreadable one counts as none.
    pub last_event_id: Option<Seq>,
    /// What the client has.
    pub if_none_match: IfNoneMatch,
    /// The WebSocket handshake, if it is one.
    pub upgrade: Result<Upgrade, UpgradeError>,
    /// The page comes from another site: `Sec-Fetch-Site: cross-site`.
    pub cross_site: bool,
    /// A preflight asks for this method.
    pub preflight: bool,
}

impl Request {
    /// The group that it names.
    #[must_use]
    pub fn group(&self) -> Option<GroupId> {
        self.endpoint.as_ref().ok().and_then(Endpoint::group)
    }
}

/// How a request is answered: what its answer must look like whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request was a HEAD: no content follows.
    pub head_only: bool,
    /// The connection goes on afterwards.
    pub keep_alive: bool,
    /// The version that was spoken.
    pub version: Version,
    /// Whether a page of another origin asked.
    pub origin: Verdict,
}

impl Reply {
    /// How a peer is answered of which no request could be read: the connection closes.
    #[must_use]
    pub const fn last() -> Self {
        Self { head_only: false, keep_alive: false, version: Version::Http11, origin: Verdict::Own }
    }

    /// Whether the answer carries nothing that depends on who asked, so that it can be shared.
    #[must_use]
    pub fn is_plain(self) -> bool {
        self.keep_alive && self.version == Version::Http11 && self.origin == Verdict::Own && !self.head_only
    }
}

/// An opening handshake (RFC 6455, section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    key: [u8; 24],
    subprotocol: Option<&'static str>,
}

impl Upgrade {
    /// Writes the answer that ends HTTP on this connection.
    pub fn encode_switching(&self, out: &mut Vec<u8>) {
        handshake::encode_switching(out, &self.key, self.subprotocol, &[]);
    }
}

/// Why a request does not open a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeError {
    /// It does not ask for one.
    NotAsked,
    /// It asks for another version than 13.
    Version,
    /// Its key is not base64 of 16 bytes, given once.
    Key,
    /// What it offers is not written as lists of subprotocols and extensions are.
    Offer,
}

impl std::fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAsked => {
                write!(f, "this address is a WebSocket: GET over HTTP/1.1 with `Upgrade: websocket`")
            }
            Self::Version => write!(f, "the only WebSocket version spoken is 13"),
            Self::Key => write!(f, "`Sec-WebSocket-Key` is not base64 of 16 bytes, given once"),
            Self::Offer => write!(f, "the subprotocols or extensions that are offered are no list of tokens"),
        }
    }
}

/// The STOMP versions as subprotocols, best first.
const STOMP_SUBPROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

/// Where a connection stands between two answers.
#[derive(Debug)]
pub struct Http(State);

#[derive(Debug)]
enum State {
    /// Accepts: a head. Next: `Idle` with a request, or `Body`.
    Idle,
    /// Accepts: the rest of a head, of which so many bytes were looked at. Next: as `Idle`.
    Head { scanned: usize },
    /// Accepts: the rest of a body. Next: `Idle` with the request.
    Body(Box<Body>),
}

#[derive(Debug)]
struct Body {
    request: Request,
    decoder: BodyDecoder,
    bytes: Vec<u8>,
}

/// What a connection waits for, which decides how long it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// The next request.
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
}

impl Http {
    /// A connection that has said nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(State::Idle)
    }

    /// What the connection waits for.
    #[must_use]
    pub const fn awaits(&self) -> Awaits {
        match self.0 {
            State::Idle => Awaits::Request,
            State::Head { .. } => Awaits::Head,
            State::Body(_) => Awaits::Body,
        }
    }

    /// Memory held for a body whose rest is to come.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.0 {
            State::Idle | State::Head { .. } => 0,
            State::Body(body) => size_of::<Body>() + body.bytes.capacity(),
        }
    }

    /// How a request is answered of which so much has come and no more; `unread` is the part of its head, while that is
    /// what has come.
    #[must_use]
    pub fn reply_to_part(&self, unread: &[u8]) -> Reply {
        match &self.0 {
            State::Idle | State::Head { .. } => reply_to_head(unread),
            State::Body(body) => Reply { keep_alive: false, ..body.request.reply },
        }
    }

    /// Takes a request from the front of the input. A rule that the peer broke is answered in `out`.
    pub(super) fn decode(&mut self, input: &mut [u8], cx: &Context<'_>, out: &mut Vec<u8>) -> Step {
        match &mut self.0 {
            State::Idle => self.decode_head(input, 0, cx, out),
            State::Head { scanned } => {
                let scanned = *scanned;
                self.decode_head(input, scanned, cx, out)
            }
            State::Body(body) => match body.decoder.decode(input, &mut body.bytes) {
                Ok(progress) if progress.done => {
                    let State::Body(body) = std::mem::replace(&mut self.0, State::Idle) else {
                        unreachable!("it was a body above")
                    };
                    let request = body.request.with_body(&body.bytes, cx);
                    Step::new(progress.used, Event::Request(request))
                }
                Ok(progress) => Step::skip(progress.used),
                Err(error) => refuse_body(out, cx, body.request.reply, error),
            },
        }
    }

    fn decode_head(&mut self, input: &[u8], scanned: usize, cx: &Context<'_>, out: &mut Vec<u8>) -> Step {
        if input.is_empty() {
            return Step::MORE;
        }
        let limits = HeadLimits {
            head_bytes_max: cx.limits.head_bytes_max,
            target_bytes_max: cx.limits.target_bytes_max,
        };
        match request::decode(input, scanned, &limits) {
            Ok(Parsed::Partial) => {
                self.0 = State::Head { scanned: input.len() };
                Step::MORE
            }
            Ok(Parsed::Complete { value: head, used }) => {
                self.0 = State::Idle;
                let request = Request::read(&head, cx);
                self.enter_body(&head, request, &input[used..], used, cx, out)
            }
            Err(error) => refuse_head(out, cx, error, input),
        }
    }

    fn enter_body(
        &mut self,
        head: &RequestHead<'_>,
        mut request: Request,
        rest: &[u8],
        used: usize,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Step {
        match head.framing {
            Framing::None => return Step::new(used, Event::Request(request.with_body(&[], cx))),
            Framing::Length(length)
                if length <= rest.len() as u64 && length <= cx.limits.body_bytes_max as u64 =>
            {
                let length = usize::try_from(length).expect("it is no longer than what is there");
                return Step::new(used + length, Event::Request(request.with_body(&rest[..length], cx)));
            }
            Framing::Length(_) | Framing::Chunked => {}
        }
        let decoder = match BodyDecoder::new(head.framing, cx.limits.body_bytes_max) {
            Ok(decoder) => decoder,
            Err(error) => return refuse_body(out, cx, request.reply, error),
        };
        if head.expect_continue && rest.is_empty() {
            if request.endpoint.is_err() {
                // The answer is known: the body need not come, and whether it does is not (RFC 9110, 10.1.1).
                request.reply.keep_alive = false;
                return Step::new(used, Event::Request(request));
            }
            response::encode_continue(out);
        }
        self.0 = State::Body(Box::new(Body { request, decoder, bytes: Vec::new() }));
        Step::skip(used)
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    fn read(head: &RequestHead<'_>, cx: &Context<'_>) -> Self {
        let endpoint = match route::route(head.method, head.target) {
            Ok(Endpoint::Echo) if !cx.policy.echo => Err(RouteError::NotFound),
            routed => routed,
        };
        // Fields are looked for only where they can matter: the commonest request has none of them.
        let field = |matters: bool, name: &str| matters.then(|| head.field(name)).flatten();
        let reply = Reply {
            head_only: head.method == Method::Head,
            keep_alive: head.keep_alive && !cx.draining,
            version: head.version,
            origin: if head.has_origin { judge(head, cx) } else { Verdict::Own },
        };
        let comes_back = head.has_last_event_id && matches!(endpoint, Ok(Endpoint::Sse { .. }));
        let is_options = matches!(endpoint, Ok(Endpoint::Options { .. }));
        Self {
            last_event_id: field(comes_back, "Last-Event-ID").and_then(route::parse_cursor),
            if_none_match: if head.has_if_none_match {
                IfNoneMatch::read(head.field_values("If-None-Match"))
            } else {
                IfNoneMatch::Absent
            },
            upgrade: read_upgrade(head, matches!(endpoint, Ok(Endpoint::Stomp))),
            cross_site: field(head.has_sec_fetch_site, "Sec-Fetch-Site") == Some(b"cross-site"),
            preflight: field(is_options, "Access-Control-Request-Method").is_some(),
            body: Ok(PublishBody::Nothing),
            body_bytes: 0,
            endpoint,
            reply,
        }
    }

    fn with_body(mut self, bytes: &[u8], cx: &Context<'_>) -> Self {
        if matches!(self.endpoint, Ok(Endpoint::Publish { .. })) {
            self.body = json::decode_publish(bytes, cx.now.unix);
            self.body_bytes = bytes.len();
        }
        self
    }
}

/// Judges who asks; whoever names several origins is none of ours.
fn judge(head: &RequestHead<'_>, cx: &Context<'_>) -> Verdict {
    let mut origins = head.field_values("Origin");
    match (origins.next(), origins.next()) {
        (Some(origin), None) => cx.policy.origins.judge(origin, head.host()),
        (None, _) => Verdict::Own,
        (Some(_), Some(_)) => Verdict::Foreign,
    }
}

fn read_upgrade(head: &RequestHead<'_>, stomp: bool) -> Result<Upgrade, UpgradeError> {
    let asked = head.upgrade_websocket && head.method == Method::Get && head.version == Version::Http11;
    if !asked {
        return Err(UpgradeError::NotAsked);
    }
    // Neither may be given twice (RFC 6455, sections 11.3.1 and 11.3.5).
    if head.websocket_version.once() != Some(handshake::VERSION.as_bytes()) {
        return Err(UpgradeError::Version);
    }
    let key = head.websocket_key.once().filter(|key| handshake::check_key(key)).ok_or(UpgradeError::Key)?;
    let key = key.try_into().map_err(|_| UpgradeError::Key)?;
    if !head.has_websocket_offers {
        return Ok(Upgrade { key, subprotocol: None });
    }
    if !head.field_values("Sec-WebSocket-Protocol").all(handshake::check_protocols)
        || !head.field_values("Sec-WebSocket-Extensions").all(handshake::check_extensions)
    {
        return Err(UpgradeError::Offer);
    }
    let spoken: &[&'static str] = if stomp { &STOMP_SUBPROTOCOLS } else { &[] };
    let subprotocol = handshake::choose_subprotocol(head.field_values("Sec-WebSocket-Protocol"), spoken);
    Ok(Upgrade { key, subprotocol })
}

fn refuse_head(out: &mut Vec<u8>, cx: &Context<'_>, error: HeadError, input: &[u8]) -> Step {
    encode_problem(out, cx, reply_to_head(input), error.status(), &error.to_string());
    Step::new(0, Event::Failed { reason: error.reason(), status: Some(error.status()) })
}

/// Nothing but the method need be readable for content to be one thing too many (RFC 9110, section 9.3.2).
fn reply_to_head(input: &[u8]) -> Reply {
    Reply { head_only: request::begins_with_head_method(input), ..Reply::last() }
}

fn refuse_body(out: &mut Vec<u8>, cx: &Context<'_>, mut reply: Reply, error: BodyError) -> Step {
    reply.keep_alive = false;
    encode_problem(out, cx, reply, error.status(), &error.to_string());
    Step::new(0, Event::Failed { reason: error.reason(), status: Some(error.status()) })
}

/// Begins an answer: status, `Date`, and what the origin and the connection ask for.
pub fn begin<'o>(out: &'o mut Vec<u8>, cx: &Context<'_>, reply: Reply, status: Status) -> ResponseHead<'o> {
    let mut head = response::begin(out, status, cx.date);
    if cx.policy.origins.vary() {
        head = head.field("Vary", b"Origin");
    }
    if let Some(allowed) = cx.policy.origins.allow_value(reply.origin) {
        head = head
            .field("Access-Control-Allow-Origin", allowed.as_bytes())
            .field("Access-Control-Expose-Headers", b"Location-Seq, ETag, Retry-After");
    }
    head.connection(reply.keep_alive, reply.version)
}

/// Ends an answer with content, which a HEAD only hears the length of.
pub fn finish(head: ResponseHead<'_>, reply: Reply, content_type: &str, content: &[u8]) {
    if reply.head_only {
        head.content(content_type, content.len() as u64);
    } else {
        head.body(content_type, content);
    }
}

/// Writes an error as RFC 9457 spells it.
pub fn encode_problem(out: &mut Vec<u8>, cx: &Context<'_>, reply: Reply, status: Status, detail: &str) {
    finish_problem(begin(out, cx, reply, status), reply, status, detail);
}

/// Ends an answer, whose head may already say more, with a problem (RFC 9457).
pub fn finish_problem(head: ResponseHead<'_>, reply: Reply, status: Status, detail: &str) {
    let mut content = Vec::with_capacity(128);
    json::encode_problem(&mut content, status.code(), status.title(), detail);
    finish(head, reply, "application/problem+json", &content);
}

#[cfg(test)]
mod tests;
