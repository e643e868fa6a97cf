//! Checks that need rows to be held against each other or against another dataset: each has a query of its own.
//!
//! The audited dataset is read under its own name, at the state that is audited.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::array_value_to_string;
use datafusion::execution::SessionState;
use flowline_model::{Check, CheckRule, Completeness, Dataset, DatasetName};
use flowline_quality::{Outcome, outcome};

use super::Subject;
use super::scan::{ScanTally, Sum};
use crate::engine::{Pins, Resolver};
use crate::{ProcessError, QueryEngine};

/// A query of a check is given up after this long.
pub(super) const TIMEOUT: Duration = Duration::from_secs(600);
/// Sums of floating point numbers differ by their order.
const FLOAT_TOLERANCE: f64 = 1e-9;
/// So many failing values are shown.
const EXAMPLES: u32 = 3;

/// The queries of the checks of one dataset.
pub(super) struct Queries<'a> {
    engine: &'a QueryEngine,
    dataset: &'a Dataset,
    subject: &'a Subject,
    state: SessionState,
}

impl<'a> Queries<'a> {
    pub fn new(engine: &'a QueryEngine, dataset: &'a Dataset, subject: &'a Subject) -> Self {
        let resolver = Resolver::new(engine.clone(), Pins::Latest);
        resolver.put(&dataset.name, Arc::clone(&subject.provider));
        let state = engine.state_with(&resolver);
        Self { engine, dataset, subject, state }
    }

    /// What a check says.
    pub async fn outcome(&self, check: &Check, tally: Option<&ScanTally>) -> Result<Outcome, ProcessError> {
        match &check.rule {
            CheckRule::Unique { columns } => self.unique(check, columns, true).await,
            CheckRule::Duplicates { columns } => {
                let all: Vec<String> =
                    self.dataset.columns.iter().map(|column| column.name.clone()).collect();
                let columns = if columns.is_empty() { &all } else { columns };
                self.unique(check, columns, false).await
            }
            CheckRule::Referential { columns, to, to_columns } => {
                self.referential(check, columns, to, to_columns).await
            }
            CheckRule::Sql { query } => {
                let count =
                    format!("SELECT count(*) FROM ({}) AS failing", query.trim().trim_end_matches(';'));
                Ok(outcome::rows_returned(self.number(&count).await?.unwrap_or(0.0) as u64))
            }
            CheckRule::Completeness(Completeness::Count { query }) => {
                let expected = self.number(query).await?;
                let rows = self.known_rows().await?;
                Ok(match expected {
                    Some(expected) => outcome::complete(rows, expected, check.tolerance),
                    None => Outcome::not_evaluated("the query returns no number"),
                })
            }
            CheckRule::Reconcile { column, with, with_column } => {
                let with_column = with_column.as_ref().or(column.as_ref());
                self.reconcile(check, column.as_deref(), with, with_column.map(String::as_str), tally).await
            }
            other => {
                Ok(Outcome::not_evaluated(format!("nothing evaluates checks of kind `{}`", other.kind())))
            }
        }
    }

    /// Rows that share their values with others, or that repeat others.
    async fn unique(&self, check: &Check, columns: &[String], all: bool) -> Result<Outcome, ProcessError> {
        let (table, list) = (&self.dataset.name, quoted(columns));
        let present = if all { format!(" WHERE {}", not_null("", columns)) } else { String::new() };
        let groups =
            format!("SELECT {list}, count(*) AS flowline_rows FROM {table}{present} GROUP BY {list}");
        let failing = if all { "flowline_rows" } else { "flowline_rows - 1" };
        let count = format!(
            "SELECT sum(CASE WHEN flowline_rows > 1 THEN {failing} ELSE 0 END) FROM ({groups}) AS grouped"
        );
        let failed = self.number(&count).await?.unwrap_or(0.0) as u64;
        let outcome = outcome::failing_rows(check, self.known_rows().await?, failed);
        if failed == 0 {
            return Ok(outcome);
        }
        let examples =
            format!("{groups} HAVING count(*) > 1 ORDER BY flowline_rows DESC, {list} LIMIT {EXAMPLES}");
        Ok(outcome.with_examples(self.examples(&examples, columns).await?))
    }

    async fn referential(
        &self,
        check: &Check,
        columns: &[String],
        to: &DatasetName,
        to_columns: &[String],
    ) -> Result<Outcome, ProcessError> {
        let table = &self.dataset.name;
        let same =
            columns.iter().zip(to_columns).map(|(own, other)| format!("own.\"{own}\" = other.\"{other}\""));
        let same: Vec<String> = same.collect();
        let failing = format!(
            "FROM {table} AS own WHERE {} AND NOT EXISTS (SELECT 1 FROM {to} AS other WHERE {})",
            not_null("own.", columns),
            same.join(" AND ")
        );
        let failed = self.number(&format!("SELECT count(*) {failing}")).await?.unwrap_or(0.0) as u64;
        let outcome = outcome::failing_rows(check, self.known_rows().await?, failed);
        if failed == 0 {
            return Ok(outcome);
        }
        let list: Vec<String> = columns.iter().map(|column| format!("own.\"{column}\"")).collect();
        let examples = format!("SELECT DISTINCT {} {failing} LIMIT {EXAMPLES}", list.join(", "));
        Ok(outcome.with_examples(self.examples(&examples, columns).await?))
    }

    async fn reconcile(
        &self,
        check: &Check,
        column: Option<&str>,
        with: &DatasetName,
        with_column: Option<&str>,
        tally: Option<&ScanTally>,
    ) -> Result<Outcome, ProcessError> {
        let (Some(column), Some(with_column)) = (column, with_column) else {
            let other = self.number(&format!("SELECT count(*) FROM {with}")).await?.unwrap_or(0.0);
            let own = self.known_rows().await? as f64;
            return Ok(outcome::equal("number of rows", own, other, check.tolerance));
        };
        let Some(own) = tally.map(|tally| tally.sums.get(column).copied().unwrap_or(Sum::Exact(Some(0), 0)))
        else {
            return Ok(Outcome::not_evaluated("the table could not be scanned"));
        };
        let other = self.number(&format!("SELECT sum(\"{with_column}\") FROM {with}")).await?.unwrap_or(0.0);
        let exact = matches!(own, Sum::Exact(..));
        let tolerance = if exact { check.tolerance } else { check.tolerance.max(FLOAT_TOLERANCE) };
        Ok(outcome::equal(&format!("sum of `{column}`"), own.value(), other, tolerance))
    }

    /// The rows of the audited table.
    pub async fn rows(&self) -> Result<u64, ProcessError> {
        let count = self.number(&format!("SELECT count(*) FROM {}", self.dataset.name)).await?;
        Ok(count.unwrap_or(0.0) as u64)
    }

    async fn known_rows(&self) -> Result<u64, ProcessError> {
        match self.subject.rows {
            Some(rows) => Ok(rows),
            None => self.rows().await,
        }
    }

    /// The number that a query returns; none when it returns null, or no row.
    async fn number(&self, sql: &str) -> Result<Option<f64>, ProcessError> {
        let batches = self.engine.rows_in(&self.state, sql).await?;
        let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
        let Some(column) = batch.columns().first() else { return Ok(None) };
        let numbers = cast(column, &DataType::Float64);
        let numbers = numbers.map_err(|error| ProcessError::Data(error.to_string()))?;
        let numbers = numbers.as_primitive::<Float64Type>();
        Ok(numbers.is_valid(0).then(|| numbers.value(0)))
    }

    /// The values of the first columns of some rows; those of personal data are not shown.
    async fn examples(&self, sql: &str, columns: &[String]) -> Result<Vec<String>, ProcessError> {
        let batches = self.engine.rows_in(&self.state, sql).await?;
        let personal = |name: &String| self.dataset.column(name).is_some_and(|column| column.pii.is_some());
        let shown = |batch: &RecordBatch, row: usize| {
            let values = columns.iter().zip(batch.columns()).map(|(name, values)| match personal(name) {
                true => "***".to_owned(),
                false => array_value_to_string(values, row).unwrap_or_default().chars().take(60).collect(),
            });
            values.collect::<Vec<_>>().join(", ")
        };
        let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| shown(batch, row)));
        Ok(rows.take(EXAMPLES as usize).collect())
    }
}

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

fn not_null(table: &str, columns: &[String]) -> String {
    let each = columns.iter().map(|column| format!("{table}\"{column}\" IS NOT NULL"));
    each.collect::<Vec<_>>().join(" AND ")
}
