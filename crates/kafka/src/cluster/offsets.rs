//! The ends of partitions, and the positions that Kafka keeps for groups.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest,
    OffsetForLeaderEpochRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::data::silent;
use super::{Cluster, Node, Use};
use crate::KafkaError;
use crate::error::check;

/// An offset by what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetAt {
    /// The oldest that is kept.
    Start,
    /// The one that the next record gets.
    End,
    /// Behind the last record before the oldest transaction that is under way.
    CommittedEnd,
    /// That of the first record stamped with this time (milliseconds since the epoch) or a later one.
    Time(i64),
}

/// An offset of a partition, and the leader's epoch in which it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedOffset {
    /// None where there is no such offset.
    pub offset: Option<u64>,
    /// How often the partition had been led anew; none when that is not known.
    pub epoch: Option<i32>,
}

/// A position that Kafka keeps for a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: u64,
    /// What was said with it.
    pub note: String,
}

impl Cluster {
    /// Finds an offset; none where no record is that young.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn offset(&self, topic: &str, partition: i32, at: OffsetAt) -> Result<Option<u64>, KafkaError> {
        Ok(self.offset_led(topic, partition, at).await?.offset)
    }

    /// The same, with the leader's epoch in which it was told. A broker that leads the partition no more, or not yet, tells
    /// none.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn offset_led(
        &self,
        topic: &str,
        partition: i32,
        at: OffsetAt,
    ) -> Result<LedOffset, KafkaError> {
        self.patiently(|| self.offset_once(topic, partition, at)).await
    }

    async fn offset_once(&self, topic: &str, partition: i32, at: OffsetAt) -> Result<LedOffset, KafkaError> {
        let (leader, known) = self.leader(topic, partition).await?;
        let epoch = known.leader_epoch(partition);
        let timestamp = match at {
            OffsetAt::Start => -2,
            OffsetAt::End | OffsetAt::CommittedEnd => -1,
            OffsetAt::Time(time) => time.max(0),
        };
        let asked = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(epoch.unwrap_or(-1))
            .with_timestamp(timestamp);
        let asked = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![asked]);
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_isolation_level(i8::from(at == OffsetAt::CommittedEnd))
            .with_topics(vec![asked]);
        let answer = self.call(leader, Use::Control, &request).await.inspect_err(|_| self.forget(topic))?;
        let partitions = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let found = partitions.into_iter().find(|found| found.partition_index == partition);
        let action = || format!("an offset of `{topic}`, partition {partition}");
        let found = found.ok_or_else(|| silent(topic, partition, "an offset"))?;
        check(found.error_code, action).inspect_err(|_| self.forget(topic))?;
        Ok(LedOffset { offset: u64::try_from(found.offset).ok(), epoch })
    }

    /// Where what was appended in the epoch of a leader ends in the log of the present one: with none, where that log
    /// itself ends, which may be behind what readers see. None where the broker knows no such epoch, or is too old to say.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn epoch_end(
        &self,
        topic: &str,
        partition: i32,
        epoch: Option<i32>,
    ) -> Result<LedOffset, KafkaError> {
        match self.patiently(|| self.epoch_end_once(topic, partition, epoch)).await {
            Err(KafkaError::Version { .. }) => Ok(LedOffset { offset: None, epoch: None }),
            found => found,
        }
    }

    async fn epoch_end_once(
        &self,
        topic: &str,
        partition: i32,
        epoch: Option<i32>,
    ) -> Result<LedOffset, KafkaError> {
        let (leader, known) = self.leader(topic, partition).await?;
        let Some(current) = known.leader_epoch(partition) else {
            return Ok(LedOffset { offset: None, epoch: None });
        };
        let asked = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch.unwrap_or(current));
        let asked =
            OffsetForLeaderTopic::default().with_topic(topic_name(topic)).with_partitions(vec![asked]);
        let request =
            OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
        let answer = self.call(leader, Use::Control, &request).await.inspect_err(|_| self.forget(topic))?;
        let partitions = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let found = partitions.into_iter().find(|found| found.partition == partition);
        let action = || format!("the end of an epoch of `{topic}`, partition {partition}");
        let found = found.ok_or_else(|| silent(topic, partition, "the end of an epoch"))?;
        check(found.error_code, action).inspect_err(|_| self.forget(topic))?;
        Ok(LedOffset { offset: u64::try_from(found.end_offset).ok(), epoch: Some(current) })
    }

    /// The positions of a group in a topic, of those partitions that have one.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, CommittedOffset>, KafkaError> {
        let asked = OffsetFetchRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partition_indexes(partitions.to_vec());
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id(group))
            .with_topics(Some(vec![asked]))
            .with_require_stable(false);
        self.patiently(|| async {
            let coordinator = self.coordinator(group).await?;
            let answer = self.call(coordinator, Use::Control, &request).await?;
            let action = || format!("the positions of the group `{group}`");
            check(answer.error_code, action)?;
            let mut positions = BTreeMap::new();
            for found in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
                check(found.error_code, action)?;
                if let Ok(offset) = u64::try_from(found.committed_offset) {
                    let note = found.metadata.map(|note| note.to_string()).unwrap_or_default();
                    positions.insert(found.partition_index, CommittedOffset { offset, note });
                }
            }
            Ok(positions)
        })
        .await
    }

    /// Has Kafka keep a position for a group that has no members, or for the member of this generation.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn commit(
        &self,
        group: &str,
        member: Option<(&str, i32)>,
        topic: &str,
        positions: &BTreeMap<i32, CommittedOffset>,
    ) -> Result<(), KafkaError> {
        let partition = |(number, position): (&i32, &CommittedOffset)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(*number)
                .with_committed_offset(i64::try_from(position.offset).unwrap_or(i64::MAX))
                .with_committed_metadata(Some(StrBytes::from_string(position.note.clone())))
        };
        let told = OffsetCommitRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(positions.iter().map(partition).collect());
        let (member, generation) = member.unwrap_or(("", -1));
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(group))
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(StrBytes::from_string(member.to_owned()))
            .with_topics(vec![told]);
        self.patiently(|| async {
            let coordinator = self.coordinator(group).await?;
            let answer = self.call(coordinator, Use::Control, &request).await?;
            for found in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
                check(found.error_code, || format!("a position of the group `{group}`"))?;
            }
            Ok(())
        })
        .await
    }

    /// The broker that looks after a group.
    pub(crate) async fn coordinator(&self, group: &str) -> Result<Node, KafkaError> {
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(group.to_owned()))
            .with_key_type(0);
        let answer = self.call_any(&request).await?;
        check(answer.error_code, || format!("the coordinator of the group `{group}`"))?;
        let node = answer.node_id.0;
        if self.0.metadata.lock().address(node).is_none() {
            self.controller().await.map(drop)?;
        }
        Ok(Node::Broker(node))
    }
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}
