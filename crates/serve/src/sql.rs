//! What answers SQL, as the servers see it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use flowline_base::ErrorKind;
use flowline_model::DatasetName;

/// A version or a time at which tables are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// A table version.
    Version(i64),
    /// The newest version at this time.
    Time(DateTime<Utc>),
}

/// How a query is run.
#[derive(Debug, Clone, Default)]
pub struct QueryOptions {
    /// When to read; now when absent.
    pub as_of: Option<AsOf>,
    /// Rows after which the answer is cut off.
    pub rows_max: Option<u64>,
    /// Time after which the query is given up.
    pub timeout: Option<Duration>,
}

/// A table version that an answer was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadVersion {
    /// The dataset.
    pub dataset: DatasetName,
    /// Its version; none where the table does not exist yet.
    pub version: Option<i64>,
    /// When that version was committed.
    pub committed_at: Option<DateTime<Utc>>,
}

/// The answer to a query, as a stream.
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub stream: SendableRecordBatchStream,
    /// What it was read from.
    pub reads: Vec<ReadVersion>,
    /// Set once `rows_max` has cut rows off.
    pub truncated: Arc<AtomicBool>,
}

/// Why a query is not answered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
    /// What would mend it.
    pub hint: Option<String>,
    /// Line and column of the query, from 1.
    pub position: Option<(u64, u64)>,
}

/// What answers SQL.
#[async_trait]
pub trait SqlEngine: Send + Sync + 'static {
    /// A session whose schemas are the domains; read only by whoever uses it.
    async fn session(&self) -> Result<SessionContext, SqlError>;

    /// Answers one query that reads.
    async fn query(&self, sql: &str, options: &QueryOptions) -> Result<Answer, SqlError>;
}
