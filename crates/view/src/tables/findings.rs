//! `system.findings`: what was found about the data.

use chrono::{DateTime, Utc};

use crate::row::system_row;

system_row! {
    /// One thing that was found about one subject of one dataset, as often as it was found.
    "findings" => FindingRow {
        /// The dataset.
        dataset: String,
        /// What: `missing`, `wrong-type`, `empty-file` …
        kind: String,
        /// `info`, `warning` or `error`.
        severity: String,
        /// What it is about: a column, a file, a partition.
        subject: String,
        /// What happened, and what to do next.
        message: String,
        /// Records or files concerned, all times together.
        records: u64,
        /// `log/0@17`: the first record concerned.
        first_position: Option<String>,
        /// The last record concerned.
        last_position: Option<String>,
        /// The run that found it last.
        run_id: Option<String>,
        /// When it was found first.
        first_found_at: DateTime<Utc>,
        /// When it was found last.
        last_found_at: DateTime<Utc>,
    }
}
