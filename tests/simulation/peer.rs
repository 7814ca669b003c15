//! One client: what it has asked and is owed an answer to, what it is subscribed to, and how well it behaves.

use std::collections::{BTreeMap, VecDeque};

use geoloop::clock::Tick;

use crate::reader::Reader;

/// What a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Asks and publishes over HTTP, keep-alive and pipelined.
    Asker,
    /// Polls again and again, each time with the cursor that it got.
    Poller,
    EventStream,
    WebSocket,
    Stomp,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum About {
    Publish(usize),
    /// A location that says nothing.
    MadeUp(u64),
    Leave(u64),
    /// The newest update, unless it is the one with this number.
    Current(u64, Option<u64>),
    Snapshot(u64),
    /// A long poll with this cursor, for so many milliseconds.
    Poll {
        subscriber: usize,
        since: Option<u64>,
        timeout_ms: u64,
    },
    /// The head of a long poll.
    PollHead(u64),
    OneShot,
    Ready,
    Scrape,
    /// Something that has this status and no other.
    Status(u16),
    /// What makes the connection something else.
    Opening,
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) about: About,
    pub(crate) head_only: bool,
    /// The newest number of its group when it was sent.
    pub(crate) floor: u64,
    pub(crate) sent_at: Tick,
}

/// What a STOMP receipt is for.
#[derive(Clone, Debug)]
pub(crate) enum Receipt {
    /// Subscription by ordinal: it is in place.
    Subscribed(usize),
    /// These are numbered.
    Sent(Vec<usize>),
    /// It is over.
    Unsubscribed(usize),
    /// All that was sent is numbered.
    Disconnected,
    Plain,
}

/// A STOMP subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) group: u64,
    pub(crate) subscriber: usize,
    pub(crate) acknowledges: bool,
    pub(crate) cumulative: bool,
    /// How many messages it may have that are not acknowledged.
    pub(crate) window: usize,
    pub(crate) to_acknowledge: VecDeque<u64>,
    /// UNSUBSCRIBE was sent, or all is over.
    pub(crate) ending: bool,
    /// The receipt for that has come.
    pub(crate) ended: bool,
}

/// What a STOMP client knows.
#[derive(Debug, Default)]
pub(crate) struct Stomp {
    pub(crate) version: &'static str,
    pub(crate) connected: bool,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) receipts: BTreeMap<String, Receipt>,
    pub(crate) receipts_asked: usize,
    pub(crate) transactions: BTreeMap<String, Vec<usize>>,
    pub(crate) transactions_begun: usize,
    /// It promised a beat so often; 0 for never.
    pub(crate) promised_ms: u64,
    /// It has said DISCONNECT.
    pub(crate) leaving: bool,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) is_witness: bool,
    pub(crate) reader: Reader,
    pub(crate) asks: VecDeque<Ask>,
    /// What a stream or a chain of polls is to the model.
    pub(crate) subscriber: Option<usize>,
    pub(crate) group: u64,
    /// The member that it speaks for.
    pub(crate) member: Option<String>,
    pub(crate) cursor: Option<u64>,
    pub(crate) stomp: Stomp,
    pub(crate) pings: VecDeque<Vec<u8>>,
    /// The Close that it sent.
    pub(crate) closed_with: Option<u16>,
    /// How often it was told that a publish of its was refused.
    pub(crate) refusals: usize,
    /// Why the server may end it; `None` as long as it behaves.
    pub(crate) excuse: Option<&'static str>,
    /// It says and reads no more.
    pub(crate) gone: bool,
    /// When it got its last answer.
    pub(crate) answered_at: Tick,
    /// The stream has been opened to it.
    pub(crate) opened: bool,
    /// How often the stream said when to come back.
    pub(crate) retries: usize,
    /// The server said goodbye because it drains.
    pub(crate) told_drain: bool,
    /// The server has ended it, and that was looked at.
    pub(crate) ended: bool,
}

impl Peer {
    pub(crate) fn new(kind: Kind, group: u64, now: Tick) -> Self {
        Self {
            kind,
            is_witness: false,
            reader: Reader::new(),
            asks: VecDeque::new(),
            subscriber: None,
            group,
            member: None,
            cursor: None,
            stomp: Stomp::default(),
            pings: VecDeque::new(),
            closed_with: None,
            refusals: 0,
            excuse: None,
            gone: false,
            answered_at: now,
            opened: false,
            retries: 0,
            told_drain: false,
            ended: false,
        }
    }

    /// Whether it is there, behaves, and may say something.
    pub(crate) fn is_well(&self) -> bool {
        self.excuse.is_none() && !self.gone && !self.ended && !self.reader.over
    }
}
