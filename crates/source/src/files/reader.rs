//! One file, part by part.

use arrow::array::RecordBatch;
use flowline_lake::{FileEntry, FileStore};
use flowline_model::FileFormat;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::text::TextReader;
use super::{FileError, arrow_file, parquet_file};
use crate::http::Received;

/// A part of a file.
#[derive(Debug)]
pub struct FilePart {
    /// What is in it.
    pub content: FileContent,
    /// Bytes of the file that were read for it, as far as is known.
    pub bytes: u64,
}

/// The records of a part.
#[derive(Debug)]
pub enum FileContent {
    /// As received, like those of a request.
    Records(Received),
    /// Rows that are Arrow already.
    Rows(RecordBatch),
}

/// Reads one file in parts of some megabytes each.
pub struct FileReader {
    parts: Parts,
}

enum Parts {
    Text(Box<TextReader>),
    Rows(BoxStream<'static, Result<FilePart, FileError>>),
}

impl std::fmt::Debug for FileReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileReader").finish_non_exhaustive()
    }
}

impl FileReader {
    pub(super) async fn open(
        store: FileStore,
        entry: &FileEntry,
        format: FileFormat,
    ) -> Result<Self, FileError> {
        let parts = match format {
            FileFormat::Csv | FileFormat::Json | FileFormat::Ndjson => {
                let stream = store.stream(&entry.path).await?;
                Parts::Text(Box::new(TextReader::new(entry.path.clone(), format, stream)))
            }
            FileFormat::Parquet => Parts::Rows(parquet_file::read(store, entry).await?),
            FileFormat::Arrow => Parts::Rows(arrow_file::read(store, entry).await?),
        };
        Ok(Self { parts })
    }

    /// The next part; none at the end of the file.
    pub async fn next(&mut self) -> Result<Option<FilePart>, FileError> {
        match &mut self.parts {
            Parts::Text(reader) => reader.next().await,
            Parts::Rows(stream) => stream.next().await.transpose(),
        }
    }
}
