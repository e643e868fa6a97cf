//! The log in Kafka.
//!
//! ```text
//! <prefix><domain>.<name>       one topic a source, made when it is absent; its partitions are the log's
//!     record batch              one or several frames, stored as a whole or not at all
//!         record                one record of a frame; the first one's headers say what the frame is
//! group <prefix>landed          how far each partition is released, for other nodes and for whoever watches lag
//! ```
//! Offsets are Kafka's. A frame lies within one record batch, so that it is durable as a whole or not at all, and
//! batches are sent by an idempotent producer, so that one that is sent again is stored once.
//!
//! Owns: these topics, the group's positions, and what is deleted when. Does not own: what "durable" means in the
//! cluster: that is its replication and `min.insync.replicas`.

mod frames;
mod keys;
mod keys_file;
mod lost;
mod partition;
mod retention;
mod shared;
mod watch;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flowline_base::{Classify, SharedClock};
use flowline_kafka::{Cluster, ClusterOptions};
use flowline_model::{DatasetName, KafkaLogSettings, LogSettings};
use futures::future::join_all;
use parking_lot::RwLock;
use tokio::task::JoinHandle;

use self::partition::Partition;
use self::shared::Shared;
use crate::{Appended, Batch, Bounds, EventLog, LogError, LogSlab, PartitionId, PartitionStatus, Retained};

/// How long opening waits for the cluster before it goes on without.
const OPEN_PATIENCE: Duration = Duration::from_secs(8);
/// How long a call is tried again while leaders move and brokers restart, before its caller is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a log in Kafka is opened with.
#[derive(Debug, Clone)]
pub struct KafkaLogOptions {
    /// The cluster and the names of the topics.
    pub kafka: KafkaLogSettings,
    /// Of the settings of every log, the limit and the retention.
    pub settings: LogSettings,
    /// The sources that are to have a topic, and how many partitions each.
    pub sources: BTreeMap<DatasetName, u32>,
    /// The largest batch that is appended; topics are made to take it.
    pub batch_bytes_max: u64,
    /// Where idempotency keys are kept, so that a process that starts again need not read the topics for them. They
    /// are nowhere else but in the topics when absent.
    pub keys_dir: Option<PathBuf>,
    /// For ages and waits.
    pub clock: SharedClock,
}

/// The log in Kafka. Several processes may have it open: each sees what the others append and release.
#[derive(Debug)]
pub struct KafkaLog {
    shared: Arc<Shared>,
    partitions: Partitions,
    watch: JoinHandle<()>,
    closed: AtomicBool,
}

/// The partitions that are known, by their names.
pub(crate) type Partitions = Arc<RwLock<BTreeMap<PartitionId, Arc<Partition>>>>;

impl KafkaLog {
    /// Makes the topics that are absent, and reads where the partitions begin and end. While the cluster cannot be
    /// reached, the log is open all the same: whatever is asked of it is [`LogError::Waiting`] until it can be.
    ///
    /// # Errors
    /// [`LogError::Cluster`] when the cluster refuses; [`LogError::Topic`] when a topic would lose records by its own
    /// settings.
    pub async fn open(options: KafkaLogOptions) -> Result<Arc<Self>, LogError> {
        let KafkaLogOptions { kafka, settings, sources, batch_bytes_max, keys_dir, clock } = options;
        let cluster = Cluster::new(ClusterOptions {
            cluster: kafka.cluster.clone(),
            client_id: "flowline-log".to_owned(),
            patience: PATIENCE,
            clock: clock.clone(),
        })?;
        let shared = Arc::new(Shared::new(cluster, kafka, settings, batch_bytes_max, keys_dir, clock));
        let partitions = Partitions::default();
        let topics = Topics { shared: Arc::clone(&shared), sources, partitions: Arc::clone(&partitions) };
        let opened = tokio::time::timeout(OPEN_PATIENCE, topics.open()).await;
        let waiting = match opened {
            Ok(Ok(())) => None,
            Ok(Err(error)) if error.kind().retryable() => Some(error.to_string()),
            Ok(Err(error)) => return Err(error),
            Err(_) => Some(format!("{} did not answer within {OPEN_PATIENCE:?}", shared.cluster.brokers())),
        };
        let missing = waiting.map(|reason| {
            tracing::warn!(
                reason,
                "waiting for Kafka: nothing is taken in and nothing is landed until it is there"
            );
            topics.declare();
            shared.wait_for_kafka(Some(reason));
            topics
        });
        let watch = tokio::spawn(watch::run(Arc::clone(&shared), Arc::clone(&partitions), missing));
        Ok(Arc::new(Self { shared, partitions, watch, closed: AtomicBool::new(false) }))
    }

    fn partition(&self, id: &PartitionId) -> Result<Arc<Partition>, LogError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(LogError::Closed);
        }
        if let Some(partition) = self.partitions.read().get(id) {
            return Ok(Arc::clone(partition));
        }
        let mut partitions = self.partitions.write();
        let made = || Arc::new(Partition::new(Arc::clone(&self.shared), id.clone()));
        Ok(Arc::clone(partitions.entry(id.clone()).or_insert_with(made)))
    }

    fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().cloned().collect()
    }
}

/// What is to be there before the log can be used.
pub(crate) struct Topics {
    shared: Arc<Shared>,
    sources: BTreeMap<DatasetName, u32>,
    partitions: Partitions,
}

impl Topics {
    /// Makes the topics that are absent, and reads where the partitions begin and end.
    pub(crate) async fn open(&self) -> Result<(), LogError> {
        for (source, partitions) in &self.sources {
            self.shared.ensure_topic(source, (*partitions).max(1)).await?;
        }
        for (source, count) in self.shared.stored_topics().await? {
            self.shared.check_topic(&source).await?;
            for number in 0..count {
                let partition = self.declared(PartitionId::new(source.clone(), number));
                partition.look_anew().await?;
            }
        }
        watch::refresh_released(&self.shared, &self.partitions).await
    }

    /// Has the partitions be known although nothing can be said of them yet.
    fn declare(&self) {
        for (source, partitions) in &self.sources {
            for number in 0..(*partitions).max(1) {
                self.declared(PartitionId::new(source.clone(), number));
            }
        }
    }

    fn declared(&self, id: PartitionId) -> Arc<Partition> {
        let mut partitions = self.partitions.write();
        let made = || Arc::new(Partition::new(Arc::clone(&self.shared), id.clone()));
        Arc::clone(partitions.entry(id.clone()).or_insert_with(made))
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn append(&self, partition: &PartitionId, batch: Batch) -> Result<Appended, LogError> {
        self.partition(partition)?.append(batch).await
    }

    async fn read(&self, partition: &PartitionId, from: u64, bytes_max: usize) -> Result<LogSlab, LogError> {
        self.partition(partition)?.read(from, bytes_max).await
    }

    async fn identity(&self, partition: &PartitionId) -> Result<Option<String>, LogError> {
        self.partition(partition)?.identity().await
    }

    async fn bounds(&self, partition: &PartitionId) -> Result<Bounds, LogError> {
        self.partition(partition)?.refresh().await
    }

    async fn offset_at(&self, partition: &PartitionId, received_at: i64) -> Result<u64, LogError> {
        self.partition(partition)?.offset_at(received_at).await
    }

    async fn wait_beyond(&self, partition: &PartitionId, offset: u64) -> Result<(), LogError> {
        self.partition(partition)?.wait_beyond(offset).await
    }

    async fn release(&self, partition: &PartitionId, offset: u64) -> Result<(), LogError> {
        self.partition(partition)?.release(offset).await
    }

    async fn enforce_retention(&self) -> Result<Retained, LogError> {
        let mut retained = Retained::default();
        for partition in self.all() {
            retained.bytes += partition.enforce_retention().await?;
        }
        Ok(retained)
    }

    fn status(&self) -> Vec<PartitionStatus> {
        self.all().iter().filter_map(|partition| partition.status()).collect()
    }

    async fn close(&self) -> Result<(), LogError> {
        self.closed.store(true, Ordering::Release);
        let all = self.all();
        join_all(all.iter().map(|partition| partition.close())).await;
        watch::keep_keys(&self.partitions);
        self.watch.abort();
        Ok(())
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
