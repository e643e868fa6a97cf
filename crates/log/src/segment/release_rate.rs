//! How fast readers release, to tell a refused producer when there may be room.

use std::time::{Duration, Instant};

/// What is said when nothing was released yet.
const UNKNOWN: Duration = Duration::from_secs(5);
const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(60);
/// The weight of the newest observation.
const NEWEST: f64 = 0.3;

/// A moving average of released bytes per second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReleaseRate {
    bytes_per_second: Option<f64>,
    last: Option<Instant>,
}

impl ReleaseRate {
    /// Takes in that so many bytes were released now.
    pub(crate) fn add(&mut self, bytes: u64, now: Instant) {
        if let Some(last) = self.last {
            let seconds = now.saturating_duration_since(last).as_secs_f64().max(0.001);
            let newest = bytes as f64 / seconds;
            let before = self.bytes_per_second.unwrap_or(newest);
            self.bytes_per_second = Some(before + NEWEST * (newest - before));
        }
        self.last = Some(now);
    }

    /// How long releasing so many bytes may take.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        match self.bytes_per_second {
            Some(rate) if rate >= 1.0 => {
                let seconds = (bytes as f64 / rate).min(MOST.as_secs_f64());
                Duration::from_secs_f64(seconds).max(LEAST)
            }
            Some(_) => MOST,
            None => UNKNOWN,
        }
    }
}
