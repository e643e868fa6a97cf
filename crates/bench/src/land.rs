//! `land`: records a second from the request to the committed table.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use flowline_base::{Clock, SystemClock};
use flowline_testkit::FlowlineProcess;
use serde_json::{Value, json};

use crate::load::LoadOptions;
use crate::{checks, load, node};

/// Sends the load with landing under way, waits until the table holds all of it, and counts.
pub async fn run(folder: &Path, options: &LoadOptions) -> anyhow::Result<Value> {
    let project = node::project(folder)?;
    node::declare(project.path(), &checks::yaml(&checks::rules(options.checks)))?;
    let process = node::start(project.path())?;
    let started = SystemClock.instant();
    let sent = load::send(&process.http, options).await?;
    let resident_max = until_landed(&process, sent.records).await?;
    let seconds = started.elapsed().as_secs_f64();
    let rows = process.query("select count(*) as n from bench.events").await?;
    let (_, peak) = node::memory(process.id())?;
    let balanced = process.query("select balance from system.counts where dataset = 'bench.events'").await?;
    process.kill()?;
    Ok(json!({
        "checks": options.checks, "records": sent.records, "rows_in_table": rows[0]["n"], "balance": balanced[0]["balance"],
        "seconds": seconds, "records_per_second": sent.records as f64 / seconds,
        "ingest": sent.json(), "memory_peak_bytes": peak, "memory_resident_max_while_landing_bytes": resident_max,
    }))
}

/// Waits until the table has so many rows; the most memory that the node held meanwhile, bytes.
pub async fn until_landed(process: &FlowlineProcess, records: u64) -> anyhow::Result<u64> {
    let started = SystemClock.instant();
    let (mut landed, mut resident_max) = (0, 0);
    while landed < records {
        ensure!(started.elapsed() < Duration::from_secs(600), "only {landed} of {records} records landed");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let rows = process.query("select written from system.counts where dataset = 'bench.events'").await?;
        landed = rows.first().and_then(|row| row["written"].as_u64()).unwrap_or(0);
        resident_max = resident_max.max(node::memory(process.id())?.0);
    }
    Ok(resident_max)
}
