//! Joins of two streams whose rows meet within a stretch of time.

use datafusion::common::DFSchema;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, utils};
use datafusion::scalar::ScalarValue;

/// How far the right row's time lies behind the left row's, at least and at most, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub least: i64,
    pub most: i64,
}

/// A time that a condition compares: which side it is of, and what is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    left: bool,
    plus: i64,
}

/// The times of a join's two sides.
pub(super) struct Times<'a> {
    pub left: &'a DFSchema,
    pub left_time: &'a dyn Fn(usize) -> bool,
    pub right: &'a DFSchema,
    pub right_time: &'a dyn Fn(usize) -> bool,
}

/// The stretch of time that the conditions of a join bound on both sides; none when they do not.
pub(super) fn interval(conditions: &[&Expr], times: &Times<'_>) -> Option<Interval> {
    let (mut least, mut most) = (None::<i64>, None::<i64>);
    for condition in conditions.iter().flat_map(|condition| utils::split_conjunction(condition)) {
        for (one, op, other) in comparisons(condition) {
            let (Some(one), Some(other)) = (times.term(one), times.term(other)) else { continue };
            // As `right - left` compared with a number.
            let (op, number) = match (one.left, other.left) {
                (false, true) => (op, other.plus.checked_sub(one.plus)?),
                (true, false) => (op.swap()?, one.plus.checked_sub(other.plus)?),
                _ => continue,
            };
            match op {
                Operator::Eq => {
                    least = Some(least.map_or(number, |known| known.max(number)));
                    most = Some(most.map_or(number, |known| known.min(number)));
                }
                Operator::Gt | Operator::GtEq => {
                    least = Some(least.map_or(number, |known| known.max(number)))
                }
                Operator::Lt | Operator::LtEq => most = Some(most.map_or(number, |known| known.min(number))),
                _ => {}
            }
        }
    }
    Some(Interval { least: least?, most: most? }).filter(|interval| interval.least <= interval.most)
}

fn comparisons(condition: &Expr) -> Vec<(&Expr, Operator, &Expr)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => vec![(left.as_ref(), *op, right.as_ref())],
        Expr::Between(between) if !between.negated => vec![
            (between.expr.as_ref(), Operator::GtEq, between.low.as_ref()),
            (between.expr.as_ref(), Operator::LtEq, between.high.as_ref()),
        ],
        _ => Vec::new(),
    }
}

impl Times<'_> {
    fn term(&self, expr: &Expr) -> Option<Term> {
        match expr {
            Expr::Alias(alias) => self.term(&alias.expr),
            Expr::Column(column) => {
                let of = |schema: &DFSchema, time: &dyn Fn(usize) -> bool| {
                    schema.maybe_index_of_column(column).is_some_and(time)
                };
                if of(self.left, self.left_time) {
                    return Some(Term { left: true, plus: 0 });
                }
                of(self.right, self.right_time).then_some(Term { left: false, plus: 0 })
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
                let (term, number) = match (self.term(left), length(right)) {
                    (Some(term), Some(number)) => (term, number),
                    _ => (self.term(right)?, length(left)?),
                };
                Some(Term { plus: term.plus.checked_add(number)?, ..term })
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
                let term = self.term(left)?;
                Some(Term { plus: term.plus.checked_sub(length(right)?)?, ..term })
            }
            _ => None,
        }
    }
}

/// An interval of fixed length, microseconds.
fn length(expr: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = expr else { return None };
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            let days = i64::from(interval.days).checked_mul(86_400_000_000)?;
            days.checked_add(interval.nanoseconds / 1_000)
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            let days = i64::from(interval.days).checked_mul(86_400_000_000)?;
            days.checked_add(i64::from(interval.milliseconds) * 1_000)
        }
        _ => None,
    }
}
