//! Which of several rows with one key stays.

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use flowline_lake::arrow_types::{INGESTED_AT, OFFSET, PARTITION};
use flowline_model::{Dataset, DatasetName};

use super::refuse::Refusal;

/// Which of several rows with one key stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// The one with the later value of this column of the query, in whatever order they come.
    EventTime(String),
    /// The one that was landed later.
    Landed,
}

/// The stamps that say which row was landed later, in this order.
const STAMPS: [&str; 3] = [INGESTED_AT, PARTITION, OFFSET];

/// What the columns with the stamps are called while they are needed.
pub(crate) const STAMP_COLUMNS: [&str; 3] =
    ["__flowline_stamp_0", "__flowline_stamp_1", "__flowline_stamp_2"];

/// The precedence that a dataset's rows have: its event time, or else the order of landing where the query reads one
/// landed dataset.
pub(super) fn precedence(
    dataset: &Dataset,
    plan: &LogicalPlan,
    scans: &[DatasetName],
    landed: &dyn Fn(&DatasetName) -> bool,
) -> std::result::Result<Precedence, Refusal> {
    if let Some(event_time) = &dataset.event_time {
        let given = plan.schema().fields().iter().any(|field| *field.name() == event_time.column);
        let column = event_time.column.clone();
        return if given {
            Ok(Precedence::EventTime(column))
        } else {
            Err(Refusal::event_time_missing(&column))
        };
    }
    match scans {
        [only] if landed(only) && matches!(with_stamps(plan.clone()), Ok(Some(_))) => Ok(Precedence::Landed),
        _ => Err(Refusal::no_precedence()),
    }
}

/// The query with the stamps of the rows behind its own columns, when they can be taken along: through filters,
/// projections and aliases.
pub(crate) fn with_stamps(plan: LogicalPlan) -> Result<Option<LogicalPlan>> {
    let stamps = STAMP_COLUMNS;
    Ok(match plan {
        LogicalPlan::TableScan(scan) => {
            let own = scan.projected_schema.columns().into_iter().map(Expr::Column);
            let has = |name: &str| scan.projected_schema.has_column_with_unqualified_name(name);
            if !STAMPS.iter().all(|name| has(name)) {
                return Ok(None);
            }
            let taken = STAMPS.iter().zip(stamps).map(|(stamp, name)| {
                Expr::Column(Column::new(Some(scan.table_name.clone()), *stamp))
                    .alias_qualified(Some(scan.table_name.clone()), name)
            });
            let exprs: Vec<Expr> = own.chain(taken).collect();
            Some(LogicalPlanBuilder::from(LogicalPlan::TableScan(scan)).project(exprs)?.build()?)
        }
        LogicalPlan::Filter(filter) => match with_stamps(filter.input.as_ref().clone())? {
            Some(input) => Some(LogicalPlanBuilder::from(input).filter(filter.predicate)?.build()?),
            None => None,
        },
        LogicalPlan::SubqueryAlias(alias) => match with_stamps(alias.input.as_ref().clone())? {
            Some(input) => Some(LogicalPlanBuilder::from(input).alias(alias.alias)?.build()?),
            None => None,
        },
        LogicalPlan::Projection(projection) => match with_stamps(projection.input.as_ref().clone())? {
            Some(input) => {
                let find = |name: &str| {
                    let index = input.schema().fields().iter().position(|field| field.name() == name);
                    index.map(|index| Expr::Column(Column::from(input.schema().qualified_field(index))))
                };
                let taken: Option<Vec<Expr>> = stamps.iter().map(|name| find(name)).collect();
                let Some(taken) = taken else { return Ok(None) };
                let exprs: Vec<Expr> = projection.expr.into_iter().chain(taken).collect();
                Some(LogicalPlanBuilder::from(input).project(exprs)?.build()?)
            }
            None => None,
        },
        _ => None,
    })
}
