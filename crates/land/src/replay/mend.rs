//! Records of the quarantine are mended before they are held against the contract again.

use bytes::Bytes;
use flowline_log::{Batch, RecordFormat};
use flowline_quality::Mending;
use serde_json::{Map, Value};

use crate::LandError;
use crate::parcel::{Parcel, Records};

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
            *batch = written(batch, &record);
        }
    }
    Ok(())
}

fn object(batch: &Batch) -> Option<Map<String, Value>> {
    match batch.format {
        RecordFormat::Json => serde_json::from_slice(&batch.payload).ok(),
        RecordFormat::Csv => {
            let mut lines = csv::ReaderBuilder::new().flexible(true).from_reader(std::io::Read::chain(
                &*batch.schema,
                std::io::Read::chain(&b"\n"[..], &*batch.payload),
            ));
            let names = lines.headers().ok()?.clone();
            let values = lines.records().next()?.ok()?;
            let value = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
            Some(names.iter().map(str::to_owned).zip(values.iter().map(value)).collect())
        }
        _ => None,
    }
}

fn written(batch: &Batch, record: &Map<String, Value>) -> Batch {
    let payload = Value::Object(record.clone()).to_string();
    Batch {
        format: RecordFormat::Json,
        schema: Bytes::new(),
        spans: vec![(0, payload.len() as u32)],
        payload: payload.into(),
        ..batch.clone()
    }
}
