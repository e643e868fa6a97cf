//! What checks said. A result opens or closes the finding of its check in the same transaction.

use chrono::{DateTime, Utc};
use flowline_model::{CheckResult, CheckSeverity, Finding, FindingKind, Severity, Verdict};
use sqlx::AnyConnection;

use crate::database::Database;
use crate::fault::Fault;
use crate::findings::Counting;
use crate::row::{Fields, json, micros, stored, text};
use crate::{CheckFilter, declared, findings};

/// At most so many are read when the filter does not say.
const LIMIT_DEFAULT: u32 = 1_000;

const INSERT: &str = "INSERT INTO check_results (dataset, check_name, dimension, evaluated_at, kind, verdict, \
     message, severity, owner, metric, lower_bound, upper_bound, rows_checked, rows_failed, examples, version, \
     run_id, duration_us, new_rows) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
     ON CONFLICT (dataset, check_name, dimension, evaluated_at) DO NOTHING";

/// Newest first; an empty dataset or check means any.
const LIST: &str = "SELECT * FROM check_results AS r WHERE ($1 = '' OR r.dataset = $1) \
     AND ($2 = '' OR r.check_name = $2) AND ($3 = 0 OR (r.dataset, r.check_name, r.dimension, r.evaluated_at) IN \
     (SELECT dataset, check_name, dimension, MAX(evaluated_at) FROM check_results \
     GROUP BY dataset, check_name, dimension)) \
     ORDER BY r.evaluated_at DESC, r.dataset, r.check_name, r.dimension LIMIT $4";

/// Stores results with the findings that they open and close.
pub(crate) async fn record(database: &Database, results: &[CheckResult]) -> Result<(), Fault> {
    let mut transaction = database.begin().await?;
    for result in results {
        insert(&mut transaction, result).await?;
        match finding(result) {
            Some(finding) => {
                if finding.kind == FindingKind::FailedCheck {
                    close(&mut transaction, result, FindingKind::CheckFailedToRun).await?;
                }
                let counting = if result.new_rows { Counting::SinceItOpened } else { Counting::AsFoundLast };
                findings::upsert(&mut transaction, &[finding], counting).await?;
            }
            None => {
                close(&mut transaction, result, FindingKind::FailedCheck).await?;
                close(&mut transaction, result, FindingKind::CheckFailedToRun).await?;
            }
        }
    }
    Ok(transaction.commit().await?)
}

async fn insert(connection: &mut AnyConnection, result: &CheckResult) -> Result<(), Fault> {
    // What is no number is not kept: PostgreSQL would, SQLite would not.
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    sqlx::query(INSERT)
        .bind(result.dataset.to_string())
        .bind(text(&result.check))
        .bind(text(&result.dimension))
        .bind(micros(result.evaluated_at))
        .bind(text(&result.kind))
        .bind(result.verdict.as_str())
        .bind(text(&result.message))
        .bind(result.severity.as_str())
        .bind(text(&result.owner))
        .bind(finite(result.metric))
        .bind(finite(result.lower))
        .bind(finite(result.upper))
        .bind(stored(result.rows_checked))
        .bind(stored(result.rows_failed))
        .bind(text(&json("examples", &result.examples)?))
        .bind(result.version)
        .bind(result.run.map(|run| run.to_string()))
        .bind(stored(result.duration_us))
        .bind(i64::from(result.new_rows))
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// The finding that a result is; none when the check holds.
fn finding(result: &CheckResult) -> Option<Finding> {
    let kind = match result.verdict {
        Verdict::Passed | Verdict::NotDue => return None,
        Verdict::Failed => FindingKind::FailedCheck,
        Verdict::NotEvaluated => FindingKind::CheckFailedToRun,
    };
    let blocks = result.severity == CheckSeverity::Block;
    Some(Finding {
        dataset: result.dataset.clone(),
        kind,
        severity: if blocks { Severity::Error } else { Severity::Warning },
        subject: subject(result),
        message: match kind {
            FindingKind::FailedCheck => format!("check `{}`: {}", result.check, result.message),
            _ => format!("check `{}` could not be evaluated: {}", result.check, result.message),
        },
        count: result.rows_failed.max(1),
        first_position: None,
        last_position: result.version.map(|version| format!("version {version}")),
        run: result.run,
        found_at: result.evaluated_at,
        drift: None,
    })
}

fn subject(result: &CheckResult) -> String {
    match result.dimension.as_str() {
        "" => result.check.clone(),
        dimension => format!("{}/{dimension}", result.check),
    }
}

async fn close(connection: &mut AnyConnection, result: &CheckResult, kind: FindingKind) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE findings SET closed_at = $1 WHERE dataset = $2 AND kind = $3 AND subject = $4 \
         AND closed_at IS NULL AND found_at <= $1",
    )
    .bind(micros(result.evaluated_at))
    .bind(result.dataset.to_string())
    .bind(kind.as_str())
    .bind(text(&subject(result)))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Results, newest first.
pub(crate) async fn list(database: &Database, filter: &CheckFilter) -> Result<Vec<CheckResult>, Fault> {
    let limit = filter.limit.unwrap_or(LIMIT_DEFAULT);
    let mut snapshot = database.snapshot().await?;
    // What is not declared any more is left out below, and must not count towards the limit.
    let rows = sqlx::query(LIST)
        .bind(filter.dataset.as_ref().map(ToString::to_string).unwrap_or_default())
        .bind(filter.check.clone().unwrap_or_default())
        .bind(i64::from(filter.latest))
        .bind(if filter.latest { i64::MAX } else { i64::from(limit) })
        .fetch_all(&mut *snapshot)
        .await?;
    let mut results =
        rows.iter().map(|row| read(&Fields::new(row, "check result"))).collect::<Result<Vec<_>, Fault>>()?;
    if filter.latest {
        if let Some(declared) = declared::now(&mut snapshot).await? {
            results.retain(|result| declared.has(&result.dataset.to_string(), &text(&result.check)));
        }
        results.truncate(limit as usize);
    }
    snapshot.commit().await?;
    Ok(results)
}

fn read(fields: &Fields<'_>) -> Result<CheckResult, Fault> {
    Ok(CheckResult {
        dataset: fields.parsed("dataset")?,
        check: fields.text("check_name")?,
        kind: fields.text("kind")?,
        dimension: fields.text("dimension")?,
        verdict: fields.word("verdict")?,
        message: fields.text("message")?,
        severity: fields.word("severity")?,
        owner: fields.text("owner")?,
        metric: fields.number_or_none("metric")?,
        lower: fields.number_or_none("lower_bound")?,
        upper: fields.number_or_none("upper_bound")?,
        rows_checked: fields.count("rows_checked")?,
        new_rows: fields.count("new_rows")? > 0,
        rows_failed: fields.count("rows_failed")?,
        examples: fields.json("examples")?,
        version: fields.int_or_none("version")?,
        run: fields.parsed_or_none("run_id")?,
        evaluated_at: fields.time("evaluated_at")?,
        duration_us: fields.count("duration_us")?,
    })
}

/// Deletes results and profiles from before a time, but the newest result of each check; one portion.
pub(crate) async fn prune_portion(
    database: &Database,
    before: DateTime<Utc>,
    rows: i64,
) -> Result<u64, Fault> {
    let mut transaction = database.begin().await?;
    let results = sqlx::query(
        "DELETE FROM check_results WHERE (dataset, check_name, dimension, evaluated_at) IN ( \
             SELECT dataset, check_name, dimension, evaluated_at FROM check_results AS r WHERE evaluated_at < $1 \
             AND EXISTS (SELECT 1 FROM check_results AS l WHERE l.dataset = r.dataset \
                 AND l.check_name = r.check_name AND l.dimension = r.dimension \
                 AND l.evaluated_at > r.evaluated_at) LIMIT $2)",
    )
    .bind(micros(before))
    .bind(rows)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    let profiles = sqlx::query(
        "DELETE FROM profiles WHERE (dataset, version, partition_values) IN ( \
             SELECT dataset, version, partition_values FROM profiles WHERE profiled_at < $1 LIMIT $2)",
    )
    .bind(micros(before))
    .bind(rows)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    transaction.commit().await?;
    Ok(results + profiles)
}
