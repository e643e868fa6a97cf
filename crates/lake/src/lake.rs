//! The lake: where tables are found.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::object_store::ObjectStoreUrl;
use flowline_base::{Backoff, FileId, SharedClock};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::faults::FaultInjector;
use crate::store::{self, Store};
use crate::table::Shared;
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

impl LakeSettings {
    /// A lake in this folder, with the machine's clock, without options or faults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            storage_options: BTreeMap::new(),
            clock: flowline_base::system_clock(),
            faults: None,
        }
    }
}

/// The lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    inner: Arc<LakeInner>,
}

/// What every table of a lake needs.
#[derive(Debug)]
pub(crate) struct LakeInner {
    pub(crate) settings: LakeSettings,
    pub(crate) store: Store,
    /// What DataFusion knows the lake's storage by.
    pub(crate) store_url: ObjectStoreUrl,
    /// This opening of the lake, so that its own commits can be told from those of others.
    pub(crate) writer: String,
    /// Commits of all tables since the lake was opened.
    pub(crate) commits: watch::Sender<u64>,
    tables: Mutex<HashMap<TableId, Arc<Shared>>>,
}

impl Lake {
    /// Opens the lake; a folder on this machine is created when it does not exist. Of storage elsewhere nothing is read
    /// yet.
    ///
    /// # Errors
    /// [`LakeError::Settings`] for a URL or an option that cannot be used, [`LakeError::Denied`] when the folder may not
    /// be created.
    pub async fn open(settings: LakeSettings) -> Result<Self, LakeError> {
        let retry = Backoff {
            attempts_max: 4,
            delay_first: Duration::from_millis(50),
            delay_max: Duration::from_secs(1),
        };
        Self::open_with(settings, retry).await
    }

    /// Like [`Lake::open`]; `retry` says how patiently a write that fails for now is tried again before its error is
    /// returned. (Storage in a cloud has tried for up to half a minute by then.)
    pub async fn open_with(settings: LakeSettings, retry: Backoff) -> Result<Self, LakeError> {
        create_local_folder(&settings.url)?;
        let store = store::open(&settings.url, &settings.storage_options, settings.faults.as_ref(), retry)?;
        let writer = FileId::generate().to_string();
        let store_url = ObjectStoreUrl::parse(format!("flowline-lake://{writer}/"))
            .map_err(|error| LakeError::Settings { reason: error.to_string() })?;
        let (tables, commits) = (Mutex::default(), watch::Sender::default());
        Ok(Self { inner: Arc::new(LakeInner { settings, store, store_url, writer, commits, tables }) })
    }

    /// Where the lake lies, as it may be shown.
    pub fn location(&self) -> String {
        self.inner.store.url().to_string()
    }

    /// A handle of a table, which need not exist. Nothing is read until it is used; handles of one table share what
    /// is loaded.
    pub fn table(&self, id: TableId) -> Table {
        let mut tables = self.inner.tables.lock();
        let shared =
            tables.entry(id.clone()).or_insert_with(|| Arc::new(Shared::new(id, Arc::clone(&self.inner))));
        Table::new(Arc::clone(shared))
    }

    /// Changes with every commit that is made through this opening of the lake, to any table; how many there were.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.inner.commits.subscribe()
    }

    /// Waits for the upkeep that commits have started beside themselves: checkpoints, and the deletion of old commits.
    /// Whoever ends the process calls it first; what is under way then would panic in a runtime that is gone.
    pub async fn settle(&self) {
        let tables: Vec<_> = self.inner.tables.lock().values().cloned().collect();
        for table in tables {
            table.upkeep.settle().await;
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.inner.settings.clock
    }

    /// A folder of files outside the lake: a URL or an absolute path, reached with the lake's storage options.
    pub fn files(&self, location: &str) -> Result<FileStore, LakeError> {
        let settings = &self.inner.settings;
        store::open(location, &settings.storage_options, settings.faults.as_ref(), self.inner.store.retry())
            .map(FileStore::new)
    }
}

fn create_local_folder(location: &str) -> Result<(), LakeError> {
    let path = match url::Url::parse(location) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().ok(),
        Ok(_) => None,
        Err(_) => location.starts_with('/').then(|| location.into()),
    };
    let Some(path) = path else { return Ok(()) };
    std::fs::create_dir_all(&path)
        .map_err(|error| store::from_io("creating the folder", path.display().to_string(), error))
}
