//! Plans over partial results: what new rows give, what is merged, and the aggregates of the windows that close.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::held::{Held, as_schema, size_of};
use super::reader::{Bins, Stored};
use super::shape::Kept;
use super::writer::bins_of;
use crate::stream::flow::{Carrier, Role};
use crate::stream::restrict::{instant, scan_of};
use crate::upkeep::bind;

/// Optimizations after which there are no partial results to be taken.
const UNWANTED: [&str; 2] = ["CombinePartialFinalAggregate", "single_distinct_aggregation_to_group_by"];

/// Works with the partial results of one kept aggregate.
pub(in crate::stream) struct Partials<'a> {
    kept: &'a Kept,
    state: SessionState,
    /// The aggregate as it is run, and the part of it that gives partial results.
    whole: Arc<dyn ExecutionPlan>,
    partial: Arc<dyn ExecutionPlan>,
}

impl<'a> Partials<'a> {
    /// For an aggregate over rows with these columns.
    pub async fn new(kept: &'a Kept, state: &SessionState, schema: SchemaRef) -> Result<Self> {
        let rules = state.optimizers().iter().filter(|rule| !UNWANTED.contains(&rule.name())).cloned();
        let physical =
            state.physical_optimizers().iter().filter(|rule| !UNWANTED.contains(&rule.name())).cloned();
        let state = SessionStateBuilder::new_from_existing(state.clone())
            .with_optimizer_rules(rules.collect())
            .with_physical_optimizer_rules(physical.collect())
            .build();
        let (whole, partial) = plans(kept, &state, Arc::new(EmptyTable::new(schema)), "", None).await?;
        Ok(Self { kept, state, whole, partial })
    }

    /// The place of the bin among the columns of partial results.
    pub fn place(&self) -> usize {
        self.kept.roles.first().map_or(0, |(place, _)| *place)
    }

    /// What runs the plans.
    pub fn task(&self) -> Arc<TaskContext> {
        self.state.task_ctx()
    }

    /// Gives the partial results of those rows of a table whose time is not before this; several of one bin and key
    /// where memory does not hold all.
    pub async fn of_rows(
        &self,
        table: Arc<dyn TableProvider>,
        time: &str,
        from: Option<i64>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(plans(self.kept, &self.state, table, time, from).await?.1)
    }

    /// Makes one of the partial results of the same bin and key. `sorted` when memory does not hold them all: they are
    /// sorted on disk first, and merged as they come.
    pub fn merged(&self, source: Source, sorted: bool) -> Result<Arc<dyn ExecutionPlan>> {
        let input = self.scan(source, None)?;
        self.again(AggregateMode::PartialReduce, input, sorted)
    }

    /// Gives the aggregates of the windows that bins are wanted for, from the partial results of the bins; `sorted` as
    /// for [`Partials::merged`].
    pub fn closed(&self, source: Source, sorted: bool) -> Result<Arc<dyn ExecutionPlan>> {
        let windows = Windows { kept: self.kept.clone(), bins: source.bins, place: self.place() };
        let input = self.scan(source, Some(windows))?;
        let over = Arc::clone(&self.whole).transform_down(|node| match sorted {
            true if is_final(&node) => {
                let last = self.again(AggregateMode::Final, Arc::clone(&input), true)?;
                Ok(Transformed::new(last, true, TreeNodeRecursion::Jump))
            }
            false if is_partial(&node) => {
                Ok(Transformed::new(Arc::clone(&input), true, TreeNodeRecursion::Jump))
            }
            _ => Ok(Transformed::no(node)),
        })?;
        Ok(over.data)
    }

    /// The aggregate over partial results.
    fn again(
        &self,
        mode: AggregateMode,
        input: Arc<dyn ExecutionPlan>,
        sorted: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let aggregate = aggregate_of(&self.partial)?;
        let group = aggregate.group_expr().as_final();
        let keys = group.expr().iter().map(|(expr, _)| PhysicalSortExpr::new_default(Arc::clone(expr)));
        let input = match LexOrdering::new(keys).filter(|_| sorted) {
            Some(keys) => Arc::new(SortExec::new(keys, input)) as Arc<dyn ExecutionPlan>,
            None => input,
        };
        let again = AggregateExec::try_new(
            mode,
            group,
            aggregate.aggr_expr().to_vec(),
            vec![None; aggregate.aggr_expr().len()],
            input,
            aggregate.input_schema(),
        )?;
        Ok(Arc::new(again))
    }

    /// In how many windows a bin is, at most.
    pub fn windows_of_bin(&self) -> u64 {
        u64::try_from(self.kept.spec.size / self.kept.spec.step.max(1)).unwrap_or(1).max(1)
    }

    fn scan(&self, source: Source, windows: Option<Windows>) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.partial.schema();
        let part = Arc::new(Part { schema: Arc::clone(&schema), source, windows: windows.map(Arc::new) });
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![part], None, None, false, None)?))
    }
}

/// Partial results of some bins: those that are kept, and those of new rows.
#[derive(Debug, Clone)]
pub(in crate::stream) struct Source {
    pub stored: Stored,
    pub fresh: Option<Arc<Held>>,
    pub bins: Bins,
}

impl Source {
    /// The partial results.
    pub fn rows(&self) -> BoxStream<'static, Result<RecordBatch>> {
        let (bins, place) = (self.bins, self.stored.place);
        let fresh = self.fresh.as_ref().map_or_else(|| stream::empty().boxed(), Held::stream);
        let fresh = fresh.map(move |batch| {
            let batch = batch?;
            let own = bins_of(&batch, place)?;
            if own.values().iter().all(|bin| bins.has(*bin)) {
                return Ok(batch);
            }
            let wanted: arrow::array::BooleanArray =
                own.values().iter().map(|bin| Some(bins.has(*bin))).collect();
            Ok(arrow::compute::filter_record_batch(&batch, &wanted)?)
        });
        self.stored.rows(bins).chain(fresh).boxed()
    }
}

/// Partial results as the input of a plan.
#[derive(Debug)]
struct Part {
    schema: SchemaRef,
    source: Source,
    windows: Option<Arc<Windows>>,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows_max = task.session_config().batch_size();
        let rows = self.source.rows();
        let rows = match &self.windows {
            None => rows.map_ok(move |batch| pieces(batch, rows_max)).try_flatten().boxed(),
            Some(windows) => {
                let windows = Arc::clone(windows);
                rows.map_ok(move |batch| Windows::of_batch(&windows, batch, rows_max)).try_flatten().boxed()
            }
        };
        let schema = Arc::clone(&self.schema);
        let rows = rows.map(move |batch| as_schema(&batch?, &schema));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// A batch in pieces of so many rows, each with memory of its own: operators count what a batch holds on to, not what they
/// see of it.
fn pieces(batch: RecordBatch, rows_max: usize) -> BoxStream<'static, Result<RecordBatch>> {
    let total = batch.num_rows();
    if total <= rows_max && batch.get_array_memory_size() <= 2 * size_of(&batch) {
        return stream::once(async { Ok(batch) }).boxed();
    }
    stream::iter((0..total).step_by(rows_max.max(1)))
        .map(move |from| {
            let rows = UInt64Array::from_iter_values(from as u64..(from + rows_max).min(total) as u64);
            Ok(take_record_batch(&batch, &rows)?)
        })
        .boxed()
}

/// What puts partial results into the windows that they count towards.
#[derive(Debug)]
struct Windows {
    kept: Kept,
    bins: Bins,
    place: usize,
}

impl Windows {
    /// The windows of a batch, some rows at a time.
    fn of_batch(
        windows: &Arc<Self>,
        batch: RecordBatch,
        rows_max: usize,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let spec = windows.kept.spec;
        let most = usize::try_from(spec.size / spec.step).unwrap_or(usize::MAX).max(1);
        let rows = (rows_max / most).max(1);
        let windows = Arc::clone(windows);
        stream::iter((0..batch.num_rows()).step_by(rows))
            .map(move |from| windows.expanded(&batch.slice(from, rows.min(batch.num_rows() - from))))
            .boxed()
    }

    /// The rows of each bin once for each wanted window that the bin is in, with the window's own bounds.
    fn expanded(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let (mut rows, mut ends) = (Vec::new(), Vec::new());
        for (row, bin) in bins_of(batch, self.place)?.values().iter().enumerate() {
            for end in self.kept.spec.ends(*bin).filter(|end| self.bins.ends(*end)) {
                rows.push(row as u64);
                ends.push((end, *bin));
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
            _ => end.saturating_sub(Carrier { column: 0, role, spec }.before_end()),
        }
    }
}

/// The plan of the whole aggregate over a table, and the part of it that gives partial results.
async fn plans(
    kept: &Kept,
    state: &SessionState,
    table: Arc<dyn TableProvider>,
    time: &str,
    from: Option<i64>,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<dyn ExecutionPlan>)> {
    let plan: LogicalPlan = bind(kept.plan.clone(), |_, scan| {
        let plan = scan_of(Arc::clone(&table), &scan)?;
        let Some(from) = from else { return Ok(plan) };
        let index = plan.schema().fields().iter().position(|field| field.name() == time);
        let Some(index) = index else { return Ok(plan) };
        let kind = plan.schema().field(index).data_type().clone();
        let condition = crate::stream::analyze::column(plan.schema(), index).gt_eq(instant(from, &kind)?);
        LogicalPlanBuilder::from(plan).filter(condition)?.build()
    })?;
    let whole = state.create_physical_plan(&plan).await?;
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

fn is_partial(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| *aggregate.mode() == AggregateMode::Partial)
}

fn is_final(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| {
        matches!(aggregate.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned)
    })
}

fn aggregate_of(plan: &Arc<dyn ExecutionPlan>) -> Result<&AggregateExec> {
    plan.downcast_ref::<AggregateExec>()
        .ok_or_else(|| DataFusionError::Internal("the aggregate has no partial results".to_owned()))
}
