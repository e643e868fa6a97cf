//! Records out and in.

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, InitProducerIdRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Cluster, Topic, Use};
use crate::KafkaError;
use crate::error::{check, code};
use crate::records::Producer;

/// How long the leader waits for its followers before it answers that they were too slow.
const REPLICATION_PATIENCE_MS: i32 = 10_000;
/// The last version of fetch that names topics; later ones know them by their id.
const FETCH_BY_NAME: i16 = 12;

/// What a partition gave.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Whole batches, the first of which holds the offset that was asked for, or the next one that there is; the last
    /// may be cut off.
    pub batches: Bytes,
    /// The offset behind the last record that readers may see.
    pub end: i64,
    /// The offset behind the last record: further than `end` while a transaction is under way.
    pub written: i64,
    /// The oldest offset that is kept.
    pub start: i64,
    /// Transactions that were given up: who wrote them, and from which offset on.
    pub aborted: Vec<(i64, i64)>,
    /// The record before was appended in another epoch than was said: that epoch, or the last one before it that there
    /// is, ends at this offset. Nothing is read then.
    pub diverging: Option<i64>,
}

/// Where to read.
#[derive(Debug, Clone, Copy)]
pub struct FetchFrom<'a> {
    /// The topic by its name.
    pub topic: &'a str,
    /// And by its id, where ids are known: another topic of the same name is not read.
    pub id: Option<[u8; 16]>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: u64,
    /// The leader's epoch in which the record before the offset was appended, where it is known: whether it still is
    /// that record is said then.
    pub after: Option<i32>,
}

impl Cluster {
    /// A producer that nobody else is.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn new_producer(&self) -> Result<Producer, KafkaError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        self.patiently(|| async {
            let answer = self.call_any(&request).await?;
            check(answer.error_code, || "a producer".to_owned())?;
            Ok(Producer { id: answer.producer_id.0, epoch: answer.producer_epoch, sequence: 0 })
        })
        .await
    }

    /// Sends one batch once and waits until all replicas that must have it have it; returns the offset of its first
    /// record. The same bytes may be sent again: Kafka stores them once.
    ///
    /// # Errors
    /// See [`KafkaError::may_be_done`] for what is known of the batch then.
    pub async fn produce(&self, topic: &str, partition: i32, batch: Bytes) -> Result<u64, KafkaError> {
        let (leader, _) = self.leader(topic, partition).await?;
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
        let topic_data = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(REPLICATION_PATIENCE_MS)
            .with_topic_data(vec![topic_data]);
        let answer = self.call(leader, Use::produce(partition), &request).await;
        let answer = answer.inspect_err(|_| self.forget(topic))?;
        let topics = answer.responses.into_iter();
        let found = topics.flat_map(|topic| topic.partition_responses).find(|found| found.index == partition);
        let Some(found) = found else { return Err(silent(topic, partition, "an append")) };
        if let Err(error) =
            check(found.error_code, || format!("an append to `{topic}`, partition {partition}"))
        {
            self.forget(topic);
            return Err(match (error, found.error_message) {
                (KafkaError::Refused { action, code, .. }, Some(reason)) => {
                    KafkaError::Refused { action, code, reason: reason.to_string() }
                }
                (error, _) => error,
            });
        }
        u64::try_from(found.base_offset).map_err(|_| silent(topic, partition, "an append"))
    }

    /// Reads from an offset on, about as many bytes as asked, but one whole batch at least when there is one.
    ///
    /// # Errors
    /// [`KafkaError::Replaced`] when the topic was deleted and made again; [`code::OFFSET_OUT_OF_RANGE`] among others.
    pub async fn fetch(&self, from: FetchFrom<'_>, bytes_max: usize) -> Result<Fetched, KafkaError> {
        self.patiently(|| self.fetch_once(from, bytes_max, false)).await
    }

    /// Reads what lies before the oldest transaction that is under way.
    ///
    /// # Errors
    /// [`KafkaError::Replaced`] when the topic was deleted and made again; [`code::OFFSET_OUT_OF_RANGE`] among others.
    pub async fn fetch_committed(
        &self,
        from: FetchFrom<'_>,
        bytes_max: usize,
    ) -> Result<Fetched, KafkaError> {
        self.patiently(|| self.fetch_once(from, bytes_max, true)).await
    }

    async fn fetch_once(
        &self,
        from: FetchFrom<'_>,
        bytes_max: usize,
        committed: bool,
    ) -> Result<Fetched, KafkaError> {
        let FetchFrom { topic, id, partition, offset, .. } = from;
        let (leader, known) = self.leader(topic, partition).await?;
        if id.is_some() && known.id != id {
            return Err(KafkaError::Replaced { topic: topic.to_owned() });
        }
        let bytes_max = i32::try_from(bytes_max).unwrap_or(i32::MAX);
        let request = fetch_request(&known, from, bytes_max, committed);
        let version = if known.id.is_some() { i16::MAX } else { FETCH_BY_NAME };
        let answer = self.call_up_to(leader, Use::fetch(partition), version, &request).await;
        let answer = answer.inspect_err(|_| self.forget(topic))?;
        let action = || format!("a read of `{topic}`, partition {partition}, from offset {offset}");
        check(answer.error_code, action).inspect_err(|_| self.forget(topic))?;
        let partitions = answer.responses.into_iter().flat_map(|topic| topic.partitions);
        let Some(found) = partitions.into_iter().find(|found| found.partition_index == partition) else {
            return Err(silent(topic, partition, "a read"));
        };
        if found.error_code != 0 && found.error_code != code::OFFSET_OUT_OF_RANGE {
            self.forget(topic);
        }
        check(found.error_code, action)?;
        Ok(fetched(found, committed))
    }
}

fn fetch_request(topic: &Topic, from: FetchFrom<'_>, bytes_max: i32, committed: bool) -> FetchRequest {
    // Brokers that know no ids of topics may not know epochs of what was read either.
    let after = from.after.filter(|_| topic.id.is_some());
    let partition = FetchPartition::default()
        .with_partition(from.partition)
        .with_current_leader_epoch(topic.leader_epoch(from.partition).unwrap_or(-1))
        .with_fetch_offset(i64::try_from(from.offset).unwrap_or(i64::MAX))
        .with_last_fetched_epoch(after.unwrap_or(-1))
        .with_partition_max_bytes(bytes_max);
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_string(topic.name.clone())))
        .with_topic_id(uuid_of(topic.id.unwrap_or_default()))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(bytes_max)
        .with_isolation_level(i8::from(committed))
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

fn fetched(found: PartitionData, committed: bool) -> Fetched {
    let end = if committed { found.last_stable_offset } else { found.high_watermark };
    let aborted = found.aborted_transactions.unwrap_or_default();
    let diverging = (found.diverging_epoch.end_offset >= 0).then_some(found.diverging_epoch.end_offset);
    Fetched {
        diverging,
        batches: found.records.unwrap_or_default(),
        end,
        written: found.high_watermark,
        start: found.log_start_offset,
        aborted: aborted.into_iter().map(|aborted| (aborted.producer_id.0, aborted.first_offset)).collect(),
    }
}

fn uuid_of(bytes: [u8; 16]) -> uuid::Uuid {
    uuid::Uuid::from_bytes(bytes)
}

/// The broker answered and said nothing of the partition.
pub(super) fn silent(topic: &str, partition: i32, request: &str) -> KafkaError {
    KafkaError::Malformed {
        broker: "that leads it".to_owned(),
        request: format!("{request} of `{topic}`, partition {partition}"),
        reason: "it says nothing of the partition".to_owned(),
    }
}
