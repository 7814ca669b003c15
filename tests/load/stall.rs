//! Whoever waits for a server that stands still is in the times, as often as it would have been served in that time.

use std::time::Duration;

use geoloop::ids::Transport;
use geoloop::load::plan::{Kind, Pace};

use crate::harness::Server;
use crate::proxy::{Proxy, Stall};
use crate::{expect_failures, play_kind, target};

/// Publishes of the run, 200 a second; each to two subscribers.
const PUBLISHES: u64 = 200;

#[track_caller]
fn check(transport: Transport) {
    let server = Server::start(&[]);
    // In the middle of what the first subscriber reads.
    let stall = Stall { conn: 0, reads: 45, lasts: Duration::from_millis(300) };
    let proxy = Proxy::start_with(server.address(), Some(stall), |_, _| None);
    let kind = Kind::Fanout {
        users: 2,
        groups: 1,
        pace: Pace::PerSecond(PUBLISHES as f64),
        warm_up: Duration::from_millis(100),
        duration: Duration::from_millis(1002),
        interval: Duration::from_millis(10),
    };
    let run = play_kind(kind, transport, &target(proxy.address(), server.address()));
    let figures = &run.figures;
    expect_failures(figures, &[], transport.label());
    assert_eq!(figures.published, PUBLISHES, "the schedule does not wait for the server");
    let slow = match transport {
        // Each poll has its own moment; 30 of each poller fell into the stall.
        Transport::ShortPoll => &figures.poll,
        _ => &figures.delivery,
    };
    assert!(slow.count() >= if transport == Transport::ShortPoll { 150 } else { 2 * PUBLISHES });
    // 60 of 200 were due in the stall: a tenth of all waited for more than 200 ms, and a fifth for more than 100 ms.
    let (p99, p92, p82) = (slow.percentile(99.0), slow.percentile(92.0), slow.percentile(82.0));
    assert!(
        p99 >= 200_000 && p92 >= 190_000 && p82 >= 90_000,
        "{transport:?}: p99 {p99}, p92 {p92}, p82 {p82}"
    );
    server.stop();
}

#[test]
fn stall_is_in_the_times_of_polls() {
    check(Transport::ShortPoll);
}

#[test]
fn stall_is_in_the_times_of_an_event_stream() {
    check(Transport::Sse);
}

#[test]
fn stall_is_in_the_times_of_a_websocket() {
    check(Transport::WebSocket);
}
