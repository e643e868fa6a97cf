//! What a request turned into.

use bytes::Bytes;
use flowline_base::TraceId;
use flowline_log::{Batch, RecordFormat};

/// The records of one request: what the log keeps of them, before anyone says when they came and by which trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// How the records are written.
    pub format: RecordFormat,
    /// The CSV header line; else empty.
    pub schema: Bytes,
    /// The body; shared with the request, not copied.
    pub payload: Bytes,
    /// `(start, end)` of each record in the payload; empty for an Arrow stream.
    pub spans: Vec<(u32, u32)>,
    /// Records.
    pub records: u32,
}

impl Received {
    /// The bytes of record `index`; none past the end, and none for Arrow streams.
    pub fn record(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = *self.spans.get(index)?;
        self.payload.get(start as usize..end as usize)
    }

    /// The batch that is appended to the log. `received_at` is in microseconds since the epoch.
    pub fn into_batch(
        self,
        idempotency_key: Option<String>,
        received_at: i64,
        trace_id: Option<TraceId>,
    ) -> Batch {
        Batch {
            format: self.format,
            schema: self.schema,
            payload: self.payload,
            spans: self.spans,
            records: self.records,
            idempotency_key,
            received_at,
            trace_id,
        }
    }
}
