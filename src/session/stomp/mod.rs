//! The conversation of STOMP over WebSocket: frames in, subscriptions and publishes up, receipts and errors out.
//!
//! Knows subscriptions by their ids and which of their messages were acknowledged; knows no group's updates. Read the
//! STOMP 1.2 specification, "Frames and Headers" to "Client Frames".

mod error;
mod more;
mod short_id;
mod subscription;
mod table;
mod transactions;

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use crate::ids::{GroupId, MemberId, Seq, parse_decimal};
use crate::session::stomp::error::StompError;
use crate::session::stomp::more::{Held, More};
use crate::session::stomp::short_id::ShortId;
use crate::session::stomp::subscription::Name;
pub use crate::session::stomp::subscription::{Bearer, Subscription, Window, encode_message_tail};
use crate::session::stomp::transactions::{Act, Transactions};
use crate::session::websocket::{self, Heard};
use crate::session::{Context, Event, Said, Step};
use crate::wire::Parsed;
use crate::wire::json;
use crate::wire::stomp::encode;
use crate::wire::stomp::field::{self, AckMode, Destination, FieldError};
use crate::wire::stomp::frame::{self as stomp_frame, Frame, FrameLimits, Item, Scan};
use crate::wire::stomp::header::append_escaped;
use crate::wire::stomp::{Command, Version};
use crate::wire::websocket::frame::{self as websocket_frame, CloseCode, Opcode, Side};
use crate::wire::websocket::message::Messages;

/// How often the server can send a heart-beat and wants to receive one, at most: below a second the beats would be
/// the load. A client that says it more slowly gets it more slowly.
const HEART_BEAT_MS: u32 = 1000;

/// When heart-beats go and are to come; 0 means not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeartBeat {
    send_ms: u32,
    expect_ms: u32,
}

impl HeartBeat {
    /// How often the server sends one.
    #[must_use]
    pub fn send_every(self) -> Option<Duration> {
        (self.send_ms > 0).then(|| Duration::from_millis(self.send_ms.into()))
    }

    /// The silence after which the client is taken for gone: twice what it promised, for the line takes its time too.
    #[must_use]
    pub fn silence_max(self) -> Option<Duration> {
        (self.expect_ms > 0).then(|| Duration::from_millis(u64::from(self.expect_ms) * 2))
    }

    /// Agrees with a client that can send every `sends` and wants to receive every `wants` (0: not at all).
    fn agree(sends: u32, wants: u32) -> Self {
        let agree = |theirs: u32| if theirs == 0 { 0 } else { theirs.max(HEART_BEAT_MS) };
        Self { send_ms: agree(wants), expect_ms: agree(sends) }
    }
}

/// A STOMP connection.
///
#[derive(Debug)]
pub struct Stomp {
    /// What most connections do without most of the time.
    more: Option<Box<More>>,
    subscribed_ever: u32,
    state: State,
    /// Its only subscription, if that is plain.
    plain: Option<ShortId>,
}

/// It lies in the slot of every open connection.
const _: () = assert!(size_of::<Stomp>() <= 32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Accepts: CONNECT or STOMP. Next: `Connected`.
    Connecting,
    /// Accepts: every other client frame.
    Connected(Version),
}

impl Stomp {
    /// A STOMP connection right after its handshake.
    #[must_use]
    pub const fn new() -> Self {
        Self { more: None, subscribed_ever: 0, state: State::Connecting, plain: None }
    }

    /// Whether CONNECT has come.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state != State::Connecting
    }

    /// The member that the connection speaks for.
    #[must_use]
    pub fn member(&self) -> Option<&MemberId> {
        self.more.as_ref()?.member.as_ref()
    }

    /// Whether what it says next is the location that the receipt of a COMMIT hangs on.
    #[must_use]
    pub fn ends_transaction(&self) -> bool {
        let transactions = self.more.as_ref().and_then(|more| more.transactions.as_ref());
        let next = transactions.and_then(|transactions| transactions.committed.front());
        matches!(next, Some(Event::Publish(Said { receipt: Some(_), .. })))
    }

    /// Memory held for half a frame, transactions, several subscriptions, and what those wait to have acknowledged.
    pub(super) fn held_bytes(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.held_bytes())
    }

    fn transactions_mut(&mut self) -> Option<&mut Transactions> {
        self.more.as_mut()?.transactions.as_deref_mut()
    }

    /// Gives up the room for what the connection does without by now.
    fn tidy(&mut self) {
        self.more.take_if(|more| more.is_empty());
    }

    /// Takes the next frame; what the protocol itself answers is written to `out`.
    pub(super) fn decode(&mut self, input: &mut [u8], cx: &Context<'_>, out: &mut Vec<u8>) -> Step {
        let step = self.decode_next(input, cx, out);
        self.tidy();
        step
    }

    fn decode_next(&mut self, input: &mut [u8], cx: &Context<'_>, out: &mut Vec<u8>) -> Step {
        if let Some(event) = self.transactions_mut().and_then(|open| open.committed.pop_front()) {
            return Step::new(0, event);
        }
        let more = self.more.as_mut();
        if let Some(held) = more.and_then(|more| more.held.take_if(|held| !held.is_partial)) {
            let event = self.decode_held(held, cx, out);
            if event.is_some() {
                return Step { used: 0, event };
            }
        }
        // A frame that is a little too long is told so by STOMP; a message too long for both, by WebSocket.
        let bytes_max = cx.limits.body_bytes_max + cx.limits.frame_bytes_max;
        let mut messages = Messages::new(Side::Client);
        if let Some(more) = &mut self.more {
            mem::swap(&mut messages, &mut more.messages);
        }
        let (used, heard) = websocket::hear(&mut messages, input, websocket::bounds(bytes_max), out);
        if !messages.is_idle() {
            self.more.get_or_insert_default().messages = messages;
        }
        let event = match heard {
            Heard::Nothing => None,
            Heard::Text(text) => self.decode_payload(text.as_bytes(), cx, out),
            Heard::Binary(bytes) => self.decode_payload(&bytes, cx, out),
            Heard::End(event) => Some(event),
        };
        Step { used, event }
    }

    fn decode_payload(&mut self, payload: &[u8], cx: &Context<'_>, out: &mut Vec<u8>) -> Option<Event> {
        if let Some(mut held) = self.more.as_mut().and_then(|more| more.held.take()) {
            held.bytes.extend_from_slice(payload);
            return self.decode_held(held, cx, out);
        }
        let mut scan = Scan::default();
        let (used, event) = self.decode_frames(payload, &mut scan, cx, out);
        if used < payload.len() {
            let bytes = payload[used..].to_vec();
            let held = Held { bytes, at: 0, scan, is_partial: event.is_none() };
            self.more.get_or_insert_default().held = Some(Box::new(held));
        }
        event
    }

    fn decode_held(&mut self, mut held: Box<Held>, cx: &Context<'_>, out: &mut Vec<u8>) -> Option<Event> {
        let (used, event) = self.decode_frames(&held.bytes[held.at..], &mut held.scan, cx, out);
        held.at += used;
        held.is_partial = event.is_none();
        if held.is_partial {
            // What is done with goes before more is appended.
            held.bytes.drain(..held.at);
            held.at = 0;
        }
        if held.at < held.bytes.len() {
            self.more.get_or_insert_default().held = Some(held);
        }
        event
    }

    /// Decodes frames until one asks for something, or the rest is part of one; says how many bytes are done with.
    fn decode_frames(
        &mut self,
        bytes: &[u8],
        scan: &mut Scan,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> (usize, Option<Event>) {
        let limits = FrameLimits {
            frame_bytes_max: cx.limits.frame_bytes_max,
            headers_max: cx.limits.frame_headers_max,
        };
        let mut at = 0;
        while at < bytes.len() {
            // CONNECT may be in front of frames that its version spells differently.
            let event = match stomp_frame::decode(&bytes[at..], self.version(), limits, scan) {
                Ok(Parsed::Partial) => break,
                Ok(Parsed::Complete { value: Item::LineEnds, used }) => {
                    at += used;
                    None
                }
                Ok(Parsed::Complete { value: Item::Frame(frame), used }) => {
                    at += used;
                    match self.handle_frame(&frame, cx, out) {
                        Ok(event) => event,
                        Err(error) => {
                            let receipt = frame.headers.value("receipt");
                            Some(self.refuse(out, &error, receipt.as_deref()))
                        }
                    }
                }
                Err(error) => Some(self.refuse(out, &StompError::Frame(error), None)),
            };
            if event.is_some() {
                return (at, event);
            }
        }
        (at, None)
    }

    fn version(&self) -> Version {
        match self.state {
            State::Connecting => Version::V10,
            State::Connected(version) => version,
        }
    }

    fn handle_frame(
        &mut self,
        frame: &Frame<'_>,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, StompError> {
        let opens = matches!(frame.command, Command::Connect | Command::Stomp);
        match (self.state, opens) {
            (State::Connecting, false) => return Err(StompError::NotConnected),
            (State::Connected(_), true) => return Err(StompError::ConnectedAlready),
            (State::Connecting, true) | (State::Connected(_), false) => {}
        }
        let receipt = frame.headers.value("receipt").map(|id| Box::from(id.as_ref()));
        match frame.command {
            Command::Connect | Command::Stomp => self.handle_connect(frame, receipt, cx, out).map(Some),
            Command::Subscribe => self.handle_subscribe(frame, receipt, cx).map(Some),
            Command::Unsubscribe => self.handle_unsubscribe(frame, receipt).map(Some),
            Command::Send => self.handle_send(frame, receipt, cx, out),
            Command::Ack | Command::Nack => self.handle_ack(frame, receipt, out),
            Command::Begin => self.handle_begin(frame, receipt, out),
            Command::Commit => self.handle_commit(frame, receipt, out),
            Command::Abort => self.handle_abort(frame, receipt, out),
            Command::Disconnect => Ok(Some(Event::Disconnect { receipt })),
            Command::Connected | Command::Message | Command::Receipt | Command::Error => {
                Err(StompError::ServerFrame(frame.command))
            }
        }
    }

    fn handle_connect(
        &mut self,
        frame: &Frame<'_>,
        receipt: Option<Box<str>>,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Event, StompError> {
        let version = field::negotiate(frame.headers.value("accept-version").as_deref())?;
        let (sends, wants) =
            frame.headers.value("heart-beat").map_or(Ok((0, 0)), |value| field::heart_beat(&value))?;
        if let Some(name) = frame.headers.value("member") {
            let member = MemberId::new(&name).ok_or(StompError::BadMember)?;
            self.more.get_or_insert_default().member = Some(member);
        }
        self.state = State::Connected(version);
        let (shard, conn) = cx.name;
        let session = format!("{}-{}-{}", shard.index(), conn.slot, conn.generation);
        let server = concat!("geoloop/", env!("CARGO_PKG_VERSION"));
        let offered = (HEART_BEAT_MS, HEART_BEAT_MS);
        send(out, |out| encode::encode_connected(out, version, server, &session, offered));
        self.give_receipt(out, receipt.as_deref());
        Ok(Event::Connected { heart_beat: HeartBeat::agree(sends, wants) })
    }

    fn handle_subscribe(
        &mut self,
        frame: &Frame<'_>,
        receipt: Option<Box<str>>,
        cx: &Context<'_>,
    ) -> Result<Event, StompError> {
        let version = self.version();
        let group = Destination::parse(&field::need(frame, "destination")?)?.to_subscribe()?;
        let ack = AckMode::parse(frame.headers.value("ack").as_deref())?;
        let id = match version {
            Version::V10 => frame.headers.value("id"),
            Version::V11 | Version::V12 => Some(field::need(frame, "id")?),
        };
        let name = name_of(id.as_deref(), version, group);
        let since = match frame.headers.value("since") {
            Some(since) => {
                let number = parse_decimal(since.as_bytes()).and_then(Seq::new);
                Some(number.ok_or(StompError::BadSince)?)
            }
            None => None,
        };
        let prefetch_count = match frame.headers.value("prefetch-count") {
            Some(count) => Some(read_prefetch_count(&count).ok_or(StompError::BadPrefetchCount)?),
            None => None,
        };
        if self.place(&name).is_some() {
            return Err(StompError::IdInUse);
        }
        if self.subscriptions() >= cx.limits.subscriptions_max {
            return Err(StompError::SubscriptionsMax(cx.limits.subscriptions_max));
        }
        let place = self.add(name, Window::new(ack, prefetch_count));
        let sub = u16::try_from(place).expect("--max-subscriptions is at most 65,535");
        Ok(Event::Subscribe { sub, group, since, receipt })
    }

    fn handle_unsubscribe(
        &mut self,
        frame: &Frame<'_>,
        receipt: Option<Box<str>>,
    ) -> Result<Event, StompError> {
        let version = self.version();
        let name = match (frame.headers.value("id"), version) {
            (Some(id), Version::V10 | Version::V11 | Version::V12) => Name::Id(escaped(&id, version)),
            // 1.0 lets a subscription without an id be ended by its destination.
            (None, Version::V10) => {
                let destination = field::need(frame, "destination")?;
                Name::Destination(Destination::parse(&destination)?.to_subscribe()?)
            }
            (None, Version::V11 | Version::V12) => {
                return Err(FieldError::Missing { command: frame.command, header: "id" }.into());
            }
        };
        let sub = self.place(&name).and_then(|place| u16::try_from(place).ok());
        Ok(Event::Unsubscribe { sub: sub.ok_or(StompError::UnknownSubscription)?, receipt })
    }

    fn handle_send(
        &mut self,
        frame: &Frame<'_>,
        receipt: Option<Box<str>>,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, StompError> {
        let group = Destination::parse(&field::need(frame, "destination")?)?.to_publish();
        let body = Ok(json::decode_publish(frame.body, cx.now.unix).map_err(StompError::Publish)?);
        match frame.headers.value("transaction") {
            None => {
                Ok(Some(Event::Publish(Said { group: Some(group), body, receipt, bytes: frame.body.len() })))
            }
            Some(id) => {
                let said = Said { group: Some(group), body, receipt: None, bytes: frame.body.len() };
                self.hold_back(&id, Act::Publish(said), frame.body.len())?;
                self.give_receipt(out, receipt.as_deref());
                Ok(None)
            }
        }
    }

    fn handle_ack(
        &mut self,
        frame: &Frame<'_>,
        receipt: Option<Box<str>>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, StompError> {
        let (ordinal, seq) = field::acknowledged(frame, self.version())?;
        if let Some(id) = frame.headers.value("transaction") {
            self.hold_back(&id, Act::Acknowledge { ordinal, seq }, 0)?;
            self.give_receipt(out, receipt.as_deref());
            return Ok(None);
        }
        let event = self.acknowledge(ordinal, seq)?;
        self.give_receipt(out, receipt.as_deref());
        Ok(event)
    }

    fn handle_begin(
        &mut self,
        frame: &Frame<'_>,
        receipt: Option<Box<str>>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, StompError> {
        let id = field::need(frame, "transaction")?;
        self.more.get_or_insert_default().transactions.get_or_insert_default().begin(&id)?;
        self.give_receipt(out, receipt.as_deref());
        Ok(None)
    }

    fn hold_back(&mut self, id: &str, act: Act, body_bytes: usize) -> Result<(), StompError> {
        let transactions = self.transactions_mut().ok_or(StompError::UnknownTransaction)?;
        transactions.hold_back(id, act, body_bytes)
    }

    fn handle_commit(
        &mut self,
        frame: &Frame<'_>,
        receipt: Option<Box<str>>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, StompError> {
        let acts = self.end_transaction(frame)?;
        let mut events = VecDeque::with_capacity(acts.len());
        for act in acts {
            match act {
                Act::Publish(said) => events.push_back(Event::Publish(said)),
                Act::Acknowledge { ordinal, seq } => events.extend(self.acknowledge(ordinal, seq)?),
            }
        }
        // The receipt comes once the last location is numbered.
        match events.iter_mut().rev().find(|event| matches!(event, Event::Publish(_))) {
            Some(Event::Publish(said)) => said.receipt = receipt,
            Some(_) | None => self.give_receipt(out, receipt.as_deref()),
        }
        let first = events.pop_front();
        if let Some(transactions) = self.transactions_mut() {
            transactions.committed = events;
        }
        Ok(first)
    }

    fn handle_abort(
        &mut self,
        frame: &Frame<'_>,
        receipt: Option<Box<str>>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, StompError> {
        self.end_transaction(frame)?;
        self.give_receipt(out, receipt.as_deref());
        Ok(None)
    }

    fn end_transaction(&mut self, frame: &Frame<'_>) -> Result<Vec<Act>, StompError> {
        let id = field::need(frame, "transaction")?;
        self.transactions_mut().ok_or(StompError::UnknownTransaction)?.end(&id)
    }

    /// Writes a receipt, if one was asked for.
    pub fn give_receipt(&self, out: &mut Vec<u8>, receipt: Option<&str>) {
        if let Some(receipt) = receipt {
            send(out, |out| encode::encode_receipt(out, self.version(), receipt));
        }
    }

    /// Writes an ERROR and the Close behind it.
    pub fn encode_error(&self, out: &mut Vec<u8>, message: &str, detail: &str, receipt: Option<&str>) {
        send(out, |out| encode::encode_error(out, self.version(), message, detail, receipt));
        websocket_frame::encode_close(out, CloseCode::POLICY, message);
    }

    /// Writes the goodbye of a server that goes down and comes back.
    pub fn encode_restart(&self, out: &mut Vec<u8>) {
        let detail = "the server is draining: reconnect";
        send(out, |out| encode::encode_error(out, self.version(), "draining", detail, None));
        websocket::encode_restart(out);
    }

    fn refuse(&self, out: &mut Vec<u8>, error: &StompError, receipt: Option<&str>) -> Event {
        let detail = error.to_string();
        if matches!(error, StompError::Field(FieldError::NoCommonVersion)) {
            send(out, |out| encode::encode_no_common_version(out, &detail));
            websocket_frame::encode_close(out, CloseCode::PROTOCOL_ERROR, &detail);
        } else {
            self.encode_error(out, &detail, &detail, receipt);
        }
        Event::failed(error.reason())
    }
}

impl Default for Stomp {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes the Close that answers DISCONNECT, which needs no more words.
pub fn encode_goodbye(out: &mut Vec<u8>) {
    websocket_frame::encode_close(out, CloseCode::NORMAL, "");
}

/// Writes a heart-beat: a line end in a message of its own.
pub fn encode_heart_beat(out: &mut Vec<u8>) {
    websocket_frame::encode_frame(out, Opcode::Text, b"\n");
}

/// Writes a STOMP frame as one WebSocket text message.
fn send(out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let mut frame = Vec::with_capacity(256);
    encode(&mut frame);
    websocket_frame::encode_frame(out, Opcode::Text, &frame);
}

/// How many unacknowledged messages a client wants at most; one at least, or it would never get any.
fn read_prefetch_count(count: &str) -> Option<usize> {
    let count = usize::try_from(parse_decimal(count.as_bytes())?).ok()?;
    (count > 0).then_some(count)
}

/// What a subscription is named by that a client asks for.
fn name_of(id: Option<&str>, version: Version, group: GroupId) -> Name {
    id.map_or(Name::Destination(group), |id| Name::Id(escaped(id, version)))
}

fn escaped(id: &str, version: Version) -> Box<[u8]> {
    let mut out = Vec::with_capacity(id.len());
    append_escaped(&mut out, id, version);
    out.into()
}

#[cfg(test)]
mod tests;
