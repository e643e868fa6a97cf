//! What is decided from, and what is decided.

use std::time::Duration;

use chrono::{DateTime, Utc};
use flowline_model::{DatasetName, RunKind};

/// One input of a hop, and how far the hop has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputState {
    /// The dataset.
    pub input: DatasetName,
    /// The newest version of its table; none when there is no table yet.
    pub version: Option<i64>,
    /// The version that the hop has read up to; none before its first run.
    pub consumed: Option<i64>,
}

impl InputState {
    /// Whether there is anything of the input that the hop has not read. A version below the one that was read
    /// belongs to a table that was made anew, and is news as well.
    pub fn is_new(&self) -> bool {
        self.version.is_some() && self.version != self.consumed
    }
}

/// A hop as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopState {
    /// The dataset that it writes.
    pub hop: DatasetName,
    /// What it reads.
    pub inputs: Vec<InputState>,
    /// It has never committed.
    pub first_run: bool,
    /// Its definition is not the one of its last commit.
    pub definition_changed: bool,
    /// It is a stream, and event time moves on although nothing new came: an input has been idle for long enough.
    pub time_passed: bool,
    /// A run of it is under way.
    pub running: bool,
    /// Runs that failed since the last one that did not.
    pub failures: u32,
    /// When its last run ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Since when it has had a reason to run; none when that was not seen before.
    pub pending_since: Option<DateTime<Utc>>,
}

impl HopState {
    /// Why the hop should run, if it should; nothing about when. A hop that reads tables waits for the first of them
    /// to exist; one that reads none (a calendar, say) runs once for each definition.
    pub fn reason(&self) -> Option<Trigger> {
        if !self.inputs.is_empty() && self.inputs.iter().all(|input| input.version.is_none()) {
            return None;
        }
        if self.first_run {
            return Some(Trigger::FirstRun);
        }
        if self.definition_changed {
            return Some(Trigger::SqlChanged);
        }
        if self.inputs.iter().any(InputState::is_new) {
            return Some(Trigger::NewVersion);
        }
        self.time_passed.then_some(Trigger::TimePassed)
    }
}

/// Why a hop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// It has never committed.
    FirstRun,
    /// Its definition is another than that of its last commit.
    SqlChanged,
    /// An input has a version that it has not read.
    NewVersion,
    /// Event time moves on although nothing new came.
    TimePassed,
}

impl Trigger {
    /// The word in facts and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstRun => "first-run",
            Self::SqlChanged => "sql-changed",
            Self::NewVersion => "new-version",
            Self::TimePassed => "time-passed",
        }
    }
}

/// A run to start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The hop.
    pub hop: DatasetName,
    /// Why.
    pub trigger: Trigger,
    /// What kind of run.
    pub kind: RunKind,
}

/// The limits within which hops are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Runs under way at once, at least one.
    pub concurrency: usize,
    /// The longest wait after a first failure; it doubles with each further one.
    pub backoff_first: Duration,
    /// No wait after a failure is longer than this.
    pub backoff_max: Duration,
    /// The longest that a hop waits for hops upstream of it that are due or running, so as not to be computed
    /// twice. Longer saves work when many inputs change together; the table is stale by so much at most.
    pub upstream_wait_max: Duration,
    /// What the jitter is drawn from, so that nodes differ and one node decides the same twice.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 2,
            backoff_first: Duration::from_secs(2),
            backoff_max: Duration::from_secs(300),
            upstream_wait_max: Duration::from_secs(60),
            seed: 0,
        }
    }
}
