//! Rows of the quarantine table: the record as it came, and why it is there.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, StringBuilder};
use arrow::error::ArrowError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flowline_lake::arrow_types;
use flowline_log::{Batch, RecordFormat};

use crate::decode::{ArrowOrigin, Place, Rejected};
use crate::parcel::{Parcel, Records};
use crate::stamp::{Stamp, offset};

/// A rejected record, with the Arrow rows that it is one of where it is one.
pub(crate) struct RejectedRecord<'a> {
    pub(crate) rejected: Rejected,
    pub(crate) arrow: Option<&'a ArrowOrigin>,
}

/// The words of `_format`.
pub(crate) fn format_word(format: RecordFormat) -> &'static str {
    match format {
        RecordFormat::Json => "json",
        RecordFormat::Csv => "csv",
        RecordFormat::ArrowStream => "arrow",
        RecordFormat::CloudEvent => "cloudevent",
        RecordFormat::Registered => "registered",
    }
}

/// The format of a word of `_format`.
pub(crate) fn format_of(word: &str) -> Option<RecordFormat> {
    (1..=u8::MAX).map_while(RecordFormat::from_u8).find(|format| format_word(*format) == word)
}

/// The rows of the quarantine table for these records, in the order of their offsets.
pub(crate) fn rows(
    parcel: &Parcel,
    mut records: Vec<RejectedRecord<'_>>,
    stamp: &mut Stamp,
) -> Result<RecordBatch, ArrowError> {
    records.sort_by_key(|record| record.rejected.place);
    let mut text = StringBuilder::new();
    let mut base64 = StringBuilder::new();
    let mut format = StringBuilder::new();
    let mut schema = StringBuilder::new();
    let mut whole_stream_of = None;
    for record in &records {
        let place = record.rejected.place;
        let kept = match (record.arrow, parcel.pieces.get(place.batch as usize).map(|piece| &piece.records)) {
            (Some(arrow), _) => {
                let row = arrow.row_text(place.record);
                Kept {
                    text: row.json,
                    bytes: Some(row.stream),
                    format: RecordFormat::ArrowStream,
                    schema: None,
                }
            }
            (None, Some(Records::Batch { batch, .. })) if batch.format == RecordFormat::ArrowStream => {
                let first = whole_stream_of != Some(place.batch);
                whole_stream_of = Some(place.batch);
                unreadable_stream(batch, first)
            }
            (None, Some(Records::Batch { batch, .. })) => as_received(batch, place),
            (None, _) => Kept { text: String::new(), bytes: None, format: RecordFormat::Json, schema: None },
        };
        text.append_value(&kept.text);
        base64.append_option(kept.bytes.map(|bytes| STANDARD.encode(bytes)));
        format.append_value(format_word(kept.format));
        schema.append_option(kept.schema);
    }
    let of = |value: fn(&Rejected) -> Option<&str>| {
        Arc::new(records.iter().map(|record| value(&record.rejected)).collect::<StringArray>()) as ArrayRef
    };
    let mut columns: Vec<ArrayRef> = vec![
        of(|rejected| Some(rejected.reason.as_str())),
        of(|rejected| rejected.column.as_deref()),
        of(|rejected| Some(&rejected.message)),
        Arc::new(text.finish()),
        Arc::new(base64.finish()),
        Arc::new(format.finish()),
        Arc::new(schema.finish()),
    ];
    let places: Vec<Place> = records.iter().map(|record| record.rejected.place).collect();
    debug_assert!(places.windows(2).all(|pair| offset(parcel, pair[0]) <= offset(parcel, pair[1])));
    columns.extend(stamp.columns(parcel, &places));
    RecordBatch::try_new(arrow_types::quarantine_schema(), columns)
}

/// A record as it is kept: for people, and exactly where text cannot be exact.
struct Kept {
    text: String,
    bytes: Option<Vec<u8>>,
    format: RecordFormat,
    schema: Option<String>,
}

fn as_received(batch: &Batch, place: Place) -> Kept {
    let bytes = batch.record(place.record as usize).unwrap_or_default();
    let schema =
        Some(String::from_utf8_lossy(&batch.schema).into_owned()).filter(|schema| !schema.is_empty());
    let (text, bytes) = match std::str::from_utf8(bytes) {
        // With the zero bytes of its header it is no text for people, though it may happen to be UTF-8.
        _ if batch.format == RecordFormat::Registered => (readable(bytes), Some(bytes.to_vec())),
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Some(bytes.to_vec())),
    };
    Kept { text, bytes, format: batch.format, schema }
}

/// Bytes for people: what is no text is left out.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// A stream that cannot be read has no records of its own; it is kept once, with the first of those that were counted.
fn unreadable_stream(batch: &Batch, first: bool) -> Kept {
    let text = format!("an arrow stream of {} bytes that cannot be read", batch.payload.len());
    let bytes = first.then(|| batch.payload.to_vec());
    let text =
        if first { text } else { format!("a row of {text}; the stream is kept with the first of its rows") };
    Kept { text, bytes, format: RecordFormat::ArrowStream, schema: None }
}
