//! An object store that fails when a [`FaultInjector`] says so.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    UploadPart,
};

use crate::faults::{Fault, FaultInjector, StoreOp};

/// Wraps a store; every call is offered to the injector first.
#[derive(Debug)]
pub(super) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<dyn FaultInjector>,
}

impl FaultyStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, faults: Arc<dyn FaultInjector>) -> Self {
        Self { inner, faults }
    }

    async fn decide(&self, op: StoreOp, path: &Path) -> Result<After> {
        decide(self.faults.as_ref(), op, path).await
    }
}

/// What is left of a fault once the operation may start.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    /// Do it, then fail.
    Fail,
    /// Do a part of it, then fail.
    Tear,
}

impl After {
    fn settle<T>(self, path: &Path, result: Result<T>) -> Result<T> {
        match self {
            Self::Nothing => result,
            Self::Fail | Self::Tear => result.and_then(|_| Err(broken(path, "after it was done"))),
        }
    }
}

async fn decide(faults: &dyn FaultInjector, op: StoreOp, path: &Path) -> Result<After> {
    match faults.fault(op, path.as_ref()) {
        None => Ok(After::Nothing),
        Some(Fault::ErrorBefore) => Err(broken(path, "before it was done")),
        Some(Fault::ErrorAfter) => Ok(After::Fail),
        Some(Fault::ErrorDuring) => Ok(After::Tear),
        Some(Fault::Denied) => {
            Err(Error::PermissionDenied { path: path.to_string(), source: "injected: access denied".into() })
        }
        Some(Fault::Full) => {
            let source = Box::new(io::Error::new(io::ErrorKind::StorageFull, "injected: no space left"));
            Err(Error::Generic { store: "fault", source })
        }
        Some(Fault::Slow(by)) => {
            tokio::time::sleep(by).await;
            Ok(After::Nothing)
        }
    }
}

fn broken(path: &Path, when: &str) -> Error {
    Error::Generic { store: "fault", source: format!("injected: connection lost {when} on `{path}`").into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let after = self.decide(StoreOp::Put, location).await?;
        // A write that must not replace anything is atomic on every store: it is done or it is not.
        if after == After::Tear && options.mode == PutMode::Create {
            return Err(broken(location, "before it was done"));
        }
        if after == After::Tear {
            let whole: Vec<u8> = payload.iter().flat_map(|piece| piece.iter().copied()).collect();
            let half = Bytes::from(whole).slice(..payload.content_length() / 2);
            self.inner.put_opts(location, half.into(), options).await?;
            return Err(broken(location, "half-way"));
        }
        after.settle(location, self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(FaultyUpload { inner, location: location.clone(), faults: Arc::clone(&self.faults) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let after = self.decide(StoreOp::Get, location).await?;
        after.settle(location, self.inner.get_opts(location, options).await)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let after = self.decide(StoreOp::Get, location).await?;
        after.settle(location, self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        let each = locations.and_then(move |location| {
            let (inner, faults) = (Arc::clone(&inner), Arc::clone(&faults));
            async move {
                let after = decide(faults.as_ref(), StoreOp::Delete, &location).await?;
                after.settle(&location, inner.delete(&location).await)?;
                Ok(location)
            }
        });
        each.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        let after = self.decide(StoreOp::List, &path).await?;
        after.settle(&path, self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let after = self.decide(StoreOp::Copy, to).await?;
        after.settle(to, self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let after = self.decide(StoreOp::Copy, to).await?;
        after.settle(to, self.inner.rename_opts(from, to, options).await)
    }
}

impl FaultyStore {
    fn listing(
        &self,
        prefix: Option<&Path>,
        found: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (faults, path) = (Arc::clone(&self.faults), prefix.cloned().unwrap_or_default());
        let start = async move {
            let after = decide(faults.as_ref(), StoreOp::List, &path).await?;
            after.settle(&path, Ok(found))
        };
        futures::stream::once(start).try_flatten().boxed()
    }
}

/// An upload each of whose parts may fail.
#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    location: Path,
    faults: Arc<dyn FaultInjector>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.inner.put_part(data);
        let (faults, location) = (Arc::clone(&self.faults), self.location.clone());
        Box::pin(async move {
            let after = decide(faults.as_ref(), StoreOp::Put, &location).await?;
            after.settle(&location, part.await)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let after = decide(self.faults.as_ref(), StoreOp::Put, &self.location).await?;
        after.settle(&self.location, self.inner.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
