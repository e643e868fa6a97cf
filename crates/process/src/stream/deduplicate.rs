//! The first or the last row of a key, where a key that has had no row for a while begins anew.
//!
//! `ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) = 1` over a whole stream would have to remember every key for ever.
//! With a horizon, the rows of a key that are no further apart than it are a chain, like a session with that gap, and it is
//! the first or the last row of each chain that comes out. The first one is known when the watermark has passed it, the
//! last one when the watermark has passed it by the horizon; either follows from rows that are at most the horizon away.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Window,
    WindowFunctionDefinition, WindowUDF, lit,
};
use datafusion::scalar::ScalarValue;

use super::analyze::{Analysis, Stop, closing_at, column, place_in, replaced};
use super::closing::Closing;
use super::flow::{Flow, column_index};
use super::tables::window_table;
use crate::upkeep::{self, Obstacle, Refusal, asks_for_first};
use crate::windows::SessionBound;

/// The column that tells the chains of a key apart.
const CHAIN: &str = "__flowline_chain";

impl Analysis<'_, '_> {
    /// A condition that lets the first row of each key of a stream through, within the horizon of the dataset; none when
    /// it is another condition.
    pub(super) fn first_of_key(
        &mut self,
        plan: &LogicalPlan,
        filter: &Filter,
    ) -> Result<Option<(LogicalPlan, Flow)>, Stop> {
        let Some(horizon) = self.horizon() else { return Ok(None) };
        let first = asks_for_first(&filter.predicate, filter.input.schema());
        let Some((number, _)) = first else { return Ok(None) };
        let found = self.numbered(&filter.input, number, horizon)?;
        found.map(|(input, flow)| Ok((replaced(plan, vec![input])?, flow))).transpose()
    }

    /// A join whose left side lets those rows alone through that a condition over the join asks for; none when it asks
    /// for no first row of a key, or the join has it already.
    pub(super) fn first_below_join(
        &self,
        condition: &Expr,
        join: &Join,
    ) -> Result<Option<LogicalPlan>, Stop> {
        let keeps_left = matches!(join.join_type, JoinType::Inner | JoinType::Left);
        if self.horizon().is_none() || !keeps_left {
            return Ok(None);
        }
        let Some((column, part)) = asks_for_first(condition, &join.schema) else { return Ok(None) };
        let there = matches!(join.left.as_ref(), LogicalPlan::Filter(filter) if filter.predicate == *part);
        if there || column >= join.left.schema().fields().len() {
            return Ok(None);
        }
        let left = LogicalPlan::Filter(Filter::try_new(part.clone(), Arc::clone(&join.left))?);
        Ok(Some(LogicalPlan::Join(Join { left: Arc::new(left), ..join.clone() })))
    }

    /// How long a key is remembered, microseconds.
    fn horizon(&self) -> Option<i64> {
        let micros = i64::try_from(self.dataset.dedupe_horizon.as_micros()).unwrap_or(i64::MAX / 4);
        (micros > 0).then_some(micros)
    }

    /// Refuses a horizon that nothing asks for.
    pub(super) fn horizon_is_used(&self) -> Result<(), Stop> {
        if self.horizon().is_none() || self.deduplicates {
            return Ok(());
        }
        let message =
            "`dedupe_horizon` says how long a key is remembered, and the query picks no first row of a key";
        let hint = "remove it, or write `SELECT … FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS n FROM s) WHERE n = 1`";
        Err(Refusal::new(message.to_owned()).or_hint(hint.to_owned()).into())
    }

    /// The plan with the rows of each chain numbered, where this column is the number of a row.
    fn numbered(
        &mut self,
        node: &LogicalPlan,
        number: usize,
        horizon: i64,
    ) -> Result<Option<(LogicalPlan, Flow)>, Stop> {
        match node {
            LogicalPlan::Projection(projection) if window_table(projection).is_none() => {
                let expr = projection.expr.get(number);
                let below = expr.and_then(|expr| column_index(expr, projection.input.schema()));
                let Some(below) = below else { return Ok(None) };
                self.no_stream_in_subqueries(node)?;
                let found = self.numbered(&projection.input, below, horizon)?;
                let moved = |(input, flow): (LogicalPlan, Flow)| {
                    Ok((replaced(node, vec![input])?, flow.moved(|column| place_in(projection, column))))
                };
                found.map(moved).transpose()
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let found = self.numbered(&alias.input, number, horizon)?;
                found.map(|(input, flow)| Ok((replaced(node, vec![input])?, flow))).transpose()
            }
            LogicalPlan::Window(window) if number == window.input.schema().fields().len() => {
                match ranking(window) {
                    Some(function) => self.chains(node, window, function, horizon).map(Some),
                    None => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    fn chains(
        &mut self,
        node: &LogicalPlan,
        window: &Window,
        function: &WindowFunction,
        horizon: i64,
    ) -> Result<(LogicalPlan, Flow), Stop> {
        let (input, flow) = self.walk(&window.input)?;
        let (times, scans) = match flow {
            Flow::Rows { times, scans } => (times, scans),
            flow => return self.window_over(node, window, input, flow),
        };
        let order = &function.params.order_by;
        let time = order.first().and_then(|first| column_index(&first.expr, input.schema()));
        let (Some(time), Some(first)) = (time.filter(|time| times.contains(time)), order.first()) else {
            let refusal =
                Refusal::new("within a horizon, the rows of a key are in the order of event time".to_owned());
            let event_time = self.dataset.event_time.as_ref().map_or("ts", |time| &time.column);
            let refusal =
                refusal.or_hint(format!("write `ORDER BY {event_time}`, with what else decides behind it"));
            return Err(refusal.at(Obstacle::at("", node).place).into());
        };
        for number in &scans {
            if self.scans[*number].closing.is_some() {
                let refusal = Refusal::new("a stream cannot be deduplicated twice in one query".to_owned());
                let refusal = refusal.or_hint("make a dataset of its own of it".to_owned());
                return Err(refusal.at(Obstacle::at("", node).place).into());
            }
            self.scans[*number].closing = Some(Closing::Span { first: 0, last: horizon });
        }
        self.deduplicates = true;
        let wait = if first.asc { 0 } else { horizon };
        let numbered = by_chain(input, window, function, time, horizon)?;
        let complete = match wait {
            0 => column(numbered.schema(), time),
            wait => {
                let wait = ScalarValue::new_interval_mdn(0, 0, wait.saturating_mul(1_000));
                column(numbered.schema(), time) + lit(wait)
            }
        };
        let times: BTreeSet<usize> = times;
        Ok((closing_at(complete, true, numbered)?, Flow::Emitted { times, wait }))
    }
}

/// The one function of a node that numbers the rows of a key.
fn ranking(window: &Window) -> Option<&WindowFunction> {
    let [only] = window.window_expr.as_slice() else { return None };
    upkeep::row_number(only).filter(|function| !function.params.partition_by.is_empty())
}

/// The rows of a node, numbered within the chains of their keys; with the columns of the node that numbered them within
/// their keys.
fn by_chain(
    input: LogicalPlan,
    window: &Window,
    function: &WindowFunction,
    time: usize,
    horizon: i64,
) -> Result<LogicalPlan, Stop> {
    let own: Vec<Expr> =
        (0..input.schema().fields().len()).map(|index| column(input.schema(), index)).collect();
    let (keys, time) = (&function.params.partition_by, column(input.schema(), time));
    let start = WindowFunctionDefinition::WindowUDF(Arc::new(WindowUDF::from(SessionBound::start())));
    let chain = Expr::from(WindowFunction::new(start, vec![time.clone(), lit(horizon)]));
    let chain =
        chain.partition_by(keys.clone()).order_by(vec![Sort::new(time.clone(), true, false)]).build()?;
    let of_chain: Vec<Expr> = keys.iter().cloned().chain([Expr::Column(Column::from_name(CHAIN))]).collect();
    let name = window.schema.field(own.len()).name();
    let number = row_number().partition_by(of_chain).order_by(function.params.order_by.clone()).build()?;
    let kept = own.iter().cloned().chain([Expr::Column(Column::from_name(name))]);
    let plan = LogicalPlanBuilder::from(input)
        .filter(time.is_not_null())?
        .window(vec![chain.alias(CHAIN)])?
        .window(vec![number.alias(name)])?
        .project(kept.collect::<Vec<_>>())?
        .build()?;
    Ok(plan)
}
