//! The one scan: everything that can be counted row by row, over only the columns that are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::common::runtime::JoinSet;
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::{ExecutionPlan, execute_stream_partitioned};
use flowline_lake::arrow_types;
use flowline_model::{CheckRule, Column, Dataset};
use flowline_quality::{RowRules, RowTally, RuleError, Which};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

/// Whether a check is answered by the scan.
pub(super) fn answers(rule: &CheckRule) -> bool {
    rule.by_row()
        || matches!(
            rule,
            CheckRule::Freshness { column: Some(_), .. } | CheckRule::Reconcile { column: Some(_), .. }
        )
}

/// What one scan of a table counts.
#[derive(Debug, Clone)]
pub struct Scan {
    rules: RowRules,
    /// The columns that are read, in the order in which the rules know them.
    columns: Vec<String>,
    summed: Vec<usize>,
    newest: Vec<usize>,
}

/// What a scan counted. Tallies of parts of a table add up to that of the whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScanTally {
    /// Rows that fail.
    pub rows: RowTally,
    /// Sums of columns.
    pub sums: BTreeMap<String, Sum>,
    /// The newest time in columns, microseconds.
    pub newest: BTreeMap<String, i64>,
}

/// A sum: exact where the values are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sum {
    /// Of whole numbers and decimals with so many digits behind the point; none when it is out of range.
    Exact(Option<i128>, i8),
    /// Of floating point numbers.
    Float(f64),
}

impl Sum {
    /// As a number; what is out of range is none.
    pub fn value(self) -> f64 {
        match self {
            Self::Exact(Some(sum), scale) => sum as f64 / 10f64.powi(i32::from(scale)),
            Self::Exact(None, _) => f64::NAN,
            Self::Float(sum) => sum,
        }
    }

    fn add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Exact(one, scale), Self::Exact(other, _)) => {
                Self::Exact(one.zip(other).and_then(|(one, other)| one.checked_add(other)), scale)
            }
            (one, other) => Self::Float(one.value() + other.value()),
        }
    }
}

impl ScanTally {
    /// Adds what a scan of other rows counted.
    pub fn add(&mut self, other: &Self) {
        self.rows.add(&other.rows);
        for (column, sum) in &other.sums {
            let own = self.sums.entry(column.clone());
            own.and_modify(|own| *own = own.add(*sum)).or_insert(*sum);
        }
        for (column, newest) in &other.newest {
            let own = self.newest.entry(column.clone()).or_insert(*newest);
            *own = (*own).max(*newest);
        }
    }

    /// The newest time in a column.
    pub(super) fn newest(&self, column: &str) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(*self.newest.get(column)?)
    }
}

impl Scan {
    /// The scan that the checks of a dataset need over these columns, and what is wrong with checks that have to be
    /// left out.
    pub fn compile(dataset: &Dataset, columns: &[Column]) -> (Self, Vec<RuleError>) {
        let (all, _) = RowRules::usable(dataset, columns, Which::Checks);
        let mut names: BTreeSet<&str> = all
            .columns_used()
            .into_iter()
            .filter_map(|index| Some(columns.get(index)?.name.as_str()))
            .collect();
        let (mut summed, mut newest) = (BTreeSet::new(), BTreeSet::new());
        for check in &dataset.checks {
            match &check.rule {
                CheckRule::Reconcile { column: Some(column), .. } => summed.insert(column.as_str()),
                CheckRule::Freshness { column: Some(column), .. } => newest.insert(column.as_str()),
                _ => false,
            };
        }
        names.extend(&summed);
        names.extend(&newest);
        let read: Vec<Column> =
            columns.iter().filter(|column| names.contains(column.name.as_str())).cloned().collect();
        let (rules, problems) = RowRules::usable(dataset, &read, Which::Checks);
        let place = |name: &&str| read.iter().position(|column| column.name == *name);
        let scan = Self {
            rules,
            summed: summed.iter().filter_map(place).collect(),
            newest: newest.iter().filter_map(place).collect(),
            columns: read.into_iter().map(|column| column.name).collect(),
        };
        (scan, problems)
    }

    /// The rules that rows are held against.
    pub fn rules(&self) -> &RowRules {
        &self.rules
    }

    /// The columns that are read.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The plan: one scan of the table, of the columns that are needed and nothing else.
    pub async fn plan(
        &self,
        state: &SessionState,
        table: Arc<dyn TableProvider>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = table.schema();
        let projection = self.columns.iter().map(|name| Ok(schema.index_of(name)?));
        let projection = projection.collect::<Result<Vec<usize>>>()?;
        let plan =
            LogicalPlanBuilder::scan("audited", provider_as_source(table), Some(projection))?.build()?;
        state.create_physical_plan(&plan).await
    }

    /// Runs the plan, its partitions beside each other.
    pub async fn run(&self, state: &SessionState, table: Arc<dyn TableProvider>) -> Result<ScanTally> {
        let plan = self.plan(state, table).await?;
        let mut parts = JoinSet::new();
        for mut stream in execute_stream_partitioned(plan, state.task_ctx())? {
            let scan = self.clone();
            parts.spawn(async move {
                let mut tally = ScanTally::default();
                while let Some(batch) = stream.next().await.transpose()? {
                    tally.add(&scan.count(&batch)?);
                }
                Ok::<_, DataFusionError>(tally)
            });
        }
        let mut tally = ScanTally::default();
        while let Some(part) = parts.join_next().await {
            tally.add(&part.map_err(|error| DataFusionError::External(Box::new(error)))??);
        }
        Ok(tally)
    }

    /// Counts the rows of a batch that has the columns of the scan.
    fn count(&self, batch: &RecordBatch) -> Result<ScanTally> {
        let mut tally = ScanTally { rows: self.rules.evaluate(batch).tally(), ..ScanTally::default() };
        for index in &self.summed {
            tally.sums.insert(self.columns[*index].clone(), sum(batch.column(*index))?);
        }
        for index in &self.newest {
            let times = cast(batch.column(*index), &arrow_types::timestamp())?;
            if let Some(newest) = arrow::compute::max(times.as_primitive::<TimestampMicrosecondType>()) {
                tally.newest.insert(self.columns[*index].clone(), newest);
            }
        }
        Ok(tally)
    }
}

fn sum(values: &ArrayRef) -> Result<Sum> {
    Ok(match values.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let values = cast(values, &DataType::Int64)?;
            let values = values.as_primitive::<Int64Type>();
            Sum::Exact(Some(values.iter().flatten().map(i128::from).sum()), 0)
        }
        DataType::Decimal128(_, scale) => {
            let decimals = values.as_primitive::<Decimal128Type>();
            Sum::Exact(decimals.iter().flatten().try_fold(0i128, i128::checked_add), *scale)
        }
        kind if kind.is_numeric() => {
            let values = cast(values, &DataType::Float64)?;
            Sum::Float(arrow::compute::sum(values.as_primitive::<Float64Type>()).unwrap_or(0.0))
        }
        other => return Err(DataFusionError::Plan(format!("values of type {other} have no sum"))),
    })
}
