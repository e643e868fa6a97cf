//! How many different values there are: the smallest hashes are kept, and how close they lie says how many there are.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef};
use arrow::error::ArrowError;
use datafusion::common::hash_utils::{HLL_RANDOM_STATE, create_hashes};

/// So many hashes are kept: up to as many values the count is exact, beyond it is off by 3 % (one in three times more).
const KEPT: usize = 1_024;

/// Hashes that were met last are remembered in so many places.
const RECENT: usize = 1 << 11;

/// The smallest hashes of the values.
#[derive(Debug, Default, Clone)]
pub(super) struct Distinct {
    smallest: BTreeSet<u64>,
    hashes: Vec<u64>,
    /// By their last bits, the hashes that were met last: a column of few values meets the same ones again and again.
    recent: Vec<u64>,
}

impl Distinct {
    pub fn update(&mut self, values: &ArrayRef) -> Result<(), ArrowError> {
        self.hashes.clear();
        self.hashes.resize(values.len(), 0);
        create_hashes([values], &HLL_RANDOM_STATE, &mut self.hashes)
            .map_err(|error| ArrowError::ComputeError(error.strip_backtrace()))?;
        let mut bound = self.bound();
        let nulls = values.logical_nulls();
        // No hash stands at its place to begin with.
        self.recent.resize_with(RECENT, || u64::MAX);
        for (row, hash) in self.hashes.iter().enumerate() {
            let recent = &mut self.recent[*hash as usize % RECENT];
            if *hash >= bound || *recent == *hash || nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            *recent = *hash;
            if self.smallest.insert(*hash) && self.smallest.len() > KEPT {
                self.smallest.pop_last();
            }
            if self.smallest.len() == KEPT {
                bound = self.smallest.last().copied().unwrap_or(u64::MAX);
            }
        }
        Ok(())
    }

    /// What is not smaller than this is not kept.
    fn bound(&self) -> u64 {
        match self.smallest.last() {
            Some(last) if self.smallest.len() >= KEPT => *last,
            _ => u64::MAX,
        }
    }

    pub fn estimate(&self) -> u64 {
        match self.smallest.last() {
            Some(last) if self.smallest.len() >= KEPT => {
                let share = (*last as f64 + 1.0) / (u64::MAX as f64 + 1.0);
                ((KEPT as f64 - 1.0) / share).round() as u64
            }
            _ => self.smallest.len() as u64,
        }
    }
}
