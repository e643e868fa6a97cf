//! Records become rows of the contract's types.
//!
//! Owns: what each format means for each column type, and the promise that every record is exactly one row or exactly
//! one rejection, whatever bytes it has. One path reads every record: there is no fast one beside a careful one.
//! (`arrow-json` was measured and left aside: it takes `1.7` for an integer, drops fields that it does not know, and
//! gives up a batch for one record.)
//! Does not own: `required` and `check` (`flowline-quality`), keys, stamps, where records come from.

mod arrow;
mod column;
mod csv;
mod departures;
mod event;
mod fields;
mod json;
mod registered;
mod rows;
#[cfg(test)]
mod tests;
mod time;
mod value;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::arrow::array::RecordBatch;
use ::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use flowline_lake::arrow_types;
use flowline_log::{Batch, RecordFormat};
use flowline_model::{ColumnType, Dataset, FindingKind, OnDrift};

pub(crate) use column::ColumnBuilder;
pub use departures::{Departures, Mark, Strange};
use fields::FieldIndex;
pub use registered::registered_json;
use rows::{FinishedRows, Reject, Rows};
pub(crate) use time::TimeFormat;

use crate::ContractError;
use crate::schemas::FoundSchemas;

/// Reads records of any format into the columns of one contract. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Decoder {
    layout: Arc<Layout>,
}

/// The contract as the readers need it.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) columns: Vec<ColumnPlan>,
    pub(crate) fields: FieldIndex,
    /// The contract's columns, all nullable, and `_extra`.
    pub(crate) schema: SchemaRef,
    /// Records that depart from the contract are noted one by one, because they are not to be landed.
    pub(crate) strict: bool,
}

/// One column as the readers need it.
#[derive(Debug)]
pub(crate) struct ColumnPlan {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
    pub(crate) format: Arc<TimeFormat>,
    pub(crate) room: TextRoom,
}

/// How many bytes the texts of a column had lately, so that room for them is not sought again and again.
#[derive(Debug, Default)]
pub(crate) struct TextRoom(AtomicUsize);

impl TextRoom {
    /// A column's texts may be few and long, and those behind them many and short.
    const BYTES_MAX: usize = 8 << 20;

    /// Bytes for so many texts, with an eighth to spare.
    fn bytes(&self, texts: usize) -> usize {
        let each = self.0.load(Ordering::Relaxed).max(column::TEXT_BYTES);
        texts.saturating_mul(each + each.div_ceil(8)).min(Self::BYTES_MAX)
    }

    /// Remembers what texts had.
    fn note(&self, texts: usize, bytes: usize) {
        if texts > 0 {
            self.0.store(bytes.div_ceil(texts), Ordering::Relaxed);
        }
    }
}

/// Which record: the number of the batch it came in, in the order of [`Decoding::push`], and its number in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The batch.
    pub batch: u32,
    /// The record.
    pub record: u32,
}

/// A record that is no row, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Which.
    pub place: Place,
    /// `missing`, `wrong-type`, `failed-rule` or `unparsable`.
    pub reason: FindingKind,
    /// The column concerned, when it is one.
    pub column: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

impl Rejected {
    pub(crate) fn new(place: Place, reject: Reject) -> Self {
        Self { place, reason: reject.reason, column: reject.column, message: reject.message }
    }
}

/// Rows, and the records that are none.
#[derive(Debug)]
pub struct Decoded {
    /// The contract's columns in order, all nullable, then `_extra`.
    pub rows: RecordBatch,
    /// Where each row came from.
    pub places: Vec<Place>,
    /// The records that are no rows.
    pub rejected: Vec<Rejected>,
    /// How the records depart from the contract where it lets them pass.
    pub departures: Departures,
    /// For rows that came as Arrow: what they were; record `n` of their batch is row `n - first` of it.
    pub(crate) arrow: Option<ArrowOrigin>,
}

/// Arrow rows as they came.
#[derive(Debug, Clone)]
pub(crate) struct ArrowOrigin {
    pub(crate) rows: RecordBatch,
    pub(crate) first: u32,
}

impl Decoder {
    /// The decoder of a dataset's contract.
    ///
    /// # Errors
    /// [`ContractError`] names a column whose `format` cannot be used, or two columns that read the same field.
    pub fn compile(dataset: &Dataset) -> Result<Self, ContractError> {
        let mut columns = Vec::with_capacity(dataset.columns.len());
        for (index, column) in dataset.columns.iter().enumerate() {
            let wrong = |message| ContractError::Column { column: column.name.clone(), message };
            let format = TimeFormat::parse(column.format.as_deref()).map_err(wrong)?;
            let same =
                dataset.columns[..index].iter().find(|other| other.field_name() == column.field_name());
            if let Some(other) = same {
                return Err(wrong(format!(
                    "`{}` reads the field `{}` already",
                    other.name,
                    column.field_name()
                )));
            }
            columns.push(ColumnPlan {
                name: column.name.clone(),
                kind: column.data_type.clone(),
                format: Arc::new(format),
                room: TextRoom::default(),
            });
        }
        let fields = FieldIndex::new(dataset.columns.iter().map(|column| column.field_name()));
        let mut arrow: Vec<Field> =
            dataset.columns.iter().map(|column| arrow_types::field(column).with_nullable(true)).collect();
        arrow.push(Field::new(arrow_types::EXTRA, DataType::Utf8, true));
        let schema = Arc::new(Schema::new(arrow));
        let strict = dataset.on_drift != OnDrift::AcceptNewFields;
        Ok(Self { layout: Arc::new(Layout { columns, fields, schema, strict }) })
    }

    /// The columns of [`Decoded::rows`].
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.layout.schema)
    }

    /// Starts reading; `capacity` is about how many records will come.
    pub fn start(&self, capacity: usize) -> Decoding {
        Decoding {
            layout: Arc::clone(&self.layout),
            capacity,
            open: None,
            done: Vec::new(),
            schemas: FoundSchemas::default(),
            text: Vec::new(),
        }
    }

    /// Reads these records of one batch. Cost: some hundred MB/s of JSON on one core.
    pub fn decode(&self, batch: &Batch, records: Range<usize>) -> Vec<Decoded> {
        let mut decoding = self.start(records.len());
        decoding.push(0, batch, records);
        decoding.finish()
    }
}

/// Records on their way to rows. Batches of the text formats are joined into one [`Decoded`], so that small ones cost
/// little; each Arrow batch has its own.
#[derive(Debug)]
pub struct Decoding {
    layout: Arc<Layout>,
    capacity: usize,
    open: Option<Rows>,
    done: Vec<Decoded>,
    schemas: FoundSchemas,
    /// The record at hand as JSON.
    text: Vec<u8>,
}

impl Decoding {
    /// With the schemas of records that say only their numbers.
    #[must_use]
    pub fn with_schemas(mut self, schemas: FoundSchemas) -> Self {
        self.schemas = schemas;
        self
    }

    /// Reads these records of a batch; `number` comes back in their [`Place`].
    pub fn push(&mut self, number: u32, batch: &Batch, records: Range<usize>) {
        match batch.format {
            RecordFormat::ArrowStream => self.push_stream(number, batch, records),
            RecordFormat::Csv => self.push_csv(number, batch, records),
            RecordFormat::Json | RecordFormat::CloudEvent => self.push_json(number, batch, records),
            RecordFormat::Registered => self.push_registered(number, batch, records),
        }
    }

    /// Reads Arrow rows; the first is record `first` of batch `number`.
    pub(crate) fn push_arrow(&mut self, number: u32, rows: &RecordBatch, first: u32) {
        self.close();
        self.done.push(arrow::decode(&self.layout, rows, Place { batch: number, record: first }));
    }

    /// Everything that was read.
    pub fn finish(mut self) -> Vec<Decoded> {
        self.close();
        self.done
    }

    fn rows(&mut self) -> &mut Rows {
        let (layout, capacity) = (&self.layout, self.capacity);
        self.open.get_or_insert_with(|| Rows::new(Arc::clone(layout), capacity))
    }

    fn close(&mut self) {
        let Some(rows) = self.open.take() else { return };
        let FinishedRows { rows, places, rejected, departures } = rows
            .finish()
            .expect("builders of the schema's types, one value a record, make a batch of the schema");
        self.done.push(Decoded { rows, places, rejected, departures, arrow: None });
    }

    fn push_json(&mut self, number: u32, batch: &Batch, records: Range<usize>) {
        // One look over the payload is far cheaper than one for each record; only where it finds something else than
        // UTF-8 the records are looked at apart.
        let payload = std::str::from_utf8(&batch.payload).ok();
        let event = batch.format == RecordFormat::CloudEvent;
        let rows = self.rows();
        for index in records {
            let place = Place { batch: number, record: index as u32 };
            match text_of(batch, payload, index) {
                Ok(record) if event => rows.push_event(record, place),
                Ok(record) => rows.push_json(record, place),
                Err(reject) => rows.push_rejected(place, reject),
            }
        }
    }

    fn push_csv(&mut self, number: u32, batch: &Batch, records: Range<usize>) {
        let payload = std::str::from_utf8(&batch.payload).ok();
        let rows = self.rows();
        let mut header = rows.csv_header(&batch.schema);
        for index in records {
            let place = Place { batch: number, record: index as u32 };
            match (text_of(batch, payload, index), &mut header) {
                (Ok(record), Ok(header)) => rows.push_csv(header, record, place),
                (Err(reject), _) => rows.push_rejected(place, reject),
                (_, Err(reject)) => rows.push_rejected(place, reject.clone()),
            }
        }
    }

    fn push_stream(&mut self, number: u32, batch: &Batch, records: Range<usize>) {
        let limits = flowline_source::http::Limits { records_max: batch.records, ..Default::default() };
        let read = flowline_source::arrow_ipc::read_stream(&batch.payload, &limits);
        let found = read.as_ref().map_or(0, |(_, batches)| batches.iter().map(RecordBatch::num_rows).sum());
        let batches = match read {
            Ok((_, batches)) if found == batch.records as usize => batches,
            other => {
                let message = match other {
                    Ok(_) => {
                        format!("the arrow stream has {found} rows where {} were counted", batch.records)
                    }
                    Err(error) => error.to_string(),
                };
                let rows = self.rows();
                for index in records {
                    let place = Place { batch: number, record: index as u32 };
                    rows.push_rejected(place, Reject::unparsable(message.clone()));
                }
                return;
            }
        };
        let mut first = 0;
        for rows in &batches {
            let end = first + rows.num_rows();
            let (from, to) = (records.start.clamp(first, end), records.end.clamp(first, end));
            if from < to {
                self.push_arrow(number, &rows.slice(from - first, to - from), from as u32);
            }
            first = end;
        }
    }
}

impl Rows {
    fn push_rejected(&mut self, place: Place, reject: Reject) {
        self.begin(place);
        self.end(Some(reject));
    }
}

/// The text of a record. `payload` is all of the batch where that is UTF-8.
fn text_of<'a>(batch: &'a Batch, payload: Option<&'a str>, index: usize) -> Result<&'a str, Reject> {
    let span = batch.spans.get(index).map(|(start, end)| *start as usize..*end as usize);
    if let (Some(payload), Some(span)) = (payload, span)
        && let Some(record) = payload.get(span)
    {
        return Ok(record);
    }
    let record =
        batch.record(index).ok_or_else(|| Reject::unparsable("the record lies outside its batch"))?;
    std::str::from_utf8(record).map_err(|error| {
        Reject::unparsable(format!("the record is not UTF-8 from byte {} on", error.valid_up_to()))
    })
}
