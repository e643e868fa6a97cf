//! Standings: pointers to the runs that say how a hop is doing.

use std::collections::HashMap;

use flowline_base::RunId;
use flowline_model::{Commit, Outcome, Run, RunKind};
use sqlx::AnyConnection;

use crate::database::Database;
use crate::fault::Fault;
use crate::row::{Fields, micros};
use crate::{Standing, runs};

const STARTED: &str = "INSERT INTO standings (hop, kind, newest_run, failures) VALUES ($1, $2, $3, 0) \
     ON CONFLICT (hop, kind) DO UPDATE SET newest_run = excluded.newest_run";

/// What was recorded last stands, whatever clocks say; only a commit has a version to go by.
const ENDED: &str = "INSERT INTO standings (hop, kind, newest_run, ended_run, succeeded_run, committed_run, \
     committed_version, failures, failing_since) VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (hop, kind) DO UPDATE SET \
     newest_run = excluded.newest_run, \
     ended_run = excluded.ended_run, \
     succeeded_run = COALESCE(excluded.succeeded_run, standings.succeeded_run), \
     committed_run = CASE WHEN excluded.committed_version > COALESCE(standings.committed_version, -1) \
         THEN excluded.committed_run ELSE standings.committed_run END, \
     committed_version = CASE WHEN excluded.committed_version > COALESCE(standings.committed_version, -1) \
         THEN excluded.committed_version ELSE standings.committed_version END, \
     failures = CASE WHEN excluded.failures = 0 THEN 0 ELSE standings.failures + 1 END, \
     failing_since = CASE WHEN excluded.failures = 0 THEN NULL \
         ELSE COALESCE(standings.failing_since, excluded.failing_since) END";

pub(crate) const RUNS: &str = "SELECT * FROM runs WHERE id IN (SELECT newest_run FROM standings \
     UNION SELECT ended_run FROM standings UNION SELECT succeeded_run FROM standings \
     UNION SELECT committed_run FROM standings)";

/// A run is the newest.
pub(crate) async fn started(connection: &mut AnyConnection, run: &Run) -> Result<(), Fault> {
    sqlx::query(STARTED)
        .bind(run.hop.to_string())
        .bind(run.kind.as_str())
        .bind(run.id.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// A run has ended. One that was cancelled says nothing about how the hop is doing: it is the newest, and that is all.
pub(crate) async fn ended(connection: &mut AnyConnection, run: &Run) -> Result<(), Fault> {
    if run.outcome == Outcome::Cancelled {
        return started(connection, run).await;
    }
    let id = run.id.to_string();
    let failed = run.outcome == Outcome::Failed;
    sqlx::query(ENDED)
        .bind(run.hop.to_string())
        .bind(run.kind.as_str())
        .bind(id.clone())
        .bind((!failed).then(|| id.clone()))
        .bind(run.commit.is_some().then_some(id))
        .bind(run.commit.as_ref().map(|commit| commit.version))
        .bind(i64::from(failed))
        .bind(failed.then(|| micros(run.finished_at.unwrap_or(run.started_at))))
        .execute(connection)
        .await?;
    Ok(())
}

/// How each hop stands with each kind of run, by hop.
pub(crate) async fn list(database: &Database) -> Result<Vec<Standing>, Fault> {
    let mut snapshot = database.snapshot().await?;
    let rows = sqlx::query("SELECT * FROM standings ORDER BY hop, kind").fetch_all(&mut *snapshot).await?;
    let mut known = HashMap::new();
    for row in sqlx::query(RUNS).fetch_all(&mut *snapshot).await? {
        let run = runs::read(&row)?;
        known.insert(run.id, run);
    }
    snapshot.commit().await?;
    rows.iter().map(|row| read(&Fields::new(row, "standing"), &known)).collect()
}

fn read(fields: &Fields<'_>, known: &HashMap<RunId, Run>) -> Result<Standing, Fault> {
    let run = |column| -> Result<Option<Run>, Fault> {
        Ok(fields.parsed_or_none::<RunId>(column)?.and_then(|id| known.get(&id).cloned()))
    };
    Ok(Standing {
        hop: fields.parsed("hop")?,
        kind: fields.word("kind")?,
        newest: run("newest_run")?.ok_or_else(|| fields.bad("newest_run", "the run is gone"))?,
        ended: run("ended_run")?,
        succeeded: run("succeeded_run")?,
        committed: run("committed_run")?,
        failures: fields.small_count("failures")?,
        failing_since: fields.time_or_none("failing_since")?,
    })
}

/// The newest commit of each hop that changed rows.
pub(crate) fn newest_commits(standings: Vec<Standing>) -> Vec<Commit> {
    let mut newest: Vec<Commit> = Vec::new();
    let changed_rows = standings.into_iter().filter(|standing| standing.kind != RunKind::Compact);
    for commit in changed_rows.filter_map(|standing| standing.committed?.commit) {
        match newest.iter_mut().find(|other| other.dataset == commit.dataset) {
            Some(other) if other.version < commit.version => *other = commit,
            Some(_) => {}
            None => newest.push(commit),
        }
    }
    newest
}
