//! What keeps the ledger true after a crash and small over time.

use chrono::{DateTime, Utc};
use flowline_base::ErrorKind;
use flowline_model::{Outcome, RunError};

use crate::RunFilter;
use crate::database::Database;
use crate::fault::Fault;
use crate::row::micros;
use crate::{checks, record, runs};

const ABANDONED: &str = "the node stopped while this was under way";

/// Rows that one transaction deletes: some milliseconds, during which no run can be recorded on SQLite.
const PRUNE_ROWS: i64 = 500;

const CLOSE_ATTEMPTS: &str = "UPDATE attempts SET outcome = 'failed', finished_at = $1, error_kind = $2, \
     error_message = $3 WHERE outcome = 'running'";

pub(crate) const PRUNE_RUNS: &str = "DELETE FROM runs WHERE id IN ( \
         SELECT id FROM runs WHERE started_at < $1 AND finished_at < $1 AND id NOT IN ( \
             SELECT newest_run FROM standings \
             UNION SELECT ended_run FROM standings WHERE ended_run IS NOT NULL \
             UNION SELECT succeeded_run FROM standings WHERE succeeded_run IS NOT NULL \
             UNION SELECT committed_run FROM standings WHERE committed_run IS NOT NULL \
         ) ORDER BY started_at, id LIMIT $2)";

const PRUNE_ATTEMPTS: &str = "DELETE FROM attempts WHERE (run_id, number) IN ( \
         SELECT run_id, number FROM attempts WHERE started_at < $1 \
         AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = attempts.run_id) \
         ORDER BY run_id, number LIMIT $2)";

/// Marks what is left running as failed; returns the number of runs.
pub(crate) async fn close_abandoned_runs(database: &Database, at: DateTime<Utc>) -> Result<u64, Fault> {
    let running =
        RunFilter { outcome: Some(Outcome::Running), limit: Some(u32::MAX), ..RunFilter::default() };
    let mut closed = 0;
    for mut run in runs::list(database, &running).await? {
        run.outcome = Outcome::Failed;
        run.finished_at = Some(at);
        run.error = Some(RunError { kind: ErrorKind::Transient, message: ABANDONED.to_owned() });
        closed += u64::from(record::record_run(database, &run, &[], &[]).await?);
    }
    let mut transaction = database.begin().await?;
    sqlx::query(CLOSE_ATTEMPTS)
        .bind(micros(at))
        .bind(ErrorKind::Transient.as_str())
        .bind(ABANDONED)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(closed)
}

/// Deletes one portion of old runs, or of the attempts of runs that are gone; returns the rows deleted.
pub(crate) async fn prune_portion(
    database: &Database,
    what: Prunable,
    before: DateTime<Utc>,
) -> Result<u64, Fault> {
    let statement = match what {
        Prunable::Runs => PRUNE_RUNS,
        Prunable::Attempts => PRUNE_ATTEMPTS,
        Prunable::Checks => return checks::prune_portion(database, before, PRUNE_ROWS).await,
    };
    let mut transaction = database.begin().await?;
    let deleted = sqlx::query(statement)
        .bind(micros(before))
        .bind(PRUNE_ROWS)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    transaction.commit().await?;
    Ok(deleted)
}

/// What is deleted in portions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prunable {
    Runs,
    Attempts,
    Checks,
}
