//! What of a query can be run window by window.
//!
//! Goes up the plan from its tables and asks of each node whether it keeps the rows of different windows apart. Where
//! windows (or rows of a join) come to be, a condition is put into the plan that lets through what closes now: a run
//! gives it its bounds, and the whole query then answers for just those windows.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Filter, LogicalPlan, Projection, ScalarUDF, TableScan, Union, Window,
    WindowFunctionDefinition, lit,
};
use flowline_model::{Dataset, DatasetName, Emit, LatePolicy};

use super::closing::Closing;
use super::flow::{Carrier, ClosingColumn, Flow, Role, column_index};
pub(super) use super::tables::has_windows;
use super::tables::{WindowTable, window_table};
use crate::upkeep::{Obstacle, Refusal, no_sort_or_limit, not_unnested, number, number_of, same_every_time};
use crate::windows::{CLOSING, SESSION_END, SESSION_START, WindowFunction, WindowKind};

/// A query that is run window by window.
#[derive(Debug, Clone)]
pub(crate) struct StreamQuery {
    /// The query, its scans numbered, with a condition where things close.
    pub plan: LogicalPlan,
    /// Its scans, by number.
    pub scans: Vec<StreamScan>,
    /// The column of the answer that says when its rows close, if one does.
    pub closing_column: Option<ClosingColumn>,
    /// When rows are written.
    pub emit: Emit,
    /// What becomes of rows behind the watermark.
    pub late: LatePolicy,
}

/// One mention of a dataset in a stream's query.
#[derive(Debug, Clone)]
pub(crate) struct StreamScan {
    /// The dataset.
    pub dataset: DatasetName,
    /// The column that is the event time of its rows; none for a table that is looked things up in.
    pub time: Option<String>,
    /// What its rows count towards.
    pub closing: Option<Closing>,
}

/// The column of a dataset's rows that is their event time for a stream over it.
pub(crate) fn time_column(
    stream: &Dataset,
    input: Option<&Dataset>,
    has: impl Fn(&str) -> bool,
) -> Option<String> {
    let own = stream.event_time.as_ref().map(|time| &time.column);
    let theirs = input.and_then(|input| input.event_time.as_ref()).map(|time| &time.column);
    [own, theirs].into_iter().flatten().find(|column| has(column)).cloned()
}

type Analyzed = DataFusionResult<Result<Option<StreamQuery>, Refusal>>;

/// Analyzes a query; none when it gives rows one by one, without windows.
///
/// # Errors
/// The inner one: what keeps it from being run window by window.
pub(super) fn analyze<'a>(
    dataset: &Dataset,
    emit: Emit,
    plan: &LogicalPlan,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Analyzed {
    let (plan, scans) = number(plan.clone())?;
    let scans = scans.into_iter().map(|dataset| StreamScan { dataset, time: None, closing: None }).collect();
    let mut analysis = Analysis { dataset, input, scans, deduplicates: false };
    let found = analysis.analyze(&plan, emit);
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(Stop::Refused(refusal)) => Ok(Err(*refusal)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The different rows of a plan, as its groups by all columns: what is kept of groups is kept of them as well.
fn as_groups(input: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let groups = input.schema().columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, Vec::new())?))
}

/// Why an analysis ends early.
pub(super) enum Stop {
    Refused(Box<Refusal>),
    Failed(DataFusionError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<DataFusionError> for Stop {
    fn from(error: DataFusionError) -> Self {
        Self::Failed(error)
    }
}

pub(super) type Walked = Result<(LogicalPlan, Flow), Stop>;

pub(super) struct Analysis<'a, 'b> {
    pub(super) dataset: &'a Dataset,
    input: &'a dyn Fn(&DatasetName) -> Option<&'b Dataset>,
    pub(super) scans: Vec<StreamScan>,
    /// It picks the first row of keys, within the horizon of the dataset.
    pub(super) deduplicates: bool,
}

impl Analysis<'_, '_> {
    fn analyze(&mut self, plan: &LogicalPlan, emit: Emit) -> Result<Option<StreamQuery>, Stop> {
        const BATCH: &str = "leave it out, or use `mode: batch` with `materialize: full`";
        same_every_time(plan).map_err(|refusal| refusal.instead(BATCH))?;
        no_sort_or_limit(plan).map_err(|refusal| refusal.instead(BATCH))?;
        let (plan, flow) = self.walk(plan)?;
        self.horizon_is_used()?;
        let closing_column = match &flow {
            Flow::Windows { carriers, .. } => answer_column(&plan, carriers),
            Flow::Emitted { times, wait } => times.first().map(|column| {
                let name = plan.schema().field(*column).name().clone();
                ClosingColumn { name, before: *wait }
            }),
            Flow::Rows { .. } => return Ok(None),
            Flow::Lookup => {
                let column = self.dataset.event_time.as_ref().map_or("", |time| time.column.as_str());
                return Err(Refusal::new(format!(
                    "none of the datasets that the query reads has the event time `{column}`"
                ))
                .or_hint("name a timestamp column of an input in `event_time`".to_owned())
                .into());
            }
        };
        let late = self.dataset.event_time.as_ref().map_or(LatePolicy::Reopen, |time| time.late);
        let scans = std::mem::take(&mut self.scans);
        let query = StreamQuery { plan, scans, closing_column, emit, late };
        query.check(matches!(flow, Flow::Emitted { .. }), self.deduplicates)?;
        Ok(Some(query))
    }

    pub(super) fn walk(&mut self, plan: &LogicalPlan) -> Walked {
        self.no_stream_in_subqueries(plan)?;
        match plan {
            LogicalPlan::TableScan(scan) => Ok((plan.clone(), self.scan(scan))),
            LogicalPlan::Projection(projection) => match window_table(projection) {
                Some(table) => self.window_table(plan, &projection.input, table),
                None => self.above(plan, &projection.input, |column| place_in(projection, column)),
            },
            LogicalPlan::Filter(filter) => match filter.input.as_ref() {
                LogicalPlan::Join(join) => {
                    if let Some(below) = self.first_below_join(&filter.predicate, join)? {
                        return self.walk(&replaced(plan, vec![below])?);
                    }
                    let (joined, flow) = self.join(&filter.input, join, Some(&filter.predicate))?;
                    Ok((replaced(plan, vec![joined])?, flow))
                }
                _ => match self.first_of_key(plan, filter)? {
                    Some(found) => Ok(found),
                    None => self.above(plan, &filter.input, |column| vec![column]),
                },
            },
            LogicalPlan::SubqueryAlias(alias) => self.above(plan, &alias.input, |column| vec![column]),
            LogicalPlan::Unnest(unnest) => {
                let place = |column: usize| {
                    let from = |index: usize| {
                        unnest.dependency_indices.get(index) == Some(&column)
                            && not_unnested(unnest, index).is_some()
                    };
                    (0..unnest.schema.fields().len()).filter(|index| from(*index)).collect()
                };
                self.above(plan, &unnest.input, place)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(plan, aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let (input, flow) = self.walk(input)?;
                self.kept_apart(plan, &flow, "DISTINCT", |carriers| carriers.iter().any(Carrier::tells))?;
                Ok((as_groups(input)?, flow))
            }
            LogicalPlan::Window(window) => self.window(plan, window),
            LogicalPlan::Join(join) => self.join(plan, join, None),
            LogicalPlan::Union(union) => self.union(plan, union),
            other => self.other(other),
        }
    }

    /// A node with one input that takes its rows one by one, and puts their columns elsewhere.
    fn above(
        &mut self,
        plan: &LogicalPlan,
        input: &LogicalPlan,
        place: impl Fn(usize) -> Vec<usize>,
    ) -> Walked {
        let (input, flow) = self.walk(input)?;
        Ok((replaced(plan, vec![input])?, flow.moved(place)))
    }

    fn scan(&mut self, scan: &TableScan) -> Flow {
        let Some((number, time)) = self.time_of(scan) else { return Flow::Lookup };
        let index = scan.projected_schema.fields().iter().position(|field| *field.name() == time);
        self.scans[number].time = Some(time);
        Flow::Rows { times: index.into_iter().collect(), scans: vec![number] }
    }

    fn window_table(&mut self, plan: &LogicalPlan, input: &LogicalPlan, table: WindowTable) -> Walked {
        let (input, flow) = self.walk(input)?;
        let named = input.schema().field(table.time).name().clone();
        let session = table.spec.kind == WindowKind::Session;
        let (input, scans) = match flow {
            Flow::Rows { times, scans } if times.contains(&table.time) => (input, scans),
            Flow::Windows { carriers, scans }
                if carriers
                    .iter()
                    .any(|carrier| carrier.column == table.time && carrier.role == Role::Time) =>
            {
                (without_conditions(input)?, scans)
            }
            Flow::Lookup => return Ok((replaced(plan, vec![input])?, Flow::Lookup)),
            Flow::Emitted { .. } => {
                return Err(not_as_a_stream("windows over a join by time").at(table.place).into());
            }
            Flow::Rows { .. } | Flow::Windows { .. } => {
                return Err(self.not_the_time(&named).at(table.place).into());
            }
        };
        for number in &scans {
            let closing = self.scans[*number].closing.take();
            self.scans[*number].closing = Some(match (closing, session) {
                (None, true) => Closing::Sessions(table.spec.size),
                (None, false) => Closing::Windows(vec![table.spec]),
                (Some(Closing::Windows(mut specs)), false) => {
                    specs.push(table.spec);
                    Closing::Windows(specs)
                }
                _ => {
                    let refusal = not_as_a_stream("windows of sessions, and sessions of windows,");
                    return Err(refusal.at(table.place).into());
                }
            });
        }
        let node = replaced(plan, vec![input])?;
        let end = table.carriers.iter().find(|carrier| carrier.role == Role::End);
        let end = end.map_or(0, |carrier| carrier.column);
        let node = closing_at(column(node.schema(), end), session, node)?;
        Ok((node, Flow::Windows { carriers: table.carriers, scans }))
    }

    fn not_the_time(&self, named: &str) -> Refusal {
        let column = self.dataset.event_time.as_ref().map_or("", |time| time.column.as_str());
        Refusal::new(format!(
            "DESCRIPTOR names `{named}`, which is not the event time `{column}` of one stream"
        ))
        .or_hint(
            "name the column of `event_time` as it comes from the input, or `window_time` of an inner window"
                .to_owned(),
        )
    }

    fn aggregate(&mut self, plan: &LogicalPlan, aggregate: &Aggregate) -> Walked {
        let (input, flow) = self.walk(&aggregate.input)?;
        let schema = Arc::clone(input.schema());
        // With grouping sets, a column that some of them leave out tells nothing.
        let grouped = |carrier: &Carrier| {
            let column = |expr: &Expr| column_index(expr, &schema) == Some(carrier.column);
            let sets = aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
            !sets && aggregate.group_expr.iter().any(column) || in_every_set(&aggregate.group_expr, &column)
        };
        self.kept_apart(plan, &flow, "GROUP BY", |carriers| {
            carriers.iter().any(|carrier| carrier.tells() && grouped(carrier))
        })?;
        let place = |from: usize| {
            let from = schema.qualified_field(from);
            let from = datafusion::common::Column::from(from);
            aggregate.schema.maybe_index_of_column(&from).into_iter().collect()
        };
        let flow = match flow {
            Flow::Windows { carriers, scans } => {
                let carriers = carriers.into_iter().filter(&grouped).collect();
                Flow::Windows { carriers, scans }
            }
            other => other,
        };
        Ok((replaced(plan, vec![input])?, flow.moved(place)))
    }

    fn window(&mut self, plan: &LogicalPlan, window: &Window) -> Walked {
        let (input, flow) = self.walk(&window.input)?;
        self.window_over(plan, window, input, flow)
    }

    pub(super) fn window_over(
        &self,
        plan: &LogicalPlan,
        window: &Window,
        input: LogicalPlan,
        flow: Flow,
    ) -> Walked {
        let sessions = window.window_expr.iter().all(is_session_bound);
        if sessions && !matches!(flow, Flow::Rows { .. } | Flow::Lookup) {
            let refusal = not_as_a_stream("windows of sessions, and sessions of windows,");
            return Err(refusal.at(Obstacle::at("", plan).place).into());
        }
        if !(sessions && matches!(flow, Flow::Rows { .. })) {
            let schema = input.schema();
            self.kept_apart(plan, &flow, "a window function", |carriers| {
                window.window_expr.iter().all(|expr| {
                    let told = |carrier: &Carrier| carrier.tells();
                    partition_by(expr)
                        .iter()
                        .any(|expr| Flow::carrier(carriers, expr, schema).is_some_and(told))
                })
            })?;
        }
        Ok((replaced(plan, vec![input])?, flow))
    }

    /// Refuses a node that puts rows together unless it keeps those of different windows apart.
    fn kept_apart(
        &self,
        plan: &LogicalPlan,
        flow: &Flow,
        what: &'static str,
        apart: impl Fn(&[Carrier]) -> bool,
    ) -> Result<(), Stop> {
        let place = Obstacle::at(what, plan).place;
        let refusal = match flow {
            Flow::Lookup => return Ok(()),
            Flow::Windows { carriers, .. } if apart(carriers) => return Ok(()),
            Flow::Windows { .. } => Refusal::new(format!("{what} puts rows of several windows together"))
                .or_hint("add `window_start` and `window_end` to it".to_owned()),
            Flow::Rows { .. } => {
                let of_key = match what {
                    "a window function" => {
                        "; for the first or last row of each key, say with `dedupe_horizon: 1d` how long a key is remembered"
                    }
                    _ => "",
                };
                Refusal::new(format!("{what} over a whole stream never comes to an end")).or_hint(format!(
                    "read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`{of_key}"
                ))
            }
            Flow::Emitted { .. } => not_as_a_stream(what),
        };
        Err(refusal.at(place).into())
    }

    fn union(&mut self, plan: &LogicalPlan, union: &Union) -> Walked {
        let (mut inputs, mut flows) = (Vec::new(), Vec::new());
        for input in &union.inputs {
            let (input, flow) = self.walk(input)?;
            inputs.push(input);
            flows.push(flow);
        }
        let flow = flows.into_iter().reduce(together).unwrap_or(Flow::Lookup);
        Ok((replaced(plan, inputs)?, flow))
    }

    /// A node that is not understood may stand over tables only.
    fn other(&mut self, plan: &LogicalPlan) -> Walked {
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            let (input, flow) = self.walk(input)?;
            if flow != Flow::Lookup {
                return Err(not_as_a_stream(upkeep_name(plan)).at(Obstacle::at("", plan).place).into());
            }
            inputs.push(input);
        }
        Ok((replaced(plan, inputs)?, Flow::Lookup))
    }

    pub(super) fn no_stream_in_subqueries(&self, plan: &LogicalPlan) -> Result<(), Stop> {
        let mut found = None;
        plan.apply_subqueries(|subquery| {
            subquery.apply_with_subqueries(|node| {
                if let LogicalPlan::TableScan(scan) = node
                    && let Some((number, _)) = self.time_of(scan)
                {
                    found = Some(self.scans[number].dataset.clone());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        match found {
            Some(stream) => Err(Refusal::subquery(&stream).at(Obstacle::at("", plan).place).into()),
            None => Ok(()),
        }
    }

    /// The number of a scan and the column that is its event time; none when it is no stream's.
    fn time_of(&self, scan: &TableScan) -> Option<(usize, String)> {
        let number = number_of(scan)?;
        let has = |name: &str| scan.projected_schema.has_column_with_unqualified_name(name);
        let input = (self.input)(&self.scans[number].dataset);
        Some((number, time_column(self.dataset, input, has)?))
    }
}

impl StreamQuery {
    /// What of the settings does not go with the query.
    fn check(&self, emitted: bool, deduplicates: bool) -> Result<(), Stop> {
        let sessions = self.scans.iter().any(|scan| matches!(scan.closing, Some(Closing::Sessions(_))));
        if (sessions || deduplicates) && self.late != LatePolicy::Reopen {
            let message = match sessions {
                true => "a row behind the watermark may join two sessions, so it cannot be left out of them",
                false => {
                    "a row behind the watermark may be the first one of its key, so it cannot be left out"
                }
            };
            return Err(Refusal::new(message.to_owned()).or_hint("use `late: reopen`".to_owned()).into());
        }
        if self.emit == Emit::OnClose {
            return Ok(());
        }
        let refusal = if sessions || emitted {
            let what = match deduplicates {
                true => "the first or last row of a key within a horizon",
                false => "what a session or a join by time gives",
            };
            Refusal::new(format!("{what} is known when it closes")).or_hint("use `emit: on_close`".to_owned())
        } else if self.closing_column.is_none() {
            Refusal::new("`emit: on_change` replaces the rows of a window, but the query does not say of its rows which window they are of".to_owned())
                .or_hint("select `window_end`, or use `emit: on_close`".to_owned())
        } else {
            return Ok(());
        };
        Err(refusal.into())
    }
}

fn not_as_a_stream(what: &str) -> Refusal {
    Refusal::new(format!("{what} cannot be run as a stream"))
        .or_hint("use `mode: batch` with `materialize: full`".to_owned())
}

fn upkeep_name(plan: &LogicalPlan) -> &'static str {
    crate::upkeep::name(plan)
}

/// The flow of two branches of a UNION.
fn together(one: Flow, other: Flow) -> Flow {
    match (one, other) {
        (Flow::Rows { times, mut scans }, Flow::Rows { times: others, scans: more }) => {
            scans.extend(more);
            Flow::Rows { times: times.intersection(&others).copied().collect::<BTreeSet<_>>(), scans }
        }
        (Flow::Windows { carriers, mut scans }, Flow::Windows { carriers: others, scans: more }) => {
            scans.extend(more);
            let told =
                |one: &Carrier| others.iter().any(|other| one.column == other.column && one.agrees(other));
            Flow::Windows { carriers: carriers.into_iter().filter(told).collect(), scans }
        }
        (Flow::Emitted { times, wait }, Flow::Emitted { times: others, wait: other }) if wait == other => {
            Flow::Emitted { times: times.intersection(&others).copied().collect(), wait }
        }
        (Flow::Lookup, Flow::Lookup) => Flow::Lookup,
        _ => Flow::Emitted { times: BTreeSet::new(), wait: 0 },
    }
}

/// A node over other inputs.
pub(super) fn replaced(plan: &LogicalPlan, inputs: Vec<LogicalPlan>) -> Result<LogicalPlan, Stop> {
    Ok(plan.with_new_exprs(plan.expressions(), inputs)?)
}

pub(super) fn column(schema: &DFSchema, index: usize) -> Expr {
    Expr::Column(datafusion::common::Column::from(schema.qualified_field(index)))
}

/// The rows of a node for which a run lets this time through.
pub(super) fn closing_at(time: Expr, strict: bool, node: LogicalPlan) -> Result<LogicalPlan, Stop> {
    let function = ScalarUDF::from(WindowFunction::named(CLOSING));
    let condition = function.call(vec![time, lit(strict)]);
    Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(node))?))
}

/// The argument of a condition that [`closing_at`] put in, and whether it is strict.
pub(super) fn closing_of(filter: &Filter) -> Option<(&Expr, bool)> {
    let Expr::ScalarFunction(function) = &filter.predicate else { return None };
    match function.args.as_slice() {
        [time, Expr::Literal(datafusion::scalar::ScalarValue::Boolean(Some(strict)), _)]
            if function.func.name() == CLOSING =>
        {
            Some((time, *strict))
        }
        _ => None,
    }
}

/// Inner windows are wanted whenever an outer one is.
fn without_conditions(plan: LogicalPlan) -> Result<LogicalPlan, Stop> {
    let stripped = plan.transform_up(|node| match &node {
        LogicalPlan::Filter(filter) if closing_of(filter).is_some() => {
            Ok(Transformed::yes(filter.input.as_ref().clone()))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(stripped.data)
}

fn in_every_set(group: &[Expr], column: &dyn Fn(&Expr) -> bool) -> bool {
    use datafusion::logical_expr::GroupingSet;
    match group {
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => {
            !sets.is_empty() && sets.iter().all(|set| set.iter().any(column))
        }
        _ => false,
    }
}

/// Where a column of a projection's input stands in its output.
pub(super) fn place_in(projection: &Projection, column: usize) -> Vec<usize> {
    let same = |expr: &Expr| column_index(expr, projection.input.schema()) == Some(column);
    (0..projection.expr.len()).filter(|index| same(&projection.expr[*index])).collect()
}

fn window_function(expr: &Expr) -> Option<&datafusion::logical_expr::expr::WindowFunction> {
    match expr {
        Expr::Alias(alias) => window_function(&alias.expr),
        Expr::WindowFunction(function) => Some(function),
        _ => None,
    }
}

fn is_session_bound(expr: &Expr) -> bool {
    window_function(expr).is_some_and(|function| {
        matches!(&function.fun, WindowFunctionDefinition::WindowUDF(udf) if [SESSION_START, SESSION_END].contains(&udf.name()))
    })
}

fn partition_by(expr: &Expr) -> &[Expr] {
    window_function(expr).map_or(&[], |function| &function.params.partition_by)
}

/// The columns that keep sessions apart.
pub(super) fn session_keys(window: &Window) -> &[Expr] {
    window.window_expr.iter().find(|expr| is_session_bound(expr)).map_or(&[], partition_by)
}

/// The column of the answer that tells its rows' window best.
fn answer_column(plan: &LogicalPlan, carriers: &[Carrier]) -> Option<ClosingColumn> {
    let carrier = carriers.iter().filter(|carrier| carrier.tells()).min_by_key(|carrier| carrier.role)?;
    let name = plan.schema().field(carrier.column).name().clone();
    Some(ClosingColumn { name, before: carrier.before_end() })
}
