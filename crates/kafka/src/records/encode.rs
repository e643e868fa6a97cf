//! Writing a batch.

use std::io;

use bytes::Bytes;

use super::{CHECKED_FROM, Compression, HEADER_BYTES, MAGIC, varint};

/// Who writes a batch, and which of its batches it is: Kafka recognizes by these a batch that is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// Given by Kafka.
    pub id: i64,
    /// Counted up when it is not known what became of a batch; a batch of an earlier epoch is refused from then on.
    pub epoch: i16,
    /// The number of the first record of the batch, of those that the producer sent to the partition in this epoch.
    pub sequence: i32,
}

/// Records that are to be stored together.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    records: Vec<u8>,
    count: i32,
    first_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// Appends a record. The timestamp is in milliseconds since the epoch.
    pub fn push(&mut self, timestamp: i64, value: Option<&[u8]>, headers: &[(&str, &[u8])]) {
        if self.count == 0 {
            (self.first_timestamp, self.max_timestamp) = (timestamp, timestamp);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let (delta, number) = (timestamp - self.first_timestamp, i64::from(self.count));
        let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
        let headers_bytes: usize = headers
            .iter()
            .map(|(name, value)| {
                let (name, value) = (name.len(), value.len());
                varint::bytes(name as i64) + name + varint::bytes(value as i64) + value
            })
            .sum();
        let bytes = 1
            + varint::bytes(delta)
            + varint::bytes(number)
            + varint::bytes(-1)
            + varint::bytes(length(value))
            + value.map_or(0, <[u8]>::len)
            + varint::bytes(headers.len() as i64)
            + headers_bytes;
        let out = &mut self.records;
        varint::put(bytes as i64, out);
        out.push(0);
        varint::put(delta, out);
        varint::put(number, out);
        varint::put(-1, out);
        varint::put(length(value), out);
        out.extend_from_slice(value.unwrap_or_default());
        varint::put(headers.len() as i64, out);
        for (name, value) in headers {
            varint::put(name.len() as i64, out);
            out.extend_from_slice(name.as_bytes());
            varint::put(value.len() as i64, out);
            out.extend_from_slice(value);
        }
        self.count += 1;
    }

    /// Records so far.
    pub fn count(&self) -> u32 {
        self.count as u32
    }

    /// Bytes so far, before compression.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Compresses the records. Busy for as long as that takes.
    ///
    /// # Errors
    /// When there are no records, or the compression is one that is only read.
    pub fn finish(self, compression: Compression) -> io::Result<EncodedBatch> {
        if self.count <= 0 {
            return Err(io::Error::other("a batch has at least one record"));
        }
        let records = compression.compress(&self.records)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len());
        bytes.extend_from_slice(&0i64.to_be_bytes());
        bytes.extend_from_slice(&((HEADER_BYTES - 12 + records.len()) as i32).to_be_bytes());
        bytes.extend_from_slice(&(-1i32).to_be_bytes());
        bytes.push(MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(compression as i16).to_be_bytes());
        bytes.extend_from_slice(&(self.count - 1).to_be_bytes());
        bytes.extend_from_slice(&self.first_timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.max_timestamp.to_be_bytes());
        bytes.extend_from_slice(&[0; 14]);
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.extend_from_slice(&records);
        Ok(EncodedBatch { bytes, count: self.count })
    }
}

/// A batch that lacks only its producer.
#[derive(Debug)]
pub struct EncodedBatch {
    bytes: Vec<u8>,
    count: i32,
}

impl EncodedBatch {
    /// Records in it.
    pub fn count(&self) -> u32 {
        self.count as u32
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a batch has records.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes with this producer written in.
    pub fn stamped(&mut self, producer: Producer) -> Bytes {
        self.bytes[43..51].copy_from_slice(&producer.id.to_be_bytes());
        self.bytes[51..53].copy_from_slice(&producer.epoch.to_be_bytes());
        self.bytes[53..57].copy_from_slice(&producer.sequence.to_be_bytes());
        let crc = crc32c::crc32c(&self.bytes[CHECKED_FROM..]);
        self.bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Bytes::copy_from_slice(&self.bytes)
    }
}

impl Producer {
    /// The producer behind a batch of so many records. Sequence numbers begin at zero again behind the largest.
    pub fn behind(self, records: u32) -> Self {
        let sequence = (i64::from(self.sequence) + i64::from(records)) % (1 << 31);
        Self { sequence: sequence as i32, ..self }
    }

    /// The next epoch of the same producer; none when there is no further one.
    pub fn next_epoch(self) -> Option<Self> {
        Some(Self { epoch: self.epoch.checked_add(1)?, sequence: 0, ..self })
    }
}
