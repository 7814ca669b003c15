//! The documents that the server describes itself with, held against it: their addresses against the router and README,
//! their bounds against the code, and what a running server answers and says against their schemas.

#[path = "../harness/mod.rs"]
mod harness;

mod addresses;
mod answers;
mod bounds;
mod document;
mod frames;
