//! What the rows that came and went since the last audit do to what was counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use flowline_lake::FileRef;
use futures::TryStreamExt;

use super::columns::{KeyHash, read_counts};
use super::counts::{Counted, Layer, Store};
use super::kept::{Example, Kept};
use super::{Audited, KeyAudit, MostOften};
use crate::ProcessError;
use crate::audit::Uncommitted;

/// So many keys that changed are held in memory at once: some 32 MB of them.
const KEYS_AT_ONCE: usize = 1 << 20;

/// Rows that came, or went.
struct Part {
    rows: Arc<dyn TableProvider>,
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
        self.with(prefix, kept, &parts).await.map(Some)
    }

    /// What was kept of a version, as it will be once a change of it is committed.
    pub(super) async fn changed(
        &self,
        prefix: &str,
        kept: Kept,
        change: &Uncommitted,
    ) -> Result<Kept, ProcessError> {
        // The table may refer to itself.
        let own: Vec<bool> =
            self.tables.iter().map(|table| table.table.id() == self.tables[0].table.id()).collect();
        let mut parts = Vec::new();
        for (number, _) in own.iter().enumerate().filter(|(_, own)| **own) {
            parts.push((number, Part { rows: Arc::clone(&change.comes), sign: 1 }));
            let goes = change.goes.iter().map(|rows| (number, Part { rows: Arc::clone(rows), sign: -1 }));
            parts.extend(goes);
        }
        let mut counted = self.with(prefix, kept, &parts).await?;
        for (kept, _) in counted.tables.iter_mut().zip(own).filter(|(_, own)| *own) {
            kept.version = change.next();
        }
        Ok(counted)
    }

    async fn with(&self, prefix: &str, kept: Kept, parts: &[(usize, Part)]) -> Result<Kept, ProcessError> {
        let store = self.store(prefix);
        let layers = kept.tables.into_iter().map(|table| table.layers).collect();
        let mut moving = Moving { layers, failed: kept.failed, failing: MostOften::default() };
        for (number, part) in parts {
            self.add(&store, &mut moving, *number, part).await?;
        }
        let came = parts.iter().find(|(number, part)| *number == 0 && part.sign > 0);
        let came = came.map(|(_, part)| &part.rows);
        let examples = self.examples(&store, &moving, kept.examples, came).await?;
        Ok(self.kept(moving.layers, moving.failed, examples))
    }

    /// Adds the rows of a part, or takes them away.
    async fn add(
        &self,
        store: &Store<'_>,
        moving: &mut Moving,
        number: usize,
        part: &Part,
    ) -> Result<(), ProcessError> {
        let mut batches = self.tables[number].key.counted(&self.state, Arc::clone(&part.rows)).await?;
        let mut writer = store.writer();
        let mut changes: Vec<Counted> = Vec::new();
        loop {
            let batch = batches.try_next().await?;
            let ended = batch.is_none();
            if let Some(batch) = batch {
                let signed = |counted: Counted| Counted { rows: counted.rows * part.sign, ..counted };
                changes.extend(read_counts(&batch)?.into_iter().map(signed));
            }
            if ended || changes.len() >= KEYS_AT_ONCE {
                self.weigh(store, moving, (number, part), &changes).await?;
                for changed in changes.drain(..) {
                    writer.push(changed).await?;
                }
            }
            if ended {
                break;
            }
        }
        let layers = std::mem::take(&mut moving.layers[number]);
        moving.layers[number] = store.add(layers, writer.finish().await?).await?;
        Ok(())
    }

    /// Counts what changes of some keys, each of which occurs once among them, do to the rows that fail.
    async fn weigh(
        &self,
        store: &Store<'_>,
        moving: &mut Moving,
        (number, part): (usize, &Part),
        changes: &[Counted],
    ) -> Result<(), ProcessError> {
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
        Ok(())
    }

    /// Those of the keys known to fail that still do, and those of new rows.
    async fn examples(
        &self,
        store: &Store<'_>,
        moving: &Moving,
        known: Vec<Example>,
        came: Option<&Arc<dyn TableProvider>>,
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
        if let Some(came) = came.filter(|_| !new.0.is_empty()) {
            let found = self.shown(&new, Arc::clone(came)).await?;
            texts.extend(found.into_iter().map(|found| (found.hash, found.text)));
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
    let left = |files: &[FileRef], others: &BTreeSet<&str>| -> Vec<FileRef> {
        files.iter().filter(|file| !others.contains(file.path.as_str())).cloned().collect()
    };
    let (appended, removed) = (left(&changes.appended, &gone), left(&changes.removed, &came));
    if !removed.is_empty() {
        let stats = table.table.stats().await.map_err(ProcessError::lake(failed()))?;
        let bytes: u64 = removed.iter().chain(&appended).map(|file| file.bytes).sum();
        if bytes > stats.bytes {
            return Ok(None);
        }
    }
    let mut parts = Vec::new();
    for (files, sign) in [(appended, 1), (removed, -1)] {
        if !files.is_empty() {
            let rows = table.table.provider_of_files(&files).await.map_err(ProcessError::lake(failed()))?;
            parts.push(Part { rows, sign });
        }
    }
    Ok(Some(parts))
}
