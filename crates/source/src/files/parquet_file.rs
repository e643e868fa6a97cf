//! Parquet files, row group by row group.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use flowline_lake::{FileEntry, FileStore};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{BoxStream, StreamExt as _};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::FileError;
use super::reader::{FileContent, FilePart};

/// Rows of one part.
const PART_ROWS: usize = 16 * 1024;

/// The rows of a file. The columns of a row group are held at once, as they lie in the file.
pub(super) async fn read(
    store: FileStore,
    entry: &FileEntry,
) -> Result<BoxStream<'static, Result<FilePart, FileError>>, FileError> {
    let path = entry.path.clone();
    let unreadable = move |reason: String| FileError::Unreadable { path: path.clone(), reason };
    let file = StoredFile { store, path: entry.path.clone(), bytes: entry.bytes };
    let opened = AssertUnwindSafe(ParquetRecordBatchStreamBuilder::new(file)).catch_unwind().await;
    let builder = opened
        .map_err(|_| unreadable("it contradicts itself".to_owned()))?
        .map_err(|error| unreadable(error.to_string()))?;
    crate::arrow_ipc::check_types(builder.schema()).map_err(|error| unreadable(error.to_string()))?;
    let rows_in_all = builder.metadata().file_metadata().num_rows().max(1) as u64;
    let bytes_in_all = entry.bytes;
    let stream = builder.with_batch_size(PART_ROWS).build().map_err(|error| unreadable(error.to_string()))?;
    // The reader checks what it reads, but not everywhere: a panic inside of it is an unreadable file.
    let stream = AssertUnwindSafe(stream).catch_unwind().map(move |batch| match batch {
        Ok(Ok(rows)) => {
            let bytes = bytes_in_all.saturating_mul(rows.num_rows() as u64) / rows_in_all;
            Ok(FilePart { content: FileContent::Rows(rows), bytes })
        }
        Ok(Err(error)) => Err(unreadable(error.to_string())),
        Err(_) => Err(unreadable("it contradicts itself".to_owned())),
    });
    Ok(stream.boxed())
}

/// A file as the Parquet reader asks for it.
struct StoredFile {
    store: FileStore,
    path: String,
    bytes: u64,
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let wanted = range.end.saturating_sub(range.start);
        async move {
            let bytes = self.store.read_range(&self.path, range).await;
            let bytes = bytes.map_err(|error| ParquetError::External(Box::new(error)))?;
            if (bytes.len() as u64) < wanted {
                return Err(ParquetError::EOF(format!(
                    "{wanted} bytes were asked for and {} are there",
                    bytes.len()
                )));
            }
            Ok(bytes)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            let metadata = ParquetMetaDataReader::new().load_and_finish(self, bytes).await?;
            Ok(Arc::new(metadata))
        }
        .boxed()
    }
}
