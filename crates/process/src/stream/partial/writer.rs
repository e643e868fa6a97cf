//! Writing a layer: partial results as they come, sorted by bin into files of bounded size.
//!
//! A file is an Arrow file like any other; its footer says of each of its batches which bins it has, so that a reader
//! need read only those that it wants.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{SortOptions, concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::ipc::writer::FileWriter;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use flowline_base::FileId;
use flowline_lake::Table;
use futures::TryStreamExt;
use futures::stream::BoxStream;

use super::held::size_of;
use super::layers::{Layer, Segment, engine};

/// The folder of the files, below that of the table.
pub(in crate::stream) const STATE_FOLDER: &str = "_state";
/// Where a file says what wrote it.
pub(super) const ENGINE_KEY: &str = "flowline.engine";
/// Where a file says of each batch which bins it has: `[[first, last], …]`, microseconds.
pub(super) const BINS_KEY: &str = "flowline.bins";
/// Partial results of one batch of a file.
const BATCH_ROWS: usize = 8_192;
/// Bytes in memory that become one file, at most and at least.
const FILE_BYTES: std::ops::RangeInclusive<usize> = (64 << 10)..=(8 << 20);

/// Writes the partial results of a stream as a layer that belongs to the transaction of this number. Holds a file's worth
/// of them at a time, about three times over while it is written.
pub(in crate::stream) async fn write(
    table: &Table,
    transaction: i64,
    mut rows: BoxStream<'static, Result<RecordBatch>>,
    place: usize,
    task: &TaskContext,
) -> Result<Layer> {
    let file_bytes = match task.memory_pool().memory_limit() {
        MemoryLimit::Finite(limit) => (limit / 16).clamp(*FILE_BYTES.start(), *FILE_BYTES.end()),
        _ => *FILE_BYTES.end(),
    };
    let reservation = MemoryConsumer::new("partial results that are written").register(task.memory_pool());
    let mut writer = Writer {
        table,
        transaction,
        place,
        reservation,
        batches: Vec::new(),
        bytes: 0,
        layer: Layer::default(),
    };
    while let Some(batch) = rows.try_next().await? {
        // A batch may be larger than a file: the state of one group is up to some kilobytes.
        let pieces = size_of(&batch).div_ceil(file_bytes).max(1);
        let rows = batch.num_rows().div_ceil(pieces).max(1);
        for from in (0..batch.num_rows()).step_by(rows) {
            writer.add(batch.slice(from, rows.min(batch.num_rows() - from)), file_bytes).await?;
        }
    }
    writer.flush().await?;
    Ok(writer.layer)
}

struct Writer<'a> {
    table: &'a Table,
    transaction: i64,
    place: usize,
    reservation: MemoryReservation,
    batches: Vec<RecordBatch>,
    bytes: usize,
    layer: Layer,
}

impl Writer<'_> {
    async fn add(&mut self, batch: RecordBatch, file_bytes: usize) -> Result<()> {
        let bytes = size_of(&batch);
        // Once as they came, once sorted, once as the bytes of a file.
        if self.reservation.try_grow(3 * bytes).is_err() {
            self.flush().await?;
            self.reservation.try_grow(3 * bytes)?;
        }
        self.batches.push(batch);
        self.bytes += bytes;
        if self.bytes >= file_bytes { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.batches);
        let Some(first) = batches.first() else { return Ok(()) };
        let rows = sorted(&first.schema(), &batches, self.place)?;
        drop(batches);
        let (bytes, bins) = encoded(&rows, self.place)?;
        let path = format!("{STATE_FOLDER}/{:020}-{}.arrow", self.transaction, FileId::generate());
        let size = bytes.len() as u64;
        let written = self.table.put_beside(&path, bytes.into()).await;
        written.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let (first, last) = (bins.first().map_or(0, |bins| bins.0), bins.last().map_or(0, |bins| bins.1));
        self.layer.segments.push(Segment { path, rows: rows.num_rows() as u64, bytes: size, first, last });
        self.bytes = 0;
        self.reservation.free();
        Ok(())
    }
}

/// The bins of partial results.
pub(super) fn bins_of(batch: &RecordBatch, place: usize) -> Result<&TimestampMicrosecondArray> {
    let column =
        batch.columns().get(place).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    column.ok_or_else(|| DataFusionError::Internal("partial results have no bins".to_owned()))
}

fn sorted(schema: &SchemaRef, batches: &[RecordBatch], place: usize) -> Result<RecordBatch> {
    let rows = concat_batches(schema, batches)?;
    let bins = bins_of(&rows, place)?;
    if bins.values().is_sorted() {
        return Ok(rows);
    }
    let options = SortOptions { descending: false, nulls_first: true };
    let order = sort_to_indices(rows.column(place), Some(options), None)?;
    Ok(take_record_batch(&rows, &order)?)
}

/// The first and the last bin of a batch.
type Bins = (i64, i64);

/// The bytes of a file, and the bins of its batches.
fn encoded(rows: &RecordBatch, place: usize) -> Result<(Vec<u8>, Vec<Bins>)> {
    let schema = Arc::unwrap_or_clone(rows.schema());
    let mut writer = FileWriter::try_new(Vec::new(), &schema)?;
    writer.write_metadata(ENGINE_KEY, engine());
    let mut bins = Vec::new();
    for from in (0..rows.num_rows()).step_by(BATCH_ROWS) {
        let batch = rows.slice(from, BATCH_ROWS.min(rows.num_rows() - from));
        let own = bins_of(&batch, place)?.values();
        bins.push((own.first().copied().unwrap_or_default(), own.last().copied().unwrap_or_default()));
        writer.write(&batch)?;
    }
    let told = serde_json::to_string(&bins).map_err(|error| DataFusionError::External(Box::new(error)))?;
    writer.write_metadata(BINS_KEY, told);
    Ok((writer.into_inner()?, bins))
}
