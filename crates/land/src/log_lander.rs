//! Posted records: from the log to the table.

use std::sync::Arc;

use flowline_model::{Dataset, Run};
use tokio_util::sync::CancellationToken;

use crate::{LandContext, LandError};

/// Lands what is appended to the log of one dataset.
#[derive(Debug)]
pub struct LogLander {}

impl LogLander {
    /// Creates or fits the dataset's tables, completes the ledger after a crash, and finds where to go on.
    pub async fn open(_context: LandContext, _dataset: Arc<Dataset>) -> Result<Self, LandError> {
        Ok(Self {})
    }

    /// Lands until it is told to stop; then commits what it holds.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), LandError> {
        shutdown.cancelled().await;
        Ok(())
    }

    /// Lands what is in the log now and commits it.
    pub async fn land_available(&mut self) -> Result<Vec<Run>, LandError> {
        Ok(Vec::new())
    }
}
