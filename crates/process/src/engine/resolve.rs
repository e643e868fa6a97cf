//! At which version each table of a session is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
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
}

impl Resolver {
    pub fn new(engine: QueryEngine, pins: Pins) -> Arc<Self> {
        Arc::new(Self { engine, pins, tables: Mutex::default(), reads: Mutex::default() })
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
        let table: Table = self.engine.lake().table(TableId::of(dataset));
        let failed = |source| ProcessError::Lake { action: format!("reading `{name}`"), source };
        if at == ReadAt::Latest && table.refresh().await.map_err(failed)?.is_none() {
            return self.empty(dataset).await;
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
