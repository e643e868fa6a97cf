//! What only a running node knows: the ends of the log, the sizes of the tables.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flowline_model::{DatasetName, Held, StreamStatus};

/// One partition of the log of one source, or of the topic that it reads, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPartition {
    /// The dataset that the records land in.
    pub dataset: DatasetName,
    /// From zero.
    pub partition: u32,
    /// What it is called as an input of the hop: `log/<partition>`, or `kafka/<topic id>/<partition>`.
    pub input: String,
    /// The oldest offset that is kept.
    pub start: u64,
    /// The offset that the next record gets.
    pub end: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes that wait to be landed, and how many may before producers are told to wait; 0 where there is no limit.
    pub waiting_bytes: u64,
    /// See `waiting_bytes`.
    pub waiting_bytes_max: u64,
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

/// What the ledger cannot know, asked of whoever can. Every answer may be absent, and then the system tables say
/// null: none of them fails because a log or a table cannot be read right now.
#[async_trait]
pub trait LiveStatus: Send + Sync + std::fmt::Debug {
    /// The partitions of the log; none when no node runs here. Asked for by `hops` and `positions`, every second or
    /// so where a page is open: one small read for each partition that is behind, at most.
    async fn log_partitions(&self) -> Option<Vec<LogPartition>>;

    /// The datasets that are not landed now because a table downstream cannot keep up, and which that is.
    fn held(&self) -> BTreeMap<DatasetName, Held> {
        BTreeMap::new()
    }

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
