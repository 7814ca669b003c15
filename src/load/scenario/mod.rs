//! What users do: each scenario is a state machine over connections, moved by what happens and nothing else.

pub mod ask;
pub mod fanout;
pub mod seed;
pub mod subscribe;
pub mod visits;

use crate::load::driver::Driver;
use crate::load::figures::Failure;

/// How long a long poll is parked, in milliseconds: as long as the contract allows.
pub const PARK_MS: u32 = 60_000;

/// Counts what went wrong for a user, in words if it is among the first of its kind.
fn note(driver: &mut Driver, failure: Failure, user: usize, what: &dyn std::fmt::Display) {
    driver.figures.failures.note(failure, || format!("user {user}: {what}"));
}
