//! The catalog: one schema for each domain, and those that were added.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::TableType;
use flowline_model::DatasetName;

use super::base::{DEFAULT_SCHEMA, empty_catalogs};
use super::{QueryEngine, Resolver};
use crate::CATALOG;
use crate::sql::Edition;

/// The catalogs of one session: ours alone.
pub(super) fn catalogs(engine: &QueryEngine, resolver: &Arc<Resolver>) -> Arc<dyn CatalogProviderList> {
    let mut schemas: BTreeMap<String, Arc<dyn SchemaProvider>> = BTreeMap::new();
    let names = engine.project().datasets.iter().map(|dataset| dataset.name.domain());
    for domain in names.chain([DEFAULT_SCHEMA]) {
        let schema = Domain { domain: domain.to_owned(), resolver: Arc::clone(resolver) };
        schemas.entry(domain.to_owned()).or_insert_with(|| Arc::new(schema));
    }
    for (name, schema) in engine.inner.extra.read().iter() {
        schemas.insert(name.clone(), Arc::clone(schema));
    }
    let catalogs = empty_catalogs();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(Domains { schemas }));
    catalogs
}

#[derive(Debug)]
struct Domains {
    schemas: BTreeMap<String, Arc<dyn SchemaProvider>>,
}

impl CatalogProvider for Domains {
    fn schema_names(&self) -> Vec<String> {
        self.schemas.keys().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.schemas.get(name).cloned()
    }
}

/// The datasets of one domain.
struct Domain {
    domain: String,
    resolver: Arc<Resolver>,
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl Domain {
    fn dataset(&self, name: &str) -> Option<(DatasetName, Edition)> {
        let (name, edition) = Edition::of(name);
        let name = DatasetName::new(&self.domain, name).ok()?;
        self.resolver.plan().dataset(&name).map(|dataset| (dataset.name.clone(), edition))
    }
}

#[async_trait]
impl SchemaProvider for Domain {
    fn table_names(&self) -> Vec<String> {
        let of_domain =
            self.resolver.plan().datasets.iter().filter(|dataset| dataset.name.domain() == self.domain);
        of_domain.map(|dataset| dataset.name.name().to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some((dataset, edition)) = self.dataset(name) else { return Ok(None) };
        let table = match edition {
            Edition::Table | Edition::Now => self.resolver.table(&dataset).await,
            Edition::Versions => self.resolver.versions(&dataset).await,
            Edition::State(number) => self.resolver.state(&dataset, number).await,
        };
        table.map(Some).map_err(|error| DataFusionError::External(Box::new(error)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        let Some((dataset, _)) = self.dataset(name) else { return Ok(None) };
        let materialized =
            self.resolver.plan().dataset(&dataset).is_some_and(|dataset| dataset.materialized());
        Ok(Some(if materialized { TableType::Base } else { TableType::View }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.dataset(name).is_some()
    }
}
