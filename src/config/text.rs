//! How settings are spelled: durations, sizes, levels, the same on the command line, in a variable and in the file.
//!
//! Knows spellings only; which setting has which default and which bounds stands in the module above.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits::SlowConsumer;

/// A value that people write as text.
pub(super) trait Spelled: Sized {
    /// What to write, for the message that refuses something else.
    const EXPECTED: &'static str;

    /// Reads the text; `None` when it is not spelled as [`Spelled::EXPECTED`] says.
    fn read(text: &str) -> Option<Self>;

    /// Reads a bare number of the file; only sizes may be spelled so.
    fn read_number(_number: i64) -> Option<Self> {
        None
    }

    /// The bare number that the file may hold instead of text.
    fn spell_number(&self) -> Option<i64> {
        None
    }

    /// Writes it so that [`Spelled::read`] reads it back equal.
    fn spell(&self) -> String;
}

impl Spelled for Duration {
    const EXPECTED: &'static str = "a duration with its unit, such as 500ms or 10s";

    fn read(text: &str) -> Option<Self> {
        // humantime takes a bare 0, which no unit gives away as a duration.
        let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
        humantime::parse_duration(text).ok().filter(|_| has_unit)
    }

    fn spell(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// Bytes: a bare count, or a count of KiB, MiB or GiB.
impl Spelled for usize {
    const EXPECTED: &'static str = "a number of bytes, or of KiB, MiB or GiB, such as 65536 or 64KiB";

    fn read(text: &str) -> Option<Self> {
        let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
            Some(end) => text.split_at(end),
            None => (text, ""),
        };
        let bytes_each = match unit.trim_start_matches(' ') {
            "" if unit.is_empty() => 1,
            "KiB" => 1024,
            "MiB" => 1024 * 1024,
            "GiB" => 1024 * 1024 * 1024,
            _ => return None,
        };
        digits.parse::<Self>().ok()?.checked_mul(bytes_each)
    }

    fn read_number(number: i64) -> Option<Self> {
        Self::try_from(number).ok()
    }

    fn spell_number(&self) -> Option<i64> {
        i64::try_from(*self).ok()
    }

    fn spell(&self) -> String {
        self.to_string()
    }
}

impl Spelled for LevelFilter {
    const EXPECTED: &'static str = "one of off, error, warn, info, debug, trace";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn spell(&self) -> String {
        self.as_str().to_ascii_lowercase()
    }
}

impl Spelled for SlowConsumer {
    const EXPECTED: &'static str = "one of conflate, disconnect";

    fn read(text: &str) -> Option<Self> {
        [Self::Conflate, Self::Disconnect].into_iter().find(|choice| choice.spell() == text)
    }

    fn spell(&self) -> String {
        let word = match self {
            Self::Conflate => "conflate",
            Self::Disconnect => "disconnect",
        };
        word.to_owned()
    }
}

/// A [`Spelled`] value, as clap and serde want to meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<T>(pub(super) T);

impl<T: Spelled> FromStr for Text<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        T::read(text).map(Self).ok_or_else(|| format!("expected {}", T::EXPECTED))
    }
}

impl<T: Spelled> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.spell_number() {
            Some(number) => serializer.serialize_i64(number),
            None => serializer.serialize_str(&self.0.spell()),
        }
    }
}

impl<'de, T: Spelled> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData))
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Spelled> de::Visitor<'_> for TextVisitor<T> {
    type Value = Text<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::read(text).map(Text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        T::read_number(number)
            .map(Text)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: Spelled + PartialEq + fmt::Debug>(text: &str, expected: Option<T>) {
        let value = T::read(text);
        assert_eq!(value, expected, "{text:?}");
        if let Some(value) = value {
            assert_eq!(T::read(&value.spell()), Some(value), "{text:?} spelled again");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        check("500ms", Some(Duration::from_millis(500)));
        check("10s", Some(Duration::from_secs(10)));
        check("10m", Some(Duration::from_secs(600)));
        check("1m 30s", Some(Duration::from_secs(90)));
        for bad in ["10", "0", "", "s", "10 parsecs", "-1s"] {
            check::<Duration>(bad, None);
        }
    }

    #[test]
    fn sizes_are_bytes_or_binary_multiples() {
        check("8192", Some(8192usize));
        check("64KiB", Some(64 * 1024usize));
        check("64 KiB", Some(64 * 1024usize));
        check("2MiB", Some(2 * 1024 * 1024usize));
        check("3GiB", Some(3 * 1024 * 1024 * 1024usize));
        for bad in
            ["", "KiB", "64k", "64KB", "1 ", "-1", "1.5KiB", "99999999999999999999", "99999999999999999MiB"]
        {
            check::<usize>(bad, None);
        }
    }

    #[test]
    fn words_are_read_and_others_refused() {
        check("warn", Some(LevelFilter::Warn));
        check("off", Some(LevelFilter::Off));
        check::<LevelFilter>("loud", None);
        check("disconnect", Some(SlowConsumer::Disconnect));
        check::<SlowConsumer>("ignore", None);
    }
}
