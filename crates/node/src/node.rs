//! A node: what it opens, in which order, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use arrow::array::RecordBatch;
use flowline_base::SharedClock;
use flowline_land::{Brake, FileProgress, LandContext};
use flowline_log::EventLog;
use flowline_model::{DatasetName, Plan};
use flowline_process::{QueryOptions, Transformer};
use flowline_registry::Registry;
use flowline_serve::{Limits, Readiness, ServeContext, Tokens};
use flowline_view::HopRow;
use parking_lot::Mutex;

use crate::lease::{self, LogOwner};
use crate::live::{self, NodeStatus};
use crate::node_file::{DataFolderLock, NodeFile};
use crate::query;
use crate::replay::NodeReplay;
use crate::roles::{self, Activity, Listeners, Role};
use crate::storage::{self, Storage};
use crate::tasks::{TaskKind, Tasks};

/// How long tasks may take to end once the node is told to.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// What is called while files are landed, with the dataset; from a lander's task: it should return soon.
pub type FileProgressFn = Arc<dyn Fn(&DatasetName, &FileProgress) + Send + Sync>;

/// What a node runs.
#[derive(Clone)]
pub struct NodeOptions {
    /// The project, resolved against its environment.
    pub plan: Plan,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Its clock.
    pub clock: SharedClock,
    /// Who wants to know how far the landing of files is.
    pub file_progress: Option<FileProgressFn>,
}

/// A running node.
pub struct Node {
    storage: Storage,
    log: Arc<dyn EventLog>,
    tasks: Tasks,
    http: SocketAddr,
    postgres: Option<SocketAddr>,
    activity: Option<Arc<Activity>>,
    _lock: DataFolderLock,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("project", &self.storage.plan.project)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Opens log, ledger and lake, binds the sockets, starts the roles. When it returns, records are taken in and
    /// queries answered; landers and transforms may still be catching up.
    pub async fn start(options: NodeOptions) -> anyhow::Result<Self> {
        let NodeOptions { plan, roles, clock, file_progress } = options;
        let started_at = clock.now();
        let tokens = Tokens::new(&plan.environment.tokens)?;
        let lock = DataFolderLock::take(&plan.environment.data_dir)?;
        let listeners = Listeners::bind(plan.environment.http, plan.environment.postgres).await?;
        let (http, postgres) = listeners.addresses()?;
        for address in [Some(http), postgres].into_iter().flatten() {
            tokens.check_address(address)?;
        }
        let log = storage::open_log(&plan, &clock).await?;
        let storage = Storage::open(plan, clock.clone()).await?;
        let owner = claim_lake(&storage, &roles, log.as_ref()).await?;
        storage.record_deployment().await?;
        let brake = Brake::default();
        let live = NodeStatus {
            brake: Some(brake.clone()),
            plan: Arc::clone(&storage.plan),
            log: Some(Arc::clone(&log)),
            topics: live::topics(&storage.plan, &clock)?,
            lake: storage.lake.clone(),
            clock: clock.clone(),
        };
        storage.register_schemas(Arc::new(live));
        let tasks = Tasks::new(clock.clone());
        let readiness = Readiness::new();
        let land = LandContext {
            log: Arc::clone(&log),
            lake: storage.lake.clone(),
            ledger: Arc::clone(&storage.ledger),
            clock: clock.clone(),
            brake: brake.clone(),
            kept: flowline_land::KeptRows::default(),
            node: Some(lease::node_id(&storage.plan.environment.data_dir)?.into()),
        };
        let transformer = storage.transformer();
        let context = ServeContext {
            plan: Arc::clone(&storage.plan),
            log: Arc::clone(&log),
            takes_records: roles.contains(&Role::Gateway),
            engine: storage.engine.clone(),
            registry: Registry::new(Arc::clone(&storage.ledger), clock.clone()),
            replay: Arc::new(NodeReplay::new(storage.clone(), land.clone(), transformer.clone())),
            tokens,
            readiness,
            metrics: crate::telemetry::recorder(&tasks)?,
            clock: clock.clone(),
            limits: Limits::default(),
        };
        let mut node = Self { storage, log, tasks, http, postgres, activity: None, _lock: lock };
        roles::read_kept_of(&node.storage.plan, &land)?;
        roles::release_landed_of(&node.storage.plan, &land).await;
        if let Some(owner) = owner {
            let owner = Mutex::new(Some(owner));
            node.tasks.start(TaskKind::Owner, "", move |shutdown| {
                let owner = owner.lock().take();
                async move { owner.context("the claim on the lake is gone")?.keep(shutdown).await }
            });
        }
        node.start_roles(&roles, listeners, &context, &land, transformer, file_progress);
        node.write_file(started_at)?;
        Ok(node)
    }

    fn start_roles(
        &mut self,
        roles: &[Role],
        listeners: Listeners,
        context: &ServeContext,
        land: &LandContext,
        transformer: Transformer,
        file_progress: Option<FileProgressFn>,
    ) {
        let has = |role| roles.contains(&role);
        let storage = &self.storage;
        roles::start_gateway(&self.tasks, listeners, context);
        if has(Role::Lander) {
            roles::start_landers(&self.tasks, storage, land, file_progress);
            roles::start_keeper(&self.tasks, storage, transformer.clone(), land);
            roles::start_pressure(&self.tasks, storage.clone(), transformer.clone(), land.brake.clone());
        }
        if has(Role::Processor) {
            roles::start_shares(&self.tasks, storage, &transformer);
            let concurrency = storage.plan.environment.concurrency;
            let clock = storage.clock.clone();
            let (commits, lease) = (storage.lake.commits(), lease::lease_of(storage, "processor"));
            let start = roles::start_processor;
            self.activity = Some(start(&self.tasks, transformer, commits, concurrency, clock, lease));
        }
        if has(Role::Watcher) {
            roles::start_watcher(&self.tasks, storage.clone());
        }
        if has(Role::Janitor) {
            roles::start_janitor(&self.tasks, storage.clone(), land.clone());
        }
    }

    fn write_file(&self, started_at: chrono::DateTime<chrono::Utc>) -> anyhow::Result<()> {
        let file = NodeFile {
            process_id: std::process::id(),
            http: self.http,
            postgres: self.postgres,
            version: self.storage.plan.version.clone(),
            started_at,
        };
        file.write(&self.storage.plan.environment.data_dir)
    }

    /// The project that runs.
    pub fn plan(&self) -> &Plan {
        &self.storage.plan
    }

    /// The durable log.
    pub(crate) fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// Where HTTP and the pages listen.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Where the Postgres wire listens.
    pub fn postgres_address(&self) -> Option<SocketAddr> {
        self.postgres
    }

    /// Runs a read-only query and collects its rows.
    pub async fn rows(&self, sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
        Ok(query::collect(&self.storage.engine, sql, &QueryOptions::default()).await?.batches)
    }

    /// Whether everything that was taken in is landed, and every transform has read its inputs.
    pub async fn idle(&self) -> bool {
        let landed = async {
            let batches = self.rows("SELECT * FROM system.hops").await?;
            let hops = flowline_view::rows::<HopRow>(&batches)?;
            anyhow::Ok(
                hops.iter()
                    .all(|hop| hop.lag_records.unwrap_or(0) == 0 && hop.lag_versions.unwrap_or(0) == 0),
            )
        };
        let quiet = || self.activity.as_ref().is_none_or(|activity| activity.idle());
        landed.await.unwrap_or(false) && quiet()
    }

    /// Returns when a task has ended the node.
    pub async fn ended(&self) {
        self.tasks.shutdown().cancelled().await;
    }

    /// Ends the tasks, flushes and closes what was opened.
    ///
    /// # Errors
    /// The failure that ended the node, when one did; or that tasks did not end in time.
    pub async fn stop(self) -> anyhow::Result<()> {
        let ended = self.tasks.stop(STOP_PATIENCE).await;
        if tokio::time::timeout(STOP_PATIENCE, self.storage.lake.settle()).await.is_err() {
            tracing::warn!("a checkpoint is still under way; the table is whole without it");
        }
        self.log.close().await.context("closing the log")?;
        NodeFile::remove(&self.storage.plan.environment.data_dir);
        if let Some(failure) = self.tasks.failure() {
            bail!("{failure}");
        }
        if !ended {
            bail!(
                "some tasks had not ended after {STOP_PATIENCE:?}; what they had not committed is read again"
            );
        }
        Ok(())
    }
}

/// Sees to it that no other node lands another log into our lake; none where that cannot be.
async fn claim_lake(
    storage: &Storage,
    roles: &[Role],
    log: &dyn EventLog,
) -> anyhow::Result<Option<LogOwner>> {
    if !roles.contains(&Role::Gateway) && !roles.contains(&Role::Lander) {
        return Ok(None);
    }
    let Some(mut owner) = LogOwner::of(storage)? else { return Ok(None) };
    owner.claim(log).await?;
    Ok(Some(owner))
}
