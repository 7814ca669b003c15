//! Connections that come at a fixed rate, or one in the place of another that has gone, listen to a group, and stay until
//! the end or leave after a while: what it costs to connect, to do nothing, and to come and go.
//!
//! ```text
//! Away -> Opening -> Open (idle: until the end) -> Leaving -> Gone (its place is taken: -> Opening)
//!                    ^  |
//!                    Reopening (short poll)
//! ```
//!
//! A poller's connection is open once a first poll was answered. One that stays is then idle between two requests (short
//! poll) or parked (long poll). Servers end connections that are idle for long, and whoever polls connects anew for its next
//! poll: so does this one, when that comes to pass.

use std::time::Duration;

use crate::ids::{GroupId, Seq, Transport};
use crate::load::client::{Answer, Heard};
use crate::load::driver::{ConnKey, Driver, Ended, Scenario};
use crate::load::figures::Failure;
use crate::load::scenario::ask::Ask;
use crate::load::scenario::subscribe::{Opening, Subscription};
use crate::load::scenario::{IDLE_MICROS_MIN, PARK_MS, SWEEP_MICROS, draw_groups, is_overdue, note};
use crate::wire::websocket::frame::CloseCode;

/// What the scenario asks to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// The next visitor is to come.
    Come,
    /// One is to come in the place of this one.
    Follow(u32),
    /// This one is to leave.
    Leave(u32),
    /// Somebody may have waited too long.
    Sweep,
    /// All have been idle for long enough.
    Held,
}

/// When visitors come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coming {
    /// At a rate, whatever becomes of those before.
    PerSecond {
        /// How many come in all.
        visits: usize,
        /// How many come a second.
        rate: f64,
    },
    /// One in the place of each that has gone, at once. A visitor that failed is not followed, so a server that lets nobody in
    /// is not stormed.
    Following {
        /// How many are there at a time.
        visitors: usize,
        /// How long they come.
        duration: Duration,
    },
}

/// How a run of this scenario is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct VisitsPlan {
    /// The one transport of all visitors.
    pub transport: Transport,
    /// When they come.
    pub coming: Coming,
    /// How long each stays once it is in; none if until the end.
    pub stay: Option<Duration>,
    /// Groups that they are spread over evenly.
    pub groups: usize,
    /// What requests name as Host.
    pub host: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Accepts: that its time has come. Next: `Opening`.
    Away,
    /// Accepts: that it is let in. Next: `Open`, or `Gone`.
    Opening { intended: u64 },
    /// Accepts: that its stay is over, or its idle connection. Next: `Leaving`, `Reopening` or `Gone`.
    Open,
    /// Polls on a connection in place of one that the server ended. Accepts: the answer, or that its stay is over. Next: `Open`, or
    /// `Gone`.
    Reopening { since: u64 },
    /// Accepts: that the server hangs up. Next: `Gone`.
    Leaving { since: u64 },
    /// Accepts: that another one takes its place. Next: `Opening`.
    Gone,
}

#[derive(Debug)]
struct Visitor {
    doing: Doing,
    group: GroupId,
    subscription: Subscription,
    /// When its last poll was sent.
    asked: u64,
}

/// The visitors.
#[derive(Debug)]
pub struct Visits {
    plan: VisitsPlan,
    groups: Vec<GroupId>,
    began: u64,
    /// Those that come at a rate, or the places of those that follow each other.
    visitors: Vec<Visitor>,
    come: usize,
    /// Visitors that are in, or failed to be.
    settled: usize,
    /// Visitors that are gone, or places that nobody takes any more.
    gone: usize,
    present: u64,
    holding: bool,
    is_interrupted: bool,
}

impl Visits {
    /// Nobody is there yet. The driver's next run lasts until everyone is in, or has gone again if they do.
    #[must_use]
    pub fn start(driver: &mut Driver<Wake>, plan: VisitsPlan) -> Self {
        let groups = draw_groups(driver, plan.groups);
        let visitor = |number| Visitor {
            doing: Doing::Away,
            group: groups[number % groups.len()],
            subscription: Subscription::new(plan.transport),
            asked: 0,
        };
        let (Coming::PerSecond { visits: places, .. } | Coming::Following { visitors: places, .. }) =
            plan.coming;
        let visits = Self {
            began: driver.now(),
            visitors: (0..places).map(visitor).collect(),
            groups,
            plan,
            come: 0,
            settled: 0,
            gone: 0,
            present: 0,
            holding: false,
            is_interrupted: false,
        };
        match visits.plan.coming {
            Coming::PerSecond { rate, .. } => driver.wake_at(visits.due(0, rate), Wake::Come),
            Coming::Following { visitors, .. } => {
                (0..visitors).for_each(|number| driver.wake_at(visits.began, Wake::Follow(number as u32)));
            }
        }
        driver.wake_at(visits.began + SWEEP_MICROS, Wake::Sweep);
        visits
    }

    /// The driver's next run lasts this long, with everyone idle.
    pub fn hold(&mut self, driver: &mut Driver<Wake>, duration: Duration) {
        self.holding = true;
        driver.wake_at(driver.now() + duration.as_micros() as u64, Wake::Held);
    }

    /// Sums up, once the run is over.
    pub fn finish(&self, driver: &mut Driver<Wake>) {
        driver.figures.seconds = (driver.now() - self.began) as f64 / 1e6;
    }

    fn due(&self, number: usize, rate: f64) -> u64 {
        self.began + ((number + 1) as f64 * 1e6 / rate) as u64
    }

    fn handle_come(&mut self, driver: &mut Driver<Wake>) {
        let Coming::PerSecond { rate, .. } = self.plan.coming else { return };
        // One at a time: what it says goes out, and the clock is read, before the next is looked at.
        if self.come < self.visitors.len() {
            let (number, intended) = (self.come, self.due(self.come, rate));
            driver.figures.lag.record(driver.now() - intended);
            self.begin(driver, number, intended);
        }
        if self.come < self.visitors.len() {
            driver.wake_at(self.due(self.come, rate), Wake::Come);
        }
    }

    /// Somebody comes in the place of one who has gone, while there is time. It is meant to come when it does.
    fn handle_follow(&mut self, driver: &mut Driver<Wake>, number: usize) {
        let Coming::Following { duration, .. } = self.plan.coming else { return };
        if driver.now() - self.began >= duration.as_micros() as u64 {
            self.gone += 1;
            return;
        }
        self.visitors[number].group = self.groups[self.come % self.groups.len()];
        self.begin(driver, number, driver.now());
    }

    const fn follows(&self) -> bool {
        matches!(self.plan.coming, Coming::Following { .. })
    }

    fn begin(&mut self, driver: &mut Driver<Wake>, number: usize, intended: u64) {
        self.come += 1;
        self.present += 1;
        driver.figures.vus_max = driver.figures.vus_max.max(self.present);
        let visitor = &mut self.visitors[number];
        visitor.doing = Doing::Opening { intended };
        let opened = visitor.subscription.open(driver, number as u32, visitor.group, &self.plan.host);
        if let Err(error) = opened {
            self.fail(driver, number, Failure::Connect, &error);
        }
    }

    /// A short poll is sent as soon as the connection stands; everyone else's first words were given to it before.
    fn handle_stands(&mut self, driver: &mut Driver<Wake>, number: usize, conn: ConnKey) {
        let is_opening = matches!(self.visitors[number].doing, Doing::Opening { .. });
        if self.plan.transport == Transport::ShortPoll && is_opening {
            self.send_poll(driver, number, conn);
        }
    }

    fn send_poll(&mut self, driver: &mut Driver<Wake>, number: usize, conn: ConnKey) {
        let visitor = &mut self.visitors[number];
        visitor.asked = driver.now();
        let group = visitor.group;
        driver.send(conn, |out| Ask::Current(None).encode(out, group, &self.plan.host));
    }

    fn handle_open(&mut self, driver: &mut Driver<Wake>, number: usize) {
        let Doing::Opening { intended } = self.visitors[number].doing else { return };
        driver.figures.opening.record(driver.now() - intended);
        driver.figures.opened += 1;
        self.settled += 1;
        self.visitors[number].doing = Doing::Open;
        if let Some(stay) = self.plan.stay {
            let until = driver.now() + stay.as_micros() as u64;
            driver.wake_at(until, Wake::Leave(number as u32));
        }
    }

    fn handle_answer(&mut self, driver: &mut Driver<Wake>, number: usize, answer: &Answer<'_>) {
        driver.figures.http_reqs += 1;
        if !matches!(answer.status, 200 | 204) {
            driver.figures.http_req_failed += 1;
            return self.fail(driver, number, Failure::Status, &format!("answered {}", answer.status));
        }
        self.handle_open(driver, number);
        let visitor = &mut self.visitors[number];
        if let Doing::Reopening { .. } = visitor.doing {
            visitor.doing = Doing::Open;
        }
        let subscription = &mut visitor.subscription;
        if !answer.keep_alive
            && let Err(error) = subscription.reopen(driver, number as u32)
        {
            return self.fail(driver, number, Failure::Connect, &error);
        }
        if self.plan.transport == Transport::LongPoll
            && let Some(conn) = self.visitors[number].subscription.conn()
        {
            let (group, cursor) = (self.visitors[number].group, answer.location_seq.unwrap_or(Seq::ZERO));
            let ask = Ask::LongSince(cursor, PARK_MS);
            driver.send(conn, |out| ask.encode(out, group, &self.plan.host));
        }
    }

    /// Whether the server may end this one's connection as it is: nothing was asked on it for long.
    fn is_idle(&self, driver: &Driver<Wake>, number: usize) -> bool {
        let Visitor { doing, asked, .. } = self.visitors[number];
        self.plan.transport == Transport::ShortPoll
            && doing == Doing::Open
            && driver.now().saturating_sub(asked) >= IDLE_MICROS_MIN
    }

    /// Polls on a new connection.
    fn poll_anew(&mut self, driver: &mut Driver<Wake>, number: usize) {
        self.visitors[number].doing = Doing::Reopening { since: driver.now() };
        match self.visitors[number].subscription.reopen(driver, number as u32) {
            Ok(conn) => self.send_poll(driver, number, conn),
            Err(error) => self.fail(driver, number, Failure::Connect, &error),
        }
    }

    /// A WebSocket says that it goes and waits for the answer; everyone else just hangs up.
    fn handle_leave(&mut self, driver: &mut Driver<Wake>, number: usize) {
        let visitor = &mut self.visitors[number];
        let (Doing::Open | Doing::Reopening { .. }, Some(conn)) =
            (visitor.doing, visitor.subscription.conn())
        else {
            return;
        };
        match self.plan.transport {
            Transport::WebSocket | Transport::Stomp => {
                visitor.doing = Doing::Leaving { since: driver.now() };
                driver.say_close(conn, CloseCode::NORMAL);
            }
            Transport::Http | Transport::ShortPoll | Transport::LongPoll | Transport::Sse => {
                self.handle_left(driver, number);
            }
        }
    }

    /// It has done all that it came for.
    fn handle_left(&mut self, driver: &mut Driver<Wake>, number: usize) {
        driver.figures.iterations += 1;
        self.handle_gone(driver, number);
        match self.plan.coming {
            Coming::PerSecond { .. } => self.gone += 1,
            // Behind what is still to be written and closed.
            Coming::Following { .. } => driver.wake_at(driver.now(), Wake::Follow(number as u32)),
        }
    }

    fn handle_gone(&mut self, driver: &mut Driver<Wake>, number: usize) {
        let visitor = &mut self.visitors[number];
        if matches!(visitor.doing, Doing::Opening { .. }) {
            self.settled += 1;
        }
        if let Some(conn) = visitor.subscription.take_conn() {
            driver.close(conn);
        }
        visitor.doing = Doing::Gone;
        self.present -= 1;
    }

    fn fail(
        &mut self,
        driver: &mut Driver<Wake>,
        number: usize,
        failure: Failure,
        what: &dyn std::fmt::Display,
    ) {
        note(driver, failure, number, what);
        if self.visitors[number].doing != Doing::Gone {
            self.handle_gone(driver, number);
            self.gone += 1;
        }
    }

    fn sweep(&mut self, driver: &mut Driver<Wake>) {
        for number in 0..self.come.min(self.visitors.len()) {
            let since = match self.visitors[number].doing {
                Doing::Opening { intended } => intended,
                Doing::Reopening { since } | Doing::Leaving { since } => since,
                Doing::Away | Doing::Open | Doing::Gone => continue,
            };
            if is_overdue(driver, since) {
                self.fail(driver, number, Failure::Timeout, &"no answer");
            }
        }
        driver.wake_at(driver.now() + SWEEP_MICROS, Wake::Sweep);
    }
}

impl Scenario for Visits {
    type Wake = Wake;

    fn handle_wake(&mut self, driver: &mut Driver<Wake>, wake: Wake, _: u64) {
        match wake {
            Wake::Come => self.handle_come(driver),
            Wake::Follow(number) => self.handle_follow(driver, number as usize),
            Wake::Leave(number) => self.handle_leave(driver, number as usize),
            Wake::Sweep => self.sweep(driver),
            Wake::Held => self.holding = false,
        }
    }

    fn handle_connected(&mut self, driver: &mut Driver<Wake>, conn: ConnKey, user: u32) {
        self.handle_stands(driver, user as usize, conn);
    }

    fn handle_first_byte(&mut self, driver: &mut Driver<Wake>, _: ConnKey, user: u32) {
        if let Doing::Opening { intended } = self.visitors[user as usize].doing {
            driver.figures.first_byte.record(driver.now() - intended);
        }
    }

    fn handle_heard(&mut self, driver: &mut Driver<Wake>, conn: ConnKey, user: u32, heard: Heard<'_>) {
        let number = user as usize;
        match heard {
            Heard::Answer(answer) => self.handle_answer(driver, number, &answer),
            other => {
                let group = self.visitors[number].group;
                let leaving = matches!(self.visitors[number].doing, Doing::Leaving { .. });
                match self.visitors[number].subscription.handle_heard(driver, conn, group, &other) {
                    Opening::UnderWay => {}
                    Opening::Open => self.handle_open(driver, number),
                    // The place is not held while the server takes its time to hang up: some take a second.
                    Opening::Refused(Failure::Cut, _) if leaving && self.follows() => {
                        self.handle_left(driver, number);
                    }
                    Opening::Refused(Failure::Cut, _) if leaving => {}
                    Opening::Refused(failure, what) => self.fail(driver, number, failure, &what),
                }
            }
        }
    }

    fn handle_ended(&mut self, driver: &mut Driver<Wake>, _: ConnKey, user: u32, ended: Ended) {
        let number = user as usize;
        self.visitors[number].subscription.take_conn();
        if matches!(ended, Ended::ByServer) && self.is_idle(driver, number) {
            return self.poll_anew(driver, number);
        }
        match (self.visitors[number].doing, ended) {
            (Doing::Leaving { .. }, Ended::ByServer) => self.handle_left(driver, number),
            (_, ended) => {
                let (failure, what) = ended.describe();
                self.fail(driver, number, failure, &what);
            }
        }
    }

    fn handle_interrupt(&mut self, _: &mut Driver<Wake>) {
        self.is_interrupted = true;
    }

    fn is_done(&self) -> bool {
        let all = self.visitors.len();
        if self.is_interrupted {
            return true;
        }
        match self.plan.stay {
            Some(_) => self.gone == all,
            None => self.settled == all && !self.holding,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A STOMP client that came, was let in and has said that it goes hears this; then so many visits are done and so many failed.
    #[track_caller]
    fn check(coming: Coming, heard: Heard<'_>, done: u64, failed: u64) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut driver = Driver::new(server.local_addr().unwrap(), 1).unwrap();
        let (transport, stay) = (Transport::Stomp, Some(Duration::ZERO));
        let mut visits = Visits::start(
            &mut driver,
            VisitsPlan { transport, coming, stay, groups: 1, host: String::new() },
        );
        let now = driver.now();
        visits.begin(&mut driver, 0, now);
        let conn = visits.visitors[0].subscription.conn().expect("it was opened");
        visits.handle_heard(&mut driver, conn, 0, Heard::Receipt("subscribed"));
        visits.handle_wake(&mut driver, Wake::Leave(0), 0);
        assert!(matches!(visits.visitors[0].doing, Doing::Leaving { .. }), "{:?}", visits.visitors[0]);
        visits.handle_heard(&mut driver, conn, 0, heard);
        if visits.visitors[0].doing != Doing::Gone {
            visits.handle_ended(&mut driver, conn, 0, Ended::ByServer);
        }
        let figures = &driver.figures;
        assert_eq!((figures.iterations, figures.failures.total()), (done, failed), "{figures:?}");
        assert_eq!(visits.present, 0);
    }

    const ALONE: Coming = Coming::PerSecond { visits: 1, rate: 1.0 };
    const FOLLOWED: Coming = Coming::Following { visitors: 1, duration: Duration::from_secs(60) };

    #[test]
    fn visit_is_done_when_its_close_is_answered() {
        check(ALONE, Heard::Closing { code: 1000 }, 1, 0);
        check(FOLLOWED, Heard::Closing { code: 1000 }, 1, 0);
    }

    #[test]
    fn visit_that_is_complained_of_while_it_leaves_is_not_done() {
        check(ALONE, Heard::Complaint("no"), 0, 1);
        check(FOLLOWED, Heard::Complaint("no"), 0, 1);
    }
}
