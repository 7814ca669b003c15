//! The server that a load is put on: where it is, and how it is looked at.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::load::error::LoadError;
use crate::load::process::{Process, find_listener};
use crate::load::server_side::ServerProbe;

/// How long the first connection may take, by which it is seen that there is a server.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A server to put a load on.
#[derive(Clone, Debug)]
pub struct Target {
    /// As requests name it: host and port.
    pub host: String,
    /// Where it is.
    pub address: SocketAddr,
    /// How it is looked at.
    pub probe: ServerProbe,
}

impl Target {
    /// Finds the server, and its process if that is on this machine and `pid` does not name it.
    ///
    /// # Errors
    /// [`LoadError::Unknown`], [`LoadError::Unreachable`], [`LoadError::NoProcess`].
    pub fn find(host: &str, pid: Option<u32>) -> Result<Self, LoadError> {
        if let Some(pid) = pid.filter(|pid| !Process(*pid).is_there()) {
            return Err(LoadError::NoProcess { pid });
        }
        let unknown = |error| LoadError::Unknown { host: host.to_owned(), error };
        let mut failed = unknown(io::ErrorKind::NotFound.into());
        // A name may have several addresses, as localhost has, and the server listen at one.
        for address in host.to_socket_addrs().map_err(unknown)? {
            match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
                Ok(_) => {
                    let probe = ServerProbe::new(address, pid.or_else(|| find_listener(address)));
                    return Ok(Self { host: host.to_owned(), address, probe });
                }
                Err(error) => failed = LoadError::Unreachable { address, error },
            }
        }
        Err(failed)
    }
}
