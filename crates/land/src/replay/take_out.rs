//! Records leave the quarantine once their rows are committed.

use datafusion::logical_expr::{Expr, col, lit};
use flowline_base::RunId;
use flowline_lake::{HistoryEntry, StagedFiles, Table, TableCommit, arrow_types};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::commit::{CommitNote, Transaction, record_found};
use crate::tables::Tables;
use crate::{LandContext, LandError};

/// Commits of the data table that are looked through for the one that was interrupted.
const LOOK_BACK: usize = 256;

/// Records that a replay takes out of the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replayed {
    /// `_batch` of the run that put them there.
    pub(crate) batch: String,
    /// `_source`.
    pub(crate) source: String,
    /// `_partition`.
    pub(crate) partition: i32,
    /// `_offset` of each.
    pub(crate) offsets: Vec<i64>,
}

/// The application id of a dataset's replays, in both tables.
pub(crate) fn app_id(tables: &Tables) -> String {
    format!("{}/replay", tables.dataset.name)
}

/// Removes the records and moves the quarantine's position to that of the data table. Doing it again changes nothing.
pub(crate) async fn take_out(
    quarantine: &Table,
    run: RunId,
    replayed: &[Replayed],
    position: &Transaction,
) -> Result<(), LandError> {
    let committed = quarantine.transaction_version(&position.app_id).await?;
    if committed.is_some_and(|committed| committed >= position.next) {
        return Ok(());
    }
    let conditions: Vec<Expr> = replayed.iter().map(condition).collect();
    let Some(records) = any_of(&conditions) else { return Ok(()) };
    let commit = TableCommit {
        transaction: Some((position.app_id.clone(), position.next)),
        expected_transaction: Some(committed),
        operation: "DELETE",
        info: json!({ "id": run }),
        ..TableCommit::append(StagedFiles::none())
    };
    quarantine.delete_where(records, commit).await?;
    Ok(())
}

/// True where one of the conditions is; as flat as can be, because expressions are walked recursively.
fn any_of(conditions: &[Expr]) -> Option<Expr> {
    match conditions {
        [] => None,
        [one] => Some(one.clone()),
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            any_of(left).zip(any_of(right)).map(|(left, right)| left.or(right))
        }
    }
}

fn condition(replayed: &Replayed) -> Expr {
    let offsets = replayed.offsets.iter().map(|offset| lit(*offset)).collect();
    col(arrow_types::BATCH)
        .eq(lit(replayed.batch.clone()))
        .and(col(arrow_types::SOURCE).eq(lit(replayed.source.clone())))
        .and(col(arrow_types::PARTITION).eq(lit(replayed.partition)))
        .and(col(arrow_types::OFFSET).in_list(offsets, false))
}

/// After a crash between the two commits of a replay: its run is put on record, and its records, which stand in both
/// tables, leave the quarantine.
pub(crate) async fn finish_interrupted(context: &LandContext, tables: &Tables) -> Result<(), LandError> {
    let app_id = app_id(tables);
    let Some(committed) = tables.data.transaction_version(&app_id).await? else { return Ok(()) };
    let taken_out = tables.quarantine.transaction_version(&app_id).await?;
    if taken_out.is_some_and(|taken_out| taken_out >= committed) {
        return Ok(());
    }
    let entries = tables.data.history(None, LOOK_BACK).await?;
    let moved = |entry: &HistoryEntry| entry.transactions.contains(&(app_id.clone(), committed));
    let entry = entries.into_iter().find(moved);
    let note =
        entry.as_ref().and_then(|entry| serde_json::from_value::<CommitNote>(entry.info.clone()?).ok());
    let Some((entry, note)) = entry.zip(note) else {
        let reason = format!(
            "replay {committed} did not finish, and what it replayed is no longer in the table's history: compare the \
             quarantine with the table"
        );
        return Err(LandError::Internal { reason });
    };
    tracing::warn!(dataset = %tables.dataset.name, run = %note.id, "a replay was interrupted and is finished now");
    record_found(context, &tables.dataset.name, entry).await?;
    let position = Transaction { app_id, committed: taken_out, next: committed };
    take_out(&tables.quarantine, note.id, &note.replayed, &position).await
}
