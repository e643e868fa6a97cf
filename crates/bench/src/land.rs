//! `land`: records a second from the request to the committed table.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use flowline_base::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::load::LoadOptions;
use crate::{load, node};

/// Sends the load with landing under way, waits until the table holds all of it, and counts.
pub async fn run(folder: &Path, options: &LoadOptions) -> anyhow::Result<Value> {
    let project = node::project(folder)?;
    let process = node::start(project.path())?;
    let started = SystemClock.instant();
    let sent = load::send(&process.http, options).await?;
    let (mut landed, mut resident_max) = (0, 0);
    while landed < sent.records {
        ensure!(
            started.elapsed() < Duration::from_secs(600),
            "only {landed} of {} records landed",
            sent.records
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
        let rows = process.query("select written from system.counts where dataset = 'bench.events'").await?;
        landed = rows.first().and_then(|row| row["written"].as_u64()).unwrap_or(0);
        resident_max = resident_max.max(node::memory(process.id())?.0);
    }
    let seconds = started.elapsed().as_secs_f64();
    let rows = process.query("select count(*) as n from bench.events").await?;
    let (_, peak) = node::memory(process.id())?;
    let balanced = process.query("select balance from system.counts where dataset = 'bench.events'").await?;
    process.kill()?;
    Ok(json!({
        "records": sent.records, "rows_in_table": rows[0]["n"], "balance": balanced[0]["balance"],
        "seconds": seconds, "records_per_second": sent.records as f64 / seconds,
        "ingest": sent.json(), "memory_peak_bytes": peak, "memory_resident_max_while_landing_bytes": resident_max,
    }))
}
