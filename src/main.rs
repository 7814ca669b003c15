//! Arguments to server to exit code; nothing else.

use std::io::Write as _;
use std::process::ExitCode;

use geoloop::config::{Command, Config};
use geoloop::{logger, server};

/// Exit code for bad usage; 1 is for failure, 0 for a server that drained.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    match Command::from_arguments(std::env::args_os()) {
        Ok(Command::Serve(config)) => serve(&config),
        Ok(Command::Print(text)) => {
            // A reader that went away early (`| head`) has what it wanted.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            ExitCode::from(BAD_USAGE)
        }
    }
}

fn serve(config: &Config) -> ExitCode {
    logger::start(config.log);
    match server::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn complain(error: &dyn std::fmt::Display) {
    // Nobody is left to tell that stderr is gone.
    let _ = writeln!(std::io::stderr(), "geoloop: {error}");
}
