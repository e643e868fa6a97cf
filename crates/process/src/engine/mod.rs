//! What answers SQL.
//!
//! Owns: the catalog in which the domains are schemas, at which version each table is read, that queries only read,
//! and their limits. Does not own: how a version is found and read (`flowline-lake`).

mod answer;
pub(crate) mod base;
mod catalog;
mod planning;
mod read_only;
mod resolve;
mod share;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use datafusion::catalog::SchemaProvider;
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use flowline_base::SharedClock;
use flowline_lake::{Lake, Table, TableId, arrow_types};
use flowline_model::{Column, Dataset, DatasetName, Environment, Plan};
use parking_lot::RwLock;
use tokio::sync::OnceCell;

use crate::infer::{Inferred, infer};
use crate::problem::SqlProblem;
use crate::sql::on_large_stack;
use crate::{Graph, ProcessError, graph};

pub use answer::QueryAnswer;
pub(crate) use resolve::{Pins, Resolver, no_versions};
pub(crate) use share::MemoryShare;

/// A version or a time at which tables are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// This version; only for a query that reads one table.
    Version(i64),
    /// The newest version of each table at this time.
    Time(DateTime<Utc>),
}

/// How a session reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// When to read; the newest versions when absent.
    pub as_of: Option<AsOf>,
}

/// How a query is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// When to read; the newest versions when absent.
    pub as_of: Option<AsOf>,
    /// Rows after which the answer is cut off.
    pub rows_max: Option<u64>,
    /// Time after which the query is given up, the reading of its answer included.
    pub timeout: Option<Duration>,
}

/// A table version that an answer was read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadVersion {
    /// The dataset.
    pub dataset: DatasetName,
    /// Its version; none where the table does not exist (yet, or at that time).
    pub version: Option<i64>,
    /// When that version was committed.
    pub committed_at: Option<DateTime<Utc>>,
}

/// Answers SQL over the datasets of a plan. Cheap to clone.
#[derive(Clone)]
pub struct QueryEngine {
    inner: Arc<Inner>,
    /// The one partition of the log whose rows are read of this dataset; all when none.
    part: Option<(Arc<[DatasetName]>, i32)>,
}

struct Inner {
    plan: Arc<Plan>,
    graph: Graph,
    problems: Vec<SqlProblem>,
    lake: Lake,
    clock: SharedClock,
    state: SessionState,
    inferred: OnceCell<Inferred>,
    extra: RwLock<BTreeMap<String, Arc<dyn SchemaProvider>>>,
}

impl fmt::Debug for QueryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryEngine").field("project", &self.inner.plan.project).finish_non_exhaustive()
    }
}

impl QueryEngine {
    /// The engine over the datasets of this plan. All its queries and transforms share one bounded pool of memory and
    /// go to disk beyond it, in the folder `spill` of the environment's data folder.
    ///
    /// A dataset whose SQL does not hold does not keep the others from being read.
    pub fn new(plan: Arc<Plan>, lake: Lake, clock: SharedClock) -> Result<Self, ProcessError> {
        let (graph, problems) = graph::explore(&plan);
        let mut state = base::base_state(runtime(&plan.environment)?);
        let sorting = &mut state.config_mut().options_mut().execution.sort_spill_reservation_bytes;
        // Kept back for merging what was spilled; of little memory not most of it.
        *sorting =
            (*sorting).min(usize::try_from(plan.environment.query_memory_bytes / 16).unwrap_or(usize::MAX));
        let (inferred, extra) = (OnceCell::new(), RwLock::default());
        let inner = Inner { plan, graph, problems, lake, clock, state, inferred, extra };
        Ok(Self { inner: Arc::new(inner), part: None })
    }

    /// The same engine for one part of a divided stream: of these datasets it reads what came from one partition.
    pub(crate) fn of_part(&self, shared: Vec<DatasetName>, partition: i32) -> Self {
        Self { inner: Arc::clone(&self.inner), part: Some((shared.into(), partition)) }
    }

    /// The partition that is read, where it is one.
    pub(crate) fn part(&self) -> Option<i32> {
        self.part.as_ref().map(|(_, partition)| *partition)
    }

    /// The table of a dataset as queries and transforms read it.
    pub(crate) fn table(&self, dataset: &Dataset) -> Table {
        let table = self.lake().table(TableId::of(dataset));
        match &self.part {
            Some((shared, partition)) if shared.contains(&dataset.name) => {
                table.only(arrow_types::PARTITION, ScalarValue::Int32(Some(*partition)))
            }
            _ => table,
        }
    }

    /// Adds a schema of tables that are not datasets (`system`) to every session made from now on.
    pub fn register_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) {
        self.inner.extra.write().insert(name.to_owned(), schema);
    }

    /// A session with the domains as schemas of the catalog [`crate::CATALOG`]. Each table is resolved when a
    /// statement first names it and stays at that version in this session: take a new one for each statement. What
    /// its statements do is not checked; see [`QueryEngine::query`].
    pub async fn session(&self, options: &SessionOptions) -> Result<SessionContext, ProcessError> {
        let pins = options.as_of.map_or(Pins::Latest, Pins::AsOf);
        Ok(SessionContext::new_with_state(self.state_with(&Resolver::new(self.clone(), pins))))
    }

    /// What the datasets are made from.
    pub fn graph(&self) -> &Graph {
        &self.inner.graph
    }

    /// The contract's columns of every dataset whose columns are known, as [`crate::columns_of`] finds them; found
    /// once and kept.
    pub async fn columns(&self) -> &BTreeMap<DatasetName, Vec<Column>> {
        &self.inferred().await.columns
    }

    pub(crate) fn project(&self) -> &Arc<Plan> {
        &self.inner.plan
    }

    pub(crate) fn lake(&self) -> &Lake {
        &self.inner.lake
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    pub(crate) async fn inferred(&self) -> &Inferred {
        self.inner
            .inferred
            .get_or_init(|| on_large_stack(infer(&self.inner.plan, &self.inner.graph, false)))
            .await
    }

    /// What is wrong with the SQL of a dataset.
    pub(crate) async fn problems_of(&self, dataset: &DatasetName) -> Vec<SqlProblem> {
        let all = self.inner.problems.iter().chain(&self.inferred().await.problems);
        all.filter(|problem| problem.dataset == *dataset).cloned().collect()
    }

    /// A session state whose tables this resolver finds.
    pub(crate) fn state_with(&self, resolver: &Arc<Resolver>) -> SessionState {
        let mut state = self.inner.state.clone();
        state.register_catalog_list(catalog::catalogs(self, resolver));
        state.execution_props_mut().query_execution_start_time = Some(self.inner.clock.now());
        state
    }
}

/// Where queries keep what they cannot keep in memory, and how much they may keep there.
fn runtime(environment: &Environment) -> Result<Arc<RuntimeEnv>, ProcessError> {
    let bytes = usize::try_from(environment.query_memory_bytes).unwrap_or(usize::MAX);
    let largest = std::num::NonZeroUsize::MIN.saturating_add(4);
    let pool = Arc::new(TrackConsumersPool::new(FairSpillPool::new(bytes), largest));
    let spill = environment.data_dir.join("spill");
    // Where the data folder cannot be written (a query beside a node of another user), the system's own will do.
    let disk = match std::fs::create_dir_all(&spill) {
        Ok(()) => DiskManagerMode::Directories(vec![spill]),
        Err(_) => DiskManagerMode::OsTmpDirectory,
    };
    let builder = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk));
    builder.build_arc().map_err(ProcessError::from)
}
