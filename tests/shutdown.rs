//! How it ends: drains, second signals, exit codes, and failures to start.

mod harness;

use std::time::Duration;

use harness::http::Wire;
use harness::sse::EventStream;
use harness::stomp::Stomp;
use harness::websocket::{Bare, Socket};
use harness::{Server, run_to_end, time, wait_until};

/// A server whose drain lasts, because this many streams are parked on it.
#[track_caller]
fn with_streams(flags: &[&str], count: u64) -> (Server, Vec<EventStream>) {
    let server = Server::start(flags);
    let streams = (0..count).map(|_| EventStream::open(&server, "/location/sse/3")).collect();
    server.wait_until_parked("sse", count);
    (server, streams)
}

/// Sends SIGTERM and waits until the drain has begun.
#[track_caller]
fn begin_drain(server: &Server) {
    server.terminate();
    let draining = wait_until(|| {
        let mut wire = Wire::connect(server);
        wire.send_get("/readyz");
        wire.answer().status == 503
    });
    assert!(draining, "readyz says that it drains");
}

#[test]
fn server_without_clients_ends_at_once() {
    for signal in ["TERM", "INT"] {
        let server = Server::start(&["--drain-window", "60s"]);
        server.signal(signal);
        let exit = server.wait();
        assert_eq!(exit.code, Some(0), "{signal}: {}", exit.stderr);
    }
}

#[test]
fn parked_clients_of_each_kind_are_told_and_the_exit_code_is_0() {
    let server = Server::start(&["--drain-window", "2s"]);
    let mut poll = Wire::connect(&server);
    poll.send_get("/location/long/3?timeout=60000");
    let stream = EventStream::open(&server, "/location/sse/3");
    let socket = Socket::open(&server, "/ws/3");
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("s", 3);
    server.wait_until_parked("long_poll", 1);

    server.terminate();
    let ((), took) = time(|| {
        let answer = poll.answer().expect_status(204);
        answer.location_seq();
        assert!(answer.lists("Connection", "close"), "{answer:?}");
        poll.expect_end();
        let told = stream.rest();
        assert!(told.iter().all(|event| event.data.is_none()), "no update: {told:?}");
        assert!(told.last().is_some_and(|event| event.retry.is_some()), "when to come back: {told:?}");
        socket.expect_close(1012);
        stomp.expect_error();
        let exit = server.wait();
        assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    });
    assert!(took < Duration::from_secs(4), "within the window and a little: {took:?}");
}

#[test]
fn told_clients_get_what_they_are_owed_first_and_hear_of_no_leave() {
    let server = Server::start(&[]);
    let mut alice = Socket::open(&server, "/ws/3?member=alice");
    let mut watcher = Socket::open(&server, "/ws/3");
    for x in 0..100 {
        alice.send(&format!(r#"{{"x":{x},"y":0}}"#));
    }
    let heard = alice.updates(100);
    server.terminate();
    assert_eq!(watcher.updates(100), heard);
    alice.expect_close(1012);
    watcher.expect_close(1012);
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn clients_that_answer_nothing_are_cut_at_the_windows_end() {
    let server = Server::start(&["--drain-window", "500ms"]);
    let _deaf: Vec<_> = (0..10).map(|_| Bare::open(&server, "/ws/3")).collect();
    let mut half = Wire::connect(&server);
    half.send("GET /healthz HT");
    server.terminate();
    let (exit, took) = time(|| server.wait());
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn what_would_park_is_refused_while_draining() {
    let (server, streams) = with_streams(&["--drain-window", "20s"], 50);
    begin_drain(&server);
    let poll = server.get("/location/long/3?timeout=60000");
    poll.expect_problem(503);
    assert!(poll.needed_header("Retry-After").parse::<u64>().is_ok(), "{poll:?}");
    for target in ["/ws/3", "/location"] {
        let refusal =
            Socket::try_open(server.connect(), target, &[]).err().expect("no upgrade while draining");
        refusal.expect_problem(503);
    }
    // A 503 would end an EventSource for good.
    let mut wire = Wire::connect(&server);
    wire.send_get("/location/sse/3");
    let told = EventStream::without_comment(wire).rest();
    assert!(told.iter().any(|event| event.retry.is_some()), "{told:?}");
    assert!(server.scrape().sum("geoloop_refused_total", &[("reason", "draining")]) >= 4.0);
    drop(streams);
    assert_eq!(server.wait().code, Some(0), "it ends once nobody is left");
}

#[test]
fn other_requests_are_answered_and_closed_while_draining() {
    let (server, streams) = with_streams(&["--drain-window", "20s"], 50);
    let mut kept = Wire::connect(&server);
    kept.expect_alive();
    begin_drain(&server);
    for target in ["/location/cur/3", "/healthz", "/metrics"] {
        let mut wire = Wire::connect(&server);
        wire.send_get(target);
        let answer = wire.answer().expect_status(200);
        assert!(answer.lists("Connection", "close"), "{target}: {answer:?}");
        wire.expect_end();
    }
    server.publish(3, "alice", 1, 2);
    drop(streams);
    drop(kept);
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn second_signal_stops_at_once() {
    let (server, _streams) = with_streams(&["--drain-window", "60s"], 50);
    begin_drain(&server);
    server.terminate();
    let (_, took) = time(|| server.wait());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn drain_tells_clients_over_its_window_and_not_at_once() {
    let (server, mut streams) = with_streams(&["--drain-window", "2s"], 50);
    server.terminate();
    let (first, other) = streams.split_at_mut(25);
    let ((), took) = time(|| {
        for stream in first.iter_mut().chain(other) {
            while stream.poll_event().is_some() {}
        }
    });
    assert!(took > Duration::from_millis(500), "fifty clients are not sent off in one moment: {took:?}");
    assert_eq!(server.wait().code, Some(0));
}

// Failures to start.

#[test]
fn address_in_use_is_one_line_and_exit_code_1() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let exit = run_to_end(&["--listen", &address]);
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    assert_eq!(exit.stderr.trim_end().lines().count(), 1, "{}", exit.stderr);
    assert!(exit.stderr.contains(&address), "{}", exit.stderr);
    server.get("/healthz").expect_status(200);
}

#[track_caller]
fn check_usage(arguments: &[&str]) {
    let exit = run_to_end(arguments);
    assert_eq!(exit.code, Some(2), "{arguments:?}: {}", exit.stderr);
    assert!(!exit.stderr.is_empty(), "{arguments:?}: says what is wrong");
    assert!(!exit.stderr.contains("panicked"), "{arguments:?}: {}", exit.stderr);
}

#[test]
fn bad_usage_is_exit_code_2() {
    check_usage(&["--nope"]);
    check_usage(&["serve", "--nope"]);
    check_usage(&["nope"]);
    check_usage(&["--workers", "0"]);
    check_usage(&["--workers", "many"]);
    check_usage(&["--listen", "nowhere"]);
    check_usage(&["--head-timeout", "soon"]);
    check_usage(&["--history", "-1"]);
    check_usage(&["--slow-consumer", "wait"]);
    check_usage(&["--simulate", "--no-simulate", "extra"]);
}

#[test]
fn version_and_check_config_end_with_0() {
    let exit = run_to_end(&["version"]);
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(exit.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", exit.stdout);
    let exit = run_to_end(&["check-config"]);
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
}

#[test]
fn stomp_client_whose_window_is_full_is_told_too() {
    let server = Server::start(&["--prefetch-count", "1"]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe_with("s", 3, &[("ack", "client")]);
    server.publish(3, "alice", 1, 1);
    stomp.update();
    server.publish(3, "alice", 2, 2);
    server.terminate();
    assert!(stomp.expect_error().contains("drain"));
}
