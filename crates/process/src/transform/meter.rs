//! Counts the rows that a run reads, at the scans themselves, independently of what is written.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Constraints, Result, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{
    CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

/// Rows that came out of scans.
#[derive(Debug, Default)]
pub(super) struct Meter {
    rows: AtomicU64,
    scanned: AtomicBool,
}

impl Meter {
    /// The rows so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Whether any scan with this meter was planned; one whose rows cannot pass a filter is planned away.
    pub fn scanned(&self) -> bool {
        self.scanned.load(Ordering::Relaxed)
    }
}

/// A table whose scans are counted.
#[derive(Debug)]
pub(super) struct Metered {
    inner: Arc<dyn TableProvider>,
    meter: Arc<Meter>,
    /// All rows are read, whatever the conditions, so that the conditions' own count can be held against it.
    every_row: bool,
}

impl Metered {
    /// Counts every row of the table, also those that conditions leave out.
    pub fn every_row(inner: Arc<dyn TableProvider>, meter: &Arc<Meter>) -> Arc<dyn TableProvider> {
        Arc::new(Self { inner, meter: Arc::clone(meter), every_row: true })
    }

    /// Counts the rows that are read; files without a row that meets the conditions need not be.
    pub fn rows_read(inner: Arc<dyn TableProvider>, meter: &Arc<Meter>) -> Arc<dyn TableProvider> {
        Arc::new(Self { inner, meter: Arc::clone(meter), every_row: false })
    }
}

#[async_trait]
impl TableProvider for Metered {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.inner.constraints()
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.meter.scanned.store(true, Ordering::Relaxed);
        let input = self.inner.scan(state, projection, filters, limit).await?;
        Ok(Arc::new(MeterExec { input, meter: Arc::clone(&self.meter) }))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        if self.every_row {
            return Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()]);
        }
        self.inner.supports_filters_pushdown(filters)
    }
}

/// Lets rows through and counts them.
#[derive(Debug)]
struct MeterExec {
    input: Arc<dyn ExecutionPlan>,
    meter: Arc<Meter>,
}

impl MeterExec {
    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { input, meter: Arc::clone(&self.meter) })
    }
}

impl DisplayAs for MeterExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeterExec")
    }
}

impl ExecutionPlan for MeterExec {
    fn name(&self) -> &str {
        "MeterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.over(children.swap_remove(0)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn repartitioned(
        &self,
        partitions: usize,
        config: &ConfigOptions,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(self.input.repartitioned(partitions, config)?.map(|input| self.over(input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let meter = Arc::clone(&self.meter);
        let rows = self.input.execute(partition, context)?.inspect(move |batch| {
            if let Ok(batch) = batch {
                meter.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    /// Good for choosing a plan, not for answering from: what is answered from statistics is not read.
    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::new(inputs[0].as_ref().clone().to_inexact()))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// What the filters of a plan that has run left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// By the conditions of the query.
    pub filtered: u64,
    /// Because another row with the same key took precedence.
    pub duplicate: u64,
}

/// Adds up what each filter took in and gave out.
pub(super) fn dropped(plan: &Arc<dyn ExecutionPlan>) -> Dropped {
    let mut dropped = Dropped::default();
    if let Some(filter) = plan.downcast_ref::<datafusion::physical_plan::filter::FilterExec>() {
        let taken = rows_out(filter.input()).unwrap_or(0);
        let left_out = taken.saturating_sub(rows_out(plan).unwrap_or(0));
        // Our own columns are in no condition of a user.
        match filter.predicate().to_string().contains(super::rows::OWN_PREFIX) {
            true => dropped.duplicate += left_out,
            false => dropped.filtered += left_out,
        }
    }
    for child in plan.children() {
        let below = self::dropped(child);
        dropped.filtered += below.filtered;
        dropped.duplicate += below.duplicate;
    }
    dropped
}

/// The rows that a node of a plan gave out; those of the node below where it does not count and has one below.
fn rows_out(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    if let Some(meter) = plan.downcast_ref::<MeterExec>() {
        return Some(meter.meter.rows());
    }
    if let Some(rows) = plan.metrics().and_then(|metrics| metrics.output_rows()) {
        return Some(rows as u64);
    }
    match plan.children().as_slice() {
        [only] => rows_out(only),
        _ => None,
    }
}
