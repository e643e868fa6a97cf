//! `system.attempts`: the tries of runs; the newest thousand, or all of one run.

use chrono::{DateTime, Utc};
use flowline_model::Attempt;
use futures::FutureExt;

use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// One try of a run.
    "attempts" => AttemptRow {
        /// The run.
        run_id: String,
        /// From 1.
        number: u32,
        /// `running`, `succeeded`, `failed` or `cancelled`.
        outcome: String,
        /// When it was started.
        started_at: DateTime<Utc>,
        /// When it ended.
        finished_at: Option<DateTime<Utc>>,
        /// What to do about its error.
        error_kind: Option<String>,
        /// Why it failed or was cancelled.
        error: Option<String>,
    }
}

/// `system.attempts`.
#[derive(Debug)]
pub(crate) struct Attempts;

impl SystemTable for Attempts {
    type Row = AttemptRow;

    fn read(sources: Sources, request: Request) -> Pages<AttemptRow> {
        page(
            async move { Ok(sources.ledger.attempts(request.run).await?.into_iter().map(row).collect()) }
                .boxed(),
        )
    }
}

fn row(attempt: Attempt) -> AttemptRow {
    let (error_kind, error) =
        attempt.error.map(|error| (error.kind.as_str().to_owned(), error.message)).unzip();
    AttemptRow {
        run_id: attempt.run.to_string(),
        number: attempt.number,
        outcome: attempt.outcome.as_str().to_owned(),
        started_at: attempt.started_at,
        finished_at: attempt.finished_at,
        error_kind,
        error,
    }
}
