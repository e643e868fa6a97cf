//! `system.quarantine`: what was rejected, by dataset and reason.

use chrono::{DateTime, Utc};

use crate::row::system_row;

system_row! {
    /// The records of one dataset that were rejected for one reason.
    "quarantine" => QuarantineRow {
        /// The dataset.
        dataset: String,
        /// `missing`, `wrong-type`, `failed-rule` or `unparsable`.
        reason: String,
        /// Records that lie in quarantine now; null when some were replayed and the lake is not at hand to count.
        rows: Option<u64>,
        /// Records that were ever sent there for this reason.
        quarantined: u64,
        /// The columns concerned; none for `unparsable`.
        columns: Vec<String>,
        /// The newest message.
        message: String,
        /// `log/0@17`: the first record concerned.
        first_position: Option<String>,
        /// The last record concerned.
        last_position: Option<String>,
        /// When the first was rejected.
        first_quarantined_at: DateTime<Utc>,
        /// When the last was rejected.
        last_quarantined_at: DateTime<Utc>,
    }
}
