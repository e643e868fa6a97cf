//! Arrow IPC: the file format block by block, the stream format as a whole.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::{Block, root_as_footer};
use bytes::Bytes;
use flowline_lake::{FileEntry, FileStore};
use futures::stream::{self, BoxStream, StreamExt as _};

use super::FileError;
use super::reader::{FileContent, FilePart};
use crate::arrow_ipc::{IpcError, check_types, guarded, is_file, read_stream};
use crate::http::Limits;

/// A stream has to be held as a whole; a file has not.
const STREAM_BYTES_MAX: u64 = 512 << 20;
/// The end of a file: the length of its footer, and the magic.
const TAIL_BYTES: u64 = 10;

pub(super) async fn read(
    store: FileStore,
    entry: &FileEntry,
) -> Result<BoxStream<'static, Result<FilePart, FileError>>, FileError> {
    let head = store.read_range(&entry.path, 0..entry.bytes.min(8)).await?;
    if is_file(&head) {
        let file = ArrowFile::open(store, entry).await?;
        let parts =
            stream::try_unfold(
                file,
                |mut file| async move { Ok(file.next().await?.map(|part| (part, file))) },
            );
        return Ok(parts.boxed());
    }
    let unreadable = |reason: String| FileError::Unreadable { path: entry.path.clone(), reason };
    if entry.bytes > STREAM_BYTES_MAX {
        let reason =
            format!("an arrow stream of more than {STREAM_BYTES_MAX} bytes: write it in the file format");
        return Err(unreadable(reason));
    }
    let bytes = store.read(&entry.path).await?;
    let limits = Limits { records_max: u32::MAX, unpacked_bytes_max: 4 * STREAM_BYTES_MAX };
    let (_, batches) = read_stream(&bytes, &limits).map_err(|error| unreadable(error.to_string()))?;
    let share = entry.bytes / (batches.len() as u64).max(1);
    let parts =
        batches.into_iter().map(move |rows| Ok(FilePart { content: FileContent::Rows(rows), bytes: share }));
    Ok(stream::iter(parts.collect::<Vec<_>>()).boxed())
}

/// A file of which the footer was read.
struct ArrowFile {
    store: FileStore,
    path: String,
    bytes: u64,
    decoder: FileDecoder,
    blocks: std::vec::IntoIter<Block>,
}

/// What the footer says.
struct Footer {
    decoder: FileDecoder,
    dictionaries: Vec<Block>,
    blocks: Vec<Block>,
}

impl ArrowFile {
    async fn open(store: FileStore, entry: &FileEntry) -> Result<Self, FileError> {
        let unreadable =
            |reason: &str| FileError::Unreadable { path: entry.path.clone(), reason: reason.to_owned() };
        let tail_start = entry.bytes.saturating_sub(TAIL_BYTES);
        let tail = store.read_range(&entry.path, tail_start..entry.bytes).await?;
        let length = tail.first_chunk::<4>().map(|length| i32::from_le_bytes(*length));
        let length =
            length.and_then(|length| u64::try_from(length).ok()).filter(|_| tail.ends_with(b"ARROW1"));
        let start = length.and_then(|length| tail_start.checked_sub(length));
        let start = start.ok_or_else(|| unreadable("it has no footer: it may have been cut off"))?;
        let bytes = store.read_range(&entry.path, start..tail_start).await?;
        let footer =
            guarded("the footer", || footer(&bytes)).map_err(|error| unreadable(&error.to_string()))?;
        let Footer { decoder, dictionaries, blocks } = footer;
        let mut file =
            Self { store, path: entry.path.clone(), bytes: entry.bytes, decoder, blocks: blocks.into_iter() };
        for block in dictionaries {
            let buffer = file.block(&block).await?;
            let decoder = &mut file.decoder;
            guarded("a dictionary", || decoder.read_dictionary(&block, &buffer))
                .map_err(|error| unreadable(&error.to_string()))?;
        }
        Ok(file)
    }

    async fn next(&mut self) -> Result<Option<FilePart>, FileError> {
        while let Some(block) = self.blocks.next() {
            let buffer = self.block(&block).await?;
            let bytes = buffer.len() as u64;
            let rows: Result<Option<RecordBatch>, IpcError> =
                guarded("a batch", || self.decoder.read_record_batch(&block, &buffer));
            if let Some(rows) = rows.map_err(|error| self.unreadable(error.to_string()))? {
                return Ok(Some(FilePart { content: FileContent::Rows(rows), bytes }));
            }
        }
        Ok(None)
    }

    /// The bytes of a block, which must lie in the file.
    async fn block(&self, block: &Block) -> Result<Buffer, FileError> {
        let outside = || self.unreadable("a block lies outside of it".to_owned());
        let natural = |number: i64| u64::try_from(number).map_err(|_| outside());
        let (start, metadata) = (natural(block.offset())?, natural(i64::from(block.metaDataLength()))?);
        let length = metadata.checked_add(natural(block.bodyLength())?).ok_or_else(outside)?;
        let end = start.checked_add(length).filter(|end| *end <= self.bytes).ok_or_else(outside)?;
        let bytes: Bytes = self.store.read_range(&self.path, start..end).await?;
        if (bytes.len() as u64) < length {
            return Err(outside());
        }
        Ok(Buffer::from(bytes))
    }

    fn unreadable(&self, reason: String) -> FileError {
        FileError::Unreadable { path: self.path.clone(), reason }
    }
}

fn footer(bytes: &[u8]) -> Result<Footer, ArrowError> {
    let footer = root_as_footer(bytes).map_err(|error| ArrowError::IpcError(error.to_string()))?;
    let schema: Schema =
        footer.schema().map(fb_to_schema).ok_or_else(|| ArrowError::IpcError("no schema".to_owned()))?;
    check_types(&schema).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
    Ok(Footer {
        decoder: FileDecoder::new(Arc::new(schema), footer.version()),
        dictionaries: footer.dictionaries().into_iter().flatten().copied().collect(),
        blocks: footer.recordBatches().into_iter().flatten().copied().collect(),
    })
}
