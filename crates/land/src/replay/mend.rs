//! Records of the quarantine are mended before they are held against the contract again.

use bytes::Bytes;
use flowline_log::{Batch, RecordFormat};
use flowline_quality::{Mending, Record};
use serde_json::value::to_raw_value;

use crate::LandError;
use crate::parcel::{Parcel, Records};

/// Tells the expressions which fields the records of the parcel have.
pub(super) fn see(parcel: &Parcel, mending: &mut Mending) {
    for piece in &parcel.pieces {
        if let Records::Batch { batch, .. } = &piece.records {
            object(batch).iter().flat_map(Record::keys).for_each(|field| mending.see(field));
        }
    }
}

/// Mends the records of the parcel that are JSON objects or lines of CSV; the others stay as they are.
pub(super) fn mend(parcel: &mut Parcel, mending: &Mending) -> Result<(), LandError> {
    let mut places = Vec::new();
    let mut records = Vec::new();
    for (index, piece) in parcel.pieces.iter().enumerate() {
        if let Records::Batch { batch, .. } = &piece.records
            && let Some(record) = object(batch)
        {
            places.push(index);
            records.push(record);
        }
    }
    mending.apply(&mut records).map_err(|error| LandError::Selection { reason: error.to_string() })?;
    for (index, record) in places.into_iter().zip(records) {
        if let Records::Batch { batch, .. } = &mut parcel.pieces[index].records {
            *batch = written(batch, &record).map_err(|error| LandError::Internal {
                reason: format!("writing a mended record: {error}"),
            })?;
        }
    }
    Ok(())
}

fn object(batch: &Batch) -> Option<Record> {
    match batch.format {
        RecordFormat::Json => serde_json::from_slice(&batch.payload).ok(),
        RecordFormat::Csv => {
            let mut lines = csv::ReaderBuilder::new().flexible(true).from_reader(std::io::Read::chain(
                &*batch.schema,
                std::io::Read::chain(&b"\n"[..], &*batch.payload),
            ));
            let names = lines.headers().ok()?.clone();
            let values = lines.records().next()?.ok()?;
            let value = |text: &str| to_raw_value(&(!text.is_empty()).then_some(text));
            let fields = names.iter().zip(&values).map(|(name, text)| Ok((name.to_owned(), value(text)?)));
            fields.collect::<Result<_, serde_json::Error>>().ok()
        }
        _ => None,
    }
}

fn written(batch: &Batch, record: &Record) -> Result<Batch, serde_json::Error> {
    let payload = serde_json::to_vec(record)?;
    Ok(Batch {
        format: RecordFormat::Json,
        schema: Bytes::new(),
        spans: vec![(0, payload.len() as u32)],
        payload: payload.into(),
        ..batch.clone()
    })
}
