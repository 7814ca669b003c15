//! One connection's conversation: bytes in, [`Event`]s and answers out.
//!
//! A session knows wire formats and ids; it knows no groups, no sockets and no other session. What a protocol can
//! answer by itself (a pong, a 400, a close code) a session writes to `out` at once; everything else it hands up as an
//! [`Event`], all of whose data it owns, so that an event can wait or travel to another shard.

pub mod http;
pub mod long_poll;
pub mod origin;
pub mod sse;
pub mod stomp;
#[cfg(test)]
mod tests;
pub mod websocket;

use crate::clock::Now;
use crate::ids::ConnId;
use crate::ids::GroupId;
use crate::ids::MemberId;
use crate::ids::Seq;
use crate::ids::ShardId;
use crate::limits::Limits;
use crate::location::Update;
use crate::report::Reason;
use crate::session::http::Http;
use crate::session::http::Reply;
use crate::session::http::Request;
use crate::session::origin::Origins;
use crate::session::stomp::HeartBeat;
use crate::session::stomp::Stomp;
use crate::session::stomp::Subscription;
use crate::session::websocket::WebSocket;
use crate::wire::http::response::{HttpDate, Status};
use crate::wire::json::PublishBody;
use crate::wire::json::PublishError;

/// What the operator decided about conversations.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// A location is made up where a client gives none.
    pub simulate: bool,
    /// `/echo` exists.
    pub echo: bool,
    /// Which foreign origins may talk to this server.
    pub origins: Origins,
}

/// What a session may look at while it decodes.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The turn's time.
    pub now: Now,
    /// The same, as answers carry it.
    pub date: &'a HttpDate,
    /// The bounds in force.
    pub limits: &'a Limits,
    /// What the operator decided.
    pub policy: &'a Policy,
    /// Answers say `Connection: close`, nothing parks any more.
    pub draining: bool,
    /// Whose conversation it is; names the STOMP session.
    pub name: (ShardId, ConnId),
}

/// What a connection asks for.
#[derive(Debug)]
pub enum Event {
    /// An HTTP request, whole.
    Request(Request),
    /// A location over WebSocket or STOMP.
    Publish(Said),
    /// STOMP: the client is connected.
    Connected {
        /// What was agreed about heart-beats.
        heart_beat: HeartBeat,
    },
    /// STOMP: a subscription; its place in the session's table is `sub`.
    Subscribe {
        /// Its place in the session's table.
        sub: u16,
        /// What it subscribes to.
        group: GroupId,
        /// The cursor it starts from; `None` for now.
        since: Option<Seq>,
        /// To be given once every later update will be delivered.
        receipt: Option<Box<str>>,
    },
    /// STOMP: the end of a subscription; its place is free once this is done.
    Unsubscribe {
        /// Its place in the session's table.
        sub: u16,
        /// To be given once nothing more will be delivered.
        receipt: Option<Box<str>>,
    },
    /// STOMP: messages were acknowledged; a full window may have opened.
    Acknowledged,
    /// STOMP: the client wants to go once all that it sent has taken effect.
    Disconnect {
        /// To be given then.
        receipt: Option<Box<str>>,
    },
    /// The last word is in `out`: drop what else is queued, write it, close.
    Closed,
    /// The peer broke a rule; the last word is in `out`: drop what else is queued, write it, close.
    Failed {
        /// The rule.
        reason: Reason,
        /// The status of the answer that said so, over HTTP.
        status: Option<Status>,
    },
}

/// A location as it was said over WebSocket or STOMP.
#[derive(Debug)]
pub struct Said {
    /// The group, if the message names one; else it is the connection's.
    pub group: Option<GroupId>,
    /// What was said.
    pub body: Result<PublishBody, PublishError>,
    /// The receipt to give once it is numbered.
    pub receipt: Option<Box<str>>,
    /// How long what was said is.
    pub bytes: usize,
}

impl Event {
    /// A rule was broken on something else than HTTP.
    const fn failed(reason: Reason) -> Self {
        Self::Failed { reason, status: None }
    }

    /// The group that the event names, if it names one that its connection should be at home with.
    #[must_use]
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Self::Request(request) => request.group(),
            Self::Publish(said) => said.group,
            Self::Subscribe { group, .. } => Some(*group),
            Self::Connected { .. }
            | Self::Unsubscribe { .. }
            | Self::Acknowledged
            | Self::Disconnect { .. }
            | Self::Closed
            | Self::Failed { .. } => None,
        }
    }
}

/// What one look at the input yielded.
#[derive(Debug)]
pub struct Step {
    /// How many input bytes are done with.
    pub used: usize,
    /// What they asked for; `None` with nothing used means that more bytes are needed.
    pub event: Option<Event>,
}

impl Step {
    /// Nothing whole yet.
    const MORE: Self = Self { used: 0, event: None };

    const fn new(used: usize, event: Event) -> Self {
        Self { used, event: Some(event) }
    }

    const fn skip(used: usize) -> Self {
        Self { used, event: None }
    }
}

/// A conversation, by what is spoken.
#[derive(Debug)]
pub enum Session {
    /// Accepts: requests. Next: any of the others, by what is asked for.
    Http(Http),
    /// Accepts: nothing, what still comes is dropped. Next: `Closing`.
    Sse,
    /// Accepts: locations as text messages. Next: `Closing`.
    WebSocket(WebSocket),
    /// Accepts: any message, which it sends back. Next: `Closing`.
    Echo(WebSocket),
    /// Accepts: STOMP frames. Next: `Closing`.
    Stomp(Stomp),
    /// Accepts: nothing; what still comes is counted and dropped until the peer closes too.
    Closing {
        /// How much was dropped so far.
        dropped: usize,
    },
}

impl Session {
    /// The conversation of a connection that has said nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self::Http(Http::new())
    }

    /// Looks at what has arrived; call again with the rest until it needs more.
    pub fn decode(&mut self, input: &mut [u8], cx: &Context<'_>, out: &mut Vec<u8>) -> Step {
        match self {
            Self::Http(http) => http.decode(input, cx, out),
            Self::Sse => Step::skip(input.len()),
            Self::WebSocket(websocket) => websocket.decode(input, cx, out),
            Self::Echo(echo) => echo.decode_echo(input, out),
            Self::Stomp(stomp) => stomp.decode(input, cx, out),
            Self::Closing { dropped } => {
                *dropped += input.len();
                Step::skip(input.len())
            }
        }
    }

    /// How updates of a group are written on this connection; `sub`, which of its subscriptions that is, matters where it can
    /// have several.
    #[must_use]
    pub fn form(&self, sub: u16, group: GroupId) -> Option<Form<'_>> {
        match self {
            Self::Sse => Some(Form::Sse),
            Self::WebSocket(_) => Some(Form::WebSocket),
            Self::Stomp(stomp) => {
                stomp.subscription(sub).map(|subscription| Form::Stomp(subscription, group))
            }
            Self::Http(_) | Self::Echo(_) | Self::Closing { .. } => None,
        }
    }

    /// Writes that a published location was refused, where the connection goes on afterwards.
    pub fn encode_error(&mut self, out: &mut Vec<u8>, error: &str, detail: &str) {
        match self {
            Self::WebSocket(_) => websocket::encode_error(out, error, detail),
            Self::Http(_) | Self::Sse | Self::Echo(_) | Self::Stomp(_) | Self::Closing { .. } => {}
        }
    }

    /// Memory held for what is half received, or waits to be acted on or acknowledged.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Http(http) => http.held_bytes(),
            Self::WebSocket(websocket) | Self::Echo(websocket) => websocket.held_bytes(),
            Self::Stomp(stomp) => stomp.held_bytes(),
            Self::Sse | Self::Closing { .. } => 0,
        }
    }

    /// Whether what it says next is the last location of a STOMP transaction, whose receipt says that all of them are
    /// numbered: those before it have to be by then.
    #[must_use]
    pub fn ends_transaction(&self) -> bool {
        match self {
            Self::Stomp(stomp) => stomp.ends_transaction(),
            Self::Http(_) | Self::Sse | Self::WebSocket(_) | Self::Echo(_) | Self::Closing { .. } => false,
        }
    }

    /// The member that the connection said it speaks for in its STOMP CONNECT.
    #[must_use]
    pub fn stomp_member(&self) -> Option<&MemberId> {
        match self {
            Self::Stomp(stomp) => stomp.member(),
            Self::Http(_) | Self::Sse | Self::WebSocket(_) | Self::Echo(_) | Self::Closing { .. } => None,
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

/// How one update is written for a subscriber.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// The whole answer to a parked request.
    LongPoll(Reply),
    /// An event of a stream.
    Sse,
    /// A text message.
    WebSocket,
    /// A MESSAGE frame in a text message, of this group.
    Stomp(Subscription<'a>, GroupId),
}

impl Form<'_> {
    /// Appends one update, given its JSON.
    pub fn encode(self, out: &mut Vec<u8>, update: &Update, json: &[u8], cx: &Context<'_>) {
        match self {
            Self::LongPoll(reply) => long_poll::encode_update(out, cx, reply, update.seq, json),
            Self::Sse => sse::encode_update(out, update.seq, json),
            Self::WebSocket => websocket::encode_text(out, json),
            Self::Stomp(subscription, group) => subscription.encode_message(out, group, update.seq, json),
        }
    }
}
