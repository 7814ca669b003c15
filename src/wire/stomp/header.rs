//! The header lines of one frame, looked at in place, and the escapes of each version.
//!
//! Knows how names and values are spelled; knows none of them by name. Read "Value Encoding" and "Repeated
//! Header Entries" of the 1.2 specification first, then the first of them in 1.1 for what it says of padding.

use std::borrow::Cow;

use crate::wire::stomp::Version;
use crate::wire::stomp::frame::FrameError;

/// A view of a frame's header lines, every one of which has been checked, so that reading cannot fail.
///
/// Nothing is copied or indexed: frames have a handful of headers, and each is asked for once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    /// The lines, each with its line end.
    lines: &'a str,
    version: Version,
}

impl<'a> Headers<'a> {
    /// Checks all header lines as `version` spells them.
    ///
    /// # Errors
    /// [`FrameError::NotUtf8`], [`FrameError::NoColon`], [`FrameError::EmptyName`],
    /// [`FrameError::BadEscape`], [`FrameError::BareCarriageReturn`]; all final.
    pub(super) fn check(lines: &'a [u8], version: Version) -> Result<Self, FrameError> {
        let headers = Self::checked_before(lines, version)?;
        for (index, line) in headers.lines.lines().enumerate() {
            let line_number = index + 1;
            // In 1.0 and 1.1 a CR is an ordinary byte of a value; 1.2 has an escape for it.
            if version == Version::V12 && line.contains('\r') {
                return Err(FrameError::BareCarriageReturn { line_number });
            }
            let (name, value) = split(line, version).ok_or(FrameError::NoColon { line_number })?;
            if name.is_empty() {
                return Err(FrameError::EmptyName { line_number });
            }
            if unescape(name, version).is_none() || unescape(value, version).is_none() {
                return Err(FrameError::BadEscape { line_number, version });
            }
        }
        Ok(headers)
    }

    /// The same lines again, once more of the frame has come; only their being UTF-8 is looked at anew.
    pub(super) fn checked_before(lines: &'a [u8], version: Version) -> Result<Self, FrameError> {
        let lines = str::from_utf8(lines).map_err(|_| FrameError::NotUtf8)?;
        Ok(Self { lines, version })
    }

    /// The value of a header, without its escapes; of repeated ones the first (1.2, "Repeated Header Entries").
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut fields = self.lines.lines().filter_map(|line| split(line, self.version));
        // A name without escapes is compared as it stands, which nearly all are; escapes make a name longer.
        let is_plain = self.version == Version::V10 || !name.contains('\\');
        let is_it = |found: &str| {
            (is_plain && found == name)
                || (found.len() > name.len() && unescape(found, self.version).as_deref() == Some(name))
        };
        let (_, value) = fields.find(|(found, _)| is_it(found))?;
        unescape(value, self.version)
    }
}

/// Splits a line at its first colon; later ones belong to the value.
///
/// 1.2 has senders escape those, but too many do not. Blanks around names and values are trimmed in 1.0
/// alone: its examples pad headers and its brokers (ActiveMQ, HornetQ) trim them, and 1.1 forbids both.
fn split(line: &str, version: Version) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    match version {
        Version::V10 => Some((name.trim_matches([' ', '\t']), value.trim_matches([' ', '\t']))),
        Version::V11 | Version::V12 => Some((name, value)),
    }
}

/// Takes the escapes out; `None` on one that the version does not define, which is fatal
/// ("undefined escape sequences such as \t must be treated as a fatal protocol error").
fn unescape(raw: &str, version: Version) -> Option<Cow<'_, str>> {
    if version == Version::V10 || !raw.contains('\\') {
        return Some(Cow::Borrowed(raw));
    }
    let mut plain = String::with_capacity(raw.len());
    let mut letters = raw.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        plain.push(match letters.next()? {
            'n' => '\n',
            'c' => ':',
            '\\' => '\\',
            'r' if version == Version::V12 => '\r',
            _ => return None,
        });
    }
    Some(Cow::Owned(plain))
}

/// Appends a header name or value with the escapes of `version`.
///
/// What a version cannot say becomes a blank: NUL in all of them, LF in 1.0. Nothing that came in with the same
/// version is changed, and nothing that goes out can end a header early.
pub fn append_escaped(out: &mut Vec<u8>, plain: &str, version: Version) {
    for byte in plain.bytes() {
        match (byte, version) {
            (0, Version::V10 | Version::V11 | Version::V12) => out.push(b' '),
            (b'\n', Version::V10) => out.push(b' '),
            (b'\n', Version::V11 | Version::V12) => out.extend_from_slice(b"\\n"),
            (b':', Version::V11 | Version::V12) => out.extend_from_slice(b"\\c"),
            (b'\\', Version::V11 | Version::V12) => out.extend_from_slice(b"\\\\"),
            (b'\r', Version::V12) => out.extend_from_slice(b"\\r"),
            (ordinary, Version::V10 | Version::V11 | Version::V12) => out.push(ordinary),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &str, version: Version, name: &str, expected: Option<&str>) {
        let headers = Headers::check(lines.as_bytes(), version).expect("legal header lines");
        assert_eq!(headers.value(name).as_deref(), expected, "{lines:?} in {version:?}");
    }

    #[track_caller]
    fn check_refused(lines: &[u8], version: Version, error: FrameError) {
        assert_eq!(Headers::check(lines, version), Err(error), "{lines:?} in {version:?}");
    }

    #[test]
    fn each_version_knows_its_escapes() {
        check("a:\\n\\c\\\\\n", Version::V10, "a", Some("\\n\\c\\\\"));
        check("a:\\n\\c\\\\\n", Version::V11, "a", Some("\n:\\"));
        check("a:\\n\\c\\\\\\r\n", Version::V12, "a", Some("\n:\\\r"));
        check("a:\\\\n\n", Version::V12, "a", Some("\\n"));
        check("a:é\\c語\n", Version::V12, "a", Some("é:語"));
    }

    #[test]
    fn undefined_escapes_are_refused_in_names_and_values() {
        let refused = |version| FrameError::BadEscape { line_number: 2, version };
        check_refused(b"a:b\nc:\\r\n", Version::V11, refused(Version::V11));
        check_refused(b"a:b\nc:\\t\n", Version::V12, refused(Version::V12));
        check_refused(b"a:b\nc\\t:d\n", Version::V12, refused(Version::V12));
        check_refused(b"a:b\nc:d\\\n", Version::V12, refused(Version::V12));
    }

    #[test]
    fn names_are_compared_without_their_escapes() {
        check("a\\cb:1\n", Version::V11, "a:b", Some("1"));
        check("a\\cb:1\n", Version::V11, "a\\cb", None);
        check("a\\cb:1\n", Version::V10, "a\\cb", Some("1"));
        check("Ab:1\n", Version::V12, "ab", None);
    }

    #[test]
    fn the_first_of_repeated_headers_wins() {
        check("a:1\nb:2\na:3\n", Version::V12, "a", Some("1"));
        check("a:\na:3\n", Version::V12, "a", Some(""));
    }

    #[test]
    fn blanks_are_trimmed_in_1_0_alone() {
        check("a : b c \t\n", Version::V10, "a", Some("b c"));
        check("a: b \n", Version::V11, "a", Some(" b "));
        check("a: b \n", Version::V12, "a", Some(" b "));
        check_refused(b" :b\n", Version::V10, FrameError::EmptyName { line_number: 1 });
    }

    #[test]
    fn values_may_be_empty_and_hold_colons() {
        check("a:\nb:c:d\n", Version::V12, "a", Some(""));
        check("a:\nb:c:d\n", Version::V12, "b", Some("c:d"));
        check("", Version::V12, "a", None);
    }

    #[test]
    fn broken_lines_are_refused() {
        check_refused(b"a:1\nb\n", Version::V12, FrameError::NoColon { line_number: 2 });
        check_refused(b":1\n", Version::V12, FrameError::EmptyName { line_number: 1 });
        check_refused(b"a:\xff\n", Version::V12, FrameError::NotUtf8);
    }

    #[test]
    fn a_carriage_return_inside_a_line_is_refused_in_1_2_alone() {
        check("a:b\rc\r\n", Version::V11, "a", Some("b\rc"));
        check_refused(b"a:b\rc\r\n", Version::V12, FrameError::BareCarriageReturn { line_number: 1 });
    }

    proptest::proptest! {
        #[test]
        fn what_is_escaped_is_read_back(plain: String) {
            for version in Version::ALL {
                let mut plain = plain.replace('\0', "").trim_end_matches('\r').to_owned();
                if version == Version::V10 {
                    // What 1.0 can say: blanks around a value are no part of it.
                    plain = plain.replace('\n', "\r").trim_matches([' ', '\t', '\r']).to_owned();
                }
                let mut lines = b"a:".to_vec();
                append_escaped(&mut lines, &plain, version);
                lines.push(b'\n');
                let headers = Headers::check(&lines, version).expect("our own line");
                let value = headers.value("a");
                proptest::prop_assert_eq!(value.as_deref(), Some(&*plain));
            }
        }

        #[test]
        fn no_text_can_end_its_header_early(plain: String) {
            for version in Version::ALL {
                let mut out = Vec::new();
                append_escaped(&mut out, &plain, version);
                proptest::prop_assert!(!out.contains(&b'\n') && !out.contains(&0));
            }
        }
    }
}
