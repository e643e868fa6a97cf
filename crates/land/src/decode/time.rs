//! Dates and timestamps from their text or number.

use arrow::compute::kernels::cast_utils::string_to_datetime;
use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::number::{Excess, scaled};

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
            Self::Iso => iso_time(text).map(|time| time.timestamp_micros()),
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
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0u32, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
        })
    };
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    NaiveDate::from_ymd_opt(number(0, 4)? as i32, number(5, 7)?, number(8, 10)?)
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
