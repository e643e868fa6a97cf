//! Rows become the bytes of a Parquet file, the columns of a batch side by side.
//!
//! Owns: row groups, and who encodes which column. Does not own: how a column is encoded (`encoding`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, SchemaRef};
use bytes::Bytes;
use flowline_base::compute::join;
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::flat::FlatColumn;
use super::sink::Sink;
use crate::delta::stats;

/// Works without waiting, so that it can move to a thread for such work.
pub(super) struct Encoder {
    writer: SerializedFileWriter<Sink>,
    row_groups: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    rows_max: usize,
    bytes_max: usize,
    /// The row group under way; no columns when there is none.
    columns: Vec<Column>,
    rows: usize,
    /// Columns that have values without a place in their order.
    unordered: Vec<String>,
}

/// What an encoder holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    /// Bytes of the file.
    pub(super) file: usize,
    /// Bytes of memory.
    pub(super) memory: usize,
}

/// One column of a row group.
enum Column {
    Flat(Box<FlatColumn>),
    /// What the library encodes; several leaves where values are nested.
    Leaves(Vec<ArrowColumnWriter>),
}

/// The next values of a column, to be encoded.
struct Job {
    index: usize,
    field: FieldRef,
    values: ArrayRef,
    column: Column,
}

/// A column after that; whether there were values without an order among them.
struct Done {
    index: usize,
    column: Column,
    encoded: Result<bool, ParquetError>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("bytes", &self.writer.bytes_written()).finish_non_exhaustive()
    }
}

impl Encoder {
    pub(super) fn new(schema: SchemaRef, properties: WriterProperties) -> Result<Self, ParquetError> {
        let (rows_max, bytes_max) = (properties.max_row_group_row_count(), properties.max_row_group_bytes());
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Sink::default(), Arc::clone(&schema), options)?;
        let (writer, row_groups) = writer.into_serialized_writer()?;
        Ok(Self {
            writer,
            row_groups,
            schema,
            rows_max: rows_max.unwrap_or(usize::MAX),
            bytes_max: bytes_max.unwrap_or(usize::MAX),
            columns: Vec::new(),
            rows: 0,
            unordered: Vec::new(),
        })
    }

    pub(super) fn held(&self) -> Held {
        Held {
            file: self.columns.iter().map(Column::bytes).sum(),
            memory: self.columns.iter().map(Column::memory_bytes).sum(),
        }
    }

    /// Encodes rows. Returns the bytes that are ready.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Vec<Bytes>, ParquetError> {
        let mut from = 0;
        while from < batch.num_rows() {
            if self.columns.is_empty() {
                self.begin()?;
            }
            let count = (batch.num_rows() - from).min(self.rows_max - self.rows);
            self.encode(&batch.slice(from, count))?;
            (self.rows, from) = (self.rows + count, from + count);
            if self.rows >= self.rows_max || self.held().file >= self.bytes_max {
                self.end_row_group()?;
            }
        }
        Ok(self.writer.inner_mut().take())
    }

    /// Ends the row group under way, which leaves memory. Returns the bytes that are ready.
    pub(super) fn flush(&mut self) -> Result<Vec<Bytes>, ParquetError> {
        self.end_row_group()?;
        Ok(self.writer.inner_mut().take())
    }

    /// Closes the file; its statistics and the bytes that are left.
    pub(super) fn finish(&mut self) -> Result<(String, Vec<Bytes>), ParquetError> {
        self.end_row_group()?;
        let metadata = self.writer.finish()?;
        let stats = stats::collect(&metadata, &self.schema, &self.unordered)?;
        Ok((stats, self.writer.inner_mut().take()))
    }

    fn begin(&mut self) -> Result<(), ParquetError> {
        let leaves = self.row_groups.create_column_writers(self.writer.flushed_row_groups().len())?;
        self.columns.resize_with(self.schema.fields().len(), || Column::Leaves(Vec::new()));
        let (parquet, properties) = (self.writer.schema_descr(), self.writer.properties());
        for (number, leaf) in leaves.into_iter().enumerate() {
            let root = parquet.get_column_root_idx(number);
            let kind = self.schema.field(root).data_type();
            if let Some(flat) = FlatColumn::new(&parquet.column(number), kind, properties) {
                self.columns[root] = Column::Flat(Box::new(flat));
            } else if let Column::Leaves(leaves) = &mut self.columns[root] {
                leaves.push(leaf);
            }
        }
        Ok(())
    }

    fn end_row_group(&mut self) -> Result<(), ParquetError> {
        if self.columns.is_empty() {
            return Ok(());
        }
        self.rows = 0;
        let mut row_group = self.writer.next_row_group()?;
        for column in std::mem::take(&mut self.columns) {
            match column {
                Column::Flat(flat) => flat.close()?.append_to(&mut row_group)?,
                Column::Leaves(leaves) => {
                    for leaf in leaves {
                        leaf.close()?.append_to_row_group(&mut row_group)?;
                    }
                }
            }
        }
        row_group.close().map(drop)
    }

    /// Columns are taken up one after the other by whoever has time, the largest first.
    fn encode(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let columns = std::mem::take(&mut self.columns).into_iter().enumerate();
        let fields = self.schema.fields().iter().zip(batch.columns());
        let job = |((index, column), (field, values)): ((usize, Column), (&FieldRef, &ArrayRef))| Job {
            index,
            field: Arc::clone(field),
            values: Arc::clone(values),
            column,
        };
        let mut jobs: Vec<Job> = columns.zip(fields).map(job).collect();
        jobs.sort_by_key(|job| job.values.get_buffer_memory_size());
        let jobs = Mutex::new(jobs);
        let (mut done, helped) = join(|| work_off(&jobs), || work_off(&jobs));
        done.extend(helped);
        done.sort_by_key(|done| done.index);
        for done in done {
            let unordered = done.encoded?;
            let name = self.schema.field(done.index).name();
            if unordered && !self.unordered.contains(name) {
                self.unordered.push(name.clone());
            }
            self.columns.push(done.column);
        }
        Ok(())
    }
}

fn work_off(jobs: &Mutex<Vec<Job>>) -> Vec<Done> {
    let mut done = Vec::new();
    loop {
        // The lock is held for as long as it takes to get one.
        let Some(job) = jobs.lock().pop() else { return done };
        done.push(job.encode());
    }
}

impl Job {
    fn encode(self) -> Done {
        let Self { index, field, values, mut column } = self;
        let encoded = column.write(&field, &values).map(|()| has_nan(&values));
        Done { index, column, encoded }
    }
}

impl Column {
    fn bytes(&self) -> usize {
        match self {
            Self::Flat(flat) => flat.bytes(),
            Self::Leaves(leaves) => leaves.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum(),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Flat(flat) => flat.memory_bytes(),
            Self::Leaves(leaves) => leaves.iter().map(ArrowColumnWriter::memory_size).sum(),
        }
    }

    fn write(&mut self, field: &Field, values: &ArrayRef) -> Result<(), ParquetError> {
        match self {
            Self::Flat(flat) => flat.write(values),
            Self::Leaves(writers) => {
                let leaves = compute_leaves(field, values)?;
                writers.iter_mut().zip(&leaves).try_for_each(|(writer, leaf)| writer.write(leaf))
            }
        }
    }
}

fn has_nan(column: &dyn Array) -> bool {
    match column.data_type() {
        DataType::Float32 => column.as_primitive::<Float32Type>().values().iter().any(|value| value.is_nan()),
        DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().any(|value| value.is_nan()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use arrow::array::{Float64Array, Int64Array, ListArray, StringArray, StructArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Field, Int64Type, Schema};
    use flowline_base::compute;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn rows(from: i64, count: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count));
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter_values((from..from + count).map(|n| format!("text {n}"))));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
            (from..from + count).map(|n| (n % 3 != 0).then(|| vec![Some(n), None, Some(n % 7)])),
        ));
        let floats: ArrayRef = Arc::new(Float64Array::from_iter_values(
            (from..from + count).map(|n| if n == 77 { f64::NAN } else { n as f64 }),
        ));
        let inner = |name, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
        let parts: ArrayRef = Arc::new(StructArray::from(vec![
            (inner("number", &numbers), Arc::clone(&numbers)),
            (inner("lists", &lists), Arc::clone(&lists)),
        ]));
        RecordBatch::try_from_iter_with_nullable([
            ("number", numbers, true),
            ("text", texts, true),
            ("parts", parts, true),
            ("list", lists, true),
            ("float", floats, true),
        ])
        .unwrap()
    }

    fn written(batches: &[RecordBatch]) -> (Bytes, Vec<String>) {
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1_000)).build();
        let mut encoder = Encoder::new(batches[0].schema(), properties).unwrap();
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend(encoder.write(batch).unwrap());
        }
        bytes.extend(encoder.finish().unwrap().1);
        (bytes.concat().into(), encoder.unordered)
    }

    #[tokio::test]
    async fn columns_that_are_encoded_side_by_side_are_read_as_they_were() {
        let batches = [rows(0, 700), rows(700, 2_600), rows(3_300, 1)];
        let schema: Arc<Schema> = batches[0].schema();
        let expected = concat_batches(&schema, &batches).unwrap();
        let alone = written(&batches);
        let helped = compute(move || written(&batches)).await.unwrap();
        assert_eq!(alone, helped, "who encodes a column makes no difference");
        assert_eq!(alone.1, ["float"]);
        let reader = ParquetRecordBatchReaderBuilder::try_new(alone.0).unwrap();
        let row_groups: Vec<i64> =
            reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(row_groups, [1_000, 1_000, 1_000, 301]);
        let read: Vec<RecordBatch> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
        let read = concat_batches(&read[0].schema(), &read).unwrap();
        // A NaN equals none.
        let debug = |rows: &RecordBatch| format!("{:?}", rows.columns());
        assert_eq!(debug(&read), debug(&expected));
    }
}
