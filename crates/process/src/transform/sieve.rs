//! The rows of a run on their way into files: held against the checks that one row alone decides, and profiled.
//!
//! Owns: which rows go on, which are set aside for the quarantine, and what is counted of both. Does not own: what a
//! check means (`flowline-quality`), how the quarantine is written (`stream::quarantine`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::Schema;
use chrono::{DateTime, Utc};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use flowline_base::RunId;
use flowline_model::{CheckResult, CheckSeverity, Column, Dataset, Finding, FindingKind, Profile, Severity};
use flowline_quality::outcome::of_rows;
use flowline_quality::{Circumstances, Profiler, RowRules, RowTally, Which};

use super::Anew;
use crate::ProcessError;
use crate::stream::{SetAside, batch_of_checks, of_batch, of_checks, set_aside};

/// More rows of one run are not set aside, since they are held in memory: the run fails instead.
const SET_ASIDE_MAX: u64 = 100_000;

/// What rows go through.
#[derive(Debug)]
pub(crate) struct Sieve {
    dataset: Dataset,
    rules: RowRules,
    tally: RowTally,
    profiler: Profiler,
    now: DateTime<Utc>,
    /// The number of the transaction that is to commit the rows.
    transaction: i64,
    /// The rows are all that the table is to have.
    everything: bool,
    /// What rows of the quarantine meet that are records of the rows which are computed anew.
    anew: Option<Expr>,
    set_aside: Vec<RecordBatch>,
    rows_set_aside: u64,
    /// Why, by reason and column: how many rows, and what is said of the first.
    reasons: BTreeMap<(FindingKind, String), (u64, String)>,
}

impl Sieve {
    /// A sieve for the rows that the transaction of this number is to commit. Every batch begins with the columns.
    pub fn new(
        dataset: &Dataset,
        columns: &[Column],
        transaction: i64,
        now: DateTime<Utc>,
    ) -> std::result::Result<Self, ProcessError> {
        let rules = RowRules::over(dataset, columns, Which::BeyondSchema).map_err(|error| {
            ProcessError::Sql { message: format!("`{}`: {error}", dataset.name), hint: None, place: None }
        })?;
        Ok(Self {
            rules,
            tally: RowTally::default(),
            profiler: Profiler::new(dataset, columns),
            now,
            transaction,
            everything: false,
            anew: None,
            set_aside: Vec::new(),
            rows_set_aside: 0,
            reasons: BTreeMap::new(),
            dataset: dataset.clone(),
        })
    }

    /// Forgets the rows that came through, of a try that is begun again.
    pub fn begin_again(&mut self) {
        (self.tally, self.profiler) = (RowTally::default(), self.profiler.fresh());
        (self.everything, self.anew, self.rows_set_aside) = (false, None, 0);
        self.set_aside.clear();
        self.reasons.clear();
    }

    /// Says that the rows to come are all that the table is to have.
    pub fn begin_everything(&mut self) {
        self.everything = true;
    }

    /// Says that the rows to come take the place of those of the table which are computed anew.
    pub fn begin_anew(&mut self, anew: Anew, table: &Schema) -> Result<()> {
        if !self.rules.is_empty() {
            self.anew = Some(anew.of_records(table)?);
        }
        Ok(())
    }

    /// Whether there are checks that set rows aside.
    pub fn sets_aside(&self) -> bool {
        self.rules.rules().iter().any(|rule| rule.severity == CheckSeverity::QuarantineRows)
    }

    /// The rows of a batch that go on.
    pub fn pass(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        if batch.num_rows() == 0 {
            return Ok(batch);
        }
        let mut passed = batch;
        if !self.rules.is_empty() {
            let verdicts = self.rules.evaluate(&passed);
            self.tally.add(&verdicts.tally());
            if !verdicts.all_passed() {
                let failures: Vec<_> = verdicts.failures().collect();
                self.rows_set_aside += failures.len() as u64;
                if self.rows_set_aside > SET_ASIDE_MAX {
                    return Err(DataFusionError::Execution(format!(
                        "more than {SET_ASIDE_MAX} rows fail the checks of `{}`; mend the query or the checks",
                        self.dataset.name
                    )));
                }
                for (_, why) in &failures {
                    let subject = why.column.clone().unwrap_or_else(|| "record".to_owned());
                    let known = self.reasons.entry((why.reason, subject));
                    known.or_insert_with(|| (0, why.message.clone())).0 += 1;
                }
                let rows = UInt32Array::from_iter_values(failures.iter().map(|(row, _)| *row as u32));
                let text = |texts: Vec<Option<&str>>| Arc::new(StringArray::from(texts)) as ArrayRef;
                let why = SetAside {
                    reason: text(failures.iter().map(|(_, why)| Some(why.reason.as_str())).collect()),
                    column: text(failures.iter().map(|(_, why)| why.column.as_deref()).collect()),
                    message: text(failures.iter().map(|(_, why)| Some(why.message.as_str())).collect()),
                };
                let failing = take_record_batch(&passed, &rows)?;
                let kept = set_aside(&failing, why, &self.dataset.name, self.now, &self.batch())?;
                self.set_aside.push(kept);
                passed = filter_record_batch(&passed, &verdicts.passed())?;
            }
        }
        self.profiler.update(&passed)?;
        Ok(passed)
    }

    /// How many rows were set aside.
    pub fn rows_set_aside(&self) -> u64 {
        self.rows_set_aside
    }

    /// The rows that were set aside, as the quarantine keeps them.
    pub fn set_aside(&self) -> Vec<RecordBatch> {
        self.set_aside.clone()
    }

    /// The rows of the quarantine that they take the place of; none when the quarantine stays as it is.
    pub fn replaced(&self) -> Option<Expr> {
        match &self.anew {
            _ if self.everything => Some(of_checks()),
            Some(anew) => Some(of_batch(&self.batch()).or(anew.clone())),
            None if self.set_aside.is_empty() => None,
            None => Some(of_batch(&self.batch())),
        }
    }

    /// What tells the rows that this run sets aside: a try after a crash has the same, and replaces them.
    fn batch(&self) -> String {
        batch_of_checks(&self.dataset.name, self.transaction, self.everything)
    }

    /// What was set aside, as findings of this run.
    pub fn findings(&self, run: RunId) -> Vec<Finding> {
        let finding =
            |((kind, subject), (count, message)): (&(FindingKind, String), &(u64, String))| Finding {
                dataset: self.dataset.name.clone(),
                kind: *kind,
                severity: Severity::Warning,
                subject: subject.clone(),
                message: format!("{message}; see `flowline quarantine show {}`", self.dataset.name),
                count: *count,
                first_position: None,
                last_position: None,
                run: Some(run),
                found_at: self.now,
                drift: None,
            };
        self.reasons.iter().map(finding).collect()
    }

    /// What the checks say of the rows.
    pub fn results(&self) -> Vec<CheckResult> {
        let circumstances =
            Circumstances { at: self.now, new_rows: !self.everything, ..Circumstances::default() };
        let outcomes = of_rows(&self.rules, &self.tally).into_iter();
        outcomes
            .map(|(check, outcome)| outcome.into_result(&self.dataset, &check, "", &circumstances))
            .collect()
    }

    /// What the rows look like that went on.
    pub fn profiles(&self) -> Result<Vec<Profile>> {
        Ok(self.profiler.finish()?)
    }
}

/// The first result that keeps rows from being committed.
pub(super) fn blocking(results: &[CheckResult]) -> Option<&CheckResult> {
    results.iter().find(|result| result.severity == CheckSeverity::Block && result.verdict.alarms())
}
