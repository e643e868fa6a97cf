//! What a partition knows of itself: its segments, its queue, what is released. Pure: no file is touched here.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flowline_model::LogSettings;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::frame::Encoded;
use super::header::HEADER_BYTES;
use super::index::Contents;
use super::key_claim::KeyClaim;
use super::keys::{KEYS_MAX, KeyHash, Known};
use super::mark::Mark;
use super::recover::{Active, Recovered};
use super::release_rate::ReleaseRate;
use super::sealed::Sealed;
use crate::disk::DiskFile;
use crate::{Appended, Bounds, LogError, PartitionId};

/// A group is closed at this many bytes, so that it does not keep the disk longer than an appender wants to wait.
pub(crate) const GROUP_BYTES_MAX: u64 = 8 << 20;
/// Places where readers went on that are remembered, so that reading in order needs no index.
const CURSORS_MAX: usize = 4;

/// The answer to an append.
pub(crate) type Outcome = Result<Appended, LogError>;

/// A frame that waits to be written.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) frame: Encoded,
    pub(crate) claim: Option<KeyClaim>,
    pub(crate) reply: oneshot::Sender<Outcome>,
    /// Its room in the queue, given back when it is answered.
    pub(crate) room: OwnedSemaphorePermit,
    pub(crate) queued_at: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    /// Sealed segments, the oldest first; replaced as a whole, so that readers can hold it.
    pub(crate) sealed: Arc<Vec<Arc<Sealed>>>,
    /// The segment that is written; none before the first append.
    pub(crate) active: Option<Active>,
    /// A segment was begun and could not be finished: nothing more is written to the one before, so that the name
    /// that may be on disk already stays the right one.
    pub(crate) must_roll: bool,
    /// Where the log begins as long as it has no segment.
    pub(crate) origin: u64,
    pub(crate) released: u64,
    /// Bytes of frames that are not released, to within an entry of the index.
    pub(crate) unreleased_bytes: u64,
    pub(crate) release_rate: ReleaseRate,
    pub(crate) queue: VecDeque<Pending>,
    pub(crate) queued_bytes: u64,
    /// Somebody is emptying the queue.
    pub(crate) draining: bool,
    /// Keys that are being appended, and who waits for the same key.
    pub(crate) claimed: HashMap<KeyHash, Vec<oneshot::Sender<Known>>>,
    pub(crate) failed: Option<LogError>,
    /// The failure was found when the log was opened: the mark on disk is evidence and must stay.
    pub(crate) damaged: bool,
    pub(crate) closed: bool,
    pub(crate) last_received_at: Option<i64>,
    pub(crate) cursors: VecDeque<Cursor>,
}

/// Where a reader that has read up to an offset goes on.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub(crate) next: u64,
    pub(crate) segment: u64,
    pub(crate) position: u64,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// A segment as a reader sees it.
#[derive(Debug)]
pub(crate) struct Readable {
    pub(crate) path: PathBuf,
    pub(crate) salt: u64,
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// Bytes that may be read.
    pub(crate) bytes: u64,
    /// Byte of a frame at or before the wanted one.
    pub(crate) position: u64,
}

impl State {
    pub(crate) fn new(recovered: Recovered) -> Self {
        let damaged = recovered.failed.is_some();
        let mut state = Self {
            sealed: Arc::new(recovered.sealed),
            active: recovered.active,
            must_roll: false,
            origin: 0,
            released: 0,
            unreleased_bytes: 0,
            release_rate: ReleaseRate::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            draining: false,
            claimed: HashMap::new(),
            failed: recovered.failed,
            damaged,
            closed: false,
            last_received_at: None,
            cursors: VecDeque::new(),
        };
        let bounds = state.bounds();
        state.released = recovered.released.clamp(bounds.start, bounds.end);
        state.unreleased_bytes = state.bytes_from(state.released);
        state.last_received_at =
            state.contents().map(|contents| contents.received_max).max().filter(|at| *at > i64::MIN);
        state
    }

    /// The contents of every segment, in order.
    pub(crate) fn contents(&self) -> impl Iterator<Item = &Contents> {
        let sealed = self.sealed.iter().map(|sealed| &sealed.contents);
        sealed.chain(self.active.as_ref().map(|active| &active.contents))
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let start = self.contents().next().map_or(self.origin, |contents| contents.first);
        let end = self.contents().last().map_or(self.origin, |contents| contents.next);
        Bounds { start, end }
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.contents().map(|contents| contents.bytes).sum()
    }

    /// Bytes of the frames from about this offset on.
    pub(crate) fn bytes_from(&self, offset: u64) -> u64 {
        let bytes_of = |contents: &Contents| {
            if offset >= contents.next {
                return 0;
            }
            contents.bytes - position_before(contents, offset)
        };
        self.contents().map(bytes_of).sum()
    }

    /// Whether a frame of so many bytes may be queued.
    pub(crate) fn admit(&self, id: &PartitionId, settings: &LogSettings, bytes: u64) -> Result<(), LogError> {
        if self.closed {
            return Err(LogError::Closed);
        }
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if bytes > settings.bytes_max {
            let reason = format!("it takes {bytes} bytes, and the log may have {}", settings.bytes_max);
            return Err(LogError::Batch { reason });
        }
        let waiting = self.unreleased_bytes + self.queued_bytes;
        if waiting + bytes > settings.bytes_max {
            return Err(LogError::Full {
                partition: id.clone(),
                bytes: waiting,
                bytes_max: settings.bytes_max,
                retry_after: self.release_rate.time_for(waiting + bytes - settings.bytes_max),
            });
        }
        Ok(())
    }

    /// Whether a frame of so many bytes needs a new segment.
    pub(crate) fn needs_roll(&self, settings: &LogSettings, bytes: u64) -> bool {
        self.active.as_ref().is_none_or(|active| {
            let contents = &active.contents;
            let full = contents.bytes + bytes > settings.segment_bytes;
            self.must_roll || contents.frames > 0 && (full || active.keys.len() as u64 >= KEYS_MAX)
        })
    }

    /// Takes the next frames that are written together, and says whether they begin a segment; none, and nobody is
    /// draining any more, when the queue is empty.
    pub(crate) fn take_group(&mut self, settings: &LogSettings) -> Option<(Vec<Pending>, bool)> {
        let Some(first) = self.queue.pop_front() else {
            self.draining = false;
            return None;
        };
        let mut bytes = first.frame.bytes();
        let roll = self.needs_roll(settings, bytes);
        let used = if roll { 0 } else { self.active.as_ref().map_or(0, |active| active.contents.bytes) };
        let room = settings.segment_bytes.saturating_sub(used).min(GROUP_BYTES_MAX);
        let mut group = vec![first];
        while let Some(next) = self.queue.pop_front_if(|next| bytes + next.frame.bytes() <= room) {
            bytes += next.frame.bytes();
            group.push(next);
        }
        Some((group, roll))
    }

    /// Takes in a group that is on stable storage from `position` of the active segment on; says who waits for one of
    /// its keys, with the answer.
    pub(crate) fn publish(
        &mut self,
        group: &mut [Pending],
        mut position: u64,
    ) -> Vec<(oneshot::Sender<Known>, Known)> {
        let mut waiting = Vec::new();
        let Some(active) = &mut self.active else { return waiting };
        for pending in group {
            let (frame, bytes) = (&pending.frame, pending.frame.bytes());
            let first = active.contents.next;
            active.contents.add_frame(position, bytes, first, frame.records, frame.received_at);
            position += bytes;
            self.queued_bytes -= bytes;
            self.unreleased_bytes += bytes;
            self.last_received_at = self.last_received_at.max(Some(frame.received_at));
            if let Some(claim) = &mut pending.claim {
                claim.answered();
                let known = Known { first, records: frame.records, body: Some(frame.body_crc) };
                active.keys.insert(claim.hash(), known);
                let waiters = self.claimed.remove(&claim.hash()).unwrap_or_default();
                waiting.extend(waiters.into_iter().map(|waiter| (waiter, known)));
            }
        }
        waiting
    }

    /// Puts a new segment behind the one that was written, which is sealed and returned.
    pub(crate) fn rolled(&mut self, dir: &Path, new: Active) -> Option<Arc<Sealed>> {
        self.must_roll = false;
        let full = self.active.replace(new)?;
        let sealed = Arc::new(Sealed::new(dir, full.contents, full.salt, full.keys));
        Arc::make_mut(&mut self.sealed).push(Arc::clone(&sealed));
        Some(sealed)
    }

    /// What the mark should say.
    pub(crate) fn mark(&self) -> Option<Mark> {
        let contents = self.active.as_ref().filter(|_| !self.damaged).map(|active| &active.contents)?;
        Some(Mark {
            released: self.released,
            segment: contents.first,
            durable_bytes: contents.bytes,
            durable_next: contents.next,
        })
    }

    /// The segment that should hold this offset, which lies within the bounds.
    pub(crate) fn segment_of(&self, offset: u64) -> Option<Readable> {
        if let Some(active) = self.active.as_ref().filter(|active| active.contents.first <= offset) {
            return Some(active.readable(position_before(&active.contents, offset)));
        }
        let behind = self.sealed.partition_point(|sealed| sealed.contents.first <= offset);
        let sealed = self.sealed.get(behind.checked_sub(1)?)?;
        Some(sealed.readable(position_before(&sealed.contents, offset)))
    }

    /// The first segment with a frame received at or after this time, from about that frame on.
    pub(crate) fn segment_at(&self, received_at: i64) -> Option<Readable> {
        for sealed in self.sealed.iter() {
            if let Some(entry) = sealed.contents.entry_at(received_at) {
                return Some(sealed.readable(entry.position));
            }
        }
        let active = self.active.as_ref()?;
        let entry = active.contents.entry_at(received_at)?;
        Some(active.readable(entry.position))
    }

    /// Where a reader goes on that has read up to this offset.
    pub(crate) fn take_cursor(&mut self, next: u64) -> Option<Cursor> {
        let at = self.cursors.iter().position(|cursor| cursor.next == next)?;
        self.cursors.remove(at)
    }

    /// Remembers where a reader goes on.
    pub(crate) fn put_cursor(&mut self, cursor: Cursor) {
        if self.cursors.len() == CURSORS_MAX {
            self.cursors.pop_front();
        }
        self.cursors.push_back(cursor);
    }

    /// The sealed segments that retention takes: whole, released, the oldest first, and too old or beyond the size.
    pub(crate) fn expired(&self, settings: &LogSettings, now: i64) -> usize {
        let kept_since = now.saturating_sub(micros(settings.retain_for));
        let mut bytes = self.bytes();
        let expires = |sealed: &&Arc<Sealed>| {
            let contents = &sealed.contents;
            let expires = contents.next <= self.released
                && (contents.received_max < kept_since || bytes > settings.retain_bytes);
            bytes -= contents.bytes;
            expires
        };
        self.sealed.iter().take_while(expires).count()
    }

    /// Whether the active segment holds records that are so old that it should be sealed before it is full, or its
    /// last record would keep the first ones for long.
    pub(crate) fn ages(&self, settings: &LogSettings, now: i64) -> bool {
        let since = now.saturating_sub(micros(settings.retain_for / 4));
        let active = self.active.as_ref().filter(|_| self.failed.is_none());
        active.is_some_and(|active| active.contents.frames > 0 && active.contents.received_first < since)
    }
}

impl Readable {
    fn new(path: &Path, salt: u64, contents: &Contents, position: u64) -> Self {
        let (first, next, bytes) = (contents.first, contents.next, contents.bytes);
        Self { path: path.to_owned(), salt, first, next, bytes, position }
    }
}

impl Active {
    fn readable(&self, position: u64) -> Readable {
        Readable::new(&self.path, self.salt, &self.contents, position)
    }
}

impl Sealed {
    fn readable(&self, position: u64) -> Readable {
        Readable::new(&self.path, self.salt, &self.contents, position)
    }
}

/// Byte of a frame at or before the one that holds this offset.
fn position_before(contents: &Contents, offset: u64) -> u64 {
    contents.entry_before(offset).map_or(HEADER_BYTES as u64, |entry| entry.position)
}

impl Known {
    /// The answer to an append whose key is known.
    ///
    /// # Errors
    /// [`LogError::KeyReused`] when something else was sent with it.
    pub(crate) fn repeated(self, partition: &PartitionId, body: u32) -> Result<Appended, LogError> {
        if self.body.is_some_and(|known| known != body) {
            return Err(LogError::KeyReused { partition: partition.clone(), first: self.first });
        }
        Ok(Appended { first: self.first, last: self.first + u64::from(self.records) - 1, repeated: true })
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
