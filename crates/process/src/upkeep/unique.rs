//! Whether a query gives at most one row for each value of its key.

use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, LogicalPlan, Operator, WindowFunctionDefinition, utils,
};
use datafusion::scalar::ScalarValue;

use super::linear::unaliased;
use super::trace::below;

/// Whether the rows are told apart by these terms.
pub(super) fn one_row_for_each(plan: &LogicalPlan, terms: &[Expr]) -> bool {
    let over = |input: &LogicalPlan| below(plan, terms).is_some_and(|terms| one_row_for_each(input, &terms));
    match plan {
        LogicalPlan::Aggregate(aggregate) => below(plan, terms)
            .is_some_and(|terms| aggregate.group_expr.iter().all(|expr| terms.contains(unaliased(expr)))),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            input.schema().columns().into_iter().all(|column| terms.contains(&Expr::Column(column)))
        }
        LogicalPlan::Filter(filter) => {
            let conditions = utils::split_conjunction(&filter.predicate);
            conditions.iter().any(|part| picks_first(part, &filter.input, terms))
                || one_row_for_each(&filter.input, terms)
        }
        LogicalPlan::Projection(projection) => over(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => over(&alias.input),
        _ => false,
    }
}

/// Whether a condition is `row_number() over (partition by …) = 1` and the terms tell the partitions apart.
fn picks_first(condition: &Expr, input: &LogicalPlan, terms: &[Expr]) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return false };
    let number = match (left.as_ref(), right.as_ref()) {
        (column, Expr::Literal(value, _)) | (Expr::Literal(value, _), column) if is_one(value) => column,
        _ => return false,
    };
    partitions_numbered(input, number, terms)
}

fn is_one(value: &ScalarValue) -> bool {
    matches!(
        value,
        ScalarValue::Int64(Some(1))
            | ScalarValue::UInt64(Some(1))
            | ScalarValue::Int32(Some(1))
            | ScalarValue::UInt32(Some(1))
    )
}

fn partitions_numbered(plan: &LogicalPlan, number: &Expr, terms: &[Expr]) -> bool {
    if let LogicalPlan::Window(window) = plan {
        let width = window.input.schema().fields().len();
        let Expr::Column(column) = number else { return false };
        let Some(index) = window.schema.maybe_index_of_column(column) else { return false };
        let numbered =
            index.checked_sub(width).and_then(|index| window.window_expr.get(index)).map(unaliased);
        let (Some(Expr::WindowFunction(function)), Some(terms)) = (numbered, below(plan, terms)) else {
            return false;
        };
        let counts =
            matches!(&function.fun, WindowFunctionDefinition::WindowUDF(udf) if udf.name() == "row_number");
        return counts && function.params.partition_by.iter().all(|expr| terms.contains(unaliased(expr)));
    }
    let together: Vec<Expr> = terms.iter().chain([number]).cloned().collect();
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            match (below(plan, &together), plan.inputs().first()) {
                (Some(mut terms), Some(input)) => match terms.pop() {
                    Some(number) => partitions_numbered(input, &number, &terms),
                    None => false,
                },
                _ => false,
            }
        }
        _ => false,
    }
}

/// The columns of a query that its outermost GROUP BY makes a key of; empty when there is none.
pub(super) fn keys(plan: &LogicalPlan) -> Vec<String> {
    let names: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let is_key = |(index, _): &(usize, &String)| grouped_by(plan, &columns[*index]);
    let key: Vec<String> = names.iter().enumerate().filter(is_key).map(|(_, name)| name.clone()).collect();
    let terms: Vec<Expr> =
        names.iter().zip(&columns).filter(|(name, _)| key.contains(name)).map(|(_, c)| c.clone()).collect();
    if !key.is_empty() && one_row_for_each(plan, &terms) { key } else { Vec::new() }
}

fn grouped_by(plan: &LogicalPlan, term: &Expr) -> bool {
    let Some(terms) = below(plan, std::slice::from_ref(term)) else { return false };
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.group_expr.iter().any(|expr| unaliased(expr) == &terms[0])
        }
        LogicalPlan::Distinct(Distinct::All(_)) => true,
        LogicalPlan::Filter(_) | LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.inputs().first().is_some_and(|input| grouped_by(input, &terms[0]))
        }
        _ => false,
    }
}
