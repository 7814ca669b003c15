//! What single headers say: versions, heart-beats, destinations, modes of acknowledgement, message ids.
//!
//! Knows how each is spelled and which values are legal; knows not what a session makes of them. Read
//! "Connecting", "Heart-beating" and "ACK" of the 1.2 specification first.

use std::borrow::Cow;
use std::fmt;

use crate::ids::{GroupId, Seq, parse_decimal};
use crate::report::Reason;
use crate::wire::stomp::frame::Frame;
use crate::wire::stomp::{Command, Version};

/// What a subscription's destination begins with; a publish may be sent straight there too.
pub const LOCATION_PREFIX: &str = "/sub/location/";

/// What the destination of a publish begins with.
pub const SHARE_PREFIX: &str = "/pub/share/";

/// Picks the highest version that the peer lists in `accept-version` and we speak; without one, 1.0.
///
/// # Errors
/// [`FieldError::NoCommonVersion`]: answer ERROR with [`Version::LIST`] and close.
pub fn negotiate(accept_version: Option<&str>) -> Result<Version, FieldError> {
    let Some(listed) = accept_version else { return Ok(Version::V10) };
    let spoken = |label: &str| Version::ALL.into_iter().find(|version| version.label() == label.trim());
    listed.split(',').filter_map(spoken).max().ok_or(FieldError::NoCommonVersion)
}

/// Reads a `heart-beat`: how often in milliseconds its sender can send, and wants to receive; 0 is not at all.
///
/// A wait past 49 days is read as 49 days: nobody will see the difference.
///
/// # Errors
/// [`FieldError::HeartBeat`] unless it is two decimal numbers around a comma.
pub fn heart_beat(value: &str) -> Result<(u32, u32), FieldError> {
    let wait_ms = |digits: &str| {
        let ms = parse_decimal(digits.trim().as_bytes())?;
        Some(u32::try_from(ms).unwrap_or(u32::MAX))
    };
    let (sends, wants) = value.split_once(',').ok_or(FieldError::HeartBeat)?;
    wait_ms(sends).zip(wait_ms(wants)).ok_or(FieldError::HeartBeat)
}

/// Where a frame goes to, with the group it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `/sub/location/{group}`: may be subscribed to and published to.
    Location(GroupId),
    /// `/pub/share/{group}`: may be published to.
    Share(GroupId),
}

impl Destination {
    /// Reads a destination.
    ///
    /// # Errors
    /// [`FieldError::Destination`] if it is neither kind, [`FieldError::Group`] if what it names is no group.
    pub fn parse(value: &str) -> Result<Self, FieldError> {
        let group = |digits: &str| GroupId::parse(digits.as_bytes()).ok_or(FieldError::Group);
        if let Some(digits) = value.strip_prefix(LOCATION_PREFIX) {
            return group(digits).map(Self::Location);
        }
        let digits = value.strip_prefix(SHARE_PREFIX).ok_or(FieldError::Destination)?;
        group(digits).map(Self::Share)
    }

    /// The group that a SUBSCRIBE asks for.
    ///
    /// # Errors
    /// [`FieldError::NotSubscribable`] for `/pub/share/`.
    pub const fn to_subscribe(self) -> Result<GroupId, FieldError> {
        match self {
            Self::Location(group) => Ok(group),
            Self::Share(_) => Err(FieldError::NotSubscribable),
        }
    }

    /// The group that a SEND publishes to: either kind.
    #[must_use]
    pub const fn to_publish(self) -> GroupId {
        match self {
            Self::Location(group) | Self::Share(group) => group,
        }
    }
}

/// How a subscription's messages are acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckMode {
    /// Not at all: sent is received.
    #[default]
    Auto,
    /// One ACK is for its message and every earlier one of the subscription.
    Client,
    /// One ACK is for one message.
    ClientIndividual,
}

impl AckMode {
    /// Reads the `ack` header of a SUBSCRIBE; without one, auto.
    ///
    /// # Errors
    /// [`FieldError::AckMode`] if it is none of the three. 1.0 does not list the last; it is read there too.
    pub fn parse(value: Option<&str>) -> Result<Self, FieldError> {
        match value {
            None | Some("auto") => Ok(Self::Auto),
            Some("client") => Ok(Self::Client),
            Some("client-individual") => Ok(Self::ClientIndividual),
            Some(_) => Err(FieldError::AckMode),
        }
    }

    /// The mode as a header spells it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Client => "client",
            Self::ClientIndividual => "client-individual",
        }
    }
}

/// Reads what a MESSAGE's `message-id` and `ack` hold: its subscription's ordinal and its update's number.
#[must_use]
pub fn parse_message_id(value: &str) -> Option<(u32, Seq)> {
    let (ordinal, seq) = value.split_once('-')?;
    let ordinal = u32::try_from(parse_decimal(ordinal.as_bytes())?).ok()?;
    Some((ordinal, Seq::new(parse_decimal(seq.as_bytes())?)?))
}

/// Reads which message an ACK or NACK is for: its header `id` in 1.2, `message-id` before.
///
/// # Errors
/// [`FieldError::Missing`], or [`FieldError::MessageId`] if it is none that we gave.
pub fn acknowledged(frame: &Frame<'_>, version: Version) -> Result<(u32, Seq), FieldError> {
    let header = match version {
        Version::V10 | Version::V11 => "message-id",
        Version::V12 => "id",
    };
    parse_message_id(&need(frame, header)?).ok_or(FieldError::MessageId)
}

/// A header that the frame cannot do without.
///
/// # Errors
/// [`FieldError::Missing`].
pub fn need<'a>(frame: &Frame<'a>, header: &'static str) -> Result<Cow<'a, str>, FieldError> {
    frame.headers.value(header).ok_or(FieldError::Missing { command: frame.command, header })
}

/// What is wrong with a header; one variant per rule that a peer can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// A header that the command needs is not there.
    Missing {
        /// What needs it.
        command: Command,
        /// Its name.
        header: &'static str,
    },
    /// `accept-version` lists none that we speak.
    NoCommonVersion,
    /// `heart-beat` is not two numbers.
    HeartBeat,
    /// A destination of neither kind.
    Destination,
    /// A destination whose last part is no group.
    Group,
    /// A SUBSCRIBE to a destination that takes publishes alone.
    NotSubscribable,
    /// `ack` is no mode.
    AckMode,
    /// An acknowledgement of what was never a message id.
    MessageId,
}

impl FieldError {
    /// What it counts as among the refusals.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Group
            | Self::Missing { .. }
            | Self::NoCommonVersion
            | Self::HeartBeat
            | Self::Destination
            | Self::NotSubscribable
            | Self::AckMode
            | Self::MessageId => Reason::Stomp,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { command, header } => {
                write!(f, "a {} frame needs the header {header}", command.label())
            }
            Self::NoCommonVersion => {
                write!(f, "accept-version lists none of the versions {}", Version::LIST)
            }
            Self::HeartBeat => f.write_str("heart-beat is not two decimal numbers with a comma between"),
            Self::Destination => {
                write!(f, "destination begins with neither {LOCATION_PREFIX} nor {SHARE_PREFIX}")
            }
            Self::Group => write!(f, "destination does not end in a group from 0 to {}", GroupId::MAX),
            Self::NotSubscribable => {
                write!(f, "destination begins with {SHARE_PREFIX}, subscriptions are to {LOCATION_PREFIX}")
            }
            Self::AckMode => f.write_str("ack is none of auto, client, client-individual"),
            Self::MessageId => f.write_str("acknowledged a message id that was never given"),
        }
    }
}

impl std::error::Error for FieldError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_picked() {
        assert_eq!(negotiate(None), Ok(Version::V10));
        assert_eq!(negotiate(Some("1.0,1.1,2.0")), Ok(Version::V11), "what the seed's clients send");
        assert_eq!(negotiate(Some("1.2, 1.1 ,1.0")), Ok(Version::V12));
        assert_eq!(negotiate(Some("1.0")), Ok(Version::V10));
        for nothing_common in ["", "2.0", "1.3,2.0", "1.1.1", "1.0;1.1"] {
            assert_eq!(negotiate(Some(nothing_common)), Err(FieldError::NoCommonVersion), "{nothing_common}");
        }
    }

    #[test]
    fn heart_beats_are_two_numbers() {
        assert_eq!(heart_beat("0,0"), Ok((0, 0)));
        assert_eq!(heart_beat("10000, 5000"), Ok((10_000, 5000)));
        assert_eq!(heart_beat("4294967296,4294967295"), Ok((u32::MAX, u32::MAX)));
        for broken in ["", ",", "1", "1,", ",1", "-1,0", "1,2,3", "1.5,0", "99999999999999999999,0"] {
            assert_eq!(heart_beat(broken), Err(FieldError::HeartBeat), "{broken}");
        }
    }

    #[test]
    fn destinations_name_a_group() {
        let group = |number| GroupId::new(number).expect("a group");
        assert_eq!(Destination::parse("/sub/location/7"), Ok(Destination::Location(group(7))));
        assert_eq!(Destination::parse("/pub/share/0"), Ok(Destination::Share(group(0))));
        let last = format!("/pub/share/{}", GroupId::MAX);
        assert_eq!(Destination::parse(&last), Ok(Destination::Share(group(GroupId::MAX))));
        for no_group in
            ["/sub/location/", "/sub/location/a", "/pub/share/-1", "/pub/share/9223372036854775808"]
        {
            assert_eq!(Destination::parse(no_group), Err(FieldError::Group), "{no_group}");
        }
        for unknown in ["", "/sub/location", "/queue/7", "sub/location/7"] {
            assert_eq!(Destination::parse(unknown), Err(FieldError::Destination), "{unknown}");
        }
    }

    #[test]
    fn shares_cannot_be_subscribed_to() {
        let group = GroupId::new(7).expect("a group");
        assert_eq!(Destination::Location(group).to_subscribe(), Ok(group));
        assert_eq!(Destination::Share(group).to_subscribe(), Err(FieldError::NotSubscribable));
        assert_eq!(Destination::Location(group).to_publish(), group);
        assert_eq!(Destination::Share(group).to_publish(), group);
    }

    #[test]
    fn ack_modes_are_three() {
        for mode in [AckMode::Auto, AckMode::Client, AckMode::ClientIndividual] {
            assert_eq!(AckMode::parse(Some(mode.label())), Ok(mode));
        }
        assert_eq!(AckMode::parse(None), Ok(AckMode::Auto));
        assert_eq!(AckMode::parse(Some("Auto")), Err(FieldError::AckMode));
    }

    #[test]
    fn message_ids_are_ordinal_and_seq() {
        let seq = |number| Seq::new(number).expect("below 2^53");
        assert_eq!(parse_message_id("0-1"), Some((0, seq(1))));
        let largest = format!("{}-{}", u32::MAX, Seq::END - 1);
        assert_eq!(parse_message_id(&largest), Some((u32::MAX, seq(Seq::END - 1))));
        for broken in ["", "-", "1", "1-", "-1", "a-1", "1-1-1", "4294967296-1", "0-9007199254740992"] {
            assert_eq!(parse_message_id(broken), None, "{broken}");
        }
    }
}
