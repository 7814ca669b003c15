//! What is answered: each poll held against what its group was told, each publish taken for its group's newest.

use crate::ids::Seq;
use crate::load::client::Answer;
use crate::load::driver::Driver;
use crate::load::figures::Failure;
use crate::load::ledger::PollVerdict;
use crate::load::scenario::asking::{Asking, Doing, Wake};
use crate::load::scenario::{check_tag, note};

impl Asking {
    pub(super) fn handle_answer(&mut self, driver: &mut Driver<Wake>, number: usize, answer: &Answer<'_>) {
        let since = match self.users[number].doing {
            Doing::Publishing { since } | Doing::Asking { since, .. } => since,
            Doing::Connecting { .. } | Doing::Ready { .. } | Doing::Gone => {
                let what = "an answer that nothing was asked for";
                return self.lose(driver, number, Failure::Protocol, &what);
            }
        };
        let count = u64::from(self.counts(since));
        driver.figures.http_reqs += count;
        driver.figures.http_req_failed += u64::from(answer.status != 200) * count;
        if count > 0 {
            driver.figures.http_req_duration.record(driver.now() - since);
        }
        let left = match self.users[number].doing {
            Doing::Asking { left, newest_at_send, .. } => {
                self.check(driver, number, answer, (newest_at_send, count));
                left - 1
            }
            Doing::Publishing { .. } => {
                if !self.take_publish(driver, number, answer) {
                    return;
                }
                0
            }
            Doing::Connecting { .. } | Doing::Ready { .. } | Doing::Gone => return,
        };
        if !answer.keep_alive {
            if let Some(conn) = self.users[number].conn.take() {
                driver.close(conn);
            }
            self.connect(driver, number);
        }
        match &mut self.users[number].doing {
            // What was sent behind the last answered request was not read (RFC 9112, section 9.6).
            Doing::Asking { .. } if left > 0 && !answer.keep_alive => self.send(driver, number, left),
            Doing::Asking { left: held, .. } if left > 0 => *held = left,
            Doing::Asking { .. } | Doing::Publishing { .. } => self.be_ready(driver, number),
            Doing::Connecting { .. } | Doing::Ready { .. } | Doing::Gone => {}
        }
    }

    /// Holds a poll's answer against the newest update, of which nearly all are to the byte, else against all that is known.
    fn check(
        &mut self,
        driver: &mut Driver<Wake>,
        number: usize,
        answer: &Answer<'_>,
        (newest_at_send, count): (Option<Seq>, u64),
    ) {
        if answer.status != 200 {
            let what = format!("a poll was answered {}", answer.status);
            return note(driver, Failure::Status, number, &what);
        }
        let place = self.place(number);
        if let Some((seq, body)) = &self.groups[place].newest
            && answer.etag == Some(*seq)
            && *answer.body == **body
        {
            driver.figures.delivered += count;
            driver.figures.payload_received += count * answer.body.len() as u64;
            return;
        }
        let Some(listener) = self.users[number].listener else { return };
        let seq = match self.ledger.poll(listener, answer.body, newest_at_send) {
            PollVerdict::New { seq, .. } | PollVerdict::Same { seq } => seq,
            PollVerdict::MadeUp => return check_tag(driver, number, answer, None),
            PollVerdict::Bad => return,
        };
        check_tag(driver, number, answer, Some(seq));
        driver.figures.delivered += count;
        driver.figures.payload_received += count * answer.body.len() as u64;
        let newest = &mut self.groups[place].newest;
        if newest.as_ref().is_none_or(|(known, _)| *known < seq) {
            *newest = Some((seq, answer.body.into()));
        }
    }

    /// Takes the answer to a publish; `false` if the user is lost by it.
    fn take_publish(&mut self, driver: &mut Driver<Wake>, number: usize, answer: &Answer<'_>) -> bool {
        let home = self.home(number);
        let group = &mut self.groups[home];
        if answer.status == 200 {
            self.ledger.acknowledge(group.id, answer.body);
            if let Some(seq) = self.ledger.newest_acknowledged(group.id) {
                self.unpublished -= usize::from(group.newest.is_none());
                group.newest = Some((seq, answer.body.into()));
            }
        } else {
            self.ledger.withdraw(group.id, group.published - 1);
        }
        let is_known = group.newest.is_some();
        let what = format!("a publish was answered {}", answer.status);
        match answer.status {
            200 if is_known => {}
            200 => self.lose(driver, number, Failure::Body, &"a publish was not answered with its update"),
            _ if is_known => note(driver, Failure::Status, number, &what),
            _ => self.lose(driver, number, Failure::Status, &what),
        }
        is_known
    }

    /// What a user still waits for is answered by nobody.
    pub(super) fn count_unanswered(&self, driver: &mut Driver<Wake>, number: usize) {
        let (since, requests) = match self.users[number].doing {
            Doing::Publishing { since } => (since, 1),
            Doing::Asking { since, left, .. } => (since, left as u64),
            Doing::Connecting { .. } | Doing::Ready { .. } | Doing::Gone => return,
        };
        let requests = u64::from(self.counts(since)) * requests;
        driver.figures.http_reqs += requests;
        driver.figures.http_req_failed += requests;
    }
}
