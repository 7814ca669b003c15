//! Letters between workers: a bounded channel a worker, and a waker that is used only when nobody has yet.
//!
//! Mail is never lost: what a full mailbox does not take waits with its sender, in order.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::net::TcpStream;
use mio::{Poll, Waker};

use crate::ids::{ConnId, ShardId};
use crate::limits::{MAILBOX_LETTERS_ALONE_MAX, MAILBOX_LETTERS_MAX};
use crate::reactor::source::Source;
use crate::report::Report;
use crate::shard::Standing;
use crate::shard::mail::{Mail, Parcel};

/// What workers send each other.
pub(super) enum Letter {
    /// From shard to shard.
    Mail(Mail),
    /// A connection with its socket.
    HandOver {
        /// The socket.
        stream: TcpStream,
        /// The conversation.
        parcel: Box<Parcel>,
    },
    /// A socket that was accepted by a worker that accepts for all.
    Newcomer {
        /// The socket.
        stream: TcpStream,
        /// The place that was taken for it.
        standing: Standing,
    },
    /// Send your counts.
    Scrape {
        /// To whom.
        from: ShardId,
        /// For which of its connections.
        conn: ConnId,
    },
    /// The counts that were asked for.
    Scraped {
        /// Whose.
        by: ShardId,
        /// For which connection.
        conn: ConnId,
        /// The counts.
        report: Box<Report>,
    },
    /// The server goes down, within this time.
    Drain {
        /// The time.
        window: Duration,
    },
    /// The server goes down now.
    Stop,
}

/// The receiving end of one worker.
pub(super) struct Mailbox {
    letters: Receiver<Letter>,
    woken: Arc<AtomicBool>,
}

impl Mailbox {
    /// To be called before letters are taken: whoever sends from now on wakes the worker again.
    ///
    /// The flag falls before the box is emptied. The other way round a letter could come between the two, find the
    /// flag up, and lie there until something else happens.
    pub(super) fn open(&self) {
        self.woken.store(false, Ordering::SeqCst);
    }

    pub(super) fn take(&self) -> Option<Letter> {
        self.letters.try_recv().ok()
    }
}

/// The way to one worker's mailbox; cheap to clone.
#[derive(Clone)]
pub(super) struct Address {
    letters: Sender<Letter>,
    woken: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Address {
    /// Posts a letter and wakes the worker; gives the letter back if the mailbox is full.
    ///
    /// # Errors
    /// The letter itself, to be posted again.
    pub(super) fn try_post(&self, letter: Letter) -> Result<(), Letter> {
        match self.letters.try_send(letter) {
            Ok(()) => {
                if !self.woken.swap(true, Ordering::SeqCst) {
                    // It fails only when the worker is gone, and then nobody reads the letter either.
                    let _ = self.waker.wake();
                }
                Ok(())
            }
            Err(TrySendError::Full(letter)) => Err(letter),
            // The worker has ended: nobody waits for its answer any more.
            Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}

/// Makes the mailbox of one of so many workers, and the way to it.
///
/// # Errors
/// When no waker can be had.
pub(super) fn mailbox(poll: &Poll, workers: usize) -> io::Result<(Mailbox, Address)> {
    // The channel's places are made at once.
    let letters_max = if workers == 1 { MAILBOX_LETTERS_ALONE_MAX } else { MAILBOX_LETTERS_MAX };
    let (sender, receiver) = bounded(letters_max);
    let woken = Arc::new(AtomicBool::new(false));
    let waker = Arc::new(Waker::new(poll.registry(), Source::Mailbox.token())?);
    let mailbox = Mailbox { letters: receiver, woken: woken.clone() };
    Ok((mailbox, Address { letters: sender, woken, waker }))
}

/// One worker's way to all mailboxes, with the letters that a full one has not taken yet.
pub(super) struct Post {
    addresses: Vec<Address>,
    waiting: Vec<VecDeque<Letter>>,
    waiting_letters: usize,
}

impl Post {
    /// The way to these mailboxes, by shard.
    #[must_use]
    pub(super) fn new(addresses: Vec<Address>) -> Self {
        let waiting = addresses.iter().map(|_| VecDeque::new()).collect();
        Self { addresses, waiting, waiting_letters: 0 }
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.addresses.len()
    }

    /// Posts a letter behind those that wait already.
    pub(super) fn send(&mut self, to: ShardId, letter: Letter) {
        let waiting = &mut self.waiting[to.index()];
        let refused =
            if waiting.is_empty() { self.addresses[to.index()].try_post(letter).err() } else { Some(letter) };
        if let Some(letter) = refused {
            waiting.push_back(letter);
            self.waiting_letters += 1;
        }
    }

    /// Whether letters wait.
    pub(super) const fn has_waiting(&self) -> bool {
        self.waiting_letters > 0
    }

    /// Tries again to post the letters that wait, each mailbox's in order.
    pub(super) fn retry(&mut self) {
        for (address, waiting) in self.addresses.iter().zip(&mut self.waiting) {
            while let Some(letter) = waiting.pop_front() {
                if let Err(letter) = address.try_post(letter) {
                    waiting.push_front(letter);
                    break;
                }
                self.waiting_letters -= 1;
            }
        }
    }
}
