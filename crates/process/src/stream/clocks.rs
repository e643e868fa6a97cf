//! Event time of streams whose rows are taken one by one, and how streams wait for disorder.

use chrono::{DateTime, Utc};
use datafusion::execution::SessionState;
use flowline_model::Dataset;

use super::analyze::time_column;
use super::clock::{Patience, StreamState, believed_until};
use super::observe::{Question, observe};
use super::run::reading;
use crate::ProcessError;
use crate::transform::Attempt;

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
        let question =
            Question { closings: Vec::new(), watermark: None, every_window: false, believed_until };
        let observed = observe(session, rows, &time, &question).await?;
        state.note_all(&input.dataset, &observed.newest, now);
        state.ahead += observed.ahead;
    }
    state.advance(patience(attempt.dataset), now);
    // Nothing waits for its time to pass.
    state.as_of = None;
    Ok(state)
}

/// How a stream waits for disorder.
pub(crate) fn patience(dataset: &Dataset) -> Patience {
    let event_time = dataset.event_time.as_ref();
    Patience {
        delay: event_time.map(|time| time.watermark).unwrap_or_default(),
        idle_after: event_time.and_then(|time| time.idle_after),
    }
}
