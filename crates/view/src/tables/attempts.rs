//! `system.attempts`: the tries of runs; the newest thousand, or all of one run.

use chrono::{DateTime, Utc};

use crate::row::system_row;

system_row! {
    /// One try of a run.
    "attempts" => AttemptRow {
        /// The run.
        run_id: String,
        /// From 1.
        number: u32,
        /// `running`, `succeeded` or `failed`.
        outcome: String,
        /// When it was started.
        started_at: DateTime<Utc>,
        /// When it ended.
        finished_at: Option<DateTime<Utc>>,
        /// What to do about its error.
        error_kind: Option<String>,
        /// Why it failed.
        error: Option<String>,
    }
}
