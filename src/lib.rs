//! geoloop: real-time location sharing in groups, over five transports and one hub.

pub mod clock;
pub mod config;
pub mod hub;
pub mod ids;
pub mod limits;
pub mod location;
pub mod logger;
pub mod metrics;
pub mod random;
pub mod reactor;
pub mod report;
pub mod route;
pub mod server;
pub mod session;
pub mod shard;
pub mod timer_wheel;
pub mod wire;
