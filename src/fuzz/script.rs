//! The steps of a session, read from the bytes of the input.
//!
//! Steps are separated by the byte 0x1e, which is what ASCII has it for, so a mutation of one leaves the others as they
//! are. A step that begins with one of these small letters is that; `#` is a digit that names a peer, the first being 0:
//!
//! ```text
//! h# w# s# e# v#    a newcomer at shard # mod 2: plain HTTP, a WebSocket in group #, STOMP, an event stream of group #,
//!                   one for whom there is no place
//! b#...  d#...      the peer sends these bytes; in single bytes
//! t#... n#...       it sends a masked WebSocket message of text, of bytes
//! f#... g#... c#... the first, a middle, the last fragment of a text
//! p#... o#... x#... a ping, a pong, a close with this payload
//! r#N               its socket takes N more bytes
//! q#  l#  k#        it closes its side; the same, as the socket tells it before the bytes are read; it breaks
//! zN                N milliseconds pass
//! m   y   j#        mail rests, or goes on; one letter arrives; the mail that a shard sends jams, or goes on
//! uN                the server drains for N milliseconds
//! ```
//!
//! Any other step is said by the peer of the step before: as a WebSocket message of text if that is what it speaks,
//! as it is otherwise. So an HTTP request or a STOMP frame is a step as it stands.

use crate::wire::websocket::frame::Opcode;

/// What stands between two steps.
const SEPARATOR: u8 = 0x1e;

/// Most steps that are read; more would only make an execution slow.
const STEPS_MAX: usize = 64;

/// Most peers of one server.
pub(super) const PEERS_MAX: usize = 10;

/// What a newcomer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tongue {
    /// HTTP, until the script has it say otherwise.
    Http,
    /// A raw WebSocket in the group of its digit.
    WebSocket,
    /// STOMP over WebSocket.
    Stomp,
    /// An event stream of the group of its digit.
    Sse,
    /// HTTP, where there is no place for it.
    Surplus,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A newcomer.
    Join { tongue: Tongue, digit: u8 },
    /// Bytes as they are, perhaps in single ones.
    Send { peer: u8, bytes: &'a [u8], singly: bool },
    /// A frame with a mask around it.
    Frame { peer: u8, fin: bool, opcode: Opcode, payload: &'a [u8] },
    /// What a peer of its tongue would send these bytes as.
    Say { bytes: &'a [u8] },
    /// The socket takes so many more bytes.
    Room { peer: u8, bytes: usize },
    /// The peer closes its side.
    HangUp { peer: u8 },
    /// The same, noticed before its bytes are read.
    ReadClosed { peer: u8 },
    /// The connection breaks.
    Break { peer: u8 },
    /// Time passes.
    Wait { ms: u64 },
    /// Mail stays where it is, or goes on.
    Rest,
    /// The letter that was sent first arrives.
    Deliver,
    /// The mail that a shard sends does not go out, or goes on.
    Jam { shard: u8 },
    /// The server drains.
    Drain { ms: u64 },
}

/// The steps of an input.
pub(super) fn steps(data: &[u8]) -> impl Iterator<Item = Step<'_>> {
    data.split(|byte| *byte == SEPARATOR).take(STEPS_MAX).map(step)
}

fn step(bytes: &[u8]) -> Step<'_> {
    let [letter, after @ ..] = bytes else { return Step::Say { bytes } };
    let (digit, rest) = after.split_first().map_or((0, after), |(digit, rest)| (*digit, rest));
    let digit = digit.wrapping_sub(b'0');
    let frame = |fin: bool, opcode: Opcode| Step::Frame { peer: digit, fin, opcode, payload: rest };
    let join = |tongue: Tongue| Step::Join { tongue, digit };
    match letter {
        b'h' => join(Tongue::Http),
        b'w' => join(Tongue::WebSocket),
        b's' => join(Tongue::Stomp),
        b'e' => join(Tongue::Sse),
        b'v' => join(Tongue::Surplus),
        b'b' | b'd' => Step::Send { peer: digit, bytes: rest, singly: *letter == b'd' },
        b't' => frame(true, Opcode::Text),
        b'n' => frame(true, Opcode::Binary),
        b'f' => frame(false, Opcode::Text),
        b'g' => frame(false, Opcode::Continuation),
        b'c' => frame(true, Opcode::Continuation),
        b'p' => frame(true, Opcode::Ping),
        b'o' => frame(true, Opcode::Pong),
        b'x' => frame(true, Opcode::Close),
        b'r' => Step::Room { peer: digit, bytes: number(rest) as usize },
        b'q' => Step::HangUp { peer: digit },
        b'l' => Step::ReadClosed { peer: digit },
        b'k' => Step::Break { peer: digit },
        b'z' => Step::Wait { ms: number(after) },
        b'm' => Step::Rest,
        b'y' => Step::Deliver,
        b'j' => Step::Jam { shard: digit },
        b'u' => Step::Drain { ms: number(after) },
        _ => Step::Say { bytes },
    }
}

/// The number that the digits among these bytes make, as far as it is one of interest.
fn number(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).take(6);
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: &[Step<'_>]) {
        assert_eq!(steps(input).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn steps_are_told_apart_by_their_letters() {
        check(b"h0\x1ew3", &[join(Tongue::Http, 0), join(Tongue::WebSocket, 3)]);
        check(b"b1GET\x1ed1 /", &[send(b"GET", false), send(b" /", true)]);
        let ping = Step::Frame { peer: 2, fin: true, opcode: Opcode::Ping, payload: b"x" };
        check(b"p2x\x1ez250\x1er1 70", &[ping, Step::Wait { ms: 250 }, Step::Room { peer: 1, bytes: 70 }]);
        check(b"m\x1ey\x1ej1", &[Step::Rest, Step::Deliver, Step::Jam { shard: 1 }]);
    }

    #[test]
    fn whatever_has_no_letter_is_said_as_it_stands() {
        check(b"GET / HTTP/1.1\r\n\r\n", &[Step::Say { bytes: b"GET / HTTP/1.1\r\n\r\n" }]);
        check(b"\x1e{}", &[Step::Say { bytes: b"" }, Step::Say { bytes: b"{}" }]);
    }

    fn join(tongue: Tongue, digit: u8) -> Step<'static> {
        Step::Join { tongue, digit }
    }

    fn send(bytes: &[u8], singly: bool) -> Step<'_> {
        Step::Send { peer: 1, bytes, singly }
    }
}
