//! Rows that stay in the log: a dataset with `landing: { keep: log }` has no files of them.
//!
//! Owns: where they begin (`_kept` beside the table), reading them again as the rows that landing made of them (with which
//! records made none, [`Asides`]), and those that were landed just now, which are kept in memory until they have been read
//! ([`Recent`]). Does not own: which positions are landed (the commits of the table), who has read them and when the log may
//! let go of them (the node).

mod aside;
mod recent;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use flowline_base::{Classify, Computing, ErrorKind, SharedClock, chain, compute};
use flowline_kafka::KafkaError;
use flowline_lake::{Kept, LakeError, OffsetRange, RowsElsewhere, Table, TableId};
use flowline_log::LogError;
use flowline_model::{Dataset, DatasetName, KafkaCluster, Origin};
use flowline_source::kafka::TopicSource;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

pub(crate) use self::aside::offsets_of;
use self::aside::{Asides, is_in, without};
use self::recent::{Found, Recent};
use crate::examine::examine;
use crate::feed::{Feed, LogFeed};
use crate::findings::Findings;
use crate::keys::Keys;
use crate::parcel::{Parcel, Piece};
use crate::schemas::RecordSchemas;
use crate::settle::settle;
use crate::stamp::Stamp;
use crate::{Contract, LandContext, LandError};

/// Where it is kept since which offset the rows of an input stay in the log: `_kept/log.0`.
const FOLDER: &str = "_kept";
/// Payload bytes that are read of the log at once.
const READ_BYTES: usize = 4 << 20;
/// So many reads are decoded side by side.
const AHEAD: usize = 2;
/// How often it is asked which log it is, where rows of another one are asked for.
const HEARD_EVERY: Duration = Duration::from_secs(1);

/// The rows of datasets that stay in the log, as this process reads them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct KeptRows(Arc<Mutex<HashMap<DatasetName, Arc<KeptInLog>>>>);

impl KeptRows {
    /// Those of one dataset.
    pub fn of(&self, dataset: &DatasetName) -> Option<Arc<KeptInLog>> {
        self.0.lock().get(dataset).cloned()
    }

    /// The same, made when there are none yet; from then on its table is read from the log.
    fn made(
        &self,
        dataset: &DatasetName,
        make: impl FnOnce() -> Result<KeptInLog, LandError>,
    ) -> Result<Arc<KeptInLog>, LandError> {
        let mut known = self.0.lock();
        if let Some(known) = known.get(dataset) {
            return Ok(Arc::clone(known));
        }
        let rows = Arc::new(make()?);
        rows.table.rows_lie_in(Arc::clone(&rows) as Arc<dyn RowsElsewhere>);
        known.insert(dataset.clone(), Arc::clone(&rows));
        Ok(rows)
    }
}

/// Lets this process read the rows of a dataset that stay in the log. `cluster` is that of the topic, where it has one.
///
/// # Errors
/// [`LandError::Contract`], [`LandError::Origin`] and [`LandError::Kafka`]: mend the dataset, or the settings.
pub fn read_kept(
    context: &LandContext,
    dataset: &Arc<Dataset>,
    cluster: Option<KafkaCluster>,
) -> Result<Arc<KeptInLog>, LandError> {
    let wrong = |expected| LandError::Origin {
        dataset: dataset.name.clone(),
        expected,
        found: dataset.origin.kind(),
    };
    context.kept.made(&dataset.name, || {
        let feed = match (&dataset.origin, cluster) {
            (Origin::Http(origin), _) => Feed::Log(LogFeed::new(&context.log, &dataset.name, origin)),
            (Origin::Kafka(origin), Some(cluster)) => {
                let source = TopicSource::open(cluster, origin.clone(), context.clock.clone())?;
                Feed::Topic { source, known: None }
            }
            (Origin::Kafka(_), None) => return Err(wrong("a topic of a known cluster")),
            _ => return Err(wrong("a log")),
        };
        let contract = Contract::of(dataset)?;
        Ok(KeptInLog {
            dataset: Arc::clone(dataset),
            table: context.lake.table(TableId::of(dataset)),
            schemas: RecordSchemas::of_dataset(context, dataset)?,
            reader: feed,
            feed: tokio::sync::Mutex::default(),
            begins: Mutex::default(),
            recent: Mutex::default(),
            asides: Asides::default(),
            clock: context.clock.clone(),
            contract,
        })
    })
}

/// The rows of a dataset that stay in the log.
#[derive(Debug)]
pub struct KeptInLog {
    dataset: Arc<Dataset>,
    table: Table,
    contract: Contract,
    schemas: RecordSchemas,
    /// What `feed` is made of.
    reader: Feed,
    /// Once it was heard which log it is, and when that was.
    feed: tokio::sync::Mutex<Option<(Arc<Feed>, Instant)>>,
    /// The offset from which on the rows of an input are not in files, as far as was looked.
    begins: Mutex<BTreeMap<String, i64>>,
    recent: Mutex<Recent>,
    asides: Asides,
    clock: SharedClock,
}

impl KeptInLog {
    /// The log that the rows of an input lie in, with the number of the partition; none where another log took its place.
    async fn feed_of(&self, input: &str) -> Result<Option<(Arc<Feed>, u32)>, LandError> {
        let Some(partition) = partition_of(input).and_then(|partition| u32::try_from(partition).ok()) else {
            return Ok(None);
        };
        let mut heard = self.feed.lock().await;
        let now = self.clock.instant();
        if let Some((feed, at)) = heard.as_ref() {
            if feed.input(partition) == input {
                return Ok(Some((Arc::clone(feed), partition)));
            }
            // It may be the one that we know that was replaced. Positions of old ones stay for ever, and are asked for often.
            if now.saturating_duration_since(*at) < HEARD_EVERY {
                return Ok(None);
            }
        }
        let mut feed = self.reader.clone();
        feed.refresh().await?;
        let feed = Arc::new(feed);
        *heard = Some((Arc::clone(&feed), now));
        Ok((feed.input(partition) == input).then_some((feed, partition)))
    }

    /// Puts down that the rows of an input stay in the log from this offset on, unless it is put down already and was landed
    /// since. `oldest` is the first offset that the log holds.
    pub(crate) async fn begin(
        &self,
        input: &str,
        offset: u64,
        landed: bool,
        oldest: u64,
    ) -> Result<(), LandError> {
        // The lander has just heard which log it is.
        *self.feed.lock().await = None;
        self.asides.tidy(&self.table, input, oldest as i64, Some(offset as i64)).await?;
        let (offset, known) = (offset as i64, self.begins(input).await?);
        if known.is_some_and(|known| landed || known == offset) {
            return Ok(());
        }
        let path = path_of(input);
        if known.is_some() {
            // Somebody meant to begin there and did not come to it.
            self.table.delete_beside(std::slice::from_ref(&path)).await?;
        }
        self.table.put_beside(&path, Bytes::from(offset.to_string())).await?;
        self.begins.lock().insert(input.to_owned(), offset);
        Ok(())
    }

    /// From which offset on the rows of an input stay in the log; none where they are in files.
    async fn begins(&self, input: &str) -> Result<Option<i64>, LakeError> {
        if let Some(known) = self.begins.lock().get(input) {
            return Ok(Some(*known));
        }
        let path = path_of(input);
        let text = match self.table.read_beside(&path).await {
            Ok(text) => text,
            Err(LakeError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let offset = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        let offset: i64 = offset.ok_or_else(|| LakeError::Corrupt {
            path: format!("{}/{path}", self.table.id().folder()),
            reason: "it is no offset".to_owned(),
        })?;
        self.begins.lock().insert(input.to_owned(), offset);
        Ok(Some(offset))
    }

    /// Puts down which records of a flush make no row, before its commit.
    pub(crate) async fn set_aside(&self, range: &OffsetRange, offsets: &[i64]) -> Result<(), LandError> {
        if self.asides.put(&self.table, range, offsets).await?
            && let Some((feed, partition)) = self.feed_of(&range.input).await?
        {
            let oldest = feed.bounds(partition).await?.start;
            self.asides.tidy(&self.table, &range.input, oldest as i64, None).await?;
        }
        Ok(())
    }

    /// Keeps rows that are being committed until they have been read.
    pub(crate) fn add(&self, range: &OffsetRange, rows: Vec<RecordBatch>) {
        let bytes = {
            let mut recent = self.recent.lock();
            recent.add(range, rows);
            recent.bytes()
        };
        self.gauge(bytes);
    }

    /// The records of an input before this offset have been read by all who read them: the log may let go of them.
    ///
    /// # Errors
    /// What keeps the log from noting it.
    pub async fn release(&self, input: &str, offset: u64) -> Result<(), LandError> {
        let bytes = {
            let mut recent = self.recent.lock();
            recent.forget(input, offset as i64);
            recent.bytes()
        };
        self.gauge(bytes);
        match self.feed_of(input).await? {
            Some((feed, partition)) => feed.release(partition, offset).await,
            None => Ok(()),
        }
    }

    fn gauge(&self, bytes: u64) {
        metrics::gauge!("flowline_land_recent_rows_bytes", "dataset" => self.dataset.name.to_string())
            .set(bytes as f64);
    }

    /// Reads the records of a range and makes rows of them again.
    fn decoded(self: Arc<Self>, range: OffsetRange) -> BoxStream<'static, Result<RecordBatch, LakeError>> {
        metrics::counter!("flowline_land_decoded_again_records_total", "dataset" => self.dataset.name.to_string())
            .increment((range.to - range.from).max(0) as u64);
        let (from, range, table) = (range.from as u64, Arc::new(range), self.table.id().folder());
        let reads = stream::try_unfold((from, None), move |(from, aside)| {
            let (rows, range) = (Arc::clone(&self), Arc::clone(&range));
            async move {
                if from >= range.to as u64 {
                    return Ok(None);
                }
                let aside = match aside {
                    Some(aside) => aside,
                    None => Aside::from(rows.asides.of(&rows.table, &range).await?),
                };
                let read = rows.read(&range, &aside, from).await;
                let (decoding, next) = read.map_err(|error| rows.failed(&range, error))?;
                Ok::<_, LakeError>(Some((decoding, (next, Some(aside)))))
            }
        });
        let batches = reads.map(move |decoding| {
            let table = table.clone();
            async move {
                match decoding?.await {
                    Ok(Ok(Again { rows, misfit: None })) => Ok(rows),
                    Ok(Ok(Again { misfit: Some(position), .. })) => Err(misfit(table, &position)),
                    Ok(Err(error)) => Err(broken(&error)),
                    Err(error) => Err(broken(&error)),
                }
            }
        });
        let batches = batches.buffered(AHEAD);
        batches.map_ok(|batches| stream::iter(batches.into_iter().map(Ok))).try_flatten().boxed()
    }

    /// Reads a part of a range and begins to decode it; where to read on.
    async fn read(
        &self,
        range: &OffsetRange,
        aside: &Aside,
        from: u64,
    ) -> Result<(Decoding, u64), LandError> {
        let Some((feed, partition)) = self.feed_of(&range.input).await? else {
            let partition = self.partition(u32::try_from(range.partition).unwrap_or(0));
            return Err(LogError::Gone { partition, offset: from, oldest: 0 }.into());
        };
        let slab = match feed.read(partition, from, READ_BYTES).await {
            Err(LandError::Kafka(KafkaError::Replaced { .. })) => {
                *self.feed.lock().await = None;
                return Err(
                    LogError::Gone { partition: self.partition(partition), offset: from, oldest: 0 }.into()
                );
            }
            slab => slab?,
        };
        let pieces: Vec<Piece> =
            slab.frames.into_iter().filter_map(|frame| Piece::of_frame(frame, from)).collect();
        if slab.next <= from {
            // They were landed, so that they have been there.
            return Err(LogError::Gone {
                partition: self.partition(partition),
                offset: from,
                oldest: slab.next,
            }
            .into());
        }
        let parcel = Parcel {
            schemas: self.schemas.of_pieces(&pieces).await?,
            source: Arc::from(feed.word()),
            input: Arc::from(range.input.as_str()),
            partition: range.partition,
            tombstones: 0,
            pieces,
        };
        let (contract, dataset) = (self.contract.clone(), Arc::clone(&self.dataset));
        let (range, aside) = (range.clone(), Arc::clone(aside));
        let mut stamp = Stamp::new(range.run.clone().unwrap_or_default(), self.clock.now_micros());
        let decoding = compute(move || {
            // What was found about the records was found when they were landed, and no keys are kept of them.
            let (mut keys, mut findings) = (Keys::new(&dataset, 0), Findings::default());
            let compared = examine(&contract, parcel).alone();
            let settled = settle(&dataset, compared, &mut keys, &mut stamp, &mut findings)?;
            let rejected = settled.rejected.as_ref().and_then(offsets_of).unwrap_or_default();
            let mut misfits =
                rejected.iter().filter(|offset| **offset < range.to && !is_in(&aside, **offset));
            let rows = settled.rows.iter().map(|rows| without(&recent::before(rows, range.to), &aside));
            let rows = rows.collect::<Result<_, _>>()?;
            // Of a whole table that is what it is by the contract of today.
            let misfit = misfits.next().filter(|_| range.run.is_some());
            Ok(Again { rows, misfit: misfit.map(|offset| format!("{}@{offset}", range.input)) })
        });
        Ok((decoding, slab.next))
    }

    fn partition(&self, partition: u32) -> flowline_log::PartitionId {
        flowline_log::PartitionId::new(self.dataset.name.clone(), partition)
    }

    fn failed(&self, range: &OffsetRange, error: LandError) -> LakeError {
        let what = format!("offsets {} to {} of `{}`", range.from, range.to, range.input);
        let place = format!("the log of {}", self.dataset.name);
        match error {
            LandError::Lake(error) => error,
            LandError::Log(LogError::Gone { .. }) => LakeError::NotFound { what, place },
            error if error.kind() == ErrorKind::Transient => LakeError::Transient {
                action: "reading",
                path: format!("{what} in {place}"),
                reason: chain(&error),
            },
            error => LakeError::Corrupt { path: format!("{what} in {place}"), reason: chain(&error) },
        }
    }

    async fn kept_of(&self, input: &str, to: i64, kept: &mut Kept) -> Result<(), LandError> {
        let Some(begins) = self.begins(input).await? else { return Ok(()) };
        let Some((feed, partition)) = self.feed_of(input).await? else {
            // Another log took its place.
            kept.gone |= to > begins;
            return Ok(());
        };
        let bounds = feed.bounds(partition).await?;
        if (bounds.end as i64) < to {
            // So it is where its disk was: the lander says so.
            kept.gone |= to > begins;
            return Ok(());
        }
        let from = begins.max(bounds.start as i64);
        if from > begins && to > begins {
            kept.gone = true;
            let first = feed
                .read(partition, from as u64, 1)
                .await?
                .frames
                .first()
                .map(|frame| frame.batch.received_at);
            let since = first.and_then(DateTime::<Utc>::from_timestamp_micros);
            kept.since = kept.since.max(since);
        }
        if from < to {
            let (input, partition) = (input.to_owned(), i32::try_from(partition).unwrap_or(i32::MAX));
            kept.ranges.push(OffsetRange { input, partition, from, to, rows: None, run: None });
        }
        Ok(())
    }
}

/// Offsets of records that make no row.
type Aside = Arc<[std::ops::Range<i64>]>;

type Decoding = Computing<Result<Again, arrow::error::ArrowError>>;

/// What records come to when they are decoded again.
struct Again {
    rows: Vec<RecordBatch>,
    /// The first record that made a row when it was landed, and would make none now.
    misfit: Option<String>,
}

#[async_trait]
impl RowsElsewhere for KeptInLog {
    async fn kept(&self, positions: &[(String, i64)]) -> Result<Kept, LakeError> {
        let mut kept = Kept::default();
        if !self.dataset.kept_in_log() {
            // It was once: what commits of that time name is read as long as the log has it, and no more.
            return Ok(kept);
        }
        let prefix = format!("{}/", self.dataset.name);
        for (app_id, to) in positions {
            let Some(input) = app_id.strip_prefix(&prefix) else { continue };
            self.kept_of(input, *to, &mut kept).await.map_err(|error| {
                let range = OffsetRange {
                    input: input.to_owned(),
                    partition: 0,
                    from: 0,
                    to: *to,
                    rows: None,
                    run: None,
                };
                self.failed(&range, error)
            })?;
        }
        Ok(kept)
    }

    fn rows(
        self: Arc<Self>,
        range: OffsetRange,
        columns: &[String],
    ) -> BoxStream<'static, Result<RecordBatch, LakeError>> {
        let found = self.recent.lock().find(&range, columns);
        let parts = found.into_iter().map(move |found| match found {
            Found::Rows(rows) => stream::iter(rows.into_iter().map(Ok)).boxed(),
            Found::Log(range) => Arc::clone(&self).decoded(range),
        });
        stream::iter(parts).flatten().boxed()
    }
}

/// The partition that an input is of: `log/0`, `kafka/<id>/0`.
pub(crate) fn partition_of(input: &str) -> Option<i32> {
    let (_, number) =
        input.rsplit_once('/').filter(|(kind, _)| kind.starts_with("log") || kind.starts_with("kafka"))?;
    number.parse().ok()
}

fn path_of(input: &str) -> String {
    format!("{FOLDER}/{}", input.replace('/', "."))
}

/// Where rows of a table stayed in the log and do so no longer: what comes now goes into files, so that nothing of it is to be
/// read from the log as well.
pub(crate) async fn end_keeping(table: &Table) -> Result<(), LandError> {
    let marks = table.list_beside(FOLDER).await?;
    if !marks.is_empty() {
        table.delete_beside(&marks).await?;
    }
    Ok(())
}

/// The contract is another one than that by which records were landed, and not all of them fit it.
fn misfit(table: String, position: &str) -> LakeError {
    LakeError::Unreadable {
        table,
        reason: format!(
            "the record {position} was landed by an earlier contract, is read again from the log and does not fit the contract any more: deploy the earlier one until what is made of the dataset has read it"
        ),
    }
}

fn broken(error: &(dyn std::error::Error + 'static)) -> LakeError {
    LakeError::Corrupt { path: "the log".to_owned(), reason: chain(error) }
}
