//! The functions that window table functions are written with.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, ListArray, PrimitiveArray, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::spec::{WindowKind, WindowSpec, floor};

/// `(time, size, offset)`: the start of the one window of a time.
pub(crate) const TUMBLE_START: &str = "flowline_tumble_start";
/// `(time, size, slide, offset)`: the starts of the windows of a time.
pub(crate) const HOP_STARTS: &str = "flowline_hop_starts";
/// `(time, size, step, offset)`: the ends of the windows of a time.
pub(crate) const CUMULATE_ENDS: &str = "flowline_cumulate_ends";
/// `(start, size)`: the end of a window.
pub(crate) const WINDOW_END: &str = "flowline_window_end";
/// `(end, kind, size, step, offset, time)`: the last millisecond of a window. What follows `end` is for those who read
/// plans.
pub(crate) const WINDOW_TIME: &str = "flowline_window_time";
/// `(end, strict)`: stands in the plan of a stream where only what closes now is let through; a run puts the condition
/// in its place.
pub(crate) const CLOSING: &str = "flowline_closing";

/// Windows end a millisecond behind their last time, as Flink has it.
const MILLISECOND: i64 = 1_000;

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowFunction {
    name: &'static str,
    signature: Signature,
}

impl WindowFunction {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        [TUMBLE_START, HOP_STARTS, CUMULATE_ENDS, WINDOW_END, WINDOW_TIME, CLOSING]
            .into_iter()
            .map(|name| Self { name, signature: Signature::variadic_any(Volatility::Immutable) })
    }

    /// The function of this name.
    pub fn named(name: &'static str) -> Self {
        Self { name, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for WindowFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let time = arguments.first().cloned().unwrap_or(DataType::Null);
        if !matches!(time, DataType::Timestamp(..)) {
            return plan_err!("the time of a window must be a timestamp, and this is {time}");
        }
        Ok(match self.name {
            HOP_STARTS | CUMULATE_ENDS => DataType::List(Arc::new(Field::new("item", time, false))),
            CLOSING => DataType::Boolean,
            _ => time,
        })
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> =
            arguments.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = arguments.arg_fields.first().is_none_or(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((time, rest)) = arguments.args.split_first() else {
            return exec_err!("`{}` needs a time", self.name);
        };
        let one = matches!(time, ColumnarValue::Scalar(_));
        let times = time.to_array(if one { 1 } else { arguments.number_rows })?;
        let answer = match times.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => {
                self.answer::<TimestampSecondType>(&times, rest, Unit { per: 1, of: 1_000_000 })?
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                self.answer::<TimestampMillisecondType>(&times, rest, Unit { per: 1, of: 1_000 })?
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.answer::<TimestampMicrosecondType>(&times, rest, Unit { per: 1, of: 1 })?
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                self.answer::<TimestampNanosecondType>(&times, rest, Unit { per: 1_000, of: 1 })?
            }
            other => return exec_err!("the time of a window must be a timestamp, and this is {other}"),
        };
        match one {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?)),
            false => Ok(ColumnarValue::Array(answer)),
        }
    }
}

/// How many units of a timestamp's type make how many microseconds.
#[derive(Clone, Copy)]
struct Unit {
    per: i64,
    of: i64,
}

impl Unit {
    fn length(self, micros: i64) -> Result<i64> {
        let length = micros.checked_mul(self.per).filter(|length| length % self.of == 0);
        let length = length.map(|length| length / self.of);
        length.ok_or_else(|| {
            exec_datafusion_err!(
                "a window of {micros} microseconds cannot be told in the unit of this timestamp; cast it to a finer one"
            )
        })
    }
}

impl WindowFunction {
    fn answer<T>(&self, times: &ArrayRef, rest: &[ColumnarValue], unit: Unit) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType<Native = i64>,
    {
        let times = times.as_primitive::<T>();
        let length = |index: usize| unit.length(integer(rest, index)?);
        let same = |values: PrimitiveArray<T>| -> ArrayRef {
            Arc::new(values.with_data_type(times.data_type().clone()))
        };
        Ok(match self.name {
            TUMBLE_START => {
                let (size, offset) = (length(0)?, length(1)?);
                if size <= 0 {
                    return exec_err!("a window is longer than nothing");
                }
                same(times.unary(|time| floor(time, size, offset)))
            }
            WINDOW_END => {
                let size = length(0)?;
                same(times.unary(|time| time.saturating_add(size)))
            }
            WINDOW_TIME => {
                let last = (MILLISECOND * unit.per / unit.of).max(1);
                same(times.unary(|time| time.saturating_sub(last)))
            }
            HOP_STARTS | CUMULATE_ENDS => {
                let (size, step, offset) = (length(0)?, length(1)?, length(2)?);
                let hop = self.name == HOP_STARTS;
                let kind = if hop { WindowKind::Hop } else { WindowKind::Cumulate };
                if size <= 0 || step <= 0 || size % step != 0 {
                    return exec_err!("a window is made of whole steps");
                }
                let spec = WindowSpec { kind, size, step, offset };
                let back = if hop { size } else { 0 };
                lists(times, |time, all| all.extend(spec.ends(time).map(|end| end.saturating_sub(back))))
            }
            name => return exec_err!("`{name}` stands in the plans of streams only"),
        })
    }
}

fn integer(arguments: &[ColumnarValue], index: usize) -> Result<i64> {
    match arguments.get(index) {
        Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(value)))) => Ok(*value),
        _ => exec_err!("the length of a window is a whole number"),
    }
}

/// A list for each time, null for none.
fn lists<T>(times: &PrimitiveArray<T>, mut add: impl FnMut(i64, &mut Vec<i64>)) -> ArrayRef
where
    T: ArrowPrimitiveType<Native = i64>,
{
    let (mut values, mut lengths) = (Vec::with_capacity(times.len()), Vec::with_capacity(times.len()));
    for time in times {
        let before = values.len();
        if let Some(time) = time {
            add(time, &mut values);
        }
        lengths.push(values.len() - before);
    }
    let values = PrimitiveArray::<T>::from_iter_values(values).with_data_type(times.data_type().clone());
    let item = Arc::new(Field::new("item", times.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths(lengths);
    match ListArray::try_new(Arc::clone(&item), offsets, Arc::new(values), times.nulls().cloned()) {
        Ok(lists) => Arc::new(lists),
        // As many lengths as times, and as many values as their sum: it cannot come to this.
        Err(_) => new_null_array(&DataType::List(item), times.len()),
    }
}
