//! The first half of landing, which needs no memory of other records: decoding and the contract's rules.

use flowline_quality::RowVerdicts;

use crate::Contract;
use crate::decode::Decoded;
use crate::parcel::{Parcel, Records};

/// A parcel and what its records are.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) parcel: Parcel,
    /// Each with what the rules say of its rows.
    pub(crate) decoded: Vec<(Decoded, RowVerdicts)>,
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
    Examined { decoded: decoded.collect(), parcel }
}
