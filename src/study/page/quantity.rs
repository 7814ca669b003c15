//! How figures are written: numbers, times, bytes and spreads, in three digits, with what they count behind them.
//!
//! What was not measured, or is no number, is said so; nothing here writes NaN.

use crate::study::figures::Spread;

/// Stands where there is no figure.
pub(super) const NONE: &str = "–";

/// Stands where there could have been one.
pub(super) const NOT_MEASURED: &str = "not measured";

/// Between a number and its unit: no line breaks there.
const JOINT: char = '\u{a0}';

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things.
    Count,
    /// Bytes, told in powers of a thousand.
    Bytes,
    /// Microseconds, told in what fits.
    Micros,
    /// Milliseconds, told in what fits.
    Millis,
    /// Users, cores and the like, whose size is an estimate: never more than three digits told apart.
    Estimate,
}

/// A number of this unit, in words that a table or sentence takes.
pub(super) fn quantity(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let (scale, name) = scale_of(value, unit);
    format!("{}{name}", bare(value, unit, scale))
}

/// The number alone, of which `scale` makes one.
fn bare(value: f64, unit: Unit, scale: f64) -> String {
    match unit {
        Unit::Estimate => number(rounded(value)),
        // A part of a byte is below what a mean of them can tell.
        Unit::Bytes if scale == 1.0 && value >= 10.0 => number(value.round()),
        _ => number(value / scale),
    }
}

/// What a value of this size is told in: how much one of it is, and its name.
fn scale_of(value: f64, unit: Unit) -> (f64, &'static str) {
    match unit {
        Unit::Count | Unit::Estimate => (1.0, ""),
        // Sizes of messages are told to the byte, and a connection's memory too.
        Unit::Bytes => fitting(value, 1.0, 9_999.5, &BYTES),
        Unit::Micros => fitting(value, 1.0, 999.5, &TIMES),
        Unit::Millis => fitting(value, 0.001, 0.9995, &TIMES),
    }
}

/// Names of powers of a thousand, each behind its joint.
const COUNTS: [&str; 4] = ["", "k", "M", "G"];
const BYTES: [&str; 5] = ["\u{a0}B", "\u{a0}kB", "\u{a0}MB", "\u{a0}GB", "\u{a0}TB"];
const TIMES: [&str; 3] = ["\u{a0}µs", "\u{a0}ms", "\u{a0}s"];

/// The name that a value is told in, of which `first` is one of the first, and how much one of it is: the first name below
/// `most`, else one that leaves less than a thousand, at worst the last.
fn fitting(value: f64, first: f64, most: f64, names: &[&'static str]) -> (f64, &'static str) {
    let (mut scale, mut most) = (first, most);
    let mut name = "";
    for (at, next) in names.iter().enumerate() {
        name = next;
        if value.abs() < most || at + 1 == names.len() {
            break;
        }
        scale *= 1000.0;
        most = scale * 999.5;
    }
    (scale, name)
}

/// A mark of an axis: as short as it can be told.
pub(super) fn tick(value: f64, unit: Unit) -> String {
    let (scale, name) = match unit {
        Unit::Count | Unit::Estimate => fitting(value, 1.0, 999.5, &COUNTS),
        Unit::Bytes => fitting(value, 1.0, 999.5, &BYTES),
        Unit::Micros | Unit::Millis => scale_of(value, unit),
    };
    format!("{}{name}", plain(value / scale))
}

/// A number without zeros at its end: 0.5, 2, 200.
fn plain(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The number to three digits, so that an estimate does not look more exact than it is.
fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return value;
    }
    let last_digit = 10f64.powf(value.abs().log10().floor() - 2.0);
    (value / last_digit).round() * last_digit
}

/// A number: whole and in groups of three from 100, with three digits below unless it is whole.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    match value.abs() {
        size if is_whole(size) => grouped(value),
        size if size < 0.0005 => "under 0.001".to_owned(),
        size if size < 0.9995 => format!("{value:.3}"),
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

/// Whether it is a whole number but for what computing has added to it.
fn is_whole(size: f64) -> bool {
    (size - size.round()).abs() <= size * 1e-9
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// A whole number, in groups of three.
pub(super) fn whole(value: impl TryInto<u64>) -> String {
    value.try_into().map_or_else(|_| NONE.to_owned(), |value| grouped(value as f64))
}

/// A share of one in per cent: whole from 10, with one digit more below and near 100.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let text = match percent {
        _ if !percent.is_finite() => return NONE.to_owned(),
        _ if percent > 0.0 && percent < 0.05 => "under 0.1".to_owned(),
        _ if is_whole(percent) => grouped(percent),
        _ if percent < 9.95 || (99.5..100.0).contains(&percent) => format!("{percent:.1}"),
        _ => grouped(percent),
    };
    format!("{text}{JOINT}%")
}

/// How many times: two digits are enough.
pub(super) fn times(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.1}") } else { number(ratio.round()) }
}

/// The least and the greatest, in the median's unit.
fn range(spread: &Spread, unit: Unit) -> String {
    let (scale, _) = scale_of(spread.median, unit);
    format!("{}–{}", bare(spread.min, unit, scale), bare(spread.max, unit, scale))
}

/// The median, and below it the least and the greatest in brackets.
pub(super) fn spread_cell(spread: &Spread, unit: Unit) -> String {
    match spread.runs {
        0 => NONE.to_owned(),
        1 => quantity(spread.median, unit),
        _ => format!("{}\n({})", quantity(spread.median, unit), range(spread, unit)),
    }
}

/// A figure that is 0 where nothing was measured.
pub(super) fn or_none(value: f64, unit: Unit) -> String {
    if value > 0.0 { quantity(value, unit) } else { NONE.to_owned() }
}

/// How long, in seconds and minutes.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.to_owned();
    }
    let whole = seconds.round() as u64;
    match (whole / 60, whole % 60) {
        (0, seconds) => format!("{seconds}{JOINT}s"),
        (minutes, 0) => format!("{minutes}{JOINT}min"),
        (minutes, seconds) => format!("{minutes}{JOINT}min {seconds}{JOINT}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: f64, unit: Unit, expected: &str) {
        assert_eq!(quantity(value, unit).replace(JOINT, " "), expected);
    }

    #[test]
    fn numbers_have_three_digits_and_groups() {
        check(0.0, Unit::Count, "0");
        check(0.0002, Unit::Count, "under 0.001");
        check(0.1, Unit::Count, "0.100");
        check(1.0016, Unit::Count, "1.00");
        check(9.996, Unit::Count, "10.0");
        check(99.96, Unit::Count, "100");
        check(-1234.4, Unit::Count, "-1,234");
        check(1_234_567.0, Unit::Count, "1,234,567");
        check(1_234_567.0, Unit::Estimate, "1,230,000");
        check(0.0, Unit::Estimate, "0");
        check(14_834.0, Unit::Estimate, "14,800");
        check(10.0, Unit::Count, "10");
    }

    #[test]
    fn units_fit_the_size() {
        check(812.4, Unit::Micros, "812 µs");
        check(1_240.0, Unit::Micros, "1.24 ms");
        check(2_500_000.0, Unit::Micros, "2.50 s");
        check(90_000_000.0, Unit::Micros, "90 s");
        check(3_000.0, Unit::Millis, "3 s");
        check(0.25, Unit::Millis, "250 µs");
        check(250.0, Unit::Millis, "250 ms");
        check(170.0, Unit::Bytes, "170 B");
        check(93.7, Unit::Bytes, "94 B");
        check(1.25, Unit::Bytes, "1.25 B");
        check(9_999.0, Unit::Bytes, "9,999 B");
        check(12_345.0, Unit::Bytes, "12.3 kB");
        check(8.3e9, Unit::Bytes, "8.30 GB");
        check(999_700.0, Unit::Micros, "1.00 s");
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        for unit in [Unit::Count, Unit::Bytes, Unit::Micros, Unit::Millis, Unit::Estimate] {
            check(f64::NAN, unit, NONE);
            check(f64::INFINITY, unit, NONE);
        }
        assert_eq!(percent(f64::NAN), NONE);
        assert_eq!(duration(f64::NAN), NONE);
        assert_eq!(or_none(0.0, Unit::Bytes), NONE);
    }

    #[test]
    fn shares_are_per_cent() {
        for (share, expected) in [
            (0.0, "0 %"),
            (0.0001, "under 0.1 %"),
            (0.0297, "3.0 %"),
            (0.833, "83 %"),
            (0.9967, "99.7 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(share).replace(JOINT, " "), expected);
        }
        assert_eq!((times(4.38), times(29.3)), ("4.4".to_owned(), "29".to_owned()));
    }

    #[test]
    fn marks_of_an_axis_are_short() {
        for (value, unit, expected) in [
            (0.5, Unit::Count, "0.5"),
            (20_000.0, Unit::Count, "20k"),
            (2e6, Unit::Count, "2M"),
            (200.0, Unit::Micros, "200 µs"),
            (5_000.0, Unit::Micros, "5 ms"),
            (3_000.0, Unit::Millis, "3 s"),
            (100_000_000.0, Unit::Micros, "100 s"),
            (1_000.0, Unit::Bytes, "1 kB"),
        ] {
            assert_eq!(tick(value, unit).replace(JOINT, " "), expected);
        }
    }

    #[test]
    fn a_spread_tells_its_range() {
        let three = Spread::of([2.01, 1.88, 1.92]);
        assert_eq!(spread_cell(&three, Unit::Count), "1.92\n(1.88–2.01)");
        let wide = Spread::of([900.0, 1_100.0, 12_000.0]);
        assert_eq!(spread_cell(&wide, Unit::Micros), "1.10\u{a0}ms\n(0.900–12)");
        assert_eq!(spread_cell(&Spread::of([2.0]), Unit::Count), "2");
        assert_eq!(spread_cell(&Spread::default(), Unit::Count), NONE);
    }

    #[test]
    fn durations_are_minutes_and_seconds() {
        assert_eq!(duration(42.4).replace(JOINT, " "), "42 s");
        assert_eq!(duration(600.0).replace(JOINT, " "), "10 min");
        assert_eq!(duration(754.0).replace(JOINT, " "), "12 min 34 s");
    }
}
