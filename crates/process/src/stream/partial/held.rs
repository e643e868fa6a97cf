//! Rows that are held for a while: in memory, and on disk beyond what may be held there.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::spill_file::SpillFile;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

/// The rows of a stream that has ended. Their memory is taken from the pool of the task until they are dropped.
pub(in crate::stream) struct Held {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    files: Vec<Arc<dyn SpillFile>>,
    manager: SpillManager,
    reservation: MemoryReservation,
    /// The rows.
    pub rows: u64,
    /// Their bytes, wherever they are.
    pub bytes: u64,
    /// Those of them that are on disk.
    pub spilled: u64,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("rows", &self.rows).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Held {
    /// Reads a stream to its end; at most `memory_max` bytes of it stay in memory.
    pub async fn of(
        mut rows: SendableRecordBatchStream,
        task: &TaskContext,
        memory_max: usize,
    ) -> Result<Arc<Self>> {
        let schema = rows.schema();
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let manager = SpillManager::new(task.runtime_env(), metrics, Arc::clone(&schema));
        let consumer = MemoryConsumer::new("results of a stream").with_can_spill(true);
        let reservation = consumer.register(task.memory_pool());
        let (batches, files) = (Vec::new(), Vec::new());
        let mut held = Self { schema, batches, files, manager, reservation, rows: 0, bytes: 0, spilled: 0 };
        while let Some(batch) = rows.next().await.transpose()? {
            if batch.num_rows() > 0 {
                held.add(batch, memory_max)?;
            }
        }
        Ok(Arc::new(held))
    }

    fn add(&mut self, batch: RecordBatch, memory_max: usize) -> Result<()> {
        let bytes = size_of(&batch);
        self.rows += batch.num_rows() as u64;
        self.bytes += bytes as u64;
        let fits = |held: &Self| {
            held.reservation.size() + bytes <= memory_max && held.reservation.try_grow(bytes).is_ok()
        };
        if !fits(self) {
            self.spill()?;
            if !fits(self) {
                // Larger than all that may be held.
                self.batches.push(batch);
                return self.spill();
            }
        }
        self.batches.push(batch);
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.batches);
        self.spilled += batches.iter().map(|batch| size_of(batch) as u64).sum::<u64>();
        self.files.extend(self.manager.spill_record_batch_and_finish(&batches, "results of a stream")?);
        self.reservation.free();
        Ok(())
    }

    /// The rows, in no order.
    pub fn stream(self: &Arc<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let held = Arc::clone(self);
        let in_memory = stream::iter((0..self.batches.len()).map({
            let held = Arc::clone(self);
            move |index| Ok(held.batches[index].clone())
        }));
        let on_disk = stream::iter(0..self.files.len()).flat_map(move |index| {
            match held.manager.read_spill_as_stream(Arc::clone(&held.files[index]), None) {
                Ok(rows) => rows.boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            }
        });
        in_memory.chain(on_disk).boxed()
    }

    /// The rows as a table with these columns, which differ from those of the rows in names and nullability alone.
    pub fn table(self: &Arc<Self>, schema: SchemaRef) -> Result<Arc<dyn TableProvider>> {
        if self.files.is_empty() {
            // With its statistics, by which joins choose their sides.
            let batches = self.batches.iter().map(|batch| as_schema(batch, &schema));
            let batches = batches.collect::<Result<Vec<_>>>()?;
            return Ok(Arc::new(MemTable::try_new(schema, vec![batches])?));
        }
        let part = Part { held: Arc::clone(self), schema: Arc::clone(&schema) };
        Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(part)])?))
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

/// The rows under other names.
#[derive(Debug)]
struct Part {
    held: Arc<Held>,
    schema: SchemaRef,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let rows = self.held.stream().map(move |batch| as_schema(&batch?, &schema));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// A batch with the very schema that is expected of it.
pub(super) fn as_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())?)
}

/// The bytes that the rows of a batch take; batches that are cut from one share its buffers.
pub(super) fn size_of(batch: &RecordBatch) -> usize {
    let column = |column: &Arc<dyn Array>| match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => column.get_array_memory_size(),
        _ => column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()),
    };
    batch.columns().iter().map(column).sum()
}
