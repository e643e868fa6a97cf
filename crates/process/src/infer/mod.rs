//! What the SQL of each dataset gives: its columns and its plan, found by planning it over empty tables.
//!
//! Owns: the columns of SQL datasets, and every problem that planning finds, of queries of checks as well. Does not own: names of datasets
//! (`graph`), what makes a materialization hold (`upkeep`), rows.

mod checks;
mod contract;
mod diagnose;
mod nullness;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::common::Column as ColumnRef;
use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::sql::sqlparser::ast::{Query, Statement};
use flowline_lake::{Table, arrow_types};
use flowline_model::{Column, Dataset, DatasetName, Materialization, Origin, Plan, SqlOrigin};

use crate::CATALOG;
use crate::engine::base::{base_state, empty_catalogs};
use crate::error::words;
use crate::graph::Graph;
use crate::problem::{Fault, Place, SqlProblem};
use crate::sql::{Edition, parse_query};
use crate::upkeep::InText;
use crate::{in_log, stream, upkeep};

pub(crate) use diagnose::{Unplanned, plan_statement};

/// What was found out about the datasets of a plan.
#[derive(Default)]
pub(crate) struct Inferred {
    /// The contract's columns of each dataset: declared, or of its SQL. Missing where neither can be had.
    pub columns: BTreeMap<DatasetName, Vec<Column>>,
    /// The plan of the SQL of each dataset that has one, over empty tables, views inlined.
    pub plans: BTreeMap<DatasetName, LogicalPlan>,
    /// What is wrong.
    pub problems: Vec<SqlProblem>,
}

/// Plans the SQL of all datasets, `thoroughly` as far as running it would. One that is broken hides no other: those
/// behind it are planned over its declared columns when it has some, and left out when it has none.
pub(crate) async fn infer(plan: &Plan, graph: &Graph, thoroughly: bool) -> Inferred {
    infer_over(EmptyTables::new(plan, thoroughly), plan, graph).await
}

/// The same with views as tables, so that the plan of a dataset names what its SQL names.
pub(crate) async fn infer_apart(plan: &Plan, graph: &Graph) -> Inferred {
    let tables = EmptyTables { inlined: false, ..EmptyTables::new(plan, false) };
    infer_over(tables, plan, graph).await
}

async fn infer_over(tables: EmptyTables, plan: &Plan, graph: &Graph) -> Inferred {
    let mut inferred = Inferred::default();
    for name in graph.order() {
        let Some(dataset) = plan.dataset(name) else { continue };
        let Origin::Sql(sql) = &dataset.origin else {
            tables.add(dataset, &dataset.columns, None);
            inferred.columns.insert(name.clone(), dataset.columns.clone());
            continue;
        };
        // A name that stands for nothing is told by the graph, and the planner could say no more than that.
        let known =
            graph.inputs(name).complete && graph.inputs(name).named.iter().all(|input| tables.has(input));
        let planned =
            if known { tables.plan((plan, graph), dataset, sql, &mut inferred.problems).await } else { None };
        let columns = match planned {
            Some((columns, logical)) => {
                tables.add(dataset, &columns, Some(&logical));
                inferred.plans.insert(name.clone(), logical);
                columns
            }
            None if dataset.columns.is_empty() => continue,
            None => {
                tables.add(dataset, &dataset.columns, None);
                dataset.columns.clone()
            }
        };
        inferred.columns.insert(name.clone(), columns);
    }
    if tables.thoroughly {
        inferred.problems.extend(checks::problems((plan, graph), &tables).await);
    }
    inferred
}

/// The columns of a dataset's table: those of the contract and what Flowline adds.
pub(crate) fn table_schema(dataset: &Dataset, columns: &[Column]) -> SchemaRef {
    if dataset.landed() {
        return arrow_types::landed_schema(dataset);
    }
    let mut fields: Vec<Field> = columns.iter().map(arrow_types::field).collect();
    if dataset.materialized() {
        fields.extend(arrow_types::derived_partition_fields(dataset));
    }
    if dataset.divided() {
        fields.push(Field::new(arrow_types::PARTITION, DataType::Int32, true));
    }
    Arc::new(Schema::new(fields))
}

/// A view's plan with the columns that it declares, in their order and types; as it is when it declares none.
pub(crate) fn as_declared(plan: LogicalPlan, dataset: &Dataset) -> Result<LogicalPlan> {
    if dataset.columns.is_empty() {
        return Ok(plan);
    }
    let exprs = columns_as(&plan, &dataset.columns)?;
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// A plan's columns as those of a contract: by name, in its order and types.
pub(crate) fn columns_as(plan: &LogicalPlan, columns: &[Column]) -> Result<Vec<Expr>> {
    let as_column = |column: &Column| {
        let (field, wanted) = (column_of(plan, &column.name)?, arrow_types::data_type(&column.data_type));
        let is = field.get_type(plan.schema())?;
        Ok(if is == wanted { field } else { cast(field, wanted) }.alias(&column.name))
    };
    columns.iter().map(as_column).collect()
}

/// The column of a plan with this name, whichever table it comes from.
pub(crate) fn column_of(plan: &LogicalPlan, name: &str) -> Result<Expr> {
    let index = plan.schema().fields().iter().position(|field| field.name() == name);
    let index = index.ok_or_else(|| DataFusionError::Plan(format!("the SQL gives no column `{name}`")))?;
    Ok(Expr::Column(ColumnRef::from(plan.schema().qualified_field(index))))
}

/// Tables without rows, one for each dataset, in a session of their own.
struct EmptyTables {
    state: SessionState,
    /// Plans are made down to what runs.
    thoroughly: bool,
    /// Views are read through to what they read.
    inlined: bool,
    domains: BTreeMap<String, Arc<MemorySchemaProvider>>,
}

impl EmptyTables {
    fn new(plan: &Plan, thoroughly: bool) -> Self {
        let catalog = Arc::new(MemoryCatalogProvider::new());
        let mut domains = BTreeMap::new();
        for dataset in &plan.datasets {
            let schema = domains.entry(dataset.name.domain().to_owned()).or_insert_with(Arc::default);
            let schema: Arc<dyn SchemaProvider> = Arc::<MemorySchemaProvider>::clone(schema);
            catalog
                .register_schema(dataset.name.domain(), schema)
                .expect("a memory catalog takes every schema");
        }
        let mut state = base_state(Arc::new(RuntimeEnv::default()));
        let catalogs = empty_catalogs();
        catalogs.register_catalog(CATALOG.to_owned(), catalog);
        state.register_catalog_list(catalogs);
        Self { state, thoroughly, inlined: true, domains }
    }

    fn add(&self, dataset: &Dataset, columns: &[Column], logical: Option<&LogicalPlan>) {
        let table: Arc<dyn datafusion::catalog::TableProvider> = match logical {
            Some(logical) if self.inlined && !dataset.materialized() => {
                let logical = as_declared(logical.clone(), dataset).unwrap_or_else(|_| logical.clone());
                Arc::new(ViewTable::new(logical, None))
            }
            _ => Arc::new(EmptyTable::new(table_schema(dataset, columns))),
        };
        if let Some(domain) = self.domains.get(dataset.name.domain()) {
            let name = dataset.name.name();
            if dataset.materialized() {
                let versions = EmptyTable::new(Table::columns_of_versions(&table.schema()));
                let versions: Arc<dyn datafusion::catalog::TableProvider> = Arc::new(versions);
                for (edition, table) in [(Edition::Now, Arc::clone(&table)), (Edition::Versions, versions)] {
                    domain.register_table(edition.name(name), table).expect("each dataset is added once");
                }
            }
            domain.register_table(dataset.name.name().to_owned(), table).expect("each dataset is added once");
        }
    }

    /// The columns and the plan of one dataset's SQL; none when there is none, with the problems added.
    async fn plan(
        &self,
        (plan, graph): (&Plan, &Graph),
        dataset: &Dataset,
        sql: &SqlOrigin,
        problems: &mut Vec<SqlProblem>,
    ) -> Option<(Vec<Column>, LogicalPlan)> {
        // Text that is not SQL is told by the graph.
        let query = parse_query(&sql.text).ok()?;
        let (faults, found) = match diagnose::plan_query(&self.state, query.clone(), self.thoroughly).await {
            Err(faults) => (faults, None),
            Ok(logical) => {
                let (columns, mut faults) = contract::columns(dataset, &query, &logical);
                if faults.is_empty() {
                    faults.extend(refused((plan, graph), dataset, sql, query, &logical));
                }
                (faults, Some((columns, logical)))
            }
        };
        problems.extend(faults.into_iter().map(|fault| fault.of(dataset, sql)));
        found
    }

    fn has(&self, dataset: &DatasetName) -> bool {
        self.domains.get(dataset.domain()).is_some_and(|domain| domain.table_exist(dataset.name()))
    }
}

/// Why the materialization of a dataset does not hold for its SQL, if it does not.
fn refused(
    (plan, graph): (&Plan, &Graph),
    dataset: &Dataset,
    sql: &SqlOrigin,
    query: Box<Query>,
    logical: &LogicalPlan,
) -> Option<Fault> {
    let landed = |name: &DatasetName| plan.dataset(name).is_some_and(Dataset::landed);
    let decided = match sql.materialization {
        Materialization::Stream => {
            stream::decide(dataset, sql, logical, &|name| plan.dataset(name)).map(|decided| decided.map(drop))
        }
        mode => upkeep::decide(dataset, logical, mode, &landed).map(|decided| {
            let refused = |hop| in_log::refuse_transform(mode, &hop, &|name| plan.dataset(name));
            decided.and_then(|hop| refused(hop).map_or(Ok(()), Err))
        }),
    };
    match decided {
        Ok(Ok(())) => None,
        Ok(Err(refusal)) => {
            let found = match refusal.about.as_deref() {
                Some(InText::Dataset(name)) => in_log::place_of_dataset((plan, graph), &query, name),
                Some(InText::Function(name)) => diagnose::place_of_function(&Statement::Query(query), name),
                Some(InText::Subquery(name)) => diagnose::place_of_subquery(&Statement::Query(query), name),
                None => None,
            };
            Some(refusal.or_at(found).into_fault())
        }
        Err(error) => Some(Fault::new(Place::START, words(&error))),
    }
}
