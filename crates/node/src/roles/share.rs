//! Divided streams: which parts of them this node runs is said by a consumer group of Kafka, as it is for landing.
//!
//! A part goes with its partition. Whoever has it reads its position and its state from the last commit of the part and
//! goes on from there; whoever had it before is fenced by the next.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use flowline_kafka::{Cluster, ClusterOptions, GroupOptions, Membership, Standing};
use flowline_model::{DatasetName, KafkaLogSettings};
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
        let share = Share {
            storage: storage.clone(),
            transformer: transformer.clone(),
            kafka: kafka.clone(),
            stream: stream.clone(),
            input,
        };
        tasks.start(TaskKind::Processor, stream.to_string(), move |shutdown| share.clone().run(shutdown));
    }
}

/// One divided stream as this node runs it.
#[derive(Clone)]
struct Share {
    storage: Storage,
    transformer: Transformer,
    kafka: KafkaLogSettings,
    stream: DatasetName,
    input: DatasetName,
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
        let prefix = &self.kafka.topic_prefix;
        let cluster = Cluster::new(ClusterOptions {
            cluster: self.kafka.cluster.clone(),
            client_id: "flowline-processor".to_owned(),
            patience: PATIENCE,
            clock: self.storage.clock.clone(),
        })?;
        let node = node_id(&self.storage.plan.environment.data_dir)?;
        let options = GroupOptions {
            group: format!("{prefix}stream.{}", self.stream),
            topic: format!("{prefix}{}", self.input),
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
