//! The answers of peers, counted and summed up by the same SQL as ours.

use std::path::Path;

use anyhow::Context;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use serde_json::Value;

use super::queries::Query;

/// Rows and checksum of the Parquet files in a folder.
pub async fn of_files(query: &Query, folder: &Path, extension: &str) -> anyhow::Result<(i64, i64)> {
    if empty(folder, extension)? {
        return Ok((0, 0));
    }
    let session = SessionContext::new();
    let options = ParquetReadOptions { file_extension: extension, ..ParquetReadOptions::default() };
    session.register_parquet("answer", &folder.display().to_string(), options).await?;
    summary(&session, query).await
}

/// Rows and checksum of the newest row of each key, as `{"<key>": "<value>"}` of a query with two numbers.
pub async fn of_newest(query: &Query, newest: &Value) -> anyhow::Result<(i64, i64)> {
    let rows: Vec<String> = newest
        .as_object()
        .context("no rows")?
        .iter()
        .map(|(key, value)| format!("({key}, {})", value.as_str().unwrap_or("null")))
        .collect();
    let columns: Vec<&str> =
        query.columns.split(", ").filter_map(|column| column.split(' ').next()).collect();
    let session = SessionContext::new();
    let table = format!(
        "create view answer as select * from (values {}) as t ({})",
        rows.join(", "),
        columns.join(", ")
    );
    session.sql(&table).await?;
    summary(&session, query).await
}

async fn summary(session: &SessionContext, query: &Query) -> anyhow::Result<(i64, i64)> {
    let batches = session.sql(&query.summary("answer")).await?.collect().await?;
    let batch = batches.first().context("no answer")?;
    let number = |index: usize| -> anyhow::Result<i64> {
        let column = datafusion::arrow::compute::cast(batch.column(index), &DataType::Int64)?;
        Ok(column.as_primitive::<Int64Type>().value(0))
    };
    Ok((number(0)?, number(1)?))
}

/// Whether no file with rows was written. Hidden files are removed: they were never committed.
fn empty(folder: &Path, extension: &str) -> anyhow::Result<bool> {
    let mut found = false;
    for file in std::fs::read_dir(folder).into_iter().flatten() {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            std::fs::remove_file(file.path())?;
        } else {
            found |= name.ends_with(extension);
        }
    }
    Ok(!found)
}
