//! Batches taken apart by the values of the partition columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use datafusion::scalar::ScalarValue;

use crate::PartitionValues;

/// Takes batches apart; keeps its converter, so that a key means the same from batch to batch.
#[derive(Debug)]
pub(crate) struct Splitter {
    names: Vec<String>,
    indices: Vec<usize>,
    /// The other columns: those that are in the files.
    kept: Vec<usize>,
    converter: RowConverter,
}

/// The rows of one partition.
pub(crate) struct Part {
    pub(crate) key: OwnedRow,
    pub(crate) rows: RecordBatch,
    /// The partition columns of the first of the rows, for [`Splitter::values`].
    first: Vec<ScalarValue>,
}

impl Splitter {
    /// Takes apart batches of this schema by these of its columns.
    pub(crate) fn new(schema: &arrow::datatypes::Schema, names: &[String]) -> Result<Self, ArrowError> {
        let indices = names.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let fields =
            indices.iter().map(|&index| SortField::new(schema.field(index).data_type().clone())).collect();
        let kept = (0..schema.fields().len()).filter(|index| !indices.contains(index)).collect();
        Ok(Self { names: names.to_vec(), indices, kept, converter: RowConverter::new(fields)? })
    }

    /// The rows of each partition that the batch touches, in the order in which it touches them. Costs nothing but a
    /// look at each row when it touches only one.
    pub(crate) fn split(&self, batch: &RecordBatch) -> Result<Vec<Part>, ArrowError> {
        let keys: Vec<ArrayRef> = self.indices.iter().map(|&index| Arc::clone(batch.column(index))).collect();
        let rows = self.converter.convert_columns(&keys)?;
        let whole = batch.project(&self.kept)?;
        if (1..rows.num_rows()).all(|row| rows.row(row) == rows.row(0)) {
            return Ok(vec![self.part(&keys, &rows, 0, whole)?]);
        }
        let mut groups: HashMap<_, usize> = HashMap::new();
        let mut members: Vec<Vec<u32>> = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let group = *groups.entry(row).or_insert(members.len());
            if group == members.len() {
                members.push(Vec::new());
            }
            members[group].push(u32::try_from(index).unwrap_or(u32::MAX));
        }
        let taken = members.into_iter().map(|members| {
            let first = members[0] as usize;
            let rows_of = take_record_batch(&whole, &UInt32Array::from(members))?;
            self.part(&keys, &rows, first, rows_of)
        });
        taken.collect()
    }

    fn part(
        &self,
        keys: &[ArrayRef],
        rows: &Rows,
        first: usize,
        batch: RecordBatch,
    ) -> Result<Part, ArrowError> {
        let scalar = |key: &ArrayRef| {
            ScalarValue::try_from_array(key, first)
                .map_err(|error| ArrowError::ExternalError(Box::new(error)))
        };
        let first_values = keys.iter().map(scalar).collect::<Result<_, _>>()?;
        Ok(Part { key: rows.row(first).owned(), rows: batch, first: first_values })
    }

    /// The partition that the part's rows lie in. An empty text is null, as Delta has it.
    pub(crate) fn values(&self, part: &Part) -> PartitionValues {
        let value = |value: &ScalarValue| match value {
            ScalarValue::Utf8(Some(text)) if text.is_empty() => ScalarValue::Utf8(None),
            other => other.clone(),
        };
        PartitionValues(self.names.iter().cloned().zip(part.first.iter().map(value)).collect())
    }
}
