//! What the partitions of one log share, and the names of their files.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowline_base::SharedClock;
use flowline_model::LogSettings;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::buffers::Buffers;
use crate::{Disk, LogError, PartitionId};

/// Bytes that wait for their sync, over all partitions; further appends wait before they are queued.
const QUEUE_BYTES_MAX: usize = 64 << 20;
const PERMIT_BYTES: usize = 1 << 10;
const PERMITS: usize = QUEUE_BYTES_MAX / PERMIT_BYTES;

/// What the partitions of one log share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: LogSettings,
    pub(crate) clock: SharedClock,
    pub(crate) disk: Arc<dyn Disk>,
    /// Room in the queue, one permit for each [`PERMIT_BYTES`].
    pub(crate) room: Arc<Semaphore>,
    /// What reads go into.
    pub(crate) buffers: Arc<Buffers>,
    /// The lock file, until the log is closed. A partition that is still writing keeps it through its `Arc`.
    pub(crate) lock: Mutex<Option<Box<dyn Debug + Send + Sync>>>,
}

impl Shared {
    pub(crate) fn new(
        settings: LogSettings,
        clock: SharedClock,
        disk: Arc<dyn Disk>,
        lock: Box<dyn Debug + Send + Sync>,
    ) -> Self {
        let room = Arc::new(Semaphore::new(PERMITS));
        Self { settings, clock, disk, room, buffers: Arc::default(), lock: Mutex::new(Some(lock)) }
    }
}

/// The permits that so many bytes in the queue take; a frame larger than the queue takes all of them.
pub(crate) fn permits_of(bytes: u64) -> u32 {
    let permits = bytes.div_ceil(PERMIT_BYTES as u64);
    permits.min(PERMITS as u64) as u32
}

/// The folder of a partition in the folder of the log.
pub(crate) fn partition_dir(log_dir: &Path, id: &PartitionId) -> PathBuf {
    log_dir.join(id.source.to_string()).join(id.partition.to_string())
}

/// The file of the segment that begins at this offset.
pub(crate) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log"))
}

/// The sidecar of the segment that begins at this offset.
pub(crate) fn sidecar_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.idx"))
}

/// The file of a partition's mark.
pub(crate) fn mark_path(dir: &Path) -> PathBuf {
    dir.join("mark")
}

/// The offset after which a segment file is named; none for other files.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    if digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

/// Names what was tried and on what.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |error| LogError::Io { action, path, reason: error.to_string() }
}

/// Whether the disk, or the user's share of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
