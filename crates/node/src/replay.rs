//! Replaying quarantined records and streams, for the servers and for the command line.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flowline_base::{Classify, ErrorKind};
use flowline_land::{Discard, LandContext, ReplaySelection};
use flowline_model::{DatasetName, Run};
use flowline_process::Transformer;
use flowline_serve::{Replay, ReplayError};

use tokio_util::sync::CancellationToken;

use crate::storage::Storage;

/// Hands a replay to `flowline-land`, or to `flowline-process` for a stream.
#[derive(Clone)]
pub struct NodeReplay {
    storage: Storage,
    context: LandContext,
    transformer: Transformer,
}

impl NodeReplay {
    /// Replays within this context.
    pub fn new(storage: Storage, context: LandContext, transformer: Transformer) -> Self {
        Self { storage, context, transformer }
    }
}

#[async_trait]
impl Replay for NodeReplay {
    async fn replay(&self, dataset: &DatasetName, selection: &ReplaySelection) -> Result<Run, ReplayError> {
        let Some(known) = self.storage.plan.dataset(dataset).filter(|dataset| dataset.landed()) else {
            let message = format!(
                "`{dataset}` is no dataset of this project that records are landed into; rows of SQL are made again by mending the input or the SQL"
            );
            return Err(ReplayError { kind: ErrorKind::NotFound, message });
        };
        flowline_land::replay_quarantine(&self.context, known, selection)
            .await
            .map_err(|error| ReplayError { kind: error.kind(), message: flowline_base::chain(&error) })
    }

    async fn discard(&self, dataset: &DatasetName, discard: &Discard) -> Result<Run, ReplayError> {
        let Some(known) = self.storage.plan.dataset(dataset).filter(|dataset| dataset.sets_aside()) else {
            let message = format!(
                "`{dataset}` is no dataset of this project that has a quarantine; `flowline quarantine list` names those with rows in it"
            );
            return Err(ReplayError { kind: ErrorKind::NotFound, message });
        };
        flowline_land::discard_quarantine(&self.context, known, discard)
            .await
            .map_err(|error| ReplayError { kind: error.kind(), message: flowline_base::chain(&error) })
    }

    async fn replay_stream(&self, dataset: &DatasetName, from: DateTime<Utc>) -> Result<Run, ReplayError> {
        let run = self.transformer.replay(dataset, from, &CancellationToken::new()).await;
        let run =
            run.map_err(|error| ReplayError { kind: error.kind(), message: flowline_base::chain(&error) })?;
        match run.error {
            Some(error) => Err(ReplayError { kind: error.kind, message: error.message }),
            None => Ok(run),
        }
    }
}
