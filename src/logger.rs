//! The logger behind the `log` macros: one line an event, to stderr. Knows the clock and nothing of the server.

use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use log::{LevelFilter, Log, Metadata, Record};

use crate::clock::{Clock, UnixMs};

struct Logger {
    clock: Clock,
}

/// Starts logging up to `level`; called once, before the first thread. A second call changes only the level.
pub fn start(level: LevelFilter) {
    // It fails only if a logger is set already, and that one logs as well as this one.
    let _ = log::set_boxed_logger(Box::new(Logger { clock: Clock::start() }));
    log::set_max_level(level);
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = line(self.clock.now().unix, record);
            // One write, so that lines of two threads do not mix. Nobody is left to tell that stderr is gone.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// `2026-11-23T01:02:03.456Z INFO text`; what a peer put into the text cannot begin a line of its own.
fn line(at: UnixMs, record: &Record<'_>) -> String {
    let at = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at.0));
    let text = record.args().to_string().replace(char::is_control, " ");
    format!("{at} {} {text}\n", record.level())
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let record = |args| Record::builder().level(Level::Info).args(args).build();
        let at = UnixMs(1_795_395_723_456);
        assert_eq!(line(at, &record(format_args!("text"))), "2026-11-23T01:02:03.456Z INFO text\n");
        let told = line(at, &record(format_args!("a\r\nb\u{1b}[2Jc")));
        assert_eq!(told, "2026-11-23T01:02:03.456Z INFO a  b [2Jc\n");
    }
}
