//! `ingest`: durable acknowledgements a second.

use std::path::Path;

use serde_json::{Value, json};

use crate::load::{LoadOptions, RECORD_BYTES};
use crate::{load, machine, node, peers};

/// Flowline without landing, the disk alone, and the peers that can be had, one after the other.
pub async fn run(folder: &Path, options: &LoadOptions) -> anyhow::Result<Value> {
    let write_bytes = options.batch as usize * RECORD_BYTES;
    let disk_one = machine::fdatasync_bytes_per_second(folder, write_bytes)?;
    let disk_all = machine::fdatasync_bytes_per_second(folder, write_bytes * options.connections as usize)?;
    let project = node::project(folder)?;
    let process = node::start_gateway(project.path())?;
    let warm_up = LoadOptions { records: options.records / 20, ..options.clone() };
    load::send(&process.http, &warm_up).await?;
    let result = load::send(&process.http, options).await?;
    let (_, peak) = node::memory(process.id())?;
    process.kill()?;
    let bytes_per_second = result.records as f64 * RECORD_BYTES as f64 / result.seconds;
    Ok(json!({
        "flowline": result.json(),
        "flowline_memory_peak_bytes": peak,
        "disk_fdatasync_bytes_per_second": { "one_batch_a_sync": disk_one, "all_connections_a_sync": disk_all },
        "share_of_disk": bytes_per_second / disk_all,
        "peers": if options.without_peers { json!(null) } else { peers::ingest(folder, options).await? },
    }))
}
