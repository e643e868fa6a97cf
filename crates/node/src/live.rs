//! What only a running node knows: the ends of its log, its tables.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flowline_base::SharedClock;
use flowline_lake::{Lake, ReadAt, TableId};
use flowline_land::Brake;
use flowline_log::{EventLog, PartitionStatus};
use flowline_model::{DatasetName, Held, Origin, Plan, StreamStatus};
use flowline_source::kafka::{KafkaError, TopicSource, inputs_of};
use flowline_view::{LakeTable, LiveStatus, LogPartition, QuarantinedRows};

use crate::query;

/// How long a topic may take to say where it ends.
const TOPIC_PATIENCE: Duration = Duration::from_secs(2);

/// The log (when this node has one) and the lake, as the system tables ask for them.
#[derive(Debug)]
pub struct NodeStatus {
    pub plan: Arc<Plan>,
    pub log: Option<Arc<dyn EventLog>>,
    /// The topics that sources read.
    pub topics: Vec<(DatasetName, TopicSource)>,
    pub lake: Lake,
    pub clock: SharedClock,
    /// What holds landing back, where this process lands.
    pub brake: Option<Brake>,
}

#[async_trait]
impl LiveStatus for NodeStatus {
    async fn log_partitions(&self) -> Option<Vec<LogPartition>> {
        let log = self.log.as_ref()?;
        let mut partitions = Vec::new();
        for status in log.status() {
            let oldest_waiting_at = oldest_waiting_at(log.as_ref(), &status).await;
            partitions.push(LogPartition {
                input: flowline_land::log_input(status.identity.as_deref(), status.partition.partition),
                dataset: status.partition.source,
                partition: status.partition.partition,
                start: status.bounds.start,
                end: status.bounds.end,
                bytes: status.bytes,
                waiting_bytes: status.waiting_bytes,
                waiting_bytes_max: self.plan.environment.log.bytes_max,
                queued: status.queued,
                last_received_at: status.last_received_at.and_then(DateTime::from_timestamp_micros),
                oldest_waiting_at,
            });
        }
        for (dataset, topic) in &self.topics {
            // A topic that does not answer soon is one of which nothing is known now.
            let asked = tokio::time::timeout(TOPIC_PATIENCE, topic_partitions(dataset, topic)).await;
            partitions.extend(asked.ok().and_then(Result::ok).unwrap_or_default());
        }
        Some(partitions)
    }

    fn held(&self) -> BTreeMap<DatasetName, Held> {
        self.brake.as_ref().map(Brake::held).unwrap_or_default()
    }

    async fn tables(&self) -> Option<Vec<LakeTable>> {
        let mut tables = Vec::new();
        for dataset in self.plan.datasets.iter().filter(|dataset| dataset.materialized()) {
            let table = self.lake.table(TableId::of(dataset));
            // A table that cannot be read now is one of which nothing is known now.
            let Ok(Some(_)) = table.refresh().await else { continue };
            let Ok(stats) = table.stats().await else { continue };
            tables.push(LakeTable {
                dataset: dataset.name.clone(),
                version: stats.version,
                rows: Some(stats.rows),
                files: stats.files,
                bytes: stats.bytes,
            });
        }
        Some(tables)
    }

    async fn quarantined(&self, dataset: &DatasetName) -> Option<Vec<QuarantinedRows>> {
        let table = self.lake.table(TableId::quarantine(dataset.clone()));
        if !table.exists().await.ok()? {
            return Some(Vec::new());
        }
        let provider = table.provider(ReadAt::Latest).await.ok()?;
        let counts: HashMap<String, u64> = query::count_by(provider, "_reason").await.ok()?;
        Some(counts.into_iter().map(|(reason, rows)| QuarantinedRows { reason, rows }).collect())
    }

    async fn streams(&self, only: Option<&DatasetName>) -> Option<Vec<StreamStatus>> {
        flowline_process::stream_statuses(&self.plan, &self.lake, only, self.clock.now()).await.ok()
    }
}

/// The topics that the sources of a plan read.
pub fn topics(plan: &Plan, clock: &SharedClock) -> anyhow::Result<Vec<(DatasetName, TopicSource)>> {
    let mut topics = Vec::new();
    for dataset in &plan.datasets {
        if let (Origin::Kafka(origin), Some(cluster)) = (&dataset.origin, plan.environment.kafka_of_sources())
        {
            let source = TopicSource::open(cluster.clone(), origin.clone(), clock.clone())?;
            topics.push((dataset.name.clone(), source));
        }
    }
    Ok(topics)
}

async fn topic_partitions(
    dataset: &DatasetName,
    source: &TopicSource,
) -> Result<Vec<LogPartition>, KafkaError> {
    let topic = source.describe().await?;
    let mut partitions = Vec::new();
    for partition in topic.partitions.iter().filter(|partition| partition.leader.is_some()) {
        let bounds = source.bounds(partition.number).await?;
        partitions.push(LogPartition {
            dataset: dataset.clone(),
            input: format!("{}{}", inputs_of(&topic), partition.number),
            partition: u32::try_from(partition.number).unwrap_or(0),
            start: bounds.start,
            end: bounds.end,
            bytes: 0,
            waiting_bytes: 0,
            waiting_bytes_max: 0,
            queued: 0,
            last_received_at: None,
            oldest_waiting_at: None,
        });
    }
    Ok(partitions)
}

/// When the oldest record was received that is not landed: one frame is read, and only where something waits.
async fn oldest_waiting_at(log: &dyn EventLog, status: &PartitionStatus) -> Option<DateTime<Utc>> {
    let oldest = status.released.max(status.bounds.start);
    if oldest >= status.bounds.end {
        return None;
    }
    let slab = log.read(&status.partition, oldest, 1).await.ok()?;
    slab.frames.first().and_then(|frame| DateTime::from_timestamp_micros(frame.batch.received_at))
}
