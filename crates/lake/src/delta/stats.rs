//! The statistics of a data file: as the log writes them, from what Parquet counted while the file was encoded.

use std::fmt::Write;

use arrow::array::Array;
use arrow::datatypes::{DataType, Field, Schema};
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use datafusion::scalar::ScalarValue;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

use crate::arrow_types::{INGESTED_AT, OFFSET, PARTITION, RECEIVED_AT};

/// So many columns of a table have statistics, as every Delta writer does it; the stamps that Flowline itself looks
/// for have them wherever they stand.
const COLUMNS: usize = 32;
const ALWAYS: [&str; 4] = [INGESTED_AT, RECEIVED_AT, PARTITION, OFFSET];

/// What a file's rows look like, column by column. Nested columns have none.
#[derive(Debug, Default)]
struct Column {
    min: Option<ScalarValue>,
    max: Option<ScalarValue>,
    nulls: Option<u64>,
}

/// The statistics of a file, as the log's JSON text. `schema` is the file's; columns named in `unordered` hold NaN, which
/// has no place between a smallest and a largest value.
pub(crate) fn collect(
    metadata: &ParquetMetaData,
    schema: &Schema,
    unordered: &[String],
) -> Result<String, ParquetError> {
    let (mut mins, mut maxs, mut nulls) = (Object::default(), Object::default(), Object::default());
    for (index, field) in schema.fields().iter().enumerate() {
        if field.data_type().is_nested() || index >= COLUMNS && !ALWAYS.contains(&field.name().as_str()) {
            continue;
        }
        let column = column(metadata, schema, field)?;
        if let Some(count) = column.nulls {
            nulls.push(field.name(), &count.to_string());
        }
        if !unordered.contains(field.name()) {
            if let Some(text) = column.min.as_ref().and_then(|value| json(value, false)) {
                mins.push(field.name(), &text);
            }
            if let Some(text) = column.max.as_ref().and_then(|value| json(value, true)) {
                maxs.push(field.name(), &text);
            }
        }
    }
    let rows = metadata.file_metadata().num_rows();
    let (mins, maxs, nulls) = (mins.close(), maxs.close(), nulls.close());
    Ok(format!(r#"{{"numRecords":{rows},"minValues":{mins},"maxValues":{maxs},"nullCount":{nulls}}}"#))
}

fn column(metadata: &ParquetMetaData, schema: &Schema, field: &Field) -> Result<Column, ParquetError> {
    let converter =
        StatisticsConverter::try_new(field.name(), schema, metadata.file_metadata().schema_descr())?;
    let groups = metadata.row_groups();
    let nulls = converter.row_group_null_counts(groups)?;
    let (mins, maxs) = (converter.row_group_mins(groups)?, converter.row_group_maxes(groups)?);
    let mut column = Column { nulls: Some(0), ..Column::default() };
    let mut ordered = ordered(field.data_type());
    for (index, group) in groups.iter().enumerate() {
        let missing = nulls.is_valid(index).then(|| nulls.value(index));
        column.nulls = column.nulls.zip(missing).map(|(sum, count)| sum + count);
        if mins.is_null(index) || maxs.is_null(index) {
            // Nothing is known of this group, unless it is known that there is nothing in it.
            ordered &= missing == u64::try_from(group.num_rows()).ok();
            continue;
        }
        let scalar = |array| {
            ScalarValue::try_from_array(array, index)
                .map_err(|error| ParquetError::General(error.to_string()))
        };
        let (min, max) = (scalar(&mins)?, scalar(&maxs)?);
        if column.min.as_ref().is_none_or(|known| min < *known) {
            column.min = Some(min);
        }
        if column.max.as_ref().is_none_or(|known| max > *known) {
            column.max = Some(max);
        }
    }
    if !ordered {
        (column.min, column.max) = (None, None);
    }
    Ok(column)
}

/// Whether the log keeps the smallest and largest value of columns of this type.
fn ordered(kind: &DataType) -> bool {
    kind.is_integer()
        || kind.is_floating()
        || matches!(
            kind,
            DataType::Utf8 | DataType::Date32 | DataType::Timestamp(_, _) | DataType::Decimal128(_, _)
        )
}

/// A value as the log writes it. Timestamps have milliseconds there: a largest value is rounded up, so that it stays
/// one.
fn json(value: &ScalarValue, largest: bool) -> Option<String> {
    match value {
        ScalarValue::Utf8(Some(text)) => serde_json::to_string(text).ok(),
        ScalarValue::Float32(Some(number)) => number.is_finite().then(|| format!("{number:?}")),
        ScalarValue::Float64(Some(number)) => number.is_finite().then(|| format!("{number:?}")),
        ScalarValue::Date32(Some(days)) => {
            let date = arrow::temporal_conversions::date32_to_datetime(*days)?;
            (0..=9999).contains(&date.year()).then(|| format!("\"{}\"", date.format("%Y-%m-%d")))
        }
        ScalarValue::TimestampMicrosecond(Some(micros), _) => {
            let millis =
                if largest { micros.checked_add(999)?.div_euclid(1000) } else { micros.div_euclid(1000) };
            let time = DateTime::<Utc>::from_timestamp_millis(millis)?;
            (0..=9999)
                .contains(&time.year())
                .then(|| format!("\"{}\"", time.to_rfc3339_opts(SecondsFormat::Millis, true)))
        }
        ScalarValue::Decimal128(Some(digits), _, scale) => {
            Some(decimal(*digits, u32::from(scale.unsigned_abs())))
        }
        other if other.data_type().is_integer() && !other.is_null() => Some(other.to_string()),
        _ => None,
    }
}

/// All digits of a decimal; as a floating-point number some would be lost.
fn decimal(digits: i128, scale: u32) -> String {
    let power = 10u128.checked_pow(scale).unwrap_or(u128::MAX);
    let (whole, part) = (digits.unsigned_abs() / power, digits.unsigned_abs() % power);
    let sign = if digits < 0 { "-" } else { "" };
    if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part:0width$}", width = scale as usize)
    }
}

/// A JSON object whose values are JSON already.
#[derive(Default)]
struct Object(String);

impl Object {
    fn push(&mut self, key: &str, value: &str) {
        let separator = if self.0.is_empty() { '{' } else { ',' };
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{separator}{}:{value}", serde_json::Value::from(key));
    }

    fn close(self) -> String {
        if self.0.is_empty() { "{}".to_owned() } else { self.0 + "}" }
    }
}

/// The statistics of a file as they were read from the log; values are read when they are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileStats<'a> {
    #[serde(default)]
    num_records: Option<u64>,
    #[serde(default, borrow)]
    min_values: HashMap<String, &'a RawValue>,
    #[serde(default, borrow)]
    max_values: HashMap<String, &'a RawValue>,
    #[serde(default, borrow)]
    null_count: HashMap<String, &'a RawValue>,
}

impl<'a> FileStats<'a> {
    /// Reads the text; statistics that cannot be read are as good as none.
    pub(crate) fn parse(text: &'a str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Rows of the file.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.num_records
    }

    /// Rows in which the column is null.
    pub(crate) fn nulls(&self, column: &str) -> Option<u64> {
        self.null_count.get(column)?.get().parse().ok()
    }

    /// A value that no row is below.
    pub(crate) fn min(&self, field: &Field) -> Option<ScalarValue> {
        bound(self.min_values.get(field.name())?.get(), field.data_type(), false)
    }

    /// A value that no row is above.
    pub(crate) fn max(&self, field: &Field) -> Option<ScalarValue> {
        bound(self.max_values.get(field.name())?.get(), field.data_type(), true)
    }
}

/// The rows of a file, from its statistics alone.
pub(crate) fn rows(stats: &str) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Rows {
        num_records: Option<u64>,
    }
    serde_json::from_str::<Rows>(stats).ok()?.num_records
}

/// Reads a bound. Writers cut timestamps to milliseconds, so a largest one may be up to that much larger.
fn bound(json: &str, kind: &DataType, largest: bool) -> Option<ScalarValue> {
    if !ordered(kind) {
        return None;
    }
    let text: String = if json.starts_with('"') { serde_json::from_str(json).ok()? } else { json.to_owned() };
    match kind {
        DataType::Utf8 => Some(ScalarValue::Utf8(Some(text))),
        DataType::Timestamp(_, zone) => {
            let time = DateTime::parse_from_rfc3339(&text).ok()?.timestamp_micros();
            let time = if largest && time % 1000 == 0 { time.checked_add(999)? } else { time };
            Some(ScalarValue::TimestampMicrosecond(Some(time), zone.clone()))
        }
        kind => ScalarValue::try_from_string(text, kind).ok().filter(|value| !value.is_null()),
    }
}

#[cfg(test)]
mod tests;
