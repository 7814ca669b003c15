//! Connections on each of which short polls follow each other as quickly as they are answered: what a request costs, and how
//! many a server can answer.
//!
//! Every group has a location before the first poll, so all are answered with 200, a body and an ETag. The first of a group's
//! users publishes it on its own connection, and again from time to time, for a member that nobody hears of leaves. A user
//! sends its requests in one write, and the next ones when all of them are answered; how long one took is counted from
//! that write, so this is a closed loop, and waits that a slow server keeps users from making are in no figure.
//!
//! ```text
//! Opening -> Asking (warm-up) -> Settling -> Quiet -> Asking (measured) -> Settling -> Quiet
//! ```

mod answers;

use std::time::Duration;

use crate::ids::{GroupId, Seq};
use crate::load::client::{Client, Heard};
use crate::load::driver::{ConnKey, Driver, Ended, Scenario};
use crate::load::figures::Failure;
use crate::load::ledger::{Ledger, ListenerId, Owed};
use crate::load::scenario::ask::Ask;
use crate::load::scenario::{
    IDLE_MICROS_MIN, OPENING_MAX, SETTLE_MICROS_MAX, SWEEP_MICROS, draw_groups, is_overdue, note,
    publish_body,
};

/// How often a group's location is published anew: a third of the time after which a member leaves that nobody hears of.
const PUBLISH_MICROS: u64 = 20_000_000;

/// What the scenario asks to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// There may be room for who is to connect, or all may be in.
    Opening,
    /// This user is to publish in the place of another.
    GoOn(u32),
    /// Everybody is to ask.
    Begin,
    /// The time of asking is over.
    End,
    /// What is not answered by now is not waited for any more.
    GiveUp,
    /// Somebody may have waited too long.
    Sweep,
}

/// How a run of this scenario is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct AskingPlan {
    /// How many ask.
    pub users: usize,
    /// Groups that they are spread over evenly; those without a user are not asked for.
    pub groups: usize,
    /// Requests of one write.
    pub in_flight: usize,
    /// Each write of a user is about the group behind that of the write before.
    pub roam: bool,
    /// How long they ask at first, to be left out of the figures.
    pub warm_up: Duration,
    /// How long they ask and are measured.
    pub duration: Duration,
    /// What requests name as Host.
    pub host: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Users connect, and groups are given their locations.
    Opening,
    /// Everybody asks.
    Asking,
    /// What was asked is to be answered still.
    Settling,
    /// Nothing is under way.
    Quiet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Accepts: that its connection stands. Next: `Publishing`, or `Ready`.
    Connecting { since: u64 },
    /// Accepts: the answer to its publish. Next: `Asking`, or `Ready`.
    Publishing { since: u64 },
    /// Accepts: so many answers. Next: `Asking`, `Publishing` or `Ready`.
    Asking { since: u64, left: usize, newest_at_send: Option<Seq> },
    /// Asks nothing. Next: `Asking`, or `Publishing`.
    Ready { since: u64 },
    /// Was lost.
    Gone,
}

#[derive(Debug)]
struct User {
    doing: Doing,
    conn: Option<ConnKey>,
    listener: Option<ListenerId>,
    /// The group that it asks about.
    place: usize,
}

#[derive(Debug)]
struct Group {
    id: GroupId,
    /// The user who publishes.
    publisher: usize,
    published: u64,
    /// When it is to be published anew.
    publish_due: u64,
    /// The newest update that anybody was answered with.
    newest: Option<(Seq, Box<[u8]>)>,
    /// Requests as a user sends them, one behind the other.
    requests: Vec<u8>,
}

/// The users and what they are answered.
#[derive(Debug)]
pub struct Asking {
    plan: AskingPlan,
    phase: Phase,
    users: Vec<User>,
    groups: Vec<Group>,
    next_to_open: usize,
    /// Users whose first connection does not stand yet.
    connecting: usize,
    /// Groups without a location that some user can still give one.
    unpublished: usize,
    /// Users who were not lost.
    live: usize,
    /// Users who wait for an answer.
    waiting: usize,
    ledger: Ledger,
    began: u64,
    ends: u64,
}

impl Asking {
    /// Begins to connect; the driver's next run lasts until the warm-up has settled.
    #[must_use]
    pub fn start(driver: &mut Driver<Wake>, plan: AskingPlan) -> Self {
        let count = plan.groups.min(plan.users);
        let group = |(place, id)| {
            let mut requests = Vec::new();
            (0..plan.in_flight).for_each(|_| Ask::Newest.encode(&mut requests, id, &plan.host));
            Group { id, publisher: place, published: 0, publish_due: 0, newest: None, requests }
        };
        let groups: Vec<_> = draw_groups(driver, count).into_iter().enumerate().map(group).collect();
        let user = |number| User {
            doing: Doing::Connecting { since: 0 },
            conn: None,
            listener: None,
            place: number % count,
        };
        let mut asking = Self {
            phase: Phase::Opening,
            users: (0..plan.users).map(user).collect(),
            groups,
            next_to_open: 0,
            connecting: plan.users,
            unpublished: count,
            live: plan.users,
            waiting: 0,
            ledger: Ledger::new(),
            began: driver.now(),
            ends: driver.now(),
            plan,
        };
        driver.wake_at(driver.now() + SWEEP_MICROS, Wake::Sweep);
        asking.go_on_opening(driver);
        asking
    }

    /// From a quiet moment on, everything counts: the driver's next run lasts until all that is asked is answered.
    pub fn measure(&mut self, driver: &mut Driver<Wake>) {
        driver.figures.begin_anew();
        self.ask_for(driver, self.plan.duration);
    }

    /// Sums up, once the measured run is over.
    pub fn finish(&mut self, driver: &mut Driver<Wake>) {
        driver.figures.seconds = driver.now().saturating_sub(self.began) as f64 / 1e6;
        driver.figures.vus_max = self.live as u64;
        for number in 0..self.users.len() {
            if self.is_waiting(number) {
                note(driver, Failure::Timeout, number, &"no answer");
                self.count_unanswered(driver, number);
            }
        }
        driver.figures.failures.merge(self.ledger.failures());
    }

    /// Connects as many as may be on their way at once; behind the last one they begin to ask.
    fn go_on_opening(&mut self, driver: &mut Driver<Wake>) {
        while self.next_to_open < self.users.len()
            && self.next_to_open + self.connecting - self.users.len() < OPENING_MAX
        {
            let number = self.next_to_open;
            self.next_to_open += 1;
            self.users[number].doing = Doing::Connecting { since: driver.now() };
            self.connect(driver, number);
        }
        if self.phase == Phase::Opening && self.connecting == 0 && self.unpublished == 0 {
            self.ask_for(driver, self.plan.warm_up);
        }
    }

    fn connect(&mut self, driver: &mut Driver<Wake>, number: usize) {
        match driver.open(number as u32, Client::requests()) {
            Ok(conn) => self.users[number].conn = Some(conn),
            Err(error) => self.lose(driver, number, Failure::Connect, &error),
        }
    }

    fn ask_for(&mut self, driver: &mut Driver<Wake>, duration: Duration) {
        self.phase = Phase::Asking;
        self.began = driver.now();
        self.ends = self.began + duration.as_micros() as u64;
        // What is sent goes out when a wake or an event has been handled.
        driver.wake_at(self.began, Wake::Begin);
        driver.wake_at(self.ends, Wake::End);
    }

    /// A user who has nothing to wait for asks for the next, while there is time.
    fn go_on(&mut self, driver: &mut Driver<Wake>, number: usize) {
        if !matches!(self.users[number].doing, Doing::Ready { .. }) {
            return;
        }
        // Wherever it asks by now, or a round of many groups would take longer than a member stays.
        let group = &self.groups[self.home(number)];
        let publishes = group.publisher == number && driver.now() >= group.publish_due;
        let is_needed = self.phase == Phase::Opening && group.newest.is_none();
        let asks = self.phase == Phase::Asking && driver.now() < self.ends;
        if !(asks || publishes && is_needed) {
            return;
        }
        // The server ended it while it was idle.
        if self.users[number].conn.is_none() {
            self.connect(driver, number);
        }
        if publishes {
            self.publish(driver, number);
        } else {
            self.send(driver, number, self.plan.in_flight);
        }
    }

    /// Asks so often, in one write.
    fn send(&mut self, driver: &mut Driver<Wake>, number: usize, count: usize) {
        let Some(conn) = self.users[number].conn else { return };
        let group = &self.groups[self.place(number)];
        let requests = &group.requests[..group.requests.len() / self.plan.in_flight * count];
        driver.send(conn, |out| out.extend_from_slice(requests));
        let newest_at_send = self.ledger.newest_acknowledged(group.id);
        self.wait_as(number, Doing::Asking { since: driver.now(), left: count, newest_at_send });
    }

    fn publish(&mut self, driver: &mut Driver<Wake>, number: usize) {
        let Some(conn) = self.users[number].conn else { return };
        let home = self.home(number);
        let group = &mut self.groups[home];
        let publish = group.published;
        group.published += 1;
        group.publish_due = driver.now() + PUBLISH_MICROS;
        driver.figures.published += 1;
        self.ledger.intend(group.id, publish, driver.now());
        let (id, body) = (group.id, publish_body(0, group.id, publish));
        driver.send(conn, |out| Ask::Share.encode_with(out, id, &self.plan.host, body.as_bytes()));
        self.wait_as(number, Doing::Publishing { since: driver.now() });
    }

    fn wait_as(&mut self, number: usize, doing: Doing) {
        self.waiting += usize::from(!self.is_waiting(number));
        self.users[number].doing = doing;
    }

    /// All that it had asked is answered.
    fn be_ready(&mut self, driver: &mut Driver<Wake>, number: usize) {
        self.waiting -= usize::from(self.is_waiting(number));
        let was = std::mem::replace(&mut self.users[number].doing, Doing::Ready { since: driver.now() });
        if self.plan.roam && matches!(was, Doing::Asking { .. }) {
            self.roam(number);
        }
        self.go_on(driver, number);
        self.settle();
    }

    /// A user goes over to the next group.
    fn roam(&mut self, number: usize) {
        let user = &mut self.users[number];
        user.place = (user.place + 1) % self.groups.len();
        let group = self.groups[user.place].id;
        if let Some(listener) = user.listener.take() {
            self.ledger.leave(listener);
        }
        user.listener = Some(self.ledger.listen(Some(group), Owed::Newest, number as u32));
    }

    /// Whether what settles is the time of asking that ended then, not an earlier one.
    const fn is_over(&self, ended: u64) -> bool {
        matches!(self.phase, Phase::Settling) && ended >= self.ends
    }

    fn settle(&mut self) {
        if self.phase == Phase::Settling && self.waiting == 0 {
            self.phase = Phase::Quiet;
        }
    }

    fn is_waiting(&self, number: usize) -> bool {
        matches!(self.users[number].doing, Doing::Publishing { .. } | Doing::Asking { .. })
    }

    /// The place of the group that a user asks about now.
    fn place(&self, number: usize) -> usize {
        self.users[number].place
    }

    /// The place of the group that a user may have to publish to, which is the first that it asks about.
    const fn home(&self, number: usize) -> usize {
        number % self.groups.len()
    }

    /// Whether what was sent then is of this phase.
    const fn counts(&self, since: u64) -> bool {
        since >= self.began
    }

    /// A user is no more; if it was to publish, another one of the group does.
    fn lose(
        &mut self,
        driver: &mut Driver<Wake>,
        number: usize,
        failure: Failure,
        what: &dyn std::fmt::Display,
    ) {
        note(driver, failure, number, what);
        self.count_unanswered(driver, number);
        let place = self.home(number);
        self.waiting -= usize::from(self.is_waiting(number));
        let user = &mut self.users[number];
        if let Some(conn) = user.conn.take() {
            driver.close(conn);
        }
        if let Some(listener) = user.listener.take() {
            self.ledger.leave(listener);
        }
        let was = std::mem::replace(&mut user.doing, Doing::Gone);
        if was == Doing::Gone {
            return;
        }
        self.live -= 1;
        self.connecting -= usize::from(matches!(was, Doing::Connecting { .. }));
        let group = &mut self.groups[place];
        if let Doing::Publishing { .. } = was {
            self.ledger.doubt(group.id, group.published - 1);
        }
        if group.publisher == number {
            let mut others = (place..self.users.len()).step_by(self.groups.len());
            match others.find(|other| self.users[*other].doing != Doing::Gone) {
                Some(other) => {
                    let group = &mut self.groups[place];
                    group.publisher = other;
                    group.publish_due = driver.now();
                    driver.wake_at(driver.now(), Wake::GoOn(other as u32));
                }
                None => self.unpublished -= usize::from(self.groups[place].newest.is_none()),
            }
        }
        if self.live == 0 {
            self.phase = Phase::Quiet;
        }
        self.settle();
        // Not from here: whoever is lost while it connects would be one call deeper than the one before.
        if self.phase == Phase::Opening {
            driver.wake_at(driver.now(), Wake::Opening);
        }
    }

    fn sweep(&mut self, driver: &mut Driver<Wake>) {
        for number in 0..self.next_to_open {
            let since = match self.users[number].doing {
                Doing::Connecting { since } | Doing::Publishing { since } | Doing::Asking { since, .. } => {
                    since
                }
                Doing::Ready { .. } | Doing::Gone => continue,
            };
            if is_overdue(driver, since) {
                self.lose(driver, number, Failure::Timeout, &"no answer");
            }
        }
        driver.wake_at(driver.now() + SWEEP_MICROS, Wake::Sweep);
    }

    fn end(&mut self, driver: &mut Driver<Wake>) {
        if self.phase == Phase::Asking && driver.now() >= self.ends {
            self.phase = Phase::Settling;
            driver.wake_at(driver.now() + SETTLE_MICROS_MAX, Wake::GiveUp);
            self.settle();
        }
    }
}

impl Scenario for Asking {
    type Wake = Wake;

    fn handle_wake(&mut self, driver: &mut Driver<Wake>, wake: Wake, due_micros: u64) {
        match wake {
            Wake::Opening => self.go_on_opening(driver),
            Wake::GoOn(number) => self.go_on(driver, number as usize),
            Wake::Begin => (0..self.users.len()).for_each(|number| self.go_on(driver, number)),
            Wake::End => self.end(driver),
            // One of the phase before may come in this one.
            Wake::GiveUp if self.is_over(due_micros - SETTLE_MICROS_MAX) => self.phase = Phase::Quiet,
            Wake::GiveUp => {}
            Wake::Sweep => self.sweep(driver),
        }
    }

    fn handle_connected(&mut self, driver: &mut Driver<Wake>, _: ConnKey, user: u32) {
        let number = user as usize;
        // Whoever connects anew has its requests to send already.
        if !matches!(self.users[number].doing, Doing::Connecting { .. }) {
            return;
        }
        self.connecting -= 1;
        let group = self.groups[self.place(number)].id;
        self.users[number].listener = Some(self.ledger.listen(Some(group), Owed::Newest, user));
        self.be_ready(driver, number);
        self.go_on_opening(driver);
    }

    fn handle_first_byte(&mut self, _: &mut Driver<Wake>, _: ConnKey, _: u32) {}

    fn handle_heard(&mut self, driver: &mut Driver<Wake>, _: ConnKey, user: u32, heard: Heard<'_>) {
        if let Heard::Answer(answer) = heard {
            self.handle_answer(driver, user as usize, &answer);
            if self.phase == Phase::Opening {
                self.go_on_opening(driver);
            }
        }
    }

    fn handle_ended(&mut self, driver: &mut Driver<Wake>, _: ConnKey, user: u32, ended: Ended) {
        let number = user as usize;
        self.users[number].conn = None;
        if let (Doing::Ready { since }, Ended::ByServer) = (self.users[number].doing, &ended)
            && driver.now() - since >= IDLE_MICROS_MIN
        {
            return;
        }
        let (failure, what) = ended.describe();
        self.lose(driver, number, failure, &what);
    }

    fn handle_interrupt(&mut self, driver: &mut Driver<Wake>) {
        match self.phase {
            Phase::Opening => {
                for user in &mut self.users {
                    user.conn.take().into_iter().for_each(|conn| driver.close(conn));
                    user.doing = Doing::Gone;
                }
                self.waiting = 0;
                self.phase = Phase::Quiet;
            }
            Phase::Asking => {
                self.ends = driver.now();
                self.end(driver);
            }
            Phase::Settling | Phase::Quiet => {}
        }
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Quiet
    }
}

#[cfg(test)]
mod tests;
