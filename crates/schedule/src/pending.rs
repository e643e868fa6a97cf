//! Since when each hop has had a reason to run.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use flowline_model::DatasetName;

use crate::state::HopState;

/// Remembers between decisions since when each hop waits, so that waiting ends. Lost with the process, which only
/// makes the waits begin anew.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    since: BTreeMap<DatasetName, DateTime<Utc>>,
}

impl Pending {
    /// Fills [`HopState::pending_since`] of all hops: those with a reason to run keep the time at which that was seen
    /// first, the others are forgotten. A hop that is running waits anew for what arrives meanwhile.
    pub fn observe(&mut self, states: &mut [HopState], now: DateTime<Utc>) {
        let mut since = BTreeMap::new();
        for state in states {
            state.pending_since = None;
            if state.reason().is_some() && !state.running {
                let first = self.since.get(&state.hop).copied().unwrap_or(now);
                state.pending_since = Some(first);
                since.insert(state.hop.clone(), first);
            }
        }
        self.since = since;
    }
}
