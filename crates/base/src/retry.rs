//! Retry with exponential backoff and full jitter.

use std::future::Future;
use std::time::Duration;

use crate::{Classify, Random};

/// How often and how patiently a failing call is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Attempts in all, the first included; at least one.
    pub attempts_max: u32,
    /// The longest wait before the second attempt; it doubles for each further one.
    pub delay_first: Duration,
    /// No wait is longer than this.
    pub delay_max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { attempts_max: 5, delay_first: Duration::from_millis(100), delay_max: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait before attempt `attempt + 1`, drawn between half of the exponential step and the step.
    pub fn delay(&self, attempt: u32, random: &mut Random) -> Duration {
        let doubled = self.delay_first.saturating_mul(1u32.checked_shl(attempt.min(20)).unwrap_or(u32::MAX));
        let step = doubled.min(self.delay_max);
        step.mul_f64(0.5 + random.unit() / 2.0)
    }
}

/// Calls `operation` until it succeeds, fails for good, or the attempts are used up; the last error is returned.
/// Only errors whose kind is retryable are tried again. `operation` is told the number of the attempt, from 1.
pub async fn retry<T, E, F, Fut>(backoff: Backoff, mut operation: F) -> Result<T, E>
where
    E: Classify,
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut random = Random::unseeded();
    let mut attempt = 1;
    loop {
        match operation(attempt).await {
            Ok(value) => return Ok(value),
            Err(error) if attempt < backoff.attempts_max && error.kind().retryable() => {
                tokio::time::sleep(backoff.delay(attempt - 1, &mut random)).await;
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
