//! `system.quarantine`: what was rejected, by dataset and reason.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use flowline_ledger::RecordedFinding;
use flowline_model::{DatasetName, Fate, Finding, FindingKind};
use futures::FutureExt;

use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};
use crate::tables::findings;
use crate::{QuarantinedRows, ViewError};

system_row! {
    /// The records of one dataset that were rejected for one reason.
    "quarantine" => QuarantineRow {
        /// The dataset.
        dataset: String,
        /// `missing`, `wrong-type`, `failed-rule`, `unparsable`, `late` or what drifted, `unknown-field` for example.
        reason: String,
        /// Records that lie in quarantine now; null when some were replayed and the lake is not at hand to count.
        rows: Option<u64>,
        /// Records that were ever sent there for this reason.
        quarantined: u64,
        /// The columns concerned, and fields that are none; what concerns a whole record names none.
        columns: Vec<String>,
        /// The newest message for each column.
        message: String,
        /// `log/0@17`: the first record concerned.
        first_position: Option<String>,
        /// The last record concerned.
        last_position: Option<String>,
        /// When the first was rejected.
        first_quarantined_at: DateTime<Utc>,
        /// When the last was rejected.
        last_quarantined_at: DateTime<Utc>,
    }
}

/// `system.quarantine`.
#[derive(Debug)]
pub(crate) struct Quarantine;

impl SystemTable for Quarantine {
    type Row = QuarantineRow;

    fn read(sources: Sources, request: Request) -> Pages<QuarantineRow> {
        page(async move { read(&sources, request).await }.boxed())
    }
}

async fn read(sources: &Sources, request: Request) -> Result<Vec<QuarantineRow>, ViewError> {
    // The newest findings are not the newest reasons, hence all of them.
    let found = findings::read(sources, &Request { limit: None, ..request }).await?;
    let totals = sources.ledger.totals().await?;
    let replayed: BTreeSet<DatasetName> =
        totals.into_iter().filter(|totals| totals.replayed > 0).map(|totals| totals.hop).collect();
    let mut rows = Vec::new();
    for (dataset, found) in rejections(found) {
        let live = sources.live.quarantined(&dataset).await;
        rows.extend(rows_of(&dataset, found, live.as_deref(), replayed.contains(&dataset)));
    }
    Ok(rows)
}

/// The findings that say that records were rejected, by dataset.
fn rejections(found: Vec<RecordedFinding>) -> BTreeMap<DatasetName, Vec<RecordedFinding>> {
    let mut by_dataset: BTreeMap<DatasetName, Vec<RecordedFinding>> = BTreeMap::new();
    for recorded in found {
        let finding = &recorded.finding;
        // What drifted can have been accepted.
        let rejected = finding.drift.as_ref().is_none_or(|drift| drift.fate == Fate::Quarantined);
        if FindingKind::REASONS.contains(&finding.kind) && rejected {
            by_dataset.entry(recorded.finding.dataset.clone()).or_default().push(recorded);
        }
    }
    by_dataset
}

/// The rows of one dataset, by reason. Without a look into the table, what was sent there is what lies there, unless
/// some was replayed.
fn rows_of(
    dataset: &DatasetName,
    found: Vec<RecordedFinding>,
    live: Option<&[QuarantinedRows]>,
    replayed: bool,
) -> Vec<QuarantineRow> {
    let mut by_reason: BTreeMap<&'static str, QuarantineRow> = BTreeMap::new();
    let mut messages: BTreeMap<(&'static str, String), String> = BTreeMap::new();
    for RecordedFinding { finding, first_found_at, .. } in found {
        let reason = finding.kind.as_str();
        let row = by_reason.entry(reason).or_insert_with(|| QuarantineRow {
            dataset: dataset.to_string(),
            reason: reason.to_owned(),
            rows: None,
            quarantined: 0,
            columns: Vec::new(),
            message: finding.message.clone(),
            first_position: finding.first_position.clone(),
            last_position: finding.last_position.clone(),
            first_quarantined_at: first_found_at,
            last_quarantined_at: finding.found_at,
        });
        row.quarantined += finding.count;
        messages.entry((reason, finding.subject.clone())).or_insert_with(|| finding.message.clone());
        if !of_whole_record(&finding) {
            row.columns.push(finding.subject);
        }
        let first = (first_found_at, place(finding.first_position.as_deref()));
        if first < (row.first_quarantined_at, place(row.first_position.as_deref())) {
            row.first_quarantined_at = first_found_at;
            row.first_position = finding.first_position;
        }
        let last = (finding.found_at, place(finding.last_position.as_deref()));
        if last > (row.last_quarantined_at, place(row.last_position.as_deref())) {
            row.last_quarantined_at = finding.found_at;
            row.last_position = finding.last_position;
        }
    }
    for row in by_reason.values_mut() {
        let of_columns = messages.iter().filter(|((reason, _), _)| *reason == row.reason);
        let of_columns: Vec<&str> = of_columns.map(|(_, message)| message.as_str()).collect();
        row.message = of_columns.join("; ");
    }
    let mut rows: Vec<QuarantineRow> = by_reason.into_values().collect();
    for row in &mut rows {
        row.columns.sort();
        row.rows = match live {
            Some(live) => {
                Some(live.iter().filter(|rows| rows.reason == row.reason).map(|rows| rows.rows).sum())
            }
            None => (!replayed).then_some(row.quarantined),
        };
    }
    rows
}

/// Whether it concerns records as a whole: there is no column by which to ask for them.
fn of_whole_record(finding: &Finding) -> bool {
    matches!(finding.kind, FindingKind::Unparsable | FindingKind::FailedRule) && finding.subject == "record"
}

/// Positions of one input in their order: `log/0@8` comes before `log/0@17`.
fn place(position: Option<&str>) -> (&str, u64) {
    let position = position.unwrap_or_default();
    let (input, offset) = position.rsplit_once('@').unwrap_or((position, ""));
    (input, offset.parse().unwrap_or(0))
}
