//! The size of numbers, on a scale of factors; and where they lie, as they are.

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
/// Values that are looked at of a window for where they lie.
const LEVEL_SAMPLE: usize = 250;
/// Values that a window must have.
const VALUES_MIN: usize = 50;
/// A shift by less than so many distances between the quartiles is no other zero point: most values still lie where
/// others did.
const OFFSET_SPREADS_MIN: f64 = 1.5;
/// Units with another zero point: the factor, then what is added.
const AFFINE: [(f64, f64); 4] =
    [(1.8, 32.0), (1.0 / 1.8, -32.0 / 1.8), (1.8, -459.67), (1.0 / 1.8, 459.67 / 1.8)];

#[derive(Debug, Clone)]
pub(super) struct Numbers {
    /// The median of the logarithm of the absolute values of each window, base 2.
    middles: Running,
    /// The distance between its quartiles.
    spreads: Running,
    /// The median of the values of each window.
    levels: Running,
    /// The distance between its quartiles.
    widths: Running,
}

/// What is measured of a window, once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    /// Of the logarithms of the absolute values, base 2.
    size: Option<Position>,
    /// Of the values; none for times, which always move on.
    pub level: Option<Position>,
}

/// Where the values of a window lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub middle: f64,
    pub spread: f64,
}

impl Measured {
    pub(super) fn of(array: &ArrayRef) -> Self {
        let time = matches!(array.data_type(), DataType::Timestamp(..));
        let level = || position(&floats(array, array.len().div_ceil(LEVEL_SAMPLE)));
        Self {
            size: position(&logarithms(array, array.len().div_ceil(SAMPLE))),
            level: if time { None } else { level() },
        }
    }
}

impl Numbers {
    /// None for columns that hold no numbers.
    pub(super) fn of(kind: &DataType) -> Option<Self> {
        let number = kind.is_numeric() || matches!(kind, DataType::Timestamp(..));
        let none = Running::default;
        number.then(|| Self { middles: none(), spreads: none(), levels: none(), widths: none() })
    }

    pub(super) fn learn(&mut self, measured: Measured) {
        if let Some(size) = measured.size {
            self.middles.add(size.middle);
            self.spreads.add(size.spread);
        }
        if let Some(level) = measured.level {
            self.levels.add(level.middle);
            self.widths.add(level.spread);
        }
    }

    pub(super) fn judge(
        &self,
        array: &ArrayRef,
        before: Option<&ArrayRef>,
        measured: Measured,
    ) -> Option<(SignalKind, usize, Vec<usize>)> {
        // A shift that leaves the values as far apart as they were is no factor. One that does not may be a factor and
        // another zero point, but only where a factor alone does not say it.
        match measured.level.and_then(|level| self.offset(array, before, level)) {
            Some(shifted @ (SignalKind::Offset { factor: 1.0, .. }, ..)) => Some(shifted),
            shifted => measured.size.and_then(|size| self.factor(array, before, size)).or(shifted),
        }
    }

    /// Whether the values are larger or smaller by a factor.
    fn factor(
        &self,
        array: &ArrayRef,
        before: Option<&ArrayRef>,
        found: Position,
    ) -> Option<(SignalKind, usize, Vec<usize>)> {
        if self.middles.windows() < WINDOWS_MIN {
            return None;
        }
        let bound = (DEVIATIONS * self.middles.deviation().max(self.error())).max(FACTOR_LOG_MIN);
        // A window in which the change begins late is caught by the one behind it.
        if (found.middle - self.middles.mean()).abs() <= bound {
            return None;
        }
        let parts: Vec<&ArrayRef> = before.into_iter().chain([array]).collect();
        let series: Vec<f64> = parts.iter().flat_map(|part| logarithms(part, 1)).collect();
        // The quartiles of a normal distribution are 1.35 deviations apart.
        let deviation = (self.spreads.mean() / 1.35).max(0.05);
        let usual = (self.middles.mean(), deviation);
        let (at, shift) = begin(&series, usual, found.middle - self.middles.mean());
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

    /// Whether the values are all larger or smaller by about the same, as from another zero point; or are those of a
    /// known unit with another factor and another zero point.
    fn offset(
        &self,
        array: &ArrayRef,
        before: Option<&ArrayRef>,
        found: Position,
    ) -> Option<(SignalKind, usize, Vec<usize>)> {
        let (usual, width) = (self.levels.mean(), self.widths.mean());
        // Values that are mostly the same have no width by which a shift could be measured.
        if self.levels.windows() < WINDOWS_MIN || width <= 0.0 {
            return None;
        }
        let error = 1.25 * width / 1.35 / (LEVEL_SAMPLE as f64).sqrt();
        let chance = DEVIATIONS * self.levels.deviation().max(error);
        if (found.middle - usual).abs() <= chance.max(OFFSET_SPREADS_MIN * width) {
            return None;
        }
        let parts: Vec<&ArrayRef> = before.into_iter().chain([array]).collect();
        let series: Vec<f64> = parts.iter().flat_map(|part| floats(part, 1)).collect();
        let (at, shift) = begin(&series, (usual, width / 1.35), found.middle - usual);
        let after = position(&series[at..])?;
        let near = |one: f64, other: f64, unit: f64| {
            (one - other).abs() <= (DEVIATIONS * self.widths.deviation()).max(0.25 * width) * unit
        };
        let affine = || {
            let fits = |(factor, offset): &&(f64, f64)| {
                let lies = (after.middle - (usual * factor + offset)).abs();
                near(after.spread, width * factor, *factor) && lies <= (chance.max(0.5 * width)) * factor
            };
            AFFINE.iter().find(fits).copied()
        };
        let (factor, offset) = match near(after.spread, width, 1.0) {
            true => (1.0, shift),
            false => affine()?,
        };
        let begins = series.len() - array.len();
        let concerned = (0..array.len()).filter(|row| row + begins >= at && array.is_valid(*row)).collect();
        Some((SignalKind::Offset { factor, offset }, at, concerned))
    }
}

/// Where values begin to be shifted, and by how much, from where they lie usually and their deviation.
fn begin(series: &[f64], usual: (f64, f64), shift: f64) -> (usize, f64) {
    let ((usual, deviation), mut shift, mut at) = (usual, shift, 0);
    for _ in 0..3 {
        let score = |value: &f64| {
            if !value.is_finite() {
                return 0.0;
            }
            let before = value - usual;
            let after = before - shift;
            // One value far out must not decide alone.
            ((before * before - after * after) / (2.0 * deviation * deviation)).clamp(-8.0, 8.0)
        };
        at = change_point(series.iter().map(score));
        if let Some(found) = position(&series[at..]) {
            shift = found.middle - usual;
        }
    }
    (at, shift)
}

/// The logarithm of the absolute value of one in `step` values; no number for null and zero.
fn logarithms(array: &ArrayRef, step: usize) -> Vec<f64> {
    let size = |value: f64| if value.abs() > 0.0 { logarithm(value.abs()) } else { f64::NAN };
    sampled(array, step, size)
}

/// One in `step` values; no number for null.
fn floats(array: &ArrayRef, step: usize) -> Vec<f64> {
    sampled(array, step, |value| value)
}

fn sampled(array: &ArrayRef, step: usize, of: impl Fn(f64) -> f64) -> Vec<f64> {
    let sampled = |array: &ArrayRef| -> Vec<f64> {
        let floats = array.as_primitive::<Float64Type>();
        let value = |row: usize| if floats.is_valid(row) { of(floats.value(row)) } else { f64::NAN };
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
