//! Faults that a server may have, planted once into what one connection is told: takes the server's bytes apart into
//! messages as a client does, and changes exactly one.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use geoloop::wire::websocket::frame::{self, Side};
use geoloop::wire::{Parsed, sse};

use crate::proxy::Tamper;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An update is not told.
    Drop,
    /// Two updates are told in the other order.
    Swap,
    /// An update is told twice.
    Repeat,
    /// In an update's place one is told that somebody else was told, who listens to another group.
    Foreign,
    /// The connection is cut between two updates.
    Cut,
    /// The connection is cut in the middle of an update.
    CutShort,
    /// One byte of an update is another.
    Garble,
    /// A MESSAGE names another group as its destination.
    Destination,
    /// A MESSAGE names another subscription.
    Subscription,
    /// A poll is answered with the ETag of another update.
    Tag,
    /// A poll is answered with the first update that this poller had ever been given.
    Stale,
}

/// Which connection is hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// The one that was accepted as that.
    Number(usize),
    /// Any that is told enough updates.
    Anybody,
}

/// One fault, and where it is planted.
pub(crate) struct Plant {
    pub(crate) fault: Fault,
    pub(crate) victim: Victim,
    /// How many updates the victim is told before.
    pub(crate) behind: usize,
    is_planted: AtomicBool,
    /// The newest update that the next connection behind the victim was told.
    foreign: Mutex<Option<Vec<u8>>>,
}

impl Plant {
    pub(crate) fn new(fault: Fault, victim: Victim, behind: usize) -> Arc<Self> {
        let (is_planted, foreign) = (AtomicBool::new(false), Mutex::new(None));
        Arc::new(Self { fault, victim, behind, is_planted, foreign })
    }

    pub(crate) fn is_planted(&self) -> bool {
        self.is_planted.load(Ordering::SeqCst)
    }

    /// What the proxy is to do with a connection.
    pub(crate) fn tamper(self: &Arc<Self>, number: usize, request: &[u8]) -> Option<Box<dyn Tamper>> {
        let (is_victim, is_lender) = match self.victim {
            Victim::Number(victim) => (number == victim, number == victim + 1),
            // Publishers and witnesses ask in another way.
            Victim::Anybody => (request.windows(20).any(|at| at == b"Upgrade: websocket\r\n"), false),
        };
        (is_victim || is_lender).then(|| -> Box<dyn Tamper> {
            Box::new(Planter {
                plant: Arc::clone(self),
                is_victim,
                request: String::from_utf8_lossy(request).into_owned(),
                units: Units::of(request),
                told: 0,
                first: None,
                before: None,
                held: None,
            })
        })
    }
}

/// The messages of one connection.
struct Units {
    kind: Kind,
    has_head: bool,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Answers,
    Events,
    Frames,
}

impl Units {
    fn of(request: &[u8]) -> Self {
        let text = String::from_utf8_lossy(request);
        let kind = if text.contains("Upgrade: websocket") {
            Kind::Frames
        } else if text.starts_with("GET /location/sse/") {
            Kind::Events
        } else {
            Kind::Answers
        };
        Self { kind, has_head: false, bytes: Vec::new() }
    }

    /// The next whole message.
    fn next(&mut self) -> Option<Vec<u8>> {
        let length = match self.kind {
            Kind::Answers => self.answer_length()?,
            _ if !self.has_head => {
                let length = self.head_length()?;
                self.has_head = true;
                length
            }
            Kind::Events => match sse::decode(&self.bytes) {
                Parsed::Complete { used, .. } => used,
                Parsed::Partial => return None,
            },
            Kind::Frames => {
                match frame::decode(&self.bytes, Side::Server).expect("the server sends frames") {
                    Parsed::Complete { value, used } => used + value.payload_len as usize,
                    Parsed::Partial => return None,
                }
            }
        };
        (self.bytes.len() >= length).then(|| self.bytes.drain(..length).collect())
    }

    fn head_length(&self) -> Option<usize> {
        place_of(&self.bytes, b"\r\n\r\n").map(|at| at + 4)
    }

    fn answer_length(&self) -> Option<usize> {
        let head = self.head_length()?;
        let length =
            header(&self.bytes[..head], "Content-Length").map_or(0, |length| length.parse().unwrap());
        Some(head + length)
    }
}

fn place_of(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|at| at == part)
}

/// Makes the number or name behind a mark another one, as long as that.
fn spell_otherwise(unit: &mut [u8], mark: &[u8]) {
    let start = place_of(unit, mark).expect("the mark is there") + mark.len();
    let length = unit[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let last = &mut unit[start + length - 1];
    *last = if *last == b'1' { b'2' } else { b'1' };
}

fn header(head: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

/// Where the update of a message is; a location, for a leave owes nobody a place.
fn update_of(unit: &[u8]) -> Option<(usize, usize)> {
    let start = place_of(unit, b"{\"seq\":")?;
    let end = start + place_of(&unit[start..], b"}")? + 1;
    place_of(&unit[start..end], b"\"x\":").map(|_| (start, end))
}

/// One connection's tamper.
struct Planter {
    plant: Arc<Plant>,
    is_victim: bool,
    request: String,
    units: Units,
    /// Updates that were told so far.
    told: usize,
    first: Option<Vec<u8>>,
    before: Option<Vec<u8>>,
    /// An update that is told behind the next one, or not at all.
    held: Option<Vec<u8>>,
}

impl Tamper for Planter {
    fn pass(&mut self, bytes: &[u8], down: &mut Vec<u8>, up: &mut Vec<u8>) -> bool {
        self.units.bytes.extend_from_slice(bytes);
        while let Some(unit) = self.units.next() {
            if update_of(&unit).is_none() {
                down.extend_from_slice(&unit);
            } else if !self.is_victim {
                *self.plant.foreign.lock().unwrap() = Some(unit.clone());
                down.extend_from_slice(&unit);
            } else if !self.pass_update(unit, down, up) {
                return false;
            }
        }
        true
    }
}

impl Planter {
    fn pass_update(&mut self, unit: Vec<u8>, down: &mut Vec<u8>, up: &mut Vec<u8>) -> bool {
        if let Some(held) = self.held.take() {
            self.pass_behind_held(&held, &unit, down);
        } else if self.told < self.plant.behind || self.plant.is_planted() {
            down.extend_from_slice(&unit);
        } else {
            let goes_on = self.pass_at_the_place(&unit, down, up);
            self.told += 1;
            return goes_on;
        }
        self.told += 1;
        self.first.get_or_insert_with(|| unit.clone());
        self.before = Some(unit);
        true
    }

    /// Somebody else may have been hurt meanwhile; then all is told as it came.
    fn pass_behind_held(&self, held: &[u8], unit: &[u8], down: &mut Vec<u8>) {
        let order: &[&[u8]] = match (self.claim(), self.plant.fault) {
            (true, Fault::Drop) => &[unit],
            (true, Fault::Swap) => &[unit, held],
            _ => &[held, unit],
        };
        order.iter().for_each(|unit| down.extend_from_slice(unit));
    }

    fn claim(&self) -> bool {
        !self.plant.is_planted.swap(true, Ordering::SeqCst)
    }

    fn pass_at_the_place(&mut self, unit: &[u8], down: &mut Vec<u8>, up: &mut Vec<u8>) -> bool {
        let (start, end) = update_of(unit).expect("it was seen above");
        let mut other = unit.to_vec();
        let is_answer = self.units.kind == Kind::Answers;
        match self.plant.fault {
            Fault::Drop | Fault::Swap if !is_answer => {
                self.held = Some(other);
                return true;
            }
            Fault::Drop if self.request.starts_with("GET /location/long") => {
                self.ask_for_the_next(unit, up);
                other.clear();
            }
            // An answer that never comes.
            Fault::Drop | Fault::Swap => other.clear(),
            // Whoever polls with a cursor is told the one before again in place of this one, and then asks for this one.
            Fault::Repeat if is_answer => {
                other.clone_from(self.before.as_ref().expect("it is not the first"))
            }
            Fault::Repeat => other.extend_from_slice(unit),
            Fault::Foreign => match self.foreign_of(unit, (start, end)) {
                Some(foreign) => other = foreign,
                None => {
                    down.extend_from_slice(unit);
                    return true;
                }
            },
            Fault::Cut => {}
            Fault::CutShort => other.truncate(start + 10),
            Fault::Garble => {
                let x = start + place_of(&unit[start..end], b"\"x\":").expect("it is a location");
                other[x + 1] = b'X';
            }
            Fault::Destination => spell_otherwise(&mut other, b"/sub/location/"),
            Fault::Subscription => spell_otherwise(&mut other, b"subscription:"),
            Fault::Tag => spell_otherwise(&mut other, b"ETag: \""),
            Fault::Stale => other.clone_from(self.first.as_ref().expect("it is not the first")),
        }
        if !self.claim() {
            down.extend_from_slice(unit);
            return true;
        }
        down.extend_from_slice(&other);
        !matches!(self.plant.fault, Fault::Cut | Fault::CutShort)
    }

    /// A whole message that somebody else was told; of an answer the content alone, for its head is about this request.
    fn foreign_of(&self, unit: &[u8], (start, end): (usize, usize)) -> Option<Vec<u8>> {
        let foreign = self.plant.foreign.lock().unwrap().clone()?;
        if self.units.kind != Kind::Answers {
            return Some(foreign);
        }
        let (from, to) = update_of(&foreign)?;
        // Another length would be another fault.
        (to - from == end - start).then(|| [&unit[..start], &foreign[from..to], &unit[end..]].concat())
    }

    /// The tool goes on waiting for the answer to its long poll, and is given the one behind this.
    fn ask_for_the_next(&self, answer: &[u8], up: &mut Vec<u8>) {
        let target = self.request.split([' ', '?']).nth(1).expect("a request names a target");
        let cursor = header(answer, "Location-Seq").expect("an answer to a long poll has a cursor");
        let request = format!("GET {target}?since={cursor}&timeout=60000 HTTP/1.1\r\nHost: proxy\r\n\r\n");
        up.extend_from_slice(request.as_bytes());
    }
}
