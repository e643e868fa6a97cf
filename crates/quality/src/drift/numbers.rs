//! The size of numbers, on a scale of factors.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::running::{Running, change_point};
use super::{SignalKind, WINDOWS_MIN};

/// Deviations between windows before it counts.
const DEVIATIONS: f64 = 6.0;
/// A factor nearer to one than this is no other unit: 2 to the power of it, that is 1.27.
const FACTOR_LOG_MIN: f64 = 0.35;
/// Values that are looked at of a window.
const SAMPLE: usize = 500;
/// Values that a window must have.
const VALUES_MIN: usize = 50;

#[derive(Debug, Clone)]
pub(super) struct Numbers {
    /// The median of the logarithm of the absolute values of each window, base 2.
    middles: Running,
    /// The distance between its quartiles.
    spreads: Running,
}

/// Where the values of a window lie.
struct Position {
    middle: f64,
    spread: f64,
}

impl Numbers {
    /// None for columns that hold no numbers.
    pub(super) fn of(kind: &DataType) -> Option<Self> {
        let number = kind.is_numeric() || matches!(kind, DataType::Timestamp(..));
        number.then(|| Self { middles: Running::default(), spreads: Running::default() })
    }

    pub(super) fn learn(&mut self, array: &ArrayRef) {
        if let Some(position) = position(&logarithms(array, array.len().div_ceil(SAMPLE))) {
            self.middles.add(position.middle);
            self.spreads.add(position.spread);
        }
    }

    pub(super) fn judge(
        &self,
        array: &ArrayRef,
        before: Option<&ArrayRef>,
    ) -> Option<(SignalKind, usize, Vec<usize>)> {
        if self.middles.windows() < WINDOWS_MIN {
            return None;
        }
        let found = position(&logarithms(array, array.len().div_ceil(SAMPLE)))?;
        let bound = (DEVIATIONS * self.middles.deviation().max(self.error())).max(FACTOR_LOG_MIN);
        // A window in which the change begins late is caught by the one behind it.
        if (found.middle - self.middles.mean()).abs() <= bound {
            return None;
        }
        let parts: Vec<&ArrayRef> = before.into_iter().chain([array]).collect();
        let series: Vec<f64> = parts.iter().flat_map(|part| logarithms(part, 1)).collect();
        let (at, shift) = self.begin(&series, found.middle - self.middles.mean());
        // Other values than before are another distribution; another unit keeps their shape.
        let after = position(&series[at..].iter().step_by(2).copied().collect::<Vec<_>>())
            .or_else(|| position(&series[at..]))?;
        let kept = (after.spread - self.spreads.mean()).abs();
        if kept > (DEVIATIONS * self.spreads.deviation()).max(FACTOR_LOG_MIN).max(0.25 * self.spreads.mean())
        {
            return None;
        }
        let begins = series.len() - array.len();
        let concerned = (0..array.len()).filter(|row| row + begins >= at && array.is_valid(*row)).collect();
        Some((SignalKind::Unit { factor: shift.exp2() }, at, concerned))
    }

    /// By how much the median of a window errs by chance alone, from how far its values are spread: some windows may by
    /// luck have lain closer together than they do in the long run.
    fn error(&self) -> f64 {
        // That of a median is 1.25 times that of a mean, and quartiles are 1.35 deviations apart.
        1.25 * self.spreads.mean() / 1.35 / (SAMPLE as f64).sqrt()
    }

    /// Where the values begin to be shifted, and by how much.
    fn begin(&self, series: &[f64], shift: f64) -> (usize, f64) {
        // The quartiles of a normal distribution are 1.35 deviations apart.
        let deviation = (self.spreads.mean() / 1.35).max(0.05);
        let (mut shift, mut at) = (shift, 0);
        for _ in 0..3 {
            let score = |value: &f64| {
                if !value.is_finite() {
                    return 0.0;
                }
                let before = value - self.middles.mean();
                let after = before - shift;
                // One value far out must not decide alone.
                ((before * before - after * after) / (2.0 * deviation * deviation)).clamp(-8.0, 8.0)
            };
            at = change_point(series.iter().map(score));
            if let Some(found) = position(&series[at..]) {
                shift = found.middle - self.middles.mean();
            }
        }
        (at, shift)
    }
}

/// The logarithm of the absolute value of one in `step` values; no number for null and zero.
fn logarithms(array: &ArrayRef, step: usize) -> Vec<f64> {
    let sampled = |array: &ArrayRef| -> Vec<f64> {
        let floats = array.as_primitive::<Float64Type>();
        let value = |row: usize| {
            let value = floats.value(row).abs();
            if floats.is_valid(row) && value > 0.0 { logarithm(value) } else { f64::NAN }
        };
        (0..floats.len()).step_by(step.max(1)).map(value).collect()
    };
    let numbers = match array.data_type() {
        // A time is a number of its unit since the epoch.
        DataType::Timestamp(..) => {
            cast(array, &DataType::Int64).and_then(|times| cast(&times, &DataType::Float64))
        }
        _ => cast(array, &DataType::Float64),
    };
    numbers.map_or_else(|_| vec![f64::NAN; array.len().div_ceil(step.max(1))], |array| sampled(&array))
}

/// The logarithm of a positive number, base 2, straight between powers of two: at most 0.09 too small, always the same,
/// and in the order of the numbers, which is all that medians ask for. A tenth of the cost of the exact one.
fn logarithm(value: f64) -> f64 {
    const FRACTION: f64 = (1u64 << 52) as f64;
    value.to_bits() as f64 / FRACTION - 1_023.0
}

fn position(logarithms: &[f64]) -> Option<Position> {
    let mut values: Vec<f64> = logarithms.iter().copied().filter(|value| value.is_finite()).collect();
    if values.len() < VALUES_MIN {
        return None;
    }
    // The quartiles lie on either side of the median, so that each half is looked through for one of them.
    let half = values.len() / 2;
    let (lower, middle, upper) = values.select_nth_unstable_by(half, f64::total_cmp);
    let middle = *middle;
    let low = *lower.select_nth_unstable_by(lower.len() / 2, f64::total_cmp).1;
    let high = *upper.select_nth_unstable_by(upper.len() / 2, f64::total_cmp).1;
    Some(Position { middle, spread: high - low })
}

impl Numbers {
    /// Whether values lie where those of the column did.
    pub(super) fn holds(&self, values: &[f64]) -> Option<bool> {
        if self.middles.windows() < WINDOWS_MIN {
            return None;
        }
        let logarithms: Vec<f64> =
            values.iter().map(|value| value.abs()).filter(|value| *value > 0.0).map(logarithm).collect();
        if logarithms.is_empty() {
            return None;
        }
        let reach = (self.spreads.mean() * 1.5).max(DEVIATIONS * self.middles.deviation()).max(1.0);
        let near = logarithms.iter().filter(|value| (*value - self.middles.mean()).abs() <= reach).count();
        Some(near * 2 > logarithms.len())
    }
}
