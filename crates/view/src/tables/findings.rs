//! `system.findings`: what was found about the data.

use chrono::{DateTime, Utc};
use flowline_ledger::{FindingFilter, RecordedFinding};
use futures::FutureExt;

use crate::ViewError;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// One thing that was found about one subject of one dataset, as often as it was found.
    "findings" => FindingRow {
        /// The dataset.
        dataset: String,
        /// What: `missing`, `wrong-type`, `empty-file` …
        kind: String,
        /// `info`, `warning` or `error`.
        severity: String,
        /// What it is about: a column, a file, a partition.
        subject: String,
        /// What happened, and what to do next.
        message: String,
        /// Records or files concerned, all times together. Of a check: rows that failed when it looked at all last, and
        /// those that came since.
        records: u64,
        /// `log/0@17`: the first record concerned.
        first_position: Option<String>,
        /// The last record concerned.
        last_position: Option<String>,
        /// The run that found it last.
        run_id: Option<String>,
        /// When it was found first.
        first_found_at: DateTime<Utc>,
        /// When it was found last.
        last_found_at: DateTime<Utc>,
        /// Since when what it is about holds again; none while it is open.
        closed_at: Option<DateTime<Utc>>,
        /// Of drift: where the records come from.
        producer: Option<String>,
        /// Of drift: some of the values, only their shape where they may be personal.
        examples: Vec<String>,
        /// Of drift: `accepted`, `kept-in-extra`, `coerced`, `quarantined`, `rejected` (in quarantine for another reason) or
        /// `held`.
        fate: Option<String>,
        /// Of drift: the version of the contract that the records fit best, where it is not the newest.
        closest_version: Option<u32>,
        /// Of drift: the name that is suspected to be the same field, `cost → price`, and why.
        renamed: Option<String>,
    }
}

/// `system.findings`.
#[derive(Debug)]
pub(crate) struct Findings;

impl SystemTable for Findings {
    type Row = FindingRow;

    fn read(sources: Sources, request: Request) -> Pages<FindingRow> {
        page(async move { Ok(read(&sources, &request).await?.into_iter().map(row).collect()) }.boxed())
    }
}

/// Findings are one for each subject, so that all of them fit in memory.
pub(super) async fn read(sources: &Sources, request: &Request) -> Result<Vec<RecordedFinding>, ViewError> {
    let limit = request.limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(u32::MAX);
    let filter = FindingFilter { dataset: request.dataset.clone(), limit: Some(limit) };
    Ok(sources.ledger.findings(&filter).await?)
}

fn row(recorded: RecordedFinding) -> FindingRow {
    let finding = recorded.finding;
    let drift = finding.drift.map(|drift| *drift);
    let renamed = drift.as_ref().and_then(|drift| drift.renamed.as_ref());
    FindingRow {
        producer: drift.as_ref().map(|drift| drift.producer.clone()),
        fate: drift.as_ref().map(|drift| drift.fate.as_str().to_owned()),
        closest_version: drift.as_ref().and_then(|drift| drift.closest_version),
        renamed: renamed.map(|rename| format!("{} → {}: {}", rename.from, rename.to, rename.because)),
        examples: drift.map(|drift| drift.examples).unwrap_or_default(),
        dataset: finding.dataset.to_string(),
        kind: finding.kind.as_str().to_owned(),
        severity: finding.severity.as_str().to_owned(),
        subject: finding.subject,
        message: finding.message,
        records: finding.count,
        first_position: finding.first_position,
        last_position: finding.last_position,
        run_id: finding.run.map(|run| run.to_string()),
        first_found_at: recorded.first_found_at,
        last_found_at: finding.found_at,
        closed_at: recorded.closed_at,
    }
}
