//! The bytes of one file on their way to storage: small files in one write, large ones in parts while they grow.

use std::collections::VecDeque;

use bytes::Bytes;
use flowline_base::retry;
use futures::stream::{FuturesUnordered, StreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, UploadPart};

use crate::LakeError;
use crate::store::Store;

/// Parts of this size are uploaded as they fill. S3 wants 5 MiB at least and 10,000 parts at most.
const PART: usize = 8 << 20;
/// Parts on their way at the same time; with the one that fills they are all that is held in memory.
const PARTS_AT_ONCE: usize = 2;

/// One file on its way.
pub(crate) struct Upload {
    store: Store,
    path: Path,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    total: u64,
    parts: Option<Parts>,
}

struct Parts {
    upload: Box<dyn MultipartUpload>,
    under_way: FuturesUnordered<UploadPart>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("path", &self.path).field("total", &self.total).finish_non_exhaustive()
    }
}

impl Upload {
    /// A file at this path of the store, which no one has written or will write again.
    pub(crate) fn new(store: Store, path: Path) -> Self {
        Self { store, path, waiting: VecDeque::new(), waiting_bytes: 0, total: 0, parts: None }
    }

    /// Bytes so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes that are still in memory.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// How the path is shown to people.
    pub(crate) fn shown(&self) -> String {
        self.store.shown(&self.path)
    }

    /// Appends bytes; waits while enough parts are on their way.
    pub(crate) async fn push(&mut self, bytes: Bytes) -> Result<(), LakeError> {
        self.total += bytes.len() as u64;
        self.waiting_bytes += bytes.len();
        self.waiting.push_back(bytes);
        while self.waiting_bytes >= PART {
            let part = self.take(PART);
            self.send(part).await?;
        }
        Ok(())
    }

    /// Writes what is left. The file is there afterwards.
    pub(crate) async fn finish(mut self) -> Result<(), LakeError> {
        let rest = self.take(self.waiting_bytes);
        if self.parts.is_none() {
            return self.put(rest).await;
        }
        if rest.content_length() > 0 {
            self.send(rest).await?;
        }
        let Some(mut parts) = self.parts.take() else { return Ok(()) };
        let completed = async {
            while let Some(part) = parts.under_way.next().await {
                part?;
            }
            parts.upload.complete().await
        };
        match completed.await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.give_up(parts, error).await),
        }
    }

    /// The same bytes under a name of their own can be written as often as it takes.
    async fn put(&mut self, payload: PutPayload) -> Result<(), LakeError> {
        retry(self.store.retry(), |_| async {
            let written = self.store.objects().put(&self.path, payload.clone()).await;
            written.map(drop).map_err(|error| self.store.error("writing", &self.path, error))
        })
        .await
    }

    async fn send(&mut self, part: PutPayload) -> Result<(), LakeError> {
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None => {
                let started = self.store.objects().put_multipart(&self.path).await;
                let upload = started.map_err(|error| self.store.error("writing", &self.path, error))?;
                Parts { upload, under_way: FuturesUnordered::new() }
            }
        };
        while parts.under_way.len() >= PARTS_AT_ONCE {
            if let Some(Err(error)) = parts.under_way.next().await {
                return Err(self.give_up(parts, error).await);
            }
        }
        parts.under_way.push(parts.upload.put_part(part));
        self.parts = Some(parts);
        Ok(())
    }

    /// Lets the storage forget the parts that are there; if it cannot, its own rules for unfinished uploads do.
    async fn give_up(&mut self, mut parts: Parts, error: object_store::Error) -> LakeError {
        parts.under_way.clear();
        if let Err(also) = parts.upload.abort().await {
            tracing::debug!(path = %self.shown(), error = %also, "an unfinished upload was left behind");
        }
        self.store.error("writing", &self.path, error)
    }

    /// The first bytes that wait, exactly so many.
    fn take(&mut self, mut count: usize) -> PutPayload {
        self.waiting_bytes -= count;
        let mut pieces = Vec::new();
        while count > 0 {
            let Some(mut piece) = self.waiting.pop_front() else { break };
            if piece.len() > count {
                self.waiting.push_front(piece.split_off(count));
            }
            count -= piece.len();
            pieces.push(piece);
        }
        pieces.into_iter().collect()
    }
}
