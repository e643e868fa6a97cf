//! What the last scan of a table counted, kept beside the table, so that rows that were only added are read alone.

use datafusion::execution::SessionState;
use flowline_lake::{Table, TableId};
use flowline_model::Dataset;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Subject;
use super::scan::{Scan, ScanTally, answers};
use crate::engine::{Pins, Resolver};
use crate::{ProcessError, QueryEngine};

/// The folder beside the table; names that begin with `_` are no rows.
pub(super) const FOLDER: &str = "_checks";

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
    tally_in(engine, dataset, subject, scan, &Beside { table: &table, folder: FOLDER }).await
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
    // Other things are kept in folders below.
    let tally =
        |file: &String| file.strip_prefix(beside.folder).is_some_and(|name| name.rfind('/') == Some(0));
    let files = beside.table.list_beside(beside.folder).await.unwrap_or_default();
    let files: Vec<String> = files.into_iter().filter(tally).collect();
    let kept = beside.newest(&files, &fingerprint, version).await;
    let tally = match kept {
        Some(kept) if kept.version == version => return Ok(kept.tally),
        Some(kept) => match moved(&table, &state, scan, &kept, version).await? {
            Some(tally) => tally,
            None => scan.run(&state, subject.provider.clone()).await?,
        },
        None => scan.run(&state, subject.provider.clone()).await?,
    };
    beside.keep(&files, &fingerprint, Kept { version, tally: tally.clone() }).await;
    Ok(tally)
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

    /// Keeps the tally and lets go of those before it. When that fails, the next audit reads more.
    async fn keep(&self, files: &[String], fingerprint: &str, kept: Kept) {
        let path = format!("{}/{fingerprint}-{:020}.json", self.folder, kept.version);
        let dataset = &self.table.id().dataset;
        let kept = match serde_json::to_vec(&kept) {
            Ok(bytes) => self.table.put_beside(&path, bytes.into()).await,
            Err(_) => return,
        };
        if let Err(error) = kept {
            tracing::debug!(%dataset, error = flowline_base::chain(&error), "what was counted is not kept");
            return;
        }
        let old: Vec<String> = files.iter().filter(|file| **file != path).cloned().collect();
        if let Err(error) = self.table.delete_beside(&old).await {
            tracing::debug!(%dataset, error = flowline_base::chain(&error), "old counts are left behind");
        }
    }
}
