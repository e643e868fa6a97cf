//! A member of a group that is kept alive by a task of its own, so that its owner may be busy for as long as a commit
//! takes.

use std::convert::Infallible;
use std::time::Duration;

use flowline_base::{Backoff, Random};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{Assignment, Cluster, GroupOptions, KafkaError, Member};

/// How often the group hears of us.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// Every so many heartbeats it is looked whether the topic has got more partitions.
const HEARTBEATS_A_LOOK: u32 = 15;
const BACKOFF: Backoff = Backoff {
    attempts_max: u32::MAX,
    delay_first: Duration::from_millis(200),
    delay_max: Duration::from_secs(5),
};

/// How a member stands with its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is about to join, or waits for its share.
    Joining,
    /// These partitions are ours.
    Assigned(Assignment),
    /// The partitions go back: commit what is held of them, then [`Membership::give_back`].
    Revoked,
    /// The group cannot be joined now; it is tried again.
    Failed(KafkaError),
}

/// See the module. The group is left when it is dropped; [`Membership::leave`] tells the others at once.
#[derive(Debug)]
pub struct Membership {
    standing: watch::Receiver<Standing>,
    given_back: watch::Sender<u64>,
    left: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Membership {
    /// Joins in the background.
    pub fn start(cluster: Cluster, options: GroupOptions) -> Self {
        let (say, standing) = watch::channel(Standing::Joining);
        let (given_back, given_back_to) = watch::channel(0);
        let (left, left_to) = watch::channel(false);
        let keeper = Keeper {
            member: Member::new(cluster.clone(), options.clone()),
            cluster,
            options,
            say,
            given_back: given_back_to,
            left: left_to,
            random: Random::unseeded(),
        };
        Self { standing, given_back, left, task: tokio::spawn(keeper.run()) }
    }

    /// How it stands now.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until it stands otherwise.
    pub async fn changed(&self, from: &Standing) {
        let mut standing = self.standing.clone();
        // The keeper ends only with us.
        let _ = standing.wait_for(|now| now != from).await;
    }

    /// Waits until partitions are ours, or it is known why none can be.
    pub async fn settled(&self) {
        let mut standing = self.standing.clone();
        let settled = |now: &Standing| matches!(now, Standing::Assigned(_) | Standing::Failed(_));
        let _ = standing.wait_for(settled).await;
    }

    /// What was held of the partitions is committed or let go: they may be somebody else's.
    pub fn give_back(&self) {
        self.given_back.send_modify(|times| *times += 1);
    }

    /// Leaves the group and waits until it knows.
    pub async fn leave(mut self) {
        self.left.send_replace(true);
        // Whoever does not answer will notice by itself.
        let _ = tokio::time::timeout(Duration::from_secs(5), &mut self.task).await;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Keeper {
    member: Member,
    cluster: Cluster,
    options: GroupOptions,
    say: watch::Sender<Standing>,
    given_back: watch::Receiver<u64>,
    left: watch::Receiver<bool>,
    random: Random,
}

impl Keeper {
    async fn run(mut self) {
        let mut failures = 0;
        while !*self.left.borrow() {
            let result = self.belong().await;
            let error = match result {
                Ok(()) => {
                    failures = 0;
                    continue;
                }
                Err(error) => error,
            };
            tracing::warn!(group = self.options.group, topic = self.options.topic, %error, "the consumer group cannot be joined");
            self.say.send_replace(Standing::Failed(error));
            let wait = BACKOFF.delay(failures, &mut self.random);
            failures += 1;
            self.pause(wait).await;
        }
        self.member.leave().await;
    }

    /// Joins, and belongs to the group until it shares out anew.
    async fn belong(&mut self) -> Result<(), KafkaError> {
        self.say.send_if_modified(|standing| {
            let waiting = matches!(standing, Standing::Joining | Standing::Failed(_));
            if !waiting {
                *standing = Standing::Joining;
            }
            !waiting
        });
        let assignment = self.member.join().await?;
        let partitions = self.partitions().await?;
        tracing::info!(
            group = self.options.group,
            topic = self.options.topic,
            generation = assignment.generation,
            partitions = ?assignment.partitions,
            "the consumer group gave us partitions"
        );
        let given_back = *self.given_back.borrow();
        self.say.send_replace(Standing::Assigned(assignment));
        let belonged = self.stay(partitions).await;
        self.say.send_replace(Standing::Revoked);
        self.wait_for_owner(given_back).await;
        belonged
    }

    /// Heartbeats until the group shares out anew, the topic has grown, or we leave.
    async fn stay(&mut self, partitions: usize) -> Result<(), KafkaError> {
        let mut heartbeats = 0u32;
        loop {
            self.pause(HEARTBEAT_EVERY).await;
            let left = *self.left.borrow();
            if left || !self.member.heartbeat().await? {
                return Ok(());
            }
            heartbeats = heartbeats.wrapping_add(1);
            if heartbeats.is_multiple_of(HEARTBEATS_A_LOOK) && self.partitions().await? != partitions {
                return Ok(());
            }
        }
    }

    /// Gives the owner time to commit, and tells the group meanwhile that we are there; whoever takes longer than the group
    /// waits loses what it has not committed.
    async fn wait_for_owner(&mut self, before: u64) {
        if *self.left.borrow() {
            return;
        }
        let mut given_back = self.given_back.clone();
        let owner = async {
            let _ = given_back.wait_for(|times| *times > before).await;
        };
        let mut left = self.left.clone();
        let patience = self.options.rebalance / 2;
        let given_back = tokio::select! {
            given_back = tokio::time::timeout(patience, owner) => given_back.is_ok(),
            _ = left.wait_for(|left| *left) => true,
            never = self.show_life() => match never {},
        };
        if !given_back {
            tracing::warn!(
                group = self.options.group,
                "partitions were taken before what was held of them was committed"
            );
        }
    }

    /// Heartbeats, for as long as this is waited for. What the group answers is known already; one that does not hear of us
    /// will say so when we join.
    async fn show_life(&mut self) -> Infallible {
        loop {
            if let Err(error) = self.member.heartbeat().await {
                tracing::debug!(group = self.options.group, %error, "a heartbeat failed while partitions are given back");
            }
            tokio::time::sleep(HEARTBEAT_EVERY).await;
        }
    }

    async fn partitions(&self) -> Result<usize, KafkaError> {
        Ok(self.cluster.topic(&self.options.topic).await?.map_or(0, |topic| topic.partitions.len()))
    }

    async fn pause(&mut self, time: Duration) {
        let mut left = self.left.clone();
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = left.wait_for(|left| *left) => {}
        }
    }
}
