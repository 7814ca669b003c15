//! Response heads as bytes (RFC 9112, section 4; RFC 9110, sections 6.6.1 and 15), and the entity tags that
//! they give out: written here, so compared here.
//!
//! Appends to a `Vec<u8>`, cannot fail, allocates nothing of its own and formats no number through `fmt`.
//! Which fields an answer carries is for its writer to say; this file only spells them.

use crate::ids::{Seq, parse_decimal};
use crate::wire::decimal::encode_decimal;
use crate::wire::http::request::Version;

/// One table for number, title and the line that is written, so that the three cannot drift apart.
macro_rules! statuses {
    ($($name:ident = $code:literal $title:literal),+ $(,)?) => {
        /// Every status code that the server answers with (RFC 9110, section 15; 426 and 431 from RFC 6585).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is the status of that title")]
        pub enum Status { $($name),+ }

        impl Status {
            /// Every status, by number.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The three digits.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code),+ }
            }

            /// The reason phrase, also the `title` of a problem.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// The status line and the name of the field that always follows it.
            const fn line_and_date_name(self) -> &'static str {
                match self { $(Self::$name => concat!("HTTP/1.1 ", $code, " ", $title, "\r\nDate: ")),+ }
            }
        }
    };
}

statuses! {
    Continue = 100 "Continue",
    SwitchingProtocols = 101 "Switching Protocols",
    Ok = 200 "OK",
    NoContent = 204 "No Content",
    NotModified = 304 "Not Modified",
    BadRequest = 400 "Bad Request",
    Forbidden = 403 "Forbidden",
    NotFound = 404 "Not Found",
    MethodNotAllowed = 405 "Method Not Allowed",
    RequestTimeout = 408 "Request Timeout",
    Conflict = 409 "Conflict",
    ContentTooLarge = 413 "Content Too Large",
    UriTooLong = 414 "URI Too Long",
    ExpectationFailed = 417 "Expectation Failed",
    UpgradeRequired = 426 "Upgrade Required",
    RequestHeaderFieldsTooLarge = 431 "Request Header Fields Too Large",
    InternalServerError = 500 "Internal Server Error",
    NotImplemented = 501 "Not Implemented",
    ServiceUnavailable = 503 "Service Unavailable",
    HttpVersionNotSupported = 505 "HTTP Version Not Supported",
}

impl Status {
    /// The class from 0 (1xx) to 4 (5xx): its place in the counts of answers.
    #[must_use]
    pub const fn class_index(self) -> usize {
        (self.code() / 100 - 1) as usize
    }

    /// The status of a code; `None` for one that the server never answers with.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.code() == code)
    }
}

/// A moment as the `Date` field spells it (RFC 9110, section 5.6.7), made once a second and copied into every
/// answer of that second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate([u8; 29]);

impl HttpDate {
    /// The last second of the year 9999; the format has four digits for a year.
    const SECONDS_MAX: u64 = 253_402_300_799;
    const DAY_NAMES: &[u8; 21] = b"SunMonTueWedThuFriSat";
    const MONTH_NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

    /// The date of a moment; what lies past the year 9999 is shown as its end.
    #[must_use]
    pub fn from_unix_seconds(seconds: u64) -> Self {
        let seconds = seconds.min(Self::SECONDS_MAX);
        let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        // 1970-01-01 was a Thursday.
        let weekday = ((days + 4) % 7) as usize;
        let mut date = *b"Day, 00 Mon 0000 00:00:00 GMT";
        date[..3].copy_from_slice(&Self::DAY_NAMES[weekday * 3..][..3]);
        put_two_digits(&mut date[5..], day);
        date[8..11].copy_from_slice(&Self::MONTH_NAMES[(month as usize - 1) * 3..][..3]);
        put_two_digits(&mut date[12..], year / 100);
        put_two_digits(&mut date[14..], year % 100);
        put_two_digits(&mut date[17..], second_of_day / 3600);
        put_two_digits(&mut date[20..], second_of_day / 60 % 60);
        put_two_digits(&mut date[23..], second_of_day % 60);
        Self(date)
    }

    /// The 29 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 29] {
        &self.0
    }
}

/// Year, month (1 to 12) and day (1 to 31) of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year and months have the lengths
/// 31, 30, 31, 30, 31 over and over: `(153 m + 2) / 5` days lie before the m-th of them.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01; 146,097 of them make 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + (month <= 2) as u64;
    (year, month, day)
}

fn put_two_digits(place: &mut [u8], number: u64) {
    place[0] = b'0' + (number / 10 % 10) as u8;
    place[1] = b'0' + (number % 10) as u8;
}

/// Appends the interim answer that lets a client send its body (RFC 9110, section 15.2.1).
pub fn encode_continue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Appends the status line and `Date`; the answer is whole once [`ResponseHead::finish`],
/// [`ResponseHead::content`] or [`ResponseHead::body`] has been called.
pub fn begin<'a>(out: &'a mut Vec<u8>, status: Status, date: &HttpDate) -> ResponseHead<'a> {
    out.extend_from_slice(status.line_and_date_name().as_bytes());
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(b"\r\n");
    ResponseHead { out }
}

/// A response head under way: accepts header fields in the order they are to be sent, then one ending.
#[must_use = "a head without its empty line swallows whatever is written next"]
#[derive(Debug)]
pub struct ResponseHead<'a> {
    out: &'a mut Vec<u8>,
}

impl ResponseHead<'_> {
    /// A field. Neither name nor value may come from a peer unchecked: a line end in them would split the
    /// answer.
    pub fn field(self, name: &str, value: &[u8]) -> Self {
        debug_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a line end in {name}");
        let head = self.name(name);
        head.out.extend_from_slice(value);
        head.line_end()
    }

    /// A field whose value is a number.
    pub fn field_number(self, name: &str, value: u64) -> Self {
        let head = self.name(name);
        encode_decimal(head.out, value);
        head.line_end()
    }

    /// `ETag`, the update's number between quotes (RFC 9110, section 8.8.3).
    pub fn etag(self, seq: Seq) -> Self {
        self.out.extend_from_slice(b"ETag: \"");
        encode_decimal(self.out, seq.number());
        self.out.push(b'"');
        self.line_end()
    }

    /// `Connection`, only where it says something that the version does not (RFC 9112, section 9.3): `close`
    /// where the connection ends, `keep-alive` to an HTTP/1.0 client that asked for it.
    pub fn connection(self, keep_alive: bool, version: Version) -> Self {
        match (keep_alive, version) {
            (false, Version::Http10 | Version::Http11) => {
                self.out.extend_from_slice(b"Connection: close\r\n");
            }
            (true, Version::Http10) => self.out.extend_from_slice(b"Connection: keep-alive\r\n"),
            (true, Version::Http11) => {}
        }
        self
    }

    /// Ends an answer that has no content (1xx, 204, 304; RFC 9110, section 8.6 forbids a length on the first
    /// two) or whose content has no length known yet and ends with the connection.
    pub fn finish(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the head of an answer with `length` bytes of content, which the caller appends, or leaves out
    /// where the request was a HEAD.
    pub fn content(self, content_type: &str, length: u64) {
        self.field("Content-Type", content_type.as_bytes()).field_number("Content-Length", length).finish();
    }

    /// Ends the head and appends the content.
    pub fn body(self, content_type: &str, bytes: &[u8]) {
        let head = self.field("Content-Type", content_type.as_bytes());
        let head = head.field_number("Content-Length", bytes.len() as u64);
        head.out.extend_from_slice(b"\r\n");
        head.out.extend_from_slice(bytes);
    }

    fn name(self, name: &str) -> Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self
    }

    fn line_end(self) -> Self {
        self.out.extend_from_slice(b"\r\n");
        self
    }
}

/// What a client says that it has (RFC 9110, section 13.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfNoneMatch {
    /// Nothing: there is no such field.
    Absent,
    /// This update, which is what a client that polls says.
    Tag(Seq),
    /// Whatever else, its lines joined.
    List(Box<[u8]>),
}

impl IfNoneMatch {
    /// Reads the field's lines.
    #[must_use]
    pub fn read<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let Some(first) = lines.next() else { return Self::Absent };
        match (lines.next(), only_tag(first)) {
            (None, Some(seq)) => Self::Tag(seq),
            (None, None) => Self::List(first.into()),
            (Some(second), _) => {
                let all: Vec<_> = [first, second].into_iter().chain(lines).collect();
                Self::List(all.join(&b", "[..]).into())
            }
        }
    }

    /// Whether it names an update.
    #[must_use]
    pub fn names(&self, seq: Seq) -> bool {
        match self {
            Self::Absent => false,
            Self::Tag(named) => *named == seq,
            Self::List(list) => if_none_match(std::iter::once(&list[..]), seq),
        }
    }
}

/// The update that a line names, if it is one tag as they are written here and no more.
fn only_tag(line: &[u8]) -> Option<Seq> {
    let tag = line.strip_prefix(b"W/").unwrap_or(line);
    let digits = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let seq = parse_decimal(digits).and_then(Seq::new)?;
    is_spelling_of(digits, seq).then_some(seq)
}

/// Whether an `If-None-Match` names the update `seq`, of which an `ETag` is the number between quotes.
///
/// Reads lists over several lines, commas within an opaque tag, and `*`, which names whatever there is; weak
/// tags compare as strong ones do (RFC 9110, sections 8.8.3.2 and 13.1.2). What is no tag matches nothing.
#[must_use]
pub fn if_none_match<'a>(mut values: impl Iterator<Item = &'a [u8]>, seq: Seq) -> bool {
    values.any(|value| list_names(value, seq))
}

fn list_names(list: &[u8], seq: Seq) -> bool {
    let mut rest = list;
    loop {
        rest = rest.trim_ascii_start();
        if rest.first() == Some(&b'*') {
            return true;
        }
        let tag = rest.strip_prefix(b"W/").unwrap_or(rest);
        if let Some(opaque_and_rest) = tag.strip_prefix(b"\"") {
            let end = opaque_and_rest.iter().position(|byte| *byte == b'"').unwrap_or(opaque_and_rest.len());
            if is_spelling_of(&opaque_and_rest[..end], seq) && end < opaque_and_rest.len() {
                return true;
            }
            rest = opaque_and_rest.get(end + 1..).unwrap_or_default();
        }
        match rest.iter().position(|byte| *byte == b',') {
            Some(comma) => rest = &rest[comma + 1..],
            None => return false,
        }
    }
}

/// Whether these are the very digits that a number is written with: `007` is another tag than `7`.
fn is_spelling_of(digits: &[u8], seq: Seq) -> bool {
    parse_decimal(digits) == Some(seq.number()) && (digits.len() == 1 || digits[0] != b'0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_date(seconds: u64, expected: &str) {
        let date = HttpDate::from_unix_seconds(seconds);
        assert_eq!(std::str::from_utf8(date.as_bytes()).unwrap(), expected);
    }

    #[track_caller]
    fn check_head(write: impl FnOnce(ResponseHead<'_>), expected_after_date: &str) {
        let mut out = b"before".to_vec();
        write(begin(&mut out, Status::Ok, &HttpDate::from_unix_seconds(784_111_777)));
        let expected =
            format!("beforeHTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n{expected_after_date}");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn dates_are_spelled_as_the_rfc_spells_them() {
        // The example of RFC 9110, section 5.6.7.
        check_date(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check_date(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check_date(951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT");
        check_date(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check_date(951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT");
        check_date(1_767_225_599, "Wed, 31 Dec 2025 23:59:59 GMT");
        check_date(4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT");
        check_date(253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT");
        check_date(u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn days_follow_each_other_through_a_whole_era() {
        let mut last = civil_from_days(0);
        for days in 1..=146_097 {
            let (year, month, day) = civil_from_days(days);
            let next_day = (year, month) == (last.0, last.1) && day == last.2 + 1;
            let next_month = day == 1 && (year * 12 + month) == (last.0 * 12 + last.1) + 1 && last.2 >= 28;
            assert!(next_day || next_month, "{last:?} then {:?}", (year, month, day));
            last = (year, month, day);
        }
        assert_eq!(last, (2370, 1, 1));
    }

    #[test]
    fn status_line_says_code_and_title() {
        for status in Status::ALL {
            let expected = format!("HTTP/1.1 {} {}\r\nDate: ", status.code(), status.title());
            assert_eq!(status.line_and_date_name(), expected);
            assert_eq!(Status::from_code(status.code()), Some(*status));
        }
        assert_eq!(Status::from_code(418), None);
        assert_eq!(Status::SwitchingProtocols.class_index(), 0);
        assert_eq!(Status::HttpVersionNotSupported.class_index(), 4);
    }

    #[test]
    fn fields_come_in_the_order_written() {
        check_head(
            |head| {
                let head = head.etag(Seq::new(7).unwrap()).field("Cache-Control", b"no-cache");
                head.connection(true, Version::Http11).body("application/json", b"{}");
            },
            "ETag: \"7\"\r\nCache-Control: no-cache\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        );
    }

    #[test]
    fn head_answer_announces_content_and_sends_none() {
        check_head(
            |head| head.content("text/plain", 12),
            "Content-Type: text/plain\r\nContent-Length: 12\r\n\r\n",
        );
    }

    #[test]
    fn connection_is_said_only_where_the_version_does_not_say_it() {
        check_head(|head| head.connection(true, Version::Http11).finish(), "\r\n");
        check_head(|head| head.connection(true, Version::Http10).finish(), "Connection: keep-alive\r\n\r\n");
        check_head(|head| head.connection(false, Version::Http11).finish(), "Connection: close\r\n\r\n");
        check_head(|head| head.connection(false, Version::Http10).finish(), "Connection: close\r\n\r\n");
    }

    #[test]
    fn continue_is_a_head_and_nothing_else() {
        let mut out = Vec::new();
        encode_continue(&mut out);
        assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    // RFC 9110, sections 8.8.3 and 13.1.2.
    #[test]
    fn if_none_match_reads_lists_weak_tags_and_the_star() {
        let seven = Seq::new(7).unwrap();
        for (values, expected) in [
            (&["\"7\""][..], true),
            (&["W/\"7\""], true),
            (&["*"], true),
            (&["\"6\" , \"7\""], true),
            (&[",, \"a,b\",\t\"7\""], true),
            (&["\"6\"", "\"7\""], true),
            (&["\"8\""], false),
            (&["\"07\""], false),
            (&["7"], false),
            (&["w/\"7\""], false),
            (&["\"7"], false),
            (&["\"6,7\""], false),
            (&["\"a, \"7\""], false),
            (&["\"\""], false),
            (&[""], false),
            (&[], false),
        ] {
            let lines = || values.iter().map(|value| value.as_bytes());
            assert_eq!(if_none_match(lines(), seven), expected, "{values:?}");
            assert_eq!(IfNoneMatch::read(lines()).names(seven), expected, "{values:?}");
        }
        let read = |line: &'static str| IfNoneMatch::read(std::iter::once(line.as_bytes()));
        assert_eq!([read("\"7\""), read("W/\"7\"")], [IfNoneMatch::Tag(seven), IfNoneMatch::Tag(seven)]);
        assert!(if_none_match([&b"\"0\""[..]].into_iter(), Seq::ZERO));
    }

    proptest! {
        #[test]
        fn an_etag_names_its_own_update_alone(number in 0..Seq::END, other in 0..Seq::END) {
            let [seq, other] = [number, other].map(|number| Seq::new(number).unwrap());
            let mut out = Vec::new();
            begin(&mut out, Status::Ok, &HttpDate::from_unix_seconds(0)).etag(seq).finish();
            let head = String::from_utf8(out).unwrap();
            let tag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap().as_bytes();
            for list in [tag.to_vec(), [b"W/", tag].concat(), [b"\"x\", ", tag].concat()] {
                prop_assert!(if_none_match([&list[..]].into_iter(), seq));
                prop_assert_eq!(if_none_match([&list[..]].into_iter(), other), other == seq);
                let read = IfNoneMatch::read([&list[..]].into_iter());
                prop_assert_eq!((read.names(seq), read.names(other)), (true, other == seq));
            }
        }

        #[test]
        fn what_is_read_names_what_its_line_does(list in "[W/*\", 07\t]{0,8}", number in 0..80_u64) {
            let seq = Seq::new(number).unwrap();
            let [read, twice] = [1, 2].map(|times| IfNoneMatch::read(std::iter::repeat_n(list.as_bytes(), times)));
            prop_assert_eq!(read.names(seq), if_none_match([list.as_bytes()].into_iter(), seq));
            if !list.contains('"') {
                prop_assert_eq!(twice.names(seq), read.names(seq));
            }
        }

        #[test]
        fn no_tag_list_panics(list in "[W/*\", 07\t]{0,20}") {
            let _ = if_none_match([list.as_bytes()].into_iter(), Seq::ZERO);
        }
    }
}
