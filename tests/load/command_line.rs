//! The tool as a program: what it refuses, what it prints, when it ends and with which code.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::TRANSPORTS;
use crate::fake::{Fake, Reply};
use crate::harness::{PATIENCE, Server, run_to_end};
use crate::tool::Tool;

#[track_caller]
fn check_refused(arguments: &str, told: &str) {
    let arguments: Vec<_> = arguments.split(' ').collect();
    let exit = run_to_end(&arguments);
    assert_eq!(exit.code, Some(2), "{arguments:?}: {exit:?}");
    let first = exit.stderr.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("geoloop: ") && first.contains(told),
        "{arguments:?}: {first:?} lacks {told:?}"
    );
    assert_eq!(exit.stdout, "", "{arguments:?}");
}

#[test]
fn value_that_a_flag_does_not_take_is_refused_by_name_and_limit() {
    check_refused("load --scenario walk", "\"walk\" is none of seed, ramp, fanout, idle, churn and ask");
    check_refused("load --transport http", "expected short_poll, long_poll, sse, websocket or stomp");
    check_refused("load --target http://here", "expected a host and a port");
    check_refused("load --target :80", "expected a host and a port");
    check_refused("load --target http://me:word@127.0.0.1:80", "expected a host and a port");
    check_refused("load --target http://127.0.0.1/path:80", "expected a host and a port");
    check_refused("load --target 127.0.0.1:0", "expected a host and a port");
    check_refused("load --target https://127.0.0.1:8443", "only http is spoken, not https");
    check_refused("load --target HTTPS://127.0.0.1", "only http is spoken, not https");
    check_refused("load --users 0", "users 0 is under the least, 1");
    check_refused("load --users 19001", "users 19001 is over the limit, 19000");
    check_refused("load --users many", "--users");
    check_refused("load --stages 20s", "\"20s\" is no stage: expected a duration, a colon and a number");
    check_refused("load --stages 20s:5,", "\"\" is no stage");
    check_refused("load --stages 20:5", "\"20:5\" is no stage");
    check_refused("load --stages 1s:19001", "19001 connections at once are over the limit, 19000");
    check_refused("load --stages 25h:5", "a stage of 90000s is over the limit, 24 hours");
    let stages = ["1s:1"; 101].join(",");
    check_refused(&format!("load --stages {stages}"), "101 stages are over the limit, 100");
    check_refused("load --grace 25h", "grace 90000s is over the limit, 24 hours");
    check_refused("load --wait 25h", "wait 90000s is over the limit, 24 hours");
    check_refused("load --scenario ramp --within 5", "--within");
    check_refused("load --scenario ramp --within 25h", "within 90000s is over the limit, 24 hours");
    check_refused("load --scenario fanout --groups 0", "groups 0 is under the least, 1");
    check_refused("load --scenario fanout --groups 19001", "groups 19001 is over the limit, 19000");
    check_refused("load --scenario fanout --users 19000 --groups 1", "19001 connections at once");
    check_refused("load --scenario fanout --rate 0", "rate 0 is not between 0.01 and 1000000");
    check_refused("load --scenario fanout --rate 1e7", "rate 10000000 is not between 0.01 and 1000000");
    check_refused("load --scenario fanout --rate NaN", "rate NaN is not between 0.01 and 1000000");
    check_refused("load --scenario idle --rate 0.001", "rate 0.001 is not between 0.01 and 1000000");
    check_refused("load --scenario fanout --duration 25h", "duration 90000s is over the limit, 24 hours");
    check_refused("load --scenario fanout --duration 10", "--duration");
    check_refused("load --scenario fanout --warm-up 25h", "warm-up 90000s is over the limit, 24 hours");
    check_refused("load --scenario fanout --interval 0s", "interval 0ns is under the least, 1ms");
    check_refused("load --scenario fanout --interval 25h", "interval 90000s is over the limit, 24 hours");
    check_refused("load --scenario churn --stay 25h", "stay 90000s is over the limit, 24 hours");
    check_refused(
        "load --scenario churn --rate 9000 --duration 1h",
        "32400000 connections in all are over the limit",
    );
    check_refused("load --scenario churn --rate 1e6", "connections at once are over the limit, 19000");
    check_refused("load --scenario fanout --duration 0s", "duration 0ns is under the least, 1ms");
    check_refused("load --scenario idle --duration 999us", "duration 999µs is under the least, 1ms");
    check_refused("load --scenario churn --duration 0s", "duration 0ns is under the least, 1ms");
    let slow = "load --scenario fanout --rate 0.05 --duration 19s";
    check_refused(slow, "at rate 0.05 nothing is published in a duration of 19s");
    check_refused("load --scenario ask --in-flight 0", "in-flight 0 is under the least, 1");
    check_refused("load --scenario ask --in-flight 10001", "in-flight 10001 is over the limit, 10000");
    let requests = "1000001 requests at once (users 101 times in-flight 9901) are over the limit, 1000000";
    check_refused("load --scenario ask --users 101 --in-flight 9901", requests);
    check_refused("load --scenario churn --in-flight 10000 --duration 25h", "over the limit, 24 hours");
    for scenario in ["fanout", "churn", "ask"] {
        let told = "--rate and --in-flight exclude each other";
        check_refused(&format!("load --scenario {scenario} --rate 5 --in-flight 5"), told);
    }
    let told = "--interval means nothing to the scenario fanout with --in-flight";
    check_refused("load --scenario fanout --in-flight 5 --interval 1s", told);
    let told = "the scenario fanout with --in-flight is not played with short_poll";
    check_refused("load --scenario fanout --in-flight 5 --transport short_poll", told);
    check_refused("load --scenario ask --transport sse", "the scenario ask is not played with sse");
    check_refused("load --pid some", "--pid");
    check_refused("load --pid 0", "pid 0 is under the least, 1");
    check_refused("load --seed some", "--seed");
    check_refused("load --json", "--json");
    check_refused("load --unknown", "--unknown");
    check_refused("study --transport http", "expected short_poll, long_poll, sse, websocket or stomp");
    check_refused("study --target here", "expected a host and a port");
    check_refused("study --quick=yes", "--quick");
    check_refused("study --out", "--out");
    check_refused("study --users 5", "--users");
}

#[test]
fn flag_that_means_nothing_to_a_scenario_is_refused() {
    let flags = [
        ("users 5", "seed ramp fanout idle ask"),
        ("stages 1s:5", "seed"),
        ("grace 1s", "seed"),
        ("wait 1s", "seed"),
        ("within 1s", "ramp"),
        ("groups 5", "fanout idle churn ask"),
        ("rate 5", "fanout idle churn"),
        ("in-flight 5", "fanout churn ask"),
        ("roam", "ask"),
        ("duration 1s", "fanout idle churn ask"),
        ("warm-up 1s", "fanout ask"),
        ("interval 1s", "fanout"),
        ("stay 1s", "churn"),
    ];
    for (flag, scenarios) in flags {
        for scenario in ["seed", "ramp", "fanout", "idle", "churn", "ask"] {
            if scenarios.split(' ').any(|taken| taken == scenario) {
                continue;
            }
            let name = flag.split(' ').next().expect("split gives one part at least");
            let told = format!("--{name} means nothing to the scenario {scenario}");
            check_refused(&format!("load --scenario {scenario} --{flag}"), &told);
        }
    }
    check_refused("load --users 5 --stages 1s:5", "--users means nothing to the scenario seed");
}

#[test]
fn help_names_every_flag() {
    for (verb, flags) in [("load", geoloop::config::load_flags()), ("study", geoloop::config::study_flags())]
    {
        let exit = run_to_end(&[verb, "--help"]);
        assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""), "{verb}");
        assert!(flags.len() > 3, "{flags:?}");
        for (flag, _) in flags {
            assert!(
                exit.stdout.contains(&format!("--{flag}")),
                "{verb} --help lacks --{flag}:\n{}",
                exit.stdout
            );
        }
    }
}

#[test]
fn nobody_who_serves_is_told_in_one_line() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let address = listener.local_addr().expect("it listens").to_string();
    drop(listener);
    let folder = std::env::temp_dir().join(format!("geoloop-no-study-{}", std::process::id()));
    let out = folder.to_str().expect("a temporary path is UTF-8");
    for arguments in [vec!["load", "--target", &address], vec!["study", "--out", out, "--target", &address]] {
        let exit = run_to_end(&arguments);
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        let told = format!("geoloop: nobody serves at {address}: ");
        assert!(exit.stderr.starts_with(&told) && exit.stderr.lines().count() == 1, "{:?}", exit.stderr);
    }
    drop(std::fs::remove_dir_all(folder));
    let server = Server::start(&[]);
    let target = server.address().to_string();
    // Numbers of processes end well below this.
    let exit = run_to_end(&["load", "--target", &target, "--pid", "4294967295"]);
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""), "{exit:?}");
    assert_eq!(exit.stderr, "geoloop: there is no process 4294967295\n");
    server.stop();
    let exit = run_to_end(&["load", "--target", "no-such-host.invalid:80"]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(
        exit.stderr.starts_with("geoloop: the target no-such-host.invalid:80 has no address: "),
        "{exit:?}"
    );
}

#[test]
fn report_that_cannot_be_written_is_a_failure() {
    let server = Server::start(&[]);
    let target = server.address().to_string();
    let flags =
        "--scenario ramp --users 1 --within 0s --transport short_poll --json /no/such/folder/report.json";
    let mut arguments = vec!["load", "--target", &target];
    arguments.extend(flags.split(' '));
    let exit = run_to_end(&arguments);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.starts_with("geoloop: cannot write the report: "), "{exit:?}");
    server.stop();
}

#[test]
fn every_scenario_runs_with_every_transport_and_fails_nobody() {
    let server = Server::start(&[]);
    let small = [
        // The last stage leads to none, or is followed by their going.
        "--scenario seed --stages 100ms:3,100ms:0 --grace 200ms --wait 50ms",
        "--scenario seed --stages 50ms:3,50ms:2 --grace 200ms --wait 50ms",
        "--scenario fanout --users 4 --groups 2 --rate 50 --warm-up 50ms --duration 200ms --interval 50ms",
        "--scenario idle --users 4 --groups 2 --duration 50ms",
        "--scenario churn --groups 2 --rate 50 --duration 100ms --stay 50ms",
        "--scenario ramp --users 2 --within 50ms",
    ];
    for flags in small {
        // A long poll of a ramp waits for ten seconds if nobody else comes.
        let some: Vec<_> = match flags.contains("ramp") {
            true => ["short_poll", "sse", "websocket", "stomp"].to_vec(),
            false => vec![""],
        };
        for transport in some {
            let run = Tool::start(server.address(), transport, flags).finish();
            assert_eq!((run.exit.code, run.exit.stderr.as_str()), (Some(0), ""), "{flags}: {:?}", run.exit);
            let json = run.json();
            // Several runs are a list of them.
            let reports = json.as_array().map_or_else(|| vec![json.clone()], Clone::clone);
            let labels: BTreeSet<_> = reports.iter().filter_map(|it| it["transport"].as_str()).collect();
            let want =
                if transport.is_empty() { TRANSPORTS.map(|it| it.label()).to_vec() } else { vec![transport] };
            assert_eq!(labels, want.into_iter().collect(), "{flags}");
            assert_eq!(
                run.exit.stdout.matches("\n     no failure\n").count(),
                reports.len(),
                "{}",
                run.exit.stdout
            );
            for report in reports {
                assert_eq!(
                    (&report["failures"], &report["interrupted"]),
                    (&0.into(), &false.into()),
                    "{flags}"
                );
                assert!(report["figures"]["data_sent"].as_u64() > Some(0), "{flags}: {report}");
            }
        }
    }
    server.stop();
}

#[test]
fn duration_without_an_interval_of_polls_is_remarked_on() {
    let server = Server::start(&[]);
    let flags = "--scenario fanout --users 2 --groups 1 --rate 100 --warm-up 0s --duration 50ms --interval";
    for (interval, remarks) in [("50ms", 1), ("49ms", 0)] {
        let run = Tool::start(server.address(), "short_poll", &format!("{flags} {interval}")).finish();
        let told = run.exit.stdout.matches("warning: no interval of polls lies within the duration").count();
        assert_eq!(told, remarks, "{}", run.exit.stdout);
    }
    server.stop();
}

#[test]
fn second_run_does_not_meet_what_the_first_left() {
    let server = Server::start(&[]);
    let flags =
        "--scenario fanout --users 40 --groups 2 --rate 100 --warm-up 0s --duration 100ms --interval 40ms";
    for _ in 0..5 {
        let run = Tool::start(server.address(), "short_poll", flags).finish();
        assert_eq!(run.exit.code, Some(0), "{}", run.exit.stdout);
    }
    server.stop();
}

#[test]
fn server_without_counts_is_polled_all_the_same() {
    let body = r#"{"seq":0,"x":1,"y":2,"at":1767225600123}"#;
    let fake = Fake::start(move |request| match request.line.as_str() {
        line if line.starts_with("GET /cur/") => {
            Reply::answer(200, "Content-Type: application/json\r\n", body)
        }
        line if line.starts_with("GET /metrics") => Reply::last_answer(404, "", "no"),
        line => panic!("{line:?} was not to be asked"),
    });
    let flags = "--scenario seed --stages 50ms:3,100ms:0 --grace 100ms --wait 20ms";
    let run = Tool::start(fake.address(), "short_poll", flags).finish();
    assert_eq!(run.exit.code, Some(0), "{:?}", run.exit);
    assert!(run.exit.stdout.contains("none: /metrics is answered with 404\n"), "{}", run.exit.stdout);
    let report = run.json();
    assert!(report["figures"]["http_reqs"].as_u64() >= Some(3), "{report}");
}

#[test]
fn interrupt_ends_a_run_with_a_report_and_without_a_failure() {
    let server = Server::start(&[]);
    for (transport, flags) in [
        ("sse", "--scenario fanout --users 20 --groups 2 --rate 200 --warm-up 0s --duration 1h"),
        ("long_poll", "--scenario fanout --users 20 --groups 2 --rate 200 --warm-up 100ms --duration 1h"),
        ("websocket", "--scenario fanout --users 20 --groups 2 --rate 200 --warm-up 1h --duration 1h"),
        (
            "short_poll",
            "--scenario fanout --users 20 --groups 2 --rate 200 --warm-up 0s --duration 1h --interval 20ms",
        ),
        ("websocket", "--scenario seed --stages 100ms:20,1h:20"),
        ("stomp", "--scenario seed --stages 100ms:20,1h:20"),
        ("stomp", "--scenario idle --users 20 --duration 1h"),
        ("long_poll", "--scenario churn --rate 100 --duration 1h"),
        ("sse", "--scenario churn --in-flight 30 --duration 1h"),
        ("stomp", "--scenario fanout --users 20 --groups 2 --in-flight 3 --warm-up 0s --duration 1h"),
        ("", "--scenario ask --users 30 --in-flight 3 --warm-up 1h"),
        ("short_poll", "--scenario ask --users 30 --in-flight 3 --warm-up 0s --duration 1h"),
        // The transports behind the one that is interrupted are not begun.
        ("", "--scenario idle --users 20 --duration 1h"),
    ] {
        let scrape = server.scrape();
        let [connected, published] =
            ["geoloop_connections_total", "geoloop_publishes_total"].map(|name| scrape.sum(name, &[]));
        let tool = Tool::start(server.address(), transport, flags);
        // In the middle of publishing, or when more than twenty connections are there or have been.
        let so = || {
            let scrape = server.scrape();
            if flags.contains("fanout") {
                return scrape.sum("geoloop_publishes_total", &[]) > published + 100.0;
            }
            scrape.sum("geoloop_connections", &[]) > 20.0
                || scrape.sum("geoloop_connections_total", &[]) > connected + 60.0
        };
        assert!(crate::harness::wait_until(so), "{flags}");
        tool.interrupt();
        let run = tool.finish();
        assert_eq!(run.exit.code, Some(0), "{transport} {flags}: {:?}", run.exit);
        assert!(
            run.exit
                .stdout
                .ends_with("     interrupted: this is what there was until then\n     no failure\n"),
            "{}",
            run.exit.stdout
        );
        let report = run.json();
        assert_eq!((&report["interrupted"], &report["failures"]), (&true.into(), &0.into()), "{flags}");
        // It tells of the time that there was, not of the hour that there was to be.
        let seconds = report["figures"]["seconds"].as_f64();
        assert!(seconds.is_some_and(|seconds| seconds < 60.0), "{flags}: {report}");
        assert!(
            !flags.contains("fanout") || report["figures"]["delivered"].as_u64() > Some(0),
            "{flags}: {report}"
        );
    }
    server.stop();
}

#[test]
fn interrupted_study_writes_what_there_is() {
    let server = Server::start(&[]);
    let tool = Tool::start_study(server.address(), "sse");
    let is_idle = || server.scrape().sum("geoloop_connections", &[("transport", "sse")]) > 300.0;
    assert!(crate::harness::wait_until(is_idle), "the first of three repeats opens a thousand");
    tool.interrupt();
    let run = tool.finish();
    assert_eq!(run.exit.code, Some(0), "{:?}", run.exit);
    let report = run.json();
    let warnings = report["setting"]["warnings"].as_array().expect("a study has warnings");
    let is_told = |warning: &serde_json::Value| warning.as_str().is_some_and(|it| it.contains("interrupted"));
    assert!(warnings.iter().any(is_told), "{warnings:?}");
    assert!(!warnings.iter().any(|warning| warning.to_string().contains("failures")), "{warnings:?}");
    assert_eq!(report["transports"][0]["transport"], "sse");
    assert!(report["transports"][0]["wire"]["down_payload"].as_f64() > Some(50.0), "{report}");
    let repeats = report["transports"][0]["connection"]["connect_us"]["runs"].as_u64();
    assert!(repeats.is_some_and(|repeats| repeats < 3), "it was in the middle of the first: {repeats:?}");
    server.stop();
}

#[test]
fn second_interrupt_ends_the_program_at_once() {
    let looks = Arc::new(AtomicUsize::new(0));
    let (sender, asked) = channel();
    let fake = Fake::start(move |request| {
        if request.line.starts_with("GET /metrics") && looks.fetch_add(1, Ordering::SeqCst) == 0 {
            return Reply::last_answer(404, "", "");
        }
        // The test may be over.
        drop(sender.send(request.line.clone()));
        Reply::Nothing
    });
    let flags = "--scenario seed --stages 10ms:1,1h:1";
    let tool = Tool::start(fake.address(), "short_poll", flags);
    assert!(asked.recv_timeout(PATIENCE).expect("the user polls").starts_with("GET /cur/"));
    tool.interrupt();
    // The run is over, and the tool waits for its last look at the server.
    assert_eq!(asked.recv_timeout(PATIENCE).expect("the tool looks"), "GET /metrics");
    // A signal right behind the first is the same interrupt: it goes on waiting.
    tool.interrupt();
    assert!(asked.recv_timeout(Duration::from_millis(300)).is_err(), "the tool asks for nothing more");
    tool.interrupt();
    let run = tool.finish();
    assert_eq!((run.exit.code, run.exit.stdout.as_str()), (Some(1), ""), "{:?}", run.exit);
    assert!(!run.has_report());
}
