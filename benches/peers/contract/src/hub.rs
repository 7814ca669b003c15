//! Groups: what they hold, who listens to them, and what is owed to one that comes with a cursor.
//!
//! A group is a broadcast channel of tokio's beside what is held under a mutex. An update is numbered, kept and sent while
//! that is held, and a subscription begins under it too, so nothing falls between what is replayed and what is live.
//! A subscriber whose channel overflows (it is [`HISTORY`] updates behind) begins anew from its cursor: it gets each
//! member's newest update since, then the ring, the first of them with `gap`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

use crate::Said;
use crate::payload::{GroupId, Member, Publish, Refusal, Update, now_ms};

/// Updates that a group keeps for replay, and that its channel holds.
const HISTORY: usize = 128;

/// Numbers that a millisecond has, so that they grow across restarts and stay below 2^53.
const NUMBERS_PER_MS: u64 = 2048;

/// All groups of a server.
#[derive(Debug)]
pub struct Hub<T> {
    groups: RwLock<HashMap<GroupId, Arc<Group<T>>>>,
}

impl<T: Said> Default for Hub<T> {
    fn default() -> Self {
        Self { groups: RwLock::default() }
    }
}

impl<T: Said> Hub<T> {
    /// The group with this number, if somebody has published or listened to it.
    #[must_use]
    pub fn find(&self, id: GroupId) -> Option<Arc<Group<T>>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The group with this number, made if need be.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Arc<Group<T>> {
        self.find(id).unwrap_or_else(|| {
            let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(groups.entry(id).or_default())
        })
    }
}

/// One group.
#[derive(Debug)]
pub struct Group<T> {
    state: Mutex<State<T>>,
    live: broadcast::Sender<Arc<Update<T>>>,
}

#[derive(Debug)]
struct State<T> {
    /// Below all its numbers.
    floor: u64,
    /// Its newest number; the floor if it has none.
    seq: u64,
    ring: VecDeque<Arc<Update<T>>>,
    /// The newest number that has left the ring; 0 if none has.
    trimmed_to: u64,
    /// The newest update of each member that is present.
    members: HashMap<Option<Member>, Arc<Update<T>>>,
    /// The newest of those.
    newest: Option<Arc<Update<T>>>,
    /// How many connections speak for a member.
    connected: HashMap<Member, usize>,
}

/// What a short poll is answered with.
#[derive(Clone, Debug)]
pub enum Newest<T> {
    /// The newest update of a member that is present.
    Update(Arc<Update<T>>),
    /// There were updates; nobody is present any more.
    Gone,
    /// There never was one.
    Never,
}

impl<T: Said> Default for Group<T> {
    fn default() -> Self {
        let floor = now_ms() * NUMBERS_PER_MS;
        let state = State {
            floor,
            seq: floor,
            ring: VecDeque::with_capacity(HISTORY),
            trimmed_to: 0,
            members: HashMap::new(),
            newest: None,
            connected: HashMap::new(),
        };
        Self { state: Mutex::new(state), live: broadcast::channel(HISTORY).0 }
    }
}

impl<T: Said> Group<T> {
    /// Numbers, keeps and delivers a publish; `None` for the leave of a member that holds no location.
    ///
    /// # Errors
    /// [`Refusal::Stale`].
    pub fn publish(&self, publish: Publish) -> Result<Option<Arc<Update<T>>>, Refusal> {
        let mut state = self.lock();
        let held = state.members.get(&publish.member);
        if publish.location.is_none() && held.is_none() {
            return Ok(None);
        }
        if let Some(newest) = held.filter(|_| publish.member.is_some()).and_then(|held| held.publish.at)
            && let Some(at) = publish.at.filter(|at| *at < newest)
        {
            return Err(Refusal::Stale { at, newest });
        }
        state.seq += 1;
        let update = Arc::new(Update::new(state.seq, publish));
        state.keep(Arc::clone(&update));
        // Nobody may listen: that is no error.
        let _ = self.live.send(Arc::clone(&update));
        Ok(Some(update))
    }

    /// What a short poll is answered with.
    #[must_use]
    pub fn newest(&self) -> Newest<T> {
        let state = self.lock();
        match &state.newest {
            Some(update) => Newest::Update(Arc::clone(update)),
            None if state.seq > state.floor => Newest::Gone,
            None => Newest::Never,
        }
    }

    /// The newest number, and the newest update of each member that is present, in the order of their numbers.
    #[must_use]
    pub fn snapshot(&self) -> (u64, Vec<Arc<Update<T>>>) {
        let state = self.lock();
        let mut updates: Vec<_> = state.members.values().cloned().collect();
        updates.sort_unstable_by_key(|update| update.seq);
        (state.seq, updates)
    }

    /// Listens from now on, or from behind a cursor.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, cursor: Option<u64>) -> Subscription<T> {
        let state = self.lock();
        let cursor = cursor.unwrap_or(state.seq);
        let replay = state.after(cursor);
        let live = self.live.subscribe();
        drop(state);
        Subscription { group: Arc::clone(self), cursor, replay, live }
    }

    /// A connection speaks for a member from now on, until it drops what it is given.
    #[must_use]
    pub fn connect(self: &Arc<Self>, member: Member) -> Presence<T> {
        *self.lock().connected.entry(member.clone()).or_default() += 1;
        Presence { group: Arc::clone(self), member }
    }

    fn disconnect(&self, member: &Member) {
        let mut state = self.lock();
        let Some(count) = state.connected.get_mut(member) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        state.connected.remove(member);
        drop(state);
        let leave = Publish { member: Some(member.clone()), location: None, at: None };
        self.publish(leave).expect("what names no time is not stale");
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Said> State<T> {
    fn keep(&mut self, update: Arc<Update<T>>) {
        let member = update.publish.member.clone();
        if update.publish.location.is_some() {
            self.members.insert(member, Arc::clone(&update));
            self.newest = Some(Arc::clone(&update));
        } else {
            self.members.remove(&member);
            self.newest = self.members.values().max_by_key(|held| held.seq).cloned();
        }
        if self.ring.len() == HISTORY
            && let Some(oldest) = self.ring.pop_front()
        {
            self.trimmed_to = oldest.seq;
        }
        self.ring.push_back(update);
    }

    /// What is owed to who has a cursor.
    fn after(&self, cursor: u64) -> VecDeque<Arc<Update<T>>> {
        let is_lost = cursor > self.seq;
        let cursor = if is_lost { 0 } else { cursor };
        let is_old = cursor < self.trimmed_to || (cursor != 0 && cursor < self.floor);
        let mut owed = VecDeque::new();
        if is_old {
            let range = cursor + 1..=self.trimmed_to;
            owed.extend(self.members.values().filter(|held| range.contains(&held.seq)).cloned());
            owed.make_contiguous().sort_unstable_by_key(|update| update.seq);
        }
        let from = self.ring.partition_point(|update| update.seq <= cursor);
        owed.extend(self.ring.range(from..).cloned());
        if (is_old || is_lost)
            && let Some(first) = owed.front_mut()
        {
            *first = Arc::new(first.behind_a_gap());
        }
        owed
    }
}

/// One subscriber's place in a group.
#[derive(Debug)]
pub struct Subscription<T> {
    group: Arc<Group<T>>,
    cursor: u64,
    replay: VecDeque<Arc<Update<T>>>,
    live: broadcast::Receiver<Arc<Update<T>>>,
}

impl<T: Said> Subscription<T> {
    /// The next update. Dropped before it is ready, it has taken nothing.
    pub async fn next(&mut self) -> Arc<Update<T>> {
        loop {
            if let Some(update) = self.replay.pop_front() {
                return self.pass(update);
            }
            match self.live.recv().await {
                Ok(update) => return self.pass(update),
                Err(RecvError::Lagged(_)) => self.begin_anew(),
                Err(RecvError::Closed) => unreachable!("the group that sends is held here"),
            }
        }
    }

    /// The next update, if it is there.
    pub fn try_next(&mut self) -> Option<Arc<Update<T>>> {
        loop {
            if let Some(update) = self.replay.pop_front() {
                return Some(self.pass(update));
            }
            match self.live.try_recv() {
                Ok(update) => return Some(self.pass(update)),
                Err(TryRecvError::Lagged(_)) => self.begin_anew(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// The cursor to come back with.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    fn pass(&mut self, update: Arc<Update<T>>) -> Arc<Update<T>> {
        self.cursor = update.seq;
        update
    }

    fn begin_anew(&mut self) {
        *self = self.group.subscribe(Some(self.cursor));
    }
}

/// A connection that speaks for a member; the last one that is dropped tells the group that the member left.
#[derive(Debug)]
pub struct Presence<T: Said> {
    group: Arc<Group<T>>,
    member: Member,
}

impl<T: Said> Presence<T> {
    /// The member.
    #[must_use]
    pub const fn member(&self) -> &Member {
        &self.member
    }
}

impl<T: Said> Drop for Presence<T> {
    fn drop(&mut self) {
        self.group.disconnect(&self.member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::read_publish;

    fn publish(group: &Group<String>, number: usize) -> u64 {
        let body = format!(r#"{{"member":"u{}","x":1,"y":{number}}}"#, number % 3);
        let publish = read_publish(body.as_bytes(), None).unwrap();
        group.publish(publish).unwrap().unwrap().seq
    }

    /// What is heard from a cursor on, as numbers relative to the floor, `!` where there is a gap before it.
    #[track_caller]
    fn check(group: &Arc<Group<String>>, cursor: Option<u64>, expected: &str) {
        let floor = group.lock().floor;
        let mut subscription = group.subscribe(cursor);
        let mut heard = Vec::new();
        while let Some(update) = subscription.try_next() {
            let mark = if update.said.ends_with(r#","gap":true}"#) { "!" } else { "" };
            heard.push(format!("{mark}{}", update.seq - floor));
        }
        assert_eq!(heard.join(" "), expected, "from {cursor:?}");
    }

    #[test]
    fn a_cursor_is_owed_everything_after_it() {
        let group = Arc::new(Group::default());
        let floor = group.subscribe(None).cursor();
        for number in 1..=4 {
            publish(&group, number);
        }
        check(&group, Some(0), "1 2 3 4");
        check(&group, Some(floor), "1 2 3 4");
        check(&group, Some(floor + 3), "4");
        check(&group, Some(floor + 4), "");
        check(&group, None, "");
        check(&group, Some(floor - 1), "!1 2 3 4");
        check(&group, Some(floor + 5), "!1 2 3 4");
    }

    #[test]
    fn a_cursor_older_than_the_ring_gets_the_newest_of_each_member_first() {
        let group = Arc::new(Group::default());
        let floor = group.subscribe(None).cursor();
        publish(&group, 1);
        publish(&group, 2);
        for _ in 0..HISTORY {
            publish(&group, 3);
        }
        let live: Vec<_> = (3..=HISTORY + 2).map(|number| number.to_string()).collect();
        check(&group, Some(0), &format!("!1 2 {}", live.join(" ")));
        check(&group, Some(floor + 1), &format!("!2 {}", live.join(" ")));
        check(&group, Some(floor + 2), &live.join(" "));
    }

    #[tokio::test]
    async fn a_subscriber_that_lags_begins_anew_with_a_gap() {
        let group = Arc::new(Group::default());
        let mut subscription = group.subscribe(None);
        for number in 0..2 * HISTORY {
            publish(&group, number);
        }
        let first = subscription.next().await;
        assert!(first.said.ends_with(r#","gap":true}"#), "{}", first.said);
        let mut last = first.seq;
        while let Some(update) = subscription.try_next() {
            assert!(update.seq > last, "{} behind {last}", update.seq);
            last = update.seq;
        }
        assert_eq!(last, group.snapshot().0);
    }

    #[test]
    fn a_member_leaves_with_its_last_connection() {
        let group = Arc::new(Group::<String>::default());
        let connections =
            ["bob", "bob"].map(|name| group.connect(Member::try_from(name.to_owned()).unwrap()));
        let body = br#"{"x":1,"y":2}"#;
        group.publish(read_publish(body, Some(connections[0].member())).unwrap()).unwrap();
        let [first, second] = connections;
        drop(first);
        assert!(matches!(group.newest(), Newest::Update(_)));
        drop(second);
        assert!(matches!(group.newest(), Newest::Gone));
        assert_eq!(group.snapshot().1.len(), 0);
    }

    #[test]
    fn an_older_time_of_the_same_member_is_stale() {
        let group = Group::<String>::default();
        let at = |at: u64| {
            let body = format!(r#"{{"member":"a","x":1,"y":2,"at":{at}}}"#);
            group.publish(read_publish(body.as_bytes(), None).unwrap())
        };
        assert!(at(5).is_ok() && at(5).is_ok());
        assert_eq!(at(4).unwrap_err(), Refusal::Stale { at: 4, newest: 5 });
    }
}
