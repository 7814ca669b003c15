//! Flags, environment and file to one checked [`Config`]; the only folder that knows how settings are written.
//!
//! Flags go over environment, environment over the file of `--config`, the file over the defaults. Every setting
//! has one name in all of them (`options.rs`) and one spelling (`text.rs`); bounds are checked here, once, on the
//! outcome. An unknown flag, key or `GEOLOOP_*` variable is an error.

mod load;
mod manual;
mod options;
mod text;

use std::cell::LazyCell;
use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory, Parser};
use log::LevelFilter;

use crate::limits::{ECHO_MESSAGE_BYTES_MAX, HTTP_HEAD_BYTES_CEILING, Limits, WORKERS_MAX};
use crate::load::plan::LoadPlan;
use crate::study::StudyPlan;

use self::load::{LoadOptions, StudyOptions};
use self::options::Options;

/// Largest count that a flag can set: slots, and with them everything that is counted, are 32-bit.
const COUNT_CEILING: usize = u32::MAX as usize;

/// Largest message that a flag can allow: what the echo endpoint takes, the largest that was ever tried.
const MESSAGE_BYTES_CEILING: usize = ECHO_MESSAGE_BYTES_MAX;

/// Largest queue that a flag can allow one connection: more than that is not a queue but a leak.
const QUEUE_BYTES_CEILING: usize = 1024 * 1024 * 1024;

/// Most that a flag can let the server hold: a tebibyte, more than such machines have.
const HELD_BYTES_CEILING: usize = 1024 * 1024 * 1024 * 1024;

/// Longest wait that a flag can set: TCP_USER_TIMEOUT holds 2^31 - 1 ms, 24.8 days.
const WAIT_CEILING: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// Shortest wait: ticks are milliseconds.
const WAIT_FLOOR: Duration = Duration::from_millis(1);

/// Shortest `--peer-timeout`: TCP keep-alive counts whole seconds.
const PEER_TIMEOUT_FLOOR: Duration = Duration::from_secs(1);

/// How the server is to run; checked, so that nobody has to check again.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to listen, at least one address; default 127.0.0.1:8080. Port 0 takes a free port.
    pub listen: Vec<SocketAddr>,
    /// Reactors, 1 to [`WORKERS_MAX`]; default the number of CPUs.
    pub workers: usize,
    /// Whether a location is made up where a client gives none; default true.
    pub simulate: bool,
    /// Whether the WebSocket echo endpoint is served; default false.
    pub echo: bool,
    /// Origins whose pages may use the server, as a browser writes them, or `*`; default none.
    pub allow_origin: Vec<String>,
    /// How long an orderly stop may take; default 5 s; zero stops at once.
    pub drain_window: Duration,
    /// Up to which level events are logged; default info.
    pub log: LevelFilter,
    /// Connections of the whole process; default, and at most, what the descriptors allow.
    pub max_connections: Option<u64>,
    /// The bounds that shards and sessions keep; defaults as [`Limits::default`] says.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))],
            workers: cpus.min(WORKERS_MAX),
            simulate: true,
            echo: false,
            allow_origin: Vec::new(),
            drain_window: Duration::from_secs(5),
            log: LevelFilter::Info,
            max_connections: None,
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// The settings as a file that `--config` reads back equal.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut options = Options::default();
        options.settle(&mut self.clone());
        toml::to_string(&options).expect("a flat table of numbers, strings and lists of strings is TOML")
    }

    /// The defaults, overlaid by the text of a file, which complaints call `path`, and then checked.
    ///
    /// # Errors
    /// [`ConfigError`], the first that is wrong.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::from_sources([parse_file(text, path)?])
    }

    /// The defaults, overlaid by each source in turn, and then checked.
    fn from_sources(sources: impl IntoIterator<Item = Options>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for mut options in sources {
            options.settle(&mut config);
        }
        config.check()?;
        Ok(config)
    }

    /// Holds every setting against its bounds, and those that belong together against each other.
    fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        if self.listen.is_empty() {
            return Err(ConfigError::NoListen);
        }
        if let Some(origin) = self.allow_origin.iter().find(|origin| !is_origin(origin)) {
            return Err(ConfigError::Origin { origin: origin.clone() });
        }
        if let Some(connections) = self.max_connections {
            check_number(
                "max-connections",
                usize::try_from(connections).unwrap_or(usize::MAX),
                COUNT_CEILING,
            )?;
        }
        check_number("workers", self.workers, WORKERS_MAX)?;
        check_number("max-head-bytes", limits.head_bytes_max, HTTP_HEAD_BYTES_CEILING)?;
        if limits.target_bytes_max > limits.head_bytes_max {
            let (target, head) = (limits.target_bytes_max, limits.head_bytes_max);
            return Err(ConfigError::TargetPastHead { target, head });
        }
        check_number("max-target-bytes", limits.target_bytes_max, HTTP_HEAD_BYTES_CEILING)?;
        check_number("max-body-bytes", limits.body_bytes_max, MESSAGE_BYTES_CEILING)?;
        check_number("max-frame-bytes", limits.frame_bytes_max, MESSAGE_BYTES_CEILING)?;
        check_number("queue-bytes", limits.queue_bytes_max, QUEUE_BYTES_CEILING)?;
        check_number("max-held-bytes", limits.held_bytes_max, HELD_BYTES_CEILING)?;
        for (name, count) in [
            ("max-frame-headers", limits.frame_headers_max),
            ("max-subscriptions", limits.subscriptions_max),
            ("max-groups", limits.groups_max),
            ("max-members", limits.members_max),
            ("history", limits.history),
            ("prefetch-count", limits.prefetch_count),
        ] {
            check_number(name, count, COUNT_CEILING)?;
        }
        for (name, wait, min) in [
            ("drain-window", self.drain_window, Duration::ZERO),
            ("head-timeout", limits.head_timeout, WAIT_FLOOR),
            ("body-timeout", limits.body_timeout, WAIT_FLOOR),
            ("idle-timeout", limits.idle_timeout, WAIT_FLOOR),
            ("connect-timeout", limits.connect_timeout, WAIT_FLOOR),
            ("peer-timeout", limits.peer_timeout, PEER_TIMEOUT_FLOOR),
            ("member-ttl", limits.member_ttl, WAIT_FLOOR),
            ("group-ttl", limits.group_ttl, WAIT_FLOOR),
        ] {
            check_wait(name, wait, min)?;
        }
        Ok(())
    }
}

fn check_number(name: &'static str, value: usize, max: usize) -> Result<(), ConfigError> {
    match value {
        0 => Err(ConfigError::Below { name, value, min: 1 }),
        value if value > max => Err(ConfigError::Above { name, value, max }),
        _ => Ok(()),
    }
}

fn check_wait(name: &'static str, wait: Duration, min: Duration) -> Result<(), ConfigError> {
    if wait < min {
        return Err(ConfigError::TooShort { name, wait, min });
    }
    if wait > WAIT_CEILING {
        return Err(ConfigError::TooLong { name, wait, max: WAIT_CEILING });
    }
    Ok(())
}

/// Whether a browser could send this as its Origin (RFC 6454, section 6.2), or it is `*` for any.
///
/// A browser sends scheme and host in lower case, without a path and without the scheme's own port, and the server
/// compares byte by byte: an origin written otherwise would be listed and never match.
fn is_origin(origin: &str) -> bool {
    if origin == "*" || origin == "null" {
        return true;
    }
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let default_port = match scheme {
        "http" => "80",
        "https" => "443",
        _ => "",
    };
    let port_ok = port.is_none_or(|port| {
        port.parse::<u16>().is_ok_and(|number| number.to_string() == port) && port != default_port
    });
    let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
        }
    };
    scheme_ok && host_ok && port_ok
}

/// Why there is no configuration to run with; all of them are bad usage, exit code 2.
#[derive(Debug)]
pub enum ConfigError {
    /// The command line or a variable does not parse; the text is whole, with usage.
    Usage(String),
    /// The file of `--config` cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file of `--config` is not TOML, or has an unknown key or a value that is none.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the mistake, from 1.
        line: usize,
        /// The character in that line, from 1.
        column: usize,
        /// What is wrong there.
        detail: String,
    },
    /// The list of addresses is empty.
    NoListen,
    /// An allowed origin that no browser would send.
    Origin {
        /// As it was written.
        origin: String,
    },
    /// A number under its least value.
    Below {
        /// The setting.
        name: &'static str,
        /// What was asked for.
        value: usize,
        /// The least there can be.
        min: usize,
    },
    /// A number over its greatest value.
    Above {
        /// The setting.
        name: &'static str,
        /// What was asked for.
        value: usize,
        /// The most there can be.
        max: usize,
    },
    /// A target may be longer than the head that it is part of.
    TargetPastHead {
        /// `--max-target-bytes`.
        target: usize,
        /// `--max-head-bytes`.
        head: usize,
    },
    /// A wait under its least value.
    TooShort {
        /// The setting.
        name: &'static str,
        /// What was asked for.
        wait: Duration,
        /// The least there can be.
        min: Duration,
    },
    /// A wait over its greatest value.
    TooLong {
        /// The setting.
        name: &'static str,
        /// What was asked for.
        wait: Duration,
        /// The most there can be.
        max: Duration,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spelled = |wait: &Duration| humantime::format_duration(*wait);
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::Unreadable { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::File { path, line, column, detail } => {
                write!(f, "{}:{line}:{column}: {detail}", path.display())
            }
            Self::NoListen => f.write_str("listen names no address; give at least 1"),
            Self::Origin { origin } => write!(
                f,
                "allow-origin {origin:?} is no origin as browsers send it: scheme://host or scheme://host:port in \
                 lower case, without a path and without the scheme's own port; or null; or *"
            ),
            Self::Below { name, value, min } => write!(f, "{name} {value} is under the least, {min}"),
            Self::Above { name, value, max } => write!(f, "{name} {value} is over the limit, {max}"),
            Self::TargetPastHead { target, head } => {
                write!(
                    f,
                    "max-target-bytes {target} is over max-head-bytes {head}, which a target is part of"
                )
            }
            Self::TooShort { name, wait, min } => {
                write!(f, "{name} {} is under the least, {}", spelled(wait), spelled(min))
            }
            Self::TooLong { name, wait, max } => {
                write!(f, "{name} {} is over the limit, {}", spelled(wait), spelled(max))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Run the server.
    Serve(Box<Config>),
    /// Put a load on a server.
    Load(Box<LoadPlan>),
    /// Measure what each transport costs.
    Study(StudyPlan),
    /// Become the server of the study that is this process, and end with it.
    StudyServer(u32),
    /// Print this and be done: the version, the help, or the configuration as it would be in effect.
    Print(String),
}

impl Command {
    /// Reads the arguments (the program's name first), the environment, and the file that they name.
    ///
    /// # Errors
    /// [`ConfigError`], when any of them is wrong.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ConfigError> {
        // clap can let one flag override its opposite, but calls it a conflict when a variable sets either.
        let arguments = arguments
            .into_iter()
            .map(|argument| if argument == "--no-simulate" { "--simulate=false".into() } else { argument });
        let arguments: Vec<_> = arguments.collect();
        let parsed = match Arguments::try_parse_from(&arguments) {
            Ok(parsed) => parsed,
            // Defaults are looked up for the help alone: a server starts without.
            Err(error) if !error.use_stderr() => {
                let error = described().try_get_matches_from(arguments).err().unwrap_or(error);
                return Ok(Self::Print(format!("{}\n", error.to_string().trim_end())));
            }
            Err(error) => {
                let text = error.to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
                return Err(ConfigError::Usage(text.to_owned()));
            }
        };
        match parsed.verb.unwrap_or(Verb::Serve(parsed.sources)) {
            Verb::Serve(sources) => {
                check_environment()?;
                sources.read().map(Box::new).map(Self::Serve)
            }
            Verb::Load(options) => options.plan().map(Box::new).map(Self::Load),
            Verb::Study(options) => Ok(Self::Study(options.plan())),
            Verb::StudyServer { study } => Ok(Self::StudyServer(study)),
            Verb::CheckConfig(sources) => {
                check_environment()?;
                sources.read().map(|config| Self::Print(config.to_toml()))
            }
            Verb::Man { verb } => manual::page(described_anywhere(), verb.as_deref()).map(Self::Print),
            Verb::Completions { shell } => Ok(Self::Print(manual::completions(described_anywhere(), shell))),
            Verb::Version => Ok(Self::Print(concat!("geoloop ", env!("CARGO_PKG_VERSION"), "\n").to_owned())),
        }
    }
}

/// Refuses variables that begin as ours do and are none, for they are misspelled ones; but a `GEOLOOP_PORT` and a
/// `GEOLOOP_SERVICE_HOST` are what Kubernetes gives to whatever runs beside a service named geoloop.
fn check_environment() -> Result<(), ConfigError> {
    let command = LazyCell::new(Arguments::command);
    let is_known = |variable: &str| {
        let mut flags = command.get_arguments().filter_map(|argument| argument.get_long());
        flags.any(|flag| flag.replace('-', "_").to_uppercase() == variable)
    };
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix("GEOLOOP_")) else { continue };
        let is_given = name == "PORT" || name.starts_with("PORT_") || name.starts_with("SERVICE_");
        if !is_given && !is_known(name) {
            return Err(ConfigError::Usage(format!("the variable GEOLOOP_{name} sets nothing")));
        }
    }
    Ok(())
}

/// Every flag of `serve` by name, without the dashes, with its default as the file would write it.
///
/// A test holds README's table against it.
#[must_use]
pub fn flags() -> Vec<(String, Option<String>)> {
    let defaults = default_table();
    let default_of = |name: &str| defaults.get(name).map(written);
    let command = described();
    let names = command.get_arguments().filter_map(|argument| argument.get_long());
    names
        .filter(|name| *name != "help" && *name != "version")
        .map(|name| (name.to_owned(), default_of(name)))
        .collect()
}

/// Every flag of `load` by name, without the dashes, with its default as its help writes it.
///
/// A test holds README's table against it.
#[must_use]
pub fn load_flags() -> Vec<(String, Option<String>)> {
    flags_of("load")
}

/// The same of `study`.
#[must_use]
pub fn study_flags() -> Vec<(String, Option<String>)> {
    flags_of("study")
}

fn flags_of(verb: &str) -> Vec<(String, Option<String>)> {
    let command = described();
    let verb = command.find_subcommand(verb).expect("it is one of the verbs");
    let flag = |argument: &clap::Arg| {
        let name = argument.get_long().filter(|name| *name != "help")?;
        let given = argument.get_default_values().first().filter(|_| argument.get_action().takes_values());
        let given = given.map(|default| default.to_string_lossy().into_owned());
        // Where it depends on something else, the help says on what.
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let said = help.split_once("[default: ").and_then(|(_, said)| said.strip_suffix(']'));
        Some((name.to_owned(), given.or_else(|| said.map(str::to_owned))))
    };
    verb.get_arguments().filter_map(flag).collect()
}

/// Real-time location sharing in groups, over five transports and one hub
#[derive(Debug, clap::Parser)]
#[command(name = "geoloop", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    sources: Sources,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Run the server; the same as no verb
    Serve(Sources),
    /// Put a load on any server that keeps the contract, check all it answers, and print what that took
    Load(LoadOptions),
    /// Start a server, measure what each transport costs on it, and write a report
    Study(StudyOptions),
    /// What a study starts its servers with; nobody else has a use for it
    #[command(hide = true)]
    StudyServer {
        /// The process of the study
        #[arg(value_name = "PID")]
        study: u32,
    },
    /// Print the configuration in effect as a file for --config, or say what is wrong with it
    CheckConfig(Sources),
    /// Print the manual page of the program, or of one of its verbs
    Man {
        /// The verb
        #[arg(value_name = "VERB")]
        verb: Option<String>,
    },
    /// Print what has a shell complete the command line
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: manual::Shell,
    },
    /// Print the version
    Version,
}

/// Where settings come from besides the defaults.
#[derive(Debug, clap::Args)]
struct Sources {
    /// TOML file of settings; each key is the name of a flag
    #[arg(long, env = "GEOLOOP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

impl Sources {
    fn read(self) -> Result<Config, ConfigError> {
        let file = self.config.as_deref().map(read_file).transpose()?;
        Config::from_sources(file.into_iter().chain([self.options]))
    }
}

fn read_file(path: &Path) -> Result<Options, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
    parse_file(&text, path)
}

fn parse_file(text: &str, path: &Path) -> Result<Options, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ConfigError::File {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            detail: error.message().replace('\n', " "),
        }
    })
}

/// The command line with each flag's default in its help, so that a default stands in one place only.
fn described() -> clap::Command {
    described_by(default_table())
}

/// The same for whoever reads it on another machine than this one.
fn described_anywhere() -> clap::Command {
    let mut defaults = default_table();
    defaults.insert("workers".to_owned(), toml::Value::String("number of CPUs".to_owned()));
    described_by(defaults)
}

fn described_by(defaults: toml::Table) -> clap::Command {
    let describe = move |argument: clap::Arg| {
        let default = argument.get_long().and_then(|name| defaults.get(name)).map(written);
        let (Some(default), Some(help)) = (default, argument.get_help()) else { return argument };
        let help = format!("{help} [default: {default}]");
        argument.help(help)
    };
    Arguments::command().mut_args(describe.clone()).mut_subcommands(|verb| verb.mut_args(describe.clone()))
}

fn default_table() -> toml::Table {
    Config::default().to_toml().parse().expect("the configuration was written as TOML a line above")
}

/// A value as a flag takes it: the items of a list behind each other, nothing quoted.
fn written(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) if items.is_empty() => "none".to_owned(),
        toml::Value::Array(items) => items.iter().map(written).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
