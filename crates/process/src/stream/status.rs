//! How streams stand: what their last commits say, and what of their inputs they have not read.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use datafusion::scalar::ScalarValue;
use flowline_lake::{Lake, TableId, arrow_types};
use flowline_model::{Dataset, DatasetName, Plan, StreamClock, StreamStatus};

use super::clocks::patience;
use super::division::shared_inputs;
use super::partial::{Layers, STATE_FOLDER};
use crate::ProcessError;
use crate::transform::{last_standing, last_transaction, parts_in};

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
    let (mut named, mut least) = (BTreeSet::new(), i64::MAX);
    let parts = parts_in(&table, dataset).await?;
    // The first transaction of a part that has not committed yet may be under way.
    let first = if dataset.divided() { 1 } else { 0 };
    for part in parts {
        let Some(transaction) = last_transaction(&table, &dataset.name, part).await? else { return Ok(0) };
        let Some((_, Some(state))) = last_standing(&table, &dataset.name, part).await? else { return Ok(0) };
        named.extend(state.files().map(str::to_owned));
        named.extend(state.stale);
        least = least.min(transaction);
    }
    let unnamed = |path: &String| {
        let of = path.rsplit('/').next().and_then(|name| name.split('-').next()?.parse::<i64>().ok());
        // Those of a later transaction may belong to a commit that is under way.
        of.is_some_and(|of| (first..=least).contains(&of)) && !named.contains(path)
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
    let mut whole: Option<StreamStatus> = None;
    for part in parts_in(&table, dataset).await? {
        let Some(found) = status_of_part(plan, lake, dataset, part, now).await? else { continue };
        whole = Some(match whole {
            Some(whole) => together(whole, found),
            None => found,
        });
    }
    Ok(whole)
}

/// Two parts of a stream as one: it is as far as the one that is less far.
fn together(one: StreamStatus, other: StreamStatus) -> StreamStatus {
    // One that knows no event time yet has had no rows.
    let behind = |status: &StreamStatus| status.watermark.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let (mut least, other) = if behind(&other) < behind(&one) { (other, one) } else { (one, other) };
    least.clocks.extend(other.clocks);
    least.lag_records = least.lag_records.zip(other.lag_records).map(|(one, other)| one + other);
    least.late += other.late;
    least.ahead += other.ahead;
    least.open_since = [least.open_since, other.open_since].into_iter().flatten().min();
    least.state_rows += other.state_rows;
    least.state_bytes += other.state_bytes;
    least.memory = least.memory.max(other.memory);
    least.spilled += other.spilled;
    least
}

async fn status_of_part(
    plan: &Plan,
    lake: &Lake,
    dataset: &Dataset,
    part: Option<i32>,
    now: DateTime<Utc>,
) -> Result<Option<StreamStatus>, ProcessError> {
    let table = lake.table(TableId::of(dataset));
    let standing = last_standing(&table, &dataset.name, part).await?;
    let Some((consumed, Some(state))) = standing else { return Ok(None) };
    let mut lag_records = Some(0u64);
    let shared = shared_inputs(plan, dataset, consumed.keys());
    for (input, version) in &consumed {
        let Some(declared) = plan.dataset(input) else { continue };
        let part = part.filter(|_| shared.contains(&input));
        let waiting = waiting(lake, declared, part, *version).await?;
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
async fn waiting(
    lake: &Lake,
    input: &Dataset,
    part: Option<i32>,
    consumed: i64,
) -> Result<Option<u64>, ProcessError> {
    let mut table = lake.table(TableId::of(input));
    if let Some(partition) = part {
        table = table.only(arrow_types::PARTITION, ScalarValue::Int32(Some(partition)));
    }
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
