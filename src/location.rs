//! Locations and updates as validated values: what the hub numbers and subscribers receive.
//!
//! Knows no bytes; `wire/json.rs` reads and writes them.

use crate::clock::UnixMs;
use crate::ids::{MemberId, Seq};
use crate::limits::SHARED_BYTES;

/// A finite pair of coordinates in any planar unit (with WGS 84: longitude, latitude).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    x: f64,
    y: f64,
}

impl Location {
    /// A location; `None` unless both coordinates are finite.
    #[must_use]
    pub const fn new(x: f64, y: f64) -> Option<Self> {
        if x.is_finite() && y.is_finite() { Some(Self { x, y }) } else { None }
    }

    /// The first coordinate; longitude with WGS 84.
    #[must_use]
    pub const fn x(self) -> f64 {
        self.x
    }

    /// The second coordinate; latitude with WGS 84.
    #[must_use]
    pub const fn y(self) -> f64 {
        self.y
    }
}

/// What happened to a member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// It is here now.
    Moved(Location),
    /// It is gone; there is nothing to show for it any more.
    Left,
}

/// What a publisher asks for, before the hub has numbered it.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// Whom it is about; `None` for the group's one nameless member.
    pub member: Option<MemberId>,
    /// The publisher's own time, if it sent one.
    pub at: Option<UnixMs>,
    /// Where the member is, or that it left.
    pub change: Change,
}

/// What the hub numbered: a member's location, or its leaving.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Its number in its group.
    pub seq: Seq,
    /// Whom it is about; `None` for the group's one nameless member.
    pub member: Option<MemberId>,
    /// Where the member is, or that it left.
    pub change: Change,
    /// The publisher's time if it sent one, else the server's.
    pub at: UnixMs,
    /// Whether the publisher sent a time (one that the server replaced counts).
    pub at_was_sent: bool,
    /// When the hub numbered it, in microseconds of [`crate::clock::Now`]; never leaves the process.
    pub numbered_micros: u64,
}

impl Update {
    /// What a shared update costs on the heap, its member's name included.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        SHARED_BYTES + size_of::<Self>() + self.member.as_ref().map_or(0, MemberId::held_bytes)
    }
}
