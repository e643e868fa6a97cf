//! The one transaction that records what a run did.

use flowline_model::{Finding, Outcome, Run, RunKind};

use crate::LandedFile;
use crate::database::Database;
use crate::fault::Fault;
use crate::runs::Known;
use crate::{files, findings, positions, runs, standings, totals};

/// Stores that a run has started.
pub(crate) async fn start_run(database: &Database, run: &Run) -> Result<(), Fault> {
    let mut transaction = database.begin().await?;
    if runs::insert_started(&mut transaction, run).await? {
        standings::started(&mut transaction, run).await?;
    }
    Ok(transaction.commit().await?)
}

/// Stores a run that ended; false when it is known.
pub(crate) async fn record_run(
    database: &Database,
    run: &Run,
    landed: &[LandedFile],
    found: &[Finding],
) -> Result<bool, Fault> {
    let mut transaction = database.begin().await?;
    // First of all, as this locks the hop's row: runs of one hop are recorded one after the other.
    standings::ended(&mut transaction, run).await?;
    if !is_news(runs::known(&mut transaction, run).await?, run) {
        transaction.rollback().await?;
        return Ok(false);
    }
    runs::upsert_ended(&mut transaction, run).await?;
    if run.outcome == Outcome::Succeeded {
        files::insert(&mut transaction, landed).await?;
        if matches!(run.kind, RunKind::Land | RunKind::Transform) {
            positions::advance(&mut transaction, run, landed).await?;
        }
        if run.kind != RunKind::Compact {
            totals::add(&mut transaction, run).await?;
        }
    }
    findings::upsert(&mut transaction, found, findings::Counting::Together).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Whether an offered run says something that is not recorded. A run that was given up counts as ended, unless its
/// commit is found after all: then it did happen, and its counts are owed.
fn is_news(known: Known, run: &Run) -> bool {
    match known {
        Known::Nothing | Known::Run(Outcome::Running) => true,
        Known::Run(Outcome::Failed | Outcome::Cancelled) => {
            run.outcome == Outcome::Succeeded && run.commit.is_some()
        }
        Known::Run(Outcome::Succeeded) | Known::Commit => false,
    }
}
