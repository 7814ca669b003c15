//! What a run prints, to the byte, and what its JSON holds.

use super::*;
use crate::load::figures::{Check, Failure};

/// Three times: short, middling and long.
fn times(micros: [u64; 3]) -> Latencies {
    let mut latencies = Latencies::default();
    micros.into_iter().for_each(|micros| latencies.record(micros));
    latencies
}

fn run(scenario: &str, transport: Transport, users: usize, figures: RunFigures) -> RunReport {
    RunReport {
        scenario: scenario.to_owned(),
        transport: Some(transport.label().to_owned()),
        users,
        target: "127.0.0.1:8080".to_owned(),
        version: "0.1.0",
        figures,
        ..RunReport::default()
    }
}

fn long_polls() -> RunFigures {
    let mut figures = RunFigures {
        seconds: 60.0,
        vus_max: 1000,
        iterations: 2204,
        iteration_duration: times([3_010_000, 3_200_000, 14_000_000]),
        http_reqs: 6612,
        http_req_failed: 3,
        http_req_duration: times([441, 1510, 24_750]),
        http_req_connecting: times([80, 90, 1000]),
        first_byte: times([440, 1500, 24_000]),
        data_sent: 748_000,
        data_received: 3_000_000,
        published: 2204,
        delivered: 4408,
        delivery: times([300, 400, 500]),
        lag: times([1, 20, 300]),
        tool_cpu_seconds: 6.0,
        wall_seconds: 60.0,
        ..RunFigures::default()
    };
    figures.checks.insert("Long Polling Notify Status is 200", Check { passes: 2204, fails: 0 });
    figures.checks.insert("Long Polling Post Status is 200", Check { passes: 2201, fails: 3 });
    figures.failures.note_many(Failure::Lost, 2, || "user 17: \x1b[31mnumber 5".to_owned());
    figures.failures.note(Failure::Status, || "user 4: 503".to_owned());
    figures
}

fn stomp() -> RunFigures {
    RunFigures {
        seconds: 90.0,
        vus_max: 10_000,
        ws_sessions: 10_000,
        ws_connecting: times([400, 900, 2000]),
        ws_session_duration: times([1_000_000, 2_000_000, 4_000_000]),
        ws_msgs_sent: 30_000,
        ws_msgs_received: 3_600_000,
        data_sent: 4_000_000,
        data_received: 823_400_000,
        published: 10_000,
        delivered: 3_590_000,
        delivery: times([300, 400, 500]),
        lag: times([1, 20, 12_000]),
        tool_cpu_seconds: 81.0,
        wall_seconds: 90.0,
        ..RunFigures::default()
    }
}

fn server() -> ServerSide {
    let counts = Counts {
        syscalls: [("read", 40_000), ("write", 3_550_000)].into_iter().collect(),
        wire_received: [("http", 1000), ("stomp", 3_999_000)].into_iter().collect(),
        wire_sent: [("stomp", 820_000_000)].into_iter().collect(),
        payload_sent: [("stomp", 359_000_000)].into_iter().collect(),
        updates_delivered: [("stomp", 3_590_000)].into_iter().collect(),
        publishes: [("stomp", 10_000)].into_iter().collect(),
        refused: [("stomp", 2), ("stale", 1)].into_iter().collect(),
        ..Counts::default()
    };
    ServerSide {
        cpu_seconds: Some(35.9),
        resident_bytes_before: Some(9_900_000),
        resident_bytes_after: Some(14_000_000),
        resident_bytes_peak: Some(15_600_000),
        counts: Some(counts),
        counts_missing: None,
    }
}

fn printed(run: &RunReport) -> String {
    let mut out = Vec::new();
    print(&mut out, run).unwrap();
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check(run: &RunReport, want: &str) {
    let text = printed(run);
    let want = want.strip_prefix('\n').expect("it begins on a line of its own");
    assert!(text == want, "printed:\n{text}\nwanted:\n{want}");
}

#[test]
fn requests_are_printed_beside_what_was_published() {
    check(
        &run(SEED_SCENARIO, Transport::LongPoll, 1000, long_polls()),
        r"
     seed, long_poll, 1000 users at 127.0.0.1:8080, 1m0s

     ✓ Long Polling Notify Status is 200
     ✗ Long Polling Post Status is 200
      ↳  99% — ✓ 2201 / ✗ 3

     checks................: 99.93% ✓ 4405 ✗ 3
     data_received.........: 3.0 MB 50 kB/s
     data_sent.............: 748 kB 13 kB/s
     http_req_connecting...: avg=390µs  min=80µs  med=90µs   max=1ms     p(90)=1ms     p(95)=1ms
     http_req_duration.....: avg=8.89ms min=441µs med=1.51ms max=24.75ms p(90)=24.75ms p(95)=24.75ms
     http_req_failed.......: 0.04%  ✓ 3    ✗ 6609
     http_reqs.............: 6612   110.2/s
     iteration_duration....: avg=6.73s  min=3s    med=3.2s   max=14s     p(90)=14s     p(95)=14s
     iterations............: 2204   36.733333/s
     vus_max...............: 1000

     beside the study's own 1000 users
                              this run  published  re-measured
     http_reqs                    6612       6612            -
     http_reqs/s                   110         78            -
     http_req_failed             0.04%     11.17%            -
     http_req_duration avg      8.89ms      4.91s            -
     http_req_duration med      1.51ms      5.21s            -
     http_req_duration p(90)   24.75ms     10.96s            -
     http_req_duration p(95)   24.75ms     10.98s            -
     http_req_duration max     24.75ms     11.14s            -
     checks                     99.93%     88.82%            -
     iterations                   2204       2204            -
     data_received              3.0 MB     814 kB            -
     data_sent                  748 kB     748 kB            -
     (the study's server refused deliveries (406) and its timeouts counted as successes)

     delivery.........: p(50)=400µs p(90)=500µs   p(95)=500µs   p(99)=500µs   p(99.9)=500µs   max=500µs
     first byte.......: p(50)=1.5ms p(90)=24.01ms p(95)=24.01ms p(99)=24.01ms p(99.9)=24.01ms max=24.01ms
     the tool's lag...: p(50)=20µs  p(90)=300µs   p(95)=300µs   p(99)=300µs   p(99.9)=300µs   max=300µs

     published........: 2204
     delivered........: 4408
     the tool's CPU...: 6.00s, 10.0 % of a core
     the server.......: not looked at

     another status: 1
       user 4: 503
     update lost: 2
       user 17: \u{1b}[31mnumber 5

     3 failures
",
    );
}

#[test]
fn sockets_are_printed_beside_all_figures_of_the_study() {
    let run = RunReport {
        server: Some(server()),
        interrupted: true,
        remarks: vec!["ten users were never started".to_owned()],
        ..run(SEED_SCENARIO, Transport::Stomp, 10_000, stomp())
    };
    check(
        &run,
        r"
     seed, stomp, 10000 users at 127.0.0.1:8080, 1m30s

     data_received.........: 823 MB  9.1 MB/s
     data_sent.............: 4.0 MB  44 kB/s
     vus_max...............: 10000
     ws_connecting.........: avg=1.1ms min=400µs    med=900µs max=2ms p(90)=2ms p(95)=2ms
     ws_msgs_received......: 3600000 40000/s
     ws_msgs_sent..........: 30000   333.333333/s
     ws_session_duration...: avg=2.33s min=999.93ms med=2s    max=4s  p(90)=4s  p(95)=4s
     ws_sessions...........: 10000   111.111111/s

     beside the study's own 10000 users
                              this run  published  re-measured
     ws_sessions                 10000       9844            -
     ws_msgs_received          3600000    3409118            -
     ws_msgs_received/s          40000      37874        21441
     ws_msgs_sent                30000      24696        24576
     ws_connecting avg           1.1ms      5.54s         5.4s
     ws_connecting med           900µs   354.49ms            -
     ws_connecting p(90)           2ms        30s          30s
     ws_connecting p(95)           2ms        30s            -
     ws_connecting max             2ms     43.78s            -
     data_received              823 MB     823 MB            -
     data_sent                  4.0 MB     3.7 MB            -
     server's CPU                35.9s          -        73.0s
     server's memory at most     16 MB          -       3.6 GB
     (over a tenth of the study's connects ended at k6's timeout: its server holds 8,192 connections)

     delivery.........: p(50)=400µs p(90)=500µs p(95)=500µs p(99)=500µs p(99.9)=500µs max=500µs
     the tool's lag...: p(50)=20µs  p(90)=12ms  p(95)=12ms  p(99)=12ms  p(99.9)=12ms  max=12ms

     published...................: 10000
     delivered...................: 3590000
     the tool's CPU..............: 81.00s, 90.0 % of a core
     the server's CPU............: 35.90s, 39.9 % of a core
     the server's memory.........: 9.9 MB before, 14 MB after, 16 MB at most
     system calls................: 3590000 (read 40000, write 3550000)
     bytes on the wire...........: 4.0 MB received, 820 MB sent
     publishes, deliveries.......: 10000 numbered, 3590000 delivered, 0 conflated
     for each update delivered...: 10µs of CPU, 1.000 system calls, 1.1 B received, 228.4 B sent (100.0 B payload)
     refused.....................: 3 (stale 1, stomp 2)

     warning: ten users were never started
     warning: the tool used 90 % of a core in its busiest second: it was the limit, and times are its own
     warning: the tool was 12ms late (p99) with what it sent: times are partly its own

     interrupted: this is what there was until then
     no failure
",
    );
}

#[test]
fn another_scenario_or_number_of_users_has_nothing_beside() {
    for (scenario, users) in [("steady", 1000), (SEED_SCENARIO, 1001)] {
        let text = printed(&run(scenario, Transport::LongPoll, users, long_polls()));
        assert!(!text.contains("published  re-measured"), "{text}");
    }
    let several = RunReport { transport: None, ..run(SEED_SCENARIO, Transport::Stomp, 10_000, stomp()) };
    let text = printed(&several);
    assert!(text.contains("seed, several transports") && text.contains("ws_sessions"), "{text}");
    assert!(!text.contains("published  re-measured") && !text.contains("http_reqs"), "{text}");
}

#[test]
fn fanout_prints_no_line_of_what_it_does_not_do() {
    let figures = RunFigures {
        seconds: 2.0,
        vus_max: 3,
        data_sent: 2000,
        data_received: 10_000,
        http_reqs: 20,
        http_req_duration: times([300, 400, 500]),
        published: 20,
        delivered: 60,
        delivery: times([300, 400, 500]),
        lag: times([1, 20, 300]),
        ..RunFigures::default()
    };
    check(
        &run("fanout", Transport::WebSocket, 4, figures),
        r"
     fanout, websocket, 4 users at 127.0.0.1:8080, 2s

     data_received.......: 10 kB  5.0 kB/s
     data_sent...........: 2.0 kB 1.0 kB/s
     http_req_duration...: avg=400µs min=300µs med=400µs max=500µs p(90)=500µs p(95)=500µs
     http_req_failed.....: 0.00%  ✓ 0 ✗ 20
     http_reqs...........: 20     10/s
     vus_max.............: 3

     delivery.........: p(50)=400µs p(90)=500µs p(95)=500µs p(99)=500µs p(99.9)=500µs max=500µs
     the tool's lag...: p(50)=20µs  p(90)=300µs p(95)=300µs p(99)=300µs p(99.9)=300µs max=300µs

     published........: 20
     delivered........: 60
     the tool's CPU...: 0.00s, 0.0 % of a core
     the server.......: not looked at

     no failure
",
    );
}

#[test]
fn closed_loop_prints_what_an_operation_costs() {
    let figures = RunFigures {
        seconds: 2.0,
        vus_max: 4,
        http_reqs: 12,
        http_req_failed: 2,
        iterations: 5,
        delivered: 3_590_000,
        ..RunFigures::default()
    };
    let closed = |scenario, server| RunReport {
        in_flight: Some(8),
        server,
        ..run(scenario, Transport::Stomp, 4, figures.clone())
    };
    let told = printed(&closed("fanout", Some(server())));
    let begun = "     fanout, stomp, 4 users at 127.0.0.1:8080, 2s\n     a closed loop of 8 in flight: times count from \
                 the write\n\n";
    assert!(told.starts_with(begun), "{told}");
    let each = "3590000, 1795000.0/s, 10.000µs of the server's CPU for each, 1.000 system calls\n";
    assert!(told.contains(&format!("     deliveries..................: {each}")), "{told}");
    let uncounted = ServerSide { counts: None, ..server() };
    let told = printed(&closed("churn", Some(uncounted)));
    assert!(told.contains(": 5, 2.5/s, 7180000.000µs of the server's CPU for each\n"), "{told}");
    let told = printed(&closed("ask", None));
    assert!(told.contains("     requests.........: 10, 5.0/s\n"), "{told}");
    let nothing = RunReport { figures: RunFigures::default(), ..closed("ask", Some(server())) };
    let told = serde_json::to_value(&nothing).unwrap();
    assert_eq!(told["operations"]["server_cpu_us"], serde_json::Value::Null);
    assert_eq!(told["operations"]["per_second"], 0.0);
}

#[test]
fn idle_connections_are_printed_with_how_long_they_took_to_open() {
    let figures = RunFigures {
        seconds: 2.0,
        vus_max: 3,
        opened: 3,
        opening: times([300, 400, 500]),
        first_byte: times([200, 300, 400]),
        ..RunFigures::default()
    };
    check(
        &run("idle", Transport::Stomp, 3, figures),
        r"
     idle, stomp, 3 users at 127.0.0.1:8080, 2s

     data_received...: 0 B 0 B/s
     data_sent.......: 0 B 0 B/s
     vus_max.........: 3

     opening......: p(50)=400µs p(90)=500µs p(95)=500µs p(99)=500µs p(99.9)=500µs max=500µs
     first byte...: p(50)=300µs p(90)=400µs p(95)=400µs p(99)=400µs p(99.9)=400µs max=400µs

     published........: 0
     delivered........: 0
     the tool's CPU...: 0.00s, 0.0 % of a core
     the server.......: not looked at

     no failure
",
    );
}

#[test]
fn server_without_counts_says_why() {
    let side = ServerSide {
        cpu_seconds: Some(1.5),
        counts_missing: Some("/metrics is answered with 404".to_owned()),
        ..ServerSide::default()
    };
    let run = RunReport { server: Some(side), ..run("steady", Transport::LongPoll, 1000, long_polls()) };
    let text = printed(&run);
    assert!(text.contains("the server's CPU......: 1.50s, 2.5 % of a core\n"), "{text}");
    assert!(text.contains("the server's counts...: none: /metrics is answered with 404\n"), "{text}");
}

#[test]
fn warnings_come_when_the_tool_was_the_limit_and_not_before() {
    let warnings = |cpu: f64, late: u64| {
        let figures =
            RunFigures { wall_seconds: 100.0, tool_cpu_seconds: cpu, lag: times([late; 3]), ..long_polls() };
        run("steady", Transport::LongPoll, 10, figures).warnings()
    };
    assert_eq!(warnings(85.0, 9_000), Vec::<String>::new());
    assert_eq!(warnings(86.0, 9_000).len(), 1);
    assert_eq!(warnings(10.0, 11_000).len(), 1);
    assert_eq!(warnings(99.0, 11_000).len(), 2);
    let figures = RunFigures { late: 7, ..RunFigures::default() };
    let told = run("fanout", Transport::Sse, 10, figures).warnings();
    assert!(matches!(&told[..], [told] if told.starts_with("7 updates of the warm-up came")), "{told:?}");
}

#[test]
fn nothing_run_is_printed_too() {
    let text = printed(&RunReport::default());
    assert!(text.ends_with("\n     no failure\n") && !text.contains("NaN"), "{text}");
    let text = serde_json::to_string(&RunReport::default()).unwrap();
    assert!(text.contains("\"tool_cpu_share\":0.0") && text.contains("\"server\":null"), "{text}");
}

#[test]
fn json_holds_the_figures_in_microseconds() {
    let run = RunReport { server: Some(server()), ..run(SEED_SCENARIO, Transport::Stomp, 10_000, stomp()) };
    let json = serde_json::to_value(&run).unwrap();
    assert_eq!((&json["scenario"], &json["transport"]), (&"seed".into(), &"stomp".into()));
    assert_eq!((&json["users"], &json["interrupted"]), (&10_000.into(), &false.into()));
    assert_eq!(json["figures"]["ws_connecting"]["p50_us"], 900);
    assert_eq!(json["figures"]["ws_msgs_received"], 3_600_000);
    assert_eq!(json["server"]["counts"]["wire_sent"]["stomp"], 820_000_000);
    assert_eq!(json["server"]["resident_bytes_peak"], 15_600_000);
    assert_eq!(json["tool_cpu_share"], 0.9);
    assert_eq!(json["failures"], 0);
    assert_eq!(json["warnings"].as_array().unwrap().len(), 2);
}
