//! What the last scan of a table counted, kept beside the table, so that rows that were only added are read alone.

use std::sync::Arc;

use datafusion::execution::SessionState;
use flowline_lake::{Table, TableId};
use flowline_model::Dataset;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::note::Note;
use super::scan::{Scan, ScanTally, answers};
use super::{Subject, Uncommitted};
use crate::engine::{Pins, Resolver};
use crate::{ProcessError, QueryEngine};

/// The folder beside the table; names that begin with `_` are no rows.
pub(super) const FOLDER: &str = "_checks";
/// Where what single rows decide is counted.
pub(super) const ROWS_FOLDER: &str = "_checks/scans";

/// A tally with what it was counted for.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: i64,
    tally: ScanTally,
}

/// What the scan counts over the subject. Where a tally of the same checks is kept and rows were only added since, only
/// those are read; the sum of both is that of a whole scan. Where the scan does nothing but add up, rows may have been
/// removed as well.
pub(super) async fn tally(
    engine: &QueryEngine,
    dataset: &Dataset,
    subject: &Subject,
    scan: &Scan,
) -> Result<ScanTally, ProcessError> {
    let table = engine.lake().table(TableId::of(dataset));
    // What is counted beyond single rows is kept apart: it is counted before commits as well.
    let folder = if scan.rules().is_empty() { FOLDER } else { ROWS_FOLDER };
    let beside = Beside { table: &table, folder };
    match &subject.change {
        Some(change) => Box::pin(tally_uncommitted(engine, dataset, (subject, change), scan, &beside)).await,
        None => tally_in(engine, dataset, subject, scan, &beside).await,
    }
}

/// What the scan counts over a table as it will be: that of the version before it, with what comes and without what
/// goes.
async fn tally_uncommitted(
    engine: &QueryEngine,
    dataset: &Dataset,
    (subject, change): (&Subject, &Uncommitted),
    scan: &Scan,
    beside: &Beside<'_>,
) -> Result<ScanTally, ProcessError> {
    let provider = Arc::clone(&change.there);
    let there = Subject { version: Some(change.version), ..Subject::unversioned(provider) };
    let before = tally_in(engine, dataset, &there, scan, beside).await?;
    let state = engine.state_with(&Resolver::new(engine.clone(), Pins::Latest));
    let tally = match exchanged(&state, scan, before, change).await? {
        Some(tally) => tally,
        None => scan.run(&state, Arc::clone(&subject.provider)).await?,
    };
    let files = beside.files().await;
    let kept = Kept { version: change.next(), tally };
    if let Some(note) = beside.note(files, &fingerprint(dataset, scan, beside.table), &kept) {
        change.note(note);
    }
    Ok(kept.tally)
}

/// What was counted, with the rows that come and without those that go; none where that cannot be told.
async fn exchanged(
    state: &SessionState,
    scan: &Scan,
    mut tally: ScanTally,
    change: &Uncommitted,
) -> Result<Option<ScanTally>, ProcessError> {
    tally.add(&scan.run(state, Arc::clone(&change.comes)).await?);
    match &change.goes {
        None => Ok(Some(tally)),
        Some(_) if !scan.adds_up() => Ok(None),
        Some(goes) => Ok(tally.without(&scan.run(state, Arc::clone(goes)).await?)),
    }
}

/// A folder beside a table where one tally is kept.
pub(super) struct Beside<'a> {
    pub table: &'a Table,
    pub folder: &'a str,
}

/// The same, kept in a folder beside another table.
pub(super) async fn tally_in(
    engine: &QueryEngine,
    dataset: &Dataset,
    subject: &Subject,
    scan: &Scan,
    beside: &Beside<'_>,
) -> Result<ScanTally, ProcessError> {
    let state = engine.state_with(&Resolver::new(engine.clone(), Pins::Latest));
    let Some(version) = subject.version else {
        return Ok(scan.run(&state, subject.provider.clone()).await?);
    };
    let table = engine.lake().table(TableId::of(dataset));
    let fingerprint = fingerprint(dataset, scan, &table);
    let files = beside.files().await;
    let kept = beside.newest(&files, &fingerprint, version).await;
    let tally = match kept {
        Some(kept) if kept.version == version => return Ok(kept.tally),
        Some(kept) => match moved(&table, &state, scan, &kept, version).await? {
            Some(tally) => tally,
            None => scan.run(&state, subject.provider.clone()).await?,
        },
        None => scan.run(&state, subject.provider.clone()).await?,
    };
    let kept = Kept { version, tally };
    if let Some(note) = beside.note(files, &fingerprint, &kept) {
        note.keep(beside.table).await;
    }
    Ok(kept.tally)
}

/// What was kept, moved on by what came and went since; none where everything has to be read.
async fn moved(
    table: &Table,
    state: &SessionState,
    scan: &Scan,
    kept: &Kept,
    version: i64,
) -> Result<Option<ScanTally>, ProcessError> {
    let failed = || format!("reading the changes of `{}`", table.id().dataset);
    let changes = table.changes(Some(kept.version), version).await.map_err(ProcessError::lake(failed()))?;
    let removable = scan.adds_up() && !changes.unknown && !changes.removed_unknown;
    if !changes.append_only() && !removable {
        return Ok(None);
    }
    let mut tally = kept.tally.clone();
    if !changes.appended.is_empty() {
        let rows = table.provider_of(&changes).await.map_err(ProcessError::lake(failed()))?;
        tally.add(&scan.run(state, rows).await?);
    }
    if changes.removed.is_empty() {
        return Ok(Some(tally));
    }
    // Files that are gone from the storage as well: everything is read, as it is.
    let Ok(rows) = table.provider_of_files(&changes.removed).await else { return Ok(None) };
    let Ok(gone) = scan.run(state, rows).await else { return Ok(None) };
    Ok(tally.without(&gone))
}

/// What the kept tallies are of: the table, the checks, the rules over the columns, and how they are counted.
fn fingerprint(dataset: &Dataset, scan: &Scan, table: &Table) -> String {
    const FORMAT: u32 = 3;
    let checks: Vec<_> = dataset.checks.iter().filter(|check| answers(&check.rule)).collect();
    let log_id = table.log_id().unwrap_or_default();
    let rules = format!("{FORMAT} {log_id} {checks:?} {:?} {:?}", dataset.columns, scan.columns());
    let digest = Sha256::digest(rules.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Beside<'_> {
    fn version_of(&self, path: &str, fingerprint: &str) -> Option<i64> {
        let name = path.strip_prefix(self.folder)?.strip_prefix('/')?.strip_suffix(".json")?;
        name.strip_prefix(fingerprint)?.strip_prefix('-')?.parse().ok()
    }

    async fn newest(&self, files: &[String], fingerprint: &str, upto: i64) -> Option<Kept> {
        let versions = files.iter().filter_map(|path| Some((self.version_of(path, fingerprint)?, path)));
        let (_, path) = versions.filter(|(version, _)| *version <= upto).max()?;
        // A file that cannot be read is as good as none: everything is counted again.
        let bytes = self.table.read_beside(path).await.ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The tallies that are kept here.
    async fn files(&self) -> Vec<String> {
        // Other things are kept in folders below.
        let tally =
            |file: &String| file.strip_prefix(self.folder).is_some_and(|name| name.rfind('/') == Some(0));
        let files = self.table.list_beside(self.folder).await.unwrap_or_default();
        files.into_iter().filter(tally).collect()
    }

    /// A tally that takes the place of these files.
    fn note(&self, files: Vec<String>, fingerprint: &str, kept: &Kept) -> Option<Note> {
        Note::new(format!("{}/{fingerprint}-{:020}.json", self.folder, kept.version), kept, files)
    }
}
