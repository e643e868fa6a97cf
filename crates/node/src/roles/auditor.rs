//! Evaluates the checks that look at more than one row: after commits, and as time goes by.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowline_lake::TableId;
use flowline_model::{CheckRule, Dataset, DatasetName};
use flowline_process::Auditor;
use flowline_process::audit::Scope;
use tokio_util::sync::CancellationToken;

use crate::storage::Storage;
use crate::tasks::{TaskKind, Tasks};

/// How often it is looked whether a dataset is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A dataset is audited at most this often, however often it commits.
const PAUSE: TimeDelta = TimeDelta::seconds(60);

/// Starts the auditor, where there is anything to audit.
pub fn start(tasks: &Tasks, storage: Storage) {
    if storage.plan.datasets.iter().any(due_at_all) {
        tasks.start(TaskKind::Auditor, "", move |shutdown| audit(storage.clone(), shutdown));
    }
}

fn due_at_all(dataset: &Dataset) -> bool {
    dataset.checks.iter().any(|check| !check.rule.by_row())
}

/// Whether time alone can change what the checks say.
fn ages(dataset: &Dataset) -> bool {
    dataset.checks.iter().any(|check| {
        matches!(check.rule, CheckRule::Freshness { .. } | CheckRule::Completeness(_) | CheckRule::Anomaly(_))
    })
}

async fn audit(storage: Storage, shutdown: CancellationToken) -> anyhow::Result<()> {
    let auditor = Auditor::new(storage.engine.clone(), storage.ledger.clone());
    let mut done: BTreeMap<DatasetName, (DateTime<Utc>, Option<i64>)> = BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        for dataset in storage.plan.datasets.iter().filter(|dataset| due_at_all(dataset)) {
            let version = storage.lake.table(TableId::of(dataset)).version();
            let now = storage.clock.now();
            let due = done.get(&dataset.name).is_none_or(|(at, audited)| {
                now - *at >= PAUSE && (*audited != version || ages(dataset) || !dataset.materialized())
            });
            if !due || shutdown.is_cancelled() {
                continue;
            }
            // What could not be evaluated is a result; an error is one of the ledger, and it is tried again.
            if let Err(error) = auditor.run(&dataset.name, Scope::BeyondRows).await {
                tracing::warn!(dataset = %dataset.name, error = flowline_base::chain(&error), "not audited");
                continue;
            }
            done.insert(dataset.name.clone(), (now, version));
        }
    }
}
