//! Slow change: each window is like the one before it, and the newest are no longer like the first.
//!
//! Windows of two hours make a point, so that twelve points are a day with its seasons however many records come. The
//! newest twelve points are held against the first twelve. A column that moved steadily within the first twelve does so
//! by its nature (numbers that are counted up, times) and is looked at from later ones on.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The windows of so many hours are one point.
pub const TREND_POINT_HOURS: i64 = 2;
/// Points that are held against each other.
pub const TREND_POINTS: usize = 12;
/// Points that are kept to find where it began: ten days.
const KEPT: usize = 120;
/// Deviations between the first points before it counts.
const DEVIATIONS: f64 = 4.0;
/// The first points move steadily when so many of their pairs go one way, from -1 to 1.
const STEADY: f64 = 0.6;

/// The point that a time belongs to: its number since the epoch.
pub fn trend_point(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(TREND_POINT_HOURS * 3_600)
}

/// What is kept of one number of a column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Trend {
    first: Vec<Point>,
    newest: VecDeque<Point>,
    open: Option<(Point, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Point {
    number: i64,
    level: f64,
    /// What a change must be more than to be one, as this point has it.
    least: f64,
}

/// A number that has moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moved {
    pub before: f64,
    pub now: f64,
    pub bound: f64,
    /// The point with which it began.
    pub since: i64,
}

impl Trend {
    /// Takes in a window of a point; says whether the newest points lie elsewhere, once for each change.
    pub fn take(&mut self, number: i64, level: f64, least: f64) -> Option<Moved> {
        if !level.is_finite() || !least.is_finite() {
            return None;
        }
        match &mut self.open {
            Some((point, windows)) if point.number >= number => {
                *windows += 1;
                point.level += (level - point.level) / f64::from(*windows);
                point.least += (least - point.least) / f64::from(*windows);
                None
            }
            open => {
                let whole = open.replace((Point { number, level, least }, 1));
                self.close(whole?.0)
            }
        }
    }

    fn close(&mut self, point: Point) -> Option<Moved> {
        if self.first.len() < TREND_POINTS {
            self.first.push(point);
            if self.first.len() == TREND_POINTS && steadiness(&self.first).abs() >= STEADY {
                self.first.clear();
            }
            return None;
        }
        self.newest.push_back(point);
        if self.newest.len() > KEPT {
            self.newest.pop_front();
        }
        let from = self.newest.len().checked_sub(TREND_POINTS)?;
        let (before, deviation) = mean(self.first.iter().map(|point| point.level));
        let (now, _) = mean(self.newest.range(from..).map(|point| point.level));
        let (least, _) = mean(self.first.iter().map(|point| point.least));
        let bound = (DEVIATIONS * deviation).max(least);
        // Values that are mostly the same have no width by which a change could be measured.
        if least <= 0.0 || (now - before).abs() <= bound {
            return None;
        }
        let moved = |point: &&Point| (point.level - before) * (now - before).signum() > 2.0 * deviation;
        let since =
            self.newest.iter().rev().take_while(moved).last().map_or(point.number, |point| point.number);
        self.first = self.newest.drain(from..).collect();
        self.newest.clear();
        Some(Moved { before, now, bound, since })
    }
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// How many more of the pairs of points rise than fall, as a share: Kendall's tau against their order.
fn steadiness(points: &[Point]) -> f64 {
    let mut sum = 0.0;
    for (index, one) in points.iter().enumerate() {
        sum += points[index + 1..].iter().map(|other| sign(other.level - one.level)).sum::<f64>();
    }
    let pairs = points.len() * points.len().saturating_sub(1) / 2;
    sum / pairs.max(1) as f64
}

fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}
