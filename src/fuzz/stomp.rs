//! STOMP frames in each version, and what single headers say.

use crate::fuzz::{cut, ways};
use crate::wire::Parsed;
use crate::wire::stomp::encode;
use crate::wire::stomp::field::{self, AckMode, Destination, LOCATION_PREFIX, SHARE_PREFIX};
use crate::wire::stomp::frame::{self, Frame, FrameError, FrameLimits, Item, Scan};
use crate::wire::stomp::{Command, Version};

/// Limits that short inputs reach, and the server's own.
const LIMITS: [FrameLimits; 2] = [
    FrameLimits { frame_bytes_max: 64, headers_max: 3 },
    FrameLimits { frame_bytes_max: 16 * 1024, headers_max: 64 },
];

/// Headers that a session asks for.
const HEADERS: [&str; 7] =
    ["destination", "id", "receipt", "ack", "message-id", "transaction", "accept-version"];

/// What a stream came to.
#[derive(Debug, PartialEq)]
struct Heard {
    frames: Vec<Told>,
    error: Option<FrameError>,
    /// Bytes that are part of a frame to come.
    left: usize,
}

/// A frame, owned.
#[derive(Debug, PartialEq)]
struct Told {
    command: Command,
    headers: [Option<String>; HEADERS.len()],
    body: Vec<u8>,
}

impl Told {
    fn of(frame: &Frame<'_>) -> Self {
        let headers = HEADERS.map(|name| frame.headers.value(name).map(std::borrow::Cow::into_owned));
        Self { command: frame.command, headers, body: frame.body.to_vec() }
    }
}

/// A stream of frames, as each version reads it: any cut gives the same frames and the same refusal, and limits hold.
pub fn stomp_frames(data: &[u8]) {
    for version in Version::ALL {
        for limits in LIMITS {
            let [whole, others @ ..] = ways(data).map(|sizes| hear(data, &sizes, version, limits));
            for other in others {
                assert_eq!(other, whole, "cut otherwise, in {version:?}");
            }
            for value in whole.frames.iter().flat_map(|told| told.headers.iter().flatten()) {
                check_value_is_read_back(value, version);
            }
        }
    }
}

fn hear(data: &[u8], sizes: &[usize], version: Version, limits: FrameLimits) -> Heard {
    let mut heard = Heard { frames: Vec::new(), error: None, left: 0 };
    let (mut held, mut scan) = (Vec::new(), Scan::default());
    for read in cut(data, sizes) {
        held.extend_from_slice(read);
        loop {
            match frame::decode(&held, version, limits, &mut scan) {
                Ok(Parsed::Partial) => {
                    assert!(held.len() < limits.frame_bytes_max, "{} bytes may be held", held.len());
                    break;
                }
                Ok(Parsed::Complete { value, used }) => {
                    assert!(used > 0 && used <= held.len() && scan == Scan::default(), "{used} used");
                    match value {
                        Item::LineEnds => {
                            assert!(held[..used].iter().all(|byte| matches!(byte, b'\r' | b'\n')));
                        }
                        Item::Frame(frame) => {
                            assert!(used <= limits.frame_bytes_max, "a frame of {used} bytes");
                            assert_eq!(held[used - 1], 0, "a frame ends in NUL");
                            heard.frames.push(Told::of(&frame));
                        }
                    }
                    held.drain(..used);
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    return Heard { error: Some(error), ..heard };
                }
            }
        }
    }
    heard.left = held.len();
    heard
}

/// What a client said in a header can be said back to it: a receipt names the very receipt that was asked for.
fn check_value_is_read_back(value: &str, version: Version) {
    // 1.0 trims blanks, and before 1.2 nothing can say that a CR stands before a line end.
    if version != Version::V12 && value.ends_with('\r') {
        return;
    }
    let mut out = Vec::new();
    encode::encode_receipt(&mut out, version, value);
    let limits = FrameLimits { frame_bytes_max: usize::MAX, headers_max: 1 };
    let read = frame::decode(&out, version, limits, &mut Scan::default());
    let Ok(Parsed::Complete { value: Item::Frame(frame), used }) = read else {
        panic!("{read:?} of a receipt for {value:?} in {version:?}")
    };
    assert_eq!((frame.command, used), (Command::Receipt, out.len()));
    // The headers of an opening frame have no escapes, so in a later version they may hold what has some.
    assert_eq!(frame.headers.value("receipt-id").as_deref(), Some(value), "in {version:?}");
}

/// Header values, as text: what can be read is written and read again.
pub fn stomp_fields(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(version) = field::negotiate(Some(text)) {
        assert!(text.contains(version.label()), "{version:?} was not offered");
        let higher = Version::ALL.into_iter().filter(|other| *other > version);
        for other in higher {
            assert!(text.split(',').all(|label| label.trim() != other.label()), "{other:?} is higher");
        }
    }
    if let Ok((sends, wants)) = field::heart_beat(text) {
        assert_eq!(field::heart_beat(&format!("{sends},{wants}")), Ok((sends, wants)));
    }
    match Destination::parse(text) {
        Ok(destination) => {
            let group = destination.to_publish();
            let prefix = match destination {
                Destination::Location(_) => LOCATION_PREFIX,
                Destination::Share(_) => SHARE_PREFIX,
            };
            assert_eq!(Destination::parse(&format!("{prefix}{group}")), Ok(destination));
            assert_eq!(destination.to_subscribe().is_ok(), prefix == LOCATION_PREFIX);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(mode) = AckMode::parse(Some(text)) {
        assert_eq!(mode.label(), text);
    }
    if let Some((ordinal, seq)) = field::parse_message_id(text) {
        let written = format!("{ordinal}-{seq}");
        assert_eq!(field::parse_message_id(&written), Some((ordinal, seq)));
        check_acknowledged(&written);
    }
}

/// The acknowledgement that a client writes is the one that the server reads.
fn check_acknowledged(message_id: &str) {
    for version in Version::ALL {
        let mut out = Vec::new();
        encode::encode_ack(&mut out, version, "s:1", message_id);
        match frame::decode(&out, version, LIMITS[1], &mut Scan::default()) {
            Ok(Parsed::Complete { value: Item::Frame(frame), .. }) => {
                assert_eq!(field::acknowledged(&frame, version).ok(), field::parse_message_id(message_id));
            }
            other => panic!("{other:?} in {version:?}"),
        }
    }
}
