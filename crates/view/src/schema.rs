//! The schema `system`.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use flowline_base::SharedClock;
use flowline_ledger::Ledger;

use crate::LiveStatus;
use crate::row::SystemRow;
use crate::table::{Provider, SystemTable};
use crate::tables::attempts::Attempts;
use crate::tables::checks::Checks;
use crate::tables::columns::Columns;
use crate::tables::commits::Commits;
use crate::tables::contracts::Contracts;
use crate::tables::counts::Counts;
use crate::tables::datasets::Datasets;
use crate::tables::findings::Findings;
use crate::tables::hops::Hops;
use crate::tables::lineage::Lineage;
use crate::tables::positions::Positions;
use crate::tables::profiles::Profiles;
use crate::tables::quarantine::Quarantine;
use crate::tables::registry_changes::RegistryChanges;
use crate::tables::runs::Runs;
use crate::tables::state::State;
use crate::tables::streams::Streams;

/// Where the system tables read from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) live: Arc<dyn LiveStatus>,
    pub(crate) clock: SharedClock,
}

/// The tables of the schema `system`, to be registered under that name. Nothing is read until one is queried, and
/// every query reads anew.
pub fn system_schema(
    ledger: Arc<dyn Ledger>,
    live: Arc<dyn LiveStatus>,
    clock: SharedClock,
) -> Arc<dyn SchemaProvider> {
    let sources = Sources { ledger, live, clock };
    let tables = vec![
        table::<Datasets>(&sources),
        table::<Columns>(&sources),
        table::<Contracts>(&sources),
        table::<Lineage>(&sources),
        table::<Hops>(&sources),
        table::<Runs>(&sources),
        table::<Attempts>(&sources),
        table::<Positions>(&sources),
        table::<Counts>(&sources),
        table::<Findings>(&sources),
        table::<Checks>(&sources),
        table::<Profiles>(&sources),
        table::<Quarantine>(&sources),
        table::<Commits>(&sources),
        table::<Streams>(&sources),
        table::<State>(&sources),
        table::<RegistryChanges>(&sources),
    ];
    Arc::new(SystemSchema { tables })
}

type NamedTable = (&'static str, Arc<dyn TableProvider>);

fn table<T: SystemTable>(sources: &Sources) -> NamedTable {
    (T::Row::TABLE, Provider::<T>::shared(sources))
}

#[derive(Debug)]
struct SystemSchema {
    tables: Vec<NamedTable>,
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        self.tables.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> datafusion::error::Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.tables.iter().find(|(known, _)| *known == name).map(|(_, table)| table.clone()))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.iter().any(|(known, _)| *known == name)
    }
}
