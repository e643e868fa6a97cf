//! What answers SQL.

pub(crate) mod base;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::catalog::SchemaProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use flowline_base::SharedClock;
use flowline_lake::Lake;
use flowline_model::{DatasetName, Plan};

use crate::ProcessError;

/// A version or a time at which tables are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// This version; only for a query that reads one table.
    Version(i64),
    /// The newest version of each table at this time.
    Time(DateTime<Utc>),
}

/// How a session reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// When to read; the newest versions when absent.
    pub as_of: Option<AsOf>,
}

/// How a query is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// When to read; the newest versions when absent.
    pub as_of: Option<AsOf>,
    /// Rows after which the answer is cut off.
    pub rows_max: Option<u64>,
    /// Time after which the query is given up, the reading of its answer included.
    pub timeout: Option<Duration>,
}

/// A table version that an answer was read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadVersion {
    /// The dataset.
    pub dataset: DatasetName,
    /// Its version; none where the table does not exist yet.
    pub version: Option<i64>,
    /// When that version was committed.
    pub committed_at: Option<DateTime<Utc>>,
}

/// The answer to a query, as a stream.
pub struct QueryAnswer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows; ends early with an error when the time is over.
    pub stream: SendableRecordBatchStream,
    /// What it is read from, by dataset. Complete before the first row.
    pub reads: Vec<ReadVersion>,
    /// Set once `rows_max` has cut rows off.
    pub truncated: Arc<AtomicBool>,
}

/// Answers SQL over the datasets of a plan. Cheap to clone.
#[derive(Clone)]
pub struct QueryEngine {
    _plan: Arc<Plan>,
}

impl QueryEngine {
    /// The engine over the datasets of this plan. All its queries and transforms share one bounded pool of memory.
    pub fn new(plan: Arc<Plan>, _lake: Lake, _clock: SharedClock) -> Result<Self, ProcessError> {
        Ok(Self { _plan: plan })
    }

    /// Adds a schema of tables that are not datasets (`system`) to every session made from now on.
    pub fn register_schema(&self, _name: &str, _schema: Arc<dyn SchemaProvider>) {}

    /// A session with the domains as schemas of the catalog [`crate::CATALOG`]. Each table is resolved when a
    /// statement first names it and stays at that version in this session: take a new one for each statement.
    pub async fn session(&self, _options: &SessionOptions) -> Result<SessionContext, ProcessError> {
        Err(ProcessError::Engine("not built yet".to_owned()))
    }

    /// Answers one statement that reads: SELECT, EXPLAIN, SHOW, DESCRIBE, VALUES.
    pub async fn query(&self, _sql: &str, _options: &QueryOptions) -> Result<QueryAnswer, ProcessError> {
        Err(ProcessError::Engine("not built yet".to_owned()))
    }
}
