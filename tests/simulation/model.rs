//! What the server has promised: the shadow model. It knows what was published and what everyone was told, and judges
//! the one by the other; it knows no line of the server's code.
//!
//! A watched group has a witness, an event stream on the group's home shard whose socket takes everything: what the
//! witness was told is the whole of the group's updates, and all others are held against that.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::update::Update;

/// One location that was handed to the server.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) group: u64,
    pub(crate) member: Option<String>,
    /// When it was, by its publisher.
    pub(crate) at: Option<u64>,
    /// Who sent it.
    pub(crate) peer: usize,
    /// That peer had been told that it is subscribed, and so that it speaks for the member.
    pub(crate) spoken: bool,
    /// It has a receipt, which does not tell its number.
    pub(crate) receipted: bool,
    pub(crate) fate: Fate,
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is not known yet.
    Open,
    /// In a transaction that has not been committed.
    Held,
    /// Refused, or given up: nobody may be told of it.
    Refused,
    /// It has this number.
    Numbered(u64),
}

/// One update of a group.
#[derive(Debug)]
struct Entry {
    text: String,
    member: Option<String>,
    /// Its publish; `None` for a leave, or one that the server made up.
    publish: Option<usize>,
    left: bool,
    at: u64,
    /// When it was first told to somebody.
    seen_ms: u64,
}

/// All that is known of one group.
#[derive(Debug, Default)]
struct Log {
    watched: bool,
    entries: BTreeMap<u64, Entry>,
}

/// Where a subscriber began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// With what came next.
    Now,
    /// Behind this number.
    After(u64),
    /// With a cursor from another life of the group.
    Lost,
}

/// One subscriber of one group.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) group: u64,
    pub(crate) since: Since,
    /// It asks for one update at a time.
    pub(crate) polls: bool,
    /// What came before it asked: with no cursor it is told none of that.
    before: Before,
    /// It is owed every update from this one on, for it was told that it is subscribed.
    pub(crate) owed_from: Option<u64>,
    /// Its socket or its window was full at some time.
    pub(crate) slow: bool,
    got: Vec<Got>,
}

impl Subscriber {
    pub(crate) fn new(group: u64, since: Since, polls: bool, before: Before) -> Self {
        Self { group, since, polls, before, owed_from: None, slow: false, got: Vec::new() }
    }
}

/// What was numbered for sure before a subscriber asked.
#[derive(Debug)]
pub(crate) struct Before {
    /// The newest number that anybody had been told.
    newest: u64,
    /// Publishes whose number nobody had been told: those with a receipt, and those that its own connection had sent.
    publishes: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Got {
    seq: u64,
    gap: bool,
    /// The newest number when it came.
    newest: u64,
}

/// The model.
pub(crate) struct Model {
    pub(crate) history: u64,
    pub(crate) member_ttl_ms: u64,
    pub(crate) members_max: usize,
    pub(crate) simulate: bool,
    pub(crate) publishes: Vec<Publish>,
    pub(crate) subscribers: Vec<Subscriber>,
    /// Who speaks for a member of a group, and is well.
    pub(crate) speaking: BTreeSet<(usize, u64, String)>,
    /// Members that ever were spoken for.
    pub(crate) spoken_for: BTreeSet<(u64, String)>,
    /// Members that somebody said have left.
    pub(crate) said_to_leave: BTreeSet<(u64, String)>,
    logs: BTreeMap<u64, Log>,
}

impl Model {
    pub(crate) fn new(groups: &[u64], watched: usize) -> Self {
        let log =
            |(index, group): (usize, &u64)| (*group, Log { watched: index < watched, ..Log::default() });
        Self {
            history: 0,
            member_ttl_ms: 0,
            members_max: 0,
            simulate: false,
            publishes: Vec::new(),
            subscribers: Vec::new(),
            speaking: BTreeSet::new(),
            spoken_for: BTreeSet::new(),
            said_to_leave: BTreeSet::new(),
            logs: groups.iter().enumerate().map(log).collect(),
        }
    }

    pub(crate) fn is_watched(&self, group: u64) -> bool {
        self.logs[&group].watched
    }

    /// The witness is gone: nobody knows all of the group any more.
    pub(crate) fn stop_watching(&mut self, group: u64) {
        self.log_mut(group).watched = false;
    }

    fn log_mut(&mut self, group: u64) -> &mut Log {
        self.logs.get_mut(&group).expect("every group has a log")
    }

    /// The newest number that anybody was told; 0 if nobody was told any.
    pub(crate) fn newest(&self, group: u64) -> u64 {
        self.logs[&group].entries.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// An update as somebody was told it.
    pub(crate) fn update(&self, group: u64, seq: u64) -> Option<Update> {
        self.logs[&group].entries.get(&seq).map(|entry| Update::parse(&entry.text))
    }

    /// A number that the group gave at some time.
    pub(crate) fn any_seq(&self, group: u64, draw: usize) -> Option<u64> {
        let entries = &self.logs[&group].entries;
        entries.keys().nth(draw % entries.len().max(1)).copied()
    }

    /// A new publish; its number here is its `x`.
    pub(crate) fn publish(&mut self, publish: Publish) -> usize {
        self.publishes.push(publish);
        self.publishes.len() - 1
    }

    /// Somebody was told of an update of this group.
    pub(crate) fn note_update(&mut self, group: u64, update: &Update, now_ms: u64) {
        let text = update.text_without_gap();
        if let Some(known) = self.logs[&group].entries.get(&update.seq) {
            assert_eq!(known.text, text, "two updates of group {group} have one number");
            return;
        }
        let publish = update.location.and_then(|(x, y)| {
            let whole = x.fract() == 0.0 && y == 0.0 && x < self.publishes.len() as f64;
            whole.then_some(x as usize)
        });
        if let Some(id) = publish {
            let publish = &mut self.publishes[id];
            assert_eq!(publish.group, group, "publish {id} came out in another group: {text}");
            assert_eq!(publish.member, update.member, "publish {id} came out for another member");
            assert_eq!(publish.fate, Fate::Open, "publish {id} may not be told: {text}");
            publish.fate = Fate::Numbered(update.seq);
        } else if let Some(member) = update.member.as_ref().filter(|_| update.location.is_none()) {
            self.check_leave(group, member, update.seq, now_ms);
        } else {
            assert!(self.simulate && update.member.is_none(), "nobody published {text} to {group}");
        }
        let left = update.location.is_none();
        let entry =
            Entry { text, member: update.member.clone(), publish, left, at: update.at, seen_ms: now_ms };
        self.log_mut(group).entries.insert(update.seq, entry);
    }

    /// A member leaves with the last connection that speaks for it, when somebody says so, or by time.
    fn check_leave(&self, group: u64, member: &str, seq: u64, now_ms: u64) {
        let log = &self.logs[&group];
        let name = (group, member.to_owned());
        if !log.watched || self.said_to_leave.contains(&name) {
            return;
        }
        let before = log.entries.range(..seq).rev();
        let last = before.map(|(_, entry)| entry).find(|entry| entry.member.as_deref() == Some(member));
        let last = last.unwrap_or_else(|| panic!("{member} of {group} left without having been there"));
        assert!(!last.left, "{member} of {group} left twice");
        let by = last.publish.map(|publish| &self.publishes[publish]);
        let speaker = by.filter(|publish| publish.spoken).map(|publish| publish.peer);
        let speaks = speaker.is_some_and(|peer| self.speaking.contains(&(peer, group, member.to_owned())));
        assert!(!speaks, "{member} of {group} left while peer {speaker:?} speaks for it");
        let silent = now_ms - last.seen_ms >= self.member_ttl_ms;
        assert!(
            silent || self.spoken_for.contains(&name),
            "{member} of {group} left {} ms after it was heard",
            now_ms - last.seen_ms
        );
    }

    /// A subscriber was told of an update.
    pub(crate) fn receive(&mut self, subscriber: usize, update: &Update, now_ms: u64) {
        let group = self.subscribers[subscriber].group;
        self.note_update(group, update, now_ms);
        self.check_new(subscriber, update.seq);
        let newest = self.newest(group);
        let got = &mut self.subscribers[subscriber].got;
        let last = got.last().map_or(0, |got| got.seq);
        assert!(update.seq > last, "subscriber {subscriber} of {group} got {} behind {last}", update.seq);
        got.push(Got { seq: update.seq, gap: update.gap, newest });
    }

    /// What was numbered for sure before a peer asks for a group's updates.
    pub(crate) fn before(&self, peer: usize, group: u64) -> Before {
        let is_before = |publish: &Publish| {
            publish.group == group
                && publish.fate == Fate::Open
                && (publish.receipted || publish.peer == peer)
        };
        let publishes = self.publishes.iter().enumerate().filter(|(_, publish)| is_before(publish));
        Before { newest: self.newest(group), publishes: publishes.map(|(id, _)| id).collect() }
    }

    /// Whoever comes without a cursor wants what is numbered from then on.
    fn check_new(&self, index: usize, seq: u64) {
        let Subscriber { group, since, before, .. } = &self.subscribers[index];
        if *since != Since::Now {
            return;
        }
        let told = format!("subscriber {index} of {group} came without a cursor and was told {seq}");
        assert!(seq > before.newest, "{told}, though {} was known when it came", before.newest);
        let publish = self.logs[group].entries[&seq].publish;
        let is_before = publish.is_some_and(|id| before.publishes.contains(&id));
        assert!(!is_before, "{told}: publish {publish:?} came before it");
    }

    /// The last number that a subscriber was told.
    pub(crate) fn last_got(&self, subscriber: usize) -> Option<u64> {
        self.subscribers[subscriber].got.last().map(|got| got.seq)
    }

    /// A subscriber has been told that it is subscribed.
    pub(crate) fn note_opened(&mut self, subscriber: usize) {
        let newest = self.newest(self.subscribers[subscriber].group);
        self.subscribers[subscriber].owed_from.get_or_insert(newest + 1);
    }

    /// A poll was answered with nothing: then nothing lies between the cursor that it had and the one that it got.
    pub(crate) fn check_nothing(&self, subscriber: usize, before: Option<u64>, cursor: u64) {
        let Subscriber { group, since, before: Before { newest, .. }, .. } = self.subscribers[subscriber];
        assert!(since != Since::Now || cursor >= newest, "a poll of {group} was led back behind {newest}");
        let Some(before) = before.filter(|_| self.is_watched(group)) else { return };
        assert!(cursor >= before, "the cursor of {group} went back from {before} to {cursor}");
        let passed = self.logs[&group].entries.range(before + 1..cursor + 1).next();
        assert!(passed.is_none(), "a poll of {group} was led past {passed:?}");
    }

    /// Holds what a subscriber was told against what it was owed up to the last thing that it was told.
    pub(crate) fn judge(&self, index: usize) {
        let subscriber = &self.subscribers[index];
        let log = &self.logs[&subscriber.group];
        let Some(first) = subscriber.got.first() else { return };
        let mut before = match subscriber.since {
            Since::Now => subscriber.owed_from.map_or(first.seq, |from| from.min(first.seq)) - 1,
            Since::After(seq) => seq,
            Since::Lost => 0,
        };
        if subscriber.since == Since::Lost {
            assert!(
                first.gap,
                "subscriber {index} came with a lost cursor and was told of no gap: {subscriber:?}"
            );
        }
        let mut told_to = 0;
        for got in &subscriber.got {
            let is_first = got.seq == first.seq;
            if got.gap {
                told_to = got.newest;
                self.judge_gap(index, before, got, is_first);
            }
            let knows = got.gap || (!subscriber.polls && told_to >= got.seq - 1);
            if !log.watched {
                // Nobody knows how far ahead a gap was told.
                let follows =
                    got.seq == before + 1 || is_first || knows || (!subscriber.polls && told_to > 0);
                assert!(follows, "subscriber {index}: a hole before {} and no gap: {subscriber:?}", got.seq);
            }
            for (seq, missed) in log.entries.range(before + 1..got.seq).filter(|_| log.watched) {
                let told =
                    format!("subscriber {index} was not told {seq} {} before {}", missed.text, got.seq);
                assert!(knows, "{told}, nor of a gap");
                self.judge_missed(index, *seq, missed, got.newest, &told);
            }
            before = got.seq;
        }
    }

    /// A gap is told only where updates are gone.
    fn judge_gap(&self, index: usize, before: u64, got: &Got, is_first: bool) {
        let subscriber = &self.subscribers[index];
        let log = &self.logs[&subscriber.group];
        let began_unseen = match subscriber.since {
            Since::Lost => true,
            // A poll does not say when it parked.
            Since::Now => subscriber.polls,
            Since::After(_) => false,
        };
        if subscriber.slow || !log.watched || (is_first && began_unseen) {
            return;
        }
        let told = format!("subscriber {index} was told of a gap before {}", got.seq);
        assert!(subscriber.polls || subscriber.since != Since::Now, "{told}, but it keeps up");
        let owed = log.entries.range(before + 1..).next().map_or(got.seq, |(seq, _)| *seq);
        assert!(
            owed + self.history <= got.newest,
            "{told}, but the ring has everything from {owed} on: {subscriber:?}"
        );
    }

    /// An update may be passed over if it has left the ring or its subscriber was slow, and its member is told of by a
    /// later one; a leave only once it has left the ring.
    fn judge_missed(&self, index: usize, seq: u64, missed: &Entry, newest: u64, told: &str) {
        let subscriber = &self.subscribers[index];
        let log = &self.logs[&subscriber.group];
        let has_left_ring = seq + self.history <= newest;
        let reads_ring = subscriber.slow || subscriber.polls || subscriber.since != Since::Now;
        assert!(reads_ring, "{told}, but it keeps up");
        assert!(subscriber.slow || has_left_ring, "{told}, which the ring still had");
        let mut later = log.entries.range(seq + 1..=newest).map(|(_, entry)| entry);
        let is_followed = later.any(|entry| entry.member == missed.member);
        let may_be_gone = (missed.left && has_left_ring) || missed.member.is_none();
        assert!(is_followed || may_be_gone, "{told}, the newest of its member");
    }

    /// Nothing is owed any more: a subscriber that is still there was told everything.
    pub(crate) fn judge_end(&self, index: usize) {
        let subscriber = &self.subscribers[index];
        let log = &self.logs[&subscriber.group];
        let began = match subscriber.since {
            Since::Now => subscriber.owed_from.map(|from| from - 1),
            Since::After(seq) => Some(seq),
            Since::Lost => Some(0),
        };
        let Some(before) = self.last_got(index).or(began).filter(|_| log.watched) else { return };
        let newest = self.newest(subscriber.group);
        for (seq, missed) in log.entries.range(before + 1..) {
            let told = format!("{subscriber:?} was not told {seq} {} in the end", missed.text);
            assert!(subscriber.slow, "{told}");
            let mut later = log.entries.range(seq + 1..).map(|(_, entry)| entry);
            let is_followed = later.any(|entry| entry.member == missed.member);
            let has_left_ring = seq + self.history <= newest;
            assert!(is_followed || (missed.left && has_left_ring) || missed.member.is_none(), "{told}");
        }
    }

    /// The newest location of each member that is present up to a number.
    fn present(&self, group: u64, newest: u64) -> BTreeMap<Option<&str>, u64> {
        let mut present = BTreeMap::new();
        for (seq, entry) in self.logs[&group].entries.range(..=newest) {
            if entry.left {
                present.remove(&entry.member.as_deref());
            } else {
                present.insert(entry.member.as_deref(), *seq);
            }
        }
        present
    }

    /// Whether a member did anything behind this number.
    fn has_moved_since(&self, group: u64, member: &str, seq: u64) -> bool {
        let mut later = self.logs[&group].entries.range(seq + 1..);
        later.any(|(_, entry)| entry.member.as_deref() == Some(member))
    }

    /// What a snapshot or a short poll says was so at some time since the request was made, when `floor` was newest.
    pub(crate) fn check_present(&self, group: u64, floor: u64, updates: &[Update], whole: bool) {
        if !self.is_watched(group) {
            return;
        }
        let newest_told = updates.iter().map(|update| update.seq).max().unwrap_or(0);
        for (member, seq) in self.present(group, floor) {
            let Some(member) = member else { continue };
            let is_told = updates.iter().any(|update| update.seq == seq);
            let is_older = !whole && seq < newest_told;
            assert!(
                is_told || is_older || self.has_moved_since(group, member, floor),
                "group {group} was shown without {seq} of {member}: {updates:?}"
            );
        }
        for update in updates {
            let member = update.member.as_deref();
            let mut later = self.logs[&group].entries.range(update.seq + 1..floor.max(update.seq) + 1);
            let outdated = later.any(|(_, entry)| entry.member.as_deref() == member);
            assert!(!outdated, "group {group} was shown with the old {update:?}, {floor} is newest");
        }
    }

    /// A publish was refused for being stale: then its member holds an update with an `at` of its own.
    pub(crate) fn check_stale(&self, id: usize) {
        let publish = &self.publishes[id];
        assert!(
            publish.at.is_some() && publish.member.is_some(),
            "publish {id} cannot be stale: {publish:?}"
        );
        let mut others =
            self.logs[&publish.group].entries.values().filter(|_| self.is_watched(publish.group));
        let has_at = |entry: &Entry| entry.publish.is_some_and(|id| self.publishes[id].at.is_some());
        let known = others.any(|entry| entry.member == publish.member && has_at(entry));
        assert!(known || !self.is_watched(publish.group), "publish {id} is no older than any: {publish:?}");
    }

    /// The publishes of a peer that nobody was told of, though they had to be.
    pub(crate) fn unheard(&self, peer: usize) -> Vec<usize> {
        let mine = self.publishes.iter().enumerate().filter(|(_, publish)| publish.peer == peer);
        let is_owed = |publish: &Publish| {
            publish.fate == Fate::Open && publish.at.is_none() && self.is_watched(publish.group)
        };
        mine.filter(|(_, publish)| is_owed(publish)).map(|(id, _)| id).collect()
    }

    /// What can be said of a watched group alone: its numbers follow each other, its members are bounded, leave only when
    /// present, and do not go back in time.
    pub(crate) fn judge_group(&self, group: u64) {
        let log = &self.logs[&group];
        if !log.watched {
            return;
        }
        let mut before = None;
        let mut present: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
        for (seq, entry) in &log.entries {
            assert!(before.is_none_or(|before| before + 1 == *seq), "group {group} has a hole before {seq}");
            before = Some(*seq);
            let Some(member) = entry.member.as_deref() else { continue };
            if entry.left {
                assert!(present.remove(member).is_some(), "{member} of {group} left without being there");
                continue;
            }
            let sent = entry.publish.is_some_and(|id| self.publishes[id].at.is_some());
            if let Some((at, true)) = present.insert(member, (entry.at, sent)).filter(|_| sent) {
                assert!(at <= entry.at, "{member} of {group} went back in time with {}", entry.text);
            }
            assert!(present.len() <= self.members_max, "group {group} has too many members");
        }
    }

    /// Everyone is gone: members that were spoken for left with the last who did.
    pub(crate) fn check_left(&self, is_spoken_for: impl Fn(&str) -> bool) {
        for group in self.logs.keys().filter(|group| self.is_watched(**group)) {
            let present = self.present(*group, u64::MAX);
            let stays = present.keys().flatten().find(|member| is_spoken_for(member));
            assert!(stays.is_none(), "{stays:?} of {group} is still there");
        }
    }
}
