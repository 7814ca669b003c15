//! What the style sheet promises: that everything stands out from its ground, in both colour schemes and on paper.

use super::*;

/// A colour's share of the lightest, as WCAG 2 computes it.
fn luminance(colour: &str) -> f64 {
    let digits = colour.strip_prefix('#').expect("a colour begins with #");
    let linear = |at: usize| {
        let byte = u8::from_str_radix(&digits[at..at + 2], 16).expect("a colour has six digits");
        let share = f64::from(byte) / 255.0;
        if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(0) + 0.7152 * linear(2) + 0.0722 * linear(4)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// The blocks of variables: light, dark, printed.
fn schemes() -> Vec<&'static str> {
    STYLE
        .split(":root {")
        .skip(1)
        .map(|block| block.split('}').next().expect("split gives one part"))
        .collect()
}

#[track_caller]
fn variable<'a>(scheme: &'a str, name: &str) -> &'a str {
    let (_, behind) =
        scheme.split_once(&format!("--{name}: ")).unwrap_or_else(|| panic!("no {name}: {scheme}"));
    behind.split(';').next().expect("split gives one part")
}

#[test]
fn contrast_is_computed_as_the_standard_does() {
    assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
    assert!((contrast("#777777", "#ffffff") - 4.478).abs() < 0.001);
}

#[test]
fn everything_stands_out_from_its_ground() {
    let schemes = schemes();
    assert_eq!(schemes.len(), 3);
    for scheme in schemes {
        let ground = variable(scheme, "ground");
        for (name, least) in [("text", 4.5), ("faint", 4.5), ("link", 4.5)] {
            let found = contrast(variable(scheme, name), ground);
            assert!(found >= least, "{name} on {ground}: {found:.2}");
        }
        assert!(contrast(variable(scheme, "text"), variable(scheme, "notice")) >= 4.5);
        for look in 0..plots::LOOKS {
            let found = contrast(variable(scheme, &format!("series-{look}")), ground);
            assert!(found >= 3.0, "series-{look} on {ground}: {found:.2}");
        }
    }
}

#[test]
fn every_look_has_its_style() {
    for look in 0..plots::LOOKS {
        for class in ["line", "reference", "straight", "whisker", "mark", "area"] {
            assert!(STYLE.contains(&format!(".{class}-{look}")), "no .{class}-{look}");
        }
    }
    for class in ["words", "grid", "axis", "range", "halo"] {
        assert!(STYLE.contains(&format!(".{class} {{")), "no .{class}");
    }
}

#[test]
fn dates_are_readable_and_never_panic() {
    assert_eq!(
        date(1_767_225_600),
        "on <time datetime=\"2026-01-01T00:00:00Z\">2026-01-01 at 00:00 UTC</time>"
    );
    assert_eq!(date(0), "at an unknown time");
    assert_eq!(date(u64::MAX), "at an unknown time");
    assert!(date(253_402_300_799).contains("9999-12-31"));
}
