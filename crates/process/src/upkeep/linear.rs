//! Which inputs of a query are taken row by row: what their new rows give is what is added to the answer.
//!
//! Filters, projections, unnesting, inner joins and UNION ALL are linear: the answer over `old + new` rows is the
//! answer over the old ones plus what the new ones give. So an inner join whose both sides grow can be followed too:
//! new left rows with all right rows, and old left rows with new right rows.

use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};

use super::Follow;
use super::refuse::Obstacle;
use super::scans::{number_of, scans_below};

/// For each scan, what keeps its rows from being taken one by one; none when they are.
pub(super) fn linear(plan: &LogicalPlan, scans: usize) -> Vec<Option<Obstacle>> {
    let unseen = Obstacle { what: "a part of the query that is not understood", place: None };
    let mut found = vec![Some(unseen); scans];
    walk(plan, None, &mut found);
    found
}

/// How scans are followed row by row.
pub(super) fn follows(found: &[Option<Obstacle>]) -> Vec<Follow> {
    found.iter().map(|obstacle| if obstacle.is_none() { Follow::Grows } else { Follow::Rebuilds }).collect()
}

fn walk(plan: &LogicalPlan, obstacle: Option<&Obstacle>, found: &mut [Option<Obstacle>]) {
    let below = |what: &'static str| Some(obstacle.cloned().unwrap_or_else(|| Obstacle::at(what, plan)));
    subqueries(plan, below("a subquery"), found);
    match plan {
        LogicalPlan::TableScan(scan) => {
            if let Some(number) = number_of(scan) {
                found[number] = obstacle.cloned();
            }
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Union(_) => plan.inputs().into_iter().for_each(|input| walk(input, obstacle, found)),
        LogicalPlan::Join(join) => {
            let (left, right) = sides(join.join_type);
            let other = below("an outer join");
            walk(&join.left, if left { obstacle } else { other.as_ref() }, found);
            walk(&join.right, if right { obstacle } else { other.as_ref() }, found);
        }
        other => {
            let obstacle = below(name(other));
            other.inputs().into_iter().for_each(|input| walk(input, obstacle.as_ref(), found));
        }
    }
}

/// Whether a join takes the rows of its left and of its right side one by one.
fn sides(kind: JoinType) -> (bool, bool) {
    match kind {
        JoinType::Inner => (true, true),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => (true, false),
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => (false, true),
        JoinType::Full => (false, false),
    }
}

/// Marks the scans in the subqueries of a node's expressions.
fn subqueries(plan: &LogicalPlan, obstacle: Option<Obstacle>, found: &mut [Option<Obstacle>]) {
    let _ = plan.apply_subqueries(|subquery| {
        for number in scans_below(subquery) {
            found[number] = obstacle.clone();
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
}

/// What a node is called in a message.
pub(crate) fn name(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.is_empty() => "DISTINCT or GROUP BY",
        LogicalPlan::Aggregate(_) => "an aggregate",
        LogicalPlan::Distinct(_) => "DISTINCT",
        LogicalPlan::Window(_) => "a window function",
        LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::RecursiveQuery(_) => "a recursive query",
        LogicalPlan::Join(_) => "a join",
        LogicalPlan::Subquery(_) => "a lateral join",
        _ => "a part of the query that is not understood",
    }
}

/// Whether a query makes other rows than those it reads, so that rows in and rows out cannot be set against each
/// other: anything but filters, projections and UNION ALL.
pub(super) fn reshapes(plan: &LogicalPlan) -> bool {
    let mut subquery = false;
    let _ = plan.apply_subqueries(|_| {
        subquery = true;
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Stop)
    });
    let one_for_one = match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Sort(_) => true,
        LogicalPlan::Union(_) => true,
        LogicalPlan::TableScan(scan) => number_of(scan).is_some(),
        _ => false,
    };
    subquery || !one_for_one || plan.inputs().into_iter().any(reshapes)
}

/// An expression without its names.
pub(crate) fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}
