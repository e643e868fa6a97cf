//! From what was measured to what a check says of it.
//!
//! Owns: what each kind of check makes of its numbers, and the sentence that says so. What could not be measured is
//! never a pass. Does not own: how the numbers are measured.

use chrono::{DateTime, NaiveDate, Utc};
use flowline_model::{Check, CheckResult, CheckRule, Dataset, Verdict};

use crate::anomaly::{Expected, Point, expected, shown};
use crate::distribution::{self, Window};
use crate::rules::{RowRules, RowTally};

/// What a check says.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whether it holds.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub message: String,
    /// What was held against the bounds.
    pub metric: Option<f64>,
    /// The least that is expected.
    pub lower: Option<f64>,
    /// The most that is expected.
    pub upper: Option<f64>,
    /// Rows that were looked at.
    pub rows_checked: u64,
    /// Rows that fail.
    pub rows_failed: u64,
    /// Some failing values.
    pub examples: Vec<String>,
}

/// Where and when a check was evaluated.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// The version of the table; none for rows that are not committed.
    pub version: Option<i64>,
    /// When.
    pub at: DateTime<Utc>,
    /// How long it took, microseconds.
    pub duration_us: u64,
    /// Only rows that have just come are looked at.
    pub new_rows: bool,
}

impl Outcome {
    fn of(holds: bool, message: String) -> Self {
        Self {
            verdict: if holds { Verdict::Passed } else { Verdict::Failed },
            message,
            metric: None,
            lower: None,
            upper: None,
            rows_checked: 0,
            rows_failed: 0,
            examples: Vec::new(),
        }
    }

    /// It could not be told, and why.
    pub fn not_evaluated(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::NotEvaluated, ..Self::of(false, reason.into()) }
    }

    fn bounded(self, metric: f64, lower: Option<f64>, upper: Option<f64>) -> Self {
        Self { metric: Some(metric), lower, upper, ..self }
    }

    /// The same with values that fail.
    pub fn with_examples(self, examples: Vec<String>) -> Self {
        Self { examples, ..self }
    }

    /// The fact that the ledger keeps, of no run yet. `dimension` is the part of the dataset, or empty.
    pub fn into_result(
        self,
        dataset: &Dataset,
        check: &Check,
        dimension: &str,
        circumstances: &Circumstances,
    ) -> CheckResult {
        CheckResult {
            dataset: dataset.name.clone(),
            check: check.name.clone(),
            kind: check.rule.kind().to_owned(),
            dimension: dimension.to_owned(),
            verdict: self.verdict,
            message: self.message,
            severity: check.severity,
            owner: check.owner.clone(),
            metric: self.metric,
            lower: self.lower,
            upper: self.upper,
            rows_checked: self.rows_checked,
            new_rows: circumstances.new_rows,
            rows_failed: self.rows_failed,
            examples: self.examples,
            version: circumstances.version,
            run: None,
            evaluated_at: circumstances.at,
            duration_us: circumstances.duration_us,
        }
    }
}

/// What the checks among the rules say, each with its check.
pub fn of_rows(rules: &RowRules, tally: &RowTally) -> Vec<(Check, Outcome)> {
    let counted = rules.rules().iter().enumerate();
    let outcome = counted.filter_map(|(number, rule)| {
        let check = rule.check.clone()?;
        let counts = tally.rules.get(number).cloned().unwrap_or_default();
        let outcome = match counts.unevaluated {
            Some(reason) => Outcome::not_evaluated(reason),
            None => failing_rows(&check, tally.rows, counts.failed),
        };
        Some((check, outcome.with_examples(counts.examples)))
    });
    outcome.collect()
}

/// A check that counts the rows that fail it: the share of them must not be above its tolerance.
pub fn failing_rows(check: &Check, rows: u64, failed: u64) -> Outcome {
    let share = if rows == 0 { 0.0 } else { failed as f64 / rows as f64 };
    let what = match &check.rule {
        CheckRule::Unique { columns } => format!("share {} with others", named(columns)),
        CheckRule::Duplicates { .. } => "repeat others".to_owned(),
        CheckRule::Referential { to, .. } => format!("refer to what is not in `{to}`"),
        CheckRule::Sql { .. } => "are returned by the query".to_owned(),
        _ => "fail".to_owned(),
    };
    let message = match (rows, failed) {
        (0, 0) => "there are no rows".to_owned(),
        (_, 0) => format!("none of {rows} rows {what}"),
        _ => format!("{failed} of {rows} rows {what}"),
    };
    let outcome = Outcome::of(share <= check.tolerance, message);
    let outcome = outcome.bounded(share, None, Some(check.tolerance));
    Outcome { rows_checked: rows, rows_failed: failed, ..outcome }
}

fn named(columns: &[String]) -> String {
    columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ")
}

/// A query that must return nothing.
pub fn rows_returned(returned: u64) -> Outcome {
    let message = match returned {
        0 => "the query returns no row".to_owned(),
        1 => "the query returns a row, and should return none".to_owned(),
        rows => format!("the query returns {rows} rows, and should return none"),
    };
    let outcome = Outcome::of(returned == 0, message).bounded(returned as f64, None, Some(0.0));
    Outcome { rows_failed: returned, ..outcome }
}

/// How many rows a table has.
pub fn row_count(rows: u64, min: Option<u64>, max: Option<u64>) -> Outcome {
    let holds = min.is_none_or(|min| rows >= min) && max.is_none_or(|max| rows <= max);
    let expected = match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, max) => format!("at most {}", max.unwrap_or(u64::MAX)),
    };
    let message = format!("there are {rows} rows, {expected} are expected");
    let bound = |bound: Option<u64>| bound.map(|bound| bound as f64);
    let outcome = Outcome::of(holds, message).bounded(rows as f64, bound(min), bound(max));
    Outcome { rows_checked: rows, ..outcome }
}

/// How old the newest row is. Without a row there is none that is new enough.
pub fn freshness(newest: Option<DateTime<Utc>>, now: DateTime<Utc>, within: std::time::Duration) -> Outcome {
    let Some(newest) = newest else {
        return Outcome::of(false, "there is no row that says when it happened".to_owned());
    };
    let age = (now - newest).num_milliseconds() as f64 / 1_000.0;
    let most = within.as_secs_f64();
    let message = format!(
        "the newest row is of {} and {} s old, {} s are allowed",
        newest.format("%Y-%m-%dT%H:%M:%SZ"),
        shown(age.round()),
        shown(most)
    );
    Outcome::of(age <= most, message).bounded(age, None, Some(most))
}

/// A number that is held against another: about what it is, and as it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Amount {
    /// Exact up to about 15 digits; no number when it is out of range.
    pub value: f64,
    /// With all digits.
    pub text: String,
}

impl From<f64> for Amount {
    fn from(value: f64) -> Self {
        Self { value, text: shown(value) }
    }
}

/// Whether two numbers are equal within a share of the second. `difference` is by how much they differ, which may be
/// told more exactly than from what they are about.
pub fn equal(what: &str, own: &Amount, other: &Amount, difference: f64, tolerance: f64) -> Outcome {
    let message = format!("the {what} is {} here and {} there", own.text, other.text);
    let (own, other) = (own.value, other.value);
    if !own.is_finite() || !other.is_finite() || !difference.is_finite() {
        return Outcome::not_evaluated(message);
    }
    let allowed = other.abs() * tolerance;
    let outcome = Outcome::of(difference.abs() <= allowed, message);
    outcome.bounded(own, Some(other - allowed), Some(other + allowed))
}

/// Whether as many rows are there as were expected; more are not too many.
pub fn complete(rows: u64, expected: f64, tolerance: f64) -> Outcome {
    if !expected.is_finite() || expected < 0.0 {
        return Outcome::not_evaluated(format!("the query says that {expected} rows are expected"));
    }
    let least = expected * (1.0 - tolerance);
    let message = format!("there are {rows} rows of {} that are expected", shown(expected));
    let outcome = Outcome::of(rows as f64 >= least, message).bounded(rows as f64, Some(least), None);
    let missing = (expected - rows as f64).max(0.0) as u64;
    Outcome { rows_checked: rows, rows_failed: missing, ..outcome }
}

/// How long the periods of partitions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calendar {
    /// A day each.
    Days,
    /// A month each.
    Months,
    /// A year each.
    Years,
}

impl Calendar {
    fn start(self, day: NaiveDate) -> Option<NaiveDate> {
        use chrono::Datelike;
        match self {
            Self::Days => Some(day),
            Self::Months => day.with_day(1),
            Self::Years => NaiveDate::from_ymd_opt(day.year(), 1, 1),
        }
    }

    fn before(self, start: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Days => start.pred_opt(),
            Self::Months => start.checked_sub_months(chrono::Months::new(1)),
            Self::Years => start.checked_sub_months(chrono::Months::new(12)),
        }
    }
}

/// Whether each period from the oldest partition there is up to `after` ago has one; at most so many are looked at.
pub fn partitions(
    present: &[NaiveDate],
    calendar: Calendar,
    until: DateTime<Utc>,
    periods: u32,
    tolerance: f64,
) -> Outcome {
    let Some(oldest) = present.iter().min() else {
        return Outcome::of(false, "there is no partition".to_owned());
    };
    let mut expected = Vec::new();
    let mut period = calendar.start(until.date_naive());
    while let Some(start) = period.filter(|start| start >= oldest && expected.len() < periods as usize) {
        expected.push(start);
        period = calendar.before(start);
    }
    let missing: Vec<String> = expected
        .iter()
        .rev()
        .filter(|start| !present.contains(start))
        .map(|start| start.to_string())
        .collect();
    if expected.is_empty() {
        let message = format!("no partition was looked at: the oldest, {oldest}, is not due yet");
        return Outcome { verdict: Verdict::NotDue, ..Outcome::of(true, message) };
    }
    let share = missing.len() as f64 / expected.len() as f64;
    let message = match missing.as_slice() {
        [] => format!("all of {} partitions are there", expected.len()),
        [first, ..] => {
            format!(
                "{} of {} partitions are missing, the first of them {first}",
                missing.len(),
                expected.len()
            )
        }
    };
    let outcome = Outcome::of(share <= tolerance, message);
    let outcome = outcome.bounded(missing.len() as f64, None, Some(tolerance * expected.len() as f64));
    outcome.with_examples(missing.into_iter().take(crate::rules::EXAMPLES_MAX).collect())
}

/// Whether the values of `current` are distributed as those of `reference`.
pub fn distributed(rule: &CheckRule, reference: Window<'_>, current: Window<'_>) -> Outcome {
    let CheckRule::Distribution { column, method, limit, .. } = rule else {
        return Outcome::not_evaluated("it is no check of a distribution");
    };
    let rows: u64 = current.iter().map(|(rows, _)| rows).sum();
    match distribution::compare(*method, reference, current) {
        Err(reason) => Outcome::not_evaluated(reason),
        Ok(found) => {
            let holds = distribution::within(*method, found, *limit);
            let message = format!(
                "{} of `{column}` against {} versions before is {}, the limit is {}",
                method.as_str(),
                reference.len(),
                shown(found),
                shown(*limit)
            );
            let below = *method == flowline_model::DistributionMethod::ChiSquare;
            let (lower, upper) = if below { (Some(*limit), None) } else { (None, Some(*limit)) };
            Outcome { rows_checked: rows, ..Outcome::of(holds, message).bounded(found, lower, upper) }
        }
    }
}

/// Whether a metric is where its history lets expect it.
pub fn anomalous(anomaly: &flowline_model::Anomaly, history: &[Point], current: Option<Point>) -> Outcome {
    let Some(current) = current else { return Outcome::not_evaluated("no period is over yet") };
    if !current.value.is_finite() {
        let metric = anomaly.metric.as_str();
        return Outcome::not_evaluated(format!("`{metric}` is {}, which no bounds hold", current.value));
    }
    match expected(history, current.at, anomaly) {
        Err(reason) => Outcome { metric: Some(current.value), ..Outcome::not_evaluated(reason) },
        Ok(bounds) => {
            let what = match &anomaly.column {
                Some(column) => format!("`{}` of `{column}`", anomaly.metric.as_str()),
                None => format!("`{}`", anomaly.metric.as_str()),
            };
            let message = bounds.explain(&what, current.value);
            let Expected { lower, upper, .. } = bounds;
            Outcome::of(bounds.holds(current.value), message).bounded(current.value, Some(lower), Some(upper))
        }
    }
}
