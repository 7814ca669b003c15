//! What shards say to each other.
//!
//! Mail between two shards arrives in the order in which it was sent; that is what makes a SUBSCRIBE take effect
//! before the SEND behind it, on whatever shard the group is at home. Nothing here knows how mail travels.

use std::sync::Arc;

use crate::hub::NoRoom;
use crate::hub::group::{GroupCopy, Published, Refusal};
use crate::ids::ConnId;
use crate::ids::GroupId;
use crate::ids::MemberId;
use crate::ids::Seq;
use crate::ids::ShardId;
use crate::ids::Transport;
use crate::location::Publish;
use crate::location::Update;
use crate::report::Reason;
use crate::session::Event;
use crate::session::Session;
use crate::session::stomp::HeartBeat;

/// One letter.
#[derive(Debug)]
pub enum Mail {
    /// To the group's home: number this. Answered by [`Mail::Published`].
    Publish {
        /// Where to.
        group: GroupId,
        /// What.
        publish: Publish,
        /// Who waits for the answer.
        ticket: Ticket,
    },
    /// From the home: what became of a publish.
    Published {
        /// Who asked.
        ticket: Ticket,
        /// The numbered update, or why there is none.
        outcome: Outcome,
    },
    /// To the home: what does the group look like? Answered by [`Mail::Answer`].
    Ask {
        /// Which group.
        group: GroupId,
        /// What about it.
        question: Question,
        /// Who waits for the answer.
        ticket: Ticket,
    },
    /// From the home: what the group looks like.
    Answer {
        /// Who asked.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// To the home: somebody of this shard subscribes to the group; answered by [`Mail::Subscribed`], and every update
    /// that is numbered after it comes as [`Mail::Deliver`]. One letter for each who does, so that the answers come in
    /// the order in which they asked.
    Subscribe {
        /// Which group.
        group: GroupId,
        /// The shard that wants it.
        from: ShardId,
    },
    /// From the home: how the group stands now, or why it could not be made.
    Subscribed {
        /// Which group.
        group: GroupId,
        /// Where the one who asked first joins it.
        joined: Result<Joined, NoRoom>,
    },
    /// To the home: this shard has no subscriber of the group left.
    Unsubscribe {
        /// Which group.
        group: GroupId,
        /// The shard that wanted it.
        from: ShardId,
    },
    /// From the home: what the group was told in one turn.
    Deliver {
        /// Which group.
        group: GroupId,
        /// In the order of their numbers.
        updates: Arc<[Arc<Update>]>,
    },
    /// To the home: what a connection of another shard has to do with a member.
    Presence {
        /// Which group.
        group: GroupId,
        /// Which member.
        member: MemberId,
        /// What happened.
        presence: Presence,
    },
    /// From the home to everyone: the group has become, or is no longer, too large to pull connections home.
    Giant {
        /// Which group.
        group: GroupId,
        /// Whether it is.
        giant: bool,
    },
}

/// Where a subscriber of another shard joins a group.
#[derive(Debug)]
pub struct Joined {
    /// The group's newest number, updates included that are yet to be told: without a cursor, a subscriber is owed what
    /// comes after it. The shard's mirror may be behind that.
    pub newest: Seq,
    /// All that a subscriber may be owed, for a shard that has no mirror yet.
    pub copy: Option<Box<GroupCopy>>,
}

/// Who waits for an answer, and what for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// The shard that asked.
    pub shard: ShardId,
    /// Its connection.
    pub conn: ConnId,
    /// What that is counted as.
    pub transport: Transport,
    /// The receipt that a STOMP client wants once its publish is numbered.
    pub receipt: Option<Box<str>>,
}

/// What became of a publish.
pub type Outcome = Result<Published, Refused>;

/// Why a publish or a subscription was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its group refuses it.
    Publish(Refusal),
    /// Its group cannot be made.
    Group(NoRoom),
}

impl Refused {
    /// How the metrics count it.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Publish(refusal) => refusal.reason(),
            Self::Group(no_room) => no_room.reason(),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Publish(refusal) => refusal.fmt(f),
            Self::Group(no_room) => no_room.fmt(f),
        }
    }
}

/// What is asked about a group without changing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Its newest update.
    Newest,
    /// The newest update of each present member.
    Snapshot,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// The newest update of the members present, if there is one, and whether the group ever had any.
    Newest {
        /// `None` when no member is present.
        update: Option<Arc<Update>>,
        /// Whether the group ever had an update.
        ever: bool,
        /// The cursor to poll with next; 0 when there is no such group.
        cursor: Seq,
    },
    /// The members present.
    Snapshot {
        /// The group's newest number; 0 when there is no such group.
        seq: Seq,
        /// One update a member, in the order of their numbers.
        updates: Vec<Arc<Update>>,
    },
}

/// What a connection has to do with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A connection that speaks for it opened or subscribed.
    Connected,
    /// A connection that spoke for it closed or unsubscribed; it leaves with the last one.
    Disconnected {
        /// Whether its leaving is told; a drain tells none.
        tell: bool,
    },
    /// A long poll in its name parked: it is heard as long as that lasts.
    Parked,
    /// That long poll ended.
    Unparked,
}

/// A connection on its way to the home shard of the first group it named, without its socket.
#[derive(Debug)]
pub struct Parcel {
    /// The conversation so far.
    pub session: Session,
    /// What it is counted as.
    pub transport: Transport,
    /// What was agreed about heart-beats, on STOMP once it is connected.
    pub heart_beat: Option<HeartBeat>,
    /// What the connection asked for and nobody has acted on yet.
    pub event: Event,
    /// Bytes that were read behind it.
    pub unread: Vec<u8>,
    /// Whole frames and answers that it is owed and that no part was written of.
    pub control: Vec<u8>,
}
