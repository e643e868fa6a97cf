//! `system.checks`: what checks said.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use flowline_ledger::CheckFilter;
use flowline_model::{CheckResult, DatasetName};
use futures::FutureExt;

use crate::ViewError;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// What one check said of one state of a dataset.
    "checks" => CheckRow {
        /// The dataset.
        dataset: String,
        /// The check.
        name: String,
        /// Its kind: `range`, `unique` …
        check_kind: String,
        /// What part of the dataset, `country=de`; empty for all of it.
        dimension: String,
        /// `passed`, `failed`, `not_evaluated`, or `not_due` while nothing that it looks at had to be there yet.
        verdict: String,
        /// Why.
        message: String,
        /// `warn`, `quarantine_rows` or `block`.
        severity: String,
        /// The team that answers for it.
        owner: String,
        /// What was held against the bounds.
        metric: Option<f64>,
        /// The least that is expected.
        lower_bound: Option<f64>,
        /// The most that is expected.
        upper_bound: Option<f64>,
        /// Rows that were looked at.
        rows_checked: u64,
        /// Rows that fail.
        rows_failed: u64,
        /// Some values that fail; `***` for those of personal data.
        examples: Vec<String>,
        /// The version of the table.
        version: Option<i64>,
        /// The run whose rows were looked at.
        run_id: Option<String>,
        /// When.
        evaluated_at: DateTime<Utc>,
        /// How long it took, microseconds; checks of one scan share its time.
        duration_us: u64,
        /// Whether nothing newer is known of this check, and it is still declared.
        latest: bool,
    }
}

/// `system.checks`.
#[derive(Debug)]
pub(crate) struct Checks;

impl SystemTable for Checks {
    type Row = CheckRow;
    const NEWEST_FIRST_BY: Option<&'static str> = Some("evaluated_at");

    fn read(sources: Sources, request: Request) -> Pages<CheckRow> {
        let read = async move {
            let limit = request.limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(u32::MAX);
            let filter = CheckFilter {
                dataset: request.dataset.clone(),
                latest: request.latest,
                limit: Some(limit),
                ..CheckFilter::default()
            };
            // Read first: the newest of a check that is known here is then among the results.
            let standing = match filter.latest {
                true => None,
                false => Some(standing(&sources, &filter).await?),
            };
            let results = sources.ledger.checks(&filter).await?;
            let mut seen = HashSet::new();
            let newest = |result: &CheckResult| {
                let key = key(result);
                standing.as_ref().is_none_or(|standing| standing.contains(&key)) && seen.insert(key)
            };
            let newest: Vec<bool> = results.iter().map(newest).collect();
            Ok(results.into_iter().zip(newest).map(|(result, latest)| row(result, latest)).collect())
        };
        page(read.boxed())
    }
}

/// What a result is of: the dataset, the check, and the part of the dataset.
type Key = (DatasetName, String, String);

fn key(result: &CheckResult) -> Key {
    (result.dataset.clone(), result.check.clone(), result.dimension.clone())
}

/// What the checks that are declared have results of.
async fn standing(sources: &Sources, filter: &CheckFilter) -> Result<HashSet<Key>, ViewError> {
    let latest = CheckFilter { latest: true, limit: Some(u32::MAX), ..filter.clone() };
    Ok(sources.ledger.checks(&latest).await?.iter().map(key).collect())
}

fn row(result: CheckResult, latest: bool) -> CheckRow {
    CheckRow {
        dataset: result.dataset.to_string(),
        name: result.check,
        check_kind: result.kind,
        dimension: result.dimension,
        verdict: result.verdict.as_str().to_owned(),
        message: result.message,
        severity: result.severity.as_str().to_owned(),
        owner: result.owner,
        metric: result.metric,
        lower_bound: result.lower,
        upper_bound: result.upper,
        rows_checked: result.rows_checked,
        rows_failed: result.rows_failed,
        examples: result.examples,
        version: result.version,
        run_id: result.run.map(|run| run.to_string()),
        evaluated_at: result.evaluated_at,
        duration_us: result.duration_us,
        latest,
    }
}

impl From<CheckResult> for CheckRow {
    fn from(result: CheckResult) -> Self {
        row(result, true)
    }
}
