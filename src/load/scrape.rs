//! Fetches a server's /metrics and reads the Prometheus text format, of which it needs names, labels and values alone.
//!
//! Knows sockets and text, not which series there are. A line that is none of the format's is passed over: the server
//! may be anybody's.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::clock::Clock;
use crate::load::client::{Client, Heard};

/// How long a scrape may take. A server under the heaviest load that a run makes still answers in a tenth of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read; ours is some 10 KiB, a JVM's some 50.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: String,
    /// What the request and
    pub(super) request_bytes: u64,
    /// the answer took on the wire, heads and all.
    pub(super) answer_bytes: u64,
}

/// One line of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series<'a> {
    /// Its name, with `_bucket`, `_sum` or `_count` of a histogram.
    pub(super) name: &'a str,
    /// Its labels.
    labels: Vec<(&'a str, Cow<'a, str>)>,
    /// Its value.
    pub(super) value: f64,
}

impl Series<'_> {
    /// The value of a label, empty if it does not have it: to Prometheus that is the same.
    pub(super) fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(label, _)| *label == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Asks for /metrics on a connection of its own.
///
/// It asks in HTTP/1.0, so that no server answers in chunks, and to have the connection closed. One that closes is waited for,
/// so that its end is not in what is measured next; one that keeps it all the same has answered when its answer is whole.
pub(super) fn fetch(address: SocketAddr) -> io::Result<Answer> {
    let clock = Clock::start();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut reader = AnswerReader::new();
    let mut part = [0; 16 * 1024];
    while !reader.is_over() {
        match stream.read(&mut part) {
            Ok(length) => reader.take(&mut part[..length])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
        if reader.bytes > ANSWER_BYTES_MAX {
            return Err(invalid("an answer longer than any scrape"));
        }
        if u128::from(clock.now().micros) > PATIENCE.as_micros() {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    let (status, body) = reader.answer.ok_or_else(|| invalid("no answer"))?;
    Ok(Answer { status, body, request_bytes: request.len() as u64, answer_bytes: reader.bytes as u64 })
}

/// Reads one answer as any client of ours does.
struct AnswerReader {
    client: Client,
    answer: Option<(u16, String)>,
    bytes: usize,
    /// Nothing more is to come, or to be waited for.
    is_over: bool,
}

impl AnswerReader {
    fn new() -> Self {
        Self { client: Client::requests(), answer: None, bytes: 0, is_over: false }
    }

    const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes what came; nothing is the end of the connection.
    fn take(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.bytes += bytes.len();
        let (answer, is_over) = (&mut self.answer, &mut self.is_over);
        let mut hear = |heard: Heard<'_>| {
            if let Heard::Answer(told) = heard {
                *answer = Some((told.status, String::from_utf8_lossy(told.body).into_owned()));
                *is_over |= told.keep_alive;
            }
        };
        let understood = if bytes.is_empty() {
            let understood = self.client.handle_end(&mut hear);
            self.is_over = true;
            understood
        } else {
            self.client.handle_received(bytes, [0; 4], &mut Vec::new(), &mut hear)
        };
        understood.map_err(|error| invalid(&error.to_string()))
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// Every series of a scrape.
pub(super) fn series(text: &str) -> impl Iterator<Item = Series<'_>> {
    text.lines().filter_map(read_line)
}

/// `name{label="value",...} number [time]`; `None` for comments and what is none of the format's.
fn read_line(line: &str) -> Option<Series<'_>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (name, rest) = line.split_at(line.find(|c| !is_name(c))?);
    if name.is_empty() {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Series { name, labels, value })
}

/// Labels behind the brace, and what comes behind the brace that ends them.
#[expect(clippy::type_complexity, reason = "labels, and the rest of the line")]
fn read_labels(mut rest: &str) -> Option<(Vec<(&str, Cow<'_, str>)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (label, quoted) = rest.split_once("=\"")?;
        let (value, behind) = read_quoted(quoted)?;
        labels.push((label.trim(), value));
        rest = behind;
    }
}

/// A value up to its closing quote, with `\\`, `\"` and `\n` for what they stand for.
fn read_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let plain = text.find(['"', '\\'])?;
    if text[plain..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..plain]), &text[plain + 1..]));
    }
    let mut value = text[..plain].to_owned();
    let mut chars = text[plain..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(value), &text[plain + at + 1..])),
            '\\' => match chars.next()? {
                (_, 'n') => value.push('\n'),
                (_, escaped) => value.push(escaped),
            },
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_line(line: &str, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
        assert_eq!(read_line(line), Some(Series { name, labels, value }), "{line}");
    }

    #[test]
    fn lines_of_the_format_are_read() {
        check_line("up 1", "up", &[], 1.0);
        check_line("up 1.5e3 1767225600123", "up", &[], 1500.0);
        check_line("up{} 2", "up", &[], 2.0);
        check_line("a:b_total{call=\"read\",of=\"x\"} 3", "a:b_total", &[("call", "read"), ("of", "x")], 3.0);
        check_line("a{b=\"1\", c=\"2\",} 3", "a", &[("b", "1"), ("c", "2")], 3.0);
        check_line("a_bucket{le=\"+Inf\"} +Inf", "a_bucket", &[("le", "+Inf")], f64::INFINITY);
        check_line(
            r#"a{b="x} \"y\", \\ \n z=\"1",c="2"} 3"#,
            "a",
            &[("b", "x} \"y\", \\ \n z=\"1"), ("c", "2")],
            3.0,
        );
    }

    #[test]
    fn lines_of_no_series_are_passed_over() {
        for line in ["", "# HELP up Whether.", "# TYPE up gauge", "up", "up one", "a{b=\"1\"}", "a{b=\"1} 2"]
        {
            assert_eq!(read_line(line), None, "{line}");
        }
        for line in ["a{b=1} 2", "a{b=\"1\\", "{b=\"1\"} 2", " up 1", "a{b=\"1\" 2"] {
            assert_eq!(read_line(line), None, "{line}");
        }
        assert_eq!(series("# HELP a b\na 1\nnonsense\nb 2\n").map(|series| series.value).sum::<f64>(), 3.0);
    }

    #[test]
    fn label_that_is_not_there_is_empty() {
        let series = read_line("a{b=\"1\"} 2").unwrap();
        assert_eq!((series.label("b"), series.label("c")), ("1", ""));
    }

    /// Reads an answer whole and byte by byte, up to its end or to where it is over without one.
    #[track_caller]
    fn check_answer(received: &str, is_over: bool, want: Result<(u16, &str), &str>) {
        for piece in [received.len().max(1), 1] {
            let mut reader = AnswerReader::new();
            let mut read = received.as_bytes().chunks(piece).try_for_each(|piece| {
                assert!(!reader.is_over(), "{received}: it was over before");
                reader.take(&mut piece.to_vec())
            });
            if read.is_ok() {
                assert_eq!(reader.is_over(), is_over, "{received}");
                read = reader.take(&mut []);
            }
            let read = read.map_err(|error| error.to_string());
            let answer = read.map(|()| reader.answer.unwrap_or_default());
            let want = want.map(|(status, body)| (status, body.to_owned()));
            assert_eq!(answer, want.map_err(str::to_owned), "{received}");
        }
    }

    #[test]
    fn answer_whose_connection_stays_is_over_when_it_is_whole() {
        check_answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n", true, Ok((200, "a 1\n")));
        check_answer("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", true, Ok((404, "")));
        check_answer("HTTP/1.1 204 No Content\r\n\r\n", true, Ok((204, "")));
        let chunked = "HTTP/1.1 404 None\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";
        check_answer(chunked, true, Ok((404, "no")));
        let kept = "HTTP/1.0 404 None\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nno";
        check_answer(kept, true, Ok((404, "no")));
    }

    #[test]
    fn answer_whose_connection_ends_is_waited_for_to_that_end() {
        check_answer("HTTP/1.0 200 \r\n\r\na 1\n", false, Ok((200, "a 1\n")));
        let closes = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\na 1\n";
        check_answer(closes, false, Ok((200, "a 1\n")));
        // Nobody knows whether that was all of it.
        check_answer("HTTP/1.1 200 OK\r\n\r\na 1\n", false, Ok((200, "a 1\n")));
    }

    #[test]
    fn answer_that_is_none_is_refused() {
        let short = "the connection ended in the middle of an item";
        check_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na 1\n", false, Err(short));
        check_answer("HTTP/1.1 200 OK\r\nContent-Len", false, Err(short));
        check_answer("", false, Ok((0, "")));
    }
}
