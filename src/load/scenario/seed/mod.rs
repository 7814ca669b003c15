//! The seed's minute: users who come and go by stages, each doing round after round what the k6 script's function for its
//! transport does, and then waiting a while.
//!
//! ```text
//! requests:  Away -> Asking -> Thinking -> Asking .. -> Waiting -> Asking ..  -> Away
//! sockets:   Away -> Joining -> Joined  .. (until it is cut)  Leaving -> Away
//! ```
//!
//! As with k6, a user who is to go ends its round first, and when its grace is over is cut. A socket's round lasts until
//! it closes; where users do a number of rounds and go, it ends with the first update. Groups are 1 to 10, drawn once a user;
//! the server draws the group of a bare `/ws`, so ten witnesses, one event stream a group, are there to tell which updates
//! were whose.

mod requests;
mod sockets;
mod witnesses;

use std::time::Duration;

use self::witnesses::Witness;
use crate::ids::{GroupId, Seq, Transport};
use crate::load::client::Heard;
use crate::load::driver::{ConnKey, Driver, Ended, Scenario};
use crate::load::figures::Failure;
use crate::load::ledger::{Ledger, ListenerId, Owed};
use crate::load::plan::{Stages, Step};
use crate::load::scenario::ask::Ask;
use crate::load::scenario::subscribe::misaddressed;
use crate::load::scenario::{SWEEP_MICROS, note};
use crate::wire::websocket::frame::CloseCode;

/// How long an answer may take: k6's own patience.
const ANSWER_MICROS_MAX: u64 = 60_000_000;

/// How long an answer may have been owed to a user whose grace is over: half as long again as the server parks a poll.
const ANSWER_MICROS_AT_CUT_MAX: u64 = 15_000_000;

/// How long a handshake may take: k6's own patience.
const HANDSHAKE_MICROS_MAX: u64 = 30_000_000;

/// How long a Close may go unanswered.
const CLOSE_MICROS_MAX: u64 = 2_000_000;

/// How long a socket must have been open for it to be sure that it should have heard what it published.
const ECHO_MICROS_MAX: u64 = 1_000_000;

/// How long what was heard before an interrupt may wait for its group to be found.
const WIND_UP_MICROS_MAX: u64 = 1_000_000;

/// How long a user takes at most between two requests of a round, which is about what a script of k6's takes.
///
/// Users whom one notify woke would stay in step without it: all of them notify before any of them listens again, so nobody
/// hears of the others. With none, long polls come to 13 % fewer requests than k6's; a real crowd is never in step either.
const THINK_MICROS_MAX: u32 = 1000;

/// Groups that a bare `/ws` may be put into: 0 to 9.
const WITNESSES: u32 = 10;

/// What the scenario asks to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// The next user is to come or to go.
    Step,
    /// The wait behind this user's round is over.
    Round(u32),
    /// The grace of a user is over who was to go.
    Cut {
        /// Which user.
        user: u32,
        /// How often it had come by then.
        comings: u32,
    },
    /// Somebody may have waited too long.
    Sweep,
    /// This user has heard what it came for.
    Leave(u32),
    /// What was heard before an interrupt has had its time to be placed.
    WoundUp,
    /// This user has thought long enough.
    Thought(u32),
}

/// How a run of this scenario is set up.
#[derive(Clone, Debug)]
pub struct SeedPlan {
    /// The one transport of all users.
    pub transport: Transport,
    /// Who comes and goes when.
    pub stages: Stages,
    /// How long one who is to go may finish its round.
    pub grace: Duration,
    /// How long each waits behind a round.
    pub wait: Duration,
    /// Rounds after which a user goes by itself; none if only the stages say so.
    pub rounds_max: Option<u32>,
    /// What requests name as Host.
    pub host: String,
}

#[derive(Debug)]
struct User {
    group: GroupId,
    doing: Doing,
    conn: Option<ConnKey>,
    listener: ListenerId,
    /// The newest update that a poll was given.
    newest: Option<Seq>,
    /// To go once the round is over.
    is_to_go: bool,
    /// Counts comings, so that a cut of an earlier one is known as such.
    comings: u32,
    rounds: u32,
    round_began: u64,
    /// When the wait behind its round is over.
    waits_until: u64,
    heard: u64,
    /// STOMP: the id of its subscription.
    subscription: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Not there. Next: `Asking` or `Joining`.
    Away,
    /// Accepts: the answer to this request of the round. Next: the next request, or `Waiting`.
    Asking { place: usize, intended: u64, opened: Option<u64>, connecting_micros: u64 },
    /// Accepts: the moment to send this request of the round. Next: `Asking`.
    Thinking { place: usize, until: u64 },
    /// Accepts: the end of the wait. Next: the first request of a round, or `Away`.
    Waiting,
    /// Accepts: the end of the handshake. Next: `Joined`.
    Joining { intended: u64 },
    /// Accepts: updates. Next: `Leaving`.
    Joined { since: u64 },
    /// Accepts: the server's Close or its end. Next: `Away`.
    Leaving { since: u64 },
}

/// The users, and what they have heard.
#[derive(Debug)]
pub struct Seed {
    plan: SeedPlan,
    steps: Vec<Step>,
    next_step: usize,
    began: u64,
    users: Vec<User>,
    present: u64,
    witnesses: Vec<Witness>,
    /// Witnesses that listen, or never will.
    witnesses_settled: usize,
    ledger: Ledger,
    /// Since an interrupt nobody does anything any more.
    is_interrupted: bool,
    is_wound_up: bool,
}

impl Seed {
    /// Users who are all away yet; witnesses are opened, and the first user comes once they listen.
    ///
    /// # Errors
    /// What the system says when it gives no socket for a witness.
    pub fn start(driver: &mut Driver<Wake>, plan: SeedPlan) -> std::io::Result<Self> {
        let mut ledger = Ledger::new();
        let users_max = plan.stages.users_max();
        let mut users = Vec::with_capacity(users_max);
        for number in 0..users_max as u32 {
            let group = match plan.transport {
                Transport::Sse => 0,
                _ => u64::from(driver.random().number() % 10) + 1,
            };
            let group = GroupId::new(group).expect("0 to 10 are groups");
            users.push(User {
                group,
                doing: Doing::Away,
                conn: None,
                listener: ledger.listen(Some(group), Owed::Newest, number),
                newest: None,
                is_to_go: false,
                comings: 0,
                rounds: 0,
                round_began: 0,
                waits_until: 0,
                heard: 0,
                subscription: String::new(),
            });
        }
        let steps = plan.stages.steps();
        let mut seed = Self {
            plan,
            steps,
            next_step: 0,
            began: 0,
            users,
            present: 0,
            witnesses: Vec::new(),
            witnesses_settled: 0,
            ledger,
            is_interrupted: false,
            is_wound_up: false,
        };
        driver.wake_at(driver.now() + SWEEP_MICROS, Wake::Sweep);
        if seed.plan.transport == Transport::WebSocket {
            for number in 0..WITNESSES {
                seed.open_witness(driver, number)?;
            }
        } else {
            seed.begin(driver);
        }
        Ok(seed)
    }

    fn begin(&mut self, driver: &mut Driver<Wake>) {
        self.began = driver.now();
        self.ask_for_step(driver);
    }

    fn ask_for_step(&self, driver: &mut Driver<Wake>) {
        if let Some(step) = self.steps.get(self.next_step) {
            driver.wake_at(self.began + step.at_micros, Wake::Step);
        }
    }

    /// Takes what was checked, once the run is over.
    pub fn finish(&mut self, driver: &mut Driver<Wake>) {
        self.ledger.settle();
        driver.figures.failures.merge(self.ledger.failures());
        let seconds = driver.now().saturating_sub(self.began) as f64 / 1e6;
        let figures = &mut driver.figures;
        // Witnesses are none of the users that k6 plays. Nobody else's bytes count apart here.
        figures.data_sent -= std::mem::take(&mut figures.publish_sent);
        figures.data_received -= std::mem::take(&mut figures.publish_received);
        figures.conflated = self.ledger.conflated();
        figures.seconds = seconds;
    }

    const fn round(&self) -> &'static [Ask] {
        match self.plan.transport {
            Transport::LongPoll => {
                &[Ask::Long { event_stream: true }, Ask::Notify, Ask::Long { event_stream: false }]
            }
            Transport::Sse => &[Ask::EventOnce, Ask::EventShare],
            Transport::Http | Transport::ShortPoll | Transport::WebSocket | Transport::Stomp => {
                &[Ask::Current(None)]
            }
        }
    }

    fn handle_step(&mut self, driver: &mut Driver<Wake>) {
        let step = self.steps[self.next_step];
        let due = self.began + step.at_micros;
        driver.figures.lag.record(driver.now() - due);
        self.next_step += 1;
        self.ask_for_step(driver);
        let user = &mut self.users[step.user];
        if step.comes {
            user.is_to_go = false;
            user.comings += 1;
            if user.doing == Doing::Away {
                user.rounds = 0;
                self.present += 1;
                driver.figures.vus_max = driver.figures.vus_max.max(self.present);
                self.begin_round(driver, step.user, due);
            }
            return;
        }
        user.is_to_go = true;
        let wake = Wake::Cut { user: step.user as u32, comings: user.comings };
        driver.wake_at(due + self.plan.grace.as_micros() as u64, wake);
    }

    fn begin_round(&mut self, driver: &mut Driver<Wake>, number: usize, due: u64) {
        self.users[number].round_began = due;
        match self.plan.transport {
            Transport::WebSocket | Transport::Stomp => self.join(driver, number, due),
            _ => self.ask(driver, number, 0, due),
        }
    }

    fn end_round(&mut self, driver: &mut Driver<Wake>, number: usize) {
        let user = &mut self.users[number];
        user.doing = Doing::Waiting;
        user.waits_until = driver.now() + self.plan.wait.as_micros() as u64;
        driver.wake_at(user.waits_until, Wake::Round(number as u32));
        user.rounds += 1;
        if self.plan.rounds_max.is_some_and(|max| user.rounds >= max) {
            self.complete_round(driver, number);
            self.go(driver, number);
        }
    }

    fn complete_round(&self, driver: &mut Driver<Wake>, number: usize) {
        driver.figures.iterations += 1;
        driver.figures.iteration_duration.record(driver.now() - self.users[number].round_began);
    }

    fn handle_round(&mut self, driver: &mut Driver<Wake>, number: usize, due: u64) {
        // A wake may be of an earlier stay.
        if self.users[number].doing != Doing::Waiting || self.users[number].waits_until != due {
            return;
        }
        driver.figures.lag.record(driver.now() - due);
        self.complete_round(driver, number);
        if self.users[number].is_to_go {
            self.go(driver, number);
        } else {
            self.begin_round(driver, number, due);
        }
    }

    fn go(&mut self, driver: &mut Driver<Wake>, number: usize) {
        let user = &mut self.users[number];
        if let Some(conn) = user.conn.take() {
            driver.close(conn);
        }
        user.doing = Doing::Away;
        self.present -= 1;
    }

    /// The grace of a user who was to go is over.
    fn handle_cut(&mut self, driver: &mut Driver<Wake>, number: usize, comings: u32) {
        let user = &mut self.users[number];
        if !user.is_to_go || user.comings != comings {
            return;
        }
        match user.doing {
            Doing::Away | Doing::Leaving { .. } => {}
            Doing::Thinking { .. } | Doing::Waiting => self.go(driver, number),
            Doing::Asking { intended, .. } | Doing::Joining { intended } => {
                if driver.now() - intended > ANSWER_MICROS_AT_CUT_MAX {
                    self.fail_round(driver, number, Failure::Timeout, &"no answer, and its grace is over");
                } else {
                    // It was the user that went.
                    driver.figures.cut_off += 1;
                }
                self.go(driver, number);
            }
            Doing::Joined { since } => {
                if user.heard == 0 && driver.now() - since > ECHO_MICROS_MAX {
                    note(driver, Failure::Lost, number, &"heard nothing, not even what it published itself");
                }
                self.leave(driver, number, since, CloseCode::GOING_AWAY);
            }
        }
    }

    fn sweep(&mut self, driver: &mut Driver<Wake>) {
        let now = driver.now();
        for number in 0..self.users.len() {
            let doing = self.users[number].doing;
            let (since, patience) = match doing {
                Doing::Asking { intended, .. } => (intended, ANSWER_MICROS_MAX),
                Doing::Joining { intended } => (intended, HANDSHAKE_MICROS_MAX),
                Doing::Leaving { since } => (since, CLOSE_MICROS_MAX),
                // Who does a number of rounds waits for an update.
                Doing::Joined { since } if self.plan.rounds_max.is_some() => (since, ANSWER_MICROS_MAX),
                Doing::Away | Doing::Thinking { .. } | Doing::Waiting | Doing::Joined { .. } => continue,
            };
            if now.saturating_sub(since) < patience {
                continue;
            }
            match doing {
                Doing::Leaving { .. } => {
                    note(driver, Failure::Timeout, number, &"no answer to a Close");
                    self.go(driver, number);
                }
                _ => self.fail_round(driver, number, Failure::Timeout, &"no answer"),
            }
        }
        for number in 0..self.witnesses.len() {
            let witness = &self.witnesses[number];
            if !witness.is_settled && now.saturating_sub(witness.asked) >= HANDSHAKE_MICROS_MAX {
                self.lose_witness(driver, number, Failure::Timeout, &"no answer");
            }
        }
        driver.wake_at(now + SWEEP_MICROS, Wake::Sweep);
    }

    /// What the user was at has failed; it waits and begins anew.
    fn fail_round(
        &mut self,
        driver: &mut Driver<Wake>,
        number: usize,
        failure: Failure,
        what: &dyn std::fmt::Display,
    ) {
        note(driver, failure, number, what);
        let user = &mut self.users[number];
        if let Some(conn) = user.conn.take() {
            driver.close(conn);
        }
        match user.doing {
            Doing::Asking { .. } => {
                driver.figures.http_reqs += 1;
                driver.figures.http_req_failed += 1;
            }
            Doing::Joined { since } => {
                driver.figures.ws_session_duration.record(driver.now() - since);
                self.ledger.leave(user.listener);
            }
            Doing::Away
            | Doing::Thinking { .. }
            | Doing::Waiting
            | Doing::Joining { .. }
            | Doing::Leaving { .. } => {}
        }
        self.end_round(driver, number);
    }
}

impl Scenario for Seed {
    type Wake = Wake;

    fn handle_wake(&mut self, driver: &mut Driver<Wake>, wake: Wake, due_micros: u64) {
        if self.is_interrupted && wake != Wake::WoundUp {
            return;
        }
        match wake {
            Wake::Step => self.handle_step(driver),
            Wake::Round(user) => self.handle_round(driver, user as usize, due_micros),
            Wake::Cut { user, comings } => self.handle_cut(driver, user as usize, comings),
            Wake::Thought(user) => self.handle_thought(driver, user as usize, due_micros),
            Wake::Leave(user) => self.handle_round_heard(driver, user as usize),
            Wake::WoundUp => self.is_wound_up = true,
            Wake::Sweep => self.sweep(driver),
        }
    }

    fn handle_connected(&mut self, driver: &mut Driver<Wake>, _: ConnKey, user: u32) {
        let Some(user) = self.users.get_mut(user as usize) else { return };
        if let Doing::Asking { opened: Some(opened), connecting_micros, .. } = &mut user.doing {
            *connecting_micros = driver.now() - *opened;
            driver.figures.http_req_connecting.record(*connecting_micros);
        }
    }

    fn handle_first_byte(&mut self, driver: &mut Driver<Wake>, _: ConnKey, user: u32) {
        let Some(user) = self.users.get(user as usize) else { return };
        if let Doing::Asking { intended, .. } | Doing::Joining { intended } = user.doing {
            driver.figures.first_byte.record(driver.now() - intended);
        }
    }

    fn handle_heard(&mut self, driver: &mut Driver<Wake>, conn: ConnKey, user: u32, heard: Heard<'_>) {
        let number = user as usize;
        if number >= self.users.len() {
            return self.hear_as_witness(driver, number - self.users.len(), &heard);
        }
        match heard {
            Heard::Answer(answer) => self.handle_answer(driver, number, &answer),
            Heard::Opened => self.handle_joined(driver, number, conn),
            Heard::Update { body, .. } => {
                let User { group, subscription, .. } = &self.users[number];
                if let Some(what) = misaddressed(&heard, *group, subscription) {
                    note(driver, Failure::Misaddressed, number, &what);
                }
                self.handle_message(driver, number, Some(body));
            }
            Heard::Connected { .. } | Heard::Receipt(_) => self.handle_message(driver, number, None),
            Heard::Complaint(text) => {
                self.handle_message(driver, number, None);
                note(driver, Failure::Status, number, &text);
            }
            Heard::Refused { status } => {
                let said = format!("the handshake was answered {status}");
                self.fail_round(driver, number, Failure::Status, &said);
            }
            Heard::Closing { .. } | Heard::Retry { .. } => {}
        }
    }

    fn handle_ended(&mut self, driver: &mut Driver<Wake>, _: ConnKey, user: u32, ended: Ended) {
        let number = user as usize;
        if let Some(witness) = number.checked_sub(self.users.len()) {
            let (failure, what) = ended.describe();
            return self.lose_witness(driver, witness, failure, &what);
        }
        self.users[number].conn = None;
        match (self.users[number].doing, ended) {
            (Doing::Leaving { .. }, Ended::ByServer) => self.handle_left(driver, number),
            (Doing::Away | Doing::Thinking { .. } | Doing::Waiting, Ended::ByServer) => {}
            (_, Ended::Unconnected(error)) => self.fail_round(driver, number, Failure::Connect, &error),
            (_, Ended::Violation(error)) => self.fail_round(driver, number, Failure::Protocol, &error),
            (_, Ended::ByServer) => self.fail_round(driver, number, Failure::Cut, &"the server ended it"),
        }
    }

    /// Nobody is owed anything any more; witnesses listen on until it is known whose what has been heard was.
    fn handle_interrupt(&mut self, driver: &mut Driver<Wake>) {
        self.is_interrupted = true;
        for user in &mut self.users {
            if let Some(conn) = user.conn.take() {
                driver.close(conn);
            }
            self.ledger.leave(user.listener);
        }
        driver.wake_at(driver.now() + WIND_UP_MICROS_MAX, Wake::WoundUp);
    }

    fn is_done(&self) -> bool {
        if self.is_interrupted {
            return self.is_wound_up || self.ledger.is_settled();
        }
        let has_begun = self.witnesses_settled == self.witnesses.len();
        has_begun && self.next_step == self.steps.len() && self.present == 0
    }
}
