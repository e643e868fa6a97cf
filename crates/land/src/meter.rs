//! What landing tells the metrics.

use flowline_model::Run;

/// A run was committed.
pub(crate) fn committed(run: &Run) {
    let labels = [("dataset", run.hop.to_string())];
    let counts = &run.counts;
    metrics::counter!("flowline_land_read_records_total", &labels).increment(counts.read);
    metrics::counter!("flowline_land_written_rows_total", &labels).increment(counts.written);
    metrics::counter!("flowline_land_quarantined_records_total", &labels).increment(counts.quarantined);
    metrics::counter!("flowline_land_duplicate_records_total", &labels).increment(counts.duplicate);
    metrics::counter!("flowline_land_read_bytes_total", &labels).increment(counts.bytes_read);
    metrics::counter!("flowline_land_written_bytes_total", &labels).increment(counts.bytes_written);
    let Some(commit) = &run.commit else { return };
    metrics::histogram!("flowline_land_commit_latency_seconds", &labels)
        .record(commit.latency_us as f64 / 1e6);
    if let Some(received_at) = commit.received_at_min {
        let waited = (commit.committed_at - received_at).to_std().unwrap_or_default();
        metrics::histogram!("flowline_land_received_to_committed_seconds", &labels)
            .record(waited.as_secs_f64());
    }
}
