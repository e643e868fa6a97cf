//! Staged rows and the ways in which they meet those that are there.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::intent::{Change, Intent, run};
use crate::delta::actions::{Add, Remove};
use crate::delta::snapshot::Snapshot;
use crate::delta::values;
use crate::table::Shared;
use crate::{CommitMode, Committed, FileRef, LakeError, PartitionValues, StagedFiles, TableCommit};

/// Commits staged rows.
pub(crate) async fn commit(table: &Arc<Shared>, commit: TableCommit) -> Result<Committed, LakeError> {
    let TableCommit { staged, elsewhere, mode, transaction, expected_transaction, operation, info } = commit;
    let append = matches!(mode, CommitMode::Append);
    let word = if append { "Append" } else { "Overwrite" };
    let expected = expected_transaction;
    let intent = Intent { operation, mode: word, blind: append, transaction, expected, info, elsewhere };
    run(table, &intent, |snapshot| plan(table, snapshot, &staged, &mode)).await
}

fn plan(
    table: &Shared,
    snapshot: &Snapshot,
    staged: &StagedFiles,
    mode: &CommitMode,
) -> Result<Change, LakeError> {
    let mut change = Change::default();
    let removed: Vec<Arc<FileRef>> = match mode {
        CommitMode::Append => Vec::new(),
        CommitMode::Overwrite | CommitMode::OverwriteWith(_) => snapshot.files.values().cloned().collect(),
        CommitMode::ReplacePartitions(partitions) => {
            let partitions = typed(table, snapshot, partitions)?;
            if let Some(stray) = staged.files.iter().find(|file| !partitions.contains(&file.partition)) {
                return Err(table.input_error(format!(
                    "rows were staged for {}, which is not to be replaced",
                    stray.partition
                )));
            }
            snapshot.files.values().filter(|file| partitions.contains(&file.partition)).cloned().collect()
        }
    };
    if let CommitMode::OverwriteWith(spec) = mode {
        change.metadata = Some(super::ensure::replaced(table, snapshot, spec)?);
        check_target(table, staged, &super::ensure::schema_of(table, spec)?)?;
    } else {
        check_target(table, staged, &snapshot.schema)?;
    }
    change.adds = staged_adds(staged, true);
    change.rows_removed = removed.iter().filter_map(|file| file.rows).sum();
    let now = table.lake.settings.clock.now().timestamp_millis();
    change.removes = removed.iter().map(|file| removal(file, now, true)).collect();
    Ok(change)
}

/// The partitions in the table's order of columns and its types.
fn typed(
    table: &Shared,
    snapshot: &Snapshot,
    partitions: &[PartitionValues],
) -> Result<Vec<PartitionValues>, LakeError> {
    let columns = snapshot.partition_columns();
    let each = |partition: &PartitionValues| {
        let fits =
            partition.0.len() == columns.len() && partition.0.iter().all(|(name, _)| columns.contains(name));
        if !fits || columns.is_empty() {
            return Err(table.input_error(format!(
                "`{partition}` is no partition of it; its partition columns are {columns:?}"
            )));
        }
        values::read(&values::write(partition), columns, &snapshot.schema)
            .map_err(|reason| table.input_error(reason))
    };
    partitions.iter().map(each).collect()
}

/// Refuses files that were written for another table, or for columns that it no longer has.
fn check_target(table: &Shared, staged: &StagedFiles, schema: &SchemaRef) -> Result<(), LakeError> {
    let Some((target, written)) = &staged.target else { return Ok(()) };
    if *target != table.id {
        return Err(table.input_error(format!("the rows were staged for `{target}`")));
    }
    if Arc::ptr_eq(written, schema) {
        return Ok(());
    }
    for field in written.fields() {
        match schema.field_with_name(field.name()) {
            Ok(now)
                if now.data_type() == field.data_type() && (now.is_nullable() || !field.is_nullable()) => {}
            Ok(now) => {
                return Err(table.schema_error(
                    field.name(),
                    format!("rows were staged as {field} and it is {now} now; stage them again"),
                ));
            }
            Err(_) => {
                return Err(table
                    .schema_error(field.name(), "rows were staged with it and the table has it no longer"));
            }
        }
    }
    match schema.fields().iter().find(|field| !field.is_nullable() && written.index_of(field.name()).is_err())
    {
        Some(missing) => {
            Err(table.schema_error(missing.name(), "rows were staged without it; stage them again"))
        }
        None => Ok(()),
    }
}

/// The log entries of staged files.
pub(crate) fn staged_adds(staged: &StagedFiles, data_change: bool) -> Vec<Add> {
    staged.files.iter().map(|file| add(file, data_change)).collect()
}

/// The log entry of a new file.
pub(crate) fn add(file: &FileRef, data_change: bool) -> Add {
    Add {
        path: file.logged_path().to_owned(),
        partition_values: values::write(&file.partition),
        size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        modification_time: file.modified_ms,
        data_change,
        stats: file.stats.as_deref().map(str::to_owned),
        deletion_vector: None,
    }
}

/// The log entry that takes a file out of the table. Without the time, `vacuum` would take it at once.
pub(crate) fn removal(file: &FileRef, now_ms: i64, data_change: bool) -> Remove {
    Remove {
        path: file.logged_path().to_owned(),
        deletion_timestamp: Some(now_ms),
        data_change,
        extended_file_metadata: Some(true),
        partition_values: Some(values::write(&file.partition)),
        size: i64::try_from(file.bytes).ok(),
    }
}
