//! Fetches a server's /metrics and reads the Prometheus text format, of which it needs names, labels and values alone.
//!
//! Knows sockets and text, not which series there are. A line that is none of the format's is passed over: the server
//! may be anybody's.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::clock::Clock;

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
/// It asks in HTTP/1.0, so that no server answers in chunks.
pub(super) fn fetch(address: SocketAddr) -> io::Result<Answer> {
    let clock = Clock::start();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut received = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => received.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
        if received.len() > ANSWER_BYTES_MAX {
            return Err(no_answer("longer than any scrape"));
        }
        if u128::from(clock.now().micros) > PATIENCE.as_micros() {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    let (status, body) = read_answer(&received)?;
    Ok(Answer {
        status,
        body: String::from_utf8_lossy(body).into_owned(),
        request_bytes: request.len() as u64,
        answer_bytes: received.len() as u64,
    })
}

/// The status and the body of an answer that lasted to the end of its connection.
fn read_answer(received: &[u8]) -> io::Result<(u16, &[u8])> {
    let mark = b"\r\n\r\n";
    let head_bytes = received.windows(mark.len()).position(|at| at == mark);
    let head_bytes = head_bytes.ok_or_else(|| no_answer("without an end of its head"))?;
    let head = String::from_utf8_lossy(&received[..head_bytes]);
    let body = &received[head_bytes + mark.len()..];
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| {
        let (version, rest) = line.split_once(' ')?;
        version.starts_with("HTTP/1.").then(|| rest.get(..3)?.parse().ok())?
    });
    let status = status.ok_or_else(|| no_answer("without a status"))?;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") && value.trim().parse() != Ok(body.len()) {
            return Err(no_answer("cut short"));
        }
    }
    Ok((status, body))
}

fn no_answer(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("an answer {why}"))
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

    #[track_caller]
    fn check_answer(received: &str, want: Result<(u16, &str), &str>) {
        let answer = read_answer(received.as_bytes());
        let answer = answer.map(|(status, body)| (status, std::str::from_utf8(body).unwrap()));
        assert_eq!(answer.map_err(|error| error.to_string()), want.map_err(str::to_owned), "{received}");
    }

    #[test]
    fn answers_are_read_to_their_end() {
        check_answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n", Ok((200, "a 1\n")));
        check_answer("HTTP/1.0 200 \r\n\r\na 1\n", Ok((200, "a 1\n")));
        check_answer("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Ok((404, "")));
        check_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na 1\n", Err("an answer cut short"));
        check_answer("HTTP/1.1 200 OK\r\nContent-Len", Err("an answer without an end of its head"));
        check_answer("", Err("an answer without an end of its head"));
        check_answer("HTTP/1.1 xx\r\n\r\n", Err("an answer without a status"));
        check_answer("SSH-2.0 200\r\n\r\n", Err("an answer without a status"));
    }
}
