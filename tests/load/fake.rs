//! Servers that are not ours: each answers requests as its test says, on a thread for each connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What a request is answered with.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes, and the connection stays.
    Say(String),
    /// These bytes, and the end of the connection.
    SayAndClose(String),
    /// Nothing, for as long as the client waits.
    Nothing,
}

impl Reply {
    /// An answer with this status, these further lines of its head, and a body.
    pub(crate) fn answer(status: u16, lines: &str, body: &str) -> Self {
        let length = body.len();
        Self::Say(format!("HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\n{lines}\r\n{body}"))
    }

    /// The same, and the last on its connection.
    pub(crate) fn last_answer(status: u16, lines: &str, body: &str) -> Self {
        match Self::answer(status, &format!("Connection: close\r\n{lines}"), body) {
            Self::Say(said) => Self::SayAndClose(said),
            other => other,
        }
    }
}

/// One request, as far as its head says.
pub(crate) struct Request {
    /// Such as `GET /cur/3`.
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
    /// Whether it is the first on its connection.
    pub(crate) is_first: bool,
}

/// One server of one test.
pub(crate) struct Fake {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Fake {
    pub(crate) fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let address = listener.local_addr().expect("it listens");
        let is_over = Arc::new(AtomicBool::new(false));
        let (ours, reply) = (Arc::clone(&is_over), Arc::new(reply));
        thread::spawn(move || {
            for client in listener.incoming() {
                if ours.load(Ordering::SeqCst) {
                    break;
                }
                let reply = Arc::clone(&reply);
                let Ok(client) = client else { continue };
                thread::spawn(move || converse(client, &*reply));
            }
        });
        Self { address, is_over }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn converse(mut client: TcpStream, reply: &dyn Fn(&Request) -> Reply) {
    let mut held = Vec::new();
    let mut is_first = true;
    while let Some(mut request) = read_request(&mut client, &mut held) {
        request.is_first = std::mem::take(&mut is_first);
        let said = match reply(&request) {
            Reply::Say(said) => said,
            Reply::SayAndClose(said) => {
                drop(client.write_all(said.as_bytes()));
                return;
            }
            Reply::Nothing => String::new(),
        };
        if client.write_all(said.as_bytes()).is_err() {
            return;
        }
    }
}

/// The next whole request; none at the end of the connection.
fn read_request(client: &mut TcpStream, held: &mut Vec<u8>) -> Option<Request> {
    loop {
        let text = String::from_utf8_lossy(held).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = length.map_or(0, |(_, length)| length.parse().expect("a length is a number"));
            if rest.len() >= length {
                let body = rest[..length].to_owned();
                held.drain(..head.len() + 4 + length);
                let line = head.split(" HTTP/1.").next().unwrap_or_default();
                return Some(Request { line: line.to_owned(), head: head.to_owned(), body, is_first: false });
            }
        }
        let mut buffer = [0; 16 * 1024];
        match client.read(&mut buffer) {
            Ok(length @ 1..) => held.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
    }
}
