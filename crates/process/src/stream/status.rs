//! How streams stand: what their last commits say, and what of their inputs they have not read.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use flowline_lake::{Lake, TableId};
use flowline_model::{Dataset, DatasetName, Plan, StreamClock, StreamStatus};

use super::clocks::patience;
use super::partial::{Layers, STATE_FOLDER};
use crate::ProcessError;
use crate::transform::{last_standing, last_transaction};

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

/// Deletes the files of partial results that no commit of a stream names any more: those of runs that were cut off before
/// their commit. Returns how many. Lists one folder; for a dataset that is no stream, nothing happens.
pub async fn sweep_stream_state(lake: &Lake, dataset: &Dataset) -> Result<u64, ProcessError> {
    if !dataset.streams() {
        return Ok(0);
    }
    let table = lake.table(TableId::of(dataset));
    let failed = || format!("tidying the state of `{}`", dataset.name);
    // Listed before the last commit is read, so that what a run writes meanwhile is not among them.
    let found = table.list_beside(STATE_FOLDER).await.map_err(ProcessError::lake(failed()))?;
    let Some(transaction) = last_transaction(&table, &dataset.name).await? else { return Ok(0) };
    let Some((_, Some(state))) = last_standing(&table, &dataset.name).await? else { return Ok(0) };
    let named: BTreeSet<&str> = state.files().chain(state.stale.iter().map(String::as_str)).collect();
    let unnamed = |path: &String| {
        let of = path.rsplit('/').next().and_then(|name| name.split('-').next()?.parse::<i64>().ok());
        // Those of a later transaction may belong to a commit that is under way.
        of.is_some_and(|of| of <= transaction) && !named.contains(path.as_str())
    };
    let unnamed: Vec<String> = found.into_iter().filter(unnamed).collect();
    table.delete_beside(&unnamed).await.map_err(ProcessError::lake(failed()))?;
    Ok(unnamed.len() as u64)
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
        state_rows: state.kept.iter().flat_map(Layers::segments).map(|file| file.rows).sum(),
        state_bytes: serde_json::to_vec(&state).map_or(0, |bytes| bytes.len() as u64)
            + state.kept.iter().flat_map(Layers::segments).map(|file| file.bytes).sum::<u64>(),
        state_limit: dataset.stream_memory(),
        memory: state.memory,
        spilled: state.spilled,
        rows_read: state.rows_read,
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
