//! Record batches (format 2, since Kafka 0.11), as bytes: what Kafka stores as a whole or not at all.

mod compression;
mod decode;
mod encode;
mod varint;
mod visible;

pub use compression::Compression;
pub use decode::{Record, RecordBatch, batches};
pub use encode::{BatchBuilder, EncodedBatch, Producer};
pub use visible::Visible;

/// Bytes of a batch before its records.
const HEADER_BYTES: usize = 61;
/// Byte from which on the checksum counts.
const CHECKED_FROM: usize = 21;
/// The version of the format.
const MAGIC: u8 = 2;

#[cfg(test)]
mod tests;
