//! How far a transform's table is: what its last commit says, and what the ledger knows beyond it.

use std::collections::BTreeMap;

use flowline_lake::{HistoryEntry, Table};
use flowline_ledger::Ledger;
use flowline_model::{Commit, DatasetName, Finding, Outcome, Run};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ProcessError;
use crate::stream::StreamState;

/// The application id under which a transform commits.
pub(super) fn app_id(dataset: &DatasetName) -> String {
    format!("{dataset}/sql")
}

/// What a transform leaves in its commits: the whole run, so that the ledger can be completed from it, and what the
/// rows were computed with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CommitInfo {
    /// The run, but for its commit, which it does not know yet.
    #[serde(flatten)]
    pub run: Run,
    /// The fingerprint of the transform.
    pub definition: String,
    /// In which way the table was brought up, and why.
    pub how: String,
    /// For a stream: how far event time has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamState>,
    /// What was found about the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// How far a transform's table is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The version of the transform's transactions; none before its first commit.
    pub transaction: Option<i64>,
    /// The fingerprint that the table was computed with.
    pub definition: Option<String>,
    /// The versions of its inputs that are in it.
    pub consumed: BTreeMap<DatasetName, i64>,
    /// The last run that committed.
    pub run: Option<Run>,
    /// For a stream: how far event time has come.
    pub stream: Option<StreamState>,
    /// What that run found.
    pub findings: Vec<Finding>,
}

/// Commits of others (compaction) that are looked through for the last one of the transform.
const LOOK_BACK_MAX: usize = 4096;

/// Reads how far a table is. Costs one small read, and a few more after compactions.
pub(super) async fn standing(
    table: &Table,
    ledger: &dyn Ledger,
    hop: &DatasetName,
) -> Result<Standing, ProcessError> {
    let reading = || format!("reading the state of `{hop}`");
    let app_id = app_id(hop);
    let Some(version) = table.refresh().await.map_err(ProcessError::lake(reading()))? else {
        return Ok(Standing::default());
    };
    let transaction = table.transaction_version(&app_id).await.map_err(ProcessError::lake(reading()))?;
    if transaction.is_none() {
        return Ok(Standing::default());
    }
    let mut standing = Standing { transaction, ..Standing::default() };
    // Without the commit that says what was read (its log is no longer kept), everything is computed again.
    let Some(info) = last_info(table, hop).await? else { return Ok(standing) };
    standing.consumed = consumed(&info.run);
    standing.definition = Some(info.definition);
    standing.run = Some(info.run);
    standing.stream = info.stream;
    standing.findings = info.findings;
    if ledger_is_ours(ledger, hop, version).await? {
        for position in ledger.positions(Some(hop)).await? {
            if let Ok(input) = position.input.parse() {
                let known = standing.consumed.entry(input).or_insert(position.next);
                *known = position.next.max(*known);
            }
        }
    }
    Ok(standing)
}

/// The versions that a table has read and how far event time has come in it, from its own commits alone.
pub(crate) async fn last_standing(
    table: &Table,
    hop: &DatasetName,
) -> Result<Option<(BTreeMap<DatasetName, i64>, Option<StreamState>)>, ProcessError> {
    let version = table.refresh().await;
    if version.map_err(ProcessError::lake(format!("reading the state of `{hop}`")))?.is_none() {
        return Ok(None);
    }
    Ok(last_info(table, hop).await?.map(|info| (consumed(&info.run), info.stream)))
}

/// The version of a transform's transactions that is committed; none before its first commit.
pub(crate) async fn last_transaction(table: &Table, hop: &DatasetName) -> Result<Option<i64>, ProcessError> {
    let version = table.transaction_version(&app_id(hop)).await;
    version.map_err(ProcessError::lake(format!("reading the state of `{hop}`")))
}

/// Whether the ledger's positions may be ahead of the table for a good reason (a run found nothing to do), and not
/// because the table was put back to an older state.
async fn ledger_is_ours(ledger: &dyn Ledger, hop: &DatasetName, version: i64) -> Result<bool, ProcessError> {
    let latest = ledger.commits(Some(hop), 1).await?;
    Ok(latest.first().is_some_and(|commit| commit.version <= version))
}

fn consumed(run: &Run) -> BTreeMap<DatasetName, i64> {
    run.inputs.iter().filter_map(|range| Some((range.input.parse().ok()?, range.to))).collect()
}

async fn last_info(table: &Table, hop: &DatasetName) -> Result<Option<CommitInfo>, ProcessError> {
    let mut limit = 4;
    while limit <= LOOK_BACK_MAX {
        let entries = table
            .history(None, limit)
            .await
            .map_err(ProcessError::lake(format!("reading the history of `{hop}`")))?;
        if let Some(info) = entries.iter().find_map(|entry| info_of(entry, hop)) {
            return Ok(Some(info));
        }
        if entries.len() < limit {
            return Ok(None);
        }
        limit *= 8;
    }
    Ok(None)
}

/// What a transform left in a commit, with the commit filled in; none when the commit is not a transform's.
pub(super) fn info_of(entry: &HistoryEntry, hop: &DatasetName) -> Option<CommitInfo> {
    let app_id = app_id(hop);
    entry.transactions.iter().find(|(id, _)| *id == app_id)?;
    let mut info: CommitInfo = serde_json::from_value(entry.info.clone()?).ok()?;
    info.run.outcome = Outcome::Succeeded;
    info.run.commit = Some(Commit {
        dataset: hop.clone(),
        version: entry.version,
        committed_at: entry.committed_at,
        latency_us: info.run.commit.as_ref().map_or(0, |commit| commit.latency_us),
        event_time_max: info.run.commit.as_ref().and_then(|commit| commit.event_time_max),
        received_at_min: None,
    });
    Some(info)
}

/// The info as JSON.
pub(super) fn info_value(info: &CommitInfo) -> Result<Value, ProcessError> {
    serde_json::to_value(info)
        .map_err(|error| ProcessError::Engine(format!("a run cannot be written as JSON: {error}")))
}
