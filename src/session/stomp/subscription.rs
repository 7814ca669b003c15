//! One STOMP subscription: its names, how its messages are written, and which of them wait to be acknowledged.

use std::collections::VecDeque;

use crate::ids::{GroupId, Seq};
use crate::wire::stomp::encode::{self, MessageHead};
use crate::wire::stomp::field::AckMode;
use crate::wire::websocket::frame::{self as websocket_frame, Opcode};

/// One subscription of a connection.
#[derive(Debug)]
pub struct Subscription {
    /// Its id with the escapes of the session's version; 1.0 allows none.
    pub(super) id: Option<Box<[u8]>>,
    pub(super) ordinal: u32,
    pub(super) group: GroupId,
    pub(super) ack: AckMode,
    /// `None` with `ack:auto`, whose subscriptions are most and need not pay for it.
    pub(super) window: Option<Box<Window>>,
}

/// What a subscription whose messages are acknowledged may have on its way.
#[derive(Debug)]
pub(super) struct Window {
    /// The messages that were sent and not acknowledged, oldest first.
    sent: VecDeque<Seq>,
    /// How many there may be, if the client asked for fewer than `--prefetch-count`.
    asked: Option<usize>,
}

impl Subscription {
    /// A subscription that has been sent nothing yet.
    pub(super) fn new(
        id: Option<Box<[u8]>>,
        ordinal: u32,
        group: GroupId,
        ack: AckMode,
        prefetch_count: Option<usize>,
    ) -> Self {
        let window = Window { sent: VecDeque::new(), asked: prefetch_count };
        let window = (ack != AckMode::Auto).then(|| Box::new(window));
        Self { id, ordinal, group, ack, window }
    }

    /// The group it is to.
    #[must_use]
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// Its number in its connection, which makes the ids of its messages.
    #[must_use]
    pub const fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// Its id, as it is written in a header.
    #[must_use]
    pub fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// Whether its messages are to be acknowledged.
    #[must_use]
    pub const fn acknowledges(&self) -> bool {
        self.window.is_some()
    }

    /// Whether so many messages wait to be acknowledged that no more may be sent.
    #[must_use]
    pub fn is_full(&self, prefetch_count: usize) -> bool {
        let is_full =
            |window: &Window| window.sent.len() >= window.asked.unwrap_or(prefetch_count).min(prefetch_count);
        self.window.as_deref().is_some_and(is_full)
    }

    /// Memory held for its id and for what waits to be acknowledged.
    pub(super) fn held_bytes(&self) -> usize {
        let window = self.window.as_ref();
        let window =
            window.map_or(0, |window| size_of::<Window>() + window.sent.capacity() * size_of::<Seq>());
        self.id.as_ref().map_or(0, |id| id.len()) + window
    }

    /// How many messages wait to be acknowledged.
    #[cfg(test)]
    pub(super) fn unacknowledged(&self) -> usize {
        self.window.as_ref().map_or(0, |window| window.sent.len())
    }

    /// Notes that a message is on its way.
    pub fn note_sent(&mut self, seq: Seq) {
        if let Some(window) = &mut self.window {
            window.sent.push_back(seq);
        }
    }

    /// Notes that a message that was on its way is not sent after all.
    pub fn note_unsent(&mut self, seq: Seq) {
        if let Some(window) = &mut self.window {
            window.sent.retain(|sent| *sent != seq);
        }
    }

    /// Appends a MESSAGE, in a WebSocket text message of its own.
    pub(crate) fn encode_message(&self, out: &mut Vec<u8>, seq: Seq, update: &[u8]) {
        let mut tail = Vec::with_capacity(128 + update.len());
        encode::encode_message_tail(&mut tail, self.group, update);
        self.encode_message_before(out, seq, &tail);
    }

    /// Appends a MESSAGE given the part that all subscribers of the group share.
    pub fn encode_message_before(&self, out: &mut Vec<u8>, seq: Seq, tail: &[u8]) {
        let head = MessageHead {
            subscription: self.id.as_deref(),
            ordinal: self.ordinal,
            seq,
            ack: self.acknowledges(),
        };
        websocket_frame::encode_head(out, true, Opcode::Text, head.encoded_bytes() + tail.len(), None);
        head.encode(out);
        out.extend_from_slice(tail);
    }

    /// Takes an acknowledgement; false if no such message waits for one.
    pub(super) fn acknowledge(&mut self, seq: Seq) -> bool {
        let Some(Window { sent, .. }) = self.window.as_deref_mut() else { return false };
        let Some(place) = sent.iter().position(|sent| *sent == seq) else { return false };
        match self.ack {
            AckMode::Auto => {}
            AckMode::Client => drop(sent.drain(..=place)),
            AckMode::ClientIndividual => drop(sent.remove(place)),
        }
        true
    }
}

/// Appends the part of a MESSAGE that all subscribers of a group share.
pub fn encode_message_tail(out: &mut Vec<u8>, group: GroupId, update: &[u8]) {
    encode::encode_message_tail(out, group, update);
}
