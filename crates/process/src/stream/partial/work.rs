//! Partial results: of new rows, merged, and of the windows that close.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::{ExecutionPlan, collect};

use super::shape::Kept;
use crate::stream::flow::{Carrier, Role};
use crate::stream::restrict::{instant, scan_of};
use crate::upkeep::bind;

/// Optimizations after which there are no partial results to be taken.
const UNWANTED: [&str; 2] = ["CombinePartialFinalAggregate", "single_distinct_aggregation_to_group_by"];

/// Works with the partial results of one kept aggregate.
pub(in crate::stream) struct Partials<'a> {
    kept: &'a Kept,
    state: SessionState,
}

impl<'a> Partials<'a> {
    pub fn new(kept: &'a Kept, state: &SessionState) -> Self {
        let rules = state.optimizers().iter().filter(|rule| !UNWANTED.contains(&rule.name())).cloned();
        let physical =
            state.physical_optimizers().iter().filter(|rule| !UNWANTED.contains(&rule.name())).cloned();
        let state = SessionStateBuilder::new_from_existing(state.clone())
            .with_optimizer_rules(rules.collect())
            .with_physical_optimizer_rules(physical.collect())
            .build();
        Self { kept, state }
    }

    /// The partial results of those rows of a table whose time is not before this.
    pub async fn of_rows(
        &self,
        table: Arc<dyn TableProvider>,
        time: &str,
        from: Option<i64>,
    ) -> Result<Vec<RecordBatch>> {
        let (_, partial) = self.plans(table, time, from).await?;
        collect(partial, self.state.task_ctx()).await
    }

    /// Partial results of the same bins and keys as one.
    pub async fn merged(&self, schema: SchemaRef, results: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let (_, partial) = self.plans(Arc::new(EmptyTable::new(schema)), "", None).await?;
        let aggregate = aggregate_of(&partial)?;
        let input = MemorySourceConfig::try_new_exec(
            &[conformed(results, &partial.schema())?],
            partial.schema(),
            None,
        )?;
        let merge = AggregateExec::try_new(
            AggregateMode::PartialReduce,
            aggregate.group_expr().as_final(),
            aggregate.aggr_expr().to_vec(),
            vec![None; aggregate.aggr_expr().len()],
            input,
            aggregate.input_schema(),
        )?;
        collect(Arc::new(merge), self.state.task_ctx()).await
    }

    /// The aggregates of the windows whose ends are wanted, from the partial results of their bins.
    pub async fn closed(
        &self,
        schema: SchemaRef,
        results: &[RecordBatch],
        wanted: impl Fn(i64) -> bool,
    ) -> Result<Vec<RecordBatch>> {
        let (whole, partial) = self.plans(Arc::new(EmptyTable::new(schema)), "", None).await?;
        let partial_schema = partial.schema();
        let windows = results.iter().map(|batch| self.windows(batch, &wanted)).collect::<Result<Vec<_>>>()?;
        let input: Arc<dyn ExecutionPlan> =
            MemorySourceConfig::try_new_exec(&[conformed(windows, &partial_schema)?], partial_schema, None)?;
        let over = whole.transform_down(|node| match is_partial(&node) {
            true => Ok(Transformed::new(Arc::clone(&input), true, TreeNodeRecursion::Jump)),
            false => Ok(Transformed::no(node)),
        })?;
        collect(over.data, self.state.task_ctx()).await
    }

    /// The partial results that windows need which are still open.
    pub fn open(&self, results: &[RecordBatch], watermark: i64) -> Result<Vec<RecordBatch>> {
        let spec = self.kept.spec;
        let keep = |batch: &RecordBatch| {
            let bins = self.bins(batch)?;
            let mask: arrow::array::BooleanArray =
                bins.iter().map(|bin| Some(bin.is_some_and(|bin| spec.last_end(bin) > watermark))).collect();
            Ok(arrow::compute::filter_record_batch(batch, &mask)?)
        };
        results.iter().map(keep).collect()
    }

    fn bins<'b>(&self, batch: &'b RecordBatch) -> Result<&'b TimestampMicrosecondArray> {
        let place = self.kept.roles.first().map_or(0, |(place, _)| *place);
        let column = batch
            .columns()
            .get(place)
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        column.ok_or_else(|| DataFusionError::Internal("partial results have no bins".to_owned()))
    }

    /// The rows of each bin once for each wanted window that the bin is in, with the window's own bounds.
    fn windows(&self, batch: &RecordBatch, wanted: &impl Fn(i64) -> bool) -> Result<RecordBatch> {
        let (mut rows, mut ends) = (Vec::new(), Vec::new());
        for (row, bin) in self.bins(batch)?.iter().enumerate() {
            for end in bin.into_iter().flat_map(|bin| self.kept.spec.ends(bin)).filter(|end| wanted(*end)) {
                rows.push(row as u64);
                ends.push((end, bin.unwrap_or_default()));
            }
        }
        let rows = UInt64Array::from(rows);
        let mut columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .map(|column| take(column, &rows, None))
            .collect::<std::result::Result<_, _>>()?;
        for (place, role) in &self.kept.roles {
            let kind = columns[*place].data_type().clone();
            let values = ends.iter().map(|(end, bin)| self.bound(*role, *end, *bin));
            let values = TimestampMicrosecondArray::from_iter_values(values).with_data_type(kind);
            columns[*place] = Arc::new(values);
        }
        Ok(RecordBatch::try_new(batch.schema(), columns)?)
    }

    fn bound(&self, role: Role, end: i64, bin: i64) -> i64 {
        let spec = self.kept.spec;
        match (role, spec.kind) {
            (Role::Start, crate::windows::WindowKind::Cumulate) => {
                spec.last_end(bin).saturating_sub(spec.size)
            }
            _ => Carrier { column: 0, role, spec }.of_end(end),
        }
    }

    /// The plan of the whole aggregate over a table, and the part of it that gives partial results.
    async fn plans(
        &self,
        table: Arc<dyn TableProvider>,
        time: &str,
        from: Option<i64>,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<dyn ExecutionPlan>)> {
        let plan: LogicalPlan = bind(self.kept.plan.clone(), |_, scan| {
            let plan = scan_of(Arc::clone(&table), &scan)?;
            let Some(from) = from else { return Ok(plan) };
            let index = plan.schema().fields().iter().position(|field| field.name() == time);
            let Some(index) = index else { return Ok(plan) };
            let kind = plan.schema().field(index).data_type().clone();
            let condition = crate::stream::analyze::column(plan.schema(), index).gt_eq(instant(from, &kind)?);
            LogicalPlanBuilder::from(plan).filter(condition)?.build()
        })?;
        let whole = self.state.create_physical_plan(&plan).await?;
        let mut partial = None;
        whole.apply(|node| {
            if is_partial(node) {
                partial = Some(Arc::clone(node));
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        match partial {
            Some(partial) => Ok((whole, partial)),
            None => Err(DataFusionError::Internal("the aggregate has no partial results".to_owned())),
        }
    }
}

fn is_partial(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| *aggregate.mode() == AggregateMode::Partial)
}

fn aggregate_of(plan: &Arc<dyn ExecutionPlan>) -> Result<&AggregateExec> {
    plan.downcast_ref::<AggregateExec>()
        .ok_or_else(|| DataFusionError::Internal("the aggregate has no partial results".to_owned()))
}

/// Batches with the very schema that a plan expects of them.
fn conformed(batches: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let one = |batch: RecordBatch| Ok(RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())?);
    let batches = batches.into_iter().map(one).collect::<Result<Vec<_>>>()?;
    Ok(vec![concat_batches(schema, &batches)?])
}
