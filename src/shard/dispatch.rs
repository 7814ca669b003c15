//! Events to deeds: what each thing that a connection asks for means for groups, mail and the connection itself.

use crate::hub::group::Published;
use crate::ids::{ConnId, GroupId, Seq, Transport};
use crate::limits::LONG_ANSWERS_PER_TURN_MAX;
use crate::location::{Change, Publish};
use crate::report::{self, Reason};
use crate::route::{Endpoint, RouteError};
use crate::session::http::{self, Reply, Request, Upgrade, UpgradeError};
use crate::session::origin::Verdict;
use crate::session::sse;
use crate::session::stomp::{self, Stomp};
use crate::session::websocket::WebSocket;
use crate::session::{Event, Said, Session};
use crate::shard::answers::JSON;
use crate::shard::conns::{About, Asked, Feed, Interest, Pace, Place, Speaks};
use crate::shard::converse::Flow;
use crate::shard::interest::Errand;
use crate::shard::mail::{Mail, Outcome, Question, Refused, Ticket};
use crate::shard::streams::{Kind, Opening};
use crate::shard::{Command, Shard};
use crate::wire::http::response::Status;
use crate::wire::json::{PublishBody, PublishError};

/// What can be asked for over HTTP, as OpenAPI 3.1.
const OPENAPI: &[u8] = include_bytes!("../specs/openapi.json");
/// What is said over WebSocket and STOMP, as AsyncAPI 3.0.
const ASYNCAPI: &[u8] = include_bytes!("../specs/asyncapi.json");

impl Shard {
    /// Acts on what a connection asks for.
    pub(super) fn dispatch(&mut self, id: ConnId, mut event: Event) -> Flow {
        self.draw_group(&mut event);
        if let Some(home) = self.destination(id, &event) {
            return Flow::Move(home, Box::new(event));
        }
        match event {
            Event::Request(request) => self.on_request(id, request),
            Event::Publish(said) => self.on_said(id, said),
            Event::Connected { heart_beat } => self.start_feeds(id, heart_beat),
            Event::Subscribe { sub, group, since, receipt } => {
                self.on_subscribe(id, sub, group, since, receipt)
            }
            Event::Unsubscribe { sub, receipt } => self.on_unsubscribe(id, sub, receipt.as_deref()),
            Event::Acknowledged => self.mark_behind_dirty(id),
            Event::Disconnect { receipt } => self.on_disconnect(id, receipt),
            Event::Closed => self.close_answered(id),
            Event::Failed { reason, status } => {
                self.refuse(reason);
                if let Some(status) = status {
                    self.count_answer(report::Asked::Unknown, status);
                }
                self.close_with_last_word(id);
            }
        }
        if self.conns.get(id).is_none_or(|conn| conn.flags.dead) { Flow::Gone } else { Flow::Go }
    }

    /// `/ws` puts the client into a group drawn at random, which must be known before its connection moves home.
    fn draw_group(&mut self, event: &mut Event) {
        if let Event::Request(request) = event
            && let Ok(Endpoint::WebSocket { group: group @ None, .. }) = &mut request.endpoint
        {
            *group = Some(self.random.seed_group());
        }
    }

    fn on_request(&mut self, id: ConnId, request: Request) {
        let mut reply = self.reply_now(request.reply);
        // A newcomer without a place gets one answer.
        reply.keep_alive &= self.conns.get(id).is_some_and(|conn| !conn.flags.surplus);
        let forbidden = request.endpoint.as_ref().is_ok_and(|endpoint| is_forbidden(endpoint, &request));
        let endpoint = match request.endpoint {
            Ok(endpoint) => endpoint,
            Err(error) => return self.answer_route_error(id, reply, error),
        };
        let kind = endpoint.asked();
        self.set_transport(id, transport_of(&endpoint));
        if self.conns.get(id).is_some_and(|conn| conn.flags.surplus) && !is_probe(&endpoint) {
            return self.answer_refused_park(id, kind, reply, Reason::ConnectionsMax, "every place is taken");
        }
        if forbidden {
            self.refuse(Reason::Origin);
            let detail = "this origin may not do that here; the operator can list it with --allow-origin";
            return self.answer_problem(id, kind, reply, Status::Forbidden, detail);
        }
        match endpoint {
            Endpoint::Current { group } => {
                let about = About::Newest { if_none_match: request.if_none_match };
                self.ask(id, group, Question::Newest, Asked { reply, about });
            }
            Endpoint::Snapshot { group } => self.on_snapshot(id, group, reply),
            Endpoint::Publish { group } => {
                self.report.payload_bytes[Transport::Http as usize].received += request.body_bytes as u64;
                self.on_http_publish(id, group, reply, request.body);
            }
            Endpoint::LongPoll { group, since, timeout, member } => {
                let speaks = member.map(|member| Box::new(Speaks { group, member }));
                self.on_long_poll(id, group, since, timeout, reply, speaks);
            }
            Endpoint::Sse { group, last_event_id, member } => {
                let since = request.last_event_id.or(last_event_id);
                let speaks = member.map(|member| Box::new(Speaks { group, member }));
                self.on_sse(id, group, since, reply, speaks);
            }
            Endpoint::SseOneShot => self.on_one_shot(id, reply),
            Endpoint::WebSocket { group, since, member } => {
                if let Some(upgrade) = self.admit_upgrade(id, kind, reply, request.upgrade)
                    && let Some(group) = group
                {
                    let speaks = member.map(|member| Box::new(Speaks { group, member }));
                    let kind = Kind::WebSocket(upgrade);
                    self.open_stream(id, Opening { reply, group, since, speaks, kind });
                }
            }
            Endpoint::Stomp => self.on_stomp(id, reply, request.upgrade),
            Endpoint::Echo => {
                if let Some(upgrade) = self.admit_upgrade(id, kind, reply, request.upgrade) {
                    self.become_session(id, Session::Echo(WebSocket::new()));
                    self.count_answer(kind, Status::SwitchingProtocols);
                    self.say(id, |out, _| upgrade.encode_switching(out));
                }
            }
            Endpoint::Metrics => {
                self.answer_at_length(id, Asked { reply, about: About::Scrape });
            }
            Endpoint::Healthz => self.answer_text(id, kind, reply, Status::Ok, "ok\n"),
            Endpoint::Readyz if self.env.draining => {
                self.answer_unavailable(id, kind, reply, Reason::Draining, "the server is draining");
            }
            Endpoint::Readyz => self.answer_text(id, kind, reply, Status::Ok, "ready\n"),
            Endpoint::Page => self.answer_page(id, kind, reply),
            Endpoint::OpenApi => self.answer_content(id, kind, reply, JSON, OPENAPI),
            Endpoint::AsyncApi => self.answer_content(id, kind, reply, JSON, ASYNCAPI),
            Endpoint::Options { allow } => self.answer_options(id, kind, reply, allow, request.preflight),
        }
    }

    fn on_snapshot(&mut self, id: ConnId, group: GroupId, reply: Reply) {
        if self.held.is_scarce() {
            return self.refuse_snapshot(id, reply);
        }
        self.answer_at_length(id, Asked { reply, about: About::Snapshot { group } });
    }

    /// Queues a request whose answer takes long to make: a few of them are answered a turn, whoever asks, so that none
    /// makes everybody else wait by asking again and again in a few bytes.
    fn answer_at_length(&mut self, id: ConnId, asked: Asked) {
        if self.set_interest(id, Interest::Asked(asked)) {
            self.long_answers.push_back(id);
        }
    }

    /// Makes the long answers that are due this turn.
    pub(super) fn make_long_answers(&mut self) {
        for _ in 0..LONG_ANSWERS_PER_TURN_MAX {
            let Some(id) = self.long_answers.pop_front() else { return };
            // Whoever has gone meanwhile, or was told something else, waits for none.
            let Some(asked) = self.take_asked(id) else { continue };
            match asked.about {
                About::Snapshot { group } => self.ask(id, group, Question::Snapshot, asked),
                About::Scrape => {
                    if self.set_interest(id, Interest::Asked(asked)) {
                        self.commands.push_back(Command::Scrape(id));
                    }
                }
                About::Publish | About::OneShot | About::Newest { .. } | About::Cursor => {
                    debug_assert!(false, "a short answer among the long ones");
                }
            }
        }
    }

    /// Asks a group's home about it; the answer is written when it is known, which at home is at once.
    pub(super) fn ask(&mut self, id: ConnId, group: GroupId, question: Question, asked: Asked) {
        if self.is_home(group) {
            let answer = self.answer_question(group, question);
            self.answer_asked(id, asked, answer);
        } else if self.set_interest(id, Interest::Asked(asked)) {
            let ticket = Ticket { shard: self.id, conn: id, transport: Transport::ShortPoll, receipt: None };
            self.post(group, Mail::Ask { group, question, ticket });
        }
    }

    fn on_http_publish(
        &mut self,
        id: ConnId,
        group: GroupId,
        reply: Reply,
        body: Result<PublishBody, PublishError>,
    ) {
        match self.resolve(body, None) {
            Ok(publish) => self.publish_for_http(id, group, publish, Asked { reply, about: About::Publish }),
            Err(detail) => {
                self.refuse(Reason::BadPublish);
                self.answer_problem(id, report::Asked::Publish, reply, Status::BadRequest, &detail);
            }
        }
    }

    fn publish_for_http(&mut self, id: ConnId, group: GroupId, publish: Publish, asked: Asked) {
        if self.is_home(group) {
            let outcome = self.number(group, &publish, Transport::Http);
            self.answer_published(id, asked, outcome);
        } else if self.set_interest(id, Interest::Asked(asked)) {
            let ticket = Ticket { shard: self.id, conn: id, transport: Transport::Http, receipt: None };
            self.post(group, Mail::Publish { group, publish, ticket });
        }
    }

    /// Has the hub number a publish to a group at home.
    pub(super) fn number(&mut self, group: GroupId, publish: &Publish, by: Transport) -> Outcome {
        let key = self.hub.make(group, &self.env.now).map_err(Refused::Group)?;
        let published = self.hub.publish(key, publish, &self.env.now);
        if let Ok(Published::Numbered(_)) = published {
            self.report.publishes[by as usize] += 1;
        }
        published.map_err(Refused::Publish)
    }

    /// What a body asks to be published, given for whom its connection speaks; or why that cannot be.
    fn resolve(
        &mut self,
        body: Result<PublishBody, PublishError>,
        speaks: Option<&Speaks>,
    ) -> Result<Publish, String> {
        match body {
            Err(error) => Err(error.to_string()),
            Ok(PublishBody::Nothing) if self.env.policy.simulate && speaks.is_none() => {
                Ok(self.random.simulate())
            }
            Ok(PublishBody::Nothing) => Err("a location is an object with the numbers x and y".to_owned()),
            Ok(PublishBody::Publish(mut publish)) => {
                if publish.member.is_none() {
                    publish.member = speaks.map(|speaks| speaks.member.clone());
                }
                if publish.member.is_none() && publish.change == Change::Left {
                    return Err("only a named member can leave".to_owned());
                }
                Ok(publish)
            }
        }
    }

    fn on_one_shot(&mut self, id: ConnId, reply: Reply) {
        if reply.head_only {
            // It publishes nothing, so nobody knows how long the event would be.
            self.count_answer(report::Asked::SseOneShot, Status::Ok);
            self.say(id, |out, cx| sse::encode_one_shot_head(out, cx, reply));
            return self.after_answer(id, reply);
        }
        if !self.env.policy.simulate {
            return self.answer_empty(id, report::Asked::SseOneShot, reply, Status::NoContent);
        }
        let publish = self.random.simulate();
        let group = GroupId::new(0).expect("0 is a group");
        self.publish_for_http(id, group, publish, Asked { reply, about: About::OneShot });
    }

    fn on_stomp(&mut self, id: ConnId, reply: Reply, upgrade: Result<Upgrade, UpgradeError>) {
        let kind = report::Asked::Stomp;
        let Some(upgrade) = self.admit_upgrade(id, kind, reply, upgrade) else { return };
        self.count_answer(kind, Status::SwitchingProtocols);
        self.say(id, |out, _| upgrade.encode_switching(out));
        self.become_session(id, Session::Stomp(Stomp::new()));
        self.set_deadline(id, self.env.limits.connect_timeout);
    }

    /// Whether a handshake is one, and may be; answers it if not.
    fn admit_upgrade(
        &mut self,
        id: ConnId,
        kind: report::Asked,
        reply: Reply,
        upgrade: Result<Upgrade, UpgradeError>,
    ) -> Option<Upgrade> {
        let error = match upgrade {
            Ok(_) if self.env.draining => {
                self.answer_unavailable(id, kind, reply, Reason::Draining, "the server is draining");
                return None;
            }
            Ok(upgrade) => return Some(upgrade),
            Err(error) => error,
        };
        self.refuse(Reason::Upgrade);
        let detail = error.to_string();
        let status = match error {
            UpgradeError::Key | UpgradeError::Offer => Status::BadRequest,
            UpgradeError::NotAsked | UpgradeError::Version => Status::UpgradeRequired,
        };
        self.count_answer(kind, status);
        self.say(id, |out, cx| {
            let mut head = http::begin(out, cx, reply, status);
            if status == Status::UpgradeRequired {
                // Upgrade goes with its connection option, or a reader in between would pass it on (RFC 9110, 7.8).
                head = head.field("Upgrade", b"websocket").field("Connection", b"Upgrade");
                head = head.field("Sec-WebSocket-Version", b"13");
            }
            http::finish_problem(head, reply, status, &detail);
        });
        self.after_answer(id, reply);
        None
    }

    fn on_said(&mut self, id: ConnId, said: Said) {
        let Some(conn) = self.conns.get(id) else { return };
        let transport = conn.transport();
        self.report.payload_bytes[transport as usize].received += said.bytes as u64;
        let stream_group = match &conn.interest {
            Interest::Stream(stream) => self.group_of(stream.feed.place),
            Interest::None
            | Interest::Asked(_)
            | Interest::Opening { .. }
            | Interest::Poll(_)
            | Interest::Feeds(_) => None,
        };
        let Some(group) = said.group.or(stream_group) else { return };
        let speaks = match (&conn.interest, conn.session.stomp_member()) {
            (_, Some(member)) => Some(Speaks { group, member: member.clone() }),
            (Interest::Stream(stream), None) => stream.speaks.as_deref().cloned(),
            (_, None) => None,
        };
        match self.resolve(said.body, speaks.as_ref()) {
            Err(detail) => self.answer_bad_publish(id, &detail, said.receipt.as_deref()),
            Ok(publish) if self.is_home(group) => {
                let outcome = self.number(group, &publish, transport);
                self.answer_said(id, outcome, said.receipt.as_deref());
            }
            Ok(publish) => {
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.under_way += 1;
                }
                let ticket = Ticket { shard: self.id, conn: id, transport, receipt: said.receipt };
                self.post(group, Mail::Publish { group, publish, ticket });
            }
        }
    }

    fn on_subscribe(
        &mut self,
        id: ConnId,
        sub: u16,
        group: GroupId,
        since: Option<Seq>,
        receipt: Option<Box<str>>,
    ) {
        let entered = match self.enter(group, since) {
            Ok(entered) => entered,
            Err(refused) => return self.fail_stomp(id, refused, receipt.as_deref()),
        };
        let place = match entered {
            Some(_) => Place::NOWHERE,
            None => self.send_for(group, id, Errand::Feed { sub, since, receipt: receipt.clone() }),
        };
        let Some(conn) = self.conns.get_mut(id) else { return };
        // While its mirror comes, a SUBSCRIBE is under way like a SEND: so many at once, and DISCONNECT waits for it.
        conn.under_way += u8::from(entered.is_none());
        let Interest::Feeds(feeds) = &mut conn.interest else { return };
        feeds.insert(sub, Feed { place, pace: Pace::Live });
        if let Some(key) = entered {
            self.settle_in(id, sub, key, since, self.hub.group(key).cursor());
            self.give_receipt(id, receipt.as_deref());
        }
    }

    fn on_unsubscribe(&mut self, id: ConnId, sub: u16, receipt: Option<&str>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let member = conn.session.stomp_member().cloned();
        if let Session::Stomp(stomp) = &mut conn.session {
            stomp.remove_subscription(sub);
        }
        if let Some(out) = conn.out.as_mut() {
            out.drop_owed(|owed| owed.sub == sub);
        }
        let Interest::Feeds(feeds) = &mut conn.interest else { return };
        if let Some(feed) = feeds.take(sub) {
            self.end_feed(&feed, member.as_ref());
        }
        self.give_receipt(id, receipt);
    }

    fn on_disconnect(&mut self, id: ConnId, receipt: Option<Box<str>>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Interest::Feeds(feeds) = &mut conn.interest {
            feeds.leave(receipt);
        }
        self.leave_if_done(id);
    }

    /// Lets a client go that wanted to, once nothing of what it published is under way.
    pub(super) fn leave_if_done(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.under_way > 0 || self.has_said_last_word(id) {
            return;
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Interest::Feeds(feeds) = &mut conn.interest else { return };
        if !feeds.is_leaving() {
            return;
        }
        let receipt = feeds.end_leave();
        self.give_receipt(id, receipt.as_deref());
        self.say(id, |out, _| stomp::encode_goodbye(out));
        self.close_with_last_word(id);
    }

    fn answer_route_error(&mut self, id: ConnId, reply: Reply, error: RouteError) {
        self.refuse(error.reason());
        let status = Status::from_code(error.status()).unwrap_or(Status::BadRequest);
        self.count_answer(report::Asked::Unknown, status);
        self.say(id, |out, cx| {
            let mut head = http::begin(out, cx, reply, status);
            if let RouteError::MethodNotAllowed { allow } = error {
                head = head.field("Allow", allow.as_bytes());
            }
            http::finish_problem(head, reply, status, &error.to_string());
        });
        self.after_answer(id, reply);
    }
}

/// What a connection that asks for this is counted as.
fn transport_of(endpoint: &Endpoint) -> Transport {
    match endpoint {
        Endpoint::Current { .. } | Endpoint::Snapshot { .. } => Transport::ShortPoll,
        Endpoint::LongPoll { .. } => Transport::LongPoll,
        Endpoint::Sse { .. } | Endpoint::SseOneShot => Transport::Sse,
        Endpoint::WebSocket { .. } | Endpoint::Echo => Transport::WebSocket,
        Endpoint::Stomp => Transport::Stomp,
        Endpoint::Publish { .. }
        | Endpoint::Metrics
        | Endpoint::Healthz
        | Endpoint::Readyz
        | Endpoint::Page
        | Endpoint::OpenApi
        | Endpoint::AsyncApi
        | Endpoint::Options { .. } => Transport::Http,
    }
}

/// Whether it is answered even when every place is taken.
fn is_probe(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Healthz | Endpoint::Readyz | Endpoint::Metrics)
}

/// Whether the page that sends this may not.
fn is_forbidden(endpoint: &Endpoint, request: &Request) -> bool {
    let foreign = request.reply.origin == Verdict::Foreign;
    match endpoint {
        Endpoint::Publish { .. } | Endpoint::WebSocket { .. } | Endpoint::Stomp | Endpoint::Echo => foreign,
        Endpoint::SseOneShot => {
            request.cross_site && !matches!(request.reply.origin, Verdict::Listed(_) | Verdict::Any)
        }
        Endpoint::Current { .. }
        | Endpoint::Snapshot { .. }
        | Endpoint::LongPoll { .. }
        | Endpoint::Sse { .. }
        | Endpoint::Metrics
        | Endpoint::Healthz
        | Endpoint::Readyz
        | Endpoint::Page
        | Endpoint::OpenApi
        | Endpoint::AsyncApi
        | Endpoint::Options { .. } => false,
    }
}
