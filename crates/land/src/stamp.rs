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
}

impl Stamp {
    /// The columns of [`flowline_lake::arrow_types::stamp_fields`], in their order.
    pub(crate) fn columns(&self, parcel: &Parcel, places: &[Place]) -> Vec<ArrayRef> {
        let rows = places.len();
        let times = |values: Vec<i64>| {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) as ArrayRef
        };
        let piece = |place: &Place| parcel.pieces.get(place.batch as usize);
        let received = places.iter().map(|place| piece(place).map_or(0, |piece| piece.received_at)).collect();
        vec![
            times(vec![self.ingested_at; rows]),
            times(received),
            Arc::new(StringArray::new_repeated(&*parcel.source, rows)),
            Arc::new(Int32Array::from(vec![parcel.partition; rows])),
            Arc::new(places.iter().map(|place| Some(offset(parcel, *place) as i64)).collect::<Int64Array>()),
            Arc::new(StringArray::new_repeated(&self.run, rows)),
            traces(parcel, places),
        ]
    }
}

/// The offset of a record.
pub(crate) fn offset(parcel: &Parcel, place: Place) -> u64 {
    parcel.pieces.get(place.batch as usize).map_or(0, |piece| piece.first_offset) + u64::from(place.record)
}

/// Rows of one request stand together, so that each trace is written out once.
fn traces(parcel: &Parcel, places: &[Place]) -> ArrayRef {
    if parcel.pieces.iter().all(|piece| piece.trace.is_none()) {
        return Arc::new(StringArray::new_null(places.len()));
    }
    let texts: Vec<Option<String>> =
        parcel.pieces.iter().map(|piece| piece.trace.map(|trace| trace.to_string())).collect();
    let text = |place: &Place| texts.get(place.batch as usize).and_then(Option::as_deref);
    Arc::new(places.iter().map(text).collect::<StringArray>())
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
