//! The schema `system`.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use flowline_base::SharedClock;
use flowline_ledger::Ledger;

use crate::LiveStatus;

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
    Arc::new(SystemSchema { sources: Sources { ledger, live, clock } })
}

#[derive(Debug)]
struct SystemSchema {
    sources: Sources,
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        let _ = &self.sources;
        Vec::new()
    }

    async fn table(&self, _name: &str) -> datafusion::error::Result<Option<Arc<dyn TableProvider>>> {
        Ok(None)
    }

    fn table_exist(&self, _name: &str) -> bool {
        false
    }
}
