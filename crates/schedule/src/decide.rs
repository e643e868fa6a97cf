//! The decision itself.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use flowline_base::{Backoff, Random};
use flowline_model::{DatasetName, RunKind};

use crate::state::{Due, HopState, Settings, Trigger};

/// The runs to start now, the one that waits longest first; never more than there is room for, never one of a hop
/// that is running. Deterministic: the same facts at the same time give the same answer.
pub fn due(states: &[HopState], now: DateTime<Utc>, settings: &Settings) -> Vec<Due> {
    let running = states.iter().filter(|state| state.running).count();
    let room = settings.concurrency.max(1).saturating_sub(running);
    let upstream = Upstream::of(states);
    let mut ready: Vec<(&HopState, Trigger)> = states
        .iter()
        .filter_map(|state| Some((state, state.reason()?)))
        .filter(|(state, _)| ready_at(state, now, settings, &upstream) == Some(now))
        .collect();
    ready.sort_by_key(|(state, _)| {
        (state.pending_since.unwrap_or(now), upstream.depth(&state.hop), &state.hop)
    });
    let start = |(state, trigger): (&HopState, Trigger)| Due {
        hop: state.hop.clone(),
        trigger,
        kind: RunKind::Transform,
    };
    ready.into_iter().take(room).map(start).collect()
}

/// The earliest time at which [`due`] may answer otherwise although no fact has changed; none when only new facts can
/// change it. When that time has come, ask again.
pub fn wake_at(states: &[HopState], now: DateTime<Utc>, settings: &Settings) -> Option<DateTime<Utc>> {
    let upstream = Upstream::of(states);
    let later = |state: &HopState| ready_at(state, now, settings, &upstream).filter(|at| *at > now);
    states.iter().filter(|state| state.reason().is_some()).filter_map(later).min()
}

/// When a hop that has a reason to run may start: `now`, or the time until which it is held back. None while it runs.
fn ready_at(
    state: &HopState,
    now: DateTime<Utc>,
    settings: &Settings,
    upstream: &Upstream<'_>,
) -> Option<DateTime<Utc>> {
    if state.running {
        return None;
    }
    let mut ready = backoff_until(state, settings).unwrap_or(now);
    if upstream.busy(state, now, settings) {
        let since = state.pending_since.unwrap_or(now).min(now);
        ready = ready.max(later(since, settings.upstream_wait_max));
    }
    Some(ready.max(now))
}

/// Until when a hop that failed is held back: twice as long with each failure in a row, up to the cap, less up to
/// half of it, drawn from the hop's name so that hops that failed together do not come back together.
fn backoff_until(state: &HopState, settings: &Settings) -> Option<DateTime<Utc>> {
    let finished_at = state.finished_at?;
    let failures_before = state.failures.checked_sub(1)?;
    let backoff = Backoff {
        attempts_max: u32::MAX,
        delay_first: settings.backoff_first,
        delay_max: settings.backoff_max,
    };
    let mut random = Random::seeded(jitter_seed(state, settings.seed));
    Some(later(finished_at, backoff.delay(failures_before, &mut random)))
}

/// FNV-1a over the hop's name and its failures: the same on every machine and in every version.
fn jitter_seed(state: &HopState, seed: u64) -> u64 {
    let bytes = state.hop.to_string().into_bytes().into_iter().chain(state.failures.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn later(time: DateTime<Utc>, by: std::time::Duration) -> DateTime<Utc> {
    let by = TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
    time.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Which hops are made from which others.
struct Upstream<'a> {
    states: BTreeMap<&'a DatasetName, &'a HopState>,
    above: BTreeMap<&'a DatasetName, BTreeSet<&'a DatasetName>>,
}

impl<'a> Upstream<'a> {
    fn of(states: &'a [HopState]) -> Self {
        let by_name: BTreeMap<_, _> = states.iter().map(|state| (&state.hop, state)).collect();
        let above = states.iter().map(|state| (&state.hop, hops_above(state, &by_name))).collect();
        Self { states: by_name, above }
    }

    /// How many hops stand above this one.
    fn depth(&self, hop: &DatasetName) -> usize {
        self.above.get(hop).map_or(0, BTreeSet::len)
    }

    /// Whether a hop above, near or far, is running or about to run, so that the inputs of this one will change again
    /// soon. One that is held back after a failure is not waited for.
    fn busy(&self, state: &HopState, now: DateTime<Utc>, settings: &Settings) -> bool {
        self.above.get(&state.hop).into_iter().flatten().filter_map(|name| self.states.get(name)).any(
            |above| {
                let held_back = backoff_until(above, settings).is_some_and(|until| until > now);
                above.running || (above.reason().is_some() && !held_back)
            },
        )
    }
}

fn hops_above<'a>(
    state: &'a HopState,
    by_name: &BTreeMap<&'a DatasetName, &'a HopState>,
) -> BTreeSet<&'a DatasetName> {
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![state]);
    while let Some(at) = waiting.pop() {
        for input in at.inputs.iter().filter_map(|input| by_name.get(&input.input)) {
            if input.hop != state.hop && seen.insert(&input.hop) {
                waiting.push(input);
            }
        }
    }
    seen
}
