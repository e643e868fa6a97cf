//! The files of a source, on any object store.

use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;

use crate::LakeError;
use crate::store::Store;

/// A file below a [`FileStore`]'s folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path below the folder.
    pub path: String,
    /// What changes when its content does: the storage's etag, or size and time of modification where it has none.
    pub etag: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last modified.
    pub modified: DateTime<Utc>,
}

/// A folder on an object store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FileStore {
    store: Store,
}

impl FileStore {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// The folder's location as it may be shown.
    pub fn location(&self) -> String {
        self.store.url().to_string()
    }

    /// The path of a file as this machine's own programs write it, where the folder is one of this machine; that of the
    /// folder for an empty path.
    pub fn local_path(&self, path: &str) -> Option<PathBuf> {
        let local = self.store.url().scheme() == "file";
        local.then(|| LocalFileSystem::new().path_to_filesystem(&self.store.at(path)).ok())?
    }

    /// Every file below the folder, sorted by path; none when the folder does not exist.
    pub async fn list(&self) -> Result<Vec<FileEntry>, LakeError> {
        let folder = self.store.folder();
        let mut entries = Vec::new();
        for object in self.store.list(folder).await? {
            let Some(parts) = object.location.prefix_match(folder) else { continue };
            let path = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            let modified = object.last_modified;
            let etag =
                object.e_tag.unwrap_or_else(|| format!("{}-{}", object.size, modified.timestamp_micros()));
            entries.push(FileEntry { path, etag, bytes: object.size, modified });
        }
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(entries)
    }

    /// The whole file.
    pub async fn read(&self, path: &str) -> Result<Bytes, LakeError> {
        self.store.get(&self.store.at(path)).await
    }

    /// These bytes of the file; fewer when it ends before.
    pub async fn read_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, LakeError> {
        self.store.get_range(&self.store.at(path), range).await
    }

    /// The file in pieces, in order; for large text files.
    pub async fn stream(
        &self,
        path: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, LakeError>>, LakeError> {
        self.store.stream(&self.store.at(path)).await
    }
}
