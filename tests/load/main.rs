//! Whether the load tool can be trusted: its bytes are those that a proxy between it and the server saw, a fault that the
//! proxy plants is found and nothing else, a stall is in its times, and no server, however it behaves, keeps it for good.

#![expect(clippy::unwrap_used, reason = "a poisoned lock is of a test that has failed already")]

#[path = "../harness/mod.rs"]
mod harness;

mod bytes;
mod closed;
mod command_line;
mod fake;
mod faults;
mod hostile;
mod looks;
mod planted;
mod proxy;
mod stall;
mod study;
mod tool;

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use geoloop::ids::Transport;
use geoloop::load::figures::{Failure, RunFigures};
use geoloop::load::plan::{Kind, LoadPlan, Pace};
use geoloop::load::play::play;
use geoloop::load::run::Measured;
use geoloop::load::server_side::ServerProbe;
use geoloop::load::target::Target;

/// What users may speak.
const TRANSPORTS: [Transport; 5] =
    [Transport::ShortPoll, Transport::LongPoll, Transport::Sse, Transport::WebSocket, Transport::Stomp];

/// A target at one address that is looked at by another.
fn target(address: SocketAddr, looked_at: SocketAddr) -> Target {
    Target { host: address.to_string(), address, probe: ServerProbe::new(looked_at, None) }
}

/// Plays a scenario through the library.
#[track_caller]
fn play_kind(kind: Kind, transport: Transport, target: &Target) -> Measured {
    let plan =
        LoadPlan { target: target.host.clone(), transport: None, kind, pid: None, json: None, seed: None };
    play(&plan, target, transport, &AtomicBool::new(false)).expect("the run can be made")
}

/// Four subscribers in two groups, 30 publishes behind a warm-up of 5.
fn small_fanout() -> Kind {
    Kind::Fanout {
        users: 4,
        groups: 2,
        pace: Pace::PerSecond(100.0),
        warm_up: Duration::from_millis(50),
        duration: Duration::from_millis(305),
        interval: Duration::from_millis(20),
    }
}

/// Checks that these failures occurred, as often as said, and no others.
#[track_caller]
fn expect_failures(figures: &RunFigures, want: &[(Failure, u64)], what: &str) {
    let found: Vec<_> = figures.failures.iter().map(|(failure, count, _)| (failure, count)).collect();
    assert_eq!(found, want, "{what}: {:#?}", figures.failures);
}
