//! `system.counts`: where every record of every hop went.

use chrono::{DateTime, Utc};
use flowline_model::Totals;
use futures::FutureExt;

use crate::facts::{balance, gap};
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// What one hop has counted since its first run:
    /// `read = written + quarantined + duplicate + late + filtered`.
    "counts" => CountRow {
        /// The dataset that the hop writes.
        dataset: String,
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
        /// The hop makes other rows of those it reads, so that they cannot be set against each other.
        reshaped: bool,
        /// `balanced`, `unbalanced` or `reshaped`.
        balance: String,
        /// Records that were read and are in no count (negative: counted and never read).
        missing: i64,
        /// Log positions that were passed and are not among `read` (negative: read twice); null without log inputs.
        gap: Option<i64>,
        /// Records that replays took out of quarantine; they count where they went then.
        replayed: u64,
        /// Bytes read.
        bytes_read: u64,
        /// Bytes of the files written.
        bytes_written: u64,
        /// When a run last added to the counts.
        updated_at: DateTime<Utc>,
    }
}

impl CountRow {
    /// Whether every record that was read, and every one that should have been, is somewhere.
    pub fn accounted_for(&self) -> bool {
        self.missing == 0 && self.gap.unwrap_or(0) == 0
    }
}

/// `system.counts`.
#[derive(Debug)]
pub(crate) struct Counts;

impl SystemTable for Counts {
    type Row = CountRow;

    fn read(sources: Sources, _request: Request) -> Pages<CountRow> {
        page(async move { Ok(sources.ledger.totals().await?.iter().map(row).collect()) }.boxed())
    }
}

fn row(totals: &Totals) -> CountRow {
    let counts = &totals.counted_once();
    let (balance, missing) = balance(counts);
    CountRow {
        dataset: totals.hop.to_string(),
        runs: totals.runs,
        read: counts.read,
        written: counts.written,
        quarantined: counts.quarantined,
        duplicate: counts.duplicate,
        late: counts.late,
        filtered: counts.filtered,
        reshaped: counts.reshaped,
        balance,
        missing,
        gap: gap(totals),
        replayed: totals.replayed,
        bytes_read: counts.bytes_read,
        bytes_written: counts.bytes_written,
        updated_at: totals.updated_at,
    }
}
