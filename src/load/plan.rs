//! What a run is to do, and who comes and goes when: stages of a number of users, as k6 ramps them.
//!
//! A stage leads evenly from the number of users before it to its target. User `k` (from 0) is at work while there are to
//! be more than `k`, so the last to come is the first to go.

use std::path::PathBuf;
use std::time::Duration;

use crate::ids::Transport;

/// How long a user who is to go may finish its round, as k6's `gracefulRampDown` has it, unless the plan says otherwise.
pub const GRACE: Duration = Duration::from_secs(30);

/// How long a user of the seed's script waits behind each round.
pub const WAIT: Duration = Duration::from_secs(3);

/// The longest time that a run can be asked to spend on anything: what adds times up never overflows.
pub const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Most stages of one run.
pub const STAGES_MAX: usize = 100;

/// Most connections that come and go in one run: each keeps some hundred bytes until its end.
pub const VISITS_MAX: usize = 2_000_000;

/// Most users of one run: what descriptors a process may have (20,000 on many machines) leave room for.
pub const USERS_MAX: usize = 19_000;

/// Most operations under way at a time: that many requests of one write are a megabyte.
pub const IN_FLIGHT_MAX: usize = 10_000;

/// Most requests of `ask` under way at a time, of all users together: at a hundred bytes each they are 100 MB, and 19,000 users
/// of 10,000 each would be 19 GB.
pub const REQUESTS_MAX: usize = 1_000_000;

/// One run of the load tool, as asked for; checked, so that nobody has to check again.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadPlan {
    /// The server: a host and a port, as requests name it.
    pub target: String,
    /// The users' transport; all five, one after the other, if none is named.
    pub transport: Option<Transport>,
    /// What they do.
    pub kind: Kind,
    /// The server's process, whose CPU and memory are told; found by its port if it runs on this machine.
    pub pid: Option<u32>,
    /// Where to write the report as JSON.
    pub json: Option<PathBuf>,
    /// What chance begins with: groups, keys and masks. The time, if none is named: a run that draws the groups of one before
    /// it meets what that left there.
    pub seed: Option<u64>,
}

/// What the next of something waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Its time: there are so many a second, whatever becomes of those before (an open loop).
    PerSecond(f64),
    /// The end of one before: there are so many at a time, and it follows at once (a closed loop). It shows what an
    /// operation costs and how many there can be, not how long users wait who come when they like.
    InFlight(usize),
}

/// What users do.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Each does what the seed's script does, round after round, while the stages have it there.
    Seed {
        /// Who comes and goes when.
        stages: Stages,
        /// How long one who is to go may finish its round.
        grace: Duration,
        /// How long each waits behind a round.
        wait: Duration,
    },
    /// Each comes, does one round and goes.
    Ramp {
        /// How many.
        users: usize,
        /// In what time all of them have come, evenly.
        within: Duration,
    },
    /// Subscribers, and publishes at a pace.
    Fanout {
        /// Subscribers.
        users: usize,
        /// Groups that they are spread over.
        groups: usize,
        /// That of publishes, to all groups together.
        pace: Pace,
        /// How long is published before it counts.
        warm_up: Duration,
        /// How long it counts.
        duration: Duration,
        /// From one short poll of a user to its next.
        interval: Duration,
    },
    /// Connections that come and do nothing.
    Idle {
        /// How many.
        users: usize,
        /// Groups that they are spread over.
        groups: usize,
        /// How many come a second.
        connects_per_second: f64,
        /// How long they are idle once all are there.
        duration: Duration,
    },
    /// Connections that come, listen for a while and go.
    Churn {
        /// Groups that they are spread over.
        groups: usize,
        /// That of their coming.
        pace: Pace,
        /// How long they come.
        duration: Duration,
        /// How long each stays.
        stay: Duration,
    },
    /// Connections on each of which short polls follow each other as quickly as they are answered.
    Ask {
        /// How many.
        users: usize,
        /// Groups that they are spread over.
        groups: usize,
        /// Requests that each sends in one write, once those of its write before are answered.
        in_flight: usize,
        /// Each write of a user is about the group behind that of the write before.
        roam: bool,
        /// How long they ask before it counts.
        warm_up: Duration,
        /// How long it counts.
        duration: Duration,
    },
}

impl Kind {
    /// Its name, as `--scenario` has it.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Seed { .. } => "seed",
            Self::Ramp { .. } => "ramp",
            Self::Fanout { .. } => "fanout",
            Self::Idle { .. } => "idle",
            Self::Churn { .. } => "churn",
            Self::Ask { .. } => "ask",
        }
    }

    /// How many operations are under way at a time, if that is what paces it: on each connection those of `ask`, in all those
    /// of the others.
    #[must_use]
    pub const fn in_flight(&self) -> Option<usize> {
        match self {
            Self::Ask { in_flight, .. }
            | Self::Fanout { pace: Pace::InFlight(in_flight), .. }
            | Self::Churn { pace: Pace::InFlight(in_flight), .. } => Some(*in_flight),
            Self::Fanout { pace: Pace::PerSecond(_), .. }
            | Self::Churn { pace: Pace::PerSecond(_), .. }
            | Self::Seed { .. }
            | Self::Ramp { .. }
            | Self::Idle { .. } => None,
        }
    }

    /// Whether it can be played with this transport. Short polls alone are answered by what is there, so nothing else is
    /// asked for in a closed loop; and nobody can tell when a short poller is to have heard of a publish.
    #[must_use]
    pub const fn takes(&self, transport: Transport) -> bool {
        let is_short_poll = matches!(transport, Transport::ShortPoll);
        match self {
            Self::Ask { .. } => is_short_poll,
            Self::Fanout { pace: Pace::InFlight(_), .. } => !is_short_poll,
            Self::Fanout { pace: Pace::PerSecond(_), .. }
            | Self::Seed { .. }
            | Self::Ramp { .. }
            | Self::Idle { .. }
            | Self::Churn { .. } => true,
        }
    }

    /// The most users at once, publishers not counted.
    #[must_use]
    pub fn users_max(&self) -> usize {
        match self {
            Self::Fanout { users, .. } => *users,
            Self::Seed { .. }
            | Self::Ramp { .. }
            | Self::Idle { .. }
            | Self::Churn { .. }
            | Self::Ask { .. } => self.connections_max(),
        }
    }

    /// The most connections at once, publishers' own included.
    #[must_use]
    pub fn connections_max(&self) -> usize {
        match self {
            Self::Seed { stages, .. } => stages.users_max(),
            Self::Ramp { users, .. } | Self::Idle { users, .. } | Self::Ask { users, .. } => *users,
            Self::Fanout { users, groups, .. } => users + groups,
            Self::Churn { pace: Pace::PerSecond(connects), stay, duration, .. } => {
                let overlap = stay.min(duration).as_secs_f64() + 1.0;
                (connects * overlap).ceil() as usize
            }
            Self::Churn { pace: Pace::InFlight(visitors), .. } => *visitors,
        }
    }

    /// The connections that are remembered to the end: all that are made, where nobody takes the place of one that has gone.
    #[must_use]
    pub fn visits(&self) -> usize {
        match self {
            Self::Churn { pace: Pace::PerSecond(connects), duration, .. } => {
                (connects * duration.as_secs_f64()).ceil() as usize
            }
            Self::Churn { pace: Pace::InFlight(_), .. }
            | Self::Seed { .. }
            | Self::Ramp { .. }
            | Self::Fanout { .. }
            | Self::Idle { .. }
            | Self::Ask { .. } => self.connections_max(),
        }
    }
}

/// An even way to a number of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// How long it takes.
    pub duration: Duration,
    /// Users at its end.
    pub target: usize,
}

/// A run's stages, one behind the other, from a number of users at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages {
    /// Users at the start.
    pub from: usize,
    /// The way from there.
    pub stages: Vec<Stage>,
}

/// That a user is to come or to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, in microseconds since the start.
    pub at_micros: u64,
    /// Which user.
    pub user: usize,
    /// Whether it comes; else it goes, and has some grace to finish.
    pub comes: bool,
}

impl Stages {
    /// The seed's minute: 20 s to 300 users (fewer if there are fewer), 30 s to `users`, 10 s to none. k6 begins with one.
    #[must_use]
    pub fn seed(users: usize) -> Self {
        let stage = |seconds, target| Stage { duration: Duration::from_secs(seconds), target };
        Self { from: 1, stages: vec![stage(20, users.min(300)), stage(30, users), stage(10, 0)] }
    }

    /// The most users there are to be at once.
    #[must_use]
    pub fn users_max(&self) -> usize {
        self.stages.iter().map(|stage| stage.target).fold(self.from, usize::max)
    }

    /// How long the stages take together.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.stages.iter().map(|stage| stage.duration).sum()
    }

    /// Every coming and going, in order of time.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> =
            (0..self.from).map(|user| Step { at_micros: 0, user, comes: true }).collect();
        let (mut users, mut ends_micros) = (self.from, 0);
        for stage in &self.stages {
            let stage_micros = stage.duration.as_micros() as u64;
            ends_micros += stage_micros;
            let difference = users.abs_diff(stage.target) as u64;
            // The number of users becomes the target at the end of the stage, and is one off a step before that.
            let at = |left: usize| ends_micros - stage_micros * left as u64 / difference;
            if users < stage.target {
                let comes = |user| Step { at_micros: at(stage.target - (user + 1)), user, comes: true };
                steps.extend((users..stage.target).map(comes));
            } else {
                let goes = |user| Step { at_micros: at(user - stage.target), user, comes: false };
                steps.extend((stage.target..users).rev().map(goes));
            }
            users = stage.target;
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stages: &[(u64, usize)], expected: &[(u64, usize, bool)]) {
        let stage = |(seconds, target): &(u64, usize)| Stage {
            duration: Duration::from_secs(*seconds),
            target: *target,
        };
        let stages = Stages { from: 0, stages: stages.iter().map(stage).collect() };
        let steps: Vec<_> =
            stages.steps().iter().map(|step| (step.at_micros / 1000, step.user, step.comes)).collect();
        assert_eq!(steps, expected);
    }

    #[test]
    fn the_last_user_of_a_stage_comes_at_its_end() {
        check(&[(1, 2)], &[(500, 0, true), (1000, 1, true)]);
    }

    #[test]
    fn the_last_to_come_is_the_first_to_go() {
        let rows = [(500, 0, true), (1000, 1, true), (1500, 1, false), (2000, 0, false)];
        check(&[(1, 2), (1, 0)], &rows);
    }

    #[test]
    fn users_may_come_again() {
        let rows = [(1000, 0, true), (2000, 0, false), (3000, 0, true)];
        check(&[(1, 1), (1, 0), (1, 1)], &rows);
    }

    #[test]
    fn a_stage_that_changes_nothing_lets_time_pass() {
        check(&[(1, 1), (2, 1), (1, 0)], &[(1000, 0, true), (4000, 0, false)]);
    }

    #[test]
    fn the_minute_begins_with_one_user_and_ends_with_none() {
        let stages = Stages::seed(1000);
        let steps = stages.steps();
        assert_eq!(steps[0], Step { at_micros: 0, user: 0, comes: true });
        assert_eq!(steps[1000], Step { at_micros: 50_010_000, user: 999, comes: false });
        assert_eq!(steps.last(), Some(&Step { at_micros: 60_000_000, user: 0, comes: false }));
        assert_eq!(
            (steps.len(), stages.users_max(), stages.duration()),
            (2000, 1000, Duration::from_secs(60))
        );
    }
}
