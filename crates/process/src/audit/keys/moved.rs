//! What the rows that came and went since the last audit do to what was counted.

use std::collections::{BTreeMap, BTreeSet};

use flowline_lake::FileRef;
use futures::TryStreamExt;

use super::columns::{KeyHash, read_counts};
use super::counts::{Counted, Layer, Store};
use super::kept::{Example, Kept};
use super::{Audited, KeyAudit, MostOften};
use crate::ProcessError;

/// New rows are counted in parts of about so many bytes of files, each held in memory as its keys.
const PART_BYTES: u64 = 64 << 20;

/// Files whose rows came, or went.
struct Part {
    files: Vec<FileRef>,
    /// 1, or -1 for rows that went.
    sign: i64,
}

/// What is counted while parts are added.
struct Moving {
    layers: Vec<Vec<Layer>>,
    failed: i64,
    /// Keys that fail and that new rows have.
    failing: MostOften,
}

impl KeyAudit<'_> {
    /// What was kept, moved on to the versions that are audited; none where it cannot be, or where counting everything
    /// anew reads less.
    pub(super) async fn moved(&self, prefix: &str, kept: Kept) -> Result<Option<Kept>, ProcessError> {
        let mut parts = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            match changed(table, kept.tables[number].version).await? {
                Some(changed) => parts.extend(changed.into_iter().map(|part| (number, part))),
                None => return Ok(None),
            }
        }
        let store = self.store(prefix);
        let layers = kept.tables.into_iter().map(|table| table.layers).collect();
        let mut moving = Moving { layers, failed: kept.failed, failing: MostOften::default() };
        for (number, part) in &parts {
            self.add(&store, &mut moving, *number, part).await?;
        }
        let came = parts.iter().filter(|(number, part)| *number == 0 && part.sign > 0);
        let came: Vec<FileRef> = came.flat_map(|(_, part)| part.files.clone()).collect();
        let examples = self.examples(&store, &moving, kept.examples, &came).await?;
        Ok(Some(self.kept(moving.layers, moving.failed, examples)))
    }

    /// Adds the rows of a part, or takes them away.
    async fn add(
        &self,
        store: &Store<'_>,
        moving: &mut Moving,
        number: usize,
        part: &Part,
    ) -> Result<(), ProcessError> {
        let table = &self.tables[number];
        let failed = || format!("reading what changed in `{}`", table.table.id().dataset);
        let rows = table.table.provider_of_files(&part.files).await.map_err(ProcessError::lake(failed()))?;
        let mut batches = table.key.counted(&self.state, rows).await?;
        let mut changes: Vec<Counted> = Vec::new();
        while let Some(batch) = batches.try_next().await? {
            let signed = |counted: Counted| Counted { rows: counted.rows * part.sign, ..counted };
            changes.extend(read_counts(&batch)?.into_iter().map(signed));
        }
        let hashes: Vec<KeyHash> = changes.iter().map(|counted| counted.hash).collect();
        let mut before = Vec::new();
        for layers in &moving.layers {
            before.push(store.look_up(layers, &hashes).await?);
        }
        for (place, changed) in changes.iter().enumerate() {
            let counts = |change: i64| {
                let of = |table: usize| {
                    let known = before.get(table).map_or(0, |counts| counts[place]);
                    known + if table == number { change } else { 0 }
                };
                (of(0), of(1))
            };
            let ((own_before, other_before), (own, other)) = (counts(0), counts(changed.rows));
            let rows = self.fails.rows(own, other);
            moving.failed += rows - self.fails.rows(own_before, other_before);
            if rows > 0 && number == 0 && part.sign > 0 {
                moving.failing.add(changed.hash, own);
            }
        }
        let mut writer = store.writer();
        for changed in changes {
            writer.push(changed).await?;
        }
        let layers = std::mem::take(&mut moving.layers[number]);
        moving.layers[number] = store.add(layers, writer.finish().await?).await?;
        Ok(())
    }

    /// Those of the keys known to fail that still do, and those of new rows.
    async fn examples(
        &self,
        store: &Store<'_>,
        moving: &Moving,
        known: Vec<Example>,
        came: &[FileRef],
    ) -> Result<Vec<Example>, ProcessError> {
        let hashes: BTreeSet<KeyHash> = known
            .iter()
            .map(|example| example.hash)
            .chain(moving.failing.0.iter().map(|(hash, _)| *hash))
            .collect();
        let hashes: Vec<KeyHash> = hashes.into_iter().collect();
        let mut counts = Vec::new();
        for layers in &moving.layers {
            counts.push(store.look_up(layers, &hashes).await?);
        }
        let mut failing = MostOften::default();
        for (place, hash) in hashes.iter().enumerate() {
            let other = counts.get(1).map_or(0, |counts| counts[place]);
            if self.fails.rows(counts[0][place], other) > 0 {
                failing.add(*hash, counts[0][place]);
            }
        }
        let mut texts: BTreeMap<KeyHash, String> =
            known.into_iter().map(|example| (example.hash, example.text)).collect();
        let new =
            MostOften(failing.0.iter().filter(|(hash, _)| !texts.contains_key(hash)).copied().collect());
        if !new.0.is_empty() {
            let table = &self.tables[0].table;
            let failed = || format!("reading what changed in `{}`", table.id().dataset);
            let rows = table.provider_of_files(came).await.map_err(ProcessError::lake(failed()))?;
            texts.extend(self.shown(&new, rows).await?.into_iter().map(|found| (found.hash, found.text)));
        }
        let example = |(hash, rows): &(KeyHash, i64)| {
            Some(Example { hash: *hash, rows: *rows, text: texts.get(hash)?.clone() })
        };
        Ok(failing.0.iter().filter_map(example).collect())
    }
}

/// The files that came to a table and went from it since a version; none where that is not known, or where they are
/// more than what is there.
async fn changed(table: &Audited, since: i64) -> Result<Option<Vec<Part>>, ProcessError> {
    let failed = || format!("reading the changes of `{}`", table.table.id().dataset);
    let changes = table.table.changes(Some(since), table.version).await;
    let changes = changes.map_err(ProcessError::lake(failed()))?;
    if changes.unknown || changes.removed_unknown {
        return Ok(None);
    }
    // What came and went again is as good as never there.
    let gone: BTreeSet<&str> = changes.removed.iter().map(|file| file.path.as_str()).collect();
    let came: BTreeSet<&str> = changes.appended.iter().map(|file| file.path.as_str()).collect();
    let appended: Vec<&FileRef> =
        changes.appended.iter().filter(|file| !gone.contains(file.path.as_str())).collect();
    let removed: Vec<&FileRef> =
        changes.removed.iter().filter(|file| !came.contains(file.path.as_str())).collect();
    if !removed.is_empty() {
        let stats = table.table.stats().await.map_err(ProcessError::lake(failed()))?;
        let bytes: u64 = removed.iter().chain(&appended).map(|file| file.bytes).sum();
        if bytes > stats.bytes {
            return Ok(None);
        }
    }
    let parts = in_parts(appended, 1).into_iter().chain(in_parts(removed, -1));
    Ok(Some(parts.collect()))
}

fn in_parts(files: Vec<&FileRef>, sign: i64) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut bytes = 0;
    for file in files {
        match parts.last_mut() {
            Some(part) if bytes + file.bytes <= PART_BYTES => {
                part.files.push(file.clone());
                bytes += file.bytes;
            }
            _ => {
                parts.push(Part { files: vec![file.clone()], sign });
                bytes = file.bytes;
            }
        }
    }
    parts
}
