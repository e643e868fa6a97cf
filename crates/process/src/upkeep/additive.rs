//! Aggregates whose new value follows from the old one and from the rows that were added: counts, sums, least and greatest
//! values. Their keys need not be read again.

use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::linear::{self, unaliased};

/// How a column of the answer comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adding {
    /// It is grouped by.
    Key,
    /// The old and the new value are added up.
    Sum,
    /// The lesser one.
    Least,
    /// The greater one.
    Greatest,
}

/// A query whose rows can be put together with those that added rows give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Additive {
    /// How each column of its answer is put together.
    pub columns: Vec<Adding>,
    /// Of each scan, by number, whether its rows are taken one by one below the aggregate.
    pub linear: Vec<bool>,
}

impl Adding {
    /// The value of several rows of one key; none for what these are told apart by.
    pub fn together(self, column: Expr) -> Option<Expr> {
        match self {
            Self::Key => None,
            Self::Sum => Some(sum(column)),
            Self::Least => Some(min(column)),
            Self::Greatest => Some(max(column)),
        }
    }
}

/// Whether a query is one: an aggregate under nothing but names.
pub(super) fn additive(plan: &LogicalPlan, scans: usize) -> Option<Additive> {
    let (columns, aggregate) = columns(plan)?;
    let linear = linear::linear(&aggregate.input, scans).iter().map(Option::is_none).collect();
    Some(Additive { columns, linear })
}

fn columns(plan: &LogicalPlan) -> Option<(Vec<Adding>, &Aggregate)> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let (below, aggregate) = columns(&projection.input)?;
            let schema = projection.input.schema();
            let column = |expr: &Expr| match unaliased(expr) {
                Expr::Column(column) => below.get(schema.maybe_index_of_column(column)?).copied(),
                _ => None,
            };
            Some((projection.expr.iter().map(column).collect::<Option<_>>()?, aggregate))
        }
        LogicalPlan::SubqueryAlias(alias) => columns(&alias.input),
        LogicalPlan::Aggregate(aggregate) => {
            if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
                return None;
            }
            let keys = aggregate.group_expr.iter().map(|_| Some(Adding::Key));
            let values = aggregate.aggr_expr.iter().zip(aggregate.schema.fields().iter().skip(keys.len()));
            // The sum of floating point numbers depends on the order in which they are added.
            let values = values.map(|(expr, field)| {
                value(expr).filter(|adding| *adding != Adding::Sum || !field.data_type().is_floating())
            });
            Some((keys.chain(values).collect::<Option<_>>()?, aggregate))
        }
        _ => None,
    }
}

fn value(expr: &Expr) -> Option<Adding> {
    let Expr::AggregateFunction(function) = unaliased(expr) else { return None };
    if function.params.distinct {
        return None;
    }
    match function.func.name() {
        "count" | "sum" => Some(Adding::Sum),
        "min" => Some(Adding::Least),
        "max" => Some(Adding::Greatest),
        _ => None,
    }
}
