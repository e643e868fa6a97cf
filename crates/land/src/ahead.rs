//! What lies ahead in a partition, read and decoded while what came before is written.

use std::sync::Arc;

use flowline_base::{Computing, compute};

use crate::LandError;
use crate::examine::{Compared, Turn, examine};
use crate::lane::Means;
use crate::parcel::{Parcel, Piece};

/// Payload bytes that are read and decoded at once. Larger reads cost memory (about four times as much while it is
/// under way), smaller ones more overhead for each.
const READ_BYTES: usize = 4 << 20;

/// Where to read.
pub(crate) struct Ahead {
    pub(crate) partition: u32,
    pub(crate) input: Arc<str>,
    pub(crate) from: u64,
    /// Drift begins there: only what lies before it is wanted.
    pub(crate) stop: Option<u64>,
    /// Comes when the records before have been compared.
    pub(crate) turn: Option<Turn>,
}

/// What was found.
pub(crate) enum Found {
    /// Nothing lies before the drift any more.
    Stop,
    /// Offsets up to `next` without records to land.
    Nothing {
        /// Where to read on.
        next: u64,
        /// Records without a value.
        tombstones: u64,
    },
    /// Records.
    Records {
        /// Where to read on.
        next: u64,
        /// Bytes of their payload.
        bytes: u64,
        /// When the newest of them was received, microseconds since the epoch.
        received: Option<i64>,
        /// They are being decoded.
        decoding: Computing<Compared>,
    },
}

impl Ahead {
    /// Reads, and starts to decode; also says when those behind may be compared.
    pub(crate) async fn read(self, means: &Means<'_>) -> Result<(Found, Option<Turn>), LandError> {
        let slab = means.feed.read(self.partition, self.from, READ_BYTES).await?;
        let mut pieces: Vec<Piece> =
            slab.frames.into_iter().filter_map(|frame| Piece::of_frame(frame, self.from)).collect();
        let mut next = slab.next;
        if let Some(stop) = self.stop {
            pieces.retain(|piece| piece.begins() < stop);
            next = next.min(stop);
            // Of records without a value it is not known where they stood, so that none may be read twice.
            if pieces.is_empty() || slab.tombstones > 0 {
                return Ok((Found::Stop, self.turn));
            }
        }
        if pieces.is_empty() {
            return Ok((Found::Nothing { next, tombstones: slab.tombstones }, self.turn));
        }
        let parcel = Parcel {
            schemas: means.schemas.of_pieces(&pieces).await?,
            source: Arc::from(means.feed.word()),
            input: self.input,
            // Partitions are few: a source declares how many it has.
            partition: self.partition as i32,
            tombstones: slab.tombstones,
            pieces,
        };
        let (bytes, contract, before) = (parcel.bytes(), means.contract.clone(), self.turn);
        let received = parcel.pieces.iter().map(|piece| piece.received_at).max();
        let (done, turn) = Turn::new();
        let decoding = compute(move || {
            let examined = examine(&contract, parcel);
            // Records are compared in the order in which they were read.
            let compared = if before.is_none_or(Turn::wait) { examined.compare() } else { examined.held() };
            done.pass_on(!compared.watched.held);
            compared
        });
        Ok((Found::Records { next, bytes, received, decoding }, Some(turn)))
    }
}
