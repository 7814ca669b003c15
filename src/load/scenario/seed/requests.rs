//! A poller's round: its requests, one behind the other with a moment of thought between, and what their answers are held to.

use crate::load::client::{Answer, Client};
use crate::load::driver::Driver;
use crate::load::figures::Failure;
use crate::load::ledger::PollVerdict;
use crate::load::scenario::ask::Ask;
use crate::load::scenario::seed::{Doing, Seed, THINK_MICROS_MAX, Wake};
use crate::load::scenario::{check_tag, note};
use crate::wire::Parsed;
use crate::wire::sse;

impl Seed {
    /// Sends a request of the round on the user's connection, or on a new one.
    pub(super) fn ask(&mut self, driver: &mut Driver<Wake>, number: usize, place: usize, intended: u64) {
        let user = &mut self.users[number];
        user.doing = Doing::Asking { place, intended, opened: None, connecting_micros: 0 };
        let conn = match user.conn {
            Some(conn) => conn,
            None => match driver.open(number as u32, Client::requests()) {
                Ok(conn) => {
                    user.conn = Some(conn);
                    user.doing =
                        Doing::Asking { place, intended, opened: Some(driver.now()), connecting_micros: 0 };
                    conn
                }
                Err(error) => {
                    driver.figures.http_reqs += 1;
                    driver.figures.http_req_failed += 1;
                    note(driver, Failure::Connect, number, &error);
                    return self.end_round(driver, number);
                }
            },
        };
        let (ask, group) = (self.round()[place], self.users[number].group);
        driver.expect_first_byte(conn);
        driver.send(conn, |out| ask.encode(out, group, &self.plan.host));
    }

    pub(super) fn handle_answer(&mut self, driver: &mut Driver<Wake>, number: usize, answer: &Answer<'_>) {
        let Doing::Asking { place, intended, connecting_micros, .. } = self.users[number].doing else {
            return note(driver, Failure::Protocol, number, &"an answer that nothing was asked for");
        };
        let ask = self.round()[place];
        let figures = &mut driver.figures;
        figures.http_reqs += 1;
        figures.http_req_failed += u64::from(answer.status >= 400);
        if let Some(name) = ask.check() {
            let check = figures.checks.entry(name).or_default();
            if answer.status == 200 { check.passes += 1 } else { check.fails += 1 }
        }
        let micros = driver.now() - intended;
        driver.figures.http_req_duration.record(micros.saturating_sub(connecting_micros));
        if ask.may_have(answer.status) {
            self.check_answer(driver, number, ask, answer);
        } else {
            let said = format!("{} was answered {}", ask.describe(), answer.status);
            note(driver, Failure::Status, number, &said);
        }
        if !answer.keep_alive
            && let Some(conn) = self.users[number].conn.take()
        {
            driver.close(conn);
        }
        if place + 1 == self.round().len() {
            return self.end_round(driver, number);
        }
        let until = driver.now() + u64::from(driver.random().number() % THINK_MICROS_MAX);
        self.users[number].doing = Doing::Thinking { place: place + 1, until };
        driver.wake_at(until, Wake::Thought(number as u32));
    }

    pub(super) fn handle_thought(&mut self, driver: &mut Driver<Wake>, number: usize, due: u64) {
        if let Doing::Thinking { place, until } = self.users[number].doing
            && until == due
        {
            driver.figures.lag.record(driver.now() - due);
            self.ask(driver, number, place, due);
        }
    }

    /// Holds the content of an answer against what its group was told.
    fn check_answer(&mut self, driver: &mut Driver<Wake>, number: usize, ask: Ask, answer: &Answer<'_>) {
        let user = &mut self.users[number];
        if answer.status != 200 {
            if !answer.body.is_empty() {
                note(driver, Failure::Body, number, &"content where there is none to be");
            }
            return;
        }
        if ask.publishes() {
            driver.figures.published += 1;
        } else {
            driver.figures.delivered += 1;
        }
        let seq = match ask {
            Ask::EventOnce => match sse::decode(answer.body) {
                Parsed::Complete { value: sse::Block { data: Some(data), .. }, used }
                    if used == answer.body.len() =>
                {
                    return self.ledger.acknowledge(user.group, data.as_bytes());
                }
                _ => return note(driver, Failure::Body, number, &"an answer that is not one event"),
            },
            Ask::Notify | Ask::EventShare | Ask::Share => {
                return self.ledger.acknowledge(user.group, answer.body);
            }
            Ask::Current(_)
            | Ask::Newest
            | Ask::Long { .. }
            | Ask::LongSince(..)
            | Ask::Cursor
            | Ask::Stream => {
                let seq = match self.ledger.poll(user.listener, answer.body, None) {
                    PollVerdict::New { seq, .. } | PollVerdict::Same { seq } => Some(seq),
                    PollVerdict::MadeUp => None,
                    PollVerdict::Bad => return,
                };
                if let Ask::Current(_) = ask {
                    check_tag(driver, number, answer, seq);
                }
                let Some(seq) = seq else { return };
                seq
            }
        };
        let user = &mut self.users[number];
        let is_next = matches!(ask, Ask::Long { .. });
        if is_next && user.newest.is_some_and(|newest| newest >= seq) {
            note(driver, Failure::Repeated, number, &format!("{} was polled before", seq.number()));
        }
        user.newest = user.newest.max(Some(seq));
    }
}
