//! Object storage: opening it by URL, and the few calls that the rest of the crate makes, with errors that name the
//! path and say what to do.

mod durable;
mod error;
mod faulty;
mod open;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flowline_base::Backoff;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use url::Url;

use crate::LakeError;
pub(crate) use error::{
    from_arrow, from_datafusion, from_io, from_parquet, from_store, in_query, missing_file,
};
pub(crate) use open::open;

/// A folder on an object store. Paths in its calls are those of the whole store, as [`Store::at`] makes them.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    folder: Path,
    /// The URL of the folder, without credentials.
    url: Url,
    /// How patiently a failing write is tried again.
    retry: Backoff,
}

/// What became of a write that must not replace anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutNew {
    /// It was written.
    Written,
    /// Something is there already, maybe this very write: a client that loses an answer sends it again.
    Exists,
}

impl Store {
    /// The store itself, rooted where the storage is (bucket, container, file system).
    pub(crate) fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The folder's path in the store.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder's URL.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// How patiently a failing write is tried again.
    pub(crate) fn retry(&self) -> Backoff {
        self.retry
    }

    /// The folder below this one; `path` is parts joined by `/`, not encoded.
    pub(crate) fn below(&self, path: &str) -> Self {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        Self { objects: Arc::clone(&self.objects), folder: self.at(path), url, retry: self.retry }
    }

    /// The path in the store of a path below the folder.
    pub(crate) fn at(&self, path: &str) -> Path {
        let parts = Path::parse(path).unwrap_or_else(|_| Path::from(path));
        self.folder.parts().chain(parts.parts()).collect()
    }

    /// How a path is shown to people.
    pub(crate) fn shown(&self, path: &Path) -> String {
        match self.url.scheme() {
            "file" => format!("/{path}"),
            scheme => format!("{scheme}://{}/{path}", self.url.host_str().unwrap_or_default()),
        }
    }

    /// The object.
    pub(crate) async fn get(&self, path: &Path) -> Result<Bytes, LakeError> {
        let whole = async { self.objects.get(path).await?.bytes().await };
        whole.await.map_err(|error| self.error("reading", path, error))
    }

    /// The object, or none when there is none.
    pub(crate) async fn get_if_there(&self, path: &Path) -> Result<Option<Bytes>, LakeError> {
        match self.get(path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(LakeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A part of the object.
    pub(crate) async fn get_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes, LakeError> {
        self.objects.get_range(path, range).await.map_err(|error| self.error("reading", path, error))
    }

    /// The object in pieces.
    pub(crate) async fn stream(
        &self,
        path: &Path,
    ) -> Result<BoxStream<'static, Result<Bytes, LakeError>>, LakeError> {
        let found = self.objects.get(path).await.map_err(|error| self.error("reading", path, error))?;
        let (store, path) = (self.clone(), path.clone());
        Ok(found.into_stream().map_err(move |error| store.error("reading", &path, error)).boxed())
    }

    /// Writes the object unless there is one.
    pub(crate) async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<PutNew, LakeError> {
        let options = PutOptions::from(PutMode::Create);
        match self.objects.put_opts(path, bytes.into(), options).await {
            Ok(_) => Ok(PutNew::Written),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(PutNew::Exists)
            }
            Err(error) => Err(self.error("writing", path, error)),
        }
    }

    /// Writes the object, whatever is there.
    pub(crate) async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), LakeError> {
        let put = self.objects.put(path, bytes.into()).await;
        put.map(drop).map_err(|error| self.error("writing", path, error))
    }

    /// The objects below a path, in no order; none when there is no such folder.
    pub(crate) async fn list(&self, path: &Path) -> Result<Vec<ObjectMeta>, LakeError> {
        match self.objects.list(Some(path)).try_collect::<Vec<_>>().await {
            Ok(found) => Ok(found),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.error("listing", path, error)),
        }
    }

    /// Deletes the objects; those that are gone already count as deleted.
    pub(crate) async fn delete(&self, paths: Vec<Path>) -> Result<u64, LakeError> {
        let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.objects.delete_stream(paths);
        let mut count = 0;
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => count += 1,
                Err(error) => return Err(self.error("deleting in", &self.folder, error)),
            }
        }
        Ok(count)
    }

    /// Deletes what writes that were cut off before this time have left behind in the folder. Only file systems keep
    /// such things where nobody sees them.
    pub(crate) async fn sweep(&self, before: DateTime<Utc>) -> Result<u64, LakeError> {
        let Some(path) = self.url.to_file_path().ok().filter(|_| self.url.scheme() == "file") else {
            return Ok(0);
        };
        let shown = path.display().to_string();
        let swept = tokio::task::spawn_blocking(move || durable::sweep(&path, before.into())).await;
        let failed =
            |reason: String| LakeError::Transient { action: "sweeping", path: shown.clone(), reason };
        swept.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }

    /// An error of the store, with the path and what to do.
    pub(crate) fn error(&self, action: &'static str, path: &Path, error: object_store::Error) -> LakeError {
        from_store(action, self.shown(path), &error)
    }
}
