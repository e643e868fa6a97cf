//! The first half of landing, which needs no memory of other records: decoding and the contract's rules.

use std::sync::Arc;

use flowline_quality::RowVerdicts;
use tokio::sync::oneshot;

use crate::Contract;
use crate::decode::Decoded;
use crate::drift::{DriftWatch, Watched};
use crate::parcel::{Parcel, Records};

/// A parcel and what its records are.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) parcel: Parcel,
    /// Each with what the rules say of its rows.
    pub(crate) decoded: Vec<(Decoded, RowVerdicts)>,
    /// What the records before were like.
    watch: Arc<DriftWatch>,
}

/// The same, and how its records depart from those before.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) parcel: Parcel,
    pub(crate) decoded: Vec<(Decoded, RowVerdicts)>,
    pub(crate) watched: Watched,
    watch: Arc<DriftWatch>,
}

/// Decodes the records and holds the rows against the rules. Busy for the whole time: belongs on a blocking thread.
pub(crate) fn examine(contract: &Contract, parcel: Parcel) -> Examined {
    let capacity = usize::try_from(parcel.count()).unwrap_or(0);
    let mut decoding = contract.decoder.start(capacity).with_schemas(parcel.schemas.clone());
    for (number, piece) in (0..).zip(&parcel.pieces) {
        match &piece.records {
            Records::Batch { batch, skip } => {
                decoding.push(number, batch, *skip as usize..batch.records as usize);
            }
            Records::Rows(rows) => decoding.push_arrow(number, rows, 0),
        }
    }
    let decoded = decoding.finish().into_iter().map(|decoded| {
        let verdicts = contract.rules.evaluate(&decoded.rows);
        (decoded, verdicts)
    });
    // Without a memory, records are held against the contract alone.
    let watch = contract.watch.clone();
    let watch = watch.unwrap_or_else(|| Arc::new(DriftWatch::of_contract(Arc::clone(contract.dataset()))));
    Examined { decoded: decoded.collect(), watch, parcel }
}

/// When records may be compared: after those before them, unless these hold landing up.
#[derive(Debug)]
pub(crate) struct Turn(oneshot::Receiver<bool>);

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Done(oneshot::Sender<bool>);

impl Turn {
    /// A turn that comes when the other side passes it on, or is gone.
    pub(crate) fn new() -> (Done, Self) {
        let (done, turn) = oneshot::channel();
        (Done(done), Self(turn))
    }

    /// Waits for it; false when landing is held up. Belongs on a blocking thread.
    pub(crate) fn wait(self) -> bool {
        self.0.blocking_recv().unwrap_or(true)
    }
}

impl Done {
    /// The records behind may be compared, or, when not `goes_on`, are not wanted.
    pub(crate) fn pass_on(self, goes_on: bool) {
        // Nobody waits where the records behind are not read yet.
        let _ = self.0.send(goes_on);
    }
}

impl Examined {
    /// Records that are not wanted because drift before them holds landing up.
    pub(crate) fn held(self) -> Compared {
        let Self { parcel, decoded, watch } = self;
        Compared { parcel, decoded, watched: Watched { held: true, ..Watched::default() }, watch }
    }

    /// Records that are looked at by themselves: what they are beside others was found before.
    pub(crate) fn alone(self) -> Compared {
        let Self { parcel, decoded, watch } = self;
        Compared { parcel, decoded, watched: Watched::default(), watch }
    }

    /// Holds the records against those before them. Parcels are decoded side by side, and this is done in the order in
    /// which they were read. Busy, though not for long: belongs on a blocking thread.
    pub(crate) fn compare(self) -> Compared {
        let Self { parcel, decoded, watch } = self;
        let watched = watch.look(&parcel, &decoded);
        Compared { parcel, decoded, watched, watch }
    }
}

impl Compared {
    /// Whether every record makes a row, and nothing was found about any.
    pub(crate) fn is_plain(&self) -> bool {
        let plain = |(decoded, verdicts): &(Decoded, RowVerdicts)| {
            decoded.rejected.is_empty() && verdicts.all_passed()
        };
        let Watched { found, aside, .. } = &self.watched;
        found.is_empty() && aside.iter().all(Vec::is_empty) && self.decoded.iter().all(plain)
    }

    /// Whether landing was not held up by what was found before; asked once for each time that it is.
    pub(crate) fn is_news(&self) -> bool {
        self.watch.is_news(&self.watched.found)
    }
}
