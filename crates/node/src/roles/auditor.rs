//! Evaluates the checks that look at more than one row: after commits, and as time goes by. Those of views all: a view
//! is never written, so that nobody else holds its rows against them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowline_lake::TableId;
use flowline_model::{CheckRule, Dataset, DatasetName};
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

/// Whether time alone can change what the checks say.
fn ages(dataset: &Dataset) -> bool {
    dataset.checks.iter().any(|check| {
        matches!(check.rule, CheckRule::Freshness { .. } | CheckRule::Completeness(_) | CheckRule::Anomaly(_))
    })
}

/// Evaluates checks until told to stop, where there are any.
pub async fn audit(storage: Storage, shutdown: CancellationToken) -> anyhow::Result<()> {
    if storage.plan.datasets.iter().all(|dataset| scope(dataset).is_none()) {
        return Ok(());
    }
    let auditor = Auditor::new(storage.engine.clone(), storage.ledger.clone());
    let mut done: BTreeMap<DatasetName, (DateTime<Utc>, Option<i64>)> = BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
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
