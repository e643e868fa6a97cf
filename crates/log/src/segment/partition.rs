//! One partition of the log: appends that wait for each other's sync, releases, retention.
//!
//! Locks are taken in the order `writer`, `mark`, `state`; `state` is never held over a call to the disk.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::frame::Encoded;
use super::key_claim::{Claimed, KeyClaim};
use super::keys::{KeyHash, Known};
use super::recover::Recovered;
use super::sealed::Sealed;
use super::shared::{Shared, io_error, mark_path, permits_of};
use super::state::{Outcome, Pending, State};
use super::telemetry;
use super::writer::{Drain, OpenSegment};
use crate::disk::{DiskFile, OpenMode, write_all_at};
use crate::{Batch, Bounds, LogError, PartitionId, PartitionStatus, Retained};

/// See the module.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    pub(crate) dir: PathBuf,
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Mutex<State>,
    /// The file of the active segment, once it is written to; held while a group is written and synced.
    pub(crate) writer: Mutex<Option<OpenSegment>>,
    mark: Mutex<Option<Arc<dyn DiskFile>>>,
    /// The end of the log; none once it is closed.
    pub(crate) end: watch::Sender<Option<u64>>,
}

impl Partition {
    pub(crate) fn new(shared: Arc<Shared>, id: PartitionId, dir: PathBuf, recovered: Recovered) -> Self {
        let state = State::new(recovered);
        let (end, _) = watch::channel(Some(state.bounds().end));
        Self {
            id,
            dir,
            shared,
            state: Mutex::new(state),
            writer: Mutex::new(None),
            mark: Mutex::new(None),
            end,
        }
    }

    pub(crate) async fn append(self: &Arc<Self>, batch: Batch) -> Outcome {
        let hash = batch.idempotency_key.as_deref().map(KeyHash::of);
        let frame = Encoded::new(batch)?;
        let Some(hash) = hash else { return self.enqueue(frame, None).await };
        let answered = |known: Known| known.repeated(&self.id, frame.body_crc);
        loop {
            match KeyClaim::claim(self, hash) {
                Claimed::Known(known) => return answered(known),
                Claimed::Wait(answer) => {
                    if let Ok(known) = answer.await {
                        return answered(known);
                    }
                    // Whoever had the key failed or went away: try for ourselves.
                }
                Claimed::Ours(claim, sealed) => {
                    return match self.find_key(sealed, hash).await? {
                        Some(known) => {
                            claim.resolve(known);
                            answered(known)
                        }
                        None => self.enqueue(frame, Some(claim)).await,
                    };
                }
            }
        }
    }

    async fn find_key(
        &self,
        sealed: Arc<Vec<Arc<Sealed>>>,
        hash: KeyHash,
    ) -> Result<Option<Known>, LogError> {
        let suspects: Vec<_> = sealed.iter().rev().filter(|sealed| sealed.may_hold(hash)).cloned().collect();
        if suspects.is_empty() {
            return Ok(None);
        }
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            for sealed in suspects {
                if let Some(known) = sealed.find_key(&shared, hash)? {
                    return Ok(Some(known));
                }
            }
            Ok(None)
        })
        .await
    }

    async fn enqueue(self: &Arc<Self>, frame: Encoded, claim: Option<KeyClaim>) -> Outcome {
        let bytes = frame.bytes();
        // Before waiting for room as well: what is refused should be refused at once.
        self.state.lock().admit(&self.id, &self.shared.settings, bytes)?;
        let room = Arc::clone(&self.shared.room).acquire_many_owned(permits_of(bytes)).await;
        let room = room.map_err(|_| LogError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let queued_at = self.shared.clock.instant();
        let pending = Pending { frame, claim, reply, room, queued_at };
        if self.push(pending)? {
            Drain::start(self);
        }
        answer.await.unwrap_or(Err(LogError::Closed))
    }

    /// Queues the frame; says whether somebody must start to empty the queue.
    fn push(&self, pending: Pending) -> Result<bool, LogError> {
        let mut state = self.state.lock();
        let bytes = pending.frame.bytes();
        if let Err(refused) = state.admit(&self.id, &self.shared.settings, bytes) {
            // The claim in it takes the lock when it is dropped.
            drop(state);
            drop(pending);
            return Err(refused);
        }
        state.queued_bytes += bytes;
        state.queue.push_back(pending);
        Ok(!std::mem::replace(&mut state.draining, true))
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.state.lock().bounds()
    }

    pub(crate) async fn wait_beyond(&self, offset: u64) -> Result<(), LogError> {
        let mut end = self.end.subscribe();
        let beyond = end.wait_for(|end| end.is_none_or(|end| end > offset)).await;
        match beyond.as_deref() {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => Err(LogError::Closed),
        }
    }

    pub(crate) async fn release(self: &Arc<Self>, offset: u64) -> Result<(), LogError> {
        if !self.note_release(offset)? {
            return Ok(());
        }
        telemetry::levels(self);
        let partition = Arc::clone(self);
        blocking(move || {
            partition.save_mark(false);
            Ok(())
        })
        .await
    }

    /// Says whether anything changed.
    fn note_release(&self, offset: u64) -> Result<bool, LogError> {
        let mut state = self.state.lock();
        let Bounds { end, .. } = state.bounds();
        if offset > end {
            let begun = state.active.is_some() || !state.sealed.is_empty() || state.draining;
            if begun || state.failed.is_some() {
                return Err(LogError::Behind { partition: self.id.clone(), offset, end });
            }
            tracing::warn!(partition = %self.id, offset, "the log is empty and begins at what was landed before");
            (state.origin, state.released) = (offset, offset);
            self.end.send_replace(Some(offset));
            return Ok(false);
        }
        if offset <= state.released {
            return Ok(false);
        }
        let before = state.unreleased_bytes;
        state.released = offset;
        state.unreleased_bytes = state.bytes_from(offset);
        let released = before.saturating_sub(state.unreleased_bytes);
        state.release_rate.add(released, self.shared.clock.instant());
        Ok(true)
    }

    /// Overwrites the mark with what holds now. A mark that cannot be written costs certainty after a crash, not data.
    pub(crate) fn save_mark(&self, sync: bool) {
        let mut file = self.mark.lock();
        let Some(mark) = self.state.lock().mark() else { return };
        let path = mark_path(&self.dir);
        let opened = match file.take() {
            Some(opened) => Ok(opened),
            None => self.shared.disk.open(&path, OpenMode::Create),
        };
        let saved = opened.and_then(|opened| {
            write_all_at(&*opened, 0, &mut [IoSlice::new(&mark.encode())])?;
            if sync {
                opened.sync_data()?;
            }
            *file = Some(opened);
            Ok(())
        });
        if let Err(error) = saved {
            tracing::warn!(partition = %self.id, path = %path.display(), %error, "the mark cannot be written");
        }
    }

    /// Deletes the segments that are released and too old or too many.
    pub(crate) fn enforce_retention(&self) -> Result<Retained, LogError> {
        let (settings, now) = (&self.shared.settings, self.shared.clock.now_micros());
        if self.state.lock().ages(settings, now) {
            self.seal_active(now)?;
        }
        let expired: Vec<Arc<Sealed>> = {
            let mut state = self.state.lock();
            let count = state.expired(settings, now);
            // A cursor holds its file open, which would keep the bytes of a deleted one.
            let deleted: Vec<u64> =
                state.sealed[..count].iter().map(|sealed| sealed.contents.first).collect();
            state.cursors.retain(|cursor| !deleted.contains(&cursor.segment));
            Arc::make_mut(&mut state.sealed).drain(..count).collect()
        };
        let mut retained = Retained::default();
        for sealed in &expired {
            sealed.remove(&self.shared)?;
            retained.segments += 1;
            retained.bytes += sealed.contents.bytes;
        }
        if !expired.is_empty() {
            self.save_mark(true);
            self.shared.disk.sync_dir(&self.dir).map_err(io_error("syncing", &self.dir))?;
        }
        Ok(retained)
    }

    /// Refuses appends from now on, writes what is queued, and lets go of the files.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        while self.write_next_group() {}
        *self.writer.lock() = None;
        self.save_mark(true);
        *self.mark.lock() = None;
        self.state.lock().cursors.clear();
        self.end.send_replace(None);
    }

    /// None for a partition that was only asked for and has no records.
    pub(crate) fn status(&self) -> Option<PartitionStatus> {
        let state = self.state.lock();
        let exists = state.active.is_some() || state.failed.is_some() || !state.queue.is_empty();
        exists.then(|| PartitionStatus {
            partition: self.id.clone(),
            identity: None,
            bounds: state.bounds(),
            released: state.released,
            waiting_bytes: state.unreleased_bytes,
            bytes: state.bytes(),
            queued: state.queue.len() as u64,
            last_received_at: state.last_received_at,
            failed: state.failed.clone(),
        })
    }
}

/// Runs what calls the disk where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down.
        Err(_) => Err(LogError::Closed),
    }
}
