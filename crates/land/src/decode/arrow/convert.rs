//! One array of any type becomes an array of a contract's type.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use arrow::error::ArrowError;
use flowline_lake::arrow_types;
use flowline_model::ColumnType;

use super::{json, nested};
use crate::decode::column::ColumnBuilder;
use crate::decode::time::TimeFormat;

/// The values that fit, null where one does not, and why not.
pub(super) struct Column {
    pub(super) array: ArrayRef,
    pub(super) wrong: BTreeMap<usize, String>,
    /// The first nested field that the contract does not know.
    pub(super) unknown: Option<String>,
}

impl Column {
    pub(super) fn fits(array: ArrayRef) -> Self {
        Self { array, wrong: BTreeMap::new(), unknown: None }
    }
}

/// Converts an array. Cost: nothing when it has the type already, a vectorized cast for numbers and times, and a look
/// at each value for what is sent as text.
pub(super) fn convert(
    array: &ArrayRef,
    kind: &ColumnType,
    format: &Arc<TimeFormat>,
) -> Result<Column, ArrowError> {
    let array = &plain(array)?;
    let target = arrow_types::data_type(kind);
    let source = array.data_type().clone();
    if source == DataType::Null {
        return Ok(Column::fits(new_null_array(&target, array.len())));
    }
    match kind {
        ColumnType::Json => as_json(array),
        ColumnType::List(item) => match source {
            DataType::List(_) => nested::list(array, item, format),
            _ => Ok(refuse(array, &target)),
        },
        ColumnType::Struct(fields) => match source {
            DataType::Struct(_) => nested::structure(array, fields, format),
            _ => Ok(refuse(array, &target)),
        },
        _ if source == target => Ok(Column::fits(Arc::clone(array))),
        ColumnType::String | ColumnType::Boolean => Ok(refuse(array, &target)),
        _ if source == DataType::Utf8 => Ok(from_text(array, kind, format)),
        ColumnType::Date | ColumnType::Timestamp => temporal(array, kind, &target, format),
        ColumnType::Binary => match source {
            DataType::FixedSizeBinary(_) => cast(array, &target).map(Column::fits),
            _ => Ok(refuse(array, &target)),
        },
        _ if source.is_integer() => checked(array, &target, None),
        _ if source.is_floating() => float(array, kind, &target, format),
        _ if is_decimal(&source) => checked(array, &target, Some(&source)),
        _ => Ok(refuse(array, &target)),
    }
}

/// Undoes what is only a way of storing values: dictionaries, runs, views, and the wide and narrow forms of a type.
fn plain(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let target = match array.data_type() {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::LargeList(field) | DataType::FixedSizeList(field, _) => DataType::List(Arc::clone(field)),
        _ => return Ok(Arc::clone(array)),
    };
    plain(&cast(array, &target)?)
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    )
}

/// Casts; what cannot be cast becomes null.
fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, target, &CastOptions { safe: true, ..Default::default() })
}

/// Casts, and finds the values that became null or, where it is cast back to `back`, another value.
fn checked(array: &ArrayRef, target: &DataType, back: Option<&DataType>) -> Result<Column, ArrowError> {
    let cast_array = cast(array, target)?;
    let again = back.map(|back| cast(&cast_array, back)).transpose()?;
    let same = again.map(|again| arrow::compute::kernels::cmp::not_distinct(&again, array)).transpose()?;
    let lost = |row: usize| cast_array.is_null(row) || same.as_ref().is_some_and(|same| !same.value(row));
    let wrong: BTreeMap<usize, String> = (0..array.len())
        .filter(|row| array.is_valid(*row) && lost(*row))
        .map(|row| (row, format!("the value is out of the range of `{target}`")))
        .collect();
    Ok(Column { array: cast_array, wrong, unknown: None })
}

/// Floats go to floats as they are, and to exact types by the digits that stand for them.
fn float(
    array: &ArrayRef,
    kind: &ColumnType,
    target: &DataType,
    format: &Arc<TimeFormat>,
) -> Result<Column, ArrowError> {
    if !target.is_floating() {
        // The shortest text that stands for a float is what JSON of the same value would hold.
        let narrow = array.data_type() == &DataType::Float32;
        let floats = cast(array, &DataType::Float64)?;
        let floats = floats.as_primitive::<Float64Type>();
        let text = |value: f64| if narrow { (value as f32).to_string() } else { value.to_string() };
        let texts: StringArray = floats.iter().map(|value| value.map(text)).collect();
        return Ok(from_text(&(Arc::new(texts) as ArrayRef), kind, format));
    }
    let mut column = checked(array, target, None)?;
    if target == &DataType::Float32 {
        let (before, after) = (cast(array, &DataType::Float64)?, cast(&column.array, &DataType::Float64)?);
        let (before, after) = (before.as_primitive::<Float64Type>(), after.as_primitive::<Float64Type>());
        for row in (0..array.len()).filter(|row| before.is_valid(*row)) {
            if before.value(row).is_finite() && !after.value(row).is_finite() {
                column.wrong.insert(row, format!("the value is out of the range of `{target}`"));
            }
        }
    }
    Ok(column)
}

fn temporal(
    array: &ArrayRef,
    kind: &ColumnType,
    target: &DataType,
    format: &Arc<TimeFormat>,
) -> Result<Column, ArrowError> {
    match (array.data_type(), kind) {
        (DataType::Timestamp(..) | DataType::Date32 | DataType::Date64, ColumnType::Timestamp)
        | (DataType::Date64, ColumnType::Date) => checked(array, target, None),
        (source, _) if source.is_numeric() && format.is_epoch() => {
            let texts = cast(array, &DataType::Utf8)?;
            Ok(from_text(&texts, kind, format))
        }
        _ => Ok(refuse(array, target)),
    }
}

/// Reads each value as the text formats do.
fn from_text(array: &ArrayRef, kind: &ColumnType, format: &Arc<TimeFormat>) -> Column {
    let texts = array.as_string::<i32>();
    let mut builder = ColumnBuilder::new(kind, format, texts.len());
    let mut wrong = BTreeMap::new();
    for (row, text) in texts.iter().enumerate() {
        match text.map(|text| builder.append_text(text)) {
            None => builder.append_null(),
            Some(Ok(())) => {}
            Some(Err(message)) => {
                wrong.insert(row, message);
            }
        }
    }
    Column { array: builder.finish(), wrong, unknown: None }
}

/// Text is JSON already and is checked to be; everything else is written as JSON.
fn as_json(array: &ArrayRef) -> Result<Column, ArrowError> {
    if array.data_type() == &DataType::Utf8 {
        return Ok(from_text(array, &ColumnType::Json, &Arc::new(TimeFormat::Iso)));
    }
    let schema = Schema::new(vec![Field::new("value", array.data_type().clone(), true)]);
    let values = json::values(&RecordBatch::try_new(Arc::new(schema), vec![Arc::clone(array)])?)?;
    Ok(Column::fits(Arc::new(values.into_iter().collect::<StringArray>())))
}

/// No value of the array is of the target's kind.
fn refuse(array: &ArrayRef, target: &DataType) -> Column {
    let message = format!("expected `{target}`, found `{}`", array.data_type());
    let wrong =
        (0..array.len()).filter(|row| array.is_valid(*row)).map(|row| (row, message.clone())).collect();
    Column { array: new_null_array(target, array.len()), wrong, unknown: None }
}
