//! The values of one version held against those of the versions before.
//!
//! Owns: bins, and which statistic is made of which part of a profile. Does not own: the statistics, the profiles.

use std::collections::BTreeMap;

use flowline_model::{ColumnProfile, DistributionMethod};

use crate::statistics::{
    chi_square, jensen_shannon, kolmogorov_smirnov, population_stability, quantile, wasserstein,
};

/// Fewer values than this say nothing about a distribution.
const VALUES_MIN: u64 = 30;
/// Numbers are put into so many bins, each with as many values of the history.
const BINS: usize = 10;
/// A share of a bin is at least this, as in the usual tools.
const SHARE_MIN: f64 = 1e-4;

/// A column's profiles with the rows that each is of.
pub type Window<'a> = &'a [(u64, &'a ColumnProfile)];

/// How far the values of `current` are from those of `reference`.
///
/// # Errors
/// Why it cannot be told: too few values, or values of the wrong kind.
pub fn compare(
    method: DistributionMethod,
    reference: Window<'_>,
    current: Window<'_>,
) -> Result<f64, String> {
    let (rows_before, rows_now) = (rows(reference), rows(current));
    if rows_before < VALUES_MIN || rows_now < VALUES_MIN {
        return Err(format!(
            "there are {rows_before} rows before and {rows_now} now, {VALUES_MIN} of each are needed"
        ));
    }
    match method {
        DistributionMethod::NullShare => Ok((null_share(current) - null_share(reference)).abs()),
        DistributionMethod::Cardinality => {
            let (before, now) = (distinct(reference), distinct(current));
            if before <= 0.0 { Err(no_values()) } else { Ok((now - before).abs() / before) }
        }
        DistributionMethod::Ks | DistributionMethod::Wasserstein => {
            let (before, now) = (numbers(reference), numbers(current));
            enough(before.len(), now.len())?;
            let found = match method {
                DistributionMethod::Ks => kolmogorov_smirnov(&before, &now),
                _ => normed_wasserstein(&before, &now),
            };
            found.ok_or_else(no_values)
        }
        DistributionMethod::Psi | DistributionMethod::JensenShannon | DistributionMethod::ChiSquare => {
            let (before, now) = bins(reference, current)?;
            let found = match method {
                DistributionMethod::Psi => population_stability(&before, &now, SHARE_MIN),
                DistributionMethod::JensenShannon => jensen_shannon(&before, &now),
                _ => homogeneity(&before, &now),
            };
            found.ok_or_else(no_values)
        }
    }
}

/// Whether what [`compare`] gave is within the limit.
pub fn within(method: DistributionMethod, found: f64, limit: f64) -> bool {
    match method {
        DistributionMethod::ChiSquare => found >= limit,
        _ => found <= limit,
    }
}

fn no_values() -> String {
    "there are no values to compare".to_owned()
}

fn enough(before: usize, now: usize) -> Result<(), String> {
    let needed = VALUES_MIN as usize;
    if before >= needed && now >= needed {
        return Ok(());
    }
    Err(format!("there are {before} numbers before and {now} now, {needed} of each are needed"))
}

fn rows(window: Window<'_>) -> u64 {
    window.iter().map(|(rows, _)| rows).sum()
}

fn null_share(window: Window<'_>) -> f64 {
    let nulls: u64 = window.iter().map(|(_, profile)| profile.nulls).sum();
    nulls as f64 / rows(window).max(1) as f64
}

/// The mean over the versions, weighted by their rows: a version is held against versions.
fn distinct(window: Window<'_>) -> f64 {
    let sum: f64 = window.iter().map(|(rows, profile)| profile.distinct as f64 * *rows as f64).sum();
    sum / rows(window).max(1) as f64
}

fn numbers(window: Window<'_>) -> Vec<f64> {
    window.iter().flat_map(|(_, profile)| profile.sample.iter().copied()).collect()
}

fn frequencies(window: Window<'_>) -> BTreeMap<&str, f64> {
    let mut all = BTreeMap::new();
    for (value, count) in window.iter().flat_map(|(_, profile)| &profile.frequencies) {
        *all.entry(value.as_str()).or_insert(0.0) += *count as f64;
    }
    all
}

/// The distance in standard deviations of what was before.
fn normed_wasserstein(before: &[f64], now: &[f64]) -> Option<f64> {
    let mean = before.iter().sum::<f64>() / before.len() as f64;
    let variance = before.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / before.len() as f64;
    let norm = variance.sqrt().max(1e-3);
    // A deviation that is too large for a number would make every distance none.
    let distance = wasserstein(before, now).filter(|_| norm.is_finite());
    distance.map(|distance| distance / norm).filter(|distance| distance.is_finite())
}

/// Counts of the same bins before and now.
fn bins(reference: Window<'_>, current: Window<'_>) -> Result<(Vec<f64>, Vec<f64>), String> {
    let (before, now) = (numbers(reference), numbers(current));
    if !before.is_empty() || !now.is_empty() {
        enough(before.len(), now.len())?;
        let edges = edges(&before);
        return Ok((counted(&before, &edges), counted(&now, &edges)));
    }
    let (before, now) = (frequencies(reference), frequencies(current));
    if before.is_empty() || now.is_empty() {
        return Err(no_values());
    }
    let mut values: Vec<&str> = before.keys().chain(now.keys()).copied().collect();
    values.sort_unstable();
    values.dedup();
    let counts = |of: &BTreeMap<&str, f64>| {
        values.iter().map(|value| of.get(value).copied().unwrap_or(0.0)).collect::<Vec<_>>()
    };
    Ok((counts(&before), counts(&now)))
}

/// The inner edges of bins that hold as many values each. A value that comes so often that it is several edges has a
/// bin of its own: what is less than it, it, and what is greater are then three bins, and a column that was nearly
/// always 5 and is now always 3 has moved to another one.
fn edges(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quantiles: Vec<f64> = (1..BINS)
        .filter_map(|bin| quantile(&sorted, bin as f64 / BINS as f64))
        // Between two infinite numbers there is no value.
        .filter(|edge| !edge.is_nan())
        .collect();
    let mut edges: Vec<f64> = quantiles
        .chunk_by(|one, other| one == other)
        .flat_map(|same| match same {
            [edge] => vec![*edge],
            repeated => vec![repeated[0].next_down(), repeated[0]],
        })
        .collect();
    edges.dedup();
    edges
}

fn counted(values: &[f64], edges: &[f64]) -> Vec<f64> {
    let mut counts = vec![0.0; edges.len() + 1];
    for value in values {
        counts[edges.partition_point(|edge| edge < value)] += 1.0;
    }
    counts
}

/// The chance that both are of one distribution. Where all values lie in one bin there is nothing to test: it is the bin
/// of a single value (see [`edges`]), which both windows hold and nothing else.
fn homogeneity(before: &[f64], now: &[f64]) -> Option<f64> {
    if let Some(test) = chi_square(before, now) {
        return Some(test.p);
    }
    let occupied = |counts: &[f64]| counts.iter().position(|count| *count > 0.0);
    let alone = |counts: &[f64]| counts.iter().filter(|count| **count > 0.0).count() == 1;
    (alone(before) && alone(now) && occupied(before) == occupied(now)).then_some(1.0)
}
