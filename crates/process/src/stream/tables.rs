//! Window table functions as they stand in plans.

use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::scalar::ScalarValue;

use super::flow::{Carrier, Role, column_index};
use crate::problem::Place;
use crate::upkeep::place_of_exprs;
use crate::windows::{WINDOW_TIME, WindowKind, WindowSpec};

/// A window table function: the node of a plan that gives its windows their time.
pub(super) struct WindowTable {
    pub spec: WindowSpec,
    /// The column of the node's input that is the time.
    pub time: usize,
    /// The columns of the node that tell the window.
    pub carriers: Vec<Carrier>,
    /// Where the column that is the time is written.
    pub place: Option<Place>,
}

/// The window table function that a projection is; none for any other projection.
pub(super) fn window_table(projection: &Projection) -> Option<WindowTable> {
    let arguments = projection.expr.iter().find_map(window_time)?;
    let [_, kind, size, step, offset, time] = arguments else { return None };
    let kind = WindowKind::named(text(kind)?)?;
    let spec = WindowSpec { kind, size: number(size)?, step: number(step)?, offset: number(offset)? };
    // The columns of the table, and behind them the start, the end and the time.
    let width = projection.schema.fields().len();
    let carrier = |behind: usize, role| Some(Carrier { column: width.checked_sub(behind)?, role, spec });
    let carriers = vec![carrier(3, Role::Start)?, carrier(2, Role::End)?, carrier(1, Role::Time)?];
    let place = place_of_exprs(std::slice::from_ref(time));
    Some(WindowTable { spec, time: column_index(time, projection.input.schema())?, carriers, place })
}

/// Whether a query has a window table function anywhere.
pub(super) fn has_windows(plan: &LogicalPlan) -> bool {
    let here = matches!(plan, LogicalPlan::Projection(projection) if window_table(projection).is_some());
    here || plan.inputs().into_iter().any(has_windows)
}

fn window_time(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Alias(alias) => window_time(&alias.expr),
        Expr::ScalarFunction(function) if function.func.name() == WINDOW_TIME => Some(&function.args),
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(number), _) => *number,
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}
