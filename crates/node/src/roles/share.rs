//! Divided streams: which parts of them this node runs is said by a consumer group of Kafka, as it is for landing.
//!
//! A part goes with its partition. Whoever has it reads its position and its state from the last commit of the part and
//! goes on from there; whoever had it before is fenced by the next.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use flowline_kafka::{Cluster, ClusterOptions, GroupOptions, Membership, Standing};
use flowline_model::{DatasetName, KafkaCluster, KafkaLogSettings, Origin};
use flowline_process::Transformer;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::processor::Processor;
use crate::lease::node_id;
use crate::storage::Storage;
use crate::tasks::{TaskKind, Tasks};

/// A node that is silent for this long has lost its parts.
const SESSION: Duration = Duration::from_secs(10);
/// How long the others wait for a node that has a commit to finish.
const REBALANCE: Duration = Duration::from_secs(60);
/// How long what runs of a part that goes to another node may take to come to its end; the group waits for us half of
/// [`REBALANCE`] before it is told that the parts are free.
const FINISH: Duration = Duration::from_secs(25);
/// How long the calls of a group's member are tried again before they have failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts a task for each divided stream.
pub fn start(tasks: &Tasks, storage: &Storage, transformer: &Transformer) {
    let Some(kafka) = &storage.plan.environment.log.kafka else { return };
    for (stream, input) in transformer.divided() {
        let Some((cluster, topic)) = topic_of(storage, kafka, &input) else { continue };
        let share = Share {
            storage: storage.clone(),
            transformer: transformer.clone(),
            group: format!("{}stream.{stream}", kafka.topic_prefix),
            cluster,
            topic,
            stream: stream.clone(),
        };
        tasks.start(TaskKind::Processor, stream.to_string(), move |shutdown| share.clone().run(shutdown));
    }
}

/// The topic whose partitions say which parts there are, and the cluster that has it: that of the log, or one that others
/// write to.
fn topic_of(
    storage: &Storage,
    log: &KafkaLogSettings,
    input: &DatasetName,
) -> Option<(KafkaCluster, String)> {
    let environment = &storage.plan.environment;
    match &storage.plan.dataset(input)?.origin {
        Origin::Kafka(kafka) => Some((environment.kafka_of_sources()?.clone(), kafka.topic.clone())),
        _ => Some((log.cluster.clone(), format!("{}{input}", log.topic_prefix))),
    }
}

/// One divided stream as this node runs it.
#[derive(Clone)]
struct Share {
    storage: Storage,
    transformer: Transformer,
    stream: DatasetName,
    cluster: KafkaCluster,
    /// The topic whose partitions are shared, and the group that shares them.
    topic: String,
    group: String,
}

impl Share {
    async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let membership = self.join()?;
        let ended = loop {
            let standing = membership.standing();
            let worked = match &standing {
                Standing::Assigned(assignment) => {
                    let parts = assignment.partitions.clone();
                    self.work(&parts, &membership, &standing, &shutdown).await
                }
                Standing::Revoked => {
                    membership.give_back();
                    wait(&membership, &standing, &shutdown).await;
                    Ok(())
                }
                Standing::Joining | Standing::Failed(_) => {
                    wait(&membership, &standing, &shutdown).await;
                    Ok(())
                }
            };
            if worked.is_err() || shutdown.is_cancelled() {
                break worked;
            }
        };
        membership.leave().await;
        ended
    }

    fn join(&self) -> anyhow::Result<Membership> {
        let cluster = Cluster::new(ClusterOptions {
            cluster: self.cluster.clone(),
            client_id: "flowline-processor".to_owned(),
            patience: PATIENCE,
            clock: self.storage.clock.clone(),
        })?;
        let node = node_id(&self.storage.plan.environment.data_dir)?;
        let options = GroupOptions {
            group: self.group.clone(),
            topic: self.topic.clone(),
            instance: Some(format!("flowline.{node}.{}", self.stream)),
            session: SESSION,
            rebalance: REBALANCE,
        };
        Ok(Membership::start(cluster, options))
    }

    /// Runs these parts for as long as they are ours.
    async fn work(
        &self,
        parts: &[i32],
        membership: &Membership,
        standing: &Standing,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (stop, given_up) = (shutdown.child_token(), shutdown.child_token());
        let held = metrics::gauge!("flowline_node_parts", "dataset" => self.stream.to_string());
        held.set(parts.len() as f64);
        let mut running = JoinSet::new();
        for part in parts {
            let transformer = self.transformer.of_part(&self.stream, *part)?;
            let (commits, clock) = (self.storage.lake.commits(), self.storage.clock.clone());
            let processor = Processor::new(transformer, commits, clock);
            running.spawn(processor.run_until(stop.clone(), given_up.clone()));
        }
        let failed = tokio::select! {
            () = wait(membership, standing, shutdown) => None,
            Some(ended) = running.join_next() => Some(ended),
        };
        stop.cancel();
        if failed.is_some() {
            given_up.cancel();
        }
        let mut ended: Vec<_> = failed.into_iter().collect();
        let mut time_is_over = pin!(tokio::time::sleep(FINISH));
        loop {
            tokio::select! {
                one = running.join_next() => match one {
                    Some(one) => ended.push(one),
                    None => break,
                },
                () = &mut time_is_over, if !given_up.is_cancelled() => given_up.cancel(),
            }
        }
        held.set(0.0);
        membership.give_back();
        ended.into_iter().try_for_each(|one| one.context("a part panicked")?)
    }
}

/// Waits until the node stands otherwise with the group, or ends.
async fn wait(membership: &Membership, standing: &Standing, shutdown: &CancellationToken) {
    tokio::select! {
        () = membership.changed(standing) => {}
        () = shutdown.cancelled() => {}
    }
}
