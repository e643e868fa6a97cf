//! Runs the plans of a try into files that wait for their commit, and counts.

use std::sync::Arc;

use arrow::array::{AsArray, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use flowline_lake::{StagedFiles, StagedMerge, StagedWriter, arrow_types};
use flowline_model::Counts;
use futures::StreamExt;
use parking_lot::Mutex;

use super::attempt::merge_key;
use super::meter::dropped;
use super::work::Work;
use crate::ProcessError;
use crate::engine::MemoryShare;

/// A plan that has run, and what was measured.
pub(super) struct Ran {
    physical: Arc<dyn ExecutionPlan>,
    /// The newest event time among its rows.
    pub event_time_max: Option<DateTime<Utc>>,
}

impl Work<'_> {
    async fn start(
        &self,
        plan: LogicalPlan,
    ) -> Result<(SendableRecordBatchStream, Arc<dyn ExecutionPlan>), ProcessError> {
        let physical = self.state.create_physical_plan(&plan).await?;
        let stream = execute_stream(Arc::clone(&physical), self.state.task_ctx())?;
        Ok((stream, physical))
    }

    /// Runs a plan into files.
    pub(super) async fn stage(
        &self,
        plan: LogicalPlan,
        mut writer: StagedWriter,
    ) -> Result<(StagedFiles, Ran), ProcessError> {
        let (stream, physical) = self.start(plan).await?;
        let (mut stream, event_time) = self.observed(stream);
        while let Some(batch) = stream.next().await.transpose()? {
            writer.write(&batch).await.map_err(self.attempt.failed("writing"))?;
        }
        MemoryShare::note_run(self.state, &physical, 0);
        let staged = writer.finish().await.map_err(self.attempt.failed("writing"))?;
        let event_time_max = *event_time.lock();
        Ok((staged, Ran { physical, event_time_max }))
    }

    /// Runs a plan into an upsert, with the keys whose rows go whatever comes.
    pub(super) async fn stage_merge(
        &self,
        plan: LogicalPlan,
        gone: &[RecordBatch],
    ) -> Result<(StagedMerge, Ran), ProcessError> {
        let (stream, physical) = self.start(plan).await?;
        let (stream, event_time) = self.observed(stream);
        let gone = gone.iter().map(|keys| of_part(keys, self.attempt.part())).collect::<Result<Vec<_>, _>>();
        let gone = gone.map_err(|error| ProcessError::Engine(error.to_string()))?;
        let key = merge_key(self.attempt.dataset, self.attempt.part());
        let merge = self.attempt.table().stage_merge(stream, &key, &gone).await;
        let merge = merge.map_err(self.attempt.failed("writing"))?;
        MemoryShare::note_run(self.state, &physical, 0);
        let event_time_max = *event_time.lock();
        Ok((merge, Ran { physical, event_time_max }))
    }

    /// The stream, with the newest event time that went by.
    fn observed(
        &self,
        stream: SendableRecordBatchStream,
    ) -> (SendableRecordBatchStream, Arc<Mutex<Option<DateTime<Utc>>>>) {
        let newest = Arc::new(Mutex::new(None));
        let (schema, sieve) = (stream.schema(), Arc::clone(&self.attempt.sieve));
        let passed = stream.map(move |batch| batch.and_then(|batch| sieve.lock().pass(batch)));
        let stream: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema, passed));
        let Some(event_time) = self.attempt.dataset.event_time.as_ref() else { return (stream, newest) };
        let (schema, column, seen) = (stream.schema(), event_time.column.clone(), Arc::clone(&newest));
        let rows = stream.inspect(move |batch| {
            let Ok(batch) = batch else { return };
            let times = batch
                .column_by_name(&column)
                .and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
            let latest = times.and_then(arrow::compute::max).and_then(DateTime::from_timestamp_micros);
            let mut seen = seen.lock();
            *seen = (*seen).max(latest);
        });
        (Box::pin(RecordBatchStreamAdapter::new(schema, rows)), newest)
    }

    /// The counts of a run that read whole inputs, or the affected part of them.
    pub(super) fn counts(&self, ran: &Ran, written: u64, bytes_written: u64, reshaped: bool) -> Counts {
        let left_out = dropped(&ran.physical);
        let (filtered, duplicate) = if reshaped { (0, 0) } else { (left_out.filtered, left_out.duplicate) };
        let read = self.meters.iter().map(|meter| meter.rows()).sum();
        let quarantined = self.attempt.sieve.lock().rows_set_aside();
        Counts {
            read,
            written,
            quarantined,
            filtered,
            duplicate,
            reshaped,
            bytes_written,
            ..Counts::default()
        }
    }

    /// The counts of a run that read only what was added: how much that is, the inputs' own logs say.
    pub(super) fn counts_of_added(&self, ran: &Ran, written: u64, bytes_written: u64) -> Counts {
        let mut counts = self.counts(ran, written, bytes_written, self.hop.reshapes);
        counts.bytes_read = self.bytes_added();
        counts.read = 0;
        for (number, meter) in self.meters.iter().enumerate() {
            let Some(changes) = self.changed_input(number).and_then(|input| input.changes.as_ref()) else {
                continue;
            };
            let logged: Option<u64> = changes.appended.iter().map(|file| file.rows).sum();
            let added = logged.unwrap_or_else(|| meter.rows());
            counts.read += added;
            if !self.hop.reshapes && !meter.scanned() {
                // The planner saw that none of these rows meets the conditions, and did not read them.
                counts.filtered += added;
            }
        }
        counts
    }

    /// Bytes of the files that were added to the inputs.
    pub(super) fn bytes_added(&self) -> u64 {
        let changes = self.attempt.inputs.iter().filter_map(|input| input.changes.as_ref());
        changes.flat_map(|changes| &changes.appended).map(|file| file.bytes).sum()
    }

    /// Bytes of the inputs.
    pub(super) async fn bytes_of_inputs(&self) -> u64 {
        let mut bytes = 0;
        for input in self.attempt.inputs.iter().filter(|input| input.version.is_some()) {
            // Only for the accounts: a table whose size cannot be told is read all the same.
            bytes += input.table.stats().await.map_or(0, |stats| stats.bytes);
        }
        bytes
    }
}

/// Keys with the partition of a part behind them; as they are for a whole.
fn of_part(keys: &RecordBatch, part: Option<i32>) -> Result<RecordBatch, ArrowError> {
    let Some(partition) = part else { return Ok(keys.clone()) };
    let mut fields = keys.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(arrow_types::PARTITION, DataType::Int32, true)));
    let mut columns = keys.columns().to_vec();
    columns.push(Arc::new(Int32Array::from(vec![partition; keys.num_rows()])));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
