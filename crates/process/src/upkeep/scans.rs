//! The scans of a plan, numbered, so that each can be given rows of its own.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableSource, cast};
use flowline_model::DatasetName;

/// The source of a scan that has a number. It can be planned over, not run: [`bind`] puts a real one in its place.
#[derive(Debug)]
struct Numbered {
    number: usize,
    schema: SchemaRef,
}

impl TableSource for Numbered {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        None
    }
}

/// Numbers the scans of datasets in a plan, those of subqueries among them, and names the dataset of each.
pub(crate) fn number(plan: LogicalPlan) -> Result<(LogicalPlan, Vec<DatasetName>)> {
    let mut datasets = Vec::new();
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(mut scan) => match dataset_of(&scan) {
            Some(dataset) => {
                scan.source = Arc::new(Numbered { number: datasets.len(), schema: scan.source.schema() });
                datasets.push(dataset);
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok((plan.data, datasets))
}

fn dataset_of(scan: &TableScan) -> Option<DatasetName> {
    DatasetName::new(scan.table_name.schema()?, scan.table_name.table()).ok()
}

/// The number of a scan; none for a scan of something that is no dataset.
pub(crate) fn number_of(scan: &TableScan) -> Option<usize> {
    scan.source.downcast_ref::<Numbered>().map(|source| source.number)
}

/// The scan whose growth a query is written to follow: the first one of its FROM.
pub(super) fn first(plan: &LogicalPlan) -> Option<usize> {
    match plan {
        LogicalPlan::TableScan(scan) => number_of(scan),
        other => other.inputs().into_iter().find_map(first),
    }
}

/// The numbers of the scans in a plan, subqueries included.
pub(crate) fn scans_below(plan: &LogicalPlan) -> Vec<usize> {
    let mut numbers = Vec::new();
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            numbers.extend(number_of(scan));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    numbers
}

/// Puts a plan in the place of each numbered scan; it must have the scan's columns.
pub(crate) fn bind(
    plan: LogicalPlan,
    mut source: impl FnMut(usize, TableScan) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    // From the leaves up, so that what is put in is not walked into.
    let bound = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) => match number_of(&scan) {
            Some(number) => source(number, scan).map(Transformed::yes),
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(bound.data)
}

/// The plan without those branches of its unions that do not read this scan, where another branch does: what the
/// scan's rows add to a union is what they add to their own branch.
pub(crate) fn only_branches_with(plan: LogicalPlan, number: usize) -> Result<LogicalPlan> {
    let cut = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Union(mut union) = node else { return Ok(Transformed::no(node)) };
        let reads = |input: &Arc<LogicalPlan>| scans_below(input).contains(&number);
        if union.inputs.iter().any(reads) {
            union.inputs.retain(reads);
        }
        match union.inputs.as_slice() {
            [only] => renamed(only, &union.schema).map(Transformed::yes),
            _ => Ok(Transformed::yes(LogicalPlan::Union(union))),
        }
    })?;
    Ok(cut.data)
}

/// A branch of a union with the union's names and types for its columns.
fn renamed(branch: &Arc<LogicalPlan>, union: &DFSchema) -> Result<LogicalPlan> {
    let columns = branch.schema().columns().into_iter().zip(branch.schema().fields()).zip(union.iter());
    let exprs: Vec<Expr> = columns
        .map(|((column, is), (qualifier, field))| {
            let column = Expr::Column(column);
            let same = is.data_type() == field.data_type();
            let column = if same { column } else { cast(column, field.data_type().clone()) };
            column.alias_qualified(qualifier.cloned(), field.name())
        })
        .collect();
    LogicalPlanBuilder::from(branch.as_ref().clone()).project(exprs)?.build()
}
