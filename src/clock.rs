//! Time as plain numbers, and the one place that reads the clock.
//!
//! Everything below the reactor is told the time ([`Now`]) and never asks for it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment in whole milliseconds since the process started; what deadlines are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// The tick that lies `wait` after this one.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// Whole seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// What the clock said once, for everything that happens in one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since start, monotonic: deadlines.
    pub tick: Tick,
    /// Microseconds since start, monotonic: how stale an update was when it was written.
    pub micros: u64,
    /// The wall clock: the `at` of updates, the `Date` of answers.
    pub unix: UnixMs,
}

/// Reads the clock; the only type that does.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose tick 0 is this moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Reads the monotonic and the wall clock, some 50 ns in all (both are vDSO calls).
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now(&self) -> Now {
        let elapsed = self.start.elapsed();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now {
            tick: Tick(elapsed.as_millis() as u64),
            micros: elapsed.as_micros() as u64,
            unix: UnixMs(unix.as_millis() as u64),
        }
    }
}
