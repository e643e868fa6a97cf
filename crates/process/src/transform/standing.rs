//! How far a transform's table is: what its last commit says, and what the ledger knows beyond it.

use std::collections::{BTreeMap, BTreeSet};

use flowline_lake::{HistoryEntry, Table, TableId};
use flowline_ledger::Ledger;
use flowline_model::{Commit, Dataset, DatasetName, Finding, Origin, Outcome, Run};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shape::shape;
use crate::stream::{StreamState, shared_inputs};
use crate::{ProcessError, QueryEngine};

/// The application id under which a transform commits; each part of a divided stream has one of its own.
pub(super) fn app_id(dataset: &DatasetName, part: Option<i32>) -> String {
    match part {
        Some(partition) => format!("{dataset}/stream/{partition}"),
        None => format!("{dataset}/sql"),
    }
}

/// The parts that a transform runs in: one for each partition of the log that the inputs of a divided stream come from. Of a
/// topic that others write, those that have been landed of.
pub(crate) async fn parts_of(
    engine: &QueryEngine,
    dataset: &Dataset,
) -> Result<Vec<Option<i32>>, ProcessError> {
    if !dataset.divided() {
        return Ok(vec![None]);
    }
    let shared = shared_inputs(engine.project(), dataset, &engine.graph().inputs(&dataset.name).tables);
    let input = shared.first().and_then(|input| engine.project().dataset(input));
    match input.map(|input| (input, &input.origin)) {
        Some((_, Origin::Http(origin))) => {
            Ok((0..i32::try_from(origin.partitions).unwrap_or(i32::MAX)).map(Some).collect())
        }
        Some((input, Origin::Kafka(_))) => landed_of(&engine.lake().table(TableId::of(input)), input).await,
        _ => Ok(Vec::new()),
    }
}

/// The partitions of a topic that a table was landed from.
async fn landed_of(table: &Table, input: &Dataset) -> Result<Vec<Option<i32>>, ProcessError> {
    let reading = || format!("reading what was landed into `{}`", input.name);
    table.refresh().await.map_err(ProcessError::lake(reading()))?;
    let prefix = format!("{}/kafka/", input.name);
    let ids = table.app_ids();
    let partition = |id: &String| id.strip_prefix(&prefix)?.rsplit_once('/')?.1.parse().ok();
    let partitions: BTreeSet<i32> = ids.iter().filter_map(partition).collect();
    Ok(partitions.into_iter().map(Some).collect())
}

/// The parts that have committed to a table; the one whole of a transform that is not divided.
pub(crate) async fn parts_in(table: &Table, dataset: &Dataset) -> Result<Vec<Option<i32>>, ProcessError> {
    if !dataset.divided() {
        return Ok(vec![None]);
    }
    let reading = || format!("reading the state of `{}`", dataset.name);
    table.refresh().await.map_err(ProcessError::lake(reading()))?;
    let prefix = format!("{}/stream/", dataset.name);
    let ids = table.app_ids();
    let mut parts: Vec<i32> =
        ids.iter().filter_map(|app_id| app_id.strip_prefix(&prefix)?.parse().ok()).collect();
    parts.sort_unstable();
    Ok(parts.into_iter().map(Some).collect())
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
    /// For a part of a divided stream: the number of the table's shape that it was computed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<i64>,
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
    /// For a part of a divided stream: the number of the table's shape.
    pub shape: Option<i64>,
}

/// Commits of others (compaction) that are looked through for the last one of the transform.
const LOOK_BACK_MAX: usize = 4096;

/// Reads how far a table is. Costs one small read, and a few more after compactions.
pub(super) async fn standing(
    table: &Table,
    ledger: &dyn Ledger,
    hop: &DatasetName,
    part: Option<i32>,
) -> Result<Standing, ProcessError> {
    let reading = || format!("reading the state of `{hop}`");
    let app_id = app_id(hop, part);
    let Some(version) = table.refresh().await.map_err(ProcessError::lake(reading()))? else {
        return Ok(Standing::default());
    };
    let transaction = table.transaction_version(&app_id).await.map_err(ProcessError::lake(reading()))?;
    let mut standing = Standing { transaction, ..Standing::default() };
    if part.is_some() {
        standing.shape = shape(table, hop).await.map_err(ProcessError::lake(reading()))?;
    }
    if transaction.is_none() {
        return Ok(standing);
    }
    // Without the commit that says what was read (its log is no longer kept), everything is computed again.
    let Some(info) = last_info(table, hop, part).await? else { return Ok(standing) };
    // So it is where the table took another shape since, and the rows of this part are gone.
    if part.is_some() && info.shape != standing.shape {
        return Ok(standing);
    }
    standing.consumed = consumed(&info.run, part);
    standing.definition = Some(info.definition);
    standing.run = Some(info.run);
    standing.stream = info.stream;
    standing.findings = info.findings;
    if ledger_is_ours(table, ledger, hop, version).await? {
        for position in ledger.positions(Some(hop)).await? {
            if let Some(input) = input_of(&position.input, part) {
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
    part: Option<i32>,
) -> Result<Option<(BTreeMap<DatasetName, i64>, Option<StreamState>)>, ProcessError> {
    let version = table.refresh().await;
    if version.map_err(ProcessError::lake(format!("reading the state of `{hop}`")))?.is_none() {
        return Ok(None);
    }
    Ok(last_info(table, hop, part).await?.map(|info| (consumed(&info.run, part), info.stream)))
}

/// The version of a transform's transactions that is committed; none before its first commit.
pub(crate) async fn last_transaction(
    table: &Table,
    hop: &DatasetName,
    part: Option<i32>,
) -> Result<Option<i64>, ProcessError> {
    let version = table.transaction_version(&app_id(hop, part)).await;
    version.map_err(ProcessError::lake(format!("reading the state of `{hop}`")))
}

/// Whether the ledger's positions may be ahead of the table for a good reason (a run found nothing to do), and not
/// because the table was put back to an older state.
async fn ledger_is_ours(
    table: &Table,
    ledger: &dyn Ledger,
    hop: &DatasetName,
    version: i64,
) -> Result<bool, ProcessError> {
    let latest = ledger.commits(Some(hop), 1).await?.first().map(|commit| commit.version);
    if latest.is_none_or(|latest| latest <= version) {
        return Ok(latest.is_some());
    }
    // Another part of a divided stream may have committed since the table was looked at.
    let version = table.refresh().await;
    Ok(latest <= version.map_err(ProcessError::lake(format!("reading the state of `{hop}`")))?)
}

fn consumed(run: &Run, part: Option<i32>) -> BTreeMap<DatasetName, i64> {
    run.inputs.iter().filter_map(|range| Some((input_of(&range.input, part)?, range.to))).collect()
}

/// What an input is called in positions: the dataset, and for a part of a divided stream also the partition.
pub(super) fn called(input: &DatasetName, part: Option<i32>) -> String {
    match part {
        Some(partition) => format!("{input}/{partition}"),
        None => input.to_string(),
    }
}

/// The dataset that is called so where this part is spoken of.
fn input_of(called: &str, part: Option<i32>) -> Option<DatasetName> {
    match part {
        Some(partition) => {
            let (input, of) = called.rsplit_once('/')?;
            input.parse().ok().filter(|_| of.parse() == Ok(partition))
        }
        None => called.parse().ok(),
    }
}

async fn last_info(
    table: &Table,
    hop: &DatasetName,
    part: Option<i32>,
) -> Result<Option<CommitInfo>, ProcessError> {
    // Others commit to the table of a divided stream, too: its last commit may be far back.
    let reading = || format!("reading the history of `{hop}`");
    let mover = table.mover(&app_id(hop, part)).await.map_err(ProcessError::lake(reading()))?;
    if let Some(mover) = mover {
        return Ok(info_of(&mover, hop, part));
    }
    let app_id = app_id(hop, part);
    let moves = |entry: &&HistoryEntry| entry.transactions.iter().any(|(id, _)| *id == app_id);
    let mut limit = 4;
    while limit <= LOOK_BACK_MAX {
        let entries = table.history(None, limit).await.map_err(ProcessError::lake(reading()))?;
        if let Some(mover) = entries.iter().find(moves) {
            return Ok(info_of(mover, hop, part));
        }
        if entries.len() < limit {
            return Ok(None);
        }
        limit *= 8;
    }
    Ok(None)
}

/// What a transform left in a commit, with the commit filled in; none when the commit is not a transform's.
pub(super) fn info_of(entry: &HistoryEntry, hop: &DatasetName, part: Option<i32>) -> Option<CommitInfo> {
    let app_id = app_id(hop, part);
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
