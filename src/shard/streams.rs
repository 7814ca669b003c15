//! Endless streams of one group: Server-Sent Events and raw WebSockets, from the request to the first update.

use std::time::Duration;

use crate::hub::GroupKey;
use crate::ids::{ConnId, GroupId, Seq};
use crate::report::{self, Reason};
use crate::session::Session;
use crate::session::http::{Reply, Upgrade};
use crate::session::sse::{self, RETRY};
use crate::session::websocket::WebSocket;
use crate::shard::Shard;
use crate::shard::conns::{Feed, Interest, Pace, Place, Speaks, Stream};
use crate::shard::interest::Errand;
use crate::wire::http::response::Status;

/// A stream that is about to be opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) reply: Reply,
    pub(super) group: GroupId,
    pub(super) since: Option<Seq>,
    pub(super) speaks: Option<Box<Speaks>>,
    pub(super) kind: Kind,
}

/// What it is a stream of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Events; the client is told to wait so long before it comes back.
    Sse { retry: Duration },
    /// Text messages.
    WebSocket(Upgrade),
}

impl Opening {
    pub(super) const fn asked(&self) -> report::Asked {
        match self.kind {
            Kind::Sse { .. } => report::Asked::Sse,
            Kind::WebSocket(_) => report::Asked::WebSocket,
        }
    }
}

impl Shard {
    pub(super) fn on_sse(
        &mut self,
        id: ConnId,
        group: GroupId,
        since: Option<Seq>,
        reply: Reply,
        speaks: Option<Box<Speaks>>,
    ) {
        let asked = report::Asked::Sse;
        if reply.head_only {
            self.count_answer(asked, Status::Ok);
            self.say(id, |out, cx| sse::encode_head(out, cx, reply));
            return self.after_answer(id, reply);
        }
        if self.env.draining {
            return self.answer_refused_park(id, asked, reply, Reason::Draining, "the server is draining");
        }
        let kind = Kind::Sse { retry: self.random.jitter(RETRY, RETRY * 2) };
        self.open_stream(id, Opening { reply, group, since, speaks, kind });
    }

    /// Turns a connection into an endless stream of one group, at once or as soon as the group's home has answered: only
    /// then is every later update in it, and the client told that it is open.
    pub(super) fn open_stream(&mut self, id: ConnId, opening: Opening) {
        match self.enter(opening.group, opening.since) {
            Ok(Some(key)) => self.start_stream(id, key, opening, self.hub.group(key).cursor()),
            Ok(None) => {
                let place = self.send_for(opening.group, id, Errand::Stream(Box::new(opening)));
                if let Place::Coming { ticket } = place {
                    self.set_interest(id, Interest::Opening { ticket });
                }
            }
            Err(refused) => {
                let (asked, reply) = (opening.asked(), opening.reply);
                self.answer_refused_park(id, asked, reply, refused.reason(), &refused.to_string());
            }
        }
    }

    /// The group is here: says so to the client, and makes it one of the group's waiters. Without a cursor it is owed what
    /// comes after `newest`.
    pub(super) fn start_stream(&mut self, id: ConnId, key: GroupKey, opening: Opening, newest: Seq) {
        let asked = opening.asked();
        let Opening { reply, since, speaks, kind, .. } = opening;
        let (session, status) = match kind {
            Kind::Sse { .. } => (Session::Sse, Status::Ok),
            Kind::WebSocket(_) => (Session::WebSocket(WebSocket::new()), Status::SwitchingProtocols),
        };
        self.count_answer(asked, status);
        self.say(id, |out, cx| match kind {
            Kind::Sse { retry } => {
                sse::encode_head(out, cx, reply);
                sse::encode_opening(out, retry);
            }
            Kind::WebSocket(upgrade) => upgrade.encode_switching(out),
        });
        self.become_session(id, session);
        let feed = Feed { place: Place::NOWHERE, pace: Pace::Live };
        self.set_interest(id, Interest::Stream(Stream { feed, speaks }));
        self.settle_in(id, 0, key, since, newest);
        self.plan_goodbye(id);
    }
}
