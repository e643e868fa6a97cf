//! Totals: what each hop has counted since its first run.

use flowline_model::{Run, RunKind, Totals};
use sqlx::AnyConnection;

use crate::database::Database;
use crate::fault::Fault;
use crate::row::{Fields, micros, stored};
use crate::runs::read_counts;

const ADD: &str = "INSERT INTO totals (hop, runs, read, written, quarantined, duplicate, late, filtered, reshaped, \
     bytes_read, bytes_written, read_from_log, replayed, updated_at) \
     VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (hop) DO UPDATE SET \
     runs = totals.runs + 1, \
     read = totals.read + excluded.read, \
     written = totals.written + excluded.written, \
     quarantined = totals.quarantined + excluded.quarantined, \
     duplicate = totals.duplicate + excluded.duplicate, \
     late = totals.late + excluded.late, \
     filtered = totals.filtered + excluded.filtered, \
     reshaped = CASE WHEN excluded.reshaped > totals.reshaped THEN excluded.reshaped ELSE totals.reshaped END, \
     bytes_read = totals.bytes_read + excluded.bytes_read, \
     bytes_written = totals.bytes_written + excluded.bytes_written, \
     read_from_log = totals.read_from_log + excluded.read_from_log, \
     replayed = totals.replayed + excluded.replayed, \
     updated_at = CASE WHEN excluded.updated_at > totals.updated_at \
         THEN excluded.updated_at ELSE totals.updated_at END";

/// One statement, so that the positions are those of the instant of the counts: a run recorded between two reads would
/// look like a gap.
const LIST: &str = "SELECT totals.*, CAST(COALESCE(( \
         SELECT SUM(next_position - first_position) FROM positions \
         WHERE positions.hop = totals.hop AND positions.input LIKE 'log/%' \
     ), 0) AS BIGINT) AS log_span FROM totals ORDER BY hop";

/// Adds a run's counts to its hop's totals.
pub(crate) async fn add(connection: &mut AnyConnection, run: &Run) -> Result<(), Fault> {
    let counts = &run.counts;
    let from_log =
        run.kind == RunKind::Land && run.inputs.iter().any(|input| input.input.starts_with("log/"));
    sqlx::query(ADD)
        .bind(run.hop.to_string())
        .bind(stored(counts.read))
        .bind(stored(counts.written))
        .bind(stored(counts.quarantined))
        .bind(stored(counts.duplicate))
        .bind(stored(counts.late))
        .bind(stored(counts.filtered))
        .bind(i64::from(counts.reshaped))
        .bind(stored(counts.bytes_read))
        .bind(stored(counts.bytes_written))
        .bind(if from_log { stored(counts.read) } else { 0 })
        .bind(if run.kind == RunKind::Replay { stored(counts.read) } else { 0 })
        .bind(micros(run.finished_at.unwrap_or(run.started_at)))
        .execute(connection)
        .await?;
    Ok(())
}

/// The totals of every hop that has any.
pub(crate) async fn list(database: &Database) -> Result<Vec<Totals>, Fault> {
    let rows = sqlx::query(LIST).fetch_all(&database.readers).await?;
    rows.iter()
        .map(|row| {
            let fields = Fields::new(row, "total");
            Ok(Totals {
                hop: fields.parsed("hop")?,
                counts: read_counts(&fields)?,
                read_from_log: fields.count("read_from_log")?,
                log_span: fields.int("log_span")?,
                replayed: fields.count("replayed")?,
                runs: fields.count("runs")?,
                updated_at: fields.time("updated_at")?,
            })
        })
        .collect()
}
