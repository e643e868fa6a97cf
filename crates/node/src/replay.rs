//! Replaying quarantined records, for the servers and for the command line.

use async_trait::async_trait;
use flowline_base::{Classify, ErrorKind};
use flowline_land::{LandContext, ReplaySelection};
use flowline_model::{DatasetName, Run};
use flowline_serve::{Replay, ReplayError};

use crate::storage::Storage;

/// Hands a replay to `flowline-land`.
#[derive(Clone)]
pub struct NodeReplay {
    storage: Storage,
    context: LandContext,
}

impl NodeReplay {
    /// Replays within this context.
    pub fn new(storage: Storage, context: LandContext) -> Self {
        Self { storage, context }
    }
}

#[async_trait]
impl Replay for NodeReplay {
    async fn replay(&self, dataset: &DatasetName, selection: &ReplaySelection) -> Result<Run, ReplayError> {
        let Some(known) = self.storage.plan.dataset(dataset).filter(|dataset| dataset.landed()) else {
            let message = format!("`{dataset}` is no dataset of this project that records are landed into");
            return Err(ReplayError { kind: ErrorKind::NotFound, message });
        };
        flowline_land::replay_quarantine(&self.context, known, selection)
            .await
            .map_err(|error| ReplayError { kind: error.kind(), message: flowline_base::chain(&error) })
    }
}
