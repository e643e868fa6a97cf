//! The memory of idempotency keys.
//!
//! Keys are known by a hash of 128 bits. Those of the open segment are in a map; those of a sealed one lie sorted in
//! its sidecar, in blocks with a checksum each, and a filter in memory (1.5 bytes a key) answers nearly every question
//! about a new key without the disk. With each key stands a checksum of what was sent with it, so that the same key with
//! another body is refused and not answered. A segment holds at most [`KEYS_MAX`] of them, so the map is bounded as well.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use super::frame::{u32_at, u64_at};

/// A segment with this many frames is sealed even when it is small (about 6 MB of keys in memory).
pub(crate) const KEYS_MAX: u64 = 1 << 17;

/// Bytes of a full block of keys.
const BLOCK_BYTES: usize = 4096;
const ENTRY_BYTES: usize = 32;
const BLOCK_ENTRIES: usize = (BLOCK_BYTES - 4) / ENTRY_BYTES;
const FILTER_BITS_PER_KEY: usize = 12;
const FILTER_PROBES: u64 = 8;

/// The hash of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyHash(u128);

impl KeyHash {
    pub(crate) fn of(key: &str) -> Self {
        Self(xxh3_128(key.as_bytes()))
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    fn high(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

/// What was appended with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Offset of the first record.
    pub(crate) first: u64,
    /// Records.
    pub(crate) records: u32,
    /// The checksum of what was sent with it; not known of what earlier versions have written to Kafka.
    pub(crate) body: Option<u32>,
}

/// Keys in memory.
pub(crate) type KeyMap = HashMap<KeyHash, Known>;

/// The keys of a sealed segment that are on disk: what is kept in memory to find one with a single read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyTable {
    /// A Bloom filter.
    pub(crate) filter: Vec<u8>,
    /// The high half of the first hash of each block.
    pub(crate) fences: Vec<u64>,
    /// Keys in all.
    pub(crate) keys: u32,
}

impl KeyTable {
    /// The table of these keys and its blocks, one behind the other.
    pub(crate) fn build(keys: &KeyMap) -> (Self, Vec<u8>) {
        let mut sorted: Vec<(KeyHash, Known)> = keys.iter().map(|(hash, known)| (*hash, *known)).collect();
        sorted.sort_unstable_by_key(|(hash, _)| *hash);
        let mut filter = vec![0; (keys.len() * FILTER_BITS_PER_KEY).div_ceil(8)];
        let mut fences = Vec::with_capacity(keys.len().div_ceil(BLOCK_ENTRIES));
        let mut blocks = Vec::with_capacity(keys.len() * (ENTRY_BYTES + 1) + 4);
        for block in sorted.chunks(BLOCK_ENTRIES) {
            fences.push(block[0].0.high());
            let from = blocks.len();
            for (hash, known) in block {
                probes(*hash, filter.len()).for_each(|(byte, bit)| filter[byte] |= bit);
                blocks.extend_from_slice(&hash.0.to_le_bytes());
                blocks.extend_from_slice(&known.first.to_le_bytes());
                blocks.extend_from_slice(&known.records.to_le_bytes());
                // Every frame of a segment has one.
                blocks.extend_from_slice(&known.body.unwrap_or_default().to_le_bytes());
            }
            blocks.extend_from_slice(&crc32c::crc32c(&blocks[from..]).to_le_bytes());
        }
        (Self { filter, fences, keys: sorted.len() as u32 }, blocks)
    }

    /// Whether the key may be here; false is certain.
    pub(crate) fn may_hold(&self, hash: KeyHash) -> bool {
        !self.filter.is_empty()
            && probes(hash, self.filter.len()).all(|(byte, bit)| self.filter[byte] & bit != 0)
    }

    /// Whether there are as many blocks as the keys need.
    pub(crate) fn consistent(&self) -> bool {
        self.fences.len() == (self.keys as usize).div_ceil(BLOCK_ENTRIES)
    }

    /// Bytes of all blocks.
    pub(crate) fn blocks_bytes(&self) -> u64 {
        self.keys as u64 * ENTRY_BYTES as u64 + self.fences.len() as u64 * 4
    }

    /// The blocks that hold the key if any does: where they begin among the blocks, and their lengths. Two where the
    /// high half of a hash begins a block, which may have begun in the one before.
    pub(crate) fn blocks_of(&self, hash: KeyHash) -> impl Iterator<Item = (u64, usize)> {
        let high = hash.high();
        let first = self.fences.partition_point(|fence| *fence < high).saturating_sub(1);
        let behind = self.fences.partition_point(|fence| *fence <= high);
        let keys = self.keys as usize;
        (first..behind).map(move |block| {
            let entries = (keys - block * BLOCK_ENTRIES).min(BLOCK_ENTRIES);
            (block as u64 * (BLOCK_ENTRIES * ENTRY_BYTES + 4) as u64, entries * ENTRY_BYTES + 4)
        })
    }
}

/// Looks for the key in a block; an error when the block is not what was written.
pub(crate) fn find_in_block(block: &[u8], hash: KeyHash) -> Result<Option<Known>, &'static str> {
    let damaged = "the checksum of a block of keys does not match";
    let (entries, crc) = block.split_last_chunk::<4>().ok_or(damaged)?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c(entries) {
        return Err(damaged);
    }
    let key = hash.0.to_le_bytes();
    let entry = entries.chunks_exact(ENTRY_BYTES).find(|entry| entry[..16] == key);
    Ok(entry.map(|entry| Known {
        first: u64_at(entry, 16),
        records: u32_at(entry, 24),
        body: Some(u32_at(entry, 28)),
    }))
}

/// The bits of the filter that stand for the key.
fn probes(hash: KeyHash, filter_bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let bits = (filter_bytes as u64 * 8).max(1);
    let (start, step) = (hash.0 as u64, hash.high() | 1);
    (0..FILTER_PROBES).map(move |probe| {
        let bit = start.wrapping_add(step.wrapping_mul(probe)) % bits;
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(table: &KeyTable, blocks: &[u8], hash: KeyHash) -> Option<Known> {
        table.blocks_of(hash).find_map(|(at, bytes)| {
            find_in_block(&blocks[at as usize..at as usize + bytes], hash).unwrap_or_else(|e| panic!("{e}"))
        })
    }

    #[test]
    fn every_key_is_found_and_few_others_are_looked_for() {
        for count in [0u64, 1, 126, 127, 128, 5_000] {
            let known = |n: u64| Known { first: n * 7, records: n as u32 + 1, body: Some(n as u32) };
            let map: KeyMap = (0..count).map(|n| (KeyHash::of(&n.to_string()), known(n))).collect();
            let (table, blocks) = KeyTable::build(&map);
            assert_eq!(table.blocks_bytes(), blocks.len() as u64);
            for n in 0..count {
                let hash = KeyHash::of(&n.to_string());
                assert!(table.may_hold(hash));
                assert_eq!(find(&table, &blocks, hash), Some(known(n)));
            }
            let strangers = (0..1_000).map(|n| KeyHash::of(&format!("stranger {n}")));
            let asked = strangers.filter(|hash| {
                assert_eq!(find(&table, &blocks, *hash), None);
                table.may_hold(*hash)
            });
            assert!(asked.count() < 20, "the filter lets too many through");
        }
    }

    #[test]
    fn a_damaged_block_is_not_believed() {
        let map = KeyMap::from([(KeyHash::of("a"), Known { first: 1, records: 2, body: Some(3) })]);
        let (_, blocks) = KeyTable::build(&map);
        for bit in 0..blocks.len() * 8 {
            let mut damaged = blocks.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(find_in_block(&damaged, KeyHash::of("a")).is_err());
        }
    }
}
