//! What is particular to topics that others write to, and to partitions that several nodes share: partitions that come
//! and go, that cannot be read, that are lost, and topics that are made again.

use std::time::Duration;

use flowline_base::{Classify, RunId};
use flowline_kafka::KafkaError;
use flowline_log::PartitionId;
use flowline_model::FindingKind;
use flowline_source::kafka::inputs_of;

use super::LogLander;
use crate::LandError;
use crate::feed::{Feed, LogFeed};
use crate::findings::Findings;
use crate::lane::{Extent, Lane, Means};

/// How long a partition that cannot be read is left alone.
const QUIET: Duration = Duration::from_secs(5);

impl LogLander {
    /// Commits what is held of partitions that go to another node, and lets go of them.
    pub(super) async fn give_back(&mut self) -> Result<(), LandError> {
        if self.keys.is_some() {
            self.flush(Extent::All).await?;
        }
        self.begin_again().await;
        if let Some(share) = &mut self.share {
            share.give_back();
        }
        Ok(())
    }

    /// Hears of the topic anew, and puts on record what is wrong with it.
    pub(super) async fn look_at_topic(&mut self) -> Result<(), LandError> {
        let Some(topic) = self.feed.refresh().await?.cloned() else { return self.look_at_log().await };
        let mut findings = Findings::default();
        for partition in topic.partitions.iter().filter(|partition| partition.leader.is_none()) {
            let subject = format!("partition {}", partition.number);
            findings.add_count(FindingKind::PartitionDown, &subject, 1, || {
                format!(
                    "partition {} of the topic `{}` has no leader, so that nothing of it can be read: start the brokers that hold it",
                    partition.number, topic.name
                )
            });
        }
        let inputs = inputs_of(&topic);
        let hop = &self.tables.dataset.name;
        for position in self.context.ledger.positions(Some(hop)).await? {
            let Some(number) = position.input.strip_prefix(&inputs) else {
                if position.input.starts_with("kafka/") {
                    findings.add_count(FindingKind::TopicReplaced, &topic.name, 1, || {
                        format!(
                            "the topic `{}` was deleted and made again, or the dataset reads another one now: it is landed from its beginning, behind what was landed of the other",
                            topic.name
                        )
                    });
                }
                continue;
            };
            let there = topic.partitions.iter().any(|partition| partition.number.to_string() == *number);
            if !there {
                findings.add_count(FindingKind::PartitionsLost, &format!("partition {number}"), 1, || {
                    format!(
                        "partition {number} of the topic `{}` was landed and is no longer there",
                        topic.name
                    )
                });
            }
        }
        self.record(findings).await
    }

    /// Puts on record that a log in Kafka is not the one that was landed before.
    async fn look_at_log(&self) -> Result<(), LandError> {
        let Feed::Log(LogFeed { identity: Some(identity), .. }) = &self.feed else { return Ok(()) };
        let hop = &self.tables.dataset.name;
        let mut findings = Findings::default();
        let ours = format!("log/{identity}/");
        for position in self.context.ledger.positions(Some(hop)).await? {
            // Those of a log on local disk have no id in their names.
            let of_topic = position.input.starts_with("log/") && position.input.matches('/').count() == 2;
            if of_topic && !position.input.starts_with(&ours) {
                findings.add_count(FindingKind::TopicReplaced, "log", 1, || {
                    format!(
                        "the topic that keeps the log of `{hop}` was deleted and made again: what was in it and not landed is lost, and the new one is landed from its beginning"
                    )
                });
            }
        }
        self.record(findings).await
    }

    /// Reads once from each partition; false when there was nothing in any. A partition of a topic that cannot be read
    /// now holds up none of the others, as long as there are others that can.
    pub(super) async fn read_lanes(&mut self) -> Result<bool, LandError> {
        let (mut more, mut read, mut down) = (false, 0, Vec::new());
        let now = self.context.clock.instant();
        // One flush goes on under the run that failed; two of them would be one run for the ledger, which then knows of
        // only one.
        let taken = |run: &RunId| self.lanes.iter().flatten().any(|lane| lane.runs().any(|one| one == *run));
        let mut run = self.failures.run().filter(|run| !taken(run));
        let means = Means {
            context: &self.context,
            feed: &self.feed,
            contract: &self.contract,
            schemas: &self.schemas,
            tables: &self.tables,
        };
        for lane in self.lanes.iter_mut().flatten().filter(|lane| lane.sealed.is_none()) {
            if lane.quiet_until.is_some_and(|until| now < until) {
                continue;
            }
            match lane.read(&means, &mut self.keys, run).await {
                Ok(found) => {
                    run = run.filter(|run| lane.runs().all(|one| one != *run));
                    (more, read) = (more | found, read + 1);
                    lane.quiet_until = None;
                }
                Err(LandError::Kafka(error)) if passes(&error) => {
                    lane.quiet_until = Some(self.context.clock.instant() + QUIET);
                    down.push((lane.partition.clone(), error));
                }
                Err(error) => return Err(error),
            }
        }
        if read == 0
            && let Some((_, error)) = down.pop()
        {
            self.lanes.iter_mut().flatten().for_each(|lane| lane.quiet_until = None);
            return Err(LandError::Kafka(error));
        }
        for (partition, error) in &down {
            self.record_down(partition, error).await?;
        }
        Ok(more)
    }

    pub(super) async fn record_down(
        &self,
        partition: &PartitionId,
        error: &KafkaError,
    ) -> Result<(), LandError> {
        tracing::warn!(%partition, %error, "a partition cannot be read now; the others are landed meanwhile");
        let mut findings = Findings::default();
        let subject = format!("partition {}", partition.partition);
        findings.add_count(FindingKind::PartitionDown, &subject, 1, || {
            format!(
                "partition {} cannot be read now, and the others are landed meanwhile: {error}",
                partition.partition
            )
        });
        self.record(findings).await
    }

    pub(super) async fn record(&self, findings: Findings) -> Result<(), LandError> {
        let findings = findings.finish(&self.tables.dataset.name, None, self.context.clock.now());
        if findings.is_empty() {
            return Ok(());
        }
        Ok(self.context.ledger.record_findings(&findings).await?)
    }

    /// Positions that are waited for.
    pub(super) fn waited_for(&self) -> Vec<(u32, u64)> {
        let now = self.context.clock.instant();
        let lanes = self.lanes.iter().flatten();
        let awake =
            lanes.filter(|lane| lane.held.is_none() && lane.quiet_until.is_none_or(|until| now >= until));
        awake.map(|lane: &Lane| (lane.partition.partition, lane.next)).collect()
    }

    /// Whether partitions may be unreadable that should be looked at again soon.
    pub(super) fn may_be_down(&self) -> bool {
        self.feed.may_be_replaced()
    }

    /// Partitions that could not be begun are tried again, once nothing is held of the others.
    pub(super) async fn try_the_missing(&mut self) {
        let now = self.context.clock.instant();
        let due = self.missing_since.is_some_and(|since| now.saturating_duration_since(since) >= QUIET * 2);
        if due && self.lanes.iter().flatten().all(|lane| lane.run().is_none()) {
            self.missing_since = None;
            self.begin_again().await;
        }
    }
}

/// Whether it may pass by itself and concerns no more than one partition, for all that is known.
pub(super) fn passes(error: &KafkaError) -> bool {
    error.kind().retryable()
}
