//! Servers that close, refuse, say nothing, say nonsense or go away: every run ends, tells what went wrong, and never
//! panics.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use geoloop::ids::Transport;
use geoloop::load::figures::{Failure, RunFigures};
use geoloop::load::plan::{Kind, LoadPlan, Pace, Stage, Stages};
use geoloop::load::play::play;

use crate::fake::{Fake, Reply, Request};
use crate::harness::{Server, wait_until};
use crate::{TRANSPORTS, expect_failures, play_kind, target};

const MOMENT: Duration = Duration::from_millis(60);

/// Every scenario, as small as it can be.
fn kinds() -> [Kind; 5] {
    let stages = Stages {
        from: 0,
        stages: vec![Stage { duration: MOMENT, target: 3 }, Stage { duration: MOMENT, target: 0 }],
    };
    [
        Kind::Seed { stages, grace: Duration::ZERO, wait: Duration::from_millis(20) },
        Kind::Ramp { users: 2, within: MOMENT },
        Kind::Fanout {
            users: 3,
            groups: 2,
            pace: Pace::PerSecond(100.0),
            warm_up: MOMENT,
            duration: MOMENT,
            interval: Duration::from_millis(20),
        },
        Kind::Idle { users: 3, groups: 2, connects_per_second: 1000.0, duration: MOMENT },
        Kind::Churn {
            groups: 2,
            pace: Pace::PerSecond(50.0),
            duration: MOMENT,
            stay: Duration::from_millis(20),
        },
    ]
}

/// The scenarios that have closed loops.
fn closed_kinds() -> [Kind; 3] {
    let (groups, pace, warm_up, duration) = (2, Pace::InFlight(3), MOMENT, MOMENT);
    let interval = Duration::from_millis(20);
    [
        Kind::Ask { users: 3, groups, in_flight: 2, roam: true, warm_up, duration },
        Kind::Fanout { users: 3, groups, pace, warm_up, duration, interval },
        Kind::Churn { groups, pace, duration, stay: Duration::ZERO },
    ]
}

/// All of both that are played with a transport.
fn kinds_of(transport: Transport) -> impl Iterator<Item = Kind> {
    kinds().into_iter().chain(closed_kinds()).filter(move |kind| kind.takes(transport))
}

/// A server that is asked by nobody but the tool's users: it is not looked at.
fn play_against(address: SocketAddr, kind: Kind, transport: Transport) -> RunFigures {
    play_kind(kind, transport, &target(address, nobody())).figures
}

/// An address at which nobody serves: a port that was free a moment ago may be another test's by now.
fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

/// Plays everything against one server, which fails its users in these ways alone, and at least once a run.
#[track_caller]
fn check_all(fake: &Fake, allowed: &[Failure], what: &str) {
    for transport in TRANSPORTS {
        for kind in kinds_of(transport) {
            let label = kind.label();
            let figures = play_against(fake.address(), kind, transport);
            let strangers = figures.failures.iter().find(|(failure, ..)| !allowed.contains(failure));
            assert_eq!(strangers, None, "{what}: {label}, {transport:?}");
            assert!(figures.failures.total() > 0, "{what}: {label}, {transport:?}: {figures:?}");
            for example in figures.failures.iter().flat_map(|(_, _, examples)| examples) {
                let is_of_the_code = ["(None)", "Some(", " { "].iter().any(|mark| example.contains(mark));
                assert!(!is_of_the_code, "{what}: {label}, {transport:?}: {example}");
            }
            // Nobody did what it came for.
            if matches!(label, "churn" | "idle") {
                assert_eq!((figures.iterations, figures.opened), (0, 0), "{what}: {label}, {transport:?}");
                assert_eq!(figures.failures.total(), 3, "{what}: {label}, {transport:?}: each fails once");
            }
        }
    }
}

#[test]
fn server_that_refuses_everything_is_told_as_such() {
    let fake = Fake::start(|_| Reply::answer(503, "Retry-After: 1\r\n", "full"));
    check_all(&fake, &[Failure::Status], "503");
}

#[test]
fn server_that_refuses_everything_and_closes_is_told_as_such() {
    let fake = Fake::start(|_| Reply::last_answer(503, "", ""));
    check_all(&fake, &[Failure::Status], "503, and closes");
}

#[test]
fn server_that_hangs_up_is_told_as_such() {
    let fake = Fake::start(|_| Reply::SayAndClose(String::new()));
    check_all(&fake, &[Failure::Cut], "hangs up");
}

#[test]
fn users_that_are_cut_off_before_any_answer_are_told_of() {
    let fake = Fake::start(|_| Reply::Nothing);
    let [seed, ..] = kinds();
    for transport in [Transport::ShortPoll, Transport::LongPoll, Transport::Sse] {
        let figures = play_against(fake.address(), seed.clone(), transport);
        assert_eq!((figures.cut_off, figures.http_reqs), (3, 0), "{transport:?}");
    }
}

#[test]
fn server_of_another_protocol_is_told_as_such() {
    let fake = Fake::start(|_| Reply::Say("SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_owned()));
    check_all(&fake, &[Failure::Protocol], "another protocol");
}

#[test]
fn server_that_cuts_its_answers_is_told_as_such() {
    let fake = Fake::start(|_| Reply::SayAndClose("HTTP/1.1 200 OK\r\nContent-Len".to_owned()));
    check_all(&fake, &[Failure::Protocol], "cut answers");
}

/// Answers that are nobody's, or hold the largest numbers that there are; a run ends and does not panic, whatever it makes
/// of them.
#[track_caller]
fn check_nonsense(transport: Transport) {
    const MAX: &str = r#"{"seq":9007199254740991,"x":1e308,"y":-1e308,"at":18446744073709551615}"#;
    let numbers = "Location-Seq: 9007199254740991\r\nETag: \"9007199254740991\"\r\n";
    let beyond = "Location-Seq: 99999999999999999999\r\nETag: \"18446744073709551616\"\r\n";
    let event = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 99999999999999999999\n\n";
    let Reply::Say(twice) = Reply::answer(200, numbers, MAX) else { panic!("it says something") };
    let replies = [
        Reply::answer(200, numbers, MAX),
        Reply::answer(200, beyond, MAX),
        Reply::answer(200, "", "hello"),
        Reply::answer(204, "", ""),
        Reply::answer(304, beyond, ""),
        Reply::answer(101, "Upgrade: websocket\r\n", ""),
        Reply::Say(twice.repeat(3)),
        Reply::SayAndClose(format!("{event}id: 9007199254740991\nevent: location\ndata: {MAX}\n\n")),
        Reply::SayAndClose(format!("{event}data: {MAX}\n\ndata: {MAX}\n\n")),
    ];
    for reply in replies {
        let said = reply.clone();
        let fake = Fake::start(move |_| said.clone());
        for kind in kinds_of(transport) {
            // A long poll that is always answered at once is asked again at once, and a poll that is told of the largest
            // number never hears of another: only that it ends is looked at.
            let figures = play_against(fake.address(), kind, transport);
            assert!(figures.seconds < 30.0, "{reply:?}");
        }
    }
}

#[test]
fn nonsense_ends_short_polls() {
    check_nonsense(Transport::ShortPoll);
}

#[test]
fn nonsense_ends_long_polls() {
    check_nonsense(Transport::LongPoll);
}

#[test]
fn nonsense_ends_event_streams() {
    check_nonsense(Transport::Sse);
}

#[test]
fn nonsense_ends_websockets() {
    check_nonsense(Transport::WebSocket);
}

#[test]
fn nonsense_ends_stomp() {
    check_nonsense(Transport::Stomp);
}

#[test]
fn poll_that_is_never_answered_is_told() {
    let fake = Fake::start(|_| Reply::Nothing);
    let [_, _, fanout, ..] = kinds();
    let figures = play_against(fake.address(), fanout, Transport::ShortPoll);
    // Each of three polls once, and six are published before the window and in it.
    expect_failures(&figures, &[(Failure::Timeout, 15)], "nothing is answered");
}

#[test]
fn interrupt_ends_every_run_of_a_server_that_says_nothing() {
    for transport in TRANSPORTS {
        for kind in kinds_of(transport) {
            let interrupted = Arc::new(AtomicBool::new(false));
            let set = Arc::clone(&interrupted);
            let fake = Fake::start(move |_| {
                set.store(true, Ordering::SeqCst);
                Reply::Nothing
            });
            let label = kind.label();
            // Over before anything would have been published: the polls of a fanout are its own.
            let kind = match kind {
                Kind::Fanout { .. } if transport == Transport::ShortPoll => continue,
                other => other,
            };
            let plan = LoadPlan {
                target: fake.address().to_string(),
                transport: None,
                kind,
                pid: None,
                json: None,
                seed: None,
            };
            let target = target(fake.address(), nobody());
            let run = play(&plan, &target, transport, &interrupted).expect("the run can be made");
            expect_failures(&run.figures, &[], &format!("{label}, {transport:?}, interrupted"));
        }
    }
}

/// Gives each request to the server on a connection of its own, which ends behind the answer.
fn relay(request: &Request, server: SocketAddr) -> Reply {
    let mut stream = TcpStream::connect(server).expect("the server accepts");
    let said = format!("{}\r\nConnection: close\r\n\r\n{}", request.head, request.body);
    stream.write_all(said.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers in UTF-8");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    Reply::SayAndClose(answer)
}

#[test]
fn server_that_ends_idle_connections_fails_no_poller_and_is_polled_anew() {
    let server = Server::start(&["--idle-timeout", "1100ms"]);
    let duration = Duration::from_secs(3);
    let kind = Kind::Idle { users: 3, groups: 2, connects_per_second: 1000.0, duration };
    let figures = play_against(server.address(), kind, Transport::ShortPoll);
    expect_failures(&figures, &[], "idle pollers");
    assert_eq!((figures.opened, figures.vus_max), (3, 3));
    assert!(figures.http_reqs >= 6, "{}", figures.http_reqs);
    server.stop();
}

#[test]
fn server_that_closes_behind_each_answer_fails_nobody() {
    let server = Server::start(&[]);
    let address = server.address();
    let fake = Fake::start(move |request| relay(request, address));
    for transport in [Transport::ShortPoll, Transport::LongPoll] {
        for kind in kinds_of(transport) {
            // Publishes in flight go over a WebSocket, which has no such end.
            if matches!(kind, Kind::Fanout { pace: Pace::InFlight(_), .. }) {
                continue;
            }
            // A long poll without a cursor waits for ten seconds.
            if transport == Transport::LongPoll && matches!(kind, Kind::Ramp { .. }) {
                continue;
            }
            let label = kind.label();
            let figures = play_against(fake.address(), kind, transport);
            expect_failures(&figures, &[], &format!("{label}, {transport:?}, closing"));
            if label == "fanout" {
                assert_eq!(figures.published, 6, "{transport:?}");
                assert!(figures.delivered > 0, "{transport:?}");
            }
        }
    }
    server.stop();
}

#[test]
fn location_is_published_by_another_user_where_the_first_is_cut_off() {
    let server = Server::start(&[]);
    let address = server.address();
    let publishes = AtomicUsize::new(0);
    let fake = Fake::start(move |request| {
        if request.line.starts_with("POST") && publishes.fetch_add(1, Ordering::SeqCst) == 0 {
            return Reply::SayAndClose(String::new());
        }
        relay(request, address)
    });
    let [ask, ..] = closed_kinds();
    let figures = play_against(fake.address(), ask, Transport::ShortPoll);
    expect_failures(&figures, &[(Failure::Cut, 1)], "a publisher that is cut");
    assert_eq!((figures.vus_max, figures.http_req_failed), (2, 0));
    assert!(figures.delivered > 0, "{figures:?}");
    server.stop();
}

#[test]
fn subscriber_that_is_refused_before_anything_is_measured_is_told() {
    let server = Server::start(&[]);
    let address = server.address();
    let fake = Fake::start(move |request| match request.line.starts_with("GET /location/sse/") {
        true => Reply::answer(503, "", ""),
        false => relay(request, address),
    });
    let [_, _, fanout, ..] = kinds();
    let figures = play_against(fake.address(), fanout, Transport::Sse);
    expect_failures(&figures, &[(Failure::Status, 3)], "refused subscribers");
    assert_eq!((figures.published, figures.delivered), (6, 0));
    server.stop();
}

#[test]
fn publish_that_was_cut_off_unanswered_is_not_said_to_be_lost() {
    let server = Server::start(&[]);
    let address = server.address();
    let publishes = AtomicUsize::new(0);
    let fake = Fake::start(move |request| {
        // The ninth is in the window that is measured, and never reaches the server.
        if request.line.starts_with("POST") && publishes.fetch_add(1, Ordering::SeqCst) == 8 {
            return Reply::SayAndClose(String::new());
        }
        relay(request, address)
    });
    let [_, _, fanout, ..] = kinds();
    let figures = play_against(fake.address(), fanout, Transport::LongPoll);
    expect_failures(&figures, &[(Failure::Cut, 1)], "a cut publisher");
    // It connects anew for the next one. Groups have one and two subscribers.
    assert_eq!(figures.published, 6);
    assert!((7..=8).contains(&figures.delivered), "{}", figures.delivered);
    server.stop();
}

#[test]
fn server_that_drains_in_the_middle_loses_nobody_an_update() {
    for transport in TRANSPORTS {
        let server = Server::start(&[]);
        let (address, looked_at) = (server.address(), nobody());
        let kind = Kind::Fanout {
            users: 6,
            groups: 2,
            pace: Pace::PerSecond(100.0),
            warm_up: MOMENT,
            duration: Duration::from_millis(1500),
            interval: Duration::from_millis(50),
        };
        let run = std::thread::spawn(move || play_kind(kind, transport, &target(address, looked_at)).figures);
        assert!(wait_until(|| server.scrape().sum("geoloop_publishes_total", &[]) > 30.0));
        server.stop();
        let figures = run.join().expect("the run does not panic");
        let ways = [Failure::Cut, Failure::Connect, Failure::Status];
        let strangers = figures.failures.iter().find(|(failure, ..)| !ways.contains(failure));
        assert_eq!(strangers, None, "{transport:?}");
        assert!(figures.failures.total() > 0 && figures.delivered > 0, "{transport:?}: {figures:?}");
    }
}
