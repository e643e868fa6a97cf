//! The trait of every durable log.

use async_trait::async_trait;

use crate::{Appended, Batch, Bounds, LogError, LogSlab, PartitionId, PartitionStatus, Retained};

/// A durable, partitioned, append-only log. Whatever implements it passes [`crate::contract`].
///
/// A partition exists from its first append on; reading one that does not exist finds an empty log.
#[async_trait]
pub trait EventLog: Send + Sync + std::fmt::Debug {
    /// Appends the batch and returns when it is on stable storage. With an idempotency key that this partition
    /// remembers, appends nothing and returns the first answer. Concurrent appends share one sync.
    ///
    /// # Errors
    /// [`LogError::Full`] over the partition's limit; [`LogError::StorageFull`]; [`LogError::Stopped`] after a
    /// failed write or sync: the partition acknowledges nothing more until the log is opened again.
    async fn append(&self, partition: &PartitionId, batch: Batch) -> Result<Appended, LogError>;

    /// Reads whole frames from the one that holds `from` on, as many as `bytes_max` holds, maybe fewer, but at least
    /// one when there is one. Only frames that are on stable storage are returned. The frames share one buffer, so
    /// that whoever keeps a payload keeps up to `bytes_max` bytes.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] names the file and the place; [`LogError::Gone`] when `from` is before the oldest kept.
    async fn read(&self, partition: &PartitionId, from: u64, bytes_max: usize) -> Result<LogSlab, LogError>;

    /// What tells the partition from another one of the same name whose offsets mean other records: the id of the topic
    /// where the log is kept in Kafka. None where there is no such thing.
    async fn identity(&self, _partition: &PartitionId) -> Result<Option<String>, LogError> {
        Ok(None)
    }

    /// The offsets that the partition holds.
    async fn bounds(&self, partition: &PartitionId) -> Result<Bounds, LogError>;

    /// The offset of the first record received at or after this time (microseconds since the epoch), by frame; the
    /// end of the log when there is none.
    async fn offset_at(&self, partition: &PartitionId, received_at: i64) -> Result<u64, LogError>;

    /// Waits until the partition's end lies beyond `offset`.
    async fn wait_beyond(&self, partition: &PartitionId, offset: u64) -> Result<(), LogError>;

    /// Says that everything before `offset` is committed downstream: retention may take it, and it no longer counts
    /// against the limit at which appends are refused. Going back has no effect. After a crash, less may be released
    /// than before it, never more.
    ///
    /// A reader calls it with its own position when it starts: a log whose disk was replaced and is empty then begins
    /// at that offset, so that no offset is given twice.
    ///
    /// # Errors
    /// [`LogError::Behind`] when the log is not empty and ends before `offset`; [`LogError::Lost`] where it is certain that it
    /// once ended behind it.
    async fn release(&self, partition: &PartitionId, offset: u64) -> Result<(), LogError>;

    /// Deletes what the retention settings allow and is released; whole segments only.
    async fn enforce_retention(&self) -> Result<Retained, LogError>;

    /// Every partition as it stands.
    fn status(&self) -> Vec<PartitionStatus>;

    /// Syncs and closes; appends afterwards are refused.
    async fn close(&self) -> Result<(), LogError>;
}
