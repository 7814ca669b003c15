//! What a STOMP connection has beyond its slot: it is in the middle of something, or has more than one plain subscription.

use crate::ids::MemberId;
use crate::session::stomp::subscription::Entry;
use crate::session::stomp::transactions::Transactions;
use crate::wire::stomp::frame::Scan;
use crate::wire::websocket::frame::Side;
use crate::wire::websocket::message::Messages;

/// What most connections do without most of the time.
#[derive(Debug)]
pub(super) struct More {
    pub(super) messages: Messages,
    pub(super) held: Option<Box<Held>>,
    /// The subscriptions that are not plain, by place.
    pub(super) table: Vec<Option<Entry>>,
    pub(super) member: Option<MemberId>,
    pub(super) transactions: Option<Box<Transactions>>,
}

impl Default for More {
    fn default() -> Self {
        Self {
            messages: Messages::new(Side::Client),
            held: None,
            table: Vec::new(),
            member: None,
            transactions: None,
        }
    }
}

impl More {
    /// Whether it is of no more use.
    pub(super) const fn is_empty(&self) -> bool {
        self.messages.is_idle()
            && self.held.is_none()
            && self.table.is_empty()
            && self.member.is_none()
            && self.transactions.is_none()
    }

    /// Memory held for all of it.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.messages.held_bytes()
            + self.held.as_ref().map_or(0, |held| size_of::<Held>() + held.bytes.capacity())
            + self.table.capacity() * size_of::<Option<Entry>>()
            + self.table.iter().flatten().map(Entry::held_bytes).sum::<usize>()
            + self.transactions.as_ref().map_or(0, |open| open.held_bytes())
    }
}

/// The front of a frame whose rest is in a message to come, or frames behind one that is being acted on.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// How many of them are done with.
    pub(super) at: usize,
    pub(super) scan: Scan,
    /// They end inside a frame: nothing can be made of them before more comes.
    pub(super) is_partial: bool,
}
