//! Updates, snapshots and errors as JSON, and publish bodies read from it (RFC 8259).
//!
//! The only file that knows serde_json. Writes the bytes that every transport delivers, so they are made once, without
//! an intermediate string; reads a body without building a tree of it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::clock::UnixMs;
use crate::ids::{GroupId, MemberId, Seq};
use crate::limits::AT_AHEAD_MAX;
use crate::location::{Change, Location, Publish, Update};
use crate::report::Reason;
use crate::wire::decimal::encode_decimal;

/// Appends an update: no blanks, keys always in this order, `"gap":true` last if there is a gap before it.
///
/// An update numbered 0, a location made up for an empty group, is written like any other.
pub fn encode_update(out: &mut Vec<u8>, update: &Update, gap: bool) {
    out.extend_from_slice(b"{\"seq\":");
    encode_decimal(out, update.seq.number());
    if let Some(member) = &update.member {
        out.extend_from_slice(b",\"member\":");
        encode_string(out, member.as_str());
    }
    match update.change {
        Change::Moved(location) => {
            out.extend_from_slice(b",\"x\":");
            encode_number(out, location.x());
            out.extend_from_slice(b",\"y\":");
            encode_number(out, location.y());
        }
        Change::Left => out.extend_from_slice(b",\"left\":true"),
    }
    out.extend_from_slice(b",\"at\":");
    encode_decimal(out, update.at.0);
    out.extend_from_slice(if gap { b",\"gap\":true}" } else { b"}" });
}

/// Appends a snapshot: the newest update of each present member, and the seq to go on from. Answers how many of its bytes
/// are updates.
pub fn encode_snapshot<'a>(
    out: &mut Vec<u8>,
    group: GroupId,
    seq: Seq,
    updates: impl Iterator<Item = &'a Update>,
) -> usize {
    out.extend_from_slice(b"{\"group\":");
    encode_decimal(out, group.number());
    out.extend_from_slice(b",\"seq\":");
    encode_decimal(out, seq.number());
    out.extend_from_slice(b",\"members\":[");
    let mut update_bytes = 0;
    for (index, update) in updates.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let start = out.len();
        encode_update(out, update, false);
        update_bytes += out.len() - start;
    }
    out.extend_from_slice(b"]}");
    update_bytes
}

/// Appends the body of an `application/problem+json` answer (RFC 9457, section 3.1).
pub fn encode_problem(out: &mut Vec<u8>, status: u16, title: &str, detail: &str) {
    out.extend_from_slice(b"{\"status\":");
    encode_decimal(out, u64::from(status));
    out.extend_from_slice(b",\"title\":");
    encode_string(out, title);
    out.extend_from_slice(b",\"detail\":");
    encode_string(out, detail);
    out.push(b'}');
}

/// Appends the text message that tells a WebSocket client what was refused.
pub fn encode_error(out: &mut Vec<u8>, error: &str, detail: &str) {
    out.extend_from_slice(b"{\"error\":");
    encode_string(out, error);
    out.extend_from_slice(b",\"detail\":");
    encode_string(out, detail);
    out.push(b'}');
}

/// Appends a finite number in the shortest form that reads back equal, without `.0`, and -0 as `0`.
fn encode_number(out: &mut Vec<u8>, number: f64) {
    debug_assert!(number.is_finite(), "a location is finite");
    let start = out.len();
    // Adding 0 turns -0 into 0 and changes nothing else (IEEE 754, section 6.3).
    CompactFormatter.write_f64(out, number + 0.0).expect("a Vec takes any bytes");
    if out.ends_with(b".0") {
        out.truncate(out.len() - 2);
    }
    // The sign of an exponent that is not negative says nothing.
    if let Some(at) = out[start..].iter().position(|byte| *byte == b'+') {
        out.remove(start + at);
    }
}

/// Appends a string in quotes; as it is if nothing in it needs an escape (RFC 8259, section 7), which is the rule.
fn encode_string(out: &mut Vec<u8>, text: &str) {
    let needs_escape = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    if text.bytes().any(needs_escape) {
        serde_json::to_writer(out, text).expect("a Vec takes any bytes");
    } else {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

/// What a body asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum PublishBody {
    /// To publish this. A member that leaves may be unnamed here; its connection may speak for one.
    Publish(Publish),
    /// Nothing: no body, no object, or an object that says nothing of a location. With simulate a location is made up.
    Nothing,
}

/// A rule that a publish body broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// Begins like an object and is not UTF-8 from this byte on (RFC 8259, section 8.1).
    NotUtf8 {
        /// Bytes before it that are.
        at: usize,
    },
    /// Begins like an object and does not parse.
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
    },
    /// `x` or `y` is not there.
    Missing(&'static str),
    /// `x` or `y` is no number, or past what a double can hold.
    NotANumber(&'static str),
    /// `member` is no string, or not one that can name a member.
    BadMember,
    /// `at` is no integer from 0.
    BadAt,
    /// `left` is neither true nor false.
    BadLeft,
    /// One of our keys stands there twice: which of them was meant is not for us to say.
    Repeated(&'static str),
}

impl PublishError {
    /// What it is counted as.
    #[must_use]
    pub const fn reason(self) -> Reason {
        Reason::BadPublish
    }

    /// The HTTP status that it is answered with.
    #[must_use]
    pub const fn status(self) -> u16 {
        400
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { at } => write!(f, "the body is not utf-8 after {at} bytes"),
            Self::Syntax { line, column } => {
                write!(f, "the body does not parse as a json object at line {line} column {column}")
            }
            Self::Missing(key) => write!(f, "{key} is missing"),
            Self::NotANumber(key) => write!(f, "{key} must be a finite number"),
            Self::BadMember => {
                let max = MemberId::BYTES_MAX;
                write!(f, "member must be a string of 1 to {max} bytes without control characters")
            }
            Self::BadAt => write!(f, "at must be an integer from 0, in milliseconds since 1970"),
            Self::BadLeft => write!(f, "left must be true or false"),
            Self::Repeated(key) => write!(f, "{key} must not stand there twice"),
        }
    }
}

impl std::error::Error for PublishError {}

/// Reads a publish body; `now` is what an `at` too far ahead becomes.
///
/// Where several keys are wrong, the first in the body is named. `null` is a value like any other, so a key that is
/// null is wrong, not absent. A leaving member's `x` and `y` may be missing; if there they must be numbers.
///
/// # Errors
/// A [`PublishError`], for a body that begins with `{`.
pub fn decode_publish(body: &[u8], now: UnixMs) -> Result<PublishBody, PublishError> {
    // RFC 8259, section 8.1: a parser may ignore a byte order mark.
    let marked = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let blanks = marked.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    if marked.get(blanks) != Some(&b'{') {
        return Ok(PublishBody::Nothing);
    }
    let text = std::str::from_utf8(marked)
        .map_err(|error| PublishError::NotUtf8 { at: body.len() - marked.len() + error.valid_up_to() })?;
    let mut fields = Fields::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = json.deserialize_map(&mut fields).and_then(|()| json.end());
    match read {
        Ok(()) => fields.publish(now),
        Err(error) => Err(fields.blame(&error)),
    }
}

/// The keys of a publish body.
#[derive(Clone, Copy)]
enum Key {
    X,
    Y,
    Member,
    At,
    Left,
    /// Any other; it and whatever it holds are ignored.
    Unknown,
}

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl Visitor<'_> for Names {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "x" => Key::X,
                    "y" => Key::Y,
                    "member" => Key::Member,
                    "at" => Key::At,
                    "left" => Key::Left,
                    _ => Key::Unknown,
                })
            }
        }
        deserializer.deserialize_identifier(Names)
    }
}

/// What was read of a body so far.
#[derive(Default)]
struct Fields {
    x: Option<f64>,
    y: Option<f64>,
    member: Option<MemberId>,
    at: Option<u64>,
    left: Option<bool>,
    /// The key whose value is being read: an error there is an error of that value.
    reading: Option<Key>,
    repeated: Option<&'static str>,
}

impl Fields {
    /// Reads the value of a key of ours into its place.
    fn read<'de, M: MapAccess<'de>>(&mut self, key: Key, map: &mut M) -> Result<(), M::Error> {
        self.repeated = match key {
            Key::X => self.x.replace(map.next_value()?).map(|_| "x"),
            Key::Y => self.y.replace(map.next_value()?).map(|_| "y"),
            Key::Member => self.member.replace(map.next_value_seed(MemberName)?).map(|_| "member"),
            Key::At => self.at.replace(map.next_value_seed(Milliseconds)?).map(|_| "at"),
            Key::Left => self.left.replace(map.next_value()?).map(|_| "left"),
            Key::Unknown => {
                map.next_value::<IgnoredAny>()?;
                None
            }
        };
        match self.repeated {
            Some(key) => Err(M::Error::duplicate_field(key)),
            None => Ok(()),
        }
    }

    /// What the whole object asks for.
    fn publish(self, now: UnixMs) -> Result<PublishBody, PublishError> {
        let change = match (self.left, self.x, self.y) {
            (Some(true), _, _) => Change::Left,
            (None, None, None) if self.member.is_none() && self.at.is_none() => {
                return Ok(PublishBody::Nothing);
            }
            (_, None, _) => return Err(PublishError::Missing("x")),
            (_, _, None) => return Err(PublishError::Missing("y")),
            (_, Some(x), Some(y)) => {
                // JSON has no way to write anything else, and the reader refuses what overflows.
                Change::Moved(Location::new(x, y).ok_or(PublishError::NotANumber("x or y"))?)
            }
        };
        let at_max = now.0.saturating_add(AT_AHEAD_MAX.as_millis() as u64);
        let at = self.at.map(|at| if at > at_max { now } else { UnixMs(at) });
        Ok(PublishBody::Publish(Publish { member: self.member, at, change }))
    }

    /// The rule behind a reader's error.
    fn blame(&self, error: &serde_json::Error) -> PublishError {
        if let Some(key) = self.repeated {
            return PublishError::Repeated(key);
        }
        let syntax = PublishError::Syntax { line: error.line(), column: error.column() };
        match (error.classify(), self.reading) {
            // A body cut short is that, whatever it was cut in.
            (Category::Eof | Category::Io, _) | (_, None | Some(Key::Unknown)) => syntax,
            (Category::Data | Category::Syntax, Some(Key::X)) => PublishError::NotANumber("x"),
            (Category::Data | Category::Syntax, Some(Key::Y)) => PublishError::NotANumber("y"),
            (Category::Data | Category::Syntax, Some(Key::Member)) => PublishError::BadMember,
            (Category::Data | Category::Syntax, Some(Key::At)) => PublishError::BadAt,
            (Category::Data | Category::Syntax, Some(Key::Left)) => PublishError::BadLeft,
        }
    }
}

impl<'de> Visitor<'de> for &mut Fields {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key()? {
            self.reading = Some(key);
            self.read(key, &mut map)?;
            self.reading = None;
        }
        Ok(())
    }
}

/// Reads a member's name straight from the body.
struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = MemberId;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<MemberId, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberName {
    type Value = MemberId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<MemberId, E> {
        MemberId::new(name).ok_or_else(|| E::custom("no name of a member"))
    }
}

/// Reads an integer from 0; one past 64 bits counts as the largest.
struct Milliseconds;

impl<'de> DeserializeSeed<'de> for Milliseconds {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for Milliseconds {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer from 0")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    /// A number with a fraction or an exponent comes here, and so does an integer past 64 bits, which is legal and far
    /// ahead. From 2^64 on they cannot be told apart.
    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        if number >= u64::MAX as f64 { Ok(u64::MAX) } else { Err(E::custom("no integer from 0")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMs = UnixMs(1_767_225_600_123);

    fn update(seq: u64, member: Option<&str>, change: Change) -> Update {
        Update {
            seq: Seq::new(seq).expect("below 2^53"),
            member: member.map(|name| MemberId::new(name).expect("a legal name")),
            change,
            at: NOW,
            at_was_sent: false,
            numbered_micros: 7,
        }
    }

    fn moved(x: f64, y: f64) -> Change {
        Change::Moved(Location::new(x, y).expect("finite"))
    }

    #[track_caller]
    fn check_update(update: &Update, gap: bool, expected: &str) {
        let mut out = b"before ".to_vec();
        encode_update(&mut out, update, gap);
        assert_eq!(String::from_utf8(out).unwrap(), format!("before {expected}"));
    }

    #[test]
    fn update_is_written_as_readme_shows_it() {
        check_update(
            &update(115_964_116_992_001, Some("alice"), moved(12.5, 48.25)),
            false,
            r#"{"seq":115964116992001,"member":"alice","x":12.5,"y":48.25,"at":1767225600123}"#,
        );
    }

    #[test]
    fn nameless_update_numbered_0_is_written() {
        let expected = r#"{"seq":0,"x":1,"y":-2,"at":1767225600123}"#;
        check_update(&update(0, None, moved(1.0, -2.0)), false, expected);
    }

    #[test]
    fn leave_has_no_place_and_gap_comes_last() {
        let leave = update(9, Some("alice"), Change::Left);
        check_update(&leave, false, r#"{"seq":9,"member":"alice","left":true,"at":1767225600123}"#);
        check_update(&leave, true, r#"{"seq":9,"member":"alice","left":true,"at":1767225600123,"gap":true}"#);
        let expected = r#"{"seq":9,"x":0,"y":0,"at":1767225600123,"gap":true}"#;
        check_update(&update(9, None, moved(0.0, -0.0)), true, expected);
    }

    #[test]
    fn members_are_escaped_where_json_asks_for_it() {
        for (name, written) in [
            ("Zoë 🌍", r#""Zoë 🌍""#),
            (r#"a"b"#, r#""a\"b""#),
            (r"a\b", r#""a\\b""#),
            ("a/b'\u{2028}", "\"a/b'\u{2028}\""),
        ] {
            let expected = format!(r#"{{"seq":1,"member":{written},"x":1,"y":2,"at":1767225600123}}"#);
            check_update(&update(1, Some(name), moved(1.0, 2.0)), false, &expected);
        }
    }

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        for (number, written) in [
            (0.1, "0.1"),
            (100.0, "100"),
            (-180.0, "-180"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (10.05, "10.05"),
            (5e-324, "5e-324"),
            (1e21, "1e21"),
            (-1e300, "-1e300"),
        ] {
            let mut out = Vec::new();
            encode_number(&mut out, number);
            assert_eq!(std::str::from_utf8(&out), Ok(written));
        }
    }

    #[test]
    fn snapshot_lists_each_member() {
        let group = GroupId::new(3).expect("a group");
        let seq = Seq::new(7).expect("below 2^53");
        let members = [update(5, Some("a"), moved(1.0, 2.0)), update(7, None, moved(3.0, 4.0))];
        let mut out = Vec::new();
        encode_snapshot(&mut out, group, seq, members.iter());
        let expected = r#"{"group":3,"seq":7,"members":[{"seq":5,"member":"a","x":1,"y":2,"at":1767225600123},{"seq":7,"x":3,"y":4,"at":1767225600123}]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        encode_snapshot(&mut out, group, seq, [].iter());
        assert_eq!(out, br#"{"group":3,"seq":7,"members":[]}"#);
    }

    #[test]
    fn errors_are_written_with_their_keys_in_order() {
        let mut out = Vec::new();
        encode_problem(&mut out, 400, "Bad Request", "x is \"missing\"\n");
        encode_error(&mut out, "bad_publish", "y is missing");
        let expected = r#"{"status":400,"title":"Bad Request","detail":"x is \"missing\"\n"}{"error":"bad_publish","detail":"y is missing"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[track_caller]
    fn check(body: &str, member: Option<&str>, at: Option<u64>, change: Change) {
        let member = member.map(|name| MemberId::new(name).expect("a legal name"));
        let publish = Publish { member, at: at.map(UnixMs), change };
        for body in [body.to_owned(), format!("\u{feff}{body}"), format!(" \t\r\n{body} \t\r\n")] {
            assert_eq!(
                decode_publish(body.as_bytes(), NOW),
                Ok(PublishBody::Publish(publish.clone())),
                "{body}"
            );
        }
        for end in 1..body.len() {
            let cut = decode_publish(&body.as_bytes()[..end], NOW);
            assert!(cut.is_err(), "{end} bytes of {body} made {cut:?}");
        }
        assert!(matches!(
            decode_publish(format!("{body} x").as_bytes(), NOW),
            Err(PublishError::Syntax { .. })
        ));
    }

    #[track_caller]
    fn check_refused(body: &str, expected: PublishError) {
        assert_eq!(decode_publish(body.as_bytes(), NOW), Err(expected), "{body}");
    }

    #[track_caller]
    fn check_syntax(body: &str) {
        let read = decode_publish(body.as_bytes(), NOW);
        assert!(matches!(read, Err(PublishError::Syntax { .. })), "{body} made {read:?}");
    }

    #[test]
    fn publish_is_read_in_any_order_of_keys() {
        check(r#"{"x":1,"y":2.5}"#, None, None, moved(1.0, 2.5));
        check(r#"{"at":5,"member":"alice","y":-2e-3,"x":1E2}"#, Some("alice"), Some(5), moved(100.0, -0.002));
        check(r#"{ "\u0078" : 1 , "y" : 2 , "member" : "Zo\u00eb" }"#, Some("Zoë"), None, moved(1.0, 2.0));
        check(r#"{"left":false,"x":1,"y":2}"#, None, None, moved(1.0, 2.0));
    }

    #[test]
    fn unknown_keys_are_ignored_whatever_they_hold() {
        check(
            r#"{"x":1,"speed":{"x":[null,"}",{"y":3}]},"y":2,"speed":0,"X":7}"#,
            None,
            None,
            moved(1.0, 2.0),
        );
        let deep = format!(r#"{{"x":1,"y":2,"z":{}{}}}"#, "[".repeat(8000), "]".repeat(8000));
        let read = decode_publish(deep.as_bytes(), NOW);
        assert!(matches!(read, Ok(PublishBody::Publish(_))), "{read:?}");
    }

    #[test]
    fn what_says_nothing_of_a_location_is_nothing() {
        for body in ["", " \r\n", "hello", "[1,2]", "null", "\u{feff}", "{}", " { } ", r#"{"z":1}"#, "\0{"] {
            assert_eq!(decode_publish(body.as_bytes(), NOW), Ok(PublishBody::Nothing), "{body}");
        }
        assert_eq!(decode_publish(b"\xff{", NOW), Ok(PublishBody::Nothing));
    }

    #[test]
    fn object_that_does_not_parse_is_refused() {
        for body in
            ["{", "{x:1}", r#"{"x":1,}"#, r#"{"x":1"#, r#"{"z":@}"#, "{}{}", r#"{"x":1,"y":2},"#, "{]"]
        {
            check_syntax(body);
        }
        check_syntax("{\"z\":\"\u{1}\"}");
        let invalid = decode_publish(b"\xef\xbb\xbf{\"z\":\"\xff\"}", NOW);
        assert_eq!(invalid, Err(PublishError::NotUtf8 { at: 9 }));
    }

    #[test]
    fn missing_coordinate_is_refused() {
        check_refused(r#"{"x":1}"#, PublishError::Missing("y"));
        check_refused(r#"{"y":1}"#, PublishError::Missing("x"));
        check_refused(r#"{"member":"a"}"#, PublishError::Missing("x"));
        check_refused(r#"{"at":1}"#, PublishError::Missing("x"));
        check_refused(r#"{"left":false}"#, PublishError::Missing("x"));
    }

    #[test]
    fn coordinate_that_is_no_finite_number_is_refused() {
        for value in
            ["1e999", "-1e999", "null", "\"1\"", "[1]", "{}", "true", "NaN", "Infinity", "01", "+1", "-"]
        {
            check_refused(&format!(r#"{{"y":2,"x":{value}}}"#), PublishError::NotANumber("x"));
            check_refused(&format!(r#"{{"x":2,"y":{value}}}"#), PublishError::NotANumber("y"));
        }
        check(&format!(r#"{{"x":{},"y":0}}"#, f64::MAX), None, None, moved(f64::MAX, 0.0));
    }

    #[test]
    fn member_of_64_bytes_is_read_and_of_65_refused() {
        let longest = "a".repeat(64);
        let body = |name: &str| format!(r#"{{"x":1,"y":2,"member":"{name}"}}"#);
        check(&body(&longest), Some(&longest), None, moved(1.0, 2.0));
        check_refused(&body(&"a".repeat(65)), PublishError::BadMember);
        for name in ["", "\\u0000", "a\\nb", "\\u007f", "\u{85}", "\\ud800"] {
            check_refused(&body(name), PublishError::BadMember);
        }
        for value in ["null", "1", "[\"a\"]", "{}", "true"] {
            check_refused(&format!(r#"{{"x":1,"y":2,"member":{value}}}"#), PublishError::BadMember);
        }
    }

    #[test]
    fn at_up_to_5_s_ahead_is_kept_and_past_it_is_now() {
        let body = |at: &dyn fmt::Display| format!(r#"{{"x":1,"y":2,"at":{at}}}"#);
        check(&body(&0), None, Some(0), moved(1.0, 2.0));
        check(&body(&(NOW.0 + 5000)), None, Some(NOW.0 + 5000), moved(1.0, 2.0));
        check(&body(&(NOW.0 + 5001)), None, Some(NOW.0), moved(1.0, 2.0));
        check(&body(&u64::MAX), None, Some(NOW.0), moved(1.0, 2.0));
        check(&body(&"99999999999999999999999"), None, Some(NOW.0), moved(1.0, 2.0));
        for at in
            ["-1", "1.0", "1.5", "1e3", "1e999", "-99999999999999999999", "null", "\"1\"", "true", "[1]"]
        {
            check_refused(&body(&at), PublishError::BadAt);
        }
    }

    #[test]
    fn leave_needs_no_place() {
        check(r#"{"member":"alice","left":true}"#, Some("alice"), None, Change::Left);
        check(r#"{"x":1,"left":true,"at":3}"#, None, Some(3), Change::Left);
        for left in ["1", "null", "\"true\"", "[]"] {
            check_refused(&format!(r#"{{"left":{left}}}"#), PublishError::BadLeft);
        }
    }

    #[test]
    fn key_that_stands_there_twice_is_refused() {
        check_refused(r#"{"x":1,"y":2,"x":1}"#, PublishError::Repeated("x"));
        check_refused(r#"{"member":"a","member":"a"}"#, PublishError::Repeated("member"));
        check_refused(r#"{"left":true,"left":true}"#, PublishError::Repeated("left"));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_equal(
            seq in 0..Seq::END, y in -180.0..180.0f64,
            x in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
            name in prop::option::of("\\PC{1,16}"), at in 0..=NOW.0
        ) {
            let name = name.as_deref().and_then(MemberId::new);
            let mut written = update(seq, None, moved(x, y));
            written.member.clone_from(&name);
            written.at = UnixMs(at);
            let mut out = Vec::new();
            encode_update(&mut out, &written, false);
            let expected = Publish { member: name, at: Some(UnixMs(at)), change: written.change };
            prop_assert_eq!(decode_publish(&out, NOW), Ok(PublishBody::Publish(expected)));
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(value["seq"].as_u64(), Some(seq));
        }

        #[test]
        fn random_bodies_never_panic(body: Vec<u8>, tail in r#"[{}\[\]",:a-z0-9.eE\\ -]{0,60}"#) {
            let _ = decode_publish(&body, NOW);
            let _ = decode_publish(format!("{{{tail}").as_bytes(), NOW);
        }
    }
}
