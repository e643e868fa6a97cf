//! Records of a topic as frames: those that follow each other without a gap are one.

use bytes::Bytes;
use flowline_kafka::records::Record;
use flowline_log::{Batch, Frame, RecordFormat};

use super::TopicSlab;

/// A frame is closed at this many bytes.
const FRAME_BYTES_MAX: usize = 4 << 20;
/// All records of a frame count as received when the first one was written; so they are not far apart, milliseconds.
const FRAME_SPAN_MS: i64 = 1_000;

/// Where newer serializers say what schema a value was written with: what would else stand before the value.
const SCHEMA_HEADER: &str = "__value_schema_id";

/// Frames that are being filled.
pub(super) struct Frames {
    format: RecordFormat,
    from: u64,
    next: u64,
    open: Option<Open>,
    frames: Vec<Frame>,
    records: u64,
    tombstones: u64,
}

struct Open {
    first_offset: u64,
    timestamp: i64,
    payload: Vec<u8>,
    spans: Vec<(u32, u32)>,
}

impl Frames {
    pub(super) fn new(format: RecordFormat, from: u64) -> Self {
        Self { format, from, next: from, open: None, frames: Vec::new(), records: 0, tombstones: 0 }
    }

    /// Takes in a record; those before the position are in the batch that holds it, and have been read.
    pub(super) fn push(&mut self, record: Record) {
        let Ok(offset) = u64::try_from(record.offset) else { return };
        if offset < self.next {
            return;
        }
        self.next = offset + 1;
        let schema = match self.format {
            RecordFormat::Registered => record.header(SCHEMA_HEADER).cloned(),
            _ => None,
        };
        let schema = schema.unwrap_or_default();
        let Some(value) = record.value else {
            self.tombstones += 1;
            return;
        };
        let fits = self.open.as_ref().is_some_and(|open| {
            open.first_offset + open.spans.len() as u64 == offset
                && open.payload.len() + schema.len() + value.len() < FRAME_BYTES_MAX
                && (record.timestamp - open.timestamp).abs() <= FRAME_SPAN_MS
        });
        if !fits {
            self.close();
        }
        let open = self.open.get_or_insert_with(|| Open {
            first_offset: offset,
            timestamp: record.timestamp,
            payload: Vec::new(),
            spans: Vec::new(),
        });
        let start = open.payload.len() as u32;
        open.payload.extend_from_slice(&schema);
        open.payload.extend_from_slice(&value);
        open.spans.push((start, open.payload.len() as u32));
        open.payload.push(b'\n');
        self.records += 1;
    }

    /// Everything up to this offset was looked at.
    pub(super) fn pass(&mut self, last_offset: i64) {
        self.next = self.next.max(u64::try_from(last_offset).map_or(0, |last| last + 1));
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let batch = Batch {
            format: self.format,
            schema: Bytes::new(),
            payload: Bytes::from(open.payload),
            records: open.spans.len() as u32,
            spans: open.spans,
            idempotency_key: None,
            received_at: open.timestamp.max(0).saturating_mul(1_000),
            trace_id: None,
        };
        self.frames.push(Frame { first_offset: open.first_offset, batch });
    }

    pub(super) fn finish(mut self) -> TopicSlab {
        self.close();
        let gaps = (self.next - self.from).saturating_sub(self.records + self.tombstones);
        TopicSlab { frames: self.frames, next: self.next, tombstones: self.tombstones, gaps }
    }
}
