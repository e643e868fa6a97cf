//! The clock, passed in so that a test can hold it still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// A clock that is handed down to whoever needs the time.
pub type SharedClock = Arc<dyn Clock>;

/// The current time, as wall clock (for stamps) and as a monotonic instant (for durations).
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall-clock time, UTC.
    fn now(&self) -> DateTime<Utc>;

    /// A monotonic instant; only differences of two of them mean anything.
    fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Microseconds since the Unix epoch: the resolution of every timestamp that Flowline stores.
    fn now_micros(&self) -> i64 {
        self.now().timestamp_micros()
    }

    /// Wall-clock time since `earlier`, zero when `earlier` lies in the future.
    fn since(&self, earlier: DateTime<Utc>) -> Duration {
        (self.now() - earlier).to_std().unwrap_or(Duration::ZERO)
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// The machine's clock, ready to be handed down.
pub fn system_clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// A clock that moves only when told to; its monotonic instant stays the machine's.
#[derive(Debug)]
pub struct ManualClock {
    micros: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: DateTime<Utc>) -> Self {
        Self { micros: AtomicI64::new(start.timestamp_micros()) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.micros.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.micros.load(Ordering::SeqCst)).unwrap_or_default()
    }
}
