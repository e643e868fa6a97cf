//! Membership in a consumer group, by the classic protocol that every broker speaks: the brokers say who belongs to the
//! group, one of its members shares the partitions out.
//!
//! Owns: joining, sharing out, heartbeats. Does not own: positions – they are committed with the rows.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as AssignedPartitions,
};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use crate::call::Call;
use crate::connection::Connection;
use crate::error::{check, code};
use crate::{Cluster, KafkaError};

/// How a group is joined.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// Its name.
    pub group: String,
    /// The topic whose partitions are shared.
    pub topic: String,
    /// A name that stays the member's own over restarts: one that was killed and comes back within the session has its
    /// partitions at once, and the others notice nothing. Without, its partitions wait until the session is over.
    pub instance: Option<String>,
    /// A member that is silent for this long has left.
    pub session: Duration,
    /// How long the others wait for a member that is to join again.
    pub rebalance: Duration,
}

/// The partitions that a member has, until the group shares them out anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Who we are in the group.
    pub member: String,
    /// Counted up each time the group shares out.
    pub generation: i32,
    /// Ours, in order.
    pub partitions: Vec<i32>,
}

/// A member of a group.
pub struct Member {
    cluster: Cluster,
    options: GroupOptions,
    connection: Option<Connection>,
    member_id: StrBytes,
    generation: i32,
    /// Whether the broker knows members by a name of their own (from 2.3 on).
    by_name: bool,
}

/// How partitions are shared out: the name under which Java's clients know it.
const PROTOCOL: &str = "range";
const PROTOCOL_TYPE: &str = "consumer";
/// From this version of joining on, brokers know members by a name of their own.
const JOIN_BY_NAME: i16 = 5;
/// Joining takes as long as the slowest other member; this much longer is too long.
const JOIN_MARGIN: Duration = Duration::from_secs(10);

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("options", &self.options)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Member {
    /// A member that has not joined yet.
    pub fn new(cluster: Cluster, options: GroupOptions) -> Self {
        Self {
            cluster,
            options,
            connection: None,
            member_id: StrBytes::new(),
            generation: -1,
            by_name: false,
        }
    }

    /// Joins, or joins again, and waits until partitions are shared out.
    ///
    /// # Errors
    /// What the group refuses; whoever asks again later may be let in.
    pub async fn join(&mut self) -> Result<Assignment, KafkaError> {
        loop {
            match self.try_join().await {
                Err(error) if error.code() == Some(code::MEMBER_ID_REQUIRED) => {}
                Err(error) if error.code() == Some(code::UNKNOWN_MEMBER_ID) && !self.member_id.is_empty() => {
                    self.member_id = StrBytes::new();
                }
                Err(error) => {
                    self.connection = None;
                    return Err(error);
                }
                Ok(Some(assignment)) => return Ok(assignment),
                // The group began to share out anew before it had ended.
                Ok(None) => {}
            }
        }
    }

    async fn try_join(&mut self) -> Result<Option<Assignment>, KafkaError> {
        let joined = self.send_join().await?;
        if !joined.member_id.is_empty() {
            self.member_id = joined.member_id.clone();
        }
        check(joined.error_code, || format!("to let us into the group `{}`", self.options.group))?;
        self.generation = joined.generation_id;
        let shares =
            if joined.leader == joined.member_id { self.share_out(&joined).await? } else { Vec::new() };
        let request = SyncGroupRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(self.instance())
            .with_protocol_type(Some(StrBytes::from_static_str(PROTOCOL_TYPE)))
            .with_protocol_name(Some(StrBytes::from_static_str(PROTOCOL)))
            .with_assignments(shares);
        let answer = self.call(self.options.rebalance + JOIN_MARGIN, &request).await?;
        if answer.error_code == code::REBALANCE_IN_PROGRESS {
            return Ok(None);
        }
        check(answer.error_code, || format!("our share of the group `{}`", self.options.group))?;
        let partitions = self.read_assignment(answer.assignment)?;
        Ok(Some(Assignment { member: self.member_id.to_string(), generation: self.generation, partitions }))
    }

    async fn send_join(&mut self) -> Result<JoinGroupResponse, KafkaError> {
        let connection = self.connected().await?;
        let by_name =
            connection.version::<JoinGroupRequest>(i16::MAX).is_ok_and(|version| version >= JOIN_BY_NAME);
        (self.connection, self.by_name) = (Some(connection), by_name);
        let topic = StrBytes::from_string(self.options.topic.clone());
        let subscription = ConsumerProtocolSubscription::default().with_topics(vec![topic]);
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(PROTOCOL))
            .with_metadata(versioned(&subscription)?);
        let milliseconds = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        let request = JoinGroupRequest::default()
            .with_group_id(self.group_id())
            .with_session_timeout_ms(milliseconds(self.options.session))
            .with_rebalance_timeout_ms(milliseconds(self.options.rebalance))
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(self.instance())
            .with_protocol_type(StrBytes::from_static_str(PROTOCOL_TYPE))
            .with_protocols(vec![protocol]);
        self.call(self.options.rebalance + JOIN_MARGIN, &request).await
    }

    /// Shares the partitions out among the members that want the topic.
    async fn share_out(
        &self,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, KafkaError> {
        let topic = self.cluster.topic(&self.options.topic).await?;
        let partitions: Vec<i32> = topic
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| partition.number))
            .collect();
        let mut wanting = Vec::new();
        for member in &joined.members {
            let subscribed = read_versioned::<ConsumerProtocolSubscription>(member.metadata.clone());
            let topics = subscribed.map_or_else(Vec::new, |subscription| subscription.topics);
            wanting.extend(
                topics.iter().any(|topic| **topic == *self.options.topic).then(|| member.member_id.clone()),
            );
        }
        let shares = ranges(&partitions, wanting);
        let assignment = |member: &StrBytes| {
            let ours = shares.get(member).cloned().unwrap_or_default();
            let assigned = AssignedPartitions::default()
                .with_topic(TopicName(StrBytes::from_string(self.options.topic.clone())))
                .with_partitions(ours);
            let assigned = ConsumerProtocolAssignment::default().with_assigned_partitions(vec![assigned]);
            let bytes = versioned(&assigned)?;
            Ok(SyncGroupRequestAssignment::default().with_member_id(member.clone()).with_assignment(bytes))
        };
        joined.members.iter().map(|member| assignment(&member.member_id)).collect()
    }

    fn read_assignment(&self, bytes: Bytes) -> Result<Vec<i32>, KafkaError> {
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let assigned =
            read_versioned::<ConsumerProtocolAssignment>(bytes).ok_or_else(|| KafkaError::Malformed {
                broker: format!("of the group `{}`", self.options.group),
                request: "SyncGroup".to_owned(),
                reason: "the assignment cannot be read".to_owned(),
            })?;
        let ours = assigned.assigned_partitions.into_iter();
        let ours = ours.filter(|assigned| *assigned.topic.0 == *self.options.topic);
        let mut partitions: Vec<i32> = ours.flat_map(|assigned| assigned.partitions).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// Says that we are still there; false when the group is about to share out anew, and we must join again.
    ///
    /// # Errors
    /// What the group refuses, and that its coordinator cannot be reached.
    pub async fn heartbeat(&mut self) -> Result<bool, KafkaError> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(self.instance());
        let answer = self.call(self.options.session, &request).await?;
        match answer.error_code {
            0 => Ok(true),
            code::REBALANCE_IN_PROGRESS | code::ILLEGAL_GENERATION | code::UNKNOWN_MEMBER_ID => Ok(false),
            refused => {
                self.connection = None;
                check(refused, || format!("our place in the group `{}`", self.options.group)).map(|()| true)
            }
        }
    }

    /// Leaves, so that the others need not wait until they notice.
    pub async fn leave(&mut self) {
        let request = LeaveGroupRequest::default()
            .with_group_id(self.group_id())
            .with_member_id(self.member_id.clone());
        if self.connection.is_some()
            && let Err(error) = self.call(Duration::from_secs(5), &request).await
        {
            tracing::debug!(group = self.options.group, %error, "the group was left without a word");
        }
        self.member_id = StrBytes::new();
    }

    fn instance(&self) -> Option<StrBytes> {
        self.options.instance.clone().filter(|_| self.by_name).map(StrBytes::from_string)
    }

    async fn connected(&mut self) -> Result<Connection, KafkaError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => {
                let coordinator = self.cluster.coordinator(&self.options.group).await?;
                self.cluster.connect(coordinator).await
            }
        }
    }

    fn group_id(&self) -> GroupId {
        GroupId(StrBytes::from_string(self.options.group.clone()))
    }

    /// A request on the connection of this member, which no other request can hold up.
    async fn call<Q: Call>(&mut self, patience: Duration, request: &Q) -> Result<Q::Answer, KafkaError> {
        let mut connection = self.connected().await?;
        let answer = connection.call_within(patience, Q::VERSION_MAX, request).await?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

/// Each member gets a run of partitions; the first ones get one more where they do not divide.
fn ranges(partitions: &[i32], mut members: Vec<StrBytes>) -> BTreeMap<StrBytes, Vec<i32>> {
    members.sort();
    members.dedup();
    let (mut shares, mut from) = (BTreeMap::new(), 0);
    for (index, member) in members.iter().enumerate() {
        let each = partitions.len() / members.len();
        let count = each + usize::from(index < partitions.len() % members.len());
        shares.insert(member.clone(), partitions[from..from + count].to_vec());
        from += count;
    }
    shares
}

/// The oldest version of what members tell each other: it names topics and partitions, and every client reads it.
fn versioned(message: &impl Encodable) -> Result<Bytes, KafkaError> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    message.encode(&mut bytes, 0).map_err(|error| KafkaError::Settings { reason: error.to_string() })?;
    Ok(bytes.freeze())
}

fn read_versioned<M: Decodable>(mut bytes: Bytes) -> Option<M> {
    if bytes.len() < 2 {
        return None;
    }
    let version = bytes.get_i16().clamp(0, 3);
    M::decode(&mut bytes, version).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_shared_out_evenly() {
        let member = |name: &'static str| StrBytes::from_static_str(name);
        let shares = ranges(&[0, 1, 2, 3, 4], vec![member("b"), member("a"), member("b")]);
        assert_eq!(shares[&member("a")], [0, 1, 2]);
        assert_eq!(shares[&member("b")], [3, 4]);
        assert_eq!(ranges(&[0], vec![member("a"), member("b")])[&member("b")], [0; 0]);
        assert!(ranges(&[0], Vec::new()).is_empty());
    }

    #[test]
    fn what_members_tell_each_other_is_read_again() {
        let topics = vec![StrBytes::from_static_str("orders")];
        let written =
            versioned(&ConsumerProtocolSubscription::default().with_topics(topics.clone())).unwrap();
        assert_eq!(read_versioned::<ConsumerProtocolSubscription>(written).unwrap().topics, topics);
        assert!(read_versioned::<ConsumerProtocolSubscription>(Bytes::new()).is_none());
    }
}
