//! Text files: cut into parts between records, wherever the storage cut them.

use bytes::{Bytes, BytesMut};
use flowline_lake::LakeError;
use flowline_log::RecordFormat;
use flowline_model::FileFormat;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::FileError;
use super::reader::{FileContent, FilePart};
use crate::http::Received;
use crate::split::{self, Spans, TooMany, csv, json};

/// Parts hold about so many bytes.
const PART_BYTES: usize = 4 << 20;
/// A file is not read when one record of it is larger.
const RECORD_BYTES_MAX: usize = 256 << 20;

pub(super) struct TextReader {
    path: String,
    stream: BoxStream<'static, Result<Bytes, LakeError>>,
    buffer: BytesMut,
    ended: bool,
    state: State,
    part_bytes: usize,
}

/// Where in the file we are.
enum State {
    /// Before the first record of a CSV file.
    CsvStart,
    /// Below this header.
    CsvRows(Bytes),
    Lines,
    /// Before the first byte of a JSON file that means something.
    JsonStart,
    /// In its array.
    JsonItems,
    /// Behind the array, or in a file that has none: the rest is taken as a whole.
    JsonRest,
}

/// A cut through the buffer: records in front of it, and where it is.
struct Cut {
    spans: Spans,
    end: usize,
    next: State,
}

impl TextReader {
    pub(super) fn new(
        path: String,
        format: FileFormat,
        stream: BoxStream<'static, Result<Bytes, LakeError>>,
    ) -> Self {
        Self::with_part_bytes(path, format, stream, PART_BYTES)
    }

    /// Like [`TextReader::new`], in parts of about this size.
    pub(super) fn with_part_bytes(
        path: String,
        format: FileFormat,
        stream: BoxStream<'static, Result<Bytes, LakeError>>,
        part_bytes: usize,
    ) -> Self {
        let state = match format {
            FileFormat::Csv => State::CsvStart,
            FileFormat::Json => State::JsonStart,
            FileFormat::Ndjson | FileFormat::Parquet | FileFormat::Arrow => State::Lines,
        };
        Self { path, stream, buffer: BytesMut::new(), ended: false, state, part_bytes }
    }

    pub(super) async fn next(&mut self) -> Result<Option<FilePart>, FileError> {
        let mut wanted = self.part_bytes;
        loop {
            self.fill(wanted).await?;
            if self.buffer.is_empty() && self.ended {
                return Ok(None);
            }
            let cut =
                self.cut().map_err(|_| self.unreadable("a part of it has too many records".to_owned()))?;
            let Some(cut) = cut else {
                // Not one record is whole: look at more of the file.
                if wanted >= RECORD_BYTES_MAX {
                    return Err(
                        self.unreadable(format!("a record in it is larger than {RECORD_BYTES_MAX} bytes"))
                    );
                }
                wanted = (wanted * 2).min(RECORD_BYTES_MAX);
                continue;
            };
            let part = self.part(cut);
            if let FileContent::Records(received) = &part.content
                && received.records == 0
            {
                continue;
            }
            return Ok(Some(part));
        }
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), FileError> {
        while !self.ended && self.buffer.len() < wanted {
            match self.stream.next().await {
                Some(bytes) => self.buffer.extend_from_slice(&bytes?),
                None => self.ended = true,
            }
        }
        Ok(())
    }

    fn unreadable(&self, reason: String) -> FileError {
        FileError::Unreadable { path: self.path.clone(), reason }
    }

    fn part(&mut self, cut: Cut) -> FilePart {
        let payload = self.buffer.split_to(cut.end).freeze();
        let (format, schema) = match &cut.next {
            State::CsvRows(header) => (RecordFormat::Csv, header.clone()),
            State::CsvStart => (RecordFormat::Csv, Bytes::new()),
            _ => (RecordFormat::Json, Bytes::new()),
        };
        self.state = cut.next;
        let records = cut.spans.len() as u32;
        let bytes = payload.len() as u64;
        FilePart {
            content: FileContent::Records(Received { format, schema, payload, spans: cut.spans, records }),
            bytes,
        }
    }

    /// The records that are whole; none when there is not one and more of the file may follow.
    fn cut(&self) -> Result<Option<Cut>, TooMany> {
        let bytes = &self.buffer[..];
        match &self.state {
            State::Lines => Ok(self.cut_lines(bytes)?),
            State::CsvStart => self.cut_csv(bytes, None),
            State::CsvRows(header) => self.cut_csv(bytes, Some(header)),
            State::JsonStart => {
                let start = (split::bom(bytes)..bytes.len()).find(|at| !split::is_space(bytes[*at]));
                Ok(match start.map(|start| (start, bytes[start])) {
                    None if !self.ended => None,
                    Some((start, b'[')) => {
                        Some(Cut { spans: vec![], end: start + 1, next: State::JsonItems })
                    }
                    start => Some(Cut {
                        spans: vec![],
                        end: start.map_or(bytes.len(), |(start, _)| start),
                        next: State::JsonRest,
                    }),
                })
            }
            State::JsonItems => {
                let items = json::items(bytes, 0, self.ended, u32::MAX)?;
                let next = if items.ended { State::JsonRest } else { State::JsonItems };
                let progress = items.ended || !items.spans.is_empty();
                Ok(progress.then_some(Cut { spans: items.spans, end: items.next, next }))
            }
            State::JsonRest if self.ended => {
                let spans = json::rest(bytes, 0, u32::MAX)?;
                Ok(Some(Cut { spans, end: bytes.len(), next: State::JsonRest }))
            }
            State::JsonRest => Ok(None),
        }
    }

    fn cut_lines(&self, bytes: &[u8]) -> Result<Option<Cut>, TooMany> {
        let end = if self.ended { Some(bytes.len()) } else { memchr::memrchr(b'\n', bytes).map(|at| at + 1) };
        let Some(end) = end else { return Ok(None) };
        Ok(Some(Cut { spans: split::lines(&bytes[..end], u32::MAX)?, end, next: State::Lines }))
    }

    fn cut_csv(&self, bytes: &[u8], header: Option<&Bytes>) -> Result<Option<Cut>, TooMany> {
        let start = if header.is_none() { split::bom(bytes) } else { 0 };
        let mut spans = csv::rows(bytes, start, u32::MAX)?;
        let mut end = bytes.len();
        if !self.ended {
            // The last one may go on in the next part, and is read again with it.
            let Some((from, _)) = spans.pop() else { return Ok(None) };
            end = from as usize;
        }
        let header = match header {
            Some(header) => header.clone(),
            None if spans.is_empty() && self.ended => {
                return Ok(Some(Cut { spans, end, next: State::CsvStart }));
            }
            None if spans.is_empty() => return Ok(None),
            None => {
                let (from, to) = spans.remove(0);
                Bytes::copy_from_slice(&bytes[from as usize..to as usize])
            }
        };
        if spans.is_empty() && end == 0 {
            return Ok(None);
        }
        Ok(Some(Cut { spans, end, next: State::CsvRows(header) }))
    }
}
