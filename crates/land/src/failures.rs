//! What is done about a failure that may pass: it is put on record, and tried again, for as long as need be.

use std::time::Duration;

use flowline_base::{Backoff, Classify, ErrorKind, Random, RunId};
use flowline_kafka::KafkaError;
use flowline_lake::LakeError;
use flowline_log::LogError;
use flowline_model::{
    Attempt, CheckResult, Counts, DatasetName, InputRange, Outcome, Run, RunError, RunKind,
};
use tokio_util::sync::CancellationToken;

use crate::{LandContext, LandError};

/// Waits between tries: long enough to spare what is down, short enough to notice soon that it is mended.
const BACKOFF: Backoff = Backoff {
    attempts_max: u32::MAX,
    delay_first: Duration::from_millis(100),
    delay_max: Duration::from_secs(10),
};

/// The tries of one hop that have failed since it last succeeded.
#[derive(Debug)]
pub(crate) struct Failures {
    hop: DatasetName,
    run: Option<RunId>,
    /// What the last try failed with.
    kind: Option<ErrorKind>,
    count: u32,
    random: Random,
}

/// What a failing try was about to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tried {
    /// The run, when it had begun.
    pub(crate) run: Option<RunId>,
    /// What it read.
    pub(crate) inputs: Vec<InputRange>,
    pub(crate) trigger: &'static str,
}

/// What an error means for a lander.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cure {
    /// The same commit may be offered again.
    OfferAgain,
    /// What was staged is worthless: begin again from the committed position.
    BeginAgain,
    /// Nothing this lander does can help.
    GiveUp,
}

impl Cure {
    pub(crate) fn of(error: &LandError) -> Self {
        match error {
            LandError::Lake(LakeError::Conflict { .. }) => Self::BeginAgain,
            // Another topic has taken its place: whatever is known of the one before is worthless.
            LandError::Kafka(KafkaError::Replaced { .. })
            | LandError::Log(LogError::Behind { .. } | LogError::Lost { .. }) => Self::BeginAgain,
            LandError::Log(LogError::Kafka { error, .. })
                if matches!(**error, KafkaError::Replaced { .. }) =>
            {
                Self::BeginAgain
            }
            // The records are read again: the contract may be another by then.
            LandError::Blocked { .. } => Self::BeginAgain,
            LandError::Log(LogError::Closed) => Self::GiveUp,
            _ if error.kind() == ErrorKind::Fenced => Self::GiveUp,
            _ => Self::OfferAgain,
        }
    }
}

impl Failures {
    pub(crate) fn new(hop: DatasetName) -> Self {
        Self { hop, run: None, kind: None, count: 0, random: Random::unseeded() }
    }

    /// The number of the try under way, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.count + 1
    }

    /// The run that is being tried again.
    pub(crate) fn run(&self) -> Option<RunId> {
        self.run
    }

    /// The last try succeeded.
    pub(crate) fn clear(&mut self) {
        self.run = None;
        self.kind = None;
        self.count = 0;
    }

    /// After failures there is nothing left to do: that is a success too, and is put on record as one.
    pub(crate) async fn recovered(&mut self, context: &LandContext) {
        if self.count == 0 {
            return;
        }
        let now = context.clock.now();
        let run = Run {
            id: RunId::generate(),
            hop: self.hop.clone(),
            kind: RunKind::Land,
            outcome: Outcome::Succeeded,
            trigger: "recovered".to_owned(),
            inputs: Vec::new(),
            counts: Counts::default(),
            started_at: now,
            finished_at: Some(now),
            attempts: self.attempt(),
            commit: None,
            error: None,
            trace_id: None,
        };
        match context.ledger.record_run(&run, &[], &[]).await {
            Ok(_) => self.clear(),
            Err(error) => {
                tracing::error!(dataset = %self.hop, error = %flowline_base::chain(&error), "the recovery could not be recorded")
            }
        }
    }

    /// Puts a failed try on record, as well as that can be done while things fail. The first try of a run records the
    /// run as failed; a commit that succeeds later puts it right.
    pub(crate) async fn record(&mut self, context: &LandContext, tried: Tried, error: &LandError) {
        // The ledger keeps the first error of a run. Another kind of error is another trouble, which must be told: it gets
        // a run of its own, where no rows are staged in the name of the one before.
        let another = self.kind.replace(error.kind()).is_some_and(|kind| kind != error.kind());
        if another && tried.run.is_none() {
            (self.run, self.count) = (None, 0);
        }
        self.count += 1;
        let run = *self.run.get_or_insert_with(|| tried.run.unwrap_or_else(RunId::generate));
        let now = context.clock.now();
        let blocked = match error {
            // The rows are not landed, and the next try brings them again.
            LandError::Blocked { result } => {
                vec![CheckResult { run: Some(run), new_rows: false, ..(**result).clone() }]
            }
            _ => Vec::new(),
        };
        let error = RunError { kind: error.kind(), message: flowline_base::chain(error) };
        tracing::error!(dataset = %self.hop, %run, attempt = self.count, kind = error.kind.as_str(), message = error.message, "landing failed");
        metrics::counter!("flowline_land_failures_total", "dataset" => self.hop.to_string()).increment(1);
        let attempt = Attempt {
            run,
            number: self.count,
            outcome: Outcome::Failed,
            started_at: now,
            finished_at: Some(now),
            error: Some(error.clone()),
        };
        let run = Run {
            id: run,
            hop: self.hop.clone(),
            kind: RunKind::Land,
            outcome: Outcome::Failed,
            trigger: tried.trigger.to_owned(),
            inputs: tried.inputs,
            counts: Counts::default(),
            started_at: now,
            finished_at: Some(now),
            attempts: self.count,
            commit: None,
            error: Some(error),
            trace_id: None,
        };
        let recorded = async {
            context.ledger.record_run(&run, &[], &[]).await?;
            context.ledger.record_attempt(&attempt).await?;
            context.ledger.record_checks(&blocked).await
        };
        if let Err(error) = recorded.await {
            tracing::error!(dataset = %self.hop, error = %flowline_base::chain(&error), "the failure could not be recorded");
        }
    }

    /// Waits before the next try, or until the lander is told to stop.
    pub(crate) async fn pause(&mut self, shutdown: &CancellationToken) {
        let delay = BACKOFF.delay(self.count.saturating_sub(1), &mut self.random);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(delay) => {}
        }
    }
}
