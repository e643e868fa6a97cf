//! Contract columns as Arrow fields, and the columns that Flowline adds to every landed and quarantine table.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use flowline_model::{Column, ColumnType, Dataset, PartitionField, PartitionTransform};

/// Unknown fields of a record, as one JSON object; null when there are none.
pub const EXTRA: &str = "_extra";
/// When the rows were landed.
pub const INGESTED_AT: &str = "_ingested_at";
/// When the record was received: by the gateway, or the file's time of modification.
pub const RECEIVED_AT: &str = "_received_at";
/// `http`, or the path of the file.
pub const SOURCE: &str = "_source";
/// The partition of the log.
pub const PARTITION: &str = "_partition";
/// The offset in the partition, or the record's number in the file.
pub const OFFSET: &str = "_offset";
/// The run that landed it.
pub const BATCH: &str = "_batch";
/// The trace of the request that brought it.
pub const TRACE: &str = "_trace";

/// The Arrow type of a contract's column type.
pub fn data_type(kind: &ColumnType) -> DataType {
    match kind {
        ColumnType::String | ColumnType::Json => DataType::Utf8,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Int8 => DataType::Int8,
        ColumnType::Int16 => DataType::Int16,
        ColumnType::Int32 => DataType::Int32,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float32 => DataType::Float32,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(*precision, (*scale).min(38) as i8),
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => timestamp(),
        ColumnType::Binary => DataType::Binary,
        ColumnType::List(item) => DataType::List(Arc::new(Field::new("element", data_type(item), true))),
        ColumnType::Struct(fields) => DataType::Struct(
            fields.iter().map(|(name, kind)| Field::new(name, data_type(kind), true)).collect::<Fields>(),
        ),
    }
}

/// Microseconds since the epoch, UTC: the type of every timestamp that Flowline stores.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

/// The Arrow field of a contract's column; nullable unless the column is required.
pub fn field(column: &Column) -> Field {
    Field::new(&column.name, data_type(&column.data_type), !column.required)
}

/// The Arrow schema of a contract's columns, in their order.
pub fn schema(columns: &[Column]) -> Schema {
    Schema::new(columns.iter().map(field).collect::<Vec<_>>())
}

/// The column that holds what an Arrow field holds. Types that Delta lacks become the nearest that holds every value
/// (unsigned integers widen, views and dictionaries become their plain type); what has none becomes a string.
pub fn column_of(field: &Field) -> Column {
    let mut column = Column::new(field.name(), column_type(field.data_type()));
    column.required = !field.is_nullable();
    column
}

/// The column type that holds what an Arrow type holds; see [`column_of`].
pub fn column_type(kind: &DataType) -> ColumnType {
    match kind {
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8 => ColumnType::Int8,
        DataType::Int16 | DataType::UInt8 => ColumnType::Int16,
        DataType::Int32 | DataType::UInt16 => ColumnType::Int32,
        DataType::Int64 | DataType::UInt32 | DataType::Duration(_) => ColumnType::Int64,
        DataType::UInt64 => ColumnType::Decimal { precision: 20, scale: 0 },
        DataType::Float16 | DataType::Float32 => ColumnType::Float32,
        DataType::Float64 => ColumnType::Float64,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => decimal(*precision, *scale),
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Timestamp(_, _) => ColumnType::Timestamp,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnType::Binary
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => ColumnType::List(Box::new(column_type(item.data_type()))),
        DataType::Struct(fields) => ColumnType::Struct(
            fields.iter().map(|field| (field.name().clone(), column_type(field.data_type()))).collect(),
        ),
        DataType::Dictionary(_, value) => column_type(value),
        DataType::RunEndEncoded(_, values) => column_type(values.data_type()),
        _ => ColumnType::String,
    }
}

/// A decimal with a negative scale (`12e3`) takes its zeros into the precision; more than 38 digits are cut to 38.
fn decimal(precision: u8, scale: i8) -> ColumnType {
    let zeros = scale.min(0).unsigned_abs();
    let scale = scale.max(0).unsigned_abs();
    let precision = precision.saturating_add(zeros).clamp(1, 38);
    ColumnType::Decimal { precision, scale: scale.min(precision) }
}

/// The columns that say where a landed record came from.
pub fn stamp_fields() -> Vec<Field> {
    vec![
        Field::new(INGESTED_AT, timestamp(), false),
        Field::new(RECEIVED_AT, timestamp(), false),
        Field::new(SOURCE, DataType::Utf8, false),
        Field::new(PARTITION, DataType::Int32, false),
        Field::new(OFFSET, DataType::Int64, false),
        Field::new(BATCH, DataType::Utf8, false),
        Field::new(TRACE, DataType::Utf8, true),
    ]
}

/// The columns of a landed dataset's table: the contract's, [`EXTRA`], the stamps, and the partition columns that are
/// derived from others (`ts_day`).
pub fn landed_schema(dataset: &Dataset) -> SchemaRef {
    let mut fields: Vec<Field> = dataset.columns.iter().map(field).collect();
    fields.push(Field::new(EXTRA, DataType::Utf8, true));
    fields.extend(stamp_fields());
    fields.extend(derived_partition_fields(dataset));
    Arc::new(Schema::new(fields))
}

/// The partition columns that are derived from a contract's columns: the day, month or year of one, as a date.
pub fn derived_partition_fields(dataset: &Dataset) -> Vec<Field> {
    let derived = |field: &&PartitionField| field.transform != PartitionTransform::Identity;
    let partitions = dataset.partition_by.iter().filter(derived);
    partitions.map(|field| Field::new(field.partition_column(), DataType::Date32, true)).collect()
}

/// The names of the table's partition columns, outermost first.
pub fn partition_columns(dataset: &Dataset) -> Vec<String> {
    dataset.partition_by.iter().map(PartitionField::partition_column).collect()
}

/// The columns of every quarantine table: why, the record as it came, and the stamps.
pub fn quarantine_schema() -> SchemaRef {
    let mut fields = vec![
        Field::new("_reason", DataType::Utf8, false),
        Field::new("_column", DataType::Utf8, true),
        Field::new("_message", DataType::Utf8, false),
        Field::new("_record", DataType::Utf8, false),
        Field::new("_record_base64", DataType::Utf8, true),
        Field::new("_format", DataType::Utf8, false),
        Field::new("_schema", DataType::Utf8, true),
    ];
    fields.extend(stamp_fields());
    Arc::new(Schema::new(fields))
}
