//! Joining small files.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;

use super::delete::discard;
use super::pass::Pass;
use crate::commit::{Change, Intent, removal, run, staged_adds};
use crate::delta::snapshot::Snapshot;
use crate::read::files_table;
use crate::store::from_datafusion;
use crate::table::Shared;
use crate::{
    Committed, CompactOptions, FileRef, LakeError, PartitionValues, StagedFiles, WritePurpose, WriterOptions,
};

/// Joins small files into larger ones.
pub(crate) async fn compact(
    table: &Arc<Shared>,
    options: CompactOptions,
) -> Result<Option<Committed>, LakeError> {
    let snapshot = table.newest().await?.ok_or_else(|| table.no_table())?;
    let mut pass = Pass::default();
    let mut bytes = 0;
    for bin in bins(&snapshot, &options) {
        if bytes > 0 && bytes + size(&bin) > options.bytes_max {
            break;
        }
        bytes += size(&bin);
        pass.kept.extend(join(table, &snapshot, &bin, &options).await?);
        pass.removed.extend(bin);
    }
    if pass.removed.is_empty() {
        return Ok(None);
    }
    check_rows(table, &pass)?;
    drop(snapshot);
    let intent = Intent {
        operation: "OPTIMIZE",
        mode: "Overwrite",
        blind: false,
        transaction: None,
        expected: None,
        info: options.info,
        elsewhere: Vec::new(),
    };
    let committed = run(table, &intent, |snapshot| {
        if let Some(gone) = pass.removed.iter().find(|file| !snapshot.files.contains_key(file.logged_path()))
        {
            let reason = format!("took `{}` away", gone.path);
            return Err(LakeError::Conflict {
                table: table.name.to_string(),
                version: snapshot.version,
                reason,
            });
        }
        let now = table.lake.settings.clock.now().timestamp_millis();
        let removes = pass.removed.iter().map(|file| removal(file, now, false)).collect();
        Ok(Change { adds: staged_adds(&pass.kept, false), removes, ..Change::default() })
    });
    match committed.await {
        Ok(committed) => {
            metrics::counter!("flowline_lake_compacted_files_total", table.labels().iter())
                .increment(committed.files_removed);
            Ok(Some(committed))
        }
        Err(LakeError::Conflict { .. }) => {
            discard(table, pass).await;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Files that compaction would join now.
pub(crate) fn joinable(snapshot: &Snapshot, options: &CompactOptions) -> u64 {
    bins(snapshot, options).iter().map(|bin| bin.len() as u64).sum()
}

/// What would be joined: files of one partition and of about the same size, in the order in which they were written,
/// until they fill a file. Joining only like with like keeps a row from being written again for every few rows that
/// come after it.
fn bins(snapshot: &Snapshot, options: &CompactOptions) -> Vec<Vec<Arc<FileRef>>> {
    let base = options.files_min.max(2) as u64;
    let full = options.target_file_bytes / 4 * 3;
    let mut classes: HashMap<(&PartitionValues, u32), Vec<&Arc<FileRef>>> = HashMap::new();
    let files = snapshot.files_in_order();
    for file in files.iter().filter(|file| file.bytes < full) {
        // Whatever is smaller than 64 KiB is about the same: what it costs is its existence.
        let class = (file.bytes >> 16).max(1).ilog(base);
        classes.entry((&file.partition, class)).or_default().push(file);
    }
    let mut bins: Vec<Vec<Arc<FileRef>>> = Vec::new();
    for files in classes.into_values() {
        let mut bin: Vec<Arc<FileRef>> = Vec::new();
        for file in files {
            bin.push(Arc::clone(file));
            if size(&bin) >= options.target_file_bytes {
                bins.push(std::mem::take(&mut bin));
            }
        }
        if bin.len() >= options.files_min {
            bins.push(bin);
        }
    }
    bins.retain(|bin| bin.len() > 1);
    // Where there are most files, joining saves most.
    bins.sort_by_key(|bin| (std::cmp::Reverse(bin.len()), bin[0].path.clone()));
    bins
}

fn size(files: &[Arc<FileRef>]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

async fn join(
    table: &Shared,
    snapshot: &Snapshot,
    bin: &[Arc<FileRef>],
    options: &CompactOptions,
) -> Result<StagedFiles, LakeError> {
    let writing = WriterOptions {
        // A bin is at most one file over the target: it becomes one file.
        target_file_bytes: options.target_file_bytes.saturating_mul(2),
        purpose: WritePurpose::Keep,
        memory_bytes_max: 48 << 20,
        ..WriterOptions::default()
    };
    let mut writer = table.writer(Arc::clone(&snapshot.schema), snapshot.partition_columns(), writing)?;
    for file in bin {
        let broken = |error| from_datafusion("reading", format!("{}/{}", table.name, file.path), &error);
        let mut batches =
            files_table(table, snapshot, vec![Arc::clone(file)]).stream(None).map_err(broken)?;
        while let Some(batch) = batches.next().await {
            writer.write(&batch.map_err(broken)?).await?;
        }
    }
    writer.finish().await
}

/// Nothing may get lost here: what was written is counted against what the log says was there.
fn check_rows(table: &Shared, pass: &Pass) -> Result<(), LakeError> {
    let before: Option<u64> = pass.removed.iter().map(|file| file.rows).sum();
    match before {
        Some(before) if before != pass.kept.rows() => Err(LakeError::Corrupt {
            path: table.name.to_string(),
            reason: format!("{before} rows should be in the files to join, {} are", pass.kept.rows()),
        }),
        _ => Ok(()),
    }
}
