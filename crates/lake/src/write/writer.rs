//! The writer of rows: fans out by partition, rolls files at their size, stays within its memory.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::row::OwnedRow;
use flowline_base::{FileId, SharedClock};

use super::conform::conform;
use super::file::OpenFile;
use super::split::Splitter;
use super::staged::StagedFiles;
use crate::delta::values;
use crate::store::{Store, from_arrow};
use crate::{FileRef, LakeError, PartitionValues, TableId, WriterOptions};

/// Writes rows into Parquet files, one or more for each partition that they touch. Its memory is bounded by
/// [`WriterOptions`]; larger batches are encoded on the threads for blocking work, so that the caller can prepare the
/// next one meanwhile.
#[derive(Debug)]
pub struct StagedWriter {
    table: TableId,
    store: Store,
    clock: SharedClock,
    options: WriterOptions,
    schema: SchemaRef,
    splitter: Option<Splitter>,
    /// By the key of the partition; the only one, without a key, of a table that is not split.
    open: HashMap<Option<OwnedRow>, OpenFile>,
    done: Vec<FileRef>,
    rows: u64,
    batches: u64,
}

impl StagedWriter {
    pub(crate) fn new(
        table: TableId,
        store: Store,
        clock: SharedClock,
        schema: SchemaRef,
        partition_columns: &[String],
        options: WriterOptions,
    ) -> Result<Self, LakeError> {
        let splitter = match partition_columns {
            [] => None,
            names => Some(
                Splitter::new(&schema, names)
                    .map_err(|error| from_arrow("splitting rows of", table.to_string(), &error))?,
            ),
        };
        let (open, done) = (HashMap::new(), Vec::new());
        Ok(Self { table, store, clock, options, schema, splitter, open, done, rows: 0, batches: 0 })
    }

    /// The columns that it writes. Batches may lack nullable ones, have them in any order, and in any type whose values
    /// mean the same in the table's; a batch of exactly this schema is written as it is.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// [`LakeError::Schema`] names the column that does not fit: nothing of the batch was written then, and the writer
    /// stays usable. After any other error start again with a new writer.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = conform(batch, &self.schema, &self.table.to_string())?;
        self.rows += batch.num_rows() as u64;
        self.batches += 1;
        let Some(splitter) = &self.splitter else {
            return self.write_part(None, batch, PartitionValues::default).await;
        };
        let parts = splitter
            .split(&batch)
            .map_err(|error| from_arrow("splitting rows of", self.table.to_string(), &error))?;
        let parts: Vec<_> = parts.into_iter().map(|part| (splitter.values(&part), part)).collect();
        for (values, part) in parts {
            self.write_part(Some(part.key), part.rows, || values).await?;
        }
        Ok(())
    }

    /// Bytes written so far, what waits in memory included.
    pub fn staged_bytes(&self) -> u64 {
        let done: u64 = self.done.iter().map(|file| file.bytes).sum();
        done + self.open.values().map(OpenFile::bytes).sum::<u64>()
    }

    /// Rows written so far.
    pub fn staged_rows(&self) -> u64 {
        self.rows
    }

    /// Closes the files.
    pub async fn finish(mut self) -> Result<StagedFiles, LakeError> {
        let open: Vec<_> = self.open.drain().map(|(_, file)| file).collect();
        // A few at once: closing a small file is one write, and storage is mostly waiting.
        for files in chunks(open, 8) {
            let closing = files.into_iter().map(|file| file.finish(&self.clock));
            self.done.extend(futures::future::try_join_all(closing).await?);
        }
        self.done.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(StagedFiles { files: self.done, target: Some((self.table, self.schema)) })
    }

    async fn write_part(
        &mut self,
        key: Option<OwnedRow>,
        rows: RecordBatch,
        values: impl FnOnce() -> PartitionValues,
    ) -> Result<(), LakeError> {
        let mut file = match self.open.remove(&key) {
            Some(file) => file,
            None => {
                self.make_room().await?;
                let values = values();
                let path = format!("{}part-{}.parquet", values::folder(&values), FileId::generate());
                OpenFile::create(&self.store, path, values, &rows, self.options.purpose)?
            }
        };
        file.used = self.batches;
        file.write(rows).await?;
        if file.bytes() >= self.options.target_file_bytes {
            self.done.push(file.finish(&self.clock).await?);
        } else {
            self.open.insert(key, file);
        }
        self.bound_memory().await
    }

    /// Closes the file that got no rows for longest when there are as many as there may be.
    async fn make_room(&mut self) -> Result<(), LakeError> {
        while self.open.len() >= self.options.open_files_max.max(1) {
            let longest = self.open.iter().min_by_key(|(_, file)| file.used).map(|(key, _)| key.clone());
            let Some(file) = longest.and_then(|key| self.open.remove(&key)) else { break };
            self.done.push(file.finish(&self.clock).await?);
        }
        Ok(())
    }

    /// Lets the file that holds most write out what it holds, until all together hold little enough.
    async fn bound_memory(&mut self) -> Result<(), LakeError> {
        let mut held: usize = self.open.values().map(OpenFile::memory_bytes).sum();
        while held > self.options.memory_bytes_max {
            let Some(file) = self.open.values_mut().max_by_key(|file| file.memory_bytes()) else { break };
            let before = file.memory_bytes();
            file.flush().await?;
            let freed = before.saturating_sub(file.memory_bytes());
            if freed == 0 {
                break;
            }
            held -= freed;
        }
        Ok(())
    }
}

fn chunks<T>(items: Vec<T>, size: usize) -> Vec<Vec<T>> {
    let mut chunks: Vec<Vec<T>> = Vec::new();
    for item in items {
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < size => chunk.push(item),
            _ => chunks.push(vec![item]),
        }
    }
    chunks
}
