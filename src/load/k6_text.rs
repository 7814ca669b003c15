//! How k6 writes a summary: its durations, bytes and percentages, and its dotted, aligned lines.
//!
//! As of its text summary of the study's time, but that no line ends in blanks.

use std::io::{self, Write};

use super::published::{Share, Times};

/// Before every line of a summary.
pub(super) const INDENT: &str = "     ";

/// What stands behind the dots of one line.
pub(super) enum Value {
    /// Times, in the order of the head of their [`Lines`].
    Times(Vec<String>),
    /// Anything else, and what k6 puts behind it in columns.
    Plain(String, Vec<String>),
}

/// Lines that are aligned with each other.
pub(super) struct Lines {
    stats: &'static [&'static str],
    lines: Vec<(String, Value)>,
}

impl Lines {
    /// Lines whose times are these.
    pub(super) fn new(stats: &'static [&'static str]) -> Self {
        Self { stats, lines: Vec::new() }
    }

    /// Lines whose times are k6's.
    pub(super) fn as_k6() -> Self {
        Self::new(&["avg", "min", "med", "max", "p(90)", "p(95)"])
    }

    /// k6's line of times.
    pub(super) fn times(&mut self, name: &str, times: Times) {
        let Times { avg_us, min_us, med_us, max_us, p90_us, p95_us } = times;
        let cells = [avg_us, min_us, med_us, max_us, p90_us, p95_us].map(duration);
        self.add(name, Value::Times(cells.to_vec()));
    }

    /// k6's line of a counter.
    pub(super) fn count(&mut self, name: &str, count: u64, seconds: f64) {
        let rate = format!("{}/s", number(rate(count, seconds)));
        self.add(name, Value::Plain(count.to_string(), vec![rate]));
    }

    /// k6's line of a counter of bytes.
    pub(super) fn data(&mut self, name: &str, count: u64, seconds: f64) {
        let rate = format!("{}/s", bytes(rate(count, seconds)));
        self.add(name, Value::Plain(bytes(count as f64), vec![rate]));
    }

    /// k6's line of how often something was so and how often not.
    pub(super) fn share(&mut self, name: &str, Share { percent: share, yes, no }: Share) {
        self.add(name, Value::Plain(percent(share), vec![format!("✓ {yes}"), format!("✗ {no}")]));
    }

    /// One more line.
    pub(super) fn add(&mut self, name: &str, value: Value) {
        self.lines.push((name.to_owned(), value));
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Writes them.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let names = self.lines.iter().map(|(name, _)| width(name)).max().unwrap_or(0) + 3;
        let plain = self.column(|value| match value {
            Value::Plain(value, _) => Some(value),
            Value::Times(_) => None,
        });
        for (name, value) in &self.lines {
            let mut line = format!("{INDENT}{}: ", padded(name, names, '.'));
            match value {
                Value::Times(cells) => {
                    for (at, (stat, cell)) in self.stats.iter().zip(cells).enumerate() {
                        let widest = self.column(|value| match value {
                            Value::Times(cells) => cells.get(at),
                            Value::Plain(..) => None,
                        });
                        line += &format!("{stat}={} ", padded(cell, widest, ' '));
                    }
                }
                Value::Plain(value, behind) => {
                    line += &padded(value, plain, ' ');
                    for (at, cell) in behind.iter().enumerate() {
                        let widest = self.column(|value| match value {
                            Value::Plain(_, behind) if behind.len() > 1 => behind.get(at),
                            Value::Plain(..) | Value::Times(_) => None,
                        });
                        line += &format!(" {}", padded(cell, widest, ' '));
                    }
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// How wide the widest cell of a column is.
    fn column<'a>(&'a self, cell: impl Fn(&'a Value) -> Option<&'a String>) -> usize {
        self.lines.iter().filter_map(|(_, value)| cell(value)).map(|cell| width(cell)).max().unwrap_or(0)
    }
}

/// Writes one check as k6 does: its name if it always held, else also how often.
pub(super) fn print_check(out: &mut dyn Write, name: &str, passes: u64, fails: u64) -> io::Result<()> {
    if fails == 0 {
        return writeln!(out, "{INDENT}✓ {name}");
    }
    let percent = 100 * passes / (passes + fails);
    writeln!(out, "{INDENT}✗ {name}\n{INDENT} ↳  {percent}% — ✓ {passes} / ✗ {fails}")
}

/// A time: two digits behind the point, cut off and not rounded, in the unit that leaves one to three before it.
pub(super) fn duration(micros: f64) -> String {
    if micros <= 0.0 {
        return "0s".to_owned();
    }
    if micros < 1.0 {
        return format!("{}ns", (micros * 1000.0).trunc());
    }
    if micros < 1e3 {
        return format!("{}µs", cut(micros));
    }
    if micros < 1e6 {
        return format!("{}ms", cut(micros / 1e3));
    }
    let seconds = micros / 1e6;
    let minutes = (seconds / 60.0).trunc();
    if minutes < 1.0 {
        return format!("{}s", cut(seconds));
    }
    let rest = (seconds % 60.0).trunc();
    if minutes < 60.0 {
        return format!("{minutes}m{rest}s");
    }
    format!("{}h{}m{rest}s", (minutes / 60.0).trunc(), minutes % 60.0)
}

/// Bytes in thousands, with a digit behind the point below ten of a unit.
pub(super) fn bytes(bytes: f64) -> String {
    if bytes < 10.0 {
        return format!("{} B", number(bytes));
    }
    let mut scaled = bytes;
    let mut units = ["B", "kB", "MB", "GB", "TB"].iter();
    let mut unit = units.next().expect("there are five");
    while scaled >= 1000.0 {
        let Some(next) = units.next() else { break };
        (scaled, unit) = (scaled / 1000.0, next);
    }
    let tenths = (scaled * 10.0 + 0.5).floor();
    if tenths < 100.0 {
        return format!("{:.1} {unit}", tenths / 10.0);
    }
    // Rounded for the second time and half up, as it comes out there.
    format!("{} {unit}", (tenths / 10.0 + 0.5).floor())
}

/// A number with six digits behind the point at most.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Per cent with two digits behind the point, the rest cut off.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2}%", hundredths(share))
}

/// So many a second; 0 if no time went by.
pub(super) fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// Two digits behind the point at most, the rest cut off. The little that is added keeps a decimal number that has no
/// exact binary one, such as 1.13, from losing its last digit.
fn cut(value: f64) -> String {
    number(hundredths(value))
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0 + 1e-6).trunc() / 100.0
}

/// What it takes on a screen, of what is printed here: one place a character.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text and as many of `fill` behind it as make it so wide.
pub(super) fn padded(text: &str, wide: usize, fill: char) -> String {
    let missing = wide.saturating_sub(width(text));
    text.chars().chain(std::iter::repeat_n(fill, missing)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_duration(micros: f64, want: &str) {
        assert_eq!(duration(micros), want, "{micros} µs");
    }

    #[test]
    fn durations_are_written_as_k6_writes_them() {
        check_duration(0.0, "0s");
        check_duration(0.5, "500ns");
        check_duration(441.0, "441µs");
        check_duration(590.66, "590.66µs");
        check_duration(207.3, "207.3µs");
        check_duration(999.999, "999.99µs");
        check_duration(1_000.0, "1ms");
        check_duration(1_130.0, "1.13ms");
        check_duration(2_420.0, "2.42ms");
        check_duration(24_759.0, "24.75ms");
        check_duration(999_999.0, "999.99ms");
        check_duration(1_940_000.0, "1.94s");
        check_duration(3_000_000.0, "3s");
        check_duration(59_999_999.0, "59.99s");
        check_duration(60_000_000.0, "1m0s");
        check_duration(83_400_000.0, "1m23s");
        check_duration(3_723_000_000.0, "1h2m3s");
    }

    #[track_caller]
    fn check_bytes(count: f64, want: &str) {
        assert_eq!(bytes(count), want, "{count} bytes");
    }

    #[test]
    fn bytes_are_written_as_k6_writes_them() {
        check_bytes(0.0, "0 B");
        check_bytes(9.0, "9 B");
        check_bytes(10.0, "10 B");
        check_bytes(999.0, "999 B");
        check_bytes(1_000.0, "1.0 kB");
        check_bytes(48_123.0, "48 kB");
        check_bytes(14_500.0, "15 kB");
        check_bytes(9_949.0, "9.9 kB");
        check_bytes(9_950.0, "10 kB");
        check_bytes(3_000_000.0, "3.0 MB");
        check_bytes(823_400_000.0, "823 MB");
        check_bytes(1_500_000_000_000_000.0, "1500 TB");
    }

    #[test]
    fn numbers_and_shares_are_written_as_k6_writes_them() {
        assert_eq!(number(154.226_693), "154.226693");
        assert_eq!(number(11.110_730), "11.11073");
        assert_eq!(number(100.0), "100");
        assert_eq!(percent(Share::of(5873, 739).percent), "88.82%");
        assert_eq!(percent(Share::of(9658, 0).percent), "100.00%");
        assert_eq!(percent(Share::of(0, 0).percent), "0.00%");
        assert_eq!(percent(Share::of(1, 19_999).percent), "0.00%");
    }

    #[test]
    fn checks_are_written_as_k6_writes_them() {
        let mut out = Vec::new();
        print_check(&mut out, "Status is 200", 5, 0).unwrap();
        print_check(&mut out, "Post Status is 200", 1465, 739).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "     ✓ Status is 200\n     ✗ Post Status is 200\n      ↳  66% — ✓ 1465 / ✗ 739\n");
    }

    #[test]
    fn lines_are_aligned_as_k6_aligns_them() {
        let mut lines = Lines::as_k6();
        lines.data("data_received", 3_000_000, 62.6);
        lines.times(
            "http_req_connecting",
            Times { avg_us: 46.11, min_us: 0.0, med_us: 0.0, max_us: 6_850.0, p90_us: 207.3, p95_us: 428.14 },
        );
        lines.times(
            "http_req_duration",
            Times {
                avg_us: 2_420.0,
                min_us: 441.0,
                med_us: 1_510.0,
                max_us: 24_750.0,
                p90_us: 5_090.0,
                p95_us: 7_150.0,
            },
        );
        lines.share("http_req_failed", Share::of(9658, 0));
        lines.count("http_reqs", 9658, 62.5);
        let mut out = Vec::new();
        lines.print(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "     data_received.........: 3.0 MB  48 kB/s\n\
             \x20    http_req_connecting...: avg=46.11µs min=0s    med=0s     max=6.85ms  p(90)=207.3µs p(95)=428.14µs\n\
             \x20    http_req_duration.....: avg=2.42ms  min=441µs med=1.51ms max=24.75ms p(90)=5.09ms  p(95)=7.15ms\n\
             \x20    http_req_failed.......: 100.00% ✓ 9658 ✗ 0\n\
             \x20    http_reqs.............: 9658    154.528/s\n"
        );
    }
}
