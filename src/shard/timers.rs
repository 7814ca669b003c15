//! What happens on its own: deadlines of single connections, rounds of keep-alives over all of them, the drain.

use std::time::Duration;

use crate::clock::Tick;
use crate::hub::GroupKey;
use crate::ids::ConnId;
use crate::limits::{PING_EVERY, SSE_COMMENT_EVERY};
use crate::report::{self, Reason};
use crate::session::http::{self, Awaits, Reply};
use crate::session::{Session, sse, stomp, websocket};
use crate::shard::Shard;
use crate::shard::conns::{Interest, PastTick};
use crate::wire::http::response::Status;

/// What an alarm of the wheel is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alarm {
    /// The deadline of the connection in this slot: it is cancelled when that goes.
    Conn(u32),
    /// The next batch of slots is pinged.
    Ping,
    /// The next batch of slots gets its comment.
    Comment,
    /// A mirror has lingered.
    Mirror(GroupKey),
}

/// A drain that is going on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    began: Tick,
    window: Duration,
    /// Decides who is told when.
    salt: u32,
}

/// A round over all slots, a batch of them at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    next: u32,
    /// Its alarm is set.
    goes_on: bool,
}

impl Round {
    /// The slots whose turn it is; `None` when nobody is there, and the round ends.
    fn next_batch(
        &mut self,
        slots_end: u32,
        connections: usize,
    ) -> Option<impl Iterator<Item = u32> + use<>> {
        self.goes_on = connections > 0;
        let batch = self.next;
        self.next = (batch + 1) % BATCHES;
        self.goes_on.then(|| (batch..slots_end).step_by(BATCHES as usize))
    }
}

/// How many batches a round of keep-alives is spread over, so that no turn does them all.
const BATCHES: u32 = 25;

/// The part of the drain window over which clients are told.
const DRAIN_SPREAD: f64 = 0.8;

impl Shard {
    /// Time has passed.
    pub fn handle_timeout(&mut self) {
        let now = self.env.now;
        self.make_long_answers();
        if !self.congested {
            self.hub.handle_timeout(&now);
        }
        while let Some(alarm) = self.alarms.poll_expired(now.tick) {
            match alarm {
                Alarm::Conn(slot) => self.handle_alarm(slot),
                Alarm::Ping => self.ping_batch(),
                Alarm::Comment => self.comment_batch(),
                Alarm::Mirror(key) => self.drop_idle_mirror(key),
            }
        }
    }

    /// Something must happen to a connection after `wait`, unless another deadline takes this one's place.
    pub(super) fn set_deadline(&mut self, id: ConnId, wait: Duration) {
        let deadline = self.env.now.tick.after(wait);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if !conn.alarm.is_some_and(|alarm| self.alarms.set_deadline(alarm, deadline)) {
            conn.alarm = Some(self.alarms.insert(deadline, Alarm::Conn(id.slot)));
        }
    }

    /// Nothing need happen to a connection on its own. Its alarm goes too: a parked connection would pay for it in memory.
    pub(super) fn clear_deadline(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Some(alarm) = conn.alarm.take() {
            self.alarms.cancel(alarm);
        }
    }

    fn handle_alarm(&mut self, slot: u32) {
        let Some((id, conn)) = self.conns.at_mut(slot) else { return };
        conn.alarm = None;
        self.handle_deadline(id);
    }

    fn handle_deadline(&mut self, id: ConnId) {
        if self.goodbye_of(id).is_some_and(|goodbye| goodbye <= self.env.now.tick) {
            return self.tell_drain(id);
        }
        let Some(conn) = self.conns.get(id) else { return };
        let unread = conn.unread.as_ref().map_or(&[][..], |unread| &unread.bytes);
        match (&conn.session, &conn.interest) {
            (Session::Http(_), Interest::Poll(_)) => self.end_poll(id),
            (Session::Http(http), Interest::None) if conn.flags.surplus => {
                let reply = http.reply_to_part(unread);
                let detail = "every place is taken";
                self.answer_unavailable(id, report::Asked::Unknown, reply, Reason::ConnectionsMax, detail);
            }
            (Session::Http(http), Interest::None) => match http.awaits() {
                Awaits::Request => self.kill(id),
                Awaits::Head => {
                    let detail = "the head took longer than --head-timeout";
                    self.time_out(id, http.reply_to_part(unread), Reason::HeadTimeout, detail);
                }
                Awaits::Body => {
                    let detail = "the body took longer than --body-timeout";
                    self.time_out(id, http.reply_to_part(unread), Reason::BodyTimeout, detail);
                }
            },
            (Session::Stomp(session), _) if !session.is_connected() => {
                let detail = "no CONNECT came within --connect-timeout";
                session.encode_error(&mut self.reply, "connect timeout", detail, None);
                self.push_reply(id);
                self.refuse(Reason::ConnectTimeout);
                self.close_with_last_word(id);
            }
            (Session::Stomp(_), _) => self.beat(id),
            (Session::Closing { .. }, _) => self.kill(id),
            (Session::Http(_) | Session::Sse | Session::WebSocket(_) | Session::Echo(_), _) => {}
        }
    }

    fn time_out(&mut self, id: ConnId, reply: Reply, reason: Reason, detail: &str) {
        self.refuse(reason);
        self.count_answer(report::Asked::Unknown, Status::RequestTimeout);
        self.say(id, |out, cx| http::encode_problem(out, cx, reply, Status::RequestTimeout, detail));
        self.close_when_written(id);
    }

    /// A STOMP heart-beat is due, one way or the other.
    fn beat(&mut self, id: ConnId) {
        let now = self.env.now.tick;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Session::Stomp(session) = &conn.session else { return };
        let Interest::Feeds(feeds) = &mut conn.interest else { return };
        if feeds.heart_beat.silence_max().is_some_and(|max| conn.heard.age(now) >= max) {
            let detail = "the heart-beats that CONNECT promised stayed away for twice their time";
            session.encode_error(&mut self.reply, "no heart-beat", detail, None);
            self.push_reply(id);
            self.refuse(Reason::PeerTimeout);
            return self.close_with_last_word(id);
        }
        if feeds.heart_beat.send_every().is_some_and(|every| feeds.beaten.age(now) >= every) {
            feeds.beaten = PastTick::new(now);
            // While the socket takes nothing, one beat that waits is as good as two.
            if conn.out.as_ref().is_none_or(|out| !out.blocked || out.control().is_empty()) {
                self.say(id, |out, _| stomp::encode_heart_beat(out));
            }
        }
        self.plan_heart_beat(id);
    }

    /// Sets a STOMP connection's deadline for the next heart-beat that is to go, or to have come.
    pub(super) fn plan_heart_beat(&mut self, id: ConnId) {
        let now = self.env.now.tick;
        let Some(conn) = self.conns.get(id) else { return };
        let Interest::Feeds(feeds) = &conn.interest else { return };
        let heart_beat = feeds.heart_beat;
        let silent_in = heart_beat.silence_max().map(|max| max.saturating_sub(conn.heard.age(now)));
        let beat_in = heart_beat.send_every().map(|every| every.saturating_sub(feeds.beaten.age(now)));
        if let Some(wait) = silent_in.into_iter().chain(beat_in).min() {
            self.set_deadline(id, wait);
        }
        self.plan_goodbye(id);
    }

    /// Begins the rounds of keep-alives that are not going on; each ends when nobody is left.
    pub(super) fn start_rounds(&mut self) {
        if !std::mem::replace(&mut self.pings.goes_on, true) {
            self.set_round_alarm(self.ping_every(), Alarm::Ping);
        }
        if !std::mem::replace(&mut self.comments.goes_on, true) {
            self.set_round_alarm(SSE_COMMENT_EVERY, Alarm::Comment);
        }
    }

    fn set_round_alarm(&mut self, round: Duration, alarm: Alarm) {
        self.alarms.insert(self.env.now.tick.after(round / BATCHES), alarm);
    }

    /// Pings come often enough that a live peer is never silent for `--peer-timeout`.
    fn ping_every(&self) -> Duration {
        PING_EVERY.min(self.env.limits.peer_timeout * 5 / 18)
    }

    /// Pings one batch of WebSockets, and closes those that have been silent for too long.
    fn ping_batch(&mut self) {
        let now = self.env.now.tick;
        let slots = self.conns.slots_end();
        let Some(batch) = self.pings.next_batch(slots, self.conns.len()) else { return };
        self.set_round_alarm(self.ping_every(), Alarm::Ping);
        let peer_timeout = self.env.limits.peer_timeout;
        for slot in batch {
            let Some((id, conn)) = self.conns.at_mut(slot) else { continue };
            if !matches!(conn.session, Session::WebSocket(_) | Session::Echo(_) | Session::Stomp(_)) {
                continue;
            }
            if conn.heard.age(now) >= peer_timeout {
                self.refuse(Reason::PeerTimeout);
                self.kill(id);
            } else if conn.out.as_ref().is_none_or(|out| out.control().is_empty() && !out.closes) {
                // A ping that still waits says the same as a second one.
                self.say(id, |out, _| websocket::encode_ping(out));
            }
        }
    }

    /// Sends a comment to one batch of event streams.
    fn comment_batch(&mut self) {
        let slots = self.conns.slots_end();
        let Some(batch) = self.comments.next_batch(slots, self.conns.len()) else { return };
        self.set_round_alarm(SSE_COMMENT_EVERY, Alarm::Comment);
        for slot in batch {
            let Some((id, conn)) = self.conns.at_mut(slot) else { continue };
            let quiet = conn.out.as_ref().is_none_or(|out| out.control().is_empty() && !out.closes);
            if matches!(conn.session, Session::Sse) && quiet {
                self.say(id, |out, _| sse::encode_comment(out));
            }
        }
    }

    /// The server is going down: everyone is told in random order over the first part of the window.
    pub fn handle_drain(&mut self, window: Duration) {
        self.env.draining = true;
        // Odd, so that neighbours are told at far times.
        let salt = self.random.number() | 1;
        self.drain = Some(Drain { began: self.env.now.tick, window, salt });
        let ids: Vec<ConnId> = self.conns.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.plan_goodbye(id);
        }
    }

    /// When a connection is told that the server is going down; `None` if it is not, or hears of it in another way: what is
    /// in the middle of a request is answered with `Connection: close`, what is closing needs no more words.
    ///
    /// Each connection has a time of its own in the first part of the window, which follows from its name: its other
    /// deadlines may come and go before it.
    fn goodbye_of(&self, id: ConnId) -> Option<Tick> {
        let drain = self.drain?;
        let conn = self.conns.get(id)?;
        let hears_otherwise = match (&conn.session, &conn.interest) {
            (Session::Closing { .. }, _) | (_, Interest::Asked(_) | Interest::Opening { .. }) => true,
            (Session::Http(http), Interest::None) => http.awaits() != Awaits::Request || conn.flags.surplus,
            (
                Session::Http(_)
                | Session::Sse
                | Session::WebSocket(_)
                | Session::Echo(_)
                | Session::Stomp(_),
                _,
            ) => false,
        };
        if hears_otherwise || conn.out.as_ref().is_some_and(|out| out.closes) {
            return None;
        }
        let share = f64::from(id.generation.wrapping_mul(drain.salt)) / f64::from(u32::MAX);
        Some(drain.began.after(drain.window.mul_f64(DRAIN_SPREAD * share)))
    }

    /// While draining: sees to it that a connection is told in time.
    pub(super) fn plan_goodbye(&mut self, id: ConnId) {
        let Some(goodbye) = self.goodbye_of(id) else { return };
        let Some(conn) = self.conns.get(id) else { return };
        let deadline = conn.alarm.and_then(|alarm| self.alarms.deadline(alarm));
        if deadline.is_none_or(|deadline| deadline > goodbye) {
            self.set_deadline(id, goodbye.since(self.env.now.tick));
        }
    }

    /// How much of the drain window is left.
    pub(super) fn drain_left(&self) -> Duration {
        let ends = |drain: Drain| drain.began.after(drain.window).since(self.env.now.tick);
        self.drain.map_or(Duration::ZERO, ends)
    }

    /// Tells one connection that the server is going down, after what it is owed.
    fn tell_drain(&mut self, id: ConnId) {
        let mut goodbye = Vec::new();
        let retry = self.random.jitter(sse::RETRY.max(self.drain_left()), sse::RETRY * 2);
        let Some(conn) = self.conns.get(id) else { return };
        match (&conn.session, &conn.interest) {
            (Session::Http(_), Interest::Poll(_)) => return self.end_poll(id),
            (Session::Http(_) | Session::Closing { .. }, _) => {}
            (Session::Sse, _) => sse::encode_retry(&mut goodbye, retry),
            (Session::WebSocket(_) | Session::Echo(_), _) => websocket::encode_restart(&mut goodbye),
            (Session::Stomp(session), _) => session.encode_restart(&mut goodbye),
        }
        self.close_when_written(id);
        if let Some(out) = self.conns.get_mut(id).and_then(|conn| conn.out.as_mut()) {
            out.set_farewell(&goodbye);
        }
        self.note_held(id);
    }
}
