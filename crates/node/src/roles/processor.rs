//! Transforms: facts are read, `flowline-schedule` decides, `flowline-process` runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flowline_base::{Random, SharedClock};
use flowline_lake::Lease;
use flowline_model::{DatasetName, Outcome};
use flowline_process::{HopFacts, Transformer};
use flowline_schedule::{Due, HopState, InputState, Pending, Settings};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::lease::elected;
use crate::tasks::{TaskKind, Tasks};

/// How often table versions are looked at when nothing says that they changed: other processes may have written, or
/// time may have passed. Looking is one version number a table, from memory where this process writes the table.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a commit of this process waits for others before the versions are looked at.
const GATHER: Duration = Duration::from_millis(10);

/// What the processor is doing, for whoever waits until it is done.
#[derive(Debug, Default)]
pub struct Activity {
    running: Mutex<BTreeSet<DatasetName>>,
    pending: Mutex<bool>,
    changed: Notify,
}

impl Activity {
    /// Nothing runs and nothing had a reason to run when the facts were looked at last.
    pub fn idle(&self) -> bool {
        self.running.lock().is_empty() && !*self.pending.lock()
    }
}

/// Starts the one task that decides and runs, while this node is elected to; `lease` says how that is found out.
pub fn start(
    tasks: &Tasks,
    transformer: Transformer,
    commits: watch::Receiver<u64>,
    concurrency: usize,
    clock: SharedClock,
    lease: impl Fn() -> anyhow::Result<Lease> + Send + Sync + 'static,
) -> Arc<Activity> {
    let activity = Arc::new(Activity::default());
    let shared = Arc::clone(&activity);
    let settings = Settings {
        concurrency: concurrency.max(1),
        seed: Random::unseeded().next_u64(),
        ..Settings::default()
    };
    tasks.start(TaskKind::Processor, "", move |shutdown| {
        let (transformer, activity) = (transformer.clone(), Arc::clone(&shared));
        let (commits, clock, lease) = (commits.clone(), clock.clone(), lease());
        async move {
            let work = |term| {
                let processor = Processor {
                    activity: Arc::clone(&activity),
                    settings,
                    ..Processor::new(transformer.clone(), commits.clone(), clock.clone())
                };
                processor.run(term)
            };
            elected(lease?, "processor", shutdown, work).await
        }
    });
    activity
}

/// Decides and runs what one transformer has.
pub(super) struct Processor {
    transformer: Transformer,
    /// Changes when this process commits to a table.
    commits: watch::Receiver<u64>,
    activity: Arc<Activity>,
    settings: Settings,
    clock: SharedClock,
    pending: Pending,
}

impl Processor {
    /// One that runs one transform at a time.
    pub(super) fn new(transformer: Transformer, commits: watch::Receiver<u64>, clock: SharedClock) -> Self {
        let settings =
            Settings { concurrency: 1, seed: Random::unseeded().next_u64(), ..Settings::default() };
        let (activity, pending) = (Arc::default(), Pending::default());
        Self { transformer, commits, activity, settings, clock, pending }
    }

    /// Until told to stop; what runs stops before its commit or finishes it.
    pub(super) async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.run_until(shutdown.clone(), shutdown).await
    }

    /// The same; told to stop, it launches nothing more, and what runs comes to its end unless it is given up as well.
    pub(super) async fn run_until(
        mut self,
        stop: CancellationToken,
        given_up: CancellationToken,
    ) -> anyhow::Result<()> {
        self.activity.running.lock().clear();
        // Another node may have run transforms since we did.
        self.transformer.forget();
        self.transformer.recover().await?;
        let mut runs = JoinSet::new();
        let given_up = given_up.child_token();
        let decided = self.decide_on(&mut runs, &stop, &given_up).await;
        if decided.is_err() {
            given_up.cancel();
        }
        while runs.join_next().await.is_some() {}
        *self.activity.pending.lock() = false;
        decided
    }

    /// Launches what is due until told to stop.
    async fn decide_on(
        &mut self,
        runs: &mut JoinSet<()>,
        stop: &CancellationToken,
        given_up: &CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            for due in self.decide().await? {
                self.launch(runs, due, given_up);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.activity.changed.notified() => {}
                Ok(()) = self.commits.changed() => tokio::time::sleep(GATHER).await,
                Some(_) = runs.join_next(), if !runs.is_empty() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn decide(&mut self) -> anyhow::Result<Vec<Due>> {
        let mut states: Vec<HopState> =
            self.transformer.facts().await?.into_iter().map(|facts| self.state(facts)).collect();
        let now = self.clock.now();
        self.pending.observe(&mut states, now);
        *self.activity.pending.lock() = states.iter().any(|state| state.reason().is_some());
        Ok(flowline_schedule::due(&states, now, &self.settings))
    }

    fn state(&self, facts: HopFacts) -> HopState {
        let running = self.activity.running.lock().contains(&facts.hop);
        let inputs = facts.inputs.into_iter();
        HopState {
            inputs: inputs
                .map(|input| InputState {
                    input: input.dataset,
                    version: input.version,
                    consumed: input.consumed,
                })
                .collect(),
            hop: facts.hop,
            first_run: facts.first_run,
            definition_changed: facts.definition_changed,
            time_passed: facts.wake_at.is_some_and(|at| at <= self.clock.now()),
            running,
            failures: facts.failures,
            finished_at: facts.finished_at,
            pending_since: None,
        }
    }

    fn launch(&self, runs: &mut JoinSet<()>, due: Due, given_up: &CancellationToken) {
        let (transformer, activity, given_up) =
            (self.transformer.clone(), Arc::clone(&self.activity), given_up.clone());
        activity.running.lock().insert(due.hop.clone());
        runs.spawn(async move {
            let _done = Running { activity: &activity, hop: &due.hop };
            match transformer.run(&due.hop, due.trigger.as_str(), &given_up).await {
                Ok(run) if run.outcome == Outcome::Failed => {
                    let error = run.error.map(|error| error.message).unwrap_or_default();
                    tracing::error!(hop = %due.hop, run = %run.id, error, "transform failed");
                }
                Ok(run) if run.outcome == Outcome::Cancelled => {
                    tracing::info!(hop = %due.hop, run = %run.id, "transform given up: another node, or the next start, goes on");
                }
                Ok(run) => tracing::info!(hop = %due.hop, run = %run.id, read = run.counts.read, written = run.counts.written, "transform ran"),
                Err(error) => {
                    tracing::error!(hop = %due.hop, error = flowline_base::chain(&error), "transform could not be recorded");
                }
            }
        });
    }
}

/// Says that a run is over, also when it panics.
struct Running<'a> {
    activity: &'a Activity,
    hop: &'a DatasetName,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.activity.running.lock().remove(self.hop);
        self.activity.changed.notify_one();
    }
}
