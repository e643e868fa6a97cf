//! One partition: what is known of it, the queue of its appends, reads, releases.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use flowline_kafka::records::{Visible, batches};
use flowline_kafka::{CommittedOffset, FetchFrom, Fetched, KafkaError, LedOffset, OffsetAt, code};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedSemaphorePermit, oneshot, watch};

use super::frames;
use super::lost::{About, Held};
use super::shared::Shared;
use super::writer::{Writer, drain};
use crate::segment::frame;
use crate::segment::keys::KeyHash;
use crate::segment::release_rate::ReleaseRate;
use crate::{Appended, Batch, Bounds, Frame, LogError, LogSlab, PartitionId, PartitionStatus};

/// A read asks for this many bytes at least, so that small reads do not each cost a request of their own.
const READ_BYTES_MIN: usize = 64 << 10;
/// And for this many at most: what the caller wants beyond it takes another read.
const READ_BYTES_MAX: usize = 16 << 20;
/// How long closing waits for appends that are under way: as long as they may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(45);

/// See the module.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    pub(crate) topic: String,
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Mutex<State>,
    /// Held by whoever empties the queue.
    pub(crate) writer: AsyncMutex<Writer>,
    /// The end of the log; none once it is closed.
    pub(crate) end: watch::Sender<Option<u64>>,
    /// The queue is empty and nobody empties it.
    pub(crate) idle: Notify,
}

/// What is known of a partition.
#[derive(Debug, Default)]
pub(crate) struct State {
    exists: bool,
    start: u64,
    pub(crate) end: u64,
    pub(crate) released: u64,
    pub(crate) queue: VecDeque<Pending>,
    pub(crate) queued_bytes: u64,
    pub(crate) draining: bool,
    closed: bool,
    last_received_at: Option<i64>,
    /// Records that went through this process, and their bytes: Kafka does not say how many bytes lie between offsets.
    seen_records: u64,
    seen_bytes: u64,
    release_rate: ReleaseRate,
    /// How often another topic has taken the place of the one before.
    pub(crate) topics_seen: u64,
    pub(crate) held: Held,
    /// Why the cluster could not be asked the last time.
    pub(crate) failed: Option<LogError>,
}

/// A batch that waits to be sent.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) batch: Batch,
    pub(crate) bytes: u64,
    pub(crate) hash: Option<KeyHash>,
    /// The checksum of what it holds, where it has a key.
    pub(crate) body: u32,
    pub(crate) reply: oneshot::Sender<Result<Appended, LogError>>,
    /// Its room in the queue, given back when it is answered.
    _room: OwnedSemaphorePermit,
}

impl State {
    /// Bytes of so many records, as far as that is known.
    fn bytes_of(&self, records: u64) -> u64 {
        let bytes = u128::from(self.seen_bytes) * u128::from(records) / u128::from(self.seen_records.max(1));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn unreleased_bytes(&self) -> u64 {
        self.bytes_of(self.end.saturating_sub(self.released.max(self.start)))
    }

    pub(crate) fn saw(&mut self, records: u64, bytes: u64) {
        // Older records count less and less, and the sums stay small.
        if self.seen_records > 1 << 32 {
            (self.seen_records, self.seen_bytes) = (self.seen_records / 2, self.seen_bytes / 2);
        }
        self.seen_records += records;
        self.seen_bytes += bytes;
    }
}

impl Partition {
    pub(crate) fn new(shared: Arc<Shared>, id: PartitionId) -> Self {
        let (end, _) = watch::channel(Some(0));
        Self {
            topic: shared.topic(&id.source),
            id,
            shared,
            state: Mutex::default(),
            writer: AsyncMutex::default(),
            end,
            idle: Notify::new(),
        }
    }

    pub(crate) fn number(&self) -> i32 {
        i32::try_from(self.id.partition).unwrap_or(i32::MAX)
    }

    pub(crate) async fn append(self: &Arc<Self>, batch: Batch) -> Result<Appended, LogError> {
        frame::check(&batch)?;
        self.shared.ready()?;
        let bytes = (batch.payload.len() + batch.schema.len()) as u64;
        self.admit(bytes)?;
        let room = Arc::clone(&self.shared.room).acquire_many_owned(Shared::permits(bytes)).await;
        let room = room.map_err(|_| LogError::Closed)?;
        let hash = batch.idempotency_key.as_deref().map(KeyHash::of);
        // Only asked for with a key.
        let body = hash.map_or(0, |_| frame::body_crc(&batch));
        let (reply, answer) = oneshot::channel();
        self.push(Pending { batch, bytes, hash, body, reply, _room: room })?;
        answer.await.unwrap_or(Err(LogError::Closed))
    }

    fn push(self: &Arc<Self>, pending: Pending) -> Result<(), LogError> {
        self.admit(pending.bytes)?;
        let mut state = self.state.lock();
        state.queued_bytes += pending.bytes;
        state.queue.push_back(pending);
        if !std::mem::replace(&mut state.draining, true) {
            tokio::spawn(drain(Arc::clone(self)));
        }
        Ok(())
    }

    /// Whether so many bytes may wait to be landed as well.
    fn admit(&self, bytes: u64) -> Result<(), LogError> {
        self.whole()?;
        let state = self.state.lock();
        if state.closed {
            return Err(LogError::Closed);
        }
        let waiting = state.unreleased_bytes() + state.queued_bytes;
        let bytes_max = self.shared.settings.bytes_max;
        if waiting > 0 && waiting + bytes > bytes_max {
            return Err(LogError::Full {
                partition: self.id.clone(),
                bytes: waiting,
                bytes_max,
                retry_after: state.release_rate.time_for(bytes),
            });
        }
        Ok(())
    }

    /// The records of a batch were appended.
    pub(crate) fn appended(&self, first: u64, records: u32, bytes: u64, received_at: i64) {
        let mut state = self.state.lock();
        state.exists = true;
        state.end = state.end.max(first + u64::from(records));
        state.last_received_at = state.last_received_at.max(Some(received_at));
        state.saw(u64::from(records), bytes);
        state.failed = None;
        self.announce(state.end);
    }

    fn announce(&self, new_end: u64) {
        self.end.send_if_modified(|end| match end {
            Some(known) if *known < new_end => {
                *known = new_end;
                true
            }
            _ => false,
        });
    }

    /// Behind this offset a transaction of somebody else's is under way: nobody may read on, so that nobody need be woken.
    fn withdraw(&self, readable: u64) {
        self.end.send_if_modified(|end| match end {
            Some(known) if *known > readable => {
                *known = readable;
                true
            }
            _ => false,
        });
    }

    /// Asks where the partition begins and ends.
    pub(crate) async fn refresh(&self) -> Result<Bounds, LogError> {
        self.shared.ready()?;
        if self.still_lost().await? {
            return Ok(self.bounds_known());
        }
        let known = self.state.lock().end;
        let bounds = self.look_anew().await?;
        if bounds.end < known && self.shared.replaced(&self.id.source).await? {
            self.begin_anew();
            return self.look_anew().await;
        }
        match self.verify_end(bounds.end).await {
            // Concerns those who append, or read what is gone.
            Ok(()) | Err(LogError::Lost { .. }) => Ok(bounds),
            Err(error) => Err(error),
        }
    }

    /// The same, where nothing was known before.
    pub(crate) async fn look_anew(&self) -> Result<Bounds, LogError> {
        if !self.shared.exists(&self.id).await? {
            return Ok(Bounds { start: 0, end: 0 });
        }
        let about = self.about();
        let start = self.offset(OffsetAt::Start).await?.unwrap_or(0);
        let shown = self.offset_led(OffsetAt::CommittedEnd).await?;
        self.note_shown(about, shown);
        let end = shown.offset.unwrap_or(0).max(start);
        let mut state = self.state.lock();
        state.exists |= end > 0;
        (state.start, state.end) = (start, end);
        state.failed = None;
        self.announce(end);
        Ok(Bounds { start, end })
    }

    /// The topic was deleted, and maybe made again: nothing that is known of it is true.
    pub(crate) fn begin_anew(&self) {
        tracing::warn!(partition = %self.id, topic = self.topic, "the topic of the log was deleted or made again");
        self.shared.forget(&self.id.source);
        let mut state = self.state.lock();
        (state.exists, state.start, state.end, state.released) = (false, 0, 0, 0);
        state.topics_seen += 1;
        state.held = Held::default();
        self.end.send_if_modified(|end| {
            *end = end.map(|_| 0);
            true
        });
    }

    /// The id of its topic.
    pub(crate) async fn identity(&self) -> Result<Option<String>, LogError> {
        self.shared.ready()?;
        self.shared.exists(&self.id).await?;
        Ok(self.known_identity())
    }

    pub(crate) fn known_identity(&self) -> Option<String> {
        let id = self.shared.topic_id(&self.id.source)?;
        Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Asks where it ends, once.
    pub(crate) async fn look(&self) -> Result<(), LogError> {
        if !self.shared.exists(&self.id).await? {
            return Ok(());
        }
        let about = self.about();
        let shown = self.offset_led(OffsetAt::CommittedEnd).await?;
        self.note_shown(about, shown);
        let end = shown.offset.unwrap_or(0);
        let mut state = self.state.lock();
        state.exists |= end > 0;
        state.end = state.end.max(end);
        state.failed = None;
        self.announce(end);
        Ok(())
    }

    pub(crate) async fn offset(&self, at: OffsetAt) -> Result<Option<u64>, LogError> {
        Ok(self.offset_led(at).await?.offset)
    }

    async fn offset_led(&self, at: OffsetAt) -> Result<LedOffset, LogError> {
        let found = self.shared.cluster.offset_led(&self.topic, self.number(), at).await;
        found.map_err(|error| self.failed(error))
    }

    /// Whatever was written, also what belongs to transactions.
    pub(crate) async fn fetch(&self, from: u64, bytes_max: usize) -> Result<Fetched, LogError> {
        self.fetched(self.shared.cluster.fetch(self.place(from, None), bytes_max).await)
    }

    /// What lies before the oldest transaction that is under way. We write none, but others may write to the topic.
    async fn fetch_committed(&self, from: u64, bytes_max: usize) -> Result<Fetched, LogError> {
        let place = self.place(from, self.epoch_before(from));
        self.fetched(self.shared.cluster.fetch_committed(place, bytes_max).await)
    }

    fn place(&self, offset: u64, after: Option<i32>) -> FetchFrom<'_> {
        let id = self.shared.topic_id(&self.id.source);
        FetchFrom { topic: &self.topic, id, partition: self.number(), offset, after }
    }

    fn fetched(&self, fetched: Result<Fetched, KafkaError>) -> Result<Fetched, LogError> {
        if let Err(KafkaError::Replaced { .. }) = &fetched {
            self.begin_anew();
        }
        fetched.map_err(|error| self.failed(error))
    }

    pub(crate) fn failed(&self, error: KafkaError) -> LogError {
        LogError::Kafka { partition: self.id.clone(), error: Box::new(error) }
    }

    pub(crate) fn damaged(&self, offset: i64, reason: String) -> LogError {
        self.failed(KafkaError::Records {
            topic: self.topic.clone(),
            partition: self.number(),
            offset,
            reason,
        })
    }

    pub(crate) async fn read(&self, from: u64, bytes_max: usize) -> Result<LogSlab, LogError> {
        self.shared.ready()?;
        self.whole_before(from)?;
        let empty = || LogSlab { partition: self.id.clone(), frames: Vec::new(), next: from };
        if i64::try_from(from).is_err() || !self.shared.exists(&self.id).await? {
            return Ok(empty());
        }
        let wanted = bytes_max.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        let about = self.about();
        let fetched = match self.fetch_committed(from, wanted).await {
            Err(LogError::Kafka { error, .. }) if error.code() == Some(code::OFFSET_OUT_OF_RANGE) => {
                let Bounds { start, end } = self.refresh().await?;
                if from < start {
                    return Err(LogError::Gone { partition: self.id.clone(), offset: from, oldest: start });
                }
                self.whole_before(from)?;
                if from < end {
                    // What was read before it was appended in an epoch that the cluster does not know any more.
                    return Err(self.failed(*error));
                }
                return Ok(empty());
            }
            fetched => fetched?,
        };
        if let Some(end) = fetched.diverging {
            self.diverged(about, from, end).await?;
            return Ok(empty());
        }
        let (frames, next) = self.frames(&fetched, about, from, bytes_max)?;
        if frames.is_empty() && next == from && fetched.end < fetched.written {
            self.withdraw(u64::try_from(fetched.end).unwrap_or(0));
        }
        Ok(LogSlab { partition: self.id.clone(), frames, next })
    }

    /// The frames from this offset on that follow each other without a gap and have not many more bytes than asked, and
    /// where to read next: behind the markers of somebody's transactions, and what was given up, as well.
    fn frames(
        &self,
        fetched: &Fetched,
        about: Option<About>,
        from: u64,
        bytes_max: usize,
    ) -> Result<(Vec<Frame>, u64), LogError> {
        let (mut taken, mut next) = (Vec::<Frame>::new(), from);
        let mut bytes = 0;
        let found = batches(&fetched.batches).map_err(|(at, reason)| self.damaged(at, reason))?;
        let mut visible = Visible::new(fetched.aborted.clone());
        for batch in &found {
            self.note_read(about, batch.first_offset, batch.last_offset, batch.leader_epoch);
            if !visible.shows(batch) {
                next = next.max(u64::try_from(batch.last_offset).unwrap_or(0) + 1);
                continue;
            }
            let records = batch.records().map_err(|reason| self.damaged(batch.first_offset, reason))?;
            let frames =
                frames::frames(&records).map_err(|reason| self.damaged(batch.first_offset, reason))?;
            for frame in frames.into_iter().filter(|frame| frame.next_offset() > from) {
                bytes += frame.batch.payload.len();
                let gap = taken.last().is_some_and(|last| last.next_offset() != frame.first_offset);
                if gap || (!taken.is_empty() && bytes > bytes_max) {
                    return Ok((taken, next));
                }
                next = next.max(frame.next_offset());
                taken.push(frame);
            }
        }
        Ok((taken, next))
    }

    pub(crate) async fn offset_at(&self, received_at: i64) -> Result<u64, LogError> {
        self.shared.ready()?;
        if !self.shared.exists(&self.id).await? {
            return Ok(0);
        }
        // Kafka knows milliseconds; from there on the frames are asked.
        let found = self.offset(OffsetAt::Time(received_at.div_euclid(1_000))).await?;
        let Some(mut next) = found else { return Ok(self.refresh().await?.end) };
        loop {
            let slab = self.read(next, READ_BYTES_MIN).await?;
            let reached = slab.frames.iter().find(|frame| frame.batch.received_at >= received_at);
            match reached {
                Some(frame) => return Ok(frame.first_offset),
                None if slab.next == next => return Ok(next),
                None => next = slab.next,
            }
        }
    }

    pub(crate) async fn wait_beyond(&self, offset: u64) -> Result<(), LogError> {
        let mut end = self.end.subscribe();
        let beyond = end.wait_for(|end| end.is_none_or(|end| end > offset)).await;
        match beyond.as_deref() {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => Err(LogError::Closed),
        }
    }

    pub(crate) async fn release(&self, offset: u64) -> Result<(), LogError> {
        if offset > self.state.lock().end {
            let Bounds { end, .. } = self.refresh().await?;
            if offset > end && !self.landed_beyond(offset).await? {
                return Err(LogError::Behind { partition: self.id.clone(), offset, end });
            }
        }
        if !self.note_release(offset) {
            return Ok(());
        }
        let position = CommittedOffset { offset, note: self.landed_note(offset) };
        let positions = BTreeMap::from([(self.number(), position)]);
        let told = self.shared.cluster.commit(&self.shared.group(), None, &self.topic, &positions).await;
        if let Err(error) = told {
            // Costs knowledge of what is landed, for other nodes and for a while; the table is the truth.
            tracing::warn!(partition = %self.id, offset, %error, "Kafka was not told how far the log is landed");
        }
        Ok(())
    }

    /// Says whether anything changed.
    pub(crate) fn note_release(&self, offset: u64) -> bool {
        let mut state = self.state.lock();
        if offset <= state.released {
            return false;
        }
        let before = state.unreleased_bytes();
        state.released = offset;
        let released = before.saturating_sub(state.unreleased_bytes());
        state.release_rate.add(released, self.shared.clock.instant());
        true
    }

    pub(crate) fn bounds_known(&self) -> Bounds {
        let state = self.state.lock();
        Bounds { start: state.start, end: state.end }
    }

    pub(crate) fn bytes_of(&self, records: u64) -> u64 {
        self.state.lock().bytes_of(records)
    }

    pub(crate) async fn close(&self) {
        self.state.lock().closed = true;
        let emptied = async {
            loop {
                let idle = self.idle.notified();
                if !self.state.lock().draining {
                    return;
                }
                idle.await;
            }
        };
        if tokio::time::timeout(CLOSE_PATIENCE, emptied).await.is_err() {
            tracing::warn!(partition = %self.id, "appends were under way when the log was closed; they were not acknowledged");
        }
        self.end.send_replace(None);
    }

    /// None for a partition that has no records.
    pub(crate) fn status(&self) -> Option<PartitionStatus> {
        let state = self.state.lock();
        let exists = state.exists || state.failed.is_some() || !state.queue.is_empty();
        exists.then(|| PartitionStatus {
            partition: self.id.clone(),
            identity: self.known_identity(),
            bounds: Bounds { start: state.start, end: state.end },
            released: state.released,
            waiting_bytes: state.unreleased_bytes(),
            bytes: state.bytes_of(state.end - state.start.min(state.end)),
            queued: state.queue.len() as u64,
            last_received_at: state.last_received_at,
            failed: state.held.error(self).err().or_else(|| state.failed.clone()),
        })
    }
}
