//! The one door through which long-running tasks are started.
//!
//! Owns: the kinds of task, what becomes of one that fails, restart with backoff, the count of restarts. Does not
//! own: what a task does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use flowline_base::{Backoff, Random, SharedClock};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a long-running task is for. The kind is its name in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// HTTP: records in, queries and pages out.
    Gateway,
    /// The Postgres wire.
    Postgres,
    /// Keeps the claim of this node's log on the lake.
    Owner,
    /// Log → table, one for each dataset.
    Lander,
    /// Holds landing back while tables downstream cannot keep up.
    Pressure,
    /// Lets the log go of rows that stay in it, once they have been read.
    Keeper,
    /// Files → table, one for each dataset.
    FileLander,
    /// Decides which transforms run, and runs them.
    Processor,
    /// Holds counts against each other, measures lag and freshness, and evaluates the checks of whole tables.
    Watcher,
    /// Compaction, retention, pruning.
    Janitor,
    /// Keeps the metrics bounded.
    Metrics,
}

impl TaskKind {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Postgres => "postgres",
            Self::Owner => "owner",
            Self::Lander => "lander",
            Self::Pressure => "pressure",
            Self::Keeper => "keeper",
            Self::FileLander => "file-lander",
            Self::Processor => "processor",
            Self::Watcher => "watcher",
            Self::Janitor => "janitor",
            Self::Metrics => "metrics",
        }
    }

    /// A node without its doors is no node, nor is one whose lake is another's; everything else is started again.
    fn ends_the_node(self) -> bool {
        matches!(self, Self::Gateway | Self::Postgres | Self::Owner)
    }
}

/// The restarts of a task never wait longer than this, so that a mended cause is noticed soon.
const RESTART: Backoff = Backoff {
    attempts_max: u32::MAX,
    delay_first: Duration::from_millis(200),
    delay_max: Duration::from_secs(10),
};

/// A task that ran this long without failing begins again with the shortest wait.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// The tasks of a node. Cheap to clone; all clones share the tasks.
#[derive(Debug, Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    clock: SharedClock,
    failure: Arc<Mutex<Option<String>>>,
}

impl Tasks {
    /// No tasks yet.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            clock,
            failure: Arc::new(Mutex::new(None)),
        }
    }

    /// What tells every task to end.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Why a task ended the node, when one did.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Starts a task. `make` is called again for every restart; what it returns runs until it is done, fails, or
    /// the token is cancelled (it must end soon after that).
    pub fn start<F, Fut>(&self, kind: TaskKind, subject: impl Into<String>, make: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (tasks, subject) = (self.clone(), subject.into());
        self.tracker.spawn(async move { tasks.supervise(kind, &subject, make).await });
    }

    async fn supervise<F, Fut>(&self, kind: TaskKind, subject: &str, make: F)
    where
        F: Fn(CancellationToken) -> Fut + Send,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (mut random, mut failures) = (Random::unseeded(), 0);
        while !self.shutdown.is_cancelled() {
            let started = self.clock.instant();
            // A task of its own, so that a panic ends the attempt and not the supervisor.
            let reason = match tokio::spawn(make(self.shutdown.clone())).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => flowline_base::chain(error.as_ref()),
                Err(join) => format!("panicked: {join}"),
            };
            if self.shutdown.is_cancelled() {
                tracing::warn!(
                    task = kind.as_str(),
                    subject,
                    error = reason,
                    "task failed while the node was ending"
                );
                return;
            }
            metrics::counter!("flowline_node_task_failures_total", "task" => kind.as_str()).increment(1);
            if kind.ends_the_node() {
                tracing::error!(task = kind.as_str(), subject, error = reason, "task failed; the node ends");
                self.failure.lock().get_or_insert(format!("{} {subject}: {reason}", kind.as_str()));
                self.shutdown.cancel();
                return;
            }
            failures = if started.elapsed() > STEADY_AFTER { 0 } else { failures + 1 };
            let delay = RESTART.delay(failures, &mut random);
            tracing::error!(
                task = kind.as_str(),
                subject,
                error = reason,
                ?delay,
                "task failed; it is started again"
            );
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
    }

    /// Tells every task to end and waits, at most `patience`; false when some had not ended by then.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.shutdown.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }
}
