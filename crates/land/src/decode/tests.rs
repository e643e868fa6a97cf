//! What each format means for each type, and that nothing is lost or invented on the way.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod arrow;
mod csv;
mod events;
mod json;
mod properties;
mod registered;

use arrow_text::text;
use bytes::Bytes;
use flowline_log::{Batch, RecordFormat};
use flowline_model::{Column, Dataset};
use flowline_testkit::http_dataset;

use super::{Decoded, Decoder};

/// A batch of these records.
pub(super) fn batch(format: RecordFormat, schema: &str, records: &[&[u8]]) -> Batch {
    let (mut payload, mut spans) = (Vec::new(), Vec::new());
    for record in records {
        let start = payload.len() as u32;
        payload.extend_from_slice(record);
        spans.push((start, payload.len() as u32));
        payload.push(b'\n');
    }
    Batch {
        format,
        schema: Bytes::copy_from_slice(schema.as_bytes()),
        payload: payload.into(),
        records: spans.len() as u32,
        spans,
        idempotency_key: None,
        received_at: 0,
        trace_id: None,
    }
}

/// One line for each record, in order: its values as text joined by `|` with `_extra` last, or why it is rejected.
pub(super) fn outcome(dataset: &Dataset, batch: &Batch) -> Vec<String> {
    let decoded = Decoder::compile(dataset).unwrap().decode(batch, 0..batch.records as usize);
    lines(&decoded, batch.records as usize)
}

pub(super) fn lines(decoded: &[Decoded], records: usize) -> Vec<String> {
    let mut lines: Vec<Option<String>> = vec![None; records];
    let mut put = |record: u32, line: String| {
        assert!(lines[record as usize].replace(line).is_none(), "record {record} came out twice");
    };
    for decoded in decoded {
        assert_eq!(decoded.rows.num_rows(), decoded.places.len());
        for (row, place) in decoded.places.iter().enumerate() {
            put(place.record, text(&decoded.rows, row));
        }
        for rejected in &decoded.rejected {
            let column = rejected.column.as_deref().map(|column| format!(" {column}")).unwrap_or_default();
            put(rejected.place.record, format!("{}{column}: {}", rejected.reason.as_str(), rejected.message));
        }
    }
    lines.into_iter().map(|line| line.expect("every record comes out")).collect()
}

/// The outcome of one value in a column of this type, sent as JSON.
pub(super) fn json_value(data_type: &str, value: &str) -> String {
    json_value_with(&http_dataset("test.values", &[("v", data_type)]), value)
}

pub(super) fn json_value_with(dataset: &Dataset, value: &str) -> String {
    let record = format!("{{\"v\": {value} }}");
    let line = outcome(dataset, &batch(RecordFormat::Json, "", &[record.as_bytes()])).remove(0);
    line.strip_suffix("|-").map_or(line.clone(), str::to_owned)
}

/// The dataset with one column changed.
pub(super) fn with(mut dataset: Dataset, column: &str, change: impl FnOnce(&mut Column)) -> Dataset {
    change(dataset.columns.iter_mut().find(|found| found.name == column).unwrap());
    dataset
}

/// Rows of several types, for streams that are broken afterwards.
pub(super) fn arrow_rows() -> ::arrow::array::RecordBatch {
    use ::arrow::array::{ArrayRef, DictionaryArray, Float64Array, Int64Array, ListArray, StringArray};
    use ::arrow::datatypes::Int32Type;
    use std::sync::Arc;
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None, Some(vec![])]);
    let columns: [(&str, ArrayRef); 5] = [
        ("s", Arc::new(StringArray::from(vec![Some("abc"), None, Some("é")]))),
        ("i", Arc::new(Int64Array::from(vec![Some(1), Some(-2), None]))),
        ("f", Arc::new(Float64Array::from(vec![1.5, 2.5, 3.5]))),
        ("l", Arc::new(lists)),
        ("x", Arc::new(DictionaryArray::<Int32Type>::from_iter(["p", "q", "p"]))),
    ];
    ::arrow::array::RecordBatch::try_from_iter_with_nullable(
        columns.map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

mod arrow_text {
    use arrow::array::{Array, RecordBatch};
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    /// The values of a row joined by `|`, nulls as `-`.
    pub(super) fn text(rows: &RecordBatch, row: usize) -> String {
        let options = FormatOptions::default().with_null("-");
        let values = rows.columns().iter().map(|column| match column.is_null(row) {
            true => "-".to_owned(),
            false => ArrayFormatter::try_new(column.as_ref(), &options).unwrap().value(row).to_string(),
        });
        values.collect::<Vec<_>>().join("|")
    }
}
