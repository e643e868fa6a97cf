//! The one place where landed rows become visible: quarantine first, then rows and position in one commit, then the
//! ledger.
//!
//! Owns: the order of these three, what each carries, and completing the third from the second after a crash. Does
//! not own: which rows there are.

use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::TimeDelta;
use flowline_base::RunId;
use flowline_lake::{HistoryEntry, OffsetRange, StagedFiles, Table, TableCommit};
use flowline_ledger::LandedFile;
use flowline_model::{CheckResult, Commit, DatasetName, Finding, Outcome, RecordedProfile, Run, RunKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::Audited;
use crate::replay::{Replayed, take_out};
use crate::{KeptInLog, LandContext, LandError};

/// How many commits without a recorded run are looked at when a lander opens: far more than a crash can leave, and
/// enough to rebuild a ledger that was lost for a table that is weeks old.
const RECOVERED_MAX: usize = 500_000;
/// Where several land, so many commits before the newest that is known are looked at, if they are this young.
const SHARED_BACK: i64 = 64;
const SHARED_WITHIN: TimeDelta = TimeDelta::hours(1);

/// A position as Delta keeps it: an application id and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// `shop.orders/log/0`.
    pub app_id: String,
    /// What this writer believes is committed.
    pub committed: Option<i64>,
    /// What will be.
    pub next: i64,
}

/// Everything that one flush makes visible.
#[derive(Debug)]
pub struct Flush {
    /// The run, still `running`, its counts and inputs complete.
    pub run: Run,
    /// Rows for the data table.
    pub rows: StagedFiles,
    /// Rows of it that stay in the log; none when none do.
    pub(crate) kept: Option<KeptFlush>,
    /// Its position.
    pub position: Transaction,
    /// Rejected records for the quarantine table, and the position of that table; none when there are none.
    pub rejected: Option<(StagedFiles, Transaction)>,
    /// Files that were landed whole.
    pub files: Vec<LandedFile>,
    /// For a replay: what it takes out of the quarantine.
    pub replayed: Vec<Replayed>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What checks say of the rows, and what they look like, where it is time to record that.
    pub(crate) audited: Audited,
    /// The newest event time among the rows, microseconds.
    pub event_time_max: Option<i64>,
    /// The oldest receipt among the records, microseconds.
    pub received_at_min: Option<i64>,
}

/// Rows that stay in the log.
#[derive(Debug)]
pub(crate) struct KeptFlush {
    pub(crate) kept: Arc<KeptInLog>,
    pub(crate) range: OffsetRange,
    pub(crate) batches: Vec<RecordBatch>,
    /// Offsets of records that make no row.
    pub(crate) rejected: Vec<i64>,
}

/// What goes into the data table's `commitInfo`, so that the ledger can be completed from it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CommitNote {
    /// Whose commit it is; the lake recognizes its own commit by it.
    pub(crate) id: RunId,
    pub(crate) run: Run,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<LandedFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_time_max: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    received_at_min: Option<i64>,
    /// For a replay: what it takes out of the quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replayed: Vec<Replayed>,
}

/// Commits the flush and records its run. After an error the same flush may be offered again: what is committed is
/// recognized and not committed twice. A replay takes its records out of the quarantine last: until then they stand in
/// both tables, which the note in the commit lets the next one to open them mend.
pub async fn commit(
    context: &LandContext,
    data: &Table,
    quarantine: &Table,
    flush: &Flush,
) -> Result<Run, LandError> {
    if let Some((staged, position)) = &flush.rejected {
        let info = json!({ "id": flush.run.id });
        quarantine.commit(table_commit(staged.clone(), position, info)).await?;
    }
    let mut run = flush.run.clone();
    run.outcome = Outcome::Succeeded;
    let note = CommitNote {
        id: run.id,
        run: run.clone(),
        files: flush.files.clone(),
        findings: flush.findings.clone(),
        event_time_max: flush.event_time_max,
        received_at_min: flush.received_at_min,
        replayed: flush.replayed.clone(),
    };
    let info =
        serde_json::to_value(&note).map_err(|error| LandError::Internal { reason: error.to_string() })?;
    let mut commit = table_commit(flush.rows.clone(), &flush.position, info);
    if let Some(KeptFlush { kept, range, batches, rejected }) = &flush.kept {
        kept.set_aside(range, rejected).await?;
        if range.rows != Some(0) {
            // Before anyone hears of them, so that nobody needs to decode them again.
            kept.add(range, batches.clone());
            commit.elsewhere.push(range.clone());
        }
    }
    let committed = data.commit(commit).await?;
    run.finished_at = Some(committed.committed_at);
    run.counts.bytes_written = committed.bytes;
    run.commit = Some(Commit {
        dataset: run.hop.clone(),
        version: committed.version,
        committed_at: committed.committed_at,
        latency_us: u64::try_from(committed.latency.as_micros()).unwrap_or(u64::MAX),
        event_time_max: flush.event_time_max.and_then(chrono::DateTime::from_timestamp_micros),
        received_at_min: flush.received_at_min.and_then(chrono::DateTime::from_timestamp_micros),
    });
    context.ledger.record_run(&run, &flush.files, &flush.findings).await?;
    record_audit(context, &run, committed.version, flush).await?;
    if !flush.replayed.is_empty() {
        take_out(quarantine, run.id, &flush.replayed, &flush.position).await?;
    }
    Ok(run)
}

/// Records what checks say of the rows of a commit, and what they look like.
async fn record_audit(
    context: &LandContext,
    run: &Run,
    version: i64,
    flush: &Flush,
) -> Result<(), LandError> {
    let Audited { checks, profiles } = &flush.audited;
    if !checks.is_empty() {
        let of_commit = |result: &CheckResult| CheckResult {
            version: Some(version),
            run: Some(run.id),
            ..result.clone()
        };
        context.ledger.record_checks(&checks.iter().map(of_commit).collect::<Vec<_>>()).await?;
    }
    if !profiles.is_empty() {
        let profiled_at = run.finished_at.unwrap_or(run.started_at);
        let recorded = profiles.iter().map(|profile| RecordedProfile {
            dataset: run.hop.clone(),
            version,
            profiled_at,
            profile: profile.clone(),
        });
        context.ledger.record_profiles(&recorded.collect::<Vec<_>>()).await?;
    }
    Ok(())
}

pub(crate) fn table_commit(staged: StagedFiles, position: &Transaction, info: Value) -> TableCommit {
    TableCommit {
        transaction: Some((position.app_id.clone(), position.next)),
        expected_transaction: Some(position.committed),
        info,
        ..TableCommit::append(staged)
    }
}

/// Whose commits a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landers {
    /// Those of one lander: its next commit is recorded after the one before.
    One,
    /// Those of several, which share its partitions: one may have gone on where another was cut off.
    Several,
}

/// Records the runs of commits that the ledger lacks: those after the newest commit it knows; of several landers also the
/// last before it ([`SHARED_BACK`]). Returns how many. Called when a lander opens; costs one look at the newest commits.
pub(crate) async fn complete_ledger(
    context: &LandContext,
    data: &Table,
    landers: Landers,
) -> Result<u64, LandError> {
    let dataset = &data.id().dataset;
    // The newest commit of a landing, not of any run: a compaction may have been recorded since.
    let standings = context.ledger.standings().await?;
    let landings =
        standings.into_iter().filter(|standing| standing.hop == *dataset && standing.kind == RunKind::Land);
    let known = landings.filter_map(|standing| standing.committed?.commit).map(|commit| commit.version).max();
    let after = match landers {
        Landers::One => known,
        Landers::Several => known.map(|known| known - SHARED_BACK).filter(|after| *after >= 0),
    };
    let mut completed = 0;
    let mut entries = data.history(after, RECOVERED_MAX).await?;
    // What is older may be known no longer because it was pruned.
    let oldest = context.clock.now() - SHARED_WITHIN;
    entries.retain(|entry| known.is_none_or(|known| entry.version > known) || entry.committed_at > oldest);
    entries.sort_by_key(|entry| entry.version);
    for entry in entries {
        completed += u64::from(record_found(context, dataset, entry).await?);
    }
    Ok(completed)
}

/// Records the run of a commit that was found in the table's history; false when it was recorded before, or when the
/// commit is of no landing.
pub(crate) async fn record_found(
    context: &LandContext,
    dataset: &DatasetName,
    entry: HistoryEntry,
) -> Result<bool, LandError> {
    let Some(note) = entry.info.and_then(|info| serde_json::from_value::<CommitNote>(info).ok()) else {
        return Ok(false);
    };
    let mut run = note.run;
    run.finished_at = Some(entry.committed_at);
    run.counts.bytes_written = entry.bytes_added;
    run.commit = Some(Commit {
        dataset: dataset.clone(),
        version: entry.version,
        committed_at: entry.committed_at,
        latency_us: 0,
        event_time_max: note.event_time_max.and_then(chrono::DateTime::from_timestamp_micros),
        received_at_min: note.received_at_min.and_then(chrono::DateTime::from_timestamp_micros),
    });
    let recorded = context.ledger.record_run(&run, &note.files, &note.findings).await?;
    if recorded {
        tracing::warn!(%dataset, version = entry.version, run = %run.id, "a commit without a recorded run was recorded");
    }
    Ok(recorded)
}
