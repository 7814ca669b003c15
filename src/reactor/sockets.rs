//! The worker's sockets, by the slots of their connections: reads, writes, and what epoll was told of each.
//!
//! Interest in writing is registered when a write has left something over, and stays: edges come only after that.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;

use mio::net::TcpStream;
use mio::{Interest, Registry};

use crate::ids::ConnId;
use crate::reactor::source::Source;
use crate::shard::{Standing, Wrote};

/// The sockets of one worker.
#[derive(Debug)]
pub(super) struct Sockets {
    slots: Vec<Option<Socket>>,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    generation: u32,
    registered: Registered,
    standing: Standing,
    notes: Notes,
}

/// Every connection pays for it; mio keeps more than a descriptor where it checks itself.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Option<Socket>>() <= 12);

/// Yes-or-no facts of a socket, a bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Notes(u8);

impl Notes {
    /// The shard takes nothing from it for now.
    const HELD: u8 = 1;
    /// Bytes may lie in the kernel that no edge will tell of.
    const UNREAD: u8 = 2;
    /// The peer has closed its side.
    const READ_CLOSED: u8 = 4;
    /// It is among those that are read next turn.
    const QUEUED: u8 = 8;

    const fn has(self, note: u8) -> bool {
        self.0 & note != 0
    }

    /// Sets or clears a note; whether it was set before.
    const fn replace(&mut self, note: u8, is_set: bool) -> bool {
        let before = self.has(note);
        self.0 = if is_set { self.0 | note } else { self.0 & !note };
        before
    }
}

/// What epoll was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registered {
    Nothing,
    Reading,
    ReadingAndWriting,
}

/// How a read went.
pub(super) enum Read {
    Bytes(usize),
    /// Nothing is there now.
    Dry,
    /// Nothing will be there any more.
    Ended,
    Broken,
}

impl Sockets {
    /// A table that grows to this many without moving.
    pub(super) fn with_capacity(slots: usize) -> Self {
        Self { slots: Vec::with_capacity(slots) }
    }

    pub(super) fn insert(&mut self, conn: ConnId, stream: TcpStream, standing: Standing) {
        let slot = conn.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(Socket {
            stream,
            generation: conn.generation,
            registered: Registered::Nothing,
            standing,
            notes: Notes::default(),
        });
    }

    fn get(&self, conn: ConnId) -> Option<&Socket> {
        self.slots.get(conn.slot as usize)?.as_ref().filter(|socket| socket.generation == conn.generation)
    }

    fn get_mut(&mut self, conn: ConnId) -> Option<&mut Socket> {
        self.slots.get_mut(conn.slot as usize)?.as_mut().filter(|socket| socket.generation == conn.generation)
    }

    /// Reads once.
    pub(super) fn read(&self, conn: ConnId, buffer: &mut [u8]) -> Read {
        let Some(socket) = self.get(conn) else { return Read::Dry };
        loop {
            return match (&socket.stream).read(buffer) {
                Ok(0) => Read::Ended,
                Ok(bytes) => Read::Bytes(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Read::Dry,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => Read::Broken,
            };
        }
    }

    /// Writes once.
    pub(super) fn write(&self, conn: ConnId, bytes: &[u8]) -> Wrote {
        let Some(socket) = self.get(conn) else { return Wrote::Broken };
        loop {
            return match (&socket.stream).write(bytes) {
                Ok(taken) => Wrote::Bytes(taken),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Wrote::Bytes(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => Wrote::Broken,
            };
        }
    }

    /// Half-closes; a socket that is beyond that will say so when it is read.
    pub(super) fn shutdown_write(&self, conn: ConnId) {
        if let Some(socket) = self.get(conn) {
            let _ = socket.stream.shutdown(Shutdown::Write);
        }
    }

    /// Tells epoll of a newcomer; how many calls that took.
    pub(super) fn register(&mut self, conn: ConnId, registry: &Registry) -> io::Result<u64> {
        let Some(socket) = self.get_mut(conn) else { return Ok(0) };
        if socket.registered != Registered::Nothing {
            return Ok(0);
        }
        registry.register(&mut socket.stream, Source::Conn(conn).token(), Interest::READABLE)?;
        socket.registered = Registered::Reading;
        Ok(1)
    }

    /// Has epoll say when a socket takes bytes again; how many calls that took.
    pub(super) fn watch_writable(&mut self, conn: ConnId, registry: &Registry) -> u64 {
        let Some(socket) = self.get_mut(conn) else { return 0 };
        let both = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Conn(conn).token();
        let done = match socket.registered {
            Registered::ReadingAndWriting => return 0,
            Registered::Nothing => registry.register(&mut socket.stream, token, both),
            Registered::Reading => registry.reregister(&mut socket.stream, token, both),
        };
        // A socket that epoll does not take is found broken by the next read or by TCP_USER_TIMEOUT.
        if done.is_ok() {
            socket.registered = Registered::ReadingAndWriting;
        }
        1
    }

    /// Takes a socket out, for another worker; and how many calls that took.
    pub(super) fn take(&mut self, conn: ConnId, registry: &Registry) -> Option<(TcpStream, u64)> {
        self.get(conn)?;
        let mut socket = self.slots.get_mut(conn.slot as usize)?.take()?;
        if socket.registered == Registered::Nothing {
            return Some((socket.stream, 0));
        }
        // It fails only if epoll does not know the socket, which is as good.
        let _ = registry.deregister(&mut socket.stream);
        Some((socket.stream, 1))
    }

    /// Closes a socket; epoll forgets it with its descriptor. What its standing was.
    pub(super) fn close(&mut self, conn: ConnId) -> Option<Standing> {
        self.get(conn)?;
        let socket = self.slots.get_mut(conn.slot as usize)?.take()?;
        Some(socket.standing)
    }

    /// Whether the shard takes nothing from it for now; `None` if there is no such socket.
    pub(super) fn is_held(&self, conn: ConnId) -> Option<bool> {
        self.get(conn).map(|socket| socket.notes.has(Notes::HELD))
    }

    pub(super) fn set_held(&mut self, conn: ConnId, held: bool) {
        if let Some(socket) = self.get_mut(conn) {
            socket.notes.replace(Notes::HELD, held);
        }
    }

    /// Notes whether a socket is among those that are read next turn; false if nothing changes by that.
    pub(super) fn set_queued(&mut self, conn: ConnId, queued: bool) -> bool {
        self.get_mut(conn).is_some_and(|socket| socket.notes.replace(Notes::QUEUED, queued) != queued)
    }

    /// Bytes may lie there that no edge will tell of.
    pub(super) fn note_unread(&mut self, conn: ConnId) {
        if let Some(socket) = self.get_mut(conn) {
            socket.notes.replace(Notes::UNREAD, true);
        }
    }

    /// Whether that is so; it is up to the caller to read them now.
    pub(super) fn take_unread(&mut self, conn: ConnId) -> bool {
        self.get_mut(conn).is_some_and(|socket| socket.notes.replace(Notes::UNREAD, false))
    }

    pub(super) fn note_read_closed(&mut self, conn: ConnId) {
        if let Some(socket) = self.get_mut(conn) {
            socket.notes.replace(Notes::READ_CLOSED, true);
        }
    }

    pub(super) fn is_read_closed(&self, conn: ConnId) -> bool {
        self.get(conn).is_some_and(|socket| socket.notes.has(Notes::READ_CLOSED))
    }
}
