//! Quarantined records that nobody wants to land any more.
//!
//! Owns: which records leave the quarantine for good, and that it is on record who wanted that and why. Does not own:
//! the records that are replayed (`replay`). What was discarded still counts as quarantined in the balance.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::SessionContext;
use flowline_base::RunId;
use flowline_lake::{ReadAt, StagedFiles, TableCommit, arrow_types};
use flowline_model::{Counts, Dataset, InputRange, Outcome, Run, RunKind};
use serde_json::json;

use crate::replay::finish_interrupted;
use crate::reservation::Reservation;
use crate::tables::Tables;
use crate::{LandContext, LandError, ReplaySelection};

/// Which records to discard, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discard {
    /// By reason and column.
    pub selection: ReplaySelection,
    /// Only those that were quarantined before this time.
    pub before: Option<DateTime<Utc>>,
    /// Why, for the audit; it stands as the trigger of the run.
    pub because: String,
}

/// Deletes the records from the quarantine and records the run (`kind` is `discard`; its input range says how many). Files
/// that hold some of them are written again without; the old files stay readable by version until they are vacuumed.
///
/// # Errors
/// [`LandError::Selection`] for a reason that there is not, or none given for discarding; [`LandError::Busy`] while landing
/// holds the table.
pub async fn discard_quarantine(
    context: &LandContext,
    dataset: &Dataset,
    discard: &Discard,
) -> Result<Run, LandError> {
    if discard.because.trim().is_empty() {
        let reason = "say why the records are discarded: it is kept for whoever asks later".to_owned();
        return Err(LandError::Selection { reason });
    }
    let condition = discard.condition()?;
    let started_at = context.clock.now();
    let tables = Tables::new(context, Arc::new(dataset.clone()));
    let mut reservation = Reservation::default();
    let reserved =
        tokio::time::timeout(crate::replay::RESERVED_WITHIN, reservation.take(&tables, &context.clock));
    reserved.await.map_err(|_| LandError::Busy { dataset: dataset.name.clone() })?;
    let id = RunId::generate();
    let mut removed = 0;
    if tables.quarantine.exists().await? {
        finish_interrupted(context, &tables).await?;
    }
    if found(&tables, &condition).await? {
        let commit = TableCommit {
            operation: "DELETE",
            info: json!({ "id": id, "discarded": discard.because }),
            ..TableCommit::append(StagedFiles::none())
        };
        let committed = tables.quarantine.delete_where(condition, commit).await?;
        // Rows of files that are written again are among those removed and among those added.
        removed = committed.rows_removed.saturating_sub(committed.rows);
    }
    reservation.give_back();
    let run = Run {
        id,
        hop: dataset.name.clone(),
        kind: RunKind::Discard,
        outcome: Outcome::Succeeded,
        trigger: format!("discard: {}", discard.because.trim()),
        inputs: vec![InputRange { input: "quarantine".to_owned(), from: 0, to: removed as i64 }],
        counts: Counts::default(),
        started_at,
        finished_at: Some(context.clock.now()),
        attempts: 1,
        commit: None,
        error: None,
        trace_id: None,
    };
    context.ledger.record_run(&run, &[], &[]).await?;
    tracing::info!(dataset = %dataset.name, records = removed, because = %discard.because, "discarded from quarantine");
    Ok(run)
}

/// Deletes what has been in the quarantine for longer than the dataset says, when there is any.
///
/// # Errors
/// As those of [`discard_quarantine`].
pub async fn expire_quarantine(context: &LandContext, dataset: &Dataset) -> Result<Option<Run>, LandError> {
    let Some(retain_for) = dataset.landing.quarantine_retain_for else { return Ok(None) };
    let before =
        TimeDelta::from_std(retain_for).ok().and_then(|age| context.clock.now().checked_sub_signed(age));
    let discard = Discard {
        selection: ReplaySelection::default(),
        because: "older than `quarantine_retain_for`".to_owned(),
        before: Some(before.unwrap_or(DateTime::UNIX_EPOCH)),
    };
    let tables = Tables::new(context, Arc::new(dataset.clone()));
    match found(&tables, &discard.condition()?).await? {
        true => discard_quarantine(context, dataset, &discard).await.map(Some),
        false => Ok(None),
    }
}

/// Whether the quarantine has such a record.
async fn found(tables: &Tables, condition: &Expr) -> Result<bool, LandError> {
    if !tables.quarantine.exists().await? {
        return Ok(false);
    }
    let provider = tables.quarantine.provider(ReadAt::Latest).await?;
    let rows = async {
        let frame = SessionContext::new().read_table(provider)?.filter(condition.clone())?;
        frame.limit(0, Some(1))?.count().await
    };
    let rows = rows.await.map_err(|error: DataFusionError| LandError::Internal {
        reason: format!("reading the quarantine: {error}"),
    })?;
    Ok(rows > 0)
}

impl Discard {
    fn condition(&self) -> Result<Expr, LandError> {
        let before = self.before.map(|before| {
            let time = ScalarValue::TimestampMicrosecond(Some(before.timestamp_micros()), Some("UTC".into()));
            col(arrow_types::INGESTED_AT).lt(lit(time))
        });
        Ok(self
            .selection
            .condition()?
            .into_iter()
            .chain(before)
            .reduce(Expr::and)
            .unwrap_or_else(|| lit(true)))
    }
}
