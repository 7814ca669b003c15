//! Long polls: park until the next update, the deadline or the drain, whichever comes first.

use std::time::Duration;

use crate::hub::GroupKey;
use crate::hub::group::Cursor;
use crate::ids::{ConnId, GroupId, Seq, Transport};
use crate::location::Update;
use crate::report::{self, Reason};
use crate::session::http::Reply;
use crate::session::long_poll;
use crate::shard::Shard;
use crate::shard::conns::{About, Asked, Interest, Place, Poll, Speaks, Start};
use crate::shard::interest::{Errand, POLLS};
use crate::shard::mail::{Presence, Question, Refused};
use crate::wire::http::response::Status;
use crate::wire::json;

const KIND: report::Asked = report::Asked::LongPoll;

impl Shard {
    pub(super) fn on_long_poll(
        &mut self,
        id: ConnId,
        group: GroupId,
        since: Option<Seq>,
        timeout: Duration,
        reply: Reply,
        speaks: Option<Box<Speaks>>,
    ) {
        if reply.head_only {
            return self.ask(id, group, Question::Newest, Asked { reply, about: About::Cursor });
        }
        if self.env.draining {
            return self.answer_refused_park(id, KIND, reply, Reason::Draining, "the server is draining");
        }
        let entered = match self.enter(group, since) {
            Ok(entered) => entered,
            Err(refused) => {
                return self.answer_refused_park(id, KIND, reply, refused.reason(), &refused.to_string());
            }
        };
        let place = match entered {
            Some(_) => Place::NOWHERE,
            None => self.send_for(group, id, Errand::Poll { since }),
        };
        let start = Start::new(Cursor::at(since.unwrap_or(Seq::ZERO)));
        self.set_interest(id, Interest::Poll(Poll { place, start, reply, speaks }));
        self.set_deadline(id, timeout);
        if let Some(key) = entered {
            self.park(id, key, since, self.hub.group(key).cursor());
            if timeout.is_zero() {
                // It never parks, so that no end of input is taken for its peer's having gone.
                self.end_poll(id);
            }
        }
    }

    /// The group is here: answers at once with what the client is owed already, else parks. Without a cursor it is owed
    /// what comes after `newest`, which a mirror may be behind.
    pub(super) fn park(&mut self, id: ConnId, key: GroupKey, since: Option<Seq>, newest: Seq) {
        let group = self.hub.group(key);
        let mut cursor = group.start(since, newest);
        let start = Start::new(cursor);
        if let Some(owed) = group.next_owed(&mut cursor) {
            let (update, gap) = (owed.update.clone(), owed.gap);
            return self.answer_poll(id, &update, gap);
        }
        let position = self.wait_in(id, 0, key, POLLS, newest);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let overdue = conn.alarm.is_none();
        let Interest::Poll(poll) = &mut conn.interest else { return };
        poll.place = Place::Here { key, position };
        poll.start = start;
        if let Some(speaks) = poll.speaks.as_deref().cloned() {
            self.note_presence(speaks.group, &speaks.member, Presence::Parked);
        }
        // Its deadline came while the group was on its way.
        if overdue {
            self.end_poll(id);
        }
    }

    /// Ends a wait with an update.
    pub(super) fn answer_poll(&mut self, id: ConnId, update: &Update, gap: bool) {
        let Some(reply) = self.end_wait(id) else { return };
        self.json.clear();
        json::encode_update(&mut self.json, update, gap);
        let cx = self.env.context(self.id, id);
        long_poll::encode_update(&mut self.reply, &cx, reply, update.seq, &self.json);
        self.push_reply(id);
        self.count_answer(KIND, Status::Ok);
        self.count_poll_delivery(update, self.json.len());
        self.after_answer(id, reply);
    }

    /// The update went out as the shared answer to a plain request.
    pub(super) fn note_poll_answered(&mut self, id: ConnId) {
        let Some(reply) = self.end_wait(id) else { return };
        self.count_answer(KIND, Status::Ok);
        self.after_answer(id, reply);
    }

    /// A wait has come to its deadline, or the server drains: 204, unless an update has come this very turn.
    pub(super) fn end_poll(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let Interest::Poll(poll) = &conn.interest else { return };
        let mut cursor = poll.start.cursor();
        // Before the group is here nobody knows the cursor to poll with next: it is answered when it comes.
        let Place::Here { key, .. } = poll.place else { return };
        let group = self.hub.group(key);
        if let Some(update) = group.next_untold(&cursor).cloned() {
            return self.answer_poll(id, &update, false);
        }
        if let Some(owed) = group.next_owed(&mut cursor) {
            let (update, gap) = (owed.update.clone(), owed.gap);
            return self.answer_poll(id, &update, gap);
        }
        // A gap that could not be told with an update stays due: a cursor from before the group says so once more. Whoever
        // waits for what its mirror has not heard of yet is led no further back.
        let next = match cursor {
            Cursor { gap: true, .. } => Cursor::before(group.made_at(), false).after,
            Cursor { after, .. } => after.max(group.cursor()),
        };
        let Some(reply) = self.end_wait(id) else { return };
        self.count_answer(KIND, Status::NoContent);
        self.say(id, |out, cx| long_poll::encode_nothing(out, cx, reply, next));
        self.after_answer(id, reply);
    }

    /// The group that a poll waits for cannot be had.
    pub(super) fn refuse_poll(&mut self, id: ConnId, refused: Refused) {
        let Some(reply) = self.end_wait(id) else { return };
        self.answer_unavailable(id, KIND, reply, refused.reason(), &refused.to_string());
    }

    /// Takes a poll out of its group's waiters; how it is to be answered.
    fn end_wait(&mut self, id: ConnId) -> Option<Reply> {
        let Interest::Poll(poll) = &self.conns.get(id)?.interest else { return None };
        let reply = poll.reply;
        self.part(id);
        Some(self.reply_now(reply))
    }

    fn count_poll_delivery(&mut self, update: &Update, payload_bytes: usize) {
        let transport = Transport::LongPoll as usize;
        self.report.delivered[transport] += 1;
        self.report.payload_bytes[transport].sent += payload_bytes as u64;
        let stale = self.written_micros.saturating_sub(update.numbered_micros);
        self.report.staleness[transport].observe(stale, 1);
    }
}
