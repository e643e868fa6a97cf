//! The checks of datasets, evaluated over tables: over what is committed, and over what is about to be.
//!
//! Owns: how checks are compiled into as few scans as possible. One scan counts everything that single rows decide,
//! sums and newest times (`scan`); where rows were only added since the last audit, it reads those alone. Keys are
//! counted, and the counts moved on by what came and went (`keys`). What else needs rows to be held against each other or
//! against another dataset has a query of its own (`queries`); how much came when is read from the table's log, what it
//! looked like from profiles (`history`), without a scan.
//! Does not own: what the numbers mean (`flowline-quality`), when a dataset is audited (`flowline-node`).

mod candidate;
mod changed;
mod history;
mod keys;
mod note;
mod queries;
mod scan;
mod state;
mod sweep;
mod wide;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use flowline_base::RunId;
use flowline_lake::{ReadAt, TableId};
use flowline_ledger::Ledger;
use flowline_model::{
    Check, CheckResult, CheckRule, CheckSeverity, Column, Completeness, Dataset, DatasetName,
};
use flowline_quality::Outcome;
use flowline_quality::outcome::{self, Circumstances};

use crate::engine::{Pins, Resolver};
use crate::sql::on_large_stack;
use crate::{ProcessError, QueryEngine};

pub(crate) use candidate::{Uncommitted, candidate};
pub(crate) use queries::counting;
pub use scan::{Scan, ScanTally};
pub use sweep::sweep_check_state;
pub use wide::Wide;

/// Audits datasets. Cheap to clone.
#[derive(Clone)]
pub struct Auditor {
    engine: QueryEngine,
    ledger: Arc<dyn Ledger>,
}

impl std::fmt::Debug for Auditor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auditor").finish_non_exhaustive()
    }
}

/// Which checks are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// Those that look at more than one row. The others are held against each row when it is written.
    BeyondRows,
}

impl Scope {
    fn has(self, check: &Check) -> bool {
        self == Self::All || !check.rule.by_row()
    }
}

/// The table that is audited.
pub(crate) struct Subject {
    pub provider: Arc<dyn TableProvider>,
    /// Its version; none for rows that are yet to be committed, and for views.
    pub version: Option<i64>,
    /// Its rows, where its log says so.
    pub rows: Option<u64>,
    /// How it differs from a version; none for a version itself, and where it has nothing of one.
    pub change: Option<Uncommitted>,
}

impl Subject {
    /// Rows that are no version of a table.
    fn unversioned(provider: Arc<dyn TableProvider>) -> Self {
        Self { provider, version: None, rows: None, change: None }
    }
}

/// Outcomes with the part of the dataset that each is of; empty for all of it.
type Outcomes = Vec<(String, Outcome)>;

impl Auditor {
    /// An auditor of the datasets of the engine's plan.
    pub fn new(engine: QueryEngine, ledger: Arc<dyn Ledger>) -> Self {
        Self { engine, ledger }
    }

    /// Evaluates the checks of a dataset over its newest version and records what they say: results and findings.
    /// A check that cannot be evaluated says so; it stops none of the others.
    ///
    /// # Errors
    /// Only when the dataset is not known, or the ledger cannot be written.
    pub async fn run(&self, dataset: &DatasetName, scope: Scope) -> Result<Vec<CheckResult>, ProcessError> {
        let results = on_large_stack(self.evaluate(dataset, scope)).await?;
        self.ledger.record_checks(&results).await?;
        Ok(results)
    }

    /// The same without a record.
    pub async fn evaluate(
        &self,
        dataset: &DatasetName,
        scope: Scope,
    ) -> Result<Vec<CheckResult>, ProcessError> {
        let dataset =
            self.engine.project().dataset(dataset).ok_or_else(|| ProcessError::NoDataset(dataset.clone()))?;
        let checks: Vec<&Check> = dataset.checks.iter().filter(|check| scope.has(check)).collect();
        match self.subject(dataset).await {
            Ok(subject) => Ok(self.audit(dataset, scope, &checks, &subject).await),
            Err(error) => Ok(self.unevaluated(dataset, &checks, &flowline_base::chain(&error))),
        }
    }

    async fn subject(&self, dataset: &Dataset) -> Result<Subject, ProcessError> {
        let resolver = Resolver::new(self.engine.clone(), Pins::Latest);
        let failed = || format!("reading `{}`", dataset.name);
        if !dataset.materialized() {
            return Ok(Subject::unversioned(resolver.table(&dataset.name).await?));
        }
        let table = self.engine.lake().table(TableId::of(dataset));
        if table.refresh().await.map_err(ProcessError::lake(failed()))?.is_none() {
            let nothing = Subject::unversioned(resolver.table(&dataset.name).await?);
            return Ok(Subject { rows: Some(0), ..nothing });
        }
        let read = table.read(ReadAt::Latest).await.map_err(ProcessError::lake(failed()))?;
        let stats = table.stats().await.map_err(ProcessError::lake(failed()))?;
        let (version, rows) = (Some(read.version), Some(stats.rows));
        Ok(Subject { provider: read.provider, version, rows, change: None })
    }

    /// What the checks that can block and look at more than one row say of a table that is about to be committed, recorded as of this run.
    ///
    /// # Errors
    /// [`ProcessError::Blocked`] when one of them does not hold, or cannot be evaluated.
    pub(crate) async fn gate(
        &self,
        dataset: &Dataset,
        subject: &Subject,
        run: RunId,
    ) -> Result<Vec<CheckResult>, ProcessError> {
        let scope = Scope::BeyondRows;
        let blocks = |check: &&Check| check.severity == CheckSeverity::Block && scope.has(check);
        let checks: Vec<&Check> = dataset.checks.iter().filter(blocks).collect();
        let mut results = self.audit(dataset, scope, &checks, subject).await;
        for result in &mut results {
            result.run = Some(run);
        }
        self.ledger.record_checks(&results).await?;
        match results.iter().find(|result| result.verdict.alarms()) {
            Some(result) => Err(ProcessError::Blocked {
                dataset: dataset.name.clone(),
                check: result.check.clone(),
                reason: result.message.clone(),
            }),
            None => Ok(results),
        }
    }

    fn unevaluated(&self, dataset: &Dataset, checks: &[&Check], reason: &str) -> Vec<CheckResult> {
        let circumstances = Circumstances { at: self.engine.clock().now(), ..Circumstances::default() };
        let result =
            |check: &&Check| Outcome::not_evaluated(reason).into_result(dataset, check, "", &circumstances);
        checks.iter().map(result).collect()
    }

    /// What these checks say, which are some of the scope's.
    async fn audit(
        &self,
        dataset: &Dataset,
        scope: Scope,
        checks: &[&Check],
        subject: &Subject,
    ) -> Vec<CheckResult> {
        if checks.is_empty() {
            return Vec::new();
        }
        let clock = self.engine.clock();
        let started = clock.instant();
        let scanned = match checks.iter().any(|check| scan::answers(&check.rule)) {
            true => self.scanned(dataset, scope, subject).await,
            false => Ok(Answers::default()),
        };
        let scan_us = clock.instant().saturating_duration_since(started).as_micros() as u64;
        let mut results = Vec::new();
        for check in checks {
            let started = clock.instant();
            let by_scan = scan::answers(&check.rule);
            let outcomes = match &scanned {
                Err(reason) if by_scan => vec![(String::new(), Outcome::not_evaluated(reason.clone()))],
                scanned => self.outcomes(dataset, check, subject, scanned.as_ref().ok()).await,
            };
            let own_us = clock.instant().saturating_duration_since(started).as_micros() as u64;
            let circumstances = Circumstances {
                version: subject.version,
                at: clock.now(),
                duration_us: if by_scan { scan_us } else { own_us },
                new_rows: false,
            };
            results.extend(
                outcomes.into_iter().map(|(dimension, outcome)| {
                    outcome.into_result(dataset, check, &dimension, &circumstances)
                }),
            );
        }
        results
    }

    /// What one scan says for all checks of the scope that it can answer: the same scan before a commit and after it,
    /// so that the one goes on where the other was.
    async fn scanned(&self, dataset: &Dataset, scope: Scope, subject: &Subject) -> Result<Answers, String> {
        let columns = self.columns_of(dataset, &subject.provider).await;
        let checks = dataset.checks.iter().filter(|check| scope.has(check)).cloned().collect();
        let audited = Dataset { checks, ..dataset.clone() };
        let (scan, problems) = Scan::compile(&audited, &columns);
        let problems =
            problems.into_iter().filter_map(|problem| Some((problem.check?, problem.message))).collect();
        let tally = state::tally(&self.engine, dataset, subject, &scan).await;
        let tally = tally.map_err(|error| flowline_base::chain(&error))?;
        let outcomes = outcome::of_rows(scan.rules(), &tally.rows);
        let rows = outcomes.into_iter().map(|(check, outcome)| (check.name, outcome)).collect();
        Ok(Answers { rows, tally, problems })
    }

    async fn columns_of(&self, dataset: &Dataset, provider: &Arc<dyn TableProvider>) -> Vec<Column> {
        let schema = provider.schema();
        let known = self.engine.columns().await.get(&dataset.name).cloned();
        let known = known.unwrap_or_else(|| dataset.columns.clone());
        known.into_iter().filter(|column| schema.index_of(&column.name).is_ok()).collect()
    }

    async fn outcomes(
        &self,
        dataset: &Dataset,
        check: &Check,
        subject: &Subject,
        scanned: Option<&Answers>,
    ) -> Outcomes {
        let whole = |outcome: Outcome| vec![(String::new(), outcome)];
        let now = self.engine.clock().now();
        let found = match &check.rule {
            rule if rule.by_row() => Ok(scanned.map_or_else(
                || Outcome::not_evaluated("the table could not be scanned"),
                |answers| answers.of(check),
            )),
            CheckRule::RowCount { min, max } => {
                let rows = match (subject.rows, scanned) {
                    (Some(rows), _) => Ok(rows),
                    (None, _) => self.count(dataset, subject).await,
                };
                rows.map(|rows| outcome::row_count(rows, *min, *max))
            }
            CheckRule::Freshness { column: Some(column), within } => Ok(match scanned {
                Some(answers) => outcome::freshness(answers.tally.newest(column), now, *within),
                None => Outcome::not_evaluated("the table could not be scanned"),
            }),
            CheckRule::Freshness { column: None, within } => {
                history::newest_commit(self, dataset).await.map(|at| outcome::freshness(at, now, *within))
            }
            CheckRule::Completeness(Completeness::Partitions { column, after, periods }) => {
                let tolerance = check.tolerance;
                history::partitions(self, dataset, column, *after, *periods, tolerance).await
            }
            CheckRule::Distribution { .. } => history::distributed(self, dataset, &check.rule).await,
            CheckRule::Anomaly(anomaly) => match history::anomalies(self, dataset, check, anomaly).await {
                Ok(outcomes) => return outcomes,
                Err(error) => Err(error),
            },
            _ => self.query(dataset, check, subject, scanned).await,
        };
        whole(found.unwrap_or_else(|error| Outcome::not_evaluated(flowline_base::chain(&error))))
    }

    async fn count(&self, dataset: &Dataset, subject: &Subject) -> Result<u64, ProcessError> {
        queries::Queries::new(&self.engine, dataset, subject).rows().await
    }

    async fn query(
        &self,
        dataset: &Dataset,
        check: &Check,
        subject: &Subject,
        scanned: Option<&Answers>,
    ) -> Result<Outcome, ProcessError> {
        let queries = queries::Queries::new(&self.engine, dataset, subject);
        let limited = queries.outcome(check, scanned.map(|answers| &answers.tally));
        match tokio::time::timeout(queries::TIMEOUT, limited).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ProcessError::Timeout(queries::TIMEOUT)),
        }
    }
}

/// What one scan found.
#[derive(Debug, Default)]
struct Answers {
    rows: BTreeMap<String, Outcome>,
    tally: ScanTally,
    /// Checks that could not be compiled, and why.
    problems: BTreeMap<String, String>,
}

impl Answers {
    fn of(&self, check: &Check) -> Outcome {
        match (self.problems.get(&check.name), self.rows.get(&check.name)) {
            (Some(problem), _) => Outcome::not_evaluated(problem.clone()),
            (None, Some(outcome)) => outcome.clone(),
            (None, None) => Outcome::not_evaluated("it was not among what the scan counted"),
        }
    }
}
