//! The plans of a run: which rows of the inputs are read, and what is made of them.
//!
//! Owns: logical plans that are put together from a [`Hop`] and tables at versions. Does not own: which of them a run
//! needs (`strategy`), their execution (`attempt`).

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::{Column as ColumnRef, DFSchema, NullEquality};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, Join, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, SortExpr,
    TableScan, TableScanBuilder, cast, lit,
};
use datafusion::scalar::ScalarValue;
use flowline_lake::arrow_types;
use flowline_model::{Column, Dataset};

use super::bounds::bounds;
use crate::infer::{column_of, columns_as};
use crate::upkeep::{Hop, Precedence, STAMP_COLUMNS, bind, only_branches_with, partition_term};

/// Columns that a run adds for itself begin so.
pub(super) const OWN_PREFIX: &str = "__flowline_";
const RANK: &str = "__flowline_rank";
const TARGET: &str = "__flowline_target";
const SIGN: &str = "__flowline_sign";

/// The rows of each scan of a hop, by number.
pub(super) struct Sources {
    /// At the versions that the run brings the table to.
    pub new: Vec<Arc<dyn TableProvider>>,
    /// At the versions that the table is at; none where nothing changed since.
    pub old: Vec<Option<Arc<dyn TableProvider>>>,
    /// What was added between the two; none where nothing was.
    pub added: Vec<Option<Arc<dyn TableProvider>>>,
}

/// A scan's place taken by a table with the same columns.
fn scan_of(table: Arc<dyn TableProvider>, scan: &TableScan) -> Result<LogicalPlan> {
    let source = provider_as_source(table);
    let scan = TableScanBuilder::new(scan.table_name.clone(), source).build()?;
    Ok(LogicalPlan::TableScan(scan))
}

/// The query over the whole inputs.
pub(super) fn everything(plan: LogicalPlan, sources: &Sources) -> Result<LogicalPlan> {
    bind(plan, |number, scan| scan_of(Arc::clone(&sources.new[number]), &scan))
}

/// What the query gives for the rows that were added to its inputs: for each scan with new rows, those rows together
/// with the new versions of the scans before it and the old versions of the scans behind it, so that every
/// combination of rows that is not all old comes exactly once.
pub(super) fn added(plan: &LogicalPlan, sources: &Sources) -> Result<Vec<LogicalPlan>> {
    let changed = (0..sources.new.len()).filter(|number| sources.added[*number].is_some());
    changed
        .map(|changed| {
            let cut = only_branches_with(plan.clone(), changed)?;
            bind(cut, |number, scan| {
                let table = match number.cmp(&changed) {
                    std::cmp::Ordering::Equal => sources.added[number].as_ref(),
                    std::cmp::Ordering::Greater => sources.old[number].as_ref(),
                    std::cmp::Ordering::Less => None,
                };
                scan_of(Arc::clone(table.unwrap_or(&sources.new[number])), &scan)
            })
        })
        .collect()
}

/// The plans' rows one behind the other; none when there are no plans.
pub(super) fn together(plans: Vec<LogicalPlan>) -> Result<Option<LogicalPlan>> {
    let mut plans = plans.into_iter();
    let Some(first) = plans.next() else { return Ok(None) };
    let all = plans.try_fold(LogicalPlanBuilder::from(first), |all, plan| all.union(plan))?;
    all.build().map(Some)
}

/// The query's rows as the table keeps them: the contract's columns in their types, and the partition columns that
/// are derived from them; then the stamps, when the query has them.
pub(crate) fn output(
    plan: LogicalPlan,
    dataset: &Dataset,
    columns: &[Column],
    part: Option<i32>,
) -> Result<LogicalPlan> {
    let mut exprs = columns_as(&plan, columns)?;
    for field in &dataset.partition_by {
        let name = field.partition_column();
        if !columns.iter().any(|column| column.name == name) {
            exprs.push(
                cast(partition_term(field, column_of(&plan, &field.column)?), DataType::Date32).alias(name),
            );
        }
    }
    if let Some(partition) = part {
        exprs.push(lit(partition).alias(arrow_types::PARTITION));
    }
    for stamp in STAMP_COLUMNS {
        if let Ok(column) = column_of(&plan, stamp) {
            exprs.push(column.alias(stamp));
        }
    }
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// A column of a plan by its name alone.
fn named(name: &str) -> Expr {
    Expr::Column(ColumnRef::new_unqualified(name))
}

/// Of the rows with one key, the one that takes precedence; ties are broken by the values of the other columns, so
/// that the same rows give the same table in whatever batches they came.
pub(super) fn winners(plan: LogicalPlan, dataset: &Dataset, precedence: &Precedence) -> Result<LogicalPlan> {
    let order: Vec<SortExpr> =
        order(&plan, dataset, precedence).into_iter().map(|name| named(&name).sort(false, false)).collect();
    let keys = dataset.key.iter().map(|name| named(name)).collect();
    let rank = row_number().partition_by(keys).order_by(order).build()?.alias(RANK);
    let kept: Vec<Expr> = own(&plan).into_iter().map(|name| named(&name)).collect();
    LogicalPlanBuilder::from(plan)
        .window(vec![rank])?
        .filter(named(RANK).eq(lit(1u64)))?
        .project(kept)?
        .build()
}

/// The columns of a plan that the table keeps.
fn own(plan: &LogicalPlan) -> Vec<String> {
    let names = plan.schema().fields().iter().map(|field| field.name());
    names.filter(|name| !name.starts_with(OWN_PREFIX)).cloned().collect()
}

/// The columns that decide which of two rows with one key stays, the first one first.
fn order(plan: &LogicalPlan, dataset: &Dataset, precedence: &Precedence) -> Vec<String> {
    let mut order: Vec<String> = match precedence {
        Precedence::EventTime(column) => vec![column.clone()],
        Precedence::Landed => STAMP_COLUMNS.map(str::to_owned).to_vec(),
    };
    for field in plan.schema().fields() {
        let compared = !field.data_type().is_nested();
        if compared && !dataset.key.contains(field.name()) && !order.contains(field.name()) {
            order.push(field.name().clone());
        }
    }
    order
}

/// The rows that are newer, by their event time, than the table's row of the same key, or whose key has none.
pub(super) fn newer_than(
    rows: LogicalPlan,
    target: Arc<dyn TableProvider>,
    dataset: &Dataset,
    event_time: &str,
) -> Result<LogicalPlan> {
    let order = order(&rows, dataset, &Precedence::EventTime(event_time.to_owned()));
    let kept = own(&rows);
    let target = LogicalPlanBuilder::scan(TARGET, provider_as_source(target), None)?;
    let mut columns: Vec<Expr> = Vec::new();
    for name in dataset.key.iter().chain(&order) {
        let is = rows.schema().field_with_unqualified_name(name)?.data_type().clone();
        let column = cast(Expr::Column(ColumnRef::new(Some(TARGET), name)), is);
        columns.push(column.alias(format!("{OWN_PREFIX}there_{name}")));
    }
    columns.push(lit(true).alias(format!("{OWN_PREFIX}there")));
    let target = target.project(columns)?.build()?;
    let there = |name: &String| named(&format!("{OWN_PREFIX}there_{name}"));
    let on = dataset.key.iter().map(|name| (named(name), there(name))).collect();
    let newer = order.iter().rev().fold(lit(false), |later, name| {
        let (mine, theirs) = (named(name), there(name));
        let wins =
            mine.clone().gt(theirs.clone()).or(mine.clone().is_not_null().and(theirs.clone().is_null()));
        let ties = mine.clone().eq(theirs.clone()).or(mine.is_null().and(theirs.is_null()));
        wins.or(ties.and(later))
    });
    let joined = left_join(rows, target, on)?;
    let absent = named(&format!("{OWN_PREFIX}there")).is_null();
    let kept: Vec<Expr> = kept.iter().map(|name| named(name)).collect();
    LogicalPlanBuilder::from(joined).filter(absent.or(newer))?.project(kept)?.build()
}

/// Nulls in keys are equal here, as they are to a GROUP BY.
fn left_join(left: LogicalPlan, right: LogicalPlan, on: Vec<(Expr, Expr)>) -> Result<LogicalPlan> {
    let equal = NullEquality::NullEqualsNull;
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        None,
        JoinType::Left,
        JoinConstraint::On,
        equal,
        false,
    )?;
    Ok(LogicalPlan::Join(join))
}

/// Distinct values of terms over the columns of scans.
pub(super) struct Affected {
    /// One column for each term; nulls are values.
    pub values: Vec<RecordBatch>,
    /// Rows in all.
    pub count: usize,
}

/// Up to so many values are written into the plan, where they keep files from being read; more are joined with.
const LITERALS_MAX: usize = 256;

impl Affected {
    /// The values, row by row.
    pub fn rows(&self) -> Result<Vec<Vec<ScalarValue>>> {
        let mut rows = Vec::with_capacity(self.count);
        for batch in &self.values {
            for row in 0..batch.num_rows() {
                let values = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, row));
                rows.push(values.collect::<Result<Vec<_>>>()?);
            }
        }
        Ok(rows)
    }
}

/// The distinct values of these terms over the rows that were added to a scan.
pub(super) fn values_of(
    hop: &Hop,
    number: usize,
    terms: &[Expr],
    added: Arc<dyn TableProvider>,
) -> Result<LogicalPlan> {
    distinct_terms(scan_over(hop, number, added)?, terms)
}

/// The distinct values of these terms over the rows that came to a scan or went from it. Those that were only written again
/// into another file are neither.
pub(super) fn values_that_changed(
    hop: &Hop,
    number: usize,
    terms: &[Expr],
    came: Arc<dyn TableProvider>,
    went: Arc<dyn TableProvider>,
) -> Result<LogicalPlan> {
    let (came, went) = (scan_over(hop, number, came)?, scan_over(hop, number, went)?);
    let schema = Arc::clone(came.schema());
    let nested = came.schema().fields().iter().any(|field| field.data_type().is_nested());
    let signed = |plan: LogicalPlan, sign: i64| {
        let own = plan.schema().columns().into_iter().map(Expr::Column);
        let exprs: Vec<Expr> = own.chain([lit(sign).alias(SIGN)]).collect();
        LogicalPlanBuilder::from(plan).project(exprs)
    };
    let both = signed(came, 1)?.union(signed(went, -1)?.build()?)?.build()?;
    let own: Vec<Expr> =
        both.schema().columns().into_iter().take(schema.fields().len()).map(Expr::Column).collect();
    let both = LogicalPlanBuilder::from(both);
    // Lists and the like cannot be grouped by: then all rows that were written again count.
    let changed = match nested {
        true => both,
        false => both
            .aggregate(own.clone(), vec![sum(named(SIGN)).alias(SIGN)])?
            .filter(named(SIGN).not_eq(lit(0i64)))?,
    };
    distinct_terms(called(changed.project(own)?.build()?, &schema)?, terms)
}

/// One scan of a query over other rows.
fn scan_over(hop: &Hop, number: usize, rows: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let mut found = None;
    bind(hop.plan.clone(), |other, scan| {
        if other == number {
            found = Some(scan_of(Arc::clone(&rows), &scan)?);
        }
        Ok(LogicalPlan::TableScan(scan))
    })?;
    found.ok_or_else(|| DataFusionError::Internal(format!("the query has no scan {number}")))
}

/// The distinct values of terms over a plan's columns.
pub(super) fn distinct_terms(plan: LogicalPlan, terms: &[Expr]) -> Result<LogicalPlan> {
    let exprs: Vec<Expr> =
        terms.iter().enumerate().map(|(index, term)| term.clone().alias(term_name(index))).collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.distinct()?.build()
}

fn term_name(index: usize) -> String {
    format!("{OWN_PREFIX}term_{index}")
}

/// The query over only those rows of its inputs from which the affected part of its answer is made. `terms` are those
/// of each scan by number; `pruned` are the same over the scan's partition columns where they can be had.
pub(super) fn restricted(
    plan: LogicalPlan,
    sources: &Sources,
    terms: &[Option<Vec<Expr>>],
    pruned: &[Option<Vec<Expr>>],
    affected: &Affected,
) -> Result<LogicalPlan> {
    bind(plan, |number, scan| {
        let scan = scan_of(Arc::clone(&sources.new[number]), &scan)?;
        match &terms[number] {
            Some(terms) => having(scan, terms, pruned[number].as_deref(), affected),
            None => Ok(scan),
        }
    })
}

/// The rows of a scan whose terms have one of the affected values.
pub(super) fn having(
    scan: LogicalPlan,
    terms: &[Expr],
    pruned: Option<&[Expr]>,
    affected: &Affected,
) -> Result<LogicalPlan> {
    if affected.count > LITERALS_MAX {
        return matching(scan, terms, affected);
    }
    let rows = affected.rows()?;
    let mut condition = one_of(terms, &rows);
    if let Some(pruned) = pruned {
        condition = one_of(pruned, &rows).and(condition);
    }
    if let Some(bounds) = bounds(terms, &rows, scan.schema()) {
        condition = bounds.and(condition);
    }
    LogicalPlanBuilder::from(scan).filter(condition)?.build()
}

/// A plan whose columns are called as those of another one, in their order.
pub(super) fn called(plan: LogicalPlan, names: &DFSchema) -> Result<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().zip(names.iter());
    let exprs = columns
        .map(|(column, (table, field))| Expr::Column(column).alias_qualified(table.cloned(), field.name()));
    let exprs: Vec<Expr> = exprs.collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// Whether the terms have one of these values; null is a value.
pub(super) fn one_of(terms: &[Expr], rows: &[Vec<ScalarValue>]) -> Expr {
    let one = |(term, values): (&Expr, Vec<&ScalarValue>)| {
        let list: Vec<Expr> =
            values.iter().filter(|value| !value.is_null()).map(|value| lit((*value).clone())).collect();
        let listed = if list.is_empty() { lit(false) } else { term.clone().in_list(list, false) };
        if values.iter().any(|value| value.is_null()) { listed.or(term.clone().is_null()) } else { listed }
    };
    let each = terms.iter().enumerate().map(|(index, term)| {
        let mut values: Vec<&ScalarValue> = rows.iter().filter_map(|row| row.get(index)).collect();
        values.dedup();
        one((term, values))
    });
    let every = each.reduce(Expr::and).unwrap_or_else(|| lit(true));
    if terms.len() == 1 {
        return every;
    }
    let exact = rows.iter().map(|row| {
        let equal = terms.iter().zip(row).map(|(term, value)| one((term, vec![value])));
        equal.reduce(Expr::and).unwrap_or_else(|| lit(true))
    });
    // The condition on each term alone is implied, but it is the one that keeps files from being read.
    every.and(exact.reduce(Expr::or).unwrap_or_else(|| lit(false)))
}

/// The same by a join, for many values.
fn matching(scan: LogicalPlan, terms: &[Expr], affected: &Affected) -> Result<LogicalPlan> {
    let schema = affected.values.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let table = MemTable::try_new(schema, vec![affected.values.clone()])?;
    let values =
        LogicalPlanBuilder::scan(format!("{OWN_PREFIX}affected"), provider_as_source(Arc::new(table)), None)?
            .build()?;
    let side = |index: usize| Expr::Column(ColumnRef::from(values.schema().qualified_field(index)));
    let on = terms.iter().enumerate().map(|(index, term)| (side(index), term.clone())).collect();
    let equal = NullEquality::NullEqualsNull;
    // The values stand on the left, where a hash join keeps its rows in memory, and the scan streams by.
    let join = Join::try_new(
        Arc::new(values.clone()),
        Arc::new(scan),
        on,
        None,
        JoinType::RightSemi,
        JoinConstraint::On,
        equal,
        false,
    )?;
    Ok(LogicalPlan::Join(join))
}
