//! Which row comes first of those that an ORDER BY leaves equal, where a query takes the first ones of each key.
//!
//! SQL leaves that open, and the engine would answer by the order in which it came to read them: a table that is kept up
//! run by run would keep another row than the query answers. So such an order goes on with the other columns that are
//! needed above it; rows that are equal in those as well give the same answer whichever is taken.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, Operator, Window, WindowFunctionDefinition, utils,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::scalar::ScalarValue;

use super::linear::unaliased;

/// Decides those orders. Comes behind the rule that takes away the columns which nothing above needs.
#[derive(Debug)]
pub(crate) struct DecideTies;

impl OptimizerRule for DecideTies {
    fn name(&self) -> &str {
        "flowline_decide_ties"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        let decided = bounds(&filter.predicate, filter.input.schema())
            .find_map(|bound| over_numbers(&filter.input, bound.column).transpose());
        match decided.transpose()? {
            Some(input) => Ok(Transformed::yes(plan.with_new_exprs(plan.expressions(), vec![input])?)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// The column that a condition asks to be one: `n = 1`, `n <= 1` or `n < 2`, with other conditions beside it or not; and
/// that part of the condition.
pub(crate) fn asks_for_first<'a>(condition: &'a Expr, schema: &'a DFSchema) -> Option<(usize, &'a Expr)> {
    bounds(condition, schema).find(|bound| bound.most == 1).map(|bound| (bound.column, bound.part))
}

/// A part of a condition that bounds a column from above.
struct Bound<'a> {
    column: usize,
    /// The greatest whole number that it may be.
    most: i64,
    part: &'a Expr,
}

fn bounds<'a>(condition: &'a Expr, schema: &'a DFSchema) -> impl Iterator<Item = Bound<'a>> {
    utils::split_conjunction(condition).into_iter().filter_map(|part| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return None };
        let (column, op, value) = match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
            (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
            _ => return None,
        };
        let ScalarValue::Int64(Some(value)) = value.cast_to(&DataType::Int64).ok()? else { return None };
        let most = match op {
            Operator::Eq | Operator::LtEq => value,
            Operator::Lt => value.checked_sub(1)?,
            _ => return None,
        };
        Some(Bound { column: schema.maybe_index_of_column(column)?, most, part })
    })
}

/// The node over rows whose numbers in this column follow an order that leaves nothing open; none when it is no number of
/// rows, or its order is such.
fn over_numbers(node: &LogicalPlan, number: usize) -> Result<Option<LogicalPlan>> {
    let over = |input: Option<LogicalPlan>| {
        input.map(|input| node.with_new_exprs(node.expressions(), vec![input])).transpose()
    };
    match node {
        LogicalPlan::Projection(projection) => {
            let Some(Expr::Column(column)) = projection.expr.get(number).map(unaliased) else {
                return Ok(None);
            };
            match projection.input.schema().maybe_index_of_column(column) {
                Some(below) => over(over_numbers(&projection.input, below)?),
                None => Ok(None),
            }
        }
        LogicalPlan::Filter(filter) => over(over_numbers(&filter.input, number)?),
        LogicalPlan::SubqueryAlias(alias) => over(over_numbers(&alias.input, number)?),
        LogicalPlan::Window(window) => decided(window, number),
        _ => Ok(None),
    }
}

fn decided(window: &Window, number: usize) -> Result<Option<LogicalPlan>> {
    let schema = window.input.schema();
    let Some(index) = number.checked_sub(schema.fields().len()) else { return Ok(None) };
    let Some(function) = window.window_expr.get(index).and_then(row_number) else { return Ok(None) };
    let params = &function.params;
    let known = |column: &Expr| {
        params.partition_by.contains(column) || params.order_by.iter().any(|sort| sort.expr == *column)
    };
    let columns = schema.iter().filter(|(_, field)| !field.data_type().is_nested());
    let open = columns.map(|column| Expr::Column(Column::from(column))).filter(|column| !known(column));
    let open: Vec<Sort> = open.map(|column| Sort::new(column, true, false)).collect();
    if params.order_by.is_empty() || open.is_empty() {
        return Ok(None);
    }
    let mut function = function.clone();
    function.params.order_by.extend(open);
    let mut exprs = window.window_expr.clone();
    exprs[index] = Expr::WindowFunction(Box::new(function)).alias(window.schema.field(number).name());
    Window::try_new(exprs, Arc::clone(&window.input)).map(LogicalPlan::Window).map(Some)
}

/// The function of a window that numbers rows.
pub(crate) fn row_number(expr: &Expr) -> Option<&WindowFunction> {
    match unaliased(expr) {
        Expr::WindowFunction(function) => {
            let numbers = matches!(&function.fun, WindowFunctionDefinition::WindowUDF(udf) if udf.name() == "row_number");
            numbers.then_some(function.as_ref())
        }
        _ => None,
    }
}
