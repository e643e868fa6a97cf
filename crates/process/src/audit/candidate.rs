//! The table as it will be when staged rows are committed.

use std::sync::Arc;

use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::NullEquality;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Join, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, lit};
use flowline_lake::{CommitMode, LakeError, ReadAt, StagedFiles, Table};

use super::Subject;
use crate::ProcessError;
use crate::transform::{Change, named};

/// The table as it will be when the change is committed: rows that stay, and rows that come.
pub(crate) async fn candidate(
    table: &Table,
    key: &[String],
    change: &Change,
) -> Result<Subject, ProcessError> {
    let failed = |error: LakeError| ProcessError::lake(format!("reading `{}`", table.id().dataset))(error);
    let staged = match change {
        Change::Files(staged, CommitMode::OverwriteWith(spec)) => {
            let provider = table.provider_of_staged(spec, staged).map_err(failed)?;
            return Ok(Subject { provider, version: None, rows: Some(staged.rows()) });
        }
        Change::Files(staged, _) | Change::Replace(staged, _) => staged,
        Change::Merge(merge) => merge.staged(),
    };
    let comes = staged_rows(table, staged).await.map_err(failed)?;
    if matches!(change, Change::Files(_, CommitMode::Overwrite)) {
        return Ok(Subject { provider: comes, version: None, rows: Some(staged.rows()) });
    }
    let there = table.provider(ReadAt::Latest).await.map_err(failed)?;
    let stays = LogicalPlanBuilder::scan("stays", provider_as_source(there), None)?;
    let comes = LogicalPlanBuilder::scan("comes", provider_as_source(comes), None)?;
    let stays = match change {
        Change::Files(_, CommitMode::ReplacePartitions(partitions)) => {
            let replaced = partitions.iter().map(|values| values.predicate().unwrap_or_else(|| lit(true)));
            match replaced.reduce(Expr::or) {
                Some(replaced) => stays.filter(replaced.is_not_true())?,
                None => stays,
            }
        }
        Change::Files(..) => stays,
        Change::Replace(_, gone) => stays.filter(gone.clone().is_not_true())?,
        Change::Merge(merge) => {
            let stays = without(stays.build()?, comes.clone().build()?, key)?;
            match merge.gone().first() {
                Some(first) => {
                    let gone = MemTable::try_new(first.schema(), vec![merge.gone().to_vec()])?;
                    let gone = LogicalPlanBuilder::scan("gone", provider_as_source(Arc::new(gone)), None)?;
                    without(stays.build()?, gone.build()?, key)?
                }
                None => stays,
            }
        }
    };
    let both = stays.union(comes.build()?)?.build()?;
    Ok(Subject { provider: Arc::new(ViewTable::new(both, None)), version: None, rows: None })
}

async fn staged_rows(
    table: &Table,
    staged: &StagedFiles,
) -> std::result::Result<Arc<dyn TableProvider>, LakeError> {
    table.provider_of_files(staged.files()).await
}

/// The rows whose key is not among the others'; nulls in keys are equal here, as they are to the merge.
fn without(stays: LogicalPlan, comes: LogicalPlan, key: &[String]) -> Result<LogicalPlanBuilder> {
    let renamed = key.iter().map(|name| named(name).alias(format!("__flowline_new_{name}")));
    let comes = LogicalPlanBuilder::from(comes).project(renamed.collect::<Vec<_>>())?.build()?;
    let on = key.iter().map(|name| (named(name), named(&format!("__flowline_new_{name}")))).collect();
    let equal = NullEquality::NullEqualsNull;
    let (stays, comes) = (Arc::new(stays), Arc::new(comes));
    let join = Join::try_new(stays, comes, on, None, JoinType::LeftAnti, JoinConstraint::On, equal, false)?;
    Ok(LogicalPlanBuilder::from(LogicalPlan::Join(join)))
}
