//! What can go wrong with the log.

use std::path::PathBuf;
use std::time::Duration;

use flowline_base::{Classify, ErrorKind};
use flowline_kafka::KafkaError;

use crate::PartitionId;

/// What went wrong, where, and (through [`Classify`]) what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The partition holds as many unreleased bytes as it may.
    #[error(
        "the log of `{partition}` is full: {bytes} of {bytes_max} bytes wait to be landed; try again in {retry_after:?}"
    )]
    Full {
        /// Which.
        partition: PartitionId,
        /// Unreleased bytes.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
        /// When there may be room.
        retry_after: Duration,
    },
    /// The disk below is full.
    #[error("no space left for the log of `{partition}` in {path:?}; free some, nothing was acknowledged")]
    StorageFull {
        /// Which.
        partition: PartitionId,
        /// Where.
        path: PathBuf,
    },
    /// A write or sync failed before; nothing more is acknowledged until the log is opened again.
    #[error(
        "the log of `{partition}` has stopped after `{reason}`; restart the node once the cause is mended"
    )]
    Stopped {
        /// Which.
        partition: PartitionId,
        /// The first failure.
        reason: String,
    },
    /// Stored bytes are not what was written.
    #[error("the log of `{partition}` is damaged in {path:?} at byte {position}: {reason}")]
    Corrupt {
        /// Which.
        partition: PartitionId,
        /// The file.
        path: PathBuf,
        /// Byte of the frame in the file.
        position: u64,
        /// What does not hold.
        reason: String,
    },
    /// The offset was deleted by retention.
    #[error("offset {offset} of the log of `{partition}` is no longer kept: the oldest is {oldest}")]
    Gone {
        /// Which.
        partition: PartitionId,
        /// Asked for.
        offset: u64,
        /// Kept.
        oldest: u64,
    },
    /// More was released than the log ever held.
    #[error(
        "offset {offset} of the log of `{partition}` was landed before, but the log ends at {end}: it was restored from \
         an older copy; move its folder away and it begins anew at that offset"
    )]
    Behind {
        /// Which.
        partition: PartitionId,
        /// Released.
        offset: u64,
        /// The end of the log.
        end: u64,
    },
    /// Kafka has lost the end of the partition.
    #[error(
        "the log of `{partition}` has lost records: everything before offset {upto} of the topic `{topic}` was acknowledged or \
         landed, and what is there of it ends at {end}; nothing more is acknowledged, because records that take these \
         offsets again would be taken for those: put the data of the brokers back and restart the nodes, or delete the \
         topic, which is made again and landed from its beginning"
    )]
    Lost {
        /// Which.
        partition: PartitionId,
        /// Where it is kept.
        topic: String,
        /// What was there once.
        upto: u64,
        /// What is left.
        end: u64,
    },
    /// The batch cannot be stored: too large, or its spans lie outside its payload.
    #[error("this batch cannot be appended: {reason}")]
    Batch {
        /// What is wrong with it.
        reason: String,
    },
    /// An idempotency key came again with another body.
    #[error(
        "this idempotency key was used for another body, whose records lie in `{partition}` from offset {first} on; nothing \
         was appended to it: send the same body again, or use a new key"
    )]
    KeyReused {
        /// Where the first body lies.
        partition: PartitionId,
        /// Its first offset.
        first: u64,
    },
    /// Another process has the log open.
    #[error("another process has the log in {path:?} open; stop it first")]
    Locked {
        /// Where.
        path: PathBuf,
    },
    /// The operating system refused something else.
    #[error("{action} {path:?} failed: {reason}")]
    Io {
        /// What was tried (`opening`, `reading` …).
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Kafka refuses, or cannot be reached.
    #[error("the log of `{partition}`: {error}")]
    Kafka {
        /// Which.
        partition: PartitionId,
        /// What Kafka says.
        error: Box<KafkaError>,
    },
    /// Kafka refuses something that concerns no single partition.
    #[error(transparent)]
    Cluster(#[from] KafkaError),
    /// Kafka was away when the log was opened, and has not been reached since.
    #[error("waiting for Kafka, nothing is taken in and nothing is landed until it is there: {reason}")]
    Waiting {
        /// The last failure.
        reason: String,
    },
    /// A topic would lose records.
    #[error("the topic `{topic}` cannot hold a log: {reason}")]
    Topic {
        /// Which.
        topic: String,
        /// Why not.
        reason: String,
    },
    /// Records were sent, and no answer says what became of them.
    #[error(
        "whether the records for `{partition}` are kept is not known: {reason}; send them again with the same \
         idempotency key, and they are kept once"
    )]
    Unknown {
        /// Which.
        partition: PartitionId,
        /// The last failure.
        reason: String,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl Classify for LogError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Full { .. } => ErrorKind::Overloaded,
            Self::StorageFull { .. } => ErrorKind::StorageFull,
            Self::Corrupt { .. } | Self::Behind { .. } | Self::Lost { .. } => ErrorKind::Corrupt,
            Self::Gone { .. } => ErrorKind::NotFound,
            Self::Batch { .. } | Self::KeyReused { .. } => ErrorKind::Input,
            Self::Locked { .. } => ErrorKind::Fenced,
            Self::Kafka { error, .. } => error.kind(),
            Self::Cluster(error) => error.kind(),
            Self::Topic { .. } => ErrorKind::Input,
            Self::Unknown { .. } | Self::Waiting { .. } => ErrorKind::Transient,
            Self::Stopped { .. } | Self::Io { .. } | Self::Closed => ErrorKind::Internal,
        }
    }
}
