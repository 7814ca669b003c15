//! A fault that a proxy plants once is told as what it is, as often as it occurred, and nothing else is.

use std::sync::Arc;
use std::time::Duration;

use geoloop::ids::Transport;
use geoloop::load::figures::Failure;
use geoloop::load::plan::{Kind, Stage, Stages};

use crate::faults::{Fault, Plant, Victim};
use crate::harness::Server;
use crate::proxy::Proxy;
use crate::tool::Tool;
use crate::{TRANSPORTS, expect_failures, play_kind, small_fanout, target};

fn proxy(server: &Server, plant: &Arc<Plant>) -> Proxy {
    let plant = Arc::clone(plant);
    Proxy::start_with(server.address(), None, move |number, request| plant.tamper(number, request))
}

/// Plants into what the first subscriber is told, behind the warm-up.
#[track_caller]
fn check(server: &Server, transport: Transport, fault: Fault, want: &[(Failure, u64)]) {
    let plant = Plant::new(fault, Victim::Number(0), 5);
    let proxy = proxy(server, &plant);
    let run = play_kind(small_fanout(), transport, &target(proxy.address(), server.address()));
    assert!(plant.is_planted(), "{transport:?}: {fault:?} was not planted: {:?}", run.figures);
    expect_failures(&run.figures, want, &format!("{transport:?}, {fault:?}"));
    assert_eq!(run.figures.published, 30, "{transport:?}, {fault:?}");
}

#[track_caller]
fn check_streamed(transport: Transport) {
    let server = Server::start(&[]);
    check(&server, transport, Fault::Drop, &[(Failure::Lost, 1)]);
    check(&server, transport, Fault::Swap, &[(Failure::Reordered, 1)]);
    check(&server, transport, Fault::Repeat, &[(Failure::Repeated, 1)]);
    // What stood in the place of it was lost besides, and a MESSAGE says itself of which group it is.
    let mut foreign = vec![(Failure::Lost, 1), (Failure::WrongGroup, 1)];
    if transport == Transport::Stomp {
        foreign.push((Failure::Misaddressed, 1));
    }
    check(&server, transport, Fault::Foreign, &foreign);
    check(&server, transport, Fault::Cut, &[(Failure::Cut, 1)]);
    check(&server, transport, Fault::CutShort, &[(Failure::Protocol, 1)]);
    check(&server, transport, Fault::Garble, &[(Failure::Body, 1), (Failure::Lost, 1)]);
    server.stop();
}

#[test]
fn nothing_planted_is_nothing_found() {
    let server = Server::start(&[]);
    for transport in TRANSPORTS {
        // The proxy takes everything apart and puts it together again.
        let plant = Plant::new(Fault::Drop, Victim::Number(0), usize::MAX);
        let proxy = proxy(&server, &plant);
        let run = play_kind(small_fanout(), transport, &target(proxy.address(), server.address()));
        expect_failures(&run.figures, &[], transport.label());
        assert!(!plant.is_planted() && run.figures.delivered > 0, "{transport:?}");
        let figures = &run.figures;
        let polls = match transport {
            Transport::ShortPoll => figures.poll.count(),
            Transport::LongPoll => figures.delivered,
            _ => 0,
        };
        assert_eq!(
            figures.http_reqs,
            figures.published + polls,
            "{transport:?}: every answer is counted once"
        );
    }
    server.stop();
}

#[test]
fn faults_of_an_event_stream_are_found() {
    check_streamed(Transport::Sse);
}

#[test]
fn faults_of_a_websocket_are_found() {
    check_streamed(Transport::WebSocket);
}

#[test]
fn faults_of_a_stomp_subscription_are_found() {
    check_streamed(Transport::Stomp);
    let server = Server::start(&[]);
    for fault in [Fault::Destination, Fault::Subscription] {
        check(&server, Transport::Stomp, fault, &[(Failure::Misaddressed, 1)]);
    }
    server.stop();
}

#[test]
fn faults_of_long_polls_are_found() {
    let server = Server::start(&[]);
    let transport = Transport::LongPoll;
    check(&server, transport, Fault::Drop, &[(Failure::Lost, 1)]);
    check(&server, transport, Fault::Repeat, &[(Failure::Repeated, 1)]);
    check(&server, transport, Fault::Foreign, &[(Failure::Lost, 1), (Failure::WrongGroup, 1)]);
    check(&server, transport, Fault::Cut, &[(Failure::Cut, 1)]);
    check(&server, transport, Fault::CutShort, &[(Failure::Protocol, 1)]);
    check(&server, transport, Fault::Garble, &[(Failure::Body, 1), (Failure::Lost, 1)]);
    server.stop();
}

#[test]
fn faults_of_short_polls_are_found() {
    let server = Server::start(&[]);
    let transport = Transport::ShortPoll;
    check(&server, transport, Fault::Stale, &[(Failure::Stale, 1)]);
    check(&server, transport, Fault::Foreign, &[(Failure::WrongGroup, 1)]);
    check(&server, transport, Fault::Garble, &[(Failure::Body, 1)]);
    check(&server, transport, Fault::Tag, &[(Failure::Tag, 1)]);
    check(&server, transport, Fault::Cut, &[(Failure::Cut, 1)]);
    check(&server, transport, Fault::CutShort, &[(Failure::Protocol, 1)]);
    // The answer never comes.
    check(&server, transport, Fault::Drop, &[(Failure::Timeout, 1)]);
    server.stop();
}

#[test]
fn publisher_that_is_cut_off_fails_once_and_publishes_on() {
    let server = Server::start(&[]);
    for (fault, failure) in [(Fault::Cut, Failure::Cut), (Fault::CutShort, Failure::Protocol)] {
        // Publishers connect behind the four subscribers.
        let plant = Plant::new(fault, Victim::Number(4), 5);
        let proxy = proxy(&server, &plant);
        let run = play_kind(small_fanout(), Transport::Sse, &target(proxy.address(), server.address()));
        assert!(plant.is_planted(), "{fault:?}");
        expect_failures(&run.figures, &[(failure, 1)], &format!("a publisher, {fault:?}"));
        assert_eq!(run.figures.published, 30, "{fault:?}");
        // What was under way when it was cut may or may not have been published.
        assert!((56..=60).contains(&run.figures.delivered), "{fault:?}: {}", run.figures.delivered);
    }
    server.stop();
}

/// The seed's scenario: users who come within a moment and stay for another.
#[track_caller]
fn check_seed(server: &Server, transport: Transport, fault: Option<Fault>, want: &[(Failure, u64)]) {
    let plant = Plant::new(fault.unwrap_or(Fault::Drop), Victim::Anybody, fault.map_or(usize::MAX, |_| 1));
    let proxy = proxy(server, &plant);
    let stage = |millis, target| Stage { duration: Duration::from_millis(millis), target };
    let stages = Stages { from: 0, stages: vec![stage(400, 80), stage(200, 80), stage(0, 0)] };
    let (grace, wait) = (Duration::from_millis(200), Duration::from_millis(100));
    let kind = Kind::Seed { stages, grace, wait };
    let run = play_kind(kind, transport, &target(proxy.address(), server.address()));
    assert_eq!(plant.is_planted(), fault.is_some(), "{transport:?}, {fault:?}");
    expect_failures(&run.figures, want, &format!("seed, {transport:?}, {fault:?}"));
    assert!(run.figures.delivered > 80, "{transport:?}: {:?}", run.figures.delivered);
}

#[test]
fn faults_of_the_seeds_sockets_are_found() {
    let server = Server::start(&[]);
    for transport in [Transport::WebSocket, Transport::Stomp] {
        check_seed(&server, transport, None, &[]);
        check_seed(&server, transport, Some(Fault::Drop), &[(Failure::Lost, 1)]);
        check_seed(&server, transport, Some(Fault::Swap), &[(Failure::Reordered, 1)]);
        check_seed(&server, transport, Some(Fault::Repeat), &[(Failure::Repeated, 1)]);
        check_seed(&server, transport, Some(Fault::Cut), &[(Failure::Cut, 1)]);
    }
    for fault in [Fault::Destination, Fault::Subscription] {
        check_seed(&server, Transport::Stomp, Some(fault), &[(Failure::Misaddressed, 1)]);
    }
    server.stop();
}

#[test]
fn program_that_found_something_ends_with_code_one_and_tells_it() {
    let server = Server::start(&[]);
    // The program connects once to see that there is a server, and once to look at it.
    let plant = Plant::new(Fault::Repeat, Victim::Number(2), 5);
    let proxy = proxy(&server, &plant);
    let flags = "--scenario fanout --users 4 --groups 2 --rate 100 --warm-up 50ms --duration 305ms";
    let run = Tool::start(proxy.address(), "websocket", flags).finish();
    assert!(plant.is_planted());
    assert_eq!(run.exit.code, Some(1), "{:?}", run.exit);
    assert!(run.exit.stdout.ends_with("\n     1 failure\n"), "{}", run.exit.stdout);
    assert!(
        run.exit.stdout.contains("\n     update repeated: 1\n       user 0 of group "),
        "{}",
        run.exit.stdout
    );
    let report = run.json();
    assert_eq!(
        (&report["failures"], &report["figures"]["failures"]["repeated"]["count"]),
        (&1.into(), &1.into())
    );
    server.stop();
}
