//! The sessions of a query, looked at by themselves: since when they are open, and how far they reach.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::NullEquality;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Join, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, Window,
};
use datafusion::physical_plan::collect;

use super::analyze::{StreamQuery, StreamScan, closing_of, column, session_keys};
use super::flow::{Role, column_index};
use super::restrict::{Wanted, bound, instant};
use super::tables::window_table;
use crate::engine::MemoryShare;
use crate::windows::WindowKind;

/// Late rows of more keys are taken for rows of every key.
const KEYS_MAX: usize = 100_000;

/// A part of a query that gives sessions.
pub(super) struct Sessions {
    /// Its rows with the bounds of their sessions.
    plan: LogicalPlan,
    /// The rows that they are made from: the first columns of the plan.
    rows: LogicalPlan,
    /// The column that is the time.
    time: usize,
    /// The columns that sessions are kept apart by.
    keys: Vec<usize>,
    /// The columns with the start and the end of a row's session.
    bounds: (usize, usize),
    /// How far apart the rows of a session are at most, microseconds.
    pub gap: i64,
}

/// The first start and the last end of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Around {
    pub start: i64,
    pub end: i64,
}

/// What sessions are looked for in.
pub(super) struct Looking<'a> {
    pub state: &'a SessionState,
    pub scans: &'a [StreamScan],
    pub tables: &'a [Arc<dyn TableProvider>],
}

/// The parts of a query that give sessions.
pub(super) fn sessions_of(plan: &LogicalPlan) -> Result<Vec<Sessions>> {
    let mut found = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::Filter(filter) = node
            && closing_of(filter).is_some()
            && let LogicalPlan::Projection(projection) = filter.input.as_ref()
            && let Some(table) = window_table(projection)
            && table.spec.kind == WindowKind::Session
            && let Some(window) = window_below(&filter.input)
        {
            let of = |role: Role| table.carriers.iter().find(|carrier| carrier.role == role);
            let place = |role: Role| of(role).map_or(0, |carrier| carrier.column);
            let schema = window.input.schema();
            found.push(Sessions {
                plan: filter.input.as_ref().clone(),
                rows: window.input.as_ref().clone(),
                time: table.time,
                keys: session_keys(window).iter().filter_map(|key| column_index(key, schema)).collect(),
                bounds: (place(Role::Start), place(Role::End)),
                gap: table.spec.size,
            });
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The node that tells the bounds of sessions.
fn window_below(plan: &LogicalPlan) -> Option<&Window> {
    match plan {
        LogicalPlan::Window(window) => Some(window),
        other => match other.inputs().as_slice() {
            [only] => window_below(only),
            _ => None,
        },
    }
}

/// The start of the oldest session that is open at a watermark; the watermark itself when none is.
pub(super) async fn open_since(
    looking: &Looking<'_>,
    query: &StreamQuery,
    from: Option<i64>,
    watermark: i64,
) -> Result<i64> {
    let rows = Wanted {
        between: Some((from.map(|_| watermark), Some(watermark))),
        sessions_from: from,
        ..Wanted::default()
    };
    let mut oldest = watermark;
    for sessions in sessions_of(&query.plan)? {
        let (_, end) = sessions.bounds()?;
        let open = end.gt_eq(sessions.at(watermark)?);
        let plan = LogicalPlanBuilder::from(sessions.plan.clone()).filter(open)?.build()?;
        let found = sessions.around(looking, plan, &rows).await?;
        oldest = found.map_or(oldest, |found| oldest.min(found.start));
    }
    Ok(oldest)
}

impl Sessions {
    /// The keys of the rows in these tables whose time lies in a stretch; none when every key is meant.
    pub async fn keys_of(&self, looking: &Looking<'_>, (first, last): (i64, i64)) -> Result<Option<Keys>> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let time = column(self.rows.schema(), self.time);
        let within = time.clone().gt_eq(self.at(first)?).and(time.lt_eq(self.at(last)?));
        let keys: Vec<Expr> = self.keys.iter().map(|key| column(self.rows.schema(), *key)).collect();
        let named = keys.iter().enumerate().map(|(index, key)| key.clone().alias(format!("key_{index}")));
        let plan = LogicalPlanBuilder::from(self.rows.clone()).filter(within)?;
        let plan = plan.project(named.collect::<Vec<_>>())?.distinct()?.build()?;
        let found = looking.collect(plan, &Wanted::all(None, None)).await?;
        let count = found.iter().map(RecordBatch::num_rows).sum::<usize>();
        Ok((count <= KEYS_MAX).then_some(Keys(found)))
    }

    /// From where to where those sessions reach that have a time of a stretch in them.
    pub async fn over(
        &self,
        looking: &Looking<'_>,
        (first, last): (i64, i64),
        keys: Option<&Keys>,
        rows: &Wanted,
    ) -> Result<Option<Around>> {
        let (start, end) = self.bounds()?;
        let touches = start.lt_eq(self.at(last)?).and(end.gt_eq(self.at(first)?));
        let plan = LogicalPlanBuilder::from(self.plan.clone()).filter(touches)?.build()?;
        let plan = match keys {
            Some(keys) => self.of_keys(plan, keys)?,
            None => plan,
        };
        self.around(looking, plan, rows).await
    }

    /// From where to where those sessions reach that end from one time on and before another.
    pub async fn ending(
        &self,
        looking: &Looking<'_>,
        (from, until): (i64, i64),
        rows: &Wanted,
    ) -> Result<Option<Around>> {
        let (_, end) = self.bounds()?;
        let ends = end.clone().gt_eq(self.at(from)?).and(end.lt(self.at(until)?));
        let plan = LogicalPlanBuilder::from(self.plan.clone()).filter(ends)?.build()?;
        self.around(looking, plan, rows).await
    }

    /// The rows of these keys. Nulls are a key.
    fn of_keys(&self, plan: LogicalPlan, keys: &Keys) -> Result<LogicalPlan> {
        let Some(schema) = keys.0.first().map(RecordBatch::schema) else {
            return LogicalPlanBuilder::from(plan).filter(datafusion::logical_expr::lit(false))?.build();
        };
        let table = Arc::new(MemTable::try_new(schema, vec![keys.0.clone()])?);
        let late = LogicalPlanBuilder::scan("late_keys", provider_as_source(table), None)?.build()?;
        let pairs = self.keys.iter().enumerate();
        let on = pairs.map(|(index, key)| (column(late.schema(), index), column(plan.schema(), *key)));
        let (on, equal) = (on.collect(), NullEquality::NullEqualsNull);
        let (late, plan) = (Arc::new(late), Arc::new(plan));
        let (kind, constraint) = (JoinType::RightSemi, JoinConstraint::On);
        Join::try_new(late, plan, on, None, kind, constraint, equal, false).map(LogicalPlan::Join)
    }

    async fn around(
        &self,
        looking: &Looking<'_>,
        plan: LogicalPlan,
        rows: &Wanted,
    ) -> Result<Option<Around>> {
        let (start, end) = (column(plan.schema(), self.bounds.0), column(plan.schema(), self.bounds.1));
        let none: Vec<Expr> = Vec::new();
        let plan = LogicalPlanBuilder::from(plan).aggregate(none, vec![min(start), max(end)])?.build()?;
        let mut around: Option<Around> = None;
        for batch in looking.collect(plan, rows).await? {
            let (Some(start), Some(end)) = (micros(&batch, 0)?, micros(&batch, 1)?) else { continue };
            let known = around.get_or_insert(Around { start, end });
            (known.start, known.end) = (known.start.min(start), known.end.max(end));
        }
        Ok(around)
    }

    fn bounds(&self) -> Result<(Expr, Expr)> {
        let schema = self.plan.schema();
        Ok((column(schema, self.bounds.0), column(schema, self.bounds.1)))
    }

    /// A time as a literal of the type that the bounds have.
    fn at(&self, micros: i64) -> Result<Expr> {
        let (start, _) = self.bounds()?;
        instant(micros, &start.get_type(self.plan.schema())?)
    }
}

/// Keys of sessions.
pub(super) struct Keys(Vec<RecordBatch>);

impl Looking<'_> {
    async fn collect(&self, plan: LogicalPlan, rows: &Wanted) -> Result<Vec<RecordBatch>> {
        let plan = bound(plan, self.scans, self.tables, rows)?;
        let physical = self.state.create_physical_plan(&plan).await?;
        let found = collect(Arc::clone(&physical), self.state.task_ctx()).await?;
        MemoryShare::note_run(self.state, &physical, 0);
        Ok(found)
    }
}

fn micros(batch: &RecordBatch, index: usize) -> Result<Option<i64>> {
    let times = cast(batch.column(index), &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let times = times.as_primitive_opt::<TimestampMicrosecondType>();
    let times = times.ok_or_else(|| DataFusionError::Internal("a time is no timestamp".to_owned()))?;
    Ok((!times.is_empty() && times.is_valid(0)).then(|| times.value(0)))
}
