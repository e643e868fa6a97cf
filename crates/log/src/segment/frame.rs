//! The bytes of one frame: a batch as it lies in a segment.
//!
//! A frame is a head of fixed size, the idempotency key, the schema, the spans and the payload, one behind the other;
//! numbers are little endian. Two checksums (crc32c) cover all of it: that of the head also covers the key, the
//! frame's place in its file and the file's salt, so that a frame that was moved, copied or smuggled in as somebody's
//! payload is not mistaken for one; that of the body covers the rest and is itself covered by that of the head.
//! Frames can thus be walked by their heads alone, and a body is checked when it is read.
//!
//! Every frame says how far before it its group began, the frames that were written and synced together. Whatever
//! lies before the group was on stable storage before any byte of the group was written: this is what tells a torn
//! tail from damage.

use bytes::Bytes;
use flowline_base::TraceId;

use super::spans;
use crate::{Batch, Frame, LogError, RecordFormat};

/// Bytes of a head, without the key.
pub(crate) const HEAD_BYTES: usize = 76;
/// Bytes of a head with the longest key.
pub(crate) const HEAD_BYTES_MAX: usize = HEAD_BYTES + u8::MAX as usize;
/// Schema and payload of a batch are at most this large, bytes.
pub(crate) const BATCH_BYTES_MAX: usize = 256 << 20;
/// A batch has at most this many spans, so that their lengths fit where they are stored.
const BATCH_SPANS_MAX: usize = 1 << 26;
/// No log ever gets this far: at a million records a second, in a hundred thousand years.
const OFFSET_MAX: u64 = 1 << 62;
/// The first bytes of every frame.
pub(crate) const MAGIC: [u8; 4] = *b"FLfr";

const VERSION: u8 = 1;
const COMPRESSION_NONE: u8 = 0;
const FLAG_KEY: u8 = 1;
const FLAG_TRACE: u8 = 2;

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The random number in its segment's header.
    pub(crate) salt: u64,
    /// Byte of its head in the segment.
    pub(crate) position: u64,
}

/// The head of a frame, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) first_offset: u64,
    pub(crate) records: u32,
    pub(crate) received_at: i64,
    /// Bytes between the start of the frame's group and the frame.
    pub(crate) group_back: u32,
    pub(crate) key: Option<String>,
    format: RecordFormat,
    trace_id: Option<TraceId>,
    key_bytes: u8,
    schema_bytes: u32,
    spans_bytes: u32,
    payload_bytes: u32,
    pub(crate) body_crc: u32,
}

impl Head {
    /// Bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> u64 {
        self.body_at() as u64
            + u64::from(self.schema_bytes)
            + u64::from(self.spans_bytes)
            + u64::from(self.payload_bytes)
    }

    /// The offset behind the last record.
    pub(crate) fn next_offset(&self) -> u64 {
        self.first_offset + u64::from(self.records)
    }

    fn body_at(&self) -> usize {
        HEAD_BYTES + usize::from(self.key_bytes)
    }
}

/// A batch made ready for the disk: everything but what only its place decides.
#[derive(Debug)]
pub(crate) struct Encoded {
    front: Vec<u8>,
    payload: Bytes,
    pub(crate) records: u32,
    pub(crate) received_at: i64,
    /// The checksum of schema, spans and payload.
    pub(crate) body_crc: u32,
    key_bytes: u8,
}

impl Encoded {
    /// Checks the batch and encodes it; the payload is not copied.
    pub(crate) fn new(batch: Batch) -> Result<Self, LogError> {
        check(&batch)?;
        let key = batch.idempotency_key.as_deref().unwrap_or_default().as_bytes();
        let mut front =
            Vec::with_capacity(HEAD_BYTES + key.len() + batch.schema.len() + batch.spans.len() * 3);
        front.resize(HEAD_BYTES, 0);
        front.extend_from_slice(key);
        front.extend_from_slice(&batch.schema);
        let spans_from = front.len();
        spans::encode(&batch.spans, &mut front);
        let spans_bytes = (front.len() - spans_from) as u32;
        let body_crc =
            crc32c::crc32c_append(crc32c::crc32c(&front[HEAD_BYTES + key.len()..]), &batch.payload);

        let mut flags = 0;
        if batch.idempotency_key.is_some() {
            flags |= FLAG_KEY;
        }
        if let Some(trace_id) = batch.trace_id {
            flags |= FLAG_TRACE;
            front[52..68].copy_from_slice(&trace_id.to_bytes());
        }
        let key_bytes = key.len() as u8;
        front[0..4].copy_from_slice(&MAGIC);
        front[4..8].copy_from_slice(&[VERSION, flags, batch.format as u8, COMPRESSION_NONE]);
        front[8..12].copy_from_slice(&batch.records.to_le_bytes());
        // 12..16 and 16..24 wait for the place: how far back the group began, and the first offset.
        front[24..32].copy_from_slice(&batch.received_at.to_le_bytes());
        front[32..36].copy_from_slice(&(batch.schema.len() as u32).to_le_bytes());
        front[36..40].copy_from_slice(&spans_bytes.to_le_bytes());
        front[40..44].copy_from_slice(&(batch.payload.len() as u32).to_le_bytes());
        // The length before compression, for readers of a later version.
        front[44..48].copy_from_slice(&(batch.payload.len() as u32).to_le_bytes());
        front[48] = key_bytes;
        front[68..72].copy_from_slice(&body_crc.to_le_bytes());
        Ok(Self {
            front,
            payload: batch.payload,
            records: batch.records,
            received_at: batch.received_at,
            body_crc,
            key_bytes,
        })
    }

    /// Bytes of the frame.
    pub(crate) fn bytes(&self) -> u64 {
        (self.front.len() + self.payload.len()) as u64
    }

    /// Writes in what depends on the place, and the head's checksum.
    pub(crate) fn place(&mut self, place: Place, first_offset: u64, group_back: u32) {
        self.front[12..16].copy_from_slice(&group_back.to_le_bytes());
        self.front[16..24].copy_from_slice(&first_offset.to_le_bytes());
        let crc = head_crc(&self.front[..HEAD_BYTES + usize::from(self.key_bytes)], place);
        self.front[72..76].copy_from_slice(&crc.to_le_bytes());
    }

    /// The frame's bytes, in two parts.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.front, &self.payload]
    }
}

/// The checksum of what a batch holds: its schema, spans and payload, as a frame has it.
pub(crate) fn body_crc(batch: &Batch) -> u32 {
    let mut spans = Vec::with_capacity(batch.spans.len() * 3);
    spans::encode(&batch.spans, &mut spans);
    [&batch.schema[..], &spans, &batch.payload].iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

/// Refuses a batch that no log can keep.
pub(crate) fn check(batch: &Batch) -> Result<(), LogError> {
    let refuse = |reason: String| Err(LogError::Batch { reason });
    let bytes = batch.payload.len() + batch.schema.len();
    if batch.records == 0 {
        return refuse("it has no records".to_owned());
    }
    if bytes > BATCH_BYTES_MAX {
        return refuse(format!("it has {bytes} bytes, more than {BATCH_BYTES_MAX}; send it in parts"));
    }
    if batch.spans.len() > BATCH_SPANS_MAX {
        return refuse(format!(
            "it has {} records, more than {BATCH_SPANS_MAX}; send it in parts",
            batch.records
        ));
    }
    if !batch.spans.is_empty() && batch.spans.len() != batch.records as usize {
        return refuse(format!("it has {} spans for {} records", batch.spans.len(), batch.records));
    }
    if !spans::ordered(&batch.spans, batch.payload.len()) {
        return refuse("its spans overlap or leave the payload".to_owned());
    }
    match &batch.idempotency_key {
        Some(key) if key.len() > usize::from(u8::MAX) => {
            refuse(format!("its idempotency key has {} bytes, more than {}", key.len(), u8::MAX))
        }
        _ => Ok(()),
    }
}

fn head_crc(head_and_key: &[u8], place: Place) -> u32 {
    let crc = crc32c::crc32c(&place.salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &place.position.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &head_and_key[..72]);
    crc32c::crc32c_append(crc, &head_and_key[HEAD_BYTES..])
}

/// Decodes the head at `place`. `bytes` begins there and holds [`HEAD_BYTES_MAX`] bytes, or all that the file has.
pub(crate) fn decode_head(bytes: &[u8], place: Place) -> Result<Head, &'static str> {
    let fixed = bytes.first_chunk::<HEAD_BYTES>().ok_or("the file ends within the head of a frame")?;
    if fixed[0..4] != MAGIC {
        return Err("no frame begins here");
    }
    let key_bytes = fixed[48];
    let key_end = HEAD_BYTES + usize::from(key_bytes);
    let head_and_key = bytes.get(..key_end).ok_or("the file ends within the key of a frame")?;
    if u32_at(fixed, 72) != head_crc(head_and_key, place) {
        return Err("the checksum of the frame's head does not match");
    }
    if fixed[4] != VERSION || fixed[7] != COMPRESSION_NONE {
        return Err("the frame was written by a newer version of Flowline");
    }
    let key = &head_and_key[HEAD_BYTES..];
    let key = std::str::from_utf8(key).map_err(|_| "the frame's key is not UTF-8")?;
    let head = Head {
        records: u32_at(fixed, 8),
        group_back: u32_at(fixed, 12),
        first_offset: u64_at(fixed, 16),
        received_at: u64_at(fixed, 24) as i64,
        schema_bytes: u32_at(fixed, 32),
        spans_bytes: u32_at(fixed, 36),
        payload_bytes: u32_at(fixed, 40),
        key_bytes,
        key: (fixed[5] & FLAG_KEY != 0).then(|| key.to_owned()),
        format: RecordFormat::from_u8(fixed[6]).ok_or("the frame has records of an unknown format")?,
        trace_id: (fixed[5] & FLAG_TRACE != 0).then(|| trace_id_of(fixed)),
        body_crc: u32_at(fixed, 68),
    };
    if head.records == 0 || head.first_offset > OFFSET_MAX {
        return Err("the frame's offsets are impossible");
    }
    Ok(head)
}

/// Whether the body matches its checksum; `frame` is the whole frame of this head.
pub(crate) fn body_intact(head: &Head, frame: &[u8]) -> bool {
    frame.len() as u64 == head.frame_bytes() && crc32c::crc32c(&frame[head.body_at()..]) == head.body_crc
}

/// Decodes the whole frame of this head; its payload and schema share the bytes of `frame`.
pub(crate) fn decode(head: Head, frame: &Bytes) -> Result<Frame, &'static str> {
    if !body_intact(&head, frame) {
        return Err("the checksum of the frame's body does not match");
    }
    let schema_end = head.body_at() + head.schema_bytes as usize;
    let spans_end = schema_end + head.spans_bytes as usize;
    let spans = spans::decode(&frame[schema_end..spans_end], head.records, head.payload_bytes)
        .ok_or("the frame's spans are impossible")?;
    let batch = Batch {
        format: head.format,
        schema: frame.slice(head.body_at()..schema_end),
        payload: frame.slice(spans_end..),
        spans,
        records: head.records,
        idempotency_key: head.key,
        received_at: head.received_at,
        trace_id: head.trace_id,
    };
    Ok(Frame { first_offset: head.first_offset, batch })
}

/// Appends the frame that begins these bytes with its magic, version and checksums put right; returns how many bytes
/// it took, at least one. Only for [`crate::fuzzing`].
pub(crate) fn repair(bytes: &[u8], place: Place, out: &mut Vec<u8>) -> usize {
    let head_bytes = HEAD_BYTES + usize::from(bytes.get(48).copied().unwrap_or_default());
    if bytes.len() < head_bytes {
        out.extend_from_slice(bytes);
        return bytes.len();
    }
    let lengths: usize = [32, 36, 40].map(|at| u32_at(bytes, at) as usize).iter().sum();
    let taken = bytes.len().min(head_bytes + lengths);
    let mut frame = bytes[..taken].to_vec();
    frame[0..4].copy_from_slice(&MAGIC);
    (frame[4], frame[7]) = (VERSION, COMPRESSION_NONE);
    let body_crc = crc32c::crc32c(&frame[head_bytes..]);
    frame[68..72].copy_from_slice(&body_crc.to_le_bytes());
    let crc = head_crc(&frame[..head_bytes], place);
    frame[72..76].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&frame);
    taken
}

fn trace_id_of(fixed: &[u8; HEAD_BYTES]) -> TraceId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&fixed[52..68]);
    TraceId::from_bytes(bytes)
}

/// The little-endian number at `at`; the caller has checked the length.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The little-endian number at `at`; the caller has checked the length.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
