//! Listening sockets: binding them, accepting from them, and what to do when nobody more can be taken in.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry};
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::clock::Tick;
use crate::ids::ShardId;
use crate::limits::{
    ACCEPT_RETRY, ACCEPTS_ASKED_MAX, ACCEPTS_PER_TURN_MAX, BACKLOG, KERNEL_UNSENT_BYTES, SURPLUS_MAX,
};
use crate::reactor::Reactor;
use crate::reactor::mailbox::Letter;
use crate::reactor::source::Source;
use crate::report::{Call, Reason};
use crate::shard::Standing;

/// What a newcomer is told unread when even those places are taken: one of these after the other, so that those who are
/// turned away together do not come back together.
const NO_PLACE: [&[u8]; 4] = [
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 4\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
];

/// How often the log says that newcomers cannot be taken in: each of them comes with a line otherwise.
const SHORTAGE_TOLD_EVERY: Duration = Duration::from_secs(60);

/// The sockets that listen on one address.
pub struct Bind {
    /// The address, with the port that port 0 became.
    pub address: SocketAddr,
    /// One a worker; a single one where they cannot share the address: then one worker accepts for all.
    listeners: Vec<Listener>,
}

impl Bind {
    /// The listener of the next worker, if there is one for it.
    pub(super) fn take(&mut self) -> Option<Listener> {
        self.listeners.pop()
    }
}

/// Binds an address for so many workers.
///
/// # Errors
/// When it cannot be bound; also when somebody serves it already, which SO_REUSEPORT alone would let pass, and two
/// servers would split every group in silence.
pub fn bind(address: SocketAddr, workers: usize, peer_timeout: Duration) -> io::Result<Bind> {
    let probe = listen(address, false, peer_timeout)?;
    let address = probe.local_addr()?;
    if workers == 1 || !spreads() {
        return Ok(Bind { address, listeners: vec![Listener::new(probe, workers > 1, None)] });
    }
    drop(probe);
    let listener = |_| listen(address, true, peer_timeout).map(|socket| Listener::new(socket, false, None));
    Ok(Bind { address, listeners: (0..workers).map(listener).collect::<io::Result<_>>()? })
}

/// Takes over a socket that listens already, for so many workers.
///
/// It stays the only one of its address, for none can join one that was bound without SO_REUSEPORT. Each worker could
/// accept from it, but then each would be woken for every newcomer: so one accepts, and deals them out.
///
/// # Errors
/// When it is none that listens.
pub fn adopt(socket: StdListener, workers: usize, peer_timeout: Duration) -> io::Result<Bind> {
    let socket = Socket::from(socket);
    #[cfg(target_os = "linux")]
    if !socket.is_listener()? {
        return Err(io::Error::new(ErrorKind::InvalidInput, "a socket that does not listen"));
    }
    socket.set_nonblocking(true)?;
    endow(&socket, peer_timeout)?;
    let socket = TcpListener::from_std(socket.into());
    Ok(Bind {
        address: socket.local_addr()?,
        listeners: vec![Listener::new(socket, workers > 1, Some(peer_timeout))],
    })
}

/// Whether the system spreads newcomers over sockets that share a port.
const fn spreads() -> bool {
    cfg!(target_os = "linux")
}

fn listen(address: SocketAddr, share: bool, peer_timeout: Duration) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if share {
        socket.set_reuse_port(true)?;
    }
    endow(&socket, peer_timeout)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Sets what a connection needs. What is accepted inherits it from a listener, and then costs no call of its own.
fn endow(socket: &Socket, peer_timeout: Duration) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let probe_every = (peer_timeout / 3).max(Duration::from_secs(1));
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(probe_every).with_interval(probe_every))?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(peer_timeout))?;
        socket.set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES)?;
    }
    Ok(())
}

/// One listening socket of a worker.
pub(super) struct Listener {
    socket: TcpListener,
    state: State,
    /// It is the only one of its address: whoever has it deals out what it accepts.
    deals: bool,
    /// Who came while the socket was not ours inherits nothing of us. They are first in the backlog, so until it has
    /// been empty once each is endowed by itself, with this `--peer-timeout`.
    elders: Option<Duration>,
}

enum State {
    /// The backlog is empty as far as is known.
    Quiet,
    /// Newcomers may wait.
    Ready,
    /// Descriptors ran out: edges are not heeded until then, or until one of our connections closes.
    Paused { until: Tick },
}

impl Listener {
    const fn new(socket: TcpListener, deals: bool, elders: Option<Duration>) -> Self {
        Self { socket, state: State::Ready, deals, elders }
    }

    pub(super) fn register(&mut self, registry: &Registry, index: usize) -> io::Result<()> {
        registry.register(&mut self.socket, Source::Listener(index).token(), Interest::READABLE)
    }

    /// Accepts one newcomer; the error that nobody waits is noted.
    fn accept(&mut self) -> io::Result<TcpStream> {
        match self.socket.accept() {
            Ok((stream, _)) => {
                if let Some(peer_timeout) = self.elders {
                    // It fails only if the peer is gone, which shows when it is read.
                    let _ = endow(&SockRef::from(&stream), peer_timeout);
                }
                Ok(stream)
            }
            Err(error) => {
                if error.kind() == ErrorKind::WouldBlock {
                    self.note_empty();
                }
                Err(error)
            }
        }
    }

    /// Asks whether a newcomer waits; that nobody does is noted.
    ///
    /// accept would say so too, but Linux has it make a socket first and throw that away: ten times what asking costs.
    fn has_waiting(&mut self) -> bool {
        let mut asked = [PollFd::new(&self.socket, PollFlags::IN)];
        // Where it cannot be asked, accept tells.
        let has_waiting = rustix::event::poll(&mut asked, Some(&Timespec::default())) != Ok(0);
        if !has_waiting {
            self.note_empty();
        }
        has_waiting
    }

    fn note_empty(&mut self) {
        self.state = State::Quiet;
        self.elders = None;
    }

    /// Newcomers have come.
    pub(super) fn wake(&mut self, now: Tick) {
        match self.state {
            State::Quiet => self.state = State::Ready,
            State::Ready => {}
            State::Paused { until } if until <= now => self.state = State::Ready,
            State::Paused { .. } => {}
        }
    }

    /// A descriptor has come free.
    pub(super) fn note_close(&mut self) {
        if let State::Paused { .. } = self.state {
            self.state = State::Ready;
        }
    }

    pub(super) const fn is_ready(&self, now: Tick) -> bool {
        match self.state {
            State::Quiet => false,
            State::Ready => true,
            State::Paused { until } => until.0 <= now.0,
        }
    }

    /// When to try again without being woken.
    pub(super) const fn retry_at(&self) -> Option<Tick> {
        match self.state {
            State::Quiet => None,
            State::Ready => Some(Tick(0)),
            State::Paused { until } => Some(until),
        }
    }
}

/// A descriptor that is kept for the time when there is no other: given up, it lets newcomers be accepted and told so one
/// after the other. Without it they would wait in the backlog for an answer that nobody can give.
pub(super) struct Reserve {
    descriptor: Option<File>,
    /// Until then running out is not worth another line in the log.
    told_until: Tick,
}

impl Reserve {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { descriptor: Some(Self::open()?), told_until: Tick(0) })
    }

    /// Any descriptor does; this one needs no room on a disk and no port.
    fn open() -> io::Result<File> {
        File::open("/dev/null")
    }

    /// Has the descriptor back; an error says that there is none to be had.
    fn restore(&mut self) -> io::Result<()> {
        if self.descriptor.is_none() {
            self.descriptor = Some(Self::open()?);
        }
        Ok(())
    }
}

/// EMFILE and ENFILE, by the numbers that they have on every Unix system: the process or the system has no descriptor left.
const NO_DESCRIPTOR: [i32; 2] = [24, 23];

fn is_out_of_descriptors(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| NO_DESCRIPTOR.contains(&number))
}

/// Errors of accept that are about one newcomer who has gone again (accept(2)): the next may do.
fn is_about_one(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted | ErrorKind::ConnectionReset)
}

impl Reactor {
    /// Accepts what waits at a listener, within a budget.
    pub(super) fn accept(&mut self, index: usize, now: Tick) {
        // Who cannot be dealt out waits in the backlog, not here with a descriptor.
        if self.listeners[index].deals && self.post.has_waiting() {
            return;
        }
        // Without the reserve a newcomer could take the last descriptor there is, and whoever comes next be told nothing.
        if let Err(error) = self.reserve.restore() {
            return self.pause(index, now, &error);
        }
        for accepted in 0..ACCEPTS_PER_TURN_MAX {
            if (1..=ACCEPTS_ASKED_MAX).contains(&accepted) {
                self.counted.syscalls[Call::Poll as usize] += 1;
                if !self.listeners[index].has_waiting() {
                    return;
                }
            }
            self.counted.syscalls[Call::Accept as usize] += 1;
            match self.listeners[index].accept() {
                Ok(stream) => self.place(stream, self.listeners[index].deals),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if is_about_one(&error) => {}
                Err(error) if is_out_of_descriptors(&error) => {
                    return self.accept_to_refuse(index, now, &error);
                }
                Err(error) => return self.pause(index, now, &error),
            }
        }
        self.listeners[index].state = State::Ready;
    }

    /// No descriptor is left: gives up the reserve one, and tells all who wait, within a budget, that there is no place.
    ///
    /// It is taken back only after that. accept says that there is no descriptor even when nobody waits, so giving it up
    /// and taking it back around each newcomer would go on for ever.
    fn accept_to_refuse(&mut self, index: usize, now: Tick, error: &io::Error) {
        self.reserve.descriptor = None;
        self.pause(index, now, error);
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            self.counted.syscalls[Call::Accept as usize] += 1;
            match self.listeners[index].accept() {
                Ok(stream) => self.turn_away(&stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if is_about_one(&error) => {}
                // Another worker was faster.
                Err(_) => break,
            }
        }
        // Should it fail, it is tried again before anybody is accepted.
        let _ = self.reserve.restore();
    }

    /// Nobody can be accepted for now.
    fn pause(&mut self, index: usize, now: Tick, error: &io::Error) {
        if self.reserve.told_until <= now {
            log::warn!("newcomers are turned away or wait: {error}");
            self.reserve.told_until = now.after(SHORTAGE_TOLD_EVERY);
        }
        self.listeners[index].state = State::Paused { until: now.after(ACCEPT_RETRY) };
    }

    /// Takes a newcomer in, deals it out, or turns it away.
    ///
    /// It has its place from here on: those on their way to another worker are counted, and a drain waits for them.
    fn place(&mut self, stream: TcpStream, deals: bool) {
        let Some(standing) = self.admit() else { return self.turn_away(&stream) };
        if !deals {
            return self.welcome(stream, standing);
        }
        self.dealt = (self.dealt + 1) % self.post.workers();
        let to = ShardId(u16::try_from(self.dealt).expect("there are at most WORKERS_MAX workers"));
        if to == self.id {
            self.welcome(stream, standing);
        } else {
            self.post.send(to, Letter::Newcomer { stream, standing });
        }
    }

    /// Gives a newcomer a place, or one of those for whoever is read all the same; `None` if both are taken.
    fn admit(&self) -> Option<Standing> {
        let takes = |count: &AtomicUsize, max| {
            let is_free = count.fetch_add(1, Ordering::Relaxed) < max;
            if !is_free {
                count.fetch_sub(1, Ordering::Relaxed);
            }
            is_free
        };
        let guest = takes(&self.places.taken, self.places.max).then_some(Standing::Guest);
        guest.or_else(|| takes(&self.places.surplus, SURPLUS_MAX).then_some(Standing::Surplus))
    }

    /// Tells a newcomer unread that there is no place.
    ///
    /// What it has sent already is taken off first, for closing a socket with bytes unread resets it, and a reset may
    /// overtake the answer.
    fn turn_away(&mut self, mut stream: &TcpStream) {
        let refused = &mut self.counted.refused[Reason::ConnectionsMax as usize];
        let no_place = NO_PLACE[*refused as usize % NO_PLACE.len()];
        *refused += 1;
        for call in [Call::Read, Call::Write, Call::Shutdown, Call::Close] {
            self.counted.syscalls[call as usize] += 1;
        }
        // A fresh socket takes this much, or its peer is gone; whether it is makes no difference any more.
        let _ = stream.read(&mut self.buffer);
        let _ = stream.write(no_place);
        let _ = stream.shutdown(Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream as StdStream;

    use super::*;

    const PEER_TIMEOUT: Duration = Duration::from_secs(7);

    #[track_caller]
    fn check_endowed(stream: &TcpStream) {
        let socket = SockRef::from(stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(PEER_TIMEOUT));
    }

    #[test]
    fn who_came_before_a_socket_was_taken_over_has_what_newcomers_have() {
        let socket = StdListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let before = StdStream::connect(address).unwrap();
        let mut bind = adopt(socket, 2, PEER_TIMEOUT).unwrap();
        assert_eq!(bind.address, address);
        let after = StdStream::connect(address).unwrap();
        let mut listener = bind.take().unwrap();
        assert!(bind.take().is_none(), "one worker has it");
        assert!(listener.deals, "and accepts for both");
        for peer in [before, after] {
            let stream = listener.accept().unwrap();
            assert_eq!(stream.peer_addr().unwrap(), peer.local_addr().unwrap());
            check_endowed(&stream);
        }
        assert!(listener.elders.is_some());
        assert!(!listener.has_waiting());
        assert!(listener.elders.is_none(), "whoever comes now inherits it");
        let _late = StdStream::connect(address).unwrap();
        check_endowed(&listener.accept().unwrap());
    }

    #[test]
    fn newcomer_who_waits_is_told_from_none() {
        let mut listener = bind("127.0.0.1:0".parse().unwrap(), 1, PEER_TIMEOUT).unwrap().take().unwrap();
        assert!(listener.is_ready(Tick(0)), "somebody may wait since before it was looked at");
        assert!(!listener.has_waiting());
        assert!(!listener.is_ready(Tick(0)));
        let _peer = StdStream::connect(listener.socket.local_addr().unwrap()).unwrap();
        listener.wake(Tick(0));
        assert!(listener.has_waiting());
        assert!(listener.is_ready(Tick(0)));
        listener.accept().unwrap();
        assert!(!listener.has_waiting());
    }

    #[test]
    fn socket_that_does_not_listen_is_not_taken_over() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let error = adopt(socket.into(), 1, PEER_TIMEOUT).err().unwrap();
        assert!(error.to_string().contains("does not listen"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn each_worker_has_a_socket_of_an_address_that_is_bound_here() {
        let mut bind = bind("127.0.0.1:0".parse().unwrap(), 3, PEER_TIMEOUT).unwrap();
        for _ in 0..3 {
            let mut listener = bind.take().unwrap();
            assert!(!listener.deals);
            assert_eq!(listener.socket.local_addr().unwrap(), bind.address);
            assert!(listener.elders.is_none());
            assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        assert!(bind.take().is_none());
    }
}
