//! What is appended and what is read back.

use std::fmt;

use bytes::Bytes;
use flowline_base::TraceId;
use flowline_model::DatasetName;

/// One partition of the log of one source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The source, named after the dataset it lands in.
    pub source: DatasetName,
    /// From zero.
    pub partition: u32,
}

impl PartitionId {
    /// Partition `partition` of the log of `source`.
    pub fn new(source: DatasetName, partition: u32) -> Self {
        Self { source, partition }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.partition)
    }
}

/// How the records of a batch are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordFormat {
    /// One JSON value a record, as received (an object, or whatever the producer sent instead of one).
    Json = 1,
    /// One CSV row a record, without its line end; the header line is [`Batch::schema`].
    Csv = 2,
    /// The whole payload is one Arrow IPC stream (schema, batches, end); records are its rows.
    ArrowStream = 3,
    /// One CloudEvent a record in the JSON format of the specification (binary mode is brought into it by the gateway).
    CloudEvent = 4,
    /// One record each with the number of its schema before it, as clients of schema registries write them: a zero byte,
    /// four bytes of the number, and Avro, Protobuf or JSON.
    Registered = 5,
}

impl RecordFormat {
    /// The format with this number, as stored in a frame.
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Json, Self::Csv, Self::ArrowStream, Self::CloudEvent, Self::Registered]
            .into_iter()
            .find(|format| *format as u8 == number)
    }
}

/// Records that are appended together: one frame of the log, durable as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// How the records are written.
    pub format: RecordFormat,
    /// What is needed to read each record and is the same for all: the CSV header. Else empty.
    pub schema: Bytes,
    /// The records, one behind the other, with or without separators between them.
    pub payload: Bytes,
    /// `(start, end)` of each record in the payload; empty for [`RecordFormat::ArrowStream`].
    pub spans: Vec<(u32, u32)>,
    /// Records in the batch; `spans.len()` unless the format has no spans.
    pub records: u32,
    /// The producer's idempotency key, at most 255 bytes.
    pub idempotency_key: Option<String>,
    /// When the gateway received it, microseconds since the epoch.
    pub received_at: i64,
    /// The trace of the request.
    pub trace_id: Option<TraceId>,
}

impl Batch {
    /// The bytes of record `index`; the whole payload where records have no spans; none past the end.
    pub fn record(&self, index: usize) -> Option<&[u8]> {
        if self.spans.is_empty() {
            return (index < self.records as usize).then_some(&self.payload[..]);
        }
        let (start, end) = *self.spans.get(index)?;
        self.payload.get(start as usize..end as usize)
    }
}

/// The answer to an append: the records are on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub first: u64,
    /// Offset of the last record.
    pub last: u64,
    /// The idempotency key was known: nothing was appended, and the offsets are those of the first time.
    pub repeated: bool,
}

/// A batch with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Offset of the first record of the batch; the others follow without a gap.
    pub first_offset: u64,
    /// The batch.
    pub batch: Batch,
}

impl Frame {
    /// The offset behind the last record.
    pub fn next_offset(&self) -> u64 {
        self.first_offset + u64::from(self.batch.records)
    }
}

/// Whole frames read from one partition. The first one may begin before the offset that was asked for (a reader
/// skips what it has), the frames follow each other without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSlab {
    /// Where it was read.
    pub partition: PartitionId,
    /// The frames; empty at the end of the log.
    pub frames: Vec<Frame>,
    /// Where to read next.
    pub next: u64,
}

/// The offsets that a partition holds: `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest offset that is kept.
    pub start: u64,
    /// The offset that the next record gets.
    pub end: u64,
}

/// A partition as it stands, for `status` and metrics.
#[derive(Debug, Clone)]
pub struct PartitionStatus {
    /// Which.
    pub partition: PartitionId,
    /// What tells it from another of the same name: see [`crate::EventLog::identity`].
    pub identity: Option<String>,
    /// Its offsets.
    pub bounds: Bounds,
    /// Offset up to which readers have said that they are done.
    pub released: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes that readers are not done with; appends are refused when they reach the limit of the log.
    pub waiting_bytes: u64,
    /// Appends that wait for their sync.
    pub queued: u64,
    /// When the last record was received, microseconds since the epoch; none before the first.
    pub last_received_at: Option<i64>,
    /// Why it takes no more appends: a failed write or sync, or damage found when it was opened.
    pub failed: Option<crate::LogError>,
}

/// What retention removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Segments deleted.
    pub segments: u64,
    /// Bytes freed.
    pub bytes: u64,
}
