//! Bytes to events: feeds what a connection sent to its session, as far as it may speak, and keeps the rest.

use crate::ids::{ConnId, ShardId, Transport};
use crate::limits::LINGER_BYTES_MAX;
use crate::session::http::Awaits;
use crate::session::{Event, Session};
use crate::shard::conns::{CountedAs, Flags, Input, Interest, PastTick, Unread};
use crate::shard::mail::Parcel;
use crate::shard::{Command, Reading, Shard, placement};

/// What became of an event.
pub(super) enum Flow {
    /// The connection may go on speaking, if nothing else holds it.
    Go,
    /// It is on its way to another shard, which acts on the event.
    Move(ShardId, Box<Event>),
    /// It is gone.
    Gone,
}

impl Shard {
    /// A connection was read. What lies in `bytes` afterwards is of no more use.
    pub fn handle_received(&mut self, id: ConnId, bytes: &mut [u8]) -> Reading {
        let now = self.env.now.tick;
        let Some(conn) = self.conns.get_mut(id) else { return Reading::Hold };
        conn.heard = PastTick::new(now);
        let reading = match conn.unread.take() {
            None => {
                let (reading, used) = self.converse(id, bytes);
                if used < bytes.len() {
                    self.keep_unread(id, Box::new(Unread { bytes: bytes[used..].to_vec() }));
                }
                reading
            }
            Some(mut unread) => {
                unread.bytes.extend_from_slice(bytes);
                self.converse_unread(id, unread)
            }
        };
        // Counted afterwards: a connection's first bytes are what tells its transport.
        if let Some(conn) = self.conns.get(id) {
            self.report.wire_bytes[conn.transport() as usize].received += bytes.len() as u64;
        } else {
            self.report.wire_bytes[Transport::Http as usize].received += bytes.len() as u64;
        }
        reading
    }

    /// The peer closed its side: nothing more will be read.
    ///
    /// While parked that means that it is gone; otherwise what it is owed is written first.
    pub fn handle_ended(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.flags.input = Input::Ended;
        let answers = match conn.session {
            Session::Http(_) => !conn.is_parked(),
            Session::Echo(_) => true,
            Session::Sse | Session::WebSocket(_) | Session::Stomp(_) | Session::Closing { .. } => false,
        };
        if !answers {
            self.give_up(id);
        } else if !conn.must_wait(&self.env.limits) {
            self.finish_ended(id);
        }
    }

    /// The socket says that the peer closed its side, while bytes before that may be unread.
    ///
    /// A parked request is not read on, so this is all that it will hear: its peer is gone. A stream that is held for
    /// what it said itself is read to its end first.
    pub fn handle_read_closed(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.flags.input == Input::Open {
            conn.flags.input = Input::HungUp;
        }
        if conn.is_deaf() {
            self.give_up(id);
        }
    }

    /// The connection is beyond use.
    pub fn handle_broken(&mut self, id: ConnId) {
        self.kill(id);
    }

    /// Lets the session speak of bytes that were kept, and keeps what is left of them.
    fn converse_unread(&mut self, id: ConnId, mut unread: Box<Unread>) -> Reading {
        let (reading, used) = self.converse(id, &mut unread.bytes);
        // The rest stays where it is: a peer that sends byte by byte has none of them copied twice.
        unread.bytes.drain(..used);
        if !unread.bytes.is_empty() {
            self.keep_unread(id, unread);
        }
        reading
    }

    fn keep_unread(&mut self, id: ConnId, unread: Box<Unread>) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.unread = Some(unread);
        }
        self.note_held(id);
    }

    /// Lets the session speak, as far as it may; says whether to read on, and how much of the input is done with.
    fn converse(&mut self, id: ConnId, input: &mut [u8]) -> (Reading, usize) {
        let gone = (Reading::Hold, input.len());
        let mut used = 0;
        let Some(before) = self.conns.get(id).map(|conn| awaits(&conn.session)) else { return gone };
        let mut had_event = false;
        loop {
            let Some(conn) = self.conns.get_mut(id) else { return gone };
            if conn.flags.dead {
                return gone;
            }
            if conn.must_wait(&self.env.limits) {
                break;
            }
            let cx = self.env.context(self.id, id);
            let step = conn.session.decode(&mut input[used..], &cx, &mut self.reply);
            self.push_reply(id);
            let idle = step.used == 0 && step.event.is_none();
            used += step.used;
            if let Some(event) = step.event {
                had_event = true;
                match self.dispatch(id, event) {
                    Flow::Go => {}
                    Flow::Gone => return gone,
                    Flow::Move(to, event) => {
                        self.hand_over(id, to, *event, &input[used..]);
                        return gone;
                    }
                }
            }
            if idle {
                break;
            }
        }
        self.note_held(id);
        (self.rest(id, before, had_event), used)
    }

    /// After a connection has spoken: minds its deadlines, and says whether to read on.
    fn rest(&mut self, id: ConnId, before: Option<Awaits>, had_event: bool) -> Reading {
        let Some(conn) = self.conns.get_mut(id) else { return Reading::Hold };
        if let Session::Closing { dropped } = conn.session
            && dropped > LINGER_BYTES_MAX
        {
            self.kill(id);
            return Reading::Hold;
        }
        if conn.flags.input != Input::Open && conn.is_deaf() {
            // What it has sent behind is read and dropped once its answers are written.
            conn.flags.held = true;
            self.give_up(id);
            return Reading::Hold;
        }
        let waits = conn.must_wait(&self.env.limits);
        conn.flags.held = waits;
        let after = awaits(&conn.session);
        if !waits && conn.flags.input == Input::Ended && matches!(conn.session, Session::Http(_)) {
            self.finish_ended(id);
            return Reading::Hold;
        }
        if !waits && !conn.flags.surplus && (had_event || after != before) {
            match after {
                Some(Awaits::Head) => self.set_deadline(id, self.env.limits.head_timeout),
                Some(Awaits::Body) => self.set_deadline(id, self.env.limits.body_timeout),
                Some(Awaits::Request) | None => {}
            }
        }
        if waits { Reading::Hold } else { Reading::Go }
    }

    /// The peer of a parked request or stream is gone: its place is free at once. What a request before it was answered is
    /// written all the same.
    fn give_up(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        if matches!(conn.session, Session::Http(_)) && conn.out.is_some() {
            self.part(id);
            self.finish_ended(id);
        } else {
            self.kill(id);
        }
    }

    /// A connection whose peer will say no more has had its last answer queued.
    fn finish_ended(&mut self, id: ConnId) {
        match self.conns.get_mut(id).and_then(|conn| conn.out.as_mut()) {
            Some(out) => out.closes = true,
            None => self.kill(id),
        }
    }

    /// A connection's wait is over: it may have said more meanwhile.
    pub(super) fn resume_later(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get(id)
            && (conn.flags.held || conn.unread.is_some() || conn.flags.input != Input::Open)
        {
            self.resumed.push_back(id);
        }
    }

    /// Goes on with one connection whose wait is over; false if there is none.
    pub(super) fn resume(&mut self) -> bool {
        if self.congested {
            return false;
        }
        let Some(id) = self.resumed.pop_front() else { return false };
        let Some(conn) = self.conns.get_mut(id) else { return true };
        let was_held = std::mem::take(&mut conn.flags.held);
        let reading = match conn.unread.take() {
            Some(unread) => self.converse_unread(id, unread),
            None => self.converse(id, &mut []).0,
        };
        if was_held && reading == Reading::Go {
            self.commands.push_back(Command::ReadAgain(id));
        }
        true
    }

    /// The shard that a connection is to move to before the event is acted on, if any.
    pub(super) fn destination(&mut self, id: ConnId, event: &Event) -> Option<ShardId> {
        let conn = self.conns.get_mut(id)?;
        if self.workers == 1 || conn.flags.settled || conn.flags.surplus {
            return None;
        }
        let group = event.group()?;
        conn.flags.settled = true;
        let home = placement::home(group, self.workers);
        let movable = conn.out.as_ref().is_none_or(|out| out.is_movable()) && conn.under_way == 0;
        (home != self.id && movable && !self.giants.contains(&group)).then_some(home)
    }

    /// Packs a connection up. Its slot stays taken until the socket has gone too: a newcomer of this turn must not get it.
    fn hand_over(&mut self, id: ConnId, to: ShardId, event: Event, unread: &[u8]) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.flags.dead = true;
        let session = std::mem::replace(&mut conn.session, Session::Closing { dropped: 0 });
        let heart_beat = match &conn.interest {
            Interest::Feeds(feeds) => Some(feeds.heart_beat),
            Interest::None
            | Interest::Asked(_)
            | Interest::Poll(_)
            | Interest::Opening { .. }
            | Interest::Stream(_) => None,
        };
        let out = conn.out.take();
        let mut control = Vec::new();
        let transport = conn.transport();
        if let Some(mut out) = out {
            control = out.take_control();
            self.release(out);
        }
        let parcel = Parcel { session, transport, heart_beat, event, unread: unread.to_vec(), control };
        self.commands.push_back(Command::HandOver(id, to, Box::new(parcel)));
    }

    /// A connection has moved here; the name it has from now on, and whether to read it.
    pub fn handle_adopted(&mut self, parcel: Parcel) -> (ConnId, Reading) {
        let id = self.conns.insert(parcel.session, self.env.now.tick);
        self.start_rounds();
        if let Some(conn) = self.conns.get_mut(id) {
            conn.flags = Flags { settled: true, ..Flags::default() };
            conn.counted_as = CountedAs::new(parcel.transport);
        }
        if let Some(heart_beat) = parcel.heart_beat {
            self.start_feeds(id, heart_beat);
        }
        self.plan_goodbye(id);
        self.reply.extend_from_slice(&parcel.control);
        self.push_reply(id);
        match self.dispatch(id, parcel.event) {
            Flow::Go => {}
            Flow::Gone | Flow::Move(..) => return (id, Reading::Hold),
        }
        let reading = self.converse_unread(id, Box::new(Unread { bytes: parcel.unread }));
        (id, reading)
    }
}

fn awaits(session: &Session) -> Option<Awaits> {
    match session {
        Session::Http(http) => Some(http.awaits()),
        Session::Sse
        | Session::WebSocket(_)
        | Session::Echo(_)
        | Session::Stomp(_)
        | Session::Closing { .. } => None,
    }
}
