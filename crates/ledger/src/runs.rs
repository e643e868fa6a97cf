//! Runs: written once they start or end, read newest first.

use flowline_model::{Commit, Counts, DatasetName, Outcome, Run, RunError};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};

use crate::RunFilter;
use crate::database::Database;
use crate::fault::Fault;
use crate::row::{Fields, json, micros, stored, text};

/// At most so many are read when the filter does not say.
const LIMIT_DEFAULT: u32 = 1_000;

const INSERT: &str = "INSERT INTO runs (id, hop, kind, outcome, reason, inputs, read, written, quarantined, \
     duplicate, late, filtered, reshaped, bytes_read, bytes_written, started_at, finished_at, attempts, \
     commit_dataset, commit_version, committed_at, commit_latency_us, event_time_max, received_at_min, error_kind, \
     error_message, trace_id) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
     $23, $24, $25, $26, $27)";

const INSERT_NEW: &str = " ON CONFLICT (id) DO NOTHING";

const INSERT_ENDED: &str = " ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, \
     inputs = excluded.inputs, read = excluded.read, written = excluded.written, \
     quarantined = excluded.quarantined, duplicate = excluded.duplicate, late = excluded.late, \
     filtered = excluded.filtered, reshaped = excluded.reshaped, bytes_read = excluded.bytes_read, \
     bytes_written = excluded.bytes_written, started_at = excluded.started_at, finished_at = excluded.finished_at, \
     attempts = excluded.attempts, commit_dataset = excluded.commit_dataset, \
     commit_version = excluded.commit_version, committed_at = excluded.committed_at, \
     commit_latency_us = excluded.commit_latency_us, event_time_max = excluded.event_time_max, \
     received_at_min = excluded.received_at_min, error_kind = excluded.error_kind, \
     error_message = excluded.error_message, trace_id = excluded.trace_id";

pub(crate) const KNOWN: &str =
    "SELECT id, outcome FROM runs WHERE id = $1 OR (commit_dataset = $2 AND commit_version = $3)";

pub(crate) const COMMITS_OF_DATASET: &str =
    "SELECT * FROM runs WHERE commit_dataset = $1 ORDER BY commit_version DESC LIMIT $2";

pub(crate) const COMMITS_OF_ALL: &str =
    "SELECT * FROM runs WHERE commit_version IS NOT NULL ORDER BY started_at DESC, id DESC LIMIT $1";

pub(crate) const FIRST_COMMIT_AFTER: &str = "SELECT * FROM runs WHERE commit_dataset = $1 \
     AND commit_version > $2 AND kind <> 'compact' ORDER BY commit_version LIMIT 1";

/// Stores a run that starts; false when it is known.
pub(crate) async fn insert_started(connection: &mut AnyConnection, run: &Run) -> Result<bool, Fault> {
    let statement = format!("{INSERT}{INSERT_NEW}");
    Ok(bind(sqlx::query(AssertSqlSafe(statement)), run)?.execute(connection).await?.rows_affected() > 0)
}

/// Stores a run that ended, over what was stored when it started.
pub(crate) async fn upsert_ended(connection: &mut AnyConnection, run: &Run) -> Result<(), Fault> {
    let statement = format!("{INSERT}{INSERT_ENDED}");
    bind(sqlx::query(AssertSqlSafe(statement)), run)?.execute(connection).await?;
    Ok(())
}

fn bind<'q>(query: Query<'q, Any, AnyArguments>, run: &Run) -> Result<Query<'q, Any, AnyArguments>, Fault> {
    let (counts, commit, error) = (&run.counts, run.commit.as_ref(), run.error.as_ref());
    Ok(query
        .bind(run.id.to_string())
        .bind(run.hop.to_string())
        .bind(run.kind.as_str())
        .bind(run.outcome.as_str())
        .bind(text(&run.trigger))
        .bind(text(&json("run", &run.inputs)?))
        .bind(stored(counts.read))
        .bind(stored(counts.written))
        .bind(stored(counts.quarantined))
        .bind(stored(counts.duplicate))
        .bind(stored(counts.late))
        .bind(stored(counts.filtered))
        .bind(i64::from(counts.reshaped))
        .bind(stored(counts.bytes_read))
        .bind(stored(counts.bytes_written))
        .bind(micros(run.started_at))
        .bind(run.finished_at.map(micros))
        .bind(i64::from(run.attempts))
        .bind(commit.map(|commit| commit.dataset.to_string()))
        .bind(commit.map(|commit| commit.version))
        .bind(commit.map(|commit| micros(commit.committed_at)))
        .bind(commit.map(|commit| stored(commit.latency_us)))
        .bind(commit.and_then(|commit| commit.event_time_max).map(micros))
        .bind(commit.and_then(|commit| commit.received_at_min).map(micros))
        .bind(error.map(|error| error.kind.as_str()))
        .bind(error.map(|error| text(&error.message)))
        .bind(run.trace_id.as_deref().map(text)))
}

/// A stored run.
pub(crate) fn read(row: &AnyRow) -> Result<Run, Fault> {
    let fields = Fields::new(row, "run");
    Ok(Run {
        id: fields.parsed("id")?,
        hop: fields.parsed("hop")?,
        kind: fields.word("kind")?,
        outcome: fields.word("outcome")?,
        trigger: fields.text("reason")?,
        inputs: fields.json("inputs")?,
        counts: read_counts(&fields)?,
        started_at: fields.time("started_at")?,
        finished_at: fields.time_or_none("finished_at")?,
        attempts: fields.small_count("attempts")?,
        commit: read_commit(&fields)?,
        error: read_error(&fields)?,
        trace_id: fields.text_or_none("trace_id")?,
    })
}

/// The counts of a run or of totals.
pub(crate) fn read_counts(fields: &Fields<'_>) -> Result<Counts, Fault> {
    Ok(Counts {
        read: fields.count("read")?,
        written: fields.count("written")?,
        quarantined: fields.count("quarantined")?,
        duplicate: fields.count("duplicate")?,
        late: fields.count("late")?,
        filtered: fields.count("filtered")?,
        reshaped: fields.flag("reshaped")?,
        bytes_read: fields.count("bytes_read")?,
        bytes_written: fields.count("bytes_written")?,
    })
}

fn read_commit(fields: &Fields<'_>) -> Result<Option<Commit>, Fault> {
    let Some(dataset) = fields.parsed_or_none("commit_dataset")? else {
        return Ok(None);
    };
    Ok(Some(Commit {
        dataset,
        version: fields.int("commit_version")?,
        committed_at: fields.time("committed_at")?,
        latency_us: fields.count("commit_latency_us")?,
        event_time_max: fields.time_or_none("event_time_max")?,
        received_at_min: fields.time_or_none("received_at_min")?,
    }))
}

/// The error of a run or of an attempt.
pub(crate) fn read_error(fields: &Fields<'_>) -> Result<Option<RunError>, Fault> {
    match fields.text_or_none("error_message")? {
        Some(message) => Ok(Some(RunError { kind: fields.word("error_kind")?, message })),
        None => Ok(None),
    }
}

/// What is known of a run that is offered.
pub(crate) enum Known {
    /// Nothing.
    Nothing,
    /// The run, with this outcome.
    Run(Outcome),
    /// Its commit, made by another run.
    Commit,
}

/// Whether a run or its commit is known.
pub(crate) async fn known(connection: &mut AnyConnection, run: &Run) -> Result<Known, Fault> {
    let commit = run.commit.as_ref();
    let rows = sqlx::query(KNOWN)
        .bind(run.id.to_string())
        .bind(commit.map(|commit| commit.dataset.to_string()))
        .bind(commit.map(|commit| commit.version))
        .fetch_all(connection)
        .await?;
    let mut known = Known::Nothing;
    for row in &rows {
        let fields = Fields::new(row, "run");
        if fields.text("id")? != run.id.to_string() {
            return Ok(Known::Commit);
        }
        known = Known::Run(fields.word("outcome")?);
    }
    Ok(known)
}

/// Runs, newest first.
pub(crate) async fn list(database: &Database, filter: &RunFilter) -> Result<Vec<Run>, Fault> {
    let (statement, values) = select(filter);
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text),
            Value::Int(int) => query.bind(int),
        };
    }
    let rows = query.fetch_all(&database.readers).await?;
    rows.iter().map(read).collect()
}

/// Runs that committed: of a dataset from the highest version down, of all from the newest run down.
pub(crate) async fn commits(
    database: &Database,
    dataset: Option<&DatasetName>,
    limit: u32,
) -> Result<Vec<Commit>, Fault> {
    let query = match dataset {
        Some(dataset) => sqlx::query(COMMITS_OF_DATASET).bind(dataset.to_string()),
        None => sqlx::query(COMMITS_OF_ALL),
    };
    let rows = query.bind(i64::from(limit)).fetch_all(&database.readers).await?;
    let commits = rows.iter().map(|row| read_commit(&Fields::new(row, "commit")));
    commits.filter_map(Result::transpose).collect()
}

/// The oldest commit of a dataset after a version, compactions left out.
pub(crate) async fn first_commit_after(
    database: &Database,
    dataset: &DatasetName,
    version: i64,
) -> Result<Option<Commit>, Fault> {
    let query = sqlx::query(FIRST_COMMIT_AFTER).bind(dataset.to_string()).bind(version);
    match query.fetch_optional(&database.readers).await? {
        Some(row) => read_commit(&Fields::new(&row, "commit")),
        None => Ok(None),
    }
}

/// What a placeholder stands for.
pub(crate) enum Value {
    Text(String),
    Int(i64),
}

/// The statement of a filter. It is put together so that the database sees only the conditions that are asked for and
/// finds the index that serves them; there are some dozens of them, so prepared statements stay few.
pub(crate) fn select(filter: &RunFilter) -> (String, Vec<Value>) {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    let mut condition = |words: &str, value: Value| {
        values.push(value);
        conditions.push(words.replace('?', &format!("${}", values.len())));
    };
    if let Some(run) = filter.run {
        condition("id = ?", Value::Text(run.to_string()));
    }
    if let Some(hop) = &filter.hop {
        condition("hop = ?", Value::Text(hop.to_string()));
    }
    if let Some(kind) = filter.kind {
        condition("kind = ?", Value::Text(kind.as_str().to_owned()));
    }
    if let Some(from) = filter.started_from {
        condition("started_at >= ?", Value::Int(micros(from)));
    }
    if let Some(before) = filter.before {
        let words = "(started_at, id) < ((SELECT started_at FROM runs WHERE id = ?), ?)";
        condition(words, Value::Text(before.to_string()));
    }
    if let Some(outcome) = filter.outcome {
        // The second half is what the partial index says of itself, so that the planner knows that it may use it.
        let words = if outcome == Outcome::Succeeded {
            "outcome = ?"
        } else {
            "outcome = ? AND outcome <> 'succeeded'"
        };
        condition(words, Value::Text(outcome.as_str().to_owned()));
    }
    let limit = i64::from(filter.limit.unwrap_or(LIMIT_DEFAULT));
    values.push(Value::Int(limit));
    if filter.committed {
        conditions.push("commit_version IS NOT NULL".to_owned());
    }
    let clause =
        if conditions.is_empty() { String::new() } else { format!("WHERE {} ", conditions.join(" AND ")) };
    let statement =
        format!("SELECT * FROM runs {clause}ORDER BY started_at DESC, id DESC LIMIT ${}", values.len());
    (statement, values)
}
