//! The load tool's clients, as a server that is not ours may treat them.

use crate::fuzz::ways;
use crate::load::client::{Client, ClientError};
use crate::wire::http::response::{self, HttpDate, Status};
use crate::wire::stomp::Version;
use crate::wire::stomp::encode;
use crate::wire::websocket::frame::{self, Opcode};
use crate::wire::websocket::handshake;

const KEY: [u8; 24] = *b"dGhlIHNhbXBsZSBub25jZQ==";

/// What each kind of client is told before the input, so that it lies behind an opening that went well.
fn openings() -> [(Client, Vec<u8>); 4] {
    let mut stream = Vec::new();
    let head = response::begin(&mut stream, Status::Ok, &HttpDate::from_unix_seconds(0));
    head.field("Content-Type", b"text/event-stream").finish();
    let mut switching = Vec::new();
    handshake::encode_switching(&mut switching, &KEY, None, &[]);
    let mut connected = Vec::new();
    encode::encode_connected(&mut connected, Version::V12, "server", "session", (0, 0));
    let mut stomp = switching.clone();
    frame::encode_frame(&mut stomp, Opcode::Text, &connected);
    [
        (Client::requests(), Vec::new()),
        (Client::event_stream(), stream),
        (Client::websocket(KEY), switching),
        (Client::stomp(KEY), stomp),
    ]
}

/// Bytes as each client reads them, at once and behind its opening, and as the payload of a message: any cut gives the
/// same, in words and in what is answered.
pub fn load_client(data: &[u8]) {
    let mut message = Vec::new();
    frame::encode_frame(&mut message, Opcode::Binary, data);
    for kind in 0..openings().len() {
        for stream in [data, &message] {
            check(kind, false, stream);
            check(kind, true, stream);
        }
    }
    check_stomp_in_messages(data);
}

/// Frames in one message, and in a message for each byte, where no frame lies whole and none is known by the one before.
fn check_stomp_in_messages(data: &[u8]) {
    let [whole, bytes] = [data.len().max(1), 1].map(|size| {
        let mut stream = Vec::new();
        for part in data.chunks(size) {
            frame::encode_frame(&mut stream, Opcode::Binary, part);
        }
        read(STOMP, true, &stream, &[stream.len()])
    });
    assert_eq!(whole, bytes, "in a message for each byte");
}

/// The place of STOMP among the openings.
const STOMP: usize = 3;

/// What was heard and how it ended, what was answered, and whether the connection may end there.
type Outcome = (Vec<String>, Result<(), ClientError>, Vec<u8>);

fn check(kind: usize, is_open: bool, data: &[u8]) {
    let [whole, others @ ..] = ways(data).map(|sizes| read(kind, is_open, data, &sizes));
    for other in others {
        assert_eq!(other, whole, "cut otherwise, by the client {kind}");
    }
}

fn read(kind: usize, is_open: bool, data: &[u8], sizes: &[usize]) -> Outcome {
    let (mut client, mut opening) = openings().into_iter().nth(kind).expect("there are four");
    let (mut told, mut unsent) = (Vec::new(), Vec::new());
    if is_open {
        let opened = client.handle_received(&mut opening, [1; 4], &mut unsent, &mut |_| {});
        assert_eq!(opened, Ok(()), "the opening of client {kind}");
    }
    let mut bytes = data.to_vec();
    let mut rest = &mut bytes[..];
    for size in sizes {
        let (now, later) = rest.split_at_mut(*size);
        rest = later;
        let heard = client.handle_received(now, [1; 4], &mut unsent, &mut |heard| {
            told.push(format!("{heard:?}"));
        });
        if let Err(error) = heard {
            assert!(!error.to_string().is_empty());
            return (told, heard, unsent);
        }
    }
    let end = client.handle_end(&mut |heard| told.push(format!("{heard:?}")));
    (told, end, unsent)
}
