//! `system.commits`: every commit whose run retention has not removed.

use chrono::{DateTime, Utc};
use flowline_model::Run;
use futures::StreamExt;

use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable};
use crate::tables::runs;

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

/// `system.commits`.
#[derive(Debug)]
pub(crate) struct Commits;

impl SystemTable for Commits {
    type Row = CommitRow;

    fn read(sources: Sources, request: Request) -> Pages<CommitRow> {
        runs::pages(sources, request, true)
            .map(|page| page.map(|runs| runs.iter().filter_map(row).collect()))
            .boxed()
    }
}

fn row(run: &Run) -> Option<CommitRow> {
    let commit = run.commit.as_ref()?;
    Some(CommitRow {
        dataset: commit.dataset.to_string(),
        version: commit.version,
        committed_at: commit.committed_at,
        run_id: run.id.to_string(),
        kind: run.kind.as_str().to_owned(),
        written: run.counts.written,
        bytes_written: run.counts.bytes_written,
        latency_us: commit.latency_us,
        event_time_max: commit.event_time_max,
        received_at_min: commit.received_at_min,
    })
}
