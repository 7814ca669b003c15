//! Tests of the configuration as a whole: sources, precedence, bounds, messages.

use super::*;
use crate::limits::SlowConsumer;

fn command(arguments: &[&str]) -> Result<Command, ConfigError> {
    let arguments = ["geoloop"].iter().chain(arguments);
    Command::from_arguments(arguments.map(OsString::from))
}

#[track_caller]
fn config(arguments: &[&str]) -> Config {
    match command(arguments) {
        Ok(Command::Serve(config)) => *config,
        other => panic!("{arguments:?} gave {other:?}"),
    }
}

/// Reads `text` as a file with the given flags behind it.
fn with_file(text: &str, flags: &[&str]) -> Result<Command, ConfigError> {
    static FILES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = FILES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("geoloop-config-{}-{number}.toml", std::process::id()));
    std::fs::write(&path, text).expect("the temporary folder takes a file");
    let path_text = path.to_str().expect("a temporary path is UTF-8").to_owned();
    let outcome = command(&[&["--config", path_text.as_str()], flags].concat());
    std::fs::remove_file(&path).expect("the file was written above");
    outcome
}

#[track_caller]
fn check_refused(arguments: &[&str], message: &str) {
    let error = command(arguments).expect_err("refused").to_string();
    assert!(error.contains(message), "{arguments:?} gave {error:?}, not {message:?}");
}

/// The value is taken at the limit and refused past it.
#[track_caller]
fn check_bounds(flag: &str, least: &str, under: &str, most: &str, over: &str) {
    for taken in [least, most] {
        let outcome = command(&["--max-target-bytes=1", flag, taken]);
        assert!(outcome.is_ok(), "{flag} {taken}: {outcome:?}");
    }
    check_refused(&[flag, under], "under the least");
    check_refused(&[flag, over], "over the limit");
}

#[test]
fn nothing_said_gives_the_defaults() {
    assert_eq!(config(&[]), Config::default());
    assert_eq!(config(&["serve"]), Config::default());
}

#[test]
fn a_flag_goes_over_the_file_and_the_file_over_the_default() {
    let file = "history = 7\nqueue-bytes = \"1KiB\"\nsimulate = false\nlisten = [\"[::1]:1\"]\n";
    let Ok(Command::Serve(config)) = with_file(file, &["--history=9", "--slow-consumer=disconnect"]) else {
        panic!("the file and the flags are right")
    };
    assert_eq!(config.limits.history, 9, "flag");
    assert_eq!(config.limits.slow_consumer, SlowConsumer::Disconnect, "flag");
    assert_eq!(config.limits.queue_bytes_max, 1024, "file");
    assert!(!config.simulate, "file");
    assert_eq!(config.listen, ["[::1]:1".parse().unwrap()], "file");
    assert_eq!(config.limits.members_max, Limits::default().members_max, "default");
}

#[test]
fn what_is_printed_reads_back_equal() {
    let arguments = ["--listen=0.0.0.0:1,[::1]:2", "--no-simulate", "--echo", "--max-connections=5"];
    let more = ["--allow-origin=*", "--idle-timeout=90s", "--log=debug", "--queue-bytes=2MiB", "--workers=3"];
    let config = config(&[&arguments[..], &more[..]].concat());
    assert_eq!(with_file(&config.to_toml(), &[]).unwrap(), Command::Serve(Box::new(config.clone())));
    let printed = command(&[&["check-config"], &arguments[..], &more[..]].concat()).unwrap();
    assert_eq!(printed, Command::Print(config.to_toml()));
}

#[test]
fn the_last_of_simulate_and_no_simulate_wins() {
    assert!(!config(&["--simulate", "--no-simulate"]).simulate);
    assert!(config(&["--no-simulate", "--simulate"]).simulate);
    assert!(!config(&["--simulate=false"]).simulate);
}

#[track_caller]
fn check_file_refused(text: &str, line: usize, column: usize, message: &str) {
    match with_file(text, &[]) {
        Err(ConfigError::File { line: l, column: c, detail, .. }) => {
            assert_eq!((l, c), (line, column), "{text:?}: {detail}");
            assert!(detail.contains(message), "{text:?}: {detail:?} lacks {message:?}");
        }
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_line_and_column() {
    check_file_refused(
        "history = 3\n\n  histroy = 4\n",
        3,
        3,
        "unknown field `histroy`, expected one of `listen`",
    );
    check_file_refused("history = 3\ngroup-ttl = 10\n", 2, 13, "expected a duration with its unit");
    check_file_refused("group-ttl = \"10\"\n", 1, 13, "expected a duration with its unit");
    check_file_refused("queue-bytes = -1\n", 1, 15, "expected a number of bytes");
    check_file_refused("history = \"3\"\n", 1, 11, "invalid type");
    check_file_refused("history = 3\nhistory = 4\n", 2, 1, "duplicate key");
    check_file_refused("# \u{e9}\n[limits]\n", 2, 2, "unknown field `limits`");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let error = command(&["--config", "/no/such/file"]).expect_err("there is no such file");
    assert!(matches!(&error, ConfigError::Unreadable { path, .. } if path.ends_with("such/file")));
}

#[test]
fn a_wrong_command_line_is_refused_with_what_is_expected() {
    check_refused(&["--group-ttl", "10"], "expected a duration with its unit");
    check_refused(&["--queue-bytes", "64k"], "expected a number of bytes");
    check_refused(&["--listen", "localhost:80"], "expected an address and a port");
    check_refused(&["--log", "loud"], "expected one of off");
    check_refused(&["--slow-consumer", "ignore"], "expected one of conflate");
    check_refused(&["--histroy", "1"], "--history");
    check_refused(&["--history", "1", "serve"], "cannot be used with");
    check_refused(&["sreve"], "serve");
}

#[test]
fn numbers_are_taken_at_their_bounds_and_refused_past_them() {
    check_bounds("--workers", "1", "0", "128", "129");
    check_bounds("--max-head-bytes", "1", "0", "16KiB", "16385");
    check_bounds("--max-body-bytes", "1", "0", "64MiB", "67108865");
    check_bounds("--max-frame-bytes", "1", "0", "64MiB", "67108865");
    check_bounds("--queue-bytes", "1", "0", "1024MiB", "1073741825");
    for flag in ["--max-frame-headers", "--max-subscriptions", "--max-groups", "--max-members", "--history"] {
        check_bounds(flag, "1", "0", "4294967295", "4294967296");
    }
    check_bounds("--prefetch-count", "1", "0", "4294967295", "4294967296");
    check_bounds("--max-connections", "1", "0", "4294967295", "18446744073709551615");
}

#[test]
fn waits_are_taken_at_their_bounds_and_refused_past_them() {
    for flag in ["--head-timeout", "--body-timeout", "--idle-timeout", "--connect-timeout"] {
        check_bounds(flag, "1ms", "0s", "24days", "25days");
    }
    check_bounds("--member-ttl", "1ms", "999us", "24days", "25days");
    check_bounds("--group-ttl", "1ms", "999us", "24days", "25days");
    check_bounds("--peer-timeout", "1s", "999ms", "24days", "25days");
    assert_eq!(config(&["--drain-window=0s"]).drain_window, Duration::ZERO);
    check_refused(&["--drain-window=25days"], "drain-window 25days is over the limit, 24days");
}

#[test]
fn a_target_is_at_most_as_long_as_its_head() {
    assert_eq!(config(&["--max-head-bytes=4096"]).limits.head_bytes_max, 4096);
    check_refused(&["--max-head-bytes=4095"], "max-target-bytes 4096 is over max-head-bytes 4095");
    check_refused(&["--max-target-bytes=0"], "max-target-bytes 0 is under the least, 1");
}

#[test]
fn an_empty_list_of_addresses_is_refused() {
    let error = with_file("listen = []", &[]).expect_err("nowhere to listen");
    assert!(matches!(error, ConfigError::NoListen));
}

#[test]
fn origins_are_those_that_browsers_send() {
    for good in [
        "*",
        "null",
        "http://localhost:3000",
        "https://maps.example.org",
        "http://[::1]:8080",
        "http://[::1]",
        "https://example.org:80",
        "capacitor://localhost",
        "chrome-extension://abcdef",
    ] {
        assert!(is_origin(good), "{good}");
    }
    for bad in [
        "",
        "example.org",
        "https://",
        "://a",
        "https://example.org/",
        "https://example.org/path",
        "https://Example.org",
        "HTTPS://example.org",
        "https://example.org:443",
        "http://example.org:80",
        "http://example.org:",
        "http://example.org:0080",
        "http://example.org:99999",
        "http://a b",
        "http://user@example.org",
        "http://[::1",
        "http://[x]",
        "https://*.example.org",
    ] {
        assert!(!is_origin(bad), "{bad}");
    }
    check_refused(&["--allow-origin", "https://a/"], "allow-origin \"https://a/\" is no origin");
}

#[test]
fn every_flag_has_a_default_but_those_that_depend() {
    let without: Vec<_> =
        flags().into_iter().filter(|(_, default)| default.is_none()).map(|(name, _)| name).collect();
    assert_eq!(without, ["config", "max-connections"]);
}

#[test]
fn version_and_help_are_printed() {
    assert_eq!(
        command(&["version"]).unwrap(),
        Command::Print(format!("geoloop {}\n", env!("CARGO_PKG_VERSION")))
    );
    let Ok(Command::Print(help)) = command(&["--help"]) else { panic!("help is no error") };
    assert!(help.contains("[default: 127.0.0.1:8080]"), "{help}");
}

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    match command(arguments) {
        Ok(Command::Print(text)) => text,
        other => panic!("{arguments:?} gave {other:?}"),
    }
}

/// A manual page as it is read: hyphens are written `\-` in roff.
#[track_caller]
fn manual_page(arguments: &[&str]) -> String {
    printed(&[&["man"], arguments].concat()).replace("\\-", "-")
}

#[track_caller]
fn check_tells_flags(page: &str, flags: Vec<(String, Option<String>)>) {
    assert!(!flags.is_empty());
    for (name, _) in flags {
        assert!(page.contains(&format!("\\fB--{name}\\fR")), "--{name} is not in\n{page}");
    }
}

#[test]
fn manual_page_tells_every_flag_of_its_verb() {
    check_tells_flags(&manual_page(&[]), flags());
    check_tells_flags(&manual_page(&["serve"]), flags());
    check_tells_flags(&manual_page(&["check-config"]), flags());
    check_tells_flags(&manual_page(&["load"]), load_flags());
    check_tells_flags(&manual_page(&["study"]), study_flags());
}

#[test]
fn manual_page_is_named_after_its_verb_and_lists_those_that_are_not_hidden() {
    let page = manual_page(&[]);
    assert!(page.contains("\n.TH geoloop 1 "), "{page}");
    for verb in ["serve", "load", "study", "check-config", "man", "completions", "version"] {
        assert!(page.contains(&format!("geoloop-{verb}(1)")), "{verb} is not in\n{page}");
        let page = manual_page(&[verb]);
        assert!(page.contains(&format!("\n.TH geoloop-{verb} 1 ")), "{page}");
        assert!(page.contains(env!("CARGO_PKG_VERSION")), "{page}");
    }
    assert!(!page.contains("study-server"), "{page}");
    check_refused(&["man", "study-server"], "is none of the verbs serve, load, study");
    check_refused(&["man", "sreve"], "is none of the verbs");
}

#[test]
fn manual_page_says_nothing_of_the_machine_that_it_was_printed_on() {
    let page = manual_page(&[]);
    assert!(page.contains("[default: number of CPUs]"), "{page}");
    assert!(page.contains("[default: 127.0.0.1:8080]"), "{page}");
}

#[test]
fn every_shell_completes_verbs_and_flags_but_none_that_is_hidden() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = printed(&["completions", shell]);
        let verbs = ["serve", "load", "study", "check-config", "man", "completions", "version"];
        for verb in verbs.into_iter().chain(["no-simulate", "in-flight"]) {
            assert!(text.contains(verb), "{shell}: {verb} is not in\n{text}");
        }
        for (name, _) in flags() {
            assert!(text.contains(&name), "{shell}: {name} is not in\n{text}");
        }
        assert!(!text.contains("study-server") && !text.contains("study__server"), "{shell}:\n{text}");
    }
    check_refused(&["completions", "cmd"], "possible values: bash");
}
