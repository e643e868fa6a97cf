//! The log on local disk.
//!
//! ```text
//! <dir>/lock                                  one process at a time
//! <dir>/<domain>.<name>/<partition>/
//!     00000000000000000000.log                a segment, named after its first offset: header, frames
//!     00000000000000000000.idx                its sidecar, once it is sealed: index and keys
//!     mark                                    how far it is durable, how far it is released
//! ```
//! Owns: these files. Does not own: when retention runs, who reads.

mod buffers;
pub(crate) mod frame;
pub(crate) mod header;
mod index;
mod key_claim;
pub(crate) mod keys;
mod mark;
mod partition;
mod reader;
mod recover;
pub(crate) mod release_rate;
mod scan;
mod sealed;
mod shared;
mod sidecar;
pub(crate) mod spans;
mod state;
mod telemetry;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use flowline_base::SharedClock;
use flowline_model::LogSettings;
use parking_lot::RwLock;

use self::partition::{Partition, blocking};
use self::recover::{Recovered, recover};
use self::shared::{Shared, io_error, partition_dir};
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

/// The log on local disk. Dropping it without [`EventLog::close`] is like a crash: what was acknowledged stays.
#[derive(Debug)]
pub struct SegmentLog {
    dir: PathBuf,
    shared: Arc<Shared>,
    partitions: RwLock<BTreeMap<PartitionId, Arc<Partition>>>,
    closed: AtomicBool,
}

impl SegmentLog {
    /// Opens or creates the log in a folder. Reads the open segment of each partition by its heads, and of sealed ones
    /// the sidecars: a fraction of a second for gigabytes. Blocking.
    ///
    /// # Errors
    /// [`LogError::Locked`] while another process has it open; [`LogError::Io`] when a file cannot be read or mended.
    /// A damaged partition is no error here: its appends are refused, its status says so, and reading names the place.
    pub fn open(options: SegmentLogOptions) -> Result<Arc<Self>, LogError> {
        let SegmentLogOptions { dir, settings, clock, disk } = options;
        disk.create_dir_all(&dir).map_err(io_error("creating", &dir))?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            disk.sync_dir(parent).map_err(io_error("syncing", parent))?;
        }
        let lock_path = dir.join("lock");
        let lock = disk.lock(&lock_path).map_err(io_error("locking", &lock_path))?;
        let lock = lock.ok_or_else(|| LogError::Locked { path: dir.clone() })?;
        let shared = Arc::new(Shared::new(settings, clock, disk, lock));
        let mut partitions = BTreeMap::new();
        for id in stored_partitions(&shared, &dir)? {
            let partition_dir = partition_dir(&dir, &id);
            let recovered = recover(&shared, &id, &partition_dir)?;
            let partition = Partition::new(Arc::clone(&shared), id.clone(), partition_dir, recovered);
            partitions.insert(id, Arc::new(partition));
        }
        Ok(Arc::new(Self {
            dir,
            shared,
            partitions: RwLock::new(partitions),
            closed: AtomicBool::new(false),
        }))
    }

    /// The partition, which begins to exist here but not yet on disk.
    fn partition(&self, id: &PartitionId) -> Result<Arc<Partition>, LogError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(LogError::Closed);
        }
        if let Some(partition) = self.partitions.read().get(id) {
            return Ok(Arc::clone(partition));
        }
        let mut partitions = self.partitions.write();
        let made = || {
            let dir = partition_dir(&self.dir, id);
            Arc::new(Partition::new(Arc::clone(&self.shared), id.clone(), dir, Recovered::default()))
        };
        Ok(Arc::clone(partitions.entry(id.clone()).or_insert_with(made)))
    }

    fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().cloned().collect()
    }
}

/// The partitions that have a folder.
fn stored_partitions(shared: &Shared, dir: &Path) -> Result<Vec<PartitionId>, LogError> {
    let folders = |dir: &Path| {
        let entries = shared.disk.list(dir).map_err(io_error("listing", dir))?;
        let names = entries.into_iter().filter(|entry| entry.folder).map(|entry| entry.name);
        Ok::<Vec<String>, LogError>(names.collect())
    };
    let mut ids = Vec::new();
    for source in folders(dir)? {
        let Ok(name) = source.parse::<flowline_model::DatasetName>() else {
            tracing::warn!(dir = %dir.display(), source, "this folder is not a source's and is left alone");
            continue;
        };
        for partition in folders(&dir.join(&source))? {
            let number = partition.parse().ok().filter(|number: &u32| number.to_string() == partition);
            ids.extend(number.map(|number| PartitionId::new(name.clone(), number)));
        }
    }
    Ok(ids)
}

#[async_trait]
impl EventLog for SegmentLog {
    async fn append(&self, partition: &PartitionId, batch: Batch) -> Result<Appended, LogError> {
        self.partition(partition)?.append(batch).await
    }

    async fn read(&self, partition: &PartitionId, from: u64, bytes_max: usize) -> Result<LogSlab, LogError> {
        self.partition(partition)?.read(from, bytes_max).await
    }

    async fn bounds(&self, partition: &PartitionId) -> Result<Bounds, LogError> {
        Ok(self.partition(partition)?.bounds())
    }

    async fn offset_at(&self, partition: &PartitionId, received_at: i64) -> Result<u64, LogError> {
        self.partition(partition)?.offset_at(received_at).await
    }

    async fn wait_beyond(&self, partition: &PartitionId, offset: u64) -> Result<(), LogError> {
        self.partition(partition)?.wait_beyond(offset).await
    }

    async fn release(&self, partition: &PartitionId, offset: u64) -> Result<(), LogError> {
        self.partition(partition)?.release(offset).await
    }

    async fn enforce_retention(&self) -> Result<Retained, LogError> {
        let partitions = self.all();
        blocking(move || {
            let mut retained = Retained::default();
            for partition in partitions {
                let of_partition = partition.enforce_retention()?;
                retained.segments += of_partition.segments;
                retained.bytes += of_partition.bytes;
            }
            Ok(retained)
        })
        .await
    }

    fn status(&self) -> Vec<PartitionStatus> {
        self.all().iter().filter_map(|partition| partition.status()).collect()
    }

    async fn close(&self) -> Result<(), LogError> {
        self.closed.store(true, Ordering::Release);
        let (partitions, shared) = (self.all(), Arc::clone(&self.shared));
        blocking(move || {
            partitions.iter().for_each(|partition| partition.close());
            *shared.lock.lock() = None;
            Ok(())
        })
        .await
    }
}
