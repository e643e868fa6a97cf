//! `system.runs`: every run that retention has not removed.

use chrono::{DateTime, Utc};

use crate::row::system_row;

system_row! {
    /// One execution of a hop over a known input range.
    "runs" => RunRow {
        /// Its identifier; sorts by start.
        run_id: String,
        /// The dataset that the hop writes.
        dataset: String,
        /// `land`, `transform`, `replay` or `compact`.
        kind: String,
        /// `running`, `succeeded` or `failed`.
        outcome: String,
        /// Why it was started.
        trigger: String,
        /// When it was started. The table comes newest first.
        started_at: DateTime<Utc>,
        /// When it ended.
        finished_at: Option<DateTime<Utc>>,
        /// The attempt that ended it, from 1.
        attempts: u32,
        /// What it read: `log/0@17..42` for offsets from 17 to 41, `shop.orders@3..5` for versions 4 and 5.
        inputs: Vec<String>,
        /// Records read.
        read: u64,
        /// Rows written.
        written: u64,
        /// Records sent to quarantine.
        quarantined: u64,
        /// Records whose key was known.
        duplicate: u64,
        /// Records behind the watermark that were not written.
        late: u64,
        /// Records that the SQL's conditions left out.
        filtered: u64,
        /// `balanced`, `unbalanced` or `reshaped`.
        balance: String,
        /// Records that were read and are in no count (negative: counted and never read).
        missing: i64,
        /// Bytes read.
        bytes_read: u64,
        /// Bytes of the files written.
        bytes_written: u64,
        /// The version that it committed.
        version: Option<i64>,
        /// When it committed.
        committed_at: Option<DateTime<Utc>>,
        /// What to do about its error.
        error_kind: Option<String>,
        /// Why it failed.
        error: Option<String>,
        /// The trace that led to it.
        trace_id: Option<String>,
    }
}
