//! What is kept in memory about the frames of one segment: how many, how old, and where every so many bytes begin.

use super::frame::Head;
use super::header::HEADER_BYTES;

/// One entry of the index covers at least this many bytes, so that the index of a stored gigabyte takes 100 kB.
const ENTRY_BYTES: u64 = 256 << 10;

/// The frames of one segment, summed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Offset of the first record.
    pub(crate) first: u64,
    /// The offset behind the last record.
    pub(crate) next: u64,
    /// Bytes of the file up to the end of the last frame.
    pub(crate) bytes: u64,
    /// Frames.
    pub(crate) frames: u64,
    /// When the first frame was received.
    pub(crate) received_first: i64,
    /// The latest time that any of its frames was received; the smallest number when there are none.
    pub(crate) received_max: i64,
    /// Sparse, by position.
    pub(crate) entries: Vec<Entry>,
}

/// Some frames of a segment that lie one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Offset of their first record.
    pub(crate) first_offset: u64,
    /// Byte of the first of them in the file.
    pub(crate) position: u64,
    /// The latest time that any of them was received.
    pub(crate) received_max: i64,
}

impl Contents {
    /// A segment without frames.
    pub(crate) fn empty(first: u64) -> Self {
        Self {
            first,
            next: first,
            bytes: HEADER_BYTES as u64,
            frames: 0,
            received_first: i64::MAX,
            received_max: i64::MIN,
            entries: Vec::new(),
        }
    }

    /// Adds the frame that begins at `position`.
    pub(crate) fn add(&mut self, position: u64, head: &Head) {
        self.add_frame(position, head.frame_bytes(), head.first_offset, head.records, head.received_at);
    }

    /// Adds the frame that begins at `position`.
    pub(crate) fn add_frame(
        &mut self,
        position: u64,
        bytes: u64,
        first_offset: u64,
        records: u32,
        received_at: i64,
    ) {
        if self.frames == 0 {
            self.received_first = received_at;
        }
        self.frames += 1;
        self.next = first_offset + u64::from(records);
        self.bytes = position + bytes;
        self.received_max = self.received_max.max(received_at);
        match self.entries.last_mut() {
            Some(last) if position - last.position < ENTRY_BYTES => {
                last.received_max = last.received_max.max(received_at);
            }
            _ => self.entries.push(Entry { first_offset, position, received_max: received_at }),
        }
    }

    /// The last entry at or before this offset.
    pub(crate) fn entry_before(&self, offset: u64) -> Option<Entry> {
        let behind = self.entries.partition_point(|entry| entry.first_offset <= offset);
        self.entries.get(behind.checked_sub(1)?).copied()
    }

    /// The first entry with a frame received at or after this time.
    pub(crate) fn entry_at(&self, received_at: i64) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.received_max >= received_at).copied()
    }
}
