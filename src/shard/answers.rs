//! What is said to a connection, and what that does to it: answers to requests, receipts, refusals, last words.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::hub::group::{Published, Refusal};
use crate::ids::{ConnId, GroupId, Seq, Transport};
use crate::limits::EVENTS_PER_TURN_MAX;
use crate::location::Update;
use crate::page::PAGE;
use crate::report::{self, Reason};
use crate::session::http::{self, Reply};
use crate::session::{Context, Session, long_poll, sse};
use crate::shard::conns::{About, Asked, Conn, Input, Interest};
use crate::shard::mail::{Answer, Outcome, Question, Refused};
use crate::shard::out_queue::{KEPT_BYTES, OutQueue};
use crate::shard::ready::Ready;
use crate::shard::{Command, Shard};
use crate::wire::http::response::Status;
use crate::wire::json;

/// What updates, snapshots and descriptions are.
pub(super) const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

impl Shard {
    /// Writes something that goes before any update.
    pub(super) fn say(&mut self, id: ConnId, write: impl FnOnce(&mut Vec<u8>, &Context<'_>)) {
        write(&mut self.reply, &self.env.context(self.id, id));
        self.push_reply(id);
    }

    /// Queues what lies in `reply`, if anything does.
    pub(super) fn push_reply(&mut self, id: ConnId) {
        if self.reply.is_empty() {
            return;
        }
        let mut reply = mem::take(&mut self.reply);
        self.push(id, &reply);
        reply.clear();
        reply.shrink_to(64 * 1024);
        self.reply = reply;
    }

    /// Queues whole frames or answers.
    fn push(&mut self, id: ConnId, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(id) {
            let out = queue_of(conn, &mut self.pool);
            out.push_control(bytes);
            if out.must_be_listed() {
                self.dirty.push_back(id);
            }
        }
        self.said_bytes += bytes.len();
        if bytes.len() > KEPT_BYTES { self.count_held(id) } else { self.note_held(id) }
    }

    /// Has a connection flushed at the end of the turn.
    pub(super) fn mark_dirty(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if queue_of(conn, &mut self.pool).must_be_listed() {
            self.dirty.push_back(id);
        }
    }

    /// Takes back a queue that has been emptied.
    pub(super) fn release(&mut self, mut out: Box<OutQueue>) {
        if self.pool.len() < EVENTS_PER_TURN_MAX {
            out.recycle();
            self.pool.push(out);
        }
    }

    /// Counts a connection as another kind from now on.
    pub(super) fn set_transport(&mut self, id: ConnId, transport: Transport) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.counted_as.change(transport) {
            self.report.connections_total[transport as usize] += 1;
        }
    }

    /// Has a connection speak something else from now on; HTTP's deadlines end with HTTP.
    pub(super) fn become_session(&mut self, id: ConnId, session: Session) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.session = session;
        }
        self.clear_deadline(id);
    }

    /// Has a connection wait for something; false if it is gone.
    pub(super) fn set_interest(&mut self, id: ConnId, interest: Interest) -> bool {
        let Some(conn) = self.conns.get_mut(id) else { return false };
        conn.interest = interest;
        self.clear_deadline(id);
        true
    }

    pub(super) fn count_answer(&mut self, kind: report::Asked, status: Status) {
        self.report.requests[kind as usize][status.class_index()] += 1;
    }

    /// An answer is queued: the connection goes on to the next request, or closes.
    pub(super) fn after_answer(&mut self, id: ConnId, reply: Reply) {
        if reply.keep_alive {
            self.set_deadline(id, self.env.limits.idle_timeout);
            self.plan_goodbye(id);
            self.resume_later(id);
        } else {
            self.close_when_written(id);
        }
    }

    /// The connection closes, in stages, once all that it is owed is written, however long its peer takes to read that.
    pub(super) fn close_when_written(&mut self, id: ConnId) {
        self.clear_deadline(id);
        self.mark_dirty(id);
        if let Some(out) = self.conns.get_mut(id).and_then(|conn| conn.out.as_mut()) {
            out.closes = true;
        }
    }

    /// The peer has said that it closes, and our answer goes out next: with that the connection is over on both sides, and
    /// closes at once (RFC 6455, section 7.1.1).
    pub(super) fn close_answered(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.flags.input = Input::Ended;
        }
        self.close_with_last_word(id);
    }

    /// The connection's last word, whole frames at the end of what was said last, goes out next; everything else that
    /// it was owed is dropped, and it closes.
    pub(super) fn close_with_last_word(&mut self, id: ConnId) {
        self.part(id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Some(out) = conn.out.as_mut() {
            out.set_farewell(b"");
        }
        match conn.session {
            // What pipelined requests were answered before stays owed.
            Session::Http(_) | Session::Closing { .. } => {}
            Session::Sse | Session::WebSocket(_) | Session::Echo(_) | Session::Stomp(_) => {
                if let Some(out) = conn.out.as_mut() {
                    out.drop_owed(|_| true);
                }
            }
        }
        self.close_when_written(id);
        self.note_held(id);
    }

    /// What a group at home here looks like; looking neither makes nor keeps one.
    pub(super) fn answer_question(&self, group: GroupId, question: Question) -> Answer {
        let group = self.hub.find(group).map(|key| self.hub.group(key));
        match question {
            Question::Newest => Answer::Newest {
                update: group.and_then(|group| group.newest_present().cloned()),
                ever: group.is_some_and(|group| group.has_history_of_updates()),
                cursor: group.map_or(Seq::ZERO, |group| group.cursor()),
            },
            Question::Snapshot => Answer::Snapshot {
                seq: group.map_or(Seq::ZERO, |group| group.cursor()),
                updates: group.map(|group| group.snapshot().cloned().collect()).unwrap_or_default(),
            },
        }
    }

    /// Writes what a group's home said about it.
    pub(super) fn answer_asked(&mut self, id: ConnId, asked: Asked, answer: Answer) {
        let reply = self.reply_now(asked.reply);
        match (asked.about, answer) {
            (About::Newest { if_none_match }, Answer::Newest { update: Some(update), .. }) => {
                self.answer_newest(id, reply, &update, if_none_match.names(update.seq));
            }
            (About::Newest { .. }, Answer::Newest { update: None, ever, .. }) => {
                self.answer_nobody(id, reply, ever);
            }
            (About::Cursor, Answer::Newest { cursor, .. }) => {
                self.count_answer(report::Asked::LongPoll, Status::Ok);
                self.say(id, |out, cx| long_poll::encode_head(out, cx, reply, cursor));
                self.after_answer(id, reply);
            }
            // Many may have asked another shard before the first of them held anything.
            (About::Snapshot { .. }, Answer::Snapshot { .. }) if self.held.is_scarce() => {
                self.refuse_snapshot(id, reply);
            }
            (About::Snapshot { group }, Answer::Snapshot { seq, updates }) => {
                self.json.clear();
                let updates = updates.iter().map(|update| &**update);
                let payload_bytes = json::encode_snapshot(&mut self.json, group, seq, updates);
                self.answer_json(id, report::Asked::Snapshot, reply, payload_bytes);
            }
            (_, Answer::Newest { .. } | Answer::Snapshot { .. }) => {
                debug_assert!(false, "an answer to another question");
            }
        }
    }

    /// A snapshot is long, and too much is held to write one more.
    pub(super) fn refuse_snapshot(&mut self, id: ConnId, reply: Reply) {
        let detail = format!("the server holds 90 % of its {} bytes and writes no snapshot", self.held.max());
        self.answer_unavailable(id, report::Asked::Snapshot, reply, Reason::HeldMax, &detail);
    }

    fn answer_newest(&mut self, id: ConnId, reply: Reply, update: &Arc<Update>, matches: bool) {
        let kind = report::Asked::Current;
        if matches {
            self.count_answer(kind, Status::NotModified);
            self.say(id, |out, cx| {
                let head = http::begin(out, cx, reply, Status::NotModified).etag(update.seq);
                head.field("Cache-Control", b"no-cache").finish();
            });
        } else {
            self.count_answer(kind, Status::Ok);
            let is_shared = reply.is_plain();
            let mut ready = if is_shared { self.ready.take(update) } else { Ready::default() };
            if ready.bytes.is_empty() {
                self.encode_json(update);
                let cx = self.env.context(self.id, id);
                let head = http::begin(&mut ready.bytes, &cx, reply, Status::Ok).etag(update.seq);
                http::finish(head.field("Cache-Control", b"no-cache"), reply, JSON, &self.json);
                ready.content_bytes = self.json.len();
            }
            self.count_payload_sent(id, reply, ready.content_bytes);
            self.push(id, &ready.bytes);
            if is_shared {
                self.ready.put_back(update, ready);
            }
        }
        self.after_answer(id, reply);
    }

    /// A short poll of a group in which nobody is present.
    fn answer_nobody(&mut self, id: ConnId, reply: Reply, ever: bool) {
        if ever || !self.env.policy.simulate {
            return self.answer_empty(id, report::Asked::Current, reply, Status::NoContent);
        }
        let made_up = self.random.simulate();
        let update = Update {
            seq: Seq::ZERO,
            member: None,
            change: made_up.change,
            at: self.env.now.unix,
            at_was_sent: false,
            numbered_micros: self.env.now.micros,
        };
        self.encode_json(&update);
        self.answer_json(id, report::Asked::Current, reply, self.json.len());
    }

    /// Answers with the JSON that was encoded last, which nobody may keep and so much of which is updates.
    fn answer_json(&mut self, id: ConnId, kind: report::Asked, reply: Reply, payload_bytes: usize) {
        self.count_answer(kind, Status::Ok);
        self.count_payload_sent(id, reply, payload_bytes);
        let cx = self.env.context(self.id, id);
        let head = http::begin(&mut self.reply, &cx, reply, Status::Ok).field("Cache-Control", b"no-store");
        http::finish(head, reply, JSON, &self.json);
        self.push_reply(id);
        self.after_answer(id, reply);
    }

    /// Writes what became of a publish over HTTP.
    pub(super) fn answer_published(&mut self, id: ConnId, asked: Asked, outcome: Outcome) {
        let reply = self.reply_now(asked.reply);
        let kind = match asked.about {
            About::OneShot => report::Asked::SseOneShot,
            About::Publish
            | About::Newest { .. }
            | About::Cursor
            | About::Snapshot { .. }
            | About::Scrape => report::Asked::Publish,
        };
        match outcome {
            Ok(Published::Numbered(update)) => {
                self.encode_json(&update);
                if kind == report::Asked::SseOneShot {
                    let mut event = Vec::with_capacity(256);
                    sse::encode_update(&mut event, update.seq, &self.json);
                    self.count_payload_sent(id, reply, self.json.len());
                    return self.answer_content(id, kind, reply, EVENT_STREAM, &event);
                }
                self.answer_json(id, kind, reply, self.json.len());
            }
            Ok(Published::NothingLeft) => self.answer_empty(id, kind, reply, Status::NoContent),
            Err(refused @ Refused::Publish(Refusal::Stale { .. })) => {
                self.refuse(refused.reason());
                self.answer_problem(id, kind, reply, Status::Conflict, &refused.to_string());
            }
            Err(refused) => {
                self.answer_unavailable(id, kind, reply, refused.reason(), &refused.to_string());
            }
        }
    }

    /// Says what became of a location that came over WebSocket or STOMP.
    pub(super) fn answer_said(&mut self, id: ConnId, outcome: Outcome, receipt: Option<&str>) {
        if self.has_said_last_word(id) {
            return;
        }
        match outcome {
            Ok(Published::Numbered(_) | Published::NothingLeft) => self.give_receipt(id, receipt),
            Err(refused @ Refused::Publish(Refusal::Stale { .. })) => {
                self.refuse(refused.reason());
                self.give_receipt(id, receipt);
            }
            Err(refused) => self.refuse_said(id, refused, receipt),
        }
    }

    fn refuse_said(&mut self, id: ConnId, refused: Refused, receipt: Option<&str>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if matches!(conn.session, Session::Stomp(_)) {
            return self.fail_stomp(id, refused, receipt);
        }
        conn.session.encode_error(&mut self.reply, "refused", &refused.to_string());
        self.push_reply(id);
        self.refuse(refused.reason());
    }

    /// Says that what came over WebSocket or STOMP is no location.
    pub(super) fn answer_bad_publish(&mut self, id: ConnId, detail: &str, receipt: Option<&str>) {
        self.refuse(Reason::BadPublish);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Session::Stomp(stomp) = &conn.session {
            stomp.encode_error(&mut self.reply, "not a location", detail, receipt);
            self.push_reply(id);
            self.close_with_last_word(id);
        } else {
            conn.session.encode_error(&mut self.reply, "not a location", detail);
            self.push_reply(id);
        }
    }

    /// Whether a Close or an ERROR is on its way, behind which nothing may come. A drain's goodbye is not: it comes last
    /// whatever comes before.
    pub(super) fn has_said_last_word(&self, id: ConnId) -> bool {
        let out = self.conns.get(id).and_then(|conn| conn.out.as_ref());
        out.is_some_and(|out| out.closes && out.farewell().is_empty())
    }

    /// Ends a STOMP connection whose wish was refused.
    pub(super) fn fail_stomp(&mut self, id: ConnId, refused: Refused, receipt: Option<&str>) {
        self.refuse(refused.reason());
        let Some(conn) = self.conns.get(id) else { return };
        if let Session::Stomp(stomp) = &conn.session {
            stomp.encode_error(&mut self.reply, "refused", &refused.to_string(), receipt);
            self.push_reply(id);
        }
        self.close_with_last_word(id);
    }

    /// Writes a receipt, if one was asked for.
    pub(super) fn give_receipt(&mut self, id: ConnId, receipt: Option<&str>) {
        if self.has_said_last_word(id) {
            return;
        }
        if let Some(Session::Stomp(stomp)) = self.conns.get(id).map(|conn| &conn.session) {
            stomp.give_receipt(&mut self.reply, receipt);
            self.push_reply(id);
        }
    }

    /// A request that would have parked may not: 503, but to an event source the end of a stream, for a 503 would end
    /// it for good.
    pub(super) fn answer_refused_park(
        &mut self,
        id: ConnId,
        kind: report::Asked,
        reply: Reply,
        reason: Reason,
        detail: &str,
    ) {
        if kind != report::Asked::Sse {
            return self.answer_unavailable(id, kind, reply, reason, detail);
        }
        self.refuse(reason);
        self.count_answer(kind, Status::Ok);
        let retry = self.random.jitter(sse::RETRY.max(self.drain_left()), sse::RETRY * 2);
        self.say(id, |out, cx| {
            sse::encode_head(out, cx, reply);
            sse::encode_retry(out, retry);
        });
        self.close_when_written(id);
    }

    /// 503 with a time to come back that differs from client to client.
    pub(super) fn answer_unavailable(
        &mut self,
        id: ConnId,
        kind: report::Asked,
        mut reply: Reply,
        reason: Reason,
        detail: &str,
    ) {
        self.refuse(reason);
        if reason == Reason::ConnectionsMax {
            reply.keep_alive = false;
        }
        let wait = self.random.jitter(Duration::from_secs(1), Duration::from_secs(5)).as_secs();
        self.count_answer(kind, Status::ServiceUnavailable);
        self.say(id, |out, cx| {
            let head =
                http::begin(out, cx, reply, Status::ServiceUnavailable).field_number("Retry-After", wait);
            http::finish_problem(head, reply, Status::ServiceUnavailable, detail);
        });
        self.after_answer(id, reply);
    }

    pub(super) fn answer_problem(
        &mut self,
        id: ConnId,
        kind: report::Asked,
        reply: Reply,
        status: Status,
        detail: &str,
    ) {
        self.count_answer(kind, status);
        self.say(id, |out, cx| http::encode_problem(out, cx, reply, status, detail));
        self.after_answer(id, reply);
    }

    pub(super) fn answer_empty(&mut self, id: ConnId, kind: report::Asked, reply: Reply, status: Status) {
        self.count_answer(kind, status);
        self.say(id, |out, cx| {
            http::begin(out, cx, reply, status).field("Cache-Control", b"no-store").finish()
        });
        self.after_answer(id, reply);
    }

    pub(super) fn answer_text(
        &mut self,
        id: ConnId,
        kind: report::Asked,
        reply: Reply,
        status: Status,
        text: &str,
    ) {
        self.count_answer(kind, status);
        self.say(id, |out, cx| {
            let head = http::begin(out, cx, reply, status).field("Cache-Control", b"no-store");
            http::finish(head, reply, "text/plain; charset=utf-8", text.as_bytes());
        });
        self.after_answer(id, reply);
    }

    pub(super) fn answer_content(
        &mut self,
        id: ConnId,
        kind: report::Asked,
        reply: Reply,
        content_type: &str,
        content: &[u8],
    ) {
        self.count_answer(kind, Status::Ok);
        self.say(id, |out, cx| {
            let head = http::begin(out, cx, reply, Status::Ok).field("Cache-Control", b"no-store");
            http::finish(head, reply, content_type, content);
        });
        self.after_answer(id, reply);
    }

    /// The live page. No other page may frame it, for a click into a frame that nobody sees would publish in the visitor's
    /// name (CSP 3, section 6.4.2).
    pub(super) fn answer_page(&mut self, id: ConnId, kind: report::Asked, reply: Reply) {
        self.count_answer(kind, Status::Ok);
        self.say(id, |out, cx| {
            let head = http::begin(out, cx, reply, Status::Ok)
                .field("Cache-Control", b"no-store")
                .field("Content-Security-Policy", b"frame-ancestors 'none'");
            http::finish(head, reply, "text/html; charset=utf-8", PAGE);
        });
        self.after_answer(id, reply);
    }

    /// What may be done at an address; to a preflight of an allowed origin also what a page may send.
    pub(super) fn answer_options(
        &mut self,
        id: ConnId,
        kind: report::Asked,
        reply: Reply,
        allow: &str,
        preflight: bool,
    ) {
        self.count_answer(kind, Status::NoContent);
        self.say(id, |out, cx| {
            let allows = cx.policy.origins.allow_value(reply.origin).is_some();
            let mut head = http::begin(out, cx, reply, Status::NoContent).field("Allow", allow.as_bytes());
            if preflight && allows {
                head = head
                    .field("Access-Control-Allow-Methods", allow.as_bytes())
                    .field("Access-Control-Allow-Headers", b"Content-Type, Last-Event-ID, If-None-Match")
                    .field("Access-Control-Max-Age", b"600");
            }
            head.finish();
        });
        self.after_answer(id, reply);
    }

    /// The counts of all shards have been gathered and rendered.
    pub fn handle_scraped(&mut self, id: ConnId, content_type: &str, text: &[u8]) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Interest::Asked(Asked { reply, about: About::Scrape }) = conn.interest else { return };
        conn.interest = Interest::None;
        let reply = self.reply_now(reply);
        self.answer_content(id, report::Asked::Metrics, reply, content_type, text);
    }

    /// How a request is to be answered by now: a drain that has begun since ends its connection.
    pub(super) fn reply_now(&self, reply: Reply) -> Reply {
        Reply { keep_alive: reply.keep_alive && !self.env.draining, ..reply }
    }

    pub(super) fn encode_json(&mut self, update: &Update) {
        self.json.clear();
        json::encode_update(&mut self.json, update, false);
    }

    /// Counts updates in an answer, as what the connection's bytes on the wire are counted as; a HEAD is sent none of them.
    fn count_payload_sent(&mut self, id: ConnId, reply: Reply, bytes: usize) {
        let Some(conn) = self.conns.get(id).filter(|_| !reply.head_only) else { return };
        self.report.payload_bytes[conn.transport() as usize].sent += bytes as u64;
    }

    /// Forgets a connection after it has left all groups; what its socket needs is the caller's to say.
    pub(super) fn forget(&mut self, id: ConnId) -> Option<Conn> {
        self.part(id);
        self.give_back_held(id);
        let conn = self.conns.remove(id)?;
        if let Some(alarm) = conn.alarm {
            self.alarms.cancel(alarm);
        }
        Some(conn)
    }

    /// Has a connection closed as soon as nothing is being iterated.
    pub(super) fn kill(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if !mem::replace(&mut conn.flags.dead, true) {
            self.dying.push(id);
        }
    }

    /// Closes one connection that is beyond use; false if there is none.
    pub(super) fn bury(&mut self) -> bool {
        let Some(id) = self.dying.pop() else { return false };
        if let Some(mut conn) = self.forget(id) {
            if let Some(out) = conn.out.take() {
                self.release(out);
            }
            self.commands.push_back(Command::Close(id));
        }
        true
    }
}

/// What a connection is owed, from now on in a queue of its own.
#[expect(clippy::vec_box, reason = "the pool's boxes become the connections'")]
pub(super) fn queue_of<'a>(conn: &'a mut Conn, pool: &mut Vec<Box<OutQueue>>) -> &'a mut OutQueue {
    conn.out.get_or_insert_with(|| pool.pop().unwrap_or_default())
}
