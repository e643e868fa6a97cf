//! From the days (hours, months …) that are affected to the stretch of time in which their rows lie.
//!
//! `cast(ts as date) in ('2025-01-02')` tells no file apart by its smallest and largest `ts`; the condition on `ts`
//! that it implies does.

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Months, TimeDelta, Utc};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use datafusion::scalar::ScalarValue;

/// The condition on the columns of a scan that rows meet when their terms have one of these values; none when there
/// is no such condition.
pub(super) fn bounds(terms: &[Expr], rows: &[Vec<ScalarValue>], schema: &DFSchema) -> Option<Expr> {
    let each = terms.iter().enumerate().filter_map(|(index, term)| {
        let (column, unit) = truncated(term)?;
        let values: Option<Vec<DateTime<Utc>>> = rows.iter().map(|row| instant(row.get(index)?)).collect();
        between(column, unit, &values?, schema)
    });
    each.reduce(Expr::and)
}

/// How long the values of a term last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds(i64),
    Months(u32),
}

impl Unit {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_lowercase().as_str() {
            "second" => Self::Seconds(1),
            "minute" => Self::Seconds(60),
            "hour" => Self::Seconds(3_600),
            "day" => Self::DAY,
            "week" => Self::Seconds(7 * 86_400),
            "month" => Self::Months(1),
            "quarter" => Self::Months(3),
            "year" => Self::Months(12),
            _ => return None,
        })
    }

    const DAY: Self = Self::Seconds(86_400);

    fn after(self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Seconds(seconds) => start.checked_add_signed(TimeDelta::try_seconds(seconds)?),
            Self::Months(months) => start.checked_add_months(Months::new(months)),
        }
    }
}

/// The column that a term cuts to a unit of time: `cast(ts as date)`, `date_trunc('hour', ts)`, or both.
fn truncated(term: &Expr) -> Option<(&Expr, Unit)> {
    match term {
        Expr::Alias(alias) => truncated(&alias.expr),
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Date32 => match truncated(&cast.expr) {
            // A day has no hours: what is shorter than a day ends as one.
            Some((column, Unit::Seconds(seconds))) if seconds < 86_400 => Some((column, Unit::DAY)),
            Some(found) => Some(found),
            None => plain_column(&cast.expr).map(|column| (column, Unit::DAY)),
        },
        Expr::ScalarFunction(function) if function.func.name() == "date_trunc" => {
            match function.args.as_slice() {
                [Expr::Literal(unit, _), of] => {
                    let unit = unit.try_as_str().flatten().and_then(Unit::named)?;
                    Some((plain_column(of)?, unit))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A column, as it is or cast to a timestamp.
fn plain_column(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Column(_) => Some(expr),
        Expr::Cast(cast) if matches!(cast.field.data_type(), DataType::Timestamp(..)) => {
            plain_column(&cast.expr)
        }
        _ => None,
    }
}

fn instant(value: &ScalarValue) -> Option<DateTime<Utc>> {
    match value {
        ScalarValue::Date32(Some(day)) => DateTime::from_timestamp(i64::from(*day) * 86_400, 0),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => DateTime::from_timestamp_micros(*micros),
        _ => None,
    }
}

fn between(column: &Expr, unit: Unit, values: &[DateTime<Utc>], schema: &DFSchema) -> Option<Expr> {
    let (first, last) = (*values.iter().min()?, unit.after(*values.iter().max()?)?);
    let bound = |at: DateTime<Utc>| match column.get_type(schema).ok()? {
        DataType::Timestamp(TimeUnit::Microsecond, zone)
            if zone.as_deref().is_none_or(|zone| zone == "UTC") =>
        {
            Some(lit(ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), zone)))
        }
        DataType::Date32 => {
            // Rounded up: a day that begins before the end lies within.
            let days = at.timestamp().div_euclid(86_400) + i64::from(at.timestamp().rem_euclid(86_400) > 0);
            Some(lit(ScalarValue::Date32(Some(i32::try_from(days).ok()?))))
        }
        _ => None,
    };
    let (first, last) = (bound(first)?, bound(last)?);
    Some(column.clone().gt_eq(first).and(column.clone().lt(last)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use arrow::datatypes::{Field, Schema};
    use datafusion::functions::datetime::date_trunc;
    use datafusion::logical_expr::{cast, col};
    use flowline_lake::arrow_types::timestamp;

    use super::*;

    fn shown(term: Expr, values: &[ScalarValue]) -> String {
        let fields = vec![
            Field::new("ts", timestamp(), true),
            Field::new("d", DataType::Date32, true),
            Field::new("s", DataType::Utf8, true),
        ];
        let schema = DFSchema::try_from(Schema::new(fields)).unwrap();
        let rows: Vec<Vec<ScalarValue>> = values.iter().map(|value| vec![value.clone()]).collect();
        bounds(&[term], &rows, &schema).map_or("none".to_owned(), |bounds| bounds.to_string())
    }

    #[test]
    fn the_stretch_of_time_in_which_affected_rows_lie() {
        let day = |day: i32| ScalarValue::Date32(Some(day));
        let micros =
            |seconds: i64| ScalarValue::TimestampMicrosecond(Some(seconds * 1_000_000), Some("UTC".into()));
        let cut = |unit: &str, column: &str| date_trunc().call(vec![lit(unit), col(column)]);
        let cases = [
            (
                cast(col("ts"), DataType::Date32),
                vec![day(3), day(1)],
                "ts >= TimestampMicrosecond(86400000000, Some(\"UTC\")) AND ts < TimestampMicrosecond(345600000000, Some(\"UTC\"))",
            ),
            (
                cut("hour", "ts"),
                vec![micros(7_200)],
                "ts >= TimestampMicrosecond(7200000000, Some(\"UTC\")) AND ts < TimestampMicrosecond(10800000000, Some(\"UTC\"))",
            ),
            (
                cast(cut("month", "ts"), DataType::Date32),
                vec![day(31)],
                "ts >= TimestampMicrosecond(2678400000000, Some(\"UTC\")) AND ts < TimestampMicrosecond(5097600000000, Some(\"UTC\"))",
            ),
            (cast(cast(cut("month", "d"), timestamp()), DataType::Date32), vec![day(31)], "none"),
            (
                cast(date_trunc().call(vec![lit("month"), cast(col("d"), timestamp())]), DataType::Date32),
                vec![day(31)],
                "d >= Date32(\"1970-02-01\") AND d < Date32(\"1970-03-01\")",
            ),
            (cast(col("ts"), DataType::Date32), vec![day(3), ScalarValue::Date32(None)], "none"),
            (cast(col("s"), DataType::Date32), vec![day(3)], "none"),
            (col("ts"), vec![micros(1)], "none"),
        ];
        for (term, values, expected) in cases {
            assert_eq!(shown(term.clone(), &values), expected, "{term}");
        }
    }
}
