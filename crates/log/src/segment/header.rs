//! The first bytes of a segment file: whose it is, where it begins, and the salt of its frames.

use xxhash_rust::xxh3::xxh3_64;

use super::frame::{u32_at, u64_at};
use crate::PartitionId;

/// Bytes of the header; the first frame begins behind it.
pub(crate) const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"FLOWLOG\n";
const VERSION: u32 = 1;

/// The header of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Offset of the first record; also the name of the file.
    pub(crate) first_offset: u64,
    /// A random number that the checksums of the file's frames include.
    pub(crate) salt: u64,
    /// When it was made, microseconds since the epoch.
    pub(crate) created_at: i64,
}

impl Header {
    /// The bytes of the header of a segment of this partition.
    pub(crate) fn encode(&self, partition: &PartitionId) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_offset.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        bytes[32..40].copy_from_slice(&partition_hash(partition).to_le_bytes());
        bytes[40..48].copy_from_slice(&self.created_at.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes the header of the segment of this partition that is named after `first_offset`.
    pub(crate) fn decode(
        bytes: &[u8],
        partition: &PartitionId,
        first_offset: u64,
    ) -> Result<Self, &'static str> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>().ok_or("the file ends within its header")?;
        if bytes[0..8] != MAGIC {
            return Err("this is not a segment of a log");
        }
        if u32_at(bytes, 60) != crc32c::crc32c(&bytes[..60]) {
            return Err("the checksum of the segment's header does not match");
        }
        if u32_at(bytes, 8) != VERSION {
            return Err("the segment was written by a newer version of Flowline");
        }
        let header = Self {
            first_offset: u64_at(bytes, 16),
            salt: u64_at(bytes, 24),
            created_at: u64_at(bytes, 40) as i64,
        };
        if header.first_offset != first_offset || u64_at(bytes, 32) != partition_hash(partition) {
            return Err("the segment belongs elsewhere: another partition, or another offset");
        }
        Ok(header)
    }
}

fn partition_hash(partition: &PartitionId) -> u64 {
    xxh3_64(partition.to_string().as_bytes())
}
