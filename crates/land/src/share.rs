//! Partitions that several nodes share: who has which is said by a consumer group of Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use flowline_kafka::{Assignment, Cluster, CommittedOffset, GroupOptions, Membership, Standing};

use crate::LandError;

/// A node that is silent for this long has lost its partitions.
const SESSION: Duration = Duration::from_secs(10);
/// How long the others wait for a node that has to commit before it gives partitions back.
const REBALANCE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(crate) struct Share {
    membership: Membership,
    cluster: Cluster,
    group: String,
    topic: String,
    /// What is being landed.
    current: Option<Assignment>,
}

impl Share {
    /// Joins the group in the background; `instance` is the name of this node over restarts.
    pub(crate) fn start(cluster: Cluster, group: String, topic: String, instance: Option<String>) -> Self {
        let options = GroupOptions {
            group: group.clone(),
            topic: topic.clone(),
            instance,
            session: SESSION,
            rebalance: REBALANCE,
        };
        Self { membership: Membership::start(cluster.clone(), options), cluster, group, topic, current: None }
    }

    /// The partitions that are ours from now on; none while the group has not shared them out.
    ///
    /// # Errors
    /// That the group cannot be joined.
    pub(crate) fn take(&mut self) -> Result<Option<Vec<u32>>, LandError> {
        match self.membership.standing() {
            Standing::Assigned(assignment) => {
                let ours =
                    assignment.partitions.iter().filter_map(|number| u32::try_from(*number).ok()).collect();
                self.current = Some(assignment);
                Ok(Some(ours))
            }
            Standing::Failed(error) => Err(error.into()),
            Standing::Joining | Standing::Revoked => Ok(None),
        }
    }

    /// Whether what we land is to be given back; also what was never taken.
    pub(crate) fn revoked(&self) -> bool {
        match self.current.clone().map(Standing::Assigned) {
            Some(current) => self.membership.standing() != current,
            None => matches!(self.membership.standing(), Standing::Revoked),
        }
    }

    /// Everything that was read is committed or let go.
    pub(crate) fn give_back(&mut self) {
        self.current = None;
        self.membership.give_back();
    }

    /// Waits until partitions come or go.
    pub(crate) async fn changed(&self) {
        match &self.current {
            Some(current) => self.membership.changed(&Standing::Assigned(current.clone())).await,
            None => self.membership.settled().await,
        }
    }

    /// Tells the group how far a partition is landed, for whoever watches its lag. The table is the truth.
    pub(crate) async fn tell(&self, partition: u32, offset: u64) {
        let Some(current) = &self.current else { return };
        let position = CommittedOffset { offset, note: String::new() };
        let positions = BTreeMap::from([(i32::try_from(partition).unwrap_or(i32::MAX), position)]);
        let member = Some((current.member.as_str(), current.generation));
        if let Err(error) = self.cluster.commit(&self.group, member, &self.topic, &positions).await {
            tracing::debug!(group = self.group, partition, %error, "the group was not told how far we are");
        }
    }

    /// Leaves the group.
    pub(crate) async fn leave(self) {
        self.membership.leave().await;
    }
}
