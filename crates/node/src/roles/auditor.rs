//! Evaluates the checks that look at more than one row: after commits, and as time goes by. Those of views all: a view
//! is never written, so that nobody else holds its rows against them. Those of single rows that are new or were changed,
//! once: rows that were written before were never held against them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowline_lake::TableId;
use flowline_model::{CheckRule, Dataset, DatasetName, Verdict};
use flowline_process::Auditor;
use flowline_process::audit::Scope;
use tokio_util::sync::CancellationToken;

use crate::storage::Storage;

/// How often it is looked whether a dataset is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A dataset is audited at most this often, however often it commits.
const PAUSE: TimeDelta = TimeDelta::seconds(60);

/// Which checks of a dataset are evaluated here; none where all are when its rows are written.
fn scope(dataset: &Dataset) -> Option<Scope> {
    match dataset.materialized() {
        true => dataset.checks.iter().any(|check| !check.rule.by_row()).then_some(Scope::BeyondRows),
        false => (!dataset.checks.is_empty()).then_some(Scope::All),
    }
}

/// Whether single rows of a table are held against checks when they are written.
fn holds_rows(dataset: &Dataset) -> bool {
    dataset.materialized() && dataset.checks.iter().any(|check| check.rule.by_row())
}

/// Datasets of which it is not known yet that what is there was held against their checks of single rows, and when that
/// was tried.
type Unheld = BTreeMap<DatasetName, Option<DateTime<Utc>>>;

/// Holds what is there against the checks that are new or were changed. What could not be told is tried again.
async fn hold_what_is_there(storage: &Storage, auditor: &Auditor, unheld: &mut Unheld) {
    let now = storage.clock.now();
    let due = |tried: &Option<DateTime<Utc>>| tried.is_none_or(|at| now - at >= PAUSE);
    let names: Vec<DatasetName> =
        unheld.iter().filter(|(_, tried)| due(tried)).map(|(name, _)| name.clone()).collect();
    for name in names {
        let held = match auditor.run_changed(&name).await {
            Ok(results) => results
                .is_some_and(|results| results.iter().all(|result| result.verdict != Verdict::NotEvaluated)),
            Err(error) => {
                tracing::warn!(dataset = %name, error = flowline_base::chain(&error), "what is there is not held against changed checks");
                false
            }
        };
        if held {
            unheld.remove(&name);
        } else {
            unheld.insert(name, Some(now));
        }
    }
}

/// Whether time alone can change what the checks say.
fn ages(dataset: &Dataset) -> bool {
    dataset.checks.iter().any(|check| {
        matches!(check.rule, CheckRule::Freshness { .. } | CheckRule::Completeness(_) | CheckRule::Anomaly(_))
    })
}

/// Evaluates checks until told to stop, where there are any.
pub async fn audit(storage: Storage, shutdown: CancellationToken) -> anyhow::Result<()> {
    let rows_held = storage.plan.datasets.iter().filter(|dataset| holds_rows(dataset));
    let mut unheld: Unheld = rows_held.map(|dataset| (dataset.name.clone(), None)).collect();
    if unheld.is_empty() && storage.plan.datasets.iter().all(|dataset| scope(dataset).is_none()) {
        return Ok(());
    }
    let auditor = Auditor::new(storage.engine.clone(), storage.ledger.clone());
    let mut done: BTreeMap<DatasetName, (DateTime<Utc>, Option<i64>)> = BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        hold_what_is_there(&storage, &auditor, &mut unheld).await;
        for dataset in &storage.plan.datasets {
            let Some(scope) = scope(dataset) else { continue };
            let version = storage.lake.table(TableId::of(dataset)).version();
            let now = storage.clock.now();
            let due = done.get(&dataset.name).is_none_or(|(at, audited)| {
                now - *at >= PAUSE && (*audited != version || ages(dataset) || !dataset.materialized())
            });
            if !due || shutdown.is_cancelled() {
                continue;
            }
            // What could not be evaluated is a result; an error is one of the ledger, and it is tried again.
            if let Err(error) = auditor.run(&dataset.name, scope).await {
                tracing::warn!(dataset = %dataset.name, error = flowline_base::chain(&error), "not audited");
                continue;
            }
            done.insert(dataset.name.clone(), (now, version));
        }
    }
}

#[cfg(test)]
mod tests {
    use flowline_model::{Check, CheckSeverity, Emit, Materialization, Origin, SqlOrigin};
    use flowline_testkit::http_dataset;

    use super::*;

    fn with_check(dataset: Dataset, rule: CheckRule) -> Dataset {
        let check = Check {
            name: "checked".to_owned(),
            description: None,
            owner: "team".to_owned(),
            severity: CheckSeverity::Warn,
            tolerance: 0.0,
            rule,
        };
        Dataset { checks: vec![check], ..dataset }
    }

    fn view() -> Dataset {
        let origin = SqlOrigin {
            text: "select 1 as n".to_owned(),
            file: "datasets/shop/ones.sql".to_owned(),
            line: 1,
            indent: 0,
            materialization: Materialization::View,
            emit: Emit::OnClose,
            state_limit: None,
            divided: false,
            timeout: Duration::from_secs(60),
            attempts_max: 1,
            lag_rows_max: None,
        };
        Dataset { origin: Origin::Sql(origin), ..http_dataset("shop.ones", &[("n", "int64")]) }
    }

    #[test]
    fn rows_of_views_are_looked_at_here_and_those_of_tables_when_they_are_written() {
        let table = || http_dataset("shop.orders", &[("n", "int64")]);
        let by_row = || CheckRule::Required { column: "n".to_owned() };
        let beyond = || CheckRule::RowCount { min: Some(1), max: None };
        for (dataset, expected) in [
            (with_check(view(), by_row()), Some(Scope::All)),
            (with_check(view(), beyond()), Some(Scope::All)),
            (view(), None),
            (with_check(table(), by_row()), None),
            (with_check(table(), beyond()), Some(Scope::BeyondRows)),
            (table(), None),
        ] {
            assert_eq!(scope(&dataset), expected, "{}: {:?}", dataset.name, dataset.checks);
        }
    }
}
