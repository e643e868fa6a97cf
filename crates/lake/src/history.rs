//! What happened to a table: its commits, and what changed between two versions.

use std::collections::{BTreeMap, HashSet};

use chrono::DateTime;

use crate::delta::actions::{Add, Commit, Remove};
use crate::delta::snapshot::{Snapshot, file_ref};
use crate::delta::values;
use crate::table::Shared;
use crate::{
    Changes, CompactOptions, FileRef, HistoryEntry, LakeError, OffsetRange, PartitionValues, TableStats,
};

/// Commits that are read together.
const CHUNK: i64 = 32;

/// The commits after a version, newest first.
pub(crate) async fn history(
    table: &Shared,
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<HistoryEntry>, LakeError> {
    let newest = table.newest().await?.ok_or_else(|| table.no_table())?;
    let first = after.map_or(0, |after| after + 1).max(0);
    let mut end = newest.version + 1;
    let mut entries = Vec::new();
    while end > first && entries.len() < limit {
        let wanted = i64::try_from(limit - entries.len()).unwrap_or(CHUNK).min(CHUNK);
        let start = first.max(end - wanted);
        for (commit, version) in
            table.log.commits(start..end).await?.into_iter().rev().zip((start..end).rev())
        {
            match commit {
                Some(commit) => entries.push(entry(version, commit)),
                // Older ones are no longer kept either.
                None => return Ok(entries),
            }
        }
        end = start;
    }
    Ok(entries)
}

/// One commit, where it is kept.
pub(crate) async fn at(table: &Shared, version: i64) -> Result<Option<HistoryEntry>, LakeError> {
    Ok(table.log.commit(version).await?.map(|commit| entry(version, commit)))
}

fn entry(version: i64, commit: Commit) -> HistoryEntry {
    let size = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
    HistoryEntry {
        version,
        committed_at: commit.info.committed_at().unwrap_or(DateTime::UNIX_EPOCH),
        operation: commit.info.operation.clone().unwrap_or_default(),
        transactions: commit.transactions.iter().map(|txn| (txn.app_id.clone(), txn.version)).collect(),
        rows_added: commit.rows_added(),
        files_added: commit.adds.len() as u64,
        bytes_added: commit.adds.iter().map(|add| size(add.size)).sum(),
        files_removed: commit.removes.len() as u64,
        bytes_removed: commit.removes.iter().filter_map(|remove| remove.size).map(size).sum(),
        data_changed: commit.data_changed(),
        info: commit.info.flowline,
    }
}

/// What changed after one version up to another.
pub(crate) async fn changes(table: &Shared, after: Option<i64>, upto: i64) -> Result<Changes, LakeError> {
    let mut changes = Changes {
        after,
        upto,
        appended: Vec::new(),
        rewritten: false,
        removed: Vec::new(),
        removed_unknown: false,
        unknown: false,
        partitions: Vec::new(),
    };
    let loaded = table.some_version().await?;
    let newest = if loaded.version >= upto {
        loaded
    } else {
        table.newest().await?.ok_or_else(|| table.no_table())?
    };
    if newest.version < upto {
        return Err(LakeError::NotFound { what: format!("version {upto}"), place: table.name.to_string() });
    }
    let mut partitions = HashSet::new();
    match after {
        Some(after) => between(table, &newest, after, &mut changes, &mut partitions).await?,
        None => {
            let at = if newest.version == upto { None } else { Some(table.log.at(upto).await?) };
            let files = at.as_ref().unwrap_or(newest.as_ref()).files_in_order();
            changes.appended = files.iter().map(|file| file.as_ref().clone()).collect();
            changes.appended.extend(table.elsewhere(at.as_ref().unwrap_or(newest.as_ref())).await?);
            partitions.extend(files.iter().map(|file| file.partition.clone()));
        }
    }
    partitions.remove(&PartitionValues::default());
    changes.partitions = partitions.into_iter().collect();
    changes.partitions.sort_by_cached_key(ToString::to_string);
    Ok(changes)
}

async fn between(
    table: &Shared,
    newest: &Snapshot,
    after: i64,
    changes: &mut Changes,
    partitions: &mut HashSet<PartitionValues>,
) -> Result<(), LakeError> {
    let mut start = after + 1;
    while start <= changes.upto {
        let end = (start + CHUNK).min(changes.upto + 1);
        for commit in table.log.commits(start..end).await? {
            match commit {
                Some(commit) => collect(newest, &commit, changes, partitions),
                None => {
                    changes.unknown = true;
                    return Ok(());
                }
            }
        }
        start = end;
    }
    Ok(())
}

fn collect(
    newest: &Snapshot,
    commit: &Commit,
    changes: &mut Changes,
    partitions: &mut HashSet<PartitionValues>,
) {
    let columns = newest.partition_columns();
    for add in commit.adds.iter().filter(|add| add.data_change) {
        // A file from before the table was given another shape has values that do not fit it.
        let Ok(file) = file_ref(&newest.table, add, columns, &newest.schema) else {
            changes.unknown = true;
            return;
        };
        partitions.insert(file.partition.clone());
        changes.appended.push(file);
    }
    changes.appended.extend(commit.info.flowline_elsewhere.iter().cloned().map(OffsetRange::entry));
    for remove in commit.removes.iter().filter(|remove| remove.data_change) {
        changes.rewritten = true;
        match removed_file(newest, remove) {
            Some(file) => changes.removed.push(file),
            None => changes.removed_unknown = true,
        }
        match &remove.partition_values {
            Some(texts) => match values::read(texts, columns, &newest.schema) {
                Ok(partition) => drop(partitions.insert(partition)),
                Err(_) => changes.unknown = true,
            },
            // Another writer left it out: which partition it was cannot be told.
            None => changes.unknown |= !columns.is_empty(),
        }
    }
}

/// A file that is gone, so that it can be read while it is still there; none when the log does not say enough.
fn removed_file(newest: &Snapshot, remove: &Remove) -> Option<FileRef> {
    let add = Add {
        path: remove.path.clone(),
        partition_values: match (&remove.partition_values, newest.partition_columns()) {
            (Some(values), _) => values.clone(),
            (None, []) => BTreeMap::new(),
            (None, _) => return None,
        },
        size: remove.size?,
        modification_time: 0,
        data_change: true,
        stats: None,
        deletion_vector: None,
    };
    file_ref(&newest.table, &add, newest.partition_columns(), &newest.schema).ok()
}

/// How the table stands.
pub(crate) async fn stats(table: &Shared) -> Result<TableStats, LakeError> {
    let snapshot = table.newest().await?.ok_or_else(|| table.no_table())?;
    let files = snapshot.files.values();
    let partitions: HashSet<&PartitionValues> = files.clone().map(|file| &file.partition).collect();
    Ok(TableStats {
        version: snapshot.version,
        committed_at: snapshot.committed_at,
        files: snapshot.files.len() as u64,
        bytes: files.clone().map(|file| file.bytes).sum(),
        rows: files.clone().filter_map(|file| file.rows).sum(),
        small_files: crate::rewrite::joinable(&snapshot, &CompactOptions::default()),
        partitions: partitions.len() as u64,
    })
}
