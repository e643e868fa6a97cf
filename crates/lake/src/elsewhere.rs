//! Rows of a table that lie elsewhere than in its files.
//!
//! Owns: how a commit names them ([`OffsetRange`]), and how they are read beside the rows of files. Does not own: where they
//! lie, and how they are found there ([`RowsElsewhere`]).

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde::{Deserialize, Serialize};

use crate::write::conform;
use crate::{FileRef, LakeError, PartitionValues};

/// Rows that lie elsewhere: those of the records from one offset of an input up to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffsetRange {
    /// What positions in the input are called: `log/0`.
    pub input: String,
    /// The number of the partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset behind the last.
    pub to: i64,
    /// The rows of it, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The run that landed them; none where several did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// What can be read of the rows that lie elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The offsets whose records are still there.
    pub ranges: Vec<OffsetRange>,
    /// Records were there before them and are gone.
    pub gone: bool,
    /// When the oldest record that is still there was received; none when there is none.
    pub since: Option<DateTime<Utc>>,
}

/// Where the rows lie that are in no file of a table.
#[async_trait]
pub trait RowsElsewhere: fmt::Debug + Send + Sync {
    /// What can be read, of a table that has come to these positions (application id and offset).
    async fn kept(&self, positions: &[(String, i64)]) -> Result<Kept, LakeError>;

    /// The rows of a range in the order of their offsets, with at least these columns, as far as the table had them when the
    /// rows were landed.
    ///
    /// The stream fails where records of the range are no longer there.
    fn rows(
        self: Arc<Self>,
        range: OffsetRange,
        columns: &[String],
    ) -> BoxStream<'static, Result<RecordBatch, LakeError>>;
}

impl OffsetRange {
    /// The range as an entry among the files of the table. Its statistics say which partition it is of.
    pub(crate) fn entry(self) -> FileRef {
        let partition = self.partition;
        let stats = serde_json::json!({
            "numRecords": self.rows,
            "minValues": { crate::arrow_types::PARTITION: partition },
            "maxValues": { crate::arrow_types::PARTITION: partition },
        });
        FileRef {
            path: format!("{}@{}-{}", self.input, self.from, self.to),
            partition: PartitionValues::default(),
            bytes: 0,
            rows: self.rows,
            modified_ms: 0,
            stats: Some(Arc::from(stats.to_string())),
            logged: None,
            elsewhere: Some(Arc::new(self)),
        }
    }

    fn offsets(&self) -> i64 {
        (self.to - self.from).max(0)
    }

    /// A part of the range. It has some of its rows, and nobody knows how many, unless each offset has one.
    pub fn part(&self, from: i64, to: i64) -> Self {
        let (whole, part) = (u64::try_from(self.offsets()).ok(), u64::try_from(to - from).ok());
        let rows = match self.rows {
            Some(rows) if Some(rows) == whole => part,
            rows => rows.filter(|_| (from, to) == (self.from, self.to)),
        };
        Self { from, to, rows, ..self.clone() }
    }
}

pub(crate) fn out_of_reach(table: &str) -> LakeError {
    LakeError::Unreadable {
        table: table.to_owned(),
        reason: "they stay in the log (`landing: { keep: log }`), which this process does not read; ask the node that lands them".to_owned(),
    }
}

/// Reads ranges side by side, in `parts` of about as many offsets.
pub(crate) fn plan(
    source: &Arc<dyn RowsElsewhere>,
    table: &Arc<str>,
    schema: &SchemaRef,
    ranges: Vec<Arc<OffsetRange>>,
    parts: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let parts = split(ranges, parts).into_iter().map(|ranges| {
        let (source, table, schema) = (Arc::clone(source), Arc::clone(table), Arc::clone(schema));
        Arc::new(Part { source, table, schema, ranges }) as Arc<dyn PartitionStream>
    });
    let exec = StreamingTableExec::try_new(Arc::clone(schema), parts.collect(), None, [], false, None)?;
    Ok(Arc::new(exec))
}

/// Cuts ranges into parts of about as many offsets, in their order.
fn split(ranges: Vec<Arc<OffsetRange>>, parts: usize) -> Vec<Vec<OffsetRange>> {
    let total: i64 = ranges.iter().map(|range| range.offsets()).sum();
    let each = (total / i64::try_from(parts.max(1)).unwrap_or(1) + 1).max(1);
    let (mut split, mut part, mut room) = (Vec::new(), Vec::new(), each);
    for range in ranges {
        let mut from = range.from;
        while from < range.to {
            let to = range.to.min(from + room);
            part.push(range.part(from, to));
            room -= to - from;
            from = to;
            if room == 0 {
                split.push(std::mem::take(&mut part));
                room = each;
            }
        }
    }
    if !part.is_empty() {
        split.push(part);
    }
    split
}

/// Some ranges, one behind the other.
#[derive(Debug)]
struct Part {
    source: Arc<dyn RowsElsewhere>,
    table: Arc<str>,
    schema: SchemaRef,
    ranges: Vec<OffsetRange>,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (source, table, schema) =
            (Arc::clone(&self.source), Arc::clone(&self.table), Arc::clone(&self.schema));
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let rows =
            stream::iter(self.ranges.clone()).flat_map(move |range| Arc::clone(&source).rows(range, &names));
        let columns = Arc::clone(&self.schema);
        let rows = rows.map(move |batch| {
            let batch = batch.and_then(|batch| project(&batch, &columns, &table));
            batch.map_err(|error| DataFusionError::External(Box::new(error)))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }
}

/// The batch with just these columns.
fn project(batch: &RecordBatch, schema: &SchemaRef, table: &str) -> Result<RecordBatch, LakeError> {
    let wanted: Vec<usize> =
        schema.fields().iter().filter_map(|field| batch.schema_ref().index_of(field.name()).ok()).collect();
    let batch = batch.project(&wanted).map_err(|error| LakeError::Schema {
        table: table.to_owned(),
        column: String::new(),
        reason: error.to_string(),
    })?;
    if schema.fields().is_empty() {
        return Ok(batch);
    }
    conform(&batch, schema, table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64) -> Arc<OffsetRange> {
        let rows = Some(u64::try_from(to - from).expect("it is no less"));
        Arc::new(OffsetRange { input: "log/0".to_owned(), partition: 0, from, to, rows, run: None })
    }

    #[test]
    fn parts_have_every_offset_once_and_about_as_many_each() {
        let ranges = || vec![range(0, 7), range(10, 11), range(20, 40)];
        for parts in 1..6 {
            let split = split(ranges(), parts);
            assert!(split.len() <= parts, "{parts}: {split:?}");
            let of = |part: &Vec<OffsetRange>| -> Vec<i64> {
                part.iter().flat_map(|range| range.from..range.to).collect()
            };
            let all: Vec<i64> = split.iter().flat_map(of).collect();
            let expected: Vec<i64> = ranges().iter().flat_map(|range| range.from..range.to).collect();
            assert_eq!(all, expected);
            let sizes: Vec<usize> = split.iter().map(|part| of(part).len()).collect();
            assert!(sizes.iter().all(|size| *size <= 28 / parts + 1), "{sizes:?}");
        }
        assert_eq!(split(ranges(), 1)[0][0].rows, Some(7), "a range that is whole keeps its count");
    }
}
