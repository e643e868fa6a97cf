//! A metric held against its own history.
//!
//! Owns: what is expected of the next period, from the periods that are like it, and how that is said. Does not own:
//! where the history is read from.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Timelike, Utc};
use flowline_model::{Anomaly, AnomalyMetric, Season};

use crate::statistics::{median, median_absolute_deviation};

/// The metric of one period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When the period began.
    pub at: DateTime<Utc>,
    /// Its metric.
    pub value: f64,
}

/// What is expected of a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// The least.
    pub lower: f64,
    /// The most.
    pub upper: f64,
    /// The median of the periods that are like it.
    pub median: f64,
    /// How many those are.
    pub periods: usize,
}

/// Makes a deviation of a normal distribution of the median absolute one.
const NORMAL: f64 = 1.4826;

/// What is expected of the period that begins at `at`: the median of the earlier periods of the same season, give or
/// take `sensitivity` deviations, and never less than `floor`.
///
/// What is not normal is not learned: see `learned`.
///
/// # Errors
/// Why nothing can be said: too short a history.
pub fn expected(history: &[Point], at: DateTime<Utc>, anomaly: &Anomaly) -> Result<Expected, String> {
    expected_of(&learned(history, anomaly), at, anomaly)
}

/// The periods that say what is normal: all but those of a stop. A stop is a stretch of periods without a row, in which
/// as many are like each other as would be believed (`history_min`), and in which rows were expected by the periods
/// before it. However long it lasts, it does not become what is expected; single periods without rows do.
fn learned(history: &[Point], anomaly: &Anomaly) -> Vec<Point> {
    if anomaly.metric != AnomalyMetric::Rows {
        return history.to_vec();
    }
    let mut learned: Vec<Point> = Vec::with_capacity(history.len());
    for stretch in history.chunk_by(|one, next| (one.value == 0.0) == (next.value == 0.0)) {
        let mut silent = BTreeMap::<u32, Vec<Point>>::new();
        for point in stretch.iter().filter(|point| point.value == 0.0) {
            silent.entry(season(anomaly.season, point.at)).or_default().push(*point);
        }
        let stops = |points: &[Point]| {
            points.len() >= anomaly.history_min as usize
                && expected_of(&learned, points[0].at, anomaly).is_ok_and(|expected| !expected.holds(0.0))
        };
        silent.retain(|_, points| stops(points));
        let normal = |point: &&Point| !silent.contains_key(&season(anomaly.season, point.at));
        let normal: Vec<Point> = stretch.iter().filter(normal).copied().collect();
        learned.extend(normal);
    }
    learned
}

fn expected_of(history: &[Point], at: DateTime<Utc>, anomaly: &Anomaly) -> Result<Expected, String> {
    let like = |point: &&Point| {
        point.at < at
            && point.value.is_finite()
            && season(anomaly.season, point.at) == season(anomaly.season, at)
    };
    let values: Vec<f64> = history.iter().filter(like).map(|point| point.value).collect();
    let (known, needed) = (values.len(), anomaly.history_min as usize);
    let (Some(middle), Some(deviation)) = (median(&values), median_absolute_deviation(&values)) else {
        return Err(format!("no earlier period{} is known, {needed} are needed", of_season(anomaly.season)));
    };
    if known < needed {
        let periods = if known == 1 { "period" } else { "periods" };
        return Err(format!(
            "only {known} earlier {periods}{} known, {needed} are needed",
            of_season(anomaly.season)
        ));
    }
    let spread = (NORMAL * deviation * anomaly.sensitivity).max(anomaly.floor);
    if !(middle - spread).is_finite() || !(middle + spread).is_finite() {
        return Err(format!(
            "the {known} earlier periods are further apart than numbers reach, so that anything would be expected"
        ));
    }
    Ok(Expected { lower: middle - spread, upper: middle + spread, median: middle, periods: known })
}

impl Expected {
    /// Whether a value lies within the bounds.
    pub fn holds(&self, value: f64) -> bool {
        value >= self.lower && value <= self.upper
    }

    /// In a sentence, for people.
    pub fn explain(&self, what: &str, value: f64) -> String {
        let Self { lower, upper, median, periods } = self;
        format!(
            "{what} is {}; {periods} periods like it have a median of {}, so that {} to {} is expected",
            shown(value),
            shown(*median),
            shown(*lower),
            shown(*upper)
        )
    }
}

fn season(season: Season, at: DateTime<Utc>) -> u32 {
    match season {
        Season::None => 0,
        Season::HourOfDay => at.hour(),
        Season::DayOfWeek => at.weekday().num_days_from_monday(),
    }
}

fn of_season(season: Season) -> &'static str {
    match season {
        Season::None => "",
        Season::HourOfDay => " of this hour of the day",
        Season::DayOfWeek => " of this day of the week",
    }
}

/// A number with as many digits as matter.
pub(crate) fn shown(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    if value.abs() >= 1e21 {
        return format!("{value:.4e}");
    }
    let digits = if value.abs() >= 100.0 { 1 } else { 4 };
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
