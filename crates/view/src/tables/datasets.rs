//! `system.datasets`: what is deployed.

use chrono::{DateTime, Utc};

use crate::row::system_row;

system_row! {
    /// One dataset of the deployment recorded last.
    "datasets" => DatasetRow {
        /// `domain.name`.
        dataset: String,
        /// The part before the dot.
        domain: String,
        /// The part behind the dot.
        name: String,
        /// `raw`, `clean` or `trusted`.
        zone: String,
        /// The team that answers for it.
        owner: String,
        /// For people.
        description: String,
        /// How its rows come to be: `http`, `files` or `sql`.
        origin: String,
        /// How the table follows its SQL; null unless the origin is `sql`.
        materialization: Option<String>,
        /// The datasets that its SQL reads.
        inputs: Vec<String>,
        /// Columns that identify a record.
        key: Vec<String>,
        /// The columns that split the table into folders.
        partition_columns: Vec<String>,
        /// Number of columns.
        columns: u32,
        /// The age that its service level allows.
        freshness_within_seconds: Option<i64>,
        /// The share of read records that must be written.
        completeness_target: Option<f64>,
        /// Path of the runbook in the project.
        runbook: Option<String>,
        /// The file that declares it.
        declared_in: String,
        /// The newest version of its table.
        version: Option<i64>,
        /// When its rows last changed.
        committed_at: Option<DateTime<Utc>>,
        /// Rows in its table; null where the lake is not at hand.
        rows: Option<u64>,
        /// Files of its table; null where the lake is not at hand.
        files: Option<u64>,
        /// Bytes of those files; null where the lake is not at hand.
        bytes: Option<u64>,
    }
}
