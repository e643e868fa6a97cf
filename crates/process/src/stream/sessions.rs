//! Since when sessions are open: where the rows of the next run begin.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::collect;

use super::analyze::{StreamQuery, closing_of, column};
use super::flow::Role;
use super::restrict::{Wanted, bound, instant};
use super::tables::window_table;
use crate::windows::WindowKind;

/// The start of the oldest session that is open at a watermark; the watermark itself when none is.
pub(super) async fn open_since(
    state: &SessionState,
    query: &StreamQuery,
    tables: &[Arc<dyn TableProvider>],
    from: Option<i64>,
    watermark: i64,
) -> Result<i64> {
    let wanted = Wanted {
        between: Some((from.map(|_| watermark), Some(watermark))),
        ends: Default::default(),
        sessions_from: from,
    };
    let mut oldest = watermark;
    for sessions in sessions_of(&query.plan)? {
        let plan = bound(oldest_start(sessions, watermark)?, &query.scans, tables, &wanted)?;
        let physical = state.create_physical_plan(&plan).await?;
        for batch in collect(physical, state.task_ctx()).await? {
            let starts = cast(batch.column(0), &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let starts = starts.as_primitive::<TimestampMicrosecondType>();
            oldest = arrow::compute::min(starts).map_or(oldest, |start| oldest.min(start));
        }
    }
    Ok(oldest)
}

/// The parts of a query that give sessions.
fn sessions_of(plan: &LogicalPlan) -> Result<Vec<LogicalPlan>> {
    let mut found = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::Filter(filter) = node
            && closing_of(filter).is_some()
            && let LogicalPlan::Projection(projection) = filter.input.as_ref()
            && window_table(projection).is_some_and(|table| table.spec.kind == WindowKind::Session)
        {
            found.push(filter.input.as_ref().clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn oldest_start(sessions: LogicalPlan, watermark: i64) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(projection) = &sessions else { return Ok(sessions) };
    let Some(table) = window_table(projection) else { return Ok(sessions) };
    let of = |role: Role| {
        let carrier = table.carriers.iter().find(|carrier| carrier.role == role);
        column(sessions.schema(), carrier.map_or(0, |carrier| carrier.column))
    };
    let (start, end) = (of(Role::Start), of(Role::End));
    let open = end.clone().gt_eq(instant(watermark, &end.get_type(sessions.schema())?)?);
    let none: Vec<datafusion::logical_expr::Expr> = Vec::new();
    LogicalPlanBuilder::from(sessions.clone()).filter(open)?.aggregate(none, vec![min(start)])?.build()
}
