//! Rows that go to the quarantine of a table that is made by SQL: those that came too late, those that fail its checks.

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
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlanBuilder, col, lit};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use flowline_lake::arrow_types;
use flowline_lake::{Lake, LakeError, ReadAt, Table, TableCommit, TableId, TableSpec, WriterOptions};
use flowline_model::{DatasetName, Finding, FindingKind, Severity};

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

/// That rows of an input are in quarantine because they are late.
pub(super) fn finding(stream: &DatasetName, input: &DatasetName, late: &Late<'_>) -> Finding {
    Finding {
        dataset: stream.clone(),
        kind: FindingKind::Late,
        severity: Severity::Warning,
        subject: late.time.to_owned(),
        message: format!(
            "rows of `{input}` came when what they count towards was closed; raise `watermark`, or use `late: reopen`; see `flowline quarantine show {stream}`"
        ),
        count: 0,
        first_position: None,
        last_position: None,
        run: None,
        found_at: late.now,
        drift: None,
    }
}

fn kept(rows: &RecordBatch, input: &DatasetName, late: &Late<'_>, batch: &str) -> Result<RecordBatch> {
    let count = rows.num_rows();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; count])) };
    let watermark = DateTime::from_timestamp_micros(late.watermark).unwrap_or_default();
    let message = format!(
        "the row of `{input}` came behind the watermark {}; raise `watermark`, or use `late: reopen`",
        watermark.format("%Y-%m-%dT%H:%M:%S%.fZ")
    );
    let why = SetAside {
        reason: text(FindingKind::Late.as_str()),
        column: text(late.time),
        message: text(&message),
    };
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

/// What `_batch` of rows that fail checks ends with.
pub(crate) const OF_CHECKS: &str = "/checks";

/// What tells the rows that fail checks in the run of this transaction. Those of a run that computed everything have a
/// name of their own: when it comes to no commit, and the next run of the same number follows the changes, the rows that
/// have taken the place of all before stay.
pub(crate) fn batch_of_checks(dataset: &DatasetName, transaction: i64, everything: bool) -> String {
    let everything = if everything { "/everything" } else { "" };
    format!("{dataset}/{transaction}{everything}{OF_CHECKS}")
}

/// The rows that an earlier try of the same run wrote.
pub(crate) fn of_batch(batch: &str) -> Expr {
    col(arrow_types::BATCH).eq(lit(batch))
}

/// The rows that fail checks, whichever run set them aside.
pub(crate) fn of_checks() -> Expr {
    col(arrow_types::BATCH).like(lit(format!("%{OF_CHECKS}")))
}

/// Writes the rows in place of those that meet the condition. Without rows, and with none that meets it, nothing is
/// committed.
pub(crate) async fn commit(
    lake: &Lake,
    dataset: &DatasetName,
    rows: Vec<RecordBatch>,
    replaced: Expr,
) -> Result<(), ProcessError> {
    let table = lake.table(TableId::quarantine(dataset.clone()));
    let failed = || ProcessError::lake(format!("writing the quarantine of `{dataset}`"));
    if rows.is_empty() && (is_empty(&table).await.map_err(failed())? || !any(&table, &replaced).await?) {
        return Ok(());
    }
    let schema: SchemaRef = arrow_types::quarantine_schema();
    let description = format!("rows that came too late for {dataset}, or fail its checks");
    let spec = TableSpec { schema, partition_columns: Vec::new(), description };
    table.ensure(&spec).await.map_err(failed())?;
    let mut writer = table.writer(WriterOptions::default()).await.map_err(failed())?;
    for rows in &rows {
        writer.write(rows).await.map_err(failed())?;
    }
    let staged = writer.finish().await.map_err(failed())?;
    let commit = TableCommit { operation: "MERGE", ..TableCommit::append(staged) };
    table.delete_where(replaced, commit).await.map_err(failed())?;
    Ok(())
}

async fn is_empty(table: &Table) -> Result<bool, LakeError> {
    Ok(table.refresh().await?.is_none() || table.stats().await?.files == 0)
}

/// Whether a row meets the condition.
async fn any(table: &Table, condition: &Expr) -> Result<bool, ProcessError> {
    let reading = || ProcessError::lake("reading the quarantine".to_owned());
    let rows = table.provider(ReadAt::Latest).await.map_err(reading())?;
    let rows = SessionContext::new().read_table(rows)?.filter(condition.clone())?;
    Ok(rows.limit(0, Some(1))?.count().await? > 0)
}
