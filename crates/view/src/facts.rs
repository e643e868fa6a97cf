//! What several tables make of the same facts.

use std::collections::HashMap;
use std::time::Duration;

use flowline_ledger::Standing;
use flowline_model::{Balance, Commit, Counts, DatasetName, RunKind, Totals};

/// The word for a balance, and the records that are missing.
pub(crate) fn balance(counts: &Counts) -> (String, i64) {
    let (word, missing) = match counts.balance() {
        Balance::Balanced => ("balanced", 0),
        Balance::Unbalanced(missing) => ("unbalanced", missing),
        Balance::Reshaped => ("reshaped", 0),
    };
    (word.to_owned(), missing)
}

/// The gap of a hop, where it reads the log.
pub(crate) fn gap(totals: &Totals) -> Option<i64> {
    (totals.log_span != 0 || totals.read_from_log != 0).then(|| totals.gap())
}

/// The newest commit of each dataset that changed its rows.
pub(crate) fn newest_commits(standings: &[Standing]) -> HashMap<DatasetName, &Commit> {
    let mut newest: HashMap<DatasetName, &Commit> = HashMap::new();
    for standing in standings.iter().filter(|standing| standing.kind != RunKind::Compact) {
        if let Some(commit) = standing.committed.as_ref().and_then(|run| run.commit.as_ref()) {
            let known = newest.entry(commit.dataset.clone()).or_insert(commit);
            if known.version < commit.version {
                *known = commit;
            }
        }
    }
    newest
}

/// The newest version that the ledger knows, compactions included.
pub(crate) fn newest_version(standings: &[Standing], dataset: &DatasetName) -> Option<i64> {
    let of_dataset = standings.iter().filter(|standing| standing.hop == *dataset);
    of_dataset.filter_map(|standing| Some(standing.committed.as_ref()?.commit.as_ref()?.version)).max()
}

/// Whole seconds.
pub(crate) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
