//! The program as a process: where settings come from, and with which code it ends. Variables are set on a child,
//! for a process cannot change its own safely.

use std::process::{Command, Output};

/// Runs `geoloop check-config` with these variables and flags, and no other `GEOLOOP_*` variable.
fn check_config(variables: &[(&str, &str)], flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_geoloop"));
    command.env_clear().envs(variables.iter().copied()).arg("check-config").args(flags);
    command.output().expect("the program was built for this test")
}

#[track_caller]
fn check(variables: &[(&str, &str)], flags: &[&str], line: &str) {
    let output = check_config(variables, flags);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.lines().any(|each| each == line), "{variables:?} {flags:?}: no line {line:?} in\n{text}");
}

#[track_caller]
fn check_refused(variables: &[(&str, &str)], flags: &[&str], message: &str) {
    let output = check_config(variables, flags);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("geoloop: ") && told.contains(message), "{told:?} lacks {message:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_variable_goes_over_the_default_and_a_flag_over_the_variable() {
    check(&[("GEOLOOP_HISTORY", "5")], &[], "history = 5");
    check(&[("GEOLOOP_HISTORY", "5")], &["--history=6"], "history = 6");
    check(&[("GEOLOOP_QUEUE_BYTES", "1KiB")], &[], "queue-bytes = 1024");
    check(&[("GEOLOOP_LISTEN", "127.0.0.1:1,[::1]:2")], &[], r#"listen = ["127.0.0.1:1", "[::1]:2"]"#);
    check(&[("GEOLOOP_LISTEN", "127.0.0.1:1")], &["--listen=[::1]:2"], r#"listen = ["[::1]:2"]"#);
}

#[test]
fn a_variable_goes_over_the_file() {
    let path = std::env::temp_dir().join(format!("geoloop-command-line-{}.toml", std::process::id()));
    std::fs::write(&path, "history = 7\nmember-ttl = \"3s\"\n").expect("the temporary folder takes a file");
    let path_text = path.to_str().expect("a temporary path is UTF-8");
    check(&[("GEOLOOP_CONFIG", path_text), ("GEOLOOP_HISTORY", "5")], &[], "history = 5");
    check(&[("GEOLOOP_CONFIG", path_text), ("GEOLOOP_HISTORY", "5")], &[], r#"member-ttl = "3s""#);
    std::fs::remove_file(&path).expect("the file was written above");
}

#[test]
fn either_simulate_flag_goes_over_the_variable() {
    check(&[("GEOLOOP_SIMULATE", "false")], &[], "simulate = false");
    check(&[("GEOLOOP_SIMULATE", "false")], &["--simulate"], "simulate = true");
    check(&[("GEOLOOP_SIMULATE", "true")], &["--no-simulate"], "simulate = false");
}

#[test]
fn variables_of_others_are_left_alone() {
    check(&[("GEOLOOP_PORT", "tcp://10.0.0.1:8080")], &[], "history = 128");
    check(&[("GEOLOOP_PORT_80_TCP", "x"), ("GEOLOOP_SERVICE_HOST", "10.0.0.1")], &[], "history = 128");
}

#[test]
fn bad_usage_ends_with_code_two_and_says_what_is_wrong() {
    check_refused(&[], &["--history=0"], "history 0 is under the least, 1");
    check_refused(&[], &["--histroy=1"], "--history");
    check_refused(&[("GEOLOOP_HISTORY", "many")], &[], "--history");
    check_refused(&[("GEOLOOP_HISTROY", "1")], &[], "the variable GEOLOOP_HISTROY sets nothing");
    check_refused(&[], &["--config=/no/such/file"], "cannot read /no/such/file");
}

#[test]
fn misspelled_variable_keeps_nobody_from_the_help() {
    for arguments in [&["--help"][..], &["version"], &["load", "--help"], &["man"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_geoloop"));
        let output = command.env("GEOLOOP_HISTROY", "1").args(arguments).output();
        let output = output.expect("the program was built for this test");
        assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_printed_is_a_failure() {
    for arguments in [&["--help"][..], &["version"], &["check-config"], &["man"], &["completions", "bash"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let mut command = Command::new(env!("CARGO_BIN_EXE_geoloop"));
        let output = command.args(arguments).stdout(full).stderr(std::process::Stdio::piped()).spawn();
        let output = output.and_then(std::process::Child::wait_with_output);
        let output = output.expect("the program was built for this test");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.starts_with("geoloop: ") && told.lines().count() == 1, "{arguments:?}: {told:?}");
    }
}
