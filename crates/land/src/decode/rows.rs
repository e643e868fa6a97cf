//! Records become rows, one at a time: each is either a row of every column, or rejected.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, RecordBatch, StringBuilder};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use flowline_model::FindingKind;

use super::column::ColumnBuilder;
use super::departures::Departures;
use super::fields::FieldOrder;
use super::value::Nested;
use super::{Layout, Place, Rejected};

/// Why a record is rejected, before anyone says which record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    pub(crate) reason: FindingKind,
    pub(crate) column: Option<String>,
    pub(crate) message: String,
}

impl Reject {
    pub(crate) fn unparsable(message: impl Into<String>) -> Self {
        Self { reason: FindingKind::Unparsable, column: None, message: message.into() }
    }

    /// A record that has one field twice: which of the two is meant, nobody can say.
    pub(crate) fn twice(field: &str, message: String) -> Self {
        Self { column: Some(field.to_owned()), ..Self::unparsable(message) }
    }

    pub(crate) fn wrong_type(column: &str, message: String) -> Self {
        Self { reason: FindingKind::WrongType, column: Some(column.to_owned()), message }
    }
}

/// The rows under way. Every record appends one value to every column, also when it is rejected: its row is taken out
/// at the end, so that the builders never need to go back.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) layout: Arc<Layout>,
    pub(crate) columns: Vec<ColumnBuilder>,
    /// The number of the row that filled the column last, from 1.
    filled: Vec<u32>,
    row: u32,
    filled_in_row: usize,
    extra: StringBuilder,
    extra_text: String,
    kept: BooleanBufferBuilder,
    places: Vec<Place>,
    rejected: Vec<Rejected>,
    departures: Departures,
    /// The record that is being read.
    place: Place,
    /// What readers keep between records.
    pub(crate) order: FieldOrder,
    pub(crate) event_order: FieldOrder,
    pub(crate) key: String,
    pub(crate) nested: Nested,
}

/// Rows that are done.
#[derive(Debug)]
pub(crate) struct FinishedRows {
    pub(crate) rows: RecordBatch,
    pub(crate) places: Vec<Place>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) departures: Departures,
}

impl Rows {
    pub(crate) fn new(layout: Arc<Layout>, capacity: usize) -> Self {
        let columns: Vec<ColumnBuilder> = layout
            .columns
            .iter()
            .map(|plan| {
                ColumnBuilder::with_room(&plan.kind, &plan.format, capacity, plan.room.bytes(capacity))
            })
            .collect();
        Self {
            filled: vec![0; columns.len()],
            layout,
            columns,
            row: 0,
            filled_in_row: 0,
            extra: StringBuilder::with_capacity(capacity, 0),
            extra_text: String::new(),
            kept: BooleanBufferBuilder::new(capacity),
            places: Vec::with_capacity(capacity),
            rejected: Vec::new(),
            departures: Departures::default(),
            place: Place { batch: 0, record: 0 },
            order: FieldOrder::default(),
            event_order: FieldOrder::default(),
            key: String::new(),
            nested: Nested::default(),
        }
    }

    /// Begins a record.
    pub(crate) fn begin(&mut self, place: Place) {
        self.place = place;
        self.row += 1;
        self.filled_in_row = 0;
        self.extra_text.clear();
    }

    /// Says that the column gets its value of this record now; false when it has got one already.
    pub(crate) fn fill(&mut self, column: usize) -> bool {
        let first = self.filled[column] != self.row;
        self.filled[column] = self.row;
        self.filled_in_row += usize::from(first);
        first
    }

    /// Keeps a field that no column takes; `value` is JSON.
    pub(crate) fn keep_unknown(&mut self, name: &str, value: &str) {
        self.extra_text.push(if self.extra_text.is_empty() { '{' } else { ',' });
        push_json_text(&mut self.extra_text, name);
        self.extra_text.push(':');
        self.extra_text.push_str(value);
    }

    /// Notes a field that is not in the contract; `value` is JSON.
    pub(crate) fn note_unknown(&mut self, name: &str, value: &str) {
        self.departures.unknown(name, self.place, 1, Some(value), self.layout.strict);
    }

    /// Notes a number that came as the text `value`, which is JSON.
    pub(crate) fn note_coerced(&mut self, column: usize, value: &str) {
        self.departures.coerced(column, self.place, 1, Some(value), self.layout.strict);
    }

    /// Ends a record.
    pub(crate) fn end(&mut self, rejected: Option<Reject>) {
        let place = self.place;
        if self.filled_in_row < self.columns.len() {
            let columns = self.columns.len();
            for (index, (column, filled)) in self.columns.iter_mut().zip(&self.filled).enumerate() {
                if *filled != self.row {
                    column.append_null();
                    if rejected.is_none() {
                        self.departures.absent(index, columns, 1);
                    }
                }
            }
        }
        self.kept.append(rejected.is_none());
        match rejected {
            None => {
                self.places.push(place);
                if self.extra_text.is_empty() {
                    self.extra.append_null();
                } else {
                    self.extra_text.push('}');
                    self.extra.append_value(&self.extra_text);
                }
            }
            Some(reject) => {
                self.extra.append_null();
                self.rejected.push(Rejected::new(place, reject));
            }
        }
    }

    /// The rows without those that were rejected.
    pub(crate) fn finish(mut self) -> Result<FinishedRows, ArrowError> {
        for (plan, builder) in self.layout.columns.iter().zip(&self.columns) {
            if let Some(bytes) = builder.text_bytes() {
                plan.room.note(self.row as usize, bytes);
            }
        }
        let mut columns: Vec<ArrayRef> = self.columns.into_iter().map(ColumnBuilder::finish).collect();
        columns.push(Arc::new(self.extra.finish()));
        let all = RecordBatch::try_new(Arc::clone(&self.layout.schema), columns)?;
        let rows = if self.rejected.is_empty() {
            all
        } else {
            filter_record_batch(&all, &BooleanArray::new(self.kept.finish(), None))?
        };
        Ok(FinishedRows { rows, places: self.places, rejected: self.rejected, departures: self.departures })
    }
}

/// The text as a JSON string.
pub(crate) fn push_json_text(output: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        output.push('"');
        output.push_str(text);
        output.push('"');
    } else {
        output.push_str(&serde_json::Value::from(text).to_string());
    }
}
