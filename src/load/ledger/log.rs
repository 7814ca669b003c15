//! One group's log: its updates in the order of their numbers, and what the tool means to publish to it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::ids::{GroupId, MemberId, Seq};
use crate::load::figures::Failure;
use crate::load::update::Received;

/// One update of a group.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) body: Arc<[u8]>,
    pub(super) seq: Seq,
    pub(super) member: Option<MemberId>,
    pub(super) left: bool,
    /// Which of the tool's publishes it is.
    pub(super) number: Option<u64>,
    pub(super) intended_micros: Option<u64>,
    /// Its publisher was answered with it.
    pub(super) acknowledged: bool,
    /// A listener or poller was told of it.
    pub(super) heard: bool,
}

/// A publish that has not come back yet.
#[derive(Debug)]
pub(super) struct Intended {
    pub(super) micros: u64,
    /// Somebody to whom it is owed listens: the run is not over without it.
    pub(super) is_awaited: bool,
    /// It may never have been taken.
    pub(super) is_doubted: bool,
}

/// What the tool means to publish to a group.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    /// Publishes that have not come back yet, by number.
    pub(super) pending: BTreeMap<u64, Intended>,
    /// Publishes that were refused: they must not come back.
    withdrawn: BTreeSet<u64>,
    /// One more than the largest number.
    pub(super) end: u64,
}

/// One group's log.
///
/// Invariant: the numbers of its entries grow.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) group: GroupId,
    pub(super) entries: VecDeque<Entry>,
    /// The place of the first entry that is still kept.
    pub(super) base: u64,
    /// The number of the last entry that is not kept any more.
    pub(super) trimmed_to: Seq,
    /// Slots of those who listen.
    pub(super) listeners: Vec<u32>,
    /// How many of them are owed what comes.
    pub(super) owed_listeners: u64,
    /// The largest number that some listener is not owed.
    pub(super) floor_max: Seq,
    pub(super) newest_acknowledged: Option<Seq>,
    /// The newest number of each named member.
    newest_of_member: HashMap<MemberId, Seq>,
    pub(super) publisher: Option<Publisher>,
    /// How many entries there may be before the next look at what can be dropped.
    pub(super) trim_at: usize,
}

/// Where an update belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is in the log, here.
    Known(u64),
    /// It is not in the log, and belongs here.
    New(u64),
    /// Everyone had passed it, and it was dropped.
    Trimmed,
    /// Another update has its number.
    Taken,
}

/// A rule that an update broke, and how.
pub(super) type Fault = (Failure, &'static str);

impl Log {
    pub(super) fn new(group: GroupId, trim_at: usize) -> Self {
        Self {
            group,
            entries: VecDeque::new(),
            base: 0,
            trimmed_to: Seq::ZERO,
            listeners: Vec::new(),
            owed_listeners: 0,
            floor_max: Seq::ZERO,
            newest_acknowledged: None,
            newest_of_member: HashMap::new(),
            publisher: None,
            trim_at,
        }
    }

    /// One past the place of the newest entry.
    pub(super) fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    pub(super) fn newest(&self) -> Seq {
        self.entries.back().map_or(self.trimmed_to, |entry| entry.seq)
    }

    pub(super) fn get(&self, place: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(place.checked_sub(self.base)?).ok()?)
    }

    pub(super) fn get_mut(&mut self, place: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(place.checked_sub(self.base)?).ok()?)
    }

    /// The place of the first entry above a number.
    pub(super) fn place_after(&self, seq: Seq) -> u64 {
        self.base + self.entries.partition_point(|entry| entry.seq <= seq) as u64
    }

    pub(super) fn place_of(&self, seq: Seq, body: &[u8]) -> Place {
        // Nearly always it is new.
        if seq <= self.trimmed_to {
            return Place::Trimmed;
        }
        if seq > self.newest() {
            return Place::New(self.end());
        }
        match self.entries.binary_search_by_key(&seq, |entry| entry.seq) {
            Ok(index) if *self.entries[index].body == *body => Place::Known(self.base + index as u64),
            Ok(_) => Place::Taken,
            Err(index) => Place::New(self.base + index as u64),
        }
    }

    /// Which of the tool's publishes a new update is: `None` for a leave, or where the tool does not say what it publishes.
    ///
    /// # Errors
    /// It is none of them, or was there before.
    pub(super) fn number_of(&self, update: &Received) -> Result<Option<u64>, Fault> {
        let (Some(publisher), Some((x, y))) = (&self.publisher, update.location) else { return Ok(None) };
        if x != self.group.number() as f64 {
            return Err((Failure::WrongGroup, "it was published to another group"));
        }
        let number = y as u64;
        if number as f64 != y || number >= publisher.end {
            return Err((Failure::Body, "nobody published that"));
        }
        if publisher.withdrawn.contains(&number) {
            return Err((Failure::Body, "that publish was refused"));
        }
        if !publisher.pending.contains_key(&number) {
            return Err((Failure::Repeated, "that publish has another number already"));
        }
        Ok(Some(number))
    }

    /// Whether the publish of that number, at that place, stands where its publisher's order wants it.
    pub(super) fn is_in_order(&self, place: u64, number: u64) -> bool {
        let index = (place - self.base) as usize;
        let before = self.entries.range(..index).rev().find_map(|entry| entry.number);
        let behind = self.entries.range(index..).find_map(|entry| entry.number);
        before.is_none_or(|before| before < number) && behind.is_none_or(|behind| number < behind)
    }

    /// Writes a new entry at `place`.
    pub(super) fn insert(&mut self, place: u64, entry: Entry) {
        if let Some(member) = &entry.member {
            let newest = self.newest_of_member.entry(member.clone()).or_default();
            *newest = entry.seq.max(*newest);
        }
        self.entries.insert((place - self.base) as usize, entry);
    }

    /// What is kept of the locations between two numbers that are the newest of their members: whoever is told of later
    /// ones may not be spared these.
    pub(super) fn newest_between(&self, hole: (Seq, Seq)) -> impl Iterator<Item = &Entry> {
        let index = |place: u64| (place - self.base) as usize;
        let from = index(self.place_after(hole.0));
        let behind = self.entries.range(from..).take_while(move |entry| entry.seq < hole.1);
        behind.filter(|entry| {
            let newest = entry.member.as_ref().and_then(|member| self.newest_of_member.get(member));
            !entry.left && newest == Some(&entry.seq)
        })
    }

    /// Takes a publish down that was refused; true if it had been awaited.
    pub(super) fn withdraw(&mut self, number: u64) -> bool {
        let Some(publisher) = &mut self.publisher else { return false };
        let Some(intended) = publisher.pending.remove(&number) else { return false };
        publisher.withdrawn.insert(number);
        intended.is_awaited
    }

    /// Nobody knows whether that publish was taken; true if it had been awaited.
    pub(super) fn doubt(&mut self, number: u64) -> bool {
        let Some(publisher) = &mut self.publisher else { return false };
        let Some(intended) = publisher.pending.get_mut(&number) else { return false };
        intended.is_doubted = true;
        std::mem::take(&mut intended.is_awaited)
    }

    /// Nobody is left who is owed anything: nothing is awaited any more. Says how many publishes were.
    pub(super) fn await_nothing(&mut self) -> u64 {
        let pending = self.publisher.iter_mut().flat_map(|publisher| publisher.pending.values_mut());
        pending.map(|intended| u64::from(std::mem::take(&mut intended.is_awaited))).sum()
    }

    /// Whether an answer with `seq` may be given to a poll though `required` had been told before: all that is
    /// newer is of members that have left.
    pub(super) fn is_newest_present(&self, seq: Seq, required: Seq) -> bool {
        let from = (self.place_after(seq) - self.base) as usize;
        let mut gone: BTreeSet<&MemberId> = BTreeSet::new();
        let mut newer = self.entries.range(from..).rev();
        newer.all(|entry| {
            if entry.left {
                gone.extend(&entry.member);
            }
            entry.seq > required || entry.member.as_ref().is_some_and(|member| gone.contains(member))
        })
    }
}
