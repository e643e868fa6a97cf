//! Which columns of a plan can never be null. The planner itself does not look at conditions: after
//! `where email is not null` it still takes `email` for nullable.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, JoinType, LogicalPlan, Operator, Unnest, utils,
};

/// For each column of a plan, whether it can never be null.
pub(super) fn not_null(plan: &LogicalPlan) -> Vec<bool> {
    let declared = || plan.schema().fields().iter().map(|field| !field.is_nullable());
    let mut proven: Vec<bool> = match plan {
        LogicalPlan::Filter(filter) => with_conditions(&filter.input, [&filter.predicate]),
        LogicalPlan::SubqueryAlias(alias) => not_null(&alias.input),
        LogicalPlan::Sort(sort) => not_null(&sort.input),
        LogicalPlan::Limit(limit) => not_null(&limit.input),
        LogicalPlan::Distinct(datafusion::logical_expr::Distinct::All(input)) => not_null(input),
        LogicalPlan::Projection(projection) => of_exprs(&projection.input, &projection.expr),
        LogicalPlan::Window(window) => {
            let mut all = not_null(&window.input);
            all.extend(declared().skip(all.len()));
            all
        }
        LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
        LogicalPlan::Join(join) => of_join(join),
        LogicalPlan::Unnest(unnest) => of_unnest(unnest),
        LogicalPlan::Union(union) => {
            let branches: Vec<Vec<bool>> = union.inputs.iter().map(|input| not_null(input)).collect();
            let column =
                |index: usize| branches.iter().all(|branch| branch.get(index).copied().unwrap_or(false));
            (0..plan.schema().fields().len()).map(column).collect()
        }
        _ => declared().collect(),
    };
    if proven.len() != plan.schema().fields().len() {
        proven = declared().collect();
    }
    match plan {
        // An outer join and a union make columns nullable, and say so; what is declared elsewhere holds.
        LogicalPlan::Join(_) | LogicalPlan::Union(_) => proven,
        _ => proven.into_iter().zip(declared()).map(|(proven, declared)| proven || declared).collect(),
    }
}

/// The columns of an input whose rows passed these conditions.
fn with_conditions<'a>(input: &LogicalPlan, conditions: impl IntoIterator<Item = &'a Expr>) -> Vec<bool> {
    let mut required = BTreeSet::new();
    for condition in conditions {
        for part in utils::split_conjunction(condition) {
            refuses_null(part, &mut required);
        }
    }
    let known = not_null(input);
    let schema = input.schema();
    let named = |index: usize| required.contains(&Column::from(schema.qualified_field(index)));
    known.into_iter().enumerate().map(|(index, known)| known || named(index)).collect()
}

/// Adds the columns for which a condition cannot be true when they are null.
fn refuses_null(condition: &Expr, columns: &mut BTreeSet<Column>) {
    match condition {
        Expr::IsNotNull(inner) | Expr::IsTrue(inner) | Expr::IsFalse(inner) => passes_null(inner, columns),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            passes_null(left, columns);
            passes_null(right, columns);
        }
        Expr::Between(between) if !between.negated => passes_null(&between.expr, columns),
        Expr::InList(list) => passes_null(&list.expr, columns),
        Expr::Like(like) | Expr::SimilarTo(like) => passes_null(&like.expr, columns),
        Expr::Column(column) => drop(columns.insert(column.clone())),
        _ => {}
    }
}

fn compares(operator: Operator) -> bool {
    use Operator as O;
    matches!(operator, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::RegexMatch | O::RegexIMatch)
}

/// Adds the columns for which an expression is null when they are.
fn passes_null(expr: &Expr, columns: &mut BTreeSet<Column>) {
    match expr {
        Expr::Column(column) => drop(columns.insert(column.clone())),
        Expr::Cast(cast) => passes_null(&cast.expr, columns),
        Expr::Alias(alias) => passes_null(&alias.expr, columns),
        Expr::Negative(inner) | Expr::Not(inner) => passes_null(inner, columns),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Plus | Operator::Minus | Operator::Multiply,
            right,
        }) => {
            passes_null(left, columns);
            passes_null(right, columns);
        }
        _ => {}
    }
}

/// The schema of an input in which the columns that are never null say so.
fn sharpened(input: &LogicalPlan) -> Option<DFSchema> {
    let schema = input.schema();
    let known = not_null(input);
    let fields = schema.iter().zip(known).map(|((qualifier, field), known)| {
        let field: Field = field.as_ref().clone();
        let nullable = field.is_nullable() && !known;
        (qualifier.cloned(), Arc::new(field.with_nullable(nullable)))
    });
    DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone()).ok()
}

fn of_exprs(input: &LogicalPlan, exprs: &[Expr]) -> Vec<bool> {
    let Some(schema) = sharpened(input) else { return vec![false; exprs.len()] };
    exprs.iter().map(|expr| gives_value(expr, &schema)).collect()
}

/// Whether an expression is never null over columns of this schema.
fn gives_value(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Alias(alias) => gives_value(&alias.expr, schema),
        Expr::Cast(cast) => gives_value(&cast.expr, schema),
        Expr::Negative(inner) | Expr::Not(inner) => gives_value(inner, schema),
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => {
            gives_value(left, schema) && gives_value(right, schema)
        }
        Expr::ScalarFunction(function) if total(function.func.name()) => {
            function.args.iter().all(|argument| gives_value(argument, schema))
        }
        other => matches!(other.nullable(schema), Ok(false)),
    }
}

/// Functions that give a value wherever their arguments are values; the planner takes most functions for nullable.
fn total(function: &str) -> bool {
    const TOTAL: [&str; 45] = [
        "abs",
        "ascii",
        "bit_length",
        "btrim",
        "ceil",
        "character_length",
        "chr",
        "concat",
        "date_bin",
        "date_part",
        "date_trunc",
        "encode",
        "ends_with",
        "exp",
        "floor",
        "flowline_cumulate_ends",
        "flowline_hop_starts",
        "flowline_tumble_start",
        "flowline_window_end",
        "flowline_window_time",
        "greatest",
        "initcap",
        "least",
        "left",
        "lower",
        "lpad",
        "ltrim",
        "md5",
        "octet_length",
        "regexp_like",
        "repeat",
        "replace",
        "reverse",
        "right",
        "round",
        "rpad",
        "rtrim",
        "sha256",
        "signum",
        "starts_with",
        "strpos",
        "substr",
        "to_hex",
        "trunc",
        "upper",
    ];
    TOTAL.contains(&function)
}

/// Group keys as their expressions; what picks or adds up values that are never null is never null, since a group
/// has at least one row.
fn of_aggregate(aggregate: &datafusion::logical_expr::Aggregate) -> Vec<bool> {
    const KEEPS: [&str; 6] = ["sum", "min", "max", "avg", "first_value", "last_value"];
    if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
        return Vec::new();
    }
    let mut all = of_exprs(&aggregate.input, &aggregate.group_expr);
    for (index, expr) in aggregate.aggr_expr.iter().enumerate() {
        let declared = !aggregate.schema.field(aggregate.group_expr.len() + index).is_nullable();
        let inner = if let Expr::Alias(alias) = expr { alias.expr.as_ref() } else { expr };
        let kept = match inner {
            Expr::AggregateFunction(function) => {
                let params = &function.params;
                !aggregate.group_expr.is_empty()
                    && params.filter.is_none()
                    && KEEPS.contains(&function.func.name())
                    && of_exprs(&aggregate.input, &params.args).iter().all(|kept| *kept)
            }
            _ => false,
        };
        all.push(declared || kept);
    }
    all
}

/// What is beside lists stays as it was. The items of the only list are never null where neither it nor they are: of
/// several lists, the shorter ones are filled up.
fn of_unnest(unnest: &Unnest) -> Vec<bool> {
    let input = not_null(&unnest.input);
    let alone = unnest.list_type_columns.len() == 1;
    let column = |from: &usize| {
        let known = input.get(*from).copied().unwrap_or(false);
        match unnest.list_type_columns.iter().find(|(list, _)| list == from) {
            Some((_, list)) => {
                known && alone && list.depth == 1 && items_are_values(unnest.input.schema(), *from)
            }
            None => known && !unnest.struct_type_columns.contains(from),
        }
    };
    unnest.dependency_indices.iter().map(column).collect()
}

fn items_are_values(schema: &DFSchema, list: usize) -> bool {
    match schema.field(list).data_type() {
        DataType::List(item) | DataType::LargeList(item) => !item.is_nullable(),
        _ => false,
    }
}

fn of_join(join: &datafusion::logical_expr::Join) -> Vec<bool> {
    let equal = join.on.iter().flat_map(|(left, right)| [left, right]);
    let conditions: Vec<Expr> =
        equal.map(|side| side.clone().is_not_null()).chain(join.filter.clone()).collect();
    let side = |input: &LogicalPlan, matched: bool| {
        if matched { with_conditions(input, &conditions) } else { not_null(input) }
    };
    let none = |input: &LogicalPlan| vec![false; input.schema().fields().len()];
    match join.join_type {
        JoinType::Inner => [side(&join.left, true), side(&join.right, true)].concat(),
        JoinType::Left => [side(&join.left, false), none(&join.right)].concat(),
        JoinType::Right => [none(&join.left), side(&join.right, false)].concat(),
        JoinType::LeftSemi => side(&join.left, true),
        JoinType::LeftAnti => side(&join.left, false),
        JoinType::RightSemi => side(&join.right, true),
        JoinType::RightAnti => side(&join.right, false),
        JoinType::Full | JoinType::LeftMark | JoinType::RightMark => Vec::new(),
    }
}
