//! Partition values: as Delta writes them in its log, as DataFusion reads them, as folders.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::scalar::ScalarValue;

use crate::PartitionValues;

/// The text of a value in the log; none for null. Delta takes an empty text for null, too.
pub(crate) fn to_text(value: &ScalarValue) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let text = match value {
        ScalarValue::Utf8(Some(text)) => text.clone(),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => {
            DateTime::<Utc>::from_timestamp_micros(*micros)?.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
        }
        ScalarValue::Date32(Some(days)) => {
            arrow::temporal_conversions::date32_to_datetime(*days)?.format("%Y-%m-%d").to_string()
        }
        other => other.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

/// The value of a text in the log.
pub(crate) fn from_text(text: Option<&str>, kind: &DataType) -> Result<ScalarValue, String> {
    match text {
        None | Some("") => ScalarValue::try_from(kind).map_err(|error| error.to_string()),
        Some(text) => ScalarValue::try_from_string(text.to_owned(), kind).map_err(|error| error.to_string()),
    }
}

/// All partition values of a file, in the order of the partition columns.
pub(crate) fn read(
    texts: &BTreeMap<String, Option<String>>,
    columns: &[String],
    schema: &SchemaRef,
) -> Result<PartitionValues, String> {
    let mut values = Vec::with_capacity(columns.len());
    for name in columns {
        let field = schema.field_with_name(name).map_err(|error| error.to_string())?;
        let text = texts.get(name).and_then(Option::as_deref);
        values.push((name.clone(), from_text(text, field.data_type())?));
    }
    Ok(PartitionValues(values))
}

/// All partition values of a file, as its log entry has them.
pub(crate) fn write(values: &PartitionValues) -> BTreeMap<String, Option<String>> {
    values.0.iter().map(|(name, value)| (name.clone(), to_text(value))).collect()
}

/// The folder of a partition below the table's. Only for people: the log is what says which values a file has, so
/// whatever is not safe in a path on every storage and in every reader becomes `_`, and a hash keeps folders apart.
pub(crate) fn folder(values: &PartitionValues) -> String {
    let mut path = String::new();
    for (name, value) in &values.0 {
        let text = to_text(value).unwrap_or_else(|| "__HIVE_DEFAULT_PARTITION__".to_owned());
        let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
        let part: String = text.chars().take(64).map(safe).collect();
        let name: String = name.chars().map(safe).collect();
        if part == text {
            path.push_str(&format!("{name}={part}/"));
        } else {
            path.push_str(&format!(
                "{name}={part}-{:08x}/",
                xxhash_rust::xxh3::xxh3_64(text.as_bytes()) as u32
            ));
        }
    }
    path
}
