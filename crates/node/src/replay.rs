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
        let (context, known, selection) = (self.context.clone(), known.clone(), selection.clone());
        to_the_end(async move { flowline_land::replay_quarantine(&context, &known, &selection).await }).await
    }

    async fn discard(&self, dataset: &DatasetName, discard: &Discard) -> Result<Run, ReplayError> {
        let Some(known) = self.storage.plan.dataset(dataset).filter(|dataset| dataset.sets_aside()) else {
            let message = format!(
                "`{dataset}` is no dataset of this project that has a quarantine; `flowline quarantine list` names those with rows in it"
            );
            return Err(ReplayError { kind: ErrorKind::NotFound, message });
        };
        let (context, known, discard) = (self.context.clone(), known.clone(), discard.clone());
        to_the_end(async move { flowline_land::discard_quarantine(&context, &known, &discard).await }).await
    }

    async fn replay_stream(&self, dataset: &DatasetName, from: DateTime<Utc>) -> Result<Run, ReplayError> {
        let (transformer, dataset) = (self.transformer.clone(), dataset.clone());
        let replay = async move { transformer.replay(&dataset, from, &CancellationToken::new()).await };
        let run = to_the_end(replay).await?;
        match run.error {
            Some(error) => Err(ReplayError { kind: error.kind, message: error.message }),
            None => Ok(run),
        }
    }
}

/// Does work that is not to be cut off half-way when whoever asked for it goes away.
async fn to_the_end<E>(
    work: impl Future<Output = Result<Run, E>> + Send + 'static,
) -> Result<Run, ReplayError>
where
    E: Classify + std::error::Error + Send + 'static,
{
    let done = tokio::spawn(work).await;
    let done = done.map_err(|error| ReplayError { kind: ErrorKind::Internal, message: error.to_string() })?;
    done.map_err(|error| ReplayError { kind: error.kind(), message: flowline_base::chain(&error) })
}
