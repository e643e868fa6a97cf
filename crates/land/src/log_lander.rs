//! Posted records: from the log to the table.
//!
//! Owns: when a flush ends, the wait for more records, and what is done when something fails: it is put on record and
//! tried again, and positions move with commits only. Does not own: what becomes of a record.

use std::sync::Arc;
use std::time::Duration;

use datafusion::logical_expr::{col, lit};
use flowline_lake::arrow_types;
use flowline_log::{LogError, PartitionId};
use flowline_model::{Dataset, FindingKind, Origin, Run};
use futures::future::select_all;
use tokio_util::sync::CancellationToken;

use crate::commit::{self, complete_ledger};
use crate::failures::{Cure, Failures, Tried};
use crate::findings::Findings;
use crate::keys::{KEYS_MAX, Keys};
use crate::lane::Lane;
use crate::replay::finish_interrupted;
use crate::reservation::Reservation;
use crate::tables::Tables;
use crate::{Contract, LandContext, LandError, meter};

/// Lands what is appended to the log of one dataset. One lander at a time: a second one is fenced off by the first
/// commit of either.
#[derive(Debug)]
pub struct LogLander {
    context: LandContext,
    contract: Contract,
    tables: Tables,
    partitions: u32,
    keys_max: usize,
    /// None until it was read from the table.
    keys: Option<Keys>,
    /// None until positions were read from the tables.
    lanes: Option<Vec<Lane>>,
    /// Held while rows are staged whose keys depend on the table.
    reservation: Reservation,
    failures: Failures,
}

impl LogLander {
    /// Compiles the contract. The storage is first looked at when records are landed.
    ///
    /// # Errors
    /// [`LandError::Contract`] and [`LandError::Origin`]: mend the dataset.
    pub async fn open(context: LandContext, dataset: Arc<Dataset>) -> Result<Self, LandError> {
        let Origin::Http(origin) = &dataset.origin else {
            let found = dataset.origin.kind();
            return Err(LandError::Origin { dataset: dataset.name.clone(), expected: "a log", found });
        };
        let contract = Contract::compile(Arc::clone(&dataset)).map_err(|error| LandError::Contract {
            dataset: dataset.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            partitions: origin.partitions,
            tables: Tables::new(&context, Arc::clone(&dataset)),
            failures: Failures::new(dataset.name.clone()),
            contract,
            context,
            keys_max: KEYS_MAX,
            keys: None,
            lanes: None,
            reservation: Reservation::default(),
        })
    }

    /// Remembers at most so many keys instead of seven million; see [`flowline_model::Dataset::key`]. A key costs 30 to
    /// 60 bytes. Keys that are forgotten before the horizon are a finding.
    pub fn with_keys_max(mut self, keys_max: usize) -> Self {
        self.keys_max = keys_max;
        self
    }

    /// Lands until it is told to stop; then commits what it holds. Failures are put on record and tried again for as
    /// long as need be.
    ///
    /// # Errors
    /// Only what trying again cannot mend: another lander has taken over.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), LandError> {
        // Only waits are cut short: a step that is dropped half-way would leave a flush that lacks records.
        while !shutdown.is_cancelled() {
            match self.cycle(&shutdown).await {
                Ok(()) => self.recovered().await,
                Err(LandError::Log(LogError::Closed)) => break,
                Err(error) => {
                    self.failed(error).await?;
                    self.failures.pause(&shutdown).await;
                }
            }
        }
        self.stop().await;
        Ok(())
    }

    /// Lands what is in the log now and commits it; returns the runs. For tests, and before a shutdown.
    ///
    /// # Errors
    /// The first failure. What was committed stays; calling again goes on behind it.
    pub async fn land_available(&mut self) -> Result<Vec<Run>, LandError> {
        let landed = self.try_land_available().await;
        if landed.is_err() {
            self.begin_again();
        }
        landed
    }

    async fn try_land_available(&mut self) -> Result<Vec<Run>, LandError> {
        self.begin().await?;
        let mut runs = Vec::new();
        loop {
            let more = self.read().await?;
            runs.extend(self.flush(!more).await?);
            if !more {
                self.reservation.give_back();
                return Ok(runs);
            }
        }
    }

    /// Reads what there is, commits what is due, and waits when there was nothing.
    async fn cycle(&mut self, shutdown: &CancellationToken) -> Result<(), LandError> {
        self.begin().await?;
        let more = self.read().await?;
        // With several partitions there may always be one whose rows are staged; now and then all are committed, so that
        // a replay gets its turn.
        let others = self.tables.dataset.landing.flush_after * 2 + RESERVED;
        let all = self.reservation.held_for(&self.context.clock) > others;
        self.flush(all).await?;
        if self.lanes.iter().flatten().all(|lane| lane.run().is_none()) {
            self.reservation.give_back();
        }
        if more { Ok(()) } else { self.wait(shutdown).await }
    }

    /// Fits the tables, completes the ledger, reads keys and positions: once, and again after what was staged or
    /// remembered has become worthless.
    async fn begin(&mut self) -> Result<(), LandError> {
        if self.lanes.is_some() && self.keys.is_some() {
            return Ok(());
        }
        let dataset = Arc::clone(&self.tables.dataset);
        self.tables.ensure_data().await?;
        finish_interrupted(&self.context, &self.tables).await?;
        complete_ledger(&self.context, &self.tables.data).await?;
        let mut keys = Keys::new(&dataset, self.keys_max);
        keys.rebuild(&dataset, &self.tables.data, self.context.clock.now()).await?;
        let known = self.context.log.status();
        let known = known.iter().map(|status| &status.partition).filter(|known| known.source == dataset.name);
        // A source that has fewer partitions now may have left records in those it had.
        let partitions = known.map(|known| known.partition + 1).max().unwrap_or(0).max(self.partitions);
        let mut lanes = Vec::new();
        for partition in 0..partitions {
            lanes.push(self.open_lane(PartitionId::new(dataset.name.clone(), partition)).await?);
        }
        self.keys = Some(keys);
        self.lanes = Some(lanes);
        Ok(())
    }

    async fn open_lane(&self, partition: PartitionId) -> Result<Lane, LandError> {
        let number = partition.partition;
        let mut place = self.tables.place(app_id(&partition)).await?;
        release(&self.context, &partition, place.data).await?;
        let bounds = self.context.log.bounds(&partition).await?;
        let landed = place.data.map_or(bounds.start, offset_of);
        if place.quarantine.is_some_and(|position| position > landed as i64) {
            let here = col(arrow_types::PARTITION).eq(lit(number as i32));
            let ahead = here.and(col(arrow_types::OFFSET).gt_eq(lit(landed as i64)));
            self.tables.rewind_quarantine(&mut place, landed as i64, ahead).await?;
        }
        if landed < bounds.start {
            self.record_gap(&partition, landed, bounds.start).await?;
        }
        Ok(Lane::new(partition, place, landed.max(bounds.start)))
    }

    async fn record_gap(&self, partition: &PartitionId, landed: u64, start: u64) -> Result<(), LandError> {
        let mut findings = Findings::default();
        let input = format!("log/{}", partition.partition);
        findings.add_count(FindingKind::Gap, &input, start - landed, || {
            format!("offsets {landed} to {} were removed from the log before they were landed", start - 1)
        });
        let findings = findings.finish(&self.tables.dataset.name, None, self.context.clock.now());
        Ok(self.context.ledger.record_findings(&findings).await?)
    }

    /// Before records are looked at: keys that others wrote meanwhile are read.
    async fn reserve(&mut self) -> Result<(), LandError> {
        let Some(keys) = self.keys.as_mut().filter(|keys| !keys.is_empty()) else { return Ok(()) };
        let mut waiting = false;
        for lane in self.lanes.iter().flatten() {
            waiting |= self.context.log.bounds(&lane.partition).await?.end > lane.next;
        }
        if waiting && !self.reservation.take(&self.tables, &self.context.clock).await {
            // Nothing is staged while the table is not reserved, so that the table has every key there is.
            *keys = Keys::new(&self.tables.dataset, self.keys_max);
            keys.rebuild(&self.tables.dataset, &self.tables.data, self.context.clock.now()).await?;
        }
        Ok(())
    }

    /// Reads once from each partition; false when there was nothing in any.
    async fn read(&mut self) -> Result<bool, LandError> {
        self.reserve().await?;
        let mut more = false;
        for lane in self.lanes.iter_mut().flatten().filter(|lane| lane.sealed.is_none()) {
            let run = self.failures.run();
            more |= lane.read(&self.context, &self.contract, &self.tables, &mut self.keys, run).await?;
        }
        Ok(more)
    }

    /// Commits the flushes that are due, or all.
    async fn flush(&mut self, all: bool) -> Result<Vec<Run>, LandError> {
        let settings = self.tables.dataset.landing;
        let mut runs = Vec::new();
        for lane in self.lanes.iter_mut().flatten() {
            let waited = |since| self.context.clock.instant().saturating_duration_since(since);
            let due = lane.staging.as_ref().is_some_and(|staging| {
                all || lane.bytes_read >= settings.flush_bytes
                    || waited(staging.since) >= settings.flush_after
            });
            if due && lane.sealed.is_none() {
                lane.seal(&self.context, &self.tables, &mut self.keys, self.failures.attempt()).await?;
            }
            let Some(sealed) = &mut lane.sealed else { continue };
            sealed.flush.run.attempts = self.failures.attempt();
            let run =
                commit::commit(&self.context, &self.tables.data, &self.tables.quarantine, &sealed.flush)
                    .await?;
            lane.committed();
            self.failures.clear();
            meter::committed(&run);
            self.context.log.release(&lane.partition, lane.committed).await?;
            runs.push(run);
        }
        Ok(runs)
    }

    /// Waits for records, or until a flush is due.
    async fn wait(&self, shutdown: &CancellationToken) -> Result<(), LandError> {
        let lanes = self.lanes.as_deref().unwrap_or_default();
        let flush_after = self.tables.dataset.landing.flush_after;
        let now = self.context.clock.instant();
        let due = lanes.iter().filter_map(|lane| lane.staging.as_ref());
        let due =
            due.map(|staging| flush_after.saturating_sub(now.saturating_duration_since(staging.since))).min();
        let records = lanes.iter().map(|lane| self.context.log.wait_beyond(&lane.partition, lane.next));
        let records: Vec<_> = records.collect();
        if records.is_empty() {
            return Ok(());
        }
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            () = tokio::time::sleep(due.unwrap_or(IDLE)) => Ok(()),
            (found, _, _) = select_all(records) => Ok(found?),
        }
    }

    /// Puts a failure on record and decides where to go on.
    async fn failed(&mut self, error: LandError) -> Result<(), LandError> {
        let lanes = || self.lanes.iter().flatten();
        let tried = Tried {
            run: lanes().find_map(Lane::run),
            inputs: lanes().filter(|lane| lane.run().is_some()).map(Lane::range).collect(),
            trigger: "new-records",
        };
        self.failures.record(&self.context, tried, &error).await;
        match Cure::of(&error) {
            Cure::GiveUp => return Err(error),
            Cure::BeginAgain => self.begin_again(),
            Cure::OfferAgain if self.keys.is_none() => self.begin_again(),
            Cure::OfferAgain => {
                for lane in self.lanes.iter_mut().flatten() {
                    lane.abandon(&mut self.keys);
                }
                if self.lanes.iter().flatten().all(|lane| lane.run().is_none()) {
                    self.reservation.give_back();
                }
            }
        }
        Ok(())
    }

    /// Forgets everything that is not in the tables.
    fn begin_again(&mut self) {
        self.lanes = None;
        self.keys = None;
        self.reservation.give_back();
    }

    /// After failures: a hop that has nothing to do succeeds with that.
    async fn recovered(&mut self) {
        if self.lanes.iter().flatten().all(|lane| lane.run().is_none()) {
            self.failures.recovered(&self.context).await;
        }
    }

    /// Commits what is held; what cannot be is read again after the next start.
    async fn stop(&mut self) {
        if self.keys.is_some()
            && let Err(error) = self.flush(true).await
        {
            let error = flowline_base::chain(&error);
            tracing::warn!(dataset = %self.tables.dataset.name, error, "the last flush could not be committed; it will be landed again");
        }
    }
}

/// Tells the log which records of a dataset are in its table. Called before producers are let in: a log whose disk was
/// replaced then gives no offset again that the table has, so that no new record is taken for a landed one.
///
/// # Errors
/// [`LandError::LogReplaced`]; and what keeps the table from being read, in which case the lander does it later.
pub async fn release_landed(context: &LandContext, dataset: &Arc<Dataset>) -> Result<(), LandError> {
    let Origin::Http(origin) = &dataset.origin else { return Ok(()) };
    let tables = Tables::new(context, Arc::clone(dataset));
    for number in 0..origin.partitions {
        let partition = PartitionId::new(dataset.name.clone(), number);
        let landed = tables.data.transaction_version(&app_id(&partition)).await?;
        release(context, &partition, landed).await?;
    }
    Ok(())
}

async fn release(
    context: &LandContext,
    partition: &PartitionId,
    landed: Option<i64>,
) -> Result<(), LandError> {
    let Some(landed) = landed.map(offset_of) else { return Ok(()) };
    context.log.release(partition, landed).await.map_err(|error| match error {
        LogError::Behind { end, .. } => {
            LandError::LogReplaced { partition: partition.to_string(), end, landed }
        }
        error => LandError::Log(error),
    })
}

/// The application id under which the position in a partition is kept.
fn app_id(partition: &PartitionId) -> String {
    format!("{}/log/{}", partition.source, partition.partition)
}

fn offset_of(position: i64) -> u64 {
    u64::try_from(position).unwrap_or(0)
}

/// How much longer than two flushes a lander keeps a table to itself.
const RESERVED: Duration = Duration::from_secs(1);

/// How long an idle lander waits for records before it looks around again.
const IDLE: Duration = Duration::from_secs(60);
