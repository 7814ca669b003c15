//! The rules of a STOMP conversation that a client can break, and how each is told and counted.

use crate::ids::{MemberId, Seq};
use crate::limits::{STOMP_TRANSACTION_BYTES_MAX, STOMP_TRANSACTIONS_MAX};
use crate::report::Reason;
use crate::wire::json::PublishError;
use crate::wire::stomp::Command;
use crate::wire::stomp::field::FieldError;
use crate::wire::stomp::frame::FrameError;

/// A rule that a frame broke; each is told in an ERROR and ends the connection.
#[derive(Debug, PartialEq)]
pub(super) enum StompError {
    Frame(FrameError),
    Field(FieldError),
    Publish(PublishError),
    NotConnected,
    ConnectedAlready,
    ServerFrame(Command),
    BadMember,
    BadSince,
    BadPrefetchCount,
    IdInUse,
    UnknownSubscription,
    SubscriptionsMax(usize),
    UnknownTransaction,
    TransactionInUse,
    TransactionsMax,
    TransactionBytesMax,
    NotSent,
}

impl From<FieldError> for StompError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl StompError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Frame(error) => error.reason(),
            Self::Field(error) => error.reason(),
            Self::Publish(_) => Reason::BadPublish,
            Self::SubscriptionsMax(_) => Reason::SubscriptionsMax,
            Self::TransactionsMax | Self::TransactionBytesMax => Reason::TransactionsMax,
            Self::NotConnected
            | Self::ConnectedAlready
            | Self::ServerFrame(_)
            | Self::BadMember
            | Self::BadSince
            | Self::BadPrefetchCount
            | Self::IdInUse
            | Self::UnknownSubscription
            | Self::UnknownTransaction
            | Self::TransactionInUse
            | Self::NotSent => Reason::Stomp,
        }
    }
}

impl std::fmt::Display for StompError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Field(error) => error.fmt(f),
            Self::Publish(error) => error.fmt(f),
            Self::NotConnected => write!(f, "the first frame is neither CONNECT nor STOMP"),
            Self::ConnectedAlready => write!(f, "the session is connected already"),
            Self::ServerFrame(command) => write!(f, "{} is a server's frame", command.label()),
            Self::BadMember => {
                write!(f, "member is not 1 to {} bytes of utf-8 without controls", MemberId::BYTES_MAX)
            }
            Self::BadSince => write!(f, "since is not an integer from 0 to {}", Seq::END - 1),
            Self::BadPrefetchCount => write!(f, "prefetch-count is not an integer from 1"),
            Self::IdInUse => write!(f, "a subscription with this id exists already"),
            Self::UnknownSubscription => write!(f, "there is no subscription with this id"),
            Self::SubscriptionsMax(max) => write!(f, "the connection has its {max} subscriptions already"),
            Self::UnknownTransaction => write!(f, "there is no transaction with this id"),
            Self::TransactionInUse => write!(f, "a transaction with this id is open already"),
            Self::TransactionsMax => {
                write!(f, "the connection has its {STOMP_TRANSACTIONS_MAX} transactions already")
            }
            Self::TransactionBytesMax => {
                write!(f, "the open transactions would hold more than {STOMP_TRANSACTION_BYTES_MAX} bytes")
            }
            Self::NotSent => write!(f, "no message with this id was sent"),
        }
    }
}
