//! Rows that came too late and go to the quarantine of the stream.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::json::LineDelimitedWriter;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ExprSchemable, LogicalPlanBuilder, col, lit};
use datafusion::physical_plan::collect;
use flowline_lake::arrow_types;
use flowline_lake::{Lake, TableCommit, TableId, TableSpec, WriterOptions};
use flowline_model::DatasetName;

use super::restrict::instant;
use crate::ProcessError;
use crate::transform::named;

/// Which rows are late.
pub(super) struct Late<'a> {
    /// The column that is their time.
    pub time: &'a str,
    /// Those before this are late.
    pub before: i64,
    /// The watermark that they came behind.
    pub watermark: i64,
    pub now: DateTime<Utc>,
}

/// The late rows among new ones, as the quarantine keeps them.
pub(super) async fn rows(
    state: &SessionState,
    added: Arc<dyn TableProvider>,
    input: &DatasetName,
    late: &Late<'_>,
    batch: &str,
) -> Result<Vec<RecordBatch>> {
    let plan = LogicalPlanBuilder::scan("late", provider_as_source(added), None)?;
    let kind = named(late.time).get_type(plan.schema())?;
    let plan = plan.filter(named(late.time).lt(instant(late.before, &kind)?))?.build()?;
    let physical = state.create_physical_plan(&plan).await?;
    let found = collect(physical, state.task_ctx()).await?;
    found.iter().filter(|found| found.num_rows() > 0).map(|found| kept(found, input, late, batch)).collect()
}

fn kept(rows: &RecordBatch, input: &DatasetName, late: &Late<'_>, batch: &str) -> Result<RecordBatch> {
    let count = rows.num_rows();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; count])) };
    let watermark = DateTime::from_timestamp_micros(late.watermark).unwrap_or_default();
    let message = format!(
        "the row of `{input}` came behind the watermark {}; raise `watermark`, or use `late: reopen`",
        watermark.format("%Y-%m-%dT%H:%M:%S%.fZ")
    );
    let why = SetAside { reason: text("late"), column: text(late.time), message: text(&message) };
    set_aside(rows, why, input, late.now, batch)
}

/// Why rows are set aside: texts, one for each row.
pub(crate) struct SetAside {
    pub reason: ArrayRef,
    /// The column concerned; null where it is none.
    pub column: ArrayRef,
    pub message: ArrayRef,
}

/// Rows as the quarantine keeps them.
pub(crate) fn set_aside(
    rows: &RecordBatch,
    why: SetAside,
    source: &DatasetName,
    now: DateTime<Utc>,
    batch: &str,
) -> Result<RecordBatch> {
    let count = rows.num_rows();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; count])) };
    let absent = || -> ArrayRef { Arc::new(StringArray::new_null(count)) };
    let now: ArrayRef =
        Arc::new(TimestampMicrosecondArray::from(vec![now.timestamp_micros(); count]).with_timezone("UTC"));
    let stamp = |name: &str, otherwise: ArrayRef| match rows.column_by_name(name) {
        Some(column) if column.null_count() == 0 => cast(column, otherwise.data_type()),
        _ => Ok(otherwise),
    };
    let columns = vec![
        why.reason,
        why.column,
        why.message,
        Arc::new(StringArray::from(records(rows)?)),
        absent(),
        text("json"),
        absent(),
        Arc::clone(&now),
        stamp(arrow_types::RECEIVED_AT, now)?,
        text(&source.to_string()),
        stamp(arrow_types::PARTITION, Arc::new(Int32Array::from(vec![0; count])))?,
        stamp(arrow_types::OFFSET, Arc::new(Int64Array::from(vec![-1; count])))?,
        text(batch),
        stamp(arrow_types::TRACE, absent())?,
    ];
    Ok(RecordBatch::try_new(arrow_types::quarantine_schema(), columns)?)
}

/// Each row as a JSON object of the columns that are the contract's.
fn records(rows: &RecordBatch) -> Result<Vec<String>> {
    let own: Vec<usize> = (0..rows.num_columns())
        .filter(|index| !rows.schema().field(*index).name().starts_with('_'))
        .collect();
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(&rows.project(&own)?)?;
    writer.finish()?;
    let text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.resize(rows.num_rows(), "{}".to_owned());
    Ok(lines)
}

/// Writes the rows; those that an earlier try of the same run wrote are replaced.
pub(crate) async fn commit(
    lake: &Lake,
    dataset: &DatasetName,
    rows: Vec<RecordBatch>,
    batch: &str,
) -> Result<(), ProcessError> {
    let table = lake.table(TableId::quarantine(dataset.clone()));
    let failed = || format!("writing the quarantine of `{dataset}`");
    let schema: SchemaRef = arrow_types::quarantine_schema();
    let description = format!("rows that came too late for {dataset}, or fail its checks");
    let spec = TableSpec { schema, partition_columns: Vec::new(), description };
    table.ensure(&spec).await.map_err(ProcessError::lake(failed()))?;
    let mut writer = table.writer(WriterOptions::default()).await.map_err(ProcessError::lake(failed()))?;
    for rows in &rows {
        writer.write(rows).await.map_err(ProcessError::lake(failed()))?;
    }
    let staged = writer.finish().await.map_err(ProcessError::lake(failed()))?;
    let same = col(arrow_types::BATCH).eq(lit(batch));
    let commit = TableCommit { operation: "MERGE", ..TableCommit::append(staged) };
    table.delete_where(same, commit).await.map_err(ProcessError::lake(failed()))?;
    Ok(())
}
