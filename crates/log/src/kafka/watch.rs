//! Looking after what others do: the ends of partitions that somebody waits for, and what is released elsewhere.

use std::sync::Arc;
use std::time::Duration;

use flowline_base::Classify;

use super::partition::Partition;
use super::shared::Shared;
use super::{Partitions, Topics};
use crate::LogError;

/// How often a partition is asked for its end while somebody waits for it and others may append. What this process
/// appends is heard of at once.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Every so many looks, all partitions are asked for everything.
const LOOKS_A_ROUND: u32 = 20;

/// Every so many rounds, idempotency keys are kept where a restart finds them.
const ROUNDS_A_KEEPING: u32 = 15;

/// Looks until it is ended; before that, waits for a cluster that was away when the log was opened.
pub(crate) async fn run(shared: Arc<Shared>, partitions: Partitions, missing: Option<Topics>) {
    if let Some(topics) = missing {
        wait_for_kafka(&shared, &topics).await;
    }
    let mut looks = 0u32;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        looks = looks.wrapping_add(1);
        let known: Vec<Arc<Partition>> = partitions.read().values().cloned().collect();
        let round = looks.is_multiple_of(LOOKS_A_ROUND);
        for partition in known {
            let found = if round {
                partition.refresh().await.map(drop)
            } else if partition.end.receiver_count() > 0 {
                partition.look().await
            } else {
                continue;
            };
            if let Err(error) = found {
                note(&partition, error);
            }
        }
        if looks.is_multiple_of(LOOKS_A_ROUND * ROUNDS_A_KEEPING) {
            keep_keys(&partitions);
        }
        if round && let Err(error) = refresh_released(&shared, &partitions).await {
            tracing::debug!(%error, "Kafka does not say how far the log is landed");
        }
    }
}

/// Tries to open what could not be opened at first, for as long as need be.
async fn wait_for_kafka(shared: &Shared, topics: &Topics) {
    loop {
        // The calls of opening are answered; those of everybody else are refused until all of them were.
        match topics.open().await {
            Ok(()) => break,
            Err(error) => {
                tracing::warn!(%error, "still waiting for Kafka");
                shared.wait_for_kafka(Some(error.to_string()));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    shared.wait_for_kafka(None);
    tracing::info!("Kafka is there: records are taken in and landed");
}

/// A partition that is being written to is left for the next time.
pub(crate) fn keep_keys(partitions: &Partitions) {
    let known: Vec<Arc<Partition>> = partitions.read().values().cloned().collect();
    for partition in known {
        if let Ok(mut writer) = partition.writer.try_lock() {
            writer.keep(&partition);
        }
    }
}

/// A failure is logged when it begins, and stands in the status until it ends.
fn note(partition: &Partition, error: LogError) {
    let mut state = partition.state.lock();
    if state.failed.is_none() {
        tracing::warn!(partition = %partition.id, kind = error.kind().as_str(), %error, "the log cannot be looked at");
    }
    state.failed = Some(error);
}

/// Takes in how far the landers of all nodes have come.
pub(crate) async fn refresh_released(shared: &Shared, partitions: &Partitions) -> Result<(), LogError> {
    let known: Vec<Arc<Partition>> = partitions.read().values().cloned().collect();
    for of_topic in known.chunk_by(|left, right| left.topic == right.topic) {
        let numbers: Vec<i32> = of_topic.iter().map(|partition| partition.number()).collect();
        let positions = shared.cluster.committed(&shared.group(), &of_topic[0].topic, &numbers).await?;
        for partition in of_topic {
            if let Some(position) = positions.get(&partition.number()) {
                let end = partition.bounds_known().end;
                partition.note_release(position.offset.min(end));
                match partition.note_landed(position).await {
                    // It is said to whoever appends.
                    Ok(()) | Err(LogError::Lost { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}
