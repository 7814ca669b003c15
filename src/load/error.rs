//! Why a run could not be made; what goes wrong within one is in its figures.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why a run could not be made.
#[derive(Debug)]
pub enum LoadError {
    /// The host has no address.
    Unknown {
        /// As it was asked for.
        host: String,
        /// What the system said.
        error: io::Error,
    },
    /// Nobody takes connections there.
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The server's process is not there.
    NoProcess {
        /// The number that was given for it.
        pid: u32,
    },
    /// The process may not have as many descriptors as there are to be connections.
    Descriptors {
        /// How many it takes.
        needed: u64,
        /// How many it may have.
        allowed: u64,
    },
    /// The report could not be written.
    Output(io::Error),
    /// The system gave no event loop, timer or socket.
    System(io::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { host, error } => write!(f, "the target {host} has no address: {error}"),
            Self::Unreachable { address, error } => write!(f, "nobody serves at {address}: {error}"),
            Self::NoProcess { pid } => write!(f, "there is no process {pid}"),
            Self::Descriptors { needed, allowed } => {
                write!(f, "the run takes {needed} descriptors, and the limit of this process is {allowed}")
            }
            Self::Output(error) => write!(f, "cannot write the report: {error}"),
            Self::System(error) => write!(f, "the system refused: {error}"),
        }
    }
}

impl std::error::Error for LoadError {}
