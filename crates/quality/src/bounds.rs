//! Bounds of the values of a column, in the column's own type.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;

/// A least and a greatest value, both included. What is not between them fails, also what is no number.
#[derive(Debug)]
pub(crate) enum Bounds {
    Int8(i8, i8),
    Int16(i16, i16),
    Int32(i32, i32),
    Int64(i64, i64),
    Float32(f32, f32),
    Float64(f64, f64),
    Decimal128(i128, i128),
    Date32(i32, i32),
    Timestamp(i64, i64),
    Text(Option<String>, Option<String>),
}

impl Bounds {
    /// The bounds for a column of this type.
    ///
    /// # Errors
    /// Why they cannot be: the type has no order, or a text is no value of it.
    pub fn of(kind: &DataType, min: Option<&str>, max: Option<&str>) -> Result<Self, String> {
        Ok(match kind {
            DataType::Int8 => whole(min, max, i8::MIN, i8::MAX).map(|(min, max)| Self::Int8(min, max))?,
            DataType::Int16 => whole(min, max, i16::MIN, i16::MAX).map(|(min, max)| Self::Int16(min, max))?,
            DataType::Int32 => whole(min, max, i32::MIN, i32::MAX).map(|(min, max)| Self::Int32(min, max))?,
            DataType::Int64 => whole(min, max, i64::MIN, i64::MAX).map(|(min, max)| Self::Int64(min, max))?,
            DataType::Float32 => {
                let (min, max) = floats(min, max)?;
                Self::Float32(min as f32, max as f32)
            }
            DataType::Float64 => floats(min, max).map(|(min, max)| Self::Float64(min, max))?,
            DataType::Decimal128(_, _) => {
                let one = |text: Option<&str>, otherwise: i128| match text.map(|text| typed(kind, text)) {
                    None => Ok(otherwise),
                    Some(Ok(ScalarValue::Decimal128(Some(value), _, _))) => Ok(value),
                    Some(Ok(_)) => Err("there is no value".to_owned()),
                    Some(Err(error)) => Err(error),
                };
                Self::Decimal128(one(min, i128::MIN)?, one(max, i128::MAX)?)
            }
            DataType::Date32 => {
                let one = |text: Option<&str>, otherwise: i32| match text.map(|text| typed(kind, text)) {
                    None => Ok(otherwise),
                    Some(Ok(ScalarValue::Date32(Some(value)))) => Ok(value),
                    Some(Ok(_)) => Err("there is no value".to_owned()),
                    Some(Err(error)) => Err(error),
                };
                Self::Date32(one(min, i32::MIN)?, one(max, i32::MAX)?)
            }
            DataType::Timestamp(_, _) => {
                let one = |text: Option<&str>, otherwise: i64| match text.map(|text| typed(kind, text)) {
                    None => Ok(otherwise),
                    Some(Ok(ScalarValue::TimestampMicrosecond(Some(value), _))) => Ok(value),
                    Some(Ok(_)) => Err("there is no value".to_owned()),
                    Some(Err(error)) => Err(error),
                };
                Self::Timestamp(one(min, i64::MIN)?, one(max, i64::MAX)?)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Self::Text(min.map(str::to_owned), max.map(str::to_owned))
            }
            other => return Err(format!("values of type {other} have no range")),
        })
    }

    /// Whether they are of texts, in whichever way those are stored.
    pub fn of_texts(&self) -> bool {
        matches!(self, Self::Text(..))
    }

    /// The rows whose value is out of bounds; rows without a value have any answer. None when the column is of another
    /// type than the bounds.
    pub fn failing(&self, column: &ArrayRef) -> Option<BooleanBuffer> {
        match self {
            Self::Int8(min, max) => outside::<Int8Type>(column, *min, *max),
            Self::Int16(min, max) => outside::<Int16Type>(column, *min, *max),
            Self::Int32(min, max) => outside::<Int32Type>(column, *min, *max),
            Self::Int64(min, max) => outside::<Int64Type>(column, *min, *max),
            Self::Float32(min, max) => outside::<Float32Type>(column, *min, *max),
            Self::Float64(min, max) => outside::<Float64Type>(column, *min, *max),
            Self::Decimal128(min, max) => outside::<Decimal128Type>(column, *min, *max),
            Self::Date32(min, max) => outside::<Date32Type>(column, *min, *max),
            Self::Timestamp(min, max) => outside::<TimestampMicrosecondType>(column, *min, *max),
            Self::Text(min, max) => {
                let column = cast(column, &DataType::Utf8View).ok()?;
                let texts = column.as_string_view();
                Some(BooleanBuffer::collect_bool(texts.len(), |row| {
                    let text = texts.value(row);
                    min.as_deref().is_some_and(|min| text < min)
                        || max.as_deref().is_some_and(|max| text > max)
                }))
            }
        }
    }
}

fn outside<T: ArrowPrimitiveType>(column: &ArrayRef, min: T::Native, max: T::Native) -> Option<BooleanBuffer>
where
    T::Native: PartialOrd,
{
    let values: &PrimitiveArray<T> = column.as_primitive_opt()?;
    let values = values.values();
    // A value that is no number compares with nothing, and so lies outside.
    Some(BooleanBuffer::collect_bool(values.len(), |row| !(values[row] >= min && values[row] <= max)))
}

/// Bounds of whole numbers; a fraction is rounded inwards, what is beyond the type is cut to it.
fn whole<T: TryFrom<i128> + Copy>(
    min: Option<&str>,
    max: Option<&str>,
    least: T,
    most: T,
) -> Result<(T, T), String> {
    let low = match min {
        Some(text) => T::try_from(number(text, f64::ceil)?).unwrap_or(if text.trim().starts_with('-') {
            least
        } else {
            most
        }),
        None => least,
    };
    let high = match max {
        Some(text) => T::try_from(number(text, f64::floor)?).unwrap_or(if text.trim().starts_with('-') {
            least
        } else {
            most
        }),
        None => most,
    };
    Ok((low, high))
}

fn number(text: &str, round: fn(f64) -> f64) -> Result<i128, String> {
    let text = text.trim();
    if let Ok(whole) = text.parse() {
        return Ok(whole);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(round(value) as i128),
        _ => Err(format!("`{text}` is no number")),
    }
}

fn floats(min: Option<&str>, max: Option<&str>) -> Result<(f64, f64), String> {
    let one = |text: Option<&str>, otherwise: f64| match text {
        None => Ok(otherwise),
        Some(text) => match text.trim().parse::<f64>() {
            Ok(value) if !value.is_nan() => Ok(value),
            _ => Err(format!("`{text}` is no number")),
        },
    };
    Ok((one(min, f64::NEG_INFINITY)?, one(max, f64::INFINITY)?))
}

/// A text as a value of a type.
pub(crate) fn typed(kind: &DataType, text: &str) -> Result<ScalarValue, String> {
    let value = ScalarValue::try_from_string(text.to_owned(), kind);
    value.map_err(|_| format!("`{text}` is no value of type {kind}"))
}
