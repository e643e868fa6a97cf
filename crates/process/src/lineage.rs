//! Which columns of its inputs each column of a dataset is made from, read off the plan of its SQL.
//!
//! Owns: the walk from an output column down to the scans, and what decides which rows there are (conditions, join
//! keys, grouping, order under a limit). Does not own: which dataset reads which (`graph`), the plans (`infer`).
//! A node that is not understood makes each of its columns depend on all that is below it: too much is told rather
//! than too little.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Join, JoinType, LogicalPlan, TableScan, Unnest, Window,
};
use flowline_model::{ColumnLineage, ColumnRef, DatasetName, Plan};

use crate::infer::{Inferred, infer_apart};
use crate::{graph, sql};

/// Columns of inputs.
type Sources = BTreeSet<ColumnRef>;

/// What each column of each dataset is made from, views told apart from what they read; the entry without a column is
/// what decides which rows there are. Nothing for what is landed; datasets whose SQL does not hold are missing.
pub async fn lineage(plan: &Plan) -> BTreeMap<DatasetName, Vec<ColumnLineage>> {
    let (graph, _) = graph::explore(plan);
    let Inferred { plans, columns, .. } = sql::on_large_stack(infer_apart(plan, &graph)).await;
    let mut lineage = BTreeMap::new();
    for dataset in &plan.datasets {
        if dataset.landed() {
            lineage.insert(dataset.name.clone(), Vec::new());
            continue;
        }
        let (Some(logical), Some(columns)) = (plans.get(&dataset.name), columns.get(&dataset.name)) else {
            continue;
        };
        let mut found = of_plan(logical);
        for line in &mut found {
            line.from = line.from.drain(..).map(|source| declared(plan, source)).collect();
            line.from.sort();
            line.from.dedup();
        }
        found.retain(|line| match &line.column {
            Some(name) => columns.iter().any(|column| column.name == *name),
            None => true,
        });
        lineage.insert(dataset.name.clone(), found);
    }
    lineage
}

/// The column of a contract that a column of a table is derived from: `ts` for the partition column `ts_day`.
fn declared(plan: &Plan, source: ColumnRef) -> ColumnRef {
    let fields =
        plan.dataset(&source.dataset).map(|dataset| dataset.partition_by.as_slice()).unwrap_or_default();
    let field = fields.iter().find(|field| field.partition_column() == source.column);
    match field {
        Some(field) => ColumnRef { column: field.column.clone(), ..source },
        None => source,
    }
}

fn of_plan(plan: &LogicalPlan) -> Vec<ColumnLineage> {
    let mut walk = Walk::default();
    let outputs = walk.outputs(plan, None);
    let fields = plan.schema().fields().iter();
    let line =
        |column: Option<String>, from: Sources| ColumnLineage { column, from: from.into_iter().collect() };
    let mut lines: Vec<ColumnLineage> =
        fields.zip(outputs).map(|(field, from)| line(Some(field.name().clone()), from)).collect();
    if !walk.rows.is_empty() {
        lines.push(line(None, walk.rows));
    }
    lines
}

/// The columns that an expression may name, each with what it is made from.
struct Scope<'a> {
    schema: &'a DFSchema,
    columns: &'a [Sources],
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn find(&self, column: &Column) -> Option<&Sources> {
        let here = self.schema.maybe_index_of_column(column).and_then(|index| self.columns.get(index));
        here.or_else(|| self.outer.and_then(|outer| outer.find(column)))
    }
}

#[derive(Default)]
struct Walk {
    /// What decides which rows there are.
    rows: Sources,
}

impl Walk {
    /// What each output column of a plan is made from, in order.
    fn outputs(&mut self, plan: &LogicalPlan, outer: Option<&Scope<'_>>) -> Vec<Sources> {
        match plan {
            LogicalPlan::TableScan(scan) => self.of_scan(scan),
            LogicalPlan::Join(join) => self.of_join(join, outer),
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.iter().map(|input| self.outputs(input, outer)).collect::<Vec<_>>();
                inputs.into_iter().reduce(side_by_side).unwrap_or_default()
            }
            LogicalPlan::RecursiveQuery(query) => {
                let first = self.outputs(&query.static_term, outer);
                let again = self.outputs(&query.recursive_term, outer);
                side_by_side(first, again)
            }
            _ => match plan.inputs().as_slice() {
                [] => vec![Sources::new(); plan.schema().fields().len()],
                [input] => {
                    let below = self.outputs(input, outer);
                    self.of_node(plan, &Scope { schema: input.schema(), columns: &below, outer })
                }
                several => {
                    let below: Vec<Sources> =
                        several.iter().flat_map(|input| self.outputs(input, outer)).collect();
                    all_of_it(plan, &below)
                }
            },
        }
    }

    /// A node with one input.
    fn of_node(&mut self, plan: &LogicalPlan, below: &Scope<'_>) -> Vec<Sources> {
        match plan {
            LogicalPlan::Projection(projection) => self.of_all(&projection.expr, below),
            LogicalPlan::Aggregate(aggregate) => self.of_aggregate(aggregate, below),
            LogicalPlan::Window(window) => self.of_window(window, below),
            LogicalPlan::Unnest(unnest) => of_unnest(unnest, below.columns),
            LogicalPlan::Distinct(Distinct::On(on)) => {
                let on_rows = self.of_all(&on.on_expr, below);
                self.rows.extend(on_rows.into_iter().flatten());
                self.of_all(&on.select_expr, below)
            }
            LogicalPlan::Filter(filter) => {
                let decides = self.of_expr(&filter.predicate, below);
                self.rows.extend(decides);
                below.columns.to_vec()
            }
            LogicalPlan::Sort(sort) => {
                if sort.fetch.is_some() {
                    for by in &sort.expr {
                        let decides = self.of_expr(&by.expr, below);
                        self.rows.extend(decides);
                    }
                }
                below.columns.to_vec()
            }
            LogicalPlan::Limit(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Distinct(Distinct::All(_)) => below.columns.to_vec(),
            _ => all_of_it(plan, below.columns),
        }
    }

    fn of_scan(&mut self, scan: &TableScan) -> Vec<Sources> {
        let dataset = scan.table_name.schema().and_then(|schema| {
            let name = DatasetName::new(schema, scan.table_name.table()).ok();
            name.filter(|_| !DatasetName::RESERVED_DOMAINS.contains(&schema))
        });
        let source = |name: &str| {
            let dataset = dataset.clone()?;
            Some(ColumnRef { dataset, column: name.to_owned() })
        };
        for filter in &scan.filters {
            self.rows.extend(filter.column_refs().iter().filter_map(|column| source(&column.name)));
        }
        let fields = scan.projected_schema.fields().iter();
        fields.map(|field| source(field.name()).into_iter().collect()).collect()
    }

    fn of_join(&mut self, join: &Join, outer: Option<&Scope<'_>>) -> Vec<Sources> {
        let left = self.outputs(&join.left, outer);
        let right = self.outputs(&join.right, outer);
        let one = Scope { schema: join.left.schema(), columns: &left, outer };
        // Conditions name columns of both sides.
        let both = Scope { schema: join.right.schema(), columns: &right, outer: Some(&one) };
        let pairs = join.on.iter().flat_map(|(on_left, on_right)| [on_left, on_right]);
        for condition in pairs.chain(&join.filter) {
            let decides = self.of_expr(condition, &both);
            self.rows.extend(decides);
        }
        match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => left,
            JoinType::RightSemi | JoinType::RightAnti => right,
            JoinType::LeftMark => left.into_iter().chain([Sources::new()]).collect(),
            JoinType::RightMark => right.into_iter().chain([Sources::new()]).collect(),
            _ => left.into_iter().chain(right).collect(),
        }
    }

    fn of_aggregate(&mut self, aggregate: &Aggregate, below: &Scope<'_>) -> Vec<Sources> {
        let groups: Vec<Sources> = aggregate
            .group_expr
            .iter()
            .flat_map(|expr| match expr {
                Expr::GroupingSet(set) => set.distinct_expr().into_iter().cloned().collect(),
                other => vec![other.clone()],
            })
            .map(|expr| self.of_expr(&expr, below))
            .collect();
        self.rows.extend(groups.iter().flatten().cloned());
        let measures = self.of_all(&aggregate.aggr_expr, below);
        let width = aggregate.schema.fields().len();
        // Grouping sets have one more column, which says which of them a row belongs to.
        let between = width.saturating_sub(groups.len() + measures.len());
        groups.into_iter().chain(vec![Sources::new(); between]).chain(measures).collect()
    }

    fn of_window(&mut self, window: &Window, below: &Scope<'_>) -> Vec<Sources> {
        let added = self.of_all(&window.window_expr, below);
        below.columns.iter().cloned().chain(added).collect()
    }

    fn of_all(&mut self, exprs: &[Expr], scope: &Scope<'_>) -> Vec<Sources> {
        exprs.iter().map(|expr| self.of_expr(expr, scope)).collect()
    }

    /// What an expression is made from; a subquery in it counts with all that it reads.
    fn of_expr(&mut self, expr: &Expr, scope: &Scope<'_>) -> Sources {
        let mut sources = Sources::new();
        let _ = expr.apply(|part| {
            match part {
                Expr::Column(column) | Expr::OuterReferenceColumn(_, column) => {
                    sources.extend(scope.find(column).into_iter().flatten().cloned());
                }
                Expr::ScalarSubquery(subquery) => sources.extend(of_subquery(&subquery.subquery, scope)),
                Expr::InSubquery(within) => sources.extend(of_subquery(&within.subquery.subquery, scope)),
                Expr::SetComparison(set) => sources.extend(of_subquery(&set.subquery.subquery, scope)),
                Expr::Exists(exists) => sources.extend(of_subquery(&exists.subquery.subquery, scope)),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        });
        sources
    }
}

fn of_subquery(plan: &LogicalPlan, scope: &Scope<'_>) -> Sources {
    let mut walk = Walk::default();
    let outputs = walk.outputs(plan, Some(scope));
    outputs.into_iter().flatten().chain(walk.rows).collect()
}

fn of_unnest(unnest: &Unnest, below: &[Sources]) -> Vec<Sources> {
    let of = |index: &usize| below.get(*index).cloned().unwrap_or_default();
    unnest.dependency_indices.iter().map(of).collect()
}

/// Columns that are filled from two inputs in turn.
fn side_by_side(one: Vec<Sources>, other: Vec<Sources>) -> Vec<Sources> {
    let mut columns = one;
    for (column, more) in columns.iter_mut().zip(other) {
        column.extend(more);
    }
    columns
}

/// Every column may be made from everything below.
fn all_of_it(plan: &LogicalPlan, below: &[Sources]) -> Vec<Sources> {
    let all: Sources = below.iter().flatten().cloned().collect();
    vec![all; plan.schema().fields().len()]
}
