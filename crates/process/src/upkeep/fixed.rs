//! Whether a query gives the same answer over the same rows each time it is asked.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};

use super::refuse::Refusal;

/// Refuses functions whose value depends on when or how they are called.
pub(crate) fn same_every_time(plan: &LogicalPlan) -> Result<(), Refusal> {
    let mut found = None;
    let _ = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(function) = expr
                    && function.func.signature().volatility != Volatility::Immutable
                {
                    found = Some(function.func.name().to_owned());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found.map_or(Ok(()), |name| Err(Refusal::changes_by_itself(&name)))
}
