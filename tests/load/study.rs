//! The study as a program: what becomes of its servers and of what it has measured when something ends early.

use std::fs;
use std::process::Command;

use crate::harness::wait_until;
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

/// Stops the study in its tracks while it has a server, so that none comes or goes between the look and the signal.
#[track_caller]
fn check_server_goes_with_its_study(name: &str) {
    let tool = Tool::start_study_of_its_own("sse");
    let study = tool.process_id();
    let mut servers = Vec::new();
    let is_stopped = || parent_and_state(study).is_some_and(|(_, state)| state == 'T');
    let has_server = || {
        signal(study, "STOP");
        assert!(wait_until(is_stopped), "nobody goes on who is stopped");
        servers = children(study);
        if servers.is_empty() {
            signal(study, "CONT");
        }
        !servers.is_empty()
    };
    assert!(wait_until(has_server), "the study starts a server for each measurement");
    signal(study, name);
    signal(study, "CONT");
    let is_gone = || servers.iter().all(|server| parent_and_state(*server).is_none());
    assert!(wait_until(is_gone), "{servers:?} go on without the study that {name} ended");
}

#[test]
fn server_goes_with_the_study_that_started_it() {
    check_server_goes_with_its_study("KILL");
    check_server_goes_with_its_study("TERM");
}
