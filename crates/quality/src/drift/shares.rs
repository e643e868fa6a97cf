//! The share of nulls.

use arrow::array::{Array, ArrayRef};

use super::running::{Running, change_point};
use super::{SignalKind, WINDOWS_MIN};

/// Deviations from what is expected before it counts.
const DEVIATIONS: f64 = 6.0;
/// A growth below this is none, however regular the column was.
const GROWTH_MIN: f64 = 0.02;
/// Nulls below this number are none to speak of.
const NULLS_MIN: usize = 10;

#[derive(Debug, Clone, Default)]
pub(super) struct Nulls {
    shares: Running,
}

impl Nulls {
    pub(super) fn learn(&mut self, array: &ArrayRef) {
        if !array.is_empty() {
            self.shares.add(array.null_count() as f64 / array.len() as f64);
        }
    }

    pub(super) fn judge(
        &self,
        array: &ArrayRef,
        before: Option<&ArrayRef>,
    ) -> Option<(SignalKind, usize, Vec<usize>)> {
        let (rows, nulls) = (array.len() as f64, array.null_count());
        if self.shares.windows() < WINDOWS_MIN || nulls < NULLS_MIN {
            return None;
        }
        let (usual, now) = (self.shares.mean(), nulls as f64 / rows);
        let chance = (usual.max(1.0 / rows) * (1.0 - usual) / rows).max(0.0).sqrt();
        let bound = usual + (DEVIATIONS * self.shares.deviation().max(chance)).max(GROWTH_MIN);
        if now <= bound {
            return None;
        }
        let parts: Vec<&ArrayRef> = before.into_iter().chain([array]).collect();
        let series: Vec<bool> =
            parts.iter().flat_map(|part| (0..part.len()).map(|row| part.is_null(row))).collect();
        let at = begin(&series, usual, now);
        let first = (at..series.len()).find(|row| series[*row]).unwrap_or(at);
        let after = &series[first..];
        let now = after.iter().filter(|null| **null).count() as f64 / after.len().max(1) as f64;
        let shift = series.len() - array.len();
        let concerned = (0..array.len()).filter(|row| row + shift >= first && array.is_null(*row)).collect();
        Some((SignalKind::Nulls { before: usual, now }, first, concerned))
    }
}

/// Where the share of rows of a kind changes, with the share after it as it turns out to be.
pub(super) fn begin(series: &[bool], usual: f64, now: f64) -> usize {
    let bounded = |share: f64| share.clamp(1e-4, 1.0 - 1e-4);
    let (before, mut after, mut at) = (bounded(usual), bounded(now), 0);
    for _ in 0..2 {
        let (is, is_not) = ((after / before).ln(), ((1.0 - after) / (1.0 - before)).ln());
        at = change_point(series.iter().map(|kind| if *kind { is } else { is_not }));
        let rest = &series[at..];
        after = bounded(rest.iter().filter(|kind| **kind).count() as f64 / rest.len().max(1) as f64);
    }
    at
}
