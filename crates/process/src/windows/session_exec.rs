//! Sessions without a sort: the rows of a key are brought together by a hash, and only rows of a key that come out of
//! order are sorted.
//!
//! Owns: when a plan's window and the sort below it give way to [`SessionExec`], and how that works. Does not own: what a
//! session is (`session`). Rows mostly come in the order of their times, so that comparing all of them by key and time,
//! and merging them again, was two fifths of what a query over sessions costs. Where memory does not hold the rows, the
//! window and the sort run as they were planned, on disk.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::window::StandardWindowExpr;
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::windows::{WindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::session::{SESSION_END, SESSION_START, Sessions, in_unit};

#[cfg(test)]
mod tests;

/// Puts [`SessionExec`] in the place of windows that ask for sessions and of their sorts. Comes last: nothing above may
/// rely on the order of the rows.
#[derive(Debug)]
pub(crate) struct TellSessionsUnsorted;

impl PhysicalOptimizerRule for TellSessionsUnsorted {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let changed = Arc::clone(&plan).transform_up(|node| match SessionExec::in_place_of(&node)? {
            Some(sessions) => Ok(Transformed::yes(Arc::new(sessions) as Arc<dyn ExecutionPlan>)),
            None => Ok(Transformed::no(node)),
        })?;
        // Refused where something above was planned on rows in the order of the keys.
        let holds = || SanityCheckPlan::new().optimize(Arc::clone(&changed.data), config).is_ok();
        Ok(if changed.transformed && holds() { changed.data } else { plan })
    }

    fn name(&self) -> &str {
        "flowline_tell_sessions_unsorted"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What is asked of the rows: one column for each bound.
#[derive(Debug, Clone)]
struct Asked {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    time: Arc<dyn PhysicalExpr>,
    /// Microseconds.
    gap: i64,
    /// Whether the last time of the session is asked for, and not the first.
    ends: Vec<bool>,
}

/// Appends the bounds of its session to each row; rows come out in the order in which they came.
#[derive(Debug)]
pub(crate) struct SessionExec {
    input: Arc<dyn ExecutionPlan>,
    asked: Asked,
    /// The window over the sort in whose place this stands.
    sorted: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    on_disk: OnDisk,
}

/// What ran as it was planned, since memory did not hold the rows: what it put on disk counts as well.
type OnDisk = Arc<Mutex<Vec<Arc<dyn ExecutionPlan>>>>;

impl SessionExec {
    /// None unless the node is a window of nothing but the bounds of sessions of one kind, over a sort for it.
    fn in_place_of(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Self>> {
        let Some(window) = node.downcast_ref::<WindowAggExec>() else { return Ok(None) };
        let Some(sort) = window.input().downcast_ref::<SortExec>() else { return Ok(None) };
        let input = Arc::clone(sort.input());
        let whole = sort.preserve_partitioning() || input.output_partitioning().partition_count() == 1;
        if !whole || sort.fetch().is_some() {
            return Ok(None);
        }
        let asked = Asked::of(window, &input.schema())?;
        Ok(asked.map(|asked| Self::new(input, asked, Arc::clone(node))))
    }

    fn new(input: Arc<dyn ExecutionPlan>, asked: Asked, sorted: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(sorted.schema()),
            input.output_partitioning().clone(),
            EmissionType::Final,
            input.boundedness(),
        );
        Self {
            input,
            asked,
            sorted,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            on_disk: OnDisk::default(),
        }
    }
}

impl Asked {
    fn of(window: &WindowAggExec, schema: &Schema) -> Result<Option<Self>> {
        let mut asked: Option<Self> = None;
        for expr in window.window_expr() {
            let standard = expr.as_any().downcast_ref::<StandardWindowExpr>();
            let function = standard.and_then(|standard| {
                standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>()
            });
            let Some(function) = function else { return Ok(None) };
            let end = match function.fun().name() {
                SESSION_END => true,
                SESSION_START => false,
                _ => return Ok(None),
            };
            let ([time, gap], [order]) = (function.args(), expr.order_by()) else { return Ok(None) };
            let gap = gap.downcast_ref::<Literal>().map(Literal::value);
            let Some(ScalarValue::Int64(Some(gap))) = gap else { return Ok(None) };
            if order.options.descending
                || !order.expr.eq(time)
                || !expr.partition_by().iter().all(|key| hashes(key, schema))
            {
                return Ok(None);
            }
            let one = Self {
                keys: expr.partition_by().to_vec(),
                time: Arc::clone(time),
                gap: *gap,
                ends: vec![end],
            };
            match &mut asked {
                None => asked = Some(one),
                Some(known) if known.keys == one.keys && known.time == one.time && known.gap == one.gap => {
                    known.ends.push(end);
                }
                Some(_) => return Ok(None),
            }
        }
        Ok(asked.filter(|asked| !asked.keys.is_empty()))
    }
}

/// Whether values of a key are equal where a sort has them side by side: of floating-point numbers, zeros are not.
fn hashes(key: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    key.data_type(schema).is_ok_and(|kind| !kind.is_floating() && !kind.is_nested())
}

impl DisplayAs for SessionExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.asked.keys.iter().map(ToString::to_string).collect();
        write!(
            f,
            "SessionExec: keys=[{}], time={}, gap={} us",
            keys.join(", "),
            self.asked.time,
            self.asked.gap
        )
    }
}

impl ExecutionPlan for SessionExec {
    fn name(&self) -> &str {
        "SessionExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::KeyPartitioned(self.asked.keys.clone())]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut all = self.asked.keys.iter().chain([&self.asked.time]);
        all.try_fold(TreeNodeRecursion::Continue, |recursion, expr| recursion.visit_sibling(|| visit(expr)))
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.swap_remove(0);
        let sorted = over(&self.sorted, Arc::clone(&input))?;
        Ok(Arc::new(Self::new(input, self.asked.clone(), sorted)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        for window in self.on_disk.lock().iter() {
            let sorts = window.children().into_iter().filter_map(|sort| sort.metrics());
            sorts
                .flat_map(|sort| sort.iter().cloned().collect::<Vec<_>>())
                .for_each(|metric| metrics.push(metric));
        }
        Some(metrics)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, Arc::clone(&context))?;
        let work = Work {
            asked: self.asked.clone(),
            sorted: Arc::clone(&self.sorted),
            input: self.input.schema(),
            output: self.schema(),
            partitions: self.properties.partitioning.partition_count(),
            on_disk: Arc::clone(&self.on_disk),
        };
        let rows = stream::once(work.run(rows, context)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// The window over its sort over another input.
fn over(window: &Arc<dyn ExecutionPlan>, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let sort = window.children().first().map(|sort| Arc::clone(sort));
    let sort = sort.ok_or_else(|| DataFusionError::Internal("a window has an input".to_owned()))?;
    let anew = || ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(window).replace_children(vec![sort.replace_children(vec![input], anew())?], anew())
}

/// One partition's share.
struct Work {
    asked: Asked,
    sorted: Arc<dyn ExecutionPlan>,
    input: SchemaRef,
    output: SchemaRef,
    partitions: usize,
    on_disk: OnDisk,
}

impl Work {
    async fn run(
        self,
        mut rows: SendableRecordBatchStream,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let reservation = MemoryConsumer::new("SessionExec").register(context.memory_pool());
        // Others have to work beside it, and it lets go of nothing: all partitions together have half of the memory.
        let bytes_max = match context.memory_pool().memory_limit() {
            MemoryLimit::Finite(limit) => limit / (2 * self.partitions.max(1)),
            MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
        };
        let mut held = Held::new(&self.asked, &self.input, reservation, bytes_max)?;
        while let Some(batch) = rows.try_next().await? {
            if !held.take(&self.asked, batch)? {
                let batches = held.let_go();
                return self.on_disk(stream::iter(batches.into_iter().map(Ok)).chain(rows), context);
            }
        }
        let bounds = held.bounds(self.asked.gap)?;
        let mut first = 0;
        let Held { batches, reservation, .. } = held;
        let output = Arc::clone(&self.output);
        let with_bounds = batches.into_iter().map(move |batch| {
            let rows = first..first + batch.num_rows();
            first = rows.end;
            // Held until the last batch is out.
            let _ = &reservation;
            bounds.append_to(&batch, &self.asked.ends, rows, &self.output)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(output, stream::iter(with_bounds))))
    }

    /// Runs the window and the sort as they were planned.
    fn on_disk(
        &self,
        rows: impl futures::Stream<Item = Result<RecordBatch>> + Send + 'static,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&self.input), rows);
        let rest = Rest { schema: Arc::clone(&self.input), rows: Mutex::new(Some(Box::pin(rows))) };
        let schema = Arc::clone(&self.input);
        let input = StreamingTableExec::try_new(schema, vec![Arc::new(rest)], None, [], false, None)?;
        let planned = over(&self.sorted, Arc::new(input))?;
        self.on_disk.lock().push(Arc::clone(&planned));
        planned.execute(0, context)
    }
}

/// Rows that can be read once.
struct Rest {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").finish_non_exhaustive()
    }
}

impl PartitionStream for Rest {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let again =
            || DataFusionError::Internal("rows that can be read once were asked for again".to_owned());
        match self.rows.lock().take() {
            Some(rows) => rows,
            None => Box::pin(RecordBatchStreamAdapter::new(
                Arc::clone(&self.schema),
                stream::iter([Err(again())]),
            )),
        }
    }
}

/// Rows, and of each its key and its time.
struct Held {
    batches: Vec<RecordBatch>,
    keys: Box<dyn GroupValues>,
    key_of: Vec<u32>,
    times: Vec<i64>,
    kind: DataType,
    reservation: MemoryReservation,
    bytes_max: usize,
    numbers: Vec<usize>,
}

impl Held {
    fn new(asked: &Asked, schema: &Schema, reservation: MemoryReservation, bytes_max: usize) -> Result<Self> {
        let field = |(number, key): (usize, &Arc<dyn PhysicalExpr>)| -> Result<FieldRef> {
            Ok(Field::new(number.to_string(), key.data_type(schema)?, true).into())
        };
        let fields = asked.keys.iter().enumerate().map(field).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            batches: Vec::new(),
            keys: new_group_values(Arc::new(Schema::new(fields)), &GroupOrdering::None)?,
            key_of: Vec::new(),
            times: Vec::new(),
            kind: asked.time.data_type(schema)?,
            reservation,
            bytes_max,
            numbers: Vec::new(),
        })
    }

    /// Takes in rows; false where memory does not hold them, or no time is known of one. They are held all the same.
    fn take(&mut self, asked: &Asked, batch: RecordBatch) -> Result<bool> {
        let rows = batch.num_rows();
        let known = self.keys.size();
        let array = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch)?.into_array(rows);
        let keys = asked.keys.iter().map(array).collect::<Result<Vec<ArrayRef>>>()?;
        let times = cast(&array(&asked.time)?, &DataType::Int64)?;
        self.keys.intern(&keys, &mut self.numbers)?;
        self.key_of.extend(self.numbers.iter().map(|number| *number as u32));
        self.times.extend_from_slice(times.as_primitive::<Int64Type>().values());
        // Its key and time, its place in the order, and two bounds.
        let beside = rows * (2 * size_of::<u32>() + 3 * size_of::<i64>());
        let bytes = batch.get_array_memory_size() + beside + self.keys.size().saturating_sub(known);
        self.batches.push(batch);
        let few =
            u32::try_from(self.times.len()).is_ok() && self.reservation.size() + bytes <= self.bytes_max;
        Ok(few && times.null_count() == 0 && self.reservation.try_grow(bytes).is_ok())
    }

    fn let_go(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// The bounds of the session of each row.
    fn bounds(&self, gap: i64) -> Result<Bounds> {
        let DataType::Timestamp(unit, _) = &self.kind else {
            return datafusion::common::exec_err!("the time of a window must be a timestamp");
        };
        let gap = in_unit(gap, *unit);
        let (order, ends) = self.by_key();
        let (mut starts, mut lasts) = (vec![0; self.times.len()], vec![0; self.times.len()]);
        let mut first = 0;
        let (mut rows, mut times) = (Vec::new(), Vec::new());
        for end in ends {
            rows.clear();
            rows.extend_from_slice(&order[first..end as usize]);
            first = end as usize;
            let time = |row: &u32| self.times[*row as usize];
            if !rows.is_sorted_by_key(time) {
                rows.sort_by_key(time);
            }
            times.clear();
            times.extend(rows.iter().map(time));
            for session in Sessions::of(&times, gap) {
                for row in &rows[session.rows.clone()] {
                    starts[*row as usize] = session.start;
                    lasts[*row as usize] = session.end;
                }
            }
        }
        Ok(Bounds { starts: starts.into(), ends: lasts.into(), kind: self.kind.clone() })
    }

    /// The rows of the first key, those of the second and so on, each in the order in which they came; and where those of
    /// each key end.
    fn by_key(&self) -> (Vec<u32>, Vec<u32>) {
        let mut next = vec![0u32; self.keys.len() + 1];
        for key in &self.key_of {
            next[*key as usize + 1] += 1;
        }
        for key in 1..next.len() {
            next[key] += next[key - 1];
        }
        let mut order = vec![0u32; self.key_of.len()];
        for (row, key) in (0u32..).zip(&self.key_of) {
            let place = &mut next[*key as usize];
            order[*place as usize] = row;
            *place += 1;
        }
        // Each place has moved on to the end of its key.
        next.truncate(self.keys.len());
        (order, next)
    }
}

/// The bounds of the session of each row.
struct Bounds {
    starts: ScalarBuffer<i64>,
    ends: ScalarBuffer<i64>,
    kind: DataType,
}

impl Bounds {
    fn append_to(
        &self,
        batch: &RecordBatch,
        ends: &[bool],
        rows: std::ops::Range<usize>,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let column = |end: &bool| -> Result<ArrayRef> {
            let all = if *end { &self.ends } else { &self.starts };
            let bounds = Int64Array::new(all.slice(rows.start, rows.len()), None);
            Ok(cast(&bounds, &self.kind)?)
        };
        let mut columns = batch.columns().to_vec();
        for end in ends {
            columns.push(column(end)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}
