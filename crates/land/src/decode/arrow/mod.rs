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
use arrow::error::ArrowError;

use super::rows::{Reject, UnknownFields, count_unknown};
use super::{ArrowOrigin, Decoded, Layout, Place, Rejected};

/// Decodes a batch whose first row is the record `first`.
pub(super) fn decode(layout: &Layout, rows: &RecordBatch, first: Place) -> Decoded {
    let origin = ArrowOrigin { rows: rows.clone(), first: first.record };
    let decoded = flowline_source::arrow_ipc::guard(|| convert_rows(layout, rows, first));
    match decoded {
        Ok((kept, places, rejected, unknown)) => {
            Decoded { rows: kept, places, rejected, unknown, arrow: Some(origin) }
        }
        Err(error) => reject_all(layout, origin, first, &error.to_string()),
    }
}

type Converted = (RecordBatch, Vec<Place>, Vec<Rejected>, UnknownFields);

fn convert_rows(layout: &Layout, rows: &RecordBatch, first: Place) -> Result<Converted, ArrowError> {
    let count = rows.num_rows();
    let mut wrong: BTreeMap<usize, Reject> = BTreeMap::new();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(layout.columns.len() + 1);
    let mut unknown = UnknownFields::new();
    // Columns that go to `_extra`: those that no column takes, and those of which a part was not taken.
    let mut extra: Vec<usize> = Vec::new();
    for (index, field) in rows.schema_ref().fields().iter().enumerate() {
        if layout.fields.find(field.name()).is_none() {
            extra.push(index);
            let column = rows.column(index);
            count_unknown(&mut unknown, field.name(), (count - column.logical_null_count()) as u64);
        }
    }
    unknown.retain(|_, records| *records > 0);
    for (index, plan) in layout.columns.iter().enumerate() {
        let name = layout.fields.name(index);
        let Some((source, field)) = rows.schema_ref().column_with_name(name) else {
            columns.push(new_null_array(layout.schema.field(index).data_type(), count));
            continue;
        };
        let column = convert::convert(rows.column(source), &plan.kind, &plan.format)?;
        for (row, message) in column.wrong {
            wrong.entry(row).or_insert_with(|| Reject::wrong_type(&plan.name, message));
        }
        if let Some(path) = column.unknown {
            extra.push(source);
            count_unknown(&mut unknown, &format!("{}.{path}", field.name()), count as u64);
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
    Ok((kept, places, rejected, unknown))
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
        unknown: UnknownFields::new(),
        arrow: Some(origin),
    }
}
