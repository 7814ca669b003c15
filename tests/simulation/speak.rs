//! What peers say: requests, locations and frames of every kind, and what no client may say.

use crate::harness::http::{get, post};
use crate::harness::websocket::{frame, unmasked_frame, upgrade};
use crate::life::Life;
use crate::model::{Fate, Publish, Since};
use crate::peer::{About, Ask, Kind};

const MEMBERS: [&str; 5] = ["m0", "m1", "m2", "m3", "m4"];
/// Members that WebSockets speak for, and nobody else.
const SPOKEN_FOR: [&str; 3] = ["w0", "w1", "w2"];

impl Life {
    /// A newcomer of some kind, whose socket takes much or little.
    pub(crate) fn open_somebody(&mut self) {
        let kinds = [Kind::Asker, Kind::Poller, Kind::EventStream, Kind::WebSocket, Kind::Stomp, Kind::Stomp];
        let kind = self.world.chance.pick(&kinds);
        let group = self.draw_group();
        let shard = self.below(self.world.workers());
        let (room, bite) = match self.below(10) {
            0..=5 => (usize::MAX, usize::MAX),
            6 | 7 => (usize::MAX, 2 + self.below(200)),
            _ => (self.below(900), usize::MAX),
        };
        let index = self.connect(kind, group, shard, room, bite);
        match kind {
            Kind::Asker => self.speak_http(index),
            Kind::Poller => self.poll_first(index),
            Kind::EventStream => {
                let since = self.draw_since(group);
                let member = if self.once_in(3) { "e0" } else { "" };
                self.open_stream(index, since, member);
            }
            Kind::WebSocket => {
                let since = self.draw_since(group);
                let member = if self.once_in(2) { self.world.chance.pick(&SPOKEN_FOR) } else { "" };
                self.open_stream(index, since, member);
            }
            Kind::Stomp => self.open_stomp(index),
        }
    }

    /// Some peer says the next thing that one of its kind says.
    pub(crate) fn speak_somebody(&mut self) {
        let Some(index) = self.draw_peer() else { return };
        if self.peers[index].is_witness || !self.peers[index].is_well() {
            return;
        }
        match self.peers[index].kind {
            Kind::Asker => self.speak_http(index),
            Kind::Poller if self.peers[index].asks.is_empty() => self.poll_next(index),
            Kind::Poller | Kind::EventStream => {}
            Kind::WebSocket => self.speak_websocket(index),
            Kind::Stomp => self.speak_stomp(index),
        }
    }

    /// Where a subscriber wants to begin.
    pub(crate) fn draw_since(&mut self, group: u64) -> Since {
        let draw = self.below(1000);
        match self.below(6) {
            0 | 1 => Since::Now,
            2 => Since::After(0),
            3 => Since::Lost,
            _ => self.model.any_seq(group, draw).map_or(Since::Now, Since::After),
        }
    }

    /// The cursor that says so; one from another life lies above or below all that the group ever gave.
    pub(crate) fn cursor_of(&mut self, group: u64, since: Since) -> Option<u64> {
        match since {
            Since::Now => None,
            Since::After(seq) => Some(seq),
            Since::Lost if self.once_in(2) => Some(5),
            Since::Lost => Some(self.model.newest(group).max(1 << 52) + 1_000_000_000_000),
        }
    }

    pub(crate) fn ask(&mut self, index: usize, about: About, group: u64, request: &str) {
        let ask = Ask {
            head_only: request.starts_with("HEAD"),
            about,
            floor: self.model.newest(group),
            sent_at: self.world.now.tick,
        };
        self.peers[index].asks.push_back(ask);
        self.world.send(index, request.as_bytes());
    }

    /// Asks for an event stream or a WebSocket.
    pub(crate) fn open_stream(&mut self, index: usize, since: Since, member: &str) {
        let (kind, group) = (self.peers[index].kind, self.peers[index].group);
        let cursor = self.cursor_of(group, since);
        self.peers[index].subscriber = Some(self.subscribe(index, group, since, false));
        let mut query = String::from("?");
        if !member.is_empty() {
            self.peers[index].member = Some(member.to_owned());
            self.model.spoken_for.insert((group, member.to_owned()));
            query.push_str(&format!("member={member}&"));
        }
        let request = match (kind, cursor) {
            (Kind::WebSocket, cursor) => {
                let since = cursor.map_or(String::new(), |cursor| format!("since={cursor}"));
                upgrade(&format!("/ws/{group}{query}{since}"))
            }
            (_, Some(cursor)) if self.once_in(2) => {
                let target = format!("/location/sse/{group}{query}");
                get(&target).replacen("\r\n\r\n", &format!("\r\nLast-Event-ID: {cursor}\r\n\r\n"), 1)
            }
            (_, cursor) => {
                let since = cursor.map_or(String::new(), |cursor| format!("last_event_id={cursor}"));
                get(&format!("/location/sse/{group}{query}{since}"))
            }
        };
        self.ask(index, About::Opening, group, &request);
    }

    fn poll_first(&mut self, index: usize) {
        let group = self.peers[index].group;
        let since = self.draw_since(group);
        self.peers[index].cursor = self.cursor_of(group, since);
        self.peers[index].subscriber = Some(self.subscribe(index, group, since, true));
        self.poll_next(index);
    }

    /// Polls with the cursor that the last answer gave.
    pub(crate) fn poll_next(&mut self, index: usize) {
        let (group, cursor) = (self.peers[index].group, self.peers[index].cursor);
        let Some(subscriber) = self.peers[index].subscriber else { return };
        self.poll(index, group, cursor, subscriber);
    }

    fn poll(&mut self, index: usize, group: u64, since: Option<u64>, subscriber: usize) {
        let timeout_ms = if self.settles { 60_000 } else { self.below(3_000) as u64 };
        let mut target = format!("/location/long/{group}?timeout={timeout_ms}");
        if let Some(since) = since {
            target.push_str(&format!("&since={since}"));
        }
        if self.once_in(4) {
            target.push_str("&member=m0");
        }
        self.ask(index, About::Poll { subscriber, since, timeout_ms }, group, &get(&target));
    }

    /// A location for a group; its number in the model, and its body.
    pub(crate) fn draw_publish(&mut self, index: usize, group: u64) -> (usize, String) {
        let member = match (&self.peers[index].member, self.world.chance.below(3)) {
            (Some(_), 0 | 1) | (None, 0) => None,
            _ => Some(self.world.chance.pick(&MEMBERS)),
        };
        let at = self.once_in(4).then(|| self.world.now.unix.0 + self.below(4000) as u64 - 2000);
        let named = member.map(str::to_owned).or_else(|| self.peers[index].member.clone());
        let speaking = &self.model.speaking;
        let spoken = named.as_ref().is_some_and(|named| speaking.contains(&(index, group, named.clone())));
        let publish =
            Publish { group, member: named, at, peer: index, spoken, receipted: false, fate: Fate::Open };
        let id = self.model.publish(publish);
        let member = member.map_or(String::new(), |member| format!("\"member\":\"{member}\","));
        let at = at.map_or(String::new(), |at| format!(",\"at\":{at}"));
        (id, format!("{{{member}\"x\":{id},\"y\":0{at}}}"))
    }

    /// Says that a member has left.
    pub(crate) fn draw_leave(&mut self, group: u64) -> String {
        let member = self.world.chance.pick(&MEMBERS);
        self.model.said_to_leave.insert((group, member.to_owned()));
        format!("{{\"member\":\"{member}\",\"left\":true}}")
    }

    /// One to three requests, one behind the other.
    fn speak_http(&mut self, index: usize) {
        for _ in 0..1 + self.below(3) {
            let group = if self.once_in(2) { self.peers[index].group } else { self.draw_group() };
            match self.below(20) {
                0..=8 => self.ask_to_publish(index, group),
                9 => {
                    let body = self.draw_leave(group);
                    self.ask(
                        index,
                        About::Leave(group),
                        group,
                        &post(&format!("/location/share/{group}"), &body),
                    );
                }
                10 => self.ask(index, About::MadeUp(group), group, &post(&format!("/cur/{group}"), "hello")),
                11 | 12 => self.ask_for_newest(index, group),
                13 | 14 => {
                    self.ask(index, About::Snapshot(group), group, &get(&format!("/location/group/{group}")));
                }
                15 => {
                    let since = self.draw_since(group);
                    let subscriber = self.subscribe(index, group, since, true);
                    let cursor = self.cursor_of(group, since);
                    self.poll(index, group, cursor, subscriber);
                }
                16 => {
                    let head = get(&format!("/location/long/{group}")).replacen("GET", "HEAD", 1);
                    self.ask(index, About::PollHead(group), group, &head);
                }
                17 => self.ask(index, About::Ready, group, &get("/readyz")),
                18 => self.ask(index, About::Scrape, group, &get("/metrics")),
                _ => self.ask_what_is_refused(index, group),
            }
        }
    }

    /// A short poll, of a client that may have the newest update already.
    fn ask_for_newest(&mut self, index: usize, group: u64) {
        let known = Some(self.model.newest(group)).filter(|seq| *seq > 0 && self.once_in(2));
        let mut request = get(&format!("/location/cur/{group}"));
        if let Some(known) = known {
            let field = format!("\r\nIf-None-Match: \"{known}\"\r\n\r\n");
            request = request.replacen("\r\n\r\n", &field, 1);
        }
        self.ask(index, About::Current(group, known), group, &request);
    }

    fn ask_to_publish(&mut self, index: usize, group: u64) {
        let (id, body) = self.draw_publish(index, group);
        let target = match self.below(4) {
            0 => format!("/location/long/{group}/notify"),
            1 => format!("/location/cur/{group}"),
            2 => format!("/location/sse/share?group={group}"),
            _ => format!("/location/share/{group}"),
        };
        let mut request = post(&target, &body);
        if self.once_in(4) {
            let (first, second) = body.split_at(3);
            request = format!(
                "POST {target} HTTP/1.1\r\nHost: geoloop\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
                second.len()
            );
        }
        self.ask(index, About::Publish(id), group, &request);
    }

    /// What is answered whatever else happens, and by itself.
    fn ask_what_is_refused(&mut self, index: usize, group: u64) {
        let (status, request) = match self.below(6) {
            0 => (404, get("/nowhere")),
            1 => (400, get("/location/cur/x")),
            2 => (405, get("/location/cur/1").replacen("GET", "DELETE", 1)),
            3 => (400, post(&format!("/location/share/{group}"), "{\"x\":1}")),
            4 => (204, get("/location/cur/1").replacen("GET", "OPTIONS", 1)),
            _ => {
                let request = get("/location/sse/connect");
                return self.ask(index, About::OneShot, 0, &request);
            }
        };
        self.ask(index, About::Status(status), group, &request);
    }

    fn speak_websocket(&mut self, index: usize) {
        let group = self.peers[index].group;
        // Nothing may be said before the handshake is answered.
        if !self.peers[index].opened {
            return;
        }
        for _ in 0..1 + self.below(3) {
            match self.below(12) {
                0..=7 => {
                    let (_, body) = self.draw_publish(index, group);
                    self.send_text(index, &body);
                }
                8 => {
                    let body = self.draw_leave(group);
                    self.send_text(index, &body);
                }
                _ => {
                    let payload = vec![b'p'; self.below(126)];
                    self.world.send(index, &frame(0x89, &payload));
                    self.peers[index].pings.push_back(payload);
                }
            }
        }
    }

    /// A text message, in one frame or in several with a ping between them.
    pub(crate) fn send_text(&mut self, index: usize, text: &str) {
        if !self.once_in(4) {
            return self.world.send(index, &frame(0x81, text.as_bytes()));
        }
        let (first, second) = text.split_at(self.below(text.len()));
        self.world.send(index, &frame(0x01, first.as_bytes()));
        if self.once_in(2) {
            self.world.send(index, &frame(0x89, b"between"));
            self.peers[index].pings.push_back(b"between".to_vec());
        }
        self.world.send(index, &frame(0x80, second.as_bytes()));
    }

    /// Some peer goes, in one way or another.
    pub(crate) fn end_somebody(&mut self) {
        let Some(index) = self.draw_peer() else { return };
        if self.peers[index].is_witness || self.peers[index].gone || self.world.sockets[index].finished {
            return;
        }
        match self.below(6) {
            0 | 1 => {
                // While it is parked that means that it has vanished.
                let parks = self.peers[index].asks.iter().any(|ask| matches!(ask.about, About::Poll { .. }));
                self.retire(
                    index,
                    if parks { "it closed its side while parked" } else { "it closed its side" },
                );
                self.world.finish(index);
            }
            2 => {
                self.retire(index, "it was reset");
                self.world.reset(index);
            }
            3 => {
                self.retire(index, "it vanished");
                self.world.sockets[index].room = 0;
            }
            _ => self.break_protocol(index),
        }
    }

    /// It says what no client of its kind may say, or says farewell as they do.
    fn break_protocol(&mut self, index: usize) {
        if !self.peers[index].is_well() {
            return;
        }
        let opened = self.peers[index].opened || self.peers[index].stomp.connected;
        let kind = self.peers[index].kind;
        let bytes = match kind {
            Kind::Asker | Kind::Poller => match self.below(4) {
                0 => b"GET /location/cur/1 HTTP/1.1\r\nHost".to_vec(),
                1 => b"GET / HTTP/1.1\r\nHost: x\r\n bad\r\n\r\n".to_vec(),
                2 => b"POST /cur/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{\"x\":1".to_vec(),
                _ => b"\0\0\0\0".to_vec(),
            },
            Kind::EventStream => return,
            Kind::WebSocket | Kind::Stomp if !opened => return,
            Kind::Stomp if self.once_in(2) => return self.break_stomp(index),
            Kind::WebSocket | Kind::Stomp => match self.below(4) {
                0 => unmasked_frame(0x81, b"{}"),
                1 => frame(0x81, b"\xff\xff"),
                2 => frame(0xf1, b"reserved"),
                _ => {
                    self.peers[index].closed_with = Some(3001);
                    frame(0x88, &3001u16.to_be_bytes())
                }
            },
        };
        self.retire(index, "it broke the protocol or said goodbye");
        self.world.send(index, &bytes);
    }

    /// A peer is about to go: nothing more is expected of it or for it.
    pub(crate) fn retire(&mut self, index: usize, why: &'static str) {
        let peer = &mut self.peers[index];
        peer.excuse = Some(why);
        peer.gone = true;
        for subscription in &mut peer.stomp.subscriptions {
            subscription.ending = true;
        }
        self.model.speaking.retain(|(speaker, ..)| *speaker != index);
    }
}
