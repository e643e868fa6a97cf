//! Rows as JSON objects for whoever compares, shows or changes them one by one.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use serde_json::value::RawValue;

/// One JSON object a row. Nulls are kept, and so is every digit of a number: each object is the text that Arrow writes.
/// For rows that people look at; costs the text of all of them twice.
///
/// # Errors
/// A column of a type that JSON cannot say.
pub fn json_rows(batches: &[RecordBatch]) -> Result<Vec<Box<RawValue>>, ArrowError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let bytes = writer.into_inner();
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&bytes).map_err(|error| ArrowError::JsonError(error.to_string()))
}
