//! What a service manager hands over, and what it wants to hear: sockets that listen already (sd_listen_fds(3)), and when
//! the server serves and stops (sd_notify(3)).
//!
//! Both are asked for by variables that systemd and others set. Without them nothing here does anything.

use std::env;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixDatagram;
use std::process;
use std::time::Duration;

use listenfd::ListenFd;

/// How long a service manager may take to take a message in before the server goes on without.
const TELL_TIME_MAX: Duration = Duration::from_secs(1);

/// More sockets than this nobody hands over; each of them is a listener of its own.
const HANDED_MAX: usize = 1024;

/// How much longer than its window a drain may take until the process has ended.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// The sockets that this process was given to listen on, by LISTEN_FDS and LISTEN_PID.
///
/// To be called before the first thread is started, for the two variables are taken out of the environment: they are about this
/// process and no child of it.
///
/// # Errors
/// When LISTEN_FDS is about this process and no number up to 1,024, or when one of them is no TCP socket.
pub(super) fn inherited_listeners() -> io::Result<Vec<TcpListener>> {
    let is_ours = env::var_os("LISTEN_PID").is_none_or(|pid| *pid == *process::id().to_string());
    if let Some(count) = env::var_os("LISTEN_FDS").filter(|_| is_ours) {
        let count = count.to_str().and_then(|count| count.parse().ok());
        if count.is_none_or(|count: usize| count > HANDED_MAX) {
            let rule = format!("it is to be a number, at most {HANDED_MAX}");
            return Err(io::Error::new(ErrorKind::InvalidInput, rule));
        }
    }
    let mut handed = ListenFd::from_env();
    let count = handed.len();
    let take = |index| Ok(handed.take_tcp_listener(index)?.expect("each is taken once"));
    (0..count).map(take).collect()
}

/// Tells that the server listens.
pub(super) fn tell_ready() {
    tell("READY=1");
}

/// Tells that a drain has begun, and how long it may take: TimeoutStopSec of a unit need not follow `--drain-window`.
pub(super) fn tell_stopping(window: Duration) {
    let micros = (window + END_TIME_MAX).as_micros();
    tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}"));
}

fn tell(state: &str) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&name, state) {
        log::warn!("the service manager at {} is not told {state:?}: {error}", name.display());
    }
}

/// One datagram to a Unix socket. A name that begins with @ is no file but abstract (unix(7)).
fn send(name: &OsStr, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(TELL_TIME_MAX))?;
    #[cfg(target_os = "linux")]
    if let Some(name) = name.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;

        let address = SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(state.as_bytes(), &address).map(|_| ());
    }
    socket.send_to(state.as_bytes(), name).map(|_| ())
}
