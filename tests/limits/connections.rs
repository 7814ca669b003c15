//! More connections than there are places: who is told what, who gets through all the same, and when a place is free.

use std::collections::BTreeSet;

use crate::harness::http::{Answer, Wire};
use crate::harness::metrics::Scrape;
use crate::harness::sse::EventStream;
use crate::harness::stomp::Stomp;
use crate::harness::websocket::{Socket, upgrade};
use crate::harness::{Server, wait_until};

const PLACES: usize = 4;

/// Newcomers past the places whose heads are read; the rest is told unread.
const SURPLUS: usize = 64;

/// A server whose places are all taken.
#[track_caller]
fn full() -> (Server, Vec<Wire>) {
    full_with("2")
}

/// The same, with so many workers.
#[track_caller]
fn full_with(workers: &str) -> (Server, Vec<Wire>) {
    let server = Server::start(&["--max-connections", "4", "--workers", workers]);
    let mut held: Vec<Wire> = (0..PLACES).map(|_| Wire::connect(&server)).collect();
    held.iter_mut().for_each(Wire::expect_alive);
    (server, held)
}

/// Sends one request on a connection of its own and reads the whole answer, whose connection must close behind it.
#[track_caller]
fn ask(server: &Server, target: &str) -> Answer {
    let mut wire = Wire::connect(server);
    wire.send_get(target);
    let answer = wire.answer();
    wire.expect_end();
    answer
}

#[test]
fn every_place_may_be_taken_and_one_more_is_told_503() {
    let (server, mut held) = full();
    server.expect_refusals(&[]);
    let detail = ask(&server, "/location/cur/3").expect_problem(503);
    assert!(detail.contains("place"), "{detail}");
    held.iter_mut().for_each(Wire::expect_alive);
    server.expect_refusals(&[("connections_max", 1)]);
}

#[test]
fn those_without_a_place_are_told_to_come_back_at_different_times() {
    let (server, _held) = full();
    let waits: BTreeSet<u64> = (0..32)
        .map(|_| {
            let refusal = ask(&server, "/location/cur/3").expect_status(503);
            refusal.needed_header("Retry-After").parse().expect("a number of seconds")
        })
        .collect();
    assert!(waits.len() > 1, "a jitter per client: {waits:?}");
    assert!(waits.iter().all(|wait| (1..=5).contains(wait)), "{waits:?}");
    server.expect_refusals(&[("connections_max", 32)]);
}

#[test]
fn probes_and_scrapes_get_through_without_a_place() {
    let (server, _held) = full();
    for target in ["/healthz", "/readyz", "/metrics", "/actuator/prometheus"] {
        let answer = ask(&server, target).expect_status(200);
        assert!(answer.lists("Connection", "close"), "{target}: {answer:?}");
    }
    server.expect_refusals(&[]);
}

#[test]
fn upgrades_and_publishes_without_a_place_are_told_503() {
    let (server, mut held) = full();
    for target in ["/ws/3", "/location"] {
        let refusal = Socket::try_open(server.connect(), target, &[]).err().expect("there is no place");
        refusal.expect_problem(503);
    }
    let mut wire = Wire::connect(&server);
    wire.send_post("/location/share/3", r#"{"x":1,"y":2}"#);
    wire.answer().expect_problem(503);
    wire.expect_end();
    held[0].send_get("/location/long/3?timeout=0");
    held[0].answer().expect_status(204);
    server.expect_refusals(&[("connections_max", 3)]);
    assert_eq!(server.scrape().sum("geoloop_publishes_total", &[]), 0.0);
}

#[test]
fn event_source_without_a_place_is_told_when_to_come_back() {
    let (server, _held) = full();
    let mut wire = Wire::connect(&server);
    wire.send_get("/location/sse/3");
    EventStream::expect_refused(wire);
    server.expect_refusals(&[("connections_max", 1)]);
}

#[test]
fn newcomer_past_the_surplus_is_told_503_unread() {
    // One worker takes newcomers in the order in which they come.
    let (server, mut held) = full_with("1");
    let mut silent: Vec<Wire> = (0..SURPLUS).map(|_| Wire::connect(&server)).collect();
    let mut past = Wire::connect(&server);
    let refusal = past.answer().expect_status(503);
    assert!(refusal.header("Retry-After").is_some(), "{refusal:?}");
    assert_eq!(refusal.text(), "", "it was not read, so there is nothing to say about it");
    past.expect_end();
    held.iter_mut().for_each(Wire::expect_alive);
    // Those who got in but say nothing are told within a second, and make room for probes again.
    for wire in &mut silent {
        wire.answer().expect_problem(503);
        wire.expect_end();
    }
    drop(silent);
    let gone = wait_until(|| Scrape::over(&mut held[0]).sum("geoloop_connections", &[]) == PLACES as f64);
    assert!(gone, "they are forgotten");
    ask(&server, "/healthz").expect_status(200);
    server.expect_refusals(&[("connections_max", SURPLUS as u64 + 1)]);
}

#[test]
fn place_that_comes_free_is_taken_by_the_next_and_no_other() {
    let (server, mut held) = full();
    for _ in 0..3 {
        held.pop();
        let freed = wait_until(|| {
            let mut wire = Wire::connect(&server);
            wire.send_get("/location/cur/3");
            let has_place = wire.answer().status == 200;
            if has_place {
                held.push(wire);
            }
            has_place
        });
        assert!(freed, "a place that came free is given away again");
        ask(&server, "/location/cur/3").expect_status(503);
    }
    held.iter_mut().for_each(Wire::expect_alive);
}

#[test]
fn every_kind_of_connection_takes_one_place() {
    let server = Server::start(&["--max-connections", "4", "--workers", "4"]);
    let mut poll = Wire::connect(&server);
    poll.send_get("/location/long/1?timeout=60000");
    let mut stream = EventStream::open(&server, "/location/sse/2");
    let mut socket = Socket::open(&server, "/ws/3");
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("s", 4);
    server.wait_until_parked("long_poll", 1);
    for target in ["/location/cur/1", "/location/cur/2"] {
        ask(&server, target).expect_status(503);
    }
    // A connection that has a place publishes to the others, which move between workers and keep theirs.
    for group in 1..=4 {
        stomp.publish(group, r#"{"x":1,"y":2}"#);
    }
    assert_eq!(poll.answer().expect_status(200).update().point(), (1.0, 2.0));
    assert_eq!(stream.update().point(), (1.0, 2.0));
    assert_eq!(socket.update().point(), (1.0, 2.0));
    assert_eq!(stomp.update().point(), (1.0, 2.0));
    server.expect_refusals(&[("connections_max", 2)]);
}

#[test]
fn refused_newcomers_leave_no_place_taken() {
    let (server, held) = full();
    for _ in 0..200 {
        let mut wire = Wire::connect(&server);
        wire.send(upgrade("/ws/3"));
    }
    drop(held);
    let mut again = Vec::new();
    let all_free = wait_until(|| {
        let mut wire = Wire::connect(&server);
        wire.send_get("/location/cur/3");
        if wire.answer().status == 200 {
            again.push(wire);
        }
        again.len() == PLACES
    });
    assert!(all_free, "all places come free again");
    again.iter_mut().for_each(Wire::expect_alive);
    ask(&server, "/location/cur/3").expect_status(503);
}
