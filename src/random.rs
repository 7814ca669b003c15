//! Chance from a seed: everything random that the server does, so that one seed replays a whole server.

use std::time::Duration;

use crate::ids::GroupId;
use crate::location::{Change, Location, Publish};

/// A seeded source of chance; each shard owns one.
#[derive(Clone, Debug)]
pub struct Random(fastrand::Rng);

impl Random {
    /// A source that repeats itself for the same seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Makes up a nameless location, uniform in [0,100) x [0,100), as the seed's server does.
    #[must_use]
    pub fn simulate(&mut self) -> Publish {
        let location = Location::new(self.0.f64() * 100.0, self.0.f64() * 100.0);
        let location = location.expect("a number in [0,1) times 100 is finite");
        Publish { member: None, at: None, change: Change::Moved(location) }
    }

    /// The group that `/ws` puts a client into: 0 to 9, as the seed does.
    #[must_use]
    pub fn seed_group(&mut self) -> GroupId {
        GroupId::new(self.0.u64(0..10)).expect("0 to 9 are groups")
    }

    /// A wait somewhere in `from .. from + spread`.
    #[must_use]
    pub fn jitter(&mut self, from: Duration, spread: Duration) -> Duration {
        from + spread.mul_f64(self.0.f64())
    }

    /// Any number.
    #[must_use]
    pub fn number(&mut self) -> u32 {
        self.0.u32(..)
    }
}
