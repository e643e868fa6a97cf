//! Holds counts against each other, keeps the gauges of lag and freshness, and has checks evaluated: on one node of
//! those that could, or each finding would be made by all of them.

use std::time::Duration;

use flowline_model::{DatasetName, Finding, FindingKind, Severity};
use flowline_process::QueryOptions;
use flowline_view::{CountRow, HopRow};
use tokio_util::sync::CancellationToken;

use super::auditor::audit;
use crate::lease::{elected, lease_of};
use crate::query;
use crate::storage::Storage;
use crate::tasks::{TaskKind, Tasks};

/// How often the system tables are read.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Starts the watcher, which works while this node is elected to.
pub fn start(tasks: &Tasks, storage: Storage) {
    let lease = lease_of(&storage, "watcher");
    tasks.start(TaskKind::Watcher, "", move |shutdown| {
        let (storage, lease) = (storage.clone(), lease());
        async move {
            let work = |term: CancellationToken| {
                let (watching, auditing) =
                    (watch(storage.clone(), term.clone()), audit(storage.clone(), term));
                async move { tokio::try_join!(watching, auditing).map(drop) }
            };
            elected(lease?, "watcher", shutdown, work).await
        }
    });
}

async fn watch(storage: Storage, shutdown: CancellationToken) -> anyhow::Result<()> {
    loop {
        gauge_hops(&storage).await?;
        find_imbalances(&storage).await?;
        tokio::select! {
            () = tokio::time::sleep(WATCH_EVERY) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

async fn gauge_hops(storage: &Storage) -> anyhow::Result<()> {
    let answer =
        query::collect(&storage.engine, "SELECT * FROM system.hops", &QueryOptions::default()).await?;
    for hop in flowline_view::rows::<HopRow>(&answer.batches)? {
        let dataset = hop.dataset.clone();
        if let Some(lag) = hop.lag_records {
            metrics::gauge!("flowline_node_lag_records", "dataset" => dataset.clone()).set(lag as f64);
        }
        if let Some(lag) = hop.lag_seconds {
            metrics::gauge!("flowline_node_lag_seconds", "dataset" => dataset.clone()).set(lag as f64);
        }
        if let Some(freshness) = hop.freshness_seconds {
            metrics::gauge!("flowline_node_freshness_seconds", "dataset" => dataset).set(freshness as f64);
        }
    }
    Ok(())
}

/// An imbalance is an incident, not a log line: it becomes a finding of the dataset.
async fn find_imbalances(storage: &Storage) -> anyhow::Result<()> {
    let answer =
        query::collect(&storage.engine, "SELECT * FROM system.counts", &QueryOptions::default()).await?;
    let mut findings = Vec::new();
    for count in flowline_view::rows::<CountRow>(&answer.batches)? {
        let dataset: DatasetName = count.dataset.parse()?;
        let unaccounted = count.missing;
        if unaccounted != 0 {
            let message = format!(
                "{unaccounted} of {} records that were read are neither written nor set aside; compare `system.runs` of this hop",
                count.read
            );
            findings.push(finding(storage, dataset.clone(), FindingKind::Imbalance, unaccounted, message));
        }
        let gap = count.gap.unwrap_or(0);
        if gap != 0 {
            let message =
                format!("{gap} records lie between the positions of runs and were read by none of them");
            findings.push(finding(storage, dataset, FindingKind::Gap, gap, message));
        }
    }
    if !findings.is_empty() {
        storage.ledger.record_findings(&findings).await?;
    }
    Ok(())
}

fn finding(
    storage: &Storage,
    dataset: DatasetName,
    kind: FindingKind,
    count: i64,
    message: String,
) -> Finding {
    tracing::error!(%dataset, kind = kind.as_str(), message, "the ledger does not balance");
    Finding {
        dataset,
        kind,
        severity: Severity::Error,
        subject: "ledger".to_owned(),
        message,
        count: count.unsigned_abs(),
        first_position: None,
        last_position: None,
        run: None,
        found_at: storage.clock.now(),
        drift: None,
    }
}
