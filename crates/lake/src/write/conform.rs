//! Batches made to fit a table: columns found by name, cast where nothing is lost, absent ones filled with null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef};

use crate::LakeError;

/// The batch with exactly these columns, in this order and of these types.
///
/// # Errors
/// [`LakeError::Schema`] for a column that the table lacks, that does not cast, or that is null where it must not be.
pub(crate) fn conform(
    batch: &RecordBatch,
    schema: &SchemaRef,
    table: &str,
) -> Result<RecordBatch, LakeError> {
    let fails = |column: &str, reason: String| LakeError::Schema {
        table: table.to_owned(),
        column: column.to_owned(),
        reason,
    };
    let given = batch.schema_ref();
    if let Some(extra) = given.fields().iter().find(|field| schema.index_of(field.name()).is_err()) {
        return Err(fails(extra.name(), "the table has no such column; add it to the dataset first".into()));
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = match given.index_of(field.name()) {
            Ok(index) => cast(batch.column(index), field).map_err(|reason| fails(field.name(), reason))?,
            Err(_) => new_null_array(field.data_type(), batch.num_rows()),
        };
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(fails(
                field.name(),
                format!("{} of {} rows have no value for it", column.null_count(), batch.num_rows()),
            ));
        }
        columns.push(column);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| fails("", error.to_string()))
}

fn cast(column: &ArrayRef, field: &Field) -> Result<ArrayRef, String> {
    let (from, to) = (column.data_type(), field.data_type());
    if from == to {
        return Ok(Arc::clone(column));
    }
    if !casts(from, to) {
        return Err(format!(
            "values of type {from} cannot become {to}; cast them in the query, or change the column's type"
        ));
    }
    // A value that does not fit is an error, not a null.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, to, &options).map_err(|error| error.to_string())
}

/// Whether values of one type mean the same in the other, where they fit.
fn casts(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Date64, Dictionary, FixedSizeBinary, LargeBinary, LargeUtf8, Null, Utf8,
        Utf8View,
    };
    match (from, to) {
        (Null, _) => true,
        (Dictionary(_, value), to) => casts(value, to) || **value == *to,
        (Utf8View | LargeUtf8, Utf8) | (BinaryView | LargeBinary | FixedSizeBinary(_), Binary) => true,
        (Date32 | Date64, Date32 | DataType::Timestamp(_, _)) => true,
        (DataType::Timestamp(_, _), DataType::Timestamp(_, _)) => true,
        (from, to) if from.is_floating() => to.is_floating() || to.is_decimal(),
        (from, to) if from.is_integer() => to.is_numeric(),
        (from, to) if from.is_decimal() => to.is_decimal() || to.is_floating(),
        (from, to) if from.is_nested() && to.is_nested() => nested(from, to),
        _ => false,
    }
}

fn nested(from: &DataType, to: &DataType) -> bool {
    let fits = |one: &Field, other: &Field| {
        one.data_type().equals_datatype(other.data_type()) || casts(one.data_type(), other.data_type())
    };
    match (from, to) {
        (
            DataType::List(one)
            | DataType::LargeList(one)
            | DataType::FixedSizeList(one, _)
            | DataType::ListView(one),
            DataType::List(other),
        ) => fits(one, other),
        (DataType::Struct(ones), DataType::Struct(others)) => {
            ones.len() == others.len()
                && ones.iter().zip(others).all(|(one, other)| one.name() == other.name() && fits(one, other))
        }
        _ => false,
    }
}
