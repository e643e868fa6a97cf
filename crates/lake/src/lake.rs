//! The lake: where tables are found.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowline_base::SharedClock;

use crate::faults::FaultInjector;
use crate::{FileStore, LakeError, Table, TableId};

/// Where the lake lies and how it is reached.
#[derive(Debug, Clone)]
pub struct LakeSettings {
    /// URL of the lake's folder (`file:///…`, `s3://…`, `gs://…`, `az://…`), or an absolute path.
    pub url: String,
    /// Options of the object store, keyed as `object_store` names them (`aws_region` …).
    pub storage_options: BTreeMap<String, String>,
    /// For the stamps of commits.
    pub clock: SharedClock,
    /// Faults to inject, for tests.
    pub faults: Option<Arc<dyn FaultInjector>>,
}

/// The lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {}

impl Lake {
    /// Opens the lake; a folder on this machine is created when it does not exist.
    pub async fn open(_settings: LakeSettings) -> Result<Self, LakeError> {
        Ok(Self {})
    }

    /// A handle of a table, which need not exist. Nothing is read until it is used; handles of one table share what
    /// is loaded.
    pub fn table(&self, id: TableId) -> Table {
        Table::unbuilt(id)
    }

    /// A folder of files outside the lake: a URL or an absolute path, reached with the lake's storage options.
    pub fn files(&self, _location: &str) -> Result<FileStore, LakeError> {
        Ok(FileStore {})
    }
}
