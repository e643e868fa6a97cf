//! Delete by predicate.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;

use super::pass::{ATTEMPTS, Pass, commit_pass, pass};
use crate::delta::snapshot::Snapshot;
use crate::read::files_table;
use crate::store::from_datafusion;
use crate::table::Shared;
use crate::{Committed, LakeError, TableCommit};

/// Removes the rows for which the predicate is true, and adds the commit's.
pub(crate) async fn delete_where(
    table: &Arc<Shared>,
    predicate: Expr,
    commit: TableCommit,
) -> Result<Committed, LakeError> {
    let predicate = unqualified(predicate).map_err(|error| wrong(table, &error))?;
    let mut attempt = 1;
    loop {
        let snapshot = table.newest().await?.ok_or_else(|| table.no_table())?;
        let pass = find(table, &snapshot, &predicate).await?;
        let base = snapshot.version;
        drop(snapshot);
        match commit_pass(table, base, &pass, &[&commit.staged], &commit).await {
            Err(LakeError::Conflict { .. }) if attempt < ATTEMPTS => {
                discard(table, pass).await;
                attempt += 1;
            }
            done => return done,
        }
    }
}

async fn find(table: &Shared, snapshot: &Snapshot, predicate: &Expr) -> Result<Pass, LakeError> {
    let place = || table.name.to_string();
    let mut columns: Vec<String> =
        predicate.column_refs().into_iter().map(|column| column.name.clone()).collect();
    columns.sort();
    if columns.is_empty() {
        // Something has to be read for the rows to be counted.
        columns.extend(snapshot.schema.fields().first().map(|field| field.name().clone()));
    }
    let whole = files_table(table, snapshot, snapshot.files_in_order());
    let candidates = whole.pruned(predicate.clone()).map_err(|error| wrong(table, &error))?.files;
    let context = SessionContext::new();
    let mut matches = |batch: &RecordBatch| {
        let mask = condition(&context, predicate, batch)
            .and_then(|condition| condition.evaluate(batch)?.into_array(batch.num_rows()));
        let mask = mask.map_err(|error| from_datafusion("deleting from", place(), &error))?;
        match mask.as_boolean_opt() {
            Some(mask) => Ok(mask.clone()),
            None => Err(table.input_error(format!("`{predicate}` is not a condition"))),
        }
    };
    pass(table, snapshot, candidates, &columns, &mut matches).await
}

fn condition(
    context: &SessionContext,
    predicate: &Expr,
    batch: &RecordBatch,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let columns = DFSchema::try_from(batch.schema())?;
    context.create_physical_expr(predicate.clone(), &columns)
}

/// Deletes the files of a pass that did not come to be committed.
pub(super) async fn discard(table: &Shared, pass: Pass) {
    let paths = pass.kept.files.iter().map(|file| table.store.at(&file.path)).collect();
    if let Err(error) = table.store.delete(paths).await {
        tracing::debug!(table = %table.name, error = %error, "files of a lost commit were left to vacuum");
    }
}

/// Columns without the name of a table before them.
fn unqualified(predicate: Expr) -> Result<Expr, DataFusionError> {
    let stripped = predicate.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) if column.relation.is_some() => {
                Transformed::yes(Expr::Column(datafusion::common::Column::new_unqualified(column.name)))
            }
            other => Transformed::no(other),
        })
    });
    stripped.map(|stripped| stripped.data)
}

fn wrong(table: &Shared, error: &DataFusionError) -> LakeError {
    table.input_error(format!("the condition cannot be used: {error}"))
}
