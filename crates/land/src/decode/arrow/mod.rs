//! Arrow rows of whatever types a producer has become rows of the contract's types.
//!
//! A value that the contract's type cannot hold exactly rejects its row, as in every other format.

mod convert;
mod json;
mod nested;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use flowline_model::ColumnType;

use super::departures::Departures;
use super::rows::Reject;
use super::{ArrowOrigin, Decoded, Layout, Place, Rejected};

/// Decodes a batch whose first row is the record `first`.
pub(super) fn decode(layout: &Layout, rows: &RecordBatch, first: Place) -> Decoded {
    let origin = ArrowOrigin { rows: rows.clone(), first: first.record };
    let decoded = flowline_source::arrow_ipc::guard(|| convert_rows(layout, rows, first));
    match decoded {
        Ok((kept, places, rejected, departures)) => {
            Decoded { rows: kept, places, rejected, departures, arrow: Some(origin) }
        }
        Err(error) => reject_all(layout, origin, first, &error.to_string()),
    }
}

type Converted = (RecordBatch, Vec<Place>, Vec<Rejected>, Departures);

fn convert_rows(layout: &Layout, rows: &RecordBatch, first: Place) -> Result<Converted, ArrowError> {
    let count = rows.num_rows();
    let mut wrong: BTreeMap<usize, Reject> = BTreeMap::new();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(layout.columns.len() + 1);
    let mut departures = Departures::default();
    let mut note = Note { departures: &mut departures, first, strict: layout.strict };
    // Columns that go to `_extra`: those that no column takes, and those of which a part was not taken.
    let mut extra: Vec<usize> = Vec::new();
    for (index, field) in rows.schema_ref().fields().iter().enumerate() {
        if layout.fields.find(field.name()).is_none() {
            extra.push(index);
            note.unknown(field.name(), rows.column(index));
        }
    }
    for (index, plan) in layout.columns.iter().enumerate() {
        let name = layout.fields.name(index);
        let Some((source, field)) = rows.schema_ref().column_with_name(name) else {
            columns.push(new_null_array(layout.schema.field(index).data_type(), count));
            note.departures.absent(index, layout.columns.len(), count as u64);
            continue;
        };
        let column = convert::convert(rows.column(source), &plan.kind, &plan.format)?;
        for (row, message) in column.wrong {
            wrong.entry(row).or_insert_with(|| Reject::wrong_type(&plan.name, message));
        }
        if let Some(path) = column.unknown {
            extra.push(source);
            note.unknown(&format!("{}.{path}", field.name()), rows.column(source));
        }
        if is_plain_number(&plan.kind) && is_text(rows.column(source).data_type()) {
            note.coerced(index, &column.array);
        }
        columns.push(column.array);
    }
    columns.push(extra_column(rows, &extra)?);
    let all = RecordBatch::try_new(Arc::clone(&layout.schema), columns)?;
    let place = |row: usize| Place { batch: first.batch, record: first.record + row as u32 };
    let places = (0..count).filter(|row| !wrong.contains_key(row)).map(place).collect();
    let kept = if wrong.is_empty() {
        all
    } else {
        filter_record_batch(
            &all,
            &(0..count).map(|row| Some(!wrong.contains_key(&row))).collect::<BooleanArray>(),
        )?
    };
    let rejected = wrong.into_iter().map(|(row, reject)| Rejected::new(place(row), reject)).collect();
    Ok((kept, places, rejected, departures))
}

/// Notes departures of the rows of a batch whose first row is the record `first`.
struct Note<'a> {
    departures: &'a mut Departures,
    first: Place,
    strict: bool,
}

impl Note<'_> {
    /// The records that have a value.
    fn places(&self, column: &ArrayRef) -> Vec<Place> {
        let place = |row: usize| Place { batch: self.first.batch, record: self.first.record + row as u32 };
        let nulls = column.logical_nulls();
        let valid = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
        (0..column.len()).filter(valid).map(place).collect()
    }

    fn unknown(&mut self, name: &str, column: &ArrayRef) {
        let values = examples(column);
        for (index, place) in self.places(column).into_iter().enumerate() {
            let value = values.get(index).map(String::as_str);
            self.departures.unknown(name, place, 1, value, self.strict);
        }
    }

    fn coerced(&mut self, index: usize, column: &ArrayRef) {
        for place in self.places(column) {
            self.departures.coerced(index, place, 1, None, self.strict);
        }
    }
}

/// Some values of an array as JSON, those of the first rows that have one.
fn examples(column: &ArrayRef) -> Vec<String> {
    const ROWS_MAX: usize = 64;
    let schema = Schema::new(vec![Field::new("value", column.data_type().clone(), true)]);
    let head = column.slice(0, column.len().min(ROWS_MAX));
    let rows = RecordBatch::try_new(Arc::new(schema), vec![head]);
    let values = rows.and_then(|rows| json::values(&rows)).unwrap_or_default();
    values.into_iter().flatten().collect()
}

fn is_plain_number(kind: &ColumnType) -> bool {
    use ColumnType as T;
    matches!(kind, T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64)
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// These columns of each row as one JSON object; null where all of them are.
fn extra_column(rows: &RecordBatch, columns: &[usize]) -> Result<ArrayRef, ArrowError> {
    if columns.is_empty() {
        return Ok(Arc::new(StringArray::new_null(rows.num_rows())));
    }
    let objects = json::objects(&rows.project(columns)?)?;
    Ok(Arc::new(
        objects
            .iter()
            .map(|object| Some(object.as_str()).filter(|text| *text != "{}"))
            .collect::<StringArray>(),
    ))
}

/// What cannot be converted at all is rejected row by row, so that it is counted and kept.
fn reject_all(layout: &Layout, origin: ArrowOrigin, first: Place, message: &str) -> Decoded {
    let rejected = (0..origin.rows.num_rows())
        .map(|row| Place { batch: first.batch, record: first.record + row as u32 })
        .map(|place| Rejected::new(place, Reject::unparsable(message)))
        .collect();
    Decoded {
        rows: RecordBatch::new_empty(Arc::clone(&layout.schema)),
        places: Vec::new(),
        rejected,
        departures: Departures::default(),
        arrow: Some(origin),
    }
}
