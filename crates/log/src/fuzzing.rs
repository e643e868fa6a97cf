//! For the fuzz target of the log: gets arbitrary bytes past the checksums, behind which no random input ever comes.

use crate::PartitionId;
use crate::segment::{frame, header::Header};

/// A segment file of this partition, whose frames are the given bytes, one behind the other as their lengths say, with
/// whatever a reader would refuse at first sight put right: magic, version and checksums. What the frames say of their
/// offsets, lengths, spans and texts stays as it is.
pub fn segment_of(bytes: &[u8], partition: &PartitionId) -> Vec<u8> {
    let header = Header { first_offset: 0, salt: 7, created_at: 0 };
    let mut file = header.encode(partition).to_vec();
    let mut rest = bytes;
    while !rest.is_empty() {
        let place = frame::Place { salt: header.salt, position: file.len() as u64 };
        let taken = frame::repair(rest, place, &mut file);
        rest = &rest[taken..];
    }
    file
}
