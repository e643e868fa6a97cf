//! One Delta table.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::Expr;

use crate::{
    Changes, Committed, CompactOptions, FileRef, HistoryEntry, LakeError, ReadAt, StagedMerge, StagedWriter,
    TableCommit, TableId, TableRead, TableSpec, TableStats, WriterOptions,
};

/// A handle of one Delta table, which need not exist yet. Cheap to clone; handles of one table share its state.
#[derive(Debug, Clone)]
pub struct Table {
    id: TableId,
}

pub(crate) fn unbuilt() -> LakeError {
    LakeError::Internal { action: "calling", place: "lake".into(), reason: "not built yet".into() }
}

impl Table {
    pub(crate) fn unbuilt(id: TableId) -> Self {
        Self { id }
    }

    /// Which table this is.
    pub fn id(&self) -> &TableId {
        &self.id
    }

    /// Creates the table, or brings it to the spec: adds columns that it lacks (as nullable), and lets columns be null
    /// that the spec no longer requires. Changes nothing, and costs nothing but a look, when it fits already.
    ///
    /// # Errors
    /// [`LakeError::Schema`] names the column whose type differs, or the partition columns that do.
    pub async fn ensure(&self, _spec: &TableSpec) -> Result<(), LakeError> {
        Err(unbuilt())
    }

    /// Whether the table exists.
    pub async fn exists(&self) -> Result<bool, LakeError> {
        Ok(self.refresh().await?.is_some())
    }

    /// Loads the newest version, from what is loaded on; one small read when nothing changed. None when there is no table.
    pub async fn refresh(&self) -> Result<Option<i64>, LakeError> {
        Err(unbuilt())
    }

    /// The version that is loaded.
    pub fn version(&self) -> Option<i64> {
        None
    }

    /// The columns of the version that is loaded.
    pub fn schema(&self) -> Option<SchemaRef> {
        None
    }

    /// The version of this application id that is committed, at the newest version of the table; none when the table
    /// does not exist or never saw it.
    pub async fn transaction_version(&self, _app_id: &str) -> Result<Option<i64>, LakeError> {
        Err(unbuilt())
    }

    /// Starts writing rows into files that a commit can take up.
    pub async fn writer(&self, _options: WriterOptions) -> Result<StagedWriter, LakeError> {
        Err(unbuilt())
    }

    /// Like [`Table::writer`], for rows of another shape, to be committed with [`crate::CommitMode::OverwriteWith`].
    pub async fn writer_for(
        &self,
        _spec: &TableSpec,
        _options: WriterOptions,
    ) -> Result<StagedWriter, LakeError> {
        Err(unbuilt())
    }

    /// Commits staged rows and the position they came from, in one atomic step.
    ///
    /// # Errors
    /// [`LakeError::Fenced`] when another writer moved the same application id; [`LakeError::Conflict`] when the commit
    /// has to be prepared again; any other error leaves it open whether the commit happened only when the storage could
    /// not be asked: try again, the same commit is recognized by the `id` in its info and never applied twice.
    pub async fn commit(&self, _commit: TableCommit) -> Result<Committed, LakeError> {
        Err(unbuilt())
    }

    /// Removes the rows for which the predicate is true, and adds the commit's staged rows, in one commit.
    /// Only files that may hold such rows are read; only those that do are written again.
    pub async fn delete_where(&self, _predicate: Expr, _commit: TableCommit) -> Result<Committed, LakeError> {
        Err(unbuilt())
    }

    /// Inserts these rows, replacing those with the same key; see [`Table::stage_merge`].
    pub async fn merge(
        &self,
        _rows: SendableRecordBatchStream,
        _key: &[String],
        _commit: TableCommit,
    ) -> Result<Committed, LakeError> {
        Err(unbuilt())
    }

    /// Writes the rows of an upsert into files, so that its counts are known before [`Table::commit_merge`] commits it.
    /// Holds 16 bytes in memory for each row.
    ///
    /// # Errors
    /// [`LakeError::Input`] when two of the rows have the same key.
    pub async fn stage_merge(
        &self,
        _rows: SendableRecordBatchStream,
        _key: &[String],
    ) -> Result<StagedMerge, LakeError> {
        Err(unbuilt())
    }

    /// Commits an upsert.
    pub async fn commit_merge(
        &self,
        _merge: StagedMerge,
        _commit: TableCommit,
    ) -> Result<Committed, LakeError> {
        Err(unbuilt())
    }

    /// The commits after a version (or all that are kept), newest first, at most `limit`. Reads one small file for each.
    pub async fn history(&self, _after: Option<i64>, _limit: usize) -> Result<Vec<HistoryEntry>, LakeError> {
        Err(unbuilt())
    }

    /// What changed after one version up to another. Reads one small file for each version between.
    pub async fn changes(&self, _after: Option<i64>, _upto: i64) -> Result<Changes, LakeError> {
        Err(unbuilt())
    }

    /// The rows at a version, for DataFusion.
    pub async fn provider(&self, at: ReadAt) -> Result<Arc<dyn TableProvider>, LakeError> {
        Ok(self.read(at).await?.provider)
    }

    /// The rows at a version, with the version that was found.
    pub async fn read(&self, _at: ReadAt) -> Result<TableRead, LakeError> {
        Err(unbuilt())
    }

    /// Only the rows that were appended.
    pub async fn provider_of(&self, changes: &Changes) -> Result<Arc<dyn TableProvider>, LakeError> {
        self.provider_of_files(&changes.appended).await
    }

    /// Only the rows of these files, staged ones for example.
    pub async fn provider_of_files(&self, _files: &[FileRef]) -> Result<Arc<dyn TableProvider>, LakeError> {
        Err(unbuilt())
    }

    /// How the table stands.
    pub async fn stats(&self) -> Result<TableStats, LakeError> {
        Err(unbuilt())
    }

    /// Joins small files; no row changes. None when there is nothing worth joining, or when another commit took the
    /// files away meanwhile.
    pub async fn compact(&self, _options: CompactOptions) -> Result<Option<Committed>, LakeError> {
        Err(unbuilt())
    }

    /// Deletes the files that no version of the last `keep` needs and that are older than `keep`; see
    /// [`crate::VACUUM_KEEP`]. Returns how many.
    pub async fn vacuum(&self, _keep: Duration) -> Result<u64, LakeError> {
        Err(unbuilt())
    }
}
