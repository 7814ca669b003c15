//! The witnesses: one event stream for each group that a bare `/ws` may be put into.

use crate::ids::GroupId;
use crate::load::client::{Client, Heard};
use crate::load::driver::{ConnKey, Driver};
use crate::load::figures::Failure;
use crate::load::ledger::{ListenerId, Owed};
use crate::load::scenario::ask::Ask;
use crate::load::scenario::seed::{Seed, Wake};

/// An event stream that tells which updates are of its group.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) listener: ListenerId,
    pub(super) conn: Option<ConnKey>,
    pub(super) is_settled: bool,
    pub(super) asked: u64,
}

impl Seed {
    pub(super) fn open_witness(&mut self, driver: &mut Driver<Wake>, number: u32) -> std::io::Result<()> {
        let group = GroupId::new(number.into()).expect("0 to 9 are groups");
        let user = self.users.len() as u32 + number;
        let listener = self.ledger.listen(Some(group), Owed::FromNow, user);
        let conn = driver.open(user, Client::event_stream())?;
        driver.count_apart(conn);
        driver.send(conn, |out| Ask::Stream.encode(out, group, &self.plan.host));
        self.witnesses.push(Witness { listener, conn: Some(conn), is_settled: false, asked: driver.now() });
        Ok(())
    }

    pub(super) fn hear_as_witness(&mut self, driver: &mut Driver<Wake>, witness: usize, heard: &Heard<'_>) {
        match heard {
            Heard::Opened => self.settle_witness(driver, witness),
            Heard::Update { body, .. } => {
                self.ledger.hear(self.witnesses[witness].listener, body);
            }
            Heard::Retry { .. } => {}
            Heard::Refused { status } => {
                let said = format!("answered {status}");
                self.lose_witness(driver, witness, Failure::Status, &said);
            }
            Heard::Answer(_)
            | Heard::Connected { .. }
            | Heard::Receipt(_)
            | Heard::Complaint(_)
            | Heard::Closing { .. } => {}
        }
    }

    /// It listens, or never will; users come once that is so of all.
    pub(super) fn settle_witness(&mut self, driver: &mut Driver<Wake>, witness: usize) {
        if std::mem::replace(&mut self.witnesses[witness].is_settled, true) {
            return;
        }
        self.witnesses_settled += 1;
        if self.witnesses_settled == self.witnesses.len() {
            self.begin(driver);
        }
    }

    pub(super) fn lose_witness(
        &mut self,
        driver: &mut Driver<Wake>,
        number: usize,
        failure: Failure,
        what: &dyn std::fmt::Display,
    ) {
        driver.figures.failures.note(failure, || format!("the witness of group {number}: {what}"));
        let witness = &mut self.witnesses[number];
        if let Some(conn) = witness.conn.take() {
            driver.close(conn);
        }
        self.ledger.leave(witness.listener);
        self.settle_witness(driver, number);
    }
}
