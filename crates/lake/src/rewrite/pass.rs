//! One pass over files that may hold rows that have to go: files that do are written again without them.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not, prep_null_mask_filter};
use futures::StreamExt;

use crate::commit::{Change, Intent, add, removal, run, staged_adds};
use crate::delta::snapshot::Snapshot;
use crate::read::files_table;
use crate::store::{from_arrow, from_datafusion};
use crate::table::Shared;
use crate::{
    CommitMode, Committed, FileRef, LakeError, StagedFiles, StagedWriter, TableCommit, WritePurpose,
    WriterOptions,
};

/// How often a rewrite is done again because other commits changed rows meanwhile.
pub(super) const ATTEMPTS: u32 = 8;

/// What a pass came to.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// The files that held such rows.
    pub(super) removed: Vec<Arc<FileRef>>,
    /// Their other rows.
    pub(super) kept: StagedFiles,
    /// Rows that go.
    pub(super) rows_removed: u64,
}

/// Which rows of a batch go; it has the columns that were asked for, or all.
pub(super) type Matcher<'a> = dyn FnMut(&RecordBatch) -> Result<BooleanArray, LakeError> + Send + 'a;

/// Goes over the files. `columns` are those that `matches` looks at: a file is read whole only when it holds a match.
pub(super) async fn pass(
    table: &Shared,
    snapshot: &Snapshot,
    files: Vec<Arc<FileRef>>,
    columns: &[String],
    matches: &mut Matcher<'_>,
) -> Result<Pass, LakeError> {
    let mut pass = Pass::default();
    let options =
        WriterOptions { purpose: WritePurpose::Keep, memory_bytes_max: 48 << 20, ..WriterOptions::default() };
    let mut writer = table.writer(Arc::clone(&snapshot.schema), snapshot.partition_columns(), options)?;
    for file in files {
        let (total, going) = count(table, snapshot, &file, columns, matches).await?;
        if going == 0 {
            continue;
        }
        if going < total {
            copy_others(table, snapshot, &file, matches, &mut writer).await?;
        }
        pass.rows_removed += going;
        pass.removed.push(file);
    }
    pass.kept = writer.finish().await?;
    Ok(pass)
}

async fn count(
    table: &Shared,
    snapshot: &Snapshot,
    file: &Arc<FileRef>,
    columns: &[String],
    matches: &mut Matcher<'_>,
) -> Result<(u64, u64), LakeError> {
    let place = || format!("{}/{}", table.name, file.path);
    let source = files_table(table, snapshot, vec![Arc::clone(file)]);
    let mut batches =
        source.stream(Some(columns)).map_err(|error| from_datafusion("reading", place(), &error))?;
    let (mut total, mut going) = (0, 0);
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| from_datafusion("reading", place(), &error))?;
        total += batch.num_rows() as u64;
        going += definite(matches(&batch)?).true_count() as u64;
    }
    Ok((total, going))
}

async fn copy_others(
    table: &Shared,
    snapshot: &Snapshot,
    file: &Arc<FileRef>,
    matches: &mut Matcher<'_>,
    writer: &mut StagedWriter,
) -> Result<(), LakeError> {
    let place = || format!("{}/{}", table.name, file.path);
    let source = files_table(table, snapshot, vec![Arc::clone(file)]);
    let mut batches = source.stream(None).map_err(|error| from_datafusion("reading", place(), &error))?;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| from_datafusion("reading", place(), &error))?;
        let mask = definite(matches(&batch)?);
        let others = not(&mask).and_then(|others| filter_record_batch(&batch, &others));
        writer.write(&others.map_err(|error| from_arrow("filtering", place(), &error))?).await?;
    }
    Ok(())
}

/// A row of which it is not known whether it matches does not.
fn definite(mask: BooleanArray) -> BooleanArray {
    if mask.null_count() == 0 { mask } else { prep_null_mask_filter(&mask) }
}

/// Commits a pass over `base`: the files that held such rows go, their other rows and the staged ones come.
///
/// # Errors
/// [`LakeError::Conflict`] when rows have changed since `base`.
pub(super) async fn commit_pass(
    table: &Arc<Shared>,
    base: i64,
    pass: &Pass,
    extra: &[&StagedFiles],
    commit: &TableCommit,
) -> Result<Committed, LakeError> {
    if !matches!(commit.mode, CommitMode::Append) {
        return Err(table.input_error("staged rows can only be added in this kind of commit"));
    }
    let intent = Intent {
        operation: commit.operation,
        mode: "Overwrite",
        blind: false,
        transaction: commit.transaction.clone(),
        expected: commit.expected_transaction,
        info: commit.info.clone(),
        elsewhere: commit.elsewhere.clone(),
    };
    let committed = run(table, &intent, |snapshot| {
        check_unchanged(table, snapshot, base, &pass.removed)?;
        let now = table.lake.settings.clock.now().timestamp_millis();
        let mut adds = staged_adds(&pass.kept, true);
        adds.extend(extra.iter().flat_map(|staged| staged.files.iter()).map(|file| add(file, true)));
        let removes = pass.removed.iter().map(|file| removal(file, now, true)).collect();
        Ok(Change { adds, removes, rows_removed: pass.rows_removed, ..Change::default() })
    })
    .await?;
    // Rows that were only copied do not count as added.
    Ok(Committed { rows: committed.rows.saturating_sub(pass.kept.rows()), ..committed })
}

fn check_unchanged(
    table: &Shared,
    snapshot: &Snapshot,
    base: i64,
    files: &[Arc<FileRef>],
) -> Result<(), LakeError> {
    let lost = |reason: &str| {
        Err(LakeError::Conflict {
            table: table.name.to_string(),
            version: snapshot.version,
            reason: reason.to_owned(),
        })
    };
    if snapshot.data_version > base {
        return lost("changed rows of the table");
    }
    if files.iter().any(|file| !snapshot.files.contains_key(file.logged_path())) {
        return lost("joined files that this commit had read");
    }
    Ok(())
}
