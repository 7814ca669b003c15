//! The study as a program: what becomes of its servers and of what it has measured when something ends early.

use std::fs;
use std::process::Command;

use crate::harness::{Server, run_to_end, wait_until};
use crate::tool::Tool;

/// A process's parent and state, or that it is no more; a zombie is none.
fn parent_and_state(process: u32) -> Option<(u32, char)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name stands in parentheses and may hold both blanks and parentheses.
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut fields = behind_name.split(' ');
    let state = fields.next()?.chars().next()?;
    (state != 'Z').then_some((fields.next()?.parse().ok()?, state))
}

/// The processes that this one started and that are there still.
fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("Linux tells of its processes");
    let processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.filter(|process| parent_and_state(*process).is_some_and(|(of, _)| of == parent)).collect()
}

#[track_caller]
fn signal(process: u32, name: &str) {
    let kill = format!("kill -s {name} {process}");
    let status = Command::new("sh").args(["-c", &kill]).status().expect("`sh` is there");
    assert!(status.success(), "{kill}: {status}");
}

/// Stops the study in its tracks while it has a server, so that none comes or goes before it is let go on, and says which.
#[track_caller]
fn stop_with_server(study: u32) -> u32 {
    let is_stopped = || parent_and_state(study).is_some_and(|(_, state)| state == 'T');
    let mut server = None;
    let has_server = || {
        signal(study, "STOP");
        assert!(wait_until(is_stopped), "nobody goes on who is stopped");
        server = children(study).pop();
        if server.is_none() {
            signal(study, "CONT");
        }
        server.is_some()
    };
    assert!(wait_until(has_server), "the study starts a server for each measurement");
    server.expect("it was waited for")
}

#[track_caller]
fn check_server_goes_with_its_study(name: &str) {
    let tool = Tool::start_study_of_its_own("sse");
    let study = tool.process_id();
    let server = stop_with_server(study);
    signal(study, name);
    signal(study, "CONT");
    let is_gone = || parent_and_state(server).is_none();
    assert!(wait_until(is_gone), "{server} goes on without the study that {name} ended");
}

#[test]
fn server_goes_with_the_study_that_started_it() {
    check_server_goes_with_its_study("KILL");
    check_server_goes_with_its_study("TERM");
}

/// The reasons of the runs that a report tells as failed.
fn failed(report: &serde_json::Value) -> Vec<String> {
    let failed = report["failed"].as_array().expect("a list of runs");
    let reasons = failed.iter().filter_map(|run| run["reason"].as_str());
    reasons.map(str::to_owned).collect()
}

#[test]
fn server_that_ends_fails_its_run_and_no_other() {
    let tool = Tool::start_study_of_its_own("sse");
    let study = tool.process_id();
    let first = stop_with_server(study);
    signal(first, "KILL");
    signal(study, "CONT");
    // A run between the one that fails and the one that is interrupted is measured.
    let mut servers = vec![first];
    let goes_on = || {
        servers.extend(children(study));
        servers.dedup();
        servers.len() > 2
    };
    assert!(wait_until(goes_on), "the next run has a server of its own");
    tool.interrupt();
    let run = tool.finish();
    assert_eq!(run.exit.code, Some(0), "{:?}", run.exit);
    let report = run.json();
    let reasons = failed(&report);
    let [reason] = reasons.as_slice() else { panic!("{reasons:?}") };
    assert!(reason.starts_with("the study's server "), "{reason}");
    assert!(run.exit.stderr.contains(reason), "{:?}", run.exit);
    assert_eq!(report["transports"][0]["transport"], "sse", "{report}");
}

#[test]
fn runs_that_fail_are_told_and_the_others_go_on() {
    let server = Server::start(&[]);
    let run = Tool::start_study_within(70, server.address(), "websocket").finish();
    assert_eq!(run.exit.code, Some(0), "{:?}", run.exit);
    let report = run.json();
    let reasons = failed(&report);
    // In each of three repeats: idle connections, three of four sizes of group, four rates.
    assert_eq!(reasons.len(), 3 * (1 + 3 + 4), "{reasons:#?}");
    assert!(reasons.iter().all(|reason| reason.contains("descriptors")), "{reasons:#?}");
    assert_eq!(run.exit.stderr.lines().count(), reasons.len(), "{:?}", run.exit);
    let told = "geoloop: a run of websocket failed (idle connections): the run takes 1064 descriptors";
    assert!(run.exit.stderr.starts_with(told), "{:?}", run.exit);
    let costs = &report["transports"][0];
    assert!(costs["wire"]["down_payload"].as_f64() > Some(50.0), "{costs}");
    let sizes = costs["subscribers"].as_array().expect("a list of sizes");
    assert_eq!((sizes.len(), &sizes[0]["subscribers"]), (1, &1.into()), "{costs}");
    assert_eq!(sizes[0]["cpu_us_per_publish"]["runs"], 3, "{costs}");
    server.stop();
}

#[test]
fn study_of_which_nothing_could_be_measured_fails() {
    let server = Server::start(&[]);
    let run = Tool::start_study_within(50, server.address(), "websocket").finish();
    assert_eq!((run.exit.code, run.exit.stdout.as_str()), (Some(1), ""), "{:?}", run.exit);
    let last = run.exit.stderr.lines().next_back().expect("it says why");
    let told = "geoloop: nothing could be measured: 28 runs failed; the first: a run of websocket failed (bytes on \
                the wire): the run takes 66 descriptors, and the limit of this process is 50";
    assert_eq!(last, told);
    assert!(!run.has_report());
    server.stop();
}

#[test]
fn report_that_cannot_be_written_is_told_before_anything_is_measured() {
    let folder = std::env::temp_dir().join(format!("geoloop-no-room-{}", std::process::id()));
    fs::create_dir_all(folder.join("report.html")).expect("the temporary folder can be written");
    let out = folder.to_str().expect("a temporary path is UTF-8");
    // Nobody serves there, and it does not come to that.
    let exit = run_to_end(&["study", "--target", "127.0.0.1:1", "--out", out]);
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""), "{exit:?}");
    assert!(exit.stderr.starts_with(&format!("geoloop: cannot write into {out}: ")), "{exit:?}");
    let left: Vec<_> = fs::read_dir(&folder).expect("it is there").flatten().collect();
    assert_eq!(left.len(), 1, "only what was there before: {left:?}");
    drop(fs::remove_dir_all(folder));
}
