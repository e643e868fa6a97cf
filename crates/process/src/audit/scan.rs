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
use flowline_quality::outcome::Amount;
use flowline_quality::{RowRules, RowTally, RuleError, Which};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::wide::Wide;

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
    /// Of whole numbers and decimals with so many digits behind the point.
    Exact(Wide, i8),
    /// Of floating point numbers.
    Float(f64),
}

impl Sum {
    /// The sum of nothing.
    pub fn none() -> Self {
        Self::Exact(Wide::default(), 0)
    }

    /// About the number.
    pub fn value(self) -> f64 {
        match self {
            Self::Exact(sum, scale) => sum.about() / 10f64.powi(i32::from(scale)),
            Self::Float(sum) => sum,
        }
    }

    /// By how much it differs from another one: exactly where both are exact.
    pub fn difference(self, other: Self) -> f64 {
        let exact = || {
            let (Self::Exact(one, scale), Self::Exact(other, other_scale)) = (self, other) else {
                return None;
            };
            let digits = scale.max(other_scale);
            let aligned = |sum: Wide, scale: i8| {
                let factor = 10i128.checked_pow(u32::try_from(digits - scale).ok()?)?;
                match factor {
                    1 => Some(sum),
                    factor => Some(Wide::of(sum.number()?.checked_mul(factor)?)),
                }
            };
            let difference = aligned(one, scale)?.minus(aligned(other, other_scale)?);
            Some(difference.about() / 10f64.powi(i32::from(digits)))
        };
        exact().unwrap_or_else(|| self.value() - other.value())
    }

    /// As it is told: with all its digits where it is exact.
    pub fn amount(self) -> Amount {
        let Self::Exact(sum, scale) = self else { return Amount::from(self.value()) };
        match sum.number() {
            Some(sum) if scale > 0 => {
                let places = scale.unsigned_abs() as usize;
                let digits = format!("{:0width$}", sum.unsigned_abs(), width = places + 1);
                let (whole, part) = digits.split_at(digits.len() - places);
                let (sign, part) = (if sum < 0 { "-" } else { "" }, part.trim_end_matches('0'));
                let point = if part.is_empty() { "" } else { "." };
                Amount { value: self.value(), text: format!("{sign}{whole}{point}{part}") }
            }
            Some(sum) if scale == 0 => Amount { value: self.value(), text: sum.to_string() },
            _ => Amount::from(self.value()),
        }
    }

    pub(super) fn add(self, other: Self) -> Self {
        match (self, other) {
            // Sums of one column: their scale is that of its type.
            (Self::Exact(one, scale), Self::Exact(other, other_scale)) if scale == other_scale => {
                Self::Exact(one.plus(other), scale)
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

    /// The same without rows that are gone; none where that cannot be told: of floating point numbers, and when the
    /// newest rows are among them.
    pub(super) fn without(&self, gone: &Self) -> Option<Self> {
        let mut left = self.clone();
        left.rows.rows = left.rows.rows.checked_sub(gone.rows.rows)?;
        if gone
            .newest
            .iter()
            .any(|(column, newest)| left.newest.get(column).is_none_or(|left| left <= newest))
        {
            return None;
        }
        for (column, sum) in &gone.sums {
            let own = left.sums.get_mut(column)?;
            let (Sum::Exact(all, scale), Sum::Exact(gone, other_scale)) = (*own, *sum) else { return None };
            if scale != other_scale {
                return None;
            }
            *own = Sum::Exact(all.minus(gone), scale);
        }
        Some(left)
    }

    /// The sum of a column.
    pub(super) fn sum(&self, column: &str) -> Sum {
        self.sums.get(column).copied().unwrap_or(Sum::none())
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
                CheckRule::Reconcile { column: Some(column), with, with_column } => {
                    summed.insert(column.as_str());
                    // A table that is held against itself: the other column as well.
                    summed.extend(with_column.as_deref().filter(|_| *with == dataset.name));
                }
                CheckRule::Freshness { column: Some(column), .. } => drop(newest.insert(column.as_str())),
                _ => {}
            }
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

    /// Whether nothing is counted of single rows, so that rows can be taken away again.
    pub(super) fn adds_up(&self) -> bool {
        self.rules.is_empty()
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

pub(super) fn sum(values: &ArrayRef) -> Result<Sum> {
    Ok(match values.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let values = cast(values, &DataType::Int64)?;
            let values = values.as_primitive::<Int64Type>();
            Sum::Exact(values.iter().flatten().map(i128::from).collect(), 0)
        }
        DataType::Decimal128(_, scale) => {
            let decimals = values.as_primitive::<Decimal128Type>();
            Sum::Exact(decimals.iter().flatten().collect(), *scale)
        }
        kind if kind.is_numeric() => {
            let values = cast(values, &DataType::Float64)?;
            Sum::Float(arrow::compute::sum(values.as_primitive::<Float64Type>()).unwrap_or(0.0))
        }
        other => return Err(DataFusionError::Plan(format!("values of type {other} have no sum"))),
    })
}
