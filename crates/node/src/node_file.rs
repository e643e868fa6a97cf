//! How another process finds the node of a project.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where the node of a project listens: `node.json` in the data folder, there while the node runs (and after a crash,
/// until the next start).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// Its process.
    pub process_id: u32,
    /// HTTP and pages.
    pub http: SocketAddr,
    /// The Postgres wire.
    pub postgres: Option<SocketAddr>,
    /// The version of the project that it runs.
    pub version: String,
    /// When it was started.
    pub started_at: DateTime<Utc>,
}

impl NodeFile {
    /// The file of the node that runs on this data folder, when there is one. Whether it still answers is another
    /// question.
    pub fn read(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::path(data_dir);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading `{}`", path.display())),
        }
    }

    pub(crate) fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = Self::path(data_dir);
        let partial = path.with_extension("json.partial");
        std::fs::write(&partial, serde_json::to_vec_pretty(self)?)
            .and_then(|()| std::fs::rename(&partial, &path))
            .with_context(|| format!("writing `{}`", path.display()))
    }

    pub(crate) fn remove(data_dir: &Path) {
        // Gone already is as good; a stale file only costs the next reader one refused connection.
        let _ = std::fs::remove_file(Self::path(data_dir));
    }

    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("node.json")
    }
}

/// Held as long as the node runs, so that a second node on the same data folder ends with a sentence and not with two
/// writers. The operating system lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub struct DataFolderLock {
    _file: File,
}

impl DataFolderLock {
    /// Takes the lock; creates the folder.
    pub fn take(data_dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("creating the data folder `{}`", data_dir.display()))?;
        let path = data_dir.join("lock");
        let file = File::create(&path).with_context(|| format!("opening `{}`", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let node = NodeFile::read(data_dir).ok().flatten();
                let who = node.map(|node| format!(" (process {}, http://{})", node.process_id, node.http));
                bail!(
                    "another node has the data folder `{}` open{}; stop it first, or give this one another `data_dir`",
                    data_dir.display(),
                    who.unwrap_or_default()
                )
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("locking `{}`", path.display()))
            }
        }
    }
}
