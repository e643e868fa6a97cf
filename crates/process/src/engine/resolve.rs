//! At which version each table of a session is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::Statement;
use flowline_lake::{LakeError, ReadAt, Table, TableId};
use flowline_model::{Dataset, DatasetName, Origin, Plan};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{AsOf, QueryEngine, ReadVersion};
use crate::ProcessError;
use crate::infer::{as_declared, plan_statement, table_schema};
use crate::problem::SqlProblem;
use crate::sql::parse_query;
use crate::stream::look;

/// Which versions a session reads.
#[derive(Debug, Clone)]
pub(crate) enum Pins {
    /// The newest of each table when it is first named.
    Latest,
    /// A version or a time.
    AsOf(AsOf),
    /// These versions; a dataset without one reads empty.
    Versions(BTreeMap<DatasetName, Option<i64>>),
}

/// A table that is found when it is first asked for.
type Found = Arc<OnceCell<Arc<dyn TableProvider>>>;

/// Finds the tables of one session, each once.
pub(crate) struct Resolver {
    engine: QueryEngine,
    pins: Pins,
    tables: Mutex<HashMap<DatasetName, Found>>,
    reads: Mutex<BTreeMap<DatasetName, ReadVersion>>,
    /// See [`Resolver::ask_versions_since`].
    versions_since: Arc<Mutex<Option<DateTime<Utc>>>>,
}

impl Resolver {
    pub fn new(engine: QueryEngine, pins: Pins) -> Arc<Self> {
        Arc::new(Self {
            engine,
            pins,
            tables: Mutex::default(),
            reads: Mutex::default(),
            versions_since: Arc::default(),
        })
    }

    pub fn plan(&self) -> &Plan {
        self.engine.project()
    }

    /// The versions that were resolved so far.
    pub fn reads(&self) -> Vec<ReadVersion> {
        self.reads.lock().values().cloned().collect()
    }

    /// Puts a table in the place of a dataset's own, before it is first asked for.
    pub fn put(&self, name: &DatasetName, table: Arc<dyn TableProvider>) {
        self.tables.lock().insert(name.clone(), Arc::new(OnceCell::new_with(Some(table))));
    }

    /// The table of a dataset of the plan, the same one each time.
    pub async fn table(self: &Arc<Self>, name: &DatasetName) -> Result<Arc<dyn TableProvider>, ProcessError> {
        let cell = Arc::clone(self.tables.lock().entry(name.clone()).or_default());
        cell.get_or_try_init(|| self.resolve(name)).await.cloned()
    }

    /// From when on the versions of tables are asked for by what is planned from now on: what is joined has no earlier
    /// times. All that are kept when it is not said.
    pub fn ask_versions_since(&self, since: Option<i64>) {
        *self.versions_since.lock() = since.and_then(DateTime::from_timestamp_micros);
    }

    /// The rows of all versions of a dataset's table up to the one that is read, with the time in which they were there.
    pub async fn versions(
        self: &Arc<Self>,
        name: &DatasetName,
    ) -> Result<Arc<dyn TableProvider>, ProcessError> {
        let dataset = self.plan().dataset(name).ok_or_else(|| ProcessError::NoHop(name.clone()))?;
        if !dataset.materialized() {
            return Err(ProcessError::AsOf(no_versions(name)));
        }
        let read = self.table(name).await?;
        let schema = Table::columns_of_versions(&read.schema());
        let version = self.reads.lock().get(name).and_then(|read| read.version);
        match version {
            Some(upto) => {
                let table = self.engine.lake().table(TableId::of(dataset));
                let since = Arc::clone(&self.versions_since);
                Ok(Arc::new(Versions { table, upto, since, schema }))
            }
            None => Ok(Arc::new(EmptyTable::new(schema))),
        }
    }

    /// What a stream holds of its open windows, as of its last run: that of its aggregate with this number, from 1 on.
    pub async fn state(
        self: &Arc<Self>,
        name: &DatasetName,
        number: u16,
    ) -> Result<Arc<dyn TableProvider>, ProcessError> {
        if !matches!(self.pins, Pins::Latest) {
            let reason = "only what it holds now is known; leave out `as of`".to_owned();
            return Err(ProcessError::NothingHeld { dataset: name.clone(), reason });
        }
        look(&self.engine, self, name, number).await
    }

    async fn resolve(self: &Arc<Self>, name: &DatasetName) -> Result<Arc<dyn TableProvider>, ProcessError> {
        let dataset = self.plan().dataset(name).ok_or_else(|| ProcessError::NoHop(name.clone()))?;
        if !dataset.materialized() {
            return self.view(dataset).await;
        }
        let at = match &self.pins {
            Pins::Latest => ReadAt::Latest,
            Pins::AsOf(AsOf::Version(version)) => {
                self.only_table(name)?;
                ReadAt::Version(*version)
            }
            Pins::AsOf(AsOf::Time(time)) => ReadAt::Time(*time),
            Pins::Versions(versions) => match versions.get(name).copied().flatten() {
                Some(version) => ReadAt::Version(version),
                None => return self.empty(dataset).await,
            },
        };
        self.read(dataset, at).await
    }

    async fn read(&self, dataset: &Dataset, at: ReadAt) -> Result<Arc<dyn TableProvider>, ProcessError> {
        let name = &dataset.name;
        let table: Table = self.engine.table(dataset);
        let failed = |source| ProcessError::Lake { action: format!("reading `{name}`"), source };
        if at == ReadAt::Latest && table.refresh().await.map_err(failed)?.is_none() {
            return self.empty(dataset).await;
        }
        if dataset.kept_in_log() && !table.reads_elsewhere() {
            return Err(failed(table.out_of_reach()));
        }
        match table.read(at).await {
            Ok(read) => {
                let (version, committed_at) = (Some(read.version), Some(read.committed_at));
                self.note(ReadVersion { dataset: name.clone(), version, committed_at });
                Ok(read.provider)
            }
            // At that time there was no table yet.
            Err(LakeError::NotFound { .. }) if matches!(at, ReadAt::Time(_)) => self.empty(dataset).await,
            Err(source) => Err(failed(source)),
        }
    }

    /// A dataset whose table does not exist has its columns and no rows.
    async fn empty(&self, dataset: &Dataset) -> Result<Arc<dyn TableProvider>, ProcessError> {
        let Some(columns) = self.engine.columns().await.get(&dataset.name) else {
            return Err(self.broken(&dataset.name).await);
        };
        self.note(ReadVersion { dataset: dataset.name.clone(), version: None, committed_at: None });
        Ok(Arc::new(EmptyTable::new(table_schema(dataset, columns))))
    }

    fn note(&self, read: ReadVersion) {
        self.reads.lock().insert(read.dataset.clone(), read);
    }

    async fn broken(&self, name: &DatasetName) -> ProcessError {
        let problems: Vec<SqlProblem> = self.engine.problems_of(name).await;
        if problems.is_empty() {
            return ProcessError::Engine(format!(
                "the columns of `{name}` are not known, since a dataset that it reads is broken"
            ));
        }
        ProcessError::Project(problems)
    }

    /// A version counts the commits of one table; of two tables it means nothing.
    fn only_table(&self, name: &DatasetName) -> Result<(), ProcessError> {
        match self.reads.lock().keys().find(|read| *read != name) {
            Some(other) => {
                let (one, two) = (other.min(name), other.max(name));
                Err(ProcessError::AsOf(format!(
                    "a version belongs to one table, but this query reads `{one}` and `{two}`; give a time instead"
                )))
            }
            None => Ok(()),
        }
    }

    /// A view is its query, planned over this session's tables.
    async fn view(self: &Arc<Self>, dataset: &Dataset) -> Result<Arc<dyn TableProvider>, ProcessError> {
        let Origin::Sql(sql) = &dataset.origin else { return Err(ProcessError::NoHop(dataset.name.clone())) };
        let graph = self.engine.graph();
        if !graph.inputs(&dataset.name).complete || !graph.order().contains(&dataset.name) {
            return Err(self.broken(&dataset.name).await);
        }
        let state = self.engine.state_with(self);
        let query = parse_query(&sql.text)?;
        // Views in views: the future of this one holds that of the next, so it is put on the heap.
        let planned = Box::pin(plan_statement(&state, Statement::Query(query))).await;
        let plan = planned.map_err(|unplanned| unplanned.of_dataset(dataset, sql))?;
        let plan = as_declared(plan, dataset)?;
        Ok(Arc::new(ViewTable::new(plan, Some(sql.text.clone()))))
    }
}

/// Why a view cannot be read as of a time.
pub(crate) fn no_versions(name: &DatasetName) -> String {
    format!("`{name}` is a view, which has no versions; name the tables that it reads")
}

/// The rows of all versions of a table, found when they are scanned: only then it is known since when.
#[derive(Debug)]
struct Versions {
    table: Table,
    upto: i64,
    since: Arc<Mutex<Option<DateTime<Utc>>>>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Versions {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let since = *self.since.lock();
        let rows = self.table.provider_of_versions(since, self.upto).await;
        rows.map_err(|error| DataFusionError::External(Box::new(error)))?
            .scan(state, projection, filters, limit)
            .await
    }
}
