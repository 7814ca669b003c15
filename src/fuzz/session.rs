//! Whole sessions: peers say what the input has them say, to a server of two shards in memory.
//!
//! An input is a list of steps, as the module `script` reads them: who joins, what is sent in which reads, how much the
//! sockets take, how time passes and when mail arrives. Whatever they are,
//!
//! - every byte that is written is legal, and updates come in order, each once;
//! - nobody is owed more than the limits say;
//! - once everybody has left, no connection is left, and a while later no group;
//! - where nothing but the cut of the reads differs, everybody is told the same.

use std::time::Duration;

use crate::fuzz::contains;
use crate::fuzz::legal::{self, ANSWERS, CONTROL, Lanes};
use crate::fuzz::script::{PEERS_MAX, Step, Tongue, steps};
use crate::fuzz::server::{SHARDS, Server, limits};
use crate::shard::Standing;
use crate::wire::http::request::HeadLimits;
use crate::wire::websocket::frame::{self, Opcode};
use crate::wire::websocket::mask;

/// How much time may pass in all: more than any time-out, and three comments on an event stream.
const WAIT_MS_MAX: u64 = 50_000;

/// Longest input that is sent a second time in single bytes, which takes as many turns.
const BYTEWISE_BYTES_MAX: usize = 2048;

/// The subscriptions of the STOMP peer that is there from the beginning.
const SUBSCRIBED: &[u8] = b"CONNECT\naccept-version:1.2\nhost:geo.example\nmember:carol\n\n\0\
    SUBSCRIBE\nid:a\ndestination:/sub/location/0\nack:client\n\n\0SUBSCRIBE\nid:b\ndestination:/sub/location/1\n\n\0";

/// A session that begins with one connection that has said nothing.
pub fn session_http(data: &[u8]) {
    check(data, &[(Tongue::Http, 0)]);
}

/// A session that begins with a WebSocket in group 0 and an event stream of it.
pub fn session_websocket(data: &[u8]) {
    check(data, &[(Tongue::WebSocket, 0), (Tongue::Sse, 0)]);
}

/// A session that begins with a STOMP connection that has said nothing and a WebSocket in group 0.
pub fn session_stomp(data: &[u8]) {
    check(data, &[(Tongue::Stomp, 0), (Tongue::WebSocket, 0)]);
}

/// A session that begins with a peer of every tongue, the one that speaks STOMP subscribed to groups 0 and 1.
pub fn session_mix(data: &[u8]) {
    let all = [(Tongue::Http, 0), (Tongue::Sse, 0), (Tongue::WebSocket, 1), (Tongue::Stomp, 1)];
    check(data, &all);
}

fn check(data: &[u8], present: &[(Tongue, u8)]) {
    let told = live(data, present, false);
    if data.len() <= BYTEWISE_BYTES_MAX && steps(data).all(is_calm) && !has_window(data) {
        compare(&told, &live(data, present, true));
    }
}

/// Whether a step leaves it to the order of what is said alone what everybody is told.
fn is_calm(step: Step<'_>) -> bool {
    match step {
        Step::Join { .. }
        | Step::Send { .. }
        | Step::Frame { .. }
        | Step::Say { .. }
        | Step::HangUp { .. }
        | Step::Wait { .. } => true,
        Step::Room { .. }
        | Step::ReadClosed { .. }
        | Step::Break { .. }
        | Step::Rest
        | Step::Deliver
        | Step::Jam { .. }
        | Step::Drain { .. } => false,
    }
}

/// A window of unacknowledged messages conflates by the turn.
fn has_window(data: &[u8]) -> bool {
    contains(data, b"ack:client")
}

/// Lives one session; what everybody was told.
fn live(data: &[u8], present: &[(Tongue, u8)], bytewise: bool) -> Vec<Lanes> {
    let mut session =
        Session { server: Server::new(), tongues: Vec::new(), speaker: 0, bytewise: false, waited_ms: 0 };
    for (tongue, digit) in present {
        session.join(*tongue, *digit);
    }
    if present.len() > 2 {
        session.say(3, SUBSCRIBED);
    }
    session.bytewise = bytewise;
    for step in steps(data) {
        session.take(step);
        session.server.check_queues();
    }
    session.server.close_all();
    let limits = limits();
    let heads =
        HeadLimits { head_bytes_max: limits.head_bytes_max, target_bytes_max: limits.target_bytes_max };
    let peers = session.server.peers.iter();
    let told =
        peers.map(|peer| legal::read(&peer.sent, &peer.got, peer.cut_off, &heads, limits.body_bytes_max));
    let told = told.collect();
    session.server.check_forgotten();
    told
}

struct Session {
    server: Server,
    tongues: Vec<Tongue>,
    /// Who said something last.
    speaker: usize,
    /// What the input has them say is read in single bytes.
    bytewise: bool,
    waited_ms: u64,
}

impl Session {
    fn take(&mut self, step: Step<'_>) {
        match step {
            Step::Join { tongue, digit } => self.join(tongue, digit),
            Step::Send { peer, bytes, singly } => {
                self.speaker = self.peer(peer);
                self.server.send(self.speaker, bytes, singly || self.bytewise);
            }
            Step::Frame { peer, fin, opcode, payload } => {
                self.speaker = self.peer(peer);
                self.frame(fin, opcode, payload);
            }
            Step::Say { bytes } => self.say(self.speaker, bytes),
            Step::Room { peer, bytes } => self.server.make_room(self.peer(peer), bytes),
            Step::HangUp { peer } => self.server.hang_up(self.peer(peer), false),
            Step::ReadClosed { peer } => self.server.hang_up(self.peer(peer), true),
            Step::Break { peer } => self.server.break_off(self.peer(peer)),
            Step::Wait { ms } => {
                let wait_ms = ms.min(WAIT_MS_MAX - self.waited_ms);
                self.waited_ms += wait_ms;
                self.server.pass(Duration::from_millis(wait_ms));
            }
            Step::Rest => self.server.rest(!self.server.mail_rests()),
            Step::Deliver => self.server.deliver_one(),
            Step::Jam { shard } => {
                let shard = usize::from(shard) % SHARDS;
                self.server.jam(shard, !self.server.is_jammed(shard));
            }
            Step::Drain { ms } => self.server.drain(Duration::from_millis(ms)),
        }
    }

    fn peer(&self, digit: u8) -> usize {
        usize::from(digit) % self.tongues.len()
    }

    fn join(&mut self, tongue: Tongue, digit: u8) {
        if self.tongues.len() == PEERS_MAX {
            return;
        }
        let standing = if tongue == Tongue::Surplus { Standing::Surplus } else { Standing::Guest };
        let peer = self.server.join(usize::from(digit) % SHARDS, standing);
        self.tongues.push(tongue);
        self.speaker = peer;
        let group = digit % 10;
        let hello = match tongue {
            Tongue::Http | Tongue::Surplus => return,
            Tongue::WebSocket => upgrade(&format!("/ws/{group}?member=m{peer}&since=0")),
            Tongue::Stomp => upgrade("/location"),
            Tongue::Sse => {
                format!("GET /location/sse/{group}?last_event_id=0 HTTP/1.1\r\nHost: geo.example\r\n\r\n")
            }
        };
        self.server.send(peer, hello.as_bytes(), false);
    }

    /// Has a peer say something in its tongue.
    fn say(&mut self, peer: usize, bytes: &[u8]) {
        self.speaker = peer;
        match self.tongues[peer] {
            Tongue::Http | Tongue::Surplus | Tongue::Sse => self.server.send(peer, bytes, self.bytewise),
            Tongue::WebSocket | Tongue::Stomp => self.frame(true, Opcode::Text, bytes),
        }
    }

    fn frame(&mut self, fin: bool, opcode: Opcode, payload: &[u8]) {
        let key = [0x47, 0x65, 0x6f, payload.len() as u8];
        let mut out = Vec::new();
        frame::encode_head(&mut out, fin, opcode, payload.len(), Some(key));
        let start = out.len();
        out.extend_from_slice(payload);
        mask::apply(key, 0, &mut out[start..]);
        self.server.send(self.speaker, &out, self.bytewise);
    }
}

fn upgrade(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: geo.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// What everybody was told by reads as they were sent, against the same in single bytes.
///
/// A turn that hears more may tell less: whoever closes or breaks a rule in it is not told any more what came before it
/// in the same turn. But what is told is the same and in the same order.
fn compare(told: &[Lanes], bytewise: &[Lanes]) {
    // What is no request is refused the sooner the more of it is read at once. From then on the two may differ in who has
    // which slot and which lot, so in names of sessions, in waits, and in made-up locations.
    if told.iter().chain(bytewise).any(was_refused) {
        return;
    }
    for (peer, (told, bytewise)) in told.iter().zip(bytewise).enumerate() {
        for (lane, whole) in told {
            let single = bytewise.get(lane).map_or(&[][..], Vec::as_slice);
            let mut rest = single.iter().filter(|item| !is_interim(item));
            let is_part = whole.iter().all(|item| is_interim(item) || rest.any(|other| other == item));
            assert!(is_part, "peer {peer}, {lane}: {}\nin single bytes: {}", show(whole), show(single));
            if lane == ANSWERS {
                assert_eq!(
                    rest.next(),
                    None,
                    "peer {peer}: {}\nin single bytes: {}",
                    show(whole),
                    show(single)
                );
            }
            if lane == CONTROL {
                assert_eq!(whole.last(), single.last(), "peer {peer}: {}", show(single));
            }
        }
    }
}

/// `100 Continue`, which says only that a body was not there yet.
fn is_interim(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 100 ")
}

/// Whether a peer was told no and that its connection closes.
fn was_refused(told: &Lanes) -> bool {
    let says_no = |answer: &Vec<u8>| {
        let is_error = answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 5");
        is_error && contains(answer, b"\r\nConnection: close\r\n")
    };
    told.get(ANSWERS).is_some_and(|answers| answers.iter().any(says_no))
}

fn show(items: &[Vec<u8>]) -> String {
    format!("{:?}", items.iter().map(|item| String::from_utf8_lossy(item)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer was told so much in each of its lanes.
    #[track_caller]
    fn check_told(data: &[u8], present: &[(Tongue, u8)], peer: usize, expected: &[(&str, usize)]) {
        let told = live(data, present, false);
        let counts: Vec<_> = told[peer].iter().map(|(lane, items)| (lane.as_str(), items.len())).collect();
        assert_eq!(
            counts,
            expected,
            "{:#?}",
            told[peer].values().map(|items| show(items)).collect::<Vec<_>>()
        );
    }

    const PUBLISH: &str =
        "POST /location/share/0 HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n{\"x\":1,\"y\":2}";
    const ALL: [(Tongue, u8); 4] =
        [(Tongue::Http, 0), (Tongue::Sse, 0), (Tongue::WebSocket, 0), (Tongue::Stomp, 1)];

    #[test]
    fn everybody_in_a_group_is_told_of_a_publish() {
        let data = PUBLISH.as_bytes();
        // The one that speaks STOMP says CONNECT and subscribes first, so that it spoke last.
        let said = [b"b0", data].concat();
        check_told(&said, &ALL, 0, &[(ANSWERS, 1)]);
        check_told(&said, &ALL, 1, &[(ANSWERS, 1), ("events", 1)]);
        check_told(&said, &ALL, 2, &[(ANSWERS, 1), ("updates", 1)]);
        check_told(&said, &ALL, 3, &[(ANSWERS, 1), (CONTROL, 1), ("subscription 0", 1)]);
    }

    #[test]
    fn reads_in_single_bytes_are_a_session_of_their_own() {
        let said = [b"b0", PUBLISH.as_bytes()].concat();
        let bytewise = live(&said, &ALL, true);
        assert_eq!(bytewise[3]["subscription 0"].len(), 1);
        compare(&live(&said, &ALL, false), &bytewise);
    }

    #[test]
    fn mail_that_rests_is_not_answered_before_it_goes_on() {
        // Groups 0 and 1 are at home on different shards, or the same, so one of the two moves or neither.
        let waits = |data: &str| live(data.as_bytes(), &[(Tongue::Http, 0)], false)[0][ANSWERS].len();
        let two = PUBLISH.to_owned() + &PUBLISH.replace("share/0", "share/1");
        assert_eq!(waits(&format!("m\x1e{two}\x1em")), 2);
        assert_eq!(waits(&format!("j0\x1ej1\x1eb0{two}\x1ez10\x1ej1\x1ej0")), 2);
    }

    #[test]
    #[should_panic(expected = "peer 0")]
    fn an_update_that_only_one_of_two_was_told_is_found() {
        let lanes = |items: &[&str]| {
            let items = items.iter().map(|item| item.as_bytes().to_vec()).collect();
            vec![Lanes::from([("updates".to_owned(), items)])]
        };
        compare(&lanes(&["1", "3", "2"]), &lanes(&["1", "2", "3"]));
    }
}
