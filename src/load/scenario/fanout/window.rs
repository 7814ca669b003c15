//! Publishes of which so many are under way at a time: the next goes out when one is over.
//!
//! One is over when all who listen to its group have heard of it, its publisher among them where that listens, and its answer
//! has come where one is owed. Whoever is told of a later one has passed it, and whoever is lost waits for nothing, so a
//! window stands still only where an update was lost for good; what follows it goes on, and the run ends at its time.
//!
//! What is over within one read is followed by one write to each publisher: the wake behind it comes when everything that was
//! sent meanwhile, the next long polls above all, has been written.

use crate::load::driver::Driver;
use crate::load::plan::Pace;
use crate::load::scenario::fanout::{Fanout, Phase, Wake};

impl Fanout {
    /// Nothing is under way of what counts, whatever was lost before.
    pub(super) fn open_window(&mut self, driver: &mut Driver<Wake>) {
        self.under_way = 0;
        for publisher in &mut self.publishers {
            publisher.under_way.clear();
        }
        // What is due at the very beginning would not count.
        driver.wake_at(self.began + 1, Wake::Refill);
    }

    /// Publishes until as many are under way as may be, each group in its turn; whoever is lost is passed over.
    pub(super) fn refill(&mut self, driver: &mut Driver<Wake>) {
        let Pace::InFlight(window) = self.plan.pace else { return };
        let mut passed_over = 0;
        while self.phase == Phase::Publishing
            && driver.now() < self.publishes_end
            && self.under_way < window
            && passed_over < self.publishers.len()
        {
            let (place, before) = (self.sent as usize % self.publishers.len(), self.under_way);
            self.sent += 1;
            if self.is_able(place) {
                self.publish(driver, place, driver.now());
            }
            passed_over = if self.under_way > before { 0 } else { passed_over + 1 };
        }
    }

    /// Whether this one can publish, and somebody can tell when that is over.
    fn is_able(&self, place: usize) -> bool {
        let publisher = &self.publishers[place];
        (publisher.connection.conn().is_some() || self.connects_anew(place)) && self.waits(place) > 0
    }

    /// What a publish of this one waits for: everyone who listens to its group, and its answer.
    fn waits(&self, place: usize) -> u32 {
        self.publishers[place].listeners + u32::from(self.publishes_over_http())
    }

    /// This one has published.
    pub(super) fn begin_flight(&mut self, place: usize) {
        if let Pace::InFlight(_) = self.plan.pace {
            let waits = self.waits(place);
            self.publishers[place].under_way.push_back(waits);
            self.under_way += 1;
        }
    }

    /// A listener has all publishes of its group up to this one behind it.
    pub(super) fn pass(&mut self, driver: &mut Driver<Wake>, number: usize, end: u64) {
        let (place, passed) = match number.checked_sub(self.subscribers.len()) {
            None => {
                let subscriber = &mut self.subscribers[number];
                (subscriber.group, &mut subscriber.passed)
            }
            Some(place) => (place, &mut self.publishers[place].passed),
        };
        let from = std::mem::replace(passed, end.max(*passed));
        self.end_waits(driver, place, from, end);
    }

    /// A listener is no more: nothing waits for it.
    pub(super) fn stop_listening(&mut self, driver: &mut Driver<Wake>, number: usize) {
        let place = match number.checked_sub(self.subscribers.len()) {
            None => self.subscribers[number].group,
            Some(place) => place,
        };
        let publisher = &mut self.publishers[place];
        publisher.listeners -= 1;
        let published = publisher.published;
        self.pass(driver, number, published);
    }

    /// Of these publishes of a group each waits for one less.
    pub(super) fn end_waits(&mut self, driver: &mut Driver<Wake>, place: usize, from: u64, end: u64) {
        let publisher = &mut self.publishers[place];
        let first = publisher.published - publisher.under_way.len() as u64;
        for number in from.max(first)..end {
            let waits = &mut publisher.under_way[(number - first) as usize];
            // Of one that was refused nobody will hear.
            *waits = waits.saturating_sub(1);
        }
        self.close_flights(driver, place);
    }

    /// A publish was refused: nothing waits for it.
    pub(super) fn refuse_flight(&mut self, driver: &mut Driver<Wake>, place: usize, number: u64) {
        let publisher = &mut self.publishers[place];
        let first = publisher.published - publisher.under_way.len() as u64;
        let flight = number.checked_sub(first).and_then(|at| publisher.under_way.get_mut(at as usize));
        flight.into_iter().for_each(|waits| *waits = 0);
        self.close_flights(driver, place);
    }

    /// What waits for nothing more is over, and makes room. Those of a group are over in their order, as they are heard.
    fn close_flights(&mut self, driver: &mut Driver<Wake>, place: usize) {
        let publisher = &mut self.publishers[place];
        let mut is_over = false;
        while publisher.under_way.front() == Some(&0) {
            publisher.under_way.pop_front();
            self.under_way -= 1;
            is_over = true;
        }
        if is_over {
            driver.wake_at(driver.now(), Wake::Refill);
        }
    }
}
