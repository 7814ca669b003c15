//! Open transactions: what SENDs and ACKs hold back until COMMIT, and how much that may be.
//!
//! Knows nothing of frames; read "BEGIN" and "COMMIT" of the STOMP 1.2 specification first.

use std::collections::VecDeque;

use crate::ids::Seq;
use crate::limits::{STOMP_TRANSACTION_BYTES_MAX, STOMP_TRANSACTIONS_MAX};
use crate::session::stomp::error::StompError;
use crate::session::{Event, Said};

/// The transactions of one connection.
///
/// Invariant: `bytes` is what the open ones count for in all, and within its limit.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    open: Vec<Transaction>,
    bytes: usize,
    /// What a COMMIT has let loose and nobody has acted on yet.
    pub(super) committed: VecDeque<Event>,
}

#[derive(Debug)]
struct Transaction {
    id: Box<str>,
    bytes: usize,
    acts: Vec<Act>,
}

/// What a transaction holds back.
#[derive(Debug)]
pub(super) enum Act {
    Publish(Said),
    Acknowledge { ordinal: u32, seq: Seq },
}

impl Transactions {
    /// How many bytes the open transactions count for.
    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory held for the open transactions, and for what a COMMIT has let loose.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes + self.committed.capacity() * size_of::<Event>()
    }

    /// Opens a transaction.
    pub(super) fn begin(&mut self, id: &str) -> Result<(), StompError> {
        if self.open.iter().any(|transaction| *transaction.id == *id) {
            return Err(StompError::TransactionInUse);
        }
        if self.open.len() >= STOMP_TRANSACTIONS_MAX {
            return Err(StompError::TransactionsMax);
        }
        self.count(id.len())?;
        self.open.push(Transaction { id: id.into(), bytes: id.len(), acts: Vec::new() });
        Ok(())
    }

    /// Keeps an act for the COMMIT; it counts for what it holds and for a place in the list.
    pub(super) fn hold_back(&mut self, id: &str, act: Act, body_bytes: usize) -> Result<(), StompError> {
        let place = self.place(id)?;
        let bytes = body_bytes + size_of::<Act>();
        self.count(bytes)?;
        self.open[place].bytes += bytes;
        self.open[place].acts.push(act);
        Ok(())
    }

    /// Closes a transaction; what it held back.
    pub(super) fn end(&mut self, id: &str) -> Result<Vec<Act>, StompError> {
        let place = self.place(id)?;
        let transaction = self.open.remove(place);
        self.bytes -= transaction.bytes;
        Ok(transaction.acts)
    }

    fn place(&self, id: &str) -> Result<usize, StompError> {
        let place = self.open.iter().position(|transaction| *transaction.id == *id);
        place.ok_or(StompError::UnknownTransaction)
    }

    fn count(&mut self, bytes: usize) -> Result<(), StompError> {
        if self.bytes + bytes > STOMP_TRANSACTION_BYTES_MAX {
            return Err(StompError::TransactionBytesMax);
        }
        self.bytes += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACT: Act = Act::Acknowledge { ordinal: 0, seq: Seq::ZERO };

    #[test]
    fn transactions_are_bounded_in_number() {
        let mut transactions = Transactions::default();
        for id in 0..STOMP_TRANSACTIONS_MAX {
            transactions.begin(&id.to_string()).unwrap();
        }
        assert_eq!(transactions.begin("one more"), Err(StompError::TransactionsMax));
        assert_eq!(transactions.begin("0"), Err(StompError::TransactionInUse));
        assert!(transactions.end("0").unwrap().is_empty());
        transactions.begin("one more").unwrap();
    }

    #[test]
    fn transactions_are_bounded_in_bytes_all_together() {
        let mut transactions = Transactions::default();
        transactions.begin("a").unwrap();
        transactions.begin("b").unwrap();
        let room = STOMP_TRANSACTION_BYTES_MAX - transactions.bytes - size_of::<Act>();
        assert_eq!(transactions.hold_back("a", ACT, room + 1), Err(StompError::TransactionBytesMax));
        transactions.hold_back("a", ACT, room).unwrap();
        assert_eq!(transactions.hold_back("b", ACT, 0), Err(StompError::TransactionBytesMax));
        assert_eq!(transactions.end("a").unwrap().len(), 1);
        transactions.hold_back("b", ACT, 0).unwrap();
        assert_eq!(transactions.hold_back("a", ACT, 0), Err(StompError::UnknownTransaction));
    }
}
