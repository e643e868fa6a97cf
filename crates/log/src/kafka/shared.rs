//! What the partitions of a log in Kafka share: the cluster, the settings, and the topics.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use flowline_base::SharedClock;
use flowline_kafka::{Cluster, NewTopic, Topic};
use flowline_model::{DatasetName, KafkaLogSettings, LogSettings};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{LogError, PartitionId};

/// Appends that wait to be sent hold at most so much memory together.
const QUEUE_BYTES_MAX: usize = 128 << 20;
/// The bytes that one permit stands for.
const PERMIT_BYTES: usize = 4 << 10;
/// A broker reads no request larger than this, unless it is told to (`socket.request.max.bytes`).
const REQUEST_BYTES_MAX: u64 = 96 << 20;
/// A topic takes at least batches of this size.
const BATCH_BYTES_LEAST: u64 = 8 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) kafka: KafkaLogSettings,
    pub(crate) settings: LogSettings,
    pub(crate) clock: SharedClock,
    pub(crate) room: Arc<Semaphore>,
    batch_bytes_max: u64,
    /// Where idempotency keys are kept.
    pub(crate) keys_dir: Option<PathBuf>,
    /// The topics that are known to be there.
    topics: Mutex<BTreeMap<DatasetName, Known>>,
    /// Why Kafka could not be reached since the log was opened.
    waiting: Mutex<Option<String>>,
}

/// What is known of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) partitions: u32,
    /// None where brokers know none.
    pub(crate) id: Option<[u8; 16]>,
}

impl Known {
    fn of(topic: &Topic) -> Self {
        Self { partitions: topic.partitions.len() as u32, id: topic.id }
    }
}

impl Shared {
    pub(crate) fn new(
        cluster: Cluster,
        kafka: KafkaLogSettings,
        settings: LogSettings,
        batch_bytes_max: u64,
        keys_dir: Option<PathBuf>,
        clock: SharedClock,
    ) -> Self {
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX / PERMIT_BYTES));
        // Records have a frame of their own in a batch: a quarter on top is plenty for all but the smallest ones.
        let batch_bytes_max =
            (batch_bytes_max + batch_bytes_max / 4 + (1 << 20)).clamp(BATCH_BYTES_LEAST, REQUEST_BYTES_MAX);
        Self {
            cluster,
            kafka,
            settings,
            clock,
            room,
            batch_bytes_max,
            keys_dir,
            topics: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// The topic of a source.
    pub(crate) fn topic(&self, source: &DatasetName) -> String {
        format!("{}{source}", self.kafka.topic_prefix)
    }

    /// The group whose positions say how far partitions are released.
    pub(crate) fn group(&self) -> String {
        format!("{}landed", self.kafka.topic_prefix)
    }

    /// The permits that so many bytes in the queue take; more than there are take all of them.
    pub(crate) fn permits(bytes: u64) -> u32 {
        let permits = bytes.div_ceil(PERMIT_BYTES as u64);
        permits.min((QUEUE_BYTES_MAX / PERMIT_BYTES) as u64) as u32
    }

    /// Says that Kafka could not be reached since the log was opened, or (with none) that it was.
    pub(crate) fn wait_for_kafka(&self, reason: Option<String>) {
        *self.waiting.lock() = reason;
    }

    /// Refuses at once what would have to wait for a Kafka that was never there.
    pub(crate) fn ready(&self) -> Result<(), LogError> {
        match &*self.waiting.lock() {
            Some(reason) => Err(LogError::Waiting { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Whether the partition is there.
    pub(crate) async fn exists(&self, id: &PartitionId) -> Result<bool, LogError> {
        if self.known(id) {
            return Ok(true);
        }
        if let Some(topic) = self.cluster.topic(&self.topic(&id.source)).await? {
            self.topics.lock().insert(id.source.clone(), Known::of(&topic));
        }
        Ok(self.known(id))
    }

    fn known(&self, id: &PartitionId) -> bool {
        self.topics.lock().get(&id.source).is_some_and(|known| id.partition < known.partitions)
    }

    /// The id of the topic of a source, as far as it is known.
    pub(crate) fn topic_id(&self, source: &DatasetName) -> Option<[u8; 16]> {
        self.topics.lock().get(source).and_then(|known| known.id)
    }

    /// Whether the topic is another one than the one that is known, or is gone.
    pub(crate) async fn replaced(&self, source: &DatasetName) -> Result<bool, LogError> {
        let Some(known) = self.topic_id(source) else { return Ok(false) };
        let found = self.cluster.topic(&self.topic(source)).await?;
        Ok(found.is_none_or(|topic| topic.id != Some(known)))
    }

    /// What is known of the topic is not true any more.
    pub(crate) fn forget(&self, source: &DatasetName) {
        self.topics.lock().remove(source);
    }

    /// Makes the topic of a source, or gives it as many partitions.
    pub(crate) async fn ensure_topic(&self, source: &DatasetName, partitions: u32) -> Result<(), LogError> {
        let name = self.topic(source);
        let wanted = i32::try_from(partitions).unwrap_or(i32::MAX);
        let found = match self.cluster.topic(&name).await? {
            Some(topic) => Known::of(&topic),
            None => {
                // Without its id it could not be told from another one, nor that its end is lost.
                let made = self.cluster.create_topic(self.new_topic(&name, wanted)).await?;
                tracing::info!(topic = name, partitions, "the topic was made");
                Known::of(&made)
            }
        };
        if found.partitions < partitions {
            self.cluster.grow_topic(&name, wanted).await?;
        }
        let known = Known { partitions: found.partitions.max(partitions), ..found };
        self.topics.lock().insert(source.clone(), known);
        Ok(())
    }

    fn new_topic<'a>(&'a self, name: &'a str, partitions: i32) -> NewTopic<'a> {
        NewTopic {
            name,
            partitions,
            replication: self.kafka.replication.and_then(|brokers| i16::try_from(brokers).ok()),
            settings: self.topic_settings(),
        }
    }

    /// Kafka deletes nothing by itself: what is not landed must stay, and of that it knows nothing.
    fn topic_settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", "-1".to_owned()),
            ("retention.bytes", "-1".to_owned()),
            ("max.message.bytes", self.batch_bytes_max.to_string()),
            ("message.timestamp.type", "CreateTime".to_owned()),
        ]
    }

    /// The topics that begin with the prefix, by their sources, and how many partitions each has.
    pub(crate) async fn stored_topics(&self) -> Result<BTreeMap<DatasetName, u32>, LogError> {
        let (mut found, mut topics) = (BTreeMap::new(), BTreeMap::new());
        for topic in self.cluster.topics().await? {
            let Some(rest) = topic.name.strip_prefix(&self.kafka.topic_prefix) else { continue };
            match rest.parse::<DatasetName>() {
                Ok(source) => {
                    found.insert(source.clone(), topic.partitions.len() as u32);
                    topics.insert(source, Known::of(&topic));
                }
                Err(_) => tracing::debug!(topic = topic.name, "this topic is no source's and is left alone"),
            }
        }
        *self.topics.lock() = topics;
        Ok(found)
    }

    /// Refuses a topic that somebody else made so that it loses records.
    pub(crate) async fn check_topic(&self, source: &DatasetName) -> Result<(), LogError> {
        let topic = self.topic(source);
        let cleanup = self.cluster.topic_setting(&topic, "cleanup.policy").await?;
        if let Some(policy) = cleanup.filter(|policy| policy.contains("compact")) {
            let reason =
                format!("its `cleanup.policy` is `{policy}`, which removes records; set it to `delete`");
            return Err(LogError::Topic { topic, reason });
        }
        for name in ["retention.ms", "retention.bytes"] {
            let limit = self.cluster.topic_setting(&topic, name).await?;
            if let Some(limit) = limit.filter(|limit| limit != "-1") {
                tracing::warn!(
                    topic,
                    setting = name,
                    limit,
                    "Kafka may delete records of this topic before they are landed; set it to -1: Flowline deletes what is landed and old enough"
                );
            }
        }
        Ok(())
    }
}
