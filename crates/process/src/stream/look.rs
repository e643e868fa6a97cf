//! What a stream holds between its runs, as a table: the aggregates of its open windows as far as rows have come.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::union::UnionExec;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::Statement;
use flowline_lake::{TableId, arrow_types};
use flowline_model::{DatasetName, Emit, Origin};

use super::partial::{Bins, Kept, Partials, Source, Stored, kept};
use super::{StreamPlan, StreamQuery, decide};
use crate::ProcessError;
use crate::engine::{QueryEngine, Resolver};
use crate::infer::plan_statement;
use crate::sql::parse_query;
use crate::transform::{last_standing, parts_in};

/// What the aggregate with this number (from 1 on) of a stream holds as of its last run: a row for each group and open
/// window, with the columns of the aggregate; of a divided stream those of all parts, and `_partition`. Reads the last commit; the files of the state when it is scanned.
///
/// # Errors
/// [`ProcessError::NothingHeld`] of a dataset that holds nothing between runs.
pub(crate) async fn look(
    engine: &QueryEngine,
    resolver: &Arc<Resolver>,
    name: &DatasetName,
    number: u16,
) -> std::result::Result<Arc<dyn TableProvider>, ProcessError> {
    let nothing = |reason: String| ProcessError::NothingHeld { dataset: name.clone(), reason };
    let state = engine.state_with(resolver);
    let query = query_of(engine, &state, name).await?;
    if query.emit == Emit::OnChange {
        return Err(nothing("with `emit: on_change` its table has all of it".to_owned()));
    }
    let all = kept(&query)?;
    let mut distinct = all.iter().enumerate().filter(|(index, _)| Kept::first_like(&all, *index) == *index);
    let place = usize::from(number).saturating_sub(1);
    let count = distinct.clone().count();
    if count == 0 {
        return Err(nothing("the rows of its open windows are read again from its inputs".to_owned()));
    }
    let Some((_, one)) = distinct.nth(place) else {
        return Err(nothing(format!("it has {count} aggregates of windows, and no number {number}")));
    };
    let dataset = engine.project().dataset(name).ok_or_else(|| ProcessError::NoDataset(name.clone()))?;
    let table = engine.lake().table(TableId::of(dataset));
    let input = resolver.table(&query.scans[one.scan].dataset).await?.schema();
    let bins = Partials::new(one, &state, Arc::clone(&input)).await?.place();
    let mut parts = parts_in(&table, dataset).await?;
    if parts.is_empty() {
        // None has committed yet: what they will hold has columns already.
        parts.push(Some(0));
    }
    let mut open = Vec::new();
    for part in parts {
        let standing =
            last_standing(&table, name, part).await?.and_then(|(_, stream)| stream).unwrap_or_default();
        let layers = standing.kept.get(place);
        if layers.is_some_and(|layers| !layers.understood()) {
            return Err(nothing(
                "another version of Flowline wrote it; the next run computes it anew".to_owned(),
            ));
        }
        let segments = layers.iter().flat_map(|layers| layers.segments()).cloned().collect();
        let source = Source {
            stored: Stored { table: table.clone(), segments, place: bins, lost: Arc::default() },
            fresh: None,
            bins: Bins { spec: one.spec, after: standing.watermark, until: None },
        };
        let (kept, input, state) = (one.clone(), Arc::clone(&input), state.clone());
        open.push(OpenRows { kept, part, input, source, state });
    }
    let schema = together(&open).await?.schema();
    Ok(Arc::new(OpenWindows { open, schema }))
}

/// The query of a stream whose rows are written window by window.
async fn query_of(
    engine: &QueryEngine,
    state: &SessionState,
    name: &DatasetName,
) -> std::result::Result<StreamQuery, ProcessError> {
    let nothing =
        |reason: &str| ProcessError::NothingHeld { dataset: name.clone(), reason: reason.to_owned() };
    let dataset = engine.project().dataset(name).ok_or_else(|| ProcessError::NoDataset(name.clone()))?;
    let Origin::Sql(sql) = &dataset.origin else { return Err(nothing("it is no stream")) };
    if !dataset.streams() {
        return Err(nothing("it is no stream"));
    }
    let wrong = |fault: crate::problem::Fault| ProcessError::Project(vec![fault.of(dataset, sql)]);
    let query = parse_query(&sql.text).map_err(wrong)?;
    // Its inputs are planned by the same resolver: the future of this plan may hold theirs.
    let planned = Box::pin(plan_statement(state, Statement::Query(query))).await;
    let plan = planned.map_err(|unplanned| unplanned.of_dataset(dataset, sql))?;
    let decided = decide(dataset, sql, &plan, &|name| engine.project().dataset(name))?;
    match decided.map_err(|refusal| wrong(refusal.into_fault()))? {
        StreamPlan::Windows(query) => Ok(query),
        StreamPlan::Followed(_) => Err(nothing("its rows are written as they come")),
    }
}

/// The aggregates of open windows.
#[derive(Debug)]
struct OpenRows {
    kept: Kept,
    /// Which part of a divided stream holds them.
    part: Option<i32>,
    /// The columns of the rows that they are made from.
    input: SchemaRef,
    source: Source,
    state: SessionState,
}

impl OpenRows {
    /// A plan that gives all columns, by their names. A plan is run once, so that each scan has its own.
    async fn plan(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let partials = Partials::new(&self.kept, &self.state, Arc::clone(&self.input)).await?;
        // Sorted, it needs no more memory than there is, however much is held.
        let rows = partials.closed(self.source.clone(), true)?;
        let schema = rows.schema();
        let columns = schema.fields().iter().enumerate().map(|(index, field)| {
            let alias = self.kept.names.get(index).unwrap_or(field.name()).clone();
            ProjectionExpr { expr: Arc::new(Column::new(field.name(), index)), alias }
        });
        let part = self.part.map(|part| ProjectionExpr {
            expr: Arc::new(Literal::new(ScalarValue::Int32(Some(part)))),
            alias: arrow_types::PARTITION.to_owned(),
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.chain(part), rows)?))
    }
}

/// A plan that gives the rows of all parts.
async fn together(open: &[OpenRows]) -> Result<Arc<dyn ExecutionPlan>> {
    let mut plans = Vec::new();
    for rows in open {
        plans.push(rows.plan().await?);
    }
    UnionExec::try_new(plans)
}

/// The same as a table.
#[derive(Debug)]
struct OpenWindows {
    /// One of a stream that is not divided.
    open: Vec<OpenRows>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for OpenWindows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = together(&self.open).await?;
        let Some(wanted) = projection else { return Ok(plan) };
        let columns = wanted.iter().map(|index| {
            let name = self.schema.field(*index).name();
            ProjectionExpr { expr: Arc::new(Column::new(name, *index)), alias: name.clone() }
        });
        Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
    }
}
