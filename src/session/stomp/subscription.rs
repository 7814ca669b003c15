//! STOMP subscriptions: their names, how their messages are written, and which of them wait to be acknowledged.

use std::collections::VecDeque;

use crate::ids::{GroupId, Seq};
use crate::session::stomp::short_id::{ShortId, Spelled};
use crate::wire::stomp::encode::{self, MessageHead};
use crate::wire::stomp::field::AckMode;
use crate::wire::websocket::frame::{self as websocket_frame, Opcode};

/// One subscription of a connection, as its messages are written.
#[derive(Clone, Copy, Debug)]
pub struct Subscription<'a> {
    id: Id<'a>,
    ordinal: u32,
    acknowledges: bool,
}

#[derive(Clone, Copy, Debug)]
enum Id<'a> {
    Short(&'a ShortId),
    /// As it was given.
    Long(&'a [u8]),
    None,
}

/// What frames carry of the subscription that they were encoded for; its buffer serves one after the other.
#[derive(Debug, Default)]
pub struct Bearer {
    /// `None` if the frames are nobody's.
    ordinal: Option<u32>,
    short: Option<ShortId>,
    /// Whether the id is in `long`.
    is_long: bool,
    long: Vec<u8>,
}

impl Bearer {
    /// Whether the frames are this subscription's too.
    #[must_use]
    pub fn is(&self, subscription: &Subscription<'_>) -> bool {
        self.ordinal == Some(subscription.ordinal)
            && match subscription.id {
                Id::Short(id) => self.short.as_ref() == Some(id),
                Id::Long(id) => self.is_long && self.long == id,
                Id::None => !self.is_long && self.short.is_none(),
            }
    }

    /// The frames are this subscription's from now on.
    pub fn set(&mut self, subscription: &Subscription<'_>) {
        self.clear();
        self.ordinal = Some(subscription.ordinal);
        match subscription.id {
            Id::Short(id) => self.short = Some(*id),
            Id::Long(id) => {
                self.is_long = true;
                self.long.extend_from_slice(id);
            }
            Id::None => {}
        }
    }

    /// The frames are nobody's.
    pub fn clear(&mut self) {
        (self.ordinal, self.short, self.is_long) = (None, None, false);
        self.long.clear();
    }
}

/// What a subscription is ended by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Its id, with the escapes of the session's version.
    Id(Box<[u8]>),
    /// Its destination; 1.0 lets a subscription go without an id.
    Destination(GroupId),
}

/// A subscription among several, or one that is not plain.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) ordinal: u32,
    /// `None` with `ack:auto`.
    pub(super) window: Option<Box<Window>>,
}

/// What a subscription whose messages are acknowledged may have on its way.
#[derive(Debug)]
pub struct Window {
    /// The messages that were sent and not acknowledged, oldest first.
    sent: VecDeque<Seq>,
    /// How many there may be, if the client asked for fewer than `--prefetch-count`.
    asked: Option<usize>,
    ack: AckMode,
}

impl Name {
    /// An id that is kept in a few bytes.
    pub(super) fn short(&self) -> Option<ShortId> {
        match self {
            Self::Id(id) => ShortId::new(id),
            Self::Destination(_) => None,
        }
    }
}

impl<'a> Subscription<'a> {
    /// A subscription that has `ack:auto` and a short id.
    pub(super) fn plain(id: &'a ShortId, ordinal: u32) -> Self {
        Self { id: Id::Short(id), ordinal, acknowledges: false }
    }
}

impl Subscription<'_> {
    /// Its number in its connection, which makes the ids of its messages.
    #[must_use]
    pub const fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// Its id, as it is written in a header.
    fn spell(&self) -> Option<Spelled<'_>> {
        match self.id {
            Id::Short(id) => Some(id.spell()),
            Id::Long(id) => Some(Spelled::Given(id)),
            Id::None => None,
        }
    }

    /// The same, for tests.
    #[cfg(test)]
    pub(super) fn id(&self) -> Option<Vec<u8>> {
        self.spell().map(|id| id.bytes().to_vec())
    }

    /// Whether its messages are to be acknowledged.
    #[must_use]
    pub const fn acknowledges(&self) -> bool {
        self.acknowledges
    }

    /// Appends a MESSAGE of its group, in a WebSocket text message of its own.
    pub(crate) fn encode_message(&self, out: &mut Vec<u8>, group: GroupId, seq: Seq, update: &[u8]) {
        let mut tail = Vec::with_capacity(128 + update.len());
        encode::encode_message_tail(&mut tail, group, update);
        self.encode_message_before(out, seq, &tail);
    }

    /// Appends a MESSAGE given the part that all subscribers of the group share.
    pub fn encode_message_before(&self, out: &mut Vec<u8>, seq: Seq, tail: &[u8]) {
        let spelled = self.spell();
        let head = self.message_head(spelled.as_ref(), seq);
        websocket_frame::encode_head(out, true, Opcode::Text, head.encoded_bytes() + tail.len(), None);
        head.encode(out);
        out.extend_from_slice(tail);
    }

    /// How many bytes that appends.
    #[must_use]
    pub fn message_bytes(&self, seq: Seq, tail_bytes: usize) -> usize {
        let spelled = self.spell();
        let payload_bytes = self.message_head(spelled.as_ref(), seq).encoded_bytes() + tail_bytes;
        websocket_frame::head_bytes(payload_bytes) + payload_bytes
    }

    fn message_head<'a>(&self, spelled: Option<&'a Spelled<'_>>, seq: Seq) -> MessageHead<'a> {
        let subscription = spelled.map(Spelled::bytes);
        MessageHead { subscription, ordinal: self.ordinal, seq, ack: self.acknowledges }
    }
}

impl Entry {
    pub(super) fn subscription(&self) -> Subscription<'_> {
        let id = match &self.name {
            Name::Id(id) => Id::Long(id),
            Name::Destination(_) => Id::None,
        };
        Subscription { id, ordinal: self.ordinal, acknowledges: self.window.is_some() }
    }

    /// Memory held for its id and for what waits to be acknowledged.
    pub(super) fn held_bytes(&self) -> usize {
        let id = match &self.name {
            Name::Id(id) => id.len(),
            Name::Destination(_) => 0,
        };
        id + self.window.as_ref().map_or(0, |window| window.held_bytes())
    }
}

impl Window {
    /// A window without messages; `None` for messages that are not acknowledged.
    pub(super) fn new(ack: AckMode, asked: Option<usize>) -> Option<Box<Self>> {
        (ack != AckMode::Auto).then(|| Box::new(Self { sent: VecDeque::new(), asked, ack }))
    }

    /// Whether so many messages wait to be acknowledged that no more may be sent.
    #[must_use]
    pub fn is_full(&self, prefetch_count: usize) -> bool {
        self.sent.len() >= self.asked.unwrap_or(prefetch_count).min(prefetch_count)
    }

    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.sent.capacity() * size_of::<Seq>()
    }

    /// How many messages wait to be acknowledged.
    #[cfg(test)]
    pub(super) fn unacknowledged(&self) -> usize {
        self.sent.len()
    }

    /// Notes that a message is on its way.
    pub fn note_sent(&mut self, seq: Seq) {
        self.sent.push_back(seq);
    }

    /// Notes that a message that was on its way is not sent after all.
    pub fn note_unsent(&mut self, seq: Seq) {
        self.sent.retain(|sent| *sent != seq);
    }

    /// Takes an acknowledgement; false if no such message waits for one.
    pub(super) fn acknowledge(&mut self, seq: Seq) -> bool {
        let Some(place) = self.sent.iter().position(|sent| *sent == seq) else { return false };
        match self.ack {
            AckMode::Auto => {}
            AckMode::Client => drop(self.sent.drain(..=place)),
            AckMode::ClientIndividual => drop(self.sent.remove(place)),
        }
        true
    }
}

/// Appends the part of a MESSAGE that all subscribers of a group share.
pub fn encode_message_tail(out: &mut Vec<u8>, group: GroupId, update: &[u8]) {
    encode::encode_message_tail(out, group, update);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_long_as_they_are_measured() {
        let short = ShortId::new(b"0f8fad5b-d9cb-469f-a165-70867728950e").expect("it is short");
        let long = [b'x'; 200];
        for id in [Id::Short(&short), Id::Long(&long[..1]), Id::Long(&long), Id::None] {
            for (acknowledges, tail_bytes) in [(false, 0), (true, 0), (false, 200), (true, 0x1_0000)] {
                let subscription = Subscription { id, ordinal: 12, acknowledges };
                let seq = Seq::new(3_619_278_028_800_001).expect("it is below the end");
                let mut out = Vec::new();
                subscription.encode_message_before(&mut out, seq, &vec![b'x'; tail_bytes]);
                assert_eq!(subscription.message_bytes(seq, tail_bytes), out.len(), "{subscription:?}");
            }
        }
    }

    #[test]
    fn frames_are_taken_for_those_of_no_other_subscription() {
        let [a, b] = ["a", "0f8fad5b-d9cb-469f-a165-70867728950e"]
            .map(|id| ShortId::new(id.as_bytes()).expect("it is short"));
        let ids = [Id::Short(&a), Id::Short(&b), Id::Long(b"a"), Id::Long(b""), Id::None];
        let of = |id, ordinal| Subscription { id, ordinal, acknowledges: false };
        let mut bearer = Bearer::default();
        for (nth, id) in ids.into_iter().enumerate() {
            assert!(ids.iter().all(|other| nth > 0 || !bearer.is(&of(*other, 7))));
            bearer.set(&of(id, 7));
            for (other, id) in ids.into_iter().enumerate() {
                assert_eq!(bearer.is(&of(id, 7)), nth == other);
                assert!(!bearer.is(&of(id, 8)));
            }
        }
        bearer.clear();
        assert!(!ids.iter().any(|id| bearer.is(&of(*id, 7))));
    }
}
