//! Dates and timestamps from their text or number.

use arrow::compute::kernels::cast_utils::string_to_datetime;
use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use flowline_source::number::{Excess, above_nine, scaled};

/// How a column's dates or timestamps are written in its records.
#[derive(Debug, Clone)]
pub(crate) enum TimeFormat {
    /// ISO 8601 / RFC 3339; without a zone, UTC is meant; a day alone is its midnight.
    Iso,
    /// A number of units since the epoch, of which so many decimal digits make microseconds (`epoch_s`: 6). Digits
    /// below the microsecond are cut off, as they are of ISO times.
    Epoch { digits: i32 },
    /// `strftime` items; without a zone in them, UTC is meant.
    Items(Vec<Item<'static>>),
}

impl TimeFormat {
    /// The format as written in a contract.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, String> {
        Ok(match text {
            None => Self::Iso,
            Some("epoch_s") => Self::Epoch { digits: 6 },
            Some("epoch_ms") => Self::Epoch { digits: 3 },
            Some("epoch_us") => Self::Epoch { digits: 0 },
            Some("epoch_ns") => Self::Epoch { digits: -3 },
            Some(text) => {
                let items = StrftimeItems::new(text).parse_to_owned();
                let items = items.map_err(|_| format!("`{text}` is not a strftime format: {EXAMPLES}"))?;
                if !items.iter().any(|item| matches!(item, Item::Numeric(..) | Item::Fixed(_))) {
                    return Err(format!("`{text}` has no part of a date in it: {EXAMPLES}"));
                }
                Self::Items(items)
            }
        })
    }

    /// Whether numbers are taken.
    pub(crate) fn is_epoch(&self) -> bool {
        matches!(self, Self::Epoch { .. })
    }

    /// Microseconds since the epoch.
    pub(crate) fn timestamp(&self, text: &str) -> Option<i64> {
        match self {
            Self::Iso => {
                utc_micros(text.as_bytes()).or_else(|| iso_time(text).map(|time| time.timestamp_micros()))
            }
            Self::Epoch { digits } => i64::try_from(scaled(text, *digits, Excess::Cut).ok()?).ok(),
            Self::Items(items) => with_items(text, items).map(|time| time.timestamp_micros()),
        }
    }

    /// Days since the epoch.
    pub(crate) fn date(&self, text: &str) -> Option<i32> {
        let date = match self {
            Self::Iso => iso_date(text)?,
            Self::Epoch { .. } => DateTime::from_timestamp_micros(self.timestamp(text)?)?.date_naive(),
            Self::Items(items) => with_items(text, items)?.date_naive(),
        };
        Some(days(date))
    }
}

const EXAMPLES: &str =
    "write `%Y/%m/%d %H:%M` for example, or one of `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`";

fn days(date: NaiveDate) -> i32 {
    // Every date that chrono knows is within the range of 32 bits.
    (date - NaiveDate::default()).num_days() as i32
}

/// Microseconds of `2026-01-31T08:00:00Z` and of the same with up to six digits behind the second, as nearly every
/// producer writes it. None for everything else, some of which is a time all the same.
fn utc_micros(text: &[u8]) -> Option<i64> {
    let (time, rest) = text.split_at_checked(19)?;
    let digits = rest.strip_suffix(b"Z")?;
    let part = match digits {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => {
            i64::from(number(digits)?) * 10i64.pow(6 - digits.len() as u32)
        }
        _ => return None,
    };
    let date = pairs(&time[..8], b"0000-00-")?;
    let [year, month] = [date(0) * 100 + date(2), date(5)];
    let middle = pairs(&time[8..16], b"00T00:00")?;
    let [day, hour, minute] = [middle(0), middle(3), middle(6)];
    let second = pairs(&time[11..], b"00:00:00")?(6);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let day = civil_day(year, month, day)?;
    let [hour, minute, second] = [hour, minute, second].map(i64::from);
    let seconds = day * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000 + part)
}

/// What each two digits of eight characters are as a number, by the place of the first; none where they have a digit for
/// no zero of the shape, or another character than the shape.
#[inline]
fn pairs(text: &[u8], shape: &[u8; 8]) -> Option<impl Fn(u32) -> u32> {
    let shape_word = u64::from_le_bytes(*shape);
    let digits = shape.map(|character| if character == b'0' { 0xff } else { 0 });
    let values = u64::from_le_bytes(text.try_into().ok()?) ^ shape_word;
    if above_nine(values) != 0 || values & !u64::from_le_bytes(digits) != 0 {
        return None;
    }
    // Byte by byte ten times the value and the value behind it, which is below a hundred.
    let pairs = values.wrapping_mul((10 << 8) + 1) >> 8;
    Some(move |place: u32| (pairs >> (8 * place) & 0xff) as u32)
}

/// Days since the epoch of a date of the Gregorian calendar, by counting the days of years that begin in March: leap days
/// stand at their ends, and months are five times 31 or 30 days in turn.
fn civil_day(year: u32, month: u32, day: u32) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    // Days from March 1st of the year 0, where January and February belong to the year before, to January 1st, 1970.
    const EPOCH: i64 = 719_468;
    // One era of 400 years is added, so that the year before the year 0 is none below zero.
    let (year, month) = if month > 2 { (year + 400, month - 3) } else { (year + 399, month + 9) };
    let (leap_days, of_year) = (year / 4 - year / 100 + year / 400, (153 * month + 2) / 5 + day - 1);
    Some(i64::from(365 * year + leap_days + of_year) - EPOCH - 146_097)
}

/// A number of a few digits and nothing else.
fn number(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0u32, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
}

fn iso_time(text: &str) -> Option<DateTime<Utc>> {
    match string_to_datetime(&Utc, text) {
        Ok(time) => Some(time),
        // `2026-01-31T08:00`, as forms of browsers write it.
        Err(_) if text.len() == 16 => string_to_datetime(&Utc, &format!("{text}:00")).ok(),
        Err(_) => None,
    }
}

/// `2026-01-31`, and nothing else: a time behind the day would be lost.
fn iso_date(text: &str) -> Option<NaiveDate> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    NaiveDate::from_ymd_opt(number(&bytes[..4])? as i32, number(&bytes[5..7])?, number(&bytes[8..])?)
}

fn with_items(text: &str, items: &[Item<'static>]) -> Option<DateTime<Utc>> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, items.iter()).ok()?;
    if parsed.offset().is_some() {
        return parsed.to_datetime().ok().map(|time| time.with_timezone(&Utc));
    }
    if let Ok(time) = parsed.to_naive_datetime_with_offset(0) {
        return Some(time.and_utc());
    }
    // A format without a time of day means its midnight; one with part of a time that does not fit is wrong.
    let has_time = parsed.hour_mod_12().is_some() || parsed.minute().is_some() || parsed.second().is_some();
    let date = parsed.to_naive_date().ok().filter(|_| !has_time)?;
    Some(date.and_time(NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use chrono::Datelike;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_short_way_reads_what_the_long_one_reads(
            text in "[0-9]{3}[0-9]-[012][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,8})?(Z|z|\\+01:00)?"
        ) {
            if let Some(micros) = utc_micros(text.as_bytes()) {
                prop_assert_eq!(Some(micros), iso_time(&text).map(|time| time.timestamp_micros()));
            }
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let mut date = NaiveDate::from_ymd_opt(0, 1, 1).unwrap();
        while let Some(next) = date.succ_opt().filter(|next| next.year() <= 2_500) {
            let found = civil_day(date.year() as u32, date.month(), date.day());
            assert_eq!(found, Some(i64::from(days(date))), "{date}");
            if next.month() != date.month() {
                assert_eq!(civil_day(date.year() as u32, date.month(), date.day() + 1), None, "{date}");
            }
            date = next;
        }
        assert_eq!(
            (civil_day(2_026, 0, 1), civil_day(2_026, 13, 1), civil_day(2_026, 1, 0)),
            (None, None, None)
        );
    }

    #[test]
    fn what_producers_write_takes_the_short_way() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-01-05T08:00:00.123Z", Some(1_767_600_000_123_000)),
            ("1969-12-31T23:59:59.999999Z", Some(-1)),
            ("2026-02-30T08:00:00Z", None),
            ("2026-01-05T08:00:00.Z", None),
            ("2026-01-05T08:00:60Z", None),
            ("2026-01-05T08:00:00+01:00", None),
        ];
        for (text, expected) in cases {
            assert_eq!(utc_micros(text.as_bytes()), expected, "{text}");
        }
    }
}
