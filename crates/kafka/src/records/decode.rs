//! Reading batches.

use bytes::Bytes;

use super::{CHECKED_FROM, Compression, HEADER_BYTES, MAGIC, varint};

/// A batch whose records are not looked at yet.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    /// The offset of its first record when it was written; compaction may have removed it since.
    pub first_offset: i64,
    /// The offset of its last record when it was written.
    pub last_offset: i64,
    /// How often the partition had been led anew when it was appended.
    pub leader_epoch: i32,
    /// Who wrote it; -1 where nobody says.
    pub producer_id: i64,
    attributes: i16,
    first_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    records: Bytes,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since the epoch; -1 where nobody says.
    pub timestamp: i64,
    /// By which it was given to its partition.
    pub key: Option<Bytes>,
    /// None for a tombstone: whatever was said of the key before no longer holds.
    pub value: Option<Bytes>,
    /// What its producer says besides.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl Record {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        let found = self.headers.iter().find(|(header, _)| header[..] == *name.as_bytes());
        found.and_then(|(_, value)| value.as_ref())
    }
}

/// The whole batches among fetched bytes: the last one may be cut off and is left out then.
///
/// # Errors
/// The offset of the batch and what does not hold of it.
pub fn batches(fetched: &Bytes) -> Result<Vec<RecordBatch>, (i64, String)> {
    let (mut batches, mut at) = (Vec::new(), 0);
    while let Some(header) = fetched.get(at..at + HEADER_BYTES) {
        let first_offset = i64_at(header, 0);
        let refuse = |reason: String| (first_offset, reason);
        if header[16] != MAGIC {
            let reason = format!(
                "they are in the message format {}, which Kafka wrote before 0.11; copy the topic",
                header[16]
            );
            return Err(refuse(reason));
        }
        let length = i32_at(header, 8);
        let bytes = usize::try_from(length).map_or(0, |length| length + 12);
        if bytes < HEADER_BYTES {
            return Err(refuse(format!("their batch says it has {length} bytes")));
        }
        let Some(batch) = fetched.get(at..at + bytes) else { break };
        if u32_at(batch, 17) != crc32c::crc32c(&batch[CHECKED_FROM..]) {
            return Err(refuse("the checksum of their batch does not match".to_owned()));
        }
        batches.push(RecordBatch {
            first_offset,
            last_offset: first_offset + i64::from(i32_at(batch, 23)),
            leader_epoch: i32_at(batch, 12),
            producer_id: i64_at(batch, 43),
            attributes: i16::from_be_bytes([batch[21], batch[22]]),
            first_timestamp: i64_at(batch, 27),
            max_timestamp: i64_at(batch, 35),
            count: i32_at(batch, 57),
            records: fetched.slice(at + HEADER_BYTES..at + bytes),
        });
        at += bytes;
    }
    Ok(batches)
}

impl RecordBatch {
    /// Whether it holds marks of transactions and no records.
    pub fn control(&self) -> bool {
        self.attributes & (1 << 5) != 0
    }

    /// Whether it is part of a transaction.
    pub fn transactional(&self) -> bool {
        self.attributes & (1 << 4) != 0
    }

    /// Of a batch of marks: whether the first one says that its transaction was given up.
    pub fn aborts(&self) -> bool {
        let records = self.records().unwrap_or_default();
        let key = records.first().and_then(|record| record.key.as_ref());
        self.control() && key.is_some_and(|key| key.get(2..4) == Some(&[0, 0]))
    }

    /// The records, whose bytes are shared with the batch or, where it is compressed, with each other.
    ///
    /// # Errors
    /// What does not hold.
    pub fn records(&self) -> Result<Vec<Record>, String> {
        let compression = Compression::of(self.attributes).ok_or("their compression is not known")?;
        let bytes = compression
            .decompress(&self.records)
            .map_err(|error| format!("they cannot be decompressed: {error}"))?;
        let count = usize::try_from(self.count).unwrap_or(0);
        // No record has fewer than seven bytes.
        if count > bytes.len() / 7 + 1 {
            return Err(format!("their batch says it has {count} records in {} bytes", bytes.len()));
        }
        let mut records = Vec::with_capacity(count);
        let mut rest = &bytes[..];
        for _ in 0..count {
            let record = self.record(&bytes, &mut rest).ok_or("a record of their batch ends early")?;
            records.push(record);
        }
        Ok(records)
    }

    fn record(&self, bytes: &Bytes, rest: &mut &[u8]) -> Option<Record> {
        let length = usize::try_from(varint::take(rest)?).ok()?;
        let mut record = rest.get(..length)?;
        *rest = &rest[length..];
        record = record.get(1..)?;
        let delta = varint::take(&mut record)?;
        let offset = self.first_offset.checked_add(varint::take(&mut record)?)?;
        let key = field(bytes, &mut record)?;
        let value = field(bytes, &mut record)?;
        let count = usize::try_from(varint::take(&mut record)?).ok()?;
        if count > record.len() {
            return None;
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            headers.push((field(bytes, &mut record)??, field(bytes, &mut record)?));
        }
        Some(Record { offset, timestamp: self.timestamp(delta), key, value, headers })
    }

    /// Where the broker stamps records, all of a batch have its stamp.
    fn timestamp(&self, delta: i64) -> i64 {
        let stamped_by_broker = self.attributes & (1 << 3) != 0;
        if stamped_by_broker { self.max_timestamp } else { self.first_timestamp.saturating_add(delta) }
    }
}

/// A field with its length before it: none when the bytes end, `Some(None)` when it is null.
fn field(bytes: &Bytes, rest: &mut &[u8]) -> Option<Option<Bytes>> {
    let length = varint::take(rest)?;
    if length < 0 {
        return Some(None);
    }
    let field = rest.get(..usize::try_from(length).ok()?)?;
    *rest = &rest[field.len()..];
    Some(Some(bytes.slice_ref(field)))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(number)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(number)
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    u32_at(bytes, at) as i32
}
