//! The schema `quarantine`: the rejected records of each landed dataset, the late rows of each stream and the rows of
//! transforms that fail a check, as the table `"domain.name"`.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result};
use flowline_lake::{Lake, ReadAt, TableId, arrow_types};
use flowline_model::{DatasetName, Plan};

/// The quarantine tables of a plan, read at their newest version; one that does not exist yet is empty.
#[derive(Debug)]
pub struct QuarantineSchema {
    datasets: BTreeSet<DatasetName>,
    lake: Lake,
}

impl QuarantineSchema {
    /// The quarantine of every dataset of the plan that has one.
    pub fn new(plan: &Plan, lake: Lake) -> Self {
        let landed = plan.datasets.iter().filter(|dataset| dataset.sets_aside());
        Self { datasets: landed.map(|dataset| dataset.name.clone()).collect(), lake }
    }

    fn find(&self, name: &str) -> Option<&DatasetName> {
        name.parse::<DatasetName>().ok().and_then(|name| self.datasets.get(&name))
    }
}

#[async_trait]
impl SchemaProvider for QuarantineSchema {
    fn table_names(&self) -> Vec<String> {
        self.datasets.iter().map(ToString::to_string).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(dataset) = self.find(name) else { return Ok(None) };
        let table = self.lake.table(TableId::quarantine(dataset.clone()));
        let external = |error| DataFusionError::External(Box::new(error));
        if table.refresh().await.map_err(external)?.is_none() {
            return Ok(Some(Arc::new(EmptyTable::new(arrow_types::quarantine_schema()))));
        }
        table.provider(ReadAt::Latest).await.map(Some).map_err(external)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}
