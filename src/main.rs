//! Arguments to server to exit code; nothing else.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use geoloop::config::{Command, Config};
use geoloop::load::plan::LoadPlan;
use geoloop::{load, logger, server, study};

/// Exit code for bad usage; 1 is for failure, 0 for a server that drained.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    match Command::from_arguments(std::env::args_os()) {
        Ok(Command::Serve(config)) => serve(&config),
        Ok(Command::Load(plan)) => put_load(&plan),
        Ok(Command::Study(plan)) => exit_code(study::run(&plan, &mut io::stdout())),
        Ok(Command::StudyServer(study)) => exit_code(study::server::become_server(study)),
        Ok(Command::Print(text)) => exit_code(print(&text)),
        Err(error) => {
            complain(&error);
            ExitCode::from(BAD_USAGE)
        }
    }
}

fn serve(config: &Config) -> ExitCode {
    logger::start(config.log);
    exit_code(server::run(config))
}

/// A reader that went away early (`| head`) has what it wanted.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn exit_code(outcome: Result<(), impl std::fmt::Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Exit code 1 also where everything ran and something went wrong for a user.
fn put_load(plan: &LoadPlan) -> ExitCode {
    match load::play::run(plan, &mut io::stdout()) {
        Ok(1..) => ExitCode::FAILURE,
        outcome => exit_code(outcome.map(|_| ())),
    }
}

fn complain(error: &dyn std::fmt::Display) {
    // Nobody is left to tell that stderr is gone.
    let _ = writeln!(io::stderr(), "geoloop: {error}");
}
