//! `system.hops`: the flow map, how every hop stands now.

use chrono::{DateTime, Utc};
use futures::FutureExt;

use crate::ViewError;
use crate::flow::Flow;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// One hop: inputs → the dataset that it is named after. Counts are of all runs since the first.
    "hops" => HopRow {
        /// The dataset that it writes.
        dataset: String,
        /// The part before the dot.
        domain: String,
        /// `raw`, `clean` or `trusted`.
        zone: String,
        /// The team that answers for it.
        owner: String,
        /// `http`, `files`, `sql`, or `view` for SQL that runs when it is asked.
        kind: String,
        /// The datasets that it reads; none where the rows come from outside.
        inputs: Vec<String>,
        /// `ok`, `stale`, `failed`, `waiting` or `never`: see [`crate::hop_state`].
        state: String,
        /// Whether a run is under way.
        running: bool,
        /// The run that ended last, compactions left out.
        last_run_id: Option<String>,
        /// How it ended: `succeeded` or `failed`.
        last_outcome: Option<String>,
        /// When it ended.
        last_finished_at: Option<DateTime<Utc>>,
        /// Why the last run failed; null when it did not.
        last_error: Option<String>,
        /// The kind of that error, which says what to do.
        last_error_kind: Option<String>,
        /// Runs that failed since the last that succeeded.
        failures: u32,
        /// When the first of those ended.
        failing_since: Option<DateTime<Utc>>,
        /// Runs that are in the counts.
        runs: u64,
        /// Records read, each counted once however often it is replayed.
        read: u64,
        /// Rows written.
        written: u64,
        /// Records put into quarantine that no replay has taken out of it; discarded ones count.
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
        /// Positions that no run read (negative: read twice); null without log inputs.
        gap: Option<i64>,
        /// Records in the log that are not landed; null for other hops and where no node runs.
        lag_records: Option<u64>,
        /// Commits of its inputs that it has not read; null for hops that read from outside.
        lag_versions: Option<u64>,
        /// How long the oldest of what it has not read has been waiting; 0 when nothing is.
        lag_seconds: Option<i64>,
        /// Why it is the hop that the flow waits for, and how much waits; null where that is another one, or none.
        slow: Option<String>,
        /// Why it is not landed now: what waits for which table downstream; null when it is, and for other hops.
        held_back: Option<String>,
        /// The newest version of its table.
        version: Option<i64>,
        /// When its rows last changed; for a view, when the oldest of its inputs did.
        last_committed_at: Option<DateTime<Utc>>,
        /// The age of that.
        freshness_seconds: Option<i64>,
        /// The age that its service level allows.
        freshness_within_seconds: Option<i64>,
        /// Path of the runbook in the project.
        runbook: Option<String>,
    }
}

impl HopRow {
    /// Whether records come in here from outside, and not from other datasets.
    pub fn landed(&self) -> bool {
        matches!(self.kind.as_str(), "http" | "files" | "kafka")
    }

    /// Whether every record that was read, and every one that should have been, is somewhere.
    pub fn accounted_for(&self) -> bool {
        self.missing == 0 && self.gap.unwrap_or(0) == 0
    }
}

/// `system.hops`.
#[derive(Debug)]
pub(crate) struct Hops;

impl SystemTable for Hops {
    type Row = HopRow;

    fn read(sources: Sources, _request: Request) -> Pages<HopRow> {
        page(async move { read(&sources).await }.boxed())
    }
}

/// Reads the whole map whatever is asked for: it is as large as the project, and a hop's state depends on others.
async fn read(sources: &Sources) -> Result<Vec<HopRow>, ViewError> {
    // The ends of the log last: what is landed in between can only make the lag look larger, never negative.
    let flow = Flow {
        catalog: sources.ledger.catalog().await?,
        standings: sources.ledger.standings().await?,
        totals: sources.ledger.totals().await?,
        positions: sources.ledger.positions(None).await?,
        partitions: sources.live.log_partitions().await,
        held: sources.live.held(),
        now: sources.clock.now(),
    };
    let mut oldest_unread = Vec::new();
    for unread in flow.unread() {
        let oldest = sources.ledger.first_commit_after(&unread.input, unread.version).await?;
        oldest_unread.push((unread, oldest.map(|commit| commit.committed_at)));
    }
    Ok(flow.hops(&oldest_unread))
}
