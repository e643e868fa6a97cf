//! Sessions: rows of one key that are no further apart than a gap.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, TimeUnit};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;

/// `(time, gap) OVER (PARTITION BY … ORDER BY time)`: the first time of the session that a row is in.
pub(crate) const SESSION_START: &str = "flowline_session_start";
/// `(time, gap) OVER (PARTITION BY … ORDER BY time)`: the last time of the session that a row is in, and the gap.
pub(crate) const SESSION_END: &str = "flowline_session_end";

/// One of the two bounds of a session.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionBound {
    end: bool,
    signature: Signature,
}

impl SessionBound {
    /// The first one.
    pub fn start() -> Self {
        Self { end: false, signature: Signature::any(2, Volatility::Immutable) }
    }

    /// Both.
    pub fn all() -> impl Iterator<Item = Self> {
        [false, true].into_iter().map(|end| Self { end, signature: Signature::any(2, Volatility::Immutable) })
    }
}

impl WindowUDFImpl for SessionBound {
    fn name(&self) -> &str {
        if self.end { SESSION_END } else { SESSION_START }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _arguments: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Sessions { end: self.end }))
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        let time = arguments.input_fields().first().map(|field| field.data_type().clone());
        match time {
            Some(kind @ DataType::Timestamp(..)) => Ok(Field::new(arguments.name(), kind, false).into()),
            Some(other) => plan_err!("the time of a window must be a timestamp, and this is {other}"),
            None => plan_err!("a session needs a time"),
        }
    }

    fn limit_effect(&self, _arguments: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}

/// Tells the sessions of one key, whose rows come in the order of their times.
#[derive(Debug)]
pub(super) struct Sessions {
    end: bool,
}

impl PartitionEvaluator for Sessions {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let [times, gap] = values else { return exec_err!("a session needs a time and a gap") };
        let DataType::Timestamp(unit, _) = times.data_type() else {
            return exec_err!("the time of a window must be a timestamp");
        };
        let plain = cast(times, &DataType::Int64)?;
        let plain = plain.as_primitive::<Int64Type>();
        let gap = if rows == 0 { 0 } else { in_unit(gap.as_primitive::<Int64Type>().value(0), *unit) };
        let mut bounds = Vec::with_capacity(rows);
        for session in Self::of(plain.values(), gap) {
            bounds.resize(session.rows.end, if self.end { session.end } else { session.start });
        }
        Ok(cast(&Int64Array::from(bounds), times.data_type())?)
    }
}

/// One session of a key.
pub(super) struct Session {
    /// Its rows among those of the key.
    pub(super) rows: Range<usize>,
    /// The first time.
    pub(super) start: i64,
    /// The last time, and the gap.
    pub(super) end: i64,
}

impl Sessions {
    /// The sessions of one key, from its times in their order.
    pub(super) fn of(times: &[i64], gap: i64) -> impl Iterator<Item = Session> {
        let mut next = 0;
        // A row that is exactly the gap away still belongs to it.
        let rows = times.chunk_by(move |one, other| other.saturating_sub(*one) <= gap);
        rows.map(move |session| {
            let rows = next..next + session.len();
            next = rows.end;
            let last = times[rows.end - 1];
            Session { start: times[rows.start], end: last.saturating_add(gap), rows }
        })
    }
}

/// A gap in microseconds in the unit of a time.
pub(super) fn in_unit(micros: i64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => micros / 1_000_000,
        TimeUnit::Millisecond => micros / 1_000,
        TimeUnit::Microsecond => micros,
        TimeUnit::Nanosecond => micros.saturating_mul(1_000),
    }
}
