//! Records that others write to a topic of Kafka.
//!
//! Owns: reading a topic as the same batches that HTTP requests become: what a tombstone is, what a transaction that
//! was given up leaves out, how a topic that was made again is told apart from the one that was read. Does not own: how
//! far a topic is read (`flowline-land` commits that with the rows), the protocol (`flowline-kafka`).
//!
//! Offsets are not records: marks of transactions take offsets, transactions that were given up leave theirs, and
//! compaction takes records out. What is left is read in order, each record with the offset that it has in the topic.

mod frames;
#[cfg(test)]
mod tests;

use std::time::Duration;

use flowline_base::SharedClock;
use flowline_kafka::records::{Visible, batches};
use flowline_kafka::{Cluster, ClusterOptions, FetchFrom, OffsetAt, Topic, code};
use flowline_log::{Frame, RecordFormat};
use flowline_model::{KafkaCluster, KafkaOrigin};

pub use flowline_kafka::KafkaError;

/// How long one partition may hold up its reader while its leader moves.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a topic is asked whether there is more.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The topic of one source. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TopicSource {
    cluster: Cluster,
    origin: KafkaOrigin,
}

/// What the positions in all partitions of a topic begin with. Another topic of the same name, made after this one was
/// deleted, has others.
pub fn inputs_of(topic: &Topic) -> String {
    let digits: String = topic.id.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("kafka/{digits}/")
}

/// What was read of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSlab {
    /// Records that follow each other without a gap are one frame.
    pub frames: Vec<Frame>,
    /// Where to read next.
    pub next: u64,
    /// Records without a value: what was said of their key no longer holds.
    pub tombstones: u64,
    /// Offsets that hold no record that a reader may see.
    pub gaps: u64,
}

/// The offsets of a partition that readers may see: `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicBounds {
    /// The oldest that is kept.
    pub start: u64,
    /// Behind the last record before the oldest transaction that is under way.
    pub end: u64,
}

impl TopicSource {
    /// The topic of this origin; no broker is asked yet.
    ///
    /// # Errors
    /// [`KafkaError::Settings`].
    pub fn open(cluster: KafkaCluster, origin: KafkaOrigin, clock: SharedClock) -> Result<Self, KafkaError> {
        let client_id = format!("flowline-{}", origin.group);
        let cluster = Cluster::new(ClusterOptions { cluster, client_id, patience: PATIENCE, clock })?;
        Ok(Self { cluster, origin })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The origin.
    pub fn origin(&self) -> &KafkaOrigin {
        &self.origin
    }

    /// How the values of records are written.
    fn format(&self) -> RecordFormat {
        match self.origin.registry {
            Some(_) => RecordFormat::Registered,
            None => RecordFormat::Json,
        }
    }

    /// The topic as it is now.
    ///
    /// # Errors
    /// [`code::UNKNOWN_TOPIC_OR_PARTITION`] when there is no such topic, or we may not see it.
    pub async fn describe(&self) -> Result<Topic, KafkaError> {
        let found = self.cluster.topic(&self.origin.topic).await?;
        found.ok_or_else(|| KafkaError::Refused {
            action: format!("to describe the topic `{}`", self.origin.topic),
            code: code::UNKNOWN_TOPIC_OR_PARTITION,
            reason: "there is no such topic, or we may not see it: make it, or mend `topic` of the dataset"
                .to_owned(),
        })
    }

    /// Where a partition begins and ends.
    ///
    /// # Errors
    /// What Kafka refuses, and that it cannot be reached.
    pub async fn bounds(&self, partition: i32) -> Result<TopicBounds, KafkaError> {
        let topic = &self.origin.topic;
        let start = self.cluster.offset(topic, partition, OffsetAt::Start).await?.unwrap_or(0);
        let end = self.cluster.offset(topic, partition, OffsetAt::CommittedEnd).await?.unwrap_or(0);
        Ok(TopicBounds { start, end: end.max(start) })
    }

    /// Reads from an offset on; nothing at the end. The topic must still be the one with this id.
    ///
    /// # Errors
    /// [`KafkaError::Replaced`] when it is not; [`code::OFFSET_OUT_OF_RANGE`] when the offset is not kept any more, or
    /// the partition has lost its end.
    pub async fn read(
        &self,
        id: Option<[u8; 16]>,
        partition: i32,
        from: u64,
        bytes_max: usize,
    ) -> Result<TopicSlab, KafkaError> {
        let topic = &self.origin.topic;
        let place = FetchFrom { topic, id, partition, offset: from, after: None };
        let fetched = self.cluster.fetch_committed(place, bytes_max).await?;
        let damaged = |offset: i64, reason: String| KafkaError::Records {
            topic: topic.clone(),
            partition,
            offset,
            reason,
        };
        let found = batches(&fetched.batches).map_err(|(offset, reason)| damaged(offset, reason))?;
        let mut frames = frames::Frames::new(self.format(), from);
        let mut visible = Visible::new(fetched.aborted);
        for batch in &found {
            if visible.shows(batch) {
                let records = batch.records().map_err(|reason| damaged(batch.first_offset, reason))?;
                records.into_iter().for_each(|record| frames.push(record));
            }
            frames.pass(batch.last_offset);
        }
        Ok(frames.finish())
    }

    /// Waits until there is something at one of these positions.
    ///
    /// # Errors
    /// What Kafka refuses, and that it cannot be reached.
    pub async fn wait_beyond(&self, positions: &[(i32, u64)]) -> Result<(), KafkaError> {
        loop {
            for (partition, next) in positions {
                let end = self.cluster.offset(&self.origin.topic, *partition, OffsetAt::CommittedEnd).await?;
                // An end before the position is for the reader to find out about.
                if end.unwrap_or(0) != *next {
                    return Ok(());
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
