//! How subscribers and publishers come in, one behind the other, and how a subscriber is lost.

use crate::ids::Transport;
use crate::load::driver::Driver;
use crate::load::figures::Failure;
use crate::load::ledger::Owed;
use crate::load::scenario::fanout::{Fanout, Phase, Standing, Wake};
use crate::load::scenario::{OPENING_MAX, SWEEP_MICROS, is_overdue, note};

impl Fanout {
    /// Subscribers and publishers together; publishers are numbered behind subscribers.
    fn everyone(&self) -> usize {
        self.subscribers.len() + self.publishers.len()
    }

    /// Opens as many as may be on their way at once; behind the last one publishing begins.
    pub(super) fn go_on_opening(&mut self, driver: &mut Driver<Wake>) {
        while self.next_to_open < self.everyone() && self.next_to_open - self.open < OPENING_MAX {
            self.open_next(driver);
        }
        if self.phase == Phase::Opening && self.open == self.everyone() {
            self.publish_for(driver, self.plan.warm_up);
        }
    }

    fn open_next(&mut self, driver: &mut Driver<Wake>) {
        let number = self.next_to_open;
        self.next_to_open += 1;
        let host = &self.plan.host;
        let now = driver.now();
        let opened = match number.checked_sub(self.subscribers.len()) {
            None => {
                let subscriber = &mut self.subscribers[number];
                subscriber.standing = Standing::Opening { since: now };
                let group = self.publishers[subscriber.group].group;
                subscriber.subscription.open(driver, number as u32, group, host)
            }
            Some(place) => {
                let publisher = &mut self.publishers[place];
                publisher.standing = Standing::Opening { since: now };
                let opened = publisher.connection.open(driver, number as u32, publisher.group, host);
                publisher.connection.conn().into_iter().for_each(|conn| driver.count_apart(conn));
                opened
            }
        };
        if let Err(error) = opened {
            note(driver, Failure::Connect, number, &error);
            match number.checked_sub(self.subscribers.len()) {
                None => self.subscribers[number].standing = Standing::Gone,
                Some(place) => self.publishers[place].standing = Standing::Open,
            }
            self.open += 1;
        }
    }

    /// One more is open, or will never be.
    pub(super) fn count_open(&mut self, driver: &mut Driver<Wake>) {
        self.open += 1;
        self.go_on_opening(driver);
    }

    /// Gives those up that take too long to get in.
    pub(super) fn sweep(&mut self, driver: &mut Driver<Wake>) {
        if self.phase != Phase::Opening {
            return;
        }
        for number in 0..self.next_to_open {
            let place = number.checked_sub(self.subscribers.len());
            let standing = place
                .map_or_else(|| self.subscribers[number].standing, |place| self.publishers[place].standing);
            let Standing::Opening { since } = standing else { continue };
            if !is_overdue(driver, since) {
                continue;
            }
            match place {
                None => self.lose(driver, number, Failure::Timeout, &"not subscribed in time"),
                Some(place) => {
                    self.lose_publisher(driver, place, Failure::Timeout, &"not connected in time");
                }
            }
        }
        driver.wake_at(driver.now() + SWEEP_MICROS, Wake::Sweep);
    }

    /// A subscriber listens from now on; a poller polls.
    pub(super) fn handle_open(&mut self, driver: &mut Driver<Wake>, number: usize) {
        let subscriber = &mut self.subscribers[number];
        if !matches!(subscriber.standing, Standing::Opening { .. }) {
            return;
        }
        subscriber.standing = Standing::Open;
        subscriber.answered = driver.now();
        self.listened += 1;
        let publisher = &mut self.publishers[subscriber.group];
        publisher.listeners += 1;
        let group = publisher.group;
        let owed = match self.plan.transport {
            Transport::ShortPoll => Owed::Newest,
            _ => Owed::FromNow,
        };
        subscriber.listener = Some(self.ledger.listen(Some(group), owed, number as u32));
        self.count_open(driver);
    }

    /// A subscriber is no more.
    pub(super) fn lose(
        &mut self,
        driver: &mut Driver<Wake>,
        number: usize,
        failure: Failure,
        what: &dyn std::fmt::Display,
    ) {
        note(driver, failure, number, what);
        let subscriber = &mut self.subscribers[number];
        if let Some(conn) = subscriber.subscription.take_conn() {
            driver.close(conn);
        }
        if let Some(listener) = subscriber.listener.take() {
            self.ledger.leave(listener);
            self.stop_listening(driver, number);
        }
        let subscriber = &mut self.subscribers[number];
        let polling = subscriber.polling.take();
        let was = std::mem::replace(&mut subscriber.standing, Standing::Gone);
        self.polls_under_way -= usize::from(polling.is_some());
        self.count_unanswered(driver, polling);
        if let Standing::Opening { .. } = was {
            self.count_open(driver);
        }
    }
}
