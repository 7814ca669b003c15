//! A connection: its socket, and what of it is not whole or not taken.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

use crate::group::Form;

/// What comes next on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// A request, also while a long poll is parked.
    Requests,
    /// Nothing that is listened to.
    Nothing,
    /// Masked frames with publishes to this group.
    Texts { group: u32 },
    /// Masked frames with STOMP frames.
    Stomp,
}

/// Where a connection is listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) group: u32,
    pub(crate) form: Form,
    pub(crate) place: u32,
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    pub(crate) speaks: Speaks,
    pub(crate) listed: Option<Listed>,
    /// The begin of a request or frame whose end has not come.
    pub(crate) held: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
    pub(crate) is_over: bool,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    All,
    /// The rest waits for the socket; it was not so before.
    Blocked,
    Failed,
}

/// How much a connection may have unsent before it is closed.
const UNSENT_BYTES_MAX: usize = 16 << 20;

impl Conn {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            speaks: Speaks::Requests,
            listed: None,
            held: Vec::new(),
            unsent: Vec::new(),
            is_over: false,
        }
    }

    /// Reads once; `None` if there is nothing, 0 if it is over.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            match self.stream.read(buffer) {
                Ok(count) => return Some(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Some(0),
            }
        }
    }

    /// Writes once; what is not taken waits.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Wrote {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            let is_full = self.unsent.len() > UNSENT_BYTES_MAX;
            return if is_full { Wrote::Failed } else { Wrote::All };
        }
        match write_once(&mut self.stream, bytes) {
            Ok(count) if count == bytes.len() => Wrote::All,
            Ok(count) => {
                self.unsent.extend_from_slice(&bytes[count..]);
                Wrote::Blocked
            }
            Err(_) => Wrote::Failed,
        }
    }

    /// Writes what waits; true if nothing does any more.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let count = write_once(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..count);
        Ok(self.unsent.is_empty())
    }
}

/// How many bytes the socket takes at once.
fn write_once(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            wrote => return wrote,
        }
    }
}
