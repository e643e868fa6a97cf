//! Event time of streams whose rows are taken one by one, and how streams wait for disorder.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Utc};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::collect;
use flowline_model::{Dataset, DatasetName, Finding, LatePolicy};

use super::analyze::time_column;
use super::clock::{Patience, StreamState, believed_until};
use super::disorder::{findings, note};
use super::observe::{Question, observe};
use super::run::reading;
use crate::ProcessError;
use crate::sql::Edition;
use crate::transform::{Attempt, named};
use crate::upkeep::Hop;

/// Event time in the inputs of a stream whose rows are taken one by one: nothing waits for it, but it says how far
/// the stream is.
pub(crate) async fn clocks_of(
    attempt: &Attempt<'_>,
    session: &SessionState,
    now: DateTime<Utc>,
) -> Result<StreamState, ProcessError> {
    let same = attempt.standing.definition.as_deref() == Some(attempt.definition);
    let known = attempt.standing.stream.clone().filter(|_| same);
    let anew = known.is_none();
    let mut state = known.unwrap_or_default();
    for input in attempt.inputs {
        let declared = attempt.engine.project().dataset(&input.dataset);
        let schema = input.table.schema();
        let has = |name: &str| schema.as_ref().is_some_and(|schema| schema.index_of(name).is_ok());
        let Some(time) = time_column(attempt.dataset, declared, has) else { continue };
        state.input(&input.dataset, now);
        let rows = match (&input.changes, input.version) {
            (Some(changes), _) if !anew && changes.append_only() => {
                input.table.provider_of(changes).await.map_err(reading(&input.dataset))?
            }
            (_, Some(version)) if anew || input.changed() => {
                let at = flowline_lake::ReadAt::Version(version);
                input.table.provider(at).await.map_err(reading(&input.dataset))?
            }
            _ => continue,
        };
        let believed_until = believed_until(now);
        let (closings, watermark) = (Vec::new(), state.watermark.filter(|_| !anew));
        let question = Question { closings, watermark, every_window: false, believed_until, now };
        let observed = observe(session, rows, &time, &question).await?;
        state.note_all(&input.dataset, &observed.newest, now);
        state.ahead += observed.ahead;
        note(&mut state.disorder, &input.dataset, &observed.disorder, anew);
    }
    state.advance(patience(attempt.dataset), now);
    // Nothing waits for its time to pass.
    state.as_of = None;
    Ok(state)
}

/// The findings about disorder in such a stream that are due.
pub(crate) fn disorder_of(
    attempt: &Attempt<'_>,
    state: &mut StreamState,
    now: DateTime<Utc>,
) -> Vec<Finding> {
    // What comes late is written like anything else.
    let landed_from = |input: &DatasetName, partition| attempt.landed_from(input, partition);
    findings(&attempt.dataset.name, LatePolicy::Reopen, &mut state.disorder, now, &landed_from)
}

/// The smallest event time among the new rows of a stream's inputs, microseconds, where its query reads tables as of it;
/// none when it does not, or when that cannot be told. Reads the time column of what is new.
pub(crate) async fn earliest_of_new(
    attempt: &Attempt<'_>,
    session: &SessionState,
    hop: &Hop,
) -> Result<Option<i64>, ProcessError> {
    let mut as_of = false;
    hop.plan.apply_with_subqueries(|node| {
        as_of |= matches!(node, LogicalPlan::TableScan(scan) if Edition::of(scan.table_name.table()).1 == Edition::Versions);
        Ok(if as_of { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    let mut earliest: Option<i64> = None;
    if !as_of || !attempt.dataset.streams() {
        return Ok(None);
    }
    for input in attempt.inputs.iter().filter(|input| input.changed()) {
        if !hop.scans.contains(&input.dataset) {
            continue;
        }
        let declared = attempt.engine.project().dataset(&input.dataset);
        let schema = input.table.schema();
        let has = |name: &str| schema.as_ref().is_some_and(|schema| schema.index_of(name).is_ok());
        let Some(time) = time_column(attempt.dataset, declared, has) else { continue };
        let Some(changes) = input.changes.as_ref().filter(|changes| changes.append_only()) else {
            return Ok(None);
        };
        let rows = input.table.provider_of(changes).await.map_err(reading(&input.dataset))?;
        let none: Vec<Expr> = Vec::new();
        let plan = LogicalPlanBuilder::scan("new", provider_as_source(rows), None)?
            .aggregate(none, vec![min(named(&time))])?
            .build()?;
        let physical = session.create_physical_plan(&plan).await?;
        for batch in collect(physical, session.task_ctx()).await? {
            let found = batch.column(0).as_primitive_opt::<TimestampMicrosecondType>();
            let Some(found) = found.and_then(arrow::compute::min) else { continue };
            earliest = Some(earliest.map_or(found, |earliest| earliest.min(found)));
        }
    }
    Ok(earliest)
}

/// How a stream waits for disorder.
pub(crate) fn patience(dataset: &Dataset) -> Patience {
    let event_time = dataset.event_time.as_ref();
    Patience {
        delay: event_time.map(|time| time.watermark).unwrap_or_default(),
        idle_after: event_time.and_then(|time| time.idle_after),
    }
}
