//! Listening sockets: binding them, accepting from them, and what to do when nobody more can be taken in.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::clock::Tick;
use crate::ids::ShardId;
use crate::limits::{ACCEPT_RETRY, ACCEPTS_PER_TURN_MAX, BACKLOG, KERNEL_UNSENT_BYTES, SURPLUS_MAX};
use crate::reactor::Reactor;
use crate::reactor::mailbox::Letter;
use crate::reactor::source::Source;
use crate::report::{Call, Reason};

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
    /// One a worker; fewer where the system does not spread connections over them.
    pub listeners: Vec<TcpListener>,
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
        return Ok(Bind { address, listeners: vec![probe] });
    }
    drop(probe);
    let listeners = (0..workers).map(|_| listen(address, true, peer_timeout)).collect::<io::Result<_>>()?;
    Ok(Bind { address, listeners })
}

/// Whether the system spreads newcomers over sockets that share a port.
const fn spreads() -> bool {
    cfg!(target_os = "linux")
}

/// Everything set here is inherited by what is accepted, which then costs no call of its own.
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
    socket.set_tcp_nodelay(true)?;
    let probe_every = (peer_timeout / 3).max(Duration::from_secs(1));
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(probe_every).with_interval(probe_every))?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(peer_timeout))?;
        socket.set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// One listening socket of a worker.
pub(super) struct Listener {
    socket: TcpListener,
    state: State,
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
    pub(super) fn register(mut socket: TcpListener, registry: &Registry, index: usize) -> io::Result<Self> {
        registry.register(&mut socket, Source::Listener(index).token(), Interest::READABLE)?;
        Ok(Self { socket, state: State::Ready })
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
        // Without the reserve a newcomer could take the last descriptor there is, and whoever comes next be told nothing.
        if let Err(error) = self.reserve.restore() {
            return self.pause(index, now, &error);
        }
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            self.counted.syscalls[Call::Accept as usize] += 1;
            match self.listeners[index].socket.accept() {
                Ok((stream, _)) => self.place(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.listeners[index].state = State::Quiet;
                    return;
                }
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
            match self.listeners[index].socket.accept() {
                Ok((stream, _)) => self.turn_away(&stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.listeners[index].state = State::Quiet;
                    break;
                }
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

    /// Takes a newcomer in, or deals it out where this worker accepts for all.
    fn place(&mut self, stream: TcpStream) {
        let workers = self.post.workers();
        if spreads() || workers == 1 {
            return self.welcome(stream);
        }
        self.dealt = (self.dealt + 1) % workers;
        let to = ShardId(u16::try_from(self.dealt).expect("there are at most WORKERS_MAX workers"));
        if to == self.id {
            self.welcome(stream);
        } else {
            self.post.send(to, Letter::Newcomer { stream });
        }
    }

    /// Whether the head of a newcomer without a place is read.
    pub(super) fn admit_surplus(&self) -> bool {
        let before = self.places.surplus.fetch_add(1, Ordering::Relaxed);
        if before >= SURPLUS_MAX {
            self.places.surplus.fetch_sub(1, Ordering::Relaxed);
        }
        before < SURPLUS_MAX
    }

    /// Tells a newcomer unread that there is no place.
    ///
    /// What it has sent already is taken off first, for closing a socket with bytes unread resets it, and a reset may
    /// overtake the answer.
    pub(super) fn turn_away(&mut self, mut stream: &TcpStream) {
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
