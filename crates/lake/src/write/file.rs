//! One Parquet file that is being written.

use std::mem;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use flowline_base::SharedClock;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use tokio::task::JoinHandle;

use super::encoding::properties;
use super::upload::Upload;
use crate::delta::stats;
use crate::store::{Store, from_parquet};
use crate::{FileRef, LakeError, PartitionValues, WritePurpose};

/// A batch smaller than this is encoded on the spot; moving it to another thread would cost as much.
const ON_THE_SPOT_BYTES: usize = 64 << 10;

/// One file. The last batch that it got may still be encoded while the caller makes the next one.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// Absent while a batch is encoded, and after a failure.
    encoder: Option<Encoder>,
    encoding: Option<JoinHandle<Encoded>>,
    /// What it will hold when that is done, about.
    expected: Held,
    upload: Upload,
    path: String,
    partition: PartitionValues,
    rows: u64,
    /// The count of the writer's batches when this one last got rows.
    pub(crate) used: u64,
}

/// The part that works without waiting, so that it can move to a thread for such work.
struct Encoder {
    writer: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
    unordered: Vec<String>,
}

/// An encoder that comes back from its thread, and the bytes that are ready.
type Encoded = (Encoder, Result<Vec<u8>, ParquetError>);

/// What an encoder holds.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    /// Bytes of the file.
    file: usize,
    /// Bytes of memory.
    memory: usize,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("bytes", &self.writer.bytes_written()).finish_non_exhaustive()
    }
}

impl OpenFile {
    /// A new file of the table at `path` below its folder; `first` decides how columns are encoded.
    pub(crate) fn create(
        store: &Store,
        path: String,
        partition: PartitionValues,
        first: &RecordBatch,
        purpose: WritePurpose,
    ) -> Result<Self, LakeError> {
        let location: Path = store.at(&path);
        let schema = first.schema();
        let options = ArrowWriterOptions::new()
            .with_properties(properties(first, purpose))
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)
            .map_err(|error| from_parquet("writing", store.shown(&location), &error))?;
        Ok(Self {
            encoder: Some(Encoder { writer, schema, unordered: Vec::new() }),
            encoding: None,
            expected: Held::default(),
            upload: Upload::new(store.clone(), location),
            path,
            partition,
            rows: 0,
            used: 0,
        })
    }

    /// Bytes so far, what waits in memory included.
    pub(crate) fn bytes(&self) -> u64 {
        self.upload.total() + self.held().file as u64
    }

    /// Bytes of memory that it holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.upload.waiting_bytes() + self.held().memory
    }

    fn held(&self) -> Held {
        self.encoder.as_ref().map_or(self.expected, Encoder::held)
    }

    /// Writes rows; returns while they are encoded, once those before them are. An error of theirs comes with whatever is
    /// done next.
    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<(), LakeError> {
        self.encoded().await?;
        self.rows += batch.num_rows() as u64;
        let memory = batch.get_array_memory_size();
        if memory < ON_THE_SPOT_BYTES {
            return self.encode(true, move |encoder| encoder.write(&batch)).await;
        }
        let held = self.held();
        let mut encoder = self.encoder.take().ok_or_else(|| self.broken("an earlier batch failed"))?;
        self.expected = Held { file: held.file, memory: held.memory + memory };
        self.encoding = Some(tokio::task::spawn_blocking(move || {
            let written = encoder.write(&batch);
            let bytes = written.map(|()| mem::take(encoder.writer.inner_mut()));
            (encoder, bytes)
        }));
        Ok(())
    }

    /// Waits until everything that was written is encoded.
    async fn encoded(&mut self) -> Result<(), LakeError> {
        let Some(encoding) = self.encoding.take() else { return Ok(()) };
        let (encoder, bytes) = encoding.await.map_err(|error| self.broken(error))?;
        self.encoder = Some(encoder);
        let bytes = bytes.map_err(|error| self.broken(flowline_base::chain(&error)))?;
        if bytes.is_empty() { Ok(()) } else { self.upload.push(bytes.into()).await }
    }

    /// Turns what is held into a row group, which leaves memory.
    pub(crate) async fn flush(&mut self) -> Result<(), LakeError> {
        self.encoded().await?;
        self.encode(false, |encoder| encoder.writer.flush()).await
    }

    /// Closes the file.
    pub(crate) async fn finish(mut self, clock: &SharedClock) -> Result<FileRef, LakeError> {
        self.encoded().await?;
        let (stats, rest) = self.with_encoder(false, Encoder::finish).await?;
        self.upload.push(rest.into()).await?;
        let bytes = self.upload.total();
        self.upload.finish().await?;
        Ok(FileRef {
            path: self.path,
            partition: self.partition,
            bytes,
            rows: Some(self.rows),
            modified_ms: clock.now().timestamp_millis(),
            stats: Some(Arc::from(stats)),
            logged: None,
        })
    }

    async fn encode(
        &mut self,
        small: bool,
        work: impl FnOnce(&mut Encoder) -> Result<(), ParquetError> + Send + 'static,
    ) -> Result<(), LakeError> {
        let done = self.with_encoder(small, move |encoder| {
            work(encoder)?;
            Ok(mem::take(encoder.writer.inner_mut()))
        });
        let bytes = done.await?;
        if bytes.is_empty() { Ok(()) } else { self.upload.push(bytes.into()).await }
    }

    async fn with_encoder<T: Send + 'static>(
        &mut self,
        small: bool,
        work: impl FnOnce(&mut Encoder) -> Result<T, ParquetError> + Send + 'static,
    ) -> Result<T, LakeError> {
        let mut encoder = self.encoder.take().ok_or_else(|| self.broken("an earlier batch failed"))?;
        let (encoder, result) = if small {
            let result = work(&mut encoder);
            (encoder, result)
        } else {
            let moved = move || {
                let result = work(&mut encoder);
                (encoder, result)
            };
            tokio::task::spawn_blocking(moved).await.map_err(|error| self.broken(error))?
        };
        self.encoder = Some(encoder);
        result.map_err(|error| self.broken(flowline_base::chain(&error)))
    }

    fn broken(&self, reason: impl std::fmt::Display) -> LakeError {
        LakeError::Internal { action: "writing", place: self.upload.shown(), reason: reason.to_string() }
    }
}

impl Encoder {
    fn held(&self) -> Held {
        Held { file: self.writer.in_progress_size(), memory: self.writer.memory_size() }
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
            if has_nan(column) && !self.unordered.contains(field.name()) {
                self.unordered.push(field.name().clone());
            }
        }
        self.writer.write(batch)
    }

    /// Closes the file; its statistics and the bytes that are left.
    fn finish(&mut self) -> Result<(String, Vec<u8>), ParquetError> {
        let metadata = self.writer.finish()?;
        let stats = stats::collect(&metadata, &self.schema, &self.unordered)?;
        Ok((stats, mem::take(self.writer.inner_mut())))
    }
}

fn has_nan(column: &dyn Array) -> bool {
    match column.data_type() {
        DataType::Float32 => column.as_primitive::<Float32Type>().values().iter().any(|value| value.is_nan()),
        DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().any(|value| value.is_nan()),
        _ => false,
    }
}
