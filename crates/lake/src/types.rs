//! What goes into and comes out of a [`crate::Table`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::scalar::ScalarValue;
use serde_json::Value;

use crate::{OffsetRange, StagedFiles};

/// What a table should look like.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Its columns, partition columns among them.
    pub schema: SchemaRef,
    /// The columns that it is split by, outermost first. Cannot be changed later.
    pub partition_columns: Vec<String>,
    /// For people.
    pub description: String,
}

/// Which version of a table to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadAt {
    /// The newest.
    #[default]
    Latest,
    /// This one.
    Version(i64),
    /// The newest that was committed at or before this time.
    Time(DateTime<Utc>),
}

/// A table at one version, ready to be queried.
#[derive(Clone)]
pub struct TableRead {
    /// The rows.
    pub provider: Arc<dyn TableProvider>,
    /// The version that is read.
    pub version: i64,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
}

impl fmt::Debug for TableRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableRead").field("version", &self.version).finish_non_exhaustive()
    }
}

/// How the staged rows meet the rows that are there.
#[derive(Debug, Clone)]
pub enum CommitMode {
    /// They are added.
    Append,
    /// They replace all.
    Overwrite,
    /// They replace all, and the table takes this shape, whatever it was before.
    OverwriteWith(TableSpec),
    /// They replace all rows of these partitions, and every staged row lies in one of them. A partition without
    /// staged rows becomes empty.
    ReplacePartitions(Vec<PartitionValues>),
}

/// One commit to a table.
#[derive(Debug, Clone)]
pub struct TableCommit {
    /// The rows; [`StagedFiles::none`] for a commit that only moves the position.
    pub staged: StagedFiles,
    /// Rows that belong to the table from now on and lie elsewhere; for a table whose [`crate::Table::rows_lie_in`] was told.
    pub elsewhere: Vec<OffsetRange>,
    /// How they meet the rows that are there.
    pub mode: CommitMode,
    /// The position that the rows came from: the application id of the writer and its new version.
    pub transaction: Option<(String, i64)>,
    /// The version of that application id that the writer believes is committed (`Some(None)`: none yet). When another
    /// is, the commit is refused with [`crate::LakeError::Fenced`].
    pub expected_transaction: Option<Option<i64>>,
    /// What Delta's history calls it (`WRITE`, `MERGE` …).
    pub operation: &'static str,
    /// Kept under `flowline` in the commit's information; [`HistoryEntry::info`] returns it. A string under its key
    /// `id` says whose commit it is: the same id found again is the same commit.
    pub info: Value,
}

impl TableCommit {
    /// A commit that adds these rows and says nothing else.
    pub fn append(staged: StagedFiles) -> Self {
        Self {
            staged,
            elsewhere: Vec::new(),
            mode: CommitMode::Append,
            transaction: None,
            expected_transaction: None,
            operation: "WRITE",
            info: Value::Null,
        }
    }
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The table's version after it.
    pub version: i64,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// Rows added.
    pub rows: u64,
    /// Files added.
    pub files: u64,
    /// Bytes added.
    pub bytes: u64,
    /// Rows removed or written again, as far as the log knows.
    pub rows_removed: u64,
    /// Files removed.
    pub files_removed: u64,
    /// Time from the start of the commit until it was durable.
    pub latency: Duration,
}

/// One commit as the table's history has it.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// The table's version after it.
    pub version: i64,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// What Delta calls it.
    pub operation: String,
    /// What its writer left under `flowline`.
    pub info: Option<Value>,
    /// The positions that it moved: application id and version.
    pub transactions: Vec<(String, i64)>,
    /// Rows in the files added, as far as the log knows, and rows that lie elsewhere.
    pub rows_added: u64,
    /// Files added.
    pub files_added: u64,
    /// Bytes added.
    pub bytes_added: u64,
    /// Files removed.
    pub files_removed: u64,
    /// Bytes removed.
    pub bytes_removed: u64,
    /// Whether rows changed; false when files were only rearranged.
    pub data_changed: bool,
}

/// What changed between two versions of a table.
#[derive(Debug, Clone)]
pub struct Changes {
    /// The version before the first change; none for everything since the beginning.
    pub after: Option<i64>,
    /// The version of the last change.
    pub upto: i64,
    /// The files whose rows were added. Some may have been compacted away since; they can still be read.
    pub appended: Vec<FileRef>,
    /// Rows were removed or updated: the appended files alone do not tell the story.
    pub rewritten: bool,
    /// The files whose rows are gone, as far as the log says enough of them to read them. They stay for as long as
    /// [`crate::VACUUM_KEEP`] says. What was appended and is gone again is in both lists.
    pub removed: Vec<FileRef>,
    /// Files are gone of which the log does not say enough, so that `removed` is not all.
    pub removed_unknown: bool,
    /// The log of these versions is no longer kept: what changed cannot be told; read the whole table instead.
    pub unknown: bool,
    /// The partitions that any of the changes touched; empty for a table without partitions.
    pub partitions: Vec<PartitionValues>,
}

impl Changes {
    /// Whether no row changed.
    pub fn is_empty(&self) -> bool {
        self.appended.is_empty() && !self.rewritten && !self.unknown
    }

    /// Whether reading the appended files is enough to know every change.
    pub fn append_only(&self) -> bool {
        !self.rewritten && !self.unknown
    }
}

/// A data file of a table, or rows of it that lie elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRef {
    /// Its path below the table's folder.
    pub path: String,
    /// The partition that its rows lie in.
    pub partition: PartitionValues,
    /// Its size.
    pub bytes: u64,
    /// Its rows, when the log knows.
    pub rows: Option<u64>,
    /// When it was written, milliseconds since the epoch.
    pub modified_ms: i64,
    /// Delta's statistics of its columns, as JSON text.
    pub stats: Option<Arc<str>>,
    /// Its path as the log writes it, where that differs.
    pub(crate) logged: Option<Arc<str>>,
    /// It is no file: its rows lie elsewhere.
    pub(crate) elsewhere: Option<Arc<OffsetRange>>,
}

impl FileRef {
    /// Where the rows lie, when they are in no file.
    pub fn offsets(&self) -> Option<&OffsetRange> {
        self.elsewhere.as_deref()
    }

    /// The path as the log writes it.
    pub(crate) fn logged_path(&self) -> &str {
        self.logged.as_deref().unwrap_or(&self.path)
    }
}

/// The value of each partition column, outermost first; empty for a table without partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PartitionValues(pub Vec<(String, ScalarValue)>);

impl PartitionValues {
    /// The condition that selects the rows of this partition; none for a table without partitions.
    pub fn predicate(&self) -> Option<Expr> {
        self.0
            .iter()
            .map(|(name, value)| {
                let column = col(datafusion::common::Column::new_unqualified(name));
                if value.is_null() { column.is_null() } else { column.eq(lit(value.clone())) }
            })
            .reduce(Expr::and)
    }
}

impl fmt::Display for PartitionValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            write!(f, "{name}={value}")?;
        }
        Ok(())
    }
}

/// How a table stands, from its log alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStats {
    /// The version.
    pub version: i64,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// Files that hold rows now.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows, as far as the log knows.
    pub rows: u64,
    /// Files smaller than what compaction aims at.
    pub small_files: u64,
    /// Partitions that hold files.
    pub partitions: u64,
}

/// How compaction works; see [`crate::Table::compact`].
#[derive(Debug, Clone, PartialEq)]
pub struct CompactOptions {
    /// Files are joined until they reach this size, bytes.
    pub target_file_bytes: u64,
    /// So many files of about the same size in one partition are joined at once; fewer are left alone. Each row is
    /// rewritten about once for every power of this number between a landed file and a full one.
    pub files_min: usize,
    /// One call rewrites at most so many bytes; call again while it returns a commit.
    pub bytes_max: u64,
    /// What to keep in the commit; see [`TableCommit::info`].
    pub info: Value,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self { target_file_bytes: 128 << 20, files_min: 8, bytes_max: 512 << 20, info: Value::Null }
    }
}

/// How rows are staged; see [`crate::StagedWriter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterOptions {
    /// A file is closed when it reaches this size, bytes.
    pub target_file_bytes: u64,
    /// So many partitions are written at once; when rows of one more arrive, the one that waited longest is closed.
    pub open_files_max: usize,
    /// The files that are being written together hold at most about so many bytes in memory; beyond it the largest
    /// writes out what it holds.
    pub memory_bytes_max: usize,
    /// What the files are for.
    pub purpose: WritePurpose,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            target_file_bytes: 128 << 20,
            open_files_max: 32,
            memory_bytes_max: 96 << 20,
            purpose: WritePurpose::Land,
        }
    }
}

/// What files are written for, which decides between speed and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WritePurpose {
    /// Fresh rows that wait to be committed and will be compacted later: the cheapest encoding.
    #[default]
    Land,
    /// Rows that stay: smaller, with an index of pages.
    Keep,
}
