//! The columns that say where a row came from, and those that its partition is derived from.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, NaiveDate};
use flowline_model::{Dataset, PartitionTransform};

use crate::decode::Place;
use crate::parcel::Parcel;

const DAY_MICROS: i64 = 86_400_000_000;

/// The stamps that all rows of a step share.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    /// `_batch`.
    pub(crate) run: String,
    /// `_ingested_at`, microseconds.
    pub(crate) ingested_at: i64,
    repeated: Option<Repeated>,
}

/// Columns that have the same value in every row. They are made once and cut to the rows of each parcel: made anew, they
/// would take about as much memory as the records themselves.
#[derive(Debug, Clone)]
struct Repeated {
    source: Arc<str>,
    partition: i32,
    sources: StringArray,
    partitions: Int32Array,
    runs: StringArray,
    /// Of parcels without any.
    traces: StringArray,
}

impl Stamp {
    pub(crate) fn new(run: String, ingested_at: i64) -> Self {
        Self { run, ingested_at, repeated: None }
    }

    /// The columns of [`flowline_lake::arrow_types::stamp_fields`], in their order.
    pub(crate) fn columns(&mut self, parcel: &Parcel, places: &[Place]) -> Vec<ArrayRef> {
        let rows = places.len();
        let times = |values: Vec<i64>| {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) as ArrayRef
        };
        let piece = |place: &Place| parcel.pieces.get(place.batch as usize);
        let received = places.iter().map(|place| piece(place).map_or(0, |piece| piece.received_at)).collect();
        let ingested_at = self.ingested_at;
        let repeated = self.repeated(parcel, rows);
        vec![
            times(vec![ingested_at; rows]),
            times(received),
            Arc::new(repeated.sources.slice(0, rows)),
            Arc::new(repeated.partitions.slice(0, rows)),
            Arc::new(places.iter().map(|place| Some(offset(parcel, *place) as i64)).collect::<Int64Array>()),
            Arc::new(repeated.runs.slice(0, rows)),
            traces(parcel, places).unwrap_or_else(|| Arc::new(repeated.traces.slice(0, rows))),
        ]
    }

    /// With at least so many rows.
    fn repeated(&mut self, parcel: &Parcel, rows: usize) -> &Repeated {
        let fits = |known: &Repeated| {
            known.source == parcel.source && known.partition == parcel.partition && known.runs.len() >= rows
        };
        match self.repeated.take().filter(fits) {
            Some(known) => self.repeated.insert(known),
            // Parcels have about as many rows as the one before.
            None => self.repeated.insert(Repeated::new(&self.run, parcel, rows + rows / 8)),
        }
    }
}

impl Repeated {
    fn new(run: &str, parcel: &Parcel, rows: usize) -> Self {
        Self {
            source: Arc::clone(&parcel.source),
            partition: parcel.partition,
            sources: StringArray::new_repeated(&*parcel.source, rows),
            partitions: Int32Array::from(vec![parcel.partition; rows]),
            runs: StringArray::new_repeated(run, rows),
            traces: StringArray::new_null(rows),
        }
    }
}

/// The offset of a record.
pub(crate) fn offset(parcel: &Parcel, place: Place) -> u64 {
    parcel.pieces.get(place.batch as usize).map_or(0, |piece| piece.first_offset) + u64::from(place.record)
}

/// Rows of one request stand together, so that each trace is written out once. None where no record has one.
fn traces(parcel: &Parcel, places: &[Place]) -> Option<ArrayRef> {
    if parcel.pieces.iter().all(|piece| piece.trace.is_none()) {
        return None;
    }
    let texts: Vec<Option<String>> =
        parcel.pieces.iter().map(|piece| piece.trace.map(|trace| trace.to_string())).collect();
    let text = |place: &Place| texts.get(place.batch as usize).and_then(Option::as_deref);
    Some(Arc::new(places.iter().map(text).collect::<StringArray>()))
}

/// The derived partition columns of a dataset, from the contract's columns of these rows.
pub(crate) fn partition_columns(dataset: &Dataset, contract: &[ArrayRef]) -> Vec<ArrayRef> {
    let derived = dataset.partition_by.iter().filter(|field| field.transform != PartitionTransform::Identity);
    derived
        .map(|field| {
            let place = dataset.columns.iter().position(|column| column.name == field.column);
            let rows = contract.first().map_or(0, |column| column.len());
            match place.and_then(|place| contract.get(place)) {
                Some(column) => days(column, field.transform),
                None => Arc::new(Date32Array::new_null(rows)),
            }
        })
        .collect()
}

/// The first day of the day, month or year of each value; null where it is no date or time.
fn days(column: &ArrayRef, transform: PartitionTransform) -> ArrayRef {
    let truncate = |day: i32| truncated(day, transform);
    if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        let day = |micros: i64| i32::try_from(micros.div_euclid(DAY_MICROS)).ok().and_then(truncate);
        return Arc::new(times.iter().map(|micros| micros.and_then(day)).collect::<Date32Array>());
    }
    match column.as_primitive_opt::<Date32Type>() {
        Some(dates) => Arc::new(dates.iter().map(|day| day.and_then(truncate)).collect::<Date32Array>()),
        None => Arc::new(Date32Array::new_null(column.len())),
    }
}

fn truncated(day: i32, transform: PartitionTransform) -> Option<i32> {
    if matches!(transform, PartitionTransform::Day | PartitionTransform::Identity) {
        return Some(day);
    }
    let date = DateTime::from_timestamp(i64::from(day) * 86_400, 0)?.date_naive();
    let month = if transform == PartitionTransform::Month { date.month() } else { 1 };
    let first = NaiveDate::from_ymd_opt(date.year(), month, 1)?;
    i32::try_from((first - NaiveDate::default()).num_days()).ok()
}

/// The newest value of the event-time column, microseconds.
pub(crate) fn event_time_max(dataset: &Dataset, contract: &[ArrayRef]) -> Option<i64> {
    let event_time = dataset.event_time.as_ref()?;
    let place = dataset.columns.iter().position(|column| column.name == event_time.column)?;
    let column = contract.get(place)?;
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => arrow::compute::max(times),
        None => arrow::compute::max(column.as_primitive_opt::<Date32Type>()?)
            .map(|day| i64::from(day) * DAY_MICROS),
    }
}
