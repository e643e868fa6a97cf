//! How far a stream has come in event time.

use chrono::{DateTime, Utc};

use crate::DatasetName;

/// A stream, as its table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStatus {
    /// The dataset that it writes.
    pub dataset: DatasetName,
    /// Windows that end before this are closed.
    pub watermark: Option<DateTime<Utc>>,
    /// The input, and its partition unless it has no rows yet, that keeps the watermark from being further.
    pub held_by: Option<(DatasetName, Option<i32>)>,
    /// Event time in each partition of each input.
    pub clocks: Vec<StreamClock>,
    /// Rows of the inputs that are not read yet; none when their logs do not say.
    pub lag_records: Option<u64>,
    /// Rows that came behind the watermark.
    pub late: u64,
    /// Rows whose time was too far ahead of the clock to be believed.
    pub ahead: u64,
    /// The start of the oldest session that is open.
    pub open_since: Option<DateTime<Utc>>,
    /// Partial results of windows that are open.
    pub state_rows: u64,
    /// Bytes of what it remembers.
    pub state_bytes: u64,
    /// The memory that a run may hold, bytes; none when the memory for queries is the only limit.
    pub state_limit: Option<u64>,
    /// The most memory that the last run held at once, bytes.
    pub memory: u64,
    /// What the last run put on disk since its memory did not hold it, bytes.
    pub spilled: u64,
    /// The rows that the last run read of its inputs: those that are new, and those that it needed again.
    pub rows_read: u64,
}

/// Event time in one partition of an input of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamClock {
    /// The input.
    pub input: DatasetName,
    /// The partition.
    pub partition: i32,
    /// The newest event time.
    pub newest_at: DateTime<Utc>,
    /// When rows of it came last.
    pub seen_at: DateTime<Utc>,
    /// It is no longer waited for.
    pub idle: bool,
}

/// Why a dataset is not landed now: a table downstream cannot keep up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The dataset whose transform is too slow.
    pub by: DatasetName,
    /// Rows that wait for it.
    pub rows: u64,
    /// How many may.
    pub rows_max: u64,
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows wait for `{}`, which may have {}", self.rows, self.by, self.rows_max)
    }
}
