//! Records on their way from a source to a table, with where they came from.

use std::sync::Arc;

use arrow::array::RecordBatch;
use flowline_base::TraceId;
use flowline_log::{Batch, Frame};

use crate::schemas::FoundSchemas;

/// Records that were read together from one partition or file.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    /// What `_source` says: `http`, or the path of the file.
    pub(crate) source: Arc<str>,
    /// What positions begin with: `log/0`, or the path of the file.
    pub(crate) input: Arc<str>,
    /// What `_partition` says.
    pub(crate) partition: i32,
    /// Records without a value that were read with them, and make no row.
    pub(crate) tombstones: u64,
    /// The records.
    pub(crate) pieces: Vec<Piece>,
    /// The schemas of records that say only their numbers.
    pub(crate) schemas: FoundSchemas,
}

/// Records that arrived together.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Offset of the record with number zero.
    pub(crate) first_offset: u64,
    /// Microseconds since the epoch.
    pub(crate) received_at: i64,
    /// The request that brought them.
    pub(crate) trace: Option<TraceId>,
    /// The records.
    pub(crate) records: Records,
}

/// Records as received.
#[derive(Debug, Clone)]
pub(crate) enum Records {
    /// A batch of the log, or a part of a file in the same form; the first `skip` records have landed already.
    Batch {
        /// The records.
        batch: Batch,
        /// How many to leave out.
        skip: u32,
    },
    /// Rows that are Arrow already.
    Rows(RecordBatch),
}

impl Piece {
    /// The records of a frame from this offset on; none when it ends before.
    pub(crate) fn of_frame(frame: Frame, from: u64) -> Option<Self> {
        if frame.next_offset() <= from {
            return None;
        }
        // Below the number of records, which has 32 bits.
        let skip = from.saturating_sub(frame.first_offset) as u32;
        Some(Self {
            first_offset: frame.first_offset,
            received_at: frame.batch.received_at,
            trace: frame.batch.trace_id,
            records: Records::Batch { batch: frame.batch, skip },
        })
    }

    /// The offset of the first record that is not left out.
    pub(crate) fn begins(&self) -> u64 {
        match &self.records {
            Records::Batch { skip, .. } => self.first_offset + u64::from(*skip),
            Records::Rows(_) => self.first_offset,
        }
    }

    /// How many records there are.
    pub(crate) fn count(&self) -> u64 {
        match &self.records {
            Records::Batch { batch, skip } => u64::from(batch.records.saturating_sub(*skip)),
            Records::Rows(rows) => rows.num_rows() as u64,
        }
    }

    /// Their bytes, as received.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.records {
            Records::Batch { batch, .. } => batch.payload.len() as u64,
            Records::Rows(rows) => rows.get_array_memory_size() as u64,
        }
    }
}

impl Parcel {
    /// How many records there are, counted from what was read and from nothing that is made of it.
    pub(crate) fn count(&self) -> u64 {
        self.pieces.iter().map(Piece::count).sum()
    }

    /// Their bytes, as received.
    pub(crate) fn bytes(&self) -> u64 {
        self.pieces.iter().map(Piece::bytes).sum()
    }

    /// The oldest receipt.
    pub(crate) fn received_at_min(&self) -> Option<i64> {
        self.pieces.iter().map(|piece| piece.received_at).min()
    }

    /// How a record is called in findings: `log/0@17`.
    pub(crate) fn position(&self, offset: u64) -> String {
        format!("{}@{offset}", self.input)
    }
}
