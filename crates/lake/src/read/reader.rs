//! Reading the files of a table so that what fails says which file it was, and whether the storage failed or the file.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::LakeError;
use crate::store::{Store, missing_file};

/// DataFusion's readers, which keep the footers of files in memory, with errors that can be told apart.
#[derive(Debug)]
pub(super) struct Readers {
    store: Store,
    inner: CachedParquetFileReaderFactory,
}

impl Readers {
    pub(super) fn new(store: Store, cache: Arc<FileMetadataCache>) -> Self {
        let inner = CachedParquetFileReaderFactory::new(Arc::clone(store.objects()), cache);
        Self { store, inner }
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let (store, path, bytes) =
            (self.store.clone(), file.object_meta.location.clone(), file.object_meta.size);
        let inner = self.inner.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(Reader { store, path, bytes, inner }))
    }
}

struct Reader {
    store: Store,
    path: Path,
    bytes: u64,
    inner: Box<dyn AsyncFileReader + Send>,
}

impl Reader {
    /// What an error is about. The reader of footers tells it only in words: so the storage is asked what it has.
    async fn explain(&mut self, error: ParquetError) -> ParquetError {
        let (store, path) = (&self.store, &self.path);
        let there = store.objects().head(path).await.map_err(|error| store.error("reading", path, error));
        let explained = match (there, error) {
            (Err(LakeError::NotFound { place, .. }), _) => missing_file(&place),
            (Err(refused), _) => refused,
            (Ok(there), _) if there.size != self.bytes => LakeError::Corrupt {
                path: store.shown(path),
                reason: format!("it has {} bytes, and {} were written", there.size, self.bytes),
            },
            (Ok(_), ParquetError::External(inner)) => match inner.downcast::<object_store::Error>() {
                Ok(inner) => store.error("reading", path, *inner),
                Err(inner) => return ParquetError::External(inner),
            },
            (Ok(_), error) => {
                let (path, reason) = (store.shown(path), error.to_string());
                if reason.contains("Object Store error") {
                    LakeError::Transient { action: "reading", path, reason }
                } else {
                    LakeError::Corrupt { path, reason }
                }
            }
        };
        ParquetError::External(Box::new(explained))
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            match self.inner.get_bytes(range).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.explain(error).await),
            }
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move {
            match self.inner.get_byte_ranges(ranges).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.explain(error).await),
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            match self.inner.get_metadata(options).await {
                Ok(metadata) => Ok(metadata),
                Err(error) => Err(self.explain(error).await),
            }
        }
        .boxed()
    }
}
