//! Updates to whoever has a queue, and what may lie in one.

use crate::hub::group::Cursor;
use crate::ids::ConnId;
use crate::limits::SlowConsumer;
use crate::report::Reason;
use crate::session::Session;
use crate::shard::Shard;
use crate::shard::conns::Pace;
use crate::shard::fanout::FanOut;
use crate::shard::fanout::audience::Listener;
use crate::shard::flush::UPDATE_BYTES_PER_WRITE;
use crate::shard::interest::feed_mut;
use crate::shard::out_queue::Owed;

impl Shard {
    /// Appends the updates from `first` on to what a connection is owed.
    pub(super) fn queue_updates(&mut self, Listener { conn: id, sub, first }: Listener) {
        let prefetch_count = self.env.limits.prefetch_count;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let out = conn.out.get_or_insert_with(|| self.pool.pop().unwrap_or_default());
        for index in first..self.fan.updates.len() {
            let update = &self.fan.updates[index];
            if let Session::Stomp(session) = &mut conn.session
                && let Some(window) = session.window_mut(sub)
            {
                if window.is_full(prefetch_count) {
                    // Its window is full: it reads on from here, conflated, once messages are acknowledged.
                    let cursor = Cursor::before(update.seq, false);
                    if let Some(feed) = feed_mut(&mut conn.interest, sub) {
                        feed.pace = Pace::behind(cursor, true);
                        conn.flags.behind = true;
                    }
                    break;
                }
                window.note_sent(update.seq);
            }
            let bytes = self.fan.frame_bytes(&conn.session, sub, index) as u32;
            out.push_owed(Owed { update: update.clone(), sub, gap: false, bytes });
        }
        self.fan.writes += usize::from(!out.blocked);
        self.mark_dirty(id);
        self.bound_queue(id);
        self.note_held(id);
    }

    /// Writes to a connection whose socket takes bytes, if more waits for it than `--queue-bytes`: all that a turn brings
    /// must not lie there for everybody before anybody is written to. False once it is no more than that.
    ///
    /// What waits is more than one write takes, so none goes on to what is read by cursor, which may be these very updates,
    /// nor to a farewell, which would have the connection leave the list of waiters that is being walked.
    pub(super) fn relieve(&mut self, id: ConnId) -> bool {
        let owed_bytes_max = self.env.limits.queue_bytes_max.max(UPDATE_BYTES_PER_WRITE);
        let is_long = self.conns.get(id).is_some_and(|conn| {
            !conn.flags.dead && conn.out.as_ref().is_some_and(|out| out.owed_bytes() > owed_bytes_max)
        });
        self.fan.long = (is_long && self.begin_flush(id)).then_some(id);
        self.fan.long.is_some()
    }

    /// Holds a blocked connection against `--queue-bytes`: past it, what waits is dropped, and each of its
    /// subscriptions reads on from there, conflated, once the socket takes bytes again.
    pub(in crate::shard) fn bound_queue(&mut self, id: ConnId) {
        let queue_bytes_max = self.env.limits.queue_bytes_max;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(out) = conn.out.as_mut() else { return };
        if !out.blocked || out.owed_bytes() <= queue_bytes_max {
            return;
        }
        if self.env.limits.slow_consumer == SlowConsumer::Disconnect {
            self.refuse(Reason::SlowConsumer);
            return self.kill(id);
        }
        while let Some(owed) = out.pop_owed() {
            let Some(feed) = feed_mut(&mut conn.interest, owed.sub) else { continue };
            let is_first = match &feed.pace {
                Pace::Live => true,
                Pace::Behind(behind) => behind.cursor.after >= owed.update.seq,
            };
            if is_first {
                let cursor = Cursor::before(owed.update.seq, owed.gap);
                feed.pace = Pace::behind(cursor, true);
                conn.flags.behind = true;
            }
            if let Session::Stomp(session) = &mut conn.session
                && let Some(window) = session.window_mut(owed.sub)
            {
                window.note_unsent(owed.update.seq);
            }
        }
    }
}

impl FanOut {
    /// How long an update is as a subscriber is written it: frames lie here for those who take them from here.
    fn frame_bytes(&self, session: &Session, sub: u16, index: usize) -> usize {
        match session {
            Session::Stomp(session) => session.subscription(sub).map_or(0, |subscription| {
                subscription.message_bytes(self.updates[index].seq, self.tails.piece(index).len())
            }),
            Session::Http(_)
            | Session::Sse
            | Session::WebSocket(_)
            | Session::Echo(_)
            | Session::Closing { .. } => self.frames.piece(index).len(),
        }
    }
}
