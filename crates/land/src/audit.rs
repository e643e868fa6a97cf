//! What checks say of the rows that are landed, and what those rows look like.
//!
//! Owns: how often that is put on record. A dataset that is never idle commits every two seconds; results and profiles
//! are recorded when a verdict changes, and else once a minute for all commits since, so that the ledger does not grow
//! with every commit. Does not own: what a check means (`flowline-quality`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use flowline_model::{CheckResult, CheckSeverity, Dataset, Profile, Verdict};
use flowline_quality::outcome::of_rows;
use flowline_quality::{Circumstances, Profiler, RowRules, RowTally, RowVerdicts};
use parking_lot::Mutex;

use crate::LandError;

/// What is known of commits is recorded at least this often.
const RECORD_EVERY: TimeDelta = TimeDelta::seconds(60);

/// What one flush found so far.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    rules: Option<RowRules>,
    tally: RowTally,
    profiler: Option<Profiler>,
}

/// What is to be recorded when the flush is committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audited {
    pub(crate) checks: Vec<CheckResult>,
    pub(crate) profiles: Vec<Profile>,
}

/// What was found since something was recorded last. Shared by the flushes of a lander.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unrecorded(Arc<Mutex<Pending>>);

#[derive(Debug, Default)]
struct Pending {
    since: Option<DateTime<Utc>>,
    tally: RowTally,
    profiler: Option<Profiler>,
    verdicts: BTreeMap<String, Verdict>,
}

impl Audit {
    /// Counts what the rules say of rows.
    pub(crate) fn count(&mut self, verdicts: &RowVerdicts) {
        if verdicts.rules().rules().iter().any(|rule| rule.check.is_some()) {
            self.tally.add(&verdicts.tally());
            self.rules.get_or_insert_with(|| verdicts.rules().clone());
        }
    }

    /// The profiler, to be given back by [`Audit::profiled`].
    pub(crate) fn profiler(&mut self, dataset: &Dataset, unrecorded: &Unrecorded) -> Profiler {
        let pending = || unrecorded.0.lock().profiler.take();
        self.profiler.take().or_else(pending).unwrap_or_else(|| Profiler::new(dataset, &dataset.columns))
    }

    pub(crate) fn profiled(&mut self, profiler: Profiler) {
        self.profiler = Some(profiler);
    }

    /// What is to be recorded of a flush, if it is time to.
    ///
    /// # Errors
    /// [`LandError::Blocked`] when rows fail a check that blocks.
    pub(crate) fn finish(
        self,
        dataset: &Dataset,
        unrecorded: &Unrecorded,
        now: DateTime<Utc>,
    ) -> Result<Audited, LandError> {
        let circumstances = Circumstances { at: now, new_rows: true, ..Circumstances::default() };
        let results = |rules: &RowRules, tally: &RowTally| -> Vec<CheckResult> {
            let outcomes = of_rows(rules, tally).into_iter();
            outcomes
                .map(|(check, outcome)| outcome.into_result(dataset, &check, "", &circumstances))
                .collect()
        };
        let current = self.rules.as_ref().map(|rules| results(rules, &self.tally)).unwrap_or_default();
        let blocks =
            |result: &&CheckResult| result.severity == CheckSeverity::Block && result.verdict.alarms();
        if let Some(result) = current.iter().find(blocks) {
            return Err(LandError::Blocked { result: Box::new(result.clone()) });
        }
        let mut pending = unrecorded.0.lock();
        pending.tally.add(&self.tally);
        let verdicts: BTreeMap<String, Verdict> =
            current.iter().map(|result| (result.check.clone(), result.verdict)).collect();
        let waited = pending.since.is_none_or(|since| now - since >= RECORD_EVERY);
        if !waited && verdicts == pending.verdicts {
            pending.profiler = self.profiler;
            return Ok(Audited::default());
        }
        let tally = std::mem::take(&mut pending.tally);
        // What is told is what these rows say where they changed it, and what all said where nothing did.
        let checks = match (&self.rules, verdicts == pending.verdicts) {
            (Some(rules), true) => results(rules, &tally),
            _ => current,
        };
        pending.verdicts = verdicts;
        pending.since = Some(now);
        let profiles = match &self.profiler {
            Some(profiler) => profiler.finish().map_err(|error| crate::staging::failed(&error))?,
            None => Vec::new(),
        };
        Ok(Audited { checks, profiles })
    }
}

/// Takes rows into the profile. Busy for the whole time: belongs on a blocking thread.
pub(crate) fn profile(profiler: &mut Profiler, rows: &[RecordBatch]) -> Result<(), arrow::error::ArrowError> {
    rows.iter().try_for_each(|batch| profiler.update(batch))
}
