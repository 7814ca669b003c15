//! Clients of all five transports that come, speak, listen and go at random, and what each of them must hear.
//!
//! Every member's name begins with its group's number and every location's `y` is that number, so that an update of
//! another group is found out. Whoever keeps up hears contiguous numbers; who reads slowly hears growing ones.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;

use crate::fleet::{Fleet, PeerId, Said, Setup};
use crate::harness::http::{Answer, get};
use crate::harness::stomp::frame;
use crate::harness::update::Update;
use crate::peer::{Dialect, What, close_frame, text_frame};

/// The groups that there are all the time.
pub(crate) const GROUPS: std::ops::Range<u64> = 100..106;
/// Where the groups begin that are made for one client and expire after it.
const FRESH_GROUPS: u64 = 10_000;
/// One client in so many has a group of its own.
const FRESH_SHARE: u64 = 10;
/// Short enough that a poll often ends without an update, in a group that nobody else is in.
const PARK_MS: u64 = 700;

/// How a client takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    WebSocket,
    Sse,
    Stomp,
    LongPoll,
    ShortPoll,
    Post,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::WebSocket, Self::Sse, Self::Stomp, Self::LongPoll, Self::ShortPoll, Self::Post];
}

/// What one client has heard of one group.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    seq: u64,
    /// The newest `x` of the member that publishes without a break.
    steady: Option<u64>,
}

#[derive(Clone, Debug)]
struct Client {
    kind: Kind,
    groups: Vec<u64>,
    /// The name that its connection speaks for.
    speaks: Option<String>,
    open: bool,
    slow: bool,
    /// Has said goodbye: its end is no surprise.
    leaving: bool,
    heard: BTreeMap<u64, Heard>,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) opened: u64,
    pub(crate) left: u64,
    pub(crate) died: u64,
    pub(crate) published: u64,
    pub(crate) heard: u64,
    pub(crate) gaps_of_slow: u64,
}

/// All clients.
pub(crate) struct Crowd {
    pub(crate) fleet: Fleet,
    pub(crate) counts: Counts,
    rng: Rng,
    clients: HashMap<PeerId, Client>,
    /// Those who stay; steady publishers among them.
    keepers: Vec<PeerId>,
    slow: Vec<PeerId>,
    steady: Vec<(u64, PeerId)>,
    steady_x: u64,
    short_pollers: Vec<PeerId>,
    churners: Vec<PeerId>,
    churners_max: usize,
}

impl Crowd {
    /// Those who stay, `each` of each transport in each group, and room for so many who come and go.
    pub(crate) fn gather(fleet: Fleet, rng: Rng, each: usize, churners_max: usize) -> Self {
        let mut crowd = Self {
            fleet,
            counts: Counts::default(),
            rng,
            clients: HashMap::new(),
            keepers: Vec::new(),
            slow: Vec::new(),
            steady: Vec::new(),
            steady_x: 0,
            short_pollers: Vec::new(),
            churners: Vec::new(),
            churners_max,
        };
        for group in GROUPS {
            for kind in [Kind::WebSocket, Kind::Sse, Kind::LongPoll, Kind::ShortPoll] {
                for _ in 0..each {
                    let id = crowd.open(kind, vec![group], None, false);
                    crowd.keepers.push(id);
                }
            }
            for kind in [Kind::WebSocket, Kind::Sse] {
                let id = crowd.open(kind, vec![group], None, true);
                crowd.slow.push(id);
            }
            let id = crowd.open(Kind::Post, vec![group], None, false);
            crowd.steady.push((group, id));
        }
        for _ in 0..each {
            let id = crowd.open(Kind::Stomp, GROUPS.collect(), None, false);
            crowd.keepers.push(id);
        }
        let id = crowd.open(Kind::Stomp, GROUPS.collect(), None, true);
        crowd.slow.push(id);
        crowd
    }

    fn open(&mut self, kind: Kind, groups: Vec<u64>, speaks: Option<String>, slow: bool) -> PeerId {
        let group = groups[0];
        let query = speaks.as_ref().map_or_else(String::new, |member| format!("?member={member}"));
        let dialect = match kind {
            Kind::WebSocket => Dialect::WebSocket(format!("/ws/{group}{query}")),
            Kind::Sse => Dialect::Sse(format!("/location/sse/{group}{query}")),
            Kind::Stomp => Dialect::Stomp(speaks.clone(), groups.clone()),
            Kind::LongPoll | Kind::ShortPoll | Kind::Post => Dialect::Http,
        };
        let open = dialect == Dialect::Http;
        let receive_buffer = slow.then_some(4096);
        let id = self.fleet.open(dialect, Setup { receive_buffer, ..Setup::default() });
        let client = Client { kind, groups, speaks, open, slow, leaving: false, heard: BTreeMap::new() };
        match kind {
            Kind::LongPoll => self.park(id, group, None),
            Kind::ShortPoll => self.short_pollers.push(id),
            Kind::WebSocket | Kind::Sse | Kind::Stomp | Kind::Post => {}
        }
        self.clients.insert(id, client);
        self.counts.opened += 1;
        id
    }

    fn park(&mut self, id: PeerId, group: u64, since: Option<u64>) {
        let since = since.map_or_else(String::new, |since| format!("&since={since}"));
        let target = format!("/location/long/{group}?timeout={PARK_MS}{since}");
        self.fleet.send(id, get(&target).as_bytes());
    }

    /// Somebody comes, goes or publishes.
    pub(crate) fn act(&mut self) {
        match self.rng.u8(..10) {
            0..4 if self.churners.len() < self.churners_max => self.come(),
            0..7 => self.go(),
            _ => self.speak(),
        }
    }

    fn come(&mut self) {
        let kind = Kind::ALL[self.rng.usize(..Kind::ALL.len())];
        let group = if self.rng.u64(..FRESH_SHARE) == 0 {
            FRESH_GROUPS + self.counts.opened
        } else {
            self.rng.u64(GROUPS)
        };
        let speaks = self.rng.bool().then(|| format!("{group}-c{}", self.counts.opened));
        let mut groups = vec![group];
        // A name that begins with one group's number is spoken for in that group alone.
        if kind == Kind::Stomp && speaks.is_none() {
            groups.extend(GROUPS.filter(|other| *other != group).take(self.rng.usize(..3)));
        }
        let id = self.open(kind, groups, speaks, false);
        self.churners.push(id);
        if kind == Kind::Post {
            // Who connects and says nothing is closed after `--head-timeout`.
            self.publish(id);
        }
    }

    fn go(&mut self) {
        if self.churners.is_empty() {
            return;
        }
        let place = self.rng.usize(..self.churners.len());
        let id = self.churners.swap_remove(place);
        let client = self.clients.get_mut(&id).expect("who comes and goes is a client");
        let mut goodbye = Vec::new();
        match client.kind {
            _ if !client.open => {}
            Kind::WebSocket => close_frame(&mut goodbye, 1000),
            Kind::Stomp => text_frame(&mut goodbye, &frame("DISCONNECT", &[("receipt", "bye")], "")),
            Kind::Post | Kind::Sse | Kind::LongPoll | Kind::ShortPoll => {}
        }
        if self.rng.bool() {
            self.counts.died += 1;
            self.clients.remove(&id);
            return self.fleet.reset(id);
        }
        self.counts.left += 1;
        if goodbye.is_empty() {
            self.clients.remove(&id);
            return self.fleet.close(id);
        }
        client.leaving = true;
        self.fleet.send(id, &goodbye);
    }

    fn speak(&mut self) {
        if self.churners.is_empty() {
            return;
        }
        let id = self.churners[self.rng.usize(..self.churners.len())];
        self.publish(id);
    }

    fn publish(&mut self, id: PeerId) {
        let client = &self.clients[&id];
        let can = matches!(client.kind, Kind::WebSocket | Kind::Stomp | Kind::Post);
        if !can || !client.open {
            return;
        }
        let group = client.groups[self.rng.usize(..client.groups.len())];
        let member = format!("{group}-n{}", self.rng.u64(..40));
        let spoken_for = client.speaks.is_some() && client.kind != Kind::Post;
        let body = match self.rng.u8(..8) {
            _ if spoken_for => format!(r#"{{"x":{},"y":{group}}}"#, self.rng.u32(..1000)),
            0 => format!(r#"{{"member":"{member}","left":true}}"#),
            _ => format!(r#"{{"member":"{member}","x":{},"y":{group}}}"#, self.rng.u32(..1000)),
        };
        self.fleet.publish(id, group, &body);
        self.counts.published += 1;
    }

    /// The member of each group that never misses a beat publishes.
    pub(crate) fn publish_steadily(&mut self) {
        for (group, id) in self.steady.clone() {
            let x = self.steady_x;
            self.fleet.publish(id, group, &format!(r#"{{"member":"{group}-steady","x":{x},"y":{group}}}"#));
            self.counts.published += 1;
        }
        self.steady_x += 1;
    }

    /// The slow ones take a little, and give a sign of life.
    pub(crate) fn sip(&mut self, bytes: usize) {
        for id in self.slow.clone() {
            if self.clients.get(&id).is_some_and(|client| client.open) {
                self.fleet.stop_reading(id);
                self.fleet.sip(id, bytes);
                self.publish(id);
            }
        }
    }

    /// Everybody who polls at fixed times does so.
    pub(crate) fn poll(&mut self) {
        let clients = &self.clients;
        self.short_pollers.retain(|id| clients.contains_key(id));
        for id in self.short_pollers.clone() {
            let group = self.clients[&id].groups[0];
            self.fleet.send(id, get(&format!("/location/cur/{group}")).as_bytes());
        }
    }

    /// Waits for something to be heard until this moment, and checks it.
    pub(crate) fn turn(&mut self, until_micros: u64) {
        for said in self.fleet.turn(until_micros) {
            self.hear(said);
        }
    }

    fn hear(&mut self, said: Said) {
        let Some(client) = self.clients.get_mut(&said.peer) else { return };
        match said.what {
            What::Opened => client.open = true,
            What::Update(update, subscription) => {
                let group = subscription.unwrap_or(client.groups[0]);
                client.hear(group, &update, &mut self.counts);
            }
            What::Answer(answer) => self.hear_answer(said.peer, answer),
            What::Words(words) => {
                assert!(client.leaving, "{words:?} to {client:?}");
                self.fleet.close(said.peer);
                self.clients.remove(&said.peer);
            }
            What::Ended => {
                assert!(client.leaving, "the end of {client:?}");
                self.clients.remove(&said.peer);
            }
        }
    }

    fn hear_answer(&mut self, id: PeerId, answer: Answer) {
        let client = self.clients.get_mut(&id).expect("who is answered is a client");
        let group = client.groups[0];
        assert!(matches!(answer.status, 200 | 204), "{answer:?} to {client:?}");
        match client.kind {
            Kind::LongPoll => {
                if answer.status == 200 {
                    client.hear(group, &answer.update(), &mut self.counts);
                }
                self.park(id, group, Some(answer.location_seq()));
            }
            Kind::ShortPoll if answer.status == 200 => {
                let update = answer.update();
                check_group(group, &update);
                let heard = client.heard.entry(group).or_default();
                assert!(update.seq >= heard.seq, "{} after {}", update.text, heard.seq);
                heard.seq = update.seq;
            }
            Kind::ShortPoll => {}
            Kind::Post if answer.status == 200 => check_group(group, &answer.update()),
            // The leaving of somebody who is not there.
            Kind::Post => {}
            Kind::WebSocket | Kind::Sse | Kind::Stomp => panic!("refused: {answer:?} to {client:?}"),
        }
    }

    /// Whether all who stay and listen have heard this group up to that number.
    pub(crate) fn has_heard(&self, group: u64, seq: u64) -> bool {
        self.keepers.iter().all(|id| {
            let client = &self.clients[id];
            let listens = client.kind != Kind::ShortPoll && client.groups.contains(&group);
            !listens || client.heard.get(&group).is_some_and(|heard| heard.seq >= seq)
        })
    }

    /// Everybody is gone at once.
    pub(crate) fn close_all(mut self) -> Counts {
        self.fleet.close_all();
        self.counts
    }
}

impl Client {
    #[track_caller]
    fn hear(&mut self, group: u64, update: &Update, counts: &mut Counts) {
        assert!(self.groups.contains(&group), "{} for {group} to {self:?}", update.text);
        check_group(group, update);
        counts.heard += 1;
        let heard = self.heard.entry(group).or_default();
        let first = heard.seq == 0;
        let follows = if self.slow { update.seq > heard.seq } else { update.seq == heard.seq + 1 };
        assert!(first || follows, "{} follows {} to {:?} of {group}", update.text, heard.seq, self.kind);
        assert!(self.slow || !update.gap, "a gap to {:?}, which keeps up: {}", self.kind, update.text);
        heard.seq = update.seq;
        counts.gaps_of_slow += u64::from(update.gap);
        let is_steady = update.member.as_deref().is_some_and(|member| member.ends_with("-steady"));
        // It leaves, as one does who has fallen silent, once the load has ended.
        if let Some((x, _)) = update.location.filter(|_| is_steady) {
            let x = x as u64;
            let beat = heard.steady.replace(x);
            let next = beat.is_none_or(|before| if self.slow { x > before } else { x == before + 1 });
            assert!(next, "{} follows {beat:?}: a publish was lost", update.text);
        }
    }
}

#[track_caller]
fn check_group(group: u64, update: &Update) {
    let member = update.member.as_deref().unwrap_or_default();
    let of_group = member.split_once('-').is_some_and(|(named, _)| named == group.to_string());
    assert!(of_group, "{} in group {group}", update.text);
    if let Some((_, y)) = update.location {
        assert_eq!(y, group as f64, "{} in group {group}", update.text);
    }
}
