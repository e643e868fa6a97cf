//! Attempts: the tries of runs.

use flowline_base::RunId;
use flowline_model::Attempt;

use crate::database::Database;
use crate::fault::Fault;
use crate::row::{Fields, micros, text};
use crate::runs::read_error;

/// What ended does not go back to running.
const UPSERT: &str = "INSERT INTO attempts (run_id, number, outcome, started_at, finished_at, error_kind, \
     error_message) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (run_id, number) DO UPDATE SET \
     outcome = excluded.outcome, started_at = excluded.started_at, finished_at = excluded.finished_at, \
     error_kind = excluded.error_kind, error_message = excluded.error_message \
     WHERE excluded.outcome <> 'running'";

/// Stores one try.
pub(crate) async fn record(database: &Database, attempt: &Attempt) -> Result<(), Fault> {
    let error = attempt.error.as_ref();
    let mut transaction = database.begin().await?;
    sqlx::query(UPSERT)
        .bind(attempt.run.to_string())
        .bind(i64::from(attempt.number))
        .bind(attempt.outcome.as_str())
        .bind(micros(attempt.started_at))
        .bind(attempt.finished_at.map(micros))
        .bind(error.map(|error| error.kind.as_str()))
        .bind(error.map(|error| text(&error.message)))
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// The tries of a run from the first on, or the newest thousand of all.
pub(crate) async fn list(database: &Database, run: Option<RunId>) -> Result<Vec<Attempt>, Fault> {
    let query = match run {
        Some(run) => {
            sqlx::query("SELECT * FROM attempts WHERE run_id = $1 ORDER BY number").bind(run.to_string())
        }
        None => sqlx::query("SELECT * FROM attempts ORDER BY run_id DESC, number DESC LIMIT 1000"),
    };
    let rows = query.fetch_all(&database.readers).await?;
    rows.iter()
        .map(|row| {
            let fields = Fields::new(row, "attempt");
            Ok(Attempt {
                run: fields.parsed("run_id")?,
                number: fields.small_count("number")?,
                outcome: fields.word("outcome")?,
                started_at: fields.time("started_at")?,
                finished_at: fields.time_or_none("finished_at")?,
                error: read_error(&fields)?,
            })
        })
        .collect()
}
