//! `INTERVAL '10' SECOND` as microseconds.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{keyword, place, word};
use crate::problem::{Fault, Place};

const MILLISECOND: i64 = 1_000;
/// A century: longer windows are a mistake.
const LONGEST: i64 = 100 * 366 * 86_400 * 1_000_000;

/// The microseconds of an interval; negative ones too.
///
/// # Errors
/// What is no interval of fixed length, or none of whole milliseconds.
pub(super) fn microseconds(words: &[TokenWithSpan], at: Place) -> Result<i64, Fault> {
    let here = words.first().map_or(at, place);
    let wrong = |what: &str| {
        Fault::new(here, what.to_owned())
            .hint("write an interval: `INTERVAL '10' SECOND`, `INTERVAL '1' HOUR`")
    };
    let (negative, words) = match words {
        [minus, rest @ ..] if minus.token == Token::Minus => (true, rest),
        all => (false, all),
    };
    let [first, text, unit @ ..] = words else { return Err(wrong("an interval is missing here")) };
    let Token::SingleQuotedString(text) = &text.token else { return Err(wrong("this is no interval")) };
    if keyword(first) != Keyword::INTERVAL || unit.len() > 1 {
        return Err(wrong("this is no interval"));
    }
    let length = match unit.first().map(|unit| word(unit).unwrap_or_default()) {
        Some(unit) => of_unit(text.trim(), unit, here)?,
        None => of_words(text, here)?,
    };
    let length = if negative { length.checked_neg() } else { Some(length) };
    match length {
        Some(length) if length % MILLISECOND != 0 => Err(wrong("windows are whole milliseconds")),
        Some(length) if length.abs() <= LONGEST => Ok(length),
        _ => Err(wrong("this interval is longer than a century")),
    }
}

/// `'1 hour 30 minutes'`.
fn of_words(text: &str, place: Place) -> Result<i64, Fault> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let wrong = || {
        Fault::new(place, format!("`{text}` is no interval"))
            .hint("write a number and a unit: `INTERVAL '10' SECOND`")
    };
    if parts.is_empty() || !parts.len().is_multiple_of(2) {
        return Err(wrong());
    }
    parts
        .chunks(2)
        .try_fold(0i64, |sum, part| sum.checked_add(of_unit(part[0], part[1], place)?).ok_or_else(wrong))
}

fn of_unit(number: &str, unit: &str, place: Place) -> Result<i64, Fault> {
    let lower = unit.to_ascii_lowercase();
    let micros: i64 = match lower.strip_suffix('s').unwrap_or(&lower) {
        "millisecond" => MILLISECOND,
        "second" => 1_000_000,
        "minute" => 60_000_000,
        "hour" => 3_600_000_000,
        "day" => 86_400_000_000,
        "week" => 7 * 86_400_000_000,
        "month" | "quarter" | "year" => {
            let fault = Fault::new(place, format!("a window of {lower} has no fixed length"));
            return Err(fault.hint("use days, or group by `date_trunc('month', ts)` in a batch query"));
        }
        _ => {
            let fault = Fault::new(place, format!("`{unit}` is no unit of time"));
            return Err(fault.hint("use MILLISECOND, SECOND, MINUTE, HOUR, DAY or WEEK"));
        }
    };
    let wrong = || Fault::new(place, format!("`{number}` is no number of {lower}"));
    let (whole, behind) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let whole = whole.parse::<i64>().ok().and_then(|whole| whole.checked_mul(micros)).ok_or_else(wrong)?;
    let mut scale = micros;
    let mut fraction = 0i64;
    for digit in behind.chars() {
        scale /= 10;
        fraction += i64::from(digit.to_digit(10).ok_or_else(wrong)?) * scale;
    }
    let sum = if negative { whole.checked_sub(fraction) } else { whole.checked_add(fraction) };
    sum.ok_or_else(wrong)
}
