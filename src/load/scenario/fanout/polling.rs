//! Subscribers that poll: long polls, one behind the other, and short polls on a fixed schedule.

use crate::ids::Transport;
use crate::load::client::Answer;
use crate::load::driver::Driver;
use crate::load::figures::Failure;
use crate::load::ledger::PollVerdict;
use crate::load::plan::Pace;
use crate::load::scenario::ask::Ask;
use crate::load::scenario::fanout::{Fanout, Phase, Standing, Wake};
use crate::load::scenario::{PARK_MS, check_tag, note};

impl Fanout {
    /// Short polls of different users are spread evenly over the interval; they go on while there are publishes.
    pub(super) fn begin_polling(&mut self, driver: &mut Driver<Wake>) {
        if self.plan.transport != Transport::ShortPoll || self.subscribers.is_empty() {
            return;
        }
        let (interval, count) = (self.plan.interval.as_micros() as u64, self.subscribers.len() as u64);
        for (number, subscriber) in self.subscribers.iter_mut().enumerate() {
            subscriber.poll_due = driver.now() + interval * (number as u64 + 1) / count;
            driver.wake_at(subscriber.poll_due, Wake::Poll(number as u32));
        }
    }

    pub(super) fn poll(&mut self, driver: &mut Driver<Wake>, number: usize, due: u64) {
        let subscriber = &self.subscribers[number];
        // One at a time: what the phase before was not answered to may still be.
        if subscriber.polling.is_some() || subscriber.listener.is_none() {
            return;
        }
        // A wake of the phase before may come in this one.
        if self.phase != Phase::Publishing || due > self.publishes_end || due != subscriber.poll_due {
            return;
        }
        // Its connection was idle for so long that the server ended it.
        if subscriber.subscription.conn().is_none() {
            self.reopen(driver, number);
        }
        let subscriber = &mut self.subscribers[number];
        let Some(conn) = subscriber.subscription.conn() else { return };
        self.polls_under_way += 1;
        subscriber.polling = Some(due);
        driver.figures.lag.record(driver.now() - due.max(subscriber.answered));
        let group = self.publishers[subscriber.group].group;
        subscriber.newest_at_send = self.ledger.newest_acknowledged(group);
        let ask = Ask::Current(subscriber.cursor);
        driver.send(conn, |out| ask.encode(out, group, &self.plan.host));
    }

    pub(super) fn handle_short_poll_answer(
        &mut self,
        driver: &mut Driver<Wake>,
        number: usize,
        answer: &Answer<'_>,
    ) {
        let subscriber = &mut self.subscribers[number];
        let Some(listener) = subscriber.listener else { return };
        let Some(due) = subscriber.polling.take() else {
            return note(driver, Failure::Protocol, number, &"an answer that nothing was asked for");
        };
        self.polls_under_way -= 1;
        subscriber.answered = driver.now();
        // One of the warm-up may be answered while it counts.
        let counts = self.counts(due);
        let subscriber = &mut self.subscribers[number];
        let count = u64::from(counts);
        driver.figures.http_reqs += count;
        if counts {
            let waited = driver.now() - due;
            driver.figures.http_req_duration.record(waited);
            driver.figures.poll.record(waited);
        }
        match answer.status {
            200 => match self.ledger.poll(listener, answer.body, subscriber.newest_at_send) {
                PollVerdict::New { seq, intended_micros, passed_over } => {
                    check_tag(driver, number, answer, Some(seq));
                    subscriber.cursor = Some(seq);
                    driver.figures.delivered += count;
                    driver.figures.payload_received += count * answer.body.len() as u64;
                    if let Some(intended) = intended_micros {
                        self.record_seen(driver, intended, passed_over);
                    }
                }
                PollVerdict::Same { .. } => {
                    note(
                        driver,
                        Failure::Repeated,
                        number,
                        &"200 where If-None-Match named the newest update",
                    );
                }
                PollVerdict::MadeUp => check_tag(driver, number, answer, None),
                PollVerdict::Bad => {}
            },
            304 => {
                driver.figures.unchanged += count;
                check_tag(driver, number, answer, subscriber.cursor);
                if subscriber.newest_at_send > subscriber.cursor {
                    note(driver, Failure::Stale, number, &"304 where a newer update was acknowledged before");
                }
            }
            204 => {}
            status => {
                driver.figures.http_req_failed += count;
                note(driver, Failure::Status, number, &format!("a poll was answered {status}"));
            }
        }
        if !answer.keep_alive {
            self.reopen(driver, number);
        }
        let subscriber = &mut self.subscribers[number];
        if subscriber.poll_due == due {
            subscriber.poll_due += self.plan.interval.as_micros() as u64;
        }
        // The first poll of this phase may have come due while one of the phase before was under way.
        driver.wake_at(subscriber.poll_due, Wake::Poll(number as u32));
    }

    /// A poller has this update, and with it knows better than all that it was passed over for. Of what was published in
    /// this phase that is caught up with which every poller had time to poll for: the rest would be told by the quickest alone.
    pub(super) fn record_seen(&self, driver: &mut Driver<Wake>, intended: u64, passed_over: u64) {
        let step_micros = match self.plan.pace {
            Pace::PerSecond(rate) => self.plan.groups as f64 * 1e6 / rate,
            // Short polls have no window ([`crate::load::plan::Kind::takes`]).
            Pace::InFlight(_) => 0.0,
        };
        let last = self.publishes_end.saturating_sub(self.plan.interval.as_micros() as u64);
        for place in 0..=passed_over {
            let published = intended.saturating_sub((place as f64 * step_micros) as u64);
            if !self.counts(published) {
                break;
            }
            let waited = driver.now().saturating_sub(published);
            if place == 0 {
                driver.figures.delivery.record(waited);
            } else {
                driver.figures.unseen += 1;
            }
            if published < last {
                driver.figures.caught_up.record(waited);
            }
        }
    }

    pub(super) fn handle_long_poll_answer(
        &mut self,
        driver: &mut Driver<Wake>,
        number: usize,
        answer: &Answer<'_>,
    ) {
        if !matches!(answer.status, 200 | 204) {
            driver.figures.http_reqs += 1;
            driver.figures.http_req_failed += 1;
            return self.lose(driver, number, Failure::Status, &format!("answered {}", answer.status));
        }
        let Some(cursor) = answer.location_seq else {
            driver.figures.http_reqs += 1;
            let what = "a long poll's answer without Location-Seq";
            return self.lose(driver, number, Failure::Protocol, &what);
        };
        let is_first = matches!(self.subscribers[number].standing, Standing::Opening { .. });
        if is_first {
            self.handle_open(driver, number);
        }
        let counts = is_first || answer.status != 200 || self.hear(driver, number, answer.body);
        driver.figures.http_reqs += u64::from(counts);
        if !answer.keep_alive {
            self.reopen(driver, number);
        }
        let group = self.publishers[self.subscribers[number].group].group;
        if let Some(conn) = self.subscribers[number].subscription.conn() {
            let ask = Ask::LongSince(cursor, PARK_MS);
            driver.send(conn, |out| ask.encode(out, group, &self.plan.host));
        }
    }

    /// Connects a subscriber anew that was told that its connection ends.
    pub(super) fn reopen(&mut self, driver: &mut Driver<Wake>, number: usize) {
        if let Err(error) = self.subscribers[number].subscription.reopen(driver, number as u32) {
            self.lose(driver, number, Failure::Connect, &error);
        }
    }
}
