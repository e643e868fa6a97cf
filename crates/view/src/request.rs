//! What of a query's conditions the ledger can use.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use flowline_base::RunId;
use flowline_model::{DatasetName, Outcome, RunKind};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as WordError;

/// The conditions of a query that a table may hand to the ledger. All are hints: DataFusion checks the rows again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) dataset: Option<DatasetName>,
    pub(crate) kind: Option<RunKind>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) run: Option<RunId>,
    /// A version of a table.
    pub(crate) version: Option<i64>,
    pub(crate) started_from: Option<DateTime<Utc>>,
    /// Only what nothing newer is known of.
    pub(crate) latest: bool,
    /// No row can meet the conditions: what is asked for is not even a name.
    pub(crate) nothing: bool,
    /// So many rows are enough.
    pub(crate) limit: Option<usize>,
}

impl Request {
    /// The request of these conditions, which must all hold.
    pub(crate) fn of(filters: &[Expr], limit: Option<usize>) -> Self {
        let mut request = Self { limit, ..Self::default() };
        for filter in filters {
            request.take(filter);
        }
        request
    }

    /// Whether a condition is of any use here.
    pub(crate) fn understands(filter: &Expr) -> bool {
        Self::default().take(filter)
    }

    fn take(&mut self, filter: &Expr) -> bool {
        if matches!(filter, Expr::Column(column) if column.name == "latest") {
            self.latest = true;
            return true;
        }
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return false };
        let (column, op, value) = match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
            (Expr::Literal(value, _), Expr::Column(column)) => match op.swap() {
                Some(op) => (column, op, value),
                None => return false,
            },
            _ => return false,
        };
        match (column.name.as_str(), op) {
            ("dataset", Operator::Eq) => {
                self.text(value, |request, text| request.dataset = parse(text, request))
            }
            ("run_id", Operator::Eq) => self.text(value, |request, text| request.run = parse(text, request)),
            ("version", Operator::Eq) => match value {
                ScalarValue::Int64(Some(version)) => {
                    self.version = Some(*version);
                    true
                }
                _ => false,
            },
            ("kind", Operator::Eq) => self.text(value, |request, text| request.kind = word(text)),
            ("outcome", Operator::Eq) => self.text(value, |request, text| request.outcome = word(text)),
            ("started_at", Operator::Gt | Operator::GtEq) => match time(value) {
                Some(time) => {
                    self.started_from = self.started_from.max(Some(time));
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    fn text(&mut self, value: &ScalarValue, set: impl FnOnce(&mut Self, &str)) -> bool {
        match value.try_as_str() {
            Some(Some(text)) => {
                set(self, text);
                true
            }
            _ => false,
        }
    }
}

fn parse<T: FromStr>(text: &str, request: &mut Request) -> Option<T> {
    let parsed = text.parse().ok();
    request.nothing |= parsed.is_none();
    parsed
}

/// One of the words of an enumeration; any other is left to DataFusion, as tables differ in what they call a kind.
fn word<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    T::deserialize(text.into_deserializer()).map_err(|_: WordError| ()).ok()
}

fn time(value: &ScalarValue) -> Option<DateTime<Utc>> {
    let micros = match value {
        ScalarValue::TimestampSecond(Some(seconds), _) => seconds.checked_mul(1_000_000)?,
        ScalarValue::TimestampMillisecond(Some(millis), _) => millis.checked_mul(1_000)?,
        ScalarValue::TimestampMicrosecond(Some(micros), _) => *micros,
        // Rounded down: what is at the very nanosecond must not be missed.
        ScalarValue::TimestampNanosecond(Some(nanos), _) => nanos.div_euclid(1_000),
        _ => return None,
    };
    DateTime::from_timestamp_micros(micros)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn conditions_on_known_columns_are_used_in_either_order() {
        let run = RunId::generate();
        let filters = [
            col("dataset").eq(lit("shop.orders")),
            lit("failed").eq(col("outcome")),
            col("kind").eq(lit("land")),
            col("run_id").eq(lit(run.to_string())),
            col("version").eq(lit(7_i64)),
            lit(ScalarValue::TimestampMicrosecond(Some(5), Some("UTC".into()))).lt(col("started_at")),
        ];
        assert!(filters.iter().all(Request::understands));
        let expected = Request {
            dataset: Some("shop.orders".parse().unwrap()),
            kind: Some(RunKind::Land),
            outcome: Some(Outcome::Failed),
            run: Some(run),
            version: Some(7),
            started_from: DateTime::from_timestamp_micros(5),
            latest: false,
            nothing: false,
            limit: Some(3),
        };
        assert_eq!(Request::of(&filters, Some(3)), expected);
    }

    #[test]
    fn what_is_no_name_has_no_rows_and_what_is_not_understood_is_left_alone() {
        assert!(Request::of(&[col("dataset").eq(lit("Shop Orders"))], None).nothing);
        assert!(Request::of(&[col("run_id").eq(lit("17"))], None).nothing);
        let other = [
            col("dataset").not_eq(lit("shop.orders")),
            col("owner").eq(lit("team-shop")),
            col("dataset").eq(col("owner")),
            col("version").eq(lit("7")),
            col("dataset").eq(lit(ScalarValue::Utf8(None))),
            col("started_at").lt(lit(ScalarValue::TimestampMicrosecond(Some(5), None))),
        ];
        assert!(!other.iter().any(Request::understands));
        // A finding's kind is no kind of run.
        assert_eq!(Request::of(&[col("kind").eq(lit("missing"))], None), Request::default());
    }
}
