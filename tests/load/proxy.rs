//! A proxy of the test's own between the load tool and the server: counts every byte by connection and direction, and can
//! plant a fault into what the server says, or hold everything up for a while.
//!
//! Connections are numbered as they are accepted. Each has two threads, one for each direction; what a look at the server
//! (`GET /metrics`) is answered is kept, and all counts as of that look with it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What passes from the server to the tool on one connection, unit by unit or as it comes.
pub(crate) trait Tamper: Send {
    /// Takes what came, puts what is to go on into `down`, and what is to be asked of the server instead into `up`; `false`
    /// cuts the connection behind that.
    fn pass(&mut self, bytes: &[u8], down: &mut Vec<u8>, up: &mut Vec<u8>) -> bool;
}

/// Makes the tamper of a connection of that number that began with that request.
type MakeTamper = dyn Fn(usize, &[u8]) -> Option<Box<dyn Tamper>> + Send + Sync;

/// Bytes of one connection: from the tool, and to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) up: u64,
    pub(crate) down: u64,
}

/// What had passed when the tool looked at the server.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Of each connection, in the order in which they were accepted, the look's own as well.
    pub(crate) before: Vec<Bytes>,
    /// Which connection it is.
    pub(crate) number: usize,
}

#[derive(Default)]
struct Conn {
    up: AtomicU64,
    down: AtomicU64,
    /// What it began with, as far as it came with the first read.
    request: Mutex<Vec<u8>>,
    /// A look's answer.
    answer: Mutex<Vec<u8>>,
    is_look: AtomicBool,
}

impl Conn {
    fn bytes(&self) -> Bytes {
        Bytes { up: self.up.load(Ordering::SeqCst), down: self.down.load(Ordering::SeqCst) }
    }
}

#[derive(Default)]
struct Shared {
    conns: Mutex<Vec<Arc<Conn>>>,
    looks: Mutex<Vec<Look>>,
    is_stalled: Mutex<bool>,
    goes_on: Condvar,
    is_over: AtomicBool,
}

/// Where to stop everything: when so many reads of a connection have passed, for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stall {
    pub(crate) conn: usize,
    pub(crate) reads: u64,
    pub(crate) lasts: Duration,
}

/// One proxy of one test.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// One that only counts.
    pub(crate) fn start(server: SocketAddr) -> Self {
        Self::start_with(server, None, |_, _| None)
    }

    /// One that asks for each connection what to do with it.
    pub(crate) fn start_with(
        server: SocketAddr,
        stall: Option<Stall>,
        make: impl Fn(usize, &[u8]) -> Option<Box<dyn Tamper>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let address = listener.local_addr().expect("it listens");
        let shared = Arc::new(Shared::default());
        let make: Arc<MakeTamper> = Arc::new(make);
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if ours.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(client) = client else { continue };
                serve(client, server, &ours, stall, &make);
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that passed so far, connection by connection.
    pub(crate) fn bytes(&self) -> Vec<Bytes> {
        self.shared.conns.lock().unwrap().iter().map(|conn| conn.bytes()).collect()
    }

    /// Whether a connection was a look at the server.
    pub(crate) fn is_look(&self, number: usize) -> bool {
        self.shared.conns.lock().unwrap()[number].is_look.load(Ordering::SeqCst)
    }

    /// The looks that there were.
    pub(crate) fn looks(&self) -> Vec<Look> {
        self.shared.looks.lock().unwrap().clone()
    }

    /// The body that a look was answered with.
    pub(crate) fn scrape(&self, look: &Look) -> String {
        let conns = self.shared.conns.lock().unwrap();
        let answer = conns[look.number].answer.lock().unwrap();
        let answer = String::from_utf8_lossy(&answer);
        answer.split_once("\r\n\r\n").expect("an answer has a head").1.to_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; it may be gone already.
        drop(TcpStream::connect(self.address));
    }
}

/// Connects on to the server and lets two threads carry what comes.
fn serve(
    client: TcpStream,
    server: SocketAddr,
    shared: &Arc<Shared>,
    stall: Option<Stall>,
    make: &Arc<MakeTamper>,
) {
    let conn = Arc::new(Conn::default());
    let number = {
        let mut conns = shared.conns.lock().unwrap();
        conns.push(Arc::clone(&conn));
        conns.len() - 1
    };
    let Ok(server) = TcpStream::connect(server) else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP socket");
    }
    let pair = || (client.try_clone().expect("a descriptor"), server.try_clone().expect("a descriptor"));
    let ((from, to), (down_to, down_from)) = (pair(), pair());
    let (ours, up_conn) = (Arc::clone(shared), Arc::clone(&conn));
    thread::spawn(move || carry_up(from, to, &ours, &up_conn, number));
    let (ours, make) = (Arc::clone(shared), Arc::clone(make));
    thread::spawn(move || carry_down(down_from, down_to, &ours, &conn, (number, stall), &*make));
}

fn carry_up(mut from: TcpStream, mut to: TcpStream, shared: &Shared, conn: &Conn, number: usize) {
    let mut buffer = vec![0; 64 * 1024];
    let mut is_first = true;
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..length];
        if std::mem::take(&mut is_first) {
            conn.request.lock().unwrap().extend_from_slice(bytes);
            if bytes.starts_with(b"GET /metrics") {
                conn.is_look.store(true, Ordering::SeqCst);
                let before = shared.conns.lock().unwrap().iter().map(|conn| conn.bytes()).collect();
                shared.looks.lock().unwrap().push(Look { before, number });
            }
        }
        conn.up.fetch_add(length as u64, Ordering::SeqCst);
        wait_out_stall(shared);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}

fn carry_down(
    mut from: TcpStream,
    mut to: TcpStream,
    shared: &Shared,
    conn: &Conn,
    (number, stall): (usize, Option<Stall>),
    make: &MakeTamper,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut tamper = None;
    let mut reads = 0;
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..length];
        reads += 1;
        if let Some(stall) = stall.filter(|stall| stall.conn == number && stall.reads == reads) {
            hold_up(shared, stall.lasts);
        }
        wait_out_stall(shared);
        if conn.is_look.load(Ordering::SeqCst) {
            conn.answer.lock().unwrap().extend_from_slice(bytes);
        }
        if reads == 1 {
            tamper = make(number, &conn.request.lock().unwrap());
        }
        let (mut down, mut up, mut goes_on) = (Vec::new(), Vec::new(), true);
        match &mut tamper {
            Some(tamper) => goes_on = tamper.pass(bytes, &mut down, &mut up),
            None => down.extend_from_slice(bytes),
        }
        conn.down.fetch_add(down.len() as u64, Ordering::SeqCst);
        if to.write_all(&down).is_err() || from.write_all(&up).is_err() {
            break;
        }
        if !goes_on {
            drop(to.shutdown(Shutdown::Both));
            drop(from.shutdown(Shutdown::Both));
            return;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}

/// Holds everything up for a while.
fn hold_up(shared: &Shared, lasts: Duration) {
    *shared.is_stalled.lock().unwrap() = true;
    let (_nobody, never) = channel::<()>();
    let _ = never.recv_timeout(lasts);
    *shared.is_stalled.lock().unwrap() = false;
    shared.goes_on.notify_all();
}

fn wait_out_stall(shared: &Shared) {
    let stalled = shared.is_stalled.lock().unwrap();
    drop(shared.goes_on.wait_while(stalled, |stalled| *stalled));
}
