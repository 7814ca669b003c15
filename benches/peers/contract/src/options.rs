//! The flags of both servers.

use std::net::SocketAddr;

/// How a server is started.
#[derive(Clone, Copy, Debug, clap::Parser)]
#[command(version)]
pub struct Options {
    /// Where to listen; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Threads that serve connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=128))]
    pub workers: u16,
}

impl Options {
    /// Reads the command line; ends the program where that is wrong.
    #[must_use]
    pub fn from_command_line() -> Self {
        clap::Parser::parse()
    }
}
