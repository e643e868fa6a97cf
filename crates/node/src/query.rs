//! Queries inside this process, with their rows collected.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::catalog::TableProvider;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::SessionContext;
use flowline_model::DatasetName;
use flowline_process::{ProcessError, QueryEngine, QueryOptions};
use futures::TryStreamExt;

/// The rows of a query, collected, and what they were read from.
#[derive(Debug, Clone)]
pub struct QueryRows {
    /// The rows; at least one batch, so that there is a schema.
    pub batches: Vec<RecordBatch>,
    /// What they were read from.
    pub reads: Vec<Read>,
    /// The limit has cut rows off.
    pub truncated: bool,
}

/// A table version that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The dataset.
    pub dataset: DatasetName,
    /// Its version; none where there is no table yet.
    pub version: Option<i64>,
    /// When that version was committed.
    pub committed_at: Option<DateTime<Utc>>,
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.version, self.committed_at) {
            (Some(version), Some(at)) => {
                write!(
                    f,
                    "{} version {version} of {}",
                    self.dataset,
                    at.to_rfc3339_opts(SecondsFormat::Secs, true)
                )
            }
            (Some(version), None) => write!(f, "{} version {version}", self.dataset),
            (None, _) => write!(f, "{} has no table yet", self.dataset),
        }
    }
}

/// Runs a query and collects its rows.
pub async fn collect(
    engine: &QueryEngine,
    sql: &str,
    options: &QueryOptions,
) -> Result<QueryRows, ProcessError> {
    let answer = engine.query(sql, options).await?;
    let reads = answer
        .reads
        .into_iter()
        .map(|read| Read { dataset: read.dataset, version: read.version, committed_at: read.committed_at })
        .collect();
    let mut batches: Vec<RecordBatch> = answer.stream.try_collect().await.map_err(ProcessError::from)?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(answer.schema));
    }
    Ok(QueryRows { batches, reads, truncated: answer.truncated.load(Ordering::Relaxed) })
}

/// Rows of a table by the value of a text column.
pub async fn count_by(
    provider: Arc<dyn TableProvider>,
    column: &str,
) -> datafusion::error::Result<HashMap<String, u64>> {
    let counted = SessionContext::new()
        .read_table(provider)?
        .aggregate(vec![col(column)], vec![count(lit(1)).alias("n")])?
        .select(vec![
            datafusion::logical_expr::cast(col(column), arrow::datatypes::DataType::Utf8),
            col("n"),
        ])?;
    let mut counts = HashMap::new();
    for batch in counted.collect().await? {
        let (values, numbers) =
            (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let value = if values.is_null(row) { "" } else { values.value(row) };
            counts.insert(value.to_owned(), numbers.value(row).max(0) as u64);
        }
    }
    Ok(counts)
}
