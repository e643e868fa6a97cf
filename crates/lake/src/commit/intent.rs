//! The loop of a commit: plan against the newest known version, write the next one, and when another commit has taken
//! that place, plan again.

use std::sync::Arc;
use std::time::Instant;

use flowline_base::FileId;

use super::info;
use super::put::{Put, put};
use crate::delta::actions::{Add, Commit, Metadata, Protocol, Remove, Transaction};
use crate::delta::protocol;
use crate::delta::snapshot::{Moved, Snapshot};
use crate::table::Shared;
use crate::{Committed, LakeError, OffsetRange};

/// How often a commit is planned again before it is given up; each time another commit got in between.
const ATTEMPTS: u32 = 32;
/// How many commits are looked through for the one that moved an application id.
const LOOK_BACK: i64 = 128;

/// What a commit is for, whatever the version it is planned against.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) operation: &'static str,
    /// `Append` or `Overwrite`, as Delta's history has it.
    pub(crate) mode: &'static str,
    /// Nothing of the table was read to make it.
    pub(crate) blind: bool,
    pub(crate) transaction: Option<(String, i64)>,
    pub(crate) expected: Option<Option<i64>>,
    pub(crate) info: serde_json::Value,
    /// Rows that lie elsewhere.
    pub(crate) elsewhere: Vec<OffsetRange>,
}

/// What a commit does to one version of a table.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) protocol: Option<Protocol>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) adds: Vec<Add>,
    pub(crate) removes: Vec<Remove>,
    /// Rows of the files that are removed, as far as is known.
    pub(crate) rows_removed: u64,
}

/// Commits what `plan` makes of the newest version. The table must exist.
pub(crate) async fn run(
    table: &Arc<Shared>,
    intent: &Intent,
    plan: impl Fn(&Snapshot) -> Result<Change, LakeError>,
) -> Result<Committed, LakeError> {
    let started = table.lake.settings.clock.instant();
    let _turn = table.turn.lock().await;
    let mut snapshot = table.some_version().await?;
    for attempt in 0..ATTEMPTS {
        if let Some(done) = already(table, &snapshot, intent, started).await? {
            return Ok(done);
        }
        let change = plan(&snapshot)?;
        let rows_removed = change.rows_removed;
        refuse_removal(&snapshot, &change)?;
        let commit = assemble(table, &snapshot, intent, change);
        let version = snapshot.version + 1;
        // Not held over the write, so that applying the commit need not copy the list of files.
        drop(snapshot);
        match put(table, version, &commit).await? {
            Put::Done(commit) => return Ok(finish(table, version, *commit, rows_removed, started)),
            Put::Lost => {
                tracing::debug!(table = %table.name, version, attempt, "another commit took the version");
                metrics::counter!("flowline_lake_commit_conflicts_total", table.labels().iter()).increment(1);
                snapshot = table.newest().await?.ok_or_else(|| table.no_table())?;
            }
        }
    }
    Err(LakeError::Transient {
        action: "committing to",
        path: table.name.to_string(),
        reason: format!("{ATTEMPTS} other commits got in between"),
    })
}

/// The commit when it has happened already: an earlier attempt whose answer was lost.
///
/// # Errors
/// [`LakeError::Fenced`] when the position is not where the writer believes it is.
async fn already(
    table: &Shared,
    snapshot: &Snapshot,
    intent: &Intent,
    started: Instant,
) -> Result<Option<Committed>, LakeError> {
    let Some((app_id, to)) = &intent.transaction else { return Ok(None) };
    let moved = snapshot.transactions.get(app_id).copied();
    let as_believed = match intent.expected {
        Some(expected) => moved.map(|moved| moved.to) == expected,
        None => moved.is_none_or(|moved| moved.to < *to),
    };
    if as_believed {
        return Ok(None);
    }
    let found = find_mover(table, snapshot, app_id, moved).await?;
    if let Some((version, commit)) = &found {
        let own_run = commit.info.run().is_some() && commit.info.run() == info::run_of(&intent.info);
        let own_process = commit.info.flowline_writer.as_deref() == Some(&table.lake.writer);
        if own_run || own_process && commit.transaction(app_id) == Some(*to) {
            return Ok(Some(committed(table, *version, commit, 0, started)));
        }
        if own_process {
            let reason = format!(
                "moved `{app_id}` to {:?} by an earlier attempt of this writer",
                commit.transaction(app_id)
            );
            return Err(LakeError::Conflict { table: table.name.to_string(), version: *version, reason });
        }
    }
    let believed = intent.expected.flatten().map_or("nothing".to_owned(), |expected| expected.to_string());
    let is = moved.map_or("nothing".to_owned(), |moved| moved.to.to_string());
    let by = found.map_or(String::new(), |(version, _)| format!(" since version {version} of the table"));
    let reason =
        format!("this writer expected {believed} to be committed and wanted to commit {to}, but {is} is{by}");
    Err(LakeError::Fenced { table: table.name.to_string(), app_id: app_id.clone(), reason })
}

/// The commit that moved an application id to where it is, as far as the recent log shows it.
async fn find_mover(
    table: &Shared,
    snapshot: &Snapshot,
    app_id: &str,
    moved: Option<Moved>,
) -> Result<Option<(i64, Commit)>, LakeError> {
    let Some(moved) = moved else { return Ok(None) };
    if let Some(at) = moved.at {
        return Ok(table.log.commit(at).await?.map(|commit| (at, commit)));
    }
    for version in (0.max(snapshot.version - LOOK_BACK)..=snapshot.version).rev() {
        match table.log.commit(version).await? {
            Some(commit) if commit.transaction(app_id).is_some() => return Ok(Some((version, commit))),
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

fn refuse_removal(snapshot: &Snapshot, change: &Change) -> Result<(), LakeError> {
    let data_removed = change.removes.iter().any(|remove| remove.data_change);
    if data_removed && protocol::append_only(&snapshot.metadata) {
        let reason = "its property `delta.appendOnly` forbids that rows are removed".to_owned();
        return Err(LakeError::Input { table: snapshot.table.to_string(), reason });
    }
    Ok(())
}

fn assemble(table: &Shared, snapshot: &Snapshot, intent: &Intent, change: Change) -> Commit {
    let now = table.lake.settings.clock.now().timestamp_millis();
    // Never before the commit that it follows, so that time travel finds versions in their order.
    let timestamp = now.max(snapshot.committed_at.timestamp_millis());
    let commit_id = FileId::generate().to_string();
    let transactions = intent.transaction.iter().map(|(app_id, version)| Transaction {
        app_id: app_id.clone(),
        version: *version,
        last_updated: Some(timestamp),
    });
    let transactions = transactions.collect();
    let info = info::of(intent, &change, Some(snapshot), timestamp, commit_id, &table.lake.writer);
    let Change { protocol, metadata, adds, removes, .. } = change;
    Commit { info, protocol, metadata, transactions, adds, removes }
}

fn finish(
    table: &Arc<Shared>,
    version: i64,
    commit: Commit,
    rows_removed: u64,
    started: Instant,
) -> Committed {
    let committed = committed(table, version, &commit, rows_removed, started);
    // The commit is durable whatever becomes of its copy in memory, which is loaded again when it is needed.
    if let Err(error) = table.advance(version, commit) {
        tracing::warn!(table = %table.name, version, error = %flowline_base::chain(&error), "a commit could not be taken over");
    }
    metrics::counter!("flowline_lake_commits_total", table.labels().iter()).increment(1);
    metrics::counter!("flowline_lake_commit_rows_total", table.labels().iter()).increment(committed.rows);
    metrics::counter!("flowline_lake_commit_bytes_total", table.labels().iter()).increment(committed.bytes);
    metrics::histogram!("flowline_lake_commit_latency_seconds", table.labels().iter())
        .record(committed.latency.as_secs_f64());
    crate::upkeep::after_commit(table, version);
    table.lake.commits.send_modify(|commits| *commits += 1);
    committed
}

fn committed(
    table: &Shared,
    version: i64,
    commit: &Commit,
    rows_removed: u64,
    started: Instant,
) -> Committed {
    let clock = &table.lake.settings.clock;
    Committed {
        version,
        committed_at: commit.info.committed_at().unwrap_or_else(|| clock.now()),
        rows: commit.rows_added(),
        files: commit.adds.len() as u64,
        bytes: commit.adds.iter().map(|add| u64::try_from(add.size).unwrap_or_default()).sum(),
        rows_removed,
        files_removed: commit.removes.len() as u64,
        latency: clock.instant().saturating_duration_since(started),
    }
}
