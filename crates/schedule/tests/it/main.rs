//! When hops are started.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod decisions;
mod simulation;

use chrono::{DateTime, Utc};
use flowline_model::DatasetName;
use flowline_schedule::{HopState, InputState};

/// So many seconds after the beginning.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_760_000_000 + seconds, 0).unwrap()
}

/// The dataset of this name.
pub fn name(name: &str) -> DatasetName {
    format!("test.{name}").parse().unwrap()
}

/// A hop that has run and reads these inputs: name, version, version read.
pub fn hop(of: &str, inputs: &[(&str, Option<i64>, Option<i64>)]) -> HopState {
    let input = |(input, version, consumed): &(&str, Option<i64>, Option<i64>)| InputState {
        input: name(input),
        version: *version,
        consumed: *consumed,
    };
    HopState {
        hop: name(of),
        inputs: inputs.iter().map(input).collect(),
        first_run: false,
        definition_changed: false,
        time_passed: false,
        running: false,
        failures: 0,
        finished_at: None,
        pending_since: None,
    }
}
