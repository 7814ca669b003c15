//! Subscribers of one transport in some groups, and publishes at a fixed rate, whatever becomes of them, or so many at a time.
//!
//! Each group has one publisher, a connection of its own, so that the numbers of its publishes and of its updates grow
//! together. One that publishes over WebSocket is told of its group's updates too, and counts as one more subscriber. A
//! publish says its group and its number (`x` and `y`), so whoever hears it knows whether it is right there and when it was
//! meant to be sent. The schedule of publishes at a rate is fixed beforehand: one that waits, waits in the figures. Of
//! publishes in a window each is meant to be sent when one before is over.
//!
//! ```text
//! Opening -> Publishing (warm-up) -> Settling -> Quiet -> Publishing (measured) -> Settling -> Quiet
//! ```
//!
//! At `Quiet` everything that was published has come and [`Driver::run`] returns, so that the server can be looked at while
//! nothing is under way. What has not come some seconds behind the warm-up may come while it counts; it is told by when it was
//! to be published, and left out.

mod opening;
mod polling;
mod publishing;
mod window;

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::{GroupId, Seq, Transport};
use crate::load::client::Heard;
use crate::load::driver::{ConnKey, Driver, Ended, Scenario};
use crate::load::figures::Failure;
use crate::load::ledger::{Ledger, ListenerId, Verdict};
use crate::load::plan::Pace;
use crate::load::scenario::subscribe::{Opening, Subscription};
use crate::load::scenario::{IDLE_MICROS_MIN, SETTLE_MICROS_MAX, SWEEP_MICROS, draw_groups, note};

/// How often it is looked whether everything has come.
const LOOK_MICROS: u64 = 1000;

/// Members that a group's publishes are about, in turn.
const MEMBERS: u64 = 10;

/// What the scenario asks to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// A publish is due, or the end of publishing.
    Publish,
    /// There may be room for publishes.
    Refill,
    /// It may be quiet by now.
    Look,
    /// This subscriber's short poll is due.
    Poll(u32),
    /// Somebody may have waited too long to get in.
    Sweep,
}

/// How a run of this scenario is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct FanoutPlan {
    /// The transport of the subscribers.
    pub transport: Transport,
    /// How many they are.
    pub subscribers: usize,
    /// Groups that they are spread over evenly.
    pub groups: usize,
    /// That of publishes, to all groups together.
    pub pace: Pace,
    /// How long is published at first, to be left out of the figures.
    pub warm_up: Duration,
    /// How long is published and measured.
    pub duration: Duration,
    /// From one short poll of a subscriber to its next.
    pub interval: Duration,
    /// How is published: over keep-alive HTTP (whatever transport of that is named), WebSocket or STOMP.
    pub publish_over: Transport,
    /// What requests name as Host.
    pub host: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Subscribers and publishers connect.
    Opening,
    /// Publishes are due.
    Publishing,
    /// What was published is on its way.
    Settling { until: u64 },
    /// Nothing is under way.
    Quiet,
}

/// How far a subscriber or a publisher has come. Publishing waits for those alone who are on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Accepts: that it is let in. Next: `Open`, or `Gone`.
    Opening { since: u64 },
    /// Accepts: everything. A publisher over HTTP that has no connection connects anew with its next publish, also one that was not
    /// let in in time; any other that has none says so whenever a publish is due. Next: `Gone`.
    Open,
    /// Was lost for good: a subscriber, a publisher in a window, or one whose connect the server did not take.
    Gone,
}

#[derive(Debug)]
struct Subscriber {
    group: usize,
    subscription: Subscription,
    listener: Option<ListenerId>,
    standing: Standing,
    /// The publishes of its group up to this one are behind it.
    passed: u64,
    cursor: Option<Seq>,
    /// What was acknowledged when the poll that is under way was sent.
    newest_at_send: Option<Seq>,
    /// When the short poll was due that waits for its answer.
    polling: Option<u64>,
    /// When the next short poll is due; the phase is kept however late an answer comes.
    poll_due: u64,
    /// When it was let in, or the short poll before was answered: until then the next one waits for the server, not for the tool.
    answered: u64,
}

#[derive(Debug)]
struct Publisher {
    group: GroupId,
    connection: Subscription,
    listener: Option<ListenerId>,
    standing: Standing,
    /// When it was let in, or last answered.
    answered: u64,
    published: u64,
    /// The publishes that an answer is owed to: their numbers, and when they were due.
    unanswered: VecDeque<(u64, u64)>,
    /// Who listens to its group.
    listeners: u32,
    /// It listens itself, and the publishes up to this one are behind it.
    passed: u64,
    /// The last of its publishes, those that are not over: how much each still waits for.
    under_way: VecDeque<u32>,
}

/// Subscribers, publishers and what they have heard.
#[derive(Debug)]
pub struct Fanout {
    plan: FanoutPlan,
    phase: Phase,
    subscribers: Vec<Subscriber>,
    publishers: Vec<Publisher>,
    next_to_open: usize,
    /// Who is open, or will never be.
    open: usize,
    /// Subscribers that came to listen.
    listened: u64,
    ledger: Ledger,
    /// When the schedule began, how many of it were sent (in a window, had their turn), and how many there are.
    began: u64,
    sent: u64,
    to_send: u64,
    /// When the time of publishing is over.
    publishes_end: u64,
    /// Publishes of a window that are not over.
    under_way: usize,
    /// Polls that wait for their answers.
    polls_under_way: usize,
    /// What the ledger had counted as conflated before it counted.
    conflated_before: u64,
}

impl Fanout {
    /// Begins to open subscribers and publishers; the driver's next run lasts until the warm-up has settled.
    #[must_use]
    pub fn start(driver: &mut Driver<Wake>, plan: FanoutPlan) -> Self {
        let publishers = draw_groups(driver, plan.groups)
            .into_iter()
            .map(|group| Publisher {
                group,
                connection: Subscription::of_publisher(plan.publish_over),
                listener: None,
                standing: Standing::Opening { since: 0 },
                answered: 0,
                published: 0,
                unanswered: VecDeque::new(),
                listeners: 0,
                passed: 0,
                under_way: VecDeque::new(),
            })
            .collect::<Vec<_>>();
        let subscribers = (0..plan.subscribers)
            .map(|place| Subscriber {
                group: place % plan.groups,
                subscription: Subscription::new(plan.transport),
                listener: None,
                standing: Standing::Opening { since: 0 },
                passed: 0,
                cursor: None,
                newest_at_send: None,
                polling: None,
                poll_due: 0,
                answered: 0,
            })
            .collect();
        let mut fanout = Self {
            plan,
            phase: Phase::Opening,
            subscribers,
            publishers,
            next_to_open: 0,
            open: 0,
            listened: 0,
            ledger: Ledger::new(),
            began: 0,
            sent: 0,
            to_send: 0,
            publishes_end: 0,
            under_way: 0,
            polls_under_way: 0,
            conflated_before: 0,
        };
        driver.wake_at(driver.now() + SWEEP_MICROS, Wake::Sweep);
        fanout.go_on_opening(driver);
        fanout
    }

    /// From a quiet moment on, everything counts: the driver's next run lasts until the measured publishes have settled.
    pub fn measure(&mut self, driver: &mut Driver<Wake>) {
        driver.figures.begin_anew();
        self.conflated_before = self.ledger.conflated();
        self.publish_for(driver, self.plan.duration);
    }

    /// Holds everybody to what they are owed, once the measured run is over.
    pub fn finish(&mut self, driver: &mut Driver<Wake>) {
        self.ledger.settle();
        driver.figures.failures.merge(self.ledger.failures());
        // What came late is told as late: a rate is over all the time that it took.
        driver.figures.seconds = driver.now().max(self.publishes_end).saturating_sub(self.began) as f64 / 1e6;
        driver.figures.conflated = self.ledger.conflated() - self.conflated_before;
        driver.figures.vus_max = self.listened;
        let unanswered: usize = self.publishers.iter().map(|publisher| publisher.unanswered.len()).sum();
        driver.figures.failures.note_many(Failure::Timeout, unanswered as u64, || {
            format!("{unanswered} publishes were not answered")
        });
        let publishes =
            self.publishers.iter().flat_map(|publisher| &publisher.unanswered).map(|(_, due)| *due);
        let polls = self.subscribers.iter().filter_map(|subscriber| subscriber.polling);
        self.count_unanswered(driver, publishes.chain(polls));
        let polls = self.polls_under_way as u64;
        let example = || format!("{polls} polls were not answered");
        driver.figures.failures.note_many(Failure::Timeout, polls, example);
    }

    fn publish_for(&mut self, driver: &mut Driver<Wake>, duration: Duration) {
        self.phase = Phase::Publishing;
        self.sent = 0;
        self.began = driver.now();
        self.publishes_end = self.began + duration.as_micros() as u64;
        match self.plan.pace {
            Pace::PerSecond(rate) => {
                self.to_send = (rate * duration.as_secs_f64()) as u64;
                // The first one is due a step from now.
                driver.wake_at(self.due(0, rate).min(self.publishes_end), Wake::Publish);
            }
            Pace::InFlight(_) => {
                self.open_window(driver);
                driver.wake_at(self.publishes_end, Wake::Publish);
            }
        }
        self.begin_polling(driver);
    }

    /// When a publish of the schedule is due.
    fn due(&self, number: u64, rate: f64) -> u64 {
        self.began + ((number + 1) as f64 * 1e6 / rate) as u64
    }

    fn handle_due(&mut self, driver: &mut Driver<Wake>) {
        if self.phase != Phase::Publishing {
            return;
        }
        let next = match self.plan.pace {
            Pace::PerSecond(rate) => self.publish_due(driver, rate),
            Pace::InFlight(_) => self.publishes_end,
        };
        if next > driver.now() {
            return driver.wake_at(next, Wake::Publish);
        }
        self.phase = Phase::Settling { until: driver.now() + SETTLE_MICROS_MAX };
        self.look(driver);
    }

    /// Publishes what is due by now, and says when it is to be looked again: the last one may be due before the end, and polls
    /// go on until that.
    fn publish_due(&mut self, driver: &mut Driver<Wake>, rate: f64) -> u64 {
        while self.sent < self.to_send && self.due(self.sent, rate) <= driver.now() {
            let due = self.due(self.sent, rate);
            driver.figures.lag.record(driver.now() - due);
            self.publish(driver, self.sent as usize % self.publishers.len(), due);
            self.sent += 1;
        }
        if self.sent < self.to_send { self.due(self.sent, rate) } else { self.publishes_end }
    }

    fn look(&mut self, driver: &mut Driver<Wake>) {
        let Phase::Settling { until } = self.phase else { return };
        let answered = self.publishers.iter().all(|publisher| publisher.unanswered.is_empty());
        let is_settled = answered && self.polls_under_way == 0 && self.ledger.is_settled();
        if is_settled || driver.now() >= until {
            self.phase = Phase::Quiet;
        } else {
            driver.wake_at(driver.now() + LOOK_MICROS, Wake::Look);
        }
    }

    /// Takes an update that somebody was told of, and says whether it counts: what was published before does not.
    fn hear(&mut self, driver: &mut Driver<Wake>, number: usize, body: &[u8]) -> bool {
        let listener = match number.checked_sub(self.subscribers.len()) {
            None => self.subscribers[number].listener,
            Some(place) => self.publishers[place].listener,
        };
        let Some(listener) = listener else {
            note(driver, Failure::Protocol, number, &"an update before it was subscribed");
            return true;
        };
        let verdict = self.ledger.hear(listener, body);
        let Verdict::Good { intended_micros, number: publish, .. } = verdict else { return true };
        if let Some(publish) = publish {
            self.pass(driver, number, publish + 1);
        }
        if intended_micros.is_some_and(|intended| !self.counts(intended)) {
            driver.figures.late += 1;
            return false;
        }
        driver.figures.delivered += 1;
        driver.figures.payload_received += body.len() as u64;
        if let Some(intended) = intended_micros {
            driver.figures.delivery.record(driver.now().saturating_sub(intended));
        }
        true
    }

    /// Whether what was due then is of this phase; the first is due a step behind its beginning.
    const fn counts(&self, due: u64) -> bool {
        due > self.began
    }

    /// Requests that ended without an answer, by when they were due.
    fn count_unanswered(&self, driver: &mut Driver<Wake>, due: impl IntoIterator<Item = u64>) {
        let requests = due.into_iter().filter(|due| self.counts(*due)).count() as u64;
        driver.figures.http_reqs += requests;
        driver.figures.http_req_failed += requests;
    }

    /// Whether one that asks has asked nothing for so long that the server may hang up: it connects anew when it has to.
    fn is_idle(&self, driver: &Driver<Wake>, number: usize) -> bool {
        let (is_idle, since) = match number.checked_sub(self.subscribers.len()) {
            None => {
                let subscriber = &self.subscribers[number];
                let polls = self.plan.transport == Transport::ShortPoll && subscriber.listener.is_some();
                (polls && subscriber.polling.is_none(), subscriber.answered)
            }
            Some(place) => {
                let publisher = &self.publishers[place];
                let asks = self.publishes_over_http() && publisher.standing == Standing::Open;
                (asks && publisher.unanswered.is_empty(), publisher.answered)
            }
        };
        is_idle && driver.now().saturating_sub(since) >= IDLE_MICROS_MIN
    }
}

impl Scenario for Fanout {
    type Wake = Wake;

    fn handle_wake(&mut self, driver: &mut Driver<Wake>, wake: Wake, due_micros: u64) {
        match wake {
            Wake::Publish => self.handle_due(driver),
            Wake::Refill => self.refill(driver),
            Wake::Look => self.look(driver),
            Wake::Sweep => self.sweep(driver),
            Wake::Poll(number) => self.poll(driver, number as usize, due_micros),
        }
    }

    fn handle_connected(&mut self, driver: &mut Driver<Wake>, _: ConnKey, user: u32) {
        let number = user as usize;
        if let Some(place) = number.checked_sub(self.subscribers.len()) {
            if self.publishes_over_http() {
                self.handle_publisher_open(driver, place);
            }
        } else if self.plan.transport == Transport::ShortPoll {
            self.handle_open(driver, number);
        }
    }

    fn handle_first_byte(&mut self, _: &mut Driver<Wake>, _: ConnKey, _: u32) {}

    fn handle_heard(&mut self, driver: &mut Driver<Wake>, conn: ConnKey, user: u32, heard: Heard<'_>) {
        let number = user as usize;
        if let Some(place) = number.checked_sub(self.subscribers.len()) {
            return self.handle_publisher_heard(driver, conn, place, &heard);
        }
        match heard {
            Heard::Update { body, .. } => {
                let subscriber = &self.subscribers[number];
                let group = self.publishers[subscriber.group].group;
                if let Some(what) = subscriber.subscription.misaddressed(&heard, group) {
                    note(driver, Failure::Misaddressed, number, &what);
                }
                self.hear(driver, number, body);
            }
            Heard::Answer(answer) if self.plan.transport == Transport::ShortPoll => {
                self.handle_short_poll_answer(driver, number, &answer);
            }
            Heard::Answer(answer) => self.handle_long_poll_answer(driver, number, &answer),
            other => {
                let group = self.publishers[self.subscribers[number].group].group;
                match self.subscribers[number].subscription.handle_heard(driver, conn, group, &other) {
                    Opening::UnderWay => {}
                    Opening::Open => self.handle_open(driver, number),
                    Opening::Refused(failure, what) => self.lose(driver, number, failure, &what),
                }
            }
        }
    }

    fn handle_ended(&mut self, driver: &mut Driver<Wake>, _: ConnKey, user: u32, ended: Ended) {
        let number = user as usize;
        let (failure, what) = ended.describe();
        let was_idle = matches!(ended, Ended::ByServer) && self.is_idle(driver, number);
        let Some(place) = number.checked_sub(self.subscribers.len()) else {
            self.subscribers[number].subscription.take_conn();
            if was_idle {
                return;
            }
            if self.plan.transport == Transport::LongPoll {
                // One is always under way.
                self.count_unanswered(driver, [driver.now()]);
            }
            return self.lose(driver, number, failure, &what);
        };
        let publisher = &mut self.publishers[place];
        publisher.connection.take_conn();
        if was_idle {
            return;
        }
        self.lose_publisher(driver, place, failure, &what);
        if let Ended::Unconnected(_) = ended {
            self.publishers[place].standing = Standing::Gone;
        }
    }

    fn handle_interrupt(&mut self, driver: &mut Driver<Wake>) {
        match self.phase {
            Phase::Opening => self.phase = Phase::Quiet,
            Phase::Publishing => {
                self.to_send = self.sent;
                self.publishes_end = driver.now();
                self.handle_due(driver);
            }
            Phase::Settling { .. } | Phase::Quiet => {}
        }
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Quiet
    }
}

#[cfg(test)]
mod tests;
