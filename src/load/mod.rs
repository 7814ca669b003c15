//! The load tool: plays users of all five transports against any server that keeps the contract, and checks all they hear.
//!
//! A plan says who comes and goes when, a scenario what each user does, clients how that is written on the wire, the
//! driver moves the bytes on one event loop, the ledger holds what everybody heard against what the group was told, and
//! figures are what comes of it. Nothing here knows the server's insides: the server is an address, its /metrics and
//! its /proc.

pub mod client;
mod comparison;
pub mod driver;
pub mod error;
pub mod figures;
pub mod interrupt;
mod k6_text;
pub mod ledger;
mod look;
mod pacer;
pub mod plan;
pub mod play;
pub mod process;
pub mod published;
pub mod report;
pub mod run;
pub mod scenario;
mod scrape;
pub mod server_side;
mod sources;
pub mod target;
pub mod update;
