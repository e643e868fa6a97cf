//! What every session of Flowline has in common.

use std::sync::Arc;

use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;

use crate::CATALOG;
use crate::upkeep::DecideTies;
use crate::windows::{self, TellSessionsUnsorted};

/// The schema that names without a domain are looked up in; no dataset is in it. Named as PostgreSQL names it, so
/// that its clients find what they expect.
pub(crate) const DEFAULT_SCHEMA: &str = "public";

fn config() -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, DEFAULT_SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    // Errors point at the word concerned.
    config.options_mut().sql_parser.collect_spans = true;
    config
}

/// A session state with DataFusion's functions and rules and no catalog. Takes about a millisecond to make and less
/// to clone: make one and clone it for each session.
pub(crate) fn base_state(runtime: Arc<RuntimeEnv>) -> SessionState {
    let mut state = SessionStateBuilder::new()
        .with_config(config())
        .with_runtime_env(runtime)
        .with_catalog_list(empty_catalogs())
        .with_default_features()
        .with_optimizer_rule(Arc::new(DecideTies))
        .with_physical_optimizer_rule(Arc::new(TellSessionsUnsorted))
        .build();
    windows::register(&mut state);
    state
}

/// The list of catalogs of a session that has none yet.
pub(crate) fn empty_catalogs() -> Arc<dyn CatalogProviderList> {
    Arc::new(MemoryCatalogProviderList::new())
}
