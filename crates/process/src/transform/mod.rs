//! Keeping the tables of transforms up with their inputs, exactly once.
//!
//! Owns: which versions of the inputs a table has read (in its own commits, under the application id
//! `<dataset>/sql`), which work brings it up, and the record of each run. A run commits the rows together with the
//! versions that they came from, so a crash at any moment leaves either both or neither; the ledger is completed from
//! the tables' histories afterwards.
//! Does not own: when a run is due (`flowline-schedule`), what makes an incremental run exact (`upkeep`).

mod adding;
mod anew;
mod attempt;
mod bounds;
mod definition;
mod inputs;
mod meter;
mod rows;
mod run;
mod shape;
mod sieve;
mod stage;
mod standing;
mod strategy;
mod touched;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use flowline_base::{RunId, SharedClock, chain};
use flowline_lake::{Lake, Table, TableId};
use flowline_ledger::{Ledger, RunFilter};
use flowline_model::{Dataset, DatasetName, Finding, Origin, Outcome, Run, RunKind, SqlOrigin};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::stream::{patience, shared_inputs};
use crate::{ProcessError, QueryEngine};
use run::Running;
use standing::{Standing, info_of, parts_of, standing};

pub(crate) use anew::Anew;
pub(crate) use attempt::{Attempt, Change, Prepared};
pub(crate) use inputs::Input;
pub(crate) use rows::output;
pub(crate) use standing::{last_standing, last_transaction, parts_in};
pub(crate) use touched::named;
pub(crate) use work::{FRESH_WRITER, WRITER};

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
    /// For a stream: when event time moves on although nothing new comes, since an input is idle.
    pub wake_at: Option<DateTime<Utc>>,
}

/// Runs transforms. Cheap to clone.
#[derive(Clone)]
pub struct Transformer {
    inner: Arc<Inner>,
}

struct Inner {
    engine: QueryEngine,
    ledger: Arc<dyn Ledger>,
    /// The divided stream that this runs a part of; it runs nothing else then.
    part_of: Option<DatasetName>,
    memory: Mutex<BTreeMap<DatasetName, Memory>>,
    /// Held while a hop runs, so that it never runs twice at once.
    turns: Mutex<BTreeMap<DatasetName, Arc<tokio::sync::Mutex<()>>>>,
    looked_at: Mutex<BTreeMap<DatasetName, DateTime<Utc>>>,
    /// The last run of each hop that is known to be in the ledger.
    recorded: Mutex<BTreeMap<DatasetName, RunId>>,
}

/// What is known of a hop without reading its table again.
#[derive(Debug, Clone, Default)]
struct Memory {
    standing: Standing,
    failures: u32,
    finished_at: Option<DateTime<Utc>>,
}

/// Versions that another process writes are seen after this long; those of this process at once.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same for a part of a divided stream: its partition may be landed by another node, which is no exception there.
const LOOK_EVERY_PART: Duration = Duration::from_secs(1);
/// Failures in a row that are counted; more only wait as long.
const FAILURES_COUNTED: u32 = 20;
/// Commits of a table that are gone through when the ledger knows nothing of the last one.
const HISTORY_MAX: usize = 4096;

impl Transformer {
    /// A transformer over the engine's plan; `lake` and `clock` are the engine's.
    pub fn new(engine: QueryEngine, _lake: Lake, ledger: Arc<dyn Ledger>, _clock: SharedClock) -> Self {
        Self::over(engine, ledger, None)
    }

    fn over(engine: QueryEngine, ledger: Arc<dyn Ledger>, part_of: Option<DatasetName>) -> Self {
        let (memory, turns) = (Mutex::default(), Mutex::default());
        let (looked_at, recorded) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { engine, ledger, part_of, memory, turns, looked_at, recorded }) }
    }

    /// The streams that are divided among nodes, and for each a dataset by whose partitions it is; where there are several,
    /// they are partitioned alike.
    pub fn divided(&self) -> Vec<(DatasetName, DatasetName)> {
        let hops = self.engine().graph().order().iter();
        hops.filter_map(|hop| Some((hop.clone(), self.shared(hop).first()?.clone()))).collect()
    }

    /// The inputs of a divided stream of which a part reads one partition; none of another hop.
    fn shared(&self, hop: &DatasetName) -> Vec<DatasetName> {
        let dataset = self.engine().project().dataset(hop).filter(|dataset| dataset.divided());
        let inputs = &self.engine().graph().inputs(hop).tables;
        let shared = dataset.map(|dataset| shared_inputs(self.engine().project(), dataset, inputs));
        shared.into_iter().flatten().cloned().collect()
    }

    fn is_divided(&self, name: &DatasetName) -> bool {
        self.engine().project().dataset(name).is_some_and(Dataset::divided)
    }

    /// What runs a divided stream for the rows that came from one partition of the log: with a position and a state of its
    /// own, which stand in its own commits to the one table.
    ///
    /// # Errors
    /// [`ProcessError::NoHop`] for a dataset that is no divided stream.
    pub fn of_part(&self, stream: &DatasetName, partition: i32) -> Result<Self, ProcessError> {
        let shared = self.shared(stream);
        if shared.is_empty() {
            return Err(ProcessError::NoHop(stream.clone()));
        }
        let engine = self.engine().of_part(shared, partition);
        Ok(Self::over(engine, Arc::clone(&self.inner.ledger), Some(stream.clone())))
    }

    fn part(&self) -> Option<i32> {
        self.engine().part()
    }

    fn engine(&self) -> &QueryEngine {
        &self.inner.engine
    }

    fn clock(&self) -> &SharedClock {
        self.inner.engine.clock()
    }

    fn hop(&self, name: &DatasetName) -> Result<(&Dataset, &SqlOrigin), ProcessError> {
        match self.engine().project().dataset(name).map(|dataset| (dataset, &dataset.origin)) {
            Some((dataset, Origin::Sql(sql))) if dataset.materialized() => Ok((dataset, sql)),
            _ => Err(ProcessError::NoHop(name.clone())),
        }
    }

    fn hops(&self) -> impl Iterator<Item = &DatasetName> {
        let ours = |name: &&DatasetName| match &self.inner.part_of {
            Some(stream) => *name == stream,
            None => !self.is_divided(name),
        };
        self.engine().graph().order().iter().filter(|name| self.hop(name).is_ok()).filter(ours)
    }

    /// Forgets what is known of tables, which others may have written since: it is read again when it is needed.
    pub fn forget(&self) {
        self.inner.memory.lock().clear();
        self.inner.looked_at.lock().clear();
    }

    /// The tables that a transform reads, views replaced by what they read.
    pub fn reads(&self, hop: &DatasetName) -> Vec<DatasetName> {
        self.engine().graph().inputs(hop).tables.clone()
    }

    /// The landed datasets that a transform is made of in the end.
    pub fn made_of(&self, hop: &DatasetName) -> Vec<DatasetName> {
        let landed = |name: &DatasetName| self.engine().project().dataset(name).is_some_and(Dataset::landed);
        self.engine().graph().upstream(hop).into_iter().filter(|name| landed(name)).collect()
    }

    /// The versions of its inputs that a transform has read, wherever it ran; of a divided stream, those that all of its
    /// parts have read. Costs a few small reads.
    pub async fn consumed(&self, hop: &DatasetName) -> Result<BTreeMap<DatasetName, i64>, ProcessError> {
        let dataset = self.hop(hop)?.0;
        let table = self.engine().lake().table(TableId::of(dataset));
        let mut least: Option<BTreeMap<DatasetName, i64>> = None;
        for part in parts_of(self.engine(), dataset).await? {
            let read = standing(&table, self.inner.ledger.as_ref(), hop, part).await?.consumed;
            least = Some(match least {
                None => read,
                Some(least) => least
                    .into_iter()
                    .filter_map(|(input, version)| {
                        let other = *read.get(&input)?;
                        Some((input, version.min(other)))
                    })
                    .collect(),
            });
        }
        Ok(least.unwrap_or_default())
    }

    /// Completes the ledger after a crash: runs that were under way are failed, and those that a table has and the ledger
    /// lacks are recorded. Called before the first run by the one node that runs transforms, so that whatever is under way
    /// is nobody's. Returns the runs that were missing. A table that cannot be read is passed over: its own runs will fail
    /// and tell why.
    pub async fn recover(&self) -> Result<Vec<Run>, ProcessError> {
        let mut found = Vec::new();
        // Of a part it is not known whose the runs are that are under way.
        if self.part().is_none() {
            self.inner.ledger.close_abandoned_runs(self.engine().clock().now()).await?;
        }
        for name in self.hops() {
            match self.recover_hop(name).await {
                Ok(runs) => found.extend(runs),
                Err(error @ ProcessError::Ledger(_)) => return Err(error),
                Err(error) => {
                    tracing::warn!(hop = %name, error = chain(&error), "the history of a table cannot be read");
                }
            }
        }
        Ok(found)
    }

    async fn recover_hop(&self, name: &DatasetName) -> Result<Vec<Run>, ProcessError> {
        let mut found = Vec::new();
        let table = self.engine().lake().table(TableId::of(self.hop(name)?.0));
        let standing = standing(&table, self.inner.ledger.as_ref(), name, self.part()).await?;
        // A run is recorded before the next one begins, so when the last one is there, all are.
        let Some(last) = standing.run.as_ref() else { return Ok(found) };
        if self.is_recorded(last).await? {
            return Ok(found);
        }
        let history = table.history(None, HISTORY_MAX).await;
        let history = history.map_err(ProcessError::lake(format!("reading the history of `{name}`")))?;
        for info in history.iter().rev().filter_map(|entry| info_of(entry, name, self.part())) {
            if self.record(&info.run, &info.findings).await? {
                found.push(info.run);
            }
        }
        Ok(found)
    }

    async fn is_recorded(&self, run: &Run) -> Result<bool, ProcessError> {
        let filter = RunFilter {
            hop: Some(run.hop.clone()),
            kind: Some(RunKind::Transform),
            outcome: Some(Outcome::Succeeded),
            ..RunFilter::default()
        };
        Ok(self.inner.ledger.runs(&filter).await?.iter().any(|known| known.id == run.id))
    }

    /// Records a run that a table's history has; says whether the ledger did not have it.
    async fn record(&self, run: &Run, found: &[Finding]) -> Result<bool, ProcessError> {
        let mut findings = run::of_run(found, run);
        findings.extend(run::imbalance(run));
        let new = self.inner.ledger.record_run(run, &[], &findings).await?;
        self.inner.recorded.lock().insert(run.hop.clone(), run.id);
        Ok(new)
    }

    /// Records the last committed run of a table, should the ledger not have it.
    async fn complete(&self, standing: &Standing) -> Result<(), ProcessError> {
        let Some(run) = &standing.run else { return Ok(()) };
        let known = self.inner.recorded.lock().get(&run.hop) == Some(&run.id);
        if !known {
            self.record(run, &standing.findings).await?;
        }
        Ok(())
    }

    /// Every transform of the plan as it stands, in the order in which they build on each other. Costs no I/O for
    /// tables that this process writes; other tables are looked at every few seconds.
    pub async fn facts(&self) -> Result<Vec<HopFacts>, ProcessError> {
        let mut facts = Vec::new();
        for name in self.hops() {
            let memory = self.remembered(name).await?;
            let definition = self.definition(name).await?;
            let mut inputs = Vec::new();
            for input in &self.engine().graph().inputs(name).tables {
                let version = self.version(input).await;
                let consumed = memory.standing.consumed.get(input).copied();
                inputs.push(InputFacts { dataset: input.clone(), version, consumed });
            }
            let dataset = self.hop(name)?.0;
            let stream = memory.standing.stream.as_ref();
            facts.push(HopFacts {
                wake_at: stream.and_then(|stream| stream.wake_at(patience(dataset))),
                hop: name.clone(),
                inputs,
                first_run: memory.standing.transaction.is_none(),
                definition_changed: memory.standing.definition.as_deref() != Some(definition.as_str()),
                finished_at: memory.finished_at,
                failures: memory.failures,
            });
        }
        Ok(facts)
    }

    async fn version(&self, name: &DatasetName) -> Option<i64> {
        let table: Table = self.engine().lake().table(TableId::of(self.engine().project().dataset(name)?));
        let now = self.clock().now();
        let loaded = table.version();
        let looked_at = self.inner.looked_at.lock().get(name).copied();
        let look_every = if self.part().is_some() { LOOK_EVERY_PART } else { LOOK_EVERY };
        if looked_at.is_some_and(|at| self.clock().since(at) < look_every) {
            return loaded;
        }
        self.inner.looked_at.lock().insert(name.clone(), now);
        table.refresh().await.unwrap_or_else(|error| {
            tracing::warn!(dataset = %name, error = chain(&error), "the version of a table cannot be read");
            loaded
        })
    }

    async fn definition(&self, name: &DatasetName) -> Result<String, ProcessError> {
        let engine = self.engine();
        let columns = engine.columns().await.get(name).map_or(&[][..], Vec::as_slice);
        Ok(definition::definition(engine.project(), engine.graph(), self.hop(name)?.0, columns))
    }

    /// What is known of a hop, read once.
    async fn remembered(&self, name: &DatasetName) -> Result<Memory, ProcessError> {
        if let Some(memory) = self.inner.memory.lock().get(name) {
            return Ok(memory.clone());
        }
        let table = self.engine().lake().table(TableId::of(self.hop(name)?.0));
        let filter = RunFilter {
            hop: Some(name.clone()),
            kind: Some(RunKind::Transform),
            limit: Some(FAILURES_COUNTED),
            ..RunFilter::default()
        };
        let runs = self.inner.ledger.runs(&filter).await?;
        let mut memory =
            Memory { finished_at: runs.iter().find_map(|run| run.finished_at), ..Memory::default() };
        let told = runs.iter().filter(|run| run.outcome != Outcome::Cancelled);
        memory.failures = told.take_while(|run| run.outcome == Outcome::Failed).count() as u32;
        match standing(&table, self.inner.ledger.as_ref(), name, self.part()).await {
            Ok(standing) => memory.standing = standing,
            Err(error) => {
                // Not remembered: it looks like a first run, which then fails with this error and tells it.
                tracing::warn!(hop = %name, error = chain(&error), "how far a table is cannot be read");
                return Ok(memory);
            }
        }
        self.inner.memory.lock().insert(name.clone(), memory.clone());
        Ok(memory)
    }

    /// Runs one transform: brings its table to the newest versions of its inputs and records the run in the ledger.
    /// Retries passing faults; gives up after the dataset's timeout, or when `cancel` says so and the commit has not
    /// begun. The returned run has the outcome `failed` when the transform failed, and `cancelled` when it was given up
    /// because of `cancel`; an error means that it could not even be recorded.
    pub async fn run(
        &self,
        hop: &DatasetName,
        trigger: &str,
        cancel: &CancellationToken,
    ) -> Result<Run, ProcessError> {
        if self.part().is_none() && self.is_divided(hop) {
            return self.run_parts(hop, trigger, None, cancel).await;
        }
        self.run_from(hop, trigger, None, cancel).await
    }

    /// Computes again what a stream wrote behind a time, from the rows that its inputs hold now, and puts it in the
    /// place of what is there in one commit. Where the query does not say of its rows which window they are of, the
    /// whole table is computed again. The returned run is as that of [`Transformer::run`].
    ///
    /// # Errors
    /// [`ProcessError::NoStream`] for a dataset that is none.
    pub async fn replay(
        &self,
        stream: &DatasetName,
        from: DateTime<Utc>,
        cancel: &CancellationToken,
    ) -> Result<Run, ProcessError> {
        if !self.engine().project().dataset(stream).is_some_and(Dataset::streams) {
            return Err(ProcessError::NoStream(stream.clone()));
        }
        let from = Some(from.timestamp_micros());
        if self.part().is_none() && self.is_divided(stream) {
            return self.run_parts(stream, "replay", from, cancel).await;
        }
        self.run_from(stream, "replay", from, cancel).await
    }

    /// Runs each part of a divided stream; returns the run of the last, or the first that failed. A node that has the part
    /// meanwhile finds it moved on, and goes on behind that.
    async fn run_parts(
        &self,
        stream: &DatasetName,
        trigger: &str,
        replay_from: Option<i64>,
        cancel: &CancellationToken,
    ) -> Result<Run, ProcessError> {
        let mut last = Err(ProcessError::NoHop(stream.clone()));
        for part in parts_of(self.engine(), self.hop(stream)?.0).await?.into_iter().flatten() {
            let run = self.of_part(stream, part)?.run_from(stream, trigger, replay_from, cancel).await?;
            let succeeded = run.outcome == Outcome::Succeeded;
            last = Ok(run);
            if !succeeded {
                break;
            }
        }
        last
    }

    async fn run_from(
        &self,
        hop: &DatasetName,
        trigger: &str,
        replay_from: Option<i64>,
        cancel: &CancellationToken,
    ) -> Result<Run, ProcessError> {
        let (dataset, sql) = self.hop(hop)?;
        let turn = Arc::clone(self.inner.turns.lock().entry(hop.clone()).or_default());
        let _turn = turn.lock().await;
        let definition = self.definition(hop).await?;
        let running = Running { transformer: self, dataset, sql, definition, cancel, replay_from };
        let ended = running.run(trigger).instrument(tracing::info_span!("transform", %hop)).await;
        let mut memory = self.inner.memory.lock();
        match ended {
            Ok(ended) => {
                let known = memory.entry(hop.clone()).or_default();
                known.finished_at = ended.run.finished_at;
                match ended.standing {
                    Some(standing) => (known.standing, known.failures) = (standing, 0),
                    None if ended.run.outcome == Outcome::Cancelled => {}
                    None => known.failures = known.failures.saturating_add(1).min(FAILURES_COUNTED),
                }
                Ok(ended.run)
            }
            Err(error) => {
                // The table may be further than was recorded: read it again.
                memory.remove(hop);
                Err(error)
            }
        }
    }
}
