//! Rows that stay in the log: a dataset with `landing: { keep: log }` has no files of them.
//!
//! Owns: where they begin (`_kept` beside the table), reading them again as the rows that landing made of them, and those
//! that were landed just now, which are kept in memory until they have been read ([`Recent`]). Does not own: which positions
//! are landed (the commits of the table), who has read them and when the log may let go of them (the node).

mod recent;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use flowline_base::{Classify, Computing, ErrorKind, SharedClock, chain, compute};
use flowline_lake::{Kept, LakeError, OffsetRange, RowsElsewhere, Table, TableId};
use flowline_log::LogError;
use flowline_model::{Dataset, DatasetName, KafkaCluster, Origin};
use flowline_source::kafka::TopicSource;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

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
            (Origin::Http(origin), _) => Feed::Log(LogFeed {
                log: Arc::clone(&context.log),
                source: dataset.name.clone(),
                partitions: origin.partitions,
                identity: None,
            }),
            (Origin::Kafka(origin), Some(cluster)) => {
                let source = TopicSource::open(cluster, origin.clone(), context.clock.clone())?;
                Feed::Topic { source, known: None }
            }
            (Origin::Kafka(_), None) => return Err(wrong("a topic of a known cluster")),
            _ => return Err(wrong("a log")),
        };
        let contract = Contract::compile(Arc::clone(dataset)).map_err(|error| LandError::Contract {
            dataset: dataset.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(KeptInLog {
            dataset: Arc::clone(dataset),
            table: context.lake.table(TableId::of(dataset)),
            schemas: RecordSchemas::of_dataset(context, dataset)?,
            reader: Mutex::new(feed),
            feed: OnceCell::new(),
            begins: Mutex::default(),
            recent: Mutex::default(),
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
    reader: Mutex<Feed>,
    /// Once it was heard which log it is.
    feed: OnceCell<Arc<Feed>>,
    /// The offset from which on the rows of an input are not in files, as far as was looked.
    begins: Mutex<BTreeMap<String, i64>>,
    recent: Mutex<Recent>,
    clock: SharedClock,
}

impl KeptInLog {
    async fn feed(&self) -> Result<&Arc<Feed>, LandError> {
        let heard = async {
            let mut feed = self.reader.lock().clone();
            feed.refresh().await?;
            Ok(Arc::new(feed))
        };
        self.feed.get_or_try_init(|| heard).await
    }

    /// Puts down that the rows of an input stay in the log from this offset on, unless it is put down already.
    pub(crate) async fn begin(&self, input: &str, offset: u64) -> Result<(), LandError> {
        if self.begins(input).await?.is_some() {
            return Ok(());
        }
        let offset = offset as i64;
        self.table.put_beside(&path_of(input), Bytes::from(offset.to_string())).await?;
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

    /// Keeps rows that are being committed until they have been read.
    pub(crate) fn add(&self, range: &OffsetRange, rows: Vec<RecordBatch>) {
        let bytes = {
            let mut recent = self.recent.lock();
            recent.add(range, rows);
            recent.bytes()
        };
        self.gauge(bytes);
    }

    /// The records before this offset have been read by all who read them: the log may let go of them.
    ///
    /// # Errors
    /// What keeps the log from noting it.
    pub async fn release(&self, partition: u32, offset: u64) -> Result<(), LandError> {
        let bytes = {
            let mut recent = self.recent.lock();
            recent.forget(partition as i32, offset as i64);
            recent.bytes()
        };
        self.gauge(bytes);
        self.feed().await?.release(partition, offset).await
    }

    fn gauge(&self, bytes: u64) {
        metrics::gauge!("flowline_land_recent_rows_bytes", "dataset" => self.dataset.name.to_string())
            .set(bytes as f64);
    }

    /// Reads the records of a range and makes rows of them again.
    fn decoded(self: Arc<Self>, range: OffsetRange) -> BoxStream<'static, Result<RecordBatch, LakeError>> {
        metrics::counter!("flowline_land_decoded_again_records_total", "dataset" => self.dataset.name.to_string())
            .increment((range.to - range.from).max(0) as u64);
        let (from, range) = (range.from as u64, Arc::new(range));
        let reads = stream::try_unfold(from, move |from| {
            let (rows, range) = (Arc::clone(&self), Arc::clone(&range));
            async move {
                if from >= range.to as u64 {
                    return Ok(None);
                }
                let (decoding, next) =
                    rows.read(&range, from).await.map_err(|error| rows.failed(&range, error))?;
                Ok::<_, LakeError>(Some((decoding, next)))
            }
        });
        let batches = reads.map(|decoding| async move {
            match decoding?.await {
                Ok(Ok(batches)) => Ok(batches),
                Ok(Err(error)) => Err(broken(&error)),
                Err(error) => Err(broken(&error)),
            }
        });
        let batches = batches.buffered(AHEAD);
        batches.map_ok(|batches| stream::iter(batches.into_iter().map(Ok))).try_flatten().boxed()
    }

    /// Reads a part of a range and begins to decode it; where to read on.
    async fn read(&self, range: &OffsetRange, from: u64) -> Result<(Decoding, u64), LandError> {
        let feed = self.feed().await?;
        // Never negative: a feed numbers its partitions from zero.
        let partition = range.partition as u32;
        if feed.input(partition) != range.input {
            return Err(
                LogError::Gone { partition: self.partition(partition), offset: from, oldest: 0 }.into()
            );
        }
        let slab = feed.read(partition, from, READ_BYTES).await?;
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
        let (contract, dataset, to) = (self.contract.clone(), Arc::clone(&self.dataset), range.to);
        let mut stamp = Stamp::new(range.run.clone().unwrap_or_default(), self.clock.now_micros());
        let decoding = compute(move || {
            // What was found about the records was found when they were landed, and no keys are kept of them.
            let (mut keys, mut findings) = (Keys::new(&dataset, 0), Findings::default());
            let compared = examine(&contract, parcel).alone();
            let settled = settle(&dataset, compared, &mut keys, &mut stamp, &mut findings)?;
            Ok(settled.rows.iter().map(|rows| recent::before(rows, to)).collect())
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
        let feed = self.feed().await?;
        let Some(partition) = partition_of(input) else { return Ok(()) };
        if feed.input(partition as u32) != input {
            // Another log took its place.
            kept.gone |= to > begins;
            return Ok(());
        }
        let start = feed.bounds(partition as u32).await?.start;
        let from = begins.max(start as i64);
        if from > begins && to > begins {
            kept.gone = true;
            let first = feed
                .read(partition as u32, from as u64, 1)
                .await?
                .frames
                .first()
                .map(|frame| frame.batch.received_at);
            let since = first.and_then(DateTime::<Utc>::from_timestamp_micros);
            kept.since = kept.since.max(since);
        }
        if from < to {
            let input = input.to_owned();
            kept.ranges.push(OffsetRange { input, partition, from, to, rows: None, run: None });
        }
        Ok(())
    }
}

type Decoding = Computing<Result<Vec<RecordBatch>, arrow::error::ArrowError>>;

#[async_trait]
impl RowsElsewhere for KeptInLog {
    async fn kept(&self, positions: &[(String, i64)]) -> Result<Kept, LakeError> {
        let mut kept = Kept::default();
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

fn broken(error: &(dyn std::error::Error + 'static)) -> LakeError {
    LakeError::Corrupt { path: "the log".to_owned(), reason: chain(error) }
}
