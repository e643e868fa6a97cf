//! The files of a source, on any object store.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;

use crate::LakeError;

/// A file below a [`FileStore`]'s folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path below the folder.
    pub path: String,
    /// What changes when its content does.
    pub etag: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last modified.
    pub modified: DateTime<Utc>,
}

/// A folder on an object store.
#[derive(Debug, Clone)]
pub struct FileStore {}

impl FileStore {
    /// Every file below the folder, sorted by path; none when the folder does not exist.
    pub async fn list(&self) -> Result<Vec<FileEntry>, LakeError> {
        Err(crate::table::unbuilt())
    }

    /// The whole file.
    pub async fn read(&self, _path: &str) -> Result<Bytes, LakeError> {
        Err(crate::table::unbuilt())
    }

    /// These bytes of the file.
    pub async fn read_range(&self, _path: &str, _range: Range<u64>) -> Result<Bytes, LakeError> {
        Err(crate::table::unbuilt())
    }

    /// The file in pieces, in order; for large text files.
    pub async fn stream(
        &self,
        _path: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, LakeError>>, LakeError> {
        Err(crate::table::unbuilt())
    }
}
