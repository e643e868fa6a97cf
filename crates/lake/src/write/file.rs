//! One Parquet file that is being written.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use flowline_base::{Computing, SharedClock, compute};
use object_store::path::Path;
use parquet::errors::ParquetError;

use super::encoder::{Encoder, Held};
use super::encoding::properties;
use super::upload::Upload;
use crate::store::{Store, from_parquet};
use crate::{FileRef, LakeError, PartitionValues, WritePurpose};

/// A batch smaller than this is encoded on the spot; moving it to another thread would cost as much.
const ON_THE_SPOT_BYTES: usize = 64 << 10;

/// One file. The last batch that it got may still be encoded while the caller makes the next one.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// Absent while a batch is encoded, and after a failure.
    encoder: Option<Encoder>,
    encoding: Option<Computing<Encoded>>,
    /// What it will hold when that is done, about.
    expected: Held,
    upload: Upload,
    path: String,
    partition: PartitionValues,
    rows: u64,
    /// The count of the writer's batches when this one last got rows.
    pub(crate) used: u64,
}

/// An encoder that comes back from its thread, and the bytes that are ready.
type Encoded = (Encoder, Result<Vec<Bytes>, ParquetError>);

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
        let encoder = Encoder::new(schema, properties(first, purpose))
            .map_err(|error| from_parquet("writing", store.shown(&location), &error))?;
        Ok(Self {
            encoder: Some(encoder),
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
        self.encoding = Some(compute(move || {
            let bytes = encoder.write(&batch);
            (encoder, bytes)
        }));
        Ok(())
    }

    async fn push(&mut self, pieces: Vec<Bytes>) -> Result<(), LakeError> {
        for piece in pieces {
            self.upload.push(piece).await?;
        }
        Ok(())
    }

    /// Waits until everything that was written is encoded.
    async fn encoded(&mut self) -> Result<(), LakeError> {
        let Some(encoding) = self.encoding.take() else { return Ok(()) };
        let (encoder, bytes) = encoding.await.map_err(|error| self.broken(error))?;
        self.encoder = Some(encoder);
        let bytes = bytes.map_err(|error| self.broken(flowline_base::chain(&error)))?;
        self.push(bytes).await
    }

    /// Turns what is held into a row group, which leaves memory.
    pub(crate) async fn flush(&mut self) -> Result<(), LakeError> {
        self.encoded().await?;
        self.encode(false, Encoder::flush).await
    }

    /// Closes the file.
    pub(crate) async fn finish(mut self, clock: &SharedClock) -> Result<FileRef, LakeError> {
        self.encoded().await?;
        let (stats, rest) = self.with_encoder(false, Encoder::finish).await?;
        self.push(rest).await?;
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
            elsewhere: None,
        })
    }

    async fn encode(
        &mut self,
        small: bool,
        work: impl FnOnce(&mut Encoder) -> Result<Vec<Bytes>, ParquetError> + Send + 'static,
    ) -> Result<(), LakeError> {
        let bytes = self.with_encoder(small, work).await?;
        self.push(bytes).await
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
            compute(moved).await.map_err(|error| self.broken(error))?
        };
        self.encoder = Some(encoder);
        result.map_err(|error| self.broken(flowline_base::chain(&error)))
    }

    fn broken(&self, reason: impl std::fmt::Display) -> LakeError {
        LakeError::Internal { action: "writing", place: self.upload.shown(), reason: reason.to_string() }
    }
}
