//! The sidecar of a sealed segment: its contents and its keys, so that opening the log does not walk the segment.
//!
//! It is written once, when the segment is sealed, and never trusted further than its checksums go: one that is
//! missing, damaged or of another segment is made again from the segment itself.

use super::frame::{u32_at, u64_at};
use super::index::{Contents, Entry};
use super::keys::{KeyMap, KeyTable};

const MAGIC: [u8; 8] = *b"FLOWIDX\n";
/// The first version did not say what was sent with a key; such a sidecar is made again.
const VERSION: u32 = 2;
/// Bytes that [`front_bytes`] needs.
pub(crate) const FIXED_BYTES: usize = 96;
const ENTRY_BYTES: usize = 24;
/// No sidecar is larger than this before its blocks of keys, bytes.
const FRONT_BYTES_MAX: u64 = 1 << 30;

/// The bytes of the sidecar of a segment, and what stays in memory of its keys.
pub(crate) fn encode(contents: &Contents, salt: u64, keys: &KeyMap) -> (Vec<u8>, KeyTable) {
    let (table, blocks) = KeyTable::build(keys);
    let mut bytes = Vec::with_capacity(FIXED_BYTES + blocks.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for number in [salt, contents.first, contents.next, contents.bytes, contents.frames] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&contents.received_first.to_le_bytes());
    bytes.extend_from_slice(&contents.received_max.to_le_bytes());
    let lengths = [contents.entries.len(), table.fences.len(), table.filter.len(), table.keys as usize];
    for length in lengths {
        bytes.extend_from_slice(&(length as u32).to_le_bytes());
    }
    bytes.resize(FIXED_BYTES, 0);
    for entry in &contents.entries {
        bytes.extend_from_slice(&entry.first_offset.to_le_bytes());
        bytes.extend_from_slice(&entry.position.to_le_bytes());
        bytes.extend_from_slice(&entry.received_max.to_le_bytes());
    }
    table.fences.iter().for_each(|fence| bytes.extend_from_slice(&fence.to_le_bytes()));
    bytes.extend_from_slice(&table.filter);
    let crc = crc32c::crc32c(&bytes);
    bytes[88..92].copy_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&blocks);
    (bytes, table)
}

/// A sidecar, decoded up to its blocks of keys.
#[derive(Debug)]
pub(crate) struct Sidecar {
    pub(crate) contents: Contents,
    pub(crate) salt: u64,
    pub(crate) table: KeyTable,
    /// Byte of the first block of keys.
    pub(crate) blocks_at: u64,
}

/// Bytes that [`decode`] needs, said by the first [`FIXED_BYTES`] of a sidecar; none when these are not of one.
pub(crate) fn front_bytes(fixed: &[u8], file_bytes: u64) -> Option<u64> {
    let fixed = fixed.first_chunk::<FIXED_BYTES>()?;
    let [entries, fences, filter, _] = lengths(fixed);
    let bytes = FIXED_BYTES as u64 + entries * ENTRY_BYTES as u64 + fences * 8 + filter;
    (fixed[..8] == MAGIC && bytes <= file_bytes.min(FRONT_BYTES_MAX)).then_some(bytes)
}

/// Decodes the front of the sidecar of the segment that begins at `first`; none when it is not intact or of another.
pub(crate) fn decode(front: &[u8], first: u64, file_bytes: u64) -> Option<Sidecar> {
    let fixed = front.first_chunk::<FIXED_BYTES>()?;
    if front_bytes(fixed, file_bytes)? != front.len() as u64 || u32_at(fixed, 8) != VERSION {
        return None;
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&fixed[..88]), &[0; 4]);
    if u32_at(fixed, 88) != crc32c::crc32c_append(crc, &front[92..]) {
        return None;
    }
    let [entries, fences, _, keys] = lengths(fixed);
    let (entries, rest) = front[FIXED_BYTES..].split_at_checked(entries as usize * ENTRY_BYTES)?;
    let (fences, filter) = rest.split_at_checked(fences as usize * 8)?;
    let table = KeyTable {
        filter: filter.to_vec(),
        fences: fences.chunks_exact(8).map(|fence| u64_at(fence, 0)).collect(),
        keys: keys as u32,
    };
    let entry = |bytes: &[u8]| Entry {
        first_offset: u64_at(bytes, 0),
        position: u64_at(bytes, 8),
        received_max: u64_at(bytes, 16) as i64,
    };
    let contents = Contents {
        first: u64_at(fixed, 24),
        next: u64_at(fixed, 32),
        bytes: u64_at(fixed, 40),
        frames: u64_at(fixed, 48),
        received_first: u64_at(fixed, 56) as i64,
        received_max: u64_at(fixed, 64) as i64,
        entries: entries.chunks_exact(ENTRY_BYTES).map(entry).collect(),
    };
    let blocks_at = front.len() as u64;
    let whole = table.consistent() && blocks_at + table.blocks_bytes() == file_bytes;
    (contents.first == first && whole).then(|| Sidecar {
        contents,
        salt: u64_at(fixed, 16),
        table,
        blocks_at,
    })
}

/// Index entries, blocks of keys, bytes of the filter, keys.
fn lengths(fixed: &[u8; FIXED_BYTES]) -> [u64; 4] {
    [72, 76, 80, 84].map(|at| u64::from(u32_at(fixed, at)))
}
