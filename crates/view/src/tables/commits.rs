//! `system.commits`: every commit whose run retention has not removed.

use chrono::{DateTime, Utc};

use crate::row::system_row;

system_row! {
    /// One commit to a dataset's table.
    "commits" => CommitRow {
        /// The dataset.
        dataset: String,
        /// The table's version after it.
        version: i64,
        /// When.
        committed_at: DateTime<Utc>,
        /// The run that made it.
        run_id: String,
        /// The kind of that run: `land`, `transform`, `replay` or `compact`.
        kind: String,
        /// Rows written.
        written: u64,
        /// Bytes of the files written.
        bytes_written: u64,
        /// Time from the start of the commit until it was durable, microseconds.
        latency_us: u64,
        /// The newest event time among its rows.
        event_time_max: Option<DateTime<Utc>>,
        /// The oldest receipt among its records.
        received_at_min: Option<DateTime<Utc>>,
    }
}
