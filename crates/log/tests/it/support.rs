//! Opening logs for tests.

use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use flowline_base::ManualClock;
use flowline_log::{Disk, LogError, SegmentLog, SegmentLogOptions, StdDisk};
use flowline_model::LogSettings;

/// A clock that stands at the start of 2026.
pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(DateTime::from_timestamp(1_767_225_600, 0).unwrap()))
}

/// Settings with small segments.
pub fn settings(segment_bytes: u64) -> LogSettings {
    LogSettings { segment_bytes, ..LogSettings::default() }
}

/// Opens a log on the machine's disk.
pub fn open(dir: &Path, settings: LogSettings) -> Result<Arc<SegmentLog>, LogError> {
    open_on(Arc::new(StdDisk), dir, settings)
}

/// Opens a log on any disk.
pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, settings: LogSettings) -> Result<Arc<SegmentLog>, LogError> {
    SegmentLog::open(SegmentLogOptions { dir: dir.to_owned(), settings, clock: clock(), disk })
}

/// Opens a log that was just dropped: its last write lets go of the lock a moment later.
pub async fn reopen_on(disk: Arc<dyn Disk>, dir: &Path, settings: LogSettings) -> Arc<SegmentLog> {
    loop {
        match open_on(Arc::clone(&disk), dir, settings.clone()) {
            Err(LogError::Locked { .. }) => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

/// Opens a log that was just dropped, on the machine's disk.
pub async fn reopen(dir: &Path, settings: LogSettings) -> Arc<SegmentLog> {
    reopen_on(Arc::new(StdDisk), dir, settings).await
}
