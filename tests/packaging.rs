//! What lies in scripts for those who run the server under systemd, in a container or behind nginx says nothing that the
//! server does not. `scripts/check-packaging` has the programs that read these files look at them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use geoloop::config::{Command, Config};
use geoloop::limits::{LONG_POLL_TIMEOUT_MAX, Limits, PING_EVERY, SSE_COMMENT_EVERY};

const SERVICE: &str = "scripts/systemd/geoloop.service";
const SOCKET: &str = "scripts/systemd/geoloop.socket";
const CONTAINERFILE: &str = "scripts/container/Containerfile";
const COMPOSE: &str = "scripts/container/compose.yml";
const NGINX: &str = "scripts/nginx.conf";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands behind `key`, to the line's end, wherever a line of the file begins with it; at least once.
#[track_caller]
fn values(path: &str, key: &str) -> Vec<String> {
    let text = read(path);
    let values: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix(key)).collect();
    assert!(!values.is_empty(), "{path} has no {key:?}");
    values.into_iter().map(|value| value.trim().trim_end_matches(';').to_owned()).collect()
}

/// The one value of a key.
#[track_caller]
fn value(path: &str, key: &str) -> String {
    let mut values = values(path, key);
    assert_eq!(values.len(), 1, "{path}: {key:?} is said more than once");
    values.remove(0)
}

#[track_caller]
fn duration(path: &str, key: &str) -> Duration {
    let value = value(path, key);
    humantime::parse_duration(&value).unwrap_or_else(|error| panic!("{path}: {key:?} {value:?}: {error}"))
}

#[test]
fn unit_starts_the_server_by_a_command_line_that_it_takes() {
    let command_line = value(SERVICE, "ExecStart=");
    let mut words = command_line.split_ascii_whitespace();
    let program = words.clone().next().expect("a program");
    assert!(program.starts_with('/') && program.ends_with("/geoloop"), "{program}");
    match Command::from_arguments(words.by_ref().map(OsString::from)) {
        Ok(Command::Serve(config)) => assert_eq!(*config, Config::default(), "settings are the user's"),
        other => panic!("{command_line:?} gave {other:?}"),
    }
}

#[test]
fn unit_of_the_socket_listens_where_the_server_does_by_itself() {
    let [address] = Config::default().listen[..] else { panic!("one address by default") };
    assert_eq!(value(SOCKET, "ListenStream="), address.to_string());
    assert_eq!(value(NGINX, "server 127"), format!("{address}").trim_start_matches("127"));
}

#[test]
fn drain_has_ended_before_anybody_loses_patience() {
    let window = Config::default().drain_window;
    for (path, key) in [(SERVICE, "TimeoutStopSec="), (COMPOSE, "stop_grace_period:")] {
        assert!(duration(path, key) >= 2 * window, "{path}: {key} leaves little of {window:?}");
    }
}

#[test]
fn nginx_waits_longer_than_the_server_is_ever_silent() {
    let waits = duration(NGINX, "proxy_read_timeout ");
    for silence in [LONG_POLL_TIMEOUT_MAX, PING_EVERY, SSE_COMMENT_EVERY] {
        assert!(waits > silence + Duration::from_secs(5), "{waits:?} is hardly more than {silence:?}");
    }
    let limits = Limits::default();
    assert_eq!(duration(NGINX, "send_timeout "), limits.peer_timeout);
    let keeps = duration(NGINX, "keepalive_timeout ");
    assert!(
        keeps + Duration::from_secs(5) < limits.idle_timeout,
        "{keeps:?} against {:?}",
        limits.idle_timeout
    );
}

/// The names of our variables in a text, without what they begin with.
fn variables(text: &str) -> impl Iterator<Item = String> {
    let names = text.split("GEOLOOP_").skip(1);
    names.map(|behind| behind.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect())
}

#[test]
fn every_variable_that_is_set_somewhere_sets_something() {
    let flags = geoloop::config::flags().into_iter();
    let known: BTreeSet<_> = flags.map(|(name, _)| name.replace('-', "_").to_uppercase()).collect();
    let mut count = 0;
    for path in [SERVICE, SOCKET, CONTAINERFILE, COMPOSE, NGINX] {
        for name in variables(&read(path)) {
            assert!(known.contains(&name), "{path}: GEOLOOP_{name} sets nothing");
            count += 1;
        }
    }
    assert!(count > 1, "found {count} variables");
}

#[test]
fn container_is_built_from_what_is_there() {
    for sources in values(CONTAINERFILE, "COPY ") {
        let words: Vec<_> = sources.split_ascii_whitespace().collect();
        let (_, sources) = words.split_last().expect("a destination");
        for source in sources.iter().filter(|_| !words[0].starts_with("--from=")) {
            let folder = source.strip_suffix("/*.rs").unwrap_or(source);
            assert!(root().join(folder).exists(), "{CONTAINERFILE} copies {source}");
        }
    }
    let exposed = value(CONTAINERFILE, "EXPOSE ");
    let listens = value(CONTAINERFILE, "ENV GEOLOOP_LISTEN=");
    assert!(listens.ends_with(&format!(":{exposed}")), "{listens} is not what is exposed");
    let file = value(COMPOSE, "dockerfile: ");
    assert_eq!(file, CONTAINERFILE);
    let context = root().join("scripts/container").join(value(COMPOSE, "context: "));
    assert!(context.join("Cargo.toml").exists(), "{}", context.display());
}
