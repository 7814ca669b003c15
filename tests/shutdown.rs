//! How it ends: drains, second signals, exit codes, and failures to start.

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use harness::http::{Wire, get, post};
use harness::sse::{Event, EventStream};
use harness::stomp::Stomp;
use harness::update::Update;
use harness::websocket::{Bare, Socket, TEXT, frame};
use harness::{Server, run_to_end, time, wait_until};
use tungstenite::Message;

/// A server whose drain lasts, because this many streams are parked on it.
#[track_caller]
fn with_streams(flags: &[&str], count: u64) -> (Server, Vec<EventStream>) {
    let server = Server::start(flags);
    let streams = (0..count).map(|_| EventStream::open(&server, "/location/sse/3")).collect();
    server.wait_until_parked("sse", count);
    (server, streams)
}

/// Sends SIGTERM and waits until the drain has begun, on every worker: each hears of it by itself, and so many connections
/// in a row are served by all of them.
#[track_caller]
fn begin_drain(server: &Server) {
    server.terminate();
    let is_draining = |_| {
        let mut wire = Wire::connect(server);
        wire.send_get("/readyz");
        wire.answer().status == 503
    };
    assert!(wait_until(|| (0..16).all(is_draining)), "readyz says that it drains");
    // The connection that the harness keeps alive would be there until its own goodbye.
    assert!(server.get("/healthz").expect_status(200).lists("Connection", "close"));
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
    let exit = server.wait();
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
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
    EventStream::expect_refused(wire);
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
    server.wait();
}

#[test]
fn drain_tells_clients_over_its_window_and_not_at_once() {
    let (server, mut streams) = with_streams(&["--drain-window", "2s"], 50);
    let ((), took) = time(|| {
        server.terminate();
        for stream in &mut streams {
            while stream.poll_event().is_some() {}
        }
    });
    // The last of fifty is told late in the window; that a busy machine makes it later yet changes nothing.
    assert!(took > Duration::from_millis(500), "fifty clients are not sent off in one moment: {took:?}");
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn drain_ends_once_nobody_is_left_though_newcomers_keep_asking() {
    for _ in 0..5 {
        let (server, streams) = with_streams(&["--drain-window", "60s"], 2);
        begin_drain(&server);
        drop(streams);
        // Each asks about both workers' groups, until nobody answers.
        thread::scope(|scope| {
            for first in 0..2 {
                let address = server.address();
                scope.spawn(move || {
                    for group in first.. {
                        let Ok(mut stream) = TcpStream::connect(address) else { break };
                        let request = get(&format!("/location/cur/{}", group % 2));
                        // Cut off in the end, and that is as good as refused.
                        let _ = stream.write_all(request.as_bytes());
                        let _ = stream.read_to_end(&mut Vec::new());
                    }
                });
            }
            let exit = server.wait();
            assert_eq!(exit.code, Some(0), "{}", exit.stderr);
        });
    }
}

// In the middle of something.

/// What was begun before the drain and ends in it is answered; its connection ends there.
#[track_caller]
fn check_request_ends_in_drain(before: &str, after: &str) {
    let (server, streams) = with_streams(&["--drain-window", "20s", "--workers", "2"], 50);
    let mut wire = Wire::connect(&server);
    wire.expect_alive();
    wire.send(before);
    begin_drain(&server);
    wire.send(after);
    let answer = wire.answer().expect_status(200);
    assert!(answer.lists("Connection", "close"), "{answer:?}");
    wire.expect_end();
    drop(streams);
    drop(wire);
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn request_that_a_drain_comes_into_is_answered_and_is_the_last() {
    let healthz = get("/healthz");
    let publish = post("/location/share/3", r#"{"x":1,"y":2}"#);
    let chunked = "POST /location/share/4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   d\r\n{\"x\":1,\"y\":2}\r\n0\r\n\r\n";
    for whole in [healthz.as_str(), &publish, chunked] {
        for place in [1, whole.len() / 2, whole.len() - 1] {
            let (before, after) = whole.split_at(place);
            check_request_ends_in_drain(before, after);
        }
    }
}

#[test]
fn message_that_a_drain_comes_into_is_published() {
    let (server, streams) = with_streams(&["--drain-window", "20s"], 50);
    let mut socket = Socket::open(&server, "/ws/5");
    let message = frame(TEXT, br#"{"member":"late","x":1,"y":2}"#);
    socket.send_raw(&message[..10]);
    begin_drain(&server);
    socket.send_raw(&message[10..]);
    // Its own goodbye may come first, but not instead: then the publish was never acted on.
    let heard = socket.message();
    let present = server.get("/location/group/5").text();
    match heard {
        Message::Text(text) => assert!(present.contains(text.as_str()), "{present}"),
        Message::Close(_) => assert!(!present.contains("late"), "{present}"),
        other => panic!("{other:?}"),
    }
    drop((streams, socket));
    assert_eq!(server.wait().code, Some(0));
}

/// Publishes until something waits for whoever does not read, each time for another member so that nothing is conflated.
#[track_caller]
fn publish_until_queued(server: &Server, transport: &str) -> Vec<Update> {
    let mut published = Vec::new();
    let mut wire = Wire::connect(server);
    loop {
        for _ in 0..50 {
            let body = format!(r#"{{"member":"m{:060}","x":1,"y":2}}"#, published.len());
            wire.send_post("/location/share/3", &body);
            published.push(wire.answer().expect_status(200).update());
        }
        let queued = server.scrape().sum("geoloop_queue_bytes", &[("transport", transport)]);
        assert!(queued < 65_536.0, "{queued} bytes would be conflated");
        if queued > 20_000.0 {
            return published;
        }
    }
}

/// A slow reader with a backlog gets all of it, then its goodbye; the drain waits for it as long as its window lasts.
#[track_caller]
fn check_backlog_comes_before_goodbye(
    transport: &str,
    hear: impl FnOnce(TcpStream, &dyn Fn() -> Vec<Update>),
) {
    let server = Server::start(&["--drain-window", "4s"]);
    hear(server.connect_to_read_slowly(), &|| {
        let published = publish_until_queued(&server, transport);
        server.terminate();
        published
    });
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn backlog_of_a_slow_websocket_comes_before_its_goodbye() {
    check_backlog_comes_before_goodbye("websocket", |stream, drain| {
        let mut slow = Socket::open_over(stream, "/ws/3", &[]);
        let published = drain();
        assert_eq!(slow.updates(published.len()), published);
        slow.expect_close(1012);
    });
}

#[test]
fn backlog_of_a_slow_event_stream_comes_before_its_goodbye() {
    check_backlog_comes_before_goodbye("sse", |stream, drain| {
        let mut wire = Wire::over(stream);
        wire.send_get("/location/sse/3");
        let mut slow = EventStream::over(wire);
        let published = drain();
        assert_eq!(slow.updates(published.len()), published);
        let last = slow.rest();
        assert!(matches!(&last[..], [Event { retry: Some(_), data: None, .. }]), "{last:?}");
    });
}

#[test]
fn backlog_of_a_slow_stomp_subscription_comes_before_its_goodbye() {
    check_backlog_comes_before_goodbye("stomp", |stream, drain| {
        let mut slow = Stomp::open_over(stream);
        slow.handshake(&[]);
        slow.subscribe("s", 3);
        let published = drain();
        assert_eq!(slow.updates(published.len()), published);
        assert!(slow.expect_error().contains("drain"));
    });
}

#[test]
fn answers_that_were_not_read_yet_come_before_the_end() {
    let (server, streams) = with_streams(&["--drain-window", "20s"], 50);
    let mut publisher = Wire::connect(&server);
    for member in 0..1000 {
        publisher.send_post("/location/share/4", &format!(r#"{{"member":"{member:060}","x":1,"y":2}}"#));
        publisher.answer().expect_status(200);
    }
    let mut slow = Wire::over(server.connect_to_read_slowly());
    slow.send(get("/location/group/4").repeat(4));
    let is_stuck = || server.scrape().sum("geoloop_queue_bytes", &[("transport", "short_poll")]) > 0.0;
    assert!(wait_until(is_stuck), "answers wait to be read");
    begin_drain(&server);
    let first = slow.answer().expect_status(200).text();
    loop {
        let answer = slow.answer().expect_status(200);
        assert_eq!(answer.text(), first);
        if answer.lists("Connection", "close") {
            break;
        }
    }
    slow.expect_end();
    drop((streams, publisher, slow));
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn slow_reader_that_never_reads_again_holds_nothing_up() {
    let server = Server::start(&["--drain-window", "1s"]);
    let slow = Socket::open_over(server.connect_to_read_slowly(), "/ws/3", &[]);
    publish_until_queued(&server, "websocket");
    server.terminate();
    let exit = server.wait();
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    // It was there until the end.
    drop(slow);
}

#[test]
fn second_signal_of_the_other_kind_stops_in_the_middle_of_everything() {
    for (first, second) in [("TERM", "INT"), ("INT", "TERM")] {
        let (server, _streams) = with_streams(&["--drain-window", "60s"], 50);
        let mut half = Wire::connect(&server);
        half.send("GET /healthz HT");
        let slow = Socket::open_over(server.connect_to_read_slowly(), "/ws/3", &[]);
        publish_until_queued(&server, "websocket");
        server.signal(first);
        let draining = || server.get("/readyz").status == 503;
        assert!(wait_until(draining), "{first} drains");
        server.signal(second);
        let exit = server.wait();
        assert_eq!(exit.code, Some(0), "{}", exit.stderr);
        // It was there until the end.
        drop(slow);
    }
}

#[test]
fn drain_without_a_window_still_says_goodbye() {
    let server = Server::start(&["--drain-window", "0s"]);
    let mut poll = Wire::connect(&server);
    poll.send_get("/location/long/4?timeout=60000");
    let mut stream = EventStream::open(&server, "/location/sse/3");
    let mut socket = Socket::open(&server, "/ws/3");
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("s", 3);
    server.wait_until_parked("long_poll", 1);
    let published = server.publish(3, "alice", 1, 2);
    server.terminate();
    let exit = server.wait();
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    poll.answer().expect_status(204);
    assert_eq!(stream.update(), published);
    assert!(stream.rest().iter().all(|event| event.retry.is_some()), "when to come back");
    assert_eq!(socket.update(), published);
    socket.expect_close(1012);
    assert_eq!(stomp.update(), published);
    assert!(stomp.expect_error().contains("drain"));
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
