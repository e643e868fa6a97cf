//! Keeping the tables of transforms up with their inputs.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowline_base::SharedClock;
use flowline_lake::Lake;
use flowline_ledger::Ledger;
use flowline_model::{DatasetName, Run};
use tokio_util::sync::CancellationToken;

use crate::{ProcessError, QueryEngine};

/// One input of a hop, and how far the hop has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFacts {
    /// The dataset.
    pub dataset: DatasetName,
    /// The newest version of its table; none when there is no table yet.
    pub version: Option<i64>,
    /// The version that the hop has read up to; none before its first run.
    pub consumed: Option<i64>,
}

/// A transform as it stands: what the scheduler decides from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopFacts {
    /// The dataset that it writes.
    pub hop: DatasetName,
    /// What it reads, views replaced by what they read.
    pub inputs: Vec<InputFacts>,
    /// It has never committed.
    pub first_run: bool,
    /// Its definition (SQL, views in it, materialization, key, columns) is not the one of its last commit.
    pub definition_changed: bool,
    /// When its last run ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Runs that failed since the last one that did not.
    pub failures: u32,
}

/// Runs transforms. Cheap to clone.
#[derive(Clone)]
pub struct Transformer {
    _ledger: Arc<dyn Ledger>,
}

impl Transformer {
    /// A transformer over the engine's plan.
    pub fn new(_engine: QueryEngine, _lake: Lake, ledger: Arc<dyn Ledger>, _clock: SharedClock) -> Self {
        Self { _ledger: ledger }
    }

    /// Completes the ledger from the tables' histories after a crash between a commit and its record. Called once
    /// before the first run. Returns the runs that were found.
    pub async fn recover(&self) -> Result<Vec<Run>, ProcessError> {
        Ok(Vec::new())
    }

    /// Every transform of the plan as it stands, in the order in which they build on each other.
    pub async fn facts(&self) -> Result<Vec<HopFacts>, ProcessError> {
        Ok(Vec::new())
    }

    /// Runs one transform: brings its table to the newest versions of its inputs and records the run in the ledger.
    /// Retries passing faults; gives up after the dataset's timeout. The returned run has the outcome `failed` when
    /// the transform failed; an error means that it could not even be recorded.
    pub async fn run(
        &self,
        _hop: &DatasetName,
        _trigger: &str,
        _cancel: &CancellationToken,
    ) -> Result<Run, ProcessError> {
        Err(ProcessError::Engine("not built yet".to_owned()))
    }
}
