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
const FOLDER: &str = "_checks";

/// A tally with what it was counted for.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: i64,
    tally: ScanTally,
}

/// What the scan counts over the subject. Where a tally of the same checks is kept and rows were only added since, only
/// those are read; the sum of both is that of a whole scan.
pub(super) async fn tally(
    engine: &QueryEngine,
    dataset: &Dataset,
    subject: &Subject,
    scan: &Scan,
) -> Result<ScanTally, ProcessError> {
    let state = engine.state_with(&Resolver::new(engine.clone(), Pins::Latest));
    let Some(version) = subject.version else {
        return Ok(scan.run(&state, subject.provider.clone()).await?);
    };
    let table = engine.lake().table(TableId::of(dataset));
    let fingerprint = fingerprint(dataset, scan);
    let files = table.list_beside(FOLDER).await.unwrap_or_default();
    let kept = newest(&table, &files, &fingerprint, version).await;
    let tally = match kept {
        Some(kept) if kept.version == version => return Ok(kept.tally),
        Some(kept) => match added(&table, &state, scan, &kept, version).await? {
            Some(tally) => tally,
            None => scan.run(&state, subject.provider.clone()).await?,
        },
        None => scan.run(&state, subject.provider.clone()).await?,
    };
    keep(&table, &files, &fingerprint, Kept { version, tally: tally.clone() }).await;
    Ok(tally)
}

async fn added(
    table: &Table,
    state: &SessionState,
    scan: &Scan,
    kept: &Kept,
    version: i64,
) -> Result<Option<ScanTally>, ProcessError> {
    let failed = || format!("reading the changes of `{}`", table.id().dataset);
    let changes = table.changes(Some(kept.version), version).await.map_err(ProcessError::lake(failed()))?;
    if !changes.append_only() {
        return Ok(None);
    }
    let mut tally = kept.tally.clone();
    if !changes.appended.is_empty() {
        let rows = table.provider_of(&changes).await.map_err(ProcessError::lake(failed()))?;
        tally.add(&scan.run(state, rows).await?);
    }
    Ok(Some(tally))
}

/// What the kept tallies are of: the checks, the rules over the columns, and how they are counted.
fn fingerprint(dataset: &Dataset, scan: &Scan) -> String {
    const FORMAT: u32 = 1;
    let checks: Vec<_> = dataset.checks.iter().filter(|check| answers(&check.rule)).collect();
    let rules = format!("{FORMAT} {checks:?} {:?} {:?}", dataset.columns, scan.columns());
    let digest = Sha256::digest(rules.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn version_of(path: &str, fingerprint: &str) -> Option<i64> {
    let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".json")?;
    name.strip_prefix(fingerprint)?.strip_prefix('-')?.parse().ok()
}

async fn newest(table: &Table, files: &[String], fingerprint: &str, upto: i64) -> Option<Kept> {
    let versions = files.iter().filter_map(|path| Some((version_of(path, fingerprint)?, path)));
    let (_, path) = versions.filter(|(version, _)| *version <= upto).max()?;
    // A file that cannot be read is as good as none: everything is counted again.
    let bytes = table.read_beside(path).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Keeps the tally and lets go of those before it. When that fails, the next audit reads more.
async fn keep(table: &Table, files: &[String], fingerprint: &str, kept: Kept) {
    let path = format!("{FOLDER}/{fingerprint}-{:020}.json", kept.version);
    let kept = match serde_json::to_vec(&kept) {
        Ok(bytes) => table.put_beside(&path, bytes.into()).await,
        Err(_) => return,
    };
    if let Err(error) = kept {
        tracing::debug!(dataset = %table.id().dataset, error = flowline_base::chain(&error), "what was counted is not kept");
        return;
    }
    let old: Vec<String> = files.iter().filter(|file| **file != path).cloned().collect();
    if let Err(error) = table.delete_beside(&old).await {
        tracing::debug!(dataset = %table.id().dataset, error = flowline_base::chain(&error), "old counts are left behind");
    }
}
