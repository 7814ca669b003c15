//! Groups and their updates; knows neither wire nor sessions nor sockets.

pub mod group;
pub mod history;
pub mod waiters;
