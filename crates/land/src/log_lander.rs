//! Records of a log: from there to the table. The log is ours, or a topic of Kafka that others write to.
//!
//! Owns: when a flush ends, the wait for more records, and what is done when something fails: it is put on record and
//! tried again, and positions move with commits only. Does not own: what becomes of a record.

mod topic;

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::logical_expr::{col, lit};
use flowline_kafka::{Cluster, ClusterOptions};
use flowline_lake::arrow_types;
use flowline_log::{LogError, PartitionId};
use flowline_model::{Dataset, DatasetName, FindingKind, KafkaCluster, KafkaLogSettings, Origin, Run};
use flowline_source::kafka::TopicSource;
use tokio_util::sync::CancellationToken;

use crate::commit::{Landers, complete_ledger};
use crate::drift::DriftWatch;
use crate::failures::{Cure, Failures, Tried};
use crate::feed::{Feed, LogFeed, log_input};
use crate::findings::Findings;
use crate::kept::{end_keeping, read_kept};
use crate::keys::{KEYS_MAX, Keys};
use crate::lane::{Extent, Held, Lane, Step, Stepped};
use crate::replay::finish_interrupted;
use crate::reservation::Reservation;
use crate::schemas::RecordSchemas;
use crate::share::Share;
use crate::staging::Staging;
use crate::tables::Tables;
use crate::{Contract, LandContext, LandError, meter};

/// Lands what is appended to the log of one dataset. One lander at a time: a second one is fenced off by the first
/// commit of either.
#[derive(Debug)]
pub struct LogLander {
    context: LandContext,
    contract: Contract,
    schemas: RecordSchemas,
    tables: Tables,
    feed: Feed,
    /// None where all partitions are ours.
    share: Option<Share>,
    /// Since when partitions of ours could not be begun.
    missing_since: Option<Instant>,
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
        let feed = LogFeed::new(&context.log, &dataset.name, origin);
        Self::new(context, dataset, Feed::Log(feed), None)
    }

    /// The same for a dataset whose records others write to a topic of this cluster. Several of them, on several nodes,
    /// share its partitions.
    ///
    /// # Errors
    /// [`LandError::Contract`], [`LandError::Origin`] and [`LandError::Kafka`]: mend the dataset, or the settings.
    pub async fn open_topic(
        context: LandContext,
        dataset: Arc<Dataset>,
        cluster: KafkaCluster,
    ) -> Result<Self, LandError> {
        let Origin::Kafka(origin) = &dataset.origin else {
            let found = dataset.origin.kind();
            return Err(LandError::Origin { dataset: dataset.name.clone(), expected: "a topic", found });
        };
        let known = cluster.clone();
        let source = TopicSource::open(cluster, origin.clone(), context.clock.clone())?;
        let cluster = source.cluster().clone();
        let instance = instance(&context, &dataset.name);
        let share = Share::start(cluster, origin.group.clone(), origin.topic.clone(), instance);
        let mut lander = Self::new(context, dataset, Feed::Topic { source, known: None }, Some(known))?;
        lander.share = Some(share);
        Ok(lander)
    }

    /// Shares the partitions of a log in Kafka with the landers of other nodes.
    ///
    /// # Errors
    /// [`LandError::Kafka`]: mend the settings.
    pub fn sharing(mut self, kafka: &KafkaLogSettings) -> Result<Self, LandError> {
        let dataset = &self.tables.dataset.name;
        let cluster = Cluster::new(ClusterOptions {
            cluster: kafka.cluster.clone(),
            client_id: "flowline-lander".to_owned(),
            patience: GROUP_PATIENCE,
            clock: self.context.clock.clone(),
        })?;
        let (prefix, topic) = (&kafka.topic_prefix, format!("{}{dataset}", kafka.topic_prefix));
        let instance = instance(&self.context, dataset);
        self.share = Some(Share::start(cluster, format!("{prefix}land.{dataset}"), topic, instance));
        Ok(self)
    }

    fn new(
        context: LandContext,
        dataset: Arc<Dataset>,
        feed: Feed,
        cluster: Option<KafkaCluster>,
    ) -> Result<Self, LandError> {
        let mut tables = Tables::new(&context, Arc::clone(&dataset));
        if dataset.kept_in_log() {
            tables.kept = Some(read_kept(&context, &dataset, cluster)?);
        }
        let contract = Contract::of(&dataset)?;
        Ok(Self {
            feed,
            share: None,
            missing_since: None,
            schemas: RecordSchemas::of_dataset(&context, &dataset)?,
            tables,
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
            self.begin_again().await;
        }
        landed
    }

    async fn try_land_available(&mut self) -> Result<Vec<Run>, LandError> {
        while !self.begin().await? {
            if let Some(share) = &self.share {
                share.changed().await;
            }
        }
        let mut runs = Vec::new();
        loop {
            let more = self.read().await?;
            runs.extend(self.flush(if more { Extent::Due } else { Extent::All }).await?);
            if !more {
                self.held()?;
                self.reservation.give_back();
                return Ok(runs);
            }
        }
    }

    /// Reads what there is, commits what is due, and waits when there was nothing.
    async fn cycle(&mut self, shutdown: &CancellationToken) -> Result<(), LandError> {
        if self.share.as_ref().is_some_and(Share::revoked) {
            self.give_back().await?;
        }
        self.try_the_missing().await;
        if !self.begin().await? {
            return self.wait(shutdown).await;
        }
        if self.context.brake.holds(&self.tables.dataset.name) {
            self.flush(Extent::All).await?;
            self.reservation.give_back();
            return self.wait(shutdown).await;
        }
        let more = self.read().await?;
        // With several partitions there may always be one whose rows are staged; now and then all are committed, so that
        // a replay gets its turn.
        let others = self.tables.dataset.landing.flush_after * 2 + RESERVED;
        let held = self.lanes.iter().flatten().any(|lane| lane.held.is_some());
        let all = held || self.reservation.held_for(&self.context.clock) > others;
        self.flush(if all { Extent::All } else { Extent::Due }).await?;
        self.held()?;
        self.let_others_in();
        if more {
            return Ok(());
        }
        // There is nothing else to do: what becomes of commits is heard at once, and nobody waits for us meanwhile.
        self.flush(Extent::Begun).await?;
        self.let_others_in();
        self.wait(shutdown).await
    }

    /// Keeps the table to itself no longer than rows of ours are on their way to it.
    fn let_others_in(&mut self) {
        if self.lanes.iter().flatten().all(|lane| lane.run().is_none()) {
            self.reservation.give_back();
        }
    }

    /// Fits the tables, completes the ledger, reads keys and positions: once, and again after what was staged or
    /// remembered has become worthless. False while no partitions are ours.
    async fn begin(&mut self) -> Result<bool, LandError> {
        if self.lanes.is_some() && self.keys.is_some() {
            return Ok(true);
        }
        let ours = match &mut self.share {
            None => None,
            Some(share) => match share.take()? {
                Some(ours) => Some(ours),
                None => return Ok(false),
            },
        };
        let dataset = Arc::clone(&self.tables.dataset);
        self.tables.ensure_data().await?;
        finish_interrupted(&self.context, &self.tables).await?;
        if self.tables.kept.is_none() {
            end_keeping(&self.tables.data).await?;
        }
        let landers = if self.share.is_some() { Landers::Several } else { Landers::One };
        complete_ledger(&self.context, &self.tables.data, landers).await?;
        let mut keys = Keys::new(&dataset, self.keys_max);
        keys.rebuild(&dataset, &self.tables.data, self.context.clock.now()).await?;
        self.watch().await?;
        self.look_at_topic().await?;
        let partitions = ours.unwrap_or_else(|| self.feed.partitions());
        let mut lanes = Vec::new();
        for partition in partitions {
            let partition = PartitionId::new(dataset.name.clone(), partition);
            match self.open_lane(partition.clone()).await {
                Ok(lane) => lanes.push(lane),
                // One that cannot be read now holds up none of the others.
                Err(LandError::Kafka(error)) if topic::passes(&error) => {
                    self.record_down(&partition, &error).await?;
                    self.missing_since = Some(self.context.clock.instant());
                }
                Err(error) => return Err(error),
            }
        }
        self.keys = Some(keys);
        self.lanes = Some(lanes);
        self.fix_the_beginning().await?;
        Ok(true)
    }

    /// Where landing begins at the end of a partition, that end is committed before anything is read: whoever begins
    /// next goes on from there, and not from an end that has moved on.
    async fn fix_the_beginning(&mut self) -> Result<(), LandError> {
        if !self.feed.begins_at_the_end() {
            return Ok(());
        }
        for lane in self.lanes.iter_mut().flatten().filter(|lane| lane.place.data.is_none()) {
            lane.staging.get_or_insert_with(|| Staging::start(&self.context, None));
        }
        self.flush(Extent::All).await.map(drop)
    }

    /// Remembers what the rows of the table are like.
    async fn watch(&mut self) -> Result<(), LandError> {
        if self.contract.watch.is_some() {
            return Ok(());
        }
        let dataset = Arc::clone(&self.tables.dataset);
        let watch = DriftWatch::open(dataset, self.context.ledger.as_ref(), &self.tables.data).await?;
        self.contract = self.contract.clone().watching(Arc::new(watch));
        Ok(())
    }

    /// The error of a partition that drift holds up, once everything before it is committed.
    fn held(&self) -> Result<(), LandError> {
        let held = self.lanes.iter().flatten().find(|lane| lane.held.is_some() && lane.run().is_none());
        match held.and_then(|lane| lane.held.clone()) {
            None => Ok(()),
            Some(Held { position, message }) => {
                Err(LandError::Drift { dataset: self.tables.dataset.name.clone(), position, message })
            }
        }
    }

    async fn open_lane(&self, partition: PartitionId) -> Result<Lane, LandError> {
        let number = partition.partition;
        let input = self.feed.input(number);
        let mut place = self.tables.place(app_id(&self.tables.dataset.name, &input)).await?;
        if let Feed::Log(_) = self.feed {
            release(&self.context, &self.tables.dataset, &partition, place.data).await?;
        }
        let bounds = self.feed.bounds(number).await?;
        let landed = place.data.map_or(self.feed.first(bounds), offset_of);
        if landed > bounds.end {
            return Err(LandError::LogReplaced { partition: partition.to_string(), end: bounds.end, landed });
        }
        if place.quarantine.is_some_and(|position| position > landed as i64) {
            let here = col(arrow_types::PARTITION).eq(lit(number as i32));
            let ahead = here.and(col(arrow_types::OFFSET).gt_eq(lit(landed as i64)));
            self.tables.rewind_quarantine(&mut place, landed as i64, ahead).await?;
        }
        if landed < bounds.start {
            self.record_gap(&partition, landed, bounds.start).await?;
        }
        let committed = landed.max(bounds.start);
        match &self.tables.kept {
            Some(kept) => kept.begin(&input, committed, place.data.is_some(), bounds.start).await?,
            None => self.feed.release(number, committed).await?,
        }
        Ok(Lane::new(partition, input, place, committed))
    }

    async fn record_gap(&self, partition: &PartitionId, landed: u64, start: u64) -> Result<(), LandError> {
        let mut findings = Findings::default();
        let input = self.feed.input(partition.partition);
        findings.add_count(FindingKind::Gap, &input, start - landed, || {
            format!("offsets {landed} to {} were removed from the log before they were landed", start - 1)
        });
        self.record(findings).await
    }

    /// Before records are looked at: keys that others wrote meanwhile are read.
    async fn reserve(&mut self) -> Result<(), LandError> {
        let Some(keys) = self.keys.as_mut().filter(|keys| !keys.is_empty()) else { return Ok(()) };
        let mut waiting = false;
        for lane in self.lanes.iter().flatten().filter(|lane| lane.quiet_until.is_none()) {
            waiting |= self.feed.bounds(lane.partition.partition).await?.end > lane.next;
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
        self.read_lanes().await
    }

    /// Commits flushes, as far as is asked for; returns the runs that are in the table now.
    async fn flush(&mut self, extent: Extent) -> Result<Vec<Run>, LandError> {
        let mut runs = Vec::new();
        for lane in self.lanes.iter_mut().flatten() {
            let mut extent = extent;
            loop {
                let attempts = self.failures.attempt();
                let step = Step { context: &self.context, tables: &self.tables, extent, attempts };
                let run = match lane.step(step, &mut self.keys).await? {
                    Stepped::Nothing => break,
                    Stepped::Begun => continue,
                    Stepped::Again => {
                        extent = extent.max(Extent::Begun);
                        continue;
                    }
                    Stepped::Committed(run) => run,
                };
                self.failures.clear();
                meter::committed(&run);
                // What stays in the log is released when it has been read.
                if self.tables.kept.is_none() {
                    self.feed.release(lane.partition.partition, lane.committed).await?;
                }
                if let Some(share) = &self.share {
                    share.tell(lane.partition.partition, lane.committed).await;
                }
                runs.push(*run);
            }
        }
        if !runs.is_empty() {
            self.keep_watch(false).await;
        }
        Ok(runs)
    }

    /// Keeps what is known of the rows that the table does not say.
    async fn keep_watch(&self, stops: bool) {
        if let Some(watch) = &self.contract.watch {
            watch.keep(&self.tables.data, self.context.clock.now(), stops).await;
        }
    }

    /// Waits for records, or until a flush is due.
    async fn wait(&self, shutdown: &CancellationToken) -> Result<(), LandError> {
        let lanes = self.lanes.as_deref().unwrap_or_default();
        let (settings, now) = (self.tables.dataset.landing, self.context.clock.instant());
        let due = lanes.iter().filter_map(|lane| lane.flush_in(settings, now)).min();
        let positions = self.waited_for();
        let shared = async {
            match &self.share {
                Some(share) => share.changed().await,
                None => std::future::pending().await,
            }
        };
        let held = self.context.brake.holds(&self.tables.dataset.name);
        let idle = if self.may_be_down() { IDLE_TOPIC } else { IDLE };
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            () = tokio::time::sleep(due.unwrap_or(idle)) => Ok(()),
            () = shared => Ok(()),
            () = self.context.brake.turned(&self.tables.dataset.name, held) => Ok(()),
            found = self.feed.wait_beyond(&positions), if !held => found,
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
            Cure::GiveUp => {
                self.begin_again().await;
                return Err(error);
            }
            Cure::BeginAgain => self.begin_again().await,
            Cure::OfferAgain if self.keys.is_none() => self.begin_again().await,
            Cure::OfferAgain => {
                for lane in self.lanes.iter_mut().flatten() {
                    lane.abandon(&mut self.keys);
                }
                self.let_others_in();
            }
        }
        Ok(())
    }

    /// Forgets everything that is not in the tables.
    async fn begin_again(&mut self) {
        for lane in self.lanes.iter_mut().flatten() {
            lane.let_go().await;
        }
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
            && let Err(error) = self.flush(Extent::All).await
        {
            let error = flowline_base::chain(&error);
            tracing::warn!(dataset = %self.tables.dataset.name, error, "the last flush could not be committed; it will be landed again");
        }
        self.keep_watch(true).await;
        if let Some(share) = self.share.take() {
            share.leave().await;
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
        let identity = context.log.identity(&partition).await?;
        let input = log_input(identity.as_deref(), number);
        let landed = tables.data.transaction_version(&app_id(&dataset.name, &input)).await?;
        release(context, dataset, &partition, landed).await?;
    }
    Ok(())
}

async fn release(
    context: &LandContext,
    dataset: &Dataset,
    partition: &PartitionId,
    landed: Option<i64>,
) -> Result<(), LandError> {
    let Some(landed) = landed.map(offset_of) else { return Ok(()) };
    // What stays in the log is not let go of because it is landed; only whether it is the same log is asked.
    if dataset.kept_in_log() && context.log.bounds(partition).await?.end >= landed {
        return Ok(());
    }
    context.log.release(partition, landed).await.map_err(|error| match error {
        LogError::Behind { end, .. } => {
            LandError::LogReplaced { partition: partition.to_string(), end, landed }
        }
        error => LandError::Log(error),
    })
}

/// Who we are in a group: the same after a restart, and another one than any other lander that may be in it.
fn instance(context: &LandContext, dataset: &DatasetName) -> Option<String> {
    context.node.as_ref().map(|node| format!("flowline.{node}.{dataset}"))
}

/// The application id under which the position in an input is kept.
fn app_id(dataset: &DatasetName, input: &str) -> String {
    format!("{dataset}/{input}")
}

fn offset_of(position: i64) -> u64 {
    u64::try_from(position).unwrap_or(0)
}

/// How much longer than two flushes a lander keeps a table to itself.
const RESERVED: Duration = Duration::from_secs(1);

/// How long an idle lander waits for records before it looks around again.
const IDLE: Duration = Duration::from_secs(60);

/// The same where partitions come and go.
const IDLE_TOPIC: Duration = Duration::from_secs(5);

/// How long the calls of a group's member are tried again before its lander is told.
const GROUP_PATIENCE: Duration = Duration::from_secs(5);
