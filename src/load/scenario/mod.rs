//! What users do: each scenario is a state machine over connections, moved by what happens and nothing else.

pub mod ask;
pub mod fanout;
pub mod seed;
pub mod subscribe;
pub mod visits;

use crate::ids::GroupId;
use crate::load::driver::Driver;
use crate::load::figures::Failure;

/// How long a long poll is parked, in milliseconds: as long as the contract allows.
pub const PARK_MS: u32 = 60_000;

/// How often what waits too long is looked for.
const SWEEP_MICROS: u64 = 1_000_000;

/// How long a connection may take to get in, and to be let go.
const PATIENCE_MICROS: u64 = 30_000_000;

/// Whether what has been under way since then takes longer than anybody waits for it.
fn is_overdue(driver: &Driver, since: u64) -> bool {
    driver.now().saturating_sub(since) > PATIENCE_MICROS
}

/// Groups that nobody else has, so that what others left there is not taken for ours; all numbers are of six digits, so that
/// as many bytes are counted in every run.
fn draw_groups(driver: &mut Driver, count: usize) -> Vec<GroupId> {
    let first = 100_000 + u64::from(driver.random().number() % 800_000);
    let group = |place| GroupId::new(first + place).expect("six digits are a group");
    (0..count as u64).map(group).collect()
}

/// Counts what went wrong for a user, in words if it is among the first of its kind.
fn note(driver: &mut Driver, failure: Failure, user: usize, what: &dyn std::fmt::Display) {
    driver.figures.failures.note(failure, || format!("user {user}: {what}"));
}
