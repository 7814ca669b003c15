//! What users do: each scenario is a state machine over connections, moved by what happens and nothing else.

pub mod ask;
pub mod asking;
pub mod fanout;
pub mod seed;
pub mod subscribe;
pub mod visits;

use crate::ids::{GroupId, Seq};
use crate::load::client::Answer;
use crate::load::driver::Driver;
use crate::load::figures::Failure;

/// How long a long poll is parked, in milliseconds: as long as the contract allows.
pub const PARK_MS: u32 = 60_000;

/// How long nothing must have been asked on a connection for its end to be no failure: any server ends those some time, ours
/// after 10 s before the first request and after 75 s behind one, and none before a client can have thought of another.
const IDLE_MICROS_MIN: u64 = 1_000_000;
/// How often what waits too long is looked for.
const SWEEP_MICROS: u64 = 1_000_000;

/// How long after the last of what is asked or published something may still come.
const SETTLE_MICROS_MAX: u64 = 5_000_000;

/// Connections that are on their way at once: below any listener's backlog.
const OPENING_MAX: usize = 200;

/// How long a connection may take to get in, and to be let go.
const PATIENCE_MICROS: u64 = 30_000_000;

/// Whether what has been under way since then takes longer than anybody waits for it.
fn is_overdue<W: Copy + Ord>(driver: &Driver<W>, since: u64) -> bool {
    driver.now().saturating_sub(since) > PATIENCE_MICROS
}

/// Groups that nobody else has, so that what others left there is not taken for ours; all numbers are of six digits, so that
/// as many bytes are counted in every run.
fn draw_groups<W: Copy + Ord>(driver: &mut Driver<W>, count: usize) -> Vec<GroupId> {
    let first = 100_000 + u64::from(driver.random().number() % 800_000);
    let group = |place| GroupId::new(first + place).expect("six digits are a group");
    (0..count as u64).map(group).collect()
}

/// What a publish says: its group and its number, so that whoever hears it knows whether it is right there.
fn publish_body(member: u64, group: GroupId, number: u64) -> String {
    format!(r#"{{"member":"u{member}","x":{},"y":{number}}}"#, group.number())
}

/// Counts what went wrong for a user, in words if it is among the first of its kind.
fn note<W: Copy + Ord>(driver: &mut Driver<W>, failure: Failure, user: usize, what: &dyn std::fmt::Display) {
    driver.figures.failures.note(failure, || format!("user {user}: {what}"));
}

/// Holds the ETag of a short poll's answer against the update that it is about; one that was made up has none.
fn check_tag<W: Copy + Ord>(driver: &mut Driver<W>, user: usize, answer: &Answer<'_>, owed: Option<Seq>) {
    if answer.etag == owed {
        return;
    }
    let spell =
        |seq: Option<Seq>| seq.map_or_else(|| "none that is a number".to_owned(), |seq| format!("\"{seq}\""));
    let (status, said, owed) = (answer.status, spell(answer.etag), spell(owed));
    note(driver, Failure::Tag, user, &format!("the ETag of a poll's {status} is {said}, and {owed} is owed"));
}
