//! A run: tries until one commits, within the time that the dataset allows, and recorded in the ledger.

use std::sync::Arc;
use std::time::Duration;

use datafusion::logical_expr::{Expr, lit};
use flowline_base::{Backoff, Classify, ErrorKind, Random, RunId, chain, retry};
use flowline_lake::{CommitMode, Committed, LakeError, Table, TableCommit, TableId, arrow_types};
use flowline_model::{
    Attempt as AttemptFact, Check, CheckSeverity, Commit, Counts, Dataset, Finding, FindingKind, Outcome,
    RecordedProfile, Run, RunError, RunKind, Severity, SqlOrigin,
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Transformer;
use super::attempt::{Attempt, Change, Prepared, merge_key};
use super::inputs::{Input, inputs};
use super::named;
use super::shape::reshape;
use super::sieve::{self, Sieve};
use super::standing::{CommitInfo, Standing, app_id, info_value, standing};
use crate::ProcessError;
use crate::audit::{Auditor, Subject, candidate};
use crate::sql::on_large_stack;
use crate::stream::commit_quarantine;

/// A run under way.
pub(super) struct Running<'a> {
    pub transformer: &'a Transformer,
    pub dataset: &'a Dataset,
    pub sql: &'a SqlOrigin,
    pub definition: String,
    pub cancel: &'a CancellationToken,
    /// What closes behind this time is computed again, microseconds: a stream is replayed.
    pub replay_from: Option<i64>,
}

/// A run that is over, and where it leaves the table.
pub(super) struct Ended {
    pub run: Run,
    /// How far the table is now; none when that must be read again.
    pub standing: Option<Standing>,
}

/// How a run or a try stands that came to no commit.
fn given_up(error: &ProcessError) -> Outcome {
    if matches!(error, ProcessError::Cancelled) { Outcome::Cancelled } else { Outcome::Failed }
}

/// What one try came to.
struct Tried {
    standing: Standing,
    run: Run,
}

impl Running<'_> {
    pub async fn run(&self, trigger: &str) -> Result<Ended, ProcessError> {
        let transformer = self.transformer;
        let mut run = self.begin(trigger);
        transformer.inner.ledger.start_run(&run).await?;
        let ended = self.tries(&mut run).await;
        run.finished_at = Some(transformer.clock().now());
        let mut findings = Vec::new();
        let standing = match ended {
            Ok(tried) => {
                run = tried.run;
                if run.commit.is_some() {
                    findings = of_run(&tried.standing.findings, &run);
                }
                Some(tried.standing)
            }
            Err(error) => {
                run.outcome = given_up(&error);
                run.error = Some(RunError { kind: error.kind(), message: chain(&error) });
                None
            }
        };
        self.record(&run, findings).await?;
        measure(&run);
        Ok(Ended { run, standing })
    }

    fn begin(&self, trigger: &str) -> Run {
        Run {
            id: RunId::generate(),
            hop: self.dataset.name.clone(),
            kind: RunKind::Transform,
            outcome: Outcome::Running,
            trigger: trigger.to_owned(),
            inputs: Vec::new(),
            counts: Default::default(),
            started_at: self.transformer.clock().now(),
            finished_at: None,
            attempts: 0,
            commit: None,
            error: None,
            trace_id: None,
        }
    }

    async fn tries(&self, run: &mut Run) -> Result<Tried, ProcessError> {
        let clock = self.transformer.clock();
        let (started, timeout) = (clock.instant(), self.sql.timeout);
        let backoff = Backoff { attempts_max: self.sql.attempts_max.max(1), ..Backoff::default() };
        let (mut random, mut rebuild) = (Random::unseeded(), false);
        loop {
            run.attempts += 1;
            let attempt_started = clock.now();
            let left = timeout.saturating_sub(clock.instant().duration_since(started));
            let tried = self.try_once(run, rebuild, left).await;
            let error = tried.as_ref().err();
            let fact = AttemptFact {
                run: run.id,
                number: run.attempts,
                outcome: error.map_or(Outcome::Succeeded, given_up),
                started_at: attempt_started,
                finished_at: Some(clock.now()),
                error: error.map(|error| RunError { kind: error.kind(), message: chain(error) }),
            };
            self.transformer.inner.ledger.record_attempt(&fact).await?;
            let error = match tried {
                Ok(tried) => return Ok(tried),
                Err(error) => error,
            };
            // Rows that changes are followed from can be gone (a week passed, and vacuum with it); the tables are not.
            let gone = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) && !rebuild;
            rebuild |= gone;
            let final_error = matches!(error, ProcessError::Cancelled | ProcessError::Timeout(_));
            let again =
                !final_error && (gone || error.kind().retryable()) && run.attempts < backoff.attempts_max;
            if !again {
                return Err(error);
            }
            let delay = if gone { Duration::ZERO } else { backoff.delay(run.attempts - 1, &mut random) };
            tracing::warn!(hop = %self.dataset.name, run = %run.id, attempt = run.attempts, error = chain(&error), "a try failed, trying again");
            self.pause(delay).await?;
        }
    }

    async fn pause(&self, delay: Duration) -> Result<(), ProcessError> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(ProcessError::Cancelled),
            () = tokio::time::sleep(delay) => Ok(()),
        }
    }

    /// One try. Only what comes before the commit is given up when the time is over or nobody wants it any more: a
    /// commit that was begun is finished, so that it is known whether it happened.
    async fn try_once(&self, run: &Run, rebuild: bool, left: Duration) -> Result<Tried, ProcessError> {
        let prepare = self.prepare(run, rebuild);
        let (standing, inputs, prepared) = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(ProcessError::Cancelled),
            prepared = tokio::time::timeout(left, prepare) => match prepared {
                Err(_) => return Err(ProcessError::Timeout(self.sql.timeout)),
                Ok(prepared) => prepared?,
            },
        };
        let mut run = run.clone();
        run.outcome = Outcome::Succeeded;
        let standing = match prepared {
            // An earlier try committed, and its answer was lost.
            Found::Committed(done) => {
                run = *done;
                standing
            }
            Found::Nothing(counts) => {
                run.inputs = inputs.iter().filter_map(Input::range).collect();
                run.counts = counts;
                advanced(standing, &inputs)
            }
            Found::Prepared(prepared, sieve) => {
                let audited = self.audit(&run, &prepared, &sieve).await?;
                run.inputs = inputs.iter().filter_map(Input::range).collect();
                let (stream, found) = (prepared.stream.clone(), prepared.findings.clone());
                let done = self.commit(&mut run, &standing, *prepared).await;
                if let Some(change) = audited.and_then(|subject| subject.change) {
                    let version = run.commit.as_ref().map(|commit| commit.version);
                    change.settle(&self.table(), version).await;
                }
                let (transaction, shape) = done?;
                let mut standing = advanced(standing, &inputs);
                (standing.stream, standing.findings, standing.shape) = (stream, found, shape);
                standing.transaction = Some(transaction);
                standing.definition = Some(self.definition.clone());
                standing.run = Some(run.clone());
                self.record_audit(&run, &sieve).await?;
                standing
            }
        };
        run.finished_at = Some(self.transformer.clock().now());
        Ok(Tried { standing, run })
    }

    async fn prepare(&self, run: &Run, rebuild: bool) -> Result<(Standing, Vec<Input>, Found), ProcessError> {
        let transformer = self.transformer;
        let engine = transformer.engine();
        let (table, ledger, part) = (self.table(), transformer.inner.ledger.as_ref(), transformer.part());
        let standing = standing(&table, ledger, &self.dataset.name, part).await?;
        if let Some(done) = standing.run.clone().filter(|done| done.id == run.id) {
            return Ok((standing, Vec::new(), Found::Committed(Box::new(done))));
        }
        transformer.complete(&standing).await?;
        let inputs = inputs(engine, &self.dataset.name, &standing).await?;
        let Some(columns) = engine.columns().await.get(&self.dataset.name) else {
            return Err(ProcessError::Project(engine.problems_of(&self.dataset.name).await));
        };
        let next = standing.transaction.map_or(0, |transaction| transaction + 1);
        let sieve = Sieve::new(self.dataset, columns, next, transformer.clock().now())?;
        let sieve = Arc::new(Mutex::new(sieve));
        let attempt = Attempt {
            engine,
            dataset: self.dataset,
            sql: self.sql,
            columns,
            definition: &self.definition,
            standing: &standing,
            inputs: &inputs,
            rebuild: rebuild && standing.transaction.is_some(),
            replay_from: self.replay_from,
            sieve: Arc::clone(&sieve),
        };
        let found = match on_large_stack(attempt.prepare()).await? {
            None => Found::Nothing(Counts::default()),
            Some(mut prepared) if worth_a_commit(&prepared) || sieve.lock().rows_set_aside() > 0 => {
                prepared.change = self.narrowed(prepared.change)?;
                Found::Prepared(Box::new(prepared), sieve)
            }
            Some(prepared) => Found::Nothing(prepared.counts),
        };
        Ok((standing, inputs, found))
    }

    /// Holds what is about to be committed against the checks that can block it, and puts rows that were set aside into
    /// the quarantine, where those of a run that computed everything take the place of all before. Returns the table as
    /// it was held against them.
    async fn audit(
        &self,
        run: &Run,
        prepared: &Prepared,
        sieve: &Mutex<Sieve>,
    ) -> Result<Option<Subject>, ProcessError> {
        let transformer = self.transformer;
        let mut results = sieve.lock().results();
        if let Some(blocking) = sieve::blocking(&results).cloned() {
            // They are not committed, and the next try brings them again.
            results.iter_mut().for_each(|result| (result.run, result.new_rows) = (Some(run.id), false));
            transformer.inner.ledger.record_checks(&results).await?;
            return Err(ProcessError::Blocked {
                dataset: self.dataset.name.clone(),
                check: blocking.check,
                reason: blocking.message,
            });
        }
        let gated = |check: &Check| check.severity == CheckSeverity::Block && !check.rule.by_row();
        let mut audited = None;
        if self.dataset.checks.iter().any(gated) {
            let key = merge_key(self.dataset, transformer.part());
            let subject = candidate(&self.table(), &key, &prepared.change).await?;
            let auditor = Auditor::new(transformer.engine().clone(), Arc::clone(&transformer.inner.ledger));
            let blocked = on_large_stack(auditor.gate(self.dataset, &subject, run.id)).await.err();
            if let Some(error) = blocked {
                if let Some(change) = &subject.change {
                    change.settle(&self.table(), None).await;
                }
                return Err(error);
            }
            audited = Some(subject);
        }
        let (rows, replaced) = {
            let sieve = sieve.lock();
            (sieve.set_aside(), sieve.replaced())
        };
        if let Some(replaced) = replaced {
            let replaced = match transformer.part() {
                Some(partition) => replaced.and(of_partition(partition)),
                None => replaced,
            };
            commit_quarantine(transformer.engine().lake(), &self.dataset.name, rows, replaced).await?;
        }
        Ok(audited)
    }

    /// Records what checks said of the rows that were committed, and what those look like.
    async fn record_audit(&self, run: &Run, sieve: &Mutex<Sieve>) -> Result<(), ProcessError> {
        let Some(commit) = &run.commit else { return Ok(()) };
        let (mut results, profiles, findings) = {
            let sieve = sieve.lock();
            (sieve.results(), sieve.profiles()?, sieve.findings(run.id))
        };
        for result in &mut results {
            (result.run, result.version) = (Some(run.id), Some(commit.version));
        }
        let recorded = profiles.into_iter().map(|profile| RecordedProfile {
            dataset: self.dataset.name.clone(),
            version: commit.version,
            profiled_at: commit.committed_at,
            profile,
        });
        let recorded: Vec<RecordedProfile> = recorded.collect();
        let ledger = &self.transformer.inner.ledger;
        // The rows are committed: that they cannot be described now is no reason to fail the run.
        let done = async {
            ledger.record_checks(&results).await?;
            ledger.record_findings(&findings).await?;
            ledger.record_profiles(&recorded).await
        };
        if let Err(error) = done.await {
            tracing::warn!(hop = %self.dataset.name, run = %run.id, error = chain(&error), "what checks said is not recorded");
        }
        Ok(())
    }

    /// Commits, and fills in the run; returns the version of the transform's transactions, and the number of the table's
    /// shape where parts share it.
    async fn commit(
        &self,
        run: &mut Run,
        standing: &Standing,
        prepared: Prepared,
    ) -> Result<(i64, Option<i64>), ProcessError> {
        let clock = self.transformer.clock();
        let Prepared { change, how, counts, event_time_max, stream, findings } = prepared;
        run.counts = counts;
        run.finished_at = Some(clock.now());
        let transaction = standing.transaction.map_or(0, |transaction| transaction + 1);
        let (change, shape) = self.shaped(change, standing).await?;
        let info = CommitInfo {
            run: run.clone(),
            definition: self.definition.clone(),
            how,
            stream,
            findings,
            shape,
        };
        let table = self.table();
        let app_id = app_id(&self.dataset.name, self.transformer.part());
        let commit = |staged, mode, operation| {
            Ok::<_, ProcessError>(TableCommit {
                staged,
                elsewhere: Vec::new(),
                mode,
                transaction: Some((app_id.clone(), transaction)),
                expected_transaction: Some(standing.transaction),
                operation,
                info: info_value(&info)?,
            })
        };
        let nothing = flowline_lake::StagedFiles::none;
        let append = flowline_lake::CommitMode::Append;
        let committed = match change {
            Change::Files(staged, mode) => table.commit(commit(staged, mode, "WRITE")?).await,
            Change::Merge(merge) => table.commit_merge(merge, commit(nothing(), append, "MERGE")?).await,
            Change::Replace(staged, gone) => table.delete_where(gone, commit(staged, append, "MERGE")?).await,
        };
        run.commit = Some(self.commit_fact(&committed.map_err(self.committing())?, event_time_max));
        Ok((transaction, shape))
    }

    /// A change of the table by one part of a divided stream leaves the rows of the others where they are, unless the table
    /// must take another shape.
    fn narrowed(&self, change: Change) -> Result<Change, ProcessError> {
        let Some(partition) = self.transformer.part() else { return Ok(change) };
        let own = of_partition(partition);
        Ok(match change {
            Change::Files(staged, CommitMode::OverwriteWith(spec)) => {
                let fits = self.table().fits(&spec).map_err(self.committing())?;
                if fits {
                    Change::Replace(staged, own)
                } else {
                    Change::Files(staged, CommitMode::OverwriteWith(spec))
                }
            }
            Change::Replace(staged, gone) => Change::Replace(staged, gone.and(own)),
            other => other,
        })
    }

    /// Gives the table the shape that a part of a divided stream needs; how the change is then, and the number of the shape.
    async fn shaped(
        &self,
        change: Change,
        standing: &Standing,
    ) -> Result<(Change, Option<i64>), ProcessError> {
        match (self.transformer.part(), change) {
            (Some(partition), Change::Files(staged, CommitMode::OverwriteWith(spec))) => {
                let shape = reshape(&self.table(), &self.dataset.name, &spec).await;
                let shape = shape.map_err(self.committing())?;
                Ok((Change::Replace(staged, of_partition(partition)), shape))
            }
            (_, change) => Ok((change, standing.shape)),
        }
    }

    fn table(&self) -> Table {
        self.transformer.engine().lake().table(TableId::of(self.dataset))
    }

    fn committing(&self) -> impl FnOnce(LakeError) -> ProcessError {
        ProcessError::lake(format!("committing `{}`", self.dataset.name))
    }

    fn commit_fact(
        &self,
        committed: &Committed,
        event_time_max: Option<chrono::DateTime<chrono::Utc>>,
    ) -> Commit {
        Commit {
            dataset: self.dataset.name.clone(),
            version: committed.version,
            committed_at: committed.committed_at,
            latency_us: u64::try_from(committed.latency.as_micros()).unwrap_or(u64::MAX),
            event_time_max,
            received_at_min: None,
        }
    }

    /// Records the run. What is committed is committed: the ledger is tried again, and completed later if that fails.
    async fn record(&self, run: &Run, mut findings: Vec<Finding>) -> Result<(), ProcessError> {
        findings.extend(imbalance(run));
        let ledger = &self.transformer.inner.ledger;
        retry(Backoff::default(), |_| ledger.record_run(run, &[], &findings)).await?;
        if run.commit.is_some() {
            self.transformer.inner.recorded.lock().insert(run.hop.clone(), run.id);
        }
        Ok(())
    }
}

/// The rows of one part of a divided stream, in its table and in its quarantine.
fn of_partition(partition: i32) -> Expr {
    named(arrow_types::PARTITION).eq(lit(partition))
}

/// What was found before a commit.
enum Found {
    /// That an earlier try of this run committed.
    Committed(Box<Run>),
    /// That nothing is to be written, and where the rows that were read went.
    Nothing(Counts),
    /// Rows to be written.
    Prepared(Box<Prepared>, Arc<Mutex<Sieve>>),
}

/// A commit that adds no row and changes none only moves a position, which the ledger does as well. But a table that
/// is computed as a whole is committed even when it has no rows: so it comes to be, and loses the rows it had. And how
/// far event time has come stands in the commits of a stream alone.
fn worth_a_commit(prepared: &Prepared) -> bool {
    if prepared.stream.is_some() {
        return true;
    }
    match &prepared.change {
        Change::Files(staged, flowline_lake::CommitMode::Append) => !staged.is_empty(),
        Change::Merge(merge) => merge.rows() > 0 || !merge.gone().is_empty(),
        _ => true,
    }
}

fn advanced(mut standing: Standing, inputs: &[Input]) -> Standing {
    for input in inputs {
        match input.version {
            Some(version) => drop(standing.consumed.insert(input.dataset.clone(), version)),
            None => drop(standing.consumed.remove(&input.dataset)),
        }
    }
    standing
}

/// Findings as those of the run that made them.
pub(super) fn of_run(findings: &[Finding], run: &Run) -> Vec<Finding> {
    findings.iter().map(|finding| Finding { run: Some(run.id), ..finding.clone() }).collect()
}

/// Rows that were read and are nowhere are an incident.
pub(super) fn imbalance(run: &Run) -> Vec<Finding> {
    let flowline_model::Balance::Unbalanced(missing) = run.counts.balance() else { return Vec::new() };
    if run.outcome != Outcome::Succeeded {
        return Vec::new();
    }
    vec![Finding {
        dataset: run.hop.clone(),
        kind: FindingKind::Imbalance,
        severity: Severity::Error,
        subject: "transform".to_owned(),
        message: format!(
            "{} rows were read, {} written, {} filtered and {} were duplicates, so {missing} are missing; compare the table with its query",
            run.counts.read, run.counts.written, run.counts.filtered, run.counts.duplicate
        ),
        count: missing.unsigned_abs(),
        first_position: None,
        last_position: None,
        run: Some(run.id),
        found_at: run.finished_at.unwrap_or(run.started_at),
        drift: None,
    }]
}

fn measure(run: &Run) {
    let hop = || run.hop.to_string();
    let outcome = run.outcome.as_str();
    metrics::counter!("flowline_process_runs_total", "dataset" => hop(), "outcome" => outcome).increment(1);
    metrics::counter!("flowline_process_rows_read_total", "dataset" => hop()).increment(run.counts.read);
    metrics::counter!("flowline_process_rows_written_total", "dataset" => hop())
        .increment(run.counts.written);
    metrics::counter!("flowline_process_bytes_read_total", "dataset" => hop())
        .increment(run.counts.bytes_read);
    metrics::counter!("flowline_process_bytes_written_total", "dataset" => hop())
        .increment(run.counts.bytes_written);
    if let Some(took) = run.finished_at.and_then(|finished| (finished - run.started_at).to_std().ok()) {
        metrics::histogram!("flowline_process_run_seconds", "dataset" => hop()).record(took.as_secs_f64());
    }
}
