//! Rules about texts held against a column of them, in whichever way they are stored.
//!
//! Owns: which rows have a text that a rule does not allow. Does not own: rows without a text, which have any answer here.

use arrow::array::{Array, ArrayRef, AsArray, GenericStringArray, OffsetSizeTrait};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;

/// The rows whose text has fewer than `min` or more than `max` characters; none when the column is not of texts.
pub(crate) fn outside_lengths(column: &ArrayRef, min: u64, max: u64) -> Option<BooleanBuffer> {
    let ascii = match column.data_type() {
        DataType::Utf8 => byte_lengths(column.as_string::<i32>(), min, max),
        DataType::LargeUtf8 => byte_lengths(column.as_string::<i64>(), min, max),
        _ => None,
    };
    ascii.or_else(|| failing(column, |text| !(min..=max).contains(&characters(text))))
}

/// The same where every text is ASCII, and has as many characters as bytes: only where they end is read.
fn byte_lengths<O: OffsetSizeTrait>(
    texts: &GenericStringArray<O>,
    min: u64,
    max: u64,
) -> Option<BooleanBuffer> {
    let ends = texts.value_offsets();
    let (first, last) = (ends.first()?.as_usize(), ends.last()?.as_usize());
    if !texts.value_data()[first..last].is_ascii() {
        return None;
    }
    // A length less than the least one wraps around and is too large.
    let (least, span) = (min as usize, max.saturating_sub(min) as usize);
    let outside = |row: usize| (ends[row + 1] - ends[row]).as_usize().wrapping_sub(least) > span;
    Some(match min <= max {
        true => BooleanBuffer::collect_bool(texts.len(), outside),
        false => BooleanBuffer::new_set(texts.len()),
    })
}

fn characters(text: &str) -> u64 {
    // As many as bytes, unless it is not ASCII.
    if text.is_ascii() { text.len() as u64 } else { text.chars().count() as u64 }
}

/// The rows whose text is wrong; none when the column is not of texts. Where a text repeats the one before, so does the
/// answer.
pub(crate) fn failing(column: &ArrayRef, wrong: impl Fn(&str) -> bool) -> Option<BooleanBuffer> {
    fn each<'a>(
        rows: usize,
        value: impl Fn(usize) -> &'a str,
        wrong: impl Fn(&str) -> bool,
    ) -> BooleanBuffer {
        let mut last: Option<(&str, bool)> = None;
        BooleanBuffer::collect_bool(rows, |row| {
            let text = value(row);
            match last {
                Some((known, answer)) if known == text => answer,
                _ => {
                    let answer = wrong(text);
                    last = Some((text, answer));
                    answer
                }
            }
        })
    }
    Some(match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            each(texts.len(), |row| texts.value(row), wrong)
        }
        DataType::LargeUtf8 => {
            let texts = column.as_string::<i64>();
            each(texts.len(), |row| texts.value(row), wrong)
        }
        DataType::Utf8View => {
            let texts = column.as_string_view();
            each(texts.len(), |row| texts.value(row), wrong)
        }
        _ => return None,
    })
}
