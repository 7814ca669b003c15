//! One conversation on its own: bytes in, events and bytes out, in the order of a connection's turn.

use std::mem;

use crate::clock::{Now, Tick, UnixMs};
use crate::ids::{ConnId, ShardId};
use crate::limits::Limits;
use crate::session::origin::Origins;
use crate::session::{Context, Event, Policy, Session};
use crate::wire::Parsed;
use crate::wire::http::response::HttpDate;
use crate::wire::websocket::frame::{self, Opcode, Side};

/// A session with its unread bytes, and what it has said and asked for.
pub(super) struct Talk {
    pub(super) session: Session,
    pub(super) limits: Limits,
    pub(super) policy: Policy,
    pub(super) draining: bool,
    pub(super) events: Vec<Event>,
    pub(super) out: Vec<u8>,
    unread: Vec<u8>,
    over: bool,
}

impl Talk {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            limits: Limits::default(),
            policy: Policy { simulate: true, echo: true, origins: Origins::default() },
            draining: false,
            events: Vec::new(),
            out: Vec::new(),
            unread: Vec::new(),
            over: false,
        }
    }

    /// Lets something be decided with what sessions may look at.
    pub(super) fn with_context<T>(&mut self, act: impl FnOnce(&mut Session, &Context<'_>) -> T) -> T {
        let date = HttpDate::from_unix_seconds(1_767_225_600);
        let cx = Context {
            now: Now { tick: Tick(0), micros: 0, unix: UnixMs(1_767_225_600_000) },
            date: &date,
            limits: &self.limits,
            policy: &self.policy,
            draining: self.draining,
            name: (ShardId(1), ConnId { slot: 2, generation: 3 }),
        };
        act(&mut self.session, &cx)
    }

    /// Bytes arrive: the session looks until it needs more, or is over.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        let mut unread = mem::take(&mut self.unread);
        let (mut used, mut out) = (0, mem::take(&mut self.out));
        while !self.over {
            let step = self.with_context(|session, cx| session.decode(&mut unread[used..], cx, &mut out));
            used += step.used;
            let idle = step.used == 0 && step.event.is_none();
            self.over = matches!(step.event, Some(Event::Closed | Event::Failed { .. }));
            self.events.extend(step.event);
            if idle {
                break;
            }
        }
        self.out = out;
        self.unread = unread.split_off(used);
    }

    /// The same, a byte at a time.
    pub(super) fn hear_slowly(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hear(&[*byte]);
        }
    }

    /// Bytes that wait for more.
    pub(super) fn unread(&self) -> &[u8] {
        &self.unread
    }

    pub(super) fn out_text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// What was said since the last look, frame by frame.
    #[track_caller]
    pub(super) fn take_frames(&mut self) -> Vec<(Opcode, Vec<u8>)> {
        let out = mem::take(&mut self.out);
        let (mut rest, mut frames) = (&out[..], Vec::new());
        while !rest.is_empty() {
            let Ok(Parsed::Complete { value: head, used }) = frame::decode(rest, Side::Server) else {
                panic!("no whole frame: {:?}", String::from_utf8_lossy(rest))
            };
            let end = used + head.payload_len as usize;
            frames.push((head.opcode, rest[used..end].to_vec()));
            rest = &rest[end..];
        }
        frames
    }
}

/// A client's frame.
pub(super) fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_masked_frame(&mut out, opcode, payload, [1, 2, 3, 4]);
    out
}
