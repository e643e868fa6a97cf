//! `start` and `recover`: how soon a node is ready, and what it holds when idle.

use std::path::Path;
use std::time::Duration;

use flowline_base::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::load::{LoadOptions, RECORD_BYTES};
use crate::{load, node};

/// From exec to ready, and resident memory after ten idle seconds.
pub async fn start(folder: &Path, times: u32) -> anyhow::Result<Value> {
    let project = node::project(folder)?;
    let mut millis = Vec::new();
    let mut idle = 0;
    for round in 0..times.max(1) {
        let started = SystemClock.instant();
        let process = node::start(project.path())?;
        millis.push(started.elapsed().as_secs_f64() * 1_000.0);
        if round == 0 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            idle = node::memory(process.id())?.0;
        }
        process.terminate()?;
    }
    millis.sort_by(f64::total_cmp);
    Ok(json!({
        "first_and_all_starts": times, "ready_ms_p50": millis[millis.len() / 2], "ready_ms_max": millis.last(),
        "idle_memory_bytes": idle,
    }))
}

/// Fills the log in a node that does not land, kills the node, and measures from exec to ready.
pub async fn recover(folder: &Path, bytes: u64) -> anyhow::Result<Value> {
    let project = node::project(folder)?;
    let process = node::start_gateway(project.path())?;
    let records = bytes / RECORD_BYTES as u64 / 1_000 * 1_000;
    let options = LoadOptions { records, batch: 1_000, connections: 8, without_peers: true, checks: 0 };
    let sent = load::send(&process.http, &options).await?;
    process.kill()?;
    let started = SystemClock.instant();
    let process = node::start(project.path())?;
    let ready = started.elapsed().as_secs_f64();
    let (resident, _) = node::memory(process.id())?;
    process.kill()?;
    Ok(
        json!({ "unlanded_bytes": sent.records * RECORD_BYTES as u64, "ready_seconds": ready, "memory_bytes": resident }),
    )
}
