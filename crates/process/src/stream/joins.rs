//! Joins in streams: window with window, row with row within a stretch of time, and anything with a table.

use std::collections::BTreeSet;

use datafusion::common::DFSchema;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, JoinType, LogicalPlan, Operator, lit, utils};
use datafusion::scalar::ScalarValue;
use flowline_lake::VALID_FROM;

use super::analyze::{Analysis, Stop, Walked, closing_at, column, replaced};
use super::closing::Closing;
use super::flow::{Flow, column_index};
use super::interval::{Interval, Times, interval};
use crate::upkeep::{Obstacle, Refusal, equal_pairs};

impl Analysis<'_, '_> {
    /// A join; `above` is a condition that stands over it.
    pub(super) fn join(&mut self, plan: &LogicalPlan, join: &Join, above: Option<&Expr>) -> Walked {
        let (left, left_flow) = self.walk(&join.left)?;
        let (right, right_flow) = self.walk(&join.right)?;
        let width = left.schema().fields().len();
        let refuse = |message: &str, hint: &str| -> Stop {
            let place = Obstacle::at("a join", plan).place;
            Refusal::new(message.to_owned()).or_hint(hint.to_owned()).at(place).into()
        };
        if !as_of_event_time(join, &left_flow, left.schema()) {
            return Err(refuse(
                "what a table was at a time that is not the event time of the stream may not be known yet",
                "write `FOR SYSTEM_TIME AS OF s.ts` with the column of `event_time`, or `AS OF PROCTIME()`",
            ));
        }
        let flow = match (left_flow, right_flow) {
            (Flow::Lookup, Flow::Lookup) => Flow::Lookup,
            (stream, Flow::Lookup) => match join.join_type {
                JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => stream,
                _ => return Err(refuse("a row of a table that no row of the stream meets is never known to stay alone", "put the stream on the left of a LEFT JOIN")),
            },
            (Flow::Lookup, stream) => match join.join_type {
                JoinType::Inner | JoinType::Right => stream.moved(|column| vec![column + width]),
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => stream,
                _ => return Err(refuse("a row of a table that no row of the stream meets is never known to stay alone", "put the stream on the left of a LEFT JOIN")),
            },
            (one @ Flow::Windows { .. }, other @ Flow::Windows { .. }) => {
                windows(join, width, one, other).ok_or_else(|| {
                    refuse(
                        "this join puts rows of different windows together",
                        "add `a.window_start = b.window_start AND a.window_end = b.window_end` to its condition",
                    )
                })?
            }
            (Flow::Rows { times, scans }, Flow::Rows { times: others, scans: more }) => {
                let times = Times {
                    left: left.schema(),
                    left_time: &|index| times.contains(&index),
                    right: right.schema(),
                    right_time: &|index| others.contains(&index),
                };
                let conditions = conditions(join, above);
                let conditions: Vec<&Expr> = conditions.iter().collect();
                match interval(&conditions, &times) {
                    Some(found) => {
                        let left_times = (0..width).filter(|index| (times.left_time)(*index)).collect();
                        return self.by_time(plan, join, Sides { left: left.clone(), right: right.clone(), left_times, scans, more, found });
                    }
                    None if join.join_type != JoinType::Inner => {
                        return Err(refuse(
                            "a row of a stream that no row of the other meets may meet one at any later time",
                            "bound the join by time, `b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' HOUR`, or make it an inner one",
                        ));
                    }
                    None if self.dataset.stream_memory().is_none() => {
                        return Err(refuse(
                            "a row of either stream may meet one of the other at any later time, so this join goes through all rows of both",
                            "say how much memory that may take, `state: { limit: 256MiB }`, or bound the join by time, `b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' HOUR`",
                        ));
                    }
                    None => Flow::Rows { times: Default::default(), scans: scans.into_iter().chain(more).collect() },
                }
            }
            _ => return Err(refuse("windows cannot be joined with rows that have none", "read both sides through the same window")),
        };
        Ok((replaced(plan, vec![left, right])?, flow))
    }

    /// A row of the left side is complete when no row of the right side can come any more that it meets.
    fn by_time(&mut self, plan: &LogicalPlan, join: &Join, sides: Sides) -> Walked {
        let Sides { left, right, left_times, scans, more, found: Interval { least, most } } = sides;
        if !matches!(
            join.join_type,
            JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti
        ) {
            let message = "which rows of the right side stay alone is told by the left side's time";
            let place = Obstacle::at("a join", plan).place;
            return Err(Refusal::new(message.to_owned())
                .or_hint("write it as a LEFT JOIN, or an inner one".to_owned())
                .at(place)
                .into());
        }
        let wait = most.max(0);
        let spans = [(scans, wait, wait), (more, wait.saturating_sub(most), wait.saturating_sub(least))];
        for (scans, first, last) in spans {
            for number in scans {
                if self.scans[number].closing.is_some() {
                    return Err(Refusal::new("more than two streams cannot be joined by time".to_owned())
                        .or_hint("join two in a dataset of its own, and the third with that".to_owned())
                        .into());
                }
                self.scans[number].closing = Some(Closing::Span { first, last: last.max(first) });
            }
        }
        let interval = ScalarValue::new_interval_mdn(0, 0, wait.saturating_mul(1_000));
        let left_time = left_times.first().copied().unwrap_or(0);
        let complete = column(left.schema(), left_time) + lit(interval);
        let left = closing_at(complete, true, left)?;
        Ok((replaced(plan, vec![left, right])?, Flow::Emitted { times: left_times, wait }))
    }
}

struct Sides {
    left: LogicalPlan,
    right: LogicalPlan,
    left_times: BTreeSet<usize>,
    scans: Vec<usize>,
    more: Vec<usize>,
    found: Interval,
}

/// Whether a join with a table as of a time, if it is one, asks for the event time of the left side.
fn as_of_event_time(join: &Join, left: &Flow, schema: &DFSchema) -> bool {
    let event_time = |expr: &Expr| match (left, column_index(expr, schema)) {
        (Flow::Rows { times, .. }, Some(column)) => times.contains(&column),
        (Flow::Windows { carriers, .. }, Some(column)) => {
            carriers.iter().any(|carrier| carrier.column == column)
        }
        _ => false,
    };
    let conditions = conditions(join, None);
    conditions.iter().flat_map(utils::split_conjunction).all(|condition| match condition {
        Expr::BinaryExpr(BinaryExpr { left: time, op: Operator::GtEq, right }) => match right.as_ref() {
            Expr::Column(column) if column.name == VALID_FROM => event_time(time),
            _ => true,
        },
        _ => true,
    })
}

/// The conditions that hold for all rows of a join.
fn conditions(join: &Join, above: Option<&Expr>) -> Vec<Expr> {
    let mut all: Vec<Expr> = join.on.iter().map(|(left, right)| left.clone().eq(right.clone())).collect();
    all.extend(join.filter.iter().cloned());
    // What stands above an outer join holds for the rows that come out of it, not for those that meet.
    if join.join_type == JoinType::Inner {
        all.extend(above.cloned());
    }
    all
}

/// The windows of both sides when the join keeps them together.
fn windows(join: &Join, width: usize, one: Flow, other: Flow) -> Option<Flow> {
    let (Flow::Windows { carriers: left, mut scans }, Flow::Windows { carriers: right, scans: more }) =
        (one, other)
    else {
        return None;
    };
    let agree = equal_pairs(join).iter().any(|(one, other)| {
        let one = Flow::carrier(&left, one, join.left.schema());
        let other = Flow::carrier(&right, other, join.right.schema());
        matches!((one, other), (Some(one), Some(other)) if one.agrees(other))
    });
    if !agree {
        return None;
    }
    scans.extend(more);
    let shifted =
        right.iter().map(|carrier| super::flow::Carrier { column: carrier.column + width, ..*carrier });
    let carriers = match join.join_type {
        JoinType::Inner => left.iter().copied().chain(shifted).collect(),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left,
        JoinType::Right => shifted.collect(),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right,
        JoinType::Full => Vec::new(),
    };
    Some(Flow::Windows { carriers, scans })
}
