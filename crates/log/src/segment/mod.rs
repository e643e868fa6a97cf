//! The segment log.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use flowline_base::SharedClock;
use flowline_model::LogSettings;

use crate::{
    Appended, Batch, Bounds, Disk, EventLog, LogError, LogSlab, PartitionId, PartitionStatus, Retained,
};

/// What a segment log is opened with.
#[derive(Debug, Clone)]
pub struct SegmentLogOptions {
    /// Its folder; created when missing.
    pub dir: PathBuf,
    /// Sizes and times.
    pub settings: LogSettings,
    /// For ages.
    pub clock: SharedClock,
    /// The file system: [`crate::StdDisk`], or what [`crate::fault::disk_from_env`] gives.
    pub disk: Arc<dyn Disk>,
}

/// The log on local disk.
#[derive(Debug)]
pub struct SegmentLog {
    #[allow(dead_code, reason = "first slice")]
    options: SegmentLogOptions,
}

impl SegmentLog {
    /// Opens or creates the log in a folder. Blocking: call it from a blocking thread where that matters.
    pub fn open(options: SegmentLogOptions) -> Result<Arc<Self>, LogError> {
        Ok(Arc::new(Self { options }))
    }
}

#[async_trait]
impl EventLog for SegmentLog {
    async fn append(&self, _partition: &PartitionId, _batch: Batch) -> Result<Appended, LogError> {
        Err(LogError::Closed)
    }
    async fn read(&self, _partition: &PartitionId, _from: u64, _bytes_max: usize) -> Result<LogSlab, LogError> {
        Err(LogError::Closed)
    }
    async fn bounds(&self, _partition: &PartitionId) -> Result<Bounds, LogError> {
        Err(LogError::Closed)
    }
    async fn offset_at(&self, _partition: &PartitionId, _received_at: i64) -> Result<u64, LogError> {
        Err(LogError::Closed)
    }
    async fn wait_beyond(&self, _partition: &PartitionId, _offset: u64) -> Result<(), LogError> {
        Err(LogError::Closed)
    }
    async fn release(&self, _partition: &PartitionId, _offset: u64) -> Result<(), LogError> {
        Err(LogError::Closed)
    }
    async fn enforce_retention(&self) -> Result<Retained, LogError> {
        Err(LogError::Closed)
    }
    fn status(&self) -> Vec<PartitionStatus> {
        Vec::new()
    }
    async fn close(&self) -> Result<(), LogError> {
        Ok(())
    }
}
