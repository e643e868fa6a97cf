//! The table as it will be when staged rows are committed.
//!
//! Owns: what comes and what goes beside the version that the commit will follow, so that what is kept of that version
//! is moved on by those rows alone; what to keep once the commit is made. Does not own: how it is counted (`state`, `keys`).

use std::sync::Arc;

use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::NullEquality;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Join, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, lit};
use flowline_lake::{CommitMode, LakeError, ReadAt, Table};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::Subject;
use super::note::Note;
use crate::ProcessError;
use crate::transform::{Change, named};

/// What a commit that is yet to be made does to a version of a table.
pub(crate) struct Uncommitted {
    /// The version.
    pub version: i64,
    /// Its rows.
    pub there: Arc<dyn TableProvider>,
    /// How many those are, as far as the log knows.
    pub rows: u64,
    /// The rows that come.
    pub comes: Arc<dyn TableProvider>,
    pub comes_rows: u64,
    /// The rows that go; none when all stay.
    pub goes: Option<Arc<dyn TableProvider>>,
    /// How many those are, once they were counted.
    pub goes_rows: OnceCell<u64>,
    /// What was counted of the table as it will be.
    notes: Mutex<Vec<Note>>,
}

impl Uncommitted {
    /// The version of the table once this is committed, when nothing is committed before it.
    pub fn next(&self) -> i64 {
        self.version + 1
    }

    /// Has what was counted kept once this is committed.
    pub fn note(&self, note: Note) {
        self.notes.lock().push(note);
    }

    /// Keeps what was counted where the table is what was counted, and otherwise deletes it.
    pub async fn settle(&self, table: &Table, committed: Option<i64>) {
        let notes = std::mem::take(&mut *self.notes.lock());
        for note in notes {
            match committed == Some(self.next()) {
                true => note.keep(table).await,
                false => note.discard(table).await,
            }
        }
    }
}

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
            return Ok(Subject { rows: Some(staged.rows()), ..Subject::unversioned(provider) });
        }
        Change::Files(staged, _) | Change::Replace(staged, _) => staged,
        Change::Merge(merge) => merge.staged(),
    };
    let comes = table.provider_of_files(staged.files()).await.map_err(failed)?;
    if matches!(change, Change::Files(_, CommitMode::Overwrite)) {
        return Ok(Subject { rows: Some(staged.rows()), ..Subject::unversioned(comes) });
    }
    let there = table.read(ReadAt::Latest).await.map_err(failed)?;
    let stats = table.stats().await.map_err(failed)?;
    let scan = |name: &str, rows: &Arc<dyn TableProvider>| {
        LogicalPlanBuilder::scan(name, provider_as_source(Arc::clone(rows)), None)
    };
    let (there_plan, coming) = (scan("stays", &there.provider)?, scan("comes", &comes)?);
    let (stays, goes) = parted(there_plan, &coming, key, change)?;
    let view = |plan: LogicalPlan| Arc::new(ViewTable::new(plan, None)) as Arc<dyn TableProvider>;
    let goes = goes.map(LogicalPlanBuilder::build).transpose()?.map(view);
    // Another commit may have come between the two; then the rows are counted.
    let known = stats.version == there.version && goes.is_none();
    let uncommitted = Uncommitted {
        version: there.version,
        there: there.provider,
        rows: stats.rows,
        comes,
        comes_rows: staged.rows(),
        goes,
        goes_rows: OnceCell::new(),
        notes: Mutex::default(),
    };
    Ok(Subject {
        rows: known.then_some(stats.rows + staged.rows()),
        change: (stats.version == uncommitted.version).then_some(uncommitted),
        ..Subject::unversioned(view(stays.union(coming.build()?)?.build()?))
    })
}

/// The rows that stay and those that go with a change; none of the latter when all stay.
fn parted(
    there: LogicalPlanBuilder,
    comes: &LogicalPlanBuilder,
    key: &[String],
    change: &Change,
) -> Result<(LogicalPlanBuilder, Option<LogicalPlanBuilder>)> {
    if let Change::Merge(merge) = change {
        let bounded = match merge.condition() {
            Some(condition) => there.clone().filter(condition)?,
            None => there.clone(),
        };
        let comes = comes.clone().build()?;
        let goes = met(bounded.clone().build()?, comes.clone(), key, JoinType::LeftSemi)?;
        let stays = met(there.build()?, comes.clone(), key, JoinType::LeftAnti)?;
        // Keys whose rows go without others in their place.
        let Some(first) = merge.gone().first() else { return Ok((stays, Some(goes))) };
        let gone = MemTable::try_new(first.schema(), vec![merge.gone().to_vec()])?;
        let gone = LogicalPlanBuilder::scan("gone", provider_as_source(Arc::new(gone)), None)?.build()?;
        let others = met(bounded.build()?, comes, key, JoinType::LeftAnti)?;
        let others = met(others.build()?, gone.clone(), key, JoinType::LeftSemi)?;
        let goes = goes.union(others.build()?)?;
        return Ok((met(stays.build()?, gone, key, JoinType::LeftAnti)?, Some(goes)));
    }
    Ok(match replaced(change) {
        Some(gone) => {
            let goes = there.clone().filter(gone.clone().is_true())?;
            (there.filter(gone.is_not_true())?, Some(goes))
        }
        None => (there, None),
    })
}

/// The condition that rows meet which go; none when all stay. Of a merge their keys say it.
fn replaced(change: &Change) -> Option<Expr> {
    match change {
        Change::Files(_, CommitMode::ReplacePartitions(partitions)) => {
            let replaced = partitions.iter().map(|values| values.predicate().unwrap_or_else(|| lit(true)));
            replaced.reduce(Expr::or)
        }
        Change::Replace(_, gone) => Some(gone.clone()),
        Change::Files(..) | Change::Merge(_) => None,
    }
}

/// The rows whose key is among the others', or is not; nulls in keys are equal here, as they are to the merge.
fn met(rows: LogicalPlan, others: LogicalPlan, key: &[String], how: JoinType) -> Result<LogicalPlanBuilder> {
    let renamed = key.iter().map(|name| named(name).alias(format!("__flowline_new_{name}")));
    let others = LogicalPlanBuilder::from(others).project(renamed.collect::<Vec<_>>())?.build()?;
    let on = key.iter().map(|name| (named(name), named(&format!("__flowline_new_{name}")))).collect();
    let equal = NullEquality::NullEqualsNull;
    let (rows, others) = (Arc::new(rows), Arc::new(others));
    let join = Join::try_new(rows, others, on, None, how, JoinConstraint::On, equal, false)?;
    Ok(LogicalPlanBuilder::from(LogicalPlan::Join(join)))
}
