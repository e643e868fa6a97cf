//! Findings: one row for each subject, however often it is found.

use flowline_model::Finding;
use sqlx::AnyConnection;

use crate::database::Database;
use crate::fault::Fault;
use crate::row::{Fields, json, micros, stored, text};
use crate::{FindingFilter, RecordedFinding};

/// At most so many are read when the filter does not say.
const LIMIT_DEFAULT: u32 = 1_000;

/// A subject is at most so long, bytes: it is part of a key, and the name of a field in a record can have any length.
const SUBJECT_BYTES_MAX: usize = 1_000;

/// The condition keeps the same fact, offered again, from counting twice.
const UPSERT: &str = "INSERT INTO findings (dataset, kind, subject, severity, message, records, first_position, \
     last_position, run_id, first_found_at, found_at, drift) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11) \
     ON CONFLICT (dataset, kind, subject) DO UPDATE SET \
     severity = excluded.severity, \
     message = excluded.message, \
     records = CASE WHEN $12 = 'found-last' OR ($12 = 'opened' AND findings.closed_at IS NOT NULL) \
         THEN excluded.records ELSE findings.records + excluded.records END, \
     first_position = COALESCE(findings.first_position, excluded.first_position), \
     last_position = COALESCE(excluded.last_position, findings.last_position), \
     run_id = excluded.run_id, \
     found_at = excluded.found_at, \
     drift = excluded.drift, \
     closed_at = NULL \
     WHERE findings.found_at <> excluded.found_at \
         OR findings.run_id IS DISTINCT FROM excluded.run_id \
         OR findings.last_position IS DISTINCT FROM excluded.last_position";

/// What the count of a finding is that is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// What was found all times together: each time it is about other records.
    Together,
    /// The same, but what was found before it closed is over.
    SinceItOpened,
    /// What was found last: each time all there is was looked at.
    AsFoundLast,
}

impl Counting {
    fn word(self) -> &'static str {
        match self {
            Self::Together => "together",
            Self::SinceItOpened => "opened",
            Self::AsFoundLast => "found-last",
        }
    }
}

/// Stores findings.
pub(crate) async fn upsert(
    connection: &mut AnyConnection,
    findings: &[Finding],
    counting: Counting,
) -> Result<(), Fault> {
    for finding in findings {
        sqlx::query(UPSERT)
            .bind(finding.dataset.to_string())
            .bind(finding.kind.as_str())
            .bind(text(cut(&finding.subject)))
            .bind(finding.severity.as_str())
            .bind(text(&finding.message))
            .bind(stored(finding.count))
            .bind(finding.first_position.as_deref().map(text))
            .bind(finding.last_position.as_deref().map(text))
            .bind(finding.run.map(|run| run.to_string()))
            .bind(micros(finding.found_at))
            .bind(
                finding
                    .drift
                    .as_ref()
                    .map(|drift| json("finding", drift))
                    .transpose()?
                    .map(|drift| text(&drift)),
            )
            .bind(counting.word())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn cut(subject: &str) -> &str {
    let mut end = subject.len().min(SUBJECT_BYTES_MAX);
    while !subject.is_char_boundary(end) {
        end -= 1;
    }
    &subject[..end]
}

/// Stores findings that no run made.
pub(crate) async fn record(database: &Database, findings: &[Finding]) -> Result<(), Fault> {
    let mut transaction = database.begin().await?;
    upsert(&mut transaction, findings, Counting::Together).await?;
    Ok(transaction.commit().await?)
}

/// Findings, newest first.
pub(crate) async fn list(database: &Database, filter: &FindingFilter) -> Result<Vec<RecordedFinding>, Fault> {
    let limit = i64::from(filter.limit.unwrap_or(LIMIT_DEFAULT));
    let query = match &filter.dataset {
        Some(dataset) => sqlx::query(
            "SELECT * FROM findings WHERE dataset = $1 ORDER BY found_at DESC, kind, subject LIMIT $2",
        )
        .bind(dataset.to_string()),
        None => sqlx::query("SELECT * FROM findings ORDER BY found_at DESC, dataset, kind, subject LIMIT $1"),
    };
    let rows = query.bind(limit).fetch_all(&database.readers).await?;
    rows.iter().map(|row| read(&Fields::new(row, "finding"))).collect()
}

fn read(fields: &Fields<'_>) -> Result<RecordedFinding, Fault> {
    let finding = Finding {
        dataset: fields.parsed("dataset")?,
        kind: fields.word("kind")?,
        severity: fields.word("severity")?,
        subject: fields.text("subject")?,
        message: fields.text("message")?,
        count: fields.count("records")?,
        first_position: fields.text_or_none("first_position")?,
        last_position: fields.text_or_none("last_position")?,
        run: fields.parsed_or_none("run_id")?,
        found_at: fields.time("found_at")?,
        drift: fields.text_or_none("drift")?.map(|_| fields.json("drift")).transpose()?,
    };
    let (first_found_at, closed_at) = (fields.time("first_found_at")?, fields.time_or_none("closed_at")?);
    Ok(RecordedFinding { finding, first_found_at, closed_at })
}
