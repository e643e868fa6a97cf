//! What only a running node knows: the ends of the log, the sizes of the tables.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flowline_model::DatasetName;

/// One partition of the log of one source, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPartition {
    /// The dataset that the records land in.
    pub dataset: DatasetName,
    /// From zero; the input of the hop is called `log/<partition>`.
    pub partition: u32,
    /// The oldest offset that is kept.
    pub start: u64,
    /// The offset that the next record gets.
    pub end: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Appends that wait for their sync.
    pub queued: u64,
    /// When the newest record was received.
    pub last_received_at: Option<DateTime<Utc>>,
    /// When the oldest record that is not landed was received. Without it the lag in seconds is counted from the
    /// hop's last commit, which after a quiet hour is an hour too much until the first record is landed.
    pub oldest_waiting_at: Option<DateTime<Utc>>,
}

/// A dataset's table in the lake, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeTable {
    /// The dataset.
    pub dataset: DatasetName,
    /// The newest version.
    pub version: i64,
    /// Rows, where every file says how many it has.
    pub rows: Option<u64>,
    /// Files.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Rows that lie in a dataset's quarantine for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedRows {
    /// The reason, as in the column `_reason` of the quarantine table.
    pub reason: String,
    /// How many.
    pub rows: u64,
}

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
    /// Rows of the inputs that are not read yet.
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

/// What the ledger cannot know, asked of whoever can. Every answer may be absent, and then the system tables say
/// null: none of them fails because a log or a table cannot be read right now.
#[async_trait]
pub trait LiveStatus: Send + Sync + std::fmt::Debug {
    /// The partitions of the log; none when no node runs here. Asked for by `hops` and `positions`, every second or
    /// so where a page is open: one small read for each partition that is behind, at most.
    async fn log_partitions(&self) -> Option<Vec<LogPartition>>;

    /// The tables of the lake that exist. Asked for by `datasets` only; may read the newest version of each.
    async fn tables(&self) -> Option<Vec<LakeTable>>;

    /// What lies in the quarantine of this dataset, by reason. Asked for by `quarantine` only; may scan that table.
    async fn quarantined(&self, dataset: &DatasetName) -> Option<Vec<QuarantinedRows>>;

    /// The streams that have run, or this one only. Asked for by `streams` and `state` only; reads a few small files
    /// for each.
    async fn streams(&self, _only: Option<&DatasetName>) -> Option<Vec<StreamStatus>> {
        None
    }
}

/// Where no node runs: nothing is known beyond the ledger.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfflineStatus;

#[async_trait]
impl LiveStatus for OfflineStatus {
    async fn log_partitions(&self) -> Option<Vec<LogPartition>> {
        None
    }

    async fn tables(&self) -> Option<Vec<LakeTable>> {
        None
    }

    async fn quarantined(&self, _dataset: &DatasetName) -> Option<Vec<QuarantinedRows>> {
        None
    }
}
