//! Who listens to a group: that nobody who keeps up misses anything, and how late everything came.

use std::collections::BTreeMap;

use crate::figures::Latencies;
use crate::fleet::{Fleet, PeerId};
use crate::harness::PATIENCE;
use crate::harness::update::Update;

/// Checks what one subscriber hears of one group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hearer {
    /// The newest update's number.
    pub(crate) seq: u64,
    /// How many updates came.
    pub(crate) heard: usize,
    /// How many of them told of a gap.
    pub(crate) gaps: usize,
    /// The newest `x` of each member.
    pub(crate) newest: BTreeMap<String, u64>,
}

impl Hearer {
    /// Hears an update as one does who keeps up: numbers are contiguous.
    #[track_caller]
    pub(crate) fn hear_all(&mut self, update: &Update) {
        assert!(!update.gap, "who keeps up misses nothing: {}", update.text);
        assert!(self.heard == 0 || update.seq == self.seq + 1, "{} follows {}", update.text, self.seq);
        self.seq = update.seq;
        self.heard += 1;
    }

    /// Hears an update as one does who may be conflated: numbers grow.
    #[track_caller]
    pub(crate) fn hear_some(&mut self, update: &Update) {
        assert!(update.seq > self.seq, "{} follows {}", update.text, self.seq);
        self.seq = update.seq;
        self.heard += 1;
        self.gaps += usize::from(update.gap);
        let member = update.member.clone().expect("every update here is named");
        self.newest.insert(member, update.point().0 as u64);
    }
}

/// Members that publish in turn at a fixed rate, whatever became of the publish before: the `x` of each publish is its
/// place in the row, so that whoever hears it knows when it was meant to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Publishers {
    connections: Vec<PeerId>,
    group: u64,
    members: u64,
    every_micros: u64,
    /// When each publish was meant to be sent.
    intended: Vec<u64>,
    due: u64,
}

impl Publishers {
    /// So many publishes a second in all; each member has a connection, which several may share.
    pub(crate) fn new(
        fleet: &Fleet,
        connections: &[PeerId],
        group: u64,
        members: u64,
        per_second: u64,
    ) -> Self {
        let every_micros = 1_000_000 / per_second;
        let due = fleet.now() + every_micros;
        Self { connections: connections.to_vec(), group, members, every_micros, intended: Vec::new(), due }
    }

    /// The next publish is due one step from now, however long ago the last one was.
    pub(crate) fn begin_now(&mut self, fleet: &Fleet) {
        self.due = fleet.now() + self.every_micros;
    }

    /// When the next publish is due.
    pub(crate) fn due(&self) -> u64 {
        self.due
    }

    /// How many were sent.
    pub(crate) fn sent(&self) -> usize {
        self.intended.len()
    }

    /// Sends what is due, up to so many publishes in all.
    pub(crate) fn publish(&mut self, fleet: &mut Fleet, count_max: usize) {
        while self.due <= fleet.now() && self.sent() < count_max {
            let x = self.intended.len();
            let member = x as u64 % self.members;
            let body = format!(r#"{{"member":"m{member}","x":{x},"y":0}}"#);
            // A member's publishes keep their order on one connection alone.
            let connection = self.connections[member as usize % self.connections.len()];
            fleet.publish(connection, self.group, &body);
            self.intended.push(self.due);
            self.due += self.every_micros;
        }
    }

    /// How long after it was meant to be sent an update came; `None` for one that is not of this row.
    pub(crate) fn latency(&self, update: &Update, at_micros: u64) -> Option<u64> {
        let intended = self.intended.get(update.point().0 as usize)?;
        Some(at_micros.saturating_sub(*intended))
    }

    /// Whether a subscriber ends on every member's newest publish.
    pub(crate) fn are_newest(&self, heard: &BTreeMap<String, u64>) -> bool {
        let from = self.intended.len().saturating_sub(self.members as usize);
        (from..self.intended.len()).all(|x| {
            let member = format!("m{}", x as u64 % self.members);
            heard.get(&member) == Some(&(x as u64))
        })
    }
}

/// The subscribers that keep up.
#[derive(Clone, Debug)]
pub(crate) struct Audience {
    /// Who of the fleet is one of them; they were opened one after the other.
    from: PeerId,
    hearers: Vec<Hearer>,
    /// Updates that all of them heard together.
    heard: usize,
    /// From the intended publish to the arrival at each of them.
    pub(crate) latencies: Latencies,
}

impl Audience {
    pub(crate) fn new(ids: &[PeerId]) -> Self {
        let from = *ids.first().expect("an audience of one at least");
        Self { from, hearers: vec![Hearer::default(); ids.len()], heard: 0, latencies: Latencies::default() }
    }

    /// Whether a connection is one of the audience's.
    pub(crate) fn holds(&self, id: PeerId) -> bool {
        (self.from.0..self.from.0 + self.hearers.len()).contains(&id.0)
    }

    /// One of them hears an update; `latency` is noted.
    #[track_caller]
    pub(crate) fn hear(&mut self, id: PeerId, update: &Update, latency: Option<u64>) {
        self.hearers[id.0 - self.from.0].hear_all(update);
        self.heard += 1;
        latency.into_iter().for_each(|micros| self.latencies.note(micros));
    }

    /// Whether each of them has heard so many updates in all.
    pub(crate) fn has_heard(&self, count: usize) -> bool {
        self.heard >= count * self.hearers.len()
    }

    /// Checks that each of them heard exactly so many updates, the last of them the same.
    #[track_caller]
    pub(crate) fn check(&self, count: usize) {
        let last = self.hearers[0].seq;
        for (place, hearer) in self.hearers.iter().enumerate() {
            assert_eq!((hearer.heard, hearer.seq), (count, last), "subscriber {place}");
        }
    }
}

/// The latest moment that a wait which begins now may end at.
pub(crate) fn patience(fleet: &Fleet) -> u64 {
    fleet.now() + PATIENCE.as_micros() as u64
}
