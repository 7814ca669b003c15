//! Letters from other shards: what each means here.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::hub::{GroupKey, NoRoom};
use crate::ids::{ConnId, GroupId, Seq, ShardId};
use crate::location::Update;
use crate::shard::conns::{Asked, Interest, Place};
use crate::shard::interest::{Coming, Errand};
use crate::shard::mail::{Joined, Mail, Outcome, Refused, Ticket};
use crate::shard::{Command, Shard};

impl Shard {
    /// A letter has come.
    pub fn handle_mail(&mut self, mail: Mail) {
        self.report.mail.received += 1;
        // What a connection said in order stays in order: a SUBSCRIBE or a leaving waits behind a deferred publish too.
        let waits_behind = match &mail {
            Mail::Publish { .. } => self.congested || !self.deferred.is_empty(),
            Mail::Subscribe { .. } | Mail::Unsubscribe { .. } | Mail::Presence { .. } | Mail::Ask { .. } => {
                !self.deferred.is_empty()
            }
            Mail::Published { .. }
            | Mail::Answer { .. }
            | Mail::Subscribed { .. }
            | Mail::Deliver { .. }
            | Mail::Giant { .. } => false,
        };
        if waits_behind {
            self.deferred.push_back(mail);
            return;
        }
        self.take_letter(mail);
    }

    /// Whether letters of ours wait because a mailbox is full. Meanwhile nothing is numbered here, for each update
    /// would be one more letter; everything else goes on, so that no two shards wait for each other.
    pub fn handle_congestion(&mut self, congested: bool) {
        self.congested = congested;
        while !self.congested
            && let Some(mail) = self.deferred.pop_front()
        {
            self.take_letter(mail);
        }
    }

    fn take_letter(&mut self, mail: Mail) {
        match mail {
            Mail::Publish { group, publish, ticket } => {
                let outcome = self.number(group, &publish, ticket.transport);
                self.commands.push_back(Command::Mail(ticket.shard, Mail::Published { ticket, outcome }));
            }
            Mail::Published { ticket, outcome } => self.on_published(ticket, outcome),
            Mail::Ask { group, question, ticket } => {
                let answer = self.answer_question(group, question);
                self.commands.push_back(Command::Mail(ticket.shard, Mail::Answer { ticket, answer }));
            }
            Mail::Answer { ticket, answer } => {
                if let Some(asked) = self.take_asked(ticket.conn) {
                    self.answer_asked(ticket.conn, asked, answer);
                }
            }
            Mail::Subscribe { group, from } => {
                let joined = self.join(group, from);
                self.commands.push_back(Command::Mail(from, Mail::Subscribed { group, joined }));
            }
            Mail::Subscribed { group, joined } => self.on_subscribed(group, joined),
            Mail::Unsubscribe { group, from } => {
                if let Some(key) = self.hub.find(group) {
                    self.hub.waiters_mut(key, &self.env.now).shards_mut().remove(from);
                }
            }
            Mail::Deliver { group, updates } => self.on_deliver(group, &updates),
            Mail::Presence { group, member, presence } => self.note_presence(group, &member, presence),
            Mail::Giant { group, giant } => {
                if giant {
                    self.giants.insert(group);
                } else {
                    self.giants.remove(&group);
                }
            }
        }
    }

    /// Another shard's subscriber joins a group at home here; the first of a shard takes along what its mirror is made of.
    fn join(&mut self, group: GroupId, from: ShardId) -> Result<Joined, NoRoom> {
        let key = self.hub.make(group, &self.env.now)?;
        let is_new = self.hub.waiters_mut(key, &self.env.now).shards_mut().insert(from);
        let group = self.hub.group(key);
        Ok(Joined { newest: group.cursor(), copy: is_new.then(|| Box::new(group.copy())) })
    }

    pub(super) fn take_asked(&mut self, id: ConnId) -> Option<Asked> {
        let conn = self.conns.get_mut(id)?;
        match std::mem::take(&mut conn.interest) {
            Interest::Asked(asked) => Some(asked),
            other => {
                conn.interest = other;
                None
            }
        }
    }

    fn on_published(&mut self, ticket: Ticket, outcome: Outcome) {
        let id = ticket.conn;
        if let Some(asked) = self.take_asked(id) {
            return self.answer_published(id, asked, outcome);
        }
        self.answer_said(id, outcome, ticket.receipt.as_deref());
        self.note_arrival(id);
    }

    /// Something that a connection had under way to another shard has come back.
    fn note_arrival(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.under_way = conn.under_way.saturating_sub(1);
        self.leave_if_done(id);
        self.resume_later(id);
    }

    /// A home has answered the wish of the subscriber here that has waited longest: the group's mirror is here from now on,
    /// or cannot be had.
    fn on_subscribed(&mut self, group: GroupId, joined: Result<Joined, NoRoom>) {
        let coming = self.next_coming(group);
        debug_assert!(coming.is_some(), "an answer that nobody of this shard waits for");
        let Joined { newest, copy } = match joined {
            Ok(joined) => joined,
            Err(no_room) => {
                if let Some(coming) = coming {
                    self.refuse_coming(coming, Refused::Group(no_room));
                }
                return;
            }
        };
        let key = match copy {
            Some(copy) => Some(self.hub.make_mirror(*copy)),
            None => self.hub.find(group),
        };
        debug_assert!(key.is_some(), "a mirror was dropped while it was waited for");
        let Some(key) = key else { return };
        if let Some(coming) = coming {
            self.settle_coming(key, newest, coming);
        }
        if self.hub.group(key).waiters().is_empty() {
            self.linger(key);
        }
    }

    /// Whose wish for a group the next answer of its home is for: mail stays in order.
    fn next_coming(&mut self, group: GroupId) -> Option<Coming> {
        let Entry::Occupied(mut waiting) = self.coming.entry(group) else { return None };
        let next = waiting.get_mut().pop_front();
        if waiting.get().is_empty() {
            waiting.remove();
        }
        next
    }

    /// The group that a connection waited for is here, though it may be behind `newest`. The connection may have dropped
    /// that wish meanwhile; a receipt is owed for it all the same.
    fn settle_coming(&mut self, key: GroupKey, newest: Seq, coming: Coming) {
        let Coming { conn: id, ticket, errand } = coming;
        let waits = self.waits_for(id, ticket, &errand);
        match errand {
            Errand::Poll { since } if waits => self.park(id, key, since, newest),
            Errand::Stream(opening) if waits => {
                self.start_stream(id, key, *opening, newest);
                self.resume_later(id);
            }
            Errand::Feed { sub, since, receipt } => {
                if waits {
                    self.settle_in(id, sub, key, since, newest);
                }
                self.give_receipt(id, receipt.as_deref());
                self.note_arrival(id);
            }
            Errand::Poll { .. } | Errand::Stream(_) => {}
        }
    }

    fn refuse_coming(&mut self, coming: Coming, refused: Refused) {
        let Coming { conn: id, ticket, errand } = coming;
        let waits = self.waits_for(id, ticket, &errand);
        match errand {
            Errand::Feed { receipt, .. } => {
                if waits {
                    self.fail_stomp(id, refused, receipt.as_deref());
                } else {
                    // It was dropped before it could be refused, and a receipt is owed for it all the same.
                    self.give_receipt(id, receipt.as_deref());
                }
                self.note_arrival(id);
            }
            Errand::Poll { .. } | Errand::Stream(_) if !waits => {}
            Errand::Poll { .. } => self.refuse_poll(id, refused),
            Errand::Stream(opening) => {
                self.set_interest(id, Interest::None);
                let (asked, reply) = (opening.asked(), self.reply_now(opening.reply));
                self.answer_refused_park(id, asked, reply, refused.reason(), &refused.to_string());
            }
        }
    }

    /// Whether a connection still has the wish that this ticket was given for.
    fn waits_for(&self, id: ConnId, ticket: u32, errand: &Errand) -> bool {
        let Some(conn) = self.conns.get(id) else { return false };
        let place = match (&conn.interest, errand) {
            (Interest::Poll(poll), Errand::Poll { .. }) => poll.place,
            (Interest::Opening { ticket }, Errand::Stream(_)) => Place::Coming { ticket: *ticket },
            (Interest::Feeds(feeds), Errand::Feed { sub, .. }) => match feeds.get(*sub) {
                Some(feed) => feed.place,
                None => return false,
            },
            (_, Errand::Poll { .. } | Errand::Stream(_) | Errand::Feed { .. }) => return false,
        };
        place == Place::Coming { ticket }
    }

    fn on_deliver(&mut self, group: GroupId, updates: &[Arc<Update>]) {
        let Some(key) = self.hub.find(group) else { return };
        for update in updates {
            self.hub.apply(key, update.clone());
        }
    }
}
