//! Closed loops: so many operations are under way as were asked for and no more, what follows comes when one is over, and what it
//! cost stands in the report.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use geoloop::ids::Transport;
use geoloop::load::figures::{Failure, RunFigures};
use geoloop::load::plan::{Kind, Pace};

use crate::faults::{Fault, Plant, Victim};
use crate::harness::Server;
use crate::proxy::Proxy;
use crate::tool::Tool;
use crate::{TRANSPORTS, expect_failures, play_kind, target};

const MOMENT: Duration = Duration::from_millis(100);

fn ask(users: usize, in_flight: usize) -> Kind {
    Kind::Ask { users, groups: 2, in_flight, roam: false, warm_up: MOMENT, duration: MOMENT }
}

fn fanout(in_flight: usize) -> Kind {
    let (pace, interval) = (Pace::InFlight(in_flight), MOMENT);
    Kind::Fanout { users: 4, groups: 2, pace, warm_up: MOMENT, duration: MOMENT, interval }
}

/// Runs the program against a server and checks that what it tells of operations is what its figures say.
#[track_caller]
fn check_told(flags: &str, what: &str, count: fn(&serde_json::Value) -> Option<u64>) {
    let server = Server::start(&[]);
    let run = Tool::start(server.address(), "", flags).finish();
    assert_eq!(run.exit.code, Some(0), "{flags}: {:?}", run.exit);
    let json = run.json();
    let reports = json.as_array().map_or_else(|| vec![json.clone()], Clone::clone);
    for report in &reports {
        let operations = &report["operations"];
        let counted = count(&report["figures"]).expect("it is a number");
        assert!(counted > 0, "{flags}: {report}");
        assert_eq!((&operations["what"], &operations["count"]), (&what.into(), &counted.into()), "{flags}");
        let seconds = report["figures"]["seconds"].as_f64().expect("it is a number");
        let a_second = operations["per_second"].as_f64().expect("it is a number");
        assert!((a_second * seconds - counted as f64).abs() < 1.0, "{flags}: {operations}");
        let syscalls = report["server"]["counts"]["syscalls"].as_object().expect("the server counts them");
        let syscalls: u64 = syscalls.values().filter_map(serde_json::Value::as_u64).sum();
        let each = operations["server_syscalls"].as_f64().expect("it is a number");
        assert!((each * counted as f64 - syscalls as f64).abs() < 1.0, "{flags}: {operations}");
        assert!(operations["server_cpu_us"].as_f64() >= Some(0.0), "{flags}: {operations}");
        assert_eq!(report["in_flight"], 3, "{flags}");
    }
    let told = "     a closed loop of 3 in flight: times count from the write\n";
    assert_eq!(run.exit.stdout.matches(told).count(), reports.len(), "{}", run.exit.stdout);
    server.stop();
}

#[test]
fn requests_are_told_with_what_each_cost() {
    let flags = "--scenario ask --users 4 --groups 2 --in-flight 3 --warm-up 50ms --duration 200ms";
    check_told(flags, "requests", |figures| figures["http_reqs"].as_u64());
}

#[test]
fn deliveries_are_told_with_what_each_cost() {
    let flags = "--scenario fanout --users 4 --groups 2 --in-flight 3 --warm-up 50ms --duration 200ms";
    check_told(flags, "deliveries", |figures| figures["delivered"].as_u64());
}

#[test]
fn visits_are_told_with_what_each_cost() {
    let flags = "--scenario churn --groups 2 --in-flight 3 --duration 200ms";
    check_told(flags, "visits", |figures| figures["iterations"].as_u64());
}

#[test]
fn open_loop_tells_of_no_operations() {
    let server = Server::start(&[]);
    let flags = "--scenario churn --rate 50 --duration 50ms --stay 0s";
    let run = Tool::start(server.address(), "sse", flags).finish();
    let report = run.json();
    assert_eq!((&report["operations"], &report["in_flight"]), (&().into(), &().into()));
    assert!(!run.exit.stdout.contains("closed loop"), "{}", run.exit.stdout);
    server.stop();
}

/// What a server saw of one user who asks in batches: the most requests that were unanswered at once, and batches answered.
#[derive(Default)]
struct Batches {
    unanswered_max: AtomicUsize,
    answered: AtomicUsize,
}

/// Answers a publish at once, and polls when so many of them wait.
fn answer_in_batches(mut user: TcpStream, batch: usize, seen: &Batches) {
    let (mut held, mut update) = (String::new(), String::new());
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = user.read(&mut part) {
        held += std::str::from_utf8(&part[..length]).expect("requests are ASCII");
        if held.starts_with("POST ") {
            // The update is what was published, with a number and a time.
            let Some((head, body)) = held.split_once("\r\n\r\n") else { continue };
            let length = head.split_once("Content-Length: ").expect("a publish has a length").1;
            let length: usize = length.lines().next().expect("it has a line").parse().expect("a number");
            if body.len() < length {
                continue;
            }
            let said = body.strip_prefix('{').and_then(|body| body.strip_suffix('}')).expect("an object");
            update = format!("{{\"seq\":7,{said},\"at\":1}}");
            held.clear();
            user.write_all(answer(&update).as_bytes()).expect("the user reads");
            continue;
        }
        let waiting = held.matches("\r\n\r\n").count();
        seen.unanswered_max.fetch_max(waiting, Ordering::SeqCst);
        if waiting < batch {
            continue;
        }
        assert_eq!(held.matches("GET /location/cur/").count(), waiting, "{held}");
        held.clear();
        user.write_all(answer(&update).repeat(waiting).as_bytes()).expect("the user reads");
        seen.answered.fetch_add(1, Ordering::SeqCst);
    }
}

fn answer(update: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nETag: \"7\"\r\nContent-Length: {}\r\n\r\n{update}", update.len())
}

#[test]
fn user_asks_for_a_batch_when_the_one_before_is_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let address = listener.local_addr().expect("it listens");
    let seen = Arc::new(Batches::default());
    let theirs = Arc::clone(&seen);
    std::thread::spawn(move || {
        let (user, _) = listener.accept().expect("the user connects");
        answer_in_batches(user, 5, &theirs);
    });
    // Nobody is looked at.
    let nobody = ([127, 0, 0, 1], 1).into();
    let figures = play_kind(ask(1, 5), Transport::ShortPoll, &target(address, nobody)).figures;
    expect_failures(&figures, &[], "batches");
    assert_eq!(seen.unanswered_max.load(Ordering::SeqCst), 5);
    let answered = seen.answered.load(Ordering::SeqCst) as u64;
    assert!(figures.http_reqs > 5 && figures.http_reqs.is_multiple_of(5), "{}", figures.http_reqs);
    assert!(answered * 5 > figures.http_reqs, "those of the warm-up do not count");
    assert_eq!((figures.delivered, figures.published), (figures.http_reqs, 0));
    assert_eq!(figures.http_req_duration.count(), figures.http_reqs);
}

#[test]
fn window_is_filled_again_and_again_and_all_are_told_of_it() {
    let server = Server::start(&[]);
    for transport in TRANSPORTS.into_iter().filter(|it| *it != Transport::ShortPoll) {
        for in_flight in [1, 3, 500] {
            let target = target(server.address(), server.address());
            let figures = play_kind(fanout(in_flight), transport, &target).figures;
            expect_failures(&figures, &[], &format!("{transport:?}, {in_flight} in flight"));
            assert!(figures.published > in_flight as u64, "{transport:?}: {}", figures.published);
            // Two subscribers a group, and its publisher.
            let told = figures.delivered + figures.conflated;
            assert_eq!(told, 3 * figures.published, "{transport:?}, {in_flight} in flight");
        }
    }
    server.stop();
}

#[test]
fn place_is_taken_again_when_its_visitor_has_gone() {
    let server = Server::start(&[]);
    for transport in TRANSPORTS {
        let kind = Kind::Churn { groups: 2, pace: Pace::InFlight(2), duration: MOMENT, stay: Duration::ZERO };
        let figures = play_kind(kind, transport, &target(server.address(), server.address())).figures;
        expect_failures(&figures, &[], transport.label());
        assert_eq!((figures.vus_max, figures.opened), (2, figures.iterations), "{transport:?}");
        assert!(figures.iterations > 4, "{transport:?}: {}", figures.iterations);
    }
    server.stop();
}

/// Plants a fault into what the first user is told.
fn play_planted(kind: Kind, transport: Transport, fault: Fault) -> RunFigures {
    let server = Server::start(&[]);
    let plant = Plant::new(fault, Victim::Number(0), 5);
    let theirs = Arc::clone(&plant);
    let proxy =
        Proxy::start_with(server.address(), None, move |number, request| theirs.tamper(number, request));
    let figures = play_kind(kind, transport, &target(proxy.address(), server.address())).figures;
    assert!(plant.is_planted(), "{transport:?}: {fault:?} was not planted: {figures:?}");
    server.stop();
    figures
}

#[track_caller]
fn check_planted(kind: Kind, transport: Transport, fault: Fault, want: &[(Failure, u64)]) {
    let figures = play_planted(kind, transport, fault);
    expect_failures(&figures, want, &format!("{transport:?}, {fault:?}"));
    assert!(figures.delivered > 0, "{transport:?}, {fault:?}: the others go on");
}

#[test]
fn faults_of_answers_in_a_batch_are_found() {
    let transport = Transport::ShortPoll;
    check_planted(ask(4, 3), transport, Fault::Tag, &[(Failure::Tag, 1)]);
    check_planted(ask(4, 3), transport, Fault::Garble, &[(Failure::Body, 1)]);
    check_planted(ask(4, 3), transport, Fault::Foreign, &[(Failure::WrongGroup, 1)]);
    check_planted(ask(4, 3), transport, Fault::Cut, &[(Failure::Cut, 1)]);
    check_planted(ask(4, 3), transport, Fault::CutShort, &[(Failure::Protocol, 1)]);
    // The answer never comes.
    check_planted(ask(4, 3), transport, Fault::Drop, &[(Failure::Timeout, 1)]);
}

#[test]
fn faults_of_a_window_are_found_and_it_goes_on() {
    check_planted(fanout(4), Transport::Sse, Fault::Drop, &[(Failure::Lost, 1)]);
    for transport in [Transport::Sse, Transport::WebSocket, Transport::Stomp] {
        check_planted(fanout(4), transport, Fault::Swap, &[(Failure::Reordered, 1)]);
        check_planted(fanout(4), transport, Fault::Repeat, &[(Failure::Repeated, 1)]);
        check_planted(fanout(4), transport, Fault::Cut, &[(Failure::Cut, 1)]);
    }
    check_planted(fanout(4), Transport::LongPoll, Fault::Cut, &[(Failure::Cut, 1)]);
    check_planted(fanout(4), Transport::LongPoll, Fault::Drop, &[(Failure::Lost, 1)]);
}

#[test]
fn window_of_one_whose_update_is_lost_ends_at_its_time() {
    let figures = play_planted(fanout(1), Transport::Sse, Fault::Drop);
    expect_failures(&figures, &[(Failure::Lost, 1)], "a window that stands still");
}
