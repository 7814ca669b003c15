//! A server of the study's own: this very program as a child process, on a free port of the loopback.
//!
//! It dies with the study, however that ends. Linux promises so much only to a process that asked for it by itself, so
//! the child is at first a piece of the study, asks, and then becomes the server: `exec` keeps what was asked for.

use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::process::{CommandExt as _, parent_id};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::load::target::Target;
use crate::study::machine::Placement;

/// Reactors of a server that the study starts: it has one core.
pub(super) const WORKERS: usize = 1;

/// A server that lives as long as this value.
#[derive(Debug)]
pub(super) struct ServerProcess {
    child: Child,
    /// Held open: what the server prints later has somewhere to go.
    _stdout: BufReader<std::process::ChildStdout>,
    /// Where it is, and how it is looked at.
    pub(super) target: Target,
}

impl ServerProcess {
    /// Starts a server, and returns once it listens.
    pub(super) fn start(placement: Option<&Placement>) -> io::Result<Self> {
        // A child is where its parent is, so the tool moves there for a moment.
        if let Some(placement) = placement {
            placement.move_to_servers()?;
        }
        let started = Command::new(std::env::current_exe()?)
            .args(["study-server", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        if let Some(placement) = placement {
            placement.move_to_tools()?;
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

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
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
