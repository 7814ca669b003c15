//! Where connections come from: on the loopback from several addresses, so that none runs short of ports.
//!
//! A connection takes a port of its source address. The kernel looks for a free one among every second of some 28,000 (see
//! ip(7), `ip_local_port_range`), and from about 14,000 connections to one server on it walks them all in vain each time, and
//! only then the others: a connect takes twenty times as long, and the tool is the limit. All of 127.0.0.0/8 is this
//! machine's, so whoever connects there has addresses enough.
//!
//! The option that lets a bound socket take its port only when it connects (`IP_BIND_ADDRESS_NO_PORT`) cannot be set without
//! unsafe code. Without it a port that was bound is taken for a minute behind the end of its connection, whatever it was
//! connected to; so no run takes addresses that the one before had.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

/// Connections that come from one address: well below half of the ports that it has.
const CONNECTIONS_EACH: u64 = 10_000;

/// The addresses that are taken in turn are these: the loopback's but for the first and last 256, of which some are special.
const ADDRESSES: std::ops::Range<u32> = 0x7f00_0100..0x7fff_ff00;

/// Connects to one server.
#[derive(Debug)]
pub(super) struct Sources {
    target: SocketAddr,
    first: u64,
    made: u64,
}

impl Sources {
    /// For connections to this server, of which there are none yet. The first address besides 127.0.0.1 is the one with this
    /// number: milliseconds of the wall clock keep two runs apart, as none makes connections that fast.
    pub(super) const fn new(target: SocketAddr, first: u64) -> Self {
        Self { target, first, made: 0 }
    }

    /// Begins to connect.
    ///
    /// # Errors
    /// What the system says when it gives no socket.
    pub(super) fn connect(&mut self) -> io::Result<TcpStream> {
        let source = self.source();
        self.made += 1;
        match (self.target, source) {
            (SocketAddr::V4(target), Some(source)) => connect_from(source, target),
            (target, _) => TcpStream::connect(target),
        }
    }

    /// The address that the next connection is to come from; none if the kernel may choose, which is for 127.0.0.1 on the
    /// loopback.
    fn source(&self) -> Option<Ipv4Addr> {
        let is_loopback = matches!(self.target.ip(), IpAddr::V4(target) if target.is_loopback());
        let place = (self.made / CONNECTIONS_EACH).checked_sub(1).filter(|_| is_loopback)?;
        let number = (self.first + place) % ADDRESSES.len() as u64;
        Some(Ipv4Addr::from(ADDRESSES.start + number as u32))
    }
}

fn connect_from(source: Ipv4Addr, target: SocketAddrV4) -> io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match bind(&socket, &SocketAddrV4::new(source, 0)) {
        Ok(()) => {}
        // A loopback that was set up with one address alone.
        Err(Errno::ADDRNOTAVAIL) => return TcpStream::connect(target.into()),
        Err(error) => return Err(error.into()),
    }
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from_std(socket.into())),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[track_caller]
    fn check(target: &str, first: u64, made: u64, want: Option<[u8; 4]>) {
        let target = SocketAddr::new(target.parse().unwrap(), 80);
        let sources = Sources { target, first, made };
        assert_eq!(sources.source(), want.map(Ipv4Addr::from), "{made} to {target}, from {first} on");
    }

    #[test]
    fn each_address_of_the_loopback_has_its_share() {
        for target in ["127.0.0.1", "127.9.9.9"] {
            check(target, 0, 0, None);
            check(target, 0, 9_999, None);
            check(target, 0, 10_000, Some([127, 0, 1, 0]));
            check(target, 0, 19_999, Some([127, 0, 1, 0]));
            check(target, 0, 20_000, Some([127, 0, 1, 1]));
            check(target, 300, 2_000_000, Some([127, 0, 2, 243]));
        }
    }

    #[test]
    fn addresses_begin_anew_behind_the_last() {
        let last = ADDRESSES.len() as u64 - 1;
        check("127.0.0.1", last, 10_000, Some([127, 255, 254, 255]));
        check("127.0.0.1", last, 20_000, Some([127, 0, 1, 0]));
    }

    #[test]
    fn kernel_chooses_where_the_target_is_elsewhere() {
        for target in ["::1", "10.0.0.1", "::ffff:127.0.0.1", "128.0.0.1"] {
            check(target, 0, 10_000, None);
        }
    }

    #[test]
    fn connection_comes_from_its_address() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = server.local_addr().unwrap();
        for (made, source) in [(9_999, [127, 0, 0, 1]), (10_000, [127, 0, 1, 7]), (45_000, [127, 0, 1, 10])] {
            let _client = Sources { target, first: 7, made }.connect().unwrap();
            let (_, peer) = server.accept().unwrap();
            assert_eq!(peer.ip(), IpAddr::from(source));
        }
    }

    #[test]
    fn refusal_is_told_by_the_connection_or_at_once() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = server.local_addr().unwrap();
        drop(server);
        let told = match (Sources { target, first: 0, made: 10_000 }).connect() {
            Ok(client) => client.take_error().unwrap().map(|error| error.kind()),
            Err(error) => Some(error.kind()),
        };
        assert_eq!(told, Some(io::ErrorKind::ConnectionRefused));
    }
}
