//! How far event time has come: per partition of each input, and for the whole stream.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowline_model::DatasetName;
use serde::{Deserialize, Serialize};

use super::disorder::Disorders;
use super::partial::Layers;

/// A record whose time lies further ahead of the clock than this does not move event time on: one producer whose
/// clock is wrong would close every window.
const AHEAD_MAX: TimeDelta = TimeDelta::hours(1);

/// What a stream knows besides the versions that it has read. It stands in the commit that holds the rows made from
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamState {
    /// Everything with an earlier time has probably arrived, microseconds; none before it is known.
    pub watermark: Option<i64>,
    /// When that was found.
    pub as_of: Option<DateTime<Utc>>,
    /// The inputs whose rows have an event time.
    pub inputs: BTreeMap<DatasetName, InputClock>,
    /// The start of the oldest session that is still open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_from: Option<i64>,
    /// Rows that came behind the watermark, since the table was last computed as a whole.
    #[serde(default)]
    pub late: u64,
    /// Rows whose time lay so far ahead of the clock that they did not count for the watermark.
    #[serde(default)]
    pub ahead: u64,
    /// The partial results that the next run goes on from, one for each aggregate that is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "layers")]
    pub kept: Vec<Layers>,
    /// The files that the next run deletes: nothing names them any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
    /// Rows behind the watermark and ahead of the clock: what was told of them.
    #[serde(default, skip_serializing_if = "Disorders::is_empty")]
    pub disorder: Disorders,
    /// The most memory that the last run held at once, bytes.
    #[serde(default)]
    pub memory: u64,
    /// What the last run put on disk since its memory did not hold it, bytes.
    #[serde(default)]
    pub spilled: u64,
    /// The rows that the last run read of its inputs: those that are new, and those that it needed again.
    #[serde(default)]
    pub rows_read: u64,
}

/// Event time in one input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InputClock {
    /// When the stream first looked at it.
    pub since: DateTime<Utc>,
    /// By partition, in their order.
    pub partitions: Vec<PartitionClock>,
}

/// Event time in one partition of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartitionClock {
    /// The partition of the log that its rows came from; 0 for rows that came from no log.
    pub partition: i32,
    /// The newest event time, microseconds.
    pub newest: i64,
    /// When rows of it came last.
    pub seen_at: DateTime<Utc>,
}

/// What keeps the watermark where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The input.
    pub input: DatasetName,
    /// The partition; none when the input has no rows yet.
    pub partition: Option<i32>,
    /// The newest event time there, microseconds.
    pub newest: Option<i64>,
}

/// How disorder is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// How far rows may come behind the newest.
    pub delay: Duration,
    /// When a partition without rows is no longer waited for.
    pub idle_after: Option<Duration>,
}

impl Patience {
    /// Whether a partition whose rows came last at this time is no longer waited for.
    pub fn idle(&self, seen_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.idle_after.is_some_and(|idle| now >= later(seen_at, idle))
    }
}

impl StreamState {
    /// Notes the newest time of a partition's new rows.
    pub fn note(&mut self, input: &DatasetName, partition: i32, newest: i64, now: DateTime<Utc>) {
        let clock = self.input(input, now);
        match clock.partitions.binary_search_by_key(&partition, |known| known.partition) {
            Ok(index) => {
                let known = &mut clock.partitions[index];
                (known.newest, known.seen_at) = (known.newest.max(newest), now);
            }
            Err(index) => clock.partitions.insert(index, PartitionClock { partition, newest, seen_at: now }),
        }
    }

    /// Notes the newest times of all rows of an input. A partition that is no further than it was has had no new rows.
    pub fn note_all(&mut self, input: &DatasetName, newest: &BTreeMap<i32, i64>, now: DateTime<Utc>) {
        for (partition, newest) in newest {
            let known = self.input(input, now).partitions.iter().find(|known| known.partition == *partition);
            if known.is_none_or(|known| known.newest < *newest) {
                self.note(input, *partition, *newest, now);
            }
        }
    }

    /// The clock of an input, from now on when it is new.
    pub fn input(&mut self, input: &DatasetName, now: DateTime<Utc>) -> &mut InputClock {
        self.inputs.entry(input.clone()).or_insert_with(|| InputClock { since: now, partitions: Vec::new() })
    }

    /// Moves the watermark on to what the clocks say; it never goes back.
    pub fn advance(&mut self, patience: Patience, now: DateTime<Utc>) {
        self.as_of = Some(now);
        let delay = i64::try_from(patience.delay.as_micros()).unwrap_or(i64::MAX);
        let reached = match self.waited_for(patience, now) {
            Waited::For(_, newest) => newest,
            Waited::Nobody => self.newest(),
        };
        self.watermark = self.watermark.max(reached.map(|newest| newest.saturating_sub(delay)));
    }

    /// What keeps the watermark from being further; none when nothing is waited for.
    pub fn held_by(&self, patience: Patience, now: DateTime<Utc>) -> Option<Held> {
        match self.waited_for(patience, now) {
            Waited::For(held, _) => Some(held),
            Waited::Nobody => None,
        }
    }

    /// The newest event time of all.
    pub fn newest(&self) -> Option<i64> {
        self.clocks().map(|(_, clock)| clock.newest).max()
    }

    /// The paths of the files of partial results that belong to it.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().flat_map(Layers::segments).map(|segment| segment.path.as_str())
    }

    /// The partitions of all inputs.
    pub fn clocks(&self) -> impl Iterator<Item = (&DatasetName, &PartitionClock)> {
        self.inputs.iter().flat_map(|(name, input)| input.partitions.iter().map(move |clock| (name, clock)))
    }

    /// The active partition that is furthest behind.
    fn waited_for(&self, patience: Patience, now: DateTime<Utc>) -> Waited {
        let active = |since: DateTime<Utc>| !patience.idle(since, now);
        let empty = self.inputs.iter().find(|(_, input)| input.partitions.is_empty() && active(input.since));
        if let Some((input, _)) = empty {
            return Waited::For(Held { input: input.clone(), partition: None, newest: None }, None);
        }
        let slowest =
            self.clocks().filter(|(_, clock)| active(clock.seen_at)).min_by_key(|(_, clock)| clock.newest);
        match slowest {
            Some((input, clock)) => {
                let held = Held {
                    input: input.clone(),
                    partition: Some(clock.partition),
                    newest: Some(clock.newest),
                };
                Waited::For(held, Some(clock.newest))
            }
            None => Waited::Nobody,
        }
    }

    /// When a partition that holds the watermark back will have been without rows for so long that it no longer does;
    /// none when only new rows can move the watermark.
    pub fn wake_at(&self, patience: Patience) -> Option<DateTime<Utc>> {
        let (idle, as_of) = (patience.idle_after?, self.as_of?);
        let newest = self.newest()?;
        let behind = self.clocks().filter(|(_, clock)| clock.newest < newest).map(|(_, clock)| clock.seen_at);
        let empty = self.inputs.values().filter(|input| input.partitions.is_empty()).map(|input| input.since);
        behind.chain(empty).map(|since| later(since, idle)).filter(|at| *at > as_of).min()
    }
}

enum Waited {
    For(Held, Option<i64>),
    Nobody,
}

fn later(time: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    let by = TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
    time.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Times behind this, microseconds, are too far ahead of the clock to be believed.
pub(super) fn believed_until(now: DateTime<Utc>) -> i64 {
    now.checked_add_signed(AHEAD_MAX).unwrap_or(DateTime::<Utc>::MAX_UTC).timestamp_micros()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use super::*;

    const PATIENCE: Patience =
        Patience { delay: Duration::from_secs(10), idle_after: Some(Duration::from_secs(30)) };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn name(name: &str) -> DatasetName {
        name.parse().unwrap()
    }

    fn seconds(state: &StreamState) -> Option<i64> {
        state.watermark.map(|watermark| watermark / 1_000_000)
    }

    #[test]
    fn the_slowest_partition_holds_the_watermark_until_it_is_idle() {
        let mut state = StreamState::default();
        let orders = name("shop.orders");
        state.note(&orders, 0, 100_000_000, at(1_000));
        state.note(&orders, 1, 60_000_000, at(1_000));
        state.advance(PATIENCE, at(1_000));
        assert_eq!(seconds(&state), Some(50));
        assert_eq!(state.held_by(PATIENCE, at(1_000)).unwrap().partition, Some(1));
        assert_eq!(state.wake_at(PATIENCE), Some(at(1_030)));
        state.note(&orders, 0, 120_000_000, at(1_020));
        state.advance(PATIENCE, at(1_020));
        assert_eq!(seconds(&state), Some(50));
        state.advance(PATIENCE, at(1_030));
        assert_eq!(seconds(&state), Some(110), "partition 1 is no longer waited for");
        assert_eq!(state.wake_at(PATIENCE), None);
        state.note(&orders, 1, 70_000_000, at(1_040));
        state.advance(PATIENCE, at(1_040));
        assert_eq!(seconds(&state), Some(110), "it never goes back");
    }

    #[test]
    fn an_input_without_rows_holds_everything() {
        let mut state = StreamState::default();
        state.input(&name("shop.payments"), at(1_000));
        state.note(&name("shop.orders"), 0, 100_000_000, at(1_000));
        state.advance(PATIENCE, at(1_000));
        assert_eq!(state.watermark, None);
        assert_eq!(state.held_by(PATIENCE, at(1_000)).unwrap().input, name("shop.payments"));
        state.advance(PATIENCE, at(1_029));
        assert_eq!(state.watermark, None);
        state.advance(PATIENCE, at(1_030));
        assert_eq!(seconds(&state), Some(90), "nobody is waited for, and the newest time counts");
    }
}
