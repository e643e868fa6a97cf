//! How far two samples or two sets of shares are apart.
//!
//! The numbers are those of scipy to 1e-9, which a test holds against a table that scipy made. Nothing here panics or
//! returns what is no number without saying so: samples that are empty give none.

mod gamma;

pub use gamma::gamma_upper_share;

/// The population stability index of two sets of shares of the same bins: `Σ (c - r) ln(c / r)`. Shares below
/// `share_min` are raised to it, since an empty bin would make it infinite.
pub fn population_stability(reference: &[f64], current: &[f64], share_min: f64) -> Option<f64> {
    let (reference, current) = (normal(reference)?, normal(current)?);
    let terms = reference.iter().zip(&current).map(|(reference, current)| {
        let (reference, current) = (reference.max(share_min), current.max(share_min));
        (current - reference) * (current / reference).ln()
    });
    Some(terms.sum())
}

/// The Jensen–Shannon distance of two sets of shares of the same bins, base 2: 0 for the same, 1 for disjoint ones.
pub fn jensen_shannon(reference: &[f64], current: &[f64]) -> Option<f64> {
    let (reference, current) = (normal(reference)?, normal(current)?);
    let relative = |of: f64, to: f64| if of > 0.0 { of * (of / to).ln() } else { 0.0 };
    let terms = reference.iter().zip(&current).map(|(one, other)| {
        let middle = (one + other) / 2.0;
        relative(*one, middle) + relative(*other, middle)
    });
    let divergence: f64 = terms.sum::<f64>() / 2.0 / std::f64::consts::LN_2;
    // Rounding can leave it a hair below zero.
    Some(divergence.max(0.0).sqrt())
}

/// The counts as shares of their sum; none when there is nothing to share.
fn normal(counts: &[f64]) -> Option<Vec<f64>> {
    let sum: f64 = counts.iter().sum();
    (sum.is_finite() && sum > 0.0).then(|| counts.iter().map(|count| count / sum).collect())
}

/// The statistic of the Kolmogorov–Smirnov test for two samples: the greatest distance of their distribution functions.
pub fn kolmogorov_smirnov(one: &[f64], other: &[f64]) -> Option<f64> {
    let (one, other) = (sorted(one)?, sorted(other)?);
    let (mut left, mut right, mut greatest) = (0, 0, 0.0_f64);
    while left < one.len() && right < other.len() {
        let value = one[left].min(other[right]);
        left += one[left..].iter().take_while(|known| **known <= value).count();
        right += other[right..].iter().take_while(|known| **known <= value).count();
        let distance = left as f64 / one.len() as f64 - right as f64 / other.len() as f64;
        greatest = greatest.max(distance.abs());
    }
    Some(greatest)
}

/// The chance of at least this statistic when both samples are of one distribution, for samples of these sizes, by
/// Kolmogorov's limit.
pub fn kolmogorov_smirnov_p(statistic: f64, one: usize, other: usize) -> Option<f64> {
    if one == 0 || other == 0 || !statistic.is_finite() {
        return None;
    }
    let (one, other) = (one as f64, other as f64);
    let scaled = statistic * (one * other / (one + other)).sqrt();
    Some(kolmogorov_upper(scaled))
}

/// The upper tail of Kolmogorov's distribution.
fn kolmogorov_upper(x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x < 1.0 {
        // The series for the lower tail converges fast here.
        let scale = std::f64::consts::PI.powi(2) / (8.0 * x * x);
        let terms = (0..50).map(|k| (-(f64::from(2 * k + 1)).powi(2) * scale).exp());
        return 1.0 - (2.0 * std::f64::consts::PI).sqrt() / x * terms.sum::<f64>();
    }
    let terms = (1..50).map(|k| {
        let k = f64::from(k);
        let sign = if k as i64 % 2 == 1 { 1.0 } else { -1.0 };
        sign * (-2.0 * k * k * x * x).exp()
    });
    (2.0 * terms.sum::<f64>()).clamp(0.0, 1.0)
}

/// The Wasserstein (earth mover's) distance of two samples, in the unit of the values.
pub fn wasserstein(one: &[f64], other: &[f64]) -> Option<f64> {
    let (one, other) = (sorted(one)?, sorted(other)?);
    let mut all: Vec<f64> = one.iter().chain(&other).copied().collect();
    all.sort_by(f64::total_cmp);
    let (mut left, mut right, mut distance) = (0, 0, 0.0);
    for pair in all.windows(2) {
        left += one[left..].iter().take_while(|known| **known <= pair[0]).count();
        right += other[right..].iter().take_while(|known| **known <= pair[0]).count();
        let apart = left as f64 / one.len() as f64 - right as f64 / other.len() as f64;
        distance += apart.abs() * (pair[1] - pair[0]);
    }
    distance.is_finite().then_some(distance)
}

fn sorted(sample: &[f64]) -> Option<Vec<f64>> {
    if sample.is_empty() || sample.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

/// What a chi-square test of homogeneity says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// The statistic.
    pub statistic: f64,
    /// Its degrees of freedom.
    pub degrees: u32,
    /// The chance of at least this statistic when both are of one distribution.
    pub p: f64,
}

/// Whether two rows of counts of the same bins are of one distribution; bins that are empty in both are left out. None
/// when fewer than two bins are left or one of the rows is empty.
pub fn chi_square(reference: &[f64], current: &[f64]) -> Option<ChiSquare> {
    let bins: Vec<(f64, f64)> = reference
        .iter()
        .zip(current)
        .map(|(reference, current)| (*reference, *current))
        .filter(|(reference, current)| reference + current > 0.0)
        .collect();
    let sums = bins.iter().fold((0.0, 0.0), |sums, bin| (sums.0 + bin.0, sums.1 + bin.1));
    let total = sums.0 + sums.1;
    if bins.len() < 2 || sums.0 <= 0.0 || sums.1 <= 0.0 || !total.is_finite() {
        return None;
    }
    let term = |observed: f64, row: f64, bin: f64| {
        let expected = row * bin / total;
        (observed - expected).powi(2) / expected
    };
    let statistic = bins
        .iter()
        .map(|bin| term(bin.0, sums.0, bin.0 + bin.1) + term(bin.1, sums.1, bin.0 + bin.1))
        .sum::<f64>();
    let degrees = u32::try_from(bins.len() - 1).ok()?;
    Some(ChiSquare { statistic, degrees, p: gamma_upper_share(f64::from(degrees) / 2.0, statistic / 2.0)? })
}

/// The value below which this share of a sorted sample lies, between the two nearest values where it falls between
/// them (the default of numpy).
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let below = at.floor();
    let (low, high) = (sorted[below as usize], sorted[(below as usize + 1).min(last)]);
    let (width, part) = (high - low, at - below);
    Some(match () {
        () if low == high => low,
        () if width.is_finite() => low + width * part,
        // Two of the largest numbers may be further apart than the largest is from zero.
        () => low * (1.0 - part) + high * part,
    })
}

/// The middle value of a sample.
pub fn median(sample: &[f64]) -> Option<f64> {
    quantile(&sorted(sample)?, 0.5)
}

/// The median of the distances from the median.
pub fn median_absolute_deviation(sample: &[f64]) -> Option<f64> {
    let middle = median(sample)?;
    median(&sample.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())
}
