//! The promises that are measured: what clients that behave badly cost the server and the clients that do not.
//!
//! In `cargo test` each scenario runs small and checks correctness alone; `scripts/strain` runs them in full size and
//! prints figures. Latencies are told, never asserted, and counted from when a publish was meant to be sent.

#[path = "../harness/mod.rs"]
mod harness;

mod audience;
mod crowd;
mod dribble;
mod figures;
mod fleet;
mod full_house;
mod peer;
mod process;
mod size;
mod soak;
mod stopped;

use size::Size;
use stopped::Transport;

#[test]
fn stopped_websockets_hold_up_nobody() {
    stopped::run(Transport::WebSocket, Size::asked());
}

#[test]
fn stopped_event_streams_hold_up_nobody() {
    stopped::run(Transport::Sse, Size::asked());
}

#[test]
fn stopped_stomp_subscribers_hold_up_nobody() {
    stopped::run(Transport::Stomp, Size::asked());
}

#[test]
fn dribblers_hold_up_nobody() {
    dribble::run(Size::asked());
}

#[test]
fn full_house_serves_who_is_inside_and_tells_the_rest_at_once() {
    full_house::run(Size::asked());
}

#[test]
fn soak_leaves_nothing_behind_and_loses_nothing() {
    soak::run(Size::asked());
}
