//! How streams stand: what their last commits say, and what of their inputs they have not read.

use chrono::{DateTime, Utc};
use flowline_lake::{Lake, TableId};
use flowline_model::{Dataset, DatasetName, Plan, StreamClock, StreamStatus};

use super::clocks::patience;
use crate::ProcessError;
use crate::transform::last_standing;

/// The streams of a plan that have run, each as its table says; only one of them where it is named. Reads a few small
/// files for each.
pub async fn stream_statuses(
    plan: &Plan,
    lake: &Lake,
    only: Option<&DatasetName>,
    now: DateTime<Utc>,
) -> Result<Vec<StreamStatus>, ProcessError> {
    let mut all = Vec::new();
    let wanted = |dataset: &&Dataset| dataset.streams() && only.is_none_or(|only| dataset.name == *only);
    for dataset in plan.datasets.iter().filter(wanted) {
        all.extend(status_of(plan, lake, dataset, now).await?);
    }
    Ok(all)
}

async fn status_of(
    plan: &Plan,
    lake: &Lake,
    dataset: &Dataset,
    now: DateTime<Utc>,
) -> Result<Option<StreamStatus>, ProcessError> {
    let table = lake.table(TableId::of(dataset));
    let Some((consumed, Some(state))) = last_standing(&table, &dataset.name).await? else { return Ok(None) };
    let mut lag_records = Some(0u64);
    for (input, version) in &consumed {
        let Some(declared) = plan.dataset(input) else { continue };
        let waiting = waiting(lake, declared, *version).await?;
        lag_records = lag_records.zip(waiting).map(|(all, waiting)| all + waiting);
    }
    let patience = patience(dataset);
    let time = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap_or_default();
    let clocks = state.clocks().map(|(input, clock)| StreamClock {
        input: input.clone(),
        partition: clock.partition,
        newest_at: time(clock.newest),
        seen_at: clock.seen_at,
        idle: patience.idle(clock.seen_at, now),
    });
    Ok(Some(StreamStatus {
        dataset: dataset.name.clone(),
        watermark: state.watermark.map(time),
        held_by: state.held_by(patience, now).map(|held| (held.input, held.partition)),
        clocks: clocks.collect(),
        lag_records,
        late: state.late,
        ahead: state.ahead,
        open_since: state.sessions_from.map(time),
        state_rows: state.kept.iter().map(|file| file.rows).sum(),
        state_bytes: serde_json::to_vec(&state).map_or(0, |bytes| bytes.len() as u64)
            + state.kept.iter().map(|file| file.bytes).sum::<u64>(),
    }))
}

/// Rows that were added to an input since a version; none when its log does not say.
async fn waiting(lake: &Lake, input: &Dataset, consumed: i64) -> Result<Option<u64>, ProcessError> {
    let table = lake.table(TableId::of(input));
    let reading = || format!("reading the changes of `{}`", input.name);
    let Some(version) = table.refresh().await.map_err(ProcessError::lake(reading()))? else {
        return Ok(None);
    };
    if version <= consumed {
        return Ok(Some(0));
    }
    let changes = table.changes(Some(consumed), version).await.map_err(ProcessError::lake(reading()))?;
    Ok(changes.appended.iter().map(|file| file.rows).sum())
}
