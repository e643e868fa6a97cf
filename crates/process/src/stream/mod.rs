//! Queries that follow event time: the rows of a window are written when the watermark has passed its end, or each
//! time that rows of it arrive.
//!
//! Owns: what of a query can be run so and why not ([`decide`]), how far event time has come in each input
//! ([`StreamState`]), which windows a run writes, and the rows of the inputs that they are made from. A run computes
//! the windows that it writes with the query itself, over just the rows that lie in them, so what is written of a
//! window is what the batch query answers for it.
//! Does not own: when a run is due (`flowline-schedule`), that rows, position and state go out in one commit
//! (`transform`), which windows a time lies in (`windows`).

mod analyze;
mod clock;
mod clocks;
mod closing;
mod deduplicate;
mod disorder;
mod division;
mod flow;
mod interval;
mod joins;
mod keep;
mod look;
mod observe;
mod partial;
mod quarantine;
mod reopen;
mod restrict;
mod run;
mod sessions;
mod status;
mod step;
mod stretches;
mod tables;

use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use flowline_model::{Dataset, DatasetName, Emit, Materialization, SqlOrigin};

use crate::in_log;
use crate::upkeep::{self, Hop, Refusal};

pub(crate) use analyze::StreamQuery;
pub(crate) use clock::StreamState;
pub(crate) use clocks::{clocks_of, disorder_of, earliest_of_new, patience};
pub(crate) use division::shared_inputs;
pub(crate) use look::look;
pub(crate) use quarantine::{
    OF_CHECKS, SetAside, batch_of_checks, commit as commit_quarantine, of_batch, of_checks, set_aside,
};
pub(crate) use run::StreamRun;
pub use status::{stream_statuses, sweep_stream_state};

/// How a stream is run.
#[derive(Debug, Clone)]
pub(crate) enum StreamPlan {
    /// Row by row, or key by key: as transforms are.
    Followed(Hop),
    /// Window by window.
    Windows(StreamQuery),
}

/// Decides how the query of a stream is run. `input` finds the declaration of a dataset.
///
/// # Errors
/// Why it cannot be run as a stream, and the nearest thing that can.
pub(crate) fn decide<'a>(
    dataset: &Dataset,
    sql: &SqlOrigin,
    plan: &LogicalPlan,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Result<std::result::Result<StreamPlan, Refusal>> {
    let decided = decide_whole(dataset, sql, plan, input)?;
    if dataset.divided()
        && let Ok(whole) = &decided
        && let Some(refusal) = division::refuse(dataset, whole, plan, input)?
    {
        return Ok(Err(refusal));
    }
    if let Ok(whole) = &decided
        && let Some(refusal) = in_log::refuse_stream(whole, input)?
    {
        return Ok(Err(refusal));
    }
    Ok(decided)
}

/// The same, whether it is divided or not.
fn decide_whole<'a>(
    dataset: &Dataset,
    sql: &SqlOrigin,
    plan: &LogicalPlan,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Result<std::result::Result<StreamPlan, Refusal>> {
    let landed = |name: &DatasetName| input(name).is_some_and(Dataset::landed);
    let follow = |mode: Materialization| upkeep::decide(dataset, plan, mode, &landed);
    let analyzed = match analyze::analyze(dataset, sql.emit, plan, input)? {
        Ok(Some(query)) => return Ok(Ok(StreamPlan::Windows(query))),
        Ok(None) => None,
        Err(refusal) => Some(refusal),
    };
    let by_row = follow(Materialization::Append)?;
    if let (Ok(hop), None) = (&by_row, &analyzed) {
        return Ok(Ok(StreamPlan::Followed(hop.clone())));
    }
    let windowed = analyze::has_windows(plan);
    if sql.emit == Emit::OnChange && !windowed && !dataset.key.is_empty() && dataset.dedupe_horizon.is_zero()
    {
        let by_key = follow(Materialization::Merge)?;
        return Ok(by_key.map(StreamPlan::Followed).map_err(|refusal| refusal.instead(
            "as a stream its rows would be replaced by `key`, which cannot be told; use `mode: batch` with `materialize: full`",
        )));
    }
    let refusal = match (analyzed, by_row) {
        (Some(refusal), _) => refusal,
        (None, Err(refusal)) => refusal.instead(
            "group by the windows of a window table function, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, or write `emit: on_change` with a `key`",
        ),
        (None, Ok(_)) => Refusal::new("this query cannot be run as a stream".to_owned()),
    };
    Ok(Err(refusal.or_hint("use `mode: batch` with `materialize: full`".to_owned())))
}
