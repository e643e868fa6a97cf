//! What the log measures about itself, for each source.

use std::time::Duration;

use super::partition::Partition;
use super::state::Pending;

/// A group is on stable storage.
pub(crate) fn synced(partition: &Partition, group: &[Pending], took: Duration) {
    let dataset = partition.id.source.to_string();
    let records: u64 = group.iter().map(|pending| u64::from(pending.frame.records)).sum();
    let bytes: u64 = group.iter().map(|pending| pending.frame.bytes()).sum();
    metrics::counter!("flowline_log_appended_records_total", "dataset" => dataset.clone()).increment(records);
    metrics::counter!("flowline_log_appended_bytes_total", "dataset" => dataset.clone()).increment(bytes);
    metrics::histogram!("flowline_log_sync_seconds", "dataset" => dataset.clone()).record(took);
    metrics::histogram!("flowline_log_group_batches", "dataset" => dataset).record(group.len() as f64);
    levels(partition);
}

/// What waits for its sync, and what waits to be landed.
pub(crate) fn levels(partition: &Partition) {
    let (queued, unreleased) = {
        let state = partition.state.lock();
        (state.queued_bytes, state.unreleased_bytes)
    };
    let dataset = partition.id.source.to_string();
    let number = partition.id.partition.to_string();
    let labels = [("dataset", dataset), ("partition", number)];
    metrics::gauge!("flowline_log_queued_bytes", &labels).set(queued as f64);
    metrics::gauge!("flowline_log_unreleased_bytes", &labels).set(unreleased as f64);
}
