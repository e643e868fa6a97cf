//! A log in memory that keeps the rows of a dataset.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use async_trait::async_trait;
use chrono::DateTime;
use flowline_lake::{Kept, LakeError, OffsetRange, RowsElsewhere, arrow_types};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;

#[derive(Debug, Default)]
pub struct KeptLog {
    landed: Mutex<Vec<(OffsetRange, RecordBatch)>>,
    /// The first offset that it holds.
    oldest: Mutex<i64>,
}

impl KeptLog {
    pub fn add(&self, range: OffsetRange, rows: RecordBatch) {
        self.landed.lock().push((range, rows));
    }

    /// Lets go of what was landed first.
    pub fn let_go(&self, commits: usize) {
        let landed = self.landed.lock();
        *self.oldest.lock() = landed[commits - 1].0.to;
    }

    fn gone(&self, range: &OffsetRange) -> bool {
        range.from < *self.oldest.lock()
    }
}

#[async_trait]
impl RowsElsewhere for KeptLog {
    async fn kept(&self, positions: &[(String, i64)]) -> Result<Kept, LakeError> {
        let landed = self.landed.lock();
        let within = |range: &OffsetRange| {
            let at = |(app_id, to): &(String, i64)| app_id.ends_with(&range.input) && range.to <= *to;
            positions.iter().any(at)
        };
        let (gone, held): (Vec<_>, Vec<_>) =
            landed.iter().filter(|(range, _)| within(range)).partition(|(range, _)| self.gone(range));
        let received = |rows: &RecordBatch| {
            let times = rows.column_by_name(arrow_types::RECEIVED_AT)?;
            DateTime::from_timestamp_micros(times.as_primitive::<TimestampMicrosecondType>().value(0))
        };
        let since = held.first().filter(|_| !gone.is_empty()).and_then(|(_, rows)| received(rows));
        let whole = |range: &OffsetRange| OffsetRange { rows: None, run: None, ..range.clone() };
        let ranges = held.iter().map(|(range, _)| whole(range)).collect();
        Ok(Kept { ranges, gone: !gone.is_empty(), since })
    }

    fn rows(
        self: Arc<Self>,
        range: OffsetRange,
        _columns: &[String],
    ) -> BoxStream<'static, Result<RecordBatch, LakeError>> {
        if self.gone(&range) {
            let (what, place) = (format!("{range:?}"), "the log".to_owned());
            return stream::iter([Err(LakeError::NotFound { what, place })]).boxed();
        }
        let mut found = Vec::new();
        for (landed, rows) in self.landed.lock().iter().filter(|(landed, _)| landed.input == range.input) {
            let offsets = rows.column_by_name(arrow_types::OFFSET).unwrap().as_primitive::<Int64Type>();
            assert_eq!((offsets.value(0), offsets.value(rows.num_rows() - 1)), (landed.from, landed.to - 1));
            let place = |offset: i64| offsets.values().partition_point(|other| *other < offset);
            let (from, to) = (place(range.from), place(range.to));
            found.push(Ok(rows.slice(from, to - from)));
        }
        stream::iter(found).boxed()
    }
}
