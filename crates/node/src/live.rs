//! What only a running node knows: the ends of its log, its tables.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flowline_base::SharedClock;
use flowline_lake::{Lake, ReadAt, TableId};
use flowline_log::{EventLog, PartitionStatus};
use flowline_model::{DatasetName, Plan};
use flowline_process::StreamFacts;
use flowline_view::{LakeTable, LiveStatus, LogPartition, QuarantinedRows, StreamClock, StreamStatus};

use crate::query;

/// The log (when this node has one) and the lake, as the system tables ask for them.
#[derive(Debug)]
pub struct NodeStatus {
    pub plan: Arc<Plan>,
    pub log: Option<Arc<dyn EventLog>>,
    pub lake: Lake,
    pub clock: SharedClock,
}

#[async_trait]
impl LiveStatus for NodeStatus {
    async fn log_partitions(&self) -> Option<Vec<LogPartition>> {
        let log = self.log.as_ref()?;
        let mut partitions = Vec::new();
        for status in log.status() {
            let oldest_waiting_at = oldest_waiting_at(log.as_ref(), &status).await;
            partitions.push(LogPartition {
                dataset: status.partition.source,
                partition: status.partition.partition,
                start: status.bounds.start,
                end: status.bounds.end,
                bytes: status.bytes,
                queued: status.queued,
                last_received_at: status.last_received_at.and_then(DateTime::from_timestamp_micros),
                oldest_waiting_at,
            });
        }
        Some(partitions)
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
        let facts =
            flowline_process::stream_facts(&self.plan, &self.lake, only, self.clock.now()).await.ok()?;
        Some(facts.into_iter().map(stream_status).collect())
    }
}

fn stream_status(facts: StreamFacts) -> StreamStatus {
    let clocks = facts.clocks.into_iter().map(|clock| StreamClock {
        input: clock.input,
        partition: clock.partition,
        newest_at: clock.newest_at,
        seen_at: clock.seen_at,
        idle: clock.idle,
    });
    StreamStatus {
        dataset: facts.dataset,
        watermark: facts.watermark,
        held_by: facts.held_by,
        clocks: clocks.collect(),
        lag_records: facts.lag_records,
        late: facts.late,
        ahead: facts.ahead,
        open_since: facts.open_since,
        state_rows: facts.state_rows,
        state_bytes: facts.state_bytes,
    }
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
