//! What peers are told, each thing held against what they asked and against the model.

use geoloop::limits::SlowConsumer;

use crate::harness::http::Answer;
use crate::harness::update::Update;
use crate::harness::websocket::frame;
use crate::life::Life;
use crate::model::{Fate, Since};
use crate::peer::{About, Ask, Kind};
use crate::reader::{Heard, Speech};
use crate::world::Place;

impl Life {
    /// Everyone reads what has come. Witnesses go first, so what anybody else is told is known already; where a shard has more
    /// to tell in its next turn nobody reads yet, for a witness might be told of it only then.
    pub(crate) fn hear(&mut self) {
        if self.world.has_more_to_tell() {
            return;
        }
        let sockets = &self.world.sockets;
        let is_over = |index: usize| sockets[index].shut || sockets[index].place == Place::Closed;
        self.model.speaking.retain(|(speaker, ..)| !is_over(*speaker));
        for index in 0..self.peers.len() {
            if self.peers[index].ended {
                continue;
            }
            self.note_slowness(index);
            let got = std::mem::take(&mut self.world.sockets[index].got);
            self.peers[index].reader.push(&got);
            if !got.is_empty() {
                while let Some(heard) = self.poll_heard(index) {
                    self.hear_one(index, heard);
                }
            }
            self.look_at_end(index);
        }
    }

    fn poll_heard(&mut self, index: usize) -> Option<Heard> {
        let peer = &mut self.peers[index];
        let head_only = peer.asks.front().is_some_and(|ask| ask.head_only);
        peer.reader.poll(head_only)
    }

    /// Whoever's socket was full once may be conflated from then on.
    fn note_slowness(&mut self, index: usize) {
        if self.world.sockets[index].quick {
            return;
        }
        let peer = &self.peers[index];
        let stream = peer.subscriber.filter(|_| peer.kind != Kind::Poller);
        let subscribers = peer.stomp.subscriptions.iter().map(|subscription| subscription.subscriber);
        for subscriber in stream.into_iter().chain(subscribers) {
            self.model.subscribers[subscriber].slow = true;
        }
    }

    fn hear_one(&mut self, index: usize, heard: Heard) {
        match heard {
            Heard::Answer(answer) => self.hear_answer(index, &answer),
            Heard::Comment => self.note_opened(index),
            Heard::Retry => self.hear_retry(index),
            Heard::Event(update) => self.hear_update(index, &update),
            Heard::Text(text) => self.hear_text(index, &text),
            Heard::Ping(payload) => {
                // It may have closed its side before it read this.
                if self.peers[index].is_well() && !self.world.sockets[index].finished {
                    self.world.send(index, &frame(0x8a, &payload));
                }
            }
            Heard::Pong(payload) => {
                let pinged = self.peers[index].pings.pop_front();
                assert_eq!(pinged, Some(payload), "peer {index} got a pong for another ping");
            }
            Heard::Close(code) => self.hear_close(index, code),
            Heard::Frame(frame) => self.hear_frame(index, &frame),
            Heard::Beat => {}
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain_window.is_some()
    }

    /// Whether the limits of this life are so small that groups, members or snapshots may be refused.
    pub(crate) fn may_refuse(&self) -> bool {
        self.limits.groups_max < Self::groups().len() || self.limits.members_max < 100 || self.is_scant()
    }

    /// Whether a connection may be closed because too much is held: whoever holds something, and an open event stream
    /// that takes everything at once holds nothing.
    fn may_be_shed(&self, index: usize) -> bool {
        let peer = &self.peers[index];
        let holds_nothing = peer.kind == Kind::EventStream && peer.opened && self.world.sockets[index].quick;
        self.is_scant() && !holds_nothing
    }

    fn note_opened(&mut self, index: usize) {
        let draining = self.is_draining();
        let peer = &mut self.peers[index];
        if std::mem::replace(&mut peer.opened, true) {
            return;
        }
        let (group, member, is_well) = (peer.group, peer.member.clone(), peer.is_well() && !draining);
        if let Some(subscriber) = peer.subscriber {
            self.model.note_opened(subscriber);
        }
        if let Some(member) = member.filter(|_| is_well) {
            self.model.speaking.insert((index, group, member));
        }
    }

    /// The first one opens a stream, the next one ends it.
    fn hear_retry(&mut self, index: usize) {
        let (draining, may_refuse) = (self.is_draining(), self.may_refuse());
        let peer = &mut self.peers[index];
        peer.retries += 1;
        if peer.opened && peer.retries == 1 {
            return;
        }
        peer.reader.over = true;
        if peer.opened {
            assert!(draining, "the stream of peer {index} is ended without a drain");
            peer.told_drain = true;
            self.check_told_last(index);
        } else {
            assert!(draining || may_refuse, "the stream of peer {index} is refused for nothing");
        }
    }

    fn hear_update(&mut self, index: usize, update: &Update) {
        assert!(self.peers[index].opened, "peer {index} is told before its stream is open");
        let subscriber = self.peers[index].subscriber.expect("a stream is known to the model");
        self.model.receive(subscriber, update, self.world.now.tick.0);
    }

    fn hear_text(&mut self, index: usize, text: &str) {
        if text.starts_with("{\"error\"") {
            assert!(self.may_refuse(), "peer {index} is refused for nothing: {text}");
            self.peers[index].refusals += 1;
        } else {
            self.hear_update(index, &Update::parse(text));
        }
    }

    fn hear_close(&mut self, index: usize, code: Option<u16>) {
        let (draining, may_refuse) = (self.is_draining(), self.may_refuse());
        let peer = &mut self.peers[index];
        if code == Some(1012) {
            assert!(draining, "peer {index} is told of a drain that there is not");
            peer.told_drain = true;
            return self.check_told_last(index);
        }
        match (peer.kind, peer.closed_with) {
            (_, Some(sent)) if peer.excuse.is_some() => {
                // An ERROR for what came before may be on its way already.
                let failed = peer.kind == Kind::Stomp && code == Some(1008);
                let answers = code == Some(sent) || draining || failed;
                assert!(answers, "peer {index} closed with {sent} and got {code:?}");
            }
            (Kind::Stomp, _) if peer.stomp.leaving => {}
            (Kind::Stomp, _) if may_refuse => {}
            _ => assert!(peer.excuse.is_some(), "peer {index} is closed with {code:?} for nothing"),
        }
    }

    /// Before the goodbye of a drain goes what was owed: on the group's home shard that is all that there is.
    fn check_told_last(&self, index: usize) {
        let peer = &self.peers[index];
        let Place::At(shard, _) = self.world.sockets[index].place else { return };
        let Some(subscriber) = peer.subscriber else { return };
        let at_home = self.home(peer.group) == shard;
        if at_home && self.world.sockets[index].quick && peer.opened && !peer.is_witness {
            self.model.judge_end(subscriber);
        }
    }

    fn hear_answer(&mut self, index: usize, answer: &Answer) {
        let closes = answer.lists("Connection", "close");
        let now = self.world.now.tick;
        if answer.status == 408 {
            assert!(self.may_time_out(index), "peer {index} is told too early that it is late");
            self.peers[index].reader.over = true;
            return;
        }
        let asked = self.peers[index].asks.pop_front();
        self.peers[index].answered_at = now;
        let Some(ask) = asked else {
            let broke = self.peers[index].excuse.is_some() && (400..500).contains(&answer.status);
            assert!(broke && closes, "peer {index} gets an answer to nothing: {answer:?}");
            self.peers[index].reader.over = true;
            return;
        };
        self.check_answer(index, &ask, answer);
        let streams = self.peers[index].reader.speech != Speech::Http;
        if closes && !streams {
            let excused = self.peers[index].excuse.is_some();
            assert!(excused || self.is_draining(), "peer {index} is closed without a reason: {answer:?}");
            self.peers[index].reader.over = true;
        }
        if ask.head_only {
            assert!(answer.body.is_empty(), "a HEAD is answered with content: {answer:?}");
        }
    }

    fn check_answer(&mut self, index: usize, ask: &Ask, answer: &Answer) {
        let told = || format!("peer {index} asked {ask:?} and got {} {}", answer.status, answer.text());
        let now_ms = self.world.now.tick.0;
        if answer.status == 503 {
            let excused = self.is_draining() || self.may_refuse();
            assert!(excused && !matches!(ask.about, About::Status(_)), "{}", told());
            self.refused += u64::from(answer.text().contains("holds 90 %"));
            assert!(
                answer.header("Retry-After").is_some() || matches!(ask.about, About::Ready),
                "{}",
                told()
            );
            if self.peers[index].kind == Kind::Poller {
                self.retire(index, "it was refused");
            }
            return if let About::Publish(id) = ask.about {
                self.refuse_publish(id)
            };
        }
        match &ask.about {
            About::Publish(id) => self.check_published(*id, answer),
            About::MadeUp(group) | About::Leave(group) if answer.status == 200 => {
                self.model.note_update(*group, &answer.update(), now_ms);
            }
            About::MadeUp(_) => {
                let expected = if self.model.simulate { 200 } else { 400 };
                assert_eq!(answer.status, expected, "{}", told());
            }
            About::Leave(_) => assert_eq!(answer.status, 204, "{}", told()),
            About::Current(group, known) => self.check_current(*group, *known, ask.floor, answer),
            About::Snapshot(group) => self.check_snapshot(*group, ask.floor, answer),
            About::Poll { subscriber, since, timeout_ms } => {
                let waited = now_ms - ask.sent_at.0;
                assert!(
                    answer.status == 200 || waited >= *timeout_ms || self.is_draining(),
                    "{} after {waited} ms",
                    told()
                );
                self.check_poll(index, *subscriber, *since, answer);
            }
            About::PollHead(group) => {
                let is_new = answer.location_seq() >= ask.floor || !self.model.is_watched(*group);
                assert!(answer.status == 200 && is_new, "{}", told());
            }
            About::OneShot => self.check_one_shot(answer),
            About::Ready => {
                assert_eq!(answer.status, 200, "{}", told());
            }
            About::Scrape => assert_eq!((answer.status, answer.text().as_str()), (200, "counts\n")),
            About::Status(status) => assert_eq!(answer.status, *status, "{}", told()),
            About::Opening => self.open_speech(index, answer),
        }
    }

    fn open_speech(&mut self, index: usize, answer: &Answer) {
        let peer = &mut self.peers[index];
        let (status, speech) = match peer.kind {
            Kind::EventStream => (200, Speech::Sse),
            Kind::WebSocket => (101, Speech::WebSocket),
            Kind::Stomp => (101, Speech::Stomp),
            Kind::Asker | Kind::Poller => panic!("peer {index} opened nothing"),
        };
        assert_eq!(answer.status, status, "peer {index}: {answer:?}");
        peer.reader.speech = speech;
        if speech == Speech::WebSocket {
            self.note_opened(index);
        }
    }

    fn refuse_publish(&mut self, id: usize) {
        let publish = &mut self.model.publishes[id];
        assert_eq!(publish.fate, Fate::Open, "publish {id} was told to others and then refused");
        publish.fate = Fate::Refused;
    }

    fn check_published(&mut self, id: usize, answer: &Answer) {
        match answer.status {
            200 => {
                let update = answer.update();
                assert_eq!(update.location, Some((id as f64, 0.0)), "the answer to another publish");
                let group = self.model.publishes[id].group;
                self.model.note_update(group, &update, self.world.now.tick.0);
                assert_eq!(self.model.publishes[id].fate, Fate::Numbered(update.seq), "publish {id}");
            }
            409 => {
                self.model.check_stale(id);
                self.refuse_publish(id);
            }
            _ => panic!("publish {id} was answered with {answer:?}"),
        }
    }

    fn check_current(&mut self, group: u64, known: Option<u64>, floor: u64, answer: &Answer) {
        let mut updates = Vec::new();
        match answer.status {
            200 => {
                let update = answer.update();
                if update.seq == 0 {
                    let is_new = floor == 0 || !self.model.is_watched(group);
                    assert!(self.model.simulate && is_new, "a location of {group} is made up: {update:?}");
                    return;
                }
                assert_eq!(answer.header("ETag"), Some(format!("\"{}\"", update.seq).as_str()));
                updates.push(update);
            }
            204 => {}
            304 => updates.extend(known.and_then(|seq| self.model.update(group, seq))),
            _ => panic!("the newest of {group}: {answer:?}"),
        }
        assert!(answer.status != 304 || !updates.is_empty(), "what nobody knows of {group} has not changed");
        for update in &updates {
            self.model.note_update(group, update, self.world.now.tick.0);
        }
        self.model.check_present(group, floor, &updates, false);
    }

    /// A snapshot names its group, its cursor and each member's newest.
    pub(crate) fn check_snapshot(&mut self, group: u64, floor: u64, answer: &Answer) {
        let text = answer.clone().expect_status(200).text();
        let read = || {
            let rest = text.strip_prefix(&format!("{{\"group\":{group},\"seq\":"))?;
            let (seq, rest) = rest.split_once(",\"members\":[")?;
            Some((seq.parse::<u64>().ok()?, rest.strip_suffix("]}")?))
        };
        let (seq, members) = read().unwrap_or_else(|| panic!("no snapshot of {group}: {text}"));
        let updates: Vec<_> = members
            .split_inclusive('}')
            .map(|member| Update::parse(member.strip_prefix(',').unwrap_or(member)))
            .collect();
        for update in &updates {
            assert!(update.seq <= seq && update.location.is_some(), "{text}");
            self.model.note_update(group, update, self.world.now.tick.0);
        }
        assert!(seq >= floor || !self.model.is_watched(group), "an old snapshot of {group}: {text}");
        self.model.check_present(group, floor, &updates, true);
    }

    fn check_poll(&mut self, index: usize, subscriber: usize, since: Option<u64>, answer: &Answer) {
        let cursor = answer.location_seq();
        match answer.status {
            200 => {
                let update = answer.update();
                assert_eq!(cursor, update.seq, "peer {index}: {answer:?}");
                self.model.receive(subscriber, &update, self.world.now.tick.0);
            }
            204 => {
                let knows =
                    self.model.last_got(subscriber).or(match self.model.subscribers[subscriber].since {
                        Since::Now => None,
                        Since::After(seq) => Some(seq),
                        Since::Lost => None,
                    });
                self.model.check_nothing(subscriber, knows.filter(|seq| Some(*seq) == since), cursor);
                self.model.subscribers[subscriber].owed_from.get_or_insert(cursor + 1);
            }
            _ => panic!("a poll of peer {index} was answered with {answer:?}"),
        }
        if self.peers[index].kind == Kind::Poller {
            self.peers[index].cursor = Some(cursor);
        }
    }

    fn check_one_shot(&mut self, answer: &Answer) {
        if answer.status == 204 {
            return assert!(!self.model.simulate, "no location was made up: {answer:?}");
        }
        let text = answer.clone().expect_status(200).text();
        let data = text.split_once("\ndata: ").and_then(|(_, data)| data.strip_suffix("\n\n"));
        let update = Update::parse(data.unwrap_or_else(|| panic!("no event: {text:?}")));
        self.model.note_update(0, &update, self.world.now.tick.0);
    }

    /// Whether a deadline can have ended a connection by now.
    fn may_time_out(&self, index: usize) -> bool {
        let (peer, socket) = (&self.peers[index], &self.world.sockets[index]);
        let limits = &self.limits;
        let now = self.world.now.tick;
        match peer.reader.speech {
            Speech::Http => {
                let soonest = limits.head_timeout.min(limits.body_timeout).min(limits.idle_timeout);
                !socket.quick || now.since(peer.answered_at) >= soonest
            }
            Speech::Sse => false,
            Speech::WebSocket | Speech::Stomp => now.since(socket.read_at) >= limits.peer_timeout,
        }
    }

    /// The server has ended a connection: in whole messages, and not without a reason.
    fn look_at_end(&mut self, index: usize) {
        let socket = &self.world.sockets[index];
        let closed = socket.place == Place::Closed;
        if !socket.shut && !closed {
            return;
        }
        let peer = &self.peers[index];
        if socket.shut {
            let rest = peer.reader.rest();
            // Of half a HEAD the server may have read enough to know that it is one.
            let half_head = peer.asks.front().is_some_and(|ask| ask.head_only)
                && rest.starts_with(b"HTTP/1.1 408 ")
                && rest.ends_with(b"\r\n\r\n");
            assert!(
                rest.is_empty() || half_head,
                "peer {index} is ended in the middle: {}",
                crate::trace::shown(rest)
            );
        }
        let cut_off = self.limits.slow_consumer == SlowConsumer::Disconnect && !socket.quick;
        let idle = self.is_draining() && peer.reader.speech == Speech::Http;
        let may_be_shed = closed && self.may_be_shed(index);
        let reason = peer.excuse.is_some() || peer.reader.over || cut_off || idle || self.may_time_out(index);
        assert!(reason || may_be_shed, "peer {index} is ended without a reason");
        if peer.excuse == Some("it closed its side") && peer.kind == Kind::Asker && socket.quick {
            let waits = !self.is_draining() && !peer.reader.over && !self.may_time_out(index) && !may_be_shed;
            assert!(!waits || peer.asks.is_empty(), "peer {index} has no answer to {:?}", peer.asks);
        }
        if !reason {
            self.shed += 1;
        }
        if !self.peers[index].gone {
            self.retire(index, "the server ended it");
        }
        if self.peers[index].is_witness {
            self.model.stop_watching(self.peers[index].group);
        }
        self.peers[index].ended = true;
    }

    /// What peers do on their own once everything is to be settled; whether they did anything.
    pub(crate) fn go_on(&mut self) -> bool {
        let mut did = false;
        for index in 0..self.peers.len() {
            let socket = &self.world.sockets[index];
            if socket.shut && !socket.finished && !socket.reset && socket.place != Place::Closed {
                self.world.finish(index);
                did = true;
            }
            if !self.peers[index].is_well() || self.world.sockets[index].finished {
                continue;
            }
            match self.peers[index].kind {
                Kind::Stomp => did |= self.acknowledge_all(index),
                Kind::Poller if self.peers[index].asks.is_empty() => {
                    self.poll_next(index);
                    did = true;
                }
                Kind::Poller | Kind::Asker | Kind::EventStream | Kind::WebSocket => {}
            }
        }
        did
    }
}
