//! Which partitions and keys of a table changes touch, told from partition values where rows need not be read.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use datafusion::catalog::MemTable;
use datafusion::common::Column as ColumnRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use flowline_lake::{PartitionValues, TableSpec, arrow_types};
use flowline_model::{Dataset, DatasetName};

use super::inputs::Input;
use super::rows::{self, Affected};
use crate::upkeep::{Follow, Hop, partition_term};
use crate::{ProcessError, QueryEngine};

/// A column by its name alone.
pub(crate) fn named(name: &str) -> Expr {
    Expr::Column(ColumnRef::new_unqualified(name))
}

/// Terms over a scan's columns as terms over its partition columns alone, when those determine them.
pub(super) fn over_partitions(engine: &QueryEngine, scan: &DatasetName, terms: &[Expr]) -> Option<Vec<Expr>> {
    let dataset = engine.project().dataset(scan)?;
    if dataset.partition_by.is_empty() {
        return None;
    }
    terms.iter().map(|term| over_partition_columns(dataset, term)).collect()
}

fn over_partition_columns(dataset: &Dataset, term: &Expr) -> Option<Expr> {
    let partition_columns = arrow_types::partition_columns(dataset);
    let mut known = true;
    let found = term.clone().transform_down(|expr| {
        for field in &dataset.partition_by {
            for column in expr.column_refs().into_iter().filter(|column| column.name == field.column) {
                if expr == partition_term(field, Expr::Column(column.clone())) {
                    let partition = ColumnRef::new(column.relation.clone(), field.partition_column());
                    return Ok(Transformed::new(Expr::Column(partition), true, TreeNodeRecursion::Jump));
                }
            }
        }
        if matches!(&expr, Expr::Column(column) if partition_columns.contains(&column.name)) {
            return Ok(Transformed::no(expr));
        }
        known &= !matches!(expr, Expr::Column(_));
        Ok(Transformed::no(expr))
    });
    found.ok().filter(|_| known).map(|found| found.data)
}

/// Whether the partitions that an input's changes touched tell what they affect, at each mention of the input.
pub(super) fn partitions_known(engine: &QueryEngine, hop: &Hop, input: &Input) -> bool {
    let listed =
        input.changes.as_ref().is_some_and(|changes| !changes.unknown && !changes.partitions.is_empty());
    let mut mentions = hop.scans.iter().zip(&hop.follows).filter(|(scan, _)| **scan == input.dataset);
    listed
        && mentions.all(|(_, follow)| match follow {
            Follow::Affects(terms) => over_partitions(engine, &input.dataset, terms).is_some(),
            _ => false,
        })
}

/// The distinct values of terms over the partitions that an input's changes touched.
pub(super) fn of_partitions(
    engine: &QueryEngine,
    input: &Input,
    terms: &[Expr],
) -> Result<LogicalPlan, ProcessError> {
    let unknown = || {
        ProcessError::Engine(format!(
            "the partitions that changes of `{}` touched are not known",
            input.dataset
        ))
    };
    let terms = over_partitions(engine, &input.dataset, terms).ok_or_else(unknown)?;
    let partitions = &input.changes.as_ref().ok_or_else(unknown)?.partitions;
    let batch = batch_of(partitions)?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
    let scan = LogicalPlanBuilder::scan("partitions", provider_as_source(Arc::new(table)), None)?.build()?;
    let unqualified = |term: Expr| {
        term.transform_up(|expr| match expr {
            Expr::Column(column) => Ok(Transformed::yes(named(&column.name))),
            other => Ok(Transformed::no(other)),
        })
    };
    let terms = terms.into_iter().map(|term| Ok(unqualified(term)?.data)).collect::<Result<Vec<_>>>()?;
    Ok(rows::distinct_terms(scan, &terms)?)
}

fn batch_of(partitions: &[PartitionValues]) -> Result<RecordBatch> {
    let width = partitions.first().map_or(0, |partition| partition.0.len());
    let (mut fields, mut columns) = (Vec::with_capacity(width), Vec::with_capacity(width));
    for index in 0..width {
        let values: Vec<ScalarValue> = partitions
            .iter()
            .filter_map(|partition| partition.0.get(index))
            .map(|(_, value)| value.clone())
            .collect();
        let name = partitions
            .iter()
            .find_map(|partition| partition.0.get(index))
            .map_or("", |(name, _)| name.as_str());
        let column = ScalarValue::iter_to_array(values)?;
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The affected values as partitions of the table.
pub(super) fn partition_values(
    spec: &TableSpec,
    affected: &Affected,
) -> Result<Vec<PartitionValues>, ProcessError> {
    let rows = key_values(spec, &spec.partition_columns, affected)?;
    let names = &spec.partition_columns;
    Ok(rows.into_iter().map(|row| PartitionValues(names.iter().cloned().zip(row).collect())).collect())
}

/// The affected values in the types of the table's columns.
pub(super) fn key_values(
    spec: &TableSpec,
    names: &[String],
    affected: &Affected,
) -> Result<Vec<Vec<ScalarValue>>, ProcessError> {
    let mut rows = affected.rows()?;
    for row in &mut rows {
        for (name, value) in names.iter().zip(row.iter_mut()) {
            let kind = spec
                .schema
                .field_with_name(name)
                .map_err(datafusion::error::DataFusionError::from)?
                .data_type();
            *value = value.cast_to(kind)?;
        }
    }
    Ok(rows)
}
