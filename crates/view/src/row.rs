//! Rows of system tables: a struct for Rust, the same columns for Arrow, and the way from one to the other.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::json::{ArrayWriter, ReaderBuilder};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ViewError;

/// A row of a system table. Its fields are the columns of the table, by name and in order.
pub trait SystemRow: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The table's name in the schema `system`.
    const TABLE: &'static str;

    /// The columns.
    fn schema() -> SchemaRef;
}

/// The rows of a query's result as structs. The batches may come from anywhere that kept the columns' names and
/// types; columns that the struct does not have are ignored.
///
/// # Errors
/// [`ViewError::Rows`] when a column that the struct must have is missing or of another type.
pub fn rows<R: DeserializeOwned>(batches: &[RecordBatch]) -> Result<Vec<R>, ViewError> {
    let mut writer = ArrayWriter::new(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(ViewError::rows)?;
    }
    writer.finish().map_err(ViewError::rows)?;
    let json = writer.into_inner();
    if json.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&json).map_err(ViewError::rows)
}

/// Structs as one batch with the columns of their table.
pub(crate) fn batch<R: SystemRow>(rows: &[R]) -> Result<RecordBatch, ViewError> {
    let schema = R::schema();
    if rows.is_empty() {
        return Ok(RecordBatch::new_empty(schema));
    }
    let mut decoder = ReaderBuilder::new(schema.clone())
        .with_batch_size(rows.len())
        .build_decoder()
        .map_err(ViewError::rows)?;
    decoder.serialize(rows).map_err(ViewError::rows)?;
    let batch = decoder.flush().map_err(ViewError::rows)?;
    Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(schema)))
}

/// A Rust type that can be the type of a column.
pub(crate) trait ColumnValue {
    const NULLABLE: bool = false;
    fn data_type() -> DataType;
}

macro_rules! column_values {
    ($($rust:ty => $arrow:expr),* $(,)?) => {
        $(impl ColumnValue for $rust {
            fn data_type() -> DataType {
                $arrow
            }
        })*
    };
}

// Counts are signed in SQL: clients over the Postgres wire have no unsigned integers.
column_values! {
    String => DataType::Utf8,
    bool => DataType::Boolean,
    u32 => DataType::Int32,
    i64 => DataType::Int64,
    f64 => DataType::Float64,
    u64 => DataType::Int64,
    DateTime<Utc> => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    Vec<String> => DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))),
}

impl<T: ColumnValue> ColumnValue for Option<T> {
    const NULLABLE: bool = true;
    fn data_type() -> DataType {
        T::data_type()
    }
}

pub(crate) fn field<T: ColumnValue>(name: &str) -> Field {
    Field::new(name.trim_start_matches("r#"), T::data_type(), T::NULLABLE)
}

pub(crate) fn schema_of(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

/// Declares the struct of a system table's row together with its Arrow columns, so that they cannot part.
macro_rules! system_row {
    (
        $(#[$meta:meta])*
        $table:literal => $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $kind:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
        }

        impl $crate::row::SystemRow for $name {
            const TABLE: &'static str = $table;

            fn schema() -> arrow::datatypes::SchemaRef {
                $crate::row::schema_of(vec![$($crate::row::field::<$kind>(stringify!($field)),)*])
            }
        }
    };
}
pub(crate) use system_row;
