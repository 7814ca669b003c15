//! Waits until a moment to within some ten microseconds, where epoll alone counts in whole milliseconds.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A timer of the kernel's that wakes an event loop.
#[derive(Debug)]
pub(super) struct Pacer {
    timer: OwnedFd,
    armed_for: Option<u64>,
}

impl Pacer {
    /// A timer that is not set, registered under this token.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, armed_for: None })
    }

    /// Wakes the loop at `due_micros` of a clock that shows `now_micros`. Setting the timer anew also takes back that it
    /// has expired, so it need not be read.
    pub(super) fn arm(&mut self, due_micros: u64, now_micros: u64) -> io::Result<()> {
        if self.armed_for == Some(due_micros) {
            return Ok(());
        }
        // Zero would disarm it.
        let wait_micros = due_micros.saturating_sub(now_micros).max(1);
        let moment = |micros: u64| Timespec {
            tv_sec: (micros / 1_000_000) as i64,
            tv_nsec: (micros % 1_000_000 * 1000) as i64,
        };
        let timer = Itimerspec { it_interval: moment(0), it_value: moment(wait_micros) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer)?;
        self.armed_for = Some(due_micros);
        Ok(())
    }
}
