//! Thousands of clients on one event loop and one thread, so that the client side costs little more than its calls.
//!
//! Connections are numbered and no number is used twice. The clock is the fleet's own; what a client hears is stamped
//! when the read that brought it returned.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use geoloop::clock::Clock;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::PATIENCE;
use crate::peer::{Conversation, Dialect, What};

/// Connections that are opened together: below any listener's backlog.
const BURST: usize = 200;

/// One connection of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PeerId(pub(crate) usize);

/// Something that a connection heard.
#[derive(Debug)]
pub(crate) struct Said {
    /// Which one.
    pub(crate) peer: PeerId,
    /// When, in microseconds of the fleet's clock.
    pub(crate) at_micros: u64,
    /// What.
    pub(crate) what: What,
}

/// How a socket is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    /// SO_RCVBUF, if the kernel's own choice will not do.
    pub(crate) receive_buffer: Option<usize>,
    /// Whether closing resets, which leaves no TIME_WAIT behind.
    pub(crate) reset_on_close: bool,
}

struct Peer {
    stream: TcpStream,
    conversation: Conversation,
    reading: bool,
}

/// The clients and their event loop.
pub(crate) struct Fleet {
    address: SocketAddr,
    clock: Clock,
    poll: Poll,
    events: Option<Events>,
    peers: Vec<Option<Box<Peer>>>,
    said: Vec<Said>,
    buffer: Vec<u8>,
}

impl Fleet {
    /// A fleet of none, against the server at this address.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            clock: Clock::start(),
            poll: Poll::new().expect("the system lets us wait"),
            events: Some(Events::with_capacity(1024)),
            peers: Vec::new(),
            said: Vec::new(),
            buffer: vec![0; 64 * 1024],
        }
    }

    /// Microseconds since the fleet began.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now().micros
    }

    /// Begins to connect.
    pub(crate) fn open(&mut self, dialect: Dialect, setup: Setup) -> PeerId {
        let id = PeerId(self.peers.len());
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
        socket.set_nonblocking(true).expect("a socket");
        socket.set_tcp_nodelay(true).expect("a TCP socket");
        if let Some(bytes) = setup.receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("a TCP socket");
        }
        if setup.reset_on_close {
            socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket");
        }
        // In progress is no failure, and a real one shows as the end of the connection.
        drop(socket.connect(&self.address.into()));
        let mut stream = TcpStream::from_std(socket.into());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(id.0), both).expect("epoll takes a socket");
        let conversation = Conversation::new(dialect);
        self.peers.push(Some(Box::new(Peer { stream, conversation, reading: true })));
        id
    }

    /// Opens many and returns once all of them are open; what others hear meanwhile goes to `hear`.
    #[track_caller]
    pub(crate) fn open_all(
        &mut self,
        dialects: Vec<Dialect>,
        setup: Setup,
        mut hear: impl FnMut(Said),
    ) -> Vec<PeerId> {
        let mut ids = Vec::new();
        for burst in dialects.chunks(BURST) {
            let first = self.peers.len();
            ids.extend(burst.iter().map(|dialect| self.open(dialect.clone(), setup)));
            let mut missing = burst.iter().filter(|dialect| **dialect != Dialect::Http).count();
            let deadline = self.now() + PATIENCE.as_micros() as u64;
            while missing > 0 {
                assert!(self.now() < deadline, "{missing} of {} do not get in", burst.len());
                for said in self.turn(deadline) {
                    match said.what {
                        What::Opened if said.peer.0 >= first => missing -= 1,
                        What::Answer(_) | What::Ended if said.peer.0 >= first => panic!("refused: {said:?}"),
                        _ => hear(said),
                    }
                }
            }
        }
        ids
    }

    /// Sends bytes as they are; lost if the connection is no more.
    pub(crate) fn send(&mut self, id: PeerId, bytes: &[u8]) {
        if let Some(peer) = &mut self.peers[id.0] {
            peer.conversation.unsent.extend_from_slice(bytes);
            peer.write();
        }
    }

    /// Publishes in the connection's dialect; lost if the connection is no more.
    pub(crate) fn publish(&mut self, id: PeerId, group: u64, body: &str) {
        if let Some(peer) = &mut self.peers[id.0] {
            peer.conversation.publish(group, body);
            peer.write();
        }
    }

    /// Reads nothing more from a connection, whatever comes.
    pub(crate) fn stop_reading(&mut self, id: PeerId) {
        if let Some(peer) = &mut self.peers[id.0] {
            peer.reading = false;
        }
    }

    /// Reads a stopped connection again; what lay there is among what the next turn says.
    pub(crate) fn read_again(&mut self, id: PeerId) {
        if let Some(peer) = &mut self.peers[id.0] {
            peer.reading = true;
            self.read(id, true);
        }
    }

    /// Takes what there is from a stopped connection in one read of so many bytes at most.
    pub(crate) fn sip(&mut self, id: PeerId, bytes: usize) {
        let Some(peer) = &mut self.peers[id.0] else { return };
        if let Ok(length @ 1..) = (&peer.stream).read(&mut self.buffer[..bytes]) {
            let (at_micros, said) = (self.clock.now().micros, &mut self.said);
            let mut say = |what| said.push(Said { peer: id, at_micros, what });
            peer.conversation.receive(&mut self.buffer[..length], &mut say);
            peer.write();
        }
    }

    /// Closes a connection, which is not told as its end.
    pub(crate) fn close(&mut self, id: PeerId) {
        self.peers[id.0] = None;
    }

    /// Cuts a connection by a reset.
    pub(crate) fn reset(&mut self, id: PeerId) {
        if let Some(peer) = self.peers[id.0].take() {
            drop(SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO)));
        }
    }

    /// Closes all.
    pub(crate) fn close_all(&mut self) {
        self.peers.iter_mut().for_each(|peer| *peer = None);
    }

    /// Waits for something to be heard, no longer than until this moment of the fleet's clock, and says what was.
    ///
    /// The last millisecond is waited out awake: epoll counts in whole ones, and a publish is to leave when intended.
    pub(crate) fn turn(&mut self, until_micros: u64) -> Vec<Said> {
        let wait_ms = if self.said.is_empty() { until_micros.saturating_sub(self.now()) / 1000 } else { 0 };
        let mut events = self.events.take().expect("a turn is not within a turn");
        match self.poll.poll(&mut events, Some(Duration::from_millis(wait_ms))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => panic!("epoll: {error}"),
            Ok(()) | Err(_) => {}
        }
        for event in &events {
            let id = PeerId(event.token().0);
            if event.is_writable()
                && let Some(peer) = &mut self.peers[id.0]
            {
                peer.write();
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(id, event.is_read_closed() || event.is_error());
            }
        }
        self.events = Some(events);
        std::mem::take(&mut self.said)
    }

    /// Reads to a short read; to the very end where an end is announced.
    fn read(&mut self, id: PeerId, to_the_end: bool) {
        loop {
            let Some(peer) = &mut self.peers[id.0] else { return };
            if !peer.reading {
                return;
            }
            let length = match (&peer.stream).read(&mut self.buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            let (at_micros, said) = (self.clock.now().micros, &mut self.said);
            let mut say = |what| said.push(Said { peer: id, at_micros, what });
            if length == 0 {
                say(What::Ended);
                self.peers[id.0] = None;
                return;
            }
            peer.conversation.receive(&mut self.buffer[..length], &mut say);
            peer.write();
            if length < self.buffer.len() && !to_the_end {
                return;
            }
        }
    }
}

impl Peer {
    /// Writes what there is to write, as far as the socket takes it; a broken one shows when it is read.
    fn write(&mut self) {
        let unsent = &mut self.conversation.unsent;
        while !unsent.is_empty() {
            match (&self.stream).write(unsent) {
                Ok(taken) => drop(unsent.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return;
                }
                Err(_) => return unsent.clear(),
            }
        }
    }
}
