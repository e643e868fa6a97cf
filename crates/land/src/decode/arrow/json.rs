//! Arrow rows as JSON text.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;

/// Each row as a JSON object without its nulls.
pub(super) fn objects(rows: &RecordBatch) -> Result<Vec<String>, ArrowError> {
    let mut text = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut text);
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    // Line ends inside of values are escaped, so that every line is one row.
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() == rows.num_rows() {
        Ok(lines)
    } else {
        Err(ArrowError::JsonError(format!("{} rows were written as {} lines", rows.num_rows(), lines.len())))
    }
}

/// Each value of the only column as JSON; none for nulls.
pub(super) fn values(column: &RecordBatch) -> Result<Vec<Option<String>>, ArrowError> {
    let prefix = format!("{{{}:", name_as_json(column.schema_ref().field(0).name()));
    let value = |object: &String| object.strip_prefix(&prefix)?.strip_suffix('}').map(str::to_owned);
    Ok(objects(column)?.iter().map(value).collect())
}

fn name_as_json(name: &str) -> String {
    let mut text = String::new();
    crate::decode::rows::push_json_text(&mut text, name);
    text
}
