//! `system.runs`: every run that retention has not removed.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use flowline_ledger::RunFilter;
use flowline_model::{InputRange, Run};
use futures::stream::{self, StreamExt};

use crate::ViewError;
use crate::facts::balance;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable};

system_row! {
    /// One execution of a hop over a known input range.
    "runs" => RunRow {
        /// Its identifier; sorts by start.
        run_id: String,
        /// The dataset that the hop writes.
        dataset: String,
        /// `land`, `transform`, `replay` or `compact`.
        kind: String,
        /// `running`, `succeeded`, `failed`, or `cancelled`: its node was told to end, or its part went to another one.
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
        /// Why it failed or was cancelled.
        error: Option<String>,
        /// The trace that led to it.
        trace_id: Option<String>,
    }
}

/// `system.runs`.
#[derive(Debug)]
pub(crate) struct Runs;

impl SystemTable for Runs {
    type Row = RunRow;

    const NEWEST_FIRST_BY: Option<&'static str> = Some("started_at");

    fn read(sources: Sources, request: Request) -> Pages<RunRow> {
        pages(sources, request, false).map(|page| page.map(|runs| runs.iter().map(row).collect())).boxed()
    }
}

/// The first page is small, as most queries want the newest few; later ones are large, as few round trips read all.
const PAGE_RUNS_FIRST: u32 = 128;
const PAGE_RUNS_MAX: u32 = 4_096;

/// The runs that meet a request, newest first, page after page as they are asked for.
pub(super) fn pages(sources: Sources, request: Request, committed: bool) -> Pages<Run> {
    let first = RunFilter {
        run: request.run,
        hop: request.dataset,
        kind: request.kind,
        outcome: request.outcome,
        committed,
        started_from: request.started_from,
        before: None,
        limit: Some(request.limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(PAGE_RUNS_FIRST)),
    };
    let next = VecDeque::from([first]);
    stream::try_unfold((sources, next), |(sources, mut next)| async move {
        let Some(filter) = next.pop_front() else { return Ok(None) };
        let runs = sources.ledger.runs(&filter).await.map_err(ViewError::from)?;
        let limit = filter.limit.unwrap_or(PAGE_RUNS_FIRST);
        if let Some(last) = runs.last().filter(|_| runs.len() as u64 >= u64::from(limit)) {
            let larger = limit.saturating_mul(4).clamp(PAGE_RUNS_FIRST, PAGE_RUNS_MAX);
            next.push_back(RunFilter { before: Some(last.id), limit: Some(larger), ..filter });
        }
        Ok(Some((runs, (sources, next))))
    })
    .boxed()
}

fn row(run: &Run) -> RunRow {
    let counts = &run.counts;
    let (balance, missing) = balance(counts);
    let commit = run.commit.as_ref();
    RunRow {
        run_id: run.id.to_string(),
        dataset: run.hop.to_string(),
        kind: run.kind.as_str().to_owned(),
        outcome: run.outcome.as_str().to_owned(),
        trigger: run.trigger.clone(),
        started_at: run.started_at,
        finished_at: run.finished_at,
        attempts: run.attempts,
        inputs: run.inputs.iter().map(range).collect(),
        read: counts.read,
        written: counts.written,
        quarantined: counts.quarantined,
        duplicate: counts.duplicate,
        late: counts.late,
        filtered: counts.filtered,
        balance,
        missing,
        bytes_read: counts.bytes_read,
        bytes_written: counts.bytes_written,
        version: commit.map(|commit| commit.version),
        committed_at: commit.map(|commit| commit.committed_at),
        error_kind: run.error.as_ref().map(|error| error.kind.as_str().to_owned()),
        error: run.error.as_ref().map(|error| error.message.clone()),
        trace_id: run.trace_id.clone(),
    }
}

fn range(input: &InputRange) -> String {
    format!("{}@{}..{}", input.input, input.from, input.to)
}
