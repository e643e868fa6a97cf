//! Files: from a folder to the table.

use std::sync::Arc;

use flowline_model::{Dataset, Run};
use tokio_util::sync::CancellationToken;

use crate::{LandContext, LandError};

/// Lands the files that appear in the folder of one dataset, each once.
#[derive(Debug)]
pub struct FileLander {}

impl FileLander {
    /// Creates or fits the dataset's tables, completes the ledger after a crash, and reads which files have landed.
    pub async fn open(_context: LandContext, _dataset: Arc<Dataset>) -> Result<Self, LandError> {
        Ok(Self {})
    }

    /// Lists and lands until it is told to stop.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), LandError> {
        shutdown.cancelled().await;
        Ok(())
    }

    /// Lands the files that are there now.
    pub async fn land_available(&mut self) -> Result<Vec<Run>, LandError> {
        Ok(Vec::new())
    }
}
