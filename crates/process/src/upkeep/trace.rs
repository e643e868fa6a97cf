//! What new rows of an input affect: a term over the columns of a query (its key, its partition), taken down to the
//! columns of each scan.
//!
//! A term can be taken through a node when all rows that the node puts together have the same value of it: through
//! GROUP BY when it is grouped by, through a window when it is partitioned by it, through a join on the side that it
//! comes from, and to the other side when the join condition makes the two equal.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, ExprSchemable, Join, JoinType, LogicalPlan, Operator, Unnest, Window, utils,
};

use super::linear::{name, unaliased};
use super::refuse::Obstacle;
use super::scans::{number_of, scans_below};

type Terms = Result<Vec<Expr>, Obstacle>;

/// For each scan, the terms over its columns, or what keeps them from being told.
pub(crate) fn trace(plan: &LogicalPlan, terms: &[Expr], scans: usize) -> Vec<Terms> {
    let unseen = Obstacle { what: "a part of the query that is not understood", place: None };
    let mut found = vec![Err(unseen); scans];
    walk(plan, Ok(terms.to_vec()), &mut found);
    found
}

fn walk(plan: &LogicalPlan, terms: Terms, found: &mut [Terms]) {
    let lost = |what: &'static str| Obstacle::at(what, plan);
    let _ = plan.apply_subqueries(|subquery| {
        for number in scans_below(subquery) {
            found[number] = Err(lost("a subquery"));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    match plan {
        LogicalPlan::TableScan(scan) => {
            if let Some(number) = number_of(scan) {
                found[number] = terms;
            }
        }
        LogicalPlan::Join(join) => {
            let (left, right) = match terms {
                Err(obstacle) => (Err(obstacle.clone()), Err(obstacle)),
                Ok(terms) => through_join(join, &terms, &lost("a join")),
            };
            walk(&join.left, left, found);
            walk(&join.right, right, found);
        }
        LogicalPlan::Union(union) => {
            for input in &union.inputs {
                let below = |index| Some(column(input.schema(), index));
                let terms = terms
                    .clone()
                    .and_then(|terms| replace(&terms, plan.schema(), below).ok_or(lost("UNION")));
                walk(input, terms, found);
            }
        }
        _ => {
            let terms = terms.and_then(|terms| below(plan, &terms).ok_or_else(|| lost(name(plan))));
            plan.inputs().into_iter().for_each(|input| walk(input, terms.clone(), found));
        }
    }
}

/// The terms of a node with one input, over the columns of that input.
pub(super) fn below(plan: &LogicalPlan, terms: &[Expr]) -> Option<Vec<Expr>> {
    let schema = plan.schema();
    match plan {
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Distinct(Distinct::All(_)) => {
            Some(terms.to_vec())
        }
        LogicalPlan::SubqueryAlias(alias) => {
            replace(terms, schema, |index| Some(column(alias.input.schema(), index)))
        }
        LogicalPlan::Projection(projection) => replace(terms, schema, |index| {
            projection.expr.get(index).map(unaliased).filter(|expr| plain(expr)).cloned()
        }),
        LogicalPlan::Aggregate(aggregate) => {
            let grouping_set = aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
            let grouped =
                |index| aggregate.group_expr.get(index).map(unaliased).filter(|expr| plain(expr)).cloned();
            if grouping_set { None } else { replace(terms, schema, grouped) }
        }
        LogicalPlan::Window(window) => through_window(window, terms),
        LogicalPlan::Unnest(unnest) => replace(terms, schema, |index| not_unnested(unnest, index)),
        _ => None,
    }
}

/// An expression that only depends on the row.
fn plain(expr: &Expr) -> bool {
    let mut plain = true;
    let _ = expr.apply(|expr| {
        plain &= !matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Unnest(_)
        );
        Ok(if plain { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    plain
}

fn column(schema: &DFSchema, index: usize) -> Expr {
    Expr::Column(Column::from(schema.qualified_field(index)))
}

/// The terms with each column replaced by what stands for it below; none when one has nothing there.
fn replace(terms: &[Expr], schema: &DFSchema, below: impl Fn(usize) -> Option<Expr>) -> Option<Vec<Expr>> {
    let mut known = true;
    let mut replaced = Vec::with_capacity(terms.len());
    for term in terms {
        let term = term.clone().transform_up(|expr| {
            let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
            match schema.maybe_index_of_column(column).and_then(&below) {
                Some(expr) => Ok(Transformed::yes(expr)),
                None => {
                    known = false;
                    Ok(Transformed::no(expr))
                }
            }
        });
        replaced.push(term.ok()?.data);
    }
    known.then_some(replaced)
}

fn through_window(window: &Window, terms: &[Expr]) -> Option<Vec<Expr>> {
    let width = window.input.schema().fields().len();
    let terms = replace(terms, &window.schema, |index| {
        (index < width).then(|| column(window.input.schema(), index))
    })?;
    let partitioned = window.window_expr.iter().map(unaliased).all(|expr| match expr {
        Expr::WindowFunction(function) => {
            terms.iter().all(|term| function.params.partition_by.contains(term))
        }
        _ => false,
    });
    partitioned.then_some(terms)
}

pub(crate) fn not_unnested(unnest: &Unnest, index: usize) -> Option<Expr> {
    let from = *unnest.dependency_indices.get(index)?;
    let taken_apart = unnest.list_type_columns.iter().any(|(list, _)| *list == from)
        || unnest.struct_type_columns.contains(&from);
    (!taken_apart).then(|| column(unnest.input.schema(), from))
}

/// The terms on both sides of a join.
fn through_join(join: &Join, terms: &[Expr], obstacle: &Obstacle) -> (Terms, Terms) {
    use JoinType as J;
    let width = join.left.schema().fields().len();
    let lost = || Err(obstacle.clone());
    let left =
        || replace(terms, &join.schema, |index| (index < width).then(|| column(join.left.schema(), index)));
    let right =
        || replace(terms, &join.schema, |index| Some(column(join.right.schema(), index.checked_sub(width)?)));
    let only_right = || replace(terms, &join.schema, |index| Some(column(join.right.schema(), index)));
    let pairs = equal_pairs(join);
    let to_right = |terms: &[Expr]| across(terms, &pairs);
    let flipped: Vec<(Expr, Expr)> =
        pairs.iter().map(|(left, right)| (right.clone(), left.clone())).collect();
    let to_left = |terms: &[Expr]| across(terms, &flipped);
    let from_left = |found: Vec<Expr>| {
        let other = to_right(&found).ok_or_else(|| obstacle.clone());
        (Ok(found), other)
    };
    let from_right = |found: Vec<Expr>| {
        let other = to_left(&found).ok_or_else(|| obstacle.clone());
        (other, Ok(found))
    };
    let found = match join.join_type {
        J::Inner => left().map(from_left).or_else(|| right().map(from_right)),
        J::Left | J::LeftSemi | J::LeftAnti | J::LeftMark => left().map(from_left),
        J::Right => right().map(from_right),
        J::RightSemi | J::RightAnti | J::RightMark => only_right().map(from_right),
        J::Full => None,
    };
    found.unwrap_or_else(|| (lost(), lost()))
}

/// The expressions that the join makes equal, of one type on both sides: left, right.
pub(crate) fn equal_pairs(join: &Join) -> Vec<(Expr, Expr)> {
    let (left, right) = (join.left.schema(), join.right.schema());
    let mut pairs = join.on.clone();
    for part in join.filter.iter().flat_map(utils::split_conjunction) {
        if let Expr::BinaryExpr(BinaryExpr { left: one, op: Operator::Eq, right: other }) = part {
            pairs.push((one.as_ref().clone(), other.as_ref().clone()));
            pairs.push((other.as_ref().clone(), one.as_ref().clone()));
        }
    }
    pairs.retain(|(one, other)| match (one.get_type(left), other.get_type(right)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    });
    pairs
}

fn across(terms: &[Expr], pairs: &[(Expr, Expr)]) -> Option<Vec<Expr>> {
    let mut known = true;
    let mut found = Vec::with_capacity(terms.len());
    for term in terms {
        let term = term.clone().transform_down(|expr| {
            if let Some((_, other)) = pairs.iter().find(|(one, _)| *one == expr) {
                return Ok(Transformed::new(other.clone(), true, TreeNodeRecursion::Jump));
            }
            known &= !matches!(expr, Expr::Column(_));
            Ok(Transformed::no(expr))
        });
        found.push(term.ok()?.data);
    }
    known.then_some(found)
}
