//! A mean and how much windows differ from it.

/// Windows that count at most: older ones fade.
const WINDOWS_MAX: u32 = 200;

/// The mean of a number over windows, and its deviation between them.
#[derive(Debug, Clone, Default)]
pub(super) struct Running {
    windows: u32,
    mean: f64,
    variance: f64,
}

impl Running {
    pub(super) fn add(&mut self, value: f64) {
        self.windows = (self.windows + 1).min(WINDOWS_MAX);
        let weight = 1.0 / f64::from(self.windows);
        let difference = value - self.mean;
        self.mean += difference * weight;
        self.variance = (1.0 - weight) * (self.variance + weight * difference * difference);
    }

    pub(super) fn windows(&self) -> u32 {
        self.windows
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// The standard deviation between windows.
    pub(super) fn deviation(&self) -> f64 {
        self.variance.max(0.0).sqrt()
    }
}

/// Where a series changes: the index from which the sum of the scores is greatest, when each says how much more likely
/// its value is after the change than before.
pub(super) fn change_point(scores: impl DoubleEndedIterator<Item = f64> + ExactSizeIterator) -> usize {
    let length = scores.len();
    let (mut sum, mut best, mut at) = (0.0, f64::NEG_INFINITY, length);
    for (back, score) in scores.rev().enumerate() {
        sum += score;
        if sum >= best {
            (best, at) = (sum, length - 1 - back);
        }
    }
    at
}
