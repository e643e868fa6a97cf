//! The query over the windows that a run writes: which closings it lets through, and which rows of the inputs these
//! are made from.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, TableScan, TableScanBuilder, lit,
};
use datafusion::scalar::ScalarValue;

use super::analyze::{StreamQuery, StreamScan, closing_of};
use super::closing::Closing;
use crate::upkeep::bind;

/// What a run writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// What closes behind the first watermark and not behind the second.
    pub between: Option<(Option<i64>, Option<i64>)>,
    /// The windows with one of these ends, too.
    pub ends: BTreeSet<i64>,
    /// What closed within these stretches of time, too.
    pub again: Vec<Again>,
    /// Sessions that close now begin no earlier than this.
    pub sessions_from: Option<i64>,
}

/// What closed from one time on and before another, and is computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Again {
    pub from: i64,
    pub until: i64,
    /// The sessions among it begin no earlier.
    pub rows_from: i64,
}

/// Stretches of time that are told apart when rows are looked for; more are joined with their neighbours.
const STRETCHES_MAX: usize = 64;

impl Wanted {
    /// Everything that closes behind a time, or everything without one, that is closed at a watermark; everything that
    /// is open as well without one.
    pub fn all(from: Option<i64>, until: Option<i64>) -> Self {
        Self { between: Some((from, until)), ..Self::default() }
    }

    /// Sessions made from the rows between these times.
    pub fn of_rows(from: i64, until: i64) -> Self {
        Self { between: Some((Some(until), Some(until))), sessions_from: Some(from), ..Self::default() }
    }

    /// Whether there is nothing to be written.
    pub fn is_nothing(&self) -> bool {
        self.between.is_none() && self.ends.is_empty() && self.again.is_empty()
    }

    /// The condition that a closing meets.
    fn closing(&self, time: &Expr, kind: &DataType, strict: bool) -> Result<Expr> {
        let at = |micros: i64| instant(micros, kind);
        let mut condition = lit(false);
        if let Some((after, until)) = self.between {
            let mut between = lit(true);
            if let Some(after) = after {
                let after = at(after)?;
                let behind = if strict { time.clone().gt_eq(after) } else { time.clone().gt(after) };
                between = between.and(behind);
            }
            if let Some(until) = until {
                let until = at(until)?;
                let closed = if strict { time.clone().lt(until) } else { time.clone().lt_eq(until) };
                between = between.and(closed);
            }
            condition = between;
        }
        if !self.ends.is_empty() {
            let ends = self.ends.iter().map(|end| at(*end)).collect::<Result<Vec<_>>>()?;
            condition = condition.or(time.clone().in_list(ends, false));
        }
        for again in &self.again {
            let (from, until) = (at(again.from)?, at(again.until)?);
            condition = condition.or(time.clone().gt_eq(from).and(time.clone().lt(until)));
        }
        Ok(condition)
    }

    /// The condition that rows meet which this is made from.
    fn rows(&self, time: &Expr, kind: &DataType, closing: &Closing) -> Result<Option<Expr>> {
        let reach = closing.reach();
        let mut stretches: Vec<(Option<i64>, Option<i64>)> = Vec::new();
        if let Some((after, until)) = self.between {
            let from = match closing {
                Closing::Sessions(_) => after.and(self.sessions_from),
                _ => after.map(|after| after.saturating_sub(reach)),
            };
            stretches.push((from, until));
        }
        stretches
            .extend(joined(&self.ends, reach).into_iter().map(|(from, until)| (Some(from), Some(until))));
        stretches.extend(self.again.iter().map(|again| {
            let from = match closing {
                Closing::Sessions(_) => again.rows_from,
                _ => again.from.saturating_sub(reach),
            };
            (Some(from), Some(again.until))
        }));
        if stretches.contains(&(None, None)) {
            return Ok(None);
        }
        let mut condition: Option<Expr> = None;
        for (from, until) in stretches {
            let mut one = lit(true);
            if let Some(from) = from {
                one = one.and(time.clone().gt_eq(instant(from, kind)?));
            }
            if let Some(until) = until {
                one = one.and(time.clone().lt_eq(instant(until, kind)?));
            }
            condition = Some(condition.map_or(one.clone(), |all| all.or(one)));
        }
        Ok(Some(condition.unwrap_or_else(|| lit(false))))
    }
}

/// The stretches of time before these ends, those that overlap as one.
fn joined(ends: &BTreeSet<i64>, reach: i64) -> Vec<(i64, i64)> {
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for end in ends {
        let from = end.saturating_sub(reach);
        match stretches.last_mut() {
            Some(last) if from <= last.1 => last.1 = *end,
            _ => stretches.push((from, *end)),
        }
    }
    if stretches.len() > STRETCHES_MAX {
        let (first, last) = (stretches[0], stretches[stretches.len() - 1]);
        return vec![(first.0, last.1)];
    }
    stretches
}

/// A time as a literal of a timestamp's type.
pub(super) fn instant(micros: i64, kind: &DataType) -> Result<Expr> {
    let zone = match kind {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    Ok(lit(ScalarValue::TimestampMicrosecond(Some(micros), zone).cast_to(kind)?))
}

/// The query over these tables, one for each scan, for what is wanted.
pub(super) fn restricted(
    query: &StreamQuery,
    tables: &[Arc<dyn TableProvider>],
    wanted: &Wanted,
) -> Result<LogicalPlan> {
    let plan = query.plan.clone().transform_up(|node| match &node {
        LogicalPlan::Filter(filter) => match closing_of(filter) {
            Some((time, strict)) => {
                let kind = time.get_type(filter.input.schema())?;
                let condition = wanted.closing(time, &kind, strict)?;
                let filter = Filter::try_new(condition, Arc::clone(&filter.input))?;
                Ok(Transformed::yes(LogicalPlan::Filter(filter)))
            }
            None => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    })?;
    bound(plan.data, &query.scans, tables, wanted)
}

/// A plan with its scans bound to the rows that what is wanted is made from.
pub(super) fn bound(
    plan: LogicalPlan,
    scans: &[StreamScan],
    tables: &[Arc<dyn TableProvider>],
    wanted: &Wanted,
) -> Result<LogicalPlan> {
    bind(plan, |number, scan| {
        let plan = scan_of(Arc::clone(&tables[number]), &scan)?;
        let StreamScan { time: Some(time), closing: Some(closing), .. } = &scans[number] else {
            return Ok(plan);
        };
        let index = plan.schema().fields().iter().position(|field| field.name() == time);
        let Some(index) = index else { return Ok(plan) };
        let time = super::analyze::column(plan.schema(), index);
        let kind = time.get_type(plan.schema())?;
        match wanted.rows(&time, &kind, closing)? {
            Some(condition) => LogicalPlanBuilder::from(plan).filter(condition)?.build(),
            None => Ok(plan),
        }
    })
}

/// A scan's place taken by a table with the same columns.
pub(super) fn scan_of(table: Arc<dyn TableProvider>, scan: &TableScan) -> Result<LogicalPlan> {
    let scan = TableScanBuilder::new(scan.table_name.clone(), provider_as_source(table)).build()?;
    Ok(LogicalPlan::TableScan(scan))
}
