//! Clients by the hundred: each is a socket and what it says on it, written at once and understood afterwards.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use super::stomp;
use super::websocket::{TEXT, frame, upgrade};

/// A STOMP frame as it goes through a WebSocket.
pub(crate) fn stomp_frame(command: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    frame(TEXT, stomp::frame(command, headers, body).as_bytes())
}

/// All that a STOMP client says until it is connected.
pub(crate) fn stomp_connect() -> Vec<u8> {
    let connect = stomp_frame("CONNECT", &[("accept-version", "1.2"), ("host", "a")], "");
    [upgrade("/location").into_bytes(), connect].concat()
}

/// A SUBSCRIBE whose receipt is the group's number, with headers of the test's own.
pub(crate) fn stomp_subscribe(group: u64, headers: &[(&str, &str)]) -> Vec<u8> {
    let (id, destination) = (group.to_string(), format!("/sub/location/{group}"));
    let all = [&[("id", id.as_str()), ("destination", &destination), ("receipt", &id)], headers].concat();
    stomp_frame("SUBSCRIBE", &all, "")
}

/// Writes; a server that has closed already is no failure of the client's.
pub(crate) fn say(mut stream: &TcpStream, bytes: &[u8]) {
    match stream.write_all(bytes) {
        Ok(()) => {}
        Err(error) if is_end(&error) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Reads until these bytes have come so often; what was read.
#[track_caller]
pub(crate) fn read_past(mut stream: &TcpStream, marker: &[u8], times: usize) -> Vec<u8> {
    let mut received = Vec::new();
    let mut bytes = [0; 4096];
    while count_of(&received, marker) < times {
        let length = stream.read(&mut bytes).expect("the server answers");
        assert!(length > 0, "the server closed after {:?}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&bytes[..length]);
    }
    received
}

/// Reads to the end, which a reset is as good as; how many bytes came before it.
#[track_caller]
pub(crate) fn read_to_end(mut stream: &TcpStream) -> usize {
    let mut bytes = [0; 64 * 1024];
    let mut read = 0;
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return read,
            Ok(length) => read += length,
            Err(error) if is_end(&error) => return read,
            Err(error) => panic!("not the end of the connection: {error} after {read} bytes"),
        }
    }
}

/// Whether this is how the end of a connection may show.
pub(crate) fn is_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// How often a marker stands in some bytes.
pub(crate) fn count_of(bytes: &[u8], marker: &[u8]) -> usize {
    bytes.windows(marker.len()).filter(|window| *window == marker).count()
}
