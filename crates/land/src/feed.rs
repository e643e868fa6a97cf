//! Where a lander reads: the log of a source, or a topic that others write to.
//!
//! Owns: what is different between the two, so that landing is the same. Does not own: which partitions are ours when
//! several nodes share them (`share`).

use std::sync::Arc;

use flowline_kafka::{KafkaError, Topic};
use flowline_log::{Bounds, EventLog, Frame, LogError, PartitionId};
use flowline_model::{DatasetName, HttpOrigin, KafkaStart};
use flowline_source::kafka::{TopicSource, inputs_of};
use futures::future::select_all;

use crate::LandError;

/// Where a lander reads.
#[derive(Debug, Clone)]
pub(crate) enum Feed {
    /// The log.
    Log(LogFeed),
    /// A topic.
    Topic {
        /// The topic.
        source: TopicSource,
        /// What was heard of it when landing began.
        known: Option<Topic>,
    },
}

/// The log of one source.
#[derive(Debug, Clone)]
pub(crate) struct LogFeed {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) source: DatasetName,
    /// As many as are declared.
    pub(crate) partitions: u32,
    /// What tells the log from another one of the same name, as it was heard when landing began.
    pub(crate) identity: Option<String>,
}

impl LogFeed {
    /// The log that is posted to; which one it is was not heard yet.
    pub(crate) fn new(log: &Arc<dyn EventLog>, source: &DatasetName, origin: &HttpOrigin) -> Self {
        Self { log: Arc::clone(log), source: source.clone(), partitions: origin.partitions, identity: None }
    }

    fn id(&self, partition: u32) -> PartitionId {
        PartitionId::new(self.source.clone(), partition)
    }

    fn partitions(&self) -> Vec<u32> {
        let known = self.log.status();
        let known = known.iter().map(|status| &status.partition).filter(|known| known.source == self.source);
        // A source that has fewer partitions now may have left records in those it had.
        let partitions = known.map(|known| known.partition + 1).max().unwrap_or(0).max(self.partitions);
        (0..partitions).collect()
    }
}

impl LogFeed {
    /// That the log is still the one that we began to read, after a read from this offset.
    async fn check(&self, partition: u32, from: u64, empty: bool) -> Result<(), LandError> {
        let id = self.id(partition);
        if empty {
            let end = self.log.bounds(&id).await?.end;
            if from > end {
                return Err(LogError::Behind { partition: id, offset: from, end }.into());
            }
        }
        // Asked behind the read: what was read before another log took its place is of ours.
        if self.log.identity(&id).await? != self.identity {
            return Err(KafkaError::Replaced { topic: self.source.to_string() }.into());
        }
        Ok(())
    }
}

/// What positions in a partition of the log are called: `log/0`; `log/<id of the topic>/0` of a log in Kafka.
pub fn log_input(identity: Option<&str>, partition: u32) -> String {
    match identity {
        Some(identity) => format!("log/{identity}/{partition}"),
        None => format!("log/{partition}"),
    }
}

/// What was read of a partition.
#[derive(Debug)]
pub(crate) struct FeedSlab {
    /// The records.
    pub(crate) frames: Vec<Frame>,
    /// Where to read next.
    pub(crate) next: u64,
    /// Offsets that are read and make no row: records without a value, and in a log in Kafka also what transactions of
    /// others leave behind, their marks and what was given up.
    pub(crate) tombstones: u64,
}

impl Feed {
    /// What `_source` says.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Log(_) => "http",
            Self::Topic { .. } => "kafka",
        }
    }

    /// Hears of the topic anew.
    pub(crate) async fn refresh(&mut self) -> Result<Option<&Topic>, LandError> {
        match self {
            Self::Log(feed) => {
                feed.identity = feed.log.identity(&feed.id(0)).await?;
                Ok(None)
            }
            Self::Topic { source, known } => {
                *known = Some(source.describe().await?);
                Ok(known.as_ref())
            }
        }
    }

    /// All partitions that there are.
    pub(crate) fn partitions(&self) -> Vec<u32> {
        match self {
            Self::Log(feed) => feed.partitions(),
            Self::Topic { known, .. } => {
                let partitions = known.iter().flat_map(|topic| &topic.partitions);
                partitions.filter_map(|partition| u32::try_from(partition.number).ok()).collect()
            }
        }
    }

    /// What positions in a partition are called: `log/0`; `kafka/<id of the topic>/0`.
    pub(crate) fn input(&self, partition: u32) -> String {
        match self {
            Self::Log(feed) => log_input(feed.identity.as_deref(), partition),
            Self::Topic { known, .. } => {
                format!("{}{partition}", known.as_ref().map(inputs_of).unwrap_or_default())
            }
        }
    }

    /// Where a partition begins and ends.
    pub(crate) async fn bounds(&self, partition: u32) -> Result<Bounds, LandError> {
        match self {
            Self::Log(feed) => Ok(feed.log.bounds(&feed.id(partition)).await?),
            Self::Topic { source, .. } => {
                let bounds = source.bounds(number(partition)).await?;
                Ok(Bounds { start: bounds.start, end: bounds.end })
            }
        }
    }

    /// Where a partition is begun that was never landed.
    pub(crate) fn first(&self, bounds: Bounds) -> u64 {
        if self.begins_at_the_end() { bounds.end } else { bounds.start }
    }

    /// Whether a partition that was never landed is begun at an end that moves on.
    pub(crate) fn begins_at_the_end(&self) -> bool {
        matches!(self, Self::Topic { source, .. } if source.origin().start == KafkaStart::Latest)
    }

    /// Whether there may be another log, or another topic, of the same name later on.
    pub(crate) fn may_be_replaced(&self) -> bool {
        match self {
            Self::Log(feed) => feed.identity.is_some(),
            Self::Topic { .. } => true,
        }
    }

    /// Reads on.
    pub(crate) async fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<FeedSlab, LandError> {
        match self {
            Self::Log(feed) => {
                let slab = feed.log.read(&feed.id(partition), from, bytes_max).await?;
                if feed.identity.is_some() {
                    feed.check(partition, from, slab.frames.is_empty()).await?;
                }
                let held = |frame: &Frame| frame.next_offset() - frame.first_offset.max(from);
                let records: u64 = slab.frames.iter().map(held).sum();
                let tombstones = (slab.next - from).saturating_sub(records);
                Ok(FeedSlab { frames: slab.frames, next: slab.next, tombstones })
            }
            Self::Topic { source, known } => {
                let id = known.as_ref().and_then(|topic| topic.id);
                let slab = source.read(id, number(partition), from, bytes_max).await?;
                if slab.gaps > 0 {
                    metrics::counter!("flowline_land_topic_gaps_total", "topic" => source.origin().topic.clone())
                        .increment(slab.gaps);
                }
                Ok(FeedSlab { frames: slab.frames, next: slab.next, tombstones: slab.tombstones })
            }
        }
    }

    /// Waits until there is something behind one of these positions.
    pub(crate) async fn wait_beyond(&self, positions: &[(u32, u64)]) -> Result<(), LandError> {
        if positions.is_empty() {
            return std::future::pending().await;
        }
        match self {
            Self::Log(feed) => {
                let ids: Vec<(PartitionId, u64)> =
                    positions.iter().map(|(partition, next)| (feed.id(*partition), *next)).collect();
                let records: Vec<_> = ids.iter().map(|(id, next)| feed.log.wait_beyond(id, *next)).collect();
                let (found, _, _) = select_all(records).await;
                Ok(found?)
            }
            Self::Topic { source, .. } => {
                let positions: Vec<(i32, u64)> =
                    positions.iter().map(|(partition, next)| (number(*partition), *next)).collect();
                Ok(source.wait_beyond(&positions).await?)
            }
        }
    }

    /// Says that everything before this offset is in the table.
    pub(crate) async fn release(&self, partition: u32, offset: u64) -> Result<(), LandError> {
        match self {
            Self::Log(feed) => Ok(feed.log.release(&feed.id(partition), offset).await?),
            // The members of a group tell it together.
            Self::Topic { .. } => Ok(()),
        }
    }
}

fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}
