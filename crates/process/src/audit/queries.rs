//! Checks that need rows to be held against each other or against another dataset: each has a query of its own.
//!
//! The audited dataset is read under its own name, at the state that is audited.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::array_value_to_string;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};
use datafusion::physical_plan::{collect, execute_stream};
use flowline_lake::{ReadAt, TableId};
use flowline_model::{Check, CheckRule, CheckSeverity, Completeness, Dataset, DatasetName};
use flowline_quality::outcome::Amount;
use flowline_quality::{Outcome, outcome};
use futures::TryStreamExt;

use super::scan::{Scan, ScanTally, Sum, sum};
use super::state::{Beside, FOLDER, tally_in};
use super::{Subject, Uncommitted, keys};
use crate::engine::{Pins, Resolver};
use crate::{ProcessError, QueryEngine};

/// A query of a check is given up after this long.
pub(super) const TIMEOUT: Duration = Duration::from_secs(600);
/// Sums of floating point numbers differ by their order.
const FLOAT_TOLERANCE: f64 = 1e-9;
/// So many failing values are shown.
pub(super) const EXAMPLES: u32 = 3;

/// The queries of the checks of one dataset.
pub(super) struct Queries<'a> {
    engine: &'a QueryEngine,
    dataset: &'a Dataset,
    subject: &'a Subject,
    state: SessionState,
}

/// The query that counts the rows of another, which may end in a comment.
pub(crate) fn counting(query: &str) -> String {
    format!("SELECT count(*) FROM ({}\n) AS failing", query.trim().trim_end_matches(';'))
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
            CheckRule::Unique { columns } => self.keys(check, columns).await,
            CheckRule::Duplicates { columns } => {
                let all = self.engine.columns().await.get(&self.dataset.name);
                let all: Vec<String> =
                    all.unwrap_or(&self.dataset.columns).iter().map(|column| column.name.clone()).collect();
                self.keys(check, if columns.is_empty() { &all } else { columns }).await
            }
            CheckRule::Referential { columns, .. } => self.keys(check, columns).await,
            CheckRule::Sql { query } => {
                Ok(outcome::rows_returned(self.number(&counting(query)).await?.unwrap_or(0.0) as u64))
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

    /// What the counts of keys say where they are kept, and else what a query over the whole table does.
    async fn keys(&self, check: &Check, columns: &[String]) -> Result<Outcome, ProcessError> {
        let counted = keys::failing(self.engine, self.dataset, check, columns, self.subject).await;
        let counted = counted.unwrap_or_else(|error| {
            tracing::warn!(dataset = %self.dataset.name, check = check.name, error = flowline_base::chain(&error), "keys could not be counted; the whole table is asked");
            None
        });
        match counted {
            Some(counted) if counted.failed == 0 || !counted.examples.is_empty() => {
                let outcome = outcome::failing_rows(check, self.known_rows().await?, counted.failed);
                Ok(outcome.with_examples(counted.examples))
            }
            _ => match &check.rule {
                CheckRule::Referential { to, to_columns, .. } => {
                    self.referential(check, columns, to, to_columns).await
                }
                rule => self.unique(check, columns, matches!(rule, CheckRule::Unique { .. })).await,
            },
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
            let difference = own - other;
            let (own, other) = (Amount::from(own), Amount::from(other));
            return Ok(outcome::equal("number of rows", &own, &other, difference, check.tolerance));
        };
        let Some(tally) = tally else {
            return Ok(Outcome::not_evaluated("the table could not be scanned"));
        };
        let own = tally.sum(column);
        let other = match *with == self.dataset.name {
            true => tally.sum(with_column),
            false => match self.kept_sum(with, with_column).await? {
                Some(sum) => sum,
                None => self.asked_sum(with, with_column).await?,
            },
        };
        let exact = matches!((own, other), (Sum::Exact(..), Sum::Exact(..)));
        let tolerance = if exact { check.tolerance } else { check.tolerance.max(FLOAT_TOLERANCE) };
        let what = format!("sum of `{column}`");
        Ok(outcome::equal(&what, &own.amount(), &other.amount(), own.difference(other), tolerance))
    }

    /// The sum of a column of another table, moved on from the last audit; none where it must be asked for: of a view,
    /// and where nothing can be kept.
    async fn kept_sum(&self, with: &DatasetName, column: &str) -> Result<Option<Sum>, ProcessError> {
        let Some(other) = self.engine.project().dataset(with).filter(|other| other.materialized()) else {
            return Ok(None);
        };
        let failed = || format!("reading `{with}`");
        let table = self.engine.lake().table(TableId::of(other));
        if table.refresh().await.map_err(ProcessError::lake(failed()))?.is_none() {
            return Ok(None);
        }
        let read = table.read(ReadAt::Latest).await.map_err(ProcessError::lake(failed()))?;
        let subject = Subject { version: Some(read.version), ..Subject::unversioned(read.provider) };
        let Some(columns) = self.engine.columns().await.get(with) else { return Ok(None) };
        let rule = CheckRule::Reconcile {
            column: Some(column.to_owned()),
            with: self.dataset.name.clone(),
            with_column: None,
        };
        let check = Check {
            name: "sum".to_owned(),
            description: None,
            owner: String::new(),
            severity: CheckSeverity::Warn,
            tolerance: 0.0,
            rule,
        };
        let summed = Dataset { checks: vec![check], ..other.clone() };
        let (scan, _) = Scan::compile(&summed, columns);
        let own = self.engine.lake().table(TableId::of(self.dataset));
        let folder = folder_of_sum(with, column);
        let beside = Beside { table: &own, folder: &folder };
        // Nothing is kept beside a table that is not there yet.
        if self.subject.version.is_none() && self.subject.change.is_none() {
            return Ok(None);
        }
        let tally = tally_in(self.engine, &summed, &subject, &scan, &beside).await?;
        Ok(Some(tally.sum(column)))
    }

    /// The sum of a column of a dataset, by a query. The column is read, and added up here: what the engine adds up may
    /// go round at the end of its type.
    async fn asked_sum(&self, with: &DatasetName, column: &str) -> Result<Sum, ProcessError> {
        let plan = self.state.create_logical_plan(&format!("SELECT \"{column}\" FROM {with}")).await?;
        let physical = self.state.create_physical_plan(&plan).await?;
        let mut batches = execute_stream(physical, self.state.task_ctx())?;
        let mut all: Option<Sum> = None;
        while let Some(batch) = batches.try_next().await? {
            let part = sum(batch.column(0))?;
            all = Some(all.map_or(part, |all| all.add(part)));
        }
        Ok(all.unwrap_or(Sum::none()))
    }

    /// The rows of the audited table.
    pub async fn rows(&self) -> Result<u64, ProcessError> {
        if let Some(change) = &self.subject.change {
            let goes = change.goes_rows.get_or_try_init(|| self.goes(change)).await?;
            return Ok((change.rows + change.comes_rows).saturating_sub(*goes));
        }
        let count = self.number(&format!("SELECT count(*) FROM {}", self.dataset.name)).await?;
        Ok(count.unwrap_or(0.0) as u64)
    }

    /// How many rows go with a change.
    async fn goes(&self, change: &Uncommitted) -> Result<u64, ProcessError> {
        let Some(goes) = &change.goes else { return Ok(0) };
        let plan = LogicalPlanBuilder::scan("goes", provider_as_source(Arc::clone(goes)), None)?;
        let plan = plan.aggregate(Vec::<Expr>::new(), vec![count(lit(1i64))])?.build()?;
        let physical = self.state.create_physical_plan(&plan).await?;
        let batches = collect(physical, self.state.task_ctx()).await?;
        let counted =
            |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().first().copied();
        Ok(batches.iter().find_map(counted).map_or(0, i64::unsigned_abs))
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
        let shown = |batch: &RecordBatch, row: usize| shown(self.dataset, columns, batch.columns(), row);
        let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| shown(batch, row)));
        Ok(rows.take(EXAMPLES as usize).collect())
    }
}

/// The values of a row as they are shown: those of personal data are not.
pub(super) fn shown(dataset: &Dataset, columns: &[String], values: &[ArrayRef], row: usize) -> String {
    let personal = |name: &String| dataset.column(name).is_some_and(|column| column.pii.is_some());
    let values = columns.iter().zip(values).map(|(name, values)| match personal(name) {
        true => "***".to_owned(),
        false => array_value_to_string(values, row).unwrap_or_default().chars().take(60).collect(),
    });
    values.collect::<Vec<_>>().join(", ")
}

/// Where the sum of a column of another table is kept: columns have names that folders cannot.
pub(super) fn folder_of_sum(with: &DatasetName, column: &str) -> String {
    let column: String = column.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{FOLDER}/sums/{with}-{column}")
}

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

fn not_null(table: &str, columns: &[String]) -> String {
    let each = columns.iter().map(|column| format!("{table}\"{column}\" IS NOT NULL"));
    each.collect::<Vec<_>>().join(" AND ")
}
