//! The parts of a node without any task, for commands that run where no node does.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, Utc};
use flowline_base::SharedClock;
use flowline_land::{Discard, LandContext, ReplaySelection};
use flowline_log::EventLog;
use flowline_model::{CheckResult, Dataset, DatasetName, Plan, Run};
use flowline_process::audit::Scope;
use flowline_process::{AsOf, Auditor, QueryOptions};
use flowline_serve::Replay;
use tokio_util::sync::CancellationToken;

use crate::live::NodeStatus;
use crate::node_file::DataFolderLock;
use crate::query::{self, QueryRows};
use crate::replay::NodeReplay;
use crate::roles::read_kept_of;
use crate::storage::{self, Storage};

/// Ledger, lake and engine of a project that no node runs.
pub struct Offline {
    storage: Storage,
}

impl std::fmt::Debug for Offline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offline").field("project", &self.storage.plan.project).finish_non_exhaustive()
    }
}

impl Offline {
    /// Opens what the plan's environment names. Writes nothing but a ledger where there is none,
    /// with the project as it stands as its first deployment.
    pub async fn open(plan: Plan, clock: SharedClock) -> anyhow::Result<Self> {
        let storage = Storage::open(plan, clock).await?;
        let live = NodeStatus {
            brake: None,
            plan: Arc::clone(&storage.plan),
            log: None,
            topics: Vec::new(),
            lake: storage.lake.clone(),
            clock: storage.clock.clone(),
        };
        storage.register_schemas(Arc::new(live));
        if storage.ledger.deployment().await?.is_none() {
            storage.record_deployment().await?;
        }
        Ok(Self { storage })
    }

    /// Runs a read-only query and collects its rows.
    pub async fn query(
        &self,
        sql: &str,
        as_of: Option<AsOf>,
        rows_max: Option<u64>,
        timeout: Option<Duration>,
    ) -> anyhow::Result<QueryRows> {
        let options = QueryOptions { as_of, rows_max, timeout };
        Ok(query::collect(&self.storage.engine, sql, &options).await?)
    }

    /// Evaluates the checks of a dataset and records what they say. A node that runs the project goes on meanwhile.
    pub async fn audit(&self, dataset: &DatasetName) -> anyhow::Result<Vec<CheckResult>> {
        let auditor = Auditor::new(self.storage.engine.clone(), Arc::clone(&self.storage.ledger));
        Ok(auditor.run(dataset, Scope::All).await?)
    }

    /// Computes again what a stream wrote behind a time. Takes the data folder's lock, so that no node writes at the
    /// same time.
    pub async fn replay_stream(&self, dataset: &DatasetName, from: DateTime<Utc>) -> anyhow::Result<Run> {
        let _lock = DataFolderLock::take(&self.storage.plan.environment.data_dir)?;
        let log = match self.storage.plan.datasets.iter().any(Dataset::kept_in_log) {
            true => Some(storage::open_log(&self.storage.plan, &self.storage.clock).await?),
            false => None,
        };
        if let Some(log) = &log {
            read_kept_of(&self.storage.plan, &self.land_context(log))?;
        }
        let transformer = self.storage.transformer();
        transformer.recover().await?;
        let run = transformer.replay(dataset, from, &CancellationToken::new()).await;
        if let Some(log) = log {
            log.close().await?;
        }
        let run = run?;
        if let Some(error) = &run.error {
            bail!("{}", error.message);
        }
        Ok(run)
    }

    /// Replays records of a dataset's quarantine. Takes the data folder's lock, so that no node writes at the same time.
    pub async fn replay(&self, dataset: &DatasetName, selection: &ReplaySelection) -> anyhow::Result<Run> {
        self.with_replay(async |replay| Ok(replay.replay(dataset, selection).await?)).await
    }

    /// Deletes records of a dataset's quarantine. Takes the data folder's lock, so that no node writes at the same time.
    pub async fn discard(&self, dataset: &DatasetName, discard: &Discard) -> anyhow::Result<Run> {
        self.with_replay(async |replay| Ok(replay.discard(dataset, discard).await?)).await
    }

    fn land_context(&self, log: &Arc<dyn EventLog>) -> LandContext {
        LandContext {
            log: Arc::clone(log),
            lake: self.storage.lake.clone(),
            ledger: Arc::clone(&self.storage.ledger),
            clock: self.storage.clock.clone(),
            node: None,
            brake: flowline_land::Brake::default(),
            kept: flowline_land::KeptRows::default(),
        }
    }

    async fn with_replay(
        &self,
        work: impl AsyncFnOnce(&NodeReplay) -> anyhow::Result<Run>,
    ) -> anyhow::Result<Run> {
        let _lock = DataFolderLock::take(&self.storage.plan.environment.data_dir)?;
        let log = storage::open_log(&self.storage.plan, &self.storage.clock).await?;
        let context = self.land_context(&log);
        read_kept_of(&self.storage.plan, &context)?;
        let replay = NodeReplay::new(self.storage.clone(), context, self.storage.transformer());
        let run = work(&replay).await;
        log.close().await?;
        run
    }
}
