//! One Delta table: the handle, and what its handles share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use parking_lot::RwLock;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::delta::actions::Commit;
use crate::delta::load::Log;
use crate::delta::schema;
use crate::delta::snapshot::Snapshot;
use crate::lake::LakeInner;
use crate::read::Only;
use crate::rewrite::StagedMerge;
use crate::store::{PutNew, Store};
use crate::upkeep::Upkeep;
use crate::{
    Changes, Committed, CompactOptions, FileRef, HistoryEntry, Kept, LakeError, OffsetRange, ReadAt,
    RowsElsewhere, StagedFiles, StagedWriter, TableCommit, TableId, TableKind, TableRead, TableSpec,
    TableStats, WriterOptions,
};

/// A handle of one Delta table, which need not exist yet. Cheap to clone; handles of one table share its state.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) shared: Arc<Shared>,
    /// The rows that are read; all when none.
    only: Option<Arc<Only>>,
}

/// What the handles of a table share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: TableId,
    /// Its folder, for messages.
    pub(crate) name: Arc<str>,
    pub(crate) lake: Arc<LakeInner>,
    pub(crate) store: Store,
    pub(crate) log: Log,
    /// Held from the choice of a version to the end of its write, so that writers of this process take turns.
    pub(crate) turn: Mutex<()>,
    /// See [`Table::reserve`].
    reserved: Arc<Mutex<u64>>,
    pub(crate) upkeep: Upkeep,
    loaded: RwLock<Option<Arc<Snapshot>>>,
    /// When the log was last read from its newest checkpoint on.
    surveyed: RwLock<Option<Instant>>,
    /// See [`Table::rows_lie_in`].
    pub(crate) rows_elsewhere: RwLock<Option<Arc<dyn RowsElsewhere>>>,
}

/// What is loaded is moved on commit by commit for so long; then the log is read from its newest checkpoint again.
/// Commits are only deleted when they are much older, so that what is loaded never lies before a gap, where a version
/// that was deleted would look like one that is yet to come.
const SURVEY_EVERY: Duration = Duration::from_secs(3600);

impl Shared {
    pub(crate) fn new(id: TableId, lake: Arc<LakeInner>) -> Self {
        let name: Arc<str> = Arc::from(id.folder());
        let store = lake.store.below(&name);
        let log = Log { store: store.clone(), table: Arc::clone(&name) };
        let (turn, reserved, upkeep) = (Mutex::default(), Arc::default(), Upkeep::default());
        let (loaded, surveyed, rows_elsewhere) = (RwLock::default(), RwLock::default(), RwLock::default());
        Self { id, name, lake, store, log, turn, reserved, upkeep, loaded, surveyed, rows_elsewhere }
    }

    /// The version that is loaded, whether or not it is the newest.
    pub(crate) fn loaded(&self) -> Option<Arc<Snapshot>> {
        self.loaded.read().clone()
    }

    /// The newest version; none when there is no table.
    pub(crate) async fn newest(&self) -> Result<Option<Arc<Snapshot>>, LakeError> {
        let Some(mut snapshot) = self.recent() else {
            let now = self.lake.settings.clock.instant();
            let found = self.log.latest().await?;
            *self.surveyed.write() = Some(now);
            return Ok(found.map(|snapshot| self.keep(snapshot)));
        };
        while let Some(commit) = self.log.commit(snapshot.version + 1).await? {
            snapshot = self.advance(snapshot.version + 1, commit)?;
        }
        Ok(Some(snapshot))
    }

    /// What is loaded, when it is so recent that it can be moved on.
    fn recent(&self) -> Option<Arc<Snapshot>> {
        let surveyed = (*self.surveyed.read())?;
        let age = self.lake.settings.clock.instant().saturating_duration_since(surveyed);
        self.loaded().filter(|_| age < SURVEY_EVERY)
    }

    /// What is loaded, or the newest version when nothing is yet.
    pub(crate) async fn some_version(&self) -> Result<Arc<Snapshot>, LakeError> {
        match self.recent() {
            Some(snapshot) => Ok(snapshot),
            None => self.newest().await?.ok_or_else(|| self.no_table()),
        }
    }

    /// Moves what is loaded on by the commit of this version; nothing happens when it is further already.
    pub(crate) fn advance(&self, version: i64, commit: Commit) -> Result<Arc<Snapshot>, LakeError> {
        let mut slot = self.loaded.write();
        match slot.take() {
            Some(current) if current.version + 1 == version => {
                // Taken out of its place, so that nothing is copied unless someone reads that version. Should the
                // commit not apply, the next use loads the table again.
                let mut next = Arc::unwrap_or_clone(current);
                next.apply(version, commit)?;
                Ok(Arc::clone(slot.insert(Arc::new(next))))
            }
            Some(current) if current.version >= version => Ok(Arc::clone(slot.insert(current))),
            _ => Err(LakeError::Transient {
                action: "loading",
                path: self.name.to_string(),
                reason: "another reader is loading it again".into(),
            }),
        }
    }

    /// Keeps a loaded version unless a newer one is there.
    pub(crate) fn keep(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        self.upkeep.loaded(snapshot.checkpoint);
        let mut slot = self.loaded.write();
        match slot.as_ref() {
            Some(current) if current.version >= snapshot.version => Arc::clone(current),
            _ => Arc::clone(slot.insert(Arc::new(snapshot))),
        }
    }

    /// The rows of a version that lie elsewhere and can still be read, as entries among its files.
    pub(crate) async fn elsewhere(&self, at: &Snapshot) -> Result<Vec<FileRef>, LakeError> {
        let kept = self.kept(at).await?.unwrap_or_default();
        Ok(kept.ranges.into_iter().map(OffsetRange::entry).collect())
    }

    /// What can be read of the rows of a version that lie elsewhere; none when it has no such rows.
    pub(crate) async fn kept(&self, at: &Snapshot) -> Result<Option<Kept>, LakeError> {
        let Some(source) = self.rows_elsewhere.read().clone() else { return Ok(None) };
        source.kept(&at.positions()).await.map(Some)
    }

    /// The labels of the table's metrics.
    pub(crate) fn labels(&self) -> [metrics::Label; 2] {
        let kind = match self.id.kind {
            TableKind::Data(_) => "data",
            TableKind::Quarantine => "quarantine",
        };
        [metrics::Label::new("dataset", self.id.dataset.to_string()), metrics::Label::new("table", kind)]
    }

    pub(crate) fn no_table(&self) -> LakeError {
        LakeError::NotFound { what: "the table".into(), place: self.name.to_string() }
    }

    pub(crate) fn schema_error(&self, column: impl Into<String>, reason: impl Into<String>) -> LakeError {
        LakeError::Schema { table: self.name.to_string(), column: column.into(), reason: reason.into() }
    }

    pub(crate) fn input_error(&self, reason: impl Into<String>) -> LakeError {
        LakeError::Input { table: self.name.to_string(), reason: reason.into() }
    }

    /// A writer of rows of this shape into the table's folder.
    pub(crate) fn writer(
        &self,
        schema: SchemaRef,
        partition_columns: &[String],
        options: WriterOptions,
    ) -> Result<StagedWriter, LakeError> {
        let clock = Arc::clone(&self.lake.settings.clock);
        StagedWriter::new(self.id.clone(), self.store.clone(), clock, schema, partition_columns, options)
    }
}

impl Table {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, only: None }
    }

    /// The same table, of which only the rows with this value are read, and only the changes that concern them. What is
    /// written to it is not looked at.
    pub fn only(mut self, column: &str, value: ScalarValue) -> Self {
        self.only = Some(Arc::new(Only { column: column.to_owned(), value }));
        self
    }

    /// Says where the rows lie that are in no file of the table, for all handles of it.
    pub fn rows_lie_in(&self, rows: Arc<dyn RowsElsewhere>) {
        *self.shared.rows_elsewhere.write() = Some(rows);
    }

    /// Whether it was said where the rows lie that are in no file.
    pub fn reads_elsewhere(&self) -> bool {
        self.shared.rows_elsewhere.read().is_some()
    }

    /// The error of reading rows of which it was not said where they lie.
    pub fn out_of_reach(&self) -> LakeError {
        crate::elsewhere::out_of_reach(&self.shared.name)
    }

    /// What can be read now of the rows that lie in no file; none when it was not said where they do.
    ///
    /// # Errors
    /// [`LakeError::NotFound`] when there is no table.
    pub async fn kept_elsewhere(&self) -> Result<Option<Kept>, LakeError> {
        let newest = self.shared.newest().await?.ok_or_else(|| self.shared.no_table())?;
        self.shared.kept(&newest).await
    }

    /// The positions that a version has: application ids and their versions. Reads the log where the version is not the one
    /// that is loaded.
    ///
    /// # Errors
    /// [`LakeError::NotFound`] when there is no such version, or none any more.
    pub async fn positions(&self, version: i64) -> Result<Vec<(String, i64)>, LakeError> {
        let loaded = self.shared.some_version().await?;
        let at =
            if loaded.version == version { loaded } else { Arc::new(self.shared.log.at(version).await?) };
        Ok(at.positions())
    }

    /// Which table this is.
    pub fn id(&self) -> &TableId {
        &self.shared.id
    }

    /// Creates the table, or brings it to the spec: adds columns that it lacks (as nullable), and lets columns be null
    /// that the spec does not have or no longer requires. When it fits already this costs one small read.
    ///
    /// # Errors
    /// [`LakeError::Schema`] names the column whose type differs, or the partition columns that do.
    pub async fn ensure(&self, spec: &TableSpec) -> Result<(), LakeError> {
        crate::commit::ensure(&self.shared, spec).await
    }

    /// Whether the table exists.
    pub async fn exists(&self) -> Result<bool, LakeError> {
        Ok(self.refresh().await?.is_some())
    }

    /// Loads the newest version, on from what is loaded; one small read when nothing changed. None when there is no
    /// table.
    pub async fn refresh(&self) -> Result<Option<i64>, LakeError> {
        Ok(self.shared.newest().await?.map(|snapshot| snapshot.version))
    }

    /// Waits until nobody else in this process has reserved the table, and reserves it until the guard is dropped. For
    /// those whose rows depend on what they have read of the table some steps before (which keys it holds); commits
    /// need no reservation. The number is for them to count what the others have to notice; it begins at zero.
    pub async fn reserve(&self) -> OwnedMutexGuard<u64> {
        Arc::clone(&self.shared.reserved).lock_owned().await
    }

    /// The version that is loaded.
    pub fn version(&self) -> Option<i64> {
        self.shared.loaded().map(|snapshot| snapshot.version)
    }

    /// What the log calls the table that is loaded: another one once it was dropped and made again.
    pub fn log_id(&self) -> Option<String> {
        self.shared.loaded().map(|snapshot| snapshot.metadata.id.clone())
    }

    /// The columns of the version that is loaded.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.shared.loaded().map(|snapshot| Arc::clone(&snapshot.schema))
    }

    /// The partition columns of the version that is loaded, outermost first.
    pub fn partition_columns(&self) -> Option<Vec<String>> {
        self.shared.loaded().map(|snapshot| snapshot.partition_columns().to_vec())
    }

    /// The version of this application id that is committed, at the newest version of the table; none when the table
    /// does not exist or never saw it.
    pub async fn transaction_version(&self, app_id: &str) -> Result<Option<i64>, LakeError> {
        let snapshot = self.shared.newest().await?;
        Ok(snapshot.and_then(|snapshot| snapshot.transactions.get(app_id).map(|moved| moved.to)))
    }

    /// Whether the version that is loaded has just the columns of the spec, and is split as it says.
    ///
    /// # Errors
    /// [`LakeError::Schema`] names the column that no table can have.
    pub fn fits(&self, spec: &TableSpec) -> Result<bool, LakeError> {
        let wanted = schema::normal(&spec.schema)
            .map_err(|(column, reason)| self.shared.schema_error(column, reason))?;
        let Some(snapshot) = self.shared.loaded() else { return Ok(false) };
        let (is, wanted) = (snapshot.schema.fields(), wanted.fields());
        let same = is.len() == wanted.len()
            && is.iter().zip(wanted).all(|(is, wanted)| {
                is.name() == wanted.name() && is.data_type().equals_datatype(wanted.data_type())
            });
        Ok(same && snapshot.partition_columns() == spec.partition_columns)
    }

    /// The commit that moved an application id last, where it is known which one that was: not of what only a checkpoint
    /// knows. Costs one small read.
    pub async fn mover(&self, app_id: &str) -> Result<Option<HistoryEntry>, LakeError> {
        let Some(snapshot) = self.shared.loaded() else { return Ok(None) };
        match snapshot.transactions.get(app_id).and_then(|moved| moved.at) {
            Some(version) => crate::history::at(&self.shared, version).await,
            None => Ok(None),
        }
    }

    /// The application ids that the version that is loaded knows.
    pub fn app_ids(&self) -> Vec<String> {
        let snapshot = self.shared.loaded();
        snapshot.map(|snapshot| snapshot.transactions.keys().cloned().collect()).unwrap_or_default()
    }

    /// Of the application ids that fit, the one that moved last, at the version that is loaded. None when there is none, or
    /// when there are several and only a checkpoint knows of them, which does not say when they moved.
    pub fn moved_last(&self, fits: impl Fn(&str) -> bool) -> Option<String> {
        let snapshot = self.shared.loaded()?;
        let mut found: Vec<_> = snapshot.transactions.iter().filter(|(app_id, _)| fits(app_id)).collect();
        found.sort_by_key(|(_, moved)| moved.at);
        match found.as_slice() {
            [.., (_, before), (_, last)] if before.at == last.at => None,
            [.., (app_id, _)] => Some((*app_id).clone()),
            [] => None,
        }
    }

    /// Starts writing rows into files that a commit can take up.
    pub async fn writer(&self, options: WriterOptions) -> Result<StagedWriter, LakeError> {
        let snapshot = self.shared.some_version().await?;
        self.shared.writer(Arc::clone(&snapshot.schema), snapshot.partition_columns(), options)
    }

    /// Like [`Table::writer`], for rows of another shape, to be committed with [`crate::CommitMode::OverwriteWith`].
    pub async fn writer_for(
        &self,
        spec: &TableSpec,
        options: WriterOptions,
    ) -> Result<StagedWriter, LakeError> {
        let schema = schema::normal(&spec.schema)
            .map_err(|(column, reason)| self.shared.schema_error(column, reason))?;
        self.shared.writer(schema, &spec.partition_columns, options)
    }

    /// Commits staged rows and the position they came from, in one atomic step: one write that does not replace
    /// anything, whose cost does not depend on how large or how old the table is.
    ///
    /// # Errors
    /// [`LakeError::Fenced`] when another writer moved the same application id; [`LakeError::Conflict`] when the commit
    /// has to be prepared again. After any other error it may be that the commit happened and only its answer was lost:
    /// commit again with the same `id` in the info (or the same position), or ask [`Table::transaction_version`]; it is
    /// never applied twice.
    pub async fn commit(&self, commit: TableCommit) -> Result<Committed, LakeError> {
        crate::commit::commit(&self.shared, commit).await
    }

    /// Deletes staged files that no commit was ever asked to take up. Where a commit was, and failed, leave them to
    /// [`Table::vacuum`]: it may have happened.
    pub async fn discard(&self, staged: StagedFiles) -> Result<(), LakeError> {
        let paths = staged.files.iter().map(|file| self.shared.store.at(&file.path)).collect();
        self.shared.store.delete(paths).await.map(drop)
    }

    /// Removes the rows for which the predicate is true, and adds the commit's staged rows, in one commit.
    /// Only files that may hold such rows are read; only those that do are written again.
    pub async fn delete_where(&self, predicate: Expr, commit: TableCommit) -> Result<Committed, LakeError> {
        crate::rewrite::delete_where(&self.shared, predicate, commit).await
    }

    /// Inserts these rows, replacing those with the same key; see [`Table::stage_merge`].
    pub async fn merge(
        &self,
        rows: SendableRecordBatchStream,
        key: &[String],
        commit: TableCommit,
    ) -> Result<Committed, LakeError> {
        let merge = self.stage_merge(rows, key, &[]).await?;
        self.commit_merge(merge, commit).await
    }

    /// Writes the rows of an upsert into files, so that its counts are known before [`Table::commit_merge`] commits it.
    /// Rows of the keys that are `gone` go as well, whether one of the new rows has them or not; their columns stand in the
    /// order of the key. Holds some 40 bytes in memory for each row and key, and nothing of the table.
    ///
    /// # Errors
    /// [`LakeError::Input`] when two of the rows have the same key.
    pub async fn stage_merge(
        &self,
        rows: SendableRecordBatchStream,
        key: &[String],
        gone: &[RecordBatch],
    ) -> Result<StagedMerge, LakeError> {
        crate::rewrite::stage_merge(&self.shared, rows, key, gone).await
    }

    /// Commits an upsert. Of the table only those files are read whose statistics and partition allow for one of the
    /// keys, first their keys alone; only files that hold one are written again, one at a time.
    pub async fn commit_merge(
        &self,
        merge: StagedMerge,
        commit: TableCommit,
    ) -> Result<Committed, LakeError> {
        crate::rewrite::commit_merge(&self.shared, merge, commit).await
    }

    /// The commits after a version (or all that are kept), newest first, at most `limit`. Reads one small file for
    /// each; ends where the log is no longer kept.
    pub async fn history(&self, after: Option<i64>, limit: usize) -> Result<Vec<HistoryEntry>, LakeError> {
        crate::history::history(&self.shared, after, limit).await
    }

    /// What changed after one version up to another. Reads one small file for each version between. Without `after`,
    /// everything that the table holds at `upto` counts as appended.
    pub async fn changes(&self, after: Option<i64>, upto: i64) -> Result<Changes, LakeError> {
        let mut changes = crate::history::changes(&self.shared, after, upto).await?;
        if let Some(only) = &self.only {
            changes.appended = only.files(&self.shared, changes.appended).await?;
        }
        Ok(changes)
    }

    /// The rows at a version, for DataFusion.
    pub async fn provider(&self, at: ReadAt) -> Result<Arc<dyn TableProvider>, LakeError> {
        Ok(self.read(at).await?.provider)
    }

    /// The rows at a version, with the version that was found.
    ///
    /// # Errors
    /// [`LakeError::NotFound`] when there is no table, no such version, or none as old as the time that is kept.
    pub async fn read(&self, at: ReadAt) -> Result<TableRead, LakeError> {
        let mut read = crate::read::read(&self.shared, at).await?;
        if let Some(only) = &self.only {
            read.provider = only.rows(&self.shared, read.provider)?;
        }
        Ok(read)
    }

    /// The rows of all versions between a time (or the oldest version that is kept) and a version, each with the stretch
    /// of time in which it was there: from [`crate::VALID_FROM`] on, and no longer at [`crate::VALID_TO`]. Rows that were
    /// there at the first of these versions count as having been there for ever, unless that is the table's first of all.
    /// Reads one small file for each commit between.
    ///
    /// # Errors
    /// [`LakeError::NotFound`] when a commit between is no longer kept; [`LakeError::Input`] when the table was split by
    /// other columns at that time.
    pub async fn provider_of_versions(
        &self,
        since: Option<DateTime<Utc>>,
        upto: i64,
    ) -> Result<Arc<dyn TableProvider>, LakeError> {
        Ok(Arc::new(crate::read::versions(&self.shared, since, upto).await?))
    }

    /// The columns of [`Table::provider_of_versions`] for a table with these columns.
    pub fn columns_of_versions(schema: &SchemaRef) -> SchemaRef {
        crate::read::columns_of_versions(schema)
    }

    /// Only the rows that were appended, with the columns of the newest version.
    pub async fn provider_of(&self, changes: &Changes) -> Result<Arc<dyn TableProvider>, LakeError> {
        self.provider_of_files(&changes.appended).await
    }

    /// Only the rows of these files, staged ones for example.
    pub async fn provider_of_files(&self, files: &[FileRef]) -> Result<Arc<dyn TableProvider>, LakeError> {
        let snapshot = self.shared.some_version().await?;
        let files = files.iter().cloned().map(Arc::new).collect();
        let rows: Arc<dyn TableProvider> = Arc::new(crate::read::files_table(&self.shared, &snapshot, files));
        match &self.only {
            Some(only) => only.rows(&self.shared, rows),
            None => Ok(rows),
        }
    }

    /// The rows of staged files that were written for a table of another shape; see [`Table::writer_for`].
    pub fn provider_of_staged(
        &self,
        spec: &TableSpec,
        staged: &StagedFiles,
    ) -> Result<Arc<dyn TableProvider>, LakeError> {
        let schema = schema::normal(&spec.schema)
            .map_err(|(column, reason)| self.shared.schema_error(column, reason))?;
        let files = staged.files.iter().cloned().map(Arc::new).collect();
        Ok(Arc::new(crate::read::staged_table(&self.shared, schema, spec.partition_columns.clone(), files)))
    }

    /// Writes a file of its writer's own beside the table's, whole or not at all. The path begins with a folder whose
    /// name begins with `_`: such files are no rows, and `vacuum` leaves them alone.
    ///
    /// # Errors
    /// [`LakeError::Input`] when there is a file of that name.
    pub async fn put_beside(&self, path: &str, bytes: Bytes) -> Result<(), LakeError> {
        let store = &self.shared.store;
        match store.put_new(&store.at(path), bytes).await? {
            PutNew::Written => Ok(()),
            PutNew::Exists => Err(self.shared.input_error(format!("there is a file `{path}` already"))),
        }
    }

    /// A file that [`Table::put_beside`] wrote.
    pub async fn read_beside(&self, path: &str) -> Result<Bytes, LakeError> {
        self.shared.store.get(&self.shared.store.at(path)).await
    }

    /// A part of a file that [`Table::put_beside`] wrote: the bytes of this range, in one request.
    pub async fn read_part_beside(
        &self,
        path: &str,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, LakeError> {
        self.shared.store.get_range(&self.shared.store.at(path), range).await
    }

    /// The files below a folder that [`Table::put_beside`] wrote, as paths below the table's. Lists the folder.
    pub async fn list_beside(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        let store = &self.shared.store;
        let found = store.list(&store.at(folder)).await?;
        let below = |path: &object_store::path::Path| {
            let parts = path.prefix_match(store.folder())?;
            Some(parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
        };
        Ok(found.iter().filter_map(|object| below(&object.location)).collect())
    }

    /// Deletes files that [`Table::put_beside`] wrote.
    pub async fn delete_beside(&self, paths: &[String]) -> Result<(), LakeError> {
        let store = &self.shared.store;
        store.delete(paths.iter().map(|path| store.at(path)).collect()).await.map(drop)
    }

    /// How the table stands, from its log alone.
    pub async fn stats(&self) -> Result<TableStats, LakeError> {
        crate::history::stats(&self.shared).await
    }

    /// Joins small files; no row changes, and rows keep their order within a partition. Appends are never made to wait
    /// longer than for one commit. None when there is nothing worth joining, or when another commit took the files away
    /// meanwhile.
    pub async fn compact(&self, options: CompactOptions) -> Result<Option<Committed>, LakeError> {
        crate::rewrite::compact(&self.shared, options).await
    }

    /// Deletes the files that no version of the last `keep` needs and that are older than `keep`; see
    /// [`crate::VACUUM_KEEP`]. Returns how many. Lists the table's folder.
    ///
    /// # Errors
    /// [`LakeError::Input`] for less than an hour: writers need time between their files and their commit.
    pub async fn vacuum(&self, keep: Duration) -> Result<u64, LakeError> {
        crate::upkeep::vacuum(&self.shared, keep).await
    }

    /// Waits for the upkeep of the log (checkpoints, cleanup) that commits have started; for orderly shutdown and tests.
    pub async fn settle(&self) {
        self.shared.upkeep.settle().await;
    }
}
