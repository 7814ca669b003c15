//! A server of the study's own: this very program as a child process, on a free port of the loopback.
//!
//! It dies with the study, however that ends. Linux promises so much only to a process that asked for it by itself, so
//! the child is at first a piece of the study, asks, and then becomes the server: `exec` keeps what was asked for.

use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::process::{CommandExt as _, parent_id};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::load::run::Target;

/// Reactors of a server that the study starts: it has one core.
pub const WORKERS: usize = 1;

/// Which processors server and tool keep to, so that neither takes the other's time.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    server: CpuSet,
    tool: CpuSet,
}

impl Placement {
    /// The server on the first processor that this process may use and the tool on the last; `None` if there is one only,
    /// or the system does not say.
    #[must_use]
    pub fn of_this_machine() -> Option<Self> {
        let allowed = sched_getaffinity(None).ok()?;
        let cpus: Vec<_> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let (&[first, ..], &[.., last]) = (cpus.as_slice(), cpus.as_slice()) else { return None };
        let one = |cpu| {
            let mut set = CpuSet::new();
            set.set(cpu);
            set
        };
        (first != last).then(|| Self { server: one(first), tool: one(last) })
    }
}

/// Processors that this process may use.
#[must_use]
pub fn allowed_cpus() -> usize {
    sched_getaffinity(None).map_or(1, |allowed| allowed.count() as usize)
}

/// A server that lives as long as this value.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    /// Held open: what the server prints later has somewhere to go.
    _stdout: BufReader<std::process::ChildStdout>,
    /// Where it is, and how it is looked at.
    pub target: Target,
}

impl ServerProcess {
    /// Starts a server, and returns once it listens.
    ///
    /// # Errors
    /// What the system says, or that the server did not say where it listens.
    pub fn start(placement: Option<&Placement>) -> io::Result<Self> {
        // A child is where its parent is, so the tool moves there for a moment.
        if let Some(placement) = placement {
            sched_setaffinity(None, &placement.server)?;
        }
        let started = Command::new(std::env::current_exe()?)
            .args(["study-server", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        if let Some(placement) = placement {
            sched_setaffinity(None, &placement.tool)?;
        }
        let mut child = started?;
        let stdout = child.stdout.take().expect("it was asked for");
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let listens = stdout.read_line(&mut line).and_then(|_| {
            let address =
                line.trim_end().strip_prefix("listening on http://").map(|it| it.trim_end_matches('/'));
            let address =
                address.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the server did not listen"))?;
            Target::find(address, Some(child.id())).map_err(io::Error::other)
        });
        match listens {
            Ok(target) => Ok(Self { child, _stdout: stdout, target }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }
}

impl ServerProcess {
    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

/// Makes this process, a child of the study, a server of one reactor with the defaults of everything else, that is killed
/// when the study ends.
///
/// # Errors
/// What the system says, or that the study has ended meanwhile; otherwise this does not return.
pub fn become_server(study: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that died before the request was heard is never told of.
    if parent_id() != study {
        return Err(io::Error::other("the study has ended"));
    }
    let workers = WORKERS.to_string();
    let server = ["serve", "--listen", "127.0.0.1:0", "--workers", &workers, "--log", "error"];
    Err(Command::new(std::env::current_exe()?).args(server).exec())
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It has nothing to keep; that it has gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
