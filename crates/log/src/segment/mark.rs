//! The mark of a partition: how far it is surely on stable storage, and how far readers have released it.
//!
//! It is one small file that is overwritten after each group and each release and synced rarely: after a crash of the
//! process it is exact, after a crash of the machine it may be old, and it never says more than is true. Damage before
//! the mark is damage; what lies behind it may be a torn tail. A mark that is not intact is as good as none.

use super::frame::{u32_at, u64_at};

/// Bytes of the file: within one sector, so that it is not torn.
pub(crate) const MARK_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"FLOWMRK\n";
const VERSION: u32 = 1;

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Offset up to which readers are done.
    pub(crate) released: u64,
    /// The segment that was open, by the offset of its first record.
    pub(crate) segment: u64,
    /// Bytes of that segment that were on stable storage.
    pub(crate) durable_bytes: u64,
    /// The offset behind the last record on stable storage.
    pub(crate) durable_next: u64,
}

impl Mark {
    pub(crate) fn encode(&self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.released.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.segment.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.durable_bytes.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.durable_next.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<MARK_BYTES>()?;
        let intact = bytes[0..8] == MAGIC
            && u32_at(bytes, 8) == VERSION
            && u32_at(bytes, 60) == crc32c::crc32c(&bytes[..60]);
        intact.then(|| Self {
            released: u64_at(bytes, 16),
            segment: u64_at(bytes, 24),
            durable_bytes: u64_at(bytes, 32),
            durable_next: u64_at(bytes, 40),
        })
    }
}
