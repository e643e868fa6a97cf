//! Hashes and when they were first seen, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// 128 bits that stand for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) [u64; 2]);

impl std::hash::Hash for Hash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// What is kept is a hash already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// The part of the horizon that may pass before what lies behind it is swept out: each sweep looks at every key.
const SWEEP_EVERY_PART: u32 = 8;
/// The part of the keys that is forgotten when there are too many.
const FORGET_PART: usize = 4;

#[derive(Debug)]
pub(super) struct Memory {
    /// When each was seen, in seconds since the epoch.
    seen: HashMap<Hash, u32, BuildHasherDefault<AsIs>>,
    keys_max: usize,
    swept_s: u32,
}

impl Memory {
    pub(super) fn new(keys_max: usize) -> Self {
        Self { seen: HashMap::default(), keys_max: keys_max.max(1), swept_s: 0 }
    }

    pub(super) fn knows(&self, hash: Hash, now_s: u32, horizon_s: u32) -> bool {
        self.seen.get(&hash).is_some_and(|seen_s| now_s.saturating_sub(*seen_s) <= horizon_s)
    }

    pub(super) fn add(&mut self, hash: Hash, seen_s: u32) {
        self.seen.insert(hash, seen_s);
    }

    pub(super) fn take_back(&mut self, added: &[Hash]) {
        for hash in added {
            self.seen.remove(hash);
        }
    }

    /// Returns how many were forgotten before the horizon.
    pub(super) fn tidy(&mut self, now_s: u32, horizon_s: u32) -> u64 {
        let pause_s = (horizon_s / SWEEP_EVERY_PART).max(1);
        let due = now_s.saturating_sub(self.swept_s) >= pause_s;
        if due || self.seen.len() > self.keys_max {
            self.swept_s = now_s;
            self.seen.retain(|_, seen_s| now_s.saturating_sub(*seen_s) <= horizon_s);
        }
        if self.seen.len() > self.keys_max { self.forget() } else { 0 }
    }

    /// Forgets the oldest until there is room for a while.
    fn forget(&mut self) -> u64 {
        let before = self.seen.len();
        let room = self.keys_max - self.keys_max / FORGET_PART;
        let mut ages: Vec<u32> = self.seen.values().copied().collect();
        let (_, oldest_kept, _) = ages.select_nth_unstable(before - room.max(1));
        let oldest_kept = *oldest_kept;
        // Of those that were seen in the second of the cut, some go and some stay.
        let mut more =
            before - room.max(1) - self.seen.values().filter(|seen_s| **seen_s < oldest_kept).count();
        self.seen.retain(|_, seen_s| {
            let at_cut = *seen_s == oldest_kept && more > 0;
            more -= usize::from(at_cut);
            *seen_s >= oldest_kept && !at_cut
        });
        (before - self.seen.len()) as u64
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }
}
