//! From the text of a query to its rows, within limits.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::{Pins, QueryEngine, QueryOptions, ReadVersion, Resolver, read_only};
use crate::ProcessError;
use crate::sql::on_large_stack;

/// The answer to a query, as a stream.
pub struct QueryAnswer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows; ends with an error when the time is over.
    pub stream: SendableRecordBatchStream,
    /// What it is read from, by dataset. Complete before the first row.
    pub reads: Vec<ReadVersion>,
    /// Set once `rows_max` has cut rows off.
    pub truncated: Arc<AtomicBool>,
}

impl QueryEngine {
    /// Answers one statement that reads: SELECT, VALUES, EXPLAIN, SHOW, DESCRIBE. Dropping the answer stops the query.
    ///
    /// # Errors
    /// [`ProcessError::Sql`] points at the word that is wrong; [`ProcessError::NotReadOnly`] names what would change
    /// something; [`ProcessError::AsOf`] when a version is asked for of several tables.
    pub async fn query(&self, sql: &str, options: &QueryOptions) -> Result<QueryAnswer, ProcessError> {
        let started = Instant::from_std(self.clock().instant());
        let limit = options.timeout.map(|timeout| Limit { timeout, deadline: started + timeout });
        let pins = options.as_of.map_or(Pins::Latest, Pins::AsOf);
        let resolver = Resolver::new(self.clone(), pins);
        let state = self.state_with(&resolver);
        let prepared = async {
            let plan = self.plan_in(&state, read_only::parse_one(sql)?).await?;
            let plan = with_limit(plan, options.rows_max)?;
            let physical = state.create_physical_plan(&plan).await?;
            Ok::<_, ProcessError>(execute_stream(physical, state.task_ctx())?)
        };
        let stream = within(limit, on_large_stack(prepared)).await??;
        let truncated = Arc::new(AtomicBool::new(false));
        let stream = limited(stream, options.rows_max, limit, Arc::clone(&truncated));
        let took = self.clock().instant().saturating_duration_since(started.into_std());
        metrics::histogram!("flowline_process_query_start_seconds").record(took.as_secs_f64());
        Ok(QueryAnswer { schema: stream.schema(), stream, reads: resolver.reads(), truncated })
    }
}

/// One row more than asked for, so that it is known whether rows were cut off, and not more, so that a sort need
/// only keep the first ones.
fn with_limit(plan: LogicalPlan, rows_max: Option<u64>) -> Result<LogicalPlan, ProcessError> {
    let told =
        matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_));
    match rows_max.filter(|_| !told).and_then(|rows| usize::try_from(rows).ok()?.checked_add(1)) {
        Some(rows) => Ok(LogicalPlanBuilder::from(plan).limit(0, Some(rows))?.build()?),
        None => Ok(plan),
    }
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    timeout: Duration,
    deadline: Instant,
}

async fn within<T>(limit: Option<Limit>, work: impl Future<Output = T>) -> Result<T, ProcessError> {
    match limit {
        Some(limit) => {
            timeout_at(limit.deadline, work).await.map_err(|_| ProcessError::Timeout(limit.timeout))
        }
        None => Ok(work.await),
    }
}

/// The stream, cut off after so many rows and at the deadline.
fn limited(
    inner: SendableRecordBatchStream,
    rows_max: Option<u64>,
    limit: Option<Limit>,
    truncated: Arc<AtomicBool>,
) -> SendableRecordBatchStream {
    let schema = inner.schema();
    let left = rows_max.unwrap_or(u64::MAX);
    let rows = stream::unfold(Some((inner, left)), move |state| {
        let truncated = Arc::clone(&truncated);
        async move {
            let (mut inner, left) = state?;
            match within(limit, inner.next()).await {
                Err(timeout) => Some((Err(DataFusionError::External(Box::new(timeout))), None)),
                Ok(None) => None,
                Ok(Some(Err(error))) => Some((Err(error), None)),
                Ok(Some(Ok(batch))) => {
                    let (batch, left) = cut(batch, left, &truncated);
                    Some((Ok(batch), left.map(|left| (inner, left))))
                }
            }
        }
    });
    let rows = rows.filter(|batch: &DataFusionResult<RecordBatch>| {
        let empty = matches!(batch, Ok(batch) if batch.num_rows() == 0);
        futures::future::ready(!empty)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// As much of a batch as may still be given out, and how much may be given out after it; none when no more may.
fn cut(batch: RecordBatch, left: u64, truncated: &AtomicBool) -> (RecordBatch, Option<u64>) {
    let rows = batch.num_rows() as u64;
    if rows <= left {
        return (batch, Some(left - rows));
    }
    truncated.store(true, Ordering::Relaxed);
    (batch.slice(0, usize::try_from(left).unwrap_or(usize::MAX)), None)
}
