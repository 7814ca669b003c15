//! Running out of descriptors: who is inside goes on, newcomers are told so at once or wait without a spin, and places
//! that come free are taken.

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use harness::Server;
use harness::http::{Wire, get};
use harness::metrics::Scrape;
use harness::websocket::Socket;
use rlimit::Resource;

/// The numbers of the descriptors that a server has open.
fn open_descriptors(server: &Server) -> Vec<u64> {
    let folder = fs::read_dir(format!("/proc/{}/fd", server.process_id())).expect("a process of ours");
    let names = folder.map(|entry| entry.expect("an entry of /proc").file_name());
    names.map(|name| name.to_string_lossy().parse().expect("descriptors are numbers")).collect()
}

/// Lets a server have no descriptor numbered `limit` or above from now on.
#[track_caller]
fn limit_descriptors(server: &Server, limit: u64) {
    let process = i32::try_from(server.process_id()).expect("a process number");
    rlimit::prlimit(process, Resource::NOFILE, Some((limit, 20_000)), None).expect("a process of ours");
}

/// Lets a server have no more descriptors than it has open.
#[track_caller]
fn allow_no_more(server: &Server) {
    let open = open_descriptors(server);
    let free = (0..).find(|number| !open.contains(number)).expect("numbers do not end");
    limit_descriptors(server, free);
}

/// A newcomer that sends a request at once; what it is told before the connection ends.
#[track_caller]
fn knock(server: &Server) -> String {
    let mut stream = server.connect();
    let request = get("/location/cur/3").replace("Host:", "Connection: close\r\nHost:");
    stream.write_all(request.as_bytes()).expect("the kernel takes a request");
    let mut told = Vec::new();
    stream.read_to_end(&mut told).expect("an answer and the end, not a reset");
    String::from_utf8(told).expect("an answer is text")
}

#[test]
fn newcomers_are_told_at_once_and_who_is_inside_goes_on() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--workers", workers]);
        let mut inside = Socket::open(&server, "/ws/3");
        let mut publisher = Wire::connect(&server);
        publisher.expect_alive();
        let mut watcher = Wire::connect(&server);
        let before = Scrape::over(&mut watcher);
        allow_no_more(&server);
        let mut refused = 0;
        for x in 0..100 {
            let told = knock(&server);
            if workers == "1" || !told.starts_with("HTTP/1.1 200 ") {
                assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("Retry-After: "), "{told:?}");
                refused += 1;
            }
            // Else one worker took a newcomer in with the descriptor that the other had just told somebody no with.
            publisher.send_post("/location/share/3", &format!(r#"{{"x":{x},"y":0}}"#));
            let update = publisher.answer().expect_status(200).update();
            assert_eq!(inside.update(), update, "{workers} workers");
        }
        let after = Scrape::over(&mut watcher);
        let grown = |name, labels| after.sum(name, labels) - before.sum(name, labels);
        assert_eq!(grown("geoloop_refused_total", &[("reason", "connections_max")]), f64::from(refused));
        assert!(refused > 50, "{refused} of 100 were told that there is no place");
        // A newcomer and a publish are a handful of turns; a listener that spins is thousands.
        let turns = grown("geoloop_syscalls_total", &[("call", "epoll_wait")]);
        assert!(turns < 2000.0, "{turns} turns for 100 newcomers and 100 publishes");
        // One that goes makes room for one.
        drop(inside);
        let entered = harness::wait_until(|| knock_and_stay(&server).is_some());
        assert!(entered, "a place that came free is taken");
    }
}

/// A newcomer that is answered, and stays.
fn knock_and_stay(server: &Server) -> Option<TcpStream> {
    let mut wire = Wire::connect(server);
    wire.send_get("/healthz");
    (wire.answer().status == 200).then(|| wire.stream().try_clone().expect("a descriptor is free"))
}

#[test]
fn newcomers_that_cannot_even_be_told_wait_without_a_spin() {
    let server = Server::start(&["--workers", "1"]);
    let mut inside = Wire::connect(&server);
    inside.expect_alive();
    let limit = 20_000;
    // Below every descriptor that it has: not even the reserve can be replaced.
    limit_descriptors(&server, 3);
    let mut waiting: Vec<Wire> = (0..20).map(|_| Wire::connect(&server)).collect();
    for wire in &mut waiting {
        wire.send_get("/healthz");
    }
    let before = Scrape::over(&mut inside).sum("geoloop_syscalls_total", &[("call", "accept")]);
    for _ in 0..500 {
        inside.expect_alive();
    }
    let tries = Scrape::over(&mut inside).sum("geoloop_syscalls_total", &[("call", "accept")]) - before;
    assert!(tries < 200.0, "it tried {tries} times while 500 requests were answered");
    limit_descriptors(&server, limit);
    for wire in &mut waiting {
        wire.answer().expect_status(200);
    }
}

#[test]
fn scrape_is_answered_without_a_descriptor_to_read_about_the_process_with() {
    let server = Server::start(&["--workers", "1"]);
    let mut inside = Wire::connect(&server);
    inside.expect_alive();
    allow_no_more(&server);
    assert_eq!(Scrape::over(&mut inside).sum("geoloop_connections", &[]), 1.0);
}
