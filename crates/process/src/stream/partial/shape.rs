//! Which aggregates of a query are kept, and the query without them.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, ScalarUDF, cast, lit,
};

use super::held::Held;
use crate::stream::analyze::{StreamQuery, closing_of, column};
use crate::stream::closing::Closing;
use crate::stream::flow::{Role, column_index};
use crate::stream::tables::{WindowTable, window_table};
use crate::upkeep::{number_of, scans_below};
use crate::windows::{TUMBLE_START, WindowFunction, WindowKind, WindowSpec};

/// An aggregate whose partial results are kept.
#[derive(Debug, Clone)]
pub(in crate::stream) struct Kept {
    /// The aggregate over the bins that its windows are made of.
    pub plan: LogicalPlan,
    /// The scan that its rows come from.
    pub scan: usize,
    /// Its windows.
    pub spec: WindowSpec,
    /// The expressions that it groups by which tell the window, by their place among them.
    pub roles: Vec<(usize, Role)>,
    /// What its columns are called where the query says so right above it, else as the engine calls them.
    pub names: Vec<String>,
}

impl Kept {
    /// The place of the first of these aggregates that is the same: a query that names one of WITH twice has it twice.
    pub fn first_like(all: &[Self], place: usize) -> usize {
        let text = |kept: &Self| kept.plan.display_indent().to_string();
        let wanted = text(&all[place]);
        all.iter().take(place).position(|other| text(other) == wanted).unwrap_or(place)
    }
}

/// The aggregates of a query that are kept, in the order in which [`with_results`] takes their results.
pub(in crate::stream) fn kept(query: &StreamQuery) -> Result<Vec<Kept>> {
    let (mut found, mut above) = (Vec::new(), None);
    query.plan.apply(|node| {
        match node {
            LogicalPlan::Projection(projection) => above = Some(projection.expr.clone()),
            LogicalPlan::Filter(_) => {}
            LogicalPlan::Aggregate(aggregate) => {
                if let Some(kept) = of_aggregate(query, aggregate)? {
                    let names = names_of(aggregate, above.take().unwrap_or_default());
                    found.push(Kept { names, ..kept });
                    return Ok(TreeNodeRecursion::Jump);
                }
                above = None;
            }
            _ => above = None,
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The names of an aggregate's columns, as the projection right above it has them.
fn names_of(aggregate: &Aggregate, above: Vec<Expr>) -> Vec<String> {
    let mut names: Vec<String> = aggregate.schema.fields().iter().map(|field| field.name().clone()).collect();
    for expr in &above {
        if let Some(index) = column_index(expr, &aggregate.schema) {
            names[index] = match expr {
                Expr::Alias(alias) => alias.name.clone(),
                expr => expr.qualified_name().1,
            };
        }
    }
    names
}

/// The query with the results of its kept aggregates in their place; none of an aggregate mean no rows.
pub(in crate::stream) fn with_results(
    query: &StreamQuery,
    results: Vec<Option<Arc<Held>>>,
) -> Result<StreamQuery> {
    let mut results = results.into_iter();
    let plan = query.plan.clone().transform_down(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        if of_aggregate(query, aggregate)?.is_none() {
            return Ok(Transformed::no(node));
        }
        let table = table_of(aggregate, results.next().unwrap_or_default())?;
        Ok(Transformed::new(table, true, TreeNodeRecursion::Jump))
    })?;
    Ok(StreamQuery { plan: plan.data, ..query.clone() })
}

/// Results as a table with the names and types of the aggregate.
fn table_of(aggregate: &Aggregate, results: Option<Arc<Held>>) -> Result<LogicalPlan> {
    let schema = match &results {
        Some(results) => Arc::clone(results.schema()),
        None => Arc::clone(aggregate.schema.inner()),
    };
    let width = schema.fields().len();
    let numbered: Vec<arrow::datatypes::Field> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            field.as_ref().clone().with_name(format!("__flowline_result_{index}")).with_nullable(true)
        })
        .collect();
    let numbered = Arc::new(arrow::datatypes::Schema::new(numbered));
    let table: Arc<dyn TableProvider> = match results {
        Some(results) => results.table(numbered)?,
        None => Arc::new(MemTable::try_new(numbered, vec![Vec::new()])?),
    };
    let scan = LogicalPlanBuilder::scan("__flowline_results", provider_as_source(table), None)?.build()?;
    let exprs = aggregate.schema.iter().take(width).enumerate().map(|(index, (qualifier, field))| {
        let from = column(scan.schema(), index);
        let same = scan.schema().field(index).data_type() == field.data_type();
        let from = if same { from } else { cast(from, field.data_type().clone()) };
        from.alias_qualified(qualifier.cloned(), field.name())
    });
    let exprs: Vec<Expr> = exprs.collect();
    LogicalPlanBuilder::from(scan).project(exprs)?.build()
}

/// The aggregate as one that is kept; none when it is no aggregate of tumbling, hopping or cumulating windows right over
/// the rows of one stream.
fn of_aggregate(query: &StreamQuery, aggregate: &Aggregate) -> Result<Option<Kept>> {
    if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
        return Ok(None);
    }
    let Some((input, carriers, table, scan)) = binned(query, &aggregate.input)? else { return Ok(None) };
    let roles: Vec<(usize, Role)> = aggregate
        .group_expr
        .iter()
        .enumerate()
        .filter_map(|(index, expr)| {
            let column = column_index(expr, aggregate.input.schema())?;
            let (_, role) = carriers.iter().find(|(carrier, _)| *carrier == column)?;
            Some((index, *role))
        })
        .collect();
    let told = carriers.iter().any(|(carrier, _)| {
        let named = |expr: &Expr| names(expr, &aggregate.input, &[*carrier]);
        let plain = |expr: &Expr| column_index(expr, aggregate.input.schema()).is_some();
        aggregate.aggr_expr.iter().any(named)
            || aggregate.group_expr.iter().any(|expr| named(expr) && !plain(expr))
    });
    // What is computed from the window's bounds cannot be computed from the bin's.
    if told || roles.is_empty() {
        return Ok(None);
    }
    let plan =
        Aggregate::try_new(Arc::new(input), aggregate.group_expr.clone(), aggregate.aggr_expr.clone())?;
    let names = Vec::new();
    Ok(Some(Kept { plan: LogicalPlan::Aggregate(plan), scan, spec: table.spec, roles, names }))
}

type Binned = (LogicalPlan, Vec<(usize, Role)>, WindowTable, usize);

/// The input of an aggregate with bins in the place of windows, and the columns that tell them.
fn binned(query: &StreamQuery, plan: &LogicalPlan) -> Result<Option<Binned>> {
    match plan {
        LogicalPlan::Filter(filter) if closing_of(filter).is_some() => bins(query, filter),
        LogicalPlan::Filter(filter) => {
            let Some((input, carriers, table, scan)) = binned(query, &filter.input)? else { return Ok(None) };
            let columns: Vec<usize> = carriers.iter().map(|(column, _)| *column).collect();
            if names(&filter.predicate, &filter.input, &columns) {
                return Ok(None);
            }
            let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
            Ok(Some((LogicalPlan::Filter(filter), carriers, table, scan)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some((input, carriers, table, scan)) = binned(query, &alias.input)? else { return Ok(None) };
            let plan = LogicalPlanBuilder::from(input).alias(alias.alias.clone())?.build()?;
            Ok(Some((plan, carriers, table, scan)))
        }
        LogicalPlan::Projection(projection) => {
            let Some((input, carriers, table, scan)) = binned(query, &projection.input)? else {
                return Ok(None);
            };
            let columns: Vec<usize> = carriers.iter().map(|(column, _)| *column).collect();
            let mut moved = Vec::new();
            for (index, expr) in projection.expr.iter().enumerate() {
                match column_index(expr, projection.input.schema()) {
                    Some(from) => moved.extend(
                        carriers.iter().filter(|(column, _)| *column == from).map(|(_, role)| (index, *role)),
                    ),
                    None if names(expr, &projection.input, &columns) => return Ok(None),
                    None => {}
                }
            }
            let plan = Projection::try_new(projection.expr.clone(), Arc::new(input))?;
            Ok(Some((LogicalPlan::Projection(plan), moved, table, scan)))
        }
        _ => Ok(None),
    }
}

/// Whether an expression names one of these columns of a plan.
fn names(expr: &Expr, input: &LogicalPlan, columns: &[usize]) -> bool {
    let schema = input.schema();
    expr.column_refs()
        .into_iter()
        .any(|named| schema.maybe_index_of_column(named).is_some_and(|index| columns.contains(&index)))
}

/// A window table function as one of bins: each row lies in one, whose start, end and time are all its start.
fn bins(query: &StreamQuery, closing: &Filter) -> Result<Option<Binned>> {
    let LogicalPlan::Projection(projection) = closing.input.as_ref() else { return Ok(None) };
    let Some(table) = window_table(projection) else { return Ok(None) };
    if table.spec.kind == WindowKind::Session {
        return Ok(None);
    }
    let [scan] = scans_below(&closing.input)[..] else { return Ok(None) };
    let alone = matches!(&query.scans[scan].closing, Some(Closing::Windows(specs)) if *specs == [table.spec]);
    let Some(rows) = rows_with_time(&projection.input).filter(|rows| alone && row_by_row(rows)) else {
        return Ok(None);
    };
    let schema = &projection.schema;
    let width = schema.fields().len() - table.carriers.len();
    let time = column(rows.schema(), table.time);
    let micros =
        matches!(rows.schema().field(table.time).data_type(), DataType::Timestamp(TimeUnit::Microsecond, _));
    if rows.schema().fields().len() != width || !micros {
        return Ok(None);
    }
    let bin = ScalarUDF::from(WindowFunction::named(TUMBLE_START));
    let bin = bin.call(vec![time, lit(table.spec.step), lit(table.spec.offset)]);
    let exprs = schema.iter().enumerate().map(|(index, (qualifier, field))| {
        let expr = if index < width { column(rows.schema(), index) } else { bin.clone() };
        expr.alias_qualified(qualifier.cloned(), field.name())
    });
    let plan = Projection::try_new(exprs.collect(), Arc::new(rows.clone()))?;
    let carriers = table.carriers.iter().map(|carrier| (carrier.column, carrier.role)).collect();
    Ok(Some((LogicalPlan::Projection(plan), carriers, table, scan)))
}

/// The rows that a window table function is over: those whose time is not null.
fn rows_with_time(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Filter(filter) if matches!(filter.predicate, Expr::IsNotNull(_)) => Some(plan),
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Unnest(_) => {
            plan.inputs().into_iter().next().and_then(rows_with_time)
        }
        _ => None,
    }
}

/// Whether a plan takes the rows of one scan one by one.
fn row_by_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => number_of(scan).is_some(),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Unnest(_) => plan.inputs().into_iter().all(row_by_row),
        _ => false,
    }
}
