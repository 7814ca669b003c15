//! The flags of `geoloop load` and `geoloop study`, to one checked [`LoadPlan`] or [`StudyPlan`].
//!
//! Flags alone: a load is not something that a machine is set up for. A flag that the scenario has no use for is an error,
//! for whoever gave it meant something else.

use std::path::PathBuf;
use std::time::Duration;

use crate::ids::Transport;
use crate::load::plan::{
    DURATION_MAX, GRACE, IN_FLIGHT_MAX, Kind, LoadPlan, Pace, REQUESTS_MAX, STAGES_MAX, Stage, Stages,
    USERS_MAX, VISITS_MAX, WAIT,
};
use crate::study::StudyPlan;

use super::ConfigError;
use super::text::{Spelled, Text};

/// Most publishes or connects a second that can be asked for: one a microsecond is more than a thread can send.
const RATE_MAX: f64 = 1e6;

/// Fewest of them: the next one is never more than some minutes away.
const RATE_MIN: f64 = 0.01;

/// The shortest time that can be measured: in less nothing comes to pass.
const DURATION_MIN: Duration = Duration::from_millis(1);

/// The shortest time between two polls of a user: below it a poll is due before the last one can be answered.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// From one short poll of a user to its next, if nothing else is said.
const INTERVAL: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct LoadOptions {
    /// What users do: seed (the published minute), ramp (come, one round, go), fanout (publishes at a fixed rate to
    /// subscribers), idle (connections that do nothing; a short poller whose connection the server ends connects and polls
    /// again), churn (connections that come and go), ask (short polls one behind the other, as quickly as they are answered)
    #[arg(long, value_name = "NAME", default_value = "seed")]
    scenario: String,

    /// short_poll, long_poll, sse, websocket or stomp [default: all that the scenario has, one after the other]
    #[arg(long, value_name = "NAME", value_parser = transport)]
    transport: Option<Transport>,

    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = target)]
    target: String,

    /// Users, at most 19000 [default: 1000; ramp: 50]
    #[arg(long, value_name = "N")]
    users: Option<usize>,

    /// seed: who is there when, as DURATION:USERS,...; at the end all go [default: 20s:300,30s:USERS,10s:0, from one user on]
    #[arg(long, value_name = "STAGES")]
    stages: Option<String>,

    /// seed: how long a user who is to go may finish its round [default: 30s]
    #[arg(long, value_name = "DURATION")]
    grace: Option<Text<Duration>>,

    /// seed: how long a user waits behind each round [default: 3s]
    #[arg(long, value_name = "DURATION")]
    wait: Option<Text<Duration>>,

    /// ramp: in what time all users come [default: 3s]
    #[arg(long, value_name = "DURATION")]
    within: Option<Text<Duration>>,

    /// fanout, idle, churn, ask: groups that users are spread over [default: 10]
    #[arg(long, value_name = "N")]
    groups: Option<usize>,

    /// fanout: publishes a second to all groups together; idle, churn: connects a second [default: 10; idle: 1000, churn: 100]
    #[arg(long, value_name = "N")]
    rate: Option<f64>,

    /// In place of a rate, so many at a time, each followed at once by the next (a closed loop). fanout: publishes until all have
    /// heard of them, churn: connections, ask: requests of one write of each user, at most 1000000 of all together
    /// [default: none; ask: 1]
    #[arg(long, value_name = "N")]
    in_flight: Option<usize>,

    /// ask: each write of a user is about the group behind that of the write before
    #[arg(long)]
    roam: bool,

    /// fanout, idle, churn, ask: how long is measured, at least 1ms [default: 10s]
    #[arg(long, value_name = "DURATION")]
    duration: Option<Text<Duration>>,

    /// fanout, ask: how long it goes on before that [default: 2s]
    #[arg(long, value_name = "DURATION")]
    warm_up: Option<Text<Duration>>,

    /// fanout: from one short poll of a user to its next [default: 3s]
    #[arg(long, value_name = "DURATION")]
    interval: Option<Text<Duration>>,

    /// churn: how long a connection stays [default: 1s; with --in-flight 0s]
    #[arg(long, value_name = "DURATION")]
    stay: Option<Text<Duration>>,

    /// The server's process, whose CPU and memory are told [default: found by its port, on this machine]
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,

    /// Write the report as JSON as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// What chance begins with: groups, keys and masks [default: the time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(super) struct StudyOptions {
    /// Under 3 minutes in place of under 20: fewer points, shorter and fewer runs
    #[arg(long)]
    quick: bool,

    /// Where to write report.html and report.json
    #[arg(long, value_name = "DIR", default_value = "study")]
    out: PathBuf,

    /// Study this one transport [default: all five]
    #[arg(long, value_name = "NAME", value_parser = transport)]
    transport: Option<Transport>,

    /// Study a server that runs already [default: the study starts its own]
    #[arg(long, value_name = "URL", value_parser = target)]
    target: Option<String>,
}

impl StudyOptions {
    pub(super) fn plan(self) -> StudyPlan {
        StudyPlan { quick: self.quick, out: self.out, transport: self.transport, target: self.target }
    }
}

impl LoadOptions {
    /// The plan, with each scenario's own defaults.
    pub(super) fn plan(mut self) -> Result<LoadPlan, ConfigError> {
        let kind = self.take_kind()?;
        let is_closed = self.in_flight.is_some() && kind.in_flight().is_some();
        let with = if is_closed { " with --in-flight" } else { "" };
        let scenario = format!("the scenario {}{with}", self.scenario);
        if let Some(flag) = self.left_over(&kind) {
            return Err(usage(format!("--{flag} means nothing to {scenario}")));
        }
        if let Some(transport) = self.transport.filter(|transport| !kind.takes(*transport)) {
            return Err(usage(format!("{scenario} is not played with {}", transport.label())));
        }
        let connections = kind.connections_max();
        if connections > USERS_MAX {
            return Err(usage(format!("{connections} connections at once are over the limit, {USERS_MAX}")));
        }
        let visits = kind.visits();
        if visits > VISITS_MAX {
            return Err(usage(format!("{visits} connections in all are over the limit, {VISITS_MAX}")));
        }
        if let Kind::Ask { users, in_flight, .. } = &kind
            && users * in_flight > REQUESTS_MAX
        {
            let requests = users * in_flight;
            let whose = format!("users {users} times in-flight {in_flight}");
            return Err(usage(format!(
                "{requests} requests at once ({whose}) are over the limit, {REQUESTS_MAX}"
            )));
        }
        if let Kind::Fanout { pace: Pace::PerSecond(rate), duration, .. } = &kind
            && rate * duration.as_secs_f64() < 1.0
        {
            return Err(usage(format!("at rate {rate} nothing is published in a duration of {duration:?}")));
        }
        if self.pid == Some(0) {
            return Err(ConfigError::Below { name: "pid", value: 0, min: 1 });
        }
        let Self { target, transport, pid, json, seed, .. } = self;
        Ok(LoadPlan { target, transport, kind, pid, json, seed })
    }

    fn take_kind(&mut self) -> Result<Kind, ConfigError> {
        if self.rate.is_some() && self.in_flight.is_some() {
            let why = "a rate waits for nobody, and what is in flight is waited for";
            return Err(usage(format!("--rate and --in-flight exclude each other: {why}")));
        }
        Ok(match self.scenario.as_str() {
            "seed" => Kind::Seed {
                stages: self.take_stages()?,
                grace: taken("grace", &mut self.grace, GRACE)?,
                wait: taken("wait", &mut self.wait, WAIT)?,
            },
            "ramp" => Kind::Ramp {
                users: self.take_users(50)?,
                within: taken("within", &mut self.within, Duration::from_secs(3))?,
            },
            "fanout" => Kind::Fanout {
                users: self.take_users(1000)?,
                groups: self.take_groups()?,
                pace: self.take_pace(10.0)?,
                warm_up: self.take_warm_up()?,
                duration: self.take_duration()?,
                interval: self.take_interval()?,
            },
            "idle" => Kind::Idle {
                users: self.take_users(1000)?,
                groups: self.take_groups()?,
                connects_per_second: self.take_rate(1000.0)?,
                duration: self.take_duration()?,
            },
            "churn" => {
                let stay = if self.in_flight.is_some() { Duration::ZERO } else { Duration::from_secs(1) };
                Kind::Churn {
                    groups: self.take_groups()?,
                    pace: self.take_pace(100.0)?,
                    duration: self.take_duration()?,
                    stay: taken("stay", &mut self.stay, stay)?,
                }
            }
            "ask" => Kind::Ask {
                users: self.take_users(1000)?,
                groups: self.take_groups()?,
                in_flight: self.in_flight()?.unwrap_or(1),
                roam: std::mem::take(&mut self.roam),
                warm_up: self.take_warm_up()?,
                duration: self.take_duration()?,
            },
            other => {
                return Err(usage(format!(
                    "scenario {other:?} is none of seed, ramp, fanout, idle, churn and ask"
                )));
            }
        })
    }

    /// A flag that was given and not taken. What is in flight is left where it was given, for it says what others mean.
    fn left_over(&self, kind: &Kind) -> Option<&'static str> {
        let given = [
            ("in-flight", self.in_flight.is_some() && kind.in_flight().is_none()),
            ("users", self.users.is_some()),
            ("stages", self.stages.is_some()),
            ("grace", self.grace.is_some()),
            ("wait", self.wait.is_some()),
            ("within", self.within.is_some()),
            ("groups", self.groups.is_some()),
            ("rate", self.rate.is_some()),
            ("roam", self.roam),
            ("duration", self.duration.is_some()),
            ("warm-up", self.warm_up.is_some()),
            ("interval", self.interval.is_some()),
            ("stay", self.stay.is_some()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(name, _)| name)
    }

    fn take_stages(&mut self) -> Result<Stages, ConfigError> {
        match self.stages.take() {
            // Both say how many users there are to be, so only one is taken.
            Some(text) => parse_stages(&text),
            None => Ok(Stages::seed(self.take_users(1000)?)),
        }
    }

    fn take_users(&mut self, default: usize) -> Result<usize, ConfigError> {
        count("users", self.users.take().unwrap_or(default))
    }

    fn take_groups(&mut self) -> Result<usize, ConfigError> {
        count("groups", self.groups.take().unwrap_or(10))
    }

    fn take_rate(&mut self, default: f64) -> Result<f64, ConfigError> {
        let rate = self.rate.take().unwrap_or(default);
        if (RATE_MIN..=RATE_MAX).contains(&rate) {
            return Ok(rate);
        }
        Err(usage(format!("rate {rate} is not between {RATE_MIN} and {RATE_MAX}")))
    }

    /// What is in flight, or a rate.
    fn take_pace(&mut self, per_second: f64) -> Result<Pace, ConfigError> {
        match self.in_flight()? {
            Some(in_flight) => Ok(Pace::InFlight(in_flight)),
            None => self.take_rate(per_second).map(Pace::PerSecond),
        }
    }

    fn in_flight(&self) -> Result<Option<usize>, ConfigError> {
        let name = "in-flight";
        match self.in_flight {
            Some(0) => Err(ConfigError::Below { name, value: 0, min: 1 }),
            Some(value) if value > IN_FLIGHT_MAX => {
                Err(ConfigError::Above { name, value, max: IN_FLIGHT_MAX })
            }
            in_flight => Ok(in_flight),
        }
    }

    fn take_warm_up(&mut self) -> Result<Duration, ConfigError> {
        taken("warm-up", &mut self.warm_up, Duration::from_secs(2))
    }

    fn take_duration(&mut self) -> Result<Duration, ConfigError> {
        let duration = taken("duration", &mut self.duration, Duration::from_secs(10))?;
        at_least("duration", duration, DURATION_MIN)
    }

    /// Nobody polls at an interval where publishes are in flight: a long poll follows the answer to the one before.
    fn take_interval(&mut self) -> Result<Duration, ConfigError> {
        if self.in_flight.is_some() {
            return Ok(INTERVAL);
        }
        let interval = taken("interval", &mut self.interval, INTERVAL)?;
        at_least("interval", interval, INTERVAL_MIN)
    }
}

fn usage(text: String) -> ConfigError {
    ConfigError::Usage(text)
}

fn taken(name: &str, said: &mut Option<Text<Duration>>, default: Duration) -> Result<Duration, ConfigError> {
    let duration = said.take().map_or(default, |Text(duration)| duration);
    within_limit(name, duration)
}

fn within_limit(name: &str, duration: Duration) -> Result<Duration, ConfigError> {
    if duration > DURATION_MAX {
        let limit = DURATION_MAX.as_secs() / 3600;
        return Err(usage(format!("{name} {duration:?} is over the limit, {limit} hours")));
    }
    Ok(duration)
}

fn at_least(name: &str, duration: Duration, least: Duration) -> Result<Duration, ConfigError> {
    if duration < least {
        return Err(usage(format!("{name} {duration:?} is under the least, {least:?}")));
    }
    Ok(duration)
}

fn count(name: &'static str, value: usize) -> Result<usize, ConfigError> {
    match value {
        0 => Err(ConfigError::Below { name, value, min: 1 }),
        value if value > USERS_MAX => Err(ConfigError::Above { name, value, max: USERS_MAX }),
        _ => Ok(value),
    }
}

/// Reads `20s:300,30s:10000,10s:0`, from no users on.
fn parse_stages(text: &str) -> Result<Stages, ConfigError> {
    let stage = |part: &str| {
        let (duration, target) = part.split_once(':')?;
        Some(Stage { duration: Duration::read(duration)?, target: target.parse().ok()? })
    };
    let read = |part: &str| {
        stage(part.trim()).ok_or_else(|| {
            usage(format!(
                "{part:?} is no stage: expected a duration, a colon and a number of users, as 20s:300"
            ))
        })
    };
    let mut stages: Vec<Stage> = text.split(',').map(read).collect::<Result<_, _>>()?;
    if stages.len() > STAGES_MAX {
        return Err(usage(format!("{} stages are over the limit, {STAGES_MAX}", stages.len())));
    }
    for stage in &stages {
        within_limit("a stage of", stage.duration)?;
    }
    // Whoever is there at the end goes then, or the run would have none.
    if stages.last().is_some_and(|last| last.target > 0) {
        stages.push(Stage { duration: Duration::ZERO, target: 0 });
    }
    Ok(Stages { from: 0, stages })
}

fn transport(text: &str) -> Result<Transport, &'static str> {
    let all = Transport::ALL.into_iter().filter(|transport| *transport != Transport::Http);
    all.into_iter()
        .find(|transport| transport.label() == text)
        .ok_or("expected short_poll, long_poll, sse, websocket or stomp")
}

/// A host and a port of `http://host:port`, as requests name them.
fn target(text: &str) -> Result<String, &'static str> {
    if text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
        return Err("only http is spoken, not https");
    }
    let authority = text.strip_prefix("http://").unwrap_or(text);
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let port = authority.rsplit_once(':').map(|(host, port)| (!host.is_empty(), port.parse::<u16>()));
    match port {
        // Of a URL with more in it the rest would be taken for a part of the name, which no resolver finds.
        Some((true, Ok(1..))) if !authority.contains(['@', '/', '?', '#']) => Ok(authority.to_owned()),
        _ => Err("expected a host and a port, such as http://127.0.0.1:8080 or http://[::1]:8080"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Command;

    #[track_caller]
    fn check(flags: &str, want: &Kind) {
        let arguments = ["geoloop", "load"].into_iter().chain(flags.split_ascii_whitespace());
        match Command::from_arguments(arguments.map(Into::into)) {
            Ok(Command::Load(plan)) => assert_eq!(&plan.kind, want, "{flags}"),
            other => panic!("{flags}: {other:?}"),
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn seed(stages: Stages) -> Kind {
        Kind::Seed { stages, grace: seconds(30), wait: seconds(3) }
    }

    #[test]
    fn each_scenario_has_its_defaults() {
        check("", &seed(Stages::seed(1000)));
        check("--users 50", &seed(Stages::seed(50)));
        check("--scenario ramp", &Kind::Ramp { users: 50, within: seconds(3) });
        let fanout = Kind::Fanout {
            users: 1000,
            groups: 10,
            pace: Pace::PerSecond(10.0),
            warm_up: seconds(2),
            duration: seconds(10),
            interval: seconds(3),
        };
        check("--scenario fanout", &fanout);
        let idle = Kind::Idle { users: 1000, groups: 10, connects_per_second: 1000.0, duration: seconds(10) };
        check("--scenario idle", &idle);
        let churn =
            Kind::Churn { groups: 10, pace: Pace::PerSecond(100.0), duration: seconds(10), stay: seconds(1) };
        check("--scenario churn", &churn);
        let (warm_up, duration) = (seconds(2), seconds(10));
        let ask = Kind::Ask { users: 1000, groups: 10, in_flight: 1, roam: false, warm_up, duration };
        check("--scenario ask", &ask);
    }

    #[test]
    fn what_is_in_flight_takes_the_place_of_a_rate() {
        let (groups, warm_up, duration, pace) = (10, seconds(2), seconds(10), Pace::InFlight(8));
        let fanout = Kind::Fanout { users: 1000, groups, pace, warm_up, duration, interval: seconds(3) };
        check("--scenario fanout --in-flight 8", &fanout);
        let churn = Kind::Churn { groups, pace, duration, stay: seconds(0) };
        check("--scenario churn --in-flight 8", &churn);
        let ask = Kind::Ask { users: 3, groups, in_flight: 8, roam: true, warm_up, duration };
        check("--scenario ask --in-flight 8 --users 3 --roam", &ask);
    }

    #[test]
    fn users_may_ask_for_a_million_at_once() {
        let (groups, warm_up, duration, roam) = (10, seconds(2), seconds(10), false);
        let ask = Kind::Ask { users: 100, groups, in_flight: 10_000, roam, warm_up, duration };
        check("--scenario ask --users 100 --in-flight 10000", &ask);
    }

    #[test]
    fn all_go_at_the_end_of_the_stages() {
        let stage = |duration, target| Stage { duration: seconds(duration), target };
        let ended = vec![stage(1, 5), stage(2, 0)];
        check("--stages 1s:5,2s:0", &seed(Stages { from: 0, stages: ended }));
        let unended = vec![stage(1, 5), stage(2, 3), stage(0, 0)];
        check("--stages 1s:5,2s:3", &seed(Stages { from: 0, stages: unended }));
    }
}
