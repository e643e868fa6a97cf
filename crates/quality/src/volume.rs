//! Metrics of a table from its log alone: how many rows came when, in files of which size.
//!
//! Owns: periods, and which of them are over. Does not own: how the log is read.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use flowline_model::AnomalyMetric;

use crate::anomaly::Point;

/// A file that a commit added.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedFile {
    /// When.
    pub at: DateTime<Utc>,
    /// The part of the table that has a history of its own; empty for all of it.
    pub dimension: String,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// Periods beyond this are not looked back to: as many before the last rows as after them.
const PERIODS_MAX: i64 = 10_000;

/// The metric of each period that is over, by dimension, oldest first. A period in which nothing came has no rows: it
/// is a point as well. Every dimension that was ever seen has the same last period.
pub fn periods(
    metric: AnomalyMetric,
    files: &[AddedFile],
    every: Duration,
    now: DateTime<Utc>,
) -> BTreeMap<String, Vec<Point>> {
    if metric == AnomalyMetric::CommitInterval {
        return BTreeMap::from([(String::new(), intervals(files, now))]);
    }
    let length = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
    let number = |at: DateTime<Utc>| at.timestamp_micros().div_euclid(length);
    let current = number(now);
    let mut sums = BTreeMap::<&str, BTreeMap<i64, (u64, u64, u64)>>::new();
    for file in files.iter().filter(|file| number(file.at) < current) {
        let sum = sums.entry(&file.dimension).or_default().entry(number(file.at)).or_default();
        *sum = (sum.0 + file.rows, sum.1 + file.bytes, sum.2 + 1);
    }
    let points = |sums: BTreeMap<i64, (u64, u64, u64)>| -> Vec<Point> {
        let ends = sums.first_key_value().zip(sums.last_key_value());
        let Some(((first, _), (last, _))) = ends else { return Vec::new() };
        let (first, silent) = ((*first).max(last - PERIODS_MAX), (last + 1).max(current - PERIODS_MAX));
        let value = |period: i64| match (metric, sums.get(&period)) {
            (AnomalyMetric::Rows, sum) => Some(sum.map_or(0, |sum| sum.0) as f64),
            // A period without files has no size of files.
            (_, Some((_, bytes, files))) => Some(*bytes as f64 / *files as f64),
            (_, None) => None,
        };
        let point = |period: i64| {
            let at = DateTime::from_timestamp_micros(period.checked_mul(length)?)?;
            Some(Point { at, value: value(period)? })
        };
        (first..=*last).chain(silent..current).filter_map(point).collect()
    };
    sums.into_iter().map(|(dimension, sums)| (dimension.to_owned(), points(sums))).collect()
}

/// Seconds between commits that added rows, and from the last one to now.
fn intervals(files: &[AddedFile], now: DateTime<Utc>) -> Vec<Point> {
    let mut times: Vec<DateTime<Utc>> =
        files.iter().filter(|file| file.rows > 0).map(|file| file.at).collect();
    times.sort_unstable();
    times.dedup();
    let seconds = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).num_milliseconds() as f64 / 1_000.0;
    let mut points: Vec<Point> =
        times.windows(2).map(|pair| Point { at: pair[0], value: seconds(pair[0], pair[1]) }).collect();
    if let Some(last) = times.last() {
        points.push(Point { at: *last, value: seconds(*last, now) });
    }
    points
}
