//! Upkeep: small files are compacted, old log segments and old facts deleted, orphaned files removed. Never in the way
//! of landing: it works on what is committed, and a commit of landing that comes between wins. What nodes share is
//! tidied by one of them; each tidies its own log.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use flowline_base::RunId;
use flowline_lake::{CompactOptions, TableId, VACUUM_KEEP};
use flowline_land::LandContext;
use flowline_log::EventLog;
use flowline_model::{Commit, Counts, Dataset, Outcome, Run, RunKind};
use flowline_process::{sweep_check_state, sweep_stream_state};
use tokio_util::sync::CancellationToken;

use crate::lease::{elected, lease_of};
use crate::storage::Storage;
use crate::tasks::{TaskKind, Tasks};

/// How often tables are looked at. Looking costs one listing of nothing.
const TIDY_EVERY: Duration = Duration::from_secs(30);
/// How often a log on this node's disk is: what is taken in meanwhile lies there beyond the size that is to be kept, some
/// hundred MB a second at most. Looking costs a look at what is known of its segments.
const TIDY_LOG_EVERY: Duration = Duration::from_secs(2);
/// Every so many rounds, orphaned files are looked for (a listing of each table's folder).
const VACUUM_ROUNDS: u64 = 2 * 60 * 6;
/// Every so many rounds, quarantines are looked through for records that have waited too long.
const EXPIRE_ROUNDS: u64 = 2 * 60;
/// A table is compacted once it has this many small files.
const SMALL_FILES: u64 = 16;
/// How long runs, attempts and commits are kept.
const KEEP_FACTS: TimeDelta = TimeDelta::days(30);

/// Starts the janitor, which works while this node is elected to, and the upkeep of a log on this node's disk.
pub fn start(tasks: &Tasks, storage: Storage, land: LandContext) {
    if storage.plan.environment.log.kafka.is_none() {
        let log = Arc::clone(&land.log);
        tasks.start(TaskKind::Janitor, "log", move |shutdown| tidy_log(Arc::clone(&log), shutdown));
    }
    let lease = lease_of(&storage, "janitor");
    tasks.start(TaskKind::Janitor, "", move |shutdown| {
        let (storage, land, lease) = (storage.clone(), land.clone(), lease());
        let work = move |term| tidy(storage.clone(), land.clone(), term);
        async move { elected(lease?, "janitor", shutdown, work).await }
    });
}

async fn tidy_log(log: Arc<dyn EventLog>, shutdown: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TIDY_LOG_EVERY) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        retain(log.as_ref()).await?;
    }
}

async fn retain(log: &dyn EventLog) -> anyhow::Result<()> {
    let retained = log.enforce_retention().await?;
    metrics::counter!("flowline_node_log_retained_bytes_total").increment(retained.bytes);
    Ok(())
}

async fn tidy(storage: Storage, land: LandContext, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut round = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(TIDY_EVERY) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        round += 1;
        if storage.plan.environment.log.kafka.is_some() {
            retain(land.log.as_ref()).await?;
        }
        for dataset in storage.plan.datasets.iter().filter(|dataset| dataset.materialized()) {
            // One table that cannot be tidied is no reason to leave the others.
            if let Err(error) = tidy_table(&storage, dataset, round % VACUUM_ROUNDS == 0).await {
                tracing::warn!(dataset = %dataset.name, error = flowline_base::chain(error.as_ref()), "not tidied");
            }
        }
        if round % EXPIRE_ROUNDS == 0 {
            expire_quarantines(&storage, &land).await;
        }
        storage.ledger.prune(storage.clock.now() - KEEP_FACTS).await?;
    }
}

/// Deletes rejected records that have waited for longer than their dataset says.
async fn expire_quarantines(storage: &Storage, land: &LandContext) {
    for dataset in storage.plan.datasets.iter().filter(|dataset| dataset.sets_aside()) {
        if let Err(error) = flowline_land::expire_quarantine(land, dataset).await {
            tracing::warn!(dataset = %dataset.name, error = flowline_base::chain(&error), "quarantine not expired");
        }
    }
}

async fn tidy_table(storage: &Storage, dataset: &Dataset, vacuum: bool) -> anyhow::Result<()> {
    let mut tables = vec![TableId::of(dataset)];
    if dataset.sets_aside() {
        tables.push(TableId::quarantine(dataset.name.clone()));
    }
    for id in tables {
        let table = storage.lake.table(id.clone());
        if table.refresh().await?.is_none() {
            continue;
        }
        if table.stats().await?.small_files >= SMALL_FILES {
            compact(storage, dataset, &id).await?;
        }
        if vacuum {
            let removed = table.vacuum(VACUUM_KEEP).await?;
            metrics::counter!("flowline_node_vacuumed_files_total", "dataset" => dataset.name.to_string())
                .increment(removed);
        }
    }
    if vacuum {
        let swept = sweep_stream_state(&storage.lake, dataset).await?;
        metrics::counter!("flowline_node_swept_state_files_total", "dataset" => dataset.name.to_string())
            .increment(swept);
        let swept = sweep_check_state(&storage.lake, dataset).await?;
        metrics::counter!("flowline_node_swept_check_files_total", "dataset" => dataset.name.to_string())
            .increment(swept);
    }
    Ok(())
}

async fn compact(storage: &Storage, dataset: &Dataset, id: &TableId) -> anyhow::Result<()> {
    let started_at = storage.clock.now();
    let Some(committed) = storage.lake.table(id.clone()).compact(CompactOptions::default()).await? else {
        return Ok(());
    };
    tracing::info!(table = %id.folder(), version = committed.version, files = committed.files_removed, "compacted");
    if *id != TableId::of(dataset) {
        return Ok(());
    }
    let run = Run {
        id: RunId::generate(),
        hop: dataset.name.clone(),
        kind: RunKind::Compact,
        outcome: Outcome::Succeeded,
        trigger: "small-files".to_owned(),
        inputs: Vec::new(),
        counts: Counts::default(),
        started_at,
        finished_at: Some(committed.committed_at),
        attempts: 1,
        commit: Some(Commit {
            dataset: dataset.name.clone(),
            version: committed.version,
            committed_at: committed.committed_at,
            latency_us: committed.latency.as_micros() as u64,
            event_time_max: None,
            received_at_min: None,
        }),
        error: None,
        trace_id: None,
    };
    storage.ledger.record_run(&run, &[], &[]).await?;
    Ok(())
}
