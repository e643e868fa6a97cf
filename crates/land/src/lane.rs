//! One partition of a log on its way to the table.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flowline_base::{Computing, RunId};
use flowline_log::PartitionId;
use flowline_model::{InputRange, LandingSettings, Run};

use crate::Contract;
use crate::ahead::{Ahead, Found};
use crate::committing::{Committing, Ended};
use crate::drift;
use crate::examine::{Compared, Turn};
use crate::feed::Feed;
use crate::keys::Keys;
use crate::parcel::Piece;
use crate::schemas::RecordSchemas;
use crate::staging::{Sealed, Sealing, Staging, failed};
use crate::tables::{Place, Tables};
use crate::{LandContext, LandError, meter};

/// So many bytes are committed when nothing has come for a moment: their commit costs little beside what they did, and
/// who is behind by so much does not come a record at a time.
const WORTH_A_COMMIT: u64 = 8 << 20;
const SILENCE: Duration = Duration::from_millis(50);
/// Parcels that are decoded ahead of the one that is written, so that neither waits for the other where one takes longer
/// now and then.
const AHEAD: usize = 3;

/// The instant at which a time of the clock was; now where that lies ahead, or too far back to be told.
fn instant_of(context: &LandContext, micros: i64) -> Instant {
    let now = context.clock.instant();
    let ago = u64::try_from(context.clock.now_micros() - micros).unwrap_or(0);
    now.checked_sub(Duration::from_micros(ago)).unwrap_or(now)
}

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
    /// Where the flush under way begins: behind one whose commit is still being made.
    begun: u64,
    /// It cannot be read now, and is left alone until then.
    pub(crate) quiet_until: Option<Instant>,
    /// Where to read next.
    pub(crate) next: u64,
    /// Everything before it is in the table, or taken into a flush.
    taken: u64,
    /// Bytes taken into the flush under way.
    bytes_taken: u64,
    /// When the newest record that was read was received.
    received: Option<Instant>,
    /// There was nothing more to read.
    at_end: bool,
    /// The flush before was full: the rest of what had been waiting is not to wait any longer than it must.
    catching_up: bool,
    pub(crate) staging: Option<Staging>,
    /// Parcels that are being decoded while those before them are written, in the order in which they were read.
    pending: VecDeque<Pending>,
    /// Comes when the last of them has been compared.
    turn: Option<Turn>,
    /// The flush before, whose commit is being made.
    committing: Option<Committing>,
    /// The flush before, whose commit failed and is to be tried again.
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
            begun: committed,
            next: committed,
            taken: committed,
            bytes_taken: 0,
            received: None,
            at_end: false,
            catching_up: false,
            staging: None,
            pending: VecDeque::new(),
            turn: None,
            committing: None,
            sealed: None,
            stop: None,
            held: None,
        }
    }

    /// A run whose rows are not in the table yet; the one that failed, where one did.
    pub(crate) fn run(&self) -> Option<RunId> {
        self.runs().next()
    }

    /// The runs whose rows are not in the table yet.
    pub(crate) fn runs(&self) -> impl Iterator<Item = RunId> {
        let sealed = self.sealed.as_ref().map(|sealed| sealed.flush.run.id);
        let staged = self.staging.as_ref().map(|staging| staging.run);
        sealed.into_iter().chain(staged).chain(self.committing.as_ref().map(|committing| committing.run))
    }

    /// How long what is staged may still wait for more; none when nothing is staged.
    pub(crate) fn flush_in(&self, settings: LandingSettings, now: Instant) -> Option<Duration> {
        let left =
            |since: Instant, limit: Duration| limit.saturating_sub(now.saturating_duration_since(since));
        let staging = self.staging.as_ref()?;
        if self.bytes_taken >= settings.flush_bytes {
            return Some(Duration::ZERO);
        }
        let by_age = left(staging.since, settings.flush_after);
        // While there is more to read, it is no silence that it takes time.
        let worth = self.at_end && (self.catching_up || self.bytes_taken >= WORTH_A_COMMIT);
        let by_silence = self.received.filter(|_| worth);
        Some(by_silence.map_or(by_age, |received| by_age.min(left(received, SILENCE))))
    }

    /// What the flush under way has read; the one that failed, where one did.
    pub(crate) fn range(&self) -> InputRange {
        let failed = self.sealed.as_ref().and_then(|sealed| sealed.flush.run.inputs.first().cloned());
        let staged =
            || InputRange { input: self.input.to_string(), from: self.begun as i64, to: self.next as i64 };
        failed.unwrap_or_else(staged)
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
        let taking = async {
            match self.pending.len() >= AHEAD {
                true => self.take_pending(means.context, means.tables, keys).await,
                false => Ok(()),
            }
        };
        let (found, taken) = tokio::join!(ahead.read(means), taking);
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
                self.take_all(means.context, means.tables, keys).await?;
                self.held = self.stop.as_ref().map(|(_, held)| held.clone());
                Ok(false)
            }
            // Offsets without records are passed, and that is committed like rows are: nobody waits for them any more.
            Found::Nothing { next, tombstones } if next > from => {
                self.take_all(means.context, means.tables, keys).await?;
                if self.next != from || self.held.is_some() {
                    return Ok(self.held.is_none());
                }
                self.staging.get_or_insert_with(|| Staging::start(means.context, run)).leave_out(tombstones);
                (self.next, self.taken) = (next, next);
                Ok(true)
            }
            Found::Nothing { .. } => {
                self.at_end = true;
                self.take_all(means.context, means.tables, keys).await?;
                // What was held up is read again, as far as it is landed still.
                Ok(self.next != from && self.held.is_none())
            }
            Found::Records { next, bytes, received, decoding } => {
                self.next = next;
                self.at_end = false;
                self.received = received.map(|received| instant_of(means.context, received));
                self.staging.get_or_insert_with(|| Staging::start(means.context, run));
                self.pending.push_back(Pending { next, bytes, decoding });
                Ok(true)
            }
        }
    }

    /// Takes in everything that was read.
    async fn take_all(
        &mut self,
        context: &LandContext,
        tables: &Tables,
        keys: &mut Option<Keys>,
    ) -> Result<(), LandError> {
        while !self.pending.is_empty() {
            self.take_pending(context, tables, keys).await?;
        }
        Ok(())
    }

    /// Takes in the first of what is being decoded.
    async fn take_pending(
        &mut self,
        context: &LandContext,
        tables: &Tables,
        keys: &mut Option<Keys>,
    ) -> Result<(), LandError> {
        let (Some(pending), Some(staging)) = (self.pending.pop_front(), &mut self.staging) else {
            return Ok(());
        };
        let Pending { next, bytes, decoding } = pending;
        let compared = decoding.await.map_err(|error| failed(&error))?;
        if compared.watched.held {
            return self.hold(context, tables, compared).await;
        }
        (self.taken, self.bytes_taken) = (next, self.bytes_taken + bytes);
        staging.take(context, tables, compared, keys).await
    }

    /// Nothing of these records is landed, and nothing behind them; what was staged before is.
    async fn hold(
        &mut self,
        context: &LandContext,
        tables: &Tables,
        compared: Compared,
    ) -> Result<(), LandError> {
        // Those behind are not compared any more, and are read again.
        for behind in std::mem::take(&mut self.pending) {
            drop(behind.decoding.await);
        }
        self.turn = None;
        let news = compared.is_news();
        let Compared { parcel, watched, .. } = compared;
        let begins = parcel.pieces.first().map_or(self.next, Piece::begins);
        (self.next, self.taken) = (begins, begins);
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

    /// Takes one step towards the table, if there is one to take: ends a flush that is due and begins its commit, or
    /// waits for the end of a commit. Of a partition one is made after the other.
    pub(crate) async fn step(
        &mut self,
        step: Step<'_>,
        keys: &mut Option<Keys>,
    ) -> Result<Stepped, LandError> {
        let left = self.flush_in(step.tables.dataset.landing, step.context.clock.instant());
        let due = left.is_some_and(|left| left.is_zero() || step.extent == Extent::All);
        if let Some(committing) = &self.committing {
            if !due && step.extent == Extent::Due && !committing.has_ended() {
                return Ok(Stepped::Nothing);
            }
            return self.take_up(keys).await;
        }
        if let Some(sealed) = self.sealed.take() {
            self.committing = Some(Committing::again(step.context, step.tables, sealed, step.attempts));
            return Ok(Stepped::Again);
        }
        if !due {
            return Ok(Stepped::Nothing);
        }
        let full = self.bytes_taken >= step.tables.dataset.landing.flush_bytes;
        // What is decoded behind a full flush goes into the next one.
        if !full || step.extent == Extent::All {
            self.take_all(step.context, step.tables, keys).await?;
        }
        let Some(staging) = self.staging.take() else { return Ok(Stepped::Nothing) };
        let sealing = Sealing {
            trigger: "new-records",
            inputs: vec![InputRange { to: self.taken as i64, ..self.range() }],
            files: Vec::new(),
            place: self.place.clone(),
            next: self.taken as i64,
            attempts: step.attempts,
            now: step.context.clock.now(),
        };
        let closing = staging.end(step.tables, sealing, keys).await?;
        self.catching_up = full;
        (self.begun, self.bytes_taken) = (self.taken, 0);
        if !self.pending.is_empty() {
            self.staging = Some(Staging::start(step.context, None));
        }
        self.committing = Some(Committing::close(step.context, step.tables, closing, step.attempts));
        Ok(Stepped::Begun)
    }

    /// Waits for the end of the commit that is being made.
    async fn take_up(&mut self, keys: &mut Option<Keys>) -> Result<Stepped, LandError> {
        let Some(committing) = self.committing.take() else { return Ok(Stepped::Nothing) };
        match committing.ended().await {
            Ended::Committed(run, sealed) => {
                self.place.data = Some(sealed.flush.position.next);
                if let Some((_, position)) = &sealed.flush.rejected {
                    self.place.quarantine = Some(position.next);
                }
                self.committed = self.begun;
                Ok(Stepped::Committed(run))
            }
            Ended::Refused(error, sealed) => {
                self.sealed = Some(*sealed);
                Err(error)
            }
            Ended::Unclosed(error, journal) => {
                // What came behind it is let go as well: it is read again.
                self.begun = self.committed;
                self.abandon(keys);
                if let Some(keys) = keys {
                    keys.take_back(journal);
                }
                Err(error)
            }
            Ended::Lost(error) => {
                *keys = None;
                Err(error)
            }
        }
    }

    /// Waits for the end of a commit, whatever it comes to: what is in the table is read from there then.
    pub(crate) async fn let_go(&mut self) {
        if let Some(committing) = self.committing.take()
            && let Ended::Committed(run, _) = committing.ended().await
        {
            meter::committed(&run);
        }
    }

    /// Lets go of what is staged.
    pub(crate) fn abandon(&mut self, keys: &mut Option<Keys>) {
        self.pending.clear();
        (self.stop, self.held) = (None, None);
        self.bytes_taken = 0;
        (self.next, self.taken) = (self.begun, self.begun);
        if let Some(staging) = self.staging.take() {
            staging.abandon(keys);
        }
    }
}

/// A parcel that is being decoded.
#[derive(Debug)]
struct Pending {
    /// The offset behind it.
    next: u64,
    /// Bytes of its payload.
    bytes: u64,
    decoding: Computing<Compared>,
}

/// What is to be committed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extent {
    /// Commits of flushes that are due are begun, and those that have ended are taken up.
    Due,
    /// The same, and commits that are being made are waited for.
    Begun,
    /// Everything, due or not.
    All,
}

/// What a step is taken with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) context: &'a LandContext,
    pub(crate) tables: &'a Tables,
    pub(crate) extent: Extent,
    /// The number of the try.
    pub(crate) attempts: u32,
}

/// What a step came to.
#[derive(Debug)]
pub(crate) enum Stepped {
    /// There is nothing to do now.
    Nothing,
    /// A commit is being made.
    Begun,
    /// A commit that failed is being tried again: nothing is read until it has succeeded.
    Again,
    /// A flush is in the tables.
    Committed(Box<Run>),
}
