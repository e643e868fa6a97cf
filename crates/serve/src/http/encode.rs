//! Record batches as bodies: JSON, NDJSON, CSV and the Arrow stream format, one batch at a time.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::compute::cast;
use arrow::csv;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{EncoderOptions, JsonFormat, LineDelimited, WriterBuilder, make_encoder};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Objects, separated by commas: the inside of an array.
    Json,
    /// One object a line.
    Ndjson,
    /// RFC 4180 with a header line.
    Csv,
    /// Arrow IPC, stream format.
    Arrow,
}

impl Format {
    /// The media types that answers to queries come in, in order of preference.
    pub const MEDIA_TYPES: [&'static str; 4] = [
        "application/json",
        "application/x-ndjson",
        "text/csv; charset=utf-8",
        "application/vnd.apache.arrow.stream",
    ];

    /// The format of one of [`Self::MEDIA_TYPES`].
    pub fn of(media_type: &str) -> Self {
        match media_type {
            "application/x-ndjson" => Self::Ndjson,
            "text/csv; charset=utf-8" => Self::Csv,
            "application/vnd.apache.arrow.stream" => Self::Arrow,
            _ => Self::Json,
        }
    }
}

/// Writes batches of one schema, one at a time, in one format.
pub(crate) struct Encoder {
    schema: SchemaRef,
    state: State,
}

enum State {
    Json { rows: bool },
    Ndjson,
    Csv { header: bool },
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    /// An encoder of batches with these columns. Names that repeat are told apart (`id`, `id_2`), since objects and
    /// most readers of tables know a column by its name.
    pub fn new(schema: &Schema, format: Format) -> Result<Self, ArrowError> {
        let schema = written_schema(schema, format);
        let state = match format {
            Format::Json => State::Json { rows: false },
            Format::Ndjson => State::Ndjson,
            Format::Csv => State::Csv { header: false },
            Format::Arrow => State::Arrow(Box::new(StreamWriter::try_new(Vec::new(), &schema)?)),
        };
        Ok(Self { schema, state })
    }

    /// The columns as they are written.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The bytes of one batch.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let batch = written_batch(batch, &self.schema)?;
        match &mut self.state {
            State::Json { rows } => {
                let mut bytes = Vec::new();
                if *rows && batch.num_rows() > 0 {
                    bytes.push(b',');
                }
                *rows |= batch.num_rows() > 0;
                write_json::<Separated>(&batch, bytes)
            }
            State::Ndjson => write_json::<LineDelimited>(&batch, Vec::new()),
            State::Csv { header } => {
                let mut bytes = Vec::new();
                let with_header = !std::mem::replace(header, true);
                csv::WriterBuilder::new().with_header(with_header).build(&mut bytes).write(&batch)?;
                Ok(bytes)
            }
            State::Arrow(writer) => {
                writer.write(&batch)?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }

    /// The bytes behind the last batch.
    pub fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        match &mut self.state {
            State::Json { .. } | State::Ndjson => Ok(Vec::new()),
            State::Csv { header: true } => Ok(Vec::new()),
            State::Csv { header: false } => self.batch(&RecordBatch::new_empty(self.schema.clone())),
            State::Arrow(writer) => {
                writer.finish()?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }
}

/// Objects with a comma between them.
#[derive(Debug, Default)]
struct Separated;

impl JsonFormat for Separated {
    fn start_row<W: std::io::Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        if is_first_row { Ok(()) } else { Ok(writer.write_all(b",")?) }
    }
}

fn write_json<F: JsonFormat>(batch: &RecordBatch, bytes: Vec<u8>) -> Result<Vec<u8>, ArrowError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, F>(bytes);
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

fn written_schema(schema: &Schema, format: Format) -> SchemaRef {
    let mut names = HashSet::new();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = match (format, field.data_type()) {
                // The views are younger than many readers of the format.
                (_, DataType::Utf8View) => DataType::Utf8,
                (_, DataType::BinaryView) => DataType::Binary,
                (Format::Csv, nested) if nested.is_nested() => DataType::Utf8,
                (_, other) => other.clone(),
            };
            Field::new(distinct(field.name(), &mut names), data_type, field.is_nullable())
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// The name, or the name with the first number that makes it another than those before it.
fn distinct(name: &str, names: &mut HashSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2u32;
    while !names.insert(candidate.clone()) {
        candidate = format!("{name}_{number}");
        number += 1;
    }
    candidate
}

fn written_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| match column.data_type() {
            same if same == field.data_type() => Ok(column.clone()),
            nested if nested.is_nested() => json_text(column, field),
            _ => cast(column, field.data_type()),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// Each value of a nested column as JSON, for a format that has only text.
fn json_text(column: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let field: FieldRef = Arc::new(Field::new(field.name(), column.data_type().clone(), true));
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(&field, column.as_ref(), &options)?;
    let mut texts = StringBuilder::new();
    let mut bytes = Vec::new();
    for row in 0..column.len() {
        if encoder.is_null(row) {
            texts.append_null();
            continue;
        }
        bytes.clear();
        encoder.encode(row, &mut bytes);
        texts.append_value(String::from_utf8_lossy(&bytes));
    }
    Ok(Arc::new(texts.finish()))
}

/// The type of a column in the words of a contract where it has one, else in Arrow's.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(item) => format!("list<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", field.name(), type_name(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::Dictionary(_, value) => type_name(value),
        other => other.to_string().to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use arrow::array::{Float64Array, Int64Array, ListArray, StringViewArray};
    use arrow::datatypes::Int32Type;
    use arrow::ipc::reader::StreamReader;

    use super::*;

    fn batch() -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("id", DataType::Utf8View, true),
            Field::new("list", DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true))), true),
            Field::new("ratio", DataType::Float64, true),
        ]);
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int64Array::from(vec![1, i64::MAX])),
                Arc::new(StringViewArray::from(vec![Some("a \"quoted\", text"), None])),
                Arc::new(lists),
                Arc::new(Float64Array::from(vec![f64::NAN, 0.5])),
            ],
        )
        .unwrap()
    }

    fn encode(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
        let mut encoder = Encoder::new(&batch().schema(), format).unwrap();
        let mut bytes: Vec<u8> = batches.iter().flat_map(|batch| encoder.batch(batch).unwrap()).collect();
        bytes.extend(encoder.finish().unwrap());
        bytes
    }

    #[test]
    fn json_rows_are_objects_with_distinct_names() {
        let empty = batch().slice(0, 0);
        let bytes = encode(Format::Json, &[empty.clone(), batch(), empty, batch().slice(1, 1)]);
        let rows: serde_json::Value =
            serde_json::from_str(&format!("[{}]", String::from_utf8(bytes).unwrap())).unwrap();
        let last = serde_json::json!({"id": i64::MAX, "id_2": null, "list": null, "ratio": 0.5});
        let first =
            serde_json::json!({"id": 1, "id_2": "a \"quoted\", text", "list": [1, null], "ratio": null});
        assert_eq!(rows, serde_json::json!([first, last, last]));
    }

    #[test]
    fn ndjson_has_one_object_a_line() {
        let text = String::from_utf8(encode(Format::Ndjson, &[batch(), batch()])).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(
            text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().is_object())
        );
    }

    #[test]
    fn csv_has_one_header_and_nested_values_as_json() {
        let text = String::from_utf8(encode(Format::Csv, &[batch(), batch().slice(1, 1)])).unwrap();
        let expected = "id,id_2,list,ratio\n1,\"a \"\"quoted\"\", text\",\"[1,null]\",NaN\n";
        assert_eq!(text, format!("{expected}{0},,,0.5\n{0},,,0.5\n", i64::MAX));
        assert_eq!(encode(Format::Csv, &[]), b"id,id_2,list,ratio\n");
    }

    #[test]
    fn an_arrow_stream_reads_back() {
        for batches in [vec![], vec![batch(), batch()]] {
            let bytes = encode(Format::Arrow, &batches);
            let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
            assert_eq!(reader.schema().field(1).data_type(), &DataType::Utf8);
            let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
            assert_eq!(rows, batches.len() * 2);
        }
    }

    #[test]
    fn types_have_the_contracts_words() {
        let schema = batch().schema();
        let names: Vec<String> = schema.fields().iter().map(|field| type_name(field.data_type())).collect();
        assert_eq!(names, ["int64", "string", "list<int32>", "float64"]);
    }
}
