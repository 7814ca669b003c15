//! Updates as clients receive them, read byte for byte: the keys in their order, no blanks, nothing else.
//!
//! Knows only what the README shows of an update, so that whatever else a server writes is found.

use std::borrow::Cow;

use crate::ids::{MemberId, Seq, parse_decimal};

/// What stands at the end of an update that updates are missing before, instead of the brace alone.
const GAP_END: &[u8] = b",\"gap\":true}";

/// One update, as a client reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Its number in its group; 0 for a location that was made up for a poll.
    pub seq: Seq,
    /// Whom it is about; `None` for the nameless member.
    pub member: Option<MemberId>,
    /// Where; `None` in a leave.
    pub location: Option<(f64, f64)>,
    /// Unix milliseconds.
    pub at: u64,
    /// Whether its reader was told that updates before it are missing.
    pub gap: bool,
}

impl Received {
    /// Reads an update; `None` for anything that the README does not show: other keys, another order, blanks.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut rest = text.strip_prefix(r#"{"seq":"#)?;
        let seq = integer(until_comma(&mut rest)?).and_then(Seq::new)?;
        let mut member = None;
        if let Some(named) = rest.strip_prefix(r#""member":"#) {
            let end = end_of_string(named)?;
            let name: Cow<'_, str> = serde_json::from_str(&named[..end]).ok()?;
            member = Some(MemberId::new(&name)?);
            rest = named[end..].strip_prefix(',')?;
        }
        let mut location = None;
        if let Some(left) = rest.strip_prefix(r#""left":true,"#) {
            rest = left;
        } else {
            rest = rest.strip_prefix(r#""x":"#)?;
            let x = number(until_comma(&mut rest)?)?;
            rest = rest.strip_prefix(r#""y":"#)?;
            location = Some((x, number(until_comma(&mut rest)?)?));
        }
        rest = rest.strip_prefix(r#""at":"#)?.strip_suffix('}')?;
        let (at, gap) = match rest.strip_suffix(r#","gap":true"#) {
            Some(at) => (at, true),
            None => (rest, false),
        };
        // Only of a named member is told that it left.
        (location.is_some() || member.is_some()).then_some(Self {
            seq,
            member,
            location,
            at: integer(at)?,
            gap,
        })
    }
}

/// The bytes of an update as everyone else reads it, whether or not this reader was told of a gap.
#[must_use]
pub fn without_gap(body: &[u8]) -> Cow<'_, [u8]> {
    match body.strip_suffix(GAP_END) {
        Some(kept) => Cow::Owned([kept, b"}"].concat()),
        None => Cow::Borrowed(body),
    }
}

fn until_comma<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (token, behind) = rest.split_once(',')?;
    *rest = behind;
    Some(token)
}

/// One past the closing quote of the JSON string that the text begins with.
fn end_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(place + 1),
            _ => {}
        }
    }
    None
}

/// An integer from 0, without leading zeros.
fn integer(token: &str) -> Option<u64> {
    let padded = token.len() > 1 && token.starts_with('0');
    parse_decimal(token.as_bytes()).filter(|_| !padded)
}

/// A finite JSON number without `.0` and without a sign but minus (RFC 8259, section 6).
fn number(token: &str) -> Option<f64> {
    let plain = !token.ends_with(".0") && !token.starts_with(' ') && !token.ends_with(' ');
    serde_json::from_str(token).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, seq: u64, member: Option<&str>, location: Option<(f64, f64)>, gap: bool) {
        let read = Received::parse(text.as_bytes());
        let member = member.map(|name| MemberId::new(name).unwrap());
        let seq = Seq::new(seq).unwrap();
        assert_eq!(read, Some(Received { seq, member, location, at: 1_767_225_600_123, gap }), "{text}");
        for end in 0..text.len() {
            assert_eq!(Received::parse(&text.as_bytes()[..end]), None, "{end} bytes of {text}");
        }
        assert_eq!(Received::parse(format!("{text}\n").as_bytes()), None, "{text} and a line feed");
    }

    #[test]
    fn updates_are_read_as_readme_shows_them() {
        check(
            r#"{"seq":115964116992001,"member":"alice","x":12.5,"y":48.25,"at":1767225600123}"#,
            115_964_116_992_001,
            Some("alice"),
            Some((12.5, 48.25)),
            false,
        );
        check(r#"{"seq":0,"x":1,"y":-2e-7,"at":1767225600123}"#, 0, None, Some((1.0, -2e-7)), false);
        let leave = r#"{"seq":9,"member":"a,\"b","left":true,"at":1767225600123,"gap":true}"#;
        check(leave, 9, Some("a,\"b"), None, true);
    }

    #[test]
    fn anything_else_is_no_update() {
        for text in [
            "",
            "hello",
            "{}",
            r#"{"error":"bad_publish","detail":"y is missing"}"#,
            r#"{"seq":1, "x":1,"y":2,"at":3}"#,
            r#"{"seq": 1,"x":1,"y":2,"at":3}"#,
            r#"{"seq":1,"x": 1,"y":2,"at":3}"#,
            r#"{"seq":1,"y":2,"x":1,"at":3}"#,
            r#"{"seq":1,"x":1,"y":2}"#,
            r#"{"seq":1,"x":1,"y":2,"at":3,"z":4}"#,
            r#"{"seq":1,"x":1,"y":2,"at":3,"gap":false}"#,
            r#"{"seq":1,"x":1.0,"y":2,"at":3}"#,
            r#"{"seq":1,"x":+1,"y":2,"at":3}"#,
            r#"{"seq":1,"x":1e999,"y":2,"at":3}"#,
            r#"{"seq":1,"x":NaN,"y":2,"at":3}"#,
            r#"{"seq":1,"x":null,"y":2,"at":3}"#,
            r#"{"seq":01,"x":1,"y":2,"at":3}"#,
            r#"{"seq":9007199254740992,"x":1,"y":2,"at":3}"#,
            r#"{"seq":-1,"x":1,"y":2,"at":3}"#,
            r#"{"seq":1,"x":1,"y":2,"at":-3}"#,
            r#"{"seq":1,"member":null,"x":1,"y":2,"at":3}"#,
            r#"{"seq":1,"member":"","x":1,"y":2,"at":3}"#,
            r#"{"seq":1,"left":true,"at":3}"#,
        ] {
            assert_eq!(Received::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Received::parse(b"{\"seq\":1,\"member\":\"\xff\",\"x\":1,\"y\":2,\"at\":3}"), None);
    }

    #[test]
    fn gap_is_taken_from_the_end_and_from_nowhere_else() {
        let plain = br#"{"seq":1,"x":1,"y":2,"at":3}"#;
        assert_eq!(&*without_gap(plain), plain);
        assert_eq!(&*without_gap(br#"{"seq":1,"x":1,"y":2,"at":3,"gap":true}"#), plain);
        let named = br#"{"seq":1,"member":",\"gap\":true}","x":1,"y":2,"at":3}"#;
        assert_eq!(&*without_gap(named), named);
    }
}
