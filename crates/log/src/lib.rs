//! The durable event log.
//!
//! Owns: the trait [`EventLog`], its two implementations (segments on disk, topics of Kafka), their formats, retention,
//! and the memory of idempotency keys. The only crate that knows log formats.
//! Does not own: what a record means (`flowline-source` splits requests into records, `flowline-land` decodes them).

mod batch;
pub mod contract;
mod disk;
mod error;
mod event_log;
pub mod fault;
#[doc(hidden)]
pub mod fuzzing;
mod kafka;
mod segment;

pub use batch::{
    Appended, Batch, Bounds, Frame, LogSlab, PartitionId, PartitionStatus, RecordFormat, Retained,
};
pub use disk::{DirEntry, Disk, DiskFile, OpenMode, StdDisk};
pub use error::LogError;
pub use event_log::EventLog;
pub use kafka::{KafkaLog, KafkaLogOptions};
pub use segment::{SegmentLog, SegmentLogOptions};
