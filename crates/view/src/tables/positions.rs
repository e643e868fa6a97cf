//! `system.positions`: how far every hop has read each of its inputs, and how far it could.

use chrono::{DateTime, Utc};

use crate::row::system_row;

system_row! {
    /// One input of one hop.
    "positions" => PositionRow {
        /// The dataset that the hop writes.
        dataset: String,
        /// `log/0` for a partition of the log, a dataset's name for a table.
        input: String,
        /// Where the first run began.
        first: i64,
        /// Where the next run begins.
        next: i64,
        /// What the runs read of it together.
        covered: i64,
        /// Offsets that no run read (negative: read twice); null for tables.
        gap: Option<i64>,
        /// When it last moved.
        moved_at: DateTime<Utc>,
        /// The end of the log, or the newest version of the table; null where nobody can tell.
        newest: Option<i64>,
        /// `newest` less `next`: records or versions that wait.
        lag: Option<i64>,
        /// The oldest offset that the log keeps.
        log_start: Option<u64>,
        /// Bytes of the partition on disk.
        log_bytes: Option<u64>,
        /// Appends that wait for their sync.
        log_queued: Option<u64>,
        /// When the newest record was received.
        last_received_at: Option<DateTime<Utc>>,
    }
}
