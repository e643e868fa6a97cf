//! Records posted over HTTP: one request body in, the records of one log batch out.
//!
//! Owns: which media types are understood, the modes of CloudEvents, and the promise that one broken record never
//! refuses or loses the others. Nothing is parsed further than splitting needs, and the payload is never copied.
//! Does not own: decompression, authentication and limits of the transport (`flowline-serve`).

mod cloudevents;
mod error;
mod media;
mod partition;
mod received;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use flowline_log::RecordFormat;

pub use error::ReceiveError;
pub use partition::ReadRegistered;
pub use received::Received;

use crate::split;
use media::Media;

/// A request as the server hands it over.
#[derive(Debug, Clone, Default)]
pub struct HttpBody {
    /// The value of `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// The `ce-*` headers as `(name, value)`: names with or without the prefix, in any case; values as sent. A header
    /// that was sent twice stands here twice.
    pub ce_headers: Vec<(String, String)>,
    /// The body, its `Content-Encoding` undone.
    pub bytes: Bytes,
}

/// How much one request may hold, beyond the limit of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records in one request. Each costs 8 bytes of memory while the request is under way.
    pub records_max: u32,
    /// Bytes that an Arrow stream may unpack to (its own compression and dictionaries undone).
    pub unpacked_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { records_max: 10_000_000, unpacked_bytes_max: 1 << 30 }
    }
}

/// Splits the body into records. Cost: one pass over the bytes at memory speed for NDJSON, slower (some hundred
/// MB/s) for JSON arrays, CSV and Arrow. A body without any record is no error; the answer then has none.
///
/// What cannot be read as a record still becomes one, as received, so that landing can quarantine it.
///
/// # Errors
/// [`ReceiveError::UnsupportedMedia`] (415), [`ReceiveError::TooLarge`] (413), [`ReceiveError::Malformed`] (400) for
/// what has no records that could be told apart: an Arrow stream that is broken, `ce-*` headers that contradict.
pub fn receive(body: HttpBody, limits: &Limits) -> Result<Received, ReceiveError> {
    if u32::try_from(body.bytes.len()).is_err() {
        return Err(ReceiveError::TooLarge {
            what: "bytes",
            found: body.bytes.len() as u64,
            limit: u64::from(u32::MAX),
        });
    }
    let received = match Media::of(body.content_type.as_deref(), &body.ce_headers)? {
        Media::Json => {
            with_spans(RecordFormat::Json, split::json::values(&body.bytes, limits.records_max), body.bytes)
        }
        Media::Ndjson => {
            with_spans(RecordFormat::Json, split::lines(&body.bytes, limits.records_max), body.bytes)
        }
        Media::Csv => csv(body.bytes, limits),
        Media::ArrowStream => crate::arrow_ipc::check_stream(&body.bytes, limits)
            .map(|records| Received {
                format: RecordFormat::ArrowStream,
                schema: Bytes::new(),
                payload: body.bytes,
                spans: Vec::new(),
                records,
            })
            .map_err(ReceiveError::from),
        Media::Registered => Ok(Received {
            format: RecordFormat::Registered,
            schema: Bytes::new(),
            // No body is larger than 32 bits count.
            spans: vec![(0, body.bytes.len() as u32)],
            payload: body.bytes,
            records: 1,
        }),
        Media::CloudEvents => with_spans(
            RecordFormat::CloudEvent,
            split::json::values(&body.bytes, limits.records_max),
            body.bytes,
        ),
        Media::CloudEventBinary => {
            cloudevents::structured(body.content_type.as_deref(), &body.ce_headers, &body.bytes)
        }
    }?;
    Ok(received)
}

fn with_spans(
    format: RecordFormat,
    spans: Result<Vec<(u32, u32)>, split::TooMany>,
    payload: Bytes,
) -> Result<Received, ReceiveError> {
    let spans = spans?;
    let records = spans.len() as u32;
    Ok(Received { format, schema: Bytes::new(), payload, spans, records })
}

fn csv(bytes: Bytes, limits: &Limits) -> Result<Received, ReceiveError> {
    let (header, spans) = split::csv::records(&bytes, limits.records_max)?;
    let header = header.map(|(start, end)| bytes.slice(start as usize..end as usize)).unwrap_or_default();
    let records = spans.len() as u32;
    Ok(Received { format: RecordFormat::Csv, schema: header, payload: bytes, spans, records })
}
