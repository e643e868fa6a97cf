//! One partition of a log on its way to the table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flowline_base::RunId;
use flowline_log::PartitionId;
use flowline_model::{InputRange, LandingSettings};
use tokio::task::JoinHandle;

use crate::Contract;
use crate::ahead::{Ahead, Found};
use crate::drift;
use crate::examine::{Compared, Turn};
use crate::feed::Feed;
use crate::keys::Keys;
use crate::parcel::Piece;
use crate::schemas::RecordSchemas;
use crate::staging::{Sealed, Sealing, Staging, failed};
use crate::tables::{Place, Tables};
use crate::{LandContext, LandError};

/// So many bytes are committed when nothing has come for a moment: their commit costs little beside what they did, and
/// who is behind by so much does not come a record at a time.
const WORTH_A_COMMIT: u64 = 8 << 20;
const SILENCE: Duration = Duration::from_millis(50);

/// What the lanes of a dataset read with.
pub(crate) struct Means<'a> {
    pub(crate) context: &'a LandContext,
    pub(crate) feed: &'a Feed,
    pub(crate) contract: &'a Contract,
    pub(crate) schemas: &'a RecordSchemas,
    pub(crate) tables: &'a Tables,
}

/// One partition: what is committed, what is read, and what is under way in between.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) partition: PartitionId,
    pub(crate) input: Arc<str>,
    pub(crate) place: Place,
    /// Everything before it is in the table.
    pub(crate) committed: u64,
    /// It cannot be read now, and is left alone until then.
    pub(crate) quiet_until: Option<Instant>,
    /// Where to read next.
    pub(crate) next: u64,
    /// Bytes read since the last flush.
    pub(crate) bytes_read: u64,
    /// When records were read last.
    read_at: Option<Instant>,
    pub(crate) staging: Option<Staging>,
    /// Records that are being decoded while the ones before them are written.
    pending: Option<JoinHandle<Compared>>,
    /// Comes when they have been compared.
    turn: Option<Turn>,
    /// A flush whose commit has not succeeded yet.
    pub(crate) sealed: Option<Sealed>,
    /// Drift begins with the records that came together from this offset on: those before it are landed still.
    stop: Option<(u64, Held)>,
    /// Why nothing more is read, where drift holds landing up: from `next` on.
    pub(crate) held: Option<Held>,
}

/// Landing that is held up by drift.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Where it begins.
    pub(crate) position: String,
    /// What was found.
    pub(crate) message: String,
}

impl Lane {
    pub(crate) fn new(partition: PartitionId, input: String, place: Place, committed: u64) -> Self {
        Self {
            partition,
            input: Arc::from(input),
            quiet_until: None,
            place,
            committed,
            next: committed,
            bytes_read: 0,
            read_at: None,
            staging: None,
            pending: None,
            turn: None,
            sealed: None,
            stop: None,
            held: None,
        }
    }

    /// The run of the flush under way.
    pub(crate) fn run(&self) -> Option<RunId> {
        let sealed = self.sealed.as_ref().map(|sealed| sealed.flush.run.id);
        sealed.or_else(|| self.staging.as_ref().map(|staging| staging.run))
    }

    /// How long what is staged may still wait for more; none when nothing is staged.
    pub(crate) fn flush_in(&self, settings: LandingSettings, now: Instant) -> Option<Duration> {
        let left =
            |since: Instant, limit: Duration| limit.saturating_sub(now.saturating_duration_since(since));
        let staging = self.staging.as_ref()?;
        if self.bytes_read >= settings.flush_bytes {
            return Some(Duration::ZERO);
        }
        let by_age = left(staging.since, settings.flush_after);
        let by_silence = self.read_at.filter(|_| self.bytes_read >= WORTH_A_COMMIT);
        Some(by_silence.map_or(by_age, |read_at| by_age.min(left(read_at, SILENCE))))
    }

    /// What a flush of this lane has read.
    pub(crate) fn range(&self) -> InputRange {
        InputRange { input: self.input.to_string(), from: self.committed as i64, to: self.next as i64 }
    }

    /// Reads on and starts to decode, and meanwhile takes in what was decoded before. False when there was nothing to
    /// read; then everything that was read is taken in.
    pub(crate) async fn read(
        &mut self,
        means: &Means<'_>,
        keys: &mut Option<Keys>,
        run: Option<RunId>,
    ) -> Result<bool, LandError> {
        if self.held.is_some() {
            return Ok(false);
        }
        let from = self.next;
        let ahead = Ahead {
            partition: self.partition.partition,
            input: Arc::clone(&self.input),
            from,
            stop: self.stop.as_ref().map(|(stop, _)| *stop),
            turn: self.turn.take(),
        };
        // Neither is ever dropped half-way: what is taken in would be lost.
        let (found, taken) =
            tokio::join!(ahead.read(means), self.take_pending(means.context, means.tables, keys));
        if taken.is_err() || self.held.is_some() || self.next != from {
            // What was read behind it is read again, and must not be compared any more then.
            if let Ok((Found::Records { decoding, .. }, _)) = found {
                drop(decoding.await);
            }
            return taken.map(|()| self.held.is_none());
        }
        let (found, turn) = found?;
        self.turn = turn;
        match found {
            Found::Stop => {
                self.held = self.stop.as_ref().map(|(_, held)| held.clone());
                Ok(false)
            }
            // Offsets without records are passed, and that is committed like rows are: nobody waits for them any more.
            Found::Nothing { next, tombstones } if next > from => {
                self.staging.get_or_insert_with(|| Staging::start(means.context, run)).leave_out(tombstones);
                self.next = next;
                Ok(true)
            }
            Found::Nothing { .. } => Ok(false),
            Found::Records { next, bytes, decoding } => {
                self.next = next;
                self.bytes_read += bytes;
                self.read_at = Some(means.context.clock.instant());
                self.staging.get_or_insert_with(|| Staging::start(means.context, run));
                self.pending = Some(decoding);
                Ok(true)
            }
        }
    }

    async fn take_pending(
        &mut self,
        context: &LandContext,
        tables: &Tables,
        keys: &mut Option<Keys>,
    ) -> Result<(), LandError> {
        let (Some(pending), Some(staging)) = (self.pending.take(), &mut self.staging) else { return Ok(()) };
        let compared = pending.await.map_err(|error| failed(&error))?;
        if compared.watched.held {
            return self.hold(context, tables, compared).await;
        }
        staging.take(context, tables, compared, keys).await
    }

    /// Nothing of these records is landed, and nothing behind them; what was staged before is.
    async fn hold(
        &mut self,
        context: &LandContext,
        tables: &Tables,
        compared: Compared,
    ) -> Result<(), LandError> {
        // Those behind were not compared, and are read again.
        self.turn = None;
        let news = compared.is_news();
        let Compared { parcel, watched, .. } = compared;
        let begins = parcel.pieces.first().map_or(self.next, Piece::begins);
        self.next = begins;
        let offset = |found: &drift::Found| {
            found.first.rsplit('@').next().and_then(|offset| offset.parse::<u64>().ok())
        };
        let first = watched.found.iter().min_by_key(|found| offset(found).unwrap_or(0));
        let held = Held {
            position: first.map_or_else(|| parcel.position(begins), |found| found.first.clone()),
            message: first.map(|found| found.message.clone()).unwrap_or_default(),
        };
        // Records that came together are landed together: those of requests before are not held up.
        let offset = first.and_then(offset).unwrap_or(begins);
        let stop = parcel.pieces.iter().map(Piece::begins).take_while(|piece| *piece <= offset).last();
        match stop.filter(|stop| *stop > begins && parcel.tombstones == 0) {
            Some(stop) => self.stop = Some((stop, held)),
            None => self.held = Some(held),
        }
        if self.staging.as_ref().is_some_and(Staging::is_empty) {
            self.staging = None;
        }
        if news {
            let now = context.clock.now();
            let found = watched.found.into_iter().map(|found| found.finding(&tables.dataset, None, now));
            context.ledger.record_findings(&found.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Ends the flush under way; it waits in [`Lane::sealed`] for its commit.
    pub(crate) async fn seal(
        &mut self,
        context: &LandContext,
        tables: &Tables,
        keys: &mut Option<Keys>,
        attempts: u32,
    ) -> Result<(), LandError> {
        self.take_pending(context, tables, keys).await?;
        let Some(staging) = self.staging.take() else { return Ok(()) };
        let sealing = Sealing {
            trigger: "new-records",
            inputs: vec![self.range()],
            files: Vec::new(),
            place: self.place.clone(),
            next: self.next as i64,
            attempts,
            now: context.clock.now(),
        };
        self.sealed = Some(staging.seal(tables, sealing, keys).await?);
        Ok(())
    }

    /// The flush in [`Lane::sealed`] was committed.
    pub(crate) fn committed(&mut self) {
        let Some(sealed) = self.sealed.take() else { return };
        self.place.data = Some(sealed.flush.position.next);
        if let Some((_, position)) = &sealed.flush.rejected {
            self.place.quarantine = Some(position.next);
        }
        self.committed = self.next;
        self.bytes_read = 0;
    }

    /// Lets go of what is not committed and not waiting for its commit either.
    pub(crate) fn abandon(&mut self, keys: &mut Option<Keys>) {
        if self.sealed.is_some() {
            return;
        }
        self.pending = None;
        (self.stop, self.held) = (None, None);
        self.bytes_read = 0;
        self.next = self.committed;
        if let Some(staging) = self.staging.take() {
            staging.abandon(keys);
        }
    }
}
