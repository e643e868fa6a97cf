//! Keys that are brought up from the rows that the table has of them and what was added, without reading what was read before.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use flowline_lake::{ReadAt, arrow_types};

use super::attempt::{Change, Prepared};
use super::rows::{self, Affected, Sources};
use super::touched::named;
use super::work::{Followed, Work};
use crate::ProcessError;
use crate::infer::columns_as;
use crate::upkeep::{Adding, Additive};

impl Work<'_> {
    /// How the table's rows are put together with those of added rows, where that gives the answer of the query.
    pub(super) async fn additive(&self) -> Result<Option<&Additive>, ProcessError> {
        let Some(additive) = &self.hop.additive else { return Ok(None) };
        let taken_one_by_one = |number: usize| {
            self.changed_input(number).is_none_or(|input| additive.linear[number] && input.only_grew())
        };
        let holds = (0..self.hop.scans.len()).all(taken_one_by_one)
            && !self.attempt.sieve.lock().sets_aside()
            && self.same_types()
            && self.untouched().await?;
        Ok(holds.then_some(additive))
    }

    /// Whether the table has its columns in the types of the query.
    fn same_types(&self) -> bool {
        let (spec, answer) = (self.attempt.spec(), self.hop.plan.schema());
        answer.fields().iter().all(|field| {
            spec.schema.field_with_name(field.name()).is_ok_and(|own| own.data_type() == field.data_type())
        })
    }

    /// Whether no row of the table was changed by anyone else since the last run.
    async fn untouched(&self) -> Result<bool, ProcessError> {
        let attempt = self.attempt;
        let last = attempt.standing.run.as_ref().and_then(|run| run.commit.as_ref());
        let (Some(last), Some(now)) = (last, attempt.table().version()) else { return Ok(false) };
        let since = attempt.table().changes(Some(last.version), now).await;
        Ok(since.map_err(attempt.failed("reading"))?.is_empty())
    }

    /// The rows of the affected keys: what the table has of them, and what the added rows give, put together.
    pub(super) async fn add_up(
        &self,
        additive: &Additive,
        affected: &Affected,
    ) -> Result<Option<Followed>, ProcessError> {
        let attempt = self.attempt;
        let Some(sources) = self.sources_of_added().await? else { return Ok(None) };
        let spec = attempt.spec();
        let Some(new) = of_added(&self.hop.plan, &sources)? else { return Ok(None) };
        let new =
            LogicalPlanBuilder::from(new.clone()).project(columns_as(&new, attempt.columns)?)?.build()?;
        let keys = as_table(&spec.schema, &attempt.dataset.key, affected)?;
        let there = attempt.table().provider(ReadAt::Latest).await.map_err(attempt.failed("reading"))?;
        let there = LogicalPlanBuilder::scan("there", provider_as_source(there), None)?.build()?;
        let there = match attempt.part() {
            Some(partition) => LogicalPlanBuilder::from(there)
                .filter(named(arrow_types::PARTITION).eq(lit(partition)))?
                .build()?,
            None => there,
        };
        let there = self.of_keys(there, &keys)?;
        let columns = new.schema().fields().iter().map(|field| named(field.name()));
        let there = LogicalPlanBuilder::from(there).project(columns.collect::<Vec<_>>())?.build()?;
        let plan = together(new, there, &self.adding(additive))?;
        let plan = rows::output(plan, attempt.dataset, attempt.columns, attempt.part())?;
        let (merge, ran) = self.stage_merge(plan, &affected.values).await?;
        let counts = self.counts_of_added(&ran, merge.rows(), merge.bytes());
        Ok(Some(Followed::prepared(Prepared {
            change: Change::Merge(merge),
            how: format!("merge: {} keys added up", affected.count),
            counts,
            event_time_max: ran.event_time_max,
            stream: None,
            findings: Vec::new(),
        })))
    }

    /// How each of the contract's columns is put together.
    fn adding(&self, additive: &Additive) -> Vec<Adding> {
        let fields = self.hop.plan.schema().fields();
        let of = |name: &str| {
            let index = fields.iter().position(|field| field.name() == name);
            index.and_then(|index| additive.columns.get(index)).copied()
        };
        self.attempt.columns.iter().filter_map(|column| of(&column.name)).collect()
    }

    /// The rows of the table that have one of these keys.
    fn of_keys(&self, there: LogicalPlan, keys: &Affected) -> Result<LogicalPlan, ProcessError> {
        let columns = there.schema().columns();
        let key = self.attempt.dataset.key.iter();
        let terms: Vec<Expr> = key
            .filter_map(|name| columns.iter().find(|column| column.name == *name))
            .map(|column| Expr::Column(column.clone()))
            .collect();
        Ok(rows::having(there, &terms, None, keys)?)
    }
}

/// What the query gives for the rows that were added alone; none where nothing was.
fn of_added(plan: &LogicalPlan, sources: &Sources) -> Result<Option<LogicalPlan>> {
    let input = match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let parts = rows::added(&aggregate.input, sources)?;
            let schema = aggregate.input.schema();
            rows::together(parts)?.map(|input| rows::called(input, schema)).transpose()?
        }
        other => match other.inputs().as_slice() {
            [input] => of_added(input, sources)?,
            _ => None,
        },
    };
    input.map(|input| plan.with_new_exprs(plan.expressions(), vec![input])).transpose()
}

/// One row for each key of both.
fn together(new: LogicalPlan, there: LogicalPlan, adding: &[Adding]) -> Result<LogicalPlan> {
    let both = LogicalPlanBuilder::from(new).union(there)?.build()?;
    let columns = || both.schema().columns().into_iter().zip(adding);
    let name = |column: &datafusion::common::Column| column.name.clone();
    let keys = columns().filter(|(_, adding)| **adding == Adding::Key);
    let keys: Vec<Expr> = keys.map(|(column, _)| Expr::Column(column)).collect();
    let values = columns().filter_map(|(column, adding)| {
        let called = name(&column);
        Some(adding.together(Expr::Column(column))?.alias(called))
    });
    let values: Vec<Expr> = values.collect();
    LogicalPlanBuilder::from(both).aggregate(keys, values)?.build()
}

/// The keys in the types of the table's columns.
fn as_table(table: &Schema, names: &[String], affected: &Affected) -> Result<Affected> {
    let kinds = names.iter().map(|name| Ok(table.field_with_name(name)?.data_type().clone()));
    let kinds: Vec<DataType> = kinds.collect::<Result<_>>()?;
    let typed = affected.values.iter().map(|batch| {
        let columns = batch.columns().iter().zip(&kinds).map(|(column, kind)| cast(column, kind));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let fields = batch.schema_ref().fields().iter().zip(&kinds);
        let fields: Vec<Field> =
            fields.map(|(field, kind)| Field::new(field.name(), kind.clone(), true)).collect();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    });
    Ok(Affected { values: typed.collect::<Result<_>>()?, count: affected.count })
}
