//! Durations, sizes and shares.

use std::time::Duration;

use super::{Lexical, Unreadable};

/// A number and the word behind it, at the front of a text, and what is left.
fn amount(text: &str) -> Option<(f64, &str, &str)> {
    let text = text.trim_start();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let number: f64 = text[..digits].parse().ok()?;
    let rest = text[digits..].trim_start();
    let unit = rest.find(|c: char| !(c.is_ascii_alphabetic() || c == '%')).unwrap_or(rest.len());
    Some((number, &rest[..unit], &rest[unit..]))
}

/// How long something takes or lasts.
pub(crate) struct DurationText;

impl Lexical for DurationText {
    type Meaning = Duration;
    const FORMAT: &'static str = "flowline-duration";
    const NOUN: &'static str = "a duration";
    const HOW: &'static str =
        "a number and a unit of us, ms, s, m, h, d or w: `250ms`, `10s`, `5m`, `1h 30m`, `7d`";
    const EXAMPLES: &'static [&'static str] = &["250ms", "10s", "5m", "24h", "7d"];

    fn read(text: &str) -> Result<Duration, Unreadable> {
        const YEARS_MAX: f64 = 100.0 * 366.0 * 86_400.0;
        let (mut seconds, mut rest) = (0.0, text.trim());
        if rest.is_empty() {
            return Err(Unreadable::Form);
        }
        while !rest.is_empty() {
            let (number, unit, behind) = amount(rest).ok_or(Unreadable::Form)?;
            let factor = match unit {
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                "w" => 604_800.0,
                _ => return Err(Unreadable::Form),
            };
            seconds += number * factor;
            rest = behind.trim_start();
        }
        if seconds > YEARS_MAX {
            return Err(Unreadable::Because(format!("`{text}` is longer than 100 years"), None));
        }
        Ok(Duration::from_micros((seconds * 1e6).round() as u64))
    }
}

/// How many bytes.
pub(crate) struct SizeText;

impl Lexical for SizeText {
    type Meaning = u64;
    const FORMAT: &'static str = "flowline-size";
    const NOUN: &'static str = "a size";
    const HOW: &'static str = "bytes, or a number and a unit: `512KiB`, `128MiB`, `8GiB` (powers of 1024), `128MB`, `8GB` (powers of 1000)";
    const EXAMPLES: &'static [&'static str] = &["128MiB", "8GiB", "512KiB"];
    const TYPES: &'static [&'static str] = &["string", "integer"];
    const MINIMUM: Option<i64> = Some(0);

    fn read(text: &str) -> Result<u64, Unreadable> {
        let text = text.trim();
        if let Ok(bytes) = text.parse::<u64>() {
            return Ok(bytes);
        }
        let (number, unit, rest) = amount(text).ok_or(Unreadable::Form)?;
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            _ => return Err(Unreadable::Form),
        };
        let bytes = number * factor as f64;
        if !rest.is_empty() || bytes >= (1u64 << 60) as f64 {
            return Err(Unreadable::Form);
        }
        Ok(bytes.round() as u64)
    }
}

/// A part of the whole.
pub(crate) struct ShareText;

impl Lexical for ShareText {
    type Meaning = f64;
    const FORMAT: &'static str = "flowline-share";
    const NOUN: &'static str = "a share";
    const HOW: &'static str = "percents above 0 and up to 100: `99%`, `99.9%`";
    const EXAMPLES: &'static [&'static str] = &["99%", "99.9%"];

    fn read(text: &str) -> Result<f64, Unreadable> {
        match amount(text) {
            Some((number, "%", "")) if number > 0.0 && number <= 100.0 => Ok((number * 1e10).round() / 1e12),
            _ => Err(Unreadable::Form),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, micros) in [
            ("0ms", 0),
            ("250ms", 250_000),
            ("10s", 10_000_000),
            ("1.5s", 1_500_000),
            ("5m", 300_000_000),
            ("1h 30m", 5_400_000_000),
            ("1h30m", 5_400_000_000),
            ("7d", 604_800_000_000),
        ] {
            assert_eq!(DurationText::read(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in ["", "5", "5 minutes", "m", "-5m", "5m!", "1.2.3s", "99999999999d", "∞", "５m"] {
            assert!(DurationText::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("128MiB", 128 << 20),
            ("128 MB", 128_000_000),
            ("1.5k", 1536),
            ("8GiB", 8 << 30),
        ] {
            assert_eq!(SizeText::read(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "12 parsecs", "-1", "1MB2", "99999999999TB"] {
            assert!(SizeText::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(ShareText::read("99.9%"), Ok(0.999));
        assert_eq!(ShareText::read("99.999%"), Ok(0.999_99));
        assert_eq!(ShareText::read("100%"), Ok(1.0));
        for text in ["", "0%", "101%", "99", "0.99", "x%", "99%%"] {
            assert!(ShareText::read(text).is_err(), "{text}");
        }
    }
}
