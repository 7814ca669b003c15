//! The publishers: a connection for each group, and what becomes of each publish.

use crate::ids::{GroupId, Transport};
use crate::load::client::speak::{encode_in_text, encode_text};
use crate::load::client::{Answer, Heard};
use crate::load::driver::{ConnKey, Driver};
use crate::load::figures::Failure;
use crate::load::ledger::Owed;
use crate::load::plan::Pace;
use crate::load::scenario::ask::Ask;
use crate::load::scenario::fanout::{Fanout, MEMBERS, Publisher, Standing, Wake};
use crate::load::scenario::publish_body;
use crate::load::scenario::subscribe::Opening;
use crate::wire::stomp::encode::encode_send;

impl Fanout {
    pub(super) fn publish(&mut self, driver: &mut Driver<Wake>, place: usize, due: u64) {
        // One that was cut connects anew when it has something to say, so a server that always cuts is not stormed.
        if self.publishers[place].connection.conn().is_none() && self.connects_anew(place) {
            self.reopen_publisher(driver, place);
        }
        let is_answered = self.publishes_over_http();
        let publisher = &mut self.publishers[place];
        let (group, number) = (publisher.group, publisher.published);
        let Some(conn) = publisher.connection.conn() else {
            return self.note_of_publisher(driver, place, Failure::Connect, &"gone when a publish was due");
        };
        publisher.published += 1;
        driver.figures.published += 1;
        if is_answered {
            publisher.unanswered.push_back((number, due));
        }
        self.ledger.intend(group, number, due);
        self.send_publish(driver, conn, group, number);
        self.begin_flight(place);
    }

    pub(super) fn send_publish(&self, driver: &mut Driver<Wake>, conn: ConnKey, group: GroupId, number: u64) {
        let body = publish_body(number % MEMBERS, group, number);
        let (body, mask) = (body.as_bytes(), driver.mask());
        driver.send(conn, |out| match self.plan.publish_over {
            Transport::WebSocket => encode_text(out, body, mask),
            Transport::Stomp => encode_in_text(out, mask, |out| encode_send(out, group, body)),
            Transport::Http | Transport::ShortPoll | Transport::LongPoll | Transport::Sse => {
                Ask::Share.encode_with(out, group, &self.plan.host, body);
            }
        });
    }

    pub(super) const fn publishes_over_http(&self) -> bool {
        !matches!(self.plan.publish_over, Transport::WebSocket | Transport::Stomp)
    }

    /// Whether a publisher that has no connection is given another one.
    pub(super) fn connects_anew(&self, place: usize) -> bool {
        self.publishes_over_http() && self.publishers[place].standing != Standing::Gone
    }

    /// Connects a publisher anew.
    pub(super) fn reopen_publisher(&mut self, driver: &mut Driver<Wake>, place: usize) {
        let user = (self.subscribers.len() + place) as u32;
        match self.publishers[place].connection.reopen(driver, user) {
            Ok(conn) => driver.count_apart(conn),
            Err(error) => self.note_of_publisher(driver, place, Failure::Connect, &error),
        }
    }

    pub(super) fn note_of_publisher(
        &self,
        driver: &mut Driver<Wake>,
        place: usize,
        failure: Failure,
        what: &dyn std::fmt::Display,
    ) {
        let group = self.publishers[place].group;
        driver.figures.failures.note(failure, || format!("the publisher of group {group}: {what}"));
    }

    pub(super) fn handle_publish_answer(
        &mut self,
        driver: &mut Driver<Wake>,
        place: usize,
        answer: &Answer<'_>,
    ) {
        let publisher = &mut self.publishers[place];
        let Some((number, due)) = publisher.unanswered.pop_front() else {
            let what = "an answer that nothing was asked for";
            return self.note_of_publisher(driver, place, Failure::Protocol, &what);
        };
        publisher.answered = driver.now();
        self.end_waits(driver, place, number, number + 1);
        let publisher = &mut self.publishers[place];
        // One of the warm-up may be answered while it counts.
        let counts = due > self.began;
        driver.figures.http_reqs += u64::from(counts);
        if counts {
            driver.figures.http_req_duration.record(driver.now() - due);
        }
        if answer.status == 200 {
            self.ledger.acknowledge(publisher.group, answer.body);
        } else {
            self.ledger.withdraw(publisher.group, number);
            self.refuse_flight(driver, place, number);
            driver.figures.http_req_failed += u64::from(counts);
            let what = format!("a publish was answered {}", answer.status);
            self.note_of_publisher(driver, place, Failure::Status, &what);
        }
        if !answer.keep_alive {
            self.reopen_publisher(driver, place);
            // What was sent behind the last answered request was not read (RFC 9112, section 9.6).
            let Publisher { group, connection, unanswered, .. } = &self.publishers[place];
            if let Some(conn) = connection.conn() {
                for (number, _) in unanswered {
                    self.send_publish(driver, conn, *group, *number);
                }
            }
        }
    }

    pub(super) fn handle_publisher_open(&mut self, driver: &mut Driver<Wake>, place: usize) {
        let publisher = &mut self.publishers[place];
        if !matches!(publisher.standing, Standing::Opening { .. }) {
            return;
        }
        publisher.standing = Standing::Open;
        publisher.answered = driver.now();
        if self.plan.publish_over == Transport::WebSocket {
            let user = (self.subscribers.len() + place) as u32;
            publisher.listener = Some(self.ledger.listen(Some(publisher.group), Owed::FromNow, user));
            publisher.listeners += 1;
        }
        self.count_open(driver);
    }

    pub(super) fn handle_publisher_heard(
        &mut self,
        driver: &mut Driver<Wake>,
        conn: ConnKey,
        place: usize,
        heard: &Heard<'_>,
    ) {
        match heard {
            Heard::Answer(answer) => self.handle_publish_answer(driver, place, answer),
            Heard::Update { body, .. } => {
                self.hear(driver, self.subscribers.len() + place, body);
            }
            other => {
                let publisher = &self.publishers[place];
                match publisher.connection.handle_heard(driver, conn, publisher.group, other) {
                    Opening::UnderWay => {}
                    Opening::Open => self.handle_publisher_open(driver, place),
                    Opening::Refused(failure, what) => self.lose_publisher(driver, place, failure, &what),
                }
            }
        }
    }

    /// A publisher is no more. Whether what it was not answered to was published, nobody knows.
    pub(super) fn lose_publisher(
        &mut self,
        driver: &mut Driver<Wake>,
        place: usize,
        failure: Failure,
        what: &dyn std::fmt::Display,
    ) {
        self.note_of_publisher(driver, place, failure, what);
        let publisher = &mut self.publishers[place];
        if let Some(conn) = publisher.connection.take_conn() {
            driver.close(conn);
        }
        let was = publisher.standing;
        match (self.plan.pace, was) {
            (Pace::InFlight(_), _) => publisher.standing = Standing::Gone,
            (Pace::PerSecond(_), Standing::Opening { .. }) => publisher.standing = Standing::Open,
            (Pace::PerSecond(_), Standing::Open | Standing::Gone) => {}
        }
        if let Some(listener) = publisher.listener.take() {
            self.ledger.leave(listener);
            self.stop_listening(driver, self.subscribers.len() + place);
        }
        let publisher = &mut self.publishers[place];
        let (group, unanswered) = (publisher.group, std::mem::take(&mut publisher.unanswered));
        for (number, _) in &unanswered {
            self.ledger.doubt(group, *number);
            self.end_waits(driver, place, *number, *number + 1);
        }
        self.count_unanswered(driver, unanswered.into_iter().map(|(_, due)| due));
        if let Standing::Opening { .. } = was {
            self.count_open(driver);
        }
    }
}
